"""Where each parameter stands in the vector of all, and the vector as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.replay.captured import Captured, ParameterArray

__all__ = ["Floats", "Layout"]

Floats = npt.NDArray[np.float64]


class Layout:
    """The arrays of a program's parameters, one after the other; what the code does not use comes last."""

    __slots__ = ("arrays", "order", "size", "used")

    def __init__(self, arrays: Sequence[ParameterArray], params: int) -> None:
        used = [each for array in arrays for each in array.members]
        rest = tuple(sorted({*range(params)} - {*used}))
        unused = [ParameterArray("unused", (len(rest),), rest)] if rest else []
        self.arrays = (*arrays, *unused)
        #: For each place in the vector, the index of the parameter as it was given.
        self.order = (*used, *rest)
        self.size = params
        #: How many of them the code uses.
        self.used = len(used)
        assert len(self.order) == params

    def vector(self, numbers: Sequence[float]) -> Floats:
        """The vector, of numbers in the order in which the parameters were given."""
        return np.array([numbers[each] for each in self.order], dtype=float)

    def given(self, vector: Any) -> list[float]:
        """The numbers in the order in which the parameters were given."""
        numbers = [0.0] * self.size
        for index, number in zip(self.order, vector.tolist(), strict=True):
            numbers[index] = number
        return numbers

    def reordered(self, captured: Captured) -> Captured:
        """The same with its parameters in the order of the vector."""
        order = self.order
        return captured._replace(
            params=tuple(captured.params[each] for each in order),
            param_names=tuple(captured.param_names[each] for each in order),
            numbers=tuple(captured.numbers[each] for each in order),
            trained=tuple(captured.trained[each] for each in order),
        )

    def views(self, vector: Floats) -> dict[str, Floats]:
        """Each array as a view of the vector."""
        found, start = {}, 0
        for array in self.arrays:
            end = start + len(array.members)
            found[array.name] = vector[start:end].reshape(array.shape)
            start = end
        return found
