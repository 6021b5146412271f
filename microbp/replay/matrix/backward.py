"""The backward pass: the gradient of each group, from the last to the first, and what it passes on."""

from __future__ import annotations

import ast
from collections import defaultdict

import numpy as np

from microbp.replay.matrix.arrays import Array
from microbp.replay.matrix.build import Tree, is_number, number, parsed, text
from microbp.replay.matrix.gradients import Gradient, gradient, write_gradient
from microbp.replay.matrix.groups import INPUT, LOOSE, Group
from microbp.replay.matrix.products import Contribution, block_gradients
from microbp.replay.matrix.rows import rule_gradients
from microbp.replay.matrix.writer import Writer

__all__ = ["backward"]

#: A gradient that is longer than this stands in a line of its own.
LONG = 60


def backward(
    writer: Writer, groups: list[Group], outputs: list[tuple[int, int]], deltas: list[str], comments: list[str],
    pool: list[int],
) -> None:
    """Write the lines that compute all gradients; ``outputs`` are (array, place), each seeded with 1."""
    arrived: dict[int, list[Contribution]] = defaultdict(list)
    for home, place in outputs:
        arrived[home].append(Contribution(home, np.array([place]), number(1.0), False, False, True))
    arrays = writer.arrays
    for trains in (True, False):
        if not trains:
            writer.line("dx = None")
            if INPUT not in arrived and not any(group.varies and not group.array.trains for group in groups):
                writer.line("if wrt_x:")
                writer.indent = "    "
                writer.line("dx = np.zeros_like(x)")
                break
            writer.line("if wrt_x:")
            writer.indent = "    "
        for index in reversed(range(len(groups))):
            group = groups[index]
            if group.array.trains != trains or not arrived[index]:
                continue
            found = gradient(writer, group.array, deltas[index], arrived[index])
            found = _settled(writer, group, deltas[index], found, comments[index])
            for each in _passed_on(writer, group, found):
                if each.home >= 0 or each.home == INPUT or arrays[each.home].parameter or arrays[each.home].trains:
                    arrived[each.home].append(each)
        if trains:
            _parameters(writer, arrived, pool)
    else:
        found = gradient(writer, arrays[INPUT], "dx", arrived[INPUT])
        if text(found.tree) != "dx":
            writer.line(f"dx = {text(_complete(found, arrays[INPUT].size))}")
    writer.indent = ""


def _parameters(writer: Writer, arrived: dict[int, list[Contribution]], pool: list[int]) -> None:
    """The gradients of parameters; those of a pool of several arrays are handed to its parts."""
    if arrived[LOOSE]:
        array = writer.arrays[LOOSE]
        found = gradient(writer, array, "d" + array.name, arrived[LOOSE])
        tree = found.tree if found.full else parsed(f"np.full({array.size}, {text(found.tree)})")
        name = text(tree) if isinstance(tree, ast.Name) else text(writer.assign("d" + array.name, tree))
        start = 0
        for home in pool:
            stop = start + writer.arrays[home].size
            shape = writer.arrays[home].shape
            form = f"{name}[{start}:{stop}].reshape({shape})" if len(shape) != 1 else f"{name}[{start}:{stop}]"
            places = np.arange(stop - start).reshape(shape)
            arrived[home].append(Contribution(home, places, parsed(form), False, True, True))
            start = stop
    for home, array in writer.arrays.items():
        if array.parameter:
            write_gradient(writer, array, arrived.get(home, []))


def _complete(found: Gradient, size: int) -> Tree:
    if found.batch and found.full:
        return found.tree
    return parsed(f"np.zeros((n, {size})) + {text(found.tree)}")


def _settled(writer: Writer, group: Group, name: str, found: Gradient, comment: str) -> Gradient:
    """The gradient under a name, where it is used more than once, is long, or must have all its entries."""
    if isinstance(found.tree, ast.Name):
        return found
    m = len(group.members)
    products = [block for block in group.blocks if block.factors.shape[1] > 1]
    if products and m + len(products) > 1 or any(block.left is not None for block in products):
        if group.varies and not (found.batch and found.full):
            tree = parsed(f"np.full((n, {m}), {text(found.tree)})")
            return Gradient(writer.assign(name, tree, comment), True, True)
        if not group.varies and m > 1 and not found.full:
            return Gradient(writer.assign(name, parsed(f"np.full({m}, {text(found.tree)})"), comment), False, True)
    if is_number(found.tree) is not None:
        return found
    receivers = sum(slot.home != -1 for slots in group.slots for slot in slots)
    receivers += sum(1 + (block.left is not None) for block in group.blocks)
    if receivers > 1 or len(text(found.tree)) > LONG or (group.rule is not None and group.rule.over):
        return found._replace(tree=writer.assign(name, found.tree, comment))
    return found


def _passed_on(writer: Writer, group: Group, delta: Gradient) -> list[Contribution]:
    if group.rule is not None:
        return rule_gradients(writer, group, *delta)
    return [each for block in group.blocks for each in block_gradients(writer, group, block, *delta)]
