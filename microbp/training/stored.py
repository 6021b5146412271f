"""``Stored``: samples that may be larger than memory, of which rows are read when they are asked for.

They lie in a file that NumPy has mapped into memory, or are the partitions of a Dask array.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np

__all__ = ["Stored", "Table", "is_lazy", "is_stored"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

#: In rows.
_BLOCK = 1 << 13


def is_lazy(data: Any) -> bool:
    """Whether it is a Dask array."""
    return hasattr(data, "__dask_graph__") and hasattr(data, "chunks")


def is_stored(data: Any) -> bool:
    """Whether it is larger than memory, for all that we know."""
    return isinstance(data, np.memmap) or is_lazy(data)


class Stored:
    """Rows of floats; ``stored[rows]`` reads them.

    >>> rows = Stored(np.array([[1, 2], [3, 4], [5, 6]]))
    >>> rows.shape, rows[np.array([2, 0])].tolist()
    ((3, 2), [[5.0, 6.0], [1.0, 2.0]])
    """

    def __init__(self, source: Any) -> None:
        self.source, self.shape, self.dtype = source, source.shape, source.dtype
        self.ndim, self.size = source.ndim, source.size

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> Floats:
        part = self.source[rows]
        return np.asarray(part.compute() if is_lazy(part) else part, dtype=float)

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """All of it, some rows at a time, with the place of the first of them."""
        for start in range(0, len(self), _BLOCK):
            yield start, self[start : start + _BLOCK]

    def tobytes(self) -> bytes:
        """What stands for its bytes: a digest of each block."""
        return b"".join(sha256(block.tobytes()).digest() for _, block in self.blocks())


class Table:
    """Rows of inputs with their targets beside them."""

    def __init__(self, inputs: Stored, targets: Floats) -> None:
        self.inputs, self.targets = inputs, targets

    def __getitem__(self, rows: Any) -> Floats:
        inputs, targets = self.inputs[rows], self.targets[rows]
        return np.hstack([inputs.reshape(len(targets), -1), targets])
