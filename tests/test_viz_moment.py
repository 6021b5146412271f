"""The picture of one step of a backward pass: its numbers, and that nothing ever leaves its place."""

import re

import pytest
from viz_support import HOSTILE, by_id, positions, titles, tutorial_1, tutorial_4

import microbp
import viz
from microbp import Graph, Value, no_grad, trace
from viz import Drawing, TooManyValues, draw_step
from viz import labels as look
from viz.colours import LIGHT
from viz.focus import View
from viz.labels import heading, scale_of
from viz.options import Style
from viz.step_pictures import film
from viz.text import signed

ENGINES = pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
#: Options of a film that leaves out nothing.
PLAIN = {"names": {}, "view": View(), "title": None, "digits": 4, "caller": "draw_step"}


@pytest.fixture(scope="module")
def pass_():
    return trace(tutorial_4(), {})


@pytest.fixture(scope="module")
def pictures(pass_):
    """All 28 pictures of the 2-2-2 net."""
    return [film(pass_, **PLAIN).picture(step) for step in range(len(pass_) + 1)]


def boxes_of(drawing):
    """The DOT lines of the boxes, by id."""
    return dict(re.findall(r"^\s*(n\d+) (\[.*)$", drawing.dot, re.MULTILINE))


def edges_of(drawing):
    """The DOT lines of the edges, by id."""
    lines = re.findall(r"^\s*n\d+.* -> (.*)$", drawing.dot, re.MULTILINE)
    return {re.search(r"id=(\w+)", line)[1]: line for line in lines}


def shown(text):
    """What a reader sees of an HTML-like label."""
    return re.sub(r"<[^>]*>", " ", text).replace("&#160;", " ")


def band(line):
    """The number on the band of a box."""
    return shown(line[: line.rindex("</TABLE>>")]).split()[-1]


# ---------------------------------------------------------------------------------------- numbers
def test_the_pass_has_27_steps(pass_):
    assert len(pass_) == 27
    with pytest.raises(IndexError, match=r"^there is no step 28: this pass has the steps 0 to 27$"):
        draw_step(pass_, 28)
    with pytest.raises(IndexError, match=r"^there is no step -1: "):
        draw_step(pass_, -1)


@pytest.mark.parametrize("step", range(28))
def test_every_band_shows_the_gradient_that_the_trace_has(step, pass_):
    drawing = draw_step(pass_, step)
    gradients = pass_.gradients(step)
    assert [box.grad for box in drawing.picture.boxes] == gradients
    lines = boxes_of(drawing)
    bands = {at: band(line) for at, line in lines.items()}
    assert bands == {f"n{at}": signed(x) for at, x in enumerate(gradients)}


def test_the_last_picture_has_the_gradients_of_backward():
    loss = tutorial_4()
    drawing = draw_step(loss, 27, names={})
    assert [box.grad for box in drawing.picture.boxes] == [node.grad for node in Graph(loss, {})]
    assert "—" not in "".join(map(shown, boxes_of(drawing).values()))
    assert all(box.progress.final for box in drawing.picture.boxes)


def test_the_seed_is_all_there_is_at_first(pass_):
    drawing = draw_step(pass_, 0)
    lines = boxes_of(drawing)
    assert [at for at, line in lines.items() if band(line) != "—"] == ["n40"]
    assert drawing.picture.title == "step 0 of 27: the pass begins with ∇E = 1"
    assert all(edge.flow.paid > edge.flow.step == 0 for edge in drawing.picture.edges)
    assert all(edge.contribution is None for edge in drawing.picture.edges)


def test_pictures_and_page_are_the_same_after_the_update():
    w, x, b = Value(0.5, name="w"), Value(3.0, name="x"), Value(0.1, name="b")
    loss = ((w * x + b).tanh() - 1.0) ** 2
    loss.backward()

    def looks():
        return draw_step(loss, 3, names={}).dot, viz.page(loss, names={}, whole=0).html

    before = looks()
    for each in (w, b):
        each.data -= 0.5 * each.grad
    assert looks() == before
    assert "w = 0.5" in before[0]


def test_backward_need_not_have_run_and_nothing_is_changed():
    w, x = Value(0.5, name="w"), Value(3.0, name="x")
    loss = w * x
    assert [box.grad for box in draw_step(loss, 1).picture.boxes] == [3.0, 0.5, 1.0]
    assert (w.grad, x.grad, loss.grad) == (None, None, None)


@pytest.mark.parametrize("step", range(1, 28))
def test_the_current_value_and_what_it_passes_on_stand_out(step, pass_):
    drawing, record = draw_step(pass_, step), pass_.steps[step - 1]
    thick = [at for at, line in boxes_of(drawing).items() if "penwidth=4" in line]
    assert thick == [f"n{record.node}"]
    now = {at: line for at, line in edges_of(drawing).items() if "penwidth=2.5" in line}
    assert now.keys() == {f"e{record.node}_{each.place}" for each in record.contributions}
    for each in record.contributions:
        line = now[f"e{record.node}_{each.place}"]
        amount = record.upstream * each.local
        assert f"<B>{signed(amount)}</B>" in line
        assert f'color="{LIGHT.edge_plus if amount > 0 else LIGHT.edge_minus}"' in line
        assert "dir=back" in line
        assert each.local == 1.0 or f"×{signed(each.local).lstrip('+')}" in line


def test_a_shared_value_tells_how_many_contributions_are_in(pass_):
    """h1 is used by w5·h1 and w7·h1: half of its gradient has the other sign."""
    h1 = pass_.graph["h1"].position
    first, second = (step.index for step in pass_.steps for each in step.contributions if each.operand == h1)
    steps = (first - 1, first, second - 1, second)
    told = {step: shown(boxes_of(draw_step(pass_, step))[f"n{h1}"]) for step in steps}
    assert "/" not in told[first - 1]
    assert re.search(r"∇ +1/2 +−0\.01905", told[first])
    assert re.search(r"∇ +1/2 +−0\.01905", told[second - 1])
    assert re.search(r"∇ +\+0\.03635", told[second])
    assert "1/2" not in told[second]


def test_only_a_final_gradient_has_a_full_band(pass_):
    h1 = pass_.graph["h1"].position
    first, second = (step.index for step in pass_.steps for each in step.contributions if each.operand == h1)
    filled = r'<T(\w+) [^>]*STYLE="ROUNDED" BGCOLOR="#\w{6}"'
    assert re.findall(filled, boxes_of(draw_step(pass_, first))[f"n{h1}"]) == ["D"]
    assert re.findall(filled, boxes_of(draw_step(pass_, second))[f"n{h1}"]) == ["ABLE"]


def test_what_is_not_reached_is_as_strong_as_all_else(pass_):
    lines = boxes_of(draw_step(pass_, 3))
    assert "fontcolor" not in "".join(lines.values())
    unreached = {f"n{at}" for at, x in enumerate(pass_.gradients(3)) if x is None}
    assert {at for at, line in lines.items() if "BGCOLOR" not in line} == unreached


def test_the_sum_of_two_contributions_is_written_out(pass_):
    h1 = pass_.graph["h1"].position
    first, second = (
        (step, each) for step in pass_.steps for each in step.contributions if each.operand == h1
    )
    for (step, each), told in ((first, "−0.01905"), (second, "−0.01905 +0.0554 → +0.03635")):
        line = shown(edges_of(draw_step(pass_, step.index))[f"e{step.node}_{each.place}"])
        assert " ".join(line.partition("×")[2].partition("labeltooltip")[0].split()[1:]).startswith(told)


def test_both_edges_of_a_square_carry_a_contribution():
    x = Value(3.0, name="x")
    drawing = draw_step(x * x, 1, names={})
    assert drawing.picture.title == "step 1 of 1: v1 = x·x passes on +1 to x, twice"
    assert [line.count("<B>+3</B>") for line in edges_of(drawing).values()] == [1, 1]
    assert boxes_of(drawing)["n0"].count("+6") == 1


def test_a_constant_has_no_progress_and_its_edge_carries_nothing():
    x = Value(3.0, name="x")
    with no_grad():
        c = x * 2.0
    c.name = "c"
    drawing = draw_step(x * c, 1, names={})
    assert {box.id for box in drawing.picture.boxes if box.progress} == {"n0", "n2"}
    assert {edge.id for edge in drawing.picture.edges if edge.flow} == {"e2_0"}
    assert "fontcolor" not in boxes_of(drawing)["n1"].replace(f'FONT COLOR="{LIGHT.faint}"', "")
    assert "none: it takes no gradient" in titles(drawing.svg)["n1"]


def test_tooltips_tell_the_gradient_so_far(pass_):
    h1 = pass_.graph["h1"].position
    first, second = (step.index for step in pass_.steps for each in step.contributions if each.operand == h1)
    told = [titles(draw_step(pass_, step).svg)[f"n{h1}"] for step in (0, first, second)]
    assert "∇ not reached yet, 0 of 2 contributions" in told[0]
    assert "∇ -0.0190491" in told[1]
    assert "1 of 2 contributions" in told[1]
    assert f"∇ {pass_.gradients()[h1]!r}\n" in told[2]


# ----------------------------------------------------------------------------------------- captions
def test_the_title_tells_what_is_passed_on(pictures):
    titles_ = [picture.title for picture in pictures]
    assert titles_[1] == "step 1 of 27: E passes on +1 to E2 and E1"
    assert titles_[17] == "step 17 of 27: v21 = w5·h1 passes on +0.1385 to h1 and w5"
    assert all(title.startswith(f"step {step} of 27: ") for step, title in enumerate(titles_))


def test_many_receivers_are_counted():
    terms = [Value(float(at), name=f"x{at}") for at in range(1, 8)]
    assert draw_step(microbp.sum(terms), 1, names={}).picture.title.endswith("to x7, x6 and 5 more")


def test_a_title_of_the_users_own_stands_below():
    picture = draw_step(Value(2.0, name="x").exp(), 1, names={}, title="one exp").picture
    assert (picture.title[:11], picture.note) == ("step 1 of 1", "one exp, 2 values")


# ------------------------------------------------------------------------------------------- places
def moved(texts, engine):
    """The boxes, frames and edges' labels that are not in the same place, of the same size, in all texts."""
    layouts = [positions(text, engine) for text in texts]
    places = [
        {**each.boxes, **each.clusters, "": (each.width, each.height)}
        | {name: route.label for name, route in each.edges.items()}
        for each in layouts
    ]
    assert len({frozenset(each) for each in places}) == 1
    return {name for name in places[0] if len({each[name] for each in places}) > 1}


@ENGINES
def test_nothing_leaves_its_place_in_the_whole_pass_and_no_text_is_wider_than_its_room(
    engine, pictures, capfd
):
    """Where a cell is too small both engines tell it on the terminal, of which ``dot`` has its own."""
    assert moved([Drawing(each).dot for each in pictures], engine) == set()
    assert "too small" not in capfd.readouterr().err


@ENGINES
@pytest.mark.parametrize(
    "options", [{"rankdir": "LR"}, {"edges": "contribution", "digits": 8}, {"edges": "none"}]
)
def test_nor_with_other_options(engine, options):
    made = [draw_step(tutorial_1(), step, names={}, **options).dot for step in range(0, 10, 3)]
    assert moved(made, engine) == set()


def test_boxes_that_grow_with_their_numbers_are_found_out(pictures, monkeypatch):
    """A planted error: text in place of the room that is kept for it."""
    monkeypatch.setattr(look, "fixed", lambda text, *_: text or "&#160;")
    assert len(moved([Drawing(each).dot for each in pictures[::9]], "dot")) > 20


def test_a_frame_that_is_larger_is_found_out(pictures, monkeypatch):
    """A planted error: the room is that of the number which is shown in this step."""
    room = look.room
    monkeypatch.setattr(look, "room", lambda texts, *size, **bold: room([[*texts][-1]], *size, **bold) + 9)
    plain = Drawing(pictures[3]).dot
    monkeypatch.undo()
    assert moved([plain, Drawing(pictures[4]).dot], "dot")


def test_the_scale_of_colours_and_the_legend_are_those_of_the_whole_pass(pictures):
    style = Style()
    scales = {scale_of(each, style) for each in pictures}
    assert [each.largest for each in scales] == [1.0]
    [scale] = scales
    assert len({heading(each, scale, style).replace(each.title, "") for each in pictures}) == 1
    assert "not reached yet" in heading(pictures[-1], scale, style)


# -------------------------------------------------------------------------------------- what is drawn
def test_both_engines_draw_every_value_and_every_edge(pass_):
    for engine in "dot", "pygraphviz":
        found = by_id(draw_step(pass_, 17, engine=engine).svg)
        assert {f"n{at}" for at in range(41)} <= found.keys()
        assert {f"e{node.position}_{at}" for node in pass_.graph for at, each in enumerate(node.operands)
                if type(each) is int} <= found.keys()  # fmt: skip


def test_a_part_is_drawn_with_the_steps_of_the_whole(pass_):
    drawing = draw_step(pass_, 20, around="h1", hops=1)
    assert {box.name for box in drawing.picture.boxes} == {"h1", "net_h1", "w5·h1", "w7·h1"}
    assert drawing.picture.title.startswith("step 20 of 27: ")
    assert "within 1 hop" in drawing.picture.note


def test_the_steps_of_a_part_are_those_in_which_something_is_seen(pass_):
    part = film(pass_, **{**PLAIN, "view": View(around="h1", hops=1)})
    ids = {box.id for box in part.picture(0).boxes}
    for step in range(1, 28):
        before, after = part.picture(step - 1), part.picture(step)
        gains = [one.grad for one in before.boxes] != [one.grad for one in after.boxes]
        passes = f"n{pass_.steps[step - 1].node}" in ids
        assert (step in part.steps) == (gains or passes)
    assert part.steps[0] == 0
    assert len(part.steps) < 10


@ENGINES
@pytest.mark.parametrize("names", [HOSTILE[at::6] for at in range(6)])
def test_hostile_names(names, engine):
    loss = microbp.sum([(x * 2.0).tanh() + x for x in (Value(0.5, name=name) for name in names)])
    steps = len(trace(loss, {}))
    drawing = draw_step(loss, 2, names={}, engine=engine)
    assert {f"n{at}" for at in range(steps)} <= by_id(drawing.svg).keys()
    assert moved([draw_step(loss, step, names={}).dot for step in (0, steps)], engine) == set()


@pytest.mark.parametrize("data", [float("nan"), float("inf"), 0.0, 1e-300])
def test_gradients_that_are_no_ordinary_numbers(data):
    x, c = Value(2.0, name="x"), Value(data, name="c")
    loss = x * c * x
    assert moved([draw_step(loss, step, names={}).dot for step in range(3)], "dot") == set()
    gradients = trace(loss, {}).gradients()
    drawing = draw_step(loss, 2, names={})
    assert [band(line) for line in boxes_of(drawing).values()] == [signed(each) for each in gradients]


def test_a_leaf_has_a_pass_of_no_steps():
    drawing = draw_step(Value(2.0, name="x"), 0, names={})
    assert drawing.picture.title == "step 0 of 0: the pass begins with ∇x = 1"
    assert band(boxes_of(drawing)["n0"]) == "+1"


def test_a_read_trace_is_drawn_as_the_one_that_was_written(pass_):
    again = microbp.Trace.from_json(pass_.to_json())
    assert draw_step(again, 17).dot == draw_step(pass_, 17).dot


# ----------------------------------------------------------------------------------------- what is not
def test_too_many_values_are_refused_with_the_ways_out():
    x = y = Value(1.0, name="x")
    for _ in range(300):
        y = y + x
    message = (
        "draw_step() draws each of 301 values in a box of its own, and no one can follow more than 300. "
        "Show a part: around=name, between=(name, name); step through all of them on a page, viz.page(loss); "
        "or see them folded in one picture, viz.draw(loss)"
    )
    with pytest.raises(TooManyValues, match=f"^{re.escape(message)}$"):
        draw_step(y, 3, names={})
    part = draw_step(y, 3, names={}, around=y, hops=1)
    assert part.picture.title == "step 3 of 300: v298 = v297 + x passes on +1 to x and v297"


def test_only_values_graphs_and_traces_have_steps():
    with pytest.raises(TypeError, match=r"^draw_step\(\) takes a Value, a Graph or a Trace, not float: a "):
        draw_step(2.0, 0)
    with pytest.raises(microbp.NoGradientError, match="is a constant"):
        draw_step(Value(2.0).detach(), 0)


def test_wrong_options_are_refused(pass_):
    with pytest.raises(ValueError, match=r"^rankdir='BT': it is one of 'TB', 'LR'$"):
        draw_step(pass_, 1, rankdir="BT")
    with pytest.raises(ValueError, match=r"^no value named 'h3' in the graph of E; did you mean 'w3'\?$"):
        draw_step(pass_, 1, around="h3")
