"""``Formulas``: definitions and derivatives of a graph's nodes as expressions, as people write them.

A node stands in an expression as ``n`` and its position. One that nobody named, between two that are, is
written out, as far as a reader can follow. A derivative is the row's ``shown`` formula, whatever clause of it
computed the number; of a conditional only the branch taken is left.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Collection, Mapping, Sequence

from microbp.debug.words import DIGITS, Math, name_of
from microbp.expr import AGGREGATES, IEEE, Expression
from microbp.graph import Graph, Node
from microbp.lazy import cached_property
from microbp.notation import ATOM, SUM, Term, at, latex, latex_name, text

#: How many operations deep, and with how many operands in all, an unnamed node is written out.
DEEPEST, WIDEST = 6, 8
#: How many terms of a sum, and how many operands of another operation over a list, are written out.
TERMS, OPERANDS = 4, 6
#: A condition that is longer is written with the names of its operands.
LONGEST = 50
_SIGNS: dict[str, ast.operator] = {"add": ast.Add(), "sub": ast.Sub(), "mul": ast.Mult(), "div": ast.Div()}
_NODE = re.compile(r"n\d+")


def numbers_of(graph: Graph, node: Node) -> list[float]:
    """The numbers of a node's operands."""
    return [graph.nodes[x].data if isinstance(x, int) else x for x in node.operands]


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


def multiplied(factors: Sequence[ast.expr]) -> ast.expr:
    """The product with its constants multiplied and put first."""
    coefficient, rest = 1.0, []
    for each in factors:
        if isinstance(each, ast.Constant) and isinstance(each.value, float):
            coefficient *= each.value
        else:
            rest.append(each)
    if coefficient == -1.0 and rest:
        return ast.UnaryOp(ast.USub(), product(rest))
    return product([*([] if rest and coefficient == 1.0 else [ast.Constant(coefficient)]), *rest])


def _whole(tree: ast.expr) -> Expression:
    return Expression("", frozenset(), tree)


# ------------------------------------------------------------------------------- one local derivative
def argument(node: Node, place: int) -> tuple[int, dict[str, int]]:
    """Which of the row's arguments the operand at ``place`` is, and where each argument stands.

    Of an argument that runs over a list it is the element beside the operand at ``place``.
    """
    rule = node.rule
    assert rule is not None
    which = element = 0
    split = rule.split(range(len(node.operands)))
    for index, where in enumerate(split):
        if where == place:
            which = index
        elif isinstance(where, list) and where and where[0] <= place <= where[-1]:
            which, element = index, place - where[0]
    return which, {
        arg: where[element] if isinstance(where, list) else where
        for arg, where in zip(rule.args, split, strict=True)
        if where != []
    }


class Formula:
    """∂node/∂operand as its row states it, at the numbers recorded; arithmetic between literals is done."""

    def __init__(self, graph: Graph, position: int, place: int) -> None:
        self.node = graph.nodes[position]
        assert self.node.rule is not None
        self.rule = self.node.rule
        #: Which argument it is by, and where each argument stands among the operands.
        self.which, self.places = argument(self.node, place)
        self.data = numbers_of(graph, self.node)
        #: The number of each argument, and of the output, ``y``.
        self.scope = {"y": self.node.data} | {arg: self.data[where] for arg, where in self.places.items()}
        shown = self.rule.shown[self.which]
        #: The numbers over which a sum in it runs.
        self.elements = self._elements(str(shown))
        literals = [arg for arg, where in self.places.items() if isinstance(self.node.operands[where], float)]
        self.expression = at(shown, self.scope, literals, self.elements)
        if isinstance(self.expression.tree, ast.Constant):  # 1/3 says more than 0.3333333333333333
            self.expression = at(shown, self.scope, (), self.elements)

    def _elements(self, formula: str) -> list[dict[str, float]]:
        """Of a list only what sums over it, or is the largest in it, needs more than the element itself."""
        many = any(f"{each}(" in formula for each in AGGREGATES)
        return self.rule.elements(self.rule.split(self.data)) if many else []

    def computed(self) -> tuple[float, float]:
        """Its number at the numbers recorded: by the text that is computed, and as people write it."""
        computed = self.rule.d[self.which]
        exact = computed.evaluate(self.scope, IEEE, self._elements(str(computed)))
        return float(exact), float(self.expression.evaluate(self.scope, IEEE, self.elements))


# ------------------------------------------------------------------------------- formulas of a graph
class Formulas:
    """The expressions of one graph; the nodes ``inside`` are written out, all others stand by name.

    >>> from microbp import Value
    >>> formulas = Formulas(Graph(Value(0.0, name="x").sigmoid(), {}))
    >>> tree = formulas.derivative(1, 0)
    >>> formulas.math(tree).text, formulas.numbers(tree).text
    ('v1·(1 − v1)', '0.5·(1 − 0.5)')
    """

    def __init__(self, graph: Graph, inside: Collection[int] = ()) -> None:
        self.graph, self.inside = graph, inside
        #: The number of each word of an expression that stands for something of our own.
        self.scope: dict[str, float] = {}
        #: ... and what that is in either form, where it is a text.
        self._own: dict[str, tuple[Term, Term]] = {}
        #: The nodes that stand by name in what was written.
        self.used: set[int] = set()

    @cached_property
    def _leaves(self) -> list[int]:
        """For each node how many names and numbers it has, written out."""
        leaves: list[int] = []
        for node in self.graph:
            several = sum(leaves[x] if isinstance(x, int) else 1 for x in node.operands)
            leaves.append(min(several, 10**6) if node.position in self.inside else 1)
        return leaves

    def _words(self, tree: ast.expr) -> dict[str, float]:
        """The words in an expression that stand for a node or something of our own, with their numbers."""
        ids = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
        nodes = {each: self.graph.nodes[int(each[1:])].data for each in ids if _NODE.fullmatch(each)}
        return nodes | {each: self.scope[each] for each in ids & self.scope.keys()}

    def math(self, tree: ast.expr) -> Math:
        """An expression in symbols."""
        own = {word: self._own.get(word) or self._name(word) for word in self._words(tree)}
        plain, tex = ({word: each[k] for word, each in own.items()} for k in (0, 1))
        return Math(text(_whole(tree), plain, None, DIGITS), latex(_whole(tree), tex, None, DIGITS))

    def numbers(self, tree: ast.expr, digits: int = DIGITS) -> Math:
        """An expression with its numbers."""
        return Math(*(form(_whole(tree), self._words(tree), None, digits) for form in (text, latex)))

    def word(
        self, name: str, x: float, written: Math | None = None, levels: tuple[int, int] = (ATOM, ATOM)
    ) -> ast.expr:
        """A name for a number, and for a text of our own."""
        self.scope[name] = x
        if written is not None:
            self._own[name] = Term(written.text, levels[0]), Term(written.latex, levels[1])
        return ast.Name(name)

    def _name(self, word: str) -> tuple[Term, Term]:
        self.used.add(int(word[1:]))
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
        return self._placed(found, found.expression.tree, trees)

    def condition(self, position: int, place: int) -> tuple[Math, bool] | None:
        """Which branch of a derivative with corners was taken: the last condition, and whether it holds.

        None without corners.
        """
        found = Formula(self.graph, position, place)
        if not found.rule.kink or found.rule.over:
            return None
        rest, last, holds = found.rule.shown[found.which].tree, None, False
        while isinstance(rest, ast.IfExp) and not holds:
            test = rest.test
            holds = bool(_whole(test).evaluate(found.scope))
            nan = isinstance(test, ast.Compare) and ast.dump(test.left) == ast.dump(test.comparators[0])
            last = last if nan else test  # a == a only tells nan from a number
            rest = rest.orelse
        if last is None:
            return None
        for depth in (DEEPEST - 1, DEEPEST):
            trees = {arg: self._operand(found.node.operands[at], depth) for arg, at in found.places.items()}
            made = self.math(self._placed(found, last, trees | {"y": ast.Name(f"n{position}")}))
            if len(made.text) <= LONGEST:
                break
        return made, holds

    def _placed(self, found: Formula, tree: ast.expr, trees: Mapping[str, ast.expr]) -> ast.expr:
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
                x = float(inner.evaluate(found.scope, IEEE, found.elements))
                level = ATOM, SUM if name == "total" else ATOM
                return formulas.word(f"a{len(formulas._own)}", x, written, level)

        return Placed().visit(copy.deepcopy(tree))  # type: ignore[no-any-return]
