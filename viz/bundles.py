"""Dense layers: where every box of a frame is joined to every box of another, one edge stands for them all.

A layer of sixteen neurons that reads another of sixteen has 256 edges. Each drawn by itself, they are a
grey band that tells no more than "all to all".
"""

from __future__ import annotations

from collections.abc import Sequence

from viz.edges import larger
from viz.picture import Bundle, Edge, Kind, Picture

__all__ = ["bundled"]

#: Fewer edges than these between two frames can be read, and so can the fans of two boxes.
_DENSE, _FANS = 25, 2

#: The frames that a box stands in, from the outermost, by id.
Path = tuple[str, ...]


def bundled(picture: Picture) -> Picture:
    """The picture with one edge in the place of all that join two frames completely; its note says so.

    There are at least 25 of them, and in each frame are three boxes or more, all folded, and no frames. The
    edge bears the id of the first, and runs between boxes in the middle of the two rows that face each
    other. A leaf that stands in a frame, such as a bias that its neurons share, is not counted.

    >>> from viz.picture import Box
    >>> boxes = [Box(f"g{at}", Kind.FOLDED, "", group=(f"c{at // 5}",)) for at in range(10)]
    >>> edges = [Edge(f"e{b}_{a}", f"g{a}", f"g{b}") for b in range(5, 10) for a in range(5)]
    >>> [edge] = bundled(Picture((*boxes,), (*edges,))).edges
    >>> edge.id, edge.source, edge.target, edge.count, edge.bundle.tail, edge.bundle.head
    ('e5_0', 'g2', 'g7', 25, 'c0', 'c1')
    >>> len(bundled(Picture((*boxes,), (*edges[1:],))).edges)
    24

    A picture without such frames is returned as it is.
    """
    found = _bundles(picture)
    if not found:
        return picture
    path = {box.id: box.group for box in picture.boxes}
    row = _rows(picture, path)
    edges: dict[object, Edge] = {}
    for edge in picture.edges:
        ends = path[edge.source], path[edge.target]
        if ends not in found:
            edges[edge.id] = edge
        elif ends not in edges:
            bundle = found[ends]
            lowest = max(row[each] for each in bundle.sources)
            highest = min(row[each] for each in bundle.targets)
            source = _middle([each for each in bundle.sources if row[each] == lowest])
            target = _middle([each for each in bundle.targets if row[each] == highest])
            edges[ends] = edge._replace(source=source, target=target, local=None, bundle=bundle)
        else:
            most = larger(edges[ends].contribution, edge.contribution)
            edges[ends] = edges[ends]._replace(contribution=most, count=edges[ends].count + edge.count)
    note = "; ".join(filter(None, (picture.note, "dense layers joined by one edge")))
    return picture._replace(edges=tuple(edges.values()), note=note)


def _bundles(picture: Picture) -> dict[tuple[Path, Path], Bundle]:
    """What joins two frames completely, by the paths of these."""
    outer = {box.group[:depth] for box in picture.boxes for depth in range(len(box.group))}
    path: dict[str, Path] = {}
    inside: dict[Path, list[str]] = {}
    unfolded: set[Path] = set()
    for box in picture.boxes:
        if box.kind is Kind.FOLDED and box.leaves is None:
            path[box.id] = box.group
            inside.setdefault(box.group, []).append(box.id)
        elif box.kind in {Kind.OPERATION, Kind.SUM}:
            unfolded.add(box.group)
    joined: dict[tuple[Path, Path], set[tuple[str, str]]] = {}
    for edge in picture.edges:
        if edge.source in path and edge.target in path:
            ends = path[edge.source], path[edge.target]
            joined.setdefault(ends, set()).add((edge.source, edge.target))
    found = {}
    for (tail, head), pairs in joined.items():
        sources, targets = inside[tail], inside[head]
        if (
            len(pairs) == len(sources) * len(targets) >= _DENSE
            and min(len(sources), len(targets)) > _FANS
            and not {tail, head} & (outer | unfolded)
        ):
            found[tail, head] = Bundle(tail[-1], head[-1], (*sources,), (*targets,))
    return found


def _rows(picture: Picture, path: dict[str, Path]) -> dict[str, int]:
    """How many boxes of its own frame a box stands below: an engine first lays out each frame by itself."""
    read: dict[str, list[str]] = {}
    for edge in picture.edges:
        if path[edge.source] == path[edge.target]:
            read.setdefault(edge.target, []).append(edge.source)
    row: dict[str, int] = {}
    for box in picture.boxes:
        row[box.id] = max((row[each] + 1 for each in read.get(box.id, ())), default=0)
    return row


def _middle(ids: Sequence[str]) -> str:
    return ids[(len(ids) - 1) // 2]
