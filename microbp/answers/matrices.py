"""Layers z = W·x, read off from the graph; and matrices that were turned the wrong way, or broadcast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim, fits_onto
from microbp.answers.mistakes import Mistake
from microbp.answers.structure import Structure
from microbp.answers.words import shape_of
from microbp.sweeps import Floats, Integers


class Matrix(NamedTuple):
    """A matrix and what to call it."""

    text: str
    data: Floats


class Form(NamedTuple):
    """How two matrices a and b are multiplied: by matrix product or by elements, turned, interchanged."""

    matrix: bool
    swap: bool
    turn_a: bool
    turn_b: bool

    def __call__(self, *factors: Matrix) -> Any:
        """``W1ᵀ·δ``, where · is the matrix product, ∗ that of the elements; None where NumPy has none."""
        whole = (Matrix(f"({x.text})", x.data) if {"·", "∗"} & {*x.text} else x for x in factors)
        turns = zip(whole, (self.turn_a, self.turn_b), strict=True)
        turned = [Matrix(f"{x.text}ᵀ", x.data.T) if turn else x for x, turn in turns]
        a, b = turned[::-1] if self.swap else turned
        try:
            data = a.data @ b.data if self.matrix else a.data * b.data
        except ValueError:
            return None
        return Matrix(f"{a.text}·{b.text}" if self.matrix else f"{a.text} ∗ {b.text}", data)


_BY_ELEMENTS = Form(False, False, False, False)
_FORMS = [Form(True, *turns) for turns in product((False, True), repeat=3)]
_FORMS += [Form(False, False, *turns) for turns in product((False, True), repeat=2)]


# -------------------------------------------------------------------------------------------- the layers
def _products(net: Structure, nodes: Integers) -> tuple[Integers, Integers] | None:
    """The K products that each of the nodes [L, M] is a factor of, [M, K], and the edges beside them, [L, K].

    For weights [in, out] and N samples these are [out, N], and the inputs [in, N]. None where the products
    with a line do not get the same gradients, or have not the same numbers beside them.
    """
    uses = [net.uses[node] for node in nodes.flat]
    if len({*map(len, uses)}) != 1 or not uses[0] or not net.partner.keys() >= {*chain(*uses)}:
        return None
    edges = np.array(uses).reshape(*nodes.shape, -1)
    owners, beside = np.array(net.owner)[edges], np.vectorize(net.partner.__getitem__)(edges)
    gradient, numbers = net.gradient[owners], net.numbers[beside]
    alike = (gradient == gradient[:1]).all() and (numbers == numbers[:, :1]).all()
    return (owners[0], beside[:, 0]) if alike else None


class _Layer:
    """z = W·x for N samples, in columns; in rows where W is stored as in × out."""

    def __init__(self, net: Structure, products: tuple[Integers, Integers], *, rows: bool) -> None:
        def named(nodes: Iterable[Any], data: Floats, symbol: str = "", other: str = "") -> Matrix:
            text = "_".join(filter(None, (symbol, net.common(nodes) or other)))
            return Matrix(text, data.T if rows else data)

        def beside(edges: Integers, other: str) -> Matrix:
            return named([net.args[edge] for edge in edges.flat], net.numbers[edges], other=other)

        z, ends = products[0], _ends(net, products[0])
        self.delta, self.x = named(ends.flat, net.gradient[z], "δ"), beside(products[1], "")
        plain = [name for name, held in net.scope.items() if issubclass(type(held), np.ndarray)]
        same = [name for name in plain if np.array_equal(net.scope[name], self.x.data)]
        self.x = self.x._replace(text=self.x.text or [*same, "x"][0])
        #: The right forms of its error and of the gradient of W.
        self.inner, self.outer = Form(True, rows, True, False), Form(True, rows, False, True)
        #: Where it gets its error from: the weights and the delta above, its own derivatives; or nothing.
        self.above: tuple[Matrix, ...] = ()
        if net.gradient[ends].all() and (above := _products(net, ends)):
            symbols = {each.user: each.symbol for each in net.factors if each.function and not each.row}
            primes = {symbols.get(node, "f′") for node in ends.ravel().tolist()}
            prime = primes.pop() if len(primes) == 1 else "f′"
            slope = named(ends.flat, net.gradient[z] / net.gradient[ends], prime)
            delta = named(_ends(net, above[0].T).flat, net.gradient[above[0].T], "δ", "next")
            self.above = beside(above[1].T, "V"), delta, slope

    def back(self, first: Form, second: Form) -> Any:
        """Its delta by these products; None where the shapes do not allow them."""
        weights, delta, slope = self.above
        error = first(weights, delta)
        return error and second(error, slope)


def _ends(net: Structure, products: Integers) -> Integers:
    """What the sum of these products becomes in the end: an activation, if there is one."""
    activations = {each.operand: each.user for each in net.factors if each.function}
    ends = []
    for node in products.ravel().tolist():
        end = node
        while end not in activations and len(net.uses[end]) == 1 and net.linear(net.owner[net.uses[end][0]]):
            end = net.owner[net.uses[end][0]]
        ends.append(activations.get(end, end))
    return np.array(ends).reshape(products.shape)


# ------------------------------------------------------------------------------------------ the mistakes
def orientation(claim: Claim) -> Iterator[Mistake]:
    """The matrix products of the backward pass, with each factor turned each way, and broadcasting."""
    net, where, shape = claim.net, claim.where, claim.true.shape
    turns = (where.T, where) if where.ndim == 2 and (where >= 0).all() else ()
    found = (_Layer(net, made, rows=each is where) for each in turns if (made := _products(net, each)))
    if (layer := next(found, None)) is None:
        return
    tried: list[tuple[int, int, Mistake]] = []
    right = layer.inner, _BY_ELEMENTS
    for first, second in product(_FORMS, _FORMS) if layer.above else (right,):
        own = (first, second) == right  # then its delta is what it is
        delta = layer.delta if own else layer.back(first, second)
        for last in _FORMS if delta else ():
            gives = last(delta, layer.x)
            faults = (first != layer.inner) + (second != _BY_ELEMENTS) + (last != layer.outer)
            if gives and fits_onto(gives.data.shape, shape) and (faults or gives.data.shape != shape):
                told = partial(_told, claim, layer, layer.delta if own else layer.back(*right), gives)
                turned = sum(form.turn_a + form.turn_b for form in (first, second, last))
                tried.append((faults, turned, Mistake(told, gives=np.broadcast_to(gives.data, shape))))
    yield from (mistake for *_, mistake in sorted(tried, key=lambda each: each[:2]))


def _told(claim: Claim, layer: _Layer, delta: Matrix, gives: Matrix) -> str:
    """Which product it is, and which it should be."""
    say, onto = claim.net.say, claim.true.shape
    told = say("product", form=gives.text, right=layer.outer(delta, layer.x).text)
    if gives.data.shape == onto:
        return told()
    short = [one < other for one, other in zip(gives.data.shape, onto, strict=True)]
    kind = say("element" if all(short) else ("row", "column")[short.index(True)])
    return say("spread", product=told, kind=kind, shape=shape_of(gives.data), onto=shape_of(claim.true))()
