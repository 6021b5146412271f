"""The arrays that generated code works on, and where in them each value of the graph stands."""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

__all__ = ["Array", "Names"]


@dataclass(eq=False)
class Array:
    """An array of generated code: a matrix of parameters, a group of equal values, constants."""

    name: str
    #: The shape for one sample.
    shape: tuple[int, ...]
    #: Whether the batch is its first axis, before ``shape``.
    varies: bool = False
    #: Whether a gradient with respect to a parameter passes through it, or is wanted of it.
    trains: bool = False
    #: Parameters come as arrays of their shape; a group of one value that does not vary is a number.
    parameter: bool = False
    #: The places of parameters that take no gradient.
    frozen: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many values of one sample it holds."""
        return prod(self.shape)


class Names:
    """Names for variables, each given once; a name that is taken gets a number behind it."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = {*taken, *keyword.kwlist}
        self._counts: dict[str, int] = {}

    def new(self, *wanted: str) -> str:
        """The first of ``wanted`` that is free, else the last with a higher number.

        >>> names = Names(["x"])
        >>> names.new("x", "w"), names.new("w"), names.new("v1"), names.new("v1")
        ('w', 'w2', 'v1', 'v2')
        """
        candidate = next((each for each in wanted if each not in self.taken), wanted[-1])
        stem = candidate.rstrip("0123456789") or candidate
        while candidate in self.taken:
            count = self._counts.get(stem, 1) + 1
            self._counts[stem] = count
            candidate = f"{stem}{count}"
        self.taken.add(candidate)
        return candidate
