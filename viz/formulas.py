"""How a value is computed, in the names of its graph: ``w5·h1``, ``σ(net_h1)``, ``w1·i1 + w2·i2 + b1``."""

from __future__ import annotations

from microbp import Graph, Node
from microbp.notation import plain_name, plain_number, symbol, text

__all__ = ["formula"]


#: Operations that are read from their row; all others are written as a call.
_WRITTEN_OUT = {"add", "sub", "mul", "div", "neg", "pow"}
#: Of how many terms or operands the first are written, and no more.
_MOST = 6


def formula(graph: Graph, node: Node) -> str:
    """The right side of ``node = …``; empty for a leaf.

    >>> from microbp import Value, dot
    >>> w, x, b = Value(2.0, "w"), Value(3.0, "x"), Value(1.0, "b")
    >>> for value in (w * x, (w - 1.0) ** 2, w.sigmoid(), dot([w, w], [x, 0.5], b)):
    ...     graph = Graph(value)
    ...     print(formula(graph, graph.root))
    w·x
    v1²
    σ(w)
    w·x + w·0.5 + b
    """
    rule = node.rule
    if rule is None:
        return ""
    names = [_name(graph, each) for each in node.operands]
    if rule.name in _WRITTEN_OUT:
        plain = [graph.nodes[each].name if type(each) is int else each for each in node.operands]
        return text(rule.y, dict(zip(rule.args, plain, strict=True)))
    if rule.name == "dot":
        weights, inputs, bias = rule.split(names)
        terms = [f"{w}·{x}" for w, x in zip(weights, inputs, strict=True)]
        without_bias = type(node.operands[-1]) is float and node.operands[-1] == 0.0
        return _sum(terms if without_bias else [*terms, bias])
    if rule.name == "sum":
        return _sum(names)
    shown = ", ".join(names[:_MOST]) + (f", … ({len(names)} in all)" if len(names) > _MOST else "")
    return f"{symbol(rule)}({shown})" if symbol(rule)[0].isalpha() else f"{rule.name}({shown})"


def _sum(terms: list[str]) -> str:
    more = [f"… ({len(terms)} terms)"] if len(terms) > _MOST else []
    return " + ".join([*terms[:_MOST], *more])


def _name(graph: Graph, operand: float) -> str:
    return plain_name(graph.nodes[operand].name) if type(operand) is int else plain_number(operand)
