"""``trace``: one backward pass over a recorded graph, with what every use of every value pays, before, after.

Whatever the debugger shows, explains or blames reads this record; nobody adds gradients up again. A step is
one computed node that passes its gradient on to its operands, in the order of ``backward()`` and with its
roundings. The numbers are those that were recorded, also when the parameters have moved on since. A trace is
compared with another one, kept as JSON, and read back.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from microbp.calls import line_of, user_scope
from microbp.debug.formulas import Formulas, equation, figure
from microbp.errors import MicrobpError, NoGradientError
from microbp.graph import Graph, Node, as_recorded, cached_property, given_to
from microbp.text import Shown, Table, counted, quoted, shown
from microbp.value import Value

#: What the JSON says that it is. A reader refuses other versions.
FORMAT, VERSION = "microbp trace", 3
#: A table shows no more steps, and one of differences no more rows; ``steps`` and ``rows`` have them all.
STEPS, SHOWN = 50, 10


class Contribution(NamedTuple):
    """One use of a value, and what the value receives there: ``before += upstream × local → after``."""

    #: The step in which it is paid, from 1, and the node that pays.
    step: int
    user: int
    #: The place of the operand among the operands of that node; ``x * x`` has two.
    place: int
    #: The position of the value that receives.
    operand: int
    #: ∂user/∂operand, as recorded.
    local: float
    #: upstream × local.
    amount: float
    #: The operand's gradient before; None where it has received nothing yet.
    before: float | None
    after: float
    #: How many contributions the operand still waits for; its gradient is final at 0.
    missing: int
    graph: Graph

    @property
    def symbols(self) -> str:
        """The local derivative with the names of this node: ``h1·(1 − h1)``."""
        return self.told()[0]

    @property
    def numbers(self) -> str:
        """The local derivative with numbers: ``0.5933·(1 − 0.5933)``."""
        return self.told()[1]

    def told(self) -> tuple[str, str]:
        """The local derivative in both forms, :attr:`symbols` and :attr:`numbers`."""
        formulas = Formulas(self.graph)
        derivative = formulas.derivative(self.user, self.place)
        return formulas.math(derivative).text, formulas.numbers(derivative, 4).text

    @property
    def turns(self) -> bool:
        """Whether it gives the gradient the other sign."""
        return self.before is not None and (self.before < 0.0 < self.after or self.after < 0.0 < self.before)


class Step(NamedTuple):
    """One computed node passes its gradient on."""

    #: 1, 2, …; step 0 is the seed, ∂root/∂root = 1, and has no record.
    index: int  # type: ignore[assignment]  # steps are counted; nobody searches in one
    #: The position of the node in the graph.
    node: int
    #: ∂root/∂node, complete.
    upstream: float
    #: In the order of the engine: the last operand first. Constants receive nothing.
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Shown):
    """A backward pass as data; made by :func:`trace`, and never changed.

    >>> x = Value(3.0, name="x")
    >>> pass_ = trace(x * x, {})
    >>> [(got.place, got.amount, got.before, got.after) for got in pass_.received[0]]
    [(1, 3.0, None, 3.0), (0, 3.0, 3.0, 6.0)]
    >>> pass_.gradient(0, 0), pass_.gradient(0), pass_.missing(0, 0)
    (None, 6.0, 2)

    Two traces are equal if their graphs are, with all their numbers, to the last bit, nan to nan. What
    ``grad`` held when the graph was frozen is no part of the pass and does not count.

    Raises NoGradientError where the root is a constant.
    """

    #: With the numbers that were recorded, also where leaves have been given others since.
    graph: Graph
    #: In the order of the pass; ``steps[0]`` is step 1.
    steps: tuple[Step, ...] = field(init=False)
    #: The leaves whose numbers are no longer those that were recorded.
    moved: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        recorded, moved = as_recorded(self.graph)
        root = recorded.root
        if not root.requires_grad:
            raise NoGradientError(
                f"{root.name} = {root.data!r} is a constant: there is no backward pass from it to trace"
            )
        vars(self).update(graph=recorded, moved=moved, steps=tuple(_steps(recorded)))

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.steps)

    @cached_property
    def received(self) -> list[list[Contribution]]:
        """What each node receives, in the order in which it comes; nothing for the root and constants."""
        received: list[list[Contribution]] = [[] for _ in self.graph.op]
        for step in self.steps:
            for each in step.contributions:
                received[each.operand].append(each)
        return received

    def gradient(self, position: int, step: int | None = None) -> float | None:
        """The gradient of a node after so many steps, after all of them unless told; None: nothing yet."""
        if own := self._arrived(position, step):
            return own[-1].after
        return 1.0 if position == self.graph.roots[-1] else None

    def missing(self, position: int, step: int | None = None) -> int:
        """How many contributions a node still waits for after so many steps."""
        return len(self._arrived(position)) - len(self._arrived(position, step))

    def _arrived(self, position: int, step: int | None = None) -> list[Contribution]:
        """What a node has received after so many steps."""
        try:
            own = self.received[position if position >= 0 else len(self.received)]
        except (IndexError, TypeError):
            raise self.graph.no_node(position) from None
        if step is None:
            return own
        if not isinstance(step, int):
            raise TypeError(f"a step is a whole number, or None for all of them, not {shown(repr(step))}")
        if not 0 <= step <= len(self.steps):
            raise IndexError(f"there is no step {step}: this pass has the steps 0 to {len(self.steps)}")
        return own[: bisect_right(own, step, key=attrgetter("step"))]

    def largest(self, position: int) -> Contribution | None:
        """The largest contribution that a node receives; None where it receives none."""
        return max(self._arrived(position), key=lambda each: abs(each.amount), default=None)

    def gradients(self, step: int | None = None) -> list[float | None]:
        """The gradient of every node after so many steps, after all of them unless told.

        None stands for a node that has received nothing yet, and for a constant. Step 0 is the seed.

        Raises IndexError where there is no such step.
        """
        return [self.gradient(position, step) for position in range(len(self.graph))]

    def step_of(self, which: int | str | Value) -> Step | None:
        """The step in which a node passes its gradient on; None for a leaf, which does not.

        ``which`` is what ``graph[...]`` takes: a position, a name or a Value; KeyError as there.
        """
        return self._steps.get(self.graph[which].position)

    @cached_property
    def _steps(self) -> dict[int, Step]:
        return {step.node: step for step in self.steps}

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
        if (version := document.get("version")) != VERSION:
            raise NotATrace(f"this trace has the version {quoted(version)}; microbp reads version {VERSION}")
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
        if not isinstance(other, Trace):
            raise TypeError(f"a pass is compared with another Trace, not with {quoted(other)}")
        rows = _differing(self.graph, other.graph)
        title = f"the passes agree: {counted(len(self.graph), 'value')}, {counted(len(self), 'step')}"
        for at, what, x, y, _ in (row.cells for row in rows[:1]):
            title = f"the passes differ first at {at}, in {what}: {x} here, {y} there"
        return Difference(title, tuple(rows))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((len(self.graph), self.graph.root.name, repr(self.graph.root.data)))

    def _compared(self) -> str:
        return self.graph.with_grad([None] * len(self.graph)).to_json()

    def __repr__(self) -> str:
        root = self.graph.root
        steps, values = counted(len(self), "step"), counted(len(self.graph), "value")
        return f"Trace({steps}, {values}, root {root.name} = {root.data!r})"

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.graph,)

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
    return Trace(given_to("trace()", loss, user_scope() if names is None else names))


def _steps(graph: Graph) -> Iterator[Step]:
    """The chain rule over a graph, in the engine's order and with the engine's roundings."""
    nodes = graph.nodes
    #: Of each computed node the operands that take a gradient, the last first: place, position, derivative.
    paid = {
        node.position: [edge for edge in node.edges if nodes[edge[1]].requires_grad][::-1]
        for node in nodes if node.rule is not None
    }  # fmt: skip
    waiting = Counter(operand for each in paid.values() for _, operand, _ in each)
    gradients: dict[int, float] = {graph.roots[-1]: 1.0}
    for index, position in enumerate(reversed(paid), start=1):
        if position not in gradients:  # one of several roots, or in a file that was changed by hand
            root, name = graph.root.name, shown(graph.names[position])
            raise ValueError(
                f"a pass goes back from one value, here {shown(root)}, and that does not depend on {name}: "
                "trace each of them by itself, as trace(value)"
            )
        given, upstream = [], gradients[position]
        for place, operand, local in paid[position]:
            before, amount = gradients.get(operand), upstream * local
            # The engine starts every sum at 0.0, which makes a first -0.0 a 0.0.
            after = gradients[operand] = (0.0 if before is None else before) + amount
            waiting[operand] -= 1
            told = local, amount, before, after, waiting[operand]
            given.append(Contribution(index, position, place, operand, *told, graph))
        yield Step(index, position, upstream, tuple(given))


class NotATrace(MicrobpError, ValueError):
    """A text is no trace, or a damaged one."""


# -------------------------------------------------------------------------- where two passes differ
class DifferenceRow(NamedTuple):
    """A node at which the two passes differ, by the first thing that does."""

    #: One of ``structure``, ``data`` and ``local derivative``.
    what: str
    #: The name of the node here, and of its counterpart there.
    node: str
    counterpart: str
    #: What stands here, and what stands there: numbers, or texts where the structure differs.
    here: str | float | None
    there: str | float | None
    #: ``file:line`` of the node here.
    site: str | None
    #: Whether nothing before it differs, so that the difference begins here.
    begins: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as texts."""
        pair = self.node if self.node == self.counterpart else f"{self.node} ({self.counterpart} there)"
        both = ("nothing" if x is None else str(x) for x in (self.here, self.there))
        return pair, self.what, *both, "-" if self.site is None else line_of(self.site)


@dataclass(frozen=True, repr=False)
class Difference(Shown):
    """What :meth:`Trace.diff` found; ``str(report)`` is the table."""

    title: str
    #: Those where a difference begins first, in the order in which the pass meets them.
    rows: tuple[DifferenceRow, ...]

    @property
    def ok(self) -> bool:
        """Whether the passes agree in structure and in all numbers. Names and lines do not count."""
        return not self.rows

    def table(self) -> Table:
        """The report laid out: the first rows, where the difference begins, and how many more."""
        hidden = len(self.rows) - SHOWN
        more = (f"{counted(hidden, 'more node')} (diff.rows)",) if hidden > 0 else ()
        cells = tuple(row.cells for row in self.rows[:SHOWN])
        return Table(self.title, ("node", "differs in", "here", "there", "line"), cells, more)


def _differing(a: Graph, b: Graph) -> list[DifferenceRow]:
    """The nodes that differ, paired from the root down; what is used again here must be so there."""
    pairs, back = {a.root.position: b.root.position}, {b.root.position: a.root.position}
    unlike: dict[int, tuple[str, Any, Any]] = {}
    for position in (pending := [a.root.position]):
        mine, other = a.nodes[position], b.nodes[pairs[position]]
        told = _operation(a, mine), _operation(b, other)
        if _form(mine) != _form(other):
            unlike[position] = "structure", *told
            continue
        for left, right in zip(mine.read, other.read, strict=True):
            if pairs.get(left) == right:
                continue
            if left not in pairs and right not in back:
                pairs[left], back[right] = right, left
                pending.append(left)
                continue
            again = ["again" if seen else "for the first time" for seen in (left in pairs, right in back)]
            uses = f"{told[0]} ({a.names[left]} {again[0]})", f"{told[1]} ({b.names[right]} {again[1]})"
            unlike.setdefault(position, ("structure", *uses))
    found, rows = dict(unlike), list[DifferenceRow]()
    for position in sorted(pairs):
        mine, other = a.nodes[position], b.nodes[pairs[position]]
        local = zip(mine.local_derivatives, other.local_derivatives, strict=False)
        numbers = [("data", mine.data, other.data), *(("local derivative", *each) for each in local)]
        apart = [each for each in numbers if repr(each[1]) != repr(each[2])]
        if position in unlike or apart:
            before = unlike if position in unlike else found
            what, here, there = found.setdefault(position, *apart[:1])
            begins = before.keys().isdisjoint(mine.read)
            rows.append(DifferenceRow(what, mine.name, other.name, here, there, mine.site, begins))
    return sorted(rows, key=lambda row: (not row.begins, row.what != "structure"))


def _operation(graph: Graph, node: Node) -> str:
    """How a node was computed: ``0.5·v34``, ``tanh(v3)``; ``a leaf``, ``a constant``."""
    return graph.formula(node) or ("a leaf" if node.requires_grad else "a constant")


def _form(node: Node) -> tuple[Any, ...]:
    """What is alike in the same operation of as many operands, with the same literals."""
    literals = [repr(x) if isinstance(x, float) else "" for x in node.operands]
    return node.rule and node.rule.__reduce__(), literals, node.requires_grad
