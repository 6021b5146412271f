"""The layout engines: the system's ``dot``, or Graphviz inside the process by ``pygraphviz``.

Both read the same DOT text. Neither is needed to write it, and neither is imported before it is used. What
they lay out comes back as a picture, or as places for a renderer that draws by itself.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

from microbp import MicrobpError
from microbp.safe import quoted

__all__ = [
    "ENGINES",
    "FORMATS",
    "EngineFailed",
    "Layout",
    "NoEngine",
    "Place",
    "Point",
    "Route",
    "engine_name",
    "positions",
    "render",
]


ENGINES = ("auto", "dot", "pygraphviz")
FORMATS = ("svg", "png", "pdf", "json", "json0", "plain")

_WAYS_OUT = (
    "install one of them: `apt-get install graphviz` (or your system's package) brings dot, "
    "`pip install microbp[viz]` brings pygraphviz with its own engine. The DOT text needs neither: "
    "Drawing.dot, or save it as a .dot file"
)


class NoEngine(MicrobpError, RuntimeError):
    """No layout engine is installed, or not the one that was asked for."""


class EngineFailed(MicrobpError, RuntimeError):
    """A layout engine did not accept the text, or cannot write the format."""


def render(dot: str, format: str = "svg", engine: str = "auto") -> bytes:  # noqa: A002
    """A DOT text in one of ``FORMATS``, laid out by ``engine``.

    ``auto`` takes the system's ``dot`` if there is one, else ``pygraphviz``.

    >>> render("digraph { a -> b }", "plain").split()[:2]
    [b'graph', b'1']

    Raises NoEngine if the engine is not installed, EngineFailed with its own words if it fails, and
    ValueError for an engine or a format that is not known.
    """
    if format not in FORMATS:
        raise ValueError(f"format={quoted(format)}: it is one of {', '.join(map(repr, FORMATS))}")
    chosen = _chosen(engine)
    return (_by_dot if chosen == "dot" else _by_pygraphviz)(dot, format)


def engine_name(engine: str = "auto") -> str:
    """The engine that :func:`render` would take, with its version: ``dot 2.43.0``, ``pygraphviz 2.0.4``.

    Raises as :func:`render` does.
    """
    return _version(_chosen(engine))


def _chosen(engine: str) -> str:
    if engine not in ENGINES:
        raise ValueError(f"engine={quoted(engine)}: it is one of {', '.join(map(repr, ENGINES))}")
    for each in ENGINES[1:] if engine == "auto" else (engine,):
        if _installed(each):
            return each
    dot, package = "program dot on the PATH", "package pygraphviz"
    what = {
        "auto": f"there is neither a {dot} nor the {package}",
        "dot": f"there is no {dot}",
        "pygraphviz": f"there is no {package}",
    }[engine]
    if engine != "pygraphviz" and shutil.which("dot"):
        what = "the program dot is there, but not the Python package graphviz that calls it"
    raise NoEngine(f"no layout engine: {what}; {_WAYS_OUT}.")


def _installed(engine: str) -> bool:
    if engine == "dot" and shutil.which("dot") is None:
        return False
    try:
        return find_spec("graphviz" if engine == "dot" else "pygraphviz") is not None
    except ValueError:  # something without a spec stands in its place in sys.modules
        return False


@lru_cache
def _version(engine: str) -> str:
    if engine == "dot":
        import graphviz  # type: ignore[import-untyped]

        return "dot " + ".".join(map(str, graphviz.version()))
    from importlib.metadata import version

    return f"pygraphviz {version('pygraphviz')}"


def _by_dot(dot: str, format: str) -> bytes:  # noqa: A002
    import graphviz

    try:
        return bytes(graphviz.pipe("dot", format, dot.encode(), quiet=True))
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        raise EngineFailed(f"dot could not draw the picture as {format}: {said or error}") from error


def _by_pygraphviz(dot: str, format: str) -> bytes:  # noqa: A002
    import pygraphviz  # type: ignore[import-untyped]

    try:
        # it tells the terminal when there are many nodes; so do we, before drawing
        with contextlib.redirect_stderr(io.StringIO()):
            return bytes(pygraphviz.AGraph(string=dot).draw(format=format, prog="dot"))
    # where it cannot render, it stumbles over the empty answer of its own library
    except (ValueError, TypeError, OSError, pygraphviz.DotError) as error:
        raise EngineFailed(f"pygraphviz could not draw the picture as {format}: {error}") from error


#: Across and down from the upper left corner of the picture, in points.
Point = tuple[float, float]


class Place(NamedTuple):
    """A rectangle: its centre and its size, in points."""

    x: float
    y: float
    width: float
    height: float


class Route(NamedTuple):
    """The way of an edge: a chain of cubic Bézier curves and the tip of the arrow."""

    #: Start, then for each curve two control points and its end: 1 + 3·n points.
    points: tuple[Point, ...]
    #: Where the arrow points to; None without an arrow.
    tip: Point | None = None
    #: The centre of the label; None where the edge has none.
    label: Point | None = None

    def path(self) -> str:
        """The way as the ``d`` of an SVG path, with a straight last piece up to the tip.

        >>> Route(((0.0, 0.0), (0.0, 5.0), (2.5, 8.0), (4.0, 8.0)), (9.0, 8.0)).path()
        'M0,0C0,5 2.5,8 4,8L9,8'
        """
        start, *rest = (f"{x:g},{y:g}" for x, y in self.points)
        line = f"L{self.tip[0]:g},{self.tip[1]:g}" if self.tip else ""
        return f"M{start}C{' '.join(rest)}{line}"


class Layout(NamedTuple):
    """A picture's size, its boxes and clusters by id (or name), and its edges by id."""

    width: float
    height: float
    boxes: Mapping[str, Place]
    edges: Mapping[str, Route]
    clusters: Mapping[str, Place]
    #: Which engine it comes from, with its version.
    engine: str


def positions(dot: str, engine: str = "auto") -> Layout:
    """Lay out a DOT text and return the places, as the engine's own JSON output states them.

    A box or edge is known by its ``id`` attribute, a box or cluster without one by its name; an edge
    without one has no entry. Raises what :func:`viz.engines.render` raises, NoEngine where there is
    no engine.

    >>> layout = positions('digraph { a [width=1 height=0.5 fixedsize=true]; a -> b [id="e1_0"] }')
    >>> layout.boxes["a"].width, layout.boxes["a"].y < layout.boxes["b"].y, len(layout.edges)
    (72.0, True, 1)
    """
    described = json.loads(render(dot, "json0", engine))
    return layout_of(described, engine_name(engine))


def layout_of(described: Mapping[str, Any], engine: str = "") -> Layout:
    """The layout in what ``dot -Tjson0`` writes, which counts from the lower left corner, upwards."""
    left, low, right, top = _numbers(described["bb"])
    boxes: dict[str, Place] = {}
    clusters: dict[str, Place] = {}
    for each in described.get("objects", ()):
        name = each.get("id") or each["name"]
        if "pos" in each:
            x, y = _numbers(each["pos"])
            boxes[name] = Place(x - left, top - y, 72 * float(each["width"]), 72 * float(each["height"]))
        elif "bb" in each and each["name"].startswith("cluster"):
            x0, y0, x1, y1 = _numbers(each["bb"])
            clusters[name] = Place((x0 + x1) / 2 - left, top - (y0 + y1) / 2, x1 - x0, y1 - y0)
    edges = {
        each["id"]: _route(each, left, top)
        for each in described.get("edges", ())
        if "id" in each and "pos" in each
    }
    return Layout(right - left, top - low, boxes, edges, clusters, engine)


def _route(edge: Mapping[str, Any], left: float, top: float) -> Route:
    """``e,x,y x,y x,y …``: the tip of the arrow where there is one, then the points of the curves."""

    def point(numbers: Sequence[float]) -> Point:
        return numbers[0] - left, top - numbers[1]

    points, tip = [], None
    for word in edge["pos"].split(";")[0].split():
        if word.startswith("e,"):
            tip = point(_numbers(word[2:]))
        elif not word.startswith("s,"):
            points.append(point(_numbers(word)))
    return Route(tuple(points), tip, point(_numbers(edge["lp"])) if "lp" in edge else None)


def _numbers(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]
