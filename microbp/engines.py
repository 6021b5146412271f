"""How the cost of a batch and its gradients are computed while a net is trained: eagerly, or by replay.

The eager engine records every sample anew; it is the definition. The replay engine records the cost of
one sample, compiles it, and runs it over the batch. Before it is used it has to agree with the eager one,
and where a net cannot be traced it steps aside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from microbp import functions
from microbp.array import array
from microbp.collector import collector_at_rest
from microbp.comparisons import tracing, watched
from microbp.errors import NoGradientError
from microbp.losses import (
    Loss,
    binary_cross_entropy,
    half_squared_error,
    hinge,
    l2_penalty,
    mean_squared_error,
    softmax_cross_entropy,
)
from microbp.replay.branches import guards
from microbp.replay.build import compiled_program
from microbp.replay.function_graph import flat
from microbp.replay.program import Program
from microbp.value import Value

__all__ = ["ENGINES", "EagerEngine", "Engine", "Floats", "ReplayEngine", "Samples"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Samples(NamedTuple):
    """Data that has been checked: finite numbers, as many targets as samples."""

    #: Shape ``(n,)`` or ``(n, …)``.
    array: Floats
    #: The same as floats and lists of floats.
    x: list[Any]
    #: One number, or list of numbers, for each sample.
    y: list[Any]


class Engine(Protocol):
    """How the cost of a batch and its gradients are computed; nothing else in training knows.

    An engine is made with the net, the loss, the parameters of the net, and the penalty's strength.
    """

    def __init__(self, net: Any, loss: Loss, parameters: Sequence[Value], penalty: float) -> None: ...

    @property
    def name(self) -> str:
        """What the history says: "replay", or "eager" and why."""

    def gradients(self, samples: Samples, rows: Sequence[int]) -> float:
        """The cost of the batch, penalty included; ``grad`` of each parameter is its derivative then.

        A frozen parameter has none. No number of a parameter changes. Where the cost is not finite, the
        gradients may be left out.
        """

    def cost(self, samples: Samples, rows: Sequence[int]) -> float:
        """The loss of the batch alone; no ``grad`` changes."""


# ------------------------------------------------------------------------------------------ eager
class EagerEngine:
    """Records each batch anew on Values: the definition that every other engine has to equal."""

    name = "eager"

    def __init__(self, net: Any, loss: Loss, parameters: Sequence[Value], penalty: float) -> None:
        self.loss, self.parameters, self.penalty = loss, parameters, penalty
        self.predict = net if callable(net) else net.predict
        self.takes_batches = not callable(net) or bool(getattr(net, "takes_batches", False))

    def gradients(self, samples: Samples, rows: Sequence[int]) -> float:  # noqa: D102 (see Engine)
        for parameter in self.parameters:
            parameter.grad = None
        with collector_at_rest():
            cost = self.record(samples, rows)
            if self.penalty:
                cost = cost + l2_penalty(self.parameters, self.penalty)
            number = cost.data
            if math.isfinite(number):
                cost.backward()
            del cost  # the graph is freed here, before the next one is recorded
        if math.isfinite(number):
            self._fill_up()
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

    def cost(self, samples: Samples, rows: Sequence[int]) -> float:  # noqa: D102
        # Not under no_grad(), which Ctrl-C could leave switched on: each prediction's graph goes at once.
        with collector_at_rest():
            if self.takes_batches:
                return self.record(samples, rows).data
            outputs = (self.predictions(samples, [row])[0] for row in rows)
            predictions = [[each.detach() for each in output] for output in outputs]
            return self.loss(predictions, [samples.y[row] for row in rows]).data

    def record(self, samples: Samples, rows: Sequence[int]) -> Value:
        """The loss of the batch as a recorded Value."""
        return self.loss(self.predictions(samples, rows), [samples.y[row] for row in rows])

    def predictions(self, samples: Samples, rows: Sequence[int]) -> Any:
        """What the net says to each, the shape ``(batch, outputs)``."""
        if self.takes_batches:
            return self.predict(samples.array[rows])
        outputs = [self.predict(samples.x[row]) for row in rows]
        return [[each] if isinstance(each, Value) else each for each in outputs]


# ------------------------------------------------------------------------------------------ replay
class _Unfit(Exception):
    """Why a net is not replayed."""


#: The cost of one sample for each loss that the package has, of predictions and targets that are Values.
_SAMPLE_COSTS: dict[Loss, Callable[[list[Value], list[Value]], Value]] = {
    half_squared_error: lambda o, t: functions.sum([(b - a) ** 2 for a, b in zip(o, t, strict=True)]) / 2,
    mean_squared_error: lambda o, t: functions.sum([(b - a) ** 2 for a, b in zip(o, t, strict=True)])
    / len(o),
    hinge: lambda o, t: functions.sum([(1.0 - b * a).relu() for a, b in zip(o, t, strict=True)]) / len(o),
    binary_cross_entropy: lambda o, t: functions.sum(
        [b * (-a).softplus() + (1.0 - b) * a.softplus() for a, b in zip(o, t, strict=True)]
    ) / len(o),
    softmax_cross_entropy: functions.cross_entropy,
}  # fmt: skip
#: How closely the replayed cost and gradients have to agree with the eager ones.
_CLOSE = 1e-9


class ReplayEngine:
    """Records the cost of one sample, and replays it for every batch.

    It is equal to the eager engine but for rounding. It steps aside for a net that cannot be traced: one
    that asks for the numbers of its inputs, compares Values, or does not treat each sample by itself.
    """

    def __init__(self, net: Any, loss: Loss, parameters: Sequence[Value], penalty: float) -> None:
        self.eager = EagerEngine(net, loss, parameters, penalty)
        self.loss, self.parameters, self.penalty = loss, parameters, penalty
        self._why = ""
        self._ready = False
        self._program: Program
        self._tables: dict[int, tuple[Samples, Floats]] = {}
        self._batch: tuple[Any, list[int], Floats] | None = None

    @property
    def name(self) -> str:  # noqa: D102 (see Engine)
        return f"eager ({self._why})" if self._why else "replay"

    @property
    def replays(self) -> bool:
        """Whether it does; known after the first batch."""
        return self._ready and not self._why

    @property
    def values(self) -> tuple[Value, ...]:
        """The parameters in the order of the program's vector."""
        return self._program._bound

    def gradients(self, samples: Samples, rows: Sequence[int]) -> float:  # noqa: D102
        if not self._fits(samples, rows):
            return self.eager.gradients(samples, rows)
        cost, gradient = self.replayed(samples, rows, self._program.parameters)
        for parameter, derivative in zip(self._program._bound, gradient.tolist(), strict=True):
            parameter.grad = derivative if parameter.requires_grad else None
        return cost

    def cost(self, samples: Samples, rows: Sequence[int]) -> float:  # noqa: D102
        if not self._fits(samples, rows):
            return self.eager.cost(samples, rows)
        return float(self._program(self._rows(samples, rows)).mean())

    # ----------------------------------------------------------------------------------- each step
    def replayed(
        self, samples: Samples, rows: Sequence[int], theta: Floats, out: Floats | None = None
    ) -> tuple[float, Floats]:
        """Cost and gradient, penalty included, at any parameters; both in the order of the program."""
        found = self._program.value_and_grad(self._rows(samples, rows), theta, out=out)
        if not self.penalty:
            return found.cost, found.gradient
        with np.errstate(over="ignore"):
            found.gradient += 2.0 * self.penalty * theta
            return found.cost + self.penalty * float(theta @ theta), found.gradient

    def _rows(self, samples: Samples, rows: Sequence[int]) -> Floats:
        """A row of inputs and targets for each sample of the batch."""
        if self._batch is None or self._batch[0] is not samples or self._batch[1] != rows:
            self._batch = samples, list(rows), self._table(samples)[rows]
        return self._batch[2]

    def _table(self, samples: Samples) -> Floats:
        known = self._tables.get(id(samples))
        if known is None:
            x = samples.array.reshape(len(samples.x), -1)
            known = self._tables[id(samples)] = samples, np.hstack([x, self._targets(samples)])
        return known[1]

    def _targets(self, samples: Samples) -> Floats:
        targets = np.array(samples.y, dtype=float).reshape(len(samples.y), -1)
        if self.loss is softmax_cross_entropy and targets.shape[1] != self._outputs:
            one_hot: Floats = np.eye(self._outputs)[targets[:, 0].astype(int)]
            return one_hot
        return targets

    # -------------------------------------------------------------------------------- at the start
    def _fits(self, samples: Samples, rows: Sequence[int]) -> bool:
        """Whether the net is replayed; found out at the first batch."""
        if not self._ready:
            self._ready = True
            try:
                with collector_at_rest():
                    self._record(samples, rows[0])
                    self._compare(samples, rows[:3])
            except _Unfit as reason:
                self._why = str(reason)
            except Exception as error:  # noqa: BLE001 (whatever a net does with Values instead of numbers)
                self._why = f"{type(error).__name__} while tracing: {error}"
        return not self._why

    def _record(self, samples: Samples, row: int) -> None:
        """The cost of one sample, with Values for its inputs and targets."""
        x, y = samples.array[row], samples.y[row]
        inputs = _leaves(x.tolist(), "x")
        seen = watched()
        with tracing.on(), seen:
            if self.eager.takes_batches:
                given = np.empty((1, *x.shape), dtype=object)
                given[0] = np.array(inputs, dtype=object)
                predicted = self.eager.predict(array(given))[0]
            else:
                predicted = self.eager.predict(inputs)
            outputs, _ = flat(predicted, "the net's outputs")
            self._outputs = len(outputs)
            if self.loss in _SAMPLE_COSTS:
                targets = _leaves(self._targets(Samples(x[None], [x], [y]))[0].tolist(), "t")
                cost = _SAMPLE_COSTS[self.loss](outputs, targets)
            else:
                targets = _leaves(y, "t")
                cost = self.loss([[predicted] if isinstance(predicted, Value) else predicted], [targets])
        leaves = flat(inputs, "inputs")[0] + flat(targets, "targets")[0]
        branch, unknown = guards(seen.found, leaves, self.parameters)
        for each in (*(branch.branches if branch else ()), *unknown):
            raise _Unfit(f"the net {each.what}: {each}")
        self._program = compiled_program(cost, leaves, self.parameters, finite=False, compared=[])

    def _compare(self, samples: Samples, rows: Sequence[int]) -> None:
        """The first samples in both ways; whoever draws random numbers, say, is found out here."""
        were = [each.grad for each in self.parameters]
        try:
            eager = self.eager.gradients(samples, rows)
            eagerly = [each.grad for each in self.parameters]
            cost = self.gradients(samples, rows)
            pairs = [(cost, eager), *zip((each.grad for each in self.parameters), eagerly, strict=True)]
            scale = max(abs(eager), *(abs(each or 0.0) for each in eagerly))
            for replayed, exact in pairs:
                if abs((replayed or 0.0) - (exact or 0.0)) > _CLOSE * scale:
                    raise _Unfit("the cost of a batch is not the mean of what single samples cost")
        finally:
            for parameter, grad in zip(self.parameters, were, strict=True):
                parameter.grad = grad


def _leaves(numbers: Any, name: str) -> Any:
    """Values in the place of numbers, in nested lists."""
    if isinstance(numbers, list):
        return [_leaves(each, f"{name}{index}" if name[-1:].isalpha() else f"{name}_{index}")
                for index, each in enumerate(numbers)]  # fmt: skip
    return Value(float(numbers), name)


#: The engines by name; "auto" is the fastest that fits.
ENGINES: dict[str, type[Engine]] = {"auto": ReplayEngine, "replay": ReplayEngine, "eager": EagerEngine}
