"""The forms of a program: what computes the samples of a batch, and what it shows.

All have a ``name``, whether one sample is ``exact`` to the eager engine's bits, ``source`` and the
``functions`` that it defines, the ``arrays`` in which it holds the parameters, and a ``description``. And all
have ``values(x, theta)``, the outputs, and ``gradients(x, theta, gradient, wrt_inputs=…)``, the costs and the
derivatives in x or None; those of the sum of the costs go into ``gradient``. ``x`` has the shape
(batch, inputs) and at least one row; ``theta`` and ``gradient`` are vectors of all parameters in the order in
which the user gave them. They raise an ArithmeticError or Suspicion where an operation may be undefined; with
``trusting`` it has the result that IEEE 754 has.
"""
# ruff: noqa: D102 (the methods of all forms, of which the text above speaks)

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any
from weakref import ref

import numpy as np

from microbp.backward import upstream_gradients
from microbp.lazy import cached_property
from microbp.native import Machine, engine
from microbp.replay.axes import Array
from microbp.replay.code import counted
from microbp.replay.faults import replayed
from microbp.replay.function_graph import Captured
from microbp.replay.matrix import Plan
from microbp.replay.passes import Generated
from microbp.replay.straight import straight
from microbp.sweeps import Floats, Integers

__all__ = ["Auto", "Form", "Matrix", "Straight", "Suspicion", "defined", "form_of"]

#: The largest graph that is written out: Python's compiler takes about 7 µs and 3.3 kB for a line.
MOST = 50_000
#: A product with so many coefficients is quicker in BLAS than in the machine.
LARGE = 1 << 15


class Suspicion(Exception):
    """Something computed in silence what the eager engine might refuse: 1/0, log(-1), exp(800)."""


# ------------------------------------------------------------------------------- sample after sample
class Straight:
    """Sample after sample on Python's floats, with the eager engine's bits.

    It is straight-line code. A graph too long for Python's compiler is recorded again, and so is a sample
    for which ``math`` has no result.
    """

    name, exact = "straight", True

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        self.arrays = (_vector("parameters", np.arange(len(captured.params))),)
        self.functions: dict[str, Callable[..., Any]] = {}
        size = counted(len(captured.graph), "value")
        if len(captured.graph) > MOST:
            self.description = f"{size} are too many to be written out, and recorded again for each sample"
            self.source = f"# {self.description}.\n"
            return
        self.source = straight(captured)
        made = defined(self.source)
        self.functions = {name: made[name] for name in ("value", "value_and_grad")}
        lines = self.source.count("\n")
        self.description = f"{size} became {lines:,} lines of straight-line code"

    def values(self, x: Floats, theta: Floats, *, trusting: bool = False) -> Floats:
        numbers, function = theta.tolist(), self.functions.get("value")
        found = [self._run(function, row, numbers, trusting, False) for row in x.tolist()]
        return np.array(found, dtype=float).reshape(len(x), -1)

    def gradients(
        self, x: Floats, theta: Floats, gradient: Floats, *, wrt_inputs: bool, trusting: bool = False
    ) -> tuple[Floats, Any]:
        costs, dx = np.empty(len(x)), np.empty_like(x) if wrt_inputs else None
        gradient[:] = 0.0
        numbers, single = theta.tolist(), not self._captured.output_shape
        function = self._with_inputs if wrt_inputs else self.functions.get("value_and_grad")
        for index, row in enumerate(x.tolist()):
            cost, derivatives, *rest = self._run(function, row, numbers, trusting, True)
            costs[index] = cost if single else sum(cost)
            gradient += derivatives
            if dx is not None:
                dx[index] = rest[0]
        if dx is not None:
            dx += 0.0  # -0.0 becomes 0.0, as in the eager engine
        return costs, dx

    @cached_property
    def _with_inputs(self) -> Callable[..., Any] | None:
        found = defined(straight(self._captured, wrt_inputs=True)) if self.functions else {}
        return found.get("value_and_grad")

    def _run(
        self, function: Any, row: list[float], numbers: list[float], trusting: bool, slopes: bool
    ) -> Any:
        """What the function returns, or would."""
        try:
            if function is not None:
                return function(row, numbers)
        except (ArithmeticError, ValueError):
            pass  # a value that is undefined raises here once more
        captured = self._captured
        *values, cost = replayed(captured, row, numbers, ieee=trusting)
        outputs = [values[at].data for at in captured.outputs]
        result = outputs if captured.output_shape else outputs[0]
        if not slopes:
            return result
        found = upstream_gradients(cost) if cost.requires_grad else {}
        trained = [at if takes else None for at, takes in zip(captured.params, captured.trained, strict=True)]
        return result, *(
            [0.0 if at is None else found.get(id(values[at]), 0.0) for at in places]
            for places in (trained, captured.inputs)
        )


def _vector(name: str, members: Integers) -> Array:
    return Array(name, members.shape, members=members)


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
        # What makes the lines must not hold this form, which it would keep alive.
        found = defined(made.write(comments=False), partial(made.write, comments=True))
        found.update(made.constants)
        self.functions = {name: found[name] for name in ("value", "value_and_grad")}
        self._file = found["value"].__code__.co_filename
        free = np.ones(len(captured.params), dtype=bool)
        for array in made.arrays:
            free[array.members] = False
        rest = np.flatnonzero(free)
        self.arrays = made.arrays + ((_vector("others", rest),) if len(rest) else ())
        self._frozen = np.flatnonzero(~np.array(captured.trained, dtype=bool))
        self._last: dict[str, Floats] = {}
        self._views: dict[str, tuple[list[Floats], list[Integers | None]]] = {}

    @cached_property
    def source(self) -> str:
        return self._generated.write(comments=True)

    @property
    def description(self) -> str:
        return self._generated.plan.describe()

    def values(self, x: Floats, theta: Floats, *, trusting: bool = False) -> Floats:
        with self._quiet(trusting):
            result: Floats = self.functions["value"](x, *self._view("theta", theta)[0])
        return result

    def gradients(
        self, x: Floats, theta: Floats, gradient: Floats, *, wrt_inputs: bool, trusting: bool = False
    ) -> tuple[Floats, Any]:
        gradient[:] = 0.0
        given, (into, gathered) = self._view("theta", theta)[0], self._view("gradient", gradient)
        with self._quiet(trusting):
            costs, dx = self.functions["value_and_grad"](x, *given, *into, wrt_x=wrt_inputs)
        for part, members in zip(into, gathered, strict=True):
            if members is not None:
                gradient[members] += part
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

    def _view(self, what: str, vector: Floats) -> tuple[list[Floats], list[Integers | None]]:
        """The arrays in a vector; those of the last one are kept, since training has but one.

        Where elements lie in no even strides they are gathered, and the second list says which they are.
        """
        if self._last.get(what) is not vector:
            whole = [_vector("", np.arange(len(vector)))] * bool(self._generated.theta)
            views = [(array, array.view(vector)) for array in (*whole, *self._generated.arrays)]
            held = [vector[array.members] if view is None else view for array, view in views]
            which = [array.members if view is None else None for array, view in views]
            self._last[what], self._views[what] = vector, (held, which)
        for part, members in zip(*self._views[what], strict=True):
            if members is not None:
                part[...] = vector[members]
        return self._views[what]


# --------------------------------------------------------------------------------- whichever is quicker
class Auto:
    """The machine in C where there is one; matrices for a batch where products are large, or where it is not.

    What it shows is Python, made when somebody looks: matrices, or straight lines where there are none. As
    ``"native"`` it is the machine for all.
    """

    exact = True

    def __init__(self, captured: Captured, name: str) -> None:
        self._captured, self._machine = captured, None
        if engine().name == "native":
            places = captured.inputs, captured.params, captured.outputs
            self._machine = Machine(captured.graph, *places, captured.trained)
        self.name = "native" if name == "native" and self._machine else "auto"

    @cached_property
    def _straight(self) -> Straight:
        return Straight(self._captured)

    @cached_property
    def _matrix(self) -> Matrix | None:
        plan = Plan(self._captured)
        return Matrix(self._captured, Generated(plan)) if plan.has_matrices else None

    @property
    def machine(self) -> Machine | None:
        """The machine in C, if batches run in it."""
        it = self._machine
        outdone = it is None or (self.name != "native" and (it.defined or it.largest > LARGE))
        return None if outdone else it

    def _for(self, samples: int) -> Machine | Matrix | Straight:
        """What runs a batch of so many samples."""
        if samples > 1:
            return self.machine or self._matrix or self._machine or self._straight
        return self._machine or self._straight

    @property
    def _shown(self) -> Matrix | Straight:
        return self._matrix or self._straight

    @property
    def source(self) -> str:
        return self._shown.source

    @property
    def functions(self) -> dict[str, Any]:
        return self._shown.functions

    @property
    def arrays(self) -> tuple[Array, ...]:
        return self._shown.arrays

    @property
    def description(self) -> str:
        told, it = "one sample runs on Python floats", self._machine
        if it:
            how = f"a batch in {counted(it.steps, 'step')}, {counted(it.products, 'product')} with matrices"
            how = "which calls what you have defined in Python" if it.defined else how
            told = f"one sample runs in C, {how}"
        if isinstance(self._for(2), Matrix):
            told += "; a batch as matrices in NumPy"
        elif not it:
            told += "; a batch sample after sample"
        return f"{told}\n{self._shown.description}"

    def values(self, x: Floats, theta: Floats, *, trusting: bool = False) -> Floats:
        form = self._for(len(x))
        if isinstance(form, Machine):
            found, fault = form.values(x, theta)
            if not fault:
                return found
            form = self._explaining(trusting)
        return form.values(x, theta, trusting=trusting)

    def gradients(
        self, x: Floats, theta: Floats, gradient: Floats, *, wrt_inputs: bool, trusting: bool = False
    ) -> tuple[Floats, Any]:
        form = self._for(len(x))
        if isinstance(form, Machine):
            dx = np.empty(x.shape) if wrt_inputs else None
            costs, fault = form.gradients(x, theta, gradient, dx)
            if not fault:
                return costs, dx
            form = self._explaining(trusting)
        return form.gradients(x, theta, gradient, wrt_inputs=wrt_inputs, trusting=trusting)

    def _explaining(self, trusting: bool) -> Straight:
        """What goes on where the machine has met an operation that is undefined."""
        if not trusting:
            raise Suspicion
        return self._straight


Form = Straight | Matrix | Auto


def form_of(captured: Captured, name: str) -> Form:
    """The form of that name; where a graph has no matrices, ``"auto"`` instead."""
    if name == "straight":
        return Straight(captured)
    plan = Plan(captured) if name == "matrix" else None
    return Matrix(captured, Generated(plan)) if plan and plan.has_matrices else Auto(captured, name)


# -------------------------------------------------------------------------------------- what is generated
class _Alive:
    """As long as anything that a source defines."""


_serial = count(1)
#: Of each file that is defined, what makes it forgotten.
_defined: dict[str, list[ref[_Alive]]] = {}


def defined(code: str, source: Callable[[], str] | None = None) -> dict[str, Any]:
    """What the code defines, under a file name by which tracebacks and the debugger show its lines.

    ``source`` has the same lines with comments; it is called when somebody looks at them.
    """
    file, alive = f"<microbp replay {next(_serial)}>.py", _Alive()
    linecache.cache[file] = (source or (lambda: code),)
    # The file is forgotten in C, for Python drops a Ctrl-C that comes in a callback of its own. Each callback
    # is given the reference that has died, and ``pop`` takes it for the default.
    _defined[file] = [ref(alive, partial(each.pop, file)) for each in (linecache.cache, _defined)]
    made: dict[str, Any] = {"__name__": "microbp_replay", "_alive": alive}
    exec(compile(code, file, "exec"), made)
    return made
