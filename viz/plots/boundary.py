"""Where a classifier of points in the plane changes its mind."""

from __future__ import annotations

from typing import Any

import numpy as np

from microbp import Value, no_grad
from viz.plots.axes import BLUE, ORANGE, axes
from viz.refusal import whole_number

__all__ = ["plot_boundary"]


def plot_boundary(net: Any, X: Any, Y: Any, *, resolution: int = 80, ax: Any = None) -> Any:
    """The points of a 2-D data set over the net's answer for every place around them.

    ``net`` is called with one point, a list of two floats. Where it returns one Value, the classes are
    told by its sign and the colour is its size: blue for positive, orange for negative, the boundary a
    line. Where it returns several, the class is the largest of them. ``X`` has the shape (samples, 2),
    ``Y`` holds a label for each. Returns the matplotlib Figure.

    >>> from microbp import Value
    >>> figure = plot_boundary(lambda x: Value(x[0] - x[1]), [[0, 1], [1, 0]], [-1, 1], resolution=10)
    >>> len(figure.axes[0].collections) >= 3      # the areas, the boundary, the points
    True

    It asks the net ``resolution``² times, and records nothing. Raises ValueError where X is not a list of
    points in the plane or Y has another length, ImportError without matplotlib.
    """
    if not callable(net):
        raise TypeError(f"a net is called with one point, and {type(net).__name__} cannot be called")
    whole_number("resolution", resolution)
    try:
        points, labels = np.asarray(X, dtype=float), np.ravel(np.asarray(Y))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"X is a list of points, two numbers each, and Y their labels: {error}") from None
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"a boundary is drawn for points in the plane: X has the shape {points.shape}")
    if len(labels) != len(points):
        raise ValueError(f"there are {len(points)} points in X but {len(labels)} labels in Y")
    if resolution < 2:
        raise ValueError(f"resolution is the number of places along each axis, at least 2, not {resolution}")
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.1 * np.where(high > low, high - low, 1.0)
    across, up = (np.linspace(low[i] - margin[i], high[i] + margin[i], resolution) for i in (0, 1))
    with no_grad():
        answers = [[_numbers(net([float(x), float(y)])) for x in across] for y in up]
    scores = np.array(answers)
    ax = axes(ax, 6.0, 5.0)
    ax.grid(visible=False)
    if scores.shape[2] == 1:
        _by_sign(ax, across, up, scores[:, :, 0])
    else:
        ax.contourf(across, up, scores.argmax(axis=2), levels=np.arange(scores.shape[2] + 1) - 0.5,
                    cmap="tab10", vmin=0, vmax=10, alpha=0.3)  # fmt: skip
    classes = sorted(set(labels.tolist()))
    for index, label in enumerate(classes):
        mine = points[labels == label]
        colour = (ORANGE, BLUE)[index] if len(classes) <= 2 else f"C{index % 10}"
        ax.scatter(*mine.T, s=22, color=colour, edgecolor="white", linewidth=0.6, label=str(label))
    ax.legend(frameon=False, title="class", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax.figure


def _numbers(answer: Any) -> list[float]:
    several = [answer] if isinstance(answer, Value | float | int) else list(np.ravel(answer))
    return [each.data if isinstance(each, Value) else float(each) for each in several]


def _by_sign(ax: Any, across: Any, up: Any, scores: Any) -> None:
    from matplotlib.colors import LinearSegmentedColormap, SymLogNorm

    largest = float(np.abs(scores[np.isfinite(scores)]).max(initial=0.0)) or 1.0
    colours = LinearSegmentedColormap.from_list("gradient", [ORANGE, "white", BLUE])
    norm = SymLogNorm(0.1 * largest, vmin=-largest, vmax=largest)
    ax.pcolormesh(across, up, scores, cmap=colours, norm=norm, alpha=0.55, shading="nearest", rasterized=True)
    if scores.min() < 0.0 < scores.max():
        ax.contour(across, up, scores, levels=[0.0], colors="#333333", linewidths=1.2)
