"""``microbp diagnose``."""

from __future__ import annotations

from pathlib import Path

import pytest

from microbp import cli

DEAD = """\
from microbp import Value

w, x = Value(-0.5), Value(3.0).detach()
h = (w * x).relu()
loss = (h - 1.0) ** 2
fine = (w - 1.0) ** 2
loss.backward()
"""


@pytest.fixture
def net(folder) -> Path:
    path = folder / "net.py"
    path.write_text(DEAD)
    return path


@pytest.mark.usefixtures("net")
def test_a_finding_names_the_node_and_the_line_and_makes_the_exit_status_1(capsys):
    assert cli.main(["diagnose", "net.py"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("diagnose(loss = 1): 1 finding\n")
    assert "dead relu   h      net.py:4\n" in text


def test_nothing_found_is_said(net, capsys):
    net.write_text(DEAD.replace("loss.backward()", ""))
    assert cli.main(["diagnose", "net.py", "--root", "fine"]) == 0
    assert capsys.readouterr().out.startswith("diagnose(fine = 2.25): nothing found\n")


def test_an_undefined_operation_that_ends_the_script_is_diagnosed(net, capsys):
    net.write_text("from microbp import Value\nx = Value(0.0)\ny = x.log()\n")
    assert cli.main(["diagnose", "net.py"]) == 1
    told = capsys.readouterr()
    assert "UndefinedOperation: log(a) has no value at a = 0.0" in told.err
    assert "1   not finite   undefined operation   log    net.py:3\n" in told.out


def test_a_failed_training_step_is_diagnosed(net, capsys):
    net.write_text(
        "from microbp import MLP, fit, optim\n"
        "net = MLP(1, [1], seed=0)\n"
        "descent = optim.SGD(net.parameters(), 1e6)\n"
        "fit(net, [[1.0], [2.0]], [[1.0], [2.0]], loss='mean_squared_error', optimiser=descent)\n"
    )
    assert cli.main(["diagnose", "net.py"]) == 1
    told = capsys.readouterr()
    assert "NotFinite" in told.err
    assert told.out.startswith("diagnose(")
    assert "finding" in told.out


def test_another_error_of_the_script_is_only_shown(net, capsys):
    net.write_text("1 / 0\n")
    assert cli.main(["diagnose", "net.py"]) == 1
    told = capsys.readouterr()
    assert "ZeroDivisionError" in told.err
    assert told.out == ""


def test_a_script_without_a_loss(net, capsys):
    net.write_text("x = 1\n")
    assert cli.main(["diagnose", "net.py"]) == 2
    assert "never calls backward(): name the value with --root." in capsys.readouterr().err


LOOP = """\
from microbp import Value

w, x = Value({start}), Value(3.0).detach()
for step in range(6):
    w.grad = None
    loss = {loss}
    loss.backward()
    w.data -= {rate} * w.grad
"""


def test_the_last_line_of_every_training_script_is_no_fault(net, capsys):
    net.write_text(LOOP.format(start=0.5, loss="(w * x - 1.0) ** 2", rate=0.01))
    assert cli.main(["diagnose", "net.py"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert ": nothing found" in told
    assert "The parameters have moved since: w was " in told
    assert "This is step 6 of 6. Looked at:" in told
    assert "the losses of 6 steps" in told


def test_of_a_loop_the_step_that_went_wrong_first_is_diagnosed(net, capsys):
    net.write_text(LOOP.format(start=5.0, loss="(w * x) * (w * x) * (w * x) * (w * x)", rate=1.0))
    assert cli.main(["diagnose", "net.py"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "Of 6 steps, step " in told
    assert " is the first in which the loss is not finite; this is step " in told
    assert "not finite" in told


def test_a_loop_that_diverges_is_told_of_in_chinese_too(net, capsys):
    net.write_text(LOOP.format(start=0.5, loss="(w * x - 1.0) ** 2", rate=0.15))
    for language, words in (
        ("en", "From step 2 on it has not been below"),
        ("zh_CN", "从第 2 步起，它再也没有低于第一步"),
    ):
        assert cli.main(["diagnose", "net.py", "--language", language]) == 1
        told = " ".join(capsys.readouterr().out.split())
        assert words in told


@pytest.mark.usefixtures("net")
def test_in_a_narrow_terminal_no_word_is_broken(capsys, monkeypatch):
    assert cli.main(["diagnose", "net.py"]) == 1
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "45")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert cli.main(["diagnose", "net.py"]) == 1
    narrow = capsys.readouterr().out
    sentences = narrow.partition("\n1. ")[2].splitlines()
    assert max(map(len, sentences)) <= 45
    assert narrow.split() == wide.split()


def test_of_a_loop_that_ends_in_an_overflow_it_is_told_that_it_diverges(net, capsys):
    net.write_text(
        "from microbp import Value\n"
        "w = Value(1.0)\n"
        "for _ in range(400):\n"
        "    loss = (3.0 * w - 1.0) ** 2\n"
        "    w.grad = 0.0\n"
        "    loss.backward()\n"
        "    w.data -= 0.9 * w.grad\n"
    )
    assert cli.main(["diagnose", "net.py"]) == 1
    told = capsys.readouterr().out
    assert "diagnose(UndefinedOperation): 2 findings" in told
    assert "training     diverging" in told
    assert "Looked at: the operation that raised the error; the losses of 131 steps." in told
    assert "This is step" not in told


def test_two_losses_in_turn_are_no_divergence(net, capsys):
    net.write_text(
        "from microbp import Value\n"
        "w = Value(1.0)\n"
        "for _ in range(6):\n"
        "    small, large = (0.1 * w) ** 2, (9.0 * w) ** 2\n"
        "    w.grad = 0.0\n"
        "    small.backward()\n"
        "    w.grad = 0.0\n"
        "    large.backward()\n"
    )
    assert cli.main(["diagnose", "net.py"]) == 0
    told = capsys.readouterr().out
    assert "This is step 6 of 6." in told
    assert "the losses of 6 steps" in told
