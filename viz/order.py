"""Which boxes stand side by side, in the order of their values: the neurons of a layer."""

from __future__ import annotations

from viz.picture import Kind, Picture

__all__ = ["Rows", "rows"]

#: Ids of boxes that are to stand side by side, by the id of their frame.
Rows = dict[str, list[list[str]]]


def rows(picture: Picture) -> Rows:
    """The boxes of a picture that are to stand side by side, from left to right.

    An engine puts boxes where edges are short, and so shuffles folded neurons that read and are read
    alike. Those of one frame stand in a row, if as many boxes lie between them and the inputs: then no
    path leads from one to another.

    >>> from viz.picture import Box, Edge
    >>> boxes = [Box(f"g{at}", Kind.FOLDED, f"neurons.{at}", group=("c0",)) for at in range(3)]
    >>> rows(Picture((*boxes,), ()))
    {'c0': [['g0', 'g1', 'g2']]}
    >>> rows(Picture((*boxes,), (Edge("e1_0", "g0", "g1"),)))
    {'c0': [['g0', 'g2']]}
    """
    above: dict[str, list[str]] = {}
    for edge in picture.edges:
        above.setdefault(edge.target, []).append(edge.source)
    depth: dict[str, int] = {}
    found: dict[tuple[str, int], list[str]] = {}
    for box in picture.boxes:
        depth[box.id] = 1 + max((depth[each] for each in above.get(box.id, ())), default=-1)
        if box.kind is Kind.FOLDED and box.leaves is None:
            frame = box.group[-1] if box.group else ""
            found.setdefault((frame, depth[box.id]), []).append(box.id)
    side_by_side: Rows = {}
    for (frame, _), ids in found.items():
        if len(ids) > 1:
            side_by_side.setdefault(frame, []).append(ids)
    return side_by_side
