"""``question``: which gradient is asked for, ∂loss/∂value, and where the value stands in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from microbp.errors import NoGradientError
from microbp.graph import Graph, Node
from microbp.labels import Variables
from microbp.sites import user_scope
from microbp.value import Value

__all__ = ["Question", "question"]


class Question(NamedTuple):
    """A gradient that is asked for."""

    graph: Graph
    #: The node by which the derivative is taken; None where the loss does not depend on it.
    node: Node | None
    #: What that value is called.
    name: str


def question(
    loss: Value | Graph, value: Value | str, names: Mapping[str, Any] | None, asker: str
) -> Question:
    """The graph of ``loss`` and the node of ``value``, which is a Value or a name.

    ``names`` maps names to Values; the variables of the caller's code unless it is given.

    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> question(w * w, "w", {}, "explain()").node.data
    2.0
    >>> question(w * w, x, {}, "explain()").node is None
    True

    Raises TypeError where ``loss`` is no Value or Graph or ``value`` no Value or name, NoGradientError
    where the loss is a constant, and KeyError for a name that neither graph nor ``names`` know.
    """
    if not isinstance(loss, Value | Graph):
        raise TypeError(f"{asker} takes the Value or Graph whose gradient is asked for, not {loss!r}")
    if not isinstance(value, Value | str):
        raise TypeError(f"{asker} takes the Value, or its name, that the gradient is by, not {value!r}")
    scope = user_scope() if names is None else names
    graph = loss if isinstance(loss, Graph) else Graph(loss, scope)
    root = graph.root
    if not root.requires_grad:
        raise NoGradientError(f"{root.name} = {root.data!r} is a constant: it has no gradient by anything")
    try:
        node = graph[value]
    except KeyError:
        called = Variables(scope).values
        key = id(value) if isinstance(value, Value) else called.get(value)
        if key is None or (isinstance(value, str) and not graph._places):  # a graph from elsewhere
            raise
        if key not in graph._places:
            given = value if isinstance(value, str) else value.name
            bears = [given, *(name for name, held in called.items() if held == key), "this value"]
            return Question(graph, None, next(name for name in bears if name))
        node = graph.nodes[graph._places[key]]  # a variable of a Value that has another name
    return Question(graph, node, node.name)
