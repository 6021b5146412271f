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

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.lazy import cached_property
from microbp.replay.code import (
    Tree,
    call,
    index,
    is_number,
    method,
    mul,
    name,
    neg,
    number,
    reshaped,
    transposed,
)  # fmt: skip
from microbp.sweeps import Floats, Integers

__all__ = [
    "Array", "Axes", "Operand", "Piece", "arranged", "basic", "contract", "elementwise", "full", "in_order",
    "whole",
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
        """How many values of one sample it holds."""
        return prod(self.shape)

    @property
    def axes(self) -> Axes:
        """The axes of all of it."""
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
        if self._strides is None or not vector.flags.c_contiguous:
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

    def along(self, array: Array | None, axes: Axes, shape: tuple[int, ...], *, lone: bool = True) -> Operand:
        """Itself along ``axes``, without those along which it does not change.

        An axis of one element stays where the array has one for it, unless it is not to, with ``lone``: then
        (1, 3) @ (3, n) is a product, and what a sample has one of is a column (n, 1).

        >>> Operand(-1, np.array([[1.0, 2.0], [1.0, 2.0]])).along(None, ("i", "k"), (2, 2)).axes
        ('k',)
        """
        kept, held = [], self.held.reshape(shape)
        for at, word in enumerate(axes):
            line = held.take([0], axis=at)
            if held.shape[at] > 1 and not _same(held, line):
                kept.append(word)
                line = held
            elif held.shape[at] == 1 and lone and array is not None:
                column = held.ndim == 1 and (array.varies or array.shape == (1,))
                if column or (held.size > 1 and len(array.shape) == 2):
                    kept.append(word)
            held = line
        sizes = [size for word, size in zip(axes, held.shape, strict=True) if word in kept]
        self.axes, self.held = tuple(kept), held.reshape(sizes)
        return self


def _same(held: npt.NDArray[Any], line: npt.NDArray[Any]) -> bool:
    if held.dtype == float:  # 0.0 is not -0.0, and nan is nan
        return bool((held.view(np.int64) == np.ascontiguousarray(line).view(np.int64)).all())
    return bool((held == line).all())


class Piece(NamedTuple):
    """An expression, and what its dimensions are: an axis, or "" for one of one element, which is none.

    The first is an axis: NumPy broadcasts those that are missing at the front by itself.
    """

    tree: Tree
    dims: Axes = ()

    @property
    def axes(self) -> Axes:
        """The axes that it has."""
        return tuple(filter(None, self.dims))

    @property
    def squeezed(self) -> Piece:
        """The same without dimensions of one element."""
        if "" not in self.dims:
            return self
        match self.tree:  # of a column that was taken the place is taken
            case ast.Subscript(value=array, slice=ast.Tuple(elts=[rows, ast.Slice(lower=place)])):
                if place and self.dims[1:] == ("",):
                    return Piece(index(array, rows, place), self.axes)
        return Piece(index(self.tree, *(slice(None) if each else 0 for each in self.dims)), self.axes)


def whole(array: Array) -> Piece:
    """All of an array."""
    return Piece(name(array.name), array.axes)


# -------------------------------------------------------------------------------------------- to view
def basic(array: Array, places: Integers) -> tuple[Tree, list[int]] | None:
    """The places as a view of the array, and the order of its axes; None where strides are uneven."""
    base, lead = name(array.name), [slice(None)] * array.varies
    if not array.shape:
        return base, []
    found, shape = _slices(places, array.shape), array.shape
    if found is None and len(shape) == 1:
        folds = _folds(places, array.size)
        if folds is None:
            return None
        low, shape = folds
        found, whole = _slices(places - low, shape), prod(shape)
        base = base if whole == array.size else index(base, *lead, slice(low, low + whole))
        base = reshaped(base, *[name("n")] * len(lead), *shape)
    if found is None:
        return None
    items, order = found
    while items and items[-1] == slice(None) and not isinstance(items[-1], int):
        items.pop()
    return (index(base, *lead, *items) if items else base), order


def _folds(places: Integers, size: int) -> tuple[int, tuple[int, ...]] | None:
    """From where on, and into which shape, one dimension is folded so that the places are slices."""
    steps = [np.diff(places, axis=axis) for axis in range(places.ndim)]
    if any(each.size == 0 or (each != each.flat[0]).any() for each in steps):
        return None
    widths = sorted((abs(int(each.flat[0])) for each in steps), reverse=True)
    if not widths[-1] or any(a % b for a, b in pairwise(widths)):
        return None
    low, width = int(places.min()), widths[0]
    rows = -(-(int(places.max()) + 1 - low) // width)
    low = min(low, size - rows * width)
    shape = (rows, *(a // b for a, b in pairwise(widths)), *[widths[-1]] * (widths[-1] > 1))
    return None if low < 0 else (low, shape)


def _slices(places: Integers, shape: tuple[int, ...]) -> tuple[list[Any], list[int]] | None:
    """An item for each dimension of ``shape`` that takes these places, and the order of the axes."""
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
    """The piece's tree with its axes in the order of ``layout``, of one element where it has none.

    Absent axes at the front are left out. In the layout, too, "" is a dimension of one element.
    """
    order = tuple(axis for axis in layout if axis in piece.axes)
    assert len(order) == len(piece.axes), (piece.axes, layout)
    if order != piece.axes:
        piece = Piece(_permuted(piece.squeezed.tree, piece.axes, order), order)
    if not order:
        return piece.tree
    dims = tuple(axis if axis in order else "" for axis in layout[layout.index(order[0]) :])
    more = dims[len(piece.dims) :]
    if piece.dims == dims[: len(piece.dims)] and not any(more):
        items = [*[slice(None)] * len(piece.dims), *[None] * len(more)]
        return index(piece.tree, *items) if more else piece.tree
    tree = piece.squeezed.tree
    items = [slice(None) if each else None for each in dims]
    match tree:
        case _ if None not in items:
            return tree
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return neg(arranged(Piece(inner, order), layout))
        case ast.BinOp(left=factor, op=ast.Mult(), right=inner) if is_number(factor) is not None:
            return mul(factor, arranged(Piece(inner, order), layout))
        case ast.Call(func=ast.Attribute(value=inner, attr="sum" | "max" as word), args=[], keywords=[axis]):
            place = axis.value.value if isinstance(axis.value, ast.Constant) else None
            if items.count(None) == 1 and axis.arg == "axis" and items.index(None) == place:
                return method(inner, word, axis=place, keepdims=name("True"))
    while items[-1] == slice(None):
        items.pop()
    return index(tree, *items)


def _permuted(tree: Tree, axes: Axes, order: Axes) -> Tree:
    moved = [at for at, (a, b) in enumerate(zip(axes, order, strict=True)) if a != b]
    if len(axes) == 2:
        return transposed(tree)
    if len(moved) == 2:
        return method(tree, "swapaxes", *moved)
    return method(tree, "transpose", *(axes.index(each) for each in order))


def full(piece: Piece, axes: Axes, sizes: Sizes) -> Tree:
    """The piece with all these axes, also those that it has not."""
    tree = arranged(piece, axes)
    first = axes.index(piece.axes[0]) if piece.axes else len(axes)
    if all(each in piece.axes or (at > first and sizes[each] == 1) for at, each in enumerate(axes)):
        return tree
    if piece.axes == axes[:-1] and len(axes) > 1:
        return call("np.repeat", tree, sizes[axes[-1]], axis=len(axes) - 1)
    return call("np.broadcast_to", tree, _lengths(axes, sizes))


def _lengths(axes: Axes, sizes: Sizes) -> tuple[Any, ...]:
    return tuple(name("n") if sizes[axis] is None else sizes[axis] for axis in axes)


def _folded(piece: Piece, groups: Sequence[Axes], sizes: Sizes) -> Tree:
    """The piece with one dimension for each of some groups of axes, all of which it has."""
    if len(groups) == 2 and piece.axes == (*groups[1], *groups[0]):
        return transposed(_folded(piece, groups[::-1], sizes))
    tree = arranged(piece, tuple(axis for group in groups for axis in group))
    if all(len(group) == 1 for group in groups):
        return tree
    shape: list[Any] = []
    for group in groups:
        known = [sizes[axis] for axis in group]
        alone = name("n") if len(known) == 1 else -1
        shape.append(alone if None in known else prod(size or 1 for size in known))
    return reshaped(tree, *shape)


def _unfolded(tree: Tree, groups: Sequence[Axes], sizes: Sizes) -> Piece:
    axes = tuple(axis for group in groups for axis in group)
    if any(len(group) > 1 for group in groups):
        tree = reshaped(tree, *_lengths(axes, sizes))
    return Piece(tree, axes)


# -------------------------------------------------------------------------------------- to multiply
def contract(left: Piece, right: Piece, out: Sequence[str], sizes: Sizes) -> Piece:
    """Σ left · right over the axes of ``sizes`` that are not in ``out``.

    >>> from microbp.replay.code import text
    >>> sizes = {"n": None, "i": 3, "k": 2}
    >>> held = (("x", "nk"), ("W", "ik"), ("d", "ni"))
    >>> x, W, delta = (Piece(name(word), tuple(axes)) for word, axes in held)
    >>> text(contract(W, x, "ni", sizes).tree), text(contract(delta, x, "ik", sizes).tree)
    ('x @ W.T', 'd.T @ x')
    >>> text(contract(delta, Piece(number(1.0)), "ik", sizes).tree)
    'd.sum(axis=0)'
    """
    both = {*left.axes, *right.axes}
    missing = [axis for axis in sizes if axis not in both and axis not in out]
    left = _summed(left, [axis for axis in left.axes if axis not in out and axis not in right.axes], sizes)
    right = _summed(right, [axis for axis in right.axes if axis not in out and axis not in left.axes], sizes)
    inner = tuple(axis for axis in left.axes if axis in right.axes and axis not in out)
    made = _matrices(left, right, inner, tuple(out), sizes) if inner else elementwise(mul, left, right)
    for axis in missing:
        length = sizes[axis]
        made = Piece(mul(name("n") if length is None else number(float(length)), made.tree), made.dims)
    return made


def elementwise(make: Callable[..., Tree], *operands: Piece | float) -> Piece:
    """What ``make`` makes of pieces and numbers, element by element: along the axes that any of them has."""
    pieces = [each if isinstance(each, Piece) else Piece(number(each, "np.")) for each in operands]
    dims = _in_order(axis for each in pieces for axis in each.axes)
    wide = max((each.dims for each in pieces), key=len)
    if tuple(filter(None, wide)) == dims:
        dims = wide
    return Piece(make(*(arranged(each, dims) for each in pieces)), dims)


def in_order(piece: Piece | float) -> Piece:
    """A piece, or that of a number, with its axes in the order of :func:`elementwise`."""
    return elementwise(lambda tree: tree, piece)


def _in_order(axes: Iterable[str]) -> Axes:
    """The axes as they stand in every array: samples, members, terms."""
    return tuple(sorted({*axes}, key=lambda axis: ("njikop".index(axis[0]), axis)))


def _summed(piece: Piece, axes: Sequence[str], sizes: Sizes) -> Piece:
    """The sum over some of its axes; over one of one element this is the element."""
    for axis in [each for each in axes if sizes[each] == 1]:
        dims = tuple("" if each == axis else each for each in piece.dims)
        lead = next((at for at, each in enumerate(dims) if each), len(dims))
        piece = Piece(index(piece.tree, *[0] * lead) if lead else piece.tree, dims[lead:])
    axes = [each for each in axes if sizes[each] != 1]
    if not axes:
        return piece
    piece = piece.squeezed
    places = [piece.axes.index(axis) for axis in axes]
    rest = tuple(each for each in piece.axes if each not in axes)
    match piece.tree:  # a number goes in front of the sum
        case ast.BinOp(left=factor, op=ast.Mult(), right=inner) if is_number(factor) is not None:
            found = _summed(Piece(inner, piece.axes), axes, sizes)
            return Piece(mul(factor, found.tree), found.dims)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            found = _summed(Piece(inner, piece.axes), axes, sizes)
            return Piece(mul(number(-1.0), found.tree), found.dims)
    if not rest:
        return Piece(method(piece.tree, "sum"))
    over = places[0] if len(places) == 1 else tuple(places)
    return Piece(method(piece.tree, "sum", axis=over), rest)


def _matrices(left: Piece, right: Piece, inner: Axes, out: Axes, sizes: Sizes) -> Piece:
    """The contraction as a matrix product where there is one, else as a product and a sum."""
    batch = tuple(axis for axis in left.axes if axis in right.axes and axis not in inner)
    rows = tuple(axis for axis in out if axis in left.axes and axis not in batch)
    columns = tuple(axis for axis in out if axis in right.axes and axis not in batch)
    if rows and columns and out.index(rows[0]) > out.index(columns[0]):
        left, right, rows, columns = right, left, columns, rows
    if batch and not (batch == ("n",) and (rows or columns)):
        return _summed(elementwise(mul, left, right), inner, sizes)
    if not rows and columns and (batch or right.axes != (*inner, *columns)):
        left, right, rows, columns = right, left, columns, rows  # a vector stands on the right of a matrix
    if batch:
        a = _folded(left, [batch, rows, inner], sizes)
        if not columns:
            b = index(_folded(right, [batch, inner], sizes), slice(None), slice(None), None)
            return _unfolded(index(_at(a, b), slice(None), slice(None), 0), [batch, rows], sizes)
        b = _folded(right, [batch, inner, columns], sizes)
        return _unfolded(_at(a, b), [batch, rows, columns], sizes)
    if not rows and not columns:  # also of matrices
        return Piece(call("np.vdot", left.squeezed.tree, arranged(right, left.axes)))
    sides = [_folded(left, [rows, inner] if rows else [inner], sizes)]
    sides.append(_folded(right, [inner, columns] if columns else [inner], sizes))
    return _unfolded(_at(*sides), [each for each in (rows, columns) if each], sizes)


def _at(a: Tree, b: Tree) -> Tree:
    return ast.BinOp(a, ast.MatMult(), b)
