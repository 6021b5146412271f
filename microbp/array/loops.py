"""NumPy's loops, for arrays of Values: element by element, along axes, and products of matrices.

Here arrays are plain ndarrays of dtype object; :mod:`microbp.array` makes them of an ``Array``, and an
``Array`` of the result. A sum, a maximum and each element of a product are one node.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ma  # now, and not when np.unique first asks for it: a fork in the meantime would hang

from microbp.array.elementwise import COMPOSED, PLAIN, function_of, refusal
from microbp.record import record, recording
from microbp.recording.comparisons import compare
from microbp.recording.updates import SEEN, renewed, warn_of_steps, was_used
from microbp.rules import RULES
from microbp.value import Value

__all__ = [
    "along", "applied", "as_objects", "dot", "each", "for_update", "holds_values", "masked", "refuse_masked",
    "rows_of", "settled", "unequal",
]  # fmt: skip


def each(function: Callable[..., Any], *inputs: Any, results: int = 1) -> Any:
    """``function`` of scalars, applied with broadcasting; a scalar where all are."""
    if not any(isinstance(x, np.ndarray | list | tuple) for x in inputs):
        # NumPy's own numbers would ask NumPy, and NumPy would ask us again.
        return function(*(float(x) if isinstance(x, np.floating | np.integer) else x for x in inputs))
    with np.errstate(all="ignore"):  # a nan inside an object is no affair of NumPy's
        return np.frompyfunc(function, len(inputs), results)(*map(_objects_or_scalar, inputs))


def _objects_or_scalar(x: Any) -> Any:
    """What NumPy does not hand back to us: it would, for a Value or an Array."""
    refuse_masked(x)
    return x.view(np.ndarray) if isinstance(x, np.ndarray) else as_objects(x) if isinstance(x, Value) else x


def settled(x: Any) -> Any:
    """An array without a Value in it as plain numbers, anything else as it is."""
    if isinstance(x, float | bool):
        return np.asarray(x)[()]
    if not isinstance(x, np.ndarray) or x.dtype != object or holds_values(x):
        return x
    return np.array(x.tolist() or [], dtype=None if x.size else float).reshape(x.shape)


def holds_values(x: Any) -> bool:
    """Whether there is a Value in it; a plain list is looked through as NumPy would."""
    if isinstance(x, Value):
        return True
    if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype == object):
        return any(isinstance(each, Value) for each in as_objects(x).ravel().tolist())
    return False


def masked(x: Any) -> list[list[int]]:
    """The places of the elements that a masked array hides: NumPy gives them out all the same."""
    return np.argwhere(ma.getmaskarray(x)).tolist() if isinstance(x, ma.MaskedArray) else []


def unequal(held: Any, name: str) -> str:
    """The first row of a nested list that is not as long as the first of all, in words; empty for none.

    >>> unequal([[1, 2], [3]], "X"), unequal([[[1, 2], [3, 4]], [[5, 6], 7]], "X")
    (': X[0] has 2 entries, X[1] has 1', ': X[0][0] has 2 entries, X[1][1] is no row')
    """
    regular = isinstance(held, np.ndarray) and held.dtype != object
    rows = [] if regular or _length(held) is None else [(name, held)]
    seen = {id(row): row for _, row in rows}  # a list may hold itself
    while rows:
        lists = [(path, row.tolist() if isinstance(row, np.ndarray) else row) for path, row in rows]
        inner = [(path, at, each, _length(each)) for path, row in lists for at, each in enumerate(row)]
        for path, at, _, size in inner:
            if size != inner[0][3]:
                lone = "is no row"
                first = lone if inner[0][3] is None else f"has {inner[0][3]} entries"
                there = lone if size is None else f"has {size}" + " entries" * (first == lone)
                return f": {inner[0][0]}[0] {first}, {path}[{at}] {there}"
        rows = []
        for path, at, each, size in inner:
            if size is not None and id(each) not in seen:
                seen[id(each)] = each
                rows.append((f"{path}[{at}]", each))
    return ""


def _length(x: Any) -> int | None:
    """How many entries it has; None for what is no row."""
    return len(x) if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.ndim) else None


def refuse_masked(x: Any) -> None:
    """TypeError for an array that hides some of its elements."""
    if masked(x):
        raise TypeError(
            "an array of Values knows no masked elements: take x.compressed() for the others, x.filled(0.0) "
            "for a number in their place, or np.where(x.mask, …, …)"
        )


def as_objects(x: Any) -> Any:
    """A plain ndarray of dtype object, in which NumPy's own loops see no Array."""
    refuse_masked(x)
    return np.asarray(x, dtype=object).view(np.ndarray)


def for_update(x: Any, *others: Any) -> tuple[Any, ...]:
    """The operands of arithmetic in place, with numbers in the place of the leaves that it is to renew.

    These are the leaves that have been in a backward pass, if the other operands are plain numbers; and under
    ``no_grad()`` all leaves, whatever the others are, since nothing is recorded there.
    """
    if not recording():
        return tuple(each(lambda value: getattr(value, "_data", value), as_objects(y)) for y in (x, *others))
    if any(map(holds_values, others)):
        return x, *others
    return each(lambda value: value._data if was_used(value) else value, as_objects(x)), *others


def applied(ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
    """What a ufunc, or a method of it, makes of Values; TypeError where there is nothing to record."""
    name = ufunc.__name__
    if name in PRODUCTS and method == "__call__":
        if name == "vecdot" and "axis" in options:
            inputs = tuple(np.moveaxis(as_objects(x), options["axis"], -1) for x in inputs)
        elif options:
            raise TypeError(f"np.{name} of Values takes no {', '.join(options)}")
        return PRODUCTS[name](*inputs)
    function = function_of(name)
    if function is None:
        if name.endswith("(vectorized)"):  # np.frompyfunc, np.vectorize: the user's own function
            return getattr(ufunc, method)(*map(as_objects, inputs), **options)
        raise TypeError(refusal(name))
    if method == "reduce":
        return reduced(ufunc, function, *inputs, **options)
    if method == "accumulate":
        x, *more = inputs
        with np.errstate(all="ignore"):
            return settled(np.frompyfunc(function, 2, 1).accumulate(as_objects(x), *more, **options))
    if method == "reduceat":
        return _reduced_at(ufunc, function, *inputs, **options)
    if method == "at":
        return _applied_at(function, *inputs)
    if method == "outer":
        a, b = map(as_objects, inputs)
        inputs = (a.reshape(a.shape + (1,) * b.ndim), b)
    where = options.pop("where", True)
    if options:
        raise TypeError(f"np.{name} of Values takes no {', '.join(options)}")
    if where is not True:
        if out is None:
            raise TypeError(f"np.{name} of Values with where= needs out=, which holds the other elements")
        several, all_of = function, inputs
        function, inputs = lambda yes, old, *x: several(*x) if yes else old, (where, out, *all_of)
    result = each(function, *inputs, results=ufunc.nout)
    if name in PLAIN or name in COMPOSED:
        return tuple(map(settled, result)) if ufunc.nout > 1 else settled(result)
    if name in ("subtract", "add") and isinstance(result, np.ndarray):
        warn_of_steps(result.flat[:SEEN].tolist())
    return result


# ------------------------------------------------------------------------------- along an axis
def _together(ufunc: np.ufunc, function: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    """What a reduction makes of a list of elements."""
    name = ufunc.__name__
    if name in ("add", "maximum"):
        rule = RULES["sum" if name == "add" else "max"]
        return lambda elements: record(rule, (elements,))
    if name == "minimum":
        return lambda elements: -record(RULES["max"], ([-each for each in elements],))
    if name in ("logical_and", "logical_or"):
        decide = all if name == "logical_and" else any
        return lambda elements: decide([compare(each, "!=", 0.0) for each in elements])

    def folded(elements: list[Any]) -> Any:
        if not elements and ufunc.identity is None:
            raise ValueError(f"np.{name}.reduce of Values: the list is empty")
        return functools.reduce(function, elements) if elements else float(ufunc.identity)

    return folded


def reduced(
    ufunc: np.ufunc,
    function: Callable[..., Any],
    x: Any,
    axis: Any = 0,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """``ufunc.reduce``: ``np.sum``, ``np.max`` … along axes; a sum or maximum is one node each."""
    together = _together(ufunc, function)
    before = [] if initial is None or initial is np._NoValue else [initial]
    return settled(along(x, axis, lambda elements: together(before + elements), keepdims is True, where))


def along(
    x: Any, axis: Any, of_list: Callable[[list[Any]], Any], keepdims: bool = False, where: Any = True
) -> Any:
    """``of_list`` of the elements along the axes, for each place in the others; an element if none is."""
    source = as_objects(x)
    axes = range(source.ndim) if axis is None or not source.ndim else axis
    gone = sorted(np.lib.array_utils.normalize_axis_tuple(axes, source.ndim))
    order = [each for each in range(source.ndim) if each not in gone] + gone
    moved = source.transpose(order)
    mask = None if where is True else np.broadcast_to(where, source.shape).transpose(order)
    shape = moved.shape[: source.ndim - len(gone)]
    made = np.empty(shape, dtype=object)
    for place in np.ndindex(shape):
        elements = moved[(*place, ...)] if mask is None else moved[place][mask[place]]
        made[place] = of_list(elements.ravel().tolist())
    if keepdims:
        made = made.reshape([1 if i in gone else n for i, n in enumerate(source.shape)])
    return made if made.ndim else made[()]


def _reduced_at(ufunc: np.ufunc, function: Callable[..., Any], x: Any, indices: Any, axis: int = 0) -> Any:
    moved = np.moveaxis(as_objects(x), axis, 0)
    ends = [*map(int, indices[1:]), len(moved)]
    parts = [
        reduced(ufunc, function, moved[start:end]) if start < end else moved[start]
        for start, end in zip(map(int, indices), ends, strict=True)
    ]
    return settled(np.moveaxis(np.stack([as_objects(part) for part in parts]), 0, axis))


def _applied_at(function: Callable[..., Any], a: Any, indices: Any, *others: Any) -> None:
    """``ufunc.at``: element by element, so that a place that is listed twice is changed twice."""
    places = np.arange(a.size).reshape(a.shape)[indices]
    operands = [np.broadcast_to(as_objects(other), places.shape).ravel() for other in others]
    if a.dtype != object:
        raise TypeError(f"an array of {a.dtype} cannot hold Values; make it with microbp.array")
    before = as_objects(a).ravel()
    after, *operands = for_update(before, *operands)
    after = after.copy()
    for place, *operand in zip(places.ravel().tolist(), *operands, strict=True):
        after[place] = function(after[place], *operand)
    changed = np.unique(places)
    a.flat[changed] = renewed(before[changed], after[changed])


# -------------------------------------------------------------------------------------- products
def rows_of(x: Any) -> Any:
    """The rows along the last axis as lists: one array of them."""
    made = np.empty(x.shape[:-1], dtype=object)
    for place in np.ndindex(made.shape):
        made[place] = x[place].tolist()
    return made


def _dots(rows: Any, columns: Any) -> Any:
    """One ``dot`` for each pair of lists, with broadcasting."""
    return each(lambda w, x: record(RULES["dot"], (w, x, 0.0)), rows, columns)


def _sides(a: Any, b: Any) -> tuple[Any, Any]:
    """The rows of a and the columns of b, as lists; ValueError where they differ in length."""
    a, b = map(as_objects, (a, b))
    if not a.ndim or not b.ndim:
        raise ValueError(f"matrix product of shapes {a.shape} and {b.shape}: for a scalar write *")
    columns = b.swapaxes(-1, -2) if b.ndim > 1 else b
    if a.shape[-1] != columns.shape[-1]:
        raise ValueError(
            f"matrix product of shapes {a.shape} and {b.shape}: the inner lengths {a.shape[-1]} and "
            f"{columns.shape[-1]} differ"
        )
    return rows_of(a), rows_of(columns)


def dot(a: Any, b: Any) -> Any:
    """``np.dot``: each row of a with each column of b; with a scalar, times it."""
    a, b = map(as_objects, (a, b))
    if not a.ndim or not b.ndim:
        return each(lambda x, y: x * y, a, b)
    rows, columns = _sides(a, b)
    return _dots(rows.reshape(rows.shape + (1,) * columns.ndim), columns)


def _product(a: Any, b: Any) -> Any:
    """The matrix product, as ``np.matmul`` has it: stacks of matrices are broadcast."""
    rows, columns = _sides(a, b)
    np.broadcast_shapes(rows.shape[:-1], columns.shape[:-1])  # says which stacks do not fit
    if rows.ndim and columns.ndim:  # neither is one row
        rows, columns = rows[..., None], columns[..., None, :]
    return _dots(rows, columns)


def _row_products(a: Any, b: Any) -> Any:
    """``np.vecdot``: one ``dot`` for each pair of rows."""
    return _dots(*map(rows_of, np.broadcast_arrays(*map(as_objects, (a, b)))))


#: The ufuncs that are products of matrices or rows, by name, each as a function of two arrays.
PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "matmul": _product,
    "vecdot": _row_products,
    "matvec": lambda a, b: _product(a, as_objects(b)[..., None])[..., 0],
    "vecmat": lambda a, b: _product(as_objects(a)[..., None, :], b)[..., 0, :],
}
