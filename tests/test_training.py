"""fit: every way to step, to stop, to be interrupted and to go on; and what it refuses."""

from __future__ import annotations

import dataclasses
import errno
import functools
import gc
import inspect
import io
import itertools
import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
from support import at_once, pure

import microbp
from microbp import NotSavedWarning, Value, training
from microbp.layers import TwoLayerNet
from microbp.losses import half_squared_error, hinge, l2_penalty
from microbp.nn import MLP, Module
from microbp.optim import SGD, Adam, Cosine, Exponential, Linear, Optimiser, WarmUp, clip_gradients
from microbp.training import History, NotFinite
from microbp.training import run as running
from microbp.training.run import Interrupts, Run

#: With the engine that is the definition a run is known to the last bit; test_engines.py holds the other.
fit = functools.partial(training.fit, engine="eager")
FILES = {str(file) for file in Path(training.__file__).parent.glob("*.py")}

X = [[0.5, -1.0], [1.0, 0.25], [-0.75, 0.5], [0.0, 1.0], [-1.0, -0.5], [0.25, 0.75], [1.5, -0.25]]
Y = [1, -1, 1, 1, -1, -1, 1]


def small(seed=1):
    return MLP(2, [3, 1], activation="tanh", seed=seed)


def numbers(net):
    return [each.data for each in net.parameters()]


def descent(net, lr=0.1):
    return SGD(net.parameters(), lr=lr)


def by_hand(net, optimiser, batches, penalty=0.0, clip=None):
    """Training without ``fit``: the cost of each step."""
    costs = []
    for batch in batches:
        optimiser.zero_grad()
        cost = hinge([[net(X[row])] for row in batch], [Y[row] for row in batch])
        if penalty:
            cost = cost + l2_penalty(net.parameters(), penalty)
        cost.backward()
        if clip:
            clip_gradients(net.parameters(), clip)
        optimiser.step()
        costs.append(cost.data)
    return costs


class Line(Module):
    """``w·x``, with one parameter."""

    def __init__(self, w=0.0):
        self.w = Value(w, name="w")

    def __call__(self, x):
        return self.w * x[0]


# --------------------------------------------------------------------------------------- the steps
def test_full_batch_is_the_loop_that_everybody_writes():
    net, twin = small(), small()
    history = fit(net, X, Y, loss="hinge", optimiser=descent(net), epochs=5)
    costs = by_hand(twin, descent(twin), [range(7)] * 5)
    assert history.cost == history.step_cost == costs
    assert history.learning_rate == [0.1] * 5
    assert numbers(net) == numbers(twin)
    assert (history.stopped, history.kept) == ("epochs", "last")


@pytest.mark.parametrize(("size", "parts"), [(1, [1] * 7), (3, [3, 3, 1]), (5, [5, 2])])
def test_batches_are_drawn_by_the_seed_and_the_last_holds_what_is_left(size, parts):
    net, twin = small(), small()
    history = fit(net, X, Y, loss="hinge", optimiser=descent(net), epochs=3, batch_size=size, seed=8)
    generator = np.random.default_rng(8)
    orders = [generator.permutation(7).tolist() for _ in range(3)]
    batches = [order[start : start + size] for order in orders for start in range(0, 7, size)]
    assert [len(batch) for batch in batches] == parts * 3
    assert history.step_cost == by_hand(twin, descent(twin), batches)
    assert numbers(net) == numbers(twin)
    for epoch, cost in enumerate(history.cost):
        costs = history.step_cost[epoch * len(parts) : (epoch + 1) * len(parts)]
        weighted = sum(c * n for c, n in zip(costs, parts, strict=True)) / 7
        assert cost == pytest.approx(weighted, rel=1e-15)


def test_without_shuffling_the_samples_come_in_order():
    net, twin = small(), small()
    fit(net, X, Y, loss="hinge", optimiser=descent(net), epochs=2, batch_size=4, shuffle=False)
    by_hand(twin, descent(twin), [[0, 1, 2, 3], [4, 5, 6]] * 2)
    assert numbers(net) == numbers(twin)


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    costs = []
    for seed in (3, 3, 4):
        net = small()
        costs.append(fit(net, X, Y, loss="hinge", epochs=2, batch_size=2, seed=seed).step_cost)
    assert costs[0] == costs[1] != costs[2]


def test_penalty_and_clipping_are_part_of_the_step():
    net, twin = small(), small()
    settings = {"penalty": 0.01, "clip": 0.05}
    history = fit(net, X, Y, loss="hinge", optimiser=descent(net), epochs=4, **settings)
    assert history.cost == by_hand(twin, descent(twin), [range(7)] * 4, **settings)
    assert numbers(net) == numbers(twin)
    assert len(history.gradient_norm) == 4
    assert min(history.gradient_norm) > 0.05  # before clipping


def test_plain_descent_at_a_tenth_is_the_default():
    net, twin = small(), small()
    history = fit(net, X, Y, loss="hinge", epochs=2)
    assert history.step_cost == by_hand(twin, descent(twin, 0.1), [range(7)] * 2)
    assert numbers(net) == numbers(twin)


def test_a_list_that_holds_itself_is_refused():
    held = [1.0]
    held.append(held)
    for X in (held, [held, held]):
        with pytest.raises(ValueError, match="fit: the rows of X are of unequal length"):
            fit(small(), X, [1, -1], loss="hinge")


def test_a_schedule_is_followed_and_recorded():
    net = small()
    schedule = Linear(0.5, final=0.1, steps=4)
    history = fit(net, X, Y, loss="hinge", optimiser=descent(net, schedule), epochs=6)
    assert history.learning_rate == [schedule(step) for step in range(6)]
    assert history.learning_rate[-2:] == [0.1, 0.1]


@pytest.mark.parametrize("engine", ["eager", "replay"])
def test_a_schedule_of_ones_own_is_asked_once_for_each_step(engine):
    asked, net = [], small()

    def halving(step: int) -> float:
        """It may print, draw, read a clock, or count."""
        asked.append(step)
        return 0.5 / len(asked)

    history = fit(
        net, X, Y, loss="hinge", optimiser=descent(net, halving), epochs=60, engine=engine, batch_size=3
    )
    before = len(asked) - 180  # whether its rates are such, of the first step and of the last
    assert asked[before:] == [*range(180)]
    assert history.learning_rate == [0.5 / (before + k) for k in range(1, 181)]


@pytest.mark.parametrize("engine", ["eager", "replay"])
@pytest.mark.parametrize(
    ("rate", "kind", "told"),
    [
        (None, TypeError, "gives after 2 steps takes a real number, not None"),
        ("0.1", TypeError, "gives after 2 steps takes a real number, not the str '0.1'"),
        (True, TypeError, "gives after 2 steps takes a real number, not the bool True"),
        (-0.1, ValueError, "gives after 2 steps must be positive and finite, not -0.1"),
    ],
)
def test_what_a_schedule_gives_on_the_way_is_looked_at(engine, rate, kind, told):
    net = small()
    schedule = [0.1, 0.1, rate, 0.1].__getitem__
    with pytest.raises(kind, match=told):
        fit(net, X, Y, loss="hinge", optimiser=descent(net, schedule), epochs=4, engine=engine)
    if not isinstance(rate, float):
        schedule = [0.1, 0.1, rate].__getitem__
        with pytest.raises(kind, match="fit: the learning rate after 2 steps takes a real number"):
            fit(net, X, Y, loss="hinge", optimiser=descent(net, schedule), epochs=3, engine=engine)


class Tupled(NamedTuple):
    start: float

    def __call__(self, _: int) -> float:
        return self.start * following(HELD["net"])


class Counted(float):
    def __call__(self, _: int) -> float:
        return self * following(HELD["net"])


class Missing(dict):
    def __missing__(self, step: int) -> float:
        return following(HELD["net"])


class Warm(WarmUp):
    def __call__(self, _: int) -> float:
        return following(HELD["net"])


class Statically:
    @staticmethod
    def of(_: int) -> float:
        return following(HELD["net"])

    @classmethod
    def by(cls, step: int) -> float:
        return cls.of(step)

    def __call__(self, step: int) -> float:
        return self.by(step)


HELD: dict[str, MLP] = {}


def following(net) -> float:
    """A rate that is another one for each number of a parameter, and for each derivative in it."""
    first = net.parameters()[0]
    return 0.1 / (1.0 + abs(first.data) + abs(first.grad or 0.0))


def imported(_: int) -> float:
    import test_training as here

    return following(here.HELD["net"])


def drawn(net):
    while True:
        yield following(net)


SEEING = {
    "weakly": lambda net: partial(lambda held, _: following(held()), weakref.ref(net)),
    "by proxy": lambda net: partial(lambda held, _: following(held), weakref.proxy(net)),
    "in a generator": lambda net: partial(lambda held, _: next(held), drawn(net)),
    "in an iterator": lambda net: partial(lambda held, _: following(next(held)), itertools.repeat(net)),
    "in a tuple that can be called": lambda _: Tupled(1.0),
    "in a float that can be called": lambda _: Counted(1.0),
    "in a dict that makes what it lacks": lambda _: Missing().__getitem__,
    "in NumPy's function": lambda net: np.frompyfunc(lambda _: following(net), 1, 1),
    "in a method of the class": lambda _: Statically(),
    "in a warm-up of one's own": lambda _: Warm(3, 0.1),
    "in a view of a dict": lambda net: partial(
        lambda held, _: following(held["net"]), MappingProxyType({"net": net})
    ),
    "as a key": lambda net: partial(lambda held, _: following(next(iter(held))), {net: 1.0}),
    "far away": lambda net: partial(
        lambda held, _: following(held[1][0]), [[[] for _ in range(30_000)], [net]]
    ),
    "by an import": lambda _: imported,
    "among all variables": lambda _: lambda _: following(globals()["HELD"]["net"]),
}


@pytest.mark.parametrize("seen", SEEING)
def test_a_schedule_that_sees_the_net_in_whatever_way_sees_it_as_it_is(seen):
    histories = []
    for engine in ("eager", "replay"):
        HELD["net"] = net = small()
        optimiser = descent(net, SEEING[seen](net))
        histories.append(
            fit(net, X, Y, loss="hinge", optimiser=optimiser, epochs=5, batch_size=3, engine=engine)
        )
    eager, replayed = (history.learning_rate for history in histories)
    assert len({*eager}) > 5
    np.testing.assert_allclose(replayed, eager, rtol=1e-9)


def test_a_schedule_that_cannot_see_the_net_costs_no_look_at_it_in_each_step():
    """It took eighty times as long as one of ours."""
    shape, data = [24, 24, 1], np.random.default_rng(0).normal(size=(100, 8))

    def taken(rate):
        net = MLP(8, shape, seed=1)
        start = time.perf_counter()
        fit(net, data, data[:, :1], loss="half_squared_error", optimiser=descent(net, rate), epochs=100,
            batch_size=20, engine="replay")  # fmt: skip
        return time.perf_counter() - start

    ours, own = (
        min(taken(rate) for _ in range(3)) for rate in (Exponential(0.01, 0.999), lambda k: 0.01 * 0.999**k)
    )
    assert own < 15.0 * ours


def test_the_first_tutorial():
    class Net(Module):
        def __init__(self):
            self.W0 = microbp.array([[0.1, 0.8], [0.4, 0.6]])
            self.W1 = microbp.array([[0.3, 0.9]])

        def __call__(self, x):
            hidden = [each.sigmoid() for each in self.W0 @ x]
            return [each.sigmoid() for each in self.W1 @ hidden]

    net = Net()
    optimiser = SGD(net.parameters(), lr=1.0)
    history = fit(net, [[0.35, 0.9]], [0.5], loss="half_squared_error", optimiser=optimiser)
    assert history.cost[0] == pytest.approx(0.01810390383656677, rel=1e-12)
    assert len(history.cost) == 100
    assert history.cost[99] == pytest.approx(3.266878922007038e-07, rel=1e-10)
    known = [[0.09949729, 0.79870731], [0.35650028, 0.48814358]]
    assert microbp.data_of(net.W0) == pytest.approx(np.array(known), abs=5e-9)
    assert microbp.data_of(net.W1) == pytest.approx(np.array([[-0.30047225, 0.32533603]]), abs=5e-9)


def test_a_parameter_that_a_batch_does_not_depend_on_has_gradient_zero():
    class Table(Module):
        def __init__(self):
            self.entries = [Value(0.0), Value(0.0)]

        def __call__(self, x):
            return self.entries[int(x)] * 1.0

    net = Table()
    fit(net, [0, 1, 0], [1, 5, 1], loss="mean_squared_error", epochs=1, batch_size=1, shuffle=False)
    assert numbers(net) == [0.2 + 0.1 * 2 * 0.8, 1.0]
    assert [each.grad for each in net.entries] == [-1.6, 0.0]


def test_a_net_may_keep_its_parameters_within_bounds_while_it_is_called():
    class Bounded(Line):
        def __call__(self, x):
            self.w.data = min(self.w.data, 0.5)
            return super().__call__(x)

    net = Bounded(2.0)
    fit(net, [[1.0]], [1.0], loss="mean_squared_error", epochs=2)
    assert net.w.data == 0.5 + 0.1 * 2.0 * 0.5  # from the bound, not from what it was before


def test_frozen_parameters_stay():
    net = small()
    net.layers[0].freeze()
    before = numbers(net)
    fit(net, X, Y, loss="hinge", epochs=2)
    frozen = len(net.layers[0].parameters())
    assert numbers(net)[:frozen] == before[:frozen]
    assert numbers(net)[frozen:] != before[frozen:]


@pytest.mark.parametrize("engine", ["eager", "auto"])
def test_all_that_an_optimiser_changes_may_be_frozen_on_the_way(engine):
    net = small()
    first, *_ = net.parameters()

    def rate(step):
        first.requires_grad = step < 2
        return 0.1

    history = fit(net, X, Y, loss="hinge", optimiser=Adam([first], lr=rate), epochs=4, engine=engine)
    assert len(history.cost) == 4
    assert history.cost[2] == history.cost[3] != history.cost[1]


# ----------------------------------------------------------------------------------- kinds of nets
class Plain:
    """No Module: parameters in a list, and one sample at a time."""

    def __init__(self):
        self.values = [Value(0.5), Value(-0.25), Value(0.0)]

    def parameters(self):
        return self.values

    def __call__(self, x):
        return [self.values[0] * x[0] + self.values[1] * x[1] + self.values[2]]


class Batch(Plain):
    """The same for a whole batch."""

    takes_batches = True

    def __call__(self, x):
        w, v, b = self.values
        assert isinstance(x, np.ndarray)
        return [[w * row[0] + v * row[1] + b] for row in x.tolist()]


class Predicting:
    """The same by the name of ``predict``."""

    def __init__(self):
        self.inner = Batch()
        self.parameters = self.inner.parameters

    def predict(self, x):
        return self.inner(x)


def test_nets_of_all_kinds_train_alike():
    results = []
    for kind in (Plain, Batch, Predicting):
        net = kind()
        history = fit(net, X, Y, loss="hinge", epochs=3, batch_size=2, validation=0.3)
        results.append((history, numbers(net)))
    assert results[0] == results[1] == results[2]


class Told(MLP):
    """A net that says itself what its parameters are: some of the last layer, and one that it keeps apart."""

    def __init__(self):
        super().__init__(2, [3, 1], activation="tanh", seed=1)
        self._scale = Value(0.5, "scale")

    def parameters(self):
        neuron = self.layers[1].neurons[0]
        return [self._scale, *neuron.w, *neuron.w]

    def __call__(self, x):
        return super().__call__(x) * self._scale


class Yielded(Told):
    """The same, one after the other."""

    def parameters(self):
        yield from super().parameters()


@pytest.mark.parametrize("kind", [Told, Yielded])
@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_a_net_that_says_what_its_parameters_are_learns_by_these(engine, kind):
    net = kind()
    before = {**net.named_parameters(), "scale": net._scale}
    before = {path: value.data for path, value in before.items()}
    fit(net, X, Y, loss="mean_squared_error", epochs=3, engine=engine)
    after = {**net.named_parameters(), "scale": net._scale}
    moved = [path for path in before if after[path].data != before[path]]
    assert moved == [*(f"layers.1.neurons.0.w.{place}" for place in range(3)), "scale"]
    found = microbp.minimize(lambda x, y: (net(x) - y) ** 2, net, (X, Y), options={"maxiter": 2})
    assert [*found.parameters] == ["scale", *moved[:-1]]


def test_two_layer_net_learns_with_labels_and_with_one_hot_rows():
    costs = []
    for targets in ([0, 1, 1, 1, 0, 0, 1], [[1, 0], [0, 1], [0, 1], [0, 1], [1, 0], [1, 0], [0, 1]]):
        net = TwoLayerNet(2, 4, 2, weight_init_std=1.0, seed=3)
        optimiser = SGD(net.parameters(), lr=0.5)
        history = fit(net, np.array(X), targets, loss="softmax_cross_entropy", optimiser=optimiser, epochs=40)
        assert history.cost[0] == TwoLayerNet(2, 4, 2, weight_init_std=1.0, seed=3).loss(X, targets).data
        assert net.accuracy(X, targets) == 1.0
        costs.append(history.cost)
    assert costs[0] == costs[1]


def test_a_loss_of_ones_own_gets_rows_of_predictions_and_a_list_of_targets():
    seen = []

    def loss(predictions, targets):
        seen.append((np.shape(predictions), targets))
        return half_squared_error(predictions, targets)

    fit(small(), X, Y, loss=loss, epochs=1, batch_size=3, shuffle=False)
    assert seen == [((7, 1), Y), ((3, 1), Y[:3]), ((3, 1), Y[3:6]), ((1, 1), Y[6:])]


def test_samples_of_one_number():
    class Square(Module):
        def __init__(self):
            self.w = Value(0.0)

        def __call__(self, x):
            assert type(x) is float
            return self.w * (x * x)

    net = Square()
    fit(net, np.array([1, 2]), [3.0, 12.0], loss="mean_squared_error", epochs=200)
    assert net.w.data == pytest.approx(3.0, rel=1e-12)


# ---------------------------------------------------------------------------------------- stopping
def test_the_stopping_rule_is_exact():
    long = fit(Line(), [[1.0]], [1.0], loss="mean_squared_error", epochs=50).cost
    changes = [abs(b - a) for a, b in itertools.pairwise(long)]
    assert changes == sorted(changes, reverse=True)
    for epoch in (2, 3, 20):  # the first whose cost differs by less
        tolerance = changes[epoch - 2]
        at, above = (
            fit(Line(), [[1.0]], [1.0], loss="mean_squared_error", epochs=50, tolerance=each)
            for each in (tolerance, math.nextafter(tolerance, 1.0))
        )
        assert at.cost == long[: epoch + 1]
        assert above.cost == long[:epoch]
        assert above.stopped == "tolerance"
    assert str(above) == (
        f"20 epochs of 1 step, cost 1 to {long[19]:.3g}: the cost has changed by {changes[18]:.3g}, less "
        f"than {math.nextafter(changes[18], 1.0)!r}. The net holds the last parameters."
    )


def test_patience_on_the_validation_cost_and_the_best_parameters():
    # w runs from 0 to 1 and passes the validation target 0.5 on its way.
    def run(epochs, **options):
        net = Line()
        history = fit(
            net, [[1.0]], [1.0], loss="mean_squared_error", epochs=epochs,
            validation=([[1.0]], [0.5]), **options,
        )  # fmt: skip
        return net.w.data, history

    _, long = run(12)
    lowest = min(long.validation_cost)
    best = long.validation_cost.index(lowest) + 1
    assert 1 < best < 9
    w, history = run(12, patience=3)
    assert (history.stopped, history.kept, history.best_epoch) == ("patience", "best", best)
    assert len(history.cost) == len(history.validation_cost) == best + 3
    assert w == run(best, keep="last")[0]
    assert (w - 0.5) ** 2 == lowest
    assert str(history) == (
        f"{best + 3} epochs of 1 step, cost 1 to {history.cost[-1]:.3g}: the validation cost has not fallen "
        f"for 3 epochs. The net holds the best parameters, of epoch {best}."
    )
    last, history = run(12, patience=3, keep="last")
    assert (history.kept, history.best_epoch) == ("last", best)
    assert last == run(best + 3, keep="last")[0] != w


def test_a_fraction_is_set_apart_and_not_learned_from():
    net, twin = small(), small()
    history = fit(
        net, X, Y, loss="hinge", optimiser=descent(net), epochs=3, validation=0.3, seed=5, keep="last"
    )
    apart = history.validation_rows
    assert len(apart) == 2
    assert sorted(apart) == apart
    rest = [row for row in range(7) if row not in apart]
    costs, validation = [], []
    optimiser = descent(twin)
    for _ in range(3):
        costs += by_hand(twin, optimiser, [rest])
        validation.append(hinge([[twin(X[row])] for row in apart], [Y[row] for row in apart]).data)
    assert history.cost == costs
    assert history.validation_cost == validation
    assert numbers(net) == numbers(twin)


def test_the_validation_cost_has_no_penalty_and_leaves_the_gradients():
    net = Line(2.0)
    history = fit(
        net, [[1.0]], [1.0], loss="mean_squared_error", epochs=1, validation=([[2.0]], [1.0]), penalty=0.5
    )
    assert history.cost == [1.0 + 0.5 * 4.0]
    assert net.w.grad == 2.0 + 0.5 * 4.0
    assert net.w.data == 2.0 - 0.1 * net.w.grad
    assert history.validation_cost == [(1.0 - 2.0 * net.w.data) ** 2]


def test_the_best_without_validation_are_those_that_the_lowest_cost_was_computed_for():
    def run(epochs, **options):
        net = Line()
        optimiser = descent(net, 1.2)  # too much: the cost grows
        return net.w.data, fit(net, [[1.0]], [1.0], loss="mean_squared_error", optimiser=optimiser,
                               epochs=epochs, **options), net.w.data  # fmt: skip

    start, history, kept = run(5, keep="best")
    assert history.cost == sorted(history.cost)
    assert history.best_epoch == 1
    assert kept == start == 0.0
    assert run(5)[2] not in (0.0, 1.0)


def test_whole_numbers_of_numpy_are_whole_numbers():
    one, two = np.int64(1), np.int32(2)
    settings = {"epochs": two, "seed": one, "batch_size": two, "threads": one}
    histories = [
        fit(MLP(2, [1], seed=1), [[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]], [1.0, 2.0, 0.0], progress=False,
            loss="half_squared_error", **{word: kind(held) for word, held in settings.items()})
        for kind in (int, np.asarray(1).dtype.type)
    ]  # fmt: skip
    assert histories[0].cost == histories[1].cost
    assert len(histories[0].cost) == 2


def test_the_best_of_several_steps_an_epoch_are_those_at_the_end_of_its_epoch():
    def run(epochs, **options):
        net = small()
        history = fit(
            net, X, Y, loss="half_squared_error", optimiser=descent(net, 0.5), epochs=epochs, batch_size=3,
            **options,
        )  # fmt: skip
        return numbers(net), history

    best, history = run(20, keep="best")
    epoch = history.cost.index(min(history.cost)) + 1
    assert history.best_epoch == epoch < 20
    assert best == run(epoch)[0] != run(20)[0]


def test_of_equal_costs_the_first_is_the_best():
    net = Line()
    history = fit(net, [[1.0]], [1], loss="hinge", validation=([[0.0]], [1]), epochs=9, patience=4)
    assert history.validation_cost == [1.0] * 5
    assert (history.stopped, history.best_epoch) == ("patience", 1)
    assert net.w.data == 0.1


# ----------------------------------------------------------------------------------------- history
def test_the_history_is_plain_data():
    history = fit(small(), X, Y, loss="hinge", epochs=2, batch_size=3, validation=0.3, clip=1.0)
    plain = dataclasses.asdict(history)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert History(**json.loads(json.dumps(plain))) == history
    assert {name: len(each) for name, each in plain.items() if isinstance(each, list)} == {
        "cost": 2, "validation_cost": 2, "step_cost": 4, "learning_rate": 4, "gradient_norm": 4,
        "validation_rows": 2,
    }  # fmt: skip
    assert {type(x) for each in plain.values() if isinstance(each, list) for x in each} == {float, int}
    with pytest.raises(dataclasses.FrozenInstanceError):
        history.stopped = "never"


# --------------------------------------------------------------------------------------- bad input
class Wide(Plain):
    def __call__(self, x):
        return [each * x[0] for each in self.values]


def frozen(net):
    net.freeze()
    return net


ROWS = [[1.0, 2.0], [3.0, 4.0]]
BAD = [
    ({"Y": Y[:5]}, ValueError, "fit: X has 7 samples, but Y has 5 targets"),
    ({"X": [], "Y": []}, ValueError, "fit: X is empty; its shape is (0,)"),
    ({"X": np.empty((0, 2)), "Y": []}, ValueError, "fit: X is empty; its shape is (0, 2)"),
    ({"X": np.empty((2, 0)), "Y": [1, 1]}, ValueError, "fit: X is empty; its shape is (2, 0)"),
    ({"X": 3.0}, TypeError,
     "fit: X is a list or an array with an entry for each sample, not an object of type float"),
    ({"X": (x for x in X)}, TypeError,
     "fit: X is a list or an array with an entry for each sample, not an object of type generator"),
    ({"X": np.ma.array(np.ones((2, 2)), mask=np.eye(2)), "Y": [1, 1]}, ValueError,
     "fit: X has masked entries; fill them in, or leave their samples out"),
    ({"X": [[1.0, 2.0], [3.0]], "Y": [1, 1]}, ValueError,
     "fit: the rows of X are of unequal length: X[0] has 2 entries, X[1] has 1"),
    ({"X": [[1.0, 2.0], [3.0, math.nan], [math.inf, 0.0]], "Y": [1, 1, 1]}, ValueError,
     "fit: X[1, 1] is nan, the first of 2 that are not finite; fill them in, or leave their samples out"),
    ({"X": ROWS, "Y": [1, -math.inf]}, ValueError,
     "fit: Y[1] is -inf, the first of 1 that are not finite; fill them in, or leave their samples out"),
    ({"X": [["a", "b"]], "Y": [1]}, TypeError, "fit: X holds real numbers, not <U1"),
    ({"X": [[1j, 0]], "Y": [1]}, TypeError, "fit: X holds real numbers, not complex128"),
    ({"X": [[1.0, None]], "Y": [1]}, TypeError,
     "fit: X[0, 1] takes a real number, not None; give an int, a float or a NumPy real scalar"),
    ({"X": [[1.0, Value(2.0)]], "Y": [1]}, TypeError,
     ("fit: X[0, 1] takes a real number, not an object of type Value; it is a Value already; use it as "
      "it is, or take its number with .data")),
    ({"X": [[1.0, 2.0, 3.0]] * 7}, ValueError,
     "fit: the net does not take the samples of X, whose shape is (7, 3): MLP takes 2 inputs, not 3"),
    ({"X": [1.0] * 7}, ValueError,
     ("fit: the net does not take the samples of X, whose shape is (7,): MLP takes one sample of 2 "
      "inputs, not an object of type float; a net of one input takes [[x] for x in X]")),
    ({"Y": [1, -1, 1, 2, -1, -1, 1]}, ValueError,
     "hinge: the target at [3] is 2.0; a label of hinge is -1 or 1 (2·t - 1 makes one from t = 0 or 1)"),
    ({"Y": [1, -1, 1, 2, -1, -1, 1], "validation": 0.9}, ValueError,
     "hinge: the target at [3] is 2.0; a label of hinge is -1 or 1 (2·t - 1 makes one from t = 0 or 1)"),
    ({"net": Wide(), "loss": "softmax_cross_entropy", "Y": [0, 1, 2, 3, 0, 1, 2]}, ValueError,
     "softmax_cross_entropy: the target at [3] is 3.0; the net has 3 outputs, so that classes are 0 to 2"),
    ({"net": Wide()}, ValueError,
     ("hinge: predictions of shape (7, 3) do not fit targets of shape (7,). The net has 3 outputs for each "
      "sample, but there is one target: end the net with one output, or use softmax_cross_entropy for "
      "class indices")),
    ({"loss": "softmax_cross_entropy"}, ValueError,
     ("softmax_cross_entropy: predictions of shape (7, 1) have one output for each sample, whose softmax is "
      "always 1. Give the net one output for each class, or use binary_cross_entropy for two")),
    ({"loss": "hinges"}, ValueError, "fit: no loss is called 'hinges'; did you mean 'hinge'?"),
    ({"loss": "quux"}, ValueError,
     ("fit: no loss is called 'quux'; there are half_squared_error, mean_squared_error, hinge, "
      "binary_cross_entropy, softmax_cross_entropy")),
    ({"loss": lambda *_: [0.0]}, TypeError,
     "fit: the loss returns one Value, not an object of type list"),
    ({"net": math.sin}, TypeError,
     "fit: a net has parameters(), as a Module does; an object of type builtin_function_or_method has none"),
    ({"net": Module()}, TypeError,
     "fit: a net can be called, or has predict(batch); an object of type Module neither"),
    ({"net": frozen(small())}, ValueError,
     ("fit: all 13 parameters of the optimiser are frozen (requires_grad is False), so that nothing can be "
      "learned")),
    ({"optimiser": 0.1}, TypeError,
     "fit: the optimiser is one such as SGD(net.parameters(), lr=0.1), not an object of type float"),
    ({"optimiser": SGD([Value(1.0, name="stray")], lr=0.1)}, ValueError,
     "fit: the optimiser was made for another net: stray, which it changes, is no parameter of this one"),
    ({"epochs": 0}, ValueError, "fit: epochs is a whole number from 1 up, not 0"),
    ({"epochs": 2.5}, ValueError, "fit: epochs is a whole number from 1 up, not 2.5"),
    ({"seed": -1}, ValueError, "fit: seed is a whole number from 0 up, not -1"),
    ({"batch_size": 0}, ValueError, "fit: batch_size is a whole number from 1 up, not 0"),
    ({"batch_size": True}, ValueError, "fit: batch_size is a whole number from 1 up, not True"),
    ({"batch_size": 8}, ValueError,
     "fit: batch_size is 8, but there are 7 samples to learn from; None takes all of them"),
    ({"batch_size": 7, "validation": 0.3}, ValueError,
     "fit: batch_size is 7, but there are 5 samples to learn from; None takes all of them"),
    ({"validation": 0.0}, ValueError,
     "fit: validation=0.0 is no fraction between 0 and 1, nor a pair (X, Y)"),
    ({"validation": 1.5}, ValueError,
     "fit: validation=1.5 is no fraction between 0 and 1, nor a pair (X, Y)"),
    ({"validation": math.nan}, ValueError,
     "fit: validation=nan is no fraction between 0 and 1, nor a pair (X, Y)"),
    ({"validation": {"X": 1}}, ValueError,
     "fit: validation={'X': 1} is no fraction between 0 and 1, nor a pair (X, Y)"),
    ({"validation": 0.01}, ValueError,
     "fit: validation=0.01 of 7 samples sets 0 apart and leaves 7"),
    ({"validation": 0.99}, ValueError,
     "fit: validation=0.99 of 7 samples sets 7 apart and leaves 0"),
    ({"validation": (X,)}, ValueError, "fit: validation is a pair (X, Y), not 1 items"),
    ({"validation": (X, Y[:2])}, ValueError,
     "fit: validation X has 7 samples, but validation Y has 2 targets"),
    ({"validation": ([[1.0]], [1])}, ValueError,
     "fit: X has the shape (7, 2), but the validation X (1, 1)"),
    ({"validation": (X[:1], [3])}, ValueError,
     ("fit: validation Y: hinge: the target at [0] is 3.0; a label of hinge is -1 or 1 (2·t - 1 makes one "
      "from t = 0 or 1)")),
    ({"patience": 3}, ValueError,
     "fit: patience watches the validation cost; give validation as well"),
    ({"patience": 0, "validation": 0.3}, ValueError, "fit: patience is a whole number from 1 up, not 0"),
    ({"tolerance": 0.0}, ValueError, "fit: tolerance must be positive and finite, not 0.0"),
    ({"tolerance": "1e-3"}, TypeError,
     "fit: tolerance takes a real number, not the str '1e-3'; convert it first: float(...)"),
    ({"clip": -1.0}, ValueError, "fit: clip must be positive and finite, not -1.0"),
    ({"penalty": -1e-4}, ValueError, "fit: penalty must be 0 or positive, and finite, not -0.0001"),
    ({"penalty": None}, TypeError,
     "fit: penalty takes a real number, not None; give an int, a float or a NumPy real scalar"),
    ({"penalty": math.nan}, ValueError, "fit: penalty must be 0 or positive, and finite, not nan"),
    ({"shuffle": "no"}, ValueError, "fit: shuffle is True or False, not 'no'"),
    ({"progress": "yes"}, ValueError, "fit: progress is True, False or None, not 'yes'"),
    ({"Y": None}, TypeError,
     "fit: Y is a list or an array with an entry for each sample, not an object of type NoneType"),
    ({"optimiser": SGD}, TypeError,
     "fit: the optimiser is one such as SGD(net.parameters(), lr=0.1), not the class SGD"),
    ({"keep": "first"}, ValueError, "fit: keep is 'best', 'last' or None, not 'first'"),
    ({"engine": "warp"}, ValueError, "fit: engine is 'auto', 'replay' or 'eager', not 'warp'"),
    ({"checkpoint": "nowhere/run.json"}, FileNotFoundError,
     "fit: checkpoint='nowhere/run.json' cannot be written: No such file or directory"),
    ({"checkpoint_every": -1.0}, ValueError,
     "fit: checkpoint_every must be 0 or positive, and finite, not -1.0"),
]  # fmt: skip


@at_once(BAD)
def test_bad_input_is_refused_before_any_parameter_is_touched(given, kind, text):
    given = {"net": small(), "X": X, "Y": Y, "loss": "hinge"} | given
    net = given["net"]
    before = numbers(net) if isinstance(net, Module | Plain) else []
    with pytest.raises(kind) as caught:
        fit(**given)
    assert str(caught.value) == text
    if before:
        assert numbers(net) == before
        assert [each.grad for each in net.parameters()] == [None] * len(before)


@pytest.mark.parametrize("lr", [0, 0.0, -0.1, math.nan, math.inf])
def test_a_learning_rate_of_no_use_is_refused_by_the_optimiser_or_when_it_was_set_later(lr):
    net = small()
    text = f"SGD: the learning rate must be positive and finite, not {float(lr)!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        descent(net, lr)
    optimiser = descent(net)
    optimiser.lr = lr
    before = numbers(net)
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fit(net, X, Y, loss="hinge", optimiser=optimiser)
    assert numbers(net) == before


def test_a_schedule_that_runs_out_is_refused_at_the_start():
    net = small()
    before = numbers(net)
    optimiser = descent(net, Cosine(0.1, steps=8))
    text = (
        "fit: 3 epochs end with step 12 of the optimiser, for which its schedule gives the learning rate "
        "0.0; it must be positive and finite"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fit(net, X, Y, loss="hinge", optimiser=optimiser, epochs=3, batch_size=2)
    assert numbers(net) == before
    assert fit(net, X, Y, loss="hinge", optimiser=optimiser, epochs=2, batch_size=2).stopped == "epochs"


def test_a_parameter_that_is_not_finite_to_begin_with():
    net = small()
    net.layers[1].neurons[0].b.data = math.inf
    text = r"^fit: the parameter layers\.1\.neurons\.0\.b is inf to begin with$"
    with pytest.raises(ValueError, match=text):
        fit(net, X, Y, loss="hinge")


def test_a_net_without_parameters_and_parameters_that_are_no_values():
    class Empty(Plain):
        def __init__(self):
            self.values = []

    class Numbers(Plain):
        def __init__(self):
            self.values = [0.5, 0.5, 0.5]

    with pytest.raises(ValueError, match=r"^fit: Empty\.parameters\(\): there are no parameters$"):
        fit(Empty(), X, Y, loss="hinge")
    told = r"^fit: Numbers\.parameters\(\): parameters\[0\] is an object of type float, not a Value$"
    with pytest.raises(TypeError, match=told):
        fit(Numbers(), X, Y, loss="hinge")
    forgetful = Plain()
    forgetful.parameters = lambda: None
    told = r"^fit: Plain\.parameters\(\): parameters are a list of Values or a dict of them, not a NoneType$"
    with pytest.raises(TypeError, match=told):
        fit(forgetful, X, Y, loss="hinge")


def test_a_cost_that_depends_on_no_parameter_is_an_error_and_changes_nothing():
    class Constant(Line):
        def __call__(self, x):
            return self.w.detach() * x[0]

    net = Constant(0.5)
    text = (
        "fit: the cost depends on no parameter that takes a gradient. What a net computes from .data, under "
        "no_grad() or from detached values is not in the graph"
    )
    with pytest.raises(microbp.NoGradientError, match=f"^{re.escape(text)}$"):
        fit(net, [[1.0]], [1.0], loss="hinge")
    with microbp.no_grad(), pytest.raises(microbp.NoGradientError, match="is a constant"):
        fit(Line(0.5), [[1.0]], [1.0], loss="hinge")
    assert net.w.data == 0.5


# ------------------------------------------------------------------------------ numbers not finite
class Root(Module):
    """sqrt(w·x): its gradient at 0 is infinite, and below 0 it is undefined."""

    def __init__(self):
        self.w = Value(1.0, name="w")

    def __call__(self, x):
        net = self.w * x[0]
        return net.sqrt()


def line_of(function, text):
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    first = inspect.unwrap(function).__code__.co_firstlineno
    return next(n for n, line in enumerate(lines, 1) if n > first and text in line)


def test_a_planted_sample_is_named_with_the_first_operation_and_its_line():
    net = Line(0.5)
    data = [[1.0], [2.0], [1e200], [3.0], [4.0]]

    def loss(predictions, targets):
        (prediction,) = predictions[0]
        return (prediction - targets[0]) * (prediction - targets[0])

    with pytest.raises(NotFinite) as caught:
        fit(net, data, [1.0] * 5, loss=loss, epochs=3, batch_size=1, shuffle=False)
    error = caught.value
    assert str(error) == (
        "fit stopped in epoch 1 of 3, step 3 of 5: the cost is inf. Sample X[2] shows it by itself: the "
        f"first value that is not finite is v4 = mul(v2, v3) = inf, where v2 = {net.w.data * 1e200!r}, "
        f"v3 = {net.w.data * 1e200!r} [{__file__}:{line_of(loss, 'return')}]. The net holds the parameters "
        "that led there. Lower the learning rate, clip the gradients, or bring the data to a scale of about 1"
    )
    assert (error.epoch, error.step, error.sample) == (1, 3, 2)
    assert len(error.history.step_cost) == 2
    assert (error.history.stopped, error.history.kept) == ("not finite", "last")
    twin = Line(0.5)
    fit(twin, data[:2], [1.0] * 2, loss=loss, epochs=1, batch_size=1, shuffle=False)
    assert net.w.data == twin.w.data  # untouched by the third step
    assert microbp.record_sites(False) is False


def test_the_sample_is_found_in_a_batch_and_by_its_index_in_x():
    data = [[0.5, 1.0]] * 20
    data[13] = [1e308, 1e308]
    for options in ({}, {"batch_size": 4}, {"batch_size": 4, "seed": 3}):
        net = MLP(2, [3, 1], activation="relu")
        for each in net.parameters():
            each.data = 1.5
        before = numbers(net)
        optimiser = descent(net, 1e-9)
        with pytest.raises(NotFinite, match=r"Sample X\[13\] shows it by itself: the first") as caught:
            fit(net, data, [1] * 20, loss="mean_squared_error", optimiser=optimiser, epochs=1, **options)
        assert "the first value that is not finite is v9 = dot(w…, x…, b) = inf [" in str(caught.value)
        if not options:
            assert numbers(net) == before
            assert caught.value.step == 1


def test_a_gradient_that_is_not_finite():
    net = Root()
    with pytest.raises(NotFinite) as caught:
        fit(net, [[1.0], [4.0], [0.0]], [1.0, 2.0, 0.0], loss="mean_squared_error")
    line = line_of(Root.__call__, "sqrt")
    assert str(caught.value) == (
        "fit stopped in epoch 1 of 100, step 1 of 1: the cost is 0.0, but the gradient of w is nan. Sample "
        "X[2] shows it by itself: the local derivative in v1 is inf at v2 = sqrt(v1) = 0.0, where v1 = 0.0 "
        f"[{__file__}:{line}]. The net holds the parameters that led there. Lower the learning rate, clip "
        "the gradients, or bring the data to a scale of about 1"
    )
    assert net.w.data == 1.0


@pytest.mark.parametrize("place", [0, 1])
def test_what_no_gradient_passes_through_is_no_cause_of_it(place):
    class Two(Module):
        def __init__(self):
            self.w, self.u = Value(0.0, name="w"), Value(0.0, name="u")

        def __call__(self, x):
            return self.w.sqrt() + self.u.sqrt() - x[0]

    net, name = Two(), "wu"[place]
    with pytest.raises(NotFinite, match=f"the gradient of {name} .* derivative in {name} is inf at"):
        fit(net, [[1.0]], [1.0], loss="hinge", optimiser=SGD([net.parameters()[place]], lr=0.1))


def test_a_gradient_beyond_the_largest_float_with_finite_derivatives():
    net = Line(1e-300)
    with pytest.raises(NotFinite) as caught:
        fit(net, [[1e300]], [-1e100], loss=lambda p, t: (p[0][0] - t[0]) * 1e200)
    assert (
        "the cost is 1e+300, but the gradient of w is inf. Sample X[0] shows it by itself: the gradient of "
        "w is inf, though every local derivative is finite: their product is beyond the largest "
        "float"
    ) in str(caught.value)


def test_an_undefined_operation_is_told_with_its_sample():
    net = Root()
    with pytest.raises(NotFinite) as caught:
        fit(net, [[1.0], [4.0], [-1.0]], [1.0, 2.0, 0.0], loss="mean_squared_error")
    line = line_of(Root.__call__, "sqrt")
    assert str(caught.value).startswith(
        "fit stopped in epoch 1 of 100, step 1 of 1: the cost has no value. Sample X[2] shows it by itself: "
        f"sqrt(a) has no value at a = -1.0. Square root; undefined at a < 0. [{__file__}:{line}]. The "
    )
    assert isinstance(caught.value.__cause__, microbp.UndefinedOperation)


def summed(predictions, targets):
    return microbp.sum((said[0] - t) ** 2 for said, t in zip(predictions, targets, strict=True))


def test_a_sum_that_overflows_is_no_single_sample():
    net = Line(1.0)
    with pytest.raises(NotFinite) as caught:
        fit(net, [[1e154]] * 2, [0.0] * 2, loss=summed, optimiser=descent(net, 1e-320))
    assert caught.value.sample is None
    assert ": the cost is inf. No sample shows it by itself: it is in their sum, or in the penalty." in str(
        caught.value
    )


def test_an_update_beyond_the_largest_float_is_not_made():
    net = Line(1.0)
    with pytest.raises(NotFinite) as caught:
        fit(net, [[1e10]], [0.0], loss="half_squared_error", optimiser=descent(net, 1e300))
    assert str(caught.value) == (
        "fit stopped in epoch 1 of 100, step 1 of 1: SGD.step(): w = 1.0 with gradient 1e+20 would become "
        "-inf; no parameter has been changed. Lower the learning rate (1e+300) or clip the gradients"
    )
    assert net.w.data == 1.0


def test_a_validation_cost_that_is_not_finite():
    options = {"loss": "mean_squared_error", "epochs": 5}
    with pytest.raises(NotFinite, match=r"Sample validation X\[1\] shows it by itself: pow") as caught:
        fit(Line(), [[1.0]], [1.0], validation=([[1.0], [1e200]], [1.0, 1.0]), **options)
    told = "fit stopped in epoch 1 of 5: the validation cost has no value. Sample"
    assert str(caught.value).startswith(told)
    assert (caught.value.step, caught.value.sample) == (None, 1)
    with pytest.raises(NotFinite, match=r"epoch 1 of 5: the validation cost is inf\. Sample") as caught:
        fit(Line(5.0), [[1.0]], [1.0], validation=([[1.0], [1e308]], [1, -1]), loss="hinge", epochs=5)
    assert caught.value.sample == 1
    data = [[1.0]] * 9 + [[1e200]]
    seed = next(seed for seed in range(99) if np.random.default_rng(seed).permutation(10)[0] == 9)
    with pytest.raises(NotFinite, match=r"Sample X\[9\] shows it by itself"):
        fit(Line(), data, [1.0] * 10, validation=0.1, seed=seed, **options)


def test_the_error_survives_pickling_with_its_history():
    with pytest.raises(NotFinite) as caught:
        fit(Root(), [[1.0], [-1.0]], [1.0, 1.0], loss="hinge", batch_size=1, shuffle=False)
    twin = pickle.loads(pickle.dumps(caught.value))
    assert str(twin) == str(caught.value)
    assert (twin.history, twin.epoch, twin.step, twin.sample) == (caught.value.history, 1, 2, 1)
    assert isinstance(twin, FloatingPointError)
    assert isinstance(twin, microbp.MicrobpError)


# -------------------------------------------------------------------------------------- Ctrl-C
class Striking:
    """Raises what it was told to, once, when it is passed for the nth time."""

    def __init__(self, nth, strike):
        self.left, self.strike = nth, strike

    def pass_by(self):
        self.left -= 1
        if self.left == 0:
            self.strike()


def raise_it():
    raise KeyboardInterrupt


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


class StrikingNet(MLP):
    def __init__(self, striking):
        super().__init__(2, [3, 1], activation="tanh", seed=1)
        self._striking = striking

    def __call__(self, x):
        self._striking.pass_by()
        return super().__call__(x)


class StrikingSGD(SGD):
    """Strikes between two parameters of an update."""

    striking = Striking(0, raise_it)

    def update(self, p, g, memory, lr):
        self.striking.pass_by()
        return super().update(p, g, memory, lr)


class Careless(SGD):
    """Changes one parameter after the other, and is struck between them."""

    striking = Striking(0, raise_it)

    def step(self):
        for position, (_, parameter) in enumerate(self.parameters):
            self.striking.pass_by()
            parameter.data -= self.rate * parameter.grad
            self._memory[:, position] = parameter.data
        self.steps += 1


SETTINGS = {"loss": "hinge", "epochs": 3, "batch_size": 3, "seed": 2}  # 3 steps an epoch, 21 samples
STEPS = 9


def after(steps):
    """Parameters and costs of an undisturbed run after so many steps."""
    net = small()
    generator = np.random.default_rng(2)
    orders = [generator.permutation(7).tolist() for _ in range(3)]
    batches = [order[start : start + 3] for order in orders for start in (0, 3, 6)]
    costs = by_hand(net, SGD(net.parameters(), lr=0.2, momentum=0.5), batches[:steps])
    return numbers(net), costs


def interrupted(net, kind=SGD, **options):
    optimiser = kind(net.parameters(), lr=0.2, momentum=0.5)
    history = fit(net, X, Y, optimiser=optimiser, keep="last", **(SETTINGS | options))
    return history, optimiser


@pytest.mark.parametrize("strike", [raise_it, press_ctrl_c])
@pytest.mark.parametrize(("sample", "steps"), [(2, 0), (3, 0), (5, 1), (8, 2), (9, 3), (22, 8)])
def test_ctrl_c_in_the_net_ends_with_whole_steps(strike, sample, steps):
    net = StrikingNet(Striking(sample, strike))  # the first sample is the one before the run
    history, optimiser = interrupted(net)
    assert (numbers(net), history.step_cost) == after(steps)
    assert optimiser.steps == steps
    assert history.stopped == "interrupted"
    assert len(history.cost) == steps // 3
    course = f", cost {history.cost[0]:.3g} to {history.cost[-1]:.3g}" if history.cost else ""
    assert str(history) == (
        f"{steps // 3} epoch{'s' * (steps // 3 != 1)} of 3 steps{course}: interrupted in epoch "
        f"{steps // 3 + 1} after {steps % 3} of 3 steps. The net holds the last parameters."
    )


@pytest.mark.parametrize("update", [1, 2, 13, 14, 40])
def test_ctrl_c_inside_an_update_waits_for_its_end(monkeypatch, update):
    monkeypatch.setattr(StrikingSGD, "striking", Striking(update, press_ctrl_c))
    net = small()
    history, optimiser = interrupted(net, StrikingSGD)
    steps = (update - 1) // 13 + 1  # 13 parameters: the step that was struck is whole
    assert (numbers(net), history.step_cost) == after(steps)
    assert optimiser.steps == steps
    assert history.stopped == "interrupted"


@pytest.mark.parametrize("kind", [StrikingSGD, Careless])
@pytest.mark.parametrize("update", [1, 2, 13, 14, 40])
def test_an_update_that_is_broken_off_from_within_is_undone(monkeypatch, kind, update):
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    for strike in (raise_it, stop):
        monkeypatch.setattr(kind, "striking", Striking(update, strike))
        net = small()
        optimiser = kind(net.parameters(), lr=0.2, momentum=0.5)
        steps = (update - 1) // 13
        if strike is stop:
            with pytest.raises(Stop):
                fit(net, X, Y, optimiser=optimiser, keep="last", **SETTINGS)
        else:
            history = fit(net, X, Y, optimiser=optimiser, keep="last", **SETTINGS)
            assert len(history.step_cost) == len(history.learning_rate) == steps
        assert optimiser.steps == steps
        if kind is StrikingSGD:
            assert numbers(net) == after(steps)[0]
        else:
            twin = small()
            other = Careless(twin.parameters(), lr=0.2, momentum=0.5)
            monkeypatch.setattr(Careless, "striking", Striking(13 * steps + 1, raise_it))
            fit(twin, X, Y, optimiser=other, keep="last", **SETTINGS)
            assert numbers(net) == numbers(twin)
            assert optimiser.state() == other.state()


def test_ctrl_c_in_the_loss_in_a_schedule_and_while_validating():
    def rate(step):
        if step == 4 and striking.left:
            striking.pass_by()
        return 0.2

    striking = Striking(1, raise_it)
    net = small()
    optimiser = SGD(net.parameters(), lr=rate, momentum=0.5)
    history = fit(net, X, Y, optimiser=optimiser, keep="last", **SETTINGS)
    assert (numbers(net), history.step_cost) == after(4)

    losing = Striking(6, raise_it)  # the first is the one before the run

    def loss(predictions, targets):
        losing.pass_by()
        return hinge(predictions, targets)

    net = small()
    history, _ = interrupted(net, loss=loss)
    assert (numbers(net), history.step_cost) == after(4)

    validating = Striking(2 + 3 * 1 + 1, raise_it)

    def costly(predictions, targets):
        validating.pass_by()
        return hinge(predictions, targets)

    net = small()
    history, _ = interrupted(net, loss=costly, validation=(X, Y))
    assert (numbers(net), history.step_cost) == after(3)
    assert (history.cost, history.validation_cost) == ([], [])
    assert "interrupted in epoch 1 after 3 of 3 steps" in str(history)


def test_ctrl_c_keeps_the_best_parameters():
    class Net(Line):
        calls = 0

        def __call__(self, x):
            Net.calls += 1
            if Net.calls == 6:
                raise KeyboardInterrupt
            return super().__call__(x)

    net = Net()  # too fast: the cost grows from epoch to epoch, so that the first parameters were the best
    history = fit(net, [[1.0]], [1.0], loss="mean_squared_error", optimiser=descent(net, 1.2))
    assert history.cost == sorted(history.cost)
    assert len(history.cost) == 4
    assert (history.stopped, history.kept, history.best_epoch) == ("interrupted", "best", 1)
    assert net.w.data == 0.0
    assert str(history).endswith(
        "interrupted in epoch 5 after 0 of 1 step. The net holds the best parameters, of epoch 1."
    )


@pytest.mark.parametrize("strike", [raise_it, press_ctrl_c])
def test_a_second_ctrl_c_cannot_tear_the_end(tmp_path, monkeypatch, strike):
    original, presses = Run._save, []

    def save(run):
        presses.append(press_ctrl_c())
        original(run)
        press_ctrl_c()

    monkeypatch.setattr(Run, "_save", save)
    net = StrikingNet(Striking(9, strike))
    history, _ = interrupted(net, checkpoint=tmp_path / "run.json")
    assert len(presses) == 1
    assert (numbers(net), history.step_cost) == after(3)
    assert json.loads((tmp_path / "run.json").read_text())["step_cost"] == history.step_cost


def test_a_second_ctrl_c_cannot_tear_the_way_to_the_end(monkeypatch):
    class Collector:
        isenabled, disable = gc.isenabled, gc.disable

        @staticmethod
        def enable():
            press_ctrl_c()
            gc.enable()

    monkeypatch.setattr(running, "gc", Collector)
    monkeypatch.setattr(Interrupts, "hold", lambda _: None)
    history, _ = interrupted(StrikingNet(Striking(2, press_ctrl_c)))
    assert history.stopped == "interrupted"
    assert gc.isenabled()


class Presser:
    """Presses Ctrl-C once, at the nth line of training/ that runs."""

    def __init__(self, nth):
        self.left = nth

    def called(self, frame, _event, _):
        return self.ran if frame.f_code.co_filename in FILES else None

    def ran(self, _frame, event, _):
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                press_ctrl_c()
        return self.ran

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.called)

    def __exit__(self, *_):
        sys.settrace(self.before)


def apart(test):
    """Run the test inside a generator, which has a record of its own of the exception being handled.

    CPython 3.11 leaves that record filled when a trace function raises where an except block ends, and
    every error of the tests that follow would then begin with this one.
    """

    def once(*args, **options):
        yield test(*args, **options)

    @functools.wraps(test)
    def run(*args, **options):
        for _ in once(*args, **options):
            pass
        assert sys.exc_info() == (None, None, None)

    return run


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": None}, {"validation": 0.3}, {"keep": "best"}], ids=str
)
@apart
def test_ctrl_c_at_every_line(tmp_path, options):
    # Every place in turn: in a step, in an update, between two epochs, in the midst of a checkpoint.
    file = tmp_path / "run.json"
    options = SETTINGS | {"epochs": 2, "batch_size": 4} | options
    make = KINDS["momentum"]

    def run(**more):
        net = small()
        optimiser = make(net)
        history = fit(net, X, Y, optimiser=optimiser, **options, **more)
        return outcome(net, optimiser, history), history

    expected, whole = run()
    nth, places, resumed = 0, set(), set()
    while True:
        nth += 11  # with a step of 1 it holds as well, and takes eleven times as long
        file.unlink(missing_ok=True)
        presser = Presser(nth)
        try:
            with presser:
                found, history = run(checkpoint=file, checkpoint_every=0.0)
        except KeyboardInterrupt:
            history = None  # before the run has begun, or after it has ended
        assert gc.isenabled()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert [each.name for each in tmp_path.iterdir()] in ([], ["run.json"])
        if presser.left > 0:
            break
        if history is None:
            assert len(places) in (0, len(whole.step_cost) + 1)
            continue
        places.add(len(history.step_cost))
        assert history.step_cost == whole.step_cost[: len(history.step_cost)]
        assert found[1]["steps"] == len(history.learning_rate) == len(history.step_cost)
        if (left := file.read_bytes()) not in resumed:  # else it is known how that one goes on
            assert run(resume=file)[0] == expected
            resumed.add(left)
    assert found == expected  # not struck at all
    assert places == set(range(len(whole.step_cost) + 1))


@apart
def test_ctrl_c_at_every_line_of_a_run_that_fails():
    nth, ends = 0, set()
    while True:
        nth += 1
        presser = Presser(nth)
        net = StrikingNet(Striking(6, lambda: 1 / 0))
        try:
            with presser:
                ends.add(interrupted(net)[0].stopped)
        except (ZeroDivisionError, KeyboardInterrupt) as error:
            ends.add(type(error))
        assert gc.isenabled()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert numbers(net) in (after(0)[0], after(1)[0])
        if presser.left > 0:
            break
    assert ends == {"interrupted", KeyboardInterrupt, ZeroDivisionError}


def test_ctrl_c_is_as_it_was_afterwards():
    before = signal.getsignal(signal.SIGINT)
    fit(small(), X, Y, loss="hinge", epochs=1)
    assert signal.getsignal(signal.SIGINT) is before
    interrupted(StrikingNet(Striking(4, press_ctrl_c)))
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_a_handler_of_the_programs_own_goes_on_working(monkeypatch):
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        net = StrikingNet(Striking(5, press_ctrl_c))
        assert interrupted(net)[0].stopped == "epochs"
        monkeypatch.setattr(StrikingSGD, "striking", Striking(20, press_ctrl_c))
        assert interrupted(small(), StrikingSGD)[0].stopped == "epochs"
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT] * 2
    assert numbers(net) == after(STEPS)[0]


def test_in_another_thread_there_is_no_signal_to_hold_back():
    done = []
    net = small()
    thread = threading.Thread(target=lambda: done.append(interrupted(net)[0]))
    thread.start()
    thread.join()
    assert (numbers(net), done[0].step_cost) == after(STEPS)


# ------------------------------------------------------------------------- checkpoint and resume
KINDS = {
    "sgd": lambda net: SGD(net.parameters(), lr=0.2),
    "momentum": lambda net: SGD(net.parameters(), lr=Linear(0.2, 0.1, 9), momentum=0.5),
    "adam": lambda net: Adam(net.parameters(), lr=0.05),
}


def outcome(net, optimiser, history):
    return numbers(net), optimiser.state(), dataclasses.asdict(history)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": None}, {"batch_size": 1}, {"validation": 0.3}, {"clip": 0.1, "penalty": 0.01},
     {"validation": (X[:3], Y[:3]), "keep": "best"}, {"shuffle": False}],
    ids=str,
)  # fmt: skip
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, make, options):
    options = SETTINGS | options
    net = small()
    optimiser = make(net)
    whole = outcome(net, optimiser, fit(net, X, Y, optimiser=optimiser, **options))
    file = tmp_path / "run.json"
    passed = 7 * options["epochs"]
    for sample in range(3, passed, 5):
        net = StrikingNet(Striking(sample, raise_it))
        history = fit(net, X, Y, optimiser=make(net), checkpoint=file, **options)
        assert history.stopped == "interrupted"
        net = small(seed=99)  # its numbers come from the checkpoint
        optimiser = make(net)
        again = fit(net, X, Y, optimiser=optimiser, resume=file, **options)
        assert outcome(net, optimiser, again) == whole


def test_a_run_may_be_resumed_again_and_again_and_be_made_longer(tmp_path):
    file = tmp_path / "run.json"
    net = small()
    whole = outcome(net, o := KINDS["adam"](net), fit(net, X, Y, optimiser=o, **(SETTINGS | {"epochs": 5})))
    resume = None
    for epochs in (1, 2, 4, 5, 5):
        net = small()
        optimiser = KINDS["adam"](net)
        settings = SETTINGS | {"epochs": epochs}
        history = fit(net, X, Y, optimiser=optimiser, checkpoint=file, resume=resume, **settings)
        resume = file
    assert outcome(net, optimiser, history) == whole


def test_a_checkpoint_of_a_run_that_has_ended_ends_at_once(tmp_path):
    file = tmp_path / "run.json"
    options = {"loss": "mean_squared_error", "tolerance": 1e-3}
    net = Line()
    history = fit(net, [[1.0]], [1.0], checkpoint=file, **options)
    assert history.stopped == "tolerance"
    again = Line()
    assert fit(again, [[1.0]], [1.0], resume=file, **options) == history
    assert again.w.data == net.w.data


def test_the_rules_for_stopping_wait_for_the_end_of_an_epoch(tmp_path):
    file = tmp_path / "run.json"
    net = StrikingNet(Striking(19, raise_it))  # in the second step of the third epoch
    interrupted(net, checkpoint=file)
    net = small()
    history, _ = interrupted(net, resume=file, epochs=9, tolerance=1e9)
    assert history.stopped == "tolerance"
    assert (numbers(net), history.step_cost) == after(STEPS)


def test_after_an_update_beyond_the_largest_float_the_checkpoint_goes_on_with_a_lower_rate(tmp_path):
    file = tmp_path / "run.json"
    net = Line()
    schedule = [0.25, 1e308, 0.25, 0.25].__getitem__
    with pytest.raises(NotFinite) as caught:
        fit(net, [[4.0]], [1.0], loss="mean_squared_error", optimiser=descent(net, schedule), epochs=4,
            checkpoint=file)  # fmt: skip
    assert caught.value.epoch == 2
    again, whole = Line(5.0), Line()
    options = {"loss": "mean_squared_error", "epochs": 4}
    history = fit(again, [[4.0]], [1.0], optimiser=descent(again, 0.25), resume=file, **options)
    assert fit(whole, [[4.0]], [1.0], optimiser=descent(whole, 0.25), **options) == history
    assert history.step_cost[:1] == caught.value.history.step_cost
    assert again.w.data == whole.w.data


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": None}, {"validation": 0.3}, {"batch_size": None, "validation": 0.3}],
    ids=str,
)
def test_a_run_goes_on_from_each_checkpoint_as_if_it_had_been_killed_after_it(tmp_path, monkeypatch, options):
    file, kept = tmp_path / "run.json", []
    original = Run._save

    def save(run):
        original(run)
        if run.settings.checkpoint:
            kept.append(file.read_text())

    monkeypatch.setattr(Run, "_save", save)
    options = SETTINGS | {"keep": "best"} | options
    net = small()
    optimiser = SGD(net.parameters(), lr=3.0)  # so much that the best parameters are not the last
    history = fit(net, X, Y, optimiser=optimiser, checkpoint=file, checkpoint_every=0.0, **options)
    whole = outcome(net, optimiser, history)
    assert len(kept) == len(history.step_cost) + len(history.validation_cost) + 1
    for text in kept:
        file.write_text(text)
        net = small(seed=99)
        optimiser = SGD(net.parameters(), lr=3.0)
        assert outcome(net, optimiser, fit(net, X, Y, optimiser=optimiser, resume=file, **options)) == whole


def test_checkpoints_are_written_between_steps(tmp_path, monkeypatch):
    seen = []
    original = Run._save

    def save(run):
        original(run)
        seen.append(json.loads((tmp_path / "run.json").read_text()))

    monkeypatch.setattr(Run, "_save", save)
    net = small()
    interrupted(net, checkpoint=tmp_path / "run.json", checkpoint_every=0.0)
    assert [len(each["step_cost"]) for each in seen] == [*range(1, STEPS + 1), STEPS]
    for each in seen:
        steps = len(each["step_cost"])
        assert (list(each["parameters"].values()), each["step_cost"]) == after(steps)
        assert each["optimiser"]["steps"] == steps
    assert list(seen[0]["parameters"]) == list(net.named_parameters())
    seen.clear()
    interrupted(small(), checkpoint=tmp_path / "run.json", checkpoint_every=1e9)
    assert len(seen) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "run.json"
    interrupted(small(), checkpoint=file)
    old = file.read_text()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    told = re.escape(f"fit: the checkpoint {file} is not written: No space left on device. The run goes on,")
    with pytest.warns(NotSavedWarning, match=told) as caught:
        history, _ = interrupted(small(), checkpoint=file, checkpoint_every=0.0, seed=7)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert len(history.cost) == 3
    assert str(history).endswith("parameters. The last checkpoint is not written: No space left on device.")
    assert file.read_text() == old
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"loss": "mean_squared_error"}, "loss = 'hinge'; here it is 'mean_squared_error'"),
        ({"batch_size": 2}, "batch_size = 3; here it is 2"),
        ({"shuffle": False}, "shuffle = True; here it is False"),
        ({"seed": 5}, "seed = 2; here it is 5"),
        ({"penalty": 0.5}, "penalty = 0.0; here it is 0.5"),
        ({"clip": 0.5}, "clip = None; here it is 0.5"),
        ({"validation": 0.3}, "validation = 0; here it is 2"),
        ({"validation": (X, Y)}, "validation = 0; here it is 7"),
        ({"X": X[:6], "Y": Y[:6]}, "samples = 7; here it is 6"),
        ({"Y": [-y for y in Y]}, "data = "),
        ({"X": [[2.0, 2.0], *X[1:]]}, "data = "),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, given, told):
    file = tmp_path / "run.json"
    interrupted(small(), checkpoint=file)
    net = small(seed=4)
    before = numbers(net)
    with pytest.raises(ValueError, match=re.escape(f"fit: {file} was written with {told}")):
        fit(**({"net": net, "X": X, "Y": Y} | SETTINGS | given), resume=file)
    assert numbers(net) == before


def test_a_checkpoint_of_another_net_or_optimiser_and_other_files_are_refused(tmp_path):
    file = tmp_path / "run.json"
    interrupted(small(), checkpoint=file)
    wide = MLP(2, [4, 1], activation="tanh", seed=0)
    before = numbers(wide)
    told = f"fit: {file} has 13 parameters, the net 17; only one of the two has layers.0.neurons.3.b"
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        fit(wide, X, Y, **SETTINGS, resume=file)
    assert numbers(wide) == before
    net = small()
    with pytest.raises(ValueError, match=r"its optimiser: Adam\.load_state\(\): the state is of SGD$"):
        fit(net, X, Y, **SETTINGS, optimiser=Adam(net.parameters()), resume=file)
    assert numbers(net) == numbers(small())
    told = "by its optimiser: SGD.load_state(): the state is of 13 parameters, the optimiser of 5"
    with pytest.raises(ValueError, match=re.escape(told)):
        fit(net, X, Y, **SETTINGS, optimiser=SGD(net.parameters()[4:9], lr=0.1), resume=file)
    file.write_text(file.read_text().replace("training checkpoint 3", "training checkpoint 2"))
    with pytest.raises(ValueError, match=f"^{re.escape(f'fit: {file} is of another version of microbp')}$"):
        fit(net, X, Y, **SETTINGS, resume=file)
    for text in ("", "{}", "[]", "no JSON"):
        file.write_text(text)
        with pytest.raises(ValueError, match=f"^{re.escape(f'fit: {file} is no checkpoint of fit')}$"):
            fit(net, X, Y, **SETTINGS, resume=file)
    with pytest.raises(FileNotFoundError):
        fit(net, X, Y, **SETTINGS, resume=tmp_path / "none.json")


def test_the_order_of_samples_is_no_setting_where_a_step_takes_all(tmp_path):
    file = tmp_path / "run.json"
    fit(small(), X, Y, loss="hinge", epochs=2, shuffle=np.True_, checkpoint=file)
    history = fit(small(), X, Y, loss="hinge", epochs=3, shuffle=False, resume=file)
    assert len(history.cost) == 3


def test_parameters_without_paths_are_named_by_their_place_or_their_own_names(tmp_path):
    file = tmp_path / "run.json"
    net = Plain()
    fit(net, X, Y, loss="hinge", epochs=1, checkpoint=file)
    state = json.loads(file.read_text())
    assert list(state["parameters"]) == ["parameters[0]", "parameters[1]", "parameters[2]"]
    turned = SGD(net.values[::-1], lr=0.1)
    with pytest.raises(ValueError, match=r"has the parameters of the .* in another order$"):
        fit(net, X, Y, loss="hinge", epochs=1, optimiser=turned, resume=file)
    assert turned.steps == 0
    for name, each in zip("wvb", net.values, strict=True):
        each.name = name
    fit(net, X, Y, loss="hinge", epochs=1, checkpoint=file)
    assert list(json.loads(file.read_text())["parameters"]) == ["w", "v", "b"]


# ---------------------------------------------------------------------------------------- progress
class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_printed_where_there_is_no_terminal(capsys):
    fit(small(), X, Y, loss="hinge", epochs=3)
    fit(small(), X, Y, loss="hinge", epochs=3, progress=False)
    assert capsys.readouterr() == ("", "")
    history = fit(small(), X, Y, loss="hinge", epochs=3, progress=True)
    assert capsys.readouterr() == (f"{history}\n", "")


def test_a_line_on_a_terminal_ends_with_the_last_step(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    history = fit(small(), X, Y, loss="hinge", epochs=3, batch_size=4, progress=True)
    first, *_, last = terminal.getvalue().removesuffix("\n").split("\r")[1:]
    assert first == f"epoch 1 of 3, cost {history.step_cost[0]:.4g}\x1b[K"
    assert last == f"epoch 3 of 3, cost {history.step_cost[-1]:.4g}\x1b[K"
    assert terminal.getvalue().endswith("\n")


def test_a_short_run_shows_no_line_and_a_long_one_does(monkeypatch):
    for seconds, shown in ((0.001, False), (0.3, True)):
        terminal, clock = Terminal(), iter(range(10_000))
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(running.time, "monotonic", lambda c=clock, s=seconds: s * next(c))
        fit(small(), X, Y, loss="hinge", epochs=5)
        assert ("epoch" in terminal.getvalue()) is shown
        assert fit(small(), X, Y, loss="hinge", epochs=5, progress=False).stopped == "epochs"


def test_the_line_is_ended_when_a_run_fails(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    net = Root()
    with pytest.raises(NotFinite):
        fit(net, [[1.0], [-1.0]], [1, 1], loss="hinge", batch_size=1, shuffle=False, progress=True)
    assert terminal.getvalue().startswith("\repoch 1 of 100, cost ")
    assert terminal.getvalue().endswith("\x1b[K\n")


def test_rich_is_not_loaded_without_need():
    program = (
        "import sys\nfrom microbp.nn import MLP\nfrom microbp.training import fit\n"
        "fit(MLP(1, [1], seed=0), [[1.0]], [1.0], loss='hinge', epochs=2, progress=True)\n"
        "assert 'rich' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert run.stdout.endswith("The net holds the last parameters.\n")


# ----------------------------------------------------------------------------------- collector
def graph_nodes():
    return sum(type(each) is Value and not each.is_leaf for each in gc.get_objects())


@pure
def test_the_graph_of_a_step_is_gone_before_the_next():
    seen = []

    class Watching(MLP):
        def __call__(self, x):
            out = super().__call__(x)
            if x == X[0]:
                seen.append(graph_nodes())
            return out

    gc.collect()
    before = graph_nodes()
    fit(Watching(2, [3, 1], seed=1), X, Y, loss="hinge", epochs=4)
    assert graph_nodes() == before
    _, *steps = seen
    assert steps == [before + 7] * 4  # 3 dot, 3 relu, 1 dot, and nothing of the step before


def test_the_collector_is_as_it_was_also_after_an_error_or_where_it_was_off():
    net = StrikingNet(Striking(5, lambda: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        fit(net, X, Y, loss="hinge")
    assert gc.isenabled()
    gc.disable()
    try:
        fit(small(), X, Y, loss="hinge", epochs=1)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_optimiser_of_ones_own_trains():
    class Sign(Optimiser):
        def update(self, p, g, memory, lr):
            return p - math.copysign(lr, g), memory

    net = Line()
    history = fit(net, [[1.0]], [1.0], loss="mean_squared_error", optimiser=Sign([net.w], lr=0.25), epochs=4)
    assert history.cost == [1.0, 0.5625, 0.25, 0.0625]
    assert net.w.data == 1.0


# ----------------------------------------------------------------------------------- the example
def test_the_example_of_two_moons_learns_and_prints_the_same_each_time():
    example = Path(__file__).parents[1] / "examples" / "moons.py"
    both = [
        subprocess.Popen([sys.executable, example], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    (printed, complaints), again = (each.communicate() for each in both)
    assert complaints == ""
    assert again == (printed, complaints)
    first, *_, message, last = printed.splitlines()
    assert first == "105 parameters, accuracy 0.800 before training"
    assert "The net holds the best parameters, of epoch " in message
    told, accuracy = last.split(": ")
    assert told == "accuracy on 200 new points"
    assert float(accuracy) >= 0.95


def test_the_example_of_a_differential_equation_finds_its_rates():
    example = Path(__file__).parents[1] / "examples" / "predators.py"
    run = subprocess.run([sys.executable, example], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    found = re.findall(r"^(\w+) +\+([0-9.]+) +\+([0-9.]+)$", run.stdout, re.MULTILINE)
    assert [name for name, _, _ in found] == ["alpha", "beta", "gamma", "delta"]
    fitted, errors = np.array([numbers for _, *numbers in found], dtype=float).T
    assert (np.abs(fitted - [1.1, 0.4, 0.4, 0.1]) < 3.0 * errors).all()
    assert (errors < 0.003).all()
