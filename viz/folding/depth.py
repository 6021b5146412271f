"""The last resort: values that lie at about the same depth in the graph are one box."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from viz.folding.leaves import alike_leaves
from viz.folding.partition import Made, Partition
from viz.picture import Kind

__all__ = ["FEWEST", "bands", "stages"]

#: So many boxes can be needed in the end: the root, inputs, constants, its parameters, all else.
FEWEST = 5
#: More bands than these tell no one anything.
_BANDS = 20


def stages(partition: Partition) -> Partition:
    """All boxes outside of groups that have the same number of groups' boxes below them become one.

    That is what stands before the first layer, between two, and behind the last. A group's box has a
    stage of its own between the two of its neighbours, so there is no cycle.
    """
    operands = partition.operands()
    stage: dict[int, int] = {}
    for label in partition.order():
        below = (stage[each] for each in operands.get(label, ()))
        stage[label] = max(below, default=0) + partition.is_group(label)
    free = {
        each: stage[each] for each in stage if not partition.is_group(each) and not partition.is_leaf(each)
    }
    last = max(free, default=-1)

    def name(number: int) -> str:
        if last >= 0 and number == free[last]:
            return partition.values.nodes[last].name
        return f"between groups ({number})" if number else "before the groups"

    return alike_leaves(_together(partition, free, name), by_name=False)


def bands(partition: Partition, most: int) -> Partition:
    """At most ``most`` boxes, and ``FEWEST`` if that is more: what lies at neighbouring depths is one.

    The depth of a box is the longest path to it. Every edge leads to a greater depth or stays in its
    band, so there is no cycle. The root stays by itself; inputs are one box, and so are constants.
    """
    operands, readers = partition.operands(), partition.readers()
    depth: dict[int, int] = {}
    for label in partition.order():
        depth[label] = max((depth[each] + 1 for each in operands.get(label, ())), default=0)
    root = partition.labels[-1] if partition.labels[-1] not in readers else -1
    free = [each for each in depth if not partition.is_leaf(each) and each != root]
    levels = sorted({depth[each] for each in free})
    wide = -(-len(levels) // min(max(most - FEWEST + 1, 1), _BANDS)) or 1
    number = {level: place // wide for place, level in enumerate(levels)}

    def name(band: int) -> str:
        low, high = levels[band * wide], levels[min(band * wide + wide, len(levels)) - 1]
        return f"depth {low}" if low == high else f"depth {low}–{high}"

    folded = _together(partition, {each: number[depth[each]] for each in free}, name)
    return _leaves_by_kind(folded)


def _together(partition: Partition, number: Mapping[int, int], name: Callable[[int], str]) -> Partition:
    """The boxes with one number become one, each with the parameters that it is the first to read.

    Parameters that a box without number reads stay by themselves: they could close a circle.
    """
    last: dict[int, int] = {}
    for label, each in number.items():
        last[each] = max(last.get(each, 0), label)
    into = {label: last[each] for label, each in number.items()}
    for label, readers in partition.readers().items():
        if partition.values.kinds[label] is Kind.PARAMETER and all(each in number for each in readers):
            into[label] = last[min(number[each] for each in readers)]
    return partition.joined(into, {label: Made("depth", name(each)) for each, label in last.items()})


def _leaves_by_kind(partition: Partition) -> Partition:
    """All leaves of one kind that are boxes become one box. Nothing leads to a leaf: there is no cycle."""
    found: dict[Kind, list[int]] = {}
    for label in partition.labels:
        if partition.is_leaf(label) and label != partition.labels[-1]:
            found.setdefault(partition.values.kinds[label], []).append(label)
    into, made = {}, {}
    for kind, labels in found.items():
        if len(labels) > 1:
            into.update(dict.fromkeys(labels, labels[-1]))
            made[labels[-1]] = Made("leaves", f"{kind.value}s")
    return partition.joined(into, made)
