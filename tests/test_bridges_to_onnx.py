"""A net or a program as an ONNX model: run by onnxruntime, beside the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from replay_programs import KINDS, drawn

import microbp
from microbp import MLP, Module, Value
from microbp.layers import TwoLayerNet

#: What onnxruntime has in single precision only; the reference has Erf in single precision, too.
SINGLE = {"Erf", "Atan", "Asin", "Acos"}


def run(model: Any, x: Any) -> Any:
    """What onnxruntime makes of it."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": np.asarray(x, dtype=float)})[0]


@pytest.mark.parametrize("kind", KINDS)
def test_random_programs_have_the_same_values(kind: str) -> None:
    by_onnxruntime = 0
    for seed in range(14):
        program, x = drawn(kind, seed), drawn(kind, seed).x
        sample = [Value(float(each)) for each in x[0]]
        compiled = microbp.compile(program.run(sample), inputs=sample, params=program.params, finite=False)
        model, said = microbp.to_onnx(compiled), compiled(x)
        single = SINGLE & {each.op_type for each in model.graph.node}
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(None, {"x": x})[0] if single else run(model, x)
        by_onnxruntime += not single
        assert found.shape == said.shape
        tolerance = 1e-7 if "Erf" in single else 1e-11
        finite = np.isfinite(said)
        told = f"{kind} {seed}"
        np.testing.assert_allclose(found[finite], said[finite], tolerance, tolerance, err_msg=told)
    assert by_onnxruntime >= 8


@pytest.mark.parametrize("name", ["expm1", "log1p", "tan", "sinh", "cosh", "softplus", "sigmoid", "tanh"])
def test_functions_that_onnx_lacks_keep_their_digits(name: str) -> None:
    x = Value(0.5)
    program = microbp.compile(getattr(microbp, name)(x), inputs=[x])
    rows = np.array([1e-300, 1e-17, 1e-9, -1e-9, 1e-3, 0.3, -0.3, 0.0, 0.9, 5.0, 300.0])[:, None]
    np.testing.assert_allclose(run(microbp.to_onnx(program), rows), program(rows), rtol=4e-15, atol=0.0)


# ------------------------------------------------------------------------------------- of a net
def test_a_trained_net_is_the_same_in_onnxruntime(tmp_path: Path) -> None:
    net = MLP(2, [4, 3], activation="tanh", seed=1)
    x = np.random.default_rng(2).normal(size=(6, 2))
    microbp.fit(net, x, x @ np.ones((2, 3)), loss="half_squared_error", epochs=5)
    model = microbp.to_onnx(net, tmp_path / "net.onnx")
    assert onnx.load(tmp_path / "net.onnx") == model
    said = [microbp.data_of(net(row)) for row in x.tolist()]
    np.testing.assert_allclose(run(model, x), said, rtol=1e-13)
    assert {each.name: list(each.dims) for each in model.graph.initializer} == {
        "W1": [4, 2], "b1": [4], "W2": [3, 4], "b2": [3],
    }  # fmt: skip


def test_out_and_in_again_is_the_same_net() -> None:
    net = MLP(3, [4, 1], activation="relu", seed=3)
    again = microbp.from_onnx(microbp.to_onnx(net))
    x = microbp.array([0.5, -1.0, 0.3])
    assert [*again.state()] == ["W1", "b1", "W2", "b2"]
    here, there = net(x), again(x)
    assert abs(here.data - there.data) < 1e-15
    ours = microbp.grad(here, [*net.layers[0].neurons[1].w])
    weights = dict(zip((each.name for each in again.parameters()), again.parameters(), strict=True))
    theirs = microbp.grad(there, [weights[f"W1[1,{at}]"] for at in range(3)])
    np.testing.assert_allclose(microbp.data_of(theirs), microbp.data_of(ours), rtol=1e-14)
    twice = microbp.from_onnx(microbp.to_onnx(again))
    assert abs(twice(x).data - here.data) < 1e-15


def test_a_net_that_takes_arrays_needs_a_sample() -> None:
    class Line(Module):
        def __init__(self) -> None:
            self.w = microbp.array([[0.5], [2.0]], name="w")

        def __call__(self, x: Any) -> Any:
            return x @ self.w

    x = np.arange(6.0).reshape(3, 2)
    model = microbp.to_onnx(Line(), sample=x)
    assert [each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim] == [0, 3, 2]
    np.testing.assert_allclose(run(model, [x, x + 1.0]), [x @ [[0.5], [2.0]], (x + 1.0) @ [[0.5], [2.0]]])
    with pytest.raises(ValueError, match=r"^to_onnx\(\): give the numbers of one sample, from which the"):
        microbp.to_onnx(Line())


@pytest.mark.parametrize("build", [lambda _, x: x, lambda w, _: w, lambda w, x: [x, w, x * w, 3.0]])
def test_outputs_that_are_inputs_parameters_or_constants(build: Any) -> None:
    w, x = Value(2.0, name="w"), Value(0.5)
    program = microbp.compile(build(w, x), inputs=x, params=[w])
    np.testing.assert_array_equal(run(microbp.to_onnx(program), [1.0, 3.0]), program([1.0, 3.0]))


# ---------------------------------------------------------------------------------- what is told
def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^to_onnx\(\) takes a Program, or a net such as an MLP, not 5$"):
        microbp.to_onnx(5)
    program = microbp.compile(Value(1.0) * (x := Value(2.0)), inputs=[x])
    with pytest.raises(ValueError, match=r"^to_onnx\(\): a program has its inputs; sample is for a net$"):
        microbp.to_onnx(program, sample=[1.0])
    with pytest.raises(OSError, match="nowhere"):
        microbp.to_onnx(program, tmp_path / "nowhere" / "net.onnx")
    with pytest.raises(TypeError, match=r"^to_onnx\(\) takes a Program, or a net such as an MLP, not <mic"):
        microbp.to_onnx(TwoLayerNet(2, 2, 2))
