"""The user's names in generated code: as identifiers, each given once, and in comments."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS
from microbp.safe import cut

__all__ = ["Identifiers", "counted", "one_line"]

#: What generated code itself speaks of.
_RESERVED = frozenset(
    {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *FUNCTIONS, *CONSTANTS, *AGGREGATES}
    | {"isnan", "math", "mul", "np", "value", "value_and_grad"}
)
_LONGEST = 60


class Identifiers:
    """Hands out identifiers, each once.

    >>> names = Identifiers()
    >>> [names.new(each) for each in ("h1", "W[0,1]", "layers.0.w.2", "lambda", "2nd", "h1", "Δw", "")]
    ['h1', 'W_0_1', 'layers_0_w_2', 'lambda_', 'v2nd', 'h1_2', 'Δw', 'v']
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*_RESERVED, *taken}
        self._counts: dict[str, int] = {}

    def new(self, name: str) -> str:
        """An identifier as close to ``name`` as can be."""
        plain = self.plain(name)
        return self._unused(plain, f"{plain}_")

    def counted(self, *wanted: str) -> str:
        """The first of ``wanted`` that is free, else the last with a higher number.

        >>> names = Identifiers(["x"])
        >>> names.counted("x", "w"), names.counted("w"), names.counted("v1"), names.counted("v1")
        ('w', 'w2', 'v1', 'v2')
        """
        for each in wanted[:-1]:
            if self.plain(each) not in self._taken:
                return self._unused(self.plain(each), "")
        plain = self.plain(wanted[-1])
        return self._unused(plain, plain.rstrip("0123456789") or plain)

    def taken(self, name: str) -> bool:
        """Whether somebody has the name."""
        return name in self._taken

    def reserve(self, name: str) -> None:
        """Give a name to nobody else."""
        self._taken.add(name)

    @staticmethod
    def plain(name: str) -> str:
        """The name as an identifier, which may be taken."""
        if name.isidentifier() and name.isascii() and len(name) < _LONGEST:
            plain = name.strip("_") if name[0] == "_" or name[-1] == "_" or "__" in name else name
        else:
            plain = unicodedata.normalize("NFKC", name)  # in this form Python compares identifiers
            plain = "".join(each if f"a{each}".isidentifier() else "_" for each in plain)
        plain = re.sub("__+", "_", plain).strip("_")[:_LONGEST]
        if not plain.isidentifier():
            plain = f"v{plain}"
        return plain + "_" if plain in _RESERVED else plain

    def _unused(self, plain: str, stem: str) -> str:
        candidate = plain
        if candidate in self._taken:
            count = self._counts.get(stem, 1)
            while candidate in self._taken:
                count += 1
                candidate = f"{stem}{count}"
            self._counts[stem] = count
        self._taken.add(candidate)
        return candidate


def counted(count: int, word: str) -> str:
    """A number of things.

    >>> counted(1, "value"), counted(2000, "value")
    ('1 value', '2,000 values')
    """
    return f"{count:,} {word}{'s' * (count != 1)}"


def one_line(told: str) -> str:
    r"""A text that goes into a comment: the names in it are the user's, and may hold anything.

    >>> one_line("w\nimport os")
    'w import os'
    """
    return "".join(each if each.isprintable() else " " for each in cut(told, 500))
