"""Memory does not grow with what is done over and over; readers are bounded. Long form: ``--long``."""

from __future__ import annotations

import copy
import gc
import inspect
import linecache
import pickle
import re
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support import blocks, planted, pure

import microbp
import viz
from microbp import MLP, Graph, TooManyValues, Value
from microbp.bounds import LARGEST
from microbp.optim import SGD


def growing(work: Callable[[], object], times: int) -> bool:
    """Whether so many runs leave a block of memory each behind, or entries in linecache, after a while."""
    for _ in range(20):
        work()
    gc.collect()
    gc.collect()  # what the first has freed may have held more
    before, files = blocks(), len(linecache.cache)
    for _ in range(times):
        work()
    gc.collect()
    work()  # the next that has a source takes those of what is gone out of linecache
    gc.collect()
    gc.collect()
    return blocks() - before >= max(times, 500) or len(linecache.cache) - files >= 20


def test_what_grows_is_caught() -> None:
    kept: list[Any] = []
    assert growing(lambda: kept.append([1]), 1000)


@pytest.mark.parametrize("form", ["auto", "straight", "matrix"])
def test_compiling_leaves_nothing_behind(form: str, long: bool) -> None:
    net, x = MLP(2, [3, 1], seed=1), microbp.array([0.5, 1.0], "x")

    def compiles() -> None:
        assert microbp.compile(net(list(x)), inputs=list(x), form=form).form == form

    many = 100_000 if form == "auto" else 3_000
    assert not growing(compiles, many if long else 30)


@pure
def test_a_program_s_source_is_shown_as_long_as_it_lives() -> None:
    w, x = Value(0.5, name="w"), Value(2.0, name="x")
    first, second = (microbp.compile(w * x + 12345.0, inputs=[x]) for _ in range(2))
    assert first.source == second.source  # it is made when somebody looks
    one, other = [
        name
        for name in linecache.cache
        if name.startswith("<microbp replay") and "12345" in "".join(linecache.getlines(name))
    ]
    del first
    gc.collect()
    assert microbp.compile(w - x, inputs=[x], form="straight")([2.0]) == -1.5  # the next that has a source
    assert one not in linecache.cache
    assert linecache.getlines(other)
    del second
    gc.collect()
    assert microbp.compile(w + x, inputs=[x], form="straight")([2.0]) == 2.5
    assert other not in linecache.cache


@pure
def test_a_program_may_die_while_linecache_walks_over_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Any] = []

    class Walked(dict[str, Any]):
        def __getitem__(self, file: str) -> Any:
            held.clear()
            gc.collect()
            return super().__getitem__(file)

    monkeypatch.setattr(linecache, "cache", Walked(linecache.cache))
    w, x = Value(0.5, name="w"), Value(2.0, name="x")
    held.append(microbp.compile(w * x, inputs=[x], form="straight"))
    assert held[0]([2.0]) == 1.0
    *_, file = (name for name in linecache.cache if name.startswith("<microbp replay"))
    linecache.checkcache()  # as each traceback, and a debugger, begins
    assert held == []
    assert microbp.compile(w - x, inputs=[x], form="straight")([2.0]) == -1.5  # the next that has a source
    assert linecache.getlines(file) == []


def test_eager_steps_leave_nothing_behind(long: bool) -> None:
    net = MLP(2, [3, 1], seed=1)
    optimiser = SGD(net.parameters(), lr=1e-6)

    def steps() -> None:
        net.zero_grad()
        (net([0.5, 1.0]) ** 2).backward()
        optimiser.step()

    assert not growing(steps, 100_000 if long else 500)


def test_replayed_steps_leave_nothing_behind(long: bool) -> None:
    x = microbp.array([0.5, 1.0], "x")
    program = microbp.compile(MLP(2, [3, 1], seed=1)(list(x)), inputs=list(x))
    batch = np.zeros((4, 2))
    assert not growing(lambda: program.value_and_grad(batch), 1_000_000 if long else 1000)


# ------------------------------------------------------------------------------------ bounded readers
def deep(n: int) -> tuple[Value, Value]:
    w = y = Value(0.5, name="w")
    for _ in range(n):
        y = y * 0.999999
    return y, w


def wide(n: int) -> tuple[Value, Value]:
    w = Value(0.5, name="w")
    return microbp.sum([w * (1.0 + i / n) for i in range(n // 10)]), w


def many(n: int) -> tuple[Value, Value]:
    """Many leaves, each of them used."""
    leaves = [Value(i / n, name=f"x{i}") for i in range(n // 4)]
    return microbp.sum([(a * b).tanh() for a, b in pairwise(leaves)]), leaves[0]


def script(n: int) -> tuple[Value, Value]:
    """Recorded by a script that has a line for each hundred values, with the lines."""
    lines = [f"for _ in range(99): y = y * {1.0 + i / n}" for i in range(n // 100)]
    scope: dict[str, Any] = {"y": Value(0.5, name="w")}
    scope["w"] = scope["y"]
    before = microbp.record_sites()
    try:
        exec(compile("\n".join(lines), "script.py", "exec"), scope)
    finally:
        microbp.record_sites(before)
    return scope["y"], scope["w"]


READERS: dict[str, Callable[[Value, Value], object]] = {
    "Graph": lambda y, w: len(Graph(y, {})),  # noqa: ARG005
    "str": lambda y, w: len(str(Graph(y, {}))),  # noqa: ARG005
    "sites": lambda y, w: Graph(y, {}).sites,  # noqa: ARG005
    "backward": lambda y, w: y.backward(),  # noqa: ARG005
    "grad": lambda y, w: microbp.grad(y, [w]),
    "trace": lambda y, w: microbp.trace(y, {}),  # noqa: ARG005
    "explain": lambda y, w: str(microbp.explain(y, w, names={})),
    "paths": lambda y, w: str(microbp.paths(y, w, names={})),
    "diagnose": lambda y, w: str(microbp.diagnose(y, names={}, show=False)),  # noqa: ARG005
    "audit": lambda y, w: str(microbp.audit(y, names={}, show=False)),  # noqa: ARG005
    "check_gradients": lambda y, w: microbp.check_gradients(y, names={}, show=False),  # noqa: ARG005
    "check_answers": lambda y, w: microbp.check_answers(y, [(w, 1.0)], names={}, show=False),
    "compile": lambda y, w: microbp.compile(y, inputs=[w]),
    "draw": lambda y, w: viz.draw(y, names={}).dot,  # noqa: ARG005
    "page": lambda y, w: viz.page(y, names={}),  # noqa: ARG005
    "pickle": lambda y, w: pickle.loads(pickle.dumps(Graph(y, {}))),  # noqa: ARG005
    "deepcopy": lambda y, w: copy.deepcopy(Graph(y, {})),  # noqa: ARG005
    "to_json": lambda y, w: Graph(y, {}).to_json(),  # noqa: ARG005
}


@pytest.fixture
def shallow() -> Iterator[None]:
    """A stack that has no room for a call for each of 300 values."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 250)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("make", [deep, wide, many, script])
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_of_a_large_graph_comes_to_an_end_or_says_its_limit(
    reader: str, make: Callable[[int], tuple[Value, Value]], long: bool
) -> None:
    y, w = make(1_000_000 if long else 300)
    begun, refused = time.process_time(), ""
    try:
        READERS[reader](y, w)
    except TooManyValues as error:
        refused = str(error)
    assert not refused or (long and re.search(r"\d,\d{3} values.*: \w", refused))
    if long:
        assert time.process_time() - begun < 20.0


@pytest.mark.parametrize("reader", sorted(LARGEST))
def test_a_graph_above_the_limit_is_refused_with_the_way_out(
    reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LARGEST, reader, LARGEST[reader]._replace(most=1_000))
    y, w = deep(1_000)
    name = reader.removesuffix("()")
    call = f"{reader} takes graphs of up to 1,000 values, and this one has 1,001: read the loss of one sample"
    with pytest.raises(TooManyValues, match=f"^{re.escape(call)}"):
        READERS[name](y, w)
    READERS[name](*deep(999))


def test_a_gradient_check_of_too_many_parameters_is_refused_and_of_a_few_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, w = many(400)
    told = r"^check_gradients\(\) .* 100 times 299 values is more than 20,000: give fewer of them"
    monkeypatch.setattr("microbp.check.gradients.WORK", 20_000)
    with pytest.raises(TooManyValues, match=told):
        microbp.check_gradients(y, names={}, show=False)
    assert microbp.check_gradients(y, [w], names={}, show=False).ok


def test_of_one_wide_operation_some_operands_are_measured_and_the_rest_is_undecided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("microbp.check.auditing.MEASURED", 5_000)
    w = Value(0.5, name="w")
    report = microbp.audit(microbp.sum([w * float(i) for i in range(100)]), names={}, show=False)
    told = [row for row in report.rows if row.rule == "sum"]
    assert {row.why for row in told if row.verdict == "undecided"} == {
        "not measured: of 100 operands one in 2 is"
    }
    assert sum(row.verdict == "fine" for row in told) == 50
    assert report.ok


def test_an_error_in_a_wide_operation_is_caught_by_those_that_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("microbp.check.auditing.MEASURED", 5_000)
    planted(monkeypatch, "logsumexp")
    w = Value(0.5, name="w")
    loss = microbp.logsumexp([w * float(i % 7) for i in range(100)])
    loss.backward()
    report = microbp.audit(loss, names={}, show=False)
    told = [row.verdict for row in report.rows if row.rule == "logsumexp"]
    assert (told.count("WRONG RULE"), told.count("undecided"), report.ok) == (50, 50, False)
    found = microbp.diagnose(loss, names={}, show=False)
    assert any("logsumexp" in str(each) for each in found.findings)


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
