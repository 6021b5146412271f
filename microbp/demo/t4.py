"""Tutorial T4: the 2-2-2 net, its gradients factor by factor and path by path, 10,000 updates.

The tutorial derives the gradients and links to a worked example with the same net and numbers: M.
Mazur, "A Step by Step Backpropagation Example" (2015). Names here are the example's; the tutorial
writes J for E, a for h, and counts from 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import microbp
from microbp import Graph, UndefinedOperation, Value, group
from microbp.demo.chain import Factor, chains, product
from microbp.demo.report import Report, our_text

__all__ = ["TITLE", "by_hand", "network", "reproduce", "train"]

TITLE = "Neurons, and the 2-2-2 net step by step"
EXAMPLE = "the example"

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


def network(p: Mapping[str, Any]) -> dict[str, Any]:
    """Every quantity of the net by its name, E last; of Values a graph, of numbers numbers."""
    i1, i2, t1, t2 = p["i1"], p["i2"], p["t1"], p["t2"]
    with group("h1"):
        net_h1 = microbp.dot([p["w1"], p["w2"]], [i1, i2], p["b1"])
        h1 = microbp.sigmoid(net_h1)
    with group("h2"):
        net_h2 = microbp.dot([p["w3"], p["w4"]], [i1, i2], p["b1"])
        h2 = microbp.sigmoid(net_h2)
    with group("o1"):
        net_o1 = microbp.dot([p["w5"], p["w6"]], [h1, h2], p["b2"])
        o1 = microbp.sigmoid(net_o1)
    with group("o2"):
        net_o2 = microbp.dot([p["w7"], p["w8"]], [h1, h2], p["b2"])
        o2 = microbp.sigmoid(net_o2)
    with group("E_o1"):
        E_o1 = 0.5 * (t1 - o1) ** 2
    with group("E_o2"):
        E_o2 = 0.5 * (t2 - o2) ** 2
    E = E_o1 + E_o2
    return {
        "net_h1": net_h1, "net_h2": net_h2, "h1": h1, "h2": h2,
        "net_o1": net_o1, "net_o2": net_o2, "o1": o1, "o2": o2,
        "E_o1": E_o1, "E_o2": E_o2, "E": E,
    }  # fmt: skip


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


def reproduce() -> Report:
    """The tutorial's numbers, derivation and training, each beside ours."""
    report = Report("T4", TITLE)
    report.say(
        "Two inputs, two hidden neurons, two outputs, a sigmoid at each neuron, one bias for each "
        "layer; E = ½Σ(t − o)². The tutorial gives the formulas. The numbers and the names are "
        "those of the worked example that it links to, “A Step by Step Backpropagation Example” by "
        "M. Mazur; the tutorial writes J, a0, net0, o0, … for E, h1, net_h1, o1, …. Every "
        "derivative of microbp's below is read from the recorded graph; none is typed in."
    )
    p = variables()
    before = microbp.record_sites()  # the page shows the line of each operation
    net = network(p)
    microbp.record_sites(before)
    for name, value in net.items():
        value.name = name
    loss: Value = net["E"]
    loss.backward()
    graph = report.graph = Graph(loss)
    _forward(report, graph)
    _output_weight(report, graph)
    _hidden_weight(report, graph)
    _gradients(report, p, loss)
    trained = _training(report)
    _misprinted_sigmoid(report, graph)
    _early_update(report, loss, trained)
    _explanations(report, graph)
    report.numbers["gradients"] = {name: p[name].grad for name in START}
    return report


def _forward(report: Report, graph: Graph) -> None:
    report.heading("1. Forward")
    report.code(
        """
        net_h1 = w1·i1 + w2·i2 + b1     h1 = σ(net_h1)     net_h2, h2 likewise with w3, w4
        net_o1 = w5·h1 + w6·h2 + b2     o1 = σ(net_o1)     net_o2, o2 likewise with w7, w8
        E = E_o1 + E_o2                 E_o1 = ½(t1 − o1)²
        """
    )
    printed = {
        "net_h1": "0.3775", "h1": "0.593269992", "h2": "0.596884378", "net_o1": "1.105905967",
        "o1": "0.75136507", "o2": "0.772928465", "E_o1": "0.274811083", "E_o2": "0.023560026",
        "E": "0.298371109",
    }  # fmt: skip
    rows = [(name, known, graph[name].data) for name, known in printed.items()]
    report.compare("What the example prints, to the digits it prints", EXAMPLE, rows)


def _output_weight(report: Report, graph: Graph) -> None:
    report.heading("2. ∂E/∂w5, a product of three factors")
    [path] = chains(graph, "w5", ["o1", "net_o1"])
    v = {node.name: node.data for node in graph}
    report.code(f"∂E/∂w5 = {' · '.join(map(str, path))}")
    formulas = {
        "−(t1 − o1)": -(v["t1"] - v["o1"]),
        "o1·(1 − o1)": v["o1"] * (1 - v["o1"]),
        "h1": v["h1"],
    }
    report.compare(
        "Each factor, and the gradient: by the tutorial's formula, and as recorded",
        "the formula",
        [
            *((f"{factor} = {formula}", x, factor.value)
              for factor, (formula, x) in zip(path, formulas.items(), strict=True)),
            ("∂E/∂w5 = the product", math.prod(formulas.values()), _grad(graph, "w5")),
        ],
    )  # fmt: skip
    report.code(f"{' × '.join(f'{factor.value:.9f}' for factor in path)} = {product(path):.9f}")


def _hidden_weight(report: Report, graph: Graph) -> None:
    report.heading("3. ∂E/∂w1, a sum over two paths")
    stations = ["o1", "o2", "net_o1", "net_o2", "h1", "net_h1"]
    found = chains(graph, "w1", stations)
    report.say(
        f"h1 feeds both outputs, so {len(found)} paths lead from E down to w1, one through each "
        "output. They have their last two factors in common:"
    )
    tail = found[0][3:]
    heads = [path[:3] for path in found]
    sums = [f"({' · '.join(map(str, head))})" for head in heads]
    report.code(f"∂E/∂w1 = [ {sums[0]}\n         + {sums[1]} ] · {' · '.join(map(str, tail))}")
    total = sum(map(product, heads))
    rows = [
        *_side_by_side(heads, ["−(t − o)", "o(1 − o)", "w5, w7"]),
        ("∂E/∂h1 through this output", "the product", *(f"{product(head):+.9f}" for head in heads)),
    ]
    columns = ("factor", "formula", ">through o1", ">through o2")
    report.table("The factors as recorded", columns, rows)
    report.code(
        f"∂E/∂h1 = {product(heads[0]):.9f} + ({product(heads[1]):.9f}) = {total:.9f}\n"
        f"∂E/∂w1 = {total:.9f} × {tail[0].value:.9f} × {tail[1].value:.9f} = "
        f"{total * product(tail):.9f}"
    )
    report.compare(
        "The sum, and the gradients that back-propagation left in h1 and w1",
        "paths",
        [
            ("∂E/∂h1", total, _grad(graph, "h1")),
            ("∂E/∂w1", sum(map(product, found)), _grad(graph, "w1")),
        ],
    )
    slip = "∂E_o2/∂h1 (last digit)"
    report.compare(
        "What the example prints of 2 and 3",
        EXAMPLE,
        [
            ("∂E/∂o1", "0.74136507", _grad(graph, "o1")),
            ("∂E/∂net_o1", "0.138498562", _grad(graph, "net_o1")),
            ("∂E/∂w5", "0.082167041", _grad(graph, "w5")),
            ("∂E_o1/∂h1", "0.055399425", product(heads[0])),
            (slip, "-0.019049119", product(heads[1])),
            ("∂E/∂h1", "0.036350306", _grad(graph, "h1")),
            ("∂h1/∂net_h1", "0.241300709", tail[0].value),
            ("∂E/∂w1", "0.000438568", _grad(graph, "w1")),
        ],
        mistakes=[slip],
    )


def _side_by_side(heads: Sequence[Sequence[Factor]], formulas: Sequence[str]) -> list[list[str]]:
    """Rows of a table: the first, second, … factor of each path."""
    rows = []
    for factors, formula in zip(zip(*heads, strict=True), formulas, strict=True):
        names = " | ".join(map(str, factors))
        rows.append([names, formula, *(f"{factor.value:+.9f}" for factor in factors)])
    return rows


def _grad(graph: Graph, name: str) -> float:
    gradient = graph[name].grad
    assert gradient is not None, f"the backward pass has not reached {name}"
    return gradient


def _gradients(report: Report, p: Mapping[str, Value], loss: Value) -> None:
    report.heading("4. Every gradient, checked")
    report.say(
        "Each parameter is moved a little, the net computed again, and the slope of E compared "
        "with the gradient that back-propagation gives. Then each recorded operation is checked "
        "alone."
    )
    parameters = [p[name] for name in START]
    report.gradients(microbp.check_gradients(loss, parameters, names={}, show=False))
    report.operations(loss)
    after = {name: START[name] - RATE * _gradient(p[name]) for name in WEIGHTS}
    printed = {
        "w5": "0.35891648", "w6": "0.408666186", "w7": "0.511301270", "w8": "0.561370121",
        "w1": "0.149780716", "w2": "0.19956143", "w3": "0.24975114", "w4": "0.29950229",
    }  # fmt: skip
    report.compare(
        f"The weights after one update, w − {RATE}·∂E/∂w",
        EXAMPLE,
        [(name, known, after[name]) for name, known in printed.items()],
    )


def _gradient(value: Value) -> float:
    assert value.grad is not None, f"the backward pass has not reached {value.name}"
    return value.grad


def _training(report: Report) -> list[dict[str, float]]:
    """The numbers of the net before each update of the weights, and after the last."""
    report.heading(f"5. {UPDATES:,} updates")
    report.say(
        f"Learning rate {RATE}. The example leaves the biases as they are; beside it the same with "
        "the biases learning too. The reference is the same training in float64 without microbp."
    )
    weights = train(WEIGHTS, UPDATES)
    both = train(START, UPDATES)
    marks = [0, 1, 10, 100, 1_000, UPDATES]
    report.table(
        "E as it falls",
        (">updates", ">weights learn", ">weights and biases learn"),
        [(f"{n:,}", f"{weights[n]['E']:.9f}", f"{both[n]['E']:.9f}") for n in marks],
    )
    last = weights[UPDATES]
    report.compare(
        "Weights learn",
        "reference",
        [
            ("E at the start", "0.2983711087600027", weights[0]["E"]),
            ("E after 1 update", "0.29102777369359933", weights[1]["E"]),
            (f"E after {UPDATES:,}", "3.510187782978859e-05", last["E"]),
            (f"o1 after {UPDATES:,}", "0.01591362", last["o1"]),
            (f"o2 after {UPDATES:,}", "0.98406427", last["o2"]),
        ],
    )
    report.compare(
        "Weights and biases learn",
        "reference",
        [
            ("E after 1 update, biases too", "0.2857508866992965", both[1]["E"]),
            (f"E after {UPDATES:,}, biases too", "4.355321066163729e-06", both[UPDATES]["E"]),
        ],
    )
    report.compare(
        "Weights learn, by gradients written by hand in plain floats",
        "by hand",
        [(f"E after {UPDATES:,}", _descend(early=False)[UPDATES]["E"], last["E"])],
    )
    report.numbers["E"] = {
        "updates": marks,
        "weights learn": [weights[n]["E"] for n in marks],
        "weights and biases learn": [both[n]["E"] for n in marks],
    }
    report.numbers["after the last update"] = {
        "weights learn": last, "weights and biases learn": both[UPDATES],
    }  # fmt: skip
    return weights


def _misprinted_sigmoid(report: Report, graph: Graph) -> None:
    report.heading("6. A misprint: the tutorial's σ")
    report.say("The tutorial prints σ(z) = 1/(1 − e^−z), with a wrong sign. Both, at z = net_h1:")
    z = Value(graph["net_h1"].data, name="z")
    plus = 1.0 / (1.0 + microbp.exp(-z))
    minus = 1.0 / (1.0 - microbp.exp(-z))
    h1 = "0.593269992"
    report.compare(
        "h1 of the example",
        EXAMPLE,
        [("1/(1 + e^−z)", h1, plus.data), ("1/(1 − e^−z)", h1, minus.data)],
        mistakes=["1/(1 − e^−z)"],
    )
    report.say("The misprint is no activation: it is never between 0 and 1, and has no value at z = 0:")
    report.code(f"microbp: {_refusal(Value(0.0, name='z'))}")
    y = minus.data
    report.compare(
        "No check of derivatives would notice, since f′ = f(1 − f) holds for the misprint too",
        "f(1 − f)",
        [("f′(net_h1)", y * (1.0 - y), microbp.grad(minus, z))],
    )


def _refusal(z: Value) -> str:
    """What microbp says of the misprint's sigmoid at z, without the line of this file."""
    try:
        return f"it has the value {1.0 / (1.0 - microbp.exp(-z))}"
    except UndefinedOperation as error:
        return str(error).partition(" [")[0]


def _early_update(report: Report, loss: Value, trained: list[dict[str, float]]) -> None:
    report.heading("7. The example's figures after training")
    report.say(
        "But for one last digit the example's numbers are right as far as the new weights (1 to "
        "4); the figures that it prints after training are not. It says, rightly, that the "
        "gradients of w1 … w4 are computed from w5 … w8 as they were before the update. Its "
        "figures are those of a program that updates w5 … w8 first:"
    )
    early = _descend(early=True)
    printed = [
        ("E after 1 update", "0.291027924", 1, "E"),
        (f"o1 after {UPDATES:,}", "0.015912196", UPDATES, "o1"),
        (f"o2 after {UPDATES:,}", "0.984065734", UPDATES, "o2"),
    ]
    as_they_were = [(name, known, trained[n][key]) for name, known, n, key in printed]
    updated_first = [(f"{name}, early", known, early[n][key]) for name, known, n, key in printed]
    mistakes = [name for name, *_ in printed]
    pair = [
        report.judge(EXAMPLE, as_they_were, mistakes),
        report.judge(EXAMPLE, updated_first),
    ]
    report.table(
        "Hidden gradients from w5 … w8 as they were, and from w5 … w8 updated first",
        ("", EXAMPLE, "as they were", "verdict", "updated first", "verdict"),
        [
            (a.name, str(a.known), our_text(a), a.verdict, our_text(b), b.verdict)
            for a, b in zip(*pair, strict=True)
        ],
    )
    report.say(
        f"Its E after {UPDATES:,} updates, 0.0000351085, belongs to neither. It has a digit too "
        "many: without the 1 it is the E of the two outputs above, which were updated first."
    )
    report.compare(
        f"E after {UPDATES:,} updates, w5 … w8 updated first",
        EXAMPLE,
        [
            ("E as printed", "0.0000351085", early[UPDATES]["E"]),
            ("E without the 1", "0.000035085", early[UPDATES]["E"]),
        ],
        mistakes=["E as printed"],
    )
    report.say("The gradient of w1 so computed, given to microbp.check_answers as a claim:")
    claims = by_hand({**START, **INPUTS, **TARGETS}, early=True)
    claims = {name: claims[name] for name in ("w1", "w5", "w6", "w7", "w8")}
    report.claims(
        microbp.check_answers(loss, claims, learning_rate=RATE, names={}, show=False),
        mistakes=["w1"],
    )


def _explanations(report: Report, graph: Graph) -> None:
    report.heading("8. The same two derivations, written by microbp.explain")
    report.say(
        "What 2 and 3 lay out for this net microbp writes for any graph, and computes each number "
        "that it prints again: from the printed digits, and from those that it has."
    )
    for name in ("w5", "w1"):
        report.explanation(microbp.explain(graph, name, rate=RATE))


def _descend(*, early: bool) -> dict[int, dict[str, float]]:
    """Training by gradients computed by hand: the numbers of the net after 1 update, and last."""
    p = {**START, **INPUTS, **TARGETS}
    seen = {}
    for count in range(UPDATES + 1):
        if count in (1, UPDATES):
            seen[count] = network(p)
        for name, gradient in by_hand(p, early=early).items():
            p[name] -= RATE * gradient
    return seen
