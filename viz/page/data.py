"""What the page shows, as plain data: every value, every step, every number in full precision."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from microbp import Contribution, Graph, Node, Trace, Value
from microbp.notation import plain_name
from viz.colours import DECADES, Scale
from viz.kinds import kinds, sign
from viz.numbers import number, signed
from viz.page.boxes import HEIGHT, box_width, clipped
from viz.page.source import sources
from viz.text import plain

__all__ = ["as_literal", "described"]


def described(trace: Trace, title: str, parameters: Iterable[str | Value] | None) -> dict[str, Any]:
    """Everything but the layout. Positions are those of the graph; the list of steps begins with step 1."""
    graph = trace.graph
    scale = Scale.over(trace.gradients())
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
                "gives": [_contribution(each, scale) for each in step.contributions],
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
        "short": clipped(node.name),
        "named": node.named,
        "kind": kind,
        "symbol": sign(node),
        "rule": node.rule.name if node.rule else "",
        "formula": plain(made) if made != node.name else "",  # w·x need not be told to be w·x
        "group": " › ".join(plain(name) + (f" ({call + 1})" if call else "") for name, call in node.group),
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


def _contribution(each: Contribution, scale: Scale) -> dict[str, Any]:
    return {
        "operand": each.operand,
        "place": each.place,
        "symbols": plain(each.symbols),
        "numbers": plain(each.numbers),
        "local": _number(each.local),
        "amount": _number(each.amount),
        "after": _number(each.after),
        "colour": scale.colour(each.after),
        "tint": scale.colour(each.amount),
    }


def _legend(scale: Scale) -> list[str]:
    """Colours from the most negative gradient over 0 to the most positive."""
    sizes = [scale.largest * 10.0**-power for power in range(0, DECADES, 2)]
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
