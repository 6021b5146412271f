"""Layers z = W·x, read off from the graph; and matrices that were turned the wrong way, or broadcast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial, reduce
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim, fits_onto
from microbp.answers.structure import ARITHMETIC, Floats, Places, Structure, prime_of
from microbp.answers.words import Said, said, shape_of, shown
from microbp.rules import RULES

#: How many operations in a row are followed from a weighted input to an activation.
_LONGEST = 8


# -------------------------------------------------------------------------------------------- the layers
class Named(NamedTuple):
    """A matrix and what to call it."""

    text: str
    data: Floats


class Above(NamedTuple):
    """What a hidden layer gets its error from."""

    weights: Named
    #: The derivatives of the hidden layer's activations.
    slope: Named
    #: The true delta of the next layer, ...
    delta: Named
    #: ... and what that one gets its error from, where it is hidden too.
    further: Above | None


class Layer(NamedTuple):
    """z = W·x for N samples. Samples stand in columns; in rows where W is stored as in × out."""

    x: Named
    delta: Named
    #: What the layer puts out.
    output: str
    rows: bool
    above: Above | None


#: What stands beside the weights of one neuron in one sample: nodes, or literals counted below 0.
_Inputs = tuple[float, ...]


def layer_at(net: Structure, where: Places) -> Layer | None:
    """The layer whose weights stand at ``where``; None where the graph does not show one."""
    if where.ndim != 2 or (where < 0).any():
        return None
    for rows, weights in ((False, where), (True, where.T)):
        found = _products(net, weights)
        if found is not None:
            z, x, inputs = found
            ends = _outputs(net, z)
            output = net.common(ends.flat) or net.common(z.flat)
            return Layer(
                _input(net, inputs, _stored(x, rows)),
                Named(_subscript("δ", output), _stored(net.gradient[z], rows)),
                output or "the hidden layer",
                rows,
                _above(net, z, ends, rows),
            )
    return None


def _input(net: Structure, inputs: Iterable[_Inputs], x: Floats) -> Named:
    """What a layer takes in, by its name, or by that of a plain array of the same numbers."""
    name = net.common(chain.from_iterable(inputs))
    for variable, held in net.scope.items() if not name else ():
        if isinstance(held, np.ndarray) and held.dtype.kind == "f" and np.array_equal(held, x):
            name = name or variable
    return Named(name or "x", x)


def _stored(columns: Floats, rows: bool) -> Floats:
    return columns.T if rows else columns


def _subscript(symbol: str, name: str) -> str:
    return f"{symbol}_{name}" if name else symbol


def _products(net: Structure, weights: Places) -> tuple[Places, Floats, list[_Inputs]] | None:
    """The matrices z (out × N) and x (in × N), and x's operands by sample, if z = weights·x; else None."""
    z: list[list[int]] = []
    x: list[list[float]] = []
    order: list[_Inputs] = []
    for line in weights:
        uses = [_sums_of_products(net, int(each)) for each in line]
        nodes = sorted(uses[0])
        if not nodes or any(each.keys() != uses[0].keys() for each in uses):
            return None
        inputs = {tuple(each[node][1] for each in uses): node for node in nodes}
        if not z:
            order = [tuple(each[node][1] for each in uses) for node in nodes]
            x = [[each[node][0] for node in nodes] for each in uses]
        elif inputs.keys() == set(order) and len(inputs) == len(order):
            nodes = [inputs[each] for each in order]
        elif sorted(inputs) != sorted(set(order)):
            return None
        z.append(nodes)
    together = set(chain.from_iterable(z))
    return (np.array(z), np.array(x), order) if len(together) == sum(map(len, z)) else None


def _sums_of_products(net: Structure, position: int) -> dict[int, tuple[float, float]]:
    """The weighted inputs that a Value takes part in, with the number and the operand beside it."""
    found: dict[int, tuple[float, float]] = {}
    for edge in net.uses[position]:
        z, partner = net.owner[edge], net.partner[edge]
        while net.rules[net.owner[edge]] is RULES["mul"] and len(net.uses[z]) == 1:
            ahead = int(net.owner[net.uses[z][0]])
            if net.rules[ahead] not in (RULES["add"], RULES["sum"]):
                break
            z = ahead
        if partner < 0 or z in found:
            return {}
        beside = net.args[partner]
        found[z] = float(net.local[edge]), beside if beside >= 0 else float(net.numbers[partner])
    return found


def _outputs(net: Structure, z: Places) -> Places:
    """What each weighted input becomes: what feeds the next layer, else its activation."""
    return np.array([_output(net, int(each)) for each in z.flat]).reshape(z.shape)


def _is_function(net: Structure, node: int) -> bool:
    rule = net.rules[node]
    return rule is not None and rule.name not in ARITHMETIC and len(net.operands(node)) == 1


def _output(net: Structure, z: int) -> int:
    position, plain = z, True
    labels: list[tuple[bool, int]] = []
    for _ in range(_LONGEST):
        if _feeds_layer(net, position):
            return position
        position = net.meeting[position]
        if position < 0:
            break
        inner = [each for each in net.operands(position) if net.rules[each] is not None]
        biased = net.rules[position] is RULES["add"] and len(inner) == 1
        plain = plain and (len(net.operands(position)) == 1 or biased)
        if plain and (net.named[position] or _is_function(net, position)):
            labels.append((not net.named[position], position))
    return min(labels, default=(False, z))[1]


def _feeds_layer(net: Structure, position: int) -> bool:
    """Whether a node is multiplied by parameters, and goes nowhere else."""
    partners = [net.partner[edge] for edge in net.uses[position]]
    beside = {net.args[each] if each >= 0 else -1 for each in partners}
    return bool(beside) and beside.issubset(net.leaves)


def _above(net: Structure, z: Places, ends: Places, rows: bool) -> Above | None:
    """The next layer, if what it takes in are the activations of this one."""
    upstream = net.gradient[ends]
    if (upstream == 0.0).any() or not all(_feeds_layer(net, int(each)) for each in ends.flat):
        return None
    columns: list[list[int]] = []
    order: list[_Inputs] = []
    weights = np.empty((0, 0))
    for sample in ends.T:
        found = _products(net, sample[None])
        if found is None:
            return None
        by_weights = dict(zip(found[2], found[0][0].tolist(), strict=True))
        if not columns:
            order, weights = found[2], found[1].T
        if by_weights.keys() != set(order):
            return None
        columns.append([by_weights[each] for each in order])
    following = np.array(columns).T
    outputs = _outputs(net, following)
    rules = {net.rules[each] for each in ends.flat}
    rule = rules.pop() if len(rules) == 1 and all(_is_function(net, int(e)) for e in ends.flat) else None
    prime = "f′" if rule is None else prime_of(rule)
    return Above(
        Named(net.common(chain.from_iterable(order)) or "V", _stored(weights, rows)),
        Named(_subscript(prime, net.common(ends.flat)), _stored(net.gradient[z] / upstream, rows)),
        Named(_subscript("δ", net.common(outputs.flat) or "next"), _stored(net.gradient[following], rows)),
        _above(net, following, outputs, rows),
    )


# ------------------------------------------------------------------------------------------ the mistakes
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
    told: list[Said]
    named: Named


def orientation(claim: Claim) -> Iterator[tuple[Said, Floats]]:
    """The matrix products of the backward pass, with each factor turned each way, and broadcasting."""
    layer = layer_at(claim.net, claim.where)
    if layer is None:
        return
    x, right = layer.x, _as_stored(layer, _Form(True, False, False, True))
    found: list[tuple[int, int, Said, Floats]] = []
    for delta, form in product(_deltas(layer), _FORMS):
        gives = form(delta.named.data, x.data)
        if gives is None or not fits_onto(gives.shape, claim.true.shape):
            continue
        told = list(delta.told)
        if form != right:
            shapes = partial(form.shapes, delta.named.data, x.data)
            one, other = (each.text(layer.delta.text, x.text) for each in (right, form))
            told.append(said("turned", right=one, form=other, shapes=shapes))
        if gives.shape != claim.true.shape:
            told.append(_spread(gives, claim.true))
        if told:
            text = said("product", form=form.text(delta.named.text, x.text), told=reduce(_then, told))
            faults = delta.faults + (form != right)
            found.append((faults, delta.turns + form.turns, text, np.broadcast_to(gives, claim.true.shape)))
    for _, _, text, gives in sorted(found, key=lambda each: each[:2]):
        yield text, gives


def _then(first: Said, second: Said) -> Said:
    return said("then", first=first, second=second)


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
            deep = "deep" if everywhere and above.further else "shallow"
            told = _told_error(layer, above, right, first, error, deep)
            told += _told_delta(layer, above, second, error, delta)
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


def _told_error(
    layer: Layer, above: Above, right: _Form, form: _Form, error: Floats, deep: str
) -> list[Said]:
    if form == right:
        return []
    a, b = above.weights, above.delta
    true = right(a.data, b.data)
    assert true is not None
    one = {"right": right.text(a.text, b.text), "shape": shape_of(true), "true": partial(shown, true)}
    other = {"form": form.text(a.text, b.text), "made": shape_of(error), "wrong": partial(shown, error)}
    return [said("error", deep=said(deep), output=layer.output, **one, **other)]


def _told_delta(layer: Layer, above: Above, form: _Form, error: Floats, delta: Floats) -> list[Said]:
    slope = above.slope
    if form != _BY_ELEMENTS:
        forms = {"right": _BY_ELEMENTS.text("error", slope.text), "form": form.text("error", slope.text)}
        return [said("elementwise", delta=layer.delta.text, **forms)]
    if delta.shape != layer.delta.data.shape:
        return [said("spread slope", slope=slope.text, shapes=partial(form.shapes, error, slope.data))]
    return []


def _spread(gives: Floats, true: Floats) -> Said:
    both = zip(("rows", "columns"), gives.shape, true.shape, strict=True)
    lines = [word for word, made, length in both if made == 1 < length]
    sentence = "spread" if len(lines) == 1 else "spread both"
    return said(sentence, lines=said(lines[0]), shape=shape_of(gives), onto=shape_of(true))


def digest(numbers: Floats) -> bytes:
    """What is equal for equal numbers, whatever the rounding of their last bits."""
    mantissa, exponent = np.frexp(numbers)
    return np.ldexp(np.round(mantissa, 11), exponent).tobytes()
