"""What a sub-command is, what it gives, and the errors that all of them share."""

from __future__ import annotations

import argparse
import inspect
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from microbp.text import did_you_mean, shown

#: What helps where a file cannot be written.
ANOTHER_FILE = "name another file with --output"
#: An error lists no more names than this.
MOST = 40


class CommandError(Exception):
    """What stops a command for a reason that is not a mistake of ours; exit status 2."""


class Result(NamedTuple):
    """How a command ended."""

    #: The exit status: 0 fine, 1 something was found.
    status: int
    #: What ``--json`` prints.
    record: Mapping[str, Any] = {}


#: The arguments of a command: what ``add_argument`` takes of each, by its names, as in ``-o --output``.
Arguments = Mapping[str, Mapping[str, Any]]
#: What stands in the place of names where arguments follow of which one may be given.
ONE_OF = ""


class Command(NamedTuple):
    """A sub-command: what help says of it, its arguments, and what it does."""

    name: str
    #: One line for the list of commands.
    summary: str
    #: What stands below the options in its own help.
    examples: str
    arguments: Arguments
    run: Callable[[argparse.Namespace], Result]
    #: What its record is, for the help of ``--json``; empty where there is none.
    gives: str = ""


def command(
    arguments: Arguments, gives: str = ""
) -> Callable[[Callable[[argparse.Namespace], Result]], Command]:
    """A function becomes the sub-command of its name; its docstring is a sentence, and examples below it."""

    def made(run: Callable[[argparse.Namespace], Result]) -> Command:
        without = f"{run.__name__}\n\nmicrobp {run.__name__}"  # with python -OO there are no docstrings
        summary, _, examples = (inspect.getdoc(run) or without).partition("\n\n")
        summary = summary[0].lower() + summary[1:].removesuffix(".")
        return Command(run.__name__, summary, examples, arguments, run, gives)

    return made


def as_json(held: Any) -> str:
    """A record of a result as JSON: tuples with names are objects, and what is no finite number a text.

    >>> print(as_json({"written": Path("net.svg"), "gradient": math.nan}))
    {
     "written": "net.svg",
     "gradient": "nan"
    }
    """
    return json.dumps(_plain(held), ensure_ascii=False, indent=1, allow_nan=False)


def _plain(held: Any) -> Any:
    if hasattr(held, "_asdict"):
        held = held._asdict()
    if isinstance(held, Mapping):
        return {name: _plain(each) for name, each in held.items()}
    if isinstance(held, list | tuple):
        return [*map(_plain, held)]
    if isinstance(held, float):
        return float(held) if math.isfinite(held) else str(float(held))
    return str(held) if isinstance(held, Path) else held


def nearest(kind: str, word: str, known: Iterable[str]) -> str:
    """The message about a word that is not known, with the one that was probably meant.

    >>> nearest("command", "dmeo", ["demo", "draw"])
    "there is no command 'dmeo'; did you mean 'demo'? There are: demo, draw"
    >>> nearest("command", "xyz", ["demo", "draw"])
    "there is no command 'xyz'. There are: demo, draw"
    """
    names = list(known)
    listed = ", ".join(map(shown, names[:MOST])) + ", …" * (len(names) > MOST)
    near = "" if word.isdecimal() else did_you_mean(word, names)  # nobody misspells a number
    meant = f"; {near}" if near else "."
    return f"there is no {kind} {word!r}{meant} There are: {listed}"


def destination(args: argparse.Namespace, suffixes: Sequence[str]) -> Path:
    """The file of ``--output``, by default the script's name with the first suffix, in this folder.

    CommandError, before the script is run for nothing, where no such file can be written, or where it is
    the script itself. Any suffix will do if ``suffixes`` are empty.
    """
    if Path(args.script).is_dir():
        raise CommandError(f"cannot read the script {args.script}: it is a folder")
    path: Path = args.output or Path(Path(args.script).stem + suffixes[0])
    reason = ""
    if suffixes and path.suffix.lower() not in suffixes:
        raise CommandError(f"cannot write {path}: the suffix is one of {', '.join(suffixes)}")
    if not path.parent.is_dir():
        reason = f"there is no folder {path.parent}"
    elif path.is_dir():
        reason = "it is a folder"
    elif path.exists() and Path(args.script).exists() and path.samefile(args.script):
        reason = "it is the script itself"
    if reason:
        raise CommandError(f"cannot write {path}: {reason}; {ANOTHER_FILE}")
    return path


@contextmanager
def writing(path: Path, cure: str = ANOTHER_FILE) -> Iterator[None]:
    """What writes ``path`` stands inside; a failure says why and what to do."""
    try:
        yield
    except OSError as error:
        reason = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror or error
        raise CommandError(f"cannot write {path}: {reason}; {cure}") from None
