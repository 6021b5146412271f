"""``Claim``: what was claimed in the digits in which it was written, and whether that is right."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microbp.answers.structure import Flags, Floats, Places, Structure, arrays_of
from microbp.errors import NoGradientError
from microbp.labels import variable_names
from microbp.lazy import cached_property
from microbp.safe import shown
from microbp.spelling import did_you_mean
from microbp.sweeps import dependents
from microbp.value import Value, describe

#: A number as it was written: its value, nan where there is none; half a unit of its last digit; whether
#: there are enough digits for that to count, and nothing else, since it is a text; whether there is one.
_READ = [("value", float), ("half", float), ("rounded", bool), ("strict", bool), ("answered", bool)]


@dataclass(frozen=True, eq=False)
class Claim:
    """What is claimed about one parameter, or about an array of them."""

    net: Structure
    #: All that were made at once, in order: this is one of them.
    together: Sequence[Claim]
    name: str
    #: The node of each element; -1 where the loss does not depend on it.
    where: Places
    #: As written, in the claim's own shape, and as numbers.
    source: NDArray[Any]
    read: NDArray[Any]
    #: 1 for a gradient; -η for an update.
    scale: float = 1.0

    @cached_property
    def true(self) -> Floats:
        """The gradient."""
        return np.where(self.where < 0, 0.0, self.net.gradient[self.where])

    @cached_property
    def claimed(self) -> Floats:
        """The gradient that the claim amounts to."""
        return np.asarray(self.read["value"] / self.scale)

    @property
    def answered(self) -> Flags:
        """Where a number was written."""
        return np.asarray(self.read["answered"])

    def near(self, relative: float) -> Floats:
        """How far a number may lie from each claimed one and still be what was meant."""
        read, given = self.read, self.net.tolerance
        digits = np.where(read["rounded"], read["half"] / abs(self.scale) * (1 + 1e-9), 0.0)
        parts = np.where(read["strict"], 0.0, relative) if given is None else given
        rounding = self.rounding if self.rounding.shape == digits.shape else self.rounding.max()
        size = np.where(np.isinf(self.claimed), 0.0, abs(self.claimed))  # what is infinite is near nothing
        return np.maximum(np.maximum(digits, parts * size), rounding)

    @cached_property
    def rounding(self) -> Floats:
        """What the rounding of sums that cancel may do to each gradient."""
        return np.where(self.where < 0, 0.0, 1e-13 * self.net.sizes[self.where])

    @cached_property
    def agrees(self) -> Flags | None:
        """Which elements are right; None where the shape is not that of the parameter."""
        if self.source.shape != self.true.shape:
            return None
        same = (self.claimed == self.true) | (np.isnan(self.claimed) & np.isnan(self.true))
        with np.errstate(invalid="ignore"):
            return np.asarray((same & self.answered) | (abs(self.claimed - self.true) <= self.near(1e-6)))

    @cached_property
    def wrong(self) -> Flags:
        """Which numbers are wrong; all where the shape is not that of the parameter."""
        return self.answered if self.agrees is None else ~self.agrees & self.answered

    @property
    def right(self) -> bool:
        """Whether it is, and not because there is nothing."""
        return self.agrees is not None and bool(self.agrees.all() and self.true.any())

    @cached_property
    def fits(self) -> bool:
        """Whether the numbers can be broadcast over the parameter."""
        return fits_onto(self.source.shape, self.true.shape)

    @cached_property
    def ratio(self) -> NDArray[np.object_]:
        """What was claimed in terms of what is true; None where that says nothing."""
        ratio = np.full(self.true.shape, None, dtype=object)
        if self.fits:
            read = np.broadcast_to(self.read, self.true.shape)
            told = read["answered"] & (self.true != 0.0) & np.isfinite(self.true)
            with np.errstate(all="ignore"):
                ratio[told] = read["value"][told] / self.true[told]
        return ratio

    @cached_property
    def ratios(self) -> int:
        """In how many ratios to the truth its wrong numbers are; 0 where the shapes do not fit."""
        wrong = self.ratio[np.broadcast_to(self.wrong, self.true.shape)] if self.fits else ()
        return len({f"{each:.4g}" for each in wrong if each is not None})

    @cached_property
    def nodes(self) -> list[int]:
        """The parameters that the loss depends on."""
        found: list[int] = self.where[self.where >= 0].tolist()
        return found

    @cached_property
    def reached(self) -> Flags:
        """Which nodes of the graph depend on them."""
        return dependents(self.net.graph, self.nodes)


def claim_of(
    net: Structure, together: Sequence[Claim], key: Any, claimed: Any, decimals: int | None
) -> Claim:
    """What is claimed about the Values that ``key`` stands for, one of the claims made ``together``."""
    name, values = _values_of(net, key)
    places: list[int] = []
    for value in values.ravel().tolist():
        if not value.requires_grad:
            raise NoGradientError(f"{name}: {describe(value)} is frozen and takes no gradient")
        places.append(net.graph._places.get(id(value), -1))
    return Claim(net, together, name, np.reshape(places, values.shape), *_read(name, claimed, decimals))


def fits_onto(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    """Whether an array can be broadcast over another."""
    try:
        return np.broadcast_shapes(shape, onto) == onto
    except ValueError:
        return False


# ----------------------------------------------------------------------------------------- the numbers
def _read(name: str, claimed: Any, decimals: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """The claim as arrays of what was written and of the numbers that it is."""
    try:
        source = np.array(claimed, dtype=object)
    except ValueError:
        told = f"the claim for {shown(name)} has rows of unequal length: {shown(repr(claimed))}"
        raise ValueError(told) from None
    read = np.empty(source.shape, dtype=_READ)
    for place in np.ndindex(source.shape):
        source[place], read[place] = _number(name, source[place], decimals)
    if getattr(claimed, "dtype", None) == np.float32:  # computed in fewer digits than it is printed in
        read["half"] = 16 * float(np.finfo(np.float32).eps) * abs(read["value"])
        read["rounded"] = read["value"] != 0.0
    return source, read


def _number(name: str, written: Any, decimals: int | None) -> tuple[Any, tuple[Any, ...]]:
    """A number as it is shown and as it was written; a float does not show its last zeros."""
    blank = (np.nan, 0.0, False, False, False)
    written = written.data if isinstance(written, Value) else written
    if written is None or (isinstance(written, str) and not written.strip()):
        return None, blank
    number: Fraction | Decimal
    if isinstance(written, str):
        text = unicodedata.normalize("NFKC", written).strip().replace("−", "-")
        if text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
        text = re.sub(r"\s*[×*·x]\s*10\s*(\^|\*\*)?\s*(?=[-+\d])", "e", text)
        try:
            number = Fraction(text.replace(" ", "")) if "/" in text else Decimal(text)
            value = float(number)
        except (ArithmeticError, ValueError):
            return written, blank
    elif isinstance(written, Real) and not isinstance(written, bool):
        try:
            value = float(written)
        except OverflowError:
            value = math.inf if abs(written) == written else -math.inf
        written, number = value, Decimal(repr(value)).normalize()
    else:
        raise ValueError(f"the claim for {shown(name)} is not a number: {shown(repr(written))}")
    if decimals is not None:
        return written, (value, 0.5 * 10.0**-decimals, True, False, True)
    if isinstance(number, Fraction) or not number or not math.isfinite(value):
        return written, (value, 0.0, False, False, True)
    _, digits, exponent = number.as_tuple()
    text_given = isinstance(written, str)
    rounded = len(digits) >= (3 if text_given else 5)
    return written, (value, 0.5 * 10.0 ** int(exponent), rounded, rounded and text_given, True)


# ------------------------------------------------------------------------------------------- the names
def _values_of(net: Structure, key: Any) -> tuple[str, NDArray[Any]]:
    """The name and the Values that a claim is about."""
    graph, held = net.graph, _as_values(net.scope.get(key) if isinstance(key, str) else key)
    if not isinstance(key, str):
        if held is None:
            raise TypeError(f"a claim is about a name, a Value or an array of Values, not {key!r}")
        first = held.flat[0]
        name = first.name or variable_names(net.scope).get(id(first)) or "an unnamed value"
        return name.partition("[")[0] if held.shape else name, held
    bearers = [value for value in graph._values if value.name == key]
    if held is not None and len(bearers) != 1 and any(id(value) in graph._places for value in held.flat):
        return key, held
    if len(bearers) > 1:
        raise KeyError(
            f"{len(bearers)} values of the graph are named {key!r}: give the Value itself, in a list of "
            "pairs (value, claim)"
        )
    own = {value.name: value for value in graph._values if value.name}
    found = arrays_of(own).get(key, held)
    if key in graph._called and net.named[graph._called[key]]:
        found = np.array(graph._values[graph._called[key]], dtype=object)
    if found is not None:
        return key, found
    elements = [name for name in own if name.startswith(f"{key}[")]
    if elements:
        raise ValueError(
            f"the loss depends on {len(elements)} elements of {key!r} only, so that its shape is not known: "
            "give the array itself, in a list of pairs (array, claim)"
        )
    names = [name for name, named in zip(net.names, net.named, strict=True) if named]
    known = list(dict.fromkeys([*(each.partition("[")[0] for each in names), *names]))
    near = did_you_mean(key, known)
    listed = ", ".join(known[:20] + ["…"] * (len(known) > 20)) or "none"
    raise KeyError(
        f"nothing that the loss depends on is called {key!r}{f'; {near}' if near else '.'} Names there are: "
        f"{listed}; a claim may also be made by the Value itself, in a list of pairs (value, claim)"
    )


def _as_values(held: Any) -> NDArray[Any] | None:
    """An array of Values from a Value, an array or a nested list of Values; None for anything else."""
    if isinstance(held, Value | list | tuple | np.ndarray):
        with suppress(ValueError):  # rows of unequal length
            values = np.asarray(held, dtype=object).view(np.ndarray)
            if values.size and all(isinstance(each, Value) for each in values.flat):
                return values
    return None
