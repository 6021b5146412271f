"""Frames around the boxes of one neuron, one layer, one ``with group(...)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from microbp import Graph
from viz.picture import Kind
from viz.text import plain

__all__ = ["Frame", "frames"]

#: Frames inside frames inside frames: more of them is more line than picture.
_DEEPEST = 4

Path = tuple[tuple[str, int], ...]


class Frame(NamedTuple):
    """A frame: what stands at its corner, which frame is around it, and which values are in it."""

    label: str
    #: Its place among the frames, which comes before this one; None if it is an outermost one.
    parent: int | None
    #: Positions of the values that are directly in it.
    inside: list[int]


def frames(graph: Graph, kinds: Sequence[Kind]) -> list[Frame]:
    """The frames of a graph, each after the one around it.

    A parameter stands in the frame of what uses it, where all its uses are in one.

    >>> from microbp import Value, group
    >>> with group("h1"):
    ...     h1 = Value(0.5, name="w1") * 3.0
    >>> frames(Graph(h1 * 2.0), [Kind.PARAMETER, Kind.OPERATION, Kind.OPERATION])
    [Frame(label='h1', parent=None, inside=[0, 1])]
    """
    paths: list[Path] = [node.group[:_DEEPEST] for node in graph]
    for position, uses in enumerate(graph.uses()):
        around = {paths[user] for user, _ in uses}
        if kinds[position] is Kind.PARAMETER and len(around) == 1:
            [paths[position]] = around
    places: dict[Path, int] = {}
    found: list[Frame] = []
    for position, path in enumerate(paths):
        for depth in range(1, len(path) + 1):
            if path[:depth] not in places:
                places[path[:depth]] = len(found)
                name, call = path[depth - 1]
                label = f"{plain(name)} ({call + 1})" if call else plain(name)
                found.append(Frame(label, places.get(path[: depth - 1]), []))
        if path:
            found[places[path]].inside.append(position)
    return found
