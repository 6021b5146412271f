"""The operations as functions: of Values, of numbers, of arrays; and the ones that never overflow."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from support import at_once

import microbp
from microbp import Array, Operation, Value, array, data_of, functions, grad
from microbp.rules import RULES, TABLE

FUNCTIONS = {name: getattr(microbp, name) for name in functions.__all__ if name != "Operation"}
OPERATIONS = {name: each for name, each in FUNCTIONS.items() if isinstance(each, Operation)}
OPERATORS = {"add", "sub", "mul", "div", "neg"}


def inside(name: str, width: int = 2) -> list[Any]:
    """Numbers at which the operation is smooth, one entry for each argument."""
    rule = RULES[name]
    middle = [low + 0.4 * (high - low) for low, high in rule.smooth[0]]
    return [
        [x + 0.1 * i for i in range(width)] if arg in rule.over else x
        for arg, x in zip(rule.args, middle, strict=True)
    ]


# -------------------------------------------------------------------------- what a function is
def test_every_operation_but_the_operators_has_a_function() -> None:
    assert {rule.name for rule in TABLE} - OPERATORS == set(OPERATIONS)
    assert set(FUNCTIONS) - set(OPERATIONS) == {"softmax", "log_softmax"}
    for name, operation in OPERATIONS.items():
        assert operation.rule is RULES[name]
        assert operation.__name__ == name
        assert operation.__doc__ is not None
        assert operation.__doc__.startswith(RULES[name].doc)
        assert RULES[name].corner in operation.__doc__


@at_once(OPERATIONS)
def test_of_values_it_records_and_of_numbers_it_computes(name: str) -> None:
    numbers = inside(name)
    values = [[Value(x) for x in each] if isinstance(each, list) else Value(each) for each in numbers]
    number, value = OPERATIONS[name](*numbers), OPERATIONS[name](*values)
    assert type(number) is float
    assert type(value) is Value
    assert value.rule is RULES[name]
    assert value.data == number
    assert value.rule.split(value.operands) == values


@at_once(OPERATIONS)
def test_any_operand_may_be_a_literal(name: str) -> None:
    numbers = inside(name)
    exact = OPERATIONS[name](*numbers)
    for i, each in enumerate(numbers):
        value = [Value(each[0]), *each[1:]] if isinstance(each, list) else Value(each)
        node = OPERATIONS[name](*numbers[:i], value, *numbers[i + 1 :])
        assert node.data == exact
        [place] = [j for j, d in enumerate(node.local_derivatives) if d is not None]
        assert isinstance(node.operands[place], Value)


@at_once(OPERATIONS)
def test_arguments_go_by_place_or_by_name(name: str) -> None:
    numbers = inside(name)
    args = RULES[name].args
    exact = OPERATIONS[name](*numbers)
    assert OPERATIONS[name](**dict(zip(args, numbers, strict=True))) == exact
    assert OPERATIONS[name](numbers[0], **dict(zip(args[1:], numbers[1:], strict=True))) == exact


@at_once([name for name in OPERATIONS if hasattr(Value, name)])
def test_the_method_of_the_same_name_is_the_same_operation(name: str) -> None:
    x = Value(*inside(name))
    one, other = OPERATIONS[name](x), getattr(x, name)()
    assert (one.data, one.operands, one.local_derivatives, one.rule) == (
        other.data, other.operands, other.local_derivatives, other.rule,
    )  # fmt: skip


@at_once([name for name in OPERATIONS if not RULES[name].over])
def test_arrays_are_taken_element_by_element(name: str) -> None:
    numbers = inside(name)
    column, row = np.array([[1.0], [0.9]]), np.array([1.0, 0.95, 0.9])
    first = numbers[0] * column
    others = [x * row for x in numbers[1:]]
    result = OPERATIONS[name](array(first), *others)
    assert type(result) is Array
    assert result.shape == ((2, 3) if others else (2, 1))
    for place in np.ndindex(result.shape):
        exact = OPERATIONS[name](float(first[place[0], 0]), *(float(x[place[1]]) for x in others))
        assert result[place].data == exact


def test_what_is_left_out_has_the_table_s_default() -> None:
    x = Value(-2.0)
    assert microbp.leaky_relu(x).data == -0.02
    assert microbp.leaky_relu(x, s=0.1).data == microbp.leaky_relu(x, 0.1).data == -0.2
    assert microbp.elu(x).data == math.expm1(-2.0)
    assert microbp.elu(x, 2).data == 2 * math.expm1(-2.0)
    assert microbp.dot([x], [3.0]).data == -6.0
    assert microbp.dot([x], [3.0], b=x).data == -8.0


NOT_A_LIST = "is a list of Values or numbers, not Value"
CALLS: list[tuple[str, str]] = [
    ("leaky_relu()", "leaky_relu(a, s=0.01) takes a, s; a is missing"),
    ("leaky_relu(s=x)", "leaky_relu(a, s=0.01) takes a, s; a is missing"),
    ("clip(x)", "clip(a, low, high) takes a, low, high; low and high is missing"),
    ("clip(x, high=1.0)", "clip(a, low, high) takes a, low, high; low is missing"),
    ("relu(x, x)", "relu(a) takes a; there is one too many"),
    ("relu(x, a=x)", "relu(a) takes a; there is one too many"),
    ("elu(x, slope=1.0)", "elu(a, s=1.0) takes a, s; 'slope' is not one of them"),
    ("sum(x)", f"sum(x…): x {NOT_A_LIST}"),
    ("dot(x, [x])", f"dot(w…, x…, b): w {NOT_A_LIST}"),
    ("maximum(x, '3')", "maximum(a, b) takes a real number, not the str '3'; convert it first: float(...)"),
]


@at_once(CALLS)
def test_a_call_that_does_not_fit_is_told(call: str, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        eval(f"microbp.{call}", {"microbp": microbp, "x": Value(1.0)})
    assert str(caught.value) == text


def test_lists_that_do_not_fit_are_told() -> None:
    lengths = "the lists must be of one length, but there are 1 in x, 2 in t"
    with pytest.raises(ValueError, match=rf"^cross_entropy\(x…, t…\): {lengths}$"):
        microbp.cross_entropy([Value(1.0)], [0.0, 1.0])
    for name in ("max", "logsumexp"):
        with pytest.raises(ValueError, match=rf"^{name}\(x…\): the list is empty$"):
            OPERATIONS[name]([])
    assert microbp.sum([]) == 0.0
    assert microbp.dot([], []) == 0.0


def test_lists_may_be_any_iterable() -> None:
    x = [Value(1.0), Value(2.0)]
    for many in (x, tuple(x), iter(x), array(x), (v for v in x), dict.fromkeys(x)):
        assert microbp.sum(many).operands == tuple(x)


def test_operations_print_as_they_are_called() -> None:
    assert repr(microbp.tanh) == "tanh(a)"
    assert repr(microbp.leaky_relu) == "leaky_relu(a, s=0.01)"
    assert repr(microbp.dot) == "dot(w, x, b=0.0)"


# --------------------------------------------------------------------- against high precision
EXACT: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "exp": (mpmath.exp, -700.0, 700.0),
    "expm1": (mpmath.expm1, -40.0, 700.0),
    "log": (mpmath.log, 1e-300, 1e300),
    "log1p": (lambda x: mpmath.log(1 + x), -0.999, 1e300),
    "sqrt": (mpmath.sqrt, 1e-300, 1e300),
    "sin": (mpmath.sin, -10.0, 10.0),
    "cos": (mpmath.cos, -10.0, 10.0),
    "tan": (mpmath.tan, -1.5, 1.5),
    "asin": (mpmath.asin, -0.999, 0.999),
    "acos": (mpmath.acos, -0.999, 0.999),
    "atan": (mpmath.atan, -1e10, 1e10),
    "sinh": (mpmath.sinh, -700.0, 700.0),
    "cosh": (mpmath.cosh, -700.0, 700.0),
    "tanh": (mpmath.tanh, -300.0, 300.0),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), -700.0, 700.0),
    "softplus": (lambda x: mpmath.log(1 + mpmath.exp(x)), -700.0, 700.0),
    "silu": (lambda x: x / (1 + mpmath.exp(-x)), -700.0, 700.0),
    "gelu": (lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2, -30.0, 30.0),
    "erf": (mpmath.erf, -20.0, 20.0),
    "erfc": (mpmath.erfc, -20.0, 20.0),
}


@pytest.mark.parametrize("name", EXACT)
def test_value_and_derivative_hold_over_the_whole_range(name: str) -> None:
    """Also where the result is tiny, or close to 1: relative to the result and its condition."""
    function, low, high = EXACT[name]
    rng = random.Random(5)  # noqa: S311
    edges = [x for x in (low, high, 0.0, 1.0, -1.0, 0.5, -0.5, 1e-5, -1e-5) if low <= x <= high]
    narrow = [rng.uniform(max(low, -3.0), min(high, 3.0)) for _ in range(20)]
    # Nearer to 0 than 1e-9 the differences below would need more digits than 400.
    small = [
        x for x in (rng.choice((1, -1)) * 10 ** rng.uniform(-9, 0) for _ in range(10)) if low <= x <= high
    ]
    for x in (*edges, *narrow, *small, *(rng.uniform(low, high) for _ in range(20))):
        holds(OPERATIONS[name], function, Value(x))


def holds(operation: Operation, function: Callable[[Any], Any], x: Value) -> None:
    y = operation(x)
    y.backward()
    with mpmath.workdps(400):
        at = mpmath.mpf(x.data)
        h = mpmath.mpf("1e-25") * (abs(at) or 1)
        value = function(at)
        slope = (function(at + h) - function(at - h)) / (2 * h)
        bend = (function(at + h) - 2 * value + function(at - h)) / h**2
        rounding, smallest = mpmath.mpf(2) ** -52, mpmath.mpf(2) ** -1022
        assert abs(y.data - value) <= 4 * rounding * (abs(value) + abs(at * slope)) + smallest
        assert abs(x.grad - slope) <= 8 * rounding * (abs(slope) + abs(at * bend)) + smallest


# ------------------------------------------------------------------------- never overflowing
NEVER = ["sigmoid", "tanh", "softplus", "relu", "silu", "gelu", "erf", "erfc", "atan", "leaky_relu", "elu"]


@at_once(NEVER)
def test_activations_never_overflow(name: str) -> None:
    for at in (1000.0, -1000.0, 709.8, -745.2, 1e17, -1e17, 1.7e308, -1.7e308):
        x = Value(at)
        y = OPERATIONS[name](x)
        y.backward()
        assert math.isfinite(y.data), at
        assert x.grad is not None
        assert math.isfinite(x.grad), at
        if at > 0 and name != "atan":
            assert y.data in (0.0, 1.0, at)


def test_the_tails_of_sigmoid_and_softplus_keep_their_digits() -> None:
    for at in (-30.0, -700.0, -740.0):
        x = Value(at)
        assert x.sigmoid().data == pytest.approx(math.exp(at), rel=1e-13, abs=0.0)
        assert x.softplus().data == pytest.approx(math.exp(at), rel=1e-13, abs=0.0)
        slope = math.exp(at) / (1.0 + math.exp(at)) ** 2
        assert grad(x.sigmoid(), x) == pytest.approx(slope, rel=1e-13, abs=0.0)
    x = Value(40.0)
    assert grad(x.sigmoid(), x) == pytest.approx(math.exp(-40.0), rel=1e-15, abs=0.0)
    assert grad(x.tanh(), x) == pytest.approx(4 * math.exp(-80.0), rel=1e-15, abs=0.0)


LOGITS = [
    [1000.0, -1000.0], [-1000.0, 1000.0, 1000.0], [1000.0, 999.0, 998.0], [-1000.0, -1000.0],
    [0.0, 0.0, 0.0], [1000.0], [-1.5, 0.25, 3.0, 0.0],
]  # fmt: skip


def exact_softmax(logits: list[float]) -> list[Any]:
    parts = [mpmath.exp(mpmath.mpf(x)) for x in logits]
    return [part / mpmath.fsum(parts) for part in parts]


@pytest.mark.parametrize("logits", LOGITS)
def test_softmax_and_its_kin_never_overflow(logits: list[float]) -> None:
    with mpmath.workdps(900):
        p = [float(x) for x in exact_softmax(logits)]
        log_p = [float(mpmath.log(x)) for x in exact_softmax(logits)]
        total = float(mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(x)) for x in logits)))
    x = array(logits, name="x")
    assert microbp.logsumexp(x).data == pytest.approx(total, rel=1e-15, abs=0.0)
    np.testing.assert_allclose(data_of(microbp.log_softmax(x)), log_p, rtol=1e-15, atol=1e-12)
    np.testing.assert_allclose(data_of(microbp.softmax(x)), p, rtol=1e-12)
    np.testing.assert_allclose(grad(microbp.logsumexp(x), x), p, rtol=1e-12)
    assert np.sum(data_of(microbp.softmax(x))) == pytest.approx(1.0, abs=1e-12)
    for hot in range(len(logits)):
        target = [float(i == hot) for i in range(len(logits))]
        loss = microbp.cross_entropy(x, target)
        assert loss.data == pytest.approx(-log_p[hot], rel=1e-15, abs=1e-12)
        np.testing.assert_allclose(grad(loss, x), np.subtract(p, target), rtol=1e-12, atol=1e-12)
        by_parts = -microbp.log_softmax(x)[hot]
        assert by_parts.data == pytest.approx(loss.data, rel=1e-15, abs=1e-12)


def test_cross_entropy_of_logits_of_1000_in_numbers() -> None:
    x = array([1000.0, -1000.0], name="x")
    loss = microbp.cross_entropy(x, [0.0, 1.0])
    loss.backward()
    assert loss.data == 2000.0
    assert microbp.grad_of(x).tolist() == [1.0, -1.0]
    again = microbp.cross_entropy(x, [1.0, 0.0])
    assert (again.data, grad(again, x).tolist()) == (0.0, [0.0, 0.0])


def test_cross_entropy_of_soft_targets_and_its_gradient_for_them() -> None:
    x, t = array([0.5, -1.0, 2.0], name="x"), array([0.2, 0.3, 0.5], name="t")
    loss = microbp.cross_entropy(x, t)
    log_p = data_of(microbp.log_softmax(x))
    assert loss.data == pytest.approx(-float(data_of(t) @ log_p), rel=1e-15, abs=0.0)
    np.testing.assert_allclose(grad(loss, x), np.exp(log_p) - data_of(t), rtol=1e-14)
    np.testing.assert_allclose(grad(loss, t), -log_p, rtol=1e-15)


def test_the_gradient_of_a_softmax_is_its_jacobian() -> None:
    x = array([0.5, -1.0, 2.0], name="x")
    p = microbp.softmax(x)
    numbers = data_of(p)
    jacobian = np.array([grad(each, x) for each in p])
    np.testing.assert_allclose(jacobian, np.diag(numbers) - np.outer(numbers, numbers), atol=1e-15)


def test_softmax_of_numbers_lists_and_mixtures() -> None:
    for logits in ([1.0, 2.0], (1.0, 2.0), np.array([1.0, 2.0]), [Value(1.0), 2.0], array([1.0, 2.0])):
        for function in (microbp.softmax, microbp.log_softmax):
            result = function(logits)
            assert type(result) is Array
            assert result.shape == (2,)
    numbers, values = (microbp.softmax(x) for x in ([1.0, 2.0], array([1.0, 2.0])))
    assert data_of(numbers).tolist() == data_of(values).tolist()
    for function in (microbp.softmax, microbp.log_softmax):
        with pytest.raises(ValueError, match=r"^logsumexp\(x…\): the list is empty$"):
            function([])


@pytest.mark.parametrize("function", [microbp.softmax, microbp.log_softmax])
def test_softmax_propagates_nan(function: Any) -> None:
    assert all(math.isnan(each.data) for each in function([Value(math.nan), 1.0]))


def test_a_masked_logit_has_no_part_in_a_softmax() -> None:
    x = array([1.0, -math.inf, 2.0], name="x")
    p = microbp.softmax(x)
    assert p[1].data == 0.0
    np.testing.assert_allclose(data_of(p)[[0, 2]], data_of(microbp.softmax([1.0, 2.0])), rtol=1e-15)
    np.testing.assert_allclose(grad(microbp.logsumexp(x), x), data_of(p), rtol=1e-15)


# ------------------------------------------------------------------------------------- corners
def slopes(call: Callable[..., Value], *numbers: float) -> list[float]:
    values = [Value(x) for x in numbers]
    return [float(x) for x in grad(call(*values), values)]


def test_the_corners_that_people_ask_about() -> None:
    assert slopes(microbp.relu, 0.0) == slopes(microbp.relu, -0.0) == [0.0]
    assert slopes(microbp.abs, 0.0) == [0.0]
    assert slopes(microbp.maximum, 2.0, 2.0) == slopes(microbp.minimum, 2.0, 2.0) == [0.5, 0.5]
    assert slopes(lambda *x: microbp.max(x), 1.0, 3.0, 3.0, 3.0) == [0.0, 1 / 3, 1 / 3, 1 / 3]
    assert slopes(microbp.select, 0.0, 5.0, 7.0) == [0.0, 0.0, 1.0]
    assert slopes(microbp.clip, 1.0, 0.0, 1.0) == [0.0, 0.0, 1.0]
    assert slopes(lambda a: a**0, 0.0) == [0.0]
    assert slopes(lambda a: a**0.5, 0.0) == slopes(microbp.sqrt, 0.0) == [math.inf]
    assert slopes(lambda a: a**1, 0.0) == [1.0]
    assert slopes(lambda a: a**2, 0.0) == [0.0]
    assert slopes(lambda a: 0**a, 2.0) == [0.0]
    assert slopes(lambda a: a**3, -2.0) == [12.0]


def test_a_branch_that_stays_in_the_graph() -> None:
    c, a, b = Value(1.0), Value(5.0), Value(7.0)
    y = microbp.select(c, a, b)
    y.backward()
    assert (y.data, c.grad, a.grad, b.grad) == (5.0, 0.0, 1.0, 0.0)
    assert y.operands == (c, a, b)


def test_what_a_generator_raises_is_not_taken_for_its_kind() -> None:
    numbers: list[Any] = [1.0, 2.0]
    with pytest.raises(TypeError, match="object is not subscriptable"):
        microbp.sum(each[0] for each in numbers)
    with pytest.raises(TypeError, match=r"x is a list of Values or numbers, not float"):
        microbp.sum(1.0)
