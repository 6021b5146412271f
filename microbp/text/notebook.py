"""``Shown``: a result that a notebook shows once, as Markdown or as a plot; a terminal gets its table."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["Shown", "escaped", "plot"]

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
