"""What comes of a run: its history, or the error that ended it, with the sample that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microbp.errors import MicrobpError, UndefinedOperation
from microbp.graph import Graph
from microbp.record import with_sites
from microbp.replay.faults import of_slopes, of_values
from microbp.sweeps import backward
from microbp.text import Shown, Table, plot
from microbp.training.engines import Batch, EagerEngine, Samples
from microbp.value import Value

__all__ = ["ENDS", "History", "NotFinite", "culprit"]


@dataclass(frozen=True)
class History(Shown):
    """What happened in a run, as plain data: ``dataclasses.asdict(history)`` goes through JSON.

    Epochs and steps are counted from 1 in texts and in ``best_epoch``; ``cost[0]`` is that of epoch 1.
    """

    #: Of each finished epoch: the mean over its samples of the costs of its steps. Each of these is the
    #: cost, penalty included, before its update; with one step to an epoch it is the cost itself.
    cost: list[float] = field(default_factory=list)
    #: Of each finished epoch: the loss over the validation samples at its end, without the penalty.
    validation_cost: list[float] = field(default_factory=list)
    #: Of each step.
    step_cost: list[float] = field(default_factory=list)
    #: Of each step.
    learning_rate: list[float] = field(default_factory=list)
    #: Of each step, before clipping; empty without ``clip``.
    gradient_norm: list[float] = field(default_factory=list)
    #: The samples that ``validation=fraction`` has set apart, by their index in X.
    validation_rows: list[int] = field(default_factory=list)
    #: Why it ended: "epochs", "tolerance", "patience", "interrupted" or "not finite".
    stopped: str = ""
    #: Which parameters are in the net: "last", those after the last whole step, or "best".
    kept: str = ""
    #: The epoch of the lowest cost (validation cost, if there is one); None before the first ended.
    best_epoch: int | None = None
    #: All of that in a sentence.
    message: str = ""
    #: How gradients were computed: "replay", "eager", "eager" and why not by replay, or "replay for 300
    #: steps, then eager" and why.
    engine: str = ""
    #: Why it was that engine; of replay, how many samples it was compared on.
    why: str = ""

    def __str__(self) -> str:
        return self.message

    def _html(self) -> str:
        """The costs as a small plot: of the epochs, or of the steps where fewer than two epochs ended."""
        if len(self.cost) < 2:
            return plot({"cost of a step": self.step_cost}, "step", self.message)
        curves = {"cost": self.cost, "validation cost": self.validation_cost}
        return plot({name: each for name, each in curves.items() if each}, "epoch", self.message)

    def table(self) -> Table:
        """The costs of some epochs, from the first to the last, and why the run ended."""
        last = len(self.cost)
        round_ = (10**k * d for k in range(7) for d in (1, 2, 5))
        marks = [*(n for n in round_ if n < last), last]
        columns = {"cost": self.cost, "validation cost": self.validation_cost}
        columns = {name: costs for name, costs in columns.items() if len(costs) == last}
        rows = tuple((str(n), *(costs[n - 1] for costs in columns.values())) for n in marks if n)
        head = (">epoch", *(f">{name}" for name in columns))
        return Table("History", head, rows, (self.message,) if self.message else ())


class NotFinite(MicrobpError, FloatingPointError):
    """A cost, a gradient or an update is nan or infinite, or cannot be computed at all.

    The net holds the parameters that led there, so that the sample shows it again.
    """

    def __init__(
        self, message: str, history: History, epoch: int, step: int | None, sample: int | None,
        site: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.history = history
        #: Counted from 1.
        self.epoch = epoch
        #: Counted from 1 in each epoch; None where a validation cost is not finite.
        self.step = step
        #: The first sample that shows it by itself, by its index in X; None if there is none.
        self.sample = sample
        #: ``file:line`` of the user's code that computed what is not finite there, if it is known.
        self.site = site

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.history, self.epoch, self.step, self.sample, self.site)


#: What the history's text says of the end of a run.
ENDS = {
    "epochs": "all epochs are done",
    "tolerance": "the cost has changed by {change:.3g}, less than {settings.tolerance!r}",
    "patience": "the validation cost has not fallen for {settings.patience} epochs",
    "interrupted": "interrupted in epoch {epoch} after {place} of {steps}",
    "not finite": "a number is not finite",
}


def culprit(
    eager: EagerEngine, batch: Batch, trained: Sequence[Value], called: str
) -> tuple[int | None, str, str | None]:
    """The first sample whose cost, or gradient of a ``trained`` Value, is not finite; why, and where."""
    samples, rows = batch
    read = Samples(samples.array[rows], samples.y[rows])
    site: str | None
    for place, row in enumerate(rows.tolist()):
        try:
            with with_sites.on():
                graph = Graph(eager.record((read, np.array([place]))))
        except UndefinedOperation as error:
            why, site = str(error), error.site
        else:
            why, site = of_values(graph)
            leaves = [graph[each].position for each in trained if each in graph]
            if leaves and not why:
                found = backward(graph, {graph.root.position: 1.0})
                why, site = of_slopes(graph, leaves, found, graph.local)
        if why:
            return row, f"Sample {called}[{row}] shows it by itself: {why}", site
    return None, "No sample shows it by itself: it is in their sum, or in the penalty", None
