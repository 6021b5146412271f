"""The parameters of a training run as one vector, and the steps of an optimiser on it.

Recorded or replayed, a step is the same: a gradient comes in, the optimiser's one statement over the vector
is applied. Where batches are recorded, the Values are what counts, and the vector is read from them before
each step; where they are replayed, the vector is, and the Values are behind until :meth:`Descent.settle`
brings them up to date. Code of the user's that runs at each step, a schedule or an optimiser of his own,
finds them so, and what it changes is read.

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
from microbp.engines import Batch, EagerEngine, Engine, Floats, ReplayEngine, Rows, Samples
from microbp.graph import Graph
from microbp.native import Machine
from microbp.optim import SGD, Optimiser, clip
from microbp.value import Value

__all__ = ["Descent", "Inside", "Moment", "inside"]

Moment = tuple[Floats, Floats, int, list[bool]]
#: Ctrl-C is heard after so many milliseconds of steps in C, and so is whoever wants a checkpoint.
_AT_MOST = 50


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
        self.whole = bool(trained.all()) and np.array_equal(self._order, np.arange(len(self.theta)))
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


# ------------------------------------------------------------------------------------- steps in C
class Taken(NamedTuple):
    """Steps that were taken."""

    costs: list[float]
    rates: list[float]
    #: The lowest cost, of these and of all before, and the parameters that have it.
    lowest: float
    best: Floats


def inside(descent: Descent, replay: ReplayEngine) -> Inside | None:
    """The steps of ``descent`` in C; None where Python is needed at each."""
    optimiser, machine = descent.optimiser, replay.machine
    ours = [type(optimiser), *[type(optimiser.lr)] * callable(optimiser.lr)]
    if machine is None or descent.open or any(each.__module__ != SGD.__module__ for each in ours):
        return None
    return Inside(descent, replay, machine) if descent.whole else None


class Inside:
    """The program of an update beside that of the cost."""

    def __init__(self, descent: Descent, replay: ReplayEngine, machine: Machine) -> None:
        self._descent, self._replay, self._machine = descent, replay, machine
        self._update, self._alike = _update_of(descent.optimiser, replay.penalty)

    def take(self, samples: Samples, orders: Sequence[Rows], below: float) -> Taken:
        """Steps over batches, given by the indices of their samples; ``below`` is the lowest cost so far."""
        descent, optimiser = self._descent, self._descent.optimiser
        rates = optimiser.rates(len(orders))
        orders = orders[: len(rates)]
        costs, best = np.empty(len(orders)), np.append(descent.theta, below)
        if not orders:
            return Taken([], [], below, descent.theta)
        taken = self._machine.train(
            self._update, self._replay.mean, _AT_MOST, samples.table, np.array(rates),
            np.concatenate(orders), np.array([*map(len, orders)]), self._alike, descent.theta,
            optimiser._memory, costs, best, descent.gradient,
        )  # fmt: skip
        optimiser.steps += taken
        descent.behind = True
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
