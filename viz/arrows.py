"""The edges of a Picture as DOT: labels, tooltips, and where they end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from viz.labels import COLUMNS
from viz.moments import look as step_look
from viz.numbers import MINUS, number, signed
from viz.picture import Box, Bundle, Edge, Kind, Picture
from viz.styles import Style
from viz.text import escaped, shortened
from viz.tidy import LEAVES

__all__ = ["CROWD", "add_edges"]

#: More edges than these at one end of an edge, and it bears no label where it leads to a folded box.
CROWD = 4
#: Columns of a name in a tooltip: DOT reads no quoted string beyond 16,384 bytes.
_NAME = 80


def add_edges(graph: Any, picture: Picture, names: dict[str, str], style: Style, where: str) -> None:
    """All edges. Between folded boxes few bear a label, and where many cross they are pale.

    For a ``"label"`` every edge bends around a place half-way; for an ``"xlabel"`` room is sought later.
    """
    boxes = {box.id: box for box in picture.boxes}
    frames = {cluster.id: cluster.label for cluster in picture.clusters}
    leaving = Counter(edge.source for edge in picture.edges)
    arriving = Counter(edge.target for edge in picture.edges)
    # what enters a frame comes from above the leaves in it, so that one layer stands below another
    leafy = {frame: box.id for box in reversed(picture.boxes) if box.kind in LEAVES for frame in box.group}
    for edge in picture.edges:
        source, target = boxes[edge.source], boxes[edge.target]
        apart = {"minlen": "2"} if set(target.group) & leafy.keys() - set(source.group) else {}
        if edge.bundle:
            # to a leaf at the top of the frame, if there is one: half-way is where the label stands
            end = leafy.get(edge.bundle.head, edge.target)
            graph.edge(edge.source, end, **_bundle_look(edge, edge.bundle, frames, style))
            continue
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
        graph.edge(edge.source, _head(edge, target, style), **look)


def _bundle_look(edge: Edge, bundle: Bundle, frames: dict[str, str], style: Style) -> dict[str, str]:
    """One thick edge from frame to frame; it runs straight, and keeps one frame below the other."""
    told = escaped(_bundle_tooltip(edge, bundle, frames), tooltip=True)
    look = {
        "id": edge.id, "edgetooltip": told, "penwidth": "4", "arrowsize": "0.8", "fontsize": "10",
        "ltail": f"cluster_{bundle.tail}", "lhead": f"cluster_{bundle.head}", "weight": "50",
    }  # fmt: skip
    if shown := _edge_label(edge, style):
        gap = 3 * "&#160;"  # beside the line, not on it; from left to right the line is so much longer
        look |= {"label": gap + shown + gap * (style.rankdir == "LR"), "labeltooltip": told}
    if style.edges == "contribution" and edge.contribution:
        look["color"] = style.theme.edge_plus if edge.contribution > 0 else style.theme.edge_minus
    return look


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
    if edge.bundle:
        many = f"{len(edge.bundle.sources)} × {len(edge.bundle.targets)}"
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


def _bundle_tooltip(edge: Edge, bundle: Bundle, frames: dict[str, str]) -> str:
    source, target = (shortened(frames.get(each, each), _NAME) for each in (bundle.tail, bundle.head))
    above, below = len(bundle.sources), len(bundle.targets)
    pairs = above * below
    told = f"each of {above:,} boxes in {source} to each of {below:,} in {target}: {pairs:,} connections"
    if edge.count > pairs:
        told += f", {edge.count:,} edges"
    if edge.contribution is not None:
        told += f"\nlargest contribution: {_exact(edge.contribution)}"
    return told


def _exact(x: float) -> str:
    return repr(x).replace("-", MINUS)
