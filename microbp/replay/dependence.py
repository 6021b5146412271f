"""What each value of a recorded graph is to a batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microbp.replay.function_graph import Captured
from microbp.sweeps import Integers, spread

__all__ = ["COMPUTED", "TRAINS", "VARIES", "Dependence", "dependence"]

#: It depends on the sample; on a parameter that takes a gradient; on anything.
VARIES, TRAINS, COMPUTED = 1, 2, 4
#: What sums of products are made of; a chain of these may be one operation.
_SUMS = frozenset({"add", "sub", "neg", "sum"})


class Dependence(NamedTuple):
    """What each value of a graph depends on."""

    #: For each position the sum of VARIES, TRAINS, COMPUTED; of a constant 0.
    flags: Integers
    #: So many operations, at least, follow one on the other, without those that add up, and so many matrices
    #: there must be, if there are any: the longest run in which each uses the one recorded before it.
    depth: int


def dependence(captured: Captured) -> Dependence:
    """Flags of all positions, and the depth.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> x = Value(0.5)
    >>> found = dependence(capture((x * x + x + x).tanh(), x))
    >>> found.flags.tolist(), found.depth
    ([5, 5, 5, 5, 5], 2)
    """
    record = captured.graph
    marks = {place: VARIES | COMPUTED for place in captured.inputs if place is not None}
    for place, trained in zip(captured.params, captured.trained, strict=True):
        if place is not None:
            marks[place] = COMPUTED | (TRAINS if trained else 0)
    flags = spread(record, marks).astype(np.int64)
    steps = np.array([*(rule.name not in _SUMS for rule in record.rules), False])[record.op] & (flags > 0)
    user = np.repeat(np.arange(len(flags)), np.diff(record.first))
    follows = np.zeros(len(flags), dtype=bool)
    follows[user[record.args == user - 1]] = True
    total = np.cumsum(steps)
    before = np.maximum.accumulate(np.where(follows, 0, total - steps))
    return Dependence(flags, int((total - before).max()))
