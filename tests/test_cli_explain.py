"""``microbp explain``."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from microbp import cli

NET = """\
import sys
from microbp import Value

w, x = Value(0.5), Value(3.0).detach()
b, unused = Value(float(sys.argv[1]) if sys.argv[1:] else 0.1), Value(1.0)
net = w * x + b
o = net.sigmoid()
E = 0.5 * (1.0 - o) ** 2
E.backward()
"""


@pytest.fixture
def net(folder) -> Path:
    path = folder / "net.py"
    path.write_text(NET)
    return path


@pytest.mark.usefixtures("net")
def test_a_gradient_is_derived(capsys):
    assert cli.main(["explain", "net.py", "w", "--rate", "0.5"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("∂E/∂w: how w acts on E\n\n")
    assert "    ∂E/∂w = ∂E/∂o · ∂o/∂net · ∂net/∂w\n" in text
    assert "    w ← w − η·∂E/∂w = 0.5 − 0.5·(−0.0704332424) = 0.535216621\n" in text


@pytest.mark.usefixtures("net")
def test_another_root_another_language_and_the_arguments_of_the_script(capsys):
    assert cli.main(["explain", "--root", "o", "--language", "zh", "net.py", "b", "--", "0.0"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("∂o/∂b：b 如何影响 o\n")
    assert "= 0.817574476·(1 − 0.817574476) = 0.149146452" in text  # the script's own argument came through


@pytest.mark.usefixtures("net")
def test_a_language_is_known_in_every_spelling(capsys):
    for word in ("zh-CN", "cn", "ZH_tw"):
        assert cli.main(["explain", "net.py", "w", "--language", word]) == 0
        assert capsys.readouterr().out.startswith("∂E/∂w：w 如何影响 E\n")
    with pytest.raises(SystemExit):
        cli.main(["explain", "net.py", "w", "--language", "fr"])
    assert "it is 'en' (English) or 'zh' (Chinese)" in capsys.readouterr().err


@pytest.mark.usefixtures("net")
def test_markdown_is_printed_or_written(capsys):
    assert cli.main(["explain", "net.py", "w", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert r"\frac{\partial E}{\partial o} \cdot \frac{\partial o}{\partial net}" in printed
    assert cli.main(["explain", "net.py", "w", "-o", "w.md"]) == 0
    assert capsys.readouterr().out == "Written: w.md\n"
    assert Path("w.md").read_text(encoding="utf-8") == printed
    assert cli.main(["explain", "net.py", "w", "-o", "w.txt"]) == 0
    assert Path("w.txt").read_text(encoding="utf-8").startswith("∂E/∂w: how w acts on E\n")


@pytest.mark.usefixtures("net")
def test_what_the_loss_does_not_depend_on(capsys):
    assert cli.main(["explain", "net.py", "unused"]) == 0
    assert "E does not depend on unused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["ww"], "net.py: there is no value 'ww'; did you mean 'w'? There are: w, x, b, net, o, E"),
        (["w", "--root", "x"], "x = 3.0 is a constant: it has no gradient by anything; name another value"),
        (["w", "--root", "EE"], "there is no value 'EE'; did you mean 'E'?"),
        (["w", "-o", "none/w.md"], "cannot write none/w.md: there is no folder none; name another file"),
    ],
)
@pytest.mark.usefixtures("net")
def test_what_cannot_be_done_is_said(capsys, arguments, error):
    assert cli.main(["explain", "net.py", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith("microbp: error: ")
    assert error in told


@pytest.mark.parametrize("rate", ["-1", "0", "nan", "inf", "fast"])
def test_a_learning_rate_is_looked_at_before_the_script_runs(net, capsys, rate):
    net.write_text("raise RuntimeError('the script ran')")
    with pytest.raises(SystemExit):
        cli.main(["explain", "net.py", "w", f"--rate={rate}"])
    assert f"argument --rate: a learning rate is a number above 0, not '{rate}'" in capsys.readouterr().err


def test_a_script_that_fails_shows_its_own_traceback(net, capsys):
    net.write_text("1 / 0\n")
    assert cli.main(["explain", "net.py", "w"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.usefixtures("net")
def test_a_wrong_number_makes_the_exit_status_1(capsys, monkeypatch):
    module = importlib.import_module("microbp.debug.explain")
    monkeypatch.setattr(module, "backward", lambda graph, *_: 0.25 + 0.0 * graph.data)
    assert cli.main(["explain", "net.py", "w"]) == 1
    assert "WRONG: this derivation and the engine disagree." in capsys.readouterr().out


def test_a_second_name_is_told_to_have_gone_to_the_script(net, capsys):
    net.write_text(
        "from microbp import Value\n"
        "a, b = Value(1.0, name='a'), Value(2.0, name='b')\n"
        "loss = a * b\nloss.backward()\n"
    )
    assert cli.main(["explain", "net.py", "a", "b", "7"]) == 0
    told = "microbp: b went to the script as an argument of its own; one value is explained at a time\n"
    assert capsys.readouterr().err == told


def test_a_name_that_several_values_bear_is_told_of(net, capsys):
    net.write_text(
        "from microbp import Value\n"
        "a, b = Value(1.0, name='w'), Value(2.0, name='w')\n"
        "loss = a * b\nloss.backward()\n"
    )
    assert cli.main(["explain", "net.py", "w"]) == 0
    out, err = capsys.readouterr()
    assert err == "microbp: 2 values are called w: w, w#2; this is about the first\n"
    assert "∂loss/∂w = w#2 = 2" in out
    assert cli.main(["explain", "net.py", "b"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "∂loss/∂w#2 = w = 1" in out


@pytest.mark.usefixtures("net")
def test_in_a_narrow_terminal_no_word_is_broken(capsys, monkeypatch):
    assert cli.main(["explain", "net.py", "w"]) == 0
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "45")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert cli.main(["explain", "net.py", "w"]) == 0
    narrow = capsys.readouterr().out
    sentences = [line for line in narrow.splitlines() if not line.startswith(" ")]
    assert max(map(len, sentences)) <= 45
    assert narrow.split() == wide.split()
