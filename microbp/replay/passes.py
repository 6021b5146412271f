"""The forward and the backward pass of a plan as statements, and these as NumPy source for a batch.

In the backward pass a contribution is an operand's map, and how the piece is made that goes there. Those to
groups and parameters that take no gradient are made only where gradients in the inputs are asked for.
"""
# ruff: noqa: D102 (what a method is called says what it writes)

from __future__ import annotations

import ast
import math
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.axes import (
    Array,
    Axes,
    Operand,
    Piece,
    Sizes,
    arranged,
    contract,
    elementwise,
    full,
    in_order,
    is_all,
    piece_of,
    plus,
    slices,
)  # fmt: skip
from microbp.replay.code import Tree, call, index, method, name, text
from microbp.replay.groups import CONSTANT, INPUT, THETA
from microbp.replay.matrix import Plan
from microbp.replay.numpy_rules import array_code, helpers

__all__ = ["Statement", "Writer", "covering", "header", "words_of"]

#: Constant arrays of up to so many numbers stand in the source.
SHORT = 4096
#: A sum of more terms than this is added up in several lines.
TERMS = 12
#: What is passed on to an operand: the piece, of some of its axes, best in the order that is given.
Contribution = tuple[Operand, Callable[[Axes], Piece]]


class Statement(NamedTuple):
    """A line of code: what is computed, and where it goes."""

    #: None for a line that is about Python alone, which is a text.
    target: Tree | None
    value: Any
    #: ``=``, ``+=``, or ``at``: added, also twice to one place.
    sign: str
    comment: str
    #: ``forward``, ``deltas`` or ``gradients``.
    section: str
    indent: str

    @property
    def code(self) -> str:
        match self.sign, self.target:
            case _, None:
                return f"{self.indent}{self.value}"
            case "at", ast.Subscript(value=array, slice=items):
                places = text(index(name("np.s_"), items))
                return f"{self.indent}np.add.at({text(array)}, {places}, {text(self.value)})"
            case sign, target:
                return f"{self.indent}{text(target)} {sign} {text(self.value)}"


class Writer:
    """The statements of one function; names and constants are those of the whole source."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.statements: list[Statement] = []
        self.indent, self.section = "", "forward"
        #: Whether the vector of all parameters is used.
        self.theta_used = False
        #: What each array has received, by its number.
        self.found: dict[int, list[Contribution]] = defaultdict(list)
        self._kept: dict[str, str] = {}

    def copy(self) -> Writer:
        """One that goes on from here by itself."""
        other = copy(self)
        other.statements, other.found, other._kept = [*self.statements], self.found.copy(), {**self._kept}
        return other

    # ------------------------------------------------------------------------------------ statements
    def add(self, target: Tree | None, value: Any, sign: str = "=", comment: str = "") -> None:
        """A line that computes something; without a target, one that is about Python."""
        self.statements.append(Statement(target, value, sign, comment, self.section, self.indent))

    def assign(self, word: str, value: Tree, comment: str = "") -> Tree:
        self.add(name(word), value, "=", comment)
        return name(word)

    def keep(self, stem: str, tree: Tree) -> Tree:
        """A name for what ``tree`` computes; the same name when it is asked for again."""
        source = text(tree)
        if source not in self._kept:
            used, count = {*self._kept.values()}, 1
            while (word := f"{stem}{count}") in used or word in self.plan.names.taken:
                count += 1
            self._kept[source] = word
            self.assign(word, tree)
        return name(self._kept[source])

    def constant(self, numbers: npt.NDArray[Any], stem: str) -> Tree:
        """The name of a constant array; equal arrays have one name."""
        held, key = self.plan.constants, (numbers.dtype.str, numbers.shape, numbers.tobytes())
        if key not in held:
            held[key] = self.plan.names.counted(stem + "1"), numbers
        return name(held[key][0])

    def lines(self) -> list[str]:
        """The code, with comments in a column where there is room."""
        pairs = [(f"    {each.code}", each.comment) for each in self.statements]
        return [f"{code:<48}  # {told}" if told else code for code, told in pairs]

    # ---------------------------------------------------------------------------------------- to read
    def read(self, operand: Operand) -> Piece:
        held, axes = operand.held, operand.axes
        if operand.home == CONSTANT:
            return Piece(self.constant(held, "c"), axes) if axes else piece_of(float(held))
        self.theta_used |= operand.home == THETA
        array = self.plan.array(operand.home)
        piece, even = self.view(array, operand)
        return piece if even or not array.varies else piece._replace(tree=self.keep("taken", piece.code))

    def view(self, array: Array, operand: Operand) -> tuple[Piece, bool]:
        """The places of an operand in an array, and whether they are a view of it; else they are gathered."""
        axes, places = operand.axes, operand.held
        whole, lead = name(array.name), ("n",) * array.varies
        every = [slice(None)] * array.varies
        if (found := slices(places, array.shape)) is not None:
            items, order = found
            while items and isinstance(items[-1], slice) and items[-1] == slice(None):
                items.pop()
            tree = index(whole, *every, *items) if items else whole
            return Piece(tree, (*lead, *(axes[at] for at in order))), True
        if is_all(array, places):
            return Piece(method(whole, "reshape", *map(name, lead), *places.shape), (*lead, *axes)), True
        items = [self.constant(each, "at") for each in np.unravel_index(places, array.shape)]
        return Piece(index(whole, *every, *items), (*lead, *axes)), False

    # --------------------------------------------------------------------------------------- forward
    def forward(self) -> None:
        plan = self.plan
        for each in plan.order:
            group = plan.groups[each]
            word = plan.array(each).name
            piece = self.sum(each, word) if group.rule is None else self.row(each)
            tree = full(piece, group.layout, group.sizes())
            if len(group.axes) > 1:
                tree = method(tree, "reshape", *[name("n")] * group.varies, len(group.members))
            self.assign(word, tree, plan.comments[each])

    def sum(self, at: int, word: str) -> Piece:
        """The blocks of a sum of products, and then the constant."""
        group, pieces = self.plan.groups[at], list[Piece]()
        for block in group.blocks:
            left, right, sizes = self.read(block.left), self.read(block.right), group.sizes(block.right.width)
            pieces.append(contract(left, right, group.layout, sizes).scaled(block.sign))
        constant = self.read(group.constants)
        if not pieces or constant != piece_of(0.0):
            pieces.append(constant)
        return self.added(word, pieces)

    def added(self, word: str, pieces: list[Piece]) -> Piece:
        """The sum of some pieces, in several lines where they are many."""
        total, *rest = pieces
        for count, piece in enumerate(rest, start=1):
            if count % TERMS == 0:
                total = Piece(self.assign(word, total.code), total.axes)
            total = plus(total, piece)
        return total

    # ---------------------------------------------------------------------------------------- of a rule
    def row(self, at: int, place: int | None = None) -> Piece:
        """The value of a group that is of a rule, or the derivative in the argument at ``place``."""
        plan, group = self.plan, self.plan.groups[at]
        rule, scope = group.rule, dict[str, Any]()
        assert rule is not None
        for arg, slots in zip(rule.args, group.slots, strict=True):
            piece = self.elements(at, slots) if arg in rule.over else in_order(self.read(slots[0]))
            scope[arg] = piece.factor if piece.tree is None else piece
        array = plan.array(at)
        scope["y"] = plan.unfolded(at, Piece(name(array.name), array.axes))
        length = sum(each.width for each in group.slots[rule.args.index(rule.over[0])]) if rule.over else 0
        kept = {word: partial(self.aggregate, word, length) for word in ("total", "largest", "rest")}
        return in_order(array_code(rule, place, scope, {**kept, "shift": self.shift}))

    def elements(self, at: int, slots: list[Operand]) -> Piece:
        """The elements of a list: parts side by side, along the axes that any of them has."""
        group = self.plan.groups[at]
        parts = [in_order(self.read(each)) for each in slots]
        if len(parts) == 1 and ("k" in parts[0].axes or parts[0].tree is None):
            return parts[0]
        held = {"k"}.union(*(each.axes for each in parts))
        axes = tuple(axis for axis in (*group.layout, "k") if axis in held)
        pairs = zip(parts, slots, strict=True)
        wide = [full(piece, axes, {**group.sizes(), "k": each.width}) for piece, each in pairs]
        joined = len(wide) > 1 and self.keep("joined", call("np.concatenate", wide, axis=-1))
        return Piece(joined or wide[0], axes)

    def shift(self, *operands: Any) -> Any:
        """``shift`` of two pieces, computed once; of two numbers a number."""
        if all(isinstance(each, float) for each in operands):
            a, top = operands
            return 0.0 if a == top and math.isinf(a) else top - a
        made = elementwise("shift", *operands)
        return Piece(self.keep("shift", made.code), made.axes)

    def aggregate(self, word: str, count: int, elements: list[Any]) -> Any:
        """``total``, ``largest`` or ``rest`` of the elements, computed once; it stands in their place."""
        (each,) = elements
        if isinstance(each, float) or "k" not in each.axes:  # all are the same
            alike = {"total": float(count), "largest": 1.0, "rest": count - 1.0}[word]
            return alike * each if isinstance(each, float) else each.scaled(alike)
        if word == "rest":
            tree = call("rest", each.code)
        else:
            tree = method(each.code, "sum" if word == "total" else "max", axis=-1)
        return Piece(self.keep({"largest": "top"}.get(word, word), tree), each.axes[:-1])

    # ---------------------------------------------------------------------------------------- outputs
    def outputs(self) -> Tree:
        """The outputs of each sample, side by side in their order."""
        plan, order, pieces = self.plan, list[int](), list[Tree]()
        for home, (places, which) in plan.outputs.items():
            held: Any = plan.captured.graph.data[places] if home == CONSTANT else np.array(places)
            array = None if home == CONSTANT else plan.array(home)
            piece = self.read(Operand(home, held).along(array, ("o",), held.shape))
            pieces.append(full(piece, ("n", "o"), {"n": None, "o": len(which)}))
            order += which
        y = pieces[0] if len(pieces) == 1 else call("np.concatenate", pieces, axis=1)
        if order != sorted(order):
            y = index(y, slice(None), self.constant(np.argsort(order), "at"))
        return y

    # -------------------------------------------------------------------------------------- backward
    def backward(self) -> None:
        """The derivatives of the sum of the costs."""
        self.assign("costs", full(self.sum(self.plan.cost, "costs"), ("n",), {"n": None}))
        self.section = "deltas"
        self.pass_on(self.plan.cost, piece_of(1.0))
        self.chain_rule()

    def chain_rule(self) -> None:
        """From what was received so far to the parameters, with the derivatives in the inputs at the end."""
        plan, groups = self.plan, self.plan.groups
        for each in reversed(plan.order):
            if groups[each].trains and self.found[each]:
                self.pass_on(each, self.upstream(each))
        self.section = "gradients"
        self.parameters()
        self.add(None, "dx = None")
        self.add(None, "if wrt_x:")
        self.indent = "    "
        for each in reversed(plan.order):
            if groups[each].varies and not groups[each].trains and self.found[each]:
                self.pass_on(each, self.upstream(each))
        dx = Array("dx", plan.arrays[INPUT].shape, varies=True)
        self.assign("dx", call("np.zeros", (name("n"), dx.size)))
        for part in self.found[INPUT]:
            self.receive(dx, part)
        self.indent = ""
        self.add(None, "return costs, dx")

    def pass_on(self, at: int, delta: Piece) -> None:
        """What a group gives to its operands, if anybody asks for it."""
        group, takes = self.plan.groups[at], self.plan.takes

        def give(operand: Operand, make: Callable[[Axes], Piece]) -> None:
            if takes(operand.home):
                self.found[operand.home].append((operand, make))

        for block in group.blocks:
            left, right, sizes = block.left, block.right, group.sizes(block.right.width)
            square = (left.home, left.axes) == (right.home, right.axes)
            square = square and np.array_equal(left.held, right.held)
            signed = delta.scaled(block.sign * (1.0 + square))
            give(right, partial(contract, signed, self.read(left), sizes=sizes))
            if not square:
                give(left, partial(contract, signed, self.read(right), sizes=sizes))
        for place, slots in enumerate(group.slots):
            start, listed = 0, group.rule is not None and group.rule.args[place] in group.rule.over
            for each in slots:
                part = slice(start, start := start + each.width) if listed and len(slots) > 1 else None
                sizes = {**group.sizes(), **({"k": each.width} if listed else {})}
                give(each, partial(self.slope, at, place, delta, part, sizes=sizes))

    def slope(self, at: int, place: int, delta: Piece, part: slice | None, out: Axes, sizes: Sizes) -> Piece:
        """What an operand of a rule receives; a part of a list, its own elements."""
        local = self.row(at, place)
        if part is not None and "k" in local.axes:
            items = [slice(None)] * local.axes.index("k")
            local = Piece(index(local.code, *items, part), local.axes)
        return contract(delta, local, out, sizes)

    def upstream(self, at: int) -> Piece:
        """The gradient of a group along its axes, under a name where it is used more than once."""
        plan, array, parts = self.plan, self.plan.array(at), self.found.pop(at)
        named = sum(plan.takes(each.home) for each in plan.groups[at].operands) > 1
        target = Array(plan.deltas[at], array.shape, array.varies)
        comment = f"∂cost/∂({plan.told(plan.groups[at])})"
        wholes = [covering(target, each) for each in parts]
        if all(wholes):
            total = self.added(target.name, [each() for each in wholes if each])
            if named and total.tree is not None and not isinstance(total.code, ast.Name):
                total = Piece(self.assign(target.name, total.code, comment), total.axes)
        else:
            zeros = call("np.zeros", (*[name("n")] * array.varies, *array.shape))
            total = Piece(self.assign(target.name, zeros, comment), target.axes)
            for each in parts:
                self.receive(target, each)
        return plan.unfolded(at, total)

    def receive(self, target: Array, each: Contribution, sign: str = "+=", comment: str = "") -> None:
        """``target[places] += piece``; a place may occur more than once."""
        if whole := covering(target, each):
            into = name(target.name) if target.shape and sign == "+=" else index(name(target.name), ...)
            self.add(into, arranged(whole(), target.axes), sign, comment)
            return
        operand, make = each
        (tree, layout, _), even = self.view(target, operand)
        into, piece = tree if isinstance(tree, ast.Subscript) else index(name(target.name), ...), make(layout)
        if even or len(np.unique(operand.held)) == operand.held.size:
            self.add(into, arranged(piece, layout), "+=", comment)
        else:
            self.add(into, full(piece, layout, operand.sizes), "at", comment)

    def parameters(self) -> None:
        """The gradients of the arrays of parameters, and then what goes to the vector of all."""
        for home, each in {**self.plan.used, THETA: self.plan.arrays[THETA]}.items():
            target, comment = Array(f"d{each.name}", each.shape), f"∂cost/∂{each.name}, summed over the batch"
            parts = sorted(self.found.pop(home, []), key=lambda part: covering(target, part) is None)
            self.theta_used |= home == THETA and bool(parts)
            sign = "+=" if home == THETA else "="
            if sign == "=" and not (parts and covering(target, parts[0])):
                self.add(index(name(target.name), ...), ast.Constant(0.0), sign, comment)
                sign = "+="
            for part in parts:
                self.receive(target, part, sign, comment)
                sign = "+="


def covering(target: Array, each: Contribution) -> Callable[[], Piece] | None:
    """What makes a contribution along the axes of an array, if its operand is all of it; else None."""
    (operand, make), lead = each, ("n",) * target.varies
    for order in permutations(range(operand.held.ndim)):
        if is_all(target, operand.held.transpose(order)):
            return partial(_along, target, operand.sizes, make, (*lead, *(operand.axes[at] for at in order)))
    return None


def _along(target: Array, sizes: Sizes, make: Callable[[Axes], Piece], axes: Axes) -> Piece:
    piece = make(axes)
    if tuple(sizes[axis] for axis in axes if axis != "n") == target.shape:
        renamed = dict(zip(axes, target.axes, strict=True))
        return piece._replace(axes=tuple(renamed.get(each, each) for each in piece.axes))
    if {*piece.axes} <= {"n"}:
        return piece
    layout = tuple(axis for axis in axes if axis != "n" or "n" in piece.axes)
    lead = ("n",) * ("n" in layout)
    tree = method(full(piece, layout, sizes), "reshape", *map(name, lead), *target.shape)
    return Piece(tree, target.axes[target.varies - len(lead) :])


# ------------------------------------------------------------------------------------------- the source
def header(plan: Plan, writers: Sequence[Writer]) -> list[str]:
    """The lines before the functions: imports, what the vector of all parameters is, constants, helpers."""
    extra = helpers({word for writer in writers for word in words_of(writer.statements)})
    head = ["import numpy as np", ""]
    if any("FUNCTIONS[" in each for each in extra):
        head[1:1] = ["", "from microbp.expr import FUNCTIONS"]
    if any("math." in each for each in extra):
        head[:0] = ["import math", ""]
    if plan.used and any(writer.theta_used for writer in writers):
        theta, views = plan.arrays[THETA].name, (f"{each.name} {each.shape}" for each in plan.used.values())
        told = f"{theta} is the vector of all parameters; {', '.join(views)} are parts of it. "
        head += [*(f"# {line}" for line in textwrap.wrap(f"{told}So it is with d{theta}.", 100)), ""]
    short = [(word, array) for word, array in plan.constants.values() if array.size <= SHORT]
    lists = ((word, re.sub(r"\b(nan|inf)\b", r"np.\1", repr(array.tolist()))) for word, array in short)
    head += [*(f"{word} = np.array({listed})" for word, listed in lists), *[""] * bool(short)]
    for helper in extra:
        head += ["", *helper.splitlines(), ""]
    return head


def words_of(statements: list[Statement]) -> set[str]:
    """The names that statements speak of."""
    trees = [each.value for each in statements if each.target is not None]
    return {each.id for tree in trees for each in ast.walk(tree) if isinstance(each, ast.Name)}
