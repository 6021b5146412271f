"""draw() and Drawing: golden texts, what the SVG holds, files, notebooks, and what is refused."""

import copy
import errno
import io
import pickle
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from viz_support import SVG, by_id, crossed, parsed, small, titles, tutorial_1, tutorial_4

import microbp
from microbp import MLP, Graph, Value, trace
from microbp.cli import main
from viz import Animation, Drawing, NoEngine, draw, draw_step
from viz.colours import DARK
from viz.picture import Cluster

GOLDEN = Path(__file__).parent / "golden"
ENGINES = pytest.mark.parametrize("engine", ["dot", "pygraphviz"])

GOLDENS = {
    "t1": lambda: draw(tutorial_1(), names={}),
    "t1-left-to-right": lambda: draw(tutorial_1(), names={}, rankdir="LR", digits=6),
    "t4": lambda: draw(tutorial_4(), names={}),
    "t4-sigma": lambda: draw(tutorial_4(), names={}, fold="sigma", edges="contribution"),
    "t4-neuron-dark": lambda: draw(tutorial_4(), names={}, fold="neuron", dark=True),
}


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@pytest.fixture
def square():
    x = Value(3.0, name="x")
    y = x * x
    y.name = "y"
    y.backward()
    return y


# ------------------------------------------------------------------------------------------- golden
@pytest.mark.parametrize("name", GOLDENS)
def test_the_text_of_the_tutorials_nets(name):
    """To write them anew: python tests/test_viz_drawing.py"""
    assert GOLDENS[name]().dot == (GOLDEN / f"{name}.dot").read_text(encoding="utf-8")


def test_the_golden_text_has_the_tutorials_numbers():
    """∂E/∂w5 = 0.0821670 and ∂E/∂w1 = 0.000438568 in T4; the first cost of T1 is 0.018103904."""
    text = (GOLDEN / "t4.dot").read_text(encoding="utf-8")
    assert re.search(r"<B>w5</B>.*\+0\.08217&#160;<", text)
    assert re.search(r"<B>w1</B>.*\+4\.386e−4&#160;<", text)
    assert re.search(r"<B>E</B>.*>0\.2984<", text)
    assert "0.01810390383656677" in (GOLDEN / "t1.dot").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------- SVG
@ENGINES
def test_every_value_and_every_edge_is_in_the_svg(engine):
    loss = tutorial_4()
    found = by_id(draw(loss, names={}, fold="none", engine=engine).svg)
    graph = Graph(loss, {})
    assert len(graph) == 41
    assert {f"n{node.position}" for node in graph} <= found.keys()
    edges = {
        f"e{node.position}_{at}"
        for node in graph
        for at, each in enumerate(node.operands)
        if type(each) is int
    }
    assert edges <= found.keys()
    assert len(edges) == 46


@ENGINES
def test_a_square_has_two_edges(engine, square):
    found = by_id(draw(square, engine=engine).svg)
    assert {"e1_0", "e1_1"} <= found.keys()
    for each in "e1_0", "e1_1":
        assert found[each].find(f"{SVG}path") is not None
        assert "×3" in {text.text for text in found[each].iter(f"{SVG}text")}


@ENGINES
def test_tooltips_tell_full_precision(engine):
    x = Value(1 / 3, name="x")
    y = x.exp()
    y.backward()
    told = titles(draw(y, engine=engine).svg)
    assert "0.3333333333333333" in told["n0"]
    assert repr(y.data) in told["n0"]
    assert repr(y.data) in told["e1_0"]
    assert "%" not in "".join(told)
    assert "{http://www.w3.org/1999/xlink}" not in draw(y, engine=engine).svg


@ENGINES
def test_the_svg_tells_its_engine_and_shrinks_with_its_page(engine, square):
    drawing = draw(square, engine=engine)
    svg = parsed(drawing.svg)
    assert svg.tag == f"{SVG}svg"
    assert svg.get("style") == "max-width:100%;height:auto"
    assert svg.get("viewBox")
    assert svg.get("aria-label") == "y"
    assert drawing.engine.startswith(f"{engine} ")
    assert svg.findtext(f"{SVG}desc") == f"microbp {microbp.__version__}, laid out by {drawing.engine}"


def test_dark_has_a_dark_background(square):
    assert DARK.background in draw(square, dark=True).svg


# -------------------------------------------------------------------------------------------- files
@ENGINES
def test_save_writes_by_the_suffix(engine, square, tmp_path):
    drawing = draw(square, engine=engine)
    begins = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF", ".dot": b"digraph", ".SVG": b"<svg"}
    for suffix, magic in begins.items():
        path = drawing.save(tmp_path / f"graph{suffix}")
        assert path == tmp_path / f"graph{suffix}"
        assert path.read_bytes().startswith(magic)
    assert (tmp_path / "graph.dot").read_text(encoding="utf-8") == drawing.dot
    assert drawing.save(str(tmp_path / "text.svg")).read_text(encoding="utf-8") == drawing.svg


@pytest.mark.parametrize("name", ["graph", "graph.gif", "graph.svg.txt", ".svg"])
def test_another_suffix_is_refused(name, square, tmp_path):
    message = f"cannot save a drawing as {name!r}: the suffix is one of .svg, .png, .pdf, .dot"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        draw(square).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named(square, tmp_path):
    path = tmp_path / "none" / "x.svg"
    with pytest.raises(FileNotFoundError) as caught:
        draw(square).save(path)
    error = caught.value
    told = errno.ENOENT, f"there is no folder {str(path.parent)!r}", str(path)
    assert (error.errno, error.strerror, error.filename) == told


def test_the_command_line_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("from microbp import Value\nx = Value(3.0)\n(x * x).backward()\n")
    assert main(["draw", "net.py", "-o", "gone/x.svg"]) == 2
    assert "cannot write gone/x.svg: there is no folder gone; name another file" in capsys.readouterr().err


def test_a_png_of_a_dark_picture_is_dark(square, tmp_path):
    from PIL import Image

    with Image.open(draw(square, dark=True).save(tmp_path / "dark.png")) as image:
        assert image.convert("RGB").getpixel((0, 0)) == tuple(bytes.fromhex(DARK.background[1:]))


# ---------------------------------------------------------------------------------------- notebooks
def test_a_notebook_gets_one_picture_and_a_line_of_text(square):
    drawing = draw(square)
    bundle = drawing._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    assert bundle["image/svg+xml"] == drawing.svg
    assert bundle["text/plain"] == repr(drawing)
    assert re.fullmatch(r"Drawing: 2 values in 2 boxes, 2 edges, engine dot \d+\.\d+\.\d+", repr(drawing))
    assert not [name for name in dir(drawing) if name.startswith("_repr_") and name != "_repr_mimebundle_"]


def test_a_notebook_gets_a_png_if_that_is_asked_for(square):
    bundle = draw(square, format="png")._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}
    assert bundle["image/png"].startswith(b"\x89PNG")


def test_a_notebook_chooses_among_them(square):
    from IPython.core.formatters import DisplayFormatter

    def shown(**options):
        return set(DisplayFormatter().format(draw(square), **options)[0])

    assert shown(include={"text/plain"}) == {"text/plain"}
    assert shown(exclude=["text/plain"]) == {"image/svg+xml"}
    assert shown(include=["text/html"]) == set()


@pytest.mark.usefixtures("no_engine")
def test_without_engine_a_notebook_gets_the_reason_and_nothing_raises(square):
    drawing = draw(square)
    bundle = drawing._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    assert bundle["text/plain"].startswith("Drawing without a picture: no layout engine: there is no program")
    assert "pip install microbp[viz]" in bundle["text/plain"]
    assert repr(drawing).startswith("Drawing: 2 values in 2 boxes, 2 edges, engine none (no layout engine")


def test_trouble_of_any_sort_is_told_and_not_raised(square, monkeypatch):
    def broken(*_):
        raise MemoryError("no more")

    monkeypatch.setattr("viz.drawing.render", broken)
    shown = draw(square, fold="none")._repr_mimebundle_()
    assert shown == {"text/plain": "Drawing without a picture: no more"}


def test_inline_is_html_with_the_svg_inside(square):
    html = draw(square).inline()
    assert html.startswith('<div class="microbp-drawing"><svg ')
    assert parsed(html)[0].tag == f"{SVG}svg"


# ------------------------------------------------------------------------------------ without engine
@pytest.mark.usefixtures("no_engine")
def test_without_engine_the_text_is_there_and_the_picture_says_why_not(square, tmp_path):
    drawing = draw(square)
    assert drawing.save(tmp_path / "y.dot").read_text(encoding="utf-8") == drawing.dot
    for attempt in ("svg", "png", "pdf", "engine"):
        with pytest.raises(NoEngine, match=r"`apt-get install graphviz` .* `pip install microbp\[viz\]`"):
            getattr(drawing, attempt)
    with pytest.raises(NoEngine):
        drawing.save(tmp_path / "y.svg")
    assert not (tmp_path / "y.svg").exists()


# ----------------------------------------------------------------------------------- what is drawn
def test_variables_of_the_caller_give_names():
    mine, other = Value(2.0), Value(3.0)
    result = mine * other
    names = [box.name for box in draw(result).picture.boxes]
    assert names == ["mine", "other", "result"]
    assert [box.name for box in draw(result, names={"k": mine}).picture.boxes] == ["k", "v1", "v2"]


def test_code_that_is_executed_has_variables_of_its_own():
    space = {"mine": Value(2.0)}
    exec("other = mine * 3.0\ndrawing = draw(other)", {"draw": draw}, space)
    assert [box.name for box in space["drawing"].picture.boxes] == ["mine", "other"]


def test_a_graph_and_a_picture_are_drawn_as_they_are(square):
    assert draw(Graph(square)).dot == draw(square, names={}).dot
    assert draw(small()).picture == small()


def net_of(*widths):
    net = MLP(3, [*widths], activation="tanh", seed=1)
    loss = microbp.sum([(net([a, -1.0, 0.5]) - 1.0) ** 2 for a in (2.0, 3.0, 0.5)])
    loss.backward()
    return Graph(loss, names={"net": net, "loss": loss})


@ENGINES
@pytest.mark.parametrize("widths", [(4, 4, 1), (8, 1), (1,)])
def test_no_edge_runs_through_the_title_of_a_layer(widths, engine):
    assert crossed(draw(net_of(*widths), fold="neuron", engine=engine).svg, "cluster") == []


@pytest.mark.parametrize("graph", [tutorial_1, tutorial_4])
def test_no_edge_runs_through_the_label_of_another(graph):
    assert crossed(draw(graph(), names={}, engine="dot").svg, "edge") == []


def test_an_edge_through_a_title_would_be_seen():
    picture = draw(net_of(4, 4, 1), fold="neuron").picture
    (last,) = (box for box in picture.boxes if box.name == "layers.2.neurons.0")
    around = Cluster("c9", "layers.2", last.group[-1])
    boxes = [each._replace(group=(*each.group, "c9")) if each is last else each for each in picture.boxes]
    framed = picture._replace(boxes=tuple(boxes), clusters=(*picture.clusters, around))
    assert crossed(draw(framed).svg, "cluster") == ["layers.2"]


def test_the_title_can_be_given(square):
    assert draw(square, title="a < b").picture.title == "a < b"
    assert "a &lt; b" in draw(square, title="a < b").dot


def test_gradients_that_were_not_computed_are_dashes():
    x = Value(2.0, name="x")
    text = draw(x.exp()).dot
    assert "no gradient has been computed" in text
    assert "BGCOLOR" not in text


def test_a_drawing_shows_the_gradients_of_when_it_was_drawn(square):
    drawing = draw(square)
    square.backward()
    assert "+6&#160;<" in drawing.dot
    assert "+12&#160;<" in draw(square).dot


def test_options_reach_the_picture(square):
    y = square + 1.0
    y.name = "z"
    assert [box.name for box in draw(y, around="x", hops=0).picture.boxes] == ["x"]
    assert draw(square, parameters=["x"]).picture.boxes[0].kind.value == "parameter"
    assert draw(square, parameters=[]).picture.boxes[0].kind.value == "input"


def test_a_drawing_is_picklable(square):
    drawing = draw(square)
    assert pickle.loads(pickle.dumps(drawing)).dot == copy.copy(drawing).dot == drawing.dot


# -------------------------------------------------------------------------------------- what is not
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rankdir": "BT"}, "rankdir='BT': it is one of 'TB', 'LR'"),
        ({"edges": "both"}, "edges='both': it is one of 'local', 'contribution', 'none'"),
        ({"engine": "neato"}, "engine='neato': it is one of 'auto', 'dot', 'pygraphviz'"),
        ({"format": "pdf"}, "format='pdf': it is one of 'svg', 'png'"),
        ({"digits": 0}, "digits is a whole number from 1 to 17, not 0"),
    ],
)
def test_wrong_options_are_refused(options, message, square):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        draw(square, **options)


def test_only_values_and_graphs_are_drawn():
    with pytest.raises(
        TypeError, match=r"^draw\(\) takes a Value or a Graph, not ndarray; of an array draw one elem"
    ):
        draw(microbp.array([1.0, 2.0]).__array__())
    net = MLP(2, [1], seed=1)
    for given, hint in {
        2.0: "not float: a plain number does not know what it was computed from",
        net: "not MLP; of a module draw what it returns",
        trace(Value(2.0) * 3.0): "not Trace; of a trace draw its graph, trace.graph",
        None: "not NoneType",
        "loss": "not str",
    }.items():
        with pytest.raises(TypeError) as caught:
            draw(given)
        assert str(caught.value) == f"draw() takes a Value or a Graph, {hint}"


@pytest.mark.parametrize("given", ["loss", None, Value(2.0)])
def test_what_is_made_by_hand_is_made_of_a_picture_or_of_the_film_of_a_pass(given):
    kind = type(given).__name__
    told = rf"^Drawing\(\) takes a Picture, as draw\(loss\)\.picture is one, not {kind}$"
    with pytest.raises(TypeError, match=told):
        Drawing(given)
    with pytest.raises(TypeError, match=rf"^Animation\(\) takes the film of a pass, .* not {kind}$"):
        Animation(given)


@pytest.mark.parametrize("option", ["digits", "max_nodes"])
@pytest.mark.parametrize("given", ["4", 7.5, True, None])
def test_whole_numbers_are_asked_for_as_such(option, given, square):
    with pytest.raises(TypeError, match=f"^{option} is a whole number from .*not {re.escape(repr(given))}$"):
        draw(square, **{option: given})


def test_the_whole_numbers_of_numpy_are_whole_numbers(square):
    assert draw(square, digits=np.int64(3), max_nodes=np.int32(9)).dot == draw(square, digits=3).dot
    around = draw(square, around=square, hops=np.int8(1)).picture
    assert around == draw(square, around=square, hops=1).picture
    assert draw_step(square, np.int64(1)).dot == draw_step(square, 1).dot


def test_the_numbers_are_those_of_the_computation_also_after_the_update():
    """DESIGN 18: the box of w said 5, and w·x = 6 stood below it."""
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    loss = (w * x).tanh()
    loss.backward()
    before = draw(loss).picture
    w.data = 5.0
    after = draw(loss).picture
    assert [box.data for box in after.boxes] == [box.data for box in before.boxes]
    assert (before.note, after.note) == ("", "as computed, leaves with other data now: 1")


@pytest.mark.parametrize("option", ["dark", "legend", "answers"])
def test_what_is_on_or_off_is_no_text(option, square):
    with pytest.raises(TypeError, match=f"^{option} is True or False, not 'no'$"):
        draw(square, **{option: "no"})


def test_a_picture_that_no_one_can_read_is_refused():
    x = y = Value(1.0, name="x")
    for _ in range(5_000):
        y = y + x
    with pytest.raises(ValueError, match=r"(?s)5,001 boxes.*fold='auto'.*fold='neuron'.*around="):
        draw(y, fold="none")


def test_twenty_thousand_values_are_drawn():
    net = microbp.MLP(3, [4, 4, 1], seed=1)
    samples = [[Value((7 * at + k) % 11 / 5 - 1) for k in range(3)] for at in range(900)]
    loss = microbp.sum([(net(sample) - 1.0) ** 2 for sample in samples])
    loss.backward()
    assert len(Graph(loss)) > 19_000
    drawing = draw(loss)
    assert len(drawing.picture.boxes) <= 120
    assert "× 900" in drawing.svg


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, make in GOLDENS.items():
        make().save(GOLDEN / f"{name}.dot")


def test_the_pictures_of_the_documents_are_saved_as_drawn(tmp_path):
    """Their script went on as if a palette were made of images."""
    drawing, path = draw(tutorial_1()), tmp_path / "a.png"
    runpy.run_path(str(Path(__file__).parents[1] / "docs" / "pictures.py"))["save"](drawing, path)
    with Image.open(path) as few, Image.open(io.BytesIO(drawing.png)) as full:
        own, shown = (np.asarray(each.convert("RGB"), np.int16) for each in (full, few))
    assert few.mode == "P"
    assert np.abs(shown - own).mean() < 0.2  # shades at the rims of letters
