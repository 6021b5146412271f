"""A program as source for another array library: run on NumPy, beside the eager engine.

``bench/bridges.py`` runs the same on JAX and PyTorch.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from replay_programs import KINDS, Drawn, apart, drawn, eagerly

import microbp
from microbp import MLP, Program, Value
from microbp.bridges.functional import NEEDED, Functional


class OnNumpy:
    """NumPy as a namespace; of its functions those that every namespace has, and no more."""

    s_, inf, nan = np.s_, np.inf, np.nan
    erf, erfc = np.vectorize(math.erf, otypes=[float]), np.vectorize(math.erfc, otypes=[float])

    def __getattr__(self, word: str) -> Any:
        assert word in NEEDED, word
        return getattr(np, word)

    @staticmethod
    def constant(numbers: Any) -> Any:
        numbers.setflags(write=False)
        return numbers

    @staticmethod
    def part(array: Any, items: Any) -> Any:
        return array[items]

    @staticmethod
    def added(array: Any, places: Any, piece: Any) -> Any:
        made = array.copy()
        np.add.at(made, (..., places), piece)
        return made

    @staticmethod
    def leads(weights: Any) -> Any:
        return np.arange(weights.shape[-1]) == weights.argmax(axis=-1, keepdims=True)


def difference(program: Drawn, namespace: Any = None) -> float:
    """How far values and gradients are from those of the eager engine, with a cotangent for each output."""
    rng = np.random.default_rng(1)
    sample, params, x = [Value(float(each)) for each in program.x[0]], program.params, program.x
    outputs = program.run(sample)
    cotangents = rng.normal(size=(len(x), len(outputs)))
    values, total, inputs = eagerly(
        program, lambda n, results: microbp.dot(results, cotangents[n].tolist())
    )
    compiled = microbp.compile(outputs, inputs=sample, params=params, finite=False)
    made, on = Functional(compiled.captured, "here"), namespace or OnNumpy()
    theta = np.array([each.data for each in params])
    theta.setflags(write=False)
    with np.errstate(all="ignore"):
        y = made.value(on)(x, theta, len(x))
        dx, dtheta = made.slopes(on)(x, theta, cotangents, len(x))
    pairs = [(y, values), (dtheta, total), (dx, inputs)]
    assert [np.shape(a) for a, _ in pairs] == [np.shape(b) for _, b in pairs]
    return apart(pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_random_programs_have_the_eager_values_and_gradients(kind: str) -> None:
    for seed in range(10):
        assert difference(drawn(kind, seed)) <= 1e-11, (kind, seed)


class Wrong(OnNumpy):
    """NumPy with a mistake."""

    def __init__(self, word: str, function: Any) -> None:
        setattr(self, word, function)


@pytest.mark.parametrize(
    ("word", "function"),
    [
        ("added", lambda array, _places, _piece: array),
        ("leads", lambda weights: weights == 0.0),
        ("where", lambda condition, a, b: np.where(condition, b, a)),
        ("exp", lambda a: np.exp(a) * 1.0001),
    ],
)
def test_the_comparison_sees_a_mistake(word: str, function: Any) -> None:
    namespace = Wrong(word, function)
    worst = 0.0
    for kind in KINDS:
        for seed in range(4):
            worst = max(worst, difference(drawn(kind, seed), namespace))
    assert worst > 1e-6


def test_nothing_is_computed_in_place_or_by_a_method() -> None:
    net = MLP(2, [3, 2], activation="relu", seed=1)
    x = [Value(0.5), Value(1.0)]
    made = Functional(microbp.compile(net(x), inputs=x, params=net.parameters()).captured, "here")
    body = made.value_source.partition("def value")[2].splitlines()
    assert body == [
        "(x, theta, n):",
        *(f"    {word} = np.part(theta, at{at + 1})" for at, word in enumerate(("W1", "b1", "W2", "b2"))),
        "    z1 = x @ np.transpose(W1) + b1",
        "    h1 = np.maximum(z1, 0.0)",
        "    z2 = h1 @ np.transpose(W2) + b2",
        "    y = z2",
        "    return y",
    ]
    assert "+=" not in made.slopes_source
    assert "out=" not in made.slopes_source


# ---------------------------------------------------------------------------------- what is told
def program_of(size: int = 2) -> Program:
    x = [Value(0.5) for _ in range(size)]
    made: Program = microbp.compile(microbp.sum(x) * Value(2.0, name="w"), inputs=x)
    return made


def test_shapes_that_do_not_fit_are_told() -> None:
    made = Functional(program_of().captured, "here")
    assert made.batch((2,), (1,)) == ()
    assert made.batch((5, 3, 2), (1,)) == (5, 3)
    with pytest.raises(ValueError, match=r"^the inputs have the shape \(3,\); this program takes \(2,\) for"):
        made.batch((3,), (1,))
    with pytest.raises(ValueError, match=r"^theta is a vector of 1 numbers, as program.parameters; this one"):
        made.batch((2,), (2,))


def test_a_graph_that_is_no_matrices_is_refused() -> None:
    x = Value(0.5)
    y = x
    for _ in range(3100):
        y = y.sin()
    program = microbp.compile(y, inputs=[x])
    with pytest.raises(ValueError, match=r"^to_onnx\(\): this graph is more than 3,000 array operations"):
        microbp.to_onnx(program)


@pytest.mark.parametrize(("method", "library"), [("to_jax", "jax"), ("to_torch", "torch")])
def test_a_missing_library_is_told(method: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError) as caught:
        getattr(program_of(), method)()
    told = f"this needs {library}, which is not installed: pip install 'microbp[{library}]'"
    assert str(caught.value) == told


def test_an_unknown_gradient_is_told() -> None:
    with pytest.raises(ValueError, match=r"^to_jax\(\): gradient is 'ours' or 'theirs', not 'both'$"):
        Functional(program_of().captured, "to_jax()", "both")
