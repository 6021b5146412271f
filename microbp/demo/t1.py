"""Tutorial T1: a 2-2-1 sigmoid net in NumPy, and the mistake in its hand-written gradients.

The tutorial trains the net for 100 iterations, and the cost falls. All the same its update of the
first weights is not the gradient: an array of the wrong shape broadcasts, and nothing complains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import microbp
from microbp import Graph, data_of
from microbp.demo.report import Report

__all__ = ["TITLE", "descend", "nonlin", "program", "reproduce"]

TITLE = "The 2-2-1 net, and a mistake that broadcasting hides"
TUTORIAL = "the tutorial"
START_W0 = [[0.1, 0.8], [0.4, 0.6]]
START_W1 = [[0.3, 0.9]]
ITERATIONS = 100


# ------------------------------------------------------------------------------------- the program
class Iteration(NamedTuple):
    """What the program holds just before it updates its weights."""

    l0: Any
    l1: Any
    l2: Any
    l2_error: Any
    Error: Any
    l2_delta: Any
    l1_delta: Any


# The tutorial's own lines, translated to Python 3, with the layout and the capitals that its web
# page has lost. The weights are handed in; what it prints, and more, is yielded; the seed is left
# out, since nothing in it is random.
# fmt: off
def nonlin(x: Any, deriv: bool = False) -> Any:
    """The sigmoid of x; with ``deriv`` its derivative, where x is its value."""
    if (deriv == True):  # noqa: E712
        return x*(1-x)
    return 1/(1+np.exp(-x))


def program(W0: Any, W1: Any) -> Iterator[Iteration]:
    """The tutorial's training, which changes ``W0`` and ``W1`` in place."""
    X = np.array([[0.35], [0.9]])
    y = np.array([[0.5]])
    for _j in range(ITERATIONS):
        l0 = X
        l1 = nonlin(np.dot(W0, l0))
        l2 = nonlin(np.dot(W1, l1))
        l2_error = y-l2
        Error = 1/2.0*(y-l2)**2
        l2_delta = l2_error*nonlin(l2, deriv=True)
        l1_error = l2_delta*W1
        l1_delta = l1_error*nonlin(l1, deriv=True)
        yield Iteration(l0, l1, l2, l2_error, Error, l2_delta, l1_delta)
        W1 += l2_delta*l1.T
        W0 += l0.T.dot(l1_delta)
# fmt: on


# ------------------------------------------------------------------------------------ the true rule
def cost(W0: Any, W1: Any) -> Any:
    """The tutorial's forward pass, with the true gradients left to the engine."""
    y = 0.5
    l1 = nonlin(np.dot(W0, np.array([[0.35], [0.9]])))
    l2 = nonlin(np.dot(W1, l1))
    return (0.5 * (y - l2) ** 2)[0, 0]


def descend(updates: int) -> tuple[list[float], Any, Any]:
    """Gradient descent by the engine's gradients: the cost before each update and last, W0, W1."""
    W0, W1 = microbp.array(START_W0, name="W0"), microbp.array(START_W1, name="W1")
    costs = []
    for count in range(updates + 1):
        Error = cost(W0, W1)
        costs.append(Error.data)
        if count < updates:
            gradient_W0, gradient_W1 = microbp.grad(Error, [W0, W1])
            W0 = microbp.array(data_of(W0) - gradient_W0, name="W0")
            W1 = microbp.array(data_of(W1) - gradient_W1, name="W1")
    return costs, data_of(W0), data_of(W1)


# ---------------------------------------------------------------------------------- the report
def reproduce() -> Report:
    """The program on microbp arrays, its gradients beside the recorded ones, and its mistake."""
    report = Report("T1", TITLE)
    report.say(
        "A net with inputs (0.35, 0.9), two hidden neurons, one output, sigmoids and no biases "
        "learns the target 0.5. The tutorial's own NumPy program runs here on microbp arrays, "
        "unchanged: each scalar operation in it is recorded, and its hand-written gradients meet "
        "the recorded ones."
    )
    W0, W1 = microbp.array(START_W0, name="W0"), microbp.array(START_W1, name="W1")
    start = W0.copy(), W1.copy()
    run = program(W0, W1)
    before = microbp.record_sites()  # the page shows the line of each operation
    first = next(run)
    microbp.record_sites(before)
    second = next(run)
    added = {"W1": data_of(W1) - data_of(start[1]), "W0": data_of(W0) - data_of(start[0])}
    costs = [float(data_of(each.Error)[0, 0]) for each in (first, second, *run)]
    first.Error[0, 0].name = "E"
    first.Error[0, 0].backward()
    report.graph = Graph(first.Error[0, 0], names=first._asdict())
    _forward(report, first)
    _deltas(report, first)
    _mistake(report, first, start, added)
    _gradients(report, first, start)
    _training(report, costs, W0, W1)
    return report


def _forward(report: Report, first: Iteration) -> None:
    report.heading("1. Forward, first iteration")
    report.compare(
        "The error, to the digits that the tutorial prints",
        TUTORIAL,
        [("|y − o|", "0.19", abs(data_of(first.l2_error)[0, 0]))],
    )
    plain = next(program(np.array(START_W0), np.array(START_W1)))
    report.compare(
        "The same program on plain NumPy arrays",
        "NumPy",
        [
            ("hidden 0", float(plain.l1[0, 0]), first.l1[0, 0].data),
            ("hidden 1", float(plain.l1[1, 0]), first.l1[1, 0].data),
            ("output", float(plain.l2[0, 0]), first.l2[0, 0].data),
            ("cost", float(plain.Error[0, 0]), first.Error[0, 0].data),
        ],
    )


def _deltas(report: Report, first: Iteration) -> None:
    report.heading("2. Its hand-written deltas beside the recorded gradients")
    report.say(
        "A delta is −∂E/∂net, with net the weighted input of a neuron: one number for each neuron. "
        "The program's l1_delta, for the two hidden neurons, is an array of "
        f"{' × '.join(map(str, first.l1_delta.shape))} numbers. That they are twice as many as "
        "there are neurons is the first sign of the mistake."
    )
    graph = Graph(first.Error[0, 0])
    nets = [node for node in graph if node.rule is not None and node.rule.name == "dot"]
    hidden, output = [-_known(node.grad) for node in nets[:2]], -_known(nets[2].grad)
    by_hand = data_of(first.l1_delta)
    places = list(np.ndindex(by_hand.shape))
    rows = [("l2_delta, output", float(data_of(first.l2_delta)[0, 0]), output)]
    rows += [(f"l1_delta[{i},{j}], hidden {i}", float(by_hand[i, j]), hidden[i]) for i, j in places]
    report.compare(
        "The program's deltas, and −∂E/∂net of the same neuron as recorded",
        "by hand",
        rows,
        mistakes=[f"l1_delta[{i},{j}], hidden {i}" for i, j in places if i != j],
    )
    report.say("The true deltas stand on the diagonal; beside it each neuron has the other one's weight.")


def _known(gradient: float | None) -> float:
    assert gradient is not None, "the backward pass has not come here"
    return gradient


def _mistake(report: Report, first: Iteration, start: Any, added: dict[str, Any]) -> None:
    report.heading("3. The mistake")
    report.say(
        "What the first iteration adds to the weights, given to microbp.check_answers as an update "
        "with learning rate 1:"
    )
    W0, W1 = start
    loss = first.Error[0, 0]
    names = {"W0": W0, "W1": W1, "l1": first.l1, "l2": first.l2}
    answers = microbp.check_answers(loss, added, learning_rate=1.0, names=names, show=False)
    report.claims(answers, mistakes=["W0"])
    report.say(
        "In the program's words: l2_delta*W1 is 1 × 2, and times nonlin(l1, deriv=True), which is "
        "2 × 1, it broadcasts to 2 × 2 where two numbers are meant; l0.T.dot(l1_delta) is then 1 × "
        "2, and W0 += broadcasts it again: both rows of W0 are moved by the same amounts. These "
        "two lines are right:"
    )
    report.code(
        """
        l1_error = W1.T.dot(l2_delta)       # 2 × 1: one error for each hidden neuron
        W0 += l1_delta.dot(l0.T)            # 2 × 2: row i for hidden neuron i
        """
    )
    l1_error = data_of(W1).T.dot(data_of(first.l2_delta))
    l1_delta = l1_error * nonlin(data_of(first.l1), deriv=True)
    right = l1_delta.dot(first.l0.T)
    report.compare(
        "What the corrected lines add to W0, and −∂E/∂W0 as recorded",
        "corrected",
        [(W0[place].name, float(right[place]), -_known(W0[place].grad)) for place in np.ndindex(W0.shape)],
    )
    update = np.concatenate([added["W0"].ravel(), added["W1"].ravel()])
    descent = -np.concatenate([microbp.grad_of(each).ravel() for each in start])
    cosine = float(update @ descent / (np.linalg.norm(update) * np.linalg.norm(descent)))
    report.say(
        "Nobody noticed because the cost falls all the same: the first update has a cosine of "
        f"{cosine:.3f} with the direction of steepest descent. It points downhill, and it is not "
        "the gradient."
    )
    report.numbers["cosine of the first update with steepest descent"] = cosine


def _gradients(report: Report, first: Iteration, start: Any) -> None:
    report.heading("4. Every gradient, checked")
    report.say(
        "The recorded gradients themselves: each weight is moved a little, the net computed again, "
        "and the slope of E compared with the gradient. Then each recorded operation is checked "
        "alone."
    )
    loss = first.Error[0, 0]
    report.gradients(microbp.check_gradients(loss, names={}, show=False))
    report.operations(loss)
    report.numbers["gradients"] = {
        name: microbp.grad_of(each).tolist() for name, each in zip(("W0", "W1"), start, strict=True)
    }


def _training(report: Report, costs: list[float], W0: Any, W1: Any) -> None:
    report.heading(f"5. {ITERATIONS} iterations")
    true_costs, true_W0, true_W1 = descend(ITERATIONS)
    marks = [1, 2, 10, 20, 50, ITERATIONS]
    report.table(
        "The cost as it falls",
        (">evaluation", ">the tutorial's rule", ">gradient descent"),
        [(str(n), f"{costs[n - 1]:.6e}", f"{true_costs[n - 1]:.6e}") for n in marks],
    )
    report.compare(
        "The tutorial's rule, and what the tutorial prints",
        TUTORIAL,
        [
            (f"cost, evaluation {ITERATIONS}", "5.92944818e-07", costs[-1]),
            *_weights("W0", [["0.0993309", "0.6425254"], ["0.3993309", "0.4425254"]], data_of(W0)),
            *_weights("W1", [["-0.30032342", "0.31508797"]], data_of(W1)),
        ],
    )
    report.say(
        "Gradient descent by the recorded gradients; the reference is the same in float64 without "
        "microbp. The weights are those after 100 updates, the 100th cost is that after 99."
    )
    report.compare(
        "Gradient descent",
        "reference",
        [
            ("cost, evaluation 1", "0.01810390383656677", true_costs[0]),
            (f"cost, evaluation {ITERATIONS}", "3.266878922007038e-07", true_costs[ITERATIONS - 1]),
            *_weights("W0", [["0.09949729", "0.79870731"], ["0.35650028", "0.48814358"]], true_W0),
            *_weights("W1", [["-0.30047225", "0.32533603"]], true_W1),
        ],
    )
    report.numbers["cost at each evaluation"] = {
        "the tutorial's rule": costs, "gradient descent": true_costs,
    }  # fmt: skip
    report.numbers["weights after 100 updates"] = {
        "the tutorial's rule": {"W0": data_of(W0).tolist(), "W1": data_of(W1).tolist()},
        "gradient descent": {"W0": true_W0.tolist(), "W1": true_W1.tolist()},
    }


def _weights(name: str, printed: list[list[str]], ours: Any) -> list[tuple[str, str, float]]:
    return [
        (f"{name}[{i},{j}]", known, float(ours[i, j]))
        for i, row in enumerate(printed)
        for j, known in enumerate(row)
    ]
