"""Memory does not grow with what is done over and over; readers are bounded. Long form: ``--long``."""

from __future__ import annotations

import gc
import linecache
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microbp
import viz
from microbp import MLP, Graph, Value
from microbp.optim import SGD


def growing(work: Callable[[], object], times: int) -> bool:
    """Whether so many runs leave a block of memory each behind, or entries in linecache, after a while."""
    for _ in range(20):
        work()
    gc.collect()
    blocks, files = sys.getallocatedblocks(), len(linecache.cache)
    for _ in range(times):
        work()
    gc.collect()
    return sys.getallocatedblocks() - blocks >= max(times, 500) or len(linecache.cache) - files >= 20


def test_what_grows_is_caught() -> None:
    kept: list[Any] = []
    assert growing(lambda: kept.append([1]), 1000)


def test_compiling_leaves_nothing_behind(long: bool) -> None:
    w, x = Value(0.5, name="w"), Value(2.0, name="x")
    count = [0]

    def compiles() -> None:
        count[0] += 1
        microbp.compile(w * x + float(count[0]), inputs=[x])

    assert not growing(compiles, 100_000 if long else 60)


def test_a_program_s_source_is_shown_as_long_as_it_lives() -> None:
    w, x = Value(0.5, name="w"), Value(2.0, name="x")
    first, second = (microbp.compile(w * x + 12345.0, inputs=[x]) for _ in range(2))
    file, *_ = [
        name
        for name in linecache.cache
        if name.startswith("<microbp replay") and "12345" in "".join(linecache.getlines(name))
    ]
    del first
    gc.collect()
    assert linecache.getlines(file)
    del second
    gc.collect()
    assert file not in linecache.cache


def test_eager_steps_leave_nothing_behind(long: bool) -> None:
    net = MLP(2, [3, 1], seed=1)
    optimiser = SGD(net.parameters(), lr=1e-6)

    def steps() -> None:
        net.zero_grad()
        (net([0.5, 1.0]) ** 2).backward()
        optimiser.step()

    assert not growing(steps, 100_000 if long else 1000)


def test_replayed_steps_leave_nothing_behind(long: bool) -> None:
    x = microbp.array([0.5, 1.0], "x")
    program = microbp.compile(MLP(2, [3, 1], seed=1)(list(x)), inputs=list(x))
    batch = np.zeros((4, 2))
    assert not growing(lambda: program.value_and_grad(batch), 1_000_000 if long else 5000)


# ------------------------------------------------------------------------------------ bounded readers
def deep(n: int) -> tuple[Value, Value]:
    w = y = Value(0.5, name="w")
    for _ in range(n):
        y = y * 0.999999
    return y, w


def wide(n: int) -> tuple[Value, Value]:
    w = Value(0.5, name="w")
    return microbp.sum([w * (1.0 + i / n) for i in range(n // 2)]), w


READERS: dict[str, Callable[[Value, Value], object]] = {
    "graph": lambda y, w: len(str(Graph(y, {}))),  # noqa: ARG005
    "backward": lambda y, w: y.backward(),  # noqa: ARG005
    "trace": lambda y, w: microbp.trace(y, {}),  # noqa: ARG005
    "draw": lambda y, w: viz.draw(y, names={}).dot,  # noqa: ARG005
    "compile": lambda y, w: microbp.compile(y, inputs=[w]),
}


@pytest.mark.parametrize("make", [deep, wide])
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_of_a_large_graph_comes_to_an_end(
    reader: str, make: Callable[[int], tuple[Value, Value]], long: bool
) -> None:
    y, w = make(1_000_000 if long else 2_000)
    begun = time.perf_counter()
    READERS[reader](y, w)
    if long:
        assert time.perf_counter() - begun < 20.0


def test_the_caller_s_variables_may_be_anything() -> None:
    own: list[Any] = [1]
    own.append(own)
    nested: list[Any] = []
    doubled: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    for _ in range(40):
        doubled = [doubled, doubled]
    w = Value(0.5, name="w")
    y = w * w
    scope = {"own": own, "nested": nested, "doubled": doubled, "y": y}
    for read in (
        lambda: Graph(y, scope).root.name, lambda: microbp.trace(y, scope).graph.root.name,
        lambda: microbp.paths(y, w, names=scope).title, lambda: viz.draw(y, names=scope).dot,
        lambda: str(microbp.explain(y, w, names=scope)),
    ):  # fmt: skip
        assert "y" in read()
