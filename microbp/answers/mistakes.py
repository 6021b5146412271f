"""The table of mistakes: each is a change of some local derivatives, or of where the backward pass begins.

A factor of the chain rule is missing, used twice, or another one stands in its place; a path, a term, a use
is forgotten; a pass begins below the loss; a neighbour's factor is taken; weights were updated too early.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain, permutations
from math import isclose
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim
from microbp.answers.structure import Factor, Floats, Structure
from microbp.answers.words import Told
from microbp.compiled import compiled
from microbp.expr import Expression, parse
from microbp.rules import RULES, Rule
from microbp.sweeps import forward

#: Above so many factors, or uses, they are tried only in groups, not each alone; and so many ways in one
#: place are taken one by one, at most.
_MANY, _FEW = 1500, 300
#: The largest layer within which neighbours are tried for each other.
_NEIGHBOURS = 8
#: So many numbers are computed anew for a search, at most; and the step by which they are differentiated.
_ANEW, _STEP = 50_000, 1e-30
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
    #: How common it is: SIMPLE, also made together with ANOTHER, made by ITSELF, or ALONE: not even with a
    #: wrong sign or a factor besides.
    rank: int = 2


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
            if key != "" and tuple(group) not in seen:
                seen.add(tuple(group))
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
    instead = {each: dict(_instead(net, each)) for each in factors}
    for group in _grouped(factors, lambda f: f, *kinds):
        told = partial(net.told, group)
        for kind in instead[group[0]]:
            numbers = [instead[each].get(kind, np.nan) for each in group]
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
