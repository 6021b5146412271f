"""Where a sample goes wrong, as the eager engine tells it: operation, value, number, line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from microbp.errors import NotFiniteResult, UndefinedOperation
from microbp.graph import Graph
from microbp.native import slopes
from microbp.record import record
from microbp.replay.function_graph import TRAINS, VARIES, Captured
from microbp.sweeps import Floats, backward, forward, rows
from microbp.value import Value

__all__ = ["blame", "gradients"]


def gradients(captured: Captured, numbers: Floats) -> tuple[Floats, Floats]:
    """The derivatives of the sum of the outputs, and the local ones [M], where values have the numbers [N].

    They have the eager engine's bits; those of what depends on no input and no trained parameter are 0.
    """
    graph, local = captured.graph, list[float]()
    held = [*numbers.tolist(), *graph.consts[::-1].tolist()]
    found = [slopes(rule) for rule in graph.rules]
    for op, row, y in zip(graph.op.tolist(), rows(graph), held, strict=False):
        if op >= 0:
            local += found[op]([held[arg] for arg in row], y)
    derivatives, takes = np.array(local), captured.flags & (TRAINS | VARIES) > 0
    derivatives[(graph.args < 0) | ~takes[np.maximum(graph.args, 0)]] = 0.0
    return np.where(takes, backward(graph, Counter(captured.outputs), derivatives), 0.0), derivatives


def blame(
    captured: Captured, x: Floats, theta: Floats, samples: Iterable[int], *, finite: bool, slopes: bool
) -> None:
    """Raise the error of the first of some samples that has one.

    That is UndefinedOperation; and where numbers have to be ``finite``, ValueError for an input that is nan
    and NotFiniteResult for a value that is not finite, or for a derivative.
    """
    for sample in samples:
        row, where = x[sample].tolist(), "" if len(x) == 1 else f"sample {sample}: "
        missing = [name for name, each in zip(captured.input_names, row, strict=True) if math.isnan(each)]
        if missing and finite:
            raise ValueError(f"{where}the input {missing[0]} is nan; fill it in, or leave the sample out")
        numbers = forward(captured.graph, captured.given(row, theta.tolist()), ieee=True)
        graph, broken = captured.graph._changed(data=numbers), np.flatnonzero(~np.isfinite(numbers)).tolist()
        for at in broken:
            _refuse(graph, at, where)
        told = (f"the first value that is not finite is {_told(graph, at)}" for at in broken[:1])
        fault = _of_slopes(captured, graph) if slopes else "".join(told)
        if finite and fault:
            raise NotFiniteResult(f"{where}{fault}", sample)


def _refuse(graph: Graph, at: int, where: str) -> None:
    """Record an operation anew, which raises if it has no result at the numbers of the graph."""
    node = graph.nodes[at]
    if node.rule is None:
        return
    operands = [
        Value(float(graph.data[each]), graph.names[each] if graph.named[each] else None)
        if type(each) is int else each for each in node.operands
    ]  # fmt: skip
    try:
        record(node.rule, node.rule.split(operands))
    except UndefinedOperation as error:
        site = node.site or error.site
        told = str(error).removesuffix(f" [{error.site}]")
        told = f"{where}{told} It is {node.name} of the compiled graph [{site}]"
        raise UndefinedOperation(told, error.rule, error.numbers, site) from None


def _of_slopes(captured: Captured, graph: Graph) -> str:
    """Why a derivative of the outputs in a leaf is not finite; "" where all are."""
    found, local = gradients(captured, graph.data)
    leaves = [at for at in (*captured.inputs, *captured.params) if not math.isfinite(found[at])]
    if not leaves:
        return ""
    for place in np.flatnonzero(~np.isfinite(local))[::-1].tolist():
        user = int(np.searchsorted(graph.first, place, side="right")) - 1
        name, told = graph.names[graph.args[place]], _told(graph, user)
        return f"the local derivative in {name} is {float(local[place])!r} at {told}"
    first = min(leaves)
    return (
        f"the gradient of {graph.names[first]} is {float(found[first])!r}, though every local derivative is "
        "finite: their product is beyond the largest float"
    )


def _told(graph: Graph, at: int) -> str:
    """``v5 = mul(v3, v4) = inf, where v3 = 1e+300, v4 = 1e+300``; the operands only where they are few."""
    node = graph.nodes[at]
    if len(node.operands) > 4:
        told = f"{node.name} = {node.rule} = {node.data!r}"
    else:
        places = dict.fromkeys(each for each in node.operands if type(each) is int)
        held = ", ".join(f"{graph.names[each]} = {float(graph.data[each])!r}" for each in places)
        told = graph.equation(node) + f", where {held}" * bool(held)
    return told if node.site is None else f"{told} [{node.site}]"
