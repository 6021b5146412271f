"""Plots beside the graph: the cost over the steps, the decision boundary, histograms over training."""

from viz.plots.boundary import plot_boundary
from viz.plots.cost import plot_cost
from viz.plots.histograms import Snapshots, plot_histograms

__all__ = ["Snapshots", "plot_boundary", "plot_cost", "plot_histograms"]
