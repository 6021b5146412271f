"""How one derivative is measured, and the verdict on one that is claimed.

By the complex step where the function can be read in complex numbers: Im f(x + ih) / h is f'(x) but for a
part of h², no two numbers are subtracted, and h may be so small that nothing is left of it. As comparisons
tell x + ih from x - ih, the two give the slopes on either side of a corner. By differences where a function
can only be called: (f(x + h) - f(x - h)) / 2h for a ladder of steps, extrapolated to h = 0, each
extrapolation with an estimate of its error, of which the smallest counts.

Sources: W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions, SIAM
Review 40 (1998), pages 110-112. C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Advances in
Engineering Software 4 (1982), pages 75-76.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.compiled import tried
from microbp.text import number

EPS = sys.float_info.epsilon
#: Below this, numbers lose digits.
TINY = sys.float_info.min
#: How many times its estimated error a measured derivative may be off before the claim is wrong.
SAFETY = 16.0
#: A comparison counts if it would have seen a relative error of this size: a fifth of 0.05 %.
DECISIVE = 1e-4
#: A relative difference that rounding in the local derivatives may cause; never called an error.
ROUNDING = 1e-9


class Derivative(NamedTuple):
    """A measured derivative, and how far it is to be trusted."""

    #: Halfway between the slopes on either side; nan where none could be measured.
    value: float
    #: The estimated error of ``value``; inf where nothing could be measured.
    error: float
    #: The slopes on either side; where they differ by more than errors, there is a kink.
    left: float
    right: float
    #: The largest step that went into ``value``; 0 for a complex one.
    step: float = 0.0
    #: The largest slope between the point and any other that went into ``value``.
    steepest: float = 0.0
    #: Whether the function gives no more digits than single precision has.
    single: bool = False
    #: Whether it stands still but for jumps: rounding may hide its slope, or the slope is 0.
    jumps: bool = False
    #: Where it stands still at all steps and jumps further off, between which slopes the hidden one may lie.
    hidden: tuple[float, float] = (0.0, 0.0)

    @property
    def kinked(self) -> bool:
        """Whether the slopes on either side differ by more than their errors."""
        return abs(self.right - self.left) > SAFETY * self.error


#: What is known where nothing could be measured.
NOTHING = Derivative(math.nan, math.inf, math.nan, math.nan)


# ----------------------------------------------------------------------------------------- the verdict
class Verdict(NamedTuple):
    """On one claimed derivative."""

    measured: float
    #: ``right``, ``corner``, ``wrong`` or ``unknown``; those who ask have words of their own for these.
    word: str
    why: str = ""
    #: How far a right claim may be from what was measured, by the errors of both.
    off: float = 0.0


def judge(claim: float, got: Derivative, rounding: float = 0.0, terms: float = 0.0) -> Verdict:
    """The verdict: the first line of the table that fits.

    ``rounding`` is how far that may have moved the claim, ``terms`` the size of what was added up in it.

    >>> judge(0.3, Derivative(0.5, 0.0, 0.0, 1.0))[1:3]
    ('corner', 'the slope is 0 below, +1.0000000 above')
    """
    larger, known = max(abs(claim), abs(got.value)), SAFETY * got.error
    off = known + rounding + (ROUNDING * larger if math.isfinite(larger) else 0.0)
    decisive = 1e-2 if got.single else DECISIVE
    clear = known <= decisive * max(abs(got.value), got.steepest)
    between = min(got.left, got.right) - off <= claim <= max(got.left, got.right) + off
    grows = "corner" if claim == got.value else "unknown"
    standing = "the function stands still but for jumps"
    rest = "0 but for rounding: terms of size {terms:.1e} cancel" if rounding else ""
    table = (
        (math.isnan(got.value), "unknown", "no numerical derivative could be formed"),
        (got.kinked, "corner" if between else "wrong", "the slope is {left} below, {right} above"),
        (math.isinf(got.value), grows, "the slope grows without bound"),
        (not math.isfinite(claim), "wrong" if clear else "unknown", "the gradient is not finite"),
        (got.jumps and claim == 0.0, "unknown", standing),
        (claim != 0.0 and got.hidden[0] < claim < got.hidden[1], "unknown", standing),
        (abs(claim - got.value) > off, "wrong", ""),
        (off <= decisive * larger, "right", ""),
        (abs(claim) <= rounding and off <= decisive * terms, "right", rest),
        (True, "unknown", "the derivative is known to ±{off:.1e} only"),
    )
    word, why = next((word, why) for fits, word, why in table if fits)
    if why:
        why = why.format(left=number(got.left), right=number(got.right), terms=terms, off=off)
    return Verdict(got.value, word, why, off)


# ------------------------------------------------------------------------------------ the complex step
#: About 1e-100; powers of 2 round nothing.
STEP = 2.0**-332
#: For a tiny number steps go by its own size, which may be what the function goes by (log) or not (exp).
_OWN, SMALL = (2.0**-40, 2.0**-20), 1e-60
#: Steps for a derivative that is too small for a narrow one; the widest for what is linear.
_WIDE = (2.0**-60, 2.0**-20, 1.0, 2.0**40, 2.0**300)
#: Other steps, so many times as wide: what both give is no rounding; what one gives less of goes to 0.
WIDER, _MUCH_WIDER = 2.0**12, 2.0**150
#: How far an imaginary part may be off since numbers below TINY lose digits: 65,536 times the last one.
_LOST = 2.0**16 * EPS * TINY


def complex_step(f: Callable[[complex], Any], x: float) -> Derivative:
    """The slopes of a function of complex numbers on either side of a real one; infinite ones at a jump.

    >>> complex_step(lambda z: z * z, 3.0).value
    6.0
    """
    real: dict[bool, float] = {}

    def slope(h: float) -> float:
        y = tried(f, complex(x, h))
        real.setdefault(h > 0.0, y.real)
        return math.nan if math.isnan(y.real) else float(y.imag) / h

    own = [part * abs(x) for part in _OWN]
    steps = sorted({*own, *_WIDE, *([STEP] if abs(x) > SMALL or not x else [])} - {0.0})
    (right, off), (left, too) = (_limit(slope, [sign * h for h in steps], abs(x)) for sign in (1.0, -1.0))
    value = 0.5 * (left + right)
    if abs(real[True] - real[False]) > 0.0:
        left, right = -math.inf, math.inf
    return Derivative(value, max(off, too), left, right)


def _limit(slope: Callable[[float], float], steps: Sequence[float], size: float) -> tuple[float, float]:
    """The slope at narrow steps and its error; 0 or infinite where it goes there with the step.

    Where the imaginary part, h·y', is so small that it may have lost digits, the step is widened, until it
    is large, as long as narrower steps do not speak against it. A 0 is one if it is at all steps. Steps wider
    than the point, of that ``size``, show its slope only where that is the same at all of them.
    """
    found: dict[float, float] = {}
    for h in steps:
        if math.isnan(one := slope(h)):
            continue
        found[h] = one
        if abs(one * h) < TINY / EPS or math.isinf(one):
            continue
        if any(abs((each - one) * h) > ROUNDING * abs(one * h) + _LOST for h, each in found.items()):
            break
        off = abs(one - slope(WIDER * h))
        narrow = h == steps[0] and abs(h) <= STEP
        # Two narrow steps, in a ratio that is a power of 2, give the same digits where a function is smooth.
        if off <= (4.0 * EPS if narrow else ROUNDING) * abs(one):
            return one, 0.0
        if 0.0 < size < abs(h):
            break
        if narrow:
            far = slope(_MUCH_WIDER * h)
            if abs(one) <= 0.5 * abs(far):
                return 0.0, 0.0
            if abs(one) >= 2.0 * abs(far) > 0.0 and one * far > 0.0:
                return math.copysign(math.inf, one), 0.0
            return one, max(off, abs(one))  # it may go there so slowly that no step shows it
        return one, off
    return (0.0, 0.0) if found and not any(found.values()) else (math.nan, math.inf)


# --------------------------------------------------------------------------------------- differences
#: The last step is this part of x.
_LAST = 1e-12
#: The ratio of neighbouring steps; no power of 2, so that no oscillation fits all of them.
_RATIO = 3.0
#: The first steps are below this part of x, where most functions have their best step.
_FIRST = 0.013
#: A step so little wider shows nothing but a jump of what stands still.
_BESIDE = 1.0 + 2.0**-30
#: How many neighbouring steps are extrapolated together, at most.
_WINDOW = 4


def differences(
    f: Callable[[float], float], x: float, *, patient: bool = False, eps: float = EPS
) -> Derivative:
    """The derivative of a function that can only be called; ``eps`` is the last digit of what it gives.

    Where the first few steps do not give six digits, or ``patient`` is true, the ladder goes from
    a good part of x, or of 1, down to where rounding leaves nothing.
    """
    size = abs(x) or 1.0
    steps = [0.13 * max(size, 1.0)]
    while steps[-1] > _LAST * size:
        steps.append(steps[-1] / _RATIO)
    # Steps from x down, and from 1 down: for a tiny x those in between would be hundreds.
    steps = [h for h in steps if (h < 0.13 * size or h > _LAST) and x - h < x < x + h]
    if not patient:
        near = _extrapolated(f, x, [h for h in steps if h < _FIRST * size][:_WINDOW], eps)
        if not near.kinked and SAFETY * near.error <= 1e-6 * abs(near.value):
            return near
    found = _extrapolated(f, x, steps, eps)
    if not found.value and not found.steepest and (hidden := _hidden(f, x, steps, eps)):
        return found._replace(hidden=hidden)
    return found


#: So much further than the steps it is looked whether a function that stands still jumps, in parts of x; the
#: slope from stair to stair may be so many times another than that at the point.
_FURTHER, _STAIRS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0), 16.0
#: The first stair is at least this part of what is met at the next place looked at; less is a smooth way.
_STAIR = 1e-6


def _hidden(
    f: Callable[[float], float], x: float, steps: Sequence[float], eps: float
) -> tuple[float, float] | None:
    """Between which slopes that of a function may lie that stands still here, and jumps from stair to stair.

    None where it does not, or goes on from where it stands still: a net with a dead or a saturated unit does.
    """
    y, slopes, stairs = tried(f, x), [], 0
    for sign in 1.0, -1.0:
        met, slope, at = [y], 0.0, x
        for h in (*reversed(steps), *(part * max(abs(x), 1.0) for part in _FURTHER)):
            still, at = at, x + sign * h
            there = tried(f, at)
            if not math.isfinite(there) or 0.0 < abs(there - y) <= SAFETY * eps * abs(y):
                return None
            if there == met[-1]:
                continue
            smooth = not abs(_edge(f, still, at) - met[-1]) > _STAIR * abs(there - met[-1])
            if smooth or tried(f, x + sign * h * _BESIDE) != there:
                return None
            met.append(there)
            slope = slope or (there - y) / (sign * h)
            if len(met) > 2:
                break
        stairs += len(met) - 1
        slopes.append(slope)
    low, high = min(slopes), max(slopes)
    if stairs < 2:  # one jump hides no slope
        return None
    return low * _STAIRS if low < 0.0 else low / _STAIRS, high * _STAIRS if high > 0.0 else high / _STAIRS


def _edge(f: Callable[[float], float], still: float, moved: float) -> float:
    """What a function gives where it first leaves what it is at ``still``, on the way to ``moved``."""
    y = tried(f, still)
    for _ in range(60):
        middle = 0.5 * (still + moved)
        still, moved = (middle, moved) if tried(f, middle) == y else (still, middle)
    return float(tried(f, moved))


@np.errstate(all="ignore")
def _extrapolated(f: Callable[[float], float], x: float, steps: Sequence[float], eps: float) -> Derivative:
    """The best entry of Ridders' tableau over neighbouring steps.

    The central difference has an error series in h², h⁴, …; the jump between the one-sided slopes
    one in h, h³, …: with the same tableau it goes to 0 where the function is smooth.
    """
    y, h = tried(f, x), np.array(steps)
    sides = np.array([[tried(f, x + step), tried(f, x - step)] for step in steps]).reshape(-1, 2).T
    (above, under), changes, index = sides, abs(sides - y), np.arange(len(h))
    found, best = NOTHING, (True, math.inf)
    right, left = (above - y) / ((x + h) - x), (y - under) / (x - (x - h))
    slope = central = (above - under) / ((x + h) - (x - h))
    kink = right - left
    # One evaluation is off by this; and the two steps, as rounded, differ by up to EPS·x.
    largest = np.maximum(np.maximum(abs(above), abs(under)), abs(y))
    rounding = 2.0 / h * (eps * largest + EPS * abs(x * kink) + TINY)
    # No smaller change of the function is known to be real.
    least = np.min(changes, initial=math.inf, where=changes > 0.0)
    quantum = np.where(np.isinf(least), 0.0, least) / h
    if jumps := _in_steps(f, x + np.array([h, -h]) * _BESIDE, sides, changes / least):
        rounding += 2.0 / SAFETY * quantum
        jumps = bool(least > SAFETY * eps * abs(y))  # no smaller ones can be told from its last digits
    for k in range(1, min(_WINDOW, len(steps))):
        better = slope[1:] + (slope[1:] - slope[:-1]) / (_RATIO ** (2 * k) - 1.0)
        kink = kink[1:] + (kink[1:] - kink[:-1]) / (_RATIO ** (2 * k - 1) - 1.0)
        error = np.maximum(abs(better - slope[1:]), abs(better - slope[:-1])) + rounding[k:]
        slope = better
        # Smaller steps speak against it: the function has finer structure than the steps.
        own = 2.0 * abs(central[k:] - slope) + SAFETY * error
        allowed = own[:, None] + SAFETY * (rounding + quantum)
        against = (abs(central - slope[:, None]) > allowed) & (index > index[k:, None])
        error[against.any(axis=1)] = math.inf
        good = np.isfinite(error + kink) & (k > 1)  # two samples alone may be equal by chance
        for i in np.flatnonzero(good).tolist():
            steepest = float(np.max(changes[:, i : i + k + 1] / h[i : i + k + 1]))
            value, off, half = float(slope[i]), float(error[i]), 0.5 * float(kink[i])
            one = Derivative(value, off, value - half, value + half, steps[i], steepest, eps > EPS, jumps)
            # A function that does not move at all at small steps may just absorb them.
            decisive = SAFETY * off <= DECISIVE * abs(value) and not one.kinked and steepest > 0.0
            if (rank := (not decisive, off + abs(half))) < best:
                found, best = one, rank
    return found


def _in_steps(f: Callable[[float], float], beside: Any, sides: Any, changes: Any) -> bool:
    """Whether a function stands still but for jumps: by multiples of the least, or to where it stands still.

    Then it hides digits, as ``(1e12 + x) - 1e12`` and its tanh do, and is not known to be flat. ``sides`` is
    what it gives at each step, ``changes`` how many times the least change away that is, and ``beside`` are
    places next to these.
    """
    there = (changes > 0.0) & np.isfinite(changes)
    moved, jumps = changes[there], np.round(changes[there])
    if len({*jumps.tolist()}) <= 2 or (changes != 0.0).all():
        return False
    whole = abs(moved - jumps) < ROUNDING * moved
    return bool(whole.all()) or [tried(f, x) for x in beside[there].tolist()] == sides[there].tolist()


def last_digit(finfo: Callable[[Any], Any], kind: Any) -> float:
    """The ``eps`` of a kind of floats, by its library's ``finfo``; that of doubles for any other kind.

    >>> last_digit(np.finfo, np.float32) == 2.0**-23, last_digit(np.finfo, np.longdouble) == EPS
    (True, True)
    """
    try:
        return max(float(finfo(kind).eps), EPS)
    except (TypeError, ValueError):
        return EPS


def precision(numbers: Any) -> float:
    """The ``eps`` of the floats that a function gives: a single one fills no more than 24 binary digits.

    No floats have fewer than 8: what fills no more are small whole numbers. So is what is whole everywhere
    where floats of so few digits, 11 or 24, would have some behind the point.

    >>> precision([0.1]) == EPS, precision([np.float32(0.1)]) == 2.0**-23, precision([30001.0]) == EPS
    (True, True, True)
    """
    given = np.array([x for x in numbers if math.isfinite(x) and x])
    filled = (np.frexp(given)[0] * 2.0**53).astype(np.int64)
    last = 2.0**-52 * float(np.min(filled & -filled, initial=2**53))
    large = abs(given) >= (2.0**10 if last >= 2.0**-10 else 2.0**23)
    floats = bool(large.all() or (given % 1.0).any())
    return last if floats and 2.0**-30 < last < 2.0**-6 else EPS
