"""The whole backward pass as a GIF and as an SVG that moves by itself."""

import io
import re
import sys
from functools import cache

import numpy as np
import pytest
from PIL import Image
from viz_support import HOSTILE, SVG, by_id, chromium, parsed, tutorial_4

from microbp import Value, trace
from viz import Animation, NoEngine, TooManyValues, animate, draw_step
from viz.animation import moving
from viz.dot import source
from viz.engines import render
from viz.gif import Part, colours, gif

ENGINES = pytest.mark.parametrize("engine", ["dot", "pygraphviz"])


@pytest.fixture(scope="module")
def pass_():
    return trace(tutorial_4(), {})


@pytest.fixture(scope="module")
def animations(pass_):
    return {engine: animate(pass_, engine=engine) for engine in ("dot", "pygraphviz")}


@pytest.fixture(scope="module", params=["dot", "pygraphviz"])
def animation(request, animations):
    return animations[request.param]


@pytest.fixture(scope="module")
def drawings(pass_):
    """The picture of each step for itself."""
    return [draw_step(pass_, step) for step in range(28)]


@pytest.fixture(scope="module")
def steps(drawings):
    """The SVG of each; the texts in it, and their order, are those of either engine."""
    return [each.svg for each in drawings]


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def small():
    w, x = Value(0.5, name="w"), Value(3.0, name="x")
    return animate((w * x).tanh(), names={})


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@cache
def moves(svg):
    """A moving SVG, how long it takes, and by class from when on what it names is visible or hidden."""
    root = parsed(svg)
    rules = root.findtext(f"{SVG}style")
    found = re.findall(r"@keyframes \w+-(\d+)\{((?:[\d.]+%\{visibility:\w+\})+)\}", rules)
    turns = {f"r{each}": re.findall(r"([\d.]+)%\{visibility:(\w+)\}", steps) for each, steps in found}
    return root, int(re.search(r"animation:(\d+)ms", rules)[1]), turns


def seen(svg, frame):
    """The texts that the style sheet of a moving SVG shows in a frame, in the order of drawing."""
    root, whole, turns = moves(svg)
    share = 100 * (frame * 800 + 400) / whole
    visible = {
        each: [how for start, how in steps if float(start) <= share][-1] == "visible"
        for each, steps in turns.items()
    }
    return [*_texts(root, lambda element: visible.get(element.get("class"), True))]


def _texts(element, is_visible):
    if is_visible(element):
        if element.tag == f"{SVG}text":
            yield element.text
        for child in element:
            yield from _texts(child, is_visible)


@cache
def drawn(svg):
    return [*_texts(parsed(svg), lambda _: True)]


def still(svg):
    """What is shown where nothing moves: the texts that no rule outside of ``@media`` hides."""
    root = parsed(svg)
    hidden = set(re.findall(r"\.(r\d+)", root.findtext(f"{SVG}style").partition("@media")[0]))
    return [*_texts(root, lambda element: element.get("class") not in hidden)]


# -------------------------------------------------------------------------------------------- frames
def test_there_is_one_frame_for_the_seed_and_one_for_each_step(animation):
    assert animation.frames == len(animation.captions) == len(animation.durations) == 28
    assert animation.captions[0].startswith("step 0 of 27: ")
    assert animation.captions[27].startswith("step 27 of 27: ")
    assert repr(animation).startswith("Animation: 28 frames, 24.8 s, engine ")


def test_a_part_has_only_the_steps_in_which_something_is_seen(pass_):
    part = animate(pass_, around="h1", hops=1)
    assert part.frames == len(part.film.steps) < 10
    assert part.captions[-1].startswith(f"step {part.film.steps[-1]} of 27: ")


# ----------------------------------------------------------------------------------------------- GIF
def test_the_gif_has_all_frames_and_holds_the_last(animation):
    with Image.open(io.BytesIO(animation.gif)) as image:
        assert (image.format, image.n_frames, image.info["loop"]) == ("GIF", 28, 0)
        durations = []
        for frame in range(28):
            image.seek(frame)
            durations.append(image.info["duration"])
    assert durations == animation.durations == [800] * 27 + [3200]


def test_each_frame_of_a_gif_is_the_picture_that_it_was_made_of(pass_):
    drawn = [draw_step(pass_, step).picture for step in (0, 13, 16, 17, 27)]
    pictures = [render(source(each, None, 72), "png") for each in drawn]
    pixels = [np.asarray(Image.open(io.BytesIO(each)).convert("RGB"), float) for each in pictures]
    frames = [Part(frame, 0, 0, colours(each)) for frame, each in enumerate(pictures)]
    with Image.open(io.BytesIO(gif(frames, [500] * len(frames)))) as image:
        for frame, own in enumerate(pixels):
            image.seek(frame)
            shown = np.asarray(image.convert("RGB"), float)
            assert np.abs(shown - own).mean() < 0.2
            assert np.abs(shown - pixels[frame - 2]).mean() > 1.0


def test_a_gif_of_which_only_the_changes_are_drawn_shows_every_step_whole(animation, drawings):
    engine = animation.engine.split()[0]
    with Image.open(io.BytesIO(animation.gif)) as image:
        for step in range(0, 28, 3):
            image.seek(step)
            png = render(source(drawings[step].picture, None, 72), "png", engine)
            own = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int16)
            high, wide, _ = own.shape
            shown = np.asarray(image.convert("RGB"), np.int16)[:high, :wide]
            assert np.abs(shown - own).mean() < 0.2
            assert (np.abs(shown - own).max(axis=2) > 100).sum() < 100  # an arrow begins a little sooner


def test_white_stays_white(animation):
    with Image.open(io.BytesIO(animation.gif)) as image:
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_the_files_are_small(animation):
    assert len(animation.svg) < 300_000
    if animation.engine.startswith("dot"):  # the other draws the same, and takes as long again
        assert len(animation.gif) < 400_000


def test_the_time_of_a_step_is_a_multiple_of_ten_milliseconds(pass_):
    assert animate(pass_, seconds_per_step=0.123).durations == [120] * 27 + [480]


def test_a_pass_without_steps_is_one_frame(tmp_path):
    path = animate(Value(2.0, name="x"), names={}).save(tmp_path / "x.gif")
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 1


def test_a_gif_needs_pillow_and_says_where_it_comes_from(monkeypatch, small, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    message = (
        "a GIF needs the Python package pillow: `pip install 'microbp[viz]'` brings it. "
        "An SVG animation needs none: save it as a .svg file"
    )
    with pytest.raises(ModuleNotFoundError, match=f"^{re.escape(message)}$"):
        small.save(tmp_path / "x.gif")
    assert list(tmp_path.iterdir()) == []
    small.save(tmp_path / "x.svg")


# ----------------------------------------------------------------------------------------------- SVG
def test_the_svg_shows_in_each_frame_what_the_picture_of_its_step_shows(animation, steps, pass_):
    for step, own in enumerate(steps):
        assert seen(animation.svg, step) == drawn(own)
    engine = animation.engine.split()[0]
    assert seen(animation.svg, 13) == drawn(draw_step(pass_, 13, engine=engine).svg)


def test_a_frame_that_shows_something_else_is_found_out(animations, steps):
    """A planted error: two frames have changed places."""
    durations = animations["dot"].durations
    planted = moving([*steps[:9], steps[10], steps[9], *steps[11:]], durations, "planted")
    wrong = [step for step, own in enumerate(steps) if seen(planted, step) != drawn(own)]
    assert wrong == [9, 10]


def test_where_nothing_moves_the_last_frame_stands(animation, steps):
    assert still(animation.svg) == drawn(steps[27])
    before, _, after = animation.svg.partition("@media screen and (prefers-reduced-motion:no-preference){")
    assert ("animation" in before, after.count("animation:")) == (False, 1)


def test_the_svg_has_no_script_and_asks_for_nothing(animation):
    tags = {element.tag.removeprefix(SVG) for element in parsed(animation.svg).iter()}
    assert tags <= {"svg", "style", "desc", "g", "title", "text", "path", "polygon", "polyline", "ellipse"}
    assert not re.search(r"url\(|@import|href", animation.svg)


def test_every_value_and_edge_has_its_id_once(animation, pass_):
    found = by_id(animation.svg)
    assert {f"n{at}" for at in range(41)} <= found.keys()
    assert sum(name.startswith("e") for name in found) == 46
    assert f"∇ {pass_.gradients()[0]!r}" in found["n0"].findtext(f"{SVG}title")


def test_two_animations_on_one_page_do_not_share_rules(small):
    both = small.svg, animate(small.film.trace, dark=True).svg
    names = {re.search(r"@keyframes (\w+)-", each)[1] for each in both}
    assert len(names) == 2


def test_frames_of_different_sizes_are_found_out(pass_):
    """A planted error: a frame of another graph, smaller or larger than the first."""
    other = animate(Value(2.0, name="x").exp(), names={})
    small, large = draw_step(other.film.trace, 1), draw_step(pass_, 1)
    with pytest.raises(AssertionError, match="frames of different sizes"):
        moving([large.svg, small.svg], [800, 800], "planted")
    with pytest.raises(AssertionError, match=r"\d+ × \d+ pixels at 0, 0 do not fit"):
        gif([Part(at, 0, 0, colours(each)) for at, each in enumerate((small.png, large.png))], [800, 800])


def test_a_browser_moves_it_unless_its_user_wants_no_motion(animation, browser, tmp_path):
    path = animation.save(tmp_path / "pass.svg")
    running = "document.getAnimations().length"
    hold = "document.getAnimations().forEach(each => {each.pause(); each.currentTime = 17 * 800 + 400})"
    shown = (
        "[...document.querySelectorAll('text')]"
        ".filter(each => getComputedStyle(each).visibility == 'visible').map(each => each.textContent)"
    )
    page = browser.new_page(reduced_motion="reduce")
    page.goto(path.as_uri())
    assert page.evaluate(running) == 0
    assert page.evaluate(shown) == seen(animation.svg, 27)
    page.emulate_media(reduced_motion="no-preference")
    page.goto(path.as_uri())
    assert page.evaluate(running) > 0
    page.evaluate(hold)
    assert page.evaluate(shown) == seen(animation.svg, 17)
    page.close()


# ----------------------------------------------------------------------------------- hostile, and files
@ENGINES
def test_hostile_names(engine):
    total = Value(1.0, name="total")
    for name in HOSTILE[::3]:
        total = total + Value(0.5, name=name).tanh()
    total.name = HOSTILE[0]
    made = animate(total, names={}, engine=engine, title=HOSTILE[2])
    assert made.frames == 2 * len(HOSTILE[::3]) + 1
    assert {f"n{at}" for at in range(made.frames)} <= by_id(made.svg).keys()
    assert "<script" not in made.svg


def test_save_writes_by_the_suffix(small, tmp_path):
    assert small.save(tmp_path / "a.gif").read_bytes().startswith(b"GIF89a")
    assert small.save(str(tmp_path / "a.SVG")).read_text(encoding="utf-8") == small.svg
    for name in ("a", "a.png", "a.mp4"):
        message = (
            f"cannot save an animation as {name!r}: the suffix is one of .gif, .svg; "
            "a single step is drawn by draw_step"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            small.save(tmp_path / name)
    folder = str(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no folder {folder!r}")):
        small.save(tmp_path / "none" / "a.gif")


def test_a_notebook_gets_one_picture_and_a_line_of_text(small):
    assert small._repr_mimebundle_() == {"image/svg+xml": small.svg, "text/plain": repr(small)}
    as_gif = Animation(small.film, format="gif")
    assert set(as_gif._repr_mimebundle_()) == {"image/gif", "text/plain"}


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_a_notebook_gets_the_reason(small, tmp_path):
    told = small._repr_mimebundle_()
    assert set(told) == {"text/plain"}
    assert told["text/plain"].startswith("Animation without a picture: no layout engine: ")
    assert "engine none (no layout engine" in repr(small)
    with pytest.raises(NoEngine, match="pip install microbp"):
        small.save(tmp_path / "x.gif")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds_per_step": 0}, "seconds_per_step=0: from 0.02 to 600 seconds"),
        ({"seconds_per_step": float("nan")}, "seconds_per_step=nan: from 0.02 to 600 seconds"),
        ({"dpi": 5}, "dpi=5: from 10 to 600 dots per inch"),
        ({"engine": "neato"}, "engine='neato': it is one of 'auto', 'dot', 'pygraphviz'"),
        ({"format": "png"}, "format='png': it is one of 'gif', 'svg'"),
        ({"edges": "both"}, "edges='both': it is one of 'local', 'contribution', 'none'"),
    ],
)
def test_wrong_options_are_refused(options, message, pass_):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        animate(pass_, **options)


def test_what_has_no_steps_is_refused():
    with pytest.raises(TypeError, match=r"^animate\(\) takes a Value, a Graph or a Trace, not int: a plain"):
        animate(2)
    x = y = Value(1.0, name="x")
    for _ in range(300):
        y = y + x
    with pytest.raises(TooManyValues, match=r"^animate\(\) draws each of 301 values.*viz\.page\(loss\)"):
        animate(y, names={})
    message = (
        "animate() would show 302 frames, in each of which a value that is drawn gets or passes on a "
        "gradient, and no one looks at more than 301. Leave out the values that so many others use, by "
        "between=(name, name); step through the pass on a page, viz.page(loss); or draw single steps, "
        "viz.draw_step(loss, step)"
    )
    with pytest.raises(TooManyValues, match=f"^{re.escape(message)}$"):
        animate(y + x, names={}, around=y, hops=1)
