"""``Explanation``: a derivation as plain records, compared line by line with the engine, and laid out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from microbp.debug.explain.sentences import say
from microbp.debug.words import Math, columns, number, sentence
from microbp.notebook import Shown
from microbp.safe import shown

#: By how much a number computed from recorded numbers may differ from the engine's, relatively.
TOLERANCE = 1e-12
#: How wide a line of plain text gets; one of formulas is indented by 4, and broken before an equals sign.
COLUMNS = 90
WIDTH = COLUMNS - 4
#: Where products of numbers beyond these may have overflowed, or lost digits, on the way.
LOW, HIGH = 1e-290, 1e290


class Row(NamedTuple):
    """One line of the derivation: ``label = symbols = … = numbers = value``."""

    #: ``chain``, ``factor``, ``path``, ``delta``, ``given``, ``gradient``, ``update`` or ``matrix``.
    kind: str
    label: Math
    #: The right-hand side in symbols, once or in several forms.
    symbols: tuple[Math, ...] = ()
    #: It in numbers, as they are printed; None where there is nothing to compute.
    numbers: Math | None = None
    #: The result; None in a line without numbers.
    value: float | None = None
    #: What the engine has recorded or computed.
    engine: float = math.nan
    #: The size of what is added up in it: rounding errors grow with it. nan: beyond what can be judged.
    size: float = 0.0
    #: Where a rule's text and what the engine recorded differ: the operation and the node.
    culprit: str = ""

    def fault(self, language: str) -> str | None:
        """What is wrong in the line, or None."""
        if self.value is None or agree(self.value, self.engine, self.size):
            return None
        where = f" ({self.culprit})" if self.culprit else ""
        numbers = {"value": repr(self.value), "engine": repr(self.engine), "where": where}
        return say(language, "differs", label=self.label.text, **numbers).text

    def pieces(self) -> list[Math]:
        """What stands between the equals signs, without what says the same again."""
        printed = None if self.value is None else number(self.value)
        pieces = [each for each in (*self.symbols, self.numbers, printed) if each is not None]
        return [each for before, each in zip((None, *pieces), pieces, strict=False) if each != before]

    def lines(self, width: int) -> list[str]:
        """The line as plain text, or several broken before an equals sign, which stand below each other."""
        pieces, label = [each.text for each in self.pieces()], self.label.text
        signs = [" ← " if self.kind == "update" else " = ", *[" = "] * (len(pieces) - 1)]
        whole = label + "".join(sign + each for sign, each in zip(signs, pieces, strict=True))
        if columns(whole) <= width and "\n" not in whole:
            return [whole]
        lines: list[str] = []
        indent = " " * min(columns(label), width // 2)
        for sign, piece in zip(signs, pieces, strict=True):
            # A term that begins with its sign stands below the equals sign.
            made = [each for line in piece.split("\n") for each in broken(line, width - len(indent) - 3)]
            lines.append((indent if lines else label) + sign + made[0])
            lines += [indent + (" " if each[:1] in "+−" else "     ") + each for each in made[1:]]
        return lines

    def tex(self) -> list[str]:
        """The lines as LaTeX, aligned at ``&``."""
        sign = r"\leftarrow " if self.kind == "update" else "="
        first, *others = self.pieces()
        return [rf"{self.label.latex} &{sign} {first.latex}", *(rf"&= {each.latex}" for each in others)]


class Code(NamedTuple):
    """Lines of a program, and the formulas that they are, as lines of LaTeX, aligned at ``&``."""

    code: tuple[str, ...]
    formulas: tuple[str, ...]

    def lines(self, _: int) -> tuple[str, ...]:
        """The lines of the program as they are."""
        return self.code

    def tex(self) -> tuple[str, ...]:
        """The formulas."""
        return self.formulas

#: A sentence, a line of the derivation, or lines of a program.
Part = Math | Row | Code


def agree(value: float, engine: float, size: float) -> bool:
    """Whether two numbers differ by no more than rounding errors; ``size`` is that of what was added."""
    if value == engine or (math.isnan(value) and math.isnan(engine)) or math.isnan(size):
        return True
    return abs(value - engine) <= TOLERANCE * max(size, abs(engine), 1e-300)


def within(*sizes: float) -> float:
    """The largest of the sizes; nan where one of them is so large or small that digits may be lost."""
    return max(sizes) if all(each == 0.0 or LOW < each < HIGH for each in sizes) else math.nan


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """What :func:`microbp.debug.explain.explain` tells; ``str()`` is plain text, ``markdown`` has LaTeX."""

    title: Math
    language: str
    #: Sentences and lines, in their order.
    parts: tuple[Part, ...]
    #: Lines that are compared with the engine, and not shown.
    compared: tuple[Row, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The lines without the sentences."""
        return (*(each for each in self.parts if isinstance(each, Row)), *self.compared)

    @property
    def faults(self) -> tuple[str, ...]:
        """The lines that are wrong: computed again from recorded numbers, and compared with the engine."""
        found = (row.fault(self.language) for row in self.rows)
        return tuple(each for each in found if each)

    @property
    def ok(self) -> bool:
        """Whether every number is what its line gives, and what the engine has."""
        return not self.faults

    def _told(self) -> list[Part]:
        """All parts, and what the comparison with the engine gave, if there was one."""
        compared = any(row.value is not None for row in self.rows)
        agrees = "matrix agrees" if self.compared else "agrees"
        verdict = say(self.language, agrees if self.ok else "wrong", len(self.compared))
        return [*self.parts, *([verdict] if compared else [])]

    def text(self, width: int = COLUMNS) -> str:
        """The plain text, in lines of so many columns; a word, or a formula without a sum, stays whole."""
        if not isinstance(width, int):
            raise TypeError(f"a width is a whole number of columns, not {shown(repr(width))}")
        lines = [*sentence(self.title.text, width), ""]
        for part in self._told():
            if isinstance(part, Math):
                lines += ["", *sentence(part.text, width)] if lines[-1] else sentence(part.text, width)
            else:
                lines += [f"    {line}" for line in part.lines(width - 4)]
        return "\n".join([*lines, *(f"  {each}" for each in self.faults)])

    def __str__(self) -> str:
        return self.text()

    @property
    def markdown(self) -> str:
        """Markdown with LaTeX between ``$$``, as notebooks and documents show it."""
        blocks = [f"**{self.title.latex}**"]
        for prose, parts in groupby(self._told(), lambda part: isinstance(part, Math)):
            texts = ([part.latex] if isinstance(part, Math) else part.tex() for part in parts)
            told = [line for text in texts for line in text]
            aligned = " \\\\\n".join(told)
            blocks += told if prose else [f"$$\n\\begin{{aligned}}\n{aligned}\n\\end{{aligned}}\n$$"]
        faults = "\n".join(f"- `{each.replace('`', chr(39))}`" for each in self.faults)
        return "\n\n".join([*blocks, *([faults] if faults else [])]) + "\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.title.text})"

    def _markdown(self) -> str:
        return self.markdown


def broken(text: str, width: int) -> list[str]:
    """A formula as lines no wider than that where it can be broken: before a sign, as far outside as can be.

    >>> broken("a·(b + c)·d + e·(f + g)", 14)
    ['a·(b + c)·d', '+ e·(f + g)']
    """
    lines, width = [], max(width, 1)
    while columns(text) > width:
        places, depth = [], 0
        for place, each in enumerate(text[:width]):
            depth += (each in "([") - (each in ")]")
            sign = text[place : place + 3]
            if place > width // 4 and (each == "·" or sign in (" + ", " − ", " · ")):
                places.append((2 * depth + 3 * (each == "·") + (sign == " · "), -place))
        if not places:
            break
        place = -min(places)[1]
        lines.append(text[:place].rstrip())
        text = text[place:].lstrip()
    return [*lines, text]
