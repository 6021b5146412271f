"""The rounding error of one operation, estimated.

Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition (2002), chapters 3
and 4: rounding errors of sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from microbp.check.measure import EPS, TINY
from microbp.check.operands import scope_of
from microbp.compiled import compiled
from microbp.expr import FUNCTIONS, Expression, Reading
from microbp.rules import RULES, Rule


def _last(y: float) -> float:
    """The rounding error of a result: of its last digit, or of the last that there is below 2.2e-308."""
    return EPS * abs(y) + EPS * TINY


@dataclass(frozen=True)
class _Rounded:
    """A number and the rounding error it has picked up: running error analysis, Higham section 3.3."""

    number: float
    error: float

    @staticmethod
    def of(x: Any) -> _Rounded:
        return x if isinstance(x, _Rounded) else _Rounded(x, 0.0)

    def __neg__(self) -> _Rounded:
        return _Rounded(-self.number, self.error)

    def __add__(self, other: Any) -> _Rounded:
        y = self.number + _Rounded.of(other).number
        return _Rounded(y, self.error + _Rounded.of(other).error + _last(y))

    __radd__ = __add__

    def __sub__(self, other: Any) -> _Rounded:
        return self + -_Rounded.of(other)

    def __rsub__(self, other: Any) -> _Rounded:
        return _Rounded.of(other) - self

    def __mul__(self, other: Any) -> _Rounded:
        a, b = self, _Rounded.of(other)
        y = a.number * b.number
        return _Rounded(y, abs(a.number) * b.error + a.error * abs(b.number) + _last(y))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> _Rounded:
        a, b = self, _Rounded.of(other)
        y = a.number / b.number
        return _Rounded(y, (a.error + abs(y) * b.error) / abs(b.number) + _last(y))

    def __rtruediv__(self, other: Any) -> _Rounded:
        return _Rounded.of(other) / self


def _rounded(name: str) -> Callable[..., _Rounded]:
    """A function of the rule language on rounded numbers: its row tells how it passes errors on."""

    def function(*operands: Any) -> _Rounded:
        rounded = [_Rounded.of(each) for each in operands]
        numbers = [each.number for each in rounded]
        y = FUNCTIONS[name].real(*numbers)
        error = _last(y)
        for each, derivative in zip(rounded, compiled(RULES[name]).derivatives, strict=True):
            error += abs(derivative(*numbers, y)) * each.error if each.error else 0.0
        return _Rounded(y, error)

    return function


def _sorted(numbers: Iterable[Any]) -> list[_Rounded]:
    return sorted(map(_Rounded.of, numbers), key=lambda x: x.number)


_ROUNDED = Reading(
    {name: _rounded(name) for name in FUNCTIONS}
    | {"total": sum, "largest": lambda xs: _sorted(xs)[-1], "rest": lambda xs: sum(_sorted(xs)[:-1])},
    lambda x: _Rounded.of(x).number,
)


def rounding_error(rule: Rule, entries: list[Any], d: Expression | None = None, element: int = 0) -> float:
    """The rounding error of an operation at its operands, or of its derivative ``d`` there.

    ``element`` is that of the lists for which a derivative holds. Returns nan where it is undefined.
    """
    exact = [list(map(_Rounded.of, each)) if type(each) is list else _Rounded.of(each) for each in entries]
    scope, elements = scope_of(rule, exact)
    try:
        y = _Rounded.of(rule.y.evaluate(scope, _ROUNDED, elements))
        if d is None:
            return y.error
        here = elements[element] if elements else {}
        return _Rounded.of(d.evaluate({**scope, **here, "y": y}, _ROUNDED, elements)).error
    except (ArithmeticError, ValueError):
        return math.nan
