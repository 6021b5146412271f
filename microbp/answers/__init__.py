"""``check_answers``: grades gradients that a person worked out, and looks for the mistake in a wrong one.

A mistake is looked for by making it: what a person does wrong is a change of some local derivatives, or of
the gradient as a whole; all are made at once, and only what reproduces the claimed numbers is reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim, whole_decimals
from microbp.answers.search import Causes, explained
from microbp.answers.structure import Structure
from microbp.answers.words import Told, places_of, say, shape_of
from microbp.calls import user_scope
from microbp.errors import NoGradientError
from microbp.sweeps import Flags
from microbp.text import Cell, Report, Table, readable
from microbp.text import language as spelled
from microbp.text import shown as cut
from microbp.value import Value, describe

__all__ = ["AnswerReport", "AnswerRow", "Cause", "check_answers"]

RIGHT, WRONG, AS_UPDATE = "right", "WRONG", "right as an update"
BLANK, UNREADABLE = "no answer", "unreadable"


class Cause(NamedTuple):
    """A mistake that reproduces a claim."""

    #: What is wrong, in words and numbers.
    text: str
    #: The gradient that comes out when the mistake is made: it agrees with the claim.
    gives: Any


class AnswerRow(NamedTuple):
    """One claim and its verdict; the numbers of an array are nested tuples in its shape."""

    name: str
    #: The numbers claimed; None where nothing was, or nothing that is a number.
    claimed: Any
    true: Any
    #: claimed / true; None where true is 0 or the shapes do not fit.
    ratio: Any
    #: ``right``, ``WRONG``, ``right as an update``, ``no answer`` or ``unreadable``.
    verdict: str
    #: The verdict in words; empty where there is nothing to say.
    explanation: str
    #: The mistakes that reproduce a wrong claim, the simplest first.
    causes: tuple[Cause, ...]
    #: Whether each number is right by itself; None where the shapes do not fit.
    agrees: Any
    #: The claim as it was written: texts as they are.
    written: Any
    #: The names of the elements, in order.
    names: tuple[str, ...]

    def lines(self) -> Iterator[tuple[Cell, ...]]:
        """The lines of the table: one for each element of an array, its verdict last."""
        true, held = np.array(self.true), (self.written, self.claimed, self.ratio, self.agrees)
        try:
            columns = [np.broadcast_to(np.array(each, dtype=object), true.shape).flat for each in held]
        except ValueError:
            written = shape_of(np.array(self.written, dtype=object))
            yield self.name, written, shape_of(true), None, self.verdict
            return
        for name, number, written, claimed, ratio, right in zip(self.names, true.flat, *columns, strict=True):
            verdict = self.verdict if self.verdict in (RIGHT, AS_UPDATE) else RIGHT if right else WRONG
            if claimed is None:
                verdict = BLANK if written is None else UNREADABLE
            yield name, written, float(number), ratio, verdict


@dataclass(frozen=True, repr=False)
class AnswerReport(Report):
    """What :func:`check_answers` found; ``str(report)`` is the table."""

    rows: tuple[AnswerRow, ...]
    language: str = "en"
    missing = "nothing was claimed for {0!r}"

    @property
    def ok(self) -> bool:
        """Whether every claim is right."""
        return all(row.verdict in (RIGHT, AS_UPDATE) for row in self.rows)

    def _word(self, verdict: str) -> str:
        return say(self.language, verdict)

    def table(self) -> Table:
        """The table: a line for each number claimed, and below each finding once, with the names it is of."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            found.setdefault(row.explanation, []).append(cut(row.name))
        notes = [f"{', '.join(names)}: {explanation}" for explanation, names in found.items() if explanation]
        return Table(
            f"check_answers: {self._tally()}",
            tuple(say(self.language, "heads").split("|")),
            tuple((*line[:-1], self._word(str(line[-1]))) for row in self.rows for line in row.lines()),
            tuple(line for note in notes for line in wrap(readable(note), 100, subsequent_indent="    ")),
        )


def check_answers(
    loss: Value,
    claims: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    *,
    show: bool = True,
    names: Mapping[str, Any] | None = None,
    learning_rate: float | None = None,
    tolerance: float | None = None,
    decimals: int | None = None,
    language: str = "en",
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
    it; it may be written with a decimal comma, as ``"8.2e-2"`` or ``"8.2×10^-2"``, or be a fraction like
    ``"1/3"``. A float does not show its last zeros: it is right if it is the true gradient to 1e-6
    relative, or if the true gradient rounds to it and it has 5 digits or more. An explanation has to
    reproduce the claim in the same way, but to 1e-9. ``decimals=4`` says that all numbers were rounded to
    four decimals, whatever their digits; ``tolerance``, below 1, stands in place of both 1e-6 and 1e-9,
    also for texts.

    *No answer.* A claim of ``""`` or None is ``no answer``, a text that is no number ``unreadable``; the
    other numbers of an array are graded. The report is ``ok`` if every claim is right.

    *Updates.* With ``learning_rate`` η, claims may also be what is added to the parameters,
    -η·∂loss/∂w; these are ``right as an update``. A report has one convention: where any claim is right
    as a gradient, all are graded as gradients.

    *What is looked for*: digits rounded or cut off, a sign, a constant factor (2, ½, n or 1/n for a sum of
    n terms, a learning rate), the transpose, rows in another order, a broadcast or unsummed array, the
    gradient of another parameter, a factor of the chain rule that is missing, used twice or taken of the
    wrong thing, a missing upstream gradient, a forgotten path, term, use or time step, something taken as a
    constant, weights that were updated too early, matrix products in the wrong orientation; each of these
    with a wrong sign or a constant factor besides, two of them at once, and any constant factor of an array.
    Nothing is looked for where so few digits were written that one in thirty numbers as short would be
    explained.

    ``language`` is ``"en"`` or ``"zh"``, in any of the ways in which these are written.

    Raises KeyError for a name that is not known, ValueError for a claim that is no number or text, or whose
    shape none of these mistakes explains, NoGradientError for a frozen parameter or a constant loss,
    TypeError for a loss that is no Value.
    """
    if not isinstance(loss, Value):
        raise TypeError(f"check_answers() grades gradients of a Value, not of {type(loss).__name__}")
    if learning_rate is not None and not 0.0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is a positive number, not {learning_rate!r}")
    if tolerance is not None and not 0.0 <= tolerance < 1.0:
        raise ValueError(f"tolerance is a relative error, 0 or more and below 1, not {tolerance!r}")
    if decimals is not None:
        decimals = whole_decimals(decimals)
    if not loss.requires_grad:
        raise NoGradientError(
            f"{describe(loss)} is a constant: it was recorded under no_grad(), detached or frozen, so that "
            "nothing takes a gradient"
        )
    net = Structure(loss, user_scope() if names is None else names, spelled(language))
    pairs = claims.items() if isinstance(claims, Mapping) else claims
    asked = [Claim(net, key, claimed, learning_rate, tolerance, decimals) for key, claimed in pairs]
    if not asked:
        raise ValueError("check_answers() was given no claims")
    for scale in (1.0,) if learning_rate is None else (1.0, -learning_rate, 1.0):
        if sum(each.grade(scale) for each in asked):
            break
    return AnswerReport(tuple(_graded(each, asked) for each in asked), net.language)._presented(show)


def _graded(claim: Claim, together: Sequence[Claim]) -> AnswerRow:
    """The row of a claim, with what explains it if it is wrong; ValueError for a senseless shape."""
    say, answered, causes, told = claim.net.say, claim.answered, Causes(), list[Told]()
    shape, onto = claim.source.shape, claim.true.shape
    verdict = RIGHT if claim.scale == 1.0 else AS_UPDATE
    if claim.wrong.any() or (claim.agrees is None and answered.all()):
        verdict = WRONG
        if shape != onto:
            shapes = {"claimed": shape_of(claim.source), "true": shape_of(claim.true)}
            told.append(say("shapes", name=claim.name, **shapes))
        if claim.scale != 1.0:
            told.append(say("stands for", rate=-claim.scale, gradient=claim.claimed))
        causes, how, fields = explained(claim, together)
        if not causes and not claim.fits and claim.source.size != claim.true.size:
            raise ValueError(f"the claim for {claim.name} has the shape {shape}, but {claim.name} has {onto}")
        texts = say("or")().join(cause() for cause, _ in causes)
        cause = say("mistakes", n=len(causes), texts=texts) if len(causes) > 1 else texts
        found = say(how, cause=cause, at=_at(claim, claim.wrong), **fields)
        unsure = how in ("none", "idle") and claim.wrong & ~claim.read["rounded"] & (claim.read["half"] > 0.0)
        told.append(say("unrounded", told=found) if np.any(unsure) else found)
    elif verdict == AS_UPDATE and answered.all():
        told.append(say("update", rate=-claim.scale))
    if not answered.all():
        unread = [cut(repr(each)) for each in claim.source[~answered] if each is not None]
        told.append(say("unread", text=unread) if unread else say("blank", at=_at(claim, ~answered)))
        verdict = verdict if verdict == WRONG else UNREADABLE if unread else BLANK
    return AnswerRow(
        claim.name,
        _plain(np.where(answered, claim.read["value"].astype(object), np.array(None, dtype=object))),
        _plain(claim.true),
        _plain(claim.ratio),
        verdict,
        say("then")().join(each() for each in told),
        tuple(Cause(cause(), _plain(gives)) for cause, gives in causes),
        None if claim.agrees is None else _plain(claim.agrees),
        _plain(claim.source),
        tuple(claim.names),
    )


def _plain(array: Any) -> Any:
    """An array as nested tuples."""
    listed = array.tolist() if isinstance(array, np.ndarray | np.generic) else array
    return tuple(map(_plain, listed)) if isinstance(listed, list) else listed


def _at(claim: Claim, flags: Flags) -> Told | str:
    return claim.net.say("place", places=places_of(flags)) if flags.shape and not flags.all() else ""
