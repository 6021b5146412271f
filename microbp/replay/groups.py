"""Groups: values of one operation, at one level, over the same arrays, become one array.

Places of parameters are at first their indices in the vector of all; which arrays they form is decided when
all groups are known (see :mod:`parameter_arrays`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.replay.axes import Axes, Operand
from microbp.replay.function_graph import TRAINS, VARIES, Captured
from microbp.replay.sums import operations
from microbp.rules import Rule
from microbp.sweeps import Integers

__all__ = ["CONSTANT", "INPUT", "THETA", "Block", "Group", "Grouping"]

#: Where a value stands that is in no group: numbers; inputs; the vector of all parameters. Arrays of
#: parameters that bear names have numbers below these.
CONSTANT, INPUT, THETA = -1, -2, -3
Numbers = npt.NDArray[np.float64]


@dataclass(eq=False)
class Block:
    """Terms of a sum: ``sign · left · right``; the left of what takes a single array are its factors."""

    sign: float
    left: Operand
    right: Operand


@dataclass(eq=False)
class Group:
    """Values that one line computes."""

    #: None for a sum of products.
    rule: Rule | None
    #: Their positions, without those that compute what another one computes.
    members: list[int]
    varies: bool
    #: Whether a gradient in a parameter passes through it. A gradient is that of a whole array: what uses
    #: one of which any value trains comes before it.
    trains: bool
    #: The smallest position of a value in it. Since all members use the same arrays, to go through the
    #: groups in the order of this number is to go through them with operands first.
    first: int
    #: The operands of a rule: for each argument one, or for an argument in ``over`` its pieces.
    slots: list[list[Operand]] = field(default_factory=list)
    #: The terms of a sum of products, and for each member its constant.
    blocks: list[Block] = field(default_factory=list)
    constants: Operand = field(default_factory=lambda: Operand(CONSTANT, np.zeros((1, 1))))
    #: The axes of its members, a grid of j by i, or i; of a single number none. And how long they are.
    axes: Axes = ()
    shape: tuple[int, ...] = ()

    @property
    def operands(self) -> Iterator[Operand]:
        """All that it uses."""
        for slots in self.slots:
            yield from slots
        for block in self.blocks:
            yield block.right
            yield block.left

    @property
    def layout(self) -> Axes:
        """The axes of its array, those of the grid for one."""
        return (*["n"] * self.varies, *self.axes)

    def sizes(self, terms: int = 1) -> dict[str, int | None]:
        """How long these are, and that of several terms."""
        found = dict(zip(self.layout, (*[None] * self.varies, *self.shape), strict=True))
        return {**found, "k": terms} if terms > 1 else found


class Grouping:
    """The groups of a graph, each after those that it uses; for each position its array and place."""

    def __init__(self, captured: Captured, home: Integers, place: Integers, most: int) -> None:
        """``home`` and ``place`` say in which arrays the parameters stand; of groups there may be so many."""
        self.record, self.flags = captured.graph, captured.flags
        size = len(self.record)
        #: Groups count from 0.
        self.home, self.place = np.full(size, CONSTANT), np.zeros(size, dtype=np.int64)
        #: For each position that is a parameter its index, else -1.
        self.index = np.full(size, -1)
        index, at = _known(captured.params)
        self.index[at], self.home[at], self.place[at] = index, home[index], place[index]
        index, at = _known(captured.inputs)
        self.home[at], self.place[at] = INPUT, index
        found = self.found = operations(self.record, self.flags, captured.outputs)
        self.groups: list[Group] = []
        order = np.argsort(found.levels, kind="stable")
        layers = np.split(order, np.cumsum(np.bincount(found.levels))[:-1])[1:]
        adds = np.zeros(size, dtype=bool)
        adds[found.sums] = True
        #: Whether there are more groups than that, so that they were left alone.
        self.too_many = len(layers) > most
        for layer in [] if self.too_many else layers:
            self.rules(layer[~adds[layer]])
            self.sums(layer[adds[layer]])
            if len(self.groups) > most:
                self.too_many = True
                break

    def of(self, position: int) -> tuple[int, int]:
        """The array and the place of a value; of a parameter, in the vector of all."""
        home, place = int(self.home[position]), int(self.place[position])
        return (THETA, int(self.index[position])) if home <= THETA else (home, place)

    def add(self, rule: Rule | None, positions: Integers, keys: npt.NDArray[Any]) -> tuple[Group, Integers]:
        """A new group of the values at ``positions`` in the order of their ``keys``, equal ones once.

        Returns the group, and which of the positions are its members.
        """
        members, places = _sorted(keys)
        flags = int(np.bitwise_or.reduce(self.flags[positions]))
        first, kept = int(positions.min()), positions[members].tolist()
        group = Group(rule, kept, bool(flags & VARIES), bool(flags & TRAINS), first)
        self.home[positions], self.place[positions] = len(self.groups), places
        self.groups.append(group)
        return group, members

    def finish(self, group: Group) -> None:
        """What is known when the operands are."""
        group.trains |= any(self.groups[slot.home].trains for slot in group.operands if slot.home >= 0)

    # ------------------------------------------------------------------------------------- of a rule
    def rules(self, layer: Integers) -> None:
        """The groups of operations that are no sums of products."""
        record = self.record
        kinds = np.stack([record.op[layer], record.first[layer + 1] - record.first[layer]], axis=1)
        for held in _by_rows(kinds) if len(layer) else ():
            (op, width), positions = kinds[held[0]].tolist(), layer[held]
            rule = record.rules[op]
            args = record.args[record.first[positions][:, None] + np.arange(width)]
            literal, inside = args < 0, np.maximum(args, 0)
            home = np.where(literal, CONSTANT, self.home[inside])
            place = self.place[inside]
            if not rule.over:  # of one parameter each they are alike, whatever its array
                lone = ((home != CONSTANT).sum(axis=1, keepdims=True) == 1) & (home <= THETA)
                home = np.where(lone, THETA, home)
                place = np.where(lone, self.index[inside], place)
            numbers = record.data[inside]
            numbers[literal] = record.consts[-1 - args[literal]]
            fixed = home == CONSTANT
            for which in _by_rows(home):
                one = which[0]
                self._rule(rule, positions[which], home[one], place[which], numbers[which], fixed[one])

    def _rule(
        self, rule: Rule, positions: Integers, home: Integers, place: Integers, numbers: Numbers, fixed: Any
    ) -> None:
        """One group: members in the order in which their operands stand, those of groups before others."""
        columns = [n for n in np.argsort(-home, kind="stable").tolist() if not fixed[n]]
        columns.sort(key=lambda n: home[n] < 0)
        keys = np.concatenate([place[:, columns], numbers[:, fixed].view(np.int64)], axis=1)
        group, members = self.add(rule, positions, keys)
        entries = rule.split(range(len(home)))
        for arg, which in zip(rule.args, entries, strict=True):
            if arg not in rule.over:
                group.slots.append([_operand(home[which], place[members, which], numbers[members, which])])
                continue
            pieces, start = [], 0
            for end in range(1, len(which) + 1):
                if end == len(which) or home[which[end]] != home[which[start]]:
                    part = which[start:end]
                    pieces.append(_operand(home[part[0]], place[members][:, part], numbers[members][:, part]))
                    start = end
            group.slots.append(pieces)
        self.finish(group)

    # ------------------------------------------------------------------------------------- of a sum
    def sums(self, layer: Integers) -> None:
        """The groups of sums of products: alike are those with as many terms of the same arrays."""
        if not len(layer):
            return
        found, home, place, index = self.found, self.home, self.place, self.index
        which_sums = np.searchsorted(found.sums, layer)
        lengths = np.diff(found.ends[which_sums], axis=1)[:, 0]
        owner = np.repeat(np.arange(len(layer)), lengths)
        ends = np.cumsum(lengths)
        terms = np.arange(len(owner)) + (found.ends[which_sums, 1] - ends)[owner]
        left, right, factor = found.left[terms], found.right[terms], found.factor[terms]
        single = left < 0
        # A parameter alone, or its square, is alike whatever its array.
        lone = (single | (left == right)) & (index[right] >= 0)
        sides = []
        for side in (np.where(single, right, left), right):
            here = np.where(lone, THETA, home[side])
            sides.append((self.flags[side] & VARIES, here, np.where(lone, index[side], place[side])))
        # What varies less stands on the left, as weights do.
        (va, ha, pa), (vb, hb, pb) = sides
        turned = (va > vb) | ((va == vb) & ((ha > hb) | ((ha == hb) & (pa > pb))))
        hl, hr = np.where(turned, hb, ha), np.where(turned, ha, hb)
        pl, pr = np.where(turned, pb, pa), np.where(turned, pa, pb)
        hl, pl = np.where(single, 0, hl), np.where(single, 0, pl)
        sign = np.where(single, 0, np.sign(factor)).astype(np.int64)
        order = np.lexsort((factor, pl, pr, -sign, -hl, -hr, single, owner))
        kind = np.stack([single, sign, hl, hr], axis=1)[order].astype(np.int64)
        pl, pr, factor = pl[order], pr[order], factor[order]
        alike: dict[bytes, list[int]] = defaultdict(list)
        for each, (start, end) in enumerate(zip((ends - lengths).tolist(), ends.tolist(), strict=True)):
            alike[kind[start:end].tobytes()].append(each)
        constants = found.constants[which_sums]
        for which in alike.values():
            rows = (ends - lengths)[which][:, None] + np.arange(lengths[which[0]])
            self._sum(layer[which], kind[rows[0]], pl[rows], pr[rows], factor[rows], constants[which])

    def _sum(
        self, positions: Integers, kind: Integers, left: Integers, right: Integers, factor: Numbers,
        constants: Numbers,
    ) -> None:  # fmt: skip
        """One group, its members sorted by their rights: in a full grid of both these are the outer loop."""
        bits = np.ascontiguousarray(factor).view(np.int64), constants[:, None].view(np.int64)
        group, members = self.add(None, positions, np.concatenate([right, left, *bits], axis=1))
        group.constants = Operand(CONSTANT, constants[members][:, None])
        changes = np.flatnonzero((np.diff(kind, axis=0) != 0).any(axis=1)) + 1
        starts = [0, *changes.tolist()] if len(kind) else []
        for start, end in zip(starts, [*starts[1:], len(kind)], strict=True):
            single, _, hl, hr = kind[start].tolist()
            lefts, rights, factors = (each[members][:, start:end] for each in (left, right, factor))
            sign, one = (1.0, Operand(CONSTANT, factors)) if single else (factors.flat[0], Operand(hl, lefts))
            group.blocks.append(Block(float(sign), one, Operand(hr, rights)))
        self.finish(group)


def _known(places: Sequence[int | None]) -> tuple[Integers, Integers]:
    """Which leaves are in the graph, and where."""
    at = np.array([-1 if each is None else each for each in places], dtype=np.int64)
    return np.flatnonzero(at >= 0), at[at >= 0]


def _operand(home: int, places: Integers, numbers: Numbers) -> Operand:
    return Operand(CONSTANT, numbers) if home == CONSTANT else Operand(int(home), places)


def _by_rows(matrix: Integers) -> Iterator[Integers]:
    """The indices of rows that are equal, in the order in which these come."""
    if len(matrix) == 1 or (matrix == matrix[0]).all():
        yield np.arange(len(matrix))
        return
    found: dict[bytes, list[int]] = defaultdict(list)
    for index, row in enumerate(np.ascontiguousarray(matrix)):
        found[row.tobytes()].append(index)
    yield from (np.array(each) for each in found.values())


def _sorted(keys: npt.NDArray[Any]) -> tuple[Integers, Integers]:
    """The rows in order, the first of equal ones alone; and for each row its number among these."""
    if len(keys) == 1:
        return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    if not keys.shape[1]:
        return np.zeros(1, dtype=np.int64), np.zeros(len(keys), dtype=np.int64)
    texts = np.ascontiguousarray(keys.astype(">i8")).view(f"V{8 * keys.shape[1]}")[:, 0].tolist()
    first = {each: index for index, each in reversed([*enumerate(texts)])}
    order = sorted(first)
    number = {each: n for n, each in enumerate(order)}
    return np.array([first[each] for each in order]), np.array([number[each] for each in texts])
