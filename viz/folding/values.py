"""A graph's values as folding sees them: kinds, edges as arrays, and which of the values are shown."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from microbp import Graph
from viz.picture import Kind

__all__ = ["Ints", "Values"]

Ints = npt.NDArray[np.int64]


class Values:
    """The facts about a graph that every way of folding needs, computed once."""

    def __init__(self, graph: Graph, kinds: list[Kind], shown: Collection[int] | None = None) -> None:
        self.graph = graph
        self.nodes = graph.nodes
        self.kinds = kinds
        #: By position whether the value is in the picture.
        self.shown = np.ones(len(graph), dtype=bool)
        if shown is not None:
            self.shown[:] = False
            self.shown[list(shown)] = True
        #: By position whether the value was computed rather than given.
        self.computed = np.array([node.rule is not None for node in graph.nodes])
        reads = [
            (node.position, place, operand)
            for node in graph.nodes
            for place, operand in enumerate(node.operands)
            if type(operand) is int
        ]
        every: Ints = np.array(reads, dtype=np.int64).reshape(-1, 3)
        #: How often each value is read, and by which value last; -1 where by none.
        self.reads: Ints = np.bincount(every[:, 2], minlength=len(graph)).astype(np.int64)
        self.reader: Ints = np.full(len(graph), -1, dtype=np.int64)
        self.reader[every[:, 2]] = every[:, 0]
        both = self.shown[every[:, 0]] & self.shown[every[:, 2]]
        #: The edges between values that are shown, in the order of their users and places.
        self.user, self.place, self.operand = every[both].T
        #: How many edges are cut off, since one of their ends is not shown.
        self.cut = int(np.count_nonzero(self.shown[every[:, 0]] | self.shown[every[:, 2]]) - both.sum())

    def __len__(self) -> int:
        """How many values are shown."""
        return int(self.shown.sum())

    def is_leaf(self, position: int) -> bool:
        """Whether a value was given rather than computed."""
        return self.nodes[position].rule is None
