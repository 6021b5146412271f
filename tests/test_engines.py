"""Training by replay: the eager engine's numbers, and stepping aside where a net cannot be replayed."""

from __future__ import annotations

import re
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Centred

import microbp
from microbp import MLP, Value
from microbp.layers import TwoLayerNet
from microbp.losses import LOSSES
from microbp.nn import Module, Neuron
from microbp.optim import SGD, Adam, AdamW
from microbp.training import NotFinite, fit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2))
SIGN = np.where(X[:, 0] * X[:, 1] > 0.0, 1, -1)
TARGETS: dict[str, tuple[int, Any]] = {
    "hinge": (1, SIGN),
    "half_squared_error": (2, np.stack([SIGN, -SIGN], axis=1)),
    "mean_squared_error": (2, X[:, ::-1]),
    "binary_cross_entropy": (1, (SIGN + 1) // 2),
    "softmax_cross_entropy": (3, SIGN + 1),
}


def numbers(net: Any) -> list[float]:
    return [each.data for each in net.parameters()]


def both(make: Any, *data: Any, **options: Any) -> tuple[Any, Any]:
    """The histories of the two engines after the same run, which left the same numbers in the net."""
    runs = []
    for engine in ("eager", "auto"):
        net = make()
        kind = options.get("kind", SGD)
        settings = {key: each for key, each in options.items() if key != "kind"}
        runs.append(
            (net, fit(net, *data, optimiser=kind(net.parameters(), lr=0.1), engine=engine, **settings))
        )
    (eager, expected), (net, history) = runs
    assert numbers(net) == pytest.approx(numbers(eager), rel=1e-9)
    assert history.step_cost == pytest.approx(expected.step_cost, rel=1e-9)
    assert history.validation_cost == pytest.approx(expected.validation_cost, rel=1e-9)
    assert expected.engine == "eager"
    return expected, history


@pytest.mark.parametrize("batch_size", [None, 7, 1])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_hundred_steps_equal_the_eager_ones(loss: str, batch_size: int | None) -> None:
    width, targets = TARGETS[loss]
    steps = 1 if batch_size is None else -(-30 // batch_size)
    _, history = both(
        lambda: MLP(2, [4, width], activation="tanh", seed=3), X, targets,
        loss=loss, epochs=-(-100 // steps), batch_size=batch_size, penalty=1e-3,
    )  # fmt: skip
    assert len(history.step_cost) >= 100
    assert history.engine == "replay"


OPTIMISERS: dict[str, Any] = {
    "momentum": partial(SGD, momentum=0.9),
    "Nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "Adam": Adam,
    "AdamW": partial(AdamW, weight_decay=0.1),
}


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_hundred_steps_of_every_optimiser_equal_the_eager_ones(kind: str, clip: float | None) -> None:
    def make() -> MLP:
        net = MLP(2, [4, 1], activation="tanh", seed=3)
        net.layers[0].neurons[1].w[0].requires_grad = False
        return net

    _, history = both(
        make, X, SIGN, loss="hinge", epochs=25, batch_size=8, clip=clip, penalty=1e-3, kind=OPTIMISERS[kind]
    )
    assert len(history.step_cost) == 100
    assert history.engine == "replay"


def test_validation_clipping_adam_and_frozen_parameters() -> None:
    def make() -> MLP:
        net = MLP(2, [4, 1], activation="silu", seed=3)
        net.layers[0].neurons[0].b.requires_grad = False
        net.layers[0].neurons[0].b.data = 0.5
        return net

    _, history = both(
        make,
        X,
        SIGN,
        loss="hinge",
        epochs=20,
        batch_size=8,
        validation=0.2,
        clip=0.5,
        penalty=0.01,
        kind=Adam,
    )
    assert history.engine == "replay"
    assert len(history.validation_cost) == 20


def test_one_hot_targets_and_probabilities() -> None:
    rows = np.eye(3)[SIGN + 1] * 0.9 + 0.1 / 3
    _, history = both(lambda: MLP(2, [3], seed=1), X, rows, loss="softmax_cross_entropy", epochs=5)
    assert history.engine == "replay"


def test_a_net_for_batches_is_traced_with_a_batch_of_one() -> None:
    _, history = both(
        lambda: TwoLayerNet(2, 5, 3, 0.5, seed=4), X, SIGN + 1, loss="softmax_cross_entropy", epochs=30
    )
    assert history.engine == "replay"


def test_a_loss_of_one_s_own_is_traced_too() -> None:
    def loss(predictions: Any, targets: Any) -> Any:
        costs = [(p[0] - t) ** 2 * 3.0 for p, t in zip(predictions, targets, strict=True)]
        return microbp.sum(costs) / len(costs)

    _, history = both(lambda: MLP(2, [3, 1], activation="tanh", seed=1), X, SIGN, loss=loss, epochs=10)
    assert history.engine == "replay"


def test_samples_of_one_number_and_of_several_axes() -> None:
    class Cubic(Module):
        def __init__(self) -> None:
            self.w = [Value(0.1), Value(0.2)]

        def __call__(self, x: Any) -> Any:
            return self.w[0] * x + self.w[1] * x * x * x

    class Image(Module):
        def __init__(self) -> None:
            self.w = microbp.array([[0.1, 0.2], [0.3, 0.4]], name="w")

        def __call__(self, x: Any) -> Any:
            return microbp.dot(self.w.ravel(), [each for row in x for each in row]).tanh()

    for make, data in ((Cubic, X[:, 0]), (Image, RNG.normal(size=(30, 2, 2)))):
        _, history = both(make, data, SIGN, loss="mean_squared_error", epochs=20)
        assert history.engine == "replay"


# --------------------------------------------------------------------------------- stepping aside
class Branching(MLP):
    def __call__(self, x: Any) -> Any:
        h = super().__call__(x)
        return h if h > 0.0 else h * 0.1


class Reading(MLP):
    """Reads the numbers of its inputs."""

    def __call__(self, x: Any) -> Any:
        return super().__call__([float(each) for each in x])


class Dropout(MLP):
    """Draws anew at each call."""

    def __call__(self, x: Any) -> Any:
        self._rng = getattr(self, "_rng", np.random.default_rng(0))
        return super().__call__([each * float(self._rng.integers(1, 1000)) for each in x])


ASIDE = [
    (lambda: Branching(2, [3, 1], activation="tanh", seed=0),
     rf"eager \(the net chooses a branch: Value\(.*\) > 0.0 is (True|False) \[{__file__}:\d+\]\)"),
    (lambda: Reading(2, [3, 1], activation="tanh", seed=0),
     r"eager \(TypeError while tracing: float\(\) of x\[0\] = "),
    (Centred,
     r"eager \(the derivative in w\[0,0\] = 0\.5 of a batch of 30 samples is 0\.308387, and by replay 0\)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "why"), ASIDE)
def test_a_net_that_cannot_be_replayed_is_recorded_and_the_history_says_why(make: Any, why: str) -> None:
    expected, history = both(make, X, SIGN, loss="mean_squared_error", epochs=5)
    assert history.step_cost == expected.step_cost  # to the last bit
    assert re.fullmatch(why + ".*", history.engine)


def test_a_net_that_draws_at_random_is_found_out() -> None:
    net = Dropout(2, [3, 1], activation="tanh", seed=0)
    history = fit(net, X, SIGN, loss="mean_squared_error", epochs=2)
    why = "Dropout._rng changes with each call, and the net or the loss may depend on it"
    assert str(history).endswith(f" Each sample was recorded anew: {why}.")
    assert (history.engine, history.why) == (f"eager ({why})", why)


def test_a_loss_that_is_neither_mean_nor_sum_is_found_out() -> None:
    def root(predictions: Any, targets: Any) -> Any:
        return microbp.sum([(p[0] - t) ** 2 for p, t in zip(predictions, targets, strict=True)]).sqrt()

    _, history = both(lambda: MLP(2, [1], seed=0), X, SIGN, loss=root, epochs=3)
    assert history.why == "the loss of a batch is neither the mean nor the sum of what single samples cost"


def test_a_loss_that_is_a_sum_is_replayed_for_single_samples_too() -> None:
    def summed(predictions: Any, targets: Any) -> Any:
        return microbp.sum((p[0] - t) ** 2 for p, t in zip(predictions, targets, strict=True))

    options: Any = {"loss": summed, "epochs": 3, "batch_size": 1, "penalty": 0.01}
    expected, history = both(lambda: MLP(2, [3, 1], activation="tanh", seed=0), X, SIGN, **options)
    assert (history.engine, history.step_cost) == ("replay", pytest.approx(expected.step_cost, rel=1e-9))


def test_a_wrong_replayed_gradient_is_found_out(monkeypatch) -> None:
    right = microbp.Program.value_and_grad

    def wrong(self: Any, *batch: Any, **options: Any) -> Any:
        found = right(self, *batch, **options)
        found.gradient[0] += 1e-6
        return found

    monkeypatch.setattr(microbp.Program, "value_and_grad", wrong)
    history = fit(MLP(2, [3, 1], seed=1), X, SIGN, loss="hinge", epochs=1)
    assert history.engine.startswith("eager (the derivative in layers.0.neurons.0.w.0 = ")


@pytest.mark.parametrize(("make", "why"), ASIDE)
def test_replay_that_is_asked_for_and_cannot_be_is_an_error_before_anything_is_touched(make, why) -> None:
    net = make()
    before = numbers(net)
    told = r"^fit: engine='replay', but this run cannot be replayed: "
    with pytest.raises(ValueError, match=told) as caught:
        fit(net, X, SIGN, loss="mean_squared_error", epochs=5, engine="replay")
    reason = str(caught.value).partition("cannot be replayed: ")[2]
    told, _, advice = reason.rpartition(". ")
    assert re.fullmatch(f"{why}.*", f"eager ({told})")
    assert advice == "engine='auto' records every sample where it has to"
    assert numbers(net) == before


@pytest.mark.parametrize("first", [1, 12])
def test_an_error_of_our_own_is_not_taken_for_one_of_the_net(monkeypatch: Any, first: int) -> None:
    """Planted in code that is ours by the name of its file, while tracing and in a check later on."""
    planted: dict[str, Any] = {"right": Neuron.__call__, "calls": 0, "first": first}
    text = (
        "def call(self, x):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    if calls > first: return None + 1\n"
        "    return right(self, x)"
    )
    exec(compile(text, "<microbp planted>", "exec"), planted)
    monkeypatch.setattr(Neuron, "__call__", planted["call"])

    class Own(MLP):  # code of the user's stands between
        def __call__(self, x: Any) -> Any:
            return super().__call__(x)

    for kind in (MLP, Own):
        planted["calls"] = 0
        with pytest.raises(TypeError, match="NoneType"):
            fit(kind(2, [1], seed=1), X[:9], SIGN[:9], loss="hinge", epochs=3, seed=5)


def test_comparing_is_paid_by_the_steps_and_the_same_in_each_run() -> None:
    def compared(epochs: int) -> int:
        net = MLP(2, [8, 1], activation="tanh", seed=1)
        told = fit(net, X, SIGN, loss="hinge", batch_size=10, epochs=epochs).why
        number, text = told.split(" ", 1)
        assert text == "samples that were recorded as well agree with it"
        return int(number)

    short, longer = compared(1), compared(400)
    assert short == compared(1) <= 20
    assert longer == compared(400)
    assert 1200 / 150 < longer - short < 1200 / 25


# ---------------------------------------------------------------------------- the run around it
def test_numbers_that_are_not_finite_are_told_as_ever() -> None:
    class Root(Module):
        def __init__(self) -> None:
            self.w = Value(1.0, name="w")

        def __call__(self, x: Any) -> Any:
            return (self.w * x[0]).sqrt()

    data = [[1.0], [4.0], [2.0], [3.0], [-1.0], [9.0]]
    told = []
    for engine in ("eager", "auto"):
        with pytest.raises(NotFinite) as caught:
            fit(Root(), data, [1.0] * 6, loss="mean_squared_error", engine=engine)
        assert caught.value.sample == 4
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "sqrt(a) has no value at a = -1.0" in told[0]


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    settings: dict[str, Any] = {"loss": "hinge", "batch_size": 7, "seed": 5}
    whole = MLP(2, [4, 1], activation="tanh", seed=3)
    expected = fit(
        whole, X, SIGN, epochs=6, optimiser=SGD(whole.parameters(), lr=0.1, momentum=0.9), **settings
    )

    class Striking(SGD):
        def step(self) -> None:
            super().step()
            if self.steps == 12:
                signal.raise_signal(signal.SIGINT)

    Striking.__name__ = "SGD"
    part = MLP(2, [4, 1], activation="tanh", seed=3)
    optimiser = Striking(part.parameters(), lr=0.1, momentum=0.9)
    broken = fit(part, X, SIGN, epochs=6, optimiser=optimiser, checkpoint=file, keep="last", **settings)
    assert (broken.stopped, len(broken.step_cost)) == ("interrupted", 12)
    again = MLP(2, [4, 1], activation="tanh", seed=9)
    history = fit(
        again,
        X,
        SIGN,
        epochs=6,
        optimiser=SGD(again.parameters(), lr=0.1, momentum=0.9),
        resume=file,
        **settings,
    )
    assert numbers(again) == numbers(whole)
    assert history.step_cost == expected.step_cost
    assert history.engine == "replay"


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_run_with_a_penalty_is_resumed_bit_for_bit(tmp_path: Path, kind: Any, epochs: int) -> None:
    def run(epochs: int, **files: Any) -> tuple[list[float], list[float]]:
        net = MLP(2, [4, 1], activation="tanh", seed=3)
        history = fit(
            net, X[:17], X[:17, 0], loss="mean_squared_error", penalty=0.01, batch_size=4, epochs=epochs,
            optimiser=kind(net.parameters(), lr=0.05), **files,
        )  # fmt: skip
        return numbers(net), history.step_cost

    file = tmp_path / "run.json"
    run(epochs, checkpoint=file)
    assert run(6, resume=file) == run(6)


def test_the_net_is_not_called_for_each_step() -> None:
    net = MLP(2, [3, 1], seed=0)
    calls = []

    def count(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_locals.get("self") is net and frame.f_code.co_name == "__call__":
            calls.append(None)

    sys.setprofile(count)
    try:
        fit(net, X, SIGN, loss="hinge", epochs=50)
    finally:
        sys.setprofile(None)
    assert 30 < len(calls) < 150  # of 1500 samples; some were recorded as well, to compare
