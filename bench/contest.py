"""Contestants take turns: each in a process of its own, all pinned to one core, round by round.

A workload is a module in ``workloads`` with a TITLE, a UNIT, and contestants: functions marked by
:func:`contestant`, each of which prepares the work by one library and returns a :class:`Work`. Before
anything is timed, the outcomes of all of them are compared.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Row", "Work", "compare", "contestant"]

#: Each sample takes at least so long, and no more than one run if that takes longer.
SAMPLE_NS = 100_000_000
#: After so long a single run, a contestant has one round instead of all.
SLOW_NS = 2_000_000_000
#: A contestant that is not ready by then, or whose round takes longer, is given up.
PATIENCE = 240.0


class Work(NamedTuple):
    """Work that is prepared: ``run`` does it once, ``outcome`` tells numbers by which it is judged.

    The outcome is computed by the same code as what is timed, from the start, before anything is timed.
    """

    run: Callable[[], object]
    outcome: Callable[[], Iterable[float]]


class Row(NamedTuple):
    """How a contestant did: seconds for one run in each round, or why there are none."""

    name: str
    seconds: list[float]
    #: The largest relative difference of its outcome from the first contestant's.
    difference: float
    #: Seconds from the start of preparing, imports included, to the end of the first run.
    first: float
    failure: str


_CONTESTANTS: dict[str, dict[str, Callable[[], Work]]] = {}


def contestant(name: str) -> Callable[[Callable[[], Work]], Callable[[], Work]]:
    """Mark a function that prepares the work of its module's workload by the library ``name``."""

    def mark(prepare: Callable[[], Work]) -> Callable[[], Work]:
        _CONTESTANTS.setdefault(prepare.__module__.rpartition(".")[2], {})[name] = prepare
        return prepare

    return mark


def contestants(workload: str) -> tuple[Any, dict[str, Callable[[], Work]]]:
    """A workload's module, and its contestants by name; the first is the one all others are compared to."""
    module = importlib.import_module(f"workloads.{workload}")
    return module, _CONTESTANTS[workload]


# ------------------------------------------------------------------------------------------- one run
def compare(workload: str, rounds: int, only: Iterable[str] = (), tolerance: float = 1e-9) -> list[Row]:
    """Let the contestants of a workload take turns; a row for each, the reference first.

    Raises ValueError where an outcome differs from the reference's by more than ``tolerance``.
    """
    module, all_of_them = contestants(workload)
    names = [name for name in all_of_them if not only or name in only or name == next(iter(all_of_them))]
    running = {name: _Worker(workload, name) for name in names}
    try:
        reports = {name: worker.read() for name, worker in running.items()}
        reference = next(iter(reports.values()))
        if "failure" in reference:
            raise ValueError(f"{workload}: {names[0]} failed: {reference['failure']}")
        differences = {}
        for name, report in reports.items():
            if "failure" not in report:
                differences[name] = _difference(report["outcome"], reference["outcome"])
        allowed = getattr(module, "TOLERANCE", tolerance)
        wrong = {name: d for name, d in differences.items() if not d <= allowed}
        if wrong:
            raise ValueError(f"{workload}: outcomes differ from {names[0]}'s: {wrong}")
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(rounds):
            for name, worker in running.items():
                if "failure" in reports[name] or (turn and reports[name]["once"] > SLOW_NS):
                    continue
                answer = worker.ask(reports[name]["repeats"])
                if "failure" in answer:
                    reports[name] = answer
                else:
                    seconds[name].append(answer["ns"] / 1e9)
        return [
            Row(name, seconds[name], differences.get(name, 0.0), reports[name].get("first", 0.0),
                reports[name].get("failure", ""))
            for name in names
        ]  # fmt: skip
    finally:
        for worker in running.values():
            worker.stop()


def _difference(ours: list[float], theirs: list[float]) -> float:
    """The largest difference relative to the largest number of the reference."""
    if len(ours) != len(theirs):
        return float("inf")
    largest = max(map(abs, theirs)) or 1.0
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / largest


class _Worker:
    """A process that prepares one contestant, then runs it whenever it is asked to."""

    def __init__(self, workload: str, name: str) -> None:
        environment = os.environ | {
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
            "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "PYTHONHASHSEED": "0",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, __file__, workload, name], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def read(self) -> dict[str, Any]:
        """Its next line; a process that dies says so, one that takes too long is ended."""
        import selectors

        assert self._process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            if not ready.select(PATIENCE):
                self._process.kill()
                return {"failure": f"more than {PATIENCE:.0f} s"}
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            return {"failure": f"the process died ({'signal' if status < 0 else 'status'} {abs(status)})"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, repeats: int) -> dict[str, Any]:
        """The time of one run, measured over ``repeats`` runs."""
        assert self._process.stdin is not None
        try:
            print(repeats, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            return {"failure": "the process died"}
        return self.read()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


# --------------------------------------------------------------------------------- in the process
def _work(workload: str, name: str) -> None:
    """Prepare, tell the outcome, then time as often as asked."""
    _module, all_of_them = contestants(workload)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def tell(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    try:
        begun = time.perf_counter()
        work = all_of_them[name]()
        outcome = [float(x) for x in work.outcome()]
        first = time.perf_counter() - begun
        once = _timed(work.run, 1)
        for _ in range(3):
            if once < SAMPLE_NS:
                once = min(once, _timed(work.run, 1))
        repeats = max(1, round(SAMPLE_NS / max(once, 1)))
    except ImportError as error:
        tell(failure=f"missing: {(error.name or str(error)).partition('.')[0]}")
        return
    except (Exception, RecursionError) as error:  # noqa: BLE001 (whatever a peer raises is its result)
        tell(failure=type(error).__name__)
        return
    tell(outcome=outcome, repeats=repeats, once=once, first=first)
    for line in sys.stdin:
        repeats = int(line)
        tell(ns=_timed(work.run, repeats) / repeats)


def _timed(run: Callable[[], object], repeats: int) -> int:
    begun = time.process_time_ns()
    for _ in range(repeats):
        run()
    return time.process_time_ns() - begun


def summary(row: Row, reference: Row) -> tuple[float, float, float]:
    """The median of a contestant's time over the reference's in the same round, and its range."""
    pairs = zip(row.seconds, reference.seconds, strict=False)
    ratios = [seconds / ours for seconds, ours in pairs]
    return statistics.median(ratios), min(ratios), max(ratios)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules["contest"] = sys.modules["__main__"]
    _work(*sys.argv[1:])
