"""``difference``: where two backward passes begin to differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from microbp.check.words import line_of
from microbp.debug.words import counted, operation
from microbp.graph import Node
from microbp.tables import Table
from microbp.value import as_number

if TYPE_CHECKING:
    from microbp.debug.passes import Pass

__all__ = ["Difference", "DifferenceRow", "difference"]

#: How many rows are shown; ``rows`` has them all.
SHOWN = 10
#: What is said of an operand where the passes share values differently.
_AGAIN = {True: " again", False: " for the first time"}
#: What differs at a pair of nodes: in what, here, there.
_Found = tuple[str, Any, Any]


class DifferenceRow(NamedTuple):
    """A node at which the two passes differ, by the first thing that does."""

    #: One of ``structure``, ``data``, ``local derivative``, ``upstream gradient``, ``contribution`` and
    #: ``gradient``.
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
    def pair(self) -> str:
        """Both names, or one."""
        return self.node if self.node == self.counterpart else f"{self.node} ({self.counterpart} there)"

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as texts."""
        here, there = (None if site is None else line_of(site) for site in (self.site, self.other_site))
        line = (here or "-") + (f", {there} there" if there not in (here, None) else "")
        return self.pair, self.what, _cell(self.here), _cell(self.there), line


@dataclass(frozen=True, repr=False)
class Difference:
    """What :func:`difference` found; ``str(report)`` is the table."""

    title: str
    #: Those where a difference begins first, in the order in which the pass meets them.
    rows: tuple[DifferenceRow, ...]
    #: What is told besides: names that differ, and values that one side lacks.
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the passes agree in structure and in all numbers. Names and lines do not count."""
        return not self.rows

    @property
    def first(self) -> DifferenceRow | None:
        """The first node that differs; None where none does."""
        return self.rows[0] if self.rows else None

    @property
    def counts(self) -> Counter[str]:
        """How many nodes differ, by the first thing that does."""
        return Counter(row.what for row in self.rows)

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
    """Where the passes ``here`` and ``there`` begin to differ, as :class:`Difference`.

    The nodes are paired from the root down, operand by operand; names do not matter. What differs at a
    pair is, first found first: the structure (operation, operands, literals, whether it takes a
    gradient), the data, a local derivative, the upstream gradient, a contribution; at a leaf the
    gradient. Numbers are compared to the last bit, nan equal to nan; ``tolerance`` lets two numbers
    differ by so much of the larger.

    >>> from microbp import Value
    >>> from microbp.debug.trace import trace
    >>> def run(w):
    ...     w = Value(w, name="w")
    ...     return trace((w * 3.0).tanh(), {})
    >>> print(run(0.4).diff(run(0.4)))
    the passes agree: 3 values, 2 steps
    >>> print(run(0.4).diff(run(0.5)))
    the passes differ first at w, in data: 0.4 here, 0.5 there
    <BLANKLINE>
    node   differs in   here                 there                line
    ──────────────────────────────────────────────────────────────────
    w      data         0.4                  0.5                  -
    v1     data         1.2000000000000002   1.5                  -
    v2     data         0.8336546070121553   0.9051482536448664   -

    Raises TypeError where ``there`` is no Trace, ValueError for a negative tolerance.
    """
    if not isinstance(there, type(here)):
        raise TypeError(f"a pass is compared with another Trace, not with {there!r}")
    if not as_number(tolerance, "a tolerance") >= 0.0:
        raise ValueError(f"a tolerance is 0 or more, not {tolerance!r}")
    compared = _Compared(here, there, tolerance)
    rows = tuple(compared.rows())
    title = f"the passes agree: {counted(len(here.graph), 'value')}, {counted(len(here), 'step')}"
    if rows:
        _, what, mine, other, _ = rows[0].cells
        title = f"the passes differ first at {rows[0].pair}, in {what}: {mine} here, {other} there"
    return Difference(title, rows, tuple(compared.notes()))


class _Compared:
    def __init__(self, here: Pass, there: Pass, tolerance: float) -> None:
        self.a, self.b, self.tolerance = here, there, tolerance
        #: For positions here, the positions there; for pairs that do not match, what does not.
        self.pairs: dict[int, int] = {}
        self.mismatched: dict[int, _Found] = {}
        self._pair_up()

    def _pair_up(self) -> None:
        """Pair the nodes from the root down; a pair that does not match is not followed further."""
        a, b = self.a.graph, self.b.graph
        self.pairs = {a.root.position: b.root.position}
        back = {b.root.position: a.root.position}
        pending = [a.root.position]
        for position in pending:
            mine, other = a.nodes[position], b.nodes[self.pairs[position]]
            if not _alike(mine, other):
                self.mismatched[position] = "structure", operation(a, mine), operation(b, other)
                continue
            for left, right in zip(mine.operands, other.operands, strict=True):
                if not isinstance(left, int) or not isinstance(right, int):
                    continue
                if left not in self.pairs and right not in back:
                    self.pairs[left], back[right] = right, left
                    pending.append(left)
                elif self.pairs.get(left) != right:
                    first = f"{operation(a, mine)} ({a.nodes[left].name}{_AGAIN[left in self.pairs]})"
                    second = f"{operation(b, other)} ({b.nodes[right].name}{_AGAIN[right in back]})"
                    self.mismatched.setdefault(position, ("structure", first, second))

    def rows(self) -> list[DifferenceRow]:
        """All nodes that differ: those of the forward computation, then those of the pass."""
        forward = {p: found for p in sorted(self.pairs) if (found := self._first(self._forward(p)))}
        rows = []
        for p, found in forward.items():
            before = self.mismatched if p in self.mismatched else forward
            operands = self.a.graph.nodes[p].operands
            begins = not any(isinstance(each, int) and each in before for each in operands)
            rows.append(self._row(p, found, begins=begins))
        for p in sorted(self.pairs.keys() - forward.keys(), reverse=True):
            if found := self._first(self._backward(p)):
                rows.append(self._row(p, found, begins=not rows))
        return sorted(rows, key=lambda row: (not row.begins, row.what != "structure"))

    def _forward(self, p: int) -> Iterator[_Found]:
        mine, other = self.a.graph.nodes[p], self.b.graph.nodes[self.pairs[p]]
        if p in self.mismatched:
            yield self.mismatched[p]
            return
        yield "data", mine.data, other.data
        for left, right in zip(mine.local_derivatives, other.local_derivatives, strict=True):
            yield "local derivative", left, right

    def _backward(self, p: int) -> Iterator[_Found]:
        mine, other = self.a.step_of(p), self.b.step_of(self.pairs[p])
        if mine is None or other is None:
            yield "gradient", self.a.gradient(p), self.b.gradient(self.pairs[p])
            return
        yield "upstream gradient", mine.upstream, other.upstream
        paid = [{c.place: c.amount for c in step.contributions} for step in (mine, other)]
        for place in sorted({*paid[0], *paid[1]}):
            yield "contribution", paid[0].get(place), paid[1].get(place)

    def _first(self, compared: Iterator[_Found]) -> _Found | None:
        """The first of these that differ."""
        return next((each for each in compared if not self._close(*each[1:])), None)

    def _close(self, x: Any, y: Any) -> bool:
        if not isinstance(x, float) or not isinstance(y, float):
            return x is y is None
        return repr(x) == repr(y) or abs(x - y) <= self.tolerance * max(abs(x), abs(y)) > 0.0

    def _row(self, p: int, found: _Found, *, begins: bool) -> DifferenceRow:
        mine, other = self.a.graph.nodes[p], self.b.graph.nodes[self.pairs[p]]
        what, here, there = found
        return DifferenceRow(what, mine.name, other.name, here, there, mine.site, other.site, begins)

    def notes(self) -> list[str]:
        """Which named values one side lacks, and which names differ."""
        nodes = [
            (self.a.graph.nodes[p], self.b.graph.nodes[q])
            for p, q in sorted(self.pairs.items())
            if p not in self.mismatched
        ]
        notes = []
        for side, one, other in (("here", 0, self.a.graph), ("there", 1, self.b.graph)):
            known = {node.name for node in (self.b, self.a)[one].graph} | {pair[one].name for pair in nodes}
            if only := [node.name for node in other if node.named and node.name not in known]:
                notes.append(f"only {side}: {_some(only)}")
        if renamed := [(a.name, b.name) for a, b in nodes if a.name != b.name and (a.named or b.named)]:
            told = [f"{a} here is {b} there" for a, b in renamed]
            notes.append(f"names: {len(renamed)} differ{'s' * (len(renamed) == 1)}: {_some(told)}")
        return notes


def _alike(a: Node, b: Node) -> bool:
    """Whether two nodes are the same operation of as many operands, with the same literals."""
    same_rule = a.rule is b.rule
    if a.rule is not None and b.rule is not None and not same_rule:
        same_rule = a.rule.__reduce__() == b.rule.__reduce__()
    literals = [[repr(x) if isinstance(x, float) else "" for x in node.operands] for node in (a, b)]
    return same_rule and literals[0] == literals[1] and a.requires_grad == b.requires_grad


def _some(words: list[str]) -> str:
    """The first of several."""
    return ", ".join([*words[:3], "…"] if len(words) > 3 else words)


def _cell(x: str | float | None) -> str:
    return "nothing" if x is None else x if isinstance(x, str) else repr(x)
