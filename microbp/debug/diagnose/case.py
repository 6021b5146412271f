"""``Case``: what the detectors look at, a backward pass over the record, the parameters, and the words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from microbp.check.auditing import Change, changes_in
from microbp.debug.diagnose.finding import Finding, finding
from microbp.debug.diagnose.words import Words, unit_of
from microbp.debug.formulas import numbers_of
from microbp.debug.trace import Contribution, Trace
from microbp.graph import Graph, Node
from microbp.labels import variable_names
from microbp.lazy import cached_property
from microbp.nn import Module
from microbp.sweeps import dependents
from microbp.value import Value

#: A parameter that is looked at, by its name: its node, or what is not in the graph.
Parameter = tuple[str, Node | Value]


class Way(NamedTuple):
    """The largest path from a node up to the root: by its largest contribution, from there likewise."""

    #: The contributions along it with the largest and with the smallest local derivative.
    most: Contribution
    least: Contribution
    #: How many there are, and how many local derivatives of them are below 1 / 1.2.
    steps: int
    shrinking: int
    #: log10 of what the additions along it have contributed.
    added: float


class Case(Trace):
    """A backward pass, the parameters that are asked for, and the words. No ``grad`` is touched."""

    #: As it is, also where parameters have moved since it was recorded.
    given: Graph
    parameters: list[Parameter]
    words: Words
    #: From here on a gradient is huge.
    huge: float
    #: Neurons that work for other samples, by the names that their parameters may begin with.
    alive: frozenset[str]
    #: The gradient of the root by each node, 0 for what receives none; the sum of the absolute contributions.
    upstream: list[float]
    size: list[float]

    def __init__(
        self, graph: Graph, parameters: list[Parameter], words: Words, huge: float, alive: Iterable[str]
    ) -> None:
        super().__init__(graph)
        size = [sum(abs(got.amount) for got in each) for each in self.received]
        vars(self).update(
            given=graph, parameters=parameters, words=words, huge=huge, alive=frozenset(alive),
            upstream=[each or 0.0 for each in self.gradients()], size=[*size[:-1], 1.0],
        )  # fmt: skip

    @cached_property
    def ways(self) -> list[Way | None]:
        """The largest path from each node up; None from the root, and where none leads there."""
        ways: list[Way | None] = [None] * len(self.graph)
        for position in reversed(range(len(ways) - 1)):
            got = self.largest(position)
            if got is None:
                continue
            above = ways[got.user] or Way(got, got, 0, 0, 0.0)
            total, largest, added = abs(self.upstream[position]), abs(got.amount), above.added
            if 0.0 < total < math.inf and 0.0 < largest < math.inf:
                added += math.log10(total) - math.log10(largest)
            ways[position] = Way(
                max(above.most, got, key=lambda each: abs(each.local)),
                min(above.least, got, key=lambda each: abs(each.local)),
                above.steps + 1, above.shrinking + (abs(got.local) < 1.0 / 1.2), added,
            )  # fmt: skip
        return ways

    def path(self, position: int) -> Iterator[Contribution]:
        """The contributions of the largest path, from a node up to the root."""
        while (got := self.largest(position)) is not None:
            yield got
            position = got.user

    @cached_property
    def asked(self) -> list[tuple[str, int]]:
        """The names of the parameters in the graph that take a gradient, and their places."""
        inside = [(name, each) for name, each in self.parameters if isinstance(each, Node)]
        return [(name, each.position) for name, each in inside if each.requires_grad]

    @cached_property
    def hit(self) -> list[str]:
        """The parameters whose gradient is not finite."""
        return [name for name, position in self.asked if not math.isfinite(self.upstream[position])]

    @cached_property
    def changes(self) -> list[Change]:
        """The nodes that do not follow from their operands any more."""
        return changes_in(self.graph)

    @cached_property
    def between(self) -> list[bool]:
        """For each node whether it is, or depends on, a parameter that is asked for."""
        return dependents(self.graph, [position for _, position in self.asked]).tolist()  # type: ignore[no-any-return]

    def numbers(self, node: Node) -> list[float]:
        """The numbers of all operands."""
        return numbers_of(self.graph, node)

    def found(
        self, kind: str, key: str, node: Node | None, parameters: Iterable[str] = (),
        numbers: Iterable[tuple[str, float]] = (), site: str | None = None, /, *, about: str = "",
        **facts: Any,
    ) -> Finding:  # fmt: skip
        """A finding about a node, or about what is called so; its cause stands in the table as ``key``.

        ``site`` stands for that of a node without one: a leaf has the line of its use.
        """
        names, say, position, unit = [*parameters], self.words, None, ""
        if node is not None:
            about, position, unit = node.name, node.position, unit_of(node)
            facts = {"op": say.spoken(node), **facts}
            got = self.largest(position)
            site = node.site or site or (None if got is None else self.graph.nodes[got.user].site)
        facts = {"names": say.in_parts(names), **facts}
        return finding(
            say, kind, key, about, position=position, site=site, unit=unit, parameters=names,
            numbers=numbers, **facts,
        )  # fmt: skip

    def remarks(self) -> list[str]:
        """That parameters have moved since they were used; the gradients are right all the same."""
        moved = [(self.graph.nodes[each], self.given.nodes[each]) for each in sorted(self.moved)]
        told = [self.words("moved one", name=was.name, was=was.data, now=now.data) for was, now in moved]
        return [self.words("moved", told=self.words.listed(told))] if told else []


def parameters_of(given: Any, graph: Graph, names: Mapping[str, Any]) -> list[Parameter]:
    """The parameters given, or all leaves that take a gradient and what modules of ``names`` hold.

    A module counts if the loss depends on one of its parameters. Raises TypeError for anything else
    than Values, names of the graph, modules, and containers of these.
    """
    variables = variable_names(names)

    def found(held: Any) -> list[Parameter]:
        each_once: dict[Any, Parameter] = {}
        for path, each in _held("", held):
            if isinstance(each, str) or id(each) in graph._places:
                node = graph[each] if isinstance(each, str) else graph.nodes[graph._places[id(each)]]
                each_once[node.position] = node.name, node
            else:
                name = each.name or variables.get(id(each)) or path or "a parameter"
                each_once[id(each), name] = name, each
        return list(each_once.values())

    if given is not None:
        if not (parameters := found(given)):
            raise ValueError("diagnose: parameters is empty; leave it out to look at all leaves")
        return parameters
    parameters = [(node.name, node) for node in graph if node.rule is None and node.requires_grad]
    for module in {id(each): each for each in names.values() if isinstance(each, Module)}.values():
        own = found(module)
        outside = [pair for pair in own if isinstance(pair[1], Value)]
        if len(outside) < len(own):
            parameters += [(name, each) for name, each in outside if each.requires_grad]
    return parameters


def _held(path: str, held: Any) -> Iterator[tuple[str, Any]]:
    """Each Value or name in a container, and its path there."""
    if isinstance(held, Value | str):
        yield path, held
        return
    inside: Iterable[tuple[Any, Any]]
    if isinstance(held, Module | Mapping):
        inside = (held.named_parameters() if isinstance(held, Module) else held).items()
    elif isinstance(held, list | tuple | np.ndarray):
        inside = [(f"{path}[{index}]" if path else "", each) for index, each in enumerate(held)]
    else:
        raise TypeError(
            "diagnose looks at parameters that are Values, names in the graph or modules, or lists, arrays "
            f"and dicts of these, not {held!r}"
        )
    for name, each in inside:
        yield from _held(str(name), each)
