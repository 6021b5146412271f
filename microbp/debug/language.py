"""The debugger's small expressions: ``abs(grad) > 10``, ``not finite``, ``w5.data - 0.5 * w5.grad``.

They are written in Python's syntax, and hold numbers, words, values by name, ``+ - * /``, comparisons,
``and or not`` and calls of known functions. Everything else is refused with what there is; nothing is
ever run as Python. What has no value (``log(-1)``, ``1 / 0``) is nan, to which no comparison applies.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from microbp.errors import MicrobpError
from microbp.expr import FUNCTIONS
from microbp.spelling import did_you_mean

__all__ = ["NUMBERS", "TRUTHS", "Query", "QueryError", "Scope", "parse"]

#: The words that stand for a number, and what for.
NUMBERS = {
    "data": "the number of the value that receives",
    "grad": "its gradient after the contribution",
    "before": "its gradient before; 0 where there was none",
    "contribution": "upstream × local",
    "upstream": "the gradient of the value that passes it on",
    "local": "the local derivative",
    "missing": "how many contributions it still waits for",
}
#: The words that are true or false.
TRUTHS = {
    "finite": "data, grad and local are finite",
    "final": "no contribution is missing",
    "sign_change": "grad has another sign than before (also: sign change)",
}
_TESTS: dict[str, Callable[[float], bool]] = {
    "finite": math.isfinite, "isfinite": math.isfinite, "isnan": math.isnan, "isinf": math.isinf,
}  # fmt: skip
_CONSTANTS = {"nan": math.nan, "inf": math.inf, "pi": math.pi}
#: An expression is no longer, and so never nested too deeply.
LONGEST = 300
#: What can follow the name of a value.
ASPECTS = ("data", "grad", "final", "missing")

#: What gives the number or the truth of a word, or of the aspect of a value.
Scope = Callable[[str, str], float]


class QueryError(MicrobpError, ValueError):
    """An expression is not in the debugger's language."""


class Query:
    """A checked expression; made by :func:`parse`."""

    def __init__(self, text: str, tree: ast.expr, references: Mapping[str, tuple[str, str]]) -> None:
        self.text = text
        self._tree = tree
        self._references = references
        self.is_condition = _is_condition(tree)

    def __call__(self, scope: Scope) -> Any:
        """Its number, or its truth. ``scope(name, aspect)`` is asked for what it speaks of.

        A word of the language is asked for with the empty name: ``scope("", "grad")``.
        """
        return self._value(self._tree, scope)

    @property
    def words(self) -> frozenset[str]:
        """The words of :data:`NUMBERS` and :data:`TRUTHS` that it uses."""
        names = {each.id for each in ast.walk(self._tree) if isinstance(each, ast.Name)}
        return frozenset(names & {*NUMBERS, *TRUTHS})

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Query({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Query) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def _value(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self._references:
                return scope(*self._references[name])
            case ast.Name(id=name):
                return _CONSTANTS[name] if name in _CONSTANTS else scope("", name)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._value(operand, scope)
            case ast.UnaryOp(op=op, operand=operand):
                number = self._value(operand, scope)
                return -number if isinstance(op, ast.USub) else number
            case ast.BinOp(left=left, op=op, right=right):
                return _tried(_ARITHMETIC[type(op)], self._value(left, scope), self._value(right, scope))
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [self._value(each, scope) for each in (left, *others)]
                pairs = zip(ops, sides, sides[1:], strict=False)
                return all(_COMPARISONS[type(op)](x, y) for op, x, y in pairs)
            case ast.BoolOp(op=op, values=values):
                runs = (self._value(each, scope) for each in values)
                return all(runs) if isinstance(op, ast.And) else any(runs)
            case ast.Call(func=ast.Name(id=name), args=args):
                numbers = [self._value(each, scope) for each in args]
                return _TESTS[name](*numbers) if name in _TESTS else _tried(FUNCTIONS[name].real, *numbers)
        raise AssertionError(f"unchecked expression {ast.unparse(node)}")


def parse(text: str, names: Collection[str] = (), *, condition: bool = False) -> Query:
    """Check ``text`` against the language and return it as a :class:`Query`.

    ``names`` are the names of the values that it may speak of, as ``h1.grad`` or ``h1.data``; a name
    that is not one word stands in quotes. ``condition`` asks for something true or false.

    >>> query = parse("abs(grad) > 10 and not h1.grad == 0", names={"h1"}, condition=True)
    >>> query(lambda name, aspect: {"": -20.0, "h1": 0.5}[name])
    True
    >>> parse("grad", condition=True)
    Traceback (most recent call last):
        ...
    microbp.debug.language.QueryError: 'grad' is a number; a condition compares it: grad > 0, or grad == 0

    Raises QueryError, which says what is allowed.
    """
    shown = " ".join(text.split())
    if not shown:
        raise QueryError("an expression is missing; for instance: abs(grad) > 10")
    if len(shown) > LONGEST:
        raise QueryError(f"an expression has at most {LONGEST} characters, not {len(shown)}")
    references: dict[str, tuple[str, str]] = {}
    plain = _with_placeholders(re.sub(r"\bsign\s+change\b", "sign_change", shown), names, references)
    try:
        tree = ast.parse(plain.strip(), mode="eval").body
        _check(tree, references)
        kind = _is_condition(tree)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        if isinstance(error, QueryError):
            raise
        reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply"
        if re.search(r"[^=!<>]=[^=]", shown):
            reason += "; to compare, write =="
        raise QueryError(f"{shown!r} is not an expression: {reason}") from None
    if condition and not kind:
        raise QueryError(f"{shown!r} is a number; a condition compares it: {shown} > 0, or {shown} == 0")
    return Query(shown, tree, references)


# ----------------------------------------------------------------------------------------- the names
#: A word as a name of a value may look: h1, layers.0.w[1], W[0,1], w#2; or one in quotes.
_WORD = re.compile(
    r""""([^"]*)"((?:\.\w+)?)|'([^']*)'((?:\.\w+)?)|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"""
    r"""|[^\W\d][\w.#]*(?:\[[^\]]*\][\w.#]*)*"""
)


def _with_placeholders(text: str, names: Collection[str], references: dict[str, tuple[str, str]]) -> str:
    """The text with each value's aspect replaced by a plain word, which ``references`` explains."""
    words = {*NUMBERS, *TRUTHS, *_CONSTANTS, *_TESTS, *FUNCTIONS, "and", "or", "not"}

    def replaced(match: re.Match[str]) -> str:
        quoted = match[1] if match[1] is not None else match[3]
        written = match[0] if quoted is None else quoted + (match[2] or match[4] or "")
        called = re.match(r"\s*\(", text[match.end() :])
        if quoted is None and (written in words or written[0] in ".0123456789" or called):
            return written  # a function that is not known is told of as such
        word = f"_{len(references)}_"
        references[word] = _reference(written, names)
        return f" {word} "

    return _WORD.sub(replaced, text)


def _reference(written: str, names: Collection[str]) -> tuple[str, str]:
    """The name of a value, and what of it is meant: its gradient unless told."""
    if written in names:
        return written, "grad"
    name, _, aspect = written.rpartition(".")
    found = name if name in names else _spaced(name, names)
    if found and aspect in ASPECTS:
        return found, aspect
    whole = _spaced(written, names)
    if whole:
        return whole, "grad"
    if found:
        raise QueryError(f"of {name} there are: {', '.join(f'{name}.{each}' for each in ASPECTS)}")
    told = ", ".join((*NUMBERS, *TRUTHS))
    cure = did_you_mean(written, [*islice(names, 10_000), *NUMBERS, *TRUTHS]) or f"the words are: {told}"
    raise QueryError(f"there is no value and no word {written!r}; {cure}")


def _spaced(written: str, names: Collection[str]) -> str | None:
    """The name that is so written but for spaces, as ``W[0, 1]`` for ``W[0,1]``."""
    if not any(each in written for each in " ,"):
        return None
    return next((each for each in names if each.replace(" ", "") == written.replace(" ", "")), None)


# --------------------------------------------------------------------------------------- the checks
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda x, y: x + y,
    ast.Sub: lambda x, y: x - y,
    ast.Mult: lambda x, y: x * y,
    ast.Div: lambda x, y: x / y,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: lambda x, y: x < y,
    ast.LtE: lambda x, y: x <= y,
    ast.Gt: lambda x, y: x > y,
    ast.GtE: lambda x, y: x >= y,
    ast.Eq: lambda x, y: x == y,
    ast.NotEq: lambda x, y: x != y,
}


def _tried(function: Callable[..., float], *numbers: float) -> float:
    """What a function gives; nan where it has no value."""
    try:
        return float(function(*map(float, numbers)))
    except (ArithmeticError, ValueError):
        return math.nan


def _is_condition(node: ast.expr) -> bool:
    match node:
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Name(id=name):
            return name in TRUTHS
        case ast.Call(func=ast.Name(id=name)):
            return name in _TESTS
    return False


class _Wanted(NamedTuple):
    node: ast.expr
    condition: bool


def _check(tree: ast.expr, references: Mapping[str, tuple[str, str]]) -> None:
    pending = [_Wanted(tree, _is_condition(tree))]
    while pending:
        node, condition = pending.pop()
        written = _shown(node, references)
        if condition != _is_condition(node):
            other = "is a number" if condition else "is true or false"
            cure = f"compare it: {written} != 0" if condition else "it cannot be compared or calculated with"
            raise QueryError(f"{written!r} {other}; {cure}")
        pending += [_Wanted(*each) for each in _parts(node, written)]


def _parts(node: ast.expr, written: str) -> Sequence[tuple[ast.expr, bool]]:
    """The parts of an expression and whether each has to be a condition; QueryError if it is refused."""
    match node:
        case ast.Constant(value=value):
            if type(value) not in (int, float):
                raise QueryError(f"{written} is not a number")
            try:
                float(value)  # type: ignore[arg-type]
            except OverflowError:
                raise QueryError("a number in an expression is below 1.8e308") from None
            return []
        case ast.Name(id=name):
            known = name in _CONSTANTS or name in NUMBERS or name in TRUTHS
            if not known and not name.startswith("_"):
                raise QueryError(f"{name!r} is a function; write what it is of: {name}(grad)")
            return []
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [(operand, True)]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return [(operand, False)]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return [(left, False), (right, False)]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(
            type(op) in _COMPARISONS for op in ops
        ):
            return [(each, False) for each in (left, *others)]
        case ast.BoolOp(values=values):
            return [(each, True) for each in values]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in FUNCTIONS and name not in _TESTS:
                known_ones = ", ".join(sorted({*FUNCTIONS, *_TESTS}))
                raise QueryError(f"there is no function {name!r}; there are: {known_ones}")
            arity = FUNCTIONS[name].arity if name in FUNCTIONS else 1
            if len(args) != arity:
                raise QueryError(f"{name}() takes {arity} number{'s' * (arity > 1)}, not {len(args)}")
            return [(each, False) for each in args]
    raise QueryError(
        f"{written!r} is not in the language, which has numbers, words, values by name, + - * /, "
        "comparisons, and, or, not, and calls of functions"
    )


def _shown(node: ast.expr, references: Mapping[str, tuple[str, str]]) -> str:
    text = ast.unparse(node)
    for word, (name, aspect) in references.items():
        text = text.replace(word, f"{name}.{aspect}")
    return text
