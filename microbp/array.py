"""Arrays of Values: NumPy arrays of dtype object in which every scalar is recorded.

NumPy's own functions work on them, so that a program written for NumPy runs unchanged: arithmetic,
broadcasting, ``@``, ``np.dot``, ``.T``, ``np.exp``, ``np.maximum(0, a)``, ``np.sum`` and the rest.
A matrix product records one ``dot`` per element of the result, a sum one ``sum``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microbp.comparisons import taken
from microbp.errors import NoGradientError
from microbp.record import record
from microbp.rules import RULES
from microbp.value import Value, as_number, describe

__all__ = ["Array", "array", "data_of", "elementwise", "grad_of"]


class Array(np.ndarray[Any, np.dtype[np.object_]]):
    """An ndarray of dtype object whose elements are Values; made by :func:`array`."""

    __array_priority__ = 1.0  # float_array.dot(values) gives an Array

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _ufunc(ufunc, method, *inputs, **options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is np.dot and not options:
            return _dot(*args)
        result = super().__array_function__(function, types, args, options)
        plain = type(result) is np.ndarray and result.dtype == object  # as np.where gives
        return result.view(Array) if plain else result

    def dot(self, other: Any) -> Any:  # type: ignore[override]
        """The matrix product, as ``np.dot``: one ``dot`` is recorded per element of the result."""
        return _dot(self, other)


def array(x: Any, name: str | None = None, *, requires_grad: bool = True) -> Array:
    """An array of Values from numbers, nested lists of numbers, or Values (which are kept).

    With a ``name``, each new element is named by its place; with ``requires_grad=False`` it takes no
    gradient.

    >>> W = array([[0.1, 0.8], [0.4, 0.6]], name="W")
    >>> W.shape, W[0, 1]
    ((2, 2), Value(data=0.8, grad=None, name='W[0,1]'))
    >>> data_of(W @ np.array([0.35, 0.9]))
    array([0.755, 0.68 ])

    Raises TypeError for an element that is no real number, ValueError for rows of unequal length.
    """
    source = np.asarray(x, dtype=object)
    made: Any = np.empty(source.shape, dtype=object)
    for place in np.ndindex(source.shape):
        made[place] = source[place]
        if isinstance(made[place], list | tuple):
            ragged = f"array(): the rows are of unequal length; at {list(place)} stands {made[place]!r}"
            raise ValueError(ragged)
        if not isinstance(made[place], Value):
            label = f"{name}[{','.join(map(str, place))}]" if name and place else name
            made[place] = Value(made[place], label)
            made[place].requires_grad = requires_grad
    result: Array = made.view(Array)
    return result


def data_of(x: Any) -> Any:
    """The numbers of one Value, an array or a nested list, as a float array of the same shape.

    >>> data_of([Value(1.0), 2.0])
    array([1., 2.])
    >>> float(data_of(Value(1.0)))
    1.0
    """
    return _floats(x, _number)


def grad_of(x: Any) -> Any:
    """The gradients of one Value, an array or a nested list, as a float array of the same shape.

    >>> w = array([2.0, 3.0], name="w")
    >>> np.sum(w * w).backward()
    >>> grad_of(w)
    array([4., 6.])

    Raises NoGradientError where a gradient has not been computed, rather than showing 0.
    """
    return _floats(x, _computed)


def _number(each: Any) -> float:
    taken(each)
    return each._data if isinstance(each, Value) else as_number(each, "data_of()")


def _computed(value: Any) -> float:
    if not isinstance(value, Value):
        raise TypeError(f"grad_of() reads the gradients of Values; {value!r} has none")
    if value.grad is None:
        reason = "call backward() first" if value.requires_grad else "it is frozen (requires_grad)"
        raise NoGradientError(f"{describe(value)} has no gradient; {reason}")
    return value.grad


def _floats(x: Any, number: Callable[[Any], float]) -> Any:
    source = np.asarray(x, dtype=object)
    floats = np.empty(source.shape)
    for place in np.ndindex(source.shape):
        floats[place] = number(source[place])
    return floats[()]


# ------------------------------------------------------------------------------ NumPy's operations
#: NumPy's names for operations that the table calls otherwise.
_OTHER_NAMES = {
    "subtract": "sub", "multiply": "mul", "divide": "div", "power": "pow", "float_power": "pow",
    "negative": "neg", "absolute": "abs", "fabs": "abs", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan",
}  # fmt: skip


def elementwise(function: Callable[..., Any], *inputs: Any) -> Any:
    """``function`` of scalars, applied with broadcasting; an Array, or a scalar where all are."""
    plain = [x.view(np.ndarray) if isinstance(x, Array) else x for x in inputs]
    with np.errstate(all="ignore"):  # a nan inside an object is no affair of NumPy's
        result = np.frompyfunc(function, len(plain), 1)(*plain)
    return result.view(Array) if isinstance(result, np.ndarray) else result


def _ufunc(ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """NumPy hands over every ufunc in which a Value or an Array takes part."""
    (out,) = options.pop("out", (None,))
    for option in ("casting", "subok"):  # np.mean gives them; they say nothing about Values
        options.pop(option, None)
    if method == "__call__" and ufunc is np.matmul and not options:
        result = _product(*inputs)
    elif method == "__call__" and ufunc is np.square and not options:
        result = elementwise(lambda x: x * x, *inputs)
    elif method == "__call__" and (name := _OTHER_NAMES.get(ufunc.__name__, ufunc.__name__)) in RULES:
        if options:
            raise TypeError(f"np.{ufunc.__name__} of Values takes no {', '.join(options)}")
        rule = RULES[name]
        result = elementwise(lambda *operands: record(rule, operands), *inputs)
    elif method == "reduce" and ufunc in (np.add, np.maximum):
        result = _reduce("sum" if ufunc is np.add else "max", *inputs, **options)
    elif method == "reduce" and ufunc is np.minimum:
        result = -_reduce("max", -inputs[0], **options)
    else:  # comparisons give plain truth values; NumPy refuses by itself what it cannot do on objects
        plain = [np.asarray(x, dtype=object).view(np.ndarray) for x in inputs]
        with np.errstate(all="ignore"):
            result = getattr(ufunc, method)(*plain, **options)
        if isinstance(result, np.ndarray) and result.dtype == object:
            result = result.view(Array)
    if out is None:
        return result
    if out.dtype != object:
        raise TypeError(
            f"an array of {out.dtype} cannot hold Values; np.{ufunc.__name__} without out= gives a new "
            "array (a = a + b instead of a += b), or make it with microbp.array"
        )
    out[...] = result
    return out


def _reduce(
    name: str, x: Any, axis: Any = 0, dtype: None = None, keepdims: bool = False, **options: Any
) -> Any:
    """``np.sum``, ``np.max`` along axes; each element of the result is one node."""
    asked = [each for each, given in options.items() if given is not True and given is not np._NoValue]
    if asked or dtype is not None:
        raise TypeError(f"np.{name} of Values takes axis and keepdims, not {', '.join(asked or ['dtype'])}")
    source = np.asarray(x, dtype=object).view(np.ndarray)
    axes = range(source.ndim) if axis is None or not source.ndim else axis
    summed = set(np.lib.array_utils.normalize_axis_tuple(axes, source.ndim))
    kept = [each for each in range(source.ndim) if each not in summed]
    moved = source.transpose(kept + sorted(summed))
    shape = moved.shape[: len(kept)]
    made = np.empty(shape, dtype=object)
    for place in np.ndindex(shape):
        made[place] = record(RULES[name], (moved[place].ravel().tolist(),))
    if keepdims:
        made = made.reshape([1 if i in summed else n for i, n in enumerate(source.shape)])
    return made.view(Array) if made.ndim else made[()]


def _dot(a: Any, b: Any) -> Any:
    """``np.dot``: the matrix product, except with a scalar or a stack of matrices on the right."""
    a, b = (np.asarray(x, dtype=object).view(np.ndarray) for x in (a, b))
    if not a.ndim or not b.ndim:
        return elementwise(lambda x, y: x * y, a, b)
    if b.ndim <= 2:
        return _product(a, b)
    side_by_side = np.moveaxis(b, -2, 0).reshape(b.shape[-2], -1)
    return _product(a, side_by_side).reshape(a.shape[:-1] + b.shape[:-2] + b.shape[-1:])


def _product(a: Any, b: Any) -> Any:
    """The matrix product, as ``np.matmul`` has it."""
    a, b = (np.asarray(x, dtype=object).view(np.ndarray) for x in (a, b))
    if not a.ndim or not b.ndim:
        raise ValueError(f"matrix product of shapes {a.shape} and {b.shape}: for a scalar write *")
    if a.ndim > 2 or b.ndim > 2:
        return _stacked(a, b)
    rows, columns = np.atleast_2d(a), (b.T if b.ndim == 2 else b[None])
    if rows.shape[1] != columns.shape[1]:
        raise ValueError(
            f"matrix product of shapes {a.shape} and {b.shape}: the inner lengths "
            f"{rows.shape[1]} and {columns.shape[1]} differ"
        )
    rule, lists = RULES["dot"], [column.tolist() for column in columns]
    made = np.empty((len(rows), len(lists)), dtype=object)
    for i, row in enumerate(rows):
        elements = row.tolist()
        for j, column in enumerate(lists):
            made[i, j] = record(rule, (elements, column, 0.0))
    made = made.reshape(a.shape[:-1] + b.shape[1:])
    return made.view(Array) if made.ndim else made[()]


def _stacked(a: Any, b: Any) -> Any:
    """Products of stacks of matrices, as ``np.matmul`` broadcasts them."""
    left, right = np.atleast_2d(a), (b if b.ndim > 1 else b[:, None])
    stack = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (np.broadcast_to(x, stack + x.shape[-2:]) for x in (left, right))
    made = np.empty((*stack, left.shape[-2], right.shape[-1]), dtype=object)
    for place in np.ndindex(stack):
        made[place] = _product(left[place], right[place])
    made = made[..., 0, :] if a.ndim == 1 else made[..., 0] if b.ndim == 1 else made
    return made.view(Array)


# A Value among arrays, or under a function of NumPy's, behaves like an array of one.
Value.__array_ufunc__ = lambda _, *call, **options: _ufunc(*call, **options)
