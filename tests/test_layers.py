"""Layers for a batch, against the formulas written out in NumPy and against measured derivatives."""

from __future__ import annotations

import copy
import math
import pickle
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_once

import microbp
from microbp import (
    Array,
    Graph,
    NoGradientError,
    Value,
    data_of,
    grad,
    grad_of,
    layers,
    losses,
    no_grad,
)
from microbp.layers import Affine, BatchLayer, ReLU, Sigmoid, SoftmaxWithLoss, TwoLayerNet
from microbp.rules import RULES, row

NAMES = ["W1", "b1", "W2", "b2"]


# --------------------------------------------------------------- the formulas, written out in NumPy
def softmax_by_hand(x: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def net_by_hand(params: dict[str, Any], x: Any, t: Any) -> tuple[float, dict[str, Any]]:
    """The loss of Affine, ReLU, Affine, softmax with cross-entropy, and its gradient; t is one-hot."""
    z = x @ params["W1"] + params["b1"]
    a = np.where(z > 0.0, z, 0.0)
    y = softmax_by_hand(a @ params["W2"] + params["b2"])
    loss = -np.sum(t * np.log(y)) / len(x)
    d2 = (y - t) / len(x)
    d1 = np.where(z > 0.0, d2 @ params["W2"].T, 0.0)
    return float(loss), {"W1": x.T @ d1, "b1": d1.sum(axis=0), "W2": a.T @ d2, "b2": d2.sum(axis=0)}


def close(found: Any, expected: Any, relative: float = 1e-12) -> bool:
    """Whether two arrays differ by no more than a part of the largest number in the expected one."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == float
    return bool(np.all(abs(found - expected) <= relative * abs(expected).max()))


SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
SEEDS = st.integers(0, 10**6)


def agrees_affine(shape: tuple[int, int, int], seed: int) -> bool:
    batch, inputs, outputs = shape
    rng = np.random.default_rng(seed)
    x, dout = rng.normal(size=(batch, inputs)), rng.normal(size=(batch, outputs))
    W, b = rng.normal(size=(inputs, outputs)), rng.normal(size=outputs)
    affine = Affine(W, b)
    return (
        close(data_of(affine.forward(x)), x @ W + b)
        and close(affine.backward(dout), dout @ W.T)
        and close(affine.dW, x.T @ dout)
        and close(affine.db, dout.sum(axis=0))
    )


def agrees_relu(shape: tuple[int, int, int], seed: int) -> bool:
    rng, relu = np.random.default_rng(seed), ReLU()
    x, dout = rng.normal(size=shape[:2]), rng.normal(size=shape[:2])
    return bool(
        np.array_equal(data_of(relu.forward(x)), np.maximum(0.0, x))
        and np.array_equal(relu.backward(dout), np.where(x > 0.0, dout, 0.0))
    )


def agrees_sigmoid(shape: tuple[int, int, int], seed: int) -> bool:
    rng, sigmoid = np.random.default_rng(seed), Sigmoid()
    x, dout = 3.0 * rng.normal(size=shape[:2]), rng.normal(size=shape[:2])
    y = 1.0 / (1.0 + np.exp(-x))
    return close(data_of(sigmoid.forward(x)), y) and close(
        sigmoid.backward(dout), dout * (1.0 - y) * y
    )


@given(shape=SHAPES, seed=SEEDS)
def test_affine_relu_and_sigmoid_are_the_tutorial_s(shape: tuple[int, int, int], seed: int) -> None:
    assert agrees_affine(shape, seed)
    assert agrees_relu(shape, seed)
    assert agrees_sigmoid(shape, seed)


@given(batch=st.integers(1, 6), classes=st.integers(2, 6), seed=SEEDS)
def test_softmax_with_loss_is_the_tutorial_s(batch: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, labels = 3.0 * rng.normal(size=(batch, classes)), rng.integers(0, classes, batch)
    t, y = np.eye(classes)[labels], softmax_by_hand(x)
    layer = SoftmaxWithLoss()
    for targets in (labels, labels.tolist(), t):
        loss = layer.forward(x, targets)
        assert loss.data == pytest.approx(-np.sum(t * np.log(y)) / batch, rel=1e-12)
        assert close(layer.backward(), (y - t) / batch)
        assert close(layer.backward(-2.0), -2.0 * (y - t) / batch)


def problem(seed: int, inputs: int = 5, hidden: int = 4, classes: int = 3, batch: int = 6) -> Any:
    """A net whose weights are not small, a batch and its labels."""
    net = TwoLayerNet(inputs, hidden, classes, weight_init_std=0.7, seed=seed)
    rng = np.random.default_rng(seed + 1)
    state = net.state()
    net.load_state(state | {b: rng.normal(size=state[b].shape) for b in ("b1", "b2")})
    return net, rng.normal(size=(batch, inputs)), rng.integers(0, classes, batch)


@given(shape=SHAPES, classes=st.integers(2, 5), seed=SEEDS)
def test_two_layer_net_is_the_tutorial_s(
    shape: tuple[int, int, int], classes: int, seed: int
) -> None:
    batch, inputs, hidden = shape
    net, x, labels = problem(seed, inputs, hidden, classes, batch)
    t = np.eye(classes)[labels]
    loss, expected = net_by_hand(net.state(), x, t)
    for targets in (labels, t):
        assert net.loss(x, targets).data == pytest.approx(loss, rel=1e-12)
        gradient = net.gradient(x, targets)
        assert list(gradient) == NAMES
        # What nearly cancels in a gradient is exact to the size of what cancels.
        size = max(abs(each).max() for each in expected.values())
        for name in NAMES:
            assert gradient[name].shape == expected[name].shape
            assert np.all(abs(gradient[name] - expected[name]) <= 1e-12 * size)


def test_the_gradient_is_the_measured_one_parameter_by_parameter() -> None:
    net, x, t = problem(3)
    before = net.state()
    gradient, measured = net.gradient(x, t), net.numerical_gradient(x, t)
    assert list(measured) == NAMES
    assert sum(each.size for each in measured.values()) == 5 * 4 + 4 + 4 * 3 + 3
    for name in NAMES:
        assert close(gradient[name], measured[name], 1e-8), name
        assert np.array_equal(net.state()[name], before[name])
    assert {value.grad for value in net.parameters()} == {None}


# ------------------------------------------------------------------------------- layers in a chain
def layer_by_layer(chain: list[BatchLayer], last: SoftmaxWithLoss, x: Any, t: Any) -> Any:
    """As the tutorial does it; the gradient with respect to x."""
    for layer in chain:
        x = layer.forward(x)
    last.forward(x, t)
    dout = last.backward()
    for layer in reversed(chain):
        dout = layer.backward(dout)
    return dout


def test_layer_by_layer_gives_the_gradient_of_the_whole() -> None:
    net, x, t = problem(4)
    assert list(net.layers) == ["Affine1", "ReLU1", "Affine2"]
    dx = layer_by_layer(list(net.layers.values()), net.last_layer, x, t)
    first, second = net.layers["Affine1"], net.layers["Affine2"]
    gradient = net.gradient(x, t)
    for name, found in zip(NAMES, [first.dW, first.db, second.dW, second.db], strict=True):
        assert close(found, gradient[name]), name
    values = microbp.array(x)
    assert close(dx, grad(net.loss(values, t), values))


def test_what_forward_returns_is_part_of_one_graph() -> None:
    net, x, t = problem(5)
    values = out = microbp.array(x)
    for layer in net.layers.values():
        out = layer.forward(out)
    loss = net.last_layer.forward(out, t)
    assert loss.data == net.loss(x, t).data
    loss.backward()
    gradient = net.gradient(x, t)
    for name, parameter in net.params.items():
        assert np.array_equal(grad_of(parameter), gradient[name])
    assert grad_of(values).shape == x.shape


def test_a_weight_used_in_two_layers_has_its_share_in_each() -> None:
    rng = np.random.default_rng(6)
    W, b = microbp.array(rng.normal(size=(3, 3))), microbp.array(rng.normal(size=3))
    first, second, last = Affine(W, b), Affine(W, b), SoftmaxWithLoss()
    x, t = rng.normal(size=(4, 3)), np.array([0, 1, 2, 1])
    layer_by_layer([first, Sigmoid(), second], last, x, t)
    # One after the other, with weights of their own, these are the shares.
    apart = [Affine(data_of(W), data_of(b)), Sigmoid(), Affine(data_of(W), data_of(b))]
    layer_by_layer(apart, last, x, t)
    for shared, alone in ((first, apart[0]), (second, apart[2])):
        assert isinstance(alone, Affine)
        assert close(shared.dW, alone.dW)
        assert close(shared.db, alone.db)
    whole = grad(last(second(Sigmoid()(first(x))), t), [W, b])
    assert close(np.add(first.dW, second.dW), whole[0])  # type: ignore[arg-type]
    assert close(np.add(first.db, second.db), whole[1])  # type: ignore[arg-type]


def test_a_value_that_stands_twice_in_a_batch_has_a_gradient_for_each_place() -> None:
    v = Value(2.0)
    x = microbp.array([[v, v], [v, 3.0]])
    affine = Affine([[10.0], [100.0]], [0.0])
    out = affine.forward(x)
    assert affine.backward([[1.0], [1.0]]).tolist() == [[10.0, 100.0], [10.0, 100.0]]
    assert grad(out[0, 0] + out[1, 0], v) == 120.0


def test_backward_belongs_to_the_numbers_of_forward() -> None:
    affine = Affine([[2.0]], [0.0])
    affine.forward([[3.0]])
    affine.W[0, 0].data = 100.0
    assert affine.backward([[1.0]]).tolist() == [[2.0]]
    assert data_of(affine.forward([[3.0]])).tolist() == [[300.0]]
    assert affine.backward([[1.0]]).tolist() == [[100.0]]


def test_backward_can_be_called_again() -> None:
    layer = Sigmoid()
    layer.forward([[0.0]])
    assert layer.backward([[1.0]]).tolist() == layer.backward([[1.0]]).tolist() == [[0.25]]


def test_a_call_keeps_no_record() -> None:
    layer = ReLU()
    layer.forward([[1.0]])
    layer(np.array([[-1.0, 2.0]]))
    assert layer.backward([[5.0]]).tolist() == [[5.0]]


def test_a_forward_that_fails_leaves_the_record_before() -> None:
    affine = Affine([[2.0]], [0.0])
    affine.forward([[3.0]])
    with pytest.raises(ValueError, match="takes a batch"):
        affine.forward([[3.0, 4.0]])
    assert affine.backward([[1.0]]).tolist() == [[2.0]]


def test_gradients_of_a_layer_leave_grad_alone() -> None:
    affine = Affine([[2.0]], [0.5])
    affine.forward([[3.0]])
    affine.backward([[1.0]])
    assert [value.grad for value in affine.parameters()] == [None, None]


def test_a_layer_of_one_s_own_states_the_function_alone() -> None:
    class Softsign(BatchLayer):
        def __call__(self, x: Any) -> Any:
            x = microbp.array(x)
            return x / (1.0 + abs(x))

    x = np.array([[0.5, -2.0, 3.0]])
    layer = Softsign()
    assert close(data_of(layer.forward(x)), x / (1.0 + abs(x)))
    assert close(layer.backward([[1.0, 2.0, 3.0]]), np.array([1.0, 2.0, 3.0]) / (1.0 + abs(x)) ** 2)


# ------------------------------------------------------------------------ the tutorial's two mistakes
class MaskedReLU:
    """The tutorial's, mistakes and all."""

    def forword(self, x: Any) -> Any:
        self.mask = x < 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Any) -> Any:
        dout[self.mask] = 0
        return dout


def test_forward_is_spelt_right_in_every_layer() -> None:
    for layer in (Affine, ReLU, Sigmoid, SoftmaxWithLoss):
        assert callable(layer.forward)
        assert not hasattr(layer, "forword")
    assert not hasattr(MaskedReLU, "forward")


def test_relu_does_not_overwrite_the_caller_s_dout() -> None:
    x, dout = np.array([[1.0, -2.0]]), np.array([[3.0, 4.0]])
    relu, theirs = ReLU(), MaskedReLU()
    relu.forward(x)
    dx = relu.backward(dout)
    assert dx.tolist() == [[3.0, 0.0]]
    assert dout.tolist() == [[3.0, 4.0]]
    assert not np.shares_memory(dx, dout)
    theirs.forword(x)
    assert theirs.backward(dout) is dout
    assert dout.tolist() == [[3.0, 0.0]]  # and so the branch beside it gets a wrong gradient


def test_no_layer_changes_what_it_is_given() -> None:
    rng = np.random.default_rng(7)
    x, t = rng.normal(size=(4, 3)), np.array([0, 1, 2, 1])
    W, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    kept = copy.deepcopy([x, t, W, b])
    layer_by_layer([Affine(W, b), ReLU(), Sigmoid()], SoftmaxWithLoss(), x, t)
    assert all(np.array_equal(now, then) for now, then in zip([x, t, W, b], kept, strict=True))


def test_at_0_relu_has_the_derivative_of_the_table() -> None:
    relu, theirs = ReLU(), MaskedReLU()
    relu.forward([[0.0, -0.0]])
    theirs.forword(np.array([[0.0, -0.0]]))
    assert relu.backward([[1.0, 1.0]]).tolist() == [[0.0, 0.0]]
    assert theirs.backward(np.array([[1.0, 1.0]])).tolist() == [[1.0, 1.0]]


# -------------------------------------------------------------------------- numbers at the far ends
def test_nothing_overflows() -> None:
    sigmoid, last = Sigmoid(), SoftmaxWithLoss()
    assert data_of(sigmoid.forward([[1000.0, -1000.0]])).tolist() == [[1.0, 0.0]]
    assert sigmoid.backward([[1.0, 1.0]]).tolist() == [[0.0, 0.0]]
    assert last.forward([[1000.0, -1000.0]], [1]).data == 2000.0
    assert last.backward().tolist() == [[1.0, -1.0]]


def test_nan_that_comes_in_goes_out() -> None:
    x = np.array([[math.nan, 1.0]])
    for layer in (ReLU(), Sigmoid()):
        out = data_of(layer.forward(x))
        assert math.isnan(out[0, 0])
        assert out[0, 1] > 0.0
        assert math.isnan(layer.backward([[1.0, 1.0]])[0, 0])
    net, _, _ = problem(8, inputs=2)
    assert math.isnan(net.loss(x, [0]).data)
    assert np.isnan(net.gradient(x, [0])["W1"]).any()
    assert math.isnan(net.accuracy(np.array([[math.nan, 1.0], [0.0, 0.0]]), [0, 0]))


# -------------------------------------------------------------------------------------- TwoLayerNet
def test_its_parameters_are_named_by_their_paths() -> None:
    net = TwoLayerNet(2, 3, 2)
    assert list(net.params) == list(net.state()) == NAMES
    assert {name: array.shape for name, array in net.params.items()} == {
        "W1": (2, 3), "b1": (3,), "W2": (3, 2), "b2": (2,),
    }  # fmt: skip
    named = net.named_parameters()
    assert list(named)[:4] == ["W1.0.0", "W1.0.1", "W1.0.2", "W1.1.0"]
    assert list(named)[6:10] == ["b1.0", "b1.1", "b1.2", "W2.0.0"]
    assert [value.name for value in net.parameters()] == list(named)
    assert len(named) == 6 + 3 + 6 + 2
    assert net.params["W1"][1, 2] is named["W1.1.2"]
    assert net.layers["Affine1"].W is net.params["W1"]


def test_its_graph_has_one_dot_for_each_neuron_and_sample() -> None:
    net, x, t = problem(9, inputs=5, hidden=4, classes=3, batch=6)
    graph = Graph(net.loss(x, t))
    assert Counter(node.rule.name if node.rule else "" for node in graph) == {
        "dot": 6 * (4 + 3), "relu": 6 * 4, "cross_entropy": 6, "sum": 1, "div": 1,
        "": 5 * 4 + 4 + 4 * 3 + 3,
    }  # fmt: skip


def test_its_weights_are_normal_and_its_biases_0() -> None:
    net = TwoLayerNet(64, 50, 10, seed=2)
    rng, state = np.random.default_rng(2), net.state()
    assert np.array_equal(state["W1"], 0.01 * rng.normal(size=(64, 50)))
    assert np.array_equal(state["W2"], 0.01 * rng.normal(size=(50, 10)))
    assert not state["b1"].any()
    assert not state["b2"].any()
    wide = TwoLayerNet(64, 50, 10, weight_init_std=3, seed=2).state()
    assert close(wide["W1"], 300.0 * state["W1"])


def test_the_same_seed_gives_the_same_weights_and_a_generator_goes_on() -> None:
    def weights(**options: Any) -> list[float]:
        return [value.data for value in TwoLayerNet(3, 4, 2, **options).parameters()]

    assert weights(seed=5) == weights(seed=5) == weights(rng=np.random.default_rng(5))
    assert weights(seed=0) != weights(seed=1)
    rng = np.random.default_rng(5)
    assert weights(rng=rng) != weights(rng=rng)


def test_without_a_seed_python_s_random_rules() -> None:
    random.seed(7)
    first, second = TwoLayerNet(3, 4, 2).state(), TwoLayerNet(3, 4, 2).state()
    assert first["W1"][0, 0] != second["W1"][0, 0]
    random.seed(7)
    assert np.array_equal(TwoLayerNet(3, 4, 2).state()["W2"], first["W2"])
    assert np.array_equal(TwoLayerNet(3, 4, 2).state()["W2"], second["W2"])


def test_predict_gives_logits() -> None:
    net, x, _ = problem(10)
    state = net.state()
    logits = net.predict(x)
    hidden = np.maximum(0.0, x @ state["W1"] + state["b1"])
    assert isinstance(logits, Array)
    assert close(data_of(logits), hidden @ state["W2"] + state["b2"])


@pytest.mark.parametrize("kind", [np.int8, np.float32, np.ndarray.tolist, microbp.array, tuple])
def test_a_batch_is_anything_two_dimensional(kind: Callable[[Any], Any]) -> None:
    numbers = np.array([[1, -2, 3], [0, 5, -1]])
    net, _, _ = problem(11, inputs=3)
    expected = data_of(net.predict(numbers.astype(float)))
    assert data_of(net.predict(kind(numbers))).tolist() == expected.tolist()


def fixed_net() -> TwoLayerNet:
    """A net that says the sign: class 1 for x > 0, class 0 for x < 0, and neither at 0."""
    net = TwoLayerNet(1, 2, 2)
    W1, W2 = [[1.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]
    net.load_state({"W1": W1, "b1": [0.0, 0.0], "W2": W2, "b2": [0.0, 0.0]})
    return net


def test_accuracy_of_labels_and_of_one_hot_rows() -> None:
    net, x = fixed_net(), np.array([[3.0], [-1.0], [2.0], [-5.0]])
    labels = [1, 0, 0, 0]
    for t in (labels, tuple(labels), np.array(labels), np.array(labels)[:, None], np.eye(2)[labels]):
        assert net.accuracy(x, t) == 0.75
    assert net.accuracy(x, [1, 0, 1, 0]) == 1.0
    assert net.accuracy(x, [0, 1, 0, 1]) == 0.0
    assert type(net.accuracy(x, labels)) is float


def test_of_equal_logits_the_first_counts() -> None:
    net = fixed_net()
    assert net.accuracy([[0.0]], [0]) == 1.0
    assert net.accuracy([[0.0]], [1]) == 0.0


def test_accuracy_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def spy(logits: Any, t: Any) -> Value:
        seen.extend(logits.flat)
        return losses.softmax_cross_entropy(logits, t)

    monkeypatch.setattr(layers, "softmax_cross_entropy", spy)
    fixed_net().accuracy([[3.0]], [1])
    assert [(value.data, value.is_leaf) for value in seen] == [(0.0, True), (3.0, True)]


def test_it_learns_in_four_steps() -> None:
    rng = np.random.default_rng(12)
    x = rng.normal(size=(60, 2))
    t = (x[:, 0] * x[:, 1] > 0.0).astype(int)  # no straight line parts them
    net = TwoLayerNet(2, 8, 2, weight_init_std=1.0, seed=1)
    costs = []
    for _ in range(150):
        batch = rng.choice(60, 15, replace=False)
        gradient = net.gradient(x[batch], t[batch])
        net.load_state({name: w - 0.5 * gradient[name] for name, w in net.state().items()})
        costs.append(net.loss(x[batch], t[batch]).data)
    assert np.mean(costs[-20:]) < 0.25 * np.mean(costs[:5])
    assert net.accuracy(x, t) > 0.95


def test_state_save_and_load(tmp_path: Path) -> None:
    net, x, _ = problem(13)
    other = TwoLayerNet(5, 4, 3)
    net.save(tmp_path / "net.npz")
    other.load(tmp_path / "net.npz")
    assert data_of(other.predict(x)).tolist() == data_of(net.predict(x)).tolist()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        TwoLayerNet(5, 6, 3).load(tmp_path / "net.npz")
    assert str(caught.value) == (
        f"{tmp_path / 'net.npz'}: this state does not fit the module: "
        "W1 has shape (5, 6) here and (5, 4) there; "
        "W2 has shape (6, 3) here and (4, 3) there; b1 has shape (6,) here and (4,) there"
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_independent(copied: Callable[[Any], Any]) -> None:
    net, x, t = problem(14)
    layer_by_layer(list(net.layers.values()), net.last_layer, x, t)
    twin, before = copied(net), net.loss(x, t).data
    assert twin.loss(x, t).data == before
    assert twin.layers["Affine1"].W is twin.params["W1"]
    assert np.array_equal(twin.layers["Affine2"].dW, net.layers["Affine2"].dW)
    assert np.array_equal(twin.last_layer.backward(), net.last_layer.backward())
    for value in twin.parameters():
        value.data = 0.0
    assert net.loss(x, t).data == before


def test_zero_grad_and_freeze() -> None:
    net, x, t = problem(15)
    net.loss(x, t).backward()
    assert grad_of(net.params["W2"]).shape == (4, 3)
    net.zero_grad()
    assert {value.grad for value in net.parameters()} == {None}
    net.freeze()
    with pytest.raises(NoGradientError, match=r"^W1\.0\.0 = .* is frozen \(requires_grad is False\)$"):
        net.gradient(x, t)
    net.freeze(False)
    assert list(net.gradient(x, t)) == NAMES


# ----------------------------------------------------------------------------------- what is refused
def test_the_book_s_loop_updates_the_parameters() -> None:
    net, x, t = problem(16)
    costs, names = [], [value.name for value in net.parameters()]
    for _ in range(20):
        before, gradient = net.state(), net.gradient(x, t)
        for name in NAMES:
            net.params[name] -= 0.1 * gradient[name]
        costs.append(net.loss(x, t).data)
        assert all(np.array_equal(net.state()[name], before[name] - 0.1 * gradient[name]) for name in NAMES)
    assert costs == sorted(costs, reverse=True)
    assert [value.name for value in net.parameters()] == names
    assert all(value.is_leaf and value.requires_grad for value in net.parameters())


def test_the_arrays_that_affine_is_given_stay_writeable() -> None:
    W, b = microbp.array([[1.0]]), np.array([0.0])
    Affine(W, b)
    W[0, 0], b[0] = Value(2.0), 3.0
    assert data_of(W).tolist() == [[2.0]]


def test_affine_keeps_values_and_their_names() -> None:
    w, b = Value(2.0, name="w"), Value(0.5)
    affine = Affine([[w, 3.0]], [b, 1.0])
    assert affine.W[0, 0] is w
    assert affine.parameters() == [w, affine.W[0, 1], b, affine.b[1]]
    assert [value.name for value in affine.parameters()] == ["w", "W[0,1]", None, "b[1]"]
    assert list(affine.named_parameters()) == ["W.0.0", "W.0.1", "b.0", "b.1"]


BATCH = "takes a batch of shape (samples, "


@at_once(
    [
        (lambda: Affine([1.0], [1.0]),
         "Affine: W of shape (1,) and b of shape (1,) do not fit; W is (inputs, outputs), b (outputs,)"),
        (lambda: Affine(np.ones((2, 3)), np.ones(2)),
         "Affine: W of shape (2, 3) and b of shape (2,) do not fit; W is (inputs, outputs), b (outputs,)"),
        (lambda: Affine(np.ones((2, 3)), 0.0),
         "Affine: W of shape (2, 3) and b of shape () do not fit; W is (inputs, outputs), b (outputs,)"),
        (lambda: Affine(np.ones((0, 3)), np.ones(3)),
         "Affine: W of shape (0, 3) and b of shape (3,) do not fit; W is (inputs, outputs), b (outputs,)"),
        (lambda: Affine([[1.0]], [0.0]).forward([[1.0, 2.0]]), f"Affine {BATCH}1), not one of shape (1, 2)"),
        (lambda: Affine([[1.0]], [0.0])([[1.0, 2.0]]), f"Affine {BATCH}1), not one of shape (1, 2)"),
        (lambda: Affine([[1.0]], [0.0]).forward([1.0]),
         f"Affine {BATCH}inputs), not one of shape (1,); x[None] makes a batch of one sample"),
        (lambda: ReLU().forward(3.0), f"ReLU {BATCH}inputs), not one of shape ()"),
        (lambda: Sigmoid().forward(np.ones((2, 2, 2))),
         f"Sigmoid {BATCH}inputs), not one of shape (2, 2, 2)"),
        (lambda: ReLU().forward(np.ones((0, 3))), "ReLU: the batch is empty (shape (0, 3))"),
        (lambda: Sigmoid()(np.ones((3, 0))), "Sigmoid: the batch is empty (shape (3, 0))"),
        (lambda: ReLU().forward([]),
         f"ReLU {BATCH}inputs), not one of shape (0,); x[None] makes a batch of one sample"),
        (lambda: TwoLayerNet(3, 2, 2).predict(np.ones((4, 2))),
         f"Affine {BATCH}3), not one of shape (4, 2)"),
        (lambda: TwoLayerNet(3, 2, 2).gradient(np.ones((0, 3)), []),
         "Affine: the batch is empty (shape (0, 3))"),
        (lambda: TwoLayerNet(3, 2, 2).accuracy(np.ones((0, 3)), []),
         "Affine: the batch is empty (shape (0, 3))"),
        (lambda: TwoLayerNet(0, 2, 2), "input_size is a whole number of at least 1, not 0"),
        (lambda: TwoLayerNet(3, 2.5, 2),  # type: ignore[arg-type]
         "hidden_size is a whole number of at least 1, not 2.5"),
        (lambda: TwoLayerNet(3, 2, -1), "output_size is a whole number of at least 1, not -1"),
        (lambda: TwoLayerNet(3, 2, 2, -0.01), "weight_init_std is a finite number from 0 up, not -0.01"),
        (lambda: TwoLayerNet(3, 2, 2, math.nan), "weight_init_std is a finite number from 0 up, not nan"),
        (lambda: TwoLayerNet(3, 2, 2, math.inf), "weight_init_std is a finite number from 0 up, not inf"),
    ]
)  # fmt: skip
def test_what_does_not_fit_is_refused(ask: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        ask()
    assert str(caught.value) == text


GIVE = "Give class indices of shape (3,), or probabilities of the predictions' shape"


@pytest.mark.parametrize("method", ["loss", "gradient", "accuracy", "numerical_gradient"])
@pytest.mark.parametrize(
    ("t", "text"),
    [
        ([0, 1], f"predictions of shape (3, 4) do not fit targets of shape (2,). {GIVE}"),
        (np.eye(3), f"predictions of shape (3, 4) do not fit targets of shape (3, 3). {GIVE}"),
        ([0, 4, 1], "the target at [1] is 4.0; the net has 4 outputs, so that classes are 0 to 3"),
        ([0, 1, -1], "the target at [2] is -1.0; the net has 4 outputs, so that classes are 0 to 3"),
        ([0, 1.5, 1], "the target at [1] is 1.5; a class index is a whole number"),
        ([0, 1, math.nan], "the target at [2] is nan; a target is a finite number"),
    ],
)  # fmt: skip
def test_targets_that_do_not_fit_are_refused(method: str, t: Any, text: str) -> None:
    net, x, _ = problem(17, classes=4, batch=3)
    before = net.state()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        getattr(net, method)(x, t)
    assert str(caught.value) == f"softmax_cross_entropy: {text}"
    assert all(np.array_equal(net.state()[name], before[name]) for name in NAMES)


def test_rows_that_are_no_distribution_are_refused() -> None:
    net, x, _ = problem(18, classes=3, batch=2)
    with pytest.raises(ValueError, match=r"the targets of sample 1 sum to 2\.0; the probabilities of"):
        net.loss(x, [[0, 1, 0], [1, 1, 0]])


@pytest.mark.parametrize("x", [[["1.0"]], [[None]], [[1j]], np.array([[True]])])
def test_what_is_no_number_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="takes a real number, not"):
        ReLU().forward(x)


@pytest.mark.parametrize(
    ("dout", "shape"),
    [(1.0, "()"), ([1.0, 2.0], "(2,)"), ([[1.0], [2.0]], "(2, 1)"), ([[[1.0, 2.0]]], "(1, 1, 2)")],
)
def test_a_dout_of_another_shape_is_refused(dout: Any, shape: str) -> None:
    affine = Affine([[1.0, 2.0]], [0.0, 0.0])
    affine.forward([[3.0]])
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        affine.backward(dout)
    assert str(caught.value) == (
        f"Affine.backward: dout has the shape {shape}, but the output of forward, whose gradient it is, "
        "has (1, 2)"
    )
    assert affine.dW is None


def test_backward_without_a_forward_is_refused() -> None:
    with pytest.raises(NoGradientError) as caught:
        Sigmoid().backward([[1.0]])
    assert str(caught.value) == "Sigmoid.backward() differentiates what forward(x) did: call it first"
    layer = SoftmaxWithLoss()
    layer(np.ones((1, 2)), [0])  # a call is no forward
    with pytest.raises(NoGradientError, match=r"^SoftmaxWithLoss\.backward\(\) differentiates"):
        layer.backward()


@pytest.mark.parametrize("layer", [Affine([[1.0]], [0.0]), ReLU(), Sigmoid()])
def test_backward_of_a_forward_that_recorded_nothing_is_refused_rather_than_0(layer: BatchLayer) -> None:
    with no_grad():
        layer.forward([[1.0]])
    with pytest.raises(NoGradientError) as caught:
        layer.backward([[1.0]])
    who = type(layer).__name__
    assert str(caught.value) == f"{who}.backward() has no record: forward was called under no_grad()"


# --------------------------------------------------------------------- a planted error is seen here
def planted(name: str, right: str, wrong: str) -> Any:
    """An operation of the table with one derivative that is wrong by 0.05 %."""
    rule = RULES[name]
    d = [str(each) for each in rule.d]
    assert right in d
    d = [wrong if each == right else each for each in d]
    over = " ".join(rule.over)
    return row(f"planted_{name}", " ".join(rule.args), str(rule.y), tuple(d), rule.doc, over=over)


SIGMOID, RELU = str(RULES["sigmoid"].d[0]), str(RULES["relu"].d[0])


@pytest.mark.parametrize(
    ("place", "name", "right", "wrong", "agrees"),
    [
        ("_DOT", "dot", "x", "x * 1.0005", agrees_affine),
        ("_DOT", "dot", "w", "w * 1.0005", agrees_affine),
        ("_DOT", "dot", "1.0", "1.0005", agrees_affine),
        ("_SIGMOID", "sigmoid", SIGMOID, "y * (1.0 - y) * 1.0005", agrees_sigmoid),
        ("_RELU", "relu", RELU, "1.0005 if a > 0.0 else 0.0", agrees_relu),
    ],
)
def test_a_wrong_derivative_is_seen_by_the_formulas(
    monkeypatch: pytest.MonkeyPatch, place: str, name: str, right: str, wrong: str, agrees: Any
) -> None:
    rule, shape = planted(name, right, wrong), (3, 4, 2)
    assert agrees(shape, 1)
    monkeypatch.setattr(layers, place, rule)
    assert not agrees(shape, 1)


@pytest.mark.parametrize(
    ("place", "name", "right", "wrong", "seen"),
    [
        ("_DOT", "dot", "x", "x * 1.0005", ["W1", "W2"]),
        ("_DOT", "dot", "w", "w * 1.0005", ["W1", "b1"]),
        ("_DOT", "dot", "1.0", "1.0005", ["b1", "b2"]),
        ("_RELU", "relu", RELU, "1.0005 if a > 0.0 else 0.0", ["W1", "b1"]),
    ],
)
def test_a_wrong_derivative_is_seen_by_measuring_it(
    monkeypatch: pytest.MonkeyPatch, place: str, name: str, right: str, wrong: str, seen: list[str]
) -> None:
    rule = planted(name, right, wrong)
    net, x, t = problem(3)
    monkeypatch.setattr(layers, place, rule)
    gradient, measured = net.gradient(x, t), net.numerical_gradient(x, t)
    assert [name for name in NAMES if not close(gradient[name], measured[name], 1e-8)] == seen
