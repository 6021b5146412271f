"""``Factor``: the derivative of one station by the next one below, with its formula and its sentences."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from microbp.debug.explain.digits import shown
from microbp.debug.explain.formulas import DEEPEST, Formulas
from microbp.debug.explain.records import WIDTH, Row, agree
from microbp.debug.explain.stations import Chain, Stations
from microbp.debug.explain.trees import Math, flat, product, total
from microbp.debug.explain.words import say
from microbp.expr import total as added
from microbp.graph import Node
from microbp.lazy import cached_property
from microbp.notation import latex_name, plain_name
from microbp.notation.names import latex_digits
from microbp.notation.writer import ATOM

__all__ = ["Factor", "name_of", "number", "quotient"]

#: How many contributions of one value to another have their formula written, and how many sentences
#: a factor has about branches.
SHOWN, BRANCHES = 4, 3
#: How many factors are written before the constants among them are multiplied.
LINKS = 8


def name_of(node: Node) -> Math:
    """A node's name."""
    return Math(plain_name(node.name), latex_name(node.name))


def quotient(above: Math, below: Math) -> Math:
    """∂above/∂below."""
    return Math(f"∂{above.text}/∂{below.text}", rf"\frac{{\partial {above.latex}}}{{\partial {below.latex}}}")


def number(x: float) -> Math:
    """A number as it is printed."""
    return Math(shown(x), latex_digits(shown(x)))


class Factor:
    """∂above/∂below between two neighbouring stations: the sum over the chains between them."""

    def __init__(self, stations: Stations, formulas: Formulas, above: int, below: int) -> None:
        self.stations, self.formulas, self.above, self.below = stations, formulas, above, below
        nodes = stations.graph.nodes
        self.names = name_of(nodes[above]), name_of(nodes[below])
        self.label = quotient(*self.names)
        self.chains = sorted(stations.chains(above, below), key=lambda chain: -abs(chain.recorded))
        #: What the engine has recorded, and the size of what is added up.
        self.recorded = added([chain.recorded for chain in self.chains])
        self.size = added([abs(chain.recorded) for chain in self.chains])
        self.verbatim, self.simple = self._trees()
        self.values = formulas.value(self.verbatim), formulas.value(self.simple)

    @property
    def value(self) -> float:
        """The number of the formula."""
        return self.values[1]

    @cached_property
    def word(self) -> ast.expr:
        """The factor as one number in an expression."""
        word = f"f{self.above}_{self.below}"
        self.formulas.scope[word] = self.value
        return ast.Name(word)

    def _trees(self) -> tuple[ast.expr, ast.expr]:
        """The derivative as the rules state it link by link, and with the constants multiplied."""
        forms = [self._chain(chain) for chain in self.chains[:SHOWN]]
        rest = self.chains[SHOWN:]
        if rest:
            left = added([chain.recorded for chain in rest])
            word = self.formulas.stand_in(f"r{self.above}_{self.below}", Math("…", r"\dots"), ATOM, left)
            forms.append((word, word))
        verbatim, simple = ([each[k] for each in forms] for k in (0, 1))
        if len({ast.dump(each) for each in simple}) == 1 and len(simple) > 1:
            return total(verbatim), _multiplied([ast.Constant(float(len(simple))), *flat(simple[0])])
        return total(verbatim), total(simple)

    def _chain(self, chain: Chain) -> tuple[ast.expr, ast.expr]:
        factors: list[ast.expr] = []
        for user, place in chain.links:
            factors += flat(self.formulas.derivative(user, place))
        simple = _multiplied(factors)
        kept = [each for each in factors if not (isinstance(each, ast.Constant) and each.value == 1.0)]
        constants = sum(isinstance(each, ast.Constant) for each in kept)
        if constants < 2 or not 2 < len(kept) <= LINKS:
            return simple, simple
        if isinstance(kept[0], ast.Constant) and kept[0].value == -1.0:
            return ast.UnaryOp(ast.USub(), product(kept[1:])), simple
        return product(kept), simple

    # ------------------------------------------------------------------------------- what is printed
    def row(self, kind: str = "factor") -> Row:
        """The line of the derivation."""
        return Row(
            kind,
            self.label,
            (self.formulas.math(self.verbatim), self.formulas.math(self.simple)),
            self.formulas.numbers(self.simple),
            number(self.value),
            self.values,
            self.recorded,
            self.size,
            self._culprit(),
        )

    def _culprit(self) -> str:
        """The first link whose rule's text gives another number than was recorded."""
        nodes = self.stations.graph.nodes
        for chain in self.chains[:SHOWN]:
            for user, place in chain.links:
                node = nodes[user]
                local = node.local_derivatives[place]
                stated = self.formulas.value(self.formulas.derivative(user, place))
                same = local is not None and agree(stated, local, abs(local))
                if not same and node.rule is not None:
                    line = "" if node.site is None else f", {node.site}"
                    return f"{node.rule.name} at {plain_name(node.name)}{line}"
        return ""

    def definition(self) -> Math:
        """``net = w·x + b``: what the node above is computed by."""
        place = self.chains[0].links[0][1]
        above = self.names[0]
        for depth in range(DEEPEST):
            made = self.formulas.math(self.formulas.definition(self.above, place, depth))
            if len(made.text) <= WIDTH:
                break
        return Math(f"{above.text} = {made.text}", f"{above.latex} = {made.latex}")

    def remarks(self, language: str) -> list[Math]:
        """What has to be said beside: several contributions, branches taken."""
        said = []
        if len(self.chains) > 1:
            above, below = self.names
            said.append(say("contributions", language, above=above, below=below, count=len(self.chains)))
        if len(self.chains) > SHOWN:
            rest = len(self.chains) - SHOWN
            said.append(say("hidden" if rest > 1 else "hidden one", language, count=rest))
        softmax = self._softmax(language)
        said += [softmax] if softmax is not None else []
        links = [link for chain in self.chains[:SHOWN] for link in chain.links]
        branches = [each for link in links if (each := self._branch(*link, language)) is not None]
        return said + list(dict.fromkeys(branches))[:BRANCHES]

    def _softmax(self, language: str) -> Math | None:
        """Of cross_entropy with targets that add up to 1: its derivative is softmax minus target."""
        user, place = self.chains[0].links[-1]
        node, nodes = self.stations.graph.nodes[user], self.stations.graph.nodes
        half = len(node.operands) // 2
        local = node.local_derivatives[place]
        if node.rule is None or node.rule.name != "cross_entropy" or place >= half or local is None:
            return None
        targets = [nodes[x].data if type(x) is int else float(x) for x in node.operands[half:]]
        if len(self.chains) > 1 or added(targets) != 1.0:
            return None
        filled = {"below": self.names[1], "p": number(local + targets[place]), "t": number(targets[place])}
        return say("softmax" if self.recorded == local else "softmax scaled", language, **filled)

    def _branch(self, user: int, place: int, language: str) -> Math | None:
        node = self.stations.graph.nodes[user]
        assert node.rule is not None
        if node.rule.name == "max":
            return self._largest(node, place, language)
        condition = self.formulas.condition(user, place)
        if condition is None:
            return None
        return say("branch", language, rule=node.rule.name, condition=condition)

    def _largest(self, node: Node, place: int, language: str) -> Math:
        nodes = self.stations.graph.nodes
        names = [name_of(nodes[x]) if type(x) is int else number(x) for x in node.operands]
        numbers = [nodes[x].data if type(x) is int else x for x in node.operands]
        first = [k for k, x in enumerate(numbers) if x == node.data]
        if place not in first:
            other = names[first[0]] if first else number(node.data)
            return say("not largest", language, below=names[place], other=other)
        if len(first) > 1:
            return say("tie", language, below=names[place], count=len(first))
        return say("largest", language, below=names[place])


def _multiplied(factors: Sequence[ast.expr]) -> ast.expr:
    """The product with its constants multiplied and put first."""
    coefficient, rest = 1.0, []
    for each in factors:
        if isinstance(each, ast.Constant) and isinstance(each.value, float):
            coefficient *= each.value
        else:
            rest.append(each)
    if not rest:
        return ast.Constant(coefficient)
    if coefficient == 1.0:
        return product(rest)
    if coefficient == -1.0:
        return ast.UnaryOp(ast.USub(), product(rest))
    return product([ast.Constant(coefficient), *rest])
