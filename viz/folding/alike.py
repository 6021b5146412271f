"""Values alike: the same operation on the same, as in every sample of a batch, is one box."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from viz.folding.partition import Made, Partition
from viz.picture import Kind

__all__ = ["alike"]


def alike(partition: Partition, *, any_parameter: bool = False) -> Partition:
    """Boxes that do the same with the same, outside of groups, become one.

    Two boxes are alike if they have the same operations, and read the same parameters and boxes that are
    alike; all inputs count as alike, and so do literals. With ``any_parameter`` parameters do as well:
    then the neurons of a layer are alike.

    There can be no cycle: boxes alike read boxes alike, so that the classes in the order of their first
    members are in topological order.
    """
    values = partition.values
    #: The class of each label; that of a leaf may be shared without its box being so.
    of: dict[int, Hashable] = {}
    first: dict[Hashable, int] = {}
    into: dict[int, int] = {}
    count: dict[int, int] = {}
    for label in partition.order():
        if partition.is_leaf(label):
            kind = values.kinds[label]
            of[label] = kind.value if kind is not Kind.PARAMETER or any_parameter else label
        elif partition[label].how in {"", "alike"}:
            key = _key(partition, label, of)
            leader = first.setdefault(key, label)
            of[label] = leader
            into[label] = leader
            count[leader] = count.get(leader, 0) + partition[label].times
        else:
            of[label] = label
    made = {}
    for label, leader in into.items():
        if label != leader and leader not in made:
            made[leader] = Made("alike", times=count[leader])
    into = {label: leader for label, leader in into.items() if leader in made}
    return partition.joined(into, made)


def _key(partition: Partition, label: int, of: Mapping[int, Hashable]) -> Hashable:
    """What a box computes, written from its last value downwards."""
    nodes, where = partition.values.nodes, partition.label
    written: list[Hashable] = []
    pending = [label]
    while pending:
        node = nodes[pending.pop()]
        assert node.rule is not None
        written.append(node.rule.name)
        for each in node.operands:
            if type(each) is float:
                written.append("literal")
                continue
            assert type(each) is int
            box = int(where[each])
            if box == label:
                pending.append(each)
            written.append("inside" if box == label else of.get(box, "hidden"))
    return tuple(written)
