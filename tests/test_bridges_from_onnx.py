"""A network from ONNX: its numbers beside onnxruntime's and the reference's, its gradients as measured."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from support import at_once

import microbp
from microbp import Graph, Value
from microbp.bridges.from_onnx import OPERATORS

KINDS = {float: TensorProto.DOUBLE, np.float32: TensorProto.FLOAT}


def model(
    nodes: list[Any],
    inputs: dict[str, tuple[Any, ...]],
    stored: dict[str, Any] | None = None,
    *,
    kind: type = float,
    opset: int = 20,
) -> onnx.ModelProto:
    """A model of nodes, the last of which computes the outputs; floats in it are of that kind."""
    held = {name: np.asarray(each) for name, each in (stored or {}).items()}
    held = {name: each.astype(kind) if each.dtype == float else each for name, each in held.items()}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, KINDS[kind], shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, KINDS[kind], None) for name in nodes[-1].output],
        [numpy_helper.from_array(each, name) for name, each in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def compared(make: Any, inputs: dict[str, Any], tolerance: float = 1e-12) -> Any:
    """The net of a model, with the outputs of the reference, in double, and of onnxruntime, in single."""
    made = make(float)
    net = microbp.from_onnx(made)
    said = ReferenceEvaluator(made).run(None, inputs)
    single = onnxruntime.InferenceSession(make(np.float32).SerializeToString()).run(
        None, {name: each.astype(np.float32) for name, each in inputs.items()}
    )
    found = net(*map(microbp.array, inputs.values()))
    for ours, theirs, fast in zip(found if len(said) > 1 else [found], said, single, strict=True):
        assert np.shape(ours) == theirs.shape == fast.shape
        np.testing.assert_allclose(microbp.data_of(ours), theirs, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(microbp.data_of(ours), fast, rtol=2e-5, atol=2e-5)
    return net


def ints(*numbers: int) -> Any:
    return np.array(numbers, dtype=np.int64)


W = np.random.default_rng(3).normal(size=(2, 3, 3, 2))
#: An operator, the shape of its input, what else it takes, its attributes; all in version 20 unless told.
CASES: list[tuple[str, tuple[int, ...], list[Any], dict[str, Any]]] = [
    *((name, (2, 3), [], {}) for name in (
        "Neg", "Abs", "Exp", "Reciprocal", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Tanh", "Erf", "Relu",
        "Sigmoid", "Softplus", "Gelu", "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Mish",
        "Softsign", "Identity", "Softmax", "LogSoftmax", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin",
        "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "Flatten", "Transpose",
        "Dropout", "Sum", "Mean", "Max", "Min", "Clip",
    )),
    *((name, (2, 3), [np.array([[0.5], [2.0]])], {}) for name in (
        "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "PRelu",
    )),
    ("Pow", (2, 3), [np.array(2.0)], {}),
    ("Gelu", (2, 3), [], {"approximate": "tanh"}),
    ("LeakyRelu", (2, 3), [], {"alpha": 0.3}), ("Elu", (2, 3), [], {"alpha": 0.3}),
    ("Clip", (2, 3), [np.array(-0.5), np.array(0.5)], {}), ("Clip", (2, 3), [np.array(-0.5)], {}),
    ("Clip", (2, 3), [None, np.array(0.5)], {}),
    ("Softmax", (2, 3, 2), [], {"axis": 1}), ("LogSoftmax", (2, 3), [], {"axis": 0}),
    ("ReduceSum", (2, 3, 2), [ints(1, -1)], {"keepdims": 0}), ("ReduceMean", (2, 3), [ints(0)], {}),
    ("ReduceLogSumExp", (2, 3), [ints(1)], {"keepdims": 0}),
    *((name, (2, 3), [], {"noop_with_empty_axes": 1}) for name in (
        "ReduceSum", "ReduceL1", "ReduceSumSquare",
    )),
    *((name, (0, 3), [], {}) for name in ("Relu", "Softmax")), ("Gemm", (0, 3), [np.ones((3, 2))], {}),
    ("Conv", (0, 3, 4, 4), [W], {}),
    ("MatMul", (2, 3), [np.ones((3, 4))], {}), ("MatMul", (2, 2, 3), [np.ones((2, 3, 1))], {}),
    ("Gemm", (2, 3), [W[:, 0, :, 0].T], {}),
    ("Gemm", (2, 3), [W[:, 0, :, 0], np.array([0.5, 1.0])], {"transB": 1}),
    ("Gemm", (3, 2), [W[:, 0, :, 0].T], {"transA": 1, "alpha": 0.5}),
    ("Gemm", (2, 3), [W[:, 0, :, 0].T, np.array([[0.5], [1.0]])], {"alpha": 0.5, "beta": 2.0}),
    ("Conv", (1, 3, 4, 4), [W], {}),
    ("Conv", (2, 3, 5, 4), [W, np.array([0.5, 1.0])], {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ("Conv", (1, 3, 5, 5), [W], {"dilations": [2, 2], "auto_pad": "VALID"}),
    ("Conv", (1, 3, 5, 4), [W], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", (1, 3, 4, 4), [W], {"auto_pad": "SAME_LOWER", "kernel_shape": [3, 2]}),
    ("Conv", (1, 4, 6), [np.arange(16.0).reshape(4, 2, 2) / 8 - 1], {"group": 2}),
    ("MaxPool", (1, 2, 4, 4), [], {"kernel_shape": [2, 2]}),
    ("MaxPool", (1, 1, 5, 5), [], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ("MaxPool", (1, 1, 5, 6), [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", (1, 1, 7), [], {"kernel_shape": [2], "dilations": [2]}),
    ("AveragePool", (1, 2, 4, 4), [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("AveragePool", (1, 1, 5, 5), [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", (1, 1, 5, 5), [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", (1, 1, 5, 5), [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("GlobalAveragePool", (2, 2, 3, 2), [], {}), ("GlobalMaxPool", (1, 2, 3, 2), [], {}),
    ("BatchNormalization", (2, 2, 3), [np.array(p) for p in ([1.5, 2.0], [0.5, 0.0], [0.1, 0.2], [1.0, 2.0])],
     {}),
    ("LayerNormalization", (2, 3), [np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, 1.0])], {}),
    ("InstanceNormalization", (2, 2, 3), [np.array([1.5, 2.0]), np.array([0.5, 0.0])], {}),
    ("Flatten", (2, 3, 2), [], {"axis": 2}), ("Flatten", (2, 3), [], {"axis": 0}),
    ("Flatten", (2, 3, 2), [], {"axis": -1}), ("Flatten", (2, 3, 2), [], {"axis": -3}),
    ("Reshape", (2, 3, 2), [ints(0, -1)], {}), ("Transpose", (2, 3, 2), [], {"perm": [2, 0, 1]}),
    ("Concat", (2, 3), [np.ones((2, 1))], {"axis": 1}), ("Squeeze", (2, 1, 3), [ints(1)], {}),
    ("Squeeze", (2, 1, 3), [], {}), ("Unsqueeze", (2, 3), [ints(0, 3)], {}),
    ("Slice", (4, 3), [ints(1, -1), ints(100, -100), ints(0, 1), ints(2, -1)], {}),
    ("Slice", (4, 3), [ints(1), ints(-1)], {}), ("Gather", (4, 3), [ints(2, 0)], {}),
    ("Gather", (4, 3), [np.array(1)], {"axis": 1}), ("Pad", (2, 3), [ints(1, 0, 0, 2), np.array(0.5)], {}),
    ("Pad", (3, 3), [ints(1, 0, 0, 2)], {"mode": "reflect"}),
    ("Pad", (2, 3), [ints(1, 0, 0, 1)], {"mode": "edge"}),
    ("Expand", (2, 1), [ints(3, 1, 2)], {}), ("Tile", (2, 1), [ints(1, 2)], {}),
]  # fmt: skip
#: What the reference, or an attribute of ONNX, has in single precision only.
SINGLE = ["Erf", "Gelu", "LeakyRelu", "Elu", "Selu", "HardSigmoid", "HardSwish"]
#: What is defined for positive numbers only.
POSITIVE = ["Log", "Sqrt", "ReduceLogSum"]


@pytest.mark.parametrize(
    ("name", "shape", "more", "attributes"),
    [*CASES, *((name, (2, 3), [], {}) for name in POSITIVE)],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_an_operator_has_the_values_of_onnx_and_the_measured_gradients(
    name: str, shape: tuple[int, ...], more: list[Any], attributes: dict[str, Any]
) -> None:
    x = np.random.default_rng(5).normal(size=shape)
    x = abs(x) + 0.1 if name in POSITIVE else x
    stored = {f"p{at}": each for at, each in enumerate(more) if each is not None}
    inputs = ["x", *("" if each is None else f"p{at}" for at, each in enumerate(more))]
    node = helper.make_node(name, inputs, ["y"], name="the node", **attributes)
    tolerance = 1e-7 if name in SINGLE or "Norm" in name else 1e-12
    net = compared(lambda kind: model([node], {"x": shape}, stored, kind=kind), {"x": x}, tolerance)
    given = microbp.array(x, name="x")
    weights = np.random.default_rng(6).normal(size=np.shape(net(given)))
    if not x.size:
        return  # a batch of no samples has a shape and no gradient
    report = microbp.check_gradients(np.sum(net(given) * weights), [given, *net.parameters()], show=False)
    assert report.counts["agree"] == len(report.rows), str(report)


@at_once(
    [
        ("Softmax", (2, 3, 2), {"axis": 1}, 11),
        ("LogSoftmax", (2, 3), {}, 11),
        ("Squeeze", (2, 1, 3), {"axes": [1]}, 11),
        ("Unsqueeze", (2, 3), {"axes": [0]}, 11),
        ("ReduceSum", (2, 3), {"axes": [1], "keepdims": 0}, 11),
        ("Slice", (4, 3), {"starts": [1], "ends": [3], "axes": [0]}, 9),
        ("Clip", (2, 3), {"min": -0.5, "max": 0.5}, 10),
        ("Pad", (2, 3), {"pads": [1, 0, 0, 2]}, 10),
        ("Pad", (2, 4), {"pads": [0, -1, 0, 2]}, 10),
        ("Pad", (2, 4), {"pads": [1, -1, 0, -2]}, 10),
    ]
)
def test_older_versions_of_operators(
    name: str, shape: tuple[int, ...], attributes: dict[str, Any], opset: int
) -> None:
    node = helper.make_node(name, ["x"], ["y"], **attributes)
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    made = model([node], {"x": shape}, kind=np.float32, opset=opset)
    said = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(microbp.data_of(microbp.from_onnx(made)(microbp.array(x))), said, rtol=1e-6)


def test_a_negative_padding_cuts() -> None:
    """As in an operator Pad; the reference has no answer to it."""
    x, pads = np.random.default_rng(5).normal(size=(1, 3, 6, 5)), [1, -1, -2, 1]
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=pads)
    net = microbp.from_onnx(model([node], {"x": x.shape}, {"w": W}))
    cut = np.pad(x[:, :, :-2, 1:], [(0, 0), (0, 0), (1, 0), (0, 1)])
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    plain = microbp.from_onnx(model([node], {"x": cut.shape}, {"w": W}))
    expected = microbp.data_of(plain(microbp.array(cut)))
    np.testing.assert_allclose(microbp.data_of(net(microbp.array(x))), expected, rtol=1e-12)


def test_an_attribute_is_the_decimal_that_was_meant() -> None:
    """0.1 of single precision is 0.10000000149, which no exporter was given."""
    net = microbp.from_onnx(model([helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.1)], {"x": (1,)}))
    assert microbp.data_of(net(microbp.array([-3.0]))).tolist() == [0.1 * -3.0]


def test_shapes_that_the_model_computes_are_plain_numbers() -> None:
    """As exporters write ``x.view(x.shape[0], -1)``."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0))),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Constant", [], ["front"], value=numpy_helper.from_array(ints(0))),
        helper.make_node("Unsqueeze", ["n", "front"], ["row"]),
        helper.make_node("Constant", [], ["rest"], value=numpy_helper.from_array(ints(-1))),
        helper.make_node("Concat", ["row", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    compared(
        lambda kind: model(nodes, {"x": ("n", 2, 3)}, kind=kind), {"x": np.arange(24.0).reshape(4, 2, 3)}
    )


def test_comparisons_choose_and_several_outputs_are_a_list() -> None:
    nodes = [
        helper.make_node("Greater", ["x", "limit"], ["c"]),
        helper.make_node("Where", ["c", "x", "limit"], ["z"]),
        helper.make_node("Split", ["z"], ["a", "b"], axis=1, num_outputs=2),
    ]
    x = np.array([[1.0, -2.0, 0.5]])
    compared(lambda kind: model(nodes, {"x": (1, 3)}, {"limit": np.array([0.0])}, kind=kind), {"x": x})


@pytest.mark.parametrize(("count", "opset"), [(2, 13), (3, 18)])
def test_a_split_without_sizes_has_as_many_parts_as_outputs(count: int, opset: int) -> None:
    names = [f"part{at}" for at in range(count)]
    more = {"num_outputs": count} if opset >= 18 else {}
    nodes = [helper.make_node("Split", ["x"], names, axis=1, **more)]
    x = np.arange(8.0).reshape(2, 4)  # of three parts the last is empty
    made = model(nodes, {"x": (2, 4)}, kind=np.float32, opset=opset)
    said = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x.astype(np.float32)})
    for ours, theirs in zip(microbp.from_onnx(made)(x), said, strict=True):
        assert np.shape(ours) == theirs.shape
        np.testing.assert_array_equal(ours, theirs)


def test_whole_numbers_as_inputs_stay_whole() -> None:
    nodes = [helper.make_node("Div", ["x", "two"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.INT64, [4]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(ints(2), "two")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    said = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": ints(-3, -1, 3, 5)})[0]
    net = microbp.from_onnx(made)
    assert net(ints(-3, -1, 3, 5)).tolist() == net([-3.0, -1.0, 3.0, 5.0]).tolist() == said.tolist()


@pytest.mark.parametrize(
    ("operator", "more"),
    [("Max", ["two"]), ("Min", ["two"]), ("Clip", ["", "two"]), ("Pad", ["pads"]), ("Relu", []), ("Abs", [])],
)
def test_what_an_operator_makes_of_whole_numbers_is_whole(operator: str, more: list[str]) -> None:
    nodes = [helper.make_node(operator, ["x", *more], ["z"]), helper.make_node("Div", ["z", "two"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.INT64, [4])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [None])
    held = [numpy_helper.from_array(np.array(2), "two"), numpy_helper.from_array(ints(1, 1), "pads")]
    made = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], held),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    said = ReferenceEvaluator(made).run(None, {"x": ints(-3, -1, 3, 5)})[0]
    ours = microbp.from_onnx(made)(ints(-3, -1, 3, 5))
    assert ours.dtype == said.dtype
    assert ours.tolist() == said.tolist()


def test_what_no_node_computes_is_told_when_it_is_read() -> None:
    pool = helper.make_node("MaxPool", ["x"], ["y", "places"], kernel_shape=[2], name="pool")
    with pytest.raises(NotImplementedError, match="from_onnx: the model gives 'places', which nothing"):
        microbp.from_onnx(model([pool], {"x": (1, 1, 4)}))
    late = [helper.make_node("Tanh", ["z"], ["y"], name="t"), helper.make_node("Exp", ["x"], ["z"])]
    with pytest.raises(NotImplementedError, match=r"Tanh \(node 't'\) reads 'z', which nothing before it"):
        microbp.from_onnx(model(late, {"x": (2,)}))


def test_a_model_without_outputs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="from_onnx: the model has no outputs"):
        microbp.from_onnx(tmp_path / "empty.onnx")


@pytest.mark.parametrize(
    ("node", "shape", "kernel", "told"),
    [
        ({}, (1, 4, 5), (2, 3, 2), r"the input has 4 channels, .* kernels of shape \(2, 3, 2\) in 1 group"),
        ({"group": 3}, (1, 3, 5), (2, 1, 2), r"the input has 3 channels, .* in 3 group\(s\)$"),
        ({}, (1, 1, 5), (1, 1, 6), r"a kernel of shape \(6,\) does not fit into an input of shape \(5,\)$"),
    ],
)
def test_a_convolution_that_does_not_fit_is_no_number(
    node: dict[str, Any], shape: tuple[int, ...], kernel: tuple[int, ...], told: str
) -> None:
    made = model([helper.make_node("Conv", ["x", "w"], ["y"], **node)], {"x": shape}, {"w": np.ones(kernel)})
    with pytest.raises(ValueError, match=rf"^from_onnx: Conv \(node 'y'\): {told}"):
        microbp.from_onnx(made)(np.ones(shape))


def test_a_model_of_long_ago_is_told_what_to_do() -> None:
    old = helper.make_node("Add", ["x", "b"], ["y"], broadcast=1)
    with pytest.raises(NotImplementedError, match=r"^from_onnx: the model is of version 6 .*convert_version"):
        microbp.from_onnx(model([old], {"x": (2,)}, {"b": np.ones(1)}, opset=6))


# ------------------------------------------------------------------------------------- a whole net
def mlp(kind: type = float, open_batch: bool = True) -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    stored = {
        "fc1.weight": rng.normal(size=(3, 2)), "fc1.bias": rng.normal(size=3),
        "fc2.weight": rng.normal(size=(1, 3)), "fc2.bias": rng.normal(size=1),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gemm", ["x", "fc1.weight", "fc1.bias"], ["z"], name="/fc1/Gemm", transB=1),
        helper.make_node("Tanh", ["z"], ["h"], name="/Tanh"),
        helper.make_node("Gemm", ["h", "fc2.weight", "fc2.bias"], ["y"], name="/fc2/Gemm", transB=1),
    ]
    return model(nodes, {"x": ("n" if open_batch else 4, 2)}, stored, kind=kind)


def test_a_net_of_two_layers() -> None:
    x = np.random.default_rng(2).normal(size=(4, 2))
    net = compared(mlp, {"x": x})
    assert [*net.state()] == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert [*net.named_parameters()][:2] == ["fc1.weight.0.0", "fc1.weight.0.1"]
    assert [each.name for each in net.parameters()[5:8]] == ["fc1.weight[2,1]", "fc1.bias[0]", "fc1.bias[1]"]
    assert [*net.parameter_layers()] == ["fc1", "fc2"]
    assert repr(net) == "OnnxNet(x (n, 2) to y: Gemm, Tanh, Gemm)"
    loss = np.sum(net(x) ** 2)
    assert microbp.check_gradients(loss, net.parameters(), show=False).counts["agree"] == 13


def test_one_sample_is_a_sample_and_its_only_output_a_value() -> None:
    net = microbp.from_onnx(mlp())
    y = net([0.5, Value(-1.0, name="x1")])
    assert isinstance(y, Value)
    assert y.data == net([[0.5, -1.0]])[0, 0].data
    graph = Graph(y)
    assert {node.group[-1][0] for node in graph if node.rule} == {
        "/fc1/Gemm", "/Tanh", "/fc2/Gemm",
    }  # fmt: skip
    assert graph["x1"].data == -1.0
    y.backward()
    assert "fc1.weight[0,1]" in str(microbp.explain(y, net.parameters()[1]))


@pytest.mark.parametrize("axes", [ints(1), ints(0, 1)])
def test_a_number_that_is_reduced_to_is_a_value(axes: Any) -> None:
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    net = microbp.from_onnx(model([node], {"x": (1, 2)}, {"axes": axes}))
    given = microbp.array([1.0, 2.0])
    assert isinstance(net(given), Value)
    assert isinstance(net(given[None]), Value if len(axes) == 2 else microbp.Array)
    assert net([1.0, 2.0]) == 3.0


def test_it_is_compiled_and_trained_like_any_module() -> None:
    net = microbp.from_onnx(mlp())
    x = microbp.array([0.5, -1.0])
    program = microbp.compile(net(x), inputs=x, params=net.parameters())
    samples = np.random.default_rng(2).normal(size=(5, 2))
    np.testing.assert_allclose(program(samples), microbp.data_of(net(samples))[:, 0], rtol=1e-12)
    assert program.arrays == {"weight": (3, 2), "bias": (3,), "fc2_weight": (1, 3), "fc2_bias": (1,)}
    before = program(samples)
    history = microbp.fit(net, samples, samples[:, 0], loss="half_squared_error", epochs=20)
    assert history.cost[-1] < history.cost[0]
    assert not np.allclose(program(samples), before)


def test_it_is_copied_and_pickled() -> None:
    net = microbp.from_onnx(mlp())
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin([0.5, 1.0]).data == net([0.5, 1.0]).data
        assert not {*map(id, twin.parameters())} & {*map(id, net.parameters())}


def test_from_a_file_and_from_what_an_exporter_returns(tmp_path: Path) -> None:
    class Exported:
        model_proto = mlp()

    onnx.save(mlp(), tmp_path / "net.onnx")
    file = tmp_path / "net.onnx"
    found = [microbp.from_onnx(each) for each in (file, str(file), Exported())]
    assert len({net([0.5, 1.0]).data for net in found}) == 1


# ------------------------------------------------------------------------------ what is a parameter
def test_what_is_a_parameter() -> None:
    stored = {
        "scale": np.ones(2), "shift": np.zeros(2), "mean": np.zeros(2), "var": np.ones(2),
        "low": np.array(-1.0), "gain": np.array(0.7), "shape": ints(-1, 2),
    }  # fmt: skip
    nodes = [
        helper.make_node("Mul", ["x", "gain"], ["g"]),
        helper.make_node("BatchNormalization", ["g", "scale", "shift", "mean", "var"], ["b"]),
        helper.make_node("Clip", ["b", "low"], ["c"]),
        helper.make_node("Reshape", ["c", "shape"], ["y"]),
    ]
    made = model(nodes, {"x": ("n", 2)}, stored)
    assert [*microbp.from_onnx(made).state()] == ["scale", "shift"]
    assert [*microbp.from_onnx(made, parameters=["shift", "gain"]).state()] == ["shift", "gain"]
    said = made.graph.value_info.add(name="gain")  # as PyTorch's exporter says it
    said.metadata_props.add(key="pkg.torch.export.graph_signature.InputSpec.kind", value="PARAMETER")
    assert [*microbp.from_onnx(made).state()] == ["scale", "shift", "gain"]
    with pytest.raises(ValueError, match=r"^from_onnx: the model stores no numbers called 'scal'; did you"):
        microbp.from_onnx(made, parameters=["scal"])


def test_statistics_that_are_stored_with_a_parameter_of_the_same_numbers_are_none() -> None:
    """As PyTorch's exporter stores a net that was just made: a mean of 0 is an Identity of the bias."""
    nodes = [
        helper.make_node("Identity", ["shift"], ["mean"]),
        helper.make_node("Identity", ["scale"], ["var"]),
        helper.make_node("BatchNormalization", ["x", "scale", "shift", "mean", "var"], ["y"], epsilon=0.0),
    ]
    net = microbp.from_onnx(model(nodes, {"x": ("n", 1)}, {"scale": np.ones(1), "shift": np.zeros(1)}))
    net([2.0]).backward()
    assert {each.name: each.grad for each in net.parameters()} == {"scale[0]": 2.0, "shift[0]": 1.0}


def test_statistics_under_the_name_of_a_parameter_are_none() -> None:
    norm = helper.make_node("BatchNormalization", ["x", "w", "b", "b", "w"], ["y"], name="norm")
    held = {"w": np.ones(1), "b": np.zeros(1)}
    net = microbp.from_onnx(model([norm], {"x": (1, 1)}, held))
    w, b = net.parameters()
    assert (w.name, b.name) == ("w[0]", "b[0]")
    net([3.0]).backward()
    assert w.grad == pytest.approx(3.0 / np.sqrt(1.0 + 1e-5))
    assert b.grad == 1.0  # and nothing through the mean


@pytest.mark.parametrize("names", [["0.weight", "2.weight"], ["a", "a.b"], ["a.b", "a"], ["_a", "a..b"]])
def test_whatever_its_name_a_parameter_has_a_path(names: list[str]) -> None:
    stored = {name: np.array([float(at)]) for at, name in enumerate(names)}
    net = microbp.from_onnx(model([helper.make_node("Sum", ["x", *names], ["y"])], {"x": (1,)}, stored))
    assert [each.data for each in net.parameters()] == [0.0, 1.0]
    assert [each.name for each in net.parameters()] == [f"{name}[0]" for name in names]


# -------------------------------------------------------------------------------------- what is told
def test_what_is_lacking_is_named_all_at_once() -> None:
    nodes = [
        helper.make_node("LSTM", ["x", "x", "x"], ["h"], name="/rnn/LSTM", hidden_size=1),
        helper.make_node("Mine", ["h"], ["z"], name="m", domain="own"),
        helper.make_node("Det", ["z"], ["y"]),
    ]
    with pytest.raises(NotImplementedError) as caught:
        microbp.from_onnx(model(nodes, {"x": (1,)}))
    assert str(caught.value) == (
        "from_onnx: this model needs what is not known here: LSTM (node '/rnn/LSTM'), own.Mine (node 'm'), "
        "Det (node 'y')"
    )


@pytest.mark.parametrize(
    ("x", "error"),
    [
        ([[1.0, 2.0, 3.0]], r"the input x has the shape \(1, 3\); this net takes \(n, 2\), or one sample"),
        ([1.0], r"the input x has the shape \(1,\); this net takes \(n, 2\), or one sample of shape \(2,\)$"),
    ],
)
def test_another_shape_is_told(x: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        microbp.from_onnx(mlp())(x)


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has the shape \(2,\); this net takes \(4, 2\), or one sample"):
        microbp.from_onnx(mlp(open_batch=False))([1.0, 2.0])
    with pytest.raises(ValueError, match=r"^this net takes 1 inputs \(x\), not 2$"):
        microbp.from_onnx(mlp())([1.0, 2.0], [3.0])
    with pytest.raises(TypeError, match=r"^from_onnx\(\) takes the path of an .onnx file, or a model, not 5"):
        microbp.from_onnx(5)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        microbp.from_onnx(tmp_path / "nowhere.onnx")
    (tmp_path / "other.onnx").write_bytes(b"hello, this is text")
    with pytest.raises(ValueError, match=r"other\.onnx is no ONNX model: "):
        microbp.from_onnx(tmp_path / "other.onnx")
    node = helper.make_node("Reshape", ["x", "s"], ["y"], name="/flat")
    with pytest.raises(ValueError, match=r"^from_onnx: Reshape \(node '/flat'\): cannot reshape array"):
        microbp.from_onnx(model([node], {"x": (2,)}, {"s": ints(3)}))(microbp.array([1.0, 2.0]))
    dropout = helper.make_node("Dropout", ["x", "r", "t"], ["y"])
    with pytest.raises(NotImplementedError, match=r"^from_onnx: Dropout \(node 'y'\): it is in training"):
        microbp.from_onnx(model([dropout], {"x": (1,)}, {"r": 0.5, "t": True}))([1.0])
    training = helper.make_node("BatchNormalization", ["x", "s", "s", "s", "s"], ["y"], training_mode=1)
    with pytest.raises(NotImplementedError, match=r"^from_onnx: BatchNormalization \(node 'y'\): it is in"):
        microbp.from_onnx(model([training], {"x": (1, 1)}, {"s": np.ones(1)}))([[1.0]])


def test_every_operator_is_one_of_onnx() -> None:
    known = {each.name for each in onnx.defs.get_all_schemas_with_history()}
    assert {each.removesuffix("-1") for each in OPERATORS} <= known
