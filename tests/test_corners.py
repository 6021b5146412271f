"""Derivatives of derivatives: at smooth points against many digits, at corners and ends against limits."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import REFERENCE
from support import at_once

import microbp
from microbp import UndefinedOperation, Value, check_gradients, define, grad
from microbp.record import record
from microbp.rules import RULES, TABLE, Rule

inf, nan = math.inf, math.nan
every_row = pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
UNARY = [rule for rule in TABLE if len(rule.args) == 1 and not rule.over]


def towers(y: Value, xs: Sequence[Value], order: int, by: tuple[int, ...] = ()) -> Iterator[Any]:
    """Each partial derivative up to that order: which operands, in order of differentiation, and it."""
    if by:
        yield by, y.data
    if len(by) < order:
        for place, slope in enumerate(grad(y, list(xs), create_graph=True)):
            yield from towers(slope, xs, order, (*by, place))


def tower(y: Value, x: Value, order: int = 4) -> list[float]:
    return [slope for _, slope in towers(y, [x], order)]


def close(found: float, exact: float, relative: float) -> bool:
    """Equal within ``relative``, or within a few of the smallest floats; infinities and nan exactly."""
    if math.isfinite(exact) and math.isfinite(found):
        return abs(found - exact) <= relative * abs(exact) + 4e-323
    return found == exact or (math.isnan(found) and math.isnan(exact))


# -------------------------------------------------------------------------------------- smooth points
@every_row
def test_derivatives_of_order_1_to_4_at_smooth_points(rule: Rule) -> None:
    rng = random.Random(5)  # noqa: S311
    width = 2 if rule.over else 1
    for box in rule.smooth:
        at = [rng.uniform(*i) for arg, i in zip(rule.args, box, strict=True)
              for _ in range(width if arg in rule.over else 1)]  # fmt: skip
        xs = [Value(x) for x in at]
        exact = partial_derivatives(rule, at, order := 4 if len(at) < 4 else 3)
        size = max(map(abs, exact.values()))
        for by, found in towers(record(rule, rule.split(xs)), xs, order):
            right = exact[tuple(sorted(by))]
            assert abs(found - right) <= 1e-10 * abs(right) + 1e-15 * size


def partial_derivatives(rule: Rule, at: Sequence[float], order: int) -> dict[tuple[int, ...], float]:
    """By the places of the operands, in order: the partial derivatives, from the definition in 60 digits."""

    def value(*numbers: Any) -> Any:
        return REFERENCE[rule.name](*rule.split(numbers))

    found = {}
    with mpmath.workdps(60):
        for by in itertools.chain(*(
            itertools.combinations_with_replacement(range(len(at)), n) for n in range(1, order + 1)
        )):  # fmt: skip
            orders = tuple(by.count(place) for place in range(len(at)))
            point = tuple(map(mpmath.mpf, at))
            found[by] = float(mpmath.diff(value, point, orders))
    return found


# ------------------------------------------------------------- the same where floats and formulas end
POINTS = [0.0, 1.0, 5e-324, 1e-300, 700.0, 745.0]
POINTS += [-x for x in POINTS[1:]]


class Limit(NamedTuple):
    """Derivatives of order 1 to 4 that no difference quotient gives, and why they are what they are."""

    derivatives: tuple[float, float, float, float]
    why: str


#: At a corner, by operation and argument.
CORNERS: dict[tuple[str, float], Limit] = {
    ("abs", 0.0): Limit((0.0, 0.0, 0.0, 0.0), "subgradient"),
    ("relu", 0.0): Limit((0.0, 0.0, 0.0, 0.0), "subgradient"),
    ("leaky_relu", 0.0): Limit((0.01, 0.0, 0.0, 0.0), "subgradient"),
    ("elu", 0.0): Limit((1.0, 0.0, 0.0, 0.0), "subgradient"),
    ("sqrt", 0.0): Limit((inf, -inf, inf, -inf), "one-sided limit"),
    ("asin", 1.0): Limit((inf, inf, inf, inf), "one-sided limit"),
    ("asin", -1.0): Limit((inf, -inf, inf, -inf), "one-sided limit"),
    ("acos", 1.0): Limit((-inf, -inf, -inf, -inf), "one-sided limit"),
    ("acos", -1.0): Limit((-inf, inf, -inf, inf), "one-sided limit"),
}
ZEROS, ONE_THEN_0 = (0.0, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)
#: At infinity: limits.
INFINITE: dict[tuple[str, float], tuple[float, float, float, float]] = {
    ("neg", inf): (-1.0, 0.0, 0.0, 0.0), ("neg", -inf): (-1.0, 0.0, 0.0, 0.0),
    ("exp", inf): (inf, inf, inf, inf), ("exp", -inf): ZEROS,
    ("expm1", inf): (inf, inf, inf, inf), ("expm1", -inf): ZEROS,
    ("log", inf): ZEROS, ("log1p", inf): ZEROS, ("sqrt", inf): ZEROS,
    ("atan", inf): ZEROS, ("atan", -inf): ZEROS, ("erf", inf): ZEROS, ("erf", -inf): ZEROS,
    ("erfc", inf): ZEROS, ("erfc", -inf): ZEROS, ("tanh", inf): ZEROS, ("tanh", -inf): ZEROS,
    ("sinh", inf): (inf, inf, inf, inf), ("sinh", -inf): (inf, -inf, inf, -inf),
    ("cosh", inf): (inf, inf, inf, inf), ("cosh", -inf): (-inf, inf, -inf, inf),
    ("sigmoid", inf): ZEROS, ("sigmoid", -inf): ZEROS,
    **{(name, end): each for name in ("relu", "leaky_relu", "elu", "softplus", "silu", "gelu")
       for end, each in ((inf, ONE_THEN_0), (-inf, ZEROS))},
    ("leaky_relu", -inf): (0.01, 0.0, 0.0, 0.0),
    ("abs", inf): ONE_THEN_0, ("abs", -inf): (-1.0, 0.0, 0.0, 0.0),
}  # fmt: skip
ACTIVATIONS = [*UNARY, RULES["leaky_relu"], RULES["elu"]]


def applied(rule: Rule, x: Value) -> Value:
    node: Value = record(rule, [x, *rule.defaults.values()])
    return node


def golden(rule: Rule, a: float) -> Limit:
    """What the derivatives are: from the tables above, or from the definition in 100 or 1,000 digits."""
    corner = CORNERS.get((rule.name, a))
    if corner is not None or math.isinf(a):
        return corner or Limit(INFINITE[rule.name, a], "limit at infinity")
    ordinary = a in (0.0, 1.0, -1.0)
    with mpmath.workdps(100 if ordinary else 1000):
        rest = list(rule.defaults.values())
        found = [mpmath.diff(lambda x: REFERENCE[rule.name](x, *rest), mpmath.mpf(a), n) for n in range(1, 5)]
        if ordinary:  # the step of the difference shows where the derivative is 0
            found = [0.0 if abs(each) < 1e-90 else each for each in found]
        return Limit(tuple(map(float, found)), "smooth")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ACTIVATIONS, ids=lambda rule: rule.name)
def test_corners_and_extremes(rule: Rule) -> None:
    for a in (*POINTS, inf, -inf):
        x = Value(a)
        try:
            y = applied(rule, x)
        except UndefinedOperation:
            with pytest.raises((ValueError, ArithmeticError)):  # so does the function of floats
                RULES[rule.name].y.evaluate({"a": a})
            continue
        exact = golden(rule, a)
        found = tower(y, x)
        for order, (each, limit) in enumerate(zip(found, exact.derivatives, strict=True), 1):
            assert close(each, limit, 1e-10), (a, order, exact)


@at_once(ACTIVATIONS)
def test_after_a_nan_comes_a_nan(rule: Rule) -> None:
    x = Value(nan)
    y = applied(rule, x)
    expected = [-1.0, 0.0, 0.0, 0.0] if rule.name == "neg" else [nan] * 4
    assert all(map(close, tower(y, x), expected, [0.0] * 4))


# ---------------------------------------------------------------------------- operations of two arguments
@cache
def power(a: float, b: float, m: int, n: int) -> float:
    """The derivative of a**b, m times in a and n times in b: at 0 and at infinity from its trend."""

    def exact(log: Any, sign: int = 1) -> Any:
        falling = mpmath.diff(lambda e: mpmath.ff(e, m) * mpmath.exp(log * (e - m)), mpmath.mpf(b), n)
        return falling * sign ** int(b - m)

    if math.isnan(a) and b == m and not n:
        return math.factorial(m)  # that of a polynomial's leading term
    if math.isnan(a) or (a < 0.0 and n):
        return nan
    with mpmath.workdps(80):
        if 0.0 < abs(a) < inf:
            return float(exact(mpmath.log(abs(a)), 1 if a > 0.0 else -1))
        if a == b == 0.0 and not m:
            return 0.0  # a**b jumps there; the table's convention
        ends = [exact(mpmath.mpf(10) ** k * (1 if a else -1)) for k in (4, 5, 6)]
        if abs(ends[2]) < 1e-9:
            return 0.0
        if abs(ends[2] - ends[1]) < 1e-9:
            return float(ends[2])
        return inf if ends[2] > 0 else -inf


BASES = [0.0, 5e-324, 1e-300, 0.3, 1.0, 2.0, 700.0, inf, nan, -0.3, -2.0, -700.0]
EXPONENTS = [0.0, 0.1, 0.5, 1.0, 1.1, 2.0, 2.5, 3.0, 4.0, 7.0, -1.0, -0.5, -2.0]


@pytest.mark.parametrize("a", BASES)
def test_all_partial_derivatives_of_a_power(a: float) -> None:
    for b in EXPONENTS:
        xs = [Value(a), Value(b)]
        try:
            y = xs[0] ** xs[1]
        except UndefinedOperation:
            assert b < 0.0 if 0.0 <= a < 1e-150 else b != int(b)
            continue
        for by, found in towers(y, xs, 4 if b in (0.0, 0.5, 1.0, 2.5) else 3):
            exact = power(a, b, by.count(0), by.count(1))
            assert close(found, exact, 1e-10), (b, by, found, exact)


@at_once(BASES[:-1])
def test_the_derivatives_of_a_power_with_a_plain_exponent(a: float) -> None:
    x = Value(a)
    for b in (0.1, 0.5, 1.0, 2.0, 2.5, 3.0, -1.0, -0.5):
        if b < 0.0 if 0.0 <= a < 1e-305 else a < 0.0 and b != int(b):
            continue  # it raises, as above
        for order, found in enumerate(tower(x**b, x), 1):
            assert close(found, power(a, b, order, 0), 1e-10), (b, order)


def test_the_sign_of_a_power_s_derivative_where_the_exponent_is_huge() -> None:
    for b in (2.0**53, 2.0**53 + 2.0, 2.0**60, -(2.0**60)):  # all of them even, so that b - 1 is odd
        a = Value(-1.0)
        assert grad(a**b, a) == -b
        assert grad(a**b, a, create_graph=True).data == -b


def test_a_power_whose_derivative_is_beyond_the_largest_float_is_that_of_a_quotient() -> None:
    x = Value(1e-300)
    assert tower(x**-1, x) == tower(1 / x, x) == [-inf, inf, -inf, inf]
    x = Value(1e-309)
    assert (x**0).data == 1.0
    assert tower(x**0, x) == [0.0] * 4


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x * (1 - x**1.1), [1.0, 0.0, -inf, inf]),
        (lambda x: x * x**1.1, [0.0, 0.0, inf, -inf]),
        (lambda x: (x**0.5) ** 5, [0.0, 0.0, inf, -inf]),
        (lambda x: 3 * x**0.5 * x, [nan, nan, nan, nan]),
        (lambda x: x**2.5, [0.0, 0.0, inf, -inf]),
        (lambda x: x * abs(x), [0.0, 0.0, 0.0, 0.0]),
        (lambda x: abs(x) ** 3, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_a_sum_of_products_at_a_corner(function: Any, expected: list[float]) -> None:
    """The limit, or nan where the parts alone do not tell it; never a finite number that is none."""
    x = Value(0.0)
    for found, limit in zip(tower(function(x), x), expected, strict=True):
        assert close(found, limit, 0.0) or math.isnan(found), (found, limit)
    assert tower(x * (1 - x**1.1), x) == [1.0, 0.0, -inf, inf]


def test_negative_zero_is_zero() -> None:
    x = Value(0.0)
    assert grad((-x).sqrt(), x, create_graph=True).data == grad((-x).sqrt(), x) == -inf
    x = Value(-0.0)
    assert tower(x.sqrt(), x) == [inf, -inf, inf, -inf]


@pytest.mark.parametrize("at", [-40.1, -3.0, 0.0, 36.0, 40.0])
def test_the_curvature_of_logsumexp_keeps_its_digits(at: float) -> None:
    """However sure the softmax is: that of two logits is the logistic function."""
    x, zero = Value(at), Value(0.0)
    np.testing.assert_allclose(
        tower(microbp.logsumexp([x, zero]), x), tower(Value.softplus(x), x), rtol=1e-12, atol=1e-300
    )
    first = grad(microbp.cross_entropy([x, zero], [1.0, 0.0]), [x, zero], create_graph=True)
    second = [[grad(each, [x, zero])[place] for place in range(2)] for each in first]
    bend = tower(Value.softplus(x), x, 2)[1]
    np.testing.assert_allclose(second, [[bend, -bend], [-bend, bend]], rtol=1e-12)


def test_powers_of_zero_are_looked_for_without_recursion_and_not_far() -> None:
    x = Value(0.0)
    y = x
    for _ in range(5_000):
        y = y * 1.0001
    slope = grad(y * x**1.5, x, create_graph=True)
    assert slope.data == 0.0
    x = Value(-0.0)  # the power -1 of which is -inf
    assert grad(grad(x**0.5, x, create_graph=True), x) == -inf


TIES: list[tuple[str, tuple[float, ...], list[float], list[list[float]]]] = [
    # operation, operands, gradient, Hessian
    ("minimum", (2.0, 2.0), [0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]]),
    ("maximum", (2.0, 2.0), [0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]]),
    ("maximum", (nan, 0.5), [nan, nan], [[nan, nan], [nan, nan]]),
    ("maximum", (inf, 0.5), [1.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("leaky_relu", (0.0, 0.25), [0.25, 0.0], [[0.0, 1.0], [1.0, 0.0]]),
    ("leaky_relu", (nan, 0.25), [nan, nan], [[nan, nan], [nan, nan]]),
    ("elu", (0.0, 3.0), [3.0, 0.0], [[0.0, 1.0], [1.0, 0.0]]),
    ("elu", (-inf, 3.0), [0.0, -1.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("clip", (0.0, 0.0, 1.0), [0.0, 1.0, 0.0], [[0.0] * 3] * 3),
    ("clip", (1.0, 0.0, 1.0), [0.0, 0.0, 1.0], [[0.0] * 3] * 3),
    ("clip", (nan, 0.0, 1.0), [nan] * 3, [[nan] * 3] * 3),
    ("select", (0.0, 5.0, 7.0), [0.0, 0.0, 1.0], [[0.0] * 3] * 3),
    ("select", (nan, 5.0, 7.0), [nan] * 3, [[nan] * 3] * 3),
    ("div", (1.0, inf), [0.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("mul", (nan, 3.0), [3.0, nan], [[0.0, 1.0], [1.0, 0.0]]),
    ("max", (3.0, 3.0, 1.0), [0.5, 0.5, 0.0], [[0.0] * 3] * 3),
    ("logsumexp", (-inf, 0.0), [0.0, 1.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("logsumexp", (inf, 0.0), [1.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("logsumexp", (nan, 0.0), [nan, nan], [[nan, nan], [nan, nan]]),
    ("logsumexp", (1e16, 1e16), [0.5, 0.5], [[0.25, -0.25], [-0.25, 0.25]]),
    ("pow", (0.0, 1.0), [1.0, 0.0], [[0.0, -inf], [-inf, 0.0]]),
    ("pow", (0.0, 0.0), [0.0, 0.0], [[0.0, inf], [inf, 0.0]]),
    ("pow", (-2.0, 3.0), [12.0, nan], [[-12.0, nan], [nan, nan]]),
]


@at_once(TIES)
def test_gradients_and_hessians_at_ties(
    name: str, operands: tuple[float, ...], gradient: list[float], hessian: list[list[float]]
) -> None:
    xs = [Value(x) for x in operands]
    rule = RULES[name]
    first = grad(record(rule, rule.split(xs)), xs, create_graph=True)
    np.testing.assert_array_equal([each.data for each in first], gradient)
    second = [[each.data for each in grad(slope, xs, create_graph=True)] for slope in first]
    np.testing.assert_array_equal(second, hessian)
    np.testing.assert_array_equal(second, np.transpose(second))


def test_the_hessian_of_a_loss_with_a_subgradient() -> None:
    w = [Value(0.0), Value(0.5)]
    loss = abs(w[0]) + abs(w[1]) + (w[0] - w[1]) ** 2
    first = grad(loss, w, create_graph=True)
    assert [[grad(each, w)[0], grad(each, w)[1]] for each in first] == [[2.0, -2.0], [-2.0, 2.0]]


def test_a_gradient_that_is_a_number_certifies_nothing() -> None:
    x = Value(0.0, name="x")
    first = grad(abs(x), x, create_graph=True)
    with pytest.raises(microbp.NoGradientError, match="nothing to check"):
        check_gradients(first)


def test_a_corner_of_one_s_own() -> None:
    step = define(
        "root", "a", "sqrt(a)", "inf if a == 0.0 else 0.5 / y", smooth=[[(0.5, 2.0)]], doc="A root of my own."
    )
    try:
        x = Value(0.0)
        first, *more = tower(step(x), x)
        assert first == inf
        assert all(map(math.isnan, more))  # the text says no more than that it is infinite
    finally:
        del RULES["root"]


# ---------------------------------------------------------------------------- large and infinite logits
LOGITS = [
    [250.1, 226.3], [1e6, 1e6 - 1.0, 1e6 - 30.0], [1e9, 1e9 - 2.0, -1e9], [-1e9, -1e9 - 1.0], [1e9, -1e9],
    [0.0, -inf, 1.0], [-inf, 0.0], [1e9, -inf, 1e9], [3.0, 3.0, 3.0], [745.0, 0.0], [1e300, -1e300, 1e300],
]  # fmt: skip


def exactly(logits: list[float]) -> list[Any]:
    """The softmax in many digits; a class that is masked has 0."""
    top = max(logits)
    weights = [mpmath.exp(mpmath.mpf(x) - top) if x > -inf else mpmath.mpf(0) for x in logits]
    return [each / mpmath.fsum(weights) for each in weights]


@at_once(LOGITS)
def test_the_losses_of_large_and_masked_logits(logits: list[float]) -> None:
    with mpmath.workdps(500):
        p = exactly(logits)
        for label in range(len(logits)):
            x = [Value(each) for each in logits]
            loss = microbp.losses.softmax_cross_entropy(x, label)
            other = -microbp.log_softmax(x)[label]
            exact = -float(mpmath.log(p[label])) if p[label] else inf
            assert close(loss.data, exact, 1e-13)
            assert close(other.data, exact, 1e-13)
            assert loss.data >= 0.0
            for found, each, place in zip(grad(loss, x), p, range(len(x)), strict=True):
                assert close(found, float(each - (place == label)), 1e-13)
            slopes = [float(each) - (place == label) for place, each in enumerate(p)]
            np.testing.assert_allclose(grad(other, x), slopes, atol=1e-13)
        x = [Value(each) for each in logits]
        total = microbp.logsumexp(x)
        assert close(total.data, float(mpmath.mpf(max(logits)) - mpmath.log(max(p))), 1e-15)
        assert all(close(g, float(each), 1e-13) for g, each in zip(grad(total, x), p, strict=True))
        found = microbp.softmax(x)
        assert all(close(each.data, float(share), 1e-13) for each, share in zip(found, p, strict=True))
        assert sum(each.data for each in found) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize(
    ("logits", "value", "softmax"),
    [
        ([-inf, -inf], -inf, [0.5, 0.5]), ([-inf], -inf, [1.0]), ([inf, 1.0], inf, [1.0, 0.0]),
        ([inf, inf], inf, [0.5, 0.5]), ([1.0, nan], nan, [nan, nan]), ([1e16, 1e16], 1e16, [0.5, 0.5]),
    ],
)  # fmt: skip
def test_infinite_logits(logits: list[float], value: float, softmax: list[float]) -> None:
    x = [Value(each) for each in logits]
    np.testing.assert_array_equal(microbp.logsumexp(x).data, value)
    np.testing.assert_array_equal([each.data for each in microbp.softmax(x)], softmax)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=6), st.data())
def test_a_cross_entropy_is_never_negative(logits: list[float], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.0, 1.0), min_size=len(logits), max_size=len(logits)))
    total = math.fsum(weights)
    targets = [each / total for each in weights] if total > 1e-3 else [1.0] + [0.0] * (len(logits) - 1)
    x = [Value(each) for each in logits]
    loss = microbp.losses.softmax_cross_entropy(x, targets)
    assert loss.data >= 0.0
    with mpmath.workdps(60):
        p = exactly(logits)
        exact = mpmath.fsum(-t * mpmath.log(each) for t, each in zip(targets, p, strict=True) if t)
        assert abs(loss.data - exact) <= 1e-13 * exact + 1e-300
