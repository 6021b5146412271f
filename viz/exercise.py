"""Exercise sheets: a picture in which some gradients are left blank, and its key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from microbp import Graph, Value, trace
from viz.focus import node_of
from viz.picture import Box, Picture
from viz.text import signed

__all__ = ["Sheet", "sheet"]

#: How many gradients a key lists below the title.
_LISTED = 12


class Sheet(NamedTuple):
    """Which gradients are blank, and what belongs there: made by :func:`sheet`."""

    #: The positions of what is blank.
    hidden: list[int]
    answers: bool
    #: Of all values; a sheet is drawn of a graph whose ``backward()`` has not been called, too.
    gradients: Sequence[float | None]
    told: str

    def of(self, picture: Picture) -> Picture:
        """The picture with blanks, or with what belongs there."""
        blank = {f"n{each}" for each in self.hidden}
        boxes = tuple(self._box(box, box.id in blank) if box.id[0] == "n" else box for box in picture.boxes)
        edges = picture.edges
        if not self.answers:  # what an edge pays to a blank would give it away
            edges = tuple(
                edge._replace(contribution=None) if edge.source in blank else edge for edge in edges
            )
        note = "; ".join(filter(None, (picture.note, self.told)))
        return picture._replace(boxes=boxes, edges=edges, note=note)

    def _box(self, box: Box, blank: bool) -> Box:
        shown = box._replace(grad=self.gradients[int(box.id[1:])])
        if not blank or self.answers:
            return shown._replace(blank="answer" if blank else "")
        return shown._replace(blank="blank", grad=None, tooltip=box.name)


def sheet(graph: Graph, hide: Iterable[str | Value], *, answers: bool, digits: int) -> Sheet | None:
    """What :func:`viz.draw` leaves blank; None where ``hide`` is empty.

    Raises ValueError for a name that is not in the graph, and for a value that takes no gradient.
    """
    listed = [hide] if isinstance(hide, str | Value) else hide
    hidden = sorted({node_of(graph, each).position for each in listed})
    for each in hidden:
        if not graph.needs[each]:
            raise ValueError(f"hide: {graph.names[each]} takes no gradient, so that there is none to find")
    if not hidden:
        return None
    gradients = trace(graph).gradients()
    shown = [
        f"∇{graph.names[each]}" + (f" = {signed(gradients[each], digits)}" if answers else "")
        for each in hidden[:_LISTED]
    ]
    more = f" and {len(hidden) - _LISTED} more" if len(hidden) > _LISTED else ""
    return Sheet(hidden, answers, gradients, ("key: " if answers else "find ") + ", ".join(shown) + more)
