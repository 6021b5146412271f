"""``to_onnx``: a trained net, or a program, as an ONNX model in double precision.

ONNX is one more array library for a program in matrices: its arrays are names of what is not computed yet,
and each function notes an operator. https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from microbp.array import array
from microbp.bridges import need
from microbp.bridges.from_onnx import OnnxNet
from microbp.bridges.functional import Functional
from microbp.files import write_file
from microbp.nn import MLP, Layer, Module, Neuron
from microbp.replay.build import compiled_program
from microbp.replay.program import Program, as_floats

__all__ = ["to_onnx"]

#: What the files say that they are of; older runtimes read it.
OPSET, IR_VERSION = 20, 10
WRONG = {
    "what": "to_onnx() takes a Program, or a net such as an MLP, not {0!r}",
    "sample": "to_onnx(): give the numbers of one sample, from which the net's operations are recorded: "
        "to_onnx(net, path, sample=[0.0, 1.0])",
    "program": "to_onnx(): a program has its inputs; sample is for a net",
}  # fmt: skip


def to_onnx(what: Any, path: str | Path | None = None, *, sample: Any = None) -> Any:
    """The ONNX model of a net or of a program, of the numbers that the parameters have now.

    It has one input, ``x``, a batch of samples, and one output, ``y``. The arrays of parameters that a
    program shows (``W1``, ``b1``) are its initializers, all else is a constant; all is in double precision.
    It is written to the file ``path``, if that is given, whole or not at all, and returned. Nothing raises
    when it runs: what is undefined is nan there.

    >>> from microbp import MLP, from_onnx
    >>> net = MLP(2, [3, 1], activation="tanh", seed=1)
    >>> model = to_onnx(net)
    >>> [each.op_type for each in model.graph.node if each.op_type != "Constant"]
    ['Transpose', 'MatMul', 'Add', 'Tanh', 'Transpose', 'MatMul', 'Add', 'Reshape']
    >>> abs(from_onnx(model)([0.5, -1.0]).data - net([0.5, -1.0]).data) < 1e-15
    True

    A net that does not say how many inputs it takes needs a ``sample``, whose numbers are those for which its
    operations are recorded.

    Raises TypeError for what is neither, ValueError for a net without a sample and for a graph of too many
    array operations; ImportError where the package onnx is missing.
    """
    onnx = need("onnx", "onnx")
    if isinstance(what, Program):
        if sample is not None:
            raise ValueError(WRONG["program"])
        program = what
    elif isinstance(what, Module) and callable(what):
        program = _recorded(what, _sample(what) if sample is None else sample)
    else:
        raise TypeError(WRONG["what"].format(what))
    model = _model(onnx, program)
    if path is not None:
        write_file(path, model.SerializeToString())
    return model


def _sample(net: Any) -> Any:
    """Zeros for as many inputs as the net takes."""
    if isinstance(net, OnnxNet) and len(net._inputs) == 1:
        [shape] = net._inputs.values()
        if shape and None not in shape[1:]:
            return np.zeros(shape[1:])
    while isinstance(net, MLP | Layer):
        net = net.layers[0] if isinstance(net, MLP) else net.neurons[0]
    if not isinstance(net, Neuron):
        raise ValueError(WRONG["sample"])
    return np.zeros(len(net.w))


def _recorded(net: Any, sample: Any) -> Program:
    x = array(as_floats(sample))
    return compiled_program(net(x.tolist() if x.ndim == 1 else x), x, net.parameters(), finite=False)


def _model(onnx: Any, program: Program) -> Any:
    captured, made = program.captured, Functional(program.captured, "to_onnx()")
    notes, shape, count = _Notes(onnx), captured.input_shape, len(captured.inputs)
    names = {each.members.tobytes(): each.name for each in made.plan.used.values()}
    theta: Any = _Parameters(program.parameters, names)
    if made.theta_used:  # a parameter is used by itself, too: the arrays are parts of the vector
        theta = notes.stored(made.theta, program.parameters)
    x: Any = _Tensor(notes, "x", len(shape) + 1)
    if len(shape) != 1:
        x = notes.reshape(x, (-1, count))
    y = made.value(notes)(x, theta, -1)
    if len(captured.output_shape) != 1:
        y = notes.reshape(y, (-1, *captured.output_shape))
    if notes.nodes and y.name == notes.nodes[-1].output[0]:
        notes.nodes[-1].output[0] = "y"
    else:  # an input, a parameter, a constant
        notes.note("Identity", [y], y.rank, output="y")
    shapes = {"x": ["n", *shape], "y": ["n", *captured.output_shape]}
    x_info, y_info = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, shape)
        for name, shape in shapes.items()
    )
    graph = onnx.helper.make_graph(notes.nodes, "microbp", [x_info], [y_info], notes.initializers)
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="microbp",
    )  # fmt: skip
    onnx.checker.check_model(model, full_check=True)
    return model


class _Tensor:
    """An array that is not computed yet: its name in the model, and how many dimensions it has."""

    __array_ufunc__ = None  # so that arithmetic of NumPy's numbers comes here

    def __init__(self, notes: _Notes, name: str, rank: int, numbers: Any = None) -> None:
        self.notes, self.name, self.rank = notes, name, rank
        #: Where they are known.
        self.numbers = numbers

    # fmt: off
    def __neg__(self) -> Any: return self.notes.note("Neg", [self], self.rank)
    def __add__(self, other: Any) -> Any: return self.notes.wide("Add", self, other)
    def __radd__(self, other: Any) -> Any: return self.notes.wide("Add", other, self)
    def __sub__(self, other: Any) -> Any: return self.notes.wide("Sub", self, other)
    def __rsub__(self, other: Any) -> Any: return self.notes.wide("Sub", other, self)
    def __mul__(self, other: Any) -> Any: return self.notes.wide("Mul", self, other)
    def __rmul__(self, other: Any) -> Any: return self.notes.wide("Mul", other, self)
    def __truediv__(self, other: Any) -> Any: return self.notes.wide("Div", self, other)
    def __rtruediv__(self, other: Any) -> Any: return self.notes.wide("Div", other, self)
    def __lt__(self, other: Any) -> Any: return self.notes.wide("Less", self, other)
    def __le__(self, other: Any) -> Any: return self.notes.wide("LessOrEqual", self, other)
    def __gt__(self, other: Any) -> Any: return self.notes.wide("Greater", self, other)
    def __ge__(self, other: Any) -> Any: return self.notes.wide("GreaterOrEqual", self, other)
    def __eq__(self, other: object) -> Any: return self.notes.wide("Equal", self, other)
    def __ne__(self, other: object) -> Any:
        return self.notes.note("Not", [self.notes.wide("Equal", self, other)], self.rank)
    def __and__(self, other: Any) -> Any: return self.notes.wide("And", self, other)
    def __or__(self, other: Any) -> Any: return self.notes.wide("Or", self, other)
    # fmt: on
    __hash__ = None  # type: ignore[assignment]

    def __matmul__(self, other: _Tensor) -> Any:
        rank = max(self.rank, other.rank, 2) - (self.rank == 1) - (other.rank == 1)
        return self.notes.note("MatMul", [self, other], rank)


class _Parameters:
    """The vector of all parameters, of which only arrays are used: each is an initializer by its name."""

    def __init__(self, numbers: Any, names: dict[bytes, str]) -> None:
        self.numbers, self.names = numbers, names


#: Functions that are operators: of all elements, and of two arrays that are broadcast.
SAME = {
    "abs": "Abs", "exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "arcsin": "Asin",
    "arccos": "Acos", "arctan": "Atan", "sqrt": "Sqrt", "sign": "Sign", "erf": "Erf",
}  # fmt: skip
WIDE = {"maximum": "Max", "minimum": "Min", "power": "Pow", "where": "Where"}


class _Notes:
    """The namespace in which functions note operators."""

    s_, inf, nan = np.s_, math.inf, math.nan

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._constants: dict[tuple[Any, ...], str] = {}

    # --------------------------------------------------------------------------------- to note
    def note(
        self, operator: str, inputs: Sequence[Any], rank: int, output: str | None = None, **attributes: Any
    ) -> _Tensor:
        """A node, and the array that it computes."""
        given = [self._given(self.tensor(each)) for each in inputs]
        name = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(operator, given, [name], f"/{name}", **attributes))
        return _Tensor(self, name, rank)

    def wide(self, operator: str, *operands: Any) -> _Tensor:
        """An operator of arrays that are broadcast."""
        tensors = [self.tensor(each) for each in operands]
        return self.note(operator, tensors, max(each.rank for each in tensors))

    def tensor(self, x: Any) -> _Tensor:
        """What stands for it in the model."""
        return x if isinstance(x, _Tensor) else self.constant(np.asarray(x))

    def _given(self, x: _Tensor) -> str:
        """The name of an operand; of a constant, noted when it is one for the first time."""
        if not x.name:
            key = x.numbers.dtype.str, x.numbers.shape, x.numbers.tobytes()
            if key not in self._constants:
                held = self._onnx.numpy_helper.from_array(x.numbers)
                self._constants[key] = self.note("Constant", [], x.rank, value=held).name
            x.name = self._constants[key]
        return x.name

    def constant(self, numbers: Any) -> _Tensor:
        """A constant."""
        return _Tensor(self, "", numbers.ndim, numbers)

    def stored(self, name: str, numbers: Any) -> _Tensor:
        """An initializer."""
        self.initializers.append(self._onnx.numpy_helper.from_array(np.asarray(numbers), name))
        return _Tensor(self, name, numbers.ndim, numbers)

    def _ints(self, *numbers: int) -> _Tensor:
        return self.constant(np.array(numbers, dtype=np.int64))

    def __getattr__(self, word: str) -> Callable[..., Any]:
        if word in SAME:
            return lambda a: self.note(SAME[word], [a], self.tensor(a).rank)
        if word in WIDE:
            return partial(self.wide, WIDE[word])
        raise AttributeError(word)

    # ---------------------------------------------------------------------------- element by element
    def square(self, a: Any) -> Any:
        return a * a

    # onnxruntime has these operators in single precision only.
    def tan(self, a: Any) -> Any:
        return self.sin(a) / self.cos(a)

    def cosh(self, a: Any) -> Any:
        return 0.5 * (self.exp(a) + self.exp(-a))

    def sinh(self, a: Any) -> Any:
        return 0.5 * (self.expm1(a) - self.expm1(-a))

    def log1p(self, a: Any) -> Any:
        """Exact near 0, after Kahan: log(u)·a / (u - 1) with u = 1 + a as it is rounded."""
        u = 1.0 + a
        return self.where((u == 1.0) | (u == math.inf), a, self.log(u) * a / (u - 1.0))

    def expm1(self, a: Any) -> Any:
        """Exact near 0, in the same way."""
        u = self.exp(a)
        near = (u - 1.0) * a / self.log(u)
        return self.where(u == 1.0, a, self.where(self.abs(a) > 1.0, u - 1.0, near))

    def logaddexp(self, a: Any, b: Any) -> Any:
        return self.maximum(a, b) + self.log1p(self.exp(-self.abs(a - b)))

    def erfc(self, a: Any) -> Any:
        """To the last digit of 1, not of itself: ONNX has no operator for it."""
        return 1.0 - self.erf(a)

    # ------------------------------------------------------------------------------- along an axis
    def _reduced(self, operator: str, a: Any, axis: Any, keepdims: bool) -> Any:
        axes = [] if axis is None else [self._ints(*np.atleast_1d(axis).tolist())]
        rank = a.rank if keepdims else 0 if axis is None else a.rank - np.size(axis)
        return self.note(operator, [a, *axes], rank, keepdims=int(keepdims))

    def sum(self, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return self._reduced("ReduceSum", a, axis, keepdims)

    def max(self, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return self._reduced("ReduceMax", a, axis, keepdims)

    def vdot(self, a: Any, b: Any) -> Any:
        return self.sum(self.tensor(a) * b)

    def einsum(self, axes: str, a: Any, b: Any, **_: Any) -> Any:
        return self.note("Einsum", [a, b], len(axes.partition("->")[2]), equation=axes)

    def leads(self, weights: Any) -> Any:
        first = self.note("ArgMax", [weights], weights.rank, axis=-1)
        length = self.note("Gather", [self.note("Shape", [weights], 1), np.int64(-1)], 0)
        return self.wide("Equal", self.note("Range", [np.int64(0), length, np.int64(1)], 1), first)

    # -------------------------------------------------------------------------------------- shapes
    def reshape(self, a: Any, shape: Any) -> Any:
        return self.note("Reshape", [a, self._ints(*shape)], len(shape))

    def transpose(self, a: Any, axes: Any = None) -> Any:
        return self.note("Transpose", [a], a.rank, perm=list(axes or range(a.rank)[::-1]))

    def broadcast_to(self, a: Any, shape: Any) -> Any:
        sizes = self._ints(*shape)
        if -1 in shape:  # the samples
            rows = self.note("Shape", [_Tensor(self, "x", 0)], 1, start=0, end=1)
            at = shape.index(-1)
            parts = [self._ints(*shape[:at])] * bool(at) + [rows] + [self._ints(*shape[at + 1 :])]
            sizes = self.note("Concat", parts, 1, axis=0)
        return self.note("Expand", [a, sizes], len(shape))

    def concatenate(self, several: Any, axis: int) -> Any:
        tensors = [self.tensor(each) for each in several]
        return self.note("Concat", tensors, tensors[0].rank, axis=axis)

    def part(self, a: Any, items: Any) -> Any:
        """``a[items]``."""
        items = items if isinstance(items, tuple) else (items,)
        if isinstance(a, _Parameters):
            members = items[0].numbers
            return self.stored(a.names[members.tobytes()], a.numbers[members])
        if any(isinstance(each, _Tensor) for each in items):
            return self._gathered(a, items)
        if Ellipsis in items:
            at = items.index(Ellipsis)
            whole = a.rank - sum(each is not None for each in items) + 1
            items = (*items[:at], *[slice(None)] * whole, *items[at + 1 :])
        cuts, gone, new, axis, result = [], [], [], 0, 0
        for each in items:
            if each is None:
                new.append(result)
            elif isinstance(each, int):
                cuts.append((axis, each, each + 1 if each != -1 else 1 << 62, 1))
                gone.append(axis)
            elif each != slice(None):
                step = each.step or 1
                ends = (0, 1 << 62) if step > 0 else (1 << 62, -(1 << 62))
                start = ends[0] if each.start is None else each.start
                cuts.append((axis, start, ends[1] if each.stop is None else each.stop, step))
            axis += each is not None
            result += not isinstance(each, int)
        if cuts:
            axes, starts, stops, steps = (self._ints(*column) for column in zip(*cuts, strict=True))
            a = self.note("Slice", [a, starts, stops, axes, steps], a.rank)
        if gone:
            a = self.note("Squeeze", [a, self._ints(*gone)], a.rank - len(gone))
        if new:
            a = self.note("Unsqueeze", [a, self._ints(*new)], a.rank + len(new))
        return a

    def _gathered(self, a: _Tensor, items: tuple[Any, ...]) -> _Tensor:
        """The elements at places in the last axes; of several axes those of an initializer."""
        places = [each for each in items if isinstance(each, _Tensor)]
        axis = len(items) - len(places)
        at = places[0]
        if len(places) > 1:
            assert a.numbers is not None
            assert axis == 0
            where = np.ravel_multi_index([each.numbers for each in places], a.numbers.shape)
            flat = self.reshape(a, (-1,))
            flat.numbers = a.numbers
            a, at = flat, self.constant(np.asarray(where, dtype=np.int64))
        made = self.note("Gather", [a, at], a.rank - 1 + at.rank, axis=axis)
        made.numbers = None if a.numbers is None else a.numbers.ravel()[at.numbers]
        return made
