"""Sums of products: chains of ``+``, ``-``, ``sum``, ``dot`` and ``w*x`` as one operation of many terms.

A sum that only another sum uses is part of it, and so is a product: ``w1*x1 + w2*x2 + b``, written out by
hand, and ``dot([w1, w2], [x1, x2], b)`` are the same three terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.graph import Graph
from microbp.replay.dependence import COMPUTED, VARIES
from microbp.rules import RULES
from microbp.sweeps import Integers

__all__ = ["Operations", "operations"]

_ADD, _SUB, _NEG, _SUM, _DOT, _MUL = range(1, 7)
_KINDS = {
    RULES[name]: kind
    for name, kind in (("add", 1), ("sub", 2), ("neg", 3), ("sum", 4), ("dot", 5), ("mul", 6))
}


class Operations(NamedTuple):
    """What has to be computed; constants are numbers, parts of sums have gone into them."""

    #: The level of each position: 0 for leaves and parts of sums, else one more than the deepest operand's.
    levels: list[int]
    #: The positions that are sums of products, and to each its constant.
    sums: dict[int, float]
    #: The terms ``factor · left · right`` of all sums, those of each together; of a single value, left
    #: is -1. Those of the sum at a position are ``slices[position]``.
    factor: npt.NDArray[np.float64]
    left: Integers
    right: Integers
    slices: dict[int, slice]


def operations(record: Graph, flags: list[int], outputs: tuple[int, ...]) -> Operations:
    """Find the sums, from the last node to the first; then the levels, from the first to the last."""
    size = len(record.op)
    kinds = [_KINDS.get(rule, 0) for rule in record.rules]
    op, first, args = record.op.tolist(), record.first.tolist(), record.args.tolist()
    data, consts = record.data, record.consts
    inside = record.args[record.args >= 0]
    uses = np.bincount(inside, minlength=size)
    np.add.at(uses, list(outputs), 1)
    once = (uses == 1).tolist()
    #: The sum that a node is part of, and the sign with which it goes into it.
    root, sign = [-1] * size, [1.0] * size
    constants: dict[int, float] = {}
    owners: list[int] = []
    factors: list[float] = []
    lefts: list[int] = []
    rights: list[int] = []

    def fixed(operand: int) -> float | None:
        """The number of a constant."""
        if operand < 0:
            return float(consts[-1 - operand])
        return None if flags[operand] else float(data[operand])

    def term(owner: int, factor: float, left: int, right: int) -> None:
        owners.append(owner)
        factors.append(factor)
        lefts.append(left)
        rights.append(right)

    for position in range(size - 1, -1, -1):
        if op[position] < 0 or not flags[position] & COMPUTED:
            continue
        kind = kinds[op[position]]
        owner, s = root[position], sign[position]
        operands = args[first[position] : first[position + 1]]
        if owner < 0:
            if kind not in (_ADD, _SUB, _NEG, _SUM, _DOT):
                continue
            if kind < _SUM and not any(
                each >= 0 and op[each] >= 0 and once[each] and kinds[op[each]]
                and not (flags[each] ^ flags[position]) & VARIES and flags[each]
                for each in operands
            ):  # fmt: skip
                continue
            owner = root[position] = position
            constants[owner] = 0.0
        varies = flags[owner] & VARIES
        signs = [s] * len(operands)
        if kind == _SUB:
            signs[1] = -s
        elif kind == _NEG:
            signs[0] = -s
        elif kind in (_DOT, _MUL):
            half = len(operands) // 2
            for u, v in zip(operands[:half], operands[half : 2 * half], strict=True):
                p, q = fixed(u), fixed(v)
                if p is None and q is None:
                    term(owner, s, u, v)
                elif p is not None and q is not None:
                    constants[owner] += s * p * q
                else:
                    term(owner, s * (p or 0.0) + s * (q or 0.0), -1, u if p is None else v)
            if kind == _MUL:
                continue
            operands, signs = operands[-1:], [s]
        for each, factor in zip(operands, signs, strict=True):
            number = fixed(each)
            if number is not None:
                constants[owner] += factor * number
            elif op[each] >= 0 and once[each] and kinds[op[each]] and flags[each] & VARIES == varies:
                root[each], sign[each] = owner, factor
            else:
                term(owner, factor, -1, each)
    order = np.argsort(np.array(owners, dtype=np.int64), kind="stable")
    factor_ = np.array(factors)[order]
    left_, right_ = (np.array(each, dtype=np.int64)[order] for each in (lefts, rights))
    held, starts = np.unique(np.array(owners, dtype=np.int64)[order], return_index=True)
    ends = [*starts[1:].tolist(), len(owners)][: len(held)]
    slices = {owner: slice(a, b) for owner, a, b in zip(held.tolist(), starts.tolist(), ends, strict=True)}
    levels = [0] * size
    lefts, rights = left_.tolist(), right_.tolist()
    for position in range(size):
        if op[position] < 0 or not flags[position] or root[position] not in (-1, position):
            continue
        if root[position] < 0:
            operands = args[first[position] : first[position + 1]]
        else:
            here = slices.get(position, slice(0, 0))
            operands = lefts[here] + rights[here]
        deepest = 0
        for each in operands:
            if each >= 0 and levels[each] > deepest:
                deepest = levels[each]
        levels[position] = deepest + 1
    return Operations(levels, constants, factor_, left_, right_, slices)
