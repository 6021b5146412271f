"""Samples replayed on Values, node by node, to say where a number went wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy.typing as npt

from microbp.backward import upstream_gradients
from microbp.errors import NotFiniteResult, UndefinedOperation
from microbp.graph import Node
from microbp.record import _unrecorded, record
from microbp.replay.function_graph import Captured
from microbp.value import Value, constant

__all__ = ["blame", "gradient_fault", "no_fault", "replayed", "value_fault"]

#: What is wrong with a sample, in words; "" if nothing is.
Fault = Callable[[Captured, Sequence[float], Sequence[float]], str]


def blame(
    captured: Captured, x: npt.NDArray[Any], theta: npt.NDArray[Any], samples: Iterable[int], fault: Fault,
    *, finite: bool,
) -> None:  # fmt: skip
    """Raise the error of the first of some samples that has one, as the eager engine tells it.

    That is UndefinedOperation; and where numbers have to be ``finite``, ValueError for an input that is nan
    and NotFiniteResult for what ``fault`` finds.
    """
    numbers = theta.tolist()
    for sample in samples:
        row, where = x[sample].tolist(), "" if len(x) == 1 else f"sample {sample}: "
        missing = [name for name, each in zip(captured.input_names, row, strict=True) if math.isnan(each)]
        if missing and finite:
            raise ValueError(f"{where}the input {missing[0]} is nan; fill it in, or leave the sample out")
        try:
            told = fault(captured, row, numbers)
        except UndefinedOperation as error:
            told = f"{where}{error}"
            raise UndefinedOperation(told, error.rule, error.numbers, error.site) from None
        if told and finite:
            raise NotFiniteResult(f"{where}{told}", sample)


def replayed(captured: Captured, inputs: Sequence[float], numbers: Sequence[float]) -> list[Value]:
    """The graph recorded again, for one sample and these numbers of the parameters: a Value per node.

    Raises UndefinedOperation as the eager engine does, with the name of the value and, if the graph has
    it, the line that recorded it first.

    >>> from microbp.replay.function_graph import capture
    >>> x = Value(3.0, name="x")
    >>> [each.data for each in replayed(capture(x * x, x), [4.0], [])]
    [4.0, 16.0]
    """
    leaves: dict[int | None, float] = dict(zip(captured.inputs, inputs, strict=True))
    leaves |= dict(zip(captured.params, numbers, strict=True))
    values: list[Value] = []
    token = _unrecorded.set(None)
    try:
        for node in captured.graph:
            name = node.name if node.named else None
            if node.rule is not None:
                operands = [values[each] if type(each) is int else each for each in node.operands]
                try:
                    values.append(record(node.rule, node.rule.split(operands)))
                except UndefinedOperation as error:
                    raise _placed(error, node) from None
                values[-1].name = name
            elif node.position in leaves:
                values.append(Value(leaves[node.position], name))
            else:
                values.append(constant(node.data, name))
    finally:
        _unrecorded.reset(token)
    return values


def no_fault(captured: Captured, inputs: Sequence[float], numbers: Sequence[float]) -> str:
    """Only what is undefined is a fault."""
    replayed(captured, inputs, numbers)
    return ""


def value_fault(captured: Captured, inputs: Sequence[float], numbers: Sequence[float]) -> str:
    """The first value that is not finite."""
    nodes = captured.graph.nodes
    for node, value in zip(nodes, replayed(captured, inputs, numbers), strict=True):
        if not math.isfinite(value.data):
            return f"the first value that is not finite is {_told(nodes, node, value)}"
    return ""


def gradient_fault(captured: Captured, inputs: Sequence[float], numbers: Sequence[float]) -> str:
    """Why a derivative of the output in a leaf is not finite."""
    nodes = captured.graph.nodes
    values = replayed(captured, inputs, numbers)
    gradients = upstream_gradients(values[captured.outputs[0]])
    for node, leaf in zip(nodes, values, strict=True):
        if node.rule is None and not math.isfinite(gradients.get(id(leaf), 0.0)):
            break
    else:
        return ""
    for user, value in zip(reversed(nodes), reversed(values), strict=True):
        for operand, local in zip(user.operands, value.local_derivatives, strict=True):
            if local is not None and not math.isfinite(local):
                name = nodes[int(operand)].name
                return f"the local derivative in {name} is {local!r} at {_told(nodes, user, value)}"
    return (
        f"the gradient of {node.name} is {gradients[id(leaf)]!r}, though every local derivative is finite: "
        "their product is beyond the largest float"
    )


def _told(nodes: Sequence[Node], node: Node, value: Value) -> str:
    """``v5 = mul(v3, v4) = inf, where v3 = 1e+300, v4 = 1e+300``; the operands only where they are few."""
    if node.rule is None:
        told = f"{node.name} = {value.data!r}"
    elif len(node.operands) > 4:
        told = f"{node.name} = {node.rule} = {value.data!r}"
    else:
        names = [nodes[each].name if type(each) is int else repr(each) for each in node.operands]
        pairs = dict(zip(names, value.operands, strict=True)).items()
        numbers = [f"{name} = {each.data!r}" for name, each in pairs if isinstance(each, Value)]
        told = f"{node.name} = {node.rule.name}({', '.join(names)}) = {value.data!r}"
        told += f", where {', '.join(numbers)}"
    return told if node.site is None else f"{told} [{node.site}]"


def _placed(error: UndefinedOperation, node: Node) -> UndefinedOperation:
    """The error with the place of the recorded node instead of that of the call."""
    site = node.site or error.site
    message = str(error).removesuffix(f" [{error.site}]")
    message += f" It is {node.name} of the compiled graph [{site}]"
    return UndefinedOperation(message, error.rule, error.numbers, site)
