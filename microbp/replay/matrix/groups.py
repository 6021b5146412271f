"""Groups: values of one operation, at one depth, over the same arrays, become one array."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from microbp.replay.captured import Captured
from microbp.replay.matrix.arrays import Array
from microbp.replay.matrix.roles import Reference, Role, Roles
from microbp.replay.matrix.sums import Operation, SumOfProducts
from microbp.rules import Rule

__all__ = ["CONSTANT", "INPUT", "LOOSE", "Block", "Group", "Homes", "Slot", "grouped"]

#: Where a value stands that is in no group: numbers; inputs; parameters that are in no array yet.
CONSTANT, INPUT, LOOSE = -1, -2, -3
Places = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


class Homes:
    """For each position of the graph its array, by number, and its place there.

    Groups count from 0, arrays of parameters from -10 downwards.
    """

    def __init__(self, captured: Captured, roles: Roles, array_of: dict[int, tuple[int, int]]) -> None:
        size = len(captured.graph.nodes)
        self.home = [CONSTANT] * size
        self.place = [0] * size
        #: For each position that is a parameter its index in ``captured.params``.
        self.index: dict[int, int] = {}
        for index, position in enumerate(captured.inputs):
            if position is not None and roles.role[position] is Role.INPUT:
                self.home[position], self.place[position] = INPUT, index
        for index, position in enumerate(captured.params):
            if position is not None:
                self.home[position], self.place[position] = array_of.get(index, (LOOSE, index))
                self.index[position] = index

    def of(self, reference: Reference) -> int:
        """The number of the array in which an operand stands."""
        return self.home[reference] if type(reference) is int else CONSTANT

    def at(self, reference: Reference) -> tuple[int, int]:
        """The array, in the order in which arrays were made, and the place there."""
        assert type(reference) is int
        return -self.home[reference], self.place[reference]


@dataclass
class Slot:
    """What stands at one place among the operands of a group: numbers, or places in one array."""

    home: int
    #: One for each member; for an argument that runs over a list, a row for each member.
    places: Places
    #: Their numbers, where they are constants.
    numbers: Numbers


@dataclass(eq=False)
class Block:
    """Terms of a sum that multiply two arrays, or that take one array with a factor for each term."""

    #: For each member a row with the factor of each term; of products they are all 1 or all -1.
    factors: Numbers
    right: Slot
    left: Slot | None = None

    @property
    def is_square(self) -> bool:
        """Whether both sides are the same."""
        left, right = self.left, self.right
        return left is not None and left.home == right.home and bool((left.places == right.places).all())


@dataclass
class Group:
    """Values that one line computes."""

    rule: Rule | None
    members: list[int]
    varies: bool
    array: Array
    #: The smallest position of a value in it. Since all members use the same arrays, to go through the groups
    #: in the order of this number is to go through them with operands first.
    first: int
    #: The operands of a rule: for each argument one slot, or for an argument in ``over`` its pieces.
    slots: list[list[Slot]] = field(default_factory=list)
    #: The terms of a sum of products, and for each member its constant.
    blocks: list[Block] = field(default_factory=list)
    constants: Numbers = field(default_factory=lambda: np.zeros(0))
    #: The name of its gradient, and what a comment says of it.
    delta: str = ""
    comment: str = ""

    @property
    def uses(self) -> set[int]:
        """The numbers of the arrays in which its operands stand."""
        found = {slot.home for slots in self.slots for slot in slots}
        for block in self.blocks:
            found |= {block.right.home, *([block.left.home] if block.left else [])}
        return found


def grouped(
    operations: list[Operation | SumOfProducts], captured: Captured, roles: Roles, homes: Homes, most: int
) -> list[Group] | None:
    """The groups, each after those that it uses; None where there are more than ``most``."""
    levels: list[list[Operation | SumOfProducts]] = []
    level = [0] * len(captured.graph.nodes)
    for each in operations:
        if isinstance(each, Operation):
            depth = max((level[x] for x in each.operands if type(x) is int), default=0)
        else:
            depth = max(max(level[u], 0 if v is None else level[v]) for _, u, v in each.terms)
        level[each.position] = depth + 1
        while len(levels) <= depth:
            levels.append([])
        levels[depth].append(each)
    groups: list[Group] = []
    if len(levels) > most:
        return None
    for layer in levels:
        alike: dict[object, list[Operation | _Sorted]] = defaultdict(list)
        for each in layer:
            if isinstance(each, Operation):
                alike[_kind(each, homes)].append(each)
            else:
                terms = _sorted(each, roles, homes)
                alike[terms.kind].append(terms)
        for members in alike.values():
            made = _group(members, len(groups), roles, homes)
            # Arrays get their gradients as a whole: what uses one of which any value trains comes before it.
            made.array.trains |= any(groups[home].array.trains for home in made.uses if home >= 0)
            groups.append(made)
        if len(groups) > most:
            return None
    return groups


def _kind(operation: Operation, homes: Homes) -> object:
    """The rule and its arrays; what is computed from one parameter each is alike whatever its array."""
    found = tuple(map(homes.of, operation.operands))
    computed = [home for home in found if home != CONSTANT]
    if len(computed) == 1 and computed[0] <= LOOSE and not operation.rule.over:
        found = tuple(CONSTANT if home == CONSTANT else LOOSE for home in found)
    return operation.rule, found


@dataclass
class _Sorted:
    """A sum with its terms by the arrays that they multiply, and by their places there."""

    position: int
    constant: float
    kind: object
    #: For each pair of arrays the factors, the places on the left and on the right.
    parts: dict[tuple[int, int | None, int], tuple[Numbers, Places, Places]]


def _sorted(total: SumOfProducts, roles: Roles, homes: Homes) -> _Sorted:
    home, place, varies = homes.home, homes.place, roles.varies
    parts: dict[tuple[int, int | None, int], list[tuple[int, int, float]]] = defaultdict(list)
    for factor, first, second in total.terms:
        if second is None:
            parts[0, None, home[first]].append((place[first], 0, factor))
            continue
        assert factor in (1.0, -1.0)
        # What varies less stands on the left, as weights do.
        left, right = sorted((first, second), key=lambda each: (varies[each], home[each], place[each]))
        parts[int(factor), home[left], home[right]].append((place[right], place[left], 1.0))
    made: dict[tuple[int, int | None, int], tuple[Numbers, Places, Places]] = {}
    for key in sorted(parts, key=lambda key: (key[1] is None, -key[2], -(key[1] or 0), -key[0])):
        rights, lefts, factors = zip(*sorted(parts[key]), strict=True)
        made[key] = (
            np.array(factors) * (key[0] or 1),
            np.array(lefts, dtype=np.int64),
            np.array(rights, dtype=np.int64),
        )
    kind = tuple((key, len(factors)) for key, (factors, _, _) in made.items())
    return _Sorted(total.position, total.constant, kind, made)


def _group(
    members: list[Operation] | list[_Sorted] | list[Operation | _Sorted],
    number: int,
    roles: Roles,
    homes: Homes,
) -> Group:
    """One group of equal values, its members in the order in which their operands stand."""
    first = members[0]
    smallest = min(each.position for each in members)
    if isinstance(first, _Sorted):
        sums = [each for each in members if isinstance(each, _Sorted)]
        sums.sort(key=_order_of_sum)
        sums = _different(sums, lambda each: (each.constant, *_order_of_sum(each)), number, homes)
        group = Group(None, [each.position for each in sums], False, Array("", ()), smallest)
        group.constants = np.array([each.constant for each in sums])
        for key in first.parts:
            _, left, right = key
            factors, lefts, rights = (
                np.array([each.parts[key][which] for each in sums]) for which in range(3)
            )
            none = np.zeros(0)
            group.blocks.append(
                Block(
                    np.asarray(factors, dtype=float),
                    Slot(right, rights, none),
                    None if left is None else Slot(left, lefts, none),
                )
            )
    else:
        plain = [each for each in members if isinstance(each, Operation)]
        computed = [n for n, each in enumerate(first.operands) if homes.of(each) != CONSTANT]
        computed.sort(key=lambda n: -homes.of(first.operands[n]) if homes.of(first.operands[n]) < 0 else -1e9)
        plain.sort(key=lambda each: [homes.at(each.operands[n]) for n in computed])
        plain = _different(plain, lambda each: _operand_places(each, homes), number, homes)
        group = Group(first.rule, [each.position for each in plain], False, Array("", ()), smallest)
        group.slots = _slots(first.rule, plain, homes)
    head = group.members[0]
    group.varies = bool(roles.varies[head])
    trains = any(roles.trains[each] for each in group.members)
    group.array = Array("", (len(group.members),), group.varies, trains)
    return group


Member = TypeVar("Member", Operation, _Sorted)


def _different(
    members: list[Member], key: Callable[[Member], object], number: int, homes: Homes
) -> list[Member]:
    """The members without those that compute what another computes; each gets its place in the group."""
    places: dict[object, int] = {}
    kept: list[Member] = []
    for each in members:
        mark = key(each)
        if mark not in places:
            places[mark] = len(kept)
            kept.append(each)
        homes.home[each.position], homes.place[each.position] = number, places[mark]
    return kept


def _operand_places(operation: Operation, homes: Homes) -> object:
    return tuple(
        homes.at(each) if type(each) is int else ("number", float(each).hex())
        for each in operation.operands
    )


def _order_of_sum(total: _Sorted) -> tuple[bytes, bytes, bytes]:
    """Rights before lefts: in a full grid of both, the right is the outer loop."""
    rights = b"".join(right.astype(">i8").tobytes() for _, _, right in total.parts.values())
    lefts = b"".join(left.astype(">i8").tobytes() for _, left, _ in total.parts.values())
    factors = b"".join(factor.tobytes() for factor, _, _ in total.parts.values())
    return rights, lefts, factors


def _slots(rule: Rule, members: list[Operation], homes: Homes) -> list[list[Slot]]:
    """For each argument its slot; an argument in ``over`` has one for each run of one array."""
    slots = []
    columns = rule.split(range(len(members[0].operands)))
    for arg, which in zip(rule.args, columns, strict=True):
        if arg not in rule.over:
            slots.append([_slot(members, [which], homes, flat=True)])
            continue
        pieces: list[Slot] = []
        run: list[int] = []
        for column in which:
            if run and homes.of(members[0].operands[column]) != homes.of(members[0].operands[run[0]]):
                pieces.append(_slot(members, run, homes))
                run = []
            run.append(column)
        pieces.append(_slot(members, run, homes))
        slots.append(pieces)
    return slots


def _slot(members: list[Operation], columns: list[int], homes: Homes, flat: bool = False) -> Slot:
    rows = [[each.operands[column] for column in columns] for each in members]
    used = {homes.of(each) for row in rows for each in row}
    home = LOOSE if len(used) > 1 else used.pop()  # parameters of several arrays
    if home == CONSTANT:
        numbers = np.array([[float(x) for x in row] for row in rows])
        return Slot(home, np.zeros(0, dtype=np.int64), numbers[:, 0] if flat else numbers)
    place = homes.index if home == LOOSE else homes.place
    places = np.array([[place[x] for x in row] for row in rows], dtype=np.int64)  # type: ignore[index]
    return Slot(home, places[:, 0] if flat else places, np.zeros(0))
