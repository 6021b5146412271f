"""Where a sample goes wrong, as the eager engine tells it: operation, value, number, line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from microbp.compiled import slopes
from microbp.errors import NotFiniteResult, UndefinedOperation
from microbp.graph import Graph
from microbp.record import record
from microbp.replay.function_graph import TRAINS, VARIES, Captured
from microbp.sweeps import Floats, backward, dependents, forward, rows
from microbp.text import shown
from microbp.value import Value

__all__ = ["blame", "gradients", "of_slopes", "of_values"]


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
) -> dict[int, Floats]:
    """Raise the error of the first of some samples that has one; not being ``finite`` may be one.

    Where there is none: the outputs of each as the eager engine has them, whose sums go from term to term.
    """
    outputs = {}
    for sample in samples:
        row, where = x[sample].tolist(), "" if len(x) == 1 else f"sample {sample}: "
        missing = [name for name, each in zip(captured.input_names, row, strict=True) if math.isnan(each)]
        if missing and finite:
            raise ValueError(f"{where}the input {missing[0]} is nan; fill it in, or leave the sample out")
        numbers = forward(captured.graph, captured.given(row, theta.tolist()), ieee=True)
        graph, leaves = captured.graph._changed(data=numbers), (*captured.inputs, *captured.params)
        for at in np.flatnonzero(~np.isfinite(numbers)).tolist():
            _refuse(graph, at, where)
        if finite:
            found = gradients(captured, numbers) if slopes else None
            told, _ = of_slopes(graph, leaves, *found) if found else of_values(graph)
            if told:
                raise NotFiniteResult(f"{where}{told}", sample)
        outputs[sample] = numbers[[*captured.outputs]]
    return outputs


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


def of_values(graph: Graph) -> tuple[str, str | None]:
    """The first value that is not finite, and its line; "" if there is none."""
    for at in np.flatnonzero(~np.isfinite(graph.data)).tolist():
        return f"the first value that is not finite is {_told(graph, at)}", graph.nodes[at].site
    return "", None


def of_slopes(graph: Graph, leaves: Iterable[int], found: Floats, local: Floats) -> tuple[str, str | None]:
    """Why what was ``found`` as derivative in a leaf is not finite, and the line of it; "" where all are."""
    bad = sorted(at for at in leaves if not math.isfinite(found[at]))
    if not bad:
        return "", None
    on_the_way = (graph.args >= 0) & dependents(graph, bad)[np.maximum(graph.args, 0)]
    for place in np.flatnonzero(~np.isfinite(local) & on_the_way)[::-1].tolist():
        user = int(np.searchsorted(graph.first, place, side="right")) - 1
        name, told = shown(graph.names[graph.args[place]]), _told(graph, user)
        return f"the local derivative in {name} is {float(local[place])!r} at {told}", graph.nodes[user].site
    told = f"the gradient of {shown(graph.names[bad[0]])} is {float(found[bad[0]])!r}, though every local "
    return f"{told}derivative is finite: their product is beyond the largest float", None


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
