"""Values, operations and groups in words."""

from __future__ import annotations

from microbp.graph import Graph, Node
from microbp.notation import plain_name, plain_number, symbol

__all__ = ["counted", "equation", "group_words", "name_of", "operation"]

#: An operation of more operands than this, or longer, is shortened.
MOST = 6
LONGEST = 48


def counted(count: int, word: str) -> str:
    """A number of things.

    >>> counted(1, "rule"), counted(2, "rule")
    ('1 rule', '2 rules')
    """
    return f"{count} {word}{'s' * (count != 1)}"


def name_of(graph: Graph, operand: float) -> str:
    """An operand as it is written: the name of a value, or a literal."""
    return plain_name(graph.nodes[operand].name) if type(operand) is int else plain_number(operand)


def operation(graph: Graph, node: Node) -> str:
    """How a node was computed: ``0.5 × v34``, ``tanh(v3)``; ``a leaf``, ``a constant``.

    >>> from microbp import Value, dot
    >>> x = Value(3.0, name="x")
    >>> graph = Graph(dot([x] * 9, [2.0 * x] * 9).tanh(), {})
    >>> [operation(graph, node) for node in graph][:3]
    ['a leaf', '2 × x', 'dot(x, x, x, x, x, …, 0)']
    """
    if node.rule is None:
        return "a leaf" if node.requires_grad else "a constant"
    sign, count = symbol(node.rule), len(node.operands)
    if count == 2 and not node.rule.over and not sign[0].isalpha():
        return f"{name_of(graph, node.operands[0])} {sign} {name_of(graph, node.operands[1])}"
    head = [name_of(graph, each) for each in node.operands[:MOST]]
    if count <= MOST and len(", ".join(head)) <= LONGEST:
        return f"{node.rule.name}({', '.join(head)})"
    last = name_of(graph, node.operands[-1])
    head = head[: min(MOST, count) - 1]
    while len(head) > 1 and len(", ".join((*head, last))) > LONGEST:
        head.pop()
    between = [] if len(head) == count - 1 else ["…"]
    return f"{node.rule.name}({', '.join((*head, *between, last))})"


def equation(graph: Graph, node: Node) -> str:
    """``v21 = w5 × h1``; of a leaf its name."""
    name = plain_name(node.name)
    return name if node.rule is None else f"{name} = {operation(graph, node)}"


def group_words(node: Node) -> str:
    """The groups of a node: ``net / layers.0 / neurons.2``; a later call says which: ``net (call 2)``."""
    return " / ".join(plain_name(name) + (f" (call {call + 1})" if call else "") for name, call in node.group)
