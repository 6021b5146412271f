"""The source of a batch: two functions, with the names that the user gave."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.graph import Node
from microbp.replay.captured import Captured, Generated, ParameterArray
from microbp.replay.matrix.arrays import Array, Names
from microbp.replay.matrix.backward import backward
from microbp.replay.matrix.claims import Parameters, claim
from microbp.replay.matrix.forward import forward
from microbp.replay.matrix.groups import CONSTANT, INPUT, LOOSE, Group, Homes, grouped
from microbp.replay.matrix.parameters import named_arrays, word
from microbp.replay.matrix.pool import settle
from microbp.replay.matrix.roles import Roles, roles
from microbp.replay.matrix.sums import operations
from microbp.replay.matrix.table import tabled
from microbp.replay.matrix.texts import HELPERS
from microbp.replay.matrix.writer import Writer
from microbp.replay.words import counted, one_line

__all__ = ["MANY", "generate", "matrices"]

#: Constant arrays of up to so many numbers stand in the source.
SHORT = 4096
#: A graph of more groups than this becomes a loop over a table: so many lines would compile for seconds.
MANY = 3000


class Plan:
    """All that is decided about a graph before any line is written."""

    def __init__(self, captured: Captured, known: Roles) -> None:
        self.captured = captured
        self.names = Names(
            ["x", "n", "np", "math", "value", "value_and_grad", "wrt_x", "dx", "costs", *HELPERS]
        )
        self.parameters = Parameters(named_arrays(captured.param_names), self.names, len(captured.params))
        self.homes = Homes(captured, known, self.parameters.place)
        found = grouped(operations(captured, known), captured, known, self.homes, MANY)
        self.fits = found is not None
        self.groups = found or []
        self.arrays: dict[int, Array] = {}
        self.constants: dict[str, npt.NDArray[Any]] = {}
        if found is None:
            return
        #: The groups in the order in which the user computed them.
        self.order = sorted(range(len(found)), key=lambda index: found[index].first)
        self.numbers = claim(self.groups, self.order, self.parameters, captured.param_names)
        self.pool = settle(self.groups, self.parameters, self.arrays, self.names)
        for home, each in self.parameters.arrays.items():
            frozen = tuple(n for n, member in enumerate(each.members) if not captured.trained[member])
            trains = len(frozen) < len(each.members)
            self.arrays[home] = Array(each.name, each.shape, trains=trains, parameter=True, frozen=frozen)
        self.arrays[INPUT] = Array("x", (len(captured.inputs),), varies=True)
        for index, group in enumerate(self.groups):
            self.arrays[index] = group.array
        _name_groups(self)

    def writer(self) -> Writer:
        """A writer for one of the functions."""
        names = Names(self.names.taken | {*self.constants})
        return Writer(self.arrays, names, self.constants)

    def place(self, position: int) -> tuple[int, int]:
        """The array and the place of a value."""
        home, place = self.homes.home[position], self.homes.place[position]
        if home == LOOSE:
            return self.parameters.place[place]
        return home, place


def generate(captured: Captured) -> Generated:
    """NumPy source for a batch of samples of a recorded graph."""
    return matrices(captured) or tabled(captured)


def matrices(captured: Captured) -> Generated | None:
    """The same; None where there are so few matrices in the graph that it would be a table."""
    plan = Plan(captured, roles(captured))
    if not plan.fits:
        return None
    parts = [plan.parameters.arrays[home] for home in plan.pool]
    rest = [array for home, array in plan.parameters.arrays.items() if home not in plan.pool]
    arrays = (*parts, *sorted(rest, key=lambda array: array.members[0]))
    pool = None
    if parts:
        members = tuple(index for array in parts for index in array.members)
        pool = ParameterArray(plan.arrays[LOOSE].name, (len(members),), members)
    value, both = plan.writer(), plan.writer()
    for writer in (value, both):
        writer.line("n = len(x)")
        forward(writer, [plan.groups[index] for index in plan.order])
    _outputs(value, plan)
    _cost(both, plan)
    outputs = [plan.place(each) for each in captured.outputs]
    seeds = [(home, place) for home, place in outputs if home != CONSTANT]
    backward(both, plan.groups, plan.order, seeds, plan.pool)
    both.line("return costs, dx")
    names = [each.name for each in (*([pool] if pool else []), *arrays)]
    given, gradients = ["x", *names], [f"d{each}" for each in names]
    lines = ["import numpy as np", ""]
    if pool:
        lines += [*_told(pool.name, parts), ""]
    body = "\n".join(code for writer in (value, both) for code, _ in writer.lines)
    helpers = [source for name, source in HELPERS.items() if re.search(rf"\b{name}\(", body)]
    if any("math." in each for each in helpers):
        lines[:0] = ["import math", ""]
    short = {name: array for name, array in plan.constants.items() if array.size <= SHORT}
    lines += [f"{name} = np.array({_listed(array)})" for name, array in short.items()]
    lines += [""] * bool(short)
    for helper in helpers:
        lines += ["", helper]
    watched: set[int] = set()
    for head, writer, blank in (
        (f"def value({', '.join(given)}):", value, 2),
        (f"def value_and_grad({', '.join([*given, *gradients, 'wrt_x=False'])}):", both, 1),
    ):
        lines += [""] * (writer is value) + [head]
        start = 1 + "\n".join(lines).count("\n") + 1  # a helper is one entry of several lines
        watched.update(start + each for each in writer.watched)
        lines += [*writer.source(), *[""] * blank]
    size = counted(len(captured.graph.nodes), "scalar")
    description = f"{size} became {counted(len(plan.groups), 'array operation')}"
    for index in plan.order:
        group = plan.groups[index]
        shape = ", ".join(["n"] * group.varies + [str(len(group.members))])
        description += f"\n  {group.array.name} ({shape}): {group.comment}"
    constants = {name: array for name, array in plan.constants.items() if name not in short}
    return Generated(
        "\n".join(lines), arrays, constants, description,
        exact=False, watched=frozenset(watched), pool=pool,
    )  # fmt: skip


def _told(pool: str, parts: list[ParameterArray]) -> list[str]:
    """What a reader has to know of the pool."""
    views = ", ".join(f"{each.name} {each.shape}" for each in parts)
    told = f"{pool} is one vector; {views} are views of it, one part after the other. So it is with d{pool}."
    return [f"# {line}" for line in textwrap.wrap(told, 100)]


def _listed(array: npt.NDArray[Any]) -> str:
    text = repr(array.tolist())
    return re.sub(r"\b(nan|inf)\b", r"np.\1", text)


def _outputs(writer: Writer, plan: Plan) -> None:
    parts = []
    for position in plan.captured.outputs:
        home, place = plan.place(position)
        parts.append((home, place, plan.captured.graph.nodes[position].data))
    homes = {home for home, _, _ in parts}
    if len(homes) == 1 and CONSTANT not in homes:
        (home,) = homes
        array = plan.arrays[home]
        if array.varies and [place for _, place, _ in parts] == list(range(array.size)):
            writer.line(f"return {array.name}")
            return
    writer.line(f"y = np.empty((n, {len(parts)}))")
    for index, (home, place, data) in enumerate(parts):
        writer.line(f"y[:, {index}] = {_entry(plan, home, place, data)}")
    writer.line("return y")


def _entry(plan: Plan, home: int, place: int, data: float) -> str:
    if home == CONSTANT:
        return repr(data) if np.isfinite(data) else f"float('{data}')"
    array = plan.arrays[home]
    if array.varies:
        return f"{array.name}[:, {place}]"
    if not array.shape or (array.size == 1 and not array.parameter):
        return array.name
    return f"{array.name}[{', '.join(map(str, np.unravel_index(place, array.shape)))}]"


def _cost(writer: Writer, plan: Plan) -> None:
    entries = []
    varies = False
    for position in plan.captured.outputs:
        home, place = plan.place(position)
        entries.append(_entry(plan, home, place, plan.captured.graph.nodes[position].data))
        varies = varies or (home != CONSTANT and plan.arrays[home].varies)
    total = " + ".join(entries)
    writer.line(f"costs = {total}" if varies else f"costs = np.full(n, {total})")


def _name_groups(plan: Plan) -> None:
    """Name the groups and their gradients as tutorials do: z1, h1, delta1."""
    nodes = plan.captured.graph.nodes
    layer_of: dict[int, str] = {}
    for index in plan.order:
        group = plan.groups[index]
        number = plan.numbers.get(index)
        if number is not None:
            layer_of[index] = number
        if given := _given_name([nodes[position] for position in group.members]):
            wanted = given
        elif number is not None:
            wanted = "z" + number
        elif group.rule is not None and len(group.slots) == 1 and group.slots[0][0].home in layer_of:
            wanted = "h" + layer_of[group.slots[0][0].home]
        else:
            wanted = "v1"
        group.array.name = plan.names.new(wanted)
        gradient = "delta" + number if number is not None else "d_" + group.array.name
        group.delta = plan.names.new(gradient)
        group.comment = _comment(plan.captured, group)


def _given_name(nodes: Sequence[Node]) -> str:
    """The name of a single value, or what the names of all values have before their numbers: h of h1, h2."""
    if not all(node.named for node in nodes):
        return ""
    if len(nodes) == 1:
        return word(nodes[0].name)
    stems = {re.sub(r"[\d\[\]., _]+$", "", node.name) for node in nodes}
    stem = stems.pop()
    return word(stem) if stem and not stems else ""


def _comment(captured: Captured, group: Group) -> str:
    nodes = captured.graph.nodes
    names = [nodes[position].name for position in group.members]
    shown = ", ".join(names) if len(names) < 3 else f"{names[0]}…{names[-1]}"
    rule = "Σ" if group.rule is None else group.rule.name
    paths = {" / ".join(name for name, _ in nodes[position].group[:2]) for position in group.members}
    where = f" in {path}" if len(paths) == 1 and (path := paths.pop()) else ""
    return one_line(f"{shown} = {rule}{where}")
