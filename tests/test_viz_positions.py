"""Places and routes, as the layout engines state them."""

from __future__ import annotations

import pytest

from viz.engines import EngineFailed, Place, Route, layout_of, positions

TWO = (
    'digraph { node [shape=box fixedsize=true width=1 height=0.5 label=""]; '
    'a -> b [id="e1_0" label="x"]; a -> b [id="e1_1" dir=none]; a -> b; b [id="n1"] }'
)


@pytest.fixture(params=["dot", "pygraphviz"])
def engine(request):
    return request.param


def test_a_box_is_known_by_its_id_else_by_its_name(engine):
    assert set(positions(TWO, engine).boxes) == {"a", "n1"}


def test_y_counts_downwards_from_the_upper_edge(engine):
    layout = positions(TWO, engine)
    a, b = layout.boxes["a"], layout.boxes["n1"]
    assert a.y == pytest.approx(a.height / 2, abs=1)
    assert b.y == pytest.approx(layout.height - b.height / 2, abs=1)


def test_sizes_are_in_points(engine):
    assert positions(TWO, engine).boxes["a"][2:] == (72.0, 36.0)


def test_everything_lies_inside_the_picture(engine):
    layout = positions(TWO, engine)
    points = [point for route in layout.edges.values() for point in route.points]
    assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in points)


def test_parallel_edges_have_routes_of_their_own(engine):
    routes = positions(TWO, engine).edges
    assert set(routes) == {"e1_0", "e1_1"}  # the edge without an id has none
    assert routes["e1_0"].points != routes["e1_1"].points


def test_an_edge_leads_from_the_operand_to_the_tip_at_its_user(engine):
    layout = positions(TWO, engine)
    route, a, b = layout.edges["e1_0"], layout.boxes["a"], layout.boxes["n1"]
    assert route.tip is not None
    assert abs(route.points[0][1] - (a.y + a.height / 2)) < 2
    assert abs(route.tip[1] - (b.y - b.height / 2)) < 2
    assert len(route.points) % 3 == 1


def test_labels_and_tips_are_there_where_the_edge_has_them(engine):
    routes = positions(TWO, engine).edges
    assert routes["e1_0"].label is not None
    assert (routes["e1_1"].label, routes["e1_1"].tip) == (None, None)


def test_clusters_have_places_around_their_boxes(engine):
    layout = positions('digraph { subgraph cluster_h { a } a -> b [id="e"] }', engine)
    frame, box = layout.clusters["cluster_h"], layout.boxes["a"]
    assert abs(frame.x - box.x) < frame.width / 2
    assert frame.width > box.width


def test_both_engines_agree_on_what_there_is():
    one, other = positions(TWO, "dot"), positions(TWO, "pygraphviz")
    assert (one.boxes.keys(), one.edges.keys()) == (other.boxes.keys(), other.edges.keys())
    assert (one.engine.split()[0], other.engine.split()[0]) == ("dot", "pygraphviz")


def test_a_picture_that_does_not_begin_at_the_origin_is_moved_there():
    described = {
        "bb": "-4,-10,104,90",
        "objects": [{"name": "a", "pos": "50,40", "width": "1", "height": "0.5"}],
        "edges": [{"id": "e", "pos": "s,0,0 0,10 1,20 2,30 3,40", "lp": "6,10"}],
    }
    layout = layout_of(described, "by hand")
    assert (layout.width, layout.height) == (108, 100)
    assert layout.boxes["a"] == Place(54, 50, 72, 36)
    assert layout.edges["e"] == Route(((4, 80), (5, 70), (6, 60), (7, 50)), None, (10, 80))


def test_an_empty_graph_has_no_places(engine):
    layout = positions("digraph { }", engine)
    assert (dict(layout.boxes), dict(layout.edges)) == ({}, {})


def test_a_text_that_is_not_dot_is_refused(engine):
    with pytest.raises(EngineFailed):
        positions("digraph {", engine)
