"""``Formulas``: definitions and derivatives of a graph's nodes as expressions over its nodes.

A node stands in an expression as ``n`` and its position. One between two stations, or that nobody named, is
written out, as far as a reader can follow.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from microbp.debug.formulas import Formula, argument
from microbp.expr import AGGREGATES, IEEE, Expression
from microbp.graph import Graph, Node
from microbp.notation import ATOM, SUM, Term, latex, latex_name, latex_number, plain_name, plain_number, text

__all__ = ["DEEPEST", "Formulas", "Math", "flat", "name_of", "number", "product", "quotient", "total"]

#: How many significant digits a rounded number is printed with; one with fewer is exact.
DIGITS = 9
#: How many operations deep, and with how many operands in all, an unnamed node is written out.
DEEPEST, WIDEST = 6, 8
#: How many terms of a sum, and how many operands of another operation over a list, are written out.
TERMS, OPERANDS = 4, 6
#: A condition that is longer is written with the names of its operands.
LONGEST = 50
_SIGNS: dict[str, ast.operator] = {"add": ast.Add(), "sub": ast.Sub(), "mul": ast.Mult(), "div": ast.Div()}


class Math(NamedTuple):
    """A formula in both forms."""

    text: str
    latex: str


def name_of(node: Node) -> Math:
    """A node's name."""
    return Math(plain_name(node.name), latex_name(node.name))


def quotient(above: Math, below: Math) -> Math:
    """∂above/∂below."""
    return Math(f"∂{above.text}/∂{below.text}", rf"\frac{{\partial {above.latex}}}{{\partial {below.latex}}}")


def number(x: float) -> Math:
    """A number as it is printed."""
    return Math(plain_number(x, DIGITS, padded=True), latex_number(x, DIGITS, padded=True))


# ------------------------------------------------------------------------------------------- trees
def product(factors: Sequence[ast.expr]) -> ast.expr:
    """The factors multiplied; 1 where there is none."""
    return _joined(factors, ast.Mult()) if factors else ast.Constant(1.0)


def total(terms: Sequence[ast.expr]) -> ast.expr:
    """The terms added; 0 where there is none."""
    return _joined(terms, ast.Add()) if terms else ast.Constant(0.0)


def _joined(parts: Sequence[ast.expr], sign: ast.operator) -> ast.expr:
    tree = parts[0]
    for each in parts[1:]:
        tree = ast.BinOp(tree, sign, each)
    return tree


def flat(tree: ast.expr) -> list[ast.expr]:
    """The factors of a product; a minus sign is the factor -1."""
    match tree:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return flat(left) + flat(right)
        case ast.BinOp(left=ast.UnaryOp(operand=above), op=ast.Div(), right=below):
            return [ast.Constant(-1.0), ast.BinOp(above, ast.Div(), below)]
        case ast.UnaryOp(operand=operand):
            return [ast.Constant(-1.0), *flat(operand)]
    return [tree]


def _whole(tree: ast.expr) -> Expression:
    return Expression("", frozenset(), tree)


class Formulas:
    """The expressions of one graph; the nodes ``inside`` are written out, all others stand by name."""

    def __init__(self, graph: Graph, inside: Collection[int]) -> None:
        self.graph, self.inside = graph, inside
        #: The number of each word of an expression.
        self.scope = {f"n{position}": data for position, data in enumerate(graph.data.tolist())}
        #: The words that stand for a text of our own, and what that is in either form.
        self._own: dict[str, tuple[Term, Term]] = {}
        #: For each node how many names and numbers it has, written out.
        self._leaves: list[int] = []
        for node in graph:
            several = sum(self._leaves[x] if isinstance(x, int) else 1 for x in node.operands)
            self._leaves.append(min(several, 10**6) if node.position in inside else 1)

    # -------------------------------------------------------------------------------- the two forms
    def math(self, tree: ast.expr) -> Math:
        """An expression in symbols."""
        tree, literals = _rounded(tree)
        used = self._used(tree)
        own = {name: self._own.get(name) or self._name(name) for name in used}
        plain, tex = ({name: each[k] for name, each in own.items()} | literals for k in (0, 1))
        return Math(text(_whole(tree), plain), latex(_whole(tree), tex))

    def numbers(self, tree: ast.expr) -> Math:
        """An expression with its numbers."""
        tree, literals = _rounded(tree)
        numbers: dict[str, Any] = {name: number(self.scope[name]).text for name in self._used(tree)}
        return Math(text(_whole(tree), numbers | literals), latex(_whole(tree), numbers | literals))

    def word(
        self, name: str, x: float, written: Math | None = None, levels: tuple[int, int] = (ATOM, ATOM)
    ) -> ast.expr:
        """A name for a number, and for a text of our own."""
        self.scope[name] = x
        if written is not None:
            self._own[name] = Term(written.text, levels[0]), Term(written.latex, levels[1])
        return ast.Name(name)

    def _used(self, tree: ast.expr) -> set[str]:
        return {each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and each.id in self.scope}

    def _name(self, word: str) -> tuple[Term, Term]:
        name = name_of(self.graph.nodes[int(word[1:])])
        return Term(name.text, ATOM), Term(name.latex, ATOM)

    # -------------------------------------------------------------------------------- definitions
    def definition(self, position: int, place: int | None = None, depth: int = 0) -> ast.expr:
        """What a node is computed by; of a long list the operand at ``place`` is among those written."""
        node = self.graph.nodes[position]
        rule, operands = node.rule, node.operands
        assert rule is not None
        name = rule.name
        if name in ("sum", "dot"):
            return self._sum(node, place, depth)
        added = [x for x in operands if isinstance(x, int) or x != 0.0]
        if name == "add" and len(added) == 1:  # Python's sum() begins with 0
            return self._operand(added[0], depth)
        if rule.over and len(operands) > OPERANDS:
            first, last = (self.math(self._operand(x, DEEPEST)) for x in (operands[0], operands[-1]))
            sign = rf"\operatorname{{{latex_name(name)}}}"
            plain, tex = f"{name}({first.text}, …, {last.text})", rf"{sign}({first.latex},\dots,{last.latex})"
            return self.word(f"d{position}", node.data, Math(plain, tex))
        trees = [self._operand(x, depth + 1) for x in operands]
        if name in _SIGNS:
            return ast.BinOp(trees[0], _SIGNS[name], trees[1])
        return ast.UnaryOp(ast.USub(), trees[0]) if name == "neg" else ast.Call(ast.Name(name), trees, [])

    def _sum(self, node: Node, place: int | None, depth: int) -> ast.expr:
        rule = node.rule
        assert rule is not None
        split = rule.split(node.operands)
        rows = list(zip(*split[: len(rule.over)], strict=True))
        long = len(rows) > TERMS
        deep = DEEPEST if long else depth + 1
        extra = [self._operand(x, deep) for x in split[len(rule.over) :] if isinstance(x, int) or x != 0.0]
        if not long:
            return total([*(product([self._operand(x, deep) for x in row]) for row in rows), *extra])
        named = {place % len(rows)} if place is not None and place < len(rows) * len(rule.over) else set()
        pieces: list[Math] = []
        before = -1
        for k in sorted({0, 1, len(rows) - 1} | named):
            pieces += [Math("…", r"\dots")] if k > before + 1 else []
            pieces.append(self.math(product([self._operand(x, deep) for x in rows[k]])))
            before = k
        pieces += map(self.math, extra)
        written = Math(" + ".join(each.text for each in pieces), "+".join(each.latex for each in pieces))
        return self.word(f"d{node.position}", node.data, written, (SUM, SUM))

    def _operand(self, x: float, depth: int) -> ast.expr:
        if not isinstance(x, int):
            return ast.Constant(x)
        if x in self.inside and depth < DEEPEST and self._leaves[x] <= WIDEST:
            return self.definition(x, None, depth)
        return ast.Name(f"n{x}")

    # --------------------------------------------------------------------------------- derivatives
    def derivative(self, position: int, place: int) -> ast.expr:
        """∂node/∂operand as a person writes it, with what its operands are computed from."""
        found = Formula(self.graph, position, place)
        trees = {arg: self._operand(found.node.operands[at], 1) for arg, at in found.places.items()}
        inside = position in self.inside
        trees["y"] = self.definition(position, None, 1) if inside else ast.Name(f"n{position}")
        return self._placed(found.expression.tree, trees, found.scope, found.elements)

    def computed(self, position: int, place: int) -> tuple[float, float]:
        """∂node/∂operand at the numbers recorded: as computed, and as written."""
        return Formula(self.graph, position, place).computed()

    def condition(self, position: int, place: int) -> Math | None:
        """Which branch of a derivative with corners was taken, as its condition; None without corners."""
        node = self.graph.nodes[position]
        rule = node.rule
        assert rule is not None
        which, places = argument(node, place)
        if not rule.kink or rule.over:
            return None
        data = [self.graph.nodes[x].data if isinstance(x, int) else x for x in node.operands]
        numbers = {"y": node.data} | {arg: data[where] for arg, where in places.items()}
        rest: ast.expr = rule.d[which].tree
        last: ast.expr | None = None
        while isinstance(rest, ast.IfExp):
            holds = _whole(rest.test).evaluate(numbers)
            if not _lets_nan_out(rest.test):
                last = rest.test if holds else _Negated().visit(copy.deepcopy(rest.test))
            if holds:
                break
            rest = rest.orelse
        if last is None:
            return None
        made = Math("", "")
        for depth in (DEEPEST - 1, DEEPEST):
            trees = {arg: self._operand(node.operands[where], depth) for arg, where in places.items()}
            made = self.math(self._placed(last, trees | {"y": ast.Name(f"n{position}")}, numbers, []))
            if len(made.text) <= LONGEST:
                break
        return made

    def _placed(
        self, tree: ast.expr, trees: Mapping[str, ast.expr], numbers: Mapping[str, float],
        elements: Sequence[Mapping[str, float]],
    ) -> ast.expr:  # fmt: skip
        """A row's expression with a node's operands in it."""
        formulas = self

        class Placed(ast.NodeTransformer):
            def visit_Name(self, node: ast.Name) -> ast.expr:
                return trees.get(node.id, node)

            def visit_Call(self, node: ast.Call) -> ast.expr:
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                if name not in AGGREGATES:
                    return ast.Call(node.func, [self.visit(each) for each in node.args], [])
                inner = _whole(node)
                written = Math(text(inner, {}), latex(inner, {}))
                x = float(inner.evaluate(numbers, IEEE, elements))
                level = ATOM, SUM if name == "total" else ATOM
                return formulas.word(f"a{len(formulas._own)}", x, written, level)

        return Placed().visit(copy.deepcopy(tree))  # type: ignore[no-any-return]


def _rounded(tree: ast.expr) -> tuple[ast.expr, dict[str, Any]]:
    """The tree with a name for each literal of many digits, and the digits to be printed for it."""
    literals: dict[str, Any] = {}

    class Rounded(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.expr:
            assert isinstance(node.value, float)
            shown = number(node.value).text
            if len(shown) >= len(repr(node.value)):
                return node
            literals[f"c{len(literals)}"] = shown
            return ast.Name(f"c{len(literals) - 1}")

    return Rounded().visit(copy.deepcopy(tree)), literals


def _lets_nan_out(test: ast.expr) -> bool:
    """Whether a condition, such as ``a == a``, only tells nan from a number."""
    return isinstance(test, ast.Compare) and ast.dump(test.left) == ast.dump(test.comparators[0])


class _Negated(ast.NodeTransformer):
    """The opposite of a condition, for numbers that are not nan."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        opposite: dict[type[ast.cmpop], ast.cmpop] = {
            ast.Lt: ast.GtE(), ast.GtE: ast.Lt(), ast.Gt: ast.LtE(), ast.LtE: ast.Gt(), ast.Eq: ast.NotEq(),
            ast.NotEq: ast.Eq(),
        }  # fmt: skip
        return ast.Compare(node.left, [opposite[type(node.ops[0])]], node.comparators)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return ast.BoolOp(swapped, [self.visit(each) for each in node.values])
