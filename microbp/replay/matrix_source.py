"""The source of a batch: the two functions of the matrix form, with all that they need around them."""

from __future__ import annotations

import ast
import re
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp.replay.backward import backward
from microbp.replay.contract import contract
from microbp.replay.forward import forward
from microbp.replay.groups import CONSTANT, THETA
from microbp.replay.identifiers import counted
from microbp.replay.matrix import SHORT, TERMS, Generated, Plan, Writer
from microbp.replay.numpy_rules import helpers
from microbp.replay.parameter_arrays import ParameterArray
from microbp.replay.trees import Tree, add, call, index, is_fresh, method, name, text
from microbp.replay.views import Piece, arranged, mapping

__all__ = ["matrix_source", "used_arrays", "written"]


def matrix_source(plan: Plan, functions: tuple[Writer, Writer] | None = None) -> Generated:
    """NumPy source for a batch of samples of a recorded graph that has groups."""
    value, both = functions or written(plan)
    arrays = used_arrays(plan)
    theta = plan.arrays[THETA]
    pool = value.theta_used or both.theta_used
    names = [*([theta.name] if pool else []), *(each.name for each in arrays)]
    given, gradients = ["x", *names], [f"d{each}" for each in names]
    words = {each.id for writer in (value, both) for line in writer.statements for each in _names(line.value)}
    extra = helpers(words)
    head = ["import numpy as np", ""]
    if any("FUNCTIONS[" in each for each in extra):
        head[1:1] = ["", "from microbp.expr import FUNCTIONS"]
    if any("math." in each for each in extra):
        head[:0] = ["import math", ""]
    if pool and arrays:
        head += [*_told(theta.name, arrays), ""]
    short = {word: array for word, array in plan.constants.items() if array.size <= SHORT}
    head += [f"{word} = np.array({_listed(array)})" for word, array in short.items()]
    head += [""] * bool(short)
    for helper in extra:
        head += ["", *helper.splitlines(), ""]
    first = f"def value({', '.join(given)}):"
    second = f"def value_and_grad({', '.join([*given, *gradients, 'wrt_x=False'])}):"

    def write(comments: bool) -> str:
        bodies = [writer.lines(comments=comments) for writer in (value, both)]
        return "\n".join([*head, "", first, *bodies[0], "", "", second, *bodies[1], ""])

    starts = len(head) + 2, len(head) + 5 + len(value.statements)
    watched = {
        start + at
        for start, writer in zip(starts, (value, both), strict=True)
        for at, each in enumerate(writer.statements, start=1)
        if each.watched
    }
    constants = {word: array for word, array in plan.constants.items() if word not in short}
    return Generated(
        write, arrays, theta.name if pool else "", constants, partial(_described, plan), frozenset(watched),
    )  # fmt: skip


def _described(plan: Plan) -> str:
    assert plan.groups is not None
    size = counted(len(plan.captured.graph), "scalar")
    told = f"{size} became {counted(len(plan.groups), 'array operation')}"
    for each in plan.order:
        group = plan.groups[each]
        shape = ", ".join(["n"] * group.varies + [str(len(group.members))])
        told += f"\n  {plan.group_array(each).name} ({shape}): {plan.comment(group)}"
    return told


def written(plan: Plan) -> tuple[Writer, Writer]:
    """The statements of ``value`` and of ``value_and_grad``."""
    value = plan.writer()
    value.plain("n = len(x)")
    forward(value)
    both = value.twin()
    _outputs(value)
    _cost(both)
    backward(both)
    return value, both


def used_arrays(plan: Plan) -> tuple[ParameterArray, ...]:
    """The arrays of parameters, in the order in which they begin in the vector of all."""
    return tuple(sorted(plan.parameters.values(), key=lambda array: int(array.members.flat[0])))


def _names(tree: ast.AST | None) -> list[ast.Name]:
    return [] if tree is None else [each for each in ast.walk(tree) if isinstance(each, ast.Name)]


def _told(theta: str, arrays: Sequence[ParameterArray]) -> list[str]:
    """What a reader has to know of the vector."""
    views = ", ".join(f"{each.name} {each.shape}" for each in arrays)
    told = f"{theta} is the vector of all parameters; {views} are parts of it. So it is with d{theta}."
    return [f"# {line}" for line in textwrap.wrap(told, 100)]


def _listed(array: npt.NDArray[Any]) -> str:
    return re.sub(r"\b(nan|inf)\b", r"np.\1", repr(array.tolist()))


def _outputs_by_home(plan: Plan) -> dict[int, tuple[list[int], list[int]]]:
    """For each array the places of outputs in it, and which outputs these are."""
    found: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for number_, position in enumerate(plan.captured.outputs):
        home, place = plan.place(position)
        places, which = found[home]
        places.append(position if home == CONSTANT else place)
        which.append(number_)
    return found


def _piece(writer: Writer, home: int, places: list[int]) -> Piece:
    """Values at some places of one array, along n and o."""
    plan = writer.plan
    if home == CONSTANT:
        data = plan.captured.graph.data[places]
        return writer.read(mapping(None, data, ("o",)))
    array = plan.group_array(home) if home >= 0 else plan.arrays[home]
    return writer.read(mapping(array, np.array(places, dtype=np.int64), ("o",)))


def _outputs(writer: Writer) -> None:
    plan = writer.plan
    found = _outputs_by_home(plan)
    count = len(plan.captured.outputs)
    if len(found) == 1:
        ((home, (places, _)),) = found.items()
        piece = _piece(writer, home, places)
        if "n" in piece.axes and (len(piece.axes) == 2 or count == 1):
            tree = arranged(piece, ("n", "o"))
            writer.plain(f"return {_fresh(writer, tree)}")
            return
    writer.assign("y", call("np.empty", ast.Tuple([name("n"), ast.Constant(count)])))
    for home, (places, which) in found.items():
        target = basic_items(which)
        at: Any = target if target is not None else name(writer.constant(np.array(which), "at"))
        value = arranged(_piece(writer, home, places), ("n", "o"))
        writer.add(index(name("y"), slice(None), at), value)
    writer.plain("return y")


def basic_items(which: list[int]) -> slice | None:
    """A slice of these places, if they follow each other."""
    even = which == list(range(which[0], which[0] + len(which)))
    return slice(which[0], which[0] + len(which)) if even else None


def _fresh(writer: Writer, tree: Tree) -> str:
    """The text of a tree, copied where it might be a view of what the caller holds."""
    return text(tree if _is_own(writer, tree) else method(tree, "copy"))


def _is_own(writer: Writer, tree: Tree) -> bool:
    """Whether the array in which the values of a tree stand was computed by this function."""
    if is_fresh(tree):
        return True
    made = {each.id: line.value for line in writer.statements for each in _names(line.target)}
    values = [made.get(each.id) for each in _names(tree) if each.id != "n"]
    return all(value is not None and is_fresh(value) for value in values)


def _cost(writer: Writer) -> None:
    """The sum of all outputs of each sample."""
    plan = writer.plan
    total: Piece | None = None
    for count, (home, (places, _)) in enumerate(_outputs_by_home(plan).items(), start=1):
        unique, counts = np.unique(places, return_counts=True)
        factor = writer.read(mapping(None, counts.astype(float), ("o",)))
        value = _piece(writer, home, unique.tolist())
        sizes: dict[str, int | None] = {"n": None} if "n" in value.axes else {}
        piece = contract(factor, value, tuple(sizes), {**sizes, "o": len(unique)})
        if total is None:
            total = piece
            continue
        if count % TERMS == 0:
            total = Piece(writer.assign("costs", total.tree), total.axes)
        total = Piece(add(total.tree, piece.tree), total.axes or piece.axes)
    assert total is not None
    tree = total.tree
    if not total.axes:
        tree = call("np.full", name("n"), tree)
    elif not _is_own(writer, tree):
        tree = method(tree, "copy")
    writer.assign("costs", tree)

