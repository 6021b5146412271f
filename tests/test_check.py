"""The checks, checked: each verdict, planted errors that must be found and named, and no false alarm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import at_once
from support import planted as misstated

import microbp.check.auditing
import microbp.check.gradients
from microbp.array import array
from microbp.check import (
    AuditRow,
    Derivative,
    GradientRow,
    audit,
    check_gradients,
    numerical_gradient,
)
from microbp.differentiate import grad
from microbp.errors import NoGradientError, UndefinedOperation
from microbp.functions import clip, log, maximum, relu, select, softmax, sqrt
from microbp.functions import max as largest
from microbp.graph import Graph
from microbp.node import backward_order, upstream_gradients
from microbp.record import no_grad, record, record_sites
from microbp.rules import RULES, Rule, add, row
from microbp.value import Value

inf, nan = math.inf, math.nan


#: Not a function of Python: the variables of the test are the caller's.
checked = partial(check_gradients, show=False)


def verdicts(report):
    return {row.name: row.verdict for row in report.rows}


@contextmanager
def planted(name: str, *texts) -> Iterator[Rule]:
    """An operation in the table for the length of a ``with``."""
    rule = add(row(name, *texts))
    try:
        yield rule
    finally:
        del RULES[name]


@contextmanager
def sites() -> Iterator[None]:
    record_sites()
    try:
        yield
    finally:
        record_sites(on=False)


# ------------------------------------------------------------------------------- numerical gradients
@at_once(
    [
        (lambda v: v * v * v, 3.0, 27.0),
        (lambda v: v.exp(), 1e-8, math.exp(1e-8)),
        (lambda v: v.sin(), 0.0, 1.0),
        (lambda v: v.sin(), 1e4, math.cos(1e4)),
        (lambda v: (1e8 * v).sin(), 1.0, 1e8 * math.cos(1e8)),
        (lambda v: v.log(), 1e-8, 1e8),
        (lambda v: v.log(), 1e-100, 1e100),
        (lambda v: v.sin(), 5e-324, 1.0),
        (lambda v: v.sqrt(), 1e8, 0.5e-4),
        (lambda v: 1.0 / v, -1e-5, -1e10),
        (lambda v: v.tanh(), 6.0, 1.0 / math.cosh(6.0) ** 2),
        (lambda v: (1.0 + v).log(), 1e-9, 1.0 / (1.0 + 1e-9)),
    ]
)
def test_a_derivative_is_measured_to_its_estimated_error(function, x, slope):
    v = Value(x)
    measured = numerical_gradient(lambda: function(v), v, details=True)
    assert abs(measured.value - slope) <= 16 * measured.error
    assert measured.error <= 2e-6 * abs(slope)
    assert not measured.kinked


def test_gradients_come_in_the_shape_of_the_parameters():
    a, b, W = Value(2.0), Value(3.0), array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    def function():
        return a * b + np.sum(W * W)

    got = numerical_gradient(function, {"a": a, "both": [a, (b, W)]})
    assert got["a"] == pytest.approx(3.0, rel=1e-9)
    assert got["both"][0] == pytest.approx(3.0, rel=1e-9)
    assert got["both"][1][0] == pytest.approx(2.0, rel=1e-9)
    assert got["both"][1][1].dtype == float
    assert got["both"][1][1] == pytest.approx(2.0 * np.arange(1.0, 7.0).reshape(2, 3), rel=1e-9)
    details = numerical_gradient(function, W, details=True)
    assert details.shape == (2, 3)
    assert all(type(each) is Derivative for each in details.flat)


def test_a_function_may_return_a_plain_number():
    w = Value(0.7)
    assert numerical_gradient(lambda: math.sin(w.data), w) == pytest.approx(math.cos(0.7), rel=1e-10)
    assert numerical_gradient(lambda: np.float32(2.0), w) == 0.0


def test_where_large_numbers_cancel_the_steps_are_large_enough():
    w = Value(1e-3)
    plain = numerical_gradient(lambda: (1e8 + w.data) - 1e8, w, details=True)
    assert plain.value == pytest.approx(1.0, rel=1e-6)
    known = numerical_gradient(lambda: (1e8 + w) - 1e8, w, details=True)
    assert abs(known.value - 1.0) <= 16 * known.error < 1e-4


def test_the_slopes_on_either_side_show_a_kink():
    w = Value(0.0)
    measured = numerical_gradient(lambda: 3.0 * w.relu() - w, w, details=True)
    assert (measured.left, measured.right) == pytest.approx((-1.0, 2.0), rel=1e-9)
    assert measured.value == pytest.approx(0.5, rel=1e-9)
    assert measured.kinked


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9])
def test_a_kink_nearby_is_kept_out_of_the_steps(distance):
    w = Value(1.0 + distance)
    measured = numerical_gradient(lambda: 2.0 * (w - 1.0).relu(), w, details=True)
    assert measured.value == pytest.approx(2.0, rel=1e-4)
    assert measured.step < distance


def test_finer_structure_than_the_steps_does_not_mislead_the_check_of_a_function():
    """At steps that do not resolve the wave, the slope is 1 to eight digits; it is 10,001."""
    x = Value(0.0)
    (row_,) = checked(lambda: x + 1e-9 * (1e13 * x).sin(), x).rows
    assert (row_.claimed, row_.numerical, row_.verdict) == (10_001.0, pytest.approx(10_001.0), "agree")


def test_steps_out_of_the_domain_are_left_out():
    w = Value(1e-6)
    assert numerical_gradient(w.log, w) == pytest.approx(1e6, rel=1e-9)
    edge = Value(0.0)
    measured = numerical_gradient(edge.sqrt, edge, details=True)
    assert math.isnan(measured.value)
    assert measured.error == inf
    assert edge.data == 0.0


def test_parameters_are_put_back_when_the_function_raises():
    w, v = Value(1.0), Value(2.0)

    def function():
        if w.data != 1.0:
            raise KeyError("out")
        return w * v

    for call in (numerical_gradient, checked):
        with pytest.raises(KeyError, match="out"):
            call(function, [v, w])
        assert (w.data, v.data) == (1.0, 2.0)


def test_parameters_are_put_back_when_the_function_is_interrupted():
    w = Value(1.0)
    calls = []

    def function():
        calls.append(w.data)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return w * w

    with pytest.raises(KeyboardInterrupt):
        numerical_gradient(function, w)
    assert calls[-1] != 1.0
    assert w.data == 1.0


def test_a_function_may_differentiate_on_its_way():
    w = Value(1.0, name="w")

    def slope():
        return grad(w**3, w, create_graph=True)

    (row,) = checked(slope, w).rows
    assert (row.claimed, row.verdict) == (6.0, "agree")
    assert numerical_gradient(slope, w) == pytest.approx(6.0, rel=1e-9)
    assert w.grad is None


@pytest.mark.parametrize("parameters", [3.0, "w", [Value(1.0), 2.0], None])
def test_parameters_must_be_values(parameters):
    with pytest.raises(TypeError, match=r"^numerical_gradient\(\) moves Values: give one, a list or array"):
        numerical_gradient(lambda: 1.0, parameters)


def test_what_a_function_does_not_compute_anew_is_told():
    """Of u = 3w, computed outside, the derivative of u·w would be 3w in place of 6w, and that of u·u 0."""
    w, v = Value(2.0, name="w"), Value(5.0, name="v")
    u = w * 3.0
    told = r"was computed from w = 2\.0 before the function was called, .* compute it within the function$"
    for function in (lambda: u * w, lambda: u * u, lambda: u):
        for call in (numerical_gradient, checked):
            with pytest.raises(NoGradientError, match=told):
                call(function, w)
    assert numerical_gradient(lambda: u * v, [v, u]) == pytest.approx([6.0, 5.0])
    assert checked(lambda: u * v, v).ok
    known = {}

    def remembered():
        if w.data not in known:
            known[w.data] = w * w
        return known[w.data] * v

    assert numerical_gradient(remembered, w) == pytest.approx(20.0)
    assert checked(remembered).counts == {"agree": 2}
    w.data = 1e16  # also where the next number is far away
    assert numerical_gradient(remembered, w) == pytest.approx(1e17)


def test_a_function_may_give_the_parameter_itself():
    w, v = Value(2.0, name="w"), Value(5.0)
    assert numerical_gradient(lambda: w, [w, v]) == pytest.approx([1.0, 0.0])
    assert checked(lambda: w, w).counts == {"agree": 1}


def test_the_function_must_give_a_number():
    w = Value(1.0)
    for function, told in (w * w, r"^Value\("), (lambda x: x, "^missing a required argument: 'x'"):
        with pytest.raises(TypeError, match=rf"{told}.*: numerical_gradient\(\) takes a function without "):
            numerical_gradient(function, w)
    with pytest.raises(TypeError, match=r"^a function to differentiate takes a real number, not"):
        numerical_gradient(lambda: [w], w)


# ------------------------------------------------------------------------------ each verdict, in words
def test_gradients_that_agree():
    w, x, b = Value(0.4, name="w"), Value(3.0, name="x"), Value(-1.0, name="b")
    report = checked((w * x + b).tanh())
    assert verdicts(report) == {"w": "agree", "x": "agree", "b": "agree"}
    assert report.ok
    assert report.counts == {"agree": 3}
    assert repr(report) == "GradientReport(3 agree)"
    for each in report.rows:
        assert each.relative_error < 1e-10
        assert each.absolute_error <= each.tolerance < 1e-8
        assert each.why == ""
    assert w.grad is None


def test_the_table_is_pinned():
    w, b = Value(0.5, name="w"), Value(0.0, name="b")
    loss = w * w + b.relu()
    report = checked(loss)
    lines = str(report).splitlines()
    assert lines[0] == "check_gradients(loss = 0.25): 1 agree, 1 inconclusive"
    assert lines[2].split() == [
        "name", "back-propagated", "numerical", "central", "difference", "relative", "known", "to", "verdict"
    ]  # fmt: skip
    assert lines[4].split() == ["w", *3 * ["+1.0000000"], "0.0e+00", "±1.0e-09", "agree"]
    assert lines[4].endswith("   agree")
    assert lines[5].startswith("b                    0   +0.50000000          +0.50000000    1.0e+00   ±")
    assert lines[5].endswith(
        "   inconclusive: not smooth: relu at v3 in a = b: the slope is 0 below, +1.0000000 above; "
        "by convention 0"
    )
    assert len(lines) == 6


def test_the_table_is_printed_unless_it_is_not_wanted(capsys):
    w = Value(0.5)
    report = check_gradients(w * w)
    assert capsys.readouterr().out == f"{report}\n"
    check_gradients(w * w, show=False)
    audit(w * w, show=False)
    assert capsys.readouterr().out == ""
    report = audit(w * w)
    assert capsys.readouterr().out == f"{report}\n"


def test_of_many_gradients_the_table_shows_those_that_do_not_agree():
    W, b = array(np.linspace(0.1, 2.0, 70), name="W"), Value(0.0, name="b")
    lines = str(checked(np.sum(W * W) + b.relu())).splitlines()
    assert lines[0].endswith(": 70 agree, 1 inconclusive")
    assert lines[4].startswith("b ")
    assert lines[6] == "70 gradients that agree are not shown (report.rows)"


def test_a_row_is_found_by_name():
    w, v = Value(0.5, name="w"), Value(2.0, name="v")
    report = checked(w * v)
    assert report["v"].claimed == 0.5
    with pytest.raises(KeyError, match="no gradient of 'x' was checked; there are w, v"):
        report["x"]


def test_errors_of_a_row():
    each = GradientRow("w", 1.0, 2.0, 0.0, "DISAGREE", "")
    assert (each.absolute_error, each.relative_error) == (1.0, 0.5)
    zero = GradientRow("w", 0.0, 0.0, 0.0, "agree", "")
    assert (zero.absolute_error, zero.relative_error) == (0.0, 0.0)


def test_a_wrong_rule_disagrees_and_is_named_with_its_line():
    with planted("cube", "a", "a * a * a", ("2.0 * a * a",), "Wrong factor.") as cube, sites():
        x, w = Value(3.0, name="x"), Value(2.0, name="w")
        y = record(cube, (x,))
        report = checked(y * w)
    assert verdicts(report) == {"x": "DISAGREE", "w": "agree"}
    assert not report.ok
    assert_matches(
        r"rule cube is wrong at y \(.*test_check\.py:\d+\): its derivative in a = x is \+18\.000000, "
        r"measured \+27\.000000",
        report["x"].why,
    )


def assert_matches(pattern, text):
    with pytest.raises(AssertionError, match=f"^{pattern}$"):
        raise AssertionError(text)


@pytest.mark.parametrize("factor", [1.0005, 0.9995, -1.0, 2.0, 0.0])
def test_a_wrong_factor_disagrees_wherever_it_stands(factor):
    """A rule that is off by 0.05 % is found through 20 more operations."""
    d = f"{factor} * (1.0 - y * y)"
    with planted("tanh_", "a", "tanh(a)", (d,), "Off by a factor.") as wrong:
        w, x = Value(0.8, name="w"), Value(-0.3, name="x")
        h = record(wrong, (w * x + 0.1,))
        for _ in range(20):
            h = 1.02 * h - 0.1 * (0.2 * h + x).sin()
        report = checked(h)
        assert report["w"].verdict == report["x"].verdict == "DISAGREE"
        assert "rule tanh_ is wrong" in report["w"].why
        found = audit(h, show=False)
    assert found.wrong_rules == ["tanh_"]
    assert found.counts["WRONG RULE"] == 1


def test_a_forgotten_factor_at_one_of_many_operations_is_named():
    with planted("pick", "a b", "a * b", ("b", "b"), "The second derivative should be a.") as pick:
        values = [Value(0.5 + 0.1 * i, name=f"p{i}") for i in range(6)]
        h = values[0]
        for each in values[1:]:
            h = h.sin() + each * h
        y = record(pick, (h, values[5]))
        report = checked(y.tanh())
    assert report["p5"].verdict == "DISAGREE"
    assert "rule pick is wrong at y: its derivative in b = p5" in report["p5"].why
    assert {report[f"p{i}"].verdict for i in range(5)} == {"agree"}


def test_relu_at_zero_is_inconclusive_and_names_the_node():
    w, x, b = Value(0.5, name="w"), 2.0, Value(-1.0, name="b")
    with sites():
        net1 = w * x + b
        h1 = net1.relu()
        loss = (h1 - 0.3) ** 2
    report = checked(loss)
    assert verdicts(report) == {"w": "inconclusive", "b": "inconclusive"}
    assert report.ok
    pattern = r"not smooth: relu at h1 \(.*test_check\.py:\d+\) in a = net1: the slope is 0 .*"
    assert_matches(pattern, report["w"].why)


def test_conventions_at_two_corners_may_add_up_to_what_no_slope_is():
    """relu(z) - relu(-z) is z, but the conventions at 0 give the gradient 0."""
    z = Value(0.0, name="z")
    report = checked(z.relu() - (-z).relu())
    assert report["z"].claimed == 0.0
    assert report["z"].numerical == pytest.approx(1.0)
    assert report["z"].verdict == "inconclusive"
    assert report["z"].why.startswith("not smooth: relu at v2 in a = z, and 1 more: the slope is")


@pytest.mark.parametrize(
    ("corner", "why"),
    [
        (lambda a, b: abs(a - b), "abs at y in a = v2"),
        (maximum, "maximum at y in a = a"),
        (lambda a, b: select(a - b, a, 2.0 * b), "select at y in c = v2"),
        (lambda a, b: largest([a, b, 0.0]), "max at y in x[0] = a"),
        (lambda a, b: clip(a, b, 9.0), "clip at y in a = a"),
    ],
)
def test_the_node_of_a_kink_is_named(corner, why):
    a, b = Value(1.5, name="a"), Value(1.5, name="b")
    y = corner(a, b)
    report = checked(y * 3.0 + a)
    assert report["a"].verdict == "inconclusive"
    assert report["a"].why.startswith(f"not smooth: {why}: the slope is ")


@pytest.mark.parametrize("distance", [0.1, 1e-3, 1e-6, -1e-3, -1e-6, 1e-13, -1e-13])
def test_beside_a_kink_the_gradient_is_decided(distance):
    z = Value(1.0 + distance, name="z")
    for loss in (3.0 * (z - 1.0).relu() + z, lambda: 3.0 * (z - 1.0).relu() + z):
        report = checked(loss)
        assert report["z"].claimed == (4.0 if distance > 0.0 else 1.0)
        assert report["z"].verdict == "agree"


def test_a_smooth_function_of_corners_agrees():
    z = Value(0.0, name="z")
    assert checked(abs(z) * abs(z))["z"].verdict == "agree"


def test_a_dead_relu_agrees_that_its_gradient_is_zero():
    w, b = Value(0.5, name="w"), Value(-3.0, name="b")
    report = checked((w * 2.0 + b).relu() * 5.0 + 1.0)
    assert [(each.claimed, each.verdict, each.why) for each in report.rows] == [(0.0, "agree", "")] * 2


def test_a_gradient_of_zero_in_a_minimum_agrees():
    w = Value(1.5, name="w")
    report = checked((w - 1.5) ** 2 + 0.3)
    assert (report["w"].claimed, report["w"].verdict) == (0.0, "agree")


def test_a_zero_that_is_left_of_large_terms_agrees():
    x = array([0.3, -1.2, 0.8], name="x")
    shift = Value(0.4, name="shift")
    p = softmax([each + shift for each in x])
    report = checked(p[0] * 3.0 - p[1])
    assert abs(report["shift"].claimed) < 1e-15
    assert report["shift"].verdict == "agree"
    assert report["shift"].why.startswith("0 but for rounding: terms of size ")


def test_a_small_rest_of_large_terms_is_not_passed_by_their_size():
    """0.05 % of the rest cannot be seen beside the terms that cancel."""
    with planted("plus", "a", "log1p(exp(a))", ("1.0005 * exp(a - y)",), "Off.") as plus:
        p = Value(-30.0, name="p")
        report = checked(record(plus, (p,)) + (0.2 * p - 0.2 * p))
    assert report["p"].claimed == pytest.approx(1.0005 * math.exp(-30.0))
    assert report["p"].verdict == "inconclusive"


def test_cancellation_hides_a_gradient_of_a_plain_function_and_none_of_what_is_recorded():
    w = Value(1.0, name="w")
    for loss in (1e-14 * w.sin() + 1e3, lambda: 1e-14 * w.sin() + 1e3):
        small = checked(loss)["w"]
        assert small.claimed == 1e-14 * math.cos(1.0)
        assert (small.verdict, small.why) == ("agree", "")
        assert checked(loss, w, claimed=small.claimed * (1 + 1e-7))["w"].verdict == "DISAGREE"
    (hidden,) = checked(lambda x: 1e-14 * math.sin(x) + 1000.1, 1.0, gradient=small.claimed).rows
    assert hidden.verdict == "inconclusive"
    assert_matches(r"the derivative is known to ±\d\.\de-1\d only", hidden.why)


def test_a_saturated_sigmoid_agrees():
    a = Value(-40.0, name="a")
    assert checked(lambda: 0.5 * (1.0 - a.sigmoid()) ** 2)["a"].verdict == "agree"
    assert checked(0.5 * (1.0 - a.sigmoid()) ** 2)["a"].verdict == "agree"


@pytest.mark.parametrize("factor", [0.1, 1.0, 7.7])
@pytest.mark.parametrize("large", [1e12, 1e14])
def test_a_function_that_absorbs_small_steps_is_not_known_to_be_flat(factor, large):
    """Whatever its result is multiplied by."""
    report = checked(lambda x: ((large + x) - large) * factor + 0.37, 1.3, gradient=factor)
    assert report.counts == {"inconclusive": 1}


@at_once([math.tanh, math.exp, math.sqrt], [1e12, 1e13, 1e14])
def test_what_absorbs_small_steps_before_a_curve_is_not_known_to_be_flat(curve, large):
    """It moves by steps of different sizes."""
    right = (
        curve(1.3) if curve is math.exp else 0.5 / 1.3**0.5 if curve is math.sqrt else 1 - math.tanh(1.3) ** 2
    )
    assert checked(lambda x: curve((large + x) - large), 1.3, gradient=right).ok
    (flat,) = checked(lambda x: curve((large + x) - large), 1.3, gradient=0.0).rows
    assert (flat.verdict, flat.why) == ("inconclusive", "the function stands still but for jumps")
    x = Value(1.3)
    slope = numerical_gradient(lambda: curve(((large + x) - large).data), x, details=True)
    assert abs(slope.value - right) < 16.0 * slope.error


ROUNDED: dict[str, tuple[Callable[[float], float], float, float]] = {
    "tanh, offset": (lambda x: math.tanh((1e16 + x) - 1e16), 1.3, 1.0 - math.tanh(1.3) ** 2),
    "exp, offset": (lambda x: math.exp((1e16 + x) - 1e16), -2.9, math.exp(-2.9)),
    "square, offset": (lambda x: ((1e16 + x) - 1e16) ** 2, 0.04, 0.08),
    "tanh, rounded": (lambda x: round(math.tanh(x), 3), 3.7, 1.0 - math.tanh(3.7) ** 2),
    "tanh, rounded further out": (lambda x: round(math.tanh(x), 1), 3.4, 1.0 - math.tanh(3.4) ** 2),
    "sin, rounded": (lambda x: round(math.sin(x), 1), 0.692, math.cos(0.692)),
    "exp, rounded": (lambda x: round(math.exp(x), 1), -3.85, math.exp(-3.85)),
}


@pytest.mark.parametrize("kind", ROUNDED)
def test_where_a_rounded_function_stands_still_its_slope_is_not_known(kind):
    """The right one is not called wrong; one that no stair near there has is."""
    function, at, right = ROUNDED[kind]
    (row,) = checked(function, at, gradient=right).rows
    assert (row.verdict, row.why) == ("inconclusive", "the function stands still but for jumps")
    (row,) = checked(function, at, gradient=1e3).rows
    assert row.verdict == "DISAGREE"


@pytest.mark.parametrize("unit", [math.tanh, lambda z: min(max(z, -1.0), 1.0), lambda z: 0.5 - math.tanh(z)])
@pytest.mark.parametrize("steep", [1e3, 1e4, 1e6])
def test_saturated_units_are_no_stairs(unit, steep):
    """Between where they are flat they go smoothly: a gradient that is not 0 there is wrong."""

    def net(x):
        return sum(w * unit(steep * (x - w)) for w in (-1.0, 0.1, 0.9, 1.9))

    for at in 0.55, 1.3, 2.4:
        verdicts = [checked(net, at, gradient=each).rows[0].verdict for each in (0.0, 0.5, -0.5)]
        assert verdicts == ["agree", "DISAGREE", "DISAGREE"]


@pytest.mark.parametrize("at", [5.1, 50.14829311105223, 96.21546636282469])
def test_the_slope_of_stairs_is_not_told_from_one_that_rounding_hides(at):
    (row,) = checked(lambda x: float(math.floor(4.0 * x)), at, gradient=0.0).rows
    assert row.verdict == "agree" or (row.verdict, row.why) == (
        "inconclusive", "the function stands still but for jumps",
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "part"), [(float, 1e-6), (np.float32, 1e-2)])
@pytest.mark.parametrize("offset", [0.7, 1e3, -1e5])
def test_a_gradient_of_0_is_wrong_where_only_last_digits_hide_small_steps(kind, part, offset):
    for x in 0.3, 1.7:
        (row,) = checked(lambda x: kind(part * abs(offset) * math.sin(x) + offset), x, gradient=0.0).rows
        assert row.verdict == "DISAGREE", row


def test_a_plateau_between_curves_is_flat():
    """A net whose units are dead here moves further off, and does not jump there."""
    for function in (lambda x: max(x - 1.4, 0.0) ** 2 + max(1.2 - x, 0.0), lambda x: max(x, 1.31) ** 0.5):
        assert checked(function, 1.3, gradient=0.0).counts == {"agree": 1}
        assert checked(function, 1.3, gradient=0.01).counts == {"DISAGREE": 1}


@pytest.mark.parametrize("size", [1e4 + 1, 1e5 + 1, 1e6 + 1, 2e6 + 1])
def test_a_function_that_gives_whole_numbers_only_is_no_single_precision(size):
    constant = checked(lambda x: size * math.ceil(x), 3.5, gradient=1.0)
    assert constant.counts == {"DISAGREE": 1}
    steps = checked(lambda x: float(round(size * math.sin(x))), 0.3, gradient=1.05 * size * math.cos(0.3))
    assert steps.counts == {"DISAGREE": 1}
    assert constant.notes == steps.notes == ()


def test_a_whole_number_that_does_not_change_is_not_taken_for_single_precision():
    """Of x[0]², which is 961 at 31, the derivative in x[1] is known to be 0."""
    for at, claim in (31.0, 1e-6), (2.0, 1e-6), (31.0, 0.5):
        report = checked(lambda x: x[0] ** 2, [at, 40.0], gradient=[2.0 * at, claim])
        assert report.counts == {"agree": 1, "DISAGREE": 1}
        assert not report.notes
    assert checked(lambda x: 1001 + int(x > 0.0), 1.0, gradient=1e-6).counts == {"DISAGREE": 1}
    assert checked(lambda x: 1.0 * x, 300.0, gradient=1.0002).counts == {"DISAGREE": 1}


def test_an_operation_undefined_within_the_step_is_named():
    a = Value(0.0, name="a")
    for loss in (sqrt(a) + a, lambda: sqrt(a) + a):
        report = checked(loss)
        assert report["a"].claimed == inf
        assert report["a"].verdict == "inconclusive"
        told = "sqrt at v1 in a = a: undefined below 0.0, where the slope grows without bound"
        assert report["a"].why == f"not smooth: {told}"


def test_a_loss_that_is_not_finite_is_inconclusive():
    w, x = Value(2.0, name="w"), Value(nan, name="x")
    report = checked(w * x)
    assert [(each.verdict, each.why) for each in report.rows] == [
        ("inconclusive", "not finite: the loss is nan"),
        ("inconclusive", "not finite: the parameter is nan"),
    ]


def test_a_gradient_that_is_not_finite_disagrees_with_a_clear_slope():
    """0 · inf: at 0 the chain rule of sqrt(z⁴) breaks down, while z² has the slope 0."""
    z = Value(0.0, name="z")
    report = checked(sqrt(z**4))
    assert math.isnan(report["z"].claimed)
    assert (report["z"].verdict, report["z"].why) == ("DISAGREE", "the gradient is not finite")


def test_fine_structure_below_the_steps_is_not_called_an_error():
    x = Value(3e5, name="x")
    assert checked(lambda: 1e-10 * (x * x).sin() + x)["x"].verdict == "agree"
    assert checked(1e-10 * (x * x).sin() + x)["x"].verdict == "agree"


# ------------------------------------------------------------------------------ what is to be checked
def test_a_function_is_called_anew_so_that_branches_are_followed():
    w, b = Value(2.0, name="w"), Value(-1.0, name="b")

    def loss():
        return w * w * b if w.data > 0.0 else b

    assert verdicts(checked(loss)) == {"w": "agree", "b": "agree"}
    assert (w.data, b.data) == (2.0, -1.0)


def test_a_branch_within_the_step_is_inconclusive():
    w = Value(1.0, name="w")

    def loss():
        return 2.0 * w if w.data >= 1.0 else w * w + 3.0

    report = checked(loss)
    assert report["w"].verdict == "inconclusive"
    assert report["w"].why == "another branch within the step: the function records other operations there"


def test_what_is_not_recorded_disagrees():
    w = Value(3.0, name="w")
    report = checked(lambda: w * w.data)
    assert (report["w"].claimed, report["w"].verdict) == (3.0, "DISAGREE")
    assert report["w"].numerical == pytest.approx(6.0)
    assert report["w"].why == "the function depends on it in a way that is not recorded (.data, float?)"


def test_a_wrong_rule_off_the_way_is_not_blamed():
    with planted("pick", "a b", "a * b", ("b", "2.0 * a"), "Wrong in b.") as pick:
        w, b = Value(3.0, name="w"), Value(2.0, name="b")
        report = checked(lambda: record(pick, (w * w.data, b)))
    assert report["w"].verdict == report["b"].verdict == "DISAGREE"
    assert report["w"].why == "the function depends on it in a way that is not recorded (.data, float?)"
    assert report["b"].why.startswith("rule pick is wrong at ")


def test_a_parameter_that_the_loss_does_not_depend_on():
    w, v = Value(3.0, name="w"), Value(1.0, name="v")
    for loss in (w * w, lambda: w * w):
        row_ = checked(loss, [w, v])["v"]
        assert (row_.claimed, row_.numerical, row_.verdict) == (0.0, 0.0, "agree")
        assert row_.why == "the loss does not depend on it"


def test_a_function_with_leaves_of_its_own():
    w = Value(3.0, name="w")
    report = checked(lambda: w * Value(2.0))
    assert verdicts(report) == {"w": "agree"}
    assert report.notes == ("leaves that each call makes anew are not checked: 1",)
    with pytest.raises(NoGradientError, match=r"takes a gradient and lasts from call to call$"):
        checked(lambda: Value(1.0) * Value(2.0))


def test_parameters_in_containers_and_names_from_a_dict():
    W, b = array([[0.5, -0.5]]), Value(1.0)

    def loss():
        return np.sum((W @ np.array([1.0, 2.0]) + b) ** 2)

    report = checked(loss, {"W": W, "bias": b}, names={})
    assert verdicts(report) == {"W[0,0]": "agree", "W[0,1]": "agree", "bias": "agree"}


def test_a_computed_value_can_be_moved_in_a_recorded_graph():
    w = Value(0.5, name="w")
    h = (w * 3.0).tanh()
    report = checked(h * h * 2.0, h)
    assert report.rows[0].name == "h"
    assert report.rows[0].claimed == 4.0 * h.data
    assert report.rows[0].verdict == "agree"
    with pytest.raises(NoGradientError, match=r"was computed, and each call of the function computes it"):
        checked(lambda: h * h, h)


def test_frozen_leaves_are_left_out():
    w, x = Value(0.5, name="w"), Value(2.0, name="x")
    x.requires_grad = False
    assert verdicts(checked(w * x)) == {"w": "agree"}
    with pytest.raises(NoGradientError, match=r"^x = 2\.0 is frozen \(requires_grad is False\)$"):
        checked(w * x, [w, x])


def test_claimed_gradients():
    W, b = array([2.0, 3.0], name="W"), Value(0.0, name="b")
    loss = np.sum(W * W) + 4.0 * b
    report = checked(loss, {"W": W, "b": b}, claimed={"W": [4.0, -6.0], "b": 4.002})
    assert verdicts(report) == {"W[0]": "agree", "W[1]": "DISAGREE", "b": "DISAGREE"}
    assert report["b"].relative_error == pytest.approx(0.0005, rel=0.01)
    assert "claimed" in str(report).splitlines()[2]
    assert checked(loss, [W, b], claimed=[np.array([4.0, 6.0]), 4.0]).ok


@pytest.mark.parametrize(
    ("claimed", "error", "text"),
    [
        ([1.0, 2.0], ValueError, r"in the shape of parameters, which are given too: W\[0\] is in"),
        ({"W": [1.0], "pair": [1.0, 1.0]}, ValueError, r"W\[1\] is in parameters only$"),
        ({"W": [1.0, 2.0], "pair": [1.0, 1.0, 1.0]}, ValueError, r"pair\[2\] is in claimed only$"),
        ({"W": [1.0, 2.0], "pair": 1.0}, ValueError, r"pair\[0\] is in parameters only$"),
        (
            {"W": [1.0, 2.0], "pair": [1.0, "2"]},
            TypeError,
            r"the claimed gradient of pair\[1\] takes a real number, not the str '2'; convert it first",
        ),
    ],
)
def test_claims_in_another_shape_are_refused(claimed, error, text):
    W, a, b = array([2.0, 3.0]), Value(1.0), Value(2.0)
    with pytest.raises(error, match=text):
        checked(np.sum(W) * a * b, {"W": W, "pair": [a, b]}, claimed=claimed)


def test_claims_need_parameters():
    w = Value(1.0)
    with pytest.raises(ValueError, match=r"are given too: one is in claimed only$"):
        checked(w * w, claimed=2.0)


def test_grad_is_neither_used_nor_touched():
    w = Value(3.0, name="w")
    loss = w * w
    loss.backward()
    assert checked(loss).notes == ()
    loss.backward()
    report = checked(loss)
    assert (report["w"].claimed, report["w"].verdict, w.grad) == (6.0, "agree", 12.0)
    assert report.notes == ("grad: holds 2 backward passes, which add up until it is cleared",)
    w.grad = 1.0
    (note,) = checked(loss).notes
    assert note == (
        "grad: w.grad = 1.0 is not 2 backward passes of 6.0 each: it was set, cleared or clipped, or another "
        "graph has added to it"
    )


def test_names_come_from_the_user_then_from_the_caller_unless_given():
    weight, other = Value(0.5), Value(2.0, name="own")
    loss = weight * other
    assert verdicts(checked(loss)) == {"weight": "agree", "own": "agree"}
    assert str(checked(loss)).startswith("check_gradients(loss = 1): ")
    assert verdicts(checked(loss, names={"v": [weight], "x": other})) == {"v[0]": "agree", "own": "agree"}
    assert list(verdicts(checked(loss, names={}))) == ["v0", "own"]


GLOBAL = Value(0.25)


def test_names_of_the_module_count_too():
    assert list(verdicts(checked(GLOBAL * 2.0))) == ["GLOBAL"]


# ------------------------------------------------------------------------------------- what is refused
def test_a_changed_leaf_is_told_with_both_numbers():
    w, x = Value(3.0, name="w"), Value(2.0, name="x")
    y = w * x
    loss = y + 1.0
    w.data = 100.0
    expected = (
        r"^y = mul\(w, x\) = 6\.0 was recorded, but its operands give 200\.0 now: w was 3\.0 and is 100\.0 "
        r"now\. Compute the loss again, or give a function that computes it$"
    )
    with pytest.raises(NoGradientError, match=expected):
        checked(loss)
    assert checked(lambda: w * x + 1.0).ok


def test_a_changed_leaf_is_told_with_the_line():
    w = Value(0.5, name="w")
    with sites():
        h = w.tanh()
    loss = h * 2.0
    w.data = 0.6
    with pytest.raises(NoGradientError, match=r": w was 0\.5 and is 0\.6 now \[.*test_check\.py:\d+\]\. C"):
        checked(loss)


def test_a_change_that_leaves_the_number_alone_is_told_too():
    w, x = Value(3.0, name="w"), Value(0.0, name="x")
    y = w * x
    w.data = 5.0
    with pytest.raises(NoGradientError, match=r"^the local derivatives of y = mul\(w, x\) = 0\.0 are not"):
        checked(y)


def test_nothing_to_check():
    with no_grad():
        constant = Value(1.0, name="c") * 2.0
    with pytest.raises(NoGradientError, match=r"^there is nothing to check: .* leaf that takes a gradient$"):
        checked(lambda: constant)
    with pytest.raises(NoGradientError, match=r"is a constant: there is no operation to audit$"):
        audit(constant)


def test_what_was_not_computed_by_an_operation_certifies_nothing():
    x = Value(0.0, name="x")
    first = grad(abs(x), x, create_graph=True)
    with no_grad():
        constant = x * 2.0
    told = "is no result of recorded operations on a leaf that takes a gradient. Give a function that"
    for loss, word in ((x, "x = 0.0"), (constant, "Value(0.0)")):
        for parameters in (x, None):
            with pytest.raises(NoGradientError) as refused:
                checked(loss, parameters)
            assert str(refused.value) == f"there is nothing to check: {word} {told} computes it"
    if Graph(first).root.rule is None:
        with pytest.raises(NoGradientError, match=r"^there is nothing to check: "):
            checked(first, x)
    (by_calls,) = checked(lambda: grad(abs(x), x, create_graph=True), x).rows
    assert by_calls.verdict != "agree"


@pytest.mark.parametrize("rule", RULES.values(), ids=str)
def test_no_error_of_a_percent_agrees_at_extreme_operands(rule):
    """Alone, where it is seen, and beside a term that absorbs what is small."""
    rows: dict[str, list[GradientRow]] = {}
    for factor in ("1.0", "1.01", "0.0"):
        d, kink = tuple(f"{factor} * ({each})" for each in rule.d), tuple(map(str, rule.kink))
        texts = rule.name, " ".join(rule.args), str(rule.y), d, "", (), rule.corner, kink
        scaled = row(*texts, None, " ".join(rule.over))
        rows[factor] = []
        for y, beside in product(at_extremes(scaled, [0.3, 1e-140, -500, 700]), (0.0, 1.0)):
            rows[factor] += checked(y + beside, names={}).rows
    right = rows.pop("1.0")
    assert {"agree"} <= {each.verdict for each in right} <= {"agree", "inconclusive"}
    for wrong in rows.values():
        for now, was in zip(wrong, right, strict=True):
            changed = now.claimed != was.claimed and not math.isnan(was.claimed)
            assert not changed or now.verdict != "agree", now


def test_a_zero_that_the_loss_does_not_show_is_traced_to_its_operation():
    w = Value(3.0, name="w")
    with planted("shrunk", "a", "a * 1e-200", ("0.0",), "Off.") as shrunk:
        (lost,) = checked(record(shrunk, (w,)) + 1.0).rows
    assert (lost.claimed, lost.numerical, lost.verdict) == (0.0, pytest.approx(1e-200), "DISAGREE")
    assert_matches(r"rule shrunk is wrong at v1: its derivative in a = w is 0, measured .*", lost.why)
    with planted("stuck", "a", "exp(a - 740.0)", ("0.0",), "Off.") as stuck:
        (lost,) = checked(record(stuck, (w * 0.0,)) * 1.0 + w).rows
        (alone,) = checked(record(stuck, (w * 1e-9,)) + 1.0).rows
    assert lost.verdict == "agree"  # w - w * 0
    assert alone.verdict == "agree"  # 4e-331, which is 0
    (under,) = checked(w * 1e-200 * 1e-200 + 1.0).rows
    assert (under.claimed, under.verdict) == (0.0, "agree")  # 1e-400


# -------------------------------------------------------------- functions of arrays, in NumPy or in C
def test_a_function_of_an_array_is_checked_against_its_claimed_gradient():
    W = np.array([[0.3, -0.7], [1.1, 0.4]])

    def cost(w):
        return np.sum(np.tanh(w) ** 3)

    def gradient(w):
        return 3.0 * np.tanh(w) ** 2 * (1.0 - np.tanh(w) ** 2)

    report = checked(cost, W, gradient=gradient)
    assert list(verdicts(report)) == ["W[0,0]", "W[0,1]", "W[1,0]", "W[1,1]"]
    assert report.counts == {"agree": 4}
    assert str(report).startswith("check_gradients(loss = ")
    wrong = gradient(W)
    wrong[1, 0] *= 1.0002
    assert checked(cost, W, gradient=wrong).counts == {"agree": 3, "DISAGREE": 1}
    assert W.tolist() == [[0.3, -0.7], [1.1, 0.4]]
    assert checked(math.exp, 0.5, gradient=math.exp).ok
    assert checked(np.sum, [1.0, 2.0], gradient=[1.0, 1.0]).ok


def test_a_kink_of_a_function_of_an_array_is_inconclusive():
    report = checked(lambda x: np.sum(np.maximum(x, 0.0)), [0.0, 1.0, -2.0], gradient=[0.0, 1.0, 0.0])
    assert [row.verdict for row in report.rows] == ["inconclusive", "agree", "agree"]
    assert report.rows[0].why.startswith("kink or jump within the step")


@at_once([1e8, 1e10, 1e12, 1e14], [0.3, 1.0, 7.7])
def test_a_function_that_moves_by_whole_steps_is_not_called_flat(size, x):
    (row,) = checked(lambda x: (size + x**2) - size, x, gradient=2.0 * x).rows
    assert row.verdict != "DISAGREE"
    if size < 1e9:
        (wrong,) = checked(lambda x: (size + x**2) - size, x, gradient=2.01 * x).rows
        assert wrong.verdict == "DISAGREE"


def test_where_a_rule_has_no_derivative_nothing_is_wrong():
    """Every float of that size is an even whole number, so that the power has a value beside it, too."""
    x, y = Value(-1.41, name="x"), Value(-2e20, name="y")
    report = checked(x**y)
    assert math.isnan(report["y"].claimed)
    assert (report["y"].verdict, report["y"].why) == ("inconclusive", "the gradient is not finite")
    assert report["x"].verdict == checked(x**-2e20)["x"].verdict == "agree"


def test_a_function_that_is_flat_at_the_point_is_called_so():
    def shrunk(x):  # the soft threshold
        return math.copysign(max(abs(x) - 1e-3, 0.0), x)

    assert checked(shrunk, 0.0, gradient=0.0).ok
    assert not checked(shrunk, 0.0, gradient=1.0).ok
    assert checked(np.floor, 0.95, gradient=0.0).rows[0].verdict == "agree"


def test_what_a_function_does_beside_the_point_is_no_warning():
    assert checked(np.sqrt, 0.0, gradient=math.inf).counts == {"inconclusive": 1}
    assert checked(np.log, 1e-3, gradient=1e3).counts == {"agree": 1}
    assert checked(np.exp, 709.7, gradient=math.exp(709.7)).counts == {"agree": 1}
    assert checked(lambda x: np.inf * x, 1.0, gradient=1.0).counts == {"inconclusive": 1}
    a, b = Value(1e200, name="a"), Value(1e200, name="b")
    assert checked(a * b).counts == {"inconclusive": 2}
    assert math.isnan(numerical_gradient(lambda: np.log(b.data) * np.inf, b))


def test_what_was_given_by_mistake_is_said():
    def two(x, y):
        return x + y

    w = Value(2.0, name="w")
    cases = (
        (TypeError, "^the function returned '1.0': ", lambda: checked(str, 1.0, gradient=1.0)),
        (TypeError, r"^the array is \['1'\]: ", lambda: checked(np.sum, ["1"], gradient=[1.0])),
        (TypeError, r"^the gradient is \['1'\]: ", lambda: checked(np.sum, [1.0], gradient=["1"])),
        (TypeError, "^missing a required argument: 'y': .* of one array .* check one, lambda x: f",
         lambda: checked(two, 1.0, gradient=1.0)),
        (TypeError, "^too many .* of one array", lambda: checked(np.sum, 1.0, gradient=lambda: 1.0)),
        (ValueError, "give one of them", lambda: checked(np.sum, 1.0, gradient=1.0, claimed=1.0)),
        (ValueError, "nothing to check: no parameter was given", lambda: checked(np.sum, [], gradient=[])),
        (ValueError, "nothing to check: no parameter was given", lambda: checked(w * 2.0, [])),
        (TypeError, "Of several Values check a sum", lambda: checked([w * 2.0])),
    )  # fmt: skip
    for kind, told, call in cases:
        with pytest.raises(kind, match=told):
            call()


def test_a_function_that_writes_into_its_array_is_checked_all_the_same():
    def cost(x):
        x *= 2.0
        return float(x @ x)

    assert checked(cost, [1.0, 3.0], gradient=[8.0, 24.0]).ok


def test_what_is_no_function_of_an_array_is_refused():
    def cost(x):
        calls.append(x)
        return len(calls) if restless else 1.0

    calls, restless = [], False
    for ragged in ([[1.0, 2.0], [3.0]], [np.ones((2, 2)), np.ones(2)]):
        with pytest.raises(TypeError, match=r"^the array is "):
            check_gradients(lambda _: 0.0, ragged, gradient=[1.0])
        with pytest.raises(TypeError, match=r"^the gradient is .*: .* array of real numbers"):
            check_gradients(lambda _: 0.0, [1.0, 2.0], gradient=ragged)
    with pytest.raises(TypeError, match=r"^the array is 'x': "):
        checked(cost, "x", gradient=[1.0])
    with pytest.raises(ValueError, match=r"the gradient has the shape \(1,\), the array \(2,\)"):
        checked(cost, [1.0, 2.0], gradient=[1.0])
    with pytest.raises(TypeError, match=r"^the function is Value.* as claimed=$"):
        checked(Value(1.0), [1.0], gradient=[1.0])
    with pytest.raises(TypeError, match=r"^the array is masked_array"):
        checked(cost, np.ma.masked_array([1.0, 2.0], [False, True]), gradient=[1.0, 1.0])
    restless = True
    with pytest.raises(ValueError, match=r"^two calls of the function gave \d\.0 and \d\.0: what it"):
        checked(cost, [1.0], gradient=[1.0])


def test_an_error_of_one_in_ten_million_is_found_in_a_recorded_loss():
    W = array(np.linspace(-1.0, 2.0, 12).reshape(3, 4), name="W")
    loss = np.sum(np.tanh(W @ np.array([0.1, -0.4, 0.7, 1.2])) ** 2) * 1e-9 + 1e6
    true = np.array(grad(loss, W), dtype=float)
    assert checked(loss, W, claimed=true).counts == {"agree": 12}
    assert checked(loss, W, claimed=true * (1 + 1e-7)).counts == {"DISAGREE": 12}


def test_the_central_difference_stands_beside_the_exact_one():
    w = Value(0.5, name="w")
    row_ = checked(w.exp() * 2.0)["w"]
    assert row_.numerical == pytest.approx(row_.claimed, rel=1e-15)
    assert row_.central != row_.numerical
    assert row_.central == pytest.approx(row_.claimed, rel=1e-9)


def test_two_calls_must_agree():
    w, calls = Value(1.0), []

    def loss():
        calls.append(1)
        return w * len(calls)

    with pytest.raises(ValueError, match=r"^two calls of the function gave 1\.0 and 2\.0: what it"):
        checked(loss)


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (3.0, r"^the loss is 3\.0: check_gradients\(\) takes a Value, or a .* check a sum; "),
        (lambda: 3.0, r"^the function returned 3\.0: .* that returns one\. .* of a function of plain "),
    ],
)
def test_the_loss_must_be_a_value(loss, text):
    with pytest.raises(TypeError, match=text):
        checked(loss)


def test_an_undefined_loss_raises_as_it_does_without_a_check():
    w = Value(-1.0, name="w")
    with pytest.raises(UndefinedOperation):
        checked(lambda: log(w))
    with pytest.raises(TypeError, match=r"^audit\(\) looks at a recorded Value, not 3\.0$"):
        audit(3.0)


# ---------------------------------------------------------------------------------------------- audit
def test_an_audit_without_findings():
    w, x = Value(0.4, name="w"), Value(3.0, name="x")
    net = w * x + 1.0
    y = net.sigmoid()
    report = audit(y, show=False)
    assert report.ok
    assert report.counts == {"fine": 4}
    assert [(each.node, each.rule, each.operand) for each in report.rows] == [
        ("v2", "mul", "a = w"),
        ("v2", "mul", "b = x"),
        ("net", "add", "a = v2"),
        ("y", "sigmoid", "a = net"),
    ]
    assert str(report) == (
        "audit(y = 0.90024951): 4 fine\n"
        "\n"
        "rules: none is wrong\n"
        "accumulation: right: 5 gradients are the sums over their uses\n"
        "grad: not computed"
    )
    assert repr(report) == "AuditReport(4 fine)"


def test_a_wrong_rule_is_named_by_operation_operand_and_node():
    with planted("cube", "a", "a * a * a", ("2.0 * a * a",), "Wrong factor.") as cube:
        x, w = Value(3.0, name="x"), Value(0.5, name="w")
        y = record(cube, (x * 1.0,))
        z = y * w + x.tanh()
        report = audit(z, show=False)
    assert not report.ok
    assert report.wrong_rules == ["cube"]
    assert report.counts == {"fine": 6, "WRONG RULE": 1}
    assert str(report) == (
        "audit(z = 14.495055): 6 fine, 1 WRONG RULE\n"
        "\n"
        "node   rule   operand     recorded     measured   ratio   verdict\n"
        "────────────────────────────────────────────────────────────────────\n"
        "y      cube   a = v1    +18.000000   +27.000000     2/3   WRONG RULE\n"
        "\n"
        "rules: WRONG: cube\n"
        "accumulation: right: 7 gradients are the sums over their uses\n"
        "grad: not computed\n"
        "lines: call microbp.record_sites() before computing to see them"
    )


def test_an_audit_tells_the_line_where_it_is_recorded():
    with planted("cube", "a", "a * a * a", ("2.0 * a * a",), "Wrong factor.") as cube, sites():
        y = record(cube, (Value(3.0, name="x"),))
        report = audit(y, show=False)
    assert report.rows[0].site == y.site
    line = str(report).splitlines()[4]
    assert_matches(r"y .* 2/3   WRONG RULE \[.*test_check\.py:\d+\]", line)
    assert "record_sites" not in str(report)


def test_one_element_of_a_list_is_named():
    texts = ("total(w * x)", ("x", "1.0005 * w"), "Off in x.")
    with planted("product", "w x", *texts, (), "", (), None, "w x") as product:
        w = [Value(0.5, name="w0"), Value(0.0, name="w1")]
        x = [Value(3.0, name="x0"), Value(4.0, name="x1")]
        report = audit(record(product, (w, x)), show=False)
    assert [(each.operand, each.verdict) for each in report.rows] == [
        ("w[0] = w0", "fine"),
        ("w[1] = w1", "fine"),
        ("x[0] = x0", "WRONG RULE"),
        ("x[1] = x1", "fine"),
    ]
    assert report.rows[2].ratio == "1.0005"


@pytest.mark.parametrize("rule", [each for each in RULES.values() if not each.corner], ids=str)
def test_every_rule_that_is_off_by_a_twentieth_of_a_percent_is_found(rule):
    """Planted in one derivative at a time, with the others as they should be; and named alone."""
    for wrong in range(len(rule.args)):
        d = [f"1.0005 * ({each})" if i == wrong else str(each) for i, each in enumerate(rule.d)]
        texts = (" ".join(rule.args), str(rule.y), tuple(d), "", rule.smooth)
        with planted(f"{rule.name}_", *texts, "", (), None, " ".join(rule.over)) as bad:
            values = []
            for arg, (low, high) in zip(rule.args, rule.smooth[0], strict=True):
                x = 0.45 * low + 0.55 * high
                values.append([Value(x), Value(0.9 * x)] if arg in rule.over else Value(x))
            y = (record(bad, values) * 0.1).sin()
            report = audit(y, show=False)
            gradients = checked(y)
        found = {each.operand[0] for each in report.rows if each.verdict == "WRONG RULE"}
        assert found == {rule.args[wrong][0]}
        assert {each.rule for each in report.rows if each.verdict != "fine"} == {bad.name}
        disagreed = [each for each in gradients.rows if each.verdict == "DISAGREE"]
        assert len(disagreed) == (2 if rule.args[wrong] in rule.over else 1)
        assert all(f"rule {bad.name} is wrong" in each.why for each in disagreed)


@at_once(
    [
        (lambda v: v.relu(), 0.0),
        (abs, 0.0),
        (lambda v: maximum(v, 2.0), 2.0),
        (lambda v: record(RULES["clip"], (v, 1.0, 2.0)), 1.0),
        (lambda v: largest([v, 1.5]), 1.5),
        (lambda v: record(RULES["leaky_relu"], (v, 0.1)), 0.0),
        (lambda v: v.sqrt(), 0.0),
        (lambda v: v.asin(), 1.0),
        (lambda v: v.acos(), -1.0),
        (lambda v: v**0.99, 0.0),
        (lambda v: v**1.5, 0.0),
    ]
)
def test_a_corner_by_convention_is_no_alarm(operation, data):
    v = Value(data, name="v")
    report = audit(operation(v) * 2.0, show=False)
    assert report.ok
    assert [each.verdict for each in report.rows] == ["corner", "fine"]


@pytest.mark.parametrize("power", [0.999, 1.001, 1.05, 1 - 1e-5, 1 + 1e-5, 1 + 1e-7, 1 + 1e-12, 1 - 1e-12])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_a_slope_that_goes_to_its_limit_slowly_is_no_alarm(power, x):
    v = Value(x, name="v")
    assert audit((v - x) ** power, show=False).ok
    report = checked((v - x) ** power)
    assert report.ok
    assert power == 1.05 or report["v"].why.startswith("not smooth: pow at ")


def test_a_function_that_bends_within_the_narrowest_complex_step_is_measured_with_a_narrower_one():
    x = Value(1e-120, name="x")
    assert checked(sqrt(x * x + 1e-240)).counts == {"agree": 1}


@at_once([5e-324, 1e-320, 4e-318, 1e-316, 1e-300, 1e-200], [0.5, 0.99999, 1.00001, 1.5, 2.0001, 1 / 3])
def test_a_step_wider_than_the_operand_is_not_taken_for_its_slope(x, power):
    assert audit(Value(x) ** power, show=False).ok
    assert checked(Value(x) ** power).ok


def test_a_corner_is_shown_with_its_slopes():
    v = Value(0.0, name="v")
    report = audit(v.relu(), show=False)
    assert report.rows[0].why == "the slope is 0 below, +1.0000000 above; by convention 0"
    (edge,) = audit(v.sqrt(), show=False).rows
    assert edge.why == "undefined below 0.0, where the slope grows without bound"


@pytest.mark.parametrize(
    ("y", "d", "why"),
    [
        ("a if a > 0.0 else 0.0", "1.5 if a >= 0.0 else 0.0", "the slope is 0 below, +1.0000000 above"),
        ("a if a > 0.0 else 0.0", "-0.1 if a <= 0.0 else 1.0", "the slope is 0 below, +1.0000000 above"),
        ("pow(a, 1.5)", "inf if a == 0.0 else 1.0", "undefined below 0.0, where the gradient is not finite"),
    ],
)
def test_a_convention_outside_the_slopes_is_wrong(y, d, why):
    with planted("bent", "a", y, (d,), "", (), "At 0 by convention.", ("a",)) as bent:
        report = audit(record(bent, (Value(0.0),)), show=False)
    assert report.rows[0].verdict == "WRONG RULE"
    assert report.rows[0].why == why


def test_a_corner_that_the_rule_does_not_declare_is_no_alarm():
    y, d = "0.0 if a < 1.0 else a - 1.0", "0.0 if a < 1.0 else 0.5 if a == 1.0 else 1.0"
    with planted("hinge", "a", y, (d,), "") as hinge:
        report = audit(record(hinge, (Value(1.0),)), show=False)
    assert [each.verdict for each in report.rows] == ["corner"]


def test_what_cannot_be_measured_is_undecided():
    x, b = Value(nan, name="x"), Value(2.0, name="b")
    report = audit((x * 2.0).relu() + Value(-1.5) ** b, show=False)
    assert [(each.rule, each.verdict, each.why) for each in report.rows] == [
        ("mul", "undecided", "an operand is not finite"),
        ("relu", "undecided", "an operand is not finite"),
        ("pow", "fine", ""),
        ("pow", "undecided", "undefined beside 2.0"),
        ("add", "undecided", "an operand is not finite"),
        ("add", "undecided", "an operand is not finite"),
    ]
    assert report.ok


@pytest.mark.parametrize("power", [3.0, 100.0, 101.0, 151.0, -151.0])
def test_a_negative_base_to_a_large_power_is_measured(power):
    """Where cmath goes through angles and loses everything, differences of the real pow decide."""
    report = audit(Value(-1.1) ** power, show=False)
    assert [each.verdict for each in report.rows] == ["fine"]


#: Ordinary, tiny and saturating operands.
EXTREME = [0.3, -0.7, 0.0, 1e-140, -1e-140, 1e-300, -1e-300, 40, -40, 500, -500, 700, -700, -740, 745]


def at_extremes(rule: Rule, extreme: Sequence[float] = EXTREME) -> Iterator[Value]:
    """The operation at extreme operands, wherever it has a value there; of several each beside each."""
    several = len(rule.args) + len(rule.over)
    for first, step in product(range(len(extreme)), range(len(extreme) if several > 1 else 1)):
        numbers = [extreme[(first + step * place) % len(extreme)] for place in range(several)]
        with suppress(UndefinedOperation):
            y = record(rule, rule.split([Value(each) for each in numbers]))
            if math.isfinite(y.data):
                yield y


def audited(ys: Sequence[Value]) -> list[AuditRow]:
    """The rows of some operations, a few of which are audited in one graph: that is quicker."""
    rows: list[AuditRow] = []
    for first in range(0, len(ys), 15):
        names = {f"y{k}": y for k, y in enumerate(ys[first : first + 15])}
        joined = microbp.dot([*names.values()], [0.0] * len(names))
        rows += [row for row in audit(joined, show=False, names=names).rows if row.node in names]
    return rows


@pytest.mark.parametrize("rule", RULES.values(), ids=str)
def test_no_error_of_a_percent_is_called_fine_at_extreme_operands(monkeypatch, rule):
    right = audited([*at_extremes(rule)])
    assert {"fine"} <= {row.verdict for row in right} <= {"fine", "corner", "undecided"}
    for factor in (-1.0, 1.01, 0.0):
        found = []
        with monkeypatch.context() as planted:
            misstated(planted, rule.name, factor)
            for now, was in zip(audited([*at_extremes(rule)]), right, strict=True):
                if now.recorded != was.recorded and not math.isnan(was.recorded):
                    found.append(now.verdict)
                    assert now.verdict != "fine", (factor, now)
        assert "WRONG RULE" in found, factor


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("silu", [-500.0]), ("sigmoid", [500.0]), ("mul", [1e-140, 1e-140]), ("mul", [1e-300, -1e-300]),
     ("log", [1e-300]), ("div", [1e-300, 1e-300]), ("elu", [-500.0, 40.0]), ("dot", [1e-140, 3.0, 0.0])],
)  # fmt: skip
def test_at_extreme_operands_the_complex_step_decides(monkeypatch, name, numbers):
    rule = RULES[name]
    for factor, verdict in ((1.0, "fine"), (1.01, "WRONG RULE"), (0.0, "WRONG RULE")):
        misstated(monkeypatch, name, factor)
        report = audit(record(rule, rule.split([Value(each) for each in numbers])), show=False)
        assert verdict in report.counts
        assert all(each.verdict == verdict or each.recorded in (0.0, 1.0) for each in report.rows)
        monkeypatch.undo()


def test_what_floats_do_not_resolve_is_undecided_with_the_reason():
    (only,) = audit(Value(-740.0).sigmoid(), show=False).rows
    assert only.verdict == "undecided"
    assert only.why == "no numerical derivative could be formed"


def test_the_change_of_a_confident_cross_entropy_keeps_its_digits():
    x = [Value(-0.7), Value(-500.0)]
    (first, *_) = audit(record(RULES["cross_entropy"], (x, [1.0, 0.0])), show=False).rows
    assert (first.recorded, first.verdict) == (-math.exp(-499.3), "fine")  # p - 1


def test_operands_of_any_size_are_measured():
    for x in (1e-150, 1e-138, 1e-20, 1e20, 1e100):
        v = Value(x)
        assert audit(v * (3.0 / v), show=False).counts == {"fine": 3}, x


def test_a_changed_leaf_is_found_and_the_rules_are_not_blamed():
    w, x = Value(3.0, name="w"), Value(2.0, name="x")
    y = w * x
    z = y.tanh() + w
    w.data = 4.0
    report = audit(z, show=False)
    assert not report.ok
    assert report.wrong_rules == []
    changed = [each for each in report.rows if each.verdict == "CHANGED"]
    assert [(each.node, each.recorded, each.measured) for each in changed] == [
        ("y", 6.0, 8.0),
        ("z", z.data, pytest.approx(z.data + 1.0)),
    ]
    assert changed[0].why == (
        "y = mul(w, x) = 6.0 was recorded, but its operands give 8.0 now: w was 3.0 and is 4.0 now"
    )
    assert changed[1].why.endswith(" now: w was 3.0 and is 4.0 now")
    assert "numbers: CHANGED since they were recorded; compute the graph again" in str(report)


def test_of_a_leaf_read_before_and_after_its_changes_it_or_the_node_may_be_the_cause() -> None:
    w, total = Value(0.3, name="w"), Value(0.0)
    for factor in (1.0, 2.0, 3.0):
        w.data += 0.5
        total = total + (w * factor - 1.0) ** 2
    first = next(row for row in audit(total, show=False, names={}).rows if row.verdict == "CHANGED")
    assert first.why.endswith(
        " = 0.8 was recorded, but its operands give 1.8 now: one of these was changed: w is 1.8 now, "
        "v1 is 0.8 now"
    )


def test_of_several_leaves_the_one_that_has_changed_is_told():
    a, b, c = Value(1.0, name="a"), Value(2.0, name="b"), Value(5.0, name="c")
    y = a + b
    z = y * c
    b.data = 7.0
    (changed,) = [each for each in audit(z, show=False).rows if each.verdict == "CHANGED"]
    assert changed.why == (
        "y = add(a, b) = 3.0 was recorded, but its operands give 8.0 now: b was 2.0 and is 7.0 now"
    )


def test_an_edited_intermediate_is_found():
    w, x = Value(3.0, name="w"), Value(2.0, name="x")
    h = w * x
    y = h * h
    z = y + w
    h.data = 10.0
    changed = {each.node: each.why for each in audit(z, show=False).rows if each.verdict == "CHANGED"}
    assert changed == {
        "h": "h = mul(w, x) = 10.0 stands there, but its operands give 6.0 now: h was 6.0 and is 10.0 now",
        "y": "y = mul(h, h) = 36.0 was recorded, but its operands give 100.0 now: h was 6.0 and is 10.0 now",
    }


def test_a_leaf_changed_out_of_the_domain():
    w = Value(3.0, name="w")
    y = w.log()
    w.data = -1.0
    report = audit(y, show=False)
    assert math.isnan(report.rows[0].measured)
    assert report.rows[0].why.endswith("but its operands give nothing now: w was 3.0 and is -1.0 now")


def test_many_rows_alike_are_counted():
    with planted("cube", "a", "a * a * a", ("2.0 * a * a",), "") as cube:
        total = sum((record(cube, (Value(float(i)),)) for i in range(1, 9)), Value(0.0))
        report = audit(total, show=False)
    lines = str(report).splitlines()
    assert report.counts["WRONG RULE"] == 8
    assert sum("2/3   WRONG RULE" in line for line in lines) == 5
    assert "3 more like it: cube a, WRONG RULE (report.rows)" in lines


@pytest.mark.parametrize(
    ("recorded", "measured", "ratio"),
    [
        (-2.0, 2.0, "-1"),
        (18.0, 27.0, "2/3"),
        (0.0, 3.0, "0"),
        (1.0, 0.0, "-"),
        (nan, 1.0, "-"),
        (1.0005, 1.0, "1.0005"),
    ],
)
def test_the_ratio_is_a_fraction_where_it_is_simple(recorded, measured, ratio):
    assert AuditRow("y", "f", "a = x", recorded, measured, "WRONG RULE", "", None).ratio == ratio


# --------------------------------------------------------------------------------------- accumulation
def test_wrong_accumulation_is_told_apart_from_wrong_rules(monkeypatch):
    x = Value(3.0, name="x")
    h = x * x
    y = h * x

    def forgets_a_use(root):
        gradients = upstream_gradients(root)
        gradients[id(x)] -= h.data
        return gradients

    for module in (microbp.check.auditing, microbp.check.gradients):
        monkeypatch.setattr(module, "upstream_gradients", forgets_a_use)
    report = audit(y, show=False)
    assert not report.ok
    assert report.counts == {"fine": 4}
    assert report.accumulation.told == (
        "x has the gradient 18.0 in a fresh pass, but the sum over its 3 uses is 27.0"
    )
    assert f"accumulation: WRONG: {report.accumulation.told}" in str(report)
    gradient = checked(y)["x"]
    assert (gradient.verdict, gradient.why) == ("DISAGREE", f"wrong accumulation: {report.accumulation.told}")


def test_what_grad_holds_is_told():
    x, w = Value(3.0, name="x"), Value(2.0, name="w")
    h = x * w
    y = h.tanh()
    y.backward()
    assert audit(y, show=False).accumulation.grad == "holds 1 backward pass"
    y.backward()
    told = "holds 2 backward passes, which add up until it is cleared"
    assert audit(y, show=False).accumulation.grad == told
    x.grad = w.grad = None
    y.backward()
    once = x.grad
    assert audit(y, show=False).accumulation.grad == (
        f"x.grad = {once!r} is not 3 backward passes of {once!r} each, and 1 more like it: it was set, "
        "cleared or clipped, or another graph has added to it"
    )
    x.grad, w.grad = 3 * once, 3 * w.grad
    assert audit(y, show=False).accumulation.grad == told.replace("2", "3")
    x.grad = 0.5
    report = audit(y, show=False)
    assert report.accumulation.grad == (
        f"x.grad = 0.5 is not 3 backward passes of {once!r} each: it was set, cleared or clipped, or another "
        "graph has added to it"
    )
    assert report.ok
    x.grad = 70 * once  # a multiple, but no pass has been made 70 times
    assert audit(y, show=False).accumulation.grad.startswith("x.grad = ")


# ------------------------------------------------------------------- properties: no alarm, none missed
SMOOTH = [rule for rule in RULES.values() if not rule.corner]
CORNERED = [rule for rule in RULES.values() if rule.corner]

#: Parameters of any size, and numbers at which rules have corners.
sizes = st.one_of(
    st.floats(-3.0, 3.0),
    st.builds(lambda m, e: m * 10.0**e, st.floats(-3.0, 3.0), st.integers(-8, 8)),
    st.sampled_from([0.0, 1.0, -1.0, 2.0, 1e-12, -1e-9, 1e-3]),
)


@st.composite
def graphs(draw, rules, length=20):
    """A random graph, with no regard to whether its derivatives can be measured; None if undefined.

    Each operation is given as its rule's name and from where its operands are taken, so that the same
    graph can be had with another rule.
    """
    leaves = draw(st.lists(sizes, min_size=1, max_size=4))
    operand = st.one_of(st.integers(0, 7), st.integers(0, 7), st.sampled_from([0.0, 1.0, -2.0, 0.7]))
    several = st.lists(operand, min_size=1, max_size=3)
    steps = []
    for rule in draw(st.lists(st.sampled_from(rules), min_size=1, max_size=length)):
        length = len(draw(several)) if rule.over else 0
        count = len(rule.args) - len(rule.over) + length * len(rule.over)
        steps.append((rule, [draw(operand) for _ in range(count)]))
    return leaves, steps


def computed(program, instead=None):
    """The last value of a program; ``instead`` maps rules to others to be used in their place."""
    leaves, steps = program
    values = [Value(x, name=f"p{i}") for i, x in enumerate(leaves)]
    for rule, picks in steps:
        operands = [values[-1 - pick % len(values)] if isinstance(pick, int) else pick for pick in picks]
        used = (instead or {}).get(rule, rule)
        try:
            y = record(used, used.split(operands))
        except UndefinedOperation:
            continue
        if isinstance(y, Value) and abs(y.data) < 1e12:
            values.append(y)
    assume(not values[-1].is_leaf)
    return values[-1]


@settings(max_examples=250)
@given(graphs(SMOOTH))
def test_no_true_gradient_of_a_smooth_graph_is_called_wrong(program):
    loss = computed(program)
    for each in checked(loss).rows:
        assert each.verdict != "DISAGREE" or not math.isfinite(each.claimed)
        if each.verdict == "agree" and each.claimed and not each.why:
            assert each.absolute_error <= 1e-4 * max(abs(each.claimed), abs(each.numerical))
    report = audit(loss, show=False)
    assert report.ok
    assert not report.counts["corner"]


@settings(max_examples=250)
@given(graphs([*SMOOTH, *CORNERED * 3]))
def test_no_true_gradient_is_called_wrong_at_corners_or_beside_them(program):
    loss = computed(program)
    for each in checked(loss).rows:
        assert each.verdict != "DISAGREE" or not math.isfinite(each.claimed)
    assert audit(loss, show=False).ok


@settings(max_examples=150)
@given(graphs(SMOOTH, length=8), st.integers(0, 7), st.integers(0, 2))
def test_an_error_of_a_twentieth_of_a_percent_is_never_passed(program, step, argument):
    """It is seen and named, or the row says that it could not have been seen; no other rule is blamed."""
    rule = program[1][step % len(program[1])][0]
    wrong = argument % len(rule.args)
    d = tuple(f"1.0005 * ({each})" if i == wrong else str(each) for i, each in enumerate(rule.d))
    bad = row("bad", " ".join(rule.args), str(rule.y), d, "", (), "", (), None, " ".join(rule.over))
    right, loss = computed(program), computed(program, {rule: bad})
    truths, claims = upstream_gradients(right), upstream_gradients(loss)
    rows = {each.name: each for each in checked(loss).rows}
    for true, false in zip(backward_order(right), backward_order(loss), strict=True):
        truth, claim = truths.get(id(true), 0.0), claims.get(id(false), 0.0)
        if false.is_leaf and abs(truth - claim) > 4e-4 * max(abs(truth), abs(claim)):
            assert rows[false.name].verdict in {"DISAGREE", "inconclusive"}
    for each in rows.values():
        assert each.verdict != "DISAGREE" or "rule bad is wrong" in each.why
    assert set(audit(loss, show=False).wrong_rules) <= {"bad"}


@settings(max_examples=100)
@given(graphs([*SMOOTH, *CORNERED]))
def test_a_function_gives_the_verdicts_of_its_record(program):
    loss = computed(program)
    order = backward_order(loss)[::-1]

    def again():
        made = {}
        for each in order:
            if each.is_leaf:
                made[id(each)] = each
            else:
                operands = [made[id(x)] if isinstance(x, Value) else x for x in each.operands]
                made[id(each)] = record(each.rule, each.rule.split(operands))
        return made[id(loss)]

    before = [each.data for each in order]
    recorded = verdicts(checked(loss))
    for name, verdict in verdicts(checked(again)).items():  # differences do not see as much
        assert verdict in (recorded[name], "inconclusive")
    assert [each.data for each in order] == before


@settings(max_examples=25)
@given(sizes, st.floats(-1.0, 1.0))
def test_relu_at_and_beside_zero_is_never_called_wrong(size, beside):
    w, x = Value(size, name="w"), Value(1.5, name="x")
    b = Value(-size * 1.5 + beside * 10.0 ** (-12 * abs(beside)), name="b")
    for loss in (relu(w * x + b), relu(b) - relu(-b) + w, abs(w * x) + maximum(b, -w * 1.5)):
        assert checked(loss).ok
        assert audit(loss, show=False).ok


@at_once([10.0**e for e in range(-8, 9)])
def test_parameters_of_any_size_are_decided(size):
    w, b = Value(1.3 * size, name="w"), Value(-0.4 / size, name="b")
    report = checked(lambda: (w / size * 0.7 + b * size).tanh() * size)
    assert verdicts(report) == {"w": "agree", "b": "agree"}
    assert max(each.relative_error for each in report.rows) < 1e-9


def test_a_chain_of_two_thousand_operations_is_decided():
    x = Value(0.3, name="x")
    y = x
    for i in range(2000):
        y = y * 0.9999 + x * 1e-4 if i % 2 else y.sin() + x * 1e-4
    report = checked(y)
    assert report["x"].verdict == "agree"
    assert report["x"].relative_error < 1e-9
    assert audit(y, show=False).ok


def test_the_checks_leave_the_graph_as_it_was():
    w, b = Value(0.4, name="w"), Value(0.0, name="b")
    loss = (w * 2.0 + b.relu()).tanh()
    loss.backward()
    before = Graph(loss, {})
    checked(loss)
    audit(loss, show=False)
    checked(lambda: 2.0 * (w * 2.0 + b.relu()).tanh())
    assert Graph(loss, {}) == before
