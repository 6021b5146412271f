"""Expressions of generated code as syntax trees: put together simplified, printed once.

``1.0 * x`` becomes x and ``a + -b`` becomes a - b as they are made. The text of a tree is Python, with
parentheses around a matrix product that is a factor: Python needs none, readers do.
"""

from __future__ import annotations

import ast
import math
from typing import Any

__all__ = [
    "Tree", "add", "call", "div", "index", "is_fresh", "is_number", "matmul", "method", "mul", "name", "neg",
    "number", "reshaped", "sub", "text", "transposed",
]  # fmt: skip

Tree = ast.expr


# ------------------------------------------------------------------------------------------- to make
def name(word: str) -> Tree:
    """A variable, or a dotted name."""
    first, *rest = word.split(".")
    made: Tree = ast.Name(first)
    for each in rest:
        made = ast.Attribute(made, each)
    return made


def number(value: float) -> Tree:
    """A number; one below zero as a minus and a number."""
    if not math.isfinite(value):
        return name("np.nan") if math.isnan(value) else name("np.inf") if value > 0 else neg(name("np.inf"))
    if math.copysign(1.0, value) < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def is_number(tree: Tree) -> float | None:
    """The number that a tree is, if it is one."""
    match tree:
        case ast.Constant(value=float() | int() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float() | int() as value)):
            return -float(value)
    return None


def neg(a: Tree) -> Tree:
    """``-a``."""
    match a:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return inner
        case ast.Constant(value=float() as value):
            return number(-value)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            return ast.BinOp(neg(left), op, right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return ast.BinOp(right, ast.Sub(), left)
    return ast.UnaryOp(ast.USub(), a)


def _without_minus(tree: Tree) -> Tree | None:
    """What a tree is the negative of, if it begins with a minus."""
    match tree:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return inner
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            inner_left = _without_minus(left)
            return None if inner_left is None else ast.BinOp(inner_left, op, right)
    return None


def add(a: Tree, b: Tree) -> Tree:
    """``a + b``."""
    p, q = is_number(a), is_number(b)
    if p is not None and q is not None:
        return number(p + q)
    if (inner := _without_minus(b)) is not None:
        return ast.BinOp(a, ast.Sub(), inner)
    if (inner := _without_minus(a)) is not None:
        return ast.BinOp(b, ast.Sub(), inner)
    return ast.BinOp(a, ast.Add(), b)


def sub(a: Tree, b: Tree) -> Tree:
    """``a - b``."""
    p, q = is_number(a), is_number(b)
    if p is not None and q is not None:
        return number(p - q)
    match b:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return ast.BinOp(a, ast.Add(), inner)
    return ast.BinOp(a, ast.Sub(), b)


def mul(a: Tree, b: Tree) -> Tree:
    """``a * b``."""
    p, q = is_number(a), is_number(b)
    if p is not None and q is not None:
        return number(p * q)
    if p == 1.0 or q == 1.0:
        return b if p == 1.0 else a
    if p == -1.0 or q == -1.0:
        return neg(b if p == -1.0 else a)
    if q is not None:  # a number goes first
        a, b, p = b, a, q
    match b:
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if is_number(left) is not None:
            return mul(mul(left, a), right)  # numbers come together at the front
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return neg(mul(a, inner))
    match a:
        case ast.UnaryOp(op=ast.USub(), operand=inner) if p is None:
            return neg(mul(inner, b))
    return ast.BinOp(a, ast.Mult(), b)


def matmul(a: Tree, b: Tree) -> Tree:
    """``a @ b``."""
    return ast.BinOp(a, ast.MatMult(), b)


def div(a: Tree, b: Tree) -> Tree:
    """``a / b``."""
    p, q = is_number(a), is_number(b)
    if p is not None and q:
        return number(p / q)
    return a if q == 1.0 else ast.BinOp(a, ast.Div(), b)


def call(function: str, *arguments: Tree, **keywords: Any) -> Tree:
    """``function(arguments)``."""
    return ast.Call(name(function), list(arguments), _keywords(keywords))


def method(tree: Tree, word: str, *arguments: Tree, **keywords: Any) -> Tree:
    """``tree.word(arguments)``."""
    return ast.Call(ast.Attribute(tree, word), list(arguments), _keywords(keywords))


def _keywords(held: dict[str, Any]) -> list[ast.keyword]:
    return [ast.keyword(word, _item(each)) for word, each in held.items()]


def index(tree: Tree, *items: Any) -> Tree:
    """``tree[items]``; an item is an int, a slice, None, a tree, or a tuple of ints."""
    if not items:
        return tree
    made = [_item(each) for each in items]
    return ast.Subscript(tree, made[0] if len(made) == 1 else ast.Tuple(made))


def _item(item: Any) -> Tree:
    match item:
        case ast.expr():
            return item
        case slice(start=start, stop=stop, step=step):
            parts = [None if each is None else ast.Constant(each) for each in (start, stop, step)]
            return ast.Slice(*parts)
        case tuple():
            return ast.Tuple([_item(each) for each in item])
    return ast.Constant(item)


def reshaped(tree: Tree, *shape: Any) -> Tree:
    """``tree.reshape(shape)``; of what two reshapes come to, the last is left."""
    match tree:
        case ast.Call(func=ast.Attribute(value=inner, attr="reshape")):
            tree = inner
    return method(tree, "reshape", *map(_item, shape))


def transposed(tree: Tree) -> Tree:
    """``tree.T``."""
    match tree:
        case ast.Attribute(value=inner, attr="T"):
            return inner
    return ast.Attribute(tree, "T")


def is_fresh(tree: Tree) -> bool:
    """Whether a tree computes a new array, and is no view of one that has a name."""
    match tree:
        case ast.Call(func=ast.Attribute(value=inner, attr="reshape" | "swapaxes" | "transpose" | "ravel")):
            return is_fresh(inner)
        case ast.Subscript(value=inner) | ast.Attribute(value=inner):
            return is_fresh(inner)
        case ast.Call(func=ast.Attribute(attr="broadcast_to")):
            return False
    return isinstance(tree, ast.BinOp | ast.UnaryOp | ast.Call | ast.Compare)


# ------------------------------------------------------------------------------------------ to print
_SIGNS: dict[type[ast.operator], tuple[str, int]] = {
    ast.BitOr: (" | ", 2), ast.BitAnd: (" & ", 3), ast.Add: (" + ", 4), ast.Sub: (" - ", 4),
    ast.Mult: (" * ", 5), ast.Div: (" / ", 5), ast.MatMult: (" @ ", 5),
}  # fmt: skip
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_ATOM = 9


def text(tree: Tree) -> str:
    """The tree as Python.

    >>> text(mul(ast.BinOp(name("delta"), ast.MatMult(), name("W")), sub(number(1.0), name("h"))))
    '(delta @ W) * (1.0 - h)'
    """
    return _text(tree)[0]


def _text(tree: Any) -> tuple[str, int]:
    """The text, and how strongly it holds together."""
    match tree:
        case ast.Name(id=word):
            return word, _ATOM
        case ast.Constant(value=value):
            return "..." if value is ... else repr(value), _ATOM
        case ast.BinOp(left=left, op=op, right=right):
            sign, strength = _SIGNS[type(op)]
            product = isinstance(op, ast.MatMult)
            parts = []
            for each, least in ((left, strength), (right, strength + 1)):
                part, own = _text(each)
                mixed = own == 5 == strength and product != isinstance(_op(each), ast.MatMult)
                parts.append(part if own >= least and not mixed else f"({part})")
            return sign.join(parts), strength
        case ast.UnaryOp(operand=operand):
            part, own = _text(operand)
            return f"-{part}" if own >= 5 else f"-({part})", 6
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            sides = [part if own > 1 else f"({part})" for part, own in (_text(left), _text(right))]
            return f" {_COMPARE[type(op)]} ".join(sides), 1
        case ast.Call(func=func, args=args, keywords=keywords):
            given = [*map(text, args), *(f"{each.arg}={text(each.value)}" for each in keywords)]
            return f"{_head(func)}({', '.join(given)})", _ATOM
        case ast.Attribute(value=value, attr=attr):
            return f"{_head(value)}.{attr}", _ATOM
        case ast.Subscript(value=value, slice=ast.Tuple(elts=items)):
            return f"{_head(value)}[{', '.join(map(text, items))}]", _ATOM
        case ast.Subscript(value=value, slice=item):
            return f"{_head(value)}[{text(item)}]", _ATOM
        case ast.Slice(lower=lower, upper=upper, step=step):
            ends = [text(each) if each is not None else "" for each in (lower, upper)]
            return ":".join(ends) + (f":{text(step)}" if step is not None else ""), _ATOM
        case ast.List(elts=items):
            return f"[{', '.join(map(text, items))}]", _ATOM
        case ast.Tuple(elts=items):
            return f"({', '.join(map(text, items))}{',' * (len(items) == 1)})", _ATOM
    raise AssertionError(f"no text for {ast.dump(tree)}")


def _head(tree: Tree) -> str:
    part, own = _text(tree)
    return part if own == _ATOM and not isinstance(tree, ast.Constant) else f"({part})"


def _op(tree: Tree) -> ast.operator | None:
    return tree.op if isinstance(tree, ast.BinOp) else None
