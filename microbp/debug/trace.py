"""``trace``: the steps of a backward pass as plain records, in the order in which ``backward()`` goes.

One step is one computed node that passes its gradient on to its operands. Each contribution holds the
operand's gradient before and after it, so that a pass can be walked back as well as forwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microbp.debug import exchange
from microbp.debug.difference import Difference, difference
from microbp.debug.formula import Formula
from microbp.debug.markdown import markdown
from microbp.debug.notebook import Shown
from microbp.debug.records import Contribution, Step
from microbp.debug.words import counted
from microbp.errors import NoGradientError
from microbp.graph import Graph
from microbp.sites import user_scope
from microbp.value import Value

__all__ = ["Contribution", "Step", "Trace", "trace"]


class Trace(Shown):
    """A backward pass as data; made by :func:`trace`, and never changed.

    Two traces are equal if their graphs and all their numbers are, to the last bit, nan to nan. What
    ``grad`` held when the graph was frozen is no part of the pass and does not count.
    """

    __slots__ = ("graph", "steps")

    #: What was computed; positions in the records are positions in it.
    graph: Graph
    #: In the order of the pass; ``steps[0]`` is step 1.
    steps: tuple[Step, ...]

    def __init__(self, graph: Graph, steps: tuple[Step, ...]) -> None:
        object.__setattr__(self, "graph", graph)
        object.__setattr__(self, "steps", steps)

    def __setattr__(self, name: str, held: object) -> None:
        raise AttributeError(f"a Trace is a record: its {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Trace is a record: its {name} cannot be deleted")

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.steps)

    def gradients(self, step: int | None = None) -> list[float | None]:
        """The gradient of every node after so many steps, after all of them unless told.

        None stands for a node that has received nothing yet, and for a constant. Step 0 is the seed.
        Nothing is computed again: the records hold each gradient before and after.

        >>> x = Value(3.0, name="x")
        >>> pass_ = trace(x * x)
        >>> pass_.gradients(0), pass_.gradients(1)
        ([None, 1.0], [6.0, 1.0])

        Raises IndexError where there is no such step.
        """
        count = len(self.steps) if step is None else step
        if not 0 <= count <= len(self.steps):
            raise IndexError(f"there is no step {step}: this pass has the steps 0 to {len(self.steps)}")
        gradients: list[float | None] = [None] * len(self.graph)
        gradients[-1] = 1.0
        for each in self.steps[:count]:
            for contribution in each.contributions:
                gradients[contribution.operand] = contribution.after
        return gradients

    def step_of(self, which: int | str | Value) -> Step | None:
        """The step in which a node passes its gradient on; None for a leaf, which does not.

        ``which`` is what ``graph[...]`` takes: a position, a name or a Value; KeyError as there.
        """
        position = self.graph[which].position
        low, high = 0, len(self.steps)
        while low < high:  # the nodes of the steps stand in falling order
            middle = (low + high) // 2
            if self.steps[middle].node > position:
                low = middle + 1
            else:
                high = middle
        found = self.steps[low] if low < len(self.steps) else None
        return found if found is not None and found.node == position else None

    def final_step(self, which: int | str | Value) -> int:
        """After which step the gradient of a node is complete; 0 for the root.

        For a constant, which has no gradient, it is the step that would have been the last to pay in.

        >>> x, y = Value(3.0, name="x"), Value(2.0, name="y")
        >>> trace(x * x * y).final_step("x")
        2
        """
        position = self.graph[which].position
        users = [user for user, _ in self.graph.uses()[position]]
        if not users:
            return 0
        step = self.step_of(min(users))
        return 0 if step is None else step.index

    def to_json(self) -> str:
        """The trace as JSON text; :meth:`from_json` gives an equal trace.

        Strict JSON, a node or a step to a line, with the rules that it uses and the version of the
        format.
        """
        return exchange.written(self.graph.nodes, self.steps)

    @staticmethod
    def from_json(text: str) -> Trace:
        """The trace of a text that :meth:`to_json` wrote, here or elsewhere, today or earlier.

        >>> pass_ = trace(Value(3.0, name="x").sigmoid(), {})
        >>> Trace.from_json(pass_.to_json()) == pass_
        True
        >>> Trace.from_json("[1, 2]")
        Traceback (most recent call last):
            ...
        microbp.debug.exchange.NotATrace: this JSON is not a trace: it has no "format": "microbp trace"

        Raises NotATrace, a ValueError, for anything else, with what is wrong and where.
        """
        return Trace(*exchange.read(text))

    def diff(self, other: Trace, *, tolerance: float = 0.0) -> Difference:
        """Where the two passes begin to differ; see :func:`microbp.debug.difference.difference`."""
        return difference(self, other, tolerance)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return self is other or self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((len(self.graph), self.graph.root.name, repr(self.graph.root.data)))

    def _compared(self) -> str:
        nodes = tuple(node._replace(grad=None) for node in self.graph)
        return exchange.written(nodes, self.steps)

    def __repr__(self) -> str:
        root = self.graph.root
        steps, values = counted(len(self), "step"), counted(len(self.graph), "value")
        return f"Trace({steps}, {values}, root {root.name} = {root.data!r})"

    def _markdown(self) -> str:
        return markdown(self.graph, self.steps)

    def __reduce__(self) -> tuple[Any, ...]:
        return Trace, (self.graph, self.steps)


def trace(loss: Value | Graph, names: Mapping[str, Any] | None = None) -> Trace:
    """The backward pass from ``loss``, step by step, as :class:`Trace`.

    It is worked out from the recorded local derivatives, with the engine's order and roundings: its
    final gradients are those of ``backward()`` to the last bit. ``backward()`` need not have run, and
    no ``grad`` is read or changed. ``names`` maps names to Values, as ``locals()`` does; the variables
    of the caller name them unless it is given. Where ``loss`` is a Graph it has its names already.

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
    root = loss.root
    if not root.requires_grad:
        raise NoGradientError(
            f"{root.name} = {root.data!r} is a constant: there is no backward pass from it to trace"
        )
    return Trace(loss, _steps(loss))


def _steps(graph: Graph) -> tuple[Step, ...]:
    """The chain rule over a graph, in the engine's order and with the engine's roundings."""
    nodes = graph.nodes
    missing = [0] * len(nodes)
    for user in nodes:
        for operand, local in zip(user.operands, user.local_derivatives, strict=True):
            if local is not None:
                missing[operand] += 1  # type: ignore[index]  # a literal has no derivative
    gradients: list[float | None] = [None] * len(nodes)
    gradients[-1] = 1.0
    steps: list[Step] = []
    for node in reversed(nodes):
        if node.rule is None:
            continue
        upstream = gradients[node.position]
        assert upstream is not None  # some node after it uses it
        received = []
        for place in range(len(node.operands) - 1, -1, -1):
            operand, local = node.operands[place], node.local_derivatives[place]
            if local is None or type(operand) is not int or not nodes[operand].requires_grad:
                continue
            before = gradients[operand]
            amount = upstream * local
            # The engine starts every sum at 0.0, which makes a first -0.0 a 0.0.
            after = gradients[operand] = (0.0 if before is None else before) + amount
            missing[operand] -= 1
            formula = Formula(graph, node.position, place)
            received.append(
                Contribution(operand, place, local, amount, before, after, missing[operand], formula)
            )
        steps.append(Step(len(steps) + 1, node.position, upstream, tuple(received)))
    return tuple(steps)
