"""The losses, against their definitions evaluated by other means.

The references are written here once more, from the formulas in the docstrings: in mpmath with 60 digits,
whose central differences give the derivatives to more digits than a float has, and in plain floats.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from fractions import Fraction
from itertools import chain

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import at_once

import microbp
from microbp import Graph, Value, grad, losses
from microbp.losses import (
    LOSSES,
    binary_cross_entropy,
    half_squared_error,
    hinge,
    l2_penalty,
    mean_squared_error,
    softmax_cross_entropy,
)

#: How the library speaks of what is no number.
NO_NUMBER, GIVE = "takes a real number, not", "give an int, a float or a NumPy real scalar"
PAIRED = ["half_squared_error", "mean_squared_error", "hinge", "binary_cross_entropy"]


def values(x):
    """Nested lists of numbers as nested lists of Values."""
    return [values(each) for each in x] if isinstance(x, list) else Value(x)


def flat(rows):
    return list(chain.from_iterable(rows))


def pairs(rows, others):
    return zip(flat(rows), flat(others), strict=True)


# ------------------------------------------------------------------------- references, in mpmath
def log_sigmoid(z):
    return -mp.log(1 + mp.exp(-z))


def cross_entropy(x, t):
    total = mp.fsum(map(mp.exp, x))
    return -mp.fsum(target * mp.log(mp.exp(each) / total) for each, target in zip(x, t, strict=True))


def mean(costs):
    return mp.fsum(costs) / len(costs)


def each(function):
    """The mean of ``function(prediction, target)`` over all outputs of all samples."""
    return lambda o, t: mean([function(a, b) for a, b in pairs(o, t)])


def rows(function):
    """The mean of ``function(predictions, targets)`` over the samples."""
    return lambda o, t: mean([function(p, q) for p, q in zip(o, t, strict=True)])


REFERENCE = {
    "half_squared_error": rows(
        lambda o, t: mp.fsum((b - a) ** 2 for a, b in zip(o, t, strict=True)) / 2
    ),
    "mean_squared_error": each(lambda o, t: (t - o) ** 2),
    "hinge": each(lambda s, y: max(mp.mpf(0), 1 - y * s)),
    "binary_cross_entropy": each(
        lambda z, t: -(t * log_sigmoid(z) + (1 - t) * log_sigmoid(-z))
    ),
    "softmax_cross_entropy": rows(cross_entropy),
}


def reference(name, predictions, targets):
    """Cost and gradient; the gradient by central differences whose error is far below a float's."""
    with mp.workdps(60):
        function, h = REFERENCE[name], mp.mpf(10) ** -20
        o = [[mp.mpf(x) for x in row] for row in predictions]
        t = [[mp.mpf(x) for x in row] for row in targets]
        gradient = []
        for row in o:
            for column, x in enumerate(row):
                row[column] = x + h
                above = function(o, t)
                row[column] = x - h
                below = function(o, t)
                row[column] = x
                gradient.append(float((above - below) / (2 * h)))
        return float(function(o, t)), gradient


NUMBER = st.floats(-30, 30)
FRACTION = st.floats(0, 1)
TARGET = {
    "half_squared_error": NUMBER,
    "mean_squared_error": NUMBER,
    "hinge": st.sampled_from([-1.0, 1.0]),
    "binary_cross_entropy": st.sampled_from([0.0, 1.0]) | FRACTION,
    "softmax_cross_entropy": FRACTION,
}


def table(numbers, batch, width):
    row = st.lists(numbers, min_size=width, max_size=width)
    return st.lists(row, min_size=batch, max_size=batch)


@pytest.mark.parametrize("name", LOSSES)
@given(data=st.data())
def test_cost_and_gradient_equal_the_definition(name, data):
    batch, width = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4))
    predictions = data.draw(table(NUMBER, batch, width))
    targets = data.draw(table(TARGET[name], batch, width))
    if name == "hinge":  # at the kink there is no derivative; a test below pins the convention
        assume(all(abs(1 - y * s) > 1e-15 for s, y in pairs(predictions, targets)))
    if name == "softmax_cross_entropy":
        assume(all(sum(row) > 0.01 for row in targets))
        targets = [[x / math.fsum(row) for x in row] for row in targets]
    outputs = values(predictions)
    cost = LOSSES[name](outputs, targets)
    expected, gradient = reference(name, predictions, targets)
    assert isinstance(cost, Value)
    assert cost.data == pytest.approx(expected, rel=1e-13, abs=1e-13)
    assert grad(cost, flat(outputs)) == pytest.approx(gradient, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("name", LOSSES)
@given(data=st.data())
def test_the_cost_of_a_batch_is_the_mean_of_its_samples_costs(name, data):
    batch, width = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 3))
    predictions = data.draw(table(NUMBER, batch, width))
    if name == "softmax_cross_entropy":
        targets = data.draw(st.lists(st.integers(0, width - 1), min_size=batch, max_size=batch))
    else:
        targets = data.draw(table(TARGET[name], batch, width))
    costs = [
        LOSSES[name](values(o), t).data for o, t in zip(predictions, targets, strict=True)
    ]
    whole = LOSSES[name](values(predictions), targets).data
    assert whole == pytest.approx(math.fsum(costs) / batch, rel=1e-14, abs=1e-14)


# ---------------------------------------------------------------------------- exact in plain floats
P = [[0.1, -0.7, 1.3], [0.25, 0.5, -0.125], [2.0, 0.3, 0.9], [-1.1, 0.7, 0.2]]
T = [[0.0, 1.0, 1.0], [0.2, -0.3, 0.4], [1.0, 1.0, 0.0], [0.6, 0.0, -2.0]]
Y = [[1, -1, 1], [-1, -1, 1], [1, 1, -1], [-1, 1, -1]]


def left_to_right(numbers):
    total = 0.0
    for x in numbers:
        total = total + x
    return total


def test_costs_are_bit_for_bit_the_formulas_in_the_order_of_the_data():
    squares = left_to_right((t - o) ** 2 for o, t in pairs(P, T))
    margins = left_to_right(max(0.0, 1.0 - y * s) for s, y in pairs(P, Y))
    assert half_squared_error(values(P), T).data == squares / 8
    assert mean_squared_error(values(P), T).data == squares / 12
    assert hinge(values(P), Y).data == margins / 12


def test_the_costs_of_the_tutorials():
    hidden = [1 / (1 + math.exp(-0.35 * a - 0.9 * b)) for a, b in [(0.1, 0.8), (0.4, 0.6)]]
    output = 1 / (1 + math.exp(-0.3 * hidden[0] - 0.9 * hidden[1]))
    assert half_squared_error(Value(output), 0.5).data == pytest.approx(0.01810390383656677, rel=1e-14)
    outputs = [Value(0.7513650695523157), Value(0.7729284653214625)]
    cost = half_squared_error(outputs, [0.01, 0.99])
    assert cost.data == 0.2983711087600027
    assert grad(cost, outputs) == [-(0.01 - 0.7513650695523157), -(0.99 - 0.7729284653214625)]


def test_hinge_is_the_data_loss_of_micrograds_demo():
    scores, labels = flat(P), flat(Y)
    terms = [Value(0) + (1 + -y * s).relu() for s, y in zip(values(scores), labels, strict=True)]
    known = microbp.sum(terms) * (1.0 / len(terms))
    assert hinge(values(scores), labels).data == pytest.approx(known.data, rel=1e-15)


def test_hinge_at_the_margin_has_derivative_0():
    score = Value(-1.0)
    cost = hinge(score, -1)
    assert (cost.data, grad(cost, score)) == (0.0, 0.0)


# ----------------------------------------------------------------------------------- large logits
@at_once(
    [
        (1000.0, 1, 0.0, 0.0),
        (1000.0, 0, 1000.0, 1.0),
        (-1000.0, 1, 1000.0, -1.0),
        (-1000.0, 0, 0.0, 0.0),
        (1000.0, 0.25, 750.0, 0.75),
        (40.0, 1, 4.248354255291589e-18, -4.248354255291589e-18),  # e⁻⁴⁰: no digit is lost
        (-40.0, 0, 4.248354255291589e-18, 4.248354255291589e-18),
        (0.0, 0.5, math.log(2), 0.0),
    ]
)
def test_binary_cross_entropy_of_large_logits(z, t, cost, derivative):
    logit = Value(z)
    found = binary_cross_entropy(logit, t)
    assert found.data == pytest.approx(cost, rel=1e-15, abs=0)
    assert grad(found, logit) == pytest.approx(derivative, rel=1e-15, abs=0)


@pytest.mark.parametrize(
    ("logits", "label", "cost", "gradient"),
    [
        ([1000.0, -1000.0, 0.0], 0, 0.0, [0.0, 0.0, 0.0]),
        ([1000.0, -1000.0, 0.0], 1, 2000.0, [1.0, -1.0, 0.0]),
        ([1000.0, -1000.0, 0.0], 2, 1000.0, [1.0, 0.0, -1.0]),
        ([-1000.0, -1000.0], 0, math.log(2), [-0.5, 0.5]),
        ([1000.0, 1000.0, 1000.0, 1000.0], 3, math.log(4), [0.25, 0.25, 0.25, -0.75]),
    ],
)
def test_softmax_cross_entropy_of_large_logits(logits, label, cost, gradient):
    outputs = values(logits)
    found = softmax_cross_entropy(outputs, label)
    assert found.data == pytest.approx(cost, abs=1e-12)
    assert grad(found, outputs) == pytest.approx(gradient, abs=1e-12)


@given(table(st.floats(-1000, 1000), 3, 4), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_the_derivative_of_softmax_cross_entropy_is_p_minus_t_over_the_batch(logits, labels):
    outputs = values(logits)
    found = grad(softmax_cross_entropy(outputs, labels), outputs)
    x = np.array(logits)
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    expected = (p - np.eye(4)[labels]) / 3
    assert np.asarray(found) == pytest.approx(expected, abs=1e-12)


# ------------------------------------------------------------------------------- shapes and kinds
@pytest.mark.parametrize("name", PAIRED)
def test_the_same_numbers_in_any_form_give_the_same_cost(name):
    loss = LOSSES[name]
    o, t = [0.3, -0.2, 0.7], [1, 1, 1]
    one, column = loss(values(o), t).data, loss(values([[x] for x in o]), [[x] for x in t]).data
    for targets in (tuple(t), np.array(t), np.array(t, dtype=np.float32), np.array(t) > 0, [Fraction(1)] * 3):
        assert loss(values(o), targets).data == one
        assert loss(tuple(values(o)), targets).data == one
        assert loss(microbp.array(o), targets).data == one
        assert loss(values([[x] for x in o]), targets).data == column
    assert loss(values(o), np.array([t]).T).data == column
    assert loss(microbp.array([o]).T, np.array([t]).T).data == column
    assert loss([microbp.array([x]) for x in o], t).data == column
    assert loss(Value(0.3), 1).data == loss(Value(0.3), [1]).data == loss([Value(0.3)], 1.0).data
    assert loss(microbp.array(0.3), np.int64(1)).data == loss(Value(0.3), 1).data


def test_a_flat_list_is_one_sample_and_a_column_is_a_batch():
    assert half_squared_error(values([1.0, 3.0]), [0.0, 0.0]).data == 5.0
    assert half_squared_error(values([[1.0], [3.0]]), [0.0, 0.0]).data == 2.5
    assert half_squared_error(values([1.0, 3.0]), [[0.0], [0.0]]).data == 2.5


def test_class_indices_in_any_form_give_the_cost_of_one_hot_rows():
    labels = [2, 0, 1, 1]
    expected = softmax_cross_entropy(values(P), np.eye(3)[labels]).data
    forms = [
        labels, tuple(labels), np.array(labels), np.array(labels, dtype=np.uint8), [2.0, 0.0, 1.0, 1.0],
        np.array([labels]).T, np.eye(3)[labels].tolist(), np.eye(3, dtype=bool)[labels],
    ]  # fmt: skip
    for form in forms:
        assert softmax_cross_entropy(values(P), form).data == expected
        assert softmax_cross_entropy(microbp.array(P), form).data == expected
    one = softmax_cross_entropy(values(P[0]), 2).data
    assert softmax_cross_entropy(values(P[0]), [0, 0, 1]).data == one
    assert softmax_cross_entropy(values(P[0]), [2]).data == one


def rules(cost):
    return Counter(node.rule.name for node in Graph(cost).nodes if node.rule is not None)


def test_what_is_recorded():
    assert rules(half_squared_error(Value(0.3), 1.0)) == {"sub": 1, "pow": 1, "div": 1}
    assert rules(half_squared_error(values(P), T)) == {"sub": 12, "pow": 12, "sum": 1, "div": 1}
    assert rules(mean_squared_error(Value(0.3), 1.0)) == {"sub": 1, "pow": 1}
    assert rules(hinge(values(P), Y)) == {"mul": 12, "sub": 12, "relu": 12, "sum": 1, "div": 1}
    assert rules(binary_cross_entropy(Value(0.3), 0)) == {"softplus": 1}
    assert rules(binary_cross_entropy(Value(0.3), 1)) == {"neg": 1, "softplus": 1}
    assert rules(binary_cross_entropy(Value(0.3), 0.5)) == {"neg": 1, "softplus": 2, "dot": 1}
    assert rules(softmax_cross_entropy(values(P[0]), 1)) == {"cross_entropy": 1}
    assert rules(softmax_cross_entropy(values(P), [0, 1, 2, 0])) == {"cross_entropy": 4, "sum": 1, "div": 1}
    assert rules(l2_penalty(values(P[0]), 0.1)) == {"dot": 1, "mul": 1}


def test_a_large_batch_is_no_deeper_than_a_small_one():
    cost = mean_squared_error(values([0.5] * 10_000), np.zeros(10_000))
    assert rules(cost)["sum"] == 1
    assert cost.data == 0.25


@pytest.mark.parametrize("name", LOSSES)
def test_a_prediction_of_nan_gives_a_cost_of_nan(name):
    targets = [0, 1] if name == "softmax_cross_entropy" else [1, 1]
    predictions = [[0.5, math.nan]] * 2 if name == "softmax_cross_entropy" else [0.5, math.nan]
    assert math.isnan(LOSSES[name](values(predictions), targets).data)


def test_without_recording_the_cost_is_a_constant():
    with microbp.no_grad():
        cost = mean_squared_error(values([0.5, 1.5]), [0.0, 0.0])
    assert (cost.data, cost.requires_grad) == (1.25, False)


def test_losses_by_name_are_all_losses():
    public = [getattr(losses, name) for name in losses.__all__]
    takes = {each.__name__: inspect.unwrap(each) for each in public if inspect.isfunction(each)}
    assert takes == LOSSES | {"l2_penalty": inspect.unwrap(l2_penalty)}


# -------------------------------------------------------------------------------------- l2_penalty
def test_l2_penalty_and_its_derivative():
    w = values([3.0, -1.5, 0.7])
    penalty = l2_penalty(w, 1e-4)
    assert penalty.data == 1e-4 * left_to_right([3.0 * 3.0, -1.5 * -1.5, 0.7 * 0.7])
    assert grad(penalty, w) == pytest.approx([6e-4, -3e-4, 1.4e-4], rel=1e-15)
    assert l2_penalty({"a": w[0], "b": w[1]}, 2).data == 22.5
    assert l2_penalty(iter(w), 0).data == 0.0


STRENGTH = "strength must be 0 or positive, and finite, not"


@pytest.mark.parametrize(
    ("parameters", "strength", "error", "text"),
    [
        ([], 0.1, ValueError, "there are no parameters"),
        ({}, 0.1, ValueError, "there are no parameters"),
        ([Value(1.0), 2.0], 0.1, TypeError, "parameters[1] is an object of type float, not a Value"),
        ([Value(1.0)], -0.1, ValueError, f"{STRENGTH} -0.1"),
        ([Value(1.0)], math.nan, ValueError, f"{STRENGTH} nan"),
        ([Value(1.0)], math.inf, ValueError, f"{STRENGTH} inf"),
        ([Value(1.0)], None, TypeError, f"strength {NO_NUMBER} None; {GIVE}"),
    ],
)
def test_errors_of_l2_penalty(parameters, strength, error, text):
    with pytest.raises(error) as caught:
        l2_penalty(parameters, strength)
    assert str(caught.value) == f"l2_penalty: {text}"


# ---------------------------------------------------------------------------------------- bad input
class Untouched(Value):
    """A Value that takes part in no operation."""

    def refuse(self, *_):
        raise AssertionError("recorded, although the data are bad")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __neg__ = refuse
    __pow__ = relu = softplus = refuse


class NoFunctions:
    def __getattr__(self, name):
        raise AssertionError(f"{name} is recorded, although the data are bad")


def untouched(x):
    return [untouched(each) for each in x] if isinstance(x, list) else Untouched(x)


@pytest.mark.parametrize("name", LOSSES)
def test_untouched_values_show_what_is_recorded(name, monkeypatch):
    monkeypatch.setattr(losses, "functions", NoFunctions())
    with pytest.raises(AssertionError, match="recorded, although"):
        LOSSES[name](untouched([[0.5, 0.5]]), [[1, 0]] if "softmax" in name else [[1, 1]])


SHAPES = [
    ([1.0, 2.0], [1.0], "(2,)", "(1,)"),
    ([1.0, 2.0], 1.0, "(2,)", "()"),
    (1.0, [1.0, 1.0], "()", "(2,)"),
    ([[1.0], [2.0]], [1.0], "(2, 1)", "(1,)"),
    ([[1.0], [2.0]], [[1.0, 1.0]], "(2, 1)", "(1, 2)"),
    ([[1.0, 2.0]], [1.0, 1.0], "(1, 2)", "(2,)"),
    ([1.0, 2.0], [[1.0, 1.0]], "(2,)", "(1, 2)"),
]


@at_once(PAIRED, SHAPES)
def test_shapes_that_do_not_fit(name, predictions, targets, first, second):
    with pytest.raises(ValueError, match="do not fit") as caught:
        LOSSES[name](untouched(predictions), targets)
    fault = f"{name}: predictions of shape {first} do not fit targets of shape {second}. "
    assert str(caught.value).startswith(fault)


UNEQUAL = "the predictions' rows are of unequal length"


@pytest.mark.parametrize(
    ("predictions", "text"),
    [
        ([], "there are no predictions (shape (0,)): the batch is empty"),
        ([[], []], "there are no predictions (shape (2, 0)): the batch is empty"),
        ([[[1.0]]], "predictions have at most two dimensions, (batch, outputs), not (1, 1, 1)"),
        ([[1.0, 2.0], [1.0]], f"{UNEQUAL}: predictions[0] has 2 entries, predictions[1] has 1"),
        ([1.0, [1.0]], f"{UNEQUAL}: predictions[0] is no row, predictions[1] has 1 entries"),
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_shapes_that_no_loss_takes(name, predictions, text):
    with pytest.raises(ValueError, match="predictions") as caught:
        LOSSES[name](untouched(predictions), [])
    assert str(caught.value) == f"{name}: {text}"


def test_arrays_that_numpy_cannot_stack():
    wide, narrow = microbp.array([[1.0, 2.0, 3.0]]), microbp.array([[1.0, 2.0]])
    with pytest.raises(ValueError, match="hinge: the predictions' rows are of unequal length"):
        hinge([narrow, wide], [1, 1])


@pytest.mark.parametrize(
    ("predictions", "text"),
    [
        ([0.5, 1.5], "at [0] stands an object of type float"),
        ([Value(0.5), None], "at [1] stands an object of type NoneType"),
        ([[Value(0.5), Value(0.5)], [Value(0.5), "a"]], "at [1, 1] stands an object of type str"),
        (np.zeros((2, 2)), "at [0, 0] stands an object of type float"),
        (0.5, "there stands an object of type float"),
        (map(Value, [1.0, 2.0]), "there stands an object of type map"),
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_predictions_that_are_no_values(name, predictions, text):
    with pytest.raises(TypeError) as caught:
        LOSSES[name](predictions, [1, 1])
    assert str(caught.value) == (
        f"{name}: predictions are Values, alone, in a list or in an array, but {text}. "
        "Give what the net returns"
    )


def unfit(first, second, cure):
    return f"predictions of shape {first} do not fit targets of shape {second}. {cure}"


def unsure(where, total, shape):
    return (
        f"the targets{where} sum to {total}; the probabilities of one sample sum to 1. Targets of shape "
        f"{shape}, like the predictions, are taken as probabilities, not as class indices"
    )


def alone(shape):
    return (
        f"predictions of shape {shape} have one output for each sample, whose softmax is always 1. Give "
        "the net one output for each class, or use binary_cross_entropy for two"
    )


ONE_TARGET = (
    "The net has 3 outputs for each sample, but there is one target: end the net with one output, or "
    "use softmax_cross_entropy for class indices"
)
CLASSES = "Give class indices of shape (4,), or probabilities of the predictions' shape"
NOT_FINITE = "a target is a finite number"
HINGE = "a label of hinge is -1 or 1 (2·t - 1 makes one from t = 0 or 1)"
BINARY = "a target is 0, 1 or a probability between them ((y + 1) / 2 makes one from y = ±1)"
PROBABILITY = "a probability is between 0 and 1"
RANGE = "the net has 3 outputs, so that classes are 0 to 2"
N, Q = math.nan, P[0]
# fmt: off
BAD = [
    ("hinge", P, [1, 1, 1, 1], unfit((4, 3), (4,), ONE_TARGET)),
    ("binary_cross_entropy", Q, 1, unfit((3,), (), ONE_TARGET)),
    ("half_squared_error", P, [[1], [1], [1], [1]], unfit((4, 3), (4, 1), ONE_TARGET)),
    ("mean_squared_error", Q, [1, 2], unfit((3,), (2,), "Give one target for each output")),
    ("half_squared_error", P[:2], [[1, 2], [1]],
     "the targets' rows are of unequal length: targets[0] has 2 entries, targets[1] has 1"),
    ("half_squared_error", Q, [0, 1, N], f"the target at [2] is nan; {NOT_FINITE}"),
    ("mean_squared_error", [[0.1], [0.2]], [[math.inf], [1]], f"the target at [0, 0] is inf; {NOT_FINITE}"),
    ("hinge", Q, [1, N, -1], f"the target at [1] is nan; {NOT_FINITE}"),
    ("binary_cross_entropy", 0.1, N, f"the target is nan; {NOT_FINITE}"),
    ("softmax_cross_entropy", P, [0, 1, N, 2], f"the target at [2] is nan; {NOT_FINITE}"),
    ("hinge", Q, [1, -1, 0], f"the target at [2] is 0.0; {HINGE}"),
    ("hinge", Q, [1, 2, 0], f"the target at [1] is 2.0; {HINGE}"),
    ("hinge", 0.1, 0.9, f"the target is 0.9; {HINGE}"),
    ("binary_cross_entropy", [[0.1], [0.2]], [0, -1], f"the target at [1] is -1.0; {BINARY}"),
    ("binary_cross_entropy", [[0.1], [0.2]], [[1.5], [1]], f"the target at [0, 0] is 1.5; {BINARY}"),
    ("softmax_cross_entropy", P, [0, 1, 3, 2], f"the target at [2] is 3.0; {RANGE}"),
    ("softmax_cross_entropy", P, [0, -1, 1, 2], f"the target at [1] is -1.0; {RANGE}"),
    ("softmax_cross_entropy", Q, 3, f"the target is 3.0; {RANGE}"),
    ("softmax_cross_entropy", P, [0, 1, 0.5, 2], "the target at [2] is 0.5; a class index is a whole number"),
    ("softmax_cross_entropy", P[:2], [[0, 1, 0], [0, 1, 1]], unsure(" of sample 1", 2.0, (2, 3))),
    ("softmax_cross_entropy", Q, [0.5, 0.25, 0.125], unsure("", 0.875, (3,))),
    ("softmax_cross_entropy", Q, [1.5, -0.5, 0], f"the target at [0] is 1.5; {PROBABILITY}"),
    ("softmax_cross_entropy", P, [0, 1, 2], unfit((4, 3), (3,), CLASSES)),
    ("softmax_cross_entropy", P, [[0, 1]] * 4, unfit((4, 3), (4, 2), CLASSES)),
    ("softmax_cross_entropy", Q, [0, 1], unfit((3,), (2,), CLASSES.replace("(4,)", "()"))),
    ("softmax_cross_entropy", [[0.1], [0.2]], [0, 1], alone((2, 1))),
    ("softmax_cross_entropy", 0.1, 0, alone(())),
]
# fmt: on


@pytest.mark.parametrize(("name", "predictions", "targets", "text"), BAD)
def test_bad_data_are_refused_before_anything_is_recorded(name, predictions, targets, text, monkeypatch):
    monkeypatch.setattr(losses, "functions", NoFunctions())
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        LOSSES[name](untouched(predictions), targets)
    assert str(caught.value) == f"{name}: {text}"


def test_a_row_may_miss_1_by_rounding_only():
    logits = values([[0.1, 0.2, 0.3]])
    thirds = np.array([[1 / 3, 1 / 3, 1 / 3]], dtype=np.float32)
    assert softmax_cross_entropy(logits, thirds).data == pytest.approx(1.1019428, rel=1e-6)
    with pytest.raises(ValueError, match=r"the targets of sample 0 sum to 1\.00000[12]"):
        softmax_cross_entropy(logits, [[0.5, 0.5, 1.5e-6]])


COMPLEX = "microbp is real; record the real and the imaginary part as two Values"
ARRAY = "microbp.array([*x]) makes an array of Values, one for each number"


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        ([1, None], f"the target at [1] {NO_NUMBER} None; {GIVE}"),
        (["1", 1], f"the target at [0] {NO_NUMBER} the str '1'; convert it first: float(...)"),
        ([1, 1j], f"the target at [1] {NO_NUMBER} the complex 1j; {COMPLEX}"),
        (map(float, [1, 1]), f"the target {NO_NUMBER} an object of type map; {ARRAY}"),
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_targets_that_are_no_numbers(name, targets, text, monkeypatch):
    monkeypatch.setattr(losses, "functions", NoFunctions())
    with pytest.raises(TypeError) as caught:
        LOSSES[name](untouched([0.1, 0.2]), targets)
    assert str(caught.value) == f"{name}: {text}"


@pytest.mark.parametrize("name", LOSSES)
def test_targets_may_be_values(name):
    classes = name == "softmax_cross_entropy"
    numbers = {"hinge": [-1.0, 1.0], "softmax_cross_entropy": [2, 0]}.get(name, [0.0, 1.0])
    rows = [[0.5, -0.25, 0.75], [-1.0, 2.0, 0.5]] if classes else [[0.5], [-1.5]]
    results = []
    for targets in (numbers, [Value(each) for each in numbers], [Value(each) * 1.0 for each in numbers]):
        predictions = values(rows)
        cost = LOSSES[name](predictions, targets)
        cost.backward()
        results.append((cost.data, [[each.grad for each in row] for row in predictions]))
    assert results[0] == results[1] == results[2]


def test_a_target_that_is_a_value_takes_its_gradient():
    said, wanted = Value(1.0), Value(3.0)
    mean_squared_error([said], [wanted]).backward()
    assert (said.grad, wanted.grad) == (-4.0, 4.0)


def test_probabilities_may_be_values():
    logits, wanted = values([[0.5, -0.25]]), [[Value(0.25), Value(0.75)]]
    assert softmax_cross_entropy(logits, wanted).data == softmax_cross_entropy(logits, [[0.25, 0.75]]).data


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_of_costs_that_are_finite_is_finite(name):
    most = 1.3e154 if "squared" in name else 1.7e308
    logits = [[Value(0.0), Value(most)]] * 3 if "softmax" in name else [[Value(most)]] * 3
    targets = {"hinge": [-1] * 3}.get(name, [0] * 3)
    cost, alone = (LOSSES[name](logits[:n], targets[:n]) for n in (3, 1))
    assert cost.data == pytest.approx(alone.data, rel=1e-15)
    cost.backward()


@pytest.mark.parametrize("name", PAIRED)
def test_targets_that_are_masked_are_none(name):
    with pytest.raises(ValueError, match=f"^{name}: the targets have masked entries; fill them in"):
        LOSSES[name](values([1.0, 2.0]), np.ma.array([1.0, 1.0], mask=[0, 1]))


def test_a_column_of_a_table_is_an_array_of_targets():
    column = pd.Series([1.0, -1.0])  # whose method is called mask
    assert hinge([Value(0.5), Value(0.25)], column).data == hinge([Value(0.5), Value(0.25)], [1.0, -1.0]).data
