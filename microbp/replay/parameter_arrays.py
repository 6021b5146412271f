"""Parameters as arrays: by their paths in modules or their names, by the sums that use them, or one by one.

All parameters stand in one vector, in the order in which the user gave them. An array is a view of it where
its elements lie there in even strides, as they do if they were given row by row, and else gathered from it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from math import prod

import numpy as np

from microbp.replay.axes import Array, Operand
from microbp.replay.code import Identifiers
from microbp.replay.function_graph import Captured
from microbp.replay.groups import CONSTANT, THETA, Group
from microbp.sweeps import Integers

__all__ = ["Parameters", "claim", "named_arrays"]

#: More parameters than this, of which each stands alone, are taken from the vector.
MANY = 24
_PART = re.compile(r"[^.\[\]',\s\"]+")


class Parameters:
    """The arrays of parameters, by number, and in which of them each parameter stands."""

    def __init__(self, captured: Captured, names: Identifiers) -> None:
        self.arrays: dict[int, Array] = {}
        self.names, self.captured = names, captured
        size = len(captured.params)
        self.home, self.place = np.full(size, THETA), np.arange(size)
        for wanted, members in named_arrays(captured.param_paths):
            self.add(members, *wanted)

    def add(self, members: Integers, *wanted: str) -> None:
        """A new array, called as is wanted, the best name first."""
        home = THETA - 1 - len(self.arrays)
        name = self.names.counted(*wanted, twin="d")
        self.arrays[home] = Array(name, members.shape, members=members)
        self.home[members] = home
        self.place[members] = np.arange(members.size).reshape(members.shape)

    def claim(self, slot: Operand, matrix: str, line: str, *, lone: bool = False) -> None:
        """Make an array of what stands at a slot, of different rows the first of each, if all of it is free.

        A single parameter of a layer, too, with ``lone``, unless it has a name of its own.
        """
        if slot.home != THETA:
            return
        members = slot.held
        if members.size == 1:
            members = members.reshape(())
            if not lone or self.captured.param_paths[int(members)]:
                return
        elif members.ndim == 1 or members.shape[1] == 1:
            members = members.ravel()
        else:
            members = np.array([*dict.fromkeys(map(tuple, members.tolist()))])
            members = members if len(members) > 1 or len(slot.held) == 1 else members[0]
        if (self.home[members] == THETA).all() and len({*members.ravel().tolist()}) == members.size:
            self.add(members, matrix if members.ndim == 2 else line)

    def settle(self, slot: Operand) -> None:
        """Let a slot speak of places in an array, if all that stands there is in one."""
        if slot.home == THETA and slot.held.size:
            home = int(self.home[slot.held.flat[0]])
            if home != THETA and (self.home[slot.held] == home).all():
                slot.home, slot.held = home, self.place[slot.held]


# ------------------------------------------------------------------------------------- by their names
Part = str | int


def named_arrays(paths: Iterable[tuple[Part, ...] | str]) -> list[tuple[tuple[str, ...], Integers]]:
    """The arrays that paths in modules, or names such as ``W[0,1]``, tell of, by their first elements.

    Of each the names for it, the best first, and its elements, as indices.

    >>> named_arrays(["W[0,0]", "W[0,1]", "k"])
    [(('W', 'W'), array([[0, 1]]))]
    >>> named_arrays([("layers", 1, "neurons", i, "w", j) for i in (0, 1) for j in (0, 1)])[0][0]
    ('W2', 'layers_1_neurons_w')
    """
    # A family is what all elements of an array have in common: a path with None for each count.
    families: dict[tuple[str | None, ...], list[tuple[tuple[int, ...], int]]] = defaultdict(list)
    deepest: dict[str | None, int] = defaultdict(int)
    for index, path in enumerate(paths):
        parts = path
        if isinstance(path, str):  # W[0,1]
            parts = tuple([int(part) if part.isdecimal() else part for part in _PART.findall(path)])
        place = tuple([part for part in parts if isinstance(part, int)])
        if place and isinstance(parts[0], str):
            family = tuple([None if isinstance(part, int) else part for part in parts])
            families[family].append((place, index))
            deepest[family[0]] = max(deepest[family[0]], len(place))
    found: list[tuple[tuple[str, ...], Integers]] = []
    for family, places in families.items():
        count = family.count(None)
        # The indices in one pair of brackets belong together; of a path such as layers.0.neurons.1.w.2 the
        # last two do, and layers.0.neurons.1.b is of the same layer.
        most = count if None not in family[:-count] else max(1, count - max(0, deepest[family[0]] - 2))
        splits = ((rank, _split(places, rank)) for rank in range(most, 0, -1))
        rank, split = next((each for each in splits if each[1] is not None), (0, []))
        found += [(_names(family, prefix, rank), members) for prefix, members in split or ()]
    return sorted(found, key=lambda each: int(each[1].flat[0]))


def _split(
    places: list[tuple[tuple[int, ...], int]], rank: int
) -> list[tuple[tuple[int, ...], Integers]] | None:
    """The places by all but their last ``rank`` numbers, if each part fills an array; else None."""
    found = []
    for head, part in groupby(sorted(places), key=lambda each: each[0][:-rank]):
        inner, indices = zip(*((place[-rank:], index) for place, index in part), strict=True)
        shape = tuple([1 + max(axis) for axis in zip(*inner, strict=True)])
        if prod(shape) != len(inner) or [*np.ndindex(shape)] != [*inner]:
            return None
        found.append((head, np.array(indices).reshape(shape)))
    return found


def _names(family: tuple[str | None, ...], prefix: Sequence[int], rank: int) -> tuple[str, ...]:
    counts = iter(prefix)
    path = "_".join(filter(None, (str(next(counts, "")) if part is None else part for part in family)))
    stem = [part for part in family if part is not None][-1]
    if len(stem) == 1 and rank == 2:
        stem = stem.upper()
    return Identifiers.plain(stem + "_".join(str(each + 1) for each in prefix)), Identifiers.plain(path)


# -------------------------------------------------------------------------------------- by their uses
def claim(groups: list[Group], order: Sequence[int], parameters: Parameters) -> dict[int, str]:
    """Put all parameters into arrays; returns for each group that is a layer its number, as a text.

    A layer is a sum of products with parameters, and W1, b1 are the parameters of the first. Layers come
    first, then what else is computed from parameters, such as a penalty.
    """
    numbers: dict[int, str] = {}
    for index in order:
        lefts = [each.left for each in groups[index].blocks if each.left.home <= THETA < each.right.home]
        if lefts:
            number = numbers[index] = _number(lefts[0], parameters) or str(len(numbers) + 1)
            for slot, matrix, line in _wanted(groups[index]):
                parameters.claim(slot, matrix + number, line + number, lone=True)
    for index in order:
        for slot, matrix, line in _wanted(groups[index]):
            parameters.claim(slot, matrix, line)
    rest = np.flatnonzero(parameters.home == THETA)
    if 0 < len(rest) <= MANY:
        names = parameters.captured.param_names
        for index in rest.tolist():
            parameters.add(np.array(index), names[index])
    for group in groups:
        for slot in group.operands:
            parameters.settle(slot)
    return numbers


def _wanted(group: Group) -> Iterator[tuple[Operand, str, str]]:
    """What an array of each operand is called, of rows and of one row: a weight where it is multiplied."""
    for block in group.blocks:
        for slot in (block.left, block.right):
            yield slot, "W", "b" if block.left.home == CONSTANT else "w"
    for slot in chain(*group.slots):
        yield slot, "P", "p"


def _number(slot: Operand, parameters: Parameters) -> str:
    """The number in the name of an array that the user named: 2 for W2, nothing for W."""
    home = int(parameters.home[slot.held.flat[0]]) if slot.home == THETA else slot.home
    if THETA in (slot.home, home):
        return ""
    found = re.fullmatch(r"\D+([\d_]*)", parameters.arrays[home].name)
    return found[1] if found else ""
