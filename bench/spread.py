"""Gradients on Dask: one worker and two, and what a step costs beside its arithmetic.

    pip install -e '.[dask]'
    python bench/spread.py

The workers are processes of one machine, which talk over the loopback device, each with one thread. A net of
64-100-10 has the gradient of its cost computed over samples in 16 partitions, by one worker and by two; then
of one sample in each of 16 and of 64 partitions, where nothing is left but what tasks cost. The results are
compared with one machine's first. Times are the shortest of some steps, as least disturbed by other work:
seconds by the clock, and of the processor: in the process that holds client and scheduler, and in the worker
that had most to do, which is what two workers save where each has a core of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import microbp
from microbp.bridges.dask import _Spread
from microbp.losses import softmax_cross_entropy

INPUTS, HIDDEN, CLASSES = 64, 100, 10


def program() -> Any:
    """The cost of one sample of a softmax net."""
    net = microbp.MLP(INPUTS, [HIDDEN, CLASSES], activation="tanh", seed=1, init="xavier")
    x, label = microbp.array(np.zeros(INPUTS), "x"), microbp.Value(0.0, "label")
    cost = softmax_cross_entropy([net(list(x))], [label])
    return microbp.compile(cost, inputs=[*x, label], params=net.parameters())


def samples(rows: int, parts: int) -> Any:
    """Inputs with their labels beside them, made by the workers."""
    draw = da.random.default_rng(0)
    shares = draw.normal(size=(rows, INPUTS), chunks=(rows // parts, INPUTS))
    labels = draw.integers(0, CLASSES, size=(rows, 1), chunks=(rows // parts, 1))
    return da.concatenate([shares, labels], axis=1).rechunk({1: -1})


def shortest(step: Callable[[], Any], times: int) -> tuple[float, float]:
    """The seconds that a step takes by the clock, and of this process; the first step is not counted."""
    step()
    found = []
    for _ in range(times):
        start, used = time.perf_counter(), time.process_time()
        step()
        found.append((time.perf_counter() - start, time.process_time() - used))
    clock, own = zip(*found, strict=True)
    return min(clock), min(own)


def main() -> None:
    """Measure, and say what that means for a thousand workers."""
    parser = argparse.ArgumentParser(description="gradients on Dask")
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--steps", type=int, default=9)
    options = parser.parse_args()
    cost, data = program(), samples(options.rows, 16)
    theta, table = cost.parameters, data.compute(scheduler="synchronous")
    right = cost.value_and_grad(table, theta)
    alone, _ = shortest(lambda: cost.value_and_grad(table, theta), options.steps)
    print(f"{len(theta):,} parameters, {options.rows:,} samples; here, without Dask: {alone:.3f} s")
    gradient, seconds = np.empty(len(theta)), {}
    for workers in (1, 2):
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            spread = _Spread(cost, data, client)
            spread(None, theta, gradient, "mean")
            assert np.abs(gradient - right.gradient).max() <= 1e-12 * np.abs(right.gradient).max()
            step, before = partial(spread, None, theta, gradient, "mean"), client.run(time.process_time)
            clock, own = shortest(step, options.steps)
            after = client.run(time.process_time)
            seconds[workers] = max(after[each] - before[each] for each in after) / (options.steps + 1)
            told = f"{clock:.3f} s (here {own:.3f} s, the busiest worker {seconds[workers]:.3f} s)"
            print(f"{workers} worker{'s' * (workers > 1)}: {told}", flush=True)
            used = {}
            for parts in (16, 64):
                small = _Spread(cost, samples(parts, parts), client)
                clock, used[parts] = shortest(partial(small, None, theta, gradient, "mean"), options.steps)
                print(f"    {parts} partitions of one sample: {clock:.3f} s (here {used[parts]:.3f} s)")
    each = (used[64] - used[16]) / (73 - 18)  # gradients, and sums of eight
    share = seconds[2] / seconds[1]
    print(f"the busiest of two workers takes {share:.2f} of the processor time of one alone")
    print(f"client and scheduler: {1e3 * (used[16] - 18 * each):.1f} ms a step, {1e3 * each:.2f} ms a task")
    print(f"a sample: {1e6 * alone / options.rows:.1f} µs")


if __name__ == "__main__":
    main()
