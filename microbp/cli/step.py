"""``microbp step``: run a script, and step through its backward pass."""

from __future__ import annotations

import argparse

from microbp.cli.command import Command, CommandError
from microbp.cli.script import declare_script, run_script
from microbp.debug.shell import step
from microbp.errors import NoGradientError

__all__ = ["COMMAND"]


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_script(parser)
    parser.add_argument(
        "-c", "--command", action="append", default=[], metavar="COMMAND",
        help="a command of the shell to begin with; may be given several times",
    )  # fmt: skip


def _run(args: argparse.Namespace) -> int:
    script = run_script(args.script, args.arguments)
    root = script.root(args.root)
    try:
        refused = step(root, script.namespace, commands=args.command)
    except NoGradientError as error:
        raise CommandError(f"{error}; name another value with --root") from None
    return 1 if refused else 0


COMMAND = Command(
    "step",
    "step through a backward pass in the terminal, forwards and back",
    "microbp step net.py                            run net.py, then step\n"
    "microbp step net.py --root loss -c 'watch w1'  from loss, with a watch set\n"
    "microbp step net.py -- --seed 3                with an option of net.py itself\n"
    "microbp step net.py < commands.txt             exit status 1 if one was refused",
    _declare,
    _run,
)
