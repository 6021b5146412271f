"""What the page shows, as plain data: every value, every step, every number in full precision."""

from __future__ import annotations

import json
import linecache
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from microbp import Contribution, Graph, Node, Trace
from microbp.notation import plain_name
from viz.colours import Scale
from viz.kinds import sign
from viz.picture import Kind
from viz.text import narrowed, plain

#: So many lines above and below one at which something was recorded are kept, and so many columns.
AROUND, WIDEST = 8, 240


def sources(sites: Iterable[str | None]) -> tuple[list[dict[str, Any]], dict[str, tuple[int, int]]]:
    """Excerpts of the files in which the sites ``file:line`` lie; for each site its file's index and line.

    Folders are left out: a page is sent to others. A site whose text cannot be read has no entry.
    """
    wanted: dict[str, set[int]] = {}
    for site in sites:
        file, _, line = (site or "").rpartition(":")
        if file and line.isdigit():
            wanted.setdefault(file, set()).add(int(line))
    found: list[dict[str, Any]] = []
    places: dict[str, tuple[int, int]] = {}
    for file, numbers in wanted.items():
        text = linecache.getlines(file)
        known = {each for each in numbers if 1 <= each <= len(text)}
        shown = {near for each in known for near in range(each - AROUND, each + AROUND + 1)}
        if known:
            lines = [(n, text[n - 1].rstrip()[:WIDEST]) for n in sorted(shown) if 1 <= n <= len(text)]
            places |= {f"{file}:{each}": (len(found), each) for each in known}
            found.append({"name": plain(Path(file).name), "lines": lines})
    return found, places


_NAME = 24  #: Columns of a name beside the graph.
#: Local derivatives of larger graphs are told as numbers only: to write each as a formula takes minutes.
_WRITTEN = 5_000


def described(trace: Trace, title: str, kinds: Sequence[Kind]) -> dict[str, Any]:
    """Everything but the picture. Positions are those of the graph; the list of steps begins with step 1."""
    graph = trace.graph
    written = len(graph) <= _WRITTEN
    files, places = sources(node.site for node in graph)
    return {
        "title": plain(title),
        "root": graph.root.position,
        "scale": Scale.over(trace.gradients()).told(),
        "nodes": [_node(graph, node, kinds[node.position].value, places) for node in graph],
        "steps": [
            {
                "node": step.node,
                "upstream": _number(step.upstream),
                "gives": [_contribution(each, written) for each in step.contributions],
            }
            for step in trace.steps
        ],
        "sources": files,
    }


def _node(graph: Graph, node: Node, kind: str, places: dict[str, tuple[int, int]]) -> dict[str, Any]:
    made = graph.formula(node)
    name = plain(node.name)
    told = {
        "name": name,
        "word": plain_name(node.name),
        "short": narrowed(plain(graph.shown(node)), _NAME),
        "kind": kind,
        "symbol": sign(node),
        "rule": node.rule.name if node.rule else "",
        "formula": plain(made) if made != node.name else "",  # w·x need not be told to be w·x
        "group": " › ".join(plain(name) + (f" ({call + 1})" if call else "") for name, call in node.group),
        "path": [plain(name) for name, _ in node.group] or [plain(node.name)],
        "data": _number(node.data),
        "operands": [each if type(each) is int else None for each in node.operands],
        "site": places.get(node.site or ""),
    }
    usual = {"word": name, "short": name, "path": [name]}
    return {key: each for key, each in told.items() if each not in ("", None, []) and each != usual.get(key)}


def _contribution(each: Contribution, written: bool) -> dict[str, Any]:
    told = {"operand": each.operand, "place": each.place, "local": _number(each.local)}
    told["after"], amount = _number(each.after), _number(each.amount)
    if amount != told["after"]:
        told["amount"] = amount
    if written:
        symbols, numbers = map(plain, each.told())
        told |= {"symbols": symbols} if numbers == symbols else {"symbols": symbols, "numbers": numbers}
    return told


def _number(x: float) -> float | str:
    """JSON has no word for NaN and infinity; these are JavaScript's, which ``Number(...)`` reads."""
    return x if math.isfinite(x) else str(x).replace("nan", "NaN").replace("inf", "Infinity")


def as_literal(data: Any) -> str:
    """``data`` as JSON that can stand inside ``<script>``, whatever names are in it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for each in "<\u2028\u2029":
        text = text.replace(each, f"\\u{ord(each):04x}")
    return text
