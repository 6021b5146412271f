"""Expressions without shared values: what only one box reads belongs to that box."""

from __future__ import annotations

import numpy as np

from viz.folding.partition import Made, Partition

__all__ = ["chains", "trees"]


def chains(partition: Partition) -> Partition:
    """Boxes outside of groups join their only reader where that has no other operand but leaves.

    A sum and its activation become one, and so does a long chain of operations.
    """
    return _joined(partition, chain=True, across=False)


def trees(partition: Partition, *, across: bool = False) -> Partition:
    """Boxes outside of groups join the only box that reads them: a formula becomes one box.

    Only boxes with the same number of samples join, unless ``across`` is true: then what is computed
    for each sample joins the sum over them.
    """
    return _joined(partition, chain=False, across=across)


def _joined(partition: Partition, *, chain: bool, across: bool) -> Partition:
    """Leaves stay by themselves. No cycle: a box that has joined is left only through that it joined."""
    sources, targets = partition.arcs()
    labels, start, count = np.unique(sources, return_index=True, return_counts=True)
    once = count == 1
    only: dict[int, int] = dict(zip(labels[once].tolist(), targets[start[once]].tolist(), strict=True))
    read, times = np.unique(targets[partition.values.computed[sources]], return_counts=True)
    crowded = {*read[times > 1].tolist()} if chain else set()
    into: dict[int, int] = {}
    for label in reversed(partition.order()):
        reader = only.get(label)
        if (
            reader is not None
            and not partition.is_leaf(label)
            and not partition.is_group(label)
            and not partition.is_group(reader)
            and reader not in crowded
            and (across or partition[label].times == partition[reader].times)
        ):
            into[label] = into.get(reader, reader)
    made = {top: Made("tree", times=partition[top].times) for top in into.values()}
    return partition.joined(into, made)
