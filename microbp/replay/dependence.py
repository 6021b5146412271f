"""What each value of a recorded graph depends on."""

from __future__ import annotations

from typing import NamedTuple

from microbp.graph import Graph
from microbp.replay.function_graph import Captured

__all__ = ["COMPUTED", "TRAINS", "VARIES", "Dependence", "dependence", "operands_of"]

#: What a value is to a batch: it depends on the sample; on a parameter that takes a gradient; on anything.
VARIES, TRAINS, COMPUTED = 1, 2, 4
#: What sums of products are made of; a chain of these may be one operation.
_SUMS = frozenset({"add", "sub", "neg", "sum"})


def operands_of(record: Graph, position: int) -> list[int | float]:
    """The operands of a node: positions, and floats for literals."""
    args = record.args[record.first[position] : record.first[position + 1]].tolist()
    return [each if each >= 0 else float(record.consts[-1 - each]) for each in args]


class Dependence(NamedTuple):
    """What each value of a graph depends on, in one pass."""

    #: For each position the sum of VARIES, TRAINS, COMPUTED; of a constant 0.
    flags: list[int]
    #: The most operations that follow one on the other, without those that add up: so many matrices there
    #: must be, at least, if there are any.
    depth: int


def dependence(captured: Captured) -> Dependence:
    """Flags of all positions, and the depth.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> x = Value(0.5)
    >>> captured = capture((x * x + x + x).tanh(), x)
    >>> dependence(captured)
    Dependence(flags=[5, 5, 5, 5, 5], depth=2)
    """
    record = captured.graph
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
                    if depths[each] > deepest:  # noqa: PLR1730 (max takes twice as long)
                        deepest = depths[each]
            flags[position] |= found
            depths[position] = deepest + step[rule] if found else 0
        start = end
    return Dependence(flags, max(depths))
