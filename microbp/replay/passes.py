"""The forward and the backward pass of a plan as statements, and these as NumPy source for a batch.

In the backward pass a contribution is an operand's map, and how the piece is made that goes there. Those to
groups and parameters that take no gradient are made only where gradients in the inputs are asked for.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.native.rows import may_fail
from microbp.replay.axes import Array, Axes, Operand, Piece, arranged, basic, contract, full, joined, mapping
from microbp.replay.groups import CONSTANT, INPUT, THETA, Block, Slot
from microbp.replay.matrix import Plan
from microbp.replay.numpy_rules import Term, array_tree, helpers
from microbp.replay.parameter_arrays import ParameterArray
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
    sub,
    text,
)  # fmt: skip

__all__ = ["Generated", "Statement", "Writer", "generated"]

#: Constant arrays of up to so many numbers stand in the source.
SHORT = 4096
#: A sum of more terms than this is added up in several lines.
TERMS = 12
#: A text, or what makes it when somebody reads it.
Comment = str | Callable[[], str]


class Generated(NamedTuple):
    """Source for a batch.

    It defines ``value(x, W1, b1, …)`` and ``value_and_grad(x, W1, b1, …, dW1, db1, …, wrt_x=False)``.
    """

    #: ``write(comments=True)`` is what people read, with names looked up for it; without, the same lines.
    write: Callable[..., str]
    #: In this order the arrays stand in those arguments; before them the vector of all, if it has a name.
    arrays: tuple[ParameterArray, ...]
    theta: str
    #: Arrays that the source names without defining them.
    constants: dict[str, npt.NDArray[Any]]
    #: "985 scalars became 14 array operations", and a line for each group.
    describe: Callable[[], str]
    #: The lines, counted from 1, that compute what the eager engine may refuse, such as a quotient.
    watched: frozenset[int]


class Statement(NamedTuple):
    """A line of code: what is computed, and where it goes."""

    #: None for a line that is about Python alone, which is a text.
    target: Tree | None
    value: Any
    #: ``=``, ``+=``; ``out``: NumPy writes it where it is to go; ``at``: added, also twice to one place.
    sign: str
    comment: Comment
    #: ``forward``, ``deltas`` or ``gradients``.
    section: str
    indent: str
    watched: bool

    @property
    def code(self) -> str:
        """The line."""
        if self.target is None:
            return f"{self.indent}{self.value}"
        into, value = text(self.target), self.value
        match self.sign, value, self.target:
            case "out", ast.BinOp(left=left, right=right), _:
                line = f"np.matmul({text(left)}, {text(right)}, out={into})"
            case "out", ast.Call(func=func, keywords=[axis]), _:
                line = f"{text(func)}({axis.arg}={text(axis.value)}, out={into})"
            case "at", _, ast.Subscript(value=whole, slice=items):
                line = f"np.add.at({text(whole)}, {text(items)}, {text(value)})"
            case sign, _, _:
                line = f"{into} {sign} {text(value)}"
        return self.indent + line


class Contribution(NamedTuple):
    """What is passed on to an operand."""

    operand: Operand
    #: The piece, of some of the operand's axes, best in the order that is given.
    make: Callable[[Axes], Piece]


class Writer:
    """The statements of one function; names and constants are those of the whole source."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.statements: list[Statement] = []
        self.indent, self.section, self.watching = "", "forward", False
        #: Whether the vector of all parameters is used.
        self.theta_used = False
        #: What each array has received, by its number.
        self.found: dict[int, list[Contribution]] = defaultdict(list)
        self._kept: dict[str, str] = {}

    def twin(self) -> Writer:
        """A writer that goes on from the same statements by itself."""
        other = Writer(self.plan)
        other.statements, other.theta_used = self.statements.copy(), self.theta_used
        other._kept = self._kept.copy()
        return other

    # ------------------------------------------------------------------------------------ statements
    def add(self, target: Tree | None, value: Any, sign: str = "=", comment: Comment = "") -> None:
        """A line that computes something; without a target, one that is about Python."""
        self.statements.append(
            Statement(target, value, sign, comment, self.section, self.indent, self.watching)
        )

    def assign(self, word: str, value: Tree, comment: Comment = "") -> Tree:
        """A line that gives a name to what is computed."""
        self.add(name(word), value, "=", comment)
        return name(word)

    def keep(self, stem: str, tree: Tree) -> Tree:
        """A name for what ``tree`` computes; the same name when it is asked for again."""
        source = text(tree)
        if source not in self._kept:
            used, count = {*self._kept.values()}, 1
            while (word := f"{stem}{count}") in used or self.plan.names.taken(word):
                count += 1
            self._kept[source] = word
            self.assign(word, tree)
        return name(self._kept[source])

    def constant(self, numbers: npt.NDArray[Any], stem: str) -> Tree:
        """The name of a constant array; equal arrays have one name."""
        plan, key = self.plan, (numbers.dtype.str, numbers.shape, numbers.tobytes())
        if key not in plan.held:
            plan.held[key] = plan.names.counted(stem + "1")
            plan.constants[plan.held[key]] = numbers
        return name(plan.held[key])

    def lines(self, *, comments: bool = True) -> list[str]:
        """The code, with comments in a column where there is room."""
        codes = [f"    {each.code}" for each in self.statements]
        if not comments:
            return codes
        told = [each.comment if isinstance(each.comment, str) else each.comment() for each in self.statements]
        return [f"{code:<48}  # {each}" if each else code for code, each in zip(codes, told, strict=True)]

    def read(self, operand: Operand) -> Piece:
        """The piece that reads an operand."""
        array, axes, places = operand
        if array is None:
            return Piece(self.constant(places, "c") if axes else number(float(places)), axes)
        self.theta_used |= array is self.plan.arrays[THETA]
        whole, lead = name(array.name), ("n",) if array.varies else ()
        if lead and not axes:
            column = slice(int(places), int(places) + 1)
            return Piece(whole if array.size == 1 else index(whole, slice(None), column), ("n", ""))
        found = basic(array, places)
        if found is not None:
            return Piece(found[0], (*lead, *(axes[each] for each in found[1])))
        if _is_all(array, places):
            return Piece(reshaped(whole, *map(name, lead), *places.shape), (*lead, *axes))
        at = self._items(array, places)
        tree = index(whole, *[slice(None)] * len(lead), *at)
        return Piece(self.keep("taken", tree) if lead else tree, (*lead, *axes))

    def _items(self, array: Array, places: npt.NDArray[Any]) -> list[Tree]:
        """The places as an index for each dimension."""
        return [self.constant(each, "at") for each in np.unravel_index(places, array.shape)]

    # --------------------------------------------------------------------------------------- forward
    def forward(self) -> None:
        """The lines that compute all groups."""
        plan = self.plan
        for each in plan.order:
            group, domain = plan.groups[each], plan.domains[each]
            self.watching = group.rule is not None and may_fail(group.rule)
            word = plan.array(each).name
            piece = self.sum(each, word) if group.rule is None else _RuleOf(self, each).piece(None)
            tree = full(piece, domain.layout, domain.sizes)
            if len(domain.axes) > 1:
                tree = reshaped(tree, *[name("n")] * group.varies, len(group.members))
            self.assign(word, tree, plan.comments[each])
        self.watching = False

    def sides(self, block: Block, maps: dict[int, Operand], at: int) -> tuple[float, Piece, Piece]:
        """A block of a sum as sign, left and right of ``sign · Σ left · right``."""
        right, first = self.read(maps[id(block.right)]), float(block.factors.flat[0])
        if block.left is not None:
            return first, self.read(maps[id(block.left)]), right
        factors = self.read(self.plan.numbers_map(block.factors, at))
        value = is_number(factors.tree)
        return (1.0, factors, right) if value is None else (value, Piece(number(1.0)), right)

    def sum(self, at: int, word: str) -> Piece:
        """The blocks of a sum of products, and then the constant."""
        group, domain = self.plan.groups[at], self.plan.domains[at]
        total: Piece | None = None
        for count, block in enumerate(group.blocks, start=1):
            sign, left, right = self.sides(block, domain.maps, at)
            piece = contract(left, right, domain.layout, block.sizes(domain.sizes))
            piece = Piece(mul(number(sign), piece.tree), piece.dims)
            if total is not None and count % TERMS == 0:
                total = Piece(self.assign(word, total.tree), total.dims)
            total = piece if total is None else joined(add, total, piece, domain.layout)
        constant = self.read(self.plan.numbers_map(group.constants[:, None], at))
        value = is_number(constant.tree)
        if total is None or value == 0.0:
            return total or constant
        if value is None:
            return joined(add, total, constant, domain.layout)
        if value < 0.0:
            return Piece(sub(total.tree, number(-value)), total.dims)
        return Piece(add(number(value), total.tree), total.dims)

    def outputs(self) -> None:
        """What ``value`` returns: the outputs of each sample, in memory of their own."""
        plan = self.plan
        count, pieces = len(plan.captured.outputs), []
        for home, (places, which) in plan.outputs.items():
            held: Any = plan.captured.graph.data[places] if home == CONSTANT else np.array(places)
            array = None if home == CONSTANT else plan.array(home)
            pieces.append((which, self.read(mapping(array, held, ("o",)))))
        if len(pieces) == 1 and "n" in pieces[0][1].axes and (len(pieces[0][1].axes) == 2 or count == 1):
            self.add(None, f"return {text(self.own(arranged(pieces[0][1], ('n', 'o'))))}")
            return
        self.assign("y", call("np.empty", ast.Tuple([name("n"), ast.Constant(count)])))
        for which, piece in pieces:
            run = which == [*range(which[0], which[0] + len(which))]
            at: Any = slice(which[0], which[0] + len(which)) if run else self.constant(np.array(which), "at")
            self.add(index(name("y"), slice(None), at), arranged(piece, ("n", "o")))
        self.add(None, "return y")

    def own(self, tree: Tree) -> Tree:
        """The tree, copied where the array in which its values stand may not be one of this function."""
        made = {each.id: line.value for line in self.statements for each in _names(line.target)}
        values = [made.get(each.id) for each in _names(tree) if each.id not in ("n", "np")]
        fresh = is_fresh(tree) or all(value is not None and is_fresh(value) for value in values)
        return tree if fresh and values else method(tree, "copy")

    # -------------------------------------------------------------------------------------- backward
    def backward(self) -> None:
        """The chain rule from the cost back, with the derivatives in the inputs at the end."""
        plan, groups = self.plan, self.plan.groups
        cost = self.sum(plan.cost, "costs")
        self.assign("costs", self.own(full(cost, ("n",), {"n": None})))
        self.section = "deltas"
        self.pass_on(plan.cost, lambda _: Piece(number(1.0)))
        trained = [each for each in reversed(plan.order) if groups[each].trains]
        for each in trained:
            if self.found[each]:
                self.pass_on(each, partial(self.upstream, each))
        self.section = "gradients"
        self.parameters()
        self.add(None, "dx = None")
        self.add(None, "if wrt_x:")
        self.indent = "    "
        for each in reversed(plan.order):
            if self.found[each] and groups[each].varies and not groups[each].trains:
                self.pass_on(each, partial(self.upstream, each))
        dx = Array("dx", plan.arrays[INPUT].shape, varies=True)
        self.assign("dx", call("np.zeros", ast.Tuple([name("n"), ast.Constant(dx.size)])))
        for part in self.found[INPUT]:
            self.receive(dx, part)
        self.indent = ""
        self.add(None, "return costs, dx")

    def give(self, slot: Slot, operand: Operand, make: Callable[[Axes], Piece]) -> None:
        """Note what an array receives, if anybody asks for it."""
        plan, home = self.plan, slot.home
        group = plan.groups[home] if home >= 0 else None
        if (group.trains or group.varies) if group else (home == INPUT or home in plan.trains):
            self.found[home].append(Contribution(operand, make))

    def pass_on(self, at: int, upstream: Callable[[bool], Piece]) -> None:
        """What a group gives to its operands."""
        group, domain, known = self.plan.groups[at], self.plan.domains[at], {INPUT, *self.plan.trains}
        delta = upstream(sum(slot.home >= 0 or slot.home in known for slot in group.operands) > 1)
        if group.rule is not None:
            _RuleOf(self, at).pass_on(delta)
        for block in group.blocks:
            sign, left, right = self.sides(block, domain.maps, at)
            to_right = domain.maps[id(block.right)]
            to_left = None if block.left is None else domain.maps[id(block.left)]
            square = to_left is not None and to_left.array is to_right.array and to_left.axes == to_right.axes
            square = square and np.array_equal(to_left.places, to_right.places)  # type: ignore[union-attr]
            signed = Piece(mul(number(2.0 * sign if square else sign), delta.tree), delta.dims)
            sizes = block.sizes(domain.sizes)
            self.give(block.right, to_right, partial(contract, signed, left, sizes=sizes))
            if block.left is not None and to_left is not None and not square:
                self.give(block.left, to_left, partial(contract, signed, right, sizes=sizes))

    def upstream(self, at: int, named: bool) -> Piece:
        """The gradient of a group along its axes, under a name where it is used more than once."""
        plan, array = self.plan, self.plan.array(at)
        target = Array(plan.deltas[at], array.shape, array.varies)
        layout, word = _layout(target), target.name
        comment = partial(plan.delta_comment, at)
        total: Piece | None = None
        parts = self.found.pop(at)
        whole = [each for each in parts if _covering(target, each.operand) is not None]
        for count, each in enumerate(whole, start=1):
            piece = _whole(target, each)
            if total is not None and count % TERMS == 0:
                total = Piece(self.assign(word, total.tree), total.dims)
            total = piece if total is None else joined(add, total, piece, layout)
        if total is None or len(whole) < len(parts):
            lengths = [name(axis) if axis == "n" else ast.Constant(array.size) for axis in layout]
            tree = call("np.zeros", ast.Tuple(lengths) if len(lengths) > 1 else lengths[0])
            if total is not None and total.axes == layout:
                tree = arranged(total, layout)
                tree = tree if is_fresh(tree) else method(tree, "copy")
                parts = [each for each in parts if not any(each is other for other in whole)]
            total = Piece(self.assign(word, tree, comment), layout)
            for each in parts:
                self.receive(target, each)
        elif named and not isinstance(total.tree, ast.Name) and is_number(total.tree) is None:
            total = Piece(self.assign(word, total.tree, comment), total.dims)
        return plan.unfolded(at, total)

    def receive(self, target: Array, each: Contribution, comment: Comment = "") -> None:
        """``target[places] += piece``; a place may occur more than once."""
        operand, lead = each.operand, ("n",) if target.varies else ()
        into, found = name(target.name), basic(target, operand.places)
        if _covering(target, operand) is not None:
            tree = into if target.shape else index(into, ast.Constant(...))
            self.add(tree, arranged(_whole(target, each), _layout(target)), "+=", comment)
            return
        layout, sign = (*lead, *operand.axes), "+="
        if found is None:
            once = len(np.unique(operand.places)) == operand.places.size
            ahead: list[Any] = [slice(None) if once else ast.Constant(...)] * len(lead)
            tree, sign = index(into, *ahead, *self._items(target, operand.places)), "+=" if once else "at"
        elif lead and not operand.axes:  # a column, to which a column is added
            place = int(operand.places)
            tree, layout = index(into, slice(None), slice(place, place + 1)), ("n", "")
        else:
            tree, layout = found[0], (*lead, *(operand.axes[axis] for axis in found[1]))
            tree = tree if isinstance(tree, ast.Name | ast.Subscript) else index(tree, ast.Constant(...))
        self.add(tree, arranged(each.make(tuple(filter(None, layout))), layout), sign, comment)

    def parameters(self) -> None:
        """The gradients of the arrays of parameters, and then what goes to the vector of all."""
        for each in self.plan.used:
            target = Array(f"d{each.name}", each.shape)
            comment = f"∂cost/∂{each.name}, summed over the batch"
            parts = self.found.pop(self.plan.home_of[each.name], [])
            parts.sort(key=lambda part: _covering(target, part.operand) is None)
            into, layout = name(target.name), _layout(target)
            piece = Piece(number(0.0))
            if parts and _covering(target, parts[0].operand) is not None:
                piece = _whole(target, parts.pop(0))
            match piece.tree:  # without an array in between where NumPy can
                case ast.BinOp(op=ast.MatMult()) if piece.dims == layout:
                    self.add(into, piece.tree, "out", comment)
                case ast.Call(func=ast.Attribute(attr="sum"), args=[], keywords=[_]) if piece.dims == layout:
                    self.add(into, piece.tree, "out", comment)
                case _:
                    self.add(index(into, ast.Constant(...)), arranged(piece, layout), "=", comment)
            for part in parts:
                self.receive(target, part, comment)
        theta = self.plan.arrays[THETA]
        for part in self.found.pop(THETA, []):
            self.theta_used = True
            comment = f"∂cost/∂{theta.name}, summed over the batch"
            self.receive(Array(f"d{theta.name}", theta.shape), part, comment)


# ------------------------------------------------------------------------------- where gradients arrive
def _layout(target: Array) -> Axes:
    """The axes of all of an array."""
    return (*["n"] * target.varies, *(f"p{at}" for at in range(len(target.shape))))


def _is_all(array: Array, places: npt.NDArray[Any]) -> bool:
    """Whether the places are all of an array, in their order."""
    return places.size == array.size and bool((places.ravel() == np.arange(array.size)).all())


def _covering(target: Array, operand: Operand) -> Axes | None:
    """The axes of an operand whose places are all of an array, in the array's order; else None."""
    found = basic(target, operand.places) if operand.places.size == target.size else None
    if found is not None and isinstance(found[0], ast.Name):
        return tuple(operand.axes[at] for at in found[1])
    return operand.axes if _is_all(target, operand.places) else None


def _whole(target: Array, each: Contribution) -> Piece:
    """A contribution to all of an array, along the array's axes."""
    axes, lead = _covering(target, each.operand) or (), ("n",) if target.varies else ()
    piece = each.make((*lead, *axes))
    if len(axes) == len(target.shape):
        renamed = {axis: f"p{at}" for at, axis in enumerate(axes)}
        return Piece(piece.tree, tuple(renamed.get(each, each) for each in piece.dims))
    if not any(axis in piece.axes for axis in axes):
        return piece
    layout = tuple(axis for axis in (*lead, *axes) if axis in axes or axis in piece.axes)
    sizes = dict(zip(each.operand.axes, each.operand.places.shape, strict=True))
    lead = ("n",) if "n" in layout else ()
    tree = reshaped(full(piece, layout, {**sizes, "n": None}), *map(name, lead), *target.shape)
    return Piece(tree, (*lead, *_layout(Array("", target.shape))))


# -------------------------------------------------------------------------------------------- of a rule
class _RuleOf:
    """The rule of a group: its value and derivatives, with the group's operands for its arguments."""

    def __init__(self, writer: Writer, at: int) -> None:
        plan = writer.plan
        self.writer, self.at, self.group, self.domain = writer, at, plan.groups[at], plan.domains[at]
        rule = self.group.rule
        assert rule is not None
        self.rule = rule
        #: Of a list of operands: along k, and for a single member that is all.
        self.layout, self.sizes = self.domain.layout, dict(self.domain.sizes)
        if rule.over:
            several = ("i",) if len(self.group.members) > 1 else ()
            self.layout = (*["n"] * self.group.varies, *several, "k")
            self.sizes["k"] = sum(slot.width for slot in self.group.slots[rule.args.index(rule.over[0])])
        self.scope: dict[str, Term] = {}
        for arg, slots in zip(rule.args, self.group.slots, strict=True):
            self._set(arg, self._elements(slots) if arg in rule.over else writer.read(self._map(slots[0])))

    def _map(self, slot: Slot) -> Operand:
        return self.domain.maps[id(slot)]

    def _set(self, arg: str, piece: Piece) -> None:
        self.scope[arg] = Term(arranged(piece, self.layout), frozenset(piece.axes))

    def _elements(self, slots: list[Slot]) -> Piece:
        """The elements of a list: parts side by side, along the axes that any of them has."""
        parts = [self.writer.read(self._map(slot)) for slot in slots]
        if len(parts) == 1 and "k" in parts[0].axes:
            return parts[0]
        axes = tuple(axis for axis in self.layout if axis == "k" or any(axis in each.axes for each in parts))
        wide = [
            full(piece, axes, {**self.sizes, "k": slot.width})
            for piece, slot in zip(parts, slots, strict=True)
        ]
        if len(wide) == 1:
            return Piece(wide[0], axes)
        last = ast.UnaryOp(ast.USub(), ast.Constant(1))
        return Piece(self.writer.keep("joined", call("np.concatenate", ast.List(wide), axis=last)), axes)

    def piece(self, place: int | None) -> Piece:
        """The value, or the derivative in the argument at ``place``, with the axes that it has."""
        if place is not None and "y" not in self.scope:
            plan = self.writer.plan
            y = plan.unfolded(self.at, Piece(name(plan.array(self.at).name), _layout(plan.array(self.at))))
            if self.rule.over and len(self.group.members) == 1:
                y = Piece.laid(y.tree, y.dims, ("n",)) if self.group.varies else y
            self._set("y", y)
        tree, axes = array_tree(self.rule, place, self.scope, self._kept)
        return Piece.laid(tree, self.layout, tuple(axis for axis in self.layout if axis in axes))

    def _kept(self, word: str, terms: list[Term]) -> Term:
        """``shift`` of two arguments, or an aggregate of a list: one number in the place of its elements."""
        trees, axes = [each.tree for each in terms], frozenset().union(*(each.axes for each in terms))
        if word == "shift":
            return Term(self.writer.keep("shift", call("shift", *trees)), axes)
        (elements,), value, count = trees, is_number(trees[0]), float(self.sizes["k"] or 1)
        if value is not None:
            return Term(number(value * {"total": count, "largest": 1.0, "rest": count - 1.0}[word]))
        keep = len(self.layout) > 1
        if word == "rest":
            tree = call("rest", elements)
            tree = tree if keep else index(tree, ast.Constant(...), 0)
        else:
            kept = {"keepdims": name("True")} if keep else {}
            tree = method(elements, "sum" if word == "total" else "max", axis=ast.Constant(-1), **kept)
        return Term(self.writer.keep({"largest": "top"}.get(word, word), tree), axes - {"k"})

    def pass_on(self, delta: Piece) -> None:
        """What each operand receives; of a list, each part its own elements."""
        for place, (arg, slots) in enumerate(zip(self.rule.args, self.group.slots, strict=True)):
            start = 0
            for slot in slots:
                sizes, part = dict(self.domain.sizes), None
                if self.rule.over:
                    sizes["k"] = slot.width if arg in self.rule.over else 1
                if arg in self.rule.over and len(slots) > 1:
                    part = slice(start, start := start + slot.width)
                if slot.home != CONSTANT:
                    self.writer.give(slot, self._map(slot), partial(self._slope, place, delta, sizes, part))

    def _slope(
        self, place: int, delta: Piece, sizes: dict[str, int | None], part: slice | None, out: Axes
    ) -> Piece:
        local = self.piece(place)
        if part is not None and "k" in local.axes:
            items = [slice(None)] * local.dims.index("k")
            local = Piece(index(local.tree, *items, part), local.dims)
        return contract(delta, local, out, sizes)


# ------------------------------------------------------------------------------------------- the source
def generated(plan: Plan, writers: tuple[Writer, Writer] | None = None) -> Generated:
    """NumPy source for a batch of samples of a recorded graph that has groups."""
    value, both = writers or written(plan)
    theta = plan.arrays[THETA].name if value.theta_used or both.theta_used else ""
    names = [*filter(None, [theta]), *(each.name for each in plan.used)]
    lines = [each for writer in (value, both) for each in writer.statements]
    extra = helpers({each.id for line in lines for each in _names(line.value)})
    head = ["import numpy as np", ""]
    if any("FUNCTIONS[" in each for each in extra):
        head[1:1] = ["", "from microbp.expr import FUNCTIONS"]
    if any("math." in each for each in extra):
        head[:0] = ["import math", ""]
    if theta and plan.used:
        views = ", ".join(f"{each.name} {each.shape}" for each in plan.used)
        told = f"{theta} is the vector of all parameters; {views} are parts of it. So it is with d{theta}."
        head += [*(f"# {line}" for line in textwrap.wrap(told, 100)), ""]
    short = {word: array for word, array in plan.constants.items() if array.size <= SHORT}
    for word, array in short.items():
        listed = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(array.tolist()))
        head.append(f"{word} = np.array({listed})")
    head += [""] * bool(short)
    for helper in extra:
        head += ["", *helper.splitlines(), ""]
    arguments = ", ".join(["x", *names])
    slopes = ", ".join([*(f"d{each}" for each in names), "wrt_x=False"])

    def write(*, comments: bool) -> str:
        bodies = [writer.lines(comments=comments) for writer in (value, both)]
        first, second = f"def value({arguments}):", f"def value_and_grad({arguments}, {slopes}):"
        return "\n".join([*head, "", first, *bodies[0], "", "", second, *bodies[1], ""])

    starts = len(head) + 2, len(head) + 5 + len(value.statements)
    watched = {
        start + at
        for start, writer in zip(starts, (value, both), strict=True)
        for at, each in enumerate(writer.statements, start=1)
        if each.watched
    }
    constants = {word: array for word, array in plan.constants.items() if word not in short}
    return Generated(write, plan.used, theta, constants, plan.describe, frozenset(watched))


def written(plan: Plan) -> tuple[Writer, Writer]:
    """The statements of ``value`` and of ``value_and_grad``."""
    both = Writer(plan)
    both.add(None, "n = len(x)")
    both.forward()
    value = both.twin()
    value.outputs()
    both.backward()
    return value, both


def _names(tree: Any) -> list[ast.Name]:
    parts = ast.walk(tree) if isinstance(tree, ast.AST) else ()
    return [each for each in parts if isinstance(each, ast.Name)]
