"""Gradients where they arrive: contributions added up in the places of one array."""

from __future__ import annotations

import ast

import numpy as np
import numpy.typing as npt

from microbp.replay.matrix.arrays import Array
from microbp.replay.matrix.build import Tree, add, mul, number, parsed, text
from microbp.replay.matrix.operands import rows, vector
from microbp.replay.matrix.passing import Contribution, Upstream
from microbp.replay.matrix.writer import TERMS, Writer, affine

__all__ = ["gradient", "write_frozen", "write_gradient"]


def _whole(array: Array, places: npt.NDArray[np.int64]) -> bool:
    return places.size == array.size and bool((places.ravel() == np.arange(array.size)).all())


def _method(tree: Tree, name: str, arguments: str) -> Tree:
    return parsed(f"({text(tree)}).{name}({arguments})")


def _times(count: int, tree: Tree) -> Tree:
    return mul(number(float(count)), tree)


def _summed(each: Contribution) -> Contribution:
    """The contribution to what does not vary: summed over the batch; one for all is a number."""
    if each.summed:
        return each
    if not each.batch:
        return each._replace(tree=mul(parsed("n"), each.tree), summed=True)
    single = not each.full or each.places.size == 1
    tree = _method(each.tree, "sum", "" if single else "axis=0")
    return each._replace(tree=tree, batch=False, summed=True)


def _lone(each: Contribution, varies: bool) -> Contribution:
    """Contributions to one place, over and over, as one."""
    places = each.places.ravel()
    if len(places) == 1 or (places != places[0]).any():
        return each
    if not each.full:
        tree = _times(len(places), each.tree)
    elif varies:
        tree = _method(each.tree, "sum", "axis=1, keepdims=True" if each.batch else "")
    else:
        tree = _method(each.tree, "sum", "")
    return each._replace(places=places[:1], tree=tree, full=True)


def _flat(each: Contribution) -> Contribution:
    """The contribution to a group, which has one dimension."""
    if each.places.ndim == 1:
        return each
    tree = _method(each.tree, "ravel", "") if each.full else each.tree
    return each._replace(places=each.places.ravel(), tree=tree)


def gradient(writer: Writer, array: Array, name: str, parts: list[Contribution]) -> Upstream:
    """The gradient of a group, or of the inputs; lines are written where it takes more than a formula."""
    if not array.varies:
        parts = [_summed(each) for each in parts]
    parts = [_lone(_flat(each), array.varies) for each in parts]
    if all(_whole(array, each.places) for each in parts) and parts:
        tree, batch, full = parts[0].tree, parts[0].batch, parts[0].full
        for count, each in enumerate(parts[1:], start=1):
            if count % TERMS == 0:
                tree = writer.assign(name, tree)
            tree, batch, full = add(tree, each.tree), batch or each.batch, full or each.full
        return Upstream(tree, batch, full or array.size == 1)
    shape = f"(n, {array.size})" if array.varies else str(array.size)
    parts = sorted(parts, key=lambda each: not (_whole(array, each.places) and each.full))
    first = parts[0] if parts else None
    if first and _whole(array, first.places) and first.full and first.batch == array.varies:
        fresh = isinstance(first.tree, ast.BinOp)  # a new array, which may be added to
        writer.assign(name, first.tree if fresh else _method(first.tree, "copy", ""))
        parts = parts[1:]
    else:
        writer.line(f"{name} = np.zeros({shape})")
    target = Array(name, (array.size,), array.varies)
    for each in parts:
        _add(writer, target, each)
    return Upstream(parsed(name), array.varies, True)


def _add(writer: Writer, target: Array, each: Contribution) -> None:
    """``target[places] += tree``; a place may occur more than once."""
    places, value = each.places.ravel(), text(each.tree)
    if _whole(target, places):
        writer.line(f"{target.name} += {value}")
        return
    run = affine(places)
    if run and (run[1] or len(places) == 1):
        writer.line(f"{text(vector(writer, target, places)[0])} += {value}")
        return
    sorted_places, starts = np.unique(places, return_index=True)
    before = ":, " if target.varies else ""
    if len(sorted_places) == len(places):
        writer.line(f"{target.name}[{before}{writer.constant(places, 'at')}] += {value}")
        return
    if not target.varies:
        weights = value if each.full else f"np.full({len(places)}, {value})"
        counted = f"np.bincount({writer.constant(places, 'at')}, {weights}, {target.size})"
        writer.line(f"{target.name} += {counted}")
        return
    order = np.argsort(places, kind="stable")
    sorted_places, starts = np.unique(places[order], return_index=True)
    if not (each.full and each.batch):
        value = f"np.broadcast_to({value}, (n, {len(places)}))"
    taken = f"({value})[:, {writer.constant(order, 'order')}]"
    sums = f"np.add.reduceat({taken}, {writer.constant(starts, 'starts')}, axis=1)"
    left = Contribution(each.home, sorted_places, parsed(sums), True, False, True)
    _add(writer, target, left)


def write_gradient(
    writer: Writer, array: Array, parts: list[Contribution], *, started: bool = False
) -> None:
    """Write the gradient of an array of parameters into the array that stands ready for it, or add to it."""
    name, comment = f"d{array.name}", f"∂cost/∂{array.name}, summed over the batch"
    if not array.trains:
        parts = []
    target = Array(name, array.shape, parameter=True)
    parts = [_lone(_summed(each), False) for each in parts]
    shaped = [(each, _shaped(array, each)) for each in parts]
    shaped.sort(key=lambda pair: pair[1] is None)
    if not started and (not shaped or shaped[0][1] is None):
        started = True
        writer.line(f"{name}[...] = 0.0", comment)
    for each, tree in shaped:
        if tree is not None:
            writer.line(_first(name, tree, each.full) if not started else f"{name} += {text(tree)}", comment)
            started = True
            continue
        _add_parameter(writer, target, each, comment)


def write_frozen(writer: Writer, array: Array) -> None:
    """Take back what the parameters have received that take no gradient."""
    name = f"d{array.name}"
    line = name if len(array.shape) == 1 else f"{name}.ravel()"
    places = "..." if not array.trains else list(array.frozen)
    writer.line(f"{line}[{places}] = 0.0", "they take no gradient")


def _shaped(array: Array, each: Contribution) -> Tree | None:
    """The contribution in the shape of the array, if it goes to all of it; else None."""
    places = each.places
    if places.size != array.size:
        return None
    if (places.ravel() == np.arange(array.size)).all():
        if not each.full or places.shape == array.shape or array.size == 1:
            return each.tree
        return _method(each.tree, "reshape", ", ".join(map(str, array.shape)))
    turned = places.T
    if places.ndim == 2 and turned.shape == array.shape and (turned.ravel() == np.arange(array.size)).all():
        if isinstance(each.tree, ast.BinOp) and isinstance(each.tree.op, ast.MatMult) and each.full:
            return ast.BinOp(_transposed(each.tree.right), ast.MatMult(), _transposed(each.tree.left))
        return _transposed(each.tree) if each.full else each.tree
    return None


def _transposed(tree: Tree) -> Tree:
    match tree:
        case ast.Attribute(value=inner, attr="T"):
            return inner
    return parsed(f"({text(tree)}).T")


def _first(name: str, tree: Tree, full: bool) -> str:
    """The statement that writes the first contribution, without an array in between where there is one."""
    match tree:
        case ast.BinOp(left=left, op=ast.MatMult(), right=right) if full:
            return f"np.matmul({text(left)}, {text(right)}, out={name})"
        case ast.Call(ast.Attribute(value=inner, attr="sum"), [], [ast.keyword("axis")]):
            return f"{text(ast.Attribute(inner, 'sum'))}(axis=0, out={name})"
    return f"{name}[...] = {text(tree)}"


def _add_parameter(writer: Writer, target: Array, each: Contribution, comment: str) -> None:
    places = each.places
    run = affine(places.ravel())
    if places.ndim == 2 and len(target.shape) == 2:
        view = text(rows(writer, target, places))
        if "ravel" not in view and "repeat" not in view and "None" not in view:
            writer.line(f"{view} += {text(each.tree)}", comment)
            return
    value = f"({text(each.tree)}).ravel()" if places.ndim == 2 and each.full else text(each.tree)
    flat = places.ravel()
    if run and (run[1] or len(flat) == 1):
        writer.line(f"{text(vector(writer, target, flat)[0])} += {value}", comment)
        return
    if len(np.unique(flat)) == len(flat):
        base = target.name if len(target.shape) == 1 else f"{target.name}.ravel()"
        writer.line(f"{base}[{writer.constant(flat, 'at')}] += {value}", comment)
        return
    weights = value if each.full else f"np.full({len(flat)}, {value})"
    counted = f"np.bincount({writer.constant(flat, 'at')}, {weights}, {target.size})"
    if len(target.shape) != 1:
        counted += f".reshape({', '.join(map(str, target.shape))})"
    writer.line(f"{target.name} += {counted}", comment)
