"""Plots beside the graph: the cost over the steps, the decision boundary, histograms over training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microbp import History, Module, Value, data_of, no_grad
from microbp.text import quoted
from viz.options import whole_number

#: The colours of + and − in the drawings of graphs.
BLUE, ORANGE, GREY = "#2166ac", "#b35806", "#555555"


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots are drawn by matplotlib: pip install 'microbp[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _axes(given: Any, width: float = 6.0, height: float = 4.0) -> Any:
    """The axes given, or those of a new figure, with a light grid and no box around."""
    ax = _figure(width, height).add_subplot() if given is None else given
    if not hasattr(ax, "spines"):
        raise TypeError(f"ax is None, or the axes of a matplotlib figure, not {quoted(given)}")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def plot_boundary(net: Callable[..., Any], X: Any, Y: Any, *, resolution: int = 80, ax: Any = None) -> Any:
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
    resolution = whole_number("resolution", resolution, 2)
    try:
        points, labels = np.asarray(X, dtype=float), np.ravel(np.asarray(Y))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"X is a list of points, two numbers each, and Y their labels: {error}") from None
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"a boundary is drawn for points in the plane: X has the shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("a boundary is drawn for points in the plane: X has numbers that are not finite")
    if len(labels) != len(points):
        raise ValueError(f"there are {len(points)} points in X but {len(labels)} labels in Y")
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.1 * np.where(high > low, high - low, 1.0)
    across, up = (np.linspace(low[i] - margin[i], high[i] + margin[i], resolution) for i in (0, 1))
    with no_grad():
        answers = [[_numbers(net([float(x), float(y)])) for x in across] for y in up]
    scores = np.array(answers)
    ax = _axes(ax, 6.0, 5.0)
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
    """The data of one Value, or number, or of several."""
    try:
        return [each.data if isinstance(each, Value) else float(each) for each in np.ravel(answer)]
    except (TypeError, ValueError):
        raise TypeError(f"a net returns a Value or several, not {quoted(answer)}") from None


def _by_sign(ax: Any, across: Any, up: Any, scores: Any) -> None:
    from matplotlib.colors import LinearSegmentedColormap, SymLogNorm

    largest = float(np.abs(scores[np.isfinite(scores)]).max(initial=0.0)) or 1.0
    colours = LinearSegmentedColormap.from_list("gradient", [ORANGE, "white", BLUE])
    norm = SymLogNorm(0.1 * largest, vmin=-largest, vmax=largest)
    ax.pcolormesh(across, up, scores, cmap=colours, norm=norm, alpha=0.55, shading="nearest", rasterized=True)
    if scores.min() < 0.0 < scores.max():
        ax.contour(across, up, scores, levels=[0.0], colors="#333333", linewidths=1.2)


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
    if isinstance(history, History):
        run = history
    else:
        run = History(cost=[x for [x] in (np.ravel(data_of(each)).tolist() for each in history)])
    if not run.cost:
        raise ValueError("this run has no cost to plot: no epoch was finished")
    ax = _axes(ax)
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


class Snapshots:
    """The parameters of a module, and their gradients, at several moments of its training.

    >>> from microbp import MLP
    >>> net = MLP(2, [3, 1], seed=1)
    >>> snapshots = Snapshots(net)
    >>> for _ in range(3):
    ...     (net([1.0, 2.0]) ** 2).backward()
    ...     snapshots.take()
    >>> len(snapshots), snapshots.layers
    (3, ('layers.0', 'layers.1'))

    Take one after ``backward()`` and before the gradients are forgotten. The layers are those of
    :meth:`microbp.Module.parameter_layers`.
    """

    def __init__(self, net: Module) -> None:
        self._parameters = net.parameter_layers()
        if not self._parameters:
            raise ValueError(f"{type(net).__name__} has no parameters")
        #: For each moment and layer the numbers of its parameters.
        self.weights: list[dict[str, list[float]]] = []
        #: The same of the gradients; parameters that have none are left out.
        self.gradients: list[dict[str, list[float]]] = []

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in the order of the module."""
        return tuple(self._parameters)

    def take(self) -> None:
        """Keep the numbers of this moment."""
        layers = self._parameters.items()
        self.weights.append({layer: [v.data for v in values] for layer, values in layers})
        self.gradients.append(
            {layer: [v.grad for v in values if v.grad is not None] for layer, values in layers}
        )

    def __len__(self) -> int:
        return len(self.weights)


def plot_histograms(snapshots: Snapshots, *, bins: int = 40) -> Any:
    """For each layer two histograms over time, of its weights and of its gradients; the Figure.

    Each column of a picture is one moment, darker where more numbers lie: the colour bar says what share of
    the moment's numbers. All layers have one scale, so that a gradient that vanishes with depth is seen to
    sink. Gradients are shown by log₁₀ of their size. Exact zeros, such as biases before the first step, have
    no logarithm and would outshine all else: they are counted in the title.

    Raises ValueError where there are no snapshots, ImportError without matplotlib.
    """
    _taken(snapshots)
    bins = whole_number("bins", bins, 1)
    layers = snapshots.layers
    made = _figure(8.6, 0.6 + 1.9 * len(layers))
    grid = made.subplots(len(layers), 2, squeeze=False, sharex=True, sharey="col")
    meshes = _histograms(grid[:, 0], layers, snapshots.weights, bins, "weights")
    meshes += _histograms(grid[:, 1], layers, snapshots.gradients, bins, "log₁₀ |gradient|")
    most = max((float(mesh.get_array().max()) for mesh in meshes), default=1.0)
    for mesh in meshes:
        mesh.set_clim(0.0, most)
    if meshes:
        made.colorbar(meshes[0], ax=grid, label="share of a moment's numbers", aspect=40, pad=0.02)
    for ax in grid[-1]:
        ax.set_xlabel("snapshot")
    return made


def _taken(snapshots: Snapshots) -> None:
    if not len(snapshots):
        raise ValueError("there are no snapshots yet: call take() after backward()")


def _histograms(
    column: Any, layers: Sequence[str], taken: list[dict[str, list[float]]], bins: int, what: str
) -> list[Any]:
    """The pictures of one column, whose bins are those of all layers."""
    seen = {layer: [_nonzero(moment[layer], log="log" in what) for moment in taken] for layer in layers}
    everything = [x for moments in seen.values() for moment in moments for x in moment]
    low, high = min(everything, default=0.0), max(everything, default=0.0)
    pad = 0.05 * (high - low) or 0.5 * max(abs(low), 1e-6)
    edges = np.linspace(low - pad, high + pad, bins + 1)
    meshes = []
    for ax, layer in zip(column, layers, strict=True):
        zeros = _zeros([x for moment in taken for x in moment[layer]], " ({})")
        ax.set_title(f"{layer}: {what}{zeros}", fontsize=9, loc="left")
        if not any(seen[layer]):
            ax.text(0.5, 0.5, "none", ha="center", va="center", transform=ax.transAxes, color="#777777")
            continue
        counts = np.array([np.histogram(moment, edges)[0] for moment in seen[layer]])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        times = np.arange(len(taken) + 1) + 0.5
        meshes.append(ax.pcolormesh(times, edges, shares.T, cmap="Blues", vmin=0.0, rasterized=True))
    return meshes


def _zeros(numbers: Sequence[float], text: str) -> str:
    zeros = sum(x == 0.0 for x in numbers)
    return text.format(f"{zeros:,} of {len(numbers):,} are 0") if zeros else ""


def _nonzero(numbers: Sequence[float], *, log: bool = False) -> list[float]:
    finite = [x for x in numbers if x and np.isfinite(x)]
    return [math.log10(abs(x)) for x in finite] if log else finite


def plot_gradient_flow(snapshots: Snapshots, *, moments: int = 4, ax: Any = None) -> Any:
    """The size of the gradients by depth: a line from the first layer to the last for some moments.

    A line is the median of |∇θ| in each layer, on a log scale, with a band from the smallest to the largest
    for the last moment. Where a line falls to the left the gradient vanishes on its way to the first layer.
    Exact zeros are left out and counted below the layer. ``moments``, of those taken, are spread evenly.
    Returns the matplotlib Figure (of the axes ``ax`` if these are given).

    >>> from microbp import MLP
    >>> net = MLP(2, [3, 3, 1], seed=1)
    >>> snapshots = Snapshots(net)
    >>> (net([1.0, 2.0]) ** 2).backward()
    >>> snapshots.take()
    >>> [line.get_label() for line in plot_gradient_flow(snapshots).axes[0].lines]
    ['snapshot 1']

    A layer without gradients leaves a gap. Raises ValueError where there are no snapshots, ImportError
    without matplotlib.
    """
    _taken(snapshots)
    moments = whole_number("moments", moments, 1)
    ax = _axes(ax, 7.0, 4.0)
    layers, count = snapshots.layers, len(snapshots)
    depth = np.arange(len(layers))
    chosen = sorted({round(each) for each in np.linspace(count - 1, 0, min(moments, count))})
    for place, moment in enumerate(chosen):
        sizes = [np.abs(_nonzero(snapshots.gradients[moment][layer]) or [np.nan]) for layer in layers]
        strength = 0.35 + 0.65 * (place + 1) / len(chosen)
        middle = [float(np.median(each)) for each in sizes]
        ax.plot(depth, middle, "o-", color=BLUE, alpha=strength, label=f"snapshot {moment + 1}")
        if moment == count - 1:
            ends = [each.min() for each in sizes], [each.max() for each in sizes]
            ax.fill_between(depth, *ends, color=BLUE, alpha=0.12, linewidth=0.0)
    if any(np.isfinite(line.get_ydata()).any() for line in ax.lines):
        ax.set_yscale("log")
    else:
        ax.text(0.5, 0.5, "no gradients", ha="center", va="center", transform=ax.transAxes, color="#777777")
    ax.set_xticks(depth, [each + _zeros(snapshots.gradients[-1][each], "\n{}") for each in layers])
    ax.set_ylabel("|∇θ|, median")
    if len(chosen) > 1:
        ax.legend(frameon=False)
    return ax.figure
