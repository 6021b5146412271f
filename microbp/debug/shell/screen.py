"""``Screen``: where the shell writes, in colour or without, in the characters that the place has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from microbp.safe import readable
from microbp.tables import Table, has_colour

__all__ = ["Line", "Screen", "Span", "printable"]

#: A text, or a text and its style.
Span = str | tuple[str, str]
Line = tuple[Span, ...]

#: What stands for our signs where the encoding lacks them.
_PLAIN = str.maketrans({
    "−": "-", "×": "x", "÷": "/", "·": "*", "→": "->", "✓": "*", "∂": "d", "Σ": "sum", "σ": "sigmoid",
    "∞": "inf", "…": "...", "∇": "grad", "─": "-", "│": "|", "²": "^2", "³": "^3", "π": "pi", "√": "sqrt",
    "“": '"', "”": '"', "≤": "<=", "≥": ">=", "≠": "!=", "½": "1/2",
    "δ": "delta", "η": "eta", "←": "<-", "ᵢ": "_i", "ⱼ": "_j", "ₖ": "_k",
})  # fmt: skip


#: Our styles, as rich names them; blue for +, orange for -, as in the drawings.
_STYLES = {
    "plus": "bright_blue", "minus": "dark_orange", "dim": "dim", "head": "bold", "good": "green",
    "bad": "bold red", "note": "cyan",
}  # fmt: skip


def printable(text: str) -> str:
    r"""A text in which every character that a terminal would obey is spelled out.

    >>> print(printable("w\x1b[2J"))
    w\x1b[2J
    """
    return text if text.isprintable() else "".join(x if x.isprintable() else repr(x)[1:-1] for x in text)


class Screen:
    """Writes lines of spans to a file; a style shows on a terminal that has colour.

    >>> import sys
    >>> Screen(sys.stdout).line("grad ", ("+0.5", "plus"))
    grad +0.5
    """

    def __init__(self, out: IO[str]) -> None:
        self.out = out
        self.colour = has_colour(out)
        encoding = getattr(out, "encoding", None) or "utf-8"
        try:
            "−×·→✓∂Σσ∞…∇─".encode(encoding)
            self._plain = False
        except (UnicodeEncodeError, LookupError):
            self._plain = True
        self._encoding = encoding

    def line(self, *spans: Span) -> None:
        """Write one line."""
        if not self.colour:
            text = "".join(each if isinstance(each, str) else each[0] for each in spans)
            self.out.write(self.written(text).rstrip() + "\n")
            return
        from rich.console import Console
        from rich.text import Text

        text_in_colour = Text()
        for each in spans:
            words, style = (each, "") if isinstance(each, str) else each
            text_in_colour.append(self.written(words), style=_STYLES.get(style, ""))
        console = Console(
            file=self.out, force_terminal=True, force_jupyter=False, highlight=False, emoji=False
        )
        console.print(text_in_colour, soft_wrap=True)

    def lines(self, lines: Iterable[Line]) -> None:
        """Write several lines."""
        for each in lines:
            self.line(*each)

    def text(self, text: str) -> None:
        """Write a text of several lines, as it is."""
        for each in text.splitlines():
            self.line(each)

    def table(self, table: Table) -> None:
        """Write a table."""
        safe = Table(
            self.written(table.title),
            tuple(map(self.written, table.columns)),
            tuple(tuple(self.written(x) if isinstance(x, str) else x for x in row) for row in table.rows),
            tuple(map(self.written, table.notes)),
        )
        if self.colour and not self._plain:  # what a table draws itself has our signs, too
            safe.show(self.out)
        else:
            self.text(str(safe))

    def written(self, text: str) -> str:
        """A text in the characters that the file has; none of them moves the cursor."""
        text = printable(readable(text))
        if not self._plain:
            return text
        return text.translate(_PLAIN).encode(self._encoding, "replace").decode(self._encoding)
