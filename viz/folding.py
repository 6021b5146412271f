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
from functools import cached_property, partial, reduce
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp import Graph, Node
from microbp.safe import quoted
from viz.kinds import literal, short, stem
from viz.picture import Kind

__all__ = [
    "FEWEST",
    "LEVELS",
    "GroupPath",
    "Ints",
    "Made",
    "Partition",
    "Term",
    "Values",
    "folded",
    "is_link",
    "is_sum",
    "ladder",
    "opened_at",
    "terms",
]

Ints = npt.NDArray[np.int64]
#: From the outermost group: its name, and the number of the call.
GroupPath = tuple[tuple[str, int], ...]
#: How much of a group's path names its box.
Cut = Callable[[GroupPath], GroupPath]

#: The levels that have a name, and how a picture says that it was folded so.
LEVELS = {"none": "", "sigma": "each sum in one box", "neuron": "by neuron", "layer": "by layer"}
#: So many boxes can be needed in the end: the root, inputs, constants, its parameters, all else.
FEWEST = 5

_LINKS = frozenset({"add", "sub", "sum", "dot"})
_WORDS = {Kind.PARAMETER: "parameters", Kind.INPUT: "inputs", Kind.CONSTANT: "constants"}
#: A loop is a body that is repeated so often at least.
_TURNS = 4
#: So many values are not compared one by one where they are found to be the steps of a loop.
_HUGE = 100_000


# ------------------------------------------------------------------------------------ what is folded
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
        self.computed = graph.op >= 0
        user = np.repeat(np.arange(len(graph)), np.diff(graph.first))
        place = np.arange(len(user)) - graph.first[user]
        edge = graph.args >= 0
        user, place, operand = user[edge], place[edge], graph.args[edge]
        #: How often each value is read, and by which value last; -1 where by none.
        self.reads: Ints = np.bincount(operand, minlength=len(graph)).astype(np.int64)
        self.reader: Ints = np.full(len(graph), -1, dtype=np.int64)
        self.reader[operand] = user
        both = self.shown[user] & self.shown[operand]
        #: The edges between values that are shown, in the order of their users and places.
        self.user, self.place, self.operand = user[both], place[both], operand[both]
        #: How many edges are cut off, since one of their ends is not shown.
        self.cut = int(np.count_nonzero(self.shown[user] | self.shown[operand]) - both.sum())

    def __len__(self) -> int:
        """How many values are shown."""
        return int(self.shown.sum())

    def is_leaf(self, position: int) -> bool:
        """Whether a value was given rather than computed."""
        return not self.computed[position]

    def are(self, names: Collection[str]) -> npt.NDArray[np.bool_]:
        """By position whether the value was computed by an operation of one of these names."""
        return np.array([*(rule.name in names for rule in self.graph.rules), False])[self.graph.op]

    @cached_property
    def rows(self) -> list[list[int]]:
        """The operands of each value: positions, and numbers below 0 for literals."""
        args, first = self.graph.args.tolist(), self.graph.first.tolist()
        return [args[start:stop] for start, stop in pairwise(first)]

    @cached_property
    def grouped(self) -> tuple[list[GroupPath], Ints]:
        """The groups of what is shown, as they appear first, and for each value the place of its own or -1."""
        groups, shown = self.graph.groups, np.flatnonzero(self.shown).tolist()
        known = {id(groups[each]): groups[each] for each in shown}  # values share the path of a group
        paths = {path: place for place, path in enumerate(dict.fromkeys(filter(None, known.values())))}
        place = {each: paths.get(path, -1) for each, path in known.items()}
        return [*paths], np.array([place.get(id(path), -1) for path in groups], dtype=np.int64)


class Made(NamedTuple):
    """How a box of several values came about; a box of none is one value, or a sum."""

    #: group, alike, tree, leaves, loop or depth.
    how: str
    name: str = ""
    #: How many alike lie on top of each other.
    times: int = 1
    #: The names of the groups, for a box that is one of them.
    path: tuple[str, ...] = ()
    #: How many steps of a loop or of a sequence it holds; see :attr:`Partition.turn`.
    steps: int = 0


_SINGLE = Made("")


class Partition:
    """For each value the label of its box (-1: not shown), and how the boxes came about.

    A box bears the position of the last of its values as its label. ``classes`` may use any numbers from
    0 up; ``made`` goes by them.
    """

    def __init__(
        self,
        values: Values,
        classes: Ints,
        made: Mapping[int, Made] | None = None,
        *,
        rows: bool = True,
        finer: Partition | None = None,
    ) -> None:
        self.values = values
        #: One of which this one is made, if there is one: it has far fewer edges than there are values.
        self._finer = finer
        #: For each value in which step of its loop, or of its sequence, it was computed; -1 in none.
        self.turn: Ints = finer.turn if finer else np.full(len(classes), -1, dtype=np.int64)
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

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, label: int) -> Made:
        return self.made.get(label, _SINGLE)

    def is_group(self, label: int) -> bool:
        """Whether it is the box of a group, or of a step of one."""
        return self[label].how == "group"

    def is_leaf(self, label: int) -> bool:
        """Whether it is a box of leaves; a box that holds anything else ends with something else."""
        return self.values.is_leaf(label)

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
        return _listed(*reversed(self.arcs))

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """The boxes that read each box, ascending; no entry for one that no box reads."""
        return _listed(*self.arcs)

    @cached_property
    def order(self) -> list[int]:
        """The labels, operands before users; those that lie on a cycle, or behind one, are left out.

        Among several that could be next it is always the lowest label: the order is by position.
        """
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

    def members(self, labels: Collection[int]) -> dict[int, list[int]]:
        """The positions of the values in each of these boxes, ascending."""
        found: dict[int, list[int]] = {label: [] for label in labels}
        inside = np.flatnonzero(np.isin(self.label, list(labels)))
        for position, label in zip(inside.tolist(), self.label[inside].tolist(), strict=True):
            found[label].append(position)
        return found


def _distinct(ones: Ints, others: Ints, size: int) -> tuple[Ints, Ints]:
    """Each pair once, ascending; all numbers are from 0 up and less than ``size``."""
    pairs = np.sort(ones * size + others)  # several times as quick as np.unique
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    return pairs // size, pairs % size


def _listed(keys: Ints, others: Ints) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for key, other in zip(keys.tolist(), others.tolist(), strict=True):
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
    """The boxes with the same key become one; those without a key, or alone with theirs, stay as they are.

    ``tell`` says of a key and its labels what they became. With ``apart`` boxes of one key that read
    each other's results do not become one: each of them is a step of a sequence.
    """
    held: dict[Hashable, list[int]] = {}
    for label in partition.labels:
        if label in key:
            held.setdefault(key[label], []).append(label)
    several = {each: labels for each, labels in held.items() if len(labels) > 1}
    if not several:
        return partition
    where = np.arange(len(partition.label), dtype=np.int64)
    for labels in several.values():
        where[labels] = labels[-1]
    become = {labels[-1]: tell(each, labels) for each, labels in several.items()}
    classes = np.where(partition.label < 0, -1, where[partition.label])
    coarse = Partition(partition.values, classes, {**partition.made, **become}, finer=partition)
    return acyclic(coarse, partition, apart=apart)


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
    coarse box and of one depth stay together. Then every edge between boxes leads to a greater depth.

    With ``apart`` a box that holds two fine ones, of which one reads the other, counts as a cycle, and
    each such edge counts as going over.
    """
    box = coarse.label
    core = coarse.cycles()
    if apart:
        sources, targets = fine.arcs
        core |= {*box[sources[box[sources] == box[targets]]].tolist()}
    if not core:
        return coarse
    depth: dict[int, int] = {}
    for label in fine.order:
        if int(box[label]) in core:
            below = [(each, depth[each]) for each in fine.operands.get(label, ()) if each in depth]
            depth[label] = max((deep + (apart or box[each] != box[label]) for each, deep in below), default=0)
    size = len(box)
    deep = np.zeros(size, dtype=np.int64)
    deep[list(depth)] = list(depth.values())
    classes = np.where(box < 0, -1, box * size + deep[fine.label])
    pieces = {int(box[label]) * size + each: coarse[int(box[label])] for label, each in depth.items()}
    others = {label * size: each for label, each in coarse.made.items() if label not in core}
    split = Partition(coarse.values, classes, {**others, **pieces}, finer=fine)
    split.turn = coarse.turn
    for label, held in split.members([each for each in split.made if box[each] in core]).items():
        if len(held) == 1 and not split.is_group(label):
            del split.made[label]
    return split


# ---------------------------------------------------------------------------------------------- sums
class Term(NamedTuple):
    """One term of a sum."""

    #: ``w1·i1``, ``b1``, ``−t``.
    label: str
    #: What it adds.
    data: float
    #: The edges that end at it: (position of the user, place among its operands, ∂sum/∂operand).
    edges: tuple[tuple[int, int, float | None], ...]


def single(values: Values) -> Partition:
    """Each value by itself."""
    return Partition(values, np.where(values.shown, np.arange(len(values.nodes)), -1), rows=False)


def sums(values: Values) -> Partition:
    """Each sum in one box, every other value in its own.

    Folded are links (``a + b``, ``a − b``, ``sum``, ``dot``) and products that are read once, by a link of
    the same group, and bear no name: what the user named stays visible, and so does what is shared,
    since there gradients add up.

    >>> from microbp import Graph, Value
    >>> from viz.kinds import kinds
    >>> w, x, b = Value(2.0), Value(3.0), Value(1.0)
    >>> graph = Graph(w * x + b)
    >>> sums(Values(graph, kinds(graph))).label.tolist()
    [0, 1, 4, 3, 4]
    """
    graph, shown = values.graph, values.shown
    classes: Ints = np.where(shown, np.arange(len(graph)), -1)
    once = np.flatnonzero((values.reads == 1) & shown & values.are({*_LINKS, "mul"}) & ~np.array(graph.named))
    reader = values.reader[once]
    # a dot adds its last operand alone, the bias, as it is
    last = graph.args[graph.first[reader + 1] - 1] == once
    adds = values.are(_LINKS)[reader] & (last | ~values.are({"dot"})[reader])
    _, group = values.grouped
    joins = adds & shown[reader] & (group[once] == group[reader])
    for position, into in zip(once[joins][::-1].tolist(), reader[joins][::-1].tolist(), strict=True):
        classes[position] = classes[into]
    return Partition(values, classes)


def is_link(node: Node) -> bool:
    """Whether an operation adds its operands, or products of them."""
    return node.rule is not None and node.rule.name in _LINKS


def is_sum(partition: Partition, label: int, size: int) -> bool:
    """Whether a box of ``size`` values is drawn with a row per term.

    It is a ``sum``, a ``dot``, or, where sums are folded, an addition of two values or of folded terms.
    """
    node = partition.values.nodes[label]
    if label in partition.made or node.rule is None or not is_link(node):
        return False
    plain = node.rule.name == "sub" or any(each.node is None for each in node.inputs)
    return size > 1 or node.rule.name in {"sum", "dot"} or (partition.rows and not plain)


def terms(partition: Partition, label: int) -> list[Term]:
    """The terms of a sum, from left to right; a literal 0, as Python's ``sum`` begins with, is none."""
    nodes, inside = partition.values.nodes, partition.label
    found: list[Term] = []
    # What is still to do, the next at the end: (node, its inputs, place, ∂sum/∂node).
    pending = _places(nodes[label], 1.0)
    while pending:
        node, inputs, place, factor = pending.pop()
        assert node.rule is not None
        if node.rule.name == "dot" and place < len(node.operands) // 2:
            found.append(_product(node, inputs, (place, place + len(inputs) // 2), factor))
            continue
        below, constant, local = inputs[place]
        passed = -factor if node.rule.name == "sub" and place == 1 else factor
        sign = "−" if passed < 0 else ""
        if below is None:
            if constant:
                found.append(Term(f"{sign}{literal(constant)}", passed * constant, ()))
        elif inside[below.position] != label:
            edge = node.position, place, None if local is None else factor * local
            found.append(Term(f"{sign}{short(below.name)}", passed * below.data, (edge,)))
        elif below.rule is not None and below.rule.name == "mul":
            found.append(_product(below, below.inputs, (0, 1), passed))
        else:
            pending += _places(below, passed)
    return found


def _places(node: Node, factor: float) -> list[tuple[Node, tuple[Any, ...], int, float]]:
    """Where a link's terms stand, the last first; for a dot the bias, and one place for each product."""
    assert node.rule is not None
    inputs, last = node.inputs, len(node.operands) - 1
    places = [last, *reversed(range(last // 2))] if node.rule.name == "dot" else reversed(range(last + 1))
    return [(node, inputs, place, factor) for place in places]


def _product(node: Node, inputs: tuple[Any, ...], places: tuple[int, int], factor: float) -> Term:
    """The term of the two operands of a product, or of a dot, at these places."""
    data, labels, edges = factor, [], []
    for place in places:
        operand, constant, local = inputs[place]
        if operand is not None:
            data *= operand.data
            labels.append(short(operand.name))
            edges.append((node.position, place, None if local is None else factor * local))
        elif constant is not None:
            data *= constant
            labels.append(literal(constant))
    return Term(("−" if factor < 0 else "") + "·".join(labels), data, tuple(edges))


# ----------------------------------------------------------------------------------- what is alike
def alike(partition: Partition, *, any_parameter: bool = False) -> Partition:
    """Boxes that do the same with the same, outside of groups, become one: the samples of a batch.

    Two boxes are alike if they have the same operations, and read the same parameters and boxes that are
    alike; inputs of one name but for an index count as alike, and so do literals. With ``any_parameter``
    so do parameters of one name: then the neurons of a layer are alike, but not queries and keys.
    """
    values = partition.values
    #: The class of each label; that of a leaf may be shared without its box being so.
    of: dict[int, Hashable] = {}
    key: dict[int, Hashable] = {}
    where = partition.label.tolist()
    leaders: dict[Hashable, int] = {}
    for label in partition.order:
        if partition.is_leaf(label):
            kind = values.kinds[label]
            learned = kind is Kind.PARAMETER and not any_parameter
            of[label] = label if learned else (kind.value, _array_of(values.nodes[label]))
        elif partition[label].how in {"", "alike"}:
            key[label] = of[label] = leaders.setdefault(_written(values, label, where, of), label)
        else:
            of[label] = label

    return merge(
        partition,
        key,
        lambda _, labels: Made("alike", times=sum(partition[each].times for each in labels)),
    )


def _array_of(node: Node) -> str:
    """The name of a leaf without any index: ``layers.neurons.w`` for ``layers.0.neurons.1.w.2``."""
    return re.sub(r"\.\d+(?=\.|$)", "", stem(node))


def _written(values: Values, label: int, where: list[int], of: Mapping[int, Hashable]) -> Hashable:
    """What a box computes, written from its last value downwards."""
    written: list[Hashable] = []
    pending = [label]
    while pending:
        position = pending.pop()
        written.append(int(values.graph.op[position]))
        for each in values.rows[position]:
            box = where[each] if each >= 0 else -2
            if box == label:
                pending.append(each)
            written.append("literal" if box == -2 else "inside" if box == label else of.get(box, "hidden"))
    return tuple(written)


def alike_leaves(
    partition: Partition, kinds: Collection[Kind] = tuple(_WORDS), *, by_name: bool = True
) -> Partition:
    """Leaves of one kind that the same boxes read become one box.

    With ``by_name`` their names must be the same, too, but for an index: ``w1`` and ``w2``; and those of
    an array, ``x[0]`` and ``x[1]``, are one box whatever reads them. Where their readers are n alike and
    they can be dealt out to these, the box is × n.
    """
    values = partition.values
    root = int(partition.label[-1])
    key: dict[int, Hashable] = {}
    for label in partition.labels:
        kind = values.kinds[label]
        if kind is Kind.OPERATION or label == root:
            continue
        node = values.nodes[label]
        whole = by_name and node.named and node.name.endswith("]")  # an array, whatever reads its parts
        if whole or kind in kinds:
            read_by = () if whole else tuple(partition.readers.get(label, ()))
            key[label] = kind, stem(node) if by_name else "", read_by

    def made(each: Any, labels: list[int]) -> Made:
        kind = each[0]
        read_by = {reader for one in labels for reader in partition.readers.get(one, ())}
        stems = dict.fromkeys(partition[one].name or stem(values.nodes[one]) for one in labels)
        name = ", ".join(stems) if len(stems) <= 3 and all(stems) else _WORDS[kind]
        times = {partition[one].times for one in read_by}
        samples = times.pop() if len(times) == 1 and kind is not Kind.PARAMETER else 1
        deals = samples > 1 and sum(partition[one].how == "" for one in labels) % samples == 0
        return Made("leaves", name, samples if deals else 1)

    return merge(partition, key, made)


def absorbed(partition: Partition) -> Partition:
    """Parameters that a single box of several values reads join it."""
    kinds = partition.values.kinds
    return absorb(
        partition,
        {
            label: readers[0]
            for label, readers in partition.readers.items()
            if len(readers) == 1 and kinds[label] is Kind.PARAMETER and readers[0] in partition.made
        },
    )


# -------------------------------------------------------------------------------- chains and formulas
def formulas(partition: Partition, *, chain: bool = False, across: bool = False) -> Partition:
    """Boxes outside of groups join the only box that reads them: a formula becomes one box.

    Of a ``chain`` only where that has no other operand but leaves: a sum and its activation become one,
    and so does a long chain of operations. Only boxes with the same number of samples join, unless
    ``across`` is true: then what is computed for each sample joins the sum over them.
    """
    sources, targets = partition.arcs
    crowded: set[int] = set()
    if chain:
        read, times = np.unique(targets[partition.values.computed[sources]], return_counts=True)
        crowded = {*read[times > 1].tolist()}
    closed = {"group", "loop"}
    into = {
        label: readers[0]
        for label, readers in partition.readers.items()
        if len(readers) == 1
        and not partition.is_leaf(label)
        and not {partition[label].how, partition[readers[0]].how} & closed
        and readers[0] not in crowded
        and (across or partition[label].times == partition[readers[0]].times)
    }
    return absorb(partition, into, lambda top: Made("tree", times=partition[top].times))


# --------------------------------------------------------------------------------------------- groups
def outermost(depth: int | None) -> Cut:
    """The cut that keeps so many groups from the outermost, or all."""
    return lambda path: path[:depth]


def layers(values: Values) -> Cut:
    """The cut by layer: what holds groups side by side, such as the neurons of a layer, is one box.

    Where one of the groups inside reads what another computed they follow each other, and each is a
    layer by itself.
    """
    every, of = values.grouped
    parents = {path[:depth] for path in every for depth in range(1, len(path))}
    source, target = of[values.operand], of[values.user]
    across = (source != target) & (source >= 0) & (target >= 0)
    sequences: set[GroupPath] = set()
    entered: set[GroupPath] = set()
    left: set[GroupPath] = set()
    pairs = _distinct(source[across], target[across], len(every))
    for low, high in zip(*(each.tolist() for each in pairs), strict=True):
        below, above = every[low], every[high]
        if below[:-1] == above[:-1]:
            sequences.add(below[:-1])
        elif below[:-1] == above:
            left.add(above)
        elif below == above[:-1]:
            entered.add(below)
    named = {tuple(name for name, _ in path) for path in sequences | (entered & left)}

    def cut(path: GroupPath) -> GroupPath:
        above = path[:-1]
        plain = tuple(name for name, _ in above)
        return path if path in parents or not above or plain in named else above

    return cut


def by_groups(values: Values, cut: Cut, *, unroll: bool) -> Partition:
    """The values of each group in one box, all its calls together; the others as in :func:`sums`.

    Calls of one name are of one module, or of one ``with group(...)``, unless they read other parameters.
    Parameters that only one of the boxes reads are in it. Calls that read each other's results are the
    steps of a sequence: with ``unroll`` each step is a box, in which the samples are together.
    """
    paths, group = values.grouped
    calls: dict[GroupPath, int] = {}
    call = np.array([*(calls.setdefault(cut(path), len(calls)) for path in paths), -1])[group]
    call[~(values.shown & values.computed)] = -1
    names = [tuple(name for name, _ in path) for path in calls]
    made = [Made("group", each[-1], path=each) for each in names]
    plain, size = sums(values), len(values.nodes)
    classes = np.where(call < 0, plain.label, size + call)
    called = Partition(values, classes, {size + at: each for at, each in enumerate(made)}, finer=plain)
    of_call = acyclic(called, plain)
    # modules of one name are told apart by the first parameter that they read
    learned = np.array([kind is Kind.PARAMETER for kind in values.kinds])
    reads = (call[values.user] >= 0) & learned[values.operand]
    first: Ints = np.full(len(calls), size, dtype=np.int64)
    np.minimum.at(first, call[values.user[reads]], values.operand[reads])
    module = {
        label: (names[at], int(first[at])) for label in of_call.labels if (at := int(call[label])) >= 0
    }
    merged = merge(of_call, module, lambda _, labels: of_call[labels[0]], apart=unroll)
    inside = call >= 0
    boxes, _ = _distinct(merged.label[inside], call[inside], size)
    for label, times in zip(*(each.tolist() for each in np.unique(boxes, return_counts=True)), strict=True):
        merged.made[label] = merged[label]._replace(times=times)
    merged = _owned(merged)
    return merged if unroll else _in_turns(merged, of_call)


def _owned(partition: Partition) -> Partition:
    """Parameters, and constants without a name, that one group's box reads join it.

    What is outside of groups may read them as well, as a regularisation does, unless the box depends on
    that in turn: it would be a cycle.
    """
    into: dict[int, int] = {}
    for label, readers in partition.readers.items():
        groups = [each for each in readers if partition.is_group(each)]
        if len(groups) == 1 and belongs_to_reader(partition.values, label):
            into[label] = groups[0]
    where = np.arange(len(partition.label))
    where[list(into)] = list(into.values())
    classes = np.where(partition.label < 0, -1, where[partition.label])
    in_circle = Partition(partition.values, classes, finer=partition).cycles()
    alone = {label for label, readers in partition.readers.items() if len(readers) == 1}
    return absorb(
        partition, {label: box for label, box in into.items() if box not in in_circle or label in alone}
    )


def belongs_to_reader(values: Values, label: int) -> bool:
    """Whether a leaf is a part of what reads it: a parameter, or a constant that bears no name."""
    kind = values.kinds[label]
    return kind is Kind.PARAMETER or (kind is Kind.CONSTANT and not values.nodes[label].named)


def _in_turns(merged: Partition, calls: Partition) -> Partition:
    """The boxes in which calls read each other's results, with the step in which each value came about."""
    box = merged.label
    sources, targets = calls.arcs
    inner = {*box[sources[box[sources] == box[targets]]].tolist()} & {*merged.made}
    deep: dict[int, int] = {}
    for label in calls.order:
        if calls.is_group(label) and int(box[label]) in inner:
            below = [
                deep[each]
                for each in calls.operands.get(label, ())
                if each in deep and box[each] == box[label]
            ]
            deep[label] = 1 + max(below, default=-1)
    merged.turn = merged.turn.copy()
    for label, held in calls.members([*deep]).items():
        merged.turn[held] = deep[label]
    for label in inner:
        steps = int(merged.turn[box == label].max()) + 1
        merged.made[label] = merged[label]._replace(steps=steps)
    return merged


# ---------------------------------------------------------------------------------------------- loops
def loops(partition: Partition) -> Partition:
    """The steps of a loop, each of which does the same with the result of the last, become one box.

    A running sum over samples is no such loop: its steps have nothing but the sum in common.
    """
    values = partition.values
    step, turn = _steps(values)
    if not (step >= 0).any():
        return partition
    labels = np.array(partition.labels)
    labels = labels[(step[labels] >= 0) & values.computed[labels]]
    key = dict(zip(labels.tolist(), step[labels].tolist(), strict=True))
    count = {each: int(turn[step == each].max()) + 1 for each in {*key.values()}}

    def made(each: Any, labels: list[int]) -> Made:
        names = {partition[label].path[-1].rstrip("0123456789.") for label in labels if partition[label].path}
        name = f"{names.pop()}.…" if len(names) == 1 else "step"
        return Made("loop", name, times=count[each], steps=count[each])

    folded = merge(partition, key, made)
    folded.turn = np.where(step >= 0, turn, folded.turn)
    return alike_leaves(absorbed(folded))


def _steps(values: Values) -> tuple[Ints, Ints]:
    """For each value the loop that it is in, -1 for none, and the step of this loop.

    A computed value is described by its operation, and by how far back each operand was computed. A loop
    is a stretch in which these descriptions repeat with a period.
    """
    graph, size = values.graph, len(values.nodes)
    made = np.flatnonzero(values.computed & values.shown)
    step, turn = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.int64)
    n = len(made)
    index = np.full(size, -1, dtype=np.int64)
    index[made] = np.arange(n)
    kept = values.computed[values.operand]
    user, place, operand = index[values.user[kept]], values.place[kept], index[values.operand[kept]]
    back = np.minimum(user - operand, 4096)  # what lies farther back is the same for all steps
    ops, widths, backs, places = np.random.default_rng(0).integers(1, 2**62, (4, 4097))
    form = ops[graph.op[made]] * widths[np.diff(graph.first)[made] % 4096]
    exact = form.copy()
    np.add.at(exact, user, backs[back] * places[place % 4096])
    free = np.ones(n, dtype=bool)
    found = 0
    while found < 4:
        start, period, turns = _repetition(exact, form, free)
        if turns < _TURNS:
            break
        stretch = made[start : start + period * turns]
        free[start : start + period * turns] = False
        own = np.full(size, -1, dtype=np.int64)
        own[stretch] = np.arange(len(stretch))
        if _is_recurrent(values, own, period):
            step[stretch], turn[stretch] = found, own[stretch] // period
            found += 1
    return step, turn


def _is_recurrent(values: Values, own: Ints, period: int) -> bool:
    """Whether a step computes anything but sums from the step before; ``own`` are places in the stretch."""
    source, target = own[values.operand], own[values.user]
    within = (source >= 0) & (target >= 0)
    sources, targets = _distinct(source[within] % period, target[within] % period, period)
    read, reads = _listed(sources, targets), _listed(targets, sources)
    body = [*range(period)]
    circle = {*body}.difference(_sorted(body, reads, read), _sorted(body, read, reads))
    rules = values.graph.rules
    ops = values.graph.op[np.flatnonzero(own >= 0)[:period]].tolist()
    return any(rules[ops[each]].name not in _LINKS for each in circle)


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
def stages(partition: Partition) -> Partition:
    """All boxes outside of groups that have the same number of groups' boxes below them become one.

    That is what stands before the first layer, between two, and behind the last.
    """
    stage: dict[int, int] = {}
    for label in partition.order:
        below = (stage[each] for each in partition.operands.get(label, ()))
        stage[label] = max(below, default=0) + partition.is_group(label)
    free = {
        each: stage[each] for each in stage if not partition.is_group(each) and not partition.is_leaf(each)
    }
    last = max(free, default=-1)

    def name(number: int) -> str:
        if last >= 0 and number == free[last]:
            return partition.values.nodes[last].name
        return f"between groups ({number})" if number else "before the groups"

    return alike_leaves(_numbered(partition, free, name), by_name=False)


def bands(partition: Partition, most: int) -> Partition:
    """At most ``most`` boxes, and ``FEWEST`` if that is more: what lies at neighbouring depths is one.

    The depth of a box is the longest path to it. The root stays by itself; leaves of one kind are one box.
    """
    depth: dict[int, int] = {}
    for label in partition.order:
        depth[label] = max((depth[each] + 1 for each in partition.operands.get(label, ())), default=0)
    last = partition.labels[-1]
    root = last if last not in partition.readers else -1
    free = [each for each in depth if not partition.is_leaf(each) and each != root]
    deep = sorted({depth[each] for each in free})
    wide = -(-len(deep) // max(most - FEWEST + 1, 1)) or 1
    number = {each: place // wide for place, each in enumerate(deep)}

    def name(band: int) -> str:
        low, high = deep[band * wide], deep[min(band * wide + wide, len(deep)) - 1]
        return f"depth {low}" if low == high else f"depth {low}–{high}"

    banded = _numbered(partition, {each: number[depth[each]] for each in free}, name)
    kinds = partition.values.kinds
    leaves = {label: kinds[label] for label in banded.labels[:-1] if banded.is_leaf(label)}
    return merge(banded, leaves, lambda kind, _: Made("leaves", _WORDS[kind]))


def _numbered(partition: Partition, number: Mapping[int, int], name: Callable[[int], str]) -> Partition:
    """The boxes with one number become one, each with the parameters that it is the first to read.

    Parameters that a box without number reads stay by themselves: they could close a circle.
    """
    key: dict[int, int] = dict(number)
    for label, readers in partition.readers.items():
        if partition.values.kinds[label] is Kind.PARAMETER and all(each in number for each in readers):
            key[label] = min(number[each] for each in readers)
    return merge(partition, key, lambda each, _: Made("depth", name(each)))


# --------------------------------------------------------------------------------------------- levels
Step = Callable[[Partition], Partition]


def _then(*steps: Step) -> Step:
    """One step after the other."""
    return lambda partition: reduce(lambda so_far, step: step(so_far), steps, partition)


_loose = _then(alike, partial(alike_leaves, kinds=(Kind.INPUT, Kind.CONSTANT)))
_batch = _then(alike, alike_leaves)
_chains = _then(partial(formulas, chain=True), absorbed, alike_leaves)
_same = _then(partial(alike, any_parameter=True), absorbed, alike_leaves)
_whole = _then(
    _same, formulas, partial(formulas, across=True), absorbed, partial(alike_leaves, by_name=False)
)  # fmt: skip

CHAINS = "each sum with what follows from it"
LOOP = "the steps of a loop together"
#: What can be done outside of groups, the finest first.
_OUTSIDE: tuple[tuple[str, Step], ...] = (
    (CHAINS, _chains),
    (f"{CHAINS}, those of one form together", _then(_same, _chains)),
    ("by formula", _whole),
)


def folded(values: Values, level: str) -> tuple[Partition, str]:
    """A partition of that level, one of LEVELS, and a phrase that says how it was folded.

    Without groups in the graph, a neuron is a sum with what is computed from it alone, and a layer is
    all neurons of one form.
    """
    if level == "none":
        return single(values), ""
    if level == "sigma":
        return sums(values), LEVELS[level]
    if values.grouped[0]:
        cut = layers(values) if level == "layer" else outermost(None)
        return _batch(by_groups(values, cut, unroll=True)), LEVELS[level]
    phrase, fold = _OUTSIDE[level == "layer"]
    return fold(_loose(sums(values))), phrase


def ladder(values: Values) -> Iterator[tuple[Partition, str]]:
    """Ever coarser partitions with phrases that say how, each computed when it is asked for."""
    yield folded(values, "none")
    yield folded(values, "sigma")
    plain = sums(values)
    if len(values) > _HUGE and not values.grouped[0]:
        yield from _looped(plain)
    for phrase, batch, unrolled in _bases(values, plain):
        yield batch, phrase or "values alike together"
        if not phrase:
            yield from _looped(plain)
        beside = f"{phrase}, the rest " if phrase else ""
        for outside, fold in _OUTSIDE:
            yield fold(batch), f"{beside}{outside}"
        if phrase:
            yield stages(_whole(batch)), f"{beside}in one box"
        if unrolled:
            yield from _looped(unrolled)
    for most in (24, 16, 10, FEWEST):
        yield bands(plain, most), "by depth"


def _bases(values: Values, plain: Partition) -> Iterator[tuple[str, Partition, Partition | None]]:
    """By which groups, the finest first; of a graph without groups its samples. Last, where to seek loops."""
    paths, cut = values.grouped[0], layers(values)
    if not paths:
        yield "", _loose(plain), None
        return
    yield LEVELS["neuron"], _batch(by_groups(values, outermost(None), unroll=True)), None
    unrolled = _batch(by_groups(values, cut, unroll=True))
    yield LEVELS["layer"], unrolled, None
    steps = f"{LEVELS['layer']}, the steps of a sequence together"
    yield steps, _batch(by_groups(values, cut, unroll=False)), unrolled
    for depth in range(max(len(cut(path)) for path in paths) - 1, 0, -1):
        phrase = f"by the {depth} outermost group{'s' * (depth > 1)}"
        yield phrase, _batch(by_groups(values, outermost(depth), unroll=False)), None


def _looped(partition: Partition) -> Iterator[tuple[Partition, str]]:
    folded_loops = loops(partition)
    if any(each.how == "loop" for each in folded_loops.made.values()):
        yield folded_loops, LOOP


# ------------------------------------------------------------------------------------------ unfolding
def unfolded(partition: Partition, names: Iterable[str]) -> Partition:
    """The partition, but that the values of the groups and arrays of these names are boxes by themselves.

    A name is that of a group, or of a value without its index, with or without what stands before it:
    ``layers.1``, ``net.layers.1``, ``neurons.0``, ``W``. ValueError where nothing has such a name.
    """
    values = partition.values
    opened = np.zeros(len(values.nodes), dtype=bool)
    known: dict[str, None] = {}
    for wanted in names:
        pattern = re.compile(rf"(.*\.)?{re.escape(wanted)}([.\[].*)?")
        before = opened.sum()
        for node, shown in zip(values.nodes, values.shown.tolist(), strict=True):
            if not shown:
                continue
            own = ".".join(name for name, _ in node.group)
            known |= dict.fromkeys(filter(None, (own, stem(node))))
            if pattern.fullmatch(own) or (
                node.named and (pattern.fullmatch(node.name) or stem(node) == wanted)
            ):
                opened[node.position] = True
        if opened.sum() == before:
            listed = ", ".join([*known][:12]) or "it has no groups, and no names"
            raise ValueError(
                f"unfold: no group or value of the graph is named {quoted(wanted)}; there are {listed}"
            )
    return opened_at(partition, np.flatnonzero(opened).tolist())


def opened_at(partition: Partition, positions: Collection[int]) -> Partition:
    """The partition, but that the values at these positions are boxes by themselves, or sums as they are."""
    values, size = partition.values, len(partition.label)
    opened = np.zeros(size, dtype=bool)
    opened[list(positions)] = True
    alone = _common(partition, sums(values)).label + size
    classes = np.where(opened & (partition.label >= 0), alone, partition.label)
    split = Partition(values, classes, partition.made)
    split.turn = partition.turn
    for label, held in split.members([*split.made]).items():
        if len(held) == 1:
            del split.made[label]
    return acyclic(split, _common(split, sums(values)))


def _common(coarse: Partition, fine: Partition) -> Partition:
    """The boxes in which both partitions agree."""
    size = len(coarse.label)
    return Partition(coarse.values, np.where(coarse.label < 0, -1, coarse.label * size + fine.label))
