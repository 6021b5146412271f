"""``from_onnx``: a network from ONNX as Values, to be drawn, stepped through, explained and trained.

An operator is a function of arrays, here or NumPy's own, which records each scalar; shapes and indices that a
model computes are plain numbers all along. What a model asks for and this table lacks is named, all of it at
once. The operators: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microbp.array import Array, array
from microbp.array.loops import along, as_objects, each, holds_values, rows_of
from microbp.bridges import need
from microbp.errors import MicrobpError
from microbp.functions import (
    clip,
    dot,
    elu,
    erf,
    gelu,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    softmax,
    softplus,
    tanh,
)
from microbp.functions import max as largest
from microbp.nn import Module
from microbp.recording.groups import group
from microbp.text import did_you_mean

__all__ = ["OnnxNet", "from_onnx"]

#: Inputs of operators that are no parameters although they are stored like such.
STATISTICS = {"BatchNormalization": (3, 4), "Clip": (1, 2), "Pad": (2,)}
#: The types of whole numbers.
WHOLE = (2, 3, 4, 5, 6, 7, 12, 13)
WRONG = {
    "model": "from_onnx() takes the path of an .onnx file, or a model, not {0!r}",
    "file": "from_onnx: {0} is no ONNX model: {1}",
    "empty": "from_onnx: the model has no outputs",
    "lacking": "from_onnx: this model needs what is not known here: {0}",
    "absent": "from_onnx: {0} {1!r}, which nothing before it computes or stores that is known here; unknown "
        "are further outputs than the first (but of Split), and sparse numbers",
    "parameters": "from_onnx: the model stores no numbers called {0!r}; {1}",
    "count": "this net takes {0} inputs ({1}), not {2}",
    "shape": "the input {0} has the shape {1}; this net takes {2}{3}",
    "sample": ", or one sample of shape {0}",
    "operator": "from_onnx: {0}: {1}",
    "old": "from_onnx: the model is of version {0} of the operators; known are 7 and later, and "
        "onnx.version_converter.convert_version(model, 20) makes one of it",
    "training": "it is in training mode; export the model for inference",
    "channels": "the input has {0} channels, which do not fit kernels of shape {1} in {2} group(s)",
    "room": "a kernel of shape {0} does not fit into an input of shape {1}",
}  # fmt: skip


# ----------------------------------------------------------------------------------------- the net
class Step(NamedTuple):
    """A node of a model."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.operator} (node {self.name!r})"


class OnnxNet(Module):
    """A network that was read by :func:`from_onnx`; call it with its inputs as arrays or nested lists."""

    def __init__(
        self,
        steps: Sequence[Step],
        inputs: Mapping[str, tuple[int | None, ...] | None],
        outputs: Sequence[str],
        constants: Mapping[str, Any],
        weights: Mapping[str, Array],
        whole: Collection[str] = (),
    ) -> None:
        self._steps, self._inputs, self._outputs = tuple(steps), dict(inputs), tuple(outputs)
        self._constants, self._weights = dict(constants), dict(weights)
        self._whole = frozenset(whole)  # the inputs that are declared as whole numbers

    def __call__(self, *inputs: Any) -> Any:
        """The outputs as the model has them: one Array, or a list of them where it has several.

        Of a net with one input the batch's axis may be left out: of one sample the outputs are those of the
        sample, and where that is a single number, it is the Value itself.

        Raises ValueError where the number or a shape of the inputs is another one.
        """
        if len(inputs) != len(self._inputs):
            names = ", ".join(self._inputs)
            raise ValueError(WRONG["count"].format(len(self._inputs), names, len(inputs)))
        given = [_array(x, name in self._whole) for name, x in zip(self._inputs, inputs, strict=True)]
        lone = len(given) == 1 and self._is_sample(given[0])
        known = {**self._constants, **self._weights}
        for (name, shape), x in zip(self._inputs.items(), given, strict=True):
            known[name] = x[None] if lone else x
            if not _fits(shape, known[name].shape):
                more = WRONG["sample"].format(_told(shape[1:])) if shape and len(self._inputs) == 1 else ""
                raise ValueError(WRONG["shape"].format(name, x.shape, _told(shape), more))
        for step in self._steps:
            operands = [known[each] if each else None for each in step.inputs]
            with group(step.name):
                try:
                    made = OPERATORS[step.operator](*operands, **step.attributes)
                except (TypeError, ValueError, IndexError, NotImplementedError) as error:
                    if isinstance(error, MicrobpError):
                        raise  # which says where, and with which numbers
                    raise type(error)(WRONG["operator"].format(step, error)) from None
            several = made if isinstance(made, list) else [made]
            known |= zip(step.outputs, map(_held, several), strict=False)
        results = [known[name] for name in self._outputs]
        if lone:
            results = [x.reshape(x.shape[1:]) if x.ndim and len(x) == 1 else x for x in results]
        results = [x.item() if x.shape == () or (lone and x.shape == (1,)) else x for x in results]
        return results[0] if len(results) == 1 else results

    def _is_sample(self, x: Any) -> bool:
        [shape] = self._inputs.values()
        return shape is not None and bool(shape) and shape[0] in (None, 1) and _fits(shape[1:], x.shape)

    def _parts(self) -> Iterable[tuple[str, Any]]:
        """The stored numbers by the words of their names: ``fc1.weight`` is the weight of fc1."""
        tree: dict[str, Any] = {}
        for name, held in self._weights.items():
            branch: Any = tree
            *above, last = name.split(".")
            for word in above:
                branch = branch.setdefault(word, {}) if isinstance(branch, dict) else None
            if isinstance(branch, dict) and last not in branch and name[:1] != "_":
                branch[last] = held
            else:  # of two names one begins as the other, or a part of it is empty
                tree[f"net.{name}"] = held
        return tree.items()

    def __repr__(self) -> str:
        ways = ", ".join(f"{name} {_told(shape)}" for name, shape in self._inputs.items())
        steps = ", ".join(step.operator for step in self._steps[:8])
        more = ", …" * (len(self._steps) > 8)
        return f"OnnxNet({ways} to {', '.join(self._outputs)}: {steps}{more})"


def from_onnx(model: Any, *, parameters: Iterable[str] | None = None) -> OnnxNet:
    """The network of an ONNX file, or of a model in memory, as a module of Values.

    ``net(x)`` records each scalar operation, in a group for each node of the model. ``net.parameters()`` are
    the numbers that the model stores (its initializers) in their order, each named by its place,
    ``fc1.weight[0,2]``; numbers of single precision are taken as they are, and computed with in double. Not
    parameters but constants are whole numbers, statistics of batch normalisation, bounds, and numbers that
    stand alone, unless the exporter says that they are parameters; ``parameters`` names those that are.

    >>> from onnx import TensorProto, helper
    >>> x, y = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", 1]) for name in "xy")
    >>> held = [
    ...     helper.make_tensor("W", TensorProto.DOUBLE, [1, 1], [2.0]),
    ...     helper.make_tensor("b", TensorProto.DOUBLE, [1], [-1.0]),
    ... ]
    >>> nodes = [
    ...     helper.make_node("Gemm", ["x", "W", "b"], ["z"]), helper.make_node("Tanh", ["z"], ["y"]),
    ... ]
    >>> net = from_onnx(helper.make_model(helper.make_graph(nodes, "line", [x], [y], held)))
    >>> net
    OnnxNet(x (n, 1) to y: Gemm, Tanh)
    >>> net([0.5]), [each.name for each in net.parameters()]
    (Value(data=0.0, grad=None), ['W[0,0]', 'b[0]'])

    Raises NotImplementedError, which names the nodes, where the model has operators that are not known
    here; ValueError for a file that is no model; ImportError where the package onnx is missing.
    """
    onnx = need("onnx", "onnx")
    proto = _loaded(onnx, model)
    if proto.functions:
        proto = need("onnx.inliner", "onnx").inline_local_functions(proto)
    graph = proto.graph
    steps = [
        Step(
            each.op_type if each.domain in ("", "ai.onnx") else f"{each.domain}.{each.op_type}",
            each.name or ", ".join(each.output),
            tuple(each.input),
            tuple(each.output),
            {each.name: _attribute(onnx, each) for each in each.attribute},
        )
        for each in graph.node
    ]
    lacking = [str(step) for step in steps if step.operator not in OPERATORS]
    if lacking:
        raise NotImplementedError(WRONG["lacking"].format(", ".join(lacking)))
    opset = max((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), default=1)
    if opset < 7:
        raise NotImplementedError(WRONG["old"].format(opset))
    stored = {each.name: _numbers(onnx.numpy_helper.to_array(each)) for each in graph.initializer}
    fixed = {
        step.inputs[place]
        for step in steps
        for place in STATISTICS.get(step.operator, ())
        if place < len(step.inputs)
    }
    for step in steps:  # equal numbers are stored once: a mean of 0 as what is the same as a bias
        if step.operator == "Identity" and step.outputs[0] in fixed and step.inputs[0] in stored:
            stored[step.outputs[0]] = stored[step.inputs[0]]
    steps = [step for step in steps if step.outputs[0] not in stored]
    read = {
        name
        for step in steps
        for place, name in enumerate(step.inputs)
        if place not in STATISTICS.get(step.operator, ())
    }
    for name in sorted(fixed & read & stored.keys()):  # or are read as both: the statistics are a copy
        kept = f"{name} as it was stored"
        stored[kept] = stored[name]
        fixed = fixed - {name} | {kept}
        steps = [
            step._replace(
                inputs=tuple(
                    kept if each == name and place in STATISTICS.get(step.operator, ()) else each
                    for place, each in enumerate(step.inputs)
                )
            )
            for step in steps
        ]
    chosen = [*_trained(graph, fixed, stored)] if parameters is None else [*parameters]
    for name in chosen:
        if name not in stored or stored[name].dtype != float:
            known = [each for each in stored if stored[each].dtype == float]
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            raise ValueError(WRONG["parameters"].format(name, hint))
    given = {*stored, *(each.name for each in graph.input)}
    for step in steps:
        _refuse_absent(step.inputs, given, f"{step} reads")
        if step.operator == "Split":  # before version 18 only the outputs say how many they are
            step.attributes.setdefault("num_outputs", len(step.outputs))
        given |= {*(step.outputs if step.operator == "Split" else step.outputs[:1])}
    _refuse_absent([each.name for each in graph.output], given, "the model gives")
    # Before version 13 these had another axis, and flattened what stands behind it.
    old = {"Softmax", "LogSoftmax"} if opset < 13 else set()
    steps = [step._replace(operator=f"{step.operator}-1") if step.operator in old else step for step in steps]
    return OnnxNet(
        steps,
        {each.name: _shape(each) for each in graph.input if each.name not in stored},
        [each.name for each in graph.output],
        {name: held for name, held in stored.items() if name not in chosen},
        {name: array(stored[name], name=name) for name in stored if name in chosen},
        [each.name for each in graph.input if each.type.tensor_type.elem_type in WHOLE],
    )


def _loaded(onnx: Any, model: Any) -> Any:
    """The model of a path, or of what holds one, such as what torch.onnx.export() returns."""
    if hasattr(model, "model_proto"):
        model = model.model_proto
    if isinstance(model, str | Path):
        try:
            model = onnx.load(model)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever the parser of that version raises)
            raise ValueError(WRONG["file"].format(model, error)) from None
    if not isinstance(model, onnx.ModelProto):
        raise TypeError(WRONG["model"].format(model))
    if not model.graph.output:
        raise ValueError(WRONG["empty"])
    return model


def _refuse_absent(names: Iterable[str], given: set[str], who: str) -> None:
    for name in names:
        if name and name not in given:
            raise NotImplementedError(WRONG["absent"].format(who, name))


def _trained(graph: Any, fixed: Collection[str], stored: Mapping[str, Any]) -> Iterator[str]:
    """The names of the stored numbers that are parameters."""
    notes = {each.name: [note.value for note in each.metadata_props] for each in graph.value_info}
    for name, held in stored.items():
        if held.dtype == float and ("PARAMETER" in notes.get(name, ()) or (held.ndim and name not in fixed)):
            yield name


def _attribute(onnx: Any, held: Any) -> Any:
    """The value; a float, which is of single precision there, as the decimal that was meant: 0.01."""
    value = onnx.helper.get_attribute_value(held)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return float(str(np.float32(value)))
    return _numbers(onnx.numpy_helper.to_array(value)) if isinstance(value, onnx.TensorProto) else value


def _numbers(held: Any) -> Any:
    """Floats of any precision as such of Python's, all else as it is."""
    return held.astype(float) if held.dtype.kind not in "iubUSO" else held


def _shape(info: Any) -> tuple[int | None, ...] | None:
    """The declared shape of an input, with None for a length that is open; None where it is not declared."""
    kind = info.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(each.dim_value if each.HasField("dim_value") else None for each in kind.shape.dim)


def _fits(declared: tuple[int | None, ...] | None, shape: tuple[int, ...]) -> bool:
    if declared is None:
        return True
    return len(declared) == len(shape) and all(
        want in (None, has) for want, has in zip(declared, shape, strict=True)
    )


def _told(shape: tuple[int | None, ...] | None) -> str:
    if shape is None:
        return "any shape"
    words = ["n" if each is None else str(each) for each in shape]
    return f"({', '.join(words)}{',' * (len(words) == 1)})"


def _array(x: Any, whole: bool) -> Any:
    """An input: floats as they are, whole numbers as asked; what has Values in it as an Array of Values."""
    held = np.asarray(x, dtype=object) if holds_values(x) else np.asarray(x)
    if held.dtype == object:
        return array(held)
    if held.dtype.kind not in "fiu":
        return held
    whole = whole and bool(np.all(np.isfinite(held) & (held == np.rint(held))))
    return held.astype(np.int64 if whole else float)


# ------------------------------------------------------------------------------------ along an axis
def _held(x: Any) -> Any:
    """What an operator gives: an Array where there are Values in it, else plain numbers."""
    held = np.asarray(x, dtype=object if holds_values(x) else None)
    if held.dtype != object:
        return held
    if holds_values(held):
        return held.view(Array)
    return np.array(held.ravel().tolist(), dtype=None if held.size else float).reshape(held.shape)


def _ints(x: Any) -> list[int]:
    return [int(each) for each in np.ravel(x)]


def _reduction(of_row: Callable[[Any], Any]) -> Callable[..., Any]:
    def reduced(x: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Any:
        over = () if axes is None else tuple(_ints(axes))
        every = not over and not noop_with_empty_axes
        return along(x, None if every else over, lambda row: of_row(_held(row)), bool(keepdims))

    return reduced


def _by_rows(function: Callable[[Any], Any], x: Any, *, axis: int = -1) -> Any:
    """A function of the rows along an axis."""
    rows = np.moveaxis(as_objects(x), axis, -1)
    made = np.empty(rows.shape, dtype=object)
    for place in np.ndindex(rows.shape[:-1]):
        made[place] = as_objects(function(rows[place].tolist()))
    return np.moveaxis(made, -1, axis)


def _by_flat_rows(function: Callable[[Any], Any], x: Any, *, axis: int = 1) -> Any:
    """As before version 13: of all that stands behind an axis, too."""
    return _by_rows(function, _flatten(x, axis)).reshape(np.shape(x))


# ---------------------------------------------------------------------------------------- products
def _gemm(
    a: Any, b: Any, c: Any = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0
) -> Any:
    """α·A·B + β·C: a neuron for each element, with the bias in it."""
    rows, columns = (rows_of(as_objects(x)) for x in (a.T if transA else a, b if transB else b.T))
    shape = len(rows), len(columns)
    bias = np.broadcast_to(0.0 if c is None else as_objects(c if beta == 1.0 else c * beta), shape)
    neuron: Any = dot if alpha == 1.0 else lambda w, x, c: dot(w, x) * alpha + c
    return each(lambda x, w, c: neuron(w, x, c), rows[:, None], columns, bias)


def _windows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> tuple[tuple[int, ...], Any]:
    """The windows that a kernel sees: the shape of the output, and for each place of it those of the input.

    These are an array [outputs, kernel] of places in the flattened input; -1 in the padding, -2 beyond it.
    """
    rank = len(kernel)
    strides, dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
    wide = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = list(pads or [0] * 2 * rank)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        both = [
            max((-(-size // s) - 1) * s + w - size, 0)
            for size, s, w in zip(sizes, strides, wide, strict=True)
        ]
        less, more = [each // 2 for each in both], [each - each // 2 for each in both]
        pads = less + more if auto_pad == "SAME_UPPER" else more + less
    seen = _pad(np.arange(math.prod(sizes)).reshape(sizes), pads, -1)
    if any(size < each for size, each in zip(seen.shape, wide, strict=True)):
        raise ValueError(WRONG["room"].format(_told(tuple(kernel)), _told(tuple(sizes))))
    if ceil_mode:
        seen = _pad(seen, [0] * rank + [step - 1 for step in strides], -2)
    windows = np.lib.stride_tricks.sliding_window_view(seen, wide)
    windows = windows[tuple(slice(None, None, step) for step in (*strides, *dilations))]
    for at, step in enumerate(strides if ceil_mode else ()):
        if (windows.shape[at] - 1) * step >= sizes[at] + pads[at]:
            windows = windows.take(range(windows.shape[at] - 1), at)  # the last would begin beyond the input
    return windows.shape[:rank], windows.reshape(-1, math.prod(kernel))


def _conv(x: Any, weight: Any, bias: Any = None, *, group: int = 1, **geometry: Any) -> Any:
    """A convolution: one dot for each element, of what its window sees and the kernel, with the bias."""
    source, kernels = as_objects(x), as_objects(weight)
    geometry.pop("kernel_shape", None)  # that of the weights, if it is given
    shape, seen = _windows(source.shape[2:], kernels.shape[2:], **geometry)
    (count, channels), (outputs, width) = source.shape[:2], kernels.shape[:2]
    if channels != width * group or outputs % group:
        raise ValueError(WRONG["channels"].format(channels, _told(kernels.shape), group))
    source, kernels = source.reshape(count, channels, -1 if count else 0), kernels.reshape(outputs, width, -1)
    made = np.empty((count, outputs, len(seen)), dtype=object)
    inside = [(places[places >= 0], places >= 0) for places in seen]
    for n, m, at in np.ndindex(made.shape):
        places, mask = inside[at]
        first = m // (outputs // group) * width
        window = source[n, first : first + width][:, places].ravel().tolist()
        add = 0.0 if bias is None else bias[m]
        made[n, m, at] = dot(kernels[m][:, mask].ravel().tolist(), window, add)
    return made.reshape(count, outputs, *shape)


def _pooled(of_window: Callable[[list[Any], int], Any]) -> Callable[..., Any]:
    """A pool, by what it makes of the elements in a window and of how many these count as."""

    def pooled(x: Any, *, kernel_shape: Any, count_include_pad: int = 0, **geometry: Any) -> Any:
        geometry.pop("storage_order", None)  # which is about a second output, of places
        source = as_objects(x)
        shape, seen = _windows(source.shape[2:], kernel_shape, **geometry)
        source = source.reshape(*source.shape[:2], math.prod(source.shape[2:]))
        made = np.empty((*source.shape[:2], len(seen)), dtype=object)
        for n, c, at in np.ndindex(made.shape):
            places = seen[at]
            window = source[n, c, places[places >= 0]].tolist()
            made[n, c, at] = of_window(window, int((places >= -count_include_pad).sum()))
        return made.reshape(*made.shape[:2], *shape)

    return pooled


# ------------------------------------------------------------------------------------ normalisation
def _batch_norm(
    x: Any, scale: Any, bias: Any, mean: Any, var: Any, *, epsilon: float = 1e-5, training_mode: int = 0,
    **_: Any,
) -> Any:  # fmt: skip
    if training_mode:
        raise NotImplementedError(WRONG["training"])
    shape = (-1, *[1] * (np.ndim(x) - 2))
    scale, bias, mean, var = (each.reshape(shape) for each in (scale, bias, mean, var))
    return (x - mean) / np.sqrt(var + epsilon) * scale + bias


def _dropout(x: Any, _ratio: Any = None, training_mode: Any = False, **_: Any) -> Any:
    if training_mode:
        raise NotImplementedError(WRONG["training"])
    return x


def _normalised(x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    away = x - np.mean(x, axis=axes, keepdims=True)
    return away / np.sqrt(np.mean(away * away, axis=axes, keepdims=True) + epsilon)


def _layer_norm(
    x: Any, scale: Any, bias: Any = None, *, axis: int = -1, epsilon: float = 1e-5, **_: Any
) -> Any:
    made = _normalised(x, tuple(range(axis % np.ndim(x), np.ndim(x))), epsilon) * scale
    return made if bias is None else made + bias


def _instance_norm(x: Any, scale: Any, bias: Any, *, epsilon: float = 1e-5) -> Any:
    shape = (-1, *[1] * (np.ndim(x) - 2))
    return _normalised(x, tuple(range(2, np.ndim(x))), epsilon) * scale.reshape(shape) + bias.reshape(shape)


# ------------------------------------------------------------------------------------------- shapes
def _flatten(x: Any, axis: int = 1) -> Any:
    return np.reshape(x, (math.prod(np.shape(x)[:axis]), math.prod(np.shape(x)[axis:])))


def _reshape(x: Any, shape: Any, *, allowzero: int = 0) -> Any:
    wanted = _ints(shape)
    return x.reshape([x.shape[at] if n == 0 and not allowzero else n for at, n in enumerate(wanted)])


def _slice(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    first, last = _ints(starts), _ints(ends)
    over = range(len(first)) if axes is None else _ints(axes)
    items: list[Any] = [slice(None)] * np.ndim(x)
    by = [1] * len(first) if steps is None else _ints(steps)
    for axis, begin, end, step in zip(over, first, last, by, strict=True):
        below = step < 0 and end < -x.shape[axis]
        items[axis] = slice(begin, None if below else end, step)
    return x[tuple(items)]


def _split(x: Any, split: Any = None, *, axis: int = 0, num_outputs: int = 1) -> list[Any]:
    length = x.shape[axis]
    if split is None:
        each = -(-length // num_outputs)
        ends = [min(each * place, length) for place in range(1, num_outputs)]
    else:
        ends = np.cumsum(_ints(split))[:-1].tolist()
    return [*np.split(x, ends, axis)]


def _pad(x: Any, pads: Any, value: Any = None, axes: Any = None, *, mode: str = "constant") -> Any:
    given, rank = _ints(pads), np.ndim(x)
    over = [*range(rank)] if axes is None else [each % rank for each in _ints(axes)]
    widths = [(0, 0)] * rank
    for at, axis in enumerate(over):
        widths[axis] = given[at], given[at + len(over)]
    places = np.arange(np.size(x)).reshape(np.shape(x))
    if mode != "constant":
        by: Any = mode
        return np.ravel(x)[np.pad(places, widths, mode=by)]
    cut = [slice(max(-before, 0), max(size + min(after, 0), 0))
           for size, (before, after) in zip(np.shape(x), widths, strict=True)]  # fmt: skip
    wide = np.maximum(widths, 0)
    found = np.pad(places[tuple(cut)], wide, constant_values=np.size(x))
    return np.append(np.ravel(x), 0 if value is None else value)[found]


def _constant(**held: Any) -> Any:
    [(kind, value)] = held.items()
    return value if kind == "value" else np.array(value)


def _cast(x: Any, like: Any = None, *, to: int = 1, **_: Any) -> Any:
    """To whole numbers and truth values only what is plain; a float stays what it is."""
    if like is not None:
        to = 7 if like.dtype.kind in "iu" else 9 if like.dtype == bool else 1
    kind = {9: bool} | dict.fromkeys(WHOLE, np.int64)
    if holds_values(x):
        if to in kind:
            raise NotImplementedError("it makes a whole number or a truth value of what is computed")
        return x
    return np.asarray(x).astype(kind.get(to, float))


def _divide(a: Any, b: Any) -> Any:
    if {each.dtype.kind for each in (a, b)} <= {"i", "u"}:
        return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))  # towards 0
    return np.divide(a, b)


def _power(a: Any, b: Any) -> Any:
    whole = a.dtype.kind in "iu" and b.dtype.kind in "iu"
    return np.power(a, b if whole or holds_values(b) else b.astype(float))


def _folded(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *several: reduce(function, several)


def _clipped(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    return x if min is max is None else np.clip(x, min, max)


def _gelu(x: Any, *, approximate: str = "none") -> Any:
    if approximate == "none":
        return gelu(x)
    return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


#: By the name of an operator a function of its inputs, with its attributes; a list has several outputs. What
#: older versions give as an attribute and newer ones as an input is an argument of that name.
OPERATORS: dict[str, Callable[..., Any]] = {
    # ------------------------------------------------------------------------- element by element
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _divide, "Pow": _power, "Neg": np.negative,
    "Abs": np.abs, "Exp": np.exp, "Log": np.log, "Sqrt": np.sqrt, "Reciprocal": lambda x: 1.0 / x,
    "Sin": np.sin, "Cos": np.cos, "Tan": np.tan, "Asin": np.arcsin, "Acos": np.arccos, "Atan": np.arctan,
    "Sinh": np.sinh, "Cosh": np.cosh, "Tanh": np.tanh, "Erf": erf, "Sign": np.sign,
    "Floor": np.floor, "Ceil": np.ceil, "Round": np.rint,
    "Relu": lambda x: np.maximum(x, 0) if x.dtype.kind in "iu" else relu(x),
    "Sigmoid": sigmoid, "Softplus": softplus, "Gelu": _gelu,
    "LeakyRelu": lambda x, alpha=0.01: leaky_relu(x, alpha), "PRelu": leaky_relu,
    "Elu": lambda x, alpha=1.0: elu(x, alpha),
    "Selu": lambda x, alpha=1.6732632423543772, gamma=1.0507009873554805: gamma * elu(x, alpha),
    "Celu": lambda x, alpha=1.0: alpha * elu(x / alpha, 1.0),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: clip(alpha * x + beta, 0.0, 1.0),
    "HardSwish": lambda x: x * clip(x / 6.0 + 0.5, 0.0, 1.0),
    "Swish": lambda x, alpha=1.0: x * sigmoid(alpha * x), "Mish": lambda x: x * np.tanh(softplus(x)),
    "Softsign": lambda x: x / (1.0 + np.abs(x)),
    "Clip": _clipped, "Max": _folded(np.maximum), "Min": _folded(np.minimum), "Sum": _folded(np.add),
    "Mean": lambda *several: reduce(np.add, several) / len(several),
    "Equal": np.equal, "Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal, "And": np.logical_and, "Or": np.logical_or, "Not": np.logical_not,
    "Where": lambda condition, a, b: np.where(condition.astype(bool), as_objects(a), as_objects(b)),
    "Identity": lambda x: x, "Cast": _cast, "CastLike": _cast, "Dropout": _dropout,
    # ------------------------------------------------------------------------------------ products
    "MatMul": np.matmul, "Gemm": _gemm, "Conv": _conv,
    "Einsum": lambda *several, equation: np.einsum(equation, *several),
    # ------------------------------------------------------------------------------- along an axis
    "ReduceSum": _reduction(np.sum), "ReduceMean": _reduction(lambda row: np.sum(row) / len(row)),
    "ReduceMax": _reduction(np.max), "ReduceMin": _reduction(np.min), "ReduceProd": _reduction(np.prod),
    "ReduceL1": _reduction(lambda row: np.sum(np.abs(row))),
    "ReduceL2": _reduction(lambda row: np.sqrt(dot(row, row))),
    "ReduceSumSquare": _reduction(lambda row: dot(row, row)),
    "ReduceLogSum": _reduction(lambda row: np.log(np.sum(row))), "ReduceLogSumExp": _reduction(logsumexp),
    "Softmax": partial(_by_rows, softmax), "LogSoftmax": partial(_by_rows, log_softmax),
    "Softmax-1": partial(_by_flat_rows, softmax), "LogSoftmax-1": partial(_by_flat_rows, log_softmax),
    "MaxPool": _pooled(lambda window, _: largest(window)),
    "AveragePool": _pooled(lambda window, count: np.sum(_held(window)) / count),
    "GlobalMaxPool": lambda x: np.max(x, axis=tuple(range(2, np.ndim(x))), keepdims=True),
    "GlobalAveragePool": lambda x: np.mean(x, axis=tuple(range(2, np.ndim(x))), keepdims=True),
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    # -------------------------------------------------------------------------------------- shapes
    "Flatten": _flatten, "Reshape": _reshape, "Transpose": lambda x, perm=None: np.transpose(x, perm),
    "Concat": lambda *several, axis: np.concatenate(several, axis=axis),
    "Squeeze": lambda x, axes=None: np.squeeze(x, None if axes is None else tuple(_ints(axes))),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(_ints(axes))), "Slice": _slice, "Split": _split,
    "Pad": _pad, "Gather": lambda x, places, axis=0: np.take(x, places.astype(np.int64), axis=axis),
    "Expand": lambda x, shape: np.broadcast_to(x, np.broadcast_shapes(np.shape(x), tuple(_ints(shape)))),
    "Tile": lambda x, repeats: np.tile(x, _ints(repeats)),
    "Shape": lambda x, start=0, end=None: np.array(np.shape(x)[start:end], dtype=np.int64),
    "Size": np.size, "Constant": _constant,
    "ConstantOfShape": lambda shape, value=None: np.full(_ints(shape), 0.0 if value is None else value[0]),
    "Range": np.arange,
}  # fmt: skip
