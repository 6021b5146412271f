"""Samples recorded again on Values, node by node: the eager engine itself, and where a number went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from microbp.backward import upstream_gradients
from microbp.errors import NotFiniteResult, UndefinedOperation
from microbp.graph import Node
from microbp.record import _unrecorded, record
from microbp.replay.function_graph import Captured
from microbp.rules import RULES
from microbp.sweeps import Floats, rows
from microbp.value import Value, constant

__all__ = ["blame", "replayed"]


def replayed(
    captured: Captured, inputs: Sequence[float], numbers: Sequence[float], *, ieee: bool = False
) -> list[Value]:
    """The graph recorded again, for one sample and these numbers of the parameters: a Value for each node.

    After them comes the cost, which is the sum of the outputs. Raises UndefinedOperation as the eager engine
    does, with the name of the value and, if the graph has it, the line that recorded it first; with ``ieee``
    the operation has the result of IEEE 754.

    >>> from microbp.replay.function_graph import capture
    >>> x = Value(3.0, name="x")
    >>> [each.data for each in replayed(capture(x * x, x), [4.0], [])]
    [4.0, 16.0, 16.0]
    """
    graph, values = captured.graph, list[Value]()
    literals = graph.consts[::-1].tolist()
    leaves: dict[int | None, float] = dict(zip(captured.inputs, inputs, strict=True))
    leaves |= dict(zip(captured.params, numbers, strict=True))
    token = _unrecorded.set(None)
    try:
        for at, (op, row) in enumerate(zip(graph.op.tolist(), rows(graph), strict=True)):
            if op >= 0:
                rule = graph.rules[op]
                operands = rule.split([values[each] if each >= 0 else literals[each] for each in row])
                try:
                    values.append(record(rule, operands, ieee=ieee))
                except UndefinedOperation:
                    for each in {each for each in row if each >= 0 and graph.named[each]}:
                        values[each].name = graph.names[each]
                    try:
                        record(rule, operands)
                    except UndefinedOperation as error:
                        raise _placed(error, graph.nodes[at]) from None
            else:
                values.append(Value(leaves[at]) if at in leaves else constant(float(graph.data[at])))
        outputs = [values[at] for at in captured.outputs]
        values.append(outputs[0] if len(outputs) == 1 else record(RULES["sum"], (outputs,)))
    finally:
        _unrecorded.reset(token)
    return values


def blame(
    captured: Captured,
    x: Floats,
    theta: Floats,
    samples: Iterable[int],
    *,
    finite: bool,
    slopes: bool = False,
) -> None:
    """Raise the error of the first of some samples that has one, as the eager engine tells it.

    That is UndefinedOperation; and where numbers have to be ``finite``, ValueError for an input that is nan
    and NotFiniteResult for a value that is not finite, or for a derivative.
    """
    numbers = theta.tolist()
    for sample in samples:
        row, where = x[sample].tolist(), "" if len(x) == 1 else f"sample {sample}: "
        missing = [name for name, each in zip(captured.input_names, row, strict=True) if math.isnan(each)]
        if missing and finite:
            raise ValueError(f"{where}the input {missing[0]} is nan; fill it in, or leave the sample out")
        try:
            values = replayed(captured, row, numbers)
        except UndefinedOperation as error:
            told = f"{where}{error}"
            raise UndefinedOperation(told, error.rule, error.numbers, error.site) from None
        if finite and (fault := (_of_slopes if slopes else _of_values)(captured.graph.nodes, values)):
            raise NotFiniteResult(f"{where}{fault}", sample)


def _of_values(nodes: Sequence[Node], values: Sequence[Value]) -> str:
    """The first value that is not finite; "" if there is none."""
    for node, value in zip(nodes, values, strict=False):
        if not math.isfinite(value.data):
            return f"the first value that is not finite is {_told(nodes, node, value)}"
    return ""


def _of_slopes(nodes: Sequence[Node], values: Sequence[Value]) -> str:
    """Why a derivative of the cost in a leaf is not finite; "" where all are."""
    gradients = upstream_gradients(values[-1])
    for node, leaf in zip(nodes, values, strict=False):
        if node.rule is None and not math.isfinite(gradients.get(id(leaf), 0.0)):
            break
    else:
        return ""
    for user, value in zip(reversed(nodes), values[len(nodes) - 1 :: -1], strict=True):
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
