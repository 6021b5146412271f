"""How a step of a backward pass looks: bands that fill up, edges that carry, and room kept for what comes.

Nothing here may change the size of anything from one step to another.
"""

from __future__ import annotations

from viz.colours import Scale
from viz.moment import Flow, Progress, When
from viz.picture import Box, Edge
from viz.styles import Style
from viz.text import DASH, fixed, number, room, signed

__all__ = ["band", "colours", "edge_label", "edge_look", "outline", "style_of"]


#: The type of a band and of an edge's label.
_BAND, _LABEL = 10, 8
_HEIGHT = 14
_LEFT = '<BR ALIGN="LEFT"/>'


def style_of(progress: Progress | None, style: Style) -> Style:
    """The style of a box: pale until the gradient reaches it."""
    return style if progress is None or progress.reached else style._replace(pale=True)


def outline(box: Box, progress: Progress, style: Style) -> dict[str, str]:
    """Thick for the box that passes its gradient on, and for no other."""
    if progress.passing:
        return {"color": style.theme.root_outline, "penwidth": "4"}
    return {"penwidth": "2"} if box.root else {}


def colours(style: Style) -> dict[str, str]:
    """What a pale box has in place of the colours that all boxes have."""
    theme = style.theme
    return {"fillcolor": theme.fill, "color": theme.outline, "fontcolor": theme.text} if style.pale else {}


def band(gradient: float | None, progress: Progress, scale: Scale, style: Style) -> str:
    """``∇``, how many contributions are in, and the gradient so far: a full band once it is complete."""
    counts = f" {progress.expected}/{progress.expected}" if progress.expected > 1 else ""
    left = room([f" ∇{counts} "], _BAND)
    right = max(46, 4 + room([DASH, *(signed(each, style.digits) for each in progress.gradients)], _BAND))
    waits = progress.reached and not progress.final
    count = f"&#160;<B>{progress.paid}/{progress.expected}</B>" if waits else ""
    colour = scale.colour(gradient)
    fill = f' STYLE="ROUNDED" BGCOLOR="{colour}"' if colour else ""
    text = style.theme.band_text if colour else style.theme.faint
    whole, part = (fill, "") if progress.final else ("", fill)
    sign = _font(f"&#160;∇{count}", text if progress.final else style.theme.text)
    shown = _font(f"{signed(gradient, style.digits)}&#160;", text)
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"{whole}><TR>'
        f'<TD ALIGN="LEFT">{fixed(sign, left, _HEIGHT, "LEFT")}</TD>'
        f'<TD ALIGN="RIGHT"{part}>{fixed(shown, right, _HEIGHT, "RIGHT")}</TD></TR></TABLE>'
    )


def edge_look(flow: Flow, style: Style) -> dict[str, str]:
    """The lines of the step are thick, point the way the gradient goes, and have the colour of its sign."""
    if flow.when is When.NOW:
        return {"color": _colour(flow, style), "penwidth": "2.5", "dir": "back", "arrowsize": "0.8"}
    if flow.when is When.AHEAD:
        return {"color": style._replace(pale=True).theme.edge}
    return {}


def edge_label(edge: Edge, flow: Flow, style: Style) -> str:
    """The local derivative, above what it makes of the upstream gradient in this step."""
    local = "" if edge.local is None or edge.local == 1.0 else f"×{number(edge.local, style.digits)}"
    amount = signed(flow.amount, style.digits)
    theme = style_of(None if flow.when is not When.AHEAD else Progress(0, 1), style).theme
    lines = []
    if local and (style.edges == "local" or flow.when is When.NOW):
        lines.append(_font(local, theme.faint))
    if flow.when is When.NOW or (style.edges == "contribution" and flow.when is When.PAST):
        shown = f"<B>{amount}</B>" if flow.when is When.NOW else amount
        lines.append(_font(shown, _colour(flow, style)))
    width = max(room([local], _LABEL), room([amount], _LABEL, bold=True)) + 4
    return f"<{fixed(''.join(f'&#160;{line}{_LEFT}' for line in lines), width, 22, 'LEFT')}>"


def _colour(flow: Flow, style: Style) -> str:
    theme = style.theme
    return theme.edge_minus if flow.amount < 0 else theme.edge_plus if flow.amount > 0 else theme.edge


def _font(text: str, colour: str) -> str:
    return f'<FONT COLOR="{colour}">{text}</FONT>'
