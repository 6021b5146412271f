"""Recording: what is undefined, NaN and infinity, ``no_grad``, and the table's own arithmetic, exactly."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import Program, any_float, programs
from support import METHODS, OPERATORS, at_once, bits, here, in_threads

import microbp
from microbp import UndefinedOperation, Value, no_grad, record_sites
from microbp.node import backward_order
from microbp.record import record
from microbp.rules import RULES, TABLE, Rule, row

NAN, INF = math.nan, math.inf


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
@at_once(METHODS)
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


@at_once(TABLE)
def test_nan_in_any_operand_comes_out(rule: Rule) -> None:
    rng = random.Random(5)  # noqa: S311
    for box, arg, _ in product(rule.smooth, rule.args, range(40)):
        width = rng.randint(1, 4)
        arguments: list[Any] = []
        for each, (low, high) in zip(rule.args, box, strict=True):
            drawn = [Value(rng.uniform(low, high)) for _ in range(width if each in rule.over else 1)]
            arguments.append(drawn if each in rule.over else drawn[0])
        struck = arguments[rule.args.index(arg)]
        struck = rng.choice(struck) if arg in rule.over else struck
        struck.data = NAN
        y = record(rule, arguments)
        at = {arg: v.data for arg, v in zip(rule.args, arguments, strict=True) if isinstance(v, Value)}
        blind = (rule.name, arg) in BLIND and BLIND[rule.name, arg](at)
        assert math.isnan(y.data) is not blind, at


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


@at_once(INFINITIES)
def test_infinity_is_propagated(
    function: Callable[[Value], Value], at: float, value: float, slope: float
) -> None:
    x = Value(at)
    y = function(x)
    y.backward()
    assert bits(y.data) == bits(value)
    assert x.grad == slope or (math.isnan(x.grad) and math.isnan(slope))


# ------------------------------------------------------------------------------------ no_grad
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


def test_a_kind_of_no_grad_that_a_user_makes_is_one() -> None:
    class Quiet(no_grad):
        pass

    x = Value(2.0)
    with Quiet():
        assert (x * x).is_leaf
        with no_grad():
            assert (x * x).is_leaf
        assert (x * x).is_leaf
    assert not (x * x).is_leaf


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

    in_threads(elsewhere, here_too)
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
def test_an_operator_records_what_record_records(name: str) -> None:
    """The short cut that operators take equals the complete path, with the table's own arithmetic."""
    rng = random.Random(5)  # noqa: S311
    drawn = [(rng.uniform(-3.0, 3.0), rng.uniform(-3.0, 3.0)) for _ in range(60)]
    for a, b in [(0.0, 0.0), (-1.0, 0.5), *drawn, *((any_float(rng), any_float(rng)) for _ in range(60))]:
        x, y = Value(a), Value(b)
        pairs: list[tuple[Any, Any]] = [(x, y), (x, b), (a, y)]
        if math.isfinite(a + b):
            pairs += [(x, int(b)), (int(a), y)]
        for operands in pairs:
            _same_outcome(partial(OPERATORS[name], *operands), partial(record, RULES[name], operands))


@at_once(METHODS)
def test_a_method_records_what_record_records(name: str) -> None:
    rng = random.Random(5)  # noqa: S311
    drawn = [rng.uniform(-3.0, 3.0) for _ in range(50)]
    for a in (0.0, -0.0, *drawn, *(any_float(rng) for _ in range(50))):
        x = Value(a)
        _same_outcome(partial(METHODS[name], x), partial(record, RULES[name], [x]))


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


def test_a_local_derivative_beyond_all_floats_is_infinite() -> None:
    x = Value(1e-200)  # the value is 1e200, the derivative -1e400
    assert (x**-1).local_derivatives == (1 / x).local_derivatives[::-1] == (-math.inf, None)


def test_a_decorator_of_what_only_begins_when_it_is_called_is_refused() -> None:
    def later() -> Any:
        yield Value(2.0) * 3.0

    async def soon() -> Any:
        return Value(2.0) * 3.0

    for function in (later, soon):
        with pytest.raises(TypeError, match=rf"^no_grad\(\) as a .* before {function.__name__}\(\) runs"):
            no_grad()(function)
        with pytest.raises(TypeError, match=r"write with group\(…\): inside it$"):
            microbp.group("h")(function)
