"""``logistic``: 1/(1 + exp(−z)), written out by hand, read as σ(z), whose derivative is σ(z)·(1 − σ(z)).

Four operations become one, as textbooks have it. The derivative of the one is the product of the four
that were recorded; where that is not σ(z)·(1 − σ(z)), nothing is put together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from microbp.debug.explain.records import agree
from microbp.graph import Node
from microbp.rules import RULES

__all__ = ["logistic"]

#: The operations from the quotient down, each with the number beside its operand.
CHAIN: tuple[tuple[str, list[float]], ...] = (("div", [1.0]), ("add", [1.0]), ("exp", []), ("neg", []))


def logistic(nodes: Sequence[Node], kept: int) -> dict[int, Node]:
    """Such quotients as σ, and what they no longer need as leaves, by position; ``kept`` is one that stays.

    >>> from microbp import Graph, Value, exp
    >>> z = Value(0.0, name="z")
    >>> graph = Graph(1.0 / (1.0 + exp(-z)), {})
    >>> [graph.equation(node) for node in logistic(graph.nodes, 0).values()]
    ['v4 = sigmoid(z) = 0.5', 'v3 = 2.0', 'v2 = 1.0', 'v1 = -0.0']
    """
    uses = Counter(x for node in nodes for x in node.operands if type(x) is int)
    made = {}
    for node in nodes:
        position, derivative, passed = node.position, 1.0, []
        for rule, literals in CHAIN:
            here = nodes[position]
            lone = here is node or (uses[position] == 1 and not here.named and position != kept)
            below = _below(here, rule, literals) if lone else None
            if below is None:
                break
            passed.append(here)
            position, derivative = below[0], derivative * below[1]
        else:
            if agree(node.data * (1.0 - node.data), derivative, abs(derivative)):
                made[node.position] = node._replace(
                    rule=RULES["sigmoid"], operands=(position,), local_derivatives=(derivative,)
                )
                for each in passed[1:]:
                    made[each.position] = each._replace(rule=None, operands=(), local_derivatives=())
    return made


def _below(node: Node, rule: str, literals: list[float]) -> tuple[int, float] | None:
    """The operand of a node of that rule with those literals, and the derivative in it."""
    operands = list(zip(node.operands, node.local_derivatives, strict=True))
    if node.rule is None or node.rule.name != rule:
        return None
    if [x for x, _ in operands if type(x) is float] != literals:
        return None
    if rule == "div" and type(node.operands[0]) is not float:
        return None
    [(operand, local)] = [each for each in operands if type(each[0]) is int]
    return None if local is None else (int(operand), local)
