"""What stands above the boxes: the title, what was folded, the scale of colours and the kinds of box.

Each line is text, with coloured characters for samples: tables in a table would be stretched to its width.
"""

from __future__ import annotations

import math
from functools import lru_cache

from viz.colours import Scale
from viz.labels import LOOKS
from viz.picture import Picture
from viz.styles import Style
from viz.text import MINUS, cell, escaped, fixed, font, number, room, shortened, table

__all__ = ["heading", "scale_of"]

_EDGES = {
    "local": "→ ×2 local derivative, left out where it is 1",
    "contribution": "→ +2 upstream gradient × local derivative",
}
_GAP = "&#160;"
_TIMES = {1: "ten times", 2: "100 times", 3: "1,000 times"}
#: Columns of the title.
_TITLE = 80
#: What the picture of a step has beside.
_STEP = (
    "<B>▢</B> passes its gradient on    <B>→ +2</B> contribution: upstream × local    "
    "<B>1/2</B> one of two contributions is in    — not reached yet"
).replace("    ", _GAP * 4)


def heading(picture: Picture, scale: Scale, style: Style) -> str:
    """The label of the whole graph, from ``<`` to ``>``: a table with a row for each line."""
    count = f"{picture.values:,} value{'s' * (picture.values != 1)}"
    lines = [_title(picture), escaped(picture.note or count, 140)]
    if style.legend:
        lines += [_scale(picture, scale), _kinds(picture, style), _STEP if picture.moment else ""]
    told = font(table(map(cell, filter(None, lines)), 2), style.theme.faint, 9)
    return f"<{told}>".replace("<B>", f'<FONT COLOR="{style.theme.text}"><B>').replace("</B>", "</B></FONT>")


def scale_of(picture: Picture, style: Style) -> Scale:
    """The scale of all gradients that a picture shows; of a step, of those that any step shows."""
    return Scale.over(_gradients(picture), style.theme)


def _gradients(picture: Picture) -> list[float | None]:
    if picture.moment:
        return [*picture.moment.amounts]
    return [each for box in picture.boxes for each in (box.grad, box.largest, *box.strip, *box.spark)]


def _title(picture: Picture) -> str:
    """The title; in the picture of a step with room for that of any other step."""
    shown = font(f"<B>{escaped(picture.title, _TITLE)}</B>", size=13) if picture.title else ""
    return fixed(shown, _widest(picture.moment.captions), 18) if picture.moment and shown else shown


@lru_cache(maxsize=8)
def _widest(titles: tuple[str, ...]) -> int:
    return room((shortened(each, _TITLE) for each in titles), 13, bold=True)


def _scale(picture: Picture, scale: Scale) -> str:
    shown = _gradients(picture)
    if all(each is None for each in shown):
        return "∇ —: no gradient has been computed; call backward() first"
    if scale.largest == 0.0:
        return "∇: every gradient is 0, or is not a number"
    top, step = number(scale.largest), scale.decades // 4
    ends = [scale.largest * 10.0 ** (-step * quarter) for quarter in range(5)]
    minus = "".join(_sample("■", scale.colour(-each)) for each in ends)
    plus = "".join(_sample("■", scale.colour(each)) for each in reversed(ends))
    smaller = _TIMES.get(step, f"10^{step} times")
    nan = any(each is not None and math.isnan(each) for each in shown)
    lacks = not picture.moment and any(box.grad is None and box.data is not None for box in picture.boxes)
    parts = [
        f"∇{_GAP * 2}{MINUS}{top} {minus} 0 {plus} +{top}",
        f"each fainter shade is {smaller} smaller, the faintest {number(ends[-1], 2)} or less",
        f"nan {_sample('■', scale.theme.nan)}" if nan else "",
        f"{_GAP}— not computed" if lacks else "",
    ]
    return (_GAP * 4).join(filter(None, parts))


def _kinds(picture: Picture, style: Style) -> str:
    there = {kind for box in picture.boxes for kind in (box.kind, box.leaves)}
    parts = [
        f"{_sample(look.sample, getattr(style.theme, look.colour))} {look.sign} {look.word}"
        for kind, look in LOOKS.items()
        if kind in there
    ]
    if any(box.spark for box in picture.boxes):
        parts.append("▂▅█ largest |∇| of each step, log scale")
    if any(edge.local is not None for edge in picture.edges) and style.edges in _EDGES:
        parts.append(_EDGES[style.edges])
    return (_GAP * 4).join(parts)


def _sample(sign: str, colour: str) -> str:
    return font(sign, colour, 12)
