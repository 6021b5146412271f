"""What is written in a picture, as HTML-like labels of Graphviz: in boxes, at edges, and above it all.

Colour fills only rounded tables inside a box, so that no corner pokes out of the rounded outline. In the
pictures of a pass nothing changes its size from one step to another: room is kept for what comes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

from viz.colours import Scale
from viz.options import Style
from viz.picture import Box, Edge, Kind, Picture, Row
from viz.text import cell, escaped, fixed, font, narrowed, number, plain, room, shortened, signed, table

#: Columns of a name, of a term in a sum, and of an operation's sign with its literal.
_NAME, _TERM, _SIGN = 24, 18, 12
_SMALL = 8  #: The type of what folded boxes tell beside their names.
COLUMNS = 6  #: From top to bottom, a sum of up to so many terms shows them side by side.
#: Squares in a row of a strip, of one with more than so many, and the points of a side.
_SQUARES, _LONG, _MANY_SQUARES, _SIDE = 6, 24, 10, 10
_BARS = "▁▂▃▄▅▆▇█"  #: The columns of a sparkline, from low to high.
_BAND, _HEIGHT = 10, 14  #: Room in the band of a step: the type, the height.
_EDGE = 8  #: The type of an edge's label.
_TITLE, _NOTE = 80, 140  #: Columns of the title, and of the line below it.
_GAP = "&#160;"
_TIMES = {1: "ten times", 2: "100 times", 3: "1,000 times"}
_EDGES = {
    "local": "→ ×2 local derivative, left out where it is 1",
    "contribution": "→ +2 upstream gradient × local derivative",
}
#: What the picture of a step has beside.
_STEP = (
    "<B>▢</B> passes its gradient on    <B>→ +2</B> contribution: upstream × local    "
    "<B>1/2</B> one of two contributions is in    — not reached yet"
).replace("    ", _GAP * 4)


class Look(NamedTuple):
    """How boxes of a kind look; colours are fields of :class:`viz.colours.Theme`."""

    #: What marks a leaf; in the legend a sample, its colour, and what it means.
    sign: str = ""
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


def outline(box: Box, style: Style) -> dict[str, str]:
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
        shown |= {"color": style.theme.root_outline, "penwidth": "2" if box.progress else "3"}
    if box.progress and box.progress.step and box.progress.step == box.progress.passes:
        shown |= {"color": style.theme.root_outline, "penwidth": "4"}
    return shown


def label(box: Box, scale: Scale, style: Style) -> str:
    """The label of a box, from ``<`` to ``>`` as DOT wants it."""
    if box.kind is Kind.FOLDED:
        rows = _folded(box, scale, style)
    else:
        rows = (_sum if box.kind is Kind.SUM else _value)(box, _band(box, scale, style), style)
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


def _sum(box: Box, band: str, style: Style) -> list[str]:
    """The sum, its terms and its gradient: few terms side by side, where their edges come in from above."""
    name = cell(f"<B>{escaped(box.symbol or 'Σ', _SIGN)}</B> {_name(box, style)}", ALIGN="LEFT")
    head = name + cell(f"<B>&#160;</B>{_data(box.data, style)}", ALIGN="RIGHT")
    below = cell(band, COLSPAN=2)
    terms = [(_term(row), number(row.data, style.digits), row.port) for row in box.rows]
    if style.rankdir == "LR" or len(terms) > COLUMNS:
        rows = (cell(told, ALIGN="LEFT", PORT=port) + cell(data, ALIGN="RIGHT") for told, data, port in terms)
        return [head, "<HR/>", *rows, below]
    across = "<VR/>".join(cell(f"{font(told, size=9)}<BR/>{data}", PORT=port) for told, data, port in terms)
    return [across, "<HR/>", cell(table([head, below], 1), COLSPAN=len(terms))] if terms else [head, below]


def _term(row: Row) -> str:
    """The term; of many that share a row the first, if it has a name, and their number, which is not cut."""
    if row.terms == 1:
        return escaped(row.label, _TERM)
    several = f"{row.terms:,} terms"
    return f"{escaped(row.label, _TERM - 4)} … ({several})" if row.label else several


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
    """The gradient on its colour; on an exercise sheet room for it, in the key underlined.

    In a step: how many contributions are in, and the gradient so far; a full band once it is complete.
    """
    if box.blank == "blank":
        frame = {"BORDER": 1, "COLOR": style.theme.text, "BGCOLOR": style.theme.background}
        return table([cell("∇&#160;") + cell(fixed("", 76, 18), **frame)], 1)
    colour, shown, progress = scale.colour(box.grad), signed(box.grad, style.digits), box.progress
    text = style.theme.band_text if colour else style.theme.faint
    number_ = font(f"{f'<B><U>{shown}</U></B>' if box.blank else shown}&#160;", text)
    if progress is None:
        sides = cell(font("∇&#160;", text), ALIGN="LEFT") + cell(number_, ALIGN="RIGHT", WIDTH=46)
        return table([sides], 1, BGCOLOR=colour)
    paid, expected = progress.paid, len(progress.received)
    left = room([f" ∇ {expected}/{expected} " if expected > 1 else " ∇ "], _BAND)
    told = (signed(after, style.digits) for after in (None, *(after for _, after in progress.received)))
    right = max(46, 4 + room(told, _BAND))
    count = f"&#160;<B>{paid}/{expected}</B>" if paid and not progress.final else ""
    sign = font(f"&#160;∇{count}", text if progress.final else style.theme.text)
    fill: dict[str, Any] = {"STYLE": "ROUNDED", "BGCOLOR": colour} if colour else {}
    part, whole = ({}, fill) if progress.final else (fill, {})
    sides = cell(fixed(sign, left, _HEIGHT, "LEFT"), ALIGN="LEFT")
    return table([sides + cell(fixed(number_, right, _HEIGHT, "RIGHT"), ALIGN="RIGHT", **part)], **whole)


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


# ------------------------------------------------------------------------------------------- at an edge
def edge_look(edge: Edge, style: Style) -> dict[str, str]:
    """The lines of the step are thick, point the way the gradient goes, and have the colour of its sign."""
    flow, look = edge.flow, dict[str, str]()
    if flow and flow.paid == flow.step:
        look = {"penwidth": "2.5", "dir": "back", "arrowsize": "0.8"}
    paid = flow.amount if flow else edge.contribution
    if look or (paid and not flow and style.edges == "contribution"):
        look["color"] = _sign_colour(paid or 0.0, style)
    if edge.alarm and not (flow and flow.paid > flow.step):
        look |= {"color": style.theme.alarm, "penwidth": "2.5"}
    return look


def edge_label(edge: Edge, style: Style) -> str:
    """How many edges it is, and the derivative or the contribution, whichever is asked for; or the alarm.

    In a step: the local derivative, above what it makes of the upstream gradient. Where that is added to what
    came before, the sum is written out: ``−0.019 +0.055 → +0.036``.
    """
    if edge.flow is None:
        if edge.alarm:
            return f"<{font(f'<B>{edge.alarm}</B>', style.theme.alarm)}>"
        many = f"{edge.count:,} edges" if edge.count > 1 else ""
        if style.edges == "contribution" and edge.contribution is not None:
            return (f"{many}, max " if many else "") + signed(edge.contribution, style.digits)
        return "" if style.edges == "none" else many or (style.edges == "local" and _local(edge, style)) or ""
    flow, (local, before, amount, after) = edge.flow, _terms(edge, style)
    now, lines = flow.paid == flow.step, []
    if local and (style.edges == "local" or now):
        lines.append(font(local, style.theme.faint))
    if edge.alarm and flow.paid <= flow.step:
        lines = [font(f"<B>{edge.alarm}</B>", style.theme.alarm)]
    elif now:
        lines.append(font(f"{before}<B>{amount}</B>{after}", _sign_colour(flow.amount, style)))
    elif style.edges == "contribution" and flow.paid < flow.step:
        lines.append(font(amount, _sign_colour(flow.amount, style)))
    text = "".join(f'&#160;{line}<BR ALIGN="LEFT"/>' for line in lines)
    return f"<{fixed(text, edge_room(edge, style), 22, 'LEFT')}>"


def edge_room(edge: Edge, style: Style) -> int:
    """So many points wide is that label, whatever it shows in a step."""
    local, before, amount, after = _terms(edge, style)
    told = room([amount], _EDGE, bold=True) + room([before + after], _EDGE)
    return max(room([local], _EDGE), room([edge.alarm], _EDGE, bold=True), told) + 4


def _terms(edge: Edge, style: Style) -> tuple[str, str, str, str]:
    """The local derivative, the gradient before, the contribution, and the gradient after it, in words."""
    flow = edge.flow
    assert flow, "what an edge pays is told in the picture of a step"
    before = "" if flow.before is None else f"{signed(flow.before, style.digits)} "
    after = before and f" → {signed(flow.after, style.digits)}"
    return _local(edge, style), before, signed(flow.amount, style.digits), after


def _local(edge: Edge, style: Style) -> str:
    return "" if edge.local is None or edge.local == 1.0 else f"×{number(edge.local, style.digits)}"


def _sign_colour(amount: float, style: Style) -> str:
    theme = style.theme
    return theme.edge_minus if amount < 0 else theme.edge_plus if amount > 0 else theme.edge


# ------------------------------------------------------------------------------------- above the boxes
def scale_of(picture: Picture, style: Style) -> Scale:
    """The scale of all gradients that a picture shows; of a step, of those that any step shows."""
    return Scale.over(_gradients(picture), style.theme)


def _gradients(picture: Picture) -> list[float | None]:
    found: list[float | None] = [edge.flow.amount for edge in picture.edges if edge.flow]
    for box in picture.boxes:
        received = [after for _, after in box.progress.received] if box.progress else []
        found += (box.grad, box.largest, *box.strip, *box.spark, *received)
    return found


def heading(picture: Picture, scale: Scale, style: Style) -> str:
    """The label of the whole graph: a row each for the title, what was folded, the colours, and the kinds."""
    count = f"{picture.values:,} value{'s' * (picture.values != 1)}"
    lines = [_title(picture), *(escaped(line, _NOTE) for line in (picture.note or count).splitlines())]
    if style.legend:
        lines += [_scale(picture, scale), _kinds(picture, style), _STEP if picture.captions else ""]
    told = font(table(map(cell, filter(None, lines)), 2), style.theme.faint, 9)
    return f"<{told}>".replace("<B>", f'<FONT COLOR="{style.theme.text}"><B>').replace("</B>", "</B></FONT>")


def _title(picture: Picture) -> str:
    """The title; in the picture of a step with room for that of any other step."""
    shown = font(f"<B>{escaped(picture.title, _TITLE)}</B>", size=13) if picture.title else ""
    return fixed(shown, _widest(picture.captions), 18) if picture.captions and shown else shown


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
    without = (box for box in picture.boxes if box.grad is None and not box.blank)
    lacks = not picture.captions and any(box.data is not None for box in without)
    parts = [
        f"∇{_GAP * 2}{number(-scale.largest)} {minus} 0 {plus} +{top}",
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
