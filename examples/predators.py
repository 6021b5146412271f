"""Fitting an ordinary differential equation: the solver is recorded, and SciPy descends on what is replayed.

    python examples/predators.py

Prey and predators, after Lotka and Volterra: x' = αx - βxy and y' = δxy - γy. Thirty steps of Runge and Kutta
are recorded as scalars once; what they cost against measurements is compiled, and ``scipy.optimize.minimize``
gets the value and the exact gradient in α, β, γ and δ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

import microbp
from microbp import Value

TRUE = [1.1, 0.4, 0.4, 0.1]
STEPS, STEP = 30, 0.2


def slope(state: Any, p: Any) -> Any:
    """What the equations say."""
    x, y = state
    return np.array([p[0] * x - p[1] * x * y, p[3] * x * y - p[2] * y])


def solution(p: Any) -> list[Any]:
    """The states after each step of Runge and Kutta's fourth-order method, for numbers or for Values."""
    state, states = np.array([8.0, 4.0]), []
    for _ in range(STEPS):
        k1 = slope(state, p)
        k2 = slope(state + STEP / 2 * k1, p)
        k3 = slope(state + STEP / 2 * k2, p)
        k4 = slope(state + STEP * k3, p)
        state = state + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
    return states


def main() -> None:
    """Fit, and say what came of it."""
    measured = np.array(solution(TRUE)) + np.random.default_rng(0).normal(0.0, 0.01, (STEPS, 2))
    rates = [Value(0.8, "alpha"), Value(0.3, "beta"), Value(0.6, "gamma"), Value(0.15, "delta")]
    cost = microbp.sum([(a - b) ** 2 for row, told in zip(solution(rates), measured, strict=True)
                        for a, b in zip(row, told, strict=True)])  # fmt: skip
    program = microbp.compile(cost, inputs=[], params=rates)
    found = minimize(
        lambda theta: tuple(program.value_and_grad([], theta)), program.parameters, jac=True, method="BFGS"
    )
    program.assign(found.x)
    print(f"{len(program.captured.graph):,} values; the squares sum to {cost.data:.0f} at the start")
    print(f"after {found.nfev} calls: {found.fun:.4f}")
    for rate, number in zip(rates, TRUE, strict=True):
        print(f"{rate.name} = {rate.data:.3f} (the data were made with {number})")


if __name__ == "__main__":
    main()
