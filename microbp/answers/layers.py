"""Layers, read off from the graph: the matrices that a person computed with."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

import numpy as np

from microbp.answers.arrays import Floats, Places
from microbp.answers.case import LONGEST, Case, prime_of
from microbp.graph import Node
from microbp.rules import RULES


class Named(NamedTuple):
    """A matrix and what to call it."""

    text: str
    data: Floats


class Above(NamedTuple):
    """What a hidden layer gets its error from."""

    weights: Named
    #: The derivatives of the hidden layer's activations.
    slope: Named
    #: The true delta of the next layer, ...
    delta: Named
    #: ... and what that one gets its error from, where it is hidden too.
    further: Above | None


class Layer(NamedTuple):
    """z = W·x for N samples. Samples stand in columns; in rows where W is stored as in × out."""

    x: Named
    delta: Named
    #: What the layer puts out.
    output: str
    rows: bool
    above: Above | None


#: What stands beside the weights of one neuron in one sample: nodes, or literals.
_Inputs = tuple[float, ...]


def layer_at(case: Case, where: Places) -> Layer | None:
    """The layer whose weights stand at ``where``; None where the graph does not show one."""
    if where.ndim != 2 or (where < 0).any():
        return None
    for rows, weights in ((False, where), (True, where.T)):
        found = _products(case, weights)
        if found is not None:
            z, x, inputs = found
            ends = _outputs(case, z)
            output = case.common(ends.flat) or case.common(z.flat)
            return Layer(
                _input(case, inputs, _stored(x, rows)),
                Named(_subscript("δ", output), _stored(case.gradient[z], rows)),
                output or "the hidden layer",
                rows,
                _above(case, z, ends, rows),
            )
    return None


def _input(case: Case, inputs: Iterable[_Inputs], x: Floats) -> Named:
    """What a layer takes in, by its name, or by that of a plain array of the same numbers."""
    name = case.common(chain.from_iterable(inputs))
    for variable, held in case.scope.items() if not name else ():
        if isinstance(held, np.ndarray) and held.dtype.kind == "f" and np.array_equal(held, x):
            name = name or variable
    return Named(name or "x", x)


def _stored(columns: Floats, rows: bool) -> Floats:
    return columns.T if rows else columns


def _subscript(symbol: str, name: str) -> str:
    return f"{symbol}_{name}" if name else symbol


def _products(case: Case, weights: Places) -> tuple[Places, Floats, list[_Inputs]] | None:
    """The matrices z (out × N) and x (in × N), and x's operands by sample, if z = weights·x; else None."""
    z: list[list[int]] = []
    x: list[list[float]] = []
    order: list[_Inputs] = []
    for line in weights:
        uses = [_sums_of_products(case, int(each)) for each in line]
        nodes = sorted(uses[0])
        if not nodes or any(each.keys() != uses[0].keys() for each in uses):
            return None
        inputs = {tuple(each[node][1] for each in uses): node for node in nodes}
        if not z:
            order = [tuple(each[node][1] for each in uses) for node in nodes]
            x = [[each[node][0] for node in nodes] for each in uses]
        elif inputs.keys() == set(order) and len(inputs) == len(order):
            nodes = [inputs[each] for each in order]
        elif sorted(inputs) != sorted(set(order)):
            return None
        z.append(nodes)
    together = set(chain.from_iterable(z))
    return (np.array(z), np.array(x), order) if len(together) == sum(map(len, z)) else None


def _sums_of_products(case: Case, position: int) -> dict[int, tuple[float, int | float]]:
    """The weighted inputs that a Value takes part in, with the number and the operand beside it."""
    found: dict[int, tuple[float, int | float]] = {}
    for edge in case.uses[position]:
        z, partner = edge[0], case.partner(edge)
        while case.nodes[edge[0]].rule is RULES["mul"] and len(case.uses[z]) == 1:
            rule = case.nodes[case.uses[z][0][0]].rule
            if rule is None or rule.name not in ("add", "sum"):
                break
            z = case.uses[z][0][0]
        if partner is None or z in found:
            return {}
        found[z] = (case.local(edge), partner)
    return found


def _outputs(case: Case, z: Places) -> Places:
    """What each weighted input becomes: what feeds the next layer, else its activation."""
    return np.array([_output(case, int(each)) for each in z.flat]).reshape(z.shape)


def _output(case: Case, z: int) -> int:
    position, plain = z, True
    labels: list[tuple[bool, int]] = []
    for _ in range(LONGEST):
        if _feeds_layer(case, position):
            return position
        position = _meeting(case, position)
        if position < 0:
            break
        node = case.nodes[position]
        plain = plain and (case.only_operand(position) or _adds_leaf(case, node))
        if plain and (node.named or case.is_function(position)):
            labels.append((not node.named, position))
    return min(labels, default=(False, z))[1]


def _adds_leaf(case: Case, node: Node) -> bool:
    """Whether a node adds a bias."""
    inner = [each for each in node.operands if type(each) is int and case.nodes[each].rule is not None]
    return node.rule is RULES["add"] and len(inner) == 1


def _feeds_layer(case: Case, position: int) -> bool:
    """Whether a node is multiplied by parameters, and goes nowhere else."""
    partners = [case.partner(edge) for edge in case.uses[position]]
    return bool(partners) and all(type(each) is int and case.is_parameter(each) for each in partners)


def _meeting(case: Case, position: int) -> int:
    """The next node through which every path from a node to the loss leads; -1 at the end."""
    ahead = {user for user, _ in case.uses[position]}
    while len(ahead) > 1:
        nearest = min(ahead)
        ahead.remove(nearest)
        ahead |= {user for user, _ in case.uses[nearest]}
    return ahead.pop() if ahead else -1


def _above(case: Case, z: Places, ends: Places, rows: bool) -> Above | None:
    """The next layer, if what it takes in are the activations of this one."""
    upstream = case.gradient[ends]
    if (upstream == 0.0).any() or not all(_feeds_layer(case, int(each)) for each in ends.flat):
        return None
    columns: list[list[int]] = []
    order: list[_Inputs] = []
    weights = np.empty((0, 0))
    for sample in ends.T:
        found = _products(case, sample[None])
        if found is None:
            return None
        by_weights = dict(zip(found[2], found[0][0].tolist(), strict=True))
        if not columns:
            order, weights = found[2], found[1].T
        if by_weights.keys() != set(order):
            return None
        columns.append([by_weights[each] for each in order])
    following = np.array(columns).T
    outputs = _outputs(case, following)
    rules = {case.nodes[each].rule for each in ends.flat}
    rule = rules.pop() if len(rules) == 1 and all(case.is_function(int(e)) for e in ends.flat) else None
    prime = "f′" if rule is None else prime_of(rule)
    return Above(
        Named(case.common(chain.from_iterable(order)) or "V", _stored(weights, rows)),
        Named(_subscript(prime, case.common(ends.flat)), _stored(case.gradient[z] / upstream, rows)),
        Named(_subscript("δ", case.common(outputs.flat) or "next"), _stored(case.gradient[following], rows)),
        _above(case, following, outputs, rows),
    )
