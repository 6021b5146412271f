"""``Structure``: the graph behind a loss as a person sees it: functions, products, sums, neurons, layers.

An *edge* is the use of a value, counted as in the columns of the graph: the argument ``args[edge]`` of the
node ``owner[edge]``, with the local derivative ``local[edge]``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.words import Told, say, several, shown
from microbp.compiled import compiled
from microbp.graph import cached_property, given_to
from microbp.labels import layer_path
from microbp.node import text_of
from microbp.rules import RULES, Rule
from microbp.sweeps import Floats, Integers, backward
from microbp.value import Value

#: What passes its upstream gradient on as it is, but for a sign.
_ADDITIVE = ("add", "sub", "sum")
#: What is not a function like an activation, although it may have a single Value among its operands.
_ARITHMETIC = (*_ADDITIVE, "mul", "div", "neg", "dot")
_INFIX = {"add": " + ", "sub": " - ", "mul": "·", "div": "/", "pow": "**"}
#: Functions that people write out in several operations.
_WRITTEN_OUT = ("sigmoid", "tanh", "softplus", "silu")


class Factor(NamedTuple):
    """One factor of the chain rule: ∂user/∂operand, of an operation or of a function in several."""

    user: int
    operand: int
    #: The uses whose local derivatives are to be multiplied when the factor is to be another one.
    edges: tuple[int, ...]
    number: float
    #: What it is the derivative of, and by what: ``σ′``, ``∂dot/∂w``.
    symbol: str
    #: The function that is differentiated; None for a product.
    function: Rule | None
    #: Whether the function is written out in several operations.
    row: bool = False


class Structure:
    """A graph and what the mistakes ask of it; what is said of it is said in its language."""

    def __init__(self, loss: Value, scope: Mapping[str, Any], language: str) -> None:
        self.scope, self.language = scope, language
        self.graph = graph = given_to("check_answers()", loss, scope)
        self.names, self.named, self.data, self.local = graph.names, graph.named, graph.data, graph.local
        self.count, args = len(graph), graph.args
        self.args: list[int] = args.tolist()
        self.rules: list[Rule | None] = [*map([*graph.rules, None].__getitem__, graph.op)]
        self.edges = [range(*each) for each in pairwise(graph.first.tolist())]
        self.owner: list[int] = np.repeat(np.arange(self.count), np.diff(graph.first)).tolist()
        #: The true gradient of each node, and the sum over all paths to it without their signs.
        self.gradient: Floats = backward(graph, {self.count - 1: 1.0})
        sizes = backward(graph, {self.count - 1: 1.0}, np.abs(self.local))
        self.sizes: Floats = np.nan_to_num(sizes, nan=0.0, posinf=0.0)
        #: The number of each argument.
        self.numbers: Floats = np.concatenate([self.data, graph.consts[::-1]])[args]
        #: The edges that pass a gradient on: those into each node, and those out of it.
        self.entries: list[list[int]] = [[] for _ in self.rules]
        self.uses: list[list[int]] = [[] for _ in self.rules]
        for edge in np.flatnonzero((args >= 0) & graph.needs[np.maximum(args, 0)]).tolist():
            self.entries[self.owner[edge]].append(edge)
            self.uses[self.args[edge]].append(edge)
        #: The parameters: leaves that take a gradient.
        self.leaves = frozenset(np.flatnonzero((graph.op < 0) & graph.needs).tolist())

    # -------------------------------------------------------------------------------------- names
    def say(self, sentence: str, **fields: Any) -> Told:
        """A sentence of the table, for when it is read; nodes and factors in a list are told by their names.

        Nodes in a tuple are told by what they lead to, an array by its first numbers.
        """
        return partial(self._said, sentence, **fields)

    def _said(self, sentence: str, **fields: Any) -> str:
        return say(self.language, sentence, **{name: self._text(each) for name, each in fields.items()})

    def _text(self, field: Any) -> Any:
        if isinstance(field, list) and isinstance(field[0], int | Factor):
            return self.listed(field) if isinstance(field[0], int) else self.told(field)
        if isinstance(field, list | tuple):
            return several(map(self._text, field)) if isinstance(field, list) else self.ahead(field)
        if isinstance(field, np.ndarray):
            return shown(field)
        return field() if callable(field) else field

    @cached_property
    def arrays(self) -> list[str]:
        """For each node the array that it is an element of, by its name; empty where it has none."""
        return [
            text_of(layer_path(path)) if path and "[" not in name else name.partition("[")[0] if named else ""
            for name, named, path in zip(self.names, self.named, self.graph.paths, strict=True)
        ]

    @cached_property
    def places(self) -> dict[str, Integers]:
        """What has a name, and the arrays ``W`` of which all elements are there as ``W[i,j]``."""
        names = dict(zip(self.names, range(self.count), strict=True)) | self.graph._called
        given = {name: np.array(place) for name, place in names.items() if self.named[place]}
        elements: dict[str, dict[tuple[int, ...], Integers]] = {}
        for name, place in given.items():
            if match := re.fullmatch(r"(.*)\[(\d+(?:,\d+)*)\]", name):
                elements.setdefault(match[1], {})[tuple(map(int, match[2].split(",")))] = place
        for name, found in elements.items():
            shape = [1 + max(axis) for axis in zip(*found, strict=False)]
            if {*map(len, found)} == {len(shape)} and len(found) == math.prod(shape):
                given[name] = np.array([found[each] for each in sorted(found)]).reshape(shape)
        return given

    def called(self, position: int, depth: int = 3) -> str:
        """A node in a sentence: its name, or the operation that makes it, ``0.5·(t - o)**2``."""
        rule, consts = self.rules[position], self.graph.consts
        if self.named[position] or rule is None:
            return self.names[position]
        if not depth:
            return "…"
        row = [self.args[edge] for edge in self.edges[position]]
        texts = [self.called(arg, depth - 1) if arg >= 0 else f"{consts[-1 - arg]:g}" for arg in row[:3]]
        if rule.name in _INFIX and len(row) == 2:
            return _INFIX[rule.name].join(map(_bracketed, texts))
        return f"{rule.name}({', '.join(texts) if len(row) <= 3 else '…'})"

    def listed(self, positions: Sequence[int]) -> str:
        """Several nodes in a sentence; the array of several is named once."""
        arrays = self.arrays if len(positions) > 1 else [""] * self.count
        return several(dict.fromkeys(arrays[each] or self.called(each) for each in positions), 4)

    def ahead(self, positions: Iterable[int]) -> str:
        """The first values with a name on the way from nodes to where paths meet; else the nodes."""
        found = []
        for position in positions:
            there = position
            while not self.named[there] and len(self.uses[there]) == 1:
                there = self.owner[self.uses[there][0]]
            found.append(there if self.named[there] else position)
        return self.listed(found)

    def common(self, positions: Iterable[Any]) -> str:
        """The name of the array that nodes are elements of; empty where they have none in common."""
        names = {self.arrays[each] if each >= 0 else "" for each in positions}
        return names.pop() if len(names) == 1 else ""

    def told(self, group: Sequence[Factor]) -> str:
        """``σ′(net_o1) = 0.19, ∂net/∂h1 = w5 = 0.4``; of many the first, and how many there are."""
        if len(group) > 3:
            array = self.common(each.operand for each in group)
            numbers = several([each.number for each in group])
            return f"{group[0].symbol}{f' of {array}' if array else ''} ({len(group)} of them: {numbers})"
        return ", ".join(map(self._factor, group))

    def _factor(self, factor: Factor) -> str:
        operand, beside = self.called(factor.operand), self.partner.get(factor.edges[0])
        text = f"{factor.symbol}({operand})"
        if factor.function is None:
            text = f"∂{_bracketed(self.called(factor.user))}/∂{_bracketed(operand)}"
        if beside is not None and self.args[beside] >= 0 and not factor.row:
            text += f" = {self.called(self.args[beside])}"
        return f"{text} = {factor.number:.6g}"

    # ------------------------------------------------------------------------- what belongs together
    def operands(self, node: int) -> list[int]:
        """The nodes that a node takes in and passes a gradient on to."""
        return [self.args[edge] for edge in self.entries[node]]

    def linear(self, node: int) -> bool:
        """Whether a node is a sum, a difference, or the multiple of another."""
        rule = self.rules[node]
        name = "" if rule is None else rule.name
        return name in _ADDITIVE or (name in _ARITHMETIC and len(self.entries[node]) == 1)

    @cached_property
    def partner(self) -> dict[int, int]:
        """For the edges of products that of what the operand is multiplied by: the local derivative."""
        found: dict[int, int] = {}
        for edges, rule in zip(self.edges, self.rules, strict=True):
            if rule is not None and rule.name in ("mul", "dot"):
                half = len(edges) // 2
                found |= dict(zip(edges[: 2 * half], [*edges[half : 2 * half], *edges[:half]], strict=True))
        return found

    @cached_property
    def activations(self) -> dict[int, Factor]:
        """The results of functions, each with its factor."""
        return {each.user: each for each in self.factors if each.function}

    @cached_property
    def levels(self) -> list[int]:
        """For each node, how many operations stand between it and the loss, linear ones not counted."""
        levels = [0] * self.count
        for node in range(self.count - 1, -1, -1):
            beyond = levels[node] + (not self.linear(node))
            for arg in self.operands(node):
                levels[arg] = max(levels[arg], beyond)
        return levels

    @cached_property
    def neurons(self) -> list[int]:
        """Equal numbers for nodes that do the same with the same parameters."""
        return self._alike({leaf: leaf for leaf in self.leaves})

    @cached_property
    def layers(self) -> list[int]:
        """Equal numbers for nodes that do the same with elements of the same arrays of parameters."""
        alone = {leaf: self.arrays[leaf] in ("", self.names[leaf]) for leaf in self.leaves}
        return self._alike({leaf: self.levels[leaf] if alone[leaf] else self.arrays[leaf] for leaf in alone})

    def _alike(self, label: Mapping[int, Hashable]) -> list[int]:
        """Equal numbers for nodes that do the same in other samples and at other steps.

        They are of one operation, and between them and the next functions below stand the same
        parameters, by their labels; where there are none, the same functions.
        """
        known: dict[Hashable, int] = {}
        kinds: list[int] = []
        below: list[frozenset[Hashable]] = []
        for node, rule in enumerate(self.rules):
            found: frozenset[Hashable] = frozenset({("p", label[node])} if node in label else ())
            found = found.union(*(below[arg] for arg in self.operands(node)))
            found = frozenset(each for each in found if isinstance(each, tuple)) or found
            kinds.append(known.setdefault((rule, found), len(known)))
            function = rule is not None and rule.name not in _ARITHMETIC
            below.append(frozenset({kinds[-1]}) if function else found)
        return kinds

    @cached_property
    def sums(self) -> dict[int, list[int]]:
        """For each sum that is no part of another one, the edges by which the terms enter."""
        sums: dict[int, list[int]] = {}
        for node, rule in enumerate(self.rules):
            if rule is not None and rule.name in ("add", "sum"):
                sums[node] = []
                for edge in self.entries[node]:
                    inner = self.args[edge]
                    sums[node] += (sums.pop(inner, []) if len(self.uses[inner]) == 1 else []) or [edge]
        return {position: terms for position, terms in sums.items() if len(terms) > 1}

    @cached_property
    def factors(self) -> list[Factor]:
        """The factors of the chain rule: of functions, also written out, of products, of biases."""
        found: list[Factor] = []
        #: What a node without a name is a function of, further down, and its derivative by that.
        source: dict[int, tuple[int, float]] = {}
        for user, rule in enumerate(self.rules):
            edges, operands = self.entries[user], {*self.operands(user)}
            if rule is None or not edges:
                continue
            single = len(edges) == 1 and rule.name not in _ARITHMETIC and not rule.over
            function = rule if single else None
            spread = zip(rule.args, rule.split(self.edges[user]), strict=True)
            args = {edge: arg for arg, entry in spread for edge in np.ravel(entry).tolist()}
            for edge in edges:
                number, operand = float(self.local[edge]), self.args[edge]
                symbol = _prime(rule) if function else f"∂{rule.name}/∂{args[edge]}"
                if function or abs(number) not in (0.0, 1.0) or (number == 1.0 and operand in self.leaves):
                    found.append(Factor(user, operand, (edge,), number, symbol, function))
            common = set.intersection(*({arg, source.get(arg, (arg,))[0]} for arg in operands))
            if not common:
                continue
            start = min(common)
            down = {arg: 1.0 if arg == start else source[arg][1] for arg in operands}
            number = sum(float(self.local[edge]) * down[self.args[edge]] for edge in edges)
            row = (start not in operands or len(edges) > 1) and rule.name not in _WRITTEN_OUT
            if row and (written := self._written_out(start, user, number)):
                found.append(Factor(user, start, tuple(edges), number, _prime(written), written, row))
            elif not self.named[user]:
                source[user] = start, number
        return found

    def _written_out(self, start: int, end: int, number: float) -> Rule | None:
        """The function that a row of operations computes, as sigmoid by 1/(1 + exp(-z))."""
        x, y = float(self.data[start]), float(self.data[end])
        for rule in map(RULES.__getitem__, _WRITTEN_OUT):
            with suppress(ArithmeticError, ValueError):
                made = compiled(rule)
                value = made.value(x)
                near = math.isclose(value, y, rel_tol=1e-12)
                if number and near and math.isclose(made.derivatives[0](x, value), number, rel_tol=1e-9):
                    return rule
        return None


def _bracketed(text: str) -> str:
    """A part of a formula, in brackets unless it is a name, a number or a call."""
    return text if re.fullmatch(r"[\w\[\],#.…]*(\([^()]*\))?", text) else f"({text})"


def _prime(rule: Rule) -> str:
    """The sign of a derivative: ``σ′``, ``tanh′``."""
    return "σ′" if rule.name == "sigmoid" else f"{rule.name}′"
