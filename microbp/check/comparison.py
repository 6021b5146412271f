"""The verdict on a gradient by one numerical derivative."""

from __future__ import annotations

import math
from typing import NamedTuple

from microbp.check.measure import DECISIVE, EPS, ROUNDING, SAFETY, Derivative
from microbp.tables import number


class Setting(NamedTuple):
    """What is known of a gradient before it is measured."""

    #: The rounding error of one evaluation of the loss.
    noise: float
    #: Σ|contribution| over all paths: what the rounding of the gradient itself goes by.
    size: float
    #: How many operations depend on the value.
    operations: int

    @property
    def rounding(self) -> float:
        """How far rounding may move the gradient itself."""
        return 8.0 * EPS * (self.operations + 1) * self.size


def tolerance_of(claim: float, best: Derivative, setting: Setting) -> float:
    """How far a right gradient may be from the numerical one, by the errors of both."""
    larger = max(abs(claim), abs(best.value))
    return SAFETY * best.error + setting.rounding + (ROUNDING * larger if math.isfinite(larger) else 0.0)


def compare(claim: float, best: Derivative, setting: Setting) -> tuple[str, str]:
    """The verdict on a gradient by one numerical derivative, and why."""
    if not math.isfinite(best.value):
        return "inconclusive", "no numerical derivative could be formed"
    if best.kinked:
        left, right = number(best.left), number(best.right)
        return "inconclusive", f"kink or jump within the step: the slope is {left} below, {right} above"
    if best.contradicted:
        return "inconclusive", f"the slope depends on the step, and is another one below {best.step:.0e}"
    if not math.isfinite(claim):
        clear = not best.steepest or SAFETY * best.error <= DECISIVE * max(abs(best.value), best.steepest)
        return ("DISAGREE" if clear else "inconclusive"), "the gradient is not finite"
    tolerance = tolerance_of(claim, best, setting)
    if abs(claim - best.value) > tolerance:
        return "DISAGREE", ""
    larger = max(abs(claim), abs(best.value))
    if tolerance <= DECISIVE * larger:
        return "agree", ""
    if abs(claim) <= setting.rounding and tolerance <= DECISIVE * setting.size:
        return "agree", f"0 but for rounding: terms of size {setting.size:.1e} cancel"
    # A gradient without any contribution, of a loss that does move further away, or not at all.
    if claim == 0.0 and setting.size == 0.0:
        if best.steepest == 0.0:
            return "agree", "" if setting.operations else "the loss does not depend on it"
        if tolerance <= DECISIVE * best.steepest:
            return "agree", ""
    return "inconclusive", f"too much cancellation: the numerical gradient is known to ±{tolerance:.1e} only"
