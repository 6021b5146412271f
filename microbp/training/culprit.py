"""The first sample, and the first number of it, that is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

from microbp.differentiate import grad
from microbp.engines import Batch, EagerEngine
from microbp.errors import UndefinedOperation
from microbp.graph import Graph, Node
from microbp.record import with_sites
from microbp.value import Value, describe

__all__ = ["culprit"]


def culprit(
    eager: EagerEngine, batch: Batch, trained: Sequence[Value]
) -> tuple[int, str] | None:
    """The first sample whose own cost, or gradient of a ``trained`` parameter, is not finite, and why."""
    samples, rows = batch
    with with_sites.on():
        for row in rows:
            why = _fault(eager, (samples, [row]), trained)
            if why:
                return row, why
    return None


def _fault(eager: EagerEngine, sample: Batch, trained: Sequence[Value]) -> str:
    try:
        cost = eager.record(sample)
    except UndefinedOperation as error:
        return str(error)
    graph = Graph(cost)
    for node in graph:
        if not math.isfinite(node.data):
            return f"the first number that is not finite is {_told(graph, node)}"
    for parameter, gradient in zip(trained, grad(cost, trained) if trained else [], strict=True):
        if not math.isfinite(gradient):
            for node in reversed(graph.nodes):
                for operand, local in zip(node.operands, node.local_derivatives, strict=True):
                    if local is not None and not math.isfinite(local):
                        name = graph[int(operand)].name
                        return f"the local derivative in {name} is {local!r} at {_told(graph, node)}"
            return (
                f"the gradient of {describe(parameter)} is {gradient!r}, though every local derivative is "
                "finite: their product is beyond the largest float"
            )
    return ""


def _told(graph: Graph, node: Node) -> str:
    """``v5 = exp(v4) = inf, where v4 = 800.0 [train.py:12]``; the operands only where they are few."""
    text = graph.equation(node)
    if len(node.operands) > 4:
        text = f"{node.name} = {node.rule} = {node.data!r}"
    elif node.operands:
        operands = [graph[each] for each in node.operands if type(each) is int]
        text += ", where " + ", ".join(f"{each.name} = {each.data!r}" for each in operands)
    return text if node.site is None else f"{text} [{node.site}]"
