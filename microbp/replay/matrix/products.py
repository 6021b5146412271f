"""Sums of products as matrix products: what a block of terms is, and what it passes back.

A block multiplies, for each member of a group, k values of one array by k values of another. Where the
members are all pairs of a few rows on the left and a few on the right, it is a matrix product: neurons of
one layer have one row of inputs on the right, the places of a convolution have one row of weights on the left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.matrix.build import Tree, call, mul, neg, number, parsed, text
from microbp.replay.matrix.groups import CONSTANT, Block, Group, Slot
from microbp.replay.matrix.operands import numbers, rows, vector, wide
from microbp.replay.matrix.writer import Writer

__all__ = ["Contribution", "block_gradients", "block_value"]


class Contribution(NamedTuple):
    """What the values at some places of an array receive from one use."""

    home: int
    #: Places, or a matrix of them.
    places: npt.NDArray[np.int64]
    tree: Tree
    #: Whether the tree has the batch as its first axis; if not, it is the same for each sample,
    batch: bool
    #: ... or, if this is true, it is the sum over the batch already.
    summed: bool
    #: Whether it has an entry for each place.
    full: bool


class Side(NamedTuple):
    """The left or the right of a block: its different rows, of which all members take one."""

    slot: Slot
    #: The different rows of places, or of numbers.
    rows: npt.NDArray[Any]
    #: For each member the number of its row.
    which: npt.NDArray[np.int64]
    varies: bool


def _side(writer: Writer, slot: Slot, factors: npt.NDArray[np.float64]) -> Side:
    held = slot.numbers if slot.home == CONSTANT else slot.places
    seen: dict[bytes, int] = {}
    which = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in held], dtype=np.int64)
    _, first = np.unique(which, return_index=True)
    return Side(slot, held[first], which, slot.home != CONSTANT and writer.arrays[slot.home].varies)


def _sides(writer: Writer, block: Block) -> tuple[Side, Side]:
    none = np.zeros(0, dtype=np.int64)
    left = block.left or Slot(CONSTANT, none, block.factors)
    return _side(writer, left, block.factors), _side(writer, block.right, block.factors)


def _grid(left: Side, right: Side) -> bool:
    """Whether the members are all pairs, the right the outer loop."""
    many, times = len(right.rows), len(left.rows)
    return len(left.which) == many * times and bool(
        (right.which == np.repeat(np.arange(many), times)).all()
        and (left.which == np.tile(np.arange(times), many)).all()
    )


def _single(writer: Writer, side: Side) -> Tree:
    """One row with all its entries: ``(n, k)`` or ``(k,)``."""
    if side.slot.home == CONSTANT:
        return parsed(writer.constant(side.rows[0], "c"))
    return wide(writer, writer.arrays[side.slot.home], side.rows[0])


def _matrix(writer: Writer, side: Side, held: npt.NDArray[Any] | None = None) -> Tree:
    """The different rows, or those in ``held``: ``(n, r, k)`` or ``(r, k)``."""
    held = side.rows if held is None else held
    if side.slot.home == CONSTANT:
        return parsed(writer.constant(held, "c"))
    return rows(writer, writer.arrays[side.slot.home], held)


def _turned(tree: Tree) -> Tree:
    source = text(tree)
    return parsed(source[:-2]) if source.endswith(".T") else parsed(f"({source}).T")


def _lone(writer: Writer, side: Side) -> bool:
    """Whether its one row is a row of no matrix."""
    home = side.slot.home
    return len(side.rows) == 1 and (home == CONSTANT or len(writer.arrays[home].shape) != 2)


def _even(block: Block) -> float | None:
    """The factor of all terms, if it is one; of products it is."""
    first = float(block.factors.flat[0])
    return first if (block.factors == first).all() else None


def block_value(writer: Writer, group: Group, block: Block) -> tuple[Tree, bool]:
    """The sum of the block's terms for each member, ``(n, m)`` or ``(m,)``, and whether it has all entries."""
    m, k = block.factors.shape
    factor = _even(block)
    if k == 1:
        tree, full = vector(writer, writer.arrays[block.right.home], block.right.places[:, 0])
        if block.left is not None:
            left, wide_left = vector(writer, writer.arrays[block.left.home], block.left.places[:, 0])
            tree, full = mul(left, tree), full or wide_left
        factors, wide_factors = numbers(writer, block.factors[:, 0])
        return mul(factors, tree), full or wide_factors
    left, right = _sides(writer, block)
    if block.left is None and factor is not None:
        same = len(right.rows) == 1
        if m == 1:
            axis = ("axis=1, keepdims=True",) if right.varies else ("",)
            return mul(number(factor), parsed(f"({text(_single(writer, right))}).sum({axis[0]})")), True
        return mul(number(factor), parsed(f"{text(_matrix(writer, right, block.right.places))}.sum(axis=-1)")), not same
    tree, full = _product(writer, left, right, m)
    return (neg(tree) if factor == -1.0 and block.left is not None else tree), full


def _product(writer: Writer, left: Side, right: Side, m: int) -> tuple[Tree, bool]:
    if not _grid(left, right):
        a, b = _matrix(writer, left, _held(left)), _matrix(writer, right, _held(right))
        same = len(left.rows) == len(right.rows) == 1
        return parsed(f"({text(mul(b, a))}).sum(axis=-1)"), not same
    if m == 1 and left.varies == right.varies:
        a, b = _single(writer, left), _single(writer, right)
        if not left.varies:
            return call("np.vdot", a, b), True
        return parsed(f"({text(mul(b, a))}).sum(axis=1, keepdims=True)"), True
    if not right.varies:
        return parsed(f"({text(_matrix(writer, right))} @ {text(_turned(_matrix(writer, left)))}).ravel()"), True
    if not left.varies:
        if len(right.rows) == 1:
            b = _single(writer, right)
            if _lone(writer, left):
                return parsed(f"({text(b)} @ {text(_single(writer, left))})[:, None]"), True
            return parsed(f"{text(b)} @ {text(_turned(_matrix(writer, left)))}"), True
        b = _matrix(writer, right)
        if len(left.rows) == 1:
            return parsed(f"{text(b)} @ {text(_single(writer, left))}"), True
        k = right.rows.shape[1]
        product = f"{text(b)}.reshape(-1, {k}) @ {text(_turned(_matrix(writer, left)))}"
        return parsed(f"({product}).reshape(n, {m})"), True
    a, b = _matrix(writer, left), _matrix(writer, right)
    return parsed(f"({text(b)} @ {text(a)}.swapaxes(1, 2)).reshape(n, {m})"), True


def _held(side: Side) -> npt.NDArray[Any]:
    return side.rows[side.which]


def block_gradients(
    writer: Writer, group: Group, block: Block, delta: Tree, batch: bool, full: bool
) -> list[Contribution]:
    """What the block passes back of the gradient ``delta``, which has all entries if k > 1 and m > 1."""
    m, k = block.factors.shape
    summed = not group.varies
    found: list[Contribution] = []

    def give(slot: Slot, places: Any, tree: Tree, has_batch: bool, has_all: bool, done: bool = False) -> None:
        if slot.home != CONSTANT:
            closed = done or summed
            found.append(Contribution(slot.home, places, tree, has_batch and not closed, closed, has_all))

    factor = _even(block)
    if k == 1:
        factors, wide_factors = numbers(writer, block.factors[:, 0])
        scaled, entries = mul(factors, delta), full or wide_factors
        if block.left is None:
            give(block.right, block.right.places[:, 0], scaled, batch, entries)
            return found
        same = block.left.home == block.right.home and (block.left.places == block.right.places).all()
        for slot, other in ((block.right, block.left), (block.left, block.right)):
            array = writer.arrays[other.home]
            tree, all_there = vector(writer, array, other.places[:, 0])
            product = mul(scaled, tree)
            if same:
                product = mul(number(2.0), product)
            give(slot, slot.places[:, 0], product, batch or array.varies, entries or all_there)
            if same:
                break
        return found
    left, right = _sides(writer, block)
    varies = left.varies or right.varies
    if group.varies and not varies:  # the same for each sample: so is what it passes back, but for delta
        delta = parsed(f"({text(delta)}).sum({'axis=0' if m > 1 else ''})" if batch else f"n * ({text(delta)})")
        batch, summed = False, True
    if block.left is None and factor is not None:
        scaled = mul(number(factor), delta)
        if m == 1:
            give(block.right, block.right.places[0], scaled, batch, False)
        else:
            axis = "1" if varies else "0"
            spread = parsed(f"np.repeat({text(scaled)}, {k}, axis={axis})")
            give(block.right, block.right.places.ravel(), spread, batch, True)
        return found
    if factor == -1.0 and block.left is not None:
        delta = neg(delta)
    d = text(delta) if text(delta).isidentifier() else f"({text(delta)})"
    equal = (
        block.left is not None
        and block.left.home == block.right.home
        and bool((block.left.places == block.right.places).all())
    )
    if m == 1 and (left.varies == right.varies or equal):
        for side, other in ((right, left), (left, right)):
            tree = mul(delta, _single(writer, other))
            give(side.slot, side.rows[0], mul(number(2.0), tree) if equal else tree, batch or other.varies, True)
            if equal:
                break
        return found
    if not _grid(left, right):
        lead = "[:, :, None]" if varies else "[:, None]"
        for side, other in ((right, left), (left, right)):
            if side.slot.home == CONSTANT:
                continue
            b = text(_matrix(writer, other, _held(other)))
            shape = f"(n, {m}, {k})" if varies else f"({m}, {k})"
            tree = f"np.broadcast_to({d}{lead} * {b}, {shape}).reshape({'n, -1' if varies else '-1'})"
            give(side.slot, _held(side).ravel(), parsed(tree), varies, True)
        return found
    r, t = len(right.rows), len(left.rows)
    if not varies:
        a, b = _matrix(writer, left), _matrix(writer, right)
        square = d if r == 1 and t == 1 else f"{d}.reshape({r}, {t})"
        give(right.slot, right.rows, parsed(f"{square} @ {text(a)}"), False, True)
        give(left.slot, left.rows, parsed(f"{square}.T @ {text(b)}"), False, True)
    elif not left.varies:
        if r == 1:
            b = _single(writer, right)
            if _lone(writer, left):
                give(right.slot, right.rows[0], mul(delta, _single(writer, left)), True, True)
                give(left.slot, left.rows[0], parsed(f"({d}.T @ {text(b)})[0]"), False, True, True)
            else:
                give(right.slot, right.rows[0], parsed(f"{d} @ {text(_matrix(writer, left))}"), True, True)
                give(left.slot, left.rows, parsed(f"{d}.T @ {text(b)}"), False, True, True)
        else:
            a, b = _matrix(writer, left), _matrix(writer, right)
            square = f"{d}.reshape(-1, {t})"
            back = f"({square} @ {text(a)}).reshape(n, {r * k})"
            give(right.slot, right.rows.ravel(), parsed(back), True, True)
            give(left.slot, left.rows, parsed(f"{square}.T @ {text(b)}.reshape(-1, {k})"), False, True, True)
    else:
        a, b = _matrix(writer, left), _matrix(writer, right)
        cube = f"{d}.reshape(n, {r}, {t})"
        give(right.slot, right.rows.ravel(), parsed(f"({cube} @ {text(a)}).reshape(n, {r * k})"), True, True)
        turned = f"({cube}.swapaxes(1, 2) @ {text(b)}).reshape(n, {t * k})"
        give(left.slot, left.rows.ravel(), parsed(turned), True, True)
    return found
