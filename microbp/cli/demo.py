"""``microbp demo``: the tutorials, reproduced."""

from __future__ import annotations

import argparse
from pathlib import Path

from microbp import Graph, demo
from microbp.cli.command import Command, Result, nearest, writing
from microbp.cli.drawing import drawings
from microbp.files import write_file
from microbp.text import write

__all__ = ["COMMAND"]

ANOTHER_FOLDER = "name another folder with --output"


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tutorials", nargs="*", type=_tutorial, metavar="TUTORIAL",
        help="; ".join(f"{name}: {each.title}" for name, each in demo.TUTORIALS.items())
        + "; all of them if none is named",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("microbp-demo"), metavar="DIR",
        help="the folder for the report and its numbers (default: %(default)s)",
    )  # fmt: skip
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument("-v", "--verbose", action="store_true", help="print the whole report of each")
    how_much.add_argument("-q", "--quiet", action="store_true", help="print one line for each tutorial")


def _tutorial(word: str) -> str:
    if word.upper() not in demo.TUTORIALS:
        raise argparse.ArgumentTypeError(nearest("tutorial", word, demo.TUTORIALS))
    return word.upper()


def _run(args: argparse.Namespace) -> Result:
    folder: Path = args.output
    with writing(folder, ANOTHER_FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
    records, written = [], []
    for name in dict.fromkeys(args.tutorials or demo.TUTORIALS):
        report = demo.TUTORIALS[name].reproduce()
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


COMMAND = Command(
    "demo",
    "reproduce tutorials on back-propagation, with every gradient checked",
    "microbp demo               every tutorial on a page; reports go to microbp-demo/\n"
    "microbp demo T4 -o out     one of them; files go to out/\n"
    "microbp demo T1 --json     every comparison as data",
    _declare,
    _run,
    "what was compared",
)
