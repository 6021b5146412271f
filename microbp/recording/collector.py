"""Python's cyclic garbage collector, while a graph grows: a graph holds no cycle, and needs no collector."""

from __future__ import annotations

import gc

__all__ = ["collector_at_rest"]


class collector_at_rest:  # noqa: N801 (used like a function)
    """No collection while a graph is recorded, swept and freed again, or while one is compiled.

    An operand exists before its result, and nothing points from an operand to its result, so that reference
    counting frees all of a graph, and the collector's count of new objects is back then where it was. Nodes
    in C are none of its affair; those in Python it would walk while they are young, 8 % of a step of 100
    samples through a 2-16-16-1 net, and so it would the records that are made of either.
    """

    def __enter__(self) -> None:
        self._on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._on:
            try:
                gc.enable()
            finally:  # Ctrl-C may strike in the line above
                gc.enable()
