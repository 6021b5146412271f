"""Layers z = W·x, read off from the graph; and matrices that were turned the wrong way, or broadcast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim, fits_onto
from microbp.answers.mistakes import Mistake
from microbp.answers.structure import Floats, Integers as Places, Structure
from microbp.answers.words import shape_of, shown
from microbp.sweeps import Integers as Places


class Named(NamedTuple):
    """A matrix and what to call it."""

    text: str
    data: Floats


class Form(NamedTuple):
    """How two matrices a and b are multiplied: by matrix product or by elements, turned, interchanged."""

    matrix: bool
    swap: bool
    turn_a: bool
    turn_b: bool

    def factors(self, a: Floats, b: Floats) -> tuple[Floats, Floats]:
        """The two as they stand in the product."""
        a, b = a.T if self.turn_a else a, b.T if self.turn_b else b
        return (b, a) if self.swap else (a, b)

    def __call__(self, a: Any, b: Any) -> Floats | None:
        """The product as NumPy has it, with broadcasting; None where the shapes do not allow it."""
        a, b = self.factors(a, b)
        if self.matrix:
            return a @ b if a.shape[1] == b.shape[0] else None
        return a * b if all(m == n or 1 in (m, n) for m, n in zip(a.shape, b.shape, strict=True)) else None

    def text(self, a: str, b: str) -> str:
        """``W1ᵀ·δ``: · is the matrix product, ∗ that of the elements."""
        a, b = (f"({each})" if "·" in each or "∗" in each else each for each in (a, b))
        a, b = a + "ᵀ" * self.turn_a, b + "ᵀ" * self.turn_b
        return ("·" if self.matrix else " ∗ ").join((b, a) if self.swap else (a, b))


_BY_ELEMENTS = Form(False, False, False, False)
_FORMS = [Form(True, *turns) for turns in product((False, True), repeat=3)]
_FORMS += [Form(False, False, *turns) for turns in product((False, True), repeat=2)]


# -------------------------------------------------------------------------------------------- the layers
def _products(net: Structure, nodes: Places) -> tuple[Places, Places] | None:
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

    def __init__(self, net: Structure, products: tuple[Places, Places], *, rows: bool) -> None:
        def named(symbol: str, nodes: Iterable[Any], other: str, data: Floats) -> Named:
            name = net.common(nodes) or other
            return Named("_".join(filter(None, (symbol, name))), data.T if rows else data)

        def beside(edges: Places, other: str) -> Named:
            return named("", (net.args[edge] for edge in edges.flat), other, net.numbers[edges])

        z, ends = products[0], _ends(net, products[0])
        self.x, self.delta = beside(products[1], ""), named("δ", ends.flat, "", net.gradient[z])
        plain = [name for name, held in net.scope.items() if isinstance(held, np.ndarray)]
        same = [name for name in plain if np.array_equal(net.scope[name], self.x.data)]
        self.x = self.x._replace(text=self.x.text or (same or ["x"])[0])
        self.output = net.common(ends.flat) or "the hidden layer"
        #: The right forms of its error and of the gradient of W.
        self.inner, self.outer = Form(True, rows, True, False), Form(True, rows, False, True)
        #: Where it gets its error from: the weights and the delta above, its own derivatives; and so on.
        self.hidden: list[tuple[Named, Named, Named]] = []
        symbols = {each.user: each.symbol for each in net.factors if each.function and not each.row}
        while net.gradient[ends].all() and (above := _products(net, ends)):
            primes = {symbols.get(node, "f′") for node in ends.ravel().tolist()}
            prime = primes.pop() if len(primes) == 1 else "f′"
            slope = named(prime, ends.flat, "", net.gradient[z] / net.gradient[ends])
            z, weights = above[0].T, beside(above[1].T, "V")
            ends = _ends(net, z)
            self.hidden.append((weights, named("δ", ends.flat, "next", net.gradient[z]), slope))

    def back(self, depth: int, first: Form, second: Form) -> tuple[Any, Any]:
        """The error and the delta of the layer, by these products in so many layers from it on."""
        error: Floats | None = None
        delta: Floats | None = self.hidden[depth - 1][1].data if depth else self.delta.data
        for weights, _, slope in reversed(self.hidden[:depth]):
            error = None if delta is None else first(weights.data, delta)
            delta = None if error is None else second(error, slope.data)
        return error, delta


def _ends(net: Structure, products: Places) -> Places:
    """What the sum of these products becomes in the end: an activation, if there is one."""
    activations = {each.operand: each.user for each in net.factors if each.function or each.row}
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
    net, where, true = claim.net, claim.where, claim.true
    turns = (where.T, where) if where.ndim == 2 and (where >= 0).all() else ()
    found = (_Layer(net, made, rows=each is where) for each in turns if (made := _products(net, each)))
    if (layer := next(found, None)) is None:
        return
    tried: list[tuple[int, int, Mistake]] = []
    most = len(layer.hidden)
    for depth, first, second in product(sorted({0, min(1, most), most}), _FORMS, _FORMS):
        right = (first, second) == (layer.inner, _BY_ELEMENTS)
        error, delta = layer.back(depth, first, second) if right == (depth == 0) else (None, None)
        for last in _FORMS if delta is not None else ():
            gives = last(delta, layer.x.data)
            faults = (first != layer.inner) + (second != _BY_ELEMENTS) + (last != layer.outer) + (depth > 1)
            fits = gives is not None and fits_onto(gives.shape, true.shape)
            if gives is not None and fits and (faults or gives.shape != true.shape):
                told = partial(_told, claim, layer, (first, second, last), (error, delta, gives), depth)
                turned = sum(form.turn_a + form.turn_b for form in (first, second, last))
                tried.append((faults, turned, Mistake(told, gives=np.broadcast_to(gives, true.shape))))
    yield from (mistake for *_, mistake in sorted(tried, key=lambda each: each[:2]))


def _told(claim: Claim, layer: _Layer, forms: tuple[Form, ...], made: tuple[Any, ...], depth: int) -> str:
    """Which of the products is not what it should be, and how."""
    say, true, text, clauses = claim.net.say, claim.true, layer.delta.text, list[str]()
    steps: list[Any] = [(say("the gradient"), layer.outer, layer.delta, layer.x, true)]
    if depth:
        weights, above, slope = layer.hidden[0]
        what = say("the error", deep=say("deep") if depth > 1 else "", output=layer.output)
        error = layer.inner(weights.data, above.data)
        steps.insert(0, (what, layer.inner, weights, above, error))
        steps.insert(1, (layer.delta.text, _BY_ELEMENTS, Named("error", made[0]), slope, layer.delta.data))
        text = forms[1].text(forms[0].text(weights.text, above.text), slope.text)
    for (what, right, a, b, wanted), form, got in zip(steps[::-1], forms[::-1], made[::-1], strict=False):
        if form != right or got.shape != wanted.shape:
            texts = {"right": right.text(a.text, b.text), "form": form.text(a.text, b.text)}
            fields = {
                "shape": shape_of(wanted),
                "true": shown(wanted),
                "made": shape_of(got),
                "wrong": shown(got),
            }
            step = "step" if form != right else "spread step"
            clauses.insert(0, say(step, what=what, **texts, **fields)())
    if made[-1].shape != true.shape:
        short = [one < other for one, other in zip(made[-1].shape, true.shape, strict=True)]
        kind = say("element" if all(short) else ("row", "column")[short.index(True)])
        clauses.append(say("spread", kind=kind, shape=shape_of(made[-1]), onto=shape_of(true))())
    return say("product", form=forms[-1].text(text, layer.x.text), told=say("then")().join(clauses))()
