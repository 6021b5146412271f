"""One sample replayed on Values, node by node, to say where a number went wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

from microbp.backward import upstream_gradients
from microbp.errors import UndefinedOperation
from microbp.graph import Node
from microbp.record import _unrecorded, record
from microbp.replay.function_graph import Captured
from microbp.rules import RULES
from microbp.value import Value, constant

__all__ = ["first_fault", "gradient_fault", "recorded_gradients", "replayed"]


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


def recorded_gradients(
    captured: Captured, inputs: Sequence[float], numbers: Sequence[float]
) -> tuple[list[float], list[float], list[float]]:
    """The outputs, and the derivatives of their sum in parameters and inputs, as the eager engine has them.

    It takes a local derivative that Python's ``math`` refuses from IEEE 754: infinite, or nan.
    """
    values = replayed(captured, inputs, numbers)
    outputs = [values[place] for place in captured.outputs]
    token = _unrecorded.set(None)
    try:
        root = outputs[0] if len(outputs) == 1 else record(RULES["sum"], (outputs,))
    finally:
        _unrecorded.reset(token)
    found = upstream_gradients(root)

    def derivatives(places: Sequence[int | None], takes: Sequence[bool]) -> list[float]:
        pairs = zip(places, takes, strict=True)
        return [0.0 if at is None or not take else found.get(id(values[at]), 0.0) for at, take in pairs]

    by_params = derivatives(captured.params, captured.trained)
    by_inputs = derivatives(captured.inputs, [True] * len(inputs))
    return [each.data for each in outputs], by_params, by_inputs


def first_fault(captured: Captured, inputs: Sequence[float], numbers: Sequence[float]) -> str:
    """The first value that is not finite, in words; "" where all are. UndefinedOperation as above."""
    nodes = captured.graph.nodes
    for node, value in zip(nodes, replayed(captured, inputs, numbers), strict=True):
        if not math.isfinite(value.data):
            return f"{_told(nodes, node, value)}{_line(node)}"
    return ""


def gradient_fault(captured: Captured, inputs: Sequence[float], numbers: Sequence[float]) -> str:
    """Why a derivative of the output in a leaf is not finite; "" where all are."""
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
                where = f"{_told(nodes, user, value)}{_line(user)}"
                return f"the local derivative in {name} is {local!r} at {where}"
    return (
        f"the gradient of {node.name} is {gradients[id(leaf)]!r}, though every local derivative is finite: "
        "their product is beyond the largest float"
    )


def _told(nodes: Sequence[Node], node: Node, value: Value) -> str:
    """``v5 = mul(v3, v4) = inf, where v3 = 1e+300, v4 = 1e+300``; the operands only where they are few."""
    if node.rule is None:
        return f"{node.name} = {value.data!r}"
    if len(node.operands) > 4:
        return f"{node.name} = {node.rule} = {value.data!r}"
    names = [nodes[each].name if type(each) is int else repr(each) for each in node.operands]
    numbers = [
        f"{name} = {operand.data!r}"
        for name, operand in dict(zip(names, value.operands, strict=True)).items()
        if isinstance(operand, Value)
    ]
    return f"{node.name} = {node.rule.name}({', '.join(names)}) = {value.data!r}, where {', '.join(numbers)}"


def _line(node: Node) -> str:
    return "" if node.site is None else f" [{node.site}]"


def _placed(error: UndefinedOperation, node: Node) -> UndefinedOperation:
    """The error with the place of the recorded node instead of that of the call."""
    site = node.site or error.site
    message = str(error).removesuffix(f" [{error.site}]")
    message += f" It is {node.name} of the compiled graph [{site}]"
    return UndefinedOperation(message, error.rule, error.numbers, site)
