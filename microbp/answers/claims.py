"""``Claim``: what was claimed in the digits in which it was written, and whether that is right."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microbp.answers.structure import Flags, Floats, Places, Structure, assembled
from microbp.labels import variable_names
from microbp.lazy import cached_property
from microbp.safe import shown
from microbp.spelling import did_you_mean
from microbp.sweeps import dependents
from microbp.value import Value


@dataclass(frozen=True, eq=False)
class Claim:
    """What is claimed about one parameter, or about an array of them."""

    net: Structure
    #: All that were made at once, in order: this is one of them.
    together: Sequence[Claim]
    name: str
    #: The node of each element; -1 where the loss does not depend on it.
    where: Places
    true: Floats
    #: As written, in the claim's own shape, and as numbers; nan where there is none.
    source: NDArray[np.object_]
    written: Floats
    #: Half a unit of the last digit written; whether there are enough digits for it to count, ...
    half: Floats
    rounded: Flags
    #: ... and whether nothing else counts, since it was written as text.
    strict: Flags
    #: Where nothing was written, and where nothing that is a number.
    blank: Flags
    unreadable: Flags
    #: 1 for a gradient; -η for an update.
    scale: float = 1.0

    @cached_property
    def claimed(self) -> Floats:
        """The gradient that the claim amounts to."""
        return np.asarray(self.written / self.scale)

    def near(self, relative: float) -> Floats:
        """How far a number may lie from each claimed one and still be what was meant."""
        digits = np.where(self.rounded, self.half / abs(self.scale) * (1 + 1e-9), 0.0)
        given = self.net.tolerance
        parts = np.where(self.strict, 0.0, relative) if given is None else given
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
        if self.written.shape != self.true.shape:
            return None
        same = (self.claimed == self.true) | (np.isnan(self.claimed) & np.isnan(self.true))
        with np.errstate(invalid="ignore"):
            return np.asarray((same & self.answered) | (abs(self.claimed - self.true) <= self.near(1e-6)))

    @cached_property
    def answered(self) -> Flags:
        """Where a number was written."""
        return ~(self.blank | self.unreadable)

    @cached_property
    def ratio(self) -> NDArray[np.object_]:
        """What was claimed in terms of what is true; None where that says nothing."""
        ratio = np.full(self.true.shape, None, dtype=object)
        if fits_onto(self.written.shape, self.true.shape):
            claimed, answered = (np.broadcast_to(x, self.true.shape) for x in (self.written, self.answered))
            for place in np.argwhere(answered & (self.true != 0.0) & np.isfinite(self.true)):
                ratio[tuple(place)] = float(claimed[tuple(place)]) / float(self.true[tuple(place)])
        return ratio

    @cached_property
    def ratios(self) -> int:
        """In how many ratios to the truth its wrong numbers are; 0 where the shapes do not fit."""
        if not fits_onto(self.wrong.shape, self.true.shape):
            return 0
        ratios = self.ratio[np.broadcast_to(self.wrong, self.true.shape)].flat
        return len({f"{each:.4g}" for each in ratios if each is not None})

    @property
    def right(self) -> bool:
        """Whether all of it is right."""
        return self.agrees is not None and bool(self.agrees.all())

    @cached_property
    def wrong(self) -> Flags:
        """Which numbers are wrong; all where the shape is not that of the parameter."""
        return self.answered if self.agrees is None else ~self.agrees & self.answered

    @cached_property
    def reached(self) -> Flags:
        """Which nodes of the graph depend on the parameters."""
        return dependents(self.net.graph, self.where[self.where >= 0].tolist())

    @cached_property
    def parameter(self) -> Floats | None:
        """The parameter's own numbers; None where the loss does not depend on all of them."""
        return None if (self.where < 0).any() else self.net.data[self.where]


def claim_of(net: Structure, together: Sequence[Claim], key: Any, claimed: Any) -> Claim:
    """What is claimed about the Values that ``key`` stands for, one of the claims made ``together``."""
    name, values = _values_of(net, key)
    where = np.empty(values.shape, dtype=np.int64)
    for place in np.ndindex(values.shape):
        value: Any = values[place]
        where[place] = net.position(value, name)
    true = np.where(where < 0, 0.0, net.gradient[where])
    return Claim(net, together, name, where, true, *_read(name, claimed, net.decimals))


def as_updates(asked: Sequence[Claim], learning_rate: float | None) -> Sequence[Claim] | None:
    """The claims read as -η·gradient, if some are right so, and none is right as a gradient."""
    if learning_rate is None or any(each.right for each in asked if each.true.any()):
        return None
    updates: list[Claim] = []
    updates += [replace(each, scale=-learning_rate, together=updates) for each in asked]
    return updates if any(each.right for each in updates if each.true.any()) else None


def fits_onto(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    """Whether an array can be broadcast over another."""
    try:
        return np.broadcast_shapes(shape, onto) == onto
    except ValueError:
        return False


# ----------------------------------------------------------------------------------------- the numbers
class _Number(NamedTuple):
    """A number as it was written."""

    value: float
    half: float = 0.0
    rounded: bool = False
    strict: bool = False
    blank: bool = False
    unreadable: bool = False


def _read(name: str, claimed: Any, decimals: int | None) -> tuple[Any, ...]:
    """The claim as an array of what was written, and the fields of each number as arrays."""
    if isinstance(claimed, np.ndarray) and claimed.dtype.kind == "f":
        source = claimed.astype(object)
    else:
        try:
            source = np.array(claimed, dtype=object)
        except ValueError:
            told = f"the claim for {shown(name)} has rows of unequal length: {shown(repr(claimed))}"
            raise ValueError(told) from None
    for place in np.ndindex(source.shape):
        source[place] = _plain(source[place])
    numbers = [_number(name, each, decimals) for each in source.flat]
    fields = [np.array([each[i] for each in numbers]).reshape(source.shape) for i in range(6)]
    if getattr(claimed, "dtype", None) == np.float32:  # computed in fewer digits than it is printed in
        fields[1], fields[2] = 16 * float(np.finfo(np.float32).eps) * abs(fields[0]), fields[0] != 0
    return source, *fields


def _plain(written: Any) -> Any:
    """A number as a float; a text, and anything else, as it is."""
    if isinstance(written, Value):
        return written.data
    if not isinstance(written, Real) or isinstance(written, bool):
        return written
    try:
        return float(written)
    except OverflowError:
        return math.inf if abs(written) == written else -math.inf


def _number(name: str, written: Any, decimals: int | None) -> _Number:
    """A number in the digits in which it was written; a float does not show its last zeros."""
    if written is None:
        return _Number(np.nan, blank=True)
    if isinstance(written, str):
        text = unicodedata.normalize("NFKC", written).strip().replace("−", "-")
        if not text:
            return _Number(np.nan, blank=True)
        if text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
        text = re.sub(r"\s*[×*·x]\s*10\s*(\^|\*\*)?\s*(?=[-+\d])", "e", text)
        with suppress(InvalidOperation, ValueError, ZeroDivisionError, OverflowError):
            if "/" in text:
                half = 0.0 if decimals is None else 0.5 * 10.0**-decimals
                return _Number(float(Fraction(text.replace(" ", ""))), half, half > 0.0)
            return _digits(Decimal(text), decimals, text=True)
        return _Number(np.nan, unreadable=True)
    if isinstance(written, float):
        return _digits(Decimal(repr(written)).normalize(), decimals, text=False)
    raise ValueError(f"the claim for {shown(name)} is not a number: {shown(repr(written))}")


def _digits(decimal: Decimal, decimals: int | None, *, text: bool) -> _Number:
    _, digits, exponent = decimal.as_tuple()
    if not isinstance(exponent, int) or math.isinf(float(decimal)):
        return _Number(float(decimal))
    if decimals is not None:
        return _Number(float(decimal), 0.5 * 10.0**-decimals, rounded=True)
    if not decimal:
        return _Number(float(decimal))
    rounded = len(digits) >= (3 if text else 5)
    return _Number(float(decimal), 0.5 * 10.0**exponent, rounded, rounded and text)


# ------------------------------------------------------------------------------------------- the names
def _values_of(net: Structure, key: Any) -> tuple[str, NDArray[np.object_]]:
    """The name and the Values that a claim is about."""
    if not isinstance(key, str):
        values = _as_values(key)
        if values is None:
            raise TypeError(f"a claim is about a name, a Value or an array of Values, not {key!r}")
        return _name_of(net, key, values), values
    bearers = [value for value in net.values if value.name == key]
    if len(bearers) == 1:
        return key, np.array(bearers[0], dtype=object)
    held = _as_values(net.scope.get(key))
    present = {id(value) for value in net.values}
    if held is not None and any(id(value) in present for value in held.flat):
        return key, held
    elements = None if bearers else assembled({v.name: v for v in net.values if v.name}, key)
    if elements is not None:
        return key, elements
    if held is not None:  # the loss does not depend on it
        return key, held
    if bearers:
        raise KeyError(
            f"{len(bearers)} values of the graph are named {key!r}: give the Value itself, in a list of "
            "pairs (value, claim)"
        )
    for name, named, value in zip(net.names, net.named, net.values, strict=True):
        if named and name == key:
            return key, np.array(value, dtype=object)
    raise KeyError(_unknown(net, key))


def _as_values(held: Any) -> NDArray[np.object_] | None:
    """An array of Values from a Value, an array or a nested list of Values; None for anything else."""
    if isinstance(held, Value | list | tuple | np.ndarray):
        with suppress(ValueError):  # rows of unequal length
            values = np.asarray(held, dtype=object).view(np.ndarray)
            if values.size and all(isinstance(each, Value) for each in values.flat):
                return values
    return None


def _name_of(net: Structure, key: Any, values: NDArray[np.object_]) -> str:
    """What to call the object of a claim that was made by the Values themselves."""
    first: Any = values.flat[0]
    if not first.name:
        for variable, held in net.scope.items():
            if held is key:
                return variable
    name: str = first.name or variable_names(net.scope).get(id(first)) or "an unnamed value"
    return name.partition("[")[0] if values.shape else name


def _unknown(net: Structure, key: str) -> str:
    names = [name for name, named in zip(net.names, net.named, strict=True) if named]
    known = list(dict.fromkeys([*(each.partition("[")[0] for each in names), *names]))
    near = did_you_mean(key, known)
    meant = f"; {near}" if near else "."
    listed = ", ".join(known[:20] + ["…"] * (len(known) > 20)) or "none"
    return (
        f"nothing that the loss depends on is called {key!r}{meant} Names there are: {listed}; a claim may "
        "also be made by the Value itself, in a list of pairs (value, claim)"
    )
