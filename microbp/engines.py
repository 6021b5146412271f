"""How the cost of a batch and its gradient are computed while a net is trained: eagerly, or by replay.

The eager engine records every sample anew; it is the definition. The replay engine records the cost of one
sample, compiles it, and runs it over the batch. What it assumes it has seen: that no number leaves the graph
of a sample, that calling the net changes nothing, how the loss puts samples together, and that the first
batch has the eager cost and gradient. What it cannot see is compared again and again while it is in use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from microbp.array import array, data_of
from microbp.backward import upstream_gradients
from microbp.collector import collector_at_rest
from microbp.comparisons import tracing, watched
from microbp.errors import NoGradientError, StaleProgram, UndefinedOperation
from microbp.losses import LOSSES, Loss, l2_penalty
from microbp.outside import Outside
from microbp.replay import Program
from microbp.replay.branches import guards
from microbp.replay.build import compiled_program
from microbp.sites import of_users
from microbp.value import Value, describe

__all__ = ["EagerEngine", "Engine", "Floats", "ReplayEngine", "Samples", "Unfit"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Samples(NamedTuple):
    """Data that has been checked: finite numbers, as many targets as samples."""

    #: Shape ``(n,)`` or ``(n, …)``; of Values while a sample is traced.
    array: np.ndarray[Any, Any]
    #: The same as floats and lists of floats.
    x: list[Any]
    #: One number, or list of numbers, for each sample.
    y: list[Any]


#: Some of the samples, by their index.
Batch = tuple[Samples, Sequence[int]]


class Engine(Protocol):
    """How the cost of a batch and its gradient are computed; nothing else in training knows."""

    def gradients(self, batch: Batch, theta: Floats, gradient: Floats) -> float:
        """The cost of the batch, penalty included; its derivatives are written into ``gradient``.

        Where the cost is not finite, they may be left out.
        """

    def cost(self, batch: Batch, theta: Floats) -> float:
        """The loss of the batch alone."""


# ------------------------------------------------------------------------------------------ eager
class EagerEngine:
    """Records each batch anew on Values: the definition that every other engine has to equal.

    The Values are what counts: ``theta`` holds the same numbers.
    """

    def __init__(self, net: Any, loss: Loss, parameters: Sequence[Value], penalty: float) -> None:
        self.net, self.loss, self.parameters, self.penalty = net, loss, parameters, penalty
        self.predict = net if callable(net) else net.predict
        self.takes_batches = not callable(net) or bool(getattr(net, "takes_batches", False))

    def gradients(self, batch: Batch, theta: Floats, gradient: Floats) -> float:  # noqa: ARG002, D102
        for parameter in self.parameters:
            parameter.grad = None
        with collector_at_rest():
            cost = self.record(batch)
            if self.penalty:
                cost = cost + l2_penalty(self.parameters, self.penalty)
            number = cost.data
            if math.isfinite(number):
                cost.backward()
            del cost  # the graph is freed here, before the next one is recorded
        if math.isfinite(number):
            self._fill_up()
            gradient[:] = [each.grad or 0.0 for each in self.parameters]
        return number

    def _fill_up(self) -> None:
        """The gradient of a parameter that this batch does not depend on is 0."""
        if all(each.grad is None for each in self.parameters):
            raise NoGradientError(
                "fit: the cost depends on no parameter that takes a gradient. What a net computes from "
                ".data, under no_grad() or from detached values is not in the graph"
            )
        for parameter in self.parameters:
            if parameter.grad is None and parameter.requires_grad:
                parameter.grad = 0.0

    def cost(self, batch: Batch, theta: Floats) -> float:  # noqa: ARG002, D102 (see Engine)
        # Not under no_grad(), which Ctrl-C could leave switched on: each prediction's graph goes at once.
        samples, rows = batch
        with collector_at_rest():
            if self.takes_batches:
                return self.record(batch).data
            outputs = (self.predictions((samples, [row]))[0] for row in rows)
            predictions = [[each.detach() for each in output] for output in outputs]
            return self.loss(predictions, [samples.y[row] for row in rows]).data

    def record(self, batch: Batch) -> Value:
        """The loss of the batch as a recorded Value."""
        samples, rows = batch
        return self.loss(self.predictions(batch), [samples.y[row] for row in rows])

    def predictions(self, batch: Batch) -> Any:
        """What the net says to each, the shape ``(batch, outputs)``."""
        samples, rows = batch
        if self.takes_batches:
            return self.predict(samples.array[rows])
        outputs = [self.predict(samples.x[row]) for row in rows]
        return [[each] if isinstance(each, Value) else each for each in outputs]


# ------------------------------------------------------------------------------------------ replay
class Unfit(Exception):
    """Why a net is not replayed."""


#: How closely a replayed cost and gradient have to agree with the eager ones; by how much numbers are moved
#: to see what rounding may do to them; and how many operations are recorded for one comparison, at most.
_CLOSE, _ROUNDING, _LOOK = 1e-9, 1e-12, 5_000
#: What a replayed step takes, and one operation in it, in operations that might be recorded meanwhile; what a
#: comparison takes beside its recording; and the shares of that time for comparing one sample, and several.
_STEP, _REPLAYED, _OUTSIDE, _ONE, _SEVERAL = 220.0, 0.001, 700.0, 0.05, 0.01
#: What a loss may make of n samples, and by what it multiplies their sum then.
_SHARES: dict[Any, Callable[[int], float]] = {"mean": lambda n: 1.0 / n, "sum": lambda _: 1.0}


class ReplayEngine:
    """Records the cost of one sample, and replays it for every batch: the eager engine but for rounding.

    Raises Unfit for a net or a loss for which that would not hold; whatever they changed is set back then.
    ``batches`` are the batches that there will be, one of each size, the first one first.
    """

    def __init__(self, eager: EagerEngine, batches: Sequence[Batch]) -> None:
        self.eager, self.parameters, self.penalty = eager, eager.parameters, eager.penalty
        self._tables: dict[int, tuple[Samples, Floats]] = {}
        self._last: tuple[Any, list[int], Floats] | None = None
        self._trained = np.array([each.requires_grad for each in self.parameters])
        #: How many samples were compared with the eager engine.
        self.compared = 0
        #: What the steps have taken since a sample was compared, and since several were.
        self._since_one = self._since_several = 0.0
        outside = self.outside = Outside(eager.net, eager.loss, apart=self.parameters)
        if outside.drawn:
            raise Unfit(f"the net or the loss draws from an iterator, {outside.drawn}")
        try:
            with collector_at_rest():
                self._program = self._traced(*batches[0])
                graph = self._program.captured.graph
                self._size = len(graph.op) + len(graph.args)
                #: How many samples make a comparison of a batch.
                self.several = max(2, _LOOK // self._size)
                samples, rows = batches[0]
                first = samples, rows[: self.several]
                self._reduce = self._combination([*batches, first])
                theta = self._program.parameters
                unlike = self._unlike(first, theta)
                gradient = np.zeros(len(theta))
                moving = outside.settles(lambda: self.eager.gradients(first, theta, gradient))
        except (Unfit, NoGradientError, UndefinedOperation):
            raise
        except Exception as error:
            if not of_users(error):
                raise
            # whatever a net does with Values instead of numbers
            raise Unfit(f"{type(error).__name__} while tracing: {error}") from error
        finally:
            outside.restore()
        if moving:
            raise Unfit(f"{moving} changes with each call, and the net or the loss may depend on it")
        if unlike:
            raise Unfit(unlike)

    # ----------------------------------------------------------------------------------- each step
    def gradients(self, batch: Batch, theta: Floats, gradient: Floats) -> float:  # noqa: D102 (see Engine)
        taken = _STEP + _REPLAYED * self._size * len(batch[1])
        self._since_one, self._since_several = self._since_one + taken, self._since_several + taken
        return self._run(self._rows(batch), theta, gradient)

    def _run(self, table: Floats, theta: Floats, gradient: Floats) -> float:
        found = self._program.value_and_grad(table, theta, reduce=self._reduce, out=gradient)
        if not self.penalty:
            return found.cost
        with np.errstate(over="ignore"):
            gradient += 2.0 * self.penalty * self._trained * theta
            return found.cost + self.penalty * float(theta @ theta)

    def cost(self, batch: Batch, theta: Floats) -> float:  # noqa: D102
        costs = self._program(self._rows(batch), theta)
        return float(costs.mean() if self._reduce == "mean" else costs.sum())

    def _rows(self, batch: Batch) -> Floats:
        """A row of inputs and targets for each sample of the batch."""
        samples, rows = batch
        if self._last is None or self._last[0] is not samples or self._last[1] != rows:
            self._last = samples, list(rows), self._table(samples)[rows]
        return self._last[2]

    def _table(self, samples: Samples) -> Floats:
        known = self._tables.get(id(samples))
        if known is None:
            parts = samples.array, np.array(samples.y, dtype=float)
            table = np.hstack([each.reshape(len(samples.x), -1) for each in parts])
            known = self._tables[id(samples)] = samples, table
        return known[1]

    # -------------------------------------------------------------------------------- at the start
    def _traced(self, samples: Samples, rows: Sequence[int]) -> Program:
        """The cost of one sample, with Values for its inputs and targets."""
        inputs = _leaves(samples.array[rows[0]].tolist(), "x")
        targets = _leaves(samples.y[rows[0]], "t")
        given = Samples(array(np.array([inputs], dtype=object)), [inputs], [targets])
        leaves = _flat([inputs]) + _flat([targets])
        seen = watched()
        with tracing.on(), seen:
            predictions = self.eager.predictions((given, [0]))
        self._refuse_branches(seen, leaves, "net")
        seen = watched()
        with tracing.on(), seen:
            cost = self.eager.loss(predictions, [targets])
        self._refuse_branches(seen, leaves, "loss")
        return compiled_program(cost, leaves, self.parameters, finite=False, compared=[])

    def _refuse_branches(self, seen: Any, leaves: Sequence[Value], who: str) -> None:
        branch, unknown = guards(seen.found, leaves, self.parameters)
        for each in (*(branch.branches if branch else ()), *unknown):
            raise Unfit(f"the {who} {each.what}: {each}")

    def _combination(self, batches: Sequence[Batch]) -> Any:
        """``"mean"`` or ``"sum"``, for what the loss makes of several samples; it is asked, in every size.

        What the net might say to them are numbers near to what it says to a few of them.
        """
        if self.eager.loss in LOSSES.values():
            return "mean"
        samples, rows = batches[0]
        said = np.array(data_of(self.eager.predictions((samples, rows[: self.several]))))
        draw, possible = np.random.default_rng(0), dict(_SHARES)
        for samples, rows in {len(rows): (samples, rows) for samples, rows in batches[::-1]}.values():
            n = len(rows)
            numbers = said[np.arange(n) % len(said)]
            numbers = numbers * draw.uniform(0.98, 1.0, numbers.shape)
            outputs = np.array(_leaves(numbers.tolist(), "o"), dtype=object)
            said_of_all: Any = array(outputs) if self.eager.takes_batches else outputs.tolist()
            targets = [_leaves(samples.y[row], "t") for row in rows]
            seen = watched()
            with tracing.on(), seen:
                together = self.eager.loss(said_of_all, targets)
                alone = [self.eager.loss(said_of_all[i : i + 1], targets[i : i + 1]) for i in range(n)]
            self._refuse_branches(seen, [*_flat(outputs), *_flat(targets)], "loss")
            whole, parts = upstream_gradients(together), map(upstream_gradients, alone)
            found = [together.data, *(whole.get(id(each), 0.0) for each in _flat(outputs))]
            total = [math.fsum(each.data for each in alone)]
            for part, output in zip(parts, outputs, strict=True):
                total += [part.get(id(each), 0.0) for each in _flat(output)]
            scale = _CLOSE * max(map(abs, total))
            possible = {
                word: share
                for word, share in possible.items()
                if all(abs(x - y * share(n)) <= scale for x, y in zip(found, total, strict=True))
            }
        if not possible:
            raise Unfit("the loss of a batch is neither the mean nor the sum of what single samples cost")
        return next(iter(possible))

    # ------------------------------------------------------------------------------- again and again
    @property
    def due(self) -> int:
        """How many samples the steps since the last comparisons have paid for: none, one or several."""
        if _ONE * self._since_one < self._size + _OUTSIDE:
            return 0
        return self.several if _SEVERAL * self._since_several >= self._size * self.several else 1

    def difference(self, batch: Batch, theta: Floats) -> str:
        """In what replay differs from the eager engine for a batch, in words; empty where it does not.

        The Values hold ``theta``. What has changed that the net or the loss can reach is a difference, too.
        """
        self._since_one = 0.0
        if len(batch[1]) > 1:
            self._since_several = 0.0
        try:
            unlike = self._unlike(batch, theta)
        except Exception as error:
            if not (isinstance(error, StaleProgram) or of_users(error)):
                raise
            unlike = f"{type(error).__name__}: {error}"  # whatever a net raises when it is asked again
        changed = self.outside.changed()
        return f"{changed} changes, and the net or the loss may depend on it" if changed else unlike

    def _unlike(self, batch: Batch, theta: Floats) -> str:
        samples, rows = batch
        self.compared += len(rows)
        table = self._table(samples)[rows]
        right = _whole(theta, lambda gradient: self.eager.gradients(batch, theta, gradient))
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


def _whole(theta: Floats, run: Callable[[Floats], float]) -> Floats:
    """Gradient and cost as one vector; nan where they are undefined."""
    found = np.zeros(len(theta) + 1)
    try:
        found[-1] = run(found[:-1])
    except ArithmeticError:
        found[:] = math.nan
    return found


def _flat(held: Any) -> list[Value]:
    flat: list[Value] = np.array(held, dtype=object).ravel().tolist()
    return flat


def _leaves(numbers: Any, name: str) -> Any:
    """Values in the place of numbers, in nested lists."""
    if isinstance(numbers, list):
        return [_leaves(each, f"{name}{index}" if name[-1:].isalpha() else f"{name}_{index}")
                for index, each in enumerate(numbers)]  # fmt: skip
    return Value(float(numbers), name)
