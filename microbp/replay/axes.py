"""Source over named axes: pieces that read arrays, and sums of products of them.

Each piece carries the axes that it has, by name: ``n`` samples, ``j`` and ``i`` rows and columns of the
members of a group, ``k`` terms of a sum. An absent axis broadcasts. An operand is an index map into one
array: where its places lie in even strides it is a slice, a reshape or a transpose, for reading as for adding
to it; else it is a gather.

``contract(left, right, out)`` is Σ left · right over all axes of the domain that are not in ``out``. The
value of a sum of products is one, and so is each of its gradients: with ``delta`` upstream,
``contract(delta, right, left.axes)`` and ``contract(delta, left, right.axes)``; that of an operation applied
element by element is ``contract(delta, local, operand.axes)``.
"""
# ruff: noqa: D102, D103 (what a name says needs no sentence)

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import copysign, prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.graph import cached_property
from microbp.replay.code import Tree, call, index, method, name, number, put_together, scaled, transposed
from microbp.sweeps import Floats, Integers

__all__ = [
    "Array", "Axes", "Operand", "Piece", "Sizes", "arranged", "contract", "elementwise", "full", "in_order",
    "is_all", "over", "piece_of", "plus", "slices", "times",
]  # fmt: skip

Axes = tuple[str, ...]
#: How long each axis is; that of the samples, ``n``, is known only when the program runs.
Sizes = Mapping[str, int | None]


@dataclass(eq=False)
class Array:
    """An array of generated code: parameters, inputs, a group of equal values."""

    name: str
    #: The shape for one sample; () is a number.
    shape: tuple[int, ...]
    #: Whether the batch is its first axis, before ``shape``.
    varies: bool = False
    #: Of parameters, for each element its index in the vector of all.
    members: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def axes(self) -> Axes:
        return (*["n"] * self.varies, *(f"p{at}" for at in range(len(self.shape))))

    @cached_property
    def _strides(self) -> list[int] | None:
        """By how many places of the vector each axis steps; None where it does not evenly."""
        steps = [np.diff(self.members, axis=axis) for axis in range(self.members.ndim)]
        uneven = any(each.size and (each != each.flat[0]).any() for each in steps)
        return None if uneven else [int(each.flat[0]) if each.size else 0 for each in steps]

    def even(self, vector: Floats) -> bool:
        """Whether it can be a view of the vector of all parameters, or of their gradients."""
        return self._strides is not None and vector.flags.c_contiguous

    def of(self, vector: Floats) -> Floats:
        """The array in such a vector: a view of it where it can be, else a copy."""
        if not self.even(vector) or self._strides is None:
            return np.asarray(vector[self.members])
        start = 8 * int(self.members.flat[0]) if self.members.size else 0
        return np.ndarray(self.shape, float, vector, start, [8 * each for each in self._strides])


@dataclass(eq=False)
class Operand:
    """What stands at one place among the operands of a group: an index map into one array, or numbers."""

    #: Which array.
    home: int
    #: The places, or the numbers: one for each member of the group, or a row for each; then along ``axes``.
    held: npt.NDArray[Any]
    axes: Axes = ()

    def __post_init__(self) -> None:
        #: How many elements it has for each member.
        self.width = int(self.held.shape[1]) if self.held.ndim > 1 else 1

    @property
    def sizes(self) -> dict[str, int | None]:
        return {"n": None, **dict(zip(self.axes, self.held.shape, strict=True))}

    def along(self, array: Array | None, axes: Axes, shape: tuple[int, ...], *, lone: bool = True) -> Operand:
        """Itself along ``axes``, without those along which it does not change.

        An axis of one element stays where the array has one for it, unless it is not to, with ``lone``: then
        (1, 3) @ (3, n) is a product.
        """
        kept, held, own = [], self.held.reshape(shape), array.shape if array and lone else ()
        for at, word in enumerate(axes):
            line = held.take([0], axis=at)
            if held.shape[at] == 1:
                changes = (held.ndim == 1 and own == (1,)) or (held.size > 1 and len(own) == 2)
            else:
                changes = held.tobytes() != np.broadcast_to(line, held.shape).tobytes()
            kept += [word] * changes
            held = held if changes else line
        sizes = [size for word, size in zip(axes, held.shape, strict=True) if word in kept]
        self.axes, self.held = tuple(kept), held.reshape(sizes)
        return self


class Piece(NamedTuple):
    """A number times an expression, and the axes that this has, from the first to the last."""

    #: The tree; None for the number alone.
    tree: Any
    axes: Axes = ()
    factor: float = 1.0

    @property
    def code(self) -> Tree:
        return number(self.factor, "np.") if self.tree is None else scaled(self.factor, self.tree)

    @property
    def bare(self) -> Piece:
        return self._replace(factor=1.0)

    def scaled(self, factor: float) -> Piece:
        return self._replace(factor=factor * self.factor)


# ------------------------------------------------------------------------------------------ to compute
def piece_of(each: Piece | float) -> Piece:
    return each if isinstance(each, Piece) else Piece(None, (), each)


def elementwise(word: Any, *operands: Piece | float) -> Piece:
    """An operator or a function of pieces and numbers, along the axes that any of them has."""
    pieces = [*map(piece_of, operands)]
    axes = _common(pieces)
    return Piece(put_together(word, tuple(arranged(each, axes) for each in pieces)), axes)


def in_order(piece: Piece | float) -> Piece:
    """A piece, or that of a number, with its axes in the order of :func:`elementwise`."""
    piece = piece_of(piece)
    axes = _common([piece])
    return piece if piece.tree is None else Piece(arranged(piece.bare, axes), axes, piece.factor)


def _common(pieces: Sequence[Piece]) -> Axes:
    """All axes of some pieces as they stand in every array: samples, members, terms."""
    axes = {axis for each in pieces for axis in each.axes}
    return tuple(sorted(axes, key=lambda axis: ("njikop".index(axis[0]), axis)))


def times(a: Piece | float, b: Piece | float) -> Piece:
    pieces = piece_of(a), piece_of(b)
    several = [each.bare for each in pieces if each.tree is not None]
    made = elementwise(ast.Mult, *several) if len(several) > 1 else [*several, Piece(None)][0]
    return made._replace(factor=pieces[0].factor * pieces[1].factor)


def plus(*operands: Piece | float) -> Piece:
    """The sum, as a difference where one of the two is some negative times an expression."""
    a, b = map(piece_of, operands)
    for first, second in ((a, b), (b, a)):
        if copysign(1.0, second.factor) < 0.0:
            return elementwise(ast.Sub, first, second.scaled(-1.0))
    return elementwise(ast.Add, a, b)


def over(*operands: Piece | float) -> Piece:
    a, b = map(piece_of, operands)
    if b == piece_of(1.0):
        return a
    above = a if a.tree is None else a.bare
    return elementwise(ast.Div, above, b).scaled(1.0 if a.tree is None else a.factor)


# -------------------------------------------------------------------------------------------- to view
def is_all(array: Array, places: npt.NDArray[Any]) -> bool:
    """Whether the places are all of an array, in their order."""
    return places.size == array.size and bool((places.ravel() == np.arange(array.size)).all())


def slices(places: Integers, shape: tuple[int, ...]) -> tuple[list[Any], list[int]] | None:
    """An item for each dimension of an array that takes these places, and the order of their axes, if any."""
    items: list[Any] = []
    order: list[int] = []
    for coordinates, size in zip(np.unravel_index(places, shape), shape, strict=True):
        start = int(coordinates.flat[0])
        steps = [np.diff(coordinates, axis=axis) for axis in range(places.ndim)]
        moving = [axis for axis, each in enumerate(steps) if each.any()]
        if not moving:
            items.append(start)
            continue
        axis, step = moving[0], int(steps[moving[0]].flat[0])
        if len(moving) > 1 or axis in order or (steps[axis] != step).any():
            return None
        items.append(_slice(start, step, places.shape[axis], size))
        order.append(axis)
    for axis in range(places.ndim):  # those of one element
        if axis in order:
            continue
        at = next((at for at, item in enumerate(items) if isinstance(item, int)), None)
        if at is None or places.shape[axis] > 1:
            return None
        order.insert(sum(not isinstance(item, int) for item in items[:at]), axis)
        items[at] = _slice(items[at], 1, 1, shape[at])
    return items, order


def _slice(start: int, step: int, count: int, size: int) -> slice:
    if (start, step, count) == (0, 1, size):
        return slice(None)
    stop = start + step * (count - 1) + (1 if step > 0 else -1)
    return slice(start, None if stop < 0 else stop, None if step == 1 else step)


# --------------------------------------------------------------------------------------- to arrange
def arranged(piece: Piece, layout: Axes) -> Tree:
    """The piece's code with its axes in the order of ``layout``, of one element where it has none.

    Absent axes at the front are left out: NumPy broadcasts these by itself.
    """
    order = tuple(axis for axis in layout if axis in piece.axes)
    assert len(order) == len(piece.axes), (piece.axes, layout)
    tree = piece.tree
    if tree is None or not order:
        return piece.code
    if order != piece.axes:
        places = (piece.axes.index(each) for each in order)
        tree = transposed(tree) if len(order) == 2 else method(tree, "transpose", *places)
    items = [slice(None) if axis in order else None for axis in layout[layout.index(order[0]) :]]
    while items and items[-1] == slice(None):
        items.pop()
    match tree, items:
        case ast.Subscript(value=array, slice=ast.Tuple(elts=[rows, ast.Constant(value=int(at))])), [_, None]:
            tree, items = index(array, rows, slice(at, at + 1)), []  # a column
    return scaled(piece.factor, index(tree, *items))


def full(piece: Piece, axes: Axes, sizes: Sizes) -> Tree:
    """The piece with all these axes, also those that it has not."""
    tree = arranged(piece, axes)
    first = axes.index(piece.axes[0]) if piece.axes else len(axes)
    if all(each in piece.axes or (at > first and sizes[each] == 1) for at, each in enumerate(axes)):
        return tree
    lengths = tuple(name("n") if sizes[axis] is None else sizes[axis] for axis in axes)
    return call("np.broadcast_to", tree, lengths)


# -------------------------------------------------------------------------------------- to multiply
def contract(left: Piece, right: Piece, out: Sequence[str], sizes: Sizes) -> Piece:
    """Σ left · right over the axes of ``sizes`` that are not in ``out``."""
    both = {*left.axes, *right.axes}
    left = _summed(left, [axis for axis in left.axes if axis not in out and axis not in right.axes], sizes)
    right = _summed(right, [axis for axis in right.axes if axis not in out and axis not in left.axes], sizes)
    inner = [axis for axis in left.axes if axis in right.axes and axis not in out]
    made = _product(left, right, inner, out) if inner else times(left, right)
    for axis, length in sizes.items():
        if axis not in both and axis not in out:
            made = times(Piece(name("n")) if length is None else float(length), made)
    return made


def _summed(piece: Piece, axes: Sequence[str], sizes: Sizes) -> Piece:
    """The sum over some of its axes; over one of one element this is the element."""
    tree, rest = piece.tree, tuple(each for each in piece.axes if each not in axes)
    lone = [each for each in axes if sizes[each] == 1]
    if lone:
        tree = index(tree, *(0 if each in lone else slice(None) for each in piece.axes))
    left = [each for each in piece.axes if each not in lone]
    if places := [left.index(each) for each in axes if each not in lone]:
        over = {"axis": places[0] if len(places) == 1 else tuple(places)} if rest else {}
        tree = method(tree, "sum", **over)
    return Piece(tree, rest, piece.factor)


def _product(left: Piece, right: Piece, inner: Sequence[str], out: Sequence[str]) -> Piece:
    """The contraction as a product of matrices where it is one, else as a sum over products."""
    a, b = (tuple(axis for axis in out if axis in each.axes) for each in (left, right))
    factor, axes = left.factor * right.factor, tuple(axis for axis in out if axis in a or axis in b)
    if not axes:  # also of matrices
        return Piece(call("np.vdot", left.tree, arranged(right.bare, left.axes)), (), factor)
    batch = tuple(axis for axis in a if axis in b)
    a, b = (tuple(axis for axis in each if axis not in batch) for each in (a, b))
    stacked = not batch or (batch == axes[:1] and a and b)
    if not stacked or max(len(inner), len(a), len(b), len(batch)) > 1:
        subscripts = f"{''.join(left.axes)},{''.join(right.axes)}->{''.join(axes)}"
        return Piece(call("np.einsum", subscripts, left.tree, right.tree, optimize=True), axes, factor)
    # A vector stands on the right of a matrix, unless it is as it is on the left of one.
    if (a and b and axes != (*batch, *a, *b)) or (not a and right.axes != (*inner, *b)):
        (left, a), (right, b) = (right, b), (left, a)
    sides = arranged(left.bare, (*batch, *a, *inner)), arranged(right.bare, (*batch, *inner, *b))
    return Piece(ast.BinOp(sides[0], ast.MatMult(), sides[1]), axes, factor)
