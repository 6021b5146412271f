"""A rule over a group: its operands by the names of its arguments, its value, its local derivatives."""

from __future__ import annotations

from typing import NamedTuple

from microbp.expr import Expression
from microbp.replay.matrix.build import Tree, call, is_number, mul, number, parsed, text
from microbp.replay.matrix.groups import CONSTANT, Group, Slot
from microbp.replay.matrix.operands import pieces, vector_slot
from microbp.replay.matrix.passing import Contribution, Upstream
from microbp.replay.matrix.texts import array_tree
from microbp.replay.matrix.writer import Writer

__all__ = ["rule_gradients", "rule_value"]


class Operands(NamedTuple):
    """What the names of a rule's row stand for, and which of them vary or have an entry for each member."""

    scope: dict[str, Tree]
    varying: set[str]
    full: set[str]


def _operands(writer: Writer, group: Group) -> Operands:
    rule = group.rule
    assert rule is not None
    m = len(group.members)
    deep = bool(rule.over) and m > 1
    found = Operands({}, set(), set())
    for arg, slots in zip(rule.args, group.slots, strict=True):
        if arg in rule.over:
            found.scope[arg], full = pieces(writer, slots), True
        else:
            tree, full = vector_slot(writer, slots[0])
            found.scope[arg] = _deep(tree) if deep and is_number(tree) is None else tree
        if any(slot.home != CONSTANT and writer.arrays[slot.home].varies for slot in slots):
            found.varying.add(arg)
        if full:
            found.full.add(arg)
    y = parsed(group.array.name)
    found.scope["y"] = _deep(y) if deep else y
    found.full.add("y")
    if group.varies:
        found.varying.add("y")
    return found


def _widths(slots: list[Slot]) -> list[int]:
    return [(slot.numbers if slot.home == CONSTANT else slot.places).shape[1] for slot in slots]


def _deep(tree: Tree) -> Tree:
    return parsed(f"({text(tree)})[..., None]")


def _array_tree(writer: Writer, group: Group, expression: Expression, operands: Operands) -> Tree:
    """The expression; its sums and maxima over the elements get names, and are computed once."""
    rule = group.rule
    assert rule is not None
    keep = ", keepdims=True" if group.varies or len(group.members) > 1 else ""
    length = sum(_widths(group.slots[rule.args.index(rule.over[0])])) if rule.over else 0

    def aggregate(function: str, elements: Tree) -> Tree:
        single = is_number(elements)
        if single is not None:
            return number(single * length if function == "total" else single)
        method, name = ("sum", "total1") if function == "total" else ("max", "top1")
        return writer.keep(name, parsed(f"({text(elements)}).{method}(axis=-1{keep})"))

    return array_tree(expression, operands.scope, aggregate)


def rule_value(writer: Writer, group: Group) -> tuple[Tree, bool]:
    """The rule's value for each member, and whether it has an entry for each."""
    rule = group.rule
    assert rule is not None
    operands = _operands(writer, group)
    tree = _array_tree(writer, group, rule.y, operands)
    if rule.over and len(group.members) > 1:
        return parsed(f"({text(tree)})[..., 0]"), True
    return tree, len(group.members) == 1 or any(arg in operands.full for arg in rule.args)


def rule_gradients(writer: Writer, group: Group, upstream: Upstream) -> list[Contribution]:
    """What each operand receives: the upstream gradient times the local derivative."""
    delta, batch, full = upstream
    rule = group.rule
    assert rule is not None
    operands = _operands(writer, group)
    m = len(group.members)
    lead = "n, " if group.varies else ""
    found: list[Contribution] = []
    for arg, slots, expression in zip(rule.args, group.slots, rule.d, strict=True):
        if all(slot.home == CONSTANT for slot in slots):
            continue
        local = _array_tree(writer, group, expression, operands)
        used = set() if is_number(local) is not None else set(expression.names)
        has_batch = batch or bool(used & operands.varying)
        if arg not in rule.over:
            if rule.over and m > 1 and is_number(local) is None:
                local = parsed(f"({text(local)})[..., 0]")
            product = mul(delta, local)
            slot = slots[0]
            has_all = full or m == 1 or bool(used & operands.full)
            moves = has_batch and group.varies
            found.append(Contribution(slot.home, slot.places, product, moves, not group.varies, has_all))
            continue
        widths = _widths(slots)
        length = sum(widths)
        product = mul(delta if m == 1 or is_number(delta) is not None else _deep(delta), local)
        loose = is_number(local) is None and bool(expression.loose(rule.over))
        if m > 1 or not loose or not has_batch:
            shape = f"({lead}{m}, {length})" if m > 1 else f"({lead}{length},)"
            product = call("np.broadcast_to", product, parsed(shape))
        if len(slots) > 1:
            product = writer.assign(writer.names.new("parts1"), product)
        start = 0
        for slot, width in zip(slots, widths, strict=True):
            part = product
            if len(slots) > 1:
                part = parsed(f"{text(product)}[..., {start}:{start + width}]")
            start += width
            if slot.home == CONSTANT:
                continue
            if m > 1:
                part = parsed(f"({text(part)}).reshape({'n, -1' if group.varies else '-1'})")
            elif width == 1 and not group.varies:
                part = parsed(f"({text(part)})[0]")
            places = slot.places.ravel()
            found.append(Contribution(slot.home, places, part, group.varies, not group.varies, True))
    return found
