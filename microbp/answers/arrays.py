"""Arrays of numbers: their types, whether shapes fit, and how a sentence shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

#: A number, or numbers in nested tuples in the shape of their array.
Numbers = Any


def fits_onto(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    """Whether an array can be broadcast over another."""
    try:
        return np.broadcast_shapes(shape, onto) == onto
    except ValueError:
        return False


def plain(numbers: Any) -> Numbers:
    """Nested lists as nested tuples."""
    return tuple(map(plain, numbers)) if isinstance(numbers, list) else numbers


def digest(numbers: Floats) -> bytes:
    """What is equal for equal numbers, whatever the rounding of their last bits."""
    mantissa, exponent = np.frexp(numbers)
    return np.ldexp(np.round(mantissa, 11), exponent).tobytes()


def shape_of(array: Floats) -> str:
    """``2×1``; with fewer dimensions as NumPy writes it."""
    return "×".join(map(str, array.shape)) if array.ndim > 1 else str(array.shape)


def element(place: Iterable[Any]) -> str:
    """``[0,1]``: the place of an element; empty for a number by itself."""
    text = ",".join(map(str, place))
    return f"[{text}]" if text else ""


def places_of(flags: Flags) -> str:
    """``[0,1], [1,1]``: where it is true."""
    places = list(map(element, np.argwhere(flags)))
    return ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")


def shown(array: Floats, most: int = 4) -> str:
    """The first numbers of an array, in 6 digits."""
    if array.ndim == 0:
        return f"{float(array):.6g}"
    most = most if array.size <= 6 else 2
    return f"[{', '.join(shown(each, most) for each in array[:most])}{', …' * (len(array) > most)}]"
