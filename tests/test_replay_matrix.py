"""The matrix form of replay: every recorded graph gives the numbers and the gradients of the eager engine."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from replay_programs import KINDS, Drawn, difference, drawn
from support import at_once

import microbp
from microbp import MLP, Program, Value, array, cross_entropy, dot, logsumexp, softmax
from microbp.expr import FUNCTIONS
from microbp.losses import l2_penalty
from microbp.record import record
from microbp.replay import forms, matrix
from microbp.replay.axes import Piece
from microbp.replay.code import name as variable
from microbp.replay.code import text, tree_of
from microbp.replay.numpy_rules import FORMS, HELPERS, PARTS, array_code, helpers
from microbp.rules import RULES, TABLE

Build = Callable[[list[Any]], Any]


def compiled(build: Build, parameters: Sequence[Value], row: Any, **options: Any) -> Program:
    """The matrix form of what is built from the Values of a sample."""
    sample = [Value(float(each), name=f"x{n}") for n, each in enumerate(row)]
    program: Program = microbp.compile(
        build(sample), inputs=sample, params=list(parameters), form="matrix", finite=False, **options
    )
    return program


def compared(build: Build, parameters: Sequence[Value], x: Any) -> tuple[float, Program]:
    """By how much replay differs from the eager engine, and the program."""
    x = np.asarray(x, dtype=float)
    made = Drawn(lambda sample: [build(sample)], list(parameters), x)
    program = compiled(build, parameters, x[0])
    return difference(made, form="matrix", whole=program), program


def batch(samples: int, inputs: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2.0, 2.0, (samples, inputs))


def weights(name: str, *shape: int) -> Any:
    """An array of parameters named W[0,0], …."""
    return array(np.random.default_rng(len(name) + sum(shape)).normal(0.0, 0.6, shape), name=name)


def loose(count: int) -> list[Value]:
    return [Value(math.cos(1.7 * n)) for n in range(count)]


# ------------------------------------------------------------------------------------ any graph
@pytest.mark.parametrize("form", ["matrix", "swept", "straight", "auto"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", range(2))
def test_any_program_is_replayed_as_the_engine_computes_it(kind, form, part, monkeypatch):
    """A script of the same programs runs for as long as one likes: python tests/replay_programs.py."""
    if form == "swept":
        monkeypatch.setattr(forms, "MOST", 0)
    for seed in range(25 * part, 25 * part + 25):
        memory = 1000 if seed % 3 == 0 else 1 << 28
        error = difference(drawn(kind, seed), form=form.replace("swept", "straight"), memory=memory)
        assert error <= 1e-12, (kind, seed)


def test_a_gradient_that_is_a_count_of_samples_is_a_float():
    """It once began an array of whole numbers."""
    assert difference(drawn("rows", 50002), form="matrix") <= 1e-12


@pytest.mark.parametrize("logits", [[2.0, 2.0], [1.0, -3.0], [np.inf, np.inf], [-np.inf, 0.0]])
def test_logits_that_are_constants_beside_targets_that_vary(logits):
    x = Value(1.0)
    program = microbp.compile(cross_entropy(logits, [x, 1.0 - x]), inputs=[x], form="matrix", finite=False)
    for target in (0.0, 0.25):
        said = cross_entropy(logits, [target, 1.0 - target])
        assert program([target]) == pytest.approx(said, rel=1e-14, nan_ok=True)


# ------------------------------------------------------------------------------- planted errors
@pytest.mark.parametrize(("wrong", "right"), [
    ("np.cos(", "1.0001 * np.cos("), (".sum(axis=0", "[:1].sum(axis=0"), ("np.sign(", "np.abs("),
    ("delta2 @ W2", "delta2 @ W2[:, ::-1]"), ("0.1 * n", "0.1"),
])  # fmt: skip
def test_the_comparison_sees_a_planted_error(wrong, right, monkeypatch):
    net = MLP(2, [3, 3], activation=["relu", "sin"], seed=3)
    parameters, x = net.parameters(), batch(4, 2)

    def build(sample):
        return microbp.sum(net(sample)) + l2_penalty(parameters, 0.1)

    def planted(source):
        before, after = source.split("def value_and_grad")
        assert wrong in after
        return right_defined(f"{before}def value_and_grad{after.replace(wrong, right)}")

    right_defined = forms.defined
    made = Drawn(lambda sample: [build(sample)], parameters, x)
    assert difference(made, form="matrix") <= 1e-12
    monkeypatch.setattr(forms, "defined", planted)
    assert difference(made, form="matrix") > 1e-6


# ------------------------------------------------------------------------------------ known nets
def lines(made: Program, function: str = "value_and_grad") -> list[str]:
    """The statements of a function, without comments."""
    body = made.source.split(f"def {function}(")[1].split("\n\n\n")[0].splitlines()[1:]
    return [line.split("  # ")[0].strip() for line in body]


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (4,)])
def test_the_gradient_of_an_array_that_is_used_in_another_shape(shape):
    w = microbp.array([[0.1, 0.2], [0.3, 0.4]], name="W")
    error, made = compared(lambda x: microbp.dot(w.reshape(shape).ravel(), x).tanh(), w.ravel(), batch(3, 4))
    assert error <= 1e-12
    assert made.form == "matrix"


def test_a_net_becomes_the_matrices_of_its_layers():
    net = MLP(4, [3, 2], activation="tanh", seed=1)
    error, made = compared(lambda x: cross_entropy(net(x[:4]), x[4:]), net.parameters(), batch(5, 6))
    assert error <= 1e-12
    assert made.arrays == {"W1": (3, 4), "b1": (3,), "W2": (2, 3), "b2": (2,)}
    code = lines(made)
    assert code[1:4] == ["z1 = x[:, 0:4] @ W1.T + b1", "h1 = np.tanh(z1)", "z2 = h1 @ W2.T + b2"]
    backward = code[code.index("costs = v1") + 2 : code.index("dx = None")]
    assert backward == [
        "delta1 = (delta2 @ W2) * d_tanh(z1, h1)",
        "dW1[...] = delta1.T @ x[:, 0:4]",
        "db1[...] = delta1.sum(axis=0)",
        "dW2[...] = delta2.T @ h1",
        "db2[...] = delta2.sum(axis=0)",
    ]
    assert code[-4] == "dx = np.zeros((n, 6))"
    assert code[-3] == "dx[:, 4:6] += np.log1p(rest1)[:, None] + shift1"  # -log p
    assert code[-2] == "dx[:, 0:4] += delta1 @ W1"


def test_sums_written_by_hand_are_the_same_matrices():
    w, b = loose(8), loose(2)

    def build(x):
        h1 = (w[0] * x[0] + x[1] * w[1] + b[0]).sigmoid()
        h2 = (b[0] + w[2] * x[0] + w[3] * x[1]).sigmoid()
        o1 = (w[4] * h1 + w[5] * h2 + b[1]).sigmoid()
        o2 = (w[6] * h1 + w[7] * h2 + b[1]).sigmoid()
        return 0.5 * (x[2] - o1) ** 2 + 0.5 * (x[3] - o2) ** 2

    error, made = compared(build, w + b, batch(5, 4))
    assert error <= 1e-12
    assert lines(made)[1:5] == [
        "z1 = x[:, 0:2] @ W1.T + p8", "h1 = 1.0 / (1.0 + np.exp(-z1))",
        "z2 = h1 @ W2.T + p9", "h2 = 1.0 / (1.0 + np.exp(-z2))",
    ]  # fmt: skip


def test_names_are_those_of_the_user():
    w, x = weights("W", 2, 2), [Value(0.1, name="x1"), Value(0.2, name="x2")]
    z = w @ np.array(x, dtype=object)
    h = [each.tanh() for each in z]
    cost = h[0] * h[1] * Value(2.0, name="k")
    names = {"z": z, "h1": h[0], "h2": h[1], "cost": cost}
    made = microbp.compile(cost, inputs=x, params=w, form="matrix", names=names)
    assert lines(made)[1:5] == [
        "z = x @ W.T", "h = np.tanh(z)", "v1 = h[:, 0] * h[:, 1]", "cost = 2.0 * v1",
    ]  # fmt: skip
    assert "  # z[0], z[1] = Σ\n" in made.source
    assert "  # ∂cost/∂(z[0], z[1])\n" in made.source
    assert "  # ∂cost/∂W, summed over the batch\n" in made.source
    assert made.describe().splitlines()[1:-1] == [
        "13 scalars became 4 array operations",
        "  z (n, 2): z[0], z[1] = Σ",
        "  h (n, 2): h1, h2 = tanh",
        "  v1 (n): v10 = mul",
        "  cost (n): cost = mul",
    ]


def test_parameters_in_a_dict_whose_keys_are_no_strings():
    class Keyed(microbp.Module):
        def __init__(self):
            self.by = {2.5: [Value(1.0), Value(3.0)], ("t", 1): [Value(2.0)], None: [Value(4.0)]}

        def __call__(self, x):
            return dot(self.parameters(), [x] * 4)

    net, x = Keyed(), Value(2.0)
    program = microbp.compile(net(x), inputs=[x], params=net.parameters())
    assert "def value(x, v2_5, t_1, None_):" in program.source
    assert float(program([[3.0]])[0]) == 30.0


def test_what_no_sample_changes_is_computed_once_and_counts_for_each():
    net = MLP(2, [3, 1], seed=1)
    parameters = net.parameters()
    error, made = compared(
        lambda x: (1.0 - x[2] * net(x[:2])).relu() + l2_penalty(parameters, 0.1), parameters, batch(7, 3)
    )
    assert error <= 1e-12
    code = lines(made)
    assert "v2 = np.vdot(theta, theta)" in code
    assert "d_v2 = 0.1 * n" in code
    assert [each for each in code if each.startswith("dtheta")] == ["dtheta += 2.0 * d_v2 * theta"]


def total(terms):
    return sum(terms)


#: Penalties on weights and biases, and how many operations on the vector of parameters their gradient is.
PENALTIES = {
    "all": (lambda W, b: total(p * p for p in W + b), 1),
    "powers": (lambda W, b: total(p**2 for p in b + W), 1),
    "weights": (lambda W, _: total(w * w for w in W), 1),
    "two": (lambda W, b: total(p * p for p in W) + 0.5 * total(abs(p) for p in b), 2),
    "one within the other": (lambda W, b: total(p * p for p in W + b) + 0.5 * total(p * p for p in W), 2),
    "plain": (lambda W, b: total(W + b), 1),
    "part": (lambda W, _: total(w * w for w in W[1:]), None),
    "twice": (lambda W, b: total(W + W) + total(b), None),
    "rows": (lambda W, b: total((W[2 * i] * W[2 * i] + b[i] * b[i] + 1.0).sqrt() for i in (0, 1)), None),
}


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize(("names", "first"), [
    ("W1[{},{}] W2[{}] b1[{}] b2", True), ("", True), ("", False), ("p.{}.{} q.{} b.{} c", False),
])  # fmt: skip
def test_a_penalty_is_one_operation_on_the_vector_of_parameters(kind, first, names):
    """It takes a view of the vector of all, not each array for itself."""
    W, b = loose(9), loose(4)
    penalty, operations = PENALTIES[kind]

    def build(x):
        early = 0.1 * penalty(W, b)
        h = [microbp.dot(W[2 * i : 2 * i + 2], x[:2], b[i]).tanh() for i in range(3)]
        fit = (microbp.dot(W[6:], h, b[3]) - x[2]) ** 2
        return fit + (early if first else 0.1 * penalty(W, b))

    if names:
        W1, W2, b1, b2 = names.split()
        for index, each in enumerate(W):
            each.name = W1.format(index // 2, index % 2) if index < 6 else W2.format(index - 6)
        for index, each in enumerate(b):
            each.name = b1.format(index) if index < 3 else b2
    for frozen in ([], W[:1], [*W[:6], b[3]], [*W, *b]):
        for each in (*W, *b):
            each.requires_grad = all(each is not other for other in frozen)
        error, made = compared(build, [*W[:6], *b[:3], *W[6:], b[3]], batch(5, 3))
        assert error <= 1e-12
        assert "concatenate" not in made.source
        if not names:  # layers are found before anything else is
            assert {*made.arrays} == {"W1", "b1", "W2", "b2"}
        if operations is not None and not frozen:
            assert sum(each.startswith("dtheta") for each in lines(made)) == operations


def test_a_recurrent_net_shares_its_weights():
    W, U, b, v = weights("W", 3, 2), weights("U", 3, 3), weights("b", 3), weights("v", 3)

    def build(x):
        h = [0.0, 0.1, 0.2]
        for t in range(4):
            now = np.array(x[2 * t : 2 * t + 2], dtype=object)
            h = np.tanh(W @ now + U @ np.array(h, dtype=object) + b)
        return (v @ h - x[8]) ** 2

    parameters = [*W.ravel(), *U.ravel(), *b, *v]
    error, made = compared(build, parameters, batch(4, 9))
    assert error <= 1e-12
    assert "z2 = h1 @ U.T + x[:, 2:4] @ W.T + b" in lines(made)
    assert sum("dU" in each for each in lines(made)) == 4


def test_a_convolution_is_one_product_of_patches():
    K, b = weights("K", 2, 3, 3), weights("b", 2)

    def build(x):
        image = np.array(x, dtype=object).reshape(6, 6)
        out = [
            dot(K[c].ravel().tolist(), image[i : i + 3, j : j + 3].ravel().tolist(), b[c]).relu()
            for c in range(2) for i in range(4) for j in range(4)
        ]  # fmt: skip
        return microbp.sum(out) * 0.1 + microbp.max(out)

    error, made = compared(build, [*K.ravel(), *b], batch(3, 36))
    assert error <= 1e-12
    assert lines(made)[2].startswith("z1 = (np.einsum('ik,njk->nji', K.reshape(2, 9), taken1")


def test_attention():
    Wq, Wk, Wv = (weights(name, 3, 3) for name in ("Wq", "Wk", "Wv"))

    def build(x):
        tokens = array(np.array(x, dtype=object).reshape(4, 3))
        q, k, v = tokens @ Wq, tokens @ Wk, tokens @ Wv
        scores = [softmax([dot(list(q[i]), list(k[j])) / 3**0.5 for j in range(4)]) for i in range(4)]
        out = [dot(list(row), list(v[:, d])) for row in scores for d in range(3)]
        return microbp.sum([each * each for each in out])

    error, made = compared(build, [*Wq.ravel(), *Wk.ravel(), *Wv.ravel()], batch(3, 12))
    assert error <= 1e-12
    assert len(lines(made, "value")) < 20


def test_an_equation_integrated_by_hand():
    a, b = Value(1.3, name="alpha"), Value(0.7, name="beta")

    def build(x):
        y, z = x[0], x[1]
        for _ in range(20):
            y, z = y + 0.05 * (a * y - b * y * z), z + 0.05 * (b * y * z - z)
        return (y - x[2]) ** 2 + z

    error, made = compared(build, [a, b], batch(3, 3))
    assert error <= 1e-12
    assert [*made.arrays] == ["alpha", "beta"]


# -------------------------------------------------------------------------------------- at the edges
@pytest.mark.parametrize("decided", [
    lambda x, _: microbp.elu(1.1, x * 1.875 + 2.125),
    lambda x, _: microbp.leaky_relu(3.9, x),
    lambda x, w: microbp.leaky_relu(3.9, w) * x,
    lambda x, w: microbp.select(1.0, 2.0, x) + microbp.select(-1.0, x, w),
    lambda x, w: microbp.sum([microbp.elu(1.0 + n, x * n) * microbp.elu(2.5, w + n) for n in range(3)]),
    lambda x, w: microbp.select(w, x, x).tanh(),
])  # fmt: skip
def test_a_literal_that_decides_a_branch_leaves_numbers_of_the_right_shape(decided):
    w = Value(0.5)
    error, _ = compared(lambda x: decided(x[0], w), [w], batch(4, 1))
    assert error <= 1e-12


def test_a_group_of_which_one_value_trains_passes_on_what_all_receive():
    frozen, w = Value(0.25), Value(0.5)
    frozen.requires_grad = False
    error, _ = compared(
        lambda x: microbp.select(frozen * 2.0, x[0], x[0]).gelu() + microbp.select(w * 2.0, x[0], x[0]),
        [frozen, w], batch(4, 1),
    )  # fmt: skip
    assert error <= 1e-12


def test_nan_and_infinity_come_out_as_in_the_table():
    w = Value(2.0)
    x = [[1.0], [math.nan], [-math.inf], [math.inf], [-1.0]]
    for rows in (x, *([row] for row in x)):  # in w the derivative of all together is nan
        error, made = compared(lambda x: (w * x[0]).relu() + x[0].sigmoid() + x[0].tanh(), [w], rows)
        assert error <= 1e-12
        assert "np.maximum" in made.source


@at_once([rule.name for rule in TABLE if len(rule.args) == 1 and not rule.over])
def test_saturated_and_special_numbers(name):
    numbers = (-800.0, -709.5, -40.0, -5.5, -1.0, -0.5, 0.0, 0.25, 1.0, 4.0, 9.5, 20.0, 40.0, 300.0)
    x = [[each] for each in (*numbers, math.nan, math.inf, -math.inf)]
    rule, defined = RULES[name], []
    for each in x:
        try:
            record(rule, [Value(each[0])])
        except ArithmeticError:
            continue
        defined.append(each)
    error, _ = compared(lambda sample: record(rule, sample), [], defined)
    assert error <= 1e-12


def test_a_saturated_unit_keeps_the_digits_of_its_gradient():
    w = Value(1.0)
    for name in ("sigmoid", "tanh"):
        program = compiled(lambda sample, name=name: getattr(w * sample[0], name)(), [w], [0.5])
        for at in (3.0, 12.0, 30.0):
            found = program.value_and_grad([[at]], wrt_inputs=True)
            value = Value(at)
            getattr(value, name)().backward()
            assert found.inputs[0, 0] == pytest.approx(value.grad, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("kind", ["matrix", "straight"])
def test_several_outputs_and_values_of_any_role(kind):
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    outputs = [x, w, w * w, w * x, w * x, 1.5]
    program = microbp.compile(outputs, inputs=[x], params=[w], form=kind)
    expected = [[3.0, 2.0, 4.0, 6.0, 6.0, 1.5], [5.0, 2.0, 4.0, 10.0, 10.0, 1.5]]
    assert program([[3.0], [5.0]]).tolist() == expected
    found = microbp.compile(microbp.sum(outputs), inputs=[x], params=[w], form=kind).value_and_grad(
        [[3.0], [5.0]], reduce="sum", wrt_inputs=True
    )
    assert found.costs.tolist() == [22.5, 32.5]
    assert found.gradient.tolist() == [2 * (1.0 + 4.0) + 2 * (3.0 + 5.0)]
    assert found.inputs.tolist() == [[5.0], [5.0]]


def test_unused_inputs_and_parameters_have_gradient_0():
    w = [Value(2.0), Value(3.0)]
    found = compiled(lambda _: w[0] * 3.0, w, [1.0, 1.0]).value_and_grad(np.ones((2, 2)), wrt_inputs=True)
    assert found.costs.tolist() == [6.0, 6.0]
    assert found.gradient.tolist() == [3.0, 0.0]
    assert found.inputs.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("most", [0, 3000])
@pytest.mark.parametrize("frozen", [slice(0, 9), slice(9, 13), slice(2, 11), slice(0, 13)])
def test_frozen_parameters_have_gradient_0(frozen, most, monkeypatch):
    monkeypatch.setattr(matrix, "MANY", most)
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    parameters = net.parameters()
    for each in parameters[frozen]:
        each.requires_grad = False
    error, _ = compared(lambda x: (net(x) - 0.25) ** 2, parameters, batch(3, 2))
    assert error <= 1e-12


def test_a_constant_graph():
    program = compiled(lambda _: [Value(2.0, name="k") * 3.0], [], [1.0])
    assert program([[1.0], [2.0]]).tolist() == [[6.0], [6.0]]
    assert program.value_and_grad([[1.0], [2.0]], wrt_inputs=True).inputs.tolist() == [[0.0], [0.0]]


def test_a_wide_sum_is_one_product():
    w, x = loose(3000), [Value(0.1) for _ in range(3000)]
    total = w[0] * x[0]
    for u, v in zip(w[1:], x[1:], strict=True):
        total = total + u * v
    made = microbp.compile(total.tanh(), inputs=x, params=w, form="matrix")
    assert lines(made, "value") == ["n = len(x)", "z1 = x @ W1.T", "h1 = np.tanh(z1)", "return h1"]
    assert made.arrays == {"W1": (1, 3000)}


def test_a_long_chain_has_no_matrices():
    w = Value(1.0001)

    def build(x):
        y = x[0]
        for _ in range(2000):
            y = (y * w).sin()
        return y

    error, made = compared(build, [w], batch(2, 1))
    assert error <= 1e-12
    assert made.form == "auto"
    assert "4,002 values became" in made.describe()
    assert "lines of straight-line code" in made.describe()


def test_a_sum_of_very_many_arrays_takes_several_lines():
    """Of one formula the syntax tree would be deeper than Python goes."""
    w, v = Value(0.3), Value(0.4)

    def build(x):
        state, states = x[0], []
        for _ in range(250):
            state = (w * state + v * x[1]).tanh() * 0.9 + w * 0.01
            states.append(state)
        return sum(states) + sum(a * b for a, b in pairwise(states))

    x = batch(3, 2)
    made = compiled(build, [w, v], x[0])
    found, costs = made.value_and_grad(x, reduce="sum"), [build([*map(Value, row)]) for row in x]
    microbp.sum(costs).backward()
    assert found.costs == pytest.approx([each.data for each in costs], rel=1e-12)
    assert found.gradient == pytest.approx([w.grad, v.grad], rel=1e-12)
    assert made.form == "matrix"
    assert max(map(len, made.source.splitlines())) < 500


def test_the_source_runs_where_only_numpy_is():
    net = MLP(2, [3, 1], activation="gelu", seed=1)
    x = [Value(0.3), Value(0.4), Value(1.0)]
    cost = (x[2] - net(x[:2])) ** 2 + microbp.max(x)
    made = microbp.compile(cost, inputs=x, params=net.parameters(), form="matrix")
    numbers = made.views(made.parameters).values()
    given = ", ".join(f"np.array({each.tolist()!r})" for each in numbers)
    code = f"{made.source}\nprint(float(value(np.array([[0.3, 0.4, 1.0]]), {given})[0, 0]))"
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert float(ran.stdout) == pytest.approx(cost.data, rel=1e-12)


def test_the_source_is_the_same_in_every_run():
    one, other = (drawn("vectors", 5) for _ in range(2))
    sources = [compiled(each.run, each.params, each.x[0]).source for each in (one, one, other)]
    assert len({*sources}) == 1


@pytest.mark.parametrize("family", [logsumexp, cross_entropy])
@pytest.mark.parametrize("targets", [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
def test_the_softmax_family_keeps_digits_and_infinities(family, targets):
    """Logits that are masked, infinite, far apart or nearly certain, alone and in one batch."""
    inf = math.inf
    logits = [
        [1.0, 2.0, 3.0], [-inf, 2.0, 3.0], [-inf, -inf, 1.0], [inf, 1.0, 2.0], [inf, inf, 2.0],
        [-inf, -inf, -inf], [-inf, inf, inf], [700.0, -700.0, 0.0], [40.0, 0.0, 0.0], [30.0, 0.0, -30.0],
        [1e200, 0.0, -1e200], [500.0, 500.0, 500.0],
    ]  # fmt: skip

    def cost(values):
        return family(values) if family is logsumexp else family(values, targets)

    wanted = []
    for row in logits:
        values = [Value(each) for each in row]
        found = cost(values)
        found.backward()
        wanted.append([found.data, *(each.grad for each in values)])
    x = [Value(0.1), Value(0.2), Value(0.3)]
    made = microbp.compile(cost(x), inputs=x, form="matrix", finite=False)
    batches = [logits, *([row] for row in logits)]
    results = [made.value_and_grad(rows, wrt_inputs=True, reduce="sum") for rows in batches]
    for expected, result in zip([wanted, *([row] for row in wanted)], results, strict=True):
        found = np.column_stack([result.costs, result.inputs])
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-300)


# ---------------------------------------------------------------------------- texts of the table
def code(rule, place, scope):
    found = array_code(rule, place, scope)
    return text(found.code if isinstance(found, Piece) else tree_of(found))


@pytest.mark.parametrize("rule", [rule for rule in TABLE if not rule.over], ids=str)
def test_texts_as_numpy(rule):
    """Each text of the table, and each shorter form of one, is the same function element by element."""
    special = [-math.inf, -750.0, -700.0, -30.0, -5.0, -2.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0, 5.0]
    special += [30.0, 750.0, math.inf, math.nan]
    scope = {arg: Piece(variable(arg)) for arg in (*rule.args, "y")}
    functions = {"np": np, "math": math, "FUNCTIONS": FUNCTIONS}
    for helper in helpers({*HELPERS, *FUNCTIONS}):
        exec(helper, functions)
    places = (None, *range(len(rule.d)))
    texts = [compile(code(rule, place, scope), rule.name, "eval") for place in places]
    defined, wanted = [], []
    for numbers in product(special, repeat=len(rule.args)):
        given = dict(zip(rule.args, numbers, strict=True))
        with suppress(ArithmeticError, ValueError):
            y = rule.y.evaluate(given)
            wanted.append([y, *(each.evaluate({**given, "y": y}) for each in rule.d)])
            defined.append([*numbers, y])
    arrays = dict(zip(scope, np.array(defined).T, strict=True))
    for place, each, want in zip(places, texts, np.array(wanted).T, strict=True):
        with np.errstate(all="ignore"):
            found = np.broadcast_to(eval(each, functions, dict(arrays)), want.shape)
        np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-300, err_msg=str(place))


def test_every_part_stands_in_a_row_of_the_table():
    known = {
        ast.unparse(each)
        for rule in TABLE
        for expression in (rule.y, *rule.d)
        for each in ast.walk(expression.tree)
        if isinstance(each, ast.IfExp)
    }
    assert known >= PARTS.keys()


def test_every_form_is_of_a_row_of_the_table():
    for word, texts in FORMS.items():
        assert len(texts) == 1 + len(RULES[word].d)


def test_a_row_that_several_members_share_is_added_for_each_of_them() -> None:
    """NumPy's add.at loses sums when it spreads a row over places of two axes."""
    v, w, x = Value(0.3, name="v"), Value(-1.1, name="w"), Value(0.5, name="x")
    a, b = v.sin() * 0.5 + 0.5, w.sin() * 0.5 + 0.5
    loss = microbp.sum([microbp.cross_entropy([2.0, w], each) for each in ([a, b], [b, b])])
    program = microbp.compile(loss, inputs=[x], params=[v, w], form="matrix")
    assert "np.add.at" in program.source
    found = program.value_and_grad([[0.5]]).gradient
    np.testing.assert_allclose(found, microbp.grad(loss, [v, w]), rtol=1e-13)


def test_sums_that_are_not_finite_are_those_of_the_eager_engine() -> None:
    """BLAS adds in another order, and gives -inf for what is nan term by term."""
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        n, m, samples = rng.integers(1, 9), rng.integers(1, 9), rng.integers(1, 6)
        w = microbp.array(rng.choice([1e308, -1e308, 1.0, -2.0], (m, n)), "w")
        x, X = microbp.array(np.ones(n), "x"), rng.choice([1.0, 2.0, -2.0, -1.0, 0.5], (samples, n))
        eager = np.array([microbp.data_of(w @ row) for row in X])
        program = microbp.compile(w @ x, inputs=x, params=w, form="matrix", finite=False)
        said = program(X)
        odd = ~np.isfinite(said).all(axis=1)
        np.testing.assert_array_equal(said[odd], eager[odd])
        program = microbp.compile((w @ x)[0], inputs=x, params=w, form="matrix", finite=False)
        costs = program.value_and_grad(X).costs
        odd = ~np.isfinite(costs)
        np.testing.assert_array_equal(costs[odd], eager[odd, 0])
        seen |= {*map(str, eager[~np.isfinite(eager)])}
    assert seen == {"nan", "inf", "-inf"}
