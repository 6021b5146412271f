"""The options of drawings, steps, animations and pages: one table; none is ignored in silence."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import microbp
from microbp import Graph, MicrobpError, Value
from microbp.cli.command import CommandError

__all__ = ["declare_view", "drawings", "given", "refused", "tried"]

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
    "edges": {
        "choices": ("local", "contribution", "none"),
        "help": "what stands at the edges (default: local derivatives)",
    },
    "digits": {"type": int, "metavar": "N", "help": "significant digits of numbers (default: 4)"},
    "rankdir": {"action": "store_const", "const": "LR", "help": "instead of top to bottom"},
    "dark": {"action": "store_const", "const": True, "help": "on a dark background, for slides"},
    "engine": {"choices": ("auto", "dot", "pygraphviz"), "help": "the layout engine (default: auto)"},
}  # fmt: skip


def declare_view(parser: argparse.ArgumentParser, names: Iterable[str] = tuple(VIEW)) -> None:
    """The options of that name, or all."""
    for name in names:
        parser.add_argument(_flag(name), dest=name, **VIEW[name])


def _flag(name: str) -> str:
    return "--left-to-right" if name == "rankdir" else f"--{name.replace('_', '-')}"


def given(args: argparse.Namespace) -> dict[str, Any]:
    """The options of :data:`VIEW` that stand on the command line, as keywords."""
    return {name: value for name in VIEW if (value := getattr(args, name, None)) is not None}


def tried(draw: Callable[..., Any], what: str, options: dict[str, Any], *, engine: bool) -> None:
    """CommandError, before a script is run for nothing, where ``draw`` would not take the options.

    They are tried on a graph of two values; with ``engine`` a layout engine must be there.
    """
    foreign = [_flag(name) for name in options if name not in inspect.signature(draw).parameters]
    if foreign:
        raise CommandError(f"{', '.join(foreign)} cannot be had for {what}: leave out what is not for it")
    if "hops" in options and "around" not in options:
        raise CommandError("--hops says how far around a value: name it with --around")
    names = {"between": ("x", "y"), "around": "x", "step": 0}
    y = Value(1.0, name="x") * 2.0
    with refused("cannot draw"):
        if options.get("step", 0) < 0:
            raise ValueError(f"--step {options['step']}: steps are counted from 0")
        draw(Graph(y, names={"y": y}), **{name: names.get(name, x) for name, x in options.items()})
        if engine:
            drawings().engines.engine_name(options.get("engine", "auto"))


@contextmanager
def refused(why: str) -> Iterator[None]:
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
