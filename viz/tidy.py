"""A picture made ready for layout: nothing is said twice, and no frame stands in the way of edges."""

from __future__ import annotations

from collections import Counter

from viz.picture import Box, Cluster, Kind, Picture

__all__ = ["LEAVES", "tidied"]

LEAVES = frozenset({Kind.PARAMETER, Kind.INPUT, Kind.CONSTANT})


def tidied(picture: Picture) -> Picture:
    """The same values with shorter names, fewer frames and plainer sums.

    A name does not repeat the frames around it. A frame around frames with leaves is left out, and the
    inner ones bear its name: the edges into them need room between them. The addition of two values
    has nothing to list, and is drawn as any operation.

    >>> boxes = (Box("n0", Kind.PARAMETER, "layers.0.w.1", group=("c0", "c1")),)
    >>> drawn = tidied(Picture(boxes, (), (Cluster("c0", "net"), Cluster("c1", "layers.0", "c0"))))
    >>> drawn.boxes[0].name, drawn.boxes[0].group, drawn.clusters
    ('w.1', ('c1',), (Cluster(id='c1', label='net.layers.0', parent=''),))
    """
    labels = {cluster.id: cluster.label for cluster in picture.clusters}
    parents = {cluster.id: cluster.parent for cluster in picture.clusters}
    around = {box.id: _around(box, parents) for box in picture.boxes}
    outer = {each for box in picture.boxes for each in around[box.id][:-1]}
    left_out = outer & {each for box in picture.boxes if box.kind in LEAVES for each in around[box.id]}
    small = _small_sums(picture)
    boxes = []
    for box in picture.boxes:
        frames = around[box.id]
        drawn = box._replace(kind=Kind.OPERATION, symbol="+") if box.id in small else box
        boxes.append(
            drawn._replace(
                name=_within([labels.get(each, each) for each in frames], box.name),
                tooltip=box.tooltip or box.name,
                group=tuple(each for each in frames if each not in left_out),
            )
        )
    return picture._replace(boxes=tuple(boxes), clusters=tuple(_renamed(picture.clusters, left_out)))


def _around(box: Box, parents: dict[str, str]) -> tuple[str, ...]:
    """The frames around a box, from the outermost; a box may name only the innermost."""
    if len(box.group) != 1:
        return box.group
    chain = [*box.group]
    while parents.get(chain[-1]):
        chain.append(parents[chain[-1]])
    return tuple(reversed(chain))


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
