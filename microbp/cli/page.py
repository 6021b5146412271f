"""``microbp page``: the backward pass of a value in a user's script as a page to step through."""

from __future__ import annotations

import argparse
from pathlib import Path

from microbp import MicrobpError
from microbp.cli.command import Command, CommandError, known_suffix, writing
from microbp.cli.script import declare_script, run_script
from microbp.demo.report import write

__all__ = ["COMMAND"]


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_script(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="the HTML file (default: the script's name with .html, in this folder)",
    )  # fmt: skip
    parser.add_argument("--title", help="what stands above the page (default: the value's name)")
    parser.add_argument(
        "--engine", default="auto", choices=("auto", "dot", "pygraphviz"), help="the layout engine"
    )


def _run(args: argparse.Namespace) -> int:
    from viz.page import Page, page

    known_suffix(args.output, Page.suffixes)
    graph = run_script(args.script, args.arguments).graph(args.root)
    path: Path = args.output or Path(Path(args.script).stem + ".html")
    try:
        made = page(graph, title=args.title, engine=args.engine)
    except MicrobpError as error:
        raise CommandError(f"cannot make a page of {graph.root.name}: {error}") from None
    with writing(path, cure="name another file with --output"):
        made.save(path)
    write(f"Written: {path} ({made.values:,} values, {made.steps:,} steps); open it in a browser")
    return 0


COMMAND = Command(
    "page",
    "write a page that steps through the backward pass of a value in a script",
    "microbp page net.py -o step.html       the value that had backward() called last\n"
    "microbp page net.py --root loss",
    _declare,
    _run,
)
