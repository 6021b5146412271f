"""How the cost of a batch and its gradient are computed while a net is trained: eagerly, or by replay.

The eager engine records every sample anew; it is the definition. The replay engine records the cost of one
sample, compiles it, and runs it over the batch. What it assumes it has seen: that no number leaves the graph
of a sample, that calling the net changes nothing, how the loss puts samples together, and that the first
batch has the eager cost and gradient. What it cannot see is compared again and again while it is in use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import unwrap
from itertools import starmap
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from microbp import functions
from microbp.array import array, data_of
from microbp.calls import of_users
from microbp.differentiate import grad
from microbp.errors import NoGradientError, StaleProgram, UndefinedOperation
from microbp.graph import Graph, cached_property
from microbp.losses import LOSSES, Loss, l2_penalty
from microbp.native import Machine
from microbp.node import backward_order, numbers_of, taking_gradients
from microbp.optim import Optimiser
from microbp.outside import Asked, Outside
from microbp.recording.comparisons import tracing, watched
from microbp.replay import Program
from microbp.replay.branches import branches
from microbp.replay.build import compiled_program
from microbp.training.stored import Stored, Table
from microbp.value import Value, describe, set_numbers

__all__ = [
    "Batch", "EagerEngine", "Floats", "ReplayEngine", "Rows", "Samples", "Unfit", "Update",
    "update_of",
]  # fmt: skip

Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Samples:
    """Data that has been checked: finite numbers, as many targets as samples."""

    #: Shape ``(n,)`` or ``(n, …)``; of Values while a sample is traced.
    array: np.ndarray[Any, Any] | Stored
    #: One number, or row of numbers, for each sample.
    y: np.ndarray[Any, Any]

    @cached_property
    def table(self) -> Floats | Table:
        """A row of inputs and targets for each."""
        targets = self.y.astype(float).reshape(len(self.y), -1)
        if isinstance(self.array, Stored):
            return Table(self.array, targets)
        return np.ascontiguousarray(np.hstack([self.array.reshape(len(self.y), -1), targets]))


#: Some of the samples, by their index.
Batch = tuple[Samples, Rows]


# ------------------------------------------------------------------------------------------ eager
_grad_of: Callable[[Value], Any] = attrgetter("grad")


class EagerEngine:
    """Records each batch anew on Values: the definition that every other engine has to equal.

    The Values are what counts: ``theta`` holds the same numbers. Every engine has ``gradients`` and ``cost``;
    nothing else in training knows how they are computed.
    """

    def __init__(self, net: Any, loss: Loss, parameters: Sequence[Value], penalty: float) -> None:
        self.net, self.loss, self.parameters, self.penalty = net, loss, parameters, penalty
        self.takes_batches = not callable(net) or bool(getattr(net, "takes_batches", False))

    def gradients(self, batch: Batch, theta: Floats, gradient: Floats) -> float:  # noqa: ARG002
        """The cost of the batch, penalty included; its derivatives are written into ``gradient``.

        Where the cost is not finite, they may be left out.
        """
        for parameter in self.parameters:
            parameter.grad = None
        cost = self.record(batch)
        if self.penalty:
            cost = cost + l2_penalty(self.parameters, self.penalty)
        number = cost.data
        if not math.isfinite(number):
            return number
        cost.backward()
        del cost  # the graph is freed here, before the next one is recorded
        found = [*map(_grad_of, self.parameters)]
        if found.count(None) == len(found):
            raise NoGradientError(
                "fit: the cost depends on no parameter that takes a gradient. What a net computes from "
                ".data, under no_grad() or from detached values is not in the graph"
            )
        for parameter in self.parameters if None in found else ():
            if parameter.grad is None and parameter.requires_grad:
                parameter.grad = 0.0  # this batch does not depend on it
        gradient[:] = [each or 0.0 for each in found]
        return number

    def cost(self, batch: Batch, theta: Floats) -> float:  # noqa: ARG002
        """The loss of the batch alone."""
        # Not under no_grad(), which Ctrl-C could leave switched on: each prediction's graph goes at once.
        samples, rows = batch
        if self.takes_batches:
            return self.record(batch).data
        outputs = (self.predictions((samples, rows[i : i + 1]))[0] for i in range(len(rows)))
        predictions = [[each.detach() for each in output] for output in outputs]
        return self.loss(predictions, samples.y[rows].tolist()).data

    def record(self, batch: Batch) -> Value:
        """The loss of the batch as a recorded Value."""
        samples, rows = batch
        return self.loss(self.predictions(batch), samples.y[rows].tolist())

    def predictions(self, batch: Batch) -> Any:
        """What the net says to each, the shape ``(batch, outputs)``."""
        inputs = batch[0].array[batch[1]]
        if self.takes_batches:
            return self.net(inputs) if callable(self.net) else self.net.predict(inputs)
        outputs = [self.net(x) for x in inputs.tolist()]
        return [[each] if isinstance(each, Value) else each for each in outputs]


# ------------------------------------------------------------------------------------------ replay
class Unfit(Exception):
    """Why a net is not replayed."""


#: How closely a replayed cost and gradient have to agree with the eager ones, and by how much numbers are
#: moved to see what rounding may do to them.
_CLOSE, _ROUNDING = 1e-9, 1e-12
#: About how many operations the first comparison records, and each of the others, of two samples at least.
_FIRST, _AGAIN = 5_000, 150
#: What share of the time of the steps the others may take; and what is taken, in microseconds or so: by a
#: replayed step, by each operation of each sample in it, and by each that is recorded.
_SHARE, _STEP, _REPLAYED, _RECORDED = 0.07, 150.0, 0.001, 4.0
#: So many samples are read at once to validate.
_READ = 1 << 14
#: What a loss may make of n samples, and by what it multiplies their sum then.
_SHARES: dict[Any, Callable[[int], float]] = {"mean": lambda n: 1.0 / n, "sum": lambda _: 1.0}


class ReplayEngine:
    """Records the cost of one sample, and replays it for every batch: the eager engine but for rounding.

    Raises Unfit for a net or a loss for which that would not hold; whatever they changed is set back then.
    ``batches`` are the batches that there will be, one of each size, the first one first. With a ``client``
    of Dask they run on its workers.
    """

    def __init__(
        self, eager: EagerEngine, batches: Sequence[Batch], client: Any = None, threads: int = 1
    ) -> None:
        self.eager, self.parameters, self.penalty = eager, eager.parameters, eager.penalty
        #: Which parameters took a gradient when it was traced.
        self.trained = taking_gradients(self.parameters)
        #: How many samples were compared with the eager engine.
        self.compared = 0
        # the threads of a client draw from the generators that all share
        alone = client is None
        outside = self.outside = Outside(eager.net, eager.loss, apart=self.parameters, alone=alone)
        if outside.drawn:
            raise Unfit(f"the net or the loss draws from an iterator, {outside.drawn}")
        samples, rows = batches[0]
        before = numbers_of(self.parameters)
        try:
            self._program = self._traced(samples, rows[0], threads)
            graph = self._program.captured.graph
            size = len(graph.op) + len(graph.args)
            several, self._several = (max(2, each // size) for each in (_FIRST, _AGAIN))
            first = samples, rows[:several]
            # A net that takes batches may treat one sample by itself, but several to validate together.
            larger = [(x, r[:several]) for x, r in batches if len(r) > len(rows)]
            looked = [first, *larger * self.eager.takes_batches]
            #: ``"mean"`` or ``"sum"``: what the cost of a batch is of those of its samples.
            two = samples, np.arange(min(2, len(samples.y)))  # one alone is its mean and its sum
            self.reduce = self._combination([*batches, two, first])
            theta = before.copy()
            unlike = next(filter(None, (self._unlike(each, theta) for each in looked)), "")
            moving = outside.settles(lambda: self.eager.gradients(first, theta, np.zeros(len(theta))))
        except (Unfit, NoGradientError, UndefinedOperation):
            raise
        except Exception as error:
            raise Unfit(_of_net(error, " while tracing")) from error
        finally:
            outside.restore()
            set_numbers(self.parameters, before)
        if moving:
            unlike = f"{moving} changes with each call, and the net or the loss may depend on it"
        if unlike:
            raise Unfit(unlike)
        #: Where the samples to learn from are, and run, if not here.
        self._apart, self._spread = samples, client and self._program._spread(samples, client)
        here = isinstance(samples.array, np.ndarray) and not self._spread
        #: The machine in C that runs a batch of what is in memory here, if one does.
        self.machine = self._program.machine if here else None
        #: After how many steps samples are due to be recorded as well, to compare.
        self.every = math.ceil(
            _RECORDED * size * self._several / (_SHARE * (_STEP + _REPLAYED * size * len(rows)))
        )

    # ----------------------------------------------------------------------------------- each step
    def gradients(self, batch: Batch, theta: Floats, gradient: Floats) -> float:  # noqa: D102 (see EagerEngine)
        if self._spread:
            return self._penalised(self._spread(batch[1], theta, gradient, self.reduce), theta, gradient)
        table, rows = batch[0].table, batch[1]
        # One batch of all samples has them in their order, and is no copy; what is stored is read each time.
        whole = table if isinstance(table, np.ndarray) and len(rows) == len(table) else table[rows]
        return self._run(whole, theta, gradient)

    def _run(self, table: Floats, theta: Floats, gradient: Floats) -> float:
        cost = self._program.value_and_grad(table, theta, reduce=self.reduce, out=gradient).cost
        return self._penalised(cost, theta, gradient)

    def _penalised(self, cost: float, theta: Floats, gradient: Floats) -> float:
        if not self.penalty:
            return cost
        with np.errstate(all="ignore"):
            gradient += 2.0 * self.penalty * self.trained * theta
            return cost + self.penalty * float(theta @ theta)

    def cost(self, batch: Batch, theta: Floats) -> float:  # noqa: D102
        samples, rows = batch
        if self._spread and samples is self._apart:
            return float(self._spread(rows, theta, np.empty_like(theta), self.reduce))
        parts = (rows[start : start + _READ] for start in range(0, len(rows), _READ))
        costs = np.concatenate([self._program(samples.table[part], theta) for part in parts])
        return float(costs.mean() if self.reduce == "mean" else costs.sum())

    # -------------------------------------------------------------------------------- at the start
    def _traced(self, samples: Samples, row: int, threads: int) -> Program:
        """The cost of one sample, with Values for its inputs and targets."""
        inputs, targets = array(samples.array[row], "x"), array(samples.y[row], "t")
        batch, leaves = (Samples(inputs[None], targets[None]), np.array([0])), _flat(inputs, targets)
        said = self._watched("net", leaves, lambda: self.eager.predictions(batch))
        cost = self._watched("loss", leaves, lambda: self.eager.loss(said, [targets.tolist()]))
        return compiled_program(cost, leaves, self.parameters, finite=False, compared=[], threads=threads)

    def _watched(self, who: str, leaves: Sequence[Value], call: Callable[[], Any]) -> Any:
        """What a call returns; Unfit where a number leaves the graph in it, or the system is asked."""
        seen = watched()
        with tracing.on(), seen, Asked([]) as asked:
            found = call()
        if asked.first():
            raise Unfit(f"the {who} draws from outside of it ({asked.first()})")
        kept, unknown, _ = branches(seen.found, leaves, self.parameters, hashes=True)
        for each in (*kept, *unknown):
            raise Unfit(f"the {who} {each.what}: {each}")
        return found

    def _combination(self, batches: Sequence[Batch]) -> Any:
        """``"mean"`` or ``"sum"``, for what the loss makes of several samples; it is asked, in every size.

        What the net might say to them are numbers near to what it says to a few of them.
        """
        loss = self.eager.loss
        if unwrap(loss) in LOSSES.values():
            return "mean"
        said = np.array(data_of(self.eager.predictions(batches[-1])))
        draw, measured = np.random.default_rng(0), []
        for n, (samples, rows) in {len(each[1]): each for each in batches}.items():
            numbers = said[np.arange(n) % len(said)]
            outputs = array(numbers * draw.uniform(0.98, 1.0, numbers.shape), "o")
            targets = array(samples.y[rows], "t")
            parts = [slice(None), *(slice(each, each + 1) for each in range(n))]
            given = [(outputs[at], targets[at].tolist()) for at in parts]
            if not self.eager.takes_batches:
                given = [(each.tolist(), wanted) for each, wanted in given]
            made = self._watched("loss", _flat(outputs, targets), partial(list, starmap(loss, given)))
            compared = made[0], functions.sum(made[1:])
            whole, total = (np.append(cost.data, grad(cost, outputs)) for cost in compared)
            measured.append((n, whole, total))
        for word, share in _SHARES.items():
            if all((abs(a - b * share(n)) <= _CLOSE * abs(b).max()).all() for n, a, b in measured):
                return word
        raise Unfit("the loss of a batch is neither the mean nor the sum of what single samples cost")

    # ------------------------------------------------------------------------------- again and again
    def compare(self, batch: Batch, theta: Floats) -> None:
        """Unfit, if replay differs from the eager engine for the first samples of a batch.

        The Values hold ``theta``. What has changed that the net or the loss can reach is a difference, too.
        """
        try:
            unlike = self._unlike((batch[0], batch[1][: self._several]), theta)
        except Exception as error:  # noqa: BLE001 (whatever a net raises when it is asked again)
            unlike = str(error) if isinstance(error, StaleProgram) else _of_net(error)
        changed = self.outside.changed()
        if changed:
            unlike = f"{changed} changes, and the net or the loss may depend on it"
        if unlike:
            raise Unfit(unlike)

    def _unlike(self, batch: Batch, theta: Floats) -> str:
        """In what replay differs from the eager engine for a batch, in words; empty where it does not."""
        rows = batch[1]
        self.compared += len(rows)
        table = batch[0].table[rows]
        right = _whole(theta, lambda gradient: self.eager.gradients(batch, theta, gradient))
        changed = np.flatnonzero(numbers_of(self.parameters) != theta)
        if len(changed):
            parameter = self.parameters[changed[0]]
            return f"the net or the loss changes a parameter, {describe(parameter)}, when it is called"
        found = _whole(theta, lambda gradient: self._run(table, theta, gradient))
        if not math.isfinite(right[-1]) and not math.isfinite(found[-1]):
            return ""
        with np.errstate(all="ignore"):
            apart, bound = np.abs(found - right), np.full(len(right), _CLOSE * np.abs(right).max())
            if not (apart <= bound).all():
                # Numbers that nearly cancel differ by their rounding, and as much if all are moved by that.
                moved = theta * (1.0 + _ROUNDING * (-1.0) ** np.arange(len(theta)))
                near = _whole(theta, lambda gradient: self._run(table * (1.0 + _ROUNDING), moved, gradient))
                bound += np.abs(near - found)
        if (apart <= bound).all():
            return ""
        place = int(np.argmax(apart / bound))
        what = "cost" if place == len(theta) else f"derivative in {describe(self.parameters[place])}"
        where = f"sample X[{rows[0]}]" if len(rows) == 1 else f"a batch of {len(rows)} samples"
        return f"the {what} of {where} is {right[place]:.6g}, and by replay {found[place]:.6g}"


def _of_net(error: Exception, when: str = "") -> str:
    """What a net or a loss raised, whatever it was, in words; an error of our own is raised again."""
    if not of_users(error):
        raise error
    return f"{type(error).__name__}{when}: {error}"


def _whole(theta: Floats, run: Callable[[Floats], float]) -> Floats:
    """Gradient and cost as one vector; nan where they are undefined."""
    found = np.zeros(len(theta) + 1)
    try:
        found[-1] = run(found[:-1])
    except ArithmeticError:
        found[:] = math.nan
    return found


def _flat(*arrays: Any) -> list[Value]:
    return [value for each in arrays for value in each.ravel().tolist()]


# -------------------------------------------------------------------------------------- steps in C
class Update(NamedTuple):
    """The step of an optimiser as a program; of each number that is remembered, whether all have the same."""

    machine: Machine
    alike: Rows


def update_of(optimiser: Optimiser, penalty: float) -> Update:
    """The update as a machine.

    Its inputs are a parameter, its derivative and what is remembered of it; its outputs the parameter and
    that after the step and, where there is a penalty, the derivative with the penalty's and the parameter's
    share of it. What all have alike, as the rate, is given once.
    """
    p, g, lr = Value(1.0), Value(1.0), Value(1.0)
    memory = [Value(1.0) for _ in optimiser.blank]
    cost = penalty * p * p
    whole = g + grad(cost, p, create_graph=True) if penalty else g
    new, later = optimiser.update(p, whole, tuple(memory), lr)  # type: ignore[arg-type]
    apart = {id(p), id(g)}
    alike = [bool((row == row[:1]).all()) for row in optimiser._memory]
    for _ in memory:  # what depends on another that is not alike is not
        for row, after in enumerate(later):
            alike[row] = alike[row] and apart.isdisjoint(map(id, backward_order(after)))
            if not alike[row]:
                apart.add(id(memory[row]))
    outputs = [new, *later, *([whole, cost] if penalty else [])]
    graph = Graph.of_roots(outputs)
    inputs = [p, g, *(each for each, same in zip(memory, alike, strict=True) if not same)]
    params = [lr, *(each for each, same in zip(memory, alike, strict=True) if same)]
    given, alike_for_all = ([graph._places.get(id(each)) for each in part] for part in (inputs, params))
    # Exact: each operation by itself, so that it is the step in Python to the last bit.
    trained = [True] * len(params)
    machine = Machine(graph, given, alike_for_all, graph.roots, trained, "exact")
    return Update(machine, np.array(alike, dtype=np.int64))
