"""Gradients on Dask: one worker and two, what a step costs beside its arithmetic, and a model for many.

    pip install -e '.[dask]'
    python bench/spread.py

The workers are processes of one machine, which talk over the loopback device. A net of 64-100-10 has the
gradient of its cost over 40,000 samples computed in 16 partitions, by one worker and by two, each with one
thread. Then the same with next to no samples, in 16 and in 64 partitions: what is left is what tasks cost. All
times are medians of some steps; the results are compared with one machine's first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
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


def samples(rows: int) -> Any:
    """Inputs with their labels beside them."""
    draw = np.random.default_rng(0)
    return np.column_stack([draw.normal(size=(rows, INPUTS)), draw.integers(0, CLASSES, rows)])


def median(step: Callable[[], Any], times: int) -> float:
    """Of the seconds that a step takes; the first is not counted."""
    step()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def main() -> None:
    """Measure, and say what that means for a thousand workers."""
    parser = argparse.ArgumentParser(description="gradients on Dask")
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--steps", type=int, default=9)
    options = parser.parse_args()
    cost, table = program(), samples(options.rows)
    theta = cost.parameters
    right = cost.value_and_grad(table, theta)
    alone = median(lambda: cost.value_and_grad(table, theta), options.steps)
    print(f"{len(theta):,} parameters, {options.rows:,} samples; here, without Dask: {alone:.3f} s")
    seconds, tasks = {}, {}
    for workers in (1, 2):
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            spread = _Spread(cost, da.from_array(table, chunks=(len(table) // 16, -1)), client)
            gradient = np.empty(len(theta))
            spread(None, theta, gradient, "mean")
            assert np.abs(gradient - right.gradient).max() <= 1e-12 * np.abs(right.gradient).max()
            seconds[workers] = median(lambda: spread(None, theta, gradient, "mean"), options.steps)  # noqa: B023
            print(f"{workers} worker{'s' * (workers > 1)}: {seconds[workers]:.3f} s")
            for parts in (16, 64):
                small = _Spread(cost, da.from_array(table[:parts], chunks=(1, -1)), client)
                tasks[parts] = median(lambda: small(None, theta, gradient, "mean"), options.steps)  # noqa: B023
            print(f"    of one sample each: 16 partitions {tasks[16]:.3f} s, 64 partitions {tasks[64]:.3f} s")
    each = (tasks[64] - tasks[16]) / (64 * 9 / 8 - 16 * 9 / 8)
    fixed = tasks[16] - 16 * 9 / 8 * each
    print(f"two workers take {seconds[2] / seconds[1]:.2f} of the time of one")
    print(f"a step: {1e3 * fixed:.1f} ms, and {1e3 * each:.2f} ms for each task")
    print(f"a sample: {1e6 * alone / options.rows:.1f} µs")


if __name__ == "__main__":
    main()
