"""``microbp completion``: the script of each shell; that of bash is run."""

from __future__ import annotations

import subprocess

import pytest

from microbp import cli


def script(capsys, shell):
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def completed(capsys, tmp_path):
    """What bash offers for the last word of a line."""
    made = script(capsys, "bash")
    (tmp_path / "net.py").touch()

    def offered(*words):
        line = " ".join(f"'{each}'" for each in ("microbp", *words))
        asked = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _microbp; echo ${{COMPREPLY[@]}}"
        bash = ["bash", "--norc", "-euo", "pipefail", "-c", f"{made}\n{asked}"]
        run = subprocess.run(bash, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert run.stderr == ""
        return run.stdout.split()

    return offered


def test_bash_completes_commands_options_choices_and_files(completed):
    assert completed("dra") == ["draw"]
    assert set(completed("")) == {*(each.name for each in cli.COMMANDS), "--help", "--version"}
    assert completed("grade", "net.py", "--dec") == ["--decimals"]
    assert completed("draw", "net.py", "--edges", "co") == ["contribution"]
    assert completed("explain", "--language", "") == ["en", "zh"]
    assert completed("explain", "n") == ["net.py"]
    assert completed("draw", "--output", "n") == ["net.py"]
    assert completed("completion", "--h") == ["--help"]
    assert completed("drwa", "--x") == []


def test_every_option_of_every_command_stands_in_each_script(capsys):
    """And a new one would: the scripts are made of what is declared."""
    parser = cli._parser()
    commands = parser._subparsers._group_actions[0].choices
    flags = [flag for each in commands.values() for flag in each._option_string_actions]
    bash, zsh, fish = (script(capsys, shell) for shell in ("bash", "zsh", "fish"))
    for flag in flags:
        assert flag in bash
        assert f"{flag}[" in zsh
        assert f" {'-l' if flag.startswith('--') else '-s'} {flag.lstrip('-')} " in fish
    for name in commands:
        assert f"\n    {name}) _arguments " in zsh
        assert f"complete -c microbp -n __fish_use_subcommand -f -a {name} -d '" in fish


def test_a_shell_that_is_not_known(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["completion", "fsh"])
    assert stopped.value.code == 2
    assert "there is no choice 'fsh'; did you mean 'fish'?" in capsys.readouterr().err
