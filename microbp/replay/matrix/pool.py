"""The pool: parameters of several arrays as one vector, of which these arrays are parts.

It is the head of the vector of all parameters, so that a penalty on all weights is one operation on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.matrix.arrays import Array, Names
from microbp.replay.matrix.claims import FIRST_ARRAY, Parameters
from microbp.replay.matrix.groups import LOOSE, Block, Group, Slot
from microbp.replay.matrix.sides import even_factor

__all__ = ["settle"]

Places = npt.NDArray[np.int64]


def settle(groups: list[Group], parameters: Parameters, arrays: dict[int, Array], names: Names) -> list[int]:
    """Give each operand that is a parameter its place in an array, or in the pool, which is array LOOSE.

    Returns the numbers of the arrays in the pool, in the order in which they stand there.
    """
    mixed: list[Slot] = []
    for slot in _loose(groups):
        homes = {parameters.place[each][0] for each in slot.places.ravel().tolist()}
        if len(homes) == 1:
            (slot.home,) = homes
            slot.places = _mapped(slot.places, lambda index: parameters.place[index][1])
        else:
            mixed.append(slot)
    alike = [each for group in groups for each in _alike(group, parameters)]
    pool = _order([*(slot.places for slot in mixed), *(each.indices for each in alike)], parameters)
    members = [index for home in pool for index in parameters.arrays[home].members]
    where = {index: place for place, index in enumerate(members)}
    for slot in mixed:
        slot.places = _mapped(slot.places, where.__getitem__)
    joined = [_join(each, np.sort(_mapped(each.indices, where.__getitem__))) for each in alike]
    if not mixed and not any(joined):
        return []
    name = names.new("theta")
    names.taken.add(f"d{name}")
    arrays[LOOSE] = Array(name, (len(members),), trains=True, parameter=True)
    return pool


def _loose(groups: Iterable[Group]) -> Iterator[Slot]:
    for group in groups:
        slots = [slot for each in group.slots for slot in each]
        slots += [slot for block in group.blocks for slot in (block.right, block.left) if slot is not None]
        yield from (slot for slot in slots if slot.home == LOOSE)


def _mapped(places: Places, where: Callable[[int], int]) -> Places:
    return np.array([where(each) for each in places.ravel().tolist()], dtype=np.int64).reshape(places.shape)


class _Alike(NamedTuple):
    """Blocks of one sum that are alike but for their arrays, such as Σ W1² + Σ W2²."""

    group: Group
    blocks: list[Block]
    #: The indices of their parameters.
    indices: Places


def _alike(group: Group, parameters: Parameters) -> Iterator[_Alike]:
    if len(group.members) > 1:
        return  # rows of several arrays follow each other in no vector
    found: dict[object, list[Block]] = defaultdict(list)
    for block in group.blocks:
        home, factor = block.right.home, even_factor(block)
        if (home == LOOSE or home <= FIRST_ARRAY) and (block.left is None or block.is_square):
            found[block.left is None, factor if factor is not None else id(block)].append(block)
    for blocks in found.values():
        if len(blocks) > 1:
            yield _Alike(group, blocks, np.concatenate([_indices(each.right, parameters) for each in blocks]))


def _indices(slot: Slot, parameters: Parameters) -> Places:
    places = slot.places.ravel()
    return places if slot.home == LOOSE else np.array(parameters.arrays[slot.home].members)[places]


def _order(uses: Sequence[Places], parameters: Parameters) -> list[int]:
    """The arrays that are used together, so that what the smaller uses have follows each other."""
    homes = [{parameters.place[each][0] for each in indices.ravel().tolist()} for indices in uses]
    return list(dict.fromkeys(home for some in sorted(homes, key=len) for home in sorted(some, reverse=True)))


def _join(alike: _Alike, places: Places) -> bool:
    """Put one block in the place of several, if its parameters follow each other."""
    if (np.diff(places) != 1).any():
        return False
    group, (first, *others), _ = alike
    factors = np.full((1, len(places)), first.factors.flat[0])
    slot = Slot(LOOSE, places[None, :], np.zeros(0))
    group.blocks[group.blocks.index(first)] = Block(factors, slot, first.left and slot)
    group.blocks = [each for each in group.blocks if not any(each is other for other in others)]
    return True
