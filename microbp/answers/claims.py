"""``Claim``: what was claimed in the digits in which it was written, and whether that is right."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microbp.answers.arrays import Flags, Floats, Places, fits_onto
from microbp.answers.case import Case, Edge
from microbp.answers.names import values_of
from microbp.lazy import cached_property
from microbp.safe import shown
from microbp.sweeps import dependents
from microbp.value import Value


@dataclass(frozen=True, eq=False)
class Claim:
    """What is claimed about one parameter, or about an array of them."""

    case: Case
    #: All that were made at once, in order: this is one of them.
    together: Sequence[Claim]
    name: str
    #: The node of each element; -1 where the loss does not depend on it.
    where: Places
    true: Floats
    #: As written, in the claim's own shape.
    written: Floats
    #: Half a unit of the last digit written; whether there are enough digits for it to count, ...
    half: Floats
    rounded: Flags
    #: ... and whether nothing else counts, since it was written as text.
    strict: Flags
    #: 1 for a gradient; -η for an update.
    scale: float = 1.0

    @cached_property
    def claimed(self) -> Floats:
        """The gradient that the claim amounts to."""
        return np.asarray(self.written / self.scale)

    def near(self, relative: float | Floats) -> Floats:
        """How far a number may lie from each claimed one and still be what was meant."""
        digits = np.where(self.rounded, self.half / abs(self.scale) * (1 + 1e-9), 0.0)
        if self.case.tolerance is None:
            relative = np.where(self.strict, 0.0, relative)
        else:
            relative = self.case.tolerance
        rounding = self.rounding if self.rounding.shape == digits.shape else self.rounding.max()
        return np.maximum(np.maximum(digits, relative * abs(self.claimed)), rounding)

    @cached_property
    def rounding(self) -> Floats:
        """What the rounding of sums that cancel may do to each gradient."""
        return np.where(self.where < 0, 0.0, 1e-13 * self.case.sizes[self.where])

    @cached_property
    def agrees(self) -> Flags | None:
        """Which elements are right; None where the shape is not that of the parameter."""
        if self.written.shape != self.true.shape:
            return None
        same = (self.claimed == self.true) | (np.isnan(self.claimed) & np.isnan(self.true))
        with np.errstate(invalid="ignore"):
            return np.asarray(same | (abs(self.claimed - self.true) <= self.near(1e-6)))

    @cached_property
    def ratio(self) -> NDArray[np.object_]:
        """What was claimed in terms of what is true; None where that says nothing."""
        ratio = np.full(self.true.shape, None, dtype=object)
        if fits_onto(self.written.shape, self.true.shape):
            claimed = np.broadcast_to(self.written, self.true.shape)
            for place in np.argwhere((self.true != 0.0) & np.isfinite(self.true)):
                ratio[tuple(place)] = float(claimed[tuple(place)]) / float(self.true[tuple(place)])
        return ratio

    @property
    def right(self) -> bool:
        """Whether all of it is right."""
        return self.agrees is not None and bool(self.agrees.all())

    @cached_property
    def wrong(self) -> Flags:
        """Which numbers are wrong; all where the shape is not that of the parameter."""
        return np.full(self.written.shape, True) if self.agrees is None else ~self.agrees

    @cached_property
    def reached(self) -> Flags:
        """Which nodes of the graph depend on the parameters."""
        return dependents(self.case.graph, self.where[self.where >= 0].tolist())

    @cached_property
    def edges(self) -> list[Edge]:
        """Every use of a value on the paths from the parameters to the loss."""
        return [
            (node.position, place)
            for node in self.case.nodes
            for place, operand in enumerate(node.operands)
            if type(operand) is int and self.reached[operand] and self.case.gradient[node.position]
        ]

    @cached_property
    def edge_set(self) -> frozenset[Edge]:
        """The same uses, to look one up."""
        return frozenset(self.edges)


def claim_of(case: Case, together: Sequence[Claim], key: Any, claimed: Any) -> Claim:
    """What is claimed about the Values that ``key`` stands for, one of the claims made ``together``."""
    name, values = values_of(case, key)
    where = np.empty(values.shape, dtype=np.int64)
    true = np.zeros(values.shape)
    for place in np.ndindex(values.shape):
        value: Any = values[place]
        where[place] = case.position(value, name)
        true[place] = case.gradient[where[place]] if where[place] >= 0 else 0.0
    return Claim(case, together, name, where, true, *_read(name, claimed))


def _read(name: str, claimed: Any) -> tuple[Floats, Floats, Flags, Flags]:
    """Each number, half a unit of its last digit, whether that counts, and whether nothing else does."""
    try:
        source = np.asarray(claimed, dtype=object)
    except ValueError:
        told = f"the claim for {shown(name)} has rows of unequal length: {shown(repr(claimed))}"
        raise ValueError(told) from None
    numbers, half = np.zeros(source.shape), np.zeros(source.shape)
    rounded, strict = np.full(source.shape, False), np.full(source.shape, False)
    for place in np.ndindex(source.shape):
        decimal = _decimal(name, source[place])
        numbers[place] = float(decimal)
        _, digits, exponent = decimal.as_tuple()
        if decimal and isinstance(exponent, int):
            half[place] = 0.5 * 10.0**exponent
            text = isinstance(source[place], str)
            rounded[place] = len(digits) >= (3 if text else 5)
            strict[place] = rounded[place] and text
    if getattr(claimed, "dtype", None) == np.float32:  # computed in fewer digits than it is printed in
        half, rounded = 16 * float(np.finfo(np.float32).eps) * abs(numbers), numbers != 0
    return numbers, half, rounded, strict


def _decimal(name: str, claimed: Any) -> Decimal:
    """A number in the digits in which it was written; a float does not show its last zeros."""
    claimed = claimed.data if isinstance(claimed, Value) else claimed
    with suppress(InvalidOperation):
        if isinstance(claimed, str):
            return Decimal(claimed.strip().replace("−", "-"))
        if isinstance(claimed, Real) and not isinstance(claimed, bool):
            return Decimal(repr(float(claimed))).normalize()
    raise ValueError(f"the claim for {shown(name)} is not a number: {shown(repr(claimed))}")


def as_updates(asked: Sequence[Claim], learning_rate: float | None) -> Sequence[Claim] | None:
    """The claims read as -η·gradient, if some are right so, and none is right as a gradient."""
    if learning_rate is None or any(each.right for each in asked if each.true.any()):
        return None
    updates: list[Claim] = []
    updates += [replace(each, scale=-learning_rate, together=updates) for each in asked]
    return updates if any(each.right for each in updates if each.true.any()) else None
