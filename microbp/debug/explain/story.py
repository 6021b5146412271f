"""``Story``: the derivation of one gradient, sentence by sentence and line by line."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from itertools import pairwise, takewhile

from microbp.debug.explain.factor import Factor, name_of, number, quotient
from microbp.debug.explain.formulas import Formulas
from microbp.debug.explain.records import WIDTH, Row
from microbp.debug.explain.stations import Stations
from microbp.debug.explain.trees import Math, product, total
from microbp.debug.explain.words import say
from microbp.debug.path_search import gradients_of
from microbp.graph import Graph

__all__ = ["Story"]

#: With more ways, or more factors, than these the paths are collected at δ.
WAYS, FACTORS = 4, 24
#: How many δ are derived, how many factors have their formula, and how many terms a sum shows.
DELTAS, DERIVED, SHOWN = 12, 12, 4
#: How many factors stand in a row before the next δ.
ROW = 6


def times(parts: Sequence[Math]) -> Math:
    """Factors in a row."""
    return Math(" · ".join(each.text for each in parts), r" \cdot ".join(each.latex for each in parts))


def plus(parts: Sequence[Math]) -> Math:
    """Terms in a row; where that is long, below each other."""
    long = sum(len(each.text) for each in parts) > WIDTH - 15 and len(parts) > 1
    signs = ("\n+ ", " \\\\\n&\\quad + ") if long else (" + ", " + ")
    return Math(signs[0].join(each.text for each in parts), signs[1].join(each.latex for each in parts))


class Story:
    """The parts of an explanation of ∂root/∂target; ``engine`` is the gradient that it has to be."""

    def __init__(self, graph: Graph, target: int, engine: float | None, language: str) -> None:
        self.graph, self.target, self.language = graph, target, language
        self.stations = Stations(graph, target)
        self.formulas = Formulas(graph, self.stations.inside)
        self.gradients = gradients_of(graph)
        self.engine = self.gradients[target] if engine is None else engine
        self.loss, self.value = name_of(graph.root), name_of(graph.nodes[target])
        self.label = quotient(self.loss, self.value)
        self.parts: list[Math | Row] = []
        self.factors: dict[tuple[int, int], Factor] = {}
        #: Stations at which a way from one term of a sum meets another term.
        self.meeting: set[int] = set()
        #: The gradient that the derivation came to.
        self.result = math.nan

    def say(self, sentence: str, **filled: Math | str | int) -> None:
        """Add a sentence."""
        self.parts.append(say(sentence, self.language, **filled))

    def tell(self) -> tuple[Math | Row, ...]:
        """All parts."""
        if self.target == self.graph.root.position:
            self.say("itself", loss=self.loss)
            self._gradient(ast.Constant(1.0), (), 1.0)
        elif self.stations.ways[self.target] <= WAYS and self._fits(paths := self.stations.paths()):
            self._few(paths)
        else:
            self._many()
        self._remarks()
        return tuple(self.parts)

    def _fits(self, paths: list[tuple[int, ...]]) -> bool:
        return sum(len(path) for path in paths) <= FACTORS

    def factor(self, above: int, below: int) -> Factor:
        """The factor between two neighbouring stations, made once."""
        if (above, below) not in self.factors:
            self.factors[above, below] = Factor(self.stations, self.formulas, above, below)
        return self.factors[above, below]

    # ------------------------------------------------------------------------------------- few paths
    def _few(self, paths: list[tuple[int, ...]]) -> None:
        ways = [[self.factor(above, below) for above, below in pairwise(path)] for path in paths]
        products = [times([each.label for each in way]) for way in ways]
        filled: dict[str, Math | str | int] = {"value": self.value, "loss": self.loss}
        if len(paths) == 1:
            if len(ways[0]) == 1:
                [only] = ways[0]
                self.say("direct", definition=only.definition(), **filled)
                self.parts += [only.row("gradient")._replace(engine=self.engine)]
                self.parts += only.remarks(self.language)
                self.result = only.value
                return
            single = all(len(each.chains) == 1 for each in ways[0])
            self.say("one path" if single else "one way", path=self._way(paths[0]), **filled)
            self.parts.append(Row("chain", self.label, (products[0],)))
        else:
            self.say("some paths", count=len(paths), **filled)
            self.parts.append(Row("chain", self.label, (plus(products),)))
            common = _common(ways)
            if common is not None:
                self.say("common")
                self.parts.append(Row("chain", self.label, (common,)))
        factors = list(dict.fromkeys(each for way in ways for each in way))
        shared = [each for each in factors if all(each in way for way in ways)]
        outer = list(takewhile(shared.__contains__, ways[0]))
        own = [each for each in factors if each not in shared]
        self._derive([*outer, *own, *(each for each in shared if each not in outer)])
        size = sum(math.prod(each.size for each in way) for way in ways)
        if len(paths) == 1:
            self.say("product")
            self._gradient(product([each.word for each in ways[0]]), (products[0],), size)
            return
        self.say("paths")
        words = [self._path(k, paths, ways[k]) for k in range(len(paths))]
        self.say("sum")
        self._gradient(total(words), (), size)

    def _path(self, k: int, paths: list[tuple[int, ...]], way: list[Factor]) -> ast.expr:
        """A line for one path; its value as a word."""
        others = {position for i, path in enumerate(paths) if i != k for position in path}
        own = [position for position in paths[k] if position not in others]
        through = self._way(own[:1] or paths[k])
        word = {"en": "via", "zh": "经"}[self.language]
        label = Math(f"{word} {through.text}", rf"\text{{{word} }}{through.latex}")
        tree = product([each.word for each in way])
        recorded, size = (math.prod(x) for x in ([f.recorded for f in way], [f.size for f in way]))
        value = self.formulas.value(tree)
        self.parts.append(
            Row("path", label, (times([each.label for each in way]),), self.formulas.numbers(tree),
                number(value), (value,), recorded, size)
        )  # fmt: skip
        self.formulas.scope[f"p{k}"] = value
        return ast.Name(f"p{k}")

    def _examples(self, factors: Sequence[Factor]) -> tuple[list[Factor], bool]:
        """Of factors that are alike one each, from the loss down, and whether there are others."""
        kinds: dict[tuple[str, str, bool], Factor] = {}
        for each in sorted(factors, key=lambda each: (each.above, each.below)):
            kind = (self._kind(each.above), self._kind(each.below), each.value == 0.0)
            kinds.setdefault(kind, each)
        chosen = sorted(kinds.values(), key=lambda each: (-each.above, -each.below))
        return chosen, len(chosen) < len(factors)

    def _kind(self, position: int) -> str:
        """A name without indices: z2 of z2[0] and of z2[1]#2."""
        node = self.graph.nodes[position]
        if not node.named:
            return f"{node.rule.name if node.rule else ''} without a name"
        return re.sub(r"(\[[^\]]*\])+(#\d+)?$", "", node.name)

    def _derive(self, factors: Sequence[Factor], others: bool = False) -> None:
        """The formula of each factor."""
        for k, each in enumerate(factors[:DERIVED], start=1):
            place = "first" if k == 1 else "last" if k == len(factors) else "next"
            self.say(place, k=k, factor=each.label, definition=each.definition())
            self.parts.append(each.row())
            self.parts += each.remarks(self.language)
        if others or len(factors) > DERIVED:
            self.say("factors above")

    def _way(self, path: Sequence[int]) -> Math:
        names = [name_of(self.graph.nodes[position]) for position in path]
        if len(names) > 12:
            names = [*names[:6], Math("…", r"\dots"), *names[-6:]]
        return Math(" → ".join(n.text for n in names), r" \to ".join(n.latex for n in names))

    def _gradient(self, tree: ast.expr, symbols: tuple[Math, ...], size: float) -> None:
        self.result = self.formulas.value(tree)
        numbers = self.formulas.numbers(tree)
        result = self.result
        self.parts.append(
            Row("gradient", self.label, symbols, numbers, number(result), (result,), self.engine, size)
        )

    # ------------------------------------------------------------------------------------ many paths
    def _many(self) -> None:
        """Paths collected at the nodes where they meet: δ there, from the root down."""
        ways = self.stations.ways[self.target]
        count = f"{ways:,}" if ways < 10**9 else "> 10⁹"
        delta = Math("δ", r"\delta")
        sentence = "many paths" if ways > 1 else "long way"
        self.say(sentence, value=self.value, loss=self.loss, count=count, delta=delta)
        blocks: dict[int, list[tuple[int, list[Factor]]]] = {}
        hidden: dict[int, list[float]] = {}
        pending = [self.target]
        for station in pending:
            if len(blocks) > DELTAS:
                break
            blocks[station], hidden[station] = self._terms(station)
            pending += [top for top, _ in blocks[station] if top not in pending and top != self._root]
        factors = [each for terms in blocks.values() for _, way in terms for each in way]
        self._derive(*self._examples(list(dict.fromkeys(factors))))
        given = sorted({top for terms in blocks.values() for top, _ in terms} - {*blocks, self._root})
        if given:
            self.say("given", delta=delta)
        for station in reversed(given):
            self.formulas.scope[f"g{station}"] = x = self.gradients[station]
            self.parts.append(Row("given", self._delta(station), (), None, number(x), (x,), x))
        self.say("deltas")
        for station in sorted(blocks, reverse=True):
            self._block(station, blocks[station], hidden[station])

    @property
    def _root(self) -> int:
        return self.stations.root

    def _terms(self, station: int) -> tuple[list[tuple[int, list[Factor]]], list[float]]:
        """The largest terms of the sum at a station, each a δ and its factors; the others' numbers.

        The paths are collected at weighted inputs, as in δ = f′(z)·Σ w·δ: of such a station the sum is
        that at the output above it.
        """
        tail: list[Factor] = []
        low = station
        while self._weighted(station) and len(tail) < ROW - 2:
            high = self.stations.above(low)
            if len(high) > 1 or high[0] == self._root or self._weighted(high[0]):
                break
            tail.insert(0, self.factor(high[0], low))
            [low] = high
        scale = math.prod(each.recorded for each in tail)
        above = []
        for each in self.stations.above(low):
            recorded = [chain.recorded for chain in self.stations.chains(each, low)]
            above.append((self.gradients[each] * sum(recorded) * scale, each))
        above.sort(key=lambda pair: -abs(pair[0]) if pair[0] == pair[0] else -math.inf)
        tops = {top for _, top in above}
        self.meeting |= {each for top in tops for each in self._straight_up(top)[1:] if each in tops}
        terms = []
        for _, top in above[:SHOWN]:
            way = [self.factor(top, low), *tail]
            end = top
            for each in self._straight_up(top)[1:]:
                if self._weighted(end) or end in self.meeting or len(way) >= ROW:
                    break
                way.insert(0, self.factor(each, end))
                end = each
            terms.append((end, way))
        return terms, [amount for amount, _ in above[SHOWN:]]

    def _straight_up(self, station: int) -> list[int]:
        """The stations from this one up, as far as there is one way only; no more than stand in a row."""
        passed = [station]
        while passed[-1] != self._root and len(passed) <= ROW:
            following = self.stations.above(passed[-1])
            if len(following) > 1:
                break
            passed += following
        return passed

    def _weighted(self, station: int) -> bool:
        """Whether a station is the weighted input of a neuron, at which tutorials have their δ."""
        node = self.graph.nodes[station]
        return node.named and node.rule is not None and node.rule.name in ("dot", "add")

    def _delta(self, station: int) -> Math:
        name = name_of(self.graph.nodes[station])
        return Math(f"δ_{name.text}", rf"\delta_{{{name.latex}}}")

    def _block(self, station: int, terms: list[tuple[int, list[Factor]]], hidden: list[float]) -> None:
        symbols, trees, size = [], [], 0.0
        for top, way in terms:
            words = [each.word for each in way]
            labels = [each.label for each in way]
            amount = math.prod(each.size for each in way)
            if top != self._root:
                words.insert(0, ast.Name(f"g{top}"))
                labels.insert(0, self._delta(top))
                amount *= abs(self.gradients[top])
            symbols.append(times(labels))
            trees.append(product(words))
            size += amount
        if hidden:
            self.formulas.scope[f"h{station}"] = sum(hidden)
            trees.append(ast.Name(f"h{station}"))
            symbols.append(Math("…", r"\dots"))
            size += sum(map(abs, hidden))
        tree = total(trees)
        if station == self.target:
            self._gradient(tree, (plus(symbols),), size)
        else:
            value = self.formulas.scope[f"g{station}"] = self.formulas.value(tree)
            self.parts.append(
                Row("delta", self._delta(station), (plus(symbols),), self.formulas.numbers(tree),
                    number(value), (value,), self.gradients[station], size)
            )  # fmt: skip
        if hidden:
            self.say("hidden" if len(hidden) > 1 else "hidden one", count=len(hidden))

    # ------------------------------------------------------------------------------- what stands out
    def _remarks(self) -> None:
        node = self.graph.nodes[self.target]
        if math.isnan(self.result):
            first = next((each for each in self.graph if math.isnan(each.data)), None)
            bad = next((each for each in self.factors.values() if not math.isfinite(each.value)), None)
            if first is not None:
                self.say("nan", node=name_of(first))
            elif bad is not None:
                self.say("nan factor", factor=bad.label, number=number(bad.value))
        elif self.result == 0.0:
            zero = [each.label for each in self.factors.values() if each.value == 0.0]
            terms = [row for row in self.parts if isinstance(row, Row) and row.kind == "path"]
            if any(row.values[0] for row in terms) or any(
                each.value == 0.0 and each.size for each in self.factors.values()
            ):
                self.say("cancelled")
            elif zero:
                self.say("zero factor", factor=zero[0])
            else:
                self.say("underflow")
        if not node.requires_grad:
            self.say("frozen", value=self.value)


def _common(ways: list[list[Factor]]) -> Math | None:
    """The sum with what all paths have in common put outside; None where there is nothing."""
    first = 0
    while all(len(way) > first + 1 and way[first] is ways[0][first] for way in ways):
        first += 1
    last = 0
    while all(len(way) > first + last + 1 and way[-1 - last] is ways[0][-1 - last] for way in ways):
        last += 1
    if not first + last:
        return None
    inner = plus([times([each.label for each in way[first : len(way) - last]]) for way in ways])
    within = Math(f"({inner.text})".replace("\n", "\n "), f"({inner.latex})")
    if "\n" not in inner.text:
        within = Math(within.text, rf"\left({inner.latex}\right)")
    before = [each.label for each in ways[0][:first]]
    after = [each.label for each in ways[0][len(ways[0]) - last :]]
    return times([*before, within, *after])
