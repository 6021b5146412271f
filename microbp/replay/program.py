"""``Program``: a compiled graph that runs on numbers; and what its ``value_and_grad`` gives back."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from microbp.array.loops import masked, unequal
from microbp.errors import NoGradientError, StaleProgram
from microbp.graph import cached_property
from microbp.native import Machine
from microbp.node import gradient_of, numbers_of
from microbp.recording.comparisons import taken, watching
from microbp.replay.branches import Guards
from microbp.replay.faults import blame
from microbp.replay.forms import Form
from microbp.replay.function_graph import Captured, Leaves, check_leaves, flat
from microbp.sweeps import Floats
from microbp.text import counted
from microbp.value import Value, as_number, describe, set_numbers

__all__ = ["MEMORY", "Gradients", "Program", "as_floats"]

#: How many bytes the values of a batch may take, unless the caller says so.
MEMORY = 1 << 28
_FLOAT = np.dtype(float)
_UNBOUND = "this program is bound to no Values, as after unpickling; use program.bind(net.parameters())"


@dataclass(slots=True, eq=False, repr=False)
class Gradients:
    """A cost and its derivatives; ``cost, gradient = …`` takes the two.

    >>> cost, gradient = Gradients(2.0, np.array([2.0]), np.array([1.0, 0.5]))
    >>> cost, gradient.tolist()
    (2.0, [1.0, 0.5])
    """

    #: The mean or the sum over the batch; of one sample, its cost.
    cost: float
    #: The cost of each sample; its shape is that of the batch.
    costs: Floats
    #: ∂cost/∂parameter for all parameters, as one vector in the order of ``program.parameters``.
    gradient: Floats
    #: ∂cost/∂input, in the shape of the inputs; None unless it was asked for.
    inputs: Any = None
    _form: Form | None = None
    _params: Sequence[Value] = ()

    def __iter__(self) -> Iterator[Any]:
        yield self.cost
        yield self.gradient

    @property
    def arrays(self) -> dict[str, Floats]:
        """The gradient as views, by the names that the parameters' arrays have in the source."""
        return views_of(self._form, self.gradient) if self._form else {}

    def add_to_grad(self) -> None:
        """Add each derivative to ``grad`` of its parameter, as ``backward()`` of the cost would.

        A frozen parameter is left alone. Raises NoGradientError for a program from a pickle, which has no
        Values until it is bound to some.
        """
        if len(self._params) != self.gradient.size:
            raise NoGradientError(_UNBOUND)
        for value, derivative in zip(self._params, self.gradient.tolist(), strict=True):
            if value.requires_grad:
                value.grad = derivative if value.grad is None else gradient_of(value) + derivative

    def __repr__(self) -> str:
        size, samples = counted(self.gradient.size, "derivative"), counted(np.size(self.costs), "sample")
        return f"Gradients(cost={self.cost!r}, {size}, {samples})"


def views_of(form: Form, vector: Floats) -> dict[str, Floats]:
    """The arrays of a vector of parameters: views where they can be, else copies that are read-only."""
    found = {array.name: array.of(vector) for array in form.shown.arrays}
    for array in form.shown.arrays:
        found[array.name].flags.writeable &= array.even(vector)
    return found


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """A graph compiled by :func:`microbp.compile`: a function of its inputs and its parameters.

    It does not change, and holds no state. The parameters' numbers are read from the Values that it was
    compiled from, anew for each call; or they are passed in as one vector ``theta``, which the caller owns
    and may change in place (a step of descent is one operation on it).

    >>> from microbp.replay import compile
    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> program = compile((w * x - 1.0) ** 2, inputs=[x], params=[w], form="straight")
    >>> float(program([1.0])), program([[1.0], [3.0]])
    (1.0, array([ 1., 25.]))
    >>> theta = program.parameters
    >>> for _ in range(50):
    ...     theta -= 0.1 * program.value_and_grad([[1.0], [2.0]], theta).gradient
    >>> program.assign(theta)
    >>> round(w.data, 6)
    0.6

    A shallow copy (``copy.copy``) reads the same Values. A deep copy is bound to copies of them: to the very
    copies in what is copied together with it, as in ``copy.deepcopy((net, program))``, and to its own where
    it is copied alone. A pickle holds numbers only, and its program is bound to no Values (:meth:`bind`).

    >>> import copy
    >>> v, twin = copy.deepcopy((w, program))
    >>> v.data = 1.0
    >>> [round(float(each([1.0])), 6) for each in (program, twin, copy.copy(program))]
    [0.16, 0.0, 0.16]
    """

    #: The graph, and which of its values are inputs, parameters and outputs.
    captured: Captured
    _form: Form
    #: The Values behind it; none in a program from a pickle.
    _leaves: Leaves
    _guards: Guards | None = None
    #: Whether a result or gradient that is nan or infinite is an error.
    finite: bool = True
    #: How many bytes a batch may take; a larger one is cut into parts.
    memory: int = MEMORY
    _seconds: float = 0.0
    # What stands above replay puts these here: what ``explain(program)`` gives; gradients over the partitions
    # of a Dask array; the program as a function of JAX and of PyTorch.
    explain: ClassVar[Callable[..., Any]]
    map_reduce: ClassVar[Callable[..., Gradients]]
    _spread: ClassVar[Callable[..., Any]]
    to_jax: ClassVar[Callable[..., Any]]
    to_torch: ClassVar[Callable[..., Any]]

    @cached_property
    def _frozen(self) -> list[Value]:
        pairs = zip(self._leaves.params, self.captured.trained, strict=False)
        return [value for value, takes in pairs if not takes]

    @cached_property
    def _rows(self) -> int:
        """How many samples memory allows: a value and a gradient for all that is computed, and the inputs."""
        each = 16 * (int((self.captured.graph.op >= 0).sum()) + len(self.captured.inputs) + 1)
        return max(1, self.memory // each)

    @cached_property
    def _whole(self) -> Machine | None:
        """What runs a batch in one call, where nothing but the arrays is to be looked at before it."""
        it, alone = self._form.machine, not (self._guards or self._frozen or self._leaves.constants)
        return it if it and alone and self.captured.input_shape and not it.defined else None

    # --------------------------------------------------------------------------------- what it is
    @property
    def machine(self) -> Machine | None:
        """The machine in C that runs batches; None where Python does.

        Its ``value`` and ``value_and_grad`` of a sample and the parameters, two sequences of floats, are the
        quickest calls there are: they check little, and return floats and lists.
        """
        return self._form.machine

    @property
    def source(self) -> str:
        """The program as Python: it can be read, stepped through, and pasted into a file."""
        return self._form.shown.source

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """``value`` and ``value_and_grad`` of the source themselves: quick, and they check nothing."""
        return self._form.shown.functions

    @property
    def form(self) -> str:
        """``"straight"``, ``"matrix"``, ``"native"``; or ``"auto"``, for each batch what is quick."""
        return self._form.name

    @property
    def exact(self) -> bool:
        """Whether one sample gives the same bits as the eager engine; else it is the same to 1e-12."""
        return self.form != "matrix"

    @property
    def parameters(self) -> Floats:
        """The parameters' numbers now, as a new vector: those of the Values, if it is bound to some."""
        bound = self._leaves.params
        if watching() is not None:
            for value in bound:
                taken(value)
        return np.array(numbers_of(bound) if bound else self.captured.numbers, dtype=float)

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array of parameters, by its name in the source."""
        return {array.name: array.shape for array in self._form.shown.arrays}

    def views(self, theta: Floats) -> dict[str, Floats]:
        """The arrays of a vector of parameters, or of a gradient.

        They are views of it where their elements lie in even strides in the vector, which has the order of
        ``params=``, as they do where these were given row by row; else copies, which cannot be written to.
        """
        return views_of(self._form, self._vector(theta))

    def describe(self) -> str:
        """What became of the graph, and what compiling cost."""
        inputs = counted(len(self.captured.inputs), "input")
        params = counted(len(self.captured.params), "parameter")
        bits = "equal to the eager engine to 1e-12"
        if self.exact:
            for_one = f" for one sample, {bits} for a batch"
            bits = "the eager engine's bits" + for_one * (self.form in ("auto", "native"))
        seconds = f"{self._seconds:.2f} s" if self._seconds > 0.1 else f"{self._seconds * 1000.0:.1f} ms"
        lines = [
            f"{self.form} form of {counted(len(self.captured.graph), 'value')}: {inputs}, {params}; {bits}",
            self._form.description,
            f"compiled in {seconds}",
            *(f"checked: {branch}" for branch in (self._guards.branches if self._guards else ())),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        shapes = f"{self.captured.input_shape} to {self.captured.output_shape}"
        return f"Program({self.form}, {shapes}, {counted(len(self.captured.params), 'parameter')})"

    def __str__(self) -> str:
        return self.source

    # -------------------------------------------------------------------------------- what it does
    def __call__(self, inputs: Any, theta: Floats | None = None) -> Any:
        """The outputs: for inputs of the shape (batch…, input shape…) an array (batch…, output shape…).

        Raises ValueError for inputs of another shape or with a nan in them, UndefinedOperation where an
        operation has no result, and NotFiniteResult; each names the sample.
        """
        x, batch = self._samples(inputs)
        theta = self._theta(theta)
        shape = batch + self.captured.output_shape
        if not len(x):
            return np.empty(shape)
        found = self._run(lambda at: self._form.run("values", x[at], theta), x, theta)
        values = np.concatenate([part for part, _ in found]) if len(found) > 1 else found[0][0]
        if not (sound := np.isfinite(values)).all():
            for sample, outputs in self._blame(x, theta, ~sound.all(axis=1)).items():
                values[sample] = outputs
        return values.reshape(shape)[()]

    def value_and_grad(
        self,
        inputs: Any,
        theta: Floats | None = None,
        *,
        reduce: Literal["mean", "sum"] = "mean",
        wrt_inputs: bool = False,
        out: Floats | None = None,
    ) -> Gradients:
        """The cost of a batch, the mean or the sum of the samples' outputs, and its derivatives.

        ``theta`` is a vector such as :attr:`parameters`; without it the numbers of the Values are used.
        The gradient is written into ``out``, if it is given: a vector to be used again and again.

        Raises ValueError for a program of several outputs and for an empty batch, and what a call raises.
        """
        if len(self.captured.outputs) != 1:
            raise ValueError(
                f"this program has outputs of shape {self.captured.output_shape}; a gradient is that of one "
                "number. Compile their sum, or the one that is meant"
            )
        if reduce not in ("mean", "sum"):
            raise ValueError(f"reduce is 'mean' or 'sum', not {reduce!r}")
        if not wrt_inputs and (made := self._at_once(inputs, theta, reduce == "mean", out)):
            return made
        x, batch = self._samples(inputs)
        if not (count := len(x)):
            raise ValueError(f"a batch of shape {batch} has no samples, and so no cost")
        theta = self._theta(theta)
        gradient = np.empty(len(theta)) if out is None else self._into(out, theta, x)
        dx = np.empty(x.shape) if wrt_inputs else None
        cost, costs = self._summed(x, theta, gradient, dx)
        if reduce == "mean" and count > 1:
            cost /= count
            gradient /= count
            if dx is not None:
                dx /= count
        if dx is not None:
            dx = dx.reshape(batch + self.captured.input_shape)
        if len(batch) != 1:
            costs = costs.reshape(batch) if batch else costs[0]
        return Gradients(cost, costs, gradient, dx, self._form, self._leaves.params)

    def _at_once(self, x: Any, theta: Any, mean: bool, out: Any) -> Gradients | None:
        """In one call into C; None where it does not read the arrays as they lie, or not all is finite."""
        whole, size = self._whole, (len(self.captured.params),)
        if not whole or type(x) is not np.ndarray or x.shape[1:] != self.captured.input_shape:
            return None
        theta = self.parameters if theta is None else theta
        gradient = np.empty(size) if out is None else out
        arrays = type(theta) is type(gradient) is np.ndarray and theta.shape == gradient.shape == size
        if not arrays or not 0 < len(x) <= self._rows:
            return None
        costs = np.empty(len(x))
        try:
            cost = whole.run(whole.threads, x, theta, None, costs, gradient, None, mean)
        except (TypeError, ValueError):
            return None
        sound = type(cost) is float and math.isfinite(cost)
        return Gradients(cost, costs, gradient, None, self._form, self._leaves.params) if sound else None

    def _into(self, out: Any, theta: Floats, x: Floats) -> Floats:
        """The vector that the user gave for the gradient."""
        into = self._vector(out, "out")
        if not into.flags.writeable:
            raise ValueError("out cannot be written to: its flag writeable is not set")
        for other, what in ((theta, "theta"), (x, "the inputs")):
            if np.may_share_memory(into, other):
                raise ValueError(
                    f"out shares memory with {what}, which would be overwritten while they are read; give "
                    "np.empty_like(theta), and use it again and again"
                )
        return into

    def _summed(self, x: Floats, theta: Floats, gradient: Floats, dx: Floats | None) -> tuple[float, Floats]:
        """The sum of the costs, and these; the derivatives of the sum are written into the other two."""
        sums = np.zeros(len(theta)) if len(x) > self._rows else None

        def each(at: slice) -> Any:
            found = self._form.run("gradients", x[at], theta, gradient, None if dx is None else dx[at])
            if sums is not None:
                np.add(sums, gradient, out=sums)
            return found

        found = self._run(each, x, theta)
        costs, cost, _ = found[0]
        if sums is not None:
            costs, cost, gradient[:] = np.concatenate([part for part, *_ in found]), math.nan, sums
        if dx is None and math.isfinite(cost):
            return cost, costs
        if not (sound := np.isfinite(costs)).all():
            for sample, outputs in self._blame(x, theta, ~sound).items():
                costs[sample] = outputs[0]
        with np.errstate(all="ignore"):
            cost = float(np.add.reduce(costs) if len(costs) > 1 else costs[0])
        if self.finite and not (np.isfinite(gradient).all() and (dx is None or np.isfinite(dx).all())):
            self._blame(x, theta, slopes=True)
        return cost, costs

    def _run(self, run: Callable[[slice], tuple[Any, ...]], x: Floats, theta: Floats) -> list[Any]:
        """What ``run`` makes of each part that memory allows; the last of it tells whether to suspect it."""
        if self._guards:
            self._guards.check(x, theta)
        rows = self._rows
        try:
            found = [run(slice(start, start + rows)) for start in range(0, len(x), rows)]
        except (ArithmeticError, ValueError):
            self._blame(x, theta)
            raise
        if any(each[-1] for each in found):
            self._blame(x, theta, finite=False)
        return found

    def _blame(self, x: Floats, theta: Floats, suspects: Any = None, **what: Any) -> dict[int, Floats]:
        """Raise the error of the eager engine, if there is one, in a sample of these or in any."""
        samples = range(len(x)) if suspects is None else np.flatnonzero(suspects).tolist()
        return blame(self.captured, x, theta, samples, **{"finite": self.finite, "slopes": False, **what})

    # ----------------------------------------------------------------------- the Values behind it
    def assign(self, theta: Floats) -> None:
        """Set ``data`` of the Values to the numbers of a vector of parameters."""
        if len(self._leaves.params) != len(self.captured.params):
            raise NoGradientError(_UNBOUND)
        set_numbers(self._leaves.params, self._vector(theta))

    def bind(self, params: Any) -> Program:
        """The same program, with its parameters read from other Values, as many, in the order given.

        A program from a pickle is bound to none, and has the numbers that were in its parameters then.
        """
        values, _ = flat(params, "params")
        check_leaves([], values)
        if len(values) != len(self.captured.params):
            size = counted(len(self.captured.params), "parameter")
            raise ValueError(f"this program has {size}; {len(values)} were given")
        return replace(self, _leaves=self._leaves._replace(params=tuple(values)))

    def __copy__(self) -> Program:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        return replace(self, _leaves=copy.deepcopy(self._leaves, memo))  # what it is made of never changes

    def _vector(self, vector: Any, what: str = "theta") -> Floats:
        size = len(self.captured.params)
        if type(vector) is not np.ndarray or vector.shape != (size,) or vector.dtype != _FLOAT:
            told = f"an object of type {type(vector).__name__}"
            if isinstance(vector, np.ndarray):
                told = f"an array of {vector.dtype} of shape {vector.shape}"
            raise ValueError(
                f"{what} is a float64 vector of {counted(size, 'number')}, such as program.parameters; "
                f"this is {told}"
            )
        return vector

    def _theta(self, theta: Floats | None) -> Floats:
        """The parameters' numbers for a call; StaleProgram where the Values are not as they were compiled."""
        for value in self._frozen:
            if value.requires_grad:
                raise StaleProgram(
                    f"{describe(value)} was frozen when this program was compiled, and takes a gradient now; "
                    "compile it again"
                )
        leaves = self._leaves
        now = tuple([each._data for each in leaves.constants])
        changed = now != leaves.compiled and zip(leaves.constants, leaves.compiled, now, strict=True)
        for value, number, other in changed or ():
            if other != number and not (math.isnan(other) and math.isnan(number)):
                raise StaleProgram(
                    f"{describe(value)} is a constant of this program and was {number!r} when it was "
                    "compiled; compile it again, or give it among the inputs or the params"
                )
        return self.parameters if theta is None else self._vector(theta)

    # ------------------------------------------------------------------------------ what is given
    def _samples(self, inputs: Any) -> tuple[Floats, tuple[int, ...]]:
        """The inputs as rows of floats, and the shape of the batch."""
        shape = self.captured.input_shape
        if type(inputs) is not np.ndarray or inputs.dtype != _FLOAT:
            inputs = as_floats(inputs)
        if inputs.shape == shape:
            return inputs.reshape(1, -1), ()
        if len(shape) == 1 and inputs.shape[1:] == shape:
            return inputs, inputs.shape[:1]  # the usual batch, as it is
        lead = inputs.ndim - len(shape)
        if lead < 0 or inputs.shape[lead:] != shape:
            names = self.captured.input_names
            made_up = any(name[:1] == "x" and name[1:].isdigit() for name in names)
            told = f" ({', '.join(names)})" if len(names) < 5 and not made_up else ""
            raise ValueError(
                f"the inputs have the shape {inputs.shape}; this program takes {shape} for one sample"
                f"{told}, and batches of shape (…, {', '.join(map(str, shape))})"
            )
        batch = inputs.shape[:lead]
        return inputs.reshape(math.prod(batch), math.prod(shape)), batch

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle, the fields: with the numbers of now, and without Values."""
        now = self.captured._replace(numbers=tuple(self.parameters.tolist()))
        return vars(replace(self, captured=now, _leaves=Leaves()))


# ------------------------------------------------------------------------------------ words and numbers
def as_floats(inputs: Any, what: str = "the inputs") -> Floats:
    """Numbers as a float array; TypeError for what is none, ValueError for what is masked or ragged."""
    name, made = what.removeprefix("the "), None
    for at in masked(inputs):
        raise ValueError(f"{name}{at} is masked; fill it in, or leave its sample out")
    with suppress(ValueError):  # of NumPy, for rows of unequal length
        made = np.asarray(inputs)
    if made is not None and made.dtype.kind in "fiub":
        return made.astype(float, order="C", copy=False)  # BLAS rounds a transpose in another way
    if (uneven := unequal(inputs, name)) or made is None:
        raise ValueError(f"the rows of {what} are of unequal length{uneven}")
    several = np.asarray(inputs, dtype=object)
    numbers = np.empty(several.shape)
    for place, each in np.ndenumerate(several):
        here = f"{name}[{', '.join(map(str, place))}]" if place else what.removesuffix("s")
        if isinstance(each, Value):
            raise TypeError(
                f"a program takes numbers, but {here} is {describe(each)}; "
                "microbp.data_of(...) gives the numbers of Values"
            )
        numbers[place] = as_number(each, here)
    return numbers
