"""``grad(y, wrt)``: gradients as results, and gradients that are themselves graphs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from microbp.array import Array
from microbp.backward import backward_order, upstream_gradients
from microbp.comparisons import taken
from microbp.errors import NoGradientError
from microbp.expr import FUNCTIONS, Reading
from microbp.functions import Operation
from microbp.rules import RULES, Rule
from microbp.value import Value, describe

__all__ = ["grad"]


def grad(y: Value, wrt: Any, create_graph: bool = False) -> Any:
    """∂y/∂v for each Value v in ``wrt``, in the shape of ``wrt``; no ``.grad`` is touched.

    ``wrt`` is a Value, a list or tuple of them (nested if you like), or an array. Returns floats and
    float arrays; with ``create_graph`` Values, which can be differentiated again: each local
    derivative is then the row's own expression, evaluated on Values. What y does not depend on has
    gradient 0.

    >>> x = Value(2.0)
    >>> grad(x**4, x)
    32.0
    >>> first = grad(x**4, x, create_graph=True)
    >>> second = grad(first, x, create_graph=True)
    >>> grad(second, x)
    48.0

    Raises TypeError where ``wrt`` holds something else than Values, NoGradientError for a frozen one,
    and, with ``create_graph``, NoGradientError where an operand's ``data`` was changed after the graph
    was recorded.
    """
    if not isinstance(y, Value):
        raise TypeError(f"grad() differentiates a Value, not {type(y).__name__}")
    if not create_graph:
        taken(y)
    gradients = _graph_gradients(y) if create_graph else upstream_gradients(y)
    none: Value | float = _constant(0.0) if create_graph else 0.0
    return _in_shape(wrt, gradients, none)


def _in_shape(wrt: Any, gradients: Mapping[int, Any], none: Any) -> Any:
    if isinstance(wrt, Value):
        if not wrt.requires_grad:
            raise NoGradientError(f"{describe(wrt)} is frozen (requires_grad is False)")
        return gradients.get(id(wrt), none)
    if isinstance(wrt, np.ndarray):
        made = np.empty(wrt.shape, dtype=object)
        for place in np.ndindex(wrt.shape):
            made[place] = _in_shape(wrt[place], gradients, none)
        return made.view(Array) if isinstance(none, Value) else made.astype(float)
    if isinstance(wrt, list | tuple):
        return [_in_shape(each, gradients, none) for each in wrt]
    raise TypeError(f"grad() is with respect to Values, lists or arrays of them, not {wrt!r}")


#: The rule language evaluated on Values: what it computes is recorded.
_ON_VALUES = Reading(
    {name: Operation(RULES[name]) for name in FUNCTIONS}
    | {"total": Operation(RULES["sum"]), "largest": Operation(RULES["max"])},
    lambda x: x.data if isinstance(x, Value) else x,
)


def _graph_gradients(y: Value) -> dict[int, Value]:
    gradients: dict[int, Any] = {id(y): 1.0}
    for node in backward_order(y):
        upstream = gradients[id(node)]
        if node.rule is not None:
            # The last operand first, as in a backward pass: the same sums to the last bit.
            for operand, local in reversed(_local_derivatives(node, node.rule)):
                share = local if _is_one(upstream) else upstream if _is_one(local) else upstream * local
                before = gradients.get(id(operand))
                gradients[id(operand)] = share if before is None else before + share
    return {place: g if isinstance(g, Value) else _constant(g) for place, g in gradients.items()}


def _is_one(x: Any) -> bool:
    return isinstance(x, float) and x == 1.0


def _constant(number: float) -> Value:
    return Value(number).detach()


def _local_derivatives(node: Value, rule: Rule) -> list[tuple[Value, Any]]:
    """Each operand that takes a gradient, with ∂node/∂operand as a Value or a number."""
    arguments = rule.split(node.operands)
    recorded = rule.split(node.local_derivatives)
    lists = [dict(zip(rule.over, each, strict=True)) for each in _rows(rule, arguments)]
    scope = {arg: each for arg, each in zip(rule.args, arguments, strict=True) if arg not in rule.over}
    scope["y"] = node
    found: list[tuple[Value, Any]] = []
    for arg, d, operands, numbers in zip(rule.args, rule.d, arguments, recorded, strict=True):
        runs = zip(operands, numbers, lists, strict=True) if arg in rule.over else [(operands, numbers, {})]
        for operand, number, elements in runs:
            if isinstance(operand, Value):
                local = d.evaluate({**scope, **elements}, _ON_VALUES, lists)
                _check_unchanged(node, operand, number, local)
                found.append((operand, local))
    return found


def _rows(rule: Rule, arguments: list[Any]) -> list[tuple[Any, ...]]:
    lists = [each for arg, each in zip(rule.args, arguments, strict=True) if arg in rule.over]
    return list(zip(*lists, strict=True))


def _check_unchanged(node: Value, operand: Value, recorded: Any, local: Any) -> None:
    now = local.data if isinstance(local, Value) else local
    if now != recorded and not (math.isnan(now) and math.isnan(recorded)):
        raise NoGradientError(
            f"an operand of {node.rule} has been changed since it was recorded: the local derivative for "
            f"{describe(operand)} was {recorded!r} then and would be {now!r} now. Compute the graph again "
            "before grad(..., create_graph=True)"
        )
