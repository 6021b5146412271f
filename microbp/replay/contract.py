"""Sums of products over named axes, printed in the form that NumPy runs fastest.

``contract(left, right, out)`` is Σ left · right over all axes of the domain that are not in ``out``. The
value of a sum of products is one, and so is each of its gradients: with ``delta`` upstream,
``contract(delta, right, left.axes)`` and ``contract(delta, left, right.axes)``; that of an operation applied
element by element is ``contract(delta, local, operand.axes)``.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from microbp.replay.trees import Tree, call, index, is_number, method, mul, name, number, reshaped, transposed
from microbp.replay.views import Piece, arranged

__all__ = ["Sizes", "contract", "folded", "product", "size_of", "summed"]

#: How long each axis is; that of the samples, ``n``, is known only when the program runs.
Sizes = Mapping[str, int | None]
Axes = tuple[str, ...]


def contract(left: Piece, right: Piece, out: Sequence[str], sizes: Sizes) -> Piece:
    """Σ left · right over the axes of ``sizes`` that are not in ``out``.

    >>> from microbp.replay.trees import text
    >>> sizes = {"n": None, "i": 3, "k": 2}
    >>> held = (("x", "nk"), ("W", "ik"), ("d", "ni"))
    >>> x, W, delta = (Piece(name(word), tuple(axes)) for word, axes in held)
    >>> text(contract(W, x, "ni", sizes).tree), text(contract(delta, x, "ik", sizes).tree)
    ('x @ W.T', 'd.T @ x')
    >>> text(contract(delta, Piece(number(1.0)), "ik", sizes).tree)
    'd.sum(axis=0)'
    """
    both = {*left.axes, *right.axes}
    missing = [axis for axis in sizes if axis not in both and axis not in out]
    left = summed(left, [axis for axis in left.axes if axis not in out and axis not in right.axes], sizes)
    right = summed(right, [axis for axis in right.axes if axis not in out and axis not in left.axes], sizes)
    inner = tuple(axis for axis in left.axes if axis in right.axes and axis not in out)
    made = _matrices(left, right, inner, tuple(out), sizes) if inner else product(left, right, tuple(sizes))
    for axis in missing:
        made = Piece(mul(size_of(axis, sizes), made.tree), made.axes)
    return made


def product(left: Piece, right: Piece, layout: Axes) -> Piece:
    """``left * right``, element by element."""
    axes = tuple(axis for axis in layout if axis in left.axes or axis in right.axes)
    p, q = is_number(left.tree), is_number(right.tree)
    if p == 1.0 or q == 1.0:
        return right if p == 1.0 else left
    sides = [arranged(each, axes) for each in (left, right)]
    if len(axes) == 1 and (left.wide or right.wide):
        return Piece(mul(*sides), axes, mul(*(arranged(each, (*axes, "")) for each in (left, right))))
    return Piece(mul(*sides), axes)


def size_of(axis: str, sizes: Sizes) -> Tree:
    """How long an axis is."""
    size = sizes[axis]
    return name("n") if size is None else number(float(size))


def summed(piece: Piece, axes: Sequence[str], sizes: Sizes) -> Piece:
    """The sum over some of its axes; over one of one element this is the element."""
    for axis in [each for each in axes if sizes[each] == 1]:
        at = piece.axes.index(axis)
        items: list[Any] = [slice(None)] * at + [0]
        rest = tuple(each for each in piece.axes if each != axis)
        pattern = tuple(each != axis for each in piece.axes)
        piece = Piece(index(piece.tree, *items), rest, piece.tree if at else None, pattern)
        axes = [each for each in axes if each != axis]
    if not axes:
        return piece
    places = [piece.axes.index(axis) for axis in axes]
    rest = tuple(each for each in piece.axes if each not in axes)
    match piece.tree:  # a number goes in front of the sum
        case ast.BinOp(left=factor, op=ast.Mult(), right=inner) if is_number(factor) is not None:
            found = summed(Piece(inner, piece.axes), axes, sizes)
            return Piece(mul(factor, found.tree), found.axes)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            found = summed(Piece(inner, piece.axes), axes, sizes)
            return Piece(mul(number(-1.0), found.tree), found.axes)
    if not rest:
        return Piece(method(piece.tree, "sum"))
    over = ast.Constant(places[0]) if len(places) == 1 else ast.Tuple([*map(ast.Constant, places)])
    return Piece(method(piece.tree, "sum", axis=over), rest)


def folded(piece: Piece, groups: Sequence[Axes], sizes: Sizes) -> Tree:
    """The piece with one dimension for each of some groups of axes, all of which it has."""
    if len(groups) == 2 and piece.axes == (*groups[1], *groups[0]):
        return transposed(folded(piece, groups[::-1], sizes))
    tree = arranged(piece, tuple(axis for group in groups for axis in group))
    if all(len(group) == 1 for group in groups):
        return tree
    shape: list[Any] = []
    for group in groups:
        known = [sizes[axis] for axis in group]
        if known == [None]:
            shape.append(name("n"))
        elif None in known:
            shape.append(ast.UnaryOp(ast.USub(), ast.Constant(1)))
        else:
            total = 1
            for each in known:
                total *= each or 1
            shape.append(total)
    return reshaped(tree, *shape)


def _matrices(left: Piece, right: Piece, inner: Axes, out: Axes, sizes: Sizes) -> Piece:
    """The contraction as a matrix product where there is one, else as a product and a sum."""
    batch = tuple(axis for axis in left.axes if axis in right.axes and axis not in inner)
    rows = tuple(axis for axis in out if axis in left.axes and axis not in batch)
    columns = tuple(axis for axis in out if axis in right.axes and axis not in batch)
    if rows and columns and out.index(rows[0]) > out.index(columns[0]):
        left, right, rows, columns = right, left, columns, rows
    if batch and not (batch == ("n",) and (rows or columns)):
        return summed(product(left, right, tuple(sizes)), inner, sizes)
    axes = (*rows, *columns)
    if not rows and columns and right.axes != (*inner, *columns):
        left, right, rows, columns = right, left, columns, rows
    if batch:
        if not rows:  # a vector on the left of each matrix is one on its right
            left, right, rows, columns = right, left, columns, rows
        a = folded(left, [batch, rows, inner], sizes)
        if not columns:
            b = folded(right, [batch, inner], sizes)
            tree = index(_matmul(a, index(b, slice(None), slice(None), None)), slice(None), slice(None), 0)
            return _unfolded(tree, [batch, rows], sizes)
        b = folded(right, [batch, inner, columns], sizes)
        return _unfolded(_matmul(a, b), [batch, rows, columns], sizes)
    if not axes:  # also of matrices
        return Piece(call("np.vdot", arranged(left, left.axes), arranged(right, left.axes)))
    sides = [folded(left, [rows, inner] if rows else [inner], sizes)]
    sides.append(folded(right, [inner, columns] if columns else [inner], sizes))
    return _unfolded(_matmul(*sides), [each for each in (rows, columns) if each], sizes)


def _matmul(a: Tree, b: Tree) -> Tree:
    return ast.BinOp(a, ast.MatMult(), b)


def _unfolded(tree: Tree, groups: Sequence[Axes], sizes: Sizes) -> Piece:
    axes = tuple(axis for group in groups for axis in group)
    if any(len(group) > 1 for group in groups):
        tree = reshaped(tree, *(name("n") if sizes[axis] is None else sizes[axis] for axis in axes))
    return Piece(tree, axes)

