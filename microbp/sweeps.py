"""The walks over a recorded graph: its order, what depends on what, forward, backward. There are no others.

They read the columns of a :class:`microbp.Graph` and write nothing. An argument is the position of a node,
or, below 0, counts constants from the end: in ``[*data, *reversed(consts)]`` one index finds either.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microbp.compiled import compiled, compiled_complex, compiled_ieee
from microbp.errors import UndefinedOperation
from microbp.rules import Rule

__all__ = [
    "Columns", "Floats", "Integers", "backward", "dependents", "elementwise", "forward", "rows", "spread",
    "tangent",
]  # fmt: skip

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Columns:
    """A graph as arrays: N nodes, each after its operands, with M arguments in all, K of them constants.

    Of each node ``op`` is the place of its row among ``rules``, -1 for a leaf; ``data`` its number as
    recorded; ``grad`` the gradient accumulated so far, nan where there is none, as ``known`` says; ``needs``
    whether it takes one. The arguments of node i are ``args[first[i]:first[i + 1]]``, each the position of a
    node, or below 0 the constant ``consts[-1 - arg]``; ``local`` is ∂node/∂argument, nan at a constant.
    """

    #: The distinct rows of the table, in the order in which the nodes use them first.
    rules: tuple[Rule, ...]
    op: Integers
    first: Integers
    args: Integers
    consts: Floats
    data: Floats
    local: Floats
    grad: Floats
    known: Flags
    needs: Flags
    #: The positions of the values whose graph it is.
    roots: tuple[int, ...]


def rows(columns: Columns) -> list[list[int]]:
    """The arguments of each node.

    >>> from microbp import Graph, Value
    >>> x = Value(3.0)
    >>> rows(Graph(x * x + 1.0))
    [[], [0, 0], [1, -1]]
    """
    args = columns.args.tolist()
    return [args[start:stop] for start, stop in pairwise(columns.first.tolist())]


# ------------------------------------------------------------------------------ what depends on what
def spread(columns: Columns, marks: Mapping[int, int]) -> NDArray[np.uint8]:
    """For each node the bits of its mark and of the marks of all that it was computed from.

    >>> from microbp import Graph, Value
    >>> x, y = Value(3.0), Value(4.0)
    >>> spread(Graph(x * x + y), {0: 1, 2: 2}).tolist()
    [1, 1, 2, 3]
    """
    found = bytearray(len(columns.op) + len(columns.consts))
    for node, bits in marks.items():
        found[node] = bits
    for node, row in enumerate(rows(columns)):
        bits = found[node]
        for arg in row:
            bits |= found[arg]
        found[node] = bits
    return np.frombuffer(found, dtype=np.uint8, count=len(columns.op))


def dependents(columns: Columns, starts: Iterable[int]) -> Flags:
    """For each node whether it is one of ``starts`` or was computed from one."""
    return spread(columns, dict.fromkeys(starts, 1)) > 0


# ----------------------------------------------------------------------------------------- forward
def forward(columns: Columns, given: Mapping[int, Any], *, ieee: bool = False) -> NDArray[Any]:
    """The number of each node where the nodes of ``given`` have other numbers; the others are computed anew.

    A number is a float, a complex number, or an array with one for each sample. Returns [N], or
    [N, samples]; complex if a given number is. Floats have the bits that recording would give them.

    >>> from microbp import Graph, Value
    >>> x = Value(3.0)
    >>> graph = Graph(x * x + 1.0)
    >>> forward(graph, {0: 2.0}), forward(graph, {0: np.array([0.0, 1.0])})[-1]
    (array([2., 4., 5.]), array([1., 2.]))
    >>> float(forward(graph, {0: 3.0 + 1e-50j})[-1].imag / 1e-50)
    6.0

    Raises UndefinedOperation, which names the operation and its numbers, where there is no result; with
    ``ieee`` it is that of IEEE 754, of one sample in floats.
    """
    kind = complex if any(map(np.iscomplexobj, given.values())) else float
    batch = np.broadcast_shapes(*map(np.shape, given.values()))
    numbers: list[Any] = [*columns.data.tolist(), *columns.consts[::-1].tolist()]
    moved = bytearray(len(numbers))
    for node, number in given.items():
        numbers[node] = np.array(number, dtype=kind) if np.ndim(number) else kind(number)
        moved[node] = True
    for node, (op, row) in enumerate(zip(columns.op.tolist(), rows(columns), strict=True)):
        if op >= 0 and node not in given:
            rule, operands = columns.rules[op], [numbers[arg] for arg in row]
            moved[node] = any(map(moved.__getitem__, row))
            try:
                numbers[node] = _computed(rule, operands, kind if moved[node] else float, batch)
            except (ArithmeticError, ValueError) as error:
                if ieee:
                    numbers[node] = compiled_ieee(rule).value(*rule.split(operands))
                    continue
                at = ", ".join(map(repr, operands[:6])) + ", …" * (len(operands) > 6)
                told = f"node {node}, {rule}, has no value where its operands are {at}: {error}. {rule.doc}"
                raise UndefinedOperation(told, rule.name, tuple(operands), "?") from None
    return _together(numbers[: len(columns.op)], batch, kind)


def tangent(columns: Columns, seeds: Mapping[int, float]) -> Floats:
    """How fast each node moves where those of ``seeds`` move so fast, by the recorded local derivatives.

    >>> from microbp import Graph, Value
    >>> x = Value(3.0)
    >>> tangent(Graph(x * x + 1.0), {0: 2.0})
    array([ 2., 12., 12.])
    """
    moving = [0.0] * (len(columns.op) + len(columns.consts))
    for node, speed in seeds.items():
        moving[node] = speed
    edges = zip(columns.args.tolist(), columns.local.tolist(), strict=True)
    for node, row in enumerate(rows(columns)):
        moving[node] += sum(moving[arg] * local for arg, local in islice(edges, len(row)) if moving[arg])
    return np.array(moving[: len(columns.op)])


def _computed(rule: Rule, operands: list[Any], kind: type, batch: tuple[int, ...]) -> Any:
    """A row's value in floats or complex numbers, of numbers or of arrays of that shape."""
    value = compiled(rule).value if kind is float else compiled_complex(rule)
    if not batch or not any(type(each) is np.ndarray for each in operands):
        return value(*rule.split(operands))
    if elementwise(rule):
        with np.errstate(all="ignore"):  # what Python's floats do in silence
            return value(*rule.split(operands))
    samples = zip(*(np.broadcast_to(each, batch).ravel().tolist() for each in operands), strict=True)
    return np.array([value(*rule.split(each)) for each in samples], dtype=kind).reshape(batch)


@cache
def elementwise(rule: Rule) -> bool:
    """Whether its value is made of sums and products alone, which NumPy rounds as Python does."""
    return not any(
        isinstance(each, ast.Div | ast.IfExp)
        or (isinstance(each, ast.Call) and ast.unparse(each.func) != "total")
        for each in ast.walk(rule.y.tree)
    )


# ---------------------------------------------------------------------------------------- backward
def backward(columns: Columns, seeds: Mapping[int, Any], local: NDArray[Any] | None = None) -> NDArray[Any]:
    """The gradient at each node, with the engine's order and roundings, where those of ``seeds`` start so.

    A seed is a number, or an array of k for as many passes at once; ``local`` [M] or [M, k] stands in for
    the recorded local derivatives. Returns [N] or [N, k]; 0 where nothing arrives.

    >>> from microbp import Graph, Value
    >>> x = Value(3.0)
    >>> graph = Graph(x * x + 1.0)
    >>> backward(graph, {2: 1.0}), backward(graph, {1: np.array([1.0, 2.0])})[0]
    (array([6., 1., 1.]), array([ 6., 12.]))
    """
    used = columns.local if local is None else local
    shape = np.broadcast_shapes(used.shape[1:], *map(np.shape, seeds.values()))
    gradient: list[Any] = [0.0] * (len(columns.op) + len(columns.consts))
    arrived: list[Any] = [False] * len(gradient)
    # In a pass that does not come by an infinite derivative, 0 * inf is nothing.
    careful = bool(shape) and not np.isfinite(used[columns.args >= 0]).all()
    for node, seed in seeds.items():
        gradient[node] = np.array(seed, dtype=float) if np.ndim(seed) else float(seed)
        arrived[node] = gradient[node] != 0.0 if careful else True
    derivatives: Any = list(used) if used.ndim > 1 else used.tolist()
    args, first = columns.args.tolist(), columns.first.tolist()
    with np.errstate(all="ignore"):
        for node in range(len(columns.op) - 1, -1, -1):
            if arrived[node] is not False:
                upstream, here = gradient[node], arrived[node]
                for place in range(first[node + 1] - 1, first[node] - 1, -1):
                    arg, amount = args[place], upstream * derivatives[place]
                    gradient[arg] = gradient[arg] + (np.where(here, amount, 0.0) if careful else amount)
                    arrived[arg] = arrived[arg] | here
    return _together(gradient[: len(columns.op)], shape, float)


def _together(numbers: list[Any], shape: tuple[int, ...], kind: type) -> NDArray[Any]:
    """Numbers, and arrays of that shape, as one array."""
    made: NDArray[Any] = np.empty((len(numbers), *shape), dtype=kind)
    for node, each in enumerate(numbers) if shape else ():
        made[node] = each
    return made if shape else np.array(numbers, dtype=kind)
