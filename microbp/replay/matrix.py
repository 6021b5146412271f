"""The plan of the matrix form: the groups of a graph and its parameters as arrays, with the user's names.

All parameters stand in one vector, in the order in which the user gave them. Which arrays they form is told
by their paths in modules or their names, else by the sums that use them; others stand one by one. An array is
a view of the vector where its elements lie there in even strides, as they do if they were given row by row,
and else gathered from it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.graph import Graph
from microbp.replay.axes import Array, Operand, Piece
from microbp.replay.code import Identifiers, method, name, one_line
from microbp.replay.function_graph import Captured
from microbp.replay.groups import CONSTANT, INPUT, THETA, Block, Group, Grouping
from microbp.replay.numpy_rules import HELPERS
from microbp.sweeps import Integers
from microbp.text import counted

__all__ = ["MANY", "Plan", "named_arrays"]

#: A graph of more groups than this has no matrices: so many lines would compile for seconds.
MANY = 3000
#: More parameters than this, of which each stands alone, are taken from the vector.
LOOSE = 24
_PART = re.compile(r"[^.\[\]',\s\"]+")


class Plan:
    """All that is decided about a graph before a line is written; where groups are too many, nothing."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self.names = Identifiers(["x", "n", "wrt_x", "dx", "costs", "y", *HELPERS])
        parameters = Parameters(captured, self.names)
        self._grouping = Grouping(captured, parameters.home, parameters.place, MANY)
        self.has_matrices, self.groups = not self._grouping.too_many, self._grouping.groups
        #: The groups in the order in which the user computed them.
        self.order = sorted(range(len(self.groups)), key=lambda each: self.groups[each].first)
        if not self.has_matrices:
            return
        layers = claim(self.groups, self.order, parameters)
        every = np.arange(len(captured.params))
        theta = Array(self.names.counted("theta", twin="d"), every.shape, members=every)
        self.arrays = {INPUT: Array("x", (len(captured.inputs),), varies=True), THETA: theta}
        self.arrays |= parameters.arrays
        #: The arrays of parameters, by number, in the order in which they begin in the vector of all.
        self.used = dict(sorted(parameters.arrays.items(), key=lambda item: int(item[1].members.flat[0])))
        #: Those of which any parameter takes a gradient.
        trained = np.array(captured.trained, dtype=bool)
        self.trains = {home for home, each in self.used.items() if trained[each.members].any()}
        self.trains |= {THETA} if trained.any() else set()
        #: For each array the places of outputs in it (of constants positions), and which outputs these are.
        self.outputs: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for which, position in enumerate(captured.outputs):
            home, place = self._grouping.held[position]
            self.outputs[home][0].append(position if home == CONSTANT else place)
            self.outputs[home][1].append(which)
        #: Which group is the cost, the sum of all outputs of a sample.
        self.cost = len(self.groups)
        self.groups.append(self._cost())
        for group in self.groups:
            self._place(group)
        self._name_groups(layers)
        #: The names of constant arrays, and these, by what is in them.
        self.constants: dict[tuple[Any, ...], tuple[str, npt.NDArray[Any]]] = {}

    def array(self, home: int) -> Array:
        """The array of that number: of parameters, of inputs, or of a group."""
        if home not in self.arrays:
            group = self.groups[home]
            self.arrays[home] = Array("", (len(group.members),) if group.axes else (), group.varies)
        return self.arrays[home]

    def takes(self, home: int) -> bool:
        """Whether anybody asks for the gradient of the array of that number."""
        group = self.groups[home] if home >= 0 else None
        return group.trains or group.varies if group else home == INPUT or home in self.trains

    def _cost(self) -> Group:
        constants = self.captured.graph.data[self.outputs[CONSTANT][0]].sum()
        made = Group([], varies=True, trains=True, first=len(self.captured.graph))
        made.constants = Operand(CONSTANT, np.array([float(constants)]))
        for home, (places, _) in self.outputs.items():
            if home != CONSTANT:
                unique, counts = np.unique(places, return_counts=True)
                factors = Operand(CONSTANT, counts[None].astype(float))
                made.blocks.append(Block(1.0, factors, Operand(home, unique[None])))
        if not self.outputs[CONSTANT][0]:
            del self.outputs[CONSTANT]
        return made

    # ------------------------------------------------------------------------------------------ axes
    def _place(self, group: Group) -> None:
        """The axes of a group, along which its operands are put; of a list also along k."""
        members = len(group.members)
        if members:
            inner = _grid(group)
            grid = (members // inner, inner)
            group.axes, group.shape = (("j", "i"), grid) if grid[0] > 1 else (("i",), grid[1:])
        over = group.rule is not None and bool(group.rule.over)
        for each in (*group.operands, *[group.constants] * (group.rule is None)):
            array = None if each.home == CONSTANT else self.array(each.home)
            terms = each.held.shape[1:] if over or each.width > 1 else ()
            each.along(array, (*group.axes, *["k"] * len(terms)), (*group.shape, *terms), lone=not over)
        if members == 1 and not any("i" in each.axes for each in group.operands):
            group.axes, group.shape = (), ()

    def unfolded(self, at: int, piece: Piece) -> Piece:
        """A piece along the one axis ``p0`` of a group's array along the axes of its domain."""
        axes, shape = self.groups[at].axes, self.groups[at].shape
        if "p0" not in piece.axes:
            return piece
        if len(axes) == 1:
            return piece._replace(axes=tuple(axes[0] if each == "p0" else each for each in piece.axes))
        lead = piece.axes[:-1]
        return Piece(method(piece.code, "reshape", *map(name, lead), *shape), (*lead, *axes))

    # --------------------------------------------------------------------------------------- in words
    def _name_groups(self, layers: dict[int, str]) -> None:
        """Name the groups and their gradients as tutorials do: z1, h1, delta1."""
        self.deltas = [""] * len(self.groups)
        self.comments = [*map(self._comment, self.groups)]
        for each in self.order:
            group, number = self.groups[each], layers.get(each)
            lone = group.slots[0][0].home if len(group.slots) == 1 else None
            wanted = _given_name(self.captured.graph, group.members)
            if not wanted and number is not None:
                wanted = "z" + number
            elif not wanted:
                wanted = "h" + layers[lone] if lone in layers else "v1"
            word = self.array(each).name = self.names.counted(wanted)
            self.deltas[each] = self.names.counted(f"d_{word}" if number is None else f"delta{number}")

    def _comment(self, group: Group) -> str:
        """What a group computes, and where the user computed it."""
        calls, rule = self.captured.graph.groups, "Σ" if group.rule is None else group.rule.name
        paths = {" / ".join(name for name, _ in calls[position][:2]) for position in group.members}
        where = paths.pop() if len(paths) == 1 else ""
        return one_line(f"{self.told(group)} = {rule}{' in ' * bool(where)}{where}")

    def told(self, group: Group) -> str:
        """The names of its values."""
        names = [self.captured.graph.names[each] for each in group.members]
        return one_line(f"{names[0]}…{names[-1]}" if len(names) > 2 else ", ".join(names))

    def describe(self) -> str:
        """How many scalars became how many array operations, and what each of these is."""
        size = counted(len(self.captured.graph), "scalar")
        told = [f"{size} became {counted(len(self.order), 'array operation')}"]
        for array, comment in ((self.array(each), self.comments[each]) for each in self.order):
            shape = ", ".join(["n"] * array.varies + [*map(str, array.shape)])
            told.append(f"  {array.name} ({shape}): {comment}")
        return "\n".join(told)


def _grid(group: Group) -> int:
    """The length of the inner axis of a group's members: along it or the outer most operands repeat."""
    members = len(group.members)
    if group.rule is not None and group.rule.over:
        return members
    held = [each.held for each in group.operands if each.home != CONSTANT]

    def size(inner: int) -> float:
        total = 0.0
        for rows in held:
            folded = rows.reshape(members // inner, inner, -1)
            again, alike = (folded == folded[:1]).all(), (folded == folded[:, :1]).all()
            total += rows.size / (members // inner if again else 1) / (inner if alike else 1)
        return total

    return min([members, *(each for each in range(2, members) if members % each == 0)], key=size)


def _given_name(record: Graph, members: Sequence[int]) -> str:
    """The name of a single value, or what the names of all values have before their numbers: h of h1, h2."""
    names = [record.names[each] for each in members if record.named[each]]
    if len(names) < len(members):
        return ""
    stems = {*names} if len(names) == 1 else {re.sub(r"[\d\[\]., _]+$", "", each) for each in names}
    stem = stems.pop()
    return Identifiers.plain(stem) if stem and not stems else ""


# ------------------------------------------------------------------------------------ parameters as arrays
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

    def claim(self, slot: Operand, matrix: str, line: str) -> None:
        """Make an array of what stands at a slot, of each row once, if all of it is free."""
        if slot.home != THETA:
            return
        members = slot.held
        if members.size == 1:
            members = members.reshape(())
            if self.captured.param_paths[int(members)]:
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
#: The counts in a path, and which parameter it is of.
Place = tuple[tuple[int, ...], int]


def named_arrays(paths: Iterable[tuple[Any, ...] | str]) -> list[tuple[tuple[str, ...], Integers]]:
    """The arrays that paths in modules, or names such as ``W[0,1]``, tell of: names for each, and indices."""
    # A family is what all elements of an array have in common: a path with None for each count.
    families: dict[tuple[str | None, ...], list[Place]] = defaultdict(list)
    deepest: dict[str | None, int] = defaultdict(int)
    for index, path in enumerate(paths):
        if isinstance(path, str):  # W[0,1]
            parts = tuple([int(part) if part.isdecimal() else part for part in _PART.findall(path)])
        else:  # in which a key may be anything
            parts = tuple([part if isinstance(part, int) else str(part) for part in path])
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


def _split(places: list[Place], rank: int) -> list[tuple[tuple[int, ...], Integers]] | None:
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

    A layer is a sum of products with parameters, and W1, b1 are the parameters of the first. What else is
    computed from parameters, such as a penalty, speaks of the vector of all.
    """
    numbers: dict[int, str] = {}
    for index in order:
        lefts = [each.left for each in groups[index].blocks if each.left.home <= THETA < each.right.home]
        if lefts:
            named = parameters.arrays.get(lefts[0].home)  # by the user: 2 for W2, nothing for W
            found = named and re.fullmatch(r"\D+(\d[\d_]*)", named.name)
            number = numbers[index] = found[1] if found else str(len(numbers) + 1)
            for block in groups[index].blocks:
                line = ("b" if block.left.home == CONSTANT else "w") + number
                parameters.claim(block.left, f"W{number}", line)
                parameters.claim(block.right, f"W{number}", line)
    rest = np.flatnonzero(parameters.home == THETA)
    if 0 < len(rest) <= LOOSE:
        names = parameters.captured.param_names
        for index in rest.tolist():
            parameters.add(np.array(index), names[index])
    for group in groups:
        for slot in group.operands:
            parameters.settle(slot)
    return numbers
