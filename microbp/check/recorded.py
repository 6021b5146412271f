"""A recorded graph, computed again with plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from microbp.check.operands import entries_of
from microbp.check.words import where
from microbp.compiled import compiled
from microbp.graph import Graph, Node


class Undefined(Exception):
    """A moved operand has left the domain of an operation."""


class Recorded:
    """A recorded graph, computed again with plain numbers after one of its values has been moved."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses = graph.uses()
        self.numbers = [node.data for node in graph]

    def compute(self, node: Node) -> float:
        """The number of a node from those of its operands."""
        assert node.rule is not None
        return compiled(node.rule).value(*entries_of(node, self.numbers))

    def dependents(self, position: int) -> list[int]:
        """The positions of all nodes that depend on a node, in the order in which they are computed."""
        reached = {position}
        pending = [position]
        for each in pending:
            for user, _ in self.uses[each]:
                if user not in reached:
                    reached.add(user)
                    pending.append(user)
        return sorted(pending[1:])

    @contextmanager
    def moved(self, position: int, order: Sequence[int], x: float) -> Iterator[None]:
        """Inside, ``x`` is the number of a node, and those of ``order`` have followed."""
        before = [(each, self.numbers[each]) for each in (position, *order)]
        try:
            self.numbers[position] = x
            for each in order:
                node = self.graph.nodes[each]
                try:
                    self.numbers[each] = self.compute(node)
                except (ArithmeticError, ValueError):
                    assert node.rule is not None
                    pairs = zip(node.rule.args, entries_of(node, self.numbers), strict=True)
                    at = ", ".join(f"{arg} = {entry!r}" for arg, entry in pairs)
                    raise Undefined(f"{node.rule.name} at {where(node)}, where {at}") from None
            yield
        finally:
            for each, data in before:
                self.numbers[each] = data


def same(a: float, b: float) -> bool:
    """Whether two numbers are equal, or both nan."""
    return a == b or (math.isnan(a) and math.isnan(b))
