"""What stands out in a picture: numbers that are none, findings, the range of colours, blanks."""

from __future__ import annotations

import re

import pytest
from viz_support import contrast, tutorial_4

import microbp
from microbp import MLP, Graph, Value, diagnose, trace
from viz import animate, draw, draw_step
from viz.colours import DARK, LIGHT, Scale
from viz.text import MINUS


def box(drawing, name):
    (found,) = (each for each in drawing.picture.boxes if each.name == name)
    return found


# --------------------------------------------------------------------------------- what is not finite
@pytest.fixture
def broken():
    """inf − inf is the first nan of the data; 0 × inf is the first of the gradients."""
    x, w = Value(0.0, "x"), Value(2.0, "w")
    y = x * w
    y.name = "y"
    loss = y.sqrt() * Value(0.0, "t") + Value(float("inf"), "s") * w - Value(float("inf"), "u")
    loss.name = "loss"
    loss.backward()
    return draw(loss)


def test_the_first_number_that_is_none_is_marked(broken):
    assert {each.name: each.notes for each in broken.picture.boxes if each.notes} == {
        "s": ("first inf here",), "u": ("first inf here",), "loss": ("first nan here",),
    }  # fmt: skip
    assert broken.svg.count("! first inf here") == 2
    assert ">! nan<" in broken.svg


def test_the_edge_that_makes_a_nan_says_how(broken):
    alarms = {each.id: each.alarm for each in broken.picture.edges if each.alarm}
    assert sorted(alarms.values()) == ["0 × inf = nan", "1 × inf = inf"]
    names = {each.id: each.name for each in broken.picture.boxes}
    (nan,) = (each for each in broken.picture.edges if each.alarm.endswith("nan"))
    assert names[nan.source] == "y"
    assert broken.svg.count(LIGHT.alarm) >= 2
    # what merely passes a nan on is not marked
    assert not any(each.alarm for each in broken.picture.edges if each.target == nan.source)


def test_a_contribution_that_is_nan_has_the_colour_of_no_sign():
    """It had that of a negative one."""
    x = Value(2.0, "x")
    loss = (x * 3.0).exp() * float("nan")
    loss.backward()
    told = draw(loss, edges="contribution", names={}).dot
    assert "label=nan" in told
    assert LIGHT.edge_minus not in told


def test_a_step_tells_the_edge_that_makes_a_nan_when_it_carries_it():
    """It stood there as thick as what passes a gradient on, from the seed on."""
    x, w = Value(float("inf"), "x"), Value(2.0, "w")
    loss = (w - w) * x + x
    loss.backward()
    pass_ = trace(loss, {})
    told = [draw_step(pass_, step).svg for step in range(len(pass_) + 1)]
    infinite = (s.index for s in pass_.steps if any(c.amount == float("inf") for c in s.contributions))
    made = min(infinite)
    assert ["1 × inf = inf" in each for each in told] == [step >= made for step in range(len(told))]
    frames = animate(pass_)
    assert all(len(set(re.findall(r'viewBox="([^"]+)"', each))) == 1 for each in [*told, frames.svg])


def test_a_literal_in_a_sign_keeps_its_exponent():
    """``×1.23457e…`` was a million times too small to the reader."""
    w = Value(0.5, "w")
    for loss, sign in ((w * 1234567.0, "×1.23e+06"), (w + -3.123456e-300, "+-3.12e-300"), (w / 0.7, "÷0.7")):
        shown = "".join(re.findall(r">([^<>]+)</text>", draw(loss).svg)).replace(MINUS, "-")
        assert sign in shown


def test_where_all_is_finite_nothing_is_marked():
    drawing = draw(tutorial_4())
    assert not any(each.notes for each in drawing.picture.boxes)
    assert not any(each.alarm for each in drawing.picture.edges)
    assert LIGHT.alarm not in drawing.dot


def test_what_stands_out_can_be_read():
    assert contrast(LIGHT.alarm, LIGHT.background) > 4.5
    assert contrast(DARK.alarm, DARK.background) > 4.5


def test_findings_stand_in_the_box_that_they_are_about():
    net = MLP(2, [3, 1], seed=1)
    net.layers[0].neurons[1].b.data = -9.0
    loss = sum((net([0.1 * s, 1.0]) - 1.0) ** 2 for s in range(4))
    loss.backward()
    graph = Graph(loss, names={"net": net})
    found = microbp.diagnose(graph)
    drawing = draw(graph, findings=found)
    dead = [each for each in drawing.picture.boxes if each.notes]
    told = {name for each in found.findings for name in each.parameters}
    dead_too = [f"neurons.{at}" for at in range(3) if f"layers.0.neurons.{at}.b" in told]
    assert "neurons.1" in dead_too
    assert [(each.name, each.notes) for each in dead] == [(name, ("dead relu",)) for name in dead_too]
    assert "! dead relu" in drawing.svg
    assert draw(graph, findings=found.findings).picture == drawing.picture
    assert not any(each.notes for each in draw(graph).picture.boxes)


# ----------------------------------------------------------------------------------------- the scale
def test_the_scale_reaches_down_to_the_smallest_gradient_and_says_so():
    w = v = Value(1.0, "w")
    for power in range(6):
        v = v * Value(10.0**-power, f"a{power}")
    v.backward()
    drawing = draw(v, fold="none")
    sizes = [abs(each.grad) for each in drawing.picture.boxes if each.grad]
    scale = Scale.over(sizes)
    assert min(sizes) == pytest.approx(1e-15)
    assert scale.decades == 16
    shades = {scale.colour(size) for size in (1.0, 1e-5, 1e-10, 1e-15)}
    assert len(shades) == 4
    assert "each fainter shade is 10^4 times smaller, the faintest 1e−16 or less" in drawing.svg
    assert "each fainter shade is ten times smaller" in draw(tutorial_4()).svg
    assert w.name == "w"


# ---------------------------------------------------------------------------------------- exercises
def test_a_sheet_leaves_blanks_and_its_key_has_what_belongs_there():
    E = tutorial_4()
    sheet, key = draw(E, hide=["w1", "h1"]), draw(E, hide=["w1", "h1"], answers=True)
    for name in ("w1", "h1"):
        gradient = next(node.grad for node in Graph(E) if node.name == name)
        assert (box(sheet, name).blank, box(sheet, name).grad) == ("blank", None)
        assert (box(key, name).blank, box(key, name).grad) == ("answer", gradient)
        assert repr(gradient) not in sheet.svg
        assert repr(gradient) in key.svg
    assert "find ∇w1, ∇h1" in sheet.picture.note
    assert "key: ∇w1 = +4.386e−4, ∇h1 = +0.03635" in key.picture.note
    assert box(sheet, "w2").grad == box(key, "w2").grad is not None
    assert [each.id for each in sheet.picture.boxes] == [each.id for each in key.picture.boxes]
    assert "not computed" not in sheet.svg  # a blank is no dash
    assert "not computed" in draw(tutorial_4().detach() + Value(1.0), names={}).svg


def test_a_sheet_needs_no_backward_and_is_not_given_away_by_the_edges():
    w, x = Value(0.5, "w"), Value(3.0, "x")
    loss = (w * x).tanh()
    assert w.grad is None
    sheet = draw(loss, hide="w", edges="contribution", names={})
    assert w.grad is None
    assert [edge.contribution for edge in sheet.picture.edges if edge.source == "n0"] == [None]
    assert box(sheet, "x").grad == pytest.approx(0.5 * (1.0 - loss.data**2))
    given = box(sheet, "x").grad
    assert [box(sheet, name).tooltip for name in "xw"] == [f"x = 3.0\n∇ {given!r}", "w"]
    assert [edge.contribution for edge in sheet.picture.edges if edge.source == "n1"] == [given]


def test_no_alarm_and_no_finding_gives_a_sheet_away():
    z = Value(0.0, "z")
    loss = z.sqrt() * z
    loss.backward()
    options = {"hide": ["z", "v1"], "findings": diagnose(loss), "names": {}}
    sheet, key = (draw(loss, answers=answers, **options) for answers in (False, True))
    assert [edge.alarm for edge in key.picture.edges] == ["0 × inf = nan", "", ""]
    assert not any(edge.alarm for edge in sheet.picture.edges)
    assert [box(each, "sqrt(z)").notes for each in (sheet, key)] == [(), ("0 · infinity",)]


def test_a_gradient_that_is_left_out_cannot_be_asked_for():
    w, x = Value(0.5, "w"), Value(3.0, "x")
    loss = (w * x).tanh()
    with pytest.raises(ValueError, match=r"^hide: w is among the values that are left out$"):
        draw(loss, hide=["x", "w"], between=(x, loss), names={})


def test_what_is_folded_on_a_sheet_has_the_gradients_of_the_pass_too():
    net = MLP(3, [4, 4, 1], activation="tanh", seed=1)
    loss = (net([1.0, 2.0, 3.0]) - 1.0) ** 2
    sheet = draw(loss, fold="layer", hide=[net.layers[2].neurons[0].b])
    assert box(sheet, "layers.0").largest is not None
    loss.backward()
    for name in "layers.0", "layers.1":
        assert box(sheet, name) == box(draw(loss, fold="layer"), name)


def test_what_is_blank_has_a_box_of_its_own_in_a_folded_picture():
    net = MLP(3, [4, 4, 1], activation="tanh", seed=1)
    loss = (net([1.0, 2.0, 3.0]) - 1.0) ** 2
    drawing = draw(loss, fold="layer", hide=["layers.1.neurons.2.w.0"], names={"net": net})
    (blank,) = (each for each in drawing.picture.boxes if each.blank)
    assert re.fullmatch(r".*layers\.1\.neurons\.2\.w\.0", blank.name)


@pytest.mark.parametrize(
    ("hide", "text"),
    [(["w9"], "no value named 'w9'"), (["c"], "hide: c takes no gradient, so that there is none to find")],
)
def test_a_gradient_that_is_not_there_cannot_be_asked_for(hide, text):
    loss = Value(2.0, "w") * Value(3.0, "c").detach()
    loss.name = "loss"
    graph = Graph(loss, names={})
    with pytest.raises(ValueError, match=text):
        draw(graph, hide=[graph.names[1]] if hide == ["c"] and "c" not in graph.names else hide)


def test_findings_of_another_graph_are_refused():
    x = Value(-1.0, name="x")
    loss = (x * 2.0).relu() + 1.0
    loss.backward()
    found = microbp.diagnose(loss, names={}, show=False)
    with pytest.raises(ValueError, match=r"^findings are those of another graph: v2 is its value"):
        draw(x * 3.0, findings=found)
