r"""What a person reads: names made safe for their medium, sentences in lines that fit, words, and tables.

Names are data, and may hold anything: a terminal obeys escape sequences, XML refuses control characters, a
zip file takes a slash for a folder, and a name of a million characters hides what is said of it.

A ``Table`` is plain records as an aligned text, in colour where it is printed on a terminal; ``Shown`` is a
result that a notebook shows once, as Markdown or as a plot, where a terminal gets its table. The layout is
rich's, which knows how wide each character is; rich is imported when a table is rendered, never before. The
text is the same on every machine: as wide as its longest row, so that nothing is wrapped, and cut off only a
word of over 200 characters. Verdict words carry the meaning; colour only repeats it.
"""

from __future__ import annotations

import difflib
import io
import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import IO, Any, TypeVar

# -------------------------------------------------------------------------------------- names, made safe
#: So many characters of a name are shown in a message.
LONGEST = 200

#: Marks that turn the direction of the text around them.
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}


def _pictured(character: str) -> str:
    """In XML, which refuses some in every spelling: a picture of it, or a mark for what cannot be seen."""
    if character == "\t":
        return " "
    if character < " ":
        return chr(0x2400 + ord(character))
    unseen = character in _TURNING or unicodedata.category(character) in _UNSEEN
    return "�" if unseen else character


#: Of each medium, what must not stand there as it is, and what stands there instead: on a terminal what
#: Python writes, in the name of an array in a file its number.
_MEDIA: dict[str, tuple[re.Pattern[str] | None, Callable[[str], str]]] = {
    "terminal": (None, lambda sign: repr(sign)[1:-1]),
    "xml": (None, _pictured),
    "file": (re.compile(r"[%/\\:\x00-\x1f\x7f\ud800-\udfff]|\.(?=npy\Z)"), lambda sign: f"%{ord(sign):x};"),
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


# ------------------------------------------------------------------------------------------------- words
#: The languages of sentences for people, in the order in which their tables have them.
LANGUAGES = ("en", "zh")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A question for an error text; empty where no known word is near. Capitals do not count.

    >>> did_you_mean("Stpe", ["break", "step"])
    "did you mean 'step'?"
    >>> did_you_mean("entropy", ["binary_entropy", "softmax_entropy", "trophy"])  # two of which it is a part
    "did you mean 'binary_entropy' or 'softmax_entropy'?"
    >>> did_you_mean("xyz", ["break", "step"]) or "there are break and step"
    'there are break and step'
    """
    folded, given = {each.casefold(): each for each in known}, str(word).casefold()
    near = [each for each in folded if given in each] if len(given) > 3 else []
    if not 0 < len(near) < 4:
        near = difflib.get_close_matches(given, folded, n=1, cutoff=0.5)
    return f"did you mean {' or '.join(repr(folded[each]) for each in near)}?" if near else ""


def language(word: str) -> str:
    """``en`` or ``zh``, of the ways in which they are written.

    >>> language("en_GB"), language("zh-CN"), language("cn"), language("Chinese"), language("中文")
    ('en', 'zh', 'zh', 'zh', 'zh')
    >>> language("fr")
    Traceback (most recent call last):
        ...
    ValueError: language='fr': it is 'en' (English) or 'zh' (Chinese)
    """
    first = str(word).casefold().replace("_", "-").partition("-")[0]
    known = {"en": "en", "english": "en", "zh": "zh", "cn": "zh", "chinese": "zh", "中文": "zh"}
    if first not in known:
        raise ValueError(f"language={word!r}: it is 'en' (English) or 'zh' (Chinese)")
    return known[first]


def counted(count: int, word: str) -> str:
    """A number of things, exactly while it can be read.

    >>> counted(1, "value"), counted(2000, "value"), counted(2**100, "path"), counted(2**2000, "path")
    ('1 value', '2,000 values', '1.268e+30 paths', 'about 10^602 paths')
    """
    number = f"{count:,}" if count < 10**12 else f"{float(count):.4g}" if count.bit_length() < 1000 else ""
    about = f"about 10^{math.floor((count.bit_length() - 0.5) * math.log10(2.0))}"
    return f"{number or about} {word}{'s' * (count != 1)}"


# ------------------------------------------------------------------------------------------------ tables
#: What stands in a cell: a text as it is, a number as :func:`number` writes it, None as a dash.
Cell = str | float | int | None

#: The colours that repeat a verdict; a cell has one if its first words are a verdict.
VERDICTS = {
    "agree": "green",
    "fine": "green",
    "right": "green",
    "corner": "cyan",
    "inconclusive": "yellow",
    "undecided": "yellow",
    "DISAGREE": "bold red",
    "CHANGED": "bold red",
    "WRONG": "bold red",
    "wrong": "bold red",
}


def number(x: float | None, digits: int = 8) -> str:
    """``x`` with its sign and ``digits`` significant digits; a dash where there is no number.

    >>> number(0.08216704), number(-2), number(0.000438567723), number(12345678901.0)
    ('+0.082167040', '-2.0000000', '+0.00043856772', '+1.2345679e+10')
    >>> number(0.0), number(float("-inf")), number(float("nan")), number(None)
    ('0', '-inf', 'nan', '-')
    """
    if x is None:
        return "-"
    if x == 0.0:
        return "0"
    if math.isnan(x):
        return "nan"
    return f"{float(x):+#.{digits}g}" if math.isfinite(x) else f"{float(x):+g}"


@dataclass(frozen=True)
class Table:
    """A title, columns, rows of cells, and notes below; ``str(table)`` is the text.

    A column whose name begins with ``>`` is right-aligned, as in a format specification. A table
    without rows shows its title and its notes.

    >>> print(Table("gradients", ("name", ">gradient", "verdict"), (("w[0]", 0.5, "agree"),)))
    gradients
    <BLANKLINE>
    name      gradient   verdict
    ────────────────────────────
    w[0]   +0.50000000   agree

    Raises ValueError where a row has not one cell for each column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells for {len(self.columns)} columns: {row!r}")

    def __str__(self) -> str:
        return self._render(colour=False)

    def show(self, file: IO[str] | None = None) -> None:
        """Print the table, on ``sys.stdout`` unless another file is given; on a terminal in colour."""
        write(self._render(colour=has_colour(file or sys.stdout)), file)

    def markdown(self) -> str:
        r"""The table as Markdown: names in it are data, and no markup.

        >>> print(Table("w_1", ("name", ">x"), (("a|b", 0.5),), ("fine", "  so far")).markdown())
        **w\_1**
        <BLANKLINE>
        | name | x |
        | :-- | --: |
        | a\|b | +0.50000000 |
        <BLANKLINE>
        fine so far
        """
        parts = [f"**{escaped(self.title)}**"]
        if self.rows:
            ends = [":--" if not name.startswith(">") else "--:" for name in self.columns]
            lines = [[name.removeprefix(">") for name in self.columns]]
            lines += [[_text(cell) for cell in row] for row in self.rows]
            told = [f"| {' | '.join(map(escaped, line))} |" for line in lines]
            parts.append("\n".join([told[0], f"| {' | '.join(ends)} |", *told[1:]]))
        notes: list[str] = []
        for note in self.notes:  # a line that is indented goes on with the one above it
            notes[-1:] = [f"{notes[-1]} {note.strip()}"] if notes and note[:1] == " " else [*notes[-1:], note]
        return "\n\n".join([*parts, *map(escaped, notes)])

    def _render(self, *, colour: bool) -> str:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table as Layout
        from rich.text import Text

        cells = [[_text(cell) for cell in row] for row in self.rows]
        title, notes = readable(self.title), [readable(note) for note in self.notes]
        layout = Layout(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
        for name in self.columns:
            justify: Any = "right" if name.startswith(">") else "left"
            layout.add_column(Text(name.removeprefix(">")), justify=justify, no_wrap=True)
        for row in cells:
            layout.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        parts: list[Any] = [Text(title, style="bold")]
        parts += [Text(""), layout] if cells else []
        parts += [Text(""), *(Text(note, style=_style(note)) for note in notes)] if notes else []
        # A character is at most two cells of a terminal wide, and a gap between columns three.
        columns = list(zip(self.columns, *cells, strict=True))
        widest = sum(2 * max(map(len, column)) + 3 for column in columns)
        longest = 2 * max(map(len, (title, *notes)))
        console = Console(
            file=io.StringIO(),
            width=max(widest, longest) + 1,
            color_system="standard" if colour else None,
            force_terminal=colour,
            force_jupyter=False,
            legacy_windows=False,
            highlight=False,
            emoji=False,
        )
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, Text))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.splitlines())


def _text(cell: Cell) -> str:
    return readable(cell) if isinstance(cell, str) else number(cell)


def _style(text: str) -> str:
    """The colour of the verdict with which a text begins, or none."""
    for word, style in VERDICTS.items():
        if text == word or text.startswith((f"{word} ", f"{word}:", f"{word},")):
            return style
    return ""


def write(text: str, file: IO[str] | None = None, end: str = "\n") -> None:
    """Print a text, in the characters that the file has."""
    file = sys.stdout if file is None else file
    print(within_encoding(text, file), file=file, end=end)


#: What stands for a sign where it is lacking: no minus must be lost, and ∂E/∂w can be read as dE/dw.
_SIGNS = {"−": "-", "·": "*", "×": "x", "∂": "d", "─": "-", "═": "=", "‖": "|", "′": "'"}


def within_encoding(text: str, file: IO[str]) -> str:
    """A text without what a file's encoding lacks: a sign is told by a letter, all else is a ``?``."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    shown = text.encode(encoding, "replace").decode(encoding)
    if shown == text:
        return text
    return "".join(b if a == b else _SIGNS.get(a, b) for a, b in zip(text, shown, strict=True))


def has_colour(file: IO[str]) -> bool:
    """Whether a file is a terminal that shows colour: NO_COLOR and TERM are heeded, as rich does."""
    from rich.console import Console

    console = Console(file=file, force_jupyter=False)
    return console.color_system is not None and not console.no_color


# --------------------------------------------------------------------------------- in a notebook
#: What was displayed last, and in which cell: the end of that cell does not show it again.
_displayed: list[object] = [None, None]


def _kernel() -> Any:
    """The shell of the notebook that runs this; None in a terminal and in a script."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


Itself = TypeVar("Itself", bound="Shown")


class Shown:
    """A result with a ``table()``, or with a text and Markdown of its own."""

    __slots__ = ()

    def _markdown(self) -> str | None:
        """What is shown in the place of the text: its own, or the table's; None where the text is all."""
        if (own := getattr(self, "markdown", None)) is not None:
            return str(own() if callable(own) else own)
        table = getattr(self, "table", None)
        return None if table is None else str(table().markdown())

    def _html(self) -> str | None:
        """What is shown in the place of the Markdown; None for nothing."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.title})"  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return str(self.table())  # type: ignore[attr-defined]

    def present(self) -> None:
        """Print the table; in a notebook display it, once, also as the last line of a cell."""
        shell = _kernel()
        if shell is None:
            if sys.stdout is not None:  # as print() does where there is none
                self.table().show()  # type: ignore[attr-defined]
            return
        sys.modules["IPython"].display.display(self)
        _displayed[:] = self, shell.execution_count

    def _presented(self: Itself, show: bool) -> Itself:  # noqa: PYI019 (Self is of Python 3.11)
        """Itself; presented before, if ``show``."""
        if show:
            self.present()
        return self

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, str]:
        """What a notebook shows. It never raises."""
        shell = _kernel()
        if shell is not None and _displayed[0] is self and _displayed[1] == shell.execution_count:
            return {"text/plain": repr(self)}
        try:
            bundle = {
                "text/html": self._html(), "text/markdown": self._markdown(), "text/plain": str(self),
            }  # fmt: skip
        except Exception as error:  # noqa: BLE001  a traceback in place of the result helps nobody
            return {"text/plain": f"{type(self).__name__} that cannot be shown: {error!r}"}
        return {kind: shown for kind, shown in bundle.items() if shown is not None}


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


def escaped(text: str) -> str:
    r"""A text in which nothing is markup.

    >>> print(escaped("w_1*<b>"))
    w\_1\*&lt;b>
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    for sign in "\\`*_[]|#$~":
        text = text.replace(sign, f"\\{sign}")
    return text


#: The size of a plot and its margin, in pixels; the colours of its curves; the most points of one.
_WIDTH, _HEIGHT, _MARGIN = 420, 150, 18
_COLOURS, _POINTS = ("#2166ac", "#d95f02"), 300


def plot(curves: Mapping[str, Sequence[float]], unit: str, caption: str) -> str:
    """Curves over the epochs, or what ``unit`` says, as a small SVG in HTML, with the numbers at their ends.

    The scale is logarithmic where all numbers are above 0; what is not finite is left out.

    >>> text = plot({"cost": [4.0, 1.0, 0.25]}, "epoch", "done")
    >>> text.count("<polyline"), "cost: 4 → 0.25, epoch 1 … 3" in text
    (1, True)
    """
    known = [[(n, x) for n, x in enumerate(each, 1) if math.isfinite(x)] for each in curves.values()]
    numbers = [x for each in known for _, x in each]
    if not numbers:
        return f"<div>{escape(caption)}</div>"
    scale = math.log10 if min(numbers) > 0.0 else float
    low, high = scale(min(numbers)), scale(max(numbers))
    last = max(map(len, curves.values()))
    lines: list[str] = []
    for colour, (name, each), points in zip(_COLOURS, curves.items(), known, strict=False):
        if not points:
            continue
        few = dict.fromkeys([*points[:: math.ceil(len(points) / _POINTS)], points[-1]])
        drawn = " ".join(
            f"{_MARGIN + (_WIDTH - 2 * _MARGIN) * (n - 1) / max(1, last - 1):.1f},"
            f"{_HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * (scale(x) - low) / (high - low or 1.0):.1f}"
            for n, x in few
        )
        told = f"{escape(name)}: {points[0][1]:.4g} → {points[-1][1]:.4g}, {unit} 1 … {len(each)}"
        y = _MARGIN - 5 + 15 * len(lines)
        lines.append(
            f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            f'<text x="{_WIDTH - _MARGIN}" y="{y}" text-anchor="end" fill="{colour}">{told}</text>'
        )
    frame = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="12"'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>{"".join(lines)}</svg>'
    return f"{drawing}<div>{escape(caption)}</div>"
