"""What comes of a run: its history, or the error that ended it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from microbp.errors import MicrobpError

__all__ = ["History", "NotFinite"]


@dataclass(frozen=True)
class History:
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


class NotFinite(MicrobpError, FloatingPointError):
    """A cost, a gradient or an update is nan or infinite, or cannot be computed at all.

    The net holds the parameters that led there, so that the sample shows it again.
    """

    def __init__(
        self, message: str, history: History, epoch: int, step: int | None, sample: int | None
    ) -> None:
        super().__init__(message)
        self.history = history
        #: Counted from 1.
        self.epoch = epoch
        #: Counted from 1 in each epoch; None where a validation cost is not finite.
        self.step = step
        #: The first sample that shows it by itself, by its index in X; None if there is none.
        self.sample = sample

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.history, self.epoch, self.step, self.sample)
