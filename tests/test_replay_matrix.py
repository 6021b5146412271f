"""The matrix form of replay: every recorded graph gives the numbers and the gradients of the eager engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import programs

import microbp
from microbp import MLP, Value, array, cross_entropy, dot, logsumexp, softmax
from microbp.losses import l2_penalty
from microbp.record import record
from microbp.replay.captured import Captured, Generated, capture
from microbp.replay.matrix import generate

Build = Callable[[list[Any]], Value]


class Results(NamedTuple):
    value: np.ndarray
    cost: np.ndarray
    parameters: np.ndarray
    inputs: np.ndarray


def replayed(captured: Captured, made: Generated, x: np.ndarray) -> Results:
    """What the generated functions return for a batch."""
    scope: dict[str, Any] = dict(made.constants)
    exec(compile(made.source, "<matrix>", "exec"), scope)  # noqa: S102
    given = [np.reshape([captured.numbers[i] for i in each.members], each.shape) for each in made.arrays]
    gradients = [np.full(each.shape, 777.0) for each in made.arrays]
    with np.errstate(all="ignore"):
        value = scope["value"](x, *given)
        cost, dx = scope["value_and_grad"](x, *given, *gradients, wrt_x=True)
        again = [np.full(each.shape, 777.0) for each in made.arrays]
        same, nothing = scope["value_and_grad"](x, *given, *again)
    assert nothing is None
    np.testing.assert_array_equal(same, cost)
    parameters = np.full(len(captured.params), np.nan)
    for each, gradient, second in zip(made.arrays, gradients, again, strict=True):
        np.testing.assert_array_equal(gradient, second)
        parameters[list(each.members)] = gradient.ravel()
    return Results(value, cost, parameters, dx)


def eager(build: Build, parameters: Sequence[Value], x: np.ndarray) -> Results:
    """The same, sample by sample."""
    total, values, inputs = np.zeros(len(parameters)), [], []
    for row in x:
        sample = [Value(float(each)) for each in row]
        for each in parameters:
            each.grad = None
        output = build(sample)
        if isinstance(output, Value):
            output.backward()
        values.append(float(output.data if isinstance(output, Value) else output))
        total += [each.grad or 0.0 for each in parameters]
        inputs.append([each.grad or 0.0 for each in sample])
    return Results(np.array(values)[:, None], np.array(values), total, np.array(inputs))


def worst(found: Results, wanted: Results) -> float:
    """The largest difference, relative to the larger of 1 and the number."""
    differences = [0.0]
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        differ = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        scale = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
        with np.errstate(all="ignore"):
            differences.append(float(np.max(np.where(differ, np.abs(a - b) / scale, 0.0), initial=0.0)))
    return max(differences) if not any(map(math.isnan, differences)) else math.inf


def compared(build: Build, parameters: Sequence[Value], x: Any) -> tuple[float, Generated]:
    x = np.asarray(x, dtype=float)
    sample = [Value(float(each), name=f"x{n}") for n, each in enumerate(x[0])]
    captured = capture(build(sample), sample, parameters)
    made = generate(captured)
    return worst(replayed(captured, made, x), eager(build, parameters, x)), made


def batch(samples: int, inputs: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2.0, 2.0, (samples, inputs))


def weights(name: str, *shape: int) -> Any:
    """An array of parameters named W[0,0], …."""
    return array(np.random.default_rng(len(name) + sum(shape)).normal(0.0, 0.6, shape), name=name)


def loose(count: int) -> list[Value]:
    return [Value(math.cos(1.7 * n)) for n in range(count)]


# ------------------------------------------------------------------------------------ any graph
@settings(max_examples=150)
@given(programs(most=12), st.data())
def test_any_program_of_the_table_as_eager(program, data):
    some = data.draw(st.lists(st.booleans(), min_size=len(program.leaves), max_size=len(program.leaves)))
    if not any(some):
        some[0] = True
    shifts = data.draw(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=2))
    parameters = [Value(leaf) for leaf, moved in zip(program.leaves, some, strict=True) if not moved]

    def build(sample):
        moving, fixed = iter(sample), iter(parameters)
        leaves = [next(moving) if moved else next(fixed) for moved in some]
        return program.run(record, microbp.sin, leaves)

    first = [leaf for leaf, moved in zip(program.leaves, some, strict=True) if moved]
    error, _ = compared(build, parameters, [first, *([leaf + shift for leaf in first] for shift in shifts)])
    assert error <= 1e-12


def wide_graph(random: Any) -> tuple[Callable[[list[Any], list[Value]], Value], int, int]:
    """A random graph of vectors: rows of one operation over neighbours, shared or scattered values.

    Returns a function of inputs and parameters, and how many there are of each.
    """
    inputs, parameters = random.randint(1, 5), random.randint(1, 6)
    steps: list[tuple[str, int, int, list[list[int]]]] = []
    sizes = [inputs, parameters]

    def places(count: int) -> list[int]:
        """Places, counted over all that stands before: neighbours, one place over and over, or any."""
        vector = random.randrange(len(sizes))
        start, size = sum(sizes[:vector]), sizes[vector]
        kind = random.choice(["neighbours", "neighbours", "one", "any", "mixed"])
        if kind == "neighbours" and size >= count:
            first, step = random.randint(0, size - count), random.choice([1, 1, -1])
            return [start + first + n for n in range(count)][::step]
        if kind == "one":
            return [start + random.randrange(size)] * count
        if kind == "mixed":
            return [random.randrange(sum(sizes)) for _ in range(count)]
        return [start + random.randrange(size) for _ in range(count)]

    one = ["tanh", "sigmoid", "relu", "sin", "neg", "softplus", "half", "square", "gelu"]
    two = ["add", "sub", "mul", "maximum", "ratio"]
    for _ in range(random.randint(1, 7)):
        m, k = random.randint(1, 4), random.randint(1, 4)
        name = random.choice([*one, *two, "dot", "dot", "layer", "layer", "chain", "sum", "max", "entropy", "outer"])
        if name == "layer":  # every row has the same values on the right
            shared = places(k)
            rows = [places(k) + shared for _ in range(m)]
        elif name == "outer":  # all pairs of rows
            lefts, rights = [places(k) for _ in range(m)], [places(k) for _ in range(random.randint(1, 3))]
            rows = [left + right for right in rights for left in lefts]
        else:
            width = 1 if name in one else 2 if name in two else k if name in ("sum", "max") else 2 * k
            columns = [places(m) for _ in range(width)]
            rows = [list(row) for row in zip(*columns, strict=True)]
        steps.append((name, m, k, rows))
        sizes.append(len(rows))

    def apply(name: str, v: list[Any]) -> Any:
        k = len(v) // 2
        match name:
            case "neg": return -v[0]
            case "half": return 0.5 * v[0] + 1.0
            case "square": return v[0] ** 2 * 0.1
            case "add": return v[0] + v[1]
            case "sub": return v[0] - v[1]
            case "mul": return v[0] * v[1]
            case "maximum": return microbp.maximum(v[0], v[1])
            case "ratio": return v[0] / (v[1] * v[1] + 2.0)
            case "sum": return microbp.sum(v) - v[0] * 0.25
            case "max": return microbp.max(v) + logsumexp(v)
            case "entropy": return cross_entropy(v[:k], [microbp.sin(each) for each in v[k:]])
            case "dot" | "layer" | "outer": return dot(v[:k], v[k:], 0.5)
            case "chain":
                total = v[0] * v[k]
                for w, x in zip(v[1:k], v[k + 1 :], strict=True):
                    total = total - w * x
                return total
        return getattr(microbp, name)(v[0])

    def build(sample: list[Any], weights: list[Value]) -> Value:
        values: list[Any] = [*sample, *weights]
        for name, _, _, rows in steps:
            made = [microbp.sin(apply(name, [values[n] for n in row])) for row in rows]
            values += made
        return dot(values[-3:], values[-3:]) + microbp.sum(values) * 0.5

    return build, inputs, parameters


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_any_graph_of_rows_as_eager(random):
    build, inputs, count = wide_graph(random)
    named = random.random() < 0.5
    parameters = list(weights("w", count)) if named else loose(count)
    error, _ = compared(lambda sample: build(sample, parameters), parameters, batch(3, inputs))
    assert error <= 1e-12
