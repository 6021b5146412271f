"""The forward pass of the matrix form: a line for each group; and the rule of a group in its own names."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from microbp.native.rows import may_fail
from microbp.replay.contract import contract
from microbp.replay.groups import Block, Group, Slot
from microbp.replay.matrix import TERMS, Domain, Writer
from microbp.replay.numpy_rules import array_tree, reduction
from microbp.replay.trees import Tree, add, call, is_number, mul, name, number, reshaped, sub, text
from microbp.replay.views import Operand, Piece, arranged, laid

__all__ = ["RuleOf", "Sides", "block_sides", "forward", "full", "own", "terms"]

_LAST = ast.UnaryOp(ast.USub(), ast.Constant(1))


def forward(writer: Writer) -> None:
    """Write the lines that compute all groups."""
    plan = writer.plan
    assert plan.groups is not None
    for each in plan.order:
        group, domain = plan.groups[each], plan.domains[each]
        writer.watching = group.rule is not None and may_fail(group.rule)
        word = plan.group_array(each).name
        sums = group.rule is None
        piece = _sum(writer, group, domain, word) if sums else RuleOf(writer, each).piece(None)
        tree = full(piece, domain.layout, domain.sizes)
        if domain.grid[0] > 1:
            tree = reshaped(tree, *[name("n")] * group.varies, len(group.members))
        writer.assign(word, tree, plan.comments[each])
    writer.watching = False


def full(piece: Piece, axes: tuple[str, ...], sizes: Mapping[str, int | None]) -> Tree:
    """The piece with all these axes, also those that it has not."""
    tree = arranged(piece, axes)
    first = axes.index(piece.axes[0]) if piece.axes else len(axes)
    if all(each in piece.axes or (at > first and sizes[each] == 1) for at, each in enumerate(axes)):
        return tree
    if piece.axes == axes[:-1] and len(axes) > 1:
        at = ast.Constant(len(axes) - 1)
        return call("np.repeat", tree, ast.Constant(sizes[axes[-1]]), axis=at)
    shape = ast.Tuple([name("n") if sizes[axis] is None else ast.Constant(sizes[axis]) for axis in axes])
    return call("np.broadcast_to", tree, shape)


def own(writer: Writer, number_: int) -> Piece:
    """The values of a group along its axes."""
    plan = writer.plan
    domain, array = plan.domains[number_], plan.group_array(number_)
    tree = name(array.name)
    if domain.grid[0] > 1:
        tree = reshaped(tree, *[name("n")] * array.varies, *domain.grid)
    return Piece(tree, domain.layout)


# --------------------------------------------------------------------------------- sums of products
class Sides(NamedTuple):
    """A block as ``sign · Σ left · right``, with factors that differ on its left."""

    sign: float
    left: Piece
    right: Piece
    #: Their maps; None for factors.
    left_map: Operand | None
    right_map: Operand


def block_sides(writer: Writer, block: Block, domain: Domain) -> Sides:
    """The sides of a block of a sum."""
    right = domain.maps[id(block.right)]
    first = float(block.factors.flat[0])
    if block.left is not None:
        left = domain.maps[id(block.left)]
        return Sides(first, writer.read(left), writer.read(right), left, right)
    factors = writer.read(writer.plan.numbers_map(block.factors, domain))
    value = is_number(factors.tree)
    if value is not None:
        return Sides(value, Piece(number(1.0)), writer.read(right), None, right)
    return Sides(1.0, factors, writer.read(right), None, right)


def terms(block: Block, domain: Domain) -> dict[str, int | None]:
    """The axes over which a block runs."""
    count = block.factors.shape[1]
    return {**domain.sizes, "k": count} if count > 1 else domain.sizes


def _sum(writer: Writer, group: Group, domain: Domain, word: str) -> Piece:
    """The blocks, and then the constant."""
    total: Tree | None = None
    axes: set[str] = set()
    for count, block in enumerate(group.blocks, start=1):
        sign, left, right, _, _ = block_sides(writer, block, domain)
        piece = contract(left, right, domain.layout, terms(block, domain))
        tree = mul(number(sign), arranged(piece, domain.layout))
        if total is not None and count % TERMS == 0:
            total = writer.assign(word, total)
        total = tree if total is None else add(total, tree)
        axes |= {*piece.axes}
    constant = writer.read(writer.plan.numbers_map(group.constants[:, None], domain))
    axes |= {*constant.axes}
    tree = arranged(constant, domain.layout)
    value = is_number(tree)
    assert total is not None
    if value is not None and value < 0.0:
        total = sub(total, number(-value))
    elif value != 0.0:
        total = add(tree, total) if value is not None else add(total, tree)
    return laid(total, domain.layout, tuple(axis for axis in domain.layout if axis in axes))


# -------------------------------------------------------------------------------------------- rules
class RuleOf:
    """The rule of a group: its value and derivatives, with the group's operands for its arguments."""

    def __init__(self, writer: Writer, number_: int) -> None:
        plan = writer.plan
        assert plan.groups is not None
        self.writer, self.number, self.group = writer, number_, plan.groups[number_]
        self.domain = plan.domains[number_]
        rule = self.group.rule
        assert rule is not None
        self.rule = rule
        #: Of a list of operands: along k, and for a single member that is all.
        self.layout = self.domain.layout
        self.sizes = dict(self.domain.sizes)
        if rule.over:
            single = len(self.group.members) == 1
            batch = ("n",) if self.group.varies else ()
            self.layout = (*batch, "k") if single else (*batch, "i", "k")
            self.sizes["k"] = self.length
        self.scope: dict[str, Tree] = {}
        #: The texts of weights of a softmax: the largest is 1.
        self.weights: set[str] = set()
        #: By the identity of a tree in the scope, or the name of what is computed from it: its axes.
        self.axes: dict[int | str, tuple[str, ...]] = {}
        for arg, slots in zip(rule.args, self.group.slots, strict=True):
            if arg in rule.over:
                self._set(arg, self._elements(slots))
            else:
                self._set(arg, writer.read(self.domain.maps[id(slots[0])]))

    @property
    def length(self) -> int:
        """How many elements the lists have."""
        for arg, slots in zip(self.rule.args, self.group.slots, strict=True):
            if arg in self.rule.over:
                return sum(_width(slot) for slot in slots)
        return 1

    def _set(self, arg: str, piece: Piece) -> None:
        tree = arranged(piece, self.layout)
        self.scope[arg] = tree
        self.axes[id(tree)] = piece.axes

    def _elements(self, slots: list[Slot]) -> Piece:
        """The elements of an argument that runs over a list."""
        parts = [self.writer.read(self.domain.maps[id(slot)]) for slot in slots]
        if len(parts) == 1 and "k" in parts[0].axes:
            return parts[0]
        return self._wide(parts, slots)

    def _wide(self, parts: list[Piece], slots: list[Slot]) -> Piece:
        """Parts side by side, each with all its elements along the axes that any of them has."""
        axes = tuple(axis for axis in self.layout if axis == "k" or any(axis in each.axes for each in parts))
        wide = [
            full(piece, axes, {**self.sizes, "k": _width(slot)})
            for piece, slot in zip(parts, slots, strict=True)
        ]
        if len(wide) == 1:
            return Piece(wide[0], axes)
        joined = call("np.concatenate", ast.List(wide), axis=_LAST)
        return Piece(self.writer.keep("joined1", joined), axes)

    # ---------------------------------------------------------------------------------- expressions
    def piece(self, place: int | None) -> Piece:
        """The value, or the derivative in the argument at ``place``, with the axes that it has."""
        scope = self.scope
        if place is not None and "y" not in scope:
            if self.rule.over:
                array = self.writer.plan.group_array(self.number)
                single = len(self.group.members) == 1
                y = Piece(name(array.name), self.domain.layout)
                if single and array.varies:
                    y = laid(y.tree, y.axes, ("n",))
            else:
                y = own(self.writer, self.number)
            self._set("y", y)
        tree = array_tree(self.rule, place, scope, self._aggregate, self._known)
        return laid(tree, self.layout, self._axes_of(tree))

    def _axes_of(self, tree: Tree) -> tuple[str, ...]:
        """The axes of all that occurs in it."""
        found: set[str] = set()
        for each in ast.walk(tree):
            found.update(self.axes.get(id(each), ()))
            if isinstance(each, ast.Name):
                found.update(self.axes.get(each.id, ()))
        return tuple(axis for axis in self.layout if axis in found)

    def _known(self, tree: Tree) -> Tree:
        """A name for it, if it has been computed, or will be used again."""
        shift = isinstance(tree, ast.Call) and text(tree.func) == "shift"
        found = self.writer.keep("shift1", tree) if shift else self.writer.kept(tree)
        if found is None:
            return tree
        word = text(found)
        if shift:
            self.weights.add(f"np.exp(-{word})")
        elif text(tree) in self.weights:
            self.weights.add(word)
        self.axes[word] = self._axes_of(tree)
        return found

    def _aggregate(self, function: str, elements: Tree) -> Tree:
        if function == "rest" and text(elements) in self.weights:
            function = "rest_of_one"
            if isinstance(elements, ast.Call):  # they are asked for again
                axes = self._axes_of(elements)
                elements = self.writer.keep("weights1", elements)
                self.axes[text(elements)] = axes
        keep = len(self.layout) > 1
        tree = reduction(function, elements, number(float(self.length)), axis=-1, keep=keep)
        if function == "total" and keep and "k" in self._axes_of(elements):  # quicker than to add short rows
            ones = self.writer.constant(np.ones((self.length, 1)), "ones")
            tree = ast.BinOp(elements, ast.MatMult(), name(ones))
        if is_number(elements) is not None:
            return tree
        axes = tuple(axis for axis in self._axes_of(elements) if axis != "k")
        made = self.writer.keep({"total": "total1", "largest": "top1"}.get(function, "rest1"), tree)
        assert isinstance(made, ast.Name)
        self.axes[made.id] = axes
        return made


def _width(slot: Slot) -> int:
    held = slot.places if slot.numbers is None else slot.numbers
    return int(held.shape[1])
