"""What stands in a box: HTML-like labels of Graphviz, one function for each look of box.

Colour fills only rounded tables inside the box, so that no corner pokes out of the rounded outline.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from viz import progress as look
from viz.colours import Scale
from viz.moment import Progress
from viz.picture import Box, Kind, Row
from viz.styles import Style
from viz.text import escaped, fixed, narrowed, number, plain, signed

__all__ = ["COLUMNS", "LEAF_SIGN", "label"]

#: Columns of a name, and of a term in a sum.
_NAME, _TERM = 24, 18
#: The type of what folded boxes tell beside their names.
_SMALL = 8
#: From top to bottom, a sum of up to so many terms shows them side by side.
COLUMNS = 6
#: Squares in a row of a strip, of a long strip, and the points of a side.
_SQUARES, _MANY_SQUARES, _SIDE = 6, 10, 10
#: From so many squares on a strip is long.
_LONG = 4 * _SQUARES + 1

#: The columns of a sparkline, from low to high.
_COLUMNS_OF = "▁▂▃▄▅▆▇█"

#: What marks a leaf, as the sign of its operation marks a computed value.
LEAF_SIGN = {Kind.PARAMETER: "θ", Kind.INPUT: "x", Kind.CONSTANT: "c"}

_PLAIN = 'BORDER="0" CELLBORDER="0" CELLSPACING="0"'


def label(box: Box, scale: Scale, style: Style, progress: Progress | None = None) -> str:
    """The label of a box, from ``<`` to ``>`` as DOT wants it; in a step of a pass with its progress."""
    if progress:
        band = look.band(box.grad, progress, scale, style)
    elif box.blank == "blank":
        band = _blank(style)
    else:
        band = _band(box.grad, scale, style, found=bool(box.blank))
    if box.kind is Kind.FOLDED:
        rows = _folded(box, scale, style)
    elif box.kind is Kind.SUM and style.rankdir == "TB" and len(box.rows) <= COLUMNS:
        rows = _sum_in_columns(box, band, style)
    elif box.kind is Kind.SUM:
        rows = _sum_in_rows(box, band, style)
    else:
        rows = _value(box, band, style)
    found = [
        f'<TD ALIGN="LEFT"{_span(box)}><B>{_font(f"! {escaped(each, 32)}", style.theme.alarm, 9)}</B></TD>'
        for each in box.notes
    ]
    return f"<{_table([*rows, *found], 1)}>"


def _span(box: Box) -> str:
    """Across all columns of a box."""
    if box.kind is Kind.FOLDED:
        return ""
    return f' COLSPAN="{max(len(box.rows), 3)}"' if box.kind is Kind.SUM else ' COLSPAN="3"'


def _value(box: Box, band: str, style: Style) -> list[str]:
    sign = escaped(box.symbol, 10) if box.symbol else LEAF_SIGN.get(box.kind, "")
    size = 13 if len(sign) < 3 else 11
    leaf = box.kind in LEAF_SIGN
    shown = _font(sign, style.theme.faint, size) if leaf else sign and _font(f"<B>{sign}</B>", size=size)
    head = (
        f'<TD ROWSPAN="2" WIDTH="18">{shown}</TD><TD ALIGN="LEFT">{_name(box, style)}</TD>'
        f'<TD ALIGN="RIGHT">{_beside_name(box, _data(box.data, style))}</TD>'
    )
    return [head, f'<TD COLSPAN="2">{band}</TD>']


def _sum_in_rows(box: Box, band: str, style: Style) -> list[str]:
    """The header, a row for each term, the gradient."""
    return [
        _sum_header(box, style),
        "<HR/>",
        *(
            f'<TD ALIGN="LEFT" PORT="{escaped(row.port)}">{_term(row)}</TD>'
            f'<TD ALIGN="RIGHT">{number(row.data, style.digits)}</TD>'
            for row in box.rows
        ),
        f'<TD COLSPAN="2">{band}</TD>',
    ]


def _sum_in_columns(box: Box, band: str, style: Style) -> list[str]:
    """The terms side by side, where their edges come in from above, then the sum and its gradient."""
    terms = "<VR/>".join(
        f'<TD PORT="{escaped(row.port)}">{_font(_term(row), size=9)}<BR/>'
        f"{number(row.data, style.digits)}</TD>"
        for row in box.rows
    )
    total = [_sum_header(box, style), f'<TD COLSPAN="2">{band}</TD>']
    span = max(len(box.rows), 1)
    return [terms, "<HR/>", f'<TD COLSPAN="{span}">{_table(total, 1)}</TD>'] if box.rows else total


def _sum_header(box: Box, style: Style) -> str:
    return (
        f'<TD ALIGN="LEFT"><B>{escaped(box.symbol or "Σ", 10)}</B> {_name(box, style)}</TD>'
        f'<TD ALIGN="RIGHT"><B>&#160;</B>{_data(box.data, style)}</TD>'
    )


def _folded(box: Box, scale: Scale, style: Style) -> list[str]:
    name = f'<TD ALIGN="LEFT">{_name(box, style)}</TD>'
    times = f'<TD ALIGN="RIGHT"><B>&#160;&#160;× {box.times}</B></TD>' if box.times > 1 else ""
    parameters = f", {box.parameters:,} θ" if box.parameters else ""
    count = f"{box.values:,} value{'s' * (box.values != 1)}{parameters}"
    gradient = f"max |∇{'θ' if box.parameters else ''}| {number(box.largest, style.digits)}"
    rows = [
        f"<TD>{_table([name + times])}</TD>" if times else name,
        f'<TD ALIGN="LEFT">{_font(count, size=_SMALL)}</TD>',
    ]
    if box.leaves is not Kind.CONSTANT:
        rows.append(f'<TD ALIGN="LEFT">{_font(gradient, size=_SMALL)}</TD>')
    if any(each is not None for each in box.strip) and box.leaves is not Kind.CONSTANT:
        rows.append(f'<TD ALIGN="LEFT">{_strip(box, scale, style)}</TD>')
    if any(each is not None for each in box.spark):
        rows += [f'<TD ALIGN="LEFT">{each}</TD>' for each in _spark(box.spark, scale, style)]
    return rows


def _spark(largest: tuple[float | None, ...], scale: Scale, style: Style) -> list[str]:
    """A column for each step, the higher the larger its gradient on a log scale; and what the first has."""
    finite = [math.log10(each) for each in largest if each and math.isfinite(each)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    columns = ""
    for each in largest:
        height = (math.log10(each) - low) / (high - low or 1.0) if each and math.isfinite(each) else 0.0
        sign = "·" if not each else _COLUMNS_OF[round(height * 7)] if math.isfinite(each) else "!"
        columns += _font(sign, scale.strong(each or 0.0))
    ends = f"{number(largest[0], 3)} in the first, {number(largest[-1], 3)} in the last"
    return [f'<FONT POINT-SIZE="9">{columns}</FONT>', _font(ends, style.theme.text, _SMALL)]


def _strip(box: Box, scale: Scale, style: Style) -> str:
    gradients = box.strip
    across = box.across or (_SQUARES if len(gradients) < _LONG else _MANY_SQUARES)
    rows = [
        "".join(_square(each, scale, style) for each in gradients[start : start + across])
        for start in range(0, len(gradients), across)
    ]
    # a table of no fixed size would be stretched to the width of the box
    wide, high = (2 + count * (_SIDE + 2) for count in (min(len(gradients), across), len(rows)))
    return (
        f'<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="2" CELLPADDING="0" FIXEDSIZE="TRUE" ALIGN="LEFT" '
        f'WIDTH="{wide}" HEIGHT="{high}">{_rows(rows)}</TABLE>'
    )


def _square(gradient: float | None, scale: Scale, style: Style) -> str:
    """A coloured square; one that was not computed holds a dash and no colour."""
    colour = scale.colour(gradient)
    fill = f' BGCOLOR="{colour}"' if colour else ""
    return (
        f'<TD FIXEDSIZE="TRUE" WIDTH="{_SIDE}" HEIGHT="{_SIDE}" COLOR="{style.theme.frame}"{fill}>'
        f"{'' if colour else _font('–', style.theme.faint, 5)}</TD>"
    )


def _blank(style: Style) -> str:
    """Room for a gradient that the reader finds."""
    frame = f'BORDER="1" COLOR="{style.theme.text}" BGCOLOR="{style.theme.background}"'
    room = f"<TD>∇&#160;</TD><TD {frame}>{fixed('', 76, 18)}</TD>"
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"><TR>{room}</TR></TABLE>'
    )


def _band(gradient: float | None, scale: Scale, style: Style, *, found: bool = False) -> str:
    colour = scale.colour(gradient)
    text = style.theme.band_text if colour else style.theme.faint
    fill = f' STYLE="ROUNDED" BGCOLOR="{colour}"' if colour else ""
    shown = signed(gradient, style.digits)
    shown = f"<B><U>{shown}</U></B>" if found else shown
    return (
        f'<TABLE {_PLAIN} CELLPADDING="1"{fill}><TR><TD ALIGN="LEFT">{_font("∇&#160;", text)}</TD>'
        f'<TD ALIGN="RIGHT" WIDTH="46">{_font(f"{shown}&#160;", text)}</TD></TR></TABLE>'
    )


def _data(data: float | None, style: Style) -> str:
    """A number; one that is none, or is beyond all numbers, stands out."""
    shown = number(data, style.digits)
    if data is None or math.isfinite(data):
        return shown
    return f"<B>{_font(f'! {shown}', style.theme.alarm)}</B>"


def _name(box: Box, style: Style) -> str:
    name = escaped(narrowed(plain(box.name), _NAME))
    return f"<B>{name}</B>" if box.named else _font(name, style.theme.faint)


def _beside_name(box: Box, number: str) -> str:
    """A number with a gap before it; a bold gap puts it on the line of a bold name."""
    return f"<B>&#160;</B>{number}" if box.named else f"&#160;{number}"


def _term(row: Row) -> str:
    """The term; of many that share a row the first, and their number, which is not cut."""
    first, dots, count = row.label.rpartition(" … (")
    return escaped(first, _TERM - 4) + dots + escaped(count, _TERM) if dots else escaped(row.label, _TERM)


def _font(text: str, colour: str = "", size: int = 0) -> str:
    how = (f' COLOR="{colour}"' if colour else "") + (f' POINT-SIZE="{size}"' if size else "")
    return f"<FONT{how}>{text}</FONT>"


def _table(rows: Iterable[str], padding: int = 0) -> str:
    return f'<TABLE {_PLAIN} CELLPADDING="{padding}">{_rows(rows)}</TABLE>'


def _rows(rows: Iterable[str]) -> str:
    return "".join(row if row == "<HR/>" else f"<TR>{row}</TR>" for row in rows)
