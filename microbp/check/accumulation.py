"""Accumulation: whether gradients are the sums over all uses, and what ``grad`` holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from microbp.check.measure import EPS
from microbp.graph import Graph, Node


def sums(graph: Graph, gradients: Mapping[int, float]) -> tuple[bool, str]:
    """Whether the gradients of a pass are the chain-rule sums over the uses of each node."""
    upstream = {position: gradients.get(place) for place, position in graph._places.items()}
    uses = graph.uses()
    for node in reversed(graph.nodes):
        got = upstream[node.position]
        if got is None:
            continue
        terms = [1.0] if node is graph.root else []
        for user, place in uses[node.position]:
            local, above = graph[user].local_derivatives[place], upstream[user]
            if local is not None and above is not None:
                terms.append(above * local)
        total, size = sum(terms), sum(map(abs, terms))
        if math.isfinite(total) and not abs(got - total) <= 2.0 * EPS * len(terms) * size:
            return False, (
                f"{node.name} has the gradient {got!r} in a fresh pass, but the sum over its "
                f"{len(terms)} uses is {total!r}"
            )
    count = sum(each is not None for each in upstream.values())
    return True, f"right: {count} gradients are the sums over their uses"


def passes_held(
    graph: Graph, gradients: Mapping[int, float]
) -> tuple[Counter[int], list[tuple[Node, float]]]:
    """How many nodes hold how many whole passes in ``grad``; and those that hold something else."""
    passes: Counter[int] = Counter()
    others: list[tuple[Node, float]] = []
    # Each pass adds 1 to the gradient of the root, and no node can hold more passes.
    most = math.inf if graph.root.grad is None else graph.root.grad
    for place, position in graph._places.items():
        node, one = graph[position], gradients.get(place)
        if node.grad is None or one is None or not math.isfinite(one):
            continue
        count = round(node.grad / one) if one and math.isfinite(node.grad / one) else 0
        whole = 0 <= count <= most and abs(node.grad - count * one) <= 1e-9 * abs(node.grad)
        if not whole:
            others.append((node, one))
        elif one:
            passes[count] += 1
    return passes, others


def grad_state(passes: Counter[int], others: Sequence[tuple[Node, float]]) -> str:
    """What stands in ``grad``, in words."""
    if others:
        node, one = others[0]
        more = f", and {len(others) - 1} more like it" if len(others) > 1 else ""
        return (
            f"{node.name}.grad = {node.grad!r} is not a number of passes of {one!r} each{more}: it was set "
            "or clipped, or another graph has added to it"
        )
    if not passes:
        return "not computed"
    told = {count: f"{count} backward pass{'es' * (count != 1)}" for count in sorted(passes)}
    if len(told) > 1:
        parts = ", ".join(f"{words} at {passes[count]} values" for count, words in told.items())
        return f"holds {parts}: a pass was interrupted, or only a part was cleared"
    added = ", which add up until it is cleared" if max(told) > 1 else ""
    return f"holds {next(iter(told.values()))}{added}"
