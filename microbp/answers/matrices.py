"""The hypothesis that matrices were turned the wrong way, or broadcast."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.arrays import Floats, digest, fits_onto, shape_of, shown
from microbp.answers.candidates import Candidate, distinct
from microbp.answers.claims import Claim
from microbp.answers.layers import Above, Layer, Named, layer_at


class _Form(NamedTuple):
    """How two matrices a and b are multiplied: by matrix product or by elements, turned, interchanged."""

    matrix: bool
    swap: bool
    turn_a: bool
    turn_b: bool

    def factors(self, a: Floats, b: Floats) -> tuple[Floats, Floats]:
        a, b = a.T if self.turn_a else a, b.T if self.turn_b else b
        return (b, a) if self.swap else (a, b)

    def __call__(self, a: Floats, b: Floats) -> Floats | None:
        """The product as NumPy has it, with broadcasting; None where the shapes do not allow it."""
        a, b = self.factors(a, b)
        if self.matrix:
            return a @ b if a.shape[1] == b.shape[0] else None
        return a * b if all(m == n or 1 in (m, n) for m, n in zip(a.shape, b.shape, strict=True)) else None

    def text(self, a: str, b: str) -> str:
        """``W1ᵀ·δ``: · is the matrix product, ∗ that of the elements."""
        a, b = (f"({each})" if "·" in each or "∗" in each else each for each in (a, b))
        a, b = a + "ᵀ" * self.turn_a, b + "ᵀ" * self.turn_b
        a, b = (b, a) if self.swap else (a, b)
        return f"{a}{'·' if self.matrix else ' ∗ '}{b}"

    def shapes(self, a: Floats, b: Floats) -> str:
        """``1×2 · 2×2 → 1×2``."""
        a, b = self.factors(a, b)
        sign, made = ("·", a @ b) if self.matrix else ("∗", a * b)
        return f"{shape_of(a)} {sign} {shape_of(b)} → {shape_of(made)}"

    @property
    def turns(self) -> int:
        return self.turn_a + self.turn_b


_BY_ELEMENTS = _Form(False, False, False, False)
_FORMS = [_Form(True, *turns) for turns in product((False, True), repeat=3)]
_FORMS += [_Form(False, False, *turns) for turns in product((False, True), repeat=2)]


class _Delta(NamedTuple):
    """A layer's delta, perhaps wrong: how many faults and transposes are in it, and in words."""

    faults: int
    turns: int
    told: list[str]
    named: Named


def orientation(claim: Claim) -> Iterator[Candidate]:
    """The matrix products of the backward pass, with each factor turned each way, and broadcasting."""
    layer = layer_at(claim.case, claim.where)
    if layer is None:
        return
    x, right = layer.x, _as_stored(layer, _Form(True, False, False, True))
    found: list[tuple[int, int, Candidate]] = []
    for delta, form in product(_deltas(layer), _FORMS):
        gives = form(delta.named.data, x.data)
        if gives is None or not fits_onto(gives.shape, claim.true.shape):
            continue
        told = delta.told.copy()
        if form != right:
            shapes = f"{form.text(layer.delta.text, x.text)} ({form.shapes(delta.named.data, x.data)})"
            told.append(f"the gradient is {right.text(layer.delta.text, x.text)}, not {shapes}")
        if gives.shape != claim.true.shape:
            told.append(_spread(gives, claim.true))
        text = f"it is {form.text(delta.named.text, x.text)}: {'; '.join(told)}"
        gives = np.broadcast_to(gives, claim.true.shape).copy()
        faults = delta.faults + (form != right)
        found.append((faults, delta.turns + form.turns, Candidate(text, gives)))
    found.sort(key=lambda each: each[:2])
    yield from distinct(claim, (candidate for _, _, candidate in found))


def _deltas(layer: Layer) -> list[_Delta]:
    """Each delta that the factors of the hidden layer give, by the least mistakes that give it."""
    above = layer.above
    if above is None:
        return [_Delta(0, 0, [], layer.delta)]
    right = _as_stored(layer, _Form(True, False, True, False))
    found = []
    for everywhere, first, second in product((False, True), _FORMS, _FORMS):
        error = _error(above, first, second, everywhere and above.further is not None)
        delta = None if error is None else second(error, above.slope.data)
        if error is not None and delta is not None:
            told = _told_error(layer, above, right, first, error)
            told += _told_delta(layer, above, second, error, delta)
            if everywhere and above.further and told:
                told[0] = f"in this layer and in those above {told[0]}"
            text = second.text(first.text(above.weights.text, above.delta.text), above.slope.text)
            faults = (first != right) + (second != _BY_ELEMENTS) + everywhere
            found.append(_Delta(faults, first.turns + second.turns, told, Named(text, delta)))
    simplest: dict[Any, _Delta] = {}
    for each in sorted(found, key=lambda each: each[:2]):
        simplest.setdefault((each.named.data.shape, digest(each.named.data)), each)
    return list(simplest.values())


def _error(above: Above, first: _Form, second: _Form, everywhere: bool) -> Floats | None:
    """The hidden error by a form of product; with ``everywhere`` the layers above have it, too."""
    delta: Floats | None = above.delta.data
    if everywhere and above.further is not None:
        error = _error(above.further, first, second, everywhere)
        delta = None if error is None else second(error, above.further.slope.data)
    return None if delta is None else first(above.weights.data, delta)


def _as_stored(layer: Layer, right: _Form) -> _Form:
    """A product in the order in which this layer's arrays lie."""
    return right._replace(swap=not right.swap) if layer.rows else right


def _told_error(layer: Layer, above: Above, right: _Form, form: _Form, error: Floats) -> list[str]:
    if form == right:
        return []
    a, b = above.weights, above.delta
    true = right(a.data, b.data)
    assert true is not None
    correct = f"{right.text(a.text, b.text)} ({shape_of(true)}, {shown(true)})"
    mistake = f"{form.text(a.text, b.text)} ({shape_of(error)}, {shown(error)})"
    return [f"the error of {layer.output} is {correct}, not {mistake}"]


def _told_delta(layer: Layer, above: Above, form: _Form, error: Floats, delta: Floats) -> list[str]:
    slope = above.slope
    if form != _BY_ELEMENTS:
        right = _BY_ELEMENTS.text("error", slope.text)
        return [f"{layer.delta.text} is {right}, not {form.text('error', slope.text)}"]
    if delta.shape != layer.delta.data.shape:
        return [f"times {slope.text} that is broadcast to {form.shapes(error, slope.data)}"]
    return []


def _spread(gives: Floats, true: Floats) -> str:
    lines = " and ".join(
        f"its {word} are equal"
        for axis, word in enumerate(("rows", "columns"))
        if gives.shape[axis] == 1 < true.shape[axis]
    )
    return f"this {shape_of(gives)} is broadcast over {shape_of(true)}, so that {lines}"
