"""Expressions of generated code: rows of the table read as code, put together as syntax trees, printed once.

To read a row as code is to evaluate it in one more arithmetic: numbers are computed with, and what is no
number is put together. So what literals decide is decided, in floats as the eager engine does it.
"""
# ruff: noqa: D103 (what a name says needs no sentence)

from __future__ import annotations

import ast
import builtins
import copy
import keyword
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS, OPERATORS, REAL, Reading
from microbp.text import cut

__all__ = [
    "Identifiers", "Tree", "call", "index", "method", "name", "number", "one_line", "put_together",
    "reading", "scaled", "text", "transposed", "tree_of",
]  # fmt: skip

Tree = ast.expr
#: A variable, or a dotted name.
name = ast.Name


# ---------------------------------------------------------------------------------------- rows as code
def reading(make: Callable[..., Any], aggregates: Mapping[str, Callable[[list[Any]], Any]]) -> Reading:
    """The arithmetic that computes with numbers, and has ``make`` put together an operator or a function."""

    def known_or_made(word: Any, compute: Callable[..., Any]) -> Callable[..., Any]:
        def applied(*operands: Any) -> Any:
            if all(isinstance(each, float) for each in operands):
                with suppress(ArithmeticError, ValueError):
                    return compute(*operands)
            return make(word, operands)

        return applied

    def joined(word: type[ast.boolop], parts: Iterable[Any]) -> Any:
        decides, found = word is ast.Or, None
        for part in parts:
            if part is decides:
                return decides
            if not isinstance(part, bool):
                found = part if found is None else make(word, (found, part))
        return not decides if found is None else found

    functions = {word: known_or_made(word, compute) for word, compute in REAL.functions.items()}
    operators = {word: known_or_made(word, compute) for word, compute in OPERATORS.items()}
    operators |= {word: partial(joined, word) for word in (ast.And, ast.Or)}
    operators[ast.IfExp] = lambda *parts: make(ast.IfExp, parts)
    return Reading({**functions, **aggregates}, lambda x: x, operators)


def put_together(word: Any, operands: tuple[Any, ...]) -> Tree:
    trees = [*map(tree_of, operands)]
    if isinstance(word, str):
        return ast.Call(ast.Name(word), trees, [])
    if issubclass(word, ast.unaryop):
        return ast.UnaryOp(word(), *trees)
    if issubclass(word, ast.cmpop):
        return ast.Compare(trees[0], [word()], trees[1:])
    if issubclass(word, ast.boolop):
        alike = isinstance(trees[0], ast.BoolOp) and type(trees[0].op) is word
        return ast.BoolOp(word(), [*(trees[0].values if alike else trees[:1]), *trees[1:]])
    if word is ast.IfExp:
        return ast.IfExp(*trees)
    return ast.BinOp(trees[0], word(), trees[1])


# --------------------------------------------------------------------------------------------- to make
def number(value: float, module: str = "") -> Tree:
    """A number; one below zero as a minus and a number, one that is not finite as a name in a module."""
    if math.isnan(value):
        return name(f"{module}nan")
    if math.copysign(1.0, value) < 0.0:
        return ast.UnaryOp(ast.USub(), number(-value, module))
    return name(f"{module}inf") if math.isinf(value) else ast.Constant(value)


def tree_of(item: Any) -> Any:
    """The tree of a number, a slice, None, a tuple or a list; a tree is its own."""
    match item:
        case float():
            return number(item)
        case slice(start=start, stop=stop, step=step):
            return ast.Slice(*(None if each is None else ast.Constant(each) for each in (start, stop, step)))
        case tuple() | list():
            several: list[Tree] = [*map(tree_of, item)]
            return ast.Tuple(several) if isinstance(item, tuple) else ast.List(several)
    return item if isinstance(item, ast.expr) else ast.Constant(item)


def call(function: str | Tree, *arguments: Any, **keywords: Any) -> Tree:
    called = name(function) if isinstance(function, str) else function
    named = [ast.keyword(word, tree_of(each)) for word, each in keywords.items()]
    return ast.Call(called, [*map(tree_of, arguments)], named)


def method(tree: Tree, word: str, *arguments: Any, **keywords: Any) -> Tree:
    """``tree.word(arguments)``; of what two reshapes come to, the last is left."""
    match tree:
        case ast.Call(func=ast.Attribute(value=inner, attr="reshape")) if word == "reshape":
            tree = inner
    return call(ast.Attribute(tree, word), *arguments, **keywords)


def index(tree: Tree, *items: Any) -> Tree:
    if not items:
        return tree
    return ast.Subscript(tree, tree_of(items[0] if len(items) == 1 else items))


def transposed(tree: Tree) -> Tree:
    return tree.value if isinstance(tree, ast.Attribute) and tree.attr == "T" else ast.Attribute(tree, "T")


def scaled(factor: float, tree: Tree) -> Tree:
    """``factor * tree``; the number stands in front of what is multiplied."""
    if factor == 1.0:
        return tree
    match tree:
        case ast.Constant(value=float() as value):
            return number(factor * value)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            return ast.BinOp(scaled(factor, left), op, right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right) if factor == -1.0:
            return ast.BinOp(right, ast.Sub(), left)
    if factor == -1.0:
        return ast.UnaryOp(ast.USub(), tree)
    return ast.BinOp(number(factor, "np."), ast.Mult(), tree)


# --------------------------------------------------------------------------------------------- to print
def text(tree: Tree) -> str:
    """The tree as Python, with parentheses around a matrix product that is a factor, for readers."""
    plain = ast.unparse(tree)
    return ast.unparse(_Readable().visit(copy.deepcopy(tree))) if " @ " in plain else plain


class _Readable(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        kinds = {ast.Mult: ast.MatMult, ast.Div: ast.MatMult, ast.MatMult: ast.Mult | ast.Div}
        apart, sides = kinds.get(type(node.op), ()), []
        for each in (node.left, node.right):
            mixed, shown = isinstance(each, ast.BinOp) and isinstance(each.op, apart), self.visit(each)
            sides.append(name(f"({ast.unparse(shown)})") if mixed else shown)
        return ast.BinOp(sides[0], node.op, sides[1])


# ------------------------------------------------------------------------------------- the user's names
#: What generated code itself speaks of.
_RESERVED = frozenset(
    {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *FUNCTIONS, *CONSTANTS, *AGGREGATES}
    | {"isnan", "math", "mul", "np", "value", "value_and_grad"}
)


class Identifiers:
    """Hands out identifiers, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        #: What is given to nobody else.
        self.taken = {*_RESERVED, *taken}
        self._counts: dict[str, int] = {}

    def new(self, name: str) -> str:
        """An identifier as close to ``name`` as can be: h1, then h1_2."""
        plain = self.plain(name)
        return self._unused(plain, f"{plain}_")

    def counted(self, *wanted: str, twin: str = "") -> str:
        """The first of ``wanted`` that is free, else the last with a higher number: v1, then v2.

        With a ``twin`` of "d", the name that begins with it (dW beside W) has to be free too, and is taken.
        """
        plains = [*map(self.plain, wanted)]
        plain = next((each for each in plains if self._free(each, twin)), plains[-1])
        return self._unused(plain, plain.rstrip("0123456789") or plain, twin)

    @staticmethod
    def plain(name: str) -> str:
        """The name as an identifier, which may be taken."""
        plain = name
        if not (name.isascii() and name.isidentifier()):
            plain = unicodedata.normalize("NFKC", name)  # in this form Python compares identifiers
            plain = "".join(each if f"a{each}".isidentifier() else "_" for each in plain)
        plain = re.sub("__+", "_", plain).strip("_")[:60]
        if not plain.isidentifier():
            plain = f"v{plain}"
        return plain + "_" if plain in _RESERVED else plain

    def _free(self, name: str, twin: str = "") -> bool:
        return self.taken.isdisjoint((name, twin + name))

    def _unused(self, plain: str, stem: str, twin: str = "") -> str:
        candidate, count = plain, self._counts.get(stem, 1)
        while not self._free(candidate, twin):
            count += 1
            candidate = f"{stem}{count}"
        self._counts[stem] = count
        self.taken |= {candidate, twin + candidate}
        return candidate


def one_line(told: str) -> str:
    """A text that goes into a comment: the names in it are the user's, and may hold anything."""
    return "".join(each if each.isprintable() else " " for each in cut(told, 500))
