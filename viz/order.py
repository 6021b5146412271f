"""A picture made ready for layout: shorter names, and which boxes stand side by side.

An engine puts boxes where edges are short, and so shuffles those that read and are read alike.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import NamedTuple

from viz.picture import Box, Kind, Picture

LEAVES = frozenset({Kind.PARAMETER, Kind.INPUT, Kind.CONSTANT})
#: From top to bottom more leaves of one reader than these stand in several rows of at least so many.
_ACROSS, _LEAST = 6, 4


class Order(NamedTuple):
    """Boxes by their ids, under the id of their frame: side by side, and one below the other."""

    rows: dict[str, list[list[str]]]
    below: dict[str, list[tuple[str, str]]]


def order(picture: Picture, rankdir: str = "TB") -> Order:
    """The boxes of a picture whose order is given; of a small one none, for there an engine does well.

    Folded boxes of one frame stand in a row, if as many boxes lie between them and the inputs: then no
    path leads from one to another. Many leaves that one box reads stand in rows below each other.
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
    found = Order({}, {})
    several = {at: boxes for at, boxes in beside.items() if len(boxes) > 1}
    if not any(boxes[0].kind is Kind.FOLDED or len(boxes) > _ACROSS for boxes in several.values()):
        return found
    for (frame, _), boxes in sorted(several.items(), key=lambda each: each[1][0].kind in LEAVES):
        ids, across = [box.id for box in boxes], len(boxes)
        if boxes[0].kind in LEAVES and across > _ACROSS:
            across = max(_LEAST, math.isqrt(across - 1) + 1)
        rows = [ids[start : start + across] for start in range(0, len(ids), across)]
        found.rows.setdefault(frame, []).extend(rows)
        found.below.setdefault(frame, []).extend(zip(ids, ids[across:], strict=False))
    return found


def is_mesh(picture: Picture, crowd: int) -> bool:
    """Whether an edge leads from a box that more than ``crowd`` others read to one that reads as many."""
    ends = {(edge.source, edge.target) for edge in picture.edges}
    leaving, arriving = Counter(source for source, _ in ends), Counter(target for _, target in ends)
    return any(leaving[source] > crowd and arriving[target] > crowd for source, target in ends)


def tidied(picture: Picture) -> Picture:
    """The same values, each with a tooltip, and with a name that does not repeat the frames around it."""
    labels = {cluster.id: cluster.label for cluster in picture.clusters}
    boxes = (
        box._replace(
            name=_within([labels.get(each, each) for each in box.group], box.name),
            tooltip=box.tooltip or box.name,
        )
        for box in picture.boxes
    )
    return picture._replace(boxes=tuple(boxes))


def _within(frames: list[str], name: str) -> str:
    """``w.0`` for ``layers.0.w.0`` in ``net.layers.0``; the variable may stand before the path."""
    words = ".".join(frames).split(".")
    for outermost in range(len(words)):
        path = ".".join(words[outermost:]) + "."
        if name.startswith(path) and name != path:
            return name[len(path) :]
    return name
