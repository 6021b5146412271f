"""``Report``: what a demonstration shows, kept as data until it is printed or written.

Whatever is compared passes through :meth:`Report.judge` or :meth:`Report.hold`, which keep the
verdict; a report is ``ok`` when each comparison came out as it must. A mistake of the source is a
comparison that must disagree.
"""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import IO, Any

import microbp
from microbp.answers import AnswerReport
from microbp.check import GradientReport
from microbp.tables import Table, number

__all__ = ["Comparison", "Report", "agrees"]

#: Two computations of one number agree to this relative difference: sums may be ordered
#: differently, and the last bits of exp() differ between systems.
ROUNDING = 1e-10
#: The width of paragraphs.
COLUMNS = 80


def agrees(known: str | float, ours: float) -> bool:
    """Whether ``ours`` is ``known``: to the digits printed if it is a text, else but for rounding.

    >>> agrees("0.0821670", 0.08216704056), agrees("0.0821671", 0.08216704056)
    (True, False)
    >>> agrees(0.0821670, 0.08216704056), agrees(0.1 + 0.2, 0.3), agrees("0.1", float("nan"))
    (False, True, False)
    """
    if not math.isfinite(ours):
        return False
    digits = Decimal(known)
    printed = int(digits.as_tuple().exponent) if isinstance(known, str) else -400
    allowed = max(Decimal(5).scaleb(printed - 1), abs(digits) * Decimal(ROUNDING))
    return abs(Decimal(ours) - digits) <= allowed


@dataclass(frozen=True)
class Comparison:
    """One thing that was compared, and how it came out."""

    name: str
    #: Who says what ``known`` says.
    source: str
    #: A text where it was printed, a number where it was computed.
    known: str | float
    ours: str | float
    agree: bool
    #: False for a mistake of the source, which must show.
    must_agree: bool = True

    @property
    def ok(self) -> bool:
        """Whether it came out as it must."""
        return self.agree == self.must_agree

    @property
    def verdict(self) -> str:
        """``agree`` or ``DISAGREE``, and whether that was to be expected where it is a mistake."""
        if self.must_agree:
            return "agree" if self.agree else "DISAGREE"
        return "agree, UNEXPECTED" if self.agree else "DISAGREE, expected"


@dataclass
class Report:
    """Texts, tables and comparisons in the order in which they were added."""

    name: str
    title: str
    blocks: list[str | Table] = field(default_factory=list, repr=False)
    comparisons: list[Comparison] = field(default_factory=list, repr=False)
    #: Further numbers for the machine-readable file.
    numbers: dict[str, Any] = field(default_factory=dict, repr=False)
    #: The graph that a picture of the tutorial shows, if it has one.
    graph: microbp.Graph | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        title = f"{self.name}. {self.title}"
        self.blocks.append(f"{title}\n{'═' * len(title)}")

    # --------------------------------------------------------------------------------- filling it
    def heading(self, text: str) -> None:
        """Begin a section."""
        self.blocks.append(f"\n{text}\n{'─' * len(text)}")

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append(textwrap.fill(" ".join(text.split()), COLUMNS))

    def code(self, text: str) -> None:
        """Add lines as they are, indented."""
        self.blocks.append(textwrap.indent(textwrap.dedent(text).strip("\n"), "    "))

    def table(self, title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Add a table of texts."""
        self.blocks.append(Table(title, tuple(columns), tuple(map(tuple, rows))))

    def hold(self, comparison: Comparison) -> Comparison:
        """Keep a comparison, which the caller shows, and return it."""
        self.comparisons.append(comparison)
        return comparison

    def judge(
        self,
        source: str,
        rows: Iterable[tuple[str, str | float, float]],
        mistakes: Collection[str] = (),
    ) -> list[Comparison]:
        """Compare numbers (name, known, ours) and keep the outcome; ``mistakes`` must disagree."""
        return [
            self.hold(Comparison(name, source, known, ours, agrees(known, ours), name not in mistakes))
            for name, known, ours in rows
        ]

    def compare(
        self,
        title: str,
        source: str,
        rows: Iterable[tuple[str, str | float, float]],
        mistakes: Collection[str] = (),
    ) -> None:
        """Judge numbers and show them in a table."""
        made = self.judge(source, rows, mistakes)
        columns = (
            [each.name for each in made],
            aligned(known_text(each) for each in made),
            aligned(our_text(each) for each in made),
            [_difference(each) for each in made],
            [each.verdict for each in made],
        )
        header = ("", source, "microbp", ">difference", "verdict")
        self.table(title, header, zip(*columns, strict=True))

    # ------------------------------------------------------------------------ what microbp checks
    def gradients(self, checked: GradientReport) -> None:
        """Show a numerical check of gradients, and keep each as a comparison that must agree."""
        for row in checked.rows:
            agree = row.verdict == "agree"
            self.hold(Comparison(f"∂/∂{row.name}", "numerical", row.numerical, row.claimed, agree))
        self.table(
            "Back-propagated gradients, and numerical ones",
            ("", ">numerical", ">microbp", ">relative error", "verdict"),
            [
                (row.name, number(row.numerical), number(row.claimed), f"{row.relative_error:.1e}",
                 f"{row.verdict}: {row.why}" if row.why else row.verdict)
                for row in checked.rows
            ],
        )  # fmt: skip

    def operations(self, loss: microbp.Value) -> None:
        """Check the rule of each operation behind ``loss``, and each recorded operation alone."""
        graph = microbp.Graph(loss)
        rules = list(dict.fromkeys(node.rule for node in graph if node.rule is not None))
        rows = []
        for rule in rules:
            checked = microbp.check_rule(rule)
            error = max((row.error for row in checked.rows), default=math.nan)
            worst = f"{error:.1e}" if error else "0"
            told = f"off by {worst}"
            made = self.hold(Comparison(f"rule {rule}", "complex step", "", told, checked.ok))
            rows.append((str(rule), str(checked.points), worst, made.verdict))
        columns = ("operation", ">points", ">largest relative error", "verdict")
        self.table("The rule of each operation, and the complex step", columns, rows)
        audited = microbp.audit(loss, names={}, show=False)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in audited.counts.items())
        made = self.hold(Comparison("audit of the graph", "complex step", "", counts, audited.ok))
        self.say(
            f"Each recorded local derivative alone, and how they are summed up (microbp.audit): "
            f"{counts}; {audited.accumulation.told}: {made.verdict}."
        )

    def claims(self, answers: AnswerReport, mistakes: Collection[str]) -> None:
        """Show the grading of claims; those in ``mistakes`` must be wrong, for a reason found."""
        for row in answers.rows:
            right = row.name not in mistakes
            agree = row.verdict != "WRONG"
            self.hold(Comparison(row.name, "claimed", "", row.verdict, agree, right))
            if not right:
                name, why = f"mistake in {row.name}", row.explanation
                self.hold(Comparison(name, "located", "", why, bool(row.causes)))
        self.blocks.append(answers.table())

    def explanation(self, told: microbp.Explanation) -> None:
        """Show how a gradient comes about; that its numbers agree is a comparison that must come out."""
        self.hold(Comparison(told.title.text, "the engine", "", "computed again", told.ok))
        self.code(str(told))

    # --------------------------------------------------------------------------------- reading it
    @property
    def ok(self) -> bool:
        """Whether every comparison came out as it must."""
        return all(each.ok for each in self.comparisons)

    @property
    def verdict(self) -> str:
        """The outcome on one line."""
        total = len(self.comparisons)
        wrong = sum(not each.ok for each in self.comparisons)
        if wrong:
            return f"DISAGREE: {wrong} of {total} comparisons did not come out as they must"
        mistakes = sum(not each.must_agree for each in self.comparisons)
        proved = f"; {mistakes} show where a source is wrong" if mistakes else ""
        return f"agree: {total - mistakes} of {total} comparisons agree{proved}"

    def _ending(self) -> Table:
        wrong = [each for each in self.comparisons if not each.ok]
        rows = tuple((e.name, e.source, str(e.known), str(e.ours), e.verdict) for e in wrong)
        columns = ("", "source", "known", "microbp", "verdict")
        return Table("Self-check", columns, rows, (self.verdict,))

    def __str__(self) -> str:
        """The whole report as text, without colour."""
        return "\n\n".join(str(each) for each in [*self.blocks, self._ending()])

    def show(self, file: IO[str] | None = None) -> None:
        """Print it, on ``sys.stdout`` if no file is given; verdicts in colour on a terminal."""
        for each in [*self.blocks, self._ending()]:
            if isinstance(each, Table):
                each.show(file)
            else:
                write(each, file)
            write("", file)

    def as_json(self) -> str:
        """Everything that was compared, and further numbers, for other programs."""
        whole = {
            "tutorial": self.name,
            "title": self.title,
            "microbp": microbp.__version__,
            "ok": self.ok,
            "comparisons": [asdict(each) for each in self.comparisons],
            "numbers": self.numbers,
        }
        return json.dumps(whole, indent=1, ensure_ascii=False)


def write(text: str, file: IO[str] | None = None) -> None:
    """Print a text; a character that the file's encoding lacks comes out as ``?``."""
    file = sys.stdout if file is None else file
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=file)


def known_text(each: Comparison) -> str:
    """The known number as it was printed; to 9 digits if it was computed."""
    return each.known if isinstance(each.known, str) else f"{each.known:#.9g}"


def our_text(each: Comparison) -> str:
    """Our number in the notation of the known one: with two digits more where that was printed."""
    if not isinstance(each.known, str):
        return f"{each.ours:#.9g}"
    mantissa, _, exponent = each.known.partition("e")
    if len(mantissa.lstrip("-0.").replace(".", "")) > 12:
        return repr(each.ours)
    return f"{each.ours:.{len(mantissa.partition('.')[2]) + 2}{'e' if exponent else 'f'}}"


def aligned(numbers: Iterable[str]) -> list[str]:
    """Texts of numbers, padded so that their decimal points stand below each other.

    >>> aligned(["0.5", "-12.25", "3e-07"])
    ['  0.5', '-12.25', '  3e-07']
    """
    texts = list(numbers)
    before = [len(re.split("[.e]", each)[0]) for each in texts]
    return [" " * (max(before) - width) + each for each, width in zip(texts, before, strict=True)]


def _difference(each: Comparison) -> str:
    difference = float(each.ours) - float(each.known)
    return f"{difference:+.1e}" if difference else "0"
