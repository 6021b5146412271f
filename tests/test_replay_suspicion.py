"""What the eager engine refuses, replay refuses, also where its result would be finite or thrown away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import at_once

import microbp
from microbp import UndefinedOperation, Value
from microbp.record import record
from microbp.replay import forms, matrix
from microbp.replay import program as programs
from microbp.rules import TABLE, row

#: Functions of one number, and where an operation of each has no result, though the end is finite.
LOST: dict[str, tuple[Any, float, str]] = {
    "1/(1/x)": (lambda x: 1.0 / (1.0 / x), 0.0, "div(a, b) has no value at a = 1.0, b = 0.0"),
    "exp(-1/x)": (lambda x: (-1.0 / x).exp(), 0.0, "div(a, b) has no value at a = -1.0, b = 0.0"),
    "1/exp(x)": (lambda x: 1.0 / x.exp(), 800.0, "exp(a) has no value at a = 800.0"),
    "max(0, log x)": (lambda x: microbp.maximum(x.log(), 0.0), 0.0, "log(a) has no value at a = 0.0"),
    "x > 0 ? sqrt x": (lambda x: microbp.select(x, x.sqrt(), 1.0), -4.0, "sqrt(a) has no value at a = -4.0"),
    "1/x²": (lambda x: 1.0 / x**2, 1e200, "pow(a, b) has no value at a = 1e+200"),
    "tanh cosh x": (lambda x: x.cosh().tanh(), 800.0, "cosh(a) has no value at a = 800.0"),
    "1/pow(x, -2)": (lambda x: 1.0 / x**-2.5, 0.0, "pow(a, b) has no value at a = 0.0"),
    "clipped asin": (lambda x: microbp.select(-1.0, x.asin(), x), 1.5, "asin(a) has no value at a = 1.5"),
    "of a parameter": (lambda x: 1.0 / (1.0 / (Value(0.0, name="w") + x)), 0.0, "div(a, b) has no value"),
}


@pytest.fixture(params=[3000, 0], ids=["matrices", "straight"], autouse=True)
def _both_forms(request, monkeypatch):
    monkeypatch.setattr(matrix, "MANY", request.param)


def compiled(function: Any, **options: Any) -> Any:
    x = Value(0.5, name="x")
    return microbp.compile(function(x), inputs=x, form="matrix", **options)


@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("name", LOST)
def test_what_has_no_result_is_refused_though_the_end_is_finite(name, finite):
    function, at, told = LOST[name]
    program = compiled(function, finite=finite)
    for run in (program, program.value_and_grad):
        with pytest.raises(UndefinedOperation) as caught:
            run([0.5, at, 0.25])
        assert str(caught.value).startswith(f"sample 1: {told}")
        assert run([0.5, 0.25]) is not None


LEGITIMATE: dict[str, tuple[Any, list[float]]] = {
    "saturated": (lambda x: x.sigmoid() + x.tanh() + x.softplus() + x.silu() + x.gelu(), [-900.0, 900.0]),
    "elu": (lambda x: microbp.elu(x, 2.0), [2000.0, -2000.0]),
    "corner": (lambda x: (x * x).sqrt() * 0.0 + abs(x) + x.relu(), [0.5, 1.0]),
    "softmax": (lambda x: microbp.cross_entropy([x, -x], [1.0, 0.0]) + microbp.logsumexp([x, 0.0]), [700.0]),
    "power": (lambda x: x ** Value(2.0), [-1.0, 3.0]),
}


@at_once(LEGITIMATE)
def test_a_branch_not_taken_is_silent(name):
    function, x = LEGITIMATE[name]
    program, values = compiled(function, finite=False), [Value(each) for each in x]
    costs = [function(each) for each in values]
    for each in costs:
        each.backward()
    assert program(x) == pytest.approx([each.data for each in costs], rel=1e-12)
    found = program.value_and_grad(x, wrt_inputs=True, reduce="sum")
    assert found.inputs == pytest.approx([each.grad for each in values], rel=1e-12, nan_ok=True)


def test_what_only_the_backward_pass_meets_costs_no_eager_sample(monkeypatch):
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("the eager engine was asked")

    monkeypatch.setattr(matrix, "MANY", 3000)
    program = compiled(lambda x: x ** Value(2.0), finite=False)
    monkeypatch.setattr(programs, "blame", forbidden)
    assert program.value_and_grad([-1.0, 0.0, 3.0]).costs.tolist() == [1.0, 0.0, 9.0]


def test_infinity_by_rounding_is_no_refusal():
    """1/inf is 0, and 1e300/1e-300 is inf, in Python as in NumPy."""
    assert compiled(lambda x: 1.0 / (x * 1e308 * 10.0))([1.0, 2.0]).tolist() == [0.0, 0.0]
    program = compiled(lambda x: 1.0 / (x / 1e-300), finite=False)
    assert program([1e300, 1.0]).tolist() == [0.0, 1e-300]


def test_an_operation_of_one_s_own_with_a_branch_not_taken_is_right():
    rule = row("reciprocal", "a", "1.0 / a if a > 0.0 else 0.0", ("-y * y",), "1/a, or 0.")
    x = Value(2.0)
    program = microbp.compile(record(rule, [x]), inputs=x, form="matrix")
    assert program([4.0, 0.0]).tolist() == [0.25, 0.0]
    assert program.value_and_grad([4.0, 0.0], wrt_inputs=True).inputs.tolist() == [-0.03125, 0.0]


def test_without_the_watch_it_would_be_silent(monkeypatch):
    monkeypatch.setattr(matrix, "MANY", 3000)
    program = compiled(lambda x: 1.0 / (1.0 / x))

    def unnoted(function: Any, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arrays), False

    monkeypatch.setattr(forms, "_noted", unnoted)
    assert program([0.5, 0.0]).tolist() == [0.5, 0.0]


def test_the_sample_is_found_in_any_part_of_a_batch():
    x = np.ones(1000)
    x[777] = 0.0
    with pytest.raises(UndefinedOperation, match=r"^sample 777: div"):
        compiled(lambda x: 1.0 / (1.0 / x), memory=4096)(x)


@pytest.mark.parametrize("rule", [rule for rule in TABLE if not rule.over and len(rule.args) == 1], ids=str)
def test_every_number_that_a_rule_refuses_is_refused(rule):
    program = compiled(lambda x: microbp.select(-1.0, record(rule, [x]), 1.0) * x)
    for at in (-1e4, -2.0, -1.0, -0.5, 0.0, 0.5, 2.0, 1e4):
        if defined(rule, at):
            assert program([0.5, at]).tolist() == [0.5, at]
        else:
            with pytest.raises(UndefinedOperation):
                program([0.5, at])


def defined(rule, at):
    try:
        record(rule, [Value(at)])
    except UndefinedOperation:
        return False
    return True
