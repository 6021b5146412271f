"""The walk over an expression that both forms share: where parentheses are needed."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import NamedTuple

from microbp.expr import AGGREGATES, CONSTANTS
from microbp.notation.names import NUMBER

__all__ = [
    "AND", "ATOM", "COMPARISON", "CONDITIONAL", "OR", "POWER", "PRODUCT", "SUM", "Name", "Term", "Writer",
]  # fmt: skip


class Term(NamedTuple):
    """A written expression and how tightly it holds together: what needs parentheses, and where."""

    text: str
    level: int


#: The levels of a :class:`Term`, from what is always put in parentheses to what never is.
CONDITIONAL, OR, AND, COMPARISON, SUM, PRODUCT, POWER, ATOM = range(8)

#: What stands for an argument: a name or a number as text, a number, or an expression already written.
Name = str | float | Term


class Writer(ABC):
    """What both forms share: where parentheses are needed."""

    minus = "−"
    operators: Mapping[type[ast.AST], str]

    def __init__(self, names: Mapping[str, Name], over: Collection[str] | None) -> None:
        self.names, self.over = names, over
        #: How many aggregates the writer is inside of.
        self.depth = 0

    def write(self, node: ast.expr) -> Term:
        """The expression ``node``."""
        match node:
            case ast.Constant(value=int() | float() as number):
                return self.number(float(number))
            case ast.Name(id=name):
                return self.name(name)
            case ast.UnaryOp(operand=operand):
                return Term(f"{self.minus}{self.right(operand, PRODUCT)}", PRODUCT)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                sign = self.operators[type(op)]
                return Term(f"{self.left(left, SUM)}{sign}{self.right(right, PRODUCT)}", SUM)
            case ast.BinOp(left=ast.Name(id=name) as left, op=ast.Mult(), right=ast.Name(id=again)) if (
                name == again
            ):
                return self.call("pow", [left, ast.Constant(2.0)])
            case ast.BinOp(left=ast.UnaryOp(operand=left), op=ast.Mult(), right=right):
                return self.write(ast.UnaryOp(ast.USub(), ast.BinOp(left, ast.Mult(), right)))
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self.product(left, right)
            case ast.BinOp(left=left, right=right):
                return self.quotient(left, right)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                sign = self.operators[type(op)]
                return Term(f"{self.left(left, SUM)}{sign}{self.left(right, SUM)}", COMPARISON)
            case ast.BoolOp(op=op, values=values):
                level = AND if isinstance(op, ast.And) else OR
                sign = self.operators[type(op)]
                return Term(sign.join(self.left(each, level + 1) for each in values), level)
            case ast.IfExp():
                return self.conditional(node)
            case ast.Call(func=ast.Name(id=name), args=args):
                if name not in AGGREGATES:
                    return self.call(name, args)
                self.depth += 1
                written = self.aggregate(name, args[0])
                self.depth -= 1
                return written
        raise AssertionError(f"unchecked expression {ast.unparse(node)!r}")

    def name(self, name: str) -> Term:
        """An argument, an element of a list, or a constant."""
        inside = name not in CONSTANTS and (name != "y" if self.over is None else name in self.over)
        if self.depth and inside:
            return self.element(name)
        given = self.names.get(name)
        if given is None:
            return self.number(CONSTANTS[name]) if name in CONSTANTS else self.word(name)
        if isinstance(given, Term):
            return given
        if isinstance(given, str) and not NUMBER.fullmatch(given):
            return self.word(given)
        if isinstance(given, str):
            return self.digits(given.replace("-", "−").replace("inf", "∞").replace("e−", "e-"))
        return self.number(float(given))

    def left(self, node: ast.expr, level: int) -> str:
        """An operand that may begin with a minus sign."""
        return self.enclosed(self.write(node), level)

    def right(self, node: ast.expr, level: int) -> str:
        """An operand behind a sign: it may not begin with a minus sign."""
        term = self.write(node)
        return self.enclosed(term, ATOM + 1 if term.text.startswith(self.minus) else level)

    def enclosed(self, term: Term, level: int) -> str:
        """A term as it stands where ``level`` is needed."""
        return term.text if term.level >= level else self.parentheses(term.text)

    def parentheses(self, inner: str) -> str:
        """A text in parentheses."""
        return f"({inner})"

    @abstractmethod
    def word(self, name: str) -> Term:
        """A name."""

    @abstractmethod
    def digits(self, written: str) -> Term:
        """A number given as text, with the digits that it has."""

    @abstractmethod
    def number(self, x: float) -> Term:
        """A number, with all its digits."""

    @abstractmethod
    def element(self, name: str) -> Term:
        """An argument inside of Σ or max, with its index."""

    @abstractmethod
    def product(self, left: ast.expr, right: ast.expr) -> Term:
        """Left times right."""

    @abstractmethod
    def quotient(self, left: ast.expr, right: ast.expr) -> Term:
        """Left divided by right."""

    @abstractmethod
    def conditional(self, node: ast.IfExp) -> Term:
        """One number or another, by a condition."""

    @abstractmethod
    def call(self, name: str, args: list[ast.expr]) -> Term:
        """A function of the language."""

    @abstractmethod
    def aggregate(self, name: str, inner: ast.expr) -> Term:
        """Σ or max over all elements."""
