"""One full training step of micrograd's demo net: microbp beside the ``micrograd`` package.

    pip install -e '.[bench]'
    python bench/training.py

The net is 2-16-16-1 with relu, the data 100 points, the cost hinge loss + 1e-4 Σ w², the step forward,
backward and plain descent over the full batch, as in micrograd's ``demo.ipynb``. Both start from the
same weights, and the cost and all gradients are compared before anything is timed. Everything runs
on one core, and processor time is what is measured. A round times each contender once, one after the
other, and the ratios are taken within a round. After a full collection, so that nobody pays for
another's garbage, a contender takes one step that is not timed: in a loop, as people train, micrograd's
step finds the graph of the step before, whose cycles only the collector can free. One row shows
micrograd without that burden, another without any collector.

micrograd spends most of its time in Python's collector, which walks through whatever else the process
holds. So micrograd is timed once more in a process in which microbp is never imported. Walks through the
whole memory take very different times, so what tells is how many of them its steps start in the one
process and in the other.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

Step = Callable[[], float]

RATE, PENALTY = 1e-3, 1e-4
EPOCHS = 5
SIZES = [2, 16, 16, 1]


def data() -> tuple[list[list[float]], list[float]]:
    """Two half moons of 50 points each."""
    rng = random.Random(1337)  # noqa: S311 (no secret)
    X, Y = [], []
    for point in range(100):
        side = 1.0 if point % 2 else -1.0
        angle = math.pi * rng.random()
        x, y = math.cos(angle), math.sin(angle)
        x, y = (x, y) if side < 0 else (1.0 - x, 0.5 - y)
        X.append([x + rng.gauss(0.0, 0.1), y + rng.gauss(0.0, 0.1)])
        Y.append(side)
    return X, Y


def weights() -> list[float]:
    """One number for each parameter: the weights of a neuron, then its bias."""
    rng = random.Random(7)  # noqa: S311 (no secret)
    count = sum((nin + 1) * nout for nin, nout in pairwise(SIZES))
    return [rng.uniform(-1.0, 1.0) for _ in range(count)]


def micrograd_step() -> tuple[Step, list[Any]]:
    """The step of micrograd's demo, and the parameters it changes."""
    from micrograd.engine import Value  # type: ignore[import-untyped]
    from micrograd.nn import MLP  # type: ignore[import-untyped]

    X, Y = data()
    net = MLP(SIZES[0], SIZES[1:])
    parameters = net.parameters()
    for parameter, number in zip(parameters, weights(), strict=True):
        parameter.data = number

    def step() -> float:
        inputs = [list(map(Value, row)) for row in X]
        scores = list(map(net, inputs))
        losses = [(1 + -y * score).relu() for y, score in zip(Y, scores, strict=True)]
        cost = sum(losses) * (1.0 / len(losses)) + PENALTY * sum(p * p for p in parameters)
        net.zero_grad()
        cost.backward()
        for p in parameters:
            p.data -= RATE * p.grad
        return float(cost.data)

    return step, parameters


def microbp_step() -> tuple[Step, list[Any]]:
    """The same step with microbp's parts, written out."""
    from microbp.losses import hinge, l2_penalty
    from microbp.nn import MLP
    from microbp.optim import SGD

    X, Y = data()
    net = MLP(SIZES[0], SIZES[1:])
    parameters = net.parameters()
    for parameter, number in zip(parameters, weights(), strict=True):
        parameter.data = number
    optimiser = SGD(parameters, lr=RATE)

    def step() -> float:
        cost = hinge([[net(x)] for x in X], Y) + l2_penalty(parameters, PENALTY)
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        return float(cost.data)

    return step, parameters


def fit_steps() -> Step:
    """As many such steps as EPOCHS, by ``fit`` with all its checks."""
    from microbp.nn import MLP
    from microbp.optim import SGD
    from microbp.training import fit

    X, Y = data()
    net = MLP(SIZES[0], SIZES[1:])
    for parameter, number in zip(net.parameters(), weights(), strict=True):
        parameter.data = number
    optimiser = SGD(net.parameters(), lr=RATE)

    def step() -> float:
        history = fit(net, X, Y, loss="hinge", penalty=PENALTY, optimiser=optimiser, epochs=EPOCHS)
        return history.cost[-1]

    return step


def compare() -> tuple[float, float]:
    """The largest relative difference of the cost, and of a gradient to the largest gradient."""
    (theirs, their_parameters), (ours, our_parameters) = micrograd_step(), microbp_step()
    a, b = theirs(), ours()
    largest = max(abs(p.grad) for p in their_parameters)
    pairs = zip(their_parameters, our_parameters, strict=True)
    return abs(a - b) / abs(a), max(abs(p.grad - q.grad) for p, q in pairs) / largest


def seconds(step: Step, times: int) -> float:
    """Processor time of one call among others; what else the machine does hardly counts."""
    gc.collect()
    step()
    begin = time.process_time()
    for _ in range(times):
        step()
    return (time.process_time() - begin) / times


def seconds_after_collection(step: Step) -> float:
    """The same where nothing is left of the call before."""
    gc.collect()
    begin = time.process_time()
    step()
    return time.process_time() - begin


def without_collector(step: Step) -> Step:
    """The same while Python's collector is switched off."""

    def quiet() -> float:
        gc.disable()
        try:
            return step()
        finally:
            gc.enable()

    return quiet


def full_collections(step: Step) -> float:
    """How many walks through all objects of the process one step starts, on average over eight."""
    gc.collect()
    before = gc.get_stats()[2]["collections"]
    for _ in range(8):
        step()
    return float(gc.get_stats()[2]["collections"] - before) / 8


def alone(rounds: int) -> tuple[list[float], float]:
    """What micrograd takes in a process of its own: seconds, and full collections."""
    command = [sys.executable, __file__, "--alone", "--rounds", str(rounds)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    times, collections = json.loads(run.stdout)
    return times, collections


def spread(numbers: list[float], digits: int) -> str:
    """``22.5 (21.9-24.0)``: median, minimum and maximum."""
    middle, low, high = statistics.median(numbers), min(numbers), max(numbers)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--core", type=int, default=None, help="which one; the last unless given")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    core = "not pinned: this system has no way to"
    if hasattr(os, "sched_setaffinity"):
        chosen = max(os.sched_getaffinity(0)) if given.core is None else given.core
        os.sched_setaffinity(0, {chosen})
        core = f"core {chosen}"
    if given.alone:
        step, _ = micrograd_step()
        times_alone = [seconds(step, 2) for _ in range(given.rounds)]
        sys.stdout.write(json.dumps([times_alone, full_collections(step)]))
        return

    from microbp.text import Table

    cost, gradient = compare()
    if not max(cost, gradient) < 1e-12:
        sys.exit(f"the results differ: the cost by {cost:.1e}, the gradients by {gradient:.1e}")
    micrograd, by_hand, by_fit = micrograd_step()[0], microbp_step()[0], fit_steps()
    quiet = without_collector(micrograd)
    contenders: dict[str, Step] = {
        "microbp": lambda: seconds(by_hand, 5),
        "microbp, by fit": lambda: seconds(by_fit, 1) / EPOCHS,
        "micrograd": lambda: seconds(micrograd, 2),
        "micrograd, gc.collect() before each step": lambda: seconds_after_collection(micrograd),
        "micrograd, collector off": lambda: seconds(quiet, 2),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(given.rounds + 1):
        for name, timed in contenders.items():
            taken = timed()
            if number:  # the first round warms up
                times[name].append(taken)
    collections = full_collections(micrograd)
    times["micrograd, in a process of its own"], apart = alone(given.rounds)
    rows = [
        (
            name,
            spread([1e3 * each for each in taken], 1),
            spread([each / ours for each, ours in zip(taken, times["microbp"], strict=True)], 1),
        )
        for name, taken in times.items()
    ]
    Table(
        "one training step: 2-16-16-1 relu, 100 points, hinge + L2, full batch",
        ("", ">ms: median (min-max)", ">times microbp"),
        tuple(rows),
        (
            f"the same cost to {cost:.0e} and the same 337 gradients to {gradient:.0e} of the largest",
            f"full collections in a step of micrograd: {collections:.1f}; in its own process: {apart:.1f}",
            f"{given.rounds} rounds, Python {platform.python_version()}, {core}",
        ),
    ).show()


if __name__ == "__main__":
    main()
