"""Plots: what they show is what was given; what they cannot show they refuse."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from microbp import MLP, History, Module, Value, fit
from viz.plots import Snapshots, plot_boundary, plot_cost, plot_gradient_flow, plot_histograms

POINTS, LABELS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [-1, 1, 1, -1]


def trained(epochs=20):
    net = MLP(2, [4, 1], activation="tanh", seed=1)
    return net, fit(net, POINTS, LABELS, loss="hinge", epochs=epochs, progress=False)


def drawn(figure, tmp_path):
    """The picture as an array: it can be drawn, and is not one colour."""
    path = tmp_path / "plot.png"
    figure.savefig(path, dpi=50)
    from matplotlib.image import imread

    picture = imread(path)
    assert picture.std() > 0.01
    return picture


def test_the_cost_of_each_epoch_is_drawn_as_it_is(tmp_path):
    _, history = trained()
    figure = plot_cost(history)
    [line] = figure.axes[0].lines
    assert line.get_ydata().tolist() == history.cost
    assert line.get_xdata().tolist() == list(range(1, 21))
    drawn(figure, tmp_path)


def test_the_validation_cost_and_the_best_epoch():
    net = MLP(2, [4, 1], activation="tanh", seed=1)
    history = fit(net, POINTS, LABELS, loss="hinge", epochs=5, validation=(POINTS, LABELS), progress=False)
    ax = plot_cost(history).axes[0]
    assert ax.lines[1].get_ydata().tolist() == history.validation_cost
    assert ax.lines[2].get_xdata()[0] == history.best_epoch
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["cost", "validation cost", f"best: {history.best_epoch}"]


@pytest.mark.parametrize(
    ("costs", "log", "scale"),
    [
        ([1.0, 0.5], None, "linear"),
        ([1.0, 0.001], None, "log"),
        ([1.0, 0.0], None, "linear"),
        ([1.0, 0.001], False, "linear"),
        ([1.0, 0.9], True, "log"),
        ([1.0, math.nan, 0.5], None, "linear"),
    ],
)
def test_the_scale_follows_the_costs(costs, log, scale):
    assert plot_cost(costs, log=log).axes[0].get_yscale() == scale


def test_a_run_without_an_epoch_has_no_plot():
    with pytest.raises(ValueError, match=r"^this run has no cost to plot: no epoch was finished$"):
        plot_cost(History())


def test_the_users_axes_are_used():
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.add_subplot()
    assert plot_cost([1.0, 2.0], ax=ax) is figure
    assert len(ax.lines) == 1


def test_the_boundary_lies_where_the_score_changes_its_sign(tmp_path):
    figure = plot_boundary(lambda x: Value(x[0] - 0.25), POINTS, LABELS, resolution=41)
    contour = figure.axes[0].collections[1]
    [path] = contour.get_paths()
    assert np.allclose(path.vertices[:, 0], 0.25)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["-1", "1"]
    drawn(figure, tmp_path)


def test_the_class_of_several_scores_is_the_largest(tmp_path):
    figure = plot_boundary(lambda x: [Value(x[0]), Value(x[1]), Value(0.5)], POINTS, [0, 1, 2, 0])
    assert len(figure.axes[0].get_legend().get_texts()) == 3
    drawn(figure, tmp_path)


def test_a_net_that_knows_one_class_only_has_no_boundary(tmp_path):
    drawn(plot_boundary(lambda x: Value(1.0 + x[0]), POINTS, LABELS, resolution=5), tmp_path)


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        ([[1.0, 2.0, 3.0]], [1], r"points in the plane: X has the shape \(1, 3\)"),
        ([], [], r"points in the plane: X has the shape \(0,\)"),
        ([[1.0, 2.0]], [1, 2], "there are 1 points in X but 2 labels in Y"),
    ],
)
def test_data_that_do_not_fit_are_refused(X, Y, message):
    with pytest.raises(ValueError, match=message):
        plot_boundary(lambda x: Value(x[0]), X, Y)


def test_what_a_plot_cannot_show_is_told():
    with pytest.raises(TypeError, match=r"^a net returns a Value or several, not None$"):
        plot_boundary(lambda _: None, POINTS, LABELS, resolution=5)
    with pytest.raises(ValueError, match=r"X has numbers that are not finite$"):
        plot_boundary(lambda x: Value(x[0]), [[0, np.nan], [1, 1]], [0, 1], resolution=5)
    with pytest.raises(TypeError, match=r"^plot_cost\(\): history takes .* not \[\[1, 2\], \[3, 4\]\]$"):
        plot_cost([[1, 2], [3, 4]])
    for losses in ([Value(1.0), Value(0.5)], [[Value(1.0)], np.array([0.5])]):  # in place of their data
        assert plot_cost(losses).axes[0].lines[0].get_ydata().tolist() == [1.0, 0.5]


@pytest.mark.parametrize("gradient", [None, 0.0, np.nan])
def test_gradients_of_which_none_has_a_logarithm_are_no_crash(gradient, tmp_path):
    net = MLP(2, [3, 1], seed=1)
    for each in net.parameters():
        each.grad = gradient
    snapshots = Snapshots(net)
    snapshots.take()
    figure = plot_gradient_flow(snapshots)
    drawn(figure, tmp_path)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no gradients"]


def test_a_grid_needs_places():
    with pytest.raises(ValueError, match="resolution is a whole number from 2 up, not 1"):
        plot_boundary(lambda x: Value(x[0]), POINTS, LABELS, resolution=1)


def test_snapshots_keep_what_was_there_then(tmp_path):
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    snapshots = Snapshots(net)
    first = [v.data for v in net.layers[0].parameters()]
    snapshots.take()
    for _ in range(4):
        net.zero_grad()
        (net([1.0, 2.0]) ** 2).backward()
        snapshots.take()
        for v in net.parameters():
            v.data -= 0.1 * v.grad
    assert len(snapshots) == 5
    assert snapshots.weights[0]["layers.0"] == first
    assert snapshots.gradients[0] == {"layers.0": [], "layers.1": []}
    assert snapshots.gradients[-1]["layers.1"] == [v.grad for v in net.layers[1].parameters()]
    figure = plot_histograms(snapshots)
    assert [ax.get_title(loc="left") for ax in figure.axes[:-1]] == [
        "layers.0: weights (6 of 45 are 0)", "layers.0: log₁₀ |gradient|",
        "layers.1: weights (2 of 20 are 0)", "layers.1: log₁₀ |gradient|",
    ]  # fmt: skip
    drawn(figure, tmp_path)


def test_each_column_of_a_histogram_counts_every_number(tmp_path):
    net = MLP(2, [3], seed=1)
    snapshots = Snapshots(net)
    snapshots.take()
    figure = plot_histograms(snapshots, bins=7)
    [mesh] = figure.axes[0].collections
    assert mesh.get_array().sum() == pytest.approx(1.0, abs=1e-12)
    assert figure.axes[1].texts[0].get_text() == "none"
    drawn(figure, tmp_path)


def test_zero_gradients_are_counted_in_words():
    net = MLP(1, [1], activation="relu", seed=1)
    snapshots = Snapshots(net)
    (net([0.0]) * 0.0).backward()
    snapshots.take()
    assert plot_histograms(snapshots).axes[1].get_title(loc="left").endswith("(2 of 2 are 0)")


def vanishing(moments=1, layers=6):
    """Layers of sigmoids, through which the gradient vanishes, and biases that begin at 0."""
    net = MLP(2, [4] * (layers - 1) + [1], activation="sigmoid", seed=1)
    snapshots = Snapshots(net)
    for _ in range(moments):
        net.zero_grad()
        (net([1.0, 2.0]) ** 2).backward()
        snapshots.take()
        for v in net.parameters():
            v.data -= 0.1 * v.grad
    return snapshots


def test_all_layers_have_one_scale_and_a_colour_bar(tmp_path):
    figure = plot_histograms(vanishing(3, layers=3))  # matplotlib takes its time for each
    *grid, bar = figure.axes
    weights, gradients = grid[::2], grid[1::2]
    assert len({ax.get_ylim() for ax in weights}) == len({ax.get_ylim() for ax in gradients}) == 1
    assert len({mesh.get_clim() for ax in grid for mesh in ax.collections}) == 1
    assert bar.get_ylabel() == "share of a moment's numbers"
    # the histogram of the first layer lies lower than that of the last
    first, last = (np.asarray(gradients[at].collections[0].get_array())[:, 0] for at in (0, -1))
    assert np.flatnonzero(first).mean() < np.flatnonzero(last).mean()
    drawn(figure, tmp_path)


def test_biases_that_are_zero_stand_apart():
    figure = plot_histograms(vanishing(layers=2))
    assert figure.axes[0].get_title(loc="left") == "layers.0: weights (4 of 12 are 0)"


def test_the_flow_of_the_gradient_is_shown_by_depth(tmp_path):
    snapshots = vanishing(9)
    figure = plot_gradient_flow(snapshots)
    [ax] = figure.axes
    assert ax.get_yscale() == "log"
    assert [each.get_text() for each in ax.get_xticklabels()] == list(snapshots.layers)
    assert [line.get_label() for line in ax.lines] == [f"snapshot {at}" for at in (1, 4, 6, 9)]
    medians = [np.median(np.abs(snapshots.gradients[-1][layer])) for layer in snapshots.layers]
    assert ax.lines[-1].get_ydata() == pytest.approx(medians)
    assert medians[0] < 1e-3 * medians[-1]  # it vanishes, and the line says so
    drawn(figure, tmp_path)


def test_a_layer_without_gradients_is_a_gap_and_zeros_are_counted():
    net = MLP(1, [2, 1], activation="relu", seed=1)
    snapshots = Snapshots(net)
    snapshots.take()
    assert np.isnan(plot_gradient_flow(snapshots).axes[0].lines[0].get_ydata()).all()
    (net([0.0]) * 0.0).backward()
    snapshots.take()
    labels = [each.get_text() for each in plot_gradient_flow(snapshots).axes[0].get_xticklabels()]
    assert labels[0] == "layers.0\n4 of 4 are 0"
    with pytest.raises(ValueError, match="moments is a whole number from 1 up, not 0"):
        plot_gradient_flow(snapshots, moments=0)


def test_what_is_no_module_and_no_snapshots_is_refused():
    net = MLP(1, [1], seed=1)
    with pytest.raises(TypeError, match=r"^Snapshots\.__init__\(\): net takes Module, not Value\(data"):
        Snapshots(Value(1.0))
    with pytest.raises(TypeError, match=r"^plot_histograms\(\): snapshots takes Snapshots, not MLP of "):
        plot_histograms(net)


def test_no_snapshots_and_no_parameters_are_refused():
    with pytest.raises(ValueError, match=r"^there are no snapshots yet"):
        plot_histograms(Snapshots(MLP(1, [1])))
    with pytest.raises(ValueError, match=r"^Module has no parameters$"):
        Snapshots(Module())


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'microbp\[plot\]'"):
        plot_cost([1.0])
