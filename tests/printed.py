"""What is printed, read back as people read it: the number, and how far its rounded digits let it err."""

from __future__ import annotations

import ast
import math
import re
from functools import cache

from matplotlib.mathtext import MathTextParser

from microbp.compiled import compiled
from microbp.expr import IEEE, Expression, Reading
from microbp.notation import plain_number
from microbp.rules import RULES, Rule

__all__ = ["disagreement", "read", "typeset"]

#: How many significant digits a rounded number is printed with.
DIGITS = 9
_TOKEN = re.compile(r"(?<![\w.])(\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)(?![\w.])")
_SIGNS = {"·": "*", "−": "-", "σ(": "sigmoid(", "π": "pi", "∞": "inf"} | {
    each: f"^{power}" for power, each in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")
}


def _called(rule: Rule) -> object:
    return lambda *operands: compiled(rule).value(*rule.split(operands))


def read(printed: str) -> float:
    """The number of an expression in numbers, as it is printed."""
    return _read(printed)[0]


def _read(printed: str) -> tuple[float, float]:
    """The number, and by how much it can differ for what the printed digits leave open."""
    for sign, pythons in _SIGNS.items():
        printed = printed.replace(sign, pythons)
    tokens = _TOKEN.findall(printed)
    numbers = {f"t{k}": float(token) for k, token in enumerate(tokens)}
    count = iter(range(len(tokens)))
    symbolic = _TOKEN.sub(lambda _: f"t{next(count)}", printed).replace("^", "**")
    tree = _Powers().visit(ast.parse(symbolic, mode="eval").body)
    reading = Reading({**{name: _called(rule) for name, rule in RULES.items()}, **IEEE.functions}, float)

    def value(scope: dict[str, float]) -> float:
        return float(Expression("", frozenset(), tree).evaluate(scope, reading))

    middle, slack = value(numbers), 0.0
    for name, token in zip(numbers, tokens, strict=True):
        half = _half(token)
        if half:
            sides = [value({**numbers, name: numbers[name] + side * half}) for side in (-1.0, 1.0)]
            slack += max(abs(side - middle) for side in sides)
    return middle, slack


def _half(token: str) -> float:
    """Half a unit of the last digit of a rounded number; 0 for an exact one."""
    mantissa, _, exponent = token.partition("e")
    digits = mantissa.replace(".", "").lstrip("0")
    if not digits or len(digits) < DIGITS or token in ("nan", "inf"):
        return 0.0
    return 0.5 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def disagreement(printed: str, result: str) -> str | None:
    """How a printed expression and its printed result disagree, or None."""
    (number, slack), (claimed, half) = _read(printed), _read(result)
    if number == claimed or (math.isnan(number) and math.isnan(claimed)):
        return None
    if abs(number - claimed) <= 1.1 * (slack + half) + 1e-15 * abs(claimed) + 1e-300:
        return None
    return f"the printed {printed} is {plain_number(number, DIGITS)}, not {result}"


class _Powers(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Pow):
            return ast.Call(ast.Name("pow"), [left, right], [])
        return ast.BinOp(left, node.op, right)


@cache
def typeset(formula: str) -> bool:
    """Whether Matplotlib, which reads a part of LaTeX, makes something of a formula."""
    return bool(MathTextParser("path").parse(f"${formula}$").width > 0)
