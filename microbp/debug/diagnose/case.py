"""What the detectors look at: a backward pass over the record, the parameters, and the words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from microbp.check.changes import Change, _earlier, changes_in
from microbp.check.recorded import Recorded
from microbp.debug.diagnose.finding import Finding
from microbp.debug.diagnose.words import Words, unit_of
from microbp.graph import Graph, Node
from microbp.labels import variable_names
from microbp.nn import Module
from microbp.sweeps import dependents
from microbp.value import Value

__all__ = ["Case", "Parameter", "Reading", "parameters_of"]


class Parameter(NamedTuple):
    """A parameter that is looked at."""

    name: str
    #: Its place in the graph; None where the loss does not depend on it.
    position: int | None
    data: float
    grad: float | None
    requires_grad: bool


class Reading:
    """For each node its gradient, where it came from, and the factors along its largest path.

    The additions happen in the order of ``backward()``, so that the gradients are the same to the last
    bit. The largest path leads from a node to that use which gives it the largest contribution, from
    there likewise, and so on to the root. No ``grad`` is touched.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        count = len(graph)
        #: The gradient of the root with respect to each node.
        self.upstream = [0.0] * count
        #: The sum of the absolute contributions.
        self.size = [0.0] * count
        #: How many contributions there are.
        self.uses = [0] * count
        #: The largest contribution, and the use that gave it: position of the user, place there.
        self.largest = [-1.0] * count
        self.user = [-1] * count
        self.place = [-1] * count
        #: Along the largest path: the node with the largest factor, and the one with the smallest.
        self.most = [-1] * count
        self.least = [-1] * count
        #: How many factors are above 1.2, and how many below 1 / 1.2.
        self.growing = [0] * count
        self.shrinking = [0] * count
        #: log10 of what the additions along it have contributed.
        self.added = [0.0] * count
        self.upstream[-1] = self.size[-1] = 1.0
        self._sweep()

    def _sweep(self) -> None:
        upstream, size, uses = self.upstream, self.size, self.uses
        largest, user, place = self.largest, self.user, self.place
        for node in reversed(self.graph.nodes):
            position = node.position
            above = upstream[position]
            if user[position] >= 0:
                self._follow(position)
            locals_ = node.local_derivatives
            for i in range(len(locals_) - 1, -1, -1):
                local = locals_[i]
                if local is None:
                    continue
                operand = int(node.operands[i])
                amount = above * local
                upstream[operand] += amount
                amount = abs(amount)
                size[operand] += amount
                uses[operand] += 1
                if amount > largest[operand] or user[operand] < 0:
                    largest[operand], user[operand], place[operand] = amount, position, i

    def _follow(self, position: int) -> None:
        """Continue the largest path by one step, now that the uses of a node are complete."""
        above = self.user[position]
        factor = abs(self.factor(position))
        most, least = self.most[above], self.least[above]
        self.most[position] = position if most < 0 or factor > abs(self.factor(most)) else most
        self.least[position] = position if least < 0 or factor < abs(self.factor(least)) else least
        self.growing[position] = self.growing[above] + (factor > 1.2)
        self.shrinking[position] = self.shrinking[above] + (factor < 1.0 / 1.2)
        total, largest = abs(self.upstream[position]), self.largest[position]
        self.added[position] = self.added[above]
        if 0.0 < total < math.inf and 0.0 < largest < math.inf:
            self.added[position] += math.log10(total) - math.log10(largest)

    @cached_property
    def used(self) -> list[list[tuple[int, int]]]:
        """Where each node is used, as ``Graph.uses()`` tells."""
        return self.graph.uses()

    def factor(self, position: int) -> float:
        """The local derivative by which a node's largest contribution came to it."""
        local = self.graph.nodes[self.user[position]].local_derivatives[self.place[position]]
        assert local is not None
        return local

    def path(self, position: int) -> list[int]:
        """The nodes of the largest path, from a node up to, but without, the root."""
        found = []
        while self.user[position] >= 0:
            found.append(position)
            position = self.user[position]
        return found


class Case(Reading):
    """A reading of a graph, the parameters that are asked for, and what findings are made with."""

    def __init__(
        self, graph: Graph, parameters: list[Parameter], words: Words, huge: float = 1e6,
        alive: Iterable[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(graph)
        self.parameters, self.words, self.huge = parameters, words, huge
        #: Neurons that work for other samples, by the names that their parameters may begin with.
        self.alive = frozenset(alive)
        self.recorded = Recorded(graph)

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
        return changes_in(self.recorded)

    @cached_property
    def was(self) -> dict[int, float]:
        """The numbers that values had when they were used, of those that have changed, where it is known."""
        return _earlier(self.graph)[0] if self.changes else {}

    @cached_property
    def moved(self) -> set[int]:
        """The leaves whose number was changed after it was used.

        They are those of which a derivative tells another number, and those from which none of their uses
        follows any more; unless a computed value was changed, from which what is above it does not follow.
        """
        if not self.changes:
            return set()
        was, unchanged = _earlier(self.graph)
        changed = {each.node.position for each in self.changes if each.now != each.node.data}
        leaves = [
            node.position for node in self.graph if node.rule is None and node.position not in unchanged
        ]
        users = {leaf: {user for user, _ in self.used[leaf]} for leaf in leaves}
        moved = {leaf for leaf in leaves if leaf in was or (users[leaf] and users[leaf] <= changed)}
        nodes = self.graph.nodes
        unexplained = [each for each in changed if not moved & {*nodes[each].operands}]
        touched = {operand for each in unexplained for operand in nodes[each].operands} & changed
        return {leaf for leaf in moved if leaf in was or not users[leaf] <= touched}

    def dependents(self, positions: list[int]) -> list[bool]:
        """For each node whether it is, or depends on, one of those."""
        return dependents(self.graph, positions).tolist()  # type: ignore[no-any-return]

    def data(self, node: Node) -> float:
        """The number of a node: as it was used, where that is known, also after it was changed."""
        return self.was.get(node.position, node.data)

    def number(self, node: Node, place: int) -> float:
        """The number of an operand, be it a node's or a literal."""
        operand = node.operands[place]
        return self.data(self.graph.nodes[operand]) if type(operand) is int else float(operand)

    def numbers(self, node: Node) -> list[float]:
        """The numbers of all operands."""
        return [self.number(node, place) for place in range(len(node.operands))]

    def site_of_use(self, position: int) -> str | None:
        """The line of the use that gave a node its largest contribution: a leaf has none of its own."""
        return self.graph.nodes[self.user[position]].site if self.user[position] >= 0 else None

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
            self.words("moved one", name=node.name, was=self.was[node.position], now=node.data)
            if node.position in self.was
            else self.words("moved to", name=node.name, now=node.data)
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
