"""``Graph``: a frozen, ordered, picklable record of what one Value was computed from.

The pivot of the package: whatever reads a graph (checks, explanations, drawings, replay) reads this
record, and none of them walks Values by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from microbp.backward import backward_order
from microbp.groups import GroupPath, group_paths
from microbp.rules import Rule
from microbp.value import Value

__all__ = ["Graph", "Node", "variable_names"]


class Node(NamedTuple):
    """One value of a graph, as it was when the graph was frozen."""

    position: int
    #: The user's name, else that of a variable, else ``v`` and the index; unique in its graph.
    name: str
    #: None for a leaf.
    rule: Rule | None
    #: Positions of earlier nodes, and floats for literals, in the order of the rule's arguments.
    operands: tuple[int | float, ...]
    data: float
    #: The gradient accumulated so far; None if there is none.
    grad: float | None
    #: ∂node/∂operand as recorded, one per operand; None for a literal.
    local_derivatives: tuple[float | None, ...]
    requires_grad: bool
    #: ``file:line`` of the user's code, if it was recorded.
    site: str | None
    #: Whether the name was given, by the user or by a variable, rather than made up.
    named: bool
    #: The groups it was recorded in, the outermost first: the name of each, and the number of the call.
    group: GroupPath = ()


class Graph:
    """The record of ``root`` and all that it was computed from, operands first, root last.

    ``names`` maps variable names to what they hold (Values, arrays, lists, dicts of them), such as
    ``locals()``: it names values for which the user gave no name.

    >>> w, x = Value(0.5, name="w"), Value(3.0, name="x")
    >>> net = w * x + 1.0
    >>> print(Graph(net, names=locals()))
    w = 0.5
    x = 3.0
    v2 = mul(w, x) = 1.5
    net = add(v2, 1.0) = 2.5

    It does not change when the Values do, compares equal to a graph of the same record, and a pickle
    of it has no Values in it.
    """

    __slots__ = ("_places", "_values", "nodes")

    #: All nodes, each after its operands.
    nodes: tuple[Node, ...]

    def __init__(self, root: Value, names: Mapping[str, Any] | None = None) -> None:
        order = backward_order(root)[::-1]
        places = {id(value): index for index, value in enumerate(order)}
        variables = variable_names(names or {})
        taken: set[str] = set()
        given = [value.name or variables.get(id(value)) for value in order]
        held = [value._group for value in order]
        groups = group_paths(held, names or {})
        find = places.get
        columns = (  # as Node has its fields: a million nodes take two thirds of the time of one by one
            range(len(order)),
            [_unique(name or f"v{index}", taken) for index, name in enumerate(given)],
            [value.rule for value in order],
            [tuple([find(id(each), each) for each in value.operands]) for value in order],  # a literal stays
            [value.data for value in order],
            [value.grad for value in order],
            [value.local_derivatives for value in order],
            [value.requires_grad for value in order],
            [value.site for value in order],
            [name is not None for name in given],
            [groups[each] for each in held],
        )
        self.nodes = tuple(map(Node._make, zip(*columns, strict=True)))
        self._places = places
        self._values = tuple(order)  # which also keeps the addresses in _places valid

    @staticmethod
    def of(nodes: tuple[Node, ...]) -> Graph:
        """The graph of nodes that were recorded before, such as those of a file; it knows no Values.

        >>> x = Value(2.0, name="x")
        >>> graph = Graph(x * x)
        >>> Graph.of(graph.nodes) == graph
        True
        """
        graph = object.__new__(Graph)
        graph.nodes, graph._places, graph._values = nodes, {}, ()
        return graph

    @property
    def root(self) -> Node:
        """The node of the value that the graph computes."""
        return self.nodes[-1]

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, which: int | str | Value) -> Node:
        """The node of an index, a name or a Value. KeyError says which there are.

        >>> x = Value(2.0, name="x")
        >>> Graph(x * x)["x"].data
        2.0
        """
        if isinstance(which, int):
            return self.nodes[which]
        if isinstance(which, Value):
            place = self._places.get(id(which))
            if place is not None:
                return self.nodes[place]
            raise KeyError(f"{which!r} is not in this graph: {self.root.name} does not depend on it")
        for node in self.nodes:
            if node.name == which:
                return node
        named = ", ".join(node.name for node in self.nodes if node.named) or "none that was given"
        raise KeyError(f"no value named {which!r} in this graph; its names are {named}")

    def uses(self) -> list[list[tuple[int, int]]]:
        """For each node, where it is used: (position of the user, place among its operands), in order."""
        uses: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for place, operand in enumerate(node.operands):
                if type(operand) is int:
                    uses[operand].append((node.position, place))
        return uses

    def equation(self, node: Node) -> str:
        """One node as text: ``net = dot(w0, w1, x0, x1, b) = 0.755``."""
        if node.rule is None:
            return f"{node.name} = {node.data!r}"
        operands = ", ".join(
            self.nodes[each].name if type(each) is int else repr(each) for each in node.operands
        )
        return f"{node.name} = {node.rule.name}({operands}) = {node.data!r}"

    def __str__(self) -> str:
        return "\n".join(self.equation(node) for node in self.nodes)

    def __repr__(self) -> str:
        return f"Graph({len(self)} values, root {self.root.name} = {self.root.data!r})"

    def __eq__(self, other: object) -> bool:
        return self.nodes == other.nodes if isinstance(other, Graph) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.nodes)

    def __reduce__(self) -> tuple[Any, ...]:
        return Graph.of, (self.nodes,)


def _unique(name: str, taken: set[str]) -> str:
    """``name``, or with a count behind it where it is taken; two values may bear one name."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}#{count}"
    taken.add(candidate)
    return candidate


def variable_names(names: Mapping[str, Any]) -> dict[int, str]:
    """The ``id`` of each Value that a variable holds, by itself or in a container, and its name.

    >>> w, x = [Value(1.0), Value(2.0)], Value(3.0)
    >>> sorted(variable_names({"w": w, "x": x, "_": Value(4.0)}).values())
    ['w[0]', 'w[1]', 'x']
    """
    found: dict[int, str] = {}
    for name, held in names.items():
        if not name.startswith("_"):
            _collect(name, held, found)
    return found


def _collect(name: str, held: Any, found: dict[int, str]) -> None:
    if isinstance(held, Value):
        found.setdefault(id(held), name)
    elif isinstance(held, list | tuple):
        for index, each in enumerate(held):
            if isinstance(each, Value | list | tuple | np.ndarray):
                _collect(f"{name}[{index}]", each, found)
    elif isinstance(held, dict):
        for key, each in held.items():
            if isinstance(each, Value | np.ndarray):
                _collect(f"{name}[{key!r}]", each, found)
    elif isinstance(held, np.ndarray) and held.dtype == object:
        for place in np.ndindex(held.shape):
            if isinstance(held[place], Value):
                _collect(f"{name}[{','.join(map(str, place))}]", held[place], found)
