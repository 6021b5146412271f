"""The forms of a program: what computes the samples of a batch, and what it shows.

All have a ``name``, whether one sample is ``exact`` to the eager engine's bits, ``source`` and the
``functions`` that it defines, the ``arrays`` in which it holds the parameters, and a ``description``. And all
have ``values(x, theta)``, the outputs, and ``gradients(x, theta, gradient, wrt_inputs=…)``, the costs and the
derivatives in x or None; those of the sum of the costs go into ``gradient``. ``x`` has the shape
(batch, inputs) and at least one row; ``theta`` and ``gradient`` are vectors of all parameters in the order in
which the user gave them. They raise an ArithmeticError or Suspicion where an operation may be undefined; with
``trusting`` it has the result that IEEE 754 has.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ref

import numpy as np
import numpy.typing as npt

from microbp.lazy import cached_property
from microbp.native import Machine, engine, slopes
from microbp.replay.axes import Array
from microbp.replay.function_graph import Captured
from microbp.replay.identifiers import counted
from microbp.replay.matrix import Plan
from microbp.replay.passes import Generated
from microbp.replay.straight import straight
from microbp.sweeps import Integers, backward, forward, rows

__all__ = ["Auto", "Floats", "Form", "Matrix", "Straight", "Suspicion", "defined", "form_of"]

Floats = npt.NDArray[np.float64]
#: The largest graph that is written out: Python's compiler takes about 7 µs and 3.3 kB for a line.
MOST = 50_000
#: A product with so many coefficients is quicker in BLAS than in the machine.
LARGE = 1 << 15


def _vector(name: str, members: Integers) -> Array:
    return Array(name, members.shape, members=members)


class Suspicion(Exception):
    """Something computed in silence what the eager engine might refuse: 1/0, log(-1), exp(800)."""


# ------------------------------------------------------------------------------- sample after sample
class Straight:
    """Sample after sample on Python's floats, with the eager engine's bits.

    It is straight-line code; for a graph too long for Python's compiler, the sweeps over its columns.
    """

    name, exact = "straight", True

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        self.arrays = (_vector("parameters", np.arange(len(captured.params))),)
        self.functions: dict[str, Callable[..., Any]] = {}
        size = counted(len(captured.graph), "value")
        if len(captured.graph) > MOST:
            self.description = f"{size} are too many to be written out, and computed one after the other"
            self.source = f"# {self.description} from the columns of the graph.\n"
            return
        self.source = straight(captured)
        made = defined(self.source)
        self.functions = {name: made[name] for name in ("value", "value_and_grad")}
        lines = self.source.count("\n")
        self.description = f"{size} became {lines:,} lines of straight-line code"

    def values(self, x: Floats, theta: Floats, *, trusting: bool = False) -> Floats:  # noqa: D102 (see above)
        numbers = theta.tolist()
        found = [self._value(row, numbers, trusting) for row in x.tolist()]
        return np.array(found, dtype=float).reshape(len(x), -1)

    def _value(self, row: list[float], numbers: list[float], trusting: bool) -> Any:
        try:
            if self.functions:
                return self.functions["value"](row, numbers)
        except (ArithmeticError, ValueError):
            if not trusting:
                raise
        return self._swept(row, numbers, trusting)[[*self._captured.outputs]]

    def gradients(  # noqa: D102
        self, x: Floats, theta: Floats, gradient: Floats, *, wrt_inputs: bool, trusting: bool = False
    ) -> tuple[Floats, Any]:
        costs, dx = np.empty(len(x)), np.empty_like(x) if wrt_inputs else None
        gradient[:] = 0.0
        numbers, single = theta.tolist(), not self._captured.output_shape
        for index, row in enumerate(x.tolist()):
            try:
                run = self._with_inputs if wrt_inputs else self.functions.get("value_and_grad", self._passed)
                cost, derivatives, *rest = run(row, numbers)
            except (ArithmeticError, ValueError):  # a value that is undefined raises here once more
                cost, derivatives, *rest = self._passed(row, numbers, trusting)
            costs[index] = cost if single else sum(cost)
            gradient += derivatives
            if dx is not None:
                dx[index] = rest[0]
        if dx is not None:
            dx += 0.0  # -0.0 becomes 0.0, as in the eager engine
        return costs, dx

    @cached_property
    def _with_inputs(self) -> Callable[..., Any]:
        if not self.functions:
            return self._passed
        function: Callable[..., Any] = defined(straight(self._captured, wrt_inputs=True))["value_and_grad"]
        return function

    def _swept(self, row: list[float], numbers: list[float], trusting: bool) -> Floats:
        """The number of each node."""
        captured = self._captured
        leaves = zip((*captured.inputs, *captured.params), (*row, *numbers), strict=True)
        given = {at: number for at, number in leaves if at is not None}
        return forward(captured.graph, given, ieee=trusting)

    def _passed(self, row: list[float], numbers: list[float], trusting: bool = False) -> tuple[Any, ...]:
        """What ``value_and_grad`` returns, with a local derivative from IEEE 754 where ``math`` has none."""
        captured, graph = self._captured, self._captured.graph
        values = self._swept(row, numbers, trusting)
        held = [*values.tolist(), *graph.consts[::-1].tolist()]
        local: list[float] = []
        for at, (op, args) in enumerate(zip(graph.op.tolist(), rows(graph), strict=True)):
            if op >= 0:
                local += slopes(graph.rules[op])([held[each] for each in args], held[at])
        found = backward(graph, Counter(captured.outputs), np.array(local)).tolist()
        outputs = values[[*captured.outputs]].tolist()
        params = zip(captured.params, captured.trained, strict=True)
        return (
            outputs if captured.output_shape else outputs[0],
            [found[at] if at is not None and takes else 0.0 for at, takes in params],
            [0.0 if at is None else found[at] for at in captured.inputs],
        )


# ------------------------------------------------------------------------------------ a batch at once
class Matrix:
    """A batch at once, in NumPy's operations on matrices.

    NumPy notes in flags of the processor that an operation has no result, and calls back if asked to. Most
    such calls are legitimate: the branch that a condition does not take is computed too, and so is what the
    backward pass multiplies by 0. A Suspicion is one that comes from a line of the forward pass whose rule
    may be undefined. Nothing is paid for where no flag is raised.
    """

    name, exact = "matrix", False

    def __init__(self, captured: Captured, made: Generated) -> None:
        self._generated = made
        found = defined(made.write(comments=False), lambda: self.source)
        found.update(made.constants)
        self.functions = {name: found[name] for name in ("value", "value_and_grad")}
        self._file = found["value"].__code__.co_filename
        free = np.ones(len(captured.params), dtype=bool)
        for array in made.arrays:
            free[array.members] = False
        rest = np.flatnonzero(free)
        self.arrays = made.arrays + ((_vector("others", rest),) if len(rest) else ())
        #: Arrays whose elements lie in no even strides: they are gathered, and their gradients put back.
        theta, arrays = np.zeros(len(captured.params)), enumerate(made.arrays)
        self._gathered = [(at, each.members) for at, each in arrays if each.view(theta) is None]
        # What the code leaves alone: parameters that are in no view, and those that take no gradient.
        self._loose = np.sort(np.concatenate([rest, *(members.ravel() for _, members in self._gathered)]))
        self._frozen = np.flatnonzero(~np.array(captured.trained, dtype=bool))
        self._views: dict[str, tuple[Floats, list[Floats]]] = {}

    @cached_property
    def source(self) -> str:  # noqa: D102 (see above)
        return self._generated.write(comments=True)

    @property
    def description(self) -> str:  # noqa: D102 (see above)
        return self._generated.plan.describe()

    def values(self, x: Floats, theta: Floats, *, trusting: bool = False) -> Floats:  # noqa: D102
        with self._quiet(trusting):
            result: Floats = self.functions["value"](x, *self._view("theta", theta))
        return result

    def gradients(  # noqa: D102
        self, x: Floats, theta: Floats, gradient: Floats, *, wrt_inputs: bool, trusting: bool = False
    ) -> tuple[Floats, Any]:
        given, into = self._view("theta", theta), self._view("gradient", gradient)
        if len(self._loose):
            gradient[self._loose] = 0.0
        with self._quiet(trusting):
            costs, dx = self.functions["value_and_grad"](x, *given, *into, wrt_x=wrt_inputs)
        lead = len(into) - len(self._generated.arrays)
        for at, members in self._gathered:
            gradient[members] += into[lead + at]
        if len(self._frozen):
            gradient[self._frozen] = 0.0
        return costs, dx

    def _quiet(self, trusting: bool) -> np.errstate:
        """No warnings; Suspicion, where a line computes what the eager engine may refuse."""
        if trusting:
            return np.errstate(all="ignore")
        return np.errstate(divide="call", invalid="call", over="call", under="ignore", call=self._called)

    def _called(self, _kind: str, _flag: int) -> None:
        frame = sys._getframe(1)
        if frame.f_lineno in self._generated.watched and frame.f_code.co_filename == self._file:
            raise Suspicion

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


# --------------------------------------------------------------------------------- whichever is quicker
class Native:
    """The machine in C: the eager bits for one sample, a batch in rows of samples."""

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        places = captured.inputs, captured.params, captured.outputs
        self._machine = Machine(captured.graph, *places, captured.trained)
        #: Whether batches are for matrices in NumPy, if there are any.
        self.outdone = self._machine.defined or self._machine.largest > LARGE

    def __str__(self) -> str:
        machine = self._machine
        if machine.defined:
            return "in C, which calls what you have defined in Python"
        steps, products = counted(machine.steps, "step"), counted(machine.products, "product")
        return f"in C, a batch in {steps}, {products} with matrices"

    def values(self, x: Floats, theta: Floats, *, trusting: bool = False) -> Floats:
        found, fault = self._machine.values(x, theta)
        if not fault:
            return found
        return self._python(trusting).values(x, theta, trusting=True)

    def gradients(
        self, x: Floats, theta: Floats, gradient: Floats, *, wrt_inputs: bool, trusting: bool = False
    ) -> tuple[Floats, Any]:
        dx = np.empty(x.shape) if wrt_inputs else None
        costs, fault = self._machine.gradients(x, theta, gradient, dx)
        if not fault:
            return costs, dx
        return self._python(trusting).gradients(x, theta, gradient, wrt_inputs=wrt_inputs, trusting=True)

    def _python(self, trusting: bool) -> Straight:
        """What goes on where an operation is undefined."""
        if not trusting:
            raise Suspicion
        return Straight(self._captured)


class Auto:
    """The machine in C where there is one; matrices for a batch where products are large, or where it is not.

    What it shows is Python, made when somebody looks: matrices, or straight lines where there are none. As
    ``"native"`` it is the machine for all.
    """

    exact = True

    def __init__(self, captured: Captured, name: str) -> None:
        self._captured = captured
        self._native = Native(captured) if engine().name == "native" else None
        self.name = "native" if name == "native" and self._native else "auto"

    @cached_property
    def _straight(self) -> Straight:
        return Straight(self._captured)

    @cached_property
    def _matrix(self) -> Matrix | None:
        plan = Plan(self._captured)
        return Matrix(self._captured, Generated(plan)) if plan.has_matrices else None

    def _batches(self) -> Matrix | None:
        """The matrices, if batches are for them."""
        for_all = self._native and (self.name == "native" or not self._native.outdone)
        return None if for_all else self._matrix

    def _run(self, samples: int) -> Native | Matrix | Straight:
        """What runs a batch of so many samples."""
        return (self._batches() if samples > 1 else None) or self._native or self._straight

    @property
    def machine(self) -> Machine | None:
        """The machine in C, if batches run in it."""
        if self._native is None or (self.name != "native" and self._native.outdone):
            return None
        return self._native._machine

    @property
    def _shown(self) -> Matrix | Straight:
        return self._matrix or self._straight

    @property
    def source(self) -> str:  # noqa: D102 (see above)
        return self._shown.source

    @property
    def functions(self) -> dict[str, Any]:  # noqa: D102
        return self._shown.functions

    @property
    def arrays(self) -> tuple[Array, ...]:  # noqa: D102
        return self._shown.arrays

    @property
    def description(self) -> str:  # noqa: D102
        ways = [f"one sample runs {self._native or 'on Python floats'}"]
        if self._batches():
            ways.append("a batch as matrices in NumPy")
        elif not self._native:
            ways.append("a batch sample after sample")
        return f"{'; '.join(ways)}\n{self._shown.description}"

    def values(self, x: Floats, theta: Floats, *, trusting: bool = False) -> Floats:  # noqa: D102
        return self._run(len(x)).values(x, theta, trusting=trusting)

    def gradients(  # noqa: D102
        self, x: Floats, theta: Floats, gradient: Floats, *, wrt_inputs: bool, trusting: bool = False
    ) -> tuple[Floats, Any]:
        run = self._run(len(x))
        return run.gradients(x, theta, gradient, wrt_inputs=wrt_inputs, trusting=trusting)


Form = Straight | Matrix | Auto


def form_of(captured: Captured, name: str) -> Form:
    """The form of that name; where a graph has no matrices, ``"auto"`` instead."""
    if name == "straight":
        return Straight(captured)
    plan = Plan(captured) if name == "matrix" else None
    return Matrix(captured, Generated(plan)) if plan and plan.has_matrices else Auto(captured, name)


# -------------------------------------------------------------------------------------- what is generated
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
