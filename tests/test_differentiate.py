"""``grad``: gradients as results, and gradients that are themselves graphs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from strategies import REFERENCE, Program, programs
from support import at_once

import microbp
from microbp import Array, Graph, NoGradientError, Value, array, data_of, grad, no_grad
from microbp.node import backward_order
from microbp.record import record


def derivatives(y: Value, x: Value, count: int) -> list[float]:
    """y', y'', ... with respect to x, each the gradient of the one before."""
    found = []
    for _ in range(count):
        y = grad(y, x, create_graph=True)
        found.append(y.data)
    return found


def hessian(y: Value, xs: Any) -> np.ndarray:
    return np.array([grad(each, list(xs)) for each in grad(y, list(xs), create_graph=True)])


# ----------------------------------------------------------------------------- the functional form
def test_no_grad_attribute_is_touched() -> None:
    x, w = Value(3.0), Value(2.0)
    y = w * x * x
    y.backward()
    before = [v.grad for v in (x, w, y)]
    assert grad(y, [x, w]) == [12.0, 9.0]
    assert [g.data for g in grad(y, [x, w], create_graph=True)] == [12.0, 9.0]
    assert [v.grad for v in (x, w, y)] == before


def test_the_result_has_the_shape_of_wrt() -> None:
    x, w = Value(3.0), array([[1.0, 2.0], [3.0, 4.0]], name="w")
    y = np.sum(w * x) + x
    assert grad(y, x) == 11.0
    assert type(grad(y, x)) is float
    assert grad(y, [x]) == [11.0]
    assert grad(y, (x, [x, (x,)])) == [11.0, [11.0, [11.0]]]
    slopes = grad(y, w)
    assert type(slopes) is np.ndarray
    assert slopes.dtype == np.float64
    assert slopes.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert grad(y, [x, w])[1].tolist() == slopes.tolist()
    assert grad(y, w[0]).tolist() == [3.0, 3.0]
    assert grad(y, []) == []
    again = grad(y, w, create_graph=True)
    assert type(again) is Array
    assert data_of(again).tolist() == slopes.tolist()
    assert all(type(each) is Value for each in again.ravel())
    assert type(grad(y, x, create_graph=True)) is Value


def test_with_respect_to_what_stands_between_and_to_itself() -> None:
    x = Value(3.0)
    h = x * x
    y = h * 5.0
    for create_graph in (False, True):
        assert [float(data_of(g)) for g in grad(y, [h, y, x], create_graph)] == [5.0, 1.0, 30.0]


def test_what_y_does_not_depend_on_has_gradient_0() -> None:
    x, apart = Value(3.0), Value(4.0)
    beside = x * apart
    y = x * x
    assert grad(y, [apart, beside]) == [0.0, 0.0]
    for g in grad(y, [apart, beside], create_graph=True):
        assert type(g) is Value
        assert g.data == 0.0
        assert grad(g, x) == 0.0
    assert grad(y, array([1.0, 2.0])).tolist() == [0.0, 0.0]
    first = grad(3.0 * x, x, create_graph=True)
    assert (first.data, grad(first, x)) == (3.0, 0.0)


def test_what_cannot_be_differentiated_is_told() -> None:
    x = Value(3.0, name="x")
    y = x * x
    for y_, kind in ((3.0, "float"), ([y], "list"), (array([y]), "Array")):
        with pytest.raises(TypeError) as caught:
            grad(y_, x)  # type: ignore[arg-type]
        assert str(caught.value) == f"grad() differentiates a Value, not {kind}"
    for wrt in ("x", 3.0, None, {"x": x}):
        with pytest.raises(TypeError) as caught:
            grad(y, wrt)
        assert str(caught.value) == (
            f"grad() is with respect to Values, lists or arrays of them, not {wrt!r}"
        )
    with pytest.raises(TypeError, match=r"lists or arrays of them, not 3\.0$"):
        grad(y, [x, 3.0])


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_frozen_value_has_no_gradient(create_graph: bool) -> None:
    x, c = Value(3.0), Value(4.0, name="c")
    c.requires_grad = False
    y = x * c
    assert data_of(grad(y, x, create_graph)) == 4.0
    with pytest.raises(NoGradientError) as caught:
        grad(y, [x, c], create_graph)
    assert str(caught.value) == "c = 4.0 is frozen (requires_grad is False)"


# --------------------------------------------------------------------- the same as backward, exactly
@given(programs())
def test_three_ways_to_the_same_bits(program: Program) -> None:
    leaves = [Value(x) for x in program.leaves]
    root = program.run(record, Value.sin, leaves)
    values = backward_order(root)
    plain = grad(root, values)
    graph = grad(root, values, create_graph=True)
    root.backward()
    assert [v.grad for v in values] == plain
    assert [g.data for g in graph] == plain


def test_repeated_operands_add_in_the_same_order() -> None:
    rng = np.random.default_rng(3)
    for a, b, c in rng.uniform(0.1, 1.0, (300, 3)):
        x = Value(a)
        y = x**x * b * 1.0 + x * c + microbp.dot([x, x, c], [x, b, x], x) / x
        first = grad(y, x, create_graph=True)
        assert first.data == grad(y, x)
        y.backward()
        assert first.data == x.grad


# ------------------------------------------------------------------------- higher derivatives
def test_the_third_derivative_of_the_fourth_power() -> None:
    x = Value(2.0)
    assert derivatives(x**4, x, 5) == [32.0, 48.0, 48.0, 24.0, 0.0]
    assert derivatives(x * x * x * x, x, 5) == [32.0, 48.0, 48.0, 24.0, 0.0]


@at_once([-3.5, -2.0, -0.7, 0.0, 0.3, 1.9, 2.1, 6.0])
def test_the_derivatives_of_tanh(at: float) -> None:
    x = Value(at)
    first, second = derivatives(x.tanh(), x, 2)
    with mpmath.workdps(40):
        y = mpmath.tanh(at)
        assert first == pytest.approx(float(1 - y * y), rel=1e-13, abs=0.0)
        assert second == pytest.approx(float(-2 * y * (1 - y * y)), rel=1e-13, abs=0.0)


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (0.7, -1.3), (1.5, 0.5), (3.0, 1.0), (0.25, 2.0)])
def test_all_second_partial_derivatives_of_a_power(a: float, b: float) -> None:
    x, y = Value(a), Value(b)
    second = hessian(x**y, [x, y])
    log = math.log(a)
    mixed = a ** (b - 1) * (1 + b * log)
    exact = [[b * (b - 1) * a ** (b - 2), mixed], [mixed, a**b * log**2]]
    np.testing.assert_allclose(second, exact, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize(
    "logits", [[0.5, -1.0, 2.0], [0.0, 0.0], [1000.0, 999.0, -1000.0], [3.0], [0.1] * 5]
)
def test_the_hessian_of_logsumexp(logits: list[float]) -> None:
    x = array(logits)
    with mpmath.workdps(40):
        parts = [mpmath.exp(mpmath.mpf(each) - 1000) for each in logits]
        p = np.array([float(part / mpmath.fsum(parts)) for part in parts])
    exact = np.diag(p) - np.outer(p, p)
    np.testing.assert_allclose(hessian(microbp.logsumexp(x), x), exact, atol=1e-13)
    targets = [1.0] + [0.0] * (len(logits) - 1)
    np.testing.assert_allclose(hessian(microbp.cross_entropy(x, targets), x), exact, atol=1e-12)


def test_the_hessian_of_a_dot() -> None:
    w, x = array([1.0, 2.0]), array([3.0, 4.0])
    both = [*w, *x]
    exact = np.block([[np.zeros((2, 2)), np.eye(2)], [np.eye(2), np.zeros((2, 2))]])
    assert np.array_equal(hessian(microbp.dot(w, x, 5.0), both), exact)


#: Second derivatives by formula.
SECOND: list[tuple[Callable[[Value], Value], Callable[[float], float]]] = [
    (lambda x: x.exp(), math.exp),
    (lambda x: x.log(), lambda a: -1 / a**2),
    (lambda x: x.sin(), lambda a: -math.sin(a)),
    (lambda x: x.cos(), lambda a: -math.cos(a)),
    (lambda x: x.sqrt(), lambda a: -0.25 * a**-1.5),
    (lambda x: 1 / x, lambda a: 2 / a**3),
    (lambda x: x.atan(), lambda a: -2 * a / (1 + a * a) ** 2),
    (lambda x: x.erf(), lambda a: -4 * a / math.sqrt(math.pi) * math.exp(-a * a)),
    (lambda x: x.softplus(), lambda a: math.exp(-a) / (1 + math.exp(-a)) ** 2),
    (lambda x: x.relu(), lambda a: 0.0),  # noqa: ARG005
    (lambda x: microbp.maximum(x, 0.1) * x, lambda a: 2.0),  # noqa: ARG005
    (lambda x: 2**x, lambda a: 2**a * math.log(2) ** 2),
    (lambda x: x * x.detach(), lambda a: 0.0),  # noqa: ARG005
]


@at_once(SECOND, [0.3, 0.9, 2.5])
def test_second_derivatives(function: Any, second: Any, at: float) -> None:
    x = Value(at)
    assert derivatives(function(x), x, 2)[1] == pytest.approx(second(at), rel=1e-13, abs=1e-300)


@given(programs(most=4))
def test_second_derivatives_of_random_programs(program: Program) -> None:
    # Where two of a max tie, the second difference sees the kink.
    assume(all(step.rule.name != "max" for step in program.steps))
    leaves = [Value(x) for x in program.leaves]
    root = program.run(record, Value.sin, leaves)
    second = hessian(root, leaves)
    size = max(1.0, np.max(np.abs(second)))
    np.testing.assert_allclose(second, second.T, rtol=0, atol=1e-10 * size)

    def exact(*numbers: Any) -> Any:
        return program.run(lambda rule, each: REFERENCE[rule.name](*each), mpmath.sin, numbers)

    with mpmath.workdps(60):
        at = [mpmath.mpf(x) for x in program.leaves]
        h = mpmath.mpf("1e-15")
        for i in range(len(at)):
            up = exact(*(x + h * (i == j) for j, x in enumerate(at)))
            down = exact(*(x - h * (i == j) for j, x in enumerate(at)))
            bend = (up - 2 * exact(*at) + down) / h**2
            assert abs(bend - second[i, i]) <= 1e-10 * size


def test_a_gradient_is_a_graph_like_any_other() -> None:
    x, w = Value(0.5, name="x"), Value(2.0, name="w")
    slope = grad((w * x).tanh(), w, create_graph=True)
    assert {node.name for node in Graph(slope) if node.named} == {"x", "w"}
    penalty = slope**2
    penalty.backward()
    t = math.tanh(1.0)
    slope_ = 0.5 * (1 - t * t)
    assert slope.data == pytest.approx(slope_, rel=1e-15, abs=0.0)
    assert w.grad == pytest.approx(2 * slope_ * 0.5 * -2 * t * slope_, rel=1e-14, abs=0.0)


def test_a_hessian_vector_product() -> None:
    w, v = array([1.0, -2.0, 0.5]), np.array([0.3, 0.1, -0.7])
    loss = np.sum(w**3) + w[0] * w[1] * w[2]
    along = grad(loss, w, create_graph=True) @ v
    exact = np.array([[6.0, 0.5, -2.0], [0.5, -12.0, 1.0], [-2.0, 1.0, 3.0]]) @ v
    np.testing.assert_allclose(grad(along, w), exact, rtol=1e-14)


def test_newton_s_method_on_a_quadratic_takes_one_step() -> None:
    x = Value(10.0)
    loss = 3 * (x - 2) ** 2 + 1
    first = grad(loss, x, create_graph=True)
    assert x.data - first.data / grad(first, x) == 2.0


def test_under_no_grad_a_gradient_is_a_constant() -> None:
    x = Value(2.0)
    y = x**3
    with no_grad():
        g = grad(y, x, create_graph=True)
    assert (g.data, g.is_leaf, g.requires_grad) == (12.0, True, False)


# ---------------------------------------------------------------------- a leaf that was changed
def test_a_changed_leaf_is_noticed_where_it_matters() -> None:
    x, w = Value(3.0, name="x"), Value(2.0, name="w")
    y = x * w
    x.data = 100.0
    assert grad(y, w) == 3.0  # as recorded
    with pytest.raises(NoGradientError) as caught:
        grad(y, w, create_graph=True)
    assert str(caught.value) == (
        "an operand of mul(a, b) has been changed since it was recorded: the local derivative for "
        "w = 2.0 was 3.0 then and would be 100.0 now. Compute the graph again before grad(..., "
        "create_graph=True)"
    )


LOOKING: list[Callable[[Value], Value]] = [
    lambda x: x * x, Value.sin, lambda x: x**3, lambda x: 1 / x, lambda x: microbp.dot([x], [x]),
    lambda x: microbp.logsumexp([x, 1.0]),
]  # fmt: skip


@pytest.mark.parametrize("function", LOOKING)
def test_a_changed_leaf_is_noticed_by_every_operation_that_looks_at_it(function: Any) -> None:
    x = Value(3.0)
    y = function(x)
    x.data = 0.7
    with pytest.raises(NoGradientError, match="has been changed since it was recorded"):
        grad(y, x, create_graph=True)
    x.data = 3.0
    assert grad(y, x, create_graph=True).data == grad(y, x)


def test_a_changed_leaf_of_a_sum_changes_no_derivative() -> None:
    x = Value(3.0)
    y = x + 2.0 - 3.0 * x
    x.data = 100.0
    assert grad(y, x, create_graph=True).data == -2.0


def test_nan_is_not_taken_for_a_change() -> None:
    x = Value(math.nan)
    assert math.isnan(grad(x * x, x, create_graph=True).data)


def test_the_corners_of_higher_derivatives() -> None:
    x = Value(0.0)
    assert derivatives(x**2, x, 3) == [0.0, 2.0, 0.0]
    assert derivatives(x**3, x, 4) == [0.0, 0.0, 6.0, 0.0]
    assert derivatives(x**1, x, 2) == [1.0, 0.0]
    assert derivatives(x.relu() * x, x, 2) == [0.0, 0.0]
