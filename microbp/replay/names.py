"""The user's names as identifiers of generated code."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS

__all__ = ["Identifiers"]

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

    def new(self, name: str) -> str:
        """An identifier as close to ``name`` as can be."""
        # Python compares identifiers in this normal form: two that look different may be one.
        plain = unicodedata.normalize("NFKC", name)
        plain = "".join(each if f"a{each}".isidentifier() else "_" for each in plain)
        plain = re.sub("_+", "_", plain).strip("_")[:_LONGEST]
        if not plain.isidentifier():
            plain = f"v{plain}"
        if plain in _RESERVED:
            plain += "_"
        return self._unused(plain)

    def _unused(self, plain: str) -> str:
        candidate, count = plain, 1
        while candidate in self._taken:
            count += 1
            candidate = f"{plain}_{count}"
        self._taken.add(candidate)
        return candidate
