"""The forward and the backward pass of a plan as statements, and these as NumPy source for a batch.

In the backward pass a contribution is an operand's map, and how the piece is made that goes there. Those to
groups and parameters that take no gradient are made only where gradients in the inputs are asked for.
"""

from __future__ import annotations

import ast
import math
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.native.rows import may_fail
from microbp.replay.axes import (
    Array,
    Axes,
    Operand,
    Piece,
    arranged,
    basic,
    contract,
    elementwise,
    full,
    in_order,
    whole,
)  # fmt: skip
from microbp.replay.code import (
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
    text,
)  # fmt: skip
from microbp.replay.groups import CONSTANT, INPUT, THETA
from microbp.replay.matrix import Plan
from microbp.replay.numpy_rules import array_code, helpers

__all__ = ["Generated", "Statement", "Writer"]

#: Constant arrays of up to so many numbers stand in the source.
SHORT = 4096
#: A sum of more terms than this is added up in several lines.
TERMS = 12
#: A text, or what makes it when somebody reads it.
Comment = str | Callable[[], str]


class Statement(NamedTuple):
    """A line of code: what is computed, and where it goes."""

    #: None for a line that is about Python alone, which is a text.
    target: Tree | None
    value: Any
    #: ``=``, ``+=``; ``out``: NumPy writes it where it is to go; ``at``: added, also twice to one place;
    #: ``spread``: a value of fewer axes so added.
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
            case "at" | "spread" as sign, _, ast.Subscript(value=array, slice=items):
                # NumPy's add.at loses sums when it spreads a row over places of two axes (seen in 2.4).
                added = text(value) if sign == "at" else f"np.broadcast_to({text(value)}, {into}.shape)"
                line = f"np.add.at({text(array)}, {text(index(name('np.s_'), items))}, {added})"
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

    def lines(self, *, comments: bool = True) -> list[str]:
        """The code, with comments in a column where there is room."""
        codes = [f"    {each.code}" for each in self.statements]
        if not comments:
            return codes
        told = [each.comment if isinstance(each.comment, str) else each.comment() for each in self.statements]
        return [f"{code:<48}  # {each}" if each else code for code, each in zip(codes, told, strict=True)]

    def read(self, operand: Operand) -> Piece:
        """The piece that reads an operand."""
        if operand.home == CONSTANT:
            held, axes = operand.held, operand.axes
            return Piece(self.constant(held, "c") if axes else number(float(held), "np."), axes)
        self.theta_used |= operand.home == THETA
        array = self.plan.array(operand.home)
        piece, even = self.view(array, operand)
        return piece if even or not array.varies else Piece(self.keep("taken", piece.tree), piece.dims)

    def view(self, array: Array, operand: Operand) -> tuple[Piece, bool]:
        """The places of an operand in an array, and whether they are a view of it; else they are gathered."""
        axes, places = operand.axes, operand.held
        all_of, lead = name(array.name), ("n",) if array.varies else ()
        if lead and not axes:
            column = slice(int(places), int(places) + 1)
            return Piece(all_of if array.size == 1 else index(all_of, slice(None), column), ("n", "")), True
        found = basic(array, places)
        if found is not None:
            return Piece(found[0], (*lead, *(axes[each] for each in found[1]))), True
        if _is_all(array, places):
            return Piece(reshaped(all_of, *map(name, lead), *places.shape), (*lead, *axes)), True
        items = [self.constant(each, "at") for each in np.unravel_index(places, array.shape)]
        return Piece(index(all_of, *[slice(None)] * len(lead), *items), (*lead, *axes)), False

    # --------------------------------------------------------------------------------------- forward
    def forward(self) -> None:
        """The lines that compute all groups."""
        plan = self.plan
        for each in plan.order:
            group = plan.groups[each]
            self.watching = group.rule is not None and may_fail(group.rule)
            word = plan.array(each).name
            piece = self.sum(each, word) if group.rule is None else self.row(each)
            tree = full(piece, group.layout, group.sizes())
            if len(group.axes) > 1:
                tree = reshaped(tree, *[name("n")] * group.varies, len(group.members))
            self.assign(word, tree, plan.comments[each])
        self.watching = False

    def sum(self, at: int, word: str) -> Piece:
        """The blocks of a sum of products, and then the constant."""
        group, pieces = self.plan.groups[at], list[Piece]()
        for block in group.blocks:
            left, right = self.read(block.left), self.read(block.right)
            piece = contract(left, right, group.layout, group.sizes(block.right.width))
            pieces.append(Piece(mul(number(block.sign), piece.tree), piece.dims))
        total = self.added(word, pieces)
        constant = self.read(group.constants)
        if total is None or is_number(constant.tree) == 0.0:
            return total or constant
        return elementwise(add, total, constant)

    def added(self, word: str, pieces: list[Piece]) -> Piece | None:
        """The sum of some pieces, in several lines where they are many; None where there are none."""
        total: Piece | None = None
        for count, piece in enumerate(pieces):
            if total is not None and count % TERMS == 0:
                total = Piece(self.assign(word, total.tree), total.dims)
            total = piece if total is None else elementwise(add, total, piece)
        return total

    # ---------------------------------------------------------------------------------------- of a rule
    def row(self, at: int, place: int | None = None) -> Piece:
        """The value of a group that is of a rule, or the derivative in the argument at ``place``."""
        plan, group = self.plan, self.plan.groups[at]
        rule, scope = group.rule, dict[str, Any]()
        assert rule is not None
        for arg, slots in zip(rule.args, group.slots, strict=True):
            piece = self.elements(at, slots) if arg in rule.over else in_order(self.read(slots[0]))
            value = is_number(piece.tree)
            scope[arg] = piece if value is None else value
        y = plan.unfolded(at, whole(plan.array(at)))
        if rule.over and len(group.members) == 1:
            y = Piece(y.tree, ("n", "") if group.varies else ())
        kept = {word: partial(self.aggregate, word, self.length(at)) for word in ("total", "largest", "rest")}
        found = array_code(rule, place, {**scope, "y": y}, {**kept, "shift": self.shift})
        return in_order(found)

    def length(self, at: int) -> int:
        """How many elements the lists of a group have."""
        group = self.plan.groups[at]
        assert group.rule is not None
        place = group.rule.args.index(group.rule.over[0]) if group.rule.over else 0
        return sum(each.width for each in group.slots[place])

    def elements(self, at: int, slots: list[Operand]) -> Piece:
        """The elements of a list: parts side by side, along the axes that any of them has."""
        group = self.plan.groups[at]
        parts = [in_order(self.read(each)) for each in slots]
        if len(parts) == 1 and ("k" in parts[0].axes or is_number(parts[0].tree) is not None):
            return parts[0]
        several = ("i",) if len(group.members) > 1 else ()
        layout = (*["n"] * group.varies, *several, "k")
        axes = tuple(axis for axis in layout if axis == "k" or any(axis in each.axes for each in parts))
        pairs = zip(parts, slots, strict=True)
        wide = [full(piece, axes, {**group.sizes(), "k": each.width}) for piece, each in pairs]
        if len(wide) == 1:
            return Piece(wide[0], axes)
        return Piece(self.keep("joined", call("np.concatenate", wide, axis=-1)), axes)

    def shift(self, *operands: Any) -> Any:
        """``shift`` of two pieces, computed once; of two numbers a number."""
        if all(isinstance(each, float) for each in operands):
            a, top = operands
            return 0.0 if a == top and math.isinf(a) else top - a
        made = elementwise(partial(call, "shift"), *operands)
        return Piece(self.keep("shift", made.tree), made.dims)

    def aggregate(self, word: str, count: int, elements: list[Any]) -> Any:
        """``total``, ``largest`` or ``rest`` of the elements, computed once; it stands in their place."""
        (each,) = elements
        if isinstance(each, float) or "k" not in each.dims:  # all are the same
            times = {"total": float(count), "largest": 1.0, "rest": count - 1.0}[word]
            return times * each if isinstance(each, float) else elementwise(mul, times, each)
        alone = len(each.dims) == 1
        if word == "rest":
            tree = index(call("rest", each.tree), ..., 0) if alone else call("rest", each.tree)
        else:
            keep = {} if alone else {"keepdims": True}
            tree = method(each.tree, "sum" if word == "total" else "max", axis=-1, **keep)
        kept = self.keep({"largest": "top"}.get(word, word), tree)
        return Piece(kept, () if alone else (*each.dims[:-1], ""))

    # ---------------------------------------------------------------------------------------- outputs
    def outputs(self) -> None:
        """What ``value`` returns: the outputs of each sample, in memory of their own."""
        plan = self.plan
        count, pieces = len(plan.captured.outputs), []
        for home, (places, which) in plan.outputs.items():
            held: Any = plan.captured.graph.data[places] if home == CONSTANT else np.array(places)
            array = None if home == CONSTANT else plan.array(home)
            pieces.append((which, self.read(Operand(home, held).along(array, ("o",), held.shape))))
        if len(pieces) == 1 and "n" in pieces[0][1].axes and (len(pieces[0][1].axes) == 2 or count == 1):
            self.add(None, f"return {text(self.own(arranged(pieces[0][1], ('n', 'o'))))}")
            return
        self.assign("y", call("np.empty", (name("n"), count)))
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
        self.assign("dx", call("np.zeros", (name("n"), dx.size)))
        for part in self.found[INPUT]:
            self.receive(dx, part)
        self.indent = ""
        self.add(None, "return costs, dx")

    def give(self, operand: Operand, make: Callable[[Axes], Piece]) -> None:
        """Note what an array receives, if anybody asks for it."""
        plan, home = self.plan, operand.home
        group = plan.groups[home] if home >= 0 else None
        if (group.trains or group.varies) if group else (home == INPUT or home in plan.trains):
            self.found[home].append(Contribution(operand, make))

    def pass_on(self, at: int, upstream: Callable[[bool], Piece]) -> None:
        """What a group gives to its operands."""
        group, known = self.plan.groups[at], {INPUT, *self.plan.trains}
        delta = upstream(sum(each.home >= 0 or each.home in known for each in group.operands) > 1)
        for block in group.blocks:
            left, right, sizes = block.left, block.right, group.sizes(block.right.width)
            square = (left.home, left.axes) == (right.home, right.axes)
            square = square and np.array_equal(left.held, right.held)
            signed = Piece(mul(number(block.sign * (1.0 + square)), delta.tree), delta.dims)
            self.give(right, partial(contract, signed, self.read(left), sizes=sizes))
            if not square:
                self.give(left, partial(contract, signed, self.read(right), sizes=sizes))
        for place, slots in enumerate(group.slots):
            start, listed = 0, group.rule is not None and group.rule.args[place] in group.rule.over
            for each in slots:
                part = slice(start, start := start + each.width) if listed and len(slots) > 1 else None
                sizes = {**group.sizes(), **({"k": each.width} if listed else {})}
                self.give(each, partial(self.slope, at, place, delta, part, sizes=sizes))

    def slope(
        self, at: int, place: int, delta: Piece, part: slice | None, out: Axes, sizes: dict[str, int | None]
    ) -> Piece:
        """What an operand of a rule receives; a part of a list, its own elements."""
        local = self.row(at, place)
        if part is not None and "k" in local.axes:
            items = [slice(None)] * local.dims.index("k")
            local = Piece(index(local.tree, *items, part), local.dims)
        return contract(delta, local, out, sizes)

    def upstream(self, at: int, named: bool) -> Piece:
        """The gradient of a group along its axes, under a name where it is used more than once."""
        plan, array = self.plan, self.plan.array(at)
        target = Array(plan.deltas[at], array.shape, array.varies)
        layout, word = target.axes, target.name
        comment = partial(plan.delta_comment, at)
        parts = self.found.pop(at)
        covering = [each for each in parts if _covering(target, each.operand) is not None]
        total = self.added(word, [_whole(target, each) for each in covering])
        if total is None or len(covering) < len(parts):
            lengths = tuple(name(axis) if axis == "n" else array.size for axis in layout)
            tree = call("np.zeros", lengths if len(lengths) > 1 else lengths[0])
            if total is not None and total.axes == layout:
                tree = arranged(total, layout)
                tree = tree if is_fresh(tree) else method(tree, "copy")
                parts = [each for each in parts if not any(each is other for other in covering)]
            total = Piece(self.assign(word, tree, comment), layout)
            for each in parts:
                self.receive(target, each)
        elif named and not isinstance(total.tree, ast.Name) and is_number(total.tree) is None:
            total = Piece(self.assign(word, total.tree, comment), total.dims)
        return plan.unfolded(at, total)

    def receive(self, target: Array, each: Contribution, comment: Comment = "") -> None:
        """``target[places] += piece``; a place may occur more than once."""
        if _covering(target, each.operand) is not None:
            into = name(target.name) if target.shape else index(name(target.name), ...)
            self.add(into, arranged(_whole(target, each), target.axes), "+=", comment)
            return
        (into, layout), even = self.view(target, each.operand)
        into = into if isinstance(into, ast.Name | ast.Subscript) else index(into, ...)
        once = even or len(np.unique(each.operand.held)) == each.operand.held.size
        piece = each.make(tuple(filter(None, layout)))
        sign = "+=" if once else "at" if len(piece.axes) == len(layout) else "spread"
        self.add(into, arranged(piece, layout), sign, comment)

    def parameters(self) -> None:
        """The gradients of the arrays of parameters, and then what goes to the vector of all."""
        for home, each in {**self.plan.used, THETA: self.plan.arrays[THETA]}.items():
            target = Array(f"d{each.name}", each.shape)
            comment = f"∂cost/∂{each.name}, summed over the batch"
            parts = self.found.pop(home, [])
            if home == THETA:
                self.theta_used |= bool(parts)
            else:
                parts.sort(key=lambda part: _covering(target, part.operand) is None)
                covered = parts and _covering(target, parts[0].operand) is not None
                self.begin(target, _whole(target, parts.pop(0)) if covered else Piece(number(0.0)), comment)
            for part in parts:
                self.receive(target, part, comment)

    def begin(self, target: Array, piece: Piece, comment: Comment) -> None:
        """``target[...] = piece``; without an array in between where NumPy can."""
        match piece.tree:
            case (
                ast.BinOp(op=ast.MatMult()) | ast.Call(func=ast.Attribute(attr="sum"), args=[], keywords=[_])
            ) if piece.dims == target.axes:
                self.add(name(target.name), piece.tree, "out", comment)
            case _:
                self.add(index(name(target.name), ...), arranged(piece, target.axes), "=", comment)


# ------------------------------------------------------------------------------- where gradients arrive
def _is_all(array: Array, places: npt.NDArray[Any]) -> bool:
    """Whether the places are all of an array, in their order."""
    return places.size == array.size and bool((places.ravel() == np.arange(array.size)).all())


def _covering(target: Array, operand: Operand) -> Axes | None:
    """The axes of an operand whose places are all of an array, in the array's order; else None."""
    found = basic(target, operand.held) if operand.held.size == target.size else None
    if found is not None and isinstance(found[0], ast.Name):
        return tuple(operand.axes[at] for at in found[1])
    return operand.axes if _is_all(target, operand.held) else None


def _whole(target: Array, each: Contribution) -> Piece:
    """A contribution to all of an array, along the array's axes."""
    axes, lead = _covering(target, each.operand) or (), ("n",) if target.varies else ()
    piece = each.make((*lead, *axes))
    sizes = dict(zip(each.operand.axes, each.operand.held.shape, strict=True))
    if tuple(sizes[axis] for axis in axes) == target.shape:
        renamed = {axis: f"p{at}" for at, axis in enumerate(axes)}
        return Piece(piece.tree, tuple(renamed.get(each, each) for each in piece.dims))
    if not any(axis in piece.axes for axis in axes):
        return piece
    layout = tuple(axis for axis in (*lead, *axes) if axis in axes or axis in piece.axes)
    lead = ("n",) if "n" in layout else ()
    tree = reshaped(full(piece, layout, {**sizes, "n": None}), *map(name, lead), *target.shape)
    return Piece(tree, (*lead, *Array("", target.shape).axes))


# ------------------------------------------------------------------------------------------- the source
class Generated:
    """NumPy source for a batch of samples of a recorded graph that has groups.

    It defines ``value(x, W1, b1, …)`` and ``value_and_grad(x, W1, b1, …, dW1, db1, …, wrt_x=False)``.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        both = self.both = Writer(plan)
        both.add(None, "n = len(x)")
        both.forward()
        value = both.twin()
        value.outputs()
        both.backward()
        #: In this order the arrays stand in those arguments; before them the vector of all, if it has a name.
        self.arrays = (*plan.used.values(),)
        self.theta = plan.arrays[THETA].name if value.theta_used or both.theta_used else ""
        #: Arrays that the source names without defining them.
        self.constants = {word: array for word, array in plan.constants.values() if array.size > SHORT}
        head = self._head([line for writer in (value, both) for line in writer.statements])
        names = [*filter(None, [self.theta]), *(each.name for each in self.arrays)]
        arguments = ", ".join(["x", *names])
        slopes = ", ".join([*(f"d{each}" for each in names), "wrt_x=False"])
        self._parts = [
            ([*head, "", f"def value({arguments}):"], value),
            (["", "", f"def value_and_grad({arguments}, {slopes}):"], both),
        ]
        #: The lines, counted from 1, that compute what the eager engine may refuse, such as a quotient.
        self.watched, line = set[int](), 0
        for before, writer in self._parts:
            line += len(before)
            self.watched |= {line + at for at, each in enumerate(writer.statements, start=1) if each.watched}
            line += len(writer.statements)

    def write(self, *, comments: bool) -> str:
        """The source: with comments, what people read, or without, the same lines."""
        parts = [line for before, it in self._parts for line in (*before, *it.lines(comments=comments))]
        return "\n".join([*parts, ""])

    def _head(self, lines: list[Statement]) -> list[str]:
        extra = helpers({each.id for line in lines for each in _names(line.value)})
        head = ["import numpy as np", ""]
        if any("FUNCTIONS[" in each for each in extra):
            head[1:1] = ["", "from microbp.expr import FUNCTIONS"]
        if any("math." in each for each in extra):
            head[:0] = ["import math", ""]
        if self.theta and self.arrays:
            views = ", ".join(f"{each.name} {each.shape}" for each in self.arrays)
            told = f"{self.theta} is the vector of all parameters; {views} are parts of it. "
            told += f"So it is with d{self.theta}."
            head += [*(f"# {line}" for line in textwrap.wrap(told, 100)), ""]
        short = [(word, array) for word, array in self.plan.constants.values() if array.size <= SHORT]
        for word, array in short:
            listed = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(array.tolist()))
            head.append(f"{word} = np.array({listed})")
        head += [""] * bool(short)
        for helper in extra:
            head += ["", *helper.splitlines(), ""]
        return head


def _names(tree: Any) -> list[ast.Name]:
    parts = ast.walk(tree) if isinstance(tree, ast.AST) else ()
    return [each for each in parts if isinstance(each, ast.Name)]
