"""The table of mistakes: each is a change of the gradient as a whole, or of the pass that gives it.

Its sign, size, shape or order is wrong, or another one stands in its place. A factor of the chain rule is
missing, used twice, or another one stands in its place; a path, a term, a use is forgotten; a pass begins
below the loss; a neighbour's factor is taken; weights were updated too early.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain, permutations, product
from math import isclose
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim
from microbp.answers.structure import Factor, Floats, Structure
from microbp.answers.words import Told, shape_of, shown
from microbp.compiled import compiled
from microbp.expr import Expression, parse
from microbp.rules import RULES, Rule
from microbp.sweeps import forward

#: Where there are more groups of a kind, as each weight by itself in a large layer, only larger groups are
#: tried; and so many ways in one place are taken one by one, at most.
_MANY, _FEW = 1500, 300
#: The largest layer within which neighbours are tried for each other.
_NEIGHBOURS = 8
#: So many numbers are computed anew for a search, at most; and the step by which they are differentiated.
_ANEW, _STEP = 50_000, 1e-30
#: Learning rates that people use, for a search where none was given.
CUSTOMARY = (1.0, 0.5, 0.3, 0.25, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4)
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
    told = say("sign or update" if claim.rate is None else "sign")
    yield Mistake(told, gives=true, factor=-1.0, besides=say("opposite"))
    counts = {n: say("axis", n=n) for n in true.shape}
    counts |= {n: say("samples", n=n) for n in (len(net.uses[node]) for node in claim.nodes)}
    sums = ((len(terms), total) for total, terms in net.sums.items() if not net.levels[total])
    counts |= {n: say("terms", n=n, sum=partial(net.called, total)) for n, total in sums}
    reasons = [(2.0, say("half")), (0.5, say("double"))]
    for n, what in counts.items():
        if n > 1:
            reasons += [(1.0 / n, say("averaged", what=what)), (float(n), say("summed", what=what))]
    for factor, reason in reasons:
        how = {"factor": factor, "reason": reason}
        yield Mistake(say("times", **how), gives=true, factor=factor, besides=say("and times", **how))


def rated(claim: Claim) -> Iterator[Mistake]:
    """An update in place of the gradient, or an updated parameter, at the rates to be looked for."""
    say, alone = claim.net.say, Mistake(str, gives=claim.true, rank=ALONE)
    for rate in CUSTOMARY if claim.rate is None else (claim.rate,):
        if rate != 1.0:  # that is the wrong sign
            told = say("update unsaid" if claim.rate is None else "update", rate=rate)
            yield alone._replace(told=told, factor=-rate)
        yield alone._replace(told=say("rate", rate=rate), factor=rate)
        if (claim.where >= 0).all():
            updated = alone._replace(told=say("updated", rate=rate), besides=say("wrongly updated", rate=rate))
            yield updated._replace(factor=-rate, own=1.0)


def whole(claim: Claim) -> Iterator[Mistake]:
    """A rounding, a sign, a factor, a shape, an order."""
    say, claimed, true = claim.net.say, claim.claimed, claim.true
    if claimed.shape == true.shape:
        unit = np.where(claim.read["rounded"], 0.0, 2.0 * claim.read["half"])
        steps = np.round(np.divide(true * claim.scale, unit, out=np.zeros_like(true), where=unit > 0.0))
        gives = np.where(abs(steps) >= 10, steps * unit / claim.scale, true)
        if (abs(steps) >= 10).any():
            yield Mistake(say("rounded", true=partial(shown, true)), gives=gives, rank=ALONE)
    yield from scaled(claim)
    if (claim.where >= 0).all():
        yield Mistake(say("itself"), gives=true, rank=ALONE, factor=0.0, own=1.0)
    if true.ndim > 1:
        yield Mistake(say("transposed"), gives=true.T)
    if claimed.shape == true.shape:
        yield from _permuted(claim)
    else:
        yield from _reshaped(claim)


def _reshaped(claim: Claim) -> Iterator[Mistake]:
    """The right numbers in another shape, or not yet summed over the samples."""
    say, claimed, true = claim.net.say, claim.claimed, claim.true
    if claim.fits and claimed.size < true.size:
        yield Mistake(say("broadcast"), gives=true)
    if claimed.size == true.size:
        yield Mistake(say("shape"), gives=true.reshape(claimed.shape))
    axes = range(claimed.ndim if claimed.size else 0)
    for axis, keep, how in product(axes, (False, True), ("sum", "mean")):
        line = getattr(claimed, how)(axis=axis, keepdims=keep)
        if line.shape == true.shape and (abs(line - true) <= 1e-9 * abs(true) + claim.rounding).all():
            told = say("unreduced", axis=axis, how=say(how), n=claimed.shape[axis])
            yield Mistake(told, gives=claimed)


def _permuted(claim: Claim) -> Iterator[Mistake]:
    """The lines of the true gradient in another order."""
    for axis, length in enumerate(claim.true.shape):
        each = (claim.true, claim.claimed, claim.near(1e-9))
        lines, own, near = (np.moveaxis(one, axis, 0).reshape(length, -1) for one in each)
        order: list[int] = []
        for i in range(length):
            fits = np.flatnonzero((abs(lines - own[i]) <= near[i]).all(axis=1)).tolist()
            order += sorted({*fits} - {*order}, key=lambda at, i=i: at != i)[:1]  # type: ignore[misc]
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
    for name, where in {**claim.parameters, **{name: other.where for name, other in others.items()}}.items():
        if where.shape == claim.where.shape and not np.array_equal(where, claim.where):
            gives, other = np.where(where < 0, 0.0, net.gradient[where]), others.get(name)
            both = other and other.fits and (abs(other.claimed - true) <= other.near(1e-6)).all()
            how = "interchanged" if both else "of another"
            yield Mistake(say(how, this=claim.name, name=name, numbers=partial(shown, gives)), gives=gives)
    for axis, length in enumerate(true.shape):
        kind = _kind(claim, axis)
        lines = [(say("line of", i=i, kind=kind), np.take(true, [i], axis)) for i in range(length)]
        lines += [
            (say("lines", how=say(how), kind=kind), getattr(true, how)(axis=axis, keepdims=True))
            for how in ("sum", "mean")
        ]
        for which, line in lines if length > 1 else ():
            # Where the lines cancel, as those of softmax do, their sum is nothing that anybody took.
            if (abs(line) > 1e-9 * abs(true).max()).any():
                told = say("line", which=which, kind=kind, shape=shape_of(line))
                yield Mistake(told, gives=np.broadcast_to(line, true.shape))


def proportional(claim: Claim) -> Iterator[Mistake]:
    """Some constant factor, which an array shows and a number does not."""
    claimed, true = claim.claimed, claim.true
    if claimed.shape == true.shape and np.count_nonzero(true[claim.answered]) > 1:
        at = np.unravel_index(int(np.argmax(np.where(claim.answered, abs(true), 0.0))), true.shape)
        factor = float(claimed[at] / true[at])
        told = claim.net.say("every update" if factor < 0 else "every", factor=factor, rate=-factor)
        yield Mistake(told, gives=true, factor=factor)


# ------------------------------------------------------------------------------------- the chain rule
def chain_rule(claim: Claim) -> Iterator[Mistake]:
    """A mistake with a factor or with a path, the simplest first."""
    factors = [each for each in claim.net.factors if claim.reached[each.operand]]
    yield from _other_outputs(claim)
    yield from _later_steps(claim)
    yield from _paths(claim)
    yield from _changed(claim.net, [each for each in factors if each.row and each.function])
    yield from _changed(claim.net, [each for each in factors if not each.row])
    yield from _below(claim)
    yield from _changed(claim.net, [each for each in factors if each.row and not each.function])


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


# ------------------------------------------------------------------------------------------------ factors
def _changed(net: Structure, factors: Sequence[Factor]) -> Iterator[Mistake]:
    """A factor, or all that a person gets wrong together: missing, used twice, taken of the wrong thing."""
    instead = cache(lambda at: dict(_instead(net, factors[at])))
    kinds: list[Callable[[int], Hashable]] = [
        lambda at: at,
        lambda at: (net.neurons[factors[at].user], factors[at].edges[0] - net.edges[factors[at].user][0]),
        lambda at: (net.layers[factors[at].user], factors[at].symbol),
        lambda at: (net.levels[factors[at].user], factors[at].symbol),
        lambda at: (net.arrays[factors[at].operand] or net.arrays[factors[at].user], factors[at].symbol),
        lambda at: factors[at].symbol,
    ]
    for places in _grouped(range(len(factors)), *kinds):
        group, ways = [factors[at] for at in places], [instead(at) for at in places]
        told = partial(net.told, group)
        for kind in ways[0]:
            numbers = [each.get(kind, np.nan) for each in ways]
            if np.isnan(numbers).any():
                continue
            edits = {
                edge: float(net.local[edge]) * number / each.number if each.row else number
                for each, number in zip(group, numbers, strict=True)
                for edge in each.edges
            }
            way, text = kind
            if way in ("missing", "twice"):
                say = net.say(way + ", several" * (len(group) > 1), factor=told)
            else:
                say = net.say("stands", right=told, wrong=net.say(way, text=text), numbers=numbers)
            plain = group[0].row and not group[0].function  # what no person knows as one factor
            yield Mistake(say, edits, rank=ITSELF if plain else _RANKS.get(way, ITSELF))


def _instead(net: Structure, factor: Factor) -> Iterator[tuple[tuple[str, Any], float]]:
    """What may by mistake stand in place of a factor, by what it is: 1, its square, another derivative."""
    edge, y, rule = factor.edges[0], float(net.data[factor.user]), factor.function
    ways: dict[tuple[str, Any], Callable[[], float]] = {}
    if rule is not None or factor.row or factor.number != 1.0:
        ways["missing", ""], ways["twice", ""] = lambda: 1.0, lambda: factor.number * factor.number
    if edge in net.partner and not factor.row:
        ways["partner", ""] = lambda: float(net.numbers[edge])
    elif factor.number == 1.0 and rule is None:  # a bias is treated as a weight
        beside = chain(net.edges[factor.user], *(net.edges[each] for each in net.operands(factor.user)))
        inputs = [net.partner[each] for each in beside if each in net.partner]
        for i, each in enumerate(each for each in inputs if net.args[each] not in net.leaves):
            ways["input", i] = partial(float, net.numbers[each])
        for after in net.uses[factor.user]:
            ways["output", ""] = partial(float, net.data[net.owner[after]])
    if rule is not None or factor.row:
        ways["value", ""] = lambda: y
    if rule is not None:
        edges = net.edges[factor.user]
        numbers = [float(net.data[factor.operand])] if factor.row else net.numbers[edges].tolist()
        place = 0 if factor.row else edge - edges[0]
        made, argument, at_output = compiled(rule), numbers[place], [*numbers]
        at_output[place] = y
        derivative, scope = made.derivatives[place], {**dict(zip(rule.args, numbers, strict=True)), "y": y}
        ways["at the output", ""] = lambda: derivative(*at_output, made.value(*at_output))
        ways["by the argument", ""] = lambda: derivative(*numbers, argument)
        ways["value again", ""] = lambda: made.value(*at_output)
        for how, text, part in _parts(rule, place):
            ways[how, text] = partial(part.evaluate, scope)
        for name in (each for each in ("sigmoid", "tanh") if each != rule.name):
            value, (slope,) = compiled(RULES[name])
            ways["other", name] = lambda value=value, slope=slope: slope(argument, value(argument))  # type: ignore[misc]
            ways["other by output", name] = partial(slope, argument, y)
    known = {0.0, factor.number}
    for kind, compute in ways.items():
        with suppress(ArithmeticError, ValueError):
            number = compute()
            if number not in known:
                known |= {number, 1.0}
                yield kind, number


@cache
def _parts(rule: Rule, place: int) -> list[tuple[str, str, Expression]]:
    """Of a derivative that is a product its two factors; of its first branch, where there are several."""
    tree: ast.expr = rule.shown[place].tree
    while isinstance(tree, ast.IfExp):
        tree = tree.body
    if not isinstance(tree, ast.BinOp) or not isinstance(tree.op, ast.Mult):
        return []
    texts = [("part", ast.unparse(tree.right)), ("part", ast.unparse(tree.left))]
    return [(how, text, parse(text, (*rule.args, "y"), rule.name)) for how, text in texts]


def neighbours(claim: Claim) -> Iterator[Mistake]:
    """A neighbour's upstream gradient; or its factor, σ′(net_o2) for σ′(net_o1), w6 for w7."""
    net = claim.net

    def pairs(members: Iterable[Any], kind: Callable[[Any], Hashable]) -> Iterator[tuple[Any, Any]]:
        groups = _grouped(members, kind) if len(net.args) <= _MANY else ()
        return chain(*(permutations(group, 2) for group in groups if len(group) <= _NEIGHBOURS))

    inner = (node for node, rule in enumerate(net.rules) if rule is not None)
    for node, other in pairs(inner, lambda node: (net.levels[node], net.rules[node])):
        own, upstream = float(net.gradient[node]), float(net.gradient[other])
        if claim.reached[node] and not isclose(upstream, own):
            names = {"name": partial(net.called, other), "own": partial(net.called, node)}
            told = net.say("upstream of", **names, number=upstream, right=own)
            yield Mistake(told, seeds={node: upstream})
    singles = (each for each in net.factors if not each.row and each.number != 1.0)
    for factor, other in pairs(singles, lambda each: (net.levels[each.user], each.symbol)):
        if claim.reached[factor.operand]:
            wrong, right = (partial(net.told, [each]) for each in (other, factor))
            told = net.say("neighbour", wrong=wrong, right=right)
            yield Mistake(told, {factor.edges[0]: other.number})


# -------------------------------------------------------------------------------------------------- paths
def _paths(claim: Claim) -> Iterator[Mistake]:
    """Of several ways into one place one is forgotten, or is the only one that was taken."""
    net, places = claim.net, list[list[tuple[Told, list[int]]]]()
    # The ways on from a node, or from what is alike in each sample to what is alike.
    for nodes in _alike(claim):
        role = range(net.count) if len(nodes) == 1 else net.neurons
        into: dict[int, list[int]] = {}
        for edge in chain.from_iterable(net.uses[node] for node in nodes):
            if net.gradient[net.owner[edge]]:
                into.setdefault(role[net.owner[edge]], []).append(edge)
        source = partial(net.listed, nodes)
        ends = [partial(net.ahead, sorted({net.owner[edge] for edge in into[at]})) for at in sorted(into)]
        told = [net.say("from through", source=source, user=end) for end in ends]
        places.append([*zip(told, (into[at] for at in sorted(into)), strict=True)])
    # The terms of a sum: a gradient may be overwritten where it should be added to.
    for total, edges in net.sums.items():
        ways = []
        for i, edge in enumerate(edges if net.gradient[total] else (), 1):
            if claim.reached[net.args[edge]]:
                names = {"sum": partial(net.called, total), "term": partial(net.called, net.args[edge])}
                ways.append((net.say("term", i=i, n=len(edges), **names), [edge]))
        places.append(ways)
    # The uses of the parameters, one after the other: the samples of a batch.
    uses = [net.uses[node] for node in claim.nodes]
    if len({*map(len, uses)}) == 1:
        n = len(uses[0])
        places.append([(net.say("use", i=i + 1, n=n), [each[i] for each in uses]) for i in range(n)])
    for ways in places:
        for told, edges in ways if len(ways) > 1 else ():
            yield _dropped(net.say("path", path=told), edges)
            if 2 < len(ways) <= _FEW:
                others = chain.from_iterable(each for _, each in ways if each is not edges)
                yield _dropped(net.say("only path", path=told), others)


def _alike(claim: Claim) -> Iterator[list[int]]:
    """What the parameters pass by on the way to the loss: nodes one by one, and those that are alike."""
    net = claim.net
    live = np.flatnonzero(claim.reached & (net.gradient != 0.0))[:-1].tolist()
    kinds = [each.__getitem__ for each in (net.arrays, net.neurons, net.layers)]
    return _grouped(live, lambda node: (node,), *kinds)


def _below(claim: Claim) -> Iterator[Mistake]:
    """A pass that begins below the loss, a constant that is none, a gradient that is only the last one."""
    net, overwritten = claim.net, list[Mistake]()
    for nodes in _alike(claim):
        edges = [net.uses[node] for node in nodes]
        if nodes[0] not in net.leaves:
            told = net.say("upstreams", names=partial(net.listed, nodes))
            if len(nodes) == 1:
                by = partial(net.by, nodes[0], claim.name)
                name = partial(net.called, nodes[0])
                told = net.say("upstream", number=float(net.gradient[nodes[0]]), name=name, by=by)
            yield Mistake(told, seeds=dict.fromkeys(nodes, 1.0))
            yield _dropped(net.say("constant", what=partial(net.ahead, nodes)), chain(*edges))
        if any(len(each) > 1 for each in edges):
            told = net.say("overwritten", what=partial(net.listed, nodes))
            overwritten.append(_dropped(told, (edge for each in edges for edge in each[:-1])))
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
        what = partial(net.listed, [net.args[edge] for edge in edges])
        yield _dropped(net.say("next step", what=what), edges)


def _other_outputs(claim: Claim) -> Iterator[Mistake]:
    """Of outputs that share a sum, like those of softmax, only the diagonal of the derivative taken."""
    net = claim.net
    edits: dict[int, float] = {}
    outputs: list[int] = []
    for total, rule in enumerate(net.rules):
        if rule is None or rule.name not in ("add", "sum", "logsumexp") or not net.gradient[total]:
            continue
        users = {net.owner[edge]: edge for edge in net.uses[total]}
        for entry in net.sums.get(total) or net.entries[total] if len(users) > 1 else ():
            term = net.args[entry]
            again = [user for user in users if net.data[term] in net.data[net.operands(user)]]
            own = [user for user in users if term in net.operands(user)] or again
            if len(own) == 1:
                direct = net.gradient[own[0]] * net.local[users[own[0]]]
                edits[entry] = float(net.local[entry] * direct / net.gradient[total])
                outputs += own
    if edits:
        yield Mistake(net.say("others", what=partial(net.ahead, outputs)), edits, rank=ANOTHER)


# ---------------------------------------------------------------------------------------------- too early
def early(claim: Claim, together: Sequence[Claim]) -> Iterator[Callable[[float], Mistake]]:
    """The passes where parameters had been updated before, at a rate: others, those claimed before, all.

    And where the forward pass was made anew after that, in a graph where that is soon done.
    """
    net, own = claim.net, frozenset(claim.nodes)
    places = [frozenset(each.nodes) for each in together]
    arrays = [frozenset(where.ravel().tolist()) for where in claim.parameters.values() if where.ndim]
    every, before = (frozenset[int]().union(*some) for some in (places, places[: together.index(claim)]))
    sets = [*(each - own for each in (*places, before, *arrays, net.leaves)), every, net.leaves]
    there = {edge for node in np.flatnonzero(claim.reached) for edge in net.uses[node]}
    small = net.count * len(own) <= _ANEW and own <= net.leaves and len(own) == claim.where.size
    for moved in dict.fromkeys(each & net.leaves for each in sets):
        beside = {net.partner[edge]: node for node in moved for edge in net.uses[node] if edge in net.partner}
        if used := {edge: node for edge, node in beside.items() if edge in there}:
            yield partial(_moved, claim, "early", {*used.values()}, used)
        if moved and small:
            yield partial(_moved, claim, "early and again", moved, {})


def _moved(claim: Claim, how: str, moved: Iterable[int], edges: Mapping[int, int], rate: float) -> Mistake:
    """The backward pass with updated parameters beside these edges; where there are none, both passes."""
    net = claim.net
    new = {node: float(net.data[node] - rate * net.gradient[node]) for node in sorted(moved)}
    numbers = [
        net.say("moved", name=partial(net.called, node), new=number, old=float(net.data[node]))
        for node, number in [*new.items()][:4]
    ]
    told = net.say(how, names=partial(net.listed, [*new]), rate=rate, numbers=numbers)
    if edges:
        return Mistake(told, {edge: new[node] for edge, node in edges.items()})
    gives = np.full(claim.where.shape, np.nan)
    given: dict[int, Any] = {node: number + 0j for node, number in new.items()}
    for node, step in zip(claim.nodes, np.eye(claim.where.size), strict=True):
        given[node] = new.get(node, net.data[node]) + _STEP * 1j * step
    with suppress(ArithmeticError, ValueError):
        gives = forward(net.graph, given)[-1].imag.reshape(claim.where.shape) / _STEP
    return Mistake(told, gives=gives)
