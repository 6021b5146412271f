"""What is left of an expression at given numbers: of each conditional the branch taken."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from microbp.expr import AGGREGATES, CONSTANTS, REAL, Expression
from microbp.text.safe import shown


def at(
    expression: Expression,
    numbers: Mapping[str, float],
    literals: Collection[str] = (),
    elements: Sequence[Mapping[str, float]] = (),
) -> Expression:
    """What is left of the expression at these ``numbers``: of each conditional the branch taken.

    ``literals`` are the names to be replaced by their numbers; arithmetic between literals is done.
    ``elements`` are the numbers over which ``total`` and ``largest`` run.

    >>> from microbp.expr import parse
    >>> slope = parse("0.0 if a <= 0.0 else 1.0 if a > 0.0 else a", "a", "relu")
    >>> str(at(slope, {"a": 2.5}))
    '1.0'
    >>> power = parse("b * pow(a, b - 1.0) if a != 0.0 or b >= 1.0 else inf", "ab", "pow")
    >>> str(at(power, {"a": 0.7, "b": 2.0}, literals=["b"]))
    '2.0 * a'
    """
    if missing := [*filter(lambda each: each not in numbers, literals)]:
        raise ValueError(f"at(): of the literal {shown(missing[0])} no number is given")
    tree = _At(numbers, literals, elements).visit(ast.parse(expression.text, mode="eval").body)
    names = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    return Expression(ast.unparse(tree), frozenset(names & {*numbers, *CONSTANTS}), tree)


class _At(ast.NodeTransformer):
    def __init__(
        self, numbers: Mapping[str, float], literals: Collection[str], elements: Sequence[Mapping[str, float]]
    ) -> None:
        self.numbers, self.literals, self.elements = numbers, literals, elements

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float(self.numbers[node.id])) if node.id in self.literals else node

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        whole = Expression(ast.unparse(node.test), frozenset(), node.test)
        try:
            test = whole.evaluate(self.numbers, REAL, self.elements)
        except (KeyError, ArithmeticError, ValueError):
            return self.generic_visit(node)
        return self.visit(node.body if test else node.orelse)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        made = ast.UnaryOp(node.op, self.visit(node.operand))
        return _computed(made) if isinstance(made.operand, ast.Constant) else made

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        both = ast.BinOp(left, node.op, right)
        match left, node.op, right:
            case ast.Constant(), _, ast.Constant():
                return _computed(both)
            case ast.Constant(value=1.0), ast.Mult(), _:
                return right  # type: ignore[no-any-return]
            case _, ast.Mult() | ast.Div(), ast.Constant(value=1.0):
                return left  # type: ignore[no-any-return]
        return both

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in AGGREGATES:
            return self._aggregate(node, name)
        args = [self.visit(each) for each in node.args]
        if name == "pow" and isinstance(args[1], ast.Constant) and args[1].value == 1.0:
            return args[0]  # type: ignore[no-any-return]
        return ast.Call(node.func, args, [])

    def _aggregate(self, node: ast.Call, name: str) -> ast.expr:
        """A sum in which every element is a literal, as when the largest are counted, is a literal."""
        runs = []
        for each in self.elements:
            inner = _At({**self.numbers, **each}, self.literals, self.elements)
            runs.append(inner.visit(ast.parse(ast.unparse(node.args[0]), mode="eval").body))
        if runs and all(isinstance(each, ast.Constant) for each in runs):
            return ast.Constant(REAL.functions[name]([each.value for each in runs]))
        return node


def _computed(node: ast.expr) -> ast.expr:
    try:
        return ast.Constant(Expression("", frozenset(), node).evaluate({}))
    except ArithmeticError:
        return node
