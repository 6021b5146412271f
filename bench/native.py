"""The machine in C beside replay in Python and NumPy by hand: a step of relu softmax nets.

``python bench/native.py`` checks that all give the same gradient, lets them take turns, and prints medians:
for a 64-50-10 net, and for a 784-200-10 net, whose batches ``auto`` gives to NumPy.
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
NETS = ((64, 50, 10), (784, 200, 10))


def by_hand(sizes: tuple[int, ...], theta: np.ndarray, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The gradient of the mean cost; each neuron's parameters are its weights and its bias, as in the net."""
    a, b, c = sizes
    found, end = np.empty_like(theta), b * (a + 1)
    (first, second), (one, two) = (
        (each[:end].reshape(b, a + 1), each[end:].reshape(c, b + 1)) for each in (theta, found)
    )
    h = x @ first[:, :a].T + first[:, a]
    z = np.maximum(h, 0.0)
    logits = z @ second[:, :b].T + second[:, b]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    d = (e / e.sum(axis=1, keepdims=True) - t) / len(x)
    down = (d @ second[:, :b]) * (h > 0.0)
    one[:, :a], one[:, a] = down.T @ x, down.sum(axis=0)
    two[:, :b], two[:, b] = d.T @ z, d.sum(axis=0)
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
    for sizes in NETS:
        compare(sizes)


def compare(sizes: tuple[int, ...]) -> None:
    """One net."""
    random.seed(0)  # the net's starting values
    net = MLP(sizes[0], [*sizes[1:]], activation="relu")
    inputs = [Value(n / sizes[0]) for n in range(sizes[0])]
    targets = [Value(float(n == 3)) for n in range(sizes[-1])]
    cost = microbp.cross_entropy(net(inputs), targets)
    rng = np.random.default_rng(0)
    x, t = rng.random((BATCH, sizes[0])), np.eye(sizes[-1])[rng.integers(0, sizes[-1], BATCH)]
    both = np.hstack([x, t])
    contestants: dict[str, Callable[[], np.ndarray]] = {}
    print("-".join(map(str, sizes)))
    forms = ("matrix", "native", "auto") if microbp.engine().name == "native" else ("matrix", "auto")
    for form in forms:
        start = time.process_time()
        program = microbp.compile(cost, inputs + targets, net.parameters(), form=form)
        print(f"  compile(form={form!r}): {1e3 * (time.process_time() - start):.1f} ms")
        theta, out = program.parameters, np.empty(len(program.parameters))
        contestants[form] = partial(step, program, both, theta, out)
    contestants["NumPy by hand"] = lambda: by_hand(sizes, theta, x, t)
    exact = contestants["matrix"]().copy()
    for name, run in contestants.items():
        np.testing.assert_allclose(run(), exact, rtol=1e-9, atol=1e-12, err_msg=name)
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            taken[name].append(seconds(run))
    for name, times in taken.items():
        ratios = [a / b for a, b in zip(times, taken["NumPy by hand"], strict=True)]
        told = f"{statistics.median(ratios):5.2f} × NumPy"
        print(f"  {name:14} {1e6 * statistics.median(times):8.1f} µs {told}")


if __name__ == "__main__":
    main()
