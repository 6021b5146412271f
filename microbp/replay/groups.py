"""Groups: values of one operation, at one level, over the same arrays, become one array.

A sum that only another sum uses is part of it, and so is a product: ``w1*x1 + w2*x2 + b``, written out by
hand, and ``dot([w1, w2], [x1, x2], b)`` are one operation, a sum of the same three terms.
"""
# ruff: noqa: D102 (what a name says needs no sentence)

from __future__ import annotations

import math
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain, groupby
from operator import or_
from typing import Any, NamedTuple

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


class Block(NamedTuple):
    """Terms of a sum: ``sign · left · right``; the left of what takes a single array are its factors."""

    sign: float
    left: Operand
    right: Operand


@dataclass(eq=False)
class Group:
    """Values that one line computes."""

    #: Their positions, without those that compute what another one computes.
    members: list[int]
    varies: bool
    #: Whether a gradient in a parameter passes through any of it, or through any of what it uses.
    trains: bool
    #: The smallest position of a value in it: in the order of this number groups come after their operands.
    first: int
    #: None for a sum of products.
    rule: Rule | None = None
    #: The operands of a rule: for each argument one, or for an argument in ``over`` its pieces.
    slots: list[list[Operand]] = field(default_factory=list)
    #: The terms of a sum of products, and for each member its constant.
    blocks: list[Block] = field(default_factory=list)
    constants: Operand = field(default_factory=lambda: Operand(CONSTANT, np.zeros(1)))
    #: The axes of its members, a grid of j by i, or i; of a single number none. And how long they are.
    axes: Axes = ()
    shape: tuple[int, ...] = ()

    def fill(self, kind: Any, homes: tuple[int, ...], columns: list[Any]) -> None:
        """Give it its operands: of a rule, or of terms with such signs a left and a right each."""

        def operand(at: int | Sequence[int]) -> Operand:
            if isinstance(at, int):
                return Operand(homes[at], np.array(columns[at]))
            return Operand(homes[at[0]], np.array([columns[n] for n in at]).T)

        if isinstance(kind, Rule):
            self.rule = kind
            for arg, which in zip(kind.args, kind.split(range(len(homes))), strict=True):
                parts = groupby(which, key=homes.__getitem__) if arg in kind.over else [(0, which)]
                self.slots.append([operand(part if isinstance(part, int) else [*part]) for _, part in parts])
            return
        self.constants = operand(len(homes) - 1)
        alike = groupby(range(len(kind)), key=lambda n: (kind[n], *homes[2 * n : 2 * n + 2]))
        for (sign, *_), several in alike:
            which = [2 * n for n in several]
            self.blocks.append(Block(sign, operand(which), operand([n + 1 for n in which])))

    @property
    def operands(self) -> Iterator[Operand]:
        yield from chain(*self.slots)
        for block in self.blocks:
            yield from (block.right, block.left)

    @property
    def layout(self) -> Axes:
        """The axes of its array, those of the grid for one."""
        return (*["n"] * self.varies, *self.axes)

    def sizes(self, terms: int = 1) -> dict[str, int | None]:
        """How long these are, and that of several terms."""
        found = dict(zip(self.layout, (*[None] * self.varies, *self.shape), strict=True))
        return {**found, "k": terms} if terms > 1 else found


#: What stands at one place of a row: which array, and the place in it, or the number.
Held = tuple[int, Any]


class Grouping:
    """The groups of a graph, each after those that it uses; for each position its array and place."""

    def __init__(self, captured: Captured, home: Integers, place: Integers, most: int) -> None:
        """``home`` and ``place`` say in which arrays the parameters stand; of groups there may be so many."""
        record = self.record = captured.graph
        self.flags, self.op, self.operands = captured.flags.tolist(), record.op.tolist(), rows(record)
        numbers = [*record.data.tolist(), *record.consts[::-1].tolist()]
        #: Where each position stands; groups count from 0. Last come the constants, which count from the end.
        self.held: list[Held] = [(CONSTANT, number) for number in numbers]
        #: For each position that is a parameter its index.
        self.index = {at: index for index, at in enumerate(captured.params)}
        for at, index in self.index.items():
            self.held[at] = int(home[index]), int(place[index])
        for index, leaf in enumerate(captured.inputs):
            self.held[leaf] = INPUT, index
        self.sums, inside = sums_of(record, self.flags, captured.outputs)
        level, layers = [0] * len(numbers), defaultdict[int, list[int]](list)
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
            self.group(layers[each])
            self.too_many |= len(self.groups) > most

    def group(self, layer: list[int]) -> None:
        """The groups of values of one level: alike are those of one operation on the same arrays.

        Equal values are one member. The members come in the order in which their operands stand, those of
        groups before others, and in a full grid of two the first are the outer loop.
        """
        alike = defaultdict[Any, list[tuple[int, list[Any]]]](list)
        for node in layer:
            kind, row = self.added(node) if node in self.sums else self.applied(node)
            alike[kind, tuple([home for home, _ in row])].append((node, [held for _, held in row]))
        for (kind, homes), values in alike.items():
            moving = [n for n, home in enumerate(homes) if home != CONSTANT]
            moving.sort(key=lambda n: (homes[n] < 0, -homes[n]))
            fixed = [n for n, home in enumerate(homes) if home == CONSTANT]
            keys = [(*(held[n] for n in moving), *(_bits(held[n]) for n in fixed)) for _, held in values]
            first = dict(zip(reversed(keys), reversed(values), strict=True))
            number = {key: n for n, key in enumerate(sorted(first))}
            for (node, _), key in zip(values, keys, strict=True):
                self.held[node] = len(self.groups), number[key]
            kept = [first[key] for key in number]
            flags = reduce(or_, (self.flags[node] for node, _ in values))
            made = Group(
                members=[node for node, _ in kept],
                varies=bool(flags & VARIES),
                trains=bool(flags & TRAINS) or any(home >= 0 and self.groups[home].trains for home in homes),
                first=min(node for node, _ in values),
            )
            made.fill(kind, homes, [*zip(*(held for _, held in kept), strict=True)])
            self.groups.append(made)

    def applied(self, node: int) -> tuple[Rule, list[Held]]:
        """The rule and the operands of an operation that is no sum of products."""
        rule, row = self.record.rules[self.op[node]], self.operands[node]
        held = [self.held[each] for each in row]
        lone = [n for n, (home, _) in enumerate(held) if home != CONSTANT]
        if len(lone) == 1 and held[lone[0]][0] <= THETA and not rule.over:
            # Of one parameter each they are alike, whatever its array.
            held[lone[0]] = THETA, self.index[row[lone[0]]]
        return rule, held

    def added(self, node: int) -> tuple[tuple[float, ...], list[Held]]:
        """The signs of the terms of a sum of products; left and right of each, and the constant."""
        terms, constant = self.sums[node]
        made = sorted((self.term(*each) for each in terms), key=lambda term: term[0])
        sides = [side for _, _, *pair in made for side in pair]
        return tuple([sign for _, sign, *_ in made]), [*sides, (CONSTANT, constant)]

    def term(self, factor: float, left: int | None, right: int) -> tuple[Any, float, Held, Held]:
        """Of a term by what it is sorted; its sign, its left and its right."""
        if right in self.index and left in (None, right):
            # A parameter alone, or its square, is alike whatever its array.
            sides: list[tuple[int, Held]] = [(0, (THETA, self.index[right]))] * 2
        else:
            # What varies less stands on the left, as weights do.
            sides = sorted(
                (self.flags[each] & VARIES, self.held[each])
                for each in (right if left is None else left, right)
            )
        (_, one), (_, other) = sides
        one, sign = ((CONSTANT, factor), 1.0) if left is None else (one, math.copysign(1.0, factor))
        return (left is None, -other[0], -one[0], -sign, other[1], one[1]), sign, one, other


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
