"""Tutorial T3: the general derivation, scalar by scalar over every path, and as matrices.

Names are the tutorial's: z is a neuron's weighted input, a its activation, l the layer, counted from 1
for the inputs. ``w23(4)`` is w_23^(4), which leads from neuron 3 of layer 3 to neuron 2 of layer 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import microbp
from microbp import Graph, Value
from microbp.answers import check_answers
from microbp.check import check_gradients
from microbp.demo.arrays import ROUNDING, beside, measured, relative_difference
from microbp.demo.chain import chains, product
from microbp.demo.report import Comparison, Report
from microbp.nn import MLP
from microbp.optim import SGD
from microbp.training import History, fit

__all__ = ["SIZES", "TITLE", "Net", "Numbers", "descend", "matrix_form", "record", "reproduce"]

TITLE = "The general derivation: a sum over every path, and the matrix form"
TUTORIAL = "the tutorial"

Floats = np.ndarray[Any, np.dtype[np.float64]]

SIZES = (3, 4, 3, 2)
LAYERS = range(2, len(SIZES) + 1)
SEED = 3
INPUTS = (0.9, -0.4, 0.3)
TARGETS = (0.2, 0.8)

#: The full adder: two bits and the carry of the place before; carry and sum.
ADDER_X = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], dtype=float)
ADDER_Y = np.array([[sum(bits) // 2, sum(bits) % 2] for bits in ADDER_X.astype(int).tolist()], dtype=float)
NET_SEED = 5
BATCH_RATE = 4.0
STOCHASTIC_RATE = 1.0
TOLERANCE = 1e-6
COARSE = 1e-4
EPOCHS = 5000


# ----------------------------------------------------------------------------- one net, two programs
class Numbers(NamedTuple):
    """The parameters by layer, as floats or Values: W[l] of shape (n_l, n_(l−1)), b[l] of shape (n_l,)."""

    W: dict[int, Any]
    b: dict[int, Any]


class Net(NamedTuple):
    """The net as recorded Values."""

    J: Value
    W: dict[int, Any]
    b: dict[int, Any]
    z: dict[int, list[Value]]
    a: dict[int, list[Value]]


def numbers() -> Numbers:
    """Weights and biases drawn by the seed, with two decimals, so that they can be written down."""
    rng = np.random.default_rng(SEED)
    return Numbers(
        {k: rng.normal(size=(SIZES[k - 1], SIZES[k - 2])).round(2) for k in LAYERS},
        {k: rng.normal(size=SIZES[k - 1]).round(2) for k in LAYERS},
    )


def parameters(p: Numbers) -> Numbers:
    """The same as arrays of Values, each with its name."""
    made = Numbers(*({k: microbp.array(each) for k, each in held.items()} for held in p))
    for k in LAYERS:
        for (i, j), weight in np.ndenumerate(made.W[k]):
            weight.name = f"w{i + 1}{j + 1}({k})"
        for (i,), bias in np.ndenumerate(made.b[k]):
            bias.name = f"b{i + 1}({k})"
    return made


def record(p: Numbers, cost: Callable[[Sequence[Any]], Value]) -> Net:
    """The net of :func:`parameters` scalar by scalar, all named; ``cost`` makes J of the outputs."""
    z: dict[int, list[Value]] = {}
    a: dict[int, list[Value]] = {1: [Value(x, f"x{j}").detach() for j, x in enumerate(INPUTS, 1)]}
    for k in LAYERS:
        z[k], a[k] = [], []
        for i, (row, bias) in enumerate(zip(p.W[k].tolist(), p.b[k].tolist(), strict=True), 1):
            total = bias
            for w, x in zip(row, a[k - 1], strict=True):
                total = total + w * x
            total.name = f"z{i}({k})"
            z[k].append(total)
            a[k].append(microbp.sigmoid(total))
            a[k][-1].name = f"a{i}({k})"
    J = cost(a[len(SIZES)])
    J.name = "J"
    return Net(J, p.W, p.b, z, a)


def half_square(outputs: Sequence[Any]) -> Value:
    """½‖y − a‖²."""
    J: Value = 0.5 * sum((y - a) ** 2 for y, a in zip(TARGETS, outputs, strict=True))
    return J


def sigmoid(z: Any) -> Any:
    """The activation f, of numbers."""
    return 1.0 / (1.0 + np.exp(-z))


def matrix_form(p: Numbers, x: Any, y: Any) -> dict[str, dict[int, Floats]]:
    """z, a, δ and the gradients W and b of one sample by layer, with NumPy matrices alone."""
    last = len(p.W) + 1
    z: dict[int, Floats] = {}
    a: dict[int, Floats] = {1: np.asarray(x, dtype=float)}
    for k in range(2, last + 1):
        z[k] = p.W[k] @ a[k - 1] + p.b[k]
        a[k] = sigmoid(z[k])
    slope = {k: a[k] * (1.0 - a[k]) for k in z}
    delta = {last: -(np.asarray(y) - a[last]) * slope[last]}
    for k in range(last - 1, 1, -1):
        delta[k] = slope[k] * (p.W[k + 1].T @ delta[k + 1])
    return {"z": z, "a": a, "δ": delta, "W": {k: np.outer(delta[k], a[k - 1]) for k in z}, "b": delta}


# ---------------------------------------------------------------------------------------- the report
def reproduce() -> Report:
    """The derivation in its two forms, the tutorial's slips, and its training."""
    report = Report("T3", TITLE)
    shape = "-".join(map(str, SIZES))
    report.say(
        "The tutorial derives back-propagation for any number of layers: first one weight at a time, as a "
        "sum over every path from the cost J to it, then as matrices. Here both are computed for one "
        f"{shape} net of sigmoids with biases, and both meet the gradients that microbp has recorded. "
        f"Weights and biases are drawn by seed {SEED} and rounded to two decimals; x = {INPUTS}, y = "
        f"{TARGETS}."
    )
    report.say(
        "l counts the layers, from 1 for the inputs; w_ij^(l), here w12(4) and so on, leads from neuron j of "
        "layer l − 1 to neuron i of layer l: row and column of the matrix W^(l)."
    )
    p = numbers()
    net = record(parameters(p), half_square)
    net.J.backward()
    graph = Graph(net.J)
    by_matrices = matrix_form(p, INPUTS, TARGETS)
    _forward(report, net, by_matrices)
    _output(report, graph, by_matrices)
    _paths(report, graph)
    _every_path(report, graph)
    _matrices(report, net, by_matrices)
    _checked(report, net)
    _indices(report, graph, by_matrices)
    _square(report, p, graph, by_matrices)
    _descent(report)
    report.numbers["delta"] = {str(k): by_matrices["δ"][k].tolist() for k in LAYERS}
    report.numbers["gradients"] = {
        name: {str(k): microbp.grad_of(held[k]).tolist() for k in LAYERS}
        for name, held in (("W", net.W), ("b", net.b))
    }
    return report


def _forward(report: Report, net: Net, by_matrices: Mapping[str, Any]) -> None:
    report.heading("1. Forward")
    report.code("z^(l) = W^(l) a^(l−1) + b^(l)     a^(l) = f(z^(l))     J = ½‖y − a^(L)‖²")
    rows: list[tuple[str, Any, Any]] = []
    for k in LAYERS:
        rows.append((f"z^({k})", by_matrices["z"][k], [each.data for each in net.z[k]]))
        rows.append((f"a^({k})", by_matrices["a"][k], [each.data for each in net.a[k]]))
    outputs = by_matrices["a"][len(SIZES)]
    rows.append(("J", 0.5 * float(np.sum((np.array(TARGETS) - outputs) ** 2)), net.J.data))
    beside(report, "Scalar by scalar, and as matrices (tolerance 1e-12)", "matrices", rows)
    report.say(
        "The tutorial prints W^(l) as an n_l × n_l matrix; the product needs n_l × n_(l−1), here "
        + ", ".join(f"{each.shape[0]} × {each.shape[1]}" for each in net.W.values()) + "."
    )  # fmt: skip


def _output(report: Report, graph: Graph, by_matrices: Mapping[str, Any]) -> None:
    last = len(SIZES)
    report.heading(f"2. The output layer: ∂J/∂w11({last})")
    report.say("One path leads from J to it, a product of three factors:")
    [path] = chains(graph, f"w11({last})", [f"a1({last})", f"z1({last})"])
    report.code(" · ".join(map(str, path)))
    y, a, before = TARGETS[0], float(by_matrices["a"][last][0]), float(by_matrices["a"][last - 1][0])
    formulas = {"−(y1 − a1)": -(y - a), "f′(z1) = a1·(1 − a1)": a * (1.0 - a), f"a1({last - 1})": before}
    report.compare(
        "Each factor, and the gradient: by the tutorial's formula, and as recorded",
        "the formula",
        [
            *((f"{factor} = {formula}", x, factor.value)
              for factor, (formula, x) in zip(path, formulas.items(), strict=True)),
            (f"∂J/∂w11({last}) = the product", math.prod(formulas.values()), _grad(graph, f"w11({last})")),
        ],
    )  # fmt: skip


def _grad(graph: Graph, name: str) -> float:
    gradient = graph[name].grad
    assert gradient is not None, f"the backward pass has not reached {name}"
    return gradient


def _stations() -> list[str]:
    return [f"{kind}{i}({k})" for k in LAYERS for kind in "za" for i in range(1, SIZES[k - 1] + 1)]


def _paths(report: Report, graph: Graph) -> None:
    report.heading("3. A hidden layer: ∂J/∂w11(2), a sum over paths")
    found = chains(graph, "w11(2)", _stations())
    report.say(
        f"Neuron 1 of layer 2 feeds each of the {SIZES[2]} neurons of layer 3, each of which feeds both "
        f"outputs: {len(found)} paths, products of {len(found[0])} factors. All have the last two in "
        "common."
    )
    factors = [str(factor) for factor in found[0]]
    report.code(f"one of them:  {' · '.join(factors[:4])}\n              · {' · '.join(factors[4:])}")
    columns = ["∂J/∂a", "f′(z(4))", "w(4)", "f′(z(3))", "w(3)", "f′(z(2))", "x1"]
    report.table(
        "The factors of every path, as recorded, and their product",
        ("through", *(f">{each}" for each in columns), ">product"),
        [
            (_through(path), *(f"{factor.value:+.4f}" for factor in path), f"{product(path):+.9f}")
            for path in found
        ],
    )
    total = math.fsum(map(product, found))
    report.compare("The sum, and the gradient", "paths", [("∂J/∂w11(2)", total, _grad(graph, "w11(2)"))])
    report.numbers["paths to w11(2)"] = [[factor.value for factor in path] for path in found]


def _through(path: Sequence[Any]) -> str:
    """The neurons above layer 2 that a path leads through: ``a1(4) a2(3)``."""
    return " ".join(factor.by for factor in path if factor.by.startswith("a") and "(2)" not in factor.by)


def _every_path(report: Report, graph: Graph) -> None:
    report.heading("4. Every weight and bias, over every path")
    rows, total = [], 0
    for k in LAYERS:
        for kind in ("w", "b"):
            names = [node.name for node in graph if node.name[0] == kind and node.name.endswith(f"({k})")]
            found = {name: chains(graph, name) for name in names}
            sums = {name: math.fsum(map(product, each)) for name, each in found.items()}
            worst = 0.0
            for name, known in sums.items():
                apart = relative_difference([known], [_grad(graph, name)])
                worst = max(worst, apart)
                agree = apart <= ROUNDING
                report.hold(Comparison(f"∂J/∂{name}, all paths", "paths", known, _grad(graph, name), agree))
            [each] = {len(one) for one in found.values()}
            total += each * len(names)
            verdict = "agree" if worst <= ROUNDING else "DISAGREE"
            kinds = "weights" if kind == "w" else "biases"
            rows.append((f"{kinds} of layer {k}", str(len(names)), str(each), f"{worst:.1e}", verdict))
    report.table(
        "Sums over paths, and the gradients (tolerance 1e-12)",
        ("", ">number", ">paths to each", ">worst relative difference", "verdict"),
        rows,
    )
    report.say(
        f"{total} paths in this small net. A layer multiplies their number by its width: with ten layers "
        "of a hundred neurons, inputs included, 10^16 lead to each weight at the bottom. Back-propagation "
        "adds up at each neuron what arrives there, once, and walks on with the sum, which is its δ:"
    )
    report.numbers["paths"] = total


def _matrices(report: Report, net: Net, by_matrices: Mapping[str, Any]) -> None:
    report.heading("5. The matrix form")
    report.code(
        """
        δ^(L) = −(y − a^(L)) ⊙ f′(z^(L))             the output layer
        δ^(l) = f′(z^(l)) ⊙ (W^(l+1))ᵀ δ^(l+1)       each hidden layer, downwards
        ∂J/∂W^(l) = δ^(l) (a^(l−1))ᵀ     ∂J/∂b^(l) = δ^(l)
        """
    )
    rows = []
    for k in reversed(LAYERS):
        rows.append((f"δ^({k}) = ∂J/∂z^({k})", by_matrices["δ"][k], microbp.grad_of(net.z[k])))
        rows.append((f"∂J/∂W^({k})", by_matrices["W"][k], microbp.grad_of(net.W[k])))
        rows.append((f"∂J/∂b^({k})", by_matrices["b"][k], microbp.grad_of(net.b[k])))
    beside(report, "NumPy matrices, and the recorded gradients (tolerance 1e-12)", "matrices", rows)
    report.compare(
        "One weight of each layer",
        "matrices",
        [(f"∂J/∂w11({k})", float(by_matrices["W"][k][0, 0]), net.W[k][0, 0].grad) for k in reversed(LAYERS)],
    )


def _checked(report: Report, net: Net) -> None:
    report.heading("6. Every gradient, checked")
    held = {f"{kind}^({k})": arrays[k] for k in LAYERS for kind, arrays in (("W", net.W), ("b", net.b))}
    again = Numbers(net.W, net.b)
    checked = check_gradients(lambda: record(again, half_square).J, held, names={}, show=False)
    values = iter(checked.rows)
    numerical = {
        name: np.array([next(values).numerical for _ in range(each.size)]) for name, each in held.items()
    }
    gradient = {name: microbp.grad_of(each) for name, each in held.items()}
    measured(report, "Recorded gradients, and numerical ones", gradient, numerical, checked)
    report.operations(net.J)


def _indices(report: Report, graph: Graph, by_matrices: Mapping[str, Any]) -> None:
    last = len(SIZES)
    report.heading("7. Slips in the tutorial: indices, and a lost prime")
    report.say(
        "The tutorial defines w_ij^(l) as the weight from neuron i of layer l − 1 to neuron j of layer l, "
        "and uses the other order, which is that of the matrix, from the hidden layers on. In between it "
        f"prints δ_i a_i for ∂J/∂w_ij. For the weight from neuron 1 of layer {last - 1} to neuron 2 of "
        f"layer {last}, which is w_12 by its definition and w_21 in the matrix:"
    )
    name = f"w21({last})"
    delta, a = by_matrices["δ"][last], by_matrices["a"][last - 1]
    ours = _grad(graph, name)
    readings = {
        "w_12 as defined: δ_j a_i = δ_2 a_1": float(delta[1] * a[0]),
        "w_21, matrix: δ_i a_j = δ_2 a_1": float(delta[1] * a[0]),
        "w_12 as printed: δ_i a_i = δ_1 a_1": float(delta[0] * a[0]),
        "w_12, mixed: δ_i a_j = δ_1 a_2": float(delta[0] * a[1]),
    }
    report.compare(
        f"The readings, and ∂J/∂{name} as recorded",
        "this reading",
        [(reading, known, ours) for reading, known in readings.items()],
        mistakes=list(readings)[2:],
    )
    y, out = np.array(TARGETS), by_matrices["a"][last]
    slipped = 0.5 * float((y[0] - out[0]) ** 2 + (y[1] - out[0]) ** 2)
    wanted = 0.5 * float((y[0] - out[0]) ** 2 + (y[1] - out[1]) ** 2)
    report.say("When it writes the cost of two outputs out, the second term has the index of the first:")
    report.compare(
        "J",
        "as written",
        [
            ("½[(y1 − a1)² + (y2 − a1)²]", slipped, graph.root.data),
            ("½[(y1 − a1)² + (y2 − a2)²]", wanted, graph.root.data),
        ],
        mistakes=["½[(y1 − a1)² + (y2 − a1)²]"],
    )
    k = last - 1
    report.say(
        "And where it differentiates z^(l+1) by z^(l), f stands for f′ (and l − 1 for l + 1); its result has "
        f"the prime again. With and without it, for layer {k}:"
    )
    back = numbers().W[k + 1].T @ by_matrices["δ"][k + 1]
    f, z = by_matrices["a"][k], by_matrices["z"][k]
    lost, kept = f * back, sigmoid(z) * (1.0 - sigmoid(z)) * back
    rows = []
    for i in range(SIZES[k - 1]):
        rows.append((f"f′(z{i + 1}) Σ w δ", float(kept[i]), _grad(graph, f"z{i + 1}({k})")))
        rows.append((f"f(z{i + 1}) Σ w δ", float(lost[i]), _grad(graph, f"z{i + 1}({k})")))
    mistakes = [name for name, *_ in rows if name.startswith("f(")]
    report.compare(f"δ^({k})", "as written", rows, mistakes=mistakes)


def _square(report: Report, p: Numbers, graph: Graph, by_matrices: Mapping[str, Any]) -> None:
    last = len(SIZES)
    report.heading("8. A slip in the tutorial: the square")
    report.say(
        "One line gives the cost as ½‖y − a‖ without the square, the next goes on with it. The two have "
        "other gradients: the length is not its square, and its derivative has ‖y − a‖ below the line."
    )
    unsquared = record(parameters(p), lambda outputs: 0.5 * microbp.sqrt(2.0 * half_square(outputs)))
    unsquared.J.backward()
    norm = float(np.linalg.norm(np.array(TARGETS) - by_matrices["a"][last]))
    name = f"w11({last})"
    printed = float(by_matrices["δ"][last][0] * by_matrices["a"][last - 1][0])
    without = unsquared.W[last][0, 0].grad
    rows = [
        ("printed, ½‖y − a‖²", printed, _grad(graph, name)),
        ("printed, ½‖y − a‖", printed, without),
        ("printed / (2‖y − a‖), ½‖y − a‖", printed / (2.0 * norm), without),
    ]
    report.compare(
        f"∂J/∂{name}: −(y1 − a1) f′(z1) a1({last - 1}) as printed, and as recorded of either cost",
        "the formula",
        rows,
        mistakes=[rows[1][0]],
    )
    report.say(
        "The gradients of the cost with the square, given to microbp.check_answers as claims about the cost "
        f"without it. Their ratio is 2‖y − a‖ = {2.0 * norm:.7f} everywhere:"
    )
    claims = {f"w11({k})": _grad(graph, f"w11({k})") for k in reversed(LAYERS)}
    report.claims(check_answers(unsquared.J, claims, names={}, show=False), mistakes=list(claims))


# ------------------------------------------------------------------------------------------- descent
def descend(p: Numbers, batch: int, rate: float, tolerance: float) -> list[float]:
    """The cost of each epoch of gradient descent on the adder by the matrix form, until it rests.

    The cost is the mean over the samples; each batch moves the parameters by its mean gradient.
    """
    W, b = dict(p.W), dict(p.b)
    costs: list[float] = []
    while len(costs) < EPOCHS and (len(costs) < 2 or abs(costs[-1] - costs[-2]) >= tolerance):
        total = 0.0
        for start in range(0, len(ADDER_X), batch):
            rows = range(start, min(start + batch, len(ADDER_X)))
            each = [matrix_form(Numbers(W, b), ADDER_X[row], ADDER_Y[row]) for row in rows]
            last = max(W)
            total += sum(
                0.5 * float(np.sum((ADDER_Y[row] - one["a"][last]) ** 2))
                for row, one in zip(rows, each, strict=True)
            )
            W = {k: W[k] - rate * sum(one["W"][k] for one in each) / len(each) for k in W}
            b = {k: b[k] - rate * sum(one["b"][k] for one in each) / len(each) for k in b}
        costs.append(total / len(ADDER_X))
    return costs


def _adder() -> MLP:
    sigmoids = ["sigmoid"] * len(LAYERS)
    return MLP(SIZES[0], SIZES[1:], activation=sigmoids, init="he", seed=NET_SEED)


def _numbers_of(net: MLP) -> Numbers:
    neurons = {k: layer.neurons for k, layer in zip(LAYERS, net.layers, strict=True)}
    return Numbers(
        {k: np.array([[w.data for w in each.w] for each in held]) for k, held in neurons.items()},
        {k: np.array([each.b.data for each in held]) for k, held in neurons.items()},
    )


def _train(rate: float, **options: Any) -> tuple[MLP, History]:
    net = _adder()
    history = fit(
        net, ADDER_X, ADDER_Y, loss="half_squared_error", optimiser=SGD(net.named_parameters(), lr=rate),
        epochs=EPOCHS, progress=False, **options,
    )  # fmt: skip
    return net, history


def _stop(
    report: Report, name: str, net: MLP, history: History, tolerance: float, *, learned: bool = True
) -> list[str]:
    """The row of a run, judged: the rule holds at its end and not before; the net adds, or not yet."""
    changes = [abs(b - a) for a, b in itertools.pairwise(history.cost)]
    first = next((place for place, change in enumerate(changes, 2) if change < tolerance), 0)
    by_rule = history.stopped == "tolerance" and first == len(history.cost)
    rule = Comparison(f"{name}: stopping rule", "wanted", first, len(history.cost), by_rule)
    with microbp.no_grad():
        said = np.array([microbp.data_of(net(x)) for x in ADDER_X.tolist()])
    right = int(np.sum((said > 0.5) == (ADDER_Y > 0.5)))
    wanted = "all" if learned else "not all"
    bits = Comparison(f"{name}: right bits", "wanted", wanted, right, (right == ADDER_Y.size) == learned)
    report.hold(rule)
    report.hold(bits)
    return [
        name, str(len(history.cost)), f"{history.cost[-1]:.6f}", f"{changes[-2]:.4e}", f"{changes[-1]:.4e}",
        rule.verdict, f"{right} of {ADDER_Y.size}", bits.verdict,
    ]  # fmt: skip


_STOPPED = (
    "", ">iteration", ">J", ">change before", ">last change", "verdict", ">right bits", "verdict",
)  # fmt: skip


def _descent(report: Report) -> None:
    report.heading("9. Batch and stochastic gradient descent, and when to stop")
    report.say(
        "The net learns to add three bits: 8 samples, outputs carry and sum; weights by He's "
        f"initialisation, seed {NET_SEED}. Batch descent (learning rate {BATCH_RATE}) moves the parameters "
        "once in an iteration, by the mean gradient of all samples; stochastic descent (learning rate "
        f"{STOCHASTIC_RATE}) after each sample, in an order drawn anew for each iteration. The rule is the "
        "tutorial's: stop as soon as the costs of two neighbouring iterations differ by less than a "
        f"tolerance, here {TOLERANCE:g}."
    )
    batch, whole = _train(BATCH_RATE, tolerance=TOLERANCE)
    stochastic, single = _train(STOCHASTIC_RATE, batch_size=1, seed=1, tolerance=TOLERANCE)
    runs = {"batch": (batch, whole), "stochastic": (stochastic, single)}
    marks = [1, 2, 10, 100, 200, 500, 1000, 1500, 2000]
    report.table(
        "J, the mean over the samples",
        (">iteration", *(f">{name}" for name in runs)),
        [
            (str(n), *(f"{h.cost[n - 1]:.6f}" if n <= len(h.cost) else "" for _, h in runs.values()))
            for n in marks
            if any(n <= len(h.cost) for _, h in runs.values())
        ],
    )
    report.table(
        f"Where they stopped: the first change of J below {TOLERANCE:g}, and the change before it",
        _STOPPED,
        [_stop(report, name, net, history, TOLERANCE) for name, (net, history) in runs.items()],
    )
    known = descend(_numbers_of(_adder()), len(ADDER_X), BATCH_RATE, TOLERANCE)
    report.compare(
        "Batch descent by the matrix form in NumPy, and by microbp's fit",
        "matrices",
        [
            *((f"J, iteration {n}", known[n - 1], whole.cost[n - 1])
              for n in (1, 10, 100, 1000) if n <= min(len(known), len(whole.cost))),
            ("iteration at which it stops", str(len(known)), len(whole.cost)),
        ],
    )  # fmt: skip
    report.say(
        f"The rule sees only that the cost rests, not why. With a tolerance of {COARSE:g} the same batch "
        "descent stops on a plateau, before it has learned to add:"
    )
    early, plateau = _train(BATCH_RATE, tolerance=COARSE)
    row = _stop(report, "batch, coarse", early, plateau, COARSE, learned=False)
    report.table(f"Stopped too early: the first change below {COARSE:g}", _STOPPED, [row])
    report.say(
        "For stochastic descent the rule is weaker still: its costs jitter, and two neighbours may be "
        "equal by chance. A cost that has not fallen for many iterations says more (patience, in microbp's"
        " fit)."
    )
    report.numbers["cost at each iteration"] = {name: history.cost for name, (_, history) in runs.items()}
    report.numbers["stopped"] = {
        name: {"iteration": len(h.cost), "why": h.message} for name, (_, h) in runs.items()
    }
