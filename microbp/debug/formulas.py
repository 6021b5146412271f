"""``Formula``: the local derivative of one node in one of its operands, as people write it."""

from __future__ import annotations

import ast

from microbp.expr import AGGREGATES, IEEE
from microbp.graph import Graph, Node
from microbp.notation import ATOM, Term, at, latex, plain_name, plain_number, text

__all__ = ["DIGITS", "Formula", "argument", "numbers_of"]

#: How many digits a number in a formula has.
DIGITS = 4


def numbers_of(graph: Graph, node: Node) -> list[float]:
    """The numbers of a node's operands."""
    return [graph.nodes[x].data if isinstance(x, int) else x for x in node.operands]


def argument(node: Node, place: int) -> tuple[int, dict[str, int]]:
    """Which of the row's arguments the operand at ``place`` is, and where each argument stands.

    Of an argument that runs over a list it is the element beside the operand at ``place``.
    """
    rule = node.rule
    assert rule is not None
    which = element = 0
    split = rule.split(range(len(node.operands)))
    for index, where in enumerate(split):
        if where == place:
            which = index
        elif isinstance(where, list) and where and where[0] <= place <= where[-1]:
            which, element = index, place - where[0]
    return which, {
        arg: where[element] if isinstance(where, list) else where
        for arg, where in zip(rule.args, split, strict=True)
        if where != []
    }


class Formula:
    """∂node/∂operand by the row's ``shown`` formula, whatever clause of it computed the number.

    Of a conditional only the branch taken is left, and arithmetic between literals is done.

    >>> from microbp import Value
    >>> h = Value(0.0, name="x").sigmoid()
    >>> formula = Formula(Graph(h, {"h": h}), 1, 0)
    >>> formula.symbols, formula.numbers
    ('h·(1 − h)', '0.5·(1 − 0.5)')
    >>> str(Formula(Graph(Value(0.5, name="x") ** 3, {}), 1, 0).expression)
    '3.0 * pow(a, 2.0)'
    """

    def __init__(self, graph: Graph, position: int, place: int) -> None:
        self.graph, self.node = graph, graph.nodes[position]
        assert self.node.rule is not None
        self.rule = self.node.rule
        #: Which argument it is by, and where each argument stands among the operands.
        self.which, self.places = argument(self.node, place)
        self.data = numbers_of(graph, self.node)
        #: The number of each argument, and of the output, ``y``.
        self.scope = {"y": self.node.data} | {arg: self.data[where] for arg, where in self.places.items()}
        shown = self.rule.shown[self.which]
        #: The numbers over which a sum in it runs.
        self.elements = self._elements(str(shown))
        literals = [arg for arg, where in self.places.items() if isinstance(self.node.operands[where], float)]
        self.expression = at(shown, self.scope, literals, self.elements)
        if isinstance(self.expression.tree, ast.Constant):  # 1/3 says more than 0.3333333333333333
            self.expression = at(shown, self.scope, (), self.elements)

    def _elements(self, formula: str) -> list[dict[str, float]]:
        """Of a list only what sums over it, or is the largest in it, needs more than the element itself."""
        many = any(f"{each}(" in formula for each in AGGREGATES)
        return self.rule.elements(self.rule.split(self.data)) if many else []

    @property
    def symbols(self) -> str:
        """With the names of this node and its operands: ``h1·(1 − h1)``."""
        names = {
            arg: Term(plain_name(x), ATOM) if isinstance(x, str) else x for arg, x in self._names().items()
        }
        return text(self.expression, names, self.rule.over)

    @property
    def latex(self) -> str:
        """:attr:`symbols` as LaTeX for math mode."""
        return latex(self.expression, self._names(), self.rule.over)

    @property
    def numbers(self) -> str:
        """With their numbers, to four digits: ``0.5933·(1 − 0.5933)``."""
        numbers = {arg: plain_number(x, DIGITS) for arg, x in self.scope.items()}
        return text(self.expression, numbers, self.rule.over)

    def _names(self) -> dict[str, str | float]:
        operands = {arg: self.node.operands[place] for arg, place in self.places.items()}
        named = {arg: self.graph.names[x] if isinstance(x, int) else x for arg, x in operands.items()}
        return {"y": self.node.name, **named}

    def computed(self) -> tuple[float, float]:
        """Its number at the numbers recorded: by the text that is computed, and as people write it."""
        computed = self.rule.d[self.which]
        exact = computed.evaluate(self.scope, IEEE, self._elements(str(computed)))
        return float(exact), float(self.expression.evaluate(self.scope, IEEE, self.elements))
