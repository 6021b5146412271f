"""The notebooks in examples/: run from a clean kernel, they give what is stored in them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what notebooks' own libraries do is not ours
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError


def run(notebook, folder):
    """A copy of a notebook, executed there by a kernel of its own."""
    copy = nbformat.from_dict({**notebook, "cells": [dict(each) for each in notebook.cells]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = NotebookClient(
            copy, timeout=120, kernel_name="python3", coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
        )  # fmt: skip
        return client.execute()


def told(cell):
    """What a cell shows, without pictures, which another engine draws in another way."""
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        yield output.get("text") or data.get("text/markdown") or ("svg" if "image/svg+xml" in data else data)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_is_stored_in_it(path, tmp_path):
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    cells = [(cell, [*told(cell)]) for cell in stored.cells]
    assert sum(len(outputs) for _, outputs in cells) >= 6
    for (cell, expected), made in zip(cells, run(stored, tmp_path).cells, strict=True):
        assert [*told(made)] == expected, cell.source


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["dying_network", "scalars_to_matrices", "tutorial_by_hand"]


def test_a_cell_that_fails_is_noticed(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(notebook, tmp_path)


def test_what_a_cell_shows_is_its_text_and_that_there_is_a_picture():
    stream = nbformat.v4.new_output("stream", text="2\n")
    table = nbformat.v4.new_output("display_data", {"text/markdown": "**2**", "text/plain": "2"})
    picture = nbformat.v4.new_output("execute_result", {"image/svg+xml": "<svg/>", "text/plain": "dot 2.43"})
    plain = nbformat.v4.new_output("execute_result", {"text/plain": "True"})
    cell = nbformat.v4.new_code_cell("", outputs=[stream, table, picture, plain])
    assert [*told(cell)] == ["2\n", "**2**", "svg", {"text/plain": "True"}]
