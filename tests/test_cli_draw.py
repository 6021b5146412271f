"""``microbp draw``: from a script to a picture."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import pytest

from microbp import cli

SCRIPT = """\
from microbp import Value
w, x = Value(0.5, "w"), Value(3.0, "x")
h = w * x
loss = (h - 1.0) ** 2
other = w * 2.0
loss.backward()
"""


@pytest.fixture(autouse=True)
def folder(folder):
    (folder / "net.py").write_text(SCRIPT, encoding="utf-8")
    return folder


def shown(path):
    """The ids of the boxes and edges in an SVG."""
    svg = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 (written by ourselves)
    return {each.get("id") for each in svg.iter("{http://www.w3.org/2000/svg}g")}


def test_the_last_backward_is_drawn_into_a_file_named_by_the_script(folder, capsys):
    assert cli.main(["draw", "net.py"]) == 0
    assert {"n0", "n1", "n2", "n3", "n4", "e2_0", "e2_1"} <= shown(folder / "net.svg")
    assert capsys.readouterr().out == "Written: net.svg (5 values in 5 boxes)\n"
    text = (folder / "net.svg").read_text(encoding="utf-8")
    assert "net.py:3" in text  # the line, in the tooltip


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph")])
def test_the_suffix_says_the_format(folder, suffix, begins):
    assert cli.main(["draw", "net.py", "-o", f"loss.{suffix}"]) == 0
    assert (folder / f"loss.{suffix}").read_bytes().startswith(begins)


def test_root_fold_focus_and_look_are_passed_on(folder):
    options = ["--root", "loss", "--between", "h", "loss", "--fold", "none", "--left-to-right", "--dark"]
    assert cli.main(["draw", "net.py", "-o", "part.dot", "--edges", "none", *options]) == 0
    text = (folder / "part.dot").read_text(encoding="utf-8")
    assert "rankdir=LR" in text
    assert "n0 " not in text  # w lies outside


def test_a_value_without_gradients_says_so(folder, capsys):
    script = folder / "net.py"
    script.write_text(SCRIPT.replace("loss.backward()\n", ""), encoding="utf-8")
    assert cli.main(["draw", "net.py", "--root", "other"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "No gradient is shown: the script does not call other.backward()."
    )


def test_a_sheet_its_key_what_is_opened_and_what_is_found(folder, capsys):
    assert cli.main(["draw", "net.py", "--hide", "w", "--hide", "h", "-o", "sheet.dot"]) == 0
    assert "find ∇w, ∇h" in (folder / "sheet.dot").read_text(encoding="utf-8")
    assert cli.main(["draw", "net.py", "--hide", "w", "--answers", "-o", "key.dot"]) == 0
    assert "key: ∇w = +3" in (folder / "key.dot").read_text(encoding="utf-8")
    assert cli.main(["draw", "net.py", "--unfold", "w", "--findings", "-o", "loss.dot"]) == 0
    assert cli.main(["draw", "net.py", "--unfold", "v", "-o", "loss.dot"]) == 2
    assert "unfold: no group or value of the graph is named 'v'" in capsys.readouterr().err
    dead = "w = Value(-1.0, 'w')\nloss = w.relu() * Value(2.0, 'x')\nloss.backward()\n"
    (folder / "dead.py").write_text(f"from microbp import Value\n{dead}", encoding="utf-8")
    assert cli.main(["draw", "dead.py", "--findings"]) == 0
    assert "dead" in (folder / "dead.svg").read_text(encoding="utf-8").lower()


def test_a_step_and_the_whole_pass(folder, capsys):
    assert cli.main(["draw", "net.py", "--step", "2", "-o", "step.dot"]) == 0
    assert "step 2 of 3" in (folder / "step.dot").read_text(encoding="utf-8")
    assert cli.main(["draw", "net.py", "-o", "pass.gif"]) == 0
    assert (folder / "pass.gif").read_bytes().startswith(b"GIF")
    assert capsys.readouterr().out.splitlines()[-1] == "Written: pass.gif (4 steps)"
    assert cli.main(["draw", "net.py", "--step", "9"]) == 2
    assert "cannot draw loss: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--root", "los"], "net.py: there is no value 'los'; did you mean 'loss'? There are: h, loss, o"),
        (["--fold", "nerve"], "cannot draw: fold='nerve': it is one of 'auto', 'none', 'sigma', "),
        (["--around", "hh"], "cannot draw loss: no value named 'hh' in the graph of loss"),
        (["-o", "loss.bmp"], "cannot write loss.bmp: the suffix is one of .svg, .png, .pdf, .dot, .gif"),
        (["-o", "gone/loss.svg"], "cannot write gone/loss.svg: there is no folder gone; name another file"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(folder, capsys, arguments, told):
    assert cli.main(["draw", "net.py", *arguments]) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert (out, err.count("\n")) == ("", 1)
    assert [each.name for each in folder.iterdir()] == ["net.py"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--step", "2", "--fold", "layer", "--share", ".5", "--max-nodes", "7"],
         "--fold, --max-nodes, --share cannot be had for a single step: leave out what is not for it"),
        (["-o", "x.gif", "--step", "2"], "--step cannot be had for a GIF of the whole pass: "),
        (["--hops", "3"], "--hops says how far around a value: name it with --around"),
        (["--answers"], "--answers is the key to an exercise sheet: say with --hide what is blank on it"),
        (["--fold", "foo"], "cannot draw: fold='foo': it is one of 'auto', "),
        (["--share", "2"], "cannot draw: share"),
        (["--max-nodes", "0"], "cannot draw: max_nodes"),
        (["--step", "-1"], "cannot draw: --step -1: steps are counted from 0"),
        (["--digits", "0"], "cannot draw: digits"),
        (["-o", "gone/x.svg"], "cannot write gone/x.svg: there is no folder gone"),
        (["-o", "."], "cannot write .: "),
    ],
)  # fmt: skip
def test_options_are_looked_at_before_the_script_runs(folder, capsys, arguments, told):
    (folder / "net.py").write_text("raise SystemExit('the script ran')", encoding="utf-8")
    assert cli.main(["draw", "net.py", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"microbp: error: {told}")


def test_a_missing_engine_is_told_before_the_script_runs(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    (folder / "net.py").write_text("raise SystemExit('the script ran')", encoding="utf-8")
    for command in ("draw", "page"):
        assert cli.main([command, "net.py", "--engine", "pygraphviz"]) == 2
        assert "pip install" in capsys.readouterr().err


def test_a_script_that_fails_shows_its_own_traceback(folder, capsys):
    (folder / "net.py").write_text("def f():\n    return 1 / 0\nf()\n", encoding="utf-8")
    assert cli.main(["draw", "net.py"]) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[1:3] == ['  File "net.py", line 3, in <module>', "    f()"]
    assert "cli" not in err


def test_without_an_engine_both_ways_out_are_named_and_dot_text_still_comes(folder, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    assert cli.main(["draw", "net.py"]) == 2
    err = capsys.readouterr().err
    assert "apt-get install graphviz" in err
    assert "pip install microbp[viz]" in err
    assert cli.main(["draw", "net.py", "-o", "loss.dot"]) == 0
    assert (folder / "loss.dot").exists()
