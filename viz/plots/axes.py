"""Where plots are drawn: axes of the caller's, or a figure of our own that belongs to no window."""

from __future__ import annotations

from typing import Any

__all__ = ["BLUE", "GREY", "ORANGE", "axes", "figure"]

#: The colours of + and − in the drawings of graphs.
BLUE, ORANGE, GREY = "#2166ac", "#b35806", "#555555"


def figure(width: float, height: float) -> Any:
    """A new matplotlib Figure of that size in inches; ImportError says how to get matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots are drawn by matplotlib: pip install 'microbp[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def axes(given: Any, width: float = 6.0, height: float = 4.0) -> Any:
    """The axes given, or those of a new figure, with a light grid and no box around."""
    ax = figure(width, height).add_subplot() if given is None else given
    if not hasattr(ax, "spines"):
        raise TypeError(f"ax is None, or the axes of a matplotlib figure, not {given!r}")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax
