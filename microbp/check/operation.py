"""One operation by itself: whether a recorded local derivative is right, and what rounding does to it.

Sources: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition (2002), chapters 3 and 4;
W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions, SIAM
Review 40 (1998), pages 110-112: the complex step, by which single operations are measured.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from microbp.check.measure import DECISIVE, EPS, ROUNDING, SAFETY, TINY, sweep
from microbp.check.words import scope_of
from microbp.compiled import compiled, compiled_complex
from microbp.expr import FUNCTIONS, Expression, Reading
from microbp.graph import Node
from microbp.rules import RULES, Rule
from microbp.tables import number

#: Steps for a derivative that is too small for a narrow one; the widest for what is linear in the operand.
_WIDE = (2.0**-60, 2.0**-20, 1.0, 2.0**40, 2.0**300)

#: How far an imaginary part may be off since numbers below 2.2e-308 lose digits: 65,536 times the last one.
_LOST = 2.0**16 * EPS * TINY

#: How many operands times operands of one operation are gone through to measure it.
MEASURED = 4_000_000


class Verdict(NamedTuple):
    """On one local derivative."""

    measured: float
    #: ``fine``, ``corner``, ``WRONG RULE`` or ``undecided``.
    word: str
    why: str


def verdicts(node: Node, numbers: Sequence[float]) -> list[Verdict | None]:
    """On each local derivative of a node; None for a literal. ``numbers`` are those of all nodes.

    To measure one takes time in proportion to the operands. Where there are thousands, so many of them are
    measured, at even distances, that it does not grow any more; the others are undecided, and say so.
    """
    count = len(node.operands)
    every = math.ceil(count**2 / MEASURED)
    rest = Verdict(math.nan, "undecided", f"not measured: of {count:,} operands one in {every:,} is")
    return [
        verdict(node, numbers, place) if place % every == 0
        else None if node.local_derivatives[place] is None else rest
        for place in range(count)
    ]  # fmt: skip


def verdict(node: Node, numbers: Sequence[float], place: int) -> Verdict | None:
    """On the local derivative of a node in one operand; None for a literal."""
    stated = node.local_derivatives[place]
    if stated is None:
        return None
    assert node.rule is not None
    operands = [numbers[each] if type(each) is int else each for each in node.operands]
    return _Local(node.rule, operands, place, stated).verdict()


class _Local:
    """The derivative of one operation in one of its operands."""

    def __init__(self, rule: Rule, operands: list[float], place: int, stated: float) -> None:
        self.rule = rule
        self.operands = operands
        self.place = place
        #: The recorded derivative.
        self.stated = stated
        self.x = operands[place]

    def verdict(self) -> Verdict:
        """Whether the recorded derivative is right.

        The complex step, exact to rounding, decides where the operation is smooth. At a corner, and
        where the complex step fails, differences of the real operation decide. What neither resolves to
        a part of :data:`DECISIVE` is undecided.
        """
        if not all(map(math.isfinite, self.operands)):
            return Verdict(math.nan, "undecided", "an operand is not finite")
        slope, sure = self.slope()
        if sure and self.near(slope) and not self.rule.corner and not self.rule.kink:
            return self.by_slope(slope)
        for size in (max(map(abs, self.operands)), abs(self.x)):
            beside = 2.0**-45 * size or 2.0**-100
            left, right = self.slope(-beside)[0], self.slope(beside)[0]
            if not math.isnan(left + right):
                break
        if math.isnan(left) or math.isnan(right):
            return self.at_the_edge(beside)
        if not math.isfinite(self.stated):
            if sure and slope:  # a power that has gone to 0 has the slope 0, wherever it is defined
                return Verdict(slope, "WRONG RULE", "not finite, but the slope is")
            return Verdict(slope, "undecided", "the derivative is not finite")
        smooth = abs(left - right) <= 1e-6 * max(abs(left), abs(right))
        if smooth and sure:
            return self.by_slope(slope)
        return self.by_differences(slope if sure else None)

    def near(self, measured: float, off: float = 0.0) -> bool:
        """Whether the recorded derivative is the measured one but for rounding, and ``off``."""
        larger = max(abs(self.stated), abs(measured))
        return math.isfinite(larger) and abs(self.stated - measured) <= off + ROUNDING * larger

    def value(self, x: float) -> float:
        """The operation with x in place of the operand; nan where it is undefined."""
        try:
            return compiled(self.rule).value(*self.entries(x))
        except (ArithmeticError, ValueError):
            return math.nan

    def entries(self, x: Any) -> list[Any]:
        """The operands as the rule takes them, with x in its place."""
        return self.rule.split([*self.operands[: self.place], x, *self.operands[self.place + 1 :]])

    def slope(self, shift: float = 0.0) -> tuple[float, bool]:
        """The complex-step derivative beside the operand, and whether it is sure; nan where undefined.

        Where the imaginary part, h·y', is so small that it may have lost digits, the step is widened. The
        slope is sure if narrower steps do not speak against it, and it is the recorded one or that of a
        step 4096 times as wide: too wide a step leaves out terms of the order of h², and too narrow a one
        shows rounding, divided by h, where a value goes through its angle (the power of a negative
        number). A 0 is sure if it is one at all steps.
        """
        x = self.x + shift
        if math.isnan(self.value(x)):
            return math.nan, False
        # For a tiny operand from its own size, which may be what the function goes by (log) or not (exp).
        relative = [part * abs(self.x) for part in (2.0**-40, 2.0**-20)]
        narrow = [2.0**-332] if self.x == 0.0 or abs(self.x) > 1e-60 else []
        parts: dict[float, float] = {}
        for h in sorted([*narrow, *relative, *_WIDE]):
            part = self.imaginary(x, h)
            if math.isnan(part):
                continue
            parts[h] = part
            slope = part / h
            if abs(part) >= TINY / EPS and math.isfinite(slope):
                wider = self.imaginary(x, 4096.0 * h) / (4096.0 * h)
                same = abs(slope - wider) <= ROUNDING * abs(slope) or (not shift and self.near(slope))
                against = any(
                    abs(each - slope * h) > ROUNDING * abs(slope * h) + _LOST
                    for h, each in parts.items()
                )
                return slope, same and not against
        first = next((part / h for h, part in parts.items()), math.nan)
        return first, bool(parts) and not any(parts.values())

    def imaginary(self, x: float, h: float) -> float:
        """The imaginary part of the operation at x + ih; nan where it is undefined."""
        try:
            part: float = compiled_complex(self.rule)(*self.entries(complex(x, h))).imag if h else math.nan
        except (ArithmeticError, ValueError):
            return math.nan
        return part

    def at_the_edge(self, beside: float) -> Verdict:
        """Where the operation is undefined on a side: by the slope on the other, and whether it grows."""
        # As close as it gets: the slope of pow(a, 0.99) at 0 grows slowly.
        closer = max(2.0**-200 * beside, 2.0**-50 * abs(self.x))
        for side in (beside, -beside):
            (far, sure), (near, surely) = self.slope(side), self.slope(math.copysign(closer, side))
            if not (sure and surely):
                continue
            told = f"undefined {'below' if side > 0.0 else 'above'} {self.x!r}"
            grows = abs(near) > 1.01 * abs(far) and near * far > 0.0
            if math.isinf(self.stated):
                if grows and near * self.stated > 0.0:
                    return Verdict(self.stated, "corner", f"{told}, where the slope grows without bound")
                return Verdict(near, "WRONG RULE", f"{told}, but the slope is finite")
            settled = abs(near - self.stated) <= max(1e-6 * abs(near), 0.5 * abs(far - self.stated))
            return Verdict(near, "corner" if settled else "undecided", told)
        return Verdict(math.nan, "undecided", f"undefined beside {self.x!r}")

    def by_slope(self, slope: float) -> Verdict:
        """By the complex step."""
        off = 0.0 if slope and self.near(slope) else SAFETY * self.rounding()
        return self.judged(slope, off if off > TINY else 0.0)

    def by_differences(self, slope: float | None) -> Verdict:
        """By the real operation on either side; ``slope`` is the complex step, if it holds."""
        best = sweep(self.value, self.x, rounding_error(self.rule, self.entries(self.x)), patient=True)[0]
        off = SAFETY * (best.error + self.rounding())
        if best.kinked:
            low, high = sorted((best.left, best.right))
            told = f"the slope is {number(best.left)} below, {number(best.right)} above"
            if low - off <= self.stated <= high + off:
                return Verdict(self.stated, "corner", f"{told}; by convention {number(self.stated)}")
            return Verdict(best.value, "WRONG RULE", told)
        if slope is not None:
            return self.by_slope(slope)
        return self.judged(best.value, off)

    def judged(self, measured: float, off: float) -> Verdict:
        """By what was measured, if an error of a part of :data:`DECISIVE` is more than ``off``."""
        if not off <= DECISIVE * max(abs(self.stated), abs(measured)):
            return Verdict(measured, "undecided", f"the derivative is measured to ±{off:.1e} only")
        return Verdict(measured, "fine" if self.near(measured, off) else "WRONG RULE", "")

    def rounding(self) -> float:
        """The rounding error of the recorded derivative; 0 where it cannot be told."""
        for d, places in zip(self.rule.d, self.rule.split(range(len(self.operands))), strict=True):
            several = places if type(places) is list else [places]
            if self.place in several:
                if isinstance(d.tree, ast.Constant) or str(d) in self.rule.args:
                    return 0.0  # as it was given
                error = rounding_error(self.rule, self.entries(self.x), d, several.index(self.place))
                return error if math.isfinite(error) else 0.0
        raise AssertionError(self.place)


# ------------------------------------------------------------------------------------------- rounding
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
