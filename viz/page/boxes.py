"""How large the box of a value is on the page, and where it goes: no fonts are asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from microbp import Graph
from viz.page.frames import Frame
from viz.reach import HASTE, PATIENCE, reach
from viz.text import columns, narrowed, plain

_HEAD = (
    "digraph { rankdir=TB; nodesep=0.18; ranksep=0.36; "
    'node [shape=box, fixedsize=true, label=""]; edge [arrowsize=0.6];'
)
_HASTE = " ".join(f"{option}={value};" for option, value in HASTE.items())
_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)+", re.ASCII)
_ROOM = '<TABLE BORDER="0" FIXEDSIZE="TRUE" WIDTH="48" HEIGHT="11"><TR><TD></TD></TR></TABLE>'

#: Room for the name of the frame.
_FRAME = f"margin=8; labeljust=l; label=<{_ROOM}>;"

__all__ = ["HEIGHT", "box_width", "clipped", "graph_reach", "skeleton", "symbol_width", "text_width"]

#: Two lines of 18 points.
HEIGHT = 36
#: Points per character of the box's 11 point type, digits and most capitals included; twice that for the
#: wide characters of East Asia.
CHARACTER = 7.2
#: Characters that are wider by two fifths.
_BROAD = frozenset("mwMWOQ@%—")
#: Left and right of the text, and between what stands at both ends of a line.
PADDING, GAP = 8.0, 10.0
#: How many columns of a name its box shows; the tooltip has all of it.
LONGEST = 18
#: The numbers on the edges of a value with more operands are left out.
CROWDED = 4


def text_width(text: str) -> float:
    """How wide a text is at most, in points.

    >>> text_width("b5"), text_width("w5"), text_width("权重")
    (14.4, 17.28, 28.8)
    """
    broad = sum(each in _BROAD for each in text)
    return CHARACTER * (columns(text) + 0.4 * broad)


def clipped(name: str) -> str:
    """A name as its box shows it; of a path its end, of others both ends.

    >>> clipped("w5"), clipped("the mean of all residuals"), clipped("layers.0.neurons.2.w.1")
    ('w5', 'the mean …esiduals', '…s.0.neurons.2.w.1')
    """
    shown = plain(name)
    if len(shown) > LONGEST and _PATH.fullmatch(shown):
        return "…" + shown[1 - LONGEST :]
    return narrowed(shown, LONGEST)


def box_width(short: str, data: str, symbol: str, gradients: Iterable[str]) -> int:
    """The width for ``name … data`` above ``∇ … gradient``, right of the symbol, for all gradients."""
    upper = 1.06 * text_width(short) + GAP + text_width(data)  # the name is bold
    lower = text_width("∇") + GAP + max(map(text_width, gradients), default=0.0)
    return round(max(upper, lower, 70.0) + symbol_width(symbol) + 2 * PADDING)


def symbol_width(symbol: str) -> int:
    """The room for the sign of an operation, left of its name and its gradient."""
    return round(1.2 * text_width(symbol)) + 8 if symbol else 0


def skeleton(graph: Graph, widths: Sequence[float], around: Sequence[Frame], *, labels: bool) -> str:
    """The graph as DOT without names or numbers: boxes of fixed sizes, edges, room for their labels.

    Every edge is there, also the second of ``x·x``; ``e12_0`` is the one to the first operand of node 12.
    Frames are the clusters ``cluster_0`` and so on.
    """
    boxes = [
        f"n{position} [width={width / 72:.4f}, height={HEIGHT / 72:.4f}];"
        for position, width in enumerate(widths)
    ]
    inside: list[list[str]] = [[] for _ in around]
    outside: list[str] = []
    for place, frame in reversed([*enumerate(around)]):  # what is inside is complete first
        own = [boxes[position] for position in frame.inside]
        cluster = [f"subgraph cluster_{place} {{ {_FRAME}", *own, *reversed(inside[place]), "}"]
        (outside if frame.parent is None else inside[frame.parent]).append("\n".join(cluster))
    framed = {position for frame in around for position in frame.inside}
    free = [box for position, box in enumerate(boxes) if position not in framed]
    head = f"{_HEAD} {_HASTE}" if graph_reach(graph) > PATIENCE else _HEAD
    return "\n".join([head, *free, *reversed(outside), *_edges(graph, labels=labels), "}"])


def graph_reach(graph: Graph) -> int:
    """How many rows the edges cross together, where every value has its box."""
    operands = {node.position: [each for each in node.operands if type(each) is int] for node in graph}
    return reach(operands, operands)


def _edges(graph: Graph, *, labels: bool) -> Iterator[str]:
    for node in graph:
        crowded = len(node.operands) > CROWDED
        for place, operand in enumerate(node.operands):
            if type(operand) is int:
                local = node.local_derivatives[place]
                told = labels and not crowded and local is not None and local != 1.0
                room = f", label=<{_ROOM}>" if told else ""
                yield f'n{operand} -> n{node.position} [id="e{node.position}_{place}"{room}];'
