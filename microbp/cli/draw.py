"""``microbp draw``: the graph of a value in a user's script as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from microbp import MicrobpError
from microbp.cli.command import Command, CommandError, known_suffix, writing
from microbp.cli.script import declare_script, run_script
from microbp.demo.report import write

__all__ = ["COMMAND"]

#: What drawings of a graph, of a step and of the whole pass have in common.
_SHARED = ("between", "around", "hops", "edges", "rankdir", "dark", "engine")


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_script(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="an .svg, .png, .pdf or .dot file (default: the script's name with .svg, here); a .gif "
        "shows the whole backward pass",
    )  # fmt: skip
    parser.add_argument(
        "--fold", default="auto", metavar="HOW",
        help="none, sigma, neuron, layer, or auto, which keeps the picture readable (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--max-nodes", type=int, default=120, metavar="N",
        help="how many boxes auto draws at most (default: 120)",
    )  # fmt: skip
    parser.add_argument("--step", type=int, metavar="N", help="the backward pass as it stands after N steps")
    parser.add_argument("--between", nargs=2, metavar=("A", "B"), help="only what lies between two values")
    parser.add_argument("--around", metavar="NAME", help="only the neighbourhood of a value")
    parser.add_argument("--hops", type=int, default=2, metavar="N", help="how far around it (default: 2)")
    parser.add_argument(
        "--share", type=float, metavar="FRACTION",
        help="only the paths that carry this share of the gradient, such as 0.9",
    )  # fmt: skip
    parser.add_argument(
        "--edges", default="local", choices=("local", "contribution", "none"),
        help="what stands at the edges (default: local derivatives)",
    )  # fmt: skip
    parser.add_argument(
        "--left-to-right", dest="rankdir", action="store_const", const="LR", default="TB",
        help="instead of top to bottom",
    )  # fmt: skip
    parser.add_argument("--dark", action="store_true", help="on a dark background, for slides")
    parser.add_argument(
        "--engine", default="auto", choices=("auto", "dot", "pygraphviz"), help="the layout engine"
    )


def _run(args: argparse.Namespace) -> int:
    import viz

    known_suffix(args.output, [*viz.Drawing.suffixes, ".gif"])
    graph = run_script(args.script, args.arguments).graph(args.root)
    path: Path = args.output or Path(Path(args.script).stem + ".svg")
    whole_pass = path.suffix.lower() == ".gif"
    try:
        shared = {each: getattr(args, each) for each in _SHARED}
        drawing: Any
        if whole_pass:
            drawing = viz.animate(graph, **shared)
            told = f"{drawing.frames} steps"
        else:
            if args.step is None:
                options = {"fold": args.fold, "max_nodes": args.max_nodes, "share": args.share}
                drawing = viz.draw(graph, **options, **shared)
            else:
                drawing = viz.draw_step(graph, args.step, **shared)
            told = f"{drawing.picture.values:,} values in {len(drawing.picture.boxes):,} boxes"
        with writing(path, cure="name another file with --output"):
            drawing.save(path)
    except (MicrobpError, ValueError, LookupError) as error:
        text = error.args[0] if isinstance(error, LookupError) else error
        raise CommandError(f"cannot draw {graph.root.name}: {text}") from None
    write(f"Written: {path} ({told})")
    if args.step is None and not whole_pass and all(node.grad is None for node in graph):
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
