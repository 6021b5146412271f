"""The operations as functions: of Values, of plain numbers, and element by element of arrays.

With a Value among the operands the result is a recorded Value; with numbers alone it is a float, so
that the same formula can be evaluated with and without recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from microbp.array import Array, elementwise
from microbp.array.loops import settled
from microbp.calls import told
from microbp.expr import largest
from microbp.record import record
from microbp.rules import RULES, Rule
from microbp.value import Value

__all__ = [
    "Operation", "abs", "acos", "asin", "atan", "clip", "cos", "cosh", "cross_entropy", "dot", "elu",
    "erf", "erfc", "exp", "expm1", "gelu", "leaky_relu", "log", "log1p", "log_softmax", "logsumexp",
    "max", "maximum", "minimum", "pow", "relu", "select", "sigmoid", "silu", "sin", "sinh", "softmax",
    "softplus", "sqrt", "sum", "tan", "tanh",
]  # fmt: skip


class Operation:
    """A rule of the table as a function; its sentence and conventions are its documentation.

    >>> leaky_relu(-2.0, s=0.1)
    -0.2
    >>> leaky_relu
    leaky_relu(a, s=0.01)
    >>> leaky_relu()
    Traceback (most recent call last):
        ...
    TypeError: leaky_relu(a, s=0.01) takes a, s; a is missing
    """

    @told
    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.__name__ = rule.name
        self.__doc__ = " ".join(filter(None, (rule.doc, rule.corner)))

    def __call__(self, *operands: Any, **named: Any) -> Any:
        """The operation's value; TypeError names the arguments where they do not fit."""
        rule, arguments = self.rule, operands
        if named or len(operands) != len(rule.args):
            arguments = self._completed(operands, named)
        if not rule.over and any(isinstance(each, np.ndarray) for each in arguments):
            return settled(elementwise(lambda *each: record(rule, each), *arguments))
        return record(rule, arguments)

    def _completed(self, operands: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """The operands in their order, with those that are named or have a default."""
        rule = self.rule
        given = dict(zip(rule.args, operands, strict=False)) | named
        known = len(operands) + len(named) == len(given) and given.keys() <= set(rule.args)
        missing = [arg for arg in rule.args if arg not in given and arg not in rule.defaults]
        if not known or missing:
            fault = f"{' and '.join(missing)} is missing" if missing else "there is one too many"
            stray = [name for name in named if name not in rule.args]
            fault = f"{stray[0]!r} is not one of them" if stray else fault
            raise TypeError(f"{self!r} takes {', '.join(rule.args)}; {fault}")
        return (*(given.get(arg, rule.defaults.get(arg)) for arg in rule.args),)

    def __repr__(self) -> str:
        words = [
            f"{arg}={self.rule.defaults[arg]!r}" if arg in self.rule.defaults else arg
            for arg in self.rule.args
        ]
        return f"{self.rule.name}({', '.join(words)})"


#: All rows that are told above, in this order.
(
    abs, acos, asin, atan, clip, cos, cosh, cross_entropy, dot, elu, erf, erfc, exp, expm1, gelu, leaky_relu,
    log, log1p, logsumexp, max, maximum, minimum, pow, relu, select, sigmoid, silu, sin, sinh, softplus, sqrt,
    sum, tan, tanh,
) = (Operation(RULES[name]) for name in __all__ if name in RULES)  # fmt: skip


def log_softmax(x: Iterable[Value | float]) -> Array:
    """``log(exp(xᵢ) / Σ exp(x))`` for each of the logits x, a 1-D array of the same length; no overflow.

    >>> [round(p.data, 6) for p in log_softmax([1000.0, 0.0, Value(1000.0)])]
    [-0.693147, -1000.693147, -0.693147]

    The largest logit is subtracted first, as a number, since logits as large as 1e9 would leave no digits
    of the result; it cancels, so that values and gradients are those of the formula. A logit of -inf is a
    class that is masked out.
    """
    if isinstance(x, str | bytes) or not isinstance(x, Iterable):
        raise TypeError(f"log_softmax: x is a list of Values or numbers, not {type(x).__name__}")
    logits = list(x)
    numbers = [each._data if isinstance(each, Value) else each for each in logits]
    top = largest(numbers) if numbers else 0.0
    made = np.empty(len(logits), dtype=object)
    if math.isinf(top):  # a difference of infinities; the operation of many arguments knows the limit
        for place in range(len(logits)):
            made[place] = -cross_entropy(logits, [float(each == place) for each in range(len(logits))])
    else:
        shifted = [each - top for each in logits] if top == top else logits  # noqa: PLR0124
        total = logsumexp(shifted)
        made[:] = [each - total for each in shifted]
    return made.view(Array)


def softmax(x: Iterable[Value | float]) -> Array:
    """``exp(xᵢ) / Σ exp(x)`` for each of the logits x, a 1-D array that sums to 1; no overflow.

    >>> [round(p.data, 6) for p in softmax([1000.0, 0.0, Value(1000.0)])]
    [0.5, 0.0, 0.5]
    """
    result: Array = elementwise(exp, log_softmax(x))
    return result
