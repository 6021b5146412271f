"""The walks over a graph's columns, against the engine that recorded it, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Program, polynomials, programs

import microbp
from microbp import Graph, UndefinedOperation, Value
from microbp.node import backward_order, upstream_gradients
from microbp.record import record
from microbp.rules import RULES
from microbp.sweeps import backward, dependents, forward, rows


def run(program: Program, leaves: list[Value]) -> Value:
    root: Value = program.run(record, Value.sin, leaves)
    return root


def recorded(program: Program) -> Value:
    return run(program, [Value(x) for x in program.leaves])


def bits(numbers: Any) -> bytes:
    return np.asarray(numbers, dtype=float).tobytes()


def shared() -> tuple[Value, Value]:
    """Values that are used again and again, at several depths, and literals on either side."""
    x, y = Value(0.5, name="x"), Value(-1.5, name="y")
    a = x * y + x
    b = 2.0 - a * a / (x - 3.0)
    c = microbp.dot([a, x, 4.0], [b, y, a], 1.0) * a + microbp.maximum(b, x)
    return microbp.sum([c, a, c, x, 7.0]) * b, a


# -------------------------------------------------------------------------------------------- order
@given(programs())
def test_the_order_is_that_of_a_backward_pass(program: Program) -> None:
    root = recorded(program)
    assert [*map(id, Graph(root)._values)] == [*map(id, backward_order(root)[::-1])]


@given(polynomials(most=30), st.booleans())
def test_the_order_of_entangled_graphs_is_that_of_a_backward_pass(program: Any, literals: bool) -> None:
    numbers, steps = program
    values: list[Any] = [Value(x) for x in numbers]
    for sign, left, right in steps:
        a, b = values[left], values[right]
        one = 1.0 * a if literals else a
        values.append(one + b if sign == "+" else one - b if sign == "-" else one * b)
    root = microbp.sum(values)
    assert [*map(id, Graph(root)._values)] == [*map(id, backward_order(root)[::-1])]


def test_a_literal_on_the_left_stands_on_the_left() -> None:
    x = Value(3.0)
    for value in (2.0 - x, record(RULES["sub"], [2.0, x])):
        graph = Graph(value)
        assert graph.args.tolist() == [-1, 0]
        assert graph.consts.tolist() == [2.0]
        assert str(graph.local.tolist()) == "[nan, -1.0]"
        assert graph.rules == (RULES["sub"],)


def test_several_roots_are_passed_as_the_backward_pass_of_their_sum_does() -> None:
    root, inner = shared()
    roots = [inner, root, inner, root * 2.0]
    graph, whole = Graph.of_roots(roots), Graph(microbp.sum(roots))
    assert [*map(id, graph._values)] == [*map(id, whole._values[:-1])]
    assert [graph._values[place] for place in graph.roots] == roots
    assert (graph.op == whole.op[:-1]).all()
    assert (graph.args == whole.args[: len(graph.args)]).all()
    assert graph.root.position == graph.roots[-1]
    with pytest.raises(ValueError, match=r"^Graph\.of_roots\(\) takes the Values whose graph"):
        Graph.of_roots([])


# ------------------------------------------------------------------------------- what depends on what
@given(programs(), st.data())
def test_what_depends_on_what_is_what_can_be_reached(program: Program, data: st.DataObject) -> None:
    graph = Graph(recorded(program))
    start = data.draw(st.integers(0, len(graph) - 1))
    below: list[set[int]] = []
    for node, row in enumerate(rows(graph)):
        below.append({node}.union(*(below[arg] for arg in row if arg >= 0)))
    assert dependents(graph, [start]).tolist() == [start in each for each in below]
    assert not dependents(graph, []).any()


# ------------------------------------------------------------------------------------------ forward
@given(programs(), st.data())
def test_forward_gives_the_bits_of_recording(program: Program, data: st.DataObject) -> None:
    root = recorded(program)
    graph = Graph(root)
    assert bits(forward(graph, {})) == bits(graph.data)
    moved = [data.draw(st.floats(-2.0, 2.0)) for _ in program.leaves]
    values = [Value(x) for x in program.leaves]
    graph = Graph(run(program, values))
    place = {id(value): index for index, value in enumerate(graph._values)}
    again = Graph(run(program, [Value(x) for x in moved]))
    there = {place[id(v)]: x for v, x in zip(values, moved, strict=True) if id(v) in place}
    assert bits(forward(graph, there)) == bits(again.data)
    batch = {node: np.array([x, graph.data[node]]) for node, x in there.items()}
    if batch:
        assert bits(forward(graph, batch).T) == bits([again.data, graph.data])


@given(programs())
def test_a_complex_step_forward_is_the_derivative(program: Program) -> None:
    graph = Graph(recorded(program))
    gradient = backward(graph, {graph.roots[0]: 1.0})
    for leaf in np.flatnonzero(graph.op < 0).tolist():
        moved = forward(graph, {leaf: graph.data[leaf] + 1e-100j})
        assert moved[-1].imag / 1e-100 == pytest.approx(gradient[leaf], rel=1e-6, abs=1e-9)
        both = forward(graph, {leaf: graph.data[leaf] + np.array([0.0, 1e-100j])})
        assert both[-1, 1].imag == pytest.approx(moved[-1].imag, rel=1e-12, abs=1e-120)


def test_a_node_that_is_given_is_not_computed() -> None:
    x = Value(-1.0)
    graph = Graph((x + 0.5).exp().log() * 3.0)
    assert forward(graph, {1: 2.0, 0: -5.0}).tolist()[1:3] == [2.0, math.exp(2.0)]


def test_forward_says_where_there_is_no_result() -> None:
    x = Value(4.0, name="x")
    graph = Graph((x - 1.0).log())
    with pytest.raises(UndefinedOperation) as caught:
        forward(graph, {0: 0.5})
    assert str(caught.value).startswith("node 2, log(a), has no value where its operands are -0.5: ")
    assert (caught.value.rule, caught.value.numbers) == ("log", (-0.5,))
    with pytest.raises(UndefinedOperation):
        forward(graph, {0: np.array([2.0, 0.5])})


def test_a_batch_overflows_as_a_float_does() -> None:
    x = Value(2.0)
    graph = Graph(x * x * x - x)
    huge = forward(graph, {0: np.array([1e200, 1.0])})
    assert huge[-1].tolist() == [math.inf, 0.0]


# ----------------------------------------------------------------------------------------- backward
@given(programs())
def test_backward_gives_the_bits_of_the_engine(program: Program) -> None:
    root = recorded(program)
    graph, exact = Graph(root), upstream_gradients(root)
    found = backward(graph, {graph.roots[0]: 1.0})
    expected = [exact.get(id(value), 0.0) for value in graph._values]
    assert bits(found) == bits(expected)
    double = backward(graph, {graph.roots[0]: np.array([1.0, -2.0])})
    assert bits(double[:, 0]) == bits(expected)
    assert bits(double[:, 1]) == bits(backward(graph, {graph.roots[0]: -2.0}))


def test_backward_from_several_nodes_is_that_of_their_sum() -> None:
    root, inner = shared()
    graph = Graph.of_roots([inner, root])
    exact = upstream_gradients(microbp.sum([inner, root]))
    found = backward(graph, dict.fromkeys(graph.roots, 1.0))
    assert bits(found) == bits([exact[id(value)] for value in graph._values])


def test_other_local_derivatives_stand_in_one_set_for_each_pass() -> None:
    x, y = Value(3.0), Value(4.0)
    graph = Graph(x * y + x)
    local = np.stack([graph.local, np.where(graph.local == 4.0, 40.0, graph.local)], axis=1)
    assert backward(graph, {3: 1.0}, local)[graph[x].position].tolist() == [5.0, 41.0]
    assert backward(graph, {3: 1.0}, local[:, 1])[graph[x].position] == 41.0


def test_an_infinite_derivative_stays_out_of_passes_that_do_not_come_by() -> None:
    x = Value(0.0)
    root = x.sqrt()
    graph = Graph.of_roots([root, x * 2.0])
    each = backward(graph, {graph.roots[0]: np.array([1.0, 0.0]), graph.roots[1]: np.array([0.0, 1.0])})
    assert each[graph[x].position].tolist() == [math.inf, 2.0]
    assert backward(graph, {graph.roots[1]: 1.0})[graph[x].position] == 2.0


def test_planted_errors_are_caught() -> None:
    root, _ = shared()
    graph, exact = Graph(root), upstream_gradients(root)
    expected = bits([exact[id(value)] for value in graph._values])
    assert bits(backward(graph, {graph.roots[0]: 1.0})) == expected
    off = graph.local.copy()
    off[2] *= 1.0 + 1e-15
    assert bits(backward(graph, {graph.roots[0]: 1.0}, off)) != expected
