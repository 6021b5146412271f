"""Parameters as arrays: by the names that they bear, by the sums that use them, or one by one.

All parameters stand in one vector, in the order in which the user gave them. An array is a view of it where
its elements lie there in even strides, as they do if they were given row by row, and else gathered from it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.function_graph import Captured
from microbp.replay.groups import THETA, Group, Slot, mapped
from microbp.replay.identifiers import Identifiers
from microbp.sweeps import Integers

__all__ = ["Floats", "ParameterArray", "Parameters", "claim", "named_arrays"]

Floats = npt.NDArray[np.float64]
#: More parameters than this, of which each stands alone, are taken from the vector.
MANY = 24
_PART = re.compile(r"[^.\[\]',\s\"]+")


class ParameterArray(NamedTuple):
    """Parameters that the generated code holds in one array."""

    name: str
    shape: tuple[int, ...]
    #: For each element, in C order, its index in the vector of all parameters.
    members: tuple[int, ...]

    @property
    def strides(self) -> tuple[int, ...] | None:
        """By how much the index grows along each axis; None where it does not grow evenly."""
        places = np.array(self.members, dtype=np.int64).reshape(self.shape)
        found = []
        for axis, size in enumerate(self.shape):
            steps = np.diff(places, axis=axis)
            if size > 1 and (steps != steps.flat[0]).any():
                return None
            found.append(int(steps.flat[0]) if size > 1 else 1)
        return tuple(found)

    def view(self, vector: Floats) -> Floats | None:
        """The array as a view of a vector of all parameters; None where it is none."""
        strides = self.strides
        if strides is None or not self.members:
            return None
        bytes_ = tuple(vector.strides[0] * each for each in strides)
        start: Floats = vector[self.members[0] :]
        return np.lib.stride_tricks.as_strided(start, self.shape, bytes_, writeable=vector.flags.writeable)


class Parameters:
    """The arrays of parameters, by number, and in which of them each parameter stands."""

    def __init__(self, captured: Captured, names: Identifiers) -> None:
        self.arrays: dict[int, ParameterArray] = {}
        self.place: dict[int, tuple[int, int]] = {}
        self.param_names, self.names = captured.param_names, names
        known = captured.graph.paths
        paths = [() if place is None else known[place] for place in captured.params]
        for wanted, shape, members in named_arrays(captured.param_names, paths):
            self.add(shape, members, *wanted)

    def add(self, shape: tuple[int, ...], members: Sequence[int], *wanted: str) -> str:
        """A new array; returns its name."""
        home = THETA - 1 - len(self.arrays)
        name = self.names.counted(*wanted)
        self.names.reserve(f"d{name}")
        self.arrays[home] = ParameterArray(name, shape, tuple(int(each) for each in members))
        for place, member in enumerate(members):
            self.place[int(member)] = home, place
        return name

    def free(self, members: Integers) -> bool:
        """Whether these are different parameters that stand in no array yet."""
        flat = members.ravel().tolist()
        return len({*flat}) == len(flat) and not any(each in self.place for each in flat)

    def settle(self, slot: Slot) -> None:
        """Let a slot speak of places in an array, if all that stands there is in one."""
        if slot.home == THETA:
            homes = {self.place.get(each, (THETA, 0))[0] for each in slot.places.ravel().tolist()}
            if len(homes) == 1 and THETA not in homes:
                (slot.home,) = homes
                slot.places = mapped(slot.places, lambda index: self.place[index][1])


# ------------------------------------------------------------------------------------- by their names
Named = tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]


def named_arrays(names: Sequence[str], paths: Sequence[tuple[str | int, ...]] = ()) -> list[Named]:
    """The arrays that the names, or the paths in modules, tell of, in the order of their first elements.

    Of each the names for it, the best first; the shape; and its elements in C order, as indices.

    >>> named_arrays(["W[0,0]", "W[0,1]", "k"])
    [(('W', 'W'), (1, 2), (0, 1))]
    >>> paths = [("layers", 1, "neurons", i, "w", j) for i in (0, 1) for j in (0, 1)]
    >>> named_arrays(["", "", "", ""], paths)[0][0]
    ('W2', 'layers_1_neurons_w')
    """
    rows: dict[tuple[str | int, ...], list[tuple[str | int, int]]] = defaultdict(list)
    for index, name in enumerate(names):
        parts = paths[index] if paths and paths[index] else _parts(name)
        if parts and isinstance(parts[0], str):
            rows[parts[:-1]].append((parts[-1], index))
    families: dict[tuple[str | None, ...], list[tuple[tuple[int, ...], int]]] = defaultdict(list)
    for parent, held in rows.items():
        numbers = tuple(part for part in parent if isinstance(part, int))
        family = tuple(None if isinstance(part, int) else part for part in parent)
        for last, index in held:
            if isinstance(last, int):
                families[(*family, None)].append(((*numbers, last), index))
            elif numbers:
                families[(*family, last)].append((numbers, index))
    deepest: dict[str | None, int] = defaultdict(int)
    for family in families:
        deepest[family[0]] = max(deepest[family[0]], family.count(None))
    found: list[Named] = []
    for family, places in families.items():
        count = len(places[0][0])
        # The indices in one pair of brackets belong together; of a path such as layers.0.neurons.1.w.2 the
        # last two do, and layers.0.neurons.1.b is of the same layer.
        most = count if None not in family[:-count] else max(1, count - max(0, deepest[family[0]] - 2))
        for rank in range(most, 0, -1):
            split = _split(places, rank)
            if split is not None:
                found += [(_names(family, head, len(shape)), shape, held) for head, shape, held in split]
                break
    return sorted(found, key=lambda each: each[2][0])


def _parts(name: str) -> tuple[str | int, ...]:
    """The words and counts of a name: ``W[0,1]``."""
    if not any(each.isdecimal() for each in name):
        return ()
    return tuple([int(part) if part.isdecimal() else part for part in _PART.findall(name)])


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
    return Identifiers.plain(stem + number), Identifiers.plain("_".join(filter(None, path)))


# -------------------------------------------------------------------------------------- by their uses
def claim(groups: list[Group], order: Sequence[int], parameters: Parameters) -> dict[int, str]:
    """Put all parameters into arrays; returns for each group that is a layer its number, as a text.

    A layer is a sum of products with parameters, and W1, b1 are the parameters of the first. Layers come
    first, then what else is computed from parameters, such as a penalty.
    """
    numbers: dict[int, str] = {}
    for index in order:
        group = groups[index]
        lefts = [
            block.left
            for block in group.blocks
            if block.left is not None and block.left.home <= THETA and block.right.home > THETA
        ]
        if lefts:
            numbers[index] = _number(lefts[0], parameters) or str(len(numbers) + 1)
            for block in group.blocks:
                line = ("w" if block.left else "b") + numbers[index]
                for slot in filter(None, (block.left, block.right)):
                    _claim(slot, parameters, "W" + numbers[index], line)
                    _claim_lone(slot, parameters, line)
    for index in order:
        for block in groups[index].blocks:
            for slot in filter(None, (block.left, block.right)):
                _claim(slot, parameters, "W", "w" if block.left else "b")
        for slots in groups[index].slots:
            for slot in slots:
                _claim(slot, parameters, "P", "p")
    rest = [index for index in range(len(parameters.param_names)) if index not in parameters.place]
    if len(rest) <= MANY:
        for index in rest:
            parameters.add((), [index], parameters.param_names[index])
    for group in groups:
        for slot in group.operands:
            parameters.settle(slot)
    return numbers


def _number(slot: Slot, parameters: Parameters) -> str:
    """The number in the name of an array that the user named: 2 for W2, nothing for W."""
    if slot.home == THETA:
        return ""
    found = re.fullmatch(r"\D+([\d_]*)", parameters.arrays[slot.home].name)
    return found[1] if found else ""


def _claim(slot: Slot, parameters: Parameters, matrix: str, line: str) -> None:
    """Make an array of what stands at a slot, of different rows the first of each."""
    if slot.home != THETA:
        return
    places = slot.places
    if places.ndim == 1 or places.shape[1] == 1:
        if places.size > 1 and parameters.free(places):
            parameters.add((places.size,), places.ravel().tolist(), line)
        return
    different = np.array(list(dict.fromkeys(map(tuple, places.tolist()))))
    if parameters.free(different):
        shape = different.shape if len(different) > 1 or len(places) == 1 else different.shape[1:]
        parameters.add(shape, different.ravel().tolist(), matrix if len(shape) == 2 else line)


def _claim_lone(slot: Slot, parameters: Parameters, line: str) -> None:
    """The single parameter of a layer; one with a name of its own keeps it."""
    if slot.home == THETA and slot.places.size == 1:
        index = int(slot.places.flat[0])
        if index not in parameters.place and parameters.param_names[index] == f"p{index}":
            parameters.add((), [index], line)
