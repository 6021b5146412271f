"""``Value``: what it records, what a backward pass adds, and what it refuses.

The sections follow the numbers of the semantics that were decided: what a Value is (1), micrograd's
names (2), one pass after another (3), what is fixed when it is recorded (4), operands (5), nothing
recurses (6), undefined operations and NaN (7), exactness (10). NumPy (9) is in test_array.py, the
functions that never overflow (8) in test_functions.py, imports (11) in test_import_order.py.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import inspect
import math
import operator
import os
import pickle
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import REFERENCE, Program, numbers, polynomials, programs

import microbp
from microbp import (
    BranchError,
    Graph,
    NoGradientError,
    UndefinedOperation,
    Value,
    grad,
    no_grad,
    record_sites,
)  # fmt: skip
from microbp import backward as engine
from microbp.rules import RULES, TABLE, Rule, row
from microbp.backward import backward_order, upstream_gradients
from microbp.record import record

NAN, INF = math.nan, math.inf

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "pow": operator.pow,
}  # fmt: skip
METHODS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(Value, name) for name in RULES if callable(getattr(Value, name, None))},
    "neg": operator.neg,
    "abs": abs,
}


def here(back: int = 0) -> str:
    frame = inspect.currentframe().f_back  # type: ignore[union-attr]
    return f"{__file__}:{frame.f_lineno - back}"  # type: ignore[union-attr]


def bits(x: float | None) -> str | None:
    """A float to the last bit: NaN equals NaN, and -0.0 is not 0.0."""
    return None if x is None else struct.pack("<d", NAN if math.isnan(x) else x).hex()


def live_values() -> int:
    return sum(isinstance(each, Value) for each in gc.get_objects())


# ------------------------------------------------------------------------ 1: what a Value is
@pytest.mark.parametrize(
    "number",
    [3, 3.0, -0.0, np.float64(3), np.float32(3), np.float16(3), np.longdouble(3), np.int64(3),
     np.uint8(3), Fraction(3), 2**53 + 1, INF],
)  # fmt: skip
def test_a_real_number_of_any_kind_becomes_a_float(number: Any) -> None:
    for value in (Value(number), Value(0.0)):
        value.data = number
        assert type(value.data) is float
        assert bits(value.data) == bits(float(number))


COMPLEX = "microbp is real; record the real and the imaginary part as two Values"
TRUTH = "a truth value freezes a branch; use select(c, a, b), or float(...) for a number"
MANY = "microbp.array(...) makes an array of Values, one for each number"
KINDS = "give an int, a float or a NumPy real scalar"
REFUSED = [
    ("3", "the str '3'; convert it first: float(...)"),
    (b"3", "an object of type bytes; convert it first: float(...)"),
    (None, f"None; {KINDS}"),
    (1j, f"the complex 1j; {COMPLEX}"),
    (np.complex128(1), f"an object of type complex128; {COMPLEX}"),
    (True, f"the bool True; {TRUTH}"),
    (np.bool_(0), f"the bool {np.bool_(0)!r}; {TRUTH}"),
    ([1.0], f"an object of type list; {MANY}"),
    ((1.0,), f"an object of type tuple; {MANY}"),
]
NO_OPERAND_EITHER = [
    (Decimal(3), f"an object of type Decimal; {KINDS}"),
    (np.ones(2), f"an object of type ndarray; {MANY}"),
    (
        Value(1.0),
        "an object of type Value; it is a Value already; use it as it is, or take its number with .data",
    ),
]


@pytest.mark.parametrize(("thing", "words"), [*REFUSED, *NO_OPERAND_EITHER], ids=lambda x: type(x).__name__)
def test_what_is_no_real_number_is_refused(thing: object, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        Value(thing)  # type: ignore[arg-type]
    assert str(caught.value) == f"Value() takes a real number, not {words}"
    value = Value(1.0)
    with pytest.raises(TypeError) as caught:
        value.data = thing  # type: ignore[assignment]
    assert str(caught.value) == f"Value.data takes a real number, not {words}"
    assert value.data == 1.0


@pytest.mark.parametrize(("thing", "words"), REFUSED, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("name", OPERATORS)
def test_what_is_no_real_number_is_refused_as_an_operand(name: str, thing: Any, words: str) -> None:
    for operands in ((Value(1.0), thing), (thing, Value(1.0))):
        with pytest.raises(TypeError) as caught:
            OPERATORS[name](*operands)
        assert str(caught.value) == f"{name}(a, b) takes a real number, not {words}"


def test_a_class_that_knows_values_gets_its_turn() -> None:
    class Twice:
        def __radd__(self, other: Value) -> Value:
            return other * 2.0

    assert (Value(3.0) + Twice()).data == 6.0
    for stranger in (Twice(), Decimal(3), object()):
        with pytest.raises(TypeError, match="unsupported operand"):
            Value(3.0) - stranger


def test_an_integer_beyond_all_floats_is_an_overflow() -> None:
    with pytest.raises(OverflowError, match="too large"):
        Value(10**400)
    with pytest.raises(OverflowError, match="too large"):
        Value(1.0) + 10**400


def test_a_name_is_a_word_or_nothing() -> None:
    value = Value(1.0, name="w")
    assert (value.name, Value(1.0).name) == ("w", None)
    value.name = "v"
    assert value.name == "v"
    value.name = None
    assert value.name is None
    for bad in (3, b"w", Value(1.0)):
        with pytest.raises(TypeError, match=r"^a name is a str, not "):
            value.name = bad  # type: ignore[assignment]
        with pytest.raises(TypeError, match=r"^a name is a str, not "):
            Value(1.0, name=bad)  # type: ignore[arg-type]


def test_a_misspelt_attribute_is_an_error() -> None:
    with pytest.raises(AttributeError):
        Value(1.0).gard = 0.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [0.0, 1.0, NAN])
def test_the_truth_of_a_value_is_refused(number: float) -> None:
    value = Value(number, name="w")
    for branch in (bool, operator.not_, lambda v: v and 1, lambda v: 1 if v else 2, lambda v: any([v])):
        with pytest.raises(BranchError) as caught:
            branch(value)
        assert str(caught.value) == (
            f"the truth of w = {number!r} is not defined: a branch on a Value is not part of the "
            "graph. Compare numbers (v.data > 0), or keep the branch in the graph with relu, "
            "maximum, clip or select(c, a, b)"
        )
    with pytest.raises(BranchError, match=rf"the truth of Value\({number}\) is not defined"):
        bool(Value(number))


@pytest.mark.parametrize("convert", [float, math.exp, complex, lambda v: np.array([v], dtype=float)])
def test_leaving_the_graph_without_a_trace_is_refused(convert: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        convert(Value(2.0, name="w"))
    assert str(caught.value) == (
        "float() of w = 2.0 would leave the graph without a trace: take v.data for the number, or "
        "microbp's own function (microbp.exp, v.exp()) to stay in the graph"
    )


ORDERINGS = [operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("compare", ORDERINGS)
@pytest.mark.parametrize("other", [1.0, 2.0, 3, NAN, -INF, np.float32(2.0), np.int64(1), Fraction(5, 2)])
def test_orderings_compare_numbers_and_give_a_plain_truth_value(compare: Any, other: Any) -> None:
    value = Value(2.0)
    pairs = [(value, other), (value, Value(other)), (other, value)]
    for left, right in pairs:
        numbers_ = [float(x.data if isinstance(x, Value) else x) for x in (left, right)]
        assert bool(compare(left, right)) is compare(*numbers_)
    assert type(compare(value, other)) is type(compare(value, Value(other))) is bool


def test_orderings_chain_sort_and_select() -> None:
    a, b, c = Value(1.0), Value(2.0), Value(3.0)
    assert 0 < a < b <= 2 < c
    assert sorted([c, a, b]) == [a, b, c]
    assert max(a, c, b) is c


@pytest.mark.parametrize("compare", ORDERINGS)
def test_an_ordering_with_what_is_no_number_is_refused(compare: Any) -> None:
    sign = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}[compare.__name__]
    with pytest.raises(TypeError) as caught:
        compare(Value(1.0), "3")
    assert str(caught.value) == (
        f"Value {sign} … takes a real number, not the str '3'; convert it first: float(...)"
    )


def test_equality_and_hash_are_by_identity() -> None:
    a, b = Value(1.0), Value(1.0)
    assert a == a  # noqa: PLR0124
    assert a != b
    assert a != 1.0
    assert a in [b, a]
    assert a not in [b, 1.0]
    table = {a: "a", b: "b"}
    a.data = 5.0
    assert (table[a], table[b], len({a, b, a})) == ("a", "b", 2)
    assert len({a, a * 1.0, a.detach(), copy.copy(a)}) == 4


def test_it_prints_as_it_is_made() -> None:
    x = Value(2.0, name="x")
    assert repr(x) == "Value(data=2.0, grad=None, name='x')"
    x.backward()
    assert repr(x) == "Value(data=2.0, grad=1.0, name='x')"
    assert repr(Value(2.0) * 3.0) == "Value(data=6.0, grad=None)"


# -------------------------------------------------------------------- 2: micrograd's own names
def test_the_example_that_people_know_from_micrograd() -> None:
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"


def test_the_smaller_expression_of_micrograd_s_tests() -> None:
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)


def test_a_neuron_written_out_trains_by_hand() -> None:
    w, b = [Value(0.5), Value(-0.25)], Value(0.0)
    losses = []
    for _ in range(30):
        out = sum((wi * xi for wi, xi in zip(w, [1.0, -2.0], strict=True)), b).relu()
        loss = (out - 3) ** 2
        for p in [*w, b]:
            p.grad = 0  # as micrograd has it
        loss.backward()
        for p in [*w, b]:
            p.data += -0.05 * p.grad
        losses.append(loss.data)
    assert losses[0] == 4.0
    assert losses[-1] < 1e-20


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

    def __init__(self, at: int) -> None:
        self.left = at

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self.call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def call(self, frame: Any, event: str, arg: Any) -> Any:  # noqa: ARG002
        return self.line if frame.f_code is engine._sweep.__code__ else None

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


def _in_threads(*jobs: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


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

    _in_threads(repeat(150, 1), repeat(100, 10), repeat(50, 100))
    assert x.grad == (3.0 + 20.0) * (150 + 100 * 10 + 50 * 100)
    assert w.grad == 2.0 * (150 + 100 * 10 + 50 * 100)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_on_one_graph_add_exactly() -> None:
    x = Value(1.0)
    y = x
    for _ in range(100):
        y = y * 1.0 + x
    reads: list[float] = []
    _in_threads(
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


# ------------------------------------------------------------------------------------ 5: operands
def test_operands_stand_in_order_and_with_repeats() -> None:
    x, y = Value(3.0), Value(5.0)
    square = x * x
    assert square.operands == (x, x)
    assert square.local_derivatives == (3.0, 3.0)
    assert (x - y).operands == (x, y)
    assert (y - x).operands == (y, x)
    many = microbp.dot([x, y, x], [y, x, 2.0], x)
    assert many.operands == (x, y, x, y, x, 2.0, x)
    assert many.local_derivatives == (5.0, 3.0, 2.0, 3.0, 5.0, None, 1.0)


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_is_one_node_of_its_own(name: str) -> None:
    x, y = Value(3.0), Value(5.0)
    for operands in ((x, y), (x, 5.0), (3.0, y), (x, 5), (3, y)):
        node = OPERATORS[name](*operands)
        assert node.rule is RULES[name]
        assert node.operands == operands
        assert len(backward_order(node)) == 1 + sum(isinstance(each, Value) for each in operands)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_one_node_of_its_own(name: str) -> None:
    x = Value(0.5)
    node = METHODS[name](x)
    assert node.rule is RULES[name]
    assert node.operands == (x,)
    assert backward_order(node) == [node, x]


def test_the_methods_are_all_operations_of_one_argument() -> None:
    missing = {name for name, rule in RULES.items() if len(rule.args) == 1 and not rule.over} - set(METHODS)
    assert missing <= {"erfc"}  # a helper of gelu


def test_constants_are_literals_and_no_nodes() -> None:
    x = Value(3.0)
    node = 1 / (2 * x + 0.5)
    assert [v.rule and v.rule.name for v in backward_order(node)] == ["div", "add", "mul", None]
    assert node.operands == (1.0, node.operands[1])
    assert type(node.operands[0]) is float  # an int is a number like any other
    assert node.local_derivatives[0] is None


@pytest.mark.parametrize("number", [3, 3.0, np.float64(3), np.float32(3), np.int64(3), Fraction(3)])
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_takes_any_real_number_on_either_side(name: str, number: Any) -> None:
    x = Value(2.5)
    apply, rule = OPERATORS[name], RULES[name]
    for node, numbers_ in ((apply(x, number), (2.5, 3.0)), (apply(number, x), (3.0, 2.5))):
        assert type(node) is Value
        assert node.data == apply(*numbers_)
        assert tuple(float(v.data if isinstance(v, Value) else v) for v in node.operands) == numbers_
        scope = dict(zip(rule.args, numbers_, strict=True), y=node.data)
        for each, d, text in zip(node.operands, node.local_derivatives, rule.d, strict=True):
            assert d == (text.evaluate(scope) if each is x else None)


def test_augmented_assignment_makes_a_new_node() -> None:
    x = Value(3.0)
    y = x
    y += 1
    y -= 0.5
    y *= 2
    y /= 7.0
    y **= 2
    assert x.data == 3.0
    assert y.data == 1.0
    assert len(backward_order(y)) == 6


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


class Tagged(Value):
    """A user's own kind of Value."""

    def __init__(self, data: float, tag: str) -> None:
        super().__init__(data)
        self.tag = tag


def test_a_subclass_takes_part_like_any_value() -> None:
    x, w = Tagged(3.0, "input"), Value(2.0)
    for node, number in [
        (x * w, 6.0), (w * x, 6.0), (x - 1, 2.0), (1 - x, -2.0), (x**x, 27.0), (-x, -3.0),
        (2.0 / x, 2.0 / 3.0), (x.relu(), 3.0), (microbp.dot([x], [w]), 6.0), (np.float64(2) * x, 6.0),
        ((microbp.array([1.0, 2.0]) * x)[1], 6.0),
    ]:  # fmt: skip
        assert type(node) is Value
        assert node.data == number
        assert x in node.operands
    y = x * x * w
    y.backward()
    assert x.grad == 12.0
    assert x < w + 2
    assert Graph(y).root.data == 18.0


def test_a_subclass_keeps_its_own_attributes_in_copies() -> None:
    x = Tagged(3.0, "input")
    y = x * 2.0
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (type(twin), twin.tag, twin.data) == (Tagged, "input", 3.0)
    assert copy.deepcopy(y).operands[0].tag == "input"
    assert pickle.loads(pickle.dumps(y)).operands[0].tag == "input"


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
        for seed in range(8)
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
def million() -> tuple[Value, Value]:
    assert sys.getrecursionlimit() < 10_000
    return chain()


class TestAMillionOperations:
    SLOPE = 1.0 + LENGTH / 4

    def test_are_recorded_and_back_propagated(self, million: tuple[Value, Value]) -> None:
        x, root = million
        root.backward()
        assert (root.data, x.grad) == (self.SLOPE, self.SLOPE)
        assert grad(root, x) == self.SLOPE
        assert len(backward_order(root)) == LENGTH + 1

    def test_are_copied(self, million: tuple[Value, Value]) -> None:
        x, root = million
        x.grad = None
        twin = copy.deepcopy(root)
        twin.backward()
        order = backward_order(twin)
        assert len(order) == LENGTH + 1
        assert (order[-1].name, order[-1].grad, x.grad) == ("x", self.SLOPE, None)

    def test_are_pickled(self, million: tuple[Value, Value]) -> None:
        twin = pickle.loads(pickle.dumps(million[1]))
        order = backward_order(twin)
        twin.backward()
        assert len(order) == LENGTH + 1
        assert (order[-1].name, order[-1].grad) == ("x", self.SLOPE)

    def test_are_read_into_a_graph(self, million: tuple[Value, Value]) -> None:
        graph = Graph(million[1])
        assert len(graph) == LENGTH + 1
        assert graph["x"].position == 0
        assert graph.root.data == self.SLOPE

    def test_are_freed_by_reference_counting(self) -> None:
        gc.disable()
        try:
            before = live_values()
            x, root = chain()
            root.backward()
            assert live_values() == before + LENGTH + 1
            del x, root
            assert live_values() == before
        finally:
            gc.enable()


def test_a_gradient_as_a_graph_does_not_recurse_either() -> None:
    x, root = chain(100_000)
    assert grad(root * x, x, create_graph=True).data == 2 * (1.0 + 100_000 / 4)


def test_a_wide_graph_of_200_000_products() -> None:
    n = 200_000
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
def test_a_graph_is_freed_by_reference_counting_alone_when_its_root_goes() -> None:
    def use_everything() -> Value:
        x, y = Value(0.3, name="x"), Tagged(0.7, "y")
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


# ------------------------------------------------------------------------------- copies and pickles
COPIERS = [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
COPIERS += [lambda x, n=n: pickle.loads(pickle.dumps(x, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1)]
COPIERS += [lambda x: pickle.loads(pickle._dumps(x))]  # type: ignore[attr-defined]  # in Python, not C


@pytest.mark.parametrize("twin_of", COPIERS)
def test_a_copy_stands_by_itself(twin_of: Callable[[Any], Any]) -> None:
    x, frozen = Value(0.5, name="x"), Value(2.0, name="frozen")
    frozen.requires_grad = False
    record_sites()
    y = microbp.dot([x, x * frozen], [3.0, x], 1) / (2 - x)
    record_sites(on=False)
    y.backward()
    twin = twin_of(y)
    assert Graph(twin) == Graph(y)
    order = {v.name: v for v in backward_order(twin)}
    assert not {id(v) for v in order.values()} & {id(x), id(frozen), id(y)}
    assert order["frozen"].requires_grad is False
    assert order["x"].grad == x.grad
    before = x.grad
    twin.backward()
    assert (x.grad, order["x"].grad) == (before, 2 * before)
    order["x"].data = 7.0
    assert x.data == 0.5


@pytest.mark.parametrize("twin_of", COPIERS)
def test_what_is_copied_together_stays_together(twin_of: Callable[[Any], Any]) -> None:
    x = Value(0.5, name="x")
    h = x.tanh()
    loss = h * h
    for together in ([h, loss], [loss, h], {"h": h, "loss": loss}, (x, h, loss), [h, h, loss]):
        twin = twin_of(together)
        values = twin.values() if isinstance(twin, dict) else twin
        by_rule = {v.rule and v.rule.name: v for v in values}
        assert by_rule["mul"].operands == (by_rule["tanh"], by_rule["tanh"])
        if None in by_rule:
            assert by_rule["tanh"].operands == (by_rule[None],)


@pytest.mark.parametrize("twin_of", COPIERS)
def test_a_structure_around_values_keeps_its_sharing(twin_of: Callable[[Any], Any]) -> None:
    w = microbp.array([1.0, 2.0], name="w")
    loss = np.sum(w * w)
    model = {"w": w, "again": w[1], "loss": loss}
    twin = twin_of(model)
    assert twin["w"][1] is twin["again"]
    twin["loss"].backward()
    assert microbp.grad_of(twin["w"]).tolist() == [2.0, 4.0]
    assert w[0].grad is None


def test_a_shallow_copy_shares_its_operands() -> None:
    x = Value(0.5, name="x")
    y = x * 3.0
    y.backward()
    twin = copy.copy(y)
    assert twin is not y
    assert (twin.operands, twin.data, twin.grad, twin.rule) == ((x, 3.0), 1.5, 1.0, RULES["mul"])
    twin.backward()
    assert (x.grad, y.grad, twin.grad) == (6.0, 1.0, 2.0)


def test_a_pickle_crosses_processes() -> None:
    x = Value(0.5, name="x")
    y = (x * x + 1).log()
    code = (
        "import pickle, sys, microbp\n"
        "y = pickle.loads(sys.stdin.buffer.read())\n"
        "y.backward()\n"
        "print(microbp.Graph(y)['x'].grad.hex(), y.rule is microbp.rules.RULES['log'])"
    )
    run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(y), capture_output=True, check=True)
    y.backward()
    assert run.stdout.decode().split() == [x.grad.hex(), "True"]


@given(programs())
def test_every_program_survives_a_pickle(program: Program) -> None:
    root = program.run(record, Value.sin, [Value(x) for x in program.leaves])
    root.backward()
    assert Graph(pickle.loads(pickle.dumps(root))) == Graph(copy.deepcopy(root)) == Graph(root)


# --------------------------------------------------------------------- 7: undefined operations
def undefined(rule: str, at: str, line: str, reason: str | None = None) -> str:
    return f"{RULES[rule]} has no value at {at}. {reason or RULES[rule].doc} [{line}]"


BEYOND = "The result is beyond the largest float, 1.8e308."
UNDEFINED: list[tuple[Callable[..., Any], dict[str, float], str, str, str | None]] = [
    (lambda base: base ** (1 / 3), {"base": -8.0}, "pow", f"a = -8.0 (base), b = {1 / 3}", None),
    (lambda: (-8) ** Value(0.5), {}, "pow", "a = -8.0, b = 0.5", None),
    (lambda base, p: base**p, {"base": -8.0, "p": 0.5}, "pow", "a = -8.0 (base), b = 0.5 (p)", None),
    (lambda z: z**-1, {"z": 0.0}, "pow", "a = 0.0 (z), b = -1.0", None),
    (lambda p: 0**p, {"p": -1.0}, "pow", "a = 0.0, b = -1.0 (p)", None),
    (lambda: Value(-1.0).log(), {}, "log", "a = -1.0", None),
    (lambda z: z.log(), {"z": 0.0}, "log", "a = 0.0 (z)", None),
    (lambda p: microbp.log(p) + 1, {"p": -1.0}, "log", "a = -1.0 (p)", None),
    (lambda p: np.log(p) + 1, {"p": -1.0}, "log", "a = -1.0 (p)", None),
    (lambda z: 1 / z, {"z": 0.0}, "div", "a = 1.0, b = 0.0 (z)", None),
    (lambda n: n / 0, {"n": 3.0}, "div", "a = 3.0 (n), b = 0.0", None),
    (lambda n, z: n / z, {"n": 3.0, "z": -0.0}, "div", "a = 3.0 (n), b = -0.0 (z)", None),
    (lambda x: x.sqrt(), {"x": -2.0}, "sqrt", "a = -2.0 (x)", None),
    (lambda x: x.asin(), {"x": 1.5}, "asin", "a = 1.5 (x)", None),
    (lambda x: x.log1p(), {"x": -1.0}, "log1p", "a = -1.0 (x)", None),
    (lambda x: x.exp(), {"x": 1000.0}, "exp", "a = 1000.0 (x)", BEYOND),
    (lambda x: x**2, {"x": 1e200}, "pow", "a = 1e+200 (x), b = 2.0", BEYOND),
    (lambda x: 10**x, {"x": 400.0}, "pow", "a = 10.0, b = 400.0 (x)", BEYOND),
    (lambda x: x.cosh(), {"x": -800.0}, "cosh", "a = -800.0 (x)", BEYOND),
]


@pytest.mark.parametrize("recording", ["plain", "sites", "no_grad"])
@pytest.mark.parametrize(("operation", "operands", "rule", "at", "reason"), UNDEFINED)
def test_an_undefined_operation_names_itself_its_operands_and_the_line(
    operation: Callable[..., Any],
    operands: dict[str, float],
    rule: str,
    at: str,
    reason: str | None,
    recording: str,
) -> None:
    values = [Value(number, name=name) for name, number in operands.items()]
    record_sites(on=recording == "sites")
    way = no_grad() if recording == "no_grad" else nullcontext()
    try:
        with way, pytest.raises(UndefinedOperation) as caught:
            operation(*values)
    finally:
        record_sites(on=False)
    line = f"{__file__}:{operation.__code__.co_firstlineno}"
    assert str(caught.value) == undefined(rule, at, line, reason)
    assert (caught.value.rule, caught.value.site) == (rule, line)


def test_an_undefined_operation_of_many_operands_lists_them() -> None:
    mean = row("log_mean", "x", "total(log(x))", ("1.0 / x",), "Sum of logarithms.", over="x")
    with pytest.raises(UndefinedOperation) as caught:
        record(mean, ([Value(1.0, name="w"), Value(-2.0), 3.0],))
    line = here(1)
    assert str(caught.value) == (
        f"log_mean(x…) has no value at w = 1.0, Value(-2.0), 3.0. Sum of logarithms. [{line}]"
    )
    assert caught.value.numbers == (1.0, -2.0, 3.0)


def test_after_an_undefined_operation_the_graph_is_as_before() -> None:
    x = Value(-1.0)
    y = x * 2.0
    with pytest.raises(UndefinedOperation):
        y.log()
    y.backward()
    assert x.grad == 2.0


# ------------------------------------------------------------------------------ 7: NaN and infinity
@pytest.mark.parametrize("name", METHODS)
def test_nan_comes_out_of_every_method_with_a_nan_gradient(name: str) -> None:
    x = Value(NAN)
    y = METHODS[name](x)
    y.backward()
    assert math.isnan(y.data)
    if name == "neg":
        assert x.grad == -1.0  # the local derivative of a linear operation is known all the same
    else:
        assert math.isnan(x.grad)


def test_relu_of_nan() -> None:
    x = Value(NAN)
    y = x.relu()
    y.backward()
    assert math.isnan(y.data)
    assert math.isnan(x.grad)


#: Where an operation does not look at an operand, by its definition, a NaN there is not seen.
BLIND: dict[tuple[str, str], Callable[[dict[str, float]], bool]] = {
    ("select", "a"): lambda at: at["c"] <= 0.0,
    ("select", "b"): lambda at: at["c"] > 0.0,
    ("leaky_relu", "s"): lambda at: at["a"] > 0.0,
    ("elu", "s"): lambda at: at["a"] > 0.0,
    ("pow", "a"): lambda at: at["b"] == 0.0,  # as C and IEEE 754 have it: a ** 0 is 1 for all a,
    ("pow", "b"): lambda at: at["a"] == 1.0,  # ... and 1 ** b for all b
}


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
@given(data=st.data())
def test_nan_in_any_operand_comes_out(rule: Rule, data: st.DataObject) -> None:
    box = data.draw(st.sampled_from(rule.smooth))
    width = data.draw(st.integers(1, 4))
    arguments: list[Any] = []
    for arg, (low, high) in zip(rule.args, box, strict=True):
        drawn = [Value(data.draw(st.floats(low, high))) for _ in range(width if arg in rule.over else 1)]
        arguments.append(drawn if arg in rule.over else drawn[0])
    arg = data.draw(st.sampled_from(rule.args))
    struck = arguments[rule.args.index(arg)]
    struck = data.draw(st.sampled_from(struck)) if arg in rule.over else struck
    struck.data = NAN
    y = record(rule, arguments)
    at = {arg: v.data for arg, v in zip(rule.args, arguments, strict=True) if isinstance(v, Value)}
    blind = (rule.name, arg) in BLIND and BLIND[rule.name, arg](at)
    assert math.isnan(y.data) is not blind


INFINITIES = [
    (lambda x: x.exp(), INF, INF, INF), (lambda x: x.exp(), -INF, 0.0, 0.0),
    (lambda x: x.log(), INF, INF, 0.0), (lambda x: x.sqrt(), INF, INF, 0.0),
    (lambda x: x.relu(), INF, INF, 1.0), (lambda x: x.relu(), -INF, 0.0, 0.0),
    (lambda x: x.tanh(), INF, 1.0, 0.0), (lambda x: x.tanh(), -INF, -1.0, 0.0),
    (lambda x: x.sigmoid(), INF, 1.0, 0.0), (lambda x: x.sigmoid(), -INF, 0.0, 0.0),
    (lambda x: x.softplus(), INF, INF, 1.0), (lambda x: x.softplus(), -INF, 0.0, 0.0),
    (abs, -INF, INF, -1.0), (lambda x: 1 / x, INF, 0.0, -0.0),
    (lambda x: x - x, INF, NAN, 0.0), (lambda x: x * 0.0, INF, NAN, 0.0),
    (lambda x: x * 1e300 * 1e300, 1.0, INF, INF), (lambda x: x.atan(), INF, math.pi / 2, 0.0),
    (lambda x: x.erf(), INF, 1.0, 0.0), (microbp.elu, -INF, -1.0, 0.0),
    (lambda x: microbp.sum([x, 1.0]), INF, INF, 1.0), (lambda x: microbp.max([x, 1.0]), INF, INF, 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("function", "at", "value", "slope"), INFINITIES)
def test_infinity_is_propagated(
    function: Callable[[Value], Value], at: float, value: float, slope: float
) -> None:
    x = Value(at)
    y = function(x)
    y.backward()
    assert bits(y.data) == bits(value)
    assert x.grad == slope or (math.isnan(x.grad) and math.isnan(slope))


# --------------------------------------------------------------- what takes a gradient, and what not
def test_a_frozen_leaf_takes_no_gradient_and_thaws() -> None:
    w, x = Value(2.0, name="w"), Value(3.0)
    y = w * x
    y.backward()
    assert w.grad == 3.0
    w.requires_grad = False
    assert (w.requires_grad, w.grad) == (False, None)
    y.backward()
    (w * w * x).backward()
    assert (w.grad, x.grad) == (None, 8.0)
    w.requires_grad = True
    y.backward()
    assert w.grad == 3.0


def test_only_a_leaf_can_be_frozen() -> None:
    y = Value(2.0) * 3.0
    y.name = "y"
    for flag in (False, True):
        with pytest.raises(NoGradientError) as caught:
            y.requires_grad = flag
        assert str(caught.value) == (
            "requires_grad is for leaves; y = 6.0 was computed. "
            "detach() gives a constant with the same number"
        )
    assert y.requires_grad


def test_detach_cuts_the_graph() -> None:
    x = Value(3.0, name="x")
    h = x * x
    h.name = "h"
    c = h.detach()
    assert (c.data, c.name, c.is_leaf, c.requires_grad, c.operands) == (9.0, "h", True, False, ())
    y = c * x
    y.backward()
    assert (x.grad, h.grad, c.grad) == (9.0, None, None)


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


def test_under_no_grad_nothing_is_recorded() -> None:
    x = Value(2.0)
    with no_grad():
        results = [x * x, 2 - x, x.exp(), -x, microbp.dot([x], [x]), microbp.clip(x, 0, 1), np.exp(x)]
        results += list(microbp.array([1.0, 2.0]) * x) + list(microbp.softmax([x, 1.0]))
    assert all(y.is_leaf and y.operands == () and not y.requires_grad for y in results)
    assert [y.data for y in results[:6]] == [4.0, 0.0, math.exp(2.0), -2.0, 4.0, 1.0]
    assert (x * x).operands == (x, x)


def test_a_leaf_made_under_no_grad_is_a_leaf_like_any_other() -> None:
    with no_grad():
        x = Value(2.0)
    (x * x).backward()
    assert x.grad == 4.0


def test_a_pass_under_no_grad_is_a_pass() -> None:
    x = Value(2.0)
    y = x * x
    with no_grad():
        y.backward()
    assert x.grad == 4.0


def test_no_grad_as_a_decorator() -> None:
    @no_grad()
    def update(x: Value) -> Value:
        return x - 0.1

    x = Value(2.0)
    for _ in range(2):
        assert update(x).is_leaf
        assert not (x - 0.1).is_leaf


def test_no_grad_nests_and_ends_with_an_exception() -> None:
    x = Value(2.0)
    with no_grad():
        with pytest.raises(UndefinedOperation), no_grad():
            (-x).log()
        assert (x * x).is_leaf
        with no_grad():
            assert (x * x).is_leaf
        assert (x * x).is_leaf
    assert not (x * x).is_leaf
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert not (x * x).is_leaf


def test_no_grad_is_for_one_thread() -> None:
    x = Value(2.0)
    inside, go_on = threading.Event(), threading.Event()
    seen: list[Value] = []

    def elsewhere() -> None:
        with no_grad():
            inside.set()
            go_on.wait(10)
            seen.append(x * x)

    def here_too() -> None:
        inside.wait(10)
        seen.append(x * x)
        go_on.set()

    _in_threads(elsewhere, here_too)
    assert [y.is_leaf for y in seen] == [False, True]


def test_sites_and_no_grad_together() -> None:
    x = Value(2.0)
    record_sites()
    try:
        with no_grad():
            assert (x * x).is_leaf
        y = x * x
        assert y.site == here(1)
    finally:
        record_sites(on=False)
    assert (x * x).site is None


# --------------------------------------------------------------------------------- 10: exactness
def _same_record(one: Value, other: Value) -> None:
    assert bits(one.data) == bits(other.data)
    assert one.rule is other.rule
    assert one.operands == other.operands
    assert list(map(bits, one.local_derivatives)) == list(map(bits, other.local_derivatives))


def _same_outcome(one: Callable[[], Value], other: Callable[[], Value]) -> None:
    def outcome(call: Callable[[], Value]) -> Value | str:
        try:
            return call()
        except UndefinedOperation as error:
            return str(error).partition(" [")[0]

    left, right = outcome(one), outcome(other)
    if isinstance(left, str) or isinstance(right, str):
        assert left == right
    else:
        _same_record(left, right)


@pytest.mark.parametrize("name", OPERATORS)
@given(a=numbers, b=numbers)
@example(a=0.0, b=0.0)
@example(a=-1.0, b=0.5)
def test_an_operator_records_what_record_records(name: str, a: float, b: float) -> None:
    """The short cut that operators take equals the complete path, with the table's own arithmetic."""
    x, y = Value(a), Value(b)
    for operands in ((x, y), (x, b), (a, y), (x, int(b)), (int(a), y)):
        _same_outcome(lambda: OPERATORS[name](*operands), lambda: record(RULES[name], operands))  # noqa: B023


@pytest.mark.parametrize("name", METHODS)
@given(a=numbers)
@example(a=0.0)
@example(a=-0.0)
def test_a_method_records_what_record_records(name: str, a: float) -> None:
    x = Value(a)
    _same_outcome(lambda: METHODS[name](x), lambda: record(RULES[name], [x]))


@given(programs())
def test_the_record_is_what_the_table_says(program: Program) -> None:
    """Each number equals its row's text, evaluated by the interpreter of the rule language."""
    root = program.run(record, Value.sin, [Value(x) for x in program.leaves])
    for node in backward_order(root):
        if node.rule is not None:
            data = [v.data if isinstance(v, Value) else v for v in node.operands]
            split = node.rule.split(data)
            rows = [split[i] for i, arg in enumerate(node.rule.args) if arg in node.rule.over]
            lists = [dict(zip(node.rule.over, row, strict=True)) for row in zip(*rows, strict=True)]
            scope = {a: x for a, x in zip(node.rule.args, split, strict=True) if a not in node.rule.over}
            assert bits(node.rule.y.evaluate(scope, elements=lists)) == bits(node.data)
            scope["y"] = node.data
            expected: list[float] = []
            for arg, d in zip(node.rule.args, node.rule.d, strict=True):
                runs = lists if arg in node.rule.over else [{}]
                expected += [d.evaluate({**scope, **each}, elements=lists) for each in runs]
            for each, exact, d in zip(node.operands, expected, node.local_derivatives, strict=True):
                assert bits(d) == (bits(exact) if isinstance(each, Value) else None)


@given(programs())
def test_numbers_alone_give_the_same_number(program: Program) -> None:
    root = program.run(record, Value.sin, [Value(x) for x in program.leaves])
    plain = program.run(record, math.sin, program.leaves)
    assert type(plain) is float
    assert bits(plain) == bits(root.data)
    with no_grad():
        assert bits(program.run(record, Value.sin, [Value(x) for x in program.leaves]).data) == bits(plain)


# ------------------------------------------------------------------------------------------ record
def test_record_counts_its_arguments_and_lengths() -> None:
    x = Value(1.0)
    with pytest.raises(TypeError) as caught:
        record(RULES["sum"], [x])
    assert str(caught.value) == "sum(x…): x is a list of Values or numbers, not Value"
    lengths = r"^dot\(w…, x…, b\): the lists must be of one length, but there are 1 in w, 2 in x$"
    with pytest.raises(ValueError, match=lengths):
        record(RULES["dot"], ([x], [1.0, 2.0], 0.0))
    with pytest.raises(ValueError, match=r"^logsumexp\(x…\): the list is empty$"):
        record(RULES["logsumexp"], ([],))
    with pytest.raises(TypeError, match=r"^dot\(w…, x…, b\) takes a real number, not the str '1'"):
        record(RULES["dot"], ([x], ["1"], 0.0))


def test_record_of_numbers_alone_is_a_number() -> None:
    assert record(RULES["mul"], (2, 3)) == 6.0
    assert type(record(RULES["mul"], (2, 3))) is float
