"""Arrays of Values: NumPy's own functions record every scalar."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_once

import microbp
from microbp import Array, Graph, NoGradientError, UndefinedOperation, Value, array, data_of, grad_of
from microbp.node import backward_order

RNG = np.random.default_rng(5)
W = RNG.uniform(-1.0, 1.0, (2, 3))
X = RNG.uniform(-1.0, 1.0, (3, 4))


def rules_of(a: Any) -> set[str | None]:
    return {each.rule and each.rule.name for each in np.ravel(a)}


# ------------------------------------------------------------------------------- making arrays
def test_an_array_of_numbers_is_an_array_of_named_leaves() -> None:
    w = array([[0.1, 0.8, -1], [0.4, 0.6, np.float32(2)]], name="W")
    assert isinstance(w, Array)
    assert isinstance(w, np.ndarray)
    assert (w.shape, w.dtype) == ((2, 3), np.dtype(object))
    assert [v.name for v in w.ravel()] == ["W[0,0]", "W[0,1]", "W[0,2]", "W[1,0]", "W[1,1]", "W[1,2]"]
    assert all(type(v) is Value and type(v.data) is float and v.is_leaf for v in w.ravel())
    assert data_of(w).tolist() == [[0.1, 0.8, -1.0], [0.4, 0.6, 2.0]]


@pytest.mark.parametrize("x", [[1.0, 2.0], (1, 2), np.array([1, 2]), np.array([1.0, 2.0]), range(1, 3)])
def test_arrays_are_made_of_any_sequence(x: Any) -> None:
    assert data_of(array(x)).tolist() == [1.0, 2.0]
    assert [v.name for v in array(x)] == [None, None]


def test_arrays_of_other_dimensions() -> None:
    assert array(2.0, name="b")[()].name == "b"
    assert array(np.zeros((2, 1, 2)), name="T")[1, 0, 1].name == "T[1,0,1]"
    assert array([]).shape == (0,)


def test_values_are_kept_and_keep_their_names() -> None:
    x = Value(3.0, name="x")
    y = x * 2.0
    a = array([[x, 1.0], [y, x]], name="a")
    assert (a[0, 0], a[1, 0], a[1, 1]) == (x, y, x)
    assert [v.name for v in a.ravel()] == ["x", "a[0,1]", None, "x"]
    assert array(a)[0, 0] is x
    assert array(a) is not a


def test_an_array_of_constants() -> None:
    x = array([1.0, 2.0], name="x", requires_grad=False)
    w = array([3.0, 4.0], name="w")
    (w @ x).backward()
    assert grad_of(w).tolist() == [1.0, 2.0]
    assert [v.requires_grad for v in x] == [False, False]
    with pytest.raises(NoGradientError) as caught:
        grad_of(x)
    assert str(caught.value) == "x[0] = 1.0 has no gradient; it is frozen (requires_grad)"


def test_rows_of_unequal_length_are_refused() -> None:
    ragged = r"^array\(\): the rows are of unequal length: x\[0\] has 1 entries, x\[1\] has 2$"
    with pytest.raises(ValueError, match=ragged):
        array([[1.0], [2.0, 3.0]])
    with pytest.raises(ValueError, match=r"of unequal length: W\[0\] is no row, W\[1\] has 1 entries$"):
        array([1.0, [2.0]], name="W")


@pytest.mark.parametrize("x", ["ab", [["3"]], [None, 1.0], [True], [1j], {"a": 1.0}])
def test_elements_that_are_no_numbers_are_refused(x: Any) -> None:
    with pytest.raises(TypeError, match=r"^Value\(\) takes a real number, not "):
        array(x)


# ----------------------------------------------------------------------------- reading arrays
def test_data_of_values_arrays_and_nested_lists() -> None:
    x = Value(2.0)
    assert data_of(x) == 2.0
    assert type(float(data_of(x))) is float
    assert data_of([[x, 1], [np.float32(0.5), x]]).tolist() == [[2.0, 1.0], [0.5, 2.0]]
    assert data_of(array(W)).dtype == np.float64
    assert np.array_equal(data_of(array(W)), W)
    assert np.array_equal(data_of(W), W)
    assert np.array_equal(data_of([array(W), array(W)]), [W, W])
    assert data_of([]).shape == (0,)


@pytest.mark.parametrize("x", ["3", ["3"], [[1.0], [1.0, 2.0]], [None], [1j]])
def test_data_of_what_is_no_number_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match=r"^data_of\(\) takes a real number, not "):
        data_of(x)


def test_grad_of_values_arrays_and_nested_lists() -> None:
    w = array([[1.0, 2.0], [3.0, 4.0]], name="w")
    np.sum(w * w).backward()
    assert grad_of(w).tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert grad_of(w).dtype == np.float64
    assert grad_of([w[0, 0], [w[1, 1]][0]]).tolist() == [2.0, 8.0]
    assert grad_of(w[1, 0]) == 6.0
    assert grad_of(w.T).tolist() == [[2.0, 6.0], [4.0, 8.0]]


def test_a_gradient_that_was_not_computed_is_an_error_not_0() -> None:
    w = array([1.0, 2.0], name="w")
    w[0].backward()
    with pytest.raises(NoGradientError) as caught:
        grad_of(w)
    assert str(caught.value) == "w[1] = 2.0 has no gradient; call backward() first"
    for number in (3.0, [w[0], 3.0]):
        with pytest.raises(TypeError, match=r"^grad_of\(\) reads the gradients of Values; 3.0 has none$"):
            grad_of(number)


# -------------------------------------------------------------------------- element by element
UFUNCS: list[tuple[Any, str, int]] = [
    (np.add, "add", 2), (np.subtract, "sub", 2), (np.multiply, "mul", 2), (np.divide, "div", 2),
    (np.true_divide, "div", 2), (np.power, "pow", 2), (np.float_power, "pow", 2),
    (np.maximum, "maximum", 2), (np.minimum, "minimum", 2), (np.negative, "neg", 1),
    (np.absolute, "abs", 1), (np.abs, "abs", 1), (np.fabs, "abs", 1), (np.exp, "exp", 1),
    (np.expm1, "expm1", 1), (np.log, "log", 1), (np.log1p, "log1p", 1), (np.sqrt, "sqrt", 1),
    (np.square, "mul", 1), (np.reciprocal, "div", 1), (np.sin, "sin", 1), (np.cos, "cos", 1),
    (np.tan, "tan", 1), (np.arcsin, "asin", 1), (np.arccos, "acos", 1), (np.arctan, "atan", 1),
    (np.sinh, "sinh", 1), (np.cosh, "cosh", 1), (np.tanh, "tanh", 1),
]  # fmt: skip


@at_once(UFUNCS)
def test_a_function_of_numpy_records_its_operation(ufunc: Any, rule: str, count: int) -> None:
    numbers = RNG.uniform(0.1, 0.9, (2, 3)), RNG.uniform(0.1, 0.9, 3)
    values = tuple(array(x) for x in numbers)
    result = ufunc(*values[:count])
    assert type(result) is Array
    assert rules_of(result) == {rule}
    np.testing.assert_allclose(data_of(result), ufunc(*numbers[:count]), rtol=4e-16)
    scalar = ufunc(*(v.ravel()[0] for v in values[:count]))
    assert type(scalar) is Value
    assert scalar.data == result[0, 0].data
    if count == 2:
        for mixed in (ufunc(values[0], numbers[1]), ufunc(numbers[0], values[1]), ufunc(values[0], 0.5)):
            assert type(mixed) is Array
            assert rules_of(mixed) == {rule}
        assert data_of(ufunc(numbers[0], values[1])).tolist() == data_of(result).tolist()


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b, "pow": lambda a, b: a**b,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_broadcast_on_either_side(name: str) -> None:
    apply = OPERATORS[name]
    a, b = RNG.uniform(0.5, 2.0, (2, 3)), RNG.uniform(0.5, 2.0, (2, 1))
    exact = apply(a, b)
    for left, right in [(array(a), array(b)), (array(a), b), (a, array(b))]:
        result = apply(left, right)
        assert type(result) is Array
        assert rules_of(result) == {name}
        np.testing.assert_allclose(data_of(result), exact, rtol=4e-16)
    for scalar in (1.5, 2, np.float64(1.5), np.float32(1.5), np.array(1.5), Value(1.5)):
        number = float(scalar.data) if isinstance(scalar, Value) else float(scalar)
        for result, numbers in [
            (apply(array(a), scalar), apply(a, number)),
            (apply(scalar, array(a)), apply(number, a)),
        ]:
            assert type(result) is Array
            assert rules_of(result) == {name}
            np.testing.assert_allclose(data_of(result), numbers, rtol=4e-16)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_value_among_numpy_numbers_and_arrays(name: str) -> None:
    apply, v = OPERATORS[name], Value(2.0, name="v")
    for number in (np.float64(3), np.float32(3), np.float16(3), np.int64(3), np.uint8(3), np.array(3.0)):
        for result, exact in ((apply(v, number), apply(2.0, 3.0)), (apply(number, v), apply(3.0, 2.0))):
            assert type(result) is Value
            assert rules_of(result) == {name}
            assert result.data == exact
            assert v in result.operands
    floats = np.array([[1.0, 2.0], [3.0, 4.0]])
    for result, exact in ((apply(v, floats), apply(2.0, floats)), (apply(floats, v), apply(floats, 2.0))):
        assert type(result) is Array
        assert np.array_equal(data_of(result), exact)
        assert all(v in each.operands for each in result.ravel())


@pytest.mark.parametrize("thing", [np.bool_(True), np.complex128(1), np.array([True]), np.array(["a"])])
def test_what_numpy_holds_beside_real_numbers_is_refused(thing: Any) -> None:
    for call in (lambda: Value(1.0) * thing, lambda: thing * Value(1.0), lambda: array([1.0]) * thing):
        with pytest.raises(TypeError, match=r"^mul\(a, b\) takes a real number, not "):
            call()


def test_gradients_through_broadcasting_add_up() -> None:
    a, b, v = array(np.ones((2, 3)), name="a"), array([[2.0], [3.0]], name="b"), Value(0.5)
    np.sum(a * b + v).backward()
    assert grad_of(a).tolist() == [[2.0] * 3, [3.0] * 3]
    assert grad_of(b).tolist() == [[3.0], [3.0]]
    assert v.grad == 6.0


def test_comparisons_give_plain_truth_values() -> None:
    a, b = array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    for compare in (np.less, np.less_equal, np.greater, np.greater_equal):
        for left, right in ((a, b), (b, a), (a, Value(2.0)), (2.0, a)):
            mask = compare(left, right)
            assert mask.dtype == bool
            assert np.array_equal(mask, compare(data_of(left), data_of(right)))
    assert (a > 1.5).tolist() == [False, True, True]
    assert [v.data for v in a[a > 1.5]] == [2.0, 3.0]


def test_rectifiers() -> None:
    a = array([-1.0, 2.0], name="a")
    y = np.sum(np.maximum(0, a) + np.maximum(a, 0.0) + np.minimum(a, 0.0))
    y.backward()
    assert (y.data, grad_of(a).tolist()) == (3.0, [1.0, 2.0])
    clipped = np.clip(a, -0.5, 0.5)
    assert rules_of(clipped) == {"clip"}
    assert data_of(clipped).tolist() == [-0.5, 0.5]


def test_a_choice_by_a_mask_stays_an_array() -> None:
    a = array([-1.0, 2.0], name="a")
    chosen = np.where(data_of(a) > 0, a, 0.0)
    assert type(chosen) is Array
    y = np.sum(np.exp(chosen))
    y.backward()
    assert y.data == 1.0 + math.exp(2.0)
    assert (a[0].grad, a[1].grad) == (None, math.exp(2.0))


def test_a_function_without_an_operation_says_so() -> None:
    a = array([1.0, 2.0])
    bits = "Values are real numbers and have no bits; for truth values compare first, (a > 0) & (b > 0)"
    plain = "np.spacing of Values is not recorded; np.spacing(microbp.data_of(a)) gives plain numbers"
    line = "find the piece with np.searchsorted(x, a), and write its line"
    needs = "np.exp of Values with where= needs out=, which holds the other elements"
    for call, text in [
        (lambda: np.spacing(a), plain),
        (lambda: np.histogram(a), plain.replace("spacing", "histogram")),
        (lambda: a & a, f"np.bitwise_and of Values is not recorded; {bits}"),
        (lambda: np.interp(a, [0.0, 1.0], [2.0, 3.0]), f"np.interp of Values is not recorded; {line}"),
        (lambda: np.exp(a, where=np.array([True, False])), needs),
        (lambda: np.add(a, a, dtype=np.float32), "np.add of Values takes no dtype=float32"),
        (lambda: np.add(a, a, dtype=bool), "np.add of Values takes no dtype=bool"),
        (lambda: np.add(a, a, signature="dd->d"), "np.add of Values takes no signature"),
    ]:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == text


def test_an_undefined_element_is_named() -> None:
    with pytest.raises(UndefinedOperation, match=r"^log\(a\) has no value at a = -1\.0 \(a\[1\]\)\. "):
        np.log(array([1.0, -1.0], name="a"))


def test_shapes_that_do_not_fit() -> None:
    a = array(W)
    shapes = re.escape("could not be broadcast together with shapes (2,3) (2,)")
    for b in (np.ones(2), array(np.ones(2))):
        with pytest.raises(ValueError, match=shapes):
            a + b


# ---------------------------------------------------------------------------------- in place
def test_in_place_arithmetic_replaces_the_elements() -> None:
    a = array([1.0, 2.0], name="a")
    alias, leaves = a, list(a)
    a += 1.0
    a *= np.array([2.0, 3.0])
    a -= array([1.0, 1.0])
    a /= Value(2.0)
    a **= 2
    assert a is alias
    assert type(a) is Array
    assert data_of(a).tolist() == [1.5**2, 16.0]
    np.sum(a).backward()
    assert [v.grad for v in leaves] == [2 * 1.5 * 1.0, 2 * 4.0 * 1.5]


def test_a_float_array_cannot_take_values_in_place() -> None:
    for other in (Value(1.0), array([1.0, 2.0])):
        floats = np.ones(2)
        with pytest.raises(TypeError) as caught:
            floats += other
        assert str(caught.value) == (
            "an array of float64 cannot hold Values; np.add without out= gives a new array "
            "(a = a + b instead of a += b), or make it with microbp.array"
        )
        assert floats.tolist() == [1.0, 1.0]


def test_in_place_arithmetic_keeps_the_shape() -> None:
    a = array([1.0, 2.0])
    with pytest.raises(ValueError, match="could not broadcast"):
        a += np.ones((2, 2))
    assert data_of(a).tolist() == [1.0, 2.0]


def test_results_are_written_where_out_says() -> None:
    a, out = array([1.0, 2.0]), array([0.0, 0.0])
    assert np.exp(a, out=out) is out
    assert data_of(out).tolist() == [math.e, math.exp(2.0)]
    total = np.empty((), dtype=object)
    assert np.add.reduce(a, out=total)[()].data == 3.0


# ------------------------------------------------------------------------------ matrix products
PRODUCTS = [((2, 3), (3, 4)), ((2, 3), (3,)), ((3,), (3, 4)), ((3,), (3,)), ((1, 1), (1, 1))]
STACKS = [
    ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (6, 3, 4)),
    ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 3, 3), (3,)), ((1, 2, 3), (5, 3, 1)),
]  # fmt: skip


@at_once(PRODUCTS + STACKS)
def test_the_matrix_product(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = RNG.uniform(-1, 1, left), RNG.uniform(-1, 1, right)
    exact = a @ b
    for x, y in ((array(a), b), (a, array(b)), (array(a), array(b))):
        result = x @ y
        assert np.shape(result) == exact.shape
        assert type(result) is (Array if exact.ndim else Value)
        assert rules_of(result) == {"dot"}
        np.testing.assert_allclose(data_of(result), exact, rtol=1e-15, atol=1e-15)
        assert np.array_equal(data_of(np.matmul(x, y)), data_of(result))


@at_once(
    [*PRODUCTS, ((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)), ((2, 3), (5, 3, 4)),
                        ((3,), (5, 3, 4)), ((6, 2, 3), (5, 3, 4)), ((), (2, 3)), ((2, 3), ()), ((), ())]
)  # fmt: skip
def test_numpy_s_dot(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = RNG.uniform(-1, 1, left), RNG.uniform(-1, 1, right)
    exact = np.dot(a, b)
    for x, y in ((array(a), b), (a, array(b)), (array(a), array(b))):
        result = np.dot(x, y)
        assert np.shape(result) == np.shape(exact)
        np.testing.assert_allclose(data_of(result), exact, rtol=1e-15, atol=1e-15)
        assert rules_of(result) == {"dot" if left and right else "mul"}
        method = x.dot(y)
        assert type(method) is (Array if np.ndim(exact) else Value)
        np.testing.assert_allclose(data_of(method), exact, rtol=1e-15, atol=1e-15)


def test_each_element_of_a_product_is_one_node() -> None:
    w, x = array([[1.0, 2.0], [3.0, 4.0]], name="w"), np.array([5.0, 6.0])
    net = w @ x
    assert net[1].operands == (w[1, 0], w[1, 1], 5.0, 6.0, 0.0)
    assert str(Graph(net[1])).splitlines()[-1] == "v2 = dot(w[1,0], w[1,1], 5.0, 6.0, 0.0) = 39.0"


def test_gradients_of_a_product_are_products() -> None:
    w, x, weights = array(W), array(X), RNG.uniform(-1, 1, (2, 4))
    np.sum((w @ x) * weights).backward()
    np.testing.assert_allclose(grad_of(w), weights @ X.T, rtol=1e-14)
    np.testing.assert_allclose(grad_of(x), W.T @ weights, rtol=1e-14)


def test_a_product_that_does_not_fit_tells_the_lengths() -> None:
    for call in (lambda a, b: a @ b, np.matmul, np.dot):
        for left, right in ((array(W), np.ones(2)), (np.ones((3, 2)), array(np.ones((3, 1))))):
            inner = left.shape[-1], right.shape[0]
            with pytest.raises(ValueError, match="matrix product") as caught:
                call(left, right)
            assert str(caught.value) == (
                f"matrix product of shapes {left.shape} and {right.shape}: "
                f"the inner lengths {inner[0]} and {inner[1]} differ"
            )
    with pytest.raises(ValueError, match="broadcast"):
        array(np.ones((2, 1, 1))) @ np.ones((3, 1, 1))


def test_a_scalar_has_no_matrix_product() -> None:
    for scalar in (2.0, Value(2.0), np.array(2.0)):
        for left, right in ((array(W), scalar), (scalar, array(W))):
            with pytest.raises(ValueError, match=r"^matrix product of shapes .*: for a scalar write \*$"):
                np.matmul(left, right)


def test_products_with_lists_and_plain_object_arrays() -> None:
    w = array(W)
    plain = np.array([Value(1.0), 2.0, Value(3.0)], dtype=object)
    for x in (plain, list(plain), [1.0, 2.0, 3.0]):
        assert rules_of(w @ x) == rules_of(np.dot(w, x)) == {"dot"}
        np.testing.assert_allclose(data_of(w @ x), W @ [1.0, 2.0, 3.0], rtol=1e-15)


# ----------------------------------------------------------------------------------- reductions
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 2), (1,), (0, 1, 2)])
@pytest.mark.parametrize("reduce", [np.sum, np.mean, np.max, np.min, np.amax], ids=lambda f: f.__name__)
def test_reductions_along_axes(reduce: Any, axis: Any, keepdims: bool) -> None:
    x = RNG.uniform(-1.0, 1.0, (2, 3, 2))
    exact = reduce(x, axis=axis, keepdims=keepdims)
    method = getattr(array(x), reduce.__name__.removeprefix("a"))
    for result in (reduce(array(x), axis=axis, keepdims=keepdims), method(axis=axis, keepdims=keepdims)):
        assert np.shape(result) == np.shape(exact)
        assert type(result) is (Array if np.ndim(exact) else Value)
        np.testing.assert_allclose(data_of(result), exact, rtol=1e-14, atol=1e-16)


def test_a_sum_is_one_node_for_each_element() -> None:
    a = array([[1.0, 2.0], [3.0, 4.0]])
    assert np.sum(a).operands == tuple(a.ravel())
    assert rules_of(np.sum(a, axis=0)) == {"sum"}
    assert np.sum(a, axis=0)[1].operands == (a[0, 1], a[1, 1])
    assert rules_of(np.max(a, axis=1)) == {"max"}
    assert len(backward_order(np.mean(a))) == 6  # one sum, one quotient


def test_gradients_of_reductions() -> None:
    a = array([[1.0, 5.0], [3.0, 5.0]], name="a")
    for y, exact in [
        (np.sum(a), [[1.0, 1.0], [1.0, 1.0]]), (np.mean(a), [[0.25, 0.25], [0.25, 0.25]]),
        (np.max(a), [[0.0, 0.5], [0.0, 0.5]]), (np.min(a), [[1.0, 0.0], [0.0, 0.0]]),
        (np.sum(np.min(a, axis=1)), [[1.0, 0.0], [1.0, 0.0]]), (a.prod(), [[75.0, 15.0], [25.0, 15.0]]),
    ]:  # fmt: skip
        assert microbp.grad(y, a).tolist() == exact


@at_once([np.sum, np.mean, np.max, np.min], range(3))
def test_reductions_propagate_nan(reduce: Any, place: int) -> None:
    numbers = [1.0, 2.0, 3.0]
    numbers[place] = math.nan
    assert math.isnan(reduce(array(numbers)).data)


def test_reductions_take_initial_where_and_dtype() -> None:
    a, on = array(W, name="W"), W > 0.0
    for reduce in (np.sum, np.max, np.min, np.prod):
        for options in ({"initial": 0.25}, {"initial": 0.25, "where": on}, {"initial": 0.25, "axis": 1}):
            result = reduce(a, **options)
            np.testing.assert_allclose(data_of(result), reduce(W, **options), rtol=1e-15)
    np.testing.assert_allclose(data_of(np.mean(a, where=on)), np.mean(W, where=on), rtol=1e-15)
    assert np.sum(a, dtype=float).data == np.sum(a).data
    assert microbp.grad(np.sum(a, where=on), a).tolist() == on.astype(float).tolist()
    with pytest.raises(TypeError, match=r"^np\.add of Values takes no dtype=float32$"):
        np.sum(a, dtype=np.float32)
    for axis in (2, -3, (0, 0)):
        with pytest.raises(ValueError, match="axis"):
            np.sum(a, axis=axis)
    with pytest.raises(ValueError, match=r"^max\(x…\): the list is empty$"):
        np.max(array([]))
    with pytest.raises(ValueError, match=r"^np\.fmax\.reduce of Values: the list is empty$"):
        np.fmax.reduce(array([]))
    assert data_of(np.sum(array([]))) == 0.0
    assert np.prod(array([])) == 1.0


def test_cumulative_sums() -> None:
    a = array([1.0, 2.0, 3.0])
    running = np.cumsum(a)
    assert data_of(running).tolist() == [1.0, 3.0, 6.0]
    assert microbp.grad(running[1], a).tolist() == [1.0, 1.0, 0.0]


# ---------------------------------------------------------------------- views, shapes, copies
def test_views_share_their_values() -> None:
    a = array(W, name="W")
    assert a.T[2, 1] is a[1, 2]
    assert a.reshape(-1)[4] is a[1, 1]
    assert [each is a[1, i] for i, each in enumerate(a[1])] == [True] * 3
    assert a[None, :, ::-1][0, 0, 0] is a[0, 2]
    assert np.stack([a[0], a[1]])[1, 2] is a[1, 2]
    assert np.concatenate([a, a], axis=1)[0, 3] is a[0, 0]
    assert {type(x) for x in (a.T, a[0], a.ravel(), np.stack([a, a]), np.transpose(a), a.copy())} == {Array}


def test_elements_may_be_replaced() -> None:
    a = array([1.0, 2.0])
    a[0] = Value(5.0, name="new")
    a[1] = 7.0
    assert data_of(a * 2).tolist() == [10.0, 14.0]
    assert rules_of(a * Value(1.0)) == {"mul"}


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_arrays_are_arrays(twin_of: Callable[[Any], Any]) -> None:
    a = array(W, name="W")
    twin, net = twin_of([a, a @ X])
    assert type(twin) is type(net) is Array
    assert twin[0, 0].name == "W[0,0]"
    np.sum(net).backward()
    np.testing.assert_allclose(grad_of(twin), np.tile(X.sum(axis=1), (2, 1)), rtol=1e-14)
    assert a[0, 0].grad is None


@given(
    st.integers(1, 3).flatmap(
        lambda n: st.tuples(*(st.lists(st.floats(-2, 2), min_size=n, max_size=n) for _ in range(3)))
    )
)
def test_arrays_and_scalars_record_the_same(columns: tuple[list[float], list[float], list[float]]) -> None:
    """A formula in arrays equals the same formula written element by element, to the bit."""

    def formula(w: Any, x: Any, b: Any) -> Any:
        return (w * x - b) / (1.0 + x * x) + 2.0 * np.tanh(b)

    arrays = [array(column) for column in columns]
    together = formula(*arrays)
    for i, each in enumerate(together):
        leaves = [Value(column[i]) for column in columns]
        alone = formula(*leaves)
        assert each.data == alone.data
        assert microbp.grad(each, [a[i] for a in arrays]) == microbp.grad(alone, leaves)


# ----------------------------------------------------------------- the first tutorial's program
#: As its author wrote it, but for Python 3: print is a function, and range is called range.
TUTORIAL = """
def nonlin(x, deriv=False):
    if(deriv==True):
        return x*(1-x)  # if deriv is True, the derivative
    return 1/(1+np.exp(-x))

X = np.array([[0.35],[0.9]])  # input layer
y = np.array([[0.5]])  # output value

np.random.seed(1)

W0 = np.array([[0.1,0.8],[0.4,0.6]])
W1 = np.array([[0.3,0.9]])
print('original ', W0, '\\n', W1)
for j in range(100):

    l0 = X
    l1 = nonlin(np.dot(W0,l0))
    l2 = nonlin(np.dot(W1,l1))
    l2_error = y - l2
    Error = 1/2.0*(y-l2)**2
    print("Error:", Error)

    l2_delta = l2_error*nonlin(l2,deriv=True)  # this will backpack
    #print('l2_delta=', l2_delta)
    l1_error = l2_delta*W1  # back-propagated weights
    l1_delta = l1_error*nonlin(l1,deriv=True)

    W1 += l2_delta*l1.T  # new weights
    W0 += l0.T.dot(l1_delta)
print(W0, '\\n', W1)
"""
ON_VALUES = re.sub(r"(W[01]) = np.array", r"\1 = microbp.array", TUTORIAL)


def run_tutorial(program: str) -> dict[str, Any]:
    names: dict[str, Any] = {"np": np, "microbp": microbp, "print": lambda *_: None}
    state = np.random.get_state()  # noqa: NPY002
    exec(program, names)
    np.random.set_state(state)  # noqa: NPY002
    return names


def test_the_tutorial_runs_unchanged_on_arrays_of_values() -> None:
    floats, values = run_tutorial(TUTORIAL), run_tutorial(ON_VALUES)
    assert f"{floats['Error'][0, 0]:.8e}" == "5.92944818e-07"  # the number it prints
    for name in ("W0", "W1", "l1", "l2", "Error", "l2_delta", "l1_delta"):
        assert type(values[name]) is Array
        np.testing.assert_allclose(data_of(values[name]), floats[name], rtol=1e-12)
    np.testing.assert_allclose(
        data_of(values["W0"]), [[0.0993309, 0.6425254], [0.3993309, 0.4425254]], atol=5e-8
    )
    np.testing.assert_allclose(data_of(values["W1"]), [[-0.30032342, 0.31508797]], atol=5e-9)


def test_the_tutorial_s_deltas_against_the_recorded_gradients() -> None:
    """Its output delta and W1's step are right to the bit; its W0's step is not minus the gradient."""
    program = ON_VALUES.replace("range(100)", "range(1)")
    names = run_tutorial(program)
    before = {name: np.frompyfunc(lambda new: new.operands[0], 1, 1)(names[name]) for name in ("W0", "W1")}
    step = {name: data_of(names[name]) - data_of(before[name]) for name in ("W0", "W1")}
    error = names["Error"][0, 0]
    assert error.data == pytest.approx(0.01810390383656677, rel=1e-15, abs=0.0)
    error.backward()

    net2 = next(v for v in backward_order(error) if v.rule is not None and v.rule.name == "dot")
    assert names["l2_delta"][0, 0].data == pytest.approx(-net2.grad, rel=1e-15, abs=0.0)
    np.testing.assert_allclose(step["W1"], -grad_of(before["W1"]), rtol=1e-14)

    # By hand, with W1ᵀ·δ2 where the tutorial has δ2·W1, and δ1·l0ᵀ where it has l0ᵀ·δ1.
    l1, w1, delta2 = data_of(names["l1"]), data_of(before["W1"]), data_of(names["l2_delta"])
    right = (w1.T @ delta2 * l1 * (1 - l1)) @ names["l0"].T
    np.testing.assert_allclose(-grad_of(before["W0"]), right, rtol=1e-14)
    assert step["W0"].shape == right.shape
    assert np.min(np.abs(step["W0"] / right - 1.0)) > 0.1  # every one of the four is off


def test_with_the_true_gradient_the_tutorial_s_net_learns_better() -> None:
    w0, w1 = array([[0.1, 0.8], [0.4, 0.6]], name="W0"), array([[0.3, 0.9]], name="W1")
    x, y = np.array([[0.35], [0.9]]), 0.5
    costs = []
    for _ in range(100):
        hidden = 1 / (1 + np.exp(-np.dot(w0, x)))
        cost = (0.5 * (y - 1 / (1 + np.exp(-np.dot(w1, hidden)))) ** 2)[0, 0]
        costs.append(cost.data)
        d0, d1 = microbp.grad(cost, [w0, w1])
        w0, w1 = array(data_of(w0) - d0), array(data_of(w1) - d1)
    assert costs[0] == pytest.approx(0.01810390383656677, rel=1e-14, abs=0.0)
    assert costs[-1] == pytest.approx(3.266878922007038e-07, rel=1e-11, abs=0.0)
    np.testing.assert_allclose(
        data_of(w0), [[0.09949729, 0.79870731], [0.35650028, 0.48814358]], atol=5e-9
    )
    np.testing.assert_allclose(data_of(w1), [[-0.30047225, 0.32533603]], atol=5e-9)


# ------------------------------------------------------------------------------- masked, and without Values
def test_masked_elements_are_refused_and_a_mask_of_none_is_not() -> None:
    hidden, open_ = np.ma.array([1.0, 2.0], mask=[False, True]), np.ma.array([1.0, 2.0], mask=False)
    values = array([3.0, 4.0])
    for call in (
        array, data_of, lambda x: values * x, lambda x: np.add(values, x), lambda x: np.eye(2) * (values @ x),
        lambda x: np.hstack([values, x]),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"^an array of Values knows no masked elements: take x\.compr"):
            call(hidden)
        assert call(open_).shape in ((2,), (2, 2), (4,))


def test_operations_of_arrays_without_values_are_arrays_of_floats() -> None:
    assert microbp.exp(np.array([0.0, 1.0])).dtype == microbp.maximum(np.ones(2), 2.0).dtype == float
    assert microbp.exp(np.array([0.0, 1.0])).tolist() == [1.0, math.e]


def test_numpys_options_of_deviation_and_median() -> None:
    x = np.array([[1.0, 4.0, 2.0], [3.0, 5.0, 9.0]])
    assert data_of(np.std(array(x), axis=1, correction=1)) == pytest.approx(np.std(x, axis=1, correction=1))
    with pytest.raises(ValueError, match="ddof and correction are two names of one thing; give one of them"):
        np.var(array(x), ddof=1, correction=2)
    with pytest.raises(TypeError, match=r"np\.quantile of Values takes axis, keepdims and method='linear'"):
        np.nanmedian(array(x), axis=1, out=np.empty(2, dtype=object))


def test_a_whole_array_where_a_list_is_wanted_is_told_the_way() -> None:
    with pytest.raises(TypeError, match=r"type Array; whole arrays are for NumPy's functions \(np\.sum"):
        microbp.sum(array([[1.0, 2.0], [3.0, 4.0]]))


def test_a_product_in_place_is_a_product() -> None:
    for start in ([[1.0, 2.0], [3.0, 4.0]], [1.0, 2.0]):
        x, by = array(start), np.array([[2.0, 1.0], [0.0, -1.0]])
        x @= by
        assert data_of(x).tolist() == (np.array(start) @ by).tolist()
        assert x.flat[0].rule.name == "dot"
        with pytest.raises(ValueError, match="takes a matrix b; write a = a @ b for a vector"):
            x @= np.array([2.0, 1.0])


# -------------------------------------------------------------------- what each of its Values has
@pytest.mark.parametrize(
    ("word", "instead"),
    [("grad", "microbp.grad_of(a) gives the gradients, and for v in a.flat: v.zero_grad() forgets them"),
     ("data", "microbp.data_of(a) gives the numbers, and a -= rate * microbp.grad_of(a) is an update"),
     ("backward", "a backward pass starts from one Value: np.sum(a).backward()"),
     ("requires_grad", "microbp.array(x, requires_grad=False) makes constants"),
     ("tanh", "microbp.tanh(a) does it"), ("zero_grad", "v.zero_grad for v in a.flat")],
)  # fmt: skip
def test_what_a_value_has_is_refused_of_an_array(word: str, instead: str) -> None:
    told = f"^an Array has no {word}; its Values have one each: {re.escape(instead)}$"
    a = microbp.array([1.0, 2.0])
    with pytest.raises(AttributeError, match=told):
        getattr(a, word)
    if word in ("grad", "data", "requires_grad"):  # else a += would go on from the gradients of before
        with pytest.raises(AttributeError, match=told):
            setattr(a, word, None)
    with pytest.raises(AttributeError, match=r"^'Array' object has no attribute 'colour'$"):
        _ = a.colour


def test_a_subclass_of_array_has_what_it_says_itself() -> None:
    class Weights(microbp.Array):
        def __array_finalize__(self, source: Any) -> None:
            self.grad = getattr(source, "grad", None)

        @property
        def data(self) -> Any:
            return microbp.data_of(self)

        @data.setter
        def data(self, numbers: Any) -> None:
            self[...] = microbp.array(numbers)

        @property
        def shade(self) -> Any:
            return self.colour

    w = microbp.array([1.0, 2.0]).view(Weights)
    w.data, w.grad = [3.0, 4.0], 5.0
    assert (w.data.tolist(), w[:1].grad) == ([3.0, 4.0], 5.0)
    with pytest.raises(AttributeError, match="'Weights' object has no attribute 'colour'"):
        _ = w.shade


def test_an_array_takes_no_name_that_is_no_text() -> None:
    with pytest.raises(TypeError, match=r"^a name is a str, not 3$"):
        microbp.array([1.0], name=3)  # type: ignore[arg-type]
