"""A Picture as DOT text: the same bytes in every process, whatever engine lays them out."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from itertools import chain, pairwise
from types import MappingProxyType
from typing import Any

from viz.labels import COLUMNS, edge_label, edge_look, heading, label, outline, scale_of
from viz.options import FONT, Style
from viz.picture import Box, Edge, Kind, Picture
from viz.text import MINUS, escaped, shortened

#: Columns of a tooltip, and of a name in that of an edge: DOT reads no quoted string beyond 16,384 bytes.
_TOOLTIP, _NAME = 2_000, 80
#: Inches between ranks; less in the picture of a step, where each edge has room for two lines of text;
#: most where edges are a mesh.
_BETWEEN, _STEPPING, _MESH = "0.36", "0.2", "0.9"
#: More edges than these at one end of an edge, and it bears no label where it leads to a folded box.
_CROWD = 4
#: Where edges cross more rows than these together, an engine would move them to and fro for minutes, and draw
#: a mesh of curves; in haste it looks at each once, and lines are straight.
PATIENCE, _HASTE = 1_500, {"nslimit": "1", "splines": "line", "outputorder": "edgesfirst"}

LEAVES = frozenset({Kind.PARAMETER, Kind.INPUT, Kind.CONSTANT})
#: From top to bottom more leaves of one reader than these stand in several rows of at least so many.
_ACROSS, _LEAST = 6, 4

#: By the id of a box, an edge or a frame where an engine put it, as attributes; that of the whole is empty.
Places = Mapping[str, Mapping[str, str]]
_NOWHERE: Places = MappingProxyType({})
#: By the id of a frame its grids of boxes whose order is given, each as rows of ids.
Order = dict[str, list[list[list[str]]]]


def source(
    picture: Picture, style: Style | None = None, dpi: int | None = None, places: Places = _NOWHERE
) -> str:
    """The DOT text of a picture; see :func:`digraph`."""
    return str(digraph(picture, style, dpi, places).source)


def digraph(
    picture: Picture,
    style: Style | None = None,
    dpi: int | None = None,
    places: Places = _NOWHERE,
    shown: Places | None = None,
) -> Any:
    """The picture as a ``graphviz.Digraph``, to be changed by hand before it is drawn.

    Boxes stand in the order of their values, with their own ids as names; edges follow, parallel ones
    each by itself. ``dpi`` is the resolution of a PNG. With ``places`` nothing is laid out again, and of the
    boxes and edges only those are there that have a look in ``shown``.
    """
    import graphviz  # type: ignore[import-untyped]

    style = (style or Style()).checked()
    if shown is None:
        shown = looks(picture, style, places)
    theme, given = style.theme, {} if places else order(picture, style.rankdir)
    graph = graphviz.Digraph(
        "drawing",
        graph_attr={
            "rankdir": style.rankdir, "pad": "0.15", "bgcolor": theme.background, "fontname": FONT,
            "fontsize": "10", "fontcolor": theme.text, "labelloc": "t", "tooltip": " ",
        }
        | ({"layout": "nop2"} if places else _layout(picture, given))
        | ({"dpi": str(dpi)} if dpi else {})
        | dict(shown[""]),
        node_attr={
            "shape": "box", "style": "rounded,filled", "margin": "0.05,0.03", "width": "0", "height": "0",
            "fillcolor": theme.fill, "color": theme.outline, "penwidth": "1",
            "fontname": FONT, "fontsize": "10", "fontcolor": theme.text,
        },
        edge_attr={
            "color": theme.edge, "arrowsize": "0.6", "penwidth": "1",
            "fontname": FONT, "fontsize": "8", "fontcolor": theme.faint,
        },
    )  # fmt: skip
    _add_boxes(graph, picture, given, style, places, shown)
    boxes = {box.id: box for box in picture.boxes}
    for edge in picture.edges:
        if edge.id in shown:
            graph.edge(edge.source, _head(edge, boxes[edge.target], style), id=edge.id, **shown[edge.id])
    return graph


def looks(picture: Picture, style: Style, places: Places = _NOWHERE) -> dict[str, Mapping[str, str]]:
    """How each box and each edge looks, by its id, as attributes; that of the whole is empty."""
    scale, frames = scale_of(picture, style), {cluster.id: cluster.label for cluster in picture.clusters}
    found = {"": {"label": heading(picture, scale, style)}}
    for box in picture.boxes:
        told = escaped(box.tooltip or box.name, _TOOLTIP, tooltip=True)
        shown = box._replace(name=_within([frames.get(each, each) for each in box.group], box.name))
        found[box.id] = {"label": label(shown, scale, style), "tooltip": told} | outline(box, style)
    found |= _edge_looks(picture, style)
    return {key: look | dict(places.get(key, {})) for key, look in found.items()}


def _layout(picture: Picture, given: Order) -> dict[str, str]:
    """What an engine needs to know about distances and its own patience."""
    mesh = is_mesh(picture, 2 * _CROWD)
    between = _STEPPING if any(edge.flow for edge in picture.edges) else _MESH if mesh else _BETWEEN
    return (
        {"nodesep": "0.12" if mesh else "0.2", "ranksep": between}
        | ({"remincross": "false"} if given else {})  # its second thoughts know no order
        | (_HASTE if picture.reach() > PATIENCE else {})
    )


# ------------------------------------------------------------------------- which boxes stand where
def order(picture: Picture, rankdir: str) -> Order:
    """The boxes whose order is given; of a small picture none, for there an engine does well.

    An engine puts boxes where edges are short, and so shuffles those that read and are read alike. Folded
    boxes of one frame stand in a row, if as many boxes lie between them and the inputs: then no path leads
    from one to another. Many leaves that one box reads stand in rows below each other.
    """
    depth, readers = picture.depths(), defaultdict[str, set[str]](set)
    for edge in picture.edges:
        readers[edge.source].add(edge.target)
    beside: dict[tuple[str, Hashable], list[Box]] = {}
    for box in picture.boxes:
        frame = box.group[-1] if box.group else ""
        if box.kind is Kind.FOLDED and box.leaves is None:
            beside.setdefault((frame, depth[box.id]), []).append(box)
        elif box.kind in LEAVES and len(readers[box.id]) == 1 and rankdir == "TB":
            beside.setdefault((frame, (box.kind, *readers[box.id])), []).append(box)
    found: Order = {}
    several = {at: boxes for at, boxes in beside.items() if len(boxes) > 1}
    if not any(boxes[0].kind is Kind.FOLDED or len(boxes) > _ACROSS for boxes in several.values()):
        return found
    for (frame, _), boxes in sorted(several.items(), key=lambda each: each[1][0].kind in LEAVES):
        ids, across = [box.id for box in boxes], len(boxes)
        if boxes[0].kind in LEAVES and across > _ACROSS:
            across = max(_LEAST, math.isqrt(across - 1) + 1)
        rows = [ids[start : start + across] for start in range(0, len(ids), across)]
        found.setdefault(frame, []).append(rows)
    return found


def is_mesh(picture: Picture, crowd: int) -> bool:
    """Whether an edge leads from a box that more than ``crowd`` others read to one that reads as many."""
    ends = {(edge.source, edge.target) for edge in picture.edges}
    leaving, arriving = Counter(source for source, _ in ends), Counter(target for _, target in ends)
    return any(leaving[source] > crowd and arriving[target] > crowd for source, target in ends)


def _within(frames: list[str], name: str) -> str:
    """``w.0`` for ``layers.0.w.0`` in ``net.layers.0``: a box does not repeat the frames around it.

    The variable may stand before the path.
    """
    words = ".".join(frames).split(".")
    for outermost in range(len(words)):
        path = ".".join(words[outermost:]) + "."
        if name.startswith(path) and name != path:
            return name[len(path) :]
    return name


# -------------------------------------------------------------------------------------------- boxes
def _add_boxes(
    graph: Any, picture: Picture, given: Order, style: Style, places: Places, shown: Places
) -> None:
    """The boxes and the frames around them, each frame where its first box stands."""
    inside: dict[str, list[Box | str]] = {"": []}
    for box in picture.boxes:
        for outer, inner in pairwise(("", *box.group)):
            if inner not in inside:
                inside[inner] = []
                inside[outer].append(inner)
        inside[box.group[-1] if box.group else ""].append(box)
    labels = {cluster.id: cluster.label for cluster in picture.clusters}
    frames: dict[str, Any] = {}
    # a frame is complete before it is put into the one around it, which was begun earlier
    for cluster in reversed(inside):
        label_ = labels.get(cluster, cluster)
        body = frames[cluster] = _frame(graph, cluster, label_, style) if cluster else graph
        for each in inside[cluster]:
            if isinstance(each, str):
                body.subgraph(frames.pop(each))
            elif each.id in shown:
                body.node(each.id, id=each.id, **shown[each.id])
        body.attr(**places.get(cluster, {}) if cluster else {})
        # edges that are not seen keep the boxes of a frame where they belong
        for row in chain.from_iterable(given.get(cluster, ())):
            with body.subgraph(graph_attr={"rank": "same"}) as same:
                # from left to right an engine begins below
                for one, other in pairwise(row if style.rankdir == "TB" else reversed(row)):
                    same.edge(one, other, style="invis", minlen="0")
        for upper, lower in chain.from_iterable(map(pairwise, given.get(cluster, ()))):
            for one, other in zip(upper, lower, strict=False):
                body.edge(one, other, style="invis")


def _frame(whole: Any, cluster: str, name: str, style: Style) -> Any:
    return type(whole)(
        f"cluster_{cluster}",
        graph_attr={
            "id": cluster, "label": f"<{escaped(name, 40)}>", "labeljust": "l",
            "tooltip": escaped(name, _TOOLTIP, tooltip=True),
            "style": "rounded", "color": style.theme.frame, "fontcolor": style.theme.faint, "margin": "7",
        },
    )  # fmt: skip


# -------------------------------------------------------------------------------------------- edges
def _edge_looks(picture: Picture, style: Style) -> dict[str, dict[str, str]]:
    """Those of all edges. Between folded boxes few bear a label, and where many cross they are pale.

    For a ``"label"`` every edge bends around a place half-way; for an ``"xlabel"`` room is sought later.
    """
    where = "xlabel" if is_mesh(picture, 2 * _CROWD) else "label"
    found = {}
    boxes = {box.id: box for box in picture.boxes}
    leaving = Counter(edge.source for edge in picture.edges)
    arriving = Counter(edge.target for edge in picture.edges)
    # what enters a frame comes from above the leaves in it, so that one layer stands below another
    leafy = {frame for box in picture.boxes if box.kind in LEAVES for frame in box.group}
    for edge in picture.edges:
        source, target = boxes[edge.source], boxes[edge.target]
        told = escaped(_tooltip(edge, source.name, target.name), tooltip=True)
        look = {"edgetooltip": told}
        if set(target.group) & leafy - set(source.group):
            look["minlen"] = "2"
        shown = edge_label(edge, style)
        if Kind.FOLDED in {source.kind, target.kind}:
            crowd = max(leaving[edge.source], arriving[edge.target])
            if (crowd > _CROWD or edge.count in {1, source.times, target.times}) and not edge.alarm:
                shown = ""
            if crowd > 2 * _CROWD:
                look |= {"color": style.theme.frame, "arrowsize": "0.4"}
            elif edge.count > 1:
                look["penwidth"] = "2"
        look |= edge_look(edge, style)
        if shown:
            look |= {where: shown, "labeltooltip": told}
        found[edge.id] = look
    return found


def _head(edge: Edge, target: Box, style: Style) -> str:
    """Where an edge ends: at its term, if that is to be reached without crossing the box."""
    if edge.port and target.kind is Kind.SUM and (style.rankdir == "LR" or len(target.rows) <= COLUMNS):
        return f"{edge.target}:{edge.port}:{'w' if style.rankdir == 'LR' else 'n'}"
    return edge.target


def _tooltip(edge: Edge, source: str, target: str) -> str:
    source, target = shortened(source, _NAME), shortened(target, _NAME)
    if edge.count > 1:
        return f"{edge.count:,} edges from {source} to {target}"
    lines = [f"from {source} to {target}"]
    if edge.local is not None:
        lines = [f"∂{target}/∂{source} = " + repr(edge.local).replace("-", MINUS)]
    if edge.contribution is not None:
        lines.append(f"contribution to ∇{source}: " + repr(edge.contribution).replace("-", MINUS))
    return "\n".join(lines)
