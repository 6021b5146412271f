"""``microbp completion``: a script that completes commands, options and choices, for a shell.

It is made of what the commands declare to argparse, so that nothing is stated twice.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping

from microbp.cli.command import Result, command
from microbp.text import LANGUAGES, write


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [each for each in parser._actions if each.option_strings]


def _told(option: argparse.Action) -> str:
    return (option.help or "").replace("%(default)s", str(option.default)).partition(";")[0]


def _choices(option: argparse.Action) -> str:
    """Languages may be written in many ways, so that they are no choices to argparse."""
    return " ".join(LANGUAGES if option.dest == "language" else map(str, option.choices or ()))


Commands = Mapping[str, argparse.ArgumentParser]


def _bash(commands: Commands) -> str:
    values, options = [], []
    for name, parser in commands.items():
        for each in (each for each in _options(parser) if each.nargs != 0):  # a word of its own follows
            pattern = "|".join(f"{name}:{flag}" for flag in each.option_strings)
            words = f'-W "{choices}"' if (choices := _choices(each)) else "-f"
            values.append(f'        {pattern}) COMPREPLY=($(compgen {words} -- "$word")); return ;;')
        flags = " ".join(flag for each in _options(parser) for flag in each.option_strings)
        options.append(f'        {name}) options="{flags}" ;;')
    lines = "\n".join
    return f"""\
_microbp() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} options=
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "{" ".join(commands)} --help --version" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}}:${{COMP_WORDS[COMP_CWORD - 1]}} in
{lines(values)}
    esac
    case ${{COMP_WORDS[1]}} in
{lines(options)}
    esac
    if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$word"))
    else COMPREPLY=($(compgen -f -- "$word")); fi
}}
complete -o filenames -F _microbp microbp
"""


def _zsh(commands: Commands) -> str:
    def spec(option: argparse.Action) -> str:
        told = _told(option).replace("[", "(").replace("]", ")").replace(":", " -")
        value = f":value:({choices})" if (choices := _choices(option)) else ":value:_files"
        value = value if option.nargs != 0 else ""
        return " ".join(shlex.quote(f"{flag}[{told}]{value}") for flag in option.option_strings)

    pairs = (f"{name}:{each.description}" for name, each in commands.items())
    told = "\n".join(f"        {shlex.quote(pair)}" for pair in pairs)
    cases = "\n".join(
        f"    {name}) _arguments {' '.join(map(spec, _options(each)))} '*:file:_files' ;;"
        for name, each in commands.items()
    )
    return f"""\
#compdef microbp
_microbp() {{
    local -a commands=(
{told}
    )
    if ((CURRENT == 2)); then _describe command commands; return; fi
    shift words
    ((CURRENT--))
    case $words[1] in
{cases}
    esac
}}
compdef _microbp microbp
"""


def _fish(commands: Commands) -> str:
    lines = []
    for name, parser in commands.items():
        told = _in_fish(parser.description)
        lines.append(f"complete -c microbp -n __fish_use_subcommand -f -a {name} -d {told}")
        for each in _options(parser):
            names = [flag.removeprefix("-") for flag in each.option_strings]
            flags = " ".join(f"-l {name[1:]}" if name[0] == "-" else f"-s {name}" for name in names)
            choices = _choices(each)
            value = f" -x -a {_in_fish(choices)}" if choices else " -r" * (each.nargs != 0)
            told = f"{flags}{value} -d {_in_fish(_told(each))}"
            lines.append(f"complete -c microbp -n '__fish_seen_subcommand_from {name}' {told}")
    return "\n".join(lines) + "\n"


def _in_fish(text: str | None) -> str:
    escaped = (text or "").replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS: dict[str, Callable[[Commands], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


@command({"shell": {"choices": SHELLS, "metavar": "SHELL", "help": ", ".join(SHELLS)}})
def completion(args: argparse.Namespace) -> Result:
    """Print a script that completes commands and options in a shell.

    source <(microbp completion bash)      for now; put the line into ~/.bashrc to keep it
    source <(microbp completion zsh)       after compinit, in ~/.zshrc
    microbp completion fish > ~/.config/fish/completions/microbp.fish
    """
    write(SHELLS[args.shell](args.commands), end="")
    return Result(0)
