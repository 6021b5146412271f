"""Arrays for parameters that bear no names of places: a matrix for the sum that uses them, or one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.replay.captured import ParameterArray
from microbp.replay.matrix.arrays import Array, Names
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

    A layer is a sum of products with parameters, and W1, b1 are the parameters of the first.
    """
    numbers: dict[int, str] = {}
    count = 0
    for index in order:
        group = groups[index]
        lefts = [
            block.left
            for block in group.blocks
            if block.left is not None and _holds(block.left) and not _holds(block.right)
        ]
        if lefts:
            count += 1
            numbers[index] = _number(lefts[0], parameters) or str(count)
        number = numbers.get(index, "")
        for block in group.blocks:
            if block.left is not None:
                _claim(block.left, parameters, "W" + number, "w" + number)
            wanted = "b" + number if block.left is None else "w" + number
            _claim(block.right, parameters, "W" + number, wanted)
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


def settle(groups: list[Group], parameters: Parameters, arrays: dict[int, Array], names: Names) -> list[int]:
    """Give each operand that is a parameter its place in an array; those of several arrays go to a pool.

    A pool is one vector of all their elements; returns the numbers of the arrays in the pool, which is the
    array LOOSE.
    """
    mixed: list[Slot] = []
    places = {index: place for index, (_, place) in parameters.place.items()}
    for group in groups:
        slots = [slot for each in group.slots for slot in each]
        slots += [block.right for block in group.blocks]
        slots += [block.left for block in group.blocks if block.left is not None]
        for slot in slots:
            if slot.home == LOOSE:
                found = {parameters.place[each][0] for each in slot.places.ravel().tolist()}
                if len(found) == 1:
                    (slot.home,) = found
                    slot.places = _placed(slot.places, places)
                else:
                    mixed.append(slot)
    members = {each for slot in mixed for each in slot.places.ravel().tolist()}
    homes = sorted({parameters.place[each][0] for each in members}, reverse=True)
    if mixed:
        start, offset = 0, dict[int, int]()
        for home in homes:
            offset[home] = start
            start += len(parameters.arrays[home].members)
        where = {
            index: offset[home] + place
            for index, (home, place) in parameters.place.items()
            if home in offset
        }
        for slot in mixed:
            slot.places = _placed(slot.places, where)
        arrays[LOOSE] = Array(names.new("theta"), (start,), trains=True)
    return homes


def _placed(places: npt.NDArray[np.int64], where: dict[int, int]) -> npt.NDArray[np.int64]:
    return np.array([where[each] for each in places.ravel().tolist()], dtype=np.int64).reshape(places.shape)
