"""A picture made ready for layout: shorter names, fewer frames, and which boxes stand side by side.

An engine puts boxes where edges are short, and so shuffles those that read and are read alike.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from viz.picture import Cluster, Edge, Kind, Picture

__all__ = ["LEAVES", "Order", "is_mesh", "order", "tidied"]


#: From top to bottom more leaves of one reader than these stand in several rows of at least so many.
_ACROSS, _LEAST = 6, 4


class Order(NamedTuple):
    """Boxes by their ids, under the id of the frame that they stand in."""

    #: Those that stand side by side, from left to right.
    rows: dict[str, list[list[str]]]
    #: Those of which one stands below the other.
    below: dict[str, list[tuple[str, str]]]


def order(picture: Picture, rankdir: str = "TB") -> Order:
    """The boxes of a picture whose order is given; of a small one none, for there an engine does well.

    Folded boxes of one frame stand in a row, if as many boxes lie between them and the inputs: then no
    path leads from one to another. Many leaves that one box reads stand in rows below each other.

    >>> from viz.picture import Box
    >>> boxes = [Box(f"g{at}", Kind.FOLDED, f"neurons.{at}", group=("c0",)) for at in range(3)]
    >>> order(Picture((*boxes,), ())).rows
    {'c0': [['g0', 'g1', 'g2']]}
    >>> order(Picture((*boxes,), (Edge("e1_0", "g0", "g1"),))).rows
    {'c0': [['g0', 'g2']]}
    """
    found = Order({}, {})
    for frame, ids in _layers(picture):
        found.rows.setdefault(frame, []).append(ids)
    leaves = [*_leaves(picture)] if rankdir == "TB" else []
    if found.rows or any(len(ids) > _ACROSS for _, ids in leaves):
        for frame, ids in leaves:
            across = max(_LEAST, math.isqrt(len(ids) - 1) + 1) if len(ids) > _ACROSS else len(ids)
            found.rows.setdefault(frame, []).extend(
                ids[start : start + across] for start in range(0, len(ids), across)
            )
            found.below.setdefault(frame, []).extend(zip(ids, ids[across:], strict=False))
    return found


def _layers(picture: Picture) -> Iterable[tuple[str, list[str]]]:
    above = _sources(picture.edges)
    depth: dict[str, int] = {}
    found: dict[tuple[str, int], list[str]] = {}
    for box in picture.boxes:
        depth[box.id] = 1 + max((depth.get(each, 0) for each in above.get(box.id, ())), default=-1)
        if box.kind is Kind.FOLDED and box.leaves is None:
            frame = box.group[-1] if box.group else ""
            found.setdefault((frame, depth[box.id]), []).append(box.id)
    return ((frame, ids) for (frame, _), ids in found.items() if len(ids) > 1)


def _leaves(picture: Picture) -> Iterable[tuple[str, list[str]]]:
    """Leaves of one kind and frame that only the same box reads."""
    readers: dict[str, set[str]] = {}
    for edge in picture.edges:
        readers.setdefault(edge.source, set()).add(edge.target)
    found: dict[tuple[str, Kind, str], list[str]] = {}
    for box in picture.boxes:
        if box.kind in LEAVES and len(readers.get(box.id, ())) == 1:
            (reader,) = readers[box.id]
            frame = box.group[-1] if box.group else ""
            found.setdefault((frame, box.kind, reader), []).append(box.id)
    return ((frame, ids) for (frame, _, _), ids in found.items() if len(ids) > 1)


def _sources(edges: Iterable[Edge]) -> dict[str, list[str]]:
    above: dict[str, list[str]] = {}
    for edge in edges:
        above.setdefault(edge.target, []).append(edge.source)
    return above


def is_mesh(picture: Picture, crowd: int) -> bool:
    """Whether an edge leads from a box that more than ``crowd`` others read to one that reads as many.

    >>> from viz.picture import Box
    >>> boxes = [Box(f"g{at}", Kind.FOLDED, "") for at in range(6)]
    >>> edges = [Edge(f"e{b}_{a}", f"g{a}", f"g{b}") for a in range(3) for b in range(3, 6)]
    >>> is_mesh(Picture((*boxes,), (*edges,)), 2), is_mesh(Picture((*boxes,), (*edges,)), 3)
    (True, False)
    """
    ends = {(edge.source, edge.target) for edge in picture.edges}
    leaving, arriving = Counter(source for source, _ in ends), Counter(target for _, target in ends)
    return any(leaving[source] > crowd and arriving[target] > crowd for source, target in ends)


LEAVES = frozenset({Kind.PARAMETER, Kind.INPUT, Kind.CONSTANT})


def tidied(picture: Picture) -> Picture:
    """The same values with shorter names, fewer frames and plainer sums.

    A name does not repeat the frames around it. A frame around frames with leaves is left out, and the
    inner ones bear its name: the edges into them need room between them. The addition of two values
    has nothing to list, and is drawn as any operation.

    >>> from viz.picture import Box
    >>> boxes = (Box("n0", Kind.PARAMETER, "layers.0.w.1", group=("c0", "c1")),)
    >>> drawn = tidied(Picture(boxes, (), (Cluster("c0", "net"), Cluster("c1", "layers.0", "c0"))))
    >>> drawn.boxes[0].name, drawn.boxes[0].group, drawn.clusters
    ('w.1', ('c1',), (Cluster(id='c1', label='net.layers.0', parent=''),))
    """
    labels = {cluster.id: cluster.label for cluster in picture.clusters}
    outer = {each for box in picture.boxes for each in box.group[:-1]}
    left_out = outer & {each for box in picture.boxes if box.kind in LEAVES for each in box.group}
    small = _small_sums(picture)
    boxes = []
    for box in picture.boxes:
        drawn = box._replace(kind=Kind.OPERATION, symbol="+") if box.id in small else box
        boxes.append(
            drawn._replace(
                name=_within([labels.get(each, each) for each in box.group], box.name),
                tooltip=box.tooltip or box.name,
                group=tuple(each for each in box.group if each not in left_out),
            )
        )
    return picture._replace(boxes=tuple(boxes), clusters=tuple(_renamed(picture.clusters, left_out)))


def _renamed(clusters: tuple[Cluster, ...], left_out: set[str]) -> list[Cluster]:
    """The frames that are kept; each bears the names of those left out around it."""
    known = {cluster.id: cluster for cluster in clusters}
    kept = []
    for cluster in clusters:
        if cluster.id in left_out:
            continue
        label, parent = cluster.label, cluster.parent
        while parent in left_out:
            label, parent = f"{known[parent].label}.{label}", known[parent].parent
        kept.append(cluster._replace(label=label, parent=parent))
    return kept


def _within(frames: list[str], name: str) -> str:
    """``w.0`` for ``layers.0.w.0`` in ``net``, ``layers.0``; the variable may stand before the path."""
    for outermost in range(len(frames)):
        path = ".".join(frames[outermost:]) + "."
        if name.startswith(path) and name != path:
            return name[len(path) :]
    return name


def _small_sums(picture: Picture) -> set[str]:
    ends = Counter((edge.target, edge.port) for edge in picture.edges)
    return {
        box.id
        for box in picture.boxes
        if box.kind is Kind.SUM
        and box.values == 1
        and len(box.rows) == 2
        and all(ends[box.id, row.port] == 1 for row in box.rows)
    }
