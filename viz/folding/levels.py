"""How far to fold: the levels from every value to a few boxes, and the finest that is small enough."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from viz.folding.alike import alike
from viz.folding.depth import bands, stages
from viz.folding.groups import GroupPath, by_groups, layers, outermost, paths
from viz.folding.leaves import absorbed, alike_leaves
from viz.folding.partition import Partition
from viz.folding.sums import sums
from viz.folding.trees import chains, trees
from viz.folding.values import Values
from viz.picture import Kind
from viz.reach import MOST, reach

__all__ = ["LEVELS", "auto", "folded"]

#: The names of the levels, and how a picture says that it was folded so.
LEVELS = {
    "none": "",
    "sigma": "each sum in one box",
    "neuron": "by neuron",
    "layer": "by layer",
}


CHAINS = "each sum with what follows from it"
FORMS = f"{CHAINS}, those of one form together"


def folded(values: Values, level: str) -> tuple[Partition, str]:
    """A partition of that level, one of LEVELS, and a phrase that says how it was folded.

    Without groups in the graph, a neuron is a sum with what is computed from it alone, and a layer is
    all neurons of one form.
    """
    if level == "none":
        alone = np.where(values.shown, np.arange(len(values.nodes)), -1)
        return Partition(values, alone, rows=False), ""
    if level == "sigma":
        return sums(values), LEVELS[level]
    if paths(values):
        cut = layers(values) if level == "layer" else _whole
        return _batch(by_groups(values, cut, unroll=True)), LEVELS[level]
    batch = _loose(values)
    return (_chains(batch), CHAINS) if level == "neuron" else (_chains(_same(batch)), FORMS)


def auto(values: Values, most: int) -> tuple[Partition, str]:
    """The finest level that can be read, and a phrase that says how it was folded.

    It has at most ``most`` boxes, and at most four times as many pairs of boxes that are connected: the
    neurons of two layers of a hundred would be a mesh. So would be edges that cross more than thirty
    times as many rows: a value that each of sixty steps reads with the result of the last.
    """
    for partition, phrase in _ladder(values):
        if (
            len(partition) <= most
            and len(partition.arcs()[0]) <= 4 * most
            and reach(partition.order(), partition.operands()) <= min(30 * most, MOST)
        ):
            return partition, phrase
    return bands(partition, most), "by depth"


def _ladder(values: Values) -> Iterator[tuple[Partition, str]]:
    """Ever coarser partitions, each computed when it is asked for."""
    yield folded(values, "none")
    yield folded(values, "sigma")
    found = paths(values)
    if not found:
        yield from _outside(_loose(values), "")
        return
    cut = layers(values)
    yield from _outside(_batch(by_groups(values, _whole, unroll=True)), LEVELS["neuron"])
    yield from _outside(_batch(by_groups(values, cut, unroll=True)), LEVELS["layer"])
    steps = f"{LEVELS['layer']}, the steps of a sequence together"
    yield from _outside(_batch(by_groups(values, cut, unroll=False)), steps)
    for depth in range(max(len(cut(path)) for path in found) - 1, 0, -1):
        phrase = f"by the {depth} outermost groups" if depth > 1 else "by the outermost group"
        yield from _outside(_batch(by_groups(values, outermost(depth), unroll=False)), phrase)


def _outside(batch: Partition, phrase: str) -> Iterator[tuple[Partition, str]]:
    """The partition, and coarser ones that fold what no group claims."""
    rest = f"{phrase}, the rest " if phrase else ""
    yield batch, phrase or "values alike together"
    yield _chains(batch), f"{rest}{CHAINS}"
    same = _same(batch)
    yield _chains(same), f"{rest}{FORMS}"
    formulas = _trees(same)
    yield formulas, f"{rest}by formula"
    if phrase:
        yield stages(formulas), f"{rest}in one box"



def _whole(path: GroupPath) -> GroupPath:
    return path


def _loose(values: Values) -> Partition:
    """Samples together in a graph without groups; its parameters stay by themselves."""
    return alike_leaves(alike(sums(values)), (Kind.INPUT, Kind.CONSTANT))


def _batch(partition: Partition) -> Partition:
    """Samples together, also outside of the groups."""
    return alike_leaves(alike(partition))


def _chains(partition: Partition) -> Partition:
    return alike_leaves(absorbed(chains(partition)))


def _trees(partition: Partition) -> Partition:
    return alike_leaves(absorbed(trees(trees(partition), across=True)), by_name=False)


def _same(partition: Partition) -> Partition:
    return alike_leaves(absorbed(alike(partition, any_parameter=True)))
