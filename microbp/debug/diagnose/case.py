"""``Case``: what the detectors look at, a backward pass over the record, the parameters, and the words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from microbp.check.auditing import Change, changes_in
from microbp.debug.diagnose.finding import Finding, finding
from microbp.debug.diagnose.words import Words
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
    #: The names of the parameters in the graph that take a gradient, and their places.
    asked: list[tuple[str, int]]
    #: The parameters whose gradient is not finite.
    hit: list[str]

    def __init__(
        self, graph: Graph, parameters: list[Parameter], words: Words, huge: float, alive: Iterable[str]
    ) -> None:
        super().__init__(graph)
        upstream = [each or 0.0 for each in self.gradients()]
        size = [sum(abs(got.amount) for got in each) for each in self.received]
        inside = [(name, each) for name, each in parameters if isinstance(each, Node)]
        asked = [(name, each.position) for name, each in inside if each.requires_grad]
        hit = [name for name, position in asked if not math.isfinite(upstream[position])]
        vars(self).update(
            given=graph, parameters=parameters, words=words, huge=huge, alive=frozenset(alive),
            upstream=upstream, size=[*size[:-1], 1.0], asked=asked, hit=hit,
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
        self, kind: str, key: str, about: Node | str, parameters: Iterable[str] = (),
        numbers: Iterable[tuple[str, float]] = (), site: str | None = None, /, **facts: Any,
    ) -> Finding:  # fmt: skip
        """A finding about a node, or about what is called so; a leaf has the line of its use."""
        if isinstance(about, Node) and (got := self.largest(about.position)) is not None:
            site = site or self.graph.nodes[got.user].site
        return finding(self.words, kind, key, about, parameters, numbers, site, **facts)


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
        outside = [(name, each) for name, each in own if isinstance(each, Value)]
        parameters += [pair for pair in outside if pair[1].requires_grad and len(outside) < len(own)]
    return parameters


def _held(path: str, held: Any) -> Iterator[tuple[str, Any]]:
    """Each Value or name in a container, and its path there."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(held, Value | str):
        yield path, held
    elif isinstance(held, Module | Mapping):
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
