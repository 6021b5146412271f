"""Expressions as plain text, which reads back to the last bit."""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Mapping

from microbp.expr import Expression
from microbp.notation.names import plain_name, plain_number
from microbp.notation.writer import ATOM, CONDITIONAL, OR, POWER, PRODUCT, Name, Term, Writer

__all__ = ["text"]


def text(expression: Expression, names: Mapping[str, Name], over: Collection[str] | None = None) -> str:
    """The expression as plain text, each argument by its entry in ``names``, else by its own name.

    An entry that is a number, or the text of one, is written as a number; a name that is not one word
    stands in quotes. ``over`` holds the arguments that run over lists: inside Σ and max they keep their
    own names, with an index, while outside their entry is the element in question. Unless given, every
    argument inside Σ and max is one of them.

    >>> from microbp.expr import parse
    >>> sigmoid = parse("y * (1.0 - y)", ["a", "y"], "sigmoid")
    >>> text(sigmoid, {"y": "h1"}), text(sigmoid, {"y": "-0.5"})
    ('h1·(1 − h1)', '−0.5·(1 − (−0.5))')
    >>> text(parse("b * pow(a, b - 1.0)", "ab", "pow"), {"a": "x", "b": 3.0})
    '3·x^(3 − 1)'
    >>> text(parse("x / total(pow(x, 2.0))", "x", "share", many=True), {"x": "z3"})
    'z3/Σ(xᵢ²)'
    """
    return _Plain(names, over).write(expression.tree).text


class _Plain(Writer):
    operators: Mapping[type[ast.AST], str] = {
        ast.Lt: " < ", ast.LtE: " ≤ ", ast.Gt: " > ", ast.GtE: " ≥ ", ast.Eq: " = ", ast.NotEq: " ≠ ",
        ast.Add: " + ", ast.Sub: " − ", ast.And: " and ", ast.Or: " or ",
    }  # fmt: skip

    def word(self, name: str) -> Term:
        return Term(plain_name(name), ATOM)

    def digits(self, written: str) -> Term:
        return Term(written, PRODUCT if written.startswith("−") else ATOM)

    def number(self, x: float) -> Term:
        return Term("π", ATOM) if x == math.pi else self.digits(plain_number(x))

    def element(self, name: str) -> Term:
        return Term(name + "ᵢⱼₖ"[min(self.depth, 3) - 1], ATOM)

    def product(self, left: ast.expr, right: ast.expr) -> Term:
        return Term(f"{self.first(left)}·{self.right(right, POWER)}", PRODUCT)

    def quotient(self, left: ast.expr, right: ast.expr) -> Term:
        return Term(f"{self.first(left)}/{self.right(right, POWER)}", PRODUCT)

    def first(self, node: ast.expr) -> str:
        """The first of two factors. A quotient stands in parentheses: a/b·c could be read as a/(b·c)."""
        inner = node.operand if isinstance(node, ast.UnaryOp) else node
        quotient = isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Div)
        return self.left(node, ATOM if quotient else PRODUCT)

    def conditional(self, node: ast.IfExp) -> Term:
        body, test = self.left(node.body, OR), self.left(node.test, OR)
        return Term(f"{body} if {test} else {self.left(node.orelse, CONDITIONAL)}", CONDITIONAL)

    def call(self, name: str, args: list[ast.expr]) -> Term:
        if name == "pow":
            base, exponent = self.left(args[0], ATOM), self.write(args[1])
            if len(exponent.text) == 1 and exponent.text.isdigit():
                return Term(base + "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(exponent.text)], POWER)
            return Term(f"{base}^{self.enclosed(exponent, ATOM)}", POWER)
        sign = "σ" if name == "sigmoid" else name
        return Term(f"{sign}({', '.join(self.write(each).text for each in args)})", ATOM)

    def aggregate(self, name: str, inner: ast.expr) -> Term:
        sign = {"total": "Σ", "largest": "max"}.get(name, name)
        return Term(f"{sign}({self.write(inner).text})", ATOM)
