"""What generated code is collected in: lines with their comments, constant arrays, names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.replay.matrix.arrays import Array, Names
from microbp.replay.matrix.build import Tree, parsed, text

__all__ = ["TERMS", "Writer"]

#: A sum of more terms than this is added up in several lines.
TERMS = 12

#: What two views or sums in a row come to.
_SHORTER = [
    (re.compile(r"\.ravel\(\)\.reshape\("), ".reshape("),
    (re.compile(r"\.reshape\(n, \d+, \d+\)\.reshape\("), ".reshape("),
    (re.compile(r"(\.swapaxes\(1, 2\)){2}"), ""),
    (re.compile(r"\.sum\(axis=0\)\.sum\(\)"), ".sum()"),
]


class Writer:
    """Lines of one function; names and constants of the whole source."""

    def __init__(
        self, arrays: dict[int, Array], names: Names, constants: dict[str, npt.NDArray[Any]]
    ) -> None:
        #: The array of each number in :mod:`groups`.
        self.arrays = arrays
        self.names = names
        self.constants = constants
        self.lines: list[tuple[str, str]] = []
        self.indent = ""
        #: The lines, counted from 0, that compute what the eager engine may refuse.
        self.watched: list[int] = []
        self._held = {self._key(array): name for name, array in constants.items()}
        #: What has been computed under a name, by its text.
        self._kept: dict[str, str] = {}

    def line(self, code: str, comment: str = "") -> None:
        """Add a line."""
        for pattern, shorter in _SHORTER:
            code = pattern.sub(shorter, code)
        self.lines.append((self.indent + code, comment))

    def assign(self, name: str, tree: Tree, comment: str = "") -> Tree:
        """Add a line ``name = tree``; returns the name."""
        self.line(f"{name} = {text(tree)}", comment)
        return parsed(name)

    def keep(self, wanted: str, tree: Tree, comment: str = "") -> Tree:
        """A name for what ``tree`` computes; the same name when it is asked for again."""
        source = text(tree)
        if source not in self._kept:
            self._kept[source] = self.names.new(wanted)
            self.assign(self._kept[source], tree, comment)
        return parsed(self._kept[source])

    def constant(self, numbers: npt.NDArray[Any], wanted: str) -> str:
        """The name of a constant array; equal arrays have one name."""
        key = self._key(numbers)
        if key not in self._held:
            self._held[key] = self.names.new(wanted + "1")
            self.constants[self._held[key]] = numbers
        return self._held[key]

    @staticmethod
    def _key(numbers: npt.NDArray[Any]) -> tuple[Any, ...]:
        return numbers.dtype.str, numbers.shape, numbers.tobytes()

    def source(self, width: int = 44) -> Iterable[str]:
        """The lines, with comments in a column where there is room."""
        for code, comment in self.lines:
            yield f"    {code:<{width}}  # {comment}" if comment else f"    {code}"


def affine(index: npt.NDArray[np.int64]) -> tuple[int, int] | None:
    """Start and stride of a row of places, if they have one stride; that of a single place is 1.

    >>> affine(np.array([3, 5, 7])), affine(np.array([1, 2, 4]))
    ((3, 2), None)
    """
    start = int(index[0])
    stride = int(index[1]) - start if len(index) > 1 else 1
    same = bool((np.diff(index) == stride).all())
    return (start, stride) if same else None


def slice_text(start: int, stride: int, count: int) -> str:
    """The slice that takes ``count`` places from ``start`` on.

    >>> slice_text(0, 1, 3), slice_text(4, -2, 3)
    ('0:3', '4::-2')
    """
    stop = start + stride * (count - 1) + (1 if stride > 0 else -1)
    return f"{start}:{'' if stop < 0 else stop}" + (f":{stride}" if stride != 1 else "")
