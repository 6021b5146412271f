"""Derivatives of derivatives: at smooth points against many digits, at corners and ends against limits."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import mpmath  # type: ignore[import-untyped]
import pytest
from strategies import REFERENCE

from microbp import UndefinedOperation, Value, grad
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
    """What the derivatives are: from the tables above, or from the definition in 1,000 digits."""
    corner = CORNERS.get((rule.name, a))
    if corner is not None or math.isinf(a):
        return corner or Limit(INFINITE[rule.name, a], "limit at infinity")
    with mpmath.workdps(1000):
        rest = list(rule.defaults.values())
        found = [mpmath.diff(lambda x: REFERENCE[rule.name](x, *rest), mpmath.mpf(a), n) for n in range(1, 5)]
        return Limit(tuple(map(float, found)), "smooth")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ACTIVATIONS, ids=lambda rule: rule.name)
@pytest.mark.parametrize("a", [*POINTS, inf, -inf])
def test_corners_and_extremes(rule: Rule, a: float) -> None:
    x = Value(a)
    try:
        y = applied(rule, x)
    except UndefinedOperation:
        with pytest.raises((ValueError, ArithmeticError)):  # so does the function of floats
            RULES[rule.name].y.evaluate({"a": a})
        return
    exact = golden(rule, a)
    found = tower(y, x)
    for order, (each, limit) in enumerate(zip(found, exact.derivatives, strict=True), 1):
        assert close(each, limit, 1e-10), (order, exact)


@pytest.mark.parametrize("rule", ACTIVATIONS, ids=lambda rule: rule.name)
def test_after_a_nan_comes_a_nan(rule: Rule) -> None:
    x = Value(nan)
    y = applied(rule, x)
    expected = [-1.0, 0.0, 0.0, 0.0] if rule.name == "neg" else [nan] * 4
    assert all(map(close, tower(y, x), expected, [0.0] * 4))


# ---------------------------------------------------------------------------- operations of two arguments
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


@pytest.mark.parametrize("b", EXPONENTS)
@pytest.mark.parametrize("a", BASES)
def test_all_partial_derivatives_of_a_power(a: float, b: float) -> None:
    xs = [Value(a), Value(b)]
    try:
        y = xs[0] ** xs[1]
    except UndefinedOperation:
        assert b < 0.0 if 0.0 <= a < 1e-150 else b != int(b)
        return
    for by, found in towers(y, xs, 4):
        exact = power(a, b, by.count(0), by.count(1))
        assert close(found, exact, 1e-10), (by, found, exact)


@pytest.mark.parametrize("b", [0.1, 0.5, 1.0, 2.0, 2.5, 3.0, -1.0, -0.5])
@pytest.mark.parametrize("a", BASES[:-1])
def test_the_derivatives_of_a_power_with_a_plain_exponent(a: float, b: float) -> None:
    x = Value(a)
    if b < 0.0 if 0.0 <= a < 1e-305 else a < 0.0 and b != int(b):
        return  # it raises, as above
    for order, found in enumerate(tower(x**b, x), 1):
        assert close(found, power(a, b, order, 0), 1e-10), order
