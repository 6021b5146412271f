"""The backward pass of the matrix form: what each group passes on to its operands, and where it arrives.

A contribution is an operand's map, and how the piece is made that goes there. Those to groups and parameters
that take no gradient are made only where gradients in the inputs are asked for.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from microbp.replay.contract import contract
from microbp.replay.forward import RuleOf, block_sides, full, terms
from microbp.replay.groups import CONSTANT, INPUT, THETA, Group
from microbp.replay.matrix import TERMS, Comment, Domain, Writer
from microbp.replay.trees import (
    Tree,
    add,
    call,
    index,
    is_fresh,
    is_number,
    method,
    mul,
    name,
    number,
    reshaped,
)
from microbp.replay.views import Array, Operand, Piece, arranged, basic, mapping

__all__ = ["backward"]


class Contribution(NamedTuple):
    """What is passed on to an operand."""

    operand: Operand
    #: The piece, of some of the operand's axes, best in the order that is given.
    make: Callable[[tuple[str, ...]], Piece]


def backward(writer: Writer) -> None:
    """Write it, with the derivatives in the inputs at the end."""
    _Backward(writer).write()


class _Backward:
    def __init__(self, writer: Writer) -> None:
        self.writer, self.plan = writer, writer.plan
        assert self.plan.groups is not None
        self.groups = self.plan.groups
        self.found: dict[int, list[Contribution]] = defaultdict(list)

    def write(self) -> None:
        plan, writer = self.plan, self.writer
        writer.section = "deltas"
        seeds(self)
        for number_ in reversed(plan.order):
            if self.groups[number_].trains:
                self._pass_on(number_)
        writer.section = "gradients"
        self._parameters()
        writer.plain("dx = None")
        writer.plain("if wrt_x:")
        writer.indent = "    "
        for number_ in reversed(plan.order):
            if not self.groups[number_].trains and self.groups[number_].varies:
                self._pass_on(number_)
        dx = Array("dx", plan.arrays[INPUT].shape, varies=True)
        writer.assign("dx", call("np.zeros", ast.Tuple([name("n"), ast.Constant(dx.size)])))
        for each in self.found[INPUT]:
            self._add(dx, each)
        writer.indent = ""
        writer.plain("return costs, dx")

    # ------------------------------------------------------------------------------------ passing on
    def give(self, home: int, contribution: Contribution) -> None:
        """Note what an array receives, if anybody asks for it."""
        if home >= 0:
            wanted = self.groups[home].trains or self.groups[home].varies
        else:
            wanted = home == INPUT or home in self.plan.trains
        if wanted:
            self.found[home].append(contribution)

    def _pass_on(self, number_: int) -> None:
        group, domain = self.groups[number_], self.plan.domains[number_]
        if not self.found[number_]:
            return
        known = {INPUT, *self.plan.trains}
        uses = sum(slot.home >= 0 or slot.home in known for slot in group.operands)
        delta = self._upstream(number_, uses > 1)
        if group.rule is not None:
            self._rule(number_, group, domain, delta)
            return
        for block in group.blocks:
            sign, left, right, left_map, right_map = block_sides(self.writer, block, domain)
            sizes = terms(block, domain)
            signed = delta if sign == 1.0 else Piece(mul(number(sign), delta.tree), delta.axes)
            same = left_map is not None and _is_same(left_map, right_map)
            if same:  # a square
                signed = Piece(mul(number(2.0 * sign), delta.tree), delta.axes)
            self._contract(block.right.home, right_map, sizes, signed, left)
            if left_map is not None and block.left is not None and not same:
                self._contract(block.left.home, left_map, sizes, signed, right)

    def _contract(
        self, home: int, operand: Operand, sizes: dict[str, int | None], delta: Piece, other: Piece
    ) -> None:
        self.give(home, Contribution(operand, lambda out: contract(delta, other, out, sizes)))

    def _rule(self, number_: int, group: Group, domain: Domain, delta: Piece) -> None:
        rule = RuleOf(self.writer, number_)
        for place, (arg, slots) in enumerate(zip(rule.rule.args, group.slots, strict=True)):
            start = 0
            for slot in slots:
                width = slot.places.shape[1] if arg in rule.rule.over and slot.numbers is None else 1
                if slot.numbers is not None and arg in rule.rule.over:
                    width = slot.numbers.shape[1]
                part = slice(start, start + width) if len(slots) > 1 else None
                start += width
                if slot.home == CONSTANT:
                    continue
                sizes = dict(domain.sizes)
                if arg in rule.rule.over:
                    sizes["k"] = width
                elif rule.rule.over:
                    sizes["k"] = 1
                self._slope(rule, place, slot.home, domain.maps[id(slot)], sizes, delta, part)

    def _slope(
        self, rule: RuleOf, place: int, home: int, operand: Operand, sizes: dict[str, int | None],
        delta: Piece, part: slice | None,
    ) -> None:  # fmt: skip
        """What one operand of a rule receives; ``part`` of the elements of a list are its own."""

        def make(out: tuple[str, ...]) -> Piece:
            local = rule.piece(place)
            if part is not None and "k" in local.axes:
                items = [slice(None)] * local.axes.index("k")
                local = Piece(index(local.tree, *items, part), local.axes)
            return contract(delta, local, out, sizes)

        self.give(home, Contribution(operand, make))

    # -------------------------------------------------------------------------------------- arriving
    def _upstream(self, number_: int, named: bool) -> Piece:
        """The gradient of a group along its axes, under a name where it is used more than once."""
        plan, writer = self.plan, self.writer
        array, group, domain = plan.group_array(number_), self.groups[number_], plan.domains[number_]
        word = plan.deltas[number_]

        def comment() -> str:
            return f"∂cost/∂({plan.told(group)})"

        parts = self.found.pop(number_)
        if all(_covers(each.operand, array) for each in parts):
            piece = self._whole(parts, array, word)
        else:
            piece = self._pieces(parts, array, word, comment)
        if named and not isinstance(piece.tree, ast.Name) and is_number(piece.tree) is None:
            tree = piece.tree if piece.wide is None else piece.wide
            made = writer.assign(word, tree, comment)
            if piece.wide is not None:
                items = (slice(None) if each else 0 for each in piece.pattern)
                piece = Piece(index(made, *items), piece.axes, made, piece.pattern)
            else:
                piece = Piece(made, piece.axes)
        rows, columns = domain.grid
        if "m" not in piece.axes:
            return piece
        axes = tuple("i" if axis == "m" else axis for axis in piece.axes)
        if rows > 1:
            lead = [name("n")] if "n" in axes else []
            return Piece(reshaped(piece.tree, *lead, rows, columns), (*axes[:-1], "j", "i"))
        return piece._replace(axes=axes)

    def _whole(self, parts: list[Contribution], array: Array, word: str) -> Piece:
        """The sum of contributions to all of an array, along ``n`` and ``m``."""
        total: Piece | None = None
        layout = ("n", "m") if array.varies else ("m",) if array.shape else ()
        for count, each in enumerate(parts, start=1):
            piece = _flat(each, array)
            if total is None:
                total = piece
                continue
            axes = tuple(axis for axis in layout if axis in total.axes or axis in piece.axes)
            if count % TERMS == 0:
                total = Piece(self.writer.assign(word, total.tree), total.axes)
            wide = None
            if axes == ("n",) and (total.wide is not None or piece.wide is not None):
                wide = add(arranged(total, ("n", "m")), arranged(piece, ("n", "m")))
            total = Piece(add(arranged(total, axes), arranged(piece, axes)), axes, wide)
        assert total is not None
        return total

    def _pieces(self, parts: list[Contribution], array: Array, word: str, comment: Comment) -> Piece:
        """Contributions to parts of an array, added up in one of zeros, or in the first to all of it."""
        axes = ("n", "m") if array.varies else ("m",)
        parts = sorted(parts, key=lambda each: not _covers(each.operand, array))
        target = Array(word, array.shape, array.varies)
        if _covers(parts[0].operand, array):
            piece = _flat(parts[0], array)
            if piece.axes == axes:
                tree = piece.tree if is_fresh(piece.tree) else method(piece.tree, "copy")
                self.writer.assign(word, tree, comment)
                parts = parts[1:]
                for each in parts:
                    self._add(target, each)
                return Piece(name(word), axes)
        shape: Tree = ast.Constant(array.size)
        if array.varies:
            shape = ast.Tuple([name("n"), shape])
        self.writer.assign(word, call("np.zeros", shape), comment)
        for each in parts:
            self._add(target, each)
        return Piece(name(word), axes)

    def _add(self, target: Array, each: Contribution, comment: Comment = "") -> None:
        """``target[places] += piece``; a place may occur more than once."""
        writer, operand = self.writer, each.operand
        lead = ("n",) if target.varies else ()
        found = basic(target, operand.places)
        if found is not None:
            tree, order = found
            layout = (*lead, *(operand.axes[axis] for axis in order))
            piece = each.make(layout)
            if target.varies and not operand.axes:  # a column, to which a column is added
                tree = located_column(target, operand)
                layout = ("n", "")
            value = arranged(piece, layout)
            if not isinstance(tree, ast.Name | ast.Subscript):
                tree = index(tree, ast.Constant(...))
            elif not target.shape and not target.varies:
                tree = index(tree, ast.Constant(...)) if target.members is not None else tree
            writer.add(tree, value, "+=", comment)
            return
        layout = (*lead, *operand.axes)
        piece, places = each.make(layout), operand.places
        sizes = dict(zip(operand.axes, places.shape, strict=True))
        flat, unique = places.ravel(), np.unique(places)
        items = [slice(None)] * target.varies
        if len(unique) == len(flat):
            at = name(writer.constant(places, "at"))
            writer.add(index(name(target.name), *items, at), arranged(piece, layout), "+=", comment)
            return
        value = full(piece, layout, {**sizes, "n": None})
        if len(operand.axes) > 1:
            value = reshaped(value, *[name("n")] * target.varies, len(flat))
        if not target.varies:
            at = name(writer.constant(flat, "at"))
            weights = call("np.bincount", at, value, ast.Constant(target.size))
            writer.add(name(target.name), weights, "+=", comment)
            return
        order_ = np.argsort(flat, kind="stable")
        starts = np.unique(flat[order_], return_index=True)[1]
        taken = index(value, slice(None), name(writer.constant(order_, "order")))
        sums = call("np.add.reduceat", taken, name(writer.constant(starts, "starts")), axis=1)
        once, made = Operand(operand.array, ("i",), unique), Piece(sums, ("n", "i"))
        self._add(target, Contribution(once, lambda _: made), comment)

    # ------------------------------------------------------------------------------------ parameters
    def _parameters(self) -> None:
        """The gradients of the arrays of parameters, and then what goes to the vector of all."""
        plan, writer = self.plan, self.writer
        theta = plan.arrays[THETA]
        late = self.found.pop(THETA, [])
        for home in sorted(plan.parameters, key=lambda home: int(plan.parameters[home].members.flat[0])):
            array = plan.arrays[home]
            target = Array(f"d{array.name}", array.shape, members=array.members)
            comment = f"∂cost/∂{array.name}, summed over the batch"
            parts = self.found.pop(home, [])
            taken = [each for each in parts if basic(target, each.operand.places) or len(array.shape) < 2]
            for each in parts:
                if not any(each is other for other in taken):
                    assert array.members is not None
                    places = array.members.ravel()[each.operand.places]
                    late.append(each._replace(operand=each.operand._replace(places=places)))
            taken.sort(key=lambda each: not self._is_all(target, each))
            if not taken or not self._is_all(target, taken[0]):
                writer.add(index(name(target.name), ast.Constant(...)), number(0.0), "=", comment)
            else:
                self._first(target, taken.pop(0), comment)
            for each in taken:
                self._add(target, each, comment)
        if late:
            writer.theta_used = True
            target = Array(f"d{theta.name}", theta.shape)
            for each in late:
                self._add(target, each, f"∂cost/∂{theta.name}, summed over the batch")

    def _is_all(self, target: Array, each: Contribution) -> bool:
        places = each.operand.places
        found = basic(target, places)
        return found is not None and isinstance(found[0], ast.Name) and places.size == target.size

    def _first(self, target: Array, each: Contribution, comment: Comment) -> None:
        """Write the first contribution, without an array in between where NumPy can."""
        found = basic(target, each.operand.places)
        assert found is not None
        layout = tuple(each.operand.axes[axis] for axis in found[1])
        piece = each.make(layout)
        into = name(target.name)
        if piece.axes == layout and layout:
            match piece.tree:
                case ast.BinOp(op=ast.MatMult()):
                    self.writer.add(into, piece.tree, "out", comment)
                    return
                case ast.Call(func=ast.Attribute(attr="sum"), args=[], keywords=[_]):
                    self.writer.add(into, piece.tree, "out", comment)
                    return
        self.writer.add(index(into, ast.Constant(...)), arranged(piece, layout), "=", comment)


def seeds(run: _Backward) -> None:
    """The derivative of the cost, the sum of all outputs, in each output: how often it stands there."""
    plan = run.plan
    held: dict[int, list[int]] = defaultdict(list)
    for position in plan.captured.outputs:
        home, place = plan.place(position)
        if home != CONSTANT:
            held[home].append(place)
    for home, places in held.items():
        array = plan.group_array(home) if home >= 0 else plan.arrays[home]
        unique, counts = np.unique(places, return_counts=True)
        operand = mapping(array, unique, ("o",))
        factor = mapping(None, counts.astype(float), ("o",))
        sizes: dict[str, int | None] = {"n": None, "o": len(unique)}
        make = partial(contract, Piece(number(1.0)), run.writer.read(factor), sizes=sizes)
        run.give(home, Contribution(operand, make))


def located_column(target: Array, operand: Operand) -> Tree:
    """One place of an array that varies, as a column."""
    place = int(operand.places)
    whole = name(target.name)
    return index(whole, slice(None), slice(place, place + 1)) if target.size > 1 else whole


def _covers(operand: Operand, array: Array) -> bool:
    """Whether the places are all of an array, in their order."""
    places = operand.places.ravel()
    return len(places) == array.size and bool((places == np.arange(array.size)).all())


def _is_same(left: Operand, right: Operand) -> bool:
    alike = left.array is right.array and left.axes == right.axes
    return alike and bool(np.array_equal(left.places, right.places))


def _flat(each: Contribution, array: Array) -> Piece:
    """A contribution to all of an array along ``n`` and ``m``; without ``m`` where it is one for all."""
    axes = each.operand.axes
    lead = ("n",) if array.varies else ()
    piece = each.make((*lead, *axes))
    inner = tuple(axis for axis in axes if axis in piece.axes)
    if not inner:
        return piece
    if len(axes) == 1:
        tree = arranged(piece, (*lead, *axes))
        return Piece(tree, ("n", "m") if "n" in piece.axes else ("m",))
    layout = tuple(axis for axis in (*lead, *axes) if axis in axes or axis in piece.axes)
    sizes: dict[str, int | None] = {**dict(zip(axes, each.operand.places.shape, strict=True)), "n": None}
    tree = reshaped(full(piece, layout, sizes), *[name("n")] * ("n" in layout), array.size)
    return Piece(tree, (*(("n",) if "n" in layout else ()), "m"))

