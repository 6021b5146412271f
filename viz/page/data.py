"""What the page shows, as plain data: every value, every step, every number in full precision."""

from __future__ import annotations

import json
import linecache
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from microbp import Contribution, Graph, Node, Trace, Value
from microbp.notation import plain_name
from viz.colours import Scale
from viz.kinds import kinds, sign
from viz.picture import Kind
from viz.reach import HASTE, PATIENCE, reach
from viz.text import columns, narrowed, number, plain, signed

__all__ = [
    "HEIGHT",
    "Frame",
    "Source",
    "as_literal",
    "box_width",
    "clipped",
    "described",
    "frames",
    "graph_reach",
    "skeleton",
    "sources",
    "symbol_width",
    "text_width",
]


#: How many lines are shown above and below a line at which something was recorded.
AROUND = 8
#: What stands beyond in a line is cut off.
WIDEST = 240


class Source(NamedTuple):
    """Excerpts of one file. Its folder is left out: a page is sent to others."""

    name: str
    #: By number; a number that is missing stands for lines that are left out.
    lines: dict[int, str]


def sources(sites: Iterable[str | None]) -> tuple[list[Source], dict[str, tuple[int, int]]]:
    """The files in which the sites ``file:line`` lie, and for each site the index of its file and the line.

    A site whose text cannot be read (a file that is gone, what was typed at a prompt) has no entry.
    """
    wanted: dict[str, set[int]] = {}
    for site in sites:
        file, _, line = (site or "").rpartition(":")
        if file and line.isdigit():
            wanted.setdefault(file, set()).add(int(line))
    found: list[Source] = []
    places: dict[str, tuple[int, int]] = {}
    for file, numbers in wanted.items():
        text = linecache.getlines(file)
        known = {each for each in numbers if 1 <= each <= len(text)}
        shown = {near for each in known for near in range(each - AROUND, each + AROUND + 1)}
        if known:
            lines = {n: text[n - 1].rstrip()[:WIDEST] for n in sorted(shown) if 1 <= n <= len(text)}
            places |= {f"{file}:{each}": (len(found), each) for each in known}
            found.append(Source(Path(file).name, lines))
    return found, places


#: Frames inside frames inside frames: more of them is more line than picture.
_DEEPEST = 4

GroupPath = tuple[tuple[str, int], ...]


class Frame(NamedTuple):
    """A frame: what stands at its corner, which frame is around it, and which values are in it."""

    label: str
    #: Its place among the frames, which comes before this one; None if it is an outermost one.
    parent: int | None
    #: Positions of the values that are directly in it.
    inside: list[int]


def frames(graph: Graph, kinds: Sequence[Kind]) -> list[Frame]:
    """The frames of a graph, each after the one around it.

    A parameter stands in the frame of what uses it, where all its uses are in one.

    >>> from microbp import Value, group
    >>> with group("h1"):
    ...     h1 = Value(0.5, name="w1") * 3.0
    >>> frames(Graph(h1 * 2.0), [Kind.PARAMETER, Kind.OPERATION, Kind.OPERATION])
    [Frame(label='h1', parent=None, inside=[0, 1])]
    """
    paths: list[GroupPath] = [node.group[:_DEEPEST] for node in graph]
    for position, uses in enumerate(graph.uses()):
        around = {paths[user] for user, _ in uses}
        if kinds[position] is Kind.PARAMETER and len(around) == 1:
            [paths[position]] = around
    places: dict[GroupPath, int] = {}
    found: list[Frame] = []
    for position, path in enumerate(paths):
        for depth in range(1, len(path) + 1):
            if path[:depth] not in places:
                places[path[:depth]] = len(found)
                name, call = path[depth - 1]
                label = f"{plain(name)} ({call + 1})" if call else plain(name)
                found.append(Frame(label, places.get(path[: depth - 1]), []))
        if path:
            found[places[path]].inside.append(position)
    return found


_HEAD = (
    "digraph { rankdir=TB; nodesep=0.18; ranksep=0.36; "
    'node [shape=box, fixedsize=true, label=""]; edge [arrowsize=0.6];'
)
_HASTE = " ".join(f"{option}={value};" for option, value in HASTE.items())
_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)+", re.ASCII)
_ROOM = '<TABLE BORDER="0" FIXEDSIZE="TRUE" WIDTH="48" HEIGHT="11"><TR><TD></TD></TR></TABLE>'

#: Room for the name of the frame.
_FRAME = f"margin=8; labeljust=l; label=<{_ROOM}>;"


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


#: Local derivatives of larger graphs are told as numbers only: to write each as a formula takes minutes.
_WRITTEN = 5_000


def described(trace: Trace, title: str, parameters: Iterable[str | Value] | None) -> dict[str, Any]:
    """Everything but the layout. Positions are those of the graph; the list of steps begins with step 1."""
    graph = trace.graph
    scale = Scale.over(trace.gradients())
    written = len(graph) <= _WRITTEN
    files, places = sources(node.site for node in graph)
    kind = kinds(graph, parameters)
    nodes = [_node(graph, node, kind[node.position].value, places) for node in graph]
    for node, texts in zip(nodes, _gradient_texts(trace), strict=True):
        node["width"] = box_width(node["short"], number(node["data"]), node["symbol"], texts)
    return {
        "title": plain(title),
        "root": graph.root.position,
        "seed": scale.colour(1.0),
        "largest": scale.largest,
        "legend": _legend(scale),
        "height": HEIGHT,
        "nodes": [{**node, "data": _number(node["data"])} for node in nodes],
        "steps": [
            {
                "node": step.node,
                "upstream": _number(step.upstream),
                "gives": [_contribution(each, scale, written) for each in step.contributions],
            }
            for step in trace.steps
        ],
        "sources": [{"name": plain(each.name), "lines": list(each.lines.items())} for each in files],
    }


def _node(graph: Graph, node: Node, kind: str, places: dict[str, tuple[int, int]]) -> dict[str, Any]:
    made = graph.formula(node)
    return {
        "name": plain(node.name),
        "word": plain_name(node.name),
        "short": clipped(graph.shown(node)),
        "named": node.named,
        "kind": kind,
        "symbol": sign(node),
        "aside": symbol_width(sign(node)),
        "rule": node.rule.name if node.rule else "",
        "formula": plain(made) if made != node.name else "",  # w·x need not be told to be w·x
        "group": " › ".join(plain(name) + (f" ({call + 1})" if call else "") for name, call in node.group),
        "path": [plain(name) for name, _ in node.group] or [plain(node.name)],
        "data": node.data,
        "operands": [each if type(each) is int else None for each in node.operands],
        "site": places.get(node.site or ""),
    }


def _gradient_texts(trace: Trace) -> list[list[str]]:
    """What the band of each box will have to hold, with the count ``1/2`` where there are several."""
    texts: list[list[str]] = [[] for _ in trace.graph]
    texts[-1].append("+1")
    for step in trace.steps:
        for each in step.contributions:
            texts[each.operand].append(signed(each.after))
    return [[f"{len(own)}/{len(own)}  {text}" for text in own] if len(own) > 1 else own for own in texts]


def _contribution(each: Contribution, scale: Scale, written: bool) -> dict[str, Any]:
    return {
        "operand": each.operand,
        "place": each.place,
        "symbols": plain(each.symbols) if written else "",
        "numbers": plain(each.numbers) if written else "",
        "local": _number(each.local),
        "amount": _number(each.amount),
        "after": _number(each.after),
        "colour": scale.colour(each.after),
        "tint": scale.colour(each.amount),
    }


def _legend(scale: Scale) -> list[str]:
    """Colours from the most negative gradient over 0 to the most positive."""
    sizes = [scale.largest * 10.0**-power for power in range(0, scale.decades, scale.decades // 2)]
    return [scale.colour(x) for x in [*(-size for size in sizes), 0.0, *reversed(sizes)]]


def _number(x: float) -> float | str:
    """JSON has no word for NaN and infinity; these are JavaScript's, which ``Number(...)`` reads."""
    if math.isnan(x):
        return "NaN"
    return x if math.isfinite(x) else "Infinity" if x > 0 else "-Infinity"


def as_literal(data: Any) -> str:
    r"""``data`` as JSON that can stand inside ``<script>``, whatever names are in it.

    >>> print(as_literal({"name": "</script><!--"}))
    {"name":"\u003c/script>\u003c!--"}
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for each in "<\u2028\u2029":
        text = text.replace(each, f"\\u{ord(each):04x}")
    return text
