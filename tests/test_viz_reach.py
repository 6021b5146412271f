"""Long edges: how far they reach, and that no picture of them keeps an engine busy for minutes."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from strategies import programs
from viz_support import tutorial_4

from microbp import MLP, Graph, Value
from microbp.record import record
from viz import TooManyValues, dot, draw, draw_step, page
from viz.dot import PATIENCE
from viz.engines import ENGINES
from viz.fold import MOST, picture
from viz.picture import Picture, reach


def staircase(steps: int) -> Value:
    """Each step reads the result of the last, and x twice: few edges, all but a few of them long."""
    x = Value(0.5, name="x")
    v = x
    for _ in range(steps):
        v = v * x + x
    v.name = "v"
    return v


def test_an_edge_crosses_as_many_rows_as_lie_between_its_ends():
    rows, chain = {each: at for at, each in enumerate("abcde")}, dict(pairwise("edcba"))
    assert reach(rows, {user: [operand] for user, operand in chain.items()}) == 4
    assert reach(rows, {**{user: [operand] for user, operand in chain.items()}, "e": ["d", "b"]}) == 7


def test_a_leaf_stands_right_above_its_first_user_and_no_higher():
    rows = {"a": 0, "b": 1, "c": 2, "w": 0, "d": 3, "e": 4}
    assert reach(rows, {"b": "a", "c": "b"}) == 2
    assert reach(rows, {"b": "a", "c": "b", "d": "cw"}) == 4
    assert reach(rows, {"b": "a", "c": "b", "d": "cw", "e": "dw"}) == 7


def test_the_edges_of_a_staircase_grow_with_its_square():
    for steps in (1, 10, 50):
        each = range(1, steps + 1)
        along = 2 * steps - 1  # from a product to its sum, and from that to the next product
        from_x = sum((2 * at - 1) + 2 * at for at in each) + 1
        assert picture(Graph(staircase(steps)), "none").reach() == along + from_x


@given(programs(14))
def test_no_edge_crosses_less_than_a_row(program):
    drawn = picture(Graph(program.run(record, Value.sin, [Value(x) for x in program.leaves])), "none")
    assert drawn.reach() >= len(drawn.edges)


def test_a_graph_of_one_value_and_an_empty_picture_have_none():
    assert picture(Graph(Value(1.0))).reach() == Picture((), ()).reach() == 0


# ------------------------------------------------------------------------------------ what follows from it
@pytest.mark.parametrize("steps", [59, 119, 400])
def test_auto_draws_no_mesh_of_long_edges(steps):
    drawn = picture(Graph(staircase(steps)))
    assert drawn.reach() <= 3_600
    assert len(drawn.boxes) <= 120


def test_a_picture_that_would_take_minutes_is_refused_with_the_numbers_and_the_cures():
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        draw(staircase(200), fold="none")
    assert str(caught.value) == (
        "401 values with fold='none' would be 800 edges between 401 boxes, which cross 80,600 rows together, "
        "and more than 10,000 take an engine minutes. Let fold='auto' choose, try fold='neuron' or "
        "fold='layer', or show a part: around=name, between=(name, name), share=0.9"
    )
    assert draw(staircase(200), around="v", hops=1, fold="none").picture.values == 3


def test_a_batch_in_boxes_of_its_own_is_refused_too():
    net = MLP(3, [4, 4, 1], seed=1)
    loss = sum(((net([0.1 * k, 0.2, 0.3]) - 1.0) ** 2 for k in range(120)), Value(0.0))
    with pytest.raises(ValueError, match=r"8,\d{3} edges between 2,\d{3} boxes, which cross 1\d,\d{3}"):
        draw(loss, fold="none")
    assert len(draw(loss).picture.boxes) < 20


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_just_below_the_limit_both_engines_come_to_an_end(engine):
    drawing = draw(staircase(69), fold="none", engine=engine)
    assert 0.9 * MOST < drawing.picture.reach() <= MOST
    assert drawing.svg.count('class="edge"') == 276


def test_only_long_edges_are_straight_and_lie_below_the_boxes():
    hasty = re.compile(r"\bnslimit=1\b.*\boutputorder=edgesfirst\b.*\bsplines=line\b", re.DOTALL)
    assert picture(Graph(staircase(40)), "none").reach() > PATIENCE
    assert hasty.search(" ".join(sorted(dot.source(picture(Graph(staircase(40)), "none")).split())))
    assert "splines" not in draw(tutorial_4(), fold="none").dot


def test_a_page_of_long_edges_shows_the_neighbourhood_and_says_why():
    made = page(staircase(200), names={})
    assert (made.values, made.engine) == (401, "")
    assert "The whole graph is a tangle that takes an engine minutes." in made.html
    assert page(staircase(60), names={}).engine != ""


def test_a_pass_along_long_edges_has_no_pictures():
    with pytest.raises(TooManyValues) as caught:
        draw_step(staircase(60), 3)
    assert str(caught.value).startswith(
        "draw_step() would draw 240 edges, which cross 7,380 rows of boxes together, and no one can follow "
        "more than 3,000. Show a part: around=name"
    )
