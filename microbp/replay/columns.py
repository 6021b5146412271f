"""The record of a graph in columns, and what each of its values depends on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.graph import Graph
from microbp.replay.function_graph import Captured
from microbp.rules import Rule

__all__ = ["COMPUTED", "TRAINS", "VARIES", "Columns", "Dependence", "Integers", "columns", "dependence"]

Integers = npt.NDArray[np.int64]
#: What a value is to a batch: it depends on the sample; on a parameter that takes a gradient; on anything.
VARIES, TRAINS, COMPUTED = 1, 2, 4
#: What sums of products are made of; a chain of these may be one operation.
_SUMS = frozenset({"add", "sub", "neg", "sum"})


class Columns(NamedTuple):
    """A graph as plain arrays; operands of node i are ``args[first[i]:first[i + 1]]``."""

    rules: tuple[Rule, ...]
    #: Index into ``rules``; -1 for a leaf.
    op: Integers
    first: Integers
    #: A position, or below 0 a constant: ``consts[-1 - arg]``.
    args: Integers
    consts: npt.NDArray[np.float64]
    data: npt.NDArray[np.float64]

    def operands(self, position: int) -> list[int | float]:
        """The operands of a node: positions, and floats for literals."""
        args = self.args[self.first[position] : self.first[position + 1]].tolist()
        return [each if each >= 0 else float(self.consts[-1 - each]) for each in args]


def columns(graph: Graph) -> Columns:
    """The columns of a graph.

    >>> from microbp import Value
    >>> x = Value(2.0)
    >>> found = columns(Graph(x * 3.0))
    >>> found.op.tolist(), found.first.tolist(), found.args.tolist(), found.consts.tolist()
    ([-1, 0], [0, 0, 2], [0, -1], [3.0])
    """
    rules: dict[Rule, int] = {}
    consts: list[float] = []
    op: list[int] = []
    first, args = [0], []
    for node in graph.nodes:
        op.append(-1 if node.rule is None else rules.setdefault(node.rule, len(rules)))
        for each in node.operands:
            if type(each) is int:
                args.append(each)
            else:
                consts.append(each)
                args.append(-len(consts))
        first.append(len(args))
    data = np.array([node.data for node in graph.nodes])
    whole = (np.array(each, dtype=np.int64) for each in (op, first, args))
    return Columns(tuple(rules), *whole, np.array(consts, dtype=float), data)


class Dependence(NamedTuple):
    """What each value of a graph depends on, in one pass."""

    #: For each position the sum of VARIES, TRAINS, COMPUTED; of a constant 0.
    flags: list[int]
    #: The most operations that follow one on the other, without those that add up: so many matrices there
    #: must be, at least, if there are any.
    depth: int


def dependence(captured: Captured, record: Columns) -> Dependence:
    """Flags of all positions, and the depth.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> x = Value(0.5)
    >>> captured = capture((x * x + x + x).tanh(), x)
    >>> dependence(captured, columns(captured.graph))
    Dependence(flags=[5, 5, 5, 5, 5], depth=2)
    """
    size = len(record.op)
    flags, depths = [0] * size, [0] * size
    for place in captured.inputs:
        if place is not None:
            flags[place] = VARIES | COMPUTED
    for place, trained in zip(captured.params, captured.trained, strict=True):
        if place is not None:
            flags[place] = COMPUTED | (TRAINS if trained else 0)
    step = [0 if rule.name in _SUMS else 1 for rule in record.rules]
    args = record.args.tolist()
    start = 0
    for position, (rule, end) in enumerate(zip(record.op.tolist(), record.first[1:].tolist(), strict=True)):
        if rule >= 0:
            found = deepest = 0
            for each in args[start:end]:
                if each >= 0:
                    found |= flags[each]
                    if depths[each] > deepest:
                        deepest = depths[each]
            flags[position] |= found
            depths[position] = deepest + step[rule] if found else 0
        start = end
    return Dependence(flags, max(depths))
