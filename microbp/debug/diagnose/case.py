"""What the detectors look at: a backward pass over the record, the parameters, and the words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from microbp.check.changes import Change, changes_in
from microbp.debug.diagnose.finding import Finding
from microbp.debug.diagnose.words import Words, unit_of
from microbp.debug.passes import Pass
from microbp.graph import Graph, Node
from microbp.labels import variable_names
from microbp.lazy import cached_property
from microbp.nn import Module
from microbp.sweeps import dependents
from microbp.value import Value

__all__ = ["Case", "Parameter", "parameters_of"]


class Parameter(NamedTuple):
    """A parameter that is looked at."""

    name: str
    #: Its place in the graph; None where the loss does not depend on it.
    position: int | None
    data: float
    grad: float | None
    requires_grad: bool


class Case(Pass):
    """A backward pass with the factors along each node's largest path, and the parameters that are asked for.

    The largest path leads from a node to that use which gives it the largest contribution, from there
    likewise, and so on to the root. No ``grad`` is touched.
    """

    def __init__(
        self, graph: Graph, parameters: list[Parameter], words: Words, huge: float = 1e6,
        alive: Iterable[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(graph)
        self.given, self.parameters, self.words, self.huge = graph, parameters, words, huge
        #: Neurons that work for other samples, by the names that their parameters may begin with.
        self.alive = frozenset(alive)
        count = len(graph)
        #: The gradient of the root with respect to each node; 0 for what receives none.
        self.upstream = [self.gradient(position) or 0.0 for position in range(count)]
        #: The sum of the absolute contributions.
        self.size = [sum(abs(got.amount) for got in each) for each in self.received]
        self.size[-1] = 1.0
        #: Along the largest path: the node with the largest factor, and the one with the smallest.
        self.most = [-1] * count
        self.least = [-1] * count
        #: How many factors are below 1 / 1.2.
        self.shrinking = [0] * count
        #: log10 of what the additions along it have contributed.
        self.added = [0.0] * count
        for position in reversed(range(count - 1)):
            self._follow(position)

    def _follow(self, position: int) -> None:
        """Continue the largest path by one step, from the user, whose path is complete."""
        got = self.largest(position)
        if got is None:
            return
        above, factor = got.user, abs(got.local)
        most, least = self.most[above], self.least[above]
        self.most[position] = position if most < 0 or factor > abs(self.factor(most)) else most
        self.least[position] = position if least < 0 or factor < abs(self.factor(least)) else least
        self.shrinking[position] = self.shrinking[above] + (factor < 1.0 / 1.2)
        total, largest = abs(self.upstream[position]), abs(got.amount)
        self.added[position] = self.added[above]
        if 0.0 < total < math.inf and 0.0 < largest < math.inf:
            self.added[position] += math.log10(total) - math.log10(largest)

    def user(self, position: int) -> Node:
        """The node that gives a node, which has one, its largest contribution."""
        got = self.largest(position)
        assert got is not None
        return self.graph.nodes[got.user]

    def place(self, position: int) -> int:
        """The place at which that uses it."""
        got = self.largest(position)
        assert got is not None
        return got.place

    def factor(self, position: int) -> float:
        """The local derivative by which it came."""
        got = self.largest(position)
        assert got is not None
        return got.local

    def path(self, position: int) -> list[int]:
        """The nodes of the largest path, from a node up to, but without, the root."""
        found = []
        while (got := self.largest(position)) is not None:
            found.append(position)
            position = got.user
        return found

    def site_of_use(self, position: int) -> str | None:
        """The line of the use that gave a node its largest contribution: a leaf has none of its own."""
        got = self.largest(position)
        return None if got is None else self.graph.nodes[got.user].site

    @cached_property
    def used(self) -> list[list[tuple[int, int]]]:
        """Where each node is used, as ``Graph.uses()`` tells."""
        return self.graph.uses()

    @cached_property
    def asked(self) -> list[tuple[Parameter, int]]:
        """The parameters in the graph that take a gradient, and their places."""
        return [(p, p.position) for p in self.parameters if p.position is not None and p.requires_grad]

    @cached_property
    def hit(self) -> list[str]:
        """The parameters whose gradient is not finite."""
        return [each.name for each, position in self.asked if not math.isfinite(self.upstream[position])]

    @cached_property
    def changes(self) -> list[Change]:
        """The nodes that do not follow from their operands any more."""
        return changes_in(self.graph)

    def dependents(self, positions: list[int]) -> list[bool]:
        """For each node whether it is, or depends on, one of those."""
        return dependents(self.graph, positions).tolist()  # type: ignore[no-any-return]

    def number(self, node: Node, place: int) -> float:
        """The number of an operand, be it a node's or a literal."""
        operand = node.operands[place]
        return self.graph.nodes[operand].data if type(operand) is int else float(operand)

    def numbers(self, node: Node) -> list[float]:
        """The numbers of all operands."""
        return [self.number(node, place) for place in range(len(node.operands))]

    def finding(
        self,
        kind: str,
        cause: tuple[str, str, str],
        node: Node,
        what: str,
        parameters: Iterable[str] = (),
        numbers: Iterable[tuple[str, float]] = (),
        site: str | None = None,
    ) -> Finding:
        """A finding about a node; ``site`` stands for that of a node without one, such as a leaf."""
        name, word, advice = cause
        return Finding(
            kind, name, node.name, node.position, node.site or site, what, advice, tuple(parameters),
            tuple(numbers), unit_of(node), word, self.words.language,
        )  # fmt: skip

    def remarks(self) -> list[str]:
        """That parameters have moved since they were used; the gradients are right all the same."""
        if not self.moved:
            return []
        told = self.words.listed(
            self.words("moved one", name=node.name, was=node.data, now=self.given.nodes[node.position].data)
            for node in map(self.graph.nodes.__getitem__, sorted(self.moved))
        )
        return [self.words("moved", told=told)]


def parameters_of(given: Any, graph: Graph, names: Mapping[str, Any]) -> list[Parameter]:
    """The parameters given, or all leaves that take a gradient and what modules of ``names`` hold.

    A module counts if the loss depends on one of its parameters. Raises TypeError for anything else
    than Values, names of the graph, modules, and containers of these.
    """
    if given is not None:
        found = _parameters(given, graph, names)
        if not found:
            raise ValueError("diagnose: parameters is empty; leave it out to look at all leaves")
        return found
    found = [_at(graph, node.position) for node in graph if node.rule is None and node.requires_grad]
    seen: set[int] = set()
    for held in names.values():
        if isinstance(held, Module) and id(held) not in seen:
            seen.add(id(held))
            own = _parameters(held, graph, names)
            if any(each.position is not None for each in own):
                found += [each for each in own if each.position is None and each.requires_grad]
    return found


def _at(graph: Graph, position: int) -> Parameter:
    node = graph.nodes[position]
    return Parameter(node.name, position, node.data, node.grad, node.requires_grad)


def _parameters(given: Any, graph: Graph, names: Mapping[str, Any]) -> list[Parameter]:
    variables = variable_names(names)
    found: dict[int, Parameter] = {}
    for count, (path, value) in enumerate(_held("", given)):
        if isinstance(value, str):
            found[-1 - count] = _at(graph, graph[value].position)
            continue
        position = graph._places.get(id(value))
        if position is not None:
            found[id(value)] = _at(graph, position)
        else:
            name = value.name or path or variables.get(id(value)) or f"parameter {count}"
            found[id(value)] = Parameter(name, None, value.data, value.grad, value.requires_grad)
    return list(found.values())


def _held(path: str, held: Any) -> Iterator[tuple[str, Any]]:
    """Each Value or name in a container, and its path there."""
    if isinstance(held, Value | str):
        yield path, held
    elif isinstance(held, Module):
        yield from held.named_parameters().items()
    elif isinstance(held, Mapping):
        for key, each in held.items():
            yield from _held(f"{path}{key}", each)
    elif isinstance(held, np.ndarray):
        for place in np.ndindex(held.shape):
            yield from _held(f"{path}[{','.join(map(str, place))}]" if path else "", held[place])
    elif isinstance(held, list | tuple):
        for index, each in enumerate(held):
            yield from _held(f"{path}[{index}]" if path else "", each)
    else:
        raise TypeError(
            "diagnose looks at parameters that are Values, names in the graph or modules, or lists, arrays "
            f"and dicts of these, not {held!r}"
        )
