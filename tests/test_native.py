"""The machine in C: what it is built from, that it computes what Python computes, and what it refuses."""

from __future__ import annotations

import copy
import gc
import math
import os
import pickle
import re
import subprocess
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from itertools import chain, pairwise
from random import Random
from typing import Any

import mpmath
import numpy as np
import pytest
from replay_programs import KINDS, drawn
from support import native

import microbp
from microbp import BranchChanged, BranchWarning, NotFiniteResult, UndefinedOperation, Value
from microbp.native import Machine, rows
from microbp.native.rows import FILE, digest, printed
from microbp.optim import SGD, Adam, AdamW, Optimiser
from microbp.rules import RULES, TABLE, row
from microbp.value import set_numbers


# ---------------------------------------------------------------------------------- what it is built from
def test_the_engine_is_the_one_that_is_asked_for() -> None:
    """Where C is missing that was not declined, tests of it would not be missed."""
    found = microbp.engine()
    assert found.name == ("python" if os.environ.get("MICROBP_PURE") else "native"), found.why


def test_the_printed_rows_are_those_of_the_table() -> None:
    assert FILE.read_text(encoding="utf-8") == printed(), "python -m microbp.native prints them anew"


@native
def test_a_change_of_a_row_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before, table = digest(), list(TABLE)
    changed = row("tanh", "a", "tanh(a)", ("1.0 - y * y",), "Another derivative.")
    table[[each.name for each in table].index("tanh")] = changed
    monkeypatch.setattr(rows, "TABLE", tuple(table))
    assert digest() != before
    assert printed() != FILE.read_text(encoding="utf-8")
    assert microbp.engine().name == "python"
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
@pytest.mark.parametrize("variant", ["", "plain", "exact"])
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
        places = captured.inputs, captured.params, captured.outputs
        machine = Machine(captured.graph, *places, captured.trained, variant)
        theta = straight.parameters
        for x in (program.x[:1].copy(), np.repeat(program.x, 9, axis=0)):
            found, fault = machine.values(x, theta)
            assert fault is None
            expected = straight(x, theta).reshape(found.shape)
            gradient, again, dx = np.empty(len(theta)), np.empty(len(theta)), np.empty(x.shape)
            costs, _, fault = machine.gradients(x, theta, gradient, dx)
            assert fault is None
            machine.gradients(x, theta, again, None)
            wanted = np.empty(len(theta))
            wanted_dx = np.empty(x.shape)
            wanted_costs, *_ = straight._form.run("gradients", x, theta, wanted, wanted_dx)
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
        row, numbers = program.x[0].tolist(), theta.tolist()
        for word, function in straight.functions.items():
            found = getattr(machine, word)(row, numbers)
            assert same(flat_numbers(found), flat_numbers(function(row, numbers)))
    assert compared > 12


def flat_numbers(found: object) -> np.ndarray:
    """A number, a list, or a tuple of these; -0.0 of straight lines is 0.0 where derivatives are summed."""
    parts = found if isinstance(found, tuple) else (found,)
    return np.hstack([np.asarray(each) for each in parts]) + 0.0


@native
def test_one_sample_in_plain_floats_refuses_what_is_none() -> None:
    w, x = Value(2.0, "w"), Value(3.0, "x")
    machine = microbp.compile(w / x, inputs=[x], params=[w], form="native").machine
    assert machine is not None
    assert machine.value_and_grad([4.0], np.array([2.0])) == (0.5, [0.25])
    for given, error, told in (
        (([1.0, 2.0], [3.0]), ValueError, "1 numbers are needed, not 2"),
        (([1.0], []), ValueError, "1 numbers are needed, not 0"),
        ((["one"], [3.0]), TypeError, "must be real number, not str"),
        ((1.0, [3.0]), TypeError, "'float' object is not iterable"),
        (([1.0],), TypeError, "the inputs of a sample and the parameters are needed"),
        (([0.0], [3.0]), ArithmeticError, "the operation at node 2 has no result"),
    ):
        for function in (machine.value, machine.value_and_grad):
            with pytest.raises(error, match=re.escape(told)):
                function(*given)
    assert machine.value([4.0], [2.0]) == 0.5


@native
def test_a_batch_has_the_same_bits_on_every_run() -> None:
    net, x = microbp.MLP(3, [5, 2]), [Value(0.1), Value(0.2), Value(0.3)]
    program = microbp.compile(microbp.sum(net(x)), x, net.parameters(), form="native")
    samples = np.random.default_rng(0).normal(size=(300, 3))
    first, second = (program.value_and_grad(samples) for _ in range(2))
    assert first.cost == second.cost
    assert first.gradient.tobytes() == second.gradient.tobytes()


@native
@pytest.mark.parametrize("samples", [1, 2, 8, 9, 100, 300])
def test_samples_without_a_loss_pass_nothing_back(samples: int) -> None:
    rng = np.random.default_rng(samples)
    x, target = [Value(0.3), Value(-0.2)], Value(1.0)
    net = microbp.MLP(2, [5, 4, 1], activation="tanh", seed=3)
    score, params = net(x), net.parameters()
    cost = (1.0 - target * score).relu()
    theirs, ours = (microbp.compile(cost, [*x, target], params, form=form) for form in ("straight", "native"))
    points = rng.normal(size=(samples, 2))
    signs = np.sign(microbp.compile(score, x, params)(points))
    for content in {0, samples // 2, samples}:
        targets = np.where(np.arange(samples) < content, 1e6, -1.0) * signs
        given = np.column_stack([points, targets])
        right, found = (each.value_and_grad(given, wrt_inputs=True) for each in (theirs, ours))
        assert np.count_nonzero(right.costs) == samples - content
        np.testing.assert_allclose(found.costs, right.costs, rtol=1e-12)
        for one, other in ((found.gradient, right.gradient), (found.inputs, right.inputs)):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12 * abs(other).max())


@native
def test_of_what_is_infinite_a_sample_without_a_loss_passes_nan_back() -> None:
    w, x = [Value(1.0), Value(2.0)], [Value(0.5), Value(0.25)]
    cost = (1.0 - microbp.dot(w, x)).relu()
    given = np.array([[5.0, 1.0]] * 20 + [[math.inf, 1.0]])
    both = [microbp.compile(cost, x, w, form=form, finite=False) for form in ("straight", "native")]
    right, found = (each.value_and_grad(given).gradient for each in both)
    np.testing.assert_array_equal(found, right)
    assert np.isnan(found[0])
    assert found[1] == 0.0


@native
@pytest.mark.parametrize("samples", [1, 5])
def test_chains_have_the_bits_of_python(samples: int) -> None:
    rng = np.random.default_rng(0)
    w, x = [Value(float(each)) for each in rng.normal(size=40)], Value(0.7)
    total = w[0] * w[0]
    for each in w[1:26]:
        total = total + each * each
    for each in w[26:]:  # the one before stands second, twice, and is used again
        total = (each - total) * each + (total + total)
    for each in w:
        total = total - each
    for _ in range(5):
        total = total.sin()
    for _ in range(5):
        total = total * total
    cost = total + x * w[3] + w[5]
    theirs, ours = (microbp.compile(cost, [x], w, form=form) for form in ("straight", "native"))
    given = rng.normal(size=(samples, 1))
    right, found = (each.value_and_grad(given) for each in (theirs, ours))
    if samples == 1:
        assert (found.cost, found.gradient.tolist()) == (right.cost, right.gradient.tolist())
    np.testing.assert_allclose(
        found.gradient, right.gradient, rtol=1e-12, atol=1e-12 * abs(right.gradient).max()
    )


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
@pytest.mark.parametrize("count", [5, 1000])
def test_operations_on_parameters_alone_have_the_bits_of_python(count: int) -> None:
    """They are computed in another order; what adds up in one gradient is not."""
    random = Random(count)  # noqa: S311
    p = [Value(random.gauss(0.0, 1.0) * 10.0 ** random.randint(-8, 8)) for _ in range(count)]
    x = Value(0.5)
    cost = sum((a * p[0] + (a - b).tanh() * a for a, b in pairwise(p)), x * p[1])
    cost = cost + p[0] * p[2] - sum(a * a for a in p) / p[3] + (p[2] * 1e-8).exp().log()
    cost.backward()
    program = microbp.compile(cost, [x], p, form="native")
    found = program.value_and_grad([0.5])
    assert found.cost == cost.data
    assert found.gradient.tolist() == [each.grad for each in p]


@native
def test_of_what_is_undefined_for_parameters_alone_the_first_is_told() -> None:
    a, b, x = Value(1.0), Value(2.0), Value(0.5)
    cost = (a * 2.0).exp().log() + x * a + 1.0 / b + (a * 3.0).exp()
    told = []
    for form in ("native", "straight"):
        with pytest.raises(UndefinedOperation) as error:
            microbp.compile(cost, [x], [a, b], form=form)([0.5], np.array([800.0, 0.0]))
        told.append(str(error.value))
    assert told[0] == told[1]


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
def test_a_result_that_is_not_finite_is_that_of_one_sample() -> None:
    w, x = [Value(1e308), Value(-1e308)], [Value(1.0), Value(1.0)]
    program = microbp.compile(w[0] * x[0] + w[1] * x[1], x, w, form="native", finite=False)
    batch = np.array([[2.0, 2.0], [1.0, 1.0], [2.0, 1.0]])  # inf - inf; 0; inf
    np.testing.assert_array_equal(program(batch), [math.nan, 0.0, math.inf])
    np.testing.assert_array_equal(program(batch), [program(each) for each in batch])


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


def made(user: object = None, **changes: list[float]) -> Any:
    _machine = import_module("microbp.native._machine")
    kinds = {name: float if name in ("consts", "data") else np.int64 for name in COLUMNS}
    columns = {**COLUMNS, **changes}
    return _machine.Machine(*(np.array(columns[name], dtype=kinds[name]) for name in COLUMNS), user, "")


@native
@pytest.mark.parametrize("samples", [1, 2, 30])
@pytest.mark.parametrize("last", [0, 1])
def test_what_python_raises_in_a_row_of_the_users_own_is_raised(samples: int, last: int) -> None:
    asked: list[int] = []

    def square(number: int, numbers: list[float], *y: float) -> float | tuple[float]:
        asked.append(number)
        if len(asked) == last + 1:  # once, as Ctrl-C does: in the value, or in the slope
            raise KeyboardInterrupt
        return (2.0 * numbers[0],) if y else numbers[0] ** 2

    machine = made(square, op=[-1, -1, len(TABLE)], first=[0, 0, 0, 1], args=[0])
    x, costs, gradient = np.ones((samples, 1)), np.empty(samples), np.empty(1)
    with pytest.raises(KeyboardInterrupt):
        machine.run(1, x, np.array([3.0]), None, costs, gradient, None)
    assert machine.run(1, x, np.array([3.0]), None, costs, gradient, None) == 9.0 * samples
    assert gradient.tolist() == [6.0 * samples]


@native
@pytest.mark.parametrize(
    "changes",
    [
        {"args": [0, 2]}, {"args": [0, 7]}, {"args": [0, -1]}, {"args": [-9, 1]}, {"op": [-1, -1, 99]},
        {"op": [-1, -1, -2]}, {"op": [-1, 0, 0]}, {"first": [0, 0, 0, 3]}, {"first": [0, 0, 2, 2]},
        {"first": [0, 0, 3, 2]}, {"first": [0, -1, 0, 2]}, {"first": [0, 0, 8, -(2**63)]},
        {"first": [0, 0, 2]}, {"outputs": [3]},
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
    "lengths",
    [(2, 1, 0, 1, 1, 2), (2, 1, 0, 2, 2, 2), (2, 2, 0, 2, 1, 2), (3, 1, 0, 2, 1, 2), (2, 1, 0, 2, 1, 1),
     (2, 1, 1, 0, 0, 0), (2, 1, 2, 2, 0, 0), (2, 1, 0, 2, 0, 0), (2, 1, 0, 0, 1, 0), (2, 1, 2, 0, 0, 2)],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(lengths: tuple[int, ...]) -> None:
    machine = made()
    given = [np.ones(each) if each else None for each in (2, 1, 2, 2, 1, 2)]
    assert machine.run(1, *given) == given[3].sum()
    assert machine.run(1, *given[:3], None, None, None) is None
    assert machine.run(1, *given[:2], None, *given[3:5], None) == given[3].sum()
    arrays = [np.ones(each) if each else None for each in lengths]
    with pytest.raises(ValueError, match="do not fit"):
        machine.run(1, *arrays)
    with pytest.raises(TypeError, match="float64"):
        machine.run(1, *(None if each is None else each.astype(np.float32) for each in arrays))


# --------------------------------------------------------------------------------------------- how exactly
@native
@pytest.mark.parametrize("name", ["exp", "expm1", "tanh", "log", "log1p"])
def test_the_functions_of_a_batch_are_right_to_three_units_in_the_last_place(name: str) -> None:
    draw = np.random.default_rng(0)
    size = 10.0 ** draw.uniform(-300.0, 0.0, 200)
    signed = np.concatenate([draw.normal(size=400), draw.uniform(-30.0, 30.0, 400), size, -size])
    positive = np.concatenate([draw.uniform(0.5, 2.0, 400), 10.0 ** draw.uniform(-308.0, 308.0, 400)])
    tiny = 5e-324 * np.arange(1.0, 50.0)
    at = {"log": np.concatenate([positive, tiny]), "log1p": np.concatenate([positive, size, -0.9 * size])}
    numbers = at.get(name, signed)
    x = Value(0.5)
    program = microbp.compile(getattr(x, name)(), [x], form="native")
    found = program(numbers[:, None])
    right = np.array([float(getattr(mpmath, name)(mpmath.mpf(float(each)))) for each in numbers])
    assert (np.abs(found - right) <= 3.0 * np.spacing(np.abs(right))).all()
    # one by one they are those of Python's math
    assert [program([each]) for each in numbers[:50]] == [getattr(math, name)(each) for each in numbers[:50]]


# ----------------------------------------------------------------------------------------------- threads
def softmax_net() -> tuple[Machine, np.ndarray, np.ndarray]:
    """A 5-7-3 relu softmax net as a machine, samples and the parameters."""
    net = microbp.MLP(5, [7, 3], activation="relu", seed=1)
    x, t = [Value(0.1 * n) for n in range(5)], [Value(float(n == 1)) for n in range(3)]
    program = microbp.compile(microbp.cross_entropy(net(x), t), [*x, *t], net.parameters(), form="straight")
    draw = np.random.default_rng(2)
    samples = np.hstack([draw.normal(size=(5000, 5)), np.eye(3)[draw.integers(0, 3, 5000)]])
    return machine_of(program), samples, program.parameters


def machine_of(program: microbp.Program, variant: str = "") -> Machine:
    """Its graph as a machine."""
    captured = program.captured
    places = captured.inputs, captured.params, captured.outputs
    return Machine(captured.graph, *places, captured.trained, variant)


@native
@pytest.mark.parametrize("samples", [1, 7, 130, 5000])
def test_the_results_do_not_depend_on_the_number_of_threads(samples: int) -> None:
    machine, x, theta = softmax_net()
    x, found = x[:samples], []
    for threads in (1, 2, 3, 16, 100):
        machine.threads = threads
        gradient, dx = np.empty(len(theta)), np.empty(x.shape)
        costs, _, fault = machine.gradients(x, theta, gradient, dx)
        assert fault is None
        arrays = machine.values(x, theta)[0], costs, gradient, dx
        found.append([each.tobytes() for each in arrays])
    assert found == found[:1] * len(found)


@native
@native
def test_threads_are_an_argument_of_compile_and_of_fit() -> None:
    x = microbp.array(np.linspace(-1.0, 1.0, 3), name="x")
    net = microbp.MLP(3, [8, 1], activation="tanh", seed=1)
    X = np.random.default_rng(0).normal(size=(300, 3))
    one, three = (microbp.compile(net(x), inputs=x, form="native", threads=n) for n in (1, 3))
    programs = one, three, pickle.loads(pickle.dumps(three))
    assert [each.machine.threads for each in programs] == [1, 3, 3]
    assert one(X).tobytes() == three(X).tobytes()
    runs = []
    for threads in (1, 2):
        trained = microbp.MLP(3, [8, 1], activation="tanh", seed=1)
        history = microbp.fit(trained, X, X[:, 0], loss="mean_squared_error", epochs=3, threads=threads)
        runs.append((history.cost, [each.data for each in trained.parameters()]))
    assert runs[0] == runs[1]
    for wrong in (0, -1, 1.5, True, None):
        with pytest.raises(ValueError, match=r"^compile: threads is a whole number from 1 up, not"):
            microbp.compile(net(x), inputs=x, threads=wrong)
        with pytest.raises(ValueError, match=r"^fit: threads is a whole number from 1 up, not"):
            microbp.fit(net, X, X[:, 0], loss="hinge", threads=wrong)


@native
def test_several_threads_of_python_may_run_one_machine() -> None:
    # parameters one by one, not in even strides: what is gathered of them is a thread's own
    w = [[Value(float(n * n - i)) for n in range(6)] for i in range(4)]
    params = sorted(chain(*w), key=lambda each: each.data)
    x = [Value(0.1 * n) for n in range(6)]
    cost = microbp.sum([microbp.dot(row, x).tanh() for row in w])
    machine = machine_of(microbp.compile(cost, x, params, form="straight"))
    draw = np.random.default_rng(3)
    thetas, samples = draw.normal(size=(8, 24)), draw.normal(size=(20_000, 6))

    def gradient(theta: np.ndarray) -> bytes:
        out = np.empty(24)
        machine.gradients(samples, theta, out, None)
        return out.tobytes()

    alone = [*map(gradient, thetas)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert [*pool.map(gradient, thetas)] == alone


# ---------------------------------------------------------------------------------------------- training
def course(optimiser: Optimiser, penalty: float) -> tuple[Machine, np.ndarray]:
    """The update of an optimiser as a program, and which numbers that it remembers are the same for all."""
    p, g, lr = Value(0.3), Value(0.2), Value(0.1)
    memory = [Value(0.5 + 0.1 * n) for n in range(len(optimiser.blank))]
    alike = [n == 2 for n in range(len(memory))]  # the steps that Adam counts
    cost = penalty * p * p
    whole = g + microbp.grad(cost, p, create_graph=True)
    new, later = optimiser.update(p, whole, tuple(memory), lr)
    inputs = [p, g, *(each for each, same in zip(memory, alike, strict=True) if not same)]
    params = [lr, *(each for each, same in zip(memory, alike, strict=True) if same)]
    program = microbp.compile([new, *later, whole * 1.0, cost], inputs, params, form="straight", finite=False)
    return machine_of(program, "exact"), np.array(alike, dtype=np.int64)


@native
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize(
    "optimiser",
    [
        SGD([Value(0.0)], lr=0.1), SGD([Value(0.0)], lr=0.1, momentum=0.9),
        SGD([Value(0.0)], lr=0.1, momentum=0.9, nesterov=True), Adam([Value(0.0)]), AdamW([Value(0.0)]),
    ],
)  # fmt: skip
def test_a_training_inside_takes_the_steps_that_python_takes(optimiser: Optimiser, mean: bool) -> None:
    machine, x, theta = softmax_net()
    update, alike = course(optimiser, 1e-3)
    draw, steps = np.random.default_rng(4), 30
    sizes = draw.integers(1, 40, steps)
    order = draw.integers(0, len(x), sizes.sum())
    rates = np.linspace(0.1, 0.01, steps) * (1.0 if mean else 0.02)
    inside, memory, costs = theta.copy(), np.zeros((len(alike), len(theta))), np.zeros(steps)
    best = np.append(np.zeros(len(theta)), np.inf)
    final = np.empty(len(theta))
    given = (x, rates, order, sizes, alike, inside, memory, costs, best, final)
    assert machine.train(update, mean, 10_000, *given) == steps
    outside, remembered, expected, passed = theta.copy(), tuple(np.zeros(memory.shape)), [], []
    gradient = np.empty(len(theta))
    for rate, n, last in zip(rates.tolist(), sizes.tolist(), np.cumsum(sizes), strict=True):
        each, *_ = machine.gradients(x[order[last - n : last]], outside, gradient, None)
        share = n if mean else 1
        passed.append(outside)
        expected.append(each.sum() / share + 1e-3 * (outside @ outside))
        total = gradient / share + 2.0 * 1e-3 * outside
        outside, remembered = optimiser.update(outside, total, remembered, rate)
    np.testing.assert_allclose(costs, expected, rtol=1e-13)
    assert best[-1] == costs.min()
    np.testing.assert_allclose(final, total, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(best[:-1], passed[int(np.argmin(costs))], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(inside, outside, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(memory, np.array(remembered).reshape(memory.shape), rtol=1e-12, atol=1e-15)


@native
def test_a_training_inside_ends_before_the_step_that_is_not_finite() -> None:
    w, x = Value(2.0), Value(3.0)
    machine = machine_of(microbp.compile((w * x).log(), [x], [w], form="straight"))
    update, alike = course(SGD([Value(0.0)], lr=0.1), 0.0)
    samples = np.array([[1.0], [2.0], [-1.0], [1e-300]])
    sizes, rates, memory = np.array([1, 2, 1]), np.full(3, 0.1), np.zeros((0, 1))
    for order, expected in (([0, 1, 0, 0], 3), ([0, 1, 2, 0], 1), ([2, 1, 1, 1], 0), ([0, 0, 0, 3], 3)):
        theta, costs = np.array([2.0]), np.full(3, np.nan)
        rest = theta, memory, costs, np.full(2, np.inf), np.empty(1)
        given = (samples, rates, np.array(order), sizes, alike, *rest)
        assert machine.train(update, True, 10_000, *given) == expected
        assert np.isnan(costs).sum() == 3 - expected
        assert (theta[0] == 2.0) == (expected == 0)
    # a rate that makes the update infinite
    theta, rates[1] = np.array([2.0]), np.inf
    order, last = np.array([0, 1, 0, 0]), (np.zeros(3), np.full(2, np.inf), np.empty(1))
    given = (samples, rates, order, sizes, alike, theta, memory, *last)
    assert machine.train(update, True, 10_000, *given) == 1
    assert np.isfinite(theta[0])


@native
@pytest.mark.parametrize(
    "changes",
    [
        {"order": [0, 1, 2, 4]}, {"order": [0, 1, 2, -1]}, {"order": [0, 1, 2]}, {"sizes": [1, 2, 2]},
        {"sizes": [4, 0, 0]}, {"sizes": [1, 2**62, 1]}, {"rates": [0.1]}, {"theta": [1.0, 2.0]},
        {"costs": [0.0]}, {"memory": [1.0]}, {"best": [1.0]}, {"gradient": []}, {"alike": [0]},
        {"alike": [1], "memory": [1.0]},
    ],
)  # fmt: skip
def test_a_training_that_would_leave_its_buffers_is_refused(changes: dict[str, list[float]]) -> None:
    w, x = Value(2.0), Value(3.0)
    machine = machine_of(microbp.compile((w * x).log(), [x], [w], form="straight"))
    update, _ = course(SGD([Value(0.0)], lr=0.1), 0.0)
    arrays: dict[str, list[float]] = {
        "x": [1.0, 2.0, 3.0, 4.0], "rates": [0.1] * 3, "order": [0, 1, 2, 3], "sizes": [1, 2, 1], "alike": [],
        "theta": [1.0], "memory": [], "costs": [0.0] * 3,
        "best": [0.0, 1.0], "gradient": [0.0],
    }  # fmt: skip

    def taken(**others: list[float]) -> int:
        whole = ("order", "sizes", "alike")
        given = [np.array(x, np.int64 if n in whole else float) for n, x in {**arrays, **others}.items()]
        steps: int = machine.train(update, True, 10_000, *given)
        return steps

    assert taken() == 3
    with pytest.raises(ValueError, match="do not fit the programs"):
        taken(**changes)


# -------------------------------------------------------------------------------------------------- Values
@native
def test_a_value_is_the_class_of_python_on_the_storage_in_c() -> None:
    assert Value.__mro__[-2].__module__ == "microbp.native._machine"
    x = Value(3.0, "x")
    assert not gc.is_tracked(x * x)
    assert sys.getsizeof(x * x) <= 120


@native
def test_values_run_in_python_where_they_are_asked_to() -> None:
    code = "from microbp import Value; x = Value(3.0); y = x * x; y.backward()\n"
    code += "print(Value.__mro__[-2].__module__, x.grad)"
    assert run(code, MICROBP_PURE="1") == "microbp.node 6.0"


@native
def test_graphs_leave_nothing_behind() -> None:
    def used() -> None:
        x, y = Value(0.3, name="x"), Value(0.7, name="y")
        root = microbp.cross_entropy([x * y, 2.0 / x, x**y, 3.0 * y], [0.0, 1.0, 0.0, 0.0])
        with microbp.no_grad():
            root + x
        with suppress(UndefinedOperation):
            (x - 1.0).log()
        root.backward()
        copy.deepcopy(root)
        x.data = 0.5
        x.grad = "text"
        with suppress(TypeError):
            root.backward()
        before = microbp.record_sites()
        (x + y).grad = None
        microbp.record_sites(before)

    for _ in range(20):
        used()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    values = sys.getrefcount(Value)
    for _ in range(200):
        used()
    gc.collect()
    assert sys.getrefcount(Value) == values
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 200 * 32  # not one object each time


@native
def test_of_the_memory_of_freed_values_so_much_is_kept_as_a_million_takes() -> None:
    code = (
        "import tracemalloc; from microbp import Value; tracemalloc.start(); small = Value(0.0)\n"
        "values = [Value(1.0) for _ in range(1_500_000)]; print(tracemalloc.get_traced_memory()[0])\n"
        "del values; print(tracemalloc.get_traced_memory()[0])"
    )
    all_of_them, kept = (int(each) / 1e6 for each in run(code, MICROBP_PURE="0").splitlines())
    assert all_of_them > 144.0
    assert 90.0 < kept < 110.0


@native
def test_a_million_values_are_freed_without_recursion() -> None:
    x = root = Value(1.0)
    for _ in range(500_000):
        root = root * 1.0 + x
    root.backward()
    del root
    assert x.grad == 500_001.0


@native
def test_leaves_are_all_written_whatever_the_gradients_before_do_when_they_go() -> None:
    class Last(Value):
        def __del__(self) -> None:
            leaves.clear()

    leaves = [Value(1.0) for _ in range(50)]
    kept = [*leaves]
    leaves[0].grad = Last(2.0)
    set_numbers(leaves, np.zeros(50), np.ones(50))
    assert leaves == []
    assert {(each.data, each.grad) for each in kept} == {(0.0, 1.0)}


@native
def test_what_holds_a_graph_together_cannot_be_taken_away() -> None:
    x = Value(2.0)
    product = x * x
    with pytest.raises(TypeError, match="the first operand of a Value is a Value"):
        product._a = 3.0
    total = microbp.sum([x, x, 1.0])
    total._b = (x,)  # derivatives of other operands go with them
    assert total._db is None
    total._db = (1.0,)
    total.backward()
    assert x.grad == 1.0


#: Each operand as it is written.
HOSTILE = [
    "'a'", "None", "1j", "True", "[1.0]", "object()", "np.float64(2.0)", "2**2000", "np.ones(2)", "10**400",
]  # fmt: skip
MET = """
import numpy as np, microbp
from microbp import Value
for sign in ("+", "-", "*", "/", "**", "%", "//", "<"):
    for other in HOSTILE:
        for text in (f"Value(3.0) {sign} {other}", f"{other} {sign} Value(3.0)"):
            try:
                told = repr(eval(text))
            except Exception as error:
                told = f"{type(error).__name__} {error}"
            print(text, told.replace("\\n", " "))
"""


@native
def test_hostile_operands_are_met_as_in_python() -> None:
    code = f"HOSTILE = {HOSTILE}\n{MET}"
    ours, theirs = (run(code, MICROBP_PURE=pure).splitlines() for pure in "01")
    assert len(ours) == 2 * 8 * len(HOSTILE)
    assert [re.sub(r"0x\w+", "", each) for each in ours] == [re.sub(r"0x\w+", "", each) for each in theirs]
