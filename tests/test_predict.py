"""``net.predict(X)``: what a net says to many samples, by replay wherever that is the same."""

from __future__ import annotations

import random
import re
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import Centred

import microbp
from microbp import MLP, Module, Value, data_of, fit

X = np.random.default_rng(0).normal(size=(50, 3))


def alone(net: Any, rows: Any = X) -> Any:
    return np.array([data_of(net(row)) for row in rows.tolist()])


@pytest.mark.parametrize("widths", [[1], [4, 1], [4, 2]])
@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, pd.DataFrame, np.float32])
def test_it_says_what_each_call_says(widths: list[int], kind: Any) -> None:
    net = MLP(3, widths, activation="tanh", seed=1) if len(widths) > 1 else MLP(3, widths, seed=1)
    said = net.predict(kind(X))
    assert said.dtype == float
    assert said.shape == ((50,) if widths[-1] == 1 else (50, 2))
    assert np.allclose(said, alone(net, np.asarray(kind(X), dtype=float)), rtol=1e-12, atol=1e-15)


def test_no_call_is_made_for_each_sample_where_replay_says_the_same() -> None:
    class Counting(MLP):
        def __call__(self, x: Any) -> Any:
            calls.set(calls.get() + 1)
            return super().__call__(x)

    calls = ContextVar("calls", default=0)  # a count that it can reach may be one that it depends on
    Counting(3, [2, 1], seed=1).predict(np.tile(X, (20, 1)))
    assert calls.get() == 9


class Leaky(MLP):
    def __call__(self, x: Any) -> Any:
        z = super().__call__(x)
        return z if z > 0 else 0.1 * z


class Measured(MLP):
    def __call__(self, x: Any) -> Any:
        return super().__call__([float(each) for each in x])


class Detached(MLP):
    def __call__(self, x: Any) -> Any:
        return super().__call__(x) * microbp.data_of(x[0])


@pytest.mark.parametrize("kind", [Leaky, Measured, Detached])
def test_a_net_that_cannot_be_replayed_is_called_for_each(kind: type[MLP]) -> None:
    net = kind(3, [4, 1], seed=1)
    assert net.predict(X).tolist() == alone(net).tolist()


def test_a_net_that_draws_at_random_draws_for_each() -> None:
    class Noisy(MLP):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) + random.random()  # noqa: S311

    said = Noisy(3, [1], seed=1).predict(np.zeros((20, 3)))
    assert len({*said.tolist()}) == 20


def test_a_net_that_counts_its_calls_counts_those_for_its_samples_alone() -> None:
    class Fading(MLP):
        calls = 0

        def __call__(self, x: Any) -> Any:
            self.calls += 1
            return super().__call__(x) / self.calls

    one, other = (Fading(3, [2, 1], seed=1) for _ in range(2))
    assert one.predict(X).tolist() == alone(other).tolist()
    assert one.calls == other.calls == len(X)


def test_a_sample_between_the_first_and_the_last_may_be_the_one_that_differs() -> None:
    class Typed(MLP):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) * (2.0 if isinstance(x[0], float) and x[1] > 0 else 1.0)

    net, rows = Typed(3, [2, 1], seed=1), np.where(np.arange(50)[:, None] % 49 == 0, -1.0, 1.0) * abs(X)
    assert net.predict(rows).tolist() == alone(net, rows).tolist()


def test_numbers_may_be_samples_and_nets_may_take_batches() -> None:
    class Line(Module):
        def __init__(self) -> None:
            self.w = Value(2.0)

        def __call__(self, x: Any) -> Any:
            return self.w * x

    assert Line().predict([1.0, 2.0, 3.0]).tolist() == [2.0, 4.0, 6.0]
    net = Centred()  # which says 0 to a batch of one
    assert net.predict([[1.0, 2.0], [3.0, 4.0]]).tolist() == [[0.0], [0.0]]


def test_nothing_is_recorded_and_nan_passes() -> None:
    net = MLP(3, [2, 1], seed=1)
    net.layers[0].neurons[0].w[0].grad = 5.0
    said = net.predict(np.array([[1.0, 2.0, 3.0], [np.nan, 0.0, 0.0]]))
    assert np.isnan(said).tolist() == [False, True]
    assert [each.grad for each in net.parameters()].count(None) == len(net.parameters()) - 1


def test_x_may_be_a_file(tmp_path: Path) -> None:
    rows = np.memmap(tmp_path / "rows", dtype=np.float32, mode="w+", shape=(40_000, 3))
    rows[:] = np.random.default_rng(0).normal(size=rows.shape)
    net = MLP(3, [2, 1], activation="tanh", seed=1)
    said = net.predict(rows)
    assert said.shape == (40_000,)
    assert np.allclose(said[[0, 20_000, 39_999]], alone(net, rows[[0, 20_000, 39_999]].astype(float)))


class Growing(MLP):
    def __call__(self, x: Any) -> Any:
        return [super().__call__(x)] * (2 if x[0] > 0 else 1)


class Naming(MLP):
    def __call__(self, x: Any) -> Any:
        return {"y": super().__call__(x)}


def test_what_does_not_fit_is_told() -> None:
    net = MLP(3, [1], seed=1)
    with pytest.raises(ValueError, match="MLP takes 3 inputs, not 2"):
        net.predict(X[:, :2])
    for ragged, told in (
        ([[1.0, 2.0], [3.0, 4.0], [5.0]], r"X\[0\] has 2 entries, X\[2\] has 1"),
        ([[1.0, 2.0], 3.0], r"X\[0\] has 2 entries, X\[1\] is no row"),
        ([[[1.0, 2.0]], [[3.0]]], r"X\[0\]\[0\] has 2 entries, X\[1\]\[0\] has 1"),
        ([np.array(1.0), [2.0, 3.0]], r"X\[0\] is no row, X\[1\] has 2 entries"),
        (np.array([[1.0, 2.0], [3.0]], dtype=object), r"X\[0\] has 2 entries, X\[1\] has 1"),
    ):
        with pytest.raises(ValueError, match=rf"^the rows of X are of unequal length: {told}$"):
            net.predict(ragged)
    for flat, row in ([1.0, 2.0], "[[1.0, 2.0]]"), (range(9), "[[0.0, 1.0, 2.0, 3.0, …]]"):
        told = f"X has a number for each sample; as one sample of {len(flat)} inputs it is {row}"
        with pytest.raises(ValueError, match=re.escape(told)):
            net.predict([*flat])
    with pytest.raises(ValueError, match=r"X has a row for each sample, and at least one, not the shape"):
        net.predict(X[:0])
    with pytest.raises(TypeError, match=r"X\[1, 2\] takes a real number, not the str 'x'"):
        net.predict([[1.0, 2.0, 3.0], [1.0, 2.0, "x"]])
    growing = Growing(3, [1], seed=1)
    told = r"the same number of outputs to each sample, not \(1,\) to X\[0\] and \(2,\) to X\[1\]$"
    with pytest.raises(ValueError, match=told):
        growing.predict([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    told = r"^predict: a net says Values, alone, in a list or in an array, not an object of type dict$"
    with pytest.raises(TypeError, match=told):
        Naming(3, [1], seed=1).predict(X)
    with pytest.raises(TypeError, match="a net can be called; Module has no __call__"):
        Module().predict(X)
    with pytest.raises(ValueError, match=r"inputs\[0, 1\] is masked; fill it in, or leave its sample out"):
        net.predict(np.ma.array(X[:2], mask=[[False, True, False], [False, False, False]]))
    assert np.array_equal(net.predict(np.ma.array(X[:2])), net.predict(X[:2]))


class Forward(Module):
    """As in PyTorch."""

    def __init__(self) -> None:
        self.w = Value(1.0)

    def forward(self, x: Any) -> Any:
        return self.w * x[0]


def test_a_net_with_a_forward_is_told_what_it_is_called_here() -> None:
    for ask in (lambda: Forward().predict([[1.0]]), lambda: fit(Forward(), [[1.0]], [1.0], loss="hinge")):
        with pytest.raises(TypeError, match=r"; call its forward __call__$"):
            ask()
