"""NumPy's functions of whole arrays: for each, what it does with Values.

Most are NumPy's own code, which rearranges the elements or calls functions that are recorded. What NumPy
computes by comparing elements has code here: the numbers decide, the elements are recorded, and the decision
is remembered as comparisons are. A function that stands nowhere is refused. ``docs/numpy.md`` shows them all.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from microbp.array import ROUTINES, Array, as_arrays, data_of, elementwise, numpys_own
from microbp.array.elementwise import REFUSED
from microbp.array.loops import along, as_objects, dot, settled
from microbp.errors import UndefinedOperation
from microbp.recording.comparisons import compare, stepped
from microbp.value import Value

__all__: list[str] = []

#: NumPy's own code is right: it rearranges, asks for shapes and types, or is composed of what is recorded.
_NUMPYS_OWN = """
append apply_along_axis array_split atleast_1d atleast_2d atleast_3d block broadcast_arrays broadcast_to
choose column_stack compress concatenate copy copyto delete diag diagflat diagonal dsplit dstack empty_like
expand_dims extract fill_diagonal flip fliplr flipud full_like hsplit hstack insert matrix_transpose
meshgrid moveaxis ones_like pad place put put_along_axis putmask ravel repeat reshape resize roll rollaxis
rot90 select split squeeze stack swapaxes take take_along_axis tile transpose tril triu unstack vsplit
vstack where zeros_like linalg.diagonal linalg.matrix_transpose lib.stride_tricks.as_strided
lib.stride_tricks.sliding_window_view

array2string array_repr array_str astype can_cast common_type iscomplexobj isrealobj may_share_memory
min_scalar_type ndim result_type save savez savez_compressed shape shares_memory size

all allclose amax amin angle any clip cross cumprod cumsum cumulative_prod cumulative_sum diff ediff1d
einsum_path fix imag iscomplex isneginf isposinf isreal kron linspace max mean min nancumprod nancumsum
nanmax nanmean nanmin nanprod nanstd nansum nanvar outer piecewise prod ptp real real_if_close sum tensordot
trace trapezoid vander linalg.cross linalg.matmul linalg.matrix_norm linalg.matrix_power linalg.multi_dot
linalg.outer linalg.tensordot linalg.trace linalg.vecdot linalg.vector_norm
"""

_BY_LAPACK = "cholesky cond eig eigh eigvals eigvalsh lstsq matrix_rank pinv qr svd svdvals"
_DECOMPOSED = (
    "its derivative is not that of a composition of recorded operations; np.{name}(microbp.data_of(a)) gives "
    "plain numbers, and microbp.define adds an operation of your own"
)
REFUSED |= {
    "gradient": "write the differences: (a[2:] - a[:-2]) / 2",
    "bincount": "make out = microbp.array(np.zeros(n)), and np.add.at(out, places, weights)",
    "trim_zeros": "cut by places: a[np.flatnonzero(a)[0]:]",
    "interp": "find the piece with np.searchsorted(x, a), and write its line",
    "cov": "write d = a - a.mean(axis=1, keepdims=True) and d @ d.T / (a.shape[1] - 1)",
    "corrcoef": "write d = a - a.mean(axis=1, keepdims=True) and divide d @ d.T by its diagonal's roots",
    "linalg.tensorinv": "reshape to a matrix, and take np.linalg.inv",
    "linalg.tensorsolve": "reshape to a matrix, and take np.linalg.solve",
    "apply_over_axes": "call the function with axis=",
    **{f"linalg.{name}": _DECOMPOSED.format(name=f"linalg.{name}") for name in _BY_LAPACK.split()},
}


def _numbers(x: Any) -> Any:
    return data_of(as_objects(x))


# --------------------------------------------------------------------------------- order and choice
def _remember_order(x: Any, order: Any, axis: int) -> None:
    """The numbers along an axis stand in this order: remembered for neighbours."""
    ordered = np.take_along_axis(as_objects(x), order, axis)
    before, after = (np.moveaxis(ordered, axis, 0)[part] for part in (slice(-1), slice(1, None)))
    elementwise(lambda left, right: compare(left, "<=", right), before, after)


def _in_order(x: Any, axis: int | None) -> tuple[Any, int]:
    x = as_objects(x)
    return (x.ravel(), 0) if axis is None else (x, axis)


def _argsort(a: Any, axis: int | None = -1, **options: Any) -> Any:
    x, axis = _in_order(a, axis)
    order = np.argsort(_numbers(x), axis, **options)
    if x.ndim:
        _remember_order(x, order, axis)
    return order


def _sort(a: Any, axis: int | None = -1, **options: Any) -> Any:
    x, axis = _in_order(a, axis)
    return np.take_along_axis(x, _argsort(x, axis, **options), axis)


def _argpartition(a: Any, kth: Any, axis: int | None = -1, **options: Any) -> Any:
    x, axis = _in_order(a, axis)
    _remember_order(x, np.argsort(_numbers(x), axis), axis)
    return np.argpartition(_numbers(x), kth, axis, **options)


def _partition(a: Any, kth: Any, axis: int | None = -1, **options: Any) -> Any:
    x, axis = _in_order(a, axis)
    return np.take_along_axis(x, _argpartition(x, kth, axis, **options), axis)


def _lexsort(keys: Any, axis: int = -1) -> Any:
    for key in keys:
        _argsort(key, axis)
    return np.lexsort([_numbers(key) for key in keys], axis)


def _chosen(name: str, sign: str) -> Callable[..., Any]:
    """``argmax`` and its kin: the place of one element, to which all others are compared."""

    def place_of(a: Any, axis: int | None = None, out: Any = None, *, keepdims: Any = False) -> Any:
        x = as_objects(a)
        places = getattr(np, name)(_numbers(x), axis, out, keepdims=keepdims is True)
        flat, line = (x.reshape(1, -1), 1) if axis is None or not x.ndim else (x, axis % x.ndim)
        picked = np.reshape(places, [1 if i == line else n for i, n in enumerate(flat.shape)])
        best = np.take_along_axis(flat, picked, line)
        elementwise(lambda one, other: one is other or compare(one, sign, other), best, flat)
        return places

    return place_of


def _slot(x: Any, ends: Any, index: int, left: str, right: str) -> int:
    """``x`` stands before the end with this index and after the one before it."""
    if index > 0:
        compare(x, right, ends[index - 1])
    if index < len(ends):
        compare(x, left, ends[index])
    return index


def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    ends = as_objects(a) if sorter is None else as_objects(a)[sorter]
    found = np.searchsorted(_numbers(ends), _numbers(v), side)  # type: ignore[call-overload]
    left, right = ("<=", ">") if side == "left" else ("<", ">=")
    elementwise(lambda x, index: _slot(x, ends, index, left, right), as_objects(v), found)
    return found


def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    ends = as_objects(bins)
    if len(ends) > 1 and _numbers(ends)[0] > _numbers(ends)[-1]:
        return len(ends) - _searchsorted(ends[::-1], x, "right" if right else "left")
    return _searchsorted(ends, x, "left" if right else "right")


def _isclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    def near(x: Any, y: float) -> None:
        if isinstance(x, Value):
            bound = atol + rtol * abs(y)
            stepped(x, (">=", y - bound), ("<=", y + bound))

    elementwise(near, as_objects(a), _numbers(b))
    elementwise(near, as_objects(b), _numbers(a))
    return np.isclose(_numbers(a), _numbers(b), rtol, atol, equal_nan)


def _isin(element: Any, test_elements: Any, **options: Any) -> Any:
    x, tests = np.asanyarray(as_arrays(element)), np.asanyarray(as_arrays(test_elements)).ravel()
    found = np.any(x[..., None] == tests, axis=-1)
    return ~found if options.get("invert") else found


def _array_equal(a: Any, b: Any, equal_nan: bool = False) -> bool:
    x, y = map(as_arrays, (a, b))
    if np.shape(x) != np.shape(y):
        return False
    same = np.equal(x, y)
    return bool(np.all(same | (np.isnan(x) & np.isnan(y)) if equal_nan else same))


def _array_equiv(a: Any, b: Any) -> bool:
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        return False
    return bool(np.all(np.equal(as_arrays(a), as_arrays(b))))


def _where_not_0(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the places at which there is no 0."""
    return lambda a, *args, **options: function(np.not_equal(as_arrays(a), 0.0), *args, **options)


# -------------------------------------------------------------------------------------- statistics
def _of_sorted(elements: list[Any], at: float) -> Any:
    """The number at a place of the sorted list, between two on the line through both; nan if one is."""
    if not elements:
        return math.nan
    ordered: list[Any] = _sort(np.array(elements, dtype=object)).tolist()
    if math.isnan(_numbers(ordered[-1])):
        return ordered[-1] + math.nan
    place = at * (len(ordered) - 1)
    low = math.floor(place)
    if place == low:
        return ordered[low]
    return ordered[low] * (low + 1 - place) + ordered[low + 1] * (place - low)


def _quantile(scale: float, no_nan: bool, a: Any, q: Any, axis: Any = None, **options: Any) -> Any:
    """``np.quantile``, ``np.percentile`` and without nan, by the method "linear"."""
    keepdims = options.pop("keepdims", False) is True
    method = options.pop("method", "linear")
    asked = [each for each in options.values() if each is not None and each is not False]
    if method != "linear" or asked:
        raise TypeError("np.quantile of Values takes axis, keepdims and method='linear'")
    places = np.asarray(q, dtype=float)
    if not np.all((places >= 0.0) & (places <= scale)):
        raise ValueError(f"quantiles lie between 0 and {scale:g}; q is {q!r}")

    def at(place: float) -> Any:
        def one(elements: list[Any]) -> Any:
            kept = [each for each in elements if not np.isnan(each)] if no_nan else elements
            return _of_sorted(kept, place / scale)

        return as_objects(along(a, axis, one, keepdims))

    made = np.stack([at(place) for place in places.ravel().tolist()])
    return settled(made.reshape(places.shape + made.shape[1:]))[()]


def _median(no_nan: bool, a: Any, axis: Any = None, **options: Any) -> Any:
    return _quantile(1.0, no_nan, a, 0.5, axis, **options)


def _as_row(name: str) -> Callable[..., Any]:
    """NumPy's own code, which has no place for a Value alone: an array of one has the same result."""

    def of_row(a: Any, *args: Any, **options: Any) -> Any:
        if "correction" in options:
            if options.get("ddof"):
                raise ValueError("ddof and correction are two names of one thing; give one of them")
            options["ddof"] = options.pop("correction")
        row = np.atleast_1d(np.asanyarray(as_arrays(a)))
        return getattr(np.ndarray, name)(row, *args, **options)

    return of_row


def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, **keep: Any) -> Any:
    """Σ w·a / Σ w; weights of one dimension belong to the axis."""
    a = np.asanyarray(as_arrays(a))
    w = np.ones(a.shape) if weights is None else np.asanyarray(as_arrays(weights))
    if w.shape != a.shape:
        axes = np.lib.array_utils.normalize_axis_tuple(axis, a.ndim) if axis is not None else ()
        if w.shape != tuple(a.shape[each] for each in axes):
            raise ValueError(f"np.average: weights of shape {w.shape} for {a.shape} along axis {axis}")
        w = np.broadcast_to(w.reshape([n if i in axes else 1 for i, n in enumerate(a.shape)]), a.shape)
    total = np.sum(w, axis, **keep)
    mean = np.sum(a if weights is None else a * w, axis, **keep) / total
    return (mean, total) if returned else mean


def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    half = 0.5 * 10.0**-decimals

    def rounded(x: Any) -> Any:
        y = np.round(_numbers(x), decimals)
        stepped(x, ("<", y - half), ("<=", y + half))
        return y

    made = settled(elementwise(rounded, as_objects(a)))
    if out is not None:
        out[...] = made
    return made if out is None else out


def _nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    largest = np.finfo(float).max
    high, low = largest if posinf is None else posinf, -largest if neginf is None else neginf

    def of(each: Any) -> Any:
        if compare(each, "!=", each):
            return nan
        return high if compare(each, "==", math.inf) else low if compare(each, "==", -math.inf) else each

    made = elementwise(of, as_objects(x))
    if copy:
        return made
    x[...] = made
    return x


# ---------------------------------------------------------------------------------- linear algebra
class _Terms:
    """A sum of products, as NumPy's own loops put it together; recorded as one node."""

    def __init__(self, products: list[tuple[Any, ...]]) -> None:
        self.products = products

    def __mul__(self, other: _Terms) -> _Terms:
        return _Terms([left + right for left in self.products for right in other.products])

    def __add__(self, other: _Terms) -> _Terms:
        return _Terms(self.products + other.products)

    def __radd__(self, _zero: int) -> _Terms:
        return self

    def conjugate(self) -> _Terms:
        return self

    def recorded(self) -> Any:
        if len(self.products) > 1 and all(len(factors) == 2 for factors in self.products):
            return dot(*zip(*self.products, strict=True))
        elements = [functools.reduce(operator.mul, factors) for factors in self.products]
        return elements[0] if len(elements) == 1 else np.sum(np.array(elements, dtype=object).view(Array))


def _by_terms(function: Any) -> Callable[..., Any]:
    """A function that only multiplies and adds: each element of the result is one node."""

    def of_terms(*args: Any, **options: Any) -> Any:
        strange = sorted(options.keys() - {"optimize", "mode"})
        if strange:
            raise TypeError(f"np.{function.__name__} of Values takes no {', '.join(strange)}")
        as_terms = np.frompyfunc(lambda x: _Terms([(x,)]), 1, 1)
        lists: Any = ()  # of axes, in np.einsum(a, [0, 1], b, [1], [0])
        if function is np.einsum and not isinstance(args[0], str):
            lists = (*range(1, len(args), 2), *range(len(args) - len(args) % 2, len(args)))
        operands = [
            x if isinstance(x, str) or place in lists else np.asarray(as_terms(as_objects(x)), dtype=object)
            for place, x in enumerate(args)
        ]
        made = np.asarray(function(*operands, **options), dtype=object)
        return elementwise(lambda terms: terms.recorded() if isinstance(terms, _Terms) else 0.0, made)

    return of_terms


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    if out is None:
        return dot(a, b)
    out[...] = dot(a, b)
    return out


def _inner(a: Any, b: Any) -> Any:
    a, b = map(as_objects, (a, b))
    if not a.ndim or not b.ndim:
        return dot(a, b)
    return dot(a, np.moveaxis(b, -1, 0 if b.ndim < 2 else -2))


def _vector_norm(x: Any, order: Any, **along_axis: Any) -> Any:
    if order in (None, 2):
        return np.sqrt(np.sum(x * x, **along_axis))
    if order == 0:
        return np.sum(np.not_equal(x, 0.0), **along_axis).astype(float)
    if order in (math.inf, -math.inf):
        return (np.max if order > 0 else np.min)(np.abs(x), **along_axis)
    powers = np.abs(x) ** order if order != 1 else np.abs(x)
    return np.sum(powers, **along_axis) ** (1.0 / order) if order != 1 else np.sum(powers, **along_axis)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    """``np.linalg.norm``; the orders that are singular values are refused."""
    x = np.asanyarray(as_arrays(x))
    if axis is None and (ord is None or x.ndim == 1):
        norm = _vector_norm(np.ravel(x), ord)
        return np.reshape(np.array(norm, dtype=object), (1,) * x.ndim) if keepdims else norm
    axes = np.lib.array_utils.normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    if len(axes) == 1:
        return _vector_norm(x, ord, axis=axes[0], keepdims=keepdims)
    if ord in (None, "fro", "f"):
        return _vector_norm(x, 2, axis=axes, keepdims=keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise TypeError(f"np.linalg.norm of Values has no ord={ord!r} of a matrix: {REFUSED['linalg.svd']}")
    summed, chosen = axes if abs(ord) == 1 else axes[::-1]
    sums = np.sum(np.abs(x), axis=summed, keepdims=True)
    best = (np.max if ord > 0 else np.min)(sums, axis=chosen, keepdims=True)
    return best if keepdims else np.squeeze(best, axes)[()]


def _eliminated(a: Any, b: Any, name: str) -> tuple[Any, list[Any], float]:
    """Gauss–Jordan elimination of one matrix, the pivots chosen by their numbers: x, pivots, sign.

    Any order of pivots that are not 0 gives the same x, so that the choice is none that counts.
    """
    rows, right, n = as_objects(a).copy(), as_objects(b).copy(), len(a)
    pivots, sign = [], 1.0
    for i in range(n):
        best = i + int(np.argmax(np.abs(_numbers(rows[i:, i]))))
        if not _numbers(rows[best, i]):
            raise UndefinedOperation(f"np.linalg.{name}: the matrix is singular", name, (), "")
        if best != i:
            rows[[i, best]], right[[i, best]], sign = rows[[best, i]], right[[best, i]], -sign
        pivots.append(rows[i, i])
        for j in range(n):
            if j == i:
                continue
            factor = rows[j, i] / rows[i, i]
            rows[j, i + 1 :] = rows[j, i + 1 :] - factor * rows[i, i + 1 :]
            right[j] = right[j] - factor * right[i]
    for i in range(n):
        right[i] = right[i] / pivots[i]
    return right, pivots, sign


def _each_matrix(name: str, of: Callable[..., Any], signature: str) -> Callable[..., Any]:
    """A function of one square matrix (and more) for stacks of them, which are broadcast."""
    stacked = np.vectorize(of, otypes="O" * signature.partition("->")[2].count("("), signature=signature)

    def of_stacks(a: Any, *more: Any) -> Any:
        a = as_objects(a)
        if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
            raise ValueError(f"np.linalg.{name} takes square matrices, not the shape {a.shape}")
        made = stacked(a, *map(as_objects, more))
        return tuple(each[()] for each in made) if isinstance(made, tuple) else made[()]

    return of_stacks


def _det(a: Any) -> Any:
    try:
        _, pivots, sign = _eliminated(a, np.zeros((len(a), 0)), "det")
    except UndefinedOperation:
        raise UndefinedOperation(
            "np.linalg.det of Values is computed by elimination, which a singular matrix ends: write the "
            "determinant out",
            "det",
            (),
            "",
        ) from None
    return np.multiply.reduce(np.array(pivots, dtype=object).view(Array)) * sign


def _slogdet(a: Any) -> tuple[Any, Any]:
    _, pivots, sign = _eliminated(a, np.zeros((len(a), 0)), "slogdet")
    row = np.array(pivots, dtype=object).view(Array)
    return sign * float(np.prod(np.sign(row))), np.sum(np.log(np.abs(row)))


def _solve(a: Any, b: Any) -> Any:
    side = "(n)" if np.ndim(b) == 1 else "(n,k)"
    solved = _each_matrix("solve", lambda m, r: _eliminated(m, r, "solve")[0], f"(n,n),{side}->{side}")
    return solved(a, b)


# --------------------------------------------------------------------------------------- the table
def _table() -> dict[str, Callable[..., Any]]:
    own = {}
    for name in _NUMPYS_OWN.split():
        with suppress(AttributeError):  # a version of NumPy without it
            own[name] = partial(numpys_own, operator.attrgetter(name)(np))
    return own | {
        "argmax": _chosen("argmax", ">="),
        "argmin": _chosen("argmin", "<="),
        "nanargmax": _chosen("nanargmax", ">="),
        "nanargmin": _chosen("nanargmin", "<="),
        "argsort": _argsort,
        "sort": _sort,
        "argpartition": _argpartition,
        "partition": _partition,
        "lexsort": _lexsort,
        "searchsorted": _searchsorted,
        "digitize": _digitize,
        "isclose": _isclose,
        "array_equal": _array_equal,
        "array_equiv": _array_equiv,
        "nan_to_num": _nan_to_num,
        "isin": _isin,
        "nonzero": _where_not_0(np.nonzero),
        "flatnonzero": _where_not_0(np.flatnonzero),
        "argwhere": _where_not_0(np.argwhere),
        "count_nonzero": _where_not_0(np.count_nonzero),
        "median": partial(_median, False),
        "nanmedian": partial(_median, True),
        "quantile": partial(_quantile, 1.0, False),
        "nanquantile": partial(_quantile, 1.0, True),
        "percentile": partial(_quantile, 100.0, False),
        "nanpercentile": partial(_quantile, 100.0, True),
        "average": _average,
        "var": _as_row("var"),
        "std": _as_row("std"),
        "round": _round,
        "around": _round,
        "dot": _dot,
        "einsum": _by_terms(np.einsum),
        "convolve": _by_terms(np.convolve),
        "correlate": _by_terms(np.correlate),
        "inner": _inner,
        "vdot": lambda a, b: dot(np.ravel(as_objects(a)), np.ravel(as_objects(b))),
        "linalg.norm": _norm,
        "linalg.solve": _solve,
        "linalg.inv": _each_matrix(
            "inv", lambda a: _eliminated(a, np.eye(len(a)), "inv")[0], "(n,n)->(n,n)"
        ),
        "linalg.det": _each_matrix("det", _det, "(n,n)->()"),
        "linalg.slogdet": _each_matrix("slogdet", _slogdet, "(n,n)->(),()"),
    }


ROUTINES.update(_table())

