"""``Case``: the graph behind the loss, and what the hypotheses ask of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microbp.answers.arrays import Floats, Places
from microbp.backward import backward_order, upstream_gradients
from microbp.compiled import compiled
from microbp.errors import NoGradientError
from microbp.graph import Graph, Node
from microbp.lazy import cached_property
from microbp.rules import RULES, Rule
from microbp.sweeps import backward, forward
from microbp.value import Value, describe

#: The use of a value: the position of the node that uses it, and its place among the operands.
Edge = tuple[int, int]

#: What passes its upstream gradient on as it is, but for a sign.
_ADDITIVE = ("add", "sub", "sum")
_INFIX = {"add": " + ", "sub": " - ", "mul": "·", "div": "/", "pow": "**"}

#: What is not a function like an activation, although it may have a single Value among its operands.
_ARITHMETIC = (*_ADDITIVE, "mul", "div", "neg", "dot")

#: Learning rates that people use, for a search where none was given.
_CUSTOMARY = (1.0, 0.5, 0.3, 0.25, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4)

#: Above so many uses on the paths, factors are tried only in groups, not each alone.
MANY = 3000

#: How many operations in a row are followed: those of an activation written by hand, or of a sum.
LONGEST = 8


class Case:
    """The graph behind the loss, and what the hypotheses ask of it."""

    def __init__(
        self, loss: Value, scope: Mapping[str, Any], learning_rate: float | None, tolerance: float | None
    ) -> None:
        self.scope, self.learning_rate, self.tolerance = scope, learning_rate, tolerance
        self.graph = Graph(loss, names=scope)
        self.nodes = self.graph.nodes
        self.values = backward_order(loss)[::-1]
        upstream = upstream_gradients(loss)
        #: The true gradient of each node.
        self.gradient = np.array([upstream.get(id(value), 0.0) for value in self.values])
        #: The parameters: leaves that take a gradient.
        self.leaves = [node.position for node in self.nodes if self.is_parameter(node.position)]

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to try."""
        return _CUSTOMARY if self.learning_rate is None else (self.learning_rate,)

    # ------------------------------------------------------------------------------ nodes and names
    def position(self, value: Value, name: str) -> int:
        """The position of a Value in the graph, -1 where the loss does not depend on it."""
        if not value.requires_grad:
            raise NoGradientError(f"{name}: {describe(value)} is frozen and takes no gradient")
        try:
            return self.graph[value].position
        except KeyError:
            return -1

    @cached_property
    def parameters(self) -> dict[str, Places]:
        """The named parameters: each leaf alone, and the arrays that they are elements of."""
        leaves = {self.nodes[each].name: each for each in self.leaves if self.nodes[each].named}
        found = {name: np.array(each) for name, each in leaves.items()}
        for name in dict.fromkeys(map(prefix, leaves)):
            with suppress(ValueError):
                array = assembled(leaves, name)
                if array is not None:
                    found[name] = array.astype(np.int64)
        return found

    def called(self, position: int, depth: int = 3) -> str:
        """A node in a sentence: its name, or the operation that makes it, ``0.5·(t - o)**2``."""
        node = self.nodes[position]
        if node.named or node.rule is None:
            return node.name
        if not depth:
            return "…"
        if len(node.operands) > 3:
            return f"{node.rule.name}(…)"
        texts = [self.called(each, depth - 1) if type(each) is int else f"{each:g}" for each in node.operands]
        if node.rule.name in _INFIX:
            return _INFIX[node.rule.name].join(map(bracketed, texts))
        return f"{node.rule.name}({', '.join(texts)})"

    def listed(self, positions: Iterable[int]) -> str:
        """Several nodes in a sentence; an array is named once."""
        texts = ((self.nodes[each].named, self.called(each)) for each in positions)
        names = list(dict.fromkeys(prefix(text) if named else text for named, text in texts))
        return ", ".join(names[:4]) + ", …" * (len(names) > 4)

    def common(self, positions: Iterable[Any]) -> str:
        """The name of the array that nodes are elements of; empty where they have none in common."""
        nodes = [self.nodes[each] if isinstance(each, int | np.integer) else None for each in positions]
        names = {prefix(node.name) if node is not None and node.named else "" for node in nodes}
        return names.pop() if len(names) == 1 else ""

    # ------------------------------------------------------------------------- the graph by itself
    @cached_property
    def uses(self) -> list[list[Edge]]:
        """Where each node is used."""
        return self.graph.uses()

    def operand(self, edge: Edge) -> int:
        """The position of the value that is used."""
        operand = self.nodes[edge[0]].operands[edge[1]]
        assert isinstance(operand, int)
        return operand

    def local(self, edge: Edge) -> float:
        """The local derivative ∂node/∂operand as recorded."""
        local = self.nodes[edge[0]].local_derivatives[edge[1]]
        assert local is not None
        return local

    def argument(self, edge: Edge) -> tuple[Rule | None, str]:
        """Which argument of which rule the operand is."""
        node = self.nodes[edge[0]]
        assert node.rule is not None
        return node.rule, _arguments(node.rule, len(node.operands))[edge[1]]

    def partner(self, edge: Edge) -> int | float | None:
        """What the operand is multiplied by: the local derivative; None in another operation."""
        node, place = self.nodes[edge[0]], edge[1]
        if node.rule is RULES["mul"]:
            return node.operands[1 - place]
        if node.rule is RULES["dot"] and place < len(node.operands) - 1:
            half = len(node.operands) // 2
            return node.operands[place + half if place < half else place - half]
        return None

    def behind(self, edge: Edge) -> list[int]:
        """The values on which a local derivative depends."""
        partner = self.partner(edge)
        operands = self.nodes[edge[0]].operands if partner is None else (partner,)
        return [each for each in operands if type(each) is int]

    def only_operand(self, position: int) -> bool:
        """Whether a node is computed from a single Value, once."""
        return sum(type(each) is int for each in self.nodes[position].operands) == 1

    def is_parameter(self, position: int) -> bool:
        """Whether a node is a leaf that takes a gradient."""
        node = self.nodes[position]
        return node.rule is None and node.requires_grad

    def is_function(self, position: int) -> bool:
        """Whether a node is a function of a single Value, like an activation."""
        rule = self.nodes[position].rule
        return rule is not None and rule.name not in _ARITHMETIC and self.only_operand(position)

    @cached_property
    def levels(self) -> list[int]:
        """For each node, how many operations stand between it and the loss, additions not counted."""
        levels = [0] * len(self.nodes)
        for node in reversed(self.nodes):
            beyond = levels[node.position] + (node.rule is None or node.rule.name not in _ADDITIVE)
            for each in node.operands:
                if type(each) is int:
                    levels[each] = max(levels[each], beyond)
        return levels

    @cached_property
    def sizes(self) -> Floats:
        """For each node the sum over all paths without their signs: more than the gradient if they cancel."""
        sizes: Floats = backward(self.graph, {len(self.nodes) - 1: 1.0}, np.abs(self.graph.local))
        return np.nan_to_num(sizes, nan=0.0, posinf=0.0)

    @cached_property
    def roles(self) -> list[int]:
        """Equal numbers for nodes that do the same for other samples: same rules, same parameters."""
        known: dict[Any, int] = {}
        roles: list[int] = []
        for node in self.nodes:
            key: Any = node.position if node.requires_grad else None
            if node.rule is not None:
                key = (node.rule, *(roles[each] if type(each) is int else -1 for each in node.operands))
            roles.append(-1 if key is None else known.setdefault(key, len(known)))
        return roles

    @cached_property
    def sums(self) -> dict[int, list[Edge]]:
        """The sums of two terms or more, however they were added up, and where each term enters."""
        sums: dict[int, list[Edge]] = {}
        for node in self.nodes:
            if node.rule is not None and node.rule.name in ("add", "sum"):
                terms: list[Edge] = []
                for place, operand in enumerate(node.operands):
                    if type(operand) is int:
                        inner = sums.pop(operand, None) if len(self.uses[operand]) == 1 else None
                        terms += inner or [(node.position, place)]
                sums[node.position] = terms
        return {position: terms for position, terms in sums.items() if len(terms) > 1}

    def scales_loss(self, position: int) -> bool:
        """Whether the loss is a value up to constants: added to others, times a number."""
        while self.uses[position]:
            user = self.nodes[self.uses[position][0][0]]
            assert user.rule is not None
            linear = user.rule.name in _ADDITIVE or self.only_operand(user.position)
            if len(self.uses[position]) > 1 or user.rule.name not in _ARITHMETIC or not linear:
                return False
            position = user.position
        return True

    # ----------------------------------------------------------------------------- another forward
    def forward(self, leaves: Mapping[int, float]) -> list[float]:
        """The data of all nodes with other numbers in some leaves."""
        return forward(self.graph, leaves).tolist()  # type: ignore[no-any-return]

    def locals_at(self, data: Sequence[float]) -> dict[Edge, float]:
        """The local derivatives that differ from the recorded ones where the nodes have other data."""
        found: dict[Edge, float] = {}
        for node in self.nodes:
            if node.rule is not None:
                numbers, y = self._numbers(node, data), data[node.position]
                locals_: list[float] = []
                for derivative in compiled(node.rule).derivatives:
                    d = derivative(*numbers, y)
                    locals_ += d if type(d) is list else [d]
                for place, (recorded, d) in enumerate(zip(node.local_derivatives, locals_, strict=True)):
                    if recorded is not None and recorded != d:
                        found[node.position, place] = d
        return found

    @staticmethod
    def _numbers(node: Node, data: Sequence[float]) -> list[Any]:
        assert node.rule is not None
        return node.rule.split([data[each] if type(each) is int else each for each in node.operands])

    @cached_property
    def fresh(self) -> bool:
        """Whether no leaf has been changed since the graph was recorded."""
        with suppress(ArithmeticError, ValueError):
            return np.array_equal(self.forward({}), [node.data for node in self.nodes], equal_nan=True)
        return False


@lru_cache
def _arguments(rule: Rule, length: int) -> tuple[str, ...]:
    """For each operand of a node, which argument of the rule it is."""
    entries = zip(rule.args, rule.split(range(length)), strict=True)
    return tuple(arg for arg, entry in entries for _ in (entry if arg in rule.over else [entry]))


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


def prefix(name: str) -> str:
    """The array that an element is of: ``W0`` for ``W0[0,1]``."""
    return name.partition("[")[0]


def bracketed(text: str) -> str:
    """A part of a formula, in brackets unless it is a name, a number or a call."""
    return text if re.fullmatch(r"[\w\[\],#.…]*(\([^()]*\))?", text) else f"({text})"


def prime_of(rule: Rule) -> str:
    """The sign of a derivative: ``σ′``, ``tanh′``."""
    return "σ′" if rule.name == "sigmoid" else f"{rule.name}′"
