"""Threads, processes, generators and coroutines. Long form: ``--long``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest
from support import in_threads

import microbp
from microbp import MLP, BranchWarning, Graph, Value, fit, no_grad, record_sites
from microbp.outside import Outside
from microbp.recording.comparisons import comparisons_of

X, Y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [-1.0, 1.0, 1.0, -1.0]


@pytest.fixture
def hasty() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def net(seed: int = 1) -> MLP:
    return MLP(2, [3, 1], activation="tanh", seed=seed)


def numbers(module: Any) -> list[float]:
    return [each.data for each in module.parameters()]


def in_child(work: Callable[[], bool]) -> bool:
    """Whether the work is done, and true, in a process forked here; one that hangs is ended."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def computes() -> bool:
    """Record, go back, trace, compile and train."""
    w = Value(3.0, name="w")
    y = w * w
    y.backward()
    function = microbp.compile(lambda x: w * x)
    fit(net(), X, Y, loss="hinge", epochs=2)
    return w.grad == 6.0 and float(function(2.0)) == 6.0 and y.site is None and len(Graph(y)) == 2


@pytest.mark.usefixtures("hasty")
def test_a_fork_at_any_time_goes_on(long: bool) -> None:
    ended = threading.Event()

    def sweeping() -> None:
        root = w = Value(1.0)
        for _ in range(20_000):
            root = root * 1.0 + w
        while not ended.is_set():
            root.backward()
            Graph(root)

    def tracing() -> None:
        while not ended.is_set():
            microbp.compile(lambda x: x * x)(2.0)

    threads = [threading.Thread(target=each) for each in (sweeping, tracing)]
    for each in threads:
        each.start()
    try:
        for _ in range(60 if long else 6):
            assert in_child(computes)
    finally:
        ended.set()
        for each in threads:
            each.join()
    assert computes()


@pytest.mark.usefixtures("hasty")
def test_threads_that_trace_compile_and_train_at_once(long: bool) -> None:
    rounds = 60 if long else 6
    expected = net()
    history = fit(expected, X, Y, loss="hinge", epochs=5)

    def trains() -> None:
        for _ in range(rounds):
            module = net()
            assert fit(module, X, Y, loss="hinge", epochs=5) == history
            assert numbers(module) == numbers(expected)

    def compiles() -> None:
        for factor in range(1, rounds * 2):
            w = Value(float(factor))
            function = microbp.compile(lambda x, w=w: (w * x).tanh() + x)
            assert float(function(0.5)) == ((w * 0.5).tanh() + 0.5).data

    def reads() -> None:
        x = Value(2.0)
        for _ in range(rounds * 500):
            assert x.data == 2.0
            assert x != 2.0
            assert x.detach().data == 2.0
        assert comparisons_of(x) == ()  # it is the others who trace

    before = record_sites(False)
    in_threads(trains, compiles, compiles, reads)
    assert (Value(1.0) * 2.0).site is None
    assert record_sites(before) is False
    assert vars(Value)["data"].fget.__name__ == "data"


@pytest.mark.filterwarnings("error")
def test_a_trace_elsewhere_is_no_change_of_what_a_net_can_reach() -> None:
    entered, leave = threading.Event(), threading.Event()
    warned: list[str] = []

    def traced(x: Value) -> Value:
        entered.set()
        leave.wait()
        return x * x.data

    def traces() -> None:
        try:
            microbp.compile(traced)(2.0)
        except BranchWarning as warning:
            warned.append(str(warning))

    before = Outside(net(), Value, Value.__mul__)
    thread = threading.Thread(target=traces)
    thread.start()
    entered.wait()
    changed = before.changed()
    before.restore()
    leave.set()
    thread.join()
    assert changed == ""
    assert "x = 2.0" in warned[0]


@pytest.mark.usefixtures("hasty")
def test_a_branch_is_noticed_in_the_thread_that_traces_it() -> None:
    warned: list[int] = []

    def branches() -> None:
        for _ in range(5):
            with pytest.warns(BranchWarning):
                microbp.compile(lambda x: x * 2.0 if x > 0.0 else x)(1.0)
            warned.append(1)

    def straight() -> None:
        for _ in range(20):
            microbp.compile(lambda x: x * 2.0)(1.0)

    in_threads(branches, straight)
    assert len(warned) == 5


@pytest.mark.usefixtures("hasty")
def test_a_program_is_shared_by_threads(long: bool) -> None:
    rng = np.random.default_rng(1)
    module = net()
    x = microbp.array([0.1, 0.2], "x")
    program = microbp.compile(module(list(x)), inputs=list(x))
    batches = [rng.normal(size=(n, 2)) for n in (1, 3, 8, 50)]
    expected = [program.value_and_grad(each) for each in batches]
    theta = program.parameters

    def job(index: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(400 if long else 60):
                found = program.value_and_grad(batches[index])
                np.testing.assert_array_equal(found.gradient, expected[index].gradient)
                np.testing.assert_array_equal(found.costs, expected[index].costs)
                np.testing.assert_array_equal(program(batches[index], theta), program(batches[index]))

        return run

    in_threads(*(job(index) for index in range(4)))


# ---------------------------------------------------------------------------- generators and tasks
def recorded() -> bool:
    return (Value(1.0) * 2.0).requires_grad


def test_tasks_have_their_own_no_grad() -> None:
    async def unrecorded() -> bool:
        with no_grad():
            await asyncio.sleep(0)
            return recorded()

    async def usual() -> bool:
        await asyncio.sleep(0)
        return recorded()

    async def both() -> list[bool]:
        return await asyncio.gather(unrecorded(), usual(), unrecorded(), usual())

    assert asyncio.run(both()) == [False, True, False, True]
    assert recorded()


def test_a_generator_that_is_dropped_or_ends_leaves_nothing_on() -> None:
    def generator() -> Iterator[bool]:
        with no_grad():
            yield recorded()
            yield recorded()

    assert [*generator()] == [False, False]
    assert recorded()
    suspended = generator()
    assert next(suspended) is False
    assert copy_context().run(recorded) is False  # its caller shares it, as with decimal.localcontext()
    del suspended
    assert recorded()
    first, second = generator(), generator()
    next(first), next(second)
    first.close()
    assert not recorded()
    second.close()
    assert recorded()


# ------------------------------------------------------------------------- without standard output
def test_a_process_without_standard_output_computes_and_the_shell_asks_for_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w = Value(0.5, name="w")
    y = (w * 2.0).tanh()
    y.backward()
    net = MLP(2, [2, 1], seed=1)
    monkeypatch.setattr(sys, "stdout", None)  # as under pythonw
    assert microbp.check_gradients(y, names={}).ok
    assert microbp.audit(y, names={}).ok
    assert not microbp.check_answers(y, {"w": 1.0}, names={}).ok
    assert not microbp.diagnose(y, names={}).findings
    assert len(fit(net, [[0.0, 1.0]], [1.0], loss="hinge", epochs=2).cost) == 2
    with pytest.raises(ValueError, match=r"^step: this process has no standard output to write to: give "):
        microbp.step(y)
