"""The ``microbp`` command.

A sub-command is a function with its help as docstring, and the arguments that it takes. With ``--json`` it
prints a record of its result, and nothing else, on stdout; what is meant for people, and what the script
prints, goes to stderr. The exit status is told by ``microbp --help``; it is 130 after Ctrl-C, 141 when the
reader of a pipe has gone.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout, suppress
from typing import Any

from microbp import __version__
from microbp.cli import completion, debugging, drawing, teaching
from microbp.cli.command import ONE_OF, Arguments, Command, CommandError, Result, as_json, nearest
from microbp.cli.script import ScriptFailed
from microbp.errors import NoGradientError
from microbp.text import did_you_mean, write

__all__ = ["COMMANDS", "Command", "CommandError", "Result", "main", "nearest"]

COMMANDS = (
    teaching.demo, teaching.learn, drawing.draw, debugging.step, debugging.explain, debugging.diagnose,
    drawing.page, teaching.grade, completion.completion,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (the process's own by default) and return the exit status.

    SystemExit is left to argparse: 0 after ``--help`` and ``--version``, 2 after a wrong usage.
    """
    try:
        try:
            return _status(sys.argv[1:] if argv is None else argv)
        finally:
            if sys.stdout is not None:  # it is None where the process was started without one
                sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            _discard_output()
            return 128 + 13
        if error.filename is not None or error.errno not in _FULL:
            raise
        _discard_output()
        print(f"microbp: error: cannot write the output: {error.strerror}", file=sys.stderr)
        return 2
    except SystemExit as stopped:
        if isinstance(stopped.__context__, BrokenPipeError):  # rich prints, and raises this
            return 128 + 13
        raise


#: What a device, a quota or a limit for files tells when it is full, and a device when it fails.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _discard_output() -> None:
    """What is still buffered cannot be written either: it must not raise again when Python exits."""
    with suppress(OSError):  # a stdout of the caller's own may have no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _status(argv: Sequence[str]) -> int:
    parser, names = _parser(), [each.name for each in COMMANDS]
    if argv and not argv[0].startswith("-") and argv[0] not in names:
        parser.error(nearest("command", argv[0], names))
    args = _parsed(parser, argv)
    if args.run is None:
        parser.print_help()
        return 0
    try:
        with redirect_stdout(sys.stderr) if args.json else nullcontext():
            result: Result = args.run(args)
        if args.json:
            write(as_json({"command": args.parser.prog, "ok": not result.status, **result.record}))
    except (CommandError, NoGradientError) as error:
        cure = "; name another value with --root" if isinstance(error, NoGradientError) else ""
        print(f"microbp: error: {error}{cure}", file=sys.stderr)
        return 2
    except ScriptFailed as failed:
        return failed.status
    except KeyboardInterrupt:
        print("microbp: interrupted", file=sys.stderr)
        return 128 + 2
    return result.status


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; words that are left over, and all behind ``--``, belong to the script, if one runs."""
    end = argv.index("--") if "--" in argv else len(argv)
    args, further = parser.parse_known_args(argv[:end])
    runs_script = hasattr(args, "arguments")
    options = [each for each in further if each.startswith("-")]
    if options:
        args.parser.error(_unknown(options[0], args.parser, args.script if runs_script else None))
    further += argv[end + 1 :]
    if runs_script:
        args.arguments = [*args.arguments, *further]
    elif further:
        args.parser.error(f"{further[0]!r} is one word too many")
    return args


def _unknown(option: str, parser: argparse.ArgumentParser, script: str | None) -> str:
    known = [each.lstrip("-") for each in parser._option_string_actions]
    near = did_you_mean(option.lstrip("-").partition("=")[0], known)
    told = f"there is no option {option!r}{f'; {near}' if near else ''}"
    if script is None:
        return told
    return f"{told} (what is meant for the script stands behind --: {parser.prog} {script} -- {option})"


#: What stands at the end of ``microbp --help``.
STATUS = """exit status:
  0  fine
  1  something was found: a finding, a wrong answer, a figure that deviates; or the script failed
  2  the call is wrong, or a file cannot be read or written
"""


class _Parser(argparse.ArgumentParser):
    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse does; but the nearest choice is told."""
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, nearest("choice", str(value), map(str, action.choices)))

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse does; but a device that is full is not hushed up."""
        (file or sys.stderr).write(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="microbp",
        description="See every gradient: a scalar autograd to read, step through and trust.",
        epilog=f"{_epilog(chr(10).join(each.examples.splitlines()[0] for each in COMMANDS))}\n\n{STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"microbp {__version__}")
    parser.set_defaults(run=None, json=False, parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog="microbp")
    for each in COMMANDS:
        command = commands.add_parser(
            each.name,
            help=each.summary,
            description=each.summary[0].upper() + each.summary[1:] + ".",
            epilog=_epilog(each.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _declare(command, each.arguments)
        if each.gives:
            told = f"print {each.gives} as JSON; what is meant for people goes to stderr"
            command.add_argument("--json", action="store_true", help=told)
        command.set_defaults(run=each.run, parser=command, commands=commands.choices)
    return parser


def _declare(parser: argparse._ActionsContainer, arguments: Arguments) -> None:
    for names, told in arguments.items():
        if names == ONE_OF:
            _declare(parser.add_mutually_exclusive_group(), told)
        else:
            parser.add_argument(*names.split(), **told)


def _epilog(examples: str) -> str:
    lines = "\n".join(f"  {line}" for line in examples.splitlines())
    return f"examples:\n{lines}"
