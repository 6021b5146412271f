"""The optimisers, against their formulas in plain floats; schedules; clipping."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_once

import microbp
from microbp import MLP, NoGradientError, Value
from microbp.optim import (
    SGD,
    Adam,
    AdamW,
    Clipping,
    Constant,
    Cosine,
    Exponential,
    Linear,
    Optimiser,
    StepDecay,
    WarmUp,
    clip_gradients,
)

#: One of each kind, by what makes it.
KINDS = {
    "plain": SGD,
    "momentum": lambda w, lr: SGD(w, lr, momentum=0.9),
    "nesterov": lambda w, lr: SGD(w, lr, momentum=0.9, nesterov=True),
    "adam": Adam,
    "adamw": lambda w, lr: AdamW(w, lr, weight_decay=0.1),
}


# ---------------------------------------------------- the formulas once more, in plain floats
def plain(p, gradients, lr):
    for k, g in enumerate(gradients):
        p = p - lr(k) * g
        yield p


def momentum(p, gradients, lr, mu=0.9):
    v = 0.0
    for k, g in enumerate(gradients):
        v = mu * v + g
        p = p - lr(k) * v
        yield p


def nesterov(p, gradients, lr, mu=0.9):
    v = 0.0
    for k, g in enumerate(gradients):
        v = mu * v + g
        p = p - lr(k) * (g + mu * v)
        yield p


def adam(p, gradients, lr, b1=0.9, b2=0.999, eps=1e-8):
    m = v = 0.0
    for k, g in enumerate(gradients):
        m = b1 * m + (1.0 - b1) * g
        v = b2 * v + (1.0 - b2) * g * g
        p = p - lr(k) * (m / (1.0 - b1 ** (k + 1))) / (math.sqrt(v / (1.0 - b2 ** (k + 1))) + eps)
        yield p


def adamw(p, gradients, lr, decay=0.1, b1=0.9, b2=0.999, eps=1e-8):
    m = v = 0.0
    for k, g in enumerate(gradients):
        p = p - lr(k) * decay * p
        m = b1 * m + (1.0 - b1) * g
        v = b2 * v + (1.0 - b2) * g * g
        p = p - lr(k) * (m / (1.0 - b1 ** (k + 1))) / (math.sqrt(v / (1.0 - b2 ** (k + 1))) + eps)
        yield p


FORMULAS = {"plain": plain, "momentum": momentum, "nesterov": nesterov, "adam": adam, "adamw": adamw}
GRADIENT = st.floats(-1e3, 1e3)


def give(parameter, gradient):
    """Let a backward pass give a parameter its gradient."""
    parameter.grad = None
    (parameter * gradient).backward()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", [Constant(0.1), Exponential(0.1, 0.9)])
@given(start=st.floats(-10, 10), gradients=st.lists(st.tuples(GRADIENT, GRADIENT), min_size=1, max_size=12))
def test_steps_are_the_formulas_bit_for_bit(kind, schedule, start, gradients):
    a, b = Value(start), Value(-start)
    optimiser = KINDS[kind]([a, b], schedule)
    for_a = FORMULAS[kind](start, [g for g, _ in gradients], schedule)
    for_b = FORMULAS[kind](-start, [h for _, h in gradients], schedule)
    for (g, h), *numbers in zip(gradients, for_a, for_b, strict=True):
        give(a, g)
        give(b, h)
        optimiser.step()
        assert [a.data, b.data] == numbers


def test_settings_other_than_the_defaults():
    gradients = [1.5, -0.25, 3.0]
    rate, default, b1, b2, eps = Constant(0.1), Constant(0.001), 0.5, 0.75, 0.125
    # fmt: off
    cases = [
        (lambda w: SGD(w, 0.1, momentum=0.5), momentum(2.0, gradients, rate, 0.5)),
        (lambda w: SGD(w, 0.1, momentum=0.5, nesterov=True), nesterov(2.0, gradients, rate, 0.5)),
        (Adam, adam(2.0, gradients, default)),
        (lambda w: Adam(w, 0.1, betas=(b1, b2), eps=eps), adam(2.0, gradients, rate, b1, b2, eps)),
        (lambda w: Adam(w, 0.1, betas=(0.0, 0.0)), adam(2.0, gradients, rate, 0.0, 0.0)),
        (AdamW, adamw(2.0, gradients, default, 0.01)),
        (lambda w: AdamW(w, 0.1, betas=(b1, b2), eps=eps), adamw(2.0, gradients, rate, 0.01, b1, b2, eps)),
        (lambda w: AdamW(w, 0.1, weight_decay=0.5), adamw(2.0, gradients, rate, 0.5)),
        (lambda w: AdamW(w, 0.1, weight_decay=0.0), adam(2.0, gradients, rate)),
    ]
    # fmt: on
    for make, expected in cases:
        w = Value(2.0)
        optimiser = make([w])
        for gradient, number in zip(gradients, expected, strict=True):
            give(w, gradient)
            optimiser.step()
            assert w.data == number


def test_a_first_step_by_hand():
    numbers = {}
    for kind, make in KINDS.items():
        w = Value(1.0)
        optimiser = make([w], 0.5)
        for gradient in (2.0, -1.0):
            give(w, gradient)
            optimiser.step()
            numbers.setdefault(kind, []).append(round(w.data, 10))
    assert numbers["plain"] == [0.0, 0.5]  # 1 - 0.5·2, 0 + 0.5·1
    assert numbers["momentum"] == [0.0, -0.4]  # v = 2, 0.9·2 - 1 = 0.8
    assert numbers["nesterov"] == [-0.9, -0.76]  # 1 - 0.5·3.8, -0.9 - 0.5·(-1 + 0.9·0.8)
    assert numbers["adam"][0] == 0.5 + 2.5e-9  # 1 - 0.5·2 / (2 + ε)
    assert numbers["adamw"][0] == 0.45 + 2.5e-9  # the same, from 1 - 0.5·0.1·1


def test_nesterov_is_sutskevers_form_at_the_point_where_the_velocity_leads():
    def slope(x):  # of a quartic bowl
        return 4.0 * x**3 + x

    lr, mu, theta, v = 0.01, 0.9, 2.0, 0.0
    w = Value(theta)
    optimiser = SGD([w], lr, momentum=mu, nesterov=True)
    for _ in range(100):
        v = mu * v - lr * slope(theta + mu * v)
        theta = theta + v
        give(w, slope(w.data))
        optimiser.step()
        assert w.data == pytest.approx(theta + mu * v, rel=1e-12, abs=1e-15)


def test_momentum_is_polyaks_heavy_ball():
    lr, mu = 0.05, 0.8
    w = Value(2.0)
    optimiser = SGD([w], lr, momentum=mu)
    before, now = 2.0, 2.0
    for _ in range(100):
        before, now = now, now - lr * 3.0 * now + mu * (now - before)
        give(w, 3.0 * w.data)
        optimiser.step()
        assert w.data == pytest.approx(now, rel=1e-12, abs=1e-15)


# --------------------------------------------------------------------------- on a convex problem
A = np.array([[3.0, 1.0], [1.0, 2.0], [0.5, -1.0]])
B = np.array([1.0, -2.0, 0.5])


def descend(make, count, w=None, optimiser=None):
    """Least squares ``|A·w - B|²`` from (1, 1); the parameters and the optimiser."""
    w = microbp.array([1.0, 1.0], name="w") if w is None else w
    optimiser = make(list(w)) if optimiser is None else optimiser
    for _ in range(count):
        optimiser.zero_grad()
        error = A @ w - B
        np.sum(error * error).backward()
        optimiser.step()
    return w, optimiser


@pytest.mark.parametrize("kind", ["plain", "momentum", "nesterov", "adam"])
def test_each_finds_the_minimum_of_a_convex_problem(kind):
    expected = np.linalg.lstsq(A, B, rcond=None)[0]
    lr = Cosine(0.2, steps=500) if kind == "adam" else 0.03
    w, _ = descend(lambda w: KINDS[kind](w, lr), 450)
    tolerance = 1e-4 if kind == "adam" else 1e-9
    assert microbp.data_of(w) == pytest.approx(expected, abs=tolerance)


def test_momentum_gets_nearer_than_plain_descent_and_nesterov_differs_from_both():
    expected = np.linalg.lstsq(A, B, rcond=None)[0]
    lr = 0.005
    ends = {
        kind: microbp.data_of(descend(lambda w, kind=kind: KINDS[kind](w, lr), 150)[0])
        for kind in ("plain", "momentum", "nesterov")
    }
    misses = {kind: np.abs(end - expected).max() for kind, end in ends.items()}
    assert misses["nesterov"] < misses["momentum"] < misses["plain"]


def test_decoupled_decay_is_not_an_l2_penalty():
    penalised, decayed = Value(1.0), Value(1.0)
    adam, adamw = Adam([penalised], 0.1), AdamW([decayed], 0.1, weight_decay=0.1)
    for _ in range(3):
        give(penalised, 5.0 + 0.1 * penalised.data)
        give(decayed, 5.0)
        adam.step()
        adamw.step()
    assert penalised.data == pytest.approx(0.7, abs=1e-3)
    assert decayed.data == pytest.approx(0.7 - 0.1 * 0.1 * (1.0 + 0.89 + 0.7811), abs=1e-3)


# ------------------------------------------------------------------------------ freezing, zeroing
@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_parameter_and_what_is_remembered_of_it_stay(kind):
    free, frozen = Value(1.0), Value(1.0)
    optimiser = KINDS[kind]([free, frozen], 0.1)
    give(free, 1.0)
    give(frozen, 1.0)
    optimiser.step()
    number, memory = frozen.data, optimiser.state()["memory"][1]
    frozen.requires_grad = False
    for grad in (None, 5.0, math.nan):
        frozen.grad = grad
        optimiser.step()
        assert frozen.data == number
        assert optimiser.state()["memory"][1] == memory
    assert free.data != number
    alone = Value(1.0)
    other = KINDS[kind]([alone], 0.1)
    for _ in range(2):
        give(alone, 1.0)
        other.step()
    frozen.requires_grad = True
    give(frozen, 1.0)
    optimiser.step()
    assert frozen.data == alone.data  # as if the steps between had not been


def test_zero_grad_sets_none_and_touches_nothing_else():
    w, other = Value(2.0, name="w"), Value(3.0)
    (w * other).backward()
    SGD([w], 0.1).zero_grad()
    assert (w.grad, w.data, other.grad) == (None, 2.0, 2.0)


def test_step_neither_clears_gradients_nor_asks_for_new_ones():
    w = Value(1.0)
    optimiser = SGD([w], 0.25)
    give(w, 1.0)
    optimiser.step()
    optimiser.step()
    assert (w.data, w.grad, optimiser.steps) == (0.5, 1.0, 2)


def test_the_learning_rate_may_be_changed_on_the_way():
    w = Value(1.0)
    optimiser = SGD([w], 0.25)
    give(w, 1.0)
    optimiser.step()
    optimiser.lr = 0.5
    optimiser.step()
    assert w.data == 0.25
    optimiser.lr = 0
    with pytest.raises(ValueError, match=r"^SGD: the learning rate must be positive and finite, not 0\.0$"):
        optimiser.step()
    assert (w.data, optimiser.steps) == (0.25, 2)


# ---------------------------------------------------------------------------------- all or nothing
NONE = "no parameter has a gradient; call backward() on the cost first"
SOME = (
    "b has no gradient, but others have: the cost does not depend on it. Leave it out, or freeze it "
    "(requires_grad = False); nothing has been changed"
)


def bad(name, gradient, at):
    return f"the gradient of {name} is {gradient} at {name} = {at}; nothing has been changed"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("gradients", "error", "text"),
    [
        ([None, None, None], NoGradientError, NONE),
        ([1.0, None, 1.0], NoGradientError, SOME),
        ([1.0, math.nan, 1.0], FloatingPointError, bad("b", "nan", 2.0)),
        ([1.0, 2.0, -math.inf], FloatingPointError, bad("parameters[2]", "-inf", 3.0)),
    ],
)
def test_a_bad_gradient_changes_nothing(kind, gradients, error, text):
    parameters = [Value(1.0, name="a"), Value(2.0, name="b"), Value(3.0)]
    optimiser = KINDS[kind](parameters, 0.1)
    for parameter in parameters:
        give(parameter, 1.0)
    optimiser.step()
    parameters[1].data, parameters[2].data = 2.0, 3.0
    before = [each.data for each in parameters], optimiser.state()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    with pytest.raises(error) as caught:
        optimiser.step()
    assert str(caught.value) == f"{type(optimiser).__name__}.step(): {text}"
    assert ([each.data for each in parameters], optimiser.state()) == before


def test_frozen_parameters_do_not_hide_that_backward_was_not_called():
    a, b = Value(1.0, name="a"), Value(1.0, name="b")
    give(a, 1.0)
    a.requires_grad = False
    with pytest.raises(NoGradientError, match=r"no parameter has a gradient; call backward\(\)"):
        SGD([a, b], 0.1).step()


def overflow(before, after, rate):
    return (
        f"w = {before} would become {after}; no parameter has been changed. Lower the learning rate "
        f"({rate}) or clip the gradients"
    )


@pytest.mark.parametrize(
    ("make", "start", "gradient", "text"),
    [
        (
            lambda w: SGD(w, 10.0), 1.0, 1e308,
            overflow("1.0 with gradient 1e+308", "-inf", 10.0),
        ),
        (
            lambda w: SGD(w, 0.1, momentum=0.9), math.nan, 1.0,
            overflow("nan with gradient 1.0 and (0.0,) remembered", "nan and (1.0,)", 0.1),
        ),
        (
            lambda w: Adam(w, 0.5, betas=(0.5, 0.5)), 1.0, 1e200,  # g² overflows; w would stand still
            overflow(
                "1.0 with gradient 1e+200 and (0.0, 0.0, 0.0) remembered", "1.0 and (5e+199, inf, 1.0)", 0.5
            ),
        ),
    ],
)  # fmt: skip
def test_a_result_that_is_not_finite_changes_nothing(make, start, gradient, text):
    first, w = Value(1.0), Value(start, name="w")
    optimiser = make([first, w])
    before = optimiser.state()
    first.grad, w.grad = 1.0, gradient
    with pytest.raises(FloatingPointError) as caught:
        optimiser.step()
    assert str(caught.value) == f"{type(optimiser).__name__}.step(): {text}"
    assert first.data == 1.0
    assert optimiser.state() == before


def test_an_update_of_ones_own_that_returns_something_else_is_told_and_changes_nothing():
    class Own(Optimiser):
        blank = (0.0,)

        def update(self, *_):
            return returned

    class AtOnce(Own):
        elementwise = True
        update = Own.update

    told = "returns the new number of a parameter and a tuple of the 1 numbers to remember of it, not"
    for returned in (0.5, (0.5, ()), (0.5, (0.0, 1.0)), (0.5, 0.0), None, (None, (0.0,)), ("0.5", (0.0,))):
        for kind in (Own, AtOnce):
            w, v = Value(1.0), Value(1.0)
            w.grad = v.grad = 1.0
            optimiser = kind([w, v], 0.1)
            with pytest.raises(TypeError) as caught:
                optimiser.step()
            assert str(caught.value) == f"{kind.__name__}.update() {told} {returned!r}"
            assert (w.data, optimiser.state()["memory"], optimiser.steps) == (1.0, [[0.0], [0.0]], 0)


def test_an_update_of_ones_own_may_count_in_fractions():
    class Exact(Optimiser):
        def update(self, p, g, memory, lr):
            return Fraction(p) - Fraction(lr) * Fraction(g), memory

    w = Value(1.0)
    w.grad = 0.5
    Exact([w], 0.5).step()
    assert (w.data, type(w.data)) == (0.75, float)


# ----------------------------------------------------------------------------------------- resuming
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("carry", [lambda x: x, lambda x: json.loads(json.dumps(x))])
def test_resuming_equals_going_on_bit_for_bit(kind, carry):
    def make(w):
        return KINDS[kind](w, WarmUp(5, then=Cosine(0.05, steps=40)))

    whole, optimiser = descend(make, 30)
    half, before = descend(make, 17)
    w = microbp.array(carry(microbp.data_of(half).tolist()), name="w")
    after = make(list(w))
    after.load_state(carry(before.state()))
    resumed, after = descend(make, 13, w, after)
    assert microbp.data_of(resumed).tolist() == microbp.data_of(whole).tolist()
    assert after.state() == optimiser.state()


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_before_the_first_step_begins_anew(kind):
    w = Value(1.0)
    optimiser = KINDS[kind]([w], 0.1)
    new = optimiser.state()
    give(w, 1.0)
    optimiser.step()
    first, w.data = w.data, 1.0
    optimiser.load_state(new)
    assert (optimiser.steps, optimiser.state()) == (0, new)
    optimiser.step()
    assert w.data == first


def test_a_state_is_plain_and_no_window_into_the_optimiser():
    w = Value(1.0, name="w")
    optimiser = Adam({"layer.w": w}, 0.1)
    give(w, 2.0)
    optimiser.step()
    state = optimiser.state()
    assert state == {
        "optimiser": "Adam",
        "steps": 1,
        "names": ["layer.w"],
        "memory": [[0.2 * (1 - 0.9) / 0.1, 4.0 * (1 - 0.999), 1.0]],
    }
    state["memory"][0][0] = 7.0
    assert optimiser.state() != state


OTHER = (
    "the optimiser remembers 1 numbers of each of 2 parameters, and the state does not: it was kept with "
    "other settings"
)
NO_NUMBER = "takes a real number, not None; give an int, a float or a NumPy real scalar"


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"optimiser": "Adam"}, ValueError, "the state is of Adam"),
        ({"names": ["a"], "memory": [[0.0]]}, ValueError, "the state is of 1 parameters, the optimiser of 2"),
        ({"names": ["a", "c"]}, ValueError, "parameters[1] is 'c' in the state, 'b' in the optimiser"),
        ({"memory": [[0.0], []]}, ValueError, OTHER),
        ({"memory": [[0.0]]}, ValueError, OTHER),
        ({"memory": [[0.0], [math.nan]]}, ValueError, "the state holds a number that is not finite"),
        ({"memory": [[0.0], [None]]}, TypeError, f"a remembered number {NO_NUMBER}"),
        ({"steps": 1.5}, ValueError, "steps is a whole number from 0 up, not 1.5"),
        ({"steps": -1}, ValueError, "steps is a whole number from 0 up, not -1"),
        ({"names": None}, ValueError, "the state has no 'names'; give what state() returned"),
        ({"names": "vw"}, ValueError, "'names' of the state is of type str; give what state() returned"),
        ({"memory": np.zeros((2, 1))}, ValueError,
         "'memory' of the state is of type ndarray; give what state() returned"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_loaded(change, error, text):
    optimiser = SGD([Value(1.0, name="a"), Value(1.0, name="b")], 0.1, momentum=0.9)
    before = optimiser.state()
    state = {"optimiser": "SGD", "steps": 3, "names": ["a", "b"], "memory": [[1.0], [2.0]]} | change
    if state["names"] is None:
        del state["names"]
    with pytest.raises(error) as caught:
        optimiser.load_state(state)
    assert str(caught.value) == f"SGD.load_state(): {text}"
    assert optimiser.state() == before


# --------------------------------------------------------------------------------- wrong parameters
def test_parameters_keep_the_names_that_they_had_when_the_optimiser_was_made():
    net = MLP(1, [1], seed=1)
    optimiser = SGD([*net.parameters(), Value(1.0), Value(2.0, name="own")], lr=0.1)
    for value in net.parameters():
        value.name = "later"
    twin = pickle.loads(pickle.dumps(optimiser))
    names = ["layers.0.neurons.0.w.0", "layers.0.neurons.0.b", "parameters[2]", "own"]
    for each in (twin, optimiser):
        assert [name for name, _ in each.parameters] == each.state()["names"] == names


def test_parameters_are_named_by_the_dict_by_themselves_or_by_their_place():
    values = [Value(1.0, name="a"), Value(2.0)]
    assert SGD(values, 0.1).state()["names"] == ["a", "parameters[1]"]
    assert SGD({"x": values[0], "y": values[1]}, 0.1).state()["names"] == ["x", "y"]
    assert SGD(iter(values), 0.1).state()["names"] == ["a", "parameters[1]"]
    assert SGD(microbp.array([1.0, 2.0], name="w"), 0.1).state()["names"] == ["w[0]", "w[1]"]


SHARED, W = Value(1.0, name="s"), microbp.array([[1.0]], name="W")
NO_LIST = "parameters are a list of Values or a dict of them, not a"
COMPUTED = (
    "parameters[1] is Value(2.0), computed by mul(a, b), not a leaf: to change its number would not change "
    "the net"
)
SAME = "is the same Value as"
FLAT = "not a Value; [*W.flat, *b.flat] lists the Values of arrays"


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ([], ValueError, "there are no parameters"),
        ({}, ValueError, "there are no parameters"),
        (Value(1.0), TypeError, f"{NO_LIST} Value"),
        (None, TypeError, f"{NO_LIST} NoneType"),
        (microbp.MLP(2, [1]), TypeError, f"{NO_LIST} MLP; write its .parameters()"),
        ([SHARED, 2.0], TypeError, "parameters[1] is an object of type float, not a Value"),
        ({"b": 2.0}, TypeError, "b is an object of type float, not a Value"),
        ([W], TypeError, f"parameters[0] is an object of type Array, {FLAT}"),
        ([SHARED, SHARED * 2.0], ValueError, COMPUTED),
        ([SHARED, W[0, 0], SHARED], ValueError, f"parameters[2] {SAME} parameters[0]: list it once"),
        ({"a": SHARED, "b": SHARED}, ValueError, f"b {SAME} a: list it once"),
    ],
)
def test_what_is_no_list_of_parameters(parameters, error, text):
    for make, where in [(lambda: Adam(parameters), "Adam"), (lambda: clip_gradients(parameters, 1.0), None)]:
        with pytest.raises(error) as caught:
            make()
        assert str(caught.value) == f"{where or 'clip_gradients()'}: {text}"


# ------------------------------------------------------------------------------------ wrong settings
class Halving:
    def __call__(self, step):
        return 0.5 - 0.25 * step

    def __repr__(self):
        return "Halving()"


def broken(_):
    return math.nan


def nothing(_):
    return None


def told(x):
    return f"must be positive and finite, not {x}"


BELOW_ONE, UP = "must be at least 0 and below 1, not", "must be 0 or positive, and finite, not"
SHARE, WHOLE = "must be above 0 and at most 1, not", "is a whole number from 1 up, not"
GIVES = "SGD: the learning rate that"


@at_once(
    [
        (lambda w: SGD(w, 0), ValueError, f"SGD: the learning rate {told(0.0)}"),
        (lambda w: SGD(w, -0.1), ValueError, f"SGD: the learning rate {told(-0.1)}"),
        (lambda w: Adam(w, math.nan), ValueError, f"Adam: the learning rate {told('nan')}"),
        (lambda w: AdamW(w, math.inf), ValueError, f"AdamW: the learning rate {told('inf')}"),
        (lambda w: SGD(w, None), TypeError, f"SGD: the learning rate {NO_NUMBER}"),
        (lambda w: SGD(w, broken), ValueError, f"{GIVES} broken gives after 0 steps {told('nan')}"),
        (lambda w: SGD(w, nothing), TypeError, f"{GIVES} nothing gives after 0 steps {NO_NUMBER}"),
        (lambda w: SGD(w, 0.1, momentum=1.0), ValueError, f"SGD: momentum {BELOW_ONE} 1.0"),
        (lambda w: SGD(w, 0.1, momentum=-0.1), ValueError, f"SGD: momentum {BELOW_ONE} -0.1"),
        (lambda w: SGD(w, 0.1, momentum=math.nan), ValueError, f"SGD: momentum {BELOW_ONE} nan"),
        (
            lambda w: SGD(w, 0.1, nesterov=True),
            ValueError,
            "SGD: Nesterov's method needs a momentum, such as momentum=0.9",
        ),
        (lambda w: Adam(w, betas=(1.0, 0.9)), ValueError, f"Adam: betas[0] {BELOW_ONE} 1.0"),
        (lambda w: AdamW(w, betas=(0.9, -0.5)), ValueError, f"AdamW: betas[1] {BELOW_ONE} -0.5"),
        (lambda w: Adam(w, eps=0.0), ValueError, f"Adam: eps {told(0.0)}"),
        (lambda w: AdamW(w, weight_decay=-1), ValueError, f"AdamW: weight_decay {UP} -1.0"),
        (lambda w: AdamW(w, weight_decay=math.nan), ValueError, f"AdamW: weight_decay {UP} nan"),
        (lambda _: Constant(0.0), ValueError, f"Constant: rate {told(0.0)}"),
        (lambda _: StepDecay(-1.0, 0.5, 10), ValueError, f"StepDecay: rate {told(-1.0)}"),
        (lambda _: StepDecay(1.0, 0.0, 10), ValueError, f"StepDecay: factor {SHARE} 0.0"),
        (lambda _: StepDecay(1.0, 0.5, 0), ValueError, f"StepDecay: every {WHOLE} 0"),
        (lambda _: StepDecay(1.0, 0.5, 2.5), ValueError, f"StepDecay: every {WHOLE} 2.5"),
        (lambda _: Exponential(math.inf, 0.5), ValueError, f"Exponential: rate {told('inf')}"),
        (lambda _: Exponential(1.0, 1.5), ValueError, f"Exponential: factor {SHARE} 1.5"),
        (lambda _: Linear(0.0, 0.1, 10), ValueError, f"Linear: rate {told(0.0)}"),
        (lambda _: Linear(1.0, -0.1, 10), ValueError, f"Linear: final {UP} -0.1"),
        (lambda _: Linear(1.0, 0.1, True), ValueError, f"Linear: steps {WHOLE} True"),
        (lambda _: Cosine(math.nan, 10), ValueError, f"Cosine: rate {told('nan')}"),
        (lambda _: Cosine(1.0, -1), ValueError, f"Cosine: steps {WHOLE} -1"),
        (lambda _: Cosine(1.0, 10, math.inf), ValueError, f"Cosine: final {UP} inf"),
        (lambda _: WarmUp(0, 0.1), ValueError, f"WarmUp: steps {WHOLE} 0"),
        (lambda _: WarmUp(5, 0.0), ValueError, f"WarmUp: then {told(0.0)}"),
    ]
)
def test_settings_out_of_range(make, error, text):
    with pytest.raises(error) as caught:
        make([Value(1.0)])
    assert str(caught.value) == text


def test_a_schedule_that_ends_before_the_training_says_so():
    w = Value(1.0)
    straight = Linear(0.5, 0.0, 2)
    for schedule, name in [(straight, "Linear(rate=0.5, final=0.0, steps=2)"), (Halving(), "Halving()")]:
        w.data = 1.0
        optimiser = SGD([w], schedule)
        give(w, 1.0)
        optimiser.step()
        optimiser.step()
        with pytest.raises(ValueError, match="after 2 steps") as caught:
            optimiser.step()
        text = f"SGD: the learning rate that {name} gives after 2 steps {told(0.0)}"
        assert str(caught.value) == text
        assert (w.data, optimiser.steps) == (0.25, 2)


# ---------------------------------------------------------------------------------------- schedules
SCHEDULES = [
    (Constant(0.3), [0.3] * 10),
    (StepDecay(0.8, factor=0.5, every=3), [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]),
    (Exponential(0.8, factor=0.9), [0.8 * 0.9**k for k in range(10)]),
    (Linear(1.0, final=0.1, steps=8), [1.0 - 0.9 * k / 8 for k in range(8)] + [0.1, 0.1]),
    (Linear(1.0, final=0.0, steps=8), [1.0 - k / 8 for k in range(8)] + [0.0, 0.0]),
    (Linear(0.1, final=0.5, steps=8), [0.1 + 0.4 * k / 8 for k in range(8)] + [0.5, 0.5]),
    (Cosine(0.8, steps=8), [0.4 + 0.4 * math.cos(math.pi * k / 8) for k in range(8)] + [0.0, 0.0]),
    (Cosine(0.8, steps=8, final=0.2), [0.5 + 0.3 * math.cos(math.pi * k / 8) for k in range(8)] + [0.2, 0.2]),
    (WarmUp(4, then=0.8), [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]),
    (WarmUp(2, then=Exponential(0.8, 0.5)), [0.4 * 1.0] + [0.8 * 0.5**k for k in range(1, 10)]),
]


@at_once(SCHEDULES)
def test_rates_of_a_schedule(schedule, rates):
    assert [schedule(k) for k in range(10)] == pytest.approx(rates, rel=1e-14, abs=1e-15)
    copy = pickle.loads(pickle.dumps(schedule))
    assert copy == schedule
    assert [copy(k) for k in range(10)] == [schedule(k) for k in range(10)]


def test_the_final_rate_is_exact_from_the_first_step_after_the_last():
    for schedule in (Linear(1.0, final=0.1, steps=100), Cosine(1.0, final=0.1, steps=100)):
        assert schedule(99) > 0.1
        assert (schedule(100), schedule(101)) == (0.1, 0.1)


def test_a_schedule_of_ones_own_adds_settings_to_one_of_ours():
    @dataclass(frozen=True)
    class Bounded(Linear):
        least: float = 0.25
        told: str = "bounded"

        def __call__(self, step):
            return max(self.least, super().__call__(step))

    assert [Bounded(1.0, 0.0, 2)(step) for step in range(3)] == [1.0, 0.5, 0.25]
    with pytest.raises(ValueError, match=r"^Bounded: steps is a whole number from 1 up, not 0.5$"):
        Bounded(1.0, 0.0, 0.5)


def test_the_least_settings_of_a_schedule():
    assert [StepDecay(0.5, factor=1.0, every=1)(k) for k in (0, 7)] == [0.5, 0.5]
    assert [Linear(0.5, final=0.25, steps=1)(k) for k in (0, 1)] == [0.5, 0.25]
    assert WarmUp(1, then=0.5)(0) == 0.5


def test_micrograds_demo_schedule_bit_for_bit():
    schedule = Linear(1.0, final=0.1, steps=100)
    assert [schedule(k) for k in range(100)] == [1.0 - 0.9 * k / 100 for k in range(100)]


def test_an_optimiser_asks_its_schedule_with_the_number_of_steps_taken():
    asked = []

    def schedule(step):
        asked.append(step)
        return 0.5**step

    w = Value(0.0)
    optimiser = SGD([w], schedule)
    give(w, -1.0)
    for _ in range(3):
        optimiser.step()
    assert asked == [0, 0, 1, 2]  # the first is the constructor's check
    assert w.data == 1.75
    assert optimiser.rate == 0.125


def test_an_optimiser_is_pickled_with_its_parameters_and_schedule():
    w = Value(1.0, name="w")
    optimiser = Adam([w], WarmUp(4, then=0.1))
    give(w, 1.0)
    optimiser.step()
    twin, v = pickle.loads(pickle.dumps((optimiser, w)))
    for each, parameter in [(optimiser, w), (twin, v)]:
        give(parameter, 0.5)
        each.step()
    assert v.data == w.data
    assert twin.state() == optimiser.state()


def test_repr():
    assert repr(SGD([Value(1.0)], Constant(0.5))) == "SGD(1 parameters, lr=Constant(rate=0.5), steps=0)"


# ----------------------------------------------------------------------------------------- clipping
def test_clipping_scales_all_gradients_together():
    w = [Value(1.0), Value(1.0), Value(1.0)]
    for each, gradient in zip(w, [3.0, -4.0, 12.0], strict=True):
        each.grad = gradient
    assert clip_gradients(w, 13.0) == Clipping(norm=13.0, factor=1.0)
    assert [each.grad for each in w] == [3.0, -4.0, 12.0]
    report = clip_gradients(w, 6.5)
    assert report == (13.0, 0.5)
    assert (report.norm, report.factor) == (13.0, 0.5)
    assert [each.grad for each in w] == [1.5, -2.0, 6.0]
    assert clip_gradients({"a": w[0]}, math.inf) == (1.5, 1.0)


@given(st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=5), st.floats(1e-3, 1e3))
def test_the_norm_after_clipping_is_within_bounds(gradients, bound):
    w = [Value(0.0) for _ in gradients]
    for each, gradient in zip(w, gradients, strict=True):
        each.grad = gradient
    norm, factor = clip_gradients(w, bound)
    assert norm == pytest.approx(float(np.linalg.norm(gradients)), rel=1e-14, abs=1e-150)
    assert [each.grad for each in w] == [factor * gradient for gradient in gradients]
    assert math.hypot(*(each.grad for each in w)) <= bound * (1 + 1e-15)
    assert (factor == 1.0) == (norm <= bound)


def test_clipping_leaves_frozen_parameters_out_and_does_not_overflow():
    w, frozen = [Value(0.0), Value(0.0)], Value(0.0)
    frozen.requires_grad = False
    for each in (*w, frozen):
        each.grad = 1e200
    assert clip_gradients([*w, frozen], 1.0) == (math.hypot(1e200, 1e200), 1.0 / math.hypot(1e200, 1e200))
    assert [each.grad for each in w] == pytest.approx([math.sqrt(0.5)] * 2)
    assert frozen.grad == 1e200


@pytest.mark.parametrize(
    ("gradients", "bound", "error", "text"),
    [
        ([1.0, math.nan], 1.0, FloatingPointError, bad("b", "nan", 0.0)),
        ([math.inf, 1.0], 1.0, FloatingPointError, bad("a", "inf", 0.0)),
        (
            [1.5e308, 1.5e308],
            1.0,
            FloatingPointError,
            "the norm of the gradients is beyond the largest float, 1.8e308",
        ),
        ([None, None], 1.0, NoGradientError, NONE),
        ([9.0, None], 1.0, NoGradientError, SOME),
        ([9.0, 9.0], 0, ValueError, "max_norm must be positive, not 0.0"),
        ([9.0, 9.0], -1.0, ValueError, "max_norm must be positive, not -1.0"),
        ([9.0, 9.0], math.nan, ValueError, "max_norm must be positive, not nan"),
    ],
)
def test_errors_of_clipping(gradients, bound, error, text):
    w = [Value(0.0, name="a"), Value(0.0, name="b")]
    for each, gradient in zip(w, gradients, strict=True):
        each.grad = gradient
    with pytest.raises(error) as caught:
        clip_gradients(w, bound)
    assert str(caught.value) == f"clip_gradients(): {text}"
    assert repr([each.grad for each in w]) == repr(gradients)


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert StepDecay(0.5, 0.5, np.int64(10))(15) == 0.25
    assert Cosine(0.5, np.int32(100))(50) == Cosine(0.5, 100)(50)
