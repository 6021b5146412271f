"""``page``: a backward pass as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from microbp import Graph, TooManyValues, Trace, Value, trace
from microbp.files import write_file
from microbp.safe import quoted
from viz.callers import caller_scope, not_drawn
from viz.engines import ENGINES, NoEngine, positions
from viz.fold import pictures
from viz.legible import Levels
from viz.page.data import as_literal, described, frames, graph_reach, skeleton
from viz.picture import Kind
from viz.reach import MOST
from viz.rendered import asked
from viz.styles import Style
from viz.svg import map_svg
from viz.text import plain

__all__ = ["LARGEST", "WHOLE", "Page", "TooManyValues", "joined", "page"]


#: In this order: each uses what stands above it.
_SCRIPTS = ("model.js", "words.js", "window.js", "graph.js", "view.js", "panel.js", "map.js", "controls.js")


def joined(title: str, data: Any, drawn: str = "") -> str:
    """The page as HTML, with its map as SVG. Nothing is loaded; only its own script runs, by its policy.

    >>> "</script><b>" in joined("</script><b>", {"name": "</script><b>"})
    False
    """
    style = _text("step.css")
    script = "\n".join(map(_text, _SCRIPTS))
    parts = {
        "policy": f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        "title": html.escape(title),
        "style": style,
        "map": drawn,
        "data": as_literal(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _text("step.html"))


@cache
def _text(name: str) -> str:
    return files("viz.page").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls a text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


#: A graph of more values is shown as the neighbourhood of the current one.
WHOLE = 1_000
#: More values do not go on a page.
LARGEST = 20_000
#: The numbers on the edges are left out of larger graphs, where they cost more room than they tell.
_LABELLED = 300
#: Fewer values than these need no map.
_MAPPED = 10


@dataclass(frozen=True)
class Page:
    """A page: ``html`` is the whole file. In a notebook it shows itself, in a frame of its own."""

    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm")

    html: str = field(repr=False)
    title: str
    values: int
    steps: int
    #: The layout engine, or empty where the page lays out the neighbourhood of the current value.
    engine: str

    def save(self, path: str | Path) -> Path:
        """Write the file, and return its path.

        Raises ValueError for another suffix than .html or .htm, and OSError if it cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in self.suffixes:
            known = ", ".join(self.suffixes)
            raise ValueError(f"cannot save a page as {path.name!r}: the suffix is one of {known}")
        write_file(path, self.html)
        return path

    def __str__(self) -> str:
        laid_out = f"engine {self.engine}" if self.engine else "around the current value"
        size = len(self.html.encode()) / 1000
        return f"Step page: {self.values:,} values, {self.steps:,} steps, {laid_out}, {size:,.0f} kB"

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """What notebooks show: a sandboxed frame, in which ids and styles are the page's own."""
        frame = (
            f'<iframe sandbox="allow-scripts" title="{html.escape(self.title)}" '
            f'srcdoc="{html.escape(self.html)}" style="width:100%;height:560px;border:0"></iframe>'
        )
        bundle = {"text/html": frame, "text/plain": str(self)}
        return asked(bundle, include, exclude)


def page(
    root: Value | Graph | Trace,
    *,
    title: str | None = None,
    names: Mapping[str, Any] | None = None,
    parameters: Iterable[str | Value] | None = None,
    engine: str = "auto",
    whole: int = WHOLE,
) -> Page:
    """The backward pass from ``root`` as a page to step through, forwards and back.

    ``names`` maps variable names to what they hold and defaults to the caller's variables. Call
    ``microbp.record_sites(True)`` before the computation, and the page shows the source line of each step.
    ``parameters``, names or Values, says which leaves are parameters; without it their names decide.

    >>> from microbp import Value
    >>> w, x = Value(0.4, name="w"), Value(3.0, name="x")
    >>> made = page((w * x).tanh(), names={}, title="one weight")
    >>> made.values, made.steps, made.html.startswith("<!DOCTYPE html>")
    (4, 2, True)

    Up to ``whole`` values the graph is laid out by ``engine`` and shown complete. Beyond, where its edges
    cross more than 10,000 rows of boxes together, or where no engine is installed, the page shows the
    neighbourhood of the current value, two edges far; its steps and tables are complete all the same.

    Beside it stays a map: the folded picture, in which the current place is lit.

    Raises TooManyValues above 20,000 values, NoGradientError for a constant, NoEngine if the ``engine``
    that is asked for is not installed, and ValueError if it is not known.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine={quoted(engine)}: it is one of {', '.join(map(repr, ENGINES))}")
    graph = root.graph if isinstance(root, Trace) else root
    if isinstance(graph, Value):
        graph = Graph(graph, names=caller_scope() if names is None else names)
    elif not isinstance(graph, Graph):
        raise not_drawn("page", "a Value, a Graph or a Trace", graph)
    if len(graph) > LARGEST:
        raise TooManyValues(
            f"the graph of {graph.root.name} has {len(graph):,} values, and a step page shows at most "
            f"{LARGEST:,}. Show a part: page(loss_of_one_sample), or page(value) for a value further inside; "
            'draw(loss, fold="auto") shows all of it folded into one picture'
        )
    steps = root if isinstance(root, Trace) else trace(graph)
    title = plain(f"{graph.root.name}: one backward pass" if title is None else title)
    data = {**described(steps, title, parameters), "note": ""}
    laid_out = ""
    if len(graph) <= whole:
        if graph_reach(graph) > MOST:
            data["note"] = "The whole graph is a tangle that takes an engine minutes."
        elif not (laid_out := _laid_out(graph, data, engine)):
            data["note"] = "The whole graph needs a layout engine: pip install microbp[viz]."
    drawn, data["boxes"] = _map(graph, engine, parameters)
    return Page(joined(title, data, drawn), title, len(graph), len(steps), laid_out)


#: The size of the map's pane, in pixels.
_MAP = (400.0, 800.0)


def _map(graph: Graph, engine: str, parameters: Iterable[str | Value] | None) -> tuple[str, list[str]]:
    """The folded picture that stays beside the detail, as SVG, and for each value the id of its box in it.

    Both are empty without an engine, and for so few values that they need no map.
    """
    if len(graph) < _MAPPED:
        return "", []
    style = Style(edges="none", legend=False)
    levels = pictures(graph, parameters=parameters)
    folded = (each._replace(title="", note=each.note or "all values") for each in levels)
    found, laid_out = Levels(folded, style, engine).legible(_MAP)
    if not laid_out:
        return "", []
    return map_svg(laid_out), [f"map-{each}" for each in found.box_of]


def _laid_out(graph: Graph, data: dict[str, Any], engine: str) -> str:
    """Put places and routes into ``data``. The engine's name; empty where there is none, and any would do."""
    widths = [node["width"] for node in data["nodes"]]
    around = frames(graph, [Kind(node["kind"]) for node in data["nodes"]])
    try:
        layout = positions(skeleton(graph, widths, around, labels=len(graph) <= _LABELLED), engine)
    except NoEngine:
        if engine != "auto":
            raise
        return ""
    for position, node in enumerate(data["nodes"]):
        place = layout.boxes[f"n{position}"]
        node["place"] = [round(place.x, 1), round(place.y, 1)]
    data["routes"] = {
        name: {"path": route.path(), "label": route.label and [round(each, 1) for each in route.label]}
        for name, route in layout.edges.items()
    }
    data["size"] = [round(layout.width), round(layout.height)]
    data["frames"] = [
        {"label": frame.label, "place": [round(each, 1) for each in layout.clusters[f"cluster_{index}"]]}
        for index, frame in enumerate(around)
    ]
    return layout.engine
