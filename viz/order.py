"""Which boxes stand side by side, in the order of their values: the neurons of a layer, many weights.

An engine puts boxes where edges are short, and so shuffles those that read and are read alike.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from viz.picture import Edge, Kind, Picture
from viz.tidy import LEAVES

__all__ = ["Order", "is_mesh", "order"]

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
        if edge.bundle:
            for each in edge.bundle.targets:
                above.setdefault(each, []).extend(edge.bundle.sources)
        else:
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
