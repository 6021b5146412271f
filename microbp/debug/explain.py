"""``explain``: a gradient derived by the chain rule, in symbols and numbers, as a tutorial would.

A ``Derivation`` stops at *stations* on its way from the loss down. What nobody named and only one node
uses is passed over: its derivative becomes part of the factor between the stations above and below. So is a
term of a sum, whose derivative is exactly 1. A ``Factor`` is the derivative of one station by the next one
below, with its formula and its sentences; factors in a row are the terms of a sum, the gradient.
"""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from os.path import commonprefix
from typing import Any, NamedTuple

import numpy as np

from microbp.debug.formulas import Formula, Formulas, Name, Short, agree, number, product, shortened, total
from microbp.debug.sentences import DERIVATION
from microbp.expr import total as added
from microbp.graph import Graph, Node, target
from microbp.node import upstream_gradients
from microbp.notation import DOTS, Math, spelled
from microbp.replay import Program
from microbp.replay.forms import Matrix
from microbp.replay.function_graph import Captured
from microbp.replay.latex import formulas, matrices, whole_vector
from microbp.sweeps import backward, dependents
from microbp.text import Shown, columns, sentence
from microbp.text import language as language_of
from microbp.value import Value

#: How many derivatives one factor may hold, as what a mere constant counts, and how many operands an unnamed
#: node may have that is passed over: it would be too long, written out.
LONGEST, CONSTANT, OPERANDS = 4.0, 0.08, 8
#: Operations that pass their gradient on as it is.
ADDING = ("add", "sum")
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
#: Stations from above down.
Way = tuple[int, ...]


def explain(
    loss: Value | Graph | Program,
    value: Value | str | None = None,
    *,
    names: Mapping[str, Any] | None = None,
    language: str = "en",
    rate: float | None = None,
) -> Explanation:
    """Why ∂loss/∂value is what it is: the chain rule in symbols, each factor's formula, the numbers.

    ``value`` is a Value or a name; ``names`` maps names to Values, the variables of the caller's code
    unless it is given. ``language`` is ``"en"`` or ``"zh"``. With ``rate``, the learning rate, the update
    step follows. ``str()`` of the result is plain text, ``markdown`` has LaTeX, ``rows`` the lines as
    records, and ``ok`` says whether every line, computed again by the rules from the recorded numbers, is
    what the engine has. After an update of the parameters it is about the numbers from before; what one was
    that has moved more than once since is not known, and a line that needs it is not ``ok``.

    >>> w = Value(0.5, name="w")
    >>> o = (w * 3.0).sigmoid()
    >>> print(explain(o, w, names={"o": o}))
    ∂o/∂w: how w acts on o
    <BLANKLINE>
    w acts on o directly. o = σ(w·3), so
        ∂o/∂w = 3·o·(1 − o) = 3·0.817574476·(1 − 0.817574476) = 0.447439356
    <BLANKLINE>
    Every line was computed again from the recorded numbers, and agrees with the engine's.

    A value that nobody named becomes part of the factor around it; what modules hold and compute gets
    short names, which are said first: w1[0,2] for layers.0.neurons.0.w.2, z1[0] and h1[0] for the weighted
    input and the output of that neuron. Of a conditional only the branch taken
    is shown. Where many paths lead to the value they are collected at the nodes where they meet (δ), and
    a long sum shows its largest terms. The loss may not depend on the value: then that is said.

    Of a :class:`microbp.Program` in its matrix form, the only argument beside ``language``, it shows the
    matrices that were found in the graph and the derivation by them: ``str()`` has the program's own lines,
    ``markdown`` the formulas. Its derivatives are compared with the engine's at the recorded sample.

    Raises TypeError where ``loss`` or ``value`` is something else, NoGradientError where the loss is a
    constant, KeyError for an unknown name, ValueError for another language, for a rate not above 0 or of a
    computed value, and for a program in straight-line code or without matrices.
    """
    language = language_of(language)
    if rate is not None and not 0.0 < rate < math.inf:
        raise ValueError(f"explain(): a learning rate is a number above 0, not {rate!r}")
    rate = rate and float(rate)
    if isinstance(loss, Program):
        if (value, names, rate) != (None, None, None):
            raise TypeError(
                "explain(program) takes language= alone: it shows the derivation as a whole. One gradient of "
                "the graph behind it is shown by explain(program.captured.graph, 'w')"
            )
        return _of_program(loss, language)
    if value is None:
        raise TypeError("explain() takes the value by which the gradient is: explain(loss, w)")
    graph, node, called = target(loss, value, names, "explain()")
    if rate is not None and node is not None and node.rule is not None:
        told = f"{called} is computed: no step of gradient descent changes it; leave out the rate"
        raise ValueError(f"explain(): {told}")
    root, by = spelled(graph.root.name), spelled(called)
    filled = {"gradient": quotient(root, by), "value": by, "loss": root}
    title = say(language, "title", **filled)
    between = dependents(graph, [] if node is None else [node.position])
    if node is None or not between[graph.roots[-1]]:
        return Explanation(title, language, (say(language, "independent", **filled),))
    held = id(graph._values[node.position]) if graph._values else 0
    engine = upstream_gradients(loss).get(held) if isinstance(loss, Value) else None
    short = shortened(graph, set(between.nonzero()[0].tolist()), node.position)
    derivation = Derivation(short.graph, node.position, engine, language)
    parts = derivation.tell(rate)
    return Explanation(title, language, (*_key(short, derivation), *parts), derivation.changed())


def _key(short: Short, derivation: Derivation) -> list[Math]:
    """What the short names of the nodes used mean, and what σ means where the code does not say it."""
    spoken = derivation.formulas.used.union(*derivation.factors)
    used, say = short.names.keys() & spoken, derivation.said
    told: list[Math] = []
    for layer in sorted({short.names[each].layer for each in used} & short.layers.keys()):
        filled = {kind: spelled(str(Name(kind, layer, ("k", "i")[: 1 + (kind == "w")]))) for kind in "wbzh"}
        filled["layer"] = spelled(short.layers[layer])
        told.append(say("key further" if told else "key", number=layer, **filled))
    if not told and any(short.names[each].kind in "zh" for each in used):
        told.append(say("key plain"))
    if told:
        called = any("#" in short.graph.names[each] for each in used if short.names[each].layer)
        told = [joined([*told, *map(say, ("key end", "key call")[: 1 + called])], "", "")]
    return [*told, say("sigmoid")] if short.sigmoid else told


# ---------------------------------------------------------------------------------- what is told
def say(language: str, sentence: str, count: int | str = 0, /, **filled: Math | str | int) -> Math:
    """A sentence, as plain text and as Markdown."""
    template = DERIVATION[sentence][language == "zh"].replace("{count}", str(count))
    marked = {word: f"${x.latex}$" if isinstance(x, Math) else x for word, x in filled.items()}
    markdown = template.format(**marked)
    if language == "zh":  # a space between a formula and Chinese, none before punctuation
        markdown = re.sub(r"\$ ([，。：；）])", r"$\1", markdown)
    return Math(template.format(**filled), markdown)


#: How wide a line of plain text gets; one of formulas is indented by 4, and broken before an equals sign.
COLUMNS = 90
WIDTH = COLUMNS - 4
#: Where products of numbers beyond these may have overflowed, or lost digits, on the way.
LOW, HIGH = 1e-290, 1e290


class Row(NamedTuple):
    """One line of the derivation: ``label = symbols = … = numbers = value``."""

    #: ``chain``, ``factor``, ``path``, ``delta``, ``given``, ``gradient``, ``update``, ``matrix``, ``value``.
    kind: str
    label: Math
    #: The right-hand side in symbols, once or in several forms.
    symbols: tuple[Math, ...] = ()
    #: It in numbers, as they are printed; None where there is nothing to compute.
    numbers: Math | None = None
    #: The result; None in a line without numbers.
    value: float | None = None
    #: What the engine has recorded or computed.
    engine: float = math.nan
    #: The size of what is added up in it: rounding errors grow with it. nan: beyond what can be judged.
    size: float = 0.0
    #: Where a rule's text and what the engine recorded differ: the operation and the node.
    culprit: str = ""

    def fault(self, language: str) -> str | None:
        """What is wrong in the line, or None."""
        if self.value is None or agree(self.value, self.engine, self.size):
            return None
        where = f" ({self.culprit})" if self.culprit else ""
        numbers = {"value": repr(self.value), "engine": repr(self.engine), "where": where}
        return say(language, "differs", label=self.label.text, **numbers).text

    def pieces(self) -> list[Math]:
        """What stands between the equals signs, without what says the same again."""
        printed = None if self.value is None else number(self.value)
        pieces = [each for each in (*self.symbols, self.numbers, printed) if each is not None]
        return [each for before, each in zip((None, *pieces), pieces, strict=False) if each != before]

    def lines(self, width: int) -> list[str]:
        """The line as plain text, or several broken before an equals sign, which stand below each other."""
        pieces, label = [each.text for each in self.pieces()], self.label.text
        signs = [" ← " if self.kind == "update" else " = ", *[" = "] * (len(pieces) - 1)]
        whole = label + "".join(sign + each for sign, each in zip(signs, pieces, strict=True))
        if columns(whole) <= width and "\n" not in whole:
            return [whole]
        lines: list[str] = []
        indent = " " * min(columns(label), width // 2)
        for sign, piece in zip(signs, pieces, strict=True):
            # A term that begins with its sign stands below the equals sign.
            made = [each for line in piece.split("\n") for each in broken(line, width - len(indent) - 3)]
            lines.append((indent if lines else label) + sign + made[0])
            lines += [indent + (" " if each[:1] in "+−" else "     ") + each for each in made[1:]]
        return lines

    def tex(self) -> list[str]:
        """The lines as LaTeX, aligned at ``&``."""
        sign = r"\leftarrow " if self.kind == "update" else "="
        first, *others = self.pieces()
        return [rf"{self.label.latex} &{sign} {first.latex}", *(rf"&= {each.latex}" for each in others)]


class Code(NamedTuple):
    """Lines of a program, and the formulas that they are, as lines of LaTeX, aligned at ``&``."""

    code: tuple[str, ...]
    formulas: tuple[str, ...]

    def lines(self, _: int) -> tuple[str, ...]:
        """The lines of the program as they are."""
        return self.code

    def tex(self) -> tuple[str, ...]:
        """The formulas."""
        return self.formulas

#: A sentence, a line of the derivation, or lines of a program.
Part = Math | Row | Code


def within(*sizes: float) -> float:
    """The largest of the sizes; nan where one of them is so large or small that digits may be lost."""
    return max(sizes) if all(each == 0.0 or LOW < each < HIGH for each in sizes) else math.nan


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """What :func:`microbp.debug.explain.explain` tells; ``str()`` is plain text, ``markdown`` has LaTeX."""

    title: Math
    language: str
    #: Sentences and lines, in their order.
    parts: tuple[Part, ...]
    #: Lines that are compared with the engine, and not shown.
    compared: tuple[Row, ...] = ()
    #: What is said where all agree.
    agrees = "agrees"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The lines without the sentences."""
        return (*(each for each in self.parts if isinstance(each, Row)), *self.compared)

    @property
    def faults(self) -> tuple[str, ...]:
        """The lines that are wrong: computed again from recorded numbers, and compared with the engine."""
        return tuple(filter(None, (row.fault(self.language) for row in self.rows)))

    @property
    def ok(self) -> bool:
        """Whether every number is what its line gives, and what the engine has."""
        return not self.faults

    def _told(self) -> list[Part]:
        """All parts, and what the comparison with the engine gave, if there was one."""
        compared = any(row.value is not None for row in self.rows)
        verdict = say(self.language, self.agrees if self.ok else "wrong", len(self.compared))
        return [*self.parts, *([verdict] if compared else [])]

    def text(self, width: int = COLUMNS) -> str:
        """The plain text, in lines of so many columns; a word, or a formula without a sum, stays whole."""
        lines = [*sentence(self.title.text, width), ""]
        for part in self._told():
            if isinstance(part, Math):
                lines += ["", *sentence(part.text, width)] if lines[-1] else sentence(part.text, width)
            else:
                lines += [f"    {line}" for line in part.lines(width - 4)]
        return "\n".join([*lines, *(f"  {each}" for each in self.faults)])

    def __str__(self) -> str:
        return self.text()

    @property
    def markdown(self) -> str:
        """Markdown with LaTeX between ``$$``, as notebooks and documents show it."""
        blocks = [f"**{self.title.latex}**"]
        for prose, parts in groupby(self._told(), lambda part: isinstance(part, Math)):
            texts = ([part.latex] if isinstance(part, Math) else part.tex() for part in parts)
            told = [line for text in texts for line in text]
            aligned = " \\\\\n".join(told)
            blocks += told if prose else [f"$$\n\\begin{{aligned}}\n{aligned}\n\\end{{aligned}}\n$$"]
        faults = "\n".join(f"- `{each.replace('`', chr(39))}`" for each in self.faults)
        return "\n\n".join([*blocks, *([faults] if faults else [])]) + "\n"


def broken(text: str, width: int) -> list[str]:
    """A formula as lines no wider than that, if it can be broken: before a sign, as far outside as can be."""
    lines, width = [], max(width, 1)
    while columns(text) > width:
        places, depth = [], 0
        for place, each in enumerate(text[:width]):
            depth += (each in "([") - (each in ")]")
            sign = text[place : place + 3]
            if place > width // 4 and (each == "·" or sign in (" + ", " − ", " · ")):
                places.append((2 * depth + 3 * (each == "·") + (sign == " · "), -place))
        if not places:
            break
        place = -min(places)[1]
        lines.append(text[:place].rstrip())
        text = text[place:].lstrip()
    return [*lines, text]


# ------------------------------------------------------------------------- formulas and their trees
def joined(parts: Sequence[Math], plain: str, tex: str) -> Math:
    """Formulas in a row, with a sign between them."""
    return Math(plain.join(each.text for each in parts), tex.join(each.latex for each in parts))


def quotient(above: Math, below: Math) -> Math:
    """∂above/∂below."""
    return Math(f"∂{above.text}/∂{below.text}", rf"\frac{{\partial {above.latex}}}{{\partial {below.latex}}}")


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
    """The product with its constants multiplied and put first, and what is repeated as a power."""
    coefficient, repeated = 1.0, dict[str, list[ast.expr]]()
    for each in factors:
        if isinstance(each, ast.Constant) and isinstance(each.value, float):
            coefficient *= each.value
        else:
            repeated.setdefault(ast.dump(each), []).append(each)
    power = ast.Name("pow")
    rest = [
        each[0] if len(each) == 1 else ast.Call(power, [each[0], ast.Constant(float(len(each)))], [])
        for each in repeated.values()
    ]
    if coefficient == -1.0 and rest:
        return ast.UnaryOp(ast.USub(), product(rest))
    return product(rest if rest and coefficient == 1.0 else [ast.Constant(coefficient), *rest])


# -------------------------------------------------------------------------------- the chain rule
class Stations:
    """The stations between the root of a graph and the node at position ``target``."""

    def __init__(self, graph: Graph, target: int) -> None:
        self.graph, self.target, self.root = graph, target, graph.root.position
        between = dependents(graph, [target]).nonzero()[0].tolist()
        #: For each node between: where it is used on a way up to the root, as (user, place).
        self.uses = dict(zip(between, map(graph.uses().__getitem__, between), strict=True))
        #: For each node the station that it belongs to: itself, or the next one above.
        self.top: dict[int, int] = {}
        #: For each station how many ways lead up from it, and how many stations are just below.
        self.ways: dict[int, int] = {}
        #: How much is written from each node passed up to its station.
        length = dict.fromkeys(self.uses, 0.0)
        for position in sorted(self.uses, reverse=True):
            node, uses = graph.nodes[position], self.uses[position]
            self.top[position] = position
            if len(uses) == 1 and position != target:
                user = graph.nodes[uses[0][0]]
                more = length[user.position] + (CONSTANT if _constant(user) else 1.0)
                plain = not node.named and (len(node.operands) <= OPERANDS or node.operation in ADDING)
                if (plain or user.operation in ADDING) and more < LONGEST:
                    self.top[position], length[position] = self.top[user.position], more
            if self.top[position] == position:
                ways = sum(self.ways[above] for above in self.above(position))
                self.ways[position] = min(ways, 10**9) if uses else 1
        self.below = Counter(above for station in self.ways for above in self.above(station))
        unnamed = {node.position for node in graph if node.rule is not None and not node.named}
        #: The nodes that are no stations, and that stand in formulas by what they are computed from.
        self.inside = unnamed - self.uses.keys() | self.top.keys() - self.ways.keys()

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

    def ways_up(self, start: int, stops: Callable[[Way], bool]) -> list[Way]:
        """Every way from a station up to where it stops, or to the root; the upper end stands first."""
        ways: list[Way] = []
        longer: list[Way] = [(start,)]
        while longer != ways:
            ways, longer = longer, []
            for way in ways:
                ends = way[0] == self.root or (len(way) > 1 and stops(way))
                longer += [way] if ends else [(above, *way) for above in self.above(way[0])]
        return ways


def _constant(node: Node) -> bool:
    """Whether the local derivatives of a node are constants, whatever the numbers."""
    scaled = node.operation in ("mul", "div") and len(node.read) < len(node.operands)
    return scaled or node.operation in ("add", "sub", "neg", "sum")


class Quantity(NamedTuple):
    """What is multiplied and added up: a factor, a product of such, a δ."""

    label: Math
    #: It as one number in an expression, or the product of several.
    tree: ast.expr
    value: float
    #: What the engine has, and the size of what is added up in it.
    recorded: float
    size: float


def times(factors: Sequence[Quantity]) -> Quantity:
    """The product; without a label where there is no factor."""
    label = joined([each.label for each in factors], " · ", r" \cdot ")
    numbers = math.prod(x.value for x in factors), math.prod(x.recorded for x in factors)
    return Quantity(label, product([x.tree for x in factors]), *numbers, math.prod(x.size for x in factors))


def plus(labels: Sequence[Math]) -> Math:
    """Terms in a row; where that is long, below each other."""
    long = sum(len(each.text) for each in labels) > WIDTH - 15 and len(labels) > 1
    return joined(labels, *(("\n+ ", " \\\\\n&\\quad + ") if long else (" + ", " + ")))


class Factor:
    """∂above/∂below between two neighbouring stations: the sum over the chains between them."""

    def __init__(self, stations: Stations, formulas: Formulas, above: int, below: int) -> None:
        self.formulas, self.above, self.below = formulas, above, below
        self.nodes = formulas.graph.nodes
        self.names = spelled(self.nodes[above].name), spelled(self.nodes[below].name)
        chains = stations.chains(above, below)
        recorded, self.chains = [x for x, _ in chains], [chain for _, chain in chains]
        #: The first link whose row gives another number than was recorded: its operation and node.
        self.culprit = ""
        #: What the formulas as people write them give along the last chain.
        self.written = math.nan
        rest = recorded[SHOWN:]
        value = added([*map(self._value, self.chains[:SHOWN]), *rest])
        forms = [self._forms(chain) for chain in self.chains[:SHOWN]]
        if rest:
            forms.append((formulas.word(f"r{above}_{below}", added(rest), DOTS),) * 2)
        verbatim, simple = zip(*forms, strict=True)
        #: The derivative as the rules state it link by link, and with the constants multiplied.
        self.verbatim, self.simple = total(verbatim), total(simple)
        if len({ast.dump(each) for each in simple}) == 1 and len(simple) > 1:
            self.simple = multiplied([ast.Constant(float(len(simple))), *flat(simple[0])])
        word = formulas.word(f"f{above}_{below}", value)
        sizes = added(recorded), added([abs(x) for x in recorded])
        self.quantity = Quantity(quotient(*self.names), word, value, *sizes)

    def _value(self, chain: Chain) -> float:
        """The product along a chain, by what the rows of the table give at the numbers recorded."""
        value = self.written = 1.0
        for user, place in chain:
            found = Formula(self.formulas.graph, user, place)
            computed, written, recorded = found.computed()
            self.culprit = self.culprit or found.culprit * (not recorded)
            value, self.written = value * computed, self.written * written
        return value

    def _forms(self, chain: Chain) -> tuple[ast.expr, ast.expr]:
        """The derivative along a chain as it is stated, and with the constants multiplied."""
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
        numbers, (label, _, value, recorded, size) = self.formulas.numbers(self.simple), self.quantity
        return Row(kind, label, symbols, numbers, value, recorded, within(size), self.culprit)

    def definition(self) -> Math:
        """``net = w·x + b``: what the node above is computed by."""
        place, above = self.chains[0][0][1], self.names[0]
        made = self.formulas.fitting(WIDTH, partial(self.formulas.definition, self.above, place))
        return Math(f"{above.text} = {made.text}", f"{above.latex} = {made.latex}")

    def remarks(self, say: Say) -> list[Math]:
        """What has to be said beside: several contributions, digits that are lost, branches taken."""
        said, count, value = [], len(self.chains), self.quantity.value
        if count > 1:
            said.append(say("contributions", count, above=self.names[0], below=self.names[1]))
        if count > SHOWN:
            said.append(say("hidden" if count > SHOWN + 1 else "hidden one", count - SHOWN))
        differs = not abs(self.written - value) <= VISIBLE * abs(value)
        if count == 1 and differs and math.isfinite(value):
            said.append(say("digits", shown=number(self.written), value=number(value)))
        links = [link for chain in self.chains[:SHOWN] for link in chain]
        branches = [self._softmax(say), *dict.fromkeys(self._branch(*link, say) for link in links)]
        return said + [each for each in branches if each is not None][:BRANCHES]

    def _softmax(self, say: Say) -> Math | None:
        """Of cross_entropy with targets that add up to 1: its derivative is softmax minus target."""
        user, place = self.chains[0][-1]
        node = self.nodes[user]
        half, local = len(node.operands) // 2, node.local_derivatives[place]
        if node.operation != "cross_entropy" or place >= half or local is None:
            return None
        targets = node.numbers[half:]
        if len(self.chains) > 1 or added(targets) != 1.0:
            return None
        filled = {"below": self.names[1], "p": number(local + targets[place]), "t": number(targets[place])}
        return say("softmax" if self.quantity.recorded == local else "softmax scaled", **filled)

    def _branch(self, user: int, place: int, say: Say) -> Math | None:
        """Which branch was taken; of the largest of several which that is."""
        node = self.nodes[user]
        if node.operation != "max":
            taken = self.formulas.condition(user, place)
            key = "branch" if taken and taken[1] else "branch not"
            return None if taken is None else say(key, rule=node.operation, condition=taken[0])
        names = [spelled(self.nodes[x].name) if isinstance(x, int) else number(x) for x in node.operands]
        first = [k for k, x in enumerate(node.numbers) if x == node.data]
        if place not in first:
            other = names[first[0]] if first else number(node.data)
            return say("not largest", below=names[place], other=other)
        return say("tie" if len(first) > 1 else "largest", len(first), below=names[place])


class Derivation:
    """The parts of an explanation of ∂root/∂target; ``engine`` is the gradient that it has to be."""

    def __init__(self, graph: Graph, target: int, engine: float | None, language: str) -> None:
        self.graph, self.target, self.root = graph, target, graph.root.position
        self.said = partial(say, language)
        self.stations = Stations(graph, target)
        self.formulas = Formulas(graph, self.stations.inside)
        seed = {self.root: 1.0}
        #: The gradient of the root by each node; a frozen leaf has the one that it would get.
        self.gradients: list[float] = backward(graph, seed).tolist()
        #: The sum of the sizes of all paths from the root to each node: rounding errors grow with it.
        self.sizes: list[float] = backward(graph, seed, np.abs(graph.local)).tolist()
        self.engine = self.gradients[target] if engine is None else engine
        self.loss, self.value = spelled(graph.root.name), spelled(graph.nodes[target].name)
        self.label = quotient(self.loss, self.value)
        self.parts: list[Part] = []
        self.factors: dict[tuple[int, int], Factor] = {}
        #: The nodes that stand in them by what they are computed from.
        self.written: set[int] = set()
        #: The sum of each station for which it was derived.
        self.deltas: dict[int, Quantity] = {}

    def changed(self) -> tuple[Row, ...]:
        """A line for each node written out whose number is not, or no longer, what its operands give."""
        rows = []
        for found in (Formula(self.graph, position, 0) for position in sorted(self.written)):
            node, terms = found.node, added([abs(x) for x in found.data]) if found.rule.over else 0.0
            told = found.value(), node.data, within(terms * max(1.0, terms)), found.culprit
            rows.append(Row("value", spelled(node.name), (), None, *told))
        return tuple(row for row in rows if row.fault("en"))

    def say(self, *sentence: Any, **filled: Any) -> None:
        """Add a sentence."""
        self.parts.append(self.said(*sentence, **filled))

    def tell(self, rate: float | None) -> tuple[Part, ...]:
        """All parts; with a learning rate, the update."""
        few = self.stations.ways[self.target] <= WAYS
        paths = self.stations.ways_up(self.target, lambda _: False) if few else []
        if self.target == self.root:
            self.say("itself", loss=self.loss)
            self._sum(self.target, [times([])], symbols=False)
        elif paths and sum(map(len, paths)) <= FACTORS:
            self._few(paths)
        else:
            self._many()
        self._remarks(rate)
        return tuple(self.parts)

    def factor(self, above: int, below: int) -> Factor:
        """The factor between two neighbouring stations, made once."""
        if (above, below) not in self.factors:
            self.formulas.written.clear()  # a definition in symbols says nothing of numbers
            self.factors[above, below] = Factor(self.stations, self.formulas, above, below)
            self.written |= self.formulas.written
        return self.factors[above, below]

    def _along(self, way: Way) -> list[Factor]:
        return [self.factor(*pair) for pair in pairwise(way)]

    def _product(self, way: Way) -> Quantity:
        """The factors of a way, below the δ at its upper end."""
        above = [] if way[0] == self.root else [self.deltas[way[0]]]
        return times([*above, *(each.quantity for each in self._along(way))])

    def _sum(self, station: int, terms: Sequence[Quantity], *, symbols: bool = True) -> None:
        """The line in which the terms of the gradient at a station are added up."""
        value = added([each.value for each in terms])
        numbers = self.formulas.numbers(total([each.tree for each in terms]))
        size = within(self.sizes[station], *(each.size for each in terms))
        kind, label, engine = "delta", self._delta(station), self.gradients[station]
        if station == self.target:
            kind, label, engine = "gradient", self.label, self.engine
        told = (plus([each.label for each in terms]),) if symbols else ()
        self.parts.append(Row(kind, label, told, numbers, value, engine, size))
        self._known(station, value)

    def _known(self, station: int, value: float) -> None:
        word = self.formulas.word(f"g{station}", value)
        self.deltas[station] = Quantity(self._delta(station), word, value, value, abs(value))

    def _delta(self, station: int) -> Math:
        name = spelled(self.graph.names[station])
        return Math(f"δ_{name.text}", rf"\delta_{{{name.latex}}}")

    # ------------------------------------------------------------------------------------- few paths
    def _few(self, paths: list[Way]) -> None:
        factors, ways = [self._along(path) for path in paths], [self._product(path) for path in paths]
        several, first = len(paths) > 1, factors[0]
        if not several and len(first) == 1:
            self.say("direct", definition=first[0].definition(), value=self.value, loss=self.loss)
            row = first[0].row("gradient")._replace(engine=self.engine)
            self.parts += [row, *first[0].remarks(self.said)]
            self._known(self.target, first[0].quantity.value)
            return
        single = all(len(each.chains) == 1 for each in first)
        key = "some paths" if several else "one path" if single else "one way"
        self.say(key, len(paths), path=self._way(paths[0]), value=self.value, loss=self.loss)
        self.parts.append(Row("chain", self.label, (plus([each.label for each in ways]),)))
        # The factors with which all ways begin, and with which they end; of two ways, one is left at least.
        both = paths, [path[::-1] for path in paths]
        start, end = (len(commonprefix(each)) - 1 for each in both)  # noqa: RUF071 (of tuples)
        before, after = (first[:start], first[len(first) - end :]) if several else ([], [])
        inside = [way[len(before) : len(way) - len(after)] for way in factors]
        if before or after:
            inner = plus([times([each.quantity for each in way]).label for way in inside])
            tex = rf"\left({inner.latex}\right)" if "\n" not in inner.text else f"({inner.latex})"
            closed = Math(f"({inner.text})".replace("\n", "\n "), tex)
            above, below = ([each.quantity.label for each in shared] for shared in (before, after))
            self.say("common")
            common = joined([*above, closed, *below], " · ", r" \cdot ")
            self.parts.append(Row("chain", self.label, (common,)))
        self._derive([*before, *dict.fromkeys(each for way in inside for each in way), *after])
        if several:
            self.say("paths")
            for k, (path, way) in enumerate(zip(paths, ways, strict=True)):
                others = {position for each in paths if each is not path for position in each}
                own_way = self._way([each for each in path if each not in others][:1] or path)
                label = self.said("via", path=own_way).text
                told = Math(label, rf"\text{{{label.removesuffix(own_way.text)}}}{own_way.latex}")
                numbers, size = self.formulas.numbers(way.tree), within(way.size)
                self.parts.append(Row("path", told, (way.label,), numbers, way.value, way.recorded, size))
                ways[k] = way._replace(tree=self.formulas.word(f"p{k}", way.value))
        self.say("sum" if several else "product")
        self._sum(self.target, ways, symbols=not several)

    def _derive(self, factors: Sequence[Factor], *, others: bool = False) -> None:
        """The formula of each factor."""
        for k, each in enumerate(factors[:DERIVED], start=1):
            place = "first" if k == 1 else "last" if k == len(factors) else "next"
            self.say(place, k, factor=each.quantity.label, definition=each.definition())
            self.parts += [each.row(), *each.remarks(self.said)]
        if others or len(factors) > DERIVED:
            self.say("factors above")

    def _examples(self, factors: Sequence[Factor]) -> list[Factor]:
        """Of factors that are alike one each, from the loss down."""
        ordered = sorted(factors, key=lambda each: (each.above, each.below), reverse=True)
        kinds = {(self._kind(x.above), self._kind(x.below), x.quantity.value == 0.0): x for x in ordered}
        return [each for each in ordered if each in kinds.values()]

    def _kind(self, position: int) -> str:
        """A name without indices: z2 of z2[0] and of z2[1]#2."""
        node = self.graph.nodes[position]
        if not node.named:
            return f"{node.operation} without a name"
        return re.sub(r"(\[[^\]]*\])+(#\d+)?$", "", node.name)

    def _way(self, path: Sequence[int]) -> Math:
        names = [spelled(self.graph.names[position]) for position in path]
        names = [*names[:ENDS], DOTS, *names[-ENDS:]] if len(names) > 2 * ENDS else names
        return joined(names, " → ", r" \to ")

    # ------------------------------------------------------------------------------------ many paths
    def _many(self) -> None:
        """Paths collected at the nodes where they meet: δ there, from the root down."""
        ways, delta = self.stations.ways[self.target], Math("δ", r"\delta")
        count, key = f"{ways:,}" if ways < 10**9 else "> 10⁹", "many paths" if ways > 1 else "long way"
        self.say(key, count, value=self.value, loss=self.loss, delta=delta)
        blocks: dict[int, tuple[list[Way], list[float]]] = {}
        pending = [self.target]
        for station in pending:
            if len(blocks) > DELTAS:
                break
            blocks[station] = self._terms(station)
            pending += [way[0] for way in blocks[station][0] if way[0] not in (*pending, self.root)]
        shown = [way for found, _ in blocks.values() for way in found]
        factors = list(dict.fromkeys(each for way in shown for each in self._along(way)))
        examples = self._examples(factors)
        self._derive(examples, others=len(examples) < len(factors))
        given = sorted({way[0] for way in shown} - {*blocks, self.root}, reverse=True)
        if given:
            self.say("given", delta=delta)
        for station in given:
            x = self.gradients[station]
            self._known(station, x)
            self.parts.append(Row("given", self._delta(station), value=x, engine=x))
        self.say("deltas")
        for station in sorted(blocks, reverse=True):
            found, hidden = blocks[station]
            terms = [self._product(way) for way in found]
            if hidden:
                rest, size = added(hidden), added([*map(abs, hidden)])
                terms.append(Quantity(DOTS, self.formulas.word(f"h{station}", rest), rest, rest, size))
            self._sum(station, terms)
            if hidden:
                self.say("hidden" if len(hidden) > 1 else "hidden one", len(hidden))

    def _terms(self, station: int) -> tuple[list[Way], list[float]]:
        """The ways up from a station to the next δ whose terms are the largest; the numbers of the others."""
        terms = []
        for way in self.stations.ways_up(station, self._stops):
            links = ((x for x, _ in self.stations.chains(*pair)) for pair in pairwise(way))
            terms.append((self.gradients[way[0]] * math.prod(map(sum, links)), way))
        terms.sort(key=lambda term: -abs(term[0]) if term[0] == term[0] else -math.inf)
        return [way for _, way in terms[:SHOWN]], [amount for amount, _ in terms[SHOWN:]]

    def _stops(self, way: Way) -> bool:
        """Whether there is a δ at its upper end: a weighted input, where ways meet, or the end of a line."""
        node = self.graph.nodes[way[0]]
        weighted = node.named and node.operation in ("dot", "add")
        return weighted or self.stations.below[way[0]] > 1 or len(way) > ROW

    # ------------------------------------------------------------------------------- what stands out
    def _remarks(self, rate: float | None) -> None:
        """Why the gradient is 0 or nan; the step of gradient descent, if there is one."""
        gradient, factors = self.deltas[self.target].value, [each.quantity for each in self.factors.values()]
        zero = [each for each in factors if each.value == 0.0]
        bad = [each for each in factors if not math.isfinite(each.value)]
        nan = [each for each in self.graph if math.isnan(each.data)]
        if math.isnan(gradient) and nan:
            self.say("nan", node=spelled(nan[0].name))
        elif math.isnan(gradient) and bad:
            self.say("nan factor", factor=bad[0].label, number=number(bad[0].value))
        elif gradient == 0.0:
            paths = any(row.value for row in self.parts if isinstance(row, Row) and row.kind == "path")
            cancelled = paths or any(each.size for each in zero)
            key = "cancelled" if cancelled else "zero factor" if zero else "underflow"
            self.say(key, factor=zero[0].label if zero else "")
        node, w, by, eta = self.graph.nodes[self.target], self.value, self.label, number(rate or 0.0)
        if not node.requires_grad:
            self.say("frozen", value=w)
        elif rate is not None:
            symbols = Math(f"{w.text} − η·{by.text}", rf"{w.latex}-\eta\,{by.latex}")
            step = product([ast.Constant(rate), ast.Constant(gradient)])
            numbers = self.formulas.numbers(ast.BinOp(ast.Constant(node.data), ast.Sub(), step))
            ours, engine = (node.data - rate * each for each in (gradient, self.engine))
            size = abs(node.data) + abs(rate * gradient)
            self.say("update", rate=Math(f"η = {eta.text}", rf"\eta = {eta.latex}"))
            self.parts.append(Row("update", w, (symbols,), numbers, ours, engine, size))


# ------------------------------------------------------------------------------------ of a program
#: By how much more the matrix form, which adds in another order, may differ than a line of a derivation:
#: by 1e-9 of the largest gradient.
COARSER = 1e3


class MatrixExplanation(Explanation):
    """The matrix form of a graph; ``str()`` has the program's lines, ``markdown`` has LaTeX.

    ``rows`` has the derivative of each parameter by the matrix form and by the engine at the recorded sample.
    """

    agrees = "matrix agrees"


def _of_program(program: Program, language: str = "en") -> MatrixExplanation:
    """The derivation by the matrices that were found in the graph: ``explain(program)``."""
    language = language_of(language)
    if program.form == "straight":
        raise ValueError(
            "explain(program) writes the matrix form, and this program is straight-line code, which is its "
            "own text (program.source): compile it with form='matrix', or explain one gradient, "
            "explain(loss, w)"
        )
    captured = program.captured
    form = matrices(captured)
    plan, writer = form.plan, form.writer
    # The forward pass to the cost, what is derived from it, and the gradients: lines, and formulas.
    lines = [each for each in form.source.splitlines() if each.startswith("# ")]
    found = {"forward": (lines, whole_vector(form)), "deltas": ([], []), "gradients": ([], [])}
    for statement, line in zip(writer.statements, writer.lines(), strict=True):
        if statement.target is not None and not statement.indent:
            code, shown = found[statement.section]
            code.append(line.removeprefix("    "))
            shown.extend(formulas(statement))
    parts: list[Part] = []
    for kind, (code, shown) in found.items():
        if shown:
            parts += [say(language, f"matrix {kind}"), Code(tuple(code), tuple(shown))]
    operations = f"{plan.cost:,}"  # the cost, which is their sum, is the group after them
    title = say(language, "matrix", scalars=f"{len(captured.graph):,}", operations=operations)
    return MatrixExplanation(title, language, tuple(parts), _compared(captured, form))


def _compared(captured: Captured, form: Matrix) -> tuple[Row, ...]:
    """The derivative of each parameter by the matrix form and by the engine, at the recorded sample."""
    if len(captured.outputs) != 1:
        return ()
    sample = captured.graph.data[[*captured.inputs]][None, :]
    gradient = np.zeros(len(captured.params))
    form.gradients(sample, np.array(captured.numbers, dtype=float), gradient, None)
    engine = backward(captured.graph, {captured.outputs[0]: 1.0}).tolist()
    largest = max((abs(each) for each in engine if math.isfinite(each)), default=0.0)
    columns = captured.param_names, captured.params, captured.trained, gradient.tolist()
    return tuple(
        Row("matrix", Math(f"∂J/∂{name}", ""), value=ours, engine=engine[position], size=largest * COARSER)
        for name, position, trained, ours in zip(*columns, strict=True)
        if trained
    )


Program.explain = _of_program
