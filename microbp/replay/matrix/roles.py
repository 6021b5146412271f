"""What each value of a graph is to a batch: constant, parameter, input, or computed from these."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from microbp.replay.captured import Captured

__all__ = ["Reference", "Role", "Roles", "roles"]

#: An operand: the position of a value in the graph, or a number that no sample changes.
Reference = int | float


class Role(IntEnum):
    """The role of a value; what depends on neither inputs nor parameters is a constant."""

    CONSTANT = 0
    PARAMETER = 1
    INPUT = 2
    COMPUTED = 3


class Roles(NamedTuple):
    """The role of each position of a graph, and what it depends on."""

    role: list[Role]
    #: Whether it depends on the sample.
    varies: bytearray
    #: Whether it depends on a parameter that takes a gradient.
    trains: bytearray
    #: How often it is an operand, and once more for each time that it is an output.
    uses: list[int]


def roles(captured: Captured) -> Roles:
    """The roles of all positions, in one pass over the nodes."""
    nodes = captured.graph.nodes
    size = len(nodes)
    role = [Role.CONSTANT] * size
    varies, trains, uses = bytearray(size), bytearray(size), [0] * size
    for place in captured.inputs:
        if place is not None:
            role[place], varies[place] = Role.INPUT, 1
    for place, trained in zip(captured.params, captured.trained, strict=True):
        if place is not None:
            role[place], trains[place], varies[place] = Role.PARAMETER, trained, 0
    for node in nodes:
        if node.rule is None:
            continue
        moved = learned = depends = 0
        for operand in node.operands:
            if type(operand) is int:
                uses[operand] += 1
                moved |= varies[operand]
                learned |= trains[operand]
                depends |= role[operand]
        if depends:
            position = node.position
            role[position], varies[position], trains[position] = Role.COMPUTED, moved, learned
    for place in captured.outputs:
        uses[place] += 1
    return Roles(role, varies, trains, uses)
