"""``page``: a backward pass as one HTML file, which steps through it in any browser, without a network."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from textwrap import fill
from typing import Any, ClassVar

from microbp import Graph, MicrobpError, TooManyValues, Trace, Value, trace
from viz import dot
from viz.colours import DARK, LIGHT
from viz.drawing import Levels
from viz.engines import ENGINES, NoEngine, Rendered, engine_name, render
from viz.focus import View
from viz.fold import pictures
from viz.kinds import kinds
from viz.options import Style, graph_of, one_of
from viz.page.data import as_literal, described
from viz.step_pictures import Film
from viz.svg import map_svg, stage
from viz.text import plain

#: In this order: each uses what stands above it.
_SCRIPTS = "model.js", "words.js", "graph.js", "panel.js", "map.js", "exercise.js", "controls.js"


def joined(title: str, data: Any, drawn: str = "", folded: str = "") -> str:
    """The page as HTML, with graph and map as SVG. Nothing is loaded, and only its own script runs."""
    style = _text("step.css").replace("/* dark pictures */", _dark())
    script = "\n".join(map(_text, _SCRIPTS))
    parts = {
        "policy": f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        "title": html.escape(title),
        "style": style,
        "map": folded,
        "graph": drawn,
        "data": as_literal(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _text("step.html"))


@cache
def _dark() -> str:
    """What turns the colours of a light drawing into those of a dark one; bands stay as they are."""
    pairs = {
        (what, getattr(LIGHT, name)): getattr(DARK, name)
        for what, names in (
            ("fill", "fill parameter_fill folded_fill input_fill edge text faint alarm"),
            ("stroke", "background outline parameter_outline root_outline frame edge alarm"),
        )
        for name in names.split()
    }
    return "\n".join(
        f'svg [{what}="{old}"] {{ {what}: light-dark({old}, {new}); }}' for (what, old), new in pairs.items()
    )


@cache
def _text(name: str) -> str:
    return files("viz.page").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls a text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


WHOLE = 1_000  #: A graph of more values is shown as the neighbourhood of the current one.
LARGEST = 20_000  #: More values do not go on a page.
#: The numbers on the edges are left out of larger graphs, where they cost more room than they tell.
_LABELLED = 300
_MAPPED = 10  #: Fewer values than these need no map.
_MAP = (400.0, 800.0)  #: The size of the map's pane, in pixels.
_COLUMNS = 42  #: Of the line above a map, which takes no room from its boxes.


@dataclass(repr=False)
class Page(Rendered):
    """A page: ``html`` is the whole file. In a notebook it shows itself, in a frame of its own."""

    formats: ClassVar[Mapping[str, str]] = {"frame": "text/html"}
    suffixes = (".html", ".htm")

    html: str
    title: str
    values: int
    steps: int
    #: The layout engine, or empty where the page shows what stands around the current value.
    engine: str = ""
    _format = "frame"

    @property
    def htm(self) -> str:
        """The whole file, as :attr:`html` is."""
        return self.html

    @property
    def frame(self) -> str:
        """A sandboxed frame with the page, in which ids and styles are the page's own."""
        return (
            f'<iframe sandbox="allow-scripts" title="{html.escape(self.title)}" '
            f'srcdoc="{html.escape(self.html)}" style="width:100%;height:560px;border:0"></iframe>'
        )

    def __repr__(self) -> str:
        laid_out = f"engine {self.engine}" if self.engine else "around the current value"
        size = len(self.html.encode()) / 1000
        return f"Step page: {self.values:,} values, {self.steps:,} steps, {laid_out}, {size:,.0f} kB"


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

    Up to ``whole`` values the graph is drawn by ``engine`` and shown complete. Beyond, where its edges
    cross more than 10,000 rows of boxes together, or where no engine is installed, the page shows what
    stands around the current value; its steps and tables are complete all the same.

    Beside it stays a map: the folded picture, in which the current place is lit.

    Raises TooManyValues above 20,000 values, NoGradientError for a constant, NoEngine if the ``engine``
    that is asked for is not installed, and ValueError if it is not known.
    """
    one_of("engine", engine, ENGINES)
    graph = graph_of("page", root, names)
    if parameters is not None and not isinstance(parameters, str | Value):
        parameters = [*parameters]  # they are read more than once
    if len(graph) > LARGEST:
        raise TooManyValues(
            f"the graph of {graph.root.name} has {len(graph):,} values, and a step page shows at most "
            f"{LARGEST:,}. Show a part: page(loss_of_one_sample), or page(value) for a value further inside; "
            'draw(loss, fold="auto") shows all of it folded into one picture'
        )
    steps = root if isinstance(root, Trace) else trace(graph)
    title = plain(f"{graph.root.name}: one backward pass" if title is None else title)
    data = {**described(steps, title, kinds(graph, parameters)), "note": ""}
    drawn = laid_out = ""
    if len(graph) <= whole:
        try:
            drawn, data["view"] = _stage(steps, parameters, engine)
            laid_out = engine_name(engine)
        except NoEngine:
            if engine != "auto":
                raise
            data["note"] = "The whole graph needs a layout engine: pip install microbp[viz]."
        except ValueError:
            data["note"] = "The whole graph is a tangle that takes an engine minutes."
    folded, data["boxes"] = _map(graph, engine, parameters)
    return Page(joined(title, data, drawn, folded), title, len(graph), len(steps), laid_out)


def _stage(
    steps: Trace, parameters: Iterable[str | Value] | None, engine: str
) -> tuple[str, dict[str, float]]:
    """The whole graph as the end of the pass has it, with room for the gradients of every step."""
    shown = Film(steps, next(pictures(steps.graph, "none", view=View(parameters)))).picture(len(steps))
    edges = "local" if len(shown.boxes) <= _LABELLED else "none"
    boxes = (box._replace(progress=box.progress and box.progress._replace(passes=0)) for box in shown.boxes)
    still = (edge._replace(flow=None) for edge in shown.edges)
    shown = shown._replace(title="", boxes=tuple(boxes), edges=tuple(still))
    laid_out = render(dot.source(shown, Style(edges=edges, legend=False)), "svg", engine)
    return stage(laid_out, engine_name(engine))


def _map(graph: Graph, engine: str, parameters: Iterable[str | Value] | None) -> tuple[str, list[str]]:
    """The folded picture that stays beside the detail, and for each value the id of its box; or neither."""
    if len(graph) < _MAPPED:
        return "", []
    levels = pictures(graph, "auto", 120, View(parameters))
    folded = (each._replace(title="", note=fill(each.note or "all values", _COLUMNS)) for each in levels)
    style = Style(edges="none", legend=False)
    found = Levels(folded, style, engine).legible(_MAP)
    try:
        laid_out = render(dot.source(found, style), "svg", engine)
    except (MicrobpError, OSError):
        return "", []
    return map_svg(laid_out, engine_name(engine)), [f"map-{each}" for each in found.box_of]
