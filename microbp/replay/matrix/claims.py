"""Arrays for parameters that bear no names of places: a matrix for the sum that uses them, or one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.replay.captured import ParameterArray
from microbp.replay.matrix.arrays import Names
from microbp.replay.matrix.groups import LOOSE, Group, Slot
from microbp.replay.matrix.parameters import NamedArray, word

__all__ = ["FIRST_ARRAY", "MANY", "Parameters", "claim"]

#: The number of the first array of parameters; the others count downwards from it.
FIRST_ARRAY = -10
#: More parameters than this, of which each stands alone, share one vector.
MANY = 24


class Parameters:
    """The arrays of parameters, and in which of them each parameter stands."""

    def __init__(self, named: Sequence[NamedArray], names: Names, count: int) -> None:
        self.arrays: dict[int, ParameterArray] = {}
        self.place: dict[int, tuple[int, int]] = {}
        self.names = names
        self.count = count
        for each in named:
            self.add(each.shape, each.members, *each.names)

    def add(self, shape: tuple[int, ...], members: Sequence[int], *wanted: str) -> str:
        """A new array; returns its name."""
        home = FIRST_ARRAY - len(self.arrays)
        name = self.names.new(*wanted)
        self.names.taken.add(f"d{name}")
        self.arrays[home] = ParameterArray(name, shape, tuple(int(each) for each in members))
        for place, member in enumerate(members):
            self.place[int(member)] = home, place
        return name

    def free(self, members: npt.NDArray[Any]) -> bool:
        """Whether these are different parameters that stand in no array yet."""
        flat = members.ravel().tolist()
        return len({*flat}) == len(flat) and not any(each in self.place for each in flat)


def claim(
    groups: list[Group], order: Sequence[int], parameters: Parameters, param_names: Sequence[str]
) -> dict[int, str]:
    """Put all parameters into arrays; returns for each group that is a layer its number, as a text.

    A layer is a sum of products with parameters, and W1, b1 are the parameters of the first. Layers come
    first, then what else is computed from parameters, such as a penalty.
    """
    numbers: dict[int, str] = {}
    for index in order:
        lefts = [
            block.left
            for block in groups[index].blocks
            if block.left is not None and _holds(block.left) and not _holds(block.right)
        ]
        if lefts:
            numbers[index] = _number(lefts[0], parameters) or str(len(numbers) + 1)
            _claim_layer(groups[index], numbers[index], parameters, param_names)
    for index in order:
        group = groups[index]
        for block in group.blocks:
            for slot in filter(None, (block.left, block.right)):
                _claim(slot, parameters, "W", "w" if block.left else "b")
        for slots in group.slots:
            for slot in slots:
                _claim(slot, parameters, "P", "p")
    rest = [index for index in range(parameters.count) if index not in parameters.place]
    if len(rest) <= MANY:
        for index in rest:
            parameters.add((), [index], word(param_names[index]))
    else:
        parameters.add((len(rest),), rest, "theta")
    return numbers


def _claim_layer(group: Group, number: str, parameters: Parameters, param_names: Sequence[str]) -> None:
    for block in group.blocks:
        line = ("w" if block.left else "b") + number
        for slot in filter(None, (block.left, block.right)):
            _claim(slot, parameters, "W" + number, line)
            lone = slot.places.ravel().tolist() if slot.home == LOOSE and slot.places.size == 1 else []
            for index in lone:
                if index not in parameters.place and param_names[index] == f"p{index}":  # it bears no name
                    parameters.add((), [index], line)


def _holds(slot: Slot) -> bool:
    return slot.home == LOOSE or slot.home <= FIRST_ARRAY


def _number(slot: Slot, parameters: Parameters) -> str:
    """The number in the name of an array that the user named: 2 for W2, nothing for W."""
    if slot.home == LOOSE:
        return ""
    found = re.fullmatch(r"\D+([\d_]*)", parameters.arrays[slot.home].name)
    return found[1] if found else ""


def _claim(slot: Slot, parameters: Parameters, matrix: str, line: str) -> None:
    if slot.home != LOOSE:
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
