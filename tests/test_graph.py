"""``Graph``: the frozen record that everything else reads."""

from __future__ import annotations

import copy
import gc
import json
import math
import pickle
import re
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Program, programs
from support import at_once

import microbp
from microbp import Graph, Node, Value, record_sites
from microbp.labels import variable_names
from microbp.node import backward_order
from microbp.record import record
from microbp.rules import RULES, row


def neuron() -> tuple[Value, Value, Value]:
    w, x = Value(0.5, name="w"), Value(3.0, name="x")
    return w, x, (w * x + 1.0).tanh()


def test_the_nodes_stand_operands_first_and_the_root_last() -> None:
    y = neuron()[2]
    graph = Graph(y)
    assert [node.name for node in graph] == ["w", "x", "v2", "v3", "v4"]
    assert [node.position for node in graph] == [0, 1, 2, 3, 4]
    assert [node.rule and node.rule.name for node in graph] == [None, None, "mul", "add", "tanh"]
    assert [node.operands for node in graph] == [(), (), (0, 1), (2, 1.0), (3,)]
    assert [node.local_derivatives for node in graph][2:4] == [(3.0, 0.5), (1.0, None)]
    assert [node.data for node in graph] == [0.5, 3.0, 1.5, 2.5, math.tanh(2.5)]
    assert [node.named for node in graph] == [True, True, False, False, False]
    assert graph.root is graph.nodes[-1]
    assert graph.root.name == "v4"
    assert len(graph) == 5


@given(programs())
def test_the_record_agrees_with_the_values(program: Program) -> None:
    root = program.run(record, Value.sin, [Value(x) for x in program.leaves])
    root.backward()
    graph, values = Graph(root), backward_order(root)[::-1]
    assert len(graph) == len(values)
    for node, value in zip(graph, values, strict=True):
        assert graph[value] is node
        assert all(type(each) is not int or each < node.position for each in node.operands)
        operands = [graph.nodes[x].data if type(x) is int else x for x in node.operands]
        assert operands == [x.data if isinstance(x, Value) else x for x in value.operands]
        assert (node.data, node.grad, node.rule) == (value.data, value.grad, value.rule)
        assert node.local_derivatives == value.local_derivatives
        assert node.requires_grad is value.requires_grad
    for node, uses in zip(graph, graph.uses(), strict=True):
        expected = [
            (user.position, place)
            for user in graph
            for place, each in enumerate(user.operands)
            if type(each) is int and each == node.position
        ]
        assert uses == expected


def test_gradients_are_as_they_were_when_it_was_frozen() -> None:
    w, x, y = neuron()
    before = Graph(y)
    assert [node.grad for node in before] == [None] * 5
    y.backward()
    after = Graph(y)
    assert after["w"].grad == w.grad
    y.backward()
    w.data = 7.0
    x.name = "other"
    assert after["w"].grad == w.grad / 2
    assert after["w"].data == 0.5
    assert after.nodes[1].name == "x"
    assert before.root.grad is None


def test_it_cannot_be_changed() -> None:
    graph = Graph(neuron()[2])
    with pytest.raises(AttributeError):
        graph.root.data = 1.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        graph.note = ""  # type: ignore[attr-defined]
    assert type(graph.nodes) is tuple


def test_constants_frozen_leaves_and_sites_are_recorded() -> None:
    w, c = Value(2.0, name="w"), Value(3.0, name="c")
    c.requires_grad = False
    record_sites()
    y = w * c
    record_sites(on=False)
    graph = Graph(y)
    assert [graph[name].requires_grad for name in ("w", "c")] == [True, False]
    assert [node.site for node in graph][:2] == [None, None]
    assert re.fullmatch(r".*test_graph\.py:\d+", graph.root.site or "")


def test_a_leaf_alone_is_a_graph() -> None:
    graph = Graph(Value(2.0))
    assert graph.nodes == (Node(0, "v0", None, (), 2.0, None, (), True, None, False),)
    assert str(graph) == "v0 = 2.0"


# -------------------------------------------------------------------------------- look-up
def test_look_up_by_position_name_and_value() -> None:
    w, _, y = neuron()
    graph = Graph(y)
    assert graph[0] is graph["w"] is graph[w]
    assert graph[-1] is graph["v4"] is graph[y] is graph.root


def test_a_look_up_that_fails_says_what_there_is() -> None:
    y = neuron()[2]
    graph = Graph(y)
    with pytest.raises(KeyError) as caught:
        graph["b"]
    assert caught.value.args == ("no value named 'b' in this graph; its names are w, x",)
    stranger = Value(9.0, name="stranger")
    with pytest.raises(KeyError) as caught:
        graph[stranger]
    assert caught.value.args == (
        "Value(data=9.0, grad=None, name='stranger') is not in this graph: v4 does not depend on it",
    )
    with pytest.raises(KeyError) as caught:
        Graph(Value(1.0) * 2.0)["b"]
    assert caught.value.args == (
        "no value named 'b' in this graph; its names are none that was given",
    )
    with pytest.raises(IndexError, match="there is no node 5: this graph has 5 nodes, 0 to 4"):
        graph[5]
    with pytest.raises(IndexError, match="there is no node 5: this graph has 5 nodes, 0 to 4"):
        graph[np.int64(5)]
    with pytest.raises(TypeError, match=r"the position of a node is a whole number, not \[0\]"):
        graph[[0]]  # type: ignore[index]


def test_what_it_has_can_be_asked_with_in_and_by_whole_numbers_of_numpy() -> None:
    w, x, y = neuron()
    graph = Graph(y)
    assert graph[np.int64(1)] is graph[1]  # type: ignore[index]
    assert [each in graph for each in (w, x, y, "w", "v4", graph[1])] == [True] * 6
    assert [each in graph for each in (Value(0.5), "b", 7, None)] == [False] * 4


def test_a_node_shows_what_it_is_in_a_line() -> None:
    graph = Graph(neuron()[2])
    assert repr(graph[2]) == "Node(2: v2 = mul(0, 1) = 1.5, grad=None)"
    assert repr(graph["w"]) == "Node(0: w = 0.5, grad=None)"


def test_gradients_that_are_no_pass_s_are_refused() -> None:
    graph = Graph(neuron()[2])
    assert [node.grad for node in graph.with_grad([1.0, None, 2.0, 0.0, 1.0])] == [1.0, None, 2.0, 0.0, 1.0]
    with pytest.raises(ValueError, match=r"^with_grad\(\) takes 5 gradients, not 2$"):
        graph.with_grad([1.0, 2.0])
    with pytest.raises(TypeError, match=r"^with_grad\(\) takes a real number, not "):
        graph.with_grad([[1.0]] * 5)  # type: ignore[list-item]


# ----------------------------------------------------------------------------------- text
def test_the_equations() -> None:
    x, w = microbp.array([0.35, 0.9], name="x"), microbp.array([0.1, 0.8], name="w")
    b = Value(0.5, name="b")
    net = microbp.dot(w, x, b)
    y = 2 / (1 - net * net) ** 2
    assert str(Graph(y, names={"net": net, "y": y})).splitlines() == [
        "w[0] = 0.1",
        "w[1] = 0.8",
        "x[0] = 0.35",
        "x[1] = 0.9",
        "b = 0.5",
        f"net = dot(w[0], w[1], x[0], x[1], b) = {net.data!r}",
        f"v6 = mul(net, net) = {net.data**2!r}",
        f"v7 = sub(1.0, v6) = {1 - net.data**2!r}",
        f"v8 = pow(v7, 2.0) = {(1 - net.data**2) ** 2!r}",
        f"y = div(2.0, v8) = {y.data!r}",
    ]
    graph = Graph(y)
    assert graph.equation(graph["b"]) == "b = 0.5"
    assert graph.equation(graph.root) == f"v9 = div(2.0, v8) = {y.data!r}"
    assert repr(Graph(y, names={"y": y})) == f"Graph(10 values, root y = {y.data!r})"


def test_the_text_of_a_large_graph_has_its_first_and_its_last_values() -> None:
    w = y = Value(0.0, name="w")
    for _ in range(9_999):
        y = y + 1.0
    assert len(str(Graph(y)).splitlines()) == 10_000
    for _ in range(500):
        y = y + w
    lines = str(Graph(y)).splitlines()
    assert lines[:2] == ["w = 0.0", "v1 = add(w, 1.0) = 1.0"]
    assert lines[4_999] == "v4999 = add(v4998, 1.0) = 4999.0"
    assert lines[5_000] == "… 500 more values …"
    assert lines[5_001] == "v5500 = add(v5499, 1.0) = 5500.0"
    assert lines[-1] == "v10499 = add(v10498, w) = 9999.0"
    assert len(lines) == 10_001
    assert repr(Graph(y)) == "Graph(10500 values, root v10499 = 9999.0)"


def test_an_unnamed_value_can_be_shown_by_its_formula_where_that_is_short() -> None:
    w, x = Value(0.5, name="w"), Value(3.0, name="x")
    values = {"2·x": 2 * x, "w·x": w * x, "w/x": w / x, "x²": x**2, "relu(x)": x.relu(), "tanh(x)": x.tanh()}
    for formula, value in values.items():
        graph = Graph(value)
        assert graph.shown(graph.root) == formula
        assert graph.shown(graph["x"]) == "x"
        assert graph.shown(graph.root, longest=1) == graph.root.name
    for value in (x.tanh() * w, microbp.sum([w, x]), Value(1.0)):  # of what has no name, of many, a leaf
        graph = Graph(value)
        assert graph.shown(graph.root) == graph.root.name


def test_a_value_takes_less_than_200_bytes_and_needs_no_recursion() -> None:
    x = y = Value(1.0)
    for _ in range(100_000):
        y = 0.5 * y + x
    graph = Graph(y)
    columns = [held for held in vars(graph).values() if isinstance(held, np.ndarray)]
    assert len(columns) == 9
    assert sum(each.nbytes for each in columns) < 120 * len(graph)
    assert not any(each.flags.writeable for each in columns)
    with pytest.raises(ValueError, match="read-only"):
        graph.data[0] = 1.0
    assert graph.op[:3].tolist() == [-1, 0, 1]
    assert graph.args[:6].tolist() == [-1, 0, 1, 0, -2, 2]


def test_inputs_are_a_node_or_a_literal_and_the_derivative() -> None:
    x = Value(3.0, name="x")
    graph = Graph(2.0 - x * x)
    assert graph.root.inputs == ((None, 2.0, None), (graph[1], None, -1.0))
    assert graph[1].inputs == ((graph["x"], None, 3.0), (graph["x"], None, 3.0))
    assert graph["x"].inputs == ()


def test_names_come_from_the_user_then_from_variables_then_from_the_place() -> None:
    given_, variable = Value(1.0, name="given"), Value(2.0)
    root = given_ * variable
    graph = Graph(root, names={"other": given_, "variable": variable})
    assert [(node.name, node.named) for node in graph] == [
        ("given", True), ("variable", True), ("v2", False),
    ]  # fmt: skip
    assert [node.name for node in Graph(root)] == ["given", "v1", "v2"]


def test_two_values_of_one_name_are_told_apart() -> None:
    a, b, c = Value(1.0, name="w"), Value(2.0, name="w"), Value(3.0, name="w#2")
    graph = Graph(microbp.sum([a, b, c, Value(4.0, name="v5")]) * 1.0)
    assert [node.name for node in graph] == ["w", "w#3", "w#2", "v5", "v4", "v5#2"]
    assert [graph[name].data for name in ("w", "w#3", "w#2")] == [1.0, 2.0, 3.0]
    assert len({node.name for node in graph}) == len(graph)


@given(st.lists(st.sampled_from(["a", "a#2", "v0", "v1", None]), min_size=1, max_size=8))
def test_names_are_unique_whatever_the_user_calls_them(names: list[str | None]) -> None:
    graph = Graph(microbp.sum([Value(1.0, name=name) for name in names]))
    found = [node.name for node in graph]
    assert len(set(found)) == len(found)
    assert [graph[name].position for name in found] == list(range(len(found)))


def test_variables_name_values_alone_and_in_containers() -> None:
    a, b, c, d, e = (Value(float(i)) for i in range(5))
    W = np.array([[a, 1.0], [b, 2.0]], dtype=object)
    names = variable_names({
        "W": W, "pair": (c, [d]), "again": a, "parts": {"e": e}, "text": "a", "number": 3.0,
        "floats": np.ones(2), "_hidden": Value(9.0),
    })  # fmt: skip
    assert names == {
        id(a): "again", id(b): "W[1,0]", id(c): "pair[0]", id(d): "pair[1][0]", id(e): "parts['e']",
    }  # fmt: skip


def test_the_caller_s_own_variables_name_a_graph() -> None:
    w = Value(2.0)
    weights = [Value(3.0), Value(4.0)]
    loss = w * weights[0] + weights[1]
    assert [node.name for node in Graph(loss, names=locals())] == [
        "w", "weights[0]", "v2", "weights[1]", "loss",
    ]  # fmt: skip


# --------------------------------------------------------------------- equality and pickling
def test_equal_records_are_equal_graphs() -> None:
    one, other = Graph(neuron()[2]), Graph(neuron()[2])
    assert one == other
    assert hash(one) == hash(other)
    assert one != Graph(neuron()[2] * 1.0)
    y = neuron()[2]
    y.backward()
    assert Graph(y) != one
    assert one != "a graph"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_graph_is_the_same_record_without_values(protocol: int) -> None:
    w, _, y = neuron()
    y.backward()
    graph = Graph(y)
    text = pickle.dumps(graph, protocol)
    assert b"_upstream" not in text  # no Value in it
    twin = pickle.loads(text)
    assert twin == graph
    assert str(twin) == str(graph)
    assert twin["w"] == graph["w"]
    assert all(one.rule is other.rule for one, other in zip(twin, graph, strict=True))
    with pytest.raises(KeyError, match="is not in this graph"):
        twin[w]
    assert copy.deepcopy(graph) == copy.copy(graph) == graph


def test_a_node_alone_is_pickled_and_copied_with_its_graph() -> None:
    w, x, _ = neuron()
    root = Graph(w * x).root
    for twin in (pickle.loads(pickle.dumps(root)), copy.copy(root), copy.deepcopy(root)):
        assert twin == root
        assert twin.inputs == root.inputs
    with pytest.raises(KeyError, match="comes from a file, a pickle or a copy, and is asked by names"):
        copy.copy(root.graph)[w]


def test_json_by_columns_is_the_same_record() -> None:
    w, x = Value(-0.0, name="w"), Value(float("inf"), name="inf")
    with microbp.group("h"):
        y = microbp.maximum(w * 2.0 + x, float("nan"))
    twin = Graph.from_json(Graph(y).to_json())
    assert twin == Graph(y)
    assert twin.names[:2] == Graph(y).names[:2]
    negative = Graph(x * 0.0)  # a nan, whose sign no text has
    assert Graph.from_json(negative.to_json()) == negative
    assert hash(Graph.from_json(negative.to_json())) == hash(negative)
    assert Graph(Value(0.0)) != Graph(Value(-0.0))
    assert twin.root.group == (("h", 0),)
    net = microbp.MLP(2, [2, 1])
    deep = Graph(net([1.0, 2.0]), names={"net": net})
    assert Graph.from_json(deep.to_json()) == deep
    assert Graph.from_json(deep.to_json()).paths == deep.paths
    other = Graph(y).to_json().replace('"roots"', '"root"')
    for text in ("", "[]", "{}", "[" * 100_000, other, '{"rules": 3}'):
        with pytest.raises(ValueError, match=r"this is no graph as Graph.to_json\(\) writes it"):
            Graph.from_json(text)


@pytest.mark.parametrize(
    ("column", "at", "wrong", "told"),
    [("args", 0, 0.5, "args has other members than of type int"), ("op", 0, "-1", "op has other"),
     ("needs", 0, 1, "needs has other members than of type bool"),
     ("names", 0, "y", "two nodes have one name"), ("names", 1, 5, "names has other"),
     ("sites", 0, -5, "sites has other members than of type str"), ("paths", 0, "w", "paths has other")],
)  # fmt: skip
def test_json_of_another_kind_is_refused(column: str, at: int, wrong: Any, told: str) -> None:
    x = Value(2.0, name="x")
    record = json.loads(Graph(x * 3.0, {}).to_json())
    record["names"][1] = "y"
    assert Graph.from_json(json.dumps(record)).names == ["x", "y"]
    record[column][at] = wrong
    with pytest.raises(ValueError, match=rf"as Graph.to_json\(\) writes it: .*{told}"):
        Graph.from_json(json.dumps(record))


def test_json_has_rows_that_are_not_in_the_table() -> None:
    cube = row("cube", "a", "a * a * a", ("3.0 * a * a",), "Third power.", ((((-3.0, 3.0)),),))
    graph = Graph(record(cube, [Value(2.0)]))
    twin = Graph.from_json(graph.to_json())
    assert twin.rules[0].__reduce__() == cube.__reduce__()
    assert str(twin) == str(graph)


def test_an_operation_that_is_not_in_the_table_travels_with_its_row() -> None:
    cube = row("cube", "a", "a * a * a", ("3.0 * a * a",), "Third power.", ((((-3.0, 3.0)),),))
    x = Value(2.0, name="x")
    y = record(cube, [x])
    twin: Any = pickle.loads(pickle.dumps(Graph(y))).root.rule
    assert twin is not cube
    assert (twin.name, str(twin.y), str(twin.d[0]), twin.smooth) == (
        "cube", "a * a * a", "3.0 * a * a", cube.smooth,
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(y))
    again.backward()
    assert backward_order(again)[-1].grad == 12.0


@at_once(RULES)
def test_a_rule_of_the_table_is_pickled_as_itself(name: str) -> None:
    assert pickle.loads(pickle.dumps(RULES[name])) is RULES[name]


def test_nodes_that_were_asked_for_hold_no_values() -> None:
    class Own(Value):
        """A Value that can be watched."""

    y = Own(2.0, name="w") * 3.0
    graph, seen = Graph(y), weakref.ref(y.operands[0])
    node = graph["w"]
    gc.disable()
    try:
        del graph, y
        assert seen() is None
    finally:
        gc.enable()
    assert node.graph.nodes[node.position] is node
