"""The parameters that a diagnosis looks at: which they are, and where they stand in the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from microbp.graph import Graph
from microbp.labels import variable_names
from microbp.nn import Module
from microbp.value import Value

__all__ = ["Subject", "subjects_of"]


class Subject(NamedTuple):
    """A parameter."""

    name: str
    #: Its place in the graph; None where the loss does not depend on it.
    position: int | None
    #: Its number.
    data: float
    #: Its ``grad``.
    grad: float | None
    requires_grad: bool


def subjects_of(parameters: Any, graph: Graph, names: Mapping[str, Any]) -> list[Subject]:
    """The parameters given, or all leaves that take a gradient and what modules of ``names`` hold.

    A module counts if the loss depends on one of its parameters. Raises TypeError for anything else
    than Values, names of the graph, modules, and containers of these.
    """
    if parameters is not None:
        found = _subjects(parameters, graph, names)
        if not found:
            raise ValueError("diagnose: parameters is empty; leave it out to look at all leaves")
        return found
    found = [_at(graph, node.position) for node in graph if node.rule is None and node.requires_grad]
    seen: set[int] = set()
    for held in names.values():
        if isinstance(held, Module) and id(held) not in seen:
            seen.add(id(held))
            own = _subjects(held, graph, names)
            if any(each.position is not None for each in own):
                found += [each for each in own if each.position is None and each.requires_grad]
    return found


def _at(graph: Graph, position: int) -> Subject:
    node = graph.nodes[position]
    return Subject(node.name, position, node.data, node.grad, node.requires_grad)


def _subjects(parameters: Any, graph: Graph, names: Mapping[str, Any]) -> list[Subject]:
    variables = variable_names(names)
    found: dict[int, Subject] = {}
    for count, (path, value) in enumerate(_held("", parameters)):
        if isinstance(value, str):
            subject = _at(graph, graph[value].position)
            found[-1 - count] = subject
            continue
        position = graph._places.get(id(value))
        if position is not None:
            found[id(value)] = _at(graph, position)
        else:
            name = value.name or path or variables.get(id(value)) or f"parameter {count}"
            found[id(value)] = Subject(name, None, value.data, value.grad, value.requires_grad)
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
