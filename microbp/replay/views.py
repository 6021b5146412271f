"""Operands as index maps into arrays, and the pieces of source that read them.

Each piece carries the axes that it has, by name: ``n`` samples, ``j`` and ``i`` rows and columns of the
members of a group, ``k`` terms of a sum. An absent axis broadcasts. A map whose places lie in even strides
is a slice, a reshape or a transpose of its array, for reading as for adding to it; else it is a gather.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.trees import Tree, index, is_number, method, mul, name, neg, number, reshaped, transposed
from microbp.sweeps import Integers

__all__ = ["Array", "Operand", "Piece", "arranged", "basic", "laid", "located", "mapping"]


@dataclass(eq=False)
class Array:
    """An array of generated code: parameters, inputs, a group of equal values."""

    name: str
    #: The shape for one sample; () is a number.
    shape: tuple[int, ...]
    #: Whether the batch is its first axis, before ``shape``.
    varies: bool = False
    #: For parameters, by place their indices in the vector of all, where it has another order.
    members: Integers | None = None

    @property
    def size(self) -> int:
        """How many values of one sample it holds."""
        return prod(self.shape)


class Operand(NamedTuple):
    """An index map: the place in an array, or the number, for each index of its axes."""

    array: Array | None
    axes: tuple[str, ...]
    #: Its shape is that of the axes; numbers where there is no array.
    places: npt.NDArray[Any]


class Piece(NamedTuple):
    """An expression with an axis for each dimension, in this order."""

    tree: Tree
    axes: tuple[str, ...] = ()
    #: The same with dimensions of one element behind those of its axes or between them, if there is such a
    #: tree: which of its dimensions are axes says ``pattern``.
    wide: Tree | None = None
    pattern: tuple[bool, ...] = (True, False)


def mapping(
    array: Array | None, held: npt.NDArray[Any], axes: tuple[str, ...], *, lone: bool = True
) -> Operand:
    """The map for places, or numbers, along ``axes``, without those along which they do not change.

    An axis of one element stays where the array has one for it, unless it is not to, with ``lone``: then
    (1, 3) @ (3, n) is a product, and what a sample has one of is a column (n, 1).

    >>> mapping(None, np.array([[1.0, 2.0], [1.0, 2.0]]), ("i", "k")).axes
    ('k',)
    """
    kept = []
    for axis, word in enumerate(axes):
        line = held.take([0], axis=axis)
        if held.shape[axis] > 1 and not _same(held, line):
            kept.append(word)
            line = held
        elif held.shape[axis] == 1 and lone and array is not None:
            column = held.ndim == 1 and (array.varies or array.shape == (1,))
            if column or (held.size > 1 and len(array.shape) == 2):
                kept.append(word)
        held = line
    shape = [size for word, size in zip(axes, held.shape, strict=True) if word in kept]
    return Operand(array, tuple(kept), held.reshape(shape))


def _same(held: npt.NDArray[Any], line: npt.NDArray[Any]) -> bool:
    if held.dtype == float:  # 0.0 is not -0.0, and nan is nan
        return bool((held.view(np.int64) == np.ascontiguousarray(line).view(np.int64)).all())
    return bool((held == line).all())


def located(operand: Operand, constant: Any, keep: Any, theta: Any) -> Piece:
    """The piece that reads an operand.

    ``constant(array, wanted)`` names a constant array, ``keep(wanted, tree)`` computes a tree once under a
    name, ``theta()`` names the vector of all parameters.
    """
    array, axes, places = operand
    if array is None:
        return Piece(number(float(places)) if not axes else name(constant(places, "c")), axes)
    found = basic(array, places)
    if found is not None:
        tree, order = found
        lead = ("n",) if array.varies else ()
        if array.varies and not axes:
            column = slice(int(places), int(places) + 1)
            whole = name(array.name)
            return Piece(tree, lead, whole if array.size == 1 else index(whole, slice(None), column))
        return Piece(tree, (*lead, *(axes[each] for each in order)))
    if array.varies:
        at = name(constant(places, "at"))
        return Piece(keep("taken1", index(name(array.name), slice(None), at)), ("n", *axes))
    if len(array.shape) > 1 and array.members is not None:
        if places.size == array.size and (places.ravel() == np.arange(array.size)).all():
            return Piece(reshaped(name(array.name), *places.shape), axes)
        return Piece(index(name(theta()), name(constant(array.members.ravel()[places], "at"))), axes)
    return Piece(index(name(array.name), name(constant(places, "at"))), axes)


def basic(array: Array, places: Integers, word: str = "") -> tuple[Tree, list[int]] | None:
    """The places as a view of the array (or of the one called ``word``), and the order of its axes.

    None where they lie in no even strides.
    """
    base, lead = name(word or array.name), [slice(None)] * array.varies
    if not array.shape:
        return base, []
    found = _slices(places, array.shape)
    if found is not None:
        items, order = found
        if all(each == slice(None) for each in items):
            return base, order
        while items[-1] == slice(None) and not isinstance(items[-1], int):
            items.pop()
        return index(base, *lead, *items), order
    if len(array.shape) > 1:
        return None
    return _folded(base, lead, places, array.size)


def _folded(base: Tree, lead: list[Any], places: Integers, size: int) -> tuple[Tree, list[int]] | None:
    """Places in one dimension as a view of several: a part of it, folded by the strides."""
    strides = []
    for axis in range(places.ndim):
        steps = np.diff(places, axis=axis)
        if steps.size == 0 or (steps != steps.flat[0]).any():
            return None
        strides.append(abs(int(steps.flat[0])))
    widths = sorted(strides, reverse=True)
    if any(b == 0 or a % b for a, b in pairwise(widths)) or not widths[-1]:
        return None
    low, width = int(places.min()), widths[0]
    rows = -(-(int(places.max()) + 1 - low) // width)
    low = min(low, size - rows * width)
    if low < 0:
        return None
    shape = [rows, *(a // b for a, b in pairwise(widths)), widths[-1]]
    if shape[-1] == 1:
        shape.pop()
    found = _slices(places - low, tuple(shape))
    if found is None:
        return None
    items, order = found
    part = base if rows * width == size else index(base, *lead, slice(low, low + rows * width))
    tree = reshaped(part, *[name("n")] * len(lead), *shape)
    if all(each == slice(None) for each in items):
        return tree, order
    return index(tree, *lead, *items), order


def _slices(places: Integers, shape: tuple[int, ...]) -> tuple[list[Any], list[int]] | None:
    """An item for each dimension of ``shape`` that takes these places, and the order of the axes."""
    items: list[Any] = []
    order: list[int] = []
    for coordinates, size in zip(np.unravel_index(places, shape), shape, strict=True):
        start, steps = int(coordinates.flat[0]), []
        for axis in range(places.ndim):
            along: Any = (*[0] * axis, slice(None), *[0] * (places.ndim - axis - 1))
            line = coordinates[along]
            steps.append(int(line[1] - line[0]) if len(line) > 1 else 0)
        moving = [axis for axis, step in enumerate(steps) if step]
        if len(moving) > 1 or (moving and moving[0] in order):
            return None
        even: Any = start
        for axis in moving:
            count = places.shape[axis]
            even = (start + steps[axis] * np.arange(count)).reshape(-1, *[1] * (places.ndim - axis - 1))
        if (coordinates != even).any():
            return None
        if not moving:
            items.append(start)
            continue
        items.append(_slice(start, steps[moving[0]], places.shape[moving[0]], size))
        order.append(moving[0])
    for axis in range(places.ndim):  # those of one element
        if axis in order:
            continue
        if places.shape[axis] > 1:
            return None
        at = next((at for at, item in enumerate(items) if isinstance(item, int)), None)
        if at is None:
            return None
        order.insert(sum(not isinstance(item, int) for item in items[:at]), axis)
        items[at] = _slice(items[at], 1, 1, shape[at])
    return items, order


def _slice(start: int, step: int, count: int, size: int) -> slice:
    if (start, step, count) == (0, 1, size):
        return slice(None)
    stop = start + step * (count - 1) + (1 if step > 0 else -1)
    return slice(start, None if stop < 0 else stop, None if step == 1 else step)


def arranged(piece: Piece, layout: tuple[str, ...]) -> Tree:
    """The piece's tree with its axes in the order of ``layout``, of one element where it has none.

    Absent axes at the front are left out: NumPy broadcasts these by itself.
    """
    tree, axes = piece.tree, piece.axes
    order = tuple(axis for axis in layout if axis in axes)
    assert len(order) == len(axes), (axes, layout)
    if order != axes:
        tree = _permuted(tree, axes, order)
    if not order:
        return tree
    present = tuple(axis in order for axis in layout[layout.index(order[0]) :])
    if all(present):
        return tree
    if piece.wide is not None and present[: len(piece.pattern)] == piece.pattern:
        more = present[len(piece.pattern) :]
        if not any(more):
            items = [*[slice(None)] * len(piece.pattern), *[None] * len(more)]
            return index(piece.wide, *items) if more else piece.wide
    items = [slice(None) if each else None for each in present]
    match tree:
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


def laid(tree: Tree, layout: tuple[str, ...], axes: tuple[str, ...]) -> Piece:
    """The piece of a tree with the dimensions of ``layout``, of one element for those not in ``axes``."""
    if not axes:
        return Piece(tree)
    pattern = tuple(axis in axes for axis in layout[layout.index(axes[0]) :])
    if all(pattern):
        return Piece(tree, axes)
    return Piece(index(tree, *(slice(None) if each else 0 for each in pattern)), axes, tree, pattern)


def _permuted(tree: Tree, axes: tuple[str, ...], order: tuple[str, ...]) -> Tree:
    moved = [at for at, (a, b) in enumerate(zip(axes, order, strict=True)) if a != b]
    if len(axes) == 2:
        return transposed(tree)
    if len(moved) == 2:
        return method(tree, "swapaxes", *(ast.Constant(each) for each in moved))
    return method(tree, "transpose", *(ast.Constant(axes.index(each)) for each in order))
