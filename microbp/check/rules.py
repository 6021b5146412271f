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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from microbp.check.auditing import rounding_error
from microbp.check.measure import STEP
from microbp.compiled import compiled, compiled_complex
from microbp.errors import RuleError
from microbp.functions import Operation
from microbp.rules import RULES, Interval, Rule
from microbp.text import Shown, Table, did_you_mean

#: The largest relative error of a derivative that counts as rounding: 4,500 units of the last place.
TOLERANCE = 1e-12
#: Below this a derivative is compared as if it were this large; h·y' then goes below the smallest float.
_TINY = 1e-196
#: How many times the rounding error of a formula may be in it and in what is measured.
_SAFETY = 4.0
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
class RuleReport(Shown):
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

    Close to a zero of the derivative no formula has a small relative error: the last places decide.
    Where the error exceeds the tolerance it is therefore taken relative to what would be in it with the
    rounding errors of the formula, if that is more: then rounding explains the difference.

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
            for row in _at(rule, _draw(rule, box, rng, length=_LENGTHS[turn % len(_LENGTHS)]), worst):
                arg = row.operand.partition("[")[0]
                if arg not in worst or row.error > worst[arg].error:
                    worst[arg] = row
    return RuleReport(str(rule), points * len(rule.smooth), tuple(worst.values()))._presented(show)


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


def _at(rule: Rule, at: dict[str, Any], worst: Mapping[str, RuleRow]) -> Iterator[RuleRow]:
    """At one point of a smooth box, for the value and for each operand's derivative, how they compare.

    How much of an error rounding explains is asked only where it is larger than the worst so far.
    """
    entries = list(at.values())

    def computed(text: object, function: Callable[..., Any], *numbers: Any) -> Any:
        try:
            return function(*numbers)
        except (ArithmeticError, ValueError) as error:
            raise RuleError(
                f"rule {rule.name}: {str(text)!r} is undefined at {point(at)}, which is in a smooth box "
                f"({error}); let smooth= hold boxes where value and derivatives are defined"
            ) from None

    def compared(operand: str, place: int | None, stated: float, measured: float) -> RuleRow:
        known = worst.get(operand.partition("[")[0])
        error = _error(stated, measured, rule, entries, place, known.error if known else 0.0)
        return RuleRow(operand, error, at, stated, measured)

    functions, place = compiled(rule), 0
    y = computed(rule.y, functions.value, *entries)
    derivatives = []
    for argument, (arg, d) in enumerate(zip(rule.args, rule.d, strict=True)):
        many = arg in rule.over
        stated = computed(d, functions.derivatives[argument], *entries, y)
        for element, one in enumerate(stated if many else [stated]):
            moved = entries[argument] + 1j * STEP if not many else [
                x + 1j * STEP * (i == element) for i, x in enumerate(entries[argument])
            ]
            z = computed(rule.y, compiled_complex(rule), *entries[:argument], moved, *entries[argument + 1 :])
            yield compared("y", None, y, z.real)
            derivatives.append(compared(f"{arg}[{element}]" if many else arg, place, one, z.imag / STEP))
            place += 1
    yield from derivatives


def _error(
    stated: float, measured: float, rule: Rule, entries: Sequence[Any], place: int | None, known: float
) -> float:
    """The relative error of the value, or of the derivative in the operand at ``place``.

    Where rounding cannot make it larger than one that is ``known``, it is told without that.
    """
    difference = abs(stated - measured)
    if not math.isfinite(difference):
        return math.inf
    error = difference / max(abs(measured), _TINY)
    if error > max(TOLERANCE, known):
        rounding = _SAFETY / TOLERANCE * rounding_error(rule, list(entries), place)
        error = difference / max(abs(measured), _TINY, rounding)
    return error
