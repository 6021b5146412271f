"""Rows of the table as templates: texts with a hole for each argument, as a node's own names will fill them.

Sums over elements become sums of as many terms, from left to right and from 0.0 on as in the eager
engine, so that the text computes the same bits.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS, Expression
from microbp.rules import Rule

__all__ = ["Literals", "Sum", "Template", "template"]

#: A statement adds up no more terms than this: Python's compiler recurses over them.
_TERMS = 100
_FACTORS = (ast.Name, ast.Constant, ast.Call, ast.UnaryOp)
#: The arguments of a node that are literals: the name, and the number as text (0.0 is not -0.0).
Literals = tuple[tuple[str, str], ...]


class Sum(NamedTuple):
    """``total`` or ``largest`` over the elements, in a template."""

    #: What stands for it in the text.
    name: str
    function: str
    #: One term of it.
    term: str
    #: Whether the term can stand between two ``+`` without parentheses.
    tight: bool


class Template(NamedTuple):
    """The text of an expression with ``{a}`` for the argument a, and what it sums over the elements."""

    text: str
    #: In an order in which they can be computed: a term may name an earlier one.
    sums: tuple[Sum, ...]
    #: Whether the text can be a factor without parentheses.
    factor: bool
    #: The functions and constants that it needs; and the arguments.
    words: frozenset[str]
    args: frozenset[str]

    def scope(
        self,
        names: Mapping[str, str],
        elements: Sequence[Mapping[str, str]],
        temporary: Callable[[str], str],
        *,
        last: bool = False,
    ) -> dict[str, str]:
        """``names``, and a text for each of the sums.

        ``temporary(text)`` computes a text beforehand and gives back a name for it. With ``last``, a
        sum that the text begins with stays in the text.
        """
        scope = dict(names)
        for each in self.sums:
            terms = [each.term.format_map({**scope, **element}) for element in elements]
            if each.function != "total":
                scope[each.name] = temporary(f"{each.function}([{', '.join(terms)}])")
                continue
            terms = ["0.0", *(terms if each.tight else [f"({term})" for term in terms])]
            while len(terms) > _TERMS:
                terms[:_TERMS] = [temporary(" + ".join(terms[:_TERMS]))]
            total = " + ".join(terms)
            scope[each.name] = total if last and self._begins_with(each) else temporary(total)
        return scope

    def _begins_with(self, it: Sum) -> bool:
        hole = f"{{{it.name}}}"
        alone = sum(text.count(hole) for text in (self.text, *(each.term for each in self.sums))) == 1
        return alone and (self.text == hole or self.text.startswith((f"{hole} + ", f"{hole} - ")))


@lru_cache(maxsize=4096)
def template(rule: Rule, place: int | None = None, literals: Literals = ()) -> Template:
    """The value of a rule, or its derivative in the argument at ``place``, for one element of a list.

    With ``literals``, what they decide is decided here:

    >>> from microbp.rules import RULES
    >>> template(RULES["pow"], 0, (("b", "2.0"),)).text
    '2.0 * pow({a}, 1.0)'
    >>> template(RULES["dot"]).text, template(RULES["dot"]).sums
    ('{_0} + {b}', (Sum(name='_0', function='total', term='{w} * {x}', tight=True),))
    """
    holes = _Holes()
    tree = ast.parse((rule.y if place is None else rule.d[place]).text, mode="eval").body
    if literals:
        tree = _Decided(dict(literals)).visit(tree)
    tree = holes.visit(tree)
    match tree:  # a sum that begins with 0.0 is not -0.0, and so the same
        case ast.BinOp(left=ast.Name(id="{_0}"), op=ast.Add(), right=ast.Constant(value=0.0)):
            tree = tree.left
    return Template(
        ast.unparse(tree), tuple(holes.sums.values()), isinstance(tree, _FACTORS),
        frozenset(holes.words), frozenset(holes.args),
    )  # fmt: skip


class _Decided(ast.NodeTransformer):
    """Puts the literals in, and computes what depends on them alone, in floats as the eager engine does."""

    def __init__(self, literals: dict[str, str]) -> None:
        self.literals = literals

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _parsed(self.literals[node.id]) if node.id in self.literals else node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        deciding = isinstance(node.op, ast.Or)
        values = [self.visit(each) for each in node.values]
        if any(isinstance(each, ast.Constant) and each.value is deciding for each in values):
            return ast.Constant(deciding)
        values = [each for each in values if not isinstance(each, ast.Constant)]
        if len(values) > 1:
            return ast.BoolOp(node.op, values)
        return values[0] if values else ast.Constant(not deciding)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test = self.visit(node.test)
        if not isinstance(test, ast.Constant):
            return ast.IfExp(test, self.visit(node.body), self.visit(node.orelse))
        chosen: ast.expr = self.visit(node.body if test.value else node.orelse)
        return chosen

    def _computed(self, node: ast.expr) -> ast.expr:
        self.generic_visit(node)
        if any(isinstance(each, ast.Name | ast.Call) for each in ast.walk(node)):
            return node
        try:
            found = Expression("", frozenset(), node).evaluate({})
        except ArithmeticError:
            return node
        return _parsed(repr(found))  # inf and nan become names

    visit_UnaryOp = visit_BinOp = visit_Compare = _computed  # noqa: N815 (names of ast)


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


class _Holes(ast.NodeTransformer):
    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], Sum] = {}
        self.words: set[str] = set()
        self.args: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in CONSTANTS:
            self.words.add(node.id)
            return node
        self.args.add(node.id)
        return ast.Name(f"{{{node.id}}}")

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.args = [self.visit(arg) for arg in node.args]
        assert isinstance(node.func, ast.Name)
        self.words.add(node.func.id)
        if node.func.id not in AGGREGATES:
            assert node.func.id in FUNCTIONS
            return node
        term = node.args[0]
        tight = isinstance(term, _FACTORS) or (
            isinstance(term, ast.BinOp) and isinstance(term.op, ast.Mult | ast.Div)
        )
        key = node.func.id, ast.unparse(term)
        made = self.sums.setdefault(key, Sum(f"_{len(self.sums)}", *key, tight))
        return ast.Name(f"{{{made.name}}}")
