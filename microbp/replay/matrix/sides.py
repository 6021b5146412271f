"""The two sides of a block of products: the different rows of places, and which member takes which.

A block multiplies, for each member of a group, k values of one array by k values of another. Where the
members are all pairs of a few rows on the left and a few on the right, it is a matrix product: neurons of
one layer have one row of inputs on the right, the places of a convolution one row of weights on the left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.matrix.build import Tree, parsed, text
from microbp.replay.matrix.groups import CONSTANT, Block, Slot
from microbp.replay.matrix.operands import rows, wide
from microbp.replay.matrix.writer import Writer

__all__ = [
    "Side", "even_factor", "held_rows", "is_grid", "is_lone", "matrix", "sides", "single", "turned", "whole",
    "whole_shape",
]  # fmt: skip


class Side(NamedTuple):
    """The left or the right of a block: its different rows, of which all members take one."""

    slot: Slot
    #: The different rows of places, or of numbers.
    rows: npt.NDArray[Any]
    #: For each member the number of its row.
    which: npt.NDArray[np.int64]
    varies: bool


def _side(writer: Writer, slot: Slot) -> Side:
    held = slot.numbers if slot.home == CONSTANT else slot.places
    seen: dict[bytes, int] = {}
    which = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in held], dtype=np.int64)
    _, first = np.unique(which, return_index=True)
    return Side(slot, held[first], which, slot.home != CONSTANT and writer.arrays[slot.home].varies)


def sides(writer: Writer, block: Block) -> tuple[Side, Side]:
    """The left and the right of a block; factors that differ are constants on its left."""
    none = np.zeros(0, dtype=np.int64)
    left = block.left or Slot(CONSTANT, none, block.factors)
    return _side(writer, left), _side(writer, block.right)


def is_grid(left: Side, right: Side) -> bool:
    """Whether the members are all pairs, the right the outer loop."""
    many, times = len(right.rows), len(left.rows)
    return len(left.which) == many * times and bool(
        (right.which == np.repeat(np.arange(many), times)).all()
        and (left.which == np.tile(np.arange(times), many)).all()
    )


def single(writer: Writer, side: Side) -> Tree:
    """One row with all its entries: ``(n, k)`` or ``(k,)``."""
    if side.slot.home == CONSTANT:
        return parsed(writer.constant(side.rows[0], "c"))
    return wide(writer, writer.arrays[side.slot.home], side.rows[0])


def matrix(writer: Writer, side: Side, held: npt.NDArray[Any] | None = None) -> Tree:
    """The different rows, or those in ``held``: ``(n, r, k)`` or ``(r, k)``."""
    held = side.rows if held is None else held
    if side.slot.home == CONSTANT:
        return parsed(writer.constant(held, "c"))
    return rows(writer, writer.arrays[side.slot.home], held)


def turned(tree: Tree) -> Tree:
    """The transpose."""
    source = text(tree)
    return parsed(source[:-2]) if source.endswith(".T") else parsed(f"({source}).T")


def whole(tree: Tree) -> Tree:
    """A matrix of which all elements are meant."""
    return parsed(text(tree).removesuffix(".ravel()"))


def whole_shape(writer: Writer, side: Side) -> tuple[int, ...]:
    """The shape of the matrix that its one row is, from the first element to the last."""
    if side.slot.home == CONSTANT or not text(single(writer, side)).endswith(".ravel()"):
        return ()
    return writer.arrays[side.slot.home].shape


def is_lone(writer: Writer, side: Side) -> bool:
    """Whether its one row is a row of no matrix."""
    home = side.slot.home
    return len(side.rows) == 1 and (home == CONSTANT or len(writer.arrays[home].shape) != 2)


def even_factor(block: Block) -> float | None:
    """The factor of all terms, if it is one; of products it is."""
    first = float(block.factors.flat[0])
    return first if (block.factors == first).all() else None


def held_rows(side: Side) -> npt.NDArray[Any]:
    """For each member its row."""
    return side.rows[side.which]
