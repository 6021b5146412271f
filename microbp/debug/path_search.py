"""The search for the largest paths of a graph, and what one sweep knows of all of them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from microbp.graph import Graph, Node
from microbp.sweeps import backward

__all__ = ["Swept", "gradients_of", "largest", "sweep"]


def gradients_of(graph: Graph) -> list[float]:
    """The gradient of the root by each node, in the order and with the roundings of the backward pass.

    A frozen leaf has the one that it would get; 0 where the root does not depend on a node.
    """
    return backward(graph, {graph.roots[-1]: 1.0}).tolist()  # type: ignore[no-any-return]


class Swept(NamedTuple):
    """What one sweep from the value up to the loss knows at the loss; ``best`` for every node."""

    number: int
    total: float
    size: float
    #: The logarithm of the largest |product| from each node down to the value; None: no path.
    best: dict[int, float]


def sweep(graph: Graph, start: int) -> Swept:
    """Number, sum and sizes of all paths from the root down to the node at ``start``."""
    counts, totals, sizes, best = {start: 1}, {start: 1.0}, {start: 1.0}, {start: 0.0}
    last_use = {x: node.position for node in graph for x in node.operands if type(x) is int}
    ending: dict[int, list[int]] = {}
    for operand, user in last_use.items():
        ending.setdefault(user, []).append(operand)
    for node in graph.nodes[start + 1 :]:
        edges = _edges(node, best)
        if edges:
            counts[node.position] = sum(counts[operand] for _, operand, _ in edges)
            totals[node.position] = sum(local * totals[operand] for _, operand, local in edges)
            sizes[node.position] = sum(abs(local) * sizes[operand] for _, operand, local in edges)
            best[node.position] = max(_plus(_log(local), best[operand]) for _, operand, local in edges)
        for operand in ending.get(node.position, ()):  # counts are long numbers: keep no more than needed
            counts.pop(operand, None)
    root = graph.root.position
    return Swept(counts.get(root, 0), totals.get(root, 0.0), sizes.get(root, 0.0), best)


def _edges(node: Node, known: Mapping[int, Any]) -> list[tuple[int, int, float]]:
    """(place, operand, local derivative) for each operand that is known."""
    return [
        (place, operand, local)
        for place, (operand, local) in enumerate(zip(node.operands, node.local_derivatives, strict=True))
        if local is not None and type(operand) is int and operand in known
    ]


def _log(local: float) -> float:
    """The logarithm of |local|; what is not finite counts as the largest of all, so that it is shown."""
    if not math.isfinite(local):
        return math.inf
    return math.log(abs(local)) if local else -math.inf


def _plus(a: float, b: float) -> float:
    """0·∞ is nan, and counts as the largest of all."""
    return math.inf if math.isnan(a + b) else a + b


def largest(
    graph: Graph, start: int, best: Mapping[int, float], k: int
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The k largest paths: nodes and places.

    The bound of a partial path is exact: its own product times the best that can follow. Along the best
    edge it is handed down unchanged, so that rounding errors cannot make the search go astray between
    paths of nearly equal size: whatever is taken from the heap leads straight down to the value.
    """
    root = graph.root.position
    heap: list[tuple[float, int, int, float, Any]] = [(-best[root], root, 0, 0.0, None)]
    found: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    pushed = 0
    while heap and len(found) < k:
        bound, position, _, above, way = heapq.heappop(heap)
        if position == start:
            found.append(_walked(root, way))
            continue
        for place, operand, local in _edges(graph.nodes[position], best):
            product = _plus(above, _log(local))
            if _plus(_log(local), best[operand]) == best[position]:
                reached = bound
            else:
                reached = max(bound, -_plus(product, best[operand]))
            pushed += 1
            heapq.heappush(heap, (reached, operand, pushed, product, (way, operand, place)))
    return found


def _walked(root: int, way: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    nodes, places = [], []
    while way is not None:
        way, operand, place = way
        nodes.append(operand)
        places.append(place)
    return (root, *reversed(nodes)), tuple(reversed(places))
