"""The checker of rows: what it measures, what it accepts, and every kind of wrong row it has to catch."""

from __future__ import annotations

import cmath
import copy
import math
import pickle
import random
from dataclasses import replace
from typing import Any

import mpmath  # type: ignore[import-untyped]
import pytest

import microbp.functions
from microbp.check.rules import TOLERANCE, RuleReport, check_rule, point
from microbp.errors import RuleError
from microbp.expr import COMPLEX, parse
from microbp.rules import RULES, Rule, row

inf = math.inf


def of_one(y: str, d: str, low: float = 0.5, high: float = 2.0) -> Rule:
    return row("f", "a", y, (d,), "A function of a.", (((low, high),),))


def of_many(d: str) -> Rule:
    """Σ x², whose derivative is 2x."""
    return row("f", "x", "total(x * x)", (d,), "A sum of squares.", (((0.5, 2.0),),), over="x")


# ------------------------------------------------------------------------------------ what it returns
def test_a_report_has_a_row_for_the_value_and_one_for_each_argument() -> None:
    report = check_rule("div")
    assert report.ok
    assert (report.rule, report.points) == ("div(a, b)", 600)  # 300 in each of two boxes
    assert [each.operand for each in report.rows] == ["y", "a", "b"]
    for each in report.rows:
        assert each.ok
        assert each.error <= 1e-15
        assert each.stated == pytest.approx(each.measured, rel=1e-15)
        a, b = each.at["a"], each.at["b"]
        assert each.stated == {"y": a / b, "a": 1.0 / b, "b": -(a / b) / b}[each.operand]


def test_the_worst_point_is_reported_with_both_numbers() -> None:
    """A derivative of 2a + 0.001 is worst, relatively, at the smallest a that was drawn."""
    report = check_rule(of_one("a * a", "2.0 * a + 0.001"), points=500)
    value, derivative = report.rows
    a = derivative.at["a"]
    assert value.ok
    assert not derivative.ok
    assert not report.ok
    assert 0.5 <= a < 0.52
    assert derivative.measured == 2.0 * a
    assert derivative.stated == 2.0 * a + 0.001
    assert derivative.error == pytest.approx(0.001 / (2.0 * a), rel=1e-12)


def test_an_argument_over_lists_is_reported_by_its_element() -> None:
    report = check_rule(of_many("2.0 * x if x < 1.99 else 2.1 * x"))
    _, derivative = report.rows
    name, _, place = derivative.operand.partition("[")
    assert name == "x"
    x = derivative.at["x"][int(place.removesuffix("]"))]
    assert 1.99 <= x < 2.0
    assert (derivative.stated, derivative.measured) == (2.1 * x, 2.0 * x)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_lists_of_several_lengths_are_drawn(length: int) -> None:
    wrong = check_rule(of_many(f"2.0 * x if total(1.0) != {length}.0 else x"))
    assert not wrong.ok
    assert len(wrong.rows[1].at["x"]) == length
    assert wrong.rows[1].error == 0.5


def test_every_element_is_measured() -> None:
    """The derivative of the largest is 1 for it and 0 for the others; the last one must not decide."""
    good = RULES["max"]
    assert check_rule(good).ok
    caught = check_rule(replace(good, d=(parse("1.0", "x", "max"),))).rows[1]
    assert (caught.stated, caught.measured) == (1.0, 0.0)


@pytest.mark.parametrize("which", ["tanh", RULES["tanh"], microbp.functions.tanh])
def test_a_name_a_rule_and_an_operation_mean_the_same_row(which: Any) -> None:
    assert check_rule(which) == check_rule("tanh")


def test_points_come_from_the_seed_alone() -> None:
    assert check_rule("silu", seed=5) == check_rule("silu", seed=5)
    assert check_rule("silu", seed=5) != check_rule("silu", seed=6)
    assert check_rule("silu", points=1).points == 2
    assert all(-20.0 <= each.at["a"] <= 20.0 for each in check_rule("silu", points=10).rows)


def test_a_report_is_plain_data() -> None:
    report = check_rule("cross_entropy", points=4)
    assert pickle.loads(pickle.dumps(report)) == copy.deepcopy(report) == report


def test_the_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    report = check_rule(of_one("a * a", "3.0 * a"), points=1, show=True)
    text = str(report)
    assert capsys.readouterr().out == text + "\n"
    assert text.splitlines() == [
        "f(a): 1 point, tolerance 1e-12",
        "",
        "of       stated   complex step   relative error   verdict    worst at",
        "──────────────────────────────────────────────────────────────────────",
        "y    +3.1209914     +3.1209914          0.0e+00   agree      a = 1.767",
        "a    +5.2998983     +3.5332656          5.0e-01   DISAGREE   a = 1.767",
    ]
    check_rule("tanh")
    assert capsys.readouterr().out == ""


def test_a_point_in_words() -> None:
    assert point({"a": 0.1, "x": [1.0, -2.5]}) == "a = 0.1, x = [1.0, -2.5]"
    assert point({"a": 1 / 3}, "{:.2f}".format) == "a = 0.33"


# -------------------------------------------------------------------------------- how well it measures
def test_the_example_of_the_source() -> None:
    """Squire and Trapp's own: eˣ / (cos³x + sin³x), whose derivative at 1.5 is 3.62203370071632…"""
    power = "pow(cos(a), 3.0) + pow(sin(a), 3.0)"
    slope = "3.0 * cos(a) * sin(a) * (sin(a) - cos(a))"
    rule = of_one(f"exp(a) / ({power})", f"y - y * {slope} / ({power})", 1.49, 1.51)
    report = check_rule(rule)
    assert report.ok
    derivative = report.rows[1]
    with mpmath.workdps(50):
        exact = mpmath.diff(
            lambda x: mpmath.exp(x) / (mpmath.cos(x) ** 3 + mpmath.sin(x) ** 3), derivative.at["a"]
        )
        assert abs(derivative.measured - exact) <= 1e-15 * abs(exact)
    at = {"a": 1.5}
    assert rule.d[0].evaluate(at | {"y": rule.y.evaluate(at)}) == pytest.approx(3.62203370071632, rel=1e-14)


def test_a_derivative_of_1e_200_keeps_its_digits() -> None:
    assert check_rule(of_one("exp(-a * a)", "-2.0 * a * y", 21.0, 21.4)).ok
    assert not check_rule(of_one("exp(-a * a)", "-2.001 * a * y", 21.0, 21.4)).ok
    assert check_rule(of_one("a * 1e200", "1e200")).ok
    assert not check_rule(of_one("a * 1e200", "1.0005e200")).ok


def test_what_is_below_the_smallest_float_is_no_disagreement() -> None:
    """h times the derivative, 1e-282, is no float any more: it cannot be told from 0."""
    assert check_rule(of_one("exp(-a * a)", "-2.0 * a * y", 25.0, 26.0)).ok


# ------------------------------------------------------------------------ close to a zero of the derivative
def test_close_to_a_flat_point_the_operand_s_last_places_are_allowed_for() -> None:
    close = of_one("a * a * a - 3.0 * a", "3.0 * a * a - 3.0", 1.0 - 1e-6, 1.0 + 1e-6)
    report = check_rule(close)
    assert report.ok
    # The plain relative error is far above the tolerance at such points.
    a = 1.0 + 3e-9
    with mpmath.workdps(50):
        exact = 3 * mpmath.mpf(a) ** 2 - 3
        assert abs(close.d[0].evaluate({"a": a}) - exact) > 1e3 * TOLERANCE * exact


@pytest.mark.parametrize(
    "d", ["(3.0 * a * a - 3.0) * 1.0005", "(3.0 * a * a - 3.0) * 1.00000001", "3.0 * a * a - 3.0 + 1e-13",
          "0.0", "-(3.0 * a * a - 3.0)"],
)  # fmt: skip
def test_a_wrong_derivative_is_caught_also_close_to_a_flat_point(d: str) -> None:
    assert not check_rule(of_one("a * a * a - 3.0 * a", d, 1.0 - 1e-6, 1.0 + 1e-6)).ok


def test_the_value_is_treated_alike() -> None:
    """The last places of sqrt differ between math and cmath; where sqrt(a) - 1 is small they show."""
    assert check_rule(of_one("sqrt(a) - 1.0", "0.5 / sqrt(a)", 1.0 - 1e-9, 1.0 + 1e-9)).ok


def test_a_derivative_that_is_zero_everywhere_leaves_nothing_to_allow_for() -> None:
    assert check_rule(of_one("3.0", "0.0")).ok
    assert not check_rule(of_one("3.0", "1e-100")).ok
    assert not check_rule(of_one("a", "0.0")).ok


# ----------------------------------------------------------------------------------- wrong in other ways
@pytest.mark.parametrize("d", ["nan", "inf", "-inf", "nan if a > 1.99 else 2.0 * a", "a * inf - y * inf"])
def test_a_derivative_that_is_no_number_is_caught(d: str) -> None:
    caught = check_rule(of_one("a * a", d)).rows[1]
    assert caught.error == inf
    assert not caught.ok


@pytest.mark.parametrize("y", ["nan", "inf", "a * inf"])
def test_a_value_that_is_no_number_is_caught_even_if_both_readings_have_it(y: str) -> None:
    report = check_rule(of_one(y, "0.0"))
    assert report.rows[0].error == inf
    assert not report.ok


def test_a_complex_function_that_is_not_the_real_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMPLEX.functions, "sin", lambda z: cmath.sin(z) * 1.0005)
    report = check_rule(of_one("sin(a)", "1.0005 * cos(a)", 0.5, 1.0))
    value, derivative = report.rows
    assert value.error == pytest.approx(0.0005, rel=1e-3)
    assert (value.ok, derivative.ok, report.ok) == (False, True, False)


def test_a_row_without_smooth_boxes_is_not_ok_and_says_so() -> None:
    report = check_rule(row("f", "a b", "a * b", ("b", "a"), "Unchecked."))
    assert report == RuleReport("f(a, b)", 0, ())
    assert not report.ok
    assert str(report).splitlines() == [
        "f(a, b): 0 points, tolerance 1e-12",
        "",
        "not checked: no smooth interval",
    ]


# ---------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("y", "d", "text", "reason"),
    [
        ("log(a)", "1.0 / a", "log(a)", "math domain error"),
        ("a", "sqrt(a)", "sqrt(a)", "math domain error"),
        ("a", "1.0 / (y - a)", "1.0 / (y - a)", "float division by zero"),
        ("exp(-1e3 * a)", "0.0", "exp(-1e3 * a)", "math range error"),
    ],
)
def test_a_point_where_the_row_is_undefined_is_an_error(y: str, d: str, text: str, reason: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_rule(of_one(y, d, -2.0, -1.0), seed=0)
    a = -2.0 + random.Random(0).random()  # noqa: S311
    assert str(caught.value) == (
        f"rule f: {text!r} is undefined at a = {a!r}, which is in a smooth box ({reason}); "
        "let smooth= hold boxes where value and derivatives are defined"
    )


def test_an_unknown_name_is_an_error_that_helps() -> None:
    with pytest.raises(RuleError) as caught:
        check_rule("sigmiod")
    assert str(caught.value) == "there is no operation 'sigmiod'; did you mean 'sigmoid'?"
    with pytest.raises(RuleError) as caught:
        check_rule("convolution")
    assert str(caught.value) == f"there is no operation 'convolution'; there are {', '.join(RULES)}"


@pytest.mark.parametrize("what", [3, None, math.tanh])
def test_what_is_no_rule_is_refused(what: Any) -> None:
    with pytest.raises(TypeError) as caught:
        check_rule(what)
    assert str(caught.value) == f"check_rule() takes a rule, an operation or the name of one, not {what!r}"


def test_no_points_is_no_check() -> None:
    with pytest.raises(ValueError, match=r"^check_rule\(\) compares at least 1 point in each box, not 0$"):
        check_rule("tanh", points=0)
