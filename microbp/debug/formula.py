"""``Formula``: the local derivative of one node in one of its operands, as people write it."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from microbp.expr import AGGREGATES, IEEE, Expression
from microbp.graph import Graph, Node
from microbp.notation import at, latex, plain_name, plain_number, text
from microbp.notation.writer import ATOM, Term
from microbp.rules import Rule

__all__ = ["DIGITS", "Formula", "written"]

#: How many digits a number in a formula has.
DIGITS = 4


class Formula:
    """A local derivative in symbols and in numbers, put into words when one asks for them.

    Of a conditional only the branch taken is shown, and literals are multiplied out.

    >>> from microbp import Value
    >>> h = Value(0.0, name="x").sigmoid()
    >>> formula = Formula(Graph(h, {"h": h}), 1, 0)
    >>> formula.symbols
    'h·(1 − h)'
    >>> formula.numbers
    '0.5·(1 − 0.5)'

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
        stated = self._stated()
        names: dict[str, Term | float] = {
            arg: Term(plain_name(name), ATOM) if isinstance(name, str) else name
            for arg, name in stated.names.items()
        }
        return text(stated.expression, names, stated.over)

    @property
    def latex(self) -> str:
        """:attr:`symbols` as LaTeX for math mode."""
        stated = self._stated()
        return latex(stated.expression, stated.names, stated.over)

    @property
    def numbers(self) -> str:
        """With their numbers, to four digits: ``0.5933·(1 − 0.5933)``."""
        stated = self._stated()
        numbers = {arg: plain_number(x, DIGITS) for arg, x in stated.numbers.items()}
        return text(stated.expression, numbers, stated.over)

    def _stated(self) -> _Stated:
        """What the rule states for the derivative in this operand, at this node's numbers."""
        node = self.graph.nodes[self.node]
        rule = node.rule
        assert rule is not None
        which, places = _places(node, self.place)
        names: dict[str, str | float] = {"y": node.name}
        numbers = {"y": node.data}
        literals = []
        for arg, place in places.items():
            operand = node.operands[place]
            if type(operand) is int:
                names[arg], numbers[arg] = self.graph.nodes[operand].name, self.graph.nodes[operand].data
            else:
                names[arg] = numbers[arg] = operand
                literals.append(arg)
        many = any(f"{each}(" in str(form[which]) for form in (rule.d, rule.shown) for each in AGGREGATES)
        elements = self._elements(node) if many else []
        expression = written(rule, which, numbers, elements, node.local_derivatives[self.place])
        stated = at(expression, numbers, literals, elements)
        if isinstance(stated.tree, ast.Constant):  # 1/3 says more than 0.3333333333333333
            stated = at(expression, numbers, (), elements)
        return _Stated(stated, names, numbers, rule.over)

    def _elements(self, node: Node) -> list[dict[str, float]]:
        """The numbers over which a sum in the derivative runs."""
        rule = node.rule
        assert rule is not None
        numbers = [self.graph.nodes[x].data if type(x) is int else x for x in node.operands]
        scope = dict(zip(rule.args, rule.split(numbers), strict=True))
        lists = zip(*(scope[arg] for arg in rule.over), strict=True)
        return [dict(zip(rule.over, each, strict=True)) for each in lists]

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


def written(
    rule: Rule,
    which: int,
    numbers: Mapping[str, float],
    elements: Sequence[Mapping[str, float]],
    recorded: float | None,
) -> Expression:
    """The derivative in an argument as people write it, where that gives the ``recorded`` number.

    Else, where that formula loses its digits or has no value, as it is computed.
    """
    number = rule.shown[which].evaluate(numbers, IEEE, elements)
    fits = recorded is None or (math.isfinite(number) and math.isclose(number, recorded, rel_tol=1e-14))
    return rule.shown[which] if fits else rule.d[which]


class _Stated(NamedTuple):
    expression: Expression
    #: The name of each argument and of the output; a literal's number.
    names: dict[str, str | float]
    numbers: dict[str, float]
    over: tuple[str, ...]


def _places(node: Node, place: int) -> tuple[int, dict[str, int]]:
    """Which of the rule's arguments the operand at ``place`` is, and where each argument stands.

    Of an argument that runs over a list, the place is that of the element beside this operand.
    """
    rule = node.rule
    assert rule is not None
    which = element = 0
    split = rule.split(range(len(node.operands)))
    for index, where in enumerate(split):
        if type(where) is not list and where == place:
            which = index
        elif type(where) is list and where and where[0] <= place <= where[-1]:
            which, element = index, place - where[0]
    return which, {
        arg: where if type(where) is not list else where[element]
        for arg, where in zip(rule.args, split, strict=True)
        if where != []
    }
