"""``Derivation``: one gradient by the chain rule, sentence by sentence and line by line.

It stops at *stations* on its way from the loss down. What nobody named and only one node uses is passed
over: its derivative becomes part of the factor between the stations above and below. So is a term of a sum,
whose derivative is exactly 1. A ``Factor`` is the derivative of one station by the next one below, with its
formula and its sentences.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile

import numpy as np

from microbp.debug.explain.records import WIDTH, Part, Row, agree, within
from microbp.debug.explain.sentences import say
from microbp.debug.formulas import (
    DEEPEST,
    Formula,
    Formulas,
    flat,
    multiplied,
    numbers_of,
    product,
    total,
)  # fmt: skip
from microbp.debug.words import Math, name_of, number, quotient
from microbp.expr import total as added
from microbp.graph import Graph, Node
from microbp.lazy import cached_property
from microbp.notation import plain_name
from microbp.sweeps import backward

#: How many derivatives one factor may hold that are no mere constants, how many in all, and how many operands
#: an unnamed node may have that is passed over: it would be too long, written out.
LONGEST, LINKS, OPERANDS = 4, 50, 8
#: With more ways, or more factors, than these the paths are collected at δ.
WAYS, FACTORS = 4, 24
#: How many δ are derived, how many factors have their formula, and how many terms a sum shows.
DELTAS, DERIVED, SHOWN = 12, 12, 4
#: How many factors stand in a row before the next δ, and how many stations of a path at either end.
ROW, ENDS = 6, 6
#: How many sentences a factor has about branches, and how many links are written before constants are joined.
BRANCHES, WRITTEN = 3, 8
#: By how much a formula as people write it may differ from the number computed before that is said.
VISIBLE = 1e-8

Say = Callable[..., Math]
#: Each node passed on a way from a station down to the next one, and the place of the operand below.
Chain = tuple[tuple[int, int], ...]
ELLIPSIS = Math("…", r"\dots")


class Stations:
    """The stations between the root of a graph and the node at position ``target``."""

    def __init__(self, graph: Graph, target: int) -> None:
        self.graph, self.target, self.root = graph, target, graph.root.position
        #: For each node between: where it is used on a way up to the root, as (user, place).
        self.uses: dict[int, list[tuple[int, int]]] = {target: []}
        for node in graph.nodes[target + 1 :]:
            for place, (x, local) in enumerate(zip(node.operands, node.local_derivatives, strict=True)):
                if local is not None and isinstance(x, int) and x in self.uses:
                    self.uses.setdefault(node.position, [])
                    self.uses[x].append((node.position, place))
        #: For each node the station that it belongs to: itself, or the next one above.
        self.top: dict[int, int] = {}
        #: For each station how many ways lead up from it, counting stations only.
        self.ways: dict[int, int] = {}
        #: How many derivatives there are from each node passed up to its station; how many are no constants.
        links = dict.fromkeys(self.uses, (0, 0))
        for position in sorted(self.uses, reverse=True):
            node, uses = graph.nodes[position], self.uses[position]
            self.top[position] = position
            if len(uses) == 1 and position != target:
                user = graph.nodes[uses[0][0]]
                count, varying = links[user.position]
                count, varying = count + 1, varying + (not _constant(user))
                plain = not node.named and (len(node.operands) <= OPERANDS or _added(node))
                if (plain or _added(user)) and varying < LONGEST and count < LINKS:
                    self.top[position] = self.top[user.position]
                    links[position] = count, varying
            if self.top[position] == position:
                ways = sum(self.ways[above] for above in self.above(position))
                self.ways[position] = min(ways, 10**9) if uses else 1
        passed = {position for position, top in self.top.items() if top != position}
        unnamed = {node.position for node in graph if node.rule is not None and not node.named}
        #: The nodes that are no stations, and that stand in formulas by what they are computed from.
        self.inside = unnamed - self.uses.keys() | passed

    def above(self, station: int) -> list[int]:
        """The next stations above, each once, the first used first."""
        return list(dict.fromkeys(self.top[user] for user, _ in self.uses[station]))

    def chains(self, above: int, below: int) -> list[tuple[float, Chain]]:
        """Every way from a station down to the next one, the largest first, and its recorded derivative."""
        chains = []
        for last in self.uses[below]:
            if self.top[last[0]] == above:
                chain = [last]
                while chain[-1][0] != above:
                    chain += self.uses[chain[-1][0]]
                nodes = self.graph.nodes
                recorded = (nodes[user].local_derivatives[place] or 0.0 for user, place in reversed(chain))
                chains.append((math.prod(recorded), tuple(reversed(chain))))
        return sorted(chains, key=lambda chain: -abs(chain[0]))

    def paths(self) -> list[tuple[int, ...]]:
        """Every way from the root down to the target, as stations; for few ways only."""
        paths: list[tuple[int, ...]] = [(self.target,)]
        while any(path[0] != self.root for path in paths):
            longer = [[(above, *path) for above in self.above(path[0])] or [path] for path in paths]
            paths = [path for each in longer for path in each]
        return paths

    def up(self, station: int) -> list[int]:
        """The stations from this one up, as far as there is one way only; no more than stand in a row."""
        passed = [station]
        while len(following := self.above(passed[-1])) == 1 and len(passed) <= ROW:
            passed += following
        return passed


def _added(node: Node) -> bool:
    return node.rule is not None and node.rule.name in ("add", "sum")


def _constant(node: Node) -> bool:
    """Whether the local derivatives of a node are constants, whatever the numbers."""
    assert node.rule is not None
    name = node.rule.name
    return name in ("add", "sub", "neg", "sum") or (
        name in ("mul", "div") and any(isinstance(x, float) for x in node.operands)
    )


class Factor:
    """∂above/∂below between two neighbouring stations: the sum over the chains between them."""

    def __init__(self, stations: Stations, formulas: Formulas, above: int, below: int) -> None:
        self.formulas, self.above, self.below = formulas, above, below
        self.nodes = stations.graph.nodes
        self.names = name_of(self.nodes[above]), name_of(self.nodes[below])
        self.label = quotient(*self.names)
        chains = stations.chains(above, below)
        self.chains = [chain for _, chain in chains]
        #: What the engine has recorded, and the size of what is added up.
        self.recorded, self.size = added([x for x, _ in chains]), added([abs(x) for x, _ in chains])
        #: The first link whose row gives another number than was recorded: its operation and node.
        self.culprit = ""
        #: What the formulas as people write them give along the last chain.
        self.written = math.nan
        rest = [recorded for recorded, _ in chains[SHOWN:]]
        #: The number that the rows give.
        self.value = added([*map(self._value, self.chains[:SHOWN]), *rest])
        self.verbatim, self.simple = self._trees(added(rest) if rest else None)

    @cached_property
    def word(self) -> ast.expr:
        """The factor as one number in an expression."""
        return self.formulas.word(f"f{self.above}_{self.below}", self.value)

    def _value(self, chain: Chain) -> float:
        """The product along a chain, by what the rows of the table give at the numbers recorded."""
        value = self.written = 1.0
        for user, place in chain:
            node = self.nodes[user]
            local = node.local_derivatives[place] or 0.0
            computed, written = Formula(self.formulas.graph, user, place).computed()
            if not agree(computed, local, abs(local)) and node.rule is not None:
                line = "" if node.site is None else f", {node.site}"
                self.culprit = self.culprit or f"{node.rule.name} at {plain_name(node.name)}{line}"
            value, self.written = value * computed, self.written * written
        return value

    def _trees(self, rest: float | None) -> tuple[ast.expr, ast.expr]:
        """The derivative as the rules state it link by link, and with the constants multiplied."""
        forms = [self._forms(chain) for chain in self.chains[:SHOWN]]
        if rest is not None:
            word = self.formulas.word(f"r{self.above}_{self.below}", rest, ELLIPSIS)
            forms.append((word, word))
        verbatim, simple = ([each[k] for each in forms] for k in (0, 1))
        if len({ast.dump(each) for each in simple}) == 1 and len(simple) > 1:
            return total(verbatim), multiplied([ast.Constant(float(len(simple))), *flat(simple[0])])
        return total(verbatim), total(simple)

    def _forms(self, chain: Chain) -> tuple[ast.expr, ast.expr]:
        factors = [each for link in chain for each in flat(self.formulas.derivative(*link))]
        simple = multiplied(factors)
        kept = [each for each in factors if not (isinstance(each, ast.Constant) and each.value == 1.0)]
        constants = sum(isinstance(each, ast.Constant) for each in kept)
        if constants < 2 or not 2 < len(kept) <= WRITTEN:
            return simple, simple
        if isinstance(kept[0], ast.Constant) and kept[0].value == -1.0:
            return ast.UnaryOp(ast.USub(), product(kept[1:])), simple
        return product(kept), simple

    # ------------------------------------------------------------------------------- what is printed
    def row(self, kind: str = "factor") -> Row:
        """The line of the derivation."""
        symbols = self.formulas.math(self.verbatim), self.formulas.math(self.simple)
        numbers, size = self.formulas.numbers(self.simple), within(self.size)
        return Row(kind, self.label, symbols, numbers, self.value, self.recorded, size, self.culprit)

    def definition(self) -> Math:
        """``net = w·x + b``: what the node above is computed by."""
        place, above = self.chains[0][0][1], self.names[0]
        for depth in range(DEEPEST):
            made = self.formulas.math(self.formulas.definition(self.above, place, depth))
            if len(made.text) <= WIDTH:
                break
        return Math(f"{above.text} = {made.text}", f"{above.latex} = {made.latex}")

    def remarks(self, say: Say) -> list[Math]:
        """What has to be said beside: several contributions, digits that are lost, branches taken."""
        said = []
        hidden, (above, below) = len(self.chains) - SHOWN, self.names
        if len(self.chains) > 1:
            said.append(say("contributions", above=above, below=below, count=len(self.chains)))
        if hidden > 0:
            said.append(say("hidden" if hidden > 1 else "hidden one", count=hidden))
        differs = not abs(self.written - self.value) <= VISIBLE * abs(self.value)
        if len(self.chains) == 1 and differs and math.isfinite(self.value):
            said.append(say("digits", shown=number(self.written), value=number(self.value)))
        links = [link for chain in self.chains[:SHOWN] for link in chain]
        branches = [self._softmax(say), *dict.fromkeys(self._branch(*link, say) for link in links)]
        return said + [each for each in branches if each is not None][:BRANCHES]

    def _softmax(self, say: Say) -> Math | None:
        """Of cross_entropy with targets that add up to 1: its derivative is softmax minus target."""
        user, place = self.chains[0][-1]
        node = self.nodes[user]
        half, local = len(node.operands) // 2, node.local_derivatives[place]
        if node.rule is None or node.rule.name != "cross_entropy" or place >= half or local is None:
            return None
        targets = numbers_of(self.formulas.graph, node)[half:]
        if len(self.chains) > 1 or added(targets) != 1.0:
            return None
        filled = {"below": self.names[1], "p": number(local + targets[place]), "t": number(targets[place])}
        return say("softmax" if self.recorded == local else "softmax scaled", **filled)

    def _branch(self, user: int, place: int, say: Say) -> Math | None:
        """Which branch was taken; of the largest of several which that is."""
        node = self.nodes[user]
        assert node.rule is not None
        if node.rule.name != "max":
            taken = self.formulas.condition(user, place)
            key = "branch" if taken and taken[1] else "branch not"
            return None if taken is None else say(key, rule=node.rule.name, condition=taken[0])
        names = [name_of(self.nodes[x]) if isinstance(x, int) else number(x) for x in node.operands]
        first = [k for k, x in enumerate(numbers_of(self.formulas.graph, node)) if x == node.data]
        if place not in first:
            other = names[first[0]] if first else number(node.data)
            return say("not largest", below=names[place], other=other)
        return say("tie" if len(first) > 1 else "largest", below=names[place], count=len(first))


def times(parts: Sequence[Math]) -> Math:
    """Factors in a row."""
    return Math(" · ".join(each.text for each in parts), r" \cdot ".join(each.latex for each in parts))


def plus(parts: Sequence[Math]) -> Math:
    """Terms in a row; where that is long, below each other."""
    long = sum(len(each.text) for each in parts) > WIDTH - 15 and len(parts) > 1
    signs = ("\n+ ", " \\\\\n&\\quad + ") if long else (" + ", " + ")
    return Math(signs[0].join(each.text for each in parts), signs[1].join(each.latex for each in parts))


class Term:
    """One of the terms that are added up: factors, below a δ (its label, word, number) or the root itself."""

    def __init__(self, factors: list[Factor], delta: tuple[Math, ast.expr, float] | None = None) -> None:
        label, word, above = delta or (None, None, 1.0)
        self.factors = factors
        self.symbols = times([*([label] if label else []), *(each.label for each in factors)])
        self.tree = product([*([word] if word else []), *(each.word for each in factors)])
        #: Its number, what the engine has, and the size of what is added up in it.
        self.value, self.recorded, self.size = (
            math.prod([first, *(getattr(each, what) for each in factors)])
            for first, what in ((above, "value"), (above, "recorded"), (abs(above), "size"))
        )


class Derivation:
    """The parts of an explanation of ∂root/∂target; ``engine`` is the gradient that it has to be."""

    def __init__(self, graph: Graph, target: int, engine: float | None, language: str) -> None:
        self.graph, self.target, self.language = graph, target, language
        self.root = graph.root.position
        self.stations = Stations(graph, target)
        self.formulas = Formulas(graph, self.stations.inside)
        seed = {self.root: 1.0}
        #: The gradient of the root by each node; a frozen leaf has the one that it would get.
        self.gradients: list[float] = backward(graph, seed).tolist()
        #: The sum of the sizes of all paths from the root to each node: rounding errors grow with it.
        self.sizes: list[float] = backward(graph, seed, np.abs(graph.local)).tolist()
        self.engine = self.gradients[target] if engine is None else engine
        self.loss, self.value = name_of(graph.root), name_of(graph.nodes[target])
        self.label = quotient(self.loss, self.value)
        self.parts: list[Part] = []
        self.factors: dict[tuple[int, int], Factor] = {}
        #: Stations at which a way from one term of a sum meets another term.
        self.meeting: set[int] = set()
        #: The gradient that the derivation came to.
        self.result = math.nan

    @property
    def used(self) -> set[int]:
        """The nodes that it speaks of."""
        return self.formulas.used | {each for pair in self.factors for each in pair}

    def say(self, sentence: str, **filled: Math | str | int) -> None:
        """Add a sentence."""
        self.parts.append(self._said(sentence, **filled))

    def _said(self, sentence: str, **filled: Math | str | int) -> Math:
        return say(sentence, self.language, **filled)

    def tell(self) -> tuple[Part, ...]:
        """All parts."""
        paths = self.stations.paths() if self.stations.ways[self.target] <= WAYS else []
        if self.target == self.root:
            self.say("itself", loss=self.loss)
            self._sum("gradient", self.target, [Term([])])
        elif paths and sum(map(len, paths)) <= FACTORS:
            self._few(paths)
        else:
            self._many()
        self._remarks()
        return tuple(self.parts)

    def factor(self, above: int, below: int) -> Factor:
        """The factor between two neighbouring stations, made once."""
        if (above, below) not in self.factors:
            self.factors[above, below] = Factor(self.stations, self.formulas, above, below)
        return self.factors[above, below]

    def _sum(
        self, kind: str, station: int, terms: Sequence[Term], hidden: Sequence[float] = (),
        symbols: tuple[Math, ...] | None = None,
    ) -> None:  # fmt: skip
        """The line in which the terms of the gradient at a station are added up."""
        trees, shown = [each.tree for each in terms], [each.symbols for each in terms]
        if hidden:
            trees.append(self.formulas.word(f"h{station}", added(hidden)))
            shown.append(ELLIPSIS)
        value = added([*(each.value for each in terms), *hidden])
        size = within(self.sizes[station], *(each.size for each in terms), *map(abs, hidden))
        goal = kind == "gradient"
        symbols = (plus(shown),) if symbols is None and self.target != self.root else symbols or ()
        label, engine = (self.label, self.engine) if goal else (self._delta(station), self.gradients[station])
        self.parts.append(Row(kind, label, symbols, self.formulas.numbers(total(trees)), value, engine, size))
        if hidden:
            self.say("hidden" if len(hidden) > 1 else "hidden one", count=len(hidden))
        self.result = value
        self.formulas.word(f"g{station}", value)

    # ------------------------------------------------------------------------------------- few paths
    def _few(self, paths: list[tuple[int, ...]]) -> None:
        ways = [Term([self.factor(above, below) for above, below in pairwise(path)]) for path in paths]
        filled: dict[str, Math | str | int] = {"value": self.value, "loss": self.loss, "count": len(paths)}
        first = ways[0].factors
        if len(paths) == len(first) == 1:
            self.say("direct", definition=first[0].definition(), **filled)
            row = first[0].row("gradient")._replace(engine=self.engine)
            self.parts += [row, *first[0].remarks(self._said)]
            self.result = first[0].value
            return
        single = all(len(each.chains) == 1 for each in first)
        key = "some paths" if len(paths) > 1 else "one path" if single else "one way"
        self.say(key, path=self._way(paths[0]), **filled)
        self.parts.append(Row("chain", self.label, (plus([each.symbols for each in ways]),)))
        if len(paths) > 1 and (common := _common([each.factors for each in ways])) is not None:
            self.say("common")
            self.parts.append(Row("chain", self.label, (common,)))
        factors = list(dict.fromkeys(each for way in ways for each in way.factors))
        shared = [each for each in factors if all(each in way.factors for way in ways)]
        outer = list(takewhile(shared.__contains__, first))
        own = [each for each in factors if each not in shared]
        self._derive([*outer, *own, *(each for each in shared if each not in outer)])
        if len(paths) > 1:
            self.say("paths")
            for k, (path, way) in enumerate(zip(paths, ways, strict=True)):
                others = {position for each in paths if each is not path for position in each}
                own_way = self._way([each for each in path if each not in others][:1] or path)
                label = self._said("via", path=own_way).text
                told = Math(label, rf"\text{{{label.removesuffix(own_way.text)}}}{own_way.latex}")
                numbers, size = self.formulas.numbers(way.tree), within(way.size)
                self.parts.append(Row("path", told, (way.symbols,), numbers, way.value, way.recorded, size))
                way.tree = self.formulas.word(f"p{k}", way.value)
        self.say("sum" if len(paths) > 1 else "product")
        self._sum("gradient", self.target, ways, symbols=() if len(paths) > 1 else None)

    def _examples(self, factors: Sequence[Factor]) -> list[Factor]:
        """Of factors that are alike one each, from the loss down."""
        kinds: dict[tuple[str, str, bool], Factor] = {}
        for each in sorted(factors, key=lambda each: (each.above, each.below)):
            kinds.setdefault((self._kind(each.above), self._kind(each.below), each.value == 0.0), each)
        return sorted(kinds.values(), key=lambda each: (-each.above, -each.below))

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
            self.parts += [each.row(), *each.remarks(self._said)]
        if others or len(factors) > DERIVED:
            self.say("factors above")

    def _way(self, path: Sequence[int]) -> Math:
        names = [name_of(self.graph.nodes[position]) for position in path]
        if len(names) > 2 * ENDS:
            names = [*names[:ENDS], ELLIPSIS, *names[-ENDS:]]
        return Math(" → ".join(n.text for n in names), r" \to ".join(n.latex for n in names))

    # ------------------------------------------------------------------------------------ many paths
    def _many(self) -> None:
        """Paths collected at the nodes where they meet: δ there, from the root down."""
        ways = self.stations.ways[self.target]
        count = f"{ways:,}" if ways < 10**9 else "> 10⁹"
        delta = Math("δ", r"\delta")
        sentence = "many paths" if ways > 1 else "long way"
        self.say(sentence, value=self.value, loss=self.loss, count=count, delta=delta)
        blocks: dict[int, tuple[list[tuple[int, list[Factor]]], list[float]]] = {}
        pending = [self.target]
        for station in pending:
            if len(blocks) > DELTAS:
                break
            blocks[station] = self._terms(station)
            pending += [top for top, _ in blocks[station][0] if top not in pending and top != self.root]
        several = [each for terms, _ in blocks.values() for _, way in terms for each in way]
        factors = list(dict.fromkeys(several))
        examples = self._examples(factors)
        self._derive(examples, others=len(examples) < len(factors))
        given = sorted({top for terms, _ in blocks.values() for top, _ in terms} - {*blocks, self.root})
        if given:
            self.say("given", delta=delta)
        for station in reversed(given):
            x = self.gradients[station]
            self.formulas.word(f"g{station}", x)
            self.parts.append(Row("given", self._delta(station), value=x, engine=x))
        self.say("deltas")
        for station in sorted(blocks, reverse=True):
            found, hidden = blocks[station]
            terms = [Term(way, None if top == self.root else self._above(top)) for top, way in found]
            self._sum("gradient" if station == self.target else "delta", station, terms, hidden)

    def _above(self, top: int) -> tuple[Math, ast.expr, float]:
        return self._delta(top), ast.Name(f"g{top}"), self.formulas.scope[f"g{top}"]

    def _terms(self, station: int) -> tuple[list[tuple[int, list[Factor]]], list[float]]:
        """The largest terms of the sum at a station, each a δ and its factors; the others' numbers.

        The paths are collected at weighted inputs, as in δ = f′(z)·Σ w·δ: of such a station the sum is
        that at the output above it.
        """
        tail: list[Factor] = []
        low = station
        while self._weighted(station) and len(tail) < ROW - 2:
            high = self.stations.above(low)
            if len(high) > 1 or high[0] == self.root or self._weighted(high[0]):
                break
            tail.insert(0, self.factor(high[0], low))
            [low] = high
        scale = math.prod(each.recorded for each in tail)
        above = []
        for each in self.stations.above(low):
            recorded = [recorded for recorded, _ in self.stations.chains(each, low)]
            above.append((self.gradients[each] * sum(recorded) * scale, each))
        above.sort(key=lambda pair: -abs(pair[0]) if pair[0] == pair[0] else -math.inf)
        tops = {top for _, top in above}
        self.meeting |= {each for top in tops for each in self.stations.up(top)[1:] if each in tops}
        terms = []
        for _, top in above[:SHOWN]:
            way = [self.factor(top, low), *tail]
            end = top
            for each in self.stations.up(top)[1:]:
                if self._weighted(end) or end in self.meeting or len(way) >= ROW:
                    break
                way.insert(0, self.factor(each, end))
                end = each
            terms.append((end, way))
        return terms, [amount for amount, _ in above[SHOWN:]]

    def _weighted(self, station: int) -> bool:
        """Whether a station is the weighted input of a neuron, at which tutorials have their δ."""
        node = self.graph.nodes[station]
        return node.named and node.rule is not None and node.rule.name in ("dot", "add")

    def _delta(self, station: int) -> Math:
        name = name_of(self.graph.nodes[station])
        return Math(f"δ_{name.text}", rf"\delta_{{{name.latex}}}")

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
            terms = [row.value for row in self.parts if isinstance(row, Row) and row.kind == "path"]
            if any(terms) or any(each.value == 0.0 and each.size for each in self.factors.values()):
                self.say("cancelled")
            elif zero:
                self.say("zero factor", factor=zero[0])
            else:
                self.say("underflow")
        if not node.requires_grad:
            self.say("frozen", value=self.value)


def _common(ways: list[list[Factor]]) -> Math | None:
    """The sum with what all paths have in common put outside; None where there is nothing."""
    shortest = min(map(len, ways)) - 1
    before = [each[0] for each in takewhile(_alike, zip(*(way[:shortest] for way in ways), strict=True))]
    backwards = (way[len(before) + 1 :][::-1] for way in ways)
    after = [each[0] for each in takewhile(_alike, zip(*backwards, strict=False))][::-1]
    if not before and not after:
        return None
    inner = plus([times([each.label for each in way[len(before) : len(way) - len(after)]]) for way in ways])
    tex = rf"\left({inner.latex}\right)" if "\n" not in inner.text else f"({inner.latex})"
    closed = Math(f"({inner.text})".replace("\n", "\n "), tex)
    return times([*(each.label for each in before), closed, *(each.label for each in after)])


def _alike(factors: tuple[Factor, ...]) -> bool:
    return len({*factors}) == 1
