r"""``safe``: a text with names in it, made safe for the medium in which it is shown.

Names are data, and may hold anything: a terminal obeys escape sequences, XML refuses control characters, a
zip file takes a slash for a folder, and a name of a million characters hides what is said of it. A sentence
is broken into lines that fit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

__all__ = ["Name", "columns", "cut", "named", "quoted", "readable", "safe", "sentence", "shown"]

#: So many characters of a name are shown in a message.
LONGEST = 200

#: Marks that turn the direction of the text around them.
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}


def _spelled(character: str) -> str:
    """On a terminal: as Python writes it."""
    return repr(character)[1:-1]


def _pictured(character: str) -> str:
    """In XML, which refuses some in every spelling: a picture of it, or a mark for what cannot be seen."""
    if character == "\t":
        return " "
    if character < " ":
        return chr(0x2400 + ord(character))
    unseen = character in _TURNING or unicodedata.category(character) in _UNSEEN
    return "�" if unseen else character


def _numbered(character: str) -> str:
    """In the name of an array in a file: by its number."""
    return f"%{ord(character):x};"


#: Of each medium, what must not stand there as it is, and what stands there instead.
_MEDIA: dict[str, tuple[re.Pattern[str] | None, Callable[[str], str]]] = {
    "terminal": (None, _spelled),
    "xml": (None, _pictured),
    "file": (re.compile(r"[%/\\:\x00-\x1f\x7f\ud800-\udfff]|\.(?=npy\Z)"), _numbered),
}


def safe(text: str, medium: str = "terminal", *, lines: bool = False) -> str:
    r"""``text`` for a medium: "terminal", "xml" (SVG and HTML, before markup is escaped) or "file".

    A line break stays where ``lines`` is true: the text is of several lines of our own.

    >>> print(safe("w\x1b[2J"), safe("a\tb\x07\nc\ud800", "xml"), safe("../x.npy", "file"))
    w\x1b[2J a b␇␊c� ..%2f;x%2e;npy
    """
    if not isinstance(text, str):
        raise TypeError(f"a name or a title is a str, not an object of type {type(text).__name__}")
    pattern, instead = _MEDIA[medium]
    if pattern is not None:
        return pattern.sub(lambda match: instead(match[0]), text)
    if text.isprintable() and (medium == "terminal" or text.isascii()):
        return text
    kept = "\n" if lines else ""
    return "".join(
        x if (x.isprintable() and x not in _TURNING) or x in kept else instead(x) for x in text
    )


def cut(text: str, most: int = LONGEST) -> str:
    """A name, or another text, of at most so many characters: of a longer one both ends.

    >>> cut("weight_of_the_first_unit", 11), cut("w5", 11)
    ('weigh…_unit', 'w5')
    """
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def shown(name: object, most: int = LONGEST) -> str:
    r"""A name as a message speaks of it: on one line, and of ``most`` characters at most.

    >>> print(shown("w\n5"), shown("w" * 500, 11))
    w\n5 wwwww…wwwww
    """
    return safe(cut(str(name), most))


def quoted(given: object, most: int = LONGEST) -> str:
    r"""What somebody gave, as a message repeats it: by its ``repr``, or by its type where that fails.

    >>> print(quoted("w\x1b"), quoted([1.0]))
    'w\x1b' [1.0]
    """
    try:
        return shown(repr(given), most)
    except Exception:  # noqa: BLE001 (it is somebody else's code)
        return f"an object of type {shown(type(given).__name__)}"


#: A word that no person reads to its end: a name of so many characters.
_ENDLESS = re.compile(rf"[^\s，。；：、]{{{LONGEST + 1},}}")


def readable(text: str) -> str:
    r"""A text for the terminal, of several lines perhaps, in which an endless word is cut short.

    >>> print(readable(f"{'w' * 500} is\n\x07 1").replace("w" * 99, "…"))
    …w…… is
    \x07 1
    """
    return safe(_ENDLESS.sub(lambda match: cut(match[0]), text), lines=True)


class Name(str):  # noqa: SLOT000 (as data it is a str)
    r"""A name that texts show by :func:`shown`: safe in an f-string, and as it was given everywhere else.

    >>> name = Name("w\x1b[2J")
    >>> print(f"{name} = 2"), name == "w\x1b[2J"
    w\x1b[2J = 2
    (None, True)
    """

    def __format__(self, spec: str) -> str:
        return format(shown(self), spec)


def named(text: str) -> str:
    """The name, such that texts with it are safe."""
    return text if len(text) <= LONGEST and text.isprintable() else Name(text)


# ------------------------------------------------------------------------------- lines that fit
#: A word; of Chinese one sign, with the punctuation that must not begin, or end, a line.
_WORD = re.compile(
    r"\s*(?:[（“]*(?:[\u2e80-\u9fff][，。：；）、”]*|"
    r"[^\s\u2e80-\u9fff\uff00-\uffef]+(?:[，。：；）、]+得?)?)|\S)"
)


def columns(text: str) -> int:
    """How many columns a text takes: a Chinese sign takes two."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide


def sentence(text: str, width: int, indent: str = "") -> list[str]:
    """A sentence as lines no wider than that, unless a word is; ``indent`` stands before all later ones."""
    lines = [""]
    for word in _WORD.findall(readable(text)):
        if lines[-1].strip() and columns(lines[-1] + word) > width:
            lines.append(indent + word.lstrip())
        else:
            lines[-1] += word
    return lines
