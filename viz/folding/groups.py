"""Modules and ``with group(...)`` as boxes: by neuron, by layer, and as many samples as there are in one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from viz.folding.cycles import acyclic, apart, depths
from viz.folding.partition import Made, Partition
from viz.folding.sums import sums
from viz.folding.values import Ints, Values
from viz.picture import Kind

__all__ = ["Cut", "GroupPath", "belongs_to_reader", "by_groups", "layers", "outermost", "paths"]

GroupPath = tuple[tuple[str, int], ...]
#: How much of a group's path names its box.
Cut = Callable[[GroupPath], GroupPath]


def paths(values: Values) -> list[GroupPath]:
    """The groups in which values were recorded, each once, in the order of first appearance."""
    found: dict[int, GroupPath] = {}
    for node, shown in zip(values.nodes, values.shown.tolist(), strict=True):
        if shown and node.group:
            found.setdefault(id(node.group), node.group)
    return list(dict.fromkeys(found.values()))


def outermost(depth: int) -> Cut:
    """The cut that keeps so many groups from the outermost."""
    return lambda path: path[:depth]


def layers(values: Values) -> Cut:
    """The cut by layer: what holds groups side by side, such as the neurons of a layer, is one box.

    Where one of the groups inside reads what another computed they follow each other, and each is a
    layer by itself.
    """
    every = paths(values)
    parents = {path[:depth] for path in every for depth in range(1, len(path))}
    of = _places(values, {path: place for place, path in enumerate(every)})
    source, target = of[values.operand], of[values.user]
    across = (source != target) & (source >= 0) & (target >= 0)
    sequences: set[GroupPath] = set()
    entered: set[GroupPath] = set()
    left: set[GroupPath] = set()
    for low, high in np.unique(np.stack((source[across], target[across]), axis=1), axis=0).tolist():
        below, above = every[low], every[high]
        if below[:-1] == above[:-1]:
            sequences.add(below[:-1])
        elif below[:-1] == above:
            left.add(above)
        elif below == above[:-1]:
            entered.add(below)
    sequences |= entered & left
    named = {tuple(name for name, _ in path) for path in sequences}

    def cut(path: GroupPath) -> GroupPath:
        above = path[:-1]
        plain = tuple(name for name, _ in above)
        return path if path in parents or not above or plain in named else above

    return cut


def _places(values: Values, index: dict[GroupPath, int]) -> Ints:
    """For each value the index of its group, -1 where there is none. Values share the path of a group."""
    known: dict[int, int] = {}
    found = []
    for node in values.nodes:
        place = known.get(id(node.group))
        if place is None:
            place = known[id(node.group)] = index.get(node.group, -1)
        found.append(place)
    return np.array(found, dtype=np.int64)


def by_groups(values: Values, cut: Cut, *, unroll: bool) -> Partition:
    """The values of each group in one box, all its calls together; the others as in :func:`sums`.

    Calls of one name are of one module, or of one ``with group(...)``, unless they read other parameters.

    Parameters that only one of the boxes reads are in it. Calls that read each other's results are the
    steps of a sequence: with ``unroll`` each step is a box, in which the samples are together. Without
    it, and where the boxes would otherwise stand in a circle, they are taken apart as far as needed.
    """
    plain = sums(values)
    calls: dict[GroupPath, int] = {}
    modules: dict[tuple[tuple[str, ...], int], int] = {}
    call = _places(values, {path: calls.setdefault(cut(path), len(calls)) for path in paths(values)})
    call[~(values.shown & values.computed)] = -1
    of_call = [
        modules.setdefault((tuple(name for name, _ in path), parameter), len(modules))
        for path, parameter in zip(calls, _parameters(values, call, len(calls)), strict=True)
    ]
    size = len(values.nodes)
    claimed = call >= 0
    by_name = np.where(claimed, np.array([*of_call, -1], dtype=np.int64)[call] + size, plain.label)
    made = {size + each: Made("group", path[-1], path=path) for (path, _), each in modules.items()}
    merged = Partition(values, by_name, made)
    circle = merged.cycles()
    if unroll:
        across = claimed[values.user] & claimed[values.operand]
        user, operand = values.user[across], values.operand[across]
        again = (merged.label[user] == merged.label[operand]) & (call[user] != call[operand])
        circle |= {*merged.label[user[again]].tolist()}
    if circle:
        merged = _unrolled(merged, Partition(values, np.where(claimed, call + size, plain.label)), circle)
    return _with_parameters(_counted(merged, call))


def _parameters(values: Values, call: Ints, calls: int) -> list[int]:
    """For each call the first parameter that it reads, by which modules of one name are told apart."""
    learned = np.array([kind is Kind.PARAMETER for kind in values.kinds])
    reads = (call[values.user] >= 0) & learned[values.operand]
    first: Ints = np.full(calls, len(learned), dtype=np.int64)
    np.minimum.at(first, call[values.user[reads]], values.operand[reads])
    return [int(each) for each in first]


def _unrolled(merged: Partition, calls: Partition, circle: set[int]) -> Partition:
    """The boxes of ``circle`` taken apart by how deep in them their calls lie."""
    calls = acyclic(calls)
    inside = np.isin(merged.label, list(circle))
    among = np.unique(calls.label[inside])
    depth_of = depths(calls, among.tolist())
    depth: Ints = np.zeros(len(merged.label), dtype=np.int64)
    by_box = np.array([depth_of[each] for each in among.tolist()], dtype=np.int64)
    depth[inside] = by_box[np.searchsorted(among, calls.label[inside])]
    return apart(merged, merged.label, depth, inside)


def _counted(partition: Partition, call: Ints) -> Partition:
    """Each box of a group with the number of calls in it."""
    inside = call >= 0
    pairs = np.unique(np.stack((partition.label[inside], call[inside]), axis=1), axis=0)
    boxes, counts = np.unique(pairs[:, 0], return_counts=True)
    for label, times in zip(boxes.tolist(), counts.tolist(), strict=True):
        partition.made[label] = partition[label]._replace(times=times)
    return partition


def _with_parameters(partition: Partition) -> Partition:
    """Parameters, and constants without a name, that one group's box reads join it.

    What is outside of groups may read them as well, as a regularisation does, unless the box depends on
    that in turn: it would be a cycle.
    """
    into: dict[int, int] = {}
    for label, readers in partition.readers().items():
        groups = [each for each in readers if partition.is_group(each)]
        if len(groups) == 1 and belongs_to_reader(partition.values, label):
            into[label] = groups[0]
    joined = _joined(partition, into)
    if len(joined.order()) == len(joined):
        return joined
    alone = {label for label, readers in partition.readers().items() if len(readers) == 1}
    return _joined(partition, {label: group for label, group in into.items() if label in alone})


def _joined(partition: Partition, into: dict[int, int]) -> Partition:
    return partition.joined(into, {each: partition[each] for each in into.values()})


def belongs_to_reader(values: Values, label: int) -> bool:
    """Whether a leaf is a part of what reads it: a parameter, or a constant that bears no name."""
    kind = values.kinds[label]
    return kind is Kind.PARAMETER or (kind is Kind.CONSTANT and not values.nodes[label].named)
