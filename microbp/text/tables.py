"""``Table``: plain records as an aligned text table, in colour where it is printed on a terminal.

``Shown`` is a result that a notebook shows once, as Markdown or as a plot, where a terminal gets its table.

The layout is rich's, which knows how wide each character is; rich is imported when a table is
rendered, never before. The text is the same on every machine: as wide as its longest row, so that
nothing is wrapped, and cut off only a word of over 200 characters. Verdict words carry the meaning;
colour only repeats it.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import IO, Any

from microbp.text.safe import readable

__all__ = ["VERDICTS", "Cell", "Shown", "Table", "escaped", "has_colour", "number", "plot", "write"]

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


class Shown:
    """A result with a ``table()``, or with a text and Markdown of its own."""

    __slots__ = ()

    def _markdown(self) -> str | None:
        """What is shown in the place of the text: the table, if it has one; None where the text is all."""
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
