"""The ``microbp`` command.

A sub-command is one :class:`Command` in :data:`COMMANDS`. Exit status: 0 when all is well, 1 when a
figure deviates, 2 when the command line is wrong or a file cannot be written, 130 after Ctrl-C, 141
when the reader of a pipe has gone.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from microbp import __version__, demo
from microbp.demo.report import write

__all__ = ["COMMANDS", "Command", "CommandError", "main", "nearest"]


class CommandError(Exception):
    """What stops a command for a reason that is not a mistake of ours; exit status 2."""


class Command(NamedTuple):
    """A sub-command: what help says of it, the arguments it declares, and what it does."""

    name: str
    #: One line for the list of commands.
    summary: str
    #: What stands below the options in its own help.
    examples: str
    declare: Callable[[argparse.ArgumentParser], None]
    #: Returns the exit status.
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (the process's own by default) and return the exit status.

    SystemExit is left to argparse: 0 after ``--help`` and ``--version``, 2 after a wrong usage.
    """
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except CommandError as error:
        print(f"microbp: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("microbp: interrupted", file=sys.stderr)
        return 128 + 2
    except BrokenPipeError:
        # What is still buffered has no reader either: it must not raise again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    return status


def _run(argv: Sequence[str]) -> int:
    parser = _parser()
    names = [each.name for each in COMMANDS]
    if argv and not argv[0].startswith("-") and argv[0] not in names:
        parser.error(nearest("command", argv[0], names))
    args = parser.parse_args(argv)
    if args.run is None:
        parser.print_help()
        return 0
    status: int = args.run(args)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="microbp",
        description="See every gradient: a scalar autograd to read, step through and trust.",
        epilog=_epilog("\n".join(each.examples for each in COMMANDS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"microbp {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog="microbp")
    for each in COMMANDS:
        command = commands.add_parser(
            each.name,
            help=each.summary,
            description=each.summary[0].upper() + each.summary[1:] + ".",
            epilog=_epilog(each.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        each.declare(command)
        command.set_defaults(run=each.run)
    return parser


def _epilog(examples: str) -> str:
    lines = "\n".join(f"  {line}" for line in examples.splitlines())
    return f"examples:\n{lines}"


def nearest(kind: str, word: str, known: Iterable[str]) -> str:
    """The message about a word that is not known, with the one that was probably meant.

    >>> nearest("command", "dmeo", ["demo", "draw"])
    "there is no command 'dmeo'; did you mean 'demo'? There are: demo, draw"
    >>> nearest("command", "xyz", ["demo", "draw"])
    "there is no command 'xyz'. There are: demo, draw"
    """
    names = list(known)
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    meant = f"; did you mean {folded[close[0]]!r}?" if close else "."
    return f"there is no {kind} {word!r}{meant} There are: {', '.join(names)}"


# --------------------------------------------------------------------------------- microbp demo
def _declare_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tutorials", nargs="*", type=_tutorial, metavar="TUTORIAL",
        help="; ".join(f"{name}: {each.title}" for name, each in demo.TUTORIALS.items())
        + "; all of them if none is named",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("microbp-demo"), metavar="DIR",
        help="the folder for the report and its numbers (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print one line for each tutorial"
    )


def _tutorial(word: str) -> str:
    if word.upper() not in demo.TUTORIALS:
        raise argparse.ArgumentTypeError(nearest("tutorial", word, demo.TUTORIALS))
    return word.upper()


def _demo(args: argparse.Namespace) -> int:
    folder: Path = args.output
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    verdicts, written = [], []
    for name in dict.fromkeys(args.tutorials or demo.TUTORIALS):
        report = demo.TUTORIALS[name].reproduce()
        for suffix, text in (("txt", str(report)), ("json", report.as_json())):
            path = folder / f"{name}.{suffix}"
            with _writing(path):
                path.write_text(f"{text}\n", encoding="utf-8")
            written.append(str(path))
        verdicts.append(report.ok)
        if args.quiet:
            write(f"{name}: {report.verdict}")
        else:
            report.show()
    if not args.quiet:
        write(f"Written: {', '.join(written)}")
    return 0 if all(verdicts) else 1


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise CommandError(
            f"cannot write {path}: {reason}; name another folder with --output"
        ) from None


COMMANDS = (
    Command(
        "demo",
        "reproduce tutorials on back-propagation, with every gradient checked",
        "microbp demo               every tutorial; files go to microbp-demo/\n"
        "microbp demo T4 -o out     one of them; files go to out/",
        _declare_demo,
        _demo,
    ),
)
