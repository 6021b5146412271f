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
    """What a person does wrong, and how that is said."""

    told: Told
    #: Local derivatives in place of the recorded ones, by edge.
    edits: Mapping[int, float] = {}
    #: Where the pass begins, with which upstream gradients; nothing for the loss with 1.
    seeds: Mapping[int, float] = {}
    #: The gradient that it gives, where that is made of the true one and not by a pass.
    gives: Floats | None = None
    rank: int = ITSELF
    #: If it may be made besides another: how that is said of the other ``mistake``, and what it does to the
    #: gradient of that, offset + factor · gradient.
    besides: Any = None
    factor: float = 1.0
    offset: Floats | float = 0.0


# ----------------------------------------------------------------------------- the gradient as a whole
def scaled(claim: Claim) -> Iterator[Mistake]:
    """A wrong sign, and constant factors that a person forgets, with what they may come from."""
    net, say, true = claim.net, claim.net.say, claim.true
    told = say("sign or update" if net.rate is None else "sign")
    yield Mistake(told, gives=-true, factor=-1.0, besides=say("opposite"))
    counts: dict[int, Told] = {}
    for total, terms in net.sums.items():
        if not net.levels[total]:
            counts.setdefault(len(terms), say("terms", n=len(terms), sum=partial(net.called, total)))
    for n in (len(net.uses[node]) for node in claim.nodes):
        counts.setdefault(n, say("samples", n=n))
    for n in claim.true.shape:
        counts.setdefault(n, say("axis", n=n))
    reasons = [(2.0, say("half")), (0.5, say("double"))]
    for n, what in counts.items():
        if n > 1:
            reasons += [(1.0 / n, say("averaged", what=what)), (float(n), say("summed", what=what))]
    for factor, reason in reasons:
        fields = {"factor": f"{factor:g}", "reason": reason}
        besides = say("and times", **fields)
        yield Mistake(say("times", **fields), gives=factor * true, factor=factor, besides=besides)


def rated(claim: Claim) -> Iterator[Mistake]:
    """An update in place of the gradient, or an updated parameter, at the rates to be looked for."""
    say, true, unsaid = claim.net.say, claim.true, claim.net.rate is None
    for rate in CUSTOMARY if claim.net.rate is None else (claim.net.rate,):
        told = say("update unsaid" if unsaid else "update", rate=rate)
        if rate != 1.0:  # that is the wrong sign
            yield Mistake(told, gives=-rate * true, rank=ALONE)
        yield Mistake(say("rate", rate=rate), gives=rate * true, rank=ALONE)
        if (claim.where >= 0).all():
            own, wrongly = claim.net.data[claim.where], say("wrongly updated", rate=rate)
            change = Mistake(say("updated", rate=rate), factor=-rate, offset=own, besides=wrongly)
            yield change._replace(gives=own - rate * true, rank=ALONE)


def whole(claim: Claim) -> Iterator[Mistake]:
    """A rounding, a sign, a factor, a shape, an order."""
    say, true = claim.net.say, claim.true
    if claim.source.shape == true.shape:
        unit = np.where(claim.read["rounded"], 0.0, 2.0 * claim.read["half"])
        steps = np.round(np.divide(true * claim.scale, unit, out=np.zeros_like(true), where=unit > 0.0))
        gives = np.where(abs(steps) >= 10, steps * unit / claim.scale, true)
        if (abs(steps) >= 10).any():
            yield Mistake(say("rounded", true=partial(shown, true)), gives=gives, rank=ALONE)
    yield from scaled(claim)
    if (claim.where >= 0).all():
        yield Mistake(say("itself"), gives=claim.net.data[claim.where], rank=ALONE)
    if true.ndim > 1:
        yield Mistake(say("transposed"), gives=true.T)
    yield from _reshaped(claim)
    yield from _permuted(claim)


def _reshaped(claim: Claim) -> Iterator[Mistake]:
    """The right numbers in another shape, or not yet summed over the samples."""
    say, claimed, true = claim.net.say, claim.claimed, claim.true
    if claimed.shape == true.shape:
        return
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
    claimed, true, near = claim.claimed, claim.true, claim.near(1e-9)
    for axis, length in enumerate(true.shape if claimed.shape == true.shape else ()):
        lines, own, close = (np.moveaxis(each, axis, 0).reshape(length, -1) for each in (true, claimed, near))
        order: list[int] = []
        for i, (line, off) in enumerate(zip(own, close, strict=True)):
            fits = np.flatnonzero((abs(lines - line) <= off).all(axis=1)).tolist()
            free = [each for each in fits if each not in order]
            order += [i] if i in free else free[:1]
        moved = [i for i, each in enumerate(order) if i != each]
        if sorted(order) == [*range(length)] and moved:
            how = "reversed" if order == [*range(length)][::-1] else "permuted"
            how = "swapped" if len(moved) == 2 else how
            fields = {"order": ", ".join(map(str, order)), "one": moved[0], "other": moved[-1]}
            told = claim.net.say(how, kind=_kind(claim, axis), name=claim.name, **fields)
            yield Mistake(told, gives=np.take(true, order, axis))


def _kind(claim: Claim, axis: int) -> Told:
    """What is counted along an axis."""
    kind = {1: "element", 2: ("row", "column")[axis % 2]}.get(claim.true.ndim, "slice")
    return claim.net.say(kind, axis=axis)


def instead(claim: Claim, together: Sequence[Claim]) -> Iterator[Mistake]:
    """Another's gradient in its place; a line in place of all lines."""
    net, say, true = claim.net, claim.net.say, claim.true
    others = {other.name: other for other in together if other.name != claim.name}
    for name, where in {**net.parameters, **{name: other.where for name, other in others.items()}}.items():
        if where.shape == claim.where.shape and not np.array_equal(where, claim.where):
            gives, other = np.where(where < 0, 0.0, net.gradient[where]), others.get(name)
            both = other and other.fits and (abs(other.claimed - true) <= other.near(1e-6)).all()
            how = "interchanged" if both else "of another"
            yield Mistake(say(how, this=claim.name, name=name, numbers=partial(shown, gives)), gives=gives)
    for axis, length in enumerate(true.shape):
        kind = _kind(claim, axis)
        lines = [(say("line of", i=i, kind=kind), np.take(true, [i], axis)) for i in range(length)]
        for how in ("sum", "mean"):
            line = getattr(true, how)(axis=axis, keepdims=True)
            # Where the lines cancel, as those of softmax do, their sum is nothing that anybody took.
            if (abs(line) > 1e-9 * abs(true).max()).any():
                lines.append((say("lines", how=say(how), kind=kind), line))
        for which, line in lines if length > 1 else ():
            told = say("line", which=which, kind=kind, shape=shape_of(line))
            yield Mistake(told, gives=np.broadcast_to(line, true.shape))


def proportional(claim: Claim) -> Iterator[Mistake]:
    """Some constant factor, which an array shows and a number does not."""
    claimed, true = claim.claimed, claim.true
    if claimed.shape == true.shape and np.count_nonzero(true[claim.answered]) > 1:
        at = np.unravel_index(int(np.argmax(np.where(claim.answered, abs(true), 0.0))), true.shape)
        factor = float(claimed[at] / true[at])
        fields = {"factor": f"{factor:.9g}", "rate": f"{-factor:.9g}"}
        told = claim.net.say("every update" if factor < 0 else "every", **fields)
        yield Mistake(told, gives=factor * true)


# ------------------------------------------------------------------------------------- the chain rule
def chain_rule(claim: Claim) -> Iterator[Mistake]:
    """A mistake with a factor or with a path, the simplest first."""
    net = claim.net
    factors = [each for each in net.factors if claim.reached[each.operand]]
    yield from _other_outputs(claim)
    yield from _later_steps(claim)
    for ways in _ways(claim):
        for told, edges in ways:
            yield _dropped(net.say("path", path=told), edges)
            if 2 < len(ways) <= _FEW:
                others = chain.from_iterable(each for _, each in ways if each is not edges)
                yield _dropped(net.say("only path", path=told), others)
    yield from _changed(net, [each for each in factors if each.row and each.function])
    yield from _changed(net, [each for each in factors if not each.row])
    yield from _nodes(claim)
    yield from _changed(net, [each for each in factors if each.row and not each.function])


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
    kinds: list[Callable[[Factor], Hashable]] = [
        lambda f: (net.neurons[f.user], f.edges[0] - net.edges[f.user][0], f.symbol),
        lambda f: (net.layers[f.user], f.symbol),
        lambda f: (net.levels[f.user], f.symbol),
        lambda f: (net.arrays[f.operand] or net.arrays[f.user], f.symbol),
        lambda f: f.symbol,
    ]
    instead = cache(lambda at: dict(_instead(net, factors[at])))
    places = {id(each): at for at, each in enumerate(factors)}
    for group in _grouped(factors, lambda f: f, *kinds):
        told = partial(net.told, group)
        ways = [instead(places[id(each)]) for each in group]
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
                wrong = net.say(way, text=text)
                say = net.say("stands", right=told, wrong=wrong, numbers=numbers)
            plain = group[0].row and not group[0].function  # what no person knows as one factor
            yield Mistake(say, edits, rank=ITSELF if plain else _RANKS.get(way, ITSELF))


def _instead(net: Structure, factor: Factor) -> Iterator[tuple[tuple[str, Any], float]]:
    """What may by mistake stand in place of a factor, by what it is: 1, its square, another derivative."""
    edge, y, rule = factor.edges[0], float(net.data[factor.user]), factor.function
    ways: dict[tuple[str, Any], Callable[[], float]] = {}
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
        for text, part in _parts(rule, place):
            ways["part", text] = partial(part.evaluate, scope)
        for name in (each for each in ("sigmoid", "tanh") if each != rule.name):
            value, (slope,) = compiled(RULES[name])
            with suppress(ArithmeticError, ValueError):
                ways["other", name] = partial(slope, argument, value(argument))
            ways["other by output", name] = partial(slope, argument, y)
    known = {0.0, 1.0, factor.number}
    if rule is not None or factor.row or factor.number != 1.0:
        yield ("missing", ""), 1.0
        yield ("twice", ""), factor.number * factor.number
    for kind, compute in ways.items():
        with suppress(ArithmeticError, ValueError):
            number = compute()
            if number not in known:
                known.add(number)
                yield kind, number


@cache
def _parts(rule: Rule, place: int) -> list[tuple[str, Expression]]:
    """The two factors of a derivative that is a product; of its first branch, where there are several."""
    tree: ast.expr = rule.shown[place].tree
    while isinstance(tree, ast.IfExp):
        tree = tree.body
    if not isinstance(tree, ast.BinOp) or not isinstance(tree.op, ast.Mult):
        return []
    texts = [ast.unparse(tree.right), ast.unparse(tree.left)]
    return [(text, parse(text, (*rule.args, "y"), rule.name)) for text in texts]


def wrong_index(claim: Claim) -> Iterator[Mistake]:
    """A neighbour's upstream gradient; or its factor, σ′(net_o2) for σ′(net_o1), w6 for w7."""
    net = claim.net
    if len(net.args) > _MANY:
        return
    inner = (node for node, rule in enumerate(net.rules) if rule is not None)
    for layer in _grouped(inner, lambda node: (net.levels[node], net.rules[node])):
        for node, other in permutations(layer, 2) if len(layer) <= _NEIGHBOURS else ():
            own, upstream = float(net.gradient[node]), float(net.gradient[other])
            if claim.reached[node] and not isclose(upstream, own):
                names = {"name": partial(net.called, other), "own": partial(net.called, node)}
                told = net.say("upstream of", **names, number=f"{upstream:.6g}", right=f"{own:.6g}")
                yield Mistake(told, seeds={node: upstream})
    singles = [each for each in net.factors if not each.row and each.number != 1.0]
    for alike in _grouped(singles, lambda f: (net.levels[f.user], f.symbol)):
        for factor, other in permutations(alike, 2) if len(alike) <= _NEIGHBOURS else ():
            if claim.reached[factor.operand]:
                wrong, right = (partial(net.told, [each]) for each in (other, factor))
                told = net.say("neighbour", wrong=wrong, right=right)
                yield Mistake(told, {factor.edges[0]: other.number})


# -------------------------------------------------------------------------------------------------- paths
def _ways(claim: Claim) -> Iterator[Sequence[tuple[Told, Sequence[int]]]]:
    """Ways into one place, in words and as edges: one may be forgotten, or be the only one that was taken."""
    net, seen = claim.net, set()
    # The ways on from the same nodes; then from those that are alike in each sample, to what is alike.
    for role in (range(net.count), net.neurons):
        shared: dict[frozenset[int], list[int]] = {}
        for node in np.flatnonzero(claim.reached).tolist():
            live = (net.owner[edge] for edge in net.uses[node] if net.gradient[net.owner[edge]])
            shared.setdefault(frozenset(role[user] for user in live), []).append(node)
        for users, sources in shared.items():
            into: dict[int, list[int]] = {user: [] for user in sorted(users) if len(users) > 1}
            for edge in chain.from_iterable(net.uses[each] for each in sources):
                into.get(role[net.owner[edge]], []).append(edge)
            if (key := tuple(map(tuple, into.values()))) not in seen:
                seen.add(key)
                ends = [sorted({net.owner[edge] for edge in edges}) for edges in into.values()]
                source = partial(net.listed, sources)
                told = [net.say("from through", source=source, user=partial(net.ahead, end)) for end in ends]
                yield [*zip(told, into.values(), strict=True)]
    # The terms of a sum: a gradient may be overwritten where it should be added to.
    for total, edges in net.sums.items():
        ways = []
        for i, edge in enumerate(edges, 1):
            if claim.reached[net.args[edge]]:
                names = {"sum": partial(net.called, total), "term": partial(net.called, net.args[edge])}
                ways.append((net.say("term", i=i, n=len(edges), **names), [edge]))
        if net.gradient[total] and len(ways) > 1:
            yield ways
    # The uses of the parameters, one after the other: the samples of a batch.
    uses = [net.uses[node] for node in claim.nodes]
    n = max(map(len, uses), default=0)
    if n > 1 and {*map(len, uses)} == {n}:
        yield [(net.say("use", i=i + 1, n=n), [each[i] for each in uses]) for i in range(n)]


def _nodes(claim: Claim) -> Iterator[Mistake]:
    """A pass that begins below the loss, a constant that is none, a gradient that is only the last one."""
    net = claim.net
    live = np.flatnonzero(claim.reached & (net.gradient != 0.0))[:-1].tolist()
    kinds = [each.__getitem__ for each in (net.arrays, net.neurons, net.layers)]
    overwritten = []
    for nodes in _grouped(live, lambda node: (node,), *kinds):
        edges = [net.uses[node] for node in nodes]
        if nodes[0] not in net.leaves:
            told = net.say("upstreams", names=partial(net.listed, nodes))
            if len(nodes) == 1:
                fields = {"name": partial(net.called, nodes[0]), "by": partial(net.by, nodes[0], claim.name)}
                told = net.say("upstream", number=f"{net.gradient[nodes[0]]:.6g}", **fields)
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
        for entry in net.sums.get(total) or net.entries(total) if len(users) > 1 else ():
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
    arrays = [frozenset(where.ravel().tolist()) for where in net.parameters.values() if where.ndim]
    before = frozenset[int]().union(*places[: together.index(claim)])
    sets = [each - own for each in (*places, before, *arrays, net.leaves)]
    sets += [frozenset[int]().union(*places), net.leaves]
    there = {edge for node in np.flatnonzero(claim.reached) for edge in net.uses[node]}
    small = net.count * len(own) <= _ANEW and own <= net.leaves and len(own) == claim.where.size
    for moved in dict.fromkeys(each & net.leaves for each in sets):
        beside = {net.partner[edge]: node for node in moved for edge in net.uses[node] if edge in net.partner}
        used = {edge: node for edge, node in beside.items() if edge in there}
        if used:
            yield partial(_used_later, claim, used)
        if moved and small:
            yield partial(_anew, claim, moved)


def _used_later(claim: Claim, edges: Mapping[int, int], rate: float) -> Mistake:
    """The backward pass with the updated numbers of the nodes that stand beside these edges."""
    new, told = _moved(claim.net, "early", {*edges.values()}, rate)
    return Mistake(told, {edge: new[node] for edge, node in edges.items()})


def _anew(claim: Claim, moved: Iterable[int], rate: float) -> Mistake:
    """Both passes with updated numbers, by the complex step; nan where they are undefined there."""
    net, gives = claim.net, np.full(claim.where.shape, np.nan)
    new, told = _moved(net, "early and again", moved, rate)
    given: dict[int, Any] = {node: number + 0j for node, number in new.items()}
    for node, step in zip(claim.nodes, np.eye(claim.where.size), strict=True):
        given[node] = new.get(node, net.data[node]) + _STEP * 1j * step
    with suppress(ArithmeticError, ValueError):
        gives = forward(net.graph, given)[-1].imag.reshape(claim.where.shape) / _STEP
    return Mistake(told, gives=gives)


def _moved(net: Structure, how: str, moved: Iterable[int], rate: float) -> tuple[dict[int, float], Told]:
    """The numbers of the parameters that had been updated, and how that is said."""
    new = {node: float(net.data[node] - rate * net.gradient[node]) for node in sorted(moved)}
    numbers = [
        net.say("moved", name=partial(net.called, node), new=f"{new[node]:.6g}", old=f"{net.data[node]:.6g}")
        for node in [*new][:4]
    ]
    return new, net.say(how, names=partial(net.listed, [*new]), rate=f"{rate:.6g}", numbers=numbers)
