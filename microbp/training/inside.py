"""Steps of a run that are taken in C, a batch and an update after the other, without coming back to Python.

The update of an optimiser is recorded from its one statement, with the penalty and its derivative in it: a
program whose samples are the parameters. What is unusual is left to the step in Python, which says so: a cost
or a number that is not finite, an operation that is undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.backward import backward_order
from microbp.descent import Descent
from microbp.differentiate import grad
from microbp.engines import Floats, ReplayEngine, Samples
from microbp.graph import Graph
from microbp.native import Machine
from microbp.optim import SGD, Optimiser
from microbp.value import Value

__all__ = ["Inside", "Taken", "inside"]

Whole = np.ndarray[Any, np.dtype[np.int64]]
#: Ctrl-C is heard after so many milliseconds, and so is whoever wants a checkpoint.
_AT_MOST = 50


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

    def take(self, samples: Samples, orders: Sequence[Whole], below: float) -> Taken:
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


def _update_of(optimiser: Optimiser, penalty: float) -> tuple[Machine, Whole]:
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
