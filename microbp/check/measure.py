"""How one derivative is measured.

By central differences (f(x + h) - f(x - h)) / 2h for a ladder of steps h, extrapolated to h = 0, each
extrapolation with an estimate of its error; the one with the smallest counts. Large steps suffer from
truncation, small ones from rounding; where the two balance depends on the function and is found, not
assumed.

Source: C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Advances in Engineering
Software 4 (1982), pages 75-76: the tableau and its error estimate.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

EPS = sys.float_info.epsilon
#: Below this, numbers lose digits.
TINY = sys.float_info.min
#: How many times its estimated error a numerical derivative may be off before the gradient is wrong.
SAFETY = 16.0
#: A comparison counts if it would have seen a relative error of this size: a fifth of 0.05 %.
DECISIVE = 1e-4
#: A relative difference that rounding in the local derivatives may cause; never called an error.
ROUNDING = 1e-9


def same(a: float, b: float) -> bool:
    """Whether two numbers are equal, or both nan."""
    return a == b or (math.isnan(a) and math.isnan(b))


class Derivative(NamedTuple):
    """A numerical derivative, and how far it is to be trusted."""

    #: The extrapolated central difference; nan where none could be formed.
    value: float
    #: The estimated error of ``value``; inf where nothing could be measured.
    error: float
    #: The slopes on either side; where they differ by more than errors, there is a kink.
    left: float
    right: float
    #: The largest step that went into ``value``.
    step: float
    #: The largest slope between the point and any other at which the function was evaluated.
    steepest: float
    #: Whether smaller steps speak against ``value``: the function has finer structure than the steps.
    contradicted: bool

    @property
    def kinked(self) -> bool:
        """Whether the slopes on either side differ by more than their errors."""
        return abs(self.right - self.left) > SAFETY * self.error

    @property
    def decisive(self) -> bool:
        """Whether a relative error of :data:`DECISIVE` would be seen by comparing with ``value``."""
        sharp = SAFETY * self.error <= DECISIVE * abs(self.value)
        return sharp and not self.kinked and not self.contradicted


#: What is known where nothing could be measured.
NOTHING = Derivative(math.nan, math.inf, math.nan, math.nan, math.nan, 0.0, contradicted=False)
#: The last step is this part of x.
LAST = 1e-12
#: The ratio of neighbouring steps; no power of 2, so that no oscillation fits all of them.
RATIO = 3.0
#: The first steps are below this part of x, where most functions have their best step.
FIRST = 0.013
#: How many neighbouring steps are extrapolated together, at most.
_WINDOW = 4


class _Sample(NamedTuple):
    """What a step tells."""

    step: float
    central: float
    #: Slope on the right less slope on the left.
    jump: float
    #: An estimate of what rounding has done to ``central``.
    rounding: float
    steepest: float
    #: The smallest change of the function, other than 0.
    change: float


def sweep(
    f: Callable[[float], float],
    x: float,
    noise: float | None = None,
    *,
    below: float = math.inf,
    patient: bool = False,
) -> list[Derivative]:
    """Derivatives of ``f`` at ``x`` from windows of a ladder of steps, the best one first.

    ``f`` returns nan where it is undefined. ``noise`` is the rounding error of one evaluation where it
    is known; it is taken to be that of the result alone otherwise. Steps not below ``below`` are left
    out. Where the first few steps do not give six digits, or ``patient`` is true, the ladder goes from
    a good part of x, or of 1, down to where rounding leaves nothing.
    """
    y = f(x)
    size = abs(x) or 1.0
    steps = [0.13 * max(size, 1.0)]
    while steps[-1] > LAST * size:
        steps.append(steps[-1] / RATIO)
    # Steps from x down, and from 1 down: for a tiny x those in between would be hundreds.
    steps = [h for h in steps if h < 0.13 * size or h > LAST]
    steps = [h for h in steps if h < below and x - h < x < x + h]
    near = [h for h in steps if h < FIRST * size][:_WINDOW]
    samples = {h: _sample(f, x, y, h, noise) for h in near}
    found = _extrapolations(list(samples.values()), noise)
    good = found and not found[0].kinked and SAFETY * found[0].error <= 1e-6 * abs(found[0].value)
    if patient or not good:
        found = _extrapolations([samples.get(h) or _sample(f, x, y, h, noise) for h in steps], noise)
    return found or [NOTHING]


def _sample(f: Callable[[float], float], x: float, y: float, h: float, noise: float | None) -> _Sample:
    right, left = x + h, x - h
    above, under = f(right), f(left)
    slope_right, slope_left = (above - y) / (right - x), (y - under) / (x - left)
    jump = slope_right - slope_left
    # One evaluation is off by this; and the two steps, as rounded, differ by up to EPS·x.
    off = (noise or 0.0) + EPS * max(abs(above), abs(under), abs(y)) + EPS * abs(x * jump) + TINY
    return _Sample(
        h,
        (above - under) / (right - left),
        jump,
        2.0 * off / h,
        max((abs(each) for each in (slope_left, slope_right) if math.isfinite(each)), default=0.0),
        min((each for each in (abs(above - y), abs(under - y)) if each > 0.0), default=0.0),
    )


def _extrapolations(samples: Sequence[_Sample], noise: float | None) -> list[Derivative]:
    """Ridders' tableau over all neighbouring samples, the most trustworthy extrapolation first.

    The central difference has an error series in h², h⁴, …; the jump between the one-sided slopes
    one in h, h³, …: with the same tableau it goes to 0 where the function is smooth.
    """
    steepest = max((sample.steepest for sample in samples), default=0.0)
    smallest = 0.0
    if noise is None:  # then no smaller change is known to be real
        smallest = min((sample.change for sample in samples if sample.change), default=0.0)
    ranked: list[tuple[bool, bool, float, Derivative]] = []
    before: list[tuple[float, float]] = []
    for i, sample in enumerate(samples):
        row = [(sample.central, sample.jump)]
        for k in range(1, min(len(before) + 1, _WINDOW)):
            (central, jump), (old_central, old_jump) = row[-1], before[k - 1]
            central += (central - old_central) / (RATIO ** (2 * k) - 1.0)
            jump += (jump - old_jump) / (RATIO ** (2 * k - 1) - 1.0)
            row.append((central, jump))
            off = max(abs(central - row[k - 1][0]), abs(central - old_central)) + sample.rounding
            # Two samples alone may be equal by chance.
            if k == 1 or not math.isfinite(off + jump):
                continue
            far = abs(sample.central - central)
            contradicted = any(
                abs(finer.central - central)
                > 2.0 * far + SAFETY * (off + finer.rounding + smallest / finer.step)
                for finer in samples[i + 1 :]
            )
            half, window = 0.5 * jump, samples[i - k : i + 1]
            sides = central - half, central + half
            one = Derivative(central, off, *sides, window[0].step, steepest, contradicted)
            # A function that does not move at all at small steps may just absorb them.
            trusted = one.decisive and any(each.change for each in window)
            ranked.append((contradicted, not trusted, off + abs(half), one))
        before = row
    ranked.sort(key=lambda each: each[:3])
    return [each[3] for each in ranked]
