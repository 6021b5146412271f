"""The rows of the table as NumPy: element by element, both branches of a condition computed.

A branch that is not taken may meet a number for which it is not defined; its result is then thrown away,
and the generated code asks NumPy not to warn.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS
from microbp.replay.trees import (
    Tree,
    add,
    call,
    div,
    index,
    is_number,
    method,
    mul,
    name,
    neg,
    number,
    sub,
    text,
)  # fmt: skip
from microbp.rules import RULES, Rule

__all__ = ["FORMS", "HELPERS", "PARTS", "array_tree", "helpers", "reduction"]

#: For rows of the table what says the same as the value, and as each derivative, in fewer calls; "" where
#: there is nothing shorter. Equal to the last digits, which a test holds for all kinds of numbers.
FORMS: dict[str, tuple[str, ...]] = {
    "relu": ("np.maximum(a, 0.0)", "np.sign(y)"),
    "abs": ("", "np.sign(a)"),
    "minimum": ("np.minimum(a, b)", "", ""),
    "maximum": ("np.maximum(a, b)", "", ""),
    # Below -709 the exponential overflows, and the result is 0 instead of a number below 1e-307.
    "sigmoid": ("1.0 / (1.0 + np.exp(-a))", "d_sigmoid(a, y)"),
    "tanh": ("", "d_tanh(a, y)"),
    "softplus": ("np.logaddexp(0.0, a)", "1.0 / (1.0 + np.exp(-a))"),
}
#: The same for parts of rows, which only where numbers are infinite are more than the plain formula.
PARTS = {
    "1.0 if x == largest(x) and abs(x) == inf else exp(x - largest(x))": "np.exp(-shift(x, largest(x)))",
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
    "rest_of_one": '''\
def rest_of_one(weights):
    """The sums of all but the largest, which is 1: the whole sums less 1 where that loses no digits."""
    sums = weights.sum(axis=-1, keepdims=True) - 1.0
    return sums if sums.min() > 0.001 else rest(weights)
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
    """top - a; 0 where both are the same infinity. One product tells whether all are finite."""
    if np.vdot(top, top) < np.inf:
        return top - a
    return np.where((a == top) & (np.abs(a) == np.inf), 0.0, top - a)
''',
    "times": '''\
def times(t, distance):
    """t·distance; 0 where 0 meets an infinite distance."""
    product = t * distance
    if np.vdot(distance, distance) < np.inf:
        return product
    return np.where((t == 0.0) & (distance == np.inf), 0.0, product)
''',
    "erf": "erf = np.vectorize(math.erf, otypes=[float])\n",
    "erfc": "erfc = np.vectorize(math.erfc, otypes=[float])\n",
}
_FORM_TREES = {
    each: tuple(ast.parse(form, mode="eval").body if form else None for form in forms)
    for each, forms in FORMS.items()
}
_PART_TREES = {part: ast.parse(form, mode="eval").body for part, form in PARTS.items()}
_NUMPY = {"abs": "np.abs", "pow": "np.power", "asin": "np.arcsin", "acos": "np.arccos", "atan": "np.arctan"}
_IN_NUMPY = {
    "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt", "log2", "log10",
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: lambda p, q: p < q, ast.LtE: lambda p, q: p <= q, ast.Gt: lambda p, q: p > q,
    ast.GtE: lambda p, q: p >= q, ast.Eq: lambda p, q: p == q, ast.NotEq: lambda p, q: p != q,
}  # fmt: skip

#: What stands for ``total`` and ``largest`` of some elements.
Aggregate = Callable[[str, Tree], Tree]


def array_tree(
    rule: Rule,
    place: int | None,
    scope: Mapping[str, Tree],
    aggregate: Aggregate | None = None,
    known: Callable[[Tree], Tree] = lambda tree: tree,
) -> Tree:
    """The value of a rule, or its derivative in the argument at ``place``, with names of ``scope`` replaced.

    ``known`` says what has been computed already.

    >>> from microbp.replay.trees import name
    >>> scope = {"a": name("z"), "y": name("h"), "b": number(2.0)}
    >>> text(array_tree(RULES["relu"], None, scope)), text(array_tree(RULES["pow"], 0, scope))
    ('np.maximum(z, 0.0)', '2.0 * z')
    """
    expression = rule.y if place is None else rule.d[place]
    if RULES.get(rule.name) is rule and rule.name in FORMS:
        form = _FORM_TREES[rule.name][0 if place is None else place + 1]
        given = [scope[each] for each in expression.names & scope.keys()]
        if form is not None and any(is_number(each) is None for each in given):
            return _Reader(scope, aggregate, known).form(form)
    return _Reader(scope, aggregate, known).tree(expression.tree)


def reduction(function: str, elements: Tree, length: Tree, *, axis: int, keep: bool) -> Tree:
    """``total``, ``largest``, ``rest`` or ``rest_of_one`` along an axis of so many elements.

    To ``keep``, the axis stays, with one element.
    """
    if is_number(elements) is not None:
        fewer = sub(length, number(1.0)) if function.startswith("rest") else length
        return elements if function == "largest" else mul(elements, fewer)
    if function.startswith("rest"):
        made = call(function, elements)
        return made if keep else index(made, ast.Constant(...), 0)
    kept = {"keepdims": name("True")} if keep else {}
    return method(elements, "sum" if function == "total" else "max", axis=ast.Constant(axis), **kept)


def helpers(words: set[str]) -> list[str]:
    """The functions that are called, and that NumPy has not."""
    if "rest_of_one" in words:
        words = words | {"rest"}
    found = [source for word, source in HELPERS.items() if word in words]
    others = sorted(words & FUNCTIONS.keys() - HELPERS.keys())
    return found + [f"{word} = np.vectorize(FUNCTIONS[{word!r}].real, otypes=[float])\n" for word in others]


class _Reader:
    """Reads expressions of the rule language as trees of NumPy."""

    def __init__(
        self, scope: Mapping[str, Tree], aggregate: Aggregate | None, known: Callable[[Tree], Tree]
    ) -> None:
        self.scope, self.aggregate, self.known = scope, aggregate, known

    def form(self, node: Tree) -> Tree:
        """A form with its names replaced."""
        match node:
            case ast.Name(id=word):
                return self.scope.get(word, node)
            case ast.Call(func=func, args=args):
                return ast.Call(func, [self.form(each) for each in args], [])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return add(self.form(left), self.form(right))
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return div(self.form(left), self.form(right))
            case ast.UnaryOp(operand=operand):
                return neg(self.form(operand))
        return node

    def part(self, node: Tree) -> Tree:
        """A form whose arguments are expressions of the language, or forms again."""
        match node:
            case ast.UnaryOp(operand=operand):
                return neg(self.part(operand))
            case ast.Call(func=ast.Name(id="largest")) | ast.Name():
                return self.tree(node)
            case ast.Call(func=func, args=args):
                return self.known(ast.Call(func, [self.part(each) for each in args], []))
        raise AssertionError(f"unchecked form {ast.unparse(node)}")

    def tree(self, node: Tree) -> Tree:
        """An expression of the language."""
        match node:
            case ast.Constant(value=float() as value):
                return number(value)
            case ast.Name(id=word):
                return self.scope[word] if word in self.scope else number(CONSTANTS[word])
            case ast.BinOp(left=left, op=op, right=right):
                make = {ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: div}[type(op)]
                return make(self.tree(left), self.tree(right))
            case ast.UnaryOp(operand=operand):
                return neg(self.tree(operand))
            case ast.IfExp() if isinstance(form := _part(node), ast.Call):
                return self.part(form)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition = self.condition(test)
                if isinstance(condition, bool):
                    return self.tree(body if condition else orelse)
                branches = self.tree(body), self.tree(orelse)
                if text(branches[0]) == text(branches[1]):
                    return branches[0]
                return self.known(call("np.where", condition, *branches))
            case ast.Call(func=ast.Name(id=word), args=args):
                if word in AGGREGATES:
                    assert self.aggregate is not None
                    return self.aggregate(word, self.tree(args[0]))
                return _call(word, [self.tree(arg) for arg in args])
        raise AssertionError(f"unchecked expression {ast.unparse(node)}")

    def condition(self, node: Tree) -> Tree | bool:
        """A condition over arrays; True or False where it is the same for all."""
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                a, b = self.tree(left), self.tree(right)
                p, q = is_number(a), is_number(b)
                if p is not None and q is not None:
                    return _COMPARE[type(op)](p, q)
                return ast.Compare(a, [op], [b])
            case ast.BoolOp(op=op, values=values):
                every = isinstance(op, ast.And)
                parts = [self.condition(each) for each in values]
                if any(part is (not every) for part in parts):
                    return not every
                joined: Tree | bool = every
                for part in parts:
                    if not isinstance(part, bool):
                        sign = ast.BitAnd() if every else ast.BitOr()
                        joined = part if isinstance(joined, bool) else ast.BinOp(joined, sign, part)
                return joined
        raise AssertionError(f"unchecked condition {ast.unparse(node)}")


@lru_cache(1024)
def _part(node: ast.IfExp) -> Tree | None:
    """The form of a part of a row; the trees of rows stay as they are."""
    return _PART_TREES.get(ast.unparse(node))


def _call(word: str, arguments: list[Tree]) -> Tree:
    numbers = [each for each in map(is_number, arguments) if each is not None]
    if len(numbers) == len(arguments):
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
    return call(_NUMPY.get(word, f"np.{word}" if word in _IN_NUMPY else word), *arguments)

