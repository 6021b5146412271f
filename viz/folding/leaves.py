"""Leaves that the same boxes read are one box: the inputs of a layer, the samples of a batch."""

from __future__ import annotations

from collections.abc import Collection

from viz.folding.partition import Made, Partition
from viz.kinds import stem
from viz.picture import Kind

__all__ = ["absorbed", "alike_leaves"]

_WORDS = {Kind.PARAMETER: "parameters", Kind.INPUT: "inputs", Kind.CONSTANT: "constants"}


def alike_leaves(
    partition: Partition, kinds: Collection[Kind] = tuple(_WORDS), *, by_name: bool = True
) -> Partition:
    """Leaves of one kind that the same boxes read become one box.

    With ``by_name`` their names must be the same, too, but for an index: ``x[0]`` and ``x[1]``, ``w1``
    and ``w2``. Where their readers are n alike and they can be dealt out to these, the box is × n.
    """
    values = partition.values
    readers = partition.readers()
    found: dict[tuple[Kind, str, tuple[int, ...]], list[int]] = {}
    for label in partition.labels:
        kind = values.kinds[label]
        if kind in kinds:
            name = stem(values.nodes[label]) if by_name else ""
            found.setdefault((kind, name, tuple(readers.get(label, ()))), []).append(label)
    into, made = {}, {}
    for (kind, _, read_by), labels in found.items():
        if len(labels) > 1:
            into.update(dict.fromkeys(labels, labels[-1]))
            stems = dict.fromkeys(_name(partition, each) for each in labels)
            name = ", ".join(stems) if len(stems) <= 3 and all(stems) else _WORDS[kind]
            times = {partition[each].times for each in read_by}
            samples = times.pop() if len(times) == 1 and kind is not Kind.PARAMETER else 1
            deals = samples > 1 and sum(partition[each].how == "" for each in labels) % samples == 0
            made[labels[-1]] = Made("leaves", name, samples if deals else 1)
    return partition.joined(into, made)


def _name(partition: Partition, label: int) -> str:
    return partition[label].name or stem(partition.values.nodes[label])


def absorbed(partition: Partition, kinds: Collection[Kind] = (Kind.PARAMETER,)) -> Partition:
    """Leaves of these kinds that a single box of several values reads join it."""
    values = partition.values
    into = {
        label: readers[0]
        for label, readers in partition.readers().items()
        if len(readers) == 1 and values.kinds[label] in kinds and readers[0] in partition.made
    }
    return partition.joined(into, {each: partition.made[each] for each in into.values()})
