"""``Formula``: the local derivative of one node in one of its operands, as people write it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, NamedTuple

from microbp.expr import AGGREGATES, Expression
from microbp.graph import Graph, Node
from microbp.notation import ATOM, Term, at, latex, plain_name, plain_number, text

__all__ = ["DIGITS", "Formula", "Stated", "stated"]

#: How many digits a number in a formula has.
DIGITS = 4


class Stated(NamedTuple):
    """What the row of a node states for a derivative, as people write it, at the numbers of that node."""

    expression: Expression
    #: Where each argument of the row stands among the operands; of one that runs over a list the element.
    places: Mapping[str, int]
    #: The number of each argument, and of the output, ``y``.
    numbers: Mapping[str, float]
    #: The numbers over which a sum in it runs.
    elements: list[dict[str, float]]


def stated(graph: Graph, node: Node, place: int) -> Stated:
    """∂node/∂operand by the row's ``shown`` formula, whatever clause of it computed the number.

    Of a conditional only the branch taken is left, and arithmetic between literals is done.

    >>> from microbp import Value
    >>> graph = Graph(Value(0.5, name="x") ** 3, {})
    >>> str(stated(graph, graph.root, 0).expression)
    '3.0 * pow(a, 2.0)'
    """
    rule = node.rule
    assert rule is not None
    which, places = argument(node, place)

    def number(operand: float) -> float:
        return graph.nodes[operand].data if isinstance(operand, int) else operand

    scope = {"y": node.data} | {arg: number(node.operands[where]) for arg, where in places.items()}
    literals = [arg for arg, where in places.items() if isinstance(node.operands[where], float)]
    shown = rule.shown[which]
    # Of a list only what sums over it, or is the largest in it, needs more than the element itself.
    many = any(f"{each}(" in str(shown) for each in AGGREGATES)
    elements = rule.elements(rule.split([*map(number, node.operands)])) if many else []
    expression = at(shown, scope, literals, elements)
    if isinstance(expression.tree, ast.Constant):  # 1/3 says more than 0.3333333333333333
        expression = at(shown, scope, (), elements)
    return Stated(expression, places, scope, elements)


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
    """A local derivative in symbols and in numbers, put into words when one asks for them.

    >>> from microbp import Value
    >>> h = Value(0.0, name="x").sigmoid()
    >>> formula = Formula(Graph(h, {"h": h}), 1, 0)
    >>> formula.symbols, formula.numbers
    ('h·(1 − h)', '0.5·(1 − 0.5)')

    Two formulas are equal if they read alike.
    """

    __slots__ = ("graph", "node", "place")

    def __init__(self, graph: Graph, node: int, place: int) -> None:
        self.graph = graph
        #: The position of the node.
        self.node = node
        #: The place of the operand among the node's operands.
        self.place = place

    @property
    def symbols(self) -> str:
        """With the names of this node and its operands: ``h1·(1 − h1)``."""
        names = self._names()
        terms = {arg: Term(plain_name(x), ATOM) if isinstance(x, str) else x for arg, x in names.items()}
        return text(self._stated.expression, terms, self._over)

    @property
    def latex(self) -> str:
        """:attr:`symbols` as LaTeX for math mode."""
        return latex(self._stated.expression, self._names(), self._over)

    @property
    def numbers(self) -> str:
        """With their numbers, to four digits: ``0.5933·(1 − 0.5933)``."""
        numbers = {arg: plain_number(x, DIGITS) for arg, x in self._stated.numbers.items()}
        return text(self._stated.expression, numbers, self._over)

    @property
    def _stated(self) -> Stated:
        return stated(self.graph, self.graph.nodes[self.node], self.place)

    @property
    def _over(self) -> tuple[str, ...]:
        rule = self.graph.nodes[self.node].rule
        assert rule is not None
        return rule.over

    def _names(self) -> dict[str, str | float]:
        node = self.graph.nodes[self.node]
        found: dict[str, str | float] = {"y": node.name}
        for arg, place in self._stated.places.items():
            operand = node.operands[place]
            found[arg] = self.graph.names[operand] if isinstance(operand, int) else operand
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Formula):
            return NotImplemented
        return (self.symbols, self.numbers) == (other.symbols, other.numbers)

    def __hash__(self) -> int:
        return hash((self.symbols, self.numbers))

    def __repr__(self) -> str:
        return f"Formula({self.symbols} = {self.numbers})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Formula, (self.graph, self.node, self.place)
