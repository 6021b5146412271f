"""NaN and infinity: who made the first, who passed it on, who swallowed it; in data and in gradients."""

from __future__ import annotations

import math

import pytest
from support import here

from microbp import MLP, Value, clip, select, sqrt
from microbp.debug.diagnose import Diagnosis, diagnose

inf, nan = math.inf, math.nan


pytestmark = pytest.mark.usefixtures("sites")


def of(loss: Value, **names: Value) -> Diagnosis:
    return diagnose(loss, names=names, show=False)


def test_the_first_producer_of_an_infinity_is_named_and_the_others_are_counted() -> None:
    w = Value(1e200, name="w")
    square = w * w
    line = here(1)
    later = (square + 1.0) * 2.0
    loss = later - 3.0
    found = of(loss, square=square, later=later)["overflow"]
    assert (found.kind, found.node, found.site) == ("not finite", "square", line)
    assert "made the first infinity from operands that are finite: w = 1e+200" in found.what
    assert "3 later values only passed it on (v2, later, v4)" in found.what
    assert dict(found.numbers)["w"] == 1e200


def test_a_nan_that_came_in_with_the_data_is_no_operations_fault() -> None:
    x, w = Value(nan, name="x"), Value(2.0, name="w")
    diagnosis = of(w * x + 1.0)
    found = diagnosis.findings[0]
    assert (found.cause, found.node) == ("nan given", "x")
    assert "2 later values only passed it on" in found.what


@pytest.mark.parametrize(("number", "cause"), [(nan, "nan given"), (-inf, "infinity given")])
def test_a_plain_number_that_is_not_finite_is_found_where_it_came_in(number: float, cause: str) -> None:
    w, b = Value(-2.0, name="w"), Value(1.0, name="b")
    h = w * number + b
    line = here(1)
    found = of(h * 2.0, h=h).findings[0]
    assert (found.cause, found.node, found.site) == (cause, "v1", line)
    assert f"mul at v1 was given {number} as a plain number, the first that is not finite." in found.what
    assert "2 later values only passed it on" in found.what


def test_a_sample_with_a_nan_is_found_in_a_net() -> None:
    net = MLP(2, [3, 1], seed=1)
    diagnosis = diagnose(net([nan, 1.0]) ** 2, names={"net": net}, show=False)
    assert [each.cause for each in diagnosis.findings] == ["nan given"]
    assert "2 more nodes made one" in diagnosis.findings[0].what


def test_many_that_came_in_are_one_finding() -> None:
    x, y, w = Value(nan, name="x"), Value(inf, name="y"), Value(2.0, name="w")
    [found] = [each for each in of(w * x + w * y).findings if each.cause.endswith("given")]
    assert found.node == "x"
    assert "1 more node made one" in found.what


def test_an_infinity_that_becomes_nan_is_told_too() -> None:
    w = Value(1e200, name="w")
    big = w * w
    lost = big - big
    line = here(1)
    diagnosis = of(lost + 1.0, big=big, lost=lost)
    assert diagnosis.findings[0].node == "big"
    found = diagnosis["nan from infinity"]
    assert (found.node, found.site) == ("lost", line)
    assert "sub at lost made another nan from operands that are infinite: big = inf" in found.what
    assert {each.kind for each in diagnosis.findings} == {"not finite"}  # no word on gradients of a nan


def test_a_nan_that_select_swallows_is_found_though_the_loss_is_finite() -> None:
    a, b = Value(nan, name="a"), Value(2.0, name="b")
    bad = a * 2.0
    loss = select(Value(-1.0).detach(), bad, b * b)
    line = here(1)
    diagnosis = of(loss, bad=bad, chosen=loss)
    assert loss.data == 4.0
    found = diagnosis["swallowed nan"]
    assert (found.node, found.site) == ("chosen", line)
    assert "select at chosen = 4 is finite although an operand is not: bad = nan" in found.what


@pytest.mark.parametrize(
    ("swallow", "word"),
    [
        (lambda x: 1.0 / x, "div"), (lambda x: x.tanh(), "tanh"), (lambda x: clip(x, -1.0, 1.0), "clip"),
        (lambda x: x**0.0, "pow"), (lambda x: (-x).exp(), "exp"),
    ],
)  # fmt: skip
def test_a_swallowed_infinity_is_found(swallow, word) -> None:
    big = Value(inf, name="big")
    found = of(swallow(big) + 1.0)["swallowed infinity"]
    assert found.what.startswith(word)


def test_the_unused_branch_of_select_makes_the_gradient_nan_and_is_named() -> None:
    x = Value(0.0, name="x")
    root = sqrt(x)
    line = here(1)
    loss = select(x, root, x * 2.0)
    diagnosis = of(loss, root=root)
    loss.backward()
    assert math.isnan(x.grad)
    found = diagnosis["0 · infinity"]
    assert (found.kind, found.node, found.site) == ("not finite", "root", line)
    assert "its slope at x = 0 is inf, and 0 arrives there: 0 · inf = nan, the first gradient" in found.what
    assert found.parameters == ("x",)


def test_an_infinite_slope_is_named() -> None:
    x = Value(0.0, name="x")
    root = sqrt(x * 3.0)
    line = here(1)
    found = of(root + 1.0, root=root)["infinite slope"]
    assert (found.node, found.site, found.parameters) == ("root", line, ("x",))


def test_a_product_of_finite_slopes_that_overflows_is_named() -> None:
    w = Value(0.0, name="w")
    low = w * 1e300
    line = here(1)
    found = of(low * 1e300, low=low)["overflow"]
    assert (found.kind, found.node, found.site) == ("not finite", "low", line)
    assert "1e+300 · 1e+300 = inf, beyond the largest float" in found.what
    assert found.parameters == ("w",)


def test_a_sum_of_finite_contributions_that_overflows_is_named() -> None:
    x = Value(0.0, name="x")
    a = x * 1.0
    loss = a * 1e308 + a * 1e308
    found = of(loss, a=a)["sum of gradients"]
    assert found.node == "a"
    assert "the 2 contributions to the gradient of a sum to inf" in found.what


def test_a_log_of_zero_is_explained_from_its_error() -> None:
    p = Value(0.0, name="p")
    with pytest.raises(ArithmeticError) as raised:
        p.log()
    line = here(1)
    diagnosis = diagnose(raised.value, show=False)
    [found] = diagnosis.findings
    assert (found.cause, found.node, found.site) == ("undefined operation", "log", line)
    assert "log(a) has no value at a = 0.0 (p)" in found.what
    assert dict(found.numbers) == {"operand 0": 0.0}


def test_a_root_that_is_squared_at_zero_was_used_and_the_cure_fits() -> None:
    d = [Value(0.0, name="a"), Value(0.0, name="b")]
    norm = sqrt(d[0] * d[0] + d[1] * d[1])
    found = diagnose(norm**2, d, names={"norm": norm}, show=False)["not finite"]
    assert (found.cause, found.node) == ("0 · infinity", "norm")
    assert "is flat just where" in found.what
    assert "not used" not in found.what
    assert "Σ d²" in found.advice
    assert "sqrt(a + 1e-12)" in found.advice


def test_in_chinese_what_arose_has_a_chinese_word_and_keeps_its_name() -> None:
    [found] = diagnose(Value(1e308, name="x") * 10.0, names={}, show=False, language="zh").findings
    assert (found.cause, found.word) == ("overflow", "上溢")
