"""The rows of the table as NumPy: element by element, both branches of a condition computed.

A branch that is not taken may meet a number for which it is not defined; its result is then thrown away,
and the generated code asks NumPy not to warn.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS
from microbp.replay.trees import Tree, add, call, div, is_number, mul, neg, number, sub, text
from microbp.rules import RULES, Rule

__all__ = ["FORMS", "HELPERS", "PARTS", "Term", "array_tree", "helpers"]

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
    return weights.sum(axis=-1, keepdims=True)
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
}
_NUMPY = {"pow": "np.power", "asin": "np.arcsin", "acos": "np.arccos", "atan": "np.arctan"} | {
    each: f"np.{each}" for each in (
        "abs", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt", "log2",
        "log10", "maximum", "minimum", "sign", "logaddexp",
    )
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: lambda p, q: p < q, ast.LtE: lambda p, q: p <= q, ast.Gt: lambda p, q: p > q,
    ast.GtE: lambda p, q: p >= q, ast.Eq: lambda p, q: p == q, ast.NotEq: lambda p, q: p != q,
}  # fmt: skip
_MAKE: dict[type[ast.operator], Callable[[Tree, Tree], Tree]] = {
    ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: div,
}  # fmt: skip


class Term(NamedTuple):
    """An expression, and the axes that it has."""

    tree: Tree
    axes: frozenset[str] = frozenset()


#: What stands for ``total``, ``largest`` or ``rest`` of some elements, or for ``shift`` of two arguments.
Kept = Callable[[str, list[Term]], Term]


def _no_lists(function: str, _: list[Term]) -> Term:
    raise AssertionError(f"{function} is of lists")


def array_tree(rule: Rule, place: int | None, scope: Mapping[str, Term], kept: Kept = _no_lists) -> Term:
    """The value of a rule, or its derivative in the argument at ``place``, with names of ``scope`` replaced.

    ``kept`` has what is computed once.

    >>> from microbp.replay.trees import name
    >>> scope = {"a": Term(name("z")), "y": Term(name("h")), "b": Term(number(2.0))}
    >>> text(array_tree(RULES["relu"], None, scope).tree), text(array_tree(RULES["pow"], 0, scope).tree)
    ('np.maximum(z, 0.0)', '2.0 * z')
    """
    expression = rule.y if place is None else rule.d[place]
    tree = expression.tree
    if RULES.get(rule.name) is rule and rule.name in FORMS:
        form = FORMS[rule.name][0 if place is None else place + 1]
        if form and any(is_number(scope[each].tree) is None for each in expression.names & scope.keys()):
            tree = _parsed(form)
    return _Reader(scope, kept).term(tree)


def helpers(words: set[str]) -> list[str]:
    """The functions that are called, and that NumPy has not."""
    found = [source for word, source in HELPERS.items() if word in words]
    others = sorted(words & FUNCTIONS.keys() - HELPERS.keys())
    return found + [f"{word} = np.vectorize(FUNCTIONS[{word!r}].real, otypes=[float])\n" for word in others]


@cache
def _parsed(form: str) -> Tree:
    return ast.parse(form, mode="eval").body


@cache
def _part(node: ast.IfExp) -> Tree | None:
    """The form of a part of a row; the trees of rows stay as they are."""
    form = PARTS.get(ast.unparse(node))
    return _parsed(form) if form else None


class _Reader:
    """Reads expressions of the rule language as trees of NumPy."""

    def __init__(self, scope: Mapping[str, Term], kept: Kept) -> None:
        self.scope, self.kept = scope, kept

    def term(self, node: Tree) -> Term:
        match node:
            case ast.Constant(value=float() as value):
                return Term(number(value))
            case ast.Name(id=word):
                return self.scope[word] if word in self.scope else Term(number(CONSTANTS[word]))
            case ast.BinOp(left=left, op=op, right=right):
                return self._of(_MAKE[type(op)], left, right)
            case ast.UnaryOp(operand=operand):
                return self._of(neg, operand)
            case ast.IfExp() if form := _part(node):
                return self.term(form)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition = self.condition(test)
                if isinstance(condition, bool):
                    return self.term(body if condition else orelse)
                branches = self.term(body), self.term(orelse)
                if text(branches[0].tree) == text(branches[1].tree):
                    return branches[0]
                axes = condition.axes.union(*(each.axes for each in branches))
                return Term(call("np.where", condition.tree, *(each.tree for each in branches)), axes)
            case ast.Call(func=ast.Name(id=word), args=args) if word in (*AGGREGATES, "shift"):
                return self.kept(word, [self.term(each) for each in args])
            case ast.Call(func=ast.Name(id=word), args=args):
                return self._of(lambda *trees: _call(word, [*trees]), *args)
        raise AssertionError(f"unchecked expression {ast.unparse(node)}")

    def _of(self, make: Callable[..., Tree], *nodes: Tree) -> Term:
        terms = [self.term(each) for each in nodes]
        return Term(make(*(each.tree for each in terms)), frozenset().union(*(each.axes for each in terms)))

    def condition(self, node: Tree) -> Term | bool:
        """A condition over arrays; True or False where it is the same for all."""
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                numbers = [is_number(self.term(each).tree) for each in (left, right)]
                if None not in numbers:
                    return _COMPARE[type(op)](*numbers)  # type: ignore[arg-type]
                return self._of(lambda a, b, sign=op: ast.Compare(a, [sign], [b]), left, right)
            case ast.BoolOp(op=op, values=values):
                every = isinstance(op, ast.And)
                parts = [self.condition(each) for each in values]
                if any(part is (not every) for part in parts):
                    return not every
                joined: Term | bool = every
                for part in parts:
                    if not isinstance(part, bool):
                        sign = ast.BitAnd() if every else ast.BitOr()
                        joined = part if isinstance(joined, bool) else Term(
                            ast.BinOp(joined.tree, sign, part.tree), joined.axes | part.axes
                        )  # fmt: skip
                return joined
        raise AssertionError(f"unchecked condition {ast.unparse(node)}")


def _call(word: str, arguments: list[Tree]) -> Tree:
    numbers = [each for each in map(is_number, arguments) if each is not None]
    if len(numbers) == len(arguments) and word in FUNCTIONS:
        try:
            return number(FUNCTIONS[word].real(*numbers))
        except (ValueError, ArithmeticError):
            return number(float("nan"))
    if word == "pow":
        base, power = arguments
        match is_number(power):  # not 0.5: sqrt(-0.0) is -0.0, and pow(-inf, 0.5) is inf
            case 1.0:
                return base
            case 2.0:
                return call("np.square", base)
            case -1.0:
                return div(number(1.0), base)
    return call(_NUMPY.get(word, word), *arguments)
