"""Steps on one vector of all parameters, recorded or replayed: the optimiser's own, and nothing is lost."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microbp import MLP, Value
from microbp.losses import hinge
from microbp.optim import SGD, Adam, AdamW, Cosine, Linear, Optimiser, WarmUp, clip_gradients
from microbp.training import NotFinite, fit

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
ENGINES = ["replay", "eager"]


def make(frozen: bool = True) -> MLP:
    net = MLP(2, [4, 1], activation="tanh", seed=3)
    if frozen:
        for each in net.parameters()[3:5]:
            each.requires_grad = False
    return net


def run(engine: str, optimiser: Any, **options: Any) -> Any:
    """All that a run leaves behind, and how it ended if it did not come to its end."""
    net = make()
    made = optimiser(net)
    told = ""
    try:
        history = fit(net, X, Y, optimiser=made, engine=engine, **{"loss": "hinge", "epochs": 12, **options})
    except (NotFinite, RuntimeError) as error:
        history, told = getattr(error, "history", None), str(error)
    values = [(each.data, each.grad) for each in net.parameters()]
    return values, made.state(), history, told


def same(optimiser: Any, **options: Any) -> Any:
    """What a replayed run leaves behind, which is what an eager one does."""
    (values, state, history, told), (theirs, their_state, expected, their_words) = (
        run(engine, optimiser, **options) for engine in ENGINES
    )
    assert [grad is None for _, grad in values] == [grad is None for _, grad in theirs]
    for ours, eager in zip(values, theirs, strict=True):
        assert [each or 0.0 for each in ours] == pytest.approx([each or 0.0 for each in eager], rel=1e-9)
    close = {"rel": 1e-9, "abs": 1e-15}
    assert np.array(state.pop("memory")) == pytest.approx(np.array(their_state.pop("memory")), **close)
    assert state == their_state
    assert told == their_words
    if history:
        found, wanted = asdict(history), asdict(expected)
        for name in ("engine", "why", "message"):
            found.pop(name), wanted.pop(name)
        for name in [name for name, each in wanted.items() if isinstance(each, list)]:
            assert found.pop(name) == pytest.approx(wanted.pop(name), rel=1e-9)
        assert found == wanted
    return values, state, history, told


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("clip", [None, 0.2])
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_run_is_the_steps_of_its_optimiser(kind: str, clip: float | None, engine: str) -> None:
    optimiser, settings = OPTIMISERS[kind]

    def made(net: Any) -> Optimiser:
        return optimiser(net.parameters(), lr=Cosine(0.1, steps=100), **settings)

    (values, state, history, _) = run(engine, made, clip=clip)
    net = make()
    by_hand = made(net)
    for _ in range(12):
        by_hand.zero_grad()
        hinge([[net(x)] for x in X], Y).backward()
        if clip:
            clip_gradients(net.parameters(), clip)
        by_hand.step()
    exact = {"rel": 1e-9 if engine == "replay" else 0.0, "abs": 0.0}
    assert [data for data, _ in values] == pytest.approx([each.data for each in net.parameters()], **exact)
    assert [grad or 0.0 for _, grad in values] == pytest.approx(
        [each.grad or 0.0 for each in net.parameters()], **exact
    )
    assert np.array(state["memory"]) == pytest.approx(np.array(by_hand.state()["memory"]), **exact)
    assert [grad for _, grad in values[3:5]] == [None, None]
    assert history.engine == engine


def test_an_optimiser_of_some_parameters_in_an_order_of_its_own() -> None:
    values, *_ = same(
        lambda net: SGD(net.parameters()[:4:-2] + net.parameters()[:2], lr=0.1, momentum=0.5), clip=0.1
    )
    assert values[2][0] == make().parameters()[2].data
    assert values[2][1] is not None


def test_a_memory_of_parameters_that_were_updated_unequally_often() -> None:
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

    same(made)


def test_a_wrong_step_on_arrays_is_seen() -> None:
    class Wrong(SGD):
        elementwise = True

        def update(self, p: Any, g: Any, memory: Any, lr: float) -> Any:
            data, memory = super().update(p, g, memory, lr)
            return data * (1.0 + 1e-7), memory

    right, wrong = (run("replay", lambda net, k=k: k(net.parameters(), lr=0.1))[0] for k in (SGD, Wrong))
    assert [data for data, _ in wrong] != pytest.approx([data for data, _ in right], rel=1e-9)


# ---------------------------------------------------------------------------------- nothing is lost
@pytest.mark.parametrize("at", [1, 2, 7])
def test_ctrl_c_leaves_the_last_whole_step_in_the_net(tmp_path: Path, at: int) -> None:
    def striking(step: int) -> float:
        if step == at:
            signal.raise_signal(signal.SIGINT)
        return 0.1

    _, state, history, _ = same(
        lambda net: SGD(net.parameters(), lr=striking, momentum=0.9),
        keep="last", checkpoint=tmp_path / "run.json",
    )  # fmt: skip
    assert history.stopped == "interrupted"
    assert state["steps"] == at + 1


def test_an_error_in_a_schedule_leaves_the_steps_before_it() -> None:
    def broken(step: int) -> float:
        if step == 5:
            raise RuntimeError("no rate")
        return 0.1

    _, state, _, told = same(lambda net: Adam(net.parameters(), lr=broken), epochs=200, batch_size=19)
    assert told == "no rate"
    assert state["steps"] == 5


@pytest.mark.parametrize(("rate", "clip"), [(1e30, None), (1e300, None), (1e160, 1e200)])
def test_what_is_not_finite_is_told_where_it_is(rate: float, clip: float | None) -> None:
    def rising(step: int) -> float:
        return 0.1 if step < 5 else rate

    told = [
        run(engine, lambda net: SGD(net.parameters(), lr=rising), loss="mean_squared_error", epochs=40,
            penalty=1.0, clip=clip)[-1]
        for engine in ENGINES
    ]  # fmt: skip
    assert "fit stopped in epoch" in told[0]
    assert told[0].partition(":")[0] == told[1].partition(":")[0]


def test_a_checkpoint_of_the_one_engine_continues_in_the_other(tmp_path: Path) -> None:
    def made(net: Any) -> Optimiser:
        return Adam(net.parameters(), lr=0.1)

    whole = run("eager", made, batch_size=6)
    for engine, other in (ENGINES, ENGINES[::-1]):
        file = tmp_path / f"{engine}.json"
        run(engine, made, batch_size=6, epochs=5, checkpoint=file, checkpoint_every=0.0)
        values, _, history, _ = run(other, made, batch_size=6, resume=file)
        assert [data for data, _ in values] == pytest.approx([data for data, _ in whole[0]], rel=1e-9)
        assert history.step_cost == pytest.approx(whole[2].step_cost, rel=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_frozen_number_is_never_written(engine: str) -> None:
    net = make(frozen=False)
    optimiser = SGD(net.parameters(), lr=0.1)
    frozen = net.parameters()[::3]
    before = [each.data for each in frozen]
    for each in frozen:
        each.requires_grad = False
    fit(net, X, Y, loss="hinge", optimiser=optimiser, epochs=5, penalty=0.5, engine=engine)
    assert [each.data for each in frozen] == before
    assert [each.grad for each in frozen] == [None] * len(frozen)


# ------------------------------------------------------------------------------- who takes arrays
def test_only_an_update_that_says_so_is_given_arrays() -> None:
    given: list[type] = []

    class Plain(Optimiser):
        def update(self, p: float, g: float, memory: Any, lr: float) -> Any:
            given.append(type(p))
            return p - lr * (g if g > 0.0 else 0.5 * g), memory

    class Whole(Plain):
        elementwise = True

        def update(self, p: Any, g: Any, memory: Any, lr: float) -> Any:
            given.append(type(p))
            return p - lr * np.where(g > 0.0, g, 0.5 * g), memory

    class Changed(Whole):
        def update(self, p: float, g: float, memory: Any, lr: float) -> Any:
            given.append(type(p))
            return p - lr * (g if g > 0.0 else 0.5 * g), memory

    results = []
    for kind, taken in ((Plain, float), (Whole, np.ndarray), (Changed, float)):
        given.clear()
        results.append(same(lambda net, k=kind: k(net.parameters(), lr=0.1)))
        assert set(given) == {taken}
    numbers = [[data for data, _ in values] for values, *_ in results]
    assert numbers[0] == numbers[1] == numbers[2]


def test_a_step_of_an_optimiser_s_own_is_taken_on_the_values() -> None:
    class Halving(SGD):
        def step(self) -> None:
            for _, each in self.parameters:
                if each.requires_grad:
                    each.data -= 0.5 * self.rate * each.grad
            self.steps += 1

    values, *_ = same(lambda net: Halving(net.parameters(), lr=0.2))
    plain, *_ = same(lambda net: SGD(net.parameters(), lr=0.1))
    assert [data for data, _ in values] == pytest.approx([data for data, _ in plain], rel=1e-12)


# ------------------------------------------------------------------------ whatever is done to a run meanwhile
@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_of_ones_own_that_fails_leaves_flags_gradients_and_memory(engine: str) -> None:
    class Failing(SGD):
        def step(self) -> None:
            if self.steps < 2:
                return super().step()
            first = self.parameters[0][1]
            first.data, first.grad, self.steps = 7.0, 99.0, 55
            first.requires_grad = False
            self._memory *= 2.0
            raise RuntimeError("lost")

    net, right = make(frozen=False), make(frozen=False)
    failing = Failing(net.parameters(), lr=0.1, momentum=0.9)
    ours = SGD(right.parameters(), lr=0.1, momentum=0.9)
    fit(right, X, Y, loss="hinge", optimiser=ours, epochs=2, engine=engine)
    kept = [each.data for each in right.parameters()], ours._memory.tolist()
    fit(right, X, Y, loss="hinge", optimiser=ours, epochs=1, engine=engine)  # its gradients are the third's
    with pytest.raises(RuntimeError, match="lost"):
        fit(net, X, Y, loss="hinge", optimiser=failing, epochs=6, engine=engine)
    assert ([each.data for each in net.parameters()], failing._memory.tolist()) == kept
    assert failing.steps == 2
    assert all(each.requires_grad for each in net.parameters())
    grads, expected = ([each.grad for each in made.parameters()] for made in (net, right))
    assert grads == pytest.approx(expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_optimiser_is_asked_for_its_state_by_checkpoints_only(engine: str) -> None:
    class Silent(SGD):
        def state(self) -> dict[str, Any]:
            raise RuntimeError("asked")

        def step(self) -> None:
            super().step()

    net, right = make(), make()
    fit(net, X, Y, loss="hinge", optimiser=Silent(net.parameters(), lr=0.1), epochs=3, engine=engine)
    fit(right, X, Y, loss="hinge", optimiser=SGD(right.parameters(), lr=0.1), epochs=3, engine=engine)
    assert [each.data for each in net.parameters()] == [each.data for each in right.parameters()]


@pytest.mark.parametrize("engine", ENGINES)
def test_targets_that_are_changed_meanwhile_are_not_what_is_learned(engine: str) -> None:
    targets = Y.astype(float)

    def spoiling(step: int) -> float:
        if step:  # the first is asked for before the run
            targets[:] = 0.5
        return 0.1

    net, right = make(), make()
    options: dict[str, Any] = {"loss": "hinge", "engine": engine, "epochs": 5}
    found = fit(net, X, targets, optimiser=SGD(net.parameters(), spoiling), **options)
    expected = fit(right, X, Y, optimiser=SGD(right.parameters(), 0.1), **options)
    assert targets[0] == 0.5
    assert found.cost == pytest.approx(expected.cost, rel=1e-12)


class Changing:
    """A net that changes its first parameter in each call: it shrinks, or is set without being read."""

    def __init__(self, number: float | None) -> None:
        self.w, self.number = [Value(1.0, "a"), Value(-1.0, "b")], number

    def parameters(self) -> list[Value]:
        return self.w

    def __call__(self, x: list[float]) -> Value:
        self.w[0].data = 0.99 * self.w[0].data if self.number is None else self.number
        return self.w[0] * x[0] + self.w[1] * x[1]


@pytest.mark.parametrize("number", [None, 1.0, 0.25])
@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"validation": 0.25}])
def test_a_net_that_changes_its_parameters_is_trained_as_by_eager(
    number: float | None, options: dict[str, Any]
) -> None:
    nets = Changing(number), Changing(number)
    found, expected = (
        fit(net, X, Y, loss="mean_squared_error", epochs=5, engine=engine, **options)
        for net, engine in zip(nets, ("auto", "eager"), strict=True)
    )
    assert found.engine.startswith("eager (")
    assert (found.step_cost, found.validation_cost) == (expected.step_cost, expected.validation_cost)
    assert [each.data for each in nets[0].w] == [each.data for each in nets[1].w]


def test_a_checkpoint_holds_what_the_net_itself_has_made_of_a_parameter(tmp_path: Path) -> None:
    net, path = Changing(None), tmp_path / "checkpoint.json"
    options: dict[str, Any] = {"loss": "mean_squared_error", "validation": 0.25, "keep": "last"}
    fit(net, X, Y, epochs=3, checkpoint=path, **options)
    resumed = Changing(None)
    fit(resumed, X, Y, epochs=3, resume=path, **options)
    assert [each.data for each in resumed.w] == [each.data for each in net.w]


def run_both(optimiser: Any, **options: Any) -> Any:
    """What an eager run and one by default leave behind."""
    for engine in ("eager", "auto"):
        net = make(frozen=False)
        history = fit(net, X, Y, loss="hinge", optimiser=optimiser(net), engine=engine, **options)
        yield [each.data for each in net.parameters()], history


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_schedule_that_reads_the_net_is_heard_behind_a_warm_up(batch_size: int | None) -> None:
    def optimiser(net: MLP) -> SGD:
        first = net.parameters()[0]
        return SGD(net.parameters(), WarmUp(2, WarmUp(3, lambda _: 0.1 * (1.0 + abs(first.data)))))

    (right, expected), (found, history) = run_both(optimiser, epochs=8, batch_size=batch_size)
    assert history.engine == "replay"
    assert len({*expected.learning_rate}) > 5
    assert history.learning_rate == pytest.approx(expected.learning_rate, rel=1e-12)
    assert found == pytest.approx(right, rel=1e-9)


@pytest.mark.parametrize("frozen", [lambda step: step % 3 == 0, lambda step: step % 3 != 0])
@pytest.mark.parametrize("at_first", [False, True])
def test_a_schedule_may_freeze_parameters_and_free_them(frozen: Any, at_first: bool) -> None:
    def optimiser(net: MLP) -> Adam:
        first = net.parameters()[0]
        first.requires_grad = not at_first

        def schedule(step: int) -> float:
            first.requires_grad = not frozen(step)
            return 0.1

        return Adam(net.parameters(), schedule)

    (right, _), (found, _) = run_both(optimiser, epochs=8)
    assert found == pytest.approx(right, rel=1e-9)


def test_a_net_of_batches_that_is_validated_on_several_is_not_replayed_for_single_ones() -> None:
    class Centred(Changing):
        takes_batches = True

        def __call__(self, batch: Any) -> Any:
            said = [self.w[0] * x[0] + self.w[1] * x[1] for x in batch.tolist()]
            return [[each - sum(said) / len(said) + self.w[1]] for each in said]

    options: dict[str, Any] = {"loss": "mean_squared_error", "batch_size": 1, "validation": 0.25, "epochs": 3}
    found, expected = (fit(Centred(None), X, Y, engine=each, **options) for each in ("auto", "eager"))
    assert found.engine.startswith("eager (the derivative in a = 1.0 of a batch of 5 samples is")
    assert found.validation_cost == expected.validation_cost


def test_a_schedule_that_runs_out_after_a_checkpoint_leaves_net_and_optimiser(tmp_path: Path) -> None:
    def optimiser(net: MLP) -> SGD:
        return SGD(net.parameters(), lr=Linear(0.1, final=0.0, steps=10), momentum=0.9)

    net, fresh, path = make(), make(), tmp_path / "checkpoint.json"
    fit(net, X, Y, loss="hinge", optimiser=optimiser(net), epochs=5, checkpoint=path)
    late = optimiser(fresh)
    with pytest.raises(ValueError, match="50 epochs end with step 50 of the optimiser"):
        fit(fresh, X, Y, loss="hinge", optimiser=late, epochs=50, resume=path)
    assert [each.data for each in fresh.parameters()] == [each.data for each in make().parameters()]
    assert late.state() == optimiser(make()).state()
