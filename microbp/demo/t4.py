"""Tutorial T4: the 2-2-2 net, its gradients factor by factor and path by path, 10,000 updates.

The tutorial derives the gradients and links to a worked example with the same net and numbers: M.
Mazur, "A Step by Step Backpropagation Example" (2015). Names here are the example's; the tutorial
writes J for E, a for h, and counts from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import microbp
from microbp import Graph, UndefinedOperation, Value, group
from microbp.demo.report import Tutorial
from microbp.text import Table

__all__ = ["TUTORIAL", "by_hand", "network", "train", "variables"]

START = {
    "w1": 0.15, "w2": 0.20, "w3": 0.25, "w4": 0.30,
    "w5": 0.40, "w6": 0.45, "w7": 0.50, "w8": 0.55,
    "b1": 0.35, "b2": 0.60,
}  # fmt: skip
INPUTS = {"i1": 0.05, "i2": 0.10}
TARGETS = {"t1": 0.01, "t2": 0.99}
RATE = 0.5
UPDATES = 10_000
WEIGHTS = [name for name in START if name.startswith("w")]
OUTPUTS = ("E", "o1", "o2")
#: What of a derivation the example prints: ∂E/∂o1 and so on.
FACTORS = [
    ("E", "o1"), ("E", "net_o1"), ("E", "w5"), ("E_o1", "h1"), ("E_o2", "h1"), ("E", "h1"), ("h1", "net_h1"),
    ("E", "w1"),
]  # fmt: skip


# ------------------------------------------------------------------------------------------- the net
def network(p: Mapping[str, Any]) -> dict[str, Any]:
    """Every quantity of the net by its name, E last; of Values a graph, of numbers numbers."""
    v = dict(p)
    for unit, weights, inputs, bias in (
        ("h1", ["w1", "w2"], ["i1", "i2"], "b1"), ("h2", ["w3", "w4"], ["i1", "i2"], "b1"),
        ("o1", ["w5", "w6"], ["h1", "h2"], "b2"), ("o2", ["w7", "w8"], ["h1", "h2"], "b2"),
    ):  # fmt: skip
        with group(unit):
            net = microbp.dot([v[name] for name in weights], [v[name] for name in inputs], v[bias])
            v[f"net_{unit}"], v[unit] = net, microbp.sigmoid(net)
    for error, target, output in (("E_o1", "t1", "o1"), ("E_o2", "t2", "o2")):
        with group(error):
            v[error] = 0.5 * (v[target] - v[output]) ** 2
    v["E"] = v["E_o1"] + v["E_o2"]
    return {name: each for name, each in v.items() if name not in p}


def variables() -> dict[str, Value]:
    """The weights and biases as named Values, the inputs and targets as named constants."""
    constants = {name: Value(x, name).detach() for name, x in {**INPUTS, **TARGETS}.items()}
    return {name: Value(x, name) for name, x in START.items()} | constants


def train(updated: Iterable[str], updates: int) -> list[dict[str, float]]:
    """Gradient descent by the engine's gradients: all numbers before each update and last.

    ``updated`` names the parameters that learn.
    """
    p = variables()
    learning = [p[name] for name in updated]
    history = []
    for count in range(updates + 1):
        net = network(p)
        history.append({name: each.data for name, each in {**p, **net}.items()})
        if count < updates:
            for parameter, gradient in zip(learning, microbp.grad(net["E"], learning), strict=True):
                parameter.data -= RATE * gradient
    return history


def by_hand(p: Mapping[str, float], *, early: bool = False) -> dict[str, float]:
    """The gradients of the weights as a program without an engine computes them, in plain floats.

    With ``early`` the output weights are updated before the hidden layer's gradients are computed
    from them: a common mistake.
    """
    v = network(p)
    d1 = -(p["t1"] - v["o1"]) * v["o1"] * (1 - v["o1"])
    d2 = -(p["t2"] - v["o2"]) * v["o2"] * (1 - v["o2"])
    g = {"w5": d1 * v["h1"], "w6": d1 * v["h2"], "w7": d2 * v["h1"], "w8": d2 * v["h2"]}
    w = {name: p[name] - (RATE * g[name] if early else 0.0) for name in g}
    d3 = (d1 * w["w5"] + d2 * w["w7"]) * v["h1"] * (1 - v["h1"])
    d4 = (d1 * w["w6"] + d2 * w["w8"]) * v["h2"] * (1 - v["h2"])
    return {
        "w1": d3 * p["i1"], "w2": d3 * p["i2"], "w3": d4 * p["i1"], "w4": d4 * p["i2"], **g,
    }  # fmt: skip


def _descend(*, early: bool) -> dict[int, dict[str, float]]:
    """Training by gradients computed by hand: the numbers of the net at first, after 1 update, and last."""
    p = {**START, **INPUTS, **TARGETS}
    seen = {}
    for count in range(UPDATES + 1):
        if count in (0, 1, UPDATES):
            seen[count] = network(p)
        for name, gradient in by_hand(p, early=early).items():
            p[name] -= RATE * gradient
    return seen


# ------------------------------------------------------------------------------------------- the figures
def figures() -> dict[str, Any]:
    """The figures of the document, in its order."""
    p = variables()
    before = microbp.record_sites()  # the page shows the line of each operation
    net = network(p)
    microbp.record_sites(before)
    for name, value in net.items():
        value.name = name
    loss, v = net["E"], p | net
    loss.backward()
    graph = Graph(loss)
    grad = {name: microbp.grad(loss, p[name]) for name in START}
    weights, both = train(WEIGHTS, UPDATES), train(START, UPDATES)
    early = _descend(early=True)  # as the example, which updates w5 … w8 before it needs them
    marks = [n for n in (0, 1, 10, 100, 1_000) if n < UPDATES] + [UPDATES]

    def ends(history: Any, mark: str = "") -> dict[str, float]:
        times = {"at the start": 0, "after 1 update": 1, "after 10,000": UPDATES}
        return {f"{name} {when}{mark}": history[n][name] for when, n in times.items() for name in OUTPUTS}

    claims = by_hand({**START, **INPUTS, **TARGETS}, early=True)
    claims = {name: claims[name] for name in ("w1", "w5", "w6", "w7", "w8")}
    return _misprint(net["net_h1"].data) | {
        "graph": graph,
        "rate": RATE,
        "forward": {name: each.data for name, each in net.items()},
        "w5": microbp.explain(graph, "w5", rate=RATE),
        "w1": microbp.explain(graph, "w1", rate=RATE),
        "backward": {f"∂{of}/∂{by}": microbp.grad(v[of], v[by]) for of, by in FACTORS},
        "gradients": microbp.check_gradients(loss, [p[name] for name in START], names={}, show=False),
        "operations": loss,
        "updated": {name: START[name] - RATE * grad[name] for name in WEIGHTS},
        "start": weights[0]["E"], "end": weights[-1]["E"],
        "falling": Table(
            "E as it falls", (">updates", ">weights learn", ">weights and biases learn"),
            tuple((f"{n:,}", f"{weights[n]['E']:.9f}", f"{both[n]['E']:.9f}") for n in marks),
        ),
        "weights": ends(weights), "biases": ends(both, ", biases too"), "early": ends(early, ", early"),
        "plain": [("E after 10,000", _descend(early=False)[UPDATES]["E"], weights[-1]["E"])],
        "digits": dict.fromkeys(("E as printed", "E without the 1"), early[UPDATES]["E"]),
        "claims": microbp.check_answers(loss, claims, learning_rate=RATE, names={}, show=False),
        "gradients at the start": grad, "after the last update": weights[-1],
    }  # fmt: skip


def _misprint(net_h1: float) -> dict[str, Any]:
    """The tutorial's σ, with a wrong sign."""
    z = Value(net_h1, name="z")
    plus, minus = 1.0 / (1.0 + microbp.exp(-z)), 1.0 / (1.0 - microbp.exp(-z))
    y = minus.data
    try:
        refused = f"it has the value {1.0 / (1.0 - microbp.exp(-Value(0.0, name='z')))}"
    except UndefinedOperation as error:
        refused = str(error).partition(" [")[0]  # without the line of this file
    return {
        "sigmoid": {"1/(1 + e^−z)": plus.data, "1/(1 − e^−z)": y},
        "refused": f"    microbp: {refused}",
        "slope": [("f′(net_h1)", y * (1.0 - y), microbp.grad(minus, z))],
    }


TUTORIAL = Tutorial(
    "T4", "Neurons, and the 2-2-2 net step by step",
    "the 2-2-2 net and every factor of its gradients; E falls from {start:.9f} to {end:.9f} in 10,000 "
    "updates",
    figures,
)  # fmt: skip
