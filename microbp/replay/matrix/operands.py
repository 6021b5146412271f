"""Operands: views where places follow each other, gathers where they do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microbp.replay.matrix.arrays import Array
from microbp.replay.matrix.build import Tree, call, number, parsed, text
from microbp.replay.matrix.groups import CONSTANT, Slot
from microbp.replay.matrix.writer import Writer, affine, slice_text

__all__ = ["element", "flat", "pieces", "rows", "vector", "vector_slot", "wide"]

Places = npt.NDArray[np.int64]


def vector(writer: Writer, array: Array, places: Places) -> tuple[Tree, bool]:
    """The values at ``places``, and whether it has an entry for each rather than one for all.

    Its shape is ``(n, m)``, or ``(m,)`` of an array that does not vary; one for all: ``(n, 1)`` or a number.
    """
    name, count = array.name, len(places)
    run = affine(places)
    if count == 1 or (run and run[1] == 0):
        return element(array, int(places[0])), count == 1
    if run == (0, 1) and count == array.size and len(array.shape) == 1:
        return parsed(name), True
    base = name if array.varies else flat(array)
    before = ":, " if array.varies else ""
    if len(array.shape) == 2:
        line = _line(array, places)
        if line:
            return parsed(line), True
    if run == (0, 1) and count == array.size:
        return parsed(base), True
    if run:
        return parsed(f"{base}[{before}{slice_text(*run, count)}]"), True
    tree = parsed(f"{base}[{before}{writer.constant(places, 'at')}]")
    return (writer.keep("taken1", tree) if array.varies else tree), True


def wide(writer: Writer, array: Array, places: Places) -> Tree:
    """The same with an entry for each place in any case."""
    tree, full = vector(writer, array, places)
    count = len(places)
    if array.varies:
        return tree if full else parsed(f"np.repeat({text(tree)}, {count}, axis=1)")
    return tree if full and count > 1 else parsed(f"np.full({count}, {text(tree)})")


def element(array: Array, place: int) -> Tree:
    """One value: ``(n, 1)``, or a number."""
    if array.varies:
        return parsed(array.name if array.size == 1 else f"{array.name}[:, {place}:{place + 1}]")
    if not array.shape or (array.size == 1 and not array.parameter):
        return parsed(array.name)
    index = np.unravel_index(place, array.shape)
    return parsed(f"{array.name}[{', '.join(map(str, index))}]")


def flat(array: Array) -> str:
    """An array of parameters in one dimension."""
    return array.name if len(array.shape) == 1 else f"{array.name}.ravel()"


def rows(writer: Writer, array: Array, places: Places) -> Tree:
    """The values at a matrix of places: ``(n, r, k)``, or ``(r, k)``; r is 1 where all rows are equal."""
    r, k = places.shape
    order = places.ravel()
    if array.varies:
        run = affine(order)
        turned = affine(places.T.ravel())
        if (places == places[0]).all():
            return parsed(f"{text(wide(writer, array, places[0]))}[:, None, :]")
        if (places == places[:, :1]).all():
            column = text(vector(writer, array, places[:, 0])[0])
            return parsed(f"np.repeat({column}[:, :, None], {k}, axis=2)")
        if run and run[1]:
            return parsed(f"{text(vector(writer, array, order)[0])}.reshape(n, {r}, {k})")
        if turned and turned[1]:
            view = text(vector(writer, array, places.T.ravel())[0])
            return parsed(f"{view}.reshape(n, {k}, {r}).swapaxes(1, 2)")
        return writer.keep("rows1", parsed(f"{array.name}[:, {writer.constant(places, 'at')}]"))
    if len(array.shape) == 2:
        whole = _matrix(array, places)
        if whole:
            return parsed(whole)
    if (places == places[0]).all():
        return parsed(f"{text(wide(writer, array, places[0]))}[None, :]")
    if (places == places[:, :1]).all():
        column = text(vector(writer, array, places[:, 0])[0])
        return parsed(f"np.repeat({column}[:, None], {k}, axis=1)")
    run = affine(order)
    if run and run[1]:
        return parsed(f"{text(vector(writer, array, order)[0])}.reshape({r}, {k})")
    return parsed(f"{flat(array)}[{writer.constant(places, 'at')}]")


def _matrix(array: Array, places: Places) -> str | None:
    """A view of a matrix of parameters, or of its transpose, that has exactly these places."""
    i, j = np.divmod(places, array.shape[1])
    for down, along, turn in ((i, j, ""), (j, i, ".T")):
        if not ((down == down[:, :1]).all() and (along == along[:1]).all()):
            continue
        views = []
        for each in (down[:, 0], along[0]):
            run = affine(each)
            if run is None or run[1] == 0:
                break
            views.append(slice_text(*run, len(each)))
        else:
            first, second = views if not turn else views[::-1]
            whole = (f"0:{array.shape[0]}", f"0:{array.shape[1]}")
            if (first, second) == whole:
                return f"{array.name}{turn}"
            taken = first if second == whole[1] else f"{':' if first == whole[0] else first}, {second}"
            return f"{array.name}[{taken}]{turn}"
    return None


def _line(array: Array, places: Places) -> str | None:
    """Part of one row or of one column of a matrix of parameters."""
    i, j = np.divmod(places, array.shape[1])
    for fixed, free, count, form in (
        (i, j, array.shape[1], "{0}[{1}, {2}]"),
        (j, i, array.shape[0], "{0}[{2}, {1}]"),
    ):
        run = affine(free)
        if (fixed == fixed[0]).all() and run and run[1]:
            part = ":" if run == (0, 1) and len(free) == count else slice_text(*run, len(free))
            return form.format(array.name, fixed[0], part).replace(", :]", "]")
    return None


def vector_slot(writer: Writer, slot: Slot) -> tuple[Tree, bool]:
    """The operand at a slot with one place for each member; equal numbers are one number."""
    if slot.home == CONSTANT:
        return numbers(writer, slot.numbers)
    return vector(writer, writer.arrays[slot.home], slot.places)


def numbers(writer: Writer, each: npt.NDArray[np.float64]) -> tuple[Tree, bool]:
    """One number, if they are all equal, else a constant array."""
    if (each == each[0]).all():
        return number(float(each[0])), len(each) == 1
    return parsed(writer.constant(each, "c")), True


def pieces(writer: Writer, slots: list[Slot]) -> Tree:
    """The elements of an argument that runs over a list: ``(n, m, k)``, for a single member ``(n, k)``."""
    varies = any(slot.home != CONSTANT and writer.arrays[slot.home].varies for slot in slots)
    parts = []
    for slot in slots:
        m, k = (slot.numbers if slot.home == CONSTANT else slot.places).shape
        if slot.home == CONSTANT:
            part = parsed(writer.constant(slot.numbers[0] if m == 1 else slot.numbers, "c"))
        elif m == 1:
            part = wide(writer, writer.arrays[slot.home], slot.places[0])
        else:
            part = rows(writer, writer.arrays[slot.home], slot.places)
        if len(slots) > 1:
            shape = ", ".join([*["n"] * varies, *[str(m)] * (m > 1), str(k)])
            part = call("np.broadcast_to", part, parsed(f"({shape},)"))
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    joined = parsed(f"np.concatenate([{', '.join(map(text, parts))}], axis=-1)")
    return writer.keep("joined1", joined)
