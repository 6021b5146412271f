"""Claimed gradients: right ones are right, wrong ones never, and each planted mistake is named."""

from __future__ import annotations

import math
import pickle
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at_once
from tutorial import quantities

import microbp
from microbp import Value
from microbp.answers import AnswerReport, AnswerRow, check_answers
from microbp.answers.words import LANGUAGES, SENTENCES
from microbp.demo import t4
from microbp.errors import NoGradientError


def graded(loss: Value, name: Any, claim: Any, **options: Any) -> AnswerRow:
    """The row of a single claim. Whatever it is, each explanation has to reproduce it."""
    report = check_answers(loss, [(name, claim)], show=False, **options)
    check_causes(report)
    return report.rows[0]


def check_causes(report: AnswerReport) -> None:
    for row in report.rows:
        assert bool(row.causes) <= (row.verdict == "WRONG")
        scale = 1.0
        if "as an update with η = " in row.explanation:
            scale = -float(row.explanation.split("as an update with η = ")[1].split()[0])
        for cause in row.causes:
            assert cause.text in row.explanation
            # Half a unit of the last of 3 digits is 0.5 % at most; more digits are compared below.
            claimed = np.broadcast_to(row.claimed, np.shape(cause.gives))
            np.testing.assert_allclose(np.array(cause.gives) * scale, claimed, rtol=5e-3, atol=1e-15)


def causes(row: AnswerRow) -> list[str]:
    assert row.verdict == "WRONG"
    return [cause.text for cause in row.causes]


# --------------------------------------------------------------------- the 2-2-2 net, step by step
START, RATE = t4.START, t4.RATE
(I1, I2), (T1, T2) = t4.INPUTS.values(), t4.TARGETS.values()


def recorded() -> Value:
    v = quantities({name: Value(x) for name, x in START.items()})
    for name, value in v.items():
        value.name = name
    loss: Value = v["E"]
    return loss


E = recorded()
V = quantities(START, lambda z: 1.0 / (1.0 + math.exp(-z)))
ERROR1, ERROR2 = V["o1"] - T1, V["o2"] - T2
SLOPE1, SLOPE2 = V["o1"] * (1 - V["o1"]), V["o2"] * (1 - V["o2"])
SLOPE_H1, SLOPE_H2 = V["h1"] * (1 - V["h1"]), V["h2"] * (1 - V["h2"])
D1, D2 = ERROR1 * SLOPE1, ERROR2 * SLOPE2
TRUE = {
    "w5": D1 * V["h1"], "w6": D1 * V["h2"], "w7": D2 * V["h1"], "w8": D2 * V["h2"], "b2": D1 + D2,
    "w1": (D1 * 0.40 + D2 * 0.50) * SLOPE_H1 * I1, "w2": (D1 * 0.40 + D2 * 0.50) * SLOPE_H1 * I2,
    "w3": (D1 * 0.45 + D2 * 0.55) * SLOPE_H2 * I1, "w4": (D1 * 0.45 + D2 * 0.55) * SLOPE_H2 * I2,
}  # fmt: skip
NEW = {name: START[name] - RATE * gradient for name, gradient in TRUE.items()}


def test_the_numbers_of_the_worked_example_are_right() -> None:
    claims = {"w5": 0.0821670, "w1": 0.000438568, "w7": "-0.0226025", "w6": "0.0827", "o1": "0.741365"}
    report = check_answers(E, claims, show=False)
    assert report.ok
    assert [row.verdict for row in report.rows] == ["right"] * 5
    assert report["w5"].true == pytest.approx(0.08216704056423078, rel=1e-14)
    assert all(row.explanation == "" for row in report.rows)


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("0.0821670", "right"), ("0.08217", "right"), ("0.0822", "right"), ("8.22e-2", "right"),
        (" 0.082167041 ", "right"), (0.082167, "right"), (0.08216704, "right"),
        ("0.08", "WRONG"), (0.0822, "WRONG"), (0.08217, "WRONG"), ("0.0821", "WRONG"), ("0.0823", "WRONG"),
        ("0.0821671", "WRONG"), (0.08216704056423078 * 1.0005, "WRONG"), (0.082208, "WRONG"),
        (0.08216704056423078 * (1 + 1e-7), "right"), (0.08216704056423078 * (1 + 2e-6), "WRONG"),
        (np.float32(0.08216704), "right"), (np.float64(0.08216704), "right"), (Value(0.08216704), "right"),
    ],
)  # fmt: skip
def test_a_claim_is_compared_to_the_digits_that_were_written(claim: Any, verdict: str) -> None:
    assert graded(E, "w5", claim).verdict == verdict


@pytest.mark.parametrize("claim", [0.0822, "0.082", 0.08217])
def test_a_rounding_to_fewer_digits_than_count_is_said_to_be_one(claim: Any) -> None:
    [text] = causes(graded(E, "w5", claim))
    assert text == (
        "it is the true gradient 0.082167, rounded: a float counts as rounded only with 5 digits, a text "
        "with 3"
    )


def test_a_tolerance_stands_in_place_of_the_usual_ones() -> None:
    assert graded(E, "w5", TRUE["w5"] * 1.0009).verdict == "WRONG"
    assert graded(E, "w5", TRUE["w5"] * 1.0009, tolerance=1e-3).verdict == "right"
    assert not graded(E, "w5", -TRUE["w5"] * 1.0009).causes
    assert check_answers(E, {"w5": -TRUE["w5"] * 1.0009}, tolerance=1e-3, show=False).rows[0].causes


INSTEAD = "in place of σ′(net_o1) = 0.186816 stands "
EARLY = (
    "w5, w7 had been updated with η = 0.5 before being used in the backward pass: "
    "w5 = 0.358916 in place of 0.4, w7 = 0.511301 in place of 0.5"
)
HALF = "it is 0.5 × the true gradient: the 2 of the square's derivative is missing, or a factor ½ does not"
SIGMOID_TWICE = math.exp(-V["o1"]) / (1 + math.exp(-V["o1"])) ** 2
#: The parameter, the number that the mistake gives, and what must be said first.
PLANTED = [
    ("w5", -TRUE["w5"], "the sign is wrong: it is -1 × the true gradient"),
    ("w1", -TRUE["w1"], "the sign is wrong"),
    ("w5", ERROR1 * V["h1"], "the factor σ′(net_o1) = 0.186816 is missing"),
    ("w5", D1 * SLOPE1 * V["h1"], "the factor σ′(net_o1) = 0.186816 is used twice"),
    ("w5", D1, "the factor ∂(w5·h1)/∂w5 = h1 = 0.59327 is missing"),
    ("w5", -0.5 * SLOPE1 * V["h1"], "the factor pow′(0.01 - o1) = -1.48273 is missing"),
    ("w1", TRUE["w1"] / I1, "the factor ∂(w1·0.05)/∂w1 = 0.05 is missing"),
    ("w1", TRUE["w1"] / SLOPE_H1, "the factor σ′(net_h1) = 0.241301 is missing"),
    ("w1", (ERROR1 * 0.4 + ERROR2 * 0.5) * SLOPE_H1 * I1,
     "the factors σ′(net_o1) = 0.186816, σ′(net_o2) = 0.17551 are missing"),
    ("w1", (ERROR1 * 0.4 + D2 * 0.5) * SLOPE_H1 * I1, "the factor σ′(net_o1) = 0.186816 is missing"),
    ("w1", (D1 + D2) * SLOPE_H1 * I1,
     "the factors ∂(w5·h1)/∂h1 = w5 = 0.4, ∂(w7·h1)/∂h1 = w7 = 0.5 are missing"),
    ("w5", SLOPE1 * V["h1"], "the upstream gradient of o1, 0.741365, is missing: it begins there with 1"),
    ("w1", SLOPE_H1 * I1, "the upstream gradient of h1, 0.0363503, is missing"),
    ("w5", ERROR1 * V["o1"] * V["h1"], INSTEAD + "the function's value, not its derivative: 0.751365"),
    ("w1", TRUE["w1"] / SLOPE_H1 * V["h1"],
     "in place of σ′(net_h1) = 0.241301 stands the function's value, not its derivative: 0.59327"),
    ("w5", ERROR1 * V["net_o1"] * (1 - V["net_o1"]) * V["h1"],
     INSTEAD + "its formula with the argument in place of the output: -0.117122"),
    ("w5", ERROR1 * SIGMOID_TWICE * V["h1"],
     INSTEAD + "the derivative at the output in place of the argument: 0.217788"),
    ("w5", ERROR1 * (1 - V["o1"] ** 2) * V["h1"], INSTEAD + "tanh′ as computed from the output: 0.435451"),
    ("w5", ERROR1 * (1 - math.tanh(V["net_o1"]) ** 2) * V["h1"], INSTEAD + "tanh′: 0.355816"),
    ("w5", ERROR1 * (1 - V["o1"]) * V["h1"], INSTEAD + "only the factor 1.0 - y of its formula: 0.248635"),
    ("w5", ERROR1 * V["o1"] * (1 + V["o1"]) * V["h1"],
     INSTEAD + "its formula with a wrong sign, y * (1.0 + y): "),
    ("w5", V["o1"] * SLOPE1 * V["h1"],
     "in place of pow′(0.01 - o1) = -1.48273 stands the derivative without the target"),
    ("w5", (V["o1"] + T1) * SLOPE1 * V["h1"],
     "in place of pow′(0.01 - o1) = -1.48273 stands the derivative with the target added"),
    ("w5", D1 * V["net_h1"],
     "in place of ∂(w5·h1)/∂w5 = h1 = 0.59327 stands the other factor before the activation: 0.3775"),
    ("w1", D1 * 0.4 * SLOPE_H1 * I1, "the path from h1 through net_o2 is missing"),
    ("w1", D2 * 0.5 * SLOPE_H1 * I1, "the path from h1 through net_o1 is missing"),
    ("b1", TRUE["w1"] / I1, "the path from b1 through net_h2 is missing"),
    ("w5", D1 * V["h2"], "it is the gradient of w6, 0.0826676"),
    ("w5", ERROR1 * SLOPE2 * V["h1"], "σ′(net_o2) = 0.17551 stands in place of σ′(net_o1) = 0.186816"),
    ("w5", ERROR2 * SLOPE1 * V["h1"],
     "the upstream gradient of o2, -0.217072, stands in place of that of o1, 0.741365"),
    ("w1", (D1 * 0.4 + D2 * 0.45) * SLOPE_H1 * I1,
     "∂(w6·h2)/∂h2 = w6 = 0.45 stands in place of ∂(w7·h1)/∂h1 = w7 = 0.5"),
    ("w1", (D1 * 0.45 + D2 * 0.55) * SLOPE_H1 * I1,
     "the upstream gradient of h2, 0.0413703, stands in place of that of h1, 0.0363503"),
    ("w1", (D1 * NEW["w5"] + D2 * NEW["w7"]) * SLOPE_H1 * I1, EARLY),
    ("w5", NEW["w5"], "it is the updated parameter, w - η × the gradient with η = 0.5"),
    ("w5", START["w5"], "it is the parameter itself"),
    ("w5", -RATE * TRUE["w5"], "it is the update, -η × the gradient with η = 0.5"),
    ("w5", 0.1 * TRUE["w5"], "it is η × the gradient with η = 0.1: no rate belongs in it"),
    ("w5", 2 * TRUE["w5"], "it is 2 × the true gradient: the ½ of the cost or another factor ½ is missing"),
    ("w5", TRUE["w5"] / 2, HALF),
    ("w1", -D1 * 0.4 * SLOPE_H1 * I1,
     "the path from h1 through net_o2 is missing; and its sign is the opposite, as in an update"),
    ("w5", 2 * ERROR1 * V["h1"], "the factor σ′(net_o1) = 0.186816 is missing; and it is times 2: the ½ of"),
]  # fmt: skip


@pytest.mark.parametrize("written", [float, "{:.9g}".format, lambda x: float(f"{x:.8g}")])
def test_a_planted_mistake_is_named_first(written: Any) -> None:
    report = check_answers(E, [(name, written(claim)) for name, claim, _ in PLANTED], show=False)
    check_causes(report)
    for row, (_, _, text) in zip(report.rows, PLANTED, strict=True):
        assert causes(row)[0].startswith(text)
        assert row.ratio == pytest.approx(row.claimed / row.true, rel=1e-12)


def test_an_explanation_from_few_digits_says_how_easily_it_is_an_accident() -> None:
    row = graded(E, "w1", f"{TRUE['w1'] / SLOPE_H1:#.3g}")
    assert causes(row) == ["the factor σ′(net_h1) = 0.241301 is missing"]
    doubt = r"; with so few digits, though, 1 in \d+ numbers would be met by accident"
    assert re.search(f"{doubt}$", row.explanation)


def test_1_is_no_sign_of_a_pass_that_begins_at_what_is_asked_for() -> None:
    for claim in (1, "1.000"):
        assert "begins there" not in graded(E, "net_o1", claim).explanation
    assert "begins there" in graded(E, "net_o1", SLOPE1).explanation


@pytest.mark.parametrize("name", ["w5", "w6", "w7", "w8"])
def test_an_update_of_three_digits_is_told_where_no_rate_was_given(name: str) -> None:
    row = graded(E, name, f"{-RATE * TRUE[name]:#.3g}")
    assert causes(row)[0].startswith("it is the update, -η × the gradient with η = 0.5 (right as an update")


def test_one_mistake_is_told_before_two() -> None:
    """0.1 is also 0.05, the input, times 2."""
    assert causes(graded(E, "w1", 0.1 * TRUE["w1"])) == [
        "it is η × the gradient with η = 0.1: no rate belongs in it"
    ]


@pytest.mark.parametrize("name", sorted(TRUE))
@pytest.mark.parametrize("off", [1e-4, -1e-4, 1e-5, -1e-5])
def test_what_is_a_few_units_of_the_last_digit_off_is_not_explained(name: str, off: float) -> None:
    """So near to the truth an update with a small rate would give any number."""
    row = graded(E, name, f"{TRUE[name] * (1 + off):#.{5 if abs(off) == 1e-4 else 6}g}")
    assert row.verdict == "right" or not row.causes


@pytest.mark.parametrize("claim", [2.0, 3.0, "2", 0.5])
def test_no_learning_rate_is_invented_for_a_round_number(claim: Any) -> None:
    """With w = 5 and the gradient 12, w - η·12 is 2 for η = 0.25: an accident, as of so many numbers."""
    w = Value(5.0, name="w")
    for loss in ((w + 1.0) ** 2, w * 12.0, w**2 + w * 2.0):
        assert microbp.grad(loss, w) == 12.0
        assert "η" not in graded(loss, "w", claim).explanation
    row = graded(w * 12.0, "w", 2.0, learning_rate=0.25)
    assert causes(row) == ["it is the updated parameter, w - η × the gradient with η = 0.25"]


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 2.0, 3.0])
def test_the_given_learning_rate_is_seen_in_a_claim_whatever_else_has_its_number(rate: float) -> None:
    told = f"it is η × the gradient with η = {rate:g}: no rate belongs in it"
    assert causes(graded(E, "w5", rate * TRUE["w5"], learning_rate=rate))[0] == told


def test_few_of_the_small_whole_numbers_are_explained() -> None:
    told = tried = 0
    for numbers in ((2.0, 5.0, 3.0), (4.0, 1.0, 2.0), (5.0, 2.0, 3.0), (3.0, 4.0, 3.0)):
        w, x, b = (Value(each, name=name) for each, name in zip(numbers, "wxb", strict=True))
        for loss in ((w * x + b) ** 2, w**3 * x + b, w * x * b + w**2, 2.0 * (w + b) ** 2 * x):
            true = microbp.grad(loss, w)
            for claim in {*range(1, 100, 7)} - {abs(true), 2 * true, true / 2, w.data}:
                tried += 1
                told += bool(graded(loss, "w", float(claim)).causes)
    assert told <= tried / 12, (told, tried)


def test_alternatives_that_give_the_same_number_are_all_told() -> None:
    row = graded(E, "w5", 2 * TRUE["w5"])
    assert row.explanation == (
        "2 mistakes give this: "
        "it is 2 × the true gradient: the ½ of the cost or another factor ½ is missing; "
        "or it is 2 × the true gradient: summed over the 2 terms of E, where the loss averages"
    )


def test_a_number_that_nothing_explains_is_said_to_be_so() -> None:
    row = graded(E, "w5", 0.0823456)
    assert row.causes == ()
    assert re.fullmatch(r"none of \d{3} mistakes tried gives this", row.explanation)
    K = microbp.array([1.5, 2.5], name="K")
    row = graded(K[0] * K[1], K, [2.5, 7.123456], language="zh")
    assert re.fullmatch(r"试过的 \d+ 种错误都不会在 \[1\] 处得到它", row.explanation)
    few = graded(E, "w5", 0.9).explanation
    assert few.endswith(". Was it rounded? A float needs 5 digits, a text 3, to be taken so")


def test_a_search_that_would_find_something_by_accident_is_not_begun() -> None:
    for claim in ("0.0819", "0.0823", "0.0801"):
        row = graded(E, "w5", claim)
        assert row.causes == ()
        assert row.explanation == (
            "with so few digits some mistake or other would give this by accident: none is named"
        )
    assert causes(graded(E, "w5", f"{2 * TRUE['w5']:.3g}"))[0].startswith("it is 2 × the true gradient")


def test_a_number_that_was_cut_off_is_told_from_one_that_was_rounded() -> None:
    assert causes(graded(E, "w5", "0.0821")) == [
        "it is the true gradient 0.082167, cut off where it should be rounded"
    ]
    assert graded(E, "w5", "0.0822").verdict == "right"
    K = microbp.array([1.23456, 2.34512], name="K")
    row = graded(K[0] * K[1], K, ["2.345", "1.234"])
    assert row.explanation.startswith("it is the true gradient [2.34512, 1.23456], cut off where")


def test_zero_and_what_is_no_number_are_answered_in_words_of_their_own() -> None:
    for claim in (0, "0", "0.000", -0.0):
        assert graded(E, "w5", claim).explanation == (
            "0 would say that the loss does not depend on it, but it does"
        )
        assert str(graded(E, "w5", claim).ratio) == "0.0"
    K = microbp.array([1.5, 2.5], name="K")
    told = "0 would say that the loss does not depend on it at [1], but it does"
    assert graded(K[0] * K[1], K, [2.5, 0.0]).explanation == told
    told = "no mistake is looked for among numbers that are not finite"
    assert graded(E, "w5", math.nan).explanation == told


@pytest.mark.parametrize(("blank", "verdict"), [(None, "no answer"), ("", "no answer"), ("?", "unreadable")])
def test_one_blank_for_a_whole_array_is_no_wrong_answer(blank: Any, verdict: str) -> None:
    K = microbp.array([1.5, 2.5], name="K")
    row = graded(K[0] * K[1], K, blank)
    assert row.verdict == verdict
    assert row.explanation.startswith("there is no answer" if verdict == "no answer" else "'?' is not read")


def test_another_shape_besides_another_mistake() -> None:
    K = microbp.array([[1.5, 2.5, 0.7], [0.3, -0.4, 2.0]], name="K")
    true, sign = microbp.data_of(K) * 2.0, "; and its sign is the opposite, as in an update"
    assert causes(graded(np.sum(K * K), K, -true.T)) == [f"it is the transpose of the true gradient{sign}"]
    row = graded(np.sum(K * K), K, -true.ravel())
    assert causes(row) == [f"the numbers are right, the shape is not{sign}"]
    column = microbp.array([[1.5], [2.5]], name="column")
    row = graded(np.sum(column * column), column, [3.0, 5.0])
    assert causes(row) == ["the numbers are right, the shape is not"]  # and not a transpose
    b = microbp.array([1.0, 2.0], name="b")
    assert causes(graded(np.sum(b * b), b, [[2.0, 4.0]])) == ["the numbers are right, the shape is not"]


def test_tanh_with_a_forgotten_one_is_the_square() -> None:
    w = Value(0.4, name="w")
    loss = (w * 3.0).tanh() * 2.0
    y = math.tanh(0.4 * 3.0)
    [text] = causes(graded(loss, "w", 6.0 * y * y))
    assert "only the factor y * y of its formula" in text


@pytest.mark.parametrize("z", [0.31234567, 2.5, -3.0])
def test_a_derivative_is_taken_by_the_formula_that_people_use(z: float) -> None:
    """Where the table of operations has another one for the digits, for large arguments."""
    for f, y, wrong, told in (
        (microbp.sigmoid, 1 / (1 + math.exp(-z)), lambda y: 1 - y * y, "tanh′ as computed from the output"),
        (microbp.tanh, math.tanh(z), lambda y: y * (1 - y), "sigmoid′ as computed from the output"),
        (microbp.tanh, math.tanh(z), lambda _: 1 - z * z, "its formula with the argument in place of"),
    ):
        w = Value(z, name="w")
        [text] = causes(graded(f(w) * 1.7, "w", 1.7 * wrong(y)))
        assert told in text


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_value_among_numbers_in_an_operation_of_many(place: int) -> None:
    w = Value(0.7, name="w")
    logits: list[Any] = [1.0, 0.2, 2.0]
    logits[place] = w
    for loss in (microbp.logsumexp(logits), microbp.cross_entropy(logits, [0.0, 1.0, 0.0])):
        true = microbp.grad(loss, w)
        assert graded(loss, "w", true).verdict == "right"
        assert causes(graded(loss, "w", -true))[0].startswith("the sign is wrong")
        assert graded(loss, "w", 1.37 * true).explanation.startswith("none of ")


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf, 1, 10.0])
def test_a_tolerance_that_lets_all_pass_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"^tolerance is a relative error, 0 or more and below 1, not "):
        check_answers(E, {"w5": 1.0}, tolerance=tolerance, show=False)


def test_rows_of_unequal_length() -> None:
    K = microbp.array([[1.5, 2.5], [1.0, 2.0]], name="K")
    with pytest.raises(ValueError, match=r"^the claim for K has rows of unequal length: "):
        graded(np.sum(K), K, [[1, 2], [3]])
    with pytest.raises(ValueError, match=r"^the claim for K has rows of unequal length: "):
        graded(np.sum(K), K, [np.ones((2, 2)), np.ones((2, 3))])


def test_a_line_broadcast_over_a_symmetric_gradient_is_no_transpose() -> None:
    K = microbp.array(np.full((3, 3), 0.7), name="K")
    row = graded(np.sum(K), K, [[1.0]])
    assert causes(row) == ["broadcast over all elements it is right, the shape is not"]


def test_the_parameters_updated_before_are_those_that_matter() -> None:
    early = (D1 * NEW["w5"] + D2 * NEW["w7"]) * SLOPE_H1 * I1
    for claims in (
        {"w1": early},
        {"w5": TRUE["w5"], "w6": TRUE["w6"], "w7": TRUE["w7"], "w8": TRUE["w8"], "w1": early},
    ):
        for rate in (None, RATE):
            report = check_answers(E, claims, show=False, learning_rate=rate)
            check_causes(report)
            [text] = causes(report["w1"])
            assert text.startswith("w5, w7 had been updated with η = 0.5 before being used in the backward")
    other = check_answers(E, {"w1": early}, show=False, learning_rate=0.1)
    assert not other["w1"].causes


# ------------------------------------------------------------------------------ claims as updates
def test_updates_are_right_as_updates() -> None:
    claims = {name: -RATE * gradient for name, gradient in TRUE.items()}
    report = check_answers(E, claims, show=False, learning_rate=RATE)
    assert report.ok
    assert {row.verdict for row in report.rows} == {"right as an update"}
    assert report["w5"].explanation == "it is the update, -η × the gradient with η = 0.5"
    assert report["w5"].ratio == pytest.approx(-0.5)


def test_without_a_learning_rate_an_update_is_no_gradient() -> None:
    row = graded(E, "w5", -TRUE["w5"])
    assert row.verdict == "WRONG"
    assert row.explanation.endswith(
        "(as the update of a descent with η = 1 it would be right: say learning_rate=1)"
    )
    assert graded(E, "w5", -TRUE["w5"], learning_rate=1).verdict == "right as an update"
    assert graded(E, "w5", -TRUE["w5"], learning_rate=2).verdict == "WRONG"


def test_a_wrong_sign_among_gradients_is_not_taken_for_an_update() -> None:
    report = check_answers(E, {"w5": TRUE["w5"], "w6": -TRUE["w6"]}, show=False, learning_rate=1)
    assert not report.ok
    assert [row.verdict for row in report.rows] == ["right", "WRONG"]
    assert causes(report["w6"]) == ["the sign is wrong: it is -1 × the true gradient"]


def test_mistakes_in_updates_are_explained() -> None:
    claims = {"w5": -RATE * TRUE["w5"], "w6": -RATE * ERROR1 * V["h2"]}
    row = check_answers(E, claims, show=False, learning_rate=RATE)["w6"]
    assert row.explanation == (
        "as an update with η = 0.5 it stands for the gradient 0.442509; "
        "the factor σ′(net_o1) = 0.186816 is missing"
    )


# ------------------------------------------------------------- the 2-2-1 net: NumPy that broadcasts
def nonlin(x: Any, deriv: bool = False) -> Any:
    if deriv:
        return x * (1 - x)
    return 1 / (1 + np.exp(-x))


X = np.array([[0.35], [0.9]])
Y = np.array([[0.5]])
START_0 = np.array([[0.1, 0.8], [0.4, 0.6]])
START_1 = np.array([[0.3, 0.9]])


def first_iteration() -> tuple[Any, Any, Any, Any]:
    """The tutorial's program, in Python 3, up to the weights after one iteration, and its updates."""
    w0, w1 = START_0.copy(), START_1.copy()
    l0 = X
    l1 = nonlin(np.dot(w0, l0))
    l2 = nonlin(np.dot(w1, l1))
    l2_error = Y - l2
    l2_delta = l2_error * nonlin(l2, deriv=True)
    l1_error = l2_delta * w1
    l1_delta = l1_error * nonlin(l1, deriv=True)
    w1 += l2_delta * l1.T
    w0 += l0.T.dot(l1_delta)
    return w0 - START_0, w1 - START_1, l0.T.dot(l1_delta), l2_delta * l1.T


def its_forward_pass(W0: Any, W1: Any) -> dict[str, Any]:
    """The same forward pass, recorded."""
    l1 = nonlin(np.dot(W0, X))
    l2 = nonlin(np.dot(W1, l1))
    return {"l0": X, "l1": l1, "l2": l2, "error": np.sum(1 / 2.0 * (Y - l2) ** 2), "W0": W0, "W1": W1}


def test_the_first_update_of_the_tutorial_s_program_is_explained() -> None:
    added_0, added_1, step_0, step_1 = first_iteration()
    v = its_forward_pass(microbp.array(START_0), microbp.array(START_1))
    for claim_0, claim_1 in ((added_0, added_1), (step_0, step_1)):
        report = check_answers(
            v["error"], {"W0": claim_0, "W1": claim_1}, show=False, learning_rate=1, names=v
        )
        check_causes(report)
        assert not report.ok
        assert report["W1"].verdict == "right as an update"
        assert report["W1"].explanation == "it is the update, -η × the gradient with η = 1"
        assert report["W0"].verdict == "WRONG"
        [text] = causes(report["W0"])
        assert text == (
            "it is l0ᵀ·((δ_l2·W1) ∗ f′_l1), not ((W1ᵀ·δ_l2) ∗ f′_l1)·l0ᵀ: "
            "this 1×2 is broadcast over 2×2, so that its rows are equal"
        )
        gives = np.array(report["W0"].causes[0].gives)
        np.testing.assert_allclose(-gives, np.broadcast_to(step_0, (2, 2)), rtol=1e-12)
    assert report["W0"].explanation.startswith("the claim is 1×2, W0 is 2×2; as an update with η = 1 it")


def test_its_mistakes_are_told_apart() -> None:
    v = its_forward_pass(microbp.array(START_0), microbp.array(START_1))
    l1, l2 = microbp.data_of(v["l1"]), microbp.data_of(v["l2"])
    l2_delta = (l2 - Y) * nonlin(l2, deriv=True)
    right = (START_1.T @ l2_delta) * nonlin(l1, deriv=True)
    assert graded(v["error"], "W0", right @ X.T, names=v).verdict == "right"
    wrong = ((l2_delta @ START_1) * nonlin(l1, deriv=True)) @ X
    [only_error] = causes(graded(v["error"], "W0", wrong, names=v))
    assert only_error == (
        "it is ((δ_l2·W1) ∗ f′_l1)·l0, not ((W1ᵀ·δ_l2) ∗ f′_l1)·l0ᵀ: "
        "this 2×1 is broadcast over 2×2, so that its columns are equal"
    )
    [only_update] = causes(graded(v["error"], "W0", X @ right.T, names=v))
    assert only_update == "it is the transpose of the true gradient"
    [elementwise] = causes(graded(v["error"], "W0", X * right, names=v))
    assert elementwise.startswith("it is δ_l1 ∗ l0, not δ_l1·l0ᵀ: this 2×1 is broadcast over 2×2")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (np.transpose, "it is the transpose of the true gradient"),
        (lambda g: 2.0 * g, "it is 2 × the true gradient"),
    ],
)
def test_an_update_by_a_wrong_gradient_is_told_by_the_updated_parameter(wrong, told) -> None:
    W = microbp.array([[0.1, 0.7, -0.3], [0.4, -0.2, 0.9], [-0.6, 0.5, 0.8]], name="W")
    loss = (np.tanh(W @ np.array([0.3, -0.4, 0.8])) ** 2).sum()
    updated = microbp.data_of(W) - 0.5 * wrong(microbp.grad(loss, W))
    report = check_answers(loss, {"W": updated}, learning_rate=0.5, show=False, names={})
    assert causes(report["W"])[0].startswith(
        f"it is the updated parameter, w - η × a wrong gradient with η = 0.5; of that gradient: {told}"
    )
    right = microbp.data_of(W) - 0.5 * microbp.grad(loss, W)
    report = check_answers(loss, {"W": right}, learning_rate=0.5, show=False, names={})
    assert "a wrong gradient" not in causes(report["W"])[0]


def test_without_a_learning_rate_it_is_explained_with_the_opposite_sign() -> None:
    added_0, added_1, _, _ = first_iteration()
    v = its_forward_pass(microbp.array(START_0), microbp.array(START_1))
    report = check_answers(v["error"], {"W0": added_0, "W1": added_1}, show=False, names=v)
    check_causes(report)
    [text] = causes(report["W0"])
    assert text.startswith("it is l0ᵀ·((δ_l2·W1) ∗ f′_l1), not ")
    assert text.endswith("so that its rows are equal; and its sign is the opposite, as in an update")


# --------------------------------------------------------------------------------- a small batch
N, SIZE = 4, 3
RNG = np.random.default_rng(3)
W0, W1, B0, B1, BATCH, TARGETS = (
    RNG.normal(size=shape) for shape in [(SIZE, SIZE)] * 2 + [(1, SIZE)] * 2 + [(N, SIZE)] * 2
)
H = np.tanh(BATCH @ W0 + B0)
DELTA1 = 2.0 * (H @ W1 + B1 - TARGETS) / N
ERROR0 = DELTA1 @ W1.T
DELTA0 = ERROR0 * (1 - H**2)
GRAD0, GRAD1 = BATCH.T @ DELTA0, H.T @ DELTA1


def batch(rows: bool = True) -> tuple[Value, dict[str, Any]]:
    """The loss of the batch, the samples in rows or in columns, and its parameters."""
    turn = (lambda a: a) if rows else np.transpose
    v = {
        name: microbp.array(turn(each), name=name)
        for name, each in {"W0": W0, "W1": W1, "b0": B0, "b1": B1}.items()
    }
    x, t = turn(BATCH), turn(TARGETS)
    h = np.tanh((x @ v["W0"] if rows else v["W0"] @ x) + v["b0"])
    o = (h @ v["W1"] if rows else v["W1"] @ h) + v["b1"]
    return np.sum((o - t) ** 2) / N, {**v, "h": h}


SLOPES = f"tanh′ (12 of them: {', '.join(f'{each:.6g}' for each in 1 - H[0] ** 2)}, …)"
#: What is claimed for W0, and what must be said.
PLANTED_IN_ARRAYS = [
    (GRAD0.T, "it is the transpose of the true gradient"),
    (-GRAD0, "the sign is wrong"),
    (GRAD0 * np.where(np.eye(SIZE) > 0, -1, 1), "at [0,0], [1,1], [2,2] only: the sign is wrong"),
    (N * GRAD0, "it is 4 × the true gradient: summed over the 4 uses of each parameter (samples?)"),
    (GRAD0 / N, "it is 0.25 × the true gradient: averaged over the 4 uses of each parameter (samples?)"),
    (GRAD0 / (N * SIZE), "it is 0.0833333 × the true gradient: averaged over the 12 terms of sum(…)"),
    (BATCH.T @ ERROR0, f"the factors {SLOPES} are missing"),
    (BATCH.T @ (ERROR0 * H), f"in place of {SLOPES} stands the function's"),
    (BATCH.T @ (ERROR0 * H * (1 - H)), f"in place of {SLOPES} stands sigmoid′"),
    (np.outer(BATCH[-1], DELTA0[-1]), "only use 4 of 4 (a sample?) is there: the others are missing"),
    (GRAD0 - np.outer(BATCH[0], DELTA0[0]), "use 1 of 4 (a sample?) is missing"),
    (BATCH.T @ ((DELTA1[:, :2] @ W1.T[:2]) * (1 - H**2)), "the path from h through dot(…) is missing"),
    (BATCH.T @ ((DELTA1 @ W1) * (1 - H**2)),
     "it is xᵀ·((δ_next·W1) ∗ tanh′_h), not xᵀ·((δ_next·W1ᵀ) ∗ tanh′_h)"),
    (BATCH.T @ ((DELTA1 @ (W1 - 0.05 * GRAD1).T) * (1 - H**2)),
     "W1 had been updated with η = 0.05 before being used in the backward pass: "),
    (np.broadcast_to(GRAD0[1], (SIZE, SIZE)), "row 1 of the true gradient, 1×3, stands in place of every"),
    (np.broadcast_to(GRAD0.sum(1, keepdims=True), (SIZE, SIZE)),
     "the sum of the columns, 3×1, stands in place of every column, as if broadcast"),
    (GRAD1, "it is the gradient of W1, "),
    (GRAD0.ravel(), "the numbers are right, the shape is not"),
    (BATCH[:, :, None] * DELTA0[:, None], "it is not yet reduced over its axis 0: the sum of these 4 is the"),
    (0.37 * GRAD0, "every element is 0.37 × the true gradient"),
    (-0.37 * GRAD0, "every element is -0.37 × the true gradient (as an update it has η = 0.37)"),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "text"), PLANTED_IN_ARRAYS)
def test_a_mistake_planted_in_an_array_is_named_first(claim: Any, text: str) -> None:
    loss, v = batch()
    assert graded(loss, "W0", GRAD0, names=v).verdict == "right"
    row = graded(loss, "W0", claim, names=v)
    assert causes(row)[0].startswith(text)


def test_a_batch_in_columns_is_explained_in_columns() -> None:
    loss, v = batch(rows=False)
    assert graded(loss, "W0", GRAD0.T, names=v).verdict == "right"
    [text] = causes(graded(loss, "W0", ((W1.T @ DELTA1.T) * (1 - H.T**2)) @ BATCH, names=v))
    assert text == "it is ((W1·δ_next) ∗ tanh′_h)·xᵀ, not ((W1ᵀ·δ_next) ∗ tanh′_h)·xᵀ"


def test_a_function_of_a_sum_with_0_is_not_written_out() -> None:
    names = {"W0": microbp.array(W0, name="W0"), "W1": microbp.array(W1, name="W1"), "x": BATCH[:3].T}
    loss = np.sum((names["W1"] @ np.tanh(names["W0"] @ names["x"] + 0) - 1.0) ** 2)
    h = np.tanh(W0 @ names["x"])
    [text] = causes(graded(loss, "W0", (W1 @ (W1 @ h - 1.0) * 2.0 * (1 - h**2)) @ BATCH[:3], names=names))
    assert text == "it is ((W1·δ_next) ∗ tanh′)·xᵀ, not ((W1ᵀ·δ_next) ∗ tanh′)·xᵀ"


def test_of_products_that_are_one_matrix_that_with_the_fewest_faults_is_told() -> None:
    """a ∗ bᵀ is (aᵀ ∗ b)ᵀ, too."""
    x = BATCH[:3].T
    names = {"W0": microbp.array(W0, name="W0"), "W1": microbp.array(W1, name="W1"), "x": x}
    loss = np.sum((names["W1"] @ np.tanh(names["W0"] @ x) - 1.0) ** 2)
    h = np.tanh(W0 @ x)
    back = W1.T @ (2.0 * (W1 @ h - 1.0))
    [text] = causes(graded(loss, "W0", (back * (1 - h**2).T) @ x.T, names=names))
    assert text == "it is ((W1ᵀ·δ_next) ∗ tanh′ᵀ)·xᵀ, not ((W1ᵀ·δ_next) ∗ tanh′)·xᵀ"
    [text] = causes(graded(loss, "W0", (back @ (1 - h**2).T) @ x.T, names=names))
    assert text == "it is ((W1ᵀ·δ_next)·tanh′ᵀ)·xᵀ, not ((W1ᵀ·δ_next) ∗ tanh′)·xᵀ"


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (DELTA0, "the claim is 4×3, b0 is 1×3; it is not yet reduced over its axis 0: the sum of these 4 is"),
        (DELTA0.sum(0), "the claim is (3,), b0 is 1×3; the numbers are right, the shape is not"),
        (DELTA0.mean(0, keepdims=True), "averaged over the 4 uses of each parameter (samples?), where the"),
        (ERROR0.sum(0, keepdims=True), f"the factors {SLOPES} are missing"),
    ],
)
def test_a_mistake_with_a_bias_is_named(claim: Any, text: str) -> None:
    loss, v = batch()
    assert graded(loss, "b0", DELTA0.sum(0, keepdims=True), names=v).verdict == "right"
    assert text in graded(loss, "b0", claim, names=v).explanation


def test_interchanged_claims_are_said_to_be_so() -> None:
    loss, v = batch()
    report = check_answers(loss, {"W0": GRAD1, "W1": GRAD0}, show=False, names=v)
    check_causes(report)
    assert causes(report["W0"])[0].endswith("the claims for W0 and W1 are interchanged")


def test_claims_in_a_list_of_the_caller_s_are_not_named_by_their_places_in_it() -> None:
    K = microbp.array([[1.0, 2.0], [3.0, 5.0]], name="K")
    claims = [(K[0], [6.0, 10.0]), (K[1], [2.0, 4.0])]
    for row in check_answers(np.sum(K * K), claims, show=False).rows:
        assert row.causes[0].text.endswith(" are interchanged")
        assert "claims[" not in row.explanation


def test_an_overwritten_gradient_shows_as_a_single_term() -> None:
    w, b = Value(0.7, name="w"), Value(0.2, name="b")
    samples = [(0.3, 0.1), (1.1, -0.4), (-0.6, 0.2)]
    errors = [(w * x + b).tanh() - t for x, t in samples]
    total = errors[0] * errors[0] + errors[1] * errors[1] + errors[2] * errors[2]
    last = microbp.grad(errors[2] * errors[2], [w, b])
    [text] = causes(graded(total, [w, b], last, names={"total": total}))
    assert text == (
        "only term 3 of 3 of total, (tanh(…) - 0.2)·(tanh(…) - 0.2), is there: the others are missing"
    )
    [text] = causes(graded(total, "w", last[0], names={"total": total}))
    assert text == "only the path from w through w·(-0.6) is there: the others are missing"


# ------------------------------------------------------------------------------ what is claimed for
def test_a_claim_is_made_by_name_by_variable_or_by_the_values() -> None:
    w = Value(2.0, name="weight")
    bias, several = Value(1.0), [Value(3.0), Value(4.0)]
    kernel = microbp.array([[1.0, 2.0], [3.0, 4.0]], name="K")
    net = w * 3.0 + bias + several[0] * several[1]
    loss = net * net + np.sum(kernel * kernel)
    d = 2.0 * net.data
    claims: list[tuple[Any, Any]] = [
        ("weight", 3.0 * d), ("w", 3.0 * d), (w, 3.0 * d), ("bias", d), (bias, d), ("net", d),
        ("several", [4.0 * d, 3.0 * d]), (several, [4.0 * d, 3.0 * d]), ("several[1]", 3.0 * d),
        ("K", [[2, 4], [6, 8]]), ("kernel", [["2.00", 4.0], [6, 8]]), (kernel, np.array([[2, 4], [6, 8]])),
        ("K[1,0]", 6), (kernel[0], (2.0, 4.0)),
    ]  # fmt: skip
    report = check_answers(loss, claims, show=False)
    assert report.ok, str(report)
    assert [row.name for row in report.rows] == [
        "weight", "w", "weight", "bias", "bias", "net", "several", "several", "several[1]", "K", "kernel",
        "K", "K[1,0]", "K[0,0], K[0,1]",
    ]  # fmt: skip
    assert w.grad is bias.grad is kernel[0, 0].grad is None
    assert check_answers(loss, {w: 3.0 * d}, show=False).ok


def test_each_line_of_the_table_has_the_name_of_its_own_value() -> None:
    K = microbp.array([[1.0, 2.0], [3.0, 5.0]], name="K")
    a, b, c = Value(2.0, name="a"), Value(3.0, name="b"), [Value(4.0), Value(6.0)]
    loss = np.sum(K * K) + a * b + c[0] * c[1]
    claims = [(K[1], [6.0, 7.1]), (K[:, 0], [2.0, 6.0]), ([a, b], [3.0, 2.1]), (c, [6.0, 4.0]), (K.T, K.T)]
    report = check_answers(loss, claims, show=False, names={"c": c})
    heads = ["K[1,0]", "K[1,1]", "K[0,0]", "K[1,0]", "a", "b", "c[0]", "c[1]"]
    assert [line[0] for row in report.rows for line in row.lines()][:8] == heads
    assert [row.name for row in report.rows][:4] == ["K[1,0], K[1,1]", "K[0,0], K[1,0]", "a, b", "c"]
    assert [line[0] for line in report.rows[4].lines()] == ["K[0,0]", "K[1,0]", "K[0,1]", "K[1,1]"]
    assert report.rows[0].agrees == (True, False)
    assert type(check_answers(loss, {"a": 3.0}, show=False).rows[0].agrees) is bool


def test_numbers_of_half_the_digits_are_compared_to_their_own() -> None:
    K = microbp.array([0.123456789, 0.3, 0.7], name="K")
    true = 2.0 * microbp.data_of(K)
    for kind in (np.float16, np.float32):
        assert graded(np.sum(K * K), K, true.astype(kind)).verdict == "right"
        assert graded(np.sum(K * K), K, (1.05 * true).astype(kind)).verdict == "WRONG"


def test_names_may_be_handed_in() -> None:
    held = Value(2.0)
    assert check_answers(held * held, {"v": 4.0}, names={"v": held}, show=False).ok
    with pytest.raises(KeyError, match="nothing that the loss depends on is called 'held'"):
        check_answers(held * held, {"held": 4.0}, names={"v": held}, show=False)


def test_an_unknown_name_lists_what_there_is() -> None:
    kernel = microbp.array([1.0, 2.0], name="kernel")
    with pytest.raises(KeyError) as caught:
        check_answers(np.sum(kernel * kernel), {"kernle": 1.0}, names={}, show=False)
    assert caught.value.args[0] == (
        "nothing that the loss depends on is called 'kernle'; did you mean 'kernel'? "
        "Names there are: kernel, kernel[0], kernel[1]; a claim may also be made by the Value itself, in a "
        "list of pairs (value, claim)"
    )


def test_a_name_that_two_values_bear_is_refused() -> None:
    one, two = Value(1.0, name="w"), Value(2.0, name="w")
    with pytest.raises(KeyError, match="2 values of the graph are named 'w': give the Value itself"):
        check_answers(one * two, {"w": 2.0}, names={}, show=False)
    assert check_answers(one * two, [(one, 2.0), (two, 1.0)], show=False).ok


def test_an_array_of_which_the_loss_uses_a_part_needs_the_array_itself() -> None:
    kernel = microbp.array([1.0, 2.0, 3.0], name="kernel")
    loss = kernel[0] * kernel[2]
    with pytest.raises(ValueError, match="the loss depends on 2 elements of 'kernel' only"):
        check_answers(loss, {"kernel": [3.0, 0.0, 1.0]}, names={}, show=False)
    assert check_answers(loss, [(kernel, [3.0, 0.0, 1.0])], show=False).ok
    row = graded(loss, kernel, [3.0, 0.5, 1.0])
    assert row.ratio == (1.0, None, 1.0)
    assert row.explanation == "the loss does not depend on it at [1]: the gradient is 0"


def test_a_value_that_the_loss_does_not_depend_on_has_gradient_0() -> None:
    w, other = Value(2.0, name="w"), Value(3.0, name="other")
    assert check_answers(w * w, {"other": 0.0}, show=False).ok
    for claim in (1.0, math.inf, math.nan):
        assert graded(w * w, other, claim).explanation == "the loss does not depend on it: the gradient is 0"


def test_a_frozen_parameter_takes_no_claim() -> None:
    w, frozen = Value(2.0, name="w"), Value(3.0, name="frozen")
    frozen.requires_grad = False
    with pytest.raises(NoGradientError, match=r"frozen: frozen = 3\.0 is frozen and takes no gradient"):
        check_answers(w * frozen, [(frozen, 2.0)], show=False)


@pytest.mark.parametrize(
    ("claim", "error", "text"),
    [
        (True, ValueError, "the claim for w5 is not a number: True"),
        (np.bool_(True), ValueError, "the claim for w5 is not a number"),
        (1j, ValueError, "the claim for w5 is not a number: 1j"),
        ([[1.0], [2.0, 3.0]], ValueError, "the claim for w5 "),
        ([1.0, 2.0], ValueError, r"the claim for w5 has the shape \(2,\), but w5 has \(\)"),
    ],
)
def test_a_claim_that_is_no_gradient_is_refused(claim: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        check_answers(E, {"w5": claim}, show=False)


def test_a_shape_that_nothing_explains_is_an_error_with_both_shapes() -> None:
    loss, v = batch()
    with pytest.raises(ValueError, match=r"the claim for W0 has the shape \(2, 3\), but W0 has \(3, 3\)"):
        check_answers(loss, {"W0": np.ones((2, 3))}, names=v, show=False)
    row = graded(loss, "W0", np.arange(9.0) + 0.123456789, names=v)
    assert row.explanation.startswith("the claim is (9,), W0 is 3×3; none of ")
    assert row.agrees is None


def test_a_name_means_what_the_loss_was_computed_from() -> None:
    K = microbp.array([1.0, 2.0], name="K")
    loss = np.sum(K * K)
    K = K - 0.1 * np.array([2.0, 4.0])  # new values, of which the loss knows nothing
    assert check_answers(loss, {"K": [2.0, 4.0]}, show=False).ok


def test_the_right_numbers_in_a_shape_that_broadcasts_are_said_to_be_so() -> None:
    K = microbp.array([[1.0, 2.0], [1.0, 2.0]], name="K")
    row = graded(np.sum(K * K), K, [[2.0, 4.0]])
    assert row.explanation == (
        "the claim is 1×2, K is 2×2; broadcast over all elements it is right, the shape is not"
    )


def test_what_cannot_be_graded_is_refused() -> None:
    w = Value(1.0, name="w")
    loss: Any = 3.0
    with pytest.raises(TypeError, match=r"check_answers\(\) grades gradients of a Value, not of float"):
        check_answers(loss, {"w": 1.0})
    with pytest.raises(TypeError, match=r"a claim is about a name, a Value or an array of Values, not 3"):
        check_answers(w * w, [(3, 1.0)])
    with pytest.raises(ValueError, match=r"check_answers\(\) was given no claims"):
        check_answers(w * w, {})
    with pytest.raises(ValueError, match="learning_rate is a positive number, not -1"):
        check_answers(w * w, {"w": 2.0}, learning_rate=-1)
    with microbp.no_grad():
        constant = w * w
    with pytest.raises(NoGradientError, match="is a constant: it was recorded under no_grad"):
        check_answers(constant, {"w": 2.0})


def test_numbers_that_are_not_finite() -> None:
    w = Value(0.0, name="w")
    loss = w.sqrt() * 2.0
    assert graded(loss, "w", math.inf).verdict == "right"
    assert graded(loss, "w", 1.0).verdict == "WRONG"
    assert "not finite" in graded(loss, "w", math.nan).explanation
    nan = Value(math.nan, name="nan")
    assert graded(nan * 2.0 * nan, "nan", math.nan).verdict == "right"
    assert graded(E, "w5", math.nan).verdict == "WRONG"
    K = microbp.array([0.0, 4.0], name="K")
    row = graded(np.sum(np.sqrt(K)), K, [math.inf, 0.75])
    assert row.agrees == (True, False)
    assert row.explanation == "no mistake is looked for among numbers that are not finite"
    steep = Value(1.0, name="steep")
    assert graded(steep * 1e200 * 1e100 + steep.exp() * 1e308, "steep", 1.0).verdict == "WRONG"


def test_small_gradients_are_judged_by_their_own_size() -> None:
    small, large = Value(1.0, name="small"), Value(1.0, name="large")
    loss = small * 1e-16 + large * 1e3
    assert graded(loss, "small", 1e-16).verdict == "right"
    assert graded(loss, "small", 1.0005e-16).verdict == "WRONG"
    assert graded(loss, "small", 0.0).verdict == "WRONG"


def test_what_cancels_is_judged_by_the_size_of_its_terms() -> None:
    w = Value(0.1, name="w")
    loss = w * 0.1 + w * 0.2 - w * 0.3
    assert microbp.grad(loss, w) != 0.0
    assert graded(loss, "w", 0.0).verdict == "right"


def test_a_changed_leaf_does_not_change_the_true_gradients() -> None:
    w = Value(3.0, name="w")
    loss = (w * 2.0).tanh() * w
    true = microbp.grad(loss, w)
    w.data = 100.0
    assert graded(loss, "w", true).verdict == "right"
    assert causes(graded(loss, "w", -true))


def test_a_loss_that_is_a_parameter_itself() -> None:
    w = Value(3.0, name="w")
    assert graded(w, "w", 1.0).verdict == "right"
    assert causes(graded(w, "w", -1.0))[0].startswith("the sign is wrong")


def test_a_claim_of_0_is_not_taken_for_a_mistake_that_drops_everything() -> None:
    w = Value(0.7, name="w")
    assert causes(graded((w * 3.0).tanh() * w, "w", 0.0)) == []


def test_a_name_that_was_made_up_is_none() -> None:
    w = Value(2.0, name="w")
    with pytest.raises(KeyError, match="nothing that the loss depends on is called 'v1'"):
        check_answers((w * 3.0).tanh(), {"v1": 1.0}, names={}, show=False)


def test_an_empty_claim_is_refused() -> None:
    K = microbp.array([1.0, 2.0], name="K")
    with pytest.raises(ValueError, match=r"the claim for K has the shape \(0,\), but K has \(2,\)"):
        check_answers(np.sum(K * K), [(K, [])], show=False)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ([1, 0, 2], "axis-1 slice 0 and axis-1 slice 1 of K are swapped"),
        ([1, 2, 0], "the axis-1 slices of K are in the order 1, 2, 0"),
    ],
)
def test_slices_in_another_order_are_named(order: list[int], told: str) -> None:
    K = microbp.array(np.arange(1.0, 13.0).reshape(2, 3, 2), name="K")
    true = microbp.grad(np.sum(K * K * K), K)
    assert causes(graded(np.sum(K * K * K), K, true[:, order])) == [told]


# ---------------------------------------------------------------------------------- in the classroom
def test_a_blank_or_unreadable_answer_has_a_verdict_of_its_own() -> None:
    claims = {"w5": "", "w6": None, "w7": "0.08x", "w8": "  ", "w1": TRUE["w1"], "w2": -TRUE["w2"]}
    report = check_answers(E, claims, show=False)
    assert [row.verdict for row in report.rows] == [
        "no answer", "no answer", "unreadable", "no answer", "right", "WRONG",
    ]  # fmt: skip
    assert report["w5"].claimed is report["w7"].claimed is report["w5"].ratio is None
    assert report["w5"].explanation == "there is no answer"
    assert report["w7"].explanation == (
        "'0.08x' is not read as a number: write it as -0.0076, -0,0076, -7.6e-3 or 1/3"
    )
    assert not check_answers(E, {"w5": ""}, show=False).ok
    assert "w5, w6, w8: there is no answer" in str(report)
    assert str(report).splitlines()[6].split() == ["w7", "0.08x", "-0.022602540", "-", "unreadable"]


def test_the_other_numbers_of_an_array_are_graded() -> None:
    K = microbp.array([1.0, 2.0, 3.0], name="K")
    loss = np.sum(K * K * K)
    row = graded(loss, K, [3.0, None, "27"])
    assert (row.verdict, row.agrees, row.explanation) == (
        "no answer", (True, False, True), "there is no answer at [1]",
    )  # fmt: skip
    (row,) = check_answers(loss, [(K, [-3.0, "x", -27.0])], show=False).rows
    assert row.verdict == "WRONG"
    assert row.causes[0].text.startswith("the sign is wrong")
    assert "'x' is not read as a number" in row.explanation
    lines = [line[-1] for line in row.lines()]
    assert lines == ["WRONG", "unreadable", "WRONG"]


@at_once(
    ["0,0821670", "８.21670e-2", "8.21670×10^-2", "8.21670 · 10**-2", "8.21670×10⁻²", " 821670/10000000 ",
     "+ 0.0821670", "０．0821670"]
)
def test_a_number_is_read_as_people_write_it(written: str) -> None:
    assert graded(E, "w5", written).verdict == "right"


def test_a_number_of_any_kind_is_read() -> None:
    w = Value(2.0, name="w")
    for written in ("½", "1⁄2", "0.500", Decimal("0.500"), Decimal("0.5"), Fraction(1, 2), np.float32(0.5)):
        assert graded(w * 0.5, "w", written).verdict == "right"
    for minus in "-−‐‑‒–—―－":
        assert graded(w * -0.75, "w", f"{minus}¾").verdict == "right"
    assert graded(w * 0.1234, "w", Decimal("0.123")).verdict == "right"  # as it was written
    steep = Value(0.0, name="steep")
    assert graded(steep.sqrt(), "steep", "∞").verdict == "right"
    assert graded(-steep.sqrt(), "steep", "-∞").verdict == "right"


@pytest.mark.parametrize(
    "written", ["3²", "0.3²", "2½", "2 ½", "½²", "½5", "2⅟3", "1↉", "²3", "10₂", "①0.5", "①.5", "①½", "⒉5"]
)
def test_a_small_digit_is_not_read_as_a_large_one(written: str) -> None:
    w = Value(2.0, name="w")
    assert graded(w * 32.0, "w", written).verdict == "unreadable"


@pytest.mark.parametrize("written", ["1,234.5", "1/0", "1/x", "0,,1", "--1", "0.08.2", "∞∞"])
def test_what_can_be_read_in_two_ways_is_not_read(written: str) -> None:
    assert graded(E, "w5", written).verdict == "unreadable"


def test_a_fraction_is_exact() -> None:
    w = Value(2.0, name="w")
    assert graded(w / 3.0, "w", "1/3").verdict == "right"
    assert graded(w / 3.0, "w", "−1/3").verdict == "WRONG"
    assert graded(w / 3.0, "w", "1 / 3").verdict == "right"
    assert graded(w * 5.5, "w", "5 1/2").verdict == "unreadable"  # and not 51/2
    assert graded(w / 3.0, "w", "2/5").verdict == "WRONG"


@pytest.mark.parametrize(("written", "decimals"), [("0", 4), ("0.00", 2), ("0", None)])
def test_nothing_is_made_of_a_zero_to_which_all_rounds(written: str, decimals: int | None) -> None:
    w = Value(0.5, name="w")
    row = graded(0.5 * (1 - (w * 3.0).sigmoid()) ** 2, "w", written, decimals=decimals)
    assert (row.verdict, row.causes) == ("WRONG", ())


def test_a_product_is_no_power_of_ten() -> None:
    w = Value(2.0, name="w")
    for written in ("0.5*100", "5x102"):
        assert graded(w * 0.5, "w", written).verdict == "unreadable"
    for written in ("5.00*10**2", "5.00×10²", "5.00x10^2", "5.00·10^+2", "–5.00×10²"):
        assert graded(w * (-500.0 if written[0] == "–" else 500.0), "w", written).verdict == "right"
    assert graded(w * 0.05, "w", "5.00x10-2").verdict == "right"


def test_a_factor_is_seen_in_several_wrong_numbers_and_not_in_one() -> None:
    w = [Value(x, name=f"w[{i}]") for i, x in enumerate((1.0, 2.0, 3.0))]
    loss = w[0] * 7.31 + w[1] * 2.17 + w[2] * 1.93
    one = graded(loss, w, [7.31 * 1.41073, 2.17, 1.93])
    assert one.explanation.startswith("none of ")
    assert one.explanation.endswith("mistakes tried gives this at [0]")
    two = graded(loss, w, [7.31 * 1.41073, 2.17, 1.93 * 1.41073])
    assert two.explanation == "at [0], [2] only: every element is 1.41073 × the true gradient"


def test_decimals_say_to_how_many_the_numbers_were_rounded() -> None:
    w = Value(1.0, name="w")
    loss = w * -0.00759
    assert graded(loss, "w", "-0.0076").verdict == "WRONG"
    for written in ("-0.0076", -0.0076, "-0,0076", -0.00759):
        assert graded(loss, "w", written, decimals=4).verdict == "right"
        assert graded(loss, "w", written, decimals=np.uint8(4)).verdict == "right"
    for written in ("-0.0075", -0.0077, "0.0076"):
        assert graded(loss, "w", written, decimals=4).verdict == "WRONG"
    assert str(check_answers(loss, {"w": "-0.0076"}, decimals=4, show=False)).split()[-4] == "-0.0076"
    with pytest.raises(ValueError, match="decimals is how many decimals were written, 0 or more, not -1"):
        check_answers(loss, {"w": 1.0}, decimals=-1)


def test_little_is_made_of_a_number_of_which_the_decimals_leave_a_digit_or_two() -> None:
    """With four decimals half of 0.0004 is any number from 0.00015 to 0.00025."""
    w = Value(1.0, name="w")
    for true, claim in ((0.0004, "0.0002"), (0.0004, "0.0008"), (0.0003, "-0.0003"), (0.0005, "0.00021")):
        row = graded(w * true, "w", claim, decimals=4)
        assert (row.verdict, row.causes) == ("WRONG", ())
        assert row.explanation.startswith("with so few digits some mistake or other would give this by")
    told = "; with so few digits, though, 1 in 30 numbers would be met by accident"
    assert graded(w * 0.0042, "w", "-0.0042", decimals=4).explanation.endswith(told)
    row = graded(w * 0.0423, "w", "-0.0423", decimals=4)
    assert causes(row)[0] == row.explanation


def test_chinese() -> None:
    claims = {"w5": ERROR1 * V["h1"], "w6": ERROR1 * V["h2"], "w7": "", "w1": -TRUE["w1"]}
    report = check_answers(E, claims, show=False, language="zh")
    assert str(report).splitlines()[0] == "check_answers: 3 错误, 1 未作答"
    assert str(report).splitlines()[2].split() == ["名称", "答案", "真实梯度", "比值", "判定"]
    assert "w5, w6: 缺少因子 σ′(net_o1) = 0.186816" in str(report)
    assert "w7: 没有作答" in str(report)
    assert report["w1"].explanation.startswith("符号错误：它是真实梯度的 -1 倍")
    assert report["w5"].verdict == "WRONG"
    early = (D1 * NEW["w5"] + D2 * NEW["w7"]) * SLOPE_H1 * I1
    [text] = causes(graded(E, "w1", early, learning_rate=RATE, language="zh"))
    assert text.startswith("w5, w7 在反向传播使用之前已用 η = 0.5 更新：w5 = ")
    assert "，而不是 0.4" in text
    assert "in place of" not in text
    assert check_answers(E, claims, show=False, language="zh-CN") == report
    with pytest.raises(ValueError, match=r"language='de': it is 'en' \(English\) or 'zh' \(Chinese\)"):
        check_answers(E, claims, language="de")


def test_every_sentence_stands_in_each_language_with_the_same_fields() -> None:
    for key, sentences in SENTENCES.items():
        fields = [sorted(re.findall(r"{(\w+)", each)) for each in sentences]
        assert len(sentences) == len(LANGUAGES), key
        assert fields[0] == fields[1], key


# ------------------------------------------------------------------------------ causes never invented
@pytest.mark.parametrize("factor", [1.2345, 3.7, 12.345, 0.37, 4.0, 6.0, 9.0, -4.0])
def test_any_factor_of_a_neuron_s_weights_is_said_to_be_one(factor: float) -> None:
    loss, v = batch()
    quadratic = np.sum(v["W0"] * v["W0"])
    for cost, key in ((loss, v["W1"][:, 0]), (quadratic, v["W0"])):
        true = microbp.grad(cost, key)
        [text] = causes(graded(cost, key, factor * true, names=v))
        assert f" is {factor:g} × the true gradient" in text  # of 4 samples and of 9 weights with the reason
        assert " and " not in text


def test_a_hidden_layer_updated_with_the_error_of_the_output() -> None:
    v = {name: microbp.array(RNG.normal(size=shape), name=name) for name, shape in (("W", (3, 2)), ("v", 3))}
    x = np.array([0.3, -0.8])
    h = np.tanh(v["W"] @ x)
    error = v["v"] @ h - 0.2
    loss = 0.5 * error * error
    [text] = causes(graded(loss, "W", np.outer(np.full(3, error.data), x), names=v))
    assert text.startswith("the factors tanh′")
    assert "; and the factors ∂dot" in text
    assert "η" not in text


# -------------------------------------------------------------------------------------- the report
def test_the_table() -> None:
    w = Value(0.4, name="w")
    K = microbp.array([1.5, 2.5], name="K")
    o = (w * 3.0).sigmoid()
    loss = 0.5 * (1.0 - o) ** 2 + K[0] * K[1]
    claims = {"w": -0.694426, "K": [2.5, -1.5], "o": "-0.231475"}
    report = check_answers(loss, claims, show=False, names={"o": o})
    sign = "the sign is wrong: it is -1 × the true gradient"
    assert str(report).splitlines() == [
        "check_answers: 2 WRONG, 1 right",
        "",
        "name       claimed   true gradient         ratio   verdict",
        "──────────────────────────────────────────────────────────",
        "w      -0.69442600     -0.12353446    +5.6213140   WRONG",
        "K[0]    +2.5000000      +2.5000000    +1.0000000   right",
        "K[1]    -1.5000000      +1.5000000    -1.0000000   WRONG",
        "o        -0.231475     -0.23147522   +0.99999906   right",
        "",
        "w: the factor σ′(w·3) = 0.177894 is missing",
        f"K: at [1] only: {sign}",
    ]
    assert repr(report) == "AnswerReport(2 WRONG, 1 right)"
    assert not report.ok
    assert report["K"].claimed == (2.5, -1.5)
    assert report["K"].agrees == (True, False)
    with pytest.raises(KeyError, match="nothing was claimed for 'b'; there are w, K, o"):
        report["b"]
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_shape_that_does_not_fit_has_a_line_of_its_own_in_the_table() -> None:
    loss, v = batch()
    report = check_answers(loss, {"b0": DELTA0}, show=False, names=v)
    assert str(report).splitlines()[4].split() == ["b0", "4×3", "1×3", "-", "WRONG"]


def test_it_is_printed_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    report = check_answers(E, {"w5": "0.0822"})
    assert capsys.readouterr().out == f"{report}\n"
    check_answers(E, {"w5": "0.0822"}, show=False)
    assert capsys.readouterr().out == ""


# ------------------------------------------------------------------------------------- properties
ACTIVATIONS = [microbp.tanh, microbp.sigmoid, microbp.softplus, microbp.sin, microbp.exp]


def random_net(seed: int) -> tuple[Value, microbp.Array]:
    """A small net with generic numbers: its loss and its parameters."""
    rng = np.random.default_rng(seed)
    inputs, hidden = rng.integers(1, 4, size=2)
    f = ACTIVATIONS[rng.integers(len(ACTIVATIONS))]
    w = microbp.array(rng.uniform(0.2, 1.0, size=hidden * (inputs + 2)), name="w")
    weights, biases = w[: hidden * inputs].reshape(hidden, inputs), w[hidden * inputs : -hidden]
    x = [rng.uniform(-1, 1, size=inputs) for _ in biases]
    layer = [f(microbp.dot(*each)) for each in zip(weights, x, biases, strict=True)]
    o = microbp.sigmoid(microbp.dot(w[-hidden:], layer))
    return 0.5 * (rng.uniform() - o) ** 2, w


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(3, 17))
def test_correct_claims_are_right(seed: int, digits: int) -> None:
    loss, w = random_net(seed)
    true = microbp.grad(loss, w)
    texts = [f"{x:.{digits - 1}e}" for x in true]
    floats = [float(f"{x:.{max(digits, 6)}e}") for x in true]
    assert check_answers(loss, [(w, true)], show=False).ok
    assert check_answers(loss, [(w, texts)], show=False).ok
    assert check_answers(loss, [(w, floats)], show=False).ok
    assert check_answers(loss, list(zip(w, texts, strict=True)), show=False).ok
    assert check_answers(loss, [(w, -0.3 * true)], learning_rate=0.3, show=False).ok


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.floats(5e-4, 10.0), st.booleans(), st.integers(5, 17))
def test_perturbed_claims_are_never_right(seed: int, by: float, up: bool, digits: int) -> None:
    loss, w = random_net(seed)
    place = seed % len(w)
    true = microbp.grad(loss, w)
    wrong = float(f"{true[place] * (1 + by if up else 1 - by):.{digits - 1}e}")
    report = check_answers(loss, [(w[place], wrong)], show=False)
    assert report.rows[0].verdict == "WRONG"
    check_causes(report)
    claims = true.copy()
    claims[place] = wrong
    report = check_answers(loss, [(w, claims)], show=False, learning_rate=0.25)
    assert report.rows[0].verdict == "WRONG"
    check_causes(report)


def test_numbers_drawn_at_random_are_not_explained() -> None:
    rng = np.random.default_rng(0)
    for seed in range(4):
        loss, w = random_net(seed)
        true = microbp.grad(loss, w)
        claims = [(w[i], float(true[i] * np.exp(rng.normal()))) for i in range(len(w))]
        for row in check_answers(loss, claims, show=False).rows:
            assert (row.verdict, row.causes) == ("WRONG", ())


def test_an_explanation_agrees_to_all_digits_of_a_computed_claim() -> None:
    for name, claim, _ in PLANTED[::8]:
        for cause in graded(E, name, claim).causes:
            assert cause.gives == pytest.approx(claim, rel=1e-9)
        assert not graded(E, name, claim * (1 + 1e-7)).causes
