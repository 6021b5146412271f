"""``Structure``: the graph behind a loss as a person sees it: functions, products, sums, neurons, layers.

An *edge* is the use of a value, counted as in the columns of the graph: the argument ``args[edge]`` of the
node ``owner[edge]``, with the local derivative ``local[edge]``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microbp.answers.words import several
from microbp.bounds import bounded
from microbp.compiled import compiled
from microbp.errors import NoGradientError
from microbp.graph import Graph
from microbp.labels import layer_path, text_of
from microbp.lazy import cached_property
from microbp.rules import RULES, Rule
from microbp.sweeps import backward, forward, rows
from microbp.value import Value, describe

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

#: What passes its upstream gradient on as it is, but for a sign.
_ADDITIVE = ("add", "sub", "sum")
_INFIX = {"add": " + ", "sub": " - ", "mul": "·", "div": "/", "pow": "**"}
#: What is not a function like an activation, although it may have a single Value among its operands.
ARITHMETIC = (*_ADDITIVE, "mul", "div", "neg", "dot")
#: Functions that people write out in several operations.
_WRITTEN_OUT = tuple(RULES[name] for name in ("sigmoid", "tanh", "softplus", "silu"))


class Factor(NamedTuple):
    """One factor of the chain rule: ∂user/∂operand, of one operation or of several in a row."""

    user: int
    operand: int
    #: The uses whose local derivatives are to be multiplied when the factor is to be another one.
    edges: tuple[int, ...]
    number: float
    #: The function that is differentiated, or None: a product, an unknown row of operations.
    function: Rule | None
    #: The use of the other factor of a product, or -1.
    partner: int = -1
    #: Whether it is of several operations.
    row: bool = False

    def becoming(self, number: float, local: Floats) -> dict[int, float]:
        """The local derivatives with which this factor is another number."""
        if not self.row:
            return {self.edges[0]: number}
        return {edge: float(local[edge]) * number / self.number for edge in self.edges}


class Structure:
    """A graph and what the mistakes ask of it."""

    def __init__(
        self,
        loss: Value,
        scope: Mapping[str, Any],
        learning_rate: float | None = None,
        tolerance: float | None = None,
        decimals: int | None = None,
    ) -> None:
        self.scope, self.learning_rate = scope, learning_rate
        self.tolerance, self.decimals = tolerance, decimals
        self.graph = graph = Graph(loss, names=scope)
        bounded("check_answers()", graph)
        self.values, self.names, self.named = graph._values, graph.names, graph.named
        self.data, self.local, self.count = graph.data, graph.local, len(graph)
        self.args: list[int] = graph.args.tolist()
        self.rules: list[Rule | None] = [None if op < 0 else graph.rules[op] for op in graph.op.tolist()]
        self.rows = rows(graph)
        self.first = graph.first.tolist()
        self.owner = np.repeat(np.arange(self.count), np.diff(graph.first)).tolist()
        #: The true gradient of each node.
        self.gradient: Floats = backward(graph, {self.count - 1: 1.0})
        #: The parameters: leaves that take a gradient.
        self.leaves = [i for i, rule in enumerate(self.rules) if rule is None and graph.needs[i]]

    # -------------------------------------------------------------------------------------- names
    def position(self, value: Value, name: str) -> int:
        """The position of a Value in the graph, -1 where the loss does not depend on it."""
        if not value.requires_grad:
            raise NoGradientError(f"{name}: {describe(value)} is frozen and takes no gradient")
        return self.graph._places.get(id(value), -1)

    @cached_property
    def arrays(self) -> list[str]:
        """For each node the array that it is an element of, by its name; empty where it has none."""
        return [
            text_of(layer_path(path)) if path and "[" not in name else name.partition("[")[0] if named else ""
            for name, named, path in zip(self.names, self.named, self.graph.paths, strict=True)
        ]

    @cached_property
    def parameters(self) -> dict[str, Places]:
        """The named parameters: each leaf alone, and the arrays that they are elements of."""
        leaves = {self.names[each]: each for each in self.leaves if self.named[each]}
        found = {name: np.array(each) for name, each in leaves.items()}
        for name in dict.fromkeys(each.partition("[")[0] for each in leaves if each.endswith("]")):
            own = {each: at for each, at in leaves.items() if each.startswith(f"{name}[")}
            with suppress(ValueError):
                array = assembled(own, name)
                if array is not None:
                    found[name] = array.astype(np.int64)
        return found

    def called(self, position: int, depth: int = 3) -> str:
        """A node in a sentence: its name, or the operation that makes it, ``0.5·(t - o)**2``."""
        rule = self.rules[position]
        if self.named[position] or rule is None:
            return self.names[position]
        if not depth:
            return "…"
        if len(self.rows[position]) > 3:
            return f"{rule.name}(…)"
        texts = [
            self.called(arg, depth - 1) if arg >= 0 else f"{self.graph.consts[-1 - arg]:g}"
            for arg in self.rows[position]
        ]
        if rule.name in _INFIX:
            return _INFIX[rule.name].join(map(bracketed, texts))
        return f"{rule.name}({', '.join(texts)})"

    def listed(self, positions: Iterable[int]) -> str:
        """Several nodes in a sentence; an array is named once."""
        texts = (self.arrays[each] or self.called(each) for each in positions)
        return several(dict.fromkeys(texts), 4)

    def common(self, positions: Iterable[Any]) -> str:
        """The name of the array that nodes are elements of; empty where they have none in common."""
        names = {self.arrays[each] if isinstance(each, int | np.integer) else "" for each in positions}
        return names.pop() if len(names) == 1 else ""

    def bracketed(self, position: int) -> str:
        """The same in a formula."""
        return bracketed(self.called(position))

    def told(self, factor: Factor) -> str:
        """``σ′(net) = 0.2``, ``∂net/∂h1 = w5 = 0.4``."""
        if factor.function is not None:
            symbol = f"{prime_of(factor.function)}({self.called(factor.operand)})"
        else:
            symbol = f"∂{bracketed(self.called(factor.user))}/∂{bracketed(self.called(factor.operand))}"
            if factor.partner >= 0 and self.args[factor.partner] >= 0:
                symbol += f" = {self.called(self.args[factor.partner])}"
        return f"{symbol} = {factor.number:.6g}"

    def told_together(self, group: Sequence[Factor]) -> str:
        """``σ′(net_o1) = 0.19, σ′(net_o2) = 0.18``; of more the first, and how many there are."""
        if len(group) <= 3:
            return several(map(self.told, group))
        first = group[0]
        rule, arg = self.arguments[first.edges[0]]
        symbol = f"∂{rule.name}/∂{arg}" if first.function is None else prime_of(first.function)
        array = self.common(each.operand for each in group)
        numbers = ", ".join(f"{each.number:.6g}" for each in group[:3])
        return f"{symbol}{f' of {array}' if array else ''} ({len(group)} of them: {numbers}, …)"

    # ------------------------------------------------------------------------- the graph by itself
    @cached_property
    def numbers(self) -> Floats:
        """The number of each argument."""
        return np.concatenate([self.data, self.graph.consts[::-1]])[self.graph.args]

    @cached_property
    def passing(self) -> Flags:
        """Which uses pass a gradient on."""
        return np.asarray((self.graph.args >= 0) & self.graph.needs[np.maximum(self.graph.args, 0)])

    @cached_property
    def uses(self) -> list[list[int]]:
        """Where each node is used: edges that pass a gradient on."""
        found: list[list[int]] = [[] for _ in range(self.count)]
        for edge in np.flatnonzero(self.passing).tolist():
            found[self.args[edge]].append(edge)
        return found

    @cached_property
    def meeting(self) -> list[int]:
        """For each node the next one through which every path to the loss leads; -1 at the end."""
        found = [-1] * self.count

        def both(here: int, there: int) -> int:
            while here != there:
                here, there = sorted((found[min(here, there)], max(here, there)))
            return here

        for node in range(self.count - 2, -1, -1):
            users = [self.owner[edge] for edge in self.uses[node]]
            found[node] = reduce(both, users) if users else -1
        return found

    @cached_property
    def partner(self) -> list[int]:
        """For each edge that of what its operand is multiplied by: the local derivative; -1 for none."""
        found = [-1] * len(self.args)
        for (start, stop), rule in zip(pairwise(self.first), self.rules, strict=True):
            if rule is not None and rule.name in ("mul", "dot"):
                half = (stop - start) // 2
                for edge in range(start, start + half):
                    found[edge], found[edge + half] = edge + half, edge
        return found

    @cached_property
    def arguments(self) -> list[tuple[Rule, str]]:
        """For each edge which argument of which rule it is."""
        widths = {(rule, len(row)) for rule, row in zip(self.rules, self.rows, strict=True) if rule}
        known = {
            (rule, width): [
                (rule, arg)
                for arg, entry in zip(rule.args, rule.split(range(width)), strict=True)
                for _ in (entry if arg in rule.over else [entry])
            ]
            for rule, width in widths
        }
        pairs = zip(self.rules, self.rows, strict=True)
        return [each for rule, row in pairs if rule is not None for each in known[rule, len(row)]]

    def edges(self, node: int) -> range:
        """The edges by which a node uses its operands."""
        return range(self.first[node], self.first[node + 1])

    def operands(self, node: int) -> list[int]:
        """The nodes that a node is computed from."""
        return [arg for arg in self.rows[node] if arg >= 0]

    @cached_property
    def same(self) -> list[Hashable]:
        """Equal for nodes that compute the same, operation by operation."""
        known: dict[Hashable, int] = {}
        same: list[Hashable] = []
        for node, (rule, row) in enumerate(zip(self.rules, self.rows, strict=True)):
            numbers = (same[arg] if arg >= 0 else float(self.graph.consts[-1 - arg]) for arg in row)
            key = node if rule is None else (rule, *numbers)
            same.append(f"#{known.setdefault(key, len(known))}")
        return same

    @cached_property
    def depth(self) -> list[int]:
        """For each node the longest way to it: nodes of one depth do not depend on each other."""
        depth: list[int] = []
        for row in self.rows:
            depth.append(1 + max((depth[arg] for arg in row if arg >= 0), default=0))
        return depth

    @cached_property
    def levels(self) -> list[int]:
        """For each node, how many operations stand between it and the loss, additions not counted."""
        levels = [0] * self.count
        for node in range(self.count - 1, -1, -1):
            rule = self.rules[node]
            beyond = levels[node] + (rule is None or rule.name not in _ADDITIVE)
            for arg in self.rows[node]:
                if arg >= 0:
                    levels[arg] = max(levels[arg], beyond)
        return levels

    @cached_property
    def sizes(self) -> Floats:
        """For each node the sum over all paths without their signs: more than the gradient if they cancel."""
        sizes: Floats = backward(self.graph, {self.count - 1: 1.0}, np.abs(self.local))
        return np.nan_to_num(sizes, nan=0.0, posinf=0.0)

    def alike(self, label: Mapping[int, Hashable]) -> list[int]:
        """Equal numbers for nodes that do the same in other samples and at other steps.

        They are of one operation, and between them and the next functions below stand the same
        parameters, by their labels; where there are none, the same functions.
        """
        known: dict[Hashable, int] = {}
        kinds: list[int] = []
        below: list[frozenset[Hashable]] = []
        for node, (rule, row) in enumerate(zip(self.rules, self.rows, strict=True)):
            if rule is None:
                found: frozenset[Hashable] = frozenset({("p", label[node])} if node in label else ())
            else:
                found = frozenset(each for arg in row if arg >= 0 for each in below[arg])
                parameters = frozenset(each for each in found if isinstance(each, tuple))
                found = parameters or found
            kind = known.setdefault((rule, found), len(known))
            kinds.append(kind)
            below.append(frozenset({kind}) if rule is not None and rule.name not in ARITHMETIC else found)
        return kinds

    @cached_property
    def neurons(self) -> list[int]:
        """Equal numbers for nodes that do the same with the same parameters."""
        return self.alike({leaf: leaf for leaf in self.leaves})

    @cached_property
    def layers(self) -> list[int]:
        """Equal numbers for nodes that do the same with elements of the same arrays of parameters."""
        return self.alike({leaf: self.arrays[leaf] or self.levels[leaf] for leaf in self.leaves})

    @cached_property
    def factors(self) -> list[Factor]:
        """The factors of the chain rule that are not 1: of functions, of products, of rows of operations."""
        found: list[Factor] = []
        #: What a node is a function of, further down, and its derivative by that.
        source: dict[int, tuple[int, float]] = {}
        known: set[int] = set()
        for user, (rule, row) in enumerate(zip(self.rules, self.rows, strict=True)):
            edges = [e for e in range(self.first[user], self.first[user + 1]) if self.passing[e]]
            if rule is None or not edges:
                continue
            operands = dict.fromkeys(row[e - self.first[user]] for e in edges)
            only = len(operands) == 1 and len(edges) == 1
            function = rule if only and rule.name not in ARITHMETIC else None
            for edge in edges:
                if abs(self.local[edge]) not in (0.0, 1.0) or function:
                    number, partner = float(self.local[edge]), self.partner[edge]
                    found.append(Factor(user, self.args[edge], (edge,), number, function, partner))
            ways = [
                {v, source[v][0]} if v in source and not self.named[v] and v not in known else {v}
                for v in operands
            ]
            common = set.intersection(*ways)
            if not common:
                continue
            start = min(common)
            number = sum(
                float(self.local[e]) * (1.0 if self.args[e] == start else source[self.args[e]][1])
                for e in edges
            )
            source[user] = start, number
            if (start in operands and only) or not number or not math.isfinite(number):
                continue
            written = self._written_out(start, user, number)
            if written:
                known.add(user)
            ends = self.named[user] or len(self.uses[user]) != 1 or not self._single(self.uses[user][0])
            if written or ends:
                found.append(Factor(user, start, tuple(edges), number, written, row=True))
        return found

    def _single(self, edge: int) -> bool:
        """Whether the user of a value is computed from nothing else."""
        owner = self.owner[edge]
        return int(self.passing[self.first[owner] : self.first[owner + 1]].sum()) == 1

    def _written_out(self, start: int, end: int, number: float) -> Rule | None:
        """The function that a row of operations computes, as sigmoid by 1/(1 + exp(-z))."""
        x, y = float(self.data[start]), float(self.data[end])
        for rule in _WRITTEN_OUT:
            with suppress(ArithmeticError, ValueError):
                value = compiled(rule).value(x)
                slope = compiled(rule).derivatives[0](x, value)
                if math.isclose(value, y, rel_tol=1e-12) and math.isclose(slope, number, rel_tol=1e-9):
                    return rule
        return None

    @cached_property
    def sums(self) -> dict[int, list[int]]:
        """The sums of two terms or more, however they were added up, and the edges where the terms enter."""
        sums: dict[int, list[int]] = {}
        for node, (rule, row) in enumerate(zip(self.rules, self.rows, strict=True)):
            if rule is not None and rule.name in ("add", "sum"):
                terms: list[int] = []
                for place, operand in enumerate(row):
                    if operand >= 0:
                        inner = sums.pop(operand, None) if len(self.uses[operand]) == 1 else None
                        terms += inner or [self.first[node] + place]
                sums[node] = terms
        return {position: terms for position, terms in sums.items() if len(terms) > 1}

    def scales_loss(self, position: int) -> bool:
        """Whether the loss is a value up to constants: added to others, times a number."""
        while self.uses[position]:
            edge = self.uses[position][0]
            user = self.owner[edge]
            rule = self.rules[user]
            assert rule is not None
            linear = rule.name in _ADDITIVE or self._single(edge)
            if len(self.uses[position]) > 1 or rule.name not in ARITHMETIC or not linear:
                return False
            position = user
        return True

    # ----------------------------------------------------------------------------- other numbers
    @cached_property
    def fresh(self) -> bool:
        """Whether no leaf has been changed since the graph was recorded."""
        with suppress(ArithmeticError, ValueError):
            return np.array_equal(forward(self.graph, {}), self.data, equal_nan=True)
        return False

    def local_at(self, data: Sequence[float]) -> Floats:
        """The local derivatives where the nodes have other data."""
        found: list[float] = []
        both = [*data, *reversed(self.graph.consts.tolist())]
        for node, (rule, row) in enumerate(zip(self.rules, self.rows, strict=True)):
            if rule is not None:
                numbers = rule.split([both[arg] for arg in row])
                for derivative in compiled(rule).derivatives:
                    d = derivative(*numbers, data[node])
                    found += d if type(d) is list else [d]
        return np.array(found)


def assembled(elements: Mapping[str, Any], name: str) -> NDArray[Any] | None:
    """The array of what is called ``name[i,j]``; None where nothing is. ValueError where some are missing."""
    found = {}
    for each, element in elements.items():
        match = re.fullmatch(re.escape(name) + r"\[(\d+(?:,\d+)*)\]", each)
        if match:
            found[tuple(map(int, match[1].split(",")))] = element
    if not found or len({len(place) for place in found}) > 1:
        return None
    array = np.empty([max(axis) + 1 for axis in zip(*found, strict=True)], dtype=object)
    if len(found) != array.size:
        raise ValueError(
            f"the loss depends on {len(found)} elements of {name!r} only, so that its shape is not known: "
            "give the array itself, in a list of pairs (array, claim)"
        )
    for place, element in found.items():
        array[place] = element
    return array


def bracketed(text: str) -> str:
    """A part of a formula, in brackets unless it is a name, a number or a call."""
    return text if re.fullmatch(r"[\w\[\],#.…]*(\([^()]*\))?", text) else f"({text})"


def prime_of(rule: Rule) -> str:
    """The sign of a derivative: ``σ′``, ``tanh′``."""
    return "σ′" if rule.name == "sigmoid" else f"{rule.name}′"
