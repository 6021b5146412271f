"""Ctrl-C at any moment discards one step at most, and leaves nothing on. Long form: ``--long``."""

from __future__ import annotations

import gc
import io
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import microbp
import viz
from microbp import MLP, Graph, Value, fit, record_sites
from microbp.compiled import SCOPE
from microbp.optim import SGD
from microbp.recording.groups import current_group

LIBRARY = tuple(str(Path(each.__file__).parent) for each in (microbp, viz))
X, Y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [-1.0, 1.0, 1.0, -1.0]


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Nothing is frozen; and it calls nothing of what other tests have made: a strike would be lost there."""
    frozen = gc.get_freeze_count()
    others = [each for each in gc.callbacks if getattr(each, "__module__", "").startswith("hypothesis")]
    for each in others:
        gc.callbacks.remove(each)
    yield
    gc.callbacks.extend(others)
    assert gc.get_freeze_count() <= frozen


# ------------------------------------------------------------------ at an instruction of the library
class Striker:
    """Ctrl-C at the nth instruction of the library's own files, as an exception raised there.

    The first instructions of ``__exit__`` are passed over: no code of a context manager can come before them.
    """

    def __init__(self, nth: int) -> None:
        self.left = self.nth = nth

    def called(self, frame: Any, _event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(LIBRARY):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.ran

    def ran(self, frame: Any, event: str, _: object) -> Any:
        if event == "opcode" and not (frame.f_lasti <= 4 and frame.f_code.co_name == "__exit__"):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.ran

    def struck(self, work: Callable[[], object]) -> bool:
        """Whether the work was struck."""
        before = sys.gettrace()
        sys.settrace(self.called)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        return self.left <= 0


def nothing_is_on() -> None:
    """What a computation needs is as it was before."""
    x = Value(2.0, name="x")
    y = x * x
    y.backward()
    assert (x.grad, y.site, y.requires_grad, Graph(y).root.group) == (4.0, None, True, ())
    assert current_group() is None
    assert not SCOPE["grouped"]
    assert not SCOPE["special"]
    assert record_sites(False) is False
    assert gc.isenabled()


W = [Value(0.1 * i - 0.2, name=f"w{i}") for i in range(4)]


def cost(x: Any) -> Any:
    return microbp.sum([(w * each).tanh() for w, each in zip(W, [x[0], x[1], x[0], x[1]], strict=True)])


def traced() -> None:
    function = microbp.compile(cost)
    function([0.5, 1.0])


def recorded() -> None:
    cost([0.5, 1.0])


def passed() -> None:
    loss = cost([0.5, 1.0])
    loss.backward()
    for w in W:
        w.grad = None


def drawn() -> None:
    viz.draw(cost([0.5, 1.0]), names={}).dot  # noqa: B018


def explained() -> None:
    str(microbp.explain(cost([0.5, 1.0]), W[1], names={}))


def diagnosed() -> None:
    microbp.diagnose(cost([0.5, 1.0]), net=MLP(2, [2], seed=1), data=[[0.5, 1.0]], names={}, show=False)


def in_shell() -> None:
    typed = io.StringIO("step\nexplain w1\nback\nquit\n")
    microbp.step(cost([0.5, 1.0]), names={}, stdin=typed, stdout=io.StringIO())


@pytest.mark.parametrize("work", [recorded, passed, traced, drawn, explained, diagnosed, in_shell])
def test_a_strike_at_a_random_instruction_leaves_nothing_on(work: Callable[[], None], long: bool) -> None:
    work()
    whole = Striker(10**12)
    assert not whole.struck(work)
    instructions = 10**12 - whole.left
    moments = random.Random(3)  # noqa: S311
    strikes = sorted(moments.randrange(1, instructions) for _ in range(300 if long else 15))
    struck = 0
    for at in strikes:
        struck += Striker(at).struck(work)
        for w in W:
            w.grad = None
        nothing_is_on()
    assert struck > len(strikes) / 2  # what is done once, such as an import, is not done again
    traced()
    assert vars(Value)["data"].fget.__name__ == "data"
    nothing_is_on()


def test_a_strike_anywhere_where_nodes_are_made_leaves_the_collector_on() -> None:
    x = Value(2.0, name="x")

    def made() -> None:
        assert len(Graph(x * x + x, names={}).nodes) == 3

    made()
    whole = Striker(10**12)
    assert not whole.struck(made)
    instructions = 10**12 - whole.left
    for at in range(1, instructions):
        Striker(at).struck(made)
        on = gc.isenabled()
        gc.enable()
        assert on, f"struck at instruction {at} of {instructions}"


# --------------------------------------------------------------------------------- pressed for real
def pressed(after: float) -> threading.Thread:
    """Ctrl-C in so many seconds, wherever the program is then."""
    thread = threading.Thread(target=lambda: (time.sleep(after), signal.raise_signal(signal.SIGINT)))
    thread.start()
    return thread


COLLECTING = """
import gc, os, random, signal, sys, threading, time
from microbp import Value

before = [*gc.callbacks], gc.get_threshold(), gc.get_freeze_count()
ignored, struck, moments = [], 0, random.Random(1)
sys.unraisablehook = ignored.append
v, kept = Value(1.0), []

def press(after):
    time.sleep(after)
    os.kill(os.getpid(), signal.SIGINT)

for _ in range(ROUNDS):
    thread = threading.Thread(target=press, args=(moments.uniform(0.0, 0.01),))
    try:
        thread.start()
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            y = v
            for _ in range(1000):
                y = y * 1.0
                kept.append([])
            if len(kept) > 200_000:
                kept.clear()
    except KeyboardInterrupt:
        struck += 1
    thread.join()
assert (struck, ignored) == (ROUNDS, []), (struck, ignored)
y.backward()
assert before == ([*gc.callbacks], gc.get_threshold(), gc.get_freeze_count())
"""


def test_the_collector_is_left_alone_and_drops_no_ctrl_c(long: bool) -> None:
    program = COLLECTING.replace("ROUNDS", "300" if long else "40")
    folder = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def numbers(module: Any) -> list[float]:
    return [each.data for each in module.parameters()]


@pytest.mark.parametrize("engine", ["eager", "auto"])
def test_fit_ends_with_whole_steps_wherever_it_is_struck(engine: str, long: bool) -> None:
    options: dict[str, Any] = {"loss": "hinge", "batch_size": 2, "seed": 2, "keep": "last", "engine": engine}

    def net() -> MLP:
        return MLP(2, [3, 1], activation="tanh", seed=1)

    def run(epochs: int) -> tuple[Any, list[float]]:
        module = net()
        optimiser = SGD(module.parameters(), lr=0.01)
        return fit(module, X, Y, **options, optimiser=optimiser, epochs=epochs), numbers(module)

    run(1)
    moments, ends = random.Random(4), set()  # noqa: S311
    for _ in range(300 if long else 10):
        thread = None
        try:
            thread = pressed(moments.uniform(0.002, 0.05))
            history, found = run(10**6)
            ends.add(history.stopped)
            steps = len(history.step_cost)
            assert steps == len(history.learning_rate) == 2 * len(history.cost) + steps % 2
            again, whole = run(max(1, steps // 2))
            assert history.step_cost[: 2 * (steps // 2)] == again.step_cost[: 2 * (steps // 2)]
            assert steps % 2 or not steps or found == whole
        except KeyboardInterrupt:  # before the first step, or after the last
            ends.add("raised")
        if thread is not None:
            thread.join()
        assert gc.isenabled()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert "interrupted" in ends


def test_a_net_that_swallows_the_first_ctrl_c_is_ended_by_the_second() -> None:
    class Stubborn(MLP):
        def __call__(self, x: Any) -> Any:
            try:
                if next(calls) in (50, 90):
                    signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                swallowed.append(len(swallowed))
                if len(swallowed) > 1:
                    raise
            return super().__call__(x)

    calls, swallowed = count(), list[int]()
    history = fit(Stubborn(2, [1], seed=1), X, Y, loss="hinge", engine="eager", epochs=10**6)
    assert (history.stopped, swallowed) == ("interrupted", [0, 1])
