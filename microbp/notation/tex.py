"""Expressions as LaTeX for math mode."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Collection, Mapping

from microbp.expr import Expression
from microbp.notation.names import latex_digits, latex_name, plain_number
from microbp.notation.writer import ATOM, CONDITIONAL, POWER, PRODUCT, SUM, Name, Term, Writer

__all__ = ["latex"]


def latex(expression: Expression, names: Mapping[str, Name], over: Collection[str] | None = None) -> str:
    r"""The expression as LaTeX for math mode, with the names as in :func:`text`.

    >>> from microbp.expr import parse
    >>> print(latex(parse("y * (1.0 - y)", ["a", "y"], "sigmoid"), {"y": "h1"}))
    h_1\,(1-h_1)
    >>> print(latex(parse("0.0 if a <= 0.0 else 1.0", "a", "relu"), {"a": "net_o1"}))
    \begin{cases}0 & \text{if } net_{o1}\le 0\\1 & \text{otherwise}\end{cases}
    """
    return _Latex(names, over).write(expression.tree).text


_FUNCTIONS = {name: f"\\{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "max")} | {
    "log": r"\ln", "asin": r"\arcsin", "acos": r"\arccos", "atan": r"\arctan", "sigmoid": r"\sigma",
    "minimum": r"\min", "maximum": r"\max",
}  # fmt: skip


class _Latex(Writer):
    minus = "-"
    operators: Mapping[type[ast.AST], str] = {
        ast.Lt: " < ", ast.LtE: r"\le ", ast.Gt: " > ", ast.GtE: r"\ge ", ast.Eq: "=", ast.NotEq: r"\ne ",
        ast.Add: "+", ast.Sub: "-", ast.And: r"\text{ and }", ast.Or: r"\text{ or }",
    }  # fmt: skip

    def parentheses(self, inner: str) -> str:
        tall = re.search(r"\\(frac|begin|sum)", inner)
        return rf"\left({inner}\right)" if tall else f"({inner})"

    def word(self, name: str) -> Term:
        return Term(latex_name(name), ATOM)

    def digits(self, written: str) -> Term:
        made = latex_digits(written)
        return Term(made, PRODUCT if made.startswith("-") or "^" in made else ATOM)

    def number(self, x: float) -> Term:
        return Term(r"\pi", ATOM) if x == math.pi else self.digits(plain_number(x))

    def element(self, name: str) -> Term:
        written = latex_name(name)
        index = "ijk"[min(self.depth, 3) - 1]
        return Term(f"{written if len(written) == 1 else f'{{{written}}}'}_{index}", ATOM)

    def product(self, left: ast.expr, right: ast.expr) -> Term:
        first, second = self.left(left, PRODUCT), self.right(right, POWER)
        sign = r"\cdot " if second[0].isdigit() else r"\,"
        return Term(f"{first}{sign}{second}", PRODUCT)

    def quotient(self, left: ast.expr, right: ast.expr) -> Term:
        above, below = self.write(left), self.write(right).text
        sign = "-" if above.level == PRODUCT and above.text.startswith("-") else ""
        return Term(rf"{sign}\frac{{{above.text.removeprefix(sign)}}}{{{below}}}", PRODUCT if sign else POWER)

    def conditional(self, node: ast.IfExp) -> Term:
        rows, rest = [], node
        while True:
            condition = self.write(rest.test).text
            rows.append(rf"{self.write(rest.body).text} & \text{{if }} {condition}")
            if not isinstance(rest.orelse, ast.IfExp):
                break
            rest = rest.orelse
        rows.append(rf"{self.write(rest.orelse).text} & \text{{otherwise}}")
        return Term("".join((r"\begin{cases}", r"\\".join(rows), r"\end{cases}")), CONDITIONAL)

    def call(self, name: str, args: list[ast.expr]) -> Term:
        inner = self.write(args[0]).text
        match name:
            case "pow":
                base = self.left(args[0], ATOM)
                if re.search(r"\^\{[^{}]*\}$", base):  # a name with a superscript of its own
                    base = self.parentheses(base)
                return Term(f"{base}^{{{self.write(args[1]).text}}}", POWER)
            case "exp":
                return Term(f"e^{{{inner}}}", POWER)
            case "expm1":
                return Term(f"e^{{{inner}}}-1", SUM)
            case "log1p":
                return Term(rf"\ln{self.parentheses(f'1+{self.right(args[0], PRODUCT)}')}", ATOM)
            case "sqrt":
                return Term(rf"\sqrt{{{inner}}}", ATOM)
            case "abs":
                return Term(rf"\left|{inner}\right|", ATOM)
        inner = ",".join(self.write(each).text for each in args)
        function = _FUNCTIONS.get(name, rf"\operatorname{{{name}}}".replace("_", r"\_"))
        return Term(f"{function}{self.parentheses(inner)}", ATOM)

    def aggregate(self, name: str, inner: ast.expr) -> Term:
        index = "ijk"[min(self.depth, 3) - 1]
        if name == "total":
            return Term(rf"\sum_{index} {self.left(inner, PRODUCT)}", SUM)
        sign = r"\max" if name == "largest" else rf"\operatorname{{{name}}}"
        return Term(f"{sign}_{index}{self.parentheses(self.write(inner).text)}", ATOM)
