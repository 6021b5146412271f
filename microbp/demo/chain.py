"""The chain rule read from a graph: each path from one node down to another, factor by factor."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import NamedTuple

from microbp import Graph, Node

__all__ = ["Factor", "paths", "product"]


class Factor(NamedTuple):
    """∂of/∂by along one path, the product of the local derivatives recorded on the way."""

    of: str
    by: str
    value: float

    def __str__(self) -> str:
        return f"∂{self.of}/∂{self.by}"


def paths(graph: Graph, top: str, bottom: str, stations: Collection[str]) -> list[list[Factor]]:
    """Every path from the node ``top`` down to ``bottom``, cut into factors at the ``stations``.

    >>> from microbp import Value
    >>> x = Value(3.0, name="x")
    >>> u, v = 2.0 * x, x * x
    >>> y = u * v
    >>> for path in paths(Graph(y, names=locals()), "y", "x", ["u", "v"]):
    ...     print(" · ".join(f"({factor} = {factor.value})" for factor in path))
    (∂y/∂u = 9.0) · (∂u/∂x = 2.0)
    (∂y/∂v = 6.0) · (∂v/∂x = 3.0)
    (∂y/∂v = 6.0) · (∂v/∂x = 3.0)

    x·x is two paths. There can be very many: this is for graphs of a size that a person reads.
    """
    found: list[list[Factor]] = []
    pending: list[tuple[Node, list[Factor], str, float]] = [(graph[top], [], top, 1.0)]
    while pending:
        node, done, since, value = pending.pop()
        if node.name == bottom:
            found.append([*done, Factor(since, bottom, value)])
            continue
        if node.name in stations:
            done, since, value = [*done, Factor(since, node.name, value)], node.name, 1.0
        operands = zip(node.operands, node.local_derivatives, strict=True)
        for operand, local in reversed(list(operands)):
            if isinstance(operand, int) and local is not None:
                pending.append((graph[operand], done, since, value * local))
    return found


def product(path: list[Factor]) -> float:
    """The product of the factors of one path.

    >>> product([Factor("y", "u", 9.0), Factor("u", "x", 2.0)])
    18.0
    """
    return prod(factor.value for factor in path)
