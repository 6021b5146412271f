"""The edges of a picture: one for each use of a value, or one for all that run between two folded boxes."""

from __future__ import annotations

import math
from typing import NamedTuple

from viz.boxes import Contents
from viz.picture import Edge

__all__ = ["edges", "larger"]


class _End(NamedTuple):
    """Where an edge ends in a sum, and ∂sum/∂operand."""

    port: str
    local: float | None
    #: Whether its row stands for several terms.
    shared: bool


def edges(contents: Contents) -> list[Edge]:
    """All edges between different boxes, in the order of their users and places.

    Each edge between two values, or from a value to a row of a sum, is one; x * x has two. Where a box
    is folded, or a row holds several terms, those between the same two ends are one with their count.
    """
    values, label, nodes = contents.values, contents.partition.label, contents.nodes
    ends = _ends(contents)
    across = label[values.operand] != label[values.user]
    reads = (each[across].tolist() for each in (values.user, values.place, values.operand))
    found: dict[tuple[object, ...], Edge] = {}
    for user, place, operand in zip(*reads, strict=True):
        source, target = int(label[operand]), int(label[user])
        node, below = nodes[user], nodes[operand]
        raw = node.local_derivatives[place]
        end = ends.get((user, place)) or _End("", raw, shared=False)
        flows = raw is not None and node.grad is not None and below.requires_grad
        contribution = node.grad * raw if flows else None
        key: tuple[object, ...] = (user, place)
        if contents.is_folded(source) or contents.is_folded(target) or end.shared:
            key = (source, target, end.port)
        before = found.get(key)
        if before is None:
            ids = f"e{user}_{place}", contents.id[source], contents.id[target]
            found[key] = Edge(*ids, end.port, end.local, contribution)
        else:
            most = larger(before.contribution, contribution)
            found[key] = before._replace(local=None, contribution=most, count=before.count + 1)
    return list(found.values())


def _ends(contents: Contents) -> dict[tuple[int, int], _End]:
    return {
        (user, place): _End(f"t{index}", local, len(held) > 1)
        for rows in contents.rows.values()
        for index, held in enumerate(rows)
        for term in held
        for user, place, local in term.edges
    }


def larger(a: float | None, b: float | None) -> float | None:
    """The larger in magnitude; a nan, if there is one."""
    if a is None or b is None:
        return b if a is None else a
    return a if math.isnan(a) or (abs(a) >= abs(b) and not math.isnan(b)) else b
