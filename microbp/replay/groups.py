"""Groups: values of one operation, at one level, over the same arrays, become one array.

A sum that only another sum uses is part of it, and so is a product: ``w1*x1 + w2*x2 + b``, written out by
hand, and ``dot([w1, w2], [x1, x2], b)`` are one operation, a sum of the same three terms.

Places of parameters are at first their indices in the vector of all; which arrays they form is decided when
all groups are known (see :mod:`parameter_arrays`).
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from operator import or_
from typing import Any

import numpy as np

from microbp.graph import Graph
from microbp.replay.axes import Axes, Operand
from microbp.replay.function_graph import TRAINS, VARIES, Captured
from microbp.rules import RULES, Rule
from microbp.sweeps import Integers, rows

__all__ = ["CONSTANT", "INPUT", "THETA", "Block", "Group", "Grouping"]

#: Where a value stands that is in no group: numbers; inputs; the vector of all parameters. Arrays of
#: parameters that bear names have numbers below these.
CONSTANT, INPUT, THETA = -1, -2, -3
#: In the order of these numbers are sorted: 0.0 is not -0.0, and nan is nan.
_bits = struct.Struct(">d").pack


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
        record = self.record = captured.graph
        self.flags, self.op, self.operands = captured.flags.tolist(), record.op.tolist(), rows(record)
        self.numbers = [*record.data.tolist(), *record.consts[::-1].tolist()]
        #: Where each position stands; groups count from 0. Last come the constants, which count from the end.
        self.home, self.place = [CONSTANT] * len(self.numbers), [0] * len(self.numbers)
        #: For each position that is a parameter its index.
        self.index = {at: index for index, at in enumerate(captured.params)}
        for at, index in self.index.items():
            self.home[at], self.place[at] = int(home[index]), int(place[index])
        for index, leaf in enumerate(captured.inputs):
            self.home[leaf], self.place[leaf] = INPUT, index
        self.sums, inside = sums_of(record, self.flags, captured.outputs)
        level, layers = [0] * len(self.numbers), defaultdict[int, list[int]](list)
        for node, op in enumerate(self.op):
            if op >= 0 and self.flags[node] and node not in inside:
                used: list[Any] = self.operands[node]
                if node in self.sums:
                    used = [each for _, *pair in self.sums[node][0] for each in pair if each is not None]
                level[node] = 1 + max(map(level.__getitem__, used), default=0)
                layers[level[node]].append(node)
        self.groups: list[Group] = []
        #: Whether there are more groups than that, so that they were left alone.
        self.too_many = len(layers) > most
        for each in sorted(layers) if not self.too_many else ():
            self.rules([node for node in layers[each] if node not in self.sums])
            self.added([node for node in layers[each] if node in self.sums])
            self.too_many |= len(self.groups) > most

    def of(self, position: int) -> tuple[int, int]:
        """The array and the place of a value; of a parameter, in the vector of all."""
        index = self.index.get(position)
        return (self.home[position], self.place[position]) if index is None else (THETA, index)

    def group(self, rule: Rule | None, members: list[tuple[int, Any, Any]]) -> tuple[Group, list[Any]]:
        """A new group of values, each with its key and what it holds; in the order of keys, equal ones once.

        Returns what those hold that are its members.
        """
        first = {key: (position, held) for position, key, held in reversed(members)}
        number = {key: n for n, key in enumerate(sorted(first))}
        flags = reduce(or_, (self.flags[position] for position, _, _ in members))
        kept = [first[key] for key in number]
        smallest = min(position for position, _, _ in members)
        made = Group(rule, [at for at, _ in kept], bool(flags & VARIES), bool(flags & TRAINS), smallest)
        for position, key, _ in members:
            self.home[position], self.place[position] = len(self.groups), number[key]
        self.groups.append(made)
        return made, [held for _, held in kept]

    def finish(self, group: Group) -> None:
        """What is known when the operands are."""
        group.trains |= any(self.groups[slot.home].trains for slot in group.operands if slot.home >= 0)

    def rules(self, layer: list[int]) -> None:
        """The groups of operations that are no sums of products: alike are those of the same arrays."""
        alike = defaultdict[Any, list[tuple[int, list[Any]]]](list)
        for node in layer:
            rule, row = self.record.rules[self.op[node]], self.operands[node]
            homes = [self.home[each] for each in row]
            held = [
                self.numbers[each] if home == CONSTANT else self.place[each]
                for each, home in zip(row, homes, strict=True)
            ]
            lone = [n for n, home in enumerate(homes) if home != CONSTANT]
            if len(lone) == 1 and homes[lone[0]] <= THETA and not rule.over:
                # Of one parameter each they are alike, whatever its array.
                homes[lone[0]], held[lone[0]] = THETA, self.index[row[lone[0]]]
            alike[rule, tuple(homes)].append((node, held))
        for (rule, homes), members in alike.items():
            # Members come in the order in which their operands stand, those of groups before others.
            columns = sorted(range(len(homes)), key=lambda n: (homes[n] < 0, -homes[n]))
            columns = [n for n in columns if homes[n] != CONSTANT]
            fixed = [n for n, home in enumerate(homes) if home == CONSTANT]
            keyed = [
                (node, (*(held[n] for n in columns), *(_bits(held[n]) for n in fixed)), held)
                for node, held in members
            ]
            group, kept = self.group(rule, keyed)
            for arg, which in zip(rule.args, rule.split(range(len(homes))), strict=True):
                if arg in rule.over:
                    parts = [[*part] for _, part in groupby(which, key=homes.__getitem__)]
                    group.slots.append(
                        [
                            Operand(homes[part[0]], np.array([[held[n] for n in part] for held in kept]))
                            for part in parts
                        ]
                    )
                else:
                    group.slots.append([Operand(homes[which], np.array([held[which] for held in kept]))])
            self.finish(group)

    def added(self, layer: list[int]) -> None:
        """The groups of sums of products: alike are those with as many terms of the same arrays."""
        alike = defaultdict[Any, list[tuple[int, list[Any]]]](list)
        for node in layer:
            terms = sorted(self.term(*each) for each in self.sums[node][0])
            alike[tuple([kind for kind, *_ in terms])].append((node, terms))
        for kinds, members in alike.items():
            # Members are sorted by their rights: in a full grid of both these are the outer loop.
            keyed = []
            for node, terms in members:
                _, rights, lefts, factors = zip(*terms, strict=True) if terms else [()] * 4
                constant = self.sums[node][1]
                key = rights, lefts, tuple(map(_bits, factors)), _bits(constant)
                keyed.append((node, key, (rights, lefts, factors, constant)))
            group, kept = self.group(None, keyed)
            group.constants = Operand(CONSTANT, np.array([[constant] for *_, constant in kept]))
            start = 0
            for (single, right, left, sign), several in groupby(kinds):
                end = start + len([*several])
                columns = [np.array([held[n][start:end] for held in kept]) for n in range(3)]
                one = Operand(CONSTANT, columns[2]) if single else Operand(-left, columns[1])
                group.blocks.append(Block(1.0 if single else -float(sign), one, Operand(-right, columns[0])))
                start = end
            self.finish(group)

    def term(self, factor: float, left: int | None, right: int) -> tuple[Any, int, int, float]:
        """Of a term its kind; the places of its right and left; and its factor. So terms are sorted."""
        single = left is None
        if right in self.index and left in (None, right):
            # A parameter alone, or its square, is alike whatever its array.
            sides = [(THETA, self.index[right])] * 2
        else:
            # What varies less stands on the left, as weights do.
            pair = sorted(
                (self.flags[each] & VARIES, self.home[each], self.place[each])
                for each in (right if left is None else left, right)
            )
            sides = [(home, place) for _, home, place in pair]
        (hl, pl), (hr, pr) = [(0, 0), sides[1]] if single else sides
        sign = 0 if single else 1 if factor > 0.0 else -1
        return (single, -hr, -hl, -sign), pr, pl, factor


#: Terms ``factor · left · right``, the left None in what takes a single value; and a constant.
Sum = tuple[list[tuple[float, int | None, int]], float]
_SUMS, _PARTS = ("sum", "dot"), ("add", "sub", "neg", "sum", "dot", "mul")


def sums_of(record: Graph, flags: list[int], outputs: tuple[int, ...]) -> tuple[dict[int, Sum], set[int]]:
    """The sums of products by their positions, and what is a part of them."""
    operands, size = rows(record), len(record.op)
    uses = Counter(each for row in (*operands, outputs) for each in row)
    names = [rule.name if RULES.get(rule.name) is rule else "" for rule in record.rules]
    kinds = [names[op] if op >= 0 and flags[at] else "" for at, op in enumerate(record.op.tolist())]
    numbers = [*record.data.tolist(), *record.consts[::-1].tolist()]
    moves = [*map(bool, flags), *[False] * len(record.consts)]
    found, inside = dict[int, Sum](), set[int]()

    def is_part(inner: int, outer: int) -> bool:
        alone = inner >= 0 and uses[inner] == 1 and kinds[inner] in _PARTS
        return alone and not (flags[inner] ^ flags[outer]) & VARIES

    for node in reversed(range(size)):
        if node in inside or kinds[node] not in _PARTS or kinds[node] == "mul":
            continue
        if kinds[node] not in _SUMS and not any(is_part(each, node) for each in operands[node]):
            continue
        terms, constant, pending = list[tuple[float, int | None, int]](), 0.0, [(node, 1.0)]
        while pending:
            at, sign = pending.pop()
            row, kind = operands[at], kinds[at]
            half = len(row) // 2 if kind in ("dot", "mul") else 0
            for a, b in zip(row[:half], row[half : 2 * half], strict=True):
                if moves[a] and moves[b]:
                    terms.append((sign, a, b))
                elif moves[a] or moves[b]:
                    one, other = (a, b) if moves[a] else (b, a)
                    terms.append((sign * numbers[other], None, one))
                else:
                    constant += sign * numbers[a] * numbers[b]
            for place, each in enumerate(row[2 * half :]):
                by = -sign if kind == "neg" or (kind == "sub" and place == 1) else sign
                if is_part(each, at):
                    inside.add(each)
                    pending.append((each, by))
                elif moves[each]:
                    terms.append((by, None, each))
                else:
                    constant += by * numbers[each]
        found[node] = terms, constant
    return found, inside
