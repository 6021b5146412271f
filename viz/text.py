"""The users' words, made safe for DOT, HTML-like labels and SVG."""

from __future__ import annotations

import unicodedata

from microbp.safe import safe

__all__ = ["columns", "escaped", "narrowed", "plain", "shortened"]

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;"})


def plain(text: str, *, lines: bool = False) -> str:
    """``text`` without what XML forbids or what cannot be seen; line breaks stay where ``lines`` is true."""
    return safe(text, "xml", lines=lines)


def columns(text: str) -> int:
    """How many columns a text takes in letters of one width; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def shortened(text: str, width: int) -> str:
    """``text``, cut to so many columns with … at the end; a Chinese character takes two.

    >>> shortened("activation_of_the_first_unit", 12), shortened("隐藏层的输出", 7)
    ('activation_…', '隐藏层…')
    """
    if len(text) <= width and columns(text) <= width:
        return text
    room, kept = width - 1, 0
    while kept < len(text) and columns(text[kept]) <= room:
        room -= columns(text[kept])
        kept += 1
    return text[:kept] + "…"


def narrowed(text: str, width: int) -> str:
    """``text``, cut to so many columns with … inside: names that are long often differ at their ends.

    >>> narrowed("weight_of_the_first_unit", 16), narrowed("weight_of_the_second", 16), narrowed("w5", 16)
    ('weight_o…st_unit', 'weight_o…_second', 'w5')
    """
    if shortened(text, width) == text:
        return text
    end = shortened(text[::-1], width // 2)[-2::-1]
    return shortened(text, width - columns(end)) + end


def escaped(text: str, width: int = 0, *, tooltip: bool = False) -> str:
    r"""``text`` for an HTML-like label or for a tooltip of DOT, shortened to ``width`` if it is given.

    Neither an escape of DOT nor an entity is read into it. A tooltip keeps its line breaks, and doubles
    backslashes twice, since Graphviz takes them away twice there.

    >>> print(escaped('a<b>|{"\\N" &lt;}'))
    a&lt;b&gt;|{&quot;\\N&quot; &amp;lt;}
    >>> print(escaped("a\\N\nb", tooltip=True))
    a\\\\N&#10;b
    >>> escaped("  ")
    '␣␣'
    """
    shown = plain(text, lines=tooltip)
    if not shown.strip():
        shown = "␣" * max(len(shown), 1)
    backslash = "\\" * (4 if tooltip else 2)
    return (shortened(shown, width) if width else shown).translate({**_ENTITIES, ord("\\"): backslash})
