"""viz: graphs of values as pictures that a person can read.

``draw(loss)`` gives a drawing that shows itself in a notebook, and saves itself as SVG, PNG, PDF or DOT.
It imports microbp's public names; microbp itself never imports viz.
"""

from microbp import TooManyValues
from microbp.calls import told_in
from viz.animation import Animation, animate
from viz.drawing import Drawing, draw
from viz.engines import EngineFailed, NoEngine
from viz.fold import FOLDS, picture
from viz.page import Page, page
from viz.picture import Kind, Picture
from viz.plots import Snapshots, plot_boundary, plot_cost, plot_gradient_flow, plot_histograms
from viz.step_pictures import draw_step

__all__ = [
    "FOLDS", "Animation", "Drawing", "EngineFailed", "Kind", "NoEngine", "Page", "Picture", "Snapshots",
    "TooManyValues", "animate", "draw", "draw_step", "page", "picture", "plot_boundary", "plot_cost",
    "plot_gradient_flow", "plot_histograms",
]  # fmt: skip

told_in(globals())
