"""Tutorial T1: a 2-2-1 sigmoid net in NumPy, and the mistake in its hand-written gradients.

The tutorial trains the net for 100 iterations, and the cost falls. All the same its update of the
first weights is not the gradient: an array of the wrong shape broadcasts, and nothing complains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import microbp
from microbp import Graph, data_of, grad_of
from microbp.demo.report import Tutorial, elements
from microbp.text import Table

__all__ = ["TUTORIAL", "descend", "nonlin", "program"]

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


def cost(W0: Any, W1: Any) -> Any:
    """The tutorial's forward pass, with the true gradients left to the engine."""
    l2 = nonlin(np.dot(W1, nonlin(np.dot(W0, np.array([[0.35], [0.9]])))))
    return (0.5 * (0.5 - l2) ** 2)[0, 0]


def descend(updates: int) -> tuple[list[float], Any, Any]:
    """Gradient descent by the engine's gradients: the cost before each update and last, W0, W1."""
    W = [np.array(START_W0), np.array(START_W1)]
    costs = []
    for count in range(updates + 1):
        recorded = [microbp.array(each) for each in W]
        Error = cost(*recorded)
        costs.append(Error.data)
        if count < updates:
            W = [each - slope for each, slope in zip(W, microbp.grad(Error, recorded), strict=True)]
    return costs, W[0], W[1]


# ---------------------------------------------------------------------------------- the figures
def figures() -> dict[str, Any]:
    """The figures of the document, in its order."""
    W = {"W0": microbp.array(START_W0, name="W0"), "W1": microbp.array(START_W1, name="W1")}
    start = {name: each.copy() for name, each in W.items()}
    run = program(W["W0"], W["W1"])
    before = microbp.record_sites()  # the page shows the line of each operation
    first = next(run)
    microbp.record_sites(before)
    second = next(run)
    added = {name: data_of(W[name]) - data_of(start[name]) for name in ("W1", "W0")}
    costs = [float(data_of(each.Error)[0, 0]) for each in (first, second, *run)]
    loss = first.Error[0, 0]
    loss.name = "E"
    loss.backward()
    true_costs, true_W0, true_W1 = descend(ITERATIONS)

    plain = next(program(np.array(START_W0), np.array(START_W1)))
    forward = {"hidden 0": ("l1", 0), "hidden 1": ("l1", 1), "output": ("l2", 0), "cost": ("Error", 0)}
    held = [(name, *(float(data_of(getattr(each, part))[i, 0]) for each in (plain, first)))
            for name, (part, i) in forward.items()]  # fmt: skip
    nets = [node.grad or 0.0 for node in Graph(loss) if node.rule is not None and node.rule.name == "dot"]
    by_hand = data_of(first.l1_delta)
    deltas = [("l2_delta, output", float(data_of(first.l2_delta)[0, 0]), -nets[2])]
    for (i, j), x in np.ndenumerate(by_hand):
        deltas.append((f"l1_delta[{i},{j}], hidden {i}", float(x), -nets[i]))
    l1_error = data_of(start["W1"]).T.dot(data_of(first.l2_delta))
    right = (l1_error * nonlin(data_of(first.l1), deriv=True)).dot(first.l0.T)
    slopes = {name: grad_of(each) for name, each in start.items()}
    update, descent = (np.concatenate([each[name].ravel() for name in W]) for each in (added, slopes))
    cosine = -float(update @ descent / (np.linalg.norm(update) * np.linalg.norm(descent)))
    both = {"the tutorial's rule": costs, "gradient descent": true_costs}
    return {
        "graph": Graph(loss, names=first._asdict()),
        "error": {"|y − o|": abs(float(data_of(first.l2_error)[0, 0]))},
        "plain": held,
        "shape": " × ".join(map(str, by_hand.shape)),
        "deltas": deltas,
        "claims": microbp.check_answers(
            loss, added, learning_rate=1.0, names={**start, "l1": first.l1, "l2": first.l2}, show=False
        ),
        "corrected": [("W0", right, -slopes["W0"])],
        "cosine": cosine,
        "gradients": microbp.check_gradients(loss, names={}, show=False),
        "operations": loss,
        "falling": Table(
            "The cost as it falls", (">evaluation", *(f">{name}" for name in both)),
            tuple((str(n), *(f"{each[n - 1]:.6e}" for each in both.values()))
                  for n in (1, 2, 10, 20, 50, ITERATIONS)),
        ),
        "printed": _ends(costs, W["W0"], W["W1"]), "reference": _ends(true_costs, true_W0, true_W1),
        "end": costs[-1], "true_end": true_costs[ITERATIONS - 1],
        "costs": both,
        "gradients at the start": {name: each.tolist() for name, each in slopes.items()},
    }  # fmt: skip


def _ends(costs: list[float], W0: Any, W1: Any) -> dict[str, float]:
    """The cost at either end of a training, and the weights after it."""
    ends = {f"cost, evaluation {n}": costs[n - 1] for n in (1, ITERATIONS)}
    return ends | elements("W0", data_of(W0)) | elements("W1", data_of(W1))


TUTORIAL = Tutorial(
    "T1", "The 2-2-1 net, and a mistake that broadcasting hides",
    "its own program on microbp arrays; the cost after 99 updates is {end:.8e} by its rule, and "
    "{true_end:.8e} by gradient descent",
    figures,
)  # fmt: skip
