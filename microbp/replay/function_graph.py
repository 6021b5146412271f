"""What is compiled: a graph of all outputs, and which of its nodes are the inputs and the parameters."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.compiled import compiled
from microbp.graph import Graph
from microbp.native import slopes
from microbp.rules import RULES, Rule
from microbp.sweeps import Integers, spread
from microbp.value import Value, as_number, constant, describe

__all__ = [
    "TRAINS", "VARIES", "Captured", "Leaves", "capture", "capture_values", "check_leaves", "flat",
]  # fmt: skip

#: What a value depends on: the sample; a parameter that takes a gradient; anything.
VARIES, TRAINS, COMPUTED = 1, 2, 4


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
    #: The number that each parameter had, and whether it takes a gradient.
    numbers: tuple[float, ...]
    trained: tuple[bool, ...]
    #: The names of leaves outside of the graph, by ``x0``, ``x1``, … of inputs and ``p0``, … of parameters.
    absent: dict[str, str]

    @property
    def flags(self) -> Integers:
        """For each position the sum of VARIES, TRAINS, COMPUTED; of a constant 0.

        >>> w, x = Value(2.0), Value(3.0)
        >>> capture(w * x + 1.0, inputs=[x], params=[w]).flags.tolist()
        [6, 5, 7, 7]
        """
        marks = {place: VARIES | COMPUTED for place in self.inputs if place is not None}
        for place, trained in zip(self.params, self.trained, strict=True):
            if place is not None:
                marks[place] = COMPUTED | (TRAINS if trained else 0)
        return spread(self.graph, marks).astype(np.int64)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The name of each input: in the graph; its own where it is not in it; else x and its index."""
        return self._names(self.inputs, "x")

    @property
    def param_names(self) -> tuple[str, ...]:
        """The name of each parameter, in the same way."""
        return self._names(self.params, "p")

    @property
    def param_paths(self) -> list[tuple[Any, ...] | str]:
        """Where its module holds each parameter, else the name that it bears; "" for none."""
        graph = self.graph
        return [
            self.absent.get(f"p{index}", "") if at is None
            else graph.paths[at] or graph.names[at] * graph.named[at]
            for index, at in enumerate(self.params)
        ]  # fmt: skip

    def _names(self, places: tuple[int | None, ...], letter: str) -> tuple[str, ...]:
        names, named = self.graph.names, self.graph.named
        made_up = [f"{letter}{index}" for index in range(len(places))]
        return tuple(
            self.absent.get(other, other) if at is None else names[at] if named[at] else other
            for at, other in zip(places, made_up, strict=True)
        )


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
) -> tuple[Captured, Leaves, Graph]:
    """The same; the Values of its leaves; and the graph that still knows all its Values."""
    results, output_shape = flat(outputs, "outputs", numbers=True)
    given, input_shape = flat(inputs, "inputs")
    if not results:
        raise ValueError("compile: outputs is empty, so that there is nothing to compute")
    graph = Graph.of_roots(results, names)
    _check_numbers(graph)
    at = np.flatnonzero(graph.op < 0).tolist()
    leaves = [graph._values[place] for place in at]
    places = dict(zip(map(id, leaves), at, strict=True))
    inside = [places.get(id(each)) for each in given]
    taken_as_inputs = {*map(id, given)}
    rest = [each for each in leaves if id(each) not in taken_as_inputs]
    needs = graph.needs.tolist()
    if params is None:
        chosen = [each for each in rest if needs[places[id(each)]]]
    else:
        chosen = flat(params, "params")[0]
    check_leaves(given, chosen)
    taken = [places.get(id(each)) for each in chosen]
    taken_as_params = {*map(id, chosen)}
    constants = tuple([each for each in rest if id(each) not in taken_as_params])
    absent = {
        f"{letter}{index}": each.name
        for letter, values, found in (("x", given, inside), ("p", chosen, taken))
        if None in found
        for index, (each, at) in enumerate(zip(values, found, strict=True))
        if at is None and each.name
    }
    captured = Captured(
        graph.detached(named=False),
        tuple(inside),
        tuple(taken),
        graph.roots,
        input_shape,
        output_shape,
        tuple([each._data for each in chosen]),
        tuple([
            each.requires_grad if at is None else needs[at] for each, at in zip(chosen, taken, strict=True)
        ]),
        absent,
    )
    return captured, Leaves(tuple(chosen), constants, tuple([each._data for each in constants])), graph


#: Rows of one NumPy operation, with the same bits.
_UFUNCS: dict[Rule, Any] = {
    RULES["add"]: np.add, RULES["sub"]: np.subtract, RULES["mul"]: np.multiply, RULES["neg"]: np.negative,
}  # fmt: skip


def _check_numbers(graph: Graph) -> None:
    """ValueError where the number of a computed value was overwritten: a program would compute another one.

    A number that is not what the operands give may be due to leaves that have moved on. It is not where no
    operand is a leaf, or where the local derivatives, if they tell the operands' numbers, are those of now.
    """
    numbers = np.concatenate([graph.data, graph.consts[::-1]])
    held, args, first = numbers.tolist(), graph.args, graph.first
    with np.errstate(all="ignore"):
        for op, rule in enumerate(graph.rules):
            nodes = np.flatnonzero(graph.op == op)
            if rule in _UFUNCS:
                columns = (numbers[args[first[nodes] + place]] for place in range(len(rule.args)))
                now = _UFUNCS[rule](*columns)
            else:
                rows = (args[first[at] : first[at + 1]].tolist() for at in nodes.tolist())
                now = np.array([_now(rule, held, row) for row in rows])
            differ = (now != graph.data[nodes]) & ~(np.isnan(now) & np.isnan(graph.data[nodes]))
            for at, number in zip(nodes[differ].tolist(), now[differ].tolist(), strict=True):
                if _overwritten(graph, rule, at, held, number):
                    raise ValueError(
                        f"compile: the data of {describe(graph._values[at])} was overwritten, or that of an "
                        f"operand of it: {rule} gives {number!r} there. A program computes from inputs and "
                        "parameters; record the graph anew, with a leaf for what you set"
                    )


def _now(rule: Rule, held: list[float], row: list[int]) -> float:
    try:
        number: float = compiled(rule).value(*rule.split([held[each] for each in row]))
    except (ArithmeticError, ValueError):
        return math.nan
    return number


def _overwritten(graph: Graph, rule: Rule, at: int, held: list[float], number: float) -> bool:
    here = slice(graph.first[at], graph.first[at + 1])
    row = graph.args[here].tolist()
    if not any(each >= 0 and graph.op[each] < 0 for each in row):
        return True
    plain = [d for d in rule.d if not any(isinstance(each, ast.IfExp) for each in ast.walk(d.tree))]
    if rule.over or not frozenset().union(*(d.names for d in plain)).issuperset(rule.args):
        return False
    now = slopes(rule)([held[each] for each in row], number)
    return all(math.isnan(was) or was == each for was, each in zip(graph.local[here], now, strict=True))


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
    found: list[Any] = array.ravel().tolist()
    if {*map(type, found)} <= {Value}:
        return found, array.shape
    for index, each in enumerate(found):
        if isinstance(each, Value):
            continue
        if isinstance(each, list | tuple | np.ndarray):
            raise ValueError(f"compile: the rows of {what} are of unequal length")
        if not numbers:
            place = ", ".join(map(str, np.unravel_index(index, array.shape)))
            at, kind = f"[{place}]" if place else "", type(each).__name__
            raise TypeError(f"compile: {what}{at} is an object of type {kind}, not a Value")
        found[index] = constant(as_number(each, f"compile: {what}"))
    return found, array.shape


def check_leaves(inputs: Sequence[Value], params: Sequence[Value]) -> None:
    """ValueError for an input or a parameter that was computed, or that stands twice."""
    both = {"inputs": inputs, "params": params}
    for what, values in both.items():
        for index in [index for index, each in enumerate(values) if each._rule is not None]:
            raise ValueError(
                f"compile: {what}[{index}], {describe(values[index])}, was computed ({values[index].rule}); "
                "inputs and parameters are leaves, made by Value(...)"
            )
    if len({*map(id, inputs), *map(id, params)}) == len(inputs) + len(params):
        return
    seen: dict[int, str] = {}
    for what, values in both.items():
        for index, each in enumerate(values):
            here = f"{what}[{index}]"
            if id(each) in seen:
                raise ValueError(f"compile: {here}, {describe(each)}, stands in {seen[id(each)]} already")
            seen[id(each)] = here
