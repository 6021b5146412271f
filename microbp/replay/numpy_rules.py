"""The rows of the table as NumPy: element by element, both branches of a condition computed.

A branch that is not taken may meet a number for which it is not defined; its result is then thrown away,
and the generated code asks NumPy not to warn.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from microbp.expr import Expression
from microbp.replay.axes import Piece, elementwise, in_order, over, piece_of, plus, times
from microbp.replay.code import reading, text
from microbp.rules import RULES, Rule

__all__ = ["FORMS", "HELPERS", "PARTS", "array_code", "helpers"]

#: For rows of the table what says the same as the value, and as each derivative, in fewer calls; "" where
#: there is nothing shorter. Equal to the last digits, which a test holds for all kinds of numbers.
FORMS: dict[str, tuple[str, ...]] = {
    "relu": ("maximum(a, 0.0)", "sign(y)"),
    "abs": ("", "sign(a)"),
    "minimum": ("minimum(a, b)", "", ""),
    "maximum": ("maximum(a, b)", "", ""),
    # Below -709 the exponential overflows, and the result is 0 instead of a number below 1e-307.
    "sigmoid": ("1.0 / (1.0 + exp(-a))", "d_sigmoid(a, y)"),
    "tanh": ("", "d_tanh(a, y)"),
    "softplus": ("logaddexp(0.0, a)", "1.0 / (1.0 + exp(-a))"),
}
#: The same for parts of rows, which only where numbers are infinite are more than the plain formula.
PARTS = {
    "1.0 if x == largest(x) and abs(x) == inf else exp(x - largest(x))": "exp(-shift(x, largest(x)))",
    "0.0 if x == largest(x) and abs(x) == inf else largest(x) - x": "shift(x, largest(x))",
    "0.0 if t == 0.0 and largest(x) - x == inf or (x == largest(x) and abs(x) == inf) "
    "else t * (largest(x) - x)": "times(t, shift(x, largest(x)))",
}  # fmt: skip
#: Functions that the source defines when it needs them.
HELPERS: dict[str, str] = {
    "d_sigmoid": '''\
def d_sigmoid(a, y):
    """y·(1 - y), which loses digits where y is close to 1; there exp(-a)·y², which keeps them."""
    if y.max() < 0.999:
        return y * (1.0 - y)
    return np.where(a < 5.0, y * (1.0 - y), np.exp(-a) * y * y)
''',
    "d_tanh": '''\
def d_tanh(a, y):
    """1 - y², which loses digits where y² is close to 1; there 1/cosh²(a), which keeps them."""
    square = y * y
    if square.max() < 0.999:
        return 1.0 - square
    return np.where(square < 0.9, 1.0 - square, 1.0 / np.square(np.cosh(a)))
''',
    "rest": '''\
def rest(weights):
    """The sums of all but one of the largest: they keep the digits that the whole sums would lose."""
    weights = weights.copy()
    rows = weights.reshape(-1, weights.shape[-1])
    rows[np.arange(len(rows)), rows.argmax(axis=1)] = 0.0
    return weights.sum(axis=-1)
''',
    "sigmoid": '''\
def sigmoid(a):
    """The logistic function; where exp(-a) overflows it is 0."""
    return 1.0 / (1.0 + np.exp(-a))
''',
    "shift": '''\
def shift(a, top):
    """top - a; 0 where both are the same infinity."""
    return np.where((a == top) & (np.abs(a) == np.inf), 0.0, top - a)
''',
    "times": '''\
def times(t, distance):
    """t·distance; 0 where 0 meets an infinite distance."""
    return np.where((t == 0.0) & (distance == np.inf), 0.0, t * distance)
''',
    "erf": "erf = np.vectorize(math.erf, otypes=[float])\n",
    "erfc": "erfc = np.vectorize(math.erfc, otypes=[float])\n",
    "dpow": "dpow = np.vectorize(FUNCTIONS['dpow'].real, otypes=[float])\n",
}
#: What the language's words are in NumPy; those that are not here bear the same name, in NumPy or the source.
_NUMPY: dict[Any, Any] = {
    "pow": "np.power", "asin": "np.arcsin", "acos": "np.arccos", "atan": "np.arctan", ast.IfExp: "np.where",
    ast.And: ast.BitAnd, ast.Or: ast.BitOr,
} | {
    each: f"np.{each}" for each in (
        "abs", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt", "log2",
        "log10", "maximum", "minimum", "sign", "logaddexp",
    )
}  # fmt: skip
_ARITHMETIC: dict[Any, Callable[..., Piece]] = {
    ast.Add: plus, ast.Sub: lambda a, b: plus(a, piece_of(b).scaled(-1.0)), ast.Mult: times, ast.Div: over,
    ast.USub: lambda a: piece_of(a).scaled(-1.0),
}  # fmt: skip
#: The functions that only the shorter forms call.
_OF_FORMS = ("d_sigmoid", "d_tanh", "logaddexp", "maximum", "minimum", "shift", "sign", "times")


def array_code(
    rule: Rule, place: int | None, scope: Mapping[str, Piece | float],
    kept: Mapping[str, Callable[..., Any]] | None = None,
) -> Any:  # fmt: skip
    """The value of a rule, or its derivative in the argument at ``place``: a piece, or a number.

    ``scope`` holds the arguments, those that are lists along the axis k; ``kept`` makes aggregates of these,
    and what is to be computed once.
    """
    full = rule.y if place is None else rule.d[place]
    number = all(isinstance(scope[each], float) for each in full.names & scope.keys())
    functions = {word: (lambda *operands, word=word: _made(word, operands)) for word in _OF_FORMS}
    read = full if number else _shorter(rule, place)
    return read.evaluate(scope, reading(_made, {**functions, **(kept or {})}), [{}])


@cache
def _shorter(rule: Rule, place: int | None) -> Expression:
    """The shortest text that says the same as the value of a rule, or as its derivative."""
    full = rule.y if place is None else rule.d[place]
    forms = FORMS.get(rule.name) if RULES.get(rule.name) is rule else None
    short = (forms[0 if place is None else place + 1] if forms else "") or ast.unparse(full.tree)
    for part, form in PARTS.items():
        short = short.replace(part, form)
    return Expression(short, full.names, ast.parse(short, mode="eval").body)


def _made(word: Any, operands: tuple[Any, ...]) -> Piece:
    """A function or an operator of pieces and numbers."""
    match word, operands:
        case "pow", (base, 1.0):
            return base  # type: ignore[no-any-return]
        case "pow", (base, 2.0):
            return elementwise("np.square", base)
        case "pow", (base, -1.0):  # not 0.5: sqrt(-0.0) is -0.0, and pow(-inf, 0.5) is inf
            return over(1.0, base)
        case ast.IfExp, (_, body, orelse) if text(in_order(body).code) == text(in_order(orelse).code):
            return in_order(body)
    made = _ARITHMETIC.get(word) or partial(elementwise, _NUMPY.get(word, word))
    return made(*operands)


def helpers(words: set[str]) -> list[str]:
    """The functions that are called, and that NumPy has not."""
    return [source for word, source in HELPERS.items() if word in words]
