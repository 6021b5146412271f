"""The backward pass: pass after pass, interrupted, in threads; over graphs of any depth, to the bit."""

from __future__ import annotations

import copy
import gc
import hashlib
import operator
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import REFERENCE, Program, numbers, polynomials, programs
from support import bits, in_threads, live_values, pure

import microbp
from microbp import Graph, NoGradientError, UndefinedOperation, Value, grad, no_grad
from microbp import node as engine
from microbp.node import backward_order, upstream_gradients
from microbp.record import record
from microbp.rules import TABLE


# ------------------------------------------------------------------------- 3: pass after pass
def test_a_second_backward_exactly_doubles() -> None:
    x = Value(3.0)
    y = x * x * x
    y.backward()
    assert x.grad == 27.0
    y.backward()
    assert x.grad == 54.0
    x.grad = None
    y.backward()
    assert x.grad == 27.0


def test_two_roots_that_share_a_subgraph_add_exactly() -> None:
    x = Value(2.0)
    h = x * x
    a, b = 3.0 * h, 5.0 * h
    a.backward()
    b.backward()
    assert x.grad == 32.0
    assert h.grad == 8.0


def test_every_value_behind_the_root_gets_its_gradient_and_no_other() -> None:
    a, b, apart = Value(2.0), Value(-3.0), Value(7.0)
    c = a * b
    d = c + a
    beside = d * apart
    d.backward()
    assert [v.grad for v in (a, b, c, d)] == [-2.0, 2.0, 1.0, 1.0]
    assert apart.grad is None
    assert beside.grad is None


def test_a_gradient_is_none_until_it_is_computed() -> None:
    x = Value(0.0)
    y = x * 0.0
    assert (x.grad, y.grad) == (None, None)
    y.backward()
    assert (x.grad, y.grad) == (0.0, 1.0)


def test_a_leaf_is_its_own_root() -> None:
    x = Value(2.0)
    x.backward()
    x.backward()
    assert x.grad == 2.0


def test_a_diamond_visits_each_node_once_after_all_its_uses() -> None:
    x = Value(1.0)
    v = x
    for _ in range(60):  # 2^60 paths
        v = v + v
    v.backward()
    assert x.grad == 2.0**60
    assert len(backward_order(v)) == 61


def test_gradients_of_one_pass_are_read_without_touching_grad() -> None:
    x, c = Value(3.0), Value(2.0).detach()
    y = x * x * c
    assert upstream_gradients(y)[id(x)] == 12.0
    assert id(c) not in upstream_gradients(y)
    assert [x.grad, y.grad] == [None, None]


@given(polynomials(), st.integers(1, 3))
def test_passes_add_up_exactly(program: tuple[list[int], list[tuple[str, int, int]]], times: int) -> None:
    """Small integers through + - *: forward accumulation in whole numbers gives the same, exactly."""
    leaves, steps = program
    apply = {"+": operator.add, "-": operator.sub, "*": operator.mul}
    values: list[Any] = [Value(x) for x in leaves]
    duals: list[Any] = [(x, [int(i == j) for j in range(len(leaves))]) for i, x in enumerate(leaves)]
    for sign, i, j in steps:
        values.append(apply[sign](values[i], values[j]))
        (a, da), (b, db) = duals[i], duals[j]
        if sign == "*":
            tangent = [da_ * b + a * db_ for da_, db_ in zip(da, db, strict=True)]
        else:
            tangent = [apply[sign](da_, db_) for da_, db_ in zip(da, db, strict=True)]
        duals.append((apply[sign](a, b), tangent))
    root = values[-1]
    assert root.data == duals[-1][0]
    for _ in range(times):
        root.backward()
    for leaf, exact in zip(values, duals[-1][1], strict=False):
        assert (leaf.grad or 0.0) == times * exact


def test_the_reference_knows_the_whole_table() -> None:
    assert {rule.name for rule in TABLE} == set(REFERENCE)


@given(programs())
def test_backward_equals_differences_in_high_precision(program: Program) -> None:
    leaves = [Value(x) for x in program.leaves]
    root = program.run(record, Value.sin, leaves)
    root.backward()

    def exact(*numbers_: Any) -> Any:
        return program.run(lambda rule, each: REFERENCE[rule.name](*each), mpmath.sin, numbers_)

    with mpmath.workdps(40):
        at = [mpmath.mpf(x) for x in program.leaves]
        assert abs(exact(*at) - root.data) <= 1e-13 * max(1, abs(root.data))
        h = mpmath.mpf("1e-14")
        for i, leaf in enumerate(leaves):
            up = exact(*(x + h * (i == j) for j, x in enumerate(at)))
            down = exact(*(x - h * (i == j) for j, x in enumerate(at)))
            slope = (up - down) / (2 * h)
            assert abs(slope - (leaf.grad or 0.0)) <= 1e-11 * max(1, abs(slope))


@given(programs())
def test_backward_equals_forward_accumulation(program: Program) -> None:
    """Along the recorded local derivatives, in exact fractions: only the sums' rounding is left."""
    leaves = [Value(x) for x in program.leaves]
    root = program.run(record, Value.sin, leaves)
    order = backward_order(root)
    root.backward()
    for leaf in leaves:
        tangent = {id(leaf): Fraction(1)}
        size = {id(leaf): Fraction(1)}  # the sum of the paths' absolute values
        for node in reversed(order):
            if not node.is_leaf:
                parts = [
                    (id(each), Fraction(d))
                    for each, d in zip(node.operands, node.local_derivatives, strict=True)
                    if isinstance(each, Value) and d is not None
                ]
                tangent[id(node)] = sum((tangent.get(i, 0) * d for i, d in parts), Fraction(0))
                size[id(node)] = sum((size.get(i, 0) * abs(d) for i, d in parts), Fraction(0))
        rounding = Fraction(3 * len(order) * 2.0**-53)
        error = abs(tangent.get(id(root), Fraction(0)) - Fraction(leaf.grad or 0.0))
        assert error <= rounding * size.get(id(root), Fraction(0))


# ----------------------------------------------------------------------- interrupted, and in threads
class _Interrupt:
    """Raises KeyboardInterrupt when a line of the sweep is reached for the ``at``-th time."""

    codes = engine._order.__code__, engine._pass_on.__code__

    def __init__(self, at: int) -> None:
        self.left = at

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self.call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def call(self, frame: Any, event: str, arg: Any) -> Any:  # noqa: ARG002
        return self.line if frame.f_code in self.codes else None

    def line(self, frame: Any, event: str, arg: Any) -> Any:  # noqa: ARG002
        self.left -= event == "line"
        if self.left < 0:
            raise KeyboardInterrupt
        return self.line


def _interruptible() -> tuple[list[Value], Value, Value]:
    x, y, c = Value(0.5), Value(-1.5), Value(2.0).detach()
    h = (x * y).tanh() + x
    first = microbp.dot([h, x, h], [y, 2.0, c], 1.0) / (3.0 - y)
    second = h * h - x
    return [x, y, c, h, first, second], first, second


@pure
def test_after_an_interrupted_pass_the_next_one_is_right() -> None:
    """Wherever the interrupt falls: the next pass, over this root or another, starts from nothing."""
    values, first, second = _interruptible()
    first.backward()
    second.backward()
    expected = [bits(v.grad) for v in values]
    order = [id(v) for v in backward_order(first)]
    whole = _Interrupt(10**9)
    with whole:
        first.backward()
    lines = 10**9 - whole.left
    assert lines > 150
    for at in range(lines):
        for v in values:
            v.grad = None
        with pytest.raises(KeyboardInterrupt), _Interrupt(at):
            first.backward()
        for v in values:
            v.grad = None
        if at % 3 == 0:
            second.backward()
            first.backward()
        elif at % 3 == 1:
            first.backward()
            second.backward()
        else:
            assert [id(v) for v in backward_order(first)] == order
            second.backward()
            first.backward()
        assert [bits(v.grad) for v in values] == expected


@pure
def test_an_interrupted_pass_leaves_other_readers_right() -> None:
    values, first, _ = _interruptible()
    expected = [upstream_gradients(first).get(id(v)) for v in values]
    for at in range(0, 150, 7):
        with pytest.raises(KeyboardInterrupt), _Interrupt(at):
            grad(first, values[0])
        assert [upstream_gradients(first).get(id(v)) for v in values] == expected


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_share_leaves_add_exactly() -> None:
    x, w = Value(2.0), Value(3.0)

    def repeat(times: int, factor: int) -> Callable[[], None]:
        def job() -> None:
            for _ in range(times):
                h = w * x
                for _ in range(20):
                    h = h + x
                (h * factor).backward()

        return job

    in_threads(repeat(150, 1), repeat(100, 10), repeat(50, 100))
    assert x.grad == (3.0 + 20.0) * (150 + 100 * 10 + 50 * 100)
    assert w.grad == 2.0 * (150 + 100 * 10 + 50 * 100)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_on_one_graph_add_exactly() -> None:
    x = Value(1.0)
    y = x
    for _ in range(100):
        y = y * 1.0 + x
    reads: list[float] = []
    in_threads(
        *[lambda: [y.backward() for _ in range(60)]] * 3,
        lambda: [reads.append(grad(y, x)) for _ in range(60)],
        lambda: [Graph(y) for _ in range(10)],
    )
    assert x.grad == 180 * 101.0
    assert set(reads) == {101.0}


# -------------------------------------------------------------------- 4: fixed when it is recorded
def test_a_leaf_that_changes_does_not_corrupt_an_older_graph() -> None:
    x = Value(3.0)
    y = x * x
    x.data = 100.0
    y.backward()
    assert x.grad == 6.0
    assert (y.data, x.data) == (9.0, 100.0)


@given(programs(), st.lists(numbers, min_size=3, max_size=3))
def test_gradients_are_those_of_the_moment_of_recording(program: Program, later: list[float]) -> None:
    leaves = [Value(x) for x in program.leaves]
    root = program.run(record, Value.sin, leaves)
    before = grad(root, leaves)
    for value in backward_order(root):
        value.data = later[0]
    assert grad(root, leaves) == before


def test_all_gradients_use_the_weights_before_an_update() -> None:
    """Updating one weight before the next gradient is computed: the hand-calculation's pitfall."""
    w1, w5 = Value(0.15, name="w1"), Value(0.40, name="w5")
    loss = ((w1 * 0.05).sigmoid() * w5).sigmoid()
    loss.backward()
    slope = w1.grad
    for v in backward_order(loss):
        v.grad = None
    w5.data -= 0.5 * 0.1
    loss.backward()
    assert w1.grad == slope


@given(programs())
def test_the_backward_order_is_topological(program: Program) -> None:
    leaves = [Value(x) for x in program.leaves]
    root = program.run(record, Value.sin, leaves)
    order = backward_order(root)
    place = {id(value): index for index, value in enumerate(order)}
    assert order[0] is root
    assert len(place) == len(order)
    for value in order:
        for operand in value.operands:
            if isinstance(operand, Value):
                assert place[id(operand)] > place[id(value)]
    reached = {id(root)} | {id(x) for v in order for x in v.operands if isinstance(x, Value)}
    assert reached == set(place)
    assert [id(v) for v in backward_order(root)] == [id(v) for v in order]


# --------------------------------------------------------- 5: the same in every process, to the bit
EVERYWHERE = """
import microbp, random
from microbp import Graph, Value, array
rng = random.Random(7)
names = sorted({"alpha", "beta", "gamma", "delta", "epsilon", "zeta"})
leaves = {name: Value(rng.uniform(-1, 1), name=name) for name in names}
pool = list(leaves.values())
for step in range(300):
    a, b, c = (pool[rng.randrange(len(pool))] for _ in "abc")
    pool.append(rng.choice([
        lambda: a * b, lambda: a + b * c, lambda: (a - b).tanh(), lambda: microbp.dot([a, b], [c, 0.3]),
        lambda: a / (b * b + 1.0), lambda: microbp.logsumexp([a, b, c]), lambda: a.sigmoid() - c,
        lambda: (1.0 + a * a) ** 0.5 - b.sin(), lambda: microbp.max([a, b, c]).silu(),
    ])())
W = array([[0.1, 0.2], [0.3, 0.4]], name="W")
loss = microbp.sum([p.tanh() for p in pool]) + (W @ W)[1, 0]
loss.backward()
g = microbp.grad(loss, pool[0], create_graph=True)
text = str(Graph(loss, names={"pool": pool, **leaves})) + str(g)
result = [p.grad.hex() if p.grad is not None else None for p in pool] + [text]
"""


def test_gradients_are_the_same_bits_in_every_process() -> None:
    code = EVERYWHERE + "import hashlib; print(hashlib.sha256(repr(result).encode()).hexdigest())"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(2)
    ]
    printed = {run.communicate()[0].strip() for run in runs}
    names: dict[str, Any] = {}
    exec(EVERYWHERE, names)
    assert printed == {hashlib.sha256(repr(names["result"]).encode()).hexdigest()}
    assert sum(g is not None for g in names["result"][:-1]) > 250


def test_recording_and_passes_draw_no_random_numbers() -> None:
    def state() -> tuple[Any, Any]:
        return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = state()
    exec(EVERYWHERE, {})
    assert state() == before


# --------------------------------------------------------------------- 6: nothing recurses
LENGTH = 1_000_000


def chain(length: int = LENGTH) -> tuple[Value, Value]:
    """A leaf x and a root, ``length`` operations of four kinds apart, with ∂root/∂x = 1 + length/4."""
    x = Value(1.0, name="x")
    v = x
    for _ in range(length // 4):
        v = v + x
        v = -v
        v = v * -1.0
        v = v / 1.0
    return x, v


@pytest.fixture(scope="class")
def long() -> tuple[Value, Value]:
    assert sys.getrecursionlimit() < TestVeryLongGraphs.LONG // 10
    return chain(TestVeryLongGraphs.LONG)


class TestVeryLongGraphs:
    """Of a million operations, and of a hundred times as many as Python may have calls in one another."""

    LONG = 100_000
    SLOPE = 1.0 + LONG / 4

    def test_are_recorded_and_back_propagated(self) -> None:
        x, root = chain()
        root.backward()
        slope = 1.0 + LENGTH / 4
        assert (root.data, x.grad) == (slope, slope)
        assert grad(root, x) == slope
        assert len(backward_order(root)) == LENGTH + 1

    def test_are_copied(self, long: tuple[Value, Value]) -> None:
        x, root = long
        x.grad = None
        twin = copy.deepcopy(root)
        twin.backward()
        order = backward_order(twin)
        assert len(order) == self.LONG + 1
        assert (order[-1].name, order[-1].grad, x.grad) == ("x", self.SLOPE, None)

    def test_are_pickled(self, long: tuple[Value, Value]) -> None:
        twin = pickle.loads(pickle.dumps(long[1]))
        order = backward_order(twin)
        twin.backward()
        assert len(order) == self.LONG + 1
        assert (order[-1].name, order[-1].grad) == ("x", self.SLOPE)

    def test_are_read_into_a_graph(self, long: tuple[Value, Value]) -> None:
        graph = Graph(long[1])
        assert len(graph) == self.LONG + 1
        assert graph["x"].position == 0
        assert graph.root.data == self.SLOPE

    @pure
    def test_are_freed_by_reference_counting(self) -> None:
        gc.disable()
        try:
            before = live_values()
            x, root = chain(self.LONG)
            root.backward()
            assert live_values() == before + self.LONG + 1
            del x, root
            assert live_values() == before
        finally:
            gc.enable()


def test_a_gradient_as_a_graph_does_not_recurse_either() -> None:
    x, root = chain(20_000)
    assert grad(root * x, x, create_graph=True).data == 2 * (1.0 + 20_000 / 4)


def test_a_wide_graph_of_50_000_products() -> None:
    n = 50_000
    w = [Value(float(i % 7)) for i in range(n)]
    x = Value(2.0)
    one = microbp.sum([each * x for each in w])
    other = microbp.dot(w, [x] * n)
    in_turn = Value(0.0)
    for each in w:
        in_turn = in_turn + each * x
    exact = 2.0 * sum(i % 7 for i in range(n))
    for root in (one, other, in_turn):
        assert root.data == exact
        x.grad = w[5].grad = None
        root.backward()
        assert (x.grad, w[5].grad) == (exact / 2.0, 2.0)
    assert len(other.operands) == 2 * n + 1
    twin = pickle.loads(pickle.dumps(one))
    assert grad(twin, twin.operands[3].operands[0]) == 2.0


def test_a_deep_graph_of_wide_nodes() -> None:
    x = Value(1.0)
    v = x
    for _ in range(3_000):
        v = microbp.sum([v, x, v, -x]) * 0.5
    v.backward()
    assert x.grad == 1.0
    twin = pickle.loads(pickle.dumps(copy.deepcopy(v)))
    assert len(backward_order(twin)) == len(backward_order(v)) == 9_001
    del v, twin


# --------------------------------------------------------------------- freed by reference counting
@pure
def test_a_graph_is_freed_by_reference_counting_alone_when_its_root_goes() -> None:
    def use_everything() -> Value:
        x, y = Value(0.3, name="x"), Value(0.7, name="y")
        W = microbp.array([[1.0, 2.0], [3.0, 4.0]], name="W")
        root = microbp.cross_entropy(W @ np.array([x, y * x]), [0.0, 1.0]) + 2 / x**y
        root = root + microbp.sum([root, x, 1.0]) + microbp.clip(x, 0.0, y) + microbp.leaky_relu(-x)
        root.backward()
        slope = grad(root, [x, y], create_graph=True)
        twin = pickle.loads(pickle.dumps(copy.deepcopy(root)))
        graph = Graph(twin, names=locals())
        with no_grad():
            free = root * x
        with pytest.raises(UndefinedOperation):
            (x - 1.0).log()
        with pytest.raises(NoGradientError):
            free.backward()
        assert graph["x"].grad is not None
        return root + slope[0] * 2.0

    root = use_everything()
    del root
    gc.collect()
    gc.disable()
    try:
        before = live_values()
        root = use_everything()
        assert live_values() > before + 40
        del root
        assert live_values() == before
    finally:
        gc.enable()


def test_a_pass_keeps_nothing_alive() -> None:
    gc.disable()
    try:
        before = live_values()
        Value(2.0).exp().backward()
        grad(Value(2.0).exp(), [])
        assert live_values() == before
    finally:
        gc.enable()


def test_backward_of_a_constant_is_an_error() -> None:
    with no_grad():
        y = Value(2.0) * 3.0
    frozen = Value(6.0)
    frozen.requires_grad = False
    for constant in (y, frozen, Value(6.0).detach()):
        with pytest.raises(NoGradientError) as caught:
            constant.backward()
        assert str(caught.value) == (
            "Value(6.0) is a constant: it was recorded under no_grad(), detached or frozen, and "
            "nothing it depends on takes a gradient"
        )
        assert constant.grad is None
