"""Boxes that stand in a circle, as those of a recurrent net do, are taken apart by how deep they lie."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from viz.folding.partition import Partition
from viz.folding.values import Ints

__all__ = ["acyclic", "depths"]


def acyclic(partition: Partition) -> Partition:
    """The partition, if its boxes form no cycle; else one in which the boxes on cycles are split.

    A value's depth is the largest number of times that a path to it, inside the cycles, goes over from
    one box to another. Values of one box and of one depth stay together. Then every edge between boxes
    leads to a greater depth, and so there is no cycle.
    """
    core = partition.cycles()
    if not core:
        return partition
    values, label = partition.values, partition.label
    within = np.isin(label, list(core))
    depth: Ints = np.zeros(len(label), dtype=np.int64)
    inner = within[values.user] & within[values.operand]
    for user, operand in zip(values.user[inner].tolist(), values.operand[inner].tolist(), strict=True):
        depth[user] = max(depth[user], depth[operand] + (label[user] != label[operand]))
    return apart(partition, label, depth, within)


def apart(partition: Partition, label: Ints, depth: Ints, within: np.ndarray) -> Partition:
    """Boxes split by the depth of their values, as far as these are ``within``; each keeps its record."""
    size = len(label)
    pairs = np.where(within, label * size + depth, label * size)
    found, classes = np.unique(pairs, return_inverse=True)
    classes = np.where(label < 0, -1, classes)
    made = {
        index: partition.made[each]
        for index, each in enumerate((found // size).tolist())
        if each in partition.made
    }
    return Partition(partition.values, classes, made)


def depths(partition: Partition, among: Collection[int]) -> dict[int, int]:
    """For each box of ``among`` the longest path to it through boxes of ``among``; there are no cycles."""
    chosen, operands = {*among}, partition.operands()
    depth: dict[int, int] = {}
    for label in partition.order():
        if label in chosen:
            below = (depth[each] for each in operands.get(label, ()) if each in chosen)
            depth[label] = 1 + max(below, default=-1)
    return depth
