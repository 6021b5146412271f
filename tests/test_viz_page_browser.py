"""The step page in a real browser: every control is driven, every number is the engine's."""

from __future__ import annotations

import itertools
import re
from math import inf, isnan, nan

import pytest
from axe_playwright_python.sync_playwright import Axe
from tutorial import quantities
from viz_support import chromium

import microbp
from microbp import MLP, Graph, Value
from microbp.debug.trace import trace
from microbp.demo import t4
from viz.colours import Scale
from viz.page import page

DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 420, "height": 800}
#: In the address, so that also the same file is loaded anew, in the same process of the browser's.
VISITS = itertools.count()
HOSTILE = [
    "</script><script>window.hostile = 1</script>",
    "<img src=x onerror='window.hostile = 1'>",
    '"quotes" & \\backslashes\\',
    "权重",
    "משקל",
    "<!--",
    "${window.hostile = 1}",
]


# ------------------------------------------------------------------------------------- what is shown
def net_of_the_worked_example():
    """The 2-2-2 net, written with + and ×: 41 values, 27 steps."""
    v = quantities({name: Value(x, name) for name, x in (t4.START | t4.INPUTS | t4.TARGETS).items()})
    for name, value in v.items():
        value.name = name
    return v["E"]


def recorded(make):
    before = microbp.record_sites(True)
    try:
        return make()
    finally:
        microbp.record_sites(before)


@pytest.fixture(scope="module")
def loss():
    made = recorded(net_of_the_worked_example)
    made.backward()
    return made


@pytest.fixture(scope="module")
def pass_(loss):
    return trace(loss, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def file(folder, pass_):
    return page(pass_, title="the 2-2-2 net").save(folder / "step.html")


@pytest.fixture(scope="module")
def large(folder):
    """Above 1,000 values: only the neighbourhood is drawn."""
    model = MLP(4, [6, 6, 1], seed=1)
    model.name_parameters()
    total = sum(((model([0.1 * k, -0.2, 0.3, 0.05 * k]) - 1.0) ** 2 for k in range(40)), Value(0.0, "start"))
    total.name = "total"
    total.backward()
    made = page(total, names={})
    assert made.values > 1_000
    return made.save(folder / "large.html"), trace(total, {})


# --------------------------------------------------------------------------------------- the browser
@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


class Heard:
    """What tabs have complained of and asked for since it was last cleared."""

    def __init__(self):
        self.errors, self.requests = [], set()

    def listen(self, tab):
        tab.on("console", lambda message: self.errors.append(message.text))
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("request", lambda request: self.requests.add(re.split("[?#]", request.url)[0]))
        return tab


@pytest.fixture(scope="module")
def heard():
    return Heard()


@pytest.fixture(scope="module")
def desktop(browser, heard):
    """One tab for all tests that need no other: each new one is a process of the browser's.

    Edges that march would be painted 60 times a second, whatever a test waits for.
    """
    return heard.listen(browser.new_page())


@pytest.fixture(scope="module")
def standing(browser, heard):
    """The tab of the one page that most tests take as they find it."""
    return heard.listen(browser.new_page())


@pytest.fixture
def opened(browser, desktop, heard):
    """Opens a file, and afterwards holds that nothing went wrong and nothing else was asked for.

    A window of another size and a user of other wishes need no tab of their own; further options do, and it
    is a process of the browser's that has to compile everything anew.
    """
    contexts = []

    def open_(
        path, step="", viewport=DESKTOP, color_scheme="light", reduced_motion="reduce", tab=desktop, **options
    ):
        if options:
            contexts.append(browser.new_context(**options))
            tab = heard.listen(contexts[-1].new_page())
        tab.set_viewport_size(viewport)
        tab.emulate_media(media="screen", color_scheme=color_scheme, reduced_motion=reduced_motion)
        tab.goto(f"{path.as_uri()}?{next(VISITS)}{step}")
        return tab

    heard.errors.clear()
    heard.requests.clear()
    desktop.mouse.move(0, 0)
    yield open_
    for each in contexts:
        each.close()
    assert heard.errors == []
    assert len(heard.requests) == 1
    assert heard.requests.pop().startswith("file:///")


#: All that a page holds beside the time: a page of which this is as it was is as it was when it was opened.
STATE = """() => JSON.stringify([
  document.body.outerHTML.replaceAll(' class=""', ""), document.documentElement.lang,
  document.activeElement.id,
  at, phase, ahead, scale, wide, high, fitted, near, hit, language, rate, exercising, timer, traced, dragged,
  [...solved], [...found], flowing.length, drawn === whole, sheet.scrollLeft, sheet.scrollTop,
  ...[...document.querySelectorAll("input, select, details")].map((e) => [e.value, e.checked, e.open]),
])"""
#: Goes back to step 0 and ends a search, and says whether that was all there was to undo.
AGAIN = """() => {
  if (!window.asOpened) return false;
  document.activeElement.blur();
  byId("tip").removeAttribute("style");  // which is hidden
  byId("tip").replaceChildren();
  byId("search").value = "";
  byId("search").dispatchEvent(new Event("input"));
  go(0);
  return window.asOpened === stateOf();
}"""


@pytest.fixture
def tab(opened, file, standing, heard):
    """The page as it is opened. It is loaded anew where the test before has changed more than the step."""
    standing.set_viewport_size(DESKTOP)
    standing.mouse.move(0, 0)
    if standing.evaluate(AGAIN):
        heard.requests.add(file.as_uri())  # for an earlier test
        return standing
    made = opened(file, tab=standing)
    made.evaluate(f"[window.stateOf, window.asOpened] = [{STATE}, ({STATE})()]")
    return made


def step_of(tab):
    return int(tab.locator("#counter").inner_text().split()[1])


def open_every(tab):
    """The table of all values is built when the browser reports the opening, which is after the click."""
    tab.locator("#every summary").click()
    tab.locator("#values tbody tr").first.wait_for()
    tab.mouse.move(0, 0)  # a row that came under the pointer would light its paths


GRADIENTS = "[...drawn].map(([at, parts]) => [at, parts.group.dataset.gradient ?? null])"


def floats(found):
    return {key: None if text is None else float(text) for key, text in found}


def gradients_in_the_graph(tab):
    """By position, from the boxes that show one: the float that the attribute states in full."""
    return floats(tab.evaluate(GRADIENTS))


def text_outside_its_box(tab):
    return tab.eval_on_selector_all(
        "g.node",
        """all => all.flatMap(g => {
          const box = g.querySelector(".outline").getBoundingClientRect();
          return [...g.querySelectorAll("text")].filter(text => {
            const { left, right, width } = text.getBoundingClientRect();
            return width > 0 && (left < box.left - 1 || right > box.right + 1);
          }).map(text => text.textContent);
        })""",
    )


def expected(pass_, step):
    return dict(enumerate(pass_.gradients(step)))


# -------------------------------------------------------------------------------------------- numbers
def test_all_final_gradients_are_the_engine_s(tab, loss, pass_):
    tab.keyboard.press("End")
    shown = gradients_in_the_graph(tab)
    assert shown == {node.position: node.grad for node in pass_.graph}
    assert shown[pass_.graph["E"].position] == 1.0
    assert round(shown[pass_.graph["w5"].position], 7) == 0.0821670  # as the worked example has it
    assert loss.grad == 1.0


def test_every_step_forwards_and_back_shows_the_gradients_of_the_trace(tab, pass_):
    steps = [*range(len(pass_) + 1), *reversed(range(len(pass_)))]
    shown = tab.evaluate(f"steps => steps.map((step) => {{ go(step); return {GRADIENTS}; }})", steps)
    for step, found in zip(steps, shown, strict=True):
        assert floats(found) == expected(pass_, step)


def test_the_tables_show_the_same_gradients_in_full(tab, pass_):
    tab.keyboard.press("End")
    open_every(tab)
    name_and_title = "r => [r.cells[0].querySelector('bdi').textContent, r.cells[2].title]"
    rows = tab.eval_on_selector_all("#values tbody tr", f"all => all.map({name_and_title})")
    assert {name: float(text) for name, text in rows} == {node.name: node.grad for node in pass_.graph}
    parameters = tab.eval_on_selector_all("#parameters tbody tr bdi", "all => all.map(e => e.textContent)")
    assert set(parameters) == {node.name for node in pass_.graph if node.rule is None}
    assert tab.locator("#parameters tbody tr td:last-child").all_inner_texts() == ["✓"] * len(parameters)


def test_the_panel_states_upstream_times_local_and_what_becomes_of_the_sum(tab, pass_):
    shared = pass_.graph["h1"].position
    [first, second] = [
        (step, each) for step in pass_.steps for each in step.contributions if each.operand == shared
    ]
    for count, (step, each) in enumerate((first, second), 1):
        tab.evaluate("step => go(step)", step.index)
        card = tab.locator(".card", has=tab.locator("button.jump", has_text="h1"))
        text = card.inner_text()
        assert f"h1 = {each.symbols} = " in text
        assert f"{step.upstream:.6g}"[:7].lstrip("-") in text
        titles = card.locator("[title]").evaluate_all("all => all.map(e => Number(e.title))")
        assert [each.local, each.amount, each.after] == [x for x in titles if x != each.before]
        assert ("+=" in text, f"{count} of 2" in text) == (count == 2, True)
    assert float(card.locator(".sum [title]").first.get_attribute("title")) == first[1].after
    assert "final (2 of 2)" in text


def test_step_0_is_the_seed(tab, pass_):
    assert "The seed." in tab.locator("#step").inner_text()
    assert gradients_in_the_graph(tab) == expected(pass_, 0)
    assert tab.locator("#back").is_disabled()


def test_pills_stand_at_the_operands_and_the_edges_are_marked(tab, pass_):
    step = next(each for each in pass_.steps if len(each.contributions) == 2 and each.contributions[0].before)
    tab.evaluate("step => go(step)", step.index)
    texts = tab.locator(".pill text").all_text_contents()
    assert len(texts) == 2
    assert texts[0].startswith("+= ")
    flowing = tab.eval_on_selector_all(".edge.flowing", "all => all.map(g => g.id)")
    assert set(flowing) == {f"e{step.node}_{each.place}" for each in step.contributions}
    assert tab.locator("g.node.current").get_attribute("id") == f"n{step.node}"
    operands = tab.eval_on_selector_all("g.node.operand", "all => all.map(g => g.id)")
    assert set(operands) == {f"n{each.operand}" for each in step.contributions}


# ------------------------------------------------------------------------------------------- controls
def test_buttons(tab, pass_):
    for button, step in (("next", 1), ("next", 2), ("back", 1), ("last", len(pass_)), ("first", 0)):
        tab.click(f"#{button}")
        assert step_of(tab) == step
    tab.click("#last")
    assert tab.locator("#next").is_disabled()


def test_keys(tab, pass_):
    end = len(pass_)
    for key, step in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", end), ("Home", 0)):
        tab.keyboard.press(key)
        assert step_of(tab) == step


def test_keys_step_once_when_the_slider_or_a_button_has_the_focus(tab):
    tab.focus("#slider")
    tab.keyboard.press("ArrowRight")
    assert step_of(tab) == 1
    tab.focus("#next")
    tab.keyboard.press("ArrowRight")
    assert step_of(tab) == 2
    tab.keyboard.press(" ")  # presses the button that has the focus, and does not play
    assert step_of(tab) == 3
    assert tab.locator("#verb").inner_text() == "play"


def test_an_edge_that_pays_has_the_colour_of_its_card(opened, file):
    """Each sign has its own, and what is asked has that of no sign."""
    tab = opened(file)
    colours = """() => steps.map((_, step) => {
      go(step);
      return [["#graph .edge.flowing .line", "stroke"], ["#side .card", "borderLeftColor"]].map(
        ([all, part]) => [...document.querySelectorAll(all)].map((e) => getComputedStyle(e)[part]).sort());
    })"""
    lines, cards = zip(*tab.evaluate(colours), strict=True)
    assert lines == cards
    assert len({each for step in lines for each in step}) == 2
    tab.click("#exercise")
    lines, cards = zip(*tab.evaluate(colours), strict=True)
    assert lines == cards
    assert len({each for step in lines for each in step}) == 1


def test_slider(tab, pass_):
    tab.fill("#slider", "9")
    assert step_of(tab) == 9
    assert gradients_in_the_graph(tab) == expected(pass_, 9)
    assert tab.locator("#slider").get_attribute("max") == str(len(pass_))
    name = pass_.graph.nodes[pass_.steps[8].node].name
    assert tab.locator("#slider").get_attribute("aria-valuetext") == f"step 9 of {len(pass_)}: {name}"


#: A clock that stands still, in place of the page's: ``runFor`` so many milliseconds. The browser's own would
#: stay for all pages of a context.
CLOCK = """
  const beats = new Map();
  window.setInterval = (act, each) => {
    beats.set(beats.size + 1, { act, each, left: each });
    return beats.size;
  };
  window.clearInterval = (key) => { if (beats.has(key)) beats.get(key).left = Infinity; };
  window.runFor = (time) => {
    for (; time > 0; --time) for (const beat of beats.values()) {
      if (--beat.left === 0) { beat.left = beat.each; beat.act(); }
    }
  };
"""


def test_play_runs_to_the_end_and_stops_and_begins_again(opened, file, pass_):
    tab = opened(file)
    tab.evaluate(CLOCK)
    tab.keyboard.press(" ")
    assert tab.locator("#play").get_attribute("aria-pressed") == "true"
    tab.evaluate("runFor(2_000)")
    assert step_of(tab) == 2
    tab.keyboard.press(" ")
    tab.evaluate("runFor(2_000)")
    assert step_of(tab) == 2
    tab.click("#play")
    tab.evaluate("runFor(30_000)")
    assert step_of(tab) == len(pass_)
    assert tab.locator("#play").get_attribute("aria-pressed") == "false"
    tab.click("#play")
    tab.evaluate("runFor(1_000)")
    assert step_of(tab) == 1
    tab.keyboard.press("Escape")
    tab.evaluate("runFor(5_000)")
    assert step_of(tab) == 1


def test_search_outlines_hits_and_enter_jumps(tab, pass_):
    tab.keyboard.press("/")
    tab.keyboard.type("net_")
    assert tab.locator("#hits").inner_text() == "4 found"
    assert tab.locator("g.node.hit").count() == 4
    tab.keyboard.press("Enter")
    first = pass_.graph["net_h1"]
    assert tab.locator("#hits").inner_text() == "1 of 4"
    assert step_of(tab) == pass_.step_of("net_h1").index
    assert tab.locator("g.node.current").get_attribute("id") == f"n{first.position}"
    assert tab.locator("g.node.hit").count() == 4  # the outline survives the step
    tab.keyboard.press("Enter")
    assert tab.locator("#hits").inner_text() == "2 of 4"
    tab.keyboard.press("Shift+Enter")
    assert step_of(tab) == pass_.step_of("net_h1").index
    tab.keyboard.press("Escape")
    assert tab.locator("g.node.hit").count() == 0
    assert tab.locator("#search").input_value() == ""


def test_search_finds_an_operation_and_says_when_there_is_nothing(tab):
    tab.fill("#search", "sigmoid")
    assert tab.locator("g.node.hit").count() == 4
    tab.fill("#search", "nothing of that name")
    assert tab.locator("#hits").inner_text() == "nothing found"


def test_letters_typed_into_the_search_are_no_commands(tab):
    tab.focus("#search")
    tab.keyboard.type("f /+")
    tab.keyboard.press("ArrowRight")
    assert (step_of(tab), tab.locator("#search").input_value()) == (0, "f /+")


def test_a_click_on_a_value_goes_to_its_step_and_on_a_leaf_to_the_step_that_completes_it(tab, pass_):
    tab.click(f"#n{pass_.graph['h1'].position}")
    assert step_of(tab) == pass_.step_of("h1").index
    tab.click(f"#n{pass_.graph['b1'].position}")
    assert step_of(tab) == pass_.received[pass_.graph["b1"].position][-1].step
    tab.click("#parameters button.jump >> text=w5")
    assert step_of(tab) == pass_.received[pass_.graph["w5"].position][-1].step


def test_hover_shows_everything_in_full(tab, pass_):
    tab.evaluate("go(1)")
    node = pass_.graph["h1"]
    tab.hover(f"#n{node.position}")
    text = tab.locator("#tip").inner_text()
    assert all(each in text for each in (repr(node.data), "nothing yet", repr(node.grad), "sigmoid"))
    assert "tutorial.py:" in text
    tab.mouse.move(3, 500)
    assert tab.locator("#tip").is_hidden()


def test_the_line_of_source_is_marked_and_in_sight(tab, pass_):
    tab.evaluate("step => go(step)", pass_.step_of("h1").index)
    row = tab.locator("#lines .row.here")
    assert row.locator("code").inner_text().strip() == 'v[name] = sigmoid(v[f"net_{name}"])'
    line = pass_.graph["h1"].site.rpartition(":")[2]
    assert row.locator(".count").inner_text() == line
    assert tab.locator("#file").inner_text() == f"tutorial.py:{line}"
    # it is scrolled to in the frame after the step; the wait fails where it never comes into sight
    tab.wait_for_function("""() => {
      const [box, row] = ["", " .row.here"].map(
        (part) => document.querySelector(`#lines${part}`).getBoundingClientRect(),
      );
      return box.top <= row.top && row.bottom <= box.bottom;
    }""")


def in_the_middle(tab):
    """The point of the picture in the middle of the pane, and how large the picture is shown."""
    return tab.evaluate("[sheet.scrollLeft / scale, sheet.scrollTop / scale, scale]")


def test_wheel_zooms_about_the_pointer_drag_pans_and_fit_undoes_both(tab):
    def under_the_pointer():
        return tab.evaluate(
            "([x, y]) => { const p = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM().inverse());"
            " return [p.x, p.y]; }", [700, 400],
        )  # fmt: skip

    whole, point = in_the_middle(tab), under_the_pointer()
    tab.mouse.move(700, 400)
    tab.mouse.wheel(0, -400)
    tab.wait_for_function("before => scale > before", arg=whole[2])
    assert under_the_pointer() == pytest.approx(point, abs=1.5)  # a pane is scrolled by whole pixels
    zoomed = in_the_middle(tab)
    tab.mouse.down()
    tab.mouse.move(760, 430, steps=3)
    tab.mouse.up()
    moved = in_the_middle(tab)
    assert [a - b for a, b in zip(zoomed, moved, strict=True)] == pytest.approx(
        [60 / zoomed[2], 30 / zoomed[2], 0.0], abs=1.5
    )
    assert step_of(tab) == 0  # a drag is no click
    tab.click("#fit")
    assert in_the_middle(tab) == pytest.approx(whole, abs=1.5)
    tab.keyboard.press("+")
    assert in_the_middle(tab)[2] > whole[2]
    tab.keyboard.press("f")
    assert in_the_middle(tab) == pytest.approx(whole, abs=1.5)


def test_what_is_in_the_middle_stays_there_when_the_window_grows(tab):
    tab.set_viewport_size({"width": 1010, "height": 500})
    for _ in range(4):
        tab.keyboard.press("-")
    before, room = in_the_middle(tab), tab.evaluate("high")
    tab.set_viewport_size({"width": 1440, "height": 1200})
    tab.wait_for_function("before => high > before + 500", arg=room)
    assert in_the_middle(tab) == pytest.approx(before, abs=1.5)


def test_the_current_value_comes_into_sight_however_near_one_looks(tab, pass_):
    for _ in range(6):
        tab.keyboard.press("+")
    for step in (0, 9, len(pass_), 13):
        tab.evaluate("step => go(step)", step)
        pane = tab.locator("#pane").bounding_box()
        box = tab.locator("g.node.current .outline").bounding_box()
        assert pane["x"] - 1 <= box["x"] <= box["x"] + box["width"] <= pane["x"] + pane["width"] + 1
        assert pane["y"] - 1 <= box["y"] <= box["y"] + box["height"] <= pane["y"] + pane["height"] + 1


def test_the_neighbourhood_can_be_chosen_and_left(tab, pass_):
    everything = tab.locator("g.node").count()
    tab.evaluate("step => go(step)", pass_.step_of("h1").index)
    tab.check("#near")
    shown = gradients_in_the_graph(tab)
    assert 4 == len(shown) < everything
    graph = pass_.graph
    assert {graph[name].position for name in ("h1", "net_h1")} <= shown.keys()
    assert shown.items() <= expected(pass_, pass_.step_of("h1").index).items()
    tab.keyboard.press("ArrowRight")
    tab.uncheck("#near")
    assert gradients_in_the_graph(tab) == expected(pass_, step_of(tab))


def test_a_link_leads_to_a_step_and_the_address_follows(opened, file):
    tab = opened(file, "#22")
    assert step_of(tab) == 22
    tab.keyboard.press("ArrowRight")
    tab.wait_for_url("**#23")
    tab.evaluate("location.hash = '#5'")
    tab.wait_for_function("document.getElementById('counter').textContent.startsWith('step 5 ')")
    assert step_of(tab) == 5


@pytest.mark.parametrize(("link", "step"), [("#9999", 27), ("#-3", 0), ("#<b>", 0), ("#", 0)])
def test_a_link_to_no_step_is_harmless(opened, file, link, step):
    assert step_of(opened(file, link)) == step


# ---------------------------------------------------------------------------------------- how it works
TOUCHED = """async () => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  await painted();
  await painted();  // what the step before has left to do is done
  const touched = new Set();
  const watcher = new MutationObserver((changes) => changes.forEach((change) => {
    const element = change.target.nodeType === 1 ? change.target : change.target.parentElement;
    const part = element.closest('g.node, g.edge, tr');
    if (part) touched.add(part);
  }));
  watcher.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  go(at + 1);
  await new Promise((done) => setTimeout(done));
  watcher.disconnect();
  return touched.size;
}"""


def test_a_step_touches_only_what_changes(tab, pass_):
    open_every(tab)
    tab.evaluate("go(14)")
    before, now = pass_.steps[13], pass_.steps[14]
    boxes = {each.operand for step in (before, now) for each in step.contributions} | {before.node, now.node}
    edges = len(before.contributions) + len(now.contributions)
    assert 0 < tab.evaluate(TOUCHED) <= 3 * len(boxes) + edges  # a box and a row in each of two tables


def test_a_large_graph_shows_a_neighbourhood_and_complete_tables(opened, large):
    path, pass_ = large
    tab = opened(path)
    assert tab.locator("#nearby").is_hidden()
    for step in (0, 1, len(pass_) // 2, len(pass_)):
        tab.evaluate("step => go(step)", step)
        shown = gradients_in_the_graph(tab)
        assert 0 < len(shown) <= 60
        assert shown.items() <= expected(pass_, step).items()
        assert "not shown: " in tab.locator("#note").inner_text()
    open_every(tab)
    assert tab.locator("#values tr[data-position]").count() == len(pass_.graph)
    finals = tab.eval_on_selector_all("#values tr[data-position]", "all => all.map(r => r.cells[2].title)")
    assert [float(each) for each in finals] == pass_.gradients()


def test_hostile_names_stay_text(opened, folder):
    values = [Value(1.0 + k, name) for k, name in enumerate(HOSTILE)]
    tab = opened(page(microbp.sum(values) * 2.0, names={}, title=HOSTILE[0]).save(folder / "hostile.html"))
    tab.keyboard.press("End")
    tab.hover("g.node >> nth=0")
    assert tab.evaluate("window.hostile") is None
    assert tab.locator("img").count() == 0
    assert tab.locator("#title").inner_text() == tab.title() == HOSTILE[0]
    names = tab.eval_on_selector_all("#parameters tbody th", "all => all.map(e => e.title)")
    assert sorted(names) == sorted(HOSTILE)
    tab.fill("#search", "<img")
    assert tab.locator("g.node.hit").count() == 1


def test_long_names_are_told_apart_in_boxes_and_tables(opened, folder):
    values = [Value(1.0 + k, f"the_weight_of_the_hidden_layer_number_{k}") for k in range(5)]
    values.append(Value(2.0, "w" * 60))
    tab = opened(page(microbp.sum(values).tanh(), names={}).save(folder / "long.html"))
    bold = "g.node.parameter text[font-weight], g.node.input text[font-weight]"
    for shown in ("#parameters tbody th bdi", bold):
        texts = [each for each in tab.locator(shown).all_text_contents() if each.strip()]
        assert len(set(texts)) == len(values)
        assert max(map(len, texts)) <= 24
    names = tab.locator("#parameters tbody th")  # on one line each, their ends would be cut off
    assert names.evaluate_all("all => all.every(e => e.scrollWidth <= e.clientWidth)")
    assert max(names.evaluate_all("all => all.map(e => e.offsetHeight)")) < 65
    assert text_outside_its_box(tab) == []


def test_a_value_without_steps_has_nothing_to_play(opened, folder):
    tab = opened(page(Value(3.0, "x"), names={}).save(folder / "leaf.html"))
    for control in ("first", "back", "play", "next", "last", "slider"):
        assert tab.locator(f"#{control}").is_disabled()
    tab.keyboard.press(" ")
    assert step_of(tab) == 0
    assert tab.locator("#nosource").is_hidden()


def test_around_a_value_with_many_operands_the_others_are_counted(opened, folder):
    terms = [Value(float(k), f"x{k}") for k in range(60)]
    tab = opened(page(microbp.sum(terms), names={}, whole=0).save(folder / "wide.html"), "#1")
    assert tab.locator("#around .ring").first.locator("button.node").count() == 40
    assert tab.locator("#around .said").inner_text() == "+ 20"
    assert tab.locator("#note").inner_text() == "Around v60; not shown: 20 of 61 values."


def test_a_foreign_script_is_stopped_and_seen(opened, file, heard):
    tab = opened(file)
    tab.evaluate("""
        const foreign = (tag, fields) => Object.assign(document.createElement(tag), fields);
        document.body.append(foreign("script", { textContent: "window.hostile = 1" }));
        document.body.append(foreign("img", { src: "https://example.invalid/a.png" }));
    """)
    while len(heard.errors) < 2:  # each is reported when the browser comes to it
        tab.wait_for_event("console")
    assert tab.evaluate("window.hostile") is None
    assert sorted("script-src" in each for each in heard.errors) == [False, True]
    assert all("Content Security Policy" in each for each in heard.errors)
    heard.errors.clear()
    heard.requests.discard("https://example.invalid/a.png")


def test_nan_and_infinity_are_shown_as_they_are(opened, folder):
    root = Value(float("inf"), "a") * Value(float("nan"), "b") + Value(-0.0, "zero")
    tab = opened(page(root, names={}).save(folder / "odd.html"))
    tab.keyboard.press("End")
    cells = tab.eval_on_selector_all("#parameters tbody tr", "all => all.map(r => r.innerText.split('\\t'))")
    table = {row[0]: row[1:3] for row in cells}
    assert table == {"a": ["inf", "nan"], "b": ["nan", "+inf"], "zero": ["0", "+1.00000"]}


def test_the_square_of_a_value_has_two_edges_and_two_contributions(opened, folder):
    x = Value(3.0, "x")
    tab = opened(page(x * x, names={}).save(folder / "square.html"), "#1")
    assert tab.locator(".card").count() == tab.locator(".pill").count() == 2
    assert tab.locator(".edge.flowing").count() == 2
    assert gradients_in_the_graph(tab) == {0: 6.0, 1: 1.0}


def test_sandboxed_frames_work_two_in_one_document(desktop, heard, pass_):
    one = page(pass_)._repr_mimebundle_()["text/html"]
    x = Value(3.0, "x")
    other = page(x * x, names={})._repr_mimebundle_()["text/html"]
    heard.errors.clear()
    tab = desktop
    tab.set_viewport_size(DESKTOP)
    tab.goto("about:blank")  # what is written into a page has its policy
    tab.set_content(f"<!DOCTYPE html><p id='step'>outside</p>{one}{other}")
    frames = [tab.frame_locator("iframe >> nth=0"), tab.frame_locator("iframe >> nth=1")]
    frames[0].locator("#last").click()
    frames[1].locator("#next").click()
    assert frames[0].locator("#counter").inner_text() == f"step {len(pass_)} / {len(pass_)}"
    assert frames[1].locator("#counter").inner_text() == "step 1 / 1"
    assert frames[1].locator("#step h2").inner_text() == "v1 = x·x = 9"
    for frame, values in zip(frames, (41, 2), strict=True):
        assert frame.locator("g.node").count() == values
        height = "e => e.getBoundingClientRect().height"
        assert 15 < frame.locator("g.node.current .outline").evaluate(height) < 80
    assert tab.locator("#step").inner_text() == "outside"
    assert heard.errors == []


# ---------------------------------------------------------------------------------------- how it looks
def test_a_phone_has_no_horizontal_scrolling(opened, file, large, heard):
    tab = opened(file, "#3", viewport=PHONE, has_touch=True, is_mobile=True)
    for path in (file, large[0]):
        heard.requests.clear()
        tab.goto(f"{path.as_uri()}#3")
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        buttons = tab.locator("footer button")
        assert min(buttons.evaluate_all("all => all.map(e => e.getBoundingClientRect().height)")) >= 36
        tab.tap("#next")
        assert step_of(tab) == 4


def test_dark_mode_keeps_dark_text_on_the_bands(opened, file):
    tab = opened(file, "#27", color_scheme="dark")
    style = "(selector) => getComputedStyle(document.querySelector(selector))"
    assert tab.evaluate(f"({style})('body').backgroundColor") == "rgb(20, 24, 31)"
    assert tab.evaluate(f"({style})('.node .gradient').fill") == "rgb(17, 17, 17)"
    plain = ".node text:not([fill], .nabla, .gradient)"
    assert tab.evaluate(f"({style})('{plain}').fill") == "rgb(238, 241, 245)"
    assert tab.evaluate(f"({style})('#map .mapped path').fill") == "rgb(53, 61, 73)"


def test_print_shows_the_step_and_the_whole_graph_without_controls(opened, file):
    tab = opened(file, "#14", color_scheme="dark")
    for _ in range(5):
        tab.keyboard.press("+")
    zoomed = in_the_middle(tab)
    tab.emulate_media(media="print")
    hidden = ["#find", "#fit", "#nearby", "#slider", "footer button >> nth=0"]
    assert [tab.locator(each).is_hidden() for each in hidden] == [True] * len(hidden)
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    pane = tab.locator("#pane").bounding_box()
    every = "all => all.map(e => e.getBoundingClientRect().toJSON())"
    boxes = tab.locator(".node .outline").evaluate_all(every)
    assert max(box["height"] for box in boxes) > 10
    for box in boxes:
        assert pane["x"] <= box["left"] <= box["right"] <= pane["x"] + pane["width"]
        assert pane["y"] <= box["top"] <= box["bottom"] <= pane["y"] + pane["height"]
    assert tab.locator("#counter").inner_text() == "step 14 / 27"
    assert len(tab.pdf(print_background=True)) > 10_000
    tab.emulate_media(media="screen")
    assert in_the_middle(tab)[2] == zoomed[2]


def test_reduced_motion_stops_the_marching_edges(opened, file):
    moving = "getComputedStyle(document.querySelector('.edge.flowing .line')).animationName"
    assert opened(file, "#9", reduced_motion="no-preference").evaluate(moving) == "march"
    assert opened(file, "#9").evaluate(moving) == "none"


def test_text_fits_its_box(tab):
    tab.keyboard.press("End")
    assert text_outside_its_box(tab) == []


def test_the_picture_is_one_image_to_a_screen_reader(tab):
    assert tab.locator("#graph").aria_snapshot() == '- img "computation graph"'


def test_what_a_step_does_is_told_to_a_screen_reader(tab, pass_):
    tab.keyboard.press("ArrowRight")
    step = pass_.steps[0]
    told = tab.locator("[role=status]").inner_text()
    graph = pass_.graph
    assert told.startswith(f"step 1 of {len(pass_)}: {graph.nodes[step.node].name} passes +1.000 to ")
    unnamed = tab.locator("button, input").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.innerText || e.labels?.length)).map(e => e.id)"
    )
    assert unnamed == []


AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


#: What depends on the colours, which is all that another scheme changes.
AXE_COLOURS = AXE | {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def violations(tab, options):
    """What axe finds: half a megabyte of script, which a page is given once."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(Axe().axe_script)
    return tab.evaluate("options => axe.run(options)", options)["violations"]


def found_in_both_schemes(tab):
    """What axe finds in the light, and of the colours in the dark."""
    found = []
    for scheme, options in (("light", AXE), ("dark", AXE_COLOURS)):
        tab.emulate_media(color_scheme=scheme)
        nodes = [(each["id"], node) for each in violations(tab, options) for node in each["nodes"]]
        found += [(scheme, name, node["html"], node["failureSummary"]) for name, node in nodes]
    tab.emulate_media(color_scheme="light")
    return found


def test_axe_finds_nothing_around_a_value(opened, lecture):
    assert found_in_both_schemes(opened(lecture, "#17")) == []


def test_axe_finds_nothing_until_something_is_planted(opened, file):
    tab = opened(file, "#17")
    assert found_in_both_schemes(tab) == []
    for button, back in {"exercise": "exercise", "update": "backward"}.items():
        tab.click(f"#{button}")
        assert (button, found_in_both_schemes(tab)) == (button, [])
        tab.click(f"#{back}")
    tab.evaluate("go(17)")  # an update comes after the last step
    tab.set_viewport_size(PHONE)
    assert found_in_both_schemes(tab) == []
    tab.set_viewport_size(DESKTOP)
    tab.evaluate("['aria-label', 'placeholder'].forEach(each => byId('search').removeAttribute(each))")
    tab.evaluate("byId('counter').style.color = '#cccccc'")
    found = {each["id"] for each in violations(tab, AXE)}
    assert found >= {"label", "color-contrast"}
    tab.emulate_media(color_scheme="dark")
    tab.evaluate("byId('counter').style.color = '#444444'")
    found = {each["id"] for each in violations(tab, AXE_COLOURS)}
    assert found == {"color-contrast"}


# ------------------------------------------------------------------- the map, the time line, the paths
@pytest.fixture(scope="module")
def lecture(folder):
    """The lecture's net with its four samples: 121 values, whose whole graph cannot be read at once."""
    return lecture_s_net(4).save(folder / "lecture.html")


def lecture_s_net(samples):
    net = MLP(3, [4, 4, 1], activation="tanh", seed=1)
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]][:samples]
    loss = sum((net(x) - y) ** 2 for x, y in zip(xs, (1.0, -1.0, -1.0, 1.0), strict=False))
    loss.backward()
    return page(microbp.Graph(loss, names={"net": net, "loss": loss}))


def test_the_map_stays_and_the_current_place_is_lit(opened, lecture):
    tab = opened(lecture)
    boxes = tab.locator("#map g.mapped").count()
    assert 4 <= boxes <= 12
    for step in (0, 7, 33, tab.evaluate("steps.length")):
        tab.evaluate("step => go(step)", step)
        lit = tab.locator("#map .lit")
        assert lit.count() == 1
        assert lit.get_attribute("id") == tab.evaluate("data.boxes[current()]")
        assert lit.is_visible()
        assert tab.locator("#map g.mapped").count() == boxes
    told = tab.locator("#map g.mapped").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert any(each.startswith("layers.1") for each in told)


@pytest.mark.parametrize("how", ["click", "key"])
def test_a_box_of_the_map_opens_in_place(opened, lecture, how):
    tab = opened(lecture)
    box = tab.locator("#map g.mapped").filter(has_text="layers.1")
    if how == "click":
        box.click()
    else:
        box.focus()
        tab.keyboard.press("Enter")
    assert tab.evaluate("data.boxes[current()]") == box.get_attribute("id")
    assert tab.evaluate("drawn.has(current())")


def test_what_a_neighbourhood_leaves_out_is_said_and_all_operands_are_in_it(opened, lecture):
    tab = opened(lecture)
    for step in (0, 20, 40, 60):
        tab.evaluate("step => go(step)", step)
        shown, total = tab.evaluate("drawn.size"), tab.evaluate("nodes.length")
        assert f"not shown: {total - shown} of {total} values" in tab.locator("#note").inner_text()
        assert tab.evaluate("edgesInto[current()].every(edge => drawn.has(edge.source))")
        pane = tab.locator("#pane").bounding_box()
        for chip in tab.locator("#around .node.operand").all():
            box = chip.bounding_box()
            assert pane["x"] <= box["x"]
            assert box["x"] + box["width"] <= pane["x"] + pane["width"]


def test_forward_backward_and_update_are_one_click_apart(tab, pass_):
    tab.click("#forward")
    computed = [node for node in pass_.graph if node.rule is not None]
    assert tab.locator("#counter").inner_text() == f"step 0 / {len(computed) - 1}"
    tab.keyboard.press("End")
    assert tab.locator("#step h2").inner_text().startswith("E = ")
    operands = [pass_.graph[each].name for each in computed[-1].operands]
    assert [each.split(" = ")[0] for each in tab.locator("#step .card").all_inner_texts()] == operands
    assert tab.locator(".node[data-gradient]").count() > 0  # what the pass has done so far is not forgotten
    tab.click("#update")
    rows = [row.split("\t") for row in tab.locator("#step tbody tr").all_inner_texts()]
    final = pass_.gradients()
    assert len(rows) == 10
    for name, data, gradient, after in rows:
        node = pass_.graph[name]
        assert float(data) == pytest.approx(node.data, rel=1e-5)
        assert float(gradient.replace("−", "-")) == pytest.approx(final[node.position], rel=1e-5)
        assert float(after) == pytest.approx(node.data - 0.1 * final[node.position], rel=1e-5)
    tab.fill("#rate", "2")
    w5 = next(row for row in tab.locator("#step tbody tr").all_inner_texts() if row.startswith("w5"))
    assert float(w5.split("\t")[3]) == pytest.approx(0.4 - 2.0 * final[pass_.graph["w5"].position], rel=1e-5)
    tab.click("#backward")
    assert step_of(tab) == len(pass_)


def test_the_end_of_the_pass_is_said(tab):
    tab.keyboard.press("End")
    assert "The pass is complete: every gradient is final." in tab.locator("#step").inner_text()
    tab.keyboard.press("ArrowLeft")
    assert "complete" not in tab.locator("#step").inner_text()


def test_steps_can_be_taken_by_neuron_and_by_layer(opened, folder):
    tab, taken = opened(lecture_s_net(2).save(folder / "two.html"), "#1"), {}
    for by in ("values", "neurons", "layers"):
        tab.click("#first")
        tab.select_option("#by", by)
        tab.click("#next", click_count=2)
        taken[by] = 2 + tab.evaluate("""() => {
          const next = byId("next");
          for (let clicks = 0; ; next.click(), ++clicks) if (next.disabled) return clicks;
        }""")
        assert step_of(tab) == tab.evaluate("steps.length")
    assert taken["layers"] < taken["neurons"] <= taken["values"] == tab.evaluate("steps.length")


def test_the_paths_of_a_parameter_are_lit_with_their_shares(tab, pass_):
    tab.hover("#parameters tr:has-text('b1') th")
    shares = tab.evaluate("Object.fromEntries(sharesOf(nodes.findIndex(n => n.name === 'b1')))")
    root = pass_.graph.root
    into_root = [shares[f"e{root.position}_{place}"] for place in range(2)]
    assert sum(into_root) == pytest.approx(1.0)
    from_b1 = [shares[f"e{user}_{place}"] for user, place in pass_.graph.uses()[pass_.graph["b1"].position]]
    assert sum(from_b1) == pytest.approx(1.0)
    assert tab.locator(".edge[data-path]").count() == len(shares)
    assert tab.locator(".share").count() == len(shares)
    tab.hover("h1")
    assert tab.locator(".edge[data-path]").count() == 0


def test_the_page_speaks_chinese(tab):
    english = tab.locator("[data-say]").all_inner_texts()
    tab.click("#language")
    assert tab.locator("html").get_attribute("lang") == "zh-Hans"
    chinese = tab.locator("[data-say]").all_inner_texts()
    assert all(a != b for a, b in zip(english, chinese, strict=True) if a.strip())
    assert "反向传播" not in tab.locator("#step").inner_text()
    tab.keyboard.press("End")
    assert "反向传播完成" in tab.locator("#step").inner_text()
    told = tab.locator("[role=status]").inner_text()
    assert told.startswith("第 27 步，共 27 步：")
    assert " 给 " in told
    for where in ("aria-label", "placeholder", "title"):
        spoken = tab.locator(f"[data-label][{where}]")
        texts = spoken.evaluate_all(f"all => all.map(e => e.getAttribute('{where}'))")
        assert all(re.search("[\u4e00-\u9fff]", each) or each.startswith("English") for each in texts), texts
    assert tab.evaluate("Object.values(sayings).every(([one, other]) => one && other && one !== other)")
    tab.click("#language")
    assert tab.locator("[data-say]").all_inner_texts() == english


def test_an_exercise_asks_for_each_gradient_and_says_what_is_wrong(tab, pass_):
    h1 = pass_.graph["h1"].position
    step, gift = [(s, c) for s in pass_.steps for c in s.contributions if c.operand == h1][1]
    tab.evaluate("step => go(step)", step.index)
    tab.click("#exercise")
    assert gradients_in_the_graph(tab)[h1] is None  # it is asked for
    signs = tab.locator("#graph .edge.flowing:is(.plus, .minus)")
    assert (tab.locator("#graph .edge.flowing").count(), signs.count()) == (2, 0)  # nor does a colour tell it
    box = tab.locator(".card", has=tab.locator("button.jump", has_text="h1"))
    assert f"{gift.amount:.4f}" not in box.inner_text()
    said = {
        f"{-gift.after:.5g}": "✗ the sign is wrong",
        f"{gift.amount:.5g}": "✗ what came before is to be added: +=",
        f"{gift.before:.5g}": "✗ that is the gradient before this step",
        f"{gift.before + step.upstream:.5g}": "✗ the local derivative is missing",
        f"{gift.before + gift.local:.5g}": "✗ the upstream gradient is missing",
        f"{2 * gift.after:.5g}": "✗ twice as much as it is",
        "0.7777": "✗ not right",
        "0.04": "✗ not right: write three digits or more",
        "-": "✗ not a number",
        f"{gift.after:.4g}".replace(".", ","): "✓ right",
    }
    for typed, told in said.items():
        box.locator("input").fill(typed)
        box.locator("input").press("Enter")
        assert (typed, box.locator(".verdict").inner_text()) == (typed, told)
    assert gradients_in_the_graph(tab)[h1] == gift.after
    assert signs.count() == 1
    tab.click("#exercise")
    assert box.locator("input").count() == 0
    assert gradients_in_the_graph(tab) == expected(pass_, step.index)


def test_an_exercise_tells_no_answer_to_a_reader_who_hears_the_page(tab):
    tab.click("#exercise")
    assert tab.locator("#status").text_content() == "step 1 of 27: E"


def test_an_exercise_tells_no_shares(tab):
    row = tab.locator("#parameters tr", has_text="b1")
    row.locator("button").focus()
    assert tab.locator(".share").count() > 0
    tab.evaluate("byId('exercise').click()")  # the focus stays where it is
    assert tab.locator(".share, .edge[data-path]").count() == 0
    row.hover()
    tab.hover("#graph g.node.parameter >> nth=0")
    assert tab.locator(".share, .edge[data-path]").count() == 0
    tab.click("#exercise")
    row.hover()
    assert tab.locator(".share").count() > 0


def test_an_exercise_puts_what_was_solved_into_the_tables(tab, pass_):
    open_every(tab)
    tab.click("#exercise")
    solved = pass_.steps[0].contributions[0]
    row = tab.locator(f"#values tr[data-position='{solved.operand}'] td")
    assert row.nth(1).inner_text() == ""
    tab.locator(".answer").first.fill(repr(solved.after))
    tab.locator(".answer").first.press("Enter")
    assert row.nth(1).inner_text() == "+1.00000"


@pytest.mark.parametrize("data", [(0.0, float("inf")), (0.0, float("nan")), (1e300, -1e300)])
def test_a_gradient_beyond_all_numbers_is_met_by_its_name_only(opened, folder, data):
    """Any number was right where the gradient is infinite, and none where it is not a number."""
    x, y = Value(data[0], name="x"), Value(data[1], name="y")
    loss = (x * y) * Value(1e300, name="z")
    tab = opened(page(trace(loss, {})).save(folder / "beyond.html"), "#2")
    tab.click("#exercise")
    box = tab.locator(".card", has=tab.locator("button.jump", has_text="x"))
    truth = trace(loss, {}).gradients()[Graph(loss, {})["x"].position]
    said = {"1.25": False, "nan": isnan(truth), "inf": truth > 1, "−inf": truth < -1, "inv": False}
    for typed, right in said.items():
        box.locator("input").fill(typed)
        box.locator("input").press("Enter")
        assert (typed, box.locator(".verdict").inner_text() == "✓ right") == (typed, right)


def test_a_leaf_alone_has_a_forward_phase_too(opened, folder):
    tab = opened(page(trace(Value(3.0, name="leaf"), {})).save(folder / "leaf.html"))
    tab.click("#forward")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#step h2").inner_text() == "leaf = 3"
    assert tab.locator("#forward").get_attribute("aria-pressed") == "true"


def test_a_step_back_from_the_update_is_one_of_the_backward_pass(tab):
    """The page said "update" and stood at some other step."""
    tab.click("#update")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#update").get_attribute("aria-pressed") == "true"
    tab.keyboard.press("ArrowLeft")
    assert tab.locator("#backward").get_attribute("aria-pressed") == "true"
    assert (step_of(tab), tab.locator("#step .upstream").count()) == (26, 1)


def test_a_link_to_a_step_leads_there_from_the_forward_phase(tab):
    tab.click("#forward")
    tab.evaluate("window.location.hash = '#7'")
    tab.wait_for_function("at === 7 && phase === 'backward'")


def test_parameters_of_a_net_can_be_told_apart_in_the_table(opened, folder):
    """At 1280 px all were ``layers.0.neurons``, their ends cut off."""
    model = MLP(2, [2, 1], seed=1)
    tab = opened(page(model([0.1, 0.2])).save(folder / "names.html"), viewport={"width": 1280, "height": 720})
    tab.keyboard.press("End")  # the gradients take room too
    names = tab.locator("#parameters th")
    seen = tab.evaluate(SEEN)
    assert len(set(seen)) == len(seen) == tab.locator("#parameters th[scope=row]").count() >= 9
    assert names.evaluate_all("all => all.every(e => e.scrollWidth <= e.clientWidth)")


#: Of each row what the eye sees: its name, and the heading above it if it stands further in than that.
SEEN = """() => {
  let [heading, left] = ["", 0];
  return [...byId("parameters").querySelectorAll("tbody th")].flatMap((th) => {
    const parts = [...th.querySelectorAll("bdi")].flatMap((bdi) => [...bdi.childNodes]);
    const texts = parts.filter((e) => e.nodeType === 3);
    const range = new Range();
    range.selectNodeContents(texts[0]);
    const box = range.getBoundingClientRect();
    const name = box.width > 0 ? texts.map((e) => e.data).join("") : "";
    if (th.scope === "rowgroup") [heading, left] = [name, box.left];
    return th.scope === "rowgroup" ? [] : [`${box.left > left + 8 ? heading : ""}|${name}`];
  });
}"""


def test_an_input_called_as_a_parameter_is_seen_not_to_be_of_the_last_module(opened, folder):
    """It stood below the last one as if under the heading of its module."""
    model = MLP(2, [2, 1], seed=1)
    graph = Graph(model([Value(0.1, "b"), 0.2]), names={"model": model})
    seen = opened(page(graph).save(folder / "inputs.html"), "#99").evaluate(SEEN)
    assert "|b" in seen
    assert len(set(seen)) == len(seen)


def test_rows_below_the_window_are_laid_out_for_a_picture_of_all_the_page(opened, lecture):
    """They were blank in it."""
    tab = opened(lecture, viewport=PHONE)
    open_every(tab)
    laid_out = "all => all.every(e => e.checkVisibility({ contentVisibilityAuto: true }))"
    for media in "screen", "print":
        tab.emulate_media(media=media)
        assert (media, tab.locator("tbody th").evaluate_all(laid_out)) == (media, True)


def test_the_window_itself_does_not_scroll_whatever_the_tables_hold(opened, lecture):
    tab = opened(lecture, "#9")
    overlong = "document.documentElement.scrollHeight - innerHeight"
    for open_ in (open_every, lambda tab: tab.click("#update")):
        open_(tab)
        assert tab.evaluate(overlong) == 0


def test_the_halo_of_the_map_is_as_round_as_the_box_and_only_its_colour_changes(opened, lecture):
    """A browser's outline is a rectangle around it."""
    tab = opened(lecture, "#40")
    outline, halo = (tab.locator(f"#map .lit > path >> nth={each}") for each in (0, 1))
    assert halo.get_attribute("d") == outline.get_attribute("d")
    style = "({ stroke, outlineStyle }) => [stroke, outlineStyle]"
    assert halo.evaluate(f"e => ({style})(getComputedStyle(e))") == ["rgb(194, 24, 91)", "none"]
    width = "e => getComputedStyle(e).strokeWidth + getComputedStyle(e).strokeDasharray"
    shapes = f"all => new Set(all.map({width})).size"
    assert tab.locator("#map .halo").evaluate_all(shapes) == 1


def test_a_picture_seen_whole_keeps_what_is_painted(tab):
    """Of what cannot be scrolled a browser keeps no more than it shows; that is for zoomed views."""
    overflow = "getComputedStyle(sheet).overflowX"
    tab.keyboard.press("f")
    assert tab.evaluate(overflow) == "auto"
    for _ in range(5):
        tab.keyboard.press("+")
    assert tab.evaluate(overflow) == "hidden"


def test_parameters_stand_under_the_name_of_their_module(opened, folder):
    """Each row repeated ``layers.0.neurons.``, on two lines."""
    model = MLP(2, [2, 1], seed=1)
    tab = opened(page(Graph(model([0.1, 0.2]), names={"model": model})).save(folder / "modules.html"), "#99")
    neurons = [f"layers.{layer}.neurons.{neuron}" for layer, neuron in ((0, 0), (0, 1), (1, 0))]
    for language in "en", "zh-Hans":
        for table, button in ("#parameters", "#backward"), ("#step", "#update"):
            tab.click(button)
            assert tab.locator(f"{table} th[scope=rowgroup]").all_text_contents() == neurons
            rows = tab.locator(f"{table} th[scope=row]")
            heard = [f"{each}.{own}" for each in neurons for own in ("w.0", "w.1", "b")]
            assert rows.all_text_contents() == heard
            if table == "#parameters":
                assert f'- rowheader "{neurons[0]}. w.0"' in tab.locator(table).aria_snapshot()
            assert max(rows.evaluate_all("all => all.map(e => e.offsetHeight)")) < 30
        assert tab.locator("html").get_attribute("lang") == language
        tab.click("#language")


def test_what_is_not_finite_can_be_read_in_the_dark(opened, folder):
    x, y = Value(0.0, name="x"), Value(float("inf"), name="y")
    tab = opened(page(x * y).save(folder / "alarm.html"), color_scheme="dark")
    shown = tab.locator("#graph text", has_text="! inf").first
    assert shown.evaluate("e => getComputedStyle(e).fill") == "rgb(255, 138, 230)"


def test_a_name_of_blanks_can_be_seen_and_the_map_gives_no_answer_away(opened, folder):
    w, x = Value(0.5, name="  "), Value(3.0, name="x")
    loss = microbp.sum([(w * x + k).tanh() for k in range(4)])
    loss.backward()
    tab = opened(page(loss).save(folder / "blanks.html"))
    assert tab.locator("#parameters th[scope=row]").all_inner_texts() == ["␣␣", "x"]
    for shown in True, False, True:
        assert tab.locator("#map").is_visible() == shown
        tab.click("#exercise")


def test_the_page_paints_in_the_colours_of_the_drawings(tab, pass_):
    scale = Scale.over(pass_.gradients())
    for x in (*pass_.gradients(), 0.0, -1e-12, 1e300, inf, -inf, nan):
        wanted = "#{:02x}{:02x}{:02x}".format
        told = tab.evaluate("x => colour(Number(x))", repr(x).replace("inf", "Infinity"))
        shown = told if told.startswith("#") else wanted(*map(int, re.findall(r"\d+", told)))
        assert shown == scale.colour(x)


# --------------------------------------------------------------------- faults that were seen, and are gone
def test_nothing_is_pale_before_the_gradient_comes(tab):
    full = "all => all.every(e => getComputedStyle(e).opacity === '1')"
    assert tab.locator("g.node").evaluate_all(full)
    assert tab.locator("g.edge").evaluate_all(full)
    filled = "all => all.filter(e => getComputedStyle(e).fill !== 'none').length"
    assert tab.locator("g.node .band").evaluate_all(filled) == 1  # only the seed has a band


def test_the_arrow_of_a_contribution_points_to_the_operand(tab):
    tab.keyboard.press("ArrowRight")
    flowing = tab.locator(".edge.flowing").count()
    assert tab.locator(".edge.flowing .line[marker-start]").count() == flowing > 0
    heads = "all => all.map(e => getComputedStyle(e).visibility)"
    assert set(tab.locator(".edge.flowing polygon").evaluate_all(heads)) == {"hidden"}
    tab.keyboard.press("ArrowLeft")
    assert tab.locator(".line[marker-start]").count() == 0


def test_the_sign_of_an_operation_stands_outside_of_the_gradient_s_band(tab):
    apart = """all => all.filter(group => {
      const band = group.querySelector(".band").getBBox();
      return [...group.querySelectorAll("text:not(.nabla, .gradient)")].some((each) => {
        const { x, y, width, height } = each.getBBox();
        return width > 0 && x + width > band.x + 1 && x < band.x + band.width && y + height > band.y + 3;
      });
    }).map((group) => group.id)"""
    assert tab.locator("g.node").evaluate_all(apart) == []


def test_a_tooltip_goes_with_the_next_key(tab):
    tab.hover("g.node >> nth=3")
    assert tab.locator("#tip").is_visible()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#tip").is_hidden()


def test_on_a_phone_play_and_next_look_different_and_there_is_a_legend(opened, file):
    tab = opened(file, viewport=PHONE)
    signs = tab.locator("footer button path").evaluate_all("all => all.map(e => e.getAttribute('d'))")
    assert len(set(signs)) == 5
    assert tab.locator("#legend").is_visible()
    tab.click("#play")
    assert tab.locator("#play").get_attribute("aria-label") == "pause"


def test_at_1280_pixels_no_word_is_cut_or_broken(opened, file):
    tab = opened(file, viewport={"width": 1280, "height": 720})
    assert tab.locator("#fit").bounding_box()["height"] < 40
    whole = "all => all.every(e => e.scrollWidth <= e.clientWidth)"
    assert tab.locator("#parameters thead th").evaluate_all(whole)
    side = tab.locator("#side").bounding_box()
    for head in tab.locator("#parameters thead th").all():
        box = head.bounding_box()
        assert head.inner_text().strip()
        assert box["x"] + box["width"] <= side["x"] + side["width"]


def test_the_row_of_what_receives_a_gradient_is_in_sight(opened, lecture):
    tab = opened(lecture)
    seen = tab.evaluate("""async () => {
      const found = [];
      for (let step = 0; step < steps.length; step += 5) {
        go(step);
        await new Promise(requestAnimationFrame);
        const row = document.querySelector("#parameters tr.here");
        if (row) found.push([byId("leaves"), row].map((each) => each.getBoundingClientRect().toJSON()));
      }
      return found;
    }""")
    assert len(seen) > 3
    for box, row in seen:
        assert box["top"] - 1 <= row["top"]
        assert row["bottom"] <= box["bottom"] + 1


def test_every_target_is_24_pixels_high_and_wide(opened, lecture):
    tab = opened(lecture)
    small = """all => all.filter((e) => {
      const { width, height } = e.getBoundingClientRect();
      return width > 0 && (width < 24 || height < 24) && !e.closest("label");
    }).map((e) => e.outerHTML.slice(0, 60))"""
    for size in DESKTOP, PHONE:
        tab.set_viewport_size(size)
        targets = tab.locator("button, select, input, summary, label, #map g.mapped")
        assert (size, targets.evaluate_all(small)) == (size, [])


def test_a_thousand_values_are_shown_whole_and_stepped(opened, folder):
    model = MLP(4, [6, 6, 1], seed=1)
    total = sum(((model([0.1 * k, -0.2, 0.3, 0.05 * k]) - 1.0) ** 2 for k in range(28)), Value(0.0))
    made = page(microbp.Graph(total, names={"model": model}))
    assert 800 < made.values <= 1_000
    tab = opened(made.save(folder / "thousand.html"))
    for step in (7, 70, 210):
        tab.evaluate("step => { go(step); return new Promise(requestAnimationFrame); }", step)
        assert tab.locator("#counter").inner_text().startswith(f"step {step} / ")


def test_twelve_thousand_values_open_with_a_map(opened, folder):
    model = MLP(4, [16, 16, 1], seed=1)
    total = sum(((model([0.1 * k, -0.2, 0.3, 0.05 * k]) - 1.0) ** 2 for k in range(175)), Value(0.0))
    made = page(microbp.Graph(total, names={"model": model, "total": total}))
    assert 12_000 < made.values <= 20_000
    tab = opened(made.save(folder / "many.html"))
    assert 3 <= tab.locator("#map g.mapped").count() <= 40
    tab.locator("#map g.mapped").filter(has_text="layers.1").first.click()
    assert tab.locator("#map .lit").count() == 1
