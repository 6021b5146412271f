"""One operation by itself: whether a recorded local derivative is right.

Source: W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions, SIAM
Review 40 (1998), pages 110-112: the complex step, by which single operations are measured.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from operator import mul
from typing import Any, NamedTuple

from microbp.check.measure import DECISIVE, EPS, ROUNDING, SAFETY, TINY, sweep
from microbp.check.rounding import rounding_error
from microbp.compiled import compiled
from microbp.expr import COMPLEX, CONSTANTS
from microbp.graph import Node
from microbp.rules import Rule
from microbp.tables import number

#: Steps for a derivative that is too small for a narrow one; the widest for what is linear in the operand.
_WIDE = (2.0**-60, 2.0**-20, 1.0, 2.0**40, 2.0**300)

#: How far an imaginary part may be off since numbers below 2.2e-308 lose digits: 65,536 times the last one.
_LOST = 2.0**16 * EPS * TINY


class Verdict(NamedTuple):
    """On one local derivative."""

    measured: float
    #: ``fine``, ``corner``, ``WRONG RULE`` or ``undecided``.
    word: str
    why: str


def verdicts(node: Node, numbers: Sequence[float]) -> list[Verdict | None]:
    """On each local derivative of a node; None for a literal. ``numbers`` are those of all nodes."""
    return [verdict(node, numbers, place) for place in range(len(node.operands))]


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
            part: float = _complex_value(self.rule)(*self.entries(complex(x, h))).imag if h else math.nan
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


_complex_values: dict[Rule, Callable[..., Any]] = {}


def _complex_value(rule: Rule) -> Callable[..., Any]:
    """The value of a rule as a function of complex numbers; comparisons look at the real parts."""
    if rule not in _complex_values:
        done: dict[str, str] = {}
        result = rule.y.hoist(rule.over, done)
        lines = [f"    {temporary} = {text}\n" for text, temporary in done.items()]
        source = f"def value({', '.join(rule.args)}):\n{''.join(lines)}    return {result}\n"
        tree = ast.fix_missing_locations(_RealComparisons().visit(ast.parse(source)))
        scope: dict[str, Any] = {**CONSTANTS, **COMPLEX.functions, "mul": mul, "_real": COMPLEX.judged}
        exec(compile(tree, f"<microbp complex {rule.name}>", "exec"), scope)
        _complex_values[rule] = scope["value"]
    return _complex_values[rule]


class _RealComparisons(ast.NodeTransformer):
    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        sides = [self.visit(side) for side in (node.left, *node.comparators)]
        calls: list[ast.expr] = [ast.Call(ast.Name("_real", ast.Load()), [side], []) for side in sides]
        return ast.Compare(calls[0], node.ops, calls[1:])
