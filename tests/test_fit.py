"""``fit`` trains the net that the eager engine trains, whatever a net or a loss does.

Each case is a net, a loss, or what stands around them, that a program made from one recorded sample would get
wrong, or might; it is trained from the same start with ``engine="auto"`` and ``engine="eager"``.
"""

from __future__ import annotations

import math
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import Centred, native

import microbp
from microbp import MLP, Value, data_of, fit, no_grad
from microbp.losses import binary_cross_entropy, hinge, mean_squared_error, softmax_cross_entropy
from microbp.native import Machine
from microbp.nn import Module
from microbp.optim import SGD, Adam, AdamW, Cosine
from microbp.training import Settings

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2))
SIGN = np.where(X[:, 0] * X[:, 1] > 0.0, 1, -1)
SMOOTH = np.sin(X[:, 0]) - 0.5 * X[:, 1]

CASES: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {}


def case(engine: str = "eager") -> Callable[[Any], Any]:
    """A function that makes the arguments of ``fit``, and how ``engine`` of the history begins."""

    def keep(make: Any) -> Any:
        CASES[make.__name__.replace("_", " ")] = make, engine
        return make

    return keep


class Net(MLP):
    """A small net whose output goes through ``after(output, input)``."""

    def __init__(self, after: Any = None, before: Any = None, width: int = 1) -> None:
        super().__init__(2, [3, width], activation="tanh", seed=3)
        self._after, self._before = after, before

    def __call__(self, x: Any) -> Any:
        out = super().__call__(self._before(x) if self._before else x)
        return self._after(out, x) if self._after else out


def job(net: Any = None, loss: Any = "mean_squared_error", **options: Any) -> dict[str, Any]:
    """The arguments of a run of three batches to an epoch."""
    given = {"net": net or Net(), "X": X, "Y": SMOOTH, "loss": loss, "epochs": 6, "batch_size": 10}
    return given | options


def pairs(predictions: Any, targets: Any) -> Any:
    return [(p[0], t) for p, t in zip(predictions, targets, strict=True)]


def mean(costs: Any) -> Any:
    return microbp.sum(costs) / len(costs)


# --------------------------------------------------------------------- numbers that leave the graph
@case()
def a_leak_by_the_number() -> Any:
    return job(Net(lambda z, _: z if z.data > 0 else 0.1 * z))


@case()
def a_leak_by_comparison() -> Any:
    return job(Net(lambda z, _: z if z > 0 else 0.1 * z))


@case()
def an_input_that_equals_one() -> Any:
    return job(Net(lambda z, x: 2.0 * z if x[0] == 1 else z), X=np.where(X > 1.0, 1.0, X))


@case()
def an_input_that_does_not_equal_one() -> Any:
    return job(Net(lambda z, x: z if x[0] != 1 else 2.0 * z), X=np.where(X > 1.0, 1.0, X))


@case()
def an_input_among_several_numbers() -> Any:
    return job(Net(lambda z, x: 2.0 * z if x[1] in (0.0, 1.0) else z), X=np.where(X > 1.0, 1.0, X))


@case()
def an_input_as_a_key() -> Any:
    table = {1.0: 2.0, -1.0: 0.5}
    return job(Net(lambda z, x: z * table.get(x[0], 1.0)), X=np.where(np.abs(X) > 1.0, np.sign(X), X))


@case()
def an_input_in_a_set() -> Any:
    known = {1.0, -1.0}
    return job(Net(lambda z, x: -z if x[0] in known else z), X=np.where(np.abs(X) > 1.0, np.sign(X), X))


@case()
def an_input_as_text() -> Any:
    return job(Net(lambda z, x: -z if str(x[0]).startswith("-") else z))


@case()
def sorted_labels_of_one() -> Any:
    order = np.argsort(SIGN, kind="stable")

    def loss(p: Any, t: Any) -> Any:
        return mean([3.0 * (a - b) ** 2 if b == 1 else (a - b) ** 2 for a, b in pairs(p, t)])

    return job(loss=loss, X=X[order], Y=SIGN[order], shuffle=False)


@case()
def targets_that_are_left_out() -> Any:
    def loss(p: Any, t: Any) -> Any:
        return mean([(a - b) ** 2 for a, b in pairs(p, t) if b != -1] or [p[0][0] * 0.0])

    return job(loss=loss, Y=np.where(X[:, 0] > 1.0, -1.0, SMOOTH))


@case()
def a_huber_loss_with_easy_samples_first() -> Any:
    def huber(e: Any) -> Any:
        return e * e / 2 if abs(e.data) < 1.0 else abs(e) - 0.5

    def loss(p: Any, t: Any) -> Any:
        return mean([huber(a - b) for a, b in pairs(p, t)])

    return job(loss=loss, Y=np.where(np.arange(30) > 25, 9.0, 0.0), shuffle=False)


@case()
def a_detached_gate_one_by_one() -> Any:
    return job(Net(lambda z, _: z * z.detach()), batch_size=1)


@case()
def a_division_by_its_own_number_one_by_one() -> Any:
    return job(Net(lambda z, _: z + z / (2.0 + abs(z.data))), batch_size=1)


@case()
def a_normalisation_by_the_numbers_of_the_inputs() -> Any:
    return job(Net(before=lambda x: [each / (1.0 + max(map(abs, x))) for each in x]))


@case()
def the_largest_output_by_its_number() -> Any:
    return job(Net(lambda z, _: z[int(np.argmax(data_of(z)))], width=3))


@case()
def a_step_function_of_the_output() -> Any:
    return job(Net(lambda z, _: z * (1.0 + 0.1 * math.floor(4.0 * z))))


@case()
def a_gate_without_gradient() -> Any:
    def gate(z: Any, x: Any) -> Any:
        with no_grad():
            g = (x[0] * 2.0).sigmoid() if isinstance(x[0], Value) else 1.0 / (1.0 + math.exp(-2.0 * x[0]))
        return z * g

    return job(Net(gate))


@case()
def a_gradient_inside_the_net() -> Any:
    def slope(z: Any, _: Any) -> Any:
        v = Value(z.data)
        return z * microbp.grad(v**3, v)

    return job(Net(slope))


@case()
def a_weight_that_chooses() -> Any:
    class Gated(Net):
        def __call__(self, x: Any) -> Any:
            z = super().__call__(x)
            return z if self.parameters()[0].data > 0.7 else 0.5 * z

    return job(Gated(), optimiser_of=lambda net: SGD(net.parameters(), lr=0.5))


@case()
def a_loop_until_a_number_is_reached() -> Any:
    def grown(z: Any, _: Any) -> Any:
        y = z
        while abs(y.data) < 0.5:
            y = y + y + 0.1
        return y

    return job(Net(grown))


@case()
def an_input_that_is_in_a_set() -> Any:
    rare = {X[7, 0], X[20, 1]}
    return job(Net(lambda z, x: 3.0 * z if x[0] in rare else z), shuffle=False)


@case()
def the_weight_of_a_rare_class() -> Any:
    def weighted(p: Any, t: Any) -> Any:
        return mean([(a - b) ** 2 * {SMOOTH[3]: 9.0}.get(b, 1.0) for a, b in pairs(p, t)])

    return job(loss=weighted)


@case("replay")
def values_in_a_set() -> Any:
    def squares(p: Any, t: Any) -> Any:
        return mean_squared_error(p, t) + 0.01 * microbp.sum(w * w for w in set(net.parameters()))

    net = Net(lambda z, _: microbp.sum({z: 1, -z: 2, z * 2.0: 3}))
    return job(net, squares)


@case()
def what_kind_of_number_it_is() -> Any:
    return job(Net(lambda z, x: z if isinstance(x[0], float) else z * 3.0))


@case()
def an_exception_that_is_swallowed() -> Any:
    def steep(x: Any) -> Any:
        try:
            return [x[0], math.sin(x[1])]
        except TypeError:
            return [x[0], 0.0]

    return job(Net(before=steep))


# ------------------------------------------------------------------------ how samples are combined
@case()
def the_root_of_the_mean_one_by_one_with_validation() -> Any:
    def rmse(p: Any, t: Any) -> Any:
        return (mean([(a - b) ** 2 for a, b in pairs(p, t)]) + 1e-9).sqrt()

    return job(loss=rmse, batch_size=1, validation=0.3, patience=2)


@case()
def the_root_of_the_mean() -> Any:
    return job(loss=lambda p, t: (mean([(a - b) ** 2 for a, b in pairs(p, t)]) + 1e-9).sqrt())


@case("replay")
def a_sum_one_by_one_with_validation() -> Any:
    def total(p: Any, t: Any) -> Any:
        return microbp.sum([(a - b) ** 2 for a, b in pairs(p, t)])

    return job(loss=total, batch_size=1, validation=0.3, patience=2)


@case("replay")
def a_sum_in_unequal_batches() -> Any:
    def total(p: Any, t: Any) -> Any:
        return microbp.sum([(a - b) ** 2 for a, b in pairs(p, t)])

    return job(loss=total, batch_size=8, optimiser_of=lambda net: SGD(net.parameters(), lr=0.01))


@case()
def weights_by_place_in_the_batch() -> Any:
    def loss(p: Any, t: Any) -> Any:
        return mean([(1.0 + 3.0 * (i == 9)) * (a - b) ** 2 for i, (a, b) in enumerate(pairs(p, t))])

    return job(loss=loss)


@case()
def a_trimmed_mean() -> Any:
    def loss(p: Any, t: Any) -> Any:
        costs = sorted(((a - b) ** 2 for a, b in pairs(p, t)), key=lambda c: c.data)
        return mean(costs[:-1] if len(costs) > 9 else costs)

    return job(loss=loss)


@case("replay")
def a_mean_over_the_whole_data_set() -> Any:
    return job(loss=lambda p, t: microbp.sum([(a - b) ** 2 for a, b in pairs(p, t)]) / 30, batch_size=8)


@case()
def a_weight_that_makes_up_for_small_batches() -> Any:
    def loss(p: Any, t: Any) -> Any:
        return mean([(a - b) ** 2 for a, b in pairs(p, t)]) * (2.0 if len(p) < 8 else 1.0)

    return job(loss=loss, batch_size=8)


@case()
def a_pull_between_neighbours() -> Any:
    def loss(p: Any, t: Any) -> Any:
        smooth = [(a[0] - b[0]) ** 2 for a, b in zip(p[1:], p[:-1], strict=True)]
        return mean_squared_error(p, t) + (0.1 * microbp.sum(smooth) if smooth else 0.0)

    return job(loss=loss)


@case()
def a_net_that_centres_its_batch() -> Any:
    return job(Centred())


# ------------------------------------------------------------------- what stands outside the graph
@case()
def dropout_of_one_in_a_hundred() -> Any:
    rng = np.random.default_rng(5)
    return job(Net(lambda z, _: z * 0.0 if rng.random() < 0.01 else z))


@case()
def dropout_by_pythons_random() -> Any:
    random.seed(5)
    return job(Net(lambda z, _: z * 0.0 if random.random() < 0.2 else z))  # noqa: S311


@case()
def noise_by_numpys_own_generator() -> Any:
    np.random.seed(5)  # noqa: NPY002
    return job(Net(lambda z, _: z + 0.1 * np.random.normal()))  # noqa: NPY002


@case()
def a_factor_that_changes_after_two_hundred_calls() -> Any:
    calls = [0]

    def late(z: Any, _: Any) -> Any:
        calls[0] += 1
        return z if calls[0] < 200 else 2.0 * z

    return job(Net(late), epochs=12)


@case()
def a_counter_of_the_net_itself() -> Any:
    class Counting(Net):
        calls = 0

        def __call__(self, x: Any) -> Any:
            self.calls += 1
            return super().__call__(x) * (1.0 + 1.0 / self.calls)

    return job(Counting())


def in_an_attribute(place: Any) -> Callable[[], int]:
    place.n = 0

    def count() -> int:
        place.n += 1
        return int(place.n)

    return count


def in_bytes(held: Any) -> Callable[[], int]:
    def count() -> int:
        held[:] = (int.from_bytes(held, "big") + 1).to_bytes(2, "big")
        return int.from_bytes(held, "big")

    return count


def in_a_module() -> Callable[[], int]:
    counted.n = 0

    def count() -> int:
        counted.n += 1
        return int(counted.n)

    return count


def by_a_property() -> Callable[[], int]:
    calls = [0]

    class Counter:
        @property
        def next(self) -> int:
            calls[0] += 1
            return calls[0]

    counter = Counter()
    return lambda: counter.next


@dataclass(slots=True)
class Slot:
    n: int = 0


#: A module of the user's, which a function names.
counted: Any = ModuleType("counted")
counted.__file__ = "counted.py"
#: Where a count is kept.
COUNTS: dict[str, Callable[[], Callable[[], int]]] = {
    "a namespace": lambda: in_an_attribute(SimpleNamespace()), "a slot": lambda: in_an_attribute(Slot()),
    "a thread": lambda: in_an_attribute(threading.local()), "bytes": lambda: in_bytes(bytearray(2)),
    "a view of bytes": lambda: in_bytes(memoryview(bytearray(2))), "a module": in_a_module,
    "what a property reads": by_a_property,
}  # fmt: skip


def a_count_kept_anywhere(make: Callable[[], Callable[[], int]]) -> Any:
    count = make()
    return job(Net(lambda z, _: z if count() < 200 else 2.0 * z), epochs=9)


for where, make in COUNTS.items():
    CASES[f"a count kept in {where}"] = partial(a_count_kept_anywhere, make), "eager"


@case()
def a_counter_of_the_loss() -> Any:
    steps = 0

    def annealed(p: Any, t: Any) -> Any:
        nonlocal steps
        steps += 1
        return mean_squared_error(p, t) * (1.0 + math.exp(-steps / 10))

    return job(loss=annealed)


@case()
def a_running_mean_of_the_outputs() -> Any:
    class Running(Net):
        def __init__(self) -> None:
            super().__init__()
            self.state_ = {"mean": 0.0}

        def __call__(self, x: Any) -> Any:
            z = super().__call__(x)
            self.state_["mean"] = 0.9 * self.state_["mean"] + 0.1 * z.data
            return z - self.state_["mean"]

    return job(Running())


@case("replay for")
def a_temperature_that_the_schedule_changes() -> Any:
    net = Net()
    net._after = lambda z, _: z * net._heat
    net._heat = 1.0

    def schedule(step: int) -> float:
        net._heat = 1.0 + 0.5 * (70 <= step < 75)
        return 0.1

    return job(net, optimiser_of=lambda net: SGD(net.parameters(), lr=schedule), epochs=100)


@case("replay")
def weights_that_the_schedule_clips() -> Any:
    net = Net()

    def schedule(_: int) -> float:
        for each in net.parameters():
            each.data = max(-0.3, min(0.3, each.data))
        return 0.3

    return job(net, optimiser_of=lambda net: SGD(net.parameters(), lr=schedule), epochs=40)


@case("replay")
def a_rate_that_depends_on_the_weights() -> Any:
    net = Net()

    def schedule(_: int) -> float:
        return 0.1 / (1.0 + sum(each.data**2 for each in net.parameters()))

    return job(net, optimiser_of=lambda net: SGD(net.parameters(), lr=schedule), epochs=40)


@case()
def layers_that_are_unfrozen_on_the_way() -> Any:
    net = Net()
    net.layers[0].freeze()

    def schedule(step: int) -> float:
        if step == 7:
            net.layers[0].freeze(False)
        return 0.1

    return job(net, optimiser_of=lambda net: SGD(net.parameters(), lr=schedule))


@case()
def a_constant_that_the_schedule_changes() -> Any:
    scale = Value(1.0)
    scale.requires_grad = False

    def schedule(step: int) -> float:
        scale.data = 1.0 + step / 10
        return 0.1

    return job(
        Net(lambda z, _: z * scale), optimiser_of=lambda net: SGD(net.parameters(), lr=schedule)
    )


# ------------------------------------------------------------------------------ what can be replayed
@case("replay")
def a_loss_of_our_losses() -> Any:
    net = Net()

    def penalty() -> Any:
        return microbp.dot(net.parameters(), net.parameters())

    return job(net, lambda p, t: mean_squared_error(p, t) + 0.1 * penalty())


@case("replay")
def a_hinge_with_a_penalty() -> Any:
    net = Net()

    def penalty() -> Any:
        return microbp.sum(abs(w) for w in net.parameters())

    return job(net, lambda p, t: 2.0 * hinge(p, t) + 0.01 * penalty(), Y=SIGN)


@case("replay")
def two_losses_of_probabilities() -> Any:
    def loss(p: Any, t: Any) -> Any:
        return binary_cross_entropy(p, t) + 0.5 * mean_squared_error([[a[0].sigmoid()] for a in p], t)

    return job(loss=loss, Y=(SIGN + 1) // 2, optimiser_of=lambda net: Adam(net.parameters(), lr=0.05))


@case("replay")
def cross_entropy_of_classes_with_a_penalty() -> Any:
    net = Net(width=3)

    def loss(p: Any, t: Any) -> Any:
        return softmax_cross_entropy(p, t) + 0.01 * microbp.dot(net.parameters(), net.parameters())

    return job(net, loss, Y=np.arange(30) % 3, validation=0.2)


@case("replay")
def a_branch_that_stays_in_the_graph() -> Any:
    return job(Net(lambda z, _: microbp.select(z, z, 0.1 * z)))


@case("replay")
def a_net_that_fills_a_cache_at_its_first_call() -> Any:
    class Lazy(Net):
        def __call__(self, x: Any) -> Any:
            if not hasattr(self, "_scale"):
                self._scale = 0.5
            return super().__call__(x) * self._scale

    return job(Lazy())


@case("replay")
def a_net_that_keeps_its_inputs_for_a_backward_pass_of_its_own() -> Any:
    class Kept(Net):
        def __call__(self, x: Any) -> Any:
            self._x = x
            return super().__call__(x) * 2.0

        def derivative(self) -> Any:
            return self._x

    return job(Kept())


@case("replay")
def a_net_that_looks_up_what_it_knows() -> Any:
    known = {}

    def scaled(z: Any, _: Any) -> Any:
        if "scale" not in known:
            known["scale"] = math.sqrt(0.5)
        return z * known["scale"]

    return job(Net(scaled))


@case()
def a_net_that_remembers_the_sample_before() -> Any:
    class Recurrent(Net):
        def __call__(self, x: Any) -> Any:
            z = super().__call__(x)
            before, self._before_ = getattr(self, "_before_", 0.0), z.data
            return z + 0.5 * before

    return job(Recurrent())


@case("eager (the net draws from outside of it (Path))")
def a_net_that_reads_a_file() -> Any:
    return job(Net(lambda z, _: z * (float(len(Path(__file__).read_text(encoding="utf-8")) > 1))))


@case("eager (the loss draws from outside of it (os.urandom))")
def a_loss_that_draws_a_rare_number_of_the_system() -> Any:
    def loss(p: Any, t: Any) -> Any:
        return mean([(a - b) ** 2 for a, b in pairs(p, t)]) * float(os.urandom(4) != b"rare")

    return job(loss=loss)


@case("replay")
def a_net_that_keeps_its_last_output_to_be_looked_at() -> Any:
    class Kept(Net):
        def __call__(self, x: Any) -> Any:
            self._last = super().__call__(x)
            return self._last * 2.0

    return job(Kept())


def trained(make: Any, engine: str) -> tuple[list[float], Any]:
    given = make()
    net = given.pop("net")
    optimiser = given.pop("optimiser_of", lambda net: SGD(net.parameters(), lr=0.1))(net)
    history = fit(net, given.pop("X"), given.pop("Y"), optimiser=optimiser, engine=engine, **given)
    return [each.data for each in net.parameters()], history


@pytest.mark.parametrize("name", CASES)
def test_both_engines_train_the_same_net(name: str) -> None:
    make, engine = CASES[name]
    numbers, history = trained(make, "auto")
    expected, eager = trained(make, "eager")
    assert numbers == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert history.step_cost == pytest.approx(eager.step_cost, rel=1e-9, abs=1e-12)
    assert history.validation_cost == pytest.approx(eager.validation_cost, rel=1e-9, abs=1e-12)
    assert history.engine.startswith(engine)


# ----------------------------------------------------------------------- what goes wrong on the way
def planted(monkeypatch: Any, first: int, change: Any) -> None:
    """From its ``first`` call on, a program's gradient is changed; no step is taken without it, in C."""
    monkeypatch.setattr("microbp.training.run.Run._steps_in_c", lambda _: False)
    right, calls = microbp.Program.value_and_grad, [0]

    def wrong(self: Any, *batch: Any, **options: Any) -> Any:
        found = right(self, *batch, **options)
        calls[0] += 1
        if calls[0] >= first:
            change(found)
        return found

    monkeypatch.setattr(microbp.Program, "value_and_grad", wrong)


def doubled(found: Any) -> None:
    found.gradient *= 2.0


def little_off(found: Any) -> None:
    found.gradient[3] += 1e-6


def costly(found: Any) -> None:
    found.cost += 0.5


@native
@pytest.mark.parametrize("optimiser", [SGD, Adam, partial(SGD, momentum=0.9, nesterov=True), AdamW])
@pytest.mark.parametrize("options", [{"batch_size": 10}, {}, {"penalty": 0.01, "batch_size": 7}], ids=str)
def test_steps_in_c_are_those_in_python(monkeypatch: Any, optimiser: Any, options: Any) -> None:
    def run() -> tuple[list[float], Any, list[float]]:
        net = Net()
        given = {"optimiser": optimiser(net.parameters(), lr=Cosine(0.05, 200)), "epochs": 40} | options
        history = fit(net, X, SMOOTH, loss="mean_squared_error", keep="best", **given)
        return [each.data for each in net.parameters()], history, [each.grad for each in net.parameters()]

    taken = []
    right = Machine.train
    monkeypatch.setattr(Machine, "train", lambda self, *a: taken.append(right(self, *a)) or taken[-1])
    numbers, history, gradient = run()
    assert sum(taken) > 30
    monkeypatch.setattr("microbp.training.run.Run._steps_in_c", lambda _: False)
    expected, outside, slopes = run()
    assert numbers == pytest.approx(expected, rel=1e-12, abs=1e-13)
    assert gradient == pytest.approx(slopes, rel=1e-9, abs=1e-12)
    assert history.step_cost == pytest.approx(outside.step_cost, rel=1e-12)
    assert history.cost == pytest.approx(outside.cost, rel=1e-12)
    assert (history.learning_rate, history.best_epoch) == (outside.learning_rate, outside.best_epoch)


@cache
def recorded(options: tuple[tuple[str, Any], ...]) -> tuple[list[float], Any]:
    """What the eager engine makes of :func:`job`; nothing that is planted in replay reaches it."""
    return trained(lambda: job(**dict(options)), "eager")


@pytest.mark.parametrize(("first", "change"), [(1, doubled), (2, costly), (20, little_off), (55, doubled)])
@pytest.mark.parametrize(
    "options",
    [{"batch_size": 10}, {"batch_size": None}, {"batch_size": 1}, {"validation": 0.2, "patience": 4},
     {"tolerance": 1e-3}],
    ids=str,
)  # fmt: skip
def test_a_wrong_step_is_undone(monkeypatch: Any, options: Any, first: int, change: Any) -> None:
    given = {"epochs": 3 if options.get("batch_size") == 1 else 25} | options
    expected, eager = recorded(tuple(given.items()))
    planted(monkeypatch, first, change)
    numbers, history = trained(lambda: job(**given), "auto")
    assert numbers == pytest.approx(expected, rel=1e-9)
    assert history.step_cost == pytest.approx(eager.step_cost, rel=1e-9)
    assert history.cost == pytest.approx(eager.cost, rel=1e-9)
    assert (history.stopped, history.best_epoch) == (eager.stopped, eager.best_epoch)
    if len(eager.step_cost) >= first:  # else it was not called so often
        assert "eager (the " in history.engine
        assert ", and by replay " in history.why


class Averaging(SGD):
    """Keeps something of its own beside what every optimiser remembers."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.slow = {value: value.data for _, value in self.parameters}
        self.taken = 0

    def step(self) -> None:
        super().step()
        self.taken += 1
        for value, before in self.slow.items():
            self.slow[value] = 0.9 * before + 0.1 * value.data
            value.data += 0.01 * (self.slow[value] - value.data) / self.taken


def test_what_an_optimiser_keeps_of_its_own_is_undone_with_wrong_steps(monkeypatch: Any) -> None:
    planted(monkeypatch, 50, doubled)
    found = []
    for engine in ("auto", "eager"):
        net = Net()
        optimiser = Averaging(net.parameters(), lr=0.1)
        history = fit(
            net, X, SMOOTH, loss="mean_squared_error", optimiser=optimiser, batch_size=10, engine=engine
        )
        found.append([optimiser.taken, *optimiser.slow.values(), *(each.data for each in net.parameters())])
        assert "eager" in history.engine
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_the_history_says_until_when_it_replayed(monkeypatch: Any) -> None:
    planted(monkeypatch, 150, doubled)
    _, history = trained(lambda: job(epochs=60), "auto")
    assert history.engine.startswith("replay for 1")
    steps = int(history.engine.split()[2])
    assert 100 < steps < 150
    assert f" After {steps} steps each sample was recorded anew: {history.why}." in str(history)


def test_replay_that_was_asked_for_stops_where_it_was_right_last(monkeypatch: Any) -> None:
    planted(monkeypatch, 150, doubled)
    net = Net()
    optimiser = Adam(net.parameters(), lr=0.01)
    told = r"^fit: engine='replay', but this run cannot be replayed: the .*, and by replay "
    with pytest.raises(ValueError, match=told):
        fit(net, X, SMOOTH, loss="mean_squared_error", optimiser=optimiser, batch_size=10, engine="replay")
    assert 100 < optimiser.steps < 150
    twin = Net()
    fit(twin, X, SMOOTH, loss="mean_squared_error", optimiser=Adam(twin.parameters(), lr=0.01), batch_size=10,
        epochs=-(-optimiser.steps // 3), engine="eager")  # fmt: skip
    if optimiser.steps % 3 == 0:
        assert [each.data for each in net.parameters()] == pytest.approx(
            [each.data for each in twin.parameters()], rel=1e-9
        )


def test_a_run_that_left_replay_stays_eager_when_it_is_resumed(monkeypatch: Any, tmp_path: Any) -> None:
    file = tmp_path / "run.json"
    with monkeypatch.context() as patch:
        planted(patch, 150, doubled)
        trained(lambda: job(epochs=60, checkpoint=file), "auto")
    numbers, history = trained(lambda: job(epochs=80, resume=file), "auto")
    expected, _ = trained(lambda: job(epochs=80), "eager")
    assert numbers == pytest.approx(expected, rel=1e-9)
    assert history.engine.startswith("eager (the ")


def test_rounding_at_the_end_of_a_descent_is_no_difference() -> None:
    line = SMOOTH * 0.0 + X @ [0.5, -1.5] + 3.0

    class Line(Module):
        def __init__(self) -> None:
            self.w, self.b = [Value(0.0), Value(0.0)], Value(0.0)

        def __call__(self, x: Any) -> Any:
            return microbp.dot(self.w, x, self.b)

    numbers, history = trained(lambda: job(Line(), Y=line, epochs=400), "auto")
    assert numbers == pytest.approx([0.5, -1.5, 3.0], rel=1e-14)
    assert history.engine == "replay"


def test_what_a_trial_of_replay_leaves_behind_is_nothing() -> None:
    drawn = []

    class Drawing(Net):
        def __init__(self) -> None:
            super().__init__()
            self._rng = np.random.default_rng(1)

        def __call__(self, x: Any) -> Any:
            drawn.append(self._rng.random())
            return super().__call__(x) * drawn[-1]

    lists = []
    for engine in ("auto", "eager"):
        drawn.clear()
        trained(lambda: job(Drawing(), epochs=2), engine)
        lists.append(list(drawn))
    assert lists[0] == lists[1]


def test_settings_are_a_record() -> None:
    settings = Settings("hinge", batch_size=10, epochs=2)
    assert (settings.batch_size, settings.shuffle) == (10, True)
    with pytest.raises(AttributeError):
        settings.epochs = 5  # type: ignore[misc]


def test_a_setting_that_is_misspelt_or_missing() -> None:
    with pytest.raises(TypeError, match=r"^fit: no setting is called 'epoch'; did you mean 'epochs'\?$"):
        fit(Net(), X, SIGN, loss="hinge", epoch=3)
    with pytest.raises(TypeError, match=r"no setting is called 'optimizer'; did you mean 'optimiser'\?$"):
        fit(Net(), X, SIGN, loss="hinge", optimizer=None)
    with pytest.raises(TypeError, match=r"; the optimiser has it: optimiser=SGD\(net\.parameters"):
        fit(Net(), X, SIGN, loss="hinge", lr=0.1)
    with pytest.raises(TypeError, match=r"^fit: loss=… says what is to become small:"):
        fit(Net(), X, SIGN)


@pytest.mark.parametrize(("rows", "size"), [(216, 128), (204, 105), (300, 212), (203, 104)])
def test_a_last_batch_may_run_in_wider_blocks_than_those_before(rows: int, size: int) -> None:
    inputs = np.random.default_rng(1).normal(size=(rows, 2))
    settings: dict[str, Any] = {"loss": "mean_squared_error", "batch_size": size, "epochs": 3}
    said = []
    for clip in (None, 1e9):  # which changes nothing, but that each step comes back to Python
        net = MLP(2, [5, 1], activation="tanh", seed=1)
        history = fit(net, inputs, inputs[:, 0], clip=clip, **settings)
        said.append([*history.step_cost, *(each.data for each in net.parameters())])
    assert np.allclose(*said, rtol=1e-12, atol=0.0)


def test_the_layout_of_an_array_does_not_matter() -> None:
    costs = [fit(Net(), np.array(X, order=order), SIGN, loss="hinge", epochs=3).cost for order in ("C", "F")]
    assert costs[0] == costs[1]


@pytest.mark.parametrize("part", [slice(2), slice(-2, None), slice(None, None, -2)], ids=str)
@pytest.mark.parametrize("make", [SGD, Adam])
@pytest.mark.parametrize("engine", ["eager", "replay"])
def test_an_optimiser_changes_its_own_parameters_alone(engine: str, make: Any, part: slice) -> None:
    net, twin = Net(), Net()
    mine, theirs = net.parameters()[part], twin.parameters()[part]
    fit(**job(net, optimiser=make(mine, 0.05), engine=engine, epochs=2, batch_size=None, progress=False))
    optimiser = make(theirs, 0.05)
    for _ in range(2):
        twin.zero_grad()
        mean_squared_error([twin(x) for x in X], SMOOTH.tolist()).backward()
        optimiser.step()
    expected = [each.data for each in twin.parameters()]
    assert [each.data for each in net.parameters()] == pytest.approx(expected, rel=1e-12)


def test_the_zero_of_the_other_sign_is_written_to_a_parameter() -> None:
    class Slope(Module):
        def __init__(self) -> None:
            self.w = Value(-0.0)

        def __call__(self, x: Any) -> Any:
            return x[0] * self.w

    net = Slope()
    optimiser = SGD(net.parameters(), lr=1e-300)
    fit(net, [[1e-300]], [1.0], loss=mean_squared_error, optimiser=optimiser, epochs=1)
    assert math.copysign(1.0, net.w.data) == 1.0  # -0.0 - 1e-300 * -2e-300


def test_a_parameter_of_a_class_with_a_setter_of_its_own_is_set_by_it() -> None:
    seen = []

    class Watched(Value):
        @property
        def data(self) -> float:
            return super().data

        @data.setter
        def data(self, number: float) -> None:
            seen.append(number)
            Value.data.fset(self, number)  # type: ignore[attr-defined]

    net = MLP(1, [1], seed=1)
    bias = net.layers[0].neurons[0].b = Watched(0.0)
    fit(net, [[1.0]], [2.0], loss=mean_squared_error, optimiser=SGD(net.parameters(), lr=0.1), epochs=2)
    assert seen[-1] == bias.data != 0.0
