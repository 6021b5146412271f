"""The table of mistakes: each is a change of the gradient as a whole, or of the pass that gives it.

Its sign, size, shape or order is wrong, or another one stands in its place. A factor of the chain rule is
missing, used twice, or another one stands in its place; a path, a term, a use is forgotten; a pass begins
below the loss; a neighbour's factor is taken; weights were updated too early. Of layers z = W·x, which are
read off from the graph, matrices were turned the wrong way, or broadcast.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain, permutations, product
from math import isclose, isnan
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim, fits_onto
from microbp.answers.structure import Factor, Structure
from microbp.answers.words import Told, shape_of
from microbp.compiled import compiled
from microbp.expr import Expression, parse
from microbp.rules import RULES, Rule
from microbp.sweeps import Floats, Integers

#: Where there are more groups of a kind, as each weight by itself in a large layer, only larger groups are
#: tried; so many ways in one place are taken one by one, so many neighbours for each other, at most.
_MANY, _FEW, _NEIGHBOURS = 1500, 300, 8
#: How common a mistake is: the simplest, which come first; what is also made together with another one; what
#: is made by itself; and what is made alone, not even with a wrong sign or a factor besides.
SIMPLE, ANOTHER, ITSELF, ALONE = range(4)
#: What is done to a factor so often that it is done together with another mistake.
_RANKS = {"missing": SIMPLE} | dict.fromkeys(
    ("twice", "value", "partner", "value again", "at the output"), ANOTHER
)


class Mistake(NamedTuple):
    """What a person does wrong, and how that is said: factor · gradient of a pass + own · parameter."""

    told: Told
    #: Local derivatives in place of the recorded ones, by edge.
    edits: Mapping[int, float] = {}
    #: Where the pass begins, with which upstream gradients; nothing for the loss with 1.
    seeds: Mapping[int, float] = {}
    #: What stands in place of the gradient of a pass, where that is made of the true one.
    gives: Floats | None = None
    rank: int = ITSELF
    factor: float = 1.0
    own: float = 0.0
    #: How these are said of another ``mistake``, if they are also made besides one.
    besides: Any = None


# ----------------------------------------------------------------------------- the gradient as a whole
def scaled(claim: Claim) -> Iterator[Mistake]:
    """A wrong sign, and constant factors that a person forgets, with what they may come from."""
    net, say, true = claim.net, claim.net.say, claim.true
    told = say("sign or update" if claim.rate is None and claim.wrong.all() else "sign")
    yield Mistake(told, gives=true, factor=-1.0, besides=say("opposite"))
    counts = {n: say("axis", n=n) for n in true.shape}
    counts |= {n: say("samples", n=n) for n in (len(net.uses[node]) for node in claim.nodes)}
    sums = ((len(terms), total) for total, terms in net.sums.items() if not net.levels[total])
    counts |= {n: say("terms", n=n, sum=[total]) for n, total in sums}
    reasons = [(2.0, say("half")), (0.5, say("double"))]
    for n in counts.keys() - {0, 1}:
        reasons += [(1.0 / n, say("averaged", what=counts[n])), (float(n), say("summed", what=counts[n]))]
    for factor, reason in reasons:
        told, besides = (say(how, factor=factor, reason=reason) for how in ("times", "and times"))
        yield Mistake(told, gives=true, factor=factor, besides=besides)


def rated(claim: Claim) -> Iterator[Mistake]:
    """An update in place of the gradient, or an updated parameter, at the rates to be looked for."""
    say, alone = claim.net.say, Mistake(str, gives=claim.true, rank=ALONE)
    for rate in claim.rates:
        if rate != 1.0:  # that is the wrong sign
            told = say("update unsaid" if claim.rate is None else "update", rate=rate)
            yield alone._replace(told=told, factor=-rate)
        yield alone._replace(told=say("rate", rate=rate), factor=rate)
        if (claim.where >= 0).all():
            told, besides = say("updated", rate=rate), say("wrongly updated", rate=rate)
            yield alone._replace(told=told, factor=-rate, own=1.0, besides=besides)


def whole(claim: Claim) -> Iterator[Mistake]:
    """A rounding, a sign, a factor, a shape, an order."""
    say, claimed, true = claim.net.say, claim.claimed, claim.true
    if claimed.shape == true.shape:
        unit = 2.0 * claim.read["half"] / abs(claim.scale)
        steps = true / unit
        rounded = np.where(abs(steps) >= 10, unit * np.round(steps), true)
        cut = np.where(abs(steps) >= 100, unit * np.trunc(steps), rounded)
        few = ~claim.read["rounded"]
        if (few & (abs(steps) >= 10)).any():
            yield Mistake(say("rounded", true=true), gives=np.where(few, rounded, true), rank=ALONE)
        if (rounded != cut)[claim.wrong].any():
            yield Mistake(say("cut", true=true), gives=cut, rank=ALONE)
    yield from scaled(claim)
    if (claim.where >= 0).all():
        yield Mistake(say("itself"), gives=true, rank=ALONE, factor=0.0, own=1.0)
    if true.ndim > 1 and claimed.shape == true.T.shape:
        yield Mistake(say("transposed"), gives=true.T)
    yield from _permuted(claim) if claimed.shape == true.shape else _reshaped(claim)


def _reshaped(claim: Claim) -> Iterator[Mistake]:
    """The right numbers in another shape, or not yet summed over the samples."""
    say, claimed, true = claim.net.say, claim.claimed, claim.true
    if claim.fits and claimed.size < true.size:
        yield Mistake(say("broadcast"), gives=true)
    if claimed.size == true.size:
        yield Mistake(say("shape"), gives=true.reshape(claimed.shape))
    axes = range(claimed.ndim if claimed.size else 0)
    for axis, keepdims, how in product(axes, (False, True), ("sum", "mean")):
        line = getattr(claimed, how)(axis=axis, keepdims=keepdims)
        same = line.shape == true.shape and abs(line - true) <= 1e-9 * abs(true) + claim.rounding
        if np.all(same) and (n := claimed.shape[axis]) > 1:
            yield Mistake(say("unreduced", axis=axis, how=say(how), n=n), gives=claimed)


def _permuted(claim: Claim) -> Iterator[Mistake]:
    """The lines of the true gradient in another order."""
    for axis, length in enumerate(claim.true.shape):
        arrays = (claim.true, claim.claimed, claim.near(1e-9))
        lines, own, near = (np.moveaxis(each, axis, 0).reshape(length, -1) for each in arrays)
        order: list[int] = []
        for i in range(length):
            fits = {*np.flatnonzero((abs(lines - own[i]) <= near[i]).all(axis=1)).tolist()} - {*order}
            order += [i] if i in fits else sorted(fits)[:1]
        moved = [i for i, at in enumerate(order) if i != at]
        if sorted(order) == [*range(length)] and moved:
            how = "swapped" if len(moved) == 2 else "reversed" if order == sorted(order)[::-1] else "permuted"
            fields = {"order": ", ".join(map(str, order)), "one": moved[0], "other": moved[-1]}
            told = claim.net.say(how, kind=_kind(claim, axis), name=claim.name, **fields)
            yield Mistake(told, gives=np.take(claim.true, order, axis))


def _kind(claim: Claim, axis: int) -> Told:
    """What is counted along an axis."""
    kind = {1: "element", 2: ("row", "column")[axis % 2]}.get(claim.true.ndim, "slice")
    return claim.net.say(kind, axis=axis)


def instead(claim: Claim, together: Sequence[Claim]) -> Iterator[Mistake]:
    """Another's gradient in its place; a line in place of all lines."""
    net, say, true = claim.net, claim.net.say, claim.true
    others = {other.name: other for other in together if other.name != claim.name}
    places = {name: other.where for name, other in others.items()}
    for name, where in (places | claim.parameters | places).items():  # those that are asked for come first
        if where.shape == claim.where.shape and not np.array_equal(where, claim.where):
            gives, other = np.where(where < 0, 0.0, net.gradient[where]), others.get(name)
            both = other and other.fits and (abs(other.claimed - true) <= other.near(1e-6)).all()
            how = "interchanged" if both else "of another"
            yield Mistake(say(how, this=claim.name, name=name, numbers=gives), gives=gives)
    for axis, length in enumerate(true.shape):
        kind = _kind(claim, axis)
        lines = {say("line of", i=i, kind=kind): np.take(true, [i], axis) for i in range(length)}
        for how in ("sum", "mean"):
            lines[say("lines", how=say(how), kind=kind)] = getattr(true, how)(axis, keepdims=True)
        for which, line in lines.items() if length > 1 else ():
            # Where the lines cancel, as those of softmax do, their sum is nothing that anybody took.
            if (abs(line) > 1e-9 * abs(true).max()).any():
                told = say("line", which=which, kind=kind, shape=shape_of(line))
                yield Mistake(told, gives=np.broadcast_to(line, true.shape))


def proportional(claim: Claim) -> Iterator[Mistake]:
    """Some constant factor, which several wrong numbers show and a single one does not."""
    claimed, true = claim.claimed, claim.true
    if claimed.shape == true.shape and np.count_nonzero(true[claim.wrong]) > 1:
        at = np.argmax(np.where(claim.wrong, abs(true), 0.0))
        factor = float(claimed.flat[at] / true.flat[at])
        told = claim.net.say("every update" if factor < 0 else "every", factor=factor, rate=-factor)
        yield Mistake(told, gives=true, factor=factor)


# ------------------------------------------------------------------------------------------------- paths
def chain_rule(claim: Claim) -> Iterator[Mistake]:
    """A mistake with a factor or with a path, the simplest first."""
    factors = [each for each in claim.net.factors if claim.reached[each.operand]]
    yield from _other_outputs(claim)
    yield from _later_steps(claim)
    yield from _paths(claim)
    yield from _changed(claim.net, [each for each in factors if each.row])
    yield from _changed(claim.net, [each for each in factors if not each.row])
    yield from _below(claim)


def _dropped(told: Told, edges: Iterable[int]) -> Mistake:
    return Mistake(told, dict.fromkeys(edges, 0.0), rank=SIMPLE)


def _grouped(members: Iterable[Any], *kinds: Callable[[Any], Hashable]) -> Iterator[list[Any]]:
    """The members that are of one kind, for each of several kinds; each group once."""
    members, seen = [*members], set()
    for kind in kinds:
        groups: dict[Hashable, list[Any]] = {}
        for each in members:
            groups.setdefault(kind(each), []).append(each)
        for key, group in groups.items() if len(groups) <= _MANY else ():
            if key != "" and (same := tuple(map(id, group))) not in seen:
                seen.add(same)
                yield group


def _alike(claim: Claim) -> Iterator[list[int]]:
    """What the parameters pass by on the way to the loss: nodes one by one, and those that are alike."""
    net = claim.net
    live = np.flatnonzero(claim.reached & (net.gradient != 0.0))[:-1].tolist()
    kinds = [each.__getitem__ for each in (net.arrays, net.neurons, net.layers)]
    return _grouped(live, lambda node: (node,), *kinds)


def _paths(claim: Claim) -> Iterator[Mistake]:
    """Of several ways into one place one is forgotten, or is the only one that was taken."""
    net, places = claim.net, list[list[tuple[Told, list[int]]]]()
    # The ways on from a node, or from what is alike in each sample to what is alike.
    for nodes in _alike(claim):
        role = range(net.count) if len(nodes) == 1 else net.neurons
        live = sorted(edge for node in nodes for edge in net.uses[node] if net.gradient[net.owner[edge]])
        into = _grouped(live, partial(lambda role, edge: role[net.owner[edge]], role))
        ends = ((tuple(net.owner[edge] for edge in edges), edges) for edges in into)
        places.append([(net.say("from through", source=nodes, user=end), edges) for end, edges in ends])
    # The terms of a sum: a gradient may be overwritten where it should be added to.
    for total, terms in net.sums.items():
        said = {"sum": [total], "n": len(terms)}
        places.append([
            (net.say("term", i=i, term=[net.args[edge]], **said), [edge])
            for i, edge in enumerate(terms, 1) if claim.reached[net.args[edge]] and net.gradient[total]
        ])  # fmt: skip
    # The uses of the parameters, one after the other: the samples of a batch.
    uses = [net.uses[node] for node in claim.nodes]
    if len({*map(len, uses)}) == 1:
        samples = [*map(list, zip(*uses, strict=True))]
        places.append([(net.say("use", i=i, n=len(samples)), each) for i, each in enumerate(samples, 1)])
    for ways in places:
        for told, edges in ways if len(ways) > 1 else ():
            yield _dropped(net.say("path", path=told), edges)
            if 2 < len(ways) <= _FEW:
                others = chain.from_iterable(each for _, each in ways if each is not edges)
                yield _dropped(net.say("only path", path=told), others)


def _below(claim: Claim) -> Iterator[Mistake]:
    """A pass that begins below the loss, a constant that is none, a gradient that is only the last one."""
    net, overwritten = claim.net, list[Mistake]()
    for nodes in _alike(claim):
        edges = [net.uses[node] for node in nodes]
        if nodes[0] not in net.leaves and not {*nodes} <= {*claim.nodes}:  # of which 1 or 0 would be left
            told = net.say("upstream", names=nodes, numbers=net.gradient[nodes].tolist())
            yield Mistake(told, seeds=dict.fromkeys(nodes, 1.0))
            yield _dropped(net.say("constant", what=tuple(nodes)), chain(*edges))
        if any(len(each) > 1 for each in edges):
            earlier = chain.from_iterable(each[:-1] for each in edges)
            overwritten.append(_dropped(net.say("overwritten", what=nodes), earlier))
    yield from overwritten


def _later_steps(claim: Claim) -> Iterator[Mistake]:
    """Back-propagation through time cut off: what a step passes on to the next one is not passed back."""
    net = claim.net
    step: dict[int, int] = {}  # counted from the last one: what is passed on to the first one may be constant
    inner = [node for node in np.flatnonzero(claim.reached).tolist() if node not in net.leaves]
    for nodes in _grouped(inner, net.neurons.__getitem__):
        levels = sorted({net.levels[each] for each in nodes})
        step |= {each: levels.index(net.levels[each]) for each in nodes if len(levels) > 1}
    onward = [
        edge
        for node in step
        for edge in net.uses[node]
        if net.levels[node]
        and step.get(net.owner[edge]) == step[node] - 1
        and net.neurons[net.owner[edge]] != net.neurons[node]  # as a sum that goes on is
    ]
    for edges in _grouped(onward, lambda edge: net.layers[net.args[edge]], lambda _: None):
        yield _dropped(net.say("next step", what=[net.args[edge] for edge in edges]), edges)


def _other_outputs(claim: Claim) -> Iterator[Mistake]:
    """Of outputs that share a sum, like those of softmax, only the diagonal of the derivative taken."""
    net, outputs = claim.net, list[int]()
    edits: dict[int, float] = {}
    for total, rule in enumerate(net.rules):
        users = {net.owner[edge]: edge for edge in net.uses[total] if net.gradient[total]}
        if rule is None or rule.name not in ("add", "sum", "logsumexp") or len(users) < 2:
            continue
        for entry in net.sums.get(total) or net.entries[total]:
            term = net.args[entry]
            again = [user for user in users if net.data[term] in net.data[net.operands(user)]]
            own = [user for user in users if term in net.operands(user)] or again
            if len(own) == 1:
                direct = net.gradient[own[0]] * net.local[users[own[0]]]
                edits[entry] = float(net.local[entry] * direct / net.gradient[total])
                outputs += own
    if edits:
        yield Mistake(net.say("others", what=tuple(outputs)), edits, rank=ANOTHER)


# ------------------------------------------------------------------------------------------------ factors
def _changed(net: Structure, factors: Sequence[Factor]) -> Iterator[Mistake]:
    """A factor, or all that a person gets wrong together: missing, used twice, taken of the wrong thing."""
    kinds: list[Callable[[Factor], Hashable]] = [
        lambda f: f,
        lambda f: (net.neurons[f.user], f.edges[0] - net.edges[f.user][0], f.symbol),
        lambda f: (net.layers[f.user], f.symbol),
        lambda f: (net.levels[f.user], f.symbol),
        lambda f: (net.arrays[f.operand] or net.arrays[f.user], f.symbol),
        lambda f: f.symbol,
    ]
    instead = {id(each): cache(partial(_instead, net, each)) for each in factors}
    for group in _grouped(factors, *kinds):
        ways = [instead[id(each)]() for each in group]
        for way, text in (kind for kind in ways[0] if all(kind in each for each in ways)):
            numbers = [each[way, text] for each in ways]
            edits = {
                edge: float(net.local[edge]) * number / each.number if each.row else number
                for each, number in zip(group, numbers, strict=True)
                for edge in each.edges
            }
            if way in ("missing", "twice"):
                told = net.say(way + ", several" * (len(group) > 1), factor=group)
            else:
                told = net.say("stands", right=group, wrong=net.say(way, text=text), numbers=numbers)
            yield Mistake(told, edits, rank=_RANKS.get(way, ITSELF))


def _instead(net: Structure, factor: Factor) -> dict[tuple[str, Any], float]:
    """What may by mistake stand in place of a factor, by what it is: 1, its square, another derivative."""
    edge, y, rule = factor.edges[0], float(net.data[factor.user]), factor.function
    found, ways = dict[tuple[str, Any], float](), dict[tuple[str, Any], Callable[[], Any]]()
    if rule is not None or factor.number != 1.0:
        found = {("missing", ""): 1.0, ("twice", ""): factor.number * factor.number}
    if edge in net.partner and rule is None:
        ways["partner", ""] = lambda: net.numbers[edge]
        ways["before", ""] = lambda: net.data[net.activations[net.args[net.partner[edge]]].operand]
    elif factor.number == 1.0 and rule is None:  # a bias is treated as a weight
        beside = chain(net.edges[factor.user], *(net.edges[each] for each in net.operands(factor.user)))
        inputs = [net.partner[each] for each in beside if each in net.partner]
        for i, each in enumerate(each for each in inputs if net.args[each] not in net.leaves):
            ways["input", i] = partial(net.numbers.item, each)
        for after in net.uses[factor.user]:
            ways["output", ""] = partial(net.data.item, net.owner[after])
    if rule is not None:
        edges = net.edges[factor.user]
        numbers = [float(net.data[factor.operand])] if factor.row else net.numbers[edges].tolist()
        place = 0 if factor.row else edge - edges[0]
        x, of, by = numbers[place], compiled(rule).value, rule.shown[place]

        def value(at: float) -> float:
            return of(*numbers[:place], at, *numbers[place + 1 :])

        def slope(at: float, y: float | None = None) -> Any:
            scope = dict(zip(rule.args, numbers, strict=True)) | {rule.args[place]: at}
            return by.evaluate(scope | {"y": value(at) if y is None else y})

        ways["value", ""] = lambda: y
        ways["at the output", ""] = partial(slope, y)
        ways["by the argument", ""] = partial(slope, x, x)
        ways["value again", ""] = partial(value, y)
        inner = net.rules[factor.operand]
        signed = zip(reversed(net.edges[factor.operand]), (-1.0, 1.0), strict=False)
        for each, sign in signed if inner and inner.name == "sub" else ():
            if net.args[each] < 0 or net.rules[net.args[each]] is None:
                target = sign * net.numbers[each]
                ways["without", ""] = partial(slope, x - target)
                ways["added", ""] = partial(slope, x - 2.0 * target)
                break
        scope = {**dict(zip(rule.args, numbers, strict=True)), "y": y}
        ways |= {(how, part.text): partial(part.evaluate, scope) for how, part in _parts(rule, place)}
        for name in (each for each in ("sigmoid", "tanh") if each != rule.name):
            (arg,), (other,) = RULES[name].args, RULES[name].shown
            ways["other", name] = partial(other.evaluate, {arg: x, "y": compiled(RULES[name]).value(x)})
            ways["other by output", name] = partial(other.evaluate, {arg: x, "y": y})
    known = {0.0, 1.0, factor.number}
    for way, compute in ways.items():
        with suppress(ArithmeticError, ValueError, KeyError):
            number = float(compute())
            if not (isnan(number) or number in known):
                known.add(number)
                found[way] = number
    return found


@cache
def _parts(rule: Rule, place: int) -> list[tuple[str, Expression]]:
    """A derivative with a wrong sign, and its two factors; of its first branch, where there are several."""
    tree: ast.expr = rule.shown[place].tree
    while isinstance(tree, ast.IfExp):
        tree = tree.body
    text = ast.unparse(tree)
    texts = [("sign in", text.replace(" - ", " + "))] if " - " in text else []
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult | ast.Sub):
        texts = [("part", ast.unparse(tree.right)), ("part", ast.unparse(tree.left)), *texts]
    return [(how, parse(each, (*rule.args, "y"), rule.name)) for how, each in texts]


def neighbours(claim: Claim) -> Iterator[Mistake]:
    """A neighbour's upstream gradient; or its factor, σ′(net_o2) for σ′(net_o1), w6 for w7."""
    net = claim.net
    inner = (node for node, rule in enumerate(net.rules) if rule is not None)
    singles = (each for each in net.factors if not each.row and each.number != 1.0)
    layers = chain(
        _grouped(inner, lambda node: (net.levels[node], net.rules[node])),
        _grouped(singles, lambda factor: (net.levels[factor.user], factor.symbol)),
    )
    small = (layer for layer in layers if len(layer) <= _NEIGHBOURS and len(net.args) <= _MANY)
    for one, other in chain.from_iterable(permutations(layer, 2) for layer in small):
        if isinstance(one, Factor):
            if claim.reached[one.operand]:
                told = net.say("neighbour", wrong=[other], right=[one])
                yield Mistake(told, {one.edges[0]: other.number})
        elif claim.reached[one] and not isclose(net.gradient[one], net.gradient[other]):
            number, right = net.gradient[[other, one]]
            told = net.say("upstream of", name=[other], own=[one], number=number, right=right)
            yield Mistake(told, seeds={one: number})


# ---------------------------------------------------------------------------------------------- too early
def early(claim: Claim, together: Sequence[Claim]) -> Iterator[Mistake]:
    """Parameters that were updated before the backward pass: others, those claimed before, all."""
    net, own, say = claim.net, frozenset(claim.nodes), claim.net.say
    places = [frozenset(each.nodes) for each in together]
    arrays = [frozenset(where.ravel().tolist()) for where in claim.parameters.values() if where.ndim]
    every, before = (frozenset[int]().union(*some) for some in (places, places[: together.index(claim)]))
    sets = [*(each - own for each in (*places, before, *arrays, net.leaves)), every, net.leaves]
    there = {edge for node in np.flatnonzero(claim.reached) for edge in net.uses[node]}
    for moved in dict.fromkeys(each & net.leaves for each in sets):
        beside = ((net.partner.get(edge), node) for node in moved for edge in net.uses[node])
        used = {edge: node for edge, node in beside if edge in there}
        for rate in claim.rates if used else ():
            new = {node: net.data[node] - rate * net.gradient[node] for node in sorted({*used.values()})}
            numbers = [
                say("moved", name=[node], new=number, old=net.data[node])
                for node, number in [*new.items()][:4]
            ]
            told = say("early", names=[*new], rate=rate, numbers=numbers)
            yield Mistake(told, {edge: new[node] for edge, node in used.items()})


# ------------------------------------------------------------------------------------------- matrices
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
