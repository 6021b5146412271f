"""Fitting an ordinary differential equation: the solver is recorded, and SciPy descends on what is replayed.

    python examples/predators.py

Prey and predators, after Lotka and Volterra: x' = αx - βxy and y' = δxy - γy. Thirty steps of Runge and Kutta
are recorded as scalars once; what they cost against measurements is replayed for ``microbp.minimize``, with
the exact gradient in α, β, γ and δ, and the exact Hessian, which says how well the measurements tell them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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

    def cost() -> Any:
        told = zip(solution(rates), measured, strict=True)
        return microbp.sum([(a - b) ** 2 for row, numbers in told for a, b in zip(row, numbers, strict=True)])

    found = microbp.minimize(cost, rates, squares=measured.size, method="BFGS")
    print(found)
    for rate, number in zip(rates, TRUE, strict=True):
        off = (rate.data - number) / (found.standard_errors[str(rate.name)] or np.inf)
        print(f"{rate.name}: the data were made with {number}, {abs(off):.1f} standard errors away")


if __name__ == "__main__":
    main()
