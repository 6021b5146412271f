"""A Picture as DOT text: the same bytes in every process, whatever engine lays them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from viz import progress as step_look
from viz.colours import Scale
from viz.labels import COLUMNS, label
from viz.legend import heading, scale_of
from viz.moment import Progress
from viz.order import LEAVES, Order, is_mesh, order, tidied
from viz.picture import Box, Edge, Kind, Picture
from viz.reach import HASTE, PATIENCE
from viz.styles import FONT, Style
from viz.text import MINUS, escaped, number, shortened, signed

__all__ = ["CROWD", "Places", "add_edges", "digraph", "source"]


#: Columns of a tooltip: DOT reads no quoted string beyond 16,384 bytes.
_TOOLTIP = 2_000
#: Inches between ranks; less in the picture of a step, where each edge has room for two lines of text;
#: most where edges are a mesh.
_BETWEEN, _STEPPING, _MESH = "0.36", "0.2", "0.9"


#: By the id of a box, an edge or a frame where an engine put it, as attributes; that of the whole is empty.
Places = Mapping[str, Mapping[str, str]]
_NOWHERE: Places = MappingProxyType({})


def source(
    picture: Picture, style: Style | None = None, dpi: int | None = None, places: Places = _NOWHERE
) -> str:
    """The DOT text of a picture; see :func:`digraph`.

    >>> from viz.picture import Box, Kind
    >>> text = source(Picture((Box("n0", Kind.INPUT, "x", data=2.0),), ()))
    >>> text.splitlines()[0]
    'digraph drawing {'
    """
    return str(digraph(picture, style, dpi, places).source)


def digraph(
    picture: Picture, style: Style | None = None, dpi: int | None = None, places: Places = _NOWHERE
) -> Any:
    """The picture as a ``graphviz.Digraph``, to be changed by hand before it is drawn.

    Boxes stand in the order of their values, with their own ids as names; edges follow, parallel ones
    each by itself. ``dpi`` is the resolution of a PNG. With ``places`` nothing is laid out again.

    Raises ModuleNotFoundError with the way out if the package graphviz is not installed.
    """
    graphviz = _package()
    style, names = (style or Style()).checked(), {box.id: box.name for box in picture.boxes}
    picture = tidied(picture)
    theme, scale = style.theme, scale_of(picture, style)
    given, mesh = order(picture, style.rankdir), is_mesh(picture, 2 * CROWD)
    between = _STEPPING if picture.moment and picture.moment.edges else _MESH if mesh else _BETWEEN
    graph = graphviz.Digraph(
        "drawing",
        graph_attr={
            "rankdir": style.rankdir, "nodesep": "0.12" if mesh else "0.2", "pad": "0.15",
            "ranksep": between,
            "bgcolor": theme.background, "fontname": FONT, "fontsize": "10", "fontcolor": theme.text,
            "label": heading(picture, scale, style), "labelloc": "t", "tooltip": " ",
        }
        | ({"remincross": "false"} if given.rows else {})  # its second thoughts know no order
        | (HASTE if picture.reach() > PATIENCE else {})
        | ({"dpi": str(dpi)} if dpi else {})
        | ({"layout": "nop2", **places.get("", {})} if places else {}),
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
    _add_boxes(graph, picture, given, scale, style, places)
    add_edges(graph, picture, names, style, "xlabel" if mesh else "label", places)
    return graph


def _package() -> Any:
    try:
        import graphviz  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "drawing needs the Python package graphviz: `pip install microbp[viz]` brings it"
        ) from error
    return graphviz


# -------------------------------------------------------------------------------------------- boxes
def _add_boxes(
    graph: Any, picture: Picture, given: Order, scale: Scale, style: Style, places: Places
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
    progress = picture.moment.boxes if picture.moment else {}
    frames: dict[str, Any] = {}
    # a frame is complete before it is put into the one around it, which was begun earlier
    for cluster in reversed(inside):
        body = graph if not cluster else _frame(cluster, labels.get(cluster, cluster), style)
        for each in inside[cluster]:
            if isinstance(each, str):
                body.subgraph(frames.pop(each))
            else:
                _add_box(body, each, scale, style, progress.get(each.id), places.get(each.id, {}))
        body.attr(**places.get(cluster, {}))
        _put_in_order(body, cluster, given, style)
        frames[cluster] = body


def _put_in_order(body: Any, cluster: str, given: Order, style: Style) -> None:
    """Edges that are not seen keep the boxes of a frame where they belong."""
    for row in given.rows.get(cluster, ()):
        with body.subgraph(graph_attr={"rank": "same"}) as same:
            # from left to right an engine begins below
            for one, other in pairwise(row if style.rankdir == "TB" else reversed(row)):
                same.edge(one, other, style="invis", minlen="0")
    for one, other in given.below.get(cluster, ()):
        body.edge(one, other, style="invis")


def _frame(cluster: str, name: str, style: Style) -> Any:
    return _package().Digraph(
        f"cluster_{cluster}",
        graph_attr={
            "id": cluster, "label": f"<{escaped(name, 40)}>", "labeljust": "l",
            "tooltip": escaped(name, _TOOLTIP, tooltip=True),
            "style": "rounded", "color": style.theme.frame, "fontcolor": style.theme.faint, "margin": "7",
        },
    )  # fmt: skip


def _add_box(
    body: Any, box: Box, scale: Scale, style: Style, progress: Progress | None, place: Mapping[str, str]
) -> None:
    attributes = {"id": box.id, "tooltip": escaped(box.tooltip, _TOOLTIP, tooltip=True)}
    look = _outline(box, style)
    if progress and progress.passing:
        look |= {"color": style.theme.root_outline, "penwidth": "4"}
    elif progress and box.root:
        look["penwidth"] = "2"  # thick is what passes its gradient on, and nothing else
    body.node(box.id, label(box, scale, style, progress), **attributes, **look, **place)


def _outline(box: Box, style: Style) -> dict[str, str]:
    """Fill and outline by kind; what is the table's default is left out."""
    theme = style.theme
    look: dict[str, str] = {}
    if box.kind is Kind.PARAMETER:
        look = {"fillcolor": theme.parameter_fill, "color": theme.parameter_outline, "penwidth": "2"}
    elif box.kind is Kind.FOLDED and box.parameters:
        look = {"fillcolor": theme.folded_fill, "color": theme.parameter_outline, "penwidth": "2"}
    elif Kind.INPUT in {box.kind, box.leaves}:
        look = {"fillcolor": theme.input_fill}
    elif Kind.CONSTANT in {box.kind, box.leaves}:
        look = {"style": "rounded,filled,dashed"}
    if box.root:
        look |= {"color": theme.root_outline, "penwidth": "3"}
    return look


#: More edges than these at one end of an edge, and it bears no label where it leads to a folded box.
CROWD = 4
#: Columns of a name in a tooltip: DOT reads no quoted string beyond 16,384 bytes.
_NAME = 80


def add_edges(
    graph: Any, picture: Picture, names: dict[str, str], style: Style, where: str, places: Places
) -> None:
    """All edges. Between folded boxes few bear a label, and where many cross they are pale.

    For a ``"label"`` every edge bends around a place half-way; for an ``"xlabel"`` room is sought later.
    """
    boxes = {box.id: box for box in picture.boxes}
    leaving = Counter(edge.source for edge in picture.edges)
    arriving = Counter(edge.target for edge in picture.edges)
    # what enters a frame comes from above the leaves in it, so that one layer stands below another
    leafy = {frame for box in picture.boxes if box.kind in LEAVES for frame in box.group}
    for edge in picture.edges:
        source, target = boxes[edge.source], boxes[edge.target]
        apart = {"minlen": "2"} if set(target.group) & leafy - set(source.group) else {}
        told = escaped(_edge_tooltip(edge, names[edge.source], names[edge.target]), tooltip=True)
        look = {"id": edge.id, "edgetooltip": told}
        flow = picture.moment.edges.get(edge.id) if picture.moment else None
        shown = step_look.edge_label(edge, flow, style) if flow else _edge_label(edge, style)
        if Kind.FOLDED in {source.kind, target.kind}:
            crowd = max(leaving[edge.source], arriving[edge.target])
            if crowd > CROWD or edge.count in {1, source.times, target.times}:
                shown = ""
            if crowd > 2 * CROWD:
                look |= {"color": style.theme.frame, "arrowsize": "0.4"}
            elif edge.count > 1:
                look["penwidth"] = "2"
        look |= apart
        if edge.alarm:
            shown = f'<<FONT COLOR="{style.theme.alarm}"><B>{edge.alarm}</B></FONT>>'
        if shown:
            look |= {where: shown, "labeltooltip": told}
        if flow:
            look |= step_look.edge_look(flow, style)
        elif style.edges == "contribution" and edge.contribution:
            look["color"] = style.theme.edge_plus if edge.contribution > 0 else style.theme.edge_minus
        if edge.alarm:
            look |= {"color": style.theme.alarm, "penwidth": "2.5"}
        graph.edge(edge.source, _head(edge, target, style), **look, **places.get(edge.id, {}))


def _head(edge: Edge, target: Box, style: Style) -> str:
    """Where an edge ends: at its term, if that is to be reached without crossing the box."""
    if edge.port and target.kind is Kind.SUM:
        if style.rankdir == "LR":
            return f"{edge.target}:{edge.port}:w"
        if len(target.rows) <= COLUMNS:
            return f"{edge.target}:{edge.port}:n"
    return edge.target


def _edge_label(edge: Edge, style: Style) -> str:
    if style.edges == "none":
        return ""
    many = f"{edge.count:,} edges" if edge.count > 1 else ""
    if style.edges == "contribution" and edge.contribution is not None:
        shown = signed(edge.contribution, style.digits)
        return f"{many}, max {shown}" if many else shown
    if many or style.edges == "contribution" or edge.local is None or edge.local == 1.0:
        return many
    return f"×{number(edge.local, style.digits)}"


def _edge_tooltip(edge: Edge, source: str, target: str) -> str:
    source, target = shortened(source, _NAME), shortened(target, _NAME)
    if edge.count > 1:
        return f"{edge.count:,} edges from {source} to {target}"
    lines = [f"from {source} to {target}"]
    if edge.local is not None:
        lines = [f"∂{target}/∂{source} = {_exact(edge.local)}"]
    if edge.contribution is not None:
        lines.append(f"contribution to ∇{source}: {_exact(edge.contribution)}")
    return "\n".join(lines)


def _exact(x: float) -> str:
    return repr(x).replace("-", MINUS)
