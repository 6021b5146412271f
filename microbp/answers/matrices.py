"""Layers z = W·x, read off from the graph; and matrices that were turned the wrong way, or broadcast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim, fits_onto
from microbp.answers.mistakes import Mistake
from microbp.answers.structure import Structure
from microbp.answers.words import shape_of
from microbp.sweeps import Floats, Integers

#: The matrix product, in either order, and that of the elements.
_PRODUCTS = ("·", 1), ("·", -1), (" ∗ ", 1)


class Matrix(NamedTuple):
    """A matrix, what to call it, how many products for it were not the right ones, how many were turned."""

    text: str
    data: Floats
    faults: int = 0
    turns: int = 0


def _multiplied(right: str, *factors: Matrix) -> Iterator[Matrix]:
    """``W1ᵀ·δ``, ``δ ∗ f′``: two matrices, each turned or not, multiplied as matrices and by elements."""
    whole = [x._replace(text=f"({x.text})") if {"·", "∗"} & {*x.text} else x for x in factors]
    right = right.format(*(x.text for x in whole))
    turned = ((x, x._replace(text=f"{x.text}ᵀ", data=x.data.T, turns=x.turns + 1)) for x in whole)
    for (sign, order), pair in product(_PRODUCTS, [*product(*turned)]):
        a, b = pair[::order]
        with suppress(ValueError):
            text, data = f"{a.text}{sign}{b.text}", a.data @ b.data if sign == "·" else a.data * b.data
            yield Matrix(text, data, a.faults + b.faults + (text != right), a.turns + b.turns)


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


def _ends(net: Structure, products: Integers) -> Integers:
    """What the sum of these products becomes in the end: an activation, if there is one."""
    ends, found = {each.operand: each.user for each in net.activations.values()}, []
    for end in products.ravel().tolist():
        while end not in ends and len(net.uses[end]) == 1 and net.linear(net.owner[net.uses[end][0]]):
            end = net.owner[net.uses[end][0]]  # noqa: PLW2901
        found.append(ends.get(end, end))
    return np.array(found).reshape(products.shape)


def _layer(net: Structure, weights: Integers, *, rows: bool) -> tuple[Matrix, ...]:
    """δ and x of z = W·x for N samples, in columns; in rows where W is stored as in × out.

    Then the weights and the δ above, and the derivatives of its activations, if there are such; or nothing.
    """
    if not (made := _products(net, weights if rows else weights.T)):
        return ()

    def named(nodes: Iterable[Any], data: Floats, symbol: str = "", other: str = "") -> Matrix:
        text = "_".join(filter(None, (symbol, net.common(nodes) or other)))
        return Matrix(text, data.T if rows else data)

    def beside(edges: Integers, other: str) -> Matrix:
        return named([net.args[edge] for edge in edges.flat], net.numbers[edges], other=other)

    z, x = made[0], beside(made[1], "")
    ends = _ends(net, z)
    plain = (name for name, held in net.scope.items() if issubclass(type(held), np.ndarray))
    same = (name for name in plain if np.array_equal(net.scope[name], x.data))
    own = named(ends.flat, net.gradient[z], "δ"), x._replace(text=x.text or next(same, "x"))
    if not net.gradient[ends].all() or not (above := _products(net, ends)):
        return own
    ahead, others = (each.T for each in above)
    delta = named(_ends(net, ahead).flat, net.gradient[ahead], "δ", "next")
    functions = [net.activations.get(end) for end in ends.ravel().tolist()]
    primes = {each.symbol if each and not each.row else "f′" for each in functions}
    prime = primes.pop() if len(primes) == 1 else "f′"
    return *own, beside(others, "V"), delta, named(ends.flat, net.gradient[z] / net.gradient[ends], prime)


# ------------------------------------------------------------------------------------------ the mistakes
def orientation(claim: Claim) -> Iterator[Mistake]:
    """The matrix products of the backward pass, with each factor turned each way, and broadcasting."""
    net, where, true, say = claim.net, claim.where, claim.true, claim.net.say
    turns = (False, True) if where.ndim == 2 and (where >= 0).all() else ()
    found = ((rows, each) for rows in turns if (each := _layer(net, where, rows=rows)))
    rows, layer = next(found, (False, ()))
    if not layer:
        return
    inner, outer = ("{1}·{0}ᵀ", "{1}ᵀ·{0}") if rows else ("{0}ᵀ·{1}", "{0}·{1}ᵀ")
    delta, x, *above = layer
    tried = [(made, outer.format(delta.text, x.text)) for made in _multiplied(outer, delta, x)]
    if above:
        weights, ahead, slope = above
        errors = _multiplied(inner, weights, ahead)
        deltas = [made for each in errors for made in _multiplied("{0} ∗ {1}", each, slope)]
        right = outer.format(f"(({inner.format(weights.text, ahead.text)}) ∗ {slope.text})", x.text)
        tried += [(made, right) for each in deltas if each.faults for made in _multiplied(outer, each, x)]
    for made, right in sorted(tried, key=lambda each: (each[0].faults, each[0].turns)):
        if made.faults and fits_onto(made.data.shape, true.shape):
            told = say("product", form=made.text, right=right)
            if made.data.shape != true.shape:
                short = [one < other for one, other in zip(made.data.shape, true.shape, strict=True)]
                kind = say("element" if all(short) else ("row", "column")[short.index(True)])
                shapes = {"shape": shape_of(made.data), "onto": shape_of(true)}
                told = say("spread", product=told, kind=kind, **shapes)
            yield Mistake(told, gives=np.broadcast_to(made.data, true.shape))
