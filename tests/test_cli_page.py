"""``microbp page``: from a script to a page."""

from __future__ import annotations

import pytest

from microbp import cli
from microbp.cli.drawing import page

SCRIPT = """
from microbp import Value
w, x = Value(0.5, "w"), Value(3.0, "x")
loss = (w * x - 1.0) ** 2
loss.backward()
other = w * 2.0
"""


@pytest.fixture(autouse=True)
def script(monkeypatch, folder):
    monkeypatch.setattr(cli, "COMMANDS", (page,))
    path = folder / "net.py"
    path.write_text(SCRIPT)
    return path


def test_the_page_of_the_last_backward_goes_beside_the_script_s_name(tmp_path, capsys):
    assert cli.main(["page", "net.py"]) == 0
    text = (tmp_path / "net.html").read_text(encoding="utf-8")
    assert "<title>loss: one backward pass</title>" in text
    assert "loss = (w * x - 1.0) ** 2" in text  # its source line
    assert capsys.readouterr().out == "Written: net.html (5 values, 3 steps); open it in a browser\n"


def test_root_output_and_title_can_be_named(tmp_path):
    assert cli.main(["page", "net.py", "--root", "other", "-o", "step.html", "--title", "a & b"]) == 0
    assert "<title>a &amp; b</title>" in (tmp_path / "step.html").read_text(encoding="utf-8")


def test_a_value_that_is_not_there_is_an_error_without_a_page(tmp_path, capsys):
    assert cli.main(["page", "net.py", "--root", "lost"]) == 2
    assert "did you mean 'loss'?" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


def test_a_folder_that_is_not_there_is_an_error_with_a_cure(capsys):
    assert cli.main(["page", "net.py", "-o", "gone/step.html"]) == 2
    assert capsys.readouterr().err == (
        "microbp: error: cannot write gone/step.html: there is no folder gone; "
        "name another file with --output\n"
    )


def test_a_graph_that_is_too_large_is_an_error_with_a_cure(script, capsys):
    script.write_text(
        "import microbp\nloss = microbp.sum([microbp.Value(1.0) for _ in range(21000)])\nloss.backward()\n"
    )
    assert cli.main(["page", "net.py"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("microbp: error: cannot make a page of loss: the graph of loss has 21,001 values")
    assert "page(loss_of_one_sample)" in told


def test_a_constant_is_an_error(script, capsys):
    script.write_text("import microbp\nloss = microbp.Value(1.0).detach()\n")
    assert cli.main(["page", "net.py", "--root", "loss"]) == 2
    assert "is a constant" in capsys.readouterr().err


def test_another_suffix_is_refused_before_the_script_runs(script, capsys):
    script.write_text("raise SystemExit('it ran')\n")
    assert cli.main(["page", "net.py", "-o", "step.png"]) == 2
    told = capsys.readouterr().err
    assert told == "microbp: error: cannot write step.png: the suffix is one of .html, .htm\n"
