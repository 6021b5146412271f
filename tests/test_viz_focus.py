"""Focus: between two values, around one, and where most of the gradient flows."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import programs
from support import at_once

import microbp
from microbp import Graph, Value
from microbp.record import record
from viz.focus import View, focus
from viz.fold import picture
from viz.kinds import kinds


def net():
    w1, w2, x, b = (Value(n, name) for n, name in ((0.5, "w1"), (2.0, "w2"), (3.0, "x"), (0.1, "b")))
    h1, h2 = (w1 * x).tanh(), (w2 * x).tanh()
    loss = h1 * 4.0 + h2 * 0.25 + b
    loss.backward()
    return Graph(loss, names={"h1": h1, "h2": h2, "loss": loss})


def names(graph, **options):
    shown, told = focus(graph, kinds(graph), View(**options))
    return [graph.nodes[each].name for each in sorted(shown)], told


def test_without_options_all_is_shown():
    graph = net()
    assert focus(graph, kinds(graph), View()) == (None, "")


def test_between_two_values_are_the_paths_from_one_to_the_other():
    graph = net()
    shown, told = names(graph, between=("w1", "loss"))
    assert (shown[0], "h1" in shown, "h2" in shown, shown[-1]) == ("w1", True, False, "loss")
    assert told == "between w1 and loss"
    assert names(graph, between=("loss", "w1"))[0] == shown
    assert names(graph, between=("h1", "h1"))[0] == ["h1"]
    both = names(graph, between=("x", "loss"))[0]
    assert "h1" in both
    assert "h2" in both
    assert "b" not in both


def test_the_picture_says_what_it_leaves_out():
    graph = net()
    drawn = picture(graph, between=("w1", "loss"))
    assert drawn.note == "6 of 12 values shown: between w1 and loss, 3 edges to the others left out"
    assert (drawn.values, drawn.total, len(drawn.boxes)) == (6, 12, 6)
    ids = {box.id for box in drawn.boxes}
    assert all({edge.source, edge.target} <= ids for edge in drawn.edges)
    assert sum(box.root for box in drawn.boxes) == 1
    folded = picture(graph, "sigma", around="b", hops=1)
    assert folded.note.startswith("2 of 12 values shown: within 1 hop of b, 1 edge to the others left out")


def test_a_sum_with_terms_left_out_still_shows_their_numbers():
    graph = net()
    whole = picture(graph, "sigma").boxes[-1]
    part = picture(graph, "sigma", between=("b", "loss")).boxes[-1]
    assert [row.data for row in part.rows] == [pytest.approx(whole.data - 0.1), 0.1]


def test_around_a_value_are_those_so_many_edges_away():
    graph = net()
    assert names(graph, around="x", hops=0) == (["x"], "within 0 hops of x")
    assert names(graph, around="b", hops=1)[0] == ["b", "loss"]
    assert set(names(graph, around="x", hops=2)[0]) >= {"w1", "w2", "x", "h1", "h2"}
    assert len(names(graph, around="x", hops=99)[0]) == len(graph)


def test_several_show_what_all_of_them_show():
    graph = net()
    shown, told = names(graph, between=("x", "loss"), around="h1", hops=1)
    assert "h1" in shown
    assert "h2" not in shown
    assert told == "between x and loss and within 1 hop of h1"
    with pytest.raises(ValueError, match=r"^no value of the graph is between h1 and h1 and within 0 hops"):
        names(graph, between=("h1", "h1"), around="h2", hops=0)


def test_values_can_be_given_as_values():
    x = Value(2.0)
    y = x.exp()
    graph = Graph(y * 3.0)
    assert focus(graph, kinds(graph), View(between=(x, y)))[0] == {0, 1}
    with pytest.raises(ValueError, match="is not in this graph"):
        focus(graph, kinds(graph), View(around=Value(1.0)))


# ------------------------------------------------------------------------------------------- share
def test_share_keeps_the_heaviest_paths_to_parameters():
    graph = net()
    shown, told = names(graph, share=0.5)
    # The derivative in h1 is 4, in h2 0.25, in b 1.
    assert "w1" in shown
    assert "w2" not in shown
    assert "x" not in shown
    assert told.endswith("% of the gradient from loss to the parameters")
    everything = names(graph, share=1.0)[0]
    assert set(everything) == {node.name for node in graph} - {"x"}


@settings(max_examples=60)
@given(programs(12), st.floats(0.05, 1.0))
def test_share_carries_at_least_so_much(program, share):
    """Against the weights of all paths, in plain numbers, with and without what is left out."""
    root = program.run(record, Value.sin, [Value(x, f"w{i}") for i, x in enumerate(program.leaves)])
    graph = Graph(root)

    def weight(values):
        """The weight of all paths to the leaves through these values."""
        paths = {len(graph) - 1: 1.0}
        for node in reversed(graph.nodes):
            for each, local in zip(node.operands, node.local_derivatives, strict=True):
                if local is not None and node.position in values and each in values:
                    paths[each] = paths.get(each, 0.0) + paths.get(node.position, 0.0) * abs(local)
        return math.fsum(paths.get(node.position, 0.0) for node in graph if node.rule is None)

    whole = weight(range(len(graph)))
    assume(whole > 0.0)
    shown, told = focus(graph, kinds(graph), View(share=share))
    percent = float(told.split("carry ")[1].split(" %")[0])
    assert percent >= 100.0 * share - 0.5
    assert weight(shown) >= share * whole * (1.0 - 1e-6)


def test_literals_carry_nothing_be_there_ever_so_many():
    w = Value(2.0, "w")
    shown, told = names(Graph(microbp.sum([w * 3.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])), share=1.0)
    assert len(shown) == 3
    assert "carry 100 %" in told


def test_a_nan_draws_the_flow():
    x, y = Value(math.nan, "w1"), Value(2.0, "w2")
    bad = x.exp()
    shown, _ = names(Graph(bad * y + y * 5.0), share=0.6)
    assert "w1" in shown


# ------------------------------------------------------------------------------------------- errors
@at_once(
    [
        ({"around": "h3"}, "no value named 'h3' in the graph of loss; did you mean 'h2'?"),
        ({"around": "h1", "hops": -1}, "hops is a whole number from 0 up, not -1"),
        ({"around": "zzzz"}, "no value named 'zzzz' in the graph of loss; its names are "),
        ({"between": ("w1", "h2")}, "neither was computed from the other. Try between=('w1', 'loss')"),
        ({"between": ("w1", "w2")}, "w1 and w2 are not connected"),
        ({"between": "w1"}, "between takes two values, as in between=('w', 'loss'), not 'w1'"),
        ({"share": 0.0}, "share is a part of the gradient, above 0 and at most 1, not 0.0"),
        ({"share": 90}, "share is a part of the gradient, above 0 and at most 1, not 90"),
    ]
)  # fmt: skip
def test_errors_say_what_to_do(options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        picture(net(), **options)
    assert message in str(caught.value)


def test_errors_of_a_graph_without_names_or_gradient():
    with pytest.raises(ValueError, match="no value has a name"):
        picture(Graph(Value(1.0) * Value(2.0)), around="x")
    with pytest.raises(TypeError, match=r"a value is given by its name or as a Value, not as 3$"):
        picture(net(), around=3)
    dead = (Value(-1.0, "w") * 2.0).relu()
    with pytest.raises(ValueError, match=r"^no gradient flows from v2 to the parameters: on each path"):
        picture(Graph(dead), share=0.9)


def test_long_chains_do_not_recurse():
    v = Value(0.5, "w")
    for _ in range(20_000):
        v = v.sin()
    graph = Graph(v, names={"end": v})
    assert len(focus(graph, kinds(graph), View(between=("w", "end")))[0]) == len(graph)
    assert len(focus(graph, kinds(graph), View(share=0.9))[0]) == len(graph)
    assert len(focus(graph, kinds(graph), View(around="w", hops=10))[0]) == 11
