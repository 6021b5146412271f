"""How much room the widest text of a pass needs: a box is as large in the last picture as in the first."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

__all__ = ["fixed", "room"]

#: Widths in DejaVu Sans, the widest of the fonts that a picture may be shown with, for a type of 1 point.
_WIDTHS = {
    **dict.fromkeys("0123456789", 0.64), **dict.fromkeys("+−×", 0.84), **dict.fromkeys("./ i\u00a0", 0.34),
    **dict.fromkeys("ena", 0.64), "f": 0.36,
}  # fmt: skip
#: Any other character, bold, except for the widest letters, and for those of East Asia.
_LETTER, _WIDE = 0.75, 1.05
#: For bold type.
_BOLD = 1.1


def room(texts: Iterable[str], size: float, *, bold: bool = False) -> int:
    """So many points are as wide as the widest of ``texts`` in a type of that ``size``.

    >>> room(["+0.08217", "−0.0226"], 10), room([], 10)
    (55, 0)
    """
    size = size * _BOLD if bold else size
    # engines set each character to a whole point, if not all then some of them
    return max((sum(math.ceil(_width(each) * size) for each in text) for text in texts), default=0)


def _width(character: str) -> float:
    wide = character in "mwMW—" or unicodedata.east_asian_width(character) in "WF"
    return _WIDTHS.get(character, _WIDE if wide else _LETTER)


def fixed(text: str, width: int, height: int, align: str = "CENTER") -> str:
    """A table of that size, whatever the HTML-like ``text`` in it; empty text leaves the room empty."""
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" FIXEDSIZE="TRUE" ALIGN="{align}" '
        f'WIDTH="{width}" HEIGHT="{height}"><TR><TD ALIGN="{align}" FIXEDSIZE="TRUE" WIDTH="{width}" '
        f'HEIGHT="{height}">{text}</TD></TR></TABLE>'
    )
