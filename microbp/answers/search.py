"""The search: the simplest mistakes that reproduce a claim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from microbp.answers import chain, gradient, matrices, updates
from microbp.answers.arrays import fits_onto, places_of, plain
from microbp.answers.candidates import Candidate
from microbp.answers.claims import Claim
from microbp.answers.report import Cause

_Hypothesis = Callable[[Claim], Iterable[Candidate]]

#: Simplest first: where some in a tier reproduce the claim, the later tiers are not tried.
_TIERS: tuple[tuple[_Hypothesis, ...], ...] = (
    (gradient.rounded, gradient.sign, gradient.constant, gradient.transposed, gradient.reshaped),
    (gradient.with_a_rate, gradient.of_another, gradient.broadcast, chain.chain_rule),
    (chain.wrong_index, updates.updated_first, matrices.orientation),
)

#: How many explanations of one claim are given, at most.
_TOLD = 3

#: From so many accidental matches expected in a search on, what is found may be one; from so many, it
#: is not begun.
_DOUBTFUL, _IDLE = 0.005, 0.1


def search(claim: Claim) -> tuple[list[Cause], str]:
    """The simplest mistakes that reproduce a claim, and what else is to be said."""
    if claim.agrees is not None and (claim.where[claim.wrong] < 0).all():
        return [], ""
    if not (np.isfinite(claim.claimed).all() and np.isfinite(claim.true).all()):
        return [], "; no mistake is looked for among numbers that are not finite"
    tried: list[Candidate] = []
    accidents = 0.0
    for tier in (*_TIERS, None):
        if tier is None:
            candidates = list(gradient.with_a_second(claim, tried))
        else:
            candidates = [each for hypothesis in tier for each in hypothesis(claim)]
        if tried:  # the simplest are too few for that
            accidents += _accidents(claim, candidates)
        if accidents > _IDLE:
            return [], (
                "; none of the simplest mistakes gives this, and with so few digits some other would by "
                "accident"
            )
        found = _reproducing(claim, candidates)
        if found:
            return found, "" if accidents < _DOUBTFUL else (
                f"; with so few digits, though, 1 in {1 / accidents:.0f} numbers would be met by accident"
            )
        tried += candidates
    told = f"; none of {len(tried)} mistakes tried gives this"
    if (claim.half > 0.0)[~claim.rounded & claim.wrong].any():
        told += ". Was it rounded? A float needs 5 digits, a text 3, to be taken so"
    found = _reproducing(claim, gradient.one_factor(claim))
    return found, "" if found else told


def _accidents(claim: Claim, candidates: Sequence[Candidate]) -> float:
    """How many candidates would match a number by accident, from how densely the others lie about it."""
    gives = np.array([each.gives for each in candidates if each.gives.shape == claim.true.shape])
    if not len(gives) or not fits_onto(claim.claimed.shape, claim.true.shape):
        return 0.0
    claimed, near = (np.broadcast_to(each, claim.true.shape) for each in (claim.claimed, claim.near(1e-9)))
    wrong = np.broadcast_to(claim.wrong, claim.true.shape)
    width = near / abs(claimed)
    away = abs(np.log(gives / claimed))  # nan for another sign
    others = [((width < away) & (away < reach)).sum(axis=0) / reach for reach in (0.5, 0.05, 0.005)]
    return float(np.nan_to_num(width * np.max(others, axis=0))[wrong].min())


def _reproducing(claim: Claim, candidates: Iterable[Candidate]) -> list[Cause]:
    """The candidates that give what is claimed; before those that do so only where it is wrong."""
    everywhere: dict[str, Cause] = {}
    partly: dict[str, Cause] = {}
    near = claim.near(1e-9)
    for text, gives in candidates:
        if not fits_onto(claim.claimed.shape, gives.shape):
            continue
        match = abs(gives - claim.claimed) <= near
        if match.all():
            everywhere.setdefault(text, Cause(text, plain(gives.tolist())))
        elif claim.written.shape == gives.shape == claim.true.shape and match[claim.wrong].all():
            there = f"at {places_of(claim.wrong)} only: {text}"
            numbers = np.where(claim.wrong, gives, claim.true)
            partly.setdefault(there, Cause(there, plain(numbers.tolist())))
    return [*everywhere.values(), *partly.values()][:_TOLD]
