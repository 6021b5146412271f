"""From a partition of values to a picture: boxes with names and numbers, frames around them, edges."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

import numpy as np

from microbp import Graph, Node
from microbp.notation import symbol
from viz.folding import LINKS, GroupPath, Partition, listed
from viz.kinds import literal, short, sign, tooltip
from viz.picture import STRIP, Box, Cluster, Edge, Kind, Row
from viz.text import number

ROWS = 40  #: The most rows of a sum; beyond them one row stands for all that are left out.
_MIXED = 6  #: More folded boxes than these, and all their terms share a row.
_NAMES = 8  #: How many names a tooltip lists.
_NOTES = 3  #: How many findings a box shows.
_SIDE = 8  #: The most squares along either side of an array.
_CELL = re.compile(r"(.+?)\[(\d+)(?:,|\]\[)(\d+)\]")  #: A cell of an array: ``W[0,1]``, ``W[0][1]``.


# -------------------------------------------------------------------------------------------- sums
class Term(NamedTuple):
    """One term of a sum, a product of one or two operands: ``w1·i1``, ``b1``, ``−t``, and what it adds."""

    label: str
    #: Whether an operand of it has a name that is not made up.
    named: bool
    data: float
    #: The edges that end at it: (position of the user, place among its operands, ∂sum/∂operand).
    edges: tuple[tuple[int, int, float | None], ...]


def _addends(node: Node, factor: float) -> list[tuple[int, list[tuple[Any, ...]], float]]:
    """The products that an operation adds: where it stands, their (place, *input), a factor; last first."""
    assert node.rule is not None
    rule, inputs = node.rule.name, [(place, *each) for place, each in enumerate(node.inputs)]
    products = [inputs] if rule == "mul" else [[each] for each in inputs]
    if rule == "dot":
        half = len(inputs) // 2
        products = [*map(list, zip(inputs[:half], inputs[half:], strict=False)), inputs[-1:]]
    signs = [-factor if rule == "sub" and at else factor for at in range(len(products))]
    return [(node.position, *each) for each in zip(products, signs, strict=True)][::-1]


def _terms(partition: Partition, label: int) -> Iterable[Term]:
    """The terms of a sum, from left to right; a literal 0, as Python's ``sum`` begins with, is none."""
    pending = _addends(partition.values.nodes[label], 1.0)
    while pending:
        at, operands, factor = pending.pop()
        [(_, below, constant, _), *more] = operands
        if not more and below is not None and partition.label[below.position] == label:
            pending += _addends(below, factor)
            continue
        if not more and below is None and not constant:
            continue
        data, names, edges = factor, [], []
        for place, operand, constant, local in operands:
            data *= operand.data if operand else constant or 0.0
            names.append(short(operand.name) if operand else literal(constant or 0.0))
            if operand:
                edges.append((at, place, None if local is None else factor * local))
        named = any(operand and operand.named for _, operand, _, _ in operands)
        yield Term(("−" if factor < 0 else "") + "·".join(names), named, data, tuple(edges))


class Contents:
    """What is in each box of a partition."""

    def __init__(self, partition: Partition, findings: Mapping[int, Sequence[str]] | None = None) -> None:
        self.partition, self.values, self.nodes = partition, partition.values, partition.values.nodes
        self._findings = findings or {}  #: What was found to be wrong, by the position of the value.
        self._noted = {*self._findings, *np.flatnonzero(~np.isfinite(self.values.graph.data)).tolist()}
        self.order = partition.order  #: The labels, operands before users.
        assert len(self.order) == len(partition), "folding made a cycle"
        #: The positions of the values of each box, ascending.
        self.members = listed(partition.label.tolist(), range(len(partition.label)))
        #: The rows of each sum, each as the terms that it stands for, mostly one.
        self.rows = {label: self._rows(label) for label in self.order if self._is_sum(label)}
        inside = partition.label[self.values.operand] == partition.label[self.values.user]
        #: The values that other boxes read, and the last of all.
        self.read = {*self.values.operand[~inside].tolist(), partition.labels[-1]}
        #: The labels of boxes that are drawn as several values, not as one, nor as the rows of a sum.
        self.folded = [each for each in self.order if len(self.members[each]) > 1 and each not in self.rows]
        self.id = {label: f"n{label}" for label in self.order} | {each: f"g{each}" for each in self.folded}
        self._number = self._numbered()

    def boxes(self, groups: Mapping[int, tuple[str, ...]], before: Mapping[int, str]) -> list[Box]:
        """The boxes, operands before users, with the ids of their frames, and what is before their names."""
        root, folded = int(self.partition.label[-1]), {*self.folded}
        boxes = {label: (self._folded if label in folded else self._single)(label) for label in self.order}
        return [
            box._replace(
                name=before.get(label, "") + box.name,
                values=len(self.members[label]),
                notes=self._notes(label),
                group=groups.get(label, ()),
                root=root == label,
            )
            for label, box in boxes.items()
        ]

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

    # ------------------------------------------------------------------------------- one value, or a sum
    def _single(self, label: int) -> Box:
        node, rows = self.nodes[label], self.rows.get(label)
        gradient = "not computed" if node.grad is None else repr(node.grad)
        return Box(
            id=self.id[label],
            kind=self.values.kinds[label] if rows is None else Kind.SUM,
            name=self.values.graph.shown(node),
            named=node.named,
            symbol=sign(node) if rows is None else "Σ",
            data=node.data,
            grad=node.grad,
            tooltip=tooltip(self.values.graph, node, gradient),
            rows=tuple(
                Row(
                    held[0].label if held[0].named or len(held) == 1 else "",
                    sum(term.data for term in held),
                    f"t{at}",
                    len(held),
                )
                for at, held in enumerate(rows or ())
            ),
        )

    def _is_sum(self, label: int) -> bool:
        """Whether it has a row per term: a ``sum``, a ``dot``, an addition of what is folded or left out."""
        rule, shown = self.nodes[label].rule, self.values.shown
        if label in self.partition.made or rule is None or rule.name not in LINKS:
            return False
        left_out = any(each >= 0 and not shown[each] for each in self.values.rows[label])
        return left_out or len(self.members[label]) > 1 or rule.name in {"sum", "dot"}

    def _rows(self, label: int) -> list[list[Term]]:
        """One row per term; but terms from one folded box share a row.

        Where there would be more than ``ROWS``, the last row stands for all that are left.
        """
        where, args, found = self.partition.label, self.values.rows, [*_terms(self.partition, label)]
        read = [tuple(int(where[args[user][place]]) for user, place, _ in term.edges) for term in found]
        folded = {boxes for boxes in read if any(each in self.partition.made for each in boxes)}
        rows: dict[object, list[Term]] = {}
        for index, (term, boxes) in enumerate(zip(found, read, strict=True)):
            shared = boxes if len(folded) <= _MIXED else "folded"
            rows.setdefault(shared if boxes in folded else index, []).append(term)
        each = list(rows.values())
        left = [term for row in each[ROWS - 1 :] for term in row]
        return each if len(each) <= ROWS else [*each[: ROWS - 1], left]

    # ---------------------------------------------------------------------------------- several values
    def _folded(self, label: int) -> Box:
        made, members, kinds = self.partition[label], self.members[label], self.values.kinds
        learned = [each for each in members if kinds[each] is Kind.PARAMETER]
        told = learned or [each for each in members if kinds[each] is not Kind.OPERATION]
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
            parameters=len(learned),
            times=made.times,
            largest=self._largest(learned or members),
            leaves=kinds[label] if made.how == "leaves" else None,
        )

    def _name(self, label: int) -> tuple[str, bool]:
        """The name of a folded box, and whether it is one that the user gave; else what it does last."""
        made, node, where = self.partition[label], self.nodes[label], self.partition.label
        if made.name:
            return f"{made.name}{self._number.get(label, '')}", made.how in {"group", "leaves"}
        if node.named:
            return _common_name([self.nodes[each] for each in self.members[label]]), True
        if made.how != "tree":
            return self._symbol(label), False
        below = [each.node for each in node.inputs if each.node and where[each.node.position] == label]
        links = [each.rule is not None and each.rule.name in LINKS for each in (node, *below)]
        return "Σ(…)" if links[0] else f"{sign(node)}({'Σ' if links[1:] == [True] else '…'})", False

    def _symbol(self, label: int) -> str:
        """The sign of the operation, if the values of the box are samples of one."""
        made, node, members = self.partition[label], self.nodes[label], self.members[label]
        if made.how != "alike" or node.rule is None:
            return ""
        if len(members) > made.times:
            return "Σ"
        signs = {sign(self.nodes[each]) for each in members}
        return signs.pop() if len(signs) == 1 else symbol(node.rule)

    def _numbered(self) -> dict[int, str]:
        """Boxes of one group that was taken apart, as a sequence is, with a number from 1 up."""
        made = {each: self.partition[each] for each in self.order}
        apart = [label for label, each in made.items() if each.how in {"group", "rest"}]
        found = listed((made[each].path or made[each].name for each in apart), apart)
        several = (labels for labels in found.values() if len(labels) > 1)
        return {label: f" ({at})" for labels in several for at, label in enumerate(labels, start=1)}

    def _spark(self, label: int) -> tuple[float | None, ...]:
        """Of a box of repeated steps the largest |∇| of each, or of each of ``STRIP`` runs of them."""
        made, graph, members = self.partition[label], self.values.graph, np.array(self.members[label])
        if made.turn is None:
            return ()
        members = members[(made.turn[members] >= 0) & graph.known[members]]
        largest = np.full(made.steps, -1.0)  # of a step in which no gradient is known
        np.maximum.at(largest, made.turn[members], abs(graph.grad[members]))
        return _strip([None if each < 0.0 else each for each in largest.tolist()])

    def _largest(self, members: list[int]) -> float | None:
        """The largest gradient in magnitude, as a positive number; nan if there is one among them."""
        known = self.values.graph.known[members]
        return float(abs(self.values.graph.grad[members][known]).max()) if known.any() else None

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


def _cells(nodes: Iterable[Node]) -> dict[tuple[str, int, int], Node]:
    """Those that are cells of arrays of two axes, by the name of the array, row and column."""
    found = ((_CELL.fullmatch(node.name) if node.named else None, node) for node in nodes)
    return {(cell[1], int(cell[2]), int(cell[3])): node for cell, node in found if cell}


def _common_name(nodes: Sequence[Node]) -> str:
    """``K[:,0]`` for cells of a column, ``A`` for those of a whole array; else the last name without #2."""
    cells, last = [*_cells(nodes)], nodes[-1].name
    own = [each for each in cells if each[0] == cells[-1][0]]
    if len(own) < 2 or not _CELL.fullmatch(last):
        return last.partition("#")[0]
    array, row, column = own[-1]
    rows, columns = {each[1] for each in own}, {each[2] for each in own}
    if len(rows) > 1 and len(columns) > 1:
        return array
    return f"{array}[{':' if len(rows) > 1 else row},{':' if len(columns) > 1 else column}]"


def _shaped(nodes: Sequence[Node]) -> tuple[int, tuple[float | None, ...]]:
    """The columns of an array, and its gradients row by row, or block by block; (0, ()) for no array."""
    cells = _cells(nodes)
    high = 1 + max((row for _, row, _ in cells), default=0)
    wide = 1 + max((column for _, _, column in cells), default=0)
    if not len(cells) == len(nodes) == high * wide or len({cell[0] for cell in cells}) != 1:
        return 0, ()
    down, right = -(-high // _SIDE), -(-wide // _SIDE)
    blocks: dict[tuple[int, int], list[float | None]] = {}
    for (_, row, column), node in sorted(cells.items(), key=lambda each: each[0]):
        blocks.setdefault((row // down, column // right), []).append(node.grad)
    return -(-wide // right), tuple(map(_strongest, blocks.values()))


def _strongest(run: Iterable[float | None]) -> float | None:
    known = [each for each in run if each is not None]
    return max(known, key=lambda each: math.inf if math.isnan(each) else abs(each), default=None)


def _strip(gradients: Sequence[float | None]) -> tuple[float | None, ...]:
    """The gradients, or of more than ``STRIP`` the largest in magnitude of each of so many runs."""
    many = min(len(gradients), STRIP)
    bounds = [len(gradients) * each // many for each in range(many + 1)] if many else []
    return tuple(_strongest(gradients[start:stop]) for start, stop in pairwise(bounds))


# -------------------------------------------------------------------------------------------- frames
def clusters(contents: Contents) -> tuple[list[Cluster], dict[int, tuple[str, ...]], dict[int, str]]:
    """The frames, outer ones first; of each box their ids, and what goes before its name.

    A parameter, or a constant without a name, stands in the innermost frame that holds all its readers. A
    frame around a group's box alone would be crossed by all edges to it: its name goes before the box's. Nor
    is there one around frames with leaves, which bear its name: the edges into them need room between them.
    """
    partition = contents.partition
    paths: dict[int, GroupPath] = {}
    for label in contents.order:
        made = partition[label]
        if made.how == "group":
            paths[label] = tuple((name, -1) for name in made.path[:-1])
        elif not made.how and not partition.is_leaf(label):
            paths[label] = contents.nodes[label].group
    for label, readers in partition.readers.items():
        if contents.values.is_part(label):
            beside = zip(*(paths.get(each, ()) for each in readers), strict=False)
            paths[label] = tuple(each[0] for each in takewhile(lambda each: len({*each}) == 1, beside))
    within = {label: [path[: at + 1] for at in range(len(path))] for label, path in paths.items() if path}
    held = Counter(path for around in within.values() for path in around)
    before: dict[int, str] = {}
    for label, around in within.items():
        while partition[label].how == "group" and around and held[around[-1]] == 1:
            before[label] = f"{around.pop()[-1][0]}.{before.get(label, '')}"
    framed = dict.fromkeys(path for label in contents.order for path in within.get(label, ()))
    leafy = {path for label, around in within.items() if partition.is_leaf(label) for path in around}
    left_out = leafy & {path[:-1] for path in framed}
    ids = {path: f"c{at}" for at, path in enumerate(each for each in framed if each not in left_out)}
    calls = Counter(tuple(name for name, _ in path) for path in framed)
    told = {}
    for path in framed:
        (name, call), several = path[-1], calls[tuple(name for name, _ in path)] > 1
        told[path] = f"{name} ({call + 1})" if several and call >= 0 else name
    frames = []
    for path, id_ in ids.items():
        shown, above = told[path], path[:-1]
        while above in left_out:
            shown, above = f"{told[above]}.{shown}", above[:-1]
        frames.append(Cluster(id_, shown, ids.get(above, "")))
    inside = {label: tuple(ids[path] for path in around if path in ids) for label, around in within.items()}
    return frames, inside, before


# --------------------------------------------------------------------------------------------- edges
def edges(contents: Contents) -> list[Edge]:
    """All edges between different boxes, in the order of their users and places; x * x has two.

    Where a box is folded, or a row holds several terms, those between the same two ends are one.
    """
    values, label, graph = contents.values, contents.partition.label, contents.values.graph
    ends = {
        (user, place): (f"t{at}", passed, len(held) > 1)
        for rows in contents.rows.values()
        for at, held in enumerate(rows)
        for term in held
        for user, place, passed in term.edges
    }
    across = label[values.operand] != label[values.user]
    users, places, operands = values.user[across], values.place[across], values.operand[across]
    locals_ = graph.local[graph.first[users] + places]
    flows = graph.known[users] & graph.needs[operands]
    with np.errstate(all="ignore"):
        amounts = graph.grad[users] * locals_
    columns = (users, places, label[operands], label[users], locals_, flows, amounts)
    folded, runs = {*contents.folded}, dict[tuple[object, ...], list[Edge]]()
    rows = zip(*(each.tolist() for each in columns), strict=True)
    for user, place, source, target, local, flow, amount in rows:
        port, passed, shared = ends.get((user, place), ("", local, False))
        paid = amount if flow else None
        ids, alarm = (contents.id[source], contents.id[target]), _alarm(graph, user, local, paid)
        many = shared or source in folded or target in folded
        run = runs.setdefault((*ids, port) if many else (user, place), [])
        run.append(Edge(f"e{user}_{place}", *ids, port, passed, paid, alarm))
    for run in runs.values():
        if (count := len(run)) > 1:
            most = _strongest(each.contribution for each in run)
            run[0] = run[0]._replace(local=None, contribution=most, alarm="", count=count)
    return [run[0] for run in runs.values()]


def _alarm(graph: Graph, user: int, local: float, paid: float | None) -> str:
    """How a contribution becomes nan where the upstream gradient is not, or inf where that is finite."""
    upstream = float(graph.grad[user])
    passes_on = math.isnan(upstream) or (math.isinf(upstream) and paid is not None and math.isinf(paid))
    if paid is None or math.isfinite(paid) or passes_on:
        return ""
    return f"{number(upstream)} × {number(local)} = {number(paid)}"
