"""``microbp demo``, ``learn`` and ``grade``: tutorials, a first hour, and the answers of a class."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import microbp.demo
from microbp import Graph, classroom, lessons
from microbp.cli.command import ONE_OF, CommandError, Result, command, destination, nearest, writing
from microbp.cli.debugging import LANGUAGE
from microbp.cli.drawing import drawings
from microbp.cli.script import of_script, run_script, unreadable
from microbp.errors import NoGradientError
from microbp.files import write_file
from microbp.lessons import LESSONS
from microbp.text import shown, write

ANOTHER_FOLDER = "name another folder with --output"


# -------------------------------------------------------------------------------------------- demo
def _tutorial(word: str) -> str:
    if word.upper() not in microbp.demo.TUTORIALS:
        raise argparse.ArgumentTypeError(nearest("tutorial", word, microbp.demo.TUTORIALS))
    return word.upper()


@command({
    "tutorials": {
        "nargs": "*", "type": _tutorial, "metavar": "TUTORIAL",
        "help": "; ".join(f"{name}: {each.title}" for name, each in microbp.demo.TUTORIALS.items())
        + "; all of them if none is named",
    },
    "-o --output": {
        "type": Path, "default": Path("microbp-demo"), "metavar": "DIR",
        "help": "the folder for the report and its numbers (default: %(default)s)",
    },
    ONE_OF: {
        "-v --verbose": {"action": "store_true", "help": "print the whole report of each"},
        "-q --quiet": {"action": "store_true", "help": "print one line for each tutorial"},
    },
}, gives="what was compared")  # fmt: skip
def demo(args: argparse.Namespace) -> Result:
    """Reproduce tutorials on back-propagation, with every gradient checked.

    microbp demo               every tutorial on a page; reports go to microbp-demo/
    microbp demo T4 -o out     one of them; files go to out/
    microbp demo T1 --json     every comparison as data
    """
    folder: Path = args.output
    with writing(folder, ANOTHER_FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
    records, written = [], []
    for name in dict.fromkeys(args.tutorials or microbp.demo.TUTORIALS):
        report = microbp.demo.TUTORIALS[name].reproduce()
        for suffix, text in (("txt", str(report)), ("json", report.as_json())):
            path = folder / f"{name}.{suffix}"
            with writing(path, ANOTHER_FOLDER):
                write_file(path, f"{text}\n")
            written.append(str(path))
        if report.graph is not None:
            written += _pictures(folder, name, report.graph, report.title)
        records.append(report.record())
        if args.verbose:
            write(f"{report}\n")
        else:
            write(f"{name}: {report.verdict}" if args.quiet else f"{report.page}\n")
    if not args.quiet:
        write(f"Written: {', '.join(written)}")
    status = 0 if all(each["ok"] for each in records) else 1
    return Result(status, {"tutorials": records, "written": written})


def _pictures(folder: Path, name: str, graph: Graph, title: str) -> list[str]:
    """Write a drawing of the graph, and the page that steps through it; the names of the files.

    Without a layout engine the drawing is DOT text.
    """
    viz = drawings()
    drawing = viz.draw(graph, title=f"{name}. {title}")
    drawn, stepped = folder / f"{name}.svg", folder / f"{name}.html"
    try:
        with writing(drawn, ANOTHER_FOLDER):
            drawing.save(drawn)
    except viz.NoEngine as missing:
        drawn = folder / f"{name}.dot"
        write(f"{name}: no picture, only its DOT text: {missing}")
        with writing(drawn, ANOTHER_FOLDER):
            drawing.save(drawn)
    with writing(stepped, ANOTHER_FOLDER):
        viz.page(graph, title=f"{name}. {title}").save(stepped)
    return [str(drawn), str(stepped)]


# -------------------------------------------------------------------------------------------- learn
@command({
    "--from": {
        "dest": "first", "type": int, "default": 1, "metavar": "N", "choices": range(1, len(LESSONS) + 1),
        "help": f"begin with this step, of {len(LESSONS)}",
    },
    **LANGUAGE,
})  # fmt: skip
def learn(args: argparse.Namespace) -> Result:
    """Learn back-propagation in twelve small steps, each with a question that is graded.

    microbp learn                   from one multiplication to the 2-2-2 net; exit status 1 if one is left
    microbp learn --from 7          go on with step 7
    microbp learn --language zh
    """
    left = lessons.learn(args.first, args.language, ask=_asked)
    return Result(1 if left else 0)


def _asked(prompt: str) -> str | None:
    """What is typed, or stands on the next line of stdin; None at its end."""
    write(prompt, end="")
    sys.stdout.flush()
    try:
        line = "" if sys.stdin is None else sys.stdin.readline()  # None where it was closed by the shell
    except UnicodeDecodeError as error:
        raise CommandError(f"what was typed is not in {error.encoding}, the encoding of stdin") from None
    if not line:
        write("")
        return None
    if not sys.stdin.isatty():
        write(line.strip())
    return line


# -------------------------------------------------------------------------------------------- grade
@command({
    **of_script(
        output="write the report as a page (.html), with a sheet for each student",
        answers="a CSV file: a line for each student, a column for each value whose gradient is asked for",
    ),
    "--decimals": {
        "type": int, "default": 4, "metavar": "N",
        "help": "to how many decimals answers are rounded (default: 4)",
    },
    "--points": {
        "action": "append", "default": [], "metavar": "[NAME=]N",
        "help": "the points for each answer, or for that of a name (default: 1); may be given several times",
    },
    "--skip": {
        "action": "append", "default": [], "metavar": "COLUMN",
        "help": "a column that holds no answers; may be given several times",
    },
    **LANGUAGE,
}, gives="points, verdicts and mistakes")  # fmt: skip
def grade(args: argparse.Namespace) -> Result:
    """Grade the answers of a class, with follow-on errors and each mistake by its name.

    microbp grade net.py answers.csv                       exit status 1 if an answer is wrong
    microbp grade net.py answers.csv --decimals 4 --language zh -o report.html
    microbp grade net.py answers.csv --points 2 --points w1=4 --skip email
    """
    if args.output is not None:
        destination(args, [".html", ".htm"])
    try:
        answers = classroom.read_answers(args.answers, args.skip)
    except OSError as error:
        raise unreadable("answers", args.answers, error) from None
    except ValueError as error:
        raise CommandError(str(error)) from None
    points = _points(args.points, [*answers[0][1]])
    script = run_script(args.script, args.arguments)
    try:
        found = classroom.grade(
            script.root(args.root), answers, decimals=args.decimals, points=points, names=script.namespace,
            language=args.language,
        )  # fmt: skip
    except KeyError as error:
        raise CommandError(f"{args.answers}: {error.args[0]}; leave a column out with --skip") from None
    except (NoGradientError, ValueError) as error:
        raise CommandError(f"{args.answers}: {error}") from None
    found.table().show()
    if args.output is not None:
        with writing(args.output):
            write_file(args.output, found.html())
        write(f"\nWritten: {args.output}")
    record = {"points": found.points, "students": found.students, "mistakes": found.mistakes}
    return Result(0 if found.ok else 1, record)


def _points(given: list[str], names: list[str]) -> dict[str, float]:
    """The points of each name, of texts such as ``2`` and ``w1=3``."""
    points = dict.fromkeys(names, 1.0)
    for text in given:
        name, _, worth = text.rpartition("=")
        if name and name not in names:
            raise CommandError(f"--points {text}: {nearest('answer', name, names)}")
        try:
            points |= dict.fromkeys([name] if name else names, float(worth.replace(",", ".")))
        except ValueError:
            told = f"--points {text}: points are a number, as in --points 2 or --points {shown(names[0])}=2"
            raise CommandError(told) from None
    return points
