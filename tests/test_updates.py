"""Parameters updated in place, and what is said where an update is recorded as a computation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import at_once, here

import microbp
from microbp import GrowingGraphWarning, Module, Value, array, data_of, grad_of
from microbp.node import backward_order
from microbp.optim import SGD

X = np.random.default_rng(2).normal(size=(12, 3))
T = X @ [1.0, -2.0, 0.5]
START = [0.1, 0.2, 0.3]


def loss(W: Any) -> Any:
    return np.sum((X @ W - T) ** 2) / 12.0


def slope(W: Any) -> Any:
    return X.T @ (X @ W - T) / 6.0


# ------------------------------------------------------------------------------------------- in place
def test_an_update_in_place_puts_new_leaves_there() -> None:
    W = array(START, name="W")
    numbers, alias = np.array(START), W
    sizes = set()
    for _ in range(300):
        cost = loss(W)
        sizes.add(len(backward_order(cost)))
        cost.backward()
        W -= 0.1 * grad_of(W)
        numbers = numbers - 0.1 * slope(numbers)
    assert W is alias
    assert len(sizes) == 1
    np.testing.assert_allclose(data_of(W), numbers, rtol=1e-12)
    assert [(v.name, v.grad, v.is_leaf, v.requires_grad) for v in W] == [
        (f"W[{i}]", None, True, True) for i in range(3)
    ]


def test_the_functional_gradient_is_a_pass_too() -> None:
    W = array(START, name="W")
    W -= 0.1 * microbp.grad(loss(W), W)
    np.testing.assert_allclose(data_of(W), START - 0.1 * slope(np.array(START)), rtol=1e-12)
    assert all(v.is_leaf for v in W)


def test_several_updates_to_one_pass_a_decay_views_and_places() -> None:
    W = array([START, START], name="W")
    numbers = np.array([START, START])
    loss(W[0] + W[1]).backward()
    W[0] -= 0.5
    W *= 0.9
    W.T[2] += [1.0, 2.0]
    np.add.at(W, ([0, 0], [1, 1]), 0.25)
    np.subtract(W, 1.0, out=W)
    numbers[0] -= 0.5
    numbers *= 0.9
    numbers.T[2] += [1.0, 2.0]
    np.add.at(numbers, ([0, 0], [1, 1]), 0.25)
    numbers -= 1.0
    np.testing.assert_allclose(data_of(W), numbers, rtol=1e-15)
    assert all(v.is_leaf and v.name == f"W[{i},{j}]" for (i, j), v in np.ndenumerate(W))


def test_a_copy_keeps_its_numbers() -> None:
    W = array(START, name="W")
    loss(W).backward()
    best = W.copy()
    W -= 1.0
    assert data_of(best).tolist() == START


def test_a_frozen_leaf_stays_frozen_and_a_leaf_in_two_places_one_leaf() -> None:
    shared, frozen = Value(1.0, name="s"), Value(2.0, name="f")
    frozen.requires_grad = False
    W = array([shared, frozen, shared])
    np.sum(W * [3.0, 4.0, 5.0]).backward()
    W -= 0.5
    assert W[0] is W[2]
    assert W[0] is not shared
    assert [v.requires_grad for v in W] == [True, False, True]
    np.sum(W * [3.0, 4.0, 5.0]).backward()
    assert W[0].grad == 8.0


def test_before_a_backward_pass_arithmetic_in_place_is_recorded() -> None:
    x = array([1.0, 2.0], name="x")
    leaves = list(x)
    x *= 3.0
    np.sum(x).backward()
    assert [v.grad for v in leaves] == [3.0, 3.0]


def test_with_values_on_the_other_side_it_is_recorded() -> None:
    W, rate = array(START, name="W"), Value(0.5, name="rate")
    leaves = list(W)
    loss(W).backward()
    W -= rate * grad_of(W)
    assert [v.operands[0] for v in W] == leaves


def test_where_nothing_is_recorded_arithmetic_in_place_is_an_update() -> None:
    W, other = array(START, name="W"), array([1.0, 2.0, 3.0])
    with microbp.no_grad():
        W *= 0.5
        W -= 0.1 * other
    assert [(v.name, v.is_leaf, v.requires_grad) for v in W] == [(f"W[{i}]", True, True) for i in range(3)]
    np.testing.assert_allclose(data_of(W), 0.5 * np.array(START) - [0.1, 0.2, 0.3], rtol=1e-15)
    leaves = list(W)
    W *= 2.0
    np.sum(W).backward()
    assert [v.grad for v in leaves] == [2.0, 2.0, 2.0]


def test_where_a_mask_leaves_an_element_out_it_stays() -> None:
    W = array(START, name="W")
    loss(W).backward()
    kept = W[1]
    np.subtract(W, 1.0, out=W, where=np.array([True, False, True]))
    assert W[1] is kept
    assert data_of(W).tolist() == [0.1 - 1.0, 0.2, 0.3 - 1.0]
    W[[True, False, False]] -= 1.0
    assert (W[0].name, W[0].is_leaf, W[0].data) == ("W[0]", True, 0.1 - 2.0)


# ------------------------------------------------------------------- steps that are recorded: said once
def rebound(W: Any) -> Any:
    loss(W).backward()
    return W - 0.1 * grad_of(W)


def functional(W: Any) -> Any:
    return W - 0.1 * microbp.grad(loss(W), W)


def added(W: Any) -> Any:
    loss(W).backward()
    return W + -0.1 * grad_of(W)


def element_by_element(W: Any) -> Any:
    loss(W).backward()
    for i in range(3):
        W[i] -= 0.1 * W[i].grad
    return W


def listed(W: Any) -> Any:
    loss(W).backward()
    return array([w - 0.1 * w.grad for w in W])


@pytest.mark.parametrize("step", [rebound, functional, added, element_by_element, listed])
def test_a_step_that_is_recorded_is_said_at_the_second(step: Callable[[Any], Any]) -> None:
    W = step(array(START, name="W"))
    with pytest.warns(GrowingGraphWarning) as caught:
        step(step(W))
    assert str(caught[0].message) == (
        "W = W - rate * gradient is recorded like any other computation: W has become a computed value that "
        "remembers every step, and the graph grows with each. For an array write "
        "W -= rate * microbp.grad_of(W), for one Value W.data -= rate * W.grad"
    )
    assert caught[0].filename == __file__


def with_momentum() -> None:
    W, v = array(START, name="W"), np.zeros(3)
    for _ in range(3):
        loss(W).backward()
        v = 0.9 * v - 0.1 * grad_of(W)
        W = W + v


def single_values() -> None:
    w, b = Value(0.1, name="w"), Value(0.2, name="b")
    for _ in range(3):
        ((w * 3.0 + b - 1.0) ** 2).backward()
        w, b = w - 0.01 * w.grad, b - 0.01 * b.grad


@pytest.mark.parametrize(("code", "name"), [(with_momentum, "W"), (single_values, "w")])
def test_steps_with_momentum_and_of_single_values_are_said(code: Callable[[], None], name: str) -> None:
    with pytest.warns(GrowingGraphWarning, match=rf"^{name} = {name} - rate \* gradient is recorded like"):
        code()


def test_one_step_is_ordinary_code() -> None:
    W = rebound(array(START, name="W"))
    loss(W).backward()
    assert loss(W).data < loss(array(START)).data


def shifted() -> None:
    x = array([1.0, 2.0, 3.0])
    y = x - 1.0
    np.sum(y * y).backward()
    z = y - 2.0
    np.sum(z * z).backward()
    u = z - [3.0, 4.0, 5.0]
    np.sum(u * x).backward()
    np.sum(u - 0.5).backward()


def shifted_value() -> None:
    x = Value(3.0)
    for _ in range(5):
        x.backward()
        x = x - 1.0
    x.backward()


def recurrent() -> None:
    W, h = array([[0.1, 0.2], [0.3, 0.4]], name="W"), array([0.0, 0.0])
    for _ in range(6):
        h = np.tanh(W @ h + [1.0, 2.0])
        h = h - 0.1
        np.sum(h * h).backward()


def integrated() -> None:
    h = array([0.0, 0.0])
    for step in range(6):
        h = h + np.array([0.1 * step, 0.2])
        np.sum(h * h).backward()


def unrolled() -> None:
    h = array([1.0, 2.0])
    for _ in range(6):
        h = h - 0.1 * data_of(h)
    for _ in range(3):
        np.sum(h * [1.0, 3.0]).backward()


def decayed_and_seen() -> None:
    h = array([1.0, 2.0])
    for _ in range(6):
        h = h - 0.1 * data_of(h)
        np.sum(h * [1.0, 3.0]).backward()


def shifted_in_a_loop() -> None:
    W = array(START, name="W")
    for _ in range(4):
        loss(W - 1.0 - 0.5).backward()
        W -= 0.1 * grad_of(W)


def accumulated() -> None:
    w, b = Value(1.0), Value(2.0)
    for _ in range(4):
        ((w - 1.0 - 2.0 - 3.0) * b).backward()
        w.data -= 0.1 * w.grad


def momentum_in_place() -> None:
    W, v = array(START, name="W"), np.zeros(3)
    for _ in range(5):
        loss(W).backward()
        v = 0.9 * v - 0.1 * grad_of(W)
        W += v


ORDINARY = [
    shifted, shifted_value, recurrent, integrated, unrolled, decayed_and_seen, shifted_in_a_loop, accumulated,
    momentum_in_place,
]  # fmt: skip


@at_once(ORDINARY)
def test_ordinary_code_is_not_warned_of(code: Callable[[], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code()


# ---------------------------------------------------------------------------------- a module's arrays
class Line(Module):
    def __init__(self, scale: float | None = None) -> None:
        self.W, self.b = array(START, name="W"), Value(0.0, name="b")
        if scale is not None:
            self.W *= scale


def test_a_module_keeps_what_is_updated(tmp_path: Any) -> None:
    net = Line()
    for _ in range(5):
        loss(net.W).backward()
        net.W -= 0.1 * grad_of(net.W)
    assert list(net.named_parameters()) == ["W.0", "W.1", "W.2", "b"]
    net.save(tmp_path / "net.npz")
    other = Line()
    other.load(tmp_path / "net.npz")
    assert np.array_equal(data_of(other.W), data_of(net.W))


LOST = (
    "self.W is no parameter any more: it has been computed from the leaf W[0] = 0.1, so that parameters(), "
    "state() and save() leave it out. Scale numbers before they become Values, and update with "
    "self.W -= rate * microbp.grad_of(self.W) after a backward pass; "
    "self.W = microbp.array(microbp.data_of(self.W)) makes leaves of what it is now"
)


@pytest.mark.parametrize("ask", [Module.parameters, Module.state, Module.zero_grad])
def test_a_module_that_lost_its_weights_says_so(ask: Callable[[Module], object]) -> None:
    net = Line(0.5)
    with pytest.warns(GrowingGraphWarning) as caught:
        ask(net)
    line = here(1)
    assert str(caught[0].message) == LOST
    assert f"{caught[0].filename}:{caught[0].lineno}" == line


def test_a_decay_that_is_recorded_and_a_rebound_array_are_said() -> None:
    net = Line()
    loss(net.W).backward()
    net.W -= 0.1 * (grad_of(net.W) + 0.1 * net.W)
    with pytest.warns(GrowingGraphWarning, match=r"^self\.W is no parameter any more: "):
        net.parameters()
    net = Line()
    loss(net.W).backward()
    net.W = net.W - 0.1 * grad_of(net.W)
    with pytest.warns(GrowingGraphWarning, match=r"^self\.W is no parameter any more: "):
        net.parameters()
    net.W = array(data_of(net.W))
    assert len(net.parameters()) == 4


def test_results_that_a_module_keeps_are_not_warned_of() -> None:
    net: Any = Line()
    net.doubled, net.hidden, net.mean = net.W * 2.0, np.tanh(net.W + net.b), np.mean(net.W)
    net.shifted = net.W - 1.0
    loss(net.W).backward()
    net.W -= 0.1 * grad_of(net.W)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(net.state()) == ["W", "b"]


# --------------------------------------------------------------------- what updates leave behind
class Single(Module):
    def __init__(self) -> None:
        self.w, self.b = [Value(2.0), Value(1.0)], Value(0.5)

    def __call__(self, x: float) -> Value:
        return (self.w[0] + self.w[1]) * x + self.b


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_single_parameter_that_is_rebound_is_said_to_be_lost(decay: float) -> None:
    net = Single()
    net(2.0).backward()
    net.b -= 0.1 * (net.b.grad + decay * net.b) if decay else 0.1 * net.b.grad
    told = (
        "self.b is no parameter any more: it has been computed from a leaf of 0.5, so that parameters(), "
        "state() and save() leave it out. For one Value write self.b.data -= rate * self.b.grad"
    )
    with pytest.warns(GrowingGraphWarning) as caught:
        assert len(net.parameters()) == 2
    assert str(caught[0].message) == told
    net = Single()
    net(2.0).backward()
    net.w[1] -= 0.1 * net.w[1].grad
    with pytest.warns(GrowingGraphWarning, match=r"^self\.w\[1\] is no parameter any more: "):
        net.zero_grad()


def test_parameters_in_a_dict_and_arrays_in_a_list_that_are_rebound_are_said_to_be_lost() -> None:
    class Kept(Module):
        def __init__(self) -> None:
            self.by: dict[str, Any] = {"W": array([1.0, 2.0]), "b": Value(0.5)}
            self.several = [array([1.0, 2.0])]

    net = Kept()
    by, several = net.by, net.several
    (np.sum(by["W"] * by["W"]) + by["b"] + np.sum(several[0] * several[0])).backward()
    by["W"] = by["W"] - 0.1 * grad_of(by["W"])
    by["b"] -= 0.1 * by["b"].grad
    several[0] = several[0] - 0.1 * grad_of(several[0])
    with pytest.warns(GrowingGraphWarning) as caught:
        assert not net.state()
    told = {str(each.message).partition(" is no parameter any more")[0] for each in caught}
    assert told == {"self.by['W']", "self.by['b']", "self.several[0]"}


def test_a_result_that_is_a_parameter_and_a_number_is_not_lost() -> None:
    net: Any = Single()
    net(2.0).backward()
    net.shifted = net.b - 1.0
    assert len(net.parameters()) == 3


def test_a_decay_that_is_recorded_outside_a_module_is_said_the_second_time() -> None:
    W = array([1.0, 2.0], name="W")
    np.sum(W * W).backward()
    W -= 0.1 * (grad_of(W) + 0.1 * W)
    np.sum(W * W).backward()
    told = (
        "W -= … with Values on the right, such as a decay of W itself, is recorded like any other "
        "computation, and the graph grows with each. Take numbers: W -= rate * (microbp.grad_of(W) + decay * "
        "microbp.data_of(W))"
    )
    with pytest.warns(GrowingGraphWarning) as caught:
        W -= 0.1 * (grad_of(W) + 0.1 * W)
    assert str(caught[0].message) == told
    W = array([1.0, 2.0], name="W")
    for _ in range(3):
        np.sum(W * W).backward()
        W -= 0.1 * (grad_of(W) + 0.1 * data_of(W))
    assert W[0].is_leaf


def test_an_optimiser_that_an_update_left_behind_says_so() -> None:
    W = array([1.0, 2.0], name="W")
    optimiser = SGD(W.flat, lr=0.1)
    np.sum(W * W).backward()
    optimiser.step()
    W -= 0.1 * grad_of(W)
    told = (
        "SGD.step() changes W[0] = 0.8, in whose place an update such as W -= … has put a new leaf since: "
        "the net does not follow. Make the optimiser anew after such an update, or leave the updates to it"
    )
    with pytest.warns(GrowingGraphWarning) as caught:
        optimiser.step()
    assert str(caught[0].message) == told
    np.sum(W * W).backward()
    SGD(W.flat, lr=0.1).step()


# ------------------------------------------------------------------------------- a step that reaches nothing
def test_a_step_on_the_loop_variable_says_that_it_leaves_the_parameter_as_it_is() -> None:
    net = microbp.MLP(2, [2, 1], activation="tanh", seed=1)
    start = [p.data for p in net.parameters()]

    def descend() -> None:
        for p in net.parameters():
            p -= 0.1 * p.grad  # noqa: PLW2901

    (net([1.0, 2.0]) - 1.0).backward()
    descend()
    with pytest.warns(GrowingGraphWarning) as caught:
        descend()
    told = (
        "p -= rate * p.grad makes another Value, and leaves the leaf as it is, in a net or wherever else it "
        "stands: change its number, p.data -= rate * p.grad"
    )
    assert {(str(each.message), each.filename) for each in caught} == {(told, __file__)}
    assert [p.data for p in net.parameters()] == start
    with pytest.warns(GrowingGraphWarning, match=r"^p -= "):
        microbp.no_grad()(descend)()


def test_arithmetic_in_place_that_is_no_descent_is_not_warned_of() -> None:
    class Doubling(Value):
        def __add__(self, other: Any) -> Any:
            return self * 2.0

    a, b, c = Value(1.0, "a"), Value(2.0, "b"), Doubling(3.0)
    (a * a + b * a + c).backward()
    for leaf in (a, b, c, a, b, c):
        total = leaf
        total += 0.5
        total -= leaf
    total = c
    total += 1.0
    assert total.data == 6.0
    a.grad = None
    a -= 0.1
    b.grad = np.array([1.0])  # type: ignore[assignment]
    b -= 0.1


def test_leaves_that_an_update_has_replaced_go_on_to_be_used() -> None:
    W = array([1.0, 2.0], name="W")
    before = W.copy()
    np.sum(W * W).backward()
    W -= 0.1 * grad_of(W)
    np.sum(before * 3.0).backward()
    assert grad_of(before).tolist() == [5.0, 7.0]
