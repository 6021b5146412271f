"""What a demonstration is: a :class:`Tutorial` is data, a :class:`Report` what comes of running it.

A tutorial is a document in which figures have places, and the places say what is compared with which source
(``t1.md``). The figures are computed by the function that it names (in ``t1.py``). The report keeps the
verdict: it is ``ok`` when each comparison came out as it must. A mistake of the source is a comparison that
must disagree.
"""

from __future__ import annotations

import json
import math
import operator
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import microbp
from microbp.answers import AnswerReport
from microbp.check import GradientReport
from microbp.text import Table

__all__ = [
    "Comparison", "Mistake", "Report", "Tutorial", "agrees", "by_array", "elements", "relative_difference",
]  # fmt: skip

#: Two computations of one number agree to this relative difference, of an array to the next: sums may be
#: ordered differently, and the last bits of exp() differ between systems.
ROUNDING, OF_ARRAYS = 1e-10, 1e-12
#: A known number may be a bound.
BOUNDS: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "<": operator.lt}
#: A place of a document: a figure by its name, how it is shown where it is compared with a source, and, in
#: lines below, what that source says.
PLACE = re.compile(
    r"^\{(?P<name>\w+)\}(?: (?P<source>[^:\n]+?)(?: to (?P<tolerance>[\d.e-]+))?: (?P<title>.+))?"
    r"(?P<said>(?:\n    .+)*)$",
    re.MULTILINE,
)
#: What a source says of one number; of a wrong one it says what the number is not.
SAID = re.compile(r"(?P<name>[^;]+) (?P<sign>[=≠]) ?(?P<known>[^;]*)")
#: The width of paragraphs.
COLUMNS = 80


class Tutorial(NamedTuple):
    """What a tutorial is about, and which function computes its figures.

    ``figures()`` returns them by name; those that are numbers, or dicts of numbers, also stand in the
    machine-readable file. By further names it may return ``graph``, of which a picture is made, and
    ``skipped``, why the figures from some place on are missing. ``computed`` is the sentence for the page.
    """

    name: str
    title: str
    computed: str
    figures: Callable[[], Mapping[str, Any]]

    def reproduce(self) -> Report:
        """Compute the figures, compare them where the document says so, and put the report together."""
        report = Report(self.name, self.title, self.figures())
        report.computed = self.computed.format_map(report.figures)
        text = Path(__file__).with_name(f"{self.name.lower()}.md").read_text(encoding="utf-8")
        try:
            for part in text.strip().split("\n\n"):
                report.add(part)
        except KeyError:
            if not report.skipped:
                raise
            report.blocks.append(f"SKIPPED: {report.skipped}")
        return report


def elements(name: str, array: Any) -> dict[str, float]:
    """The numbers of an array by their names.

    >>> elements("W", [[1.0, 2.5]])
    {'W[0,0]': 1.0, 'W[0,1]': 2.5}
    """
    return {f"{name}[{','.join(map(str, at))}]": float(x) for at, x in np.ndenumerate(np.asarray(array))}


def by_array(checked: GradientReport, arrays: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Rows of a numerical check of gradients, array by array as its own rows stand."""
    left = iter(checked.rows)
    held = ((name, [*islice(left, np.size(array))]) for name, array in arrays.items())
    return [(f"∂/∂{name}", [r.numerical for r in rows], [r.claimed for r in rows]) for name, rows in held]


# ------------------------------------------------------------------------------------- comparing
def agrees(known: str | float, ours: str | float) -> bool:
    """Whether ``ours`` is ``known``: to the digits printed if it is a text, else but for rounding.

    >>> agrees("0.0821670", 0.08216704056), agrees("0.0821671", 0.08216704056)
    (True, False)
    >>> agrees(0.0821670, 0.08216704056), agrees(0.1 + 0.2, 0.3), agrees("0.1", float("nan"))
    (False, True, False)
    >>> agrees("≥ 0.95", 0.96), agrees("< 16", 16), agrees("it runs", "an error")
    (True, False, False)
    """
    if isinstance(ours, str):
        return known == ours
    if isinstance(known, str) and known[0] in BOUNDS:
        return BOUNDS[known[0]](ours, float(known[2:]))
    if not math.isfinite(ours):
        return False
    digits = Decimal(known)
    printed = int(digits.as_tuple().exponent) if isinstance(known, str) else -400
    allowed = max(Decimal(5).scaleb(printed - 1), abs(digits) * Decimal(ROUNDING))
    return abs(Decimal(ours) - digits) <= allowed


def relative_difference(known: Any, ours: Any) -> float:
    """The largest difference of two arrays, relative to the largest number in either.

    >>> relative_difference([1.0, 4.0], [1.0, 4.5])
    0.1111111111111111
    >>> relative_difference([0.0], [0.0]), relative_difference([1.0], [1.0, 1.0])
    (0.0, inf)
    """
    known, ours = np.asarray(known, dtype=float), np.asarray(ours, dtype=float)
    if known.shape != ours.shape:
        return math.inf
    apart = float(np.max(np.abs(ours - known)))
    return apart / max(float(np.max(np.abs(known))), float(np.max(np.abs(ours)))) if apart else 0.0


@dataclass(frozen=True)
class Comparison:
    """One thing that was compared, and how it came out."""

    name: str
    #: Who says what ``known`` says.
    source: str
    #: A text where it was printed or is a bound, a number where it was computed.
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

    @property
    def known_text(self) -> str:
        """The known number as it was printed; to 9 digits if it was computed."""
        return self.known if isinstance(self.known, str) else f"{self.known:#.9g}"

    @property
    def our_text(self) -> str:
        """Our number in the notation of the known one: with two digits more where that was printed."""
        if isinstance(self.ours, str):
            return self.ours
        if not isinstance(self.known, str):
            return f"{self.ours:#.9g}"
        mantissa, _, exponent = self.known.partition("e")
        if len(mantissa.lstrip("-0.").replace(".", "")) > 12 or isinstance(self.ours, int):
            return repr(self.ours)
        return f"{self.ours:.{len(mantissa.partition('.')[2]) + 2}{'e' if exponent else 'f'}}"

    @property
    def difference(self) -> str:
        """Ours less the known number, if it is one."""
        if isinstance(self.ours, str) or str(self.known)[0] in BOUNDS:
            return ""
        apart = float(self.ours) - float(self.known)
        return f"{apart:+.1e}" if apart else "0"


class Mistake(NamedTuple):
    """A mistake of a source: in a sentence, and the comparisons that must disagree because of it."""

    told: str
    comparisons: tuple[Comparison, ...]


@dataclass
class Report:
    """Texts, tables and comparisons; the methods that compare return the block that shows it."""

    name: str
    title: str
    figures: Mapping[str, Any] = field(default_factory=dict, repr=False)
    blocks: list[str | Table] = field(default_factory=list, repr=False)
    comparisons: list[Comparison] = field(default_factory=list, repr=False)
    #: What the source has wrong.
    mistakes: list[Mistake] = field(default_factory=list, repr=False)
    #: What was computed, in a sentence.
    computed: str = ""

    def __post_init__(self) -> None:
        title = f"{self.name}. {self.title}"
        self.blocks.append(f"{title}\n{'═' * len(title)}")

    @property
    def graph(self) -> microbp.Graph | None:
        """The graph that a picture of the tutorial shows, if it has one."""
        return self.figures.get("graph")

    @property
    def skipped(self) -> str:
        """What had to be left out, and why."""
        return str(self.figures.get("skipped", ""))

    @property
    def numbers(self) -> dict[str, Any]:
        """The figures that are numbers, or dicts of numbers."""
        return {name: each for name, each in self.figures.items() if isinstance(each, int | float | dict)}

    def add(self, part: str) -> None:
        """A part of a document in Markdown: a heading, a paragraph, lines as they are (indented), or places.

        A line ``{name} source: title`` stands for the figure of that name, compared with that source to the
        digits printed, or ``{name} source to 1e-10: title``; a line ``{name}`` for one that says how it is to
        be shown. Indented lines below a place say what the source has: ``o1 = 0.75; o2 = 0.77``, and
        ``o2 ≠ 0.78`` where it is wrong, ``o2 ≠`` if the figure brings its own. A part ``! …`` tells why it
        is, for the page. In titles, headings and paragraphs names stand as in ``str.format``.
        """
        places = [*PLACE.finditer(part)]
        if part.startswith("! "):
            wrong = [each for each in self.comparisons if not each.must_agree]
            told = sum(len(each.comparisons) for each in self.mistakes)
            assert wrong[told:], f"no comparison above shows it: {part}"
            self.mistakes.append(Mistake(" ".join(part[2:].split()), tuple(wrong[told:])))
        elif part.startswith("    "):
            self.blocks.append(part)
        elif part.startswith("# "):
            title = part[2:].format_map(self.figures)
            self.blocks.append(f"\n{title}\n{'─' * len(title)}")
        elif "\n".join(place[0] for place in places) != part:
            self.blocks.append(textwrap.fill(" ".join(part.format_map(self.figures).split()), COLUMNS))
        else:
            self.blocks += [block for place in places for block in self._placed(**place.groupdict())]

    def _placed(
        self, name: str, source: str, tolerance: str | None, title: str | None, said: str
    ) -> Iterable[str | Table]:
        """The blocks of one figure, by what it is; where it is compared, the comparisons are held."""
        found = [*SAID.finditer(" ".join(said.replace("\n", ";").split()))]
        known = {each["name"].strip(): each["known"] for each in found}
        wrong = [each["name"].strip() for each in found if each["sign"] == "≠"]
        figure = self.figures[name]
        if title:
            if isinstance(figure, dict):
                figure = [(each, text, figure[each]) for each, text in known.items()]
            title = title.format_map(self.figures)
            return [self.compare(title, source, figure, float(tolerance or OF_ARRAYS), wrong)]
        match figure:
            case microbp.Value() as loss:
                return self.operations(loss)
            case microbp.Explanation() as told:
                self.hold(told.title.text, "the engine", "", "computed again", told.ok)
                return [textwrap.indent(str(told), "    ")]
            case AnswerReport() as answers:
                return [self.claims(answers, wrong)]
            case GradientReport() as checked:
                return [self.gradients(checked)]
            case block:
                return [block]

    def hold(
        self, name: str, source: str, known: Any, ours: Any, agree: bool, wrong: Collection[str] = ()
    ) -> Comparison:
        """Keep a comparison; it must disagree if its name is among those that the source has wrong."""
        self.comparisons.append(Comparison(name, source, known, ours, agree, name not in wrong))
        return self.comparisons[-1]

    def compare(
        self,
        title: str,
        source: str,
        rows: Iterable[tuple[str, Any, Any]],
        tolerance: float = OF_ARRAYS,
        wrong: Collection[str] = (),
    ) -> Table:
        """Numbers, texts or arrays (name, known, ours) beside each other; of arrays, by how much they differ.

        >>> print(Report("T0", "Arrays").compare("Gradients", "NumPy", [("dW", [[1.0, 2.0]], [[1.0, 2.0]])]))
        Gradients (tolerance 1e-12)
        <BLANKLINE>
             NumPy   microbp    difference   verdict
        ────────────────────────────────────────────
        dW   1 × 2   off by 0                agree
        """
        made, of_arrays = [], False
        for name, known, ours in rows:
            if np.ndim(ours):
                of_arrays, apart = True, relative_difference(known, ours)
                shape, told = " × ".join(map(str, np.shape(ours))), f"{apart:.1e}" if apart else "0"
                # A nan is no agreement: it is not less than anything.
                made.append(self.hold(name, source, shape, f"off by {told}", apart <= tolerance, wrong))
            else:
                made.append(self.hold(name, source, known, ours, agrees(known, ours), wrong))
        if of_arrays:
            title = f"{title} (tolerance {tolerance:g})"
        numbers = [aligned(texts) for texts in zip(*((e.known_text, e.our_text) for e in made), strict=True)]
        both = zip(made, *numbers, strict=True)
        cells = tuple((e.name, known, ours, e.difference, e.verdict) for e, known, ours in both)
        return Table(title, ("", source, "microbp", ">difference", "verdict"), cells)

    # ------------------------------------------------------------------------ what microbp checks
    def gradients(self, checked: GradientReport) -> Table:
        """A numerical check of gradients, number by number."""
        for row in checked.rows:
            self.hold(f"∂/∂{row.name}", "numerical", row.numerical, row.claimed, row.verdict == "agree")
        return checked.table()

    def operations(self, loss: microbp.Value) -> list[str]:
        """Each recorded operation behind ``loss`` alone, and how the gradients are summed up, checked."""
        audited = microbp.audit(loss, names={}, show=False)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in audited.counts.items())
        rules = ", ".join(map(str, microbp.Graph(loss).rules))
        made = self.hold("audit of the graph", "complex step", "", counts, audited.ok)
        told = (
            f"Each recorded local derivative of {rules} alone, and how they are summed up (microbp.audit): "
            f"{counts}; {audited.accumulation.told}: {made.verdict}."
        )
        return [textwrap.fill(told, COLUMNS)]

    def claims(self, answers: AnswerReport, wrong: Collection[str] = ()) -> Table:
        """The grading of claims; for one that is wrong, as known, the reason must be found."""
        for row in answers.rows:
            made = self.hold(row.name, "claimed", "", row.verdict, row.verdict != "WRONG", wrong)
            if not made.must_agree:
                self.hold(f"mistake in {row.name}", "located", "", row.explanation, bool(row.causes))
        return answers.table()

    # --------------------------------------------------------------------------------- reading it
    @property
    def ok(self) -> bool:
        """Whether every comparison came out as it must."""
        return not self._wrong

    @property
    def _wrong(self) -> list[Comparison]:
        return [each for each in self.comparisons if not each.ok]

    @property
    def verdict(self) -> str:
        """The outcome on one line."""
        total, wrong = len(self.comparisons), len(self._wrong)
        mistakes = sum(not each.must_agree for each in self.comparisons)
        proved = f"; {mistakes} show where a source is wrong" if mistakes else ""
        told = f"agree: {total - mistakes} of {total} comparisons agree{proved}"
        if wrong:
            told = f"DISAGREE: {wrong} of {total} comparisons did not come out as they must"
        return f"{told}; SKIPPED: {self.skipped}" if self.skipped else told

    @property
    def page(self) -> str:
        """What was computed, what agrees, which mistakes were found: a few lines."""
        shown = [each for each in self.mistakes if not any(x.agree for x in each.comparisons)]
        told = [
            ("computed", self.computed),
            ("compared", self.verdict),
            *(("mistake", each.told) for each in shown),
            *(("DISAGREE", f"{e.name}: {e.source} {e.known}, microbp {e.ours}") for e in self._wrong[:5]),
        ]
        lines = [
            textwrap.fill(
                " ".join(words.split()), 100, initial_indent=f"  {label:10}", subsequent_indent=" " * 12
            )
            for label, words in told if words
        ]  # fmt: skip
        return "\n".join([f"{self.name}. {self.title}", *lines])

    def __str__(self) -> str:
        """The whole report as text."""
        rows = tuple((e.name, e.source, str(e.known), str(e.ours), e.verdict) for e in self._wrong)
        columns = ("", "source", "known", "microbp", "verdict")
        blocks = [*self.blocks, Table("Self-check", columns, rows, (self.verdict,))]
        return "\n\n".join(map(str, blocks))

    def record(self) -> dict[str, Any]:
        """Everything that was compared, and the figures that are numbers, for other programs."""
        return {
            "tutorial": self.name, "title": self.title, "microbp": microbp.__version__, "ok": self.ok,
            "comparisons": [asdict(each) for each in self.comparisons], "numbers": self.numbers,
        }  # fmt: skip

    def as_json(self) -> str:
        """:meth:`record` as JSON."""
        return json.dumps(self.record(), indent=1, ensure_ascii=False)


def aligned(numbers: Iterable[str]) -> list[str]:
    """Texts of numbers, padded so that their decimal points stand below each other; other texts as they are.

    >>> aligned(["0.5", "-12.25", "3e-07"])
    ['  0.5', '-12.25', '  3e-07']
    """
    texts = list(numbers)
    before = [len(re.split("[.e]", each)[0]) if each[-1:].isdigit() else 0 for each in texts]
    if 0 in before:
        return texts
    return [" " * (max(before) - width) + each for each, width in zip(texts, before, strict=True)]
