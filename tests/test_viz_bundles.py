"""Dense layers: one edge from frame to frame stands for all between their boxes, and none is lost."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from viz_support import SVG, by_id, parsed, positions, titles

import microbp
from microbp import MLP, Graph, Value, group
from viz import Picture, draw, draw_step, fold
from viz.contents import bundled
from viz.engines import ENGINES, render
from viz.fold import picture
from viz.picture import Box, Cluster, Edge, Kind

NOTE = "dense layers joined by one edge"


def net(*widths: int, samples: int = 1) -> Graph:
    """The squared error of a net, after one backward pass."""
    model = MLP(widths[0], [*widths[1:]], activation="tanh", seed=1)
    errors = []
    for sample in range(samples):
        x = [Value(0.3 * at - 0.1 * sample, name=f"x{at}") for at in range(widths[0])]
        out = model(x)
        errors += [(each - 1.0) ** 2 for each in (out if widths[-1] > 1 else [out])]
    loss = microbp.sum(errors) if len(errors) > 1 else errors[0]
    loss.backward()
    return Graph(loss, names={"net": model, "loss": loss})


def layers(*widths: int, shared: bool = False, extra: bool = False, without: int = 0) -> Graph:
    """Free code: a group for each layer and in it one for each neuron.

    Neurons of a layer may have one bias that they ``shared``; the last of all may read an ``extra`` neuron
    that follows the layer above; the first of each layer may be ``without`` so many of its operands.
    """
    read = [Value(0.1 * at + 0.2, name=f"x{at}") for at in range(3)]
    for number, width in enumerate(widths):
        if extra and number == len(widths) - 1:
            with group("extra"):
                more = (microbp.sum(read) * 0.5).tanh()
        made = []
        bias = Value(0.1, name=f"b{number}")
        with group(f"layer{number}"):
            for at in range(width):
                with group(f"neuron{at}"):
                    terms = read[without:] if at == 0 else read
                    if extra and number == len(widths) - 1 and at == width - 1:
                        terms = [*terms, more]
                    weights = [Value(0.2 * math.sin(at + j), name=f"w{j}") for j in range(len(terms))]
                    total = microbp.dot(weights, terms, bias if shared else Value(0.1, name="b"))
                    made.append(total.tanh())
        read = made
    loss = microbp.sum(read)
    loss.backward()
    return Graph(loss)


def bundles(drawn: Picture) -> list[Edge]:
    return [edge for edge in drawn.edges if edge.bundle]


def plain(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> Picture:
    """The picture by neuron with every edge."""
    with monkeypatch.context() as patch:
        patch.setattr(fold, "bundled", lambda whole: whole)
        return picture(graph, "neuron")


def lost(whole: Picture, drawn: Picture) -> set[tuple[str, str]]:
    """The pairs of boxes that only one of the pictures joins; a wrong count stands for all."""
    stands_for = [
        (source, target)
        for edge in drawn.edges
        for source in (edge.bundle.sources if edge.bundle else [edge.source])
        for target in (edge.bundle.targets if edge.bundle else [edge.target])
    ]
    if sum(edge.count for edge in whole.edges) != sum(edge.count for edge in drawn.edges):
        return {("every", "box")}
    return {*stands_for} ^ {(edge.source, edge.target) for edge in whole.edges}


# ------------------------------------------------------------------------------------------ what is one
def test_two_dense_layers_are_joined_by_one_edge():
    drawn = picture(net(2, 16, 16, 1))
    [edge] = bundles(drawn)
    labels = {cluster.id: cluster.label for cluster in drawn.clusters}
    boxes = {box.id: box for box in drawn.boxes}
    assert edge.bundle is not None
    assert (labels[edge.bundle.tail], labels[edge.bundle.head]) == ("layers.0", "layers.1")
    for ids in edge.bundle.sources, edge.bundle.targets:
        assert [boxes[each].name for each in ids] == [f"neurons.{at}" for at in range(16)]
    assert (boxes[edge.source].name, boxes[edge.target].name) == ("neurons.7", "neurons.7")
    assert edge.count == 256
    assert len(drawn.edges) == 16 + 1 + 16 + 2
    assert drawn.note == f"{drawn.values} values folded into {len(drawn.boxes)} boxes: by neuron; {NOTE}"


def test_the_contribution_is_the_largest_and_samples_are_counted(monkeypatch):
    graph = net(3, 8, 8, 1, samples=12)
    [edge] = bundles(picture(graph, "neuron"))
    assert edge.bundle is not None
    assert edge.count == 64 * 12
    among = [
        each.contribution
        for each in plain(graph, monkeypatch).edges
        if each.source in edge.bundle.sources and each.target in edge.bundle.targets
    ]
    assert len(among) == 64
    assert edge.contribution in among
    assert abs(edge.contribution) == max(abs(each) for each in among)
    assert edge.local is None


@pytest.mark.parametrize(
    ("widths", "labels"),
    [
        ((3, 5, 5, 1), ["5 × 5"]),
        ((3, 4, 6, 1), []),
        ((3, 9, 3, 9, 1), ["9 × 3", "3 × 9"]),
        ((3, 8, 3, 1), []),
        ((3, 16, 2), []),
        ((2, 30, 1), []),
        ((4, 8, 8, 8, 2), ["8 × 8", "8 × 8"]),
    ],
)
def test_below_25_edges_and_beside_fans_every_edge_is_drawn(widths, labels):
    drawing = draw(net(*widths), fold="neuron")
    assert re.findall(r"label=\"[^\"]*?(\d+ × \d+)\"", drawing.dot) == labels
    assert (NOTE in drawing.picture.note) == ("compound=true" in drawing.dot) == bool(labels)


def test_an_incomplete_block_is_not_one():
    assert len(bundles(picture(layers(6, 6), "neuron"))) == 1
    assert bundles(picture(layers(6, 6, without=1), "neuron")) == []


def test_a_frame_around_frames_and_boxes_that_are_not_folded_take_no_part():
    folded = [Box(f"g{at}", Kind.FOLDED, "", group=("c0",) if at < 5 else ("c1",)) for at in range(10)]
    edges = tuple(Edge(f"e{b}_{a}", f"g{a}", f"g{b}") for b in range(5, 10) for a in range(5))
    assert len(bundled(Picture((*folded,), edges)).edges) == 1
    inner = Box("g10", Kind.FOLDED, "", group=("c1", "c2"))
    for more in inner, Box("n10", Kind.OPERATION, "", group=("c1",)), folded[5]._replace(id="g10"):
        assert bundled(Picture((*folded, more), edges)) == Picture((*folded, more), edges)
    shared = Box("n10", Kind.PARAMETER, "b", group=("c1",))
    assert len(bundled(Picture((*folded, shared), edges)).edges) == 1
    single = tuple(box._replace(kind=Kind.OPERATION) for box in folded)
    assert bundled(Picture(single, edges)).edges == edges


def test_what_is_not_folded_or_stepped_through_keeps_every_edge():
    graph = net(2, 6, 6, 1)
    for level in "none", "sigma", "layer":
        assert bundles(picture(graph, level)) == []
    assert bundles(draw_step(graph, 3).picture) == []


# --------------------------------------------------------------------------------------- nothing is lost
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.booleans(), st.integers(0, 1))
def test_no_connection_is_lost(widths, shared, without):
    graph = layers(*widths, shared=shared, without=without)
    with pytest.MonkeyPatch.context() as patch:
        whole = plain(graph, patch)
    drawn = picture(graph, "neuron")
    assert lost(whole, drawn) == set()
    assert drawn.boxes == whole.boxes
    dense = [
        (above, below)
        for above, below in pairwise(widths)
        if above * below >= 25 and min(above, below) > 2 and not without
    ]
    assert [(len(e.bundle.sources), len(e.bundle.targets)) for e in bundles(drawn) if e.bundle] == dense


def test_a_connection_that_is_lost_is_found(monkeypatch):
    graph = net(3, 5, 5, 1)
    whole, drawn = plain(graph, monkeypatch), picture(graph, "neuron")
    [edge] = bundles(drawn)
    assert edge.bundle is not None
    fewer = edge._replace(bundle=edge.bundle._replace(targets=edge.bundle.targets[1:]))
    for wrong in fewer, edge._replace(bundle=None), edge._replace(count=24):
        edges = tuple(wrong if each == edge else each for each in drawn.edges)
        assert lost(whole, drawn._replace(edges=edges))


# ---------------------------------------------------------------------------------------- how it is drawn
@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("graph", [net(2, 16, 16, 1), layers(6, 6, shared=True), layers(6, 7, 5, extra=True)])
def test_it_runs_from_frame_to_frame_and_each_layer_is_a_row_below_the_other(graph, rankdir, engine):
    drawing = draw(graph, fold="neuron", rankdir=rankdir, engine=engine)
    layout = positions(drawing.dot, engine)

    def along(place):  # the middle and half the size in the direction in which data flow
        return (place.y, place.height / 2) if rankdir == "TB" else (place.x, place.width / 2)

    def across(place):
        return place.x if rankdir == "TB" else place.y

    assert bundles(drawing.picture)
    for edge in bundles(drawing.picture):
        bundle, route = edge.bundle, layout.edges[edge.id]
        assert bundle is not None
        uppers, lowers = ([along(layout.boxes[each]) for each in ids] for ids in bundle[2:])
        assert max(at + half for at, half in uppers) < min(at - half for at, half in lowers)
        assert len({round(at) for at, _ in uppers}) == 1
        for ids in bundle[2:]:
            side_by_side = [across(layout.boxes[each]) for each in ids]
            assert side_by_side == sorted(side_by_side)
        (tail, tail_half), (head, head_half) = (along(layout.clusters[each]) for each in bundle[:2])
        start, tip = (point[1] if rankdir == "TB" else point[0] for point in (route.points[0], route.tip))
        assert start == pytest.approx(tail + tail_half, abs=3.0)
        assert tip == pytest.approx(head - head_half, abs=3.0)
        assert route.label is not None
        assert start < (route.label[1] if rankdir == "TB" else route.label[0]) < tip


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("inner", [(0, 4), (4, 0), (5, 9), (9, 5)])
def test_boxes_that_follow_each_other_in_a_frame_stay_above_those_that_read_them(engine, inner):
    boxes = [Box(f"g{at}", Kind.FOLDED, "", group=("c0",) if at < 5 else ("c1",)) for at in range(10)]
    edges = [Edge(f"e{b}_{a}", f"g{a}", f"g{b}") for b in range(5, 10) for a in range(5)]
    above, below = inner
    boxes.sort(key=lambda box: (box.group, box.id == f"g{below}"))  # operands before users
    edges.append(Edge("e10_0", f"g{above}", f"g{below}"))
    drawn = bundled(Picture((*boxes,), (*edges,), (Cluster("c0", "a"), Cluster("c1", "b"))))
    assert len(drawn.edges) == 2
    places = positions(draw(drawn).dot, engine).boxes
    for edge in edges:
        assert places[edge.source].y < places[edge.target].y


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("dark", [False, True])
def test_the_svg_has_one_group_with_its_label_and_its_tooltip(engine, dark):
    drawing = draw(net(2, 16, 16, 1), engine=engine, dark=dark)
    [edge] = bundles(drawing.picture)
    svg = drawing.svg
    groups = [each for each in parsed(svg).iter(f"{SVG}g") if each.get("class") == "edge"]
    assert len(groups) == len(drawing.picture.edges) == 35
    shown = by_id(svg)[edge.id]
    assert "".join(text.text or "" for text in shown.iter(f"{SVG}text")).strip() == "16 × 16"
    assert len([*shown.iter(f"{SVG}path")]) == 1
    told = titles(svg)[edge.id].split("\n")
    assert told[0] == "each of 16 boxes in layers.0 to each of 16 in layers.1: 256 connections"
    assert told[1].startswith("largest contribution: ")
    assert NOTE in svg


def test_labels_say_contributions_or_nothing_and_a_tooltip_counts_samples():
    graph = net(3, 5, 5, 1, samples=12)
    [edge] = bundles(picture(graph, "neuron"))
    assert "300 edges" in titles(draw(graph, fold="neuron").svg)[edge.id]
    assert "25 connections, 300 edges" in titles(draw(graph, fold="neuron", edges="none").svg)[edge.id]
    assert "5 × 5" not in draw(graph, fold="neuron", edges="none").dot
    assert re.search(r"5 × 5, max [+−]\d", draw(graph, fold="neuron", edges="contribution").dot)


def test_hostile_names_of_frames():
    folded = [Box(f"g{at}", Kind.FOLDED, "", group=("c0",) if at < 5 else ("c1",)) for at in range(10)]
    edges = tuple(Edge(f"e{b}_{a}", f"g{a}", f"g{b}") for b in range(5, 10) for a in range(5))
    frames = (Cluster("c0", 'a<b>"\\N'), Cluster("c1", "权重" * 200))
    drawing = draw(bundled(Picture((*folded,), edges, frames)))
    told = titles(drawing.svg)["e5_0"]
    assert told.startswith('each of 5 boxes in a<b>"\\N to each of 5 in 权重')
    assert told.endswith("…: 25 connections")
    assert parsed(render(drawing.dot)).tag == f"{SVG}svg"


def test_a_wide_net_is_laid_out_though_its_edges_would_be_refused():
    drawn = picture(net(2, 110, 110, 1), "neuron")
    assert len(drawn.boxes) == 1 + 2 * 110 + 1 + 2
    assert drawn.reach() < 1_000
    # x to each, each to the middle of the next and the middle to each, each to the last, −1, ^2
    assert picture(net(2, 5, 5, 1), "neuron").reach() == 5 + 9 + 5 + 2
