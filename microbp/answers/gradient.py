"""Hypotheses about the gradient as a whole: its sign, a factor, its shape, an update or another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from microbp.answers.arrays import Floats, fits_onto, shape_of, shown
from microbp.answers.candidates import Candidate
from microbp.answers.claims import Claim


def rounded(claim: Claim) -> Iterator[Candidate]:
    """The true gradient, in fewer digits than count."""
    if claim.written.shape == claim.true.shape:
        unit = np.where(claim.rounded, 0.0, 2.0 * claim.half)
        true = claim.true * claim.scale
        steps = np.round(np.divide(true, unit, out=np.zeros_like(true), where=unit > 0.0))
        if (abs(steps) >= 10).any():
            text = (
                f"it is the true gradient {shown(claim.true)}, rounded: a float counts as rounded only with "
                "5 digits, a text with 3"
            )
            yield Candidate(text, np.where(abs(steps) >= 10, steps * unit, true) / claim.scale)


def sign(claim: Claim) -> Iterator[Candidate]:
    """The true gradient with the opposite sign."""
    text = "the sign is wrong: it is -1 × the true gradient"
    if claim.case.learning_rate is None:
        text += " (as the update of a descent with η = 1 it would be right: say learning_rate=1)"
    yield Candidate(text, -claim.true)


def constant(claim: Claim) -> Iterator[Candidate]:
    """The true gradient times a constant."""
    for factor, reason in _factors(claim):
        yield Candidate(f"it is {factor:g} × the true gradient: {reason}", factor * claim.true)


def _factors(claim: Claim) -> Iterator[tuple[float, str]]:
    """Constant factors that a person forgets, and what they may come from."""
    yield 2.0, "the ½ of the cost or another factor ½ is missing"
    yield 0.5, "the 2 of the square's derivative is missing, or a factor ½ does not belong in it"
    counts: dict[int, str] = {}
    for position, terms in claim.case.sums.items():
        if claim.case.scales_loss(position):
            counts.setdefault(len(terms), f"the {len(terms)} terms of {claim.case.called(position)}")
    for place in claim.where[claim.where >= 0].flat:
        n = len(claim.case.uses[int(place)])
        counts.setdefault(n, f"the {n} uses of each parameter (samples?)" if n > 1 else "")
    for length in claim.true.shape:
        counts.setdefault(length, f"{length}, the length of an axis")
    for n, what in counts.items():
        if n > 1:
            yield 1.0 / n, f"averaged over {what}, where the loss sums"
            yield float(n), f"summed over {what}, where the loss averages"


def transposed(claim: Claim) -> Iterator[Candidate]:
    """The true gradient, turned."""
    if claim.true.ndim > 1:
        yield Candidate("it is the transpose of the true gradient", claim.true.T)


def with_a_rate(claim: Claim) -> Iterator[Candidate]:
    """The update, or the updated parameter, in place of the gradient."""
    case, true = claim.case, claim.true
    for rate in case.rates:
        hint = f" (right as an update: say learning_rate={rate:g})" if case.learning_rate is None else ""
        yield Candidate(f"it is the update, -η × the gradient with η = {rate:g}{hint}", -rate * true)
        yield Candidate(f"it is η × the gradient with η = {rate:g}: no rate belongs in it", rate * true)
    data = _data(claim)
    if data is not None:
        yield Candidate("it is the parameter itself", data)
        for rate in case.rates:
            text = f"it is the updated parameter, w - η × the gradient with η = {rate:g}"
            yield Candidate(text, data - rate * true)


def of_another(claim: Claim) -> Iterator[Candidate]:
    """The gradient of another parameter."""
    case = claim.case
    others = {each.name: each for each in claim.together if each.name != claim.name}
    for name, other in others.items():
        if other.true.shape == claim.true.shape:
            text = f"it is the gradient of {name}, {shown(other.true)}"
            fits = fits_onto(other.claimed.shape, claim.true.shape)
            if fits and (abs(other.claimed - claim.true) <= other.near(1e-6)).all():
                text += f": the claims for {claim.name} and {name} are interchanged"
            yield Candidate(text, other.true)
    for name, where in case.parameters.items():
        known = name in others or np.array_equal(where, claim.where)
        if where.shape == claim.where.shape and not known:
            yield Candidate(
                f"it is the gradient of {name}, {shown(case.gradient[where])}", case.gradient[where]
            )


def broadcast(claim: Claim) -> Iterator[Candidate]:
    """One line of the true array, or the sum or mean of all, in place of each."""
    true = claim.true
    for axis, length in enumerate(true.shape):
        words = {1: ("element",), 2: ("row", "column")}
        word = words[true.ndim][axis] if true.ndim in words else f"slice along axis {axis},"
        lines = {f"{word} {i} of the true gradient": np.take(true, [i], axis) for i in range(length)}
        lines[f"the sum of the {word}s"] = true.sum(axis=axis, keepdims=True)
        lines[f"the mean of the {word}s"] = true.mean(axis=axis, keepdims=True)
        for text, line in lines.items() if length > 1 else ():
            yield Candidate(
                f"{text}, {shape_of(line)}, stands in place of every {word}, as if broadcast",
                np.broadcast_to(line, true.shape).copy(),
            )


def reshaped(claim: Claim) -> Iterator[Candidate]:
    """The right numbers in another shape, or not yet summed over the samples."""
    claimed, true = claim.claimed, claim.true
    if claimed.shape == true.shape:
        return
    if fits_onto(claimed.shape, true.shape) and claimed.size < true.size:
        yield Candidate("broadcast over all elements it is right, the shape is not", true)
    if claimed.size == true.size:
        yield Candidate("the numbers are right, the shape is not", true.reshape(claimed.shape))
        if min(true.shape, default=1) > 1:
            flat = np.asarray(true.T).reshape(claimed.shape)
            yield Candidate("it is the transpose of the true gradient, in another shape", flat)
    for axis, keep, word in product(range(claimed.ndim), (False, True), ("sum", "mean")):
        line = getattr(claimed, word)(axis=axis, keepdims=keep)
        if line.shape == true.shape and (abs(line - true) <= 1e-9 * abs(true) + claim.rounding).all():
            n = claimed.shape[axis]
            text = f"it is not yet reduced over its axis {axis}: the {word} of these {n} is the true gradient"
            yield Candidate(text, claimed)


def with_a_second(claim: Claim, tried: Sequence[Candidate]) -> Iterator[Candidate]:
    """Each mistake together with a wrong sign or a wrong constant factor, or in an updated parameter."""
    for text, gives in tried:
        yield Candidate(f"{text}; and its sign is the opposite, as in an update", -gives)
    for factor, reason in _factors(claim):
        for text, gives in tried:
            yield Candidate(f"{text}; and it is times {factor:g}: {reason}", factor * gives)
    data = _data(claim)
    if data is None:
        return
    for rate in claim.case.rates:
        updated = f"it is the updated parameter, w - η × a wrong gradient with η = {rate:g}"
        for text, gives in tried:
            if gives.shape == data.shape:
                yield Candidate(f"{updated}; of that gradient: {text}", data - rate * gives)


def _data(claim: Claim) -> Floats | None:
    """The parameter's own numbers; None where the loss does not depend on all of them."""
    if (claim.where < 0).any():
        return None
    numbers = [claim.case.nodes[each].data for each in claim.where.flat]
    return np.array(numbers).reshape(claim.true.shape)


def one_factor(claim: Claim) -> Iterator[Candidate]:
    """Some constant factor, which an array shows and a number does not."""
    if claim.claimed.shape == claim.true.shape and np.count_nonzero(claim.true) > 1:
        at = np.unravel_index(int(np.argmax(abs(claim.true))), claim.true.shape)
        factor = float(claim.claimed[at] / claim.true[at])
        update = f" (as an update it has η = {-factor:.9g})" if factor < 0 else ""
        text = f"every element is {factor:.9g} × the true gradient{update}"
        yield Candidate(text, factor * claim.true)
