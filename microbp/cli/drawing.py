"""``microbp draw`` and ``microbp page``: the graph of a value in a user's script as a picture, and as a page.

The options of drawings, steps, animations and pages are one table; none is ignored in silence.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import microbp
from microbp import Graph, MicrobpError, Value
from microbp.cli.command import Arguments, CommandError, Result, command, destination, writing
from microbp.cli.script import of_script, run_script
from microbp.text import write

#: Each option as argparse takes it. What is not given is left to the function that draws.
VIEW: dict[str, dict[str, Any]] = {
    "title": {"help": "what stands above it (default: the value's name)"},
    "fold": {
        "metavar": "HOW",
        "help": "none, sigma, neuron, layer, or auto, which keeps the picture readable (default: auto)",
    },
    "max_nodes": {"type": int, "metavar": "N", "help": "how many boxes auto draws at most (default: 120)"},
    "step": {"type": int, "metavar": "N", "help": "the backward pass as it stands after N steps"},
    "between": {"nargs": 2, "metavar": ("A", "B"), "help": "only what lies between two values"},
    "around": {"metavar": "NAME", "help": "only the neighbourhood of a value"},
    "hops": {"type": int, "metavar": "N", "help": "how far around it (default: 2)"},
    "share": {
        "type": float, "metavar": "FRACTION",
        "help": "only the paths that carry this share of the gradient, such as 0.9",
    },
    "unfold": {"action": "append", "metavar": "NAME", "help": "open what has this name: layers.1, W"},
    "findings": {"action": "store_const", "const": True, "help": "mark what `diagnose` finds"},
    "edges": {
        "choices": ("local", "contribution", "none"),
        "help": "what stands at the edges (default: local derivatives)",
    },
    "digits": {"type": int, "metavar": "N", "help": "significant digits of numbers (default: 4)"},
    "rankdir": {"action": "store_const", "const": "LR", "help": "instead of top to bottom"},
    "hide": {
        "action": "append", "metavar": "NAME",
        "help": "leave the gradient of a value blank, for a class to find; may be given several times",
    },
    "answers": {"action": "store_const", "const": True, "help": "the key to what --hide leaves blank"},
    "dark": {"action": "store_const", "const": True, "help": "on a dark background, for slides"},
    "engine": {"choices": ("auto", "dot", "pygraphviz"), "help": "the layout engine (default: auto)"},
}  # fmt: skip


def _view(*names: str) -> Arguments:
    return {_flag(name): {"dest": name, **VIEW[name]} for name in names}


def _flag(name: str) -> str:
    return "--left-to-right" if name == "rankdir" else f"--{name.replace('_', '-')}"


def _tried(
    args: argparse.Namespace, draw: Callable[..., Any], what: str, *, engine: bool = False
) -> dict[str, Any]:
    """The options given; CommandError, before a script is run, where ``draw`` would not take them.

    They are tried on a graph of two values; with ``engine`` a layout engine must be there.
    """
    options = {name: given for name in VIEW if (given := getattr(args, name, None)) is not None}
    foreign = [_flag(name) for name in options if name not in inspect.signature(draw).parameters]
    if foreign:
        raise CommandError(f"{', '.join(foreign)} cannot be had for {what}: leave out what is not for it")
    if "hops" in options and "around" not in options:
        raise CommandError("--hops says how far around a value: name it with --around")
    if "answers" in options and "hide" not in options:
        raise CommandError("--answers is the key to an exercise sheet: say with --hide what is blank on it")
    names = {"between": ("x", "y"), "around": "x", "step": 0, "unfold": ["x"], "hide": ["x"], "findings": ()}
    y = Value(1.0, name="x") * 2.0
    with _refused("cannot draw"):
        if options.get("step", 0) < 0:
            raise ValueError(f"--step {options['step']}: steps are counted from 0")
        draw(Graph(y, names={"y": y}), **{name: names.get(name, x) for name, x in options.items()})
        if engine or "engine" in options:
            drawings().engines.engine_name(options.get("engine", "auto"))
    return options


@contextmanager
def _refused(why: str) -> Iterator[None]:
    """What viz refuses inside is a CommandError that begins with ``why``."""
    try:
        yield
    except (MicrobpError, ValueError, LookupError) as error:
        text = error.args[0] if isinstance(error, LookupError) else error
        raise CommandError(f"{why}: {text}") from None


def drawings() -> Any:
    """The package viz that stands beside microbp, also where the current folder has a viz.py."""
    beside = str(Path(microbp.__file__).parents[1])
    sys.path.insert(0, beside)
    try:
        import viz
        import viz.engines
    finally:
        sys.path.remove(beside)
    return viz


# --------------------------------------------------------------------------------------------- draw
@command({
    **of_script(
        output="an .svg, .png, .pdf or .dot file (default: the script's name with .svg, here); "
        "a .gif shows the whole backward pass"
    ),
    **_view(*VIEW),
}, gives="what was written")  # fmt: skip
def draw(args: argparse.Namespace) -> Result:
    """Draw the graph of a value in a script, with every gradient.

    microbp draw net.py                     the value that had backward() called last
    microbp draw net.py --root loss -o loss.png --fold none
    microbp draw net.py -o pass.gif         the backward pass, step by step
    microbp draw net.py --hide w1 --hide w5 -o sheet.pdf            an exercise sheet
    microbp draw net.py --hide w1 --hide w5 --answers -o key.pdf    and its key
    """
    viz = drawings()
    path = destination(args, [*viz.Drawing.suffixes, ".gif"])
    drawn, what = viz.draw, "a drawing"
    if path.suffix.lower() == ".gif":
        drawn, what = viz.animate, "a GIF of the whole pass"
    elif args.step is not None:
        drawn, what = viz.draw_step, "a single step"
    options = _tried(args, drawn, what, engine=path.suffix.lower() != ".dot")
    graph = run_script(args.script, args.arguments).graph(args.root)
    with _refused(f"cannot draw {graph.root.name}"):
        if "findings" in options:
            options["findings"] = microbp.diagnose(graph, names={}, show=False)
        drawing = drawn(graph, **options)
        with writing(path):
            drawing.save(path)
    if drawn is viz.animate:
        told, record = f"{drawing.frames} steps", {"steps": drawing.frames}
    else:
        values, boxes = drawing.picture.values, len(drawing.picture.boxes)
        told, record = f"{values:,} values in {boxes:,} boxes", {"values": values, "boxes": boxes}
    write(f"Written: {path} ({told})")
    if drawn is viz.draw and all(node.grad is None for node in graph):
        write(f"No gradient is shown: the script does not call {graph.root.name}.backward().")
    return Result(0, {"written": path, **record})


# --------------------------------------------------------------------------------------------- page
@command({
    **of_script(output="the HTML file (default: the script's name with .html, in this folder)"),
    **_view("title", "engine"),
}, gives="what was written")  # fmt: skip
def page(args: argparse.Namespace) -> Result:
    """Write a page that steps through the backward pass of a value in a script.

    microbp page net.py -o step.html       the value that had backward() called last
    microbp page net.py --root loss
    """
    viz = drawings()
    path = destination(args, viz.Page.suffixes)
    options = _tried(args, viz.page, "a page")
    graph = run_script(args.script, args.arguments).graph(args.root)
    with _refused(f"cannot make a page of {graph.root.name}"):
        made = viz.page(graph, **options)
    with writing(path):
        made.save(path)
    write(f"Written: {path} ({made.values:,} values, {made.steps:,} steps); open it in a browser")
    return Result(0, {"written": path, "values": made.values, "steps": made.steps})
