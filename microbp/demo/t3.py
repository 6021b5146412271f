"""Tutorial T3: the general derivation, scalar by scalar over every path, and as matrices.

Names are the tutorial's: z is a neuron's weighted input, a its activation, l the layer, counted from 1
for the inputs. ``w23(4)`` is w_23^(4), which leads from neuron 3 of layer 3 to neuron 2 of layer 4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import microbp
from microbp import Graph, Value, data_of, grad_of
from microbp.answers import check_answers
from microbp.check import check_gradients
from microbp.demo.report import Tutorial, by_array
from microbp.nn import MLP
from microbp.optim import SGD
from microbp.text import Table
from microbp.training import History, fit

__all__ = ["SIZES", "TUTORIAL", "Numbers", "descend", "matrix_form", "record"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

SIZES = (3, 4, 3, 2)
LAST = len(SIZES)
LAYERS = range(2, LAST + 1)
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
EPOCHS = 5000


# ----------------------------------------------------------------------------- one net, two programs
class Numbers(NamedTuple):
    """The parameters by layer, as floats or Values: W[l] of shape (n_l, n_(l−1)), b[l] of shape (n_l,)."""

    W: dict[int, Any]
    b: dict[int, Any]


def numbers() -> Numbers:
    """Weights and biases drawn by the seed, with two decimals, so that they can be written down."""
    rng = np.random.default_rng(SEED)
    return Numbers(
        {k: rng.normal(size=(SIZES[k - 1], SIZES[k - 2])).round(2) for k in LAYERS},
        {k: rng.normal(size=SIZES[k - 1]).round(2) for k in LAYERS},
    )


def parameters(p: Numbers) -> Numbers:
    """The same as arrays of Values."""
    return Numbers(*({k: microbp.array(each) for k, each in held.items()} for held in p))


def sigmoid(z: Any) -> Any:
    """The activation f, of arrays of floats."""
    return 1.0 / (1.0 + np.exp(-z))


def forward(p: Numbers, x: Any, f: Callable[[Any], Any]) -> tuple[dict[int, Any], dict[int, Any]]:
    """The z and a of each layer: of arrays of floats, or of Values, which record it scalar by scalar."""
    z, a = {}, {1: np.asarray(x)}
    for k in LAYERS:
        z[k] = p.W[k] @ a[k - 1] + p.b[k]
        a[k] = f(z[k])
    return z, a


def record(p: Numbers, cost: Callable[[Any], Any]) -> dict[str, Any]:
    """The net of :func:`parameters` as Values by layer, all named; ``cost`` makes J of its outputs."""
    z, a = forward(p, [Value(x, f"x{j}").detach() for j, x in enumerate(INPUTS, 1)], microbp.sigmoid)
    net = {"W": p.W, "b": p.b, "z": z, "a": a, "J": cost(a[LAST])}
    for kind in "Wbza":
        for k in LAYERS:
            for place, value in np.ndenumerate(net[kind][k]):
                value.name = f"{kind.lower()}{''.join(str(i + 1) for i in place)}({k})"
    net["J"].name = "J"
    return net


def half_square(outputs: Any) -> Any:
    """½‖y − a‖²."""
    return 0.5 * sum((y - a) ** 2 for y, a in zip(TARGETS, outputs, strict=True))


def matrix_form(p: Numbers, x: Any, y: Any) -> dict[str, Any]:
    """z, a, δ and the gradients W and b of one sample by layer, with NumPy matrices alone."""
    z, a = forward(p, x, sigmoid)
    slope = {k: a[k] * (1.0 - a[k]) for k in LAYERS}
    delta = {LAST: -(np.asarray(y) - a[LAST]) * slope[LAST]}
    for k in reversed(LAYERS[:-1]):
        delta[k] = slope[k] * (p.W[k + 1].T @ delta[k + 1])
    return {"z": z, "a": a, "δ": delta, "W": {k: np.outer(delta[k], a[k - 1]) for k in z}, "b": delta}


# ---------------------------------------------------------------------------------------- the figures
def figures() -> dict[str, Any]:
    """The figures of the document, in its order."""
    p = numbers()
    net = record(parameters(p), half_square)
    net["J"].backward()
    graph = Graph(net["J"])
    known = matrix_form(p, INPUTS, TARGETS)
    delta, a = known["δ"], known["a"]
    grads = {kind: {k: grad_of(net[kind][k]) for k in LAYERS} for kind in "Wbz"}
    titles = {"z": "δ^({0}) = ∂J/∂z^({0})", "W": "∂J/∂W^({})", "b": "∂J/∂b^({})"}
    held = {f"{kind}^({k})": net[kind][k] for k in LAYERS for kind in "Wb"}
    again = Numbers(net["W"], net["b"])
    checked = check_gradients(lambda: record(again, half_square)["J"], held, names={}, show=False)
    k = LAST - 1
    w21, before, back = grads["W"][LAST][1, 0], a[k], p.W[LAST].T @ delta[LAST]
    readings = {
        "w_12 as defined: δ_j a_i = δ_2 a_1": delta[LAST][1] * before[0],
        "w_21, matrix: δ_i a_j = δ_2 a_1": delta[LAST][1] * before[0],
        "w_12 as printed: δ_i a_i = δ_1 a_1": delta[LAST][0] * before[0],
        "w_12, mixed: δ_i a_j = δ_1 a_2": delta[LAST][0] * before[1],
    }
    costs = {"½[(y1 − a1)² + (y2 − a1)²]": a[LAST][[0, 0]], "½[(y1 − a1)² + (y2 − a2)²]": a[LAST]}
    primes = {"f′(z{}) Σ w δ": a[k] * (1.0 - a[k]) * back, "f(z{}) Σ w δ": a[k] * back}
    made = {
        "forward": [
            *((f"{kind}^({k})", known[kind][k], data_of(net[kind][k])) for k in LAYERS for kind in "za"),
            ("J", half_square(a[LAST]), net["J"].data),
        ],
        "output": microbp.explain(graph, f"w11({LAST})"),
        "matrices": [
            (title.format(k), known["W" if kind == "W" else "δ"][k], grads[kind][k])
            for k in reversed(LAYERS) for kind, title in titles.items()
        ],
        "gradients": by_array(checked, held),
        "operations": net["J"],
        "readings": [(reading, float(x), float(w21)) for reading, x in readings.items()],
        "cost": [(told, float(half_square(x)), net["J"].data) for told, x in costs.items()],
        "prime": [
            (told.format(i + 1), float(x[i]), float(grads["z"][k][i]))
            for i in range(SIZES[k - 1]) for told, x in primes.items()
        ],
    }  # fmt: skip
    return made | _every_path(graph, net, grads) | _square(p, grads, known) | _descent()


def _every_path(graph: Graph, net: dict[str, Any], grads: dict[str, Any]) -> dict[str, Any]:
    """The paths to one weight, and the sums over the paths to each parameter."""
    total, rows = 0, []
    for k in LAYERS:
        for kind, told in (("W", "weights"), ("b", "biases")):
            summed = np.zeros(grads[kind][k].shape)
            for place, value in np.ndenumerate(net[kind][k]):
                found = microbp.paths(graph, value.name, k=100)
                summed[place] = sum(row.gradient for row in found.rows)
                total += found.count
            rows.append((f"{told} of layer {k}", summed, grads[kind][k]))
    six = microbp.paths(graph, "w11(2)", k=100)
    return {
        "six": six.count, "count": total, "paths": six.table(), "every": rows,
        "sum": [("∂J/∂w11(2)", sum(row.gradient for row in six.rows), float(grads["W"][2][0, 0]))],
    }  # fmt: skip


def _square(p: Numbers, grads: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The cost without its square, and the gradients of the other as claims about it."""
    unsquared = record(parameters(p), lambda outputs: 0.5 * microbp.sqrt(2.0 * half_square(outputs)))
    unsquared["J"].backward()
    ratio = 2.0 * float(np.linalg.norm(np.array(TARGETS) - known["a"][LAST]))
    printed = float(known["W"][LAST][0, 0])
    without = unsquared["W"][LAST][0, 0].grad
    claims = {f"w11({k})": float(grads["W"][k][0, 0]) for k in reversed(LAYERS)}
    return {
        "ratio": ratio,
        "square": [
            ("printed, ½‖y − a‖²", printed, claims[f"w11({LAST})"]),
            ("printed, ½‖y − a‖", printed, without),
            ("printed / (2‖y − a‖), ½‖y − a‖", printed / ratio, without),
        ],
        "claims": check_answers(unsquared["J"], claims, names={}, show=False),
    }


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
            x, y = ADDER_X[start : start + batch], ADDER_Y[start : start + batch]
            each = [matrix_form(Numbers(W, b), *sample) for sample in zip(x, y, strict=True)]
            total += sum(
                0.5 * float(np.sum((t - one["a"][LAST]) ** 2)) for t, one in zip(y, each, strict=True)
            )
            W = {k: W[k] - rate * sum(one["W"][k] for one in each) / len(each) for k in W}
            b = {k: b[k] - rate * sum(one["b"][k] for one in each) / len(each) for k in b}
        costs.append(total / len(ADDER_X))
    return costs


def _adder() -> MLP:
    return MLP(SIZES[0], SIZES[1:], activation=["sigmoid"] * len(LAYERS), init="he", seed=NET_SEED)


def _numbers_of(net: MLP) -> Numbers:
    neurons = {k: layer.neurons for k, layer in zip(LAYERS, net.layers, strict=True)}
    return Numbers(
        {k: np.array([[w.data for w in each.w] for each in held]) for k, held in neurons.items()},
        {k: np.array([each.b.data for each in held]) for k, held in neurons.items()},
    )


def _train(rate: float, **options: Any) -> tuple[History, int]:
    """A run until the rule stops it, and how many of the bits the net then adds rightly."""
    net = _adder()
    history = fit(
        net, ADDER_X, ADDER_Y, loss="half_squared_error", optimiser=SGD(net.named_parameters(), lr=rate),
        epochs=EPOCHS, progress=False, tolerance=TOLERANCE, **options,
    )  # fmt: skip
    with microbp.no_grad():
        said = np.array([data_of(net(x)) for x in ADDER_X.tolist()])
    return history, int(np.sum((said > 0.5) == (ADDER_Y > 0.5)))


def _descent() -> dict[str, Any]:
    """Batch and stochastic descent until the rule stops them, and batch descent in NumPy."""
    runs = {"batch": _train(BATCH_RATE), "stochastic": _train(STOCHASTIC_RATE, batch_size=1, seed=1)}
    judged = []
    for name, (history, right) in runs.items():
        changes = [abs(b - a) for a, b in itertools.pairwise(history.cost)]
        first = next((place for place, each in enumerate(changes, 2) if each < TOLERANCE), 0)
        judged += [
            (f"{name}: stopped by", "tolerance", str(history.stopped)),
            (f"{name}: stopping rule", str(first), len(history.cost)),
            (f"{name}: right bits", str(ADDER_Y.size), right),
        ]
    whole, single = (history.cost for history, _ in runs.values())
    marks = [n for n in (1, 2, 10, 100, 200, 500, 1000, 1500, 2000) if n <= max(len(whole), len(single))]
    known = descend(_numbers_of(_adder()), len(ADDER_X), BATCH_RATE, TOLERANCE)
    shared = [n for n in (1, 10, 100, 1000) if n <= min(len(known), len(whole))]
    return {
        "falling": Table(
            "J, the mean over the samples", (">iteration", ">batch", ">stochastic"),
            tuple((str(n), *(f"{costs[n - 1]:.6f}" if n <= len(costs) else "" for costs in (whole, single)))
                  for n in marks),
        ),
        "judged": judged,
        "descent": [
            *((f"J, iteration {n}", known[n - 1], whole[n - 1]) for n in shared),
            ("iteration at which it stops", str(len(known)), len(whole)),
        ],
        "iterations": len(whole),
        "costs": {"batch": whole, "stochastic": single},
    }  # fmt: skip


TUTORIAL = Tutorial(
    "T3", "The general derivation: a sum over every path, and the matrix form",
    "the gradients of a 3-4-3-2 net over its {count} paths and as matrices; a net that learns to add three "
    "bits in {iterations} iterations",
    figures,
)  # fmt: skip
