"""``Explanation``: a derivation as plain records, each line of which is judged by what is printed in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from microbp.debug.explain.reading import disagreement
from microbp.debug.explain.trees import Math
from microbp.debug.explain.words import say
from microbp.debug.explain.wrapping import COLUMNS, columns, formula, sentence
from microbp.debug.notebook import Shown

__all__ = ["WIDTH", "Explanation", "Row", "agree"]

#: By how much a number computed from the unrounded numbers may differ from the engine's, relatively.
TOLERANCE = 1e-12
#: How wide a line of formulas gets, which is indented by 4: a longer one is broken before an equals sign.
WIDTH = COLUMNS - 4


class Row(NamedTuple):
    """One line of the derivation: ``label = symbols = … = numbers = printed``."""

    #: ``chain``, ``factor``, ``path``, ``delta``, ``given``, ``gradient`` or ``update``.
    kind: str
    label: Math
    #: The right-hand side in symbols, once or in several forms; of all these each must give ``value``.
    symbols: tuple[Math, ...] = ()
    #: It in numbers, as they are printed; None where there is nothing to compute.
    numbers: Math | None = None
    #: The result as it is printed; None in a line without numbers.
    printed: Math | None = None
    #: The result, computed from the unrounded numbers for each of the forms.
    values: tuple[float, ...] = ()
    #: What the engine has recorded or computed.
    engine: float = math.nan
    #: The size of what is added up in it: rounding errors grow with it.
    size: float = 0.0
    #: Where a rule's text and what the engine recorded differ: the operation and the node.
    culprit: str = ""
    #: The sign between the label and the rest.
    sign: str = "="

    def fault(self, language: str) -> str | None:
        """What is wrong in the line, or None."""
        if self.printed is None:
            return None
        label = self.label.text
        for value in self.values:
            if not agree(value, self.engine, self.size):
                where = f" ({self.culprit})" if self.culprit else ""
                told = {"label": label, "value": repr(value), "engine": repr(self.engine), "where": where}
                return say("differs", language, **told).text
        if self.numbers is not None:
            told_wrong = disagreement(self.numbers.text, self.printed.text)
            if told_wrong:
                return f"{label}: {told_wrong}"
        wrong = _far(self.printed.text, self.engine)
        return f"{label}: {wrong}" if wrong else None


def agree(value: float, engine: float, size: float) -> bool:
    """Whether two numbers differ by no more than rounding errors; ``size`` is that of what was added."""
    if value == engine or (math.isnan(value) and math.isnan(engine)):
        return True
    return abs(value - engine) <= TOLERANCE * max(size, abs(engine), 1e-300)


def _far(printed: str, engine: float) -> str | None:
    """How the printed result and the engine's number disagree, or None."""
    told = disagreement(printed, repr(engine).replace("-", "−").replace("e−", "e-").replace("inf", "∞"))
    return f"it is printed as {printed}; the engine has {engine!r}" if told else None


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """What :func:`microbp.debug.explain.explain` tells; ``str()`` is plain text, ``markdown`` has LaTeX."""

    title: Math
    language: str
    #: Sentences and lines, in their order.
    parts: tuple[Math | Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The lines without the sentences."""
        return tuple(each for each in self.parts if isinstance(each, Row))

    @property
    def faults(self) -> tuple[str, ...]:
        """The lines that are wrong: computed again from what is printed, and compared with the engine."""
        found = (row.fault(self.language) for row in self.rows)
        return tuple(each for each in found if each)

    @property
    def ok(self) -> bool:
        """Whether every printed number is what its line says, and what the engine has."""
        return not self.faults

    def verdict(self) -> list[Math]:
        """The last lines: what the comparison with the engine gave."""
        if not any(row.printed for row in self.rows):
            return []
        faults = self.faults
        if not faults:
            return [say("agrees", self.language)]
        told = [say("wrong", self.language)]
        return told + [Math(f"  {each}", f"- `{each.replace('`', chr(39))}`") for each in faults]

    def __str__(self) -> str:
        lines = [*sentence(self.title.text), ""]
        for part in (*self.parts, *self.verdict()):
            if isinstance(part, Row):
                lines += [f"    {line}" for line in _plain_lines(part)]
            else:
                fault = part.text[:1] == " "
                gap = [""] if not fault and lines[-1] else []
                lines += [*gap, *([part.text] if fault else sentence(part.text))]
        return "\n".join(lines)

    @property
    def markdown(self) -> str:
        """Markdown with LaTeX between ``$$``, as notebooks and documents show it."""
        blocks = [f"**{self.title.latex}**"]
        pending: list[Row] = []
        for part in (*self.parts, *self.verdict()):
            if isinstance(part, Row):
                pending.append(part)
                continue
            blocks += _aligned(pending)
            pending = []
            blocks.append(part.latex)
        return "\n\n".join(blocks + _aligned(pending)) + "\n"

    def __repr__(self) -> str:
        return f"Explanation({self.title.text})"

    def _markdown(self) -> str:
        return self.markdown


def _pieces(row: Row) -> list[Math]:
    pieces = list(row.symbols)
    if row.numbers is not None and (row.printed is None or row.numbers.text != row.printed.text):
        pieces.append(row.numbers)
    if row.printed is not None:
        pieces.append(row.printed)
    unique: list[Math] = []
    for each in pieces:
        if not unique or each.text != unique[-1].text:
            unique.append(each)
    return unique


def _plain_lines(row: Row) -> list[str]:
    """One line, or several broken before an equals sign, which stand below each other."""
    pieces = [each.text for each in _pieces(row)]
    label = row.label.text
    signs = [f" {row.sign} ", *[" = "] * (len(pieces) - 1)]
    whole = label + "".join(sign + each for sign, each in zip(signs, pieces, strict=True))
    if columns(whole) <= WIDTH and "\n" not in whole:
        return [whole]
    lines: list[str] = []
    indent = " " * min(columns(label), WIDTH // 2)
    for sign, piece in zip(signs, pieces, strict=True):
        # A term that begins with its sign stands below the equals sign.
        made = [each for line in piece.split("\n") for each in formula(line, WIDTH - len(indent) - 3)]
        lines.append((indent if lines else label) + sign + made[0])
        lines += [indent + (" " if each[:1] in "+−" else "     ") + each for each in made[1:]]
    return lines


def _aligned(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    lines = []
    for row in rows:
        sign = {"←": r"\leftarrow "}.get(row.sign, row.sign)
        pieces = _pieces(row)
        lines.append(rf"{row.label.latex} &{sign} {pieces[0].latex}")
        lines += [rf"&= {each.latex}" for each in pieces[1:]]
    return ["\n".join(("$$", r"\begin{aligned}", " \\\\\n".join(lines), r"\end{aligned}", "$$"))]
