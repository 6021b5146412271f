"""Which values share a box: a partition of the values of a graph, and the boxes' own graph.

A box bears the position of the last of its values as its label. Every step of folding takes a partition
and gives a coarser one; none may make a cycle of boxes.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from viz.folding.values import Ints, Values

__all__ = ["Made", "Partition"]


class Made(NamedTuple):
    """How a box of several values came about; a box of none is one value, or a sum."""

    #: group, alike, tree, leaves or depth.
    how: str
    name: str = ""
    #: How many alike lie on top of each other.
    times: int = 1
    #: The names of the groups, for a box that is one of them.
    path: tuple[str, ...] = ()


_SINGLE = Made("")


class Partition:
    """For each value the label of its box (-1: not shown), and how the boxes came about.

    ``classes`` may use any numbers from 0 up; ``made`` goes by them.
    """

    def __init__(
        self, values: Values, classes: Ints, made: Mapping[int, Made] | None = None, *, rows: bool = True
    ) -> None:
        self.values = values
        #: Whether additions are drawn with a row per term.
        self.rows = rows
        # Of the reversed array, the first of each class is the last.
        found, first = np.unique(classes[::-1], return_index=True)
        last = len(classes) - 1 - first
        self.label: Ints = np.where(classes < 0, -1, last[np.searchsorted(found, classes)])
        #: The labels of all boxes, ascending.
        self.labels: list[int] = np.sort(last[found >= 0]).tolist()
        self.made: dict[int, Made] = {}
        if made:
            for each, label in zip(found.tolist(), last.tolist(), strict=True):
                if each in made:
                    self.made[label] = made[each]
        self._arcs: tuple[Ints, Ints] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, label: int) -> Made:
        return self.made.get(label, _SINGLE)

    def is_group(self, label: int) -> bool:
        """Whether it is the box of a group, or of a step of one."""
        return self[label].how == "group"

    def is_leaf(self, label: int) -> bool:
        """Whether it is a box of leaves; a box that holds anything else ends with something else."""
        return self.values.nodes[label].rule is None

    def arcs(self) -> tuple[Ints, Ints]:
        """The boxes that are connected: (boxes of operands, boxes of users), each pair once, ascending."""
        if self._arcs is None:
            source, target = self.label[self.values.operand], self.label[self.values.user]
            across = source != target
            size = len(self.label)
            pairs = np.unique(source[across] * size + target[across])
            self._arcs = pairs // size, pairs % size
        return self._arcs

    def operands(self) -> dict[int, list[int]]:
        """The boxes that each box reads, ascending; no entry for one that reads none."""
        sources, targets = self.arcs()
        read: dict[int, list[int]] = {}
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            read.setdefault(target, []).append(source)
        return read

    def readers(self) -> dict[int, list[int]]:
        """The boxes that read each box, ascending; no entry for one that no box reads."""
        read: dict[int, list[int]] = {}
        for source, target in zip(*(each.tolist() for each in self.arcs()), strict=True):
            read.setdefault(source, []).append(target)
        return read

    def order(self) -> list[int]:
        """The labels, operands before users; those that lie on a cycle, or behind one, are left out.

        Among several that could be next it is always the lowest label: the order is by position.
        """
        sources, targets = self.arcs()
        if bool(np.all(sources < targets)):
            return self.labels
        return _sorted(self.labels, self.operands(), self.readers())

    def cycles(self) -> set[int]:
        """The boxes that lie on a cycle, or between two of them; empty where there is none."""
        forward = self.order()
        if len(forward) == len(self.labels):
            return set()
        backward = _sorted(self.labels, self.readers(), self.operands())
        return {*self.labels}.difference(forward, backward)

    def joined(self, into: Mapping[int, int], made: Mapping[int, Made]) -> Partition:
        """A coarser partition: each label in ``into`` joins that which it maps to.

        ``made`` tells by these how the new boxes came about; what is not in it stays as it was.
        """
        if not into:
            return self
        where = np.arange(len(self.label), dtype=np.int64)
        where[list(into)] = list(into.values())
        classes = np.where(self.label < 0, -1, where[self.label])
        return Partition(self.values, classes, {**self.made, **made})


def _sorted(labels: list[int], before: Mapping[int, list[int]], after: Mapping[int, list[int]]) -> list[int]:
    """Topological order by Kahn's algorithm, lowest label first."""
    waits = {label: len(before.get(label, ())) for label in labels}
    ready = [label for label in labels if not waits[label]]
    order = []
    while ready:
        label = heapq.heappop(ready)
        order.append(label)
        for each in after.get(label, ()):
            waits[each] -= 1
            if not waits[each]:
                heapq.heappush(ready, each)
    return order
