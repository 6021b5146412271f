"""What ``check_answers`` returns: rows of claims with their verdicts, and the mistakes behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.arrays import Numbers, element, fits_onto, shape_of
from microbp.tables import Cell, Table

RIGHT, WRONG, AS_UPDATE = "right", "WRONG", "right as an update"


class Cause(NamedTuple):
    """A mistake that reproduces a claim."""

    #: What is wrong, in words and numbers.
    text: str
    #: The gradient that comes out when the mistake is made: it agrees with the claim.
    gives: Numbers


class AnswerRow(NamedTuple):
    """One claim and its verdict."""

    name: str
    claimed: Numbers
    true: Numbers
    #: claimed / true; None where true is 0 or the shapes do not fit.
    ratio: Numbers
    #: ``right``, ``WRONG`` or ``right as an update``.
    verdict: str
    #: The verdict in words; empty where there is nothing to say.
    explanation: str
    #: The mistakes that reproduce a wrong claim, the simplest first.
    causes: tuple[Cause, ...]
    #: Whether each number is right by itself; None where the shapes do not fit.
    agrees: Numbers

    def lines(self) -> Iterator[tuple[Cell, ...]]:
        """The lines of the table: one for each element of an array."""
        claimed, true = np.array(self.claimed), np.array(self.true)
        if not fits_onto(claimed.shape, true.shape):
            yield self.name, shape_of(claimed), shape_of(true), None, self.verdict
            return
        claimed, ratio = np.broadcast_to(claimed, true.shape), np.array(self.ratio, dtype=object)
        agrees = np.full(true.shape, False) if self.agrees is None else np.array(self.agrees)
        for place in np.ndindex(true.shape):
            verdict = RIGHT if self.verdict == WRONG and agrees[place] else self.verdict
            quotient: Any = ratio[place]
            name = f"{self.name}{element(place)}"
            yield name, float(claimed[place]), float(true[place]), quotient, verdict


@dataclass(frozen=True, repr=False)
class AnswerReport:
    """What :func:`check_answers` found; ``str(report)`` is the table."""

    rows: tuple[AnswerRow, ...]

    @property
    def ok(self) -> bool:
        """Whether no claim is wrong."""
        return not self.counts[WRONG]

    @property
    def counts(self) -> Counter[str]:
        """How many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    def __getitem__(self, name: str) -> AnswerRow:
        """The row of a name. KeyError says which there are."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"nothing was claimed for {name!r}; there are {', '.join(r.name for r in self.rows)}")

    def __repr__(self) -> str:
        return f"AnswerReport({self._tally()})"

    def __str__(self) -> str:
        return str(self.table())

    def _tally(self) -> str:
        return ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())

    def table(self) -> Table:
        """The table: a line for each number claimed, and the explanations below."""
        lines = [line for row in self.rows for line in row.lines()]
        notes = [f"{row.name}: {row.explanation}" for row in self.rows if row.explanation]
        return Table(
            f"check_answers: {self._tally()}",
            ("name", ">claimed", ">true gradient", ">ratio", "verdict"),
            tuple(lines),
            tuple(line for note in notes for line in wrap(note, 100, subsequent_indent="    ")),
        )
