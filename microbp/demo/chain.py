"""The chain rule as the tutorials write it: the paths that ``microbp.paths`` finds, factor by factor."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import NamedTuple

import microbp
from microbp import Graph

__all__ = ["Factor", "chains", "product"]

#: There can be very many paths: this is for graphs of a size that a person reads.
MOST = 10_000


class Factor(NamedTuple):
    """∂of/∂by along one path, the product of the local derivatives recorded on the way."""

    of: str
    by: str
    value: float

    def __str__(self) -> str:
        return f"∂{self.of}/∂{self.by}"


def chains(graph: Graph, name: str, stations: Collection[str] = ()) -> list[list[Factor]]:
    """Every path from the root down to the value called ``name``, cut into factors at the ``stations``.

    >>> from microbp import Value
    >>> x = Value(3.0, name="x")
    >>> u, v = 2.0 * x, x * x
    >>> y = u * v
    >>> for path in chains(Graph(y, names=locals()), "x", ["u", "v"]):
    ...     print(" · ".join(f"({factor} = {factor.value})" for factor in path))
    (∂y/∂u = 9.0) · (∂u/∂x = 2.0)
    (∂y/∂v = 6.0) · (∂v/∂x = 3.0)
    (∂y/∂v = 6.0) · (∂v/∂x = 3.0)

    They come in the order of the operands; x·x is two paths.
    """
    found = microbp.paths(graph, name, k=MOST)
    assert found.count <= MOST
    chains = []
    for row in sorted(found.rows, key=lambda row: row.places):
        chain, since, value = [], graph.root.name, 1.0
        for user, place, operand in zip(row.nodes, row.places, row.nodes[1:], strict=False):
            local, below = graph[user].local_derivatives[place], graph[operand].name
            assert local is not None
            value *= local
            if below in stations or below == name:
                chain.append(Factor(since, below, value))
                since, value = below, 1.0
        chains.append(chain)
    return chains


def product(path: list[Factor]) -> float:
    """The product of the factors of one path.

    >>> product([Factor("y", "u", 9.0), Factor("u", "x", 2.0)])
    18.0
    """
    return prod(factor.value for factor in path)
