"""NumPy's functions on Values, one by one: the table in docs/numpy.md, and what it cannot show."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import at_once, here

import microbp
from microbp import Value, array, data_of
from microbp.recording.comparisons import comparisons_of

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "docs" / "numpy_functions.py"
_spec = importlib.util.spec_from_file_location("numpy_table", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
table = importlib.util.module_from_spec(_spec)
sys.modules["numpy_table"] = table
_spec.loader.exec_module(table)

FUNCTIONS = {each.name: each for each in table.functions()}
RNG = np.random.default_rng(11)


def shapes_in(result: Any) -> Any:
    if isinstance(result, list | tuple):
        return [shapes_in(part) for part in result]
    return np.shape(result)


def weighted(result: Any, weights: list[float]) -> Any:
    return sum(w * each for w, each in zip(weights, table.leaves_in(result), strict=True))


#: Of one number it is 0, the corner of the square root, where no derivative is: nan.
AT_A_CORNER = {(name, kind) for name in ("std", "nanstd") for kind in ("one Value", "0-d array")}


def check_recorded(function: Any, kind: str, numbers: tuple[Any, Any]) -> None:
    """The values are NumPy's, and the gradient is the one by central differences."""
    expected = table.exact(function, kind, numbers)
    x, y = (table.KINDS[kind](each) for each in numbers)
    result = function(x, y)
    assert shapes_in(result) == shapes_in(expected)
    leaves = table.leaves_in(result)
    np.testing.assert_allclose(table.number_of(leaves), table.leaves_in(expected), rtol=1e-12, atol=1e-15)
    if (function.name, kind) in AT_A_CORNER:
        assert np.isnan(microbp.grad(leaves[0], x if isinstance(x, Value) else x[()]))
        return
    weights = RNG.uniform(0.5, 1.5, len(leaves)).tolist()
    gradients = microbp.grad(weighted(result, weights), [np.asarray(x), np.asarray(y)])
    for which, gradient in enumerate(gradients):
        for place in np.ndindex(np.shape(gradient)):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [np.array(each, dtype=float) for each in numbers]
                moved[which][place] += step
                arguments = [each[()] if each.ndim == 0 else each for each in moved]
                sides.append(weighted(table.exact(function, kind, arguments), weights))
            slope = (sides[0] - sides[1]) / 2e-6
            assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-7), (which, place)


def check_plain(function: Any, kind: str, numbers: tuple[Any, Any], result: Any) -> None:
    expected = table.exact(function, kind, numbers)
    assert shapes_in(result) == shapes_in(expected)
    assert table.leaves_in(result) == table.leaves_in(expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_of_the_table(name: str) -> None:
    function = FUNCTIONS[name]
    for kind in table.KINDS:
        check_cell(function, kind)
    check_that_one_dimension_is_treated_as_a_matrix_is(function)
    check_that_equal_numbers_and_zeros_are_treated_as_numpy_does(function)


def check_cell(function: Any, kind: str) -> None:
    numbers = table.arguments(function, kind)
    outcome = table.tried(function, kind)
    if outcome.kind == "recorded":
        check_recorded(function, kind, numbers)
    elif outcome.kind == "plain numbers":
        for other in (numbers[1], numbers[0]):  # the same numbers are equal, if they are other Values, too
            pair = (numbers[0], other)
            check_plain(function, kind, pair, table.tried(function, kind, pair).values)
    elif outcome.kind == "refused" and kind != table.PLAIN_ARRAY:
        head, _, way_out = str(outcome.error).partition("; ")
        assert head == f"np.{function.name} of Values is not recorded"
        assert way_out
    else:
        assert outcome.kind == "" or kind == table.PLAIN_ARRAY


def check_that_one_dimension_is_treated_as_a_matrix_is(function: Any) -> None:
    row = function._replace(x=function.x.ravel()[:3], y=function.y.ravel()[:3])
    kind = "`microbp.array`"
    if table.takes(row, kind):
        outcome = table.tried(row, kind)
        assert outcome.kind == table.tried(function, kind).kind
        if outcome.kind == "recorded":
            check_recorded(row, kind, (row.x, row.y))


def check_that_equal_numbers_and_zeros_are_treated_as_numpy_does(function: Any) -> None:
    kind = "`microbp.array`"
    if table.tried(function, kind).kind == "refused":
        return
    none, first, last = slice(0, 0), slice(0, 2), slice(-2, None)
    for equal, zeros in ((none, last), (first, none), (first, last)):
        x, y = function.x.copy(), function.y.copy()
        x.ravel()[equal] = y.ravel()[equal] = x.ravel()[2]
        x.ravel()[zeros] = 0.0
        try:
            exact = table.leaves_in(table.exact(function, kind, (x, y)))
            found = table.leaves_in(function(array(x), array(y)))
        except (ArithmeticError, np.linalg.LinAlgError):  # log(0), a singular matrix
            continue
        np.testing.assert_allclose(table.number_of(found), exact, rtol=1e-12, atol=1e-15)


def test_the_table_in_the_documentation_is_what_happens() -> None:
    """To the letter, with the version of NumPy that it was written by; with another, what our arrays do."""
    written, now = (ROOT / "docs" / "numpy.md").read_text(encoding="utf-8"), table.page()
    if now.splitlines()[2] == written.splitlines()[2]:
        assert written == now, "write it anew: python docs/numpy_functions.py"
    known, found = (
        dict(line.split(" | ")[:2] for line in page.splitlines() if line.startswith("| `"))
        for page in (written, now)
    )
    both = known.keys() & found.keys()
    assert {name: known[name] for name in both} == {name: found[name] for name in both}


# ---------------------------------------------------------------------------- where numbers are equal, or nan
D = np.array([0.0, 1.0, 2.0, 1.0])
N = np.array([1.0, np.nan, 3.0])


def test_in_arrays_numbers_are_compared() -> None:
    w = array(D, name="w")
    assert (w == w.max()).sum() == 1
    assert (w != 1.0).tolist() == [True, False, True, False]
    assert data_of(np.where(w == 0, 9.0, w)).tolist() == [9.0, 1.0, 2.0, 1.0]
    copied = w.copy()
    copied[copied == 0] = 9.0
    assert data_of(copied).tolist() == [9.0, 1.0, 2.0, 1.0]
    assert (1.0 in w, 5.0 in w, Value(2.0) in w) == (True, False, True)
    assert np.array_equal(w, D)
    assert np.array_equal(w, w.copy())
    assert np.equal(w, array([0.0, 0.0, 2.0, 2.0])).tolist() == [True, False, True, False]
    assert (w == None).tolist() == [False] * 4  # noqa: E711
    assert (Value(1.0) == w).tolist() == [False, True, False, True]
    assert (Value(1.0) < np.array([0.0, 2.0])).tolist() == [False, True]
    assert (Value(1.0) >= w).tolist() == [True, True, False, True]
    assert Value(1.0) != Value(1.0)


NAN_FUNCTIONS = [
    np.nanmean, np.nansum, np.nanmax, np.nanmin, np.nanstd, np.nanvar, np.nanmedian, np.nanargmax,
    np.nancumsum, np.nanprod, np.sort, np.argsort, np.argmax, np.argmin, np.max, np.min, np.sum, np.mean,
    np.median, np.isnan, np.cumsum, np.nan_to_num, np.sign, np.isfinite, np.clip, np.fmax, np.maximum, np.ptp,
]  # fmt: skip


@at_once(NAN_FUNCTIONS)
def test_a_nan_is_treated_as_numpy_does(f: Any) -> None:
    more = (0.5, 2.0) if f is np.clip else (0.0,) if isinstance(f, np.ufunc) and f.nin == 2 else ()
    result = f(array(N), *more)
    found = result if np.asarray(result).dtype == bool else data_of(result)
    np.testing.assert_array_equal(found, f(N, *more))


@pytest.mark.parametrize("ufunc", [np.minimum, np.maximum, np.fmax])
def test_an_accumulated_nan_stays(ufunc: Any) -> None:
    np.testing.assert_array_equal(data_of(ufunc.accumulate(array(N))), ufunc.accumulate(N))
    np.testing.assert_array_equal(data_of(ufunc.outer(array(N), N)), ufunc.outer(N, N))


def test_a_plain_object_array_refuses_to_pass_over_a_nan() -> None:
    plain = np.array([Value(1.0, name="a"), Value(np.nan, name="b"), Value(3.0)])
    with np.errstate(invalid="ignore"):  # NumPy's own word for a nan
        assert (plain > 2.0).tolist() == [False, False, True]
    assert not plain[1] > 2.0
    bounded, positive = (lambda p: np.clip(p, 0, 2)), (lambda p: np.maximum(0, p))
    for f in (np.max, np.min, np.sort, np.argmax, positive, bounded, max):
        with pytest.raises(microbp.UndefinedOperation, match="one is nan, and what compares them"):
            f(plain)
    with pytest.raises(microbp.UndefinedOperation) as caught:
        np.max(plain)
    line = here(1)
    assert str(caught.value) == (
        "a = 1.0 >= b = nan: one is nan, and what compares them (max(), sorted(), a function of NumPy on a "
        "plain object array) would go on as if it were not there. With microbp.array(a) in the place of a, "
        f"NumPy's functions propagate it [{line}]"
    )


def test_an_element_that_a_plain_object_array_picks_keeps_its_gradient() -> None:
    a, b = Value(1.0), Value(2.0)
    assert np.max(np.array([a, b])) is b
    y = np.sum(np.maximum(0.0, np.array([a, b])))
    assert microbp.grad(y, [a, b]) == [1.0, 1.0]


class Asked:
    """An element of a plain object array, in which NumPy's loops look up a method."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        raise AttributeError(name)


def test_a_value_has_the_methods_that_numpys_loops_over_plain_object_arrays_ask_for() -> None:
    asked, element = Asked(), np.empty(1, dtype=object)
    element[0] = asked
    for ufunc in vars(np).values():
        if isinstance(ufunc, np.ufunc):
            with contextlib.suppress(TypeError, ValueError, AttributeError):
                ufunc(*[element] * ufunc.nin)
    names = {name for name in asked.names if isinstance(getattr(np, name, None), np.ufunc)}
    assert len(names) > 30
    assert {name for name in names if not hasattr(Value, name)} == set()


# ------------------------------------------------------------------------------------------- at their edges
INF = np.inf
EDGES: dict[str, list[tuple[float, ...]]] = {
    "hypot": [(3, 4), (0, 0), (INF, 1), (INF, -INF), (np.nan, 1), (1e200, 1e200), (1e-200, 1e-200), (-3, 0)],
    "arctan2": [
        (1, -1), (-1, -1), (0, 1), (-0.0, 1), (0, -1), (-0.0, -1), (1, 0), (-1, 0), (INF, 1), (1, INF),
        (1, -INF), (np.nan, 1), (1, np.nan), (np.nan, 0), (-INF, -2), (0, -INF), (5, -0.1), (-0.1, -5),
    ],
    "arcsinh": [(0,), (1e-20,), (-0.3,), (2,), (1e300,), (-INF,), (INF,), (np.nan,), (-1e-300,)],
    "arccosh": [(1,), (1 + 1e-10,), (3,), (1e300,), (INF,), (np.nan,)],
    "arctanh": [(0,), (1e-20,), (-0.5,), (0.999,), (np.nan,)],
    "cbrt": [(0,), (-8,), (27,), (INF,), (-INF,), (np.nan,)],
    "log2": [(8,), (3,), (1e-300,), (INF,), (np.nan,)],
    "log10": [(1000,), (3,), (INF,), (np.nan,)],
    "exp2": [(3,), (-INF,), (INF,), (np.nan,), (-1080,)],
    "logaddexp": [(1, 2), (1000, 1)],
    "logaddexp2": [(1, 2), (1000, 1)],
    "fmax": [(np.nan, 1), (1, np.nan), (1, 2), (np.nan, np.nan)],
    "copysign": [(1, -0.0), (-2, 3), (np.nan, -1)],
    "heaviside": [(0, 0.5), (-1, 0.5), (2, 0.5), (np.nan, 0.5)],
    "trunc": [(-0.5,), (-2.5,), (2.5,), (0.0,), (np.nan,)],
    "rint": [(0.5,), (1.5,), (-2.5,), (np.nan,)],
    "sign": [(np.nan,), (0,), (-2,)],
}  # fmt: skip


@at_once(EDGES)
def test_the_value_at_an_edge(name: str) -> None:
    f = getattr(np, name)
    for case in EDGES[name]:
        with np.errstate(all="ignore"):
            exact = f(*map(float, case))
        result = f(*(Value(float(x)) for x in case))
        number = result.data if isinstance(result, Value) else result
        np.testing.assert_allclose(number, exact, rtol=5e-16, err_msg=str(case))


@at_once(
    [
        ("hypot", (0, 0), [0.0, 0.0]), ("hypot", (INF, 1), [1.0, 0.0]), ("hypot", (-3, 0), [-1.0, 0.0]),
        ("arctan2", (1, -INF), [0.0, 0.0]), ("arctan2", (0, -1), [-1.0, 0.0]),
        ("arctan2", (1, 0), [0.0, -1.0]),
        ("arctan2", (np.nan, 1), [np.nan, np.nan]), ("arctan2", (1, np.nan), [np.nan, np.nan]),
        ("arcsinh", (0,), [1.0]), ("arcsinh", (-INF,), [0.0]), ("arcsinh", (1e300,), [1e-300]),
        ("arccosh", (1,), [INF]), ("arccosh", (INF,), [0.0]), ("arctanh", (1e-20,), [1.0]),
        ("cbrt", (0,), [INF]), ("fmax", (np.nan, 1), [0.0, 1.0]), ("copysign", (-2, 3), [-1.0, 0.0]),
        ("log2", (INF,), [0.0]),
    ]
)  # fmt: skip
def test_the_gradient_at_an_edge(name: str, case: tuple[float, ...], slopes: list[float]) -> None:
    values = [Value(float(x)) for x in case]
    np.testing.assert_allclose(microbp.grad(getattr(np, name)(*values), values), slopes, rtol=1e-15)


def test_where_a_direction_is_none() -> None:
    for pair in ((0.0, 0.0), (INF, -INF)):
        y, x = (Value(each, name) for each, name in zip(pair, "yx", strict=True))
        with pytest.raises(microbp.UndefinedOperation) as caught:
            np.arctan2(y, x)
        line = here(1)
        assert str(caught.value) == (
            f"np.arctan2 of Values has no derivative at y = {pair[0]}, x = {pair[1]}, where the direction "
            f"depends on the way there [{line}]"
        )


# --------------------------------------------------------------------------------------- options and methods
def test_the_methods_of_an_array_agree_with_the_functions() -> None:
    m = np.arange(6.0).reshape(2, 3)[:, ::-1] + 0.25
    for name, arguments in {
        "max": (), "min": (), "sum": (), "mean": (), "var": (), "std": (), "prod": (), "cumsum": (),
        "cumprod": (), "clip": (1.0, 3.0), "argmax": (), "argmin": (1,), "argsort": (),
        "round": (), "any": (), "all": (0,),
        "trace": (), "diagonal": (), "repeat": (2,), "take": ([0],), "nonzero": (), "dot": (np.ones((3, 2)),),
        "ravel": (), "flatten": (), "swapaxes": (0, 1), "conj": (), "item": (1,), "tolist": (),
    }.items():  # fmt: skip
        result, exact = getattr(array(m), name)(*arguments), getattr(m, name)(*arguments)
        assert shapes_in(result) == shapes_in(exact)
        numbers = table.number_of(table.leaves_in(result))
        np.testing.assert_allclose(numbers, table.leaves_in(exact), rtol=1e-14)
    for options in ({"axis": 0}, {"axis": 1, "ddof": 1}, {"keepdims": True}):
        for f in (np.var, np.std, np.ndarray.var, np.ndarray.std):
            method = getattr(microbp.Array, f.__name__) if f in (np.ndarray.var, np.ndarray.std) else f
            np.testing.assert_allclose(data_of(method(array(m), **options)), f(m, **options), rtol=1e-14)
    in_place = array(m)
    in_place.sort()
    assert np.array_equal(data_of(in_place), np.sort(m))
    in_place = array(m[0])
    in_place.partition(1)
    assert in_place[1].data == 1.25


def test_a_value_does_not_leave_the_graph_in_silence() -> None:
    w = array([0.5, 1.5], name="w")
    for call, text in [
        (lambda: w.astype(float), "float() of w[0] = 0.5 would leave the graph without a trace: take "),
        (lambda: float(array(2.0)), "float() of Value(2.0) would leave the graph without a trace: take "),
        (lambda: int(array(2.0)), "int() of Value(2.0) is not clear: take math.trunc(v), or int(v.data)"),
        (lambda: np.zeros(2).__setitem__(0, w[0]), "float() of w[0] = 0.5 would leave the graph"),
    ]:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value).startswith(text)
    with pytest.raises(microbp.BranchError, match=r"^the truth of w\[0\] = 0\.5 is not defined"):
        np.where(w, 1.0, 2.0)
    assert isinstance(np.clip(Value(3.5), 0, 1), Value)


def test_the_methods_of_ufuncs() -> None:
    x, y = np.array([1.5, 0.5, 2.5, 1.0]), np.array([2.0, 3.0])
    for ufunc in (np.add, np.multiply, np.maximum, np.subtract, np.hypot):
        for result, exact in [
            (ufunc.accumulate(array(x)), ufunc.accumulate(x)),
            (ufunc.outer(array(x), y), ufunc.outer(x, y)),
            (ufunc.reduce(array(x)), ufunc.reduce(x)),
            (ufunc.reduceat(array(x), [0, 2, 1]), ufunc.reduceat(x, [0, 2, 1])),
        ]:
            np.testing.assert_allclose(data_of(result), exact, rtol=1e-15)
        values, numbers = array(x), x.copy()
        ufunc.at(values, [0, 0, 3], [0.5, 0.25, 2.0])
        ufunc.at(numbers, [0, 0, 3], [0.5, 0.25, 2.0])
        np.testing.assert_allclose(data_of(values), numbers, rtol=1e-15)
    with pytest.raises(TypeError, match=r"^an array of float64 cannot hold Values; make it with microbp"):
        np.add.at(x, [0], Value(1.0))


def test_where_and_out() -> None:
    a, out = array([1.0, 2.0, 3.0], name="a"), array([7.0, 8.0, 9.0], name="out")
    result = np.square(a, where=np.array([True, False, True]), out=out)
    assert result is out
    assert data_of(out).tolist() == [1.0, 8.0, 9.0]
    assert out[1].name == "out[1]"
    quotient, rest = np.divmod(a, 2.0, out=(np.zeros(3), array(np.zeros(3))))
    assert (quotient.tolist(), data_of(rest).tolist()) == ([0.0, 1.0, 1.0], [1.0, 0.0, 1.0])
    with pytest.raises(TypeError, match=r"^an array of float64 cannot hold Values; np\.exp without out= "):
        np.exp(a, out=np.zeros(3))


@at_once([None, 1, 2, 3, 0.5, 0, -1, INF, -INF, "fro"])
def test_norms(order: Any) -> None:
    matrix = np.array([[0.3, -2.0, 1.0], [4.0, -0.5, 2.2]])
    axes = (None, 0, 1, (0, 1), (1, 0))
    for x, axis, keepdims in product((matrix, matrix[0]), axes, (False, True)):
        try:
            exact = np.linalg.norm(x, order, axis, keepdims)
        except ValueError:
            continue
        matrices = x.ndim == 2 and not isinstance(axis, int)
        if matrices and order == 2:
            with pytest.raises(TypeError, match=r"^np\.linalg\.norm of Values has no ord=2 of a matrix: "):
                np.linalg.norm(array(x), order, axis, keepdims)
        else:
            result = np.linalg.norm(array(x), order, axis, keepdims)
            assert np.shape(result) == np.shape(exact)
            np.testing.assert_allclose(data_of(result), exact, rtol=1e-14)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
def test_statistics_along_axes(axis: Any, keepdims: bool) -> None:
    m = np.array([[0.3, -2.0, 1.0], [4.0, -0.5, 2.2]])
    for f in (np.median, np.nanmedian, np.average, np.std, np.nanvar, np.ptp, np.nanmean):
        result, exact = f(array(m), axis=axis, keepdims=keepdims), f(m, axis=axis, keepdims=keepdims)
        assert np.shape(result) == np.shape(exact)
        np.testing.assert_allclose(data_of(result), exact, rtol=1e-14)
    for q in (30, [20, 50], [[0, 100]]):
        exact = np.percentile(m, q, axis=axis, keepdims=keepdims)
        result = np.percentile(array(m), q, axis=axis, keepdims=keepdims)
        assert np.shape(result) == np.shape(exact)
        np.testing.assert_allclose(data_of(result), exact, rtol=1e-14)
    weights = np.array([1.0, 3.0])
    if axis == 0:
        result = np.average(array(m), axis=0, weights=array(weights), returned=True)
        for one, exact in zip(result, np.average(m, axis=0, weights=weights, returned=True), strict=True):
            np.testing.assert_allclose(data_of(one), exact, rtol=1e-14)


def test_what_statistics_refuse() -> None:
    a = array([1.0, 2.0])
    for call, kind, text in [
        (lambda: np.quantile(a, 0.5, method="nearest"), TypeError,
         "np.quantile of Values takes axis, keepdims and method='linear'"),
        (lambda: np.quantile(a, 2), ValueError, "quantiles lie between 0 and 1; q is 2"),
        (lambda: np.average(a, weights=[1.0]), ValueError,
         "np.average: weights of shape (1,) for (2,) along axis None"),
        (lambda: np.linalg.inv(array([[1.0, 2.0], [2.0, 4.0]])), microbp.UndefinedOperation,
         "np.linalg.inv: the matrix is singular"),
        (lambda: np.linalg.inv(a), ValueError, "np.linalg.inv takes square matrices, not the shape (2,)"),
    ]:  # fmt: skip
        with pytest.raises(kind) as caught:
            call()
        assert str(caught.value) == text


def test_stacks_of_matrices_are_solved() -> None:
    m = RNG.uniform(-1.0, 1.0, (2, 3, 3))
    for f in (np.linalg.inv, np.linalg.det):
        np.testing.assert_allclose(data_of(f(array(m))), f(m), rtol=1e-12)
    for right in (RNG.uniform(-1.0, 1.0, (2, 3, 2)), RNG.uniform(-1.0, 1.0, (3, 2))):
        solved = np.linalg.solve(array(m), right)
        np.testing.assert_allclose(data_of(solved), np.linalg.solve(m, right), rtol=1e-12)
    for part, exact in zip(np.linalg.slogdet(array(m)), np.linalg.slogdet(m), strict=True):
        np.testing.assert_allclose(data_of(part), exact, rtol=1e-12)


@pytest.mark.parametrize("shape", [(2,), (4,), (4, 2), (2, 4, 1)])
def test_a_right_side_of_another_length_is_not_solved(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"inconsistent size for core dimension 'n': {shape[-2:][0]} vs 3"):
        np.linalg.solve(array(np.eye(3)), np.ones(shape))


def test_einsum_of_all_forms() -> None:
    m, v = RNG.uniform(-1.0, 1.0, (3, 3)), RNG.uniform(-1.0, 1.0, 3)
    for text, operands, rules in [
        ("ij,jk->ki", (m, m), {"dot"}), ("ij,ij->", (m, m), {"dot"}), ("ii", (m,), {"sum"}),
        ("ij->j", (m,), {"sum"}), ("i,j", (v, v), {"mul"}), ("...j,j->...", (m, v), {"dot"}),
        ("ij,jk,k->i", (m, m, v), {"sum"}), ("ij->ji", (m,), {None}),
    ]:  # fmt: skip
        for options in ({}, {"optimize": True}):
            result = np.einsum(text, *map(array, operands), **options)
            np.testing.assert_allclose(data_of(result), np.einsum(text, *operands), rtol=1e-14)
            if not options:
                assert {each.rule and each.rule.name for each in np.ravel(result)} == rules
    with pytest.raises(TypeError, match=r"^np\.einsum of Values takes no dtype$"):
        np.einsum("ij->j", array(m), dtype=float)
    by_lists = np.einsum(array(m), [0, 1], v, [1], [0])
    np.testing.assert_allclose(data_of(by_lists), m @ v, rtol=1e-14)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("f", [np.convolve, np.correlate], ids=lambda f: f.__name__)
def test_convolutions(f: Any, mode: str) -> None:
    v, w = RNG.uniform(-1.0, 1.0, 5), RNG.uniform(-1.0, 1.0, 3)
    for left, right in ((array(v), w), (array(v), array(w)), (w, array(v))):
        exact = f(*(data_of(each) for each in (left, right)), mode)
        np.testing.assert_allclose(data_of(f(left, right, mode)), exact, rtol=1e-14)


def test_windows_are_views() -> None:
    values = array([1.0, 2.0, 3.0, 4.0])
    windows = np.lib.stride_tricks.sliding_window_view(values, 2)
    assert type(windows) is microbp.Array
    assert windows[1, 1] is values[2]


def test_functions_of_other_parts_of_numpy_are_refused_by_their_names() -> None:
    fft = "np.fft.fft of Values is not recorded; np.fft.fft(microbp.data_of(a)) gives plain numbers"
    count = "np.bincount of Values is not recorded; make out = microbp.array(np.zeros(n)), and np.add.at("
    for call, text in [
        (lambda: np.fft.fft(array(D)), fft),
        (lambda: np.bincount([0, 1, 1, 0], array(D)), f"{count}out, places, weights)"),
    ]:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == text


def test_truth_values_and_numbers_together() -> None:
    a = array(D)
    assert np.logical_and(a > 0.0, a).tolist() == [False, True, True, True]
    assert np.logical_or.reduce(a)
    assert not np.all(a)
    assert np.any(a, axis=0)
    np.testing.assert_allclose(data_of(a), D)


def test_a_user_s_own_ufunc_works_on_the_elements() -> None:
    doubled = np.vectorize(lambda x: 2.0 * x)(array(D))
    assert data_of(doubled).tolist() == [0.0, 2.0, 4.0, 2.0]


# ------------------------------------------------------------------------------------ what is remembered
CHOICES = [
    np.argmax, np.argmin, np.argsort, np.sort, np.median, np.floor, np.sign, np.isfinite, np.count_nonzero,
    np.nonzero, np.round, lambda x: x == 1.0, lambda x: np.isclose(x, 1.0), lambda x: np.isin(x, [1.0, 2.0]),
    lambda x: np.searchsorted([0.5, 1.5], x), lambda x: np.digitize(x, [0.5, 1.5]), np.cbrt, np.any,
    lambda x: x // 2, lambda x: x % 2, lambda x: np.clip(np.trunc(x), 0, 1), np.nanargmax, np.signbit,
]  # fmt: skip


@at_once(CHOICES)
def test_a_choice_by_numbers_is_remembered(f: Any) -> None:
    values = array([0.25, 1.25, 2.75])
    f(values)
    kept = [comparison for each in values for comparison, _ in comparisons_of(each)]
    assert kept
    assert all(comparison.site.startswith(__file__) for comparison in kept)


def test_compile_warns_of_a_place_that_was_chosen() -> None:
    @microbp.compile
    def largest(x: Any) -> Any:
        return x[np.argmax(x)] * 2.0

    with pytest.warns(microbp.BranchWarning) as caught:
        assert largest([1.0, 3.0, 2.0]) == 6.0
    assert any("a branch was chosen while the graph was recorded" in str(each.message) for each in caught)


def test_compile_raises_where_a_step_would_have_been_another() -> None:
    @microbp.compile(checked=True)
    def sawtooth(x: Any) -> Any:
        return x - np.floor(x)

    assert sawtooth(2.25) == 0.25
    assert sawtooth(2.75) == 0.75
    with pytest.raises(microbp.BranchChanged):
        sawtooth(3.25)
