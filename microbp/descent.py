"""The parameters of a training run as one vector, and the steps of an optimiser on it.

Recorded or replayed, a step is the same: a gradient comes in, the optimiser's one statement over the vector
is applied. Where batches are recorded, the Values are what counts, and the vector is read from them before
each step; where they are replayed, the vector is, and the Values are behind until :meth:`Descent.settle`
brings them up to date. Code of the user's that runs at each step, a schedule or an optimiser of his own,
finds them so, and what it changes is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from microbp.engines import Batch, EagerEngine, Engine, Floats
from microbp.optim import Optimiser, clip
from microbp.value import Value

__all__ = ["Descent", "Moment"]

Moment = tuple[Floats, Floats, int, list[bool]]


class Descent:
    """Steps of ``optimiser`` on ``parameters``, the vector's order."""

    def __init__(self, engine: Engine, optimiser: Optimiser, parameters: Sequence[Value]) -> None:
        self.optimiser, self.parameters = optimiser, parameters
        place = {id(each): index for index, each in enumerate(parameters)}
        self._order = np.array([place[id(each)] for _, each in optimiser.parameters])
        self._steps_itself = type(optimiser).step is not Optimiser.step
        self.gradient: Floats = np.zeros(len(parameters))
        self.theta: Floats = np.zeros(len(parameters))
        self.use(engine)

    def use(self, engine: Engine, *, watched: bool = True) -> None:
        """Let this engine compute gradients; ``watched``: code of the user's may see or change the Values."""
        self.engine, self.eager = engine, isinstance(engine, EagerEngine)
        #: Whether the Values have to be up to date at each step.
        self.open = watched or self.eager
        self.read()

    def read(self) -> None:
        """Take the numbers from the Values, and which of them are frozen."""
        self.theta[:] = [each.data for each in self.parameters]
        trained = np.array([each.requires_grad for _, each in self.optimiser.parameters], dtype=bool)
        #: Whether it changes all of the vector, in its order.
        self.whole = bool(trained.all()) and np.array_equal(self._order, np.arange(len(self._order)))
        #: Of what the optimiser changes: the places in its own list, and in the vector.
        self.mine: Any = slice(None) if self.whole else np.flatnonzero(trained)
        self.places: Any = slice(None) if self.whole else self._order[trained]
        self.behind = False

    def settle(self) -> None:
        """Bring the Values up to date."""
        if self.behind:
            pairs = zip(self.parameters, self.theta.tolist(), self.gradient.tolist(), strict=True)
            for value, number, derivative in pairs:
                value.data = number
                value.grad = derivative if value.requires_grad else None
            self.behind = False

    def gradients(self, batch: Batch) -> float:
        """The cost of the batch; its derivatives are kept for :meth:`step`."""
        if self.eager:
            self.read()
        cost = self.engine.gradients(batch, self.theta, self.gradient)
        self.behind = not self.eager
        return cost

    def finite(self) -> bool:
        """Whether the derivatives are; the sum of their squares is the quickest to ask, but may overflow."""
        with np.errstate(over="ignore"):
            square = self.gradient.dot(self.gradient)
        return math.isfinite(square) or bool(np.isfinite(self.gradient[self.places]).all())

    def step(self, bound: float | None) -> tuple[float, float | None]:
        """Apply them, with their norm clipped to ``bound``; the learning rate, and what the norm was.

        What raises leaves everything as it was before.
        """
        if self.open:
            self.settle()
        rate, norm = self.optimiser.rate, None
        if self.open:
            self.read()
        if bound is not None:
            self.gradient[self.places], (norm, _) = clip(self.gradient[self.places], bound)
        self.behind = True
        if self._steps_itself:
            self._let_it_step()
        else:
            part = self.theta[self.places], self.gradient[self.places]
            self.theta[self.places] = self.optimiser.advance(self.mine, *part, rate)
        if self.open:
            self.settle()
        return rate, norm

    def _let_it_step(self) -> None:
        """By the optimiser's own ``step()``, which may do anything."""
        before = self.moment()
        self.settle()
        try:
            self.optimiser.step()
        except BaseException:
            self.back_to(before)
            raise
        self.read()

    def moment(self) -> Moment:
        """All that a step changes, as it is now."""
        trained = [each.requires_grad for each in self.parameters]
        return self.theta.copy(), self.optimiser._memory.copy(), self.optimiser.steps, trained

    def back_to(self, moment: Moment) -> None:
        """Make it so again."""
        theta, memory, self.optimiser.steps, trained = moment
        for value, flag in zip(self.parameters, trained, strict=True):
            value.requires_grad = flag
        self.theta[:], self.optimiser._memory, self.behind = theta, memory.copy(), True
        self.settle()
