"""The forms of a program, behind one interface: what runs the generated source over a batch."""

from __future__ import annotations

import hashlib
import linecache
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import finalize

import numpy as np
import numpy.typing as npt

from microbp.lazy import cached_property
from microbp.replay.dependence import dependence
from microbp.replay.function_graph import Captured
from microbp.replay.identifiers import counted
from microbp.replay.loops import Layout, layout
from microbp.replay.matrix import Generated, Plan
from microbp.replay.matrix_source import matrix_source
from microbp.replay.parameter_arrays import ParameterArray
from microbp.replay.sample import recorded_gradients
from microbp.replay.straight import MOST, straight
from microbp.replay.table import tabled
from microbp.replay.undefined import watch

__all__ = ["Auto", "Floats", "Form", "Matrix", "Straight", "defined", "generated"]

Floats = npt.NDArray[np.float64]
#: In a longer graph what repeats becomes loops.
_LONG = 2000
#: What one node or operand costs in straight-line code, and one call of NumPy, in µs; how many calls a group
#: makes, and a level of a table; and how many calls are so many that straight-line code is shown, if it is
#: quicker for one sample.
_NODE, _CALL, _PER_GROUP, _PER_LEVEL, _MANY = 0.02, 1.2, 4, 30, 800


class Form(Protocol):
    """Generated code for a graph.

    ``x`` has the shape (batch, inputs) and at least one row; ``theta`` and ``gradient`` are vectors of all
    parameters, in the order in which the user gave them.
    """

    @property
    def source(self) -> str:
        """Python that can be read, and pasted into a file."""

    @property
    def functions(self) -> dict[str, Any]:
        """What the source defines: ``value`` and ``value_and_grad``."""

    @property
    def arrays(self) -> tuple[ParameterArray, ...]:
        """In which arrays the code holds which parameters."""

    @property
    def description(self) -> str:
        """What became of the graph."""

    @property
    def exact(self) -> bool:
        """Whether one sample gives the same bits as the eager engine."""

    def plain(self) -> tuple[str, Any]:
        """Its name, and the data from which it can be made again."""

    def values(self, x: Floats, theta: Floats) -> Floats:
        """The outputs, of the shape (batch, outputs)."""

    def gradients(self, x: Floats, theta: Floats, gradient: Floats, wrt_inputs: bool) -> tuple[Floats, Any]:
        """The costs (batch,), and the derivatives in x or None.

        The derivatives of the sum of the costs are written into ``gradient``.
        """


def defined(source: str) -> dict[str, Any]:
    """What the source defines, under a file name by which tracebacks and the debugger show its lines."""
    file = f"<microbp replay {hashlib.sha256(source.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    made: dict[str, Any] = {"__name__": "microbp_replay", "_alive": _Alive()}
    _shown[file] += 1
    finalize(made["_alive"], _forget, file).atexit = False
    exec(compile(source, file, "exec"), made)
    return made


class _Alive:
    """As long as what a source defines."""


#: How many times each file is defined.
_shown: Counter[str] = Counter()


def _forget(file: str) -> None:
    _shown[file] -= 1
    if not _shown[file]:
        del _shown[file]
        linecache.cache.pop(file, None)


class Straight:
    """Sample after sample, in straight-line code on Python's floats: the eager engine's bits."""

    exact = True

    def __init__(self, captured: Captured, loops: Layout | None = None) -> None:
        self._captured = captured
        if loops is None and len(captured.graph) > _LONG:
            loops = layout(captured)
        self._loops = loops if loops and loops.loops else None
        self.source = self._source(wrt_inputs=False)
        members = tuple(range(len(captured.params)))
        self.arrays = (ParameterArray("parameters", (len(members),), members),)
        made = defined(self.source)
        self.functions = {name: made[name] for name in ("value", "value_and_grad")}
        size, lines = counted(len(captured.graph), "value"), self.source.count("\n")
        self.description = f"{size} became {lines:,} lines of straight-line code"
        if self._loops:
            self.description += f"\n({counted(len(self._loops.loops), 'loop')} for what repeats)"

    def _source(self, wrt_inputs: bool) -> str:
        return straight(self._captured, wrt_inputs=wrt_inputs, plan=self._loops)

    @cached_property
    def _with_inputs(self) -> Callable[[list[float], list[float]], Any]:
        function: Callable[..., Any] = defined(self._source(wrt_inputs=True))["value_and_grad"]
        return function

    def plain(self) -> tuple[str, Any]:  # noqa: D102 (see Form)
        return "straight", self._captured

    def values(self, x: Floats, theta: Floats) -> Floats:  # noqa: D102
        value, numbers = self.functions["value"], theta.tolist()
        rows = [value(row, numbers) for row in x.tolist()]
        return np.array(rows, dtype=float).reshape(len(x), -1)

    def gradients(  # noqa: D102
        self, x: Floats, theta: Floats, gradient: Floats, wrt_inputs: bool
    ) -> tuple[Floats, Any]:
        costs = np.empty(len(x))
        dx = np.empty_like(x) if wrt_inputs else None
        gradient[:] = 0.0
        numbers = theta.tolist()
        single = not self._captured.output_shape
        function = self.functions["value_and_grad"] if dx is None else self._with_inputs
        for index, row in enumerate(x.tolist()):
            try:
                cost, derivatives, *rest = function(row, numbers)
            except (ArithmeticError, ValueError):  # an operation that is undefined raises here once more
                found, derivatives, slopes = recorded_gradients(self._captured, row, numbers)
                cost, rest = found[0] if single else found, [slopes]
            costs[index] = cost if single else sum(cost)
            gradient += derivatives
            if dx is not None:
                (dx[index],) = rest
        if dx is not None:
            dx += 0.0  # -0.0 becomes 0.0, as in the eager engine
        return costs, dx


class Matrix:
    """A batch at once, in NumPy's operations on matrices."""

    exact = False

    def __init__(self, generated: Generated, trained: Sequence[bool]) -> None:
        self.source, self.description = generated.source, generated.description
        count = len(trained)
        made = defined(self.source)
        made.update(generated.constants)
        self._called = watch(made["value"].__code__.co_filename, generated.watched)
        self._generated, self._trained = generated, tuple(trained)
        self.functions = {name: made[name] for name in ("value", "value_and_grad")}
        self._value, self._value_and_grad = self.functions.values()
        used = {member for array in generated.arrays for member in array.members}
        rest = tuple(each for each in range(count) if each not in used)
        self.arrays = generated.arrays + ((ParameterArray("others", (len(rest),), rest),) if rest else ())
        #: Arrays whose elements lie in no even strides: they are gathered, and their gradients put back.
        self._gathered = [
            (at, np.array(array.members, dtype=np.int64).reshape(array.shape))
            for at, array in enumerate(generated.arrays)
            if array.strides is None
        ]
        # What the code leaves alone: parameters that are in no view, and those that take no gradient.
        loose = [*rest, *(each for _, members in self._gathered for each in members.ravel().tolist())]
        self._loose = np.array(sorted(loose), dtype=np.int64)
        self._frozen = np.flatnonzero(~np.array(trained, dtype=bool))
        self._views: dict[str, tuple[Floats, list[Floats]]] = {}

    def plain(self) -> tuple[str, Any]:  # noqa: D102 (see Form)
        return "matrix", (self._generated, self._trained)

    def values(self, x: Floats, theta: Floats) -> Floats:  # noqa: D102
        with self._quiet():
            result: Floats = self._value(x, *self._view("theta", theta))
        return result

    def gradients(  # noqa: D102
        self, x: Floats, theta: Floats, gradient: Floats, wrt_inputs: bool
    ) -> tuple[Floats, Any]:
        given, into = self._view("theta", theta), self._view("gradient", gradient)
        if len(self._loose):
            gradient[self._loose] = 0.0
        with self._quiet():
            costs, dx = self._value_and_grad(x, *given, *into, wrt_x=wrt_inputs)
        lead = len(into) - len(self._generated.arrays)
        for at, members in self._gathered:
            gradient[members] += into[lead + at]
        if len(self._frozen):
            gradient[self._frozen] = 0.0
        return costs, dx

    def _quiet(self) -> np.errstate:
        """No warnings; Suspicion, where a line computes what the eager engine may refuse."""
        return np.errstate(divide="call", invalid="call", over="call", under="ignore", call=self._called)

    def _view(self, what: str, vector: Floats) -> list[Floats]:
        """The arrays in a vector; those of the last one are kept, since training has but one."""
        known = self._views.get(what)
        if known is None or known[0] is not vector:
            found = [vector] * bool(self._generated.theta)
            for array in self._generated.arrays:
                view = array.view(vector)
                found.append(np.empty(array.shape) if view is None else view)
            known = self._views[what] = vector, found
        lead = len(known[1]) - len(self._generated.arrays)
        for at, members in self._gathered:
            known[1][lead + at][...] = vector[members]
        return known[1]


class Auto:
    """Straight-line code for a few samples at a time, matrices for more; each is made when it is needed.

    One estimate of the cost of both decides where the one ends and the other begins, and which of them the
    program shows.
    """

    def __init__(self, captured: Captured, made: Generated | None = None) -> None:
        self._captured, self._made = captured, made
        record = captured.graph
        known = dependence(captured)
        plan = Plan(captured, known) if made is None else None
        if plan is None or plan.groups is None:
            operations = made.operations if made else _PER_LEVEL * known.depth
        else:
            operations = _PER_GROUP * len(plan.groups)
        #: How many samples straight-line code is quicker for.
        self._most = int(_CALL * operations / (_NODE * (len(record.op) + 2 * len(record.args))))
        loops = layout(captured, known) if self._most and len(record.op) > _LONG else None
        if (len(record.op) if loops is None else loops.length) > MOST:
            self._most = 0
        self.exact = self._most > 0
        self._straight_first = self.exact and operations > _MANY
        self._plan, self._loops = plan, loops
        first: Form = self._straight if self._straight_first else self._matrix
        self.source, self.functions, self.arrays = first.source, first.functions, first.arrays
        self.description = first.description
        few = counted(self._most, "sample") if self._most > 1 else "one sample"
        if self._straight_first:
            self.description += f"\n(batches of more than {few} run as array operations)"
        elif self._most:
            self.description += f"\n(batches of up to {few} run in straight-line code)"
        self._plan = self._loops = None

    @cached_property
    def _straight(self) -> Straight:
        return Straight(self._captured, self._loops)

    @cached_property
    def _matrix(self) -> Matrix:
        self._made = self._made or generated(self._captured, self._plan)
        return Matrix(self._made, self._captured.trained)

    def _form(self, samples: int) -> Form:
        return self._straight if samples <= self._most else self._matrix

    def plain(self) -> tuple[str, Any]:  # noqa: D102 (see Form)
        return "auto", (self._captured, None if self._straight_first else self._made)

    def values(self, x: Floats, theta: Floats) -> Floats:  # noqa: D102
        return self._form(len(x)).values(x, theta)

    def gradients(  # noqa: D102
        self, x: Floats, theta: Floats, gradient: Floats, wrt_inputs: bool
    ) -> tuple[Floats, Any]:
        return self._form(len(x)).gradients(x, theta, gradient, wrt_inputs)


def generated(captured: Captured, plan: Plan | None = None) -> Generated:
    """NumPy source for a batch: matrices, or a table where there are so few that they would be thousands."""
    plan = Plan(captured) if plan is None else plan
    return tabled(captured) if plan.groups is None else matrix_source(plan)

