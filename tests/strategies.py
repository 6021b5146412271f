"""Random graphs over every operation of the table, for property tests.

A program is data: leaves, and steps that each apply a rule to what stands before. Before an operand
meets its rule it is squashed into one of the intervals in which the row says that it is smooth, by a
sine, so that every program is defined, bounded and differentiable for any leaves. The same program
runs under any arithmetic: Values, floats, or numbers of high precision.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath
from hypothesis import strategies as st

from microbp.rules import TABLE, Interval, Rule

__all__ = ["REFERENCE", "Program", "Step", "any_float", "numbers", "polynomials", "programs"]

#: The value of each operation in high precision, stated independently of the table.
REFERENCE: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": abs,
    "pow": lambda a, b: a**b,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": lambda a: mpmath.log(1 + a),
    "sqrt": mpmath.sqrt,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "asin": mpmath.asin,
    "acos": mpmath.acos,
    "atan": mpmath.atan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)),
    "relu": lambda a: max(a, 0),
    "leaky_relu": lambda a, s: a if a > 0 else s * a,
    "elu": lambda a, s: a if a > 0 else s * mpmath.expm1(a),
    "softplus": lambda a: mpmath.log(1 + mpmath.exp(a)),
    "silu": lambda a: a / (1 + mpmath.exp(-a)),
    "gelu": lambda a: a * mpmath.ncdf(a),
    "minimum": min,
    "maximum": max,
    "clip": lambda a, low, high: min(max(a, low), high),
    "select": lambda c, a, b: a if c > 0 else b,
    "sum": mpmath.fsum,
    "dot": lambda w, x, b: mpmath.fdot(w, x) + b,
    "max": max,
    "logsumexp": lambda x: mpmath.log(mpmath.fsum(map(mpmath.exp, x))),
    "cross_entropy": lambda x, t: (
        mpmath.fsum(t) * mpmath.log(mpmath.fsum(map(mpmath.exp, x))) - mpmath.fdot(x, t)
    ),
}

#: Ordinary real numbers.
numbers = st.floats(-3.0, 3.0).map(lambda x: round(x, 6))


#: Numbers at which floats are no longer like real numbers, or functions leave the range of floats.
HARD = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 700.0, 1000.0, 5e-324, 2.3e-308, 1e-300, 1.8e308, float("nan")]


def any_float(rng: random.Random) -> float:
    """A hard one, an ordinary one, or any other; for claims that are cheap, and made of each of many rows.

    There 60 examples that Hypothesis draws take as long as thousands of these.
    """
    drawn = [
        rng.choice(HARD) * rng.choice((1.0, -1.0)),
        rng.uniform(-5.0, 5.0),
        *struct.unpack("<d", rng.randbytes(8)),
    ]
    return rng.choice(drawn)


class Operand(NamedTuple):
    """An earlier value by its position, or a literal; and the interval that it is squashed into."""

    what: int | float
    into: Interval


class Step(NamedTuple):
    rule: Rule
    operands: tuple[Operand, ...]


class Program(NamedTuple):
    leaves: tuple[float, ...]
    steps: tuple[Step, ...]

    def run(
        self,
        apply: Callable[[Rule, list[Any]], Any],
        sine: Callable[[Any], Any],
        leaves: Sequence[Any],
    ) -> Any:
        """The last value, computed from ``leaves``.

        ``apply(rule, arguments)`` computes an operation, with a list for an argument in ``over``.
        """
        values = list(leaves)
        for rule, operands in self.steps:
            flat = []
            for what, (low, high) in operands:
                if isinstance(what, float):
                    flat.append(what)
                else:
                    flat.append(sine(values[what]) * (0.5 * (high - low)) + 0.5 * (high + low))
            values.append(apply(rule, rule.split(flat)))
        return values[-1]


@st.composite
def programs(draw: st.DrawFn, most: int = 8) -> Program:
    """Programs of up to ``most`` operations of the table; the last depends on some value."""
    leaves = tuple(draw(st.lists(numbers, min_size=1, max_size=3)))
    steps: list[Step] = []
    for length in range(len(leaves), len(leaves) + draw(st.integers(1, most))):
        rule = draw(st.sampled_from(TABLE))
        box = draw(st.sampled_from(rule.smooth))
        width = draw(st.integers(1, 4)) if rule.over else 1
        intervals = [
            box[place] for place, arg in enumerate(rule.args) for _ in range(width if arg in rule.over else 1)
        ]
        held = draw(st.integers(0, len(intervals) - 1))  # this one is no literal
        # The newest values twice as often, so that most of a program matters for its result.
        earlier = st.integers(0, length - 1) | st.integers(max(0, length - 2), length - 1)
        operands = tuple(
            Operand(draw(earlier if place == held else earlier | st.floats(low, high)), (low, high))
            for place, (low, high) in enumerate(intervals)
        )
        steps.append(Step(rule, operands))
    return Program(leaves, tuple(steps))


@st.composite
def polynomials(draw: st.DrawFn, most: int = 10) -> tuple[list[int], list[tuple[str, int, int]]]:
    """Small integers, and steps ``(sign, position, position)`` over + - *: all exact in floats."""
    leaves = draw(st.lists(st.integers(-3, 3), min_size=1, max_size=4))
    steps = []
    for length in range(len(leaves), len(leaves) + draw(st.integers(1, most))):
        sign = draw(st.sampled_from("+-*" if len(steps) < 5 else "+-"))
        position = st.integers(0, length - 1)
        steps.append((sign, draw(position), draw(position)))
    return leaves, steps
