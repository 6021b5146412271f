"""The backward pass: the gradient of each group, from the last to the first, and what it passes on."""

from __future__ import annotations

import ast
from collections import defaultdict

import numpy as np

from microbp.replay.matrix.build import is_number, number, parsed, text
from microbp.replay.matrix.gradients import gradient, write_frozen, write_gradient
from microbp.replay.matrix.groups import CONSTANT, INPUT, LOOSE, Group
from microbp.replay.matrix.passing import Contribution, Upstream, block_gradients, needs_all
from microbp.replay.matrix.rows import rule_gradients
from microbp.replay.matrix.writer import Writer

__all__ = ["backward"]

#: A gradient that is longer than this stands in a line of its own.
LONG = 60


def backward(
    writer: Writer, groups: list[Group], order: list[int], outputs: list[tuple[int, int]], pool: list[int]
) -> None:
    """Write the lines that compute all gradients.

    ``outputs`` are (array, place), each seeded with 1. What only the inputs need comes last.
    """
    arrived: dict[int, list[Contribution]] = defaultdict(list)
    for home, place in outputs:
        arrived[home].append(Contribution(home, np.array([place]), number(1.0), False, False, True))
    for trains in (True, False):
        if not trains:
            _parameters(writer, arrived, pool)
            writer.line("dx = None")
            writer.line("if wrt_x:")
            writer.indent = "    "
        for index in reversed(order):
            group = groups[index]
            if group.array.trains == trains and (trains or group.varies) and arrived[index]:
                found = gradient(writer, group.array, group.delta, arrived[index])
                for each in _passed_on(writer, group, _settled(writer, group, found)):
                    arrived[each.home].append(each)
    _inputs(writer, arrived[INPUT])
    writer.indent = ""


def _inputs(writer: Writer, arrived: list[Contribution]) -> None:
    array = writer.arrays[INPUT]
    found = gradient(writer, array, "dx", arrived)
    if text(found.tree) != "dx":
        complete = found.batch and found.full
        writer.line(f"dx = {'' if complete else f'np.zeros((n, {array.size})) + '}{text(found.tree)}")


def _parameters(writer: Writer, arrived: dict[int, list[Contribution]], pool: list[int]) -> None:
    """The gradients of the parameters' arrays, and then what the pool of several of them receives."""
    apart = any(arrived[home] for home in pool) or not arrived[LOOSE]
    for home, array in writer.arrays.items():
        if array.parameter and home != LOOSE and (apart or home not in pool):
            write_gradient(writer, array, arrived[home])
    if arrived[LOOSE]:
        write_gradient(writer, writer.arrays[LOOSE], arrived[LOOSE], started=apart)
    for home, array in writer.arrays.items():
        if array.frozen and (array.trains or home in pool):
            write_frozen(writer, array)


def _settled(writer: Writer, group: Group, found: Upstream) -> Upstream:
    """The gradient under a name, where it is used more than once, is long, or must have all its entries."""
    if isinstance(found.tree, ast.Name):
        return found
    m, name, comment = len(group.members), group.delta, f"∂cost/∂({group.comment.partition(' = ')[0]})"
    if any(needs_all(writer, block) for block in group.blocks):
        if group.varies and not (found.batch and found.full):
            tree = parsed(f"np.full((n, {m}), {text(found.tree)})")
            return Upstream(writer.assign(name, tree, comment), True, True)
        if not group.varies and m > 1 and not found.full:
            tree = parsed(f"np.full({m}, {text(found.tree)})")
            return Upstream(writer.assign(name, tree, comment), False, True)
    if is_number(found.tree) is not None:
        return found
    receivers = sum(slot.home != CONSTANT for slots in group.slots for slot in slots)
    receivers += sum(1 + (block.left is not None) for block in group.blocks)
    if receivers > 1 or len(text(found.tree)) > LONG or (group.rule is not None and group.rule.over):
        return found._replace(tree=writer.assign(name, found.tree, comment))
    return found


def _passed_on(writer: Writer, group: Group, delta: Upstream) -> list[Contribution]:
    if group.rule is not None:
        return rule_gradients(writer, group, delta)
    return [each for block in group.blocks for each in block_gradients(writer, group, block, delta)]
