"""Sums of products: chains of ``+``, ``-``, ``sum``, ``dot`` and ``w*x`` as one operation of many terms.

A sum that only another sum uses is part of it, and so is a product: ``w1*x1 + w2*x2 + b``, written out by
hand, and ``dot([w1, w2], [x1, x2], b)`` are the same three terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.graph import Graph
from microbp.replay.function_graph import VARIES
from microbp.rules import RULES
from microbp.sweeps import Integers

__all__ = ["Operations", "operations"]

_KINDS = {RULES[name]: kind for kind, name in enumerate(("add", "sub", "neg", "sum", "dot", "mul"), start=1)}
_ADD, _SUB, _NEG, _SUM, _DOT, _MUL = _KINDS.values()


class Operations(NamedTuple):
    """What has to be computed; constants are numbers, parts of sums have gone into them."""

    #: The level of each position: 0 for leaves and parts of sums, else one more than the deepest operand's.
    levels: Integers
    #: The positions that are sums of products, in order; of each its constant, and from where to where its
    #: terms stand.
    sums: Integers
    constants: npt.NDArray[np.float64]
    ends: Integers
    #: The terms ``factor · left · right`` of all sums, those of each together; of a single value, left is -1.
    factor: npt.NDArray[np.float64]
    left: Integers
    right: Integers


def operations(record: Graph, flags: Integers, outputs: tuple[int, ...]) -> Operations:
    """Find the sums, from the last node to the first; then the levels, from the first to the last."""
    size, op = len(record.op), record.op
    kind = np.array([*(_KINDS.get(rule, 0) for rule in record.rules), 0])[op] * (flags > 0)
    user = np.repeat(np.arange(size), np.diff(record.first))
    place = np.arange(len(record.args)) - record.first[user]
    arg = np.maximum(record.args, 0)
    moves = (record.args >= 0) & (flags[arg] > 0)
    # What a term is added up of: all operands of +, -, sum; the last one of dot.
    own = kind[user]
    addend = (own > 0) & (own < _DOT) | (own == _DOT) & (place == np.diff(record.first)[user] - 1)
    sign = np.where((own == _NEG) | (own == _SUB) & (place == 1), -1.0, 1.0)
    uses = np.bincount(record.args[record.args >= 0], minlength=size)
    np.add.at(uses, list(outputs), 1)
    alike = (flags[arg] & VARIES) == (flags[user] & VARIES)
    part = addend & moves & (uses[arg] == 1) & (kind[arg] > 0) & alike
    begins = kind >= _SUM
    begins[user[part]] = True
    begins &= (kind > 0) & (kind < _MUL)
    # From the last to the first: the sum that a node is part of, and the sign with which it goes into it.
    root, into = np.where(begins, np.arange(size), -1).tolist(), [1.0] * size
    at = np.flatnonzero(part)[::-1]
    for inner, outer, by in zip(arg[at].tolist(), user[at].tolist(), sign[at].tolist(), strict=True):
        root[inner], into[inner] = root[outer], into[outer] * by
    roots, owner = np.array(root), np.array(root)[user]
    sign *= np.array(into)[user]
    inside = owner >= 0
    term, fixed = inside & addend & ~part, np.append(record.data, record.consts[::-1])
    singles, numbers = np.flatnonzero(term & moves), np.flatnonzero(term & ~moves)
    # Factors stand behind one another: all of the left, then all of the right.
    half = (np.diff(record.first) // 2)[user]
    first = np.flatnonzero(inside & (own >= _DOT) & (place < half))
    second = first + half[first]
    both = moves[first] & moves[second]
    scaled = moves[first] ^ moves[second]
    factors = np.where(moves[first], fixed[record.args[second]], fixed[record.args[first]])
    constants = np.zeros(size)
    np.add.at(constants, owner[numbers], sign[numbers] * fixed[record.args[numbers]])
    rest = ~both & ~scaled
    p, q = fixed[record.args[first[rest]]], fixed[record.args[second[rest]]]
    np.add.at(constants, owner[first[rest]], sign[first[rest]] * p * q)
    owners = np.concatenate([owner[first[both]], owner[first[scaled]], owner[singles]])
    order = np.argsort(owners, kind="stable")
    lefts = np.concatenate([arg[first[both]], np.full(scaled.sum() + len(singles), -1)])[order]
    one = np.where(moves[first], arg[first], arg[second])
    rights = np.concatenate([arg[second[both]], one[scaled], arg[singles]])[order]
    weights = np.concatenate([sign[first[both]], sign[first[scaled]] * factors[scaled], sign[singles]])[order]
    sums = np.flatnonzero(roots == np.arange(size))
    ends = np.searchsorted(owners[order], np.stack([sums, sums + 1], axis=1))
    levels = [0] * (size + len(record.consts) + 1)  # also of constants, and of the left of a single value
    level, bounds = levels.__getitem__, dict(zip(sums.tolist(), ends.tolist(), strict=True))
    args, starts, products = record.args.tolist(), record.first.tolist(), lefts.tolist()
    others = rights.tolist()
    for node in np.flatnonzero((op >= 0) & (flags > 0) & ((roots < 0) | (roots == np.arange(size)))).tolist():
        if node in bounds:
            start, end = bounds[node]
            held = products[start:end] + others[start:end]
        else:
            held = args[starts[node] : starts[node + 1]]
        levels[node] = 1 + max(map(level, held), default=0)
    return Operations(np.array(levels[:size]), sums, constants[sums], ends, weights, lefts, rights)
