"""Frames around the boxes of a picture: the modules and groups in which their values were recorded."""

from __future__ import annotations

from viz.boxes import Contents
from viz.folding.groups import belongs_to_reader
from viz.picture import Cluster

__all__ = ["clusters"]

#: From the outermost frame: the name, and the number of the call; -1 for all calls together.
Path = tuple[tuple[str, int], ...]


def clusters(contents: Contents) -> tuple[list[Cluster], dict[int, tuple[str, ...]]]:
    """The frames, each after that around it; and for each box that has some, their ids from the outermost.

    A parameter, or a constant without a name, stands in the innermost frame that holds all its readers.
    """
    partition, nodes = contents.partition, contents.nodes
    paths: dict[int, Path] = {}
    for label in contents.order:
        made = partition[label]
        if made.how == "group":
            paths[label] = tuple((name, -1) for name in made.path[:-1])
        elif not made.how and not partition.is_leaf(label):
            paths[label] = nodes[label].group
    for label, readers in partition.readers().items():
        if belongs_to_reader(contents.values, label):
            paths[label] = _common([paths.get(each, ()) for each in readers])
    ids: dict[Path, str] = {}
    calls: dict[tuple[str, ...], int] = {}
    for label in contents.order:
        path = paths.get(label, ())
        for depth in range(1, len(path) + 1):
            if path[:depth] not in ids:
                ids[path[:depth]] = f"c{len(ids)}"
                names = tuple(name for name, _ in path[:depth])
                calls[names] = calls.get(names, 0) + 1
    found = [
        Cluster(each, _label(path, calls[tuple(name for name, _ in path)]), ids.get(path[:-1], ""))
        for path, each in ids.items()
    ]
    return found, {
        label: tuple(ids[path[:depth]] for depth in range(1, len(path) + 1))
        for label, path in paths.items()
        if path
    }


def _label(path: Path, calls: int) -> str:
    name, call = path[-1]
    return f"{name} ({call + 1})" if calls > 1 and call >= 0 else name


def _common(paths: list[Path]) -> Path:
    """The longest beginning of all paths."""
    low, high = min(paths), max(paths)
    same = 0
    while same < min(len(low), len(high)) and low[same] == high[same]:
        same += 1
    return low[:same]
