"""The step page as a file: its structure, what is escaped, how large it is, what it refuses."""

from __future__ import annotations

import html
import json
import re
import sys
from contextlib import ExitStack
from html.parser import HTMLParser

import pytest

from microbp import MLP, Graph, NoGradientError, TooManyValues, Value, group, record_sites, sum  # noqa: A004
from microbp.debug.trace import Trace, trace
from viz.engines import NoEngine
from viz.page import LARGEST, Page, page
from viz.page.data import as_literal, sources

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>",
    "\"quotes\" and 'quotes'",
    "back\\slash \\u003c",
    "{{script}} {{data}}",
    "权重",
    "משקל",
    "\u202eright to left override",
    "line\u2028and\u2029paragraph",
    "&lt;b&gt;",
]


def net():
    w, x, b = Value(0.4, "w"), Value(3.0, "x"), Value(0.1, "b")
    return w * x + b


class Structure(HTMLParser):
    """Every tag with its attributes, and the text of every script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)


def data_of_page(made: Page):
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', made.html, re.DOTALL)
    return json.loads(text)


def edges_in(made: Page):
    return sorted(re.findall(r'<g id="(e\d+_\d+)"', made.html))


# -------------------------------------------------------------------------------------- structure
def test_the_page_is_one_file_that_names_no_other():
    made = page(net(), names={})
    for tag, attributes in Structure(made.html).tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "a"}
        assert not {"src", "href", "action", "srcset"} & attributes.keys()
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", made.html)


def test_only_the_page_s_own_script_and_style_may_run_and_nothing_may_be_loaded():
    [policy] = [
        attributes["content"] for tag, attributes in Structure(page(net()).html).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]+=*'; script-src 'sha256-[\w+/]+=*'", policy
    )


def test_no_script_makes_markup_of_text():
    [*_, script] = Structure(page(net()).html).scripts
    making = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    assert not re.search(making, script)


def test_controls_are_real_buttons_and_inputs_with_names():
    tags = Structure(page(net()).html).tags
    inputs = [each.get("type") for tag, each in tags if tag == "input"]
    assert inputs == ["search", "checkbox", "range"]
    assert all(each["type"] == "button" for tag, each in tags if tag == "button")
    assert any("aria-live" in each for _, each in tags)


def test_nothing_in_it_needs_an_emoji_font():
    shown = re.sub(r"(?s)<script type=.*?</script>", "", page(net(), names={}).html)
    emoji = "[\u23e9-\u23fa\u25b6\u25c0\u2600-\u26ff\u2705\u2728\u274c\ufe0f\U0001f000-\U0001faff]"
    assert not re.search(emoji, shown)


# ------------------------------------------------------------------------------------------- data
def test_every_gradient_is_in_it_to_the_last_bit():
    loss = (net() * 0.1).tanh()
    pass_ = trace(loss)
    gradients = {len(pass_.graph) - 1: 1.0}
    for step in data_of_page(page(pass_))["steps"]:
        gradients |= {gift["operand"]: gift["after"] for gift in step["gives"]}
    loss.backward()
    assert gradients == {node.position: node.grad for node in Graph(loss)}


def test_steps_stand_in_the_order_of_the_engine():
    pass_ = trace(net().sigmoid())
    shown = data_of_page(page(pass_))["steps"]
    assert [step["node"] for step in shown] == [step.node for step in pass_.steps]


def test_value_graph_and_trace_give_the_same_page():
    loss = net()
    assert page(loss, names={}).html == page(Graph(loss)).html == page(trace(loss, {})).html


def test_a_trace_from_elsewhere_gives_the_page_of_the_trace():
    pass_ = trace(net(), {})
    assert page(Trace.from_json(pass_.to_json())).html == page(pass_).html


def test_variables_name_what_has_no_name():
    hidden = Value(2.0)
    made = page(hidden * 3.0, names={"hidden": hidden})
    assert [node["name"] for node in data_of_page(made)["nodes"]] == ["hidden", "v1"]


def test_the_caller_s_variables_are_the_default():
    hidden = Value(2.0)
    assert data_of_page(page(hidden * 3.0))["nodes"][0]["name"] == "hidden"


def test_parameters_can_be_listed():
    made = page(net(), parameters=["x"])
    again = page(net(), parameters=iter(["x"]))
    assert again.html == made.html
    kinds = {node["name"]: node["kind"] for node in data_of_page(made)["nodes"]}
    assert (kinds["x"], kinds["w"]) == ("parameter", "input")


def test_numbers_that_json_has_no_word_for_are_words():
    made = page(Value(float("inf"), "a") * Value(float("nan"), "b"), names={})
    data = data_of_page(made)
    assert [node["data"] for node in data["nodes"]] == ["Infinity", "NaN", "NaN"]
    assert [gift["after"] for gift in data["steps"][0]["gives"]] == ["Infinity", "NaN"]


def test_a_constant_takes_no_gradient_and_has_an_edge():
    made = page(Value(2.0, "w") * Value(3.0, "x").detach(), names={})
    data = data_of_page(made)
    assert [node["kind"] for node in data["nodes"]] == ["parameter", "constant", "operation"]
    assert [gift["operand"] for gift in data["steps"][0]["gives"]] == [0]
    assert edges_in(made) == ["e2_0", "e2_1"]


def test_a_value_that_is_named_as_it_is_computed_is_not_said_to_be_itself():
    product = Value(2.0, "w") * Value(3.0, "x")
    assert data_of_page(page(product, names={"y": product}))["nodes"][-1]["formula"] == "w·x"
    product.name = "w·x"
    assert data_of_page(page(product))["nodes"][-1].get("formula", "") == ""


def test_both_edges_of_a_square_are_there():
    x = Value(3.0, "x")
    assert edges_in(page(x * x)) == ["e1_0", "e1_1"]


def test_a_single_leaf_is_a_page_without_steps():
    made = page(Value(2.0, "alone"))
    assert (made.values, made.steps) == (1, 0)


# ----------------------------------------------------------------------------------------- frames
def two_neurons():
    w1, w2, b, x = Value(0.5, "w1"), Value(0.6, "w2"), Value(0.1, "b"), Value(3.0, "x")
    with group("net"):
        with group("h"):
            first = w1 * x + b
        with group("h"):
            second = w2 * first + b
    return first + second


def test_groups_are_frames_as_in_a_drawing():
    made = page(two_neurons())
    frames = re.findall(r'class="cluster">.*?<text[^>]*>([^<]*)</text>', made.html)
    assert sorted(frames) == ["net.h (1)", "net.h (2)"]


def test_a_page_of_deeply_nested_groups_can_be_made():
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(group("deeper"))
        loss = net()
    assert page(loss).values == 5


# ------------------------------------------------------------------------------------------ names
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_data_and_never_markup(name):
    plain = Structure(page(Value(2.0, "w") * 3.0, names={}, title="t").html)
    hostile = page(Value(2.0, name) * 3.0, names={}, title=name)
    found = Structure(hostile.html)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert found.scripts[-1] == plain.scripts[-1]
    shown = data_of_page(hostile)["nodes"][0]["name"]
    assert shown == name or any(not each.isprintable() for each in name)


def test_a_literal_cannot_end_its_script():
    text = as_literal({"name": "".join(HOSTILE)})
    assert not re.search("[<\u2028\u2029]", text)
    assert json.loads(text) == {"name": "".join(HOSTILE)}


# ----------------------------------------------------------------------------------------- source
def test_the_lines_around_each_recorded_line_are_embedded_and_the_folder_is_not():
    before = record_sites(True)
    try:
        loss = net()
    finally:
        record_sites(before)
    made = page(loss)
    [source] = data_of_page(made)["sources"]
    assert source["name"] == "test_viz_page.py"
    line = data_of_page(made)["nodes"][-1]["site"][1]
    assert dict(source["lines"])[line] == "    return w * x + b"
    assert __file__ not in made.html


def test_a_place_that_cannot_be_read_has_no_lines(tmp_path):
    here = f"{__file__}:3"
    found, places = sources([None, "?", "<stdin>:1", f"{tmp_path}/gone.py:2", f"{__file__}:999999", here])
    assert [each["name"] for each in found] == ["test_viz_page.py"]
    assert places == {here: (0, 3)}


# ------------------------------------------------------------------------------------------ sizes
def test_a_large_graph_is_shown_around_the_current_value():
    made = page(sum([Value(1.0) for _ in range(20)]), whole=20)
    assert made.engine == ""
    assert "view" not in data_of_page(made)
    assert page(sum([Value(1.0) for _ in range(19)]), whole=20).engine != ""


def test_without_an_engine_the_page_shows_the_neighbourhood_and_says_why(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    made = page(net())
    assert made.engine == ""
    assert data_of_page(made)["note"] == "The whole graph needs a layout engine: pip install microbp[viz]."
    with pytest.raises(NoEngine):
        page(net(), engine="dot")


def test_too_many_values_are_refused_with_what_to_do():
    total = sum([Value(1.0) for _ in range(LARGEST)])
    total.name = "total"
    with pytest.raises(TooManyValues) as caught:
        page(total)
    assert str(caught.value) == (
        "the graph of total has 20,001 values, and a step page shows at most 20,000. Show a part: "
        "page(loss_of_one_sample), or page(value) for a value further inside; "
        'draw(loss, fold="auto") shows all of it folded into one picture'
    )


def test_a_constant_and_an_unknown_engine_are_refused():
    with pytest.raises(NoGradientError):
        page(Value(1.0).detach())
    with pytest.raises(ValueError, match=r"engine='neato': it is one of 'auto', 'dot', 'pygraphviz'"):
        page(net(), engine="neato")


# --------------------------------------------------------------------------- saved and in a notebook
def test_it_is_saved_as_it_is(tmp_path):
    made = page(net(), title="权重")
    path = made.save(tmp_path / "step.html")
    assert path.read_bytes() == made.html.encode()
    with pytest.raises(FileNotFoundError):
        made.save(tmp_path / "gone" / "step.html")
    with pytest.raises(ValueError, match=r"^cannot save a page as 'step\.png': the suffix is one of \.html"):
        made.save(tmp_path / "step.png")
    assert [each.name for each in tmp_path.iterdir()] == ["step.html"]


@pytest.mark.parametrize("given", [3.0, None, "loss", [Value(1.0)], MLP(1, [1], seed=1)])
def test_only_values_graphs_and_traces_have_a_page(given):
    what = type(given).__name__
    with pytest.raises(TypeError, match=rf"^page\(\) takes a Value, a Graph or a Trace, not {what}"):
        page(given)


def test_a_notebook_gets_a_sandboxed_frame_and_a_line_of_text():
    made = page(net(), title='"<b>"')
    bundle = made._repr_mimebundle_()
    [(tag, attributes)] = Structure(bundle["text/html"]).tags
    assert (tag, attributes.pop("srcdoc"), attributes.pop("title")) == ("iframe", made.html, '"<b>"')
    assert attributes == {"sandbox": "allow-scripts", "style": "width:100%;height:560px;border:0"}
    assert bundle["text/plain"] == str(made)
    assert re.fullmatch(r"Step page: 5 values, 2 steps, engine dot [\d.]+, \d+ kB", str(made))
    assert html.unescape(bundle["text/html"]).count("<iframe") == 1


def test_a_notebook_may_ask_for_one_form():
    from IPython.core.formatters import DisplayFormatter

    made = page(net())
    for wanted, there in (("include", {"text/plain"}), ("exclude", {"text/html"})):
        shown, _ = DisplayFormatter().format(made, **{wanted: {"text/plain"}})
        assert set(shown) == there


def test_the_same_graph_gives_the_same_bytes():
    assert page(net(), names={}).html == page(net(), names={}).html


def test_the_map_shows_the_layers_after_the_update_as_before_it():
    model = MLP(3, [4, 4, 1], seed=1)
    loss = sum([(model([0.1 * k, 1.0, -0.5]) - 1.0) ** 2 for k in range(4)])
    loss.backward()
    before = data_of_page(page(loss, names={}))["boxes"]
    for parameter in model.parameters():
        parameter.data -= 0.1 * parameter.grad
    assert data_of_page(page(loss, names={}))["boxes"] == before
    assert len({*before}) == 6  # three layers, the differences, their squares, and the loss
