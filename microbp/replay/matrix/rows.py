"""A rule over a group: its operands by the names of its arguments, its value, its local derivatives."""

from __future__ import annotations

import ast
from typing import NamedTuple

from microbp.expr import Expression
from microbp.replay.matrix.build import Tree, call, is_number, mul, number, parsed, text
from microbp.replay.matrix.groups import CONSTANT, Group, Slot
from microbp.replay.matrix.operands import pieces, vector_slot
from microbp.replay.matrix.passing import Contribution, Upstream
from microbp.replay.matrix.texts import array_tree, reduced, reduction
from microbp.replay.matrix.writer import Writer

__all__ = ["Shaped", "rule_gradients", "rule_value"]


class Shaped(NamedTuple):
    """A tree; whether it has the batch as its first axis; and whether it has an entry for each member."""

    tree: Tree
    batch: bool
    full: bool


class Operands:
    """What the names of a rule's row stand for."""

    def __init__(self, writer: Writer, group: Group) -> None:
        rule = group.rule
        assert rule is not None
        self.scope: dict[str, Tree] = {}
        #: The trees in it that are no numbers, by their ids.
        self._known: dict[int, Shaped] = {}
        deep = bool(rule.over) and len(group.members) > 1
        for arg, slots in zip(rule.args, group.slots, strict=True):
            if arg in rule.over:
                tree, full = pieces(writer, slots), True
            else:
                tree, full = vector_slot(writer, slots[0])
                tree = _deep(tree) if deep and is_number(tree) is None else tree
            self.scope[arg] = self.add(tree, _varies(writer, slots), full)
        y = parsed(group.array.name)
        self.scope["y"] = self.add(_deep(y) if deep else y, group.varies, full=True)

    def add(self, tree: Tree, batch: bool, full: bool) -> Tree:
        """The same tree, which is known then."""
        if is_number(tree) is None:
            self._known[id(tree)] = Shaped(tree, batch, full)
        return tree

    def shaped(self, tree: Tree) -> Shaped:
        """A tree that is made of them; where a literal decides a branch, some of them are not in it."""
        found = [self._known[id(part)] for part in ast.walk(tree) if id(part) in self._known]
        return Shaped(tree, any(each.batch for each in found), any(each.full for each in found))


def _varies(writer: Writer, slots: list[Slot]) -> bool:
    return any(slot.home != CONSTANT and writer.arrays[slot.home].varies for slot in slots)


def _widths(slots: list[Slot]) -> list[int]:
    return [(slot.numbers if slot.home == CONSTANT else slot.places).shape[1] for slot in slots]


def _deep(tree: Tree) -> Tree:
    return parsed(f"({text(tree)})[..., None]")


def _shaped(writer: Writer, group: Group, expression: Expression, operands: Operands) -> Shaped:
    """The expression; its sums and maxima over the elements get names, and are computed once."""
    rule = group.rule
    assert rule is not None
    keep = ", keepdims=True" if group.varies or len(group.members) > 1 else ""
    length = sum(_widths(group.slots[rule.args.index(rule.over[0])])) if rule.over else 0

    def aggregate(function: str, elements: Tree) -> Tree:
        single = is_number(elements)
        if single is not None:
            return number(reduced(function, single, length))
        name = {"total": "total1", "largest": "top1", "rest": "rest1"}[function]
        _, batch, full = operands.shaped(elements)
        return operands.add(writer.keep(name, reduction(function, elements, keep=bool(keep))), batch, full)

    return operands.shaped(array_tree(expression, operands.scope, aggregate))


def rule_value(writer: Writer, group: Group) -> Shaped:
    """The rule's value for each member."""
    rule = group.rule
    assert rule is not None
    m = len(group.members)
    found = _shaped(writer, group, rule.y, Operands(writer, group))
    if rule.over and m > 1 and is_number(found.tree) is None:
        found = found._replace(tree=parsed(f"({text(found.tree)})[..., 0]"))
    return found._replace(full=found.full or m == 1)


def rule_gradients(writer: Writer, group: Group, upstream: Upstream) -> list[Contribution]:
    """What each operand receives: the upstream gradient times the local derivative."""
    delta, batch, full = upstream
    rule = group.rule
    assert rule is not None
    operands = Operands(writer, group)
    m = len(group.members)
    lead = "n, " if group.varies else ""
    found: list[Contribution] = []
    for arg, slots, expression in zip(rule.args, group.slots, rule.d, strict=True):
        if all(slot.home == CONSTANT for slot in slots):
            continue
        local, local_batch, local_full = _shaped(writer, group, expression, operands)
        has_batch = batch or local_batch
        if arg not in rule.over:
            if rule.over and m > 1 and is_number(local) is None:
                local = parsed(f"({text(local)})[..., 0]")
            product = mul(delta, local)
            slot = slots[0]
            has_all = full or m == 1 or local_full
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
