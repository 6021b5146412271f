"""``question``: which gradient is asked for, ∂loss/∂value, and where the value stands in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from microbp.errors import NoGradientError
from microbp.graph import Graph, Node
from microbp.labels import variable_names
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
    called = {name: key for key, name in variable_names(scope).items()}
    try:
        node = graph[value]
    except KeyError:
        place = id(value) if isinstance(value, Value) else called.get(value)
        if place is None or (isinstance(value, str) and not graph._places):  # a graph from elsewhere
            raise
        if place not in graph._places:
            named = [name for name, key in called.items() if key == place]
            given = value if isinstance(value, str) else value.name
            return Question(graph, None, given or next(iter(named), "this value"))
        node = graph.nodes[graph._places[place]]  # a variable of a Value that has another name
    return Question(graph, node, node.name)
