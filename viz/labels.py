"""How a box looks: its fill and outline by kind, and what stands in it, as HTML-like labels of Graphviz.

Colour fills only rounded tables inside the box, so that no corner pokes out of the rounded outline.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from viz import progress as look
from viz.colours import Scale
from viz.moment import Progress
from viz.picture import Box, Kind, Row
from viz.styles import Style
from viz.text import cell, escaped, fixed, font, narrowed, number, plain, signed, table

__all__ = ["COLUMNS", "LOOKS", "label", "outline"]

#: Columns of a name, of a term in a sum, and of an operation's sign with its literal.
_NAME, _TERM, _SIGN = 24, 18, 12
#: The type of what folded boxes tell beside their names.
_SMALL = 8
#: From top to bottom, a sum of up to so many terms shows them side by side.
COLUMNS = 6
#: Squares in a row of a strip, of one with more than so many, and the points of a side.
_SQUARES, _LONG, _MANY_SQUARES, _SIDE = 6, 24, 10, 10
#: The columns of a sparkline, from low to high.
_BARS = "▁▂▃▄▅▆▇█"


class Look(NamedTuple):
    """How boxes of a kind look; colours are fields of :class:`viz.colours.Theme`."""

    #: What marks a leaf, as the sign of its operation marks a computed value.
    sign: str = ""
    #: In the legend a sample, its colour, and what it means.
    sample: str = ""
    colour: str = "outline"
    word: str = ""
    #: Of the box what differs from all others.
    fill: str = ""
    outline: str = ""
    style: str = ""


LOOKS = {
    Kind.PARAMETER: Look("θ", "▢", "parameter_outline", "parameter", "parameter_fill", "parameter_outline"),
    Kind.INPUT: Look("x", "■", "frame", "input", "input_fill"),
    Kind.CONSTANT: Look("c", "⬚", word="constant, takes no gradient", style="rounded,filled,dashed"),
    Kind.FOLDED: Look("", "▢", "parameter_outline", "several values"),
}
_LEARNED = Look(fill="folded_fill", outline="parameter_outline")


def outline(box: Box, style: Style, progress: Progress | None = None) -> dict[str, str]:
    """Fill and outline; what is the table's default is left out. Thick is the root, or what passes on."""
    known = LOOKS.get(box.leaves or box.kind, Look())
    known = _LEARNED if box.kind is Kind.FOLDED and box.parameters else known
    found = {"fillcolor": known.fill, "color": known.outline}
    shown = {name: getattr(style.theme, colour) for name, colour in found.items() if colour}
    if known.outline:
        shown["penwidth"] = "2"
    if known.style:
        shown["style"] = known.style
    if box.root:
        shown |= {"color": style.theme.root_outline, "penwidth": "2" if progress else "3"}
    if progress and progress.passing:
        shown |= {"color": style.theme.root_outline, "penwidth": "4"}
    return shown


def label(box: Box, scale: Scale, style: Style, progress: Progress | None = None) -> str:
    """The label of a box, from ``<`` to ``>`` as DOT wants it; in a step of a pass with its progress."""
    band = look.band(box.grad, progress, scale, style) if progress else _band(box, scale, style)
    if box.kind is Kind.FOLDED:
        rows = _folded(box, scale, style)
    elif box.kind is not Kind.SUM:
        rows = _value(box, band, style)
    elif style.rankdir == "TB" and len(box.rows) <= COLUMNS:
        rows = _sum_in_columns(box, band, style)
    else:
        rows = _sum_in_rows(box, band, style)
    if box.notes:
        notes = (font(f"! {escaped(each, 32)}", style.theme.alarm, 9) for each in box.notes)
        rows = [cell(table(rows, 1)), *(cell(f"<B>{each}</B>", ALIGN="LEFT") for each in notes)]
    return f"<{table(rows, 1)}>"


# ---------------------------------------------------------------------------------- one value, or a sum
def _value(box: Box, band: str, style: Style) -> list[str]:
    sign = escaped(box.symbol, _SIGN) if box.symbol else LOOKS.get(box.kind, Look()).sign
    size = 13 if len(sign) < 3 else 11
    leaf = font(sign, style.theme.faint, size)
    shown = leaf if box.kind in LOOKS else sign and font(f"<B>{sign}</B>", size=size)
    # a bold gap puts the number on the line of a bold name
    gap = "<B>&#160;</B>" if box.named else "&#160;"
    head = cell(shown, ROWSPAN=2, WIDTH=18) + cell(_name(box, style), ALIGN="LEFT")
    return [head + cell(gap + _data(box.data, style), ALIGN="RIGHT"), cell(band, COLSPAN=2)]


def _sum_in_rows(box: Box, band: str, style: Style) -> list[str]:
    """The header, a row for each term, the gradient."""
    terms = (
        cell(_term(row), ALIGN="LEFT", PORT=row.port) + cell(number(row.data, style.digits), ALIGN="RIGHT")
        for row in box.rows
    )
    return [_sum_header(box, style), "<HR/>", *terms, cell(band, COLSPAN=2)]


def _sum_in_columns(box: Box, band: str, style: Style) -> list[str]:
    """The terms side by side, where their edges come in from above, then the sum and its gradient."""
    terms = "<VR/>".join(
        cell(f"{font(_term(row), size=9)}<BR/>{number(row.data, style.digits)}", PORT=row.port)
        for row in box.rows
    )
    total = [_sum_header(box, style), cell(band, COLSPAN=2)]
    return [terms, "<HR/>", cell(table(total, 1), COLSPAN=len(box.rows))] if box.rows else total


def _sum_header(box: Box, style: Style) -> str:
    name = cell(f"<B>{escaped(box.symbol or 'Σ', _SIGN)}</B> {_name(box, style)}", ALIGN="LEFT")
    return name + cell(f"<B>&#160;</B>{_data(box.data, style)}", ALIGN="RIGHT")


def _term(row: Row) -> str:
    """The term; of many that share a row the first, and their number, which is not cut."""
    first, dots, count = row.label.rpartition(" … (")
    return escaped(first, _TERM - 4) + dots + escaped(count, _TERM) if dots else escaped(row.label, _TERM)


def _name(box: Box, style: Style) -> str:
    name = escaped(narrowed(plain(box.name), _NAME))
    return f"<B>{name}</B>" if box.named else font(name, style.theme.faint)


def _data(data: float | None, style: Style) -> str:
    """A number; one that is none, or is beyond all numbers, stands out."""
    shown = number(data, style.digits)
    if data is None or math.isfinite(data):
        return shown
    return f"<B>{font(f'! {shown}', style.theme.alarm)}</B>"


def _band(box: Box, scale: Scale, style: Style) -> str:
    """The gradient on its colour; on an exercise sheet room for it, in the key underlined."""
    if box.blank == "blank":
        frame = {"BORDER": 1, "COLOR": style.theme.text, "BGCOLOR": style.theme.background}
        return table([cell("∇&#160;") + cell(fixed("", 76, 18), **frame)], 1)
    colour, shown = scale.colour(box.grad), signed(box.grad, style.digits)
    text = style.theme.band_text if colour else style.theme.faint
    shown = f"<B><U>{shown}</U></B>" if box.blank else shown
    number_ = cell(font(f"{shown}&#160;", text), ALIGN="RIGHT", WIDTH=46)
    return table([cell(font("∇&#160;", text), ALIGN="LEFT") + number_], 1, BGCOLOR=colour)


# ---------------------------------------------------------------------------------------- several values
def _folded(box: Box, scale: Scale, style: Style) -> list[str]:
    name = cell(_name(box, style), ALIGN="LEFT")
    if box.times > 1:
        name = cell(table([name + cell(f"<B>&#160;&#160;× {box.times}</B>", ALIGN="RIGHT")]))
    parameters = f", {box.parameters:,} θ" if box.parameters else ""
    told = [font(f"{box.values:,} value{'s' * (box.values != 1)}{parameters}", size=_SMALL)]
    if box.leaves is not Kind.CONSTANT:
        gradient = number(box.largest, style.digits)
        told.append(font(f"max |∇{'θ' if parameters else ''}| {gradient}", size=_SMALL))
        told += [_strip(box, scale, style)] if any(each is not None for each in box.strip) else []
    told += _spark(box.spark, scale, style) if any(each is not None for each in box.spark) else []
    return [name, *(cell(each, ALIGN="LEFT") for each in told)]


def _spark(largest: tuple[float | None, ...], scale: Scale, style: Style) -> list[str]:
    """A column for each step, the higher the larger its gradient on a log scale; and what the first has."""
    finite = [math.log10(each) for each in largest if each and math.isfinite(each)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    columns = ""
    for each in largest:
        sign = "·" if not each else "!"
        if each and math.isfinite(each):
            sign = _BARS[round((math.log10(each) - low) / (high - low or 1.0) * 7)]
        columns += font(sign, scale.strong(each or 0.0))
    ends = f"{number(largest[0], 3)} in the first, {number(largest[-1], 3)} in the last"
    return [font(columns, size=9), font(ends, style.theme.text, _SMALL)]


def _strip(box: Box, scale: Scale, style: Style) -> str:
    """A coloured square for each gradient; one that was not computed holds a dash and no colour."""
    squares = [
        cell(
            "" if each is not None else font("–", style.theme.faint, 5),
            FIXEDSIZE="TRUE", WIDTH=_SIDE, HEIGHT=_SIDE, COLOR=style.theme.frame, BGCOLOR=scale.colour(each),
        )
        for each in box.strip
    ]  # fmt: skip
    across = box.across or (_SQUARES if len(squares) <= _LONG else _MANY_SQUARES)
    rows = ["".join(squares[start : start + across]) for start in range(0, len(squares), across)]
    # a table of no fixed size would be stretched to the width of the box
    wide, high = (2 + count * (_SIDE + 2) for count in (min(len(squares), across), len(rows)))
    return table(rows, CELLBORDER=1, CELLSPACING=2, FIXEDSIZE="TRUE", ALIGN="LEFT", WIDTH=wide, HEIGHT=high)
