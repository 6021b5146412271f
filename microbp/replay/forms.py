"""The forms of a program: what computes the samples of a batch, and what it shows.

The straight and the matrix form have ``source`` and the ``functions`` that it defines, the ``arrays`` in
which it holds the parameters, a ``description``, and ``values`` and ``gradients`` as the machine in C, of
``x`` [batch, inputs], with ``theta`` and ``gradient`` in the user's order. What is undefined has the result
of IEEE 754, and the last thing that they return tells whether there may be such an operation. ``gradients``
returns the costs and their sum, nan where it is not known or a derivative is not finite.
"""
# ruff: noqa: D102 (the methods of all forms, of which the text above speaks)

from __future__ import annotations

import linecache
import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from types import FunctionType
from typing import Any
from weakref import ref

import numpy as np

from microbp.graph import cached_property
from microbp.native import Machine, engine
from microbp.replay import faults
from microbp.replay.axes import Array
from microbp.replay.code import text
from microbp.replay.function_graph import Captured
from microbp.replay.groups import THETA
from microbp.replay.matrix import Plan
from microbp.replay.passes import SHORT, Writer, header
from microbp.replay.straight import straight
from microbp.sweeps import Floats, forward
from microbp.text import counted

__all__ = ["Form", "Matrix", "Straight", "defined"]

#: The largest graph that is written out: Python's compiler takes about 7 µs and 3.3 kB for a line.
MOST = 50_000
#: A product with so many coefficients is quicker in BLAS than in the machine.
LARGE = 1 << 15


# ------------------------------------------------------------------------------- sample after sample
class Straight:
    """Sample after sample on Python's floats, with the eager engine's bits: straight-line code.

    The columns are walked in its place where a graph is too long for Python's compiler, where ``math`` has no
    result, and for derivatives in the inputs.
    """

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        every = np.arange(len(captured.params))
        self.arrays = (Array("parameters", every.shape, members=every),)
        self.functions: dict[str, Callable[..., Any]] = {}
        size = counted(len(captured.graph), "value")
        if len(captured.graph) > MOST:
            self.description = f"{size} are too many to be written out, and walked through for each sample"
            self.source = f"# {self.description}.\n"
            return
        self.source = straight(captured)
        found = defined(self.source)
        self.functions = {word: found[word] for word in ("value", "value_and_grad")}
        lines = self.source.count("\n")
        self.description = f"{size} became {lines:,} lines of straight-line code"

    def values(self, x: Floats, theta: Floats) -> tuple[Floats, bool]:
        numbers = theta.tolist()
        found = [self._sample("value", row, numbers, swept=False) for row in x.tolist()]
        outputs = np.array([each for each, _ in found], dtype=float)
        return outputs.reshape(len(x), -1), any(suspect for _, suspect in found)

    def gradients(
        self, x: Floats, theta: Floats, gradient: Floats, dx: Floats | None
    ) -> tuple[Floats, float, bool]:
        costs, suspect, numbers = np.empty(len(x)), False, theta.tolist()
        gradient[:] = 0.0
        for at, row in enumerate(x.tolist()):
            (cost, slopes, *rest), raised = self._sample("value_and_grad", row, numbers, swept=dx is not None)
            costs[at] = sum(cost) if self._captured.output_shape else cost
            with np.errstate(over="ignore", invalid="ignore"):
                gradient += slopes
            suspect |= raised
            if dx is not None:
                dx[at] = rest[0] + 0.0  # -0.0 becomes 0.0, as in the eager engine
        return costs, math.nan, suspect

    def _sample(self, word: str, row: list[float], theta: list[float], swept: bool) -> tuple[Any, bool]:
        """What the function of that name returns, with derivatives in inputs; whether to suspect it."""
        captured = self._captured
        with suppress(KeyError, ArithmeticError, ValueError):
            if not swept:
                return self.functions[word](row, theta), False
        numbers = forward(captured.graph, captured.given(row, theta), ieee=True)
        suspect = not np.isfinite(numbers).all()
        outputs = [float(numbers[at]) for at in captured.outputs]
        result = outputs if captured.output_shape else outputs[0]
        if word == "value":
            return result, suspect
        found, _ = faults.gradients(captured, numbers)
        return (result, found[[*captured.params]], found[[*captured.inputs]]), suspect


# ------------------------------------------------------------------------------------ a batch at once
class Matrix:
    """A batch at once, in NumPy's operations on matrices.

    The source defines ``value(x, W1, b1, …)`` and ``value_and_grad(x, W1, b1, …, dW1, db1, …, wrt_x=False)``.
    Suspect is a forward pass in which NumPy notes an operation without a result, if only in a branch that a
    condition does not take. In the backward pass that is usual: then the forward pass is run again alone.
    """

    def __init__(self, captured: Captured, plan: Plan) -> None:
        self.plan, both = plan, Writer(plan)
        both.add(None, "n = len(x)")
        both.forward()
        value = both.copy()
        value.add(None, f"return {text(value.outputs())}")
        both.backward()
        self.writer = both
        #: What the functions take: the arrays, before them the vector of all where it is used.
        self._taken = [plan.arrays[THETA]] * (value.theta_used or both.theta_used) + [*plan.used.values()]
        names = [each.name for each in self._taken]
        slopes = ", ".join(["x", *names, *(f"d{each}" for each in names), "wrt_x=False"])
        lines = [*header(plan, (value, both)), "", f"def value({', '.join(['x', *names])}):"]
        lines += [*value.lines(), "", "", f"def value_and_grad({slopes}):", *both.lines(), ""]
        self.source = "\n".join(lines)
        found = defined(self.source)
        found.update({word: array for word, array in plan.constants.values() if array.size > SHORT})
        self.functions = {word: found[word] for word in ("value", "value_and_grad")}
        held = {each for array in plan.used.values() for each in array.members.ravel().tolist()}
        free = np.array([each for each in range(len(captured.params)) if each not in held])
        others = Array("others" if plan.used else plan.arrays[THETA].name, free.shape, members=free)
        self.arrays = [*plan.used.values(), *[others] * bool(free.size)]
        self._frozen = np.flatnonzero(~np.array(captured.trained, dtype=bool))

    @property
    def description(self) -> str:
        return self.plan.describe()

    def values(self, x: Floats, theta: Floats) -> tuple[Floats, bool]:
        found, suspect = _noted(self.functions["value"], x, *(array.of(theta) for array in self._taken))
        return found.copy(), suspect  # it may be part of the inputs

    def gradients(
        self, x: Floats, theta: Floats, gradient: Floats, dx: Floats | None
    ) -> tuple[Floats, float, bool]:
        gradient[:] = 0.0
        given, into = ([array.of(vector) for array in self._taken] for vector in (theta, gradient))
        both = partial(self.functions["value_and_grad"], wrt_x=dx is not None)
        (costs, found), suspect = _noted(both, x, *given, *into)
        for part, array in zip(into, self._taken, strict=True):
            if not array.even(gradient):
                gradient[array.members] += part
        gradient[self._frozen] = 0.0
        if dx is not None:
            dx[:] = found
        return costs.copy(), math.nan, suspect and self.values(x, theta)[1]


def _noted(function: Callable[..., Any], *arrays: Floats) -> tuple[Any, bool]:
    """What a function returns; and whether an operation in it had no result, of which NumPy does not warn."""
    flags: list[str] = []
    with np.errstate(all="call", under="ignore", call=lambda kind, _: flags.append(kind)):
        return function(*arrays), bool(flags)


# --------------------------------------------------------------------------------- whichever is quicker
class Form:
    """What runs a batch: the form of that name, or by ``"auto"`` the quickest there is.

    That is the machine in C; matrices for a batch where products are large, or where there is no machine.
    What it shows is Python, made when somebody looks: matrices, or straight lines where there are none.
    ``"native"`` is the machine for all. A graph without matrices has ``"auto"`` in place of ``"matrix"``.
    """

    def __init__(self, captured: Captured, name: str, threads: int = 1) -> None:
        self._captured, self._threads = captured, threads
        self._machine: Machine | None = None
        self.name = "auto" if name == "matrix" and self.matrix is None else name
        if self.name in ("auto", "native") and engine().name == "native":
            places = captured.inputs, captured.params, captured.outputs
            self._machine = Machine(captured.graph, *places, captured.trained)
            self._machine.threads = threads
        elif name == "native":
            self.name = "auto"

    def __reduce__(self) -> tuple[Any, ...]:
        return Form, (self._captured, self.name, self._threads)

    @cached_property
    def straight(self) -> Straight:
        """Straight lines."""
        return Straight(self._captured)

    @cached_property
    def matrix(self) -> Matrix | None:
        """Matrices, if there are any in the graph."""
        plan = Plan(self._captured)
        return Matrix(self._captured, plan) if plan.has_matrices else None

    @cached_property
    def machine(self) -> Machine | None:
        """The machine in C, if batches run in it."""
        it = self._machine
        return it if it and (self.name == "native" or not (it.defined or it.largest > LARGE)) else None

    @cached_property
    def one(self) -> Machine | Matrix | Straight:
        """What runs a single sample."""
        return (self.matrix if self.name == "matrix" else self._machine) or self.straight

    @cached_property
    def many(self) -> Machine | Matrix | Straight:
        """What runs a batch."""
        return self.one if self.name == "straight" else self.machine or self.matrix or self.one

    @property
    def shown(self) -> Matrix | Straight:
        """What shows it: source, functions, arrays."""
        return self.straight if self.name == "straight" else self.matrix or self.straight

    @property
    def description(self) -> str:
        told, it = "one sample runs on Python floats", self._machine
        if self.name in ("straight", "matrix"):
            return self.shown.description
        if it:
            how = f"a batch in {counted(it.steps, 'step')}, {counted(it.products, 'product')} with matrices"
            how = "which calls what you have defined in Python" if it.defined else how
            told = f"one sample runs in C, {how}"
        if isinstance(self.many, Matrix):
            told += "; a batch as matrices in NumPy"
        elif not it:
            told += "; a batch sample after sample"
        return f"{told}\n{self.shown.description}"

    def run(self, word: str, x: Floats, *more: Any) -> Any:
        """``values`` or ``gradients`` in the form for so many samples; the machine stops without a result."""
        form = self.many if len(x) > 1 else self.one
        found = getattr(form, word)(x, *more)
        return getattr(self.straight, word)(x, *more) if found[-1] and form is self._machine else found


# -------------------------------------------------------------------------------------- what is generated
_serial = count(1)
#: The files that are defined, each with a function of it, which lives as long as any of them.
_defined: dict[str, ref[Any]] = {}


def defined(source: str) -> dict[str, Any]:
    """What a source defines, under a file name by which tracebacks and the debugger show its lines."""
    for known, function in [*_defined.items()]:
        if function() is None:
            linecache.cache.pop(known, None)
            _defined.pop(known, None)
    file = f"<microbp replay {next(_serial)}>.py"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    made: dict[str, Any] = {"__name__": "microbp_replay"}
    exec(compile(source, file, "exec"), made)
    _defined[file] = next(ref(each) for each in made.values() if isinstance(each, FunctionType))
    return made
