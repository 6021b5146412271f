"""Steps on a vector of all parameters: the Values' own steps to the last bit, and the Values never lost."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microbp import MLP
from microbp.descent import VectorDescent, vectorised
from microbp.optim import SGD, Adam, AdamW, Cosine, Optimiser
from microbp.training import NotFinite, fit
from microbp.training import run as running

RNG = np.random.default_rng(1)
X = RNG.normal(size=(20, 2))
Y = np.where(X[:, 0] * X[:, 1] > 0.0, 1, -1)
OPTIMISERS: dict[str, tuple[type[Optimiser], dict[str, Any]]] = {
    "SGD": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "Nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "Adam": (Adam, {}),
    "AdamW": (AdamW, {"weight_decay": 0.1}),
}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batches": {"batch_size": 6},
    "clipped": {"clip": 0.2, "batch_size": 6},
    "penalty": {"penalty": 0.01},
    "validated": {"validation": 0.25, "batch_size": 5, "patience": 3},
    "kept": {"keep": "best"},
}


def make(frozen: bool = True) -> MLP:
    net = MLP(2, [4, 1], activation="tanh", seed=3)
    if frozen:
        for each in net.parameters()[3:5]:
            each.requires_grad = False
    return net


def everything(net: MLP, optimiser: Optimiser, history: Any) -> Any:
    """All that a run leaves behind."""
    values = [(each.data, each.grad) for each in net.parameters()]
    return values, optimiser.state(), asdict(history) if history else None


def run(monkeypatch: Any, vector: bool, optimiser: Any, **options: Any) -> Any:
    """One run, on vectors or on Values."""
    seen: list[Any] = []

    def chosen(descent: Any) -> Any:
        seen.append(vectorised(descent) if vector else descent)
        return seen[-1]

    net = make()
    made = optimiser(net)
    with monkeypatch.context() as patch:
        patch.setattr(running, "vectorised", chosen)
        try:
            history = fit(net, X, Y, **{"loss": "hinge", "epochs": 12, "optimiser": made, **options})
        except (NotFinite, RuntimeError) as error:
            return everything(net, made, getattr(error, "history", None)), str(error)
    assert isinstance(seen[-1], VectorDescent) is vector
    return everything(net, made, history), ""


def same(monkeypatch: Any, optimiser: Any, **options: Any) -> Any:
    """What both runs leave behind, which is the same to the last bit."""
    found, expected = (run(monkeypatch, vector, optimiser, **options) for vector in (True, False))
    assert found == expected
    return found


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_run_leaves_the_same_bits(monkeypatch, kind, name):
    optimiser, settings = OPTIMISERS[kind]

    def made(net: Any) -> Optimiser:
        return optimiser(net.parameters(), lr=Cosine(0.1, steps=100), **settings)

    (values, _, history), _ = same(monkeypatch, made, **RUNS[name])
    assert [grad for _, grad in values[3:5]] == [None, None]
    assert history["engine"] == "replay"


def test_an_optimiser_of_some_parameters_in_an_order_of_its_own(monkeypatch):
    (values, _, _), _ = same(
        monkeypatch, lambda net: SGD(net.parameters()[:4:-2] + net.parameters()[:2], lr=0.1, momentum=0.5),
        clip=0.1,
    )  # fmt: skip
    assert values[2][0] == make().parameters()[2].data
    assert values[2][1] is not None


def test_a_memory_of_parameters_that_were_updated_unequally_often(monkeypatch):
    def made(net: Any) -> Optimiser:
        optimiser = Adam(net.parameters(), lr=0.05)
        frozen = net.parameters()[7:]
        for each in frozen:
            each.requires_grad = False
        for each in net.parameters():
            each.grad = 0.5
        optimiser.step()
        for each in frozen:
            each.requires_grad = True
        return optimiser

    same(monkeypatch, made)


def test_a_wrong_step_on_arrays_is_seen(monkeypatch):
    class Wrong(SGD):
        elementwise = True

        def update(self, p: Any, g: Any, memory: Any, lr: float) -> Any:
            data, memory = super().update(p, g, memory, lr)
            return data * (1.0 if isinstance(p, float) else 1.0 + 2.0**-52), memory

    with pytest.raises(AssertionError):
        same(monkeypatch, lambda net: Wrong(net.parameters(), lr=0.1))


# ---------------------------------------------------------------------------------- nothing is lost
@pytest.mark.parametrize("at", [1, 2, 7])
def test_ctrl_c_leaves_the_last_whole_step_in_the_net(monkeypatch, tmp_path, at):
    def striking(step: int) -> float:
        if step == at:
            signal.raise_signal(signal.SIGINT)
        return 0.1

    file = tmp_path / "run.json"
    (_, state, history), _ = same(
        monkeypatch, lambda net: SGD(net.parameters(), lr=striking, momentum=0.9),
        keep="last", checkpoint=file,
    )  # fmt: skip
    assert history["stopped"] == "interrupted"
    assert state["steps"] == at + 1


def test_an_error_in_a_schedule_leaves_the_steps_before_it(monkeypatch):
    def broken(step: int) -> float:
        if step == 5:
            raise RuntimeError("no rate")
        return 0.1

    (_, state, _), told = same(
        monkeypatch, lambda net: Adam(net.parameters(), lr=broken), epochs=200, batch_size=19
    )
    assert told == "no rate"
    assert state["steps"] == 5


@pytest.mark.parametrize(("rate", "clip"), [(1e30, None), (1e300, None), (1e160, 1e200)])
def test_what_is_not_finite_is_told_in_the_same_words(monkeypatch, rate, clip):
    def rising(step: int) -> float:
        return 0.1 if step < 5 else rate

    _, told = same(
        monkeypatch, lambda net: SGD(net.parameters(), lr=rising), loss="mean_squared_error", epochs=40,
        penalty=1.0, clip=clip,
    )  # fmt: skip
    assert "fit stopped in epoch" in told


def test_a_checkpoint_of_the_one_continues_in_the_other(monkeypatch, tmp_path: Path):
    def made(net: Any) -> Optimiser:
        return Adam(net.parameters(), lr=0.1)

    whole, _ = run(monkeypatch, False, made, batch_size=6, checkpoint=tmp_path / "whole.json")
    for vector in (True, False):
        file = tmp_path / f"{vector}.json"
        run(monkeypatch, vector, made, batch_size=6, epochs=5, checkpoint=file, checkpoint_every=0.0)
        again, _ = run(monkeypatch, not vector, made, batch_size=6, resume=file)
        assert again == whole


def test_a_frozen_number_is_never_written():
    net = make(frozen=False)
    optimiser = SGD(net.parameters(), lr=0.1)
    frozen = net.parameters()[::3]
    before = [each.data for each in frozen]
    for each in frozen:
        each.requires_grad = False
    fit(net, X, Y, loss="hinge", optimiser=optimiser, epochs=5, penalty=0.5)
    assert [each.data for each in frozen] == before
    assert [each.grad for each in frozen] == [None] * len(frozen)


# ------------------------------------------------------------------------------- who takes arrays
def test_only_an_update_that_says_so_is_given_arrays(monkeypatch):
    class Plain(Optimiser):
        def update(self, p: float, g: float, memory: Any, lr: float) -> Any:
            return p - lr * (g if g > 0.0 else 0.5 * g), memory

    class Renamed(SGD):
        pass

    class Changed(SGD):
        def update(self, p: float, g: float, memory: Any, lr: float) -> Any:
            return super().update(p, min(g, 1.0), memory, lr)

    class Stepping(Adam):
        def step(self) -> None:
            super().step()

    kinds = (Plain, Renamed, Changed, Stepping)
    assert [kind(make().parameters(), lr=0.1).takes_arrays for kind in kinds] == [False, True, False, False]
    found, _ = run(monkeypatch, False, lambda net: Plain(net.parameters(), lr=0.1))
    net = make()
    optimiser = Plain(net.parameters(), lr=0.1)
    history = fit(net, X, Y, loss="hinge", epochs=12, optimiser=optimiser)
    assert everything(net, optimiser, history) == found
