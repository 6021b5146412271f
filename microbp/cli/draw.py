"""``microbp draw``: the graph of a value in a user's script as a picture."""

from __future__ import annotations

import argparse

from microbp.cli.command import Command, destination, writing
from microbp.cli.script import declare_script, run_script
from microbp.cli.view import declare_view, drawings, given, refused, tried
from microbp.demo.report import write

__all__ = ["COMMAND"]


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_script(
        parser, output="an .svg, .png, .pdf or .dot file (default: the script's name with .svg, here); "
        "a .gif shows the whole backward pass",
    )  # fmt: skip
    declare_view(parser)


def _run(args: argparse.Namespace) -> int:
    viz = drawings()
    path = destination(args, [*viz.Drawing.suffixes, ".gif"])
    options = given(args)
    draw, what = viz.draw, "a drawing"
    if path.suffix.lower() == ".gif":
        draw, what = viz.animate, "a GIF of the whole pass"
    elif args.step is not None:
        draw, what = viz.draw_step, "a single step"
    tried(draw, what, options, engine=path.suffix.lower() != ".dot")
    graph = run_script(args.script, args.arguments).graph(args.root)
    with refused(f"cannot draw {graph.root.name}"):
        drawing = draw(graph, **options)
        with writing(path):
            drawing.save(path)
    if draw is viz.animate:
        told = f"{drawing.frames} steps"
    else:
        told = f"{drawing.picture.values:,} values in {len(drawing.picture.boxes):,} boxes"
    write(f"Written: {path} ({told})")
    if draw is viz.draw and all(node.grad is None for node in graph):
        write(f"No gradient is shown: the script does not call {graph.root.name}.backward().")
    return 0


COMMAND = Command(
    "draw",
    "draw the graph of a value in a script, with every gradient",
    "microbp draw net.py                     the value that had backward() called last\n"
    "microbp draw net.py --root loss -o loss.png --fold none\n"
    "microbp draw net.py -o pass.gif         the backward pass, step by step",
    _declare,
    _run,
)
