"""``grad(y, wrt)``: gradients as results, and gradients that are themselves graphs."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from microbp.array import Array
from microbp.compiled import condition, local_derivative
from microbp.errors import NoGradientError
from microbp.expr import FUNCTIONS, Reading, largest
from microbp.node import backward_order, upstream_gradients
from microbp.record import record
from microbp.recording.comparisons import taken
from microbp.rules import RULES, Corner, Rule, row
from microbp.value import Value, describe

__all__ = ["ON_VALUES", "grad"]


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

    At a corner the table says what comes next: after a subgradient 0, after an infinite derivative an
    infinite one with its sign, or nan where there is no limit, and after nan nan.

    >>> zero = Value(0.0)
    >>> first = grad(zero.sqrt(), zero, create_graph=True)
    >>> first.data, grad(first, zero)
    (inf, -inf)

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


def _graph_gradients(y: Value) -> dict[int, Value]:
    gradients: dict[int, Any] = {id(y): 1.0}
    for node in backward_order(y):
        upstream = gradients[id(node)]
        if node.rule is not None:
            # The last operand first, as in a backward pass: the same sums to the last bit.
            for operand, local in reversed(_local_derivatives(node, node.rule)):
                share = local if _is_one(upstream) else _times(upstream, local)
                before = gradients.get(id(operand))
                gradients[id(operand)] = share if before is None else before + share
    return {place: g if isinstance(g, Value) else _constant(g) for place, g in gradients.items()}


def _is_one(x: Any) -> bool:
    return isinstance(x, float) and x == 1.0


def _constant(number: float) -> Value:
    return Value(number).detach()


# ------------------------------------------------------------------- a product with a power of 0 in it
def _times(upstream: Any, local: Any) -> Any:
    """``upstream * local``; where both are powers of one value that is 0, a single power of it.

    The next derivative of ``x * x**0.1`` at 0 would be 0·∞, that of ``x**1.1`` is 0.
    """
    if _is_one(local):
        return upstream
    product = upstream * local
    left, right = _power(upstream), _power(local)
    if left is None or right is None or left.base is not right.base:
        return product
    power = record(RULES["pow"], (left.base, left.exponent + right.exponent), ieee=True)
    for each in (*left.factors, *right.factors):
        power = each * power
    return power if _data(power) == _data(product) else product


class _Power(NamedTuple):
    """Factors, none of them 0, times a power of a Value that is 0."""

    factors: tuple[Any, ...]
    base: Value
    exponent: float


def _power(x: Any) -> _Power | None:
    """The value as such a product, if it is one that can be seen within :data:`_DEEP` products."""
    factors: list[Any] = []
    for _ in range(_DEEP):
        if not isinstance(x, Value) or not (x.data == 0.0 or math.isinf(x.data)):
            return None
        name, operands = x.rule and x.rule.name, x.operands
        if x.rule in _ORDERS and not isinstance(exponent := operands[1], Value) and not _data(operands[0]):
            m, n = _ORDERS[x.rule]
            factor = math.prod(exponent - each for each in range(m))
            base = operands[0]
            assert isinstance(base, Value)
            return _Power((*factors, factor), base, exponent - m) if factor and not n else None
        if name == "neg":
            factors.append(-1.0)
            (x,) = operands
        elif name == "mul" and any(0.0 < abs(_data(each)) < math.inf for each in operands):
            one, other = sorted(operands, key=lambda each: not 0.0 < abs(_data(each)) < math.inf)
            factors.append(one)
            x = other
        else:
            return None if x.data else _Power(tuple(factors), x, 1.0)
    return None


#: A power of a product of more factors is left as it is.
_DEEP = 16


def _data(x: Value | float) -> float:
    return x.data if isinstance(x, Value) else x


# ----------------------------------------------------------------- local derivatives as parts of a graph
#: A number that depends on the operands x, but in no way that could be differentiated.
_HELD = row("held", "d x", "d", ("1.0", "nan"), "A derivative after which there is none.", over="x")
#: The powers: how often they are differentiated in a and in b.
_ORDERS: dict[Rule | None, tuple[int, int]] = {RULES["pow"]: (0, 0)}


@cache
def _dpow(m: int, n: int) -> Rule:
    """The operation ``dpow(a, b, m, n)``; its derivatives are of the same kind."""
    d = (f"dpow(a, b, {m + 1.0}, {n:.1f})", f"dpow(a, b, {m:.1f}, {n + 1.0})")
    doc = "The derivative of a to the power b, m times in a and n times in b."
    rule = row(f"dpow_{m}_{n}", "a b", f"dpow(a, b, {m:.1f}, {n:.1f})", d, doc)
    _ORDERS[rule] = m, n
    return rule


def _largest(elements: list[Any]) -> Any:
    """The first of the largest, itself: its weight ``exp(x - largest(x))`` is a constant, 1."""
    numbers = list(map(_data, elements))
    top = largest(numbers)
    return elements[numbers.index(top)] if not math.isnan(top) else top


def _rest(weights: list[Any]) -> Any:
    """The sum of all weights but that of the largest element; another may have gone to 1 by rounding."""
    numbers = list(map(_data, weights))
    top = largest(numbers)
    if math.isnan(top):
        return record(RULES["sum"], (weights,))
    tops = [place for place, each in enumerate(numbers) if each == top]
    own = next((place for place in tops if not isinstance(weights[place], Value)), tops[0])
    return record(RULES["sum"], (weights[:own] + weights[own + 1 :],))


def _exp(exponent: Any) -> Any:
    """``exp``; that of ``x - x`` is no more than the number 1."""
    if isinstance(exponent, Value) and exponent.rule is RULES["sub"]:
        x, shift = exponent.operands
        if x is shift:
            return 1.0
    return record(RULES["exp"], (exponent,), ieee=True)


def _apply(rule: Rule) -> Any:
    return lambda *operands: record(rule, operands, ieee=True)


#: The rule language evaluated on Values: what it computes is recorded, in the arithmetic of IEEE 754.
ON_VALUES = Reading(
    {name: _apply(RULES[name]) for name in FUNCTIONS if name in RULES}
    | {
        "dpow": lambda a, b, m, n: record(_dpow(int(m), int(n)), (a, b), ieee=True),
        "total": lambda x: record(RULES["sum"], (x,)),
        "exp": _exp,
        "largest": _largest,
        "rest": _rest,
    },
    _data,
    {ast.Div: _apply(RULES["div"])},
)


def _local_derivatives(node: Value, rule: Rule) -> list[tuple[Value, Any]]:
    """Each operand that takes a gradient, with ∂node/∂operand as a Value or a number."""
    arguments = rule.split(node.operands)
    recorded = rule.split(node.local_derivatives)
    numbers = rule.split([_data(each) for each in node.operands])
    lists = rule.elements(arguments)
    scope = {arg: each for arg, each in zip(rule.args, arguments, strict=True) if arg not in rule.over}
    corner = next((at for at, holds in _corners(rule) if holds(*numbers, node.data)), None)
    reading = ON_VALUES
    if rule.over:
        reading = reading._replace(known={})  # what the elements share is recorded once
    values = [each for each in node.operands if isinstance(each, Value)]
    found: list[tuple[Value, Any]] = []
    for place, (arg, operands, were) in enumerate(zip(rule.args, arguments, recorded, strict=True)):
        many = arg in rule.over
        if not any(isinstance(each, Value) for each in (operands if many else [operands])):
            continue
        runs = zip(operands, were, lists, strict=True) if many else [(operands, were, {})]
        now: Any = None
        for position, (operand, number, element) in enumerate(runs):
            if isinstance(operand, Value):
                formula = rule.again[place]
                local: Any = number
                if corner is not None and corner.then:
                    formula = corner.then[place]
                if corner is None or corner.then or not math.isfinite(number):
                    local = formula.evaluate({**scope, "y": node, **element}, reading, lists)
                if corner is not None or _data(local) != number:  # else the formula has the recorded number
                    now = local_derivative(rule, place, numbers, node.data) if now is None else now
                    _check_unchanged(node, operand, number, now[position] if many else now)
                if not _goes_on(local, number, values):
                    local = record(_HELD, (number, values))
                found.append((operand, local))
    return found


def _goes_on(local: Any, number: float, values: list[Value]) -> bool:
    """Whether a local derivative, which is ``number``, may be differentiated as the formula that it is.

    Infinities come out of a formula, not of a constant, and a nan out of an operand that is one.
    """
    data = _data(local)
    if math.isnan(data):
        given = math.isnan(number) and any(math.isnan(each.data) for each in values)
        return isinstance(local, Value) and given
    return math.isfinite(data) or isinstance(local, Value)


@cache
def _corners(rule: Rule) -> list[tuple[Corner, Callable[..., bool]]]:
    """The corners of a rule, each with its condition as a function of the numbers of the operands and y."""
    return [(at, condition(rule, at.where)) for at in rule.corners]


def _check_unchanged(node: Value, operand: Value, recorded: Any, now: float) -> None:
    if now != recorded and not (math.isnan(now) and math.isnan(recorded)):
        raise NoGradientError(
            f"an operand of {node.rule} has been changed since it was recorded: the local derivative for "
            f"{describe(operand)} was {recorded!r} then and would be {now!r} now. Compute the graph again "
            "before grad(..., create_graph=True)"
        )
