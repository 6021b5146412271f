"""Paths are compared with an enumeration of them all, and with the engine."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tutorial import named

from microbp import Graph, NoGradientError, Value, grad
from microbp.debug.paths import paths
from microbp.demo import t4


def ladder(levels, a=0.5, b=0.5):
    x = Value(0.9, name="x")
    y = x
    for _ in range(levels):
        y = y * a + y * b
    return y, x


def every_path(graph, target):
    """All products of local derivatives along all paths, by brute force."""
    found, pending = [], [(graph.root.position, 1.0)]
    while pending:
        position, product = pending.pop()
        if position == target:
            found.append(product)
            continue
        node = graph.nodes[position]
        for operand, local in zip(node.operands, node.local_derivatives, strict=True):
            if local is not None:
                pending.append((operand, product * local))
    return sorted(found, key=lambda each: -abs(each))


def test_the_two_paths_of_the_tutorial():
    p, net = named()
    found = paths(net["E"], p["w1"], names=net)
    assert found.count == 2
    assert found.gradient == pytest.approx(0.000438568, abs=5e-10)
    assert [row.way.split(" → ")[2] for row in found.rows] == ["o1", "o2"]
    assert [row.gradient for row in found.rows] == pytest.approx([0.00066839602, -0.00022982829], rel=1e-7)
    assert sum(row.share for row in found.rows) == pytest.approx(1.0)
    assert found.ok
    assert not found.cancels
    assert str(found).startswith("∂E/∂w1 = 0.00043856773: 2 paths\n")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9))
def test_the_largest_paths_are_those_of_the_enumeration(steps):
    values = [Value(0.7, name="x"), Value(-1.3, name="w")]
    for kind, i, j in steps:
        a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
        values.append([a + b, a * b, a - b, a.tanh()][kind])
    graph = Graph(values[-1])
    if "x" not in {node.name for node in graph}:
        return
    target = graph["x"].position
    expected = every_path(graph, target)
    found = paths(graph, "x", k=4, names={})
    assert found.count == len(expected)
    assert [abs(row.gradient) for row in found.rows] == pytest.approx(
        [abs(each) for each in expected[:4]], rel=1e-12, abs=0.0
    )
    assert found.gradient == pytest.approx(math.fsum(expected), rel=1e-9, abs=1e-12 * found.size)
    assert found.size == pytest.approx(math.fsum(map(abs, expected)), rel=1e-9)
    assert found.ok
    for row in found.rows:
        assert math.prod(
            graph.nodes[user].local_derivatives[place]
            for user, place in zip(row.nodes, row.places, strict=False)
        ) == pytest.approx(row.gradient, rel=1e-12)


def test_two_to_the_two_hundred_paths():
    y, x = ladder(200, 0.5, 0.50001)
    found = paths(y, x, k=7)
    assert found.count == 2**200
    assert found.ok
    assert len(found.rows) == 7
    assert found.rows[0].gradient == pytest.approx(0.50001**200)
    assert [row.gradient for row in found.rows[1:]] == pytest.approx([0.50001**199 * 0.5] * 6)
    assert "1.607e+60 paths" in found.title
    assert found.rest == pytest.approx(found.gradient)


def test_equal_paths_do_not_send_the_search_astray():
    found = paths(*ladder(200, 1 / 3, 1 / 3), k=3)  # the products differ in the last bits only
    assert len({row.places for row in found.rows}) == 3 or len({row.nodes for row in found.rows}) == 3
    assert found.count == 2**200


def test_paths_that_underflow_are_still_told_apart():
    found = paths(*ladder(2000, 1e-3, 1e-4), k=2)
    assert found.count == 2**2000
    assert {row.gradient for row in found.rows} == {0.0}
    assert len(set(found.rows[0].nodes) - set(found.rows[1].nodes)) == 1
    assert "about 10^602 paths" in found.title


def test_cancellation_is_flagged():
    x = Value(3.0, name="x")
    a, b = x * 1000.0, x * 999.0
    found = paths(a - b, x, names={"a": a, "b": b})
    assert (found.gradient, found.size) == (1.0, 1999.0)
    assert found.cancels
    assert "The paths cancel: their sizes add up to 1999, 2e+03 times as large" in str(found)
    zero = paths(x - x, x, names={})
    assert zero.cancels
    assert str(zero).startswith("∂v1/∂x = 0: 2 paths\n")
    assert "their sizes add up to 2, and their sum is 0." in str(zero)


def test_paths_that_differ_in_unnamed_values_only_are_told_apart():
    x = Value(3.0, name="x")
    u = x * 2.0
    loss = x * 5.0 - x * 3.0 + u
    ways = [row.way for row in paths(loss, x, names={"u": u, "loss": loss}).rows]
    assert ways == ["loss → v3 → v1 → x", "loss → v3 → v2 → x", "loss → u → x"]


def test_a_wrong_sum_is_found(monkeypatch):
    x = Value(3.0, name="x")
    graph = Graph(x * x)
    module = importlib.import_module("microbp.debug.paths")
    monkeypatch.setattr(module, "backward", lambda graph, _: 7.0 + 0.0 * graph.data)
    found = paths(graph, "x", names={})
    assert not found.ok
    assert "WRONG: the backward pass gives 7.0, the paths 6.0." in str(found)


def test_the_same_operand_twice_is_two_paths():
    x = Value(3.0, name="x")
    found = paths(x * x, x, names={})
    assert [row.way for row in found.rows] == ["v1 → x (operand 1)", "v1 → x (operand 2)"]
    assert [row.gradient for row in found.rows] == [3.0, 3.0]


def test_of_more_paths_the_rest_is_summed():
    y, x = ladder(3)
    found = paths(y, x, k=2, names={"y": y})
    assert (found.count, len(found.rows), found.rest) == (8, 2, 0.75)
    assert "6 more paths" in str(found)
    assert paths(y, x, k=np.uint8(2), names={"y": y}) == found


def test_no_path_and_the_value_itself():
    x, other = Value(3.0, name="x"), Value(1.0, name="other")
    none = paths(x * 2.0, other, names={})
    assert (none.count, none.gradient, none.rows, none.ok) == (0, 0.0, (), True)
    assert none.title == "∂v1/∂other = 0: v1 does not depend on other"
    itself = paths(x, x)
    assert (itself.count, itself.gradient, itself.rows[0].nodes) == (1, 1.0, (0,))


def test_nan_and_infinity_come_first():
    x = Value(2.0, name="x")
    found = paths(x * math.nan + x * 5.0, x, k=1, names={})
    assert math.isnan(found.rows[0].gradient)
    assert math.isnan(found.gradient)
    assert found.ok
    assert math.isinf(paths(Value(0.0, name="r").sqrt(), "r", names={}).gradient)


def test_the_engine_s_gradient_is_its_own_to_the_last_bit():
    p, net = named()
    wanted = [p[name] for name in t4.START]
    assert [paths(net["E"], each, names=net).engine for each in wanted] == list(grad(net["E"], wanted))


def test_what_cannot_be_asked():
    x = Value(3.0, name="x")
    with pytest.raises(TypeError, match=r"paths\(\) takes the Value or Graph whose gradient .*, not 3"):
        paths(3, x)
    with pytest.raises(TypeError, match=r"paths\(\) takes one Value, or its name, .*, not 3"):
        paths(x, 3)
    with pytest.raises(ValueError, match="k = 0 or more paths, not -1"):
        paths(x, x, k=-1)
    with pytest.raises(KeyError, match="no value named 'w' in this graph"):
        paths(x * x, "w", names={})
    with pytest.raises(NoGradientError, match=r"x = 3\.0 is a constant"):
        paths(x.detach(), x, names={})


def test_a_notebook_shows_the_table_whatever_happens(monkeypatch):
    x = Value(3.0, name="x")
    found = paths(x * x, x, names={})
    bundle = found._repr_mimebundle_(include=None)
    assert bundle["text/plain"] == str(found)
    assert bundle["text/markdown"] == found.table().markdown()
    assert bundle["text/markdown"].startswith("**∂v1/∂x = 6.0000000: 2 paths**\n")
    monkeypatch.setattr(type(found), "__str__", lambda _: 1 / 0)
    assert found._repr_mimebundle_()["text/plain"].startswith("Paths that cannot be shown: ZeroDivisionError")
