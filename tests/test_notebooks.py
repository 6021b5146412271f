"""The notebooks in examples/: run from a clean kernel, they give what is stored in them."""

from __future__ import annotations

import runpy
import warnings
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@contextmanager
def quietly():
    """What the notebooks' own libraries do is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def nbformat():
    """Its import takes seconds, which only these tests need."""
    with quietly():
        return import_module("nbformat")


@pytest.fixture(scope="module")
def run():
    with quietly():
        executed = runpy.run_path(str(ROOT / "docs" / "notebooks.py"))["executed"]
    return quietly()(executed)


def told(cell):
    """What a cell shows, without pictures, which another engine draws in another way."""
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        yield output.get("text") or data.get("text/markdown") or ("svg" if "image/svg+xml" in data else data)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_is_stored_in_it(nbformat, run, path):
    """If what it gives is better: python docs/notebooks.py."""
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    assert sum(len([*told(cell)]) for cell in stored.cells) >= 6
    for cell, made in zip(stored.cells, run(path).cells, strict=True):
        assert [*told(made)] == [*told(cell)], cell.source


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["dying_network", "scalars_to_matrices", "tutorial_by_hand"]


def test_a_cell_that_fails_is_noticed(nbformat, run, tmp_path):
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(tmp_path / "wrong.ipynb")


def test_what_a_cell_shows_is_its_text_and_that_there_is_a_picture(nbformat):
    stream = nbformat.v4.new_output("stream", text="2\n")
    table = nbformat.v4.new_output("display_data", {"text/markdown": "**2**", "text/plain": "2"})
    picture = nbformat.v4.new_output("execute_result", {"image/svg+xml": "<svg/>", "text/plain": "dot 2.43"})
    plain = nbformat.v4.new_output("execute_result", {"text/plain": "True"})
    cell = nbformat.v4.new_code_cell("", outputs=[stream, table, picture, plain])
    assert [*told(cell)] == ["2\n", "**2**", "svg", {"text/plain": "True"}]
