"""Gradients that are huge or tiny, and layers that vanish or explode: found and named, with the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from support import here

from microbp import MLP, Layer, Module, Neuron, Value, losses
from microbp.debug.diagnose import Diagnosis, Finding, diagnose
from microbp.node import upstream_gradients

pytestmark = pytest.mark.usefixtures("sites")


def of(loss: Value, *parameters: Value, **names: Value) -> Diagnosis:
    return diagnose(loss, list(parameters) or None, names=names, show=False)


def only(diagnosis: Diagnosis) -> Finding:
    [found] = diagnosis.findings
    return found


# --------------------------------------------------------------------------------------- huge
def test_a_log_near_zero_is_named_with_its_line_and_its_operand() -> None:
    w = Value(1e-9, name="w")
    p = w * 2.0
    cost = -p.log()
    line = here(1)
    found = only(of(cost * 1.0, w, p=p))
    assert (found.kind, found.cause, found.site) == ("huge gradient", "log near its edge", line)
    assert "is the log of p = 2e-09" in found.what
    assert "the gradient of w is -1e+09" in found.what.lower()
    assert "cross_entropy" in found.advice
    assert dict(found.numbers)["largest factor"] == 1.0 / p.data


@pytest.mark.parametrize(
    ("start", "make", "cause", "told"),
    [
        (1e-8, lambda w: 2.0 / w, "division by a small number", "divides by w = 1e-08"),
        (1e-14, lambda w: w.sqrt(), "sqrt near its edge", "is the sqrt of w = 1e-14"),
        (1e-9, lambda w: w**0.1, "pow near its edge", "is the pow of w = 1e-09"),
        (1.0, lambda w: (w + 20.0).exp(), "growth of exp", "is the exp of"),
        (1.0, lambda w: w * 3e7, "multiplied by a large number", "w is multiplied by 3e+07"),
        (1e-8, lambda w: (w + math.pi / 2).tan(), "steep operation", "tan is steep at"),
        (9e6, lambda w: (w - 1.0) ** 2, "power of a large number", "grown from w = 9e+06 over 1 operation,"),
    ],
)
def test_each_steep_operation_says_what_made_it_steep(
    start: float, make: Callable[[Value], Value], cause: str, told: str
) -> None:
    w = Value(start, name="w")
    found = only(of(make(w) + 1.0, w))
    assert (found.kind, found.cause) == ("huge gradient", cause)
    assert told in found.what
    assert found.parameters == ("w",)


def test_an_exploding_recurrent_net_has_grown_by_depth() -> None:
    w, h0 = Value(1.9, name="w"), Value(0.1, name="h0")
    h = h0
    for _ in range(60):
        h = w * h
        line = here(1)
    found = only(of(h, h0))
    assert (found.kind, found.cause, found.node, found.site) == (
        "huge gradient", "growth by depth", "h0", line,
    )  # fmt: skip
    numbers = dict(found.numbers)
    assert numbers["steps"] == 60.0
    assert numbers["per step"] == pytest.approx(1.9, rel=1e-9)
    assert "of the 60 steps from the loss to h0, 60 make it larger, each 1.9 times" in found.what
    assert only(of(h, w, h0)).parameters == ("w", "h0")


def test_a_factor_that_has_itself_grown_by_depth_says_so() -> None:
    w, h = Value(1.9, name="w"), Value(0.1, name="h0")
    for _ in range(60):
        h = h * 1.9
    found = only(of(w * h, w))
    assert found.cause == "growth by depth"
    assert "w is multiplied by" in found.what
    assert "which has grown from h0 = 0.1 over 60 operations" in found.what


def test_many_paths_that_add_up_are_told_from_large_factors() -> None:
    w = Value(1e-3, name="w")
    y = w
    for _ in range(30):
        y = y + y
    found = only(of(y, w))
    assert found.cause == "many paths"
    assert "by the factor 1.07e+09" in found.what


def test_a_factor_with_more_than_half_of_the_size_is_the_origin() -> None:
    w, d = Value(1.0, name="w"), Value(1e-5, name="d").detach()
    r = w / d
    found = only(of(r * 1e3, w, r=r))
    assert (found.cause, found.node) == ("division by a small number", "r")
    assert "the largest factors on its largest path are 1e+05 at r, 1000 at v" in found.what
    many = w
    for _ in range(4):
        many = many * 60.0
    assert only(of(many, w)).cause == "growth by depth"


def test_what_is_huge_can_be_said() -> None:
    w = Value(1.0, name="w")
    assert of(w * 5e4, w).ok
    assert diagnose(w * 5e4, huge=1e4, show=False)["huge gradient"].node == "v1"
    assert diagnose(w * 5e7, huge=1e8, show=False).ok


def test_parameters_behind_one_origin_are_one_finding() -> None:
    a, b, c = Value(1.0, name="a"), Value(2.0, name="b"), Value(1e-7, name="c")
    r = (a + b) / c
    found = only(of(r, a, b, r=r))
    assert found.node == "r"
    assert found.parameters == ("a", "b")


# --------------------------------------------------------------------------------------- tiny
def test_a_saturated_sigmoid_is_found_although_its_gradient_is_not_zero() -> None:
    w = Value(7.0, name="w")
    net = w * 3.0
    o = net.sigmoid()
    line = here(1)
    found = only(of((o - 0.2) ** 2, w, net=net, o=o))
    assert (found.kind, found.cause, found.node, found.site) == (
        "tiny gradient", "saturated sigmoid", "o", line,
    )  # fmt: skip
    assert "sigmoid is flat at net = 21" in found.what
    assert dict(found.numbers)["local"] == pytest.approx(math.exp(-21.0), rel=1e-6)


def test_a_larger_path_beside_a_saturated_one_makes_it_no_finding() -> None:
    w = Value(7.0, name="w")
    assert of((w * 3.0).sigmoid() + w * 0.1, w).ok


def test_a_gradient_shrunk_by_depth_is_told_from_a_saturated_one() -> None:
    w, x = Value(0.5, name="w"), Value(1.0, name="x")
    y = x
    for _ in range(50):
        y = y * 0.5
        line = here(1)
    found = only(of(y + w, w, x))
    assert (found.kind, found.cause, found.node) == ("tiny gradient", "shrunk by depth", "x")
    assert found.site == line
    assert "after 51 steps, of which 50 make it smaller" in found.what


# --------------------------------------------------------------------------------------- layers
def deep(activation: str, factor: float) -> tuple[MLP, Value]:
    net = MLP(3, [4] * 8 + [1], activation=activation, init="xavier", seed=3)
    for value in net.parameters():
        value.data *= factor
    return net, losses.mean_squared_error([[net([0.5, -0.3, 0.8])], [net([-1.0, 0.4, 0.2])]], [0.3, -0.2])


def test_vanishing_gradients_are_told_layer_by_layer() -> None:
    net, loss = deep("sigmoid", 0.5)
    diagnosis = diagnose(loss, names={"net": net}, show=False)
    found = diagnosis["layers"]
    assert (found.cause, found.node) == ("vanishing", "layers.0")
    gradients = upstream_gradients(loss)

    def rms(layer: int) -> float:
        own = [gradients[id(value)] for value in net.layers[layer].parameters()]
        return math.sqrt(sum(each * each for each in own) / len(own))

    numbers = dict(found.numbers)
    assert numbers["first"] == pytest.approx(rms(0), rel=1e-12)
    assert numbers["last"] == pytest.approx(rms(8), rel=1e-12)
    assert numbers["per step"] == pytest.approx((rms(0) / rms(8)) ** (1 / 8), rel=1e-9)
    assert [row.name for row in diagnosis.layers] == [f"layers.{i}" for i in range(9)]
    assert diagnosis.layers[4].rms == pytest.approx(rms(4), rel=1e-12)
    assert len(found.parameters) == 16
    assert all(each.startswith("layers.0.") for each in found.parameters)
    assert "init='xavier'" in found.advice


def test_exploding_gradients_are_told_layer_by_layer() -> None:
    net, loss = deep("sin", 9.0)
    found = diagnose(loss, net, show=False)["layers"]
    assert (found.cause, found.node) == ("exploding", "layers.0")
    assert dict(found.numbers)["per step"] > 3.0
    assert "times per layer" in found.what


@pytest.mark.parametrize(
    ("ratio", "kind"), [(1e3, []), (1e-3, []), (1e5, ["exploding"]), (1e-5, ["vanishing"])]
)
def test_layers_may_differ_by_less_than_four_decades(ratio: float, kind: list[str]) -> None:
    class Two(Module):
        def __init__(self) -> None:
            self.first, self.second = Neuron(1), Neuron(1)

        def __call__(self, x: float) -> Any:
            return self.first.w[0] * x + self.second.w[0] * 1.0

    assert [each.cause for each in of(Two()(ratio)).findings] == kind


class Cell(Module):
    """One step of a recurrent net."""

    def __init__(self, w: float) -> None:
        self.w, self.b = Value(w), Value(0.1)

    def __call__(self, h: Value) -> Value:
        return self.w * h + self.b


@pytest.mark.parametrize(("w", "cause"), [(0.4, "vanishing"), (2.5, "exploding")])
def test_a_recurrent_net_is_told_call_by_call(w: float, cause: str) -> None:
    cell, h = Cell(w), Value(1.0, name="h0")
    for _ in range(14):
        h = cell(h)
    found = diagnose(h, names={"cell": cell}, show=False)["layers"]
    assert (found.cause, found.node) == (cause, "cell")
    assert dict(found.numbers)["per step"] == pytest.approx(w, rel=1e-9)
    assert "times per call of cell" in found.what


def test_samples_side_by_side_are_no_sequence() -> None:
    neuron = Neuron(1, activation="tanh", seed=1)
    outputs = [neuron([x]) * scale for x, scale in ((0.1, 1.0), (0.2, 1e-6), (0.3, 1e-12))]
    assert diagnose(outputs[0] + outputs[1] + outputs[2], show=False).ok


def test_two_layers_of_a_module_of_ones_own_are_two_rows() -> None:
    class Net(Module):
        def __init__(self) -> None:
            self.hidden, self.out = Layer(2, 3, activation="tanh"), Layer(3, 1, activation="tanh")

        def __call__(self, x: Any) -> Any:
            return self.out(self.hidden(x))

    net = Net()
    loss = net([1.0, -2.0])
    loss.backward()
    assert [row.name for row in diagnose(loss, names={"net": net}, show=False).layers] == ["hidden", "out"]


@pytest.mark.parametrize("x", [5e-324, 1e-200, 1.0, 1e308])
def test_the_root_mean_square_of_a_layer_holds_for_tiny_and_huge_gradients(x: float) -> None:
    net = MLP(4, [1], seed=0)
    weights = net.layers[0].parameters()
    assert len(weights) == 5
    for each in weights:
        each.data = 0.0
    loss = sum((each * x for each in weights[1:]), weights[0] * x)
    rows = diagnose(loss, net, show=False).layers
    assert [row.rms for row in rows] == [pytest.approx(x, rel=1e-12, abs=0.0)]


@pytest.mark.parametrize("name", ["0", "None"])
def test_a_name_that_reads_like_nothing_is_told(name: str) -> None:
    w, v = Value(1.0, name="w"), Value(1.0, name=name)
    loss = w * 2.0 + v * 3.0
    w.grad, v.grad = 4.0, 6.0
    found = diagnose(loss, [w, v], names={}, show=False)["stale gradient"]
    assert f", and so for {name}: backward() has added up" in found.what
    assert f" at {name} (" in str(found._replace(node=name))
