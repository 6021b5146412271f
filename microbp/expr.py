"""The rule language: the small expressions in which the table of rules is written.

An expression is ordinary Python of a few kinds, so that it can be run, renamed into generated code,
evaluated under another arithmetic and printed:

* numbers, and the names that its row declares (the arguments, and ``y``, the row's own output);
* ``+  -  *  /``, unary minus, and ``a if c else b`` where c is a condition: a comparison of two
  sides, or several joined by ``and``, ``or``; nothing is both a condition and a number;
* the functions of :data:`FUNCTIONS` and the constants of :data:`CONSTANTS`;
* in a row of many arguments also ``total(e)``, ``largest(e)`` and ``rest(e)``, where ``e`` runs over the
  elements: their sum, the largest of them, and the sum of all but one of the largest.

Everything else is refused when the row is made, with an error that names the row and the word.
"""

from __future__ import annotations

import ast
import cmath
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial, reduce
from operator import add, eq, ge, gt, le, lt, mul, ne, neg, sub, truediv
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from microbp.errors import RuleError
from microbp.text import shown

__all__ = [
    "AGGREGATES", "COMPLEX", "CONSTANTS", "FUNCTIONS", "IEEE", "OPERATORS", "REAL", "Expression", "Reading",
    "dpow", "largest", "over", "parse",
]  # fmt: skip


# --------------------------------------------------------------------------- sums over elements
def _total(numbers: Iterable[float]) -> float:
    """Add from left to right: from 3.12 on, Python's own ``sum`` compensates, which C would not."""
    return reduce(add, numbers, 0.0)


total: Callable[[Iterable[float]], float] = (
    _total if sys.version_info >= (3, 12) else partial(sum, start=0.0)
)


def largest(numbers: Iterable[float]) -> float:
    """The largest number; NaN as soon as one is NaN (Python's ``max`` would depend on the order)."""
    numbers = list(numbers)
    return math.nan if any(map(math.isnan, numbers)) else max(numbers)


def rest(numbers: Iterable[float]) -> float:
    """The sum of all but the first of the largest, which keeps the digits of ``total - largest``."""
    numbers = list(numbers)
    top = largest(numbers)
    if math.isnan(top):
        return top
    numbers.remove(top)
    return total(numbers)


# ---------------------------------------------------------------- functions that cmath does not have
def _expm1(z: complex) -> complex:
    """``e**z - 1`` without cancellation: e**x·cos y - 1 = expm1(x)·cos y - 2·sin²(y/2)."""
    x, y = z.real, z.imag
    return complex(math.expm1(x) * math.cos(y) - 2.0 * math.sin(0.5 * y) ** 2, math.exp(x) * math.sin(y))


def _log1p(z: complex) -> complex:
    """``log(1 + z)`` without cancellation: |1 + z|² = (1 + x)²·(1 + (y / (1 + x))²)."""
    x, y = z.real, z.imag
    if x < -0.5:
        return cmath.log(1.0 + z)  # 1 + x is exact here
    slope = y / (1.0 + x)
    return complex(math.log1p(x) + 0.5 * math.log1p(slope * slope), math.atan(slope))


def _sinc(x: float) -> float:
    return math.sin(x) / x if x else 1.0


def _erf_beyond_real(z: complex) -> complex:
    """``erf(z) - erf(Re z)`` by the series 7.1.29 of Abramowitz and Stegun, good to about 1e-16."""
    x, y = z.real, z.imag
    wave = y / math.pi * _sinc(2.0 * x * y)
    dip = x * y * y / math.pi * _sinc(x * y) ** 2
    real = imag = 0.0
    for n in range(1, 33):
        weight = math.exp(-0.25 * n * n) / (n * n + 4.0 * x * x)
        up, cos, sin = math.sinh(n * y), math.cos(2.0 * x * y), math.sin(2.0 * x * y)
        flat = math.cosh(n * y)
        real += weight * (2.0 * x * (1.0 - flat * cos) + n * up * sin)
        imag += weight * (2.0 * x * flat * sin + n * up * cos)
    return math.exp(-x * x) * complex(dip + 2.0 / math.pi * real, wave + 2.0 / math.pi * imag)


def _erf(z: complex) -> complex:
    return math.erf(z.real) + _erf_beyond_real(z)


def _erfc(z: complex) -> complex:
    return math.erfc(z.real) - _erf_beyond_real(z)


def _abs(z: complex) -> complex:
    """The continuation of the real ``abs`` on either side of 0, not the modulus."""
    return -z if _place(z) < (0.0, 0.0) else z


def _pow(a: complex, b: complex) -> complex:
    """``a**b``; a whole power of what is negative without its angle, in which a small step is lost."""
    if a == 0.0 and b.real > 0.0:
        return 0.0
    if a.real < 0.0 and b.imag == 0.0 and b.real % 1.0 == 0.0:
        power: complex = pow(-a, b)
        return -power if b.real % 2.0 else power
    return complex(pow(a, b))


def _place(z: complex) -> tuple[float, float]:
    """By what numbers are compared: a step of ih from a corner is on its right, one of -ih on its left."""
    return z.real + 0.0, z.imag  # a nan of its own each time: it equals none


# ---------------------------------------------------------------------- functions beyond Python's own
def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else math.exp(x)


def dpow(a: float, b: float, m: float, n: float) -> float:
    """The derivative of ``a**b``, m times in a and n times in b; at a = 0 its limit from above.

    It is ``a**(b - m) · Σ w[k]·log(a)**k`` with k up to n, by Leibniz's rule for the product of
    ``a**(b - m)`` and b·(b - 1)·…·(b - m + 1). At 0 and at infinity the power outweighs the logarithms,
    and of these the highest decides. At a = b = 0, where ``a**b`` jumps, the derivatives in b alone are 0,
    as in the table.
    """
    weights = _dpow_weights(b, int(m), int(n))
    if math.isnan(a) or math.isnan(b) or (a < 0.0 and n):
        return math.nan
    if math.isinf(b):
        return _dpow_far(a, b, m, n)
    lead = max((k for k, weight in enumerate(weights) if weight), default=None)
    if lead is None or (a == 0.0 and b == 0.0 and m == 0.0 and n):
        return 0.0
    power: float = IEEE.functions["pow"](abs(a), b - m)
    if a < 0.0:  # b is a whole number; beyond 2**53, where b - m may not be a float, it is an even one
        odd = (b % 2.0 + m) % 2.0
        return -float(weights[0]) * power if odd else float(weights[0]) * power
    if 0.0 < a < math.inf:
        log = math.log(a)
        total = math.fsum(weight * log**k for k, weight in enumerate(weights))
        if total and not 1e-300 < power < math.inf:  # the product may be a float where a factor is none
            return math.copysign(IEEE.functions["exp"](math.log(abs(total)) + (b - m) * log), total)
        return total * power if total else 0.0
    if b == m and not lead:
        return float(weights[0])
    decays = b > m if a == 0.0 else b < m
    rising = -1.0 if a == 0.0 and lead % 2 else 1.0  # the sign of log(a)**lead
    return 0.0 if decays else math.copysign(math.inf, rising * weights[lead])


def _dpow_weights(b: Any, m: int, n: int) -> list[Any]:
    """w[k], the weight of log(a)**k: n!/k! times the coefficient of d**(n - k) in Π (b + d - i), i < m."""
    product = [1.0] + [0.0] * n
    for i in range(m):
        shifted = [0.0, *product[:-1]]
        product = [(b - i) * each + before for each, before in zip(product, shifted, strict=True)]
    return [product[n - k] * math.factorial(n) / math.factorial(k) for k in range(n + 1)]


def _dpow_far(a: float, b: float, m: float, n: float) -> float:
    """The same for an infinite b: powers of a beyond 1 outweigh all else, and those of 1 are 1."""
    if a == 1.0:
        return 0.0 if n and not m else math.nan if n else b**m
    if a < 0.0:
        return math.nan
    if (a > 1.0) == (b < 0.0):
        return 0.0
    negative = (m if b < 0.0 else 0.0) + (n if a < 1.0 else 0.0)
    return -math.inf if negative % 2.0 else math.inf


def _complex_dpow(a: complex, b: complex, m: complex, n: complex) -> complex:
    weights = _dpow_weights(b, int(m.real), int(n.real))
    log = cmath.log(a) if n else 0.0
    total: complex = a ** (b - m) * sum(weight * log**k for k, weight in enumerate(weights))
    return total


# --------------------------------------------------------------------------------------- functions
class Function(NamedTuple):
    """A function of the language: how many arguments, and what computes it in each arithmetic."""

    arity: int
    real: Callable[..., float]
    complex: Callable[..., complex]


#: What ``cmath`` does not have.
_BEYOND = {"expm1": _expm1, "log1p": _log1p, "erf": _erf, "erfc": _erfc}
#: The functions that an expression may call.
FUNCTIONS: dict[str, Function] = {
    "abs": Function(1, math.fabs, _abs),
    "pow": Function(2, math.pow, _pow),
    **{
        name: Function(1, getattr(math, name), _BEYOND.get(name) or getattr(cmath, name))
        for name in (
            "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
            "cosh", "tanh", "erf", "erfc",
        )
    },
    "sigmoid": Function(
        1, _sigmoid, lambda z: 1.0 / (1.0 + cmath.exp(-z)) if z.real > -700.0 else cmath.exp(z)
    ),
    "dpow": Function(4, dpow, _complex_dpow),
}
#: The names that stand for a number.
CONSTANTS: dict[str, float] = {"pi": math.pi, "inf": math.inf, "nan": math.nan}
#: The functions over all elements; only a row of many arguments may call them.
AGGREGATES: dict[str, Callable[[Iterable[float]], float]] = {"total": total, "largest": largest, "rest": rest}


class Reading(NamedTuple):
    """An arithmetic under which an expression is evaluated."""

    #: What computes each function and aggregate.
    functions: Mapping[str, Callable[..., Any]]
    #: By what a comparison judges an operand.
    judged: Callable[[Any], Any]
    #: What computes the operators for which it is not Python; IfExp for conditions that are no bool.
    operators: Mapping[type[ast.AST], Callable[..., Any]] = MappingProxyType({})
    #: What an aggregate has been found to be, by its text, where it is to be computed only once.
    known: dict[str, Any] | None = None


def _as_ieee(function: Callable[..., float], name: str) -> Callable[..., float]:
    """The function; where ``math`` raises, what NumPy has in its place: an infinity, or nan."""
    names = {"pow": "power", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "truediv": "divide"}
    instead = getattr(np, names.get(name, name), None)

    def tried(*numbers: float) -> float:
        try:
            return function(*numbers)
        except (ArithmeticError, ValueError):
            assert instead is not None
            with np.errstate(all="ignore"):
                return float(instead(*numbers))

    return tried


#: So many levels may an expression have: each reader of it is a recursion.
DEEPEST = 150
#: Floats and ``math``: the definition.
REAL = Reading({name: f.real for name, f in FUNCTIONS.items()} | AGGREGATES, lambda x: x)
#: The same as IEEE 754 has it where ``math`` raises: 1/0 and exp(1000) are infinite, log(-1) is nan.
IEEE = Reading(
    {name: _as_ieee(f.real, name) for name, f in FUNCTIONS.items()} | AGGREGATES,
    lambda x: x,
    {ast.Div: _as_ieee(truediv, "truediv")},
)
def _complex_rest(numbers: Iterable[complex]) -> complex:
    numbers = list(numbers)
    # The weight of the largest is a real 1, whatever moves; another may have gone to 1 by rounding.
    numbers.remove(max(numbers, key=lambda z: (z.real, -abs(z.imag))))
    return _total(numbers)  # type: ignore[arg-type]


#: Complex numbers and ``cmath``: the complex-step derivative reads a row this way.
COMPLEX = Reading(
    {name: f.complex for name, f in FUNCTIONS.items()}
    | {"total": _total, "largest": lambda zs: max(zs, key=_place), "rest": _complex_rest},
    _place,
)


# -------------------------------------------------------------------------------------- expressions
@dataclass(frozen=True)
class Expression:
    """A checked expression; made by :func:`parse`."""

    text: str
    #: The declared names and constants that occur in it.
    names: frozenset[str]
    tree: ast.expr = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.text

    def rename(self, names: Mapping[str, str]) -> str:
        """The text with each name replaced, for generated code and for printing with numbers.

        A replacement that is more than a word or a plain number is put in parentheses.

        >>> parse("a * (1.0 - a)", {"a"}, "row").rename({"a": "h1"})
        'h1 * (1.0 - h1)'
        >>> parse("-a / b", {"a", "b"}, "row").rename({"a": "x - 1", "b": "2.0"})
        '-(x - 1) / 2.0'
        """
        return ast.unparse(_Rename(names).visit(ast.parse(self.text, mode="eval").body))

    def evaluate(
        self,
        scope: Mapping[str, Any],
        reading: Reading = REAL,
        elements: Sequence[Mapping[str, Any]] = (),
    ) -> Any:
        """The expression's value with the names of ``scope``, under another arithmetic on request.

        ``elements`` holds the scopes over which ``total`` and ``largest`` run.

        >>> parse("a * exp(-b)", {"a", "b"}, "row").evaluate({"a": 3.0, "b": 0.0})
        3.0
        """
        return _evaluate(self.tree, scope, reading, elements)

    def hoist(self, elements: Sequence[str], done: dict[str, str]) -> str:
        """Python text of the expression in which each aggregate is a name computed beforehand.

        ``done`` maps the text of an aggregate over lists to its name; it grows by what this
        expression needs, in an order in which it can be computed, and is shared by the expressions
        of one generated function. ``elements`` are the names that run over lists.

        >>> done = {}
        >>> parse("log(total(exp(x)))", {"x"}, "row", many=True).hoist(["x"], done)
        'log(_0)'
        >>> done
        {'total([exp(x) for x in x])': '_0'}
        """
        return ast.unparse(_Hoist(elements, done).visit(ast.parse(self.text, mode="eval").body))

    def loose(self, elements: Sequence[str]) -> list[str]:
        """Those of ``elements`` that the expression uses outside ``total`` and ``largest``.

        >>> parse("total(w * x) * w", {"w", "x"}, "row", many=True).loose(["w", "x"])
        ['w']
        """
        if self.names.isdisjoint(elements):
            return []
        outside = ast.walk(ast.parse(self.hoist(elements, {}), mode="eval"))
        names = {each.id for each in outside if isinstance(each, ast.Name)}
        return [each for each in elements if each in names]


def parse(
    text: str, names: Iterable[str], row: str, *, many: bool = False, condition: bool = False
) -> Expression:
    """Check ``text`` against the rule language and return it as an :class:`Expression`.

    ``names`` are the variables in scope, ``row`` is what an error calls the place, ``many`` admits
    ``total`` and ``largest``, and with ``condition`` it is a condition, which is true or false.

    Raises RuleError, which names the row and the word that is wrong.

    >>> parse("1.0 - y * y", {"a", "y"}, "tanh").names == {"y"}
    True
    >>> parse("1.0 - z", {"a", "y"}, "tanh")
    Traceback (most recent call last):
        ...
    microbp.errors.RuleError: rule tanh: '1.0 - z' uses 'z', which is not in scope: a, y, inf, nan, pi
    """
    scope, where = sorted(names) + sorted(CONSTANTS), f"rule {shown(row)}: {shown(repr(text))}"
    try:
        tree: ast.expr = ast.parse(text, mode="eval").body
    except (SyntaxError, TypeError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        if not isinstance(text, str):
            reason = "it is no text, such as '2.0 * a'"
        raise RuleError(f"{where} is not an expression: {reason}") from None
    except (RecursionError, MemoryError):  # of Python's own parser
        raise _too_deep(where) from None
    used: set[str] = set()
    if _check(tree, where, scope, many, used, condition):
        tree = _Floats().visit(tree)
        text = ast.unparse(tree)
    return Expression(text, frozenset(used), tree)


def _too_deep(where: str) -> RuleError:
    return RuleError(f"{where} is nested too deeply: {DEEPEST} levels at most, where a + b + c has two")


#: What Python computes for each operator.
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: truediv, ast.USub: neg, ast.Lt: lt, ast.LtE: le,
    ast.Gt: gt, ast.GtE: ge, ast.Eq: eq, ast.NotEq: ne, ast.And: all, ast.Or: any,
}  # fmt: skip


def _check(
    node: ast.expr, where: str, scope: list[str], many: bool, used: set[str], condition: bool = False,
    level: int = 0,
) -> bool:
    """Whether there are whole numbers in it; RuleError for what is not in the language.

    ``condition`` says whether one has to stand here or a number, ``level`` how deep it is here.
    """  # fmt: skip
    if level > DEEPEST:
        raise _too_deep(where)
    judges = isinstance(node, ast.Compare | ast.BoolOp)
    if judges and not condition:
        word = ast.unparse(node)
        raise RuleError(f"{where} uses {word!r} as a number; write '1.0 if {word} else 0.0'")
    if condition and not judges:
        raise RuleError(f"{where} uses {ast.unparse(node)!r} as a condition; compare it with a number")
    children, conditions = list[ast.expr](), list[ast.expr]()
    match node:
        case ast.Constant(value=value):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise RuleError(f"{where} holds {value!r}; only numbers are constants here")
            if abs(value) > sys.float_info.max:
                raise RuleError(f"{where} holds a number beyond the largest float, 1.8e308; write inf")
            return type(value) is int
        case ast.Name(id=name):
            if name not in scope:
                raise RuleError(f"{where} uses {name!r}, which is not in scope: {', '.join(scope)}")
            used.add(name)
        case ast.BinOp(left=left, op=op, right=right):
            if type(op) not in OPERATORS:
                raise RuleError(f"{where} uses {ast.unparse(node)!r}; the operators are + - * / (and pow)")
            children = [left, right]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            children = [operand]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
            children = [left, right]
        case ast.BoolOp(values=values):
            conditions = values
        case ast.IfExp(test=test, body=body, orelse=orelse):
            conditions, children = [test], [body, orelse]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name in AGGREGATES and many:
                arity = 1
            elif name in FUNCTIONS:
                arity = FUNCTIONS[name].arity
            else:
                known = ", ".join([*FUNCTIONS, *(AGGREGATES if many else ())])
                raise RuleError(f"{where} calls {name!r}; the functions are {known}")
            if len(args) != arity:
                raise RuleError(f"{where} calls {name} with {len(args)} arguments; it takes {arity}")
            children = args
        case _:
            raise RuleError(
                f"{where} uses {ast.unparse(node)!r}; the rule language has numbers, names, + - * /, "
                "comparisons of two sides, and, or, 'a if c else b' and calls of known functions"
            )
    below = [_check(each, where, scope, many, used, True, level + 1) for each in conditions]
    below += [_check(each, where, scope, many, used, False, level + 1) for each in children]
    return any(below)


#: Expressions are evaluated again and again, and their trees stay as they are.
_spelled = lru_cache(maxsize=1024)(ast.unparse)


def _evaluate(
    node: ast.expr, scope: Mapping[str, Any], to: Reading, elements: Sequence[Mapping[str, Any]]
) -> Any:
    def value(child: ast.expr) -> Any:
        return _evaluate(child, scope, to, elements)

    def computed(op: ast.AST, *operands: Any) -> Any:
        return (to.operators.get(type(op)) or OPERATORS[type(op)])(*operands)

    match node:
        case ast.Constant(value=number):
            return number
        case ast.Name(id=name):
            return scope[name] if name in scope else CONSTANTS[name]
        case ast.BinOp(left=left, op=op, right=right):
            return computed(op, value(left), value(right))
        case ast.UnaryOp(op=op, operand=operand):
            return computed(op, value(operand))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return computed(op, to.judged(value(left)), to.judged(value(right)))
        case ast.BoolOp(op=op, values=values):
            return computed(op, (value(each) for each in values))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            decided = value(test)
            if ast.IfExp in to.operators and not isinstance(decided, bool):
                return computed(node, decided, value(body), value(orelse))
            return value(body if decided else orelse)
        case ast.Call(func=ast.Name(id=name), args=args):
            if name in AGGREGATES:
                text, known = ("", {}) if to.known is None else (_spelled(node), to.known)
                if text not in known:
                    runs = [_evaluate(args[0], {**scope, **each}, to, elements) for each in elements]
                    known[text] = to.functions[name](runs)
                return known[text]
            return to.functions[name](*map(value, args))
    raise AssertionError(f"unchecked expression {ast.unparse(node)}")


class _Floats(ast.NodeTransformer):
    """Write 1 as 1.0, so that each arithmetic divides 1 / 2 alike, and none returns an int."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        assert isinstance(node.value, int | float)
        return ast.Constant(float(node.value))


class _Rename(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.names:
            return node
        return ast.parse(self.names[node.id], mode="eval").body

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.args = [self.visit(arg) for arg in node.args]
        return node


class _Hoist(ast.NodeTransformer):
    def __init__(self, elements: Sequence[str], done: dict[str, str]) -> None:
        self.elements, self.done = elements, done

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.args = [self.visit(arg) for arg in node.args]
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in AGGREGATES:
            return node
        text = f"{name}({over(ast.unparse(node.args[0]), self.elements)})"
        return ast.Name(self.done.setdefault(text, f"_{len(self.done)}"))


def over(text: str, elements: Sequence[str]) -> str:
    """Python text of the list that ``text`` gives when the names of ``elements`` run over lists.

    >>> over("w * x", ["w", "x"])
    'map(mul, w, x)'
    >>> over("x - y", ["x"])
    '[x - y for x in x]'
    """
    body = ast.parse(text, mode="eval").body
    match body:
        case ast.Name(id=name) if name in elements:
            return name
        case ast.BinOp(ast.Name(id=left), ast.Mult(), ast.Name(id=right)) if (
            left in elements and right in elements
        ):
            return f"map(mul, {left}, {right})"
    names = {each.id for each in ast.walk(body) if isinstance(each, ast.Name)}
    used = [each for each in elements if each in names] or list(elements[:1])
    together = ", ".join(used)
    lists = together if len(used) == 1 else f"zip({together})"
    return f"[{text} for {together} in {lists}]"
