"""``difference``: where two backward passes begin to differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from microbp.check.words import line_of
from microbp.debug.words import counted, operation
from microbp.graph import Graph, Node
from microbp.notebook import Shown
from microbp.tables import Table
from microbp.value import as_number

if TYPE_CHECKING:
    from microbp.debug.passes import Pass

__all__ = ["Difference", "DifferenceRow", "difference"]

#: How many rows are shown; ``rows`` has them all.
SHOWN = 10


class DifferenceRow(NamedTuple):
    """A node at which the two passes differ, by the first thing that does."""

    #: One of ``structure``, ``data``, ``local derivative`` and ``gradient``.
    what: str
    #: The name of the node here, and of its counterpart there.
    node: str
    counterpart: str
    #: What stands here, and what stands there: numbers, or texts where the structure differs.
    here: str | float | None
    there: str | float | None
    #: ``file:line`` of the node here, and of its counterpart.
    site: str | None
    other_site: str | None
    #: Whether nothing before it differs, so that the difference begins here.
    begins: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as texts."""
        pair = self.node if self.node == self.counterpart else f"{self.node} ({self.counterpart} there)"
        here, there = (None if site is None else line_of(site) for site in (self.site, self.other_site))
        line = (here or "-") + (f", {there} there" if there not in (here, None) else "")
        both = ("nothing" if x is None else str(x) for x in (self.here, self.there))
        return pair, self.what, *both, line


@dataclass(frozen=True, repr=False)
class Difference(Shown):
    """What :func:`difference` found; ``str(report)`` is the table."""

    title: str
    #: Those where a difference begins first, in the order in which the pass meets them.
    rows: tuple[DifferenceRow, ...]
    #: What is told besides: names that only one side has.
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the passes agree in structure and in all numbers. Names and lines do not count."""
        return not self.rows

    @property
    def first(self) -> DifferenceRow | None:
        """The first node that differs; None where none does."""
        return self.rows[0] if self.rows else None

    def table(self) -> Table:
        """The report laid out: the first rows, where the difference begins, and how many more."""
        hidden = Counter(row.what for row in self.rows[SHOWN:])
        told = ", ".join(f"{count} in {what}" for what, count in hidden.items())
        more = (f"{sum(hidden.values())} more nodes differ: {told} (diff.rows)",) if hidden else ()
        cells = tuple(row.cells for row in self.rows[:SHOWN])
        return Table(self.title, ("node", "differs in", "here", "there", "line"), cells, more + self.notes)

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"Difference({self.title})"


def difference(here: Pass, there: Pass, tolerance: float = 0.0) -> Difference:
    """Where two passes begin to differ.

    The nodes are paired from the root down, operand by operand; names do not matter. What differs at a
    pair is, first found first: the structure (operation, operands, literals, whether it takes a
    gradient), the data, a local derivative, the gradient.
    """
    if not isinstance(there, type(here)):
        raise TypeError(f"a pass is compared with another Trace, not with {there!r}")
    if not as_number(tolerance, "a tolerance") >= 0.0:
        raise ValueError(f"a tolerance is 0 or more, not {tolerance!r}")
    a, b = here.graph.nodes, there.graph.nodes
    pairs, unlike = _paired(here, there)
    first: dict[int, tuple[str, Any, Any]] = {}
    begins: set[int] = set()
    for p in sorted(pairs):
        mine, other = a[p], b[pairs[p]]
        local = zip(mine.local_derivatives, other.local_derivatives, strict=False)
        compared = [("data", mine.data, other.data), *(("local derivative", *each) for each in local)]
        found = [unlike[p]] if p in unlike else [x for x in compared if not _close(*x[1:], tolerance)]
        if found:
            first[p] = found[0]
            before = unlike if p in unlike else first
            begins |= set() if any(isinstance(x, int) and x in before for x in mine.operands) else {p}
    for p in sorted(pairs.keys() - first.keys(), reverse=True):
        both = here.gradient(p), there.gradient(pairs[p])
        if not _close(*both, tolerance):
            begins |= set() if first else {p}
            first[p] = "gradient", *both
    rows = []
    for p, (what, mine_, other_) in first.items():
        node, pair = a[p], b[pairs[p]]
        told = what, node.name, pair.name, mine_, other_, node.site, pair.site
        rows.append(DifferenceRow(*told, begins=p in begins))
    rows.sort(key=lambda row: (not row.begins, row.what != "structure"))
    title = f"the passes agree: {counted(len(a), 'value')}, {counted(len(here), 'step')}"
    if rows:
        at, what, mine_, other_, _ = rows[0].cells
        title = f"the passes differ first at {at}, in {what}: {mine_} here, {other_} there"
    return Difference(title, tuple(rows), tuple(_only(here, there)))


def _paired(here: Pass, there: Pass) -> tuple[dict[int, int], dict[int, tuple[str, str, str]]]:
    """For positions here those there, from the root down; and of pairs that do not match what does not.

    Such a pair is not followed further. A value used again on one side must be used again on the other.
    """
    a, b = here.graph, there.graph
    pairs, back = {a.root.position: b.root.position}, {b.root.position: a.root.position}
    unlike: dict[int, tuple[str, str, str]] = {}
    pending = [a.root.position]
    for position in pending:
        mine, other = a.nodes[position], b.nodes[pairs[position]]
        if not _alike(mine, other):
            unlike[position] = "structure", operation(a, mine), operation(b, other)
            continue
        for left, right in zip(mine.operands, other.operands, strict=True):
            if not isinstance(left, int) or not isinstance(right, int):
                continue
            if left not in pairs and right not in back:
                pairs[left], back[right] = right, left
                pending.append(left)
            elif pairs.get(left) != right:
                told = _use(a, mine, left, again=left in pairs), _use(b, other, right, again=right in back)
                unlike.setdefault(position, ("structure", *told))
    return pairs, unlike


def _use(graph: Graph, node: Node, operand: int, *, again: bool) -> str:
    return f"{operation(graph, node)} ({graph.names[operand]} {'again' if again else 'for the first time'})"


def _alike(a: Node, b: Node) -> bool:
    """Whether two nodes are the same operation of as many operands, with the same literals."""
    rules = [None if node.rule is None else node.rule.__reduce__() for node in (a, b)]
    literals = [[repr(x) if isinstance(x, float) else "" for x in node.operands] for node in (a, b)]
    return rules[0] == rules[1] and literals[0] == literals[1] and a.requires_grad == b.requires_grad


def _close(x: float | None, y: float | None, tolerance: float) -> bool:
    """Whether two numbers are the same to the last bit, nan to nan, or differ by less than is borne."""
    if x is None or y is None:
        return x is y
    return repr(x) == repr(y) or abs(x - y) <= tolerance * max(abs(x), abs(y)) > 0.0


def _only(here: Pass, there: Pass) -> list[str]:
    """Which named values one side lacks."""
    notes = []
    for side, graph, other in (("here", here.graph, there.graph), ("there", there.graph, here.graph)):
        only = [node.name for node in graph if node.named and node.name not in other._called]
        if only:
            notes.append(f"only {side}: {', '.join([*only[:3], '…'] if len(only) > 3 else only)}")
    return notes
