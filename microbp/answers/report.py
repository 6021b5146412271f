"""What ``check_answers`` returns: rows of claims with their verdicts, and the mistakes behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.words import LANGUAGES, VERDICTS, element, said, shape_of
from microbp.check.report import Report
from microbp.safe import readable, shown
from microbp.tables import Cell, Table

RIGHT, WRONG, AS_UPDATE, BLANK, UNREADABLE = VERDICTS

#: A number, or numbers in nested tuples in the shape of their array.
Numbers = Any


class Cause(NamedTuple):
    """A mistake that reproduces a claim."""

    #: What is wrong, in words and numbers.
    text: str
    #: The gradient that comes out when the mistake is made: it agrees with the claim.
    gives: Numbers


class AnswerRow(NamedTuple):
    """One claim and its verdict."""

    name: str
    #: The numbers claimed; None where nothing was, or nothing that is a number.
    claimed: Numbers
    true: Numbers
    #: claimed / true; None where true is 0 or the shapes do not fit.
    ratio: Numbers
    #: ``right``, ``WRONG``, ``right as an update``, ``no answer`` or ``unreadable``.
    verdict: str
    #: The verdict in words; empty where there is nothing to say.
    explanation: str
    #: The mistakes that reproduce a wrong claim, the simplest first.
    causes: tuple[Cause, ...]
    #: Whether each number is right by itself; None where the shapes do not fit.
    agrees: Numbers
    #: The claim as it was written: texts as they are.
    written: Any

    def lines(self) -> Iterator[tuple[Cell, ...]]:
        """The lines of the table: one for each element of an array, its verdict last."""
        true, held = np.array(self.true), (self.written, self.claimed, self.ratio, self.agrees)
        try:
            columns = [np.broadcast_to(np.array(each, dtype=object), true.shape) for each in held]
        except ValueError:
            written = shape_of(np.array(self.written, dtype=object))
            yield self.name, written, shape_of(true), None, self.verdict
            return
        for place in np.ndindex(true.shape):
            written, claimed, ratio, right = (each.item(*place) for each in columns)
            verdict = WRONG if self.verdict in (BLANK, UNREADABLE) else self.verdict
            verdict = RIGHT if verdict == WRONG and right else verdict
            if claimed is None:
                verdict = BLANK if written is None else UNREADABLE
            yield f"{self.name}{element(place)}", written, float(true[place]), ratio, verdict


@dataclass(frozen=True, repr=False)
class AnswerReport(Report):
    """What :func:`check_answers` found; ``str(report)`` is the table."""

    rows: tuple[AnswerRow, ...]
    language: str = "en"

    @property
    def ok(self) -> bool:
        """Whether every claim is right."""
        return all(row.verdict in (RIGHT, AS_UPDATE) for row in self.rows)

    def __getitem__(self, name: str) -> AnswerRow:
        """The row of a name. KeyError says which there are."""
        row: AnswerRow = self._row(name, f"nothing was claimed for {name!r}")
        return row

    def _word(self, verdict: str) -> str:
        return VERDICTS[verdict][LANGUAGES.index(self.language)]

    def table(self) -> Table:
        """The table: a line for each number claimed, and below each finding once, with the names it is of."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            found.setdefault(row.explanation, []).append(shown(row.name))
        notes = [f"{', '.join(names)}: {explanation}" for explanation, names in found.items() if explanation]
        columns = ("name", "claimed", "true", "the ratio", "verdict")
        heads = [said(each).text(self.language) for each in columns]
        return Table(
            f"check_answers: {self._tally()}",
            (heads[0], *(f">{each}" for each in heads[1:-1]), heads[-1]),
            tuple((*line[:-1], self._word(str(line[-1]))) for row in self.rows for line in row.lines()),
            tuple(line for note in notes for line in wrap(readable(note), 100, subsequent_indent="    ")),
        )
