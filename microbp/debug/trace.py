"""``trace``: the steps of a backward pass as a public record, which is compared, kept as JSON, and read back.

The pass follows from its graph, so the JSON is that of the graph. It is strict JSON: nan and infinities
stand as the texts ``"nan"``, ``"inf"``, ``"-inf"``. The rows of the rules in use come along, and a trace can
be read where an operation is not defined.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from microbp.bounds import bounded
from microbp.check.words import line_of
from microbp.debug.passes import Pass
from microbp.debug.words import counted, equation, figure, operation
from microbp.errors import MicrobpError
from microbp.graph import Graph, Node
from microbp.notebook import Shown
from microbp.sites import user_scope
from microbp.tables import Table
from microbp.value import Value

#: What the JSON says that it is. A reader refuses other versions.
FORMAT, VERSION = "microbp trace", 3
#: A table shows no more steps, and one of differences no more rows; ``steps`` and ``rows`` have them all.
STEPS, SHOWN = 50, 10


class Trace(Pass, Shown):
    """A backward pass as data; made by :func:`trace`, and never changed.

    Two traces are equal if their graphs are, with all their numbers, to the last bit, nan to nan. What
    ``grad`` held when the graph was frozen is no part of the pass and does not count.
    """

    def __setattr__(self, name: str, held: object) -> None:
        raise AttributeError(f"a Trace is a record: its {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Trace is a record: its {name} cannot be deleted")

    def to_json(self) -> str:
        """The trace as JSON text; :meth:`from_json` gives an equal trace."""
        return f'{{"format": "{FORMAT}", "version": {VERSION},\n"graph": {self.graph.to_json()}}}\n'

    @staticmethod
    def from_json(text: str) -> Trace:
        """The trace of a text that :meth:`to_json` wrote, here or elsewhere.

        >>> pass_ = trace(Value(3.0, name="x").sigmoid(), {})
        >>> Trace.from_json(pass_.to_json()) == pass_
        True
        >>> Trace.from_json("[1, 2]")
        Traceback (most recent call last):
            ...
        microbp.debug.trace.NotATrace: this JSON is not a trace: it has no "format": "microbp trace"

        Raises NotATrace, a ValueError, for anything else, with what is wrong and where.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NotATrace(f"this text is not a trace: it is not JSON ({error})") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise NotATrace(f'this JSON is not a trace: it has no "format": "{FORMAT}"')
        if document.get("version") != VERSION:
            told = f"this trace has the version {document.get('version')!r}"
            raise NotATrace(f"{told}; this microbp reads version {VERSION}")
        try:
            graph = Graph.from_json(json.dumps(document.get("graph")))
            if graph.roots != (len(graph) - 1,):
                raise NotATrace(f"its root is {graph.roots}, not the last of its nodes")
            return Trace(graph)
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, MicrobpError) as error:
            raise NotATrace(f"this trace is damaged at its graph: {error}") from None

    def diff(self, other: Trace) -> Difference:
        """Where the two passes begin to differ: in structure, data or a local derivative.

        The nodes are paired from the root down, operand by operand; names do not matter. Numbers are
        compared to the last bit, nan equal to nan.

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

        Raises TypeError where ``other`` is no Trace.
        """
        return difference(self, other)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return self is other or self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((len(self.graph), self.graph.root.name, repr(self.graph.root.data)))

    def _compared(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.graph.to_json(), parse_float=str)
        return {**document, "grad": None, "known": None}

    def __repr__(self) -> str:
        root = self.graph.root
        steps, values = counted(len(self), "step"), counted(len(self.graph), "value")
        return f"Trace({steps}, {values}, root {root.name} = {root.data!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Trace, (self.graph,)

    def table(self) -> Table:
        """The first steps, with a row for each contribution; a notebook shows it, too."""
        root, names, rows = self.graph.root, self.graph.names, []
        for step in self.steps[:STEPS]:
            first = str(step.index), equation(self.graph, self.graph.nodes[step.node]), figure(step.upstream)
            for each in step.contributions:
                missing = f"({each.missing} missing)" if each.missing else "✓"
                gradient = f"{figure(each.before)} → {figure(each.after)} {missing}"
                amount = f"{each.symbols} = {figure(each.local)}", figure(each.amount)
                rows.append((*first, names[each.operand], *amount, gradient))
                first = "", "", ""  # of one step only the first row says which it is
        more = len(self) - STEPS
        columns = ("step", "node", ">upstream", "operand", "local derivative", ">contribution", "gradient")
        title = f"{root.name} = {figure(root.data)}: {counted(len(self.graph), 'value')}"
        notes = (f"… and {counted(more, 'more step')}.",) if more > 0 else ()
        return Table(f"{title}, {counted(len(self), 'step')}", columns, tuple(rows), notes)


def trace(loss: Value | Graph, names: Mapping[str, Any] | None = None) -> Trace:
    """The backward pass from ``loss``, step by step, as :class:`Trace`.

    It is worked out from the recorded local derivatives, with the engine's order and roundings: its
    final gradients are those of ``backward()`` to the last bit. ``backward()`` need not have run, and
    no ``grad`` is read or changed. Its graph has the numbers that were recorded, also where the
    parameters have been given others since. ``names`` maps names to Values, as ``locals()`` does; the
    variables of the caller name them unless it is given. Where ``loss`` is a Graph it has its names already.

    >>> w, x = Value(0.5, name="w"), Value(3.0, name="x")
    >>> y = (w * x).sigmoid()
    >>> for step in trace(y).steps:
    ...     for c in step.contributions:
    ...         print(f"{step.upstream:.6f} × ({c.numbers}) = {c.amount:.6f}, missing {c.missing}")
    1.000000 × (0.8176·(1 − 0.8176)) = 0.149146, missing 0
    0.149146 × (0.5) = 0.074573, missing 0
    0.149146 × (3) = 0.447439, missing 0

    A leaf has a pass without steps. Raises TypeError where ``loss`` is neither a Value nor a Graph,
    NoGradientError where it is a constant.
    """
    if isinstance(loss, Value):
        loss = Graph(loss, user_scope() if names is None else names)
    elif not isinstance(loss, Graph):
        raise TypeError(f"trace() takes the Value from which the pass starts, or a Graph, not {loss!r}")
    bounded("trace()", loss)
    return Trace(loss)


class NotATrace(MicrobpError, ValueError):
    """A text is no trace, or a damaged one."""


# -------------------------------------------------------------------------- where two passes differ
class DifferenceRow(NamedTuple):
    """A node at which the two passes differ, by the first thing that does."""

    #: One of ``structure``, ``data`` and ``local derivative``; what follows from these is no difference.
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


def difference(here: Trace, there: Trace) -> Difference:
    """Where two passes begin to differ.

    The nodes are paired from the root down, operand by operand; names do not matter. What differs at a
    pair is, first found first: the structure (operation, operands, literals, whether it takes a
    gradient), the data, a local derivative.
    """
    if not isinstance(there, Trace):
        raise TypeError(f"a pass is compared with another Trace, not with {there!r}")
    a, b = here.graph.nodes, there.graph.nodes
    pairs, unlike = _paired(here, there)
    first: dict[int, tuple[str, Any, Any]] = {}
    rows = []
    for p in sorted(pairs):
        mine, other = a[p], b[pairs[p]]
        local = zip(mine.local_derivatives, other.local_derivatives, strict=False)
        compared = [("data", mine.data, other.data), *(("local derivative", *each) for each in local)]
        found = [unlike[p]] if p in unlike else [each for each in compared if repr(each[1]) != repr(each[2])]
        if found:
            before = unlike if p in unlike else first
            begins = not any(isinstance(x, int) and x in before for x in mine.operands)
            first[p] = what, x, y = found[0]
            rows.append(DifferenceRow(what, mine.name, other.name, x, y, mine.site, other.site, begins))
    rows.sort(key=lambda row: (not row.begins, row.what != "structure"))
    title = f"the passes agree: {counted(len(a), 'value')}, {counted(len(here), 'step')}"
    if rows:
        at, what, x, y, _ = rows[0].cells
        title = f"the passes differ first at {at}, in {what}: {x} here, {y} there"
    return Difference(title, tuple(rows), tuple(_only(here, there)))


def _paired(here: Trace, there: Trace) -> tuple[dict[int, int], dict[int, tuple[str, str, str]]]:
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


def _only(here: Trace, there: Trace) -> list[str]:
    """Which named values one side lacks."""
    notes = []
    for side, graph, other in (("here", here.graph, there.graph), ("there", there.graph, here.graph)):
        only = [node.name for node in graph if node.named and node.name not in other._called]
        if only:
            notes.append(f"only {side}: {', '.join([*only[:3], '…'] if len(only) > 3 else only)}")
    return notes
