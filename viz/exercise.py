"""Exercise sheets: a picture in which some gradients are left blank, and its key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from microbp import Graph, Value, trace
from viz.focus import position_of
from viz.picture import Box, Edge, Picture
from viz.text import signed

__all__ = ["Sheet", "sheet"]

#: How many gradients a key lists below the title.
_LISTED = 12


class Sheet:
    """Which gradients are blank, and all that a picture shows: made by :func:`sheet`."""

    def __init__(self, graph: Graph, hidden: Sequence[int], *, answers: bool, digits: int) -> None:
        #: The positions of what is blank.
        self.hidden = hidden
        self._answers = answers
        self._digits = digits
        #: A sheet is drawn of a graph whose ``backward()`` has not been called, too.
        self._gradients = trace(graph).gradients()
        self._names = graph.names

    def of(self, picture: Picture) -> Picture:
        """The picture with blanks, or with what belongs there."""
        boxes = tuple(self._box(box, self.hidden) for box in picture.boxes)
        edges = tuple(self._edge(edge) for edge in picture.edges)
        note = "; ".join(filter(None, (picture.note, self._told())))
        return picture._replace(boxes=boxes, edges=edges, note=note)

    def _box(self, box: Box, hidden: Collection[int]) -> Box:
        if not box.id.startswith("n"):
            return box
        position = int(box.id[1:])
        shown = box._replace(grad=self._gradients[position])
        if position not in hidden:
            return shown
        if self._answers:
            return shown._replace(blank="answer")
        return shown._replace(blank="blank", grad=None, tooltip=box.name, spark=(), strip=())

    def _edge(self, edge: Edge) -> Edge:
        """What an edge pays to a blank would give it away."""
        into_blank = edge.source in {f"n{each}" for each in self.hidden}
        return edge._replace(contribution=None) if into_blank and not self._answers else edge

    def _told(self) -> str:
        listed = self.hidden[:_LISTED]
        more = f" and {len(self.hidden) - _LISTED} more" if len(self.hidden) > _LISTED else ""
        if not self._answers:
            return "find " + ", ".join(f"∇{self._names[each]}" for each in listed) + more
        pairs = (f"∇{self._names[each]} = {signed(self._gradients[each], self._digits)}" for each in listed)
        return "key: " + ", ".join(pairs) + more


def sheet(graph: Graph, hide: Iterable[str | Value], *, answers: bool, digits: int) -> Sheet | None:
    """What :func:`viz.draw` leaves blank; None where ``hide`` is empty.

    Raises ValueError for a name that is not in the graph, and for a value that takes no gradient.
    """
    listed = [hide] if isinstance(hide, str | Value) else hide
    hidden = sorted({position_of(graph, each) for each in listed})
    for each in hidden:
        if not graph.needs[each]:
            raise ValueError(f"hide: {graph.names[each]} takes no gradient, so that there is none to find")
    return Sheet(graph, hidden, answers=answers, digits=digits) if hidden else None
