"""``Claim``: what was claimed in the digits in which it was written, and whether that is right."""

from __future__ import annotations

import math
import re
import unicodedata
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microbp.answers.structure import Structure
from microbp.answers.words import element, several
from microbp.errors import NoGradientError
from microbp.graph import cached_property
from microbp.labels import variable_names
from microbp.sweeps import Flags, Floats, Integers, dependents
from microbp.text import did_you_mean, quoted, shown
from microbp.value import Value, describe

#: Learning rates that people use, for a search where none was given.
_CUSTOMARY = (1.0, 0.5, 0.3, 0.25, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4)
#: Where a small digit stands beside another one: 10² is not 102, 2½ not 21/2, and ①0.5 not 10.5.
_SMALL = re.compile(r"(?<=[\d¼-¾⅐-⅟↉①-⓿])(?=[⁺⁻⁰¹²³⁴-⁹₀-₉¼-¾⅐-⅟↉①-⓿])|(?<=[⁰¹²³⁴-⁹₀-₉¼-¾⅐-⅞↉①-⓿])(?=[\d.,])")
#: A number as it was written: its value, nan where there is none; half a unit of its last digit; whether
#: there are enough digits for that to count, and nothing else, since it is a text; whether there is one.
_READ = [("value", float), ("half", float), ("rounded", bool), ("strict", bool), ("answered", bool)]


class Claim:
    """What is claimed about one parameter, or about an array of them, in the shape of the claim."""

    def __init__(
        self, net: Structure, key: Any, claimed: Any, rate: float | None, tolerance: float | None,
        decimals: int | None,
    ) -> None:  # fmt: skip
        self.net, self.rate, self.tolerance = net, rate, tolerance
        #: The learning rates to be looked for.
        self.rates = _CUSTOMARY if rate is None else (rate,)
        values = _values_of(net, key)
        #: The name of each element, and of all.
        self.names = [element(place, str(key)) for place in np.ndindex(values.shape)]
        self.name = key
        if not isinstance(key, str):
            known = variable_names(net.scope)
            self.names = [each.name or known.get(id(each)) or "an unnamed value" for each in values.flat]
            self.name = array = self.names[0].removesuffix(element([0] * values.ndim))
            if self.names != [element(place, array) for place in np.ndindex(values.shape)]:
                variables = (name for name, held in net.scope.items() if held is key)
                self.name = next(variables, several(dict.fromkeys(self.names)))
        for value in values.flat:
            if not value.requires_grad:
                raise NoGradientError(f"{self.name}: {describe(value)} is frozen and takes no gradient")
        places = [net.graph._places.get(id(value), -1) for value in values.flat]
        #: The node of each element; -1 where the loss does not depend on it. And the nodes that there are.
        self.where = np.array(places, dtype=np.int64).reshape(values.shape)
        self.nodes = [place for place in places if place >= 0]
        #: As written, and as numbers; where there is one.
        self.source, self.read = _read(self.name, claimed, decimals)
        self.answered: Flags = np.asarray(self.read["answered"])
        #: The gradient, and what the rounding of sums that cancel may do to it.
        self.true: Floats = np.where(self.where < 0, 0.0, net.gradient[self.where])
        self.rounding: Floats = np.where(self.where < 0, 0.0, 1e-13 * net.sizes[self.where])
        #: Whether the numbers can be broadcast over the parameter.
        self.fits = fits_onto(self.source.shape, self.true.shape)

    def grade(self, scale: float) -> bool:
        """Whether it is right as so many times the gradient, 1, or -η for an update; and not 0 by itself."""
        self.scale = scale
        #: The gradient that the claim amounts to.
        self.claimed: Floats = np.asarray(self.read["value"] / scale)
        #: Which elements are right, None where the shape is not that of the parameter; which are wrong.
        self.agrees: Flags | None = None
        self.wrong = self.answered
        if self.source.shape == self.true.shape:
            with np.errstate(invalid="ignore"):
                near = abs(self.claimed - self.true) <= self.near(1e-6)
            same = (self.claimed == self.true) | (np.isnan(self.claimed) & np.isnan(self.true))
            self.agrees = (same & self.answered) | near
            self.wrong = ~self.agrees & self.answered
        return self.agrees is not None and bool(self.agrees.all() and self.true.any())

    def near(self, relative: float) -> Floats:
        """How far a number may lie from each claimed one and still be what was meant."""
        read, given = self.read, self.tolerance
        digits = np.where(read["rounded"], read["half"] / abs(self.scale) * (1 + 1e-9), 0.0)
        parts = np.where(read["strict"], 0.0, relative) if given is None else given
        rounding = self.rounding if self.rounding.shape == digits.shape else self.rounding.max()
        size = np.where(np.isinf(self.claimed), 0.0, abs(self.claimed))  # what is infinite is near nothing
        return np.maximum(np.maximum(digits, parts * size), rounding)

    @property
    def ratio(self) -> NDArray[np.object_]:
        """What was claimed in terms of what is true; None where that says nothing."""
        ratio = np.full(self.true.shape, None, dtype=object)
        if self.fits:
            read = np.broadcast_to(self.read, self.true.shape)
            told = read["answered"] & (self.true != 0.0) & np.isfinite(self.true)
            with np.errstate(all="ignore"):
                ratio[told] = read["value"][told] / self.true[told] + 0.0  # 0, not -0
        return ratio

    @cached_property
    def ratios(self) -> int:
        """In how many ratios to the truth its wrong numbers are; 0 where the shapes do not fit."""
        wrong = self.ratio[np.broadcast_to(self.wrong, self.true.shape)] if self.fits else ()
        return len({f"{each:.4g}" for each in wrong if each is not None})

    @cached_property
    def parameters(self) -> dict[str, Integers]:
        """What has a name and takes a gradient, as arrays of nodes."""
        return {name: at for name, at in self.net.places.items() if self.net.leaves.issuperset(at.flat)}

    @cached_property
    def reached(self) -> Flags:
        """Which nodes of the graph depend on the parameters."""
        return dependents(self.net.graph, self.nodes)


def fits_onto(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    """Whether an array can be broadcast over another."""
    with suppress(ValueError):
        return np.broadcast_shapes(shape, onto) == onto
    return False


# ----------------------------------------------------------------------------------------- the numbers
def _read(name: str, claimed: Any, decimals: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """The claim as arrays of what was written and of the numbers that it is."""
    try:
        source = np.array(claimed, dtype=object)
        ragged = any(isinstance(each, list | tuple | np.ndarray) for each in source.flat)
    except ValueError:  # of arrays as rows
        ragged = True
    if ragged:
        raise ValueError(f"the claim for {shown(name)} has rows of unequal length: {quoted(claimed)}")
    read = np.empty(source.shape, dtype=_READ)
    for place in np.ndindex(source.shape):
        source[place], read[place] = _number(name, source[place], decimals)
    if (kind := getattr(claimed, "dtype", None)) in (np.float16, np.float32):  # of few digits
        read["half"] = 16 * float(np.finfo(kind).eps) * abs(read["value"])
        read["rounded"] = read["value"] != 0.0
    return source, read


def _number(name: str, written: Any, decimals: int | None) -> tuple[Any, tuple[Any, ...]]:
    """A number as it is shown and as it was written; a float does not show its last zeros."""
    written = written.data if isinstance(written, Value) else written
    if isinstance(written, Real) and not isinstance(written, bool):
        try:
            written = float(written)
        except OverflowError:
            written = math.inf if written > 0 else -math.inf
    elif isinstance(written, Decimal):
        written = str(written)
    elif not (written is None or isinstance(written, str)):
        raise ValueError(f"the claim for {shown(name)} is not a number: {quoted(written)}")
    is_text, text = isinstance(written, str), "" if written is None else str(written)
    if is_text:
        text = _SMALL.sub("^", text)
        text = re.sub("[−‐-―]", "-", unicodedata.normalize("NFKC", text).strip())
        text = re.sub(r"^([-+])\s+", r"\1", re.sub(r"\s*[/⁄]\s*", "/", text.replace("∞", "inf")))
        text = text if "." in text or text.count(",") != 1 else text.replace(",", ".")
        text = re.sub(r"\s*[×*·x]\s*10\s*((\^|\*\*)\s*(?=\d)|(\^|\*\*)?\s*(?=[-+]))", "e", text)
    try:
        number = Fraction(text) if "/" in text else Decimal(text)
        value = float(number)
    except (ArithmeticError, ValueError):
        return written if text else None, (np.nan, 0.0, False, False, False)
    if decimals is not None:
        return written, (value, 0.5 * 10.0**-decimals, True, True, True)
    if isinstance(number, Fraction) or not number or not math.isfinite(value):
        return written, (value, 0.0, False, False, True)
    _, digits, exponent = (number if is_text else number.normalize()).as_tuple()
    rounded = len(digits) >= (3 if is_text else 5)
    return written, (value, 0.5 * 10.0 ** int(exponent), rounded, rounded and is_text, True)


def whole_decimals(decimals: Any) -> int:
    """How many decimals were written; ValueError for what is no such number."""
    if not isinstance(decimals, Integral) or isinstance(decimals, bool) or decimals < 0:
        raise ValueError(f"decimals is how many decimals were written, 0 or more, not {decimals!r}")
    return int(decimals)


# ------------------------------------------------------------------------------------------- the names
def _values_of(net: Structure, key: Any) -> NDArray[Any]:
    """The Values that a claim is about."""
    graph, held = net.graph, _as_values(net.scope.get(key) if isinstance(key, str) else key)
    if not isinstance(key, str):
        if held is None:
            raise TypeError(f"a claim is about a name, a Value or an array of Values, not {quoted(key)}")
        return held
    bearers = sum(value.name == key for value in graph._values)
    inside = held is not None and any(id(value) in graph._places for value in held.flat)
    if bearers > 1 and not inside:
        raise KeyError(
            f"{bearers} values of the graph are named {key!r}: give the Value itself, in a list of pairs "
            "(value, claim)"
        )
    if held is not None and (key not in net.places or (inside and bearers != 1)):
        return held
    if key in net.places:
        return np.asarray(np.array(graph._values, dtype=object)[net.places[key]], dtype=object)
    if elements := sum(name.startswith(f"{key}[") for name in net.places):
        raise ValueError(
            f"the loss depends on {elements} elements of {key!r} only, so that its shape is not known: give "
            "the array itself, in a list of pairs (array, claim)"
        )
    names = [name for name, named in zip(net.names, net.named, strict=True) if named]
    known = [*dict.fromkeys([*(each.partition("[")[0] for each in names), *names])]
    near, listed = did_you_mean(key, known), several(known, 20) or "none"
    raise KeyError(
        f"nothing that the loss depends on is called {key!r}{f'; {near}' if near else '.'} Names there are: "
        f"{listed}; a claim may also be made by the Value itself, in a list of pairs (value, claim)"
    )


def _as_values(held: Any) -> NDArray[Any] | None:
    """An array of Values from a Value, an array or a nested list of Values; None for anything else."""
    with suppress(ValueError):  # rows of unequal length
        values = np.asarray(held if isinstance(held, Value | list | tuple | np.ndarray) else [], dtype=object)
        if values.size and all(isinstance(each, Value) for each in values.flat):
            return values.view(np.ndarray)
    return None
