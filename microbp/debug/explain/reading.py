"""What is printed, read back: the number of a printed line, and how far its rounded digits let it err."""

from __future__ import annotations

import ast
import math
import re

from microbp.debug.explain.digits import DIGITS, shown
from microbp.debug.explain.trees import functions, whole

__all__ = ["disagreement", "read"]

_TOKEN = re.compile(r"(?<![\w.])(\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)(?![\w.])")
_SIGNS = {"·": "*", "−": "-", "σ(": "sigmoid(", "π": "pi", "∞": "inf"} | {
    each: f"^{power}" for power, each in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")
}


def read(printed: str) -> float:
    """The number of an expression in numbers, as it is printed.

    >>> read("−(0.01 − 0.751365070)·2²")
    2.96546028
    """
    number, _ = _read(printed)
    return number


def _read(printed: str) -> tuple[float, float]:
    """The number, and by how much it can differ for what the printed digits leave open."""
    for sign, pythons in _SIGNS.items():
        printed = printed.replace(sign, pythons)
    tokens = _TOKEN.findall(printed)
    numbers = {f"t{k}": float(token) for k, token in enumerate(tokens)}
    count = iter(range(len(tokens)))
    symbolic = _TOKEN.sub(lambda _: f"t{next(count)}", printed).replace("^", "**")
    tree = _Powers().visit(ast.parse(symbolic, mode="eval").body)

    def value(scope: dict[str, float]) -> float:
        return float(whole(tree).evaluate(scope, functions()))

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
    places = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - places)


def disagreement(printed: str, result: str) -> str | None:
    """How a printed expression and its printed result disagree, or None.

    They may differ by what the digits printed leave open, and by rounding errors.

    >>> disagreement("0.333333333·3", "1")
    >>> disagreement("0.333333333·4", "1")
    'the printed 0.333333333·4 is 1.33333333, not 1'
    """
    try:
        (number, slack), (claimed, half) = _read(printed), _read(result)
    except (ArithmeticError, ValueError, KeyError, SyntaxError, AssertionError) as error:
        return f"the printed {printed} = {result} cannot be read back ({error})"
    if number == claimed or (math.isnan(number) and math.isnan(claimed)):
        return None
    if abs(number - claimed) <= 1.1 * (slack + half) + 1e-15 * abs(claimed) + 1e-300:
        return None
    return f"the printed {printed} is {shown(number)}, not {result}"


class _Powers(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Pow):
            return ast.Call(ast.Name("pow"), [left, right], [])
        return ast.BinOp(left, node.op, right)
