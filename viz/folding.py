"""Folding: which values share a box, so that a graph of any size is a picture that a person can read.

A :class:`Partition` says for each value which box it is in. There are two ways to a coarser one: ``merge``
puts boxes with the same key together, ``absorb`` puts a box into another. Both go through the one repair,
``acyclic``, which takes boxes apart that would stand in a circle. A level is a few of these steps, and the
ladder of levels is data: :func:`ladder`.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp import Graph
from microbp.sweeps import dependents, rows
from microbp.text import quoted
from viz.kinds import stem
from viz.picture import Key, Kind

Ints = npt.NDArray[np.int64]
GroupPath = tuple[tuple[str, int], ...]  #: From the outermost group: its name, and the number of the call.
Cut = Callable[[GroupPath], GroupPath]  #: How much of a group's path names its box.

#: The levels, and how a picture says that it was folded so.
LEVELS = {"none": "", "sigma": "each sum in one box", "neuron": "by neuron", "layer": "by layer"}
FEWEST = 5  #: So many boxes can be needed in the end: the root, inputs, constants, its parameters, all else.
#: The operations that add their operands, or products of them.
LINKS = frozenset({"add", "sub", "sum", "dot"})

_WORDS = {Kind.PARAMETER: "parameters", Kind.INPUT: "inputs", Kind.CONSTANT: "constants"}


# ------------------------------------------------------------------------------------ what is folded
class Values:
    """The facts about a graph that every way of folding needs, computed once."""

    def __init__(self, graph: Graph, kinds: list[Kind], shown: Collection[int] | None = None) -> None:
        self.graph = graph
        self.nodes = graph.nodes
        self.kinds = kinds
        self.shown = np.full(len(graph), shown is None)  #: By position whether the value is in the picture.
        self.shown[[*(shown or ())]] = True
        self.computed = graph.op >= 0  #: By position whether the value was computed rather than given.
        user = np.repeat(np.arange(len(graph)), np.diff(graph.first))
        place = np.arange(len(user)) - graph.first[user]
        edge = graph.args >= 0
        user, place, operand = user[edge], place[edge], graph.args[edge]
        both = self.shown[user] & self.shown[operand]
        #: The edges between values that are shown, in the order of their users and places.
        self.user, self.place, self.operand = user[both], place[both], operand[both]
        #: How many edges are cut off, since one of their ends is not shown.
        self.cut = int(np.count_nonzero(self.shown[user] | self.shown[operand]) - both.sum())

    def __len__(self) -> int:
        """How many values are shown."""
        return int(self.shown.sum())

    def are(self, names: Collection[str]) -> npt.NDArray[np.bool_]:
        """By position whether the value was computed by an operation of one of these names."""
        return np.array([*(rule.name in names for rule in self.graph.rules), False])[self.graph.op]

    def is_part(self, leaf: int) -> bool:
        """Whether a leaf is a part of what reads it: a parameter, or a constant that bears no name."""
        kind = self.kinds[leaf]
        return kind is Kind.PARAMETER or (kind is Kind.CONSTANT and not self.nodes[leaf].named)

    @cached_property
    def rows(self) -> list[list[int]]:
        """The operands of each value: positions, and numbers below 0 for literals."""
        return rows(self.graph)

    @cached_property
    def grouped(self) -> tuple[list[GroupPath], Ints]:
        """The groups of what is shown, as they appear, and for each value the place of its own or -1."""
        groups, shown = self.graph.groups, np.flatnonzero(self.shown).tolist()
        known = {id(groups[each]): groups[each] for each in shown}  # values share the path of a group
        paths = {path: place for place, path in enumerate(dict.fromkeys(filter(None, known.values())))}
        place = {each: paths.get(path, -1) for each, path in known.items()}
        return [*paths], np.array([place.get(id(path), -1) for path in groups], dtype=np.int64)


class Made(NamedTuple):
    """How a box of several values came about; a box of none is one value, or a sum."""

    #: group, alike, tree, leaves, loop or rest.
    how: str
    name: str = ""
    times: int = 1  #: How many alike lie on top of each other.
    path: tuple[str, ...] = ()  #: The names of the groups, for a box that is one of them.
    #: How many steps of a loop or of a sequence it holds, and by position the step of each value.
    steps: int = 0
    turn: Ints | None = None


class Partition:
    """For each value the label of its box (-1: not shown), and how the boxes came about.

    A box bears the position of the last of its values as its label. ``classes`` may use any numbers from
    0 up; ``made`` goes by them. ``finer``, of which this one is made, has far fewer edges than the graph.
    """

    def __init__(
        self,
        values: Values,
        classes: Ints,
        made: Mapping[int, Made] | None = None,
        finer: Partition | None = None,
    ) -> None:
        self.values = values
        self._finer = finer
        # Of the reversed array, the first of each class is the last.
        found, first, sizes = np.unique(classes[::-1], return_index=True, return_counts=True)
        last = len(classes) - 1 - first
        self.label: Ints = np.where(classes < 0, -1, last[np.searchsorted(found, classes)])
        self.labels: list[int] = np.sort(last[found >= 0]).tolist()  #: The labels of all boxes, ascending.
        #: A single value is made of nothing, unless it is all that a group computes.
        self.made: dict[int, Made] = {
            label: made[each]
            for each, label, size in zip(found.tolist(), last.tolist(), sizes.tolist(), strict=True)
            if made and each in made and (size > 1 or made[each].how == "group")
        }

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, label: int) -> Made:
        return self.made.get(label, _SINGLE)

    def is_leaf(self, label: int) -> bool:
        """Whether it is a box of leaves; a box that holds anything else ends with something else."""
        return not self.values.computed[label]

    def joined(self, into: Mapping[int, int], made: Mapping[int, Made] | None = None) -> Partition:
        """The coarser one in which each box in ``into`` is a part of that which it maps to."""
        where = np.arange(len(self.label))
        where[[*into]] = [*into.values()]
        return Partition(self.values, np.where(self.label < 0, -1, where[self.label]), made, self)

    @cached_property
    def arcs(self) -> tuple[Ints, Ints]:
        """The boxes that are connected: (boxes of operands, boxes of users), each pair once, ascending."""
        sources, targets = self._finer.arcs if self._finer else (self.values.operand, self.values.user)
        source, target = self.label[sources], self.label[targets]
        across = source != target
        return _distinct(source[across], target[across], len(self.label))

    @cached_property
    def operands(self) -> dict[int, list[int]]:
        """The boxes that each box reads, ascending; no entry for one that reads none."""
        return listed(*(each.tolist() for each in reversed(self.arcs)))

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """The boxes that read each box, ascending; no entry for one that no box reads."""
        return listed(*(each.tolist() for each in self.arcs))

    @cached_property
    def order(self) -> list[int]:
        """The labels, operands before users, else ascending; without those on a cycle, or behind one."""
        sources, targets = self.arcs
        if bool(np.all(sources < targets)):
            return self.labels
        return _sorted(self.labels, self.operands, self.readers)

    def cycles(self) -> set[int]:
        """The boxes that lie on a cycle, or between two of them; empty where there is none."""
        if len(self.order) == len(self.labels):
            return set()
        backward = _sorted(self.labels, self.readers, self.operands)
        return {*self.labels}.difference(self.order, backward)

    def depths(self, counts: Callable[[int, int], int]) -> dict[int, int]:
        """Of each box the most that a path to it counts; ``counts`` says how much an edge does."""
        depth: dict[int, int] = {}
        for label in self.order:
            below = self.operands.get(label, ())
            depth[label] = max((depth[each] + counts(each, label) for each in below), default=0)
        return depth


_SINGLE = Made("")


def _distinct(ones: Ints, others: Ints, size: int) -> tuple[Ints, Ints]:
    """Each pair once, ascending, of numbers below ``size``."""
    pairs = np.sort(ones * size + others)  # several times as quick as np.unique
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    return pairs // size, pairs % size


def listed(keys: Iterable[Key], others: Iterable[int]) -> dict[Key, list[int]]:
    """Under each key the others that stand beside it."""
    found: dict[Key, list[int]] = {}
    for key, other in zip(keys, others, strict=True):
        found.setdefault(key, []).append(other)
    return found


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


# ------------------------------------------------------------------------- the ways to a coarser one
def merge(
    partition: Partition,
    key: Mapping[int, Hashable],
    tell: Callable[[Any, list[int]], Made],
    *,
    apart: bool = False,
) -> Partition:
    """The boxes with the same key become one, and ``tell`` says of the key and their labels what they are.

    With ``apart`` those that read each other's results do not: each of them is a step of a sequence.
    """
    merged = [label for label in partition.labels if label in key]
    together = listed((key[label] for label in merged), merged).items()
    become = {labels[-1]: tell(each, labels) for each, labels in together if len(labels) > 1}
    if not become:
        return partition
    into = {label: labels[-1] for _, labels in together for label in labels}
    return acyclic(partition.joined(into, partition.made | become), partition, apart=apart)


def absorb(
    partition: Partition, into: Mapping[int, int], tell: Callable[[int], Made] | None = None
) -> Partition:
    """Each box in ``into`` joins the one that it maps to, or that which this one joins in turn."""
    top: dict[int, int] = {}
    for label in reversed(partition.order) if into else ():
        if label in into:
            top[label] = top.get(into[label], into[label])
    told = tell or partition.__getitem__
    return merge(partition, top | {each: each for each in top.values()}, lambda each, _: told(each))


def acyclic(coarse: Partition, fine: Partition, *, apart: bool = False) -> Partition:
    """``coarse`` if its boxes form no cycle, else one in which the boxes on cycles are taken apart.

    They fall into boxes of ``fine``, which has no cycles. The depth of one of these is the largest number
    of times that a path to it, inside the cycles, goes over from one coarse box to another; those of one
    coarse box and of one depth stay together. Then every edge between boxes leads to a greater depth. With
    ``apart`` an edge inside a coarse box counts as a cycle, and as going over.
    """
    box = coarse.label
    core = coarse.cycles()
    if apart:
        sources, targets = fine.arcs
        core |= {*box[sources[box[sources] == box[targets]]].tolist()}
    if not core:
        return coarse
    inside = {label for label in fine.labels if int(box[label]) in core}
    depth = fine.depths(
        lambda low, high: low in inside and high in inside and (apart or box[low] != box[high])
    )
    size = len(box)
    deep = np.zeros(size, dtype=np.int64)
    deep[[*inside]] = [depth[label] for label in inside]
    pieces = {int(box[label]) * size + depth[label]: coarse[int(box[label])] for label in inside}
    others = {label * size: each for label, each in coarse.made.items() if label not in core}
    classes = np.where(box < 0, -1, box * size + deep[fine.label])
    return Partition(coarse.values, classes, {**others, **pieces}, fine)


# ------------------------------------------------------------------------------------ sums, and what is alike
def sums(values: Values) -> Partition:
    """Each sum in one box, every other value in its own.

    Folded are links (``a + b``, ``a − b``, ``sum``, ``dot``) and products that are read once, by a link of
    the same group, and bear no name: what is named stays visible, and what is shared, where gradients add up.
    """
    graph, shown = values.graph, values.shown
    classes, reader = np.where(shown, np.arange(len(graph)), -1), np.full(len(graph), -1)
    reader[values.operand] = values.user
    reads = np.bincount(graph.args[graph.args >= 0], minlength=len(graph))
    folds = (reads == 1) & (reader >= 0) & values.are({*LINKS, "mul"}) & ~np.array(graph.named)
    once = np.flatnonzero(folds)
    reader = reader[once]
    # a dot adds its last operand alone, the bias, as it is
    last = graph.args[graph.first[reader + 1] - 1] == once
    adds = values.are(LINKS)[reader] & (last | ~values.are({"dot"})[reader])
    _, group = values.grouped
    joins = adds & (group[once] == group[reader])
    for position, into in zip(once[joins][::-1].tolist(), reader[joins][::-1].tolist(), strict=True):
        classes[position] = classes[into]
    return Partition(values, classes)


_OPEN = frozenset({"", "alike", "tree"})  #: Boxes outside of groups and loops, which may be joined further.


def alike(partition: Partition, *, any_parameter: bool = False) -> Partition:
    """Boxes that do the same with the same, outside of groups, become one: the samples of a batch.

    Two boxes are alike if they have the same operations, and read the same parameters and boxes that are
    alike; inputs of one name but for an index count as alike, and so do literals. With ``any_parameter``
    so do parameters of one name: then the neurons of a layer are alike, but not queries and keys.
    """
    values, where = partition.values, partition.label.tolist()
    of: dict[int, Hashable] = {}
    key: dict[int, Hashable] = {}
    leaders: dict[Hashable, int] = {}

    def leaf(position: int) -> Hashable:
        kind = values.kinds[position]
        if kind is Kind.PARAMETER and not any_parameter:
            return position
        return kind.value, re.sub(r"\.\d+(?=\.|$)", "", stem(values.nodes[position]))

    def written(label: int) -> Hashable:
        """What a box computes, written from its last value downwards."""
        seen = {label: 0}
        told: list[Hashable] = []
        pending = [label]
        for position in pending:  # it grows meanwhile
            told.append(int(values.graph.op[position]) if values.computed[position] else leaf(position))
            for each in values.rows[position]:
                if each < 0 or where[each] != label:
                    told.append("literal" if each < 0 else of.get(where[each], "hidden"))
                    continue
                told.append(("inside", seen.setdefault(each, len(seen))))
                if len(seen) > len(pending):
                    pending.append(each)
        return tuple(told)

    for label in partition.order:
        of[label] = label
        if partition.is_leaf(label):
            of[label] = leaf(label)
        elif partition[label].how in _OPEN:
            key[label] = of[label] = leaders.setdefault(written(label), label)

    def tell(_: Any, labels: list[int]) -> Made:
        return Made(partition[labels[0]].how or "alike", times=sum(partition[each].times for each in labels))

    return merge(partition, key, tell)


def leaves(partition: Partition, kinds: Collection[Kind] = tuple(_WORDS)) -> Partition:
    """Leaves of one kind, and of one name but for an index, that the same boxes read are one.

    Those of an array are one whatever reads them. Where n alike read them, each its own, they are × n.
    """
    values, root = partition.values, int(partition.label[-1])
    key: dict[int, Hashable] = {}
    for label in partition.labels:
        if not partition.is_leaf(label) or label == root:
            continue
        node, kind = values.nodes[label], values.kinds[label]
        whole = node.named and node.name.endswith("]")  # an array, whatever reads its parts
        if whole or kind in kinds:
            key[label] = kind, stem(node), () if whole else tuple(partition.readers.get(label, ()))

    def tell(each: Any, labels: list[int]) -> Made:
        read_by = {reader for one in labels for reader in partition.readers.get(one, ())}
        times = {partition[one].times for one in read_by}
        samples = times.pop() if len(times) == 1 and each[0] is not Kind.PARAMETER else 1
        deals = samples > 1 and sum(one not in partition.made for one in labels) % samples == 0
        return Made("leaves", each[1] or _WORDS[each[0]], samples if deals else 1)

    return merge(partition, key, tell)


def gathered(partition: Partition) -> Partition:
    """All leaves of one kind become one box."""
    kinds, root = partition.values.kinds, int(partition.label[-1])
    given = {label: kinds[label] for label in partition.labels if partition.is_leaf(label) and label != root}
    return merge(partition, given, lambda kind, _: Made("leaves", _WORDS[kind]))


def owned(partition: Partition) -> Partition:
    """Parameters join the only box of several values that reads them, and so do constants in a group's box.

    What is outside of groups, as a regularisation, may read those of a group as well if that makes no cycle.
    """
    into: dict[int, int] = {}
    for label, readers in partition.readers.items():
        groups = [each for each in readers if partition[each].how == "group"]
        if len(groups) == 1 and partition.values.is_part(label):
            into[label] = groups[0]
        elif len(readers) == 1 and partition.values.kinds[label] is Kind.PARAMETER:
            into |= {label: readers[0]} if readers[0] in partition.made else {}
    circle = partition.joined(into).cycles()
    alone = {label for label in into if len(partition.readers[label]) == 1}
    return absorb(partition, {each: box for each, box in into.items() if box not in circle or each in alone})


def chains(partition: Partition) -> Partition:
    """Boxes outside of groups join the only box that reads them, if that reads nothing else but leaves."""
    sources, targets = partition.arcs
    read = np.bincount(targets[partition.values.computed[sources]], minlength=len(partition.label))
    into = {
        label: reader
        for label, (reader, *more) in partition.readers.items()
        if not more
        and read[reader] == 1
        and not partition.is_leaf(label)
        and {partition[label].how, partition[reader].how} <= _OPEN
        and partition[label].times == partition[reader].times
    }
    joined = absorb(partition, into, lambda top: Made("tree", times=partition[top].times))
    return leaves(owned(joined))


# --------------------------------------------------------------------------------------------- groups
def layers(values: Values) -> Cut:
    """The cut by layer: what holds groups side by side, such as the neurons of a layer, is one box.

    Groups inside of which one reads what another computed follow each other: each is a layer by itself.
    """
    every, of = values.grouped
    parents = {path[:depth] for path in every for depth in range(1, len(path))}
    source, target = of[values.operand], of[values.user]
    across = (source != target) & (source >= 0) & (target >= 0)
    pairs = _distinct(source[across], target[across], len(every))
    read = [(every[low], every[high]) for low, high in zip(*(each.tolist() for each in pairs), strict=True)]
    entered = {low for low, high in read if low == high[:-1]}
    left = {high for low, high in read if low[:-1] == high}
    beside = {low[:-1] for low, high in read if low[:-1] == high[:-1]}
    named = {_names(path) for path in beside | (entered & left)}

    def cut(path: GroupPath) -> GroupPath:
        above = path[:-1]
        return path if path in parents or not above or _names(above) in named else above

    return cut


def _names(path: GroupPath) -> tuple[str, ...]:
    return tuple(name for name, _ in path)


def by_groups(values: Values, cut: Cut = tuple) -> Partition:
    """The values of each group in one box, all its calls together; the others as in :func:`sums`.

    Calls of one name are of one module, or of one ``with group(...)``, unless they read other parameters.
    Calls that read each other's results are the steps of a sequence: each is a box of its own.
    """
    paths, group = values.grouped
    calls: dict[GroupPath, int] = {}
    call = np.array([*(calls.setdefault(cut(path), len(calls)) for path in paths), -1])[group]
    call[~(values.shown & values.computed)] = -1
    plain, size = sums(values), len(values.nodes)
    made = {size + at: Made("group", path[-1][0], path=_names(path)) for path, at in calls.items()}
    called = Partition(values, np.where(call < 0, plain.label, size + call), made, plain)
    of_call = acyclic(called, plain)
    merged = merge(of_call, _modules(of_call), lambda _, labels: of_call[labels[0]], apart=True)
    boxes, _ = _distinct(merged.label[call >= 0], call[call >= 0], size)
    for label, times in zip(*(each.tolist() for each in np.unique(boxes, return_counts=True)), strict=True):
        merged.made[label] = merged[label]._replace(times=times)
    return owned(merged)


def _modules(partition: Partition) -> dict[int, Hashable]:
    """Of which module each box of a group is a call: its names, and the first parameter that it reads."""
    sources, targets = partition.arcs
    kinds = partition.values.kinds
    learned = [each for each in np.unique(sources).tolist() if kinds[each] is Kind.PARAMETER]
    read = np.isin(sources, learned)
    readers, at = np.unique(targets[read], return_index=True)  # sources ascend, so it is the first
    first = dict(zip(readers.tolist(), sources[read][at].tolist(), strict=True))
    groups = ((label, made) for label, made in partition.made.items() if made.how == "group")
    return {label: (made.path, first.get(label)) for label, made in groups}


def sequences(unrolled: Partition) -> Partition:
    """The steps of a sequence, each of which is a box, become one box with the gradient along it."""

    def tell(_: Any, labels: list[int]) -> Made:
        turn = np.searchsorted(labels, unrolled.label)
        times = sum(unrolled[each].times for each in labels)
        return unrolled[labels[0]]._replace(times=times, steps=len(labels), turn=turn)

    return owned(merge(unrolled, _modules(unrolled), tell))


# ---------------------------------------------------------------------------------------------- loops
#: A loop is a body that is repeated so often at least.
_TURNS = 4


def loops(partition: Partition) -> Partition:
    """The steps of a loop, each of which does the same with the result of the last, become one box."""
    values = partition.values
    step, turn = _steps(values)
    labels = np.array(partition.labels)
    labels = labels[(step[labels] >= 0) & values.computed[labels]]

    def tell(each: Any, labels: list[int]) -> Made:
        count = int(turn[step == each].max()) + 1
        names = {partition[label].path[-1].rstrip("0123456789.") for label in labels if partition[label].path}
        return Made("loop", f"{names.pop()}.…" if len(names) == 1 else "step", count, steps=count, turn=turn)

    return owned(merge(partition, dict(zip(labels.tolist(), step[labels].tolist(), strict=True)), tell))


def _steps(values: Values) -> tuple[Ints, Ints]:
    """For each value the loop that it is in, -1 for none, and the step of this loop.

    A computed value is described by its operation, and by how far back each operand was computed. A loop
    is a stretch in which these descriptions repeat, unless the steps only add to a running sum.
    """
    graph, size = values.graph, len(values.nodes)
    made = np.flatnonzero(values.computed & values.shown)
    step, turn = np.full((2, size), -1, dtype=np.int64)
    index = np.full(size, -1, dtype=np.int64)
    index[made] = np.arange(len(made))
    kept = values.computed[values.operand]
    user, place, operand = index[values.user[kept]], values.place[kept], index[values.operand[kept]]
    back = np.minimum(user - operand, 4096)  # what lies farther back is the same for all steps
    ops, widths, backs, places = np.random.default_rng(0).integers(1, 2**62, (4, 4097))
    form = ops[graph.op[made]] * widths[np.diff(graph.first)[made] % 4096]
    exact = form.copy()
    np.add.at(exact, user, backs[back] * places[place % 4096])
    free = np.ones(len(made), dtype=bool)
    for _ in range(8):
        start, period, turns = _repetition(exact, form, free)
        if turns < _TURNS:
            break
        stretch = made[start : start + period * turns]
        free[start : start + period * turns] = False
        # the last step is to compute anything but sums from the first
        carried = dependents(graph, stretch[:period].tolist()) & ~values.are(LINKS)
        if carried[stretch[-period:]].any():
            step[stretch], turn[stretch] = start, np.arange(len(stretch)) // period
    return step, turn


def _repetition(exact: Ints, form: Ints, free: npt.NDArray[np.bool_]) -> tuple[int, int, int]:
    """The longest stretch that repeats itself: where it begins, its period, and how often it is there."""
    n = len(exact)
    best = (0, 1, 0)
    for period in range(1, min(n // _TURNS, 4096, 400_000_000 // max(n, 1)) + 1):
        same = (exact[period:] == exact[:-period]) & free[period:] & free[:-period]
        covered = best[1] * best[2]
        if not same.any() or np.count_nonzero(same) + period <= 1.02 * covered:
            continue
        edges = np.flatnonzero(np.diff(np.concatenate(([0], same.view(np.int8), [0]))))
        lengths = edges[1::2] - edges[::2]
        longest = int(lengths.argmax())
        start, length = int(edges[2 * longest]), int(lengths[longest]) + period
        # the first step reads what was given in place of what an earlier step computed
        begin = max(start - period, 0)
        like = (form[begin:start] == form[begin + period : start + period]) & free[begin:start]
        back = int(np.argmin(np.append(like[::-1], False)))
        start, turns = start - back, (length + back) // period
        if turns >= _TURNS and period * turns > 1.02 * covered:
            best = start, period, turns
    return best


# -------------------------------------------------------------------------------------- the last resort
def rest(partition: Partition) -> Partition:
    """All that is computed outside of groups and loops becomes one box, or one between each two of these."""
    computed = (label for label in partition.labels if not partition.is_leaf(label))
    free = {label: "" for label in computed if partition[label].how in _OPEN}
    return gathered(owned(merge(partition, free, lambda *_: Made("rest", "all else"))))


def bands(partition: Partition, most: int) -> Partition:
    """At most ``most`` boxes, or ``FEWEST``: neighbouring depths are one; the root stays by itself."""
    depth = partition.depths(lambda *_: 1)
    root = int(partition.label[-1])
    free = [each for each in depth if not partition.is_leaf(each) and each != root]
    deep = sorted({depth[each] for each in free})
    wide = -(-len(deep) // max(most - FEWEST + 1, 1)) or 1
    band = {each: place // wide for place, each in enumerate(deep)}

    def tell(number: Any, _: list[int]) -> Made:
        low, high = deep[number * wide], deep[min(number * wide + wide, len(deep)) - 1]
        return Made("rest", f"depth {low}" if low == high else f"depth {low}–{high}")

    return gathered(owned(merge(partition, {each: band[depth[each]] for each in free}, tell)))


# --------------------------------------------------------------------------------------------- levels
_CHAINS = "each sum with what follows from it"
#: What is done outside of groups, one after the other: ever coarser.
_OUTSIDE: tuple[tuple[str, Callable[[Partition], Partition]], ...] = (
    ("values alike together", lambda partition: leaves(alike(partition), (Kind.INPUT, Kind.CONSTANT))),
    (_CHAINS, chains),
    (
        f"{_CHAINS}, those of one form together",
        lambda partition: chains(leaves(owned(alike(partition, any_parameter=True)))),
    ),
    ("in one box", rest),
)


def folded(values: Values, level: str) -> tuple[Partition, str]:
    """A partition of that level, one of LEVELS, and a phrase that says how it was folded.

    Without groups a neuron is a sum with what is computed from it alone, a layer all neurons of one form.
    """
    if level == "none":
        return Partition(values, np.where(values.shown, np.arange(len(values.nodes)), -1)), LEVELS[level]
    if level == "sigma":
        return sums(values), LEVELS[level]
    if values.grouped[0]:
        grouped = by_groups(values, layers(values)) if level == "layer" else by_groups(values)
        return _OUTSIDE[0][1](grouped), LEVELS[level]
    partition, phrase = sums(values), ""
    for phrase, step in _OUTSIDE[: 2 if level == "neuron" else 3]:  # noqa: B007
        partition = step(partition)
    return partition, phrase


def ladder(values: Values) -> Iterator[tuple[Partition, str]]:
    """Ever coarser partitions with phrases that say how, each computed when it is asked for."""
    yield folded(values, "none")
    yield folded(values, "sigma")
    for partition, phrase in _begun(values):
        for at, (told, step) in enumerate(_OUTSIDE if values.grouped[0] else _OUTSIDE[:-1]):
            partition = step(partition)  # noqa: PLW2901  each step goes on from the last
            yield partition, f"{phrase}, the rest {told}" if phrase and at else phrase or told
    for most in (24, 16, 10, FEWEST):
        yield bands(sums(values), most), "by depth"


def _begun(values: Values) -> Iterator[tuple[Partition, str]]:
    """By groups, the finest first, and by loops, where there are any; without groups also plain sums."""
    paths, cut = values.grouped[0], layers(values)
    unrolled = by_groups(values, cut) if paths else sums(values)
    if paths:
        yield by_groups(values), LEVELS["neuron"]
        yield unrolled, LEVELS["layer"]
        yield sequences(unrolled), f"{LEVELS['layer']}, the steps of a sequence together"
    looped = loops(unrolled)
    if any(each.how == "loop" for each in looped.made.values()):
        yield looped, "the steps of a loop together"
    if not paths:
        yield unrolled, ""
    for depth in range(max((len(cut(path)) for path in paths), default=0) - 1, 0, -1):
        phrase = f"by the {depth} outermost group{'s' * (depth > 1)}"
        yield sequences(by_groups(values, itemgetter(slice(depth)))), phrase


# ------------------------------------------------------------------------------------------ unfolding
def named(values: Values, names: Iterable[str]) -> set[int]:
    """The positions of the values that groups and arrays of these names hold.

    A name is that of a group, or of a value without its index, with or without what stands before it.
    """
    words = {}
    for node in (values.nodes[each] for each in np.flatnonzero(values.shown).tolist()):
        words[node.position] = ".".join(_names(node.group)), stem(node), node.name if node.named else ""
    opened: set[int] = set()
    for wanted in names:
        pattern = re.compile(rf"(.*\.)?{re.escape(wanted)}([.\[].*)?")
        found = {at for at, called in words.items() if any(map(pattern.fullmatch, filter(None, called)))}
        if not found:
            known = dict.fromkeys(each for *called, _ in words.values() for each in called if each)
            listed = ", ".join([*known][:12]) or "it has no groups, and no names"
            raise ValueError(
                f"unfold: no group or value of the graph is named {quoted(wanted)}; there are {listed}"
            )
        opened |= found
    return opened


def unfolded(partition: Partition, positions: Collection[int]) -> Partition:
    """The partition, but that the values at these positions are boxes by themselves, or sums as they are."""
    label, size, plain = partition.label, len(partition.label), sums(partition.values).label
    shut = np.ones(size, dtype=bool)
    shut[[*positions]] = False
    # what is in one box and in one sum, and is opened or not, is the finest that the repair may make
    finest = np.where(label < 0, -1, (label * size + plain) * 2 + shut)
    fine = Partition(partition.values, finest)
    classes = np.where(shut | (label < 0), label, fine.label + size)
    return acyclic(Partition(partition.values, classes, partition.made), fine)
