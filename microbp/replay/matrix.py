"""The matrix form: the groups of a graph as two functions of NumPy, with the names that the user gave."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.graph import Graph
from microbp.lazy import cached_property
from microbp.replay.function_graph import Captured
from microbp.replay.groups import CONSTANT, INPUT, THETA, Group, Homes, Slot, grouped
from microbp.replay.identifiers import Identifiers, one_line
from microbp.replay.numpy_rules import HELPERS
from microbp.replay.parameter_arrays import ParameterArray, Parameters, claim
from microbp.replay.sums import operations
from microbp.replay.trees import Tree, name, text
from microbp.replay.views import Array, Operand, Piece, located, mapping

__all__ = ["MANY", "Domain", "Generated", "Plan", "Statement", "Writer"]

#: A text, or what makes it when somebody reads it.
Comment = str | Callable[[], str]
#: Constant arrays of up to so many numbers stand in the source.
SHORT = 4096
#: A graph of more groups than this becomes a loop over a table: so many lines would compile for seconds.
MANY = 3000
#: A sum of more terms than this is added up in several lines.
TERMS = 12


class Generated:
    """Source for a batch.

    It defines ``value(x, W1, b1, …)`` and ``value_and_grad(x, W1, b1, …, dW1, db1, …, wrt_x=False)``.
    """

    def __init__(
        self,
        write: Callable[..., str],
        arrays: tuple[ParameterArray, ...],
        theta: str,
        constants: Mapping[str, npt.NDArray[Any]],
        describe: Callable[[], str],
        watched: frozenset[int],
    ) -> None:
        self._write, self._describe = write, describe
        #: In this order the arrays stand in those arguments; before them the vector of all, if it has a name.
        self.arrays, self.theta = arrays, theta
        #: Arrays that the source names without defining them.
        self.constants = constants
        #: The lines, counted from 1, that compute what the eager engine may refuse, such as a quotient.
        self.watched = watched

    @cached_property
    def code(self) -> str:
        """The source without its comments, in the same lines."""
        return self._write(comments=False)

    @cached_property
    def source(self) -> str:
        """What people read: names are looked up for it."""
        return self._write(comments=True)

    @cached_property
    def description(self) -> str:
        """"985 scalars became 14 array operations", and a line for each group."""
        return self._describe()


@dataclass
class Statement:
    """A line of code: what is computed, and where it goes."""

    #: None for a line that is about Python alone.
    target: Tree | None
    value: Tree | None
    #: ``=``, ``+=``, or ``out``: NumPy writes it where it is to go.
    sign: str = "="
    comment: Comment = ""
    #: ``forward``, ``deltas`` or ``gradients``.
    section: str = "forward"
    line: str = ""
    indent: str = ""
    watched: bool = False

    @property
    def code(self) -> str:
        """The line."""
        return self.indent + self._code

    @property
    def _code(self) -> str:
        if self.target is None or self.value is None:
            return self.line
        if self.sign != "out":
            return f"{text(self.target)} {self.sign} {text(self.value)}"
        match self.value:
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                return f"np.matmul({text(left)}, {text(right)}, out={text(self.target)})"
            case ast.Call(func=func, keywords=keywords):
                given = [f"{each.arg}={text(each.value)}" for each in keywords]
                return f"{text(func)}({', '.join([*given, f'out={text(self.target)}'])})"
        raise AssertionError("only products and sums are written where they go")


@dataclass
class Domain:
    """The axes of a group's members: in a grid of j by i, and where an operation runs over a list also k."""

    sizes: dict[str, int | None]
    #: The axes of its array, those of the grid for one.
    layout: tuple[str, ...]
    grid: tuple[int, int]
    #: For each slot its map, by the slot's identity.
    maps: dict[int, Operand] = field(default_factory=dict)


class Plan:
    """All that is decided about a graph before a line is written; without groups where they are too many."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        record, flags = captured.graph, captured.flags
        self.names = Identifiers(["x", "n", "wrt_x", "dx", "costs", "y", *HELPERS])
        parameters = Parameters(captured, self.names)
        self.homes = Homes(captured, parameters.home, parameters.place)
        self.groups = groups = grouped(
            operations(record, flags, captured.outputs), record, flags, self.homes, MANY
        )
        if groups is None:
            return
        #: The groups in the order in which the user computed them.
        self.order = sorted(range(len(groups)), key=lambda each: groups[each].first)
        self.numbers = claim(groups, self.order, parameters)
        self.parameters = parameters.arrays
        self.arrays: dict[int, Array] = {
            INPUT: Array("x", (len(captured.inputs),), varies=True),
            THETA: Array(self.names.counted("theta"), (len(captured.params),)),
        }
        self.names.reserve(f"d{self.arrays[THETA].name}")
        #: The arrays of parameters of which any takes a gradient.
        trained = np.array(captured.trained, dtype=bool)
        self.trains = {THETA} if trained.any() else set()
        for home, each in parameters.arrays.items():
            self.arrays[home] = Array(each.name, each.shape, members=each.members)
            if trained[each.members].any():
                self.trains.add(home)
        self.domains = [self._domain(group) for group in groups]
        self.deltas: list[str] = []
        self.comments: list[Comment] = []
        self._name_groups(groups)
        self.constants: dict[str, npt.NDArray[Any]] = {}
        #: The names of these by what is in them.
        self.held: dict[tuple[Any, ...], str] = {}

    def _domain(self, group: Group) -> Domain:
        """The axes of a group, and the maps of its operands along these."""
        members = len(group.members)
        inner = _grid(group) if members > 1 else 1
        grid = members // inner, inner
        sizes: dict[str, int | None] = {"n": None} if group.varies else {}
        axes = ("j", "i") if grid[0] > 1 else ("i",)
        sizes.update(zip(axes, grid[-len(axes) :], strict=True))
        layout = tuple(sizes) if group.varies or members > 1 else ()
        made = Domain(sizes, layout, grid)
        over = group.rule is not None and bool(group.rule.over)
        for slot in group.operands:
            made.maps[id(slot)] = self.map(slot, made, over)
        return made

    def map(self, slot: Slot, domain: Domain, over: bool = False) -> Operand:
        """The index map of a slot."""
        if slot.home == CONSTANT:
            assert slot.numbers is not None
            return grid_map(None, slot.numbers, domain, over)
        array = self.arrays[slot.home] if slot.home < 0 else self.group_array(slot.home)
        return grid_map(array, slot.places, domain, over)

    def numbers_map(self, numbers: npt.NDArray[Any], domain: Domain) -> Operand:
        """The index map of constants, a row for each member."""
        return grid_map(None, numbers, domain)

    def group_array(self, number: int) -> Array:
        """The array of a group."""
        if number not in self.arrays:
            assert self.groups is not None
            group = self.groups[number]
            scalar = not group.varies and len(group.members) == 1
            self.arrays[number] = Array("", () if scalar else (len(group.members),), group.varies)
        return self.arrays[number]

    def place(self, position: int) -> tuple[int, int]:
        """The array and the place of a value."""
        home, place = int(self.homes.home[position]), int(self.homes.place[position])
        return (THETA, int(self.homes.index[position])) if home <= THETA else (home, place)

    # --------------------------------------------------------------------------------------- in words
    def _name_groups(self, groups: list[Group]) -> None:
        """Name the groups and their gradients as tutorials do: z1, h1, delta1."""
        layer_of: dict[int, str] = {}
        self.deltas, self.comments = [""] * len(groups), [""] * len(groups)
        for each in self.order:
            group = groups[each]
            number = self.numbers.get(each)
            if number is not None:
                layer_of[each] = number
            lone = group.slots[0][0].home if len(group.slots) == 1 else None
            if given := _given_name(self.captured.graph, group.members):
                wanted = given
            elif number is not None:
                wanted = "z" + number
            elif lone in layer_of:
                wanted = "h" + layer_of[lone]
            else:
                wanted = "v1"
            array = self.group_array(each)
            array.name = self.names.counted(wanted)
            delta = f"d_{array.name}" if number is None else f"delta{number}"
            self.deltas[each] = self.names.counted(delta)
            self.comments[each] = partial(self.comment, group)

    def comment(self, group: Group) -> str:
        """What a group computes, and where the user computed it."""
        group_of = self.captured.graph.group
        rule = "Σ" if group.rule is None else group.rule.name
        paths = {" / ".join(name for name, _ in group_of(position)[:2]) for position in group.members}
        where = paths.pop() if len(paths) == 1 else ""
        return one_line(f"{self.told(group)} = {rule}{' in ' * bool(where)}{where}")

    def told(self, group: Group) -> str:
        """The names of its values."""
        name, members = self.captured.graph.name, group.members
        if len(members) > 2:
            return one_line(f"{name(members[0])}…{name(members[-1])}")
        return one_line(", ".join(map(name, members)))

    def writer(self) -> Writer:
        """A writer for one of the functions."""
        return Writer(self)


def grid_map(array: Array | None, held: npt.NDArray[Any], domain: Domain, over: bool = False) -> Operand:
    """The map of places, one or a row for each member, along the axes of a group."""
    rows, columns = domain.grid
    axes = ("j", "i") if rows > 1 else ("i",)
    shape = domain.grid if rows > 1 else (columns,)
    rest = held.shape[1:]
    lone = bool(domain.layout) and not over
    if over and len(held) == 1 and rest:
        return mapping(array, held[0], ("k",))
    if rest and (rest[0] != 1 or over):
        return mapping(array, held.reshape(*shape, *rest), (*axes, "k"), lone=lone)
    return mapping(array, held.reshape(shape), axes, lone=lone)


def _grid(group: Group) -> int:
    """The length of the inner axis of a group's members: so that operands repeat along it or the outer."""
    members, best, inner = len(group.members), 0, len(group.members)
    if group.rule is not None and group.rule.over:
        return members
    held = [slot.places if slot.numbers is None else slot.numbers for slot in group.operands]
    found = {each for slot in held for each in _repeats(slot) if members % each == 0 and 1 < each < members}
    for each in sorted(found):
        count = 0
        for slot in held:
            folded = slot.reshape(members // each, each, -1)
            count += bool((folded == folded[:1]).all()) + bool((folded == folded[:, :1]).all())
        if count > best:
            best, inner = count, each
    return inner


def _repeats(rows: npt.NDArray[Any]) -> list[int]:
    """After how many members rows change, and after how many they begin again."""
    same = (rows == rows[0]).reshape(len(rows), -1).all(axis=1)
    changes = np.flatnonzero(~same)
    if not len(changes):
        return []
    run = int(changes[0])
    again = np.flatnonzero(same[run:])
    return [run, run + int(again[0])] if len(again) else [run]


def _given_name(record: Graph, members: Sequence[int]) -> str:
    """The name of a single value, or what the names of all values have before their numbers: h of h1, h2."""
    if not record._naming.given.issuperset(members):
        return ""
    names = [*map(record.name, members)]
    if len(names) == 1:
        return Identifiers.plain(names[0])
    stems = {re.sub(r"[\d\[\]., _]+$", "", each) for each in names}
    stem = stems.pop()
    return Identifiers.plain(stem) if stem and not stems else ""


class Writer:
    """Statements of one function; names and constants of the whole source."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.statements: list[Statement] = []
        self.indent, self.section = "", "forward"
        self.watching = False
        #: Whether the vector of all parameters is used.
        self.theta_used = False
        self._kept: dict[str, str] = {}
        self._own: dict[str, int] = {}

    def twin(self) -> Writer:
        """A writer that goes on from the same statements by itself."""
        other = Writer(self.plan)
        other.statements, other.theta_used = self.statements.copy(), self.theta_used
        other._kept, other._own = self._kept.copy(), self._own.copy()
        return other

    def add(self, target: Tree, value: Tree, sign: str = "=", comment: Comment = "") -> None:
        """A line that computes something."""
        self.statements.append(
            Statement(target, value, sign, comment, self.section, "", self.indent, self.watching)
        )

    def plain(self, line: str) -> None:
        """A line that is about Python."""
        self.statements.append(Statement(None, None, "", "", self.section, line, self.indent))

    def assign(self, word: str, value: Tree, comment: Comment = "") -> Tree:
        """A line that gives a name to what is computed."""
        self.add(name(word), value, "=", comment)
        return name(word)

    def keep(self, wanted: str, tree: Tree) -> Tree:
        """A name for what ``tree`` computes; the same name when it is asked for again."""
        source = text(tree)
        if source not in self._kept:
            stem = wanted.rstrip("0123456789")
            while True:
                self._own[stem] = self._own.get(stem, 0) + 1
                word = f"{stem}{self._own[stem]}"
                if not self.plan.names.taken(word):
                    break
            self._kept[source] = word
            self.assign(word, tree)
        return name(self._kept[source])

    def kept(self, tree: Tree) -> Tree | None:
        """The name of what has been computed, if it has been."""
        word = self._kept.get(text(tree))
        return None if word is None else name(word)

    def constant(self, numbers: npt.NDArray[Any], wanted: str) -> str:
        """The name of a constant array; equal arrays have one name."""
        key = _key(numbers)
        if key not in self.plan.held:
            self.plan.held[key] = self.plan.names.counted(wanted + "1")
            self.plan.constants[self.plan.held[key]] = numbers
        return self.plan.held[key]

    def theta(self) -> str:
        """The name of the vector of all parameters."""
        self.theta_used = True
        return self.plan.arrays[THETA].name

    def read(self, operand: Operand) -> Piece:
        """The piece that reads an operand."""
        if operand.array is self.plan.arrays[THETA]:
            self.theta_used = True
        return located(operand, self.constant, self.keep, self.theta)

    def lines(self, *, comments: bool = True) -> list[str]:
        """The code, with comments in a column where there is room."""
        codes = [f"    {each.code}" for each in self.statements]
        if not comments:
            return codes
        told = [each.comment if isinstance(each.comment, str) else each.comment() for each in self.statements]
        return [f"{code:<48}  # {each}" if each else code for code, each in zip(codes, told, strict=True)]


def _key(numbers: npt.NDArray[Any]) -> tuple[Any, ...]:
    return numbers.dtype.str, numbers.shape, numbers.tobytes()
