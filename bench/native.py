"""The machine in C beside replay in Python and NumPy by hand: a step of a 64-50-10 relu softmax net.

``python bench/native.py`` checks that all give the same gradient, lets them take turns, and prints medians.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

import microbp
from microbp import MLP, Value

ROUNDS, BATCH = 15, 100


def by_hand(theta: np.ndarray, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The gradient of the mean cost; each neuron's parameters are its weights and its bias, as in the net."""
    first, second = theta[: 50 * 65].reshape(50, 65), theta[50 * 65 :].reshape(10, 51)
    h = x @ first[:, :64].T + first[:, 64]
    z = np.maximum(h, 0.0)
    logits = z @ second[:, :50].T + second[:, 50]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    d = (e / e.sum(axis=1, keepdims=True) - t) / len(x)
    down = (d @ second[:, :50]) * (h > 0.0)
    found = np.empty_like(theta)
    one, two = found[: 50 * 65].reshape(50, 65), found[50 * 65 :].reshape(10, 51)
    one[:, :64], one[:, 64] = down.T @ x, down.sum(axis=0)
    two[:, :50], two[:, 50] = d.T @ z, d.sum(axis=0)
    return found


def step(program: microbp.Program, x: np.ndarray, theta: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The gradient of a batch."""
    return program.value_and_grad(x, theta, out=out).gradient


def seconds(run: Callable[[], object]) -> float:
    """What one run takes, of enough for 20 ms."""
    start, count = time.process_time(), 0
    while time.process_time() - start < 0.02:
        run()
        count += 1
    return (time.process_time() - start) / count


def main() -> None:
    """Compare, measure, print."""
    print(f"engine: {microbp.engine()}")
    random.seed(0)  # the net's starting values
    net = MLP(64, [50, 10], activation="relu")
    inputs, targets = [Value(n / 64) for n in range(64)], [Value(float(n == 3)) for n in range(10)]
    cost = microbp.cross_entropy(net(inputs), targets)
    rng = np.random.default_rng(0)
    x, t = rng.random((BATCH, 64)), np.eye(10)[rng.integers(0, 10, BATCH)]
    both = np.hstack([x, t])
    contestants: dict[str, Callable[[], np.ndarray]] = {}
    for form in ("matrix", "native") if microbp.engine().name == "native" else ("matrix",):
        start = time.process_time()
        program = microbp.compile(cost, inputs + targets, net.parameters(), form=form)
        print(f"compile(form={form!r}): {1e3 * (time.process_time() - start):.1f} ms")
        theta, out = program.parameters, np.empty(len(program.parameters))
        contestants[form] = partial(step, program, both, theta, out)
    contestants["NumPy by hand"] = lambda: by_hand(theta, x, t)
    exact = contestants["matrix"]().copy()
    for name, run in contestants.items():
        np.testing.assert_allclose(run(), exact, rtol=1e-9, atol=1e-12, err_msg=name)
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            taken[name].append(seconds(run))
    for name, times in taken.items():
        ratios = [a / b for a, b in zip(times, taken["NumPy by hand"], strict=True)]
        print(
            f"{name:14} {1e6 * statistics.median(times):8.1f} µs {statistics.median(ratios):5.2f} × NumPy"
        )


if __name__ == "__main__":
    main()
