"""``check_rule``: a row's derivatives against the complex-step derivative of the row's own value.

For an analytic function y and a real h, Im y(a + ih) / h = y'(a) - h²·y'''(a)/6 + …: the same text,
evaluated once in complex arithmetic, gives the derivative. No two numbers close to each other are
subtracted, unlike in a difference quotient, so h may be so small that nothing is left of the h² and
the derivative is exact but for the rounding of y itself.

Source: W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions,
SIAM Review 40 (1998), pages 110-112.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from microbp.errors import RuleError
from microbp.expr import COMPLEX, REAL, Expression, Reading
from microbp.functions import Operation
from microbp.rules import RULES, Interval, Rule
from microbp.spelling import did_you_mean
from microbp.tables import Table

__all__ = ["TOLERANCE", "RuleReport", "RuleRow", "check_rule"]

#: The largest relative error of a derivative that counts as rounding: 4,500 units of the last place.
TOLERANCE = 1e-12
#: h, about 1e-100: no last digit sees h², and h·y' keeps its digits down to y' = 1e-208. A power of 2,
#: by which nothing is rounded.
_STEP = 2.0**-332
#: Below this a derivative is compared as if it were this large; h·y' then goes below the smallest float.
_TINY = 1e-196
#: The lengths of the lists that an argument in ``over`` is given, in turn.
_LENGTHS = (1, 2, 3, 5)


@dataclass(frozen=True)
class RuleRow:
    """The worst disagreement found in the value (``y``) or in the derivative in one argument."""

    #: ``a``; for an argument in ``over`` with the element, ``x[2]``; ``y`` for the value.
    operand: str
    #: |stated - measured| / |measured|; inf where one of them is not finite.
    error: float
    #: The row's arguments at that point; a list for one in ``over``.
    at: dict[str, Any]
    #: What the row's text gives in real arithmetic.
    stated: float
    #: What the complex step gives; for the value, the real part of the complex value.
    measured: float

    @property
    def ok(self) -> bool:
        """Whether the error is within :data:`TOLERANCE`."""
        return self.error <= TOLERANCE


@dataclass(frozen=True)
class RuleReport:
    """What :func:`check_rule` found; ``str(report)`` is the table for people."""

    #: The operation as it is called: ``tanh(a)``.
    rule: str
    #: How many points were compared.
    points: int
    #: One for the value, then one for each argument; empty where there is nothing to check.
    rows: tuple[RuleRow, ...]

    @property
    def ok(self) -> bool:
        """Whether there was something to check and all of it agrees."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def table(self) -> Table:
        """The report laid out, one line for the value and one for each argument."""
        columns = ("of", ">stated", ">complex step", ">relative error", "verdict", "worst at")
        rows = tuple(
            (
                each.operand, each.stated, each.measured, f"{each.error:.1e}",
                "agree" if each.ok else "DISAGREE", point(each.at, "{:.4g}".format),
            )
            for each in self.rows
        )  # fmt: skip
        notes = () if rows else ("not checked: no smooth interval",)
        points = "1 point" if self.points == 1 else f"{self.points} points"
        return Table(f"{self.rule}: {points}, tolerance {TOLERANCE:.0e}", columns, rows, notes)

    def __str__(self) -> str:
        return str(self.table())


def point(at: Mapping[str, Any], write: Callable[[float], str] = repr) -> str:
    """How texts speak of a point.

    >>> point({"x": [0.5, 2.0], "b": 1.0})
    'x = [0.5, 2.0], b = 1.0'
    """
    texts = [f"[{', '.join(map(write, x))}]" if isinstance(x, list) else write(x) for x in at.values()]
    return ", ".join(f"{arg} = {text}" for arg, text in zip(at, texts, strict=True))


def check_rule(
    rule: Rule | Operation | str, *, points: int = 300, seed: int = 0, show: bool = False
) -> RuleReport:
    """Compare each local derivative of a row with the complex-step derivative of its value.

    ``rule`` is a rule, an operation, or the name of one. In each box of its ``smooth``, ``points``
    points are drawn with ``random.Random(seed)``; an argument that runs over a list gets lists of
    1, 2, 3 and 5 numbers in turn. At each point the value's text is evaluated in complex arithmetic,
    one operand at a time moved by ih, and each derivative's text in real arithmetic.

    Returns a :class:`RuleReport` with the largest relative error for each argument and the point
    where it occurs, and for the value the largest difference between its real and its complex
    reading; prints it if ``show``. A row without smooth boxes is not checked: its report says so and
    is not ok.

    >>> report = check_rule("mul")
    >>> report.ok, report.points
    (True, 300)
    >>> [(row.operand, row.error) for row in report.rows]
    [('y', 0.0), ('a', 0.0), ('b', 0.0)]

    Close to a zero of the derivative no formula has a small relative error: the last places of the
    operands decide. Where the error exceeds the tolerance it is therefore taken relative to a
    thousandth of c = Σ |operand·∂(derivative)/∂operand|, if that is more than the derivative itself.
    Then, too, it is within the tolerance only if moving the operands by 1e-15 of their size, a few
    units in the last place, explains the difference: |stated - measured| <= 1e-15·c.

    Raises RuleError where there is no such operation, and where value or derivative is undefined at a
    point of a smooth box; TypeError where ``rule`` is none of the three; ValueError for no points.
    """
    rule = _rule(rule)
    if points < 1:
        raise ValueError(f"check_rule() compares at least 1 point in each box, not {points}")
    rng = random.Random(seed)  # noqa: S311 (points, not secrets)
    worst: dict[str, RuleRow] = {}
    for box in rule.smooth:
        for turn in range(points):
            at = _draw(rule, box, rng, length=_LENGTHS[turn % len(_LENGTHS)])
            for arg, row in _Point(rule, at).rows():
                if arg not in worst or row.error > worst[arg].error:
                    worst[arg] = row
    report = RuleReport(str(rule), points * len(rule.smooth), tuple(worst.values()))
    if show:
        report.table().show()
    return report


def _rule(which: Rule | Operation | str) -> Rule:
    if isinstance(which, Rule):
        return which
    if isinstance(which, Operation):
        return which.rule
    if not isinstance(which, str):
        raise TypeError(f"check_rule() takes a rule, an operation or the name of one, not {which!r}")
    if which not in RULES:
        hint = did_you_mean(which, RULES) or f"there are {', '.join(RULES)}"
        raise RuleError(f"there is no operation {which!r}; {hint}")
    return RULES[which]


def _draw(rule: Rule, box: tuple[Interval, ...], rng: random.Random, length: int) -> dict[str, Any]:
    """A random number for each argument, a list of that length for one in ``over``."""
    return {
        arg: [rng.uniform(low, high) for _ in range(length)] if arg in rule.over else rng.uniform(low, high)
        for arg, (low, high) in zip(rule.args, box, strict=True)
    }


class _Point:
    """A rule at one point of a smooth box."""

    def __init__(self, rule: Rule, at: dict[str, Any]) -> None:
        self.rule, self.at = rule, at
        #: Each operand as its argument and its place in that argument's list.
        self.operands = [
            (arg, element)
            for arg, entry in self.at.items()
            for element in range(len(entry) if arg in rule.over else 1)
        ]

    def rows(self) -> Iterator[tuple[str, RuleRow]]:
        """For the value and for each operand's derivative: which argument, and how they compare."""
        rule = self.rule
        y = self._evaluate(rule.y, REAL)
        stepped = [self._evaluate(rule.y, COMPLEX, moved=operand) for operand in self.operands]
        slopes = [z.imag / _STEP for z in stepped]

        def moves_value() -> float:
            return self._condition(slopes)

        for z in stepped:
            yield "y", RuleRow("y", _error(y, z.real, moves_value), self.at, y, z.real)
        for (arg, element), slope in zip(self.operands, slopes, strict=True):
            d = rule.d[rule.args.index(arg)]

            def moves_derivative(d: Expression = d, element: int = element) -> float:
                moved = [
                    self._evaluate(d, COMPLEX, moved=operand, element=element, y=z)
                    for operand, z in zip(self.operands, stepped, strict=True)
                ]
                return self._condition([z.imag / _STEP for z in moved])

            stated = self._evaluate(d, REAL, element=element, y=y)
            name = f"{arg}[{element}]" if arg in rule.over else arg
            yield arg, RuleRow(name, _error(stated, slope, moves_derivative), self.at, stated, slope)

    def _evaluate(
        self,
        expression: Expression,
        reading: Reading,
        *,
        moved: tuple[str, int] | None = None,
        element: int = 0,
        **y: Any,
    ) -> Any:
        """The expression here, for one element of the lists, with one operand moved by ih."""
        scope: dict[str, Any] = {**self.at, **y}
        if moved is not None:
            arg, place = moved
            if arg in self.rule.over:
                scope[arg] = list(scope[arg])
                scope[arg][place] += 1j * _STEP
            else:
                scope[arg] += 1j * _STEP
        lists = zip(*(scope[arg] for arg in self.rule.over), strict=True)
        elements = [dict(zip(self.rule.over, each, strict=True)) for each in lists]
        here = elements[element] if elements else {}
        try:
            return expression.evaluate({**scope, **here}, reading, elements)
        except (ArithmeticError, ValueError) as error:
            raise RuleError(
                f"rule {self.rule.name}: {str(expression)!r} is undefined at {point(self.at)}, which is "
                f"in a smooth box ({error}); let smooth= hold boxes where value and derivatives are defined"
            ) from None

    def _condition(self, slopes: list[float]) -> float:
        """By how much a quantity with these slopes moves when each operand moves by its own size."""
        numbers = [
            self.at[arg][element] if arg in self.rule.over else self.at[arg]
            for arg, element in self.operands
        ]
        return math.fsum(abs(number * slope) for number, slope in zip(numbers, slopes, strict=True))


def _error(stated: float, measured: float, condition: Callable[[], float]) -> float:
    difference = abs(stated - measured)
    if not math.isfinite(difference):
        return math.inf
    error = difference / max(abs(measured), _TINY)
    if error > TOLERANCE:
        error = difference / max(abs(measured), _TINY, 1e-3 * condition())
    return error
