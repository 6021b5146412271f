"""How a step of a backward pass looks: bands that fill up, edges that carry, and room kept for what comes.

Nothing here may change the size of anything from one step to another.
"""

from __future__ import annotations

from viz.colours import Scale
from viz.moment import Flow, Progress, When
from viz.picture import Edge
from viz.styles import Style
from viz.text import DASH, fixed, number, room, signed

__all__ = ["band", "edge_label", "edge_look"]


#: The type of a band and of an edge's label.
_BAND, _LABEL = 10, 8
_HEIGHT = 14
_LEFT = '<BR ALIGN="LEFT"/>'


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
    if flow.when is not When.NOW:
        return {}
    return {"color": _colour(flow, style), "penwidth": "2.5", "dir": "back", "arrowsize": "0.8"}


def edge_label(edge: Edge, flow: Flow, style: Style) -> str:
    """The local derivative, above what it makes of the upstream gradient in this step.

    Where that is added to what came before, the sum is written out: ``−0.019 +0.055 → +0.036``. What makes a
    number that is none says how, from its step on.
    """
    local = "" if edge.local is None or edge.local == 1.0 else f"×{number(edge.local, style.digits)}"
    amount, now = signed(flow.amount, style.digits), flow.when is When.NOW
    before = "" if flow.before is None else f"{signed(flow.before, style.digits)} "
    after = before and f" → {signed(flow.after, style.digits)}"
    lines = []
    if local and (style.edges == "local" or now):
        lines.append(_font(local, style.theme.faint))
    if edge.alarm and flow.when is not When.AHEAD:
        lines = [_font(f"<B>{edge.alarm}</B>", style.theme.alarm)]
    elif now:
        lines.append(_font(f"{before}<B>{amount}</B>{after}", _colour(flow, style)))
    elif style.edges == "contribution" and flow.when is When.PAST:
        lines.append(_font(amount, _colour(flow, style)))
    told = room([amount], _LABEL, bold=True) + room([before + after], _LABEL)
    wide = max(room([local], _LABEL), room([edge.alarm], _LABEL, bold=True), told) + 4
    return f"<{fixed(''.join(f'&#160;{line}{_LEFT}' for line in lines), wide, 22, 'LEFT')}>"


def _colour(flow: Flow, style: Style) -> str:
    theme = style.theme
    return theme.edge_minus if flow.amount < 0 else theme.edge_plus if flow.amount > 0 else theme.edge


def _font(text: str, colour: str) -> str:
    return f'<FONT COLOR="{colour}">{text}</FONT>'
