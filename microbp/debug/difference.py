"""``difference``: where two backward passes begin to differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from microbp.check.words import line_of
from microbp.debug.words import counted, operation
from microbp.graph import Graph, Node
from microbp.tables import Table
from microbp.value import as_number

if TYPE_CHECKING:
    from microbp.debug.trace import Trace

__all__ = ["Difference", "DifferenceRow", "difference"]

#: What can differ at a node, in the order in which one follows from the other.
KINDS = ("structure", "data", "local derivative", "upstream gradient", "contribution", "gradient")
#: How many rows are shown; ``rows`` has them all.
SHOWN = 10
#: What is said of an operand where the passes share values differently.
_AGAIN = {True: " again", False: " for the first time"}


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


@dataclass(frozen=True, repr=False)
class Difference:
    """What :func:`difference` found; ``str(report)`` is the table."""

    title: str
    #: Those where a difference begins first, in the order in which the pass meets them.
    rows: tuple[DifferenceRow, ...]
    #: What is told besides: names and lines that differ.
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
        rows = self.rows[:SHOWN]
        hidden = Counter(row.what for row in self.rows[SHOWN:])
        more = ", ".join(f"{count} in {what}" for what, count in hidden.items())
        return Table(
            self.title,
            ("node", "differs in", "here", "there", "line"),
            tuple((_pair(row), row.what, _cell(row.here), _cell(row.there), _lines(row)) for row in rows),
            ((f"{sum(hidden.values())} more nodes differ: {more} (diff.rows)",) if hidden else ())
            + self.notes,
        )

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"Difference({self.title})"


def difference(here: Trace, there: Trace, tolerance: float = 0.0) -> Difference:
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
    rows = compared.rows()
    first = rows[0] if rows else None
    if first is None:
        title = f"the passes agree: {counted(len(here.graph), 'value')}, {counted(len(here), 'step')}"
    else:
        title = (
            f"the passes differ first at {_pair(first)}, in {first.what}: "
            f"{_cell(first.here)} here, {_cell(first.there)} there"
        )
    return Difference(title, tuple(rows), tuple(compared.notes()))


class _Compared:
    def __init__(self, here: Trace, there: Trace, tolerance: float) -> None:
        self.a, self.b, self.tolerance = here, there, tolerance
        self.gradients = here.gradients(), there.gradients()
        #: For positions here, the positions there; for pairs that do not match, both sides in words.
        self.pairs: dict[int, int] = {}
        self.mismatched: dict[int, tuple[str, str]] = {}
        self._pair_up()

    # --------------------------------------------------------------------------------- the structure
    def _pair_up(self) -> None:
        """Pair the nodes from the root down; a pair that does not match is not followed further."""
        a, b = self.a.graph, self.b.graph
        self.pairs = {a.root.position: b.root.position}
        back = {b.root.position: a.root.position}
        pending = [a.root.position]
        for position in pending:
            mine, other = a.nodes[position], b.nodes[self.pairs[position]]
            if not _alike(mine, other):
                self.mismatched[position] = operation(a, mine), operation(b, other)
                continue
            for left, right in zip(mine.operands, other.operands, strict=True):
                if type(left) is not int or type(right) is not int:
                    continue
                if left not in self.pairs and right not in back:
                    self.pairs[left], back[right] = right, left
                    pending.append(left)
                elif self.pairs.get(left) != right:
                    told = (
                        f"{operation(a, mine)} ({a.nodes[left].name}{_AGAIN[left in self.pairs]})",
                        f"{operation(b, other)} ({b.nodes[right].name}{_AGAIN[right in back]})",
                    )
                    self.mismatched.setdefault(position, told)

    # ------------------------------------------------------------------------------------- all of it
    def rows(self) -> list[DifferenceRow]:
        """All nodes that differ: those of the forward computation, then those of the pass."""
        forward = {p: found for p in sorted(self.pairs) for found in self._forward(p)}
        rows = []
        for p, found in forward.items():
            before = self.mismatched if p in self.mismatched else forward
            operands = self.a.graph.nodes[p].operands
            begins = not any(type(each) is int and each in before for each in operands)  # 2.0 is no position
            rows.append(self._row(p, *found, begins=begins))
        seen = bool(rows)
        for p in sorted(self.pairs, reverse=True):
            if p not in forward:
                for found in self._backward(p):
                    rows.append(self._row(p, *found, begins=not seen))
                    seen = True
        return sorted(rows, key=lambda row: (not row.begins, row.what != "structure"))

    def _forward(self, p: int) -> Iterator[tuple[str, Any, Any]]:
        if p in self.mismatched:
            yield ("structure", *self.mismatched[p])
            return
        mine, other = self.a.graph.nodes[p], self.b.graph.nodes[self.pairs[p]]
        if not self._close(mine.data, other.data):
            yield "data", mine.data, other.data
            return
        for left, right in zip(mine.local_derivatives, other.local_derivatives, strict=True):
            if not self._close(left, right):
                yield "local derivative", left, right
                return

    def _backward(self, p: int) -> Iterator[tuple[str, Any, Any]]:
        q = self.pairs[p]
        left, right = self.gradients[0][p], self.gradients[1][q]
        mine, other = self.a.step_of(p), self.b.step_of(q)
        if mine is None or other is None:
            if not self._close(left, right):
                yield "gradient", left, right
            return
        if not self._close(mine.upstream, other.upstream):
            yield "upstream gradient", mine.upstream, other.upstream
            return
        paid = [{c.place: c.amount for c in step.contributions} for step in (mine, other)]
        for place in sorted({*paid[0], *paid[1]}):
            if not self._close(paid[0].get(place), paid[1].get(place)):
                yield "contribution", paid[0].get(place), paid[1].get(place)
                return

    def _row(self, p: int, what: str, here: Any, there: Any, *, begins: bool) -> DifferenceRow:
        mine, other = self.a.graph.nodes[p], self.b.graph.nodes[self.pairs[p]]
        return DifferenceRow(what, mine.name, other.name, here, there, mine.site, other.site, begins)

    def _close(self, x: float | None, y: float | None) -> bool:
        if x is None or y is None:
            return x is y
        return repr(x) == repr(y) or abs(x - y) <= self.tolerance * max(abs(x), abs(y)) > 0.0

    def notes(self) -> list[str]:
        """What differs beside the numbers."""
        pairs = sorted(each for each in self.pairs.items() if each[0] not in self.mismatched)
        nodes = [(self.a.graph.nodes[p], self.b.graph.nodes[q]) for p, q in pairs]
        renamed = [(a.name, b.name) for a, b in nodes if a.name != b.name and (a.named or b.named)]
        moved = [(a.site, b.site) for a, b in nodes if a.site != b.site]
        notes = []
        for side, one, other in (("here", self.a.graph, self.b.graph), ("there", self.b.graph, self.a.graph)):
            if only := self._only(one, other):
                notes.append(f"only {side}: {_some(only)}")
        if renamed:
            told = [f"{a} here is {b} there" for a, b in renamed]
            notes.append(f"names: {len(renamed)} differ{'s' * (len(renamed) == 1)}: {_some(told)}")
        if moved:
            notes.append(f"lines: {counted(len(moved), 'value')} recorded on another line")
        return notes

    def _only(self, one: Graph, other: Graph) -> list[str]:
        """The names in one graph of values that have no counterpart in the other."""
        known = {node.name for node in other}
        here = one is self.a.graph
        known |= {one.nodes[p if here else q].name for p, q in self.pairs.items() if p not in self.mismatched}
        return [node.name for node in one if node.named and node.name not in known]


def _alike(a: Node, b: Node) -> bool:
    """Whether two nodes are the same operation of as many operands, with the same literals."""
    if a.rule is None or b.rule is None:
        same_rule = a.rule is b.rule
    else:
        same_rule = a.rule is b.rule or a.rule.__reduce__() == b.rule.__reduce__()
    literals = [[repr(x) if type(x) is float else "" for x in node.operands] for node in (a, b)]
    return same_rule and literals[0] == literals[1] and a.requires_grad == b.requires_grad


def _some(words: list[str]) -> str:
    """The first of several."""
    return ", ".join([*words[:3], "…"] if len(words) > 3 else words)


def _pair(row: DifferenceRow) -> str:
    return row.node if row.node == row.counterpart else f"{row.node} ({row.counterpart} there)"


def _cell(x: str | float | None) -> str:
    return "nothing" if x is None else x if isinstance(x, str) else repr(x)


def _lines(row: DifferenceRow) -> str:
    here, there = (None if site is None else line_of(site) for site in (row.site, row.other_site))
    if here == there or there is None:
        return here or "-"
    return f"{here or '-'}, {there} there"
