"""How far the edges of a picture reach: what decides how long a layout engine needs.

An engine cuts an edge into a piece for each row that it crosses, and finds a place for every piece. A value
that each of a hundred steps in a row reads has 5,000 pieces, though no more than a hundred edges.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

__all__ = ["HASTE", "MOST", "PATIENCE", "reach"]

Key = TypeVar("Key", bound=Hashable)

#: Above it a layout takes minutes.
MOST = 10_000
#: Above it an engine would move the pieces to and fro for minutes, and draw a mesh of curves.
PATIENCE = 1_500
#: It looks at each piece once then, and lines are straight.
HASTE = {"nslimit": "1", "splines": "line", "outputorder": "edgesfirst"}


def reach(boxes: Iterable[Key], operands: Mapping[Key, Sequence[Key]]) -> int:
    """How many rows all edges cross together, where an edge from one row to the next crosses one.

    ``boxes`` stand in the order of their values, operands before users. Each stands in the row below the
    lowest of its operands, a leaf in the row above the highest of its users.

    >>> reach("wab", {"a": "ww", "b": "aw"})  # two edges from w to a, one to b below it, and that from a
    5

    A graph of one value has no edges: 0.
    """
    row: dict[Key, int] = {}
    top: dict[Key, int] = {}
    for box in boxes:
        read = operands.get(box, ())
        row[box] = 1 + max((row.get(each, 0) for each in read), default=-1)
        for each in read:
            top[each] = min(row[box], top.get(each, row[box]))
    start = {box: row[box] if operands.get(box) else top.get(box, 1) - 1 for box in row}
    return sum(row[box] - start[each] for box in row for each in operands.get(box, ()))
