"""Parameters as arrays: by the names that they bear, by the sums that use them, or one by one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

__all__ = ["NamedArray", "named_arrays", "word"]

_PART = re.compile(r"[^.\[\]',\s\"]+")


class NamedArray(NamedTuple):
    """Parameters whose names count through the places of an array."""

    #: Names for it, the best first.
    names: tuple[str, ...]
    shape: tuple[int, ...]
    #: Indices into the parameters, in C order.
    members: tuple[int, ...]


def named_arrays(names: Sequence[str]) -> list[NamedArray]:
    """The arrays that the names tell of, in the order of their first elements.

    >>> named_arrays(["W[0,0]", "W[0,1]", "k"])
    [NamedArray(names=('W', 'W'), shape=(1, 2), members=(0, 1))]
    >>> paths = [f"layers.1.neurons.{i}.w.{j}" for i in (0, 1) for j in (0, 1)]
    >>> named_arrays(paths)[0].names
    ('W2', 'layers_1_neurons_w')
    """
    families: dict[tuple[str | None, ...], list[tuple[tuple[int, ...], int]]] = defaultdict(list)
    for index, name in enumerate(names):
        parts = _PART.findall(name)
        if parts and not parts[0].isdigit() and any(part.isdigit() for part in parts):
            family = tuple(None if part.isdigit() else part for part in parts)
            families[family].append((tuple(int(part) for part in parts if part.isdigit()), index))
    deepest: dict[str | None, int] = defaultdict(int)
    for family in families:
        deepest[family[0]] = max(deepest[family[0]], family.count(None))
    found = []
    for family, places in families.items():
        count = len(places[0][0])
        # The indices in one pair of brackets belong together; of a path such as layers.0.neurons.1.w.2 the
        # last two do, and layers.0.neurons.1.b is of the same layer.
        most = count if None not in family[:-count] else max(1, count - max(0, deepest[family[0]] - 2))
        for rank in range(most, 0, -1):
            split = _split(places, rank)
            if split is not None:
                found += [
                    NamedArray(_names(family, prefix, len(shape)), shape, members)
                    for prefix, shape, members in split
                ]
                break
    return sorted(found, key=lambda each: each.members[0])


def _split(
    places: list[tuple[tuple[int, ...], int]], rank: int
) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] | None:
    """The places by all but their last ``rank`` indices, if each part fills an array; else None."""
    parts: dict[tuple[int, ...], dict[tuple[int, ...], int]] = defaultdict(dict)
    for place, index in places:
        part = parts[place[: len(place) - rank]]
        if place[len(place) - rank :] in part:
            return None
        part[place[len(place) - rank :]] = index
    found = []
    for prefix, part in parts.items():
        shape = tuple(1 + max(axis) for axis in zip(*part, strict=True))
        if prod(shape) != len(part):
            return None
        found.append((prefix, shape, tuple(part[place] for place in sorted(part))))
    return found


def _names(family: tuple[str | None, ...], prefix: tuple[int, ...], rank: int) -> tuple[str, ...]:
    words = [part for part in family if part is not None]
    counts = iter(prefix)
    path = [part if part is not None else str(next(counts, "")) for part in family]
    number = "_".join(str(each + 1) for each in prefix)
    stem = words[-1]
    if len(stem) == 1 and rank == 2:
        stem = stem.upper()
    return word(stem + number), word("_".join(filter(None, path)))


def word(name: str) -> str:
    """A name as an identifier of Python.

    >>> word("3 net.w")
    'p3_net_w'
    """
    plain = re.sub(r"\W+", "_", name).strip("_") or "p"
    return plain if plain.isidentifier() else f"p{plain}"
