"""``paths``: a gradient as the sum over all paths, and the largest of them.

The number of paths grows exponentially with depth; none but those shown is ever walked. Their number, their
sums and the largest of them come from one sweep up the graph.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from operator import itemgetter
from typing import Any, NamedTuple

from microbp.graph import Graph, target
from microbp.notation import plain_name
from microbp.sweeps import backward
from microbp.text import Cell, Shown, Table, counted, quoted
from microbp.value import Value

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
    def rest(self) -> float:
        """The sum of the paths not shown."""
        shown = [row.gradient for row in self.rows]
        total = math.fsum(shown) if all(map(math.isfinite, shown)) else math.nan
        return self.gradient - total if len(shown) < self.count else 0.0

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

    def table(self) -> Table:
        """The report laid out."""
        hidden = self.count - len(self.rows)
        told = ((x, "-" if math.isnan(x.share) else f"{100.0 * x.share:.1f} %") for x in self.rows)
        rows: list[tuple[Cell, ...]] = [(x.way, x.gradient, share) for x, share in told]
        if hidden:
            left = max(0.0, 1.0 - math.fsum(row.share for row in self.rows))
            rows.append((counted(hidden, "more path"), self.rest, f"{100.0 * left:.1f} %"))
        if self.count > 1:
            rows.append(("the sum", self.gradient, ""))
        notes = []
        if self.cancels:
            cost = "and their sum is 0"
            if self.gradient:
                times = self.size / abs(self.gradient)
                cost = f"{times:.3g} times as large, and the gradient has lost digits accordingly"
            notes.append(f"The paths cancel: their sizes add up to {self.size:.6g}, {cost}.")
        if not self.ok:
            notes.append(f"WRONG: the backward pass gives {self.engine!r}, the paths {self.gradient!r}.")
        return Table(self.title, ("path", ">gradient", ">share of Σ |path|"), tuple(rows), tuple(notes))


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
    if not isinstance(k, Integral) or k < 0:
        raise ValueError(f"paths() shows k = 0 or more paths, not {quoted(k)}")
    graph, node, called = target(loss, value, names, "paths()")
    root, name = plain_name(graph.root.name), plain_name(called)
    found = None if node is None else _swept(graph, node.position, int(k))
    if found is None or node is None:
        return Paths(f"∂{root}/∂{name} = 0: {root} does not depend on {name}", (), 0, 0.0, 0.0, 0.0)
    engine = float(backward(graph, {graph.roots[-1]: 1.0})[node.position])
    rows = [_row(graph, way, found.size) for _, way in found.largest]
    alike = Counter(row.way for row in rows)
    rows = [row._replace(way=_words(graph, *row[2:4], every=alike[row.way] > 1)) for row in rows]
    rows.sort(key=lambda row: -math.inf if math.isnan(row.gradient) else -abs(row.gradient))
    number = f"{found.total:#.8g}" if found.total else "0"
    title = f"∂{root}/∂{name} = {number}: {counted(found.number, 'path')}"
    return Paths(title, tuple(rows), found.number, found.total, found.size, engine)


#: A way down: the position of a node, its place among the operands of the one above, and the way from there.
Way = tuple[int, int, "Way | None"]


class Ways(NamedTuple):
    """All ways from a node down to the value, and the largest of them."""

    number: int
    total: float
    size: float
    #: Each with the logarithm of its |product|, since products underflow.
    largest: list[tuple[float, Way | None]]


def _swept(graph: Graph, start: int, k: int) -> Ways | None:
    """The ways from the root down to a node: those of a node are those of its operands, longer by a step."""
    ways = {start: Ways(1, 1.0, 1.0, [(0.0, None)])}
    last_use = {x: node.position for node in graph for x in node.read}
    for node in graph.nodes[start + 1 :]:
        if used := [(place, x, local, ways[x]) for place, x, local in node.edges if x in ways]:
            longer = ((_longer(size, local), (x, place, way))
                      for place, x, local, below in used for size, way in below.largest)  # fmt: skip
            ways[node.position] = Ways(
                sum(below.number for *_, below in used),
                sum(local * below.total for _, _, local, below in used),
                sum(abs(local) * below.size for _, _, local, below in used),
                heapq.nlargest(k, longer, key=itemgetter(0)),
            )
        for operand in {x for _, x, *_ in used}:
            if last_use[operand] == node.position:  # counts are long numbers: keep no more than needed
                del ways[operand]
    return ways.get(graph.root.position)


def _longer(size: float, local: float) -> float:
    """The logarithm of a longer product; what is not finite counts as the largest of all, and is shown."""
    added = math.inf if not math.isfinite(local) else math.log(abs(local)) if local else -math.inf
    return math.inf if math.isnan(size + added) else size + added


def _row(graph: Graph, way: Way | None, size: float) -> PathRow:
    """A way from the root down, with the size of all."""
    nodes, places, gradient = [graph.root.position], list[int](), 1.0
    while way is not None:
        position, place, way = way
        gradient *= graph.nodes[nodes[-1]].local_derivatives[place] or 0.0
        nodes.append(position)
        places.append(place)
    share = abs(gradient) / size if size and math.isfinite(size) else math.nan if size else 0.0
    return PathRow(gradient, share, tuple(nodes), tuple(places), _words(graph, nodes, places))


def _words(graph: Graph, nodes: Sequence[int], places: Sequence[int], *, every: bool = False) -> str:
    """The nodes of a path by name, unnamed ones only at the ends or if ``every``; of twins with the place."""
    words = []
    for index, position in enumerate(nodes):
        word = plain_name(graph.names[position])
        if index and graph.nodes[nodes[index - 1]].read.count(position) > 1:
            words.append(f"{word} (operand {places[index - 1] + 1})")
        elif every or graph.named[position] or index in (0, len(nodes) - 1):
            words.append(word)
    return " → ".join(words if len(words) <= 2 * ENDS else [*words[:ENDS], "…", *words[-ENDS:]])
