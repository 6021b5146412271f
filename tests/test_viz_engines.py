"""Layout engines: which is taken, what is said when there is none, and what when one fails."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from viz_support import small

from viz.dot import source
from viz.engines import EngineFailed, NoEngine, engine_name, render

ENGINES = pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
TEXT = 'digraph { a [id="n0"]; b [id="n1"]; a -> b [id="e1_0"]; a -> b [id="e1_1"] }'


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def no_pygraphviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@ENGINES
def test_each_engine_draws_every_format(engine):
    begins = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "plain": b"graph ", "json": b"{"}
    for kind, magic in begins.items():
        assert render(TEXT, kind, engine).startswith(magic)


@ENGINES
def test_each_engine_keeps_parallel_edges_and_ids(engine):
    svg = render(TEXT, "svg", engine).decode()
    assert all(svg.count(f'id="{each}"') == 1 for each in ("n0", "n1", "e1_0", "e1_1"))


@ENGINES
def test_each_engine_draws_a_picture_of_every_kind_without_complaint(engine, tmp_path):
    (tmp_path / "small.dot").write_text(source(small()), encoding="utf-8")
    drawing = (
        "import sys; from viz.engines import render\n"
        f"render(open({str(tmp_path / 'small.dot')!r}, encoding='utf-8').read(), 'svg', {engine!r})"
    )
    command = ["dot", "-Tsvg", "-O", "small.dot"] if engine == "dot" else [sys.executable, "-c", drawing]
    ran = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=tmp_path, env={**_environment()}
    )
    complaints = [line for line in ran.stderr.splitlines() if not line.startswith("Fontconfig warning")]
    assert complaints == []


def _environment():
    import os
    from pathlib import Path

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def test_engines_name_themselves_with_a_version():
    name, version = engine_name("dot").split()
    assert name == "dot"
    assert int(version.partition(".")[0]) >= 2
    assert engine_name("pygraphviz").startswith("pygraphviz 2.")
    assert engine_name() == engine_name("auto") == engine_name("dot")


@pytest.mark.usefixtures("no_dot")
def test_without_dot_pygraphviz_draws():
    assert engine_name().startswith("pygraphviz ")
    assert render(TEXT).startswith(b"<?xml")


@pytest.mark.usefixtures("no_pygraphviz")
def test_without_pygraphviz_dot_draws():
    assert engine_name().startswith("dot ")
    assert render(TEXT).startswith(b"<?xml")


LETTERS = """digraph { dpi=300; n [shape=box style=filled fillcolor="#ffff00" margin="0,0" width=0 height=0
fontname="DejaVu Sans" fontsize=10
label=<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0"><TR><TD>HHH</TD></TR></TABLE>>] }"""


def rows_around_letters(engine):
    """Rows of pixels above and below the capitals in a box of a PNG."""
    pixels = np.asarray(Image.open(io.BytesIO(render(LETTERS, "png", engine))).convert("RGB")).astype(int)
    box = np.argwhere((pixels[..., 2] < 60) & (pixels[..., 0] > 200))
    (top, left), (bottom, right) = box.min(axis=0), box.max(axis=0)
    dark = np.flatnonzero((pixels[top : bottom + 1, left + 6 : right - 6].sum(axis=2) < 200).any(axis=1))
    return dark[0], bottom - top - dark[-1]


def test_text_in_a_png_stands_in_the_middle_of_its_box():
    above, below = rows_around_letters("auto")
    assert 0.6 * below <= above <= below  # below a capital there is room for a g
    if engine_name("dot") < "dot 3":
        above, below = rows_around_letters("dot")
        assert above < 0.6 * below


@pytest.mark.usefixtures("no_dot", "no_pygraphviz")
def test_without_engine_one_error_names_both_ways_out():
    for attempt in (lambda: render(TEXT), engine_name):
        with pytest.raises(NoEngine) as caught:
            attempt()
        assert str(caught.value) == (
            "no layout engine: there is no program dot on the PATH and no package pygraphviz; "
            "install one of them: `apt-get install graphviz` (or your system's package) brings dot, "
            "`pip install microbp[viz]` brings pygraphviz with its own engine. The DOT text needs neither: "
            "Drawing.dot, or save it as a .dot file."
        )


@pytest.mark.usefixtures("no_dot")
def test_an_engine_that_was_asked_for_is_not_replaced():
    with pytest.raises(NoEngine, match="there is no program dot on the PATH; install"):
        render(TEXT, engine="dot")


@pytest.mark.usefixtures("no_pygraphviz")
def test_pygraphviz_that_was_asked_for_is_not_replaced():
    with pytest.raises(NoEngine, match="there is no package pygraphviz; install"):
        render(TEXT, engine="pygraphviz")


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine='neato': it is one of 'auto', 'dot', 'pygraphviz'"):
        render(TEXT, engine="neato")


@pytest.mark.parametrize(("engine", "words"), [("dot", ".*syntax error"), ("pygraphviz", "Invalid Input")])
def test_a_text_that_is_no_dot_fails_in_the_engines_words(engine, words):
    with pytest.raises(EngineFailed, match=f"{engine} could not draw the picture as svg: {words}"):
        render("digraph { a -> }", "svg", engine)


def test_an_unknown_format_is_refused():
    with pytest.raises(
        ValueError, match="format='gif': it is one of 'svg', 'png', 'pdf', 'json', 'json0', 'plain'"
    ):
        render(TEXT, "gif")


def test_importing_viz_imports_no_engine():
    code = (
        "import sys, viz; engines = 'graphviz', 'pygraphviz', 'matplotlib'; "
        "print([name for name in engines if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=_environment()
    )
    assert ran.stdout == "[]\n"
