"""The table: every derivative checked in two independent ways, every convention pinned, every error told."""

from __future__ import annotations

import copy
import importlib.util
import math
import pickle
import random
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import mpmath  # type: ignore[import-untyped]
import pytest
from support import at_once

from microbp.check.rules import check_rule
from microbp.compiled import compiled
from microbp.errors import RuleError
from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS, Expression, Reading, parse
from microbp.rules import RULES, TABLE, Rule, add, row

inf, nan = math.inf, math.nan
LN2 = math.log(2.0)
ROOT = Path(__file__).resolve().parents[1]
every_row = pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)


# --------------------------------------------------------------- each derivative, twice independently
def wrong_by_complex_step(rule: Rule) -> list[str]:
    """The operands whose derivative disagrees by more than 1e-12 at one of 300 points of a box."""
    report = check_rule(rule, points=300, seed=1)
    assert report.points == 300 * len(rule.smooth) > 0
    return [each.operand for each in report.rows if not each.error <= 1e-12]


#: The rule language in numbers of as many digits as are asked for.
DIGITS = Reading(
    {name: getattr(mpmath, {"abs": "fabs", "pow": "power"}.get(name, name), None) for name in FUNCTIONS}
    | {"sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)), "total": mpmath.fsum, "largest": max}
    | {"rest": lambda x: mpmath.fsum(sorted(x)[:-1])},
    lambda x: x,
)
EXACT_CONSTANTS = {"pi": mpmath.pi, "inf": mpmath.inf, "nan": mpmath.nan}


def wrong_by_central_difference(rule: Rule) -> list[str]:
    """The operands whose derivative disagrees with (y(a + h) - y(a - h)) / 2h in 100 digits.

    The text evaluated in floats may differ by 1e-12, in 100 digits by 1e-30: of itself. So do the form
    that people are shown and the one that is differentiated again.
    """
    wrong = []
    with mpmath.workdps(100):
        for at, y, slopes in central_differences(rule.y, rule.args, rule.over, rule.smooth):
            value = compiled(rule).value(*at.values())
            for (arg, place), measured in slopes.items():
                number = rule.args.index(arg)
                forms = rule.shown[number], rule.again[number]
                exact = [evaluate(rule.over, form, {**at, "y": y}, DIGITS, place) for form in forms]
                stated = compiled(rule).derivatives[number](*at.values(), value)
                stated = stated if place is None else stated[place]
                near = abs(stated - measured) <= mpmath.mpf("1e-12") * abs(measured)
                bound = mpmath.mpf("1e-30") * abs(measured) + mpmath.mpf("1e-60")
                if not near or not all(abs(each - measured) <= bound for each in exact):
                    wrong.append(arg if place is None else f"{arg}[{place}]")
    return wrong


@cache
def central_differences(
    y: Expression, args: tuple[str, ...], over: tuple[str, ...], smooth: tuple[Any, ...]
) -> list[tuple[dict[str, Any], Any, dict[tuple[str, int | None], Any]]]:
    """Points, the value there, and its slopes by operand and place: once for a row and its planted errors."""
    found, rng, h = [], random.Random(2), mpmath.mpf(10) ** -25  # noqa: S311
    for box in smooth:
        for turn in range(20):
            at: dict[str, Any] = {
                arg: [rng.uniform(*interval) for _ in range(1 + turn % 3)] if arg in over
                else rng.uniform(*interval)
                for arg, interval in zip(args, box, strict=True)
            }  # fmt: skip
            slopes = {}
            for arg in args:
                for place in range(len(at[arg])) if arg in over else (None,):
                    up = evaluate(over, y, moved(at, arg, place, h), DIGITS)
                    down = evaluate(over, y, moved(at, arg, place, -h), DIGITS)
                    slopes[arg, place] = (up - down) / (2 * h)
            found.append((at, evaluate(over, y, at, DIGITS), slopes))
    return found


def evaluate(
    over: tuple[str, ...],
    expression: Expression,
    at: dict[str, Any],
    reading: Reading,
    place: int | None = None,
) -> Any:
    """An expression of a row in mpmath's numbers, for the element ``place`` of the lists."""
    scope = {
        arg: [mpmath.mpf(x) for x in each] if isinstance(each, list) else mpmath.mpf(each)
        for arg, each in at.items()
    }
    lists = zip(*(scope[arg] for arg in over), strict=True)
    elements = [dict(zip(over, each, strict=True)) for each in lists]
    here = elements[place] if place is not None else {}
    once = reading._replace(known={})  # a sum within a sum is computed once
    return expression.evaluate({**EXACT_CONSTANTS, **scope, **here}, once, elements)


def moved(at: dict[str, Any], arg: str, place: int | None, by: Any) -> dict[str, Any]:
    if place is None:
        return {**at, arg: mpmath.mpf(at[arg]) + by}
    return {**at, arg: [mpmath.mpf(x) + (by if i == place else 0) for i, x in enumerate(at[arg])]}


@every_row
def test_the_complex_step_agrees_with_every_derivative_to_1e_12(rule: Rule) -> None:
    assert wrong_by_complex_step(rule) == []


@every_row
def test_central_differences_in_100_digits_agree_with_every_derivative_to_1e_12(rule: Rule) -> None:
    assert wrong_by_central_difference(rule) == []


def planted(rule: Rule) -> Rule:
    """The row with its derivatives wrong by 0.05 %; by 0.0005 where one is 0 everywhere."""
    texts = [
        f"({d}) + 0.0005" if (rule.name, arg) == ("select", "c") else f"({d}) * 1.0005"
        for arg, d in zip(rule.args, rule.d, strict=True)
    ]
    d = tuple(parse(text, (*rule.args, "y"), rule.name, many=bool(rule.over)) for text in texts)
    return replace(rule, name=f"wrong_{rule.name}", d=d)


@pytest.mark.parametrize("search", [wrong_by_complex_step, wrong_by_central_difference])
@every_row
def test_a_derivative_that_is_wrong_by_a_twentieth_of_a_percent_is_caught(
    rule: Rule, search: Callable[[Rule], list[str]]
) -> None:
    assert {each.partition("[")[0] for each in search(planted(rule))} == set(rule.args)


@pytest.mark.parametrize("form", ["shown", "again"])
@every_row
def test_a_form_that_states_another_derivative_is_caught(rule: Rule, form: str) -> None:
    wrong = replace(rule, **{form: planted(rule).d})
    assert {each.partition("[")[0] for each in wrong_by_central_difference(wrong)} == set(rule.args)


@pytest.mark.parametrize("search", [wrong_by_complex_step, wrong_by_central_difference])
@pytest.mark.parametrize(
    ("name", "arg"), [("mul", "b"), ("clip", "low"), ("dot", "x"), ("cross_entropy", "t")]
)
def test_the_one_that_is_wrong_is_named(name: str, arg: str, search: Callable[[Rule], list[str]]) -> None:
    rule = RULES[name]
    pairs = zip(rule.args, rule.d, planted(rule).d, strict=True)
    wrong = replace(planted(rule), d=tuple(bad if each == arg else good for each, good, bad in pairs))
    assert {each.partition("[")[0] for each in search(wrong)} == {arg}


@at_once(TABLE)
def test_no_kink_lies_within_a_smooth_box(rule: Rule) -> None:
    rng = random.Random(3)  # noqa: S311
    for kink in rule.kink:
        for box in rule.smooth:
            points = [{a: rng.uniform(*i) for a, i in zip(rule.args, box, strict=True)} for _ in range(300)]
            assert len({kink.evaluate(point) > 0.0 for point in points}) == 1


# --------------------------------------------------------------------- each value, by its definition
def s(a: Any) -> Any:
    return 1 / (1 + mpmath.exp(-a))


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,  "sub": lambda a, b: a - b,  "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,  "pow": mpmath.power,        "neg": lambda a: -a,
    "abs": lambda a: max(a, -a), "relu": lambda a: max(a, 0),
    "exp": mpmath.exp,          "expm1": mpmath.expm1,      "log": mpmath.log,
    "log1p": mpmath.log1p,      "sqrt": mpmath.sqrt,        "erf": mpmath.erf,
    "sin": mpmath.sin,          "cos": mpmath.cos,          "tan": mpmath.tan,
    "asin": mpmath.asin,        "acos": mpmath.acos,        "atan": mpmath.atan,
    "sinh": mpmath.sinh,        "cosh": mpmath.cosh,        "tanh": mpmath.tanh,
    "erfc": mpmath.erfc,        "sigmoid": s,
    "softplus": lambda a: mpmath.log(1 + mpmath.exp(a)),
    "silu": lambda a: a * s(a), "gelu": lambda a: a * mpmath.ncdf(a),
    "leaky_relu": lambda a, s: max(a, 0) + s * min(a, 0),
    "elu": lambda a, s: max(a, 0) + s * min(mpmath.expm1(a), 0),
    "minimum": min,             "maximum": max,
    "clip": lambda a, low, high: min(max(a, low), high),
    "select": lambda c, a, b: a if c > 0 else b,
    "sum": mpmath.fsum,         "max": max,
    "dot": lambda w, x, b: mpmath.fdot(w, x) + b,
    "logsumexp": lambda x: mpmath.log(mpmath.fsum(map(mpmath.exp, x))),
    "cross_entropy": lambda x, t: mpmath.fdot(t, [DEFINITIONS["logsumexp"](x) - each for each in x]),
}  # fmt: skip


@at_once(TABLE)
def test_the_value_is_the_operation_by_its_definition(rule: Rule) -> None:
    rng = random.Random(4)  # noqa: S311
    with mpmath.workdps(50):
        for box in rule.smooth:
            for turn in range(20):
                numbers = [
                    [rng.uniform(*i) for _ in range(1 + turn % 4)] if arg in rule.over else rng.uniform(*i)
                    for arg, i in zip(rule.args, box, strict=True)
                ]
                exact = DEFINITIONS[rule.name](*(mpmath.mpmathify(x) if isinstance(x, float) else
                                                 [mpmath.mpf(each) for each in x] for x in numbers))
                # Relative to the value; where elements cancel, to what was added.
                size = max(abs(exact), 1 if rule.over else 0)
                assert abs(compiled(rule).value(*numbers) - exact) <= 1e-14 * size, numbers


# ------------------------------------------------------------------------------ corners, conventions
class Corner(NamedTuple):
    operands: tuple[Any, ...]
    y: float
    d: tuple[Any, ...]


def corners(*texts: tuple[tuple[Any, ...], float, tuple[Any, ...]]) -> list[Corner]:
    return [Corner(*text) for text in texts]


#: By operation: the sentence in the table, and what it says in numbers: operands, y, derivatives.
GOLDEN: dict[str, tuple[str, list[Corner]]] = {
    "abs": ("At 0 the derivative is 0.", corners(
        ((0.0,), 0.0, (0.0,)),
        ((-0.0,), 0.0, (0.0,)),
        ((5e-324,), 5e-324, (1.0,)),
        ((-5e-324,), 5e-324, (-1.0,)),
        ((-inf,), inf, (-1.0,)),
    )),
    "relu": ("At 0 the derivative is 0.", corners(
        ((0.0,), 0.0, (0.0,)),
        ((-0.0,), 0.0, (0.0,)),
        ((5e-324,), 5e-324, (1.0,)),
        ((-5e-324,), 0.0, (0.0,)),
        ((inf,), inf, (1.0,)),
        ((-inf,), 0.0, (0.0,)),
    )),
    "sqrt": ("At 0 the derivative is inf.", corners(
        ((0.0,), 0.0, (inf,)),
        ((-0.0,), 0.0, (inf,)),
        ((4.0,), 2.0, (0.25,)),
        ((inf,), inf, (0.0,)),
    )),
    "asin": ("At ±1 the derivative is inf.", corners(
        ((1.0,), math.pi / 2, (inf,)),
        ((-1.0,), -math.pi / 2, (inf,)),
    )),
    "acos": ("At ±1 the derivative is -inf.", corners(
        ((1.0,), 0.0, (-inf,)),
        ((-1.0,), math.pi, (-inf,)),
    )),
    "pow": (
        ("At b = 0 the derivative in a is 0, also at a = 0; at a = 0 with 0 < b < 1 it is inf. "
         "The derivative in b is 0 at a = 0 and nan at a < 0, where a neighbouring b gives no real power. "
         "As in IEEE 754, nan to the power 0 and 1 to the power nan are 1."), corners(
        ((2.0, 0.0), 1.0, (0.0, math.log(2.0))),
        ((-2.0, 0.0), 1.0, (0.0, nan)),
        ((0.0, 0.0), 1.0, (0.0, 0.0)),
        ((0.0, 0.5), 0.0, (inf, 0.0)),
        ((0.0, 1.0), 0.0, (1.0, 0.0)),
        ((0.0, 1.5), 0.0, (0.0, 0.0)),
        ((0.0, 2.0), 0.0, (0.0, 0.0)),
        ((0.0, 3.0), 0.0, (0.0, 0.0)),
        ((-0.0, 0.5), 0.0, (inf, 0.0)),
        ((-2.0, 1.0), -2.0, (1.0, nan)),
        ((-2.0, 2.0), 4.0, (-4.0, nan)),
        ((-2.0, 3.0), -8.0, (12.0, nan)),
        ((-2.0, -1.0), -0.5, (-0.25, nan)),
        ((1.0, 5.0), 1.0, (5.0, 0.0)),
        ((nan, 0.0), 1.0, (nan, nan)),
        ((1.0, nan), 1.0, (nan, 0.0)),
        ((0.0, nan), nan, (nan, nan)),
    )),
    "leaky_relu": ("At 0 the derivative is s.", corners(
        ((0.0, 0.01), 0.0, (0.01, 0.0)),
        ((-0.0, 0.25), 0.0, (0.25, 0.0)),
        ((5e-324, 0.01), 5e-324, (1.0, 0.0)),
        ((-2.0, 0.25), -0.5, (0.25, -2.0)),
    )),
    "elu": ("At 0 the derivative is s.", corners(
        ((0.0, 1.0), 0.0, (1.0, 0.0)),
        ((0.0, 0.25), 0.0, (0.25, 0.0)),
        ((-0.0, 3.0), 0.0, (3.0, 0.0)),
        ((5e-324, 3.0), 5e-324, (1.0, 0.0)),
        ((-1e3, 2.0), -2.0, (0.0, -1.0)),
        ((-inf, 2.0), -2.0, (0.0, -1.0)),
        ((1e3, 2.0), 1e3, (1.0, 0.0)),
    )),
    "minimum": ("At a tie each side takes half.", corners(
        ((2.0, 2.0), 2.0, (0.5, 0.5)),
        ((0.0, -0.0), 0.0, (0.5, 0.5)),
        ((inf, inf), inf, (0.5, 0.5)),
        ((1.0, 2.0), 1.0, (1.0, 0.0)),
        ((2.0, 1.0), 1.0, (0.0, 1.0)),
        ((-inf, 0.0), -inf, (1.0, 0.0)),
    )),
    "maximum": ("At a tie each side takes half.", corners(
        ((2.0, 2.0), 2.0, (0.5, 0.5)),
        ((0.0, -0.0), 0.0, (0.5, 0.5)),
        ((-inf, -inf), -inf, (0.5, 0.5)),
        ((1.0, 2.0), 2.0, (0.0, 1.0)),
        ((2.0, 1.0), 2.0, (1.0, 0.0)),
        ((inf, 0.0), inf, (1.0, 0.0)),
    )),
    "clip": (
        "At a bound the bound has the derivative, and a has 0; where low > high the result is high.", corners(
        ((0.0, 0.0, 1.0), 0.0, (0.0, 1.0, 0.0)),
        ((1.0, 0.0, 1.0), 1.0, (0.0, 0.0, 1.0)),
        ((0.5, 0.0, 1.0), 0.5, (1.0, 0.0, 0.0)),
        ((-0.5, 0.0, 1.0), 0.0, (0.0, 1.0, 0.0)),
        ((1.5, 0.0, 1.0), 1.0, (0.0, 0.0, 1.0)),
        ((1.0, 1.0, 1.0), 1.0, (0.0, 0.0, 1.0)),
        ((0.0, 1.0, 1.0), 1.0, (0.0, 1.0, 0.0)),
        ((-2.0, 1.0, -1.0), -1.0, (0.0, 0.0, 1.0)),
        ((0.0, 1.0, -1.0), -1.0, (0.0, 0.0, 1.0)),
        ((2.0, 1.0, -1.0), -1.0, (0.0, 0.0, 1.0)),
        ((5.0, -inf, inf), 5.0, (1.0, 0.0, 0.0)),
    )),
    "select": ("At c = 0 it is b; the derivative in c is 0 everywhere, although y jumps there.", corners(
        ((0.0, 2.0, 3.0), 3.0, (0.0, 0.0, 1.0)),
        ((-0.0, 2.0, 3.0), 3.0, (0.0, 0.0, 1.0)),
        ((5e-324, 2.0, 3.0), 2.0, (0.0, 1.0, 0.0)),
        ((-1.0, 2.0, 3.0), 3.0, (0.0, 0.0, 1.0)),
        ((inf, 2.0, 3.0), 2.0, (0.0, 1.0, 0.0)),
    )),
    "max": ("At a tie the largest share the derivative equally.", corners(
        (([3.0, 3.0],), 3.0, ([0.5, 0.5],)),
        (([3.0, 1.0, 3.0, 3.0, 3.0],), 3.0, ([0.25, 0.0, 0.25, 0.25, 0.25],)),
        (([0.0, -0.0],), 0.0, ([0.5, 0.5],)),
        (([7.0],), 7.0, ([1.0],)),
        (([-inf, -inf],), -inf, ([0.5, 0.5],)),
        (([inf, 1.0],), inf, ([1.0, 0.0],)),
    )),
    "logsumexp": ("Elements that are infinite and equal share the derivative equally.", corners(
        (([-inf],), -inf, ([1.0],)),
        (([-inf, -inf],), -inf, ([0.5, 0.5],)),
        (([inf, inf, 1.0],), inf, ([0.5, 0.5, 0.0],)),
        (([inf, 1.0],), inf, ([1.0, 0.0],)),
        (([-inf, 2.0],), 2.0, ([0.0, 1.0],)),
        (([1e16, 1e16],), 1e16, ([0.5, 0.5],)),
    )),
    "cross_entropy": ("Logits that are infinite and equal share their probability equally.", corners(
        (([-inf, 0.0], [0.0, 1.0]), 0.0, ([0.0, 0.0], [inf, 0.0])),
        (([-inf, 0.0], [1.0, 0.0]), inf, ([-1.0, 1.0], [inf, 0.0])),
        (([inf, 0.0], [1.0, 0.0]), 0.0, ([0.0, 0.0], [0.0, inf])),
        (([inf, 0.0], [0.0, 1.0]), inf, ([1.0, -1.0], [0.0, inf])),
        (([-inf, 0.0, 0.0], [0.0, 1.0, 0.0]), LN2, ([0.0, -0.5, 0.5], [inf, LN2, LN2])),
        (([inf, inf], [0.0, 1.0]), LN2, ([0.5, -0.5], [LN2, LN2])),
        (([1e9, -1e9], [1.0, 0.0]), 0.0, ([0.0, 0.0], [0.0, 2e9])),
    )),
}  # fmt: skip

#: What a NaN that comes in does: it goes out, but where its branch is not the one that is taken.
NANS: dict[str, list[Corner]] = {
    **{
        name: corners(((nan,), nan, (nan,)))
        for name in ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
                     "cosh", "tanh", "erf", "erfc", "abs", "relu", "sqrt", "sigmoid", "softplus", "silu",
                     "gelu")
    },
    "neg": corners(((nan,), nan, (-1.0,))),
    "add": corners(((nan, 2.0), nan, (1.0, 1.0)), ((2.0, nan), nan, (1.0, 1.0))),
    "sub": corners(((nan, 2.0), nan, (1.0, -1.0)), ((2.0, nan), nan, (1.0, -1.0))),
    "mul": corners(((nan, 2.0), nan, (2.0, nan)), ((2.0, nan), nan, (nan, 2.0)),
                   ((0.0, nan), nan, (nan, 0.0))),
    "div": corners(((nan, 2.0), nan, (0.5, nan)), ((2.0, nan), nan, (nan, nan))),
    "pow": corners(((nan, 2.0), nan, (nan, nan)), ((2.0, nan), nan, (nan, nan)),
                   ((nan, nan), nan, (nan, nan))),
    "leaky_relu": corners(((nan, 0.5), nan, (nan, nan)), ((-2.0, nan), nan, (nan, -2.0)),
                          ((2.0, nan), 2.0, (1.0, 0.0))),
    "elu": corners(((nan, 0.5), nan, (nan, nan)), ((0.0, nan), nan, (nan, 0.0)),
                   ((2.0, nan), 2.0, (1.0, 0.0))),
    "minimum": corners(((nan, 2.0), nan, (nan, nan)), ((2.0, nan), nan, (nan, nan)),
                       ((nan, -inf), nan, (nan, nan)), ((inf, nan), nan, (nan, nan))),
    "maximum": corners(((nan, 2.0), nan, (nan, nan)), ((2.0, nan), nan, (nan, nan)),
                       ((nan, inf), nan, (nan, nan)), ((-inf, nan), nan, (nan, nan))),
    "clip": corners(*(
        (operands, nan, (nan, nan, nan))
        for operands in [(nan, 0.0, 1.0), (nan, 1.0, 0.0), (5.0, nan, 1.0), (-5.0, nan, 1.0), (0.5, nan, 1.0),
                         (5.0, 0.0, nan), (-5.0, 0.0, nan), (0.5, 0.0, nan), (0.5, nan, nan)]
    )),
    "select": corners(((nan, 2.0, 3.0), nan, (nan, nan, nan)), ((1.0, nan, 3.0), nan, (0.0, 1.0, 0.0)),
                      ((1.0, 2.0, nan), 2.0, (0.0, 1.0, 0.0)), ((-1.0, nan, 3.0), 3.0, (0.0, 0.0, 1.0)),
                      ((-1.0, 2.0, nan), nan, (0.0, 0.0, 1.0))),
    "sum": corners((([nan, 1.0],), nan, ([1.0, 1.0],)), (([inf, -inf],), nan, ([1.0, 1.0],))),
    "dot": corners((([nan, 1.0], [2.0, 3.0], 0.0), nan, ([2.0, 3.0], [nan, 1.0], 1.0)),
                   (([2.0], [nan], 0.0), nan, ([nan], [2.0], 1.0)),
                   (([2.0], [3.0], nan), nan, ([3.0], [2.0], 1.0))),
    "max": corners((([nan, 1.0, 2.0],), nan, ([nan] * 3,)), (([1.0, nan, 2.0],), nan, ([nan] * 3,)),
                   (([1.0, 2.0, nan],), nan, ([nan] * 3,))),
    "logsumexp": corners((([nan, 1.0],), nan, ([nan, nan],)), (([1.0, nan],), nan, ([nan, nan],))),
    "cross_entropy": corners((([nan, 1.0], [0.0, 1.0]), nan, ([nan, nan], [nan, nan])),
                             (([1.0, 1.0], [nan, 1.0]), nan, ([nan, nan], [LN2, LN2]))),
}  # fmt: skip
PINNED = [(name, corners) for name, (_, corners) in GOLDEN.items()] + [*NANS.items()]


def same(x: Any, y: Any) -> bool:
    """Equal, where NaN equals NaN."""
    if isinstance(x, list):
        return len(x) == len(y) and all(map(same, x, y))
    return bool(x == y) or (math.isnan(x) and math.isnan(y))


@at_once(PINNED)
def test_the_conventions(name: str, corners: list[Corner]) -> None:
    functions = compiled(RULES[name])
    for corner in corners:
        y = functions.value(*corner.operands)
        assert same(y, corner.y), corner
        found = [derivative(*corner.operands, y) for derivative in functions.derivatives]
        assert same(found, list(corner.d)), corner


@at_once(TABLE)
def test_every_sentence_about_a_corner_is_pinned(rule: Rule) -> None:
    sentence, pinned = GOLDEN.get(rule.name, ("", [None]))
    assert rule.corner == sentence
    assert pinned


@at_once(TABLE)
def test_what_a_nan_does_is_pinned_for_every_argument(rule: Rule) -> None:
    for place in range(len(rule.args)):
        entries = [each.operands[place] for each in NANS[rule.name]]
        assert any(nan is x or (isinstance(x, list) and any(map(math.isnan, x))) for x in entries)


@at_once(TABLE)
def test_every_kink_is_pinned(rule: Rule) -> None:
    for kink in rule.kink:
        _, pinned = GOLDEN[rule.name]
        at = [dict(zip(rule.args, each.operands, strict=True)) for each in pinned]
        assert any(kink.evaluate(scope) == 0.0 for scope in at)


@at_once(
    [("div", (1.0, 0.0)), ("log", (0.0,)), ("log", (-1.0,)), ("log1p", (-1.0,)), ("sqrt", (-1.0,)),
     ("asin", (1.5,)), ("acos", (-1.5,)), ("pow", (-8.0, 1 / 3)), ("pow", (0.0, -1.0)), ("sin", (inf,)),
     ("exp", (1000.0,)), ("cosh", (1000.0,)), ("pow", (10.0, 400.0))]
)  # fmt: skip
def test_where_there_is_no_real_result_the_row_raises(name: str, operands: tuple[float, ...]) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        compiled(RULES[name]).value(*operands)


# --------------------------------------------------------------- nothing overflows, no digits are lost
EXTREMES = [0.0, 1.0, 30.0, 700.0, 709.9, 745.2, 1000.0, 1e10, 1e300, inf]


@pytest.mark.parametrize(
    ("name", "low", "high", "d_low", "d_high"),
    [("sigmoid", 0.0, 1.0, 0.0, 0.0), ("tanh", -1.0, 1.0, 0.0, 0.0), ("softplus", 0.0, None, 0.0, 1.0),
     ("elu", -1.0, None, 0.0, 1.0)],
)  # fmt: skip
def test_saturation_at_any_size(
    name: str, low: float, high: float | None, d_low: float, d_high: float
) -> None:
    functions = compiled(RULES[name])
    rest = (1.0,) if name == "elu" else ()
    for a in (x for x in EXTREMES if x >= 1000.0):
        below, above = functions.value(-a, *rest), functions.value(a, *rest)
        assert (below, above) == (low, a if high is None else high)
        assert functions.derivatives[0](-a, *rest, below) == d_low
        assert functions.derivatives[0](a, *rest, above) == d_high


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_silu_and_gelu_at_any_finite_size(name: str) -> None:
    functions = compiled(RULES[name])
    for a in (x for x in EXTREMES if 1000.0 <= x < inf):
        assert (functions.value(-a), functions.value(a)) == (0.0, a)
        assert functions.derivatives[0](-a, 0.0) == 0.0
        assert functions.derivatives[0](a, a) == 1.0


@pytest.mark.parametrize(
    ("name", "exact", "end"),
    [
        ("sigmoid", lambda a: s(a) * s(-a), 700.0),
        ("tanh", lambda a: mpmath.sech(a) ** 2, 340.0),
        ("softplus", s, 700.0),
        ("silu", lambda a: s(a) * (1 + a * s(-a)), 690.0),
        ("gelu", lambda a: mpmath.ncdf(a) + a * mpmath.npdf(a), 36.0),
        ("erf", lambda a: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-a * a), 25.0),
        ("erfc", lambda a: -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-a * a), 25.0),
    ],
)
def test_derivatives_keep_their_digits_in_the_tails(
    name: str, exact: Callable[[Any], Any], end: float
) -> None:
    functions = compiled(RULES[name])
    with mpmath.workdps(50):
        for k in range(401):
            for a in (end * (k - 200) / 200, 0.02 * (k - 200)):
                expected = exact(mpmath.mpf(a))
                error = abs(functions.derivatives[0](a, functions.value(a)) - expected)
                # silu and gelu have a flat point, below 0; there the error is absolute.
                flat = abs(a) if name in ("silu", "gelu") and -2.0 < a < 0.0 else 0.0
                assert error <= 1e-13 * max(abs(expected), 1e-3 * flat), a


LOGITS = [
    [0.0], [1000.0], [-1000.0], [1000.0, -1000.0], [-1000.0, 1000.0, 0.0], [1000.0, 1000.0],
    [1000.0, 999.5, 998.0], [-1000.0, -1000.5, -1003.0], [0.1, 0.2, 0.7], [30.0, 0.0],
]  # fmt: skip


@at_once(LOGITS)
def test_logsumexp_and_cross_entropy_never_overflow(x: list[float]) -> None:
    lse, ce = compiled(RULES["logsumexp"]), compiled(RULES["cross_entropy"])
    with mpmath.workdps(1000):  # so that 1 + exp(-2000) is not 1
        logits = [mpmath.mpf(each) for each in x]
        weights = [mpmath.exp(each) for each in logits]
        p = [each / mpmath.fsum(weights) for each in weights]
        y = lse.value(x)
        assert abs(y - mpmath.log(mpmath.fsum(weights))) <= 2e-16 * max(map(abs, [*x, 1.0]))
        # The softmax is the derivative; what y lacks after its last place, p lacks relatively.
        for found, exact in zip(lse.derivatives[0](x, y), p, strict=True):
            assert abs(found - exact) <= 3e-16 * max(abs(y), 1.0) * exact + 5e-324
        even = [1.0 / len(x)] * len(x)
        for t in (*([float(i == k) for i in range(len(x))] for k in range(len(x))), even):
            loss = ce.value(x, t)
            exact = -mpmath.fdot(t, map(mpmath.log, p))
            assert abs(loss - exact) <= 1e-15 * exact + 5e-324
            assert loss >= 0.0
            in_x, in_t = ce.derivatives[0](x, t, loss), ce.derivatives[1](x, t, loss)
            for slope, weight, each, target in zip(in_x, in_t, p, t, strict=True):
                assert abs(slope - (each - target)) <= 1e-15 * max(abs(each - target), target) + 5e-324
                assert abs(weight + mpmath.log(each)) <= -4e-16 * mpmath.log(each) + 5e-324


def test_a_masked_logit_takes_no_part() -> None:
    functions = compiled(RULES["logsumexp"])
    assert functions.value([-inf, 2.0]) == 2.0
    assert functions.derivatives[0]([-inf, 2.0], 2.0) == [0.0, 1.0]


# --------------------------------------------------------------------------------- the table as a whole
def test_every_function_of_the_language_has_a_row_of_its_name() -> None:
    """A gradient that is itself a graph evaluates derivative texts on Values, row by row."""
    assert set(FUNCTIONS) - {rule.name for rule in TABLE} == {"dpow"}
    for name in set(FUNCTIONS) - {"dpow"}:
        rule, function = RULES[name], FUNCTIONS[name]
        assert len(rule.args) == function.arity
        assert name == "sigmoid" or str(rule.y) == f"{name}({', '.join(rule.args)})"
        assert not rule.over
    points = (-745.2, -700.0, -1e-300, 0.0, 0.3, 36.0, 800.0, inf, -inf)
    sigmoid = compiled(RULES["sigmoid"]).value
    assert [FUNCTIONS["sigmoid"].real(a) for a in points] == [sigmoid(a) for a in points]
    assert str(RULES["sum"].y) == "total(x)"
    assert str(RULES["max"].y) == "largest(x)"


def test_each_operation_stands_once() -> None:
    assert len({rule.name for rule in TABLE}) == len(TABLE)
    assert [RULES[rule.name] for rule in TABLE] == list(TABLE)
    assert set(DEFINITIONS) == {rule.name for rule in TABLE}


@at_once(TABLE)
def test_every_row_has_a_sentence_and_somewhere_to_be_checked(rule: Rule) -> None:
    assert rule.smooth
    assert rule.doc.endswith(".")
    assert rule.corner == "" or rule.corner.endswith(".")


@at_once(TABLE)
def test_no_row_uses_a_name_for_two_things(rule: Rule) -> None:
    assert not {*rule.args} & {"y", *FUNCTIONS, *AGGREGATES, *CONSTANTS}


# ------------------------------------------------------------------------------------------ errors
GOOD: dict[str, Any] = {"name": "f", "args": "a b", "y": "a * b", "d": ("b", "a"), "doc": "A product."}
TAKEN = "is taken or no plain word"
LOOSE = "which runs over a list, outside total(...) and largest(...)"
BOX = "is not a box, which has an interval (low, high) of finite numbers for each of a, b"
ROW_ERRORS: list[tuple[dict[str, Any], str]] = [
    # what is changed in GOOD, and what is said after "rule f: "
    ({"args": ""}, "an operation needs at least one argument"),
    ({"args": "a a"}, f"the argument name 'a' {TAKEN}"),
    ({"args": "a, b"}, f"the argument name 'a,' {TAKEN}; blanks stand between arguments"),
    ({"args": "a y"}, f"the argument name 'y' {TAKEN}"),
    ({"args": "a exp"}, f"the argument name 'exp' {TAKEN}"),
    ({"args": "a total"}, f"the argument name 'total' {TAKEN}"),
    ({"args": "a pi"}, f"the argument name 'pi' {TAKEN}"),
    ({"args": "a rest"}, f"the argument name 'rest' {TAKEN}"),
    ({"args": "a mul"}, f"the argument name 'mul' {TAKEN}"),
    ({"args": "a zip"}, f"the argument name 'zip' {TAKEN}"),
    ({"args": "a map"}, f"the argument name 'map' {TAKEN}"),
    ({"args": "a _b"}, f"the argument name '_b' {TAKEN}"),
    ({"args": "a if"}, f"the argument name 'if' {TAKEN}"),
    ({"d": ()}, "2 arguments (a, b) but 0 local derivatives"),
    ({"d": ("b",)}, "2 arguments (a, b) but 1 local derivatives"),
    ({"d": ("b", "a", "1.0")}, "2 arguments (a, b) but 3 local derivatives"),
    ({"args": "a", "y": "a"}, "1 argument (a) but 2 local derivatives"),
    ({"y": "a * c"}, "'a * c' uses 'c', which is not in scope: a, b, inf, nan, pi"),
    ({"y": "a * y"}, "'a * y' uses 'y', which is not in scope: a, b, inf, nan, pi"),
    ({"d": ("b", "c")}, "'c' uses 'c', which is not in scope: a, b, y, inf, nan, pi"),
    ({"kink": ("a - y",)}, "'a - y' uses 'y', which is not in scope: a, b, inf, nan, pi"),
    ({"over": "c"}, "'c' is not one of its arguments (a, b)"),
    ({"defaults": {"s": 1.0}}, "'s' is not one of its arguments (a, b)"),
    ({"over": "a"}, f"'a * b' uses 'a', {LOOSE}"),
    ({"over": "a", "y": "total(a) * b"}, f"'a' uses 'a', {LOOSE}"),
    ({"smooth": ((0.0, 1.0),)}, f"in smooth, (0.0, 1.0) {BOX}"),
    ({"smooth": (0.0, 1.0)}, f"in smooth, 0.0 {BOX}"),
    ({"smooth": (((0.0, 1.0),),)}, f"in smooth, ((0.0, 1.0),) {BOX}"),
    ({"smooth": (((0.0, 1.0), (2.0, 2.0)),)}, f"in smooth, ((0.0, 1.0), (2.0, 2.0)) {BOX}"),
    ({"smooth": (((0.0, 1.0), (0.0, inf)),)}, f"in smooth, ((0.0, 1.0), (0.0, inf)) {BOX}"),
    ({"smooth": (((0.0, 1.0), (nan, 1.0)),)}, f"in smooth, ((0.0, 1.0), (nan, 1.0)) {BOX}"),
]


@pytest.mark.parametrize("name", ["a b", "2f", "", "lambda"])
def test_the_name_must_be_a_word(name: str) -> None:
    with pytest.raises(RuleError) as caught:
        row(**GOOD | {"name": name})
    assert str(caught.value) == f"rule {name!r}: the name must be a plain word"


@at_once(ROW_ERRORS)
def test_a_malformed_row_is_refused(change: dict[str, Any], message: str) -> None:
    assert row(**GOOD).name == "f"
    with pytest.raises(RuleError) as caught:
        row(**GOOD | change)
    assert str(caught.value) == f"rule f: {message}"


def test_a_name_is_given_once() -> None:
    before = dict(RULES)
    with pytest.raises(RuleError) as caught:
        add(row(**GOOD | {"name": "tanh"}))
    assert str(caught.value) == "rule tanh: the table has an operation of that name already"
    assert before == RULES


# ---------------------------------------------------------------------------- a rule as a Python object
def test_a_rule_shows_how_it_is_called() -> None:
    assert str(RULES["tanh"]) == "tanh(a)"
    assert str(RULES["dot"]) == "dot(w…, x…, b)"


def test_a_rule_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        RULES["tanh"].name = "sinh"  # type: ignore[misc]


@at_once(TABLE)
def test_a_row_of_the_table_is_the_same_object_after_pickling(rule: Rule) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(rule, protocol)) is rule


@at_once(TABLE)
def test_a_copy_of_a_row_of_the_table_is_that_row(rule: Rule) -> None:
    assert copy.copy(rule) is rule
    assert copy.deepcopy(rule) is rule


def test_another_rule_is_pickled_as_its_texts() -> None:
    mine = row(
        "scaled", "x s", "total(s * x)", ("s", "total(x)"), "A scaled sum.", (((-1.0, 1.0), (0.5, 2.0)),),
        "None.", ("s",), {"s": 2.0}, "x",
    )  # fmt: skip
    twin = pickle.loads(pickle.dumps(mine))
    assert twin is not mine
    for field in ("name", "args", "y", "d", "doc", "smooth", "corner", "kink", "defaults", "over"):
        assert getattr(twin, field) == getattr(mine, field)
    assert "scaled" not in RULES


def test_a_rule_with_the_name_of_another_does_not_become_that_one() -> None:
    other = row("tanh", "a", "a", ("1.0",), "Not the tanh of the table.")
    twin = pickle.loads(pickle.dumps(other))
    assert twin is not RULES["tanh"]
    assert str(twin.y) == "a"


@at_once(
    [
        ("a", "", [1], [1]),
        ("a b", "", [1, 2], [1, 2]),
        ("x", "x", [1, 2, 3], [[1, 2, 3]]),
        ("x", "x", [], [[]]),
        ("w x b", "w x", [1, 2, 3, 4, 5], [[1, 2], [3, 4], 5]),
        ("w x b", "w x", [1], [[], [], 1]),
        ("b x", "x", [1, 2, 3], [1, [2, 3]]),
        ("w b x", "w x", (1, 2, 3, 4, 5), [[1, 2], 3, [4, 5]]),
    ]
)
def test_split_gives_an_entry_for_each_argument(args: str, over: str, operands: Any, entries: Any) -> None:
    words = args.split()
    rule = row("f", args, "1.0", ("0.0",) * len(words), "A constant.", over=over)
    assert rule.split(operands) == entries
    joined = [x for each in entries for x in (each if isinstance(each, list) else [each])]
    assert joined == list(operands)


# ------------------------------------------------------------------------------------- documentation
def test_the_table_in_the_documentation_is_the_table() -> None:
    script = ROOT / "docs" / "operations.py"
    spec = importlib.util.spec_from_file_location("operations", script)
    assert spec is not None
    assert spec.loader is not None
    operations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(operations)
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert page == operations.page(), "write it anew: python docs/operations.py"
