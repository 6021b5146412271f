"""The value of a block of products: a matrix product where its members are all pairs of two sets of rows."""

from __future__ import annotations

from microbp.replay.matrix.build import Tree, call, mul, neg, number, parsed, text
from microbp.replay.matrix.groups import Block
from microbp.replay.matrix.operands import numbers, vector
from microbp.replay.matrix.sides import (
    Side,
    even_factor,
    held_rows,
    is_grid,
    is_lone,
    matrix,
    sides,
    single,
    turned,
    whole,
)  # fmt: skip
from microbp.replay.matrix.writer import Writer

__all__ = ["block_value"]


def block_value(writer: Writer, block: Block) -> tuple[Tree, bool]:
    """The sum of the terms for each member, ``(n, m)`` or ``(m,)``, and whether it has all entries."""
    m, k = block.factors.shape
    factor = even_factor(block)
    if k == 1:
        tree, full = vector(writer, writer.arrays[block.right.home], block.right.places[:, 0])
        if block.left is not None:
            times, wide_times = vector(writer, writer.arrays[block.left.home], block.left.places[:, 0])
            tree, full = mul(times, tree), full or wide_times
        factors, wide_factors = numbers(writer, block.factors[:, 0])
        return mul(factors, tree), full or wide_factors
    left, right = sides(writer, block)
    if block.left is None and factor is not None:
        same = len(right.rows) == 1
        if m == 1:
            axis = "axis=1, keepdims=True" if right.varies else ""
            return mul(number(factor), parsed(f"({text(single(writer, right))}).sum({axis})")), True
        added = parsed(f"{text(matrix(writer, right, block.right.places))}.sum(axis=-1)")
        return mul(number(factor), added), not same
    tree, full = _product(writer, left, right, m)
    return (neg(tree) if factor == -1.0 and block.left is not None else tree), full


def _product(writer: Writer, left: Side, right: Side, m: int) -> tuple[Tree, bool]:
    if not is_grid(left, right):
        a, b = matrix(writer, left, held_rows(left)), matrix(writer, right, held_rows(right))
        same = len(left.rows) == len(right.rows) == 1
        return parsed(f"({text(mul(b, a))}).sum(axis=-1)"), not same
    if m == 1 and left.varies == right.varies:
        a, b = single(writer, left), single(writer, right)
        if not left.varies:
            return call("np.vdot", whole(a), whole(b)), True
        return parsed(f"({text(mul(b, a))}).sum(axis=1, keepdims=True)"), True
    if not right.varies:
        return parsed(f"({text(matrix(writer, right))} @ {text(turned(matrix(writer, left)))}).ravel()"), True
    if not left.varies:
        if len(right.rows) == 1:
            b = single(writer, right)
            if is_lone(writer, left):
                return parsed(f"({text(b)} @ {text(single(writer, left))})[:, None]"), True
            return parsed(f"{text(b)} @ {text(turned(matrix(writer, left)))}"), True
        b = matrix(writer, right)
        if len(left.rows) == 1:
            return parsed(f"{text(b)} @ {text(single(writer, left))}"), True
        k = right.rows.shape[1]
        product = f"{text(b)}.reshape(-1, {k}) @ {text(turned(matrix(writer, left)))}"
        return parsed(f"({product}).reshape(n, {m})"), True
    a, b = matrix(writer, left), matrix(writer, right)
    return parsed(f"({text(b)} @ {text(a)}.swapaxes(1, 2)).reshape(n, {m})"), True
