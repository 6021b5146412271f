"""``Formulas``: definitions and derivatives of a graph's nodes as expressions over its nodes.

A node stands in an expression as ``n`` and its position. One between two stations, or that nobody named, is
written out, as far as a reader can follow.
"""

from __future__ import annotations

import ast
import copy
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from microbp.debug.explain.digits import shown
from microbp.debug.explain.trees import Math, Negated, functions, product, rounded, total, whole
from microbp.expr import AGGREGATES, IEEE, REAL, Expression
from microbp.graph import Graph, Node
from microbp.notation import Term, at, latex, latex_name, plain_name, text
from microbp.notation.writing import ATOM, SUM
from microbp.rules import Rule

__all__ = ["DEEPEST", "Formulas"]

#: How many operations deep, and with how many operands in all, an unnamed node is written out.
DEEPEST, WIDEST = 6, 8
#: How many terms of a sum are written out.
TERMS = 4
#: How many operands of another operation over a list are written out.
OPERANDS = 6
_SIGNS: dict[str, ast.operator] = {"add": ast.Add(), "sub": ast.Sub(), "mul": ast.Mult(), "div": ast.Div()}


class Formulas:
    """The expressions of one graph; the nodes ``inside`` are written out, all others stand by name."""

    def __init__(self, graph: Graph, inside: Collection[int]) -> None:
        self.graph, self.inside = graph, inside
        self.scope = {f"n{node.position}": node.data for node in graph}
        self._texts: dict[str, Term] = {}
        self._latex: dict[str, Term] = {}
        self._reading = functions()
        self._leaves = self._counted()

    def _counted(self) -> list[int]:
        """For each node how many names and numbers it has, written out."""
        counts: list[int] = []
        for node in self.graph:
            several = sum(counts[x] if type(x) is int else 1 for x in node.operands)
            counts.append(min(several, 10**6) if node.position in self.inside else 1)
        return counts

    # -------------------------------------------------------------------------------- the two forms
    def math(self, tree: ast.expr) -> Math:
        """An expression in symbols."""
        tree, literals = rounded(tree)
        expression = whole(tree)
        used = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and each.id in self.scope}
        texts: dict[str, Any] = {name: self._texts.get(name) or self._name(name, plain_name) for name in used}
        tex: dict[str, Any] = {name: self._latex.get(name) or self._name(name, latex_name) for name in used}
        return Math(text(expression, texts | literals), latex(expression, tex | literals))

    def numbers(self, tree: ast.expr) -> Math:
        """An expression with its numbers."""
        tree, literals = rounded(tree)
        used = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and each.id in self.scope}
        numbers = {name: shown(self.scope[name]) for name in used}
        return Math(text(whole(tree), numbers | literals), latex(whole(tree), numbers | literals))

    def value(self, tree: ast.expr) -> float:
        """The number of an expression, from the unrounded numbers of the graph."""
        return float(whole(tree).evaluate(self.scope, self._reading))

    def _name(self, name: str, spell: Any) -> Term:
        return Term(spell(self.graph.nodes[int(name[1:])].name), ATOM)

    # -------------------------------------------------------------------------------- definitions
    def definition(self, position: int, place: int | None = None, depth: int = 0) -> ast.expr:
        """What a node is computed by; of a long list the operand at ``place`` is among those written."""
        node = self.graph.nodes[position]
        rule = node.rule
        assert rule is not None
        name = rule.name
        if name in _SIGNS or name in ("neg", "pow") or not rule.over:
            if name == "add" and sum(type(x) is float and x == 0.0 for x in node.operands) == 1:
                # Python's sum() begins with 0.
                [added] = [x for x in node.operands if type(x) is int or x != 0.0]
                return self._operand(added, depth)
            operands = [self._operand(x, depth + 1) for x in node.operands]
            if name in _SIGNS:
                return ast.BinOp(operands[0], _SIGNS[name], operands[1])
            if name == "neg":
                return ast.UnaryOp(ast.USub(), operands[0])
            return ast.Call(ast.Name(name), operands, [])
        if name in ("sum", "dot"):
            return self._sum(node, place, depth)
        if len(node.operands) <= OPERANDS:
            return ast.Call(ast.Name(name), [self._operand(x, depth + 1) for x in node.operands], [])
        ends = [self.math(self._operand(x, DEEPEST)) for x in (node.operands[0], node.operands[-1])]
        written = Math(
            f"{name}({ends[0].text}, …, {ends[1].text})",
            rf"\operatorname{{{latex_name(name)}}}({ends[0].latex},\dots,{ends[1].latex})",
        )
        return self.stand_in(f"d{position}", written, ATOM, node.data)

    def _sum(self, node: Node, place: int | None, depth: int) -> ast.expr:
        rule = node.rule
        assert rule is not None
        split = rule.split(node.operands)
        rows = list(zip(*split[: len(rule.over)], strict=True))
        literal = split[len(rule.over) :]
        deep = depth + 1 if len(rows) <= TERMS else DEEPEST
        terms = [product([self._operand(x, deep) for x in row]) for row in rows] if len(rows) <= TERMS else []
        extra = [self._operand(x, deep) for x in literal if x != 0.0 or type(x) is int]
        if len(rows) <= TERMS:
            return total([*terms, *extra]) if terms or extra else ast.Constant(0.0)
        element = None if place is None or place >= len(rows) * len(rule.over) else place % len(rows)
        kept = sorted({0, 1, len(rows) - 1} | ({element} if element is not None else set()))
        pieces: list[Math] = []
        for index, k in enumerate(kept):
            if index and k > kept[index - 1] + 1:
                pieces.append(Math("…", r"\dots"))
            pieces.append(self.math(product([self._operand(x, DEEPEST) for x in rows[k]])))
        pieces += [self.math(each) for each in extra]
        written = Math(" + ".join(each.text for each in pieces), "+".join(each.latex for each in pieces))
        return self.stand_in(f"d{node.position}", written, SUM, node.data)

    def stand_in(
        self, name: str, written: Math, level: int, number: float, latex_level: int | None = None
    ) -> ast.expr:
        """A name that stands for a text of our own."""
        self._texts[name] = Term(written.text, level)
        self._latex[name] = Term(written.latex, level if latex_level is None else latex_level)
        self.scope[name] = number
        return ast.Name(name)

    def _operand(self, x: float, depth: int) -> ast.expr:
        if type(x) is not int:
            return ast.Constant(float(x))
        if x in self.inside and depth < DEEPEST and self._leaves[x] <= WIDEST:
            return self.definition(x, None, depth)
        return ast.Name(f"n{x}")

    # --------------------------------------------------------------------------------- derivatives
    def derivative(self, position: int, place: int) -> ast.expr:
        """What the rule states for ∂node/∂operand at these numbers: of a conditional the branch taken."""
        node = self.graph.nodes[position]
        which, places = argument(node, place)
        rule = node.rule
        assert rule is not None
        numbers, trees = {"y": node.data}, {"y": self._own(node)}
        literals = []
        for arg, where in places.items():
            x = node.operands[where]
            trees[arg] = self._operand(x, 1)
            numbers[arg] = self.graph.nodes[x].data if type(x) is int else float(x)
            literals += [arg] if type(x) is not int else []
        many = any(f"{each}(" in str(form[which]) for form in (rule.d, rule.shown) for each in AGGREGATES)
        elements = self._elements(node) if many else []
        stated = written(rule, which, numbers, elements, node.local_derivatives[place])
        tree = at(stated, numbers, literals, elements).tree
        return _Placed(self, node, trees, numbers, elements).visit(tree)  # type: ignore[no-any-return]

    def _own(self, node: Node) -> ast.expr:
        """A node in its own derivative."""
        if node.position not in self.inside:
            return ast.Name(f"n{node.position}")
        return self.definition(node.position, None, 1)

    def _elements(self, node: Node) -> list[dict[str, float]]:
        rule = node.rule
        assert rule is not None
        numbers = [self.graph.nodes[x].data if type(x) is int else float(x) for x in node.operands]
        scope = dict(zip(rule.args, rule.split(numbers), strict=True))
        lists = zip(*(scope[arg] for arg in rule.over), strict=True)
        return [dict(zip(rule.over, each, strict=True)) for each in lists]

    def condition(self, position: int, place: int) -> Math | None:
        """Which branch of a derivative with corners was taken, as its condition; None without corners."""
        node = self.graph.nodes[position]
        rule = node.rule
        assert rule is not None
        which, places = argument(node, place)
        if not rule.kink or rule.over:
            return None
        numbers = {"y": node.data}
        trees: dict[str, ast.expr] = {"y": ast.Name(f"n{position}")}
        for arg, where in places.items():
            x = node.operands[where]
            trees[arg] = self._operand(x, DEEPEST - 1)
            numbers[arg] = self.graph.nodes[x].data if type(x) is int else float(x)
        rest: ast.expr = ast.parse(rule.d[which].text, mode="eval").body
        last: ast.expr | None = None
        while isinstance(rest, ast.IfExp):
            holds = whole(rest.test).evaluate(numbers)
            last = rest.test if holds else Negated().visit(rest.test)
            if holds:
                break
            rest = rest.orelse
        if last is None:
            return None
        made = self.math(_Placed(self, node, trees, numbers, []).visit(copy.deepcopy(last)))
        if len(made.text) <= 50:
            return made
        short: dict[str, ast.expr] = {
            arg: ast.Name(f"n{node.operands[where]}") if type(node.operands[where]) is int else trees[arg]
            for arg, where in places.items()
        }
        return self.math(_Placed(self, node, short, numbers, []).visit(last))


def written(
    rule: Rule,
    which: int,
    numbers: Mapping[str, float],
    elements: Sequence[Mapping[str, float]],
    recorded: float | None,
) -> Expression:
    """The derivative in an argument as people write it, where that gives the ``recorded`` number.

    Else, where that formula loses its digits or has no value, in the form that is differentiated again, and
    at the latest as it is computed.
    """
    for form in (rule.shown[which], rule.again[which]):
        number = form.evaluate(numbers, IEEE, elements)
        if recorded is None or (math.isfinite(number) and math.isclose(number, recorded, rel_tol=1e-14)):
            return form
    return rule.d[which]


def argument(node: Node, place: int) -> tuple[int, dict[str, int]]:
    """Which of the rule's arguments the operand at ``place`` is, and where each argument stands.

    Of an argument that runs over a list it is the element beside the operand at ``place``.
    """
    rule = node.rule
    assert rule is not None
    which = element = 0
    split = rule.split(range(len(node.operands)))
    for index, where in enumerate(split):
        if where == place:
            which = index
        elif isinstance(where, list) and place in where:
            which, element = index, where.index(place)
    return which, {
        arg: where[element] if isinstance(where, list) else where
        for arg, where in zip(rule.args, split, strict=True)
        if where != []
    }


class _Placed(ast.NodeTransformer):
    """Puts a node's operands into its rule."""

    def __init__(
        self,
        formulas: Formulas,
        node: Node,
        trees: Mapping[str, ast.expr],
        numbers: Mapping[str, float],
        elements: Sequence[Mapping[str, float]],
    ) -> None:
        self.formulas, self.node, self.trees = formulas, node, trees
        self.numbers, self.elements = numbers, elements

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.trees.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in AGGREGATES:
            return ast.Call(node.func, [self.visit(each) for each in node.args], [])
        inner = whole(node)
        written = Math(text(inner, {}), latex(inner, {}))
        number = float(inner.evaluate(self.numbers, REAL, self.elements))
        key = f"a{self.node.position}_{len(self.formulas._texts)}"
        return self.formulas.stand_in(key, written, ATOM, number, SUM if name == "total" else ATOM)
