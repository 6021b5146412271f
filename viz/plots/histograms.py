"""Weights and gradients of each layer over a training run."""

from __future__ import annotations

from typing import Any

import numpy as np

from microbp import Module
from viz.plots.axes import figure

__all__ = ["Snapshots", "plot_histograms"]


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
        if not isinstance(net, Module):
            raise TypeError(f"Snapshots() takes the module that is trained, not {type(net).__name__}")
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

    Each column of a picture is one moment, darker where more numbers lie; the share of a column's
    numbers is what the colour shows. Gradients are shown by log₁₀ of their size, so that vanishing ones
    can be seen; exact zeros, which have no logarithm, are counted in the title.

    Raises ValueError where there are no snapshots, ImportError without matplotlib.
    """
    if not isinstance(snapshots, Snapshots):
        raise TypeError(
            f"plot_histograms() takes Snapshots(net), with a take() after each backward(), not "
            f"{type(snapshots).__name__}"
        )
    if not len(snapshots):
        raise ValueError("there are no snapshots yet: call take() after backward()")
    made = figure(8.0, 0.6 + 1.9 * len(snapshots.layers))
    grid = made.subplots(len(snapshots.layers), 2, squeeze=False, sharex=True)
    for (left, right), layer in zip(grid, snapshots.layers, strict=True):
        _histogram(left, [each[layer] for each in snapshots.weights], bins, f"{layer}: weights")
        gradients = [each[layer] for each in snapshots.gradients]
        sizes = [[float(np.log10(abs(g))) for g in moment if g and np.isfinite(g)] for moment in gradients]
        zeros = sum(g == 0.0 for moment in gradients for g in moment)
        total = sum(map(len, gradients))
        told = f" ({zeros} of {total} are 0)" if zeros else ""
        _histogram(right, sizes, bins, f"{layer}: log₁₀ |gradient|{told}")
    for ax in grid[-1]:
        ax.set_xlabel("snapshot")
    return made


def _histogram(ax: Any, moments: list[list[float]], bins: int, title: str) -> None:
    ax.set_title(title, fontsize=9, loc="left")
    everything = [x for moment in moments for x in moment if np.isfinite(x)]
    if not everything:
        ax.text(0.5, 0.5, "none", ha="center", va="center", transform=ax.transAxes, color="#777777")
        ax.set_yticks([])
        return
    low, high = min(everything), max(everything)
    pad = 0.05 * (high - low) or 0.5 * max(abs(low), 1e-6)
    edges = np.linspace(low - pad, high + pad, bins + 1)
    counts = np.array([np.histogram([x for x in moment if np.isfinite(x)], edges)[0] for moment in moments])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    times = np.arange(len(moments) + 1) + 0.5
    ax.pcolormesh(times, edges, shares.T, cmap="Blues", vmin=0.0, rasterized=True)
