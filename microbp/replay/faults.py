"""Where a sample goes wrong, as the eager engine tells it: operation, value, number, line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from microbp.compiled import compiled
from microbp.errors import NotFiniteResult, UndefinedOperation
from microbp.graph import Graph
from microbp.native import slopes
from microbp.record import record
from microbp.replay.function_graph import TRAINS, VARIES, Captured
from microbp.safe import shown
from microbp.sweeps import Floats, backward, forward, rows
from microbp.value import Value

__all__ = ["blame", "gradients", "of_slopes", "of_values"]


def gradients(captured: Captured, numbers: Floats) -> tuple[Floats, Floats]:
    """The derivatives of the sum of the outputs, and the local ones [M], where values have the numbers [N].

    They have the eager engine's bits; those of what depends on no input and no trained parameter are 0.

    >>> from microbp.replay.function_graph import capture
    >>> x = Value(3.0, name="x")
    >>> gradients(capture(x * x, x), np.array([4.0, 16.0]))
    (array([8., 1.]), array([4., 4.]))
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
    captured: Captured, x: Floats, theta: Floats, samples: Iterable[int], *, finite: bool,
    slopes: bool = False,
) -> None:  # fmt: skip
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
        _refuse(captured.graph, numbers, where)
        if finite:
            graph, leaves = captured.graph, (*captured.inputs, *captured.params)
            found = gradients(captured, numbers) if slopes else None
            told, _ = of_slopes(graph, numbers, leaves, *found) if found else of_values(graph, numbers)
            if told:
                raise NotFiniteResult(f"{where}{told}", sample)


def _refuse(graph: Graph, numbers: Floats, where: str) -> None:
    """Record the first operation that has no result at these numbers, which raises."""
    held = [*numbers.tolist(), *graph.consts[::-1].tolist()]
    for at, (op, row) in enumerate(zip(graph.op.tolist(), rows(graph), strict=True)):
        if op < 0:
            continue
        rule = graph.rules[op]
        try:
            compiled(rule).value(*rule.split([held[arg] for arg in row]))
        except (ArithmeticError, ValueError):
            names = {arg: graph.names[arg] if graph.named[arg] else None for arg in row if arg >= 0}
            operands = [Value(held[arg], names[arg]) if arg >= 0 else held[arg] for arg in row]
            try:
                record(rule, rule.split(operands))
            except UndefinedOperation as error:
                node = graph.nodes[at]
                site = node.site or error.site
                told = str(error).removesuffix(f" [{error.site}]")
                told = f"{where}{told} It is {node.name} of the compiled graph [{site}]"
                raise UndefinedOperation(told, error.rule, error.numbers, site) from None


def of_values(graph: Graph, numbers: Floats) -> tuple[str, str | None]:
    """The first value that is not finite, and its line; "" if there is none."""
    for at in np.flatnonzero(~np.isfinite(numbers)).tolist():
        return f"the first value that is not finite is {_told(graph, numbers, at)}", graph.nodes[at].site
    return "", None


def of_slopes(
    graph: Graph, numbers: Floats, leaves: Iterable[int], found: Floats, local: Floats
) -> tuple[str, str | None]:
    """Why what was ``found`` as derivative in a leaf is not finite, and the line of it; "" where all are."""
    bad = [at for at in leaves if not math.isfinite(found[at])]
    if not bad:
        return "", None
    for place in np.flatnonzero(~np.isfinite(local) & (graph.args >= 0))[::-1].tolist():
        user = int(np.searchsorted(graph.first, place, side="right")) - 1
        name, told = shown(graph.names[graph.args[place]]), _told(graph, numbers, user)
        return f"the local derivative in {name} is {float(local[place])!r} at {told}", graph.nodes[user].site
    first = min(bad)
    told = f"the gradient of {shown(graph.names[first])} is {float(found[first])!r}, though every local "
    return f"{told}derivative is finite: their product is beyond the largest float", None


def _told(graph: Graph, numbers: Floats, at: int) -> str:
    """``v5 = mul(v3, v4) = inf, where v3 = 1e+300, v4 = 1e+300``; the operands only where they are few."""
    node, number = graph.nodes[at], repr(float(numbers[at]))
    places = [*dict.fromkeys(each for each in node.operands if type(each) is int)]
    if node.rule is None:
        told = f"{node.name} = {number}"
    elif len(node.operands) > 4:
        told = f"{node.name} = {node.rule} = {number}"
    else:
        names = (graph.names[each] if type(each) is int else repr(each) for each in node.operands)
        held = ", ".join(f"{graph.names[each]} = {float(numbers[each])!r}" for each in places)
        told = f"{node.name} = {node.rule.name}({', '.join(names)}) = {number}, where {held}"
    return told if node.site is None else f"{told} [{node.site}]"
