"""Trees of expressions: how they are put together, taken apart, and evaluated."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

from microbp.compiled import compiled
from microbp.debug.explain.digits import shown
from microbp.expr import REAL, Expression, Reading
from microbp.rules import RULES, Rule

__all__ = ["Math", "Negated", "flat", "functions", "product", "rounded", "total", "whole"]


class Math(NamedTuple):
    """A formula in both forms."""

    text: str
    latex: str


def whole(tree: ast.expr) -> Expression:
    """A tree as an Expression."""
    return Expression("", frozenset(), tree)


def functions() -> Reading:
    """What computes an expression that may call the operations of the table."""
    own = {name: _flat(rule) for name, rule in RULES.items()}
    return Reading({**own, **REAL.functions}, REAL.judged)


def _flat(rule: Rule) -> Any:
    return lambda *operands: compiled(rule).value(*rule.split(operands))


def product(factors: Sequence[ast.expr]) -> ast.expr:
    """The factors multiplied; 1 where there is none."""
    if not factors:
        return ast.Constant(1.0)
    tree = factors[0]
    for each in factors[1:]:
        tree = ast.BinOp(tree, ast.Mult(), each)
    return tree


def total(terms: Sequence[ast.expr]) -> ast.expr:
    """The terms added."""
    tree = terms[0]
    for each in terms[1:]:
        tree = ast.BinOp(tree, ast.Add(), each)
    return tree


def flat(tree: ast.expr) -> list[ast.expr]:
    """The factors of a product; a minus sign is the factor -1."""
    match tree:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return flat(left) + flat(right)
        case ast.BinOp(left=ast.UnaryOp(operand=above), op=ast.Div(), right=below):
            return [ast.Constant(-1.0), ast.BinOp(above, ast.Div(), below)]
        case ast.UnaryOp(operand=operand):
            return [ast.Constant(-1.0), *flat(operand)]
    return [tree]


def rounded(tree: ast.expr) -> tuple[ast.expr, dict[str, str]]:
    """The tree with a name for each literal of many digits, and the digits to be printed for it."""
    literals: dict[str, str] = {}

    class Rounded(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.expr:
            assert isinstance(node.value, float)
            if len(shown(node.value)) >= len(repr(node.value)):
                return node
            literals[f"c{len(literals)}"] = shown(node.value)
            return ast.Name(f"c{len(literals) - 1}")

    return Rounded().visit(copy.deepcopy(tree)), literals


class Negated(ast.NodeTransformer):
    """The opposite of a condition, for numbers that are not nan."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """The opposite comparison."""
        opposite: dict[type[ast.cmpop], ast.cmpop] = {
            ast.Lt: ast.GtE(), ast.GtE: ast.Lt(), ast.Gt: ast.LtE(), ast.LtE: ast.Gt(), ast.Eq: ast.NotEq(),
            ast.NotEq: ast.Eq(),
        }  # fmt: skip
        return ast.Compare(node.left, [opposite[type(node.ops[0])]], node.comparators)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """By De Morgan."""
        swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return ast.BoolOp(swapped, [self.visit(each) for each in node.values])
