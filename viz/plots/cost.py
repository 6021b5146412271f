"""The cost over a training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from microbp import History
from viz.plots.axes import BLUE, GREY, ORANGE, axes

__all__ = ["plot_cost"]


def plot_cost(history: History | Sequence[float], *, log: bool | None = None, ax: Any = None) -> Any:
    """The cost of each epoch, with the validation cost and the best epoch where there is one.

    ``history`` is what :func:`microbp.fit` returns, or a list of costs. ``log`` chooses a logarithmic
    axis; None takes one where the costs are positive and span more than a factor of 30. Returns the
    matplotlib Figure (of the axes ``ax`` if these are given).

    >>> figure = plot_cost([1.0, 0.5, 0.25])
    >>> [float(y) for y in figure.axes[0].lines[0].get_ydata()]
    [1.0, 0.5, 0.25]

    A cost that is not finite leaves a gap. Raises ValueError where there is no cost at all, ImportError
    without matplotlib.
    """
    try:
        run = history if isinstance(history, History) else History(cost=[float(each) for each in history])
    except (TypeError, ValueError):
        raise TypeError(
            f"plot_cost() takes what fit() returns, or a list of costs, not {type(history).__name__}"
        ) from None
    if not run.cost:
        raise ValueError("this run has no cost to plot: no epoch was finished")
    ax = axes(ax)
    lines = [("cost", run.cost, BLUE), ("validation cost", run.validation_cost, ORANGE)]
    for label, costs, colour in lines:
        if costs:
            ax.plot(range(1, len(costs) + 1), costs, color=colour, label=label, linewidth=1.6)
    finite = [cost for _, costs, _ in lines for cost in costs if math.isfinite(cost)]
    if log or (log is None and finite and min(finite) > 0.0 and max(finite) > 30.0 * min(finite)):
        ax.set_yscale("log")
    if run.validation_cost and run.best_epoch is not None:
        ax.axvline(run.best_epoch, color=GREY, linewidth=1.0, linestyle=":", label=f"best: {run.best_epoch}")
    ax.set_xlabel("epoch")
    ax.set_ylabel("cost")
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(frameon=False)
    return ax.figure
