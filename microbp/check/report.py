"""What the checks found: reports of plain rows, each with a verdict; ``str(report)`` is the table."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from microbp.calls import line_of
from microbp.text import Shown, Table


class Report(Shown):
    """Rows with verdicts, each found by its name."""

    rows: tuple[Any, ...]
    #: What is said of a name that no row has.
    missing = "no gradient of {0!r} was checked"

    @property
    def counts(self) -> Counter[str]:
        """How many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    def __getitem__(self, name: str) -> Any:
        """The row of a name. KeyError says which there are."""
        for row in self.rows:
            if row[0] == name:
                return row
        raise KeyError(f"{self.missing.format(name)}; there are {', '.join(row[0] for row in self.rows)}")

    def _word(self, verdict: str) -> str:
        """A verdict as it is shown."""
        return verdict

    def _tally(self) -> str:
        told = (f"{count} {self._word(verdict)}" for verdict, count in self.counts.items())
        return ", ".join(told) or "nothing to check"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._tally()})"


class GradientRow(NamedTuple):
    """One gradient and what was measured."""

    name: str
    #: The back-propagated gradient, or the claimed one.
    claimed: float
    numerical: float
    #: How far the two may be apart by the errors of both.
    tolerance: float
    #: ``agree``, ``DISAGREE`` or ``inconclusive``.
    verdict: str
    #: The reason for a verdict that needs one.
    why: str
    #: The plain central difference, for comparison; nan where there is none.
    central: float = math.nan

    @property
    def absolute_error(self) -> float:
        """|claimed - numerical|."""
        return 0.0 if self.claimed == self.numerical else abs(self.claimed - self.numerical)

    @property
    def relative_error(self) -> float:
        """The absolute error relative to the larger of the two."""
        larger = max(abs(self.claimed), abs(self.numerical))
        return self.absolute_error / larger if larger and math.isfinite(larger) else self.absolute_error


@dataclass(frozen=True, repr=False)
class GradientReport(Report):
    """What :func:`check_gradients` found; ``str(report)`` is the table."""

    title: str
    rows: tuple[GradientRow, ...]
    notes: tuple[str, ...]
    #: What the second column is called.
    source: str = "back-propagated"

    @property
    def ok(self) -> bool:
        """Whether no gradient disagrees. What is inconclusive was not decided: see ``counts``."""
        return not self.counts["DISAGREE"]

    def table(self) -> Table:
        """The table. Where there are more than 60 rows, those that agree are only counted."""
        shown = [row for row in self.rows if len(self.rows) <= 60 or row.verdict != "agree"]
        hidden = len(self.rows) - len(shown)
        more = (f"{hidden} gradients that agree are not shown (report.rows)",) if hidden else ()
        columns = "name", f">{self.source}", ">numerical", ">central difference", ">relative", ">known to"
        lines = tuple(
            (
                row.name, row.claimed, row.numerical, row.central, f"{row.relative_error:.1e}",
                f"±{row.tolerance:.1e}", _verdict(row.verdict, row.why),
            )
            for row in shown
        )  # fmt: skip
        return Table(f"{self.title}: {self._tally()}", (*columns, "verdict"), lines, more + self.notes)


class AuditRow(NamedTuple):
    """One local derivative of one recorded operation, or a node that has changed."""

    node: str
    #: The name of the rule.
    rule: str
    #: Which operand: ``a = x``; empty where the row is about the node's number.
    operand: str
    #: The recorded local derivative; for a change the recorded number.
    recorded: float
    #: The derivative of this operation alone at its operands; for a change what these give now.
    measured: float
    #: ``fine``, ``corner``, ``WRONG RULE``, ``CHANGED`` or ``undecided``.
    verdict: str
    why: str
    site: str | None

    @property
    def ratio(self) -> str:
        """The recorded over the measured number, as a fraction if it is a simple one; else a dash.

        >>> AuditRow("y", "cube", "a = x", 18.0, 27.0, "WRONG RULE", "", None).ratio
        '2/3'
        """
        if not (self.operand and self.measured and math.isfinite(ratio := self.recorded / self.measured)):
            return "-"
        simple = Fraction(ratio).limit_denominator(12)
        near = abs(simple) <= 144 and abs(ratio - simple) <= 1e-6 * abs(ratio)
        return str(simple) if near else f"{ratio:.6g}"


class Accumulation(NamedTuple):
    """Whether the chain rule has been summed up rightly, apart from the rules."""

    ok: bool
    #: What a fresh pass shows.
    told: str
    #: What stands in ``grad``.
    grad: str


@dataclass(frozen=True, repr=False)
class AuditReport(Report):
    """What :func:`audit` found; ``str(report)`` is the table."""

    title: str
    #: A row for each local derivative, and one for each change.
    rows: tuple[AuditRow, ...]
    accumulation: Accumulation

    @property
    def ok(self) -> bool:
        """Whether no rule is wrong, nothing has changed, and the gradients are rightly summed up."""
        return not (self.counts["WRONG RULE"] or self.counts["CHANGED"]) and self.accumulation.ok

    @property
    def wrong_rules(self) -> list[str]:
        """The names of the rules that are wrong."""
        return list(dict.fromkeys(row.rule for row in self.rows if row.verdict == "WRONG RULE"))

    def table(self) -> Table:
        """The table of the rows that are not fine; of many alike, the first five."""
        alike: dict[str, list[AuditRow]] = {}
        for row in (row for row in self.rows if row.verdict != "fine"):
            argument = row.operand.replace("[", " ").partition(" ")[0]
            alike.setdefault(f"{row.rule} {argument}".rstrip() + f", {row.verdict}", []).append(row)
        shown = [row for rows in alike.values() for row in rows[:5]]
        wrong, summed, lost = ", ".join(self.wrong_rules), self.accumulation, self.counts["CHANGED"]
        more = ((kind, rows[5:]) for kind, rows in alike.items() if rows[5:])
        notes = [f"{len(rows)} more like it: {kind} (report.rows)" for kind, rows in more]
        notes.append(f"rules: WRONG: {wrong}" if wrong else "rules: none is wrong")
        notes += ["numbers: CHANGED since they were recorded; compute the graph again"] * bool(lost)
        notes += [f"accumulation: {'' if summed.ok else 'WRONG: '}{summed.told}", f"grad: {summed.grad}"]
        if any(row.site is None for row in shown):
            notes.append("lines: call microbp.record_sites() before computing to see them")
        lines = tuple(
            (
                row.node, row.rule, row.operand, row.recorded, row.measured, row.ratio,
                _verdict(row.verdict, row.why) + (f" [{line_of(row.site)}]" if row.site else ""),
            )
            for row in shown
        )  # fmt: skip
        columns = "node", "rule", "operand", ">recorded", ">measured", ">ratio", "verdict"
        return Table(f"{self.title}: {self._tally()}", columns, lines, tuple(notes))


def _verdict(verdict: str, why: str) -> str:
    return f"{verdict}: {why}" if why else verdict
