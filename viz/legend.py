"""What stands above the boxes: the title, what was folded, the scale of colours and the kinds of box.

Each line is text, with coloured characters for samples: tables in a table would be stretched to its width.
"""

from __future__ import annotations

import math
from functools import lru_cache

from viz.colours import Scale
from viz.labels import LEAF_SIGN
from viz.picture import Box, Kind, Picture
from viz.styles import Style
from viz.text import MINUS, escaped, fixed, number, room, shortened

__all__ = ["heading", "scale_of"]

#: Gradients shown as samples, in quarters of the range of the scale.
_QUARTERS = range(5)
#: A sample, and what it means; a leaf's sign stands with it.
_KINDS = {
    Kind.PARAMETER: ("▢", "parameter"),
    Kind.INPUT: ("■", "input"),
    Kind.CONSTANT: ("⬚", "constant, takes no gradient"),
    Kind.FOLDED: ("▢", "several values"),
}
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
    lines = [_title(picture)] if picture.title else []
    count = f"{picture.values:,} value{'s' * (picture.values != 1)}"
    lines.append(escaped(picture.note or count, 140))
    if style.legend:
        lines += [_scale(picture, scale), _kinds(picture, style), _STEP if picture.moment else ""]
    rows = "".join(f"<TR><TD>{line}</TD></TR>" for line in lines if line)
    return (
        f'<<FONT POINT-SIZE="9" COLOR="{style.theme.faint}"><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" '
        f'CELLPADDING="2">{rows}</TABLE></FONT>>'
    ).replace("<B>", f'<FONT COLOR="{style.theme.text}"><B>').replace("</B>", "</B></FONT>")


def scale_of(picture: Picture, style: Style) -> Scale:
    """The scale of all gradients that a picture shows; of a step, of those that any step shows."""
    return Scale.over(_gradients(picture), style.theme)


def _gradients(picture: Picture) -> list[float | None]:
    if picture.moment:
        return [*picture.moment.amounts]
    return [each for box in picture.boxes for each in (box.grad, box.largest, *box.strip, *box.spark)]


def _title(picture: Picture) -> str:
    """The title; in the picture of a step with room for that of any other step."""
    shown = f'<FONT POINT-SIZE="13"><B>{escaped(picture.title, _TITLE)}</B></FONT>'
    if not picture.moment:
        return shown
    return fixed(shown, _widest(picture.moment.captions), 18)


@lru_cache(maxsize=8)
def _widest(titles: tuple[str, ...]) -> int:
    return room((shortened(each, _TITLE) for each in titles), 13, bold=True)


def _scale(picture: Picture, scale: Scale) -> str:
    shown = _gradients(picture)
    if all(each is None for each in shown):
        return "∇ —: no gradient has been computed; call backward() first"
    if scale.largest == 0.0:
        return "∇: every gradient is 0, or is not a number"
    top = number(scale.largest)
    step = scale.decades // 4
    ends = [scale.largest * 10.0 ** (-step * quarter) for quarter in _QUARTERS]
    minus = "".join(_sample("■", scale.colour(-each)) for each in ends)
    plus = "".join(_sample("■", scale.colour(each)) for each in reversed(ends))
    smaller = _TIMES.get(step, f"10^{step} times")
    nan = any(each is not None and math.isnan(each) for each in shown)
    parts = [
        f"∇{_GAP * 2}{MINUS}{top} {minus} 0 {plus} +{top}",
        f"each fainter shade is {smaller} smaller, the faintest {number(ends[-1], 2)} or less",
        f"nan {_sample('■', scale.theme.nan)}" if nan else "",
        f"{_GAP}— not computed" if not picture.moment and any(map(_lacks_gradient, picture.boxes)) else "",
    ]
    return (_GAP * 4).join(part for part in parts if part)


def _lacks_gradient(box: Box) -> bool:
    return box.grad is None and box.data is not None


def _kinds(picture: Picture, style: Style) -> str:
    theme = style.theme
    colours = {
        Kind.PARAMETER: theme.parameter_outline, Kind.FOLDED: theme.parameter_outline, Kind.INPUT: theme.frame
    }  # fmt: skip
    there = {kind for box in picture.boxes for kind in (box.kind, box.leaves)}
    parts = [
        f"{_sample(sign, colours.get(kind, theme.outline))} {LEAF_SIGN.get(kind, '')} {word}"
        for kind, (sign, word) in _KINDS.items()
        if kind in there
    ]
    if any(box.spark for box in picture.boxes):
        parts.append("▂▅█ largest |∇| of each step, log scale")
    if any(edge.local is not None for edge in picture.edges) and style.edges in _EDGES:
        parts.append(_EDGES[style.edges])
    return (_GAP * 4).join(parts)


def _sample(sign: str, colour: str) -> str:
    return f'<FONT POINT-SIZE="12" COLOR="{colour}">{sign}</FONT>'
