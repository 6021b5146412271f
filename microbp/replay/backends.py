"""The forms of a program, behind one interface: what runs the generated source over a batch."""

from __future__ import annotations

import hashlib
import linecache
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol
from weakref import ref

import numpy as np
import numpy.typing as npt

from microbp.lazy import cached_property
from microbp.native import Machine, engine
from microbp.replay.dependence import dependence
from microbp.replay.function_graph import Captured
from microbp.replay.identifiers import counted
from microbp.replay.loops import Layout, layout
from microbp.replay.matrix import MANY, Generated, Plan
from microbp.replay.matrix_source import matrix_source
from microbp.replay.parameter_arrays import ParameterArray
from microbp.replay.sample import recorded_gradients, replayed
from microbp.replay.straight import MOST, straight
from microbp.replay.undefined import Suspicion, trusting, watch

__all__ = [
    "Auto", "Eager", "Floats", "Form", "Matrix", "Native", "Straight", "defined", "form_of",
    "restored_native",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
#: In a longer graph what repeats becomes loops.
_LONG = 2000
#: What one node or operand costs in straight-line code, and one call of NumPy, in µs; how many calls a group
#: makes; and how many calls are so many that straight-line code is shown, if it is quicker for one sample.
_NODE, _CALL, _PER_GROUP, _MANY = 0.02, 1.2, 4, 800


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


def defined(code: str, source: Callable[[], str] | None = None) -> dict[str, Any]:
    """What the code defines, under a file name by which tracebacks and the debugger show its lines.

    ``source`` has the same lines with comments; it is called when somebody looks at them.
    """
    file = f"<microbp replay {hashlib.sha256(code.encode()).hexdigest()[:12]}>.py"
    linecache.cache[file] = (source or (lambda: code),)
    made: dict[str, Any] = {"__name__": "microbp_replay", "_alive": _alive(file)}
    exec(compile(code, file, "exec"), made)
    return made


class _Alive:
    """As long as anything that a source defines."""


#: Of each file that is defined, what makes it forgotten.
_defined: dict[str, tuple[ref[_Alive], ...]] = {}


def _alive(file: str) -> _Alive:
    """Shared by all that is defined in a file, which is forgotten with the last.

    That is done in C, for Python drops a Ctrl-C that comes in a callback of its own. Each callback is given
    the reference that has died, and ``pop`` takes it for the default.
    """
    before = _defined.get(file)
    alive = before[0]() if before else None
    if alive is None:
        alive = _Alive()
        forget = [partial(each.pop, file) for each in (linecache.cache, _defined)]
        _defined[file] = tuple(ref(alive, each) for each in forget)
    return alive


def form_of(captured: Captured, form: str) -> Form:
    """The form that was asked for; where there are no matrices, or too many, sample after sample."""
    if form == "straight":
        return Straight(captured)
    if form == "native":
        return Native(captured)
    known = dependence(captured)
    plan = Plan(captured, known)
    record, groups, loops = captured.graph, plan.groups, None
    #: How many samples straight-line code is quicker for.
    most = int(_CALL * _PER_GROUP * len(groups or ()) / (_NODE * (len(record.op) + 2 * len(record.args))))
    if groups is not None and not (form == "auto" and most):
        return Matrix(matrix_source(plan), captured.trained)
    if len(record) > _LONG:
        loops = layout(captured, known)
    if (len(record) if loops is None else loops.length) <= MOST:
        return Straight(captured, loops) if groups is None else Auto(captured, most, plan, loops)
    return Eager(captured) if groups is None else Matrix(matrix_source(plan), captured.trained)


class _SampleAfterSample:
    """What computes one sample, called for each of a batch."""

    exact = True

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        self.arrays = (ParameterArray("parameters", np.arange(len(captured.params))),)
        self.functions: dict[str, Callable[..., Any]] = {}

    def values(self, x: Floats, theta: Floats) -> Floats:
        """See Form."""
        value, numbers = self.functions["value"], theta.tolist()
        rows = [value(row, numbers) for row in x.tolist()]
        return np.array(rows, dtype=float).reshape(len(x), -1)

    def gradients(self, x: Floats, theta: Floats, gradient: Floats, wrt_inputs: bool) -> tuple[Floats, Any]:
        """See Form."""
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

    @property
    def _with_inputs(self) -> Callable[[list[float], list[float]], Any]:
        raise NotImplementedError


class Straight(_SampleAfterSample):
    """Sample after sample, in straight-line code on Python's floats: the eager engine's bits."""

    def __init__(self, captured: Captured, loops: Layout | None = None) -> None:
        super().__init__(captured)
        if loops is None and len(captured.graph) > _LONG:
            loops = layout(captured)
        self._loops = loops if loops and loops.loops else None
        self.source = self._source(wrt_inputs=False)
        made = defined(self.source)
        self.functions = {name: made[name] for name in ("value", "value_and_grad")}

    @property
    def description(self) -> str:
        """What became of the graph."""
        size, lines = counted(len(self._captured.graph), "value"), self.source.count("\n")
        told = f"{size} became {lines:,} lines of straight-line code"
        if self._loops:
            told += f"\n({counted(len(self._loops.loops), 'loop')} for what repeats)"
        return told

    def _source(self, wrt_inputs: bool) -> str:
        return straight(self._captured, wrt_inputs=wrt_inputs, plan=self._loops)

    @cached_property
    def _with_inputs(self) -> Callable[[list[float], list[float]], Any]:
        function: Callable[..., Any] = defined(self._source(wrt_inputs=True))["value_and_grad"]
        return function

    def plain(self) -> tuple[str, Any]:  # noqa: D102 (see Form)
        return "straight", self._captured


class Eager(_SampleAfterSample):
    """Sample after sample, recorded anew from the graph: for a long one in which nothing repeats."""

    def __init__(self, captured: Captured) -> None:
        super().__init__(captured)
        self.functions = {"value": self._value, "value_and_grad": self._with_inputs}
        size = counted(len(captured.graph), "value")
        self.description = (
            f"{size} are recorded anew for each sample: they are more than {MANY:,} array operations, "
            f"and more than {MOST:,} lines for Python's compiler"
        )
        self.source = "".join(f"# {line}\n" for line in self.description.split(": "))

    def plain(self) -> tuple[str, Any]:  # noqa: D102 (see Form)
        return "eager", self._captured

    def _value(self, row: list[float], numbers: list[float]) -> Any:
        values = replayed(self._captured, row, numbers)
        found = [values[each].data for each in self._captured.outputs]
        return found if self._captured.output_shape else found[0]

    @property
    def _with_inputs(self) -> Callable[[list[float], list[float]], Any]:
        def both(row: list[float], numbers: list[float]) -> Any:
            found, *slopes = recorded_gradients(self._captured, row, numbers)
            return found if self._captured.output_shape else found[0], *slopes

        return both


class Matrix:
    """A batch at once, in NumPy's operations on matrices."""

    exact = False

    def __init__(self, generated: Generated, trained: Sequence[bool]) -> None:
        count = len(trained)
        made = defined(generated.code, lambda: generated.source)
        made.update(generated.constants)
        self._called = watch(made["value"].__code__.co_filename, generated.watched)
        self._generated, self._trained = generated, tuple(trained)
        self.functions = {name: made[name] for name in ("value", "value_and_grad")}
        self._value, self._value_and_grad = self.functions.values()
        free = np.ones(count, dtype=bool)
        for array in generated.arrays:
            free[array.members] = False
        rest = np.flatnonzero(free)
        self.arrays = generated.arrays + ((ParameterArray("others", rest),) if len(rest) else ())
        #: Arrays whose elements lie in no even strides: they are gathered, and their gradients put back.
        self._gathered = [
            (at, array.members)
            for at, array in enumerate(generated.arrays)
            if array.strides is None
        ]
        # What the code leaves alone: parameters that are in no view, and those that take no gradient.
        self._loose = np.sort(np.concatenate([rest, *(members.ravel() for _, members in self._gathered)]))
        self._frozen = np.flatnonzero(~np.array(trained, dtype=bool))
        self._views: dict[str, tuple[Floats, list[Floats]]] = {}

    @property
    def source(self) -> str:  # noqa: D102 (see Form)
        return self._generated.source

    @property
    def description(self) -> str:  # noqa: D102 (see Form)
        return self._generated.description

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


class _Showing:
    """What shows the Python of another form as its own."""

    _shown: Form

    @property
    def source(self) -> str:
        return self._shown.source

    @property
    def functions(self) -> dict[str, Any]:
        return self._shown.functions

    @property
    def arrays(self) -> tuple[ParameterArray, ...]:
        return self._shown.arrays


class Auto(_Showing):
    """Straight-line code for a few samples at a time, matrices for more; each is made when it is needed.

    One estimate of the cost of both decides where the one ends and the other begins, and which of them the
    program shows.
    """

    exact = True

    def __init__(
        self, captured: Captured, most: int, plan: Plan | Generated, loops: Layout | None = None
    ) -> None:
        self._captured, self._most, self._loops, self._plan = captured, most, loops, plan
        operations = plan.operations if isinstance(plan, Generated) else _PER_GROUP * len(plan.groups or ())
        self._shown: Form = self._straight if operations > _MANY else self._matrix

    @cached_property
    def _straight(self) -> Straight:
        return Straight(self._captured, self._loops)

    @cached_property
    def _matrix(self) -> Matrix:
        if isinstance(self._plan, Plan):
            self._plan = matrix_source(self._plan)
        return Matrix(self._plan, self._captured.trained)

    @property
    def description(self) -> str:  # noqa: D102
        few = counted(self._most, "sample") if self._most > 1 else "one sample"
        if isinstance(self._shown, Straight):
            return f"{self._shown.description}\n(batches of more than {few} run as array operations)"
        return f"{self._shown.description}\n(batches of up to {few} run in straight-line code)"

    def _form(self, samples: int) -> Form:
        return self._straight if samples <= self._most else self._matrix

    def plain(self) -> tuple[str, Any]:  # noqa: D102
        return "auto", (self._captured, self._most, self._matrix._generated)

    def values(self, x: Floats, theta: Floats) -> Floats:  # noqa: D102
        return self._form(len(x)).values(x, theta)

    def gradients(  # noqa: D102
        self, x: Floats, theta: Floats, gradient: Floats, wrt_inputs: bool
    ) -> tuple[Floats, Any]:
        return self._form(len(x)).gradients(x, theta, gradient, wrt_inputs)


class Native(_Showing):
    """The machine in C: the eager bits for one sample, a batch in rows of samples.

    The Python that it shows is that of the form which would run without it, made when somebody looks.
    """

    exact = True

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        inputs, params = (
            [-1 if place is None else place for place in places]
            for places in (captured.inputs, captured.params)
        )
        self._machine = Machine(captured.graph, inputs, params, captured.outputs, captured.trained)

    @cached_property
    def _shown(self) -> Form:
        return form_of(self._captured, "auto")

    @property
    def description(self) -> str:  # noqa: D102
        machine, size = self._machine, counted(len(self._captured.graph), "value")
        steps, products = counted(machine.steps, "step"), counted(machine.products, "product")
        if machine.defined:
            return f"{size} became a program in C; what you have defined runs in Python, sample after sample"
        return f"{size} became a program in C; for a batch {steps}, {products} with matrices"

    def plain(self) -> tuple[str, Any]:  # noqa: D102
        return "native", self._captured

    def values(self, x: Floats, theta: Floats) -> Floats:  # noqa: D102
        found, fault = self._machine.values(x, theta)
        if fault and not trusting():
            raise Suspicion
        return self._shown.values(x, theta) if fault else found

    def gradients(  # noqa: D102
        self, x: Floats, theta: Floats, gradient: Floats, wrt_inputs: bool
    ) -> tuple[Floats, Any]:
        dx = np.empty(x.shape) if wrt_inputs else None
        costs, fault = self._machine.gradients(x, theta, gradient, dx)
        if fault and not trusting():
            raise Suspicion
        return self._shown.gradients(x, theta, gradient, wrt_inputs) if fault else (costs, dx)


def restored_native(captured: Captured) -> Form:
    """The native form, or where there is none the one that runs in Python."""
    return form_of(captured, "native" if engine().name == "native" else "auto")
