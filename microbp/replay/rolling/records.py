"""A graph as flat arrays of integers, in which repetitions are found by comparing them with themselves."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.function_graph import Captured

__all__ = ["Integers", "Records", "records"]

Integers = npt.NDArray[np.int64]


class Records(NamedTuple):
    """Each node is a kind and a few places: those of its operands, or where a leaf stands among its like."""

    #: Nodes of one kind have the same rule, literals in the same places, and pass gradients on alike.
    kinds: Integers
    #: The places of all nodes, one after the other; 0 for a literal.
    places: Integers
    #: Where those of each node begin, and where the last one's end.
    starts: Integers
    #: For each node: 1 if a parameter's gradient depends on it, 2 if an input's does, 3 if both do.
    needed: bytes


def records(captured: Captured) -> Records:
    """The records of a graph, in one pass over its nodes.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> found = records(capture(w * x + 1.0, [x], [w]))
    >>> found.places.tolist(), found.starts.tolist(), list(found.needed)
    ([0, 0, 0, 1, 2, 0], [0, 1, 2, 4, 6], [1, 2, 3, 3])
    """
    leaves: dict[int | None, tuple[str, int, int]] = {}
    for index, (param, trained) in enumerate(zip(captured.params, captured.trained, strict=True)):
        leaves[param] = "parameters", index, int(trained)
    for index, given in enumerate(captured.inputs):
        leaves[given] = "inputs", index, 2
    numbers: dict[Any, int] = {}
    kinds: list[int] = []
    places: list[int] = []
    starts = [0]
    needed = bytearray(len(captured.graph))
    for position, node in enumerate(captured.graph.nodes):
        rule = node.rule
        kind: Any
        if rule is None:
            what, index, takes = leaves.get(position, ("constants", 0, 0))
            kind = what, takes
            needed[position] = takes
            places.append(index)
        else:
            takes = 0
            shape = []
            for each in node.operands:
                if type(each) is int:
                    flag = needed[each]
                    takes |= flag
                    shape.append(flag)
                    places.append(each)
                else:
                    shape.append(4)
                    places.append(0)
            needed[position] = takes
            kind = id(rule), *shape
        number = numbers.get(kind)
        if number is None:
            number = numbers[kind] = len(numbers)
        kinds.append(number)
        starts.append(len(places))
    of, at, begin = (np.array(each, dtype=np.int64) for each in (kinds, places, starts))
    return Records(of, at, begin, bytes(needed))
