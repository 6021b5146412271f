"""The settings of a run of ``fit``, checked: one frozen record, whatever is trained with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from microbp.losses import LOSSES, Loss
from microbp.safe import shown
from microbp.spelling import did_you_mean
from microbp.value import as_number

__all__ = ["ENGINES", "Settings"]

#: "auto" is replay where that is sure to be right, else eager; "replay" is an error where it is not.
ENGINES = ("auto", "replay", "eager")


@dataclass(frozen=True)
class Settings:
    """How a net is to be trained; see :func:`fit`.

    >>> Settings("hinge", batch_size=8)
    Settings(loss='hinge', batch_size=8)

    Raises ValueError or TypeError for what is out of range.
    """

    #: A name in :data:`microbp.losses.LOSSES`, or a function of predictions and targets.
    loss: str | Loss
    epochs: int = 100
    #: None: all samples.
    batch_size: int | None = None
    shuffle: bool = True
    seed: int = 0
    #: Times Σ w² over the parameters, added to the loss.
    penalty: float = 0.0
    #: The largest norm of the gradients.
    clip: float | None = None
    #: A fraction of the samples, or a pair (X, Y).
    validation: float | tuple[Any, Any] | None = None
    tolerance: float | None = None
    patience: int | None = None
    keep: Literal["best", "last"] | None = None
    checkpoint: str | Path | None = None
    #: In seconds.
    checkpoint_every: float = 30.0
    resume: str | Path | None = None
    progress: bool | None = None
    engine: str = "auto"

    def __post_init__(self) -> None:
        _ = self.cost
        whole(self.epochs, "epochs")
        whole(self.seed, "seed", least=0)
        for what in ("batch_size", "patience"):
            if getattr(self, what) is not None:
                whole(getattr(self, what), what)
        for what, least in (("penalty", 0.0), ("checkpoint_every", 0.0), ("clip", None), ("tolerance", None)):
            if getattr(self, what) is not None:
                object.__setattr__(self, what, number_of(getattr(self, what), what, least))
        if self.keep not in (None, "best", "last"):
            raise ValueError(f"fit: keep is 'best', 'last' or None, not {self.keep!r}")
        if self.patience is not None and self.validation is None:
            raise ValueError("fit: patience watches the validation cost; give validation as well")
        if self.engine not in ENGINES:
            called = shown(repr(self.engine))
            raise ValueError(f"fit: no engine is called {called}; there are {', '.join(ENGINES)}")
        for what in ("checkpoint", "resume"):
            path = getattr(self, what)
            object.__setattr__(self, what, None if path is None else Path(path))

    @property
    def cost(self) -> Loss:
        """The loss as a function."""
        if callable(self.loss):
            return self.loss
        if isinstance(self.loss, str) and self.loss in LOSSES:
            return LOSSES[self.loss]
        hint = did_you_mean(self.loss, LOSSES) or f"there are {', '.join(LOSSES)}"
        raise ValueError(f"fit: no loss is called {shown(repr(self.loss))}; {hint}")

    def __repr__(self) -> str:
        changed = (
            f"{name}={held!r}"
            for name, held in vars(self).items()
            if name == "loss" or held != getattr(type(self), name)
        )
        return f"Settings({', '.join(changed)})"


def whole(x: Any, what: str, least: int = 1) -> None:
    """ValueError unless it is a whole number from ``least`` up."""
    if not isinstance(x, int) or isinstance(x, bool) or x < least:
        raise ValueError(f"fit: {what} is a whole number from {least} up, not {x!r}")


def number_of(x: Any, what: str, least: float | None) -> float:
    """A finite number: positive, or from ``least`` up; else ValueError."""
    number = as_number(x, f"fit: {what}")
    if not (0.0 < number < math.inf if least is None else least <= number < math.inf):
        bound = "positive and finite" if least is None else f"finite and at least {least:g}"
        raise ValueError(f"fit: {what} is {bound}, not {number!r}")
    return number
