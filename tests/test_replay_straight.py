"""Straight-line replay: the eager engine's bits, in Python that can be read and pasted."""

from __future__ import annotations

import ast
import inspect
import linecache
import math
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Program, numbers, programs
from support import bits

import microbp
from microbp import MLP, UndefinedOperation, Value
from microbp.record import record
from microbp.replay import compile as compile_
from microbp.replay import straight as straight_module
from microbp.replay.function_graph import capture
from microbp.replay.straight import straight
from microbp.rules import TABLE, Rule, row


def eager(program: Program, leaves: list[float]) -> tuple[float, list[float]]:
    values = [Value(x) for x in leaves]
    root = program.run(record, Value.sin, values)
    root.backward()
    return root.data, [each.grad or 0.0 for each in values]


@given(programs(), st.lists(numbers, min_size=3, max_size=3))
def test_random_graphs_give_the_eager_engine_s_bits(program: Program, other: list[float]) -> None:
    """Values and gradients, at the recorded numbers and at others, with the first leaf as the input."""
    values = [Value(x) for x in program.leaves]
    root = program.run(record, Value.sin, values)
    compiled = compile_(root, inputs=values[:1], params=values[1:], form="straight")
    for leaves in (list(program.leaves), other[: len(values)]):
        cost, gradients = eager(program, leaves)
        theta = np.array(leaves[1:])
        assert bits(compiled(leaves[:1], theta)) == bits(cost)
        found = compiled.value_and_grad(leaves[:1], theta, wrt_inputs=True)
        assert bits(found.cost) == bits(cost)
        assert [*map(bits, [*found.inputs, *found.gradient])] == [*map(bits, gradients)]
        found = compiled.value_and_grad(leaves[:1], theta)  # by the lines, not by the columns
        assert [*map(bits, [found.cost, *found.gradient])] == [*map(bits, [cost, *gradients[1:]])]


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-320, 1e308, -1e308, math.inf, -math.inf, math.nan, 710.0]


def outcome(run: Any) -> list[str | None] | str:
    """The bits of what ``run`` gives, or what the error says before the line."""
    try:
        return [bits(x) for x in run()]
    except UndefinedOperation as error:
        return str(error).partition(" [")[0].partition(" It is ")[0]


@pytest.mark.parametrize("rule", TABLE, ids=str)
@settings(max_examples=2, deadline=None)
@given(st.integers(0, 1 << 32))
def test_each_operation_at_special_numbers_with_values_and_literals(rule: Rule, seed: int) -> None:
    drawn = random.Random(seed)  # noqa: S311
    for _ in range(20):
        width = drawn.randint(1, 3) if rule.over else 1
        count = sum(width if arg in rule.over else 1 for arg in rule.args)
        takes = [drawn.random() < 0.5 for _ in range(count)]
        takes[drawn.randrange(count)] = True
        places = [drawn.choice(SPECIAL) for _ in range(count)]
        assert replayed_as_recorded(rule, places, takes), (places, takes)


def replayed_as_recorded(rule: Rule, places: list[float], takes: list[bool]) -> bool:
    """Whether the operation gives the eager engine's bits or error at places that are Values or literals."""

    def operands(make: Any) -> list[Any]:
        return [make(x) if take else x for x, take in zip(places, takes, strict=True)]

    def eagerly() -> list[float]:
        held = operands(Value)
        leaves = [each for each in held if isinstance(each, Value)]
        root = record(rule, rule.split(held))
        root.backward()
        return [root.data, *(each.grad for each in leaves)]

    recorded, leaves = recorded_somewhere(rule, places, takes)
    if recorded is None:
        return True
    program = compile_(recorded, inputs=[], params=leaves, form="straight", finite=False)
    theta = np.array([x for x, take in zip(places, takes, strict=True) if take])

    def replayed(by_columns: bool) -> list[float]:
        found = program.value_and_grad([], theta, wrt_inputs=by_columns)
        return [found.cost, *found.gradient]

    expected = outcome(eagerly)
    return all(outcome(partial(replayed, by_columns)) == expected for by_columns in (False, True))


def recorded_somewhere(
    rule: Rule, places: list[float], takes: list[bool]
) -> tuple[Value | None, list[Value]]:
    """The operation recorded with the literals given, at other numbers where it is undefined at these."""
    inside = [interval[0][place] for interval in zip(rule.smooth) for place in range(len(rule.args))]
    middle: dict[str, float] = {arg: sum(inside[i]) / 2 for i, arg in enumerate(rule.args)}
    entries = [arg for arg in rule.args for _ in range(places_of(rule, arg, len(places)))]
    for numbers_ in (places, [middle[arg] for arg in entries]):
        held = [
            Value(x) if take else literal for x, literal, take in zip(numbers_, places, takes, strict=True)
        ]
        try:
            root = record(rule, rule.split(held))
        except UndefinedOperation:
            continue
        return root, [each for each in held if isinstance(each, Value)]
    return None, []


def places_of(rule: Rule, arg: str, count: int) -> int:
    single = len(rule.args) - len(rule.over)
    return (count - single) // len(rule.over) if arg in rule.over else 1


def test_the_source_is_what_one_would_write_by_hand() -> None:
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    source = compile_((w * x).sin() * w, inputs=[x], params=[w], form="straight").source
    assert source.splitlines() == """\
from math import cos, sin


def value(inputs, parameters):
    x, = inputs
    w, = parameters
    v2 = w * x
    v3 = sin(v2)
    v4 = v3 * w
    return v4


def value_and_grad(inputs, parameters):
    x, = inputs
    w, = parameters
    v2 = w * x
    v3 = sin(v2)
    v4 = v3 * w
    # Backward, from the last value to the first: d_v is ∂v4/∂v.
    d_v4 = 1.0
    d_w = d_v4 * v3
    d_v3 = d_v4 * w
    d_v2 = d_v3 * cos(v2)
    d_w += d_v2 * x
    return v4, [d_w]""".splitlines()


def test_several_outputs_are_differentiated_as_their_sum() -> None:
    w, x = Value(0.3, name="w"), Value(-1.2, name="x")
    h = (w * x).tanh()
    outputs = [h * w, h, x / w, h]
    made: dict[str, Any] = {}
    exec(straight(capture(outputs, [x], [w])), made)
    values, dw = made["value_and_grad"]([x.data], [w.data])
    assert values == made["value"]([x.data], [w.data]) == [each.data for each in outputs]
    microbp.sum(outputs).backward()
    assert dw == [w.grad]


def test_a_sum_of_negative_zeros_is_zero_as_in_the_eager_engine() -> None:
    values = [Value(-0.0), Value(-0.0)]
    for outcome_ in (
        microbp.sum(values),
        microbp.dot([1.0, 1.0], values),
        microbp.dot([1.0], values[:1], b=-0.0),
    ):
        program = compile_(outcome_, inputs=values, form="straight")
        assert bits(program([-0.0, -0.0])) == bits(outcome_.data) == bits(0.0)


def test_long_sums_are_cut_for_python_s_compiler() -> None:
    values = [Value(0.1 * i - 3.0) for i in range(1200)]
    cost = microbp.sum(values) * microbp.dot(values, values) + microbp.logsumexp(values)
    program = compile_(cost, inputs=values, params=[], form="straight")
    found = program.value_and_grad([each.data for each in values], wrt_inputs=True)
    cost.backward()
    assert found.cost == cost.data
    assert found.inputs.tolist() == [each.grad for each in values]


def test_a_long_chain_is_one_function() -> None:
    x = Value(0.5, name="x")
    y = x
    for _ in range(3_000):
        y = y * 0.999 + 0.001
    y.backward()
    found = compile_(y, inputs=x, params=[], form="straight").value_and_grad(0.5, wrt_inputs=True)
    assert (found.cost, found.inputs) == (y.data, x.grad)


HOSTILE = [
    "lambda", "W[0,1]", "layers.0.w.1", "2nd", "", " ", "a b", "exp", "math", "d_x", "x", "x", "inputs",
    "largest", "np", "__debug__", "Δ", "ﬁ", "fi", "a\nb", "'''", "#", "print", "None", "v3", "y" * 500,
    "value", "parameters", "𝔵", "²", "_", "__class__", "match", "inf", "é", "e\u0301",
]  # fmt: skip


def test_hostile_names_become_identifiers() -> None:
    leaves = [Value(0.1 * i, name=name) for i, name in enumerate(HOSTILE)]
    cost = microbp.dot(leaves, leaves).exp().log() * leaves[3] + leaves[0]
    cost.name = "def"
    program = compile_(cost, inputs=leaves[:10], params=leaves[10:], form="straight")
    cost.backward()
    found = program.value_and_grad([each.data for each in leaves[:10]], wrt_inputs=True)
    assert found.cost == cost.data
    assert [*found.inputs, *found.gradient] == [each.grad for each in leaves]


def test_names_and_groups_of_the_user_are_in_the_source() -> None:
    net = MLP(2, [2, 1], activation="tanh", seed=0)
    x = microbp.array([0.1, 0.2], name="x")
    source = compile_(net(x), inputs=x, params=net.parameters(), names={"net": net}, form="straight").source
    assert "    # net / layers.0 / neurons.1.\n" in source
    assert " + layers_0_neurons_1_w_1 * x_1 + layers_0_neurons_1_b\n" in source


def test_only_what_is_needed_for_the_parameters_is_computed_backward() -> None:
    w, x, c = Value(2.0, name="w"), Value(3.0, name="x"), Value(4.0, name="c").detach()
    frozen = Value(5.0, name="frozen")
    frozen.requires_grad = False
    captured = capture(x.exp() * c * frozen * w, [x], [w, frozen])
    source = straight(captured)
    assert "    c = 4.0\n" in source
    assert "d_w = " in source
    for name in ("d_x", "d_c", "d_frozen"):
        assert name not in source
    assert "return v9, [d_w, 0.0]" in source or ", [d_w, 0.0]\n" in source


def test_a_condition_on_a_literal_is_decided_when_compiling() -> None:
    x = Value(3.0, name="x")
    assert "d_x = d_v1 * (2.0 * pow(x, 1.0))\n" in straight(capture(x**2, []))


def test_source_pasted_into_a_file_gives_the_same_numbers(tmp_path: Path) -> None:
    net = MLP(3, [4, 4, 2], activation=["silu", "elu", "linear"], seed=5)
    x = microbp.array([0.3, -0.5, 2.0], name="x")
    outputs = net(x)
    cost = (
        microbp.cross_entropy(outputs, [0.2, 0.8])
        + microbp.max(outputs).erf()
        + abs(microbp.logsumexp(outputs))
    )
    program = compile_(cost, inputs=x, params=net.parameters(), form="straight")
    assert {line.split()[1] for line in program.source.splitlines() if "import" in line} == {"math"}
    inputs, parameters = [each.data for each in x], program.parameters.tolist()
    file = tmp_path / "pasted.py"
    file.write_text(f"{program.source}\nprint(value_and_grad({inputs}, {parameters}))\n", encoding="utf-8")
    run = subprocess.run([sys.executable, "-I", file], capture_output=True, text=True, check=True)
    cost.backward()
    assert run.stdout == f"{(cost.data, [each.grad for each in net.parameters()])}\n"


def test_the_debugger_finds_the_lines() -> None:
    x = Value(2.0, name="x")
    program = compile_(x.sin() * x, inputs=x, form="straight")
    function = program.functions["value_and_grad"]
    assert linecache.getlines(function.__code__.co_filename) == program.source.splitlines(keepends=True)
    assert inspect.getsource(function) in program.source
    lines: list[str] = []

    def trace(frame: Any, event: str, _: object) -> Any:
        if event == "line" and frame.f_code is function.__code__:
            lines.append(linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())
        return trace

    sys.settrace(trace)
    try:
        function([2.0], [])
    finally:
        sys.settrace(None)
    assert lines == ["x, = inputs", "v1 = sin(x)", "v2 = v1 * x", "return v2, []"]


def test_a_rule_of_the_user_is_replayed() -> None:
    d = ("x * x", "2.0 * w * x + (1.0 if x == largest(x) else 0.0)")
    text = "Weighted squares and the largest."
    rule = row("wsq", "w x", "total(w * x * x) + largest(x)", d, text, over="w x")
    w, x = [Value(0.5), Value(-2.0), Value(3.0)], [Value(1.5), Value(0.25), Value(-1.0)]
    cost = record(rule, (w, x)) * 2.0
    cost.backward()
    found = compile_(cost, inputs=x, params=w, form="straight").value_and_grad(
        [each.data for each in x], wrt_inputs=True
    )
    assert found.cost == cost.data
    assert [*found.gradient, *found.inputs] == [each.grad for each in w + x]


def test_a_wrong_bit_would_be_seen(monkeypatch) -> None:
    """(d * a) * b is not d * (a * b): without the parentheses the comparison with eager fails."""

    def agree(start: float) -> bool:
        x = Value(start, name="x")
        cost = (x * 0.3).sigmoid() * 0.7
        cost.backward()
        program = compile_(cost, inputs=[], params=[x], form="straight")
        return float(program.value_and_grad([]).gradient[0]) == x.grad

    starts = [0.1 * i for i in range(30)]
    assert all(map(agree, starts))

    def associated(upstream: Any, local: Any) -> Any:
        match local:
            case ast.BinOp(left=left, op=op, right=right):
                return ast.BinOp(associated(upstream, left), op, right)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return ast.IfExp(test, associated(upstream, body), associated(upstream, orelse))
        return right_product(upstream, local)

    right_product = straight_module._product
    monkeypatch.setattr(straight_module, "_product", associated)
    assert not all(map(agree, starts))


@pytest.mark.parametrize("form", ["straight", "matrix"])
def test_a_sum_that_its_own_derivative_multiplies_is_replayed(form: str) -> None:
    rule = row(
        "half", "x", "total(x)", ("2.0 * x * total(x) + total(x) * 0.5",), "Not its derivative.", over="x"
    )
    x, w = [Value(0.5), Value(-2.0)], Value(3.0)
    cost = record(rule, [[x[0] * w, x[1]]])
    cost.backward()
    program = compile_(cost, inputs=x, params=[w], form=form)
    found = program.value_and_grad([0.5, -2.0], wrt_inputs=True)
    assert (found.cost, *found.inputs) == (cost.data, *(each.grad for each in x))
    assert found.gradient.tolist() == [w.grad]


@pytest.mark.parametrize("form", ["straight", "matrix", "auto"])
def test_a_derivative_that_math_refuses_is_that_of_the_engine(form: str) -> None:
    rule = row("root", "a", "sqrt(a)", ("0.5 / sqrt(a)",), "Square root.")
    x, w = Value(4.0), Value(3.0)
    cost = record(rule, [x]) * w
    program = compile_(cost, inputs=x, params=[w], form=form, finite=False)
    found = program.value_and_grad([4.0, 0.0], wrt_inputs=True, reduce="sum")
    at = Value(0.0)
    (record(rule, [at]) * w).backward()
    assert found.costs.tolist() == [6.0, 0.0]
    assert found.inputs.tolist() == [0.75, at.grad]
    assert found.gradient.tolist() == [2.0]
    assert at.grad == math.inf


def test_a_row_of_the_table_is_read_once_for_all_nodes(monkeypatch) -> None:
    """A long chain takes thousands of nodes through few rows."""
    read = []
    right_product = straight_module._product
    monkeypatch.setattr(straight_module, "_product", lambda *each: read.append(1) or right_product(*each))
    w, y = Value(1.5, name="w"), Value(0.5)
    for _ in range(50):
        y = (y * w + 0.25).tanh()
    assert compile_(y, inputs=[], params=[w], form="straight").source.count("d_w +=") == 49
    assert len(read) == 4
