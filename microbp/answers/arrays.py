"""Mistakes with the gradient as a whole: of its sign, size, shape or order, or another one in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim
from microbp.answers.mistakes import ALONE, Mistake
from microbp.answers.structure import Floats
from microbp.answers.words import Told, shape_of, shown

#: Learning rates that people use, for a search where none was given.
CUSTOMARY = (1.0, 0.5, 0.3, 0.25, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4)


class Change(NamedTuple):
    """What is done to a gradient, right or wrong: offset + factor · gradient."""

    #: How that is said of the true gradient, and besides another ``mistake``, if it is made besides one.
    told: Told
    factor: float
    besides: Any = None
    offset: Floats | float = 0.0


def scaled(claim: Claim) -> Iterator[Change]:
    """A wrong sign, and constant factors that a person forgets, with what they may come from."""
    net, say = claim.net, claim.net.say
    yield Change(say("sign or update" if net.rate is None else "sign"), -1.0, say("opposite"))
    counts: dict[int, Told] = {}
    for total, terms in net.sums.items():
        if not net.levels[total]:
            counts.setdefault(len(terms), say("terms", n=len(terms), sum=partial(net.called, total)))
    for n in (len(net.uses[node]) for node in claim.nodes):
        counts.setdefault(n, say("samples", n=n))
    for n in claim.true.shape:
        counts.setdefault(n, say("axis", n=n))
    reasons = [(2.0, say("half")), (0.5, say("double"))]
    for n, what in counts.items():
        if n > 1:
            reasons += [(1.0 / n, say("averaged", what=what)), (float(n), say("summed", what=what))]
    for factor, reason in reasons:
        fields = {"factor": f"{factor:g}", "reason": reason}
        yield Change(say("times", **fields), factor, say("and times", **fields))


def rated(claim: Claim) -> Iterator[Change]:
    """An update in place of the gradient, or an updated parameter, at the rates to be looked for."""
    say, rates = claim.net.say, CUSTOMARY if claim.net.rate is None else (claim.net.rate,)
    for rate in rates:
        yield Change(say("update unsaid" if claim.net.rate is None else "update", rate=rate), -rate)
        yield Change(say("rate", rate=rate), rate)
    if (claim.where >= 0).all():
        own = claim.net.data[claim.where]
        yield Change(say("itself"), 0.0, None, own)
        for rate in rates:
            yield Change(say("updated", rate=rate), -rate, say("wrongly updated", rate=rate), own)


def whole(claim: Claim) -> Iterator[Mistake]:
    """A rounding, a sign, a factor, a shape, an order."""
    say, true = claim.net.say, claim.true
    if claim.source.shape == true.shape:
        unit = np.where(claim.read["rounded"], 0.0, 2.0 * claim.read["half"])
        steps = np.round(np.divide(true * claim.scale, unit, out=np.zeros_like(true), where=unit > 0.0))
        gives = np.where(abs(steps) >= 10, steps * unit / claim.scale, true)
        if (abs(steps) >= 10).any():
            yield Mistake(say("rounded", true=partial(shown, true)), gives=gives, rank=ALONE)
    yield from (Mistake(each.told, gives=each.factor * true) for each in scaled(claim))
    if (claim.where >= 0).all():
        yield Mistake(say("itself"), gives=claim.net.data[claim.where], rank=ALONE)
    if true.ndim > 1:
        yield Mistake(say("transposed"), gives=true.T)
    yield from _reshaped(claim)
    yield from _permuted(claim)


def _reshaped(claim: Claim) -> Iterator[Mistake]:
    """The right numbers in another shape, or not yet summed over the samples."""
    say, claimed, true = claim.net.say, claim.claimed, claim.true
    if claimed.shape == true.shape:
        return
    if claim.fits and claimed.size < true.size:
        yield Mistake(say("broadcast"), gives=true)
    if claimed.size == true.size:
        yield Mistake(say("shape"), gives=true.reshape(claimed.shape))
    axes = range(claimed.ndim if claimed.size else 0)
    for axis, keep, how in product(axes, (False, True), ("sum", "mean")):
        line = getattr(claimed, how)(axis=axis, keepdims=keep)
        if line.shape == true.shape and (abs(line - true) <= 1e-9 * abs(true) + claim.rounding).all():
            told = say("unreduced", axis=axis, how=say(how), n=claimed.shape[axis])
            yield Mistake(told, gives=claimed)


def _permuted(claim: Claim) -> Iterator[Mistake]:
    """The lines of the true gradient in another order."""
    claimed, true, near = claim.claimed, claim.true, claim.near(1e-9)
    for axis, length in enumerate(true.shape if claimed.shape == true.shape else ()):
        lines, own, close = (np.moveaxis(each, axis, 0).reshape(length, -1) for each in (true, claimed, near))
        order: list[int] = []
        for i, (line, off) in enumerate(zip(own, close, strict=True)):
            fits = np.flatnonzero((abs(lines - line) <= off).all(axis=1)).tolist()
            free = [each for each in fits if each not in order]
            order += [i] if i in free else free[:1]
        moved = [i for i, each in enumerate(order) if i != each]
        if sorted(order) == [*range(length)] and moved:
            how = "reversed" if order == [*range(length)][::-1] else "permuted"
            how = "swapped" if len(moved) == 2 else how
            fields = {"order": ", ".join(map(str, order)), "one": moved[0], "other": moved[-1]}
            told = claim.net.say(how, kind=_kind(claim, axis), name=claim.name, **fields)
            yield Mistake(told, gives=np.take(true, order, axis))


def _kind(claim: Claim, axis: int) -> Told:
    """What is counted along an axis."""
    kind = {1: "element", 2: ("row", "column")[axis % 2]}.get(claim.true.ndim, "slice")
    return claim.net.say(kind, axis=axis)


def instead(claim: Claim, together: Sequence[Claim]) -> Iterator[Mistake]:
    """Another's gradient in its place; a line in place of all lines."""
    net, say, true = claim.net, claim.net.say, claim.true
    others = {other.name: other for other in together if other.name != claim.name}
    for name, where in {**net.parameters, **{name: other.where for name, other in others.items()}}.items():
        if where.shape == claim.where.shape and not np.array_equal(where, claim.where):
            gives, other = np.where(where < 0, 0.0, net.gradient[where]), others.get(name)
            both = other and other.fits and (abs(other.claimed - true) <= other.near(1e-6)).all()
            how = "interchanged" if both else "of another"
            yield Mistake(say(how, this=claim.name, name=name, numbers=partial(shown, gives)), gives=gives)
    for axis, length in enumerate(true.shape):
        kind = _kind(claim, axis)
        lines = [(say("line of", i=i, kind=kind), np.take(true, [i], axis)) for i in range(length)]
        for how in ("sum", "mean"):
            line = getattr(true, how)(axis=axis, keepdims=True)
            # Where the lines cancel, as those of softmax do, their sum is nothing that anybody took.
            if (abs(line) > 1e-9 * abs(true).max()).any():
                lines.append((say("lines", how=say(how), kind=kind), line))
        for which, line in lines if length > 1 else ():
            told = say("line", which=which, kind=kind, shape=shape_of(line))
            yield Mistake(told, gives=np.broadcast_to(line, true.shape))


def proportional(claim: Claim) -> Iterator[Mistake]:
    """Some constant factor, which an array shows and a number does not."""
    claimed, true = claim.claimed, claim.true
    if claimed.shape == true.shape and np.count_nonzero(true[claim.answered]) > 1:
        at = np.unravel_index(int(np.argmax(np.where(claim.answered, abs(true), 0.0))), true.shape)
        factor = float(claimed[at] / true[at])
        fields = {"factor": f"{factor:.9g}", "rate": f"{-factor:.9g}"}
        told = claim.net.say("every update" if factor < 0 else "every", **fields)
        yield Mistake(told, gives=factor * true)
