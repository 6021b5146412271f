"""The parameters of a training run as one vector, and the steps of an optimiser on it.

Recorded or replayed, a step is the same: a gradient comes in, the optimiser's one statement over the vector
is applied. Where batches are recorded, or code of the user's runs at each step (a schedule or an optimiser of
his own), the Values are read before it and written after it; else they are behind until
:meth:`Descent.settle` brings them up to date.

Where nothing of that kind runs, many steps are taken in C, without coming back to Python: the update of an
optimiser is recorded from its one statement, with the penalty and its derivative in it, as a program whose
samples are the parameters. What is unusual is left to the step in Python, which says so: a cost or a number
that is not finite, an operation that is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.backward import backward_order
from microbp.differentiate import grad
from microbp.engines import Batch, Engine, Floats, Rows, Samples
from microbp.graph import Graph
from microbp.native import Machine
from microbp.optim import SGD, Optimiser, clip
from microbp.safe import shown
from microbp.value import Value

__all__ = ["Descent", "Moment", "Taken"]

#: The parameters, the optimiser's state, and which parameters are trained: all that a step changes.
Moment = tuple[Floats, dict[str, Any], list[bool]]
#: Ctrl-C is heard after so many milliseconds of steps in C, and so is whoever wants a checkpoint.
_AT_MOST = 50


class Taken(NamedTuple):
    """Steps that were taken."""

    costs: list[float]
    rates: list[float]
    #: The lowest cost, of these and of all before, and the parameters that have it.
    lowest: float
    best: Floats


class Descent:
    """Steps of ``optimiser`` on ``parameters``, the vector's order."""

    def __init__(self, engine: Engine, optimiser: Optimiser, parameters: Sequence[Value]) -> None:
        self.optimiser, self.parameters = optimiser, parameters
        place = {id(each): index for index, each in enumerate(parameters)}
        self._order = np.array([place[id(each)] for _, each in optimiser.parameters])
        self.theta: Floats = np.zeros(len(parameters))
        self.gradient: Floats = np.zeros(len(parameters))
        self.use(engine)

    def use(self, engine: Engine, *, watched: bool = True, many: bool = False) -> None:
        """Let this engine compute gradients; ``watched``: code of the user's may see or change the Values.

        ``many`` steps may be taken at once.
        """
        self.engine, self.open = engine, watched
        self.read()
        rate = self.optimiser.lr
        ours = {type(each).__module__ for each in [self.optimiser, *[rate] * callable(rate)]} == {SGD.__module__}
        #: The update as a program, where steps are taken in C.
        self.update = _update_of(self.optimiser, engine.penalty) if many and ours and self._whole else None

    def read(self) -> None:
        """Take the numbers from the Values, and which of them are frozen."""
        self.theta[:] = [each.data for each in self.parameters]
        trained = np.array([each.requires_grad for _, each in self.optimiser.parameters], dtype=bool)
        #: Whether it changes all of the vector, in its order.
        self._whole = bool(trained.all()) and np.array_equal(self._order, np.arange(len(self.theta)))
        #: Of what the optimiser changes: the places in its own list, and in the vector.
        self._mine: Any = slice(None) if self._whole else np.flatnonzero(trained)
        self._places: Any = slice(None) if self._whole else self._order[trained]
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
        if self.open:
            self.read()
        cost = self.engine.gradients(batch, self.theta, self.gradient)
        self.behind = self.behind or math.isfinite(cost)
        return cost

    def fault(self) -> str:
        """The first derivative that is not finite, in words; empty where there is none."""
        with np.errstate(over="ignore"):
            if math.isfinite(self.gradient.dot(self.gradient)):  # the quickest to ask, but it may overflow
                return ""
        for place, (name, value) in zip(self._order, self.optimiser.parameters, strict=True):
            if value.requires_grad and not math.isfinite(self.gradient[place]):
                return f"the gradient of {shown(name)} is {float(self.gradient[place])!r}"
        return ""

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
            self.gradient[self._places], (norm, _) = clip(self.gradient[self._places], bound)
        self.behind = True
        if type(self.optimiser).step is Optimiser.step:
            part = self.theta[self._places], self.gradient[self._places]
            self.theta[self._places] = self.optimiser.advance(self._mine, *part, rate)
        else:  # which may do anything
            before = self.moment()
            self.settle()
            try:
                self.optimiser.step()
            except BaseException:
                self.back_to(before)
                raise
            self.read()
        if self.open:
            self.settle()
        return rate, norm

    def moment(self) -> Moment:
        """All that a step changes, as it is now."""
        return self.theta.copy(), self.optimiser.state(), [each.requires_grad for each in self.parameters]

    def back_to(self, moment: Moment) -> None:
        """Make it so again; what raises ValueError has changed nothing."""
        theta, state, trained = moment
        self.optimiser.load_state(state)
        self.theta[:], self.behind = theta, False
        for value, number, flag in zip(self.parameters, theta.tolist(), trained, strict=True):
            value.data, value.requires_grad = number, flag

    def take(self, samples: Samples, orders: Sequence[Rows], below: float) -> Taken:
        """Steps in C over batches, given by the indices of their samples; ``below`` is the lowest cost so far."""
        rates = self.optimiser.rates(len(orders))
        orders = orders[: len(rates)]
        costs, best, taken = np.empty(len(orders)), np.append(self.theta, below), 0
        if orders:
            update, alike = self.update
            taken = self.engine.machine.train(
                update, self.engine.reduce == "mean", _AT_MOST, samples.table, np.array(rates),
                np.concatenate(orders), np.array([*map(len, orders)]), alike, self.theta,
                self.optimiser._memory, costs, best, self.gradient,
            )  # fmt: skip
            self.optimiser.steps += taken
            self.behind = True
        return Taken(costs[:taken].tolist(), rates[:taken], float(best[-1]), best[:-1])


def _update_of(optimiser: Optimiser, penalty: float) -> tuple[Machine, Rows]:
    """The update as a machine; and of each number that is remembered whether all parameters have the same.

    Its inputs are a parameter, its derivative and what is remembered of it; its outputs the parameter and
    that after the step, the derivative with the penalty's, and the parameter's share of the penalty. What all
    have alike, as the rate, is given once.
    """
    p, g, lr = Value(1.0), Value(1.0), Value(1.0)
    memory = [Value(1.0) for _ in optimiser.blank]
    cost = penalty * p * p
    whole = g + grad(cost, p, create_graph=True)
    new, later = optimiser.update(p, whole, tuple(memory), lr)  # type: ignore[arg-type]
    apart = {id(p), id(g)}
    alike = [bool((row == row[:1]).all()) for row in optimiser._memory]
    for _ in memory:  # what depends on another that is not alike is not
        for row, after in enumerate(later):
            alike[row] = alike[row] and apart.isdisjoint(map(id, backward_order(after)))
            if not alike[row]:
                apart.add(id(memory[row]))
    outputs = [new, *later, whole, cost]
    graph = Graph.of_roots(outputs)
    inputs = [p, g, *(each for each, same in zip(memory, alike, strict=True) if not same)]
    params = [lr, *(each for each, same in zip(memory, alike, strict=True) if same)]
    given, alike_for_all = ([graph._places.get(id(each)) for each in part] for part in (inputs, params))
    # Plain: no product is rounded together with a sum, so that it is the step in Python to the last bit.
    trained = [True] * len(params)
    machine = Machine(graph, given, alike_for_all, graph.roots, trained, "plain")
    return machine, np.array(alike, dtype=np.int64)
