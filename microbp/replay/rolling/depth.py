"""How deep a graph is: how many matrices there must be, at least, if there are any."""

from __future__ import annotations

from microbp.replay.function_graph import Captured

__all__ = ["depth"]

#: What sums of products are made of; a chain of these may be one operation.
_SUMS = frozenset({"add", "sub", "neg", "sum"})


def depth(captured: Captured) -> int:
    """The most operations that follow one on the other, without those that add up.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> x = Value(0.5)
    >>> depth(capture((x * x + x + x).tanh(), x))
    2
    """
    depths: list[int] = []
    for node in captured.graph.nodes:
        deepest = 0
        for each in node.operands:
            if type(each) is int and depths[each] > deepest:
                deepest = depths[each]
        adds = node.rule is None or node.rule.name in _SUMS
        depths.append(deepest if adds else deepest + 1)
    return max(depths)
