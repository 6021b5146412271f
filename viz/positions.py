"""Where a layout engine would put boxes and edges, as numbers, for a renderer that draws by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from viz.engines import engine_name, render

__all__ = ["Layout", "Place", "Point", "Route", "positions"]

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
