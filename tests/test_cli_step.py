from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
from tutorial import SCRIPT

from microbp import cli
from microbp.cli.command import CommandError
from microbp.cli.script import ScriptFailed


def stepped(monkeypatch, script: Path, *arguments: str, stdin: str = "") -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    args = cli._parser().parse_args(["step", str(script), *arguments])
    return args.run(args).status


@pytest.fixture
def net(tmp_path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(SCRIPT)
    return path


def test_commands_are_read_from_standard_input(monkeypatch, capsys, net) -> None:
    assert stepped(monkeypatch, net, stdin="watch h1\nc\nc\np w5.grad\n") == 0
    text = capsys.readouterr().out
    assert "h1.grad: −0.0190491 += +0.0553994 → +0.0363503 ✓ final (2 of 2), sign change\n" in text
    assert "w5.grad = 0.08216704056423078\n" in text


def test_lines_are_those_of_the_script(monkeypatch, capsys, net) -> None:
    monkeypatch.chdir(net.parent)
    assert stepped(monkeypatch, Path("net.py"), stdin="break 8\nc\nlist\n") == 0
    text = capsys.readouterr().out
    assert "step 19 of 27   h1 = σ(v13) = 0.593270   net.py:8\n" in text
    assert "    8 B-> h1 = (w1 * i1 + w2 * i2 + b1).sigmoid()\n" in text


def test_another_root_and_commands_to_begin_with(monkeypatch, capsys, net) -> None:
    assert stepped(monkeypatch, net, "--root", "o1", "-c", "step", "-c", "quit") == 0
    text = capsys.readouterr().out
    assert text.startswith("o1 = 0.751365: ")
    assert "(microbp 0/" in text
    with pytest.raises(CommandError, match="did you mean 'o1'"):
        stepped(monkeypatch, net, "--root", "o11")


def test_a_refused_command_makes_the_exit_status_1(monkeypatch, capsys, net) -> None:
    assert stepped(monkeypatch, net, stdin="stpe\nstep\n") == 1
    assert "error: there is no command 'stpe'; did you mean 'step'?" in capsys.readouterr().out


def test_a_constant_root_and_a_script_that_fails(monkeypatch, capsys, tmp_path) -> None:
    constant = tmp_path / "constant.py"
    constant.write_text("from microbp import Value\nc = Value(2.0).detach()\n")
    assert cli.main(["step", str(constant), "--root", "c"]) == 2
    assert re.search(r"is a constant: .*; name another value with --root\n$", capsys.readouterr().err)
    failing = tmp_path / "failing.py"
    failing.write_text("1 / 0\n")
    with pytest.raises(ScriptFailed):
        stepped(monkeypatch, failing)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_the_process_ends_cleanly_at_the_end_of_its_input(net, tmp_path, command) -> None:
    (tmp_path / "input").write_text("step\n")
    with (tmp_path / "input").open() as given:
        run = command("step", str(net), stdin=given)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.endswith("(microbp 1/27) \n")
