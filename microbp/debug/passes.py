"""``Pass``: one backward pass over a recorded graph, with what every use of every value pays, before, after.

Whatever the debugger shows, explains or blames reads this record; nobody adds gradients up again. A step is
one computed node that passes its gradient on to its operands, in the order of ``backward()`` and with its
roundings. The numbers are those that were recorded, also when the parameters have moved on since.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from operator import attrgetter
from typing import Any, NamedTuple

from microbp.bounds import bounded
from microbp.check.words import local_derivatives
from microbp.collector import collector_at_rest
from microbp.compiled import compiled
from microbp.debug.formulas import Formulas
from microbp.errors import NoGradientError
from microbp.graph import Graph, Node
from microbp.labels import Variables
from microbp.lazy import cached_property
from microbp.safe import shown
from microbp.sites import user_scope
from microbp.value import Value



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
        formulas = Formulas(self.graph)
        return formulas.math(formulas.derivative(self.user, self.place)).text

    @property
    def numbers(self) -> str:
        """The local derivative with numbers: ``0.5933·(1 − 0.5933)``."""
        formulas = Formulas(self.graph)
        return formulas.numbers(formulas.derivative(self.user, self.place), 4).text

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


class Pass:
    """The backward pass from the root of a graph; never changed.

    >>> x = Value(3.0, name="x")
    >>> pass_ = Pass(Graph(x * x, {}))
    >>> [(got.place, got.amount, got.before, got.after) for got in pass_.received[0]]
    [(1, 3.0, None, 3.0), (0, 3.0, 3.0, 6.0)]
    >>> pass_.gradient(0, 0), pass_.gradient(0), pass_.missing(0, 0)
    (None, 6.0, 2)

    ``graph`` is the one given, or, where leaves have been given other numbers since it was computed, that
    graph with the numbers that were recorded; ``moved`` holds the positions of those leaves.

    Raises NoGradientError where the root is a constant.
    """

    graph: Graph
    #: In the order of the pass; ``steps[0]`` is step 1.
    steps: tuple[Step, ...]
    #: The leaves whose numbers are no longer those that were recorded.
    moved: frozenset[int]

    def __init__(self, graph: Graph) -> None:
        recorded, moved = as_recorded(graph)
        root = recorded.root
        if not root.requires_grad:
            raise NoGradientError(
                f"{root.name} = {root.data!r} is a constant: there is no backward pass from it to trace"
            )
        with collector_at_rest():
            vars(self).update(graph=recorded, moved=moved, steps=tuple(steps_of(recorded)))

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
        return 1.0 if position == len(self.graph) - 1 else None

    def missing(self, position: int, step: int | None = None) -> int:
        """How many contributions a node still waits for after so many steps."""
        return len(self._arrived(position)) - len(self._arrived(position, step))

    def _arrived(self, position: int, step: int | None = None) -> list[Contribution]:
        """What a node has received after so many steps."""
        try:
            own = self.received[position]
        except (IndexError, TypeError):
            raise self.graph.no_node(position) from None
        if step is None:
            return own
        if not isinstance(step, int | float):
            told = f"a step is a whole number, or None for all of them, not {shown(repr(step))}"
            raise TypeError(told)
        return own[: bisect_right(own, step, key=attrgetter("step"))]

    def largest(self, position: int) -> Contribution | None:
        """The largest contribution that a node receives; None where it receives none."""
        return max(self._arrived(position), key=lambda each: abs(each.amount), default=None)

    def gradients(self, step: int | None = None) -> list[float | None]:
        """The gradient of every node after so many steps, after all of them unless told.

        None stands for a node that has received nothing yet, and for a constant. Step 0 is the seed.

        >>> x = Value(3.0, name="x")
        >>> pass_ = Pass(Graph(x * x))
        >>> pass_.gradients(0), pass_.gradients(1)
        ([None, 1.0], [6.0, 1.0])

        Raises IndexError where there is no such step.
        """
        found = [self.gradient(position, step) for position in range(len(self.graph))]
        if step is not None and not 0 <= step <= len(self.steps):
            raise IndexError(f"there is no step {step}: this pass has the steps 0 to {len(self.steps)}")
        return found

    def step_of(self, which: int | str | Value) -> Step | None:
        """The step in which a node passes its gradient on; None for a leaf, which does not.

        ``which`` is what ``graph[...]`` takes: a position, a name or a Value; KeyError as there.
        """
        index = self._index.get(self.graph[which].position)
        return None if index is None else self.steps[index - 1]

    @cached_property
    def _index(self) -> dict[int, int]:
        return {step.node: step.index for step in self.steps}

    def final_step(self, which: int | str | Value) -> int:
        """After which step the gradient of a node is complete; 0 for the root.

        For a constant, which has no gradient, it is the step that would have been the last to pay in.

        >>> x, y = Value(3.0, name="x"), Value(2.0, name="y")
        >>> Pass(Graph(x * x * y)).final_step("x")
        2
        """
        position = self.graph[which].position
        if own := self.received[position]:
            return own[-1].step
        users = [user for user, _ in self.graph.uses()[position]]
        return self._index[min(users)] if users else 0


def steps_of(graph: Graph) -> Iterator[Step]:
    """The chain rule over a graph, in the engine's order and with the engine's roundings."""
    nodes = graph.nodes
    #: Of each computed node the operands that take a gradient, the last first: place, position, derivative.
    paid: dict[int, list[tuple[int, int, float]]] = {}
    for node in nodes:
        places = zip(range(len(node.operands)), node.operands, node.local_derivatives, strict=True)
        takes = [
            (place, x, local) for place, x, local in places
            if local is not None and isinstance(x, int) and nodes[x].requires_grad
        ]  # fmt: skip
        if node.rule is not None:
            paid[node.position] = takes[::-1]
    waiting = Counter(operand for each in paid.values() for _, operand, _ in each)
    gradients: dict[int, float] = {len(nodes) - 1: 1.0}
    for index, position in enumerate(reversed(paid), start=1):
        if position not in gradients:  # so it is in a file that was changed by hand
            raise ValueError(f"no node after {graph.names[position]} uses it")
        given, upstream = [], gradients[position]
        for place, operand, local in paid[position]:
            before, amount = gradients.get(operand), upstream * local
            # The engine starts every sum at 0.0, which makes a first -0.0 a 0.0.
            after = gradients[operand] = (0.0 if before is None else before) + amount
            waiting[operand] -= 1
            told = local, amount, before, after, waiting[operand]
            given.append(Contribution(index, position, place, operand, *told, graph))
        yield Step(index, position, upstream, tuple(given))


# ------------------------------------------------------------------------------- the numbers recorded
def as_recorded(graph: Graph) -> tuple[Graph, frozenset[int]]:
    """The graph with the numbers that its operations have read, and the leaves that have moved since.

    ``p.data -= 0.1 * p.grad`` gives a leaf another number, and leaves what was computed from it as it is. A
    leaf remembers the number before the last one. Which of the two an operation has read follows from what
    it gave: the value and the local derivatives that were recorded.
    """
    values = graph._values
    leaves = [(place, value) for place, value in enumerate(values) if value._rule is None]
    earlier = {place: value._da for place, value in leaves if value._da is not None}
    if not earlier:
        return graph, frozenset()
    numbers, nodes, uses = graph.data.tolist(), graph.nodes, graph.uses()
    now = {place: numbers[place] for place in earlier}
    pending = set(earlier)
    for user in sorted({user for place in earlier for user, _ in uses[place]}):
        own = [x for x in dict.fromkeys(nodes[user].operands) if isinstance(x, int) and x in pending]
        both = [(now[x], earlier[x]) for x in own]
        choices = product(*both) if len(own) <= 6 else zip(*both, strict=True)  # of many leaves all or none
        then = (dict(zip(own, choice, strict=True)) for choice in choices)
        fitting = [each for each in then if _gives(nodes[user], numbers, each)]
        for x in own:
            found = {repr(each[x]): each[x] for each in fitting}
            if len(found) < 2:  # decided, or changed more than once since
                numbers[x] = next(iter(found.values()), now[x])
                pending.remove(x)
    moved = frozenset(place for place in earlier if repr(numbers[place]) != repr(now[place]))
    if moved:  # a leaf that no operation tells of has moved with the others
        for place in pending:
            numbers[place] = earlier[place]
        moved |= pending
    return (graph.with_data(numbers) if moved else graph), moved


def _gives(node: Node, numbers: list[float], then: Mapping[int, float]) -> bool:
    """Whether an operation gives what was recorded, where some of its operands have other numbers."""
    assert node.rule is not None
    entries = node.rule.split([then.get(x, numbers[x]) if isinstance(x, int) else x for x in node.operands])
    try:
        if repr(compiled(node.rule).value(*entries)) != repr(node.data):
            return False
    except (ArithmeticError, ValueError):
        return False
    given = local_derivatives(node.rule, entries, node.data)
    pairs = zip(given, node.local_derivatives, strict=True)
    return all(local is None or repr(float(ours)) == repr(local) for ours, local in pairs)


# ------------------------------------------------------------------------------------- what is asked for
class Target(NamedTuple):
    """A gradient that is asked for, ∂root/∂value."""

    graph: Graph
    #: The node by which the derivative is taken; None where the loss does not depend on it.
    node: Node | None
    #: What that value is called.
    name: str


def target(
    loss: Value | Graph, value: Value | str, names: Mapping[str, Any] | None, asker: str
) -> Target:
    """The graph of ``loss``, as recorded, and the node of ``value``, which is a Value or a name.

    ``names`` maps names to Values; the variables of the caller's code unless it is given.

    Raises TypeError where ``loss`` is no Value or Graph or ``value`` no Value or name, NoGradientError
    where the loss is a constant, TooManyValues where its graph is too large, and KeyError for a name that
    neither graph nor ``names`` know.
    """
    if not isinstance(loss, Value | Graph):
        raise TypeError(f"{asker} takes the Value or Graph whose gradient is asked for, not {loss!r}")
    if not isinstance(value, Value | str):
        raise TypeError(f"{asker} takes the Value, or its name, that the gradient is by, not {value!r}")
    scope = user_scope() if names is None else names
    whole = loss if isinstance(loss, Graph) else Graph(loss, scope)
    bounded(asker, whole)
    graph, _ = as_recorded(whole)
    root = graph.root
    if not root.requires_grad:
        raise NoGradientError(f"{root.name} = {root.data!r} is a constant: it has no gradient by anything")
    try:
        node = graph[value]
    except KeyError:
        called = Variables(scope).values
        key = id(value) if isinstance(value, Value) else called.get(value)
        if key is None or (isinstance(value, str) and not graph._places):  # a graph from elsewhere
            raise
        if key not in graph._places:
            given = value if isinstance(value, str) else value.name
            bears = [given, *(name for name, held in called.items() if held == key), "this value"]
            return Target(graph, None, next(name for name in bears if name))
        node = graph.nodes[graph._places[key]]  # a variable of a Value that has another name
    return Target(graph, node, node.name)
