"""``paths``: a gradient as the sum over all paths, and the largest of them.

The number of paths grows exponentially with depth; none but those shown is ever walked. Counts and sums
come from one sweep up the graph, the largest paths from a best-first search whose bound is exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from microbp.debug.notebook import Shown
from microbp.debug.passes import target
from microbp.debug.path_search import gradients_of, largest, sweep
from microbp.graph import Graph, Node
from microbp.notation import plain_name
from microbp.tables import Cell, Table
from microbp.value import Value

__all__ = ["PathRow", "Paths", "paths"]

#: Paths are said to cancel where Σ |path| is more than so many times |Σ path|.
CANCELS = 100.0
#: How many nodes of a path are shown at either end.
ENDS = 6


class PathRow(NamedTuple):
    """One path from the loss down to the value."""

    #: The product of the local derivatives along it.
    gradient: float
    #: Its size as a share of Σ |path|.
    share: float
    #: The positions of its nodes, from the loss down.
    nodes: tuple[int, ...]
    #: For each node but the first, its place among the operands of the one before.
    places: tuple[int, ...]
    #: The path in words, without the nodes that nobody named where it can be told from others.
    way: str


@dataclass(frozen=True, repr=False)
class Paths(Shown):
    """What :func:`paths` found; ``str(paths)`` is the table."""

    title: str
    #: The paths shown, the largest first.
    rows: tuple[PathRow, ...]
    #: How many paths there are.
    count: int
    #: The gradient: the sum over all paths.
    gradient: float
    #: The sum of the sizes, Σ |path|.
    size: float
    #: The gradient as the backward pass gives it.
    engine: float

    @property
    def shown(self) -> float:
        """The sum of the paths shown."""
        return math.fsum(row.gradient for row in self.rows) if self._finite() else self.gradient

    @property
    def rest(self) -> float:
        """The sum of the paths not shown."""
        return 0.0 if len(self.rows) == self.count else self.gradient - self.shown

    @property
    def cancels(self) -> bool:
        """Whether the paths cancel to less than a hundredth of their sizes."""
        return math.isfinite(self.size) and self.size > CANCELS * abs(self.gradient)

    @property
    def ok(self) -> bool:
        """Whether the sum over the paths is the gradient that the backward pass gives."""
        if not math.isfinite(self.size):
            return not math.isfinite(self.engine)
        return abs(self.gradient - self.engine) <= 1e-12 * self.size

    def _finite(self) -> bool:
        return all(math.isfinite(row.gradient) for row in self.rows)

    def table(self) -> Table:
        """The report laid out."""
        hidden = self.count - len(self.rows)
        rows: list[tuple[Cell, ...]] = [(row.way, row.gradient, _percent(row.share)) for row in self.rows]
        if hidden:
            more = f"{_counted(hidden)} more path{'s' if hidden > 1 else ''}"
            left = 1.0 - math.fsum(row.share for row in self.rows)
            rows.append((more, self.rest, _percent(max(0.0, left))))
        if self.count > 1:
            rows.append(("the sum", self.gradient, ""))
        notes = []
        if self.cancels:
            times = f"{self.size / abs(self.gradient):.3g} times as large" if self.gradient else ""
            cost = f"{times}, and the gradient has lost digits accordingly" if times else "and their sum is 0"
            notes.append(f"The paths cancel: their sizes add up to {self.size:.6g}, {cost}.")
        if not self.ok:
            notes.append(f"WRONG: the backward pass gives {self.engine!r}, the paths {self.gradient!r}.")
        return Table(self.title, ("path", ">gradient", ">share of Σ |path|"), tuple(rows), tuple(notes))

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"Paths({self.title})"


def paths(
    loss: Value | Graph, value: Value | str, k: int = 5, names: Mapping[str, Any] | None = None
) -> Paths:
    """∂loss/∂value path by path: the ``k`` largest, the number of all, and the sum of the rest.

    ``value`` is a Value or a name; ``names`` maps names to Values, the variables of the caller's code
    unless it is given. The gradient of a path is the product of the local derivatives along it.

    >>> x = Value(3.0, name="x")
    >>> u, v = 2.0 * x, x * x
    >>> y = u * v
    >>> print(paths(y, x, names=locals()))
    ∂y/∂x = 54.000000: 3 paths
    <BLANKLINE>
    path                      gradient   share of Σ |path|
    ──────────────────────────────────────────────────────
    y → u → x               +18.000000              33.3 %
    y → v → x (operand 1)   +18.000000              33.3 %
    y → v → x (operand 2)   +18.000000              33.3 %
    the sum                 +54.000000

    Memory and time grow with the graph and with ``k``, not with the number of paths: a graph with 2^200
    of them takes milliseconds. Where the loss does not depend on the value there is no path, and the
    gradient is 0. Raises ValueError for a ``k`` below 0, and as :func:`microbp.explain` for the rest.
    """
    if k < 0:
        raise ValueError(f"paths() shows k = 0 or more paths, not {k}")
    asked = target(loss, value, names, "paths()")
    graph, root = asked.graph, asked.graph.root
    label = f"∂{plain_name(root.name)}/∂{plain_name(asked.name)}"
    if asked.node is None:
        told = f"{label} = 0: {plain_name(root.name)} does not depend on {plain_name(asked.name)}"
        return Paths(told, (), 0, 0.0, 0.0, 0.0)
    swept = sweep(graph, asked.node.position)
    found = [] if not swept.number else largest(graph, asked.node.position, swept.best, k)
    short = Counter(_way(graph, *each) for each in found)
    rows = [_row(graph, *each, swept.size, every=short[_way(graph, *each)] > 1) for each in found]
    rows.sort(key=lambda row: -math.inf if math.isnan(row.gradient) else -abs(row.gradient))
    if swept.number:
        plural = "s" if swept.number > 1 else ""
        total = f"{swept.total:#.8g}" if swept.total else "0"
        title = f"{label} = {total}: {_counted(swept.number)} path{plural}"
    else:
        title = f"{label} = 0: {plain_name(root.name)} does not depend on {plain_name(asked.name)}"
    engine = gradients_of(graph)[asked.node.position]
    return Paths(title, tuple(rows), swept.number, swept.total, swept.size, engine)


def _row(
    graph: Graph, nodes: tuple[int, ...], places: tuple[int, ...], size: float, *, every: bool
) -> PathRow:
    gradient = 1.0
    for user, place in zip(nodes, places, strict=False):
        local = graph.nodes[user].local_derivatives[place]
        assert local is not None
        gradient *= local
    share = abs(gradient) / size if size and math.isfinite(size) else math.nan if size else 0.0
    return PathRow(gradient, share, nodes, places, _way(graph, nodes, places, every=every))


def _way(graph: Graph, nodes: tuple[int, ...], places: tuple[int, ...], *, every: bool = False) -> str:
    """The nodes of a path by name; one that stands twice among the operands with its place.

    Those that nobody named are left out, but at the ends, unless ``every`` asks for them.
    """
    words = []
    for index, position in enumerate(nodes):
        node = graph.nodes[position]
        at_end = index in (0, len(nodes) - 1)
        word = plain_name(node.name)
        if index and _times(graph.nodes[nodes[index - 1]], position) > 1:
            words.append(f"{word} (operand {places[index - 1] + 1})")
        elif node.named or at_end or every:
            words.append(word)
    if len(words) > 2 * ENDS:
        words = [*words[:ENDS], "…", *words[-ENDS:]]
    return " → ".join(words)


def _times(node: Node, position: int) -> int:
    """How often a value stands among the operands of a node."""
    return sum(type(each) is int and each == position for each in node.operands)


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f} %"


def _counted(count: int) -> str:
    """A number of paths, exactly while it can be read."""
    if count < 10**12:
        return f"{count:,}"
    if count.bit_length() < 1000:
        return f"{float(count):.4g}"
    return f"about 10^{math.floor((count.bit_length() - 0.5) * math.log10(2.0))}"
