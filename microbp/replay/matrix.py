"""The plan of the matrix form: the groups of a graph as arrays, along which axes, with the user's names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.graph import Graph
from microbp.replay.axes import Array, Operand, Piece
from microbp.replay.code import Identifiers, counted, method, name, one_line
from microbp.replay.function_graph import Captured
from microbp.replay.groups import CONSTANT, INPUT, THETA, Block, Group, Grouping
from microbp.replay.numpy_rules import HELPERS
from microbp.replay.parameter_arrays import Parameters, claim

__all__ = ["MANY", "Plan"]

#: A graph of more groups than this has no matrices: so many lines would compile for seconds.
MANY = 3000


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
        found = parameters.arrays.items()
        self.used = dict(sorted(found, key=lambda item: int(item[1].members.flat[0])))
        #: Those of which any parameter takes a gradient.
        trained = np.array(captured.trained, dtype=bool)
        self.trains = {home for home, each in self.used.items() if trained[each.members].any()}
        self.trains |= {THETA} if trained.any() else set()
        self._name_groups(layers)
        #: For each array the places of outputs in it (of constants positions), and which outputs these are.
        self.outputs: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for which, position in enumerate(captured.outputs):
            home, place = self._grouping.of(position)
            self.outputs[home][0].append(position if home == CONSTANT else place)
            self.outputs[home][1].append(which)
        #: Which group is the cost, the sum of all outputs of a sample.
        self.cost = len(self.groups)
        self.groups.append(self._cost())
        for group in self.groups:
            self._place(group)
        #: The names of constant arrays, and these, by what is in them.
        self.constants: dict[tuple[Any, ...], tuple[str, npt.NDArray[Any]]] = {}

    def array(self, home: int) -> Array:
        """The array of that number: of parameters, of inputs, or of a group."""
        if home not in self.arrays:
            group = self.groups[home]
            lone = not group.varies and len(group.members) == 1
            self.arrays[home] = Array("", () if lone else (len(group.members),), group.varies)
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
        if members and (group.varies or members > 1):
            inner = _grid(group)
            grid = (members // inner, inner)
            group.axes, group.shape = (("j", "i"), grid) if grid[0] > 1 else (("i",), grid[1:])
        over = group.rule is not None and bool(group.rule.over)
        for each in (*group.operands, *[group.constants] * (group.rule is None)):
            array = None if each.home == CONSTANT else self.array(each.home)
            axes, shape, terms = group.axes, group.shape, each.held.shape[1:]
            if over and terms and len(each.held) == 1:
                axes, shape = (), ()
            more = terms if over or terms != (1,) else ()
            each.along(array, (*axes, *["k"] * len(more)), (*shape, *more), lone=bool(group.layout) and not over)

    def unfolded(self, at: int, piece: Piece) -> Piece:
        """A piece along the one axis ``p0`` of a group's array along the axes of its domain."""
        axes, shape = self.groups[at].axes, self.groups[at].shape
        if "p0" not in piece.dims:
            return piece
        if len(axes) == 1:
            return piece._replace(dims=tuple(axes[0] if each == "p0" else each for each in piece.dims))
        lead, tree = piece.axes[:-1], piece.squeezed.code
        return Piece(method(tree, "reshape", *map(name, lead), *shape), (*lead, *axes))

    # --------------------------------------------------------------------------------------- in words
    def _name_groups(self, layers: dict[int, str]) -> None:
        """Name the groups and their gradients as tutorials do: z1, h1, delta1."""
        self.deltas = [""] * len(self.groups)
        self.comments = [partial(self._comment, each) for each in self.groups]
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
        group_of = self.captured.graph.groups.__getitem__
        rule = "Σ" if group.rule is None else group.rule.name
        paths = {" / ".join(name for name, _ in group_of(position)[:2]) for position in group.members}
        where = paths.pop() if len(paths) == 1 else ""
        return one_line(f"{self._told(group)} = {rule}{' in ' * bool(where)}{where}")

    def delta_comment(self, at: int) -> str:
        """What the gradient of a group is."""
        return f"∂cost/∂({self._told(self.groups[at])})"

    def _told(self, group: Group) -> str:
        """The names of its values."""
        names = [self.captured.graph.names[each] for each in group.members]
        return one_line(f"{names[0]}…{names[-1]}" if len(names) > 2 else ", ".join(names))

    def describe(self) -> str:
        """How many scalars became how many array operations, and what each of these is."""
        size = counted(len(self.captured.graph), "scalar")
        told = f"{size} became {counted(len(self.order), 'array operation')}"
        for each in self.order:
            group = self.groups[each]
            shape = ", ".join(["n"] * group.varies + [str(len(group.members))])
            told += f"\n  {self.array(each).name} ({shape}): {self._comment(group)}"
        return told


def _grid(group: Group) -> int:
    """The length of the inner axis of a group's members: so that most operands repeat along it or the outer."""
    members = len(group.members)
    if group.rule is not None and group.rule.over:
        return members
    held = [each.held for each in group.operands if each.home != CONSTANT]

    def size(inner: int) -> float:
        """How many elements are left where what repeats is told once."""
        total = 0.0
        for rows in held:
            folded = rows.reshape(members // inner, inner, -1)
            again, alike = (folded == folded[:1]).all(), (folded == folded[:, :1]).all()
            total += rows.size / (members // inner if again else 1) / (inner if alike else 1)
        return total

    return min([members, *(each for each in range(2, members) if members % each == 0)], key=size)


def _given_name(record: Graph, members: Sequence[int]) -> str:
    """The name of a single value, or what the names of all values have before their numbers: h of h1, h2."""
    if not all(record.named[each] for each in members):
        return ""
    names = [record.names[each] for each in members]
    if len(names) == 1:
        return Identifiers.plain(names[0])
    stems = {re.sub(r"[\d\[\]., _]+$", "", each) for each in names}
    stem = stems.pop()
    return Identifiers.plain(stem) if stem and not stems else ""
