"""What is compiled: a graph of all outputs, and which of its nodes are the inputs and the parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from microbp.array.loops import unequal
from microbp.compiled import compiled, slopes, tried
from microbp.graph import Graph
from microbp.rules import Rule
from microbp.sweeps import Floats, Integers, elementwise, spread
from microbp.value import Value, as_number, constant, describe

__all__ = [
    "TRAINS", "VARIES", "Captured", "Leaves", "capture", "capture_values", "check_leaves", "flat",
]  # fmt: skip

#: What a value depends on: the sample; a parameter that takes a gradient; anything.
VARIES, TRAINS, COMPUTED = 1, 2, 4


class Captured(NamedTuple):
    """A graph to be compiled; made by :func:`capture`. It holds no Values."""

    #: All that the outputs were computed from, operands first, and behind it the inputs and parameters on
    #: which none depends. Of several outputs it is the graph of their ``microbp.sum`` without that last node.
    graph: Graph
    #: The position of each input, flattened; of each parameter, in the order given; of each output,
    #: flattened: one node may be several.
    inputs: tuple[int, ...]
    params: tuple[int, ...]
    outputs: tuple[int, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    #: The number that each parameter had, and whether it takes a gradient.
    numbers: tuple[float, ...]
    trained: tuple[bool, ...]

    @property
    def flags(self) -> Integers:
        """For each position the sum of VARIES, TRAINS, COMPUTED; of a constant 0."""
        marks = dict.fromkeys(self.inputs, VARIES | COMPUTED)
        marks |= {at: COMPUTED | TRAINS * takes for at, takes in zip(self.params, self.trained, strict=True)}
        return spread(self.graph, marks).astype(np.int64)

    def given(self, sample: Iterable[float], theta: Iterable[float]) -> dict[int, float]:
        """The numbers of the leaves by position, as :func:`microbp.sweeps.forward` takes them."""
        return dict(zip((*self.inputs, *self.params), (*sample, *theta), strict=True))

    def computes(self, other: Captured) -> bool:
        """Whether another one computes the same, from the same numbers by the same operations."""
        mine, theirs = self.graph, other.graph
        same = all(
            getattr(mine, column).tobytes() == getattr(theirs, column).tobytes()
            for column in ("op", "args", "consts", "data")
        )
        return same and mine.rules == theirs.rules and self[1:4] == other[1:4]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The name of each input; x and its index where it has none."""
        return self._names(self.inputs, "x")

    @property
    def param_names(self) -> tuple[str, ...]:
        """The name of each parameter; p and its index where it has none."""
        return self._names(self.params, "p")

    def _names(self, places: Sequence[int], letter: str) -> tuple[str, ...]:
        names, named = self.graph.names, self.graph.named
        return tuple(names[at] if named[at] else f"{letter}{index}" for index, at in enumerate(places))

    @property
    def param_paths(self) -> list[tuple[Any, ...] | str]:
        """Where its module holds each parameter, else the name that it bears; "" for none."""
        graph = self.graph
        return [graph.paths[at] or graph.names[at] * graph.named[at] for at in self.params]


class Leaves(NamedTuple):
    """The Values behind a :class:`Captured`: a program that is bound to them reads their numbers."""

    params: tuple[Value, ...] = ()
    #: The leaves that are neither inputs nor parameters, and the numbers that were compiled for them.
    constants: tuple[Value, ...] = ()
    compiled: tuple[float, ...] = ()


def capture(
    outputs: Any, inputs: Any, params: Any = None, names: Mapping[str, Any] | None = None
) -> Captured:
    """Freeze what ``outputs`` were computed from, as a function of ``inputs`` and ``params``.

    Each of the three is a Value, an array of Values, or a list of them, nested if you like. Without
    ``params``, the parameters are all leaves that take a gradient and are no inputs, in the order of the
    graph. Every other leaf is a constant. ``names`` names values as in :class:`microbp.Graph`.

    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> captured = capture(w * x + 1.0, inputs=[x], params=[w])
    >>> captured.graph.names, captured.inputs, captured.params, captured.outputs
    (['w', 'x', 'v2', 'v3'], (1,), (0,), (3,))

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
    chosen = [] if params is None else flat(params, "params")[0]
    if not results:
        raise ValueError("compile: outputs is empty, so that there is nothing to compute")
    graph = Graph.of_roots([*results, *given, *chosen], names)
    start, stop = len(results), len(results) + len(given)
    at, rest = np.array(graph.roots), graph.op < 0
    if not rest[at[start:]].all() or len({*graph.roots[start:]}) < len(at) - start:
        check_leaves(given, chosen)
    _check_numbers(graph)
    rest[at[start:stop]] = False
    taken = np.flatnonzero(rest & graph.needs) if params is None else at[stop:]
    rest[taken] = False
    constants = np.flatnonzero(rest)
    numbers, fixed = (tuple(graph.data[places].tolist()) for places in (taken, constants))
    bound, others = (tuple(map(graph._values.__getitem__, places.tolist())) for places in (taken, constants))
    leaves = Leaves(bound, others, fixed)
    captured = Captured(
        graph.detached()._changed(roots=graph.roots[:start]), graph.roots[start:stop],
        tuple(taken.tolist()), graph.roots[:start], input_shape, output_shape, numbers,
        tuple(graph.needs[taken].tolist()),
    )  # fmt: skip
    return captured, leaves, graph


def _check_numbers(graph: Graph) -> None:
    """ValueError where the number of a computed value was overwritten: a program would compute another one.

    One that is not what the operands give may be due to leaves that have moved on: not where there are none,
    or where the local derivatives, if they tell the operands' numbers, are those of now.
    """
    numbers, args, first = np.concatenate([graph.data, graph.consts[::-1]]), graph.args, graph.first
    now: Any
    for op, rule in enumerate(graph.rules):
        nodes = np.flatnonzero(graph.op == op)
        if elementwise(rule) and not rule.over:
            with np.errstate(all="ignore"):
                columns = (numbers[args[first[nodes] + place]] for place in range(len(rule.args)))
                now = compiled(rule).value(*columns)
        else:
            operands = (numbers[args[first[at] : first[at + 1]]].tolist() for at in nodes)
            now = np.array([tried(compiled(rule).value, *rule.split(each)) for each in operands])
        differ = (now != graph.data[nodes]) & ~(np.isnan(now) & np.isnan(graph.data[nodes]))
        for at, number in zip(nodes[differ].tolist(), now[differ].tolist(), strict=True):
            row, was = args[first[at] : first[at + 1]], graph.local[first[at] : first[at + 1]]
            if ((row >= 0) & (graph.op[row] < 0)).any():
                told = _told_by_slopes(rule, was).issuperset(compress(rule.args, row >= 0))
                slopes_now = np.array(slopes(rule)(numbers[row].tolist(), number))
                if not (told and (np.isnan(was) | (was == slopes_now)).all()):
                    continue
            raise ValueError(
                f"compile: the data of {describe(graph._values[at])} was overwritten, or that of an "
                f"operand of it: {rule} gives {number!r} there. A program computes from inputs and "
                "parameters; record the graph anew, with a leaf for what you set"
            )


def _told_by_slopes(rule: Rule, local: Floats) -> frozenset[str]:
    """The arguments of which the local derivatives tell the numbers; that in a literal is nan."""
    known = () if rule.over else compress(rule.d, ~np.isnan(local))
    plain = (d for d in known if not any(isinstance(each, ast.IfExp) for each in ast.walk(d.tree)))
    return frozenset().union(*(d.names for d in plain))


def flat(held: Any, what: str, *, numbers: bool = False) -> tuple[list[Value], tuple[int, ...]]:
    """The Values in ``held`` in C order, and its shape; with ``numbers``, a number is a constant."""
    if isinstance(held, Iterable) and not isinstance(held, Value | np.ndarray | list | tuple | str):
        held = list(held.values() if isinstance(held, Mapping) else held)
    if type(held) is list and [*map(type, held)].count(Value) == len(held):
        return held.copy(), (len(held),)
    ragged = f"compile: the rows of {what} are of unequal length"
    try:
        array = np.asarray(held, dtype=object).view(np.ndarray)
    except ValueError:
        raise ValueError(f"{ragged}{unequal(held, what)}") from None
    found: list[Any] = array.ravel().tolist()
    for index, each in enumerate(found if {*map(type, found)} - {Value} else ()):
        if isinstance(each, list | tuple | np.ndarray):
            raise ValueError(f"{ragged}{unequal(held, what)}")
        if not (isinstance(each, Value) or numbers):
            at = f"[{', '.join(map(str, np.unravel_index(index, array.shape)))}]" * bool(array.shape)
            told = type(each).__name__, "; give its parameters()" * hasattr(each, "parameters")
            raise TypeError("compile: {}{} is an object of type {}, not a Value{}".format(what, at, *told))
        if not isinstance(each, Value):
            found[index] = constant(as_number(each, f"compile: {what}"))
    return found, array.shape


def check_leaves(inputs: Sequence[Value], params: Sequence[Value]) -> None:
    """ValueError for an input or a parameter that was computed, or that stands twice."""
    seen: dict[int, str] = {}
    for what, leaves in (("inputs", inputs), ("params", params)):
        for place, each in ((f"{what}[{index}]", each) for index, each in enumerate(leaves)):
            if each._rule is not None:
                raise ValueError(
                    f"compile: {place}, {describe(each)}, was computed ({each.rule}); "
                    "inputs and parameters are leaves, made by Value(...)"
                )
            if (before := seen.setdefault(id(each), place)) != place:
                raise ValueError(f"compile: {place}, {describe(each)}, stands in {before} already")
