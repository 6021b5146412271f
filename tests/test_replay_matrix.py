"""The matrix form of replay: every recorded graph gives the numbers and the gradients of the eager engine."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import programs

import microbp
from microbp import MLP, Value, array, cross_entropy, dot, logsumexp, softmax
from microbp.losses import l2_penalty
from microbp.record import record
from microbp.replay.function_graph import Captured, Generated, capture
from microbp.replay.matrix import generate, source
from microbp.replay.matrix.build import parsed, text
from microbp.replay.matrix.texts import FORMS, HELPERS, array_tree
from microbp.rules import RULES, TABLE

Build = Callable[[list[Any]], Value]


class Results(NamedTuple):
    value: np.ndarray
    cost: np.ndarray
    parameters: np.ndarray
    inputs: np.ndarray


def replayed(captured: Captured, made: Generated, x: np.ndarray) -> Results:
    """What the generated functions return for a batch."""
    scope: dict[str, Any] = dict(made.constants)
    exec(compile(made.source, "<matrix>", "exec"), scope)
    members = [i for each in made.arrays for i in each.members]
    given = made.views(np.array([captured.numbers[i] for i in members]))
    gradient, again = np.full(len(members), 777.0), np.full(len(members), 777.0)
    with np.errstate(all="ignore"):
        value = scope["value"](x, *given)
        cost, dx = scope["value_and_grad"](x, *given, *made.views(gradient), wrt_x=True)
        same, nothing = scope["value_and_grad"](x, *given, *made.views(again))
    assert nothing is None
    np.testing.assert_array_equal(same, cost)
    parameters = np.full(len(captured.params), np.nan)
    np.testing.assert_array_equal(gradient, again)
    parameters[members] = gradient
    return Results(value, cost, parameters, dx)


def eager(build: Build, parameters: Sequence[Value], x: np.ndarray) -> Results:
    """The same, sample by sample."""
    total, values, inputs = np.zeros(len(parameters)), [], []
    for row in x:
        sample = [Value(float(each)) for each in row]
        for each in parameters:
            each.grad = None
        output = build(sample)
        if isinstance(output, Value):
            output.backward()
        values.append(float(output.data if isinstance(output, Value) else output))
        total += [each.grad or 0.0 for each in parameters]
        inputs.append([each.grad or 0.0 for each in sample])
    return Results(np.array(values)[:, None], np.array(values), total, np.array(inputs))


def worst(found: Results, wanted: Results) -> float:
    """The largest difference, relative to the larger of 1 and the number."""
    differences = [0.0]
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        differ = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        scale = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
        with np.errstate(all="ignore"):
            differences.append(float(np.max(np.where(differ, np.abs(a - b) / scale, 0.0), initial=0.0)))
    return max(differences) if not any(map(math.isnan, differences)) else math.inf


def compared(build: Build, parameters: Sequence[Value], x: Any) -> tuple[float, Generated]:
    x = np.asarray(x, dtype=float)
    sample = [Value(float(each), name=f"x{n}") for n, each in enumerate(x[0])]
    captured = capture(build(sample), sample, parameters)
    made = generate(captured)
    return worst(replayed(captured, made, x), eager(build, parameters, x)), made


def batch(samples: int, inputs: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2.0, 2.0, (samples, inputs))


def weights(name: str, *shape: int) -> Any:
    """An array of parameters named W[0,0], …."""
    return array(np.random.default_rng(len(name) + sum(shape)).normal(0.0, 0.6, shape), name=name)


def loose(count: int) -> list[Value]:
    return [Value(math.cos(1.7 * n)) for n in range(count)]


# ------------------------------------------------------------------------------------ any graph
@settings(max_examples=150)
@given(programs(most=12), st.data())
def test_any_program_of_the_table_as_eager(program, data):
    some = data.draw(st.lists(st.booleans(), min_size=len(program.leaves), max_size=len(program.leaves)))
    if not any(some):
        some[0] = True
    shifts = data.draw(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=2))
    parameters = [Value(leaf) for leaf, moved in zip(program.leaves, some, strict=True) if not moved]

    def build(sample):
        moving, fixed = iter(sample), iter(parameters)
        leaves = [next(moving) if moved else next(fixed) for moved in some]
        return program.run(record, microbp.sin, leaves)

    first = [leaf for leaf, moved in zip(program.leaves, some, strict=True) if moved]
    error, _ = compared(build, parameters, [first, *([leaf + shift for leaf in first] for shift in shifts)])
    assert error <= 1e-12


def wide_graph(random: Any) -> tuple[Callable[[list[Any], list[Value]], Value], int, int]:
    """A random graph of vectors: rows of one operation over neighbours, shared or scattered values.

    Returns a function of inputs and parameters, and how many there are of each.
    """
    inputs, parameters = random.randint(1, 5), random.randint(1, 6)
    steps: list[tuple[str, int, int, list[list[int]]]] = []
    sizes = [inputs, parameters]

    def places(count: int) -> list[int]:
        """Places, counted over all that stands before: neighbours, one place over and over, or any."""
        vector = random.randrange(len(sizes))
        start, size = sum(sizes[:vector]), sizes[vector]
        kind = random.choice(["neighbours", "neighbours", "one", "any", "mixed"])
        if kind == "neighbours" and size >= count:
            first, step = random.randint(0, size - count), random.choice([1, 1, -1])
            return [start + first + n for n in range(count)][::step]
        if kind == "one":
            return [start + random.randrange(size)] * count
        if kind == "mixed":
            return [random.randrange(sum(sizes)) for _ in range(count)]
        return [start + random.randrange(size) for _ in range(count)]

    one = ["tanh", "sigmoid", "relu", "sin", "neg", "softplus", "half", "square", "gelu"]
    two = ["add", "sub", "mul", "maximum", "ratio"]
    for _ in range(random.randint(1, 7)):
        m, k = random.randint(1, 4), random.randint(1, 4)
        rows_of = ["dot", "dot", "layer", "layer", "chain", "sum", "max", "entropy", "outer"]
        name = random.choice([*one, *two, *rows_of])
        if name == "layer":  # every row has the same values on the right
            shared = places(k)
            rows = [places(k) + shared for _ in range(m)]
        elif name == "outer":  # all pairs of rows
            lefts, rights = [places(k) for _ in range(m)], [places(k) for _ in range(random.randint(1, 3))]
            rows = [left + right for right in rights for left in lefts]
        else:
            width = 1 if name in one else 2 if name in two else k if name in ("sum", "max") else 2 * k
            columns = [places(m) for _ in range(width)]
            rows = [list(row) for row in zip(*columns, strict=True)]
        steps.append((name, m, k, rows))
        sizes.append(len(rows))

    def apply(name: str, v: list[Any]) -> Any:
        k = len(v) // 2
        match name:
            case "neg": return -v[0]
            case "half": return 0.5 * v[0] + 1.0
            case "square": return v[0] ** 2 * 0.1
            case "add": return v[0] + v[1]
            case "sub": return v[0] - v[1]
            case "mul": return v[0] * v[1]
            case "maximum": return microbp.maximum(v[0], v[1])
            case "ratio": return v[0] / (v[1] * v[1] + 2.0)
            case "sum": return microbp.sum(v) - v[0] * 0.25
            case "max": return microbp.max(v) + logsumexp(v)
            case "entropy": return cross_entropy(v[:k], [microbp.sin(each) for each in v[k:]])
            case "dot" | "layer" | "outer": return dot(v[:k], v[k:], 0.5)
            case "chain":
                total = v[0] * v[k]
                for w, x in zip(v[1:k], v[k + 1 :], strict=True):
                    total = total - w * x
                return total
        return getattr(microbp, name)(v[0])

    def build(sample: list[Any], weights: list[Value]) -> Value:
        values: list[Any] = [*sample, *weights]
        for name, _, _, rows in steps:
            made = [microbp.sin(apply(name, [values[n] for n in row])) for row in rows]
            values += made
        return dot(values[-3:], values[-3:]) + microbp.sum(values) * 0.5

    return build, inputs, parameters


@settings(max_examples=250)
@given(st.integers(0, 2**32))
def test_any_graph_of_rows_as_eager(seed):
    error, _ = rows_compared(seed)
    assert error <= 1e-12


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_table_is_the_same(seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "MANY", 0)
        error, made = rows_compared(seed)
    assert error <= 1e-12
    assert "a table of" in made.description


def rows_compared(seed: int) -> tuple[float, Generated]:
    random = Random(seed)  # noqa: S311
    build, inputs, count = wide_graph(random)
    parameters = list(weights("w", count)) if random.random() < 0.5 else loose(count)
    return compared(lambda sample: build(sample, parameters), parameters, batch(3, inputs))


# ------------------------------------------------------------------------------- planted errors
@pytest.mark.parametrize(("wrong", "right"), [
    ("np.cos(", "1.0001 * np.cos("), (".sum(axis=0", "[:1].sum(axis=0"), ("np.sign(", "np.abs("),
    ("delta2 @ W2", "delta2 @ W2[:, ::-1]"), ("0.1 * n", "0.1"),
])  # fmt: skip
def test_the_comparison_sees_a_planted_error(wrong, right):
    net = MLP(2, [3, 3], activation=["relu", "sin"], seed=3)
    parameters, x = net.parameters(), batch(4, 2)

    def build(sample):
        return microbp.sum(net(sample)) + l2_penalty(parameters, 0.1)

    sample = [Value(0.1), Value(0.2)]
    captured = capture(build(sample), sample, parameters)
    made = generate(captured)
    assert worst(replayed(captured, made, x), eager(build, parameters, x)) <= 1e-12
    before, after = made.source.split("def value_and_grad")
    assert wrong in after
    planted = made._replace(source=f"{before}def value_and_grad{after.replace(wrong, right)}")
    assert worst(replayed(captured, planted, x), eager(build, parameters, x)) > 1e-6


# ------------------------------------------------------------------------------------ known nets
def lines(made: Generated, function: str = "value_and_grad") -> list[str]:
    """The statements of a function, without comments."""
    body = made.source.split(f"def {function}(")[1].split("\n\n\n")[0].splitlines()[1:]
    return [line.split("  # ")[0].strip() for line in body]


def test_a_net_becomes_the_matrices_of_its_layers():
    net = MLP(4, [3, 2], activation="tanh", seed=1)
    error, made = compared(lambda x: cross_entropy(net(x[:4]), x[4:]), net.parameters(), batch(5, 6))
    assert error <= 1e-12
    assert [(each.name, each.shape) for each in made.arrays] == [
        ("W1", (3, 4)), ("b1", (3,)), ("W2", (2, 3)), ("b2", (2,)),
    ]  # fmt: skip
    code = lines(made)
    assert code[1:4] == ["z1 = x[:, 0:4] @ W1.T + b1", "h1 = np.tanh(z1)", "z2 = h1 @ W2.T + b2"]
    backward = code[code.index("costs = v1[:, 0]") + 2 : code.index("dx = None")]
    assert backward == [
        "delta1 = (delta2 @ W2) * d_tanh(z1, h1)",
        "np.matmul(delta1.T, x[:, 0:4], out=dW1)",
        "delta1.sum(axis=0, out=db1)",
        "np.matmul(delta2.T, h1, out=dW2)",
        "delta2.sum(axis=0, out=db2)",
    ]
    assert code[-4:-1] == ["dx = np.zeros((n, 6))", "dx[:, 4:6] += -z2", "dx[:, 0:4] += delta1 @ W1"]


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
    made = generate(capture(cost, x, w.ravel().tolist(), names))
    assert lines(made)[1:5] == [
        "z = x @ W.T", "h = np.tanh(z)", "v1 = h[:, 0:1] * h[:, 1:2]", "cost = 2.0 * v1",
    ]  # fmt: skip
    assert "  # z[0], z[1] = Σ\n" in made.source
    assert "  # ∂cost/∂(z[0], z[1])\n" in made.source
    assert "  # ∂cost/∂W, summed over the batch\n" in made.source
    assert made.description.splitlines() == [
        "13 scalars became 4 array operations",
        "  z (n, 2): z[0], z[1] = Σ",
        "  h (n, 2): h1, h2 = tanh",
        "  v1 (n, 1): v10 = mul",
        "  cost (n, 1): cost = mul",
    ]


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
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("names", ["W1[{},{}] W2[{}] b1[{}] b2", "", "p.{}.{} q.{} b.{} c"])
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
            assert {each.name for each in made.arrays} == {"W1", "b1", "W2", "b2"}
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
    assert lines(made)[2].startswith("z1 = (rows1.reshape(-1, 9) @ K.reshape(2, 9).T)")


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
    assert [each.name for each in made.arrays] == ["alpha", "beta"]


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
    error, made = compared(lambda x: (w * x[0]).relu() + x[0].sigmoid() + x[0].tanh(), [w], x)
    assert error <= 1e-12
    assert "np.maximum" in made.source


@pytest.mark.parametrize("name", [rule.name for rule in TABLE if len(rule.args) == 1 and not rule.over])
def test_saturated_and_special_numbers(name):
    numbers = (-800.0, -709.5, -40.0, -5.5, -1.0, -0.5, 0.0, 0.25, 1.0, 4.0, 9.5, 20.0, 40.0, 300.0)
    x = [[each] for each in numbers]
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
        sample = [Value(0.5)]
        captured = capture(getattr(w * sample[0], name)(), sample, [w])
        for at in (3.0, 12.0, 30.0):
            found = replayed(captured, generate(captured), np.array([[at]]))
            value = Value(at)
            getattr(value, name)().backward()
            assert found.inputs[0, 0] == pytest.approx(value.grad, rel=1e-12, abs=0.0)


def test_several_outputs_and_values_of_any_role():
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    captured = capture([x, w, w * w, w * x, w * x, 1.5], [x], [w])
    found = replayed(captured, generate(captured), np.array([[3.0], [5.0]]))
    assert found.value.tolist() == [[3.0, 2.0, 4.0, 6.0, 6.0, 1.5], [5.0, 2.0, 4.0, 10.0, 10.0, 1.5]]
    assert found.cost.tolist() == [22.5, 32.5]
    assert found.parameters.tolist() == [2 * (1.0 + 4.0) + 2 * (3.0 + 5.0)]
    assert found.inputs.tolist() == [[5.0], [5.0]]


def test_unused_inputs_and_parameters_have_gradient_0():
    w, x = [Value(2.0), Value(3.0)], [Value(1.0), Value(1.0)]
    captured = capture(w[0] * 3.0, x, w)
    found = replayed(captured, generate(captured), np.ones((2, 2)))
    assert found.cost.tolist() == [6.0, 6.0]
    assert found.parameters.tolist() == [6.0, 0.0]
    assert found.inputs.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("most", [0, 3000])
@pytest.mark.parametrize("frozen", [slice(0, 9), slice(9, 13), slice(2, 11), slice(0, 13)])
def test_frozen_parameters_have_gradient_0(frozen, most, monkeypatch):
    monkeypatch.setattr(source, "MANY", most)
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    parameters = net.parameters()
    for each in parameters[frozen]:
        each.requires_grad = False
    error, _ = compared(lambda x: (net(x) - 0.25) ** 2, parameters, batch(3, 2))
    assert error <= 1e-12


def test_a_constant_graph():
    x = Value(1.0)
    captured = capture([Value(2.0, name="k") * 3.0], [x], [])
    found = replayed(captured, generate(captured), np.ones((2, 1)))
    assert found.value.tolist() == [[6.0], [6.0]]
    assert found.inputs.tolist() == [[0.0], [0.0]]


def test_a_wide_sum_is_one_product():
    w, x = loose(3000), [Value(0.1) for _ in range(3000)]
    total = w[0] * x[0]
    for u, v in zip(w[1:], x[1:], strict=True):
        total = total + u * v
    made = generate(capture(total.tanh(), x, w))
    assert lines(made, "value") == ["n = len(x)", "z1 = x @ W1.T", "h1 = np.tanh(z1)", "return h1"]
    assert made.arrays[0].shape == (1, 3000)


def test_a_long_chain_is_a_table():
    w = Value(1.0001)

    def build(x):
        y = x[0]
        for _ in range(2000):
            y = (y * w).sin()
        return y

    error, made = compared(build, [w], batch(2, 1))
    assert error <= 1e-12
    assert made.description == "4,002 scalars became a table of 4,000 array operations"
    assert len(made.source) < 5000


def test_a_sum_of_very_many_arrays_takes_several_lines():
    """Of one formula the syntax tree would be deeper than Python goes."""
    w, v = Value(0.3), Value(0.4)

    def build(x):
        state, states = x[0], []
        for _ in range(500):
            state = (w * state + v * x[1]).tanh() * 0.9 + w * 0.01
            states.append(state)
        return sum(states) + sum(a * b for a, b in pairwise(states))

    error, made = compared(build, [w, v], batch(3, 2))
    assert error <= 1e-12
    assert "table" not in made.description
    assert max(map(len, made.source.splitlines())) < 500


def test_the_source_runs_where_only_numpy_is():
    net = MLP(2, [3, 1], activation="gelu", seed=1)
    x = [Value(0.3), Value(0.4), Value(1.0)]
    cost = (x[2] - net(x[:2])) ** 2 + microbp.max(x)
    captured = capture(cost, x, net.parameters())
    made = generate(captured)
    assert not made.constants
    numbers = [np.reshape([captured.numbers[i] for i in each.members], each.shape) for each in made.arrays]
    given = ", ".join(f"np.array({each.tolist()!r})" for each in numbers)
    code = f"{made.source}\nprint(float(value(np.array([[0.3, 0.4, 1.0]]), {given})[0, 0]))"
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert float(ran.stdout) == pytest.approx(cost.data, rel=1e-12)


def test_the_source_is_the_same_in_every_run():
    build, inputs, count = wide_graph(Random(5))  # noqa: S311
    parameters = loose(count)
    x = [Value(0.1) for _ in range(inputs)]
    assert generate(capture(build(x, parameters), x, parameters)) == generate(
        capture(build(x, parameters), x, parameters)
    )


# ---------------------------------------------------------------------------- texts of the table
@pytest.mark.parametrize("rule", [rule for rule in TABLE if not rule.over], ids=str)
def test_texts_as_numpy(rule):
    """Each text of the table, and each shorter form of one, is the same function element by element."""
    special = [-math.inf, -750.0, -700.0, -30.0, -5.0, -2.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0, 5.0]
    special += [30.0, 750.0, math.inf, math.nan]
    scope = {name: parsed(name) for name in (*rule.args, "y")}
    functions = {"np": np, "math": math}
    for helper in HELPERS.values():
        exec(helper, functions)
    for numbers in product(special, repeat=len(rule.args)):
        given = dict(zip(rule.args, numbers, strict=True))
        try:
            y = rule.y.evaluate(given)
            wanted = [y, *(each.evaluate({**given, "y": y}) for each in rule.d)]
        except (ArithmeticError, ValueError):
            continue
        arrays = {name: np.array([each]) for name, each in {**given, "y": y}.items()}
        for expression, want in zip((rule.y, *rule.d), wanted, strict=True):
            with np.errstate(all="ignore"):
                found = eval(text(array_tree(expression, scope)), functions, dict(arrays))
            near = pytest.approx(want, rel=1e-12, abs=1e-300, nan_ok=True)
            assert np.broadcast_to(found, 1)[0] == near, (str(expression), given)


def test_every_form_is_of_a_text_in_the_table():
    texts = {str(each) for rule in TABLE for each in (rule.y, *rule.d)}
    assert FORMS.keys() <= texts
