"""``microbp completion``: a script that completes commands, options and choices, for a shell.

It is made of what the commands declare to argparse, so that nothing is stated twice.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from microbp.cli.command import Result, command
from microbp.text import LANGUAGES, write


class _Option(NamedTuple):
    flags: tuple[str, ...]
    told: str
    #: Whether a word of its own follows, and which there are if not just any.
    takes: bool
    choices: tuple[str, ...]


def _options(parser: argparse.ArgumentParser) -> Iterator[_Option]:
    for each in parser._actions:
        if each.option_strings:
            told = (each.help or "").replace("%(default)s", str(each.default)).partition(";")[0]
            # Languages may be written in many ways, so that they are no choices to argparse.
            choices = LANGUAGES if each.dest == "language" else tuple(map(str, each.choices or ()))
            yield _Option(tuple(each.option_strings), told, each.nargs != 0, choices)


Commands = Mapping[str, argparse.ArgumentParser]


def _bash(commands: Commands) -> str:
    values, options = [], []
    for name, parser in commands.items():
        declared = [*_options(parser)]
        for each in (each for each in declared if each.takes):
            pattern = "|".join(f"{name}:{flag}" for flag in each.flags)
            words = f'-W "{" ".join(each.choices)}"' if each.choices else "-f"
            values.append(f'        {pattern}) COMPREPLY=($(compgen {words} -- "$word")); return ;;')
        flags = " ".join(flag for each in declared for flag in each.flags)
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
    def spec(option: _Option) -> str:
        told = option.told.replace("[", "(").replace("]", ")").replace(":", " -")
        value = f":value:({' '.join(option.choices)})" if option.choices else ":value:_files"
        value = value if option.takes else ""
        return " ".join(shlex.quote(f"{flag}[{told}]{value}") for flag in option.flags)

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
            flags = " ".join(
                f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in each.flags
            )
            value = f" -x -a {_in_fish(' '.join(each.choices))}" if each.choices else " -r" * each.takes
            told = f"{flags}{value} -d {_in_fish(each.told)}"
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
