"""Lines that fit: sentences broken between words, formulas before a sign."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["COLUMNS", "columns", "formula", "sentence"]

#: How wide a line of plain text gets.
COLUMNS = 90
#: A word; of Chinese one sign, with the punctuation that must not begin a line.
_WORD = re.compile(
    r"\s*(?:[\u2e80-\u9fff（“][，。：；）、”]*|[^\s\u2e80-\u9fff\uff00-\uffef]+(?:[，。：；）、]+得?)?|\S)"
)


def columns(text: str) -> int:
    """How many columns a text takes: a Chinese sign takes two.

    >>> columns("∂E/∂w5"), columns("经 o1")
    (6, 5)
    """
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide


def sentence(text: str, width: int = COLUMNS) -> list[str]:
    """A sentence as lines no wider than that, unless a word is.

    >>> sentence("one path, a → b → c", 12)
    ['one path, a', '→ b → c']
    """
    if columns(text) <= width:
        return [text]
    lines = [""]
    for word in _WORD.findall(text):
        if lines[-1] and columns(lines[-1] + word) > width:
            lines.append(word.lstrip())
        else:
            lines[-1] += word
    return lines


def formula(text: str, width: int) -> list[str]:
    """A formula as lines no wider than that where it can be broken: before a sign, as far outside as can be.

    >>> formula("a·(b + c)·d + e·(f + g)", 14)
    ['a·(b + c)·d', '+ e·(f + g)']
    """
    lines, width = [], max(width, 1)
    while columns(text) > width:
        places = _breaks(text, width)
        if not places:
            break
        _, place = min(places, key=lambda each: (each[0], -each[1]))
        lines.append(text[:place].rstrip())
        text = text[place:].lstrip()
    return [*lines, text]


def _breaks(text: str, width: int) -> list[tuple[int, int]]:
    """Where it can be broken before ``width``: how good the place is, the smaller the better, and where."""
    found, depth = [], 0
    for place, each in enumerate(text[:width]):
        depth += (each in "([") - (each in ")]")
        sign = text[place : place + 3]
        if place > width // 4 and sign in (" + ", " − ", " · "):
            found.append((2 * depth + (sign == " · "), place))
        elif place > width // 4 and each == "·":
            found.append((2 * depth + 3, place))
    return found
