"""What is compiled: a graph of all outputs, and which of its nodes are the inputs and the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.graph import Graph
from microbp.value import Value, as_number, constant, describe

__all__ = [
    "Captured", "Leaves", "capture", "capture_values", "check_leaves", "flat",
]  # fmt: skip


class Captured(NamedTuple):
    """A graph to be compiled; made by :func:`capture`. It holds no Values."""

    #: All that the outputs were computed from, operands first. Of several outputs it is the graph of their
    #: ``microbp.sum`` without that last node: a backward pass from all outputs at once, each seeded with 1
    #: for each time it stands there, goes through the nodes from the last to the first.
    graph: Graph
    #: For each input, flattened, its position; None: no output depends on it.
    inputs: tuple[int | None, ...]
    #: For each parameter, in the order given, its position; None as above.
    params: tuple[int | None, ...]
    #: For each output, flattened, its position; one node may be several outputs.
    outputs: tuple[int, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    #: The name of each input and of each parameter, in the same order.
    input_names: tuple[str, ...]
    param_names: tuple[str, ...]
    #: The number that each parameter had, and whether it takes a gradient.
    numbers: tuple[float, ...]
    trained: tuple[bool, ...]


class Leaves(NamedTuple):
    """The Values behind a :class:`Captured`: a program that is bound to them reads their numbers."""

    params: tuple[Value, ...]
    #: The leaves that are neither inputs nor parameters, and the numbers that were compiled for them.
    constants: tuple[Value, ...]
    compiled: tuple[float, ...]


def capture(
    outputs: Any, inputs: Any, params: Any = None, names: Mapping[str, Any] | None = None
) -> Captured:
    """Freeze what ``outputs`` were computed from, as a function of ``inputs`` and ``params``.

    Each of the three is a Value, an array of Values, or a list of them, nested if you like. Without
    ``params``, the parameters are all leaves that take a gradient and are no inputs, in the order of the
    graph. Every other leaf is a constant. ``names`` names values as in :class:`microbp.Graph`.

    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> captured = capture(w * x + 1.0, inputs=[x], params=[w])
    >>> print(captured.graph)
    w = 2.0
    x = 3.0
    v2 = mul(w, x) = 6.0
    v3 = add(v2, 1.0) = 7.0
    >>> captured.inputs, captured.params, captured.outputs
    ((1,), (0,), (3,))

    Raises TypeError for what is no Value, ValueError where there is no output, and for an input or
    parameter that was computed or stands twice.
    """
    return capture_values(outputs, inputs, params, names)[0]


def capture_values(
    outputs: Any, inputs: Any, params: Any = None, names: Mapping[str, Any] | None = None
) -> tuple[Captured, Leaves, list[Value]]:
    """The same; the Values of its leaves; and those of all its nodes, in their order."""
    results, output_shape = flat(outputs, "outputs", numbers=True)
    given, input_shape = flat(inputs, "inputs")
    if not results:
        raise ValueError("compile: outputs is empty, so that there is nothing to compute")
    graph = Graph.of_roots(results, names)
    values = list(graph._values)
    leaves = [each for each in values if each.is_leaf]
    taken = {id(each) for each in given}
    if params is None:
        chosen = [each for each in leaves if each.requires_grad and id(each) not in taken]
    else:
        chosen, _ = flat(params, "params")
    check_leaves(given, chosen)
    taken |= {id(each) for each in chosen}
    constants = tuple(each for each in leaves if id(each) not in taken)
    places = graph._places
    captured = Captured(
        Graph._restored(graph._record()),
        tuple(places.get(id(each)) for each in given),
        tuple(places.get(id(each)) for each in chosen),
        tuple(places[id(each)] for each in results),
        input_shape,
        output_shape,
        _names(graph, given, "x"),
        _names(graph, chosen, "p"),
        tuple(each.data for each in chosen),
        tuple(each.requires_grad for each in chosen),
    )
    return captured, Leaves(tuple(chosen), constants, tuple(each.data for each in constants)), values


def flat(held: Any, what: str, *, numbers: bool = False) -> tuple[list[Value], tuple[int, ...]]:
    """The Values in ``held`` in C order, and its shape; with ``numbers``, a number is a constant.

    >>> flat([[Value(1.0), Value(2.0)]], "inputs")[1]
    (1, 2)
    """
    if isinstance(held, Iterable) and not isinstance(held, Value | np.ndarray | list | tuple | str):
        held = list(held.values() if isinstance(held, Mapping) else held)
    try:
        array = np.asarray(held, dtype=object).view(np.ndarray)
    except ValueError:
        raise ValueError(f"compile: the rows of {what} are of unequal length") from None
    found: list[Value] = []
    for place, each in np.ndenumerate(array):
        if isinstance(each, Value):
            found.append(each)
        elif isinstance(each, list | tuple | np.ndarray):
            raise ValueError(f"compile: the rows of {what} are of unequal length")
        elif numbers:
            found.append(constant(as_number(each, f"compile: {what}")))
        else:
            at = f"[{', '.join(map(str, place))}]" if place else ""
            kind = type(each).__name__
            raise TypeError(f"compile: {what}{at} is an object of type {kind}, not a Value")
    return found, array.shape


def check_leaves(inputs: Sequence[Value], params: Sequence[Value]) -> None:
    """ValueError for an input or a parameter that was computed, or that stands twice."""
    seen: dict[int, str] = {}
    for what, values in (("inputs", inputs), ("params", params)):
        for index, each in enumerate(values):
            if not each.is_leaf:
                raise ValueError(
                    f"compile: {what}[{index}], {describe(each)}, was computed ({each.rule}); inputs and "
                    "parameters are leaves, made by Value(...)"
                )
        twice = len({*map(id, values)}) < len(values) or not seen.keys().isdisjoint(map(id, values))
        for index, each in enumerate(values if twice else ()):
            if id(each) in seen:
                first = seen[id(each)]
                raise ValueError(f"compile: {what}[{index}], {describe(each)}, stands in {first} already")
            seen[id(each)] = f"{what}[{index}]"
        seen.update((id(each), f"{what}[{index}]") for index, each in enumerate(values) if what == "inputs")


def _names(graph: Graph, values: Sequence[Value], letter: str) -> tuple[str, ...]:
    """The name of each in the graph, its own where it is not in the graph, else a letter and its index."""
    places, names, named = graph._places, graph.names, graph.named
    found = []
    for index, each in enumerate(values):
        place = places.get(id(each))
        known = place is not None and named[place]
        found.append(names[place] if known and place is not None else each.name or f"{letter}{index}")
    return tuple(found)
