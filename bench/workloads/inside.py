"""A thousand steps without coming back to Python, of a net that another workload takes step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
from contest import Work

from workloads.demo_net import flat

__all__ = ["jax_loop", "machine"]

STEPS = 1000


def machine(program: Any, samples: Any, rate: float) -> Work:
    """The steps by the machine in C, as ``fit`` has it take them: the cost, and the update as a program."""
    from microbp import Value
    from microbp.optim import SGD
    from microbp.training.engines import update_of

    update, alike = update_of(SGD([Value(0.0)], lr=rate), 0.0)
    n, size = len(samples), len(program.parameters)
    order, sizes, rates = np.tile(np.arange(n), STEPS), np.full(STEPS, n), np.full(STEPS, rate)
    costs, gradient = np.empty(STEPS), np.empty(size)

    def run() -> Any:
        theta, best = program.parameters, np.full(size + 1, np.inf)
        taken = program.machine.train(
            update, True, 1_000_000, samples, rates, order, sizes, alike, theta, np.empty((0, size)), costs,
            best, gradient,
        )  # fmt: skip
        if taken != STEPS:
            raise RuntimeError(f"{taken} steps of {STEPS}")
        return theta

    return Work(run, lambda: flat([run()]))


def jax_loop(cost: Any, first: list[Any], rate: float) -> Work:
    """``fori_loop`` inside ``jit``, compiled before."""
    import jax

    def step(_: int, parameters: list[Any]) -> list[Any]:
        gradients = jax.grad(cost)(parameters)
        return [p - rate * g for p, g in zip(parameters, gradients, strict=True)]

    state = [jax.numpy.asarray(each) for each in first]
    compiled = jax.jit(lambda parameters: jax.lax.fori_loop(0, STEPS, step, parameters))

    def run() -> Any:
        return [each.block_until_ready() for each in compiled(state)]

    return Work(run, lambda: flat(run()))
