"""The machine in C: what it is built from, that it computes what Python computes, and what it refuses."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from importlib import import_module
from itertools import chain
from random import Random

import numpy as np
import pytest
from replay_programs import KINDS, drawn

import microbp
from microbp import BranchChanged, BranchWarning, NotFiniteResult, UndefinedOperation, Value
from microbp.native import Machine, rows
from microbp.native.rows import FILE, digest, printed
from microbp.rules import RULES, TABLE, row

native = pytest.mark.skipif(microbp.engine().name != "native", reason=microbp.engine().why)


# ---------------------------------------------------------------------------------- what it is built from
def test_the_printed_rows_are_those_of_the_table() -> None:
    assert FILE.read_text(encoding="utf-8") == printed(), "python -m microbp.native prints them anew"


def test_a_change_of_a_row_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before, table = digest(), list(TABLE)
    changed = row("tanh", "a", "tanh(a)", ("1.0 - y * y",), "Another derivative.")
    table[[each.name for each in table].index("tanh")] = changed
    monkeypatch.setattr(rows, "TABLE", tuple(table))
    assert digest() != before
    assert printed() != FILE.read_text(encoding="utf-8")
    assert microbp.engine().name == "python"
    if "not built" not in microbp.engine().why:
        assert microbp.engine().why.startswith("the C extension was built from other rows")


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_python_can_be_kept_to() -> None:
    code = (
        "import microbp; w = microbp.Value(2.0); x = microbp.Value(3.0)\n"
        "print(microbp.engine()); print(microbp.compile(w * x, [x], [w])([4.0]))\n"
        "try: microbp.compile(w * x, [x], [w], form='native')\n"
        "except RuntimeError as error: print(error)"
    )
    why = "the environment variable MICROBP_PURE is set"
    refused = f"compile: there is no native form here: {why}; form='auto' runs in Python"
    assert run(code, MICROBP_PURE="1").splitlines() == [f"python: {why}", "8.0", refused]


def test_without_the_extension_everything_is_python() -> None:
    code = (
        "import sys; sys.modules['microbp.native._machine'] = None\n"
        "import microbp; x = microbp.Value(3.0)\n"
        "print(microbp.engine().name, microbp.compile(x * x, [x])([4.0]))"
    )
    assert run(code, MICROBP_PURE="0") == "python 16.0"


# ------------------------------------------------------------------------- what it computes, and how exactly
def same(first: np.ndarray, second: np.ndarray) -> bool:
    """The same bits, but for those of nan."""
    return bool(
        np.array_equal(first, second, equal_nan=True) and (np.signbit(first) == np.signbit(second)).all()
    )


@native
@pytest.mark.parametrize("variant", ["", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_random_programs_have_the_bits_of_python(kind: str, variant: str) -> None:
    compared = 0
    for seed in range(12):
        program = drawn(kind, seed)
        inputs = [Value(float(each)) for each in program.x[0]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BranchWarning)
            outputs = program.run(inputs)
            if not any(isinstance(each, Value) for each in outputs):
                continue
            straight = microbp.compile(outputs, inputs, program.params, form="straight", finite=False)
        captured = straight.captured
        places = [[-1 if at is None else at for at in each] for each in (captured.inputs, captured.params)]
        machine = Machine(captured.graph, *places, captured.outputs, captured.trained, variant)
        theta = straight.parameters
        for x in (program.x[:1].copy(), np.repeat(program.x, 9, axis=0)):
            found, fault = machine.values(x, theta)
            assert fault is None
            expected = straight(x, theta).reshape(found.shape)
            gradient, again, dx = np.empty(len(theta)), np.empty(len(theta)), np.empty(x.shape)
            costs, fault = machine.gradients(x, theta, gradient, dx)
            assert fault is None
            machine.gradients(x, theta, again, None)
            wanted = np.empty(len(theta))
            wanted_costs, wanted_dx = straight._form.gradients(x, theta, wanted, wrt_inputs=True)
            pairs = [
                (found, expected), (costs, wanted_costs), (gradient, wanted), (dx, wanted_dx), (again, wanted)
            ]  # fmt: skip
            for got, exact in pairs:
                if len(x) == 1:
                    assert same(got, exact)
                else:
                    scale = max(1.0, np.abs(exact).max(initial=0.0))
                    np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-12 * scale)
            compared += 1
    assert compared > 12


@native
def test_a_batch_has_the_same_bits_on_every_run() -> None:
    net, x = microbp.MLP(3, [5, 2]), [Value(0.1), Value(0.2), Value(0.3)]
    program = microbp.compile(microbp.sum(net(x)), x, net.parameters(), form="native")
    samples = np.random.default_rng(0).normal(size=(300, 3))
    first, second = (program.value_and_grad(samples) for _ in range(2))
    assert first.cost == second.cost
    assert first.gradient.tobytes() == second.gradient.tobytes()


@native
def test_a_layer_is_one_product_also_where_its_sums_are_written_out() -> None:
    random = Random(0)  # noqa: S311
    w = [[Value(random.uniform(-1.0, 1.0)) for _ in range(4)] for _ in range(3)]
    x, b = [Value(random.uniform(-1.0, 1.0)) for _ in range(4)], [Value(0.5) for _ in range(3)]
    cost = Value(0.0)
    for weights, bias in zip(w, b, strict=True):
        total = bias
        for left, right in zip(weights, x, strict=True):
            total = total + left * right
        cost = cost + total.tanh() * total.tanh()
    program = microbp.compile(cost, x, [*chain(*w), *b], form="native")
    assert "2 products" in program.describe()  # the layer, and the sum at the end
    samples = np.array([[random.uniform(-2.0, 2.0) for _ in range(4)] for _ in range(50)])
    exact = microbp.compile(cost, x, [*chain(*w), *b], form="straight").value_and_grad(samples)
    found = program.value_and_grad(samples)
    np.testing.assert_allclose(found.gradient, exact.gradient, rtol=1e-12)


# ------------------------------------------------------------------------------------ as a form of a program
@native
def test_what_a_user_has_defined_runs() -> None:
    cube = microbp.define("cube", "a", "a * a * a", "3.0 * a * a")
    mix = microbp.define(
        "mix", "x b", "total(x * x) / b", ("2.0 * x / b", "-y / b"), over="x", smooth=[((1, 2), (1, 2))]
    )
    try:
        w, x = Value(2.0), Value(3.0)
        cost = cube(w * x) + mix([w, x], w)
        program, straight = (microbp.compile(cost, [x], [w], form=form) for form in ("native", "straight"))
        samples = np.array([[1.0], [2.5], [-3.0]])
        found, exact = (each.value_and_grad(samples, wrt_inputs=True) for each in (program, straight))
        assert found.cost == exact.cost
        assert found.gradient.tobytes() == exact.gradient.tobytes()
        assert found.inputs.tobytes() == exact.inputs.tobytes()
        with pytest.raises(UndefinedOperation, match=r"mix"):
            program([1.0], np.array([0.0]))
    finally:
        del RULES["cube"], RULES["mix"]


@native
@pytest.mark.parametrize("samples", [1, 30])
def test_what_is_undefined_is_told_as_the_eager_engine_tells_it(samples: int) -> None:
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    cost = (w * x).log() * 0.0 + x
    told = []
    for form in ("native", "straight"):
        program = microbp.compile(cost, [x], [w], form=form)
        batch = np.linspace(1.0, 2.0, samples)[:, None]
        batch[-1] = -1.0
        for run in (program, program.value_and_grad):
            with pytest.raises(UndefinedOperation) as error:
                run(batch)
            told.append(str(error.value))
    assert len({*told}) == 1
    assert "log" in told[0]


@native
def test_a_result_that_is_not_finite_names_the_sample() -> None:
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    program = microbp.compile(w * x * x, [x], [w], form="native")
    batch = np.ones((20, 1))
    batch[13] = 1e200
    with pytest.raises(NotFiniteResult, match="sample 13"):
        program(batch)
    infinite = microbp.compile(w * x * x, [x], [w], form="native", finite=False)
    assert infinite(batch)[13] == np.inf
    assert infinite.value_and_grad(batch).gradient.tolist() == [np.inf]


@native
def test_it_is_pickled_checked_and_shows_python() -> None:
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    cost = w * x if x > 0.0 else x - w
    program = microbp.compile(cost, [x], [w], form="native", checked=True)
    again = pickle.loads(pickle.dumps(program))
    assert (program.form, again.form) == ("native", "native")
    assert again([4.0]) == program([4.0]) == 8.0
    assert "def value_and_grad" in program.source
    assert program.value_and_grad([[1.0], [2.0]]).arrays.keys() == program.arrays.keys()
    with pytest.raises(BranchChanged):
        program([-1.0])


# ----------------------------------------------------------------------------------- what it refuses to run
COLUMNS = {
    "op": [-1, -1, 0], "first": [0, 0, 0, 2], "args": [0, 1], "params": [0], "inputs": [1], "outputs": [2],
    "trained": [1], "consts": [], "data": [1.0, 2.0, 3.0],
}  # fmt: skip


def made(**changes: list[float]) -> object:
    _machine = import_module("microbp.native._machine")
    kinds = {name: float if name in ("consts", "data") else np.int64 for name in COLUMNS}
    columns = {**COLUMNS, **changes}
    return _machine.Machine(*(np.array(columns[name], dtype=kinds[name]) for name in COLUMNS), ())


@native
@pytest.mark.parametrize(
    "changes",
    [
        {"args": [0, 2]}, {"args": [0, 7]}, {"args": [0, -1]}, {"args": [-9, 1]}, {"op": [-1, -1, 99]},
        {"op": [-1, -1, -2]}, {"op": [-1, 0, 0]}, {"first": [0, 0, 0, 3]}, {"first": [0, 0, 2, 2]},
        {"first": [0, 0, 3, 2]}, {"first": [0, -1, 0, 2]}, {"first": [0, 0, 2]}, {"outputs": [3]},
        {"outputs": [-1]},
        {"outputs": []}, {"params": [2]}, {"params": [5]}, {"params": [1]}, {"inputs": [0]}, {"trained": []},
        {"data": [1.0]}, {"args": [0], "first": [0, 0, 0, 1]}, {"first": [0, 0, 0, 2**62]},
    ],
)  # fmt: skip
def test_a_program_that_would_leave_its_buffers_is_refused(changes: dict[str, list[float]]) -> None:
    assert made() is not None
    with pytest.raises(ValueError, match=r"^no program: "):
        made(**changes)


@native
@pytest.mark.parametrize(
    "lengths", [(2, 1, 1, 1, 2), (2, 1, 2, 2, 2), (2, 2, 2, 1, 2), (3, 1, 2, 1, 2), (2, 1, 2, 1, 1)]
)
def test_arrays_that_do_not_fit_are_refused(lengths: tuple[int, ...]) -> None:
    machine = made()
    assert machine.gradients(*map(np.ones, (2, 1, 2, 1, 2))) is None
    with pytest.raises(ValueError, match="do not fit"):
        machine.gradients(*map(np.ones, lengths))
    with pytest.raises(TypeError, match="float64"):
        machine.gradients(*(np.ones(each, dtype=np.float32) for each in lengths))
