"""The users' words and numbers: made safe for DOT, HTML-like labels and SVG, cut, printed, and measured."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from microbp.notation import plain_number
from microbp.text import columns, cut, safe

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;"})
_LONGEST = 2_000  #: More characters of a name or a title than these are not shown.


def plain(text: str, *, lines: bool = False) -> str:
    """``text`` without what XML forbids or what cannot be seen; of a long name or title both ends.

    Blanks alone become visible: ``␣␣``. With ``lines`` it is one of ours: line breaks stay, nothing is cut.
    """
    shown = safe(text if lines else cut(text, _LONGEST), "xml", lines=lines)
    return shown if shown.strip() else "␣" * len(shown)


def shortened(text: str, width: int) -> str:
    """``text``, cut to so many columns with … at the end; a Chinese character takes two."""
    if columns(text) <= width:
        return text
    return text[: bisect_left([*accumulate(map(columns, text))], width)] + "…"


def narrowed(text: str, width: int) -> str:
    """``text``, cut to so many columns with … inside: names that are long often differ at their ends."""
    if columns(text) <= width:
        return text
    end = shortened(text[::-1], width // 2)[-2::-1]
    return shortened(text, width - columns(end)) + end


def escaped(text: str, width: int = 0, *, tooltip: bool = False) -> str:
    """``text`` for an HTML-like label or for a tooltip of DOT, shortened to ``width`` if it is given.

    A tooltip keeps its line breaks, and doubles backslashes twice: Graphviz takes them away twice there.
    """
    shown = plain(text, lines=tooltip) or "␣"
    backslash = "\\" * (4 if tooltip else 2)
    return (shortened(shown, width) if width else shown).translate({**_ENTITIES, ord("\\"): backslash})


MINUS = "−"
DASH = "—"  #: What stands for a number that was not computed.


def number(x: float | None, digits: int = 4) -> str:
    """``x`` to so many significant digits, without trailing zeros; a dash for None.

    Below 1e-3 and from 1e4 on it has an exponent: ``−4.386e−4``.
    """
    if x is None:
        return DASH
    if not math.isfinite(x) or x == 0.0:
        return f"{x + 0.0:g}".replace("-", MINUS)
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    if -3 <= int(exponent) < 4:
        return plain_number(float(f"{mantissa}e{exponent}"))
    trimmed = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{trimmed}e{int(exponent)}".replace("-", MINUS)  # a 17th digit would not outlast a float


def signed(x: float | None, digits: int = 4) -> str:
    """``x`` with its sign, as gradients are printed; 0 has none."""
    return ("+" if x is not None and x > 0 else "") + number(x, digits)


#: Widths in DejaVu Sans, the widest of the fonts that a picture may be shown with, for a type of 1 point.
_WIDTHS = {
    **dict.fromkeys("0123456789", 0.64), **dict.fromkeys("+−×", 0.84), **dict.fromkeys("./ i\u00a0", 0.34),
    **dict.fromkeys("ena", 0.64), "f": 0.36,
}  # fmt: skip
#: Any other character, bold, except for the widest letters, and for those of East Asia.
_LETTER, _WIDE = 0.75, 1.05
_BOLD = 1.1  #: For bold type.


def room(texts: Iterable[str], size: float, *, bold: bool = False) -> int:
    """So many points are as wide as the widest of ``texts`` in a type of that ``size``."""
    size = size * _BOLD if bold else size
    # engines set each character to a whole point, if not all then some of them
    return max((sum(math.ceil(_width(each) * size) for each in text) for text in texts), default=0)


def _width(character: str) -> float:
    wide = character in "mwMW—" or unicodedata.east_asian_width(character) in "WF"
    return _WIDTHS.get(character, _WIDE if wide else _LETTER)


# ------------------------------------------------------------------------------- HTML-like labels of DOT
def font(text: str, colour: str = "", size: int = 0) -> str:
    """``text`` in another colour or size."""
    how = (f' COLOR="{colour}"' if colour else "") + (f' POINT-SIZE="{size}"' if size else "")
    return f"<FONT{how}>{text}</FONT>"


def cell(text: str, **attributes: object) -> str:
    """A cell of a table; attributes that are empty are left out."""
    return f"<TD{_written(attributes)}>{text}</TD>"


def table(rows: Iterable[str], padding: int = 0, **attributes: object) -> str:
    """A table without lines, each row the text of its cells, or ``<HR/>``; one with a colour is rounded."""
    plain = {"BORDER": 0, "CELLBORDER": 0, "CELLSPACING": 0, "CELLPADDING": padding}
    rounded = {"STYLE": "ROUNDED"} if attributes.get("BGCOLOR") else {}
    inside = "".join(row if row == "<HR/>" else f"<TR>{row}</TR>" for row in rows)
    return f"<TABLE{_written(plain | rounded | attributes)}>{inside}</TABLE>"


def _written(attributes: Mapping[str, object]) -> str:
    return "".join(f' {name}="{given}"' for name, given in attributes.items() if given != "")


def fixed(text: str, width: int, height: int, align: str = "CENTER") -> str:
    """A table of that size, whatever the HTML-like ``text`` in it; empty text leaves the room empty."""
    size: dict[str, Any] = {"FIXEDSIZE": "TRUE", "ALIGN": align, "WIDTH": width, "HEIGHT": height}
    return table([cell(text, **size)], **size)
