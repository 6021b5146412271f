"""Values and numbers in words, ``Formulas``: expressions as people write them, and short names.

In an expression a node stands as ``n`` and its position. One that nobody named, between two that are, is
written out, as far as a reader can follow. A derivative is the row's ``shown`` formula, whatever clause of it
computed the number; of a conditional only the branch taken is left. ``shortened`` gives what modules hold
and compute short names: ``w1[2,1]`` for ``layers.0.neurons.2.w.1``, ``z1[2]`` and ``h1[2]`` for the weighted
input and the output of that neuron.
"""

from __future__ import annotations

import ast
import copy
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial, reduce
from typing import Any, NamedTuple

from microbp.expr import AGGREGATES, IEEE, Expression
from microbp.graph import Graph, Node, cached_property
from microbp.node import text_of
from microbp.notation import ATOM, DOTS, SUM, Math, Term, at, latex, plain_name, plain_number, spelled, text
from microbp.rules import RULES

#: By how much a number computed from recorded numbers may differ from the engine's, relatively.
TOLERANCE = 1e-12
#: How many significant digits a rounded number in a formula has; one with fewer is exact.
DIGITS = 9


def number(x: float) -> Math:
    """A number as it is printed."""
    return spelled(x, DIGITS)


def figure(x: float | None, *, sign: bool = False) -> str:
    """A number with six significant digits, all of them where it was rounded; a dash for None."""
    return "-" if x is None else plain_number(x, 6, padded=True, sign=sign)


def equation(graph: Graph, node: Node) -> str:
    """``v21 = w5·h1``; of a leaf its name."""
    name = plain_name(node.name)
    return name if node.rule is None else f"{name} = {graph.formula(node)}"


def group_words(node: Node) -> str:
    """The groups of a node: ``net / layers.0 / neurons.2``; a later call says which: ``net (call 2)``."""
    return " / ".join(plain_name(name) + (f" (call {call + 1})" if call else "") for name, call in node.group)


def agree(value: float, engine: float, size: float) -> bool:
    """Whether two numbers differ by no more than rounding errors; ``size`` is that of what was added."""
    if value == engine or (math.isnan(value) and math.isnan(engine)) or math.isnan(size):
        return True
    return abs(value - engine) <= TOLERANCE * max(size, abs(engine), 1e-300)


# ------------------------------------------------------------------------------------- expressions
#: How many operations deep, and with how many operands in all, an unnamed node is written out.
DEEPEST, WIDEST = 6, 8
#: How many terms of a sum before the last, and how many operands of another list, are written out.
TERMS, OPERANDS = 3, 6
#: A condition that is longer is written with the names of its operands.
LONGEST = 50
_SIGNS: dict[str, ast.operator] = {"sub": ast.Sub(), "mul": ast.Mult(), "div": ast.Div()}


# ------------------------------------------------------------------------------------------- trees
def product(factors: Sequence[ast.expr]) -> ast.expr:
    """The factors multiplied; 1 where there is none."""
    return reduce(lambda a, b: ast.BinOp(a, ast.Mult(), b), factors) if factors else ast.Constant(1.0)


def total(terms: Sequence[ast.expr]) -> ast.expr:
    """The terms added."""
    return reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), terms)


def _whole(tree: ast.expr) -> Expression:
    return Expression("", frozenset(), tree)


# ------------------------------------------------------------------------------- one local derivative
def argument(node: Node, place: int) -> tuple[int, dict[str, int]]:
    """Which of the row's arguments an operand is, and where each stands; of a list the element beside it."""
    assert node.rule is not None
    split = node.rule.split(range(len(node.operands)))
    lists = [[*where] if isinstance(where, list | range) else [where] for where in split]
    which, element = next((k, where.index(place)) for k, where in enumerate(lists) if place in where)
    named = zip(node.rule.args, lists, strict=True)
    return which, {arg: where[min(element, len(where) - 1)] for arg, where in named if where}


class Formula:
    """∂node/∂operand as its row states it, at the numbers recorded; arithmetic between literals is done."""

    def __init__(self, graph: Graph, position: int, place: int) -> None:
        self.node, self.place = (node := graph.nodes[position]), place
        assert node.rule is not None
        self.rule, self.data = node.rule, node.numbers
        #: Which argument it is by, and where each argument stands among the operands.
        self.which, self.places = argument(node, place)
        #: The number of each argument, and of the output, ``y``.
        self.scope = {"y": node.data} | {arg: self.data[where] for arg, where in self.places.items()}
        shown = self.rule.shown[self.which]
        #: The numbers over which a sum in it runs.
        self.elements = self._elements(shown)
        literals = [arg for arg, where in self.places.items() if isinstance(node.operands[where], float)]
        self.expression = at(shown, self.scope, literals, self.elements)
        if isinstance(self.expression.tree, ast.Constant):  # 1/3 says more than 0.3333333333333333
            self.expression = at(shown, self.scope, (), self.elements)

    def _elements(self, formula: Expression) -> list[dict[str, float]]:
        """Of a list only what sums over it, or is the largest in it, needs more than the element itself."""
        many = any(f"{each}(" in str(formula) for each in AGGREGATES)
        return self.rule.elements(self.rule.split(self.data)) if many else []

    def value(self) -> float:
        """The number of the node by its row, at the numbers of its operands."""
        return float(self.rule.y.evaluate(self.scope, IEEE, self._elements(self.rule.y)))

    def computed(self) -> tuple[float, float, bool]:
        """Its number by the text that is computed, and as people write it; whether the first was recorded."""
        computed, local = self.rule.d[self.which], self.node.local_derivatives[self.place] or 0.0
        exact = float(computed.evaluate(self.scope, IEEE, self._elements(computed)))
        written = float(self.expression.evaluate(self.scope, IEEE, self.elements))
        return exact, written, agree(exact, local, abs(local))

    @property
    def culprit(self) -> str:
        """What is to blame where a number is wrong: the operation and the node, and its line."""
        site = "" if self.node.site is None else f", {self.node.site}"
        return f"{self.node.operation} at {plain_name(self.node.name)}{site}"


# ------------------------------------------------------------------------------- formulas of a graph
class Word(NamedTuple):
    """What a word of an expression stands for: its number, and how it is written, at which level."""

    number: float
    written: Math = Math("", "")
    levels: tuple[int, int] = (ATOM, ATOM)


#: A name in both forms; a graph's stand in many formulas.
_name = lru_cache(maxsize=4096)(spelled)


class Formulas:
    """The expressions of one graph; the nodes ``inside`` are written out, all others stand by name."""

    def __init__(self, graph: Graph, inside: Collection[int] = ()) -> None:
        self.graph, self.inside = graph, inside
        self.words: dict[str, Word] = {}
        #: The nodes that stand by name in what was made.
        self.used: set[int] = set()
        #: The nodes that stand in it by what they are computed from.
        self.written: set[int] = set()
        #: What is left out of a long list.
        self.dots = self.word("…", math.nan, DOTS)

    def word(self, name: str, *meaning: Any) -> ast.expr:
        """A word for a number, and for a text of our own."""
        self.words[name] = Word(*meaning)
        return ast.Name(name)

    def node(self, position: int) -> ast.expr:
        """The word for a node."""
        self.used.add(position)
        node = self.graph.nodes[position]
        return self.word(f"n{position}", node.data, _name(node.name))

    def _told(self, tree: ast.expr, meant: Callable[[Word, int], Any], digits: int) -> Math:
        """An expression in both forms, with what each word means in them."""
        ids = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)} & self.words.keys()
        scopes = ({each: meant(self.words[each], form) for each in ids} for form in (0, 1))
        pairs = zip((text, latex), scopes, strict=True)
        return Math(*(write(_whole(tree), scope, None, digits) for write, scope in pairs))

    def math(self, tree: ast.expr) -> Math:
        """An expression in symbols."""
        return self._told(tree, lambda word, k: Term(word.written[k], word.levels[k]), DIGITS)

    def numbers(self, tree: ast.expr, digits: int = DIGITS) -> Math:
        """An expression with its numbers."""
        return self._told(tree, lambda word, _: word.number, digits)

    def fitting(
        self, longest: int, make: Callable[..., ast.expr], depths: Iterable[int] = range(DEEPEST)
    ) -> Math:
        """What is made at the first depth at which its text is no longer than that, else at the last."""
        for depth in depths:
            made = self.math(make(depth=depth))
            if len(made.text) <= longest:
                break
        return made

    # -------------------------------------------------------------------------------- definitions
    @cached_property
    def _leaves(self) -> list[int]:
        """For each node how many names and numbers it has, written out."""
        leaves: list[int] = []
        for node in self.graph:
            several = len(node.operands) - len(node.read) + sum(leaves[x] for x in node.read)
            leaves.append(min(several, 10**6) if node.position in self.inside else 1)
        return leaves

    def definition(self, position: int, place: int | None = None, depth: int = 0) -> ast.expr:
        """What a node is computed by; of a long list the operand at ``place`` is among those written."""
        node = self.graph.nodes[position]
        name, operands = node.operation, node.operands
        if name in ("add", "sum", "dot"):
            return self._sum(node, place, depth)
        if node.rule and node.rule.over and len(operands) > OPERANDS:
            ends = [self._operand(operands[0], DEEPEST), self.dots, self._operand(operands[-1], DEEPEST)]
            return self.word(f"d{position}", node.data, self.math(ast.Call(ast.Name(name), ends, [])))
        trees = [self._operand(x, depth + 1) for x in operands]
        if name in _SIGNS:
            return ast.BinOp(trees[0], _SIGNS[name], trees[1])
        return ast.UnaryOp(ast.USub(), trees[0]) if name == "neg" else ast.Call(ast.Name(name), trees, [])

    def _sum(self, node: Node, place: int | None, depth: int) -> ast.expr:
        """A sum of operands, or of products of two and a bias; Python's sum() begins with a 0."""
        places, products = range(len(node.operands)), node.operation == "dot"
        rows: list[tuple[int, ...]] = [(k,) for k in places]
        if node.rule and products:
            weights, inputs, bias = node.rule.split(places)
            rows = [*zip(weights, inputs, strict=True), (bias,)]
        rows = [row for row in rows if len(row) == 2 or repr(node.operands[row[0]]) not in ("0.0", "-0.0")]
        last = len(rows) - 1 - (products and len(rows[-1]) == 1)  # a bias stands behind the last product
        long = last > TERMS
        terms: list[ast.expr] = []
        for k, row in enumerate(rows):
            if not long or k < 2 or k >= last or place in row:
                deep = DEEPEST if long else depth + 1
                terms.append(product([self._operand(node.operands[x], deep) for x in row]))
            elif terms[-1] is not self.dots:
                terms.append(self.dots)
        whole = total(terms)
        return self.word(f"d{node.position}", node.data, self.math(whole), (SUM, SUM)) if long else whole

    def _operand(self, x: float, depth: int) -> ast.expr:
        if not isinstance(x, int):
            return ast.Constant(x)
        if x in self.inside and depth < DEEPEST and self._leaves[x] <= WIDEST:
            self.written.add(x)
            return self.definition(x, None, depth)
        return self.node(x)

    # --------------------------------------------------------------------------------- derivatives
    def derivative(self, position: int, place: int) -> ast.expr:
        """∂node/∂operand as a person writes it, with what its operands are computed from."""
        found = Formula(self.graph, position, place)
        y = self._operand(position, 0)
        return self._placed(found, found.expression.tree, y, 1)

    def condition(self, position: int, place: int) -> tuple[Math, bool] | None:
        """Of a derivative with corners the condition of the branch taken, and whether it holds."""
        found = Formula(self.graph, position, place)
        if not found.rule.kink or found.rule.over:
            return None
        rest, last, holds = found.rule.shown[found.which].tree, None, False
        while isinstance(rest, ast.IfExp) and not holds:
            test, rest = rest.test, rest.orelse
            holds = bool(_whole(test).evaluate(found.scope))
            nan = isinstance(test, ast.Compare) and ast.dump(test.left) == ast.dump(test.comparators[0])
            last = last if nan else test  # a == a only tells nan from a number
        if last is None:
            return None
        placed = partial(self._placed, found, last, self.node(position))
        return self.fitting(LONGEST, placed, (DEEPEST - 1, DEEPEST)), holds

    def _placed(self, found: Formula, tree: ast.expr, y: ast.expr, depth: int) -> ast.expr:
        """A row's expression with a node's operands in it."""
        operands = {arg: self._operand(found.node.operands[x], depth) for arg, x in found.places.items()}
        return _Placed(self, found, {**operands, "y": y}).visit(copy.deepcopy(tree))  # type: ignore[no-any-return]


class _Placed(ast.NodeTransformer):
    """Arguments become what stands for them; a sum over a list becomes a word, which has its number."""

    def __init__(self, formulas: Formulas, found: Formula, trees: Mapping[str, ast.expr]) -> None:
        self.formulas, self.found, self.trees = formulas, found, trees

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.trees.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in AGGREGATES:
            return ast.Call(node.func, [self.visit(each) for each in node.args], [])
        inner = _whole(node)
        x = float(inner.evaluate(self.found.scope, IEEE, self.found.elements))
        written = Math(text(inner, {}), latex(inner, {}))
        levels = ATOM, SUM if name == "total" else ATOM
        return self.formulas.word(f"a{len(self.formulas.words)}", x, written, levels)


# ------------------------------------------------------------------------------------- short names
_LAYER, _NEURON = re.compile(r"(?:.*\.)?layers\.(\d+)"), re.compile(r"neurons\.(\d+)")


class Name(NamedTuple):
    """``w1[2,0]``: a kind (w, b, z, h, or an array), the number of a layer, 0 for none, and an index."""

    kind: str
    layer: int
    places: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.kind}{self.layer or ''}[{','.join(map(str, self.places))}]"


class Short(NamedTuple):
    """The graph with its short names, and what they stand for."""

    graph: Graph
    names: dict[int, Name]
    #: The path of each layer that has a number.
    layers: dict[int, str]
    #: Whether a sigmoid that is written out lies on the way.
    sigmoid: bool


def shortened(graph: Graph, between: Collection[int], target: int) -> Short:
    """Short names for a graph; ``between`` are the nodes between its root and ``target``, with both."""
    nodes = [*graph.nodes]
    sigmoids = _joined(nodes, target)
    layers: dict[int, str] = {}
    wished = {node.position: name for node in nodes for name in _parameter(node, layers)}
    for name, position in _computed(nodes, wished):
        wished.setdefault(position, name)
    names: dict[int, Name] = {}
    taken, calls = {node.name for node in nodes}, Counter[Name]()
    for position, name in wished.items():
        calls[name] += 1  # also of one that the user named, so that z1[0]#2 and h1[0]#2 go together
        if nodes[position].named and nodes[position].rule is not None:
            continue
        call = calls[name]
        while (fresh := f"{name}#{call}" if call > 1 else str(name)) in taken:
            call += 1
        taken.add(fresh)
        names[position] = name
        nodes[position] = nodes[position]._replace(name=fresh, named=True)
    for position in between:  # 1 − v17² is easier to read than with all of v17 written out twice
        if not nodes[position].named and _in_its_own_terms(nodes[position], nodes, between):
            nodes[position] = nodes[position]._replace(named=True)
    return Short(Graph._of(nodes), names, layers, bool(sigmoids & set(between)))


def _parameter(node: Node, layers: dict[int, str]) -> Iterator[Name]:
    """The name of what a module, or an array, holds; not where the user gave another one."""
    path = node.path
    if node.rule is not None or not node.named or not node.name.partition("#")[0].endswith(text_of(path)):
        return
    first = len(path) - 1 - path[::-1].index("layers") if "layers" in path else 0
    match path[first:]:
        case ("layers", int(layer), "neurons", int(neuron), "w" | "b" as kind, *index):
            holder = text_of(path[: first + 2])
            if layers.setdefault(layer + 1, holder) == holder:
                yield Name(kind, layer + 1, (neuron, *index))
        case (str(array), int(), *_) if all(isinstance(each, int) for each in path[1:]):
            yield Name(array, 0, path[1:])


def _computed(nodes: Iterable[Node], names: dict[int, Name]) -> Iterator[tuple[Name, int]]:
    """Weighted inputs and outputs: z and h, with the number of the layer and that of the neuron."""
    depths: list[int] = []
    groups: dict[tuple[tuple[str, int], ...], list[Node]] = {}
    for node in nodes:
        depths.append(max((depths[x] for x in node.read), default=0) + (node.operation == "dot"))
        if node.rule is not None and node.group:
            groups.setdefault(node.group, []).append(node)
    for group in sorted(groups, key=lambda path: [number for _, number in path]):
        inside, neuron = groups[group], _NEURON.fullmatch(group[-1][0])
        layer = next((found for name, _ in reversed(group) if (found := _LAYER.fullmatch(name))), None)
        unary = len({each.rule for each in inside}) == 1 and all(len(each.operands) == 1 for each in inside)
        if neuron is not None and layer is not None:
            sums = [node for node in inside if node.operation in ("dot", "sum", "add")] or inside
            yield Name("z", int(layer[1]) + 1, (int(neuron[1]),)), sums[0].position
            yield Name("h", int(layer[1]) + 1, (int(neuron[1]),)), inside[-1].position
        elif depths[inside[0].position] and (unary or {each.operation for each in inside} == {"dot"}):
            for index, node in enumerate(inside):  # the neuron is the column of its weights
                known = [names[x].places for x in node.read if x in names]
                columns = {each[-1] for each in known if unary or len(each) == 2}
                place = columns.pop() if len(columns) == 1 else index
                name = Name("h" if unary else "z", depths[node.position], (place,))
                names.setdefault(node.position, name)
                yield name, node.position


def _in_its_own_terms(node: Node, nodes: list[Node], between: Collection[int]) -> bool:
    """Whether the derivative of an unnamed node repeats what the node is computed from, at length."""
    if node.rule is None or node.rule.over:
        return False
    places = (place for place, x, _ in node.edges if x in between)
    own = any("y" in node.rule.shown[argument(node, place)[0]].names for place in places)
    return own and any(not nodes[x].named and nodes[x].rule is not None for x in node.read)


# ------------------------------------------------------------------- operations that are read as one
#: A sigmoid: the operations from the quotient down, each with the literals among its operands.
CHAIN: tuple[tuple[str, list[float]], ...] = (("div", [1.0]), ("add", [1.0]), ("exp", []), ("neg", []))


def _joined(nodes: list[Node], kept: int) -> set[int]:
    """Read 1/(1 + exp(−z)) as σ(z), and additions of additions as one sum; where the sigmoids are."""
    uses = Counter(x for node in nodes for x in node.read)
    inner = {node.position for node in nodes if uses[node.position] == 1 and not node.named} - {kept}
    sigmoids = set()

    def instead(position: int, rule: str, operands: list[Any], derivative: float, passed: list[int]) -> None:
        local = tuple(derivative if isinstance(x, int) else None for x in operands)
        made = nodes[position]._replace(rule=RULES[rule], operands=tuple(operands))
        nodes[position] = made._replace(local_derivatives=local)
        for each in passed:
            nodes[each] = nodes[each]._replace(rule=None, operands=(), local_derivatives=())

    for position, node in enumerate(nodes):
        chain = _logistic(nodes, node, inner)
        derivative = math.prod(local for _, local in chain)
        if chain and agree(node.data * (1.0 - node.data), derivative, abs(derivative)):
            below = [x for x, _ in chain]
            instead(position, "sigmoid", below[-1:], derivative, below[:-1])
            sigmoids.add(position)
    for position in reversed(range(len(nodes))):
        operands: list[int | float] = []
        passed, pending = [], [*reversed(nodes[position].operands)] if _adds(nodes[position]) else []
        while pending:
            x = pending.pop()
            if isinstance(x, int) and x in inner and _adds(nodes[x]):
                passed.append(x)
                pending += reversed(nodes[x].operands)
            elif isinstance(x, int) or x != 0.0:
                operands.append(x)
        if passed:
            instead(position, "sum", operands, 1.0, passed)
    return sigmoids


def _adds(node: Node) -> bool:
    """Whether a node is a sum, and passes on what it receives."""
    return node.operation in ("add", "sum") and {*node.local_derivatives} <= {1.0, None}


def _logistic(nodes: list[Node], node: Node, inner: set[int]) -> list[tuple[int, float]]:
    """What stands below each node of a sigmoid that is written out, with the derivative by it."""
    chain: list[tuple[int, float]] = []
    for rule, literals in CHAIN:
        here = nodes[chain[-1][0]] if chain else node
        known = here.operation == rule and [x for x in here.operands if isinstance(x, float)] == literals
        found = [(x, local) for place, x, local in here.edges if rule != "div" or place == 1]
        if not known or len(found) != 1 or (chain and here.position not in inner):
            return []
        chain += found
    return chain
