"""Grading: the verdict on a claim, in a word and in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from microbp.answers.arrays import element, fits_onto, places_of, plain, shape_of, shown
from microbp.answers.claims import Claim
from microbp.answers.report import AS_UPDATE, RIGHT, WRONG, AnswerRow, Cause
from microbp.answers.search import search


@np.errstate(all="ignore")  # a mistake may overflow: then it does not reproduce the claim
def graded(claim: Claim) -> AnswerRow:
    """The row of a claim: its verdict, and if it is wrong what explains it."""
    causes: list[Cause] = []
    if not claim.right:
        verdict = WRONG
        causes, told = search(claim)
        explanation = _explanation(claim, causes, told)
    elif claim.scale == 1.0:
        verdict, explanation = RIGHT, ""
    else:
        verdict = AS_UPDATE
        explanation = f"it is the update, -η × the gradient with η = {-claim.scale:g}"
    return AnswerRow(
        claim.name,
        plain(claim.written.tolist()),
        plain(claim.true.tolist()),
        plain(claim.ratio.tolist()),
        verdict,
        explanation,
        tuple(causes),
        None if claim.agrees is None else plain(claim.agrees.tolist()),
    )


def _explanation(claim: Claim, causes: Sequence[Cause], told: str) -> str:
    clauses = []
    if claim.written.shape != claim.true.shape:
        clauses.append(f"the claim is {shape_of(claim.written)}, {claim.name} is {shape_of(claim.true)}")
    if claim.scale != 1.0:
        rate = f"{-claim.scale:g}"
        clauses.append(f"as an update with η = {rate} it stands for the gradient {shown(claim.claimed)}")
    if len(causes) > 1:
        clauses.append(f"{len(causes)} mistakes give this: {'; or '.join(each.text for each in causes)}")
    elif causes:
        clauses.append(causes[0].text)
    else:
        clauses.append(_unexplained(claim))
    return "; ".join(clauses) + told


def _unexplained(claim: Claim) -> str:
    """By how much a claim is wrong. ValueError where its shape makes no sense."""
    claimed, true = claim.claimed, claim.true
    if not fits_onto(claimed.shape, true.shape):
        if claimed.shape == true.shape[::-1] or claimed.size == true.size:
            return "in that shape the numbers do not fit either"
        raise ValueError(
            f"the claim for {claim.name} has the shape {claimed.shape}, but {claim.name} has {true.shape}"
        )
    if claim.agrees is not None and (claim.where[claim.wrong] < 0).all():
        where = f" at {places_of(claim.wrong)}" if true.shape else ""
        return f"the loss does not depend on it{where}: the gradient is 0"
    difference = np.where(claim.wrong, claimed - true, 0.0)
    worst = np.unravel_index(int(np.argmax(abs(difference))), difference.shape)
    ratio = claim.ratio[worst]
    times = "" if ratio is None else f"{ratio:.6g} × the true gradient, "
    where = "everywhere" if claim.wrong.all() else f"at {places_of(claim.wrong)}"
    at = f"{where}, most at {element(worst)}: " if true.shape else ""
    return f"{at}it is {times}{difference[worst]:+.6g} away from it{_equal_lines(claim)}"


def _equal_lines(claim: Claim) -> str:
    """Whether rows or columns are equal that should not be: what broadcasting leaves behind."""
    if claim.claimed.shape == claim.true.shape and claim.true.ndim == 2:
        for axis, word in enumerate(("rows", "columns")):
            claimed, true = (np.ptp(each, axis=axis).max() for each in (claim.claimed, claim.true))
            if claim.true.shape[axis] > 1 and claimed <= 1e-12 * abs(claim.claimed).max() < true:
                return f"; its {word} are equal, as broadcasting leaves them"
    return ""
