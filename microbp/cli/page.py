"""``microbp page``: the backward pass of a value in a user's script as a page to step through."""

from __future__ import annotations

import argparse

from microbp.cli.command import Command, destination, writing
from microbp.cli.script import declare_script, run_script
from microbp.cli.view import declare_view, drawings, given, refused, tried
from microbp.demo.report import write

__all__ = ["COMMAND"]


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_script(parser, output="the HTML file (default: the script's name with .html, in this folder)")
    declare_view(parser, ("title", "engine"))


def _run(args: argparse.Namespace) -> int:
    viz = drawings()
    path = destination(args, viz.Page.suffixes)
    options = given(args)
    tried(viz.page, "a page", options, engine="engine" in options)
    graph = run_script(args.script, args.arguments).graph(args.root)
    with refused(f"cannot make a page of {graph.root.name}"):
        made = viz.page(graph, **options)
    with writing(path):
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
