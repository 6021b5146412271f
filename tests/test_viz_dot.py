"""Pictures as DOT text: what stands in boxes, on edges and above them; any name; the same in every run."""

import math
import os
import re
import subprocess
import sys
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from viz_support import HOSTILE, SVG, by_id, contrast, parsed, positions, small, titles

import microbp
from viz.colours import DARK, LIGHT
from viz.dot import digraph, source
from viz.drawing import Drawing, draw
from viz.engines import render
from viz.options import Style
from viz.picture import Box, Cluster, Edge, Kind, Picture, Row
from viz.text import shortened

ROOT = Path(__file__).parents[1]


def alone(**fields):
    """A picture of one box, which is a computed value unless the fields say otherwise."""
    return Picture(
        (Box(**{"id": "n0", "kind": Kind.OPERATION, "name": "v", "symbol": "+", "data": 2.0, **fields}),), ()
    )


def line(text, start):
    """The one line of a DOT text that begins so."""
    (found,) = [each.strip() for each in text.splitlines() if each.strip().startswith(f"{start} [")]
    return found


def words(text):
    """What of a label is shown, without tags."""
    return " ".join(unescape(re.sub(r"<[^<>]*>", " ", text)).split())


def attribute(text, name):
    """The value of a plain attribute."""
    return re.search(rf'\b{name}=("[^"]*"|\S+?)[\s\]]', text).group(1).strip('"')


# -------------------------------------------------------------------------------------------- boxes
def test_a_value_shows_name_operation_data_and_gradient():
    shown = line(source(alone(name="net", symbol="σ", data=0.59327, grad=-0.0226025)), "n0")
    assert "σ net 0.5933 ∇ −0.0226" in words(shown)


def test_a_gradient_has_its_own_band_of_colour():
    shown = line(source(alone(grad=-2.0)), "n0")
    bands = re.findall(r'<TABLE [^>]*STYLE="ROUNDED" BGCOLOR="(#......)">(.*?)</TABLE>', shown)
    assert [(colour, words(inside)) for colour, inside in bands] == [("#c27938", "∇ −2")]


def test_every_coloured_table_in_a_box_is_rounded():
    text = source(small())
    for box in small().boxes:
        for tag in re.findall(r"<TABLE[^>]*BGCOLOR[^>]*>", line(text, box.id)):
            assert 'STYLE="ROUNDED"' in tag


@pytest.mark.parametrize(
    ("grad", "shown"),
    [
        (None, "∇ —"),
        (0.0, "∇ 0"),
        (1.5, "∇ +1.5"),
        (math.nan, "∇ nan"),
        (math.inf, "∇ +inf"),
        (-math.inf, "∇ −inf"),
    ],
)
def test_gradients_of_every_sort(grad, shown):
    assert words(line(source(alone(grad=grad)), "n0")).split("2 ", 1)[1].startswith(shown)


def test_a_gradient_that_was_not_computed_has_no_colour():
    assert "BGCOLOR" not in line(source(alone(grad=None)), "n0")


def test_kinds_differ_by_outline():
    text = source(small())
    looks = {}
    for kind, box in [
        ("parameter", "n0"),
        ("input", "n1"),
        ("constant", "n2"),
        ("operation", "n3"),
        ("folded", "g7"),
    ]:
        shown = line(text, box)
        looks[kind] = tuple(
            re.findall(r"\b(?:color|fillcolor|penwidth|style)=\S+?(?=[\s\]])", shown.split(">>")[1])
        )
    assert looks["parameter"] == ('color="#8a6d00"', 'fillcolor="#fff7d6"', "penwidth=2")
    assert looks["input"] == ('fillcolor="#ebebeb"',)
    assert looks["constant"] == ('style="rounded,filled,dashed"',)
    assert looks["operation"] == ()
    assert len(set(looks.values())) == 5
    assert attribute(line(text, "n8"), "penwidth") == "3"  # the root


def test_a_name_that_was_made_up_is_faint():
    text = source(small())
    assert f'<FONT COLOR="{LIGHT.faint}">v3</FONT>' in line(text, "n3")
    assert "<B>w</B>" in line(text, "n0")


def test_a_sum_shows_every_term_and_edges_end_at_it():
    for style, compass in (Style(), "n"), (Style(rankdir="LR"), "w"):
        text = source(small(), style)
        shown = words(line(text, "n8"))
        for part in "w·x 1.5", "layer 2.5", "Σ net 4", "∇ +1":
            assert part in shown
        assert f"n3 -> n8:t0:{compass}" in text
        assert f"g7 -> n8:t1:{compass}" in text


def test_a_long_sum_from_top_to_bottom_is_a_list():
    rows = tuple(Row(f"w{at}·x{at}", float(at), f"t{at}") for at in range(20))
    boxes = (Box("n0", Kind.INPUT, "x"), Box("n9", Kind.SUM, "net", symbol="Σ", data=1.0, rows=rows))
    text = source(Picture(boxes, (Edge("e9_0", "n0", "n9", "t3", 1.0),)))
    assert "n0 -> n9 [" in text
    assert "<HR/>" in line(text, "n9")
    assert "w19·x19 19" in words(line(text, "n9"))
    assert "n0 -> n9:t3:w [" in source(
        Picture(boxes, (Edge("e9_0", "n0", "n9", "t3", 1.0),)), Style(rankdir="LR")
    )


def test_a_row_of_many_terms_tells_how_many():
    for count in 3, 30:
        rows = tuple(Row(f"layers.0.neurons.{at}.w·x", 1.0, f"t{at}", 4800) for at in range(count))
        box = Box("n9", Kind.SUM, "net", symbol="Σ", data=1.0, rows=rows)
        shown = words(line(source(Picture((box,), ())), "n9"))
        assert shown.count("layers.0.neur… … (4,800 terms) 1") == count


def test_a_folded_box_shows_counts_and_a_square_for_each_parameter():
    shown = line(source(small()), "g7")
    assert "layer × 12 985 values, 4 θ max |∇θ| 0.5" in words(shown)
    squares = re.findall(r'<TD FIXEDSIZE="TRUE"[^>]*?(?:BGCOLOR="(#......)")?>', shown)
    assert squares[1:3] == ["", "#ffffff"]
    assert len(squares) == 4
    forty = line(
        source(alone(id="g0", kind=Kind.FOLDED, strip=(0.1,) * 40, parameters=9_999, values=12_345)), "g0"
    )
    assert forty.count("<TD FIXEDSIZE") == 40
    assert "12,345 values, 9,999 θ" in words(forty)


def test_a_folded_box_without_parameters_says_so():
    shown = words(line(source(alone(id="g0", kind=Kind.FOLDED, values=1, largest=0.25)), "g0"))
    assert "1 value max |∇| 0.25" in shown


def test_folded_leaves_look_like_leaves():
    def look(**fields):
        return line(source(alone(id="g0", kind=Kind.FOLDED, name="x", strip=(None,) * 3, **fields)), "g0")

    assert f'fillcolor="{LIGHT.input_fill}"' in look(leaves=Kind.INPUT)
    assert "x input" in words(source(alone(id="g0", kind=Kind.FOLDED, leaves=Kind.INPUT)).split("node [")[0])
    assert 'style="rounded,filled,dashed"' in look(leaves=Kind.CONSTANT)
    assert "fillcolor" not in look()
    assert "max |∇|" in look()
    assert "∇" not in look(leaves=Kind.CONSTANT)  # nothing to tell of what takes no gradient


@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("wide", [4, 12])
def test_the_neurons_of_a_layer_stand_in_their_order(wide, rankdir, engine):
    net = microbp.MLP(3, [wide, wide, 1], seed=1)
    drawing = draw(net([1.0, 2.0, 3.0]), fold="neuron", rankdir=rankdir, names={})
    places = positions(source(drawing.picture, drawing.style), engine).boxes
    layers = {}
    for box in drawing.picture.boxes:
        if box.name.startswith("neurons."):
            layers.setdefault(box.group, []).append((int(box.name.split(".")[1]), places[box.id]))
    assert [len(each) for each in layers.values()] == [wide, wide]
    for layer in layers.values():
        across = [(place.y, place.x) if rankdir == "LR" else (place.x, place.y) for _, place in sorted(layer)]
        assert [along for along, _ in across] == sorted(along for along, _ in across)
        assert len({depth for _, depth in across}) == 1


def many_weights(count):
    """A sum over so many weights, and one over two."""
    weights = [microbp.Value(0.1, name=f"w{at}") for at in range(count)]
    pair = [microbp.Value(0.2, name=f"b{at}") for at in range(2)]
    return microbp.dot([microbp.dot(weights, [2.0] * count)], [microbp.dot(pair, [1.0, 2.0])])


@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
@pytest.mark.parametrize(("count", "across"), [(7, 4), (10, 4), (30, 6)])
def test_many_leaves_of_one_sum_stand_in_rows(count, across, engine):
    drawing = draw(many_weights(count), fold="none", names={})
    places = positions(drawing.dot, engine).boxes
    where = {box.name: places[box.id] for box in drawing.picture.boxes}
    rows = [
        [where[f"w{at}"] for at in range(count)][start : start + across] for start in range(0, count, across)
    ]
    for row in rows:
        assert len({place.y for place in row}) == 1
        assert [place.x for place in row] == sorted(place.x for place in row)
    assert [row[0].y for row in rows] == sorted({place.y for row in rows for place in row})
    assert where["b0"].y == where["b1"].y
    assert where["b0"].x < where["b1"].x


def test_a_few_leaves_are_left_to_the_engine():
    assert "style=invis" not in draw(many_weights(6), fold="none", names={}).dot
    assert "remincross" not in draw(many_weights(6), fold="none", names={}).dot
    assert "style=invis" not in draw(many_weights(20), fold="none", names={}, rankdir="LR").dot


def test_a_mesh_of_edges_has_room_and_its_labels_do_not_bend_it():
    def text(wide):  # neurons without a layer around them
        read = [microbp.Value(1.0, name="x")]
        for layer in "abc":
            made = []
            for at in range(1 if layer == "c" else wide):
                with microbp.group(f"{layer}{at}"):
                    made.append(microbp.dot([0.1 * at] * len(read), read).tanh())
            read = made
        return draw((read[0] - 1.0) ** 2, fold="neuron", names={}).dot

    assert "xlabel=" in text(9)
    assert "ranksep=0.9" in text(9)
    assert not re.search(r"-> .*\[label=", text(9))
    assert "xlabel" not in text(8)
    assert "ranksep=0.36" in text(8)


def test_frames_stand_in_frames_and_hold_their_boxes():
    shown = source(small())
    frame = shown[shown.index("subgraph cluster_c0") :]
    assert frame.index("label=<net&lt;1&gt;>") < frame.index("subgraph cluster_c1") < frame.index("n3 [")
    assert frame.index("n3 [") < frame.index("g7 [")
    assert parsed(render(shown)).find(".//*[@id='c1']") is not None


def test_a_frame_around_frames_with_leaves_is_left_out():
    w, x = microbp.Value(1.0, "w"), microbp.Value(2.0, "x")
    with microbp.group("net"):
        z = x.exp()
        with microbp.group("layers.0"):
            y = w * z
    text = source(draw(y, fold="none").picture)
    assert re.findall("subgraph cluster_(.*) {", text) == ["c0"]
    assert "label=<net.layers.0>" in text
    assert ["minlen=2" in each for each in edge_lines(text)] == [False, False, True]


def test_a_name_does_not_repeat_the_frames_around_it():
    clusters = (Cluster("c0", "net"), Cluster("c1", "layers.0", "c0"))
    names = {
        "layers.0.w.1": "w.1",
        "net.layers.0.b": "b",
        "layers.1.b": "layers.1.b",
        "layers.0.": "layers.0.",
    }
    boxes = [
        Box(f"n{at}", Kind.PARAMETER, name, data=1.0, group=("c0", "c1")) for at, name in enumerate(names)
    ]
    text = source(Picture(tuple(boxes), (), clusters))
    for box, shown in zip(boxes, names.values(), strict=True):
        assert f"<B>{shown}</B>" in line(text, box.id)
        assert re.search(rf'\btooltip="?{re.escape(box.name)}["\s\]]', line(text, box.id))


def test_frames_many_levels_deep_do_not_recurse():
    deep = sys.getrecursionlimit() + 50
    clusters = tuple(Cluster(f"c{at}", f"level {at}", f"c{at - 1}" if at else "") for at in range(deep))
    box = Box("n0", Kind.OPERATION, "x", group=tuple(each.id for each in clusters))
    assert source(Picture((box,), (), clusters)).count("subgraph cluster_") == deep


# -------------------------------------------------------------------------------------------- edges
def edge_lines(text):
    """The lines of the edges that are seen."""
    return [each.strip() for each in text.splitlines() if " -> " in each and "style=invis" not in each]


def test_parallel_edges_stay_two():
    text = source(small())
    assert not text.startswith("strict")
    assert [attribute(each, "id") for each in edge_lines(text)] == [edge.id for edge in small().edges]
    assert sum(each.startswith("n0 -> n3 ") for each in edge_lines(text)) == 2


@pytest.mark.parametrize(
    ("edges", "labels"),
    [
        ("local", ["×0.5", "×0.5", "36 edges", None, None, None]),
        ("contribution", ["+5e−6", "+5e−6", "36 edges, max −0.75", None, "+1", None]),
        ("none", [None] * 6),
    ],
)
def test_labels_of_edges(edges, labels):
    shown = [
        re.search(r'\blabel=("[^"]*"|\S+)', each) for each in edge_lines(source(small(), Style(edges=edges)))
    ]
    assert [each and each.group(1).rstrip("]").strip('"') for each in shown] == labels


def test_edges_between_many_folded_boxes_are_pale_and_bear_no_label():
    boxes = [Box(f"g{at}", Kind.FOLDED, f"neurons.{at}") for at in range(40)]
    edges = [Edge(f"e{b}_{a}", f"g{a}", f"g{b}", count=36) for a in range(20) for b in range(20, 40)]
    found = edge_lines(source(Picture(tuple(boxes), tuple(edges))))
    assert len(found) == 400
    assert all(f'color="{LIGHT.frame}"' in each and "label=" not in each for each in found)


def test_contributions_colour_their_edges_by_sign():
    colours = [
        re.search(r'\bcolor="(#......)"', each)
        for each in edge_lines(source(small(), Style(edges="contribution")))
    ]
    plus, minus = LIGHT.edge_plus, LIGHT.edge_minus
    assert [each and each.group(1) for each in colours] == [plus, plus, minus, None, plus, minus]


def test_tooltips_of_edges_have_full_precision():
    box, user = Box("n0", Kind.INPUT, "x"), Box("n1", Kind.OPERATION, "y")
    picture = Picture((box, user), (Edge("e1_0", "n0", "n1", "", 1 / 3, -2 / 3),))
    told = titles(Drawing(picture).svg)["e1_0"]
    assert told == "∂y/∂x = 0.3333333333333333\ncontribution to ∇x: −0.6666666666666666"


# -------------------------------------------------------------------------- the heading and the look
def test_the_heading_tells_title_count_and_folding():
    head = words(source(small()).split("node [")[0])
    assert "loss 985 values folded into 1" in head
    assert "loss 990 values" in words(source(small()._replace(note="")).split("node [")[0])


def test_the_legend_shows_scale_and_kinds_that_are_there():
    head = words(source(small()).split("node [")[0])
    for part in "−1", "+1", "θ parameter", "x input", "c constant", "several values", "local derivative":
        assert part in head
    assert "nan" not in head
    assert "parameter" not in words(source(small(), Style(legend=False)).split("node [")[0])
    assert "parameter" not in words(source(alone(grad=1.0)).split("node [")[0])


def test_the_legend_says_when_no_gradient_was_computed_or_one_is_no_number():
    assert "no gradient has been computed; call backward() first" in words(source(alone()))
    assert "nan" in words(source(alone(grad=math.nan, largest=1.0)).split("node [")[0])
    assert "every gradient is 0, or is not a number" in words(source(alone(grad=0.0)))


def test_dark_text_and_bands_can_be_read():
    text = source(small(), Style(dark=True))
    assert f'bgcolor="{DARK.background}"' in text
    band = re.search(r'STYLE="ROUNDED" BGCOLOR="(#......)">.*?COLOR="(#......)"', line(text, "n0"))
    assert contrast(*band.groups()) >= 4.5


def test_top_to_bottom_or_left_to_right():
    assert "rankdir=TB" in source(small())
    assert "rankdir=LR" in source(small(), Style(rankdir="LR"))


@pytest.mark.parametrize(
    ("style", "message"),
    [
        (Style(rankdir="up"), "rankdir='up': it is one of 'TB', 'LR'"),
        (Style(edges="all"), "edges='all': it is one of 'local', 'contribution', 'none'"),
        (Style(digits=0), "digits is a whole number from 1 to 17, not 0"),
    ],
)
def test_wrong_options_are_refused(style, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        source(small(), style)


def test_the_digraph_can_be_changed_by_hand():
    graph = digraph(small())
    graph.node("mine")
    assert "mine" in graph.source


# ----------------------------------------------------------------------------- any name, every run
def hostile():
    boxes = [
        Box(f"n{at}", Kind.PARAMETER, name, data=1.0, tooltip=name, group=(f"c{at}",))
        for at, name in enumerate(HOSTILE)
    ]
    rows = tuple(Row(name, 1.0, f"t{at}") for at, name in enumerate(HOSTILE[:6]))
    boxes.append(Box("n99", Kind.SUM, "\\G", symbol="<\\N>", rows=rows))
    boxes += [Box(f"g{at + 100}", Kind.FOLDED, name) for at, name in enumerate(HOSTILE)]
    clusters = tuple(Cluster(f"c{at}", name) for at, name in enumerate(HOSTILE))
    edges = [Edge(f"e{b.id}_0", a.id, b.id, "", 2.0, 3.0) for a, b in pairwise(boxes)]
    return Picture(tuple(boxes), tuple(edges), clusters, "</TABLE>\\G", '<&"')


@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
@pytest.mark.parametrize("style", [Style(), Style(rankdir="LR", edges="contribution")], ids=["TB", "LR"])
def test_hostile_names_come_through_whole(engine, style):
    svg = Drawing(hostile(), style, engine=engine).svg
    told = titles(svg)
    for at, name in enumerate(HOSTILE):
        if name.isprintable() and name.strip():
            assert told[f"n{at}"] == shortened(name, 2_000)
    shown = {element.text for element in by_id(svg)["n0"].iter(f"{SVG}text")}
    assert "a<b>" in shown
    assert "\\G" in {element.text for element in by_id(svg)["n99"].iter(f"{SVG}text")}
    assert {"n99", "en99_0", f"g{100 + len(HOSTILE) - 1}"} <= told.keys()


def test_long_names_are_cut_and_whole_in_the_tooltip():
    long = "activation_of_the_unit_" * 40
    svg = Drawing(alone(name=long, tooltip=long)).svg
    assert titles(svg)["n0"] == long
    assert f"{long[:12]}…{long[-11:]}" in [each.text for each in parsed(svg).iter(f"{SVG}text")]


def test_the_text_is_the_same_in_every_process():
    program = (
        "from viz.dot import source; from viz_support import small; import sys; "
        "sys.stdout.write(source(small()))"
    )
    texts = set()
    for seed in "0", "1", "12345":
        env = {
            **os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        }  # fmt: skip
        texts.add(
            subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=env).stdout
        )
    assert texts == {source(small()).encode()}
