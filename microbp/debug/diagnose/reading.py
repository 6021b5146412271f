"""A backward pass over a ``Graph`` that keeps what a diagnosis asks for; no ``grad`` is touched."""

from __future__ import annotations

import math

from microbp.graph import Graph
from microbp.lazy import cached_property
from microbp.sweeps import dependents

__all__ = ["Reading"]


class Reading:
    """For each node its gradient, where it came from, and the factors along its largest path.

    The additions happen in the order of ``backward()``, so that the gradients are the same to the last
    bit. The largest path leads from a node to that use which gives it the largest contribution, from
    there likewise, and so on to the root.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        count = len(graph)
        #: The gradient of the root with respect to each node.
        self.upstream = [0.0] * count
        #: The sum of the absolute contributions.
        self.size = [0.0] * count
        #: How many contributions there are.
        self.uses = [0] * count
        #: The largest contribution, and the use that gave it: position of the user, place there.
        self.largest = [-1.0] * count
        self.user = [-1] * count
        self.place = [-1] * count
        #: Along the largest path: the node with the largest factor, and the one with the smallest.
        self.most = [-1] * count
        self.least = [-1] * count
        #: How many factors are above 1.2, and how many below 1 / 1.2.
        self.growing = [0] * count
        self.shrinking = [0] * count
        #: log10 of what the additions along it have contributed.
        self.added = [0.0] * count
        self.upstream[-1] = self.size[-1] = 1.0
        self._sweep()

    def _sweep(self) -> None:
        upstream, size, uses = self.upstream, self.size, self.uses
        largest, user, place = self.largest, self.user, self.place
        for node in reversed(self.graph.nodes):
            position = node.position
            above = upstream[position]
            if user[position] >= 0:
                self._follow(position)
            locals_ = node.local_derivatives
            for i in range(len(locals_) - 1, -1, -1):
                local = locals_[i]
                if local is None:
                    continue
                operand = int(node.operands[i])
                amount = above * local
                upstream[operand] += amount
                amount = abs(amount)
                size[operand] += amount
                uses[operand] += 1
                if amount > largest[operand] or user[operand] < 0:
                    largest[operand], user[operand], place[operand] = amount, position, i

    def _follow(self, position: int) -> None:
        """Continue the largest path by one step, now that the uses of a node are complete."""
        above = self.user[position]
        factor = abs(self.factor(position))
        most, least = self.most[above], self.least[above]
        self.most[position] = position if most < 0 or factor > abs(self.factor(most)) else most
        self.least[position] = position if least < 0 or factor < abs(self.factor(least)) else least
        self.growing[position] = self.growing[above] + (factor > 1.2)
        self.shrinking[position] = self.shrinking[above] + (factor < 1.0 / 1.2)
        total, largest = abs(self.upstream[position]), self.largest[position]
        self.added[position] = self.added[above]
        if 0.0 < total < math.inf and 0.0 < largest < math.inf:
            self.added[position] += math.log10(total) - math.log10(largest)

    @cached_property
    def used(self) -> list[list[tuple[int, int]]]:
        """Where each node is used, as ``Graph.uses()`` tells."""
        return self.graph.uses()

    def factor(self, position: int) -> float:
        """The local derivative by which a node's largest contribution came to it."""
        local = self.graph.nodes[self.user[position]].local_derivatives[self.place[position]]
        assert local is not None
        return local

    def path(self, position: int) -> list[int]:
        """The nodes of the largest path, from a node up to, but without, the root."""
        found = []
        while self.user[position] >= 0:
            found.append(position)
            position = self.user[position]
        return found

    def dependents(self, positions: list[int]) -> list[bool]:
        """For each node whether it is, or depends on, one of those."""
        return dependents(self.graph, positions).tolist()  # type: ignore[no-any-return]
