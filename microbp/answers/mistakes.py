"""The table of mistakes: each is a change of some local derivatives, or of where the backward pass begins.

A factor of the chain rule is missing, used twice, or another one stands in its place; a path, a term, a use
is forgotten; a pass begins below the loss; a neighbour's factor is taken; weights were updated too early.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain, product
from math import isclose, isnan
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim
from microbp.answers.structure import Factor, Structure, bracketed
from microbp.answers.words import Among, Said, said, several
from microbp.compiled import Compiled, compiled
from microbp.expr import Expression, parse
from microbp.rules import RULES, Rule
from microbp.sweeps import forward

#: Learning rates that people use, for a search where none was given.
CUSTOMARY = (1.0, 0.5, 0.3, 0.25, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4)
#: Above so many factors, or uses, they are tried only in groups, not each alone.
_MANY = 1500
#: The largest layer within which neighbours are tried for each other.
_NEIGHBOURS = 8
#: How many operations ahead a name is looked for.
_LONGEST = 8
#: So many ways in one place are taken one by one, at most.
_FEW = 300
#: What stands in place of a derivative so often that it is made together with another mistake.
_PLAIN = ("value", "partner", "value again", "at the output")


class Mistake(NamedTuple):
    """A backward pass with a mistake in it."""

    told: Said
    #: Local derivatives in place of the recorded ones, by edge.
    edits: Mapping[int, float]
    #: Where the pass begins, with which upstream gradients; nothing for the loss with 1.
    seeds: Mapping[int, float] = {}
    #: Whether it is made together with another one.
    pairs: bool = True


def chain_rule(net: Structure) -> Iterator[Mistake]:
    """A mistake with a factor or with a path, the simplest first."""
    singles = [each for each in net.factors if not each.row]
    written = [each for each in net.factors if each.row and each.function]
    rows = [each for each in net.factors if each.row and not each.function]
    yield from _forgotten_outputs(net)
    yield from _forgotten_steps(net)
    yield from _forgotten_paths(net)
    yield from _forgotten_terms(net)
    yield from _forgotten_uses(net)
    yield from _changed(net, written)
    yield from _changed(net, singles)
    yield from _biases(net)
    yield from _no_upstream(net)
    yield from _constants(net)
    yield from _changed(net, rows)
    yield from _overwritten(net)


# ------------------------------------------------------------------------------------------------ factors
def _changed(net: Structure, factors: Sequence[Factor]) -> Iterator[Mistake]:
    """A factor that is missing, used twice, or taken of the wrong thing."""
    instead = {each: dict(_instead(net, each)) for each in factors}
    for group in _together(net, factors):
        told = Among(net.told_together, [(each.operand, each) for each in group])
        squares = [each.number**2 for each in group]
        yield Mistake(said("missing", factor=told), _becoming(net, group, [1.0] * len(group)))
        yield Mistake(said("twice", factor=told), _becoming(net, group, squares))
        for kind in instead[group[0]]:
            if all(kind in instead[each] for each in group):
                numbers = [instead[each][kind] for each in group]
                written = Among(several, [(f.operand, x) for f, x in zip(group, numbers, strict=True)])
                stands = said("stands", right=told, wrong=kind, numbers=written)
                yield Mistake(stands, _becoming(net, group, numbers), pairs=kind.sentence in _PLAIN)


def _among(net: Structure, nodes: Sequence[int]) -> Among:
    return Among(net.listed, [(each, each) for each in nodes])


def _becoming(net: Structure, group: Sequence[Factor], numbers: Sequence[float]) -> dict[int, float]:
    edits: dict[int, float] = {}
    for each, number in zip(group, numbers, strict=True):
        edits |= each.becoming(number, net.local)
    return edits


def _together(net: Structure, factors: Sequence[Factor]) -> Iterator[list[Factor]]:
    """Factors that a person gets wrong together: one; a neuron's, a layer's, an array's; all alike."""

    def alike(f: Factor) -> Hashable:
        return f.function or net.arguments[f.edges[0]]

    kinds: list[Callable[[Factor], Hashable]] = [
        lambda f: (net.neurons[f.user], f.edges[0] - net.first[f.user], alike(f)),
        lambda f: (net.layers[f.user], alike(f)),
        lambda f: (net.levels[f.user], alike(f)),
        lambda f: (net.arrays[f.operand] or net.arrays[f.user] or None, alike(f)),
        alike,
    ]
    if len(factors) <= _MANY:
        kinds.insert(0, lambda f: f)
    seen: set[tuple[Factor, ...]] = set()
    for kind in kinds:
        for group in _by(kind, factors).values():
            if tuple(group) not in seen:
                seen.add(tuple(group))
                yield group


def _by(kind: Callable[[Any], Hashable], members: Iterable[Any]) -> dict[Hashable, list[Any]]:
    groups: dict[Hashable, list[Any]] = {}
    for each in members:
        groups.setdefault(kind(each), []).append(each)
    return groups


def _instead(net: Structure, factor: Factor) -> Iterator[tuple[Said, float]]:
    """What may by mistake stand in place of a factor, by what it is."""
    known = {0.0, 1.0, factor.number}
    rule, y = factor.function, float(net.data[factor.user])
    ways: dict[Said, Callable[[], float]] = {}
    if factor.partner >= 0 and net.args[factor.edges[0]] >= 0:
        ways[said("partner")] = lambda: float(net.numbers[factor.edges[0]])
    if rule is not None or factor.row:
        ways[said("value")] = lambda: y
    if rule is not None and net.fresh:
        if factor.row:
            numbers, place = [float(net.data[factor.operand])], 0
        else:
            start = net.first[factor.user]
            numbers = [float(net.numbers[e]) for e in range(start, net.first[factor.user + 1])]
            place = factor.edges[0] - start
        ways |= _other_derivatives(rule, place, numbers, y)
    for kind, compute in ways.items():
        with suppress(ArithmeticError, ValueError):
            number = compute()
            if number not in known:
                known.add(number)
                yield kind, number


def _other_derivatives(
    rule: Rule, place: int, operands: Sequence[float], y: float
) -> dict[Said, Callable[[], float]]:
    """A derivative taken at the wrong number, of the wrong function, or half of its formula."""
    made, argument = compiled(rule), operands[place]
    derivative = made.derivatives[place]
    at_output = [*operands[:place], y, *operands[place + 1 :]]
    scope = {**dict(zip(rule.args, operands, strict=True)), "y": y}
    ways: dict[Said, Callable[[], float]] = {
        said("at the output"): lambda: derivative(*at_output, made.value(*at_output)),
        said("by the argument"): lambda: derivative(*operands, argument),
        said("value again"): lambda: made.value(*at_output),
    }
    for text, part in _parts(rule, place):
        ways[said("part", part=text)] = partial(_evaluated, part, scope)
    for other in ("sigmoid", "tanh"):
        if other != rule.name:
            function, prime = compiled(RULES[other]), f"{other}′"
            ways[said("other", prime=prime)] = partial(_slope, function, argument)
            ways[said("other by output", prime=prime)] = partial(function.derivatives[0], argument, y)
    return ways


def _evaluated(part: Expression, scope: Mapping[str, float]) -> float:
    number: float = part.evaluate(dict(scope))
    return number


def _slope(function: Compiled, argument: float) -> float:
    number: float = function.derivatives[0](argument, function.value(argument))
    return number


@cache
def _parts(rule: Rule, place: int) -> list[tuple[str, Expression]]:
    """The factors of a derivative that is a product; of its first branch, where there are several."""
    tree = ast.parse(str(rule.shown[place]), mode="eval").body
    while isinstance(tree, ast.IfExp):
        tree = tree.body
    parts: list[ast.expr] = []
    while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        parts.append(tree.right)
        tree = tree.left
    texts = [ast.unparse(each) for each in [*parts, tree]] if parts else []
    return [(text, parse(text, (*rule.args, "y"), rule.name)) for text in texts]


def _biases(net: Structure) -> Iterator[Mistake]:
    """A bias treated as a weight: its 1 replaced by the layer's input or output."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    leaves = set(net.leaves)
    for edge in np.flatnonzero(net.passing & (net.local == 1.0)).tolist():
        user, bias = net.owner[edge], net.args[edge]
        if net.rules[bias] is not None:
            continue
        inputs = [
            float(net.numbers[other])
            for each in range(net.first[user], net.first[user + 1])
            if each != edge
            for other in (net.partner[each], *(net.partner[e] for e in _operand_edges(net, each)))
            if other >= 0 and net.args[other] not in leaves
        ]
        for place, number in enumerate(inputs):
            found.setdefault(("input", place), {})[edge] = number
        for after in net.uses[user]:
            found.setdefault(("output", 0), {})[edge] = float(net.data[net.owner[after]])
    for (kind, _), edits in found.items():
        alone = ([e] for e in edits) if len(edits) * len(found) <= _MANY else ()
        for group in (*_by(lambda e: net.layers[net.owner[e]], edits).values(), *alone):
            right = partial(_symbol, net, group[0])
            numbers = Among(several, [(net.args[e], edits[e]) for e in group])
            told = said("stands", right=right, wrong=said(kind), numbers=numbers)
            yield Mistake(told, {e: edits[e] for e in group})


def _symbol(net: Structure, edge: int) -> str:
    user, bias = (net.called(int(each)) for each in (net.owner[edge], net.args[edge]))
    return f"∂{bracketed(user)}/∂{bracketed(bias)} = 1"


def _operand_edges(net: Structure, edge: int) -> range:
    operand = net.args[edge]
    return range(net.first[operand], net.first[operand + 1]) if operand >= 0 else range(0)


# -------------------------------------------------------------------------------------------------- paths
def _forgotten_paths(net: Structure) -> Iterator[Mistake]:
    """One of several paths left out, or only one of them taken; in one sample or in all."""
    shared: dict[frozenset[int], list[int]] = {}
    for position, uses in enumerate(net.uses):
        users = frozenset(net.owner[e] for e in uses if net.gradient[net.owner[e]])
        if len(users) > 1:
            shared.setdefault(users, []).append(position)
    alike: dict[frozenset[int], dict[int, list[int]]] = {}
    for users, sources in shared.items():
        into: dict[int, list[int]] = {user: [] for user in sorted(users)}
        for edge in chain.from_iterable(net.uses[each] for each in sources):
            if net.owner[edge] in into:
                into[net.owner[edge]].append(edge)

        source = _among(net, sources)
        yield from _all_or_one([
            (said("from through", source=source, user=partial(_way, net, user)), edges)
            for user, edges in into.items()
        ])  # fmt: skip
        roles = [net.neurons[user] for user in into]
        if len({*roles}) == len(roles):
            merged = alike.setdefault(frozenset(roles), {})
            for user, edges in into.items():
                merged.setdefault(net.neurons[user], []).extend(edges)
    for merged in alike.values():
        yield from _all_or_one([
            (said("through", user=_among(net, [net.owner[edge] for edge in edges])), edges)
            for edges in merged.values()
        ])  # fmt: skip


def _way(net: Structure, user: int) -> str:
    return net.called(_named_ahead(net, user))


def _named_ahead(net: Structure, position: int) -> int:
    """The first value with a name on the way from a node to where paths meet; else the node itself."""
    there = position
    for _ in range(_LONGEST):
        if net.named[there] or len(net.uses[there]) != 1:
            break
        there = int(net.owner[net.uses[there][0]])
    return there if net.named[there] else position


def _forgotten_terms(net: Structure) -> Iterator[Mistake]:
    """One term of a sum left out, or only one taken: a gradient overwritten where it should be added to."""
    for position, entries in net.sums.items():
        edges = [edge for edge in entries if net.passing[edge]]
        if net.gradient[position] and len(edges) > 1:
            total, n = partial(net.called, position), len(edges)
            yield from _all_or_one([
                (said("term", i=i, n=n, sum=total, term=partial(net.called, net.args[edge])), [edge])
                for i, edge in enumerate(edges, 1)
            ])  # fmt: skip


def _forgotten_uses(net: Structure) -> Iterator[Mistake]:
    """One of several uses of each parameter of an array left out, or only one taken: a sample of a batch."""
    for nodes in _arrays(net):
        uses = [net.uses[each] for each in nodes]
        counts = {*map(len, uses)}
        n = max(counts)
        if len(counts) == 1 and n > 1 and all(net.rules[each] is None for each in nodes):
            yield from _all_or_one([
                (said("use", i=i + 1, n=n), [each[i] for each in uses]) for i in range(n)
            ])  # fmt: skip


def _overwritten(net: Structure) -> Iterator[Mistake]:
    """The gradients of an array of which windows overlap, or uses follow each other: = in place of +=."""
    for nodes in _arrays(net):
        uses = [net.uses[each] for each in nodes if net.uses[each]]
        for which, kept in (("last", -1), ("first", 0)) if max(map(len, uses), default=0) > 1 else ():
            dropped = [edge for each in uses for edge in each if edge != each[kept]]
            told = said("overwritten", which=said(which), what=_among(net, nodes))
            yield Mistake(told, dict.fromkeys(dropped, 0.0))


def _arrays(net: Structure) -> Iterable[list[int]]:
    """Nodes that belong together: the parameters of an array, the elements of another one, all of a layer."""
    groups = [where.ravel().tolist() for where in net.parameters.values()]
    groups += _by(net.layers.__getitem__, np.flatnonzero(net.gradient).tolist()).values()
    groups += [nodes for name, nodes in _by(net.arrays.__getitem__, range(net.count)).items() if name]
    return {tuple(nodes): nodes for nodes in groups}.values()


def _forgotten_steps(net: Structure) -> Iterator[Mistake]:
    """Back-propagation through time cut off: what a step passes on to the next one is not passed back."""
    inner = [node for node, rule in enumerate(net.rules) if rule and net.gradient[node]]
    step: dict[int, int] = {}  # counted from the last one: what is passed on to the first one may be constant
    for nodes in _by(net.neurons.__getitem__, inner).values():
        depths = sorted({net.depth[each] for each in nodes})
        if len(depths) > 1:
            number = {depth: index - len(depths) for index, depth in enumerate(depths)}
            step |= {each: number[net.depth[each]] for each in nodes}
    onward = [
        edge
        for node in step
        for edge in net.uses[node]
        if step.get(net.owner[edge]) == step[node] + 1
        and net.neurons[net.owner[edge]] != net.neurons[node]  # as a sum that goes on is
        and not net.scales_loss(node)
    ]
    through = list(_by(lambda edge: net.layers[net.args[edge]], onward).values())
    for edges in [*through, onward] if len(through) > 1 else through:
        told = said("next step", what=_among(net, [net.args[edge] for edge in edges]))
        yield Mistake(told, dict.fromkeys(edges, 0.0))


def _forgotten_outputs(net: Structure) -> Iterator[Mistake]:
    """Of outputs that share a sum, like those of softmax, only the diagonal of the derivative taken."""
    edits: dict[int, float] = {}
    outputs: list[int] = []
    for total, rule in enumerate(net.rules):
        if rule is None or rule.name not in ("add", "sum", "logsumexp"):
            continue
        terms = net.sums.get(total) or [e for e in net.edges(total) if net.passing[e]]
        users = {net.owner[edge]: edge for edge in net.uses[total]}
        for entry in terms if len(users) > 1 and net.gradient[total] else ():
            same = net.same[net.args[entry]]
            own = [edge for user, edge in users.items() if same in {net.same[n] for n in net.operands(user)}]
            if len(own) == 1:
                direct = net.gradient[net.owner[own[0]]] * net.local[own[0]]
                edits[entry] = float(net.local[entry] * direct / net.gradient[total])
                outputs.append(_named_ahead(net, net.owner[own[0]]))
    if edits:
        yield Mistake(said("others", what=_among(net, outputs)), edits)


def _constants(net: Structure) -> Iterator[Mistake]:
    """Something computed, like a mean or a variance, taken as a constant."""
    inner = [node for node, rule in enumerate(net.rules[:-1]) if rule and net.gradient[node]]
    kinds: list[Sequence[Hashable]] = [net.arrays, net.neurons, net.layers]
    kinds.append(list(zip(net.levels, net.rules, strict=True)))
    groups = [nodes for kind in kinds for key, nodes in _by(kind.__getitem__, inner).items() if key != ""]
    for nodes in {tuple(nodes): nodes for nodes in groups}.values():
        edges = chain.from_iterable(net.uses[each] for each in nodes)
        what = _among(net, [_named_ahead(net, each) for each in nodes])
        yield Mistake(said("constant", what=what), dict.fromkeys(edges, 0.0))


def _all_or_one(ways: Sequence[tuple[Said, Sequence[int]]]) -> Iterator[Mistake]:
    """Each way left out; each taken alone."""
    for i, (told, edges) in enumerate(ways):
        yield Mistake(said("path", path=told), dict.fromkeys(edges, 0.0))
        if 2 < len(ways) <= _FEW:
            others = chain.from_iterable(edges for _, edges in (*ways[:i], *ways[i + 1 :]))
            yield Mistake(said("only path", path=told), dict.fromkeys(others, 0.0))


def _no_upstream(net: Structure) -> Iterator[Mistake]:
    """A pass that begins below the loss: only the lower part of the chain rule."""
    inner = [n for n, rule in enumerate(net.rules[:-1]) if rule and net.gradient[n] not in (0.0, 1.0)]
    for node in inner:
        name, number = partial(net.called, node), f"{net.gradient[node]:.6g}"
        told = said("upstream", name=name, number=number, one=partial(net.bracketed, node))
        yield Mistake(told, {}, {node: 1.0}, pairs=False)
    kinds: list[Sequence[Hashable]] = [net.neurons, list(zip(net.levels, net.rules, strict=True))]
    for nodes in (nodes for kind in kinds for nodes in _by(kind.__getitem__, inner).values()):
        if len(nodes) > 1:
            told = said("upstreams", names=_among(net, nodes))
            yield Mistake(told, {}, dict.fromkeys(nodes, 1.0), pairs=False)


def wrong_index(net: Structure) -> Iterator[Mistake]:
    """A neighbour's factor, σ′(net_o2) for σ′(net_o1), w6 for w7; or its upstream gradient."""
    if len(net.args) > _MANY:
        return
    singles = {each.edges[0]: each for each in net.factors if not each.row}
    edges = np.flatnonzero(net.passing).tolist()
    alike = _by(lambda e: (net.levels[net.owner[e]], net.arguments[e]), edges)
    layers = _by(lambda n: (net.levels[n], net.rules[n]), range(net.count))
    for edge in edges:
        neighbours = alike[net.levels[net.owner[edge]], net.arguments[edge]]
        for other in neighbours if len(neighbours) <= _NEIGHBOURS and edge in singles else ():
            if other in singles and other != edge:
                wrong, right = (partial(net.told, singles[each]) for each in (other, edge))
                told = said("neighbour", wrong=wrong, right=right)
                yield Mistake(told, {edge: float(net.local[other])}, pairs=False)
        node = net.owner[edge]
        same = layers[net.levels[node], net.rules[node]]
        for position in same if len(same) <= _NEIGHBOURS else ():
            upstream, own = float(net.gradient[position]), float(net.gradient[node])
            if not isclose(upstream, own):
                name, mine = partial(net.called, position), partial(net.called, node)
                fields = {"number": f"{upstream:.6g}", "right": f"{own:.6g}"}
                told = said("upstream of", name=name, own=mine, **fields)
                yield Mistake(told, {}, {node: upstream}, pairs=False)


# ---------------------------------------------------------------------------------------------- too early
class Early(NamedTuple):
    """Parameters that were updated before the backward pass, or before a new forward and backward pass."""

    moved: frozenset[int]
    again: bool

    def at(self, claim: Claim, rate: float) -> Mistake | None:
        """The pass where they had been updated at this rate; None where it is undefined."""
        net = claim.net
        new = {each: float(net.data[each] - rate * net.gradient[each]) for each in self.moved}
        try:
            if self.again:
                local = net.local_at(forward(net.graph, new).tolist())
                changed = dict(enumerate(np.where(local == net.local, np.nan, local).tolist()))
            else:
                pairs = [(net.partner[e], e) for parameter in new for e in net.uses[parameter]]
                changed = {partner: new[net.args[e]] for partner, e in pairs if partner >= 0}
        except (ArithmeticError, ValueError):
            return None
        there = net.passing & claim.reached[np.maximum(net.graph.args, 0)]
        edits = {edge: x for edge, x in changed.items() if there[edge] and not isnan(x)}
        used = new if self.again else {net.args[net.partner[edge]] for edge in edits}
        told = said(
            "early and again" if self.again else "early",
            names=partial(net.listed, sorted(used)),
            rate=f"{rate:.6g}",
            numbers=[
                said("moved", name=partial(net.called, n), new=f"{new[n]:.6g}", old=f"{net.data[n]:.6g}")
                for n in sorted(used)[:4]
            ],
        )
        return Mistake(told, edits)


def early(claim: Claim) -> Iterator[Early]:
    """Parameters that may have been updated before: each other, those claimed before, all others, all."""
    net = claim.net
    places = [frozenset(map(int, each.where.flat)) - {-1} for each in claim.together]
    own = frozenset(map(int, claim.where.flat))
    before = frozenset(chain.from_iterable(places[: claim.together.index(claim)]))
    leaves, claimed = frozenset(net.leaves), frozenset(chain.from_iterable(places))
    arrays = [frozenset(where.ravel().tolist()) for where in net.parameters.values() if where.ndim]
    others = [each & leaves - own for each in (*places, before, claimed, *arrays, leaves)]
    sets = filter(None, dict.fromkeys([*others, claimed & leaves, leaves]))
    yield from (Early(moved, again) for moved, again in product(sets, (False, True)))
