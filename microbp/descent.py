"""How one step of a training run changes the parameters: Value by Value, or all at once as a vector.

Both do the same to the last bit. The vector is for replay, where a loop over the Values would take most
of the time: parameters, gradients and what the optimiser remembers are arrays from step to step then, and
the Values are behind until :meth:`VectorDescent.settle` brings them up to date.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from microbp.collector import collector_at_rest
from microbp.engines import Engine, Floats, ReplayEngine, Samples
from microbp.optim import Optimiser, clip_gradients
from microbp.value import Value

__all__ = ["Descent", "Numbers", "ValueDescent", "VectorDescent", "vectorised"]

#: The parameters' numbers at one moment: in the order of the net, or as a vector in that of the program.
Numbers = list[float] | Floats


class Descent(Protocol):
    """A step, in two halves: nothing changes in the first, and all or nothing in the second."""

    def gradients(self, samples: Samples, rows: Sequence[int]) -> float:
        """The cost of the batch; the gradients are kept for :meth:`step`."""

    def finite(self) -> bool:
        """Whether the gradients are."""

    def step(self, rate: float, clip: float | None) -> float | None:
        """Apply them at the optimiser's rate; the norm before clipping.

        What raises leaves everything as it was before.
        """

    def numbers(self) -> Numbers:
        """The parameters now."""

    def listed(self, numbers: Numbers) -> list[float]:
        """What ``numbers`` has returned, in the order of the net."""

    def settle(self) -> None:
        """Bring the Values, and the optimiser's memory, up to date."""


class ValueDescent:
    """On the Values themselves."""

    def __init__(self, engine: Engine, optimiser: Optimiser, parameters: Sequence[Value]) -> None:
        self.engine, self.optimiser, self.parameters = engine, optimiser, parameters
        self.trained = [each for _, each in optimiser.parameters if each.requires_grad]

    def gradients(self, samples: Samples, rows: Sequence[int]) -> float:  # noqa: D102 (see Descent)
        return self.engine.gradients(samples, rows)

    def finite(self) -> bool:  # noqa: D102
        return all(math.isfinite(each.grad or 0.0) for each in self.trained)

    def step(self, rate: float, clip: float | None) -> float | None:  # noqa: ARG002, D102
        numbers, memory = self.numbers(), self.optimiser.state()
        try:
            with collector_at_rest():  # an update holds a tuple for each parameter, and frees them all
                norm = None if clip is None else clip_gradients(self.trained, clip).norm
                self.optimiser.step()
        except BaseException:
            for parameter, number in zip(self.parameters, numbers, strict=True):
                parameter.data = number
            self.optimiser.load_state(memory)
            raise
        return norm

    def numbers(self) -> list[float]:  # noqa: D102
        return [each.data for each in self.parameters]

    def listed(self, numbers: Numbers) -> list[float]:  # noqa: D102
        return list(numbers)

    def settle(self) -> None:
        """They are never behind."""


def vectorised(descent: ValueDescent) -> Descent:
    """The same on vectors, if the engine replays and the optimiser's update takes arrays."""
    engine, optimiser = descent.engine, descent.optimiser
    if isinstance(engine, ReplayEngine) and engine.replays and optimiser.takes_arrays:
        return VectorDescent(descent, engine)
    return descent


class VectorDescent:
    """On vectors in the order in which the replayed program has its parameters."""

    def __init__(self, by_value: ValueDescent, engine: ReplayEngine) -> None:
        self.by_value, self.engine, self.optimiser = by_value, engine, by_value.optimiser
        self.values = engine.values
        place = {id(value): index for index, value in enumerate(self.values)}
        listed = [
            (place[id(value)], position)
            for position, (_, value) in enumerate(self.optimiser.parameters)
            if value.requires_grad
        ]
        self.positions = [position for _, position in sorted(listed)]
        places = sorted(index for index, _ in listed)
        #: Where in the vector the numbers stand that the optimiser changes, and their order in its list.
        self.places: Any = slice(None) if len(places) == len(self.values) else np.array(places)
        order = np.argsort([index for index, _ in listed]).argsort()
        self.order = None if (order == np.arange(len(order))).all() else order
        self._read()
        #: The gradient of the last batch, and its part that the optimiser gets. Vector and theta stay the
        #: same objects, so that the program need not cut them into its arrays anew.
        self.gradient: Floats = np.zeros(len(self.theta))
        self.part = self.gradient[self.places]
        self.behind = False

    def _read(self) -> None:
        self.theta: Floats = np.array([each.data for each in self.values])
        columns = zip(*(self.optimiser._memory[position] for position in self.positions), strict=True)
        self.memory = tuple(np.array(column) for column in columns)

    def gradients(self, samples: Samples, rows: Sequence[int]) -> float:  # noqa: D102 (see Descent)
        cost = self.engine.replayed(samples, rows, self.theta, self.gradient)[0]
        self.part, self.behind = self.gradient[self.places], True
        return cost

    def finite(self) -> bool:  # noqa: D102
        return bool(np.isfinite(self.part).all())

    def step(self, rate: float, clip: float | None) -> float | None:  # noqa: D102
        part, norm = self.part, None
        update: Callable[..., Any] = self.optimiser.update
        with np.errstate(all="ignore"):
            if clip is not None:
                norm = math.hypot(*(part if self.order is None else part[self.order]).tolist())
                part = part * (clip / norm) if norm > clip else part
            data, memory = update(self.theta[self.places], part, self.memory, rate)
            fine = all(map(_finite, (data, *memory))) and math.isfinite(norm or 0.0)
        if not fine:
            self.settle()
            norm = self.by_value.step(rate, clip)  # which says for which parameter, and raises
            self._read()
            return norm
        self.theta[self.places] = data
        self.part, self.memory = part, memory
        self.optimiser.steps += 1
        return norm

    def numbers(self) -> Floats:  # noqa: D102
        return self.theta.copy()

    def listed(self, numbers: Numbers) -> list[float]:  # noqa: D102
        if isinstance(numbers, list):
            return numbers
        number = {id(value): each for value, each in zip(self.values, numbers.tolist(), strict=True)}
        return [number[id(each)] for each in self.by_value.parameters]

    def settle(self) -> None:  # noqa: D102
        if not self.behind:
            return
        for value, number, derivative in zip(
            self.values, self.theta.tolist(), self.gradient.tolist(), strict=True
        ):
            value.data = number
            value.grad = derivative if value.requires_grad else None
        parameters, remembered = self.optimiser.parameters, self.optimiser._memory
        columns = [each.tolist() for each in self.memory]
        for index, (position, derivative) in enumerate(zip(self.positions, self.part.tolist(), strict=True)):
            parameters[position][1].grad = derivative  # clipped
            remembered[position] = tuple(column[index] for column in columns)
        self.behind = False


def _finite(numbers: Floats) -> bool:
    """Whether all are; the sum of squares is the quickest to ask, but it may overflow, and NumPy say so."""
    return math.isfinite(numbers.dot(numbers)) or bool(np.isfinite(numbers).all())
