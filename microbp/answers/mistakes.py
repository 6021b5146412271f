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
from microbp.answers.words import Said, said, several
from microbp.compiled import compiled
from microbp.expr import Expression, parse
from microbp.rules import RULES, Rule
from microbp.sweeps import forward

#: Above so many factors, or uses, they are tried only in groups, not each alone.
_MANY = 1500
#: The largest layer within which neighbours are tried for each other.
_NEIGHBOURS = 8
#: So many ways in one place are taken one by one, at most.
_FEW = 300
#: So many numbers are computed anew for a search, at most; and the step by which they are differentiated.
_ANEW, _STEP = 50_000, 1e-30
#: What is done to a factor so often that it is done together with another mistake.
_PAIRED = ("missing", "twice", "value", "partner", "value again", "at the output")


class Mistake(NamedTuple):
    """What a person does wrong, and how that is said."""

    told: Said
    #: Local derivatives in place of the recorded ones, by edge.
    edits: Mapping[int, float] = {}
    #: Where the pass begins, with which upstream gradients; nothing for the loss with 1.
    seeds: Mapping[int, float] = {}
    #: The gradient that it gives, where that is made of the true one and not by a pass.
    gives: Floats | None = None
    #: Whether it is made together with another one; and whether with nothing else at all.
    pairs: bool = False
    alone: bool = False


def chain_rule(claim: Claim) -> Iterator[Mistake]:
    """A mistake with a factor or with a path, the simplest first."""
    factors = [each for each in claim.net.factors if claim.reached[each.operand]]
    yield from _other_outputs(claim)
    yield from _later_steps(claim)
    for ways in _ways(claim):
        for i, (told, edges) in enumerate(ways):
            yield _dropped(said("path", path=told), edges)
            if 2 < len(ways) <= _FEW:
                others = chain.from_iterable(edges for _, edges in (*ways[:i], *ways[i + 1 :]))
                yield _dropped(said("only path", path=told), others)
    yield from _changed(claim.net, [each for each in factors if each.row and each.function])
    yield from _changed(claim.net, [each for each in factors if not each.row])
    yield from _biases(claim)
    yield from _nodes(claim)
    yield from _changed(claim.net, [each for each in factors if each.row and not each.function])


def _dropped(told: Said, edges: Iterable[int]) -> Mistake:
    return Mistake(told, dict.fromkeys(edges, 0.0), pairs=True)


def _grouped(members: Iterable[Any], *kinds: Callable[[Any], Hashable]) -> Iterator[list[Any]]:
    """The members that are of one kind, for each of several kinds; each group once."""
    members, seen = [*members], set()
    for kind in kinds:
        groups: dict[Hashable, list[Any]] = {}
        for each in members:
            groups.setdefault(kind(each), []).append(each)
        for key, group in groups.items():
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
    for group in _grouped(factors, *([lambda f: f] if len(factors) <= _MANY else []), *kinds):
        told, more = partial(net.told, group), ", several" * (len(group) > 1)
        for kind in instead[group[0]]:
            numbers = [instead[each].get(kind, np.nan) for each in group]
            edits = {
                edge: float(net.local[edge]) * number / each.number if each.row else number
                for each, number in zip(group, numbers, strict=True)
                for edge in each.edges
            }
            way = said(f"{kind.sentence}{more}", factor=told)
            if kind.sentence not in ("missing", "twice"):
                way = said("stands", right=told, wrong=kind, numbers=partial(several, numbers))
            if not np.isnan(numbers).any():
                yield Mistake(way, edits, pairs=kind.sentence in _PAIRED)


def _instead(net: Structure, factor: Factor) -> Iterator[tuple[Said, float]]:
    """What may by mistake stand in place of a factor, by what it is: 1, its square, another derivative."""
    edge, y, rule = factor.edges[0], float(net.data[factor.user]), factor.function
    ways: dict[Said, Callable[[], float]] = {}
    if edge in net.partner and not factor.row:
        ways[said("partner")] = lambda: float(net.numbers[edge])
    if rule is not None or factor.row:
        ways[said("value")] = lambda: y
    if rule is not None and net.fresh:
        edges = net.edges[factor.user]
        numbers = [float(net.data[factor.operand])] if factor.row else net.numbers[edges].tolist()
        place = 0 if factor.row else edge - edges[0]
        made, argument, at_output = compiled(rule), numbers[place], [*numbers]
        at_output[place] = y
        derivative, scope = made.derivatives[place], {**dict(zip(rule.args, numbers, strict=True)), "y": y}
        ways[said("at the output")] = lambda: derivative(*at_output, made.value(*at_output))
        ways[said("by the argument")] = lambda: derivative(*numbers, argument)
        ways[said("value again")] = lambda: made.value(*at_output)
        for text, part in _parts(rule, place):
            ways[said("part", part=text)] = partial(part.evaluate, scope)
        for name in (each for each in ("sigmoid", "tanh") if each != rule.name):
            value, (slope,) = compiled(RULES[name])
            with suppress(ArithmeticError, ValueError):
                ways[said("itself told", told=f"{name}′")] = partial(slope, argument, value(argument))
            ways[said("other by output", prime=f"{name}′")] = partial(slope, argument, y)
    known = {0.0, 1.0, factor.number}
    yield said("missing"), 1.0
    yield said("twice"), factor.number**2
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


def _biases(claim: Claim) -> Iterator[Mistake]:
    """A bias treated as a weight: its 1 replaced by the layer's input or output."""
    net = claim.net
    found: dict[tuple[str, int], dict[int, float]] = {}
    own = [node for node in claim.nodes if node in net.leaves]
    for edge in (edge for node in own for edge in net.uses[node] if net.local[edge] == 1.0):
        user = net.owner[edge]
        beside = chain(net.edges[user], *(net.edges[each] for each in net.operands(user)))
        inputs = [net.partner[each] for each in beside if each in net.partner]
        for place, each in enumerate(each for each in inputs if net.args[each] not in net.leaves):
            found.setdefault(("input", place), {})[edge] = float(net.numbers[each])
        for after in net.uses[user]:
            found.setdefault(("output", 0), {})[edge] = float(net.data[net.owner[after]])
    for (kind, _), edits in found.items():
        edge = min(edits)
        right = f"{net.by(net.owner[edge], net.called(net.args[edge]))} = 1"
        yield Mistake(said("stands", right=right, wrong=said(kind), numbers=several(edits.values())), edits)


# -------------------------------------------------------------------------------------------------- paths
def _ways(claim: Claim) -> Iterator[Sequence[tuple[Said, Sequence[int]]]]:
    """Ways into one place, in words and as edges: one may be forgotten, or be the only one that was taken."""
    net = claim.net
    # The ways on from the same nodes, in one sample and in all.
    shared: dict[frozenset[int], list[int]] = {}
    for node in np.flatnonzero(claim.reached).tolist():
        users = frozenset(net.owner[edge] for edge in net.uses[node] if net.gradient[net.owner[edge]])
        shared.setdefault(users, []).append(node)
    alike: dict[frozenset[int], dict[int, list[int]]] = {}
    for users, sources in shared.items():
        into: dict[int, list[int]] = {user: [] for user in sorted(users) if len(users) > 1}
        for edge in chain.from_iterable(net.uses[each] for each in sources):
            into.get(net.owner[edge], []).append(edge)
        listed = partial(net.listed, sources)
        yield [
            (said("from through", source=listed, user=partial(net.ahead, [user])), edges)
            for user, edges in into.items()
        ]
        roles = {net.neurons[user]: edges for user, edges in into.items()}
        for role, edges in roles.items() if len(roles) == len(into) else ():
            alike.setdefault(frozenset(roles), {}).setdefault(role, []).extend(edges)
    for merged in alike.values():
        yield [
            (said("through", user=partial(net.listed, [net.owner[edge] for edge in edges])), edges)
            for edges in merged.values()
        ]
    # The terms of a sum: a gradient may be overwritten where it should be added to.
    for total, edges in net.sums.items():
        ways = []
        for i, edge in enumerate(edges, 1):
            if claim.reached[net.args[edge]]:
                names = {"sum": partial(net.called, total), "term": partial(net.called, net.args[edge])}
                ways.append((said("term", i=i, n=len(edges), **names), [edge]))
        if net.gradient[total] and len(ways) > 1:
            yield ways
    # The uses of the parameters, one after the other: the samples of a batch.
    uses = [net.uses[node] for node in claim.nodes]
    n = max(map(len, uses), default=0)
    if n > 1 and {*map(len, uses)} == {n}:
        yield [(said("use", i=i + 1, n=n), [each[i] for each in uses]) for i in range(n)]


def _nodes(claim: Claim) -> Iterator[Mistake]:
    """A pass that begins below the loss, a constant that is none, a gradient that is only the last one."""
    net = claim.net
    live = np.flatnonzero(claim.reached & (net.gradient != 0.0))[:-1].tolist()
    kinds = [each.__getitem__ for each in (net.arrays, net.neurons, net.layers)]
    overwritten = []
    for nodes in _grouped(live, lambda node: (node,), *kinds):
        edges = [net.uses[node] for node in nodes]
        number = float(net.gradient[nodes[0]])
        if nodes[0] not in net.leaves:
            told = said("upstreams", names=partial(net.listed, nodes))
            if len(nodes) == 1:
                by = partial(net.by, nodes[0], claim.name)
                told = said("upstream", name=partial(net.called, nodes[0]), number=f"{number:.6g}", by=by)
            yield Mistake(told, {}, dict.fromkeys(nodes, 1.0))
            yield _dropped(said("constant", what=partial(net.ahead, nodes)), chain(*edges))
        if any(len(each) > 1 for each in edges):
            told = said("overwritten", what=partial(net.listed, nodes))
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
        yield _dropped(said("next step", what=what), edges)


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
        yield Mistake(said("others", what=partial(net.ahead, outputs)), edits, pairs=True)


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
                told = said("upstream of", **names, number=f"{upstream:.6g}", right=f"{own:.6g}")
                yield Mistake(told, {}, {node: upstream})
    singles = [each for each in net.factors if not each.row]
    for alike in _grouped(singles, lambda f: (net.levels[f.user], f.symbol)):
        for factor, other in permutations(alike, 2) if len(alike) <= _NEIGHBOURS else ():
            if claim.reached[factor.operand]:
                told = said("neighbour", wrong=partial(net.told, [other]), right=partial(net.told, [factor]))
                yield Mistake(told, {factor.edges[0]: other.number})


# ---------------------------------------------------------------------------------------------- too early
def early(claim: Claim) -> Iterator[tuple[list[int], bool]]:
    """Parameters that may have been updated too early: another's, those claimed before, all.

    And whether the forward pass was made anew after that, in a graph where that is soon done.
    """
    net, own = claim.net, frozenset(claim.nodes)
    places = [frozenset(each.nodes) for each in claim.together]
    arrays = [frozenset(where.ravel().tolist()) for where in net.parameters.values() if where.ndim]
    some = [*places, frozenset[int]().union(*places[: claim.together.index(claim)]), *arrays, net.leaves]
    sets = [*(each - own for each in some), frozenset[int]().union(*places), net.leaves]
    small = net.count * len(own) <= _ANEW and own <= net.leaves and len(own) == claim.where.size
    for moved in dict.fromkeys(each & net.leaves for each in sets):
        yield sorted(moved), False
        if small:
            yield sorted(moved), True


def updated(claim: Claim, moved: Sequence[int], again: bool, rate: float) -> Mistake | None:
    """The pass where these had been updated; None where that is undefined or changes nothing."""
    net = claim.net
    new = {node: float(net.data[node] - rate * net.gradient[node]) for node in moved}
    edits: dict[int, float] = {}
    gives = None
    if again:
        given: dict[int, Any] = {node: number + 0j for node, number in new.items()}
        for node, step in zip(claim.nodes, np.eye(claim.where.size), strict=True):
            given[node] = new.get(node, net.data[node]) + _STEP * 1j * step
        with suppress(ArithmeticError, ValueError):
            gives = forward(net.graph, given)[-1].imag.reshape(claim.where.shape) / _STEP
    else:
        beside = {net.partner[edge]: node for node in moved for edge in net.uses[node] if edge in net.partner}
        there = {edge for node in np.flatnonzero(claim.reached) for edge in net.uses[node]}
        edits = {edge: new[node] for edge, node in beside.items() if edge in there}
        moved = sorted({beside[edge] for edge in edits})
    numbers = [
        said("moved", name=net.called(node), new=f"{new[node]:.6g}", old=f"{net.data[node]:.6g}")
        for node in moved[:4]
    ]
    fields = {"names": partial(net.listed, moved), "rate": f"{rate:.6g}", "numbers": numbers}
    told = said("early and again" if again else "early", **fields)
    return Mistake(told, edits, gives=gives) if edits or gives is not None else None
