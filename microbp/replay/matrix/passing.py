"""What a block of products passes back: the gradient of each side is the upstream gradient times the other.

Of a matrix product ``z = h @ W.T`` these are ``delta @ W`` and, summed over the batch, ``delta.T @ h``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.matrix.build import Tree, mul, neg, number, parsed, text
from microbp.replay.matrix.groups import CONSTANT, Block, Group, Slot
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
    whole,
    whole_shape,
)  # fmt: skip
from microbp.replay.matrix.writer import Writer

__all__ = ["Contribution", "Upstream", "block_gradients", "needs_all"]


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


class Upstream(NamedTuple):
    """The gradient of a group: a tree; whether it has the batch as its first axis, and all entries."""

    tree: Tree
    batch: bool
    full: bool

    @property
    def word(self) -> str:
        """Its text, as part of a larger one."""
        source = text(self.tree)
        return source if source.isidentifier() else f"({source})"


def needs_all(writer: Writer, block: Block) -> bool:
    """Whether what the block passes back needs the gradient with all entries, as matrix products do."""
    m, k = block.factors.shape
    if k == 1:
        return False
    if m > 1:
        return True
    left, right = sides(writer, block)
    return not (block.left is None and even_factor(block) is not None) and left.varies != right.varies


def block_gradients(writer: Writer, group: Group, block: Block, delta: Upstream) -> list[Contribution]:
    """The contributions of the block to its two sides, given the gradient of the group."""
    m, k = block.factors.shape
    if k == 1:
        return _each(writer, group, block, delta)
    left, right = sides(writer, block)
    varies = left.varies or right.varies
    if group.varies and not varies:  # what is the same for all samples needs but the sum of the gradient
        axis = "axis=0" if m > 1 else ""
        tree = f"({text(delta.tree)}).sum({axis})" if delta.batch else f"n * {delta.word}"
        delta = Upstream(parsed(tree), False, delta.full)
    factor = even_factor(block)
    if block.left is None and factor is not None:
        return [_plain(block.right, mul(number(factor), delta.tree), m, k, varies, delta.batch)]
    if factor == -1.0 and block.left is not None:
        delta = delta._replace(tree=neg(delta.tree))
    equal = block.is_square
    if m == 1 and (left.varies == right.varies or equal):
        found = _pair(writer, left, right, delta, equal, varies)
    elif not is_grid(left, right):
        found = _rows(writer, left, right, delta, varies)
    elif not varies:
        found = _fixed(writer, left, right, delta)
    elif left.varies:
        found = _stack(writer, left, right, delta)
    else:
        found = _matrix_product(writer, left, right, delta)
    return [each for each in found if each.home != CONSTANT]


def _each(writer: Writer, group: Group, block: Block, delta: Upstream) -> list[Contribution]:
    """Of one term for each member."""
    fixed = not group.varies
    factors, wide_factors = numbers(writer, block.factors[:, 0])
    scaled, full = mul(factors, delta.tree), delta.full or wide_factors
    right, left = block.right, block.left
    if left is None:
        return [Contribution(right.home, right.places[:, 0], scaled, delta.batch, fixed, full)]
    found = []
    equal = block.is_square
    for slot, other in ((right, left), (left, right))[: 1 if equal else 2]:
        array = writer.arrays[other.home]
        tree, wide_tree = vector(writer, array, other.places[:, 0])
        product = mul(mul(number(2.0), scaled) if equal else scaled, tree)
        batch = delta.batch or array.varies
        found.append(Contribution(slot.home, slot.places[:, 0], product, batch, fixed, full or wide_tree))
    return found


def _plain(slot: Slot, tree: Tree, m: int, k: int, varies: bool, batch: bool) -> Contribution:
    """Of a plain sum, each of whose terms receives the gradient itself."""
    if m == 1:
        return Contribution(slot.home, slot.places[0], tree, batch, not varies, False)
    spread = parsed(f"np.repeat({text(tree)}, {k}, axis={int(varies)})")
    return Contribution(slot.home, slot.places.ravel(), spread, batch, not varies, True)


def _pair(
    writer: Writer, left: Side, right: Side, delta: Upstream, equal: bool, varies: bool
) -> list[Contribution]:
    """Of one row times one row."""
    found = []
    for side, other in ((right, left), (left, right))[: 1 if equal else 2]:
        scaled = mul(number(2.0), delta.tree) if equal else delta.tree
        tree, places = single(writer, other), side.rows[0]
        shape = whole_shape(writer, side)
        if shape and shape == whole_shape(writer, other):
            tree, places = whole(tree), places.reshape(shape)
        found.append(_given(side, places, mul(scaled, tree), varies, not varies))
    return found


def _given(side: Side, places: Any, tree: Tree | str, batch: bool, summed: bool) -> Contribution:
    made = parsed(tree) if isinstance(tree, str) else tree
    return Contribution(side.slot.home, places, made, batch, summed, True)


def _rows(writer: Writer, left: Side, right: Side, delta: Upstream, varies: bool) -> list[Contribution]:
    """Of rows that pair up in no grid: term by term."""
    m, k = len(left.which), left.rows.shape[1]
    lead, shape, flat = "[:, None]", f"({m}, {k})", "-1"
    if varies:
        lead, shape, flat = "[:, :, None]", f"(n, {m}, {k})", "n, -1"
    found = []
    for side, other in ((right, left), (left, right)):
        times = text(matrix(writer, other, held_rows(other)))
        tree = f"np.broadcast_to({delta.word}{lead} * {times}, {shape}).reshape({flat})"
        found.append(_given(side, held_rows(side).ravel(), tree, varies, not varies))
    return found


def _fixed(writer: Writer, left: Side, right: Side, delta: Upstream) -> list[Contribution]:
    """Of a product of two matrices that are the same for all samples."""
    a, b = text(matrix(writer, left)), text(matrix(writer, right))
    square = f"{delta.word}.reshape({len(right.rows)}, {len(left.rows)})"
    return [
        _given(right, right.rows, f"{square} @ {a}", False, True),
        _given(left, left.rows, f"{square}.T @ {b}", False, True),
    ]


def _stack(writer: Writer, left: Side, right: Side, delta: Upstream) -> list[Contribution]:
    """Of a product of two matrices of each sample."""
    a, b = text(matrix(writer, left)), text(matrix(writer, right))
    r, t, k = len(right.rows), len(left.rows), right.rows.shape[1]
    cube = f"{delta.word}.reshape(n, {r}, {t})"
    return [
        _given(right, right.rows.ravel(), f"({cube} @ {a}).reshape(n, {r * k})", True, False),
        _given(left, left.rows.ravel(), f"({cube}.swapaxes(1, 2) @ {b}).reshape(n, {t * k})", True, False),
    ]


def _matrix_product(writer: Writer, left: Side, right: Side, delta: Upstream) -> list[Contribution]:
    """Of the values of each sample times a matrix of weights."""
    r, t, k = len(right.rows), len(left.rows), right.rows.shape[1]
    if r > 1:
        a, b = text(matrix(writer, left)), text(matrix(writer, right))
        square = f"{delta.word}.reshape(-1, {t})"
        return [
            _given(right, right.rows.ravel(), f"({square} @ {a}).reshape(n, {r * k})", True, False),
            _given(left, left.rows, f"{square}.T @ {b}.reshape(-1, {k})", False, True),
        ]
    b = text(single(writer, right))
    if is_lone(writer, left):
        return [
            _given(right, right.rows[0], mul(delta.tree, single(writer, left)), True, False),
            _given(left, left.rows[0], f"({delta.word}.T @ {b})[0]", False, True),
        ]
    return [
        _given(right, right.rows[0], f"{delta.word} @ {text(matrix(writer, left))}", True, False),
        _given(left, left.rows, f"{delta.word}.T @ {b}", False, True),
    ]
