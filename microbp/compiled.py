"""A row of the table as Python functions: its value, its local derivatives, and the operators.

The functions are generated from the row's text and kept in ``linecache``, so that tracebacks and the
Python debugger show their source.
"""

from __future__ import annotations

import ast
import linecache
import math
from collections.abc import Callable, Sequence
from functools import cache
from operator import mul
from types import CodeType
from typing import Any, NamedTuple

from microbp.expr import COMPLEX, CONSTANTS, IEEE, REAL, Expression, over
from microbp.rules import RULES, Rule

__all__ = [
    "CODES", "SCOPE", "Compiled", "compiled", "compiled_complex", "compiled_ieee",
    "condition", "local_derivative", "operator", "same", "slopes", "tried", "unary",
]  # fmt: skip

#: The global names of all generated functions.
SCOPE: dict[str, Any] = {"__name__": __name__, **CONSTANTS, **REAL.functions, "mul": mul}


class Compiled(NamedTuple):
    """A row as functions of its operands' numbers; an argument in ``over`` is a list of numbers."""

    value: Callable[..., float]
    #: One for each argument, called with the operands' numbers and y; a list for one in ``over``.
    derivatives: tuple[Callable[..., Any], ...]


_compiled: dict[Rule, Compiled] = {}


def compiled(rule: Rule) -> Compiled:
    """The functions of a rule.

    >>> dot = compiled(RULES["dot"])
    >>> dot.value([1.0, 2.0], [3.0, 4.0], 0.5)
    11.5
    >>> dot.derivatives[0]([1.0, 2.0], [3.0, 4.0], 0.5, 11.5)
    [3.0, 4.0]
    """
    if rule not in _compiled:
        args = ", ".join(rule.args)
        _compiled[rule] = Compiled(
            _function(rule, rule.name, args, rule.y),
            tuple(
                _function(rule, f"d_{rule.name}_d_{arg}", f"{args}, y", d, runs=arg in rule.over)
                for arg, d in zip(rule.args, rule.d, strict=True)
            ),
        )
    return _compiled[rule]


def compiled_ieee(rule: Rule) -> Compiled:
    """The same, slowly, with what IEEE 754 has where ``math`` raises: 1/0 is infinite, log(-1) is nan.

    >>> compiled_ieee(RULES["pow"]).derivatives[0](1e-300, -1.0, 1e300)
    -inf
    """

    def function(expression: Expression, runs: bool = False) -> Callable[..., Any]:
        def evaluate(*numbers: Any) -> Any:
            scope = dict(zip((*rule.args, "y"), numbers, strict=False))
            elements = rule.elements(numbers)
            if runs:
                return [expression.evaluate({**scope, **each}, IEEE, elements) for each in elements]
            return expression.evaluate(scope, IEEE, elements)

        return evaluate

    derivatives = (function(d, arg in rule.over) for arg, d in zip(rule.args, rule.d, strict=True))
    return Compiled(function(rule.y), tuple(derivatives))


@cache
def compiled_complex(rule: Rule) -> Callable[..., Any]:
    """The value of a rule as a function of complex numbers, or arrays, compared by real, then imaginary part.

    >>> compiled_complex(RULES["relu"])(2.0 + 1j), compiled_complex(RULES["relu"])(-2.0 + 1j)
    ((2+1j), 0.0)
    """
    source = _source(rule, "value", ", ".join(rule.args), rule.y)
    tree = ast.fix_missing_locations(_Comparisons().visit(ast.parse(source)))
    scope: dict[str, Any] = {**CONSTANTS, **COMPLEX.functions, "mul": mul, "_place": COMPLEX.judged}
    exec(compile(tree, f"<microbp complex {rule.name}>", "exec"), scope)
    function: Callable[..., Any] = scope["value"]
    return function


class _Comparisons(ast.NodeTransformer):
    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        sides = [self.visit(side) for side in (node.left, *node.comparators)]
        calls: list[ast.expr] = [ast.Call(ast.Name("_place", ast.Load()), [side], []) for side in sides]
        return ast.Compare(calls[0], node.ops, calls[1:])


def local_derivative(rule: Rule, place: int, numbers: Sequence[Any], y: float) -> Any:
    """The derivative in the argument at ``place``, as IEEE 754 has it where ``math`` refuses.

    That of an argument in ``over`` is a list.

    >>> local_derivative(RULES["pow"], 0, (1e-300, -1.0), 1e300)
    -inf
    """
    try:
        return compiled(rule).derivatives[place](*numbers, y)
    except (ArithmeticError, ValueError):
        return compiled_ieee(rule).derivatives[place](*numbers, y)


def slopes(rule: Rule) -> Callable[[Sequence[float], float], tuple[float, ...]]:
    """The local derivatives of a row, one for each number, as IEEE 754 has them where ``math`` refuses.

    >>> slopes(RULES["dot"])([1.0, 2.0, 3.0, 4.0, 0.0], 11.0)
    (3.0, 4.0, 1.0, 2.0, 1.0)
    """

    def found_at(numbers: Sequence[float], y: float) -> tuple[float, ...]:
        arguments = rule.split(numbers)
        found: list[float] = []
        for place, arg in enumerate(rule.args):
            d = local_derivative(rule, place, arguments, y)
            found += d if arg in rule.over else [d]
        return tuple(found)

    return found_at


def same(a: float, b: float) -> bool:
    """Whether two numbers are equal, or both nan."""
    return a == b or (math.isnan(a) and math.isnan(b))


def tried(function: Callable[..., Any], *at: Any) -> Any:
    """What a function gives; nan where it is undefined."""
    try:
        return function(*at)
    except (ArithmeticError, ValueError):
        return math.nan


def condition(rule: Rule, where: Expression) -> Callable[..., bool]:
    """A condition of a rule as a function of its operands' numbers and y.

    >>> condition(RULES["sqrt"], RULES["sqrt"].corners[0].where)(0.0, 0.0)
    True
    """
    args = ", ".join((*rule.args, "y"))
    holds: Callable[..., bool] = _function(rule, f"at_a_corner_of_{rule.name}", args, where)
    return holds


def _function(rule: Rule, name: str, args: str, expression: Expression, runs: bool = False) -> Any:
    return generate(name, _source(rule, name, args, expression, runs))


def _source(rule: Rule, name: str, args: str, expression: Expression, runs: bool = False) -> str:
    """A function of that name; ``runs`` tells that it gives a list, with a number for each element."""
    done: dict[str, str] = {}
    result = expression.hoist(rule.over, done)
    lines = [f"    {temporary} = {text}\n" for text, temporary in done.items()]
    result = over(result, rule.over) if runs else result
    return f"def {name}({args}):\n{''.join(lines)}    return {result}\n"


def generate(name: str, source: str) -> Any:
    """Define the function ``name`` by its source, under a file name of its own that shows it."""
    lines, file, count = source.splitlines(keepends=True), f"<microbp {name}>", 1
    while linecache.getlines(file) not in ([], lines):
        count += 1
        file = f"<microbp {name} {count}>"
    linecache.cache[file] = (len(source), None, lines, file)
    made: dict[str, Any] = {}
    exec(compile(source, file, "exec"), SCOPE, made)
    return made[name]


# The operators write value and local derivatives straight into a new node, whose layout value.py
# explains. What raises goes to ``record``, which knows what to do. ``special`` is true while ``no_grad()``
# is in force anywhere, ``grouped`` while any code is in a group.
_UNARY = """\
def {name}(self):
    a = self._data
    try:
        y = {y}
        if special:
            return record({rule}, (self,))
        node = new_value()
        node._da = {da}
    except (ArithmeticError, ValueError):
        return record({rule}, (self,))
    node._data = y
    node._rule = {rule}
    node._a = self
    node._b = node._db = node._note = node._pending = node.grad = None
{site}    return node
"""
_BINARY = """\
def {name}(self, other):
    a = self._data
    kind = type(other)
    try:
        if kind is Value:
            b = other._data
            y = {y}
            if special:
                return record({rule}, (self, other))
            node = new_value()
            node._db = {db}
        elif kind is float or kind is int:
            b = other
            y = {y}
            if special:
                return record({rule}, (self, other))
            node = new_value()
            node._db = None
        else:
            return foreign({rule}, self, other, False)
        node._da = {da}
    except (ArithmeticError, ValueError):
        return record({rule}, (self, other))
    node._data = y
    node._rule = {rule}
    node._a = self
    node._b = other
    node._note = node._pending = node.grad = None
{site}    return node
"""
_REFLECTED = """\
def {name}(self, other):
    a = other
    b = self._data
    kind = type(other)
    try:
        if kind is not float and kind is not int:
            return foreign({rule}, self, other, True)
        y = {y}
        if special:
            return record({rule}, (other, self))
        node = new_value()
        node._da = {db}
    except (ArithmeticError, ValueError):
        return record({rule}, (other, self))
    node._data = y
    node._rule = {rule}_swapped
    node._a = self
    node._b = other
    node._db = node._note = node._pending = node.grad = None
{site}    return node
"""
#: The code of each recording method of ``Value``, and the code that also keeps the site.
CODES: dict[Any, tuple[CodeType, CodeType]] = {}


def unary(rule: str) -> Callable[[Any], Any]:
    """The method of ``Value`` that records an operation of one argument."""
    method: Callable[[Any], Any] = _operation(f"Value_{rule}", _UNARY, RULES[rule])
    return method


def operator(rule: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """The two methods of ``Value`` for an operator: Value on the left, and literal on the left."""
    return (
        _operation(f"Value_{rule}", _BINARY, RULES[rule]),
        _operation(f"Value_r{rule}", _REFLECTED, RULES[rule]),
    )


def _operation(name: str, template: str, rule: Rule) -> Any:
    d = dict(zip(("da", "db"), map(str, rule.d), strict=False))
    word = f"rule_{rule.name}"
    SCOPE[word] = rule
    plain, sited = (
        generate(name, template.format(name=name, rule=word, y=rule.y, site=site, **d))
        for site in (
            "    if grouped:\n        node._note = current_group()\n",
            "    node._note = (None, user_place() or '?', current_group()) if sited else current_group()\n",
        )
    )
    CODES[plain] = plain.__code__, sited.__code__
    return plain
