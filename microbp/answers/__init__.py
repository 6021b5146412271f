"""``check_answers``: grades gradients that a person worked out, and looks for the mistake in a wrong one.

A mistake is looked for by making it. Each hypothesis is a small function that yields candidates: a
sentence, and the numbers that this mistake would have given. Most mistakes with the chain rule are a
backward pass with some local derivatives changed: a factor left out, a path forgotten, a weight updated
too early. Mistakes with matrices are the products of the backward pass with their factors turned the
wrong way. Only what reproduces the claimed numbers, to their precision, is ever reported.

The files, each of which imports only those before it: ``arrays`` (shapes, and numbers as text),
``report`` (what comes out), ``case`` (the graph), ``names`` and ``claims`` (what goes in), ``candidates``
(a mistake that is made), the hypotheses ``gradient``, ``factors``, ``chain``, ``updates``, ``layers`` and
``matrices``, then ``search`` (which mistake it was) and ``grading`` (the verdict).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from microbp.answers.case import Case
from microbp.answers.claims import Claim, as_updates, claim_of
from microbp.answers.grading import graded
from microbp.answers.report import AnswerReport, AnswerRow, Cause
from microbp.errors import NoGradientError
from microbp.sites import user_scope
from microbp.value import Value, describe

__all__ = ["AnswerReport", "AnswerRow", "Cause", "check_answers"]


def check_answers(
    loss: Value,
    claims: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    *,
    show: bool = True,
    names: Mapping[str, Any] | None = None,
    learning_rate: float | None = None,
    tolerance: float | None = None,
) -> AnswerReport:
    """Grade claimed gradients ∂loss/∂w and say what is wrong with the wrong ones; print and return the table.

    ``claims`` maps names to numbers, or is a list of pairs (Value, array or list of Values; claim). A
    name is that of a Value, of a variable in the caller's scope that holds Values (or in ``names``, given
    in its place), or the ``name=`` of a :func:`microbp.array`. A claim is a number, a text, an array or a
    nested list, in the shape of what it is about. No ``.grad`` is read or touched.

    >>> w, x = Value(0.4, name="w"), 3.0
    >>> o = (w * x).sigmoid()
    >>> E = 0.5 * (1.0 - o) ** 2
    >>> report = check_answers(E, {"w": -0.694426})
    check_answers: 1 WRONG
    <BLANKLINE>
    name       claimed   true gradient        ratio   verdict
    ─────────────────────────────────────────────────────────
    w      -0.69442600     -0.12353446   +5.6213140   WRONG
    <BLANKLINE>
    w: the factor σ′(w·3) = 0.177894 is missing
    >>> report.ok, check_answers(E, {"w": "-0.1235"}, show=False).ok
    (False, True)

    *Precision.* A text such as ``"0.0820"``, of 3 digits or more, is right if the true gradient rounds to
    it. A float does not show its last zeros: it is right if it is the true gradient to 1e-6 relative, or
    if the true gradient rounds to it and it has 5 digits or more. An explanation has to reproduce the
    claim in the same way, but to 1e-9. ``tolerance`` stands in place of both 1e-6 and 1e-9, also for texts.

    *Updates.* With ``learning_rate`` η, claims may also be what is added to the parameters,
    -η·∂loss/∂w; these are ``right as an update``. A report has one convention: where any claim is right
    as a gradient, all are graded as gradients.

    *What is looked for*: a rounding, a sign, a constant factor (2, ½, n or 1/n for a sum of n terms, a
    learning rate), the transpose, a broadcast or unsummed array, the gradient of another parameter, a
    factor of the chain rule that is missing, used twice or taken of the wrong thing, a missing upstream
    gradient, a forgotten path or term, weights that were updated too early, matrix products in the wrong
    orientation; then each of these with a wrong sign or a constant factor besides. A search is not begun
    where so few digits were written that they would be met by accident. In a graph of thousands of
    values factors are changed in whole layers only, not one by one.

    Raises KeyError for a name that is not known, ValueError for a claim that is no number or whose shape
    none of these mistakes explains, NoGradientError for a frozen parameter or a constant loss, TypeError
    for a loss that is no Value.
    """
    if not isinstance(loss, Value):
        raise TypeError(f"check_answers() grades gradients of a Value, not of {type(loss).__name__}")
    if learning_rate is not None and not 0.0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is a positive number, not {learning_rate!r}")
    if not loss.requires_grad:
        raise NoGradientError(
            f"{describe(loss)} is a constant: it was recorded under no_grad(), detached or frozen, so that "
            "nothing takes a gradient"
        )
    case = Case(loss, user_scope() if names is None else names, learning_rate, tolerance)
    pairs = claims.items() if isinstance(claims, Mapping) else claims
    asked: list[Claim] = []
    for key, claimed in pairs:
        asked.append(claim_of(case, asked, key, claimed))
    if not asked:
        raise ValueError("check_answers() was given no claims")
    report = AnswerReport(tuple(map(graded, as_updates(asked, learning_rate) or asked)))
    if show:
        report.table().show()
    return report
