"""From a partition of values to a picture: boxes with names and numbers, frames around them, edges."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from microbp import Graph, Node
from microbp.notation import symbol
from viz.folding import GroupPath, Ints, Partition, Term, belongs_to_reader, is_link, is_sum, terms
from viz.kinds import formula, sign
from viz.picture import STRIP, Box, Cluster, Edge, Kind, Row
from viz.text import number

__all__ = ["ROWS", "Contents", "clusters", "edges"]

#: The most rows of a sum; beyond them one row stands for all that are left out.
ROWS = 40
#: The most literals that have rows of their own.
_LITERALS = 3
#: From so many folded boxes on all their terms share a row.
_MIXED = 6
#: How many names a tooltip lists.
_NAMES = 8
#: How many findings a box shows.
_NOTES = 3
#: The most squares along either side of an array.
_SIDE = 8
#: A cell of an array: ``W[0,1]``, ``W[0][1]``.
_CELL = re.compile(r"(.+?)\[(\d+)(?:,|\]\[)(\d+)\]")


class Contents:
    """What is in each box of a partition."""

    def __init__(self, partition: Partition, findings: Mapping[int, Sequence[str]] | None = None) -> None:
        self.partition = partition
        #: What was found to be wrong, by the position of the value.
        self._findings = findings or {}
        self.values = partition.values
        self._noted = {*self._findings, *np.flatnonzero(~np.isfinite(self.values.graph.data)).tolist()}
        self.nodes = partition.values.nodes
        #: The labels, operands before users.
        self.order = partition.order
        assert len(self.order) == len(partition), "folding made a cycle"
        #: The positions of the values of each box, ascending.
        self.members = partition.members(partition.labels)
        #: The rows of each sum, each as the terms that it stands for, mostly one.
        self.rows: dict[int, list[list[Term]]] = {}
        for label in self.order:
            if is_sum(partition, label, len(self.members[label])):
                self.rows[label] = self._rows(terms(partition, label))
        inside = partition.label[self.values.operand] == partition.label[self.values.user]
        #: The values that other boxes read, and the last of all.
        self.read = {*self.values.operand[~inside].tolist(), partition.labels[-1]}
        self.id = {label: f"{'g' if self.is_folded(label) else 'n'}{label}" for label in self.order}
        self._count = self._numbered()

    def is_folded(self, label: int) -> bool:
        """Whether it is drawn as several values, not as one, nor as the rows of a sum."""
        return label not in self.rows and len(self.members[label]) > 1

    def boxes(self, groups: dict[int, tuple[str, ...]]) -> list[Box]:
        """The boxes, operands before users; ``groups`` are the ids of the frames that each stands in."""
        root = int(self.partition.label[-1])
        return [
            (self._folded if self.is_folded(label) else self._single)(label)._replace(
                group=groups.get(label, ()), root=root == label
            )
            for label in self.order
        ]

    # ------------------------------------------------------------------------------- one value, or a sum
    def _single(self, label: int) -> Box:
        node, rows = self.nodes[label], self.rows.get(label)
        told = [
            f"{node.name} = {node.data!r}",
            f"∇ {'not computed' if node.grad is None else repr(node.grad)}",
            formula(self.values.graph, node),
            node.site or "",
        ]
        return Box(
            id=self.id[label],
            kind=self.values.kinds[label] if rows is None else Kind.SUM,
            name=self.values.graph.shown(node),
            named=node.named,
            symbol=sign(node) if rows is None else "Σ",
            data=node.data,
            grad=node.grad,
            tooltip="\n".join(filter(None, told)),
            rows=tuple(self._row(each, f"t{index}") for index, each in enumerate(rows or ())),
            values=len(self.members[label]),
            notes=self._notes(label),
        )

    def _rows(self, found: list[Term]) -> list[list[Term]]:
        """One row per term; but terms from one folded box share a row, and so do many literals.

        Where there would be more than ``ROWS``, the last row stands for all that are left.
        """
        graph, where, made = self.values.graph, self.partition.label, self.partition.made
        sources: list[tuple[int, ...]] = [
            tuple(int(where[graph.args[graph.first[user] + place]]) for user, place, _ in term.edges)
            for term in found
        ]
        folded = [any(each in made for each in boxes) for boxes in sources]
        mixed = len({boxes for boxes, several in zip(sources, folded, strict=True) if several}) > _MIXED
        crowd = sum(not term.edges for term in found) > _LITERALS
        rows: dict[object, list[Term]] = {}
        for index, term in enumerate(found):
            key: object = index
            if folded[index]:
                key = "folded" if mixed else sources[index]
            elif crowd and not term.edges:
                key = "literals"
            rows.setdefault(key, []).append(term)
        each = list(rows.values())
        if len(each) > ROWS:
            each = [*each[: ROWS - 1], [term for row in each[ROWS - 1 :] for term in row]]
        return each

    def _row(self, held: list[Term], port: str) -> Row:
        first = held[0]
        if len(held) == 1:
            return Row(first.label, first.data, port)
        return Row(f"{first.label} … ({len(held):,} terms)", sum(term.data for term in held), port)

    # ---------------------------------------------------------------------------------- several values
    def _folded(self, label: int) -> Box:
        made, members, kinds = self.partition[label], self.members[label], self.values.kinds
        learned = [each for each in members if kinds[each] is Kind.PARAMETER]
        told = learned or [each for each in members if self.values.is_leaf(each)]
        told = told or [each for each in members if each in self.read]
        name, named = self._name(label)
        across, shaped = _shaped([self.nodes[each] for each in told])
        spark = self._spark(label)
        return Box(
            id=self.id[label],
            kind=Kind.FOLDED,
            name=name,
            named=named,
            symbol=self._symbol(label),
            tooltip=self._tooltip(label),
            strip=() if spark else shaped or _strip([self.nodes[each].grad for each in told]),
            across=across,
            spark=spark,
            values=len(members),
            parameters=len(learned),
            times=made.times,
            largest=self._largest(learned or members),
            leaves=kinds[label] if made.how == "leaves" else None,
            notes=self._notes(label),
        )

    def _name(self, label: int) -> tuple[str, bool]:
        """The name of a folded box, and whether it is one that the user gave."""
        made, node = self.partition[label], self.nodes[label]
        if label in self._count:
            return f"{made.name} ({self._count[label]})", True
        if made.name:
            return made.name, made.how in {"group", "leaves"}
        if node.named:
            return _common_name([self.nodes[each].name for each in self.members[label]], node.name), True
        ops = {*self.values.graph.op[self.members[label]].tolist()} - {-1}
        if made.how == "tree" and len(ops) == 1:
            return f"{self.values.graph.rules[ops.pop()].name} chain", False
        return (self._formula(label) if made.how == "tree" else self._symbol(label)), False

    def _formula(self, label: int) -> str:
        """What a box with a formula does last: ``tanh(Σ)``."""
        node = self.nodes[label]
        inside = [
            each.node
            for each in node.inputs
            if each.node and self.partition.label[each.node.position] == label
        ]
        if is_link(node):
            return "Σ(…)"
        return f"{sign(node)}({'Σ' if len(inside) == 1 and is_link(inside[0]) else '…'})"

    def _notes(self, label: int) -> tuple[str, ...]:
        """What was found to be wrong with its values, and where a number first is none; of many the first."""
        told: dict[str, None] = {}
        for position in filter(self._noted.__contains__, self.members[label]):
            node = self.nodes[position]
            if not math.isfinite(node.data):
                below = [each.node.data for each in node.inputs if each.node]
                known = math.isnan if math.isnan(node.data) else lambda x: not math.isfinite(x)
                if not any(map(known, below)):
                    told[f"first {number(node.data)} here"] = None
            told |= dict.fromkeys(self._findings.get(position, ()))
        return tuple(told)[:_NOTES]

    def _spark(self, label: int) -> tuple[float | None, ...]:
        """Of a box of repeated steps the largest |∇| of each, or of each of ``STRIP`` runs of them."""
        members = np.array(self.members[label])
        members = members[(self.partition.turn[members] >= 0) & self.values.graph.known[members]]
        largest = np.full(self.partition[label].steps, -1.0)  # of a step in which no gradient is known
        np.maximum.at(largest, self.partition.turn[members], abs(self.values.graph.grad[members]))
        return _strip([None if each < 0.0 else each for each in largest.tolist()])

    def _largest(self, members: list[int]) -> float | None:
        """The largest gradient in magnitude, as a positive number; nan if there is one among them."""
        known = self.values.graph.known[members]
        return float(abs(self.values.graph.grad[members][known]).max()) if known.any() else None

    def _symbol(self, label: int) -> str:
        """The sign of the operation, if the values of the box are samples of one."""
        made, node, members = self.partition[label], self.nodes[label], self.members[label]
        if made.how != "alike" or node.rule is None:
            return ""
        if len(members) > made.times:
            return "Σ"
        # where no operand is a literal, it is that of the operation
        ops, rows = self.values.graph.op[members].tolist(), self.values.rows
        kinds = {(op, each * (min(rows[each]) < 0)): each for op, each in zip(ops, members, strict=True)}
        signs = {sign(self.nodes[each]) for each in kinds.values()}
        return signs.pop() if len(signs) == 1 else symbol(node.rule)

    def _numbered(self) -> dict[int, int]:
        """Boxes of one group that was taken apart, as a sequence is, with a number from 1 up."""
        found: dict[tuple[str, ...], list[int]] = {}
        for label in self.order:
            if self.partition.is_group(label):
                found.setdefault(self.partition[label].path, []).append(label)
        return {
            label: index
            for labels in found.values()
            if len(labels) > 1
            for index, label in enumerate(labels, start=1)
        }

    def _tooltip(self, label: int) -> str:
        made, members = self.partition[label], self.members[label]
        names = [self.nodes[each].name for each in members[:_NAMES]]
        more = f" … {len(members) - _NAMES:,} more" if len(members) > _NAMES else ""
        largest = self._largest(members)
        told = [
            ".".join(made.path),
            f"{len(members):,} values" + (f", {made.times:,} alike" if made.times > 1 else ""),
            f"largest |∇| {'not computed' if largest is None else repr(largest)}",
            ", ".join(names) + more,
        ]
        return "\n".join(filter(None, told))


def _common_name(names: Iterable[str], last: str) -> str:
    """``K[:,0]`` for cells of a column, ``A`` for those of a whole array; else the last name without #2."""
    own = _CELL.fullmatch(last)
    cells = [
        found.groups() for each in names if (found := _CELL.fullmatch(each)) and own and found[1] == own[1]
    ]
    if not own or len(cells) < 2:
        return last.partition("#")[0]
    rows, columns = ({cell[axis] for cell in cells} for axis in (1, 2))
    if len(rows) > 1 and len(columns) > 1:
        return own[1]
    return f"{own[1]}[{':' if len(rows) > 1 else own[2]},{':' if len(columns) > 1 else own[3]}]"


def _shaped(nodes: Sequence[Node]) -> tuple[int, tuple[float | None, ...]]:
    """The columns of an array, and its gradients row by row; (0, ()) for what is no array of two axes.

    Of a large array each square stands for a block, with the largest gradient in it.
    """
    cells: dict[tuple[int, int], float | None] = {}
    arrays = set()
    for node in nodes:
        found = _CELL.fullmatch(node.name) if node.named else None
        if found is None:
            return 0, ()
        arrays.add(found[1])
        cells[int(found[2]), int(found[3])] = node.grad
    if len(arrays) != 1 or len(cells) != len(nodes):
        return 0, ()
    high, wide = (1 + max(cell[axis] for cell in cells) for axis in (0, 1))
    if high * wide != len(cells):
        return 0, ()
    down, right = -(-high // _SIDE), -(-wide // _SIDE)
    blocks: dict[tuple[int, int], list[float | None]] = {}
    for (row, column), gradient in sorted(cells.items(), key=lambda each: each[0]):
        blocks.setdefault((row // down, column // right), []).append(gradient)
    return -(-wide // right), tuple(_strongest(each) for each in blocks.values())


def _strongest(run: Iterable[float | None]) -> float | None:
    known = [each for each in run if each is not None]
    return max(known, key=lambda each: math.inf if math.isnan(each) else abs(each), default=None)


def _strip(gradients: Sequence[float | None]) -> tuple[float | None, ...]:
    """The gradients, or of more than ``STRIP`` the largest in magnitude of each of so many runs."""
    if len(gradients) <= STRIP:
        return tuple(gradients)
    bounds = [len(gradients) * each // STRIP for each in range(STRIP + 1)]
    strip: list[float | None] = []
    for start, stop in pairwise(bounds):
        strip.append(_strongest(gradients[start:stop]))
    return tuple(strip)


# -------------------------------------------------------------------------------------------- frames
def clusters(contents: Contents) -> tuple[list[Cluster], dict[int, tuple[str, ...]]]:
    """The frames, each after that around it; and for each box that has some, their ids from the outermost.

    A parameter, or a constant without a name, stands in the innermost frame that holds all its readers.
    """
    partition, nodes = contents.partition, contents.nodes
    paths: dict[int, GroupPath] = {}
    for label in contents.order:
        made = partition[label]
        if made.how == "group":
            paths[label] = tuple((name, -1) for name in made.path[:-1])
        elif not made.how and not partition.is_leaf(label):
            paths[label] = nodes[label].group
    for label, readers in partition.readers.items():
        if belongs_to_reader(contents.values, label):
            paths[label] = _common([paths.get(each, ()) for each in readers])
    ids: dict[GroupPath, str] = {}
    calls: dict[tuple[str, ...], int] = {}
    for label in contents.order:
        path = paths.get(label, ())
        for depth in range(1, len(path) + 1):
            if path[:depth] not in ids:
                ids[path[:depth]] = f"c{len(ids)}"
                names = tuple(name for name, _ in path[:depth])
                calls[names] = calls.get(names, 0) + 1
    found = [
        Cluster(each, _label(path, calls[tuple(name for name, _ in path)]), ids.get(path[:-1], ""))
        for path, each in ids.items()
    ]
    return found, {
        label: tuple(ids[path[:depth]] for depth in range(1, len(path) + 1))
        for label, path in paths.items()
        if path
    }


def _label(path: GroupPath, calls: int) -> str:
    name, call = path[-1]
    return f"{name} ({call + 1})" if calls > 1 and call >= 0 else name


def _common(paths: list[GroupPath]) -> GroupPath:
    """The longest beginning of all paths."""
    low, high = min(paths), max(paths)
    same = 0
    while same < min(len(low), len(high)) and low[same] == high[same]:
        same += 1
    return low[:same]


# --------------------------------------------------------------------------------------------- edges
class _End(NamedTuple):
    """Where an edge ends in a sum, and ∂sum/∂operand."""

    port: str
    local: float | None
    #: Whether its row stands for several terms.
    shared: bool


def edges(contents: Contents) -> list[Edge]:
    """All edges between different boxes, in the order of their users and places.

    Each edge between two values, or from a value to a row of a sum, is one; x * x has two. Where a box
    is folded, or a row holds several terms, those between the same two ends are one with their count.
    """
    values, label, graph = contents.values, contents.partition.label, contents.values.graph
    ends = _ends(contents)
    across = np.flatnonzero(label[values.operand] != label[values.user])
    user, place, operand = values.user[across], values.place[across], values.operand[across]
    source, target = label[operand], label[user]
    local = graph.local[graph.first[user] + place]
    flows = graph.known[user] & graph.needs[operand]
    with np.errstate(all="ignore"):
        amounts = np.where(flows, graph.grad[user] * local, np.nan)
    folded = np.zeros(len(label), dtype=bool)
    folded[[each for each in contents.order if contents.is_folded(each)]] = True
    ported = np.zeros(len(label), dtype=bool)
    ported[list(contents.rows)] = True
    found: dict[tuple[int, object], Edge] = {}
    # what runs between two boxes of several values: counted, never looked at one by one
    many = (folded[source] | folded[target]) & ~ported[target]
    for run in _runs(source[many] * len(label) + target[many]):
        held = np.flatnonzero(many)[run]
        paid = held[flows[held]]
        most = None
        if len(paid):
            sizes = np.where(np.isnan(amounts[paid]), np.inf, np.abs(amounts[paid]))
            most = float(amounts[paid[sizes.argmax()]])
        first, count = int(held[0]), len(held)
        own = float(local[first]) if count == 1 else None
        ids = (
            f"e{user[first]}_{place[first]}",
            contents.id[int(source[first])],
            contents.id[int(target[first])],
        )
        found[first, ""] = Edge(*ids, "", own, most, count=count)
    keys: dict[tuple[object, ...], tuple[int, object]] = {}
    for at in np.flatnonzero(~many).tolist():
        whose = at_user, _ = int(user[at]), int(place[at])
        end = ends.get(whose) or _End("", float(local[at]), shared=False)
        paid_in = float(amounts[at]) if flows[at] else None
        key: tuple[object, ...] = whose
        if folded[source[at]] or end.shared:
            key = (int(source[at]), int(target[at]), end.port)
        before = found.get(keys.setdefault(key, (at, key)))
        if before is None:
            ids = f"e{whose[0]}_{whose[1]}", contents.id[int(source[at])], contents.id[int(target[at])]
            found[at, key] = Edge(
                *ids, end.port, end.local, paid_in, _alarm(graph, at_user, local[at], paid_in)
            )
        else:
            most = larger(before.contribution, paid_in)
            found[keys[key]] = before._replace(local=None, contribution=most, count=before.count + 1)
    return [found[each] for each in sorted(found, key=lambda each: each[0])]


def _alarm(graph: Graph, user: int, local: float, paid: float | None) -> str:
    """How a contribution becomes nan where the upstream gradient is not, or inf where that is finite."""
    upstream = float(graph.grad[user])
    if (
        paid is None
        or math.isfinite(paid)
        or math.isnan(upstream)
        or (math.isinf(upstream) and math.isinf(paid))
    ):
        return ""
    return f"{number(upstream)} × {number(float(local))} = {number(paid)}"


def _runs(keys: Ints) -> list[Ints]:
    """The places of each key among ``keys``, ascending."""
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1) if len(order) else []


def _ends(contents: Contents) -> dict[tuple[int, int], _End]:
    return {
        (user, place): _End(f"t{index}", local, len(held) > 1)
        for rows in contents.rows.values()
        for index, held in enumerate(rows)
        for term in held
        for user, place, local in term.edges
    }


def larger(a: float | None, b: float | None) -> float | None:
    """The larger in magnitude; a nan, if there is one."""
    if a is None or b is None:
        return b if a is None else a
    return a if math.isnan(a) or (abs(a) >= abs(b) and not math.isnan(b)) else b
