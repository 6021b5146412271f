"""The texts of the rule table as NumPy: element by element, both branches of a condition computed.

A branch that is not taken may meet a number for which it is not defined; its result is then thrown away,
and the generated code asks NumPy not to warn.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS, Expression
from microbp.replay.matrix.build import Tree, add, call, div, is_number, mul, neg, number, parsed, sub, text

__all__ = ["FORMS", "HELPERS", "array_tree", "reduced", "reduction"]

#: Texts of the table and what says the same in NumPy in fewer calls; to the last digits, where so noted.
FORMS: dict[str, str] = {
    "0.0 if a <= 0.0 else a": "np.maximum(a, 0.0)",
    "0.0 if a <= 0.0 else 1.0 if a > 0.0 else nan": "np.sign(y)",
    "1.0 if a > 0.0 else -1.0 if a < 0.0 else 0.0 if a == 0.0 else nan": "np.sign(a)",
    "a if a < b else b if b <= a else nan": "np.minimum(a, b)",
    "a if a > b else b if b >= a else nan": "np.maximum(a, b)",
    # Below -709 the exponential overflows, and the result is 0 instead of a number below 1e-307.
    "1.0 / (1.0 + exp(-a)) if a > -700.0 else exp(a)": "1.0 / (1.0 + np.exp(-a))",
    "a + log1p(exp(-a)) if a > 0.0 else log1p(exp(a))": "np.logaddexp(0.0, a)",
    "y * (1.0 - y) if a < 5.0 else exp(-a) * y * y": "d_sigmoid(a, y)",
    "1.0 - y * y if abs(a) < 2.0 else 4.0 * exp(-2.0 * abs(a)) / pow(1.0 + exp(-2.0 * abs(a)), 2.0)":
        "d_tanh(a, y)",
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
def rest(weights, axis=-1):
    """The sum of all but one of the largest: it keeps the digits that the whole sum would lose."""
    weights = weights.copy()
    np.put_along_axis(weights, weights.argmax(axis=axis, keepdims=True), 0.0, axis=axis)
    return weights.sum(axis=axis, keepdims=True)
''',
    "sigmoid": '''\
def sigmoid(a):
    """The logistic function; where exp(-a) overflows it is 0."""
    return 1.0 / (1.0 + np.exp(-a))
''',
    "dpow": "from microbp.expr import dpow as _dpow\n\ndpow = np.vectorize(_dpow, otypes=[float])\n",
    "erf": "erf = np.vectorize(math.erf, otypes=[float])\n",
    "erfc": "erfc = np.vectorize(math.erfc, otypes=[float])\n",
}

_NUMPY = {
    "sigmoid": "sigmoid", "dpow": "dpow",
    "abs": "np.abs", "pow": "np.power", "asin": "np.arcsin", "acos": "np.arccos", "atan": "np.arctan",
    "erf": "erf", "erfc": "erfc",
}  # fmt: skip
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}

Aggregate = Callable[[str, Tree], Tree]


def array_tree(expression: Expression, scope: Mapping[str, Tree], aggregate: Aggregate | None = None) -> Tree:
    """The expression over arrays, with the names of ``scope`` replaced.

    ``aggregate(function, elements)`` says what stands for ``total`` and ``largest``.

    >>> from microbp.replay.matrix.build import parsed
    >>> from microbp.rules import RULES
    >>> scope = {"a": parsed("z[:, 0:2]"), "y": parsed("h"), "b": number(2.0)}
    >>> text(array_tree(RULES["relu"].y, scope)), text(array_tree(RULES["pow"].d[0], scope))
    ('np.maximum(z[:, 0:2], 0.0)', '2.0 * z[:, 0:2]')
    """
    form = FORMS.get(expression.text)
    open_names = [name for name in expression.names & scope.keys() if is_number(scope[name]) is None]
    if form is not None and open_names:
        made: Tree = _Named(scope).visit(ast.parse(form, mode="eval").body)
        return made
    return _tree(expression.tree, scope, aggregate)


def reduction(function: str, elements: Tree, *, axis: int = -1, keep: bool = True) -> Tree:
    """``total``, ``largest`` or ``rest`` along an axis of arrays; to ``keep``, it stays with the length 1."""
    if function == "rest":
        along = "" if axis == -1 else f", axis={axis}"
        return parsed(f"rest({text(elements)}{along})" + ("" if keep else "[..., 0]"))
    method, kept = "sum" if function == "total" else "max", ", keepdims=True" if keep else ""
    return parsed(f"({text(elements)}).{method}(axis={axis}{kept})")


def reduced(function: str, number: float, length: int) -> float:
    """The same of as many equal numbers."""
    return {"total": length, "largest": 1, "rest": length - 1}[function] * number


class _Named(ast.NodeTransformer):
    def __init__(self, scope: Mapping[str, Tree]) -> None:
        self.scope = scope

    def visit_Name(self, node: ast.Name) -> Tree:
        return self.scope.get(node.id, node)


def _tree(node: Tree, scope: Mapping[str, Tree], aggregate: Aggregate | None) -> Tree:
    match node:
        case ast.Constant(value=float() as value):
            return number(value)
        case ast.Name(id=name):
            return scope[name] if name in scope else number(CONSTANTS[name])
        case ast.BinOp(left=left, op=op, right=right):
            make = {ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: div}[type(op)]
            return make(_tree(left, scope, aggregate), _tree(right, scope, aggregate))
        case ast.UnaryOp(operand=operand):
            return neg(_tree(operand, scope, aggregate))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            condition = _condition(test, scope, aggregate)
            if isinstance(condition, bool):
                return _tree(body if condition else orelse, scope, aggregate)
            branches = _tree(body, scope, aggregate), _tree(orelse, scope, aggregate)
            if text(branches[0]) == text(branches[1]):
                return branches[0]
            return call("np.where", condition, *branches)
        case ast.Call(func=ast.Name(id=name), args=args):
            if name in AGGREGATES:
                assert aggregate is not None
                return aggregate(name, _tree(args[0], scope, aggregate))
            return _call(name, [_tree(arg, scope, aggregate) for arg in args])
    raise AssertionError(f"unchecked expression {text(node)}")


def _call(name: str, arguments: list[Tree]) -> Tree:
    numbers = [each for each in map(is_number, arguments) if each is not None]
    if len(numbers) == len(arguments):
        try:
            return number(FUNCTIONS[name].real(*numbers))
        except (ValueError, ArithmeticError):
            return number(float("nan"))
    if name == "pow":
        base, power = arguments
        match is_number(power):
            case 1.0:
                return base
            case 2.0:
                return call("np.square", base)
            case 0.5:
                pass  # sqrt(-0.0) is -0.0, and pow(-inf, 0.5) is inf
            case -1.0:
                return div(number(1.0), base)
    return call(_NUMPY.get(name, f"np.{name}"), *arguments)


def _condition(node: Tree, scope: Mapping[str, Tree], aggregate: Aggregate | None) -> Tree | bool:
    """A condition over arrays; True or False where it is the same for all."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            a, b = _tree(left, scope, aggregate), _tree(right, scope, aggregate)
            p, q = is_number(a), is_number(b)
            sign = _COMPARE[type(op)]
            if p is not None and q is not None:
                return bool(eval(f"p {sign} q", {"p": p, "q": q}))
            return ast.Compare(a, [op], [b])
        case ast.BoolOp(op=op, values=values):
            every = isinstance(op, ast.And)
            parts = [_condition(each, scope, aggregate) for each in values]
            if any(part is (not every) for part in parts):
                return not every
            open_parts = [part for part in parts if not isinstance(part, bool)]
            if not open_parts:
                return every
            joined = open_parts[0]
            for part in open_parts[1:]:
                joined = ast.BinOp(joined, ast.BitAnd() if every else ast.BitOr(), part)
            return joined
    raise AssertionError(f"unchecked condition {text(node)}")
