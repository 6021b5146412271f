"""Pieces of syntax trees, simplified as they are put together: ``1.0 * x`` is x, ``a + -b`` is a - b."""

from __future__ import annotations

import ast
import math
from functools import lru_cache

__all__ = ["Tree", "add", "call", "div", "is_number", "mul", "neg", "number", "parsed", "sub", "text"]

Tree = ast.expr


@lru_cache(maxsize=4096)
def parsed(source: str) -> Tree:
    """The tree of a text; trees are never changed, so that one serves in many places."""
    return ast.parse(source, mode="eval").body


def text(tree: Tree) -> str:
    """The text of a tree."""
    return ast.unparse(tree)


def number(value: float) -> Tree:
    """A number; one below zero as a minus and a number, so that parentheses come out right."""
    if not math.isfinite(value):
        return parsed("np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf")
    if value < 0:
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


def add(a: Tree, b: Tree) -> Tree:
    """``a + b``."""
    p, q = is_number(a), is_number(b)
    if p is not None and q is not None:
        return number(p + q)
    match b:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return ast.BinOp(a, ast.Sub(), inner)
        case ast.BinOp(left=ast.UnaryOp(op=ast.USub(), operand=inner), op=ast.Mult() | ast.Div() as op):
            return ast.BinOp(a, ast.Sub(), ast.BinOp(inner, op, b.right))
    match a:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return ast.BinOp(b, ast.Sub(), inner)
        case ast.BinOp(left=ast.UnaryOp(op=ast.USub(), operand=inner), op=ast.Mult() | ast.Div() as op):
            return ast.BinOp(b, ast.Sub(), ast.BinOp(inner, op, a.right))
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
    return ast.BinOp(_grouped(a), ast.Mult(), _grouped(b))


def _grouped(tree: Tree) -> Tree:
    """A matrix product as a factor in parentheses: Python needs none in ``delta @ W * h``, readers do."""
    match tree:
        case ast.BinOp(op=ast.MatMult()):
            return ast.Name(f"({text(tree)})")
    return tree


def div(a: Tree, b: Tree) -> Tree:
    """``a / b``."""
    p, q = is_number(a), is_number(b)
    if p is not None and q:
        return number(p / q)
    if q == 1.0:
        return a
    return ast.BinOp(a, ast.Div(), b)


def call(function: str, *arguments: Tree) -> Tree:
    """``function(arguments)``."""
    return ast.Call(parsed(function), list(arguments), [])
