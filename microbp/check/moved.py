"""The loss as a function of one value that is moved, and the corners that it crosses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from microbp.check.operands import entries_of, local_derivatives, scope_of
from microbp.check.recorded import Recorded, Undefined
from microbp.graph import Graph, Node
from microbp.rules import Rule
from microbp.value import Value, as_number


class Corners(NamedTuple):
    """On which side of its corners each operation is."""

    #: The operations in order; another branch of a function has others.
    operations: tuple[Rule | None, ...]
    #: By position, for each operation that has corners.
    sides: dict[int, tuple[Any, ...]]


class Moved:
    """The loss as a function of one value of a recorded graph."""

    def __init__(self, recorded: Recorded, position: int | None) -> None:
        self.recorded = recorded
        #: None for a value that is not in the graph.
        self.position = position
        self.order = [] if position is None else recorded.dependents(position)
        #: What was undefined last.
        self.undefined = ""

    def loss(self, x: float) -> float:
        """The loss where the value is x; nan where it is undefined."""
        numbers = self.recorded.numbers
        if self.position is None:
            return numbers[-1]
        try:
            with self.recorded.moved(self.position, self.order, x):
                return numbers[-1]
        except Undefined as error:
            self.undefined = str(error)
            return math.nan

    def corners(self, x: float) -> Corners | None:
        """On which side of its corners each operation is where the value is x; None if undefined."""
        if self.position is None:
            return None
        nodes = [self.recorded.graph.nodes[each] for each in self.order]
        try:
            with self.recorded.moved(self.position, self.order, x):
                return Corners((), _sides(nodes, self.recorded.numbers))
        except Undefined:
            return None


class Called:
    """A function of no arguments as a function of one leaf."""

    def __init__(self, function: Callable[[], Any], value: Value, names: Mapping[str, Any]) -> None:
        self.function = function
        self.value = value
        self.names = names
        self.undefined = ""

    def loss(self, x: float) -> float:
        """The result where the leaf is x; nan where it is undefined."""
        self.value.data = x
        try:
            y = self.function()  # recorded, since it may differentiate on the way
        except (ArithmeticError, ValueError) as error:
            self.undefined = str(error)
            return math.nan
        return y.data if isinstance(y, Value) else as_number(y, "a function to differentiate")

    def corners(self, x: float) -> Corners | None:
        """On which side of its corners each operation is where the leaf is x; None if undefined."""
        self.value.data = x
        try:
            graph = Graph(self.function(), self.names)
        except (ArithmeticError, ValueError):
            return None
        sides = _sides(graph.nodes, [node.data for node in graph])
        return Corners(tuple(node.rule for node in graph), sides)


def _sides(nodes: Sequence[Node], numbers: Sequence[float]) -> dict[int, tuple[Any, ...]]:
    """For each operation that has corners, on which side of them it is.

    That is told by the signs of its ``kink``; for an operation over lists without one, by which of its
    derivatives are 0 (for ``max``, those of all but the largest).
    """
    found: dict[int, tuple[Any, ...]] = {}
    for node in nodes:
        rule = node.rule
        if rule is None or not (rule.kink or (rule.corner and rule.over)):
            continue
        entries = entries_of(node, numbers)
        if rule.kink:
            scope, elements = scope_of(rule, entries)
            values = [each.evaluate(scope, elements=elements) for each in rule.kink]
            found[node.position] = tuple((x > 0.0) - (x < 0.0) for x in values)
        else:
            locals_ = local_derivatives(rule, entries, numbers[node.position])
            found[node.position] = tuple(x == 0.0 for x in locals_)
    return found
