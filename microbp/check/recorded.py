"""A recorded graph, computed again with plain numbers."""

from __future__ import annotations

import math

from microbp.check.words import entries_of
from microbp.compiled import compiled
from microbp.graph import Graph, Node


class Recorded:
    """A recorded graph with the numbers of its nodes, and their uses."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses = graph.uses()
        self.numbers = [node.data for node in graph]

    def compute(self, node: Node) -> float:
        """The number of a node from those of its operands."""
        assert node.rule is not None
        return compiled(node.rule).value(*entries_of(node, self.numbers))


def same(a: float, b: float) -> bool:
    """Whether two numbers are equal, or both nan."""
    return a == b or (math.isnan(a) and math.isnan(b))
