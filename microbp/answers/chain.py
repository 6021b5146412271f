"""Hypotheses about the chain rule: a wrong factor, a forgotten path, no upstream gradient, a wrong index."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from microbp.answers.candidates import Candidate, Change, made
from microbp.answers.case import LONGEST, MANY, Case, Edge, bracketed
from microbp.answers.claims import Claim
from microbp.answers.factors import Factor, changed_factors, rows_of


def chain_rule(claim: Claim) -> Iterator[Candidate]:
    """A mistake with a factor or with a path."""
    singles = [Factor((edge,)) for edge in claim.edges if abs(claim.case.local(edge)) != 1.0]
    rows = [row for edge in claim.edges for row in rows_of(claim.case, edge)]
    changes = chain(
        _forgotten_paths(claim),
        _forgotten_terms(claim),
        _forgotten_uses(claim),
        changed_factors(claim, singles),
        _no_upstream(claim),
        changed_factors(claim, rows),
    )
    yield from made(claim, changes)


def _forgotten_paths(claim: Claim) -> Iterator[Change]:
    """One of several paths left out, or only one of them taken; in one sample or in all."""
    case = claim.case
    shared: dict[frozenset[int], list[int]] = {}
    for position in np.flatnonzero(claim.reached).tolist():
        users = frozenset(user for user, _ in case.uses[position] if case.gradient[user])
        if len(users) > 1:
            shared.setdefault(users, []).append(position)
    alike: dict[frozenset[int], dict[int, list[Edge]]] = {}
    for users, sources in shared.items():
        into: dict[int, list[Edge]] = {user: [] for user in sorted(users)}
        for edge in chain.from_iterable(case.uses[each] for each in sources):
            if edge[0] in into:
                into[edge[0]].append(edge)
        path = f"the path from {case.listed(sources)} through"
        yield from _all_or_one([(f"{path} {_milestone(case, user)}", into[user]) for user in into])
        roles = frozenset(case.roles[user] for user in users)
        if len(roles) == len(users):
            merged = alike.setdefault(roles, {})
            for user, edges in into.items():
                merged.setdefault(case.roles[user], []).extend(edges)
    for merged in alike.values():
        paths = [(case.listed(user for user, _ in edges), edges) for edges in merged.values()]
        yield from _all_or_one([(f"the path through {name}", edges) for name, edges in paths])


def _milestone(case: Case, position: int) -> str:
    """The first name on the way from a node to where paths meet."""
    there = position
    for _ in range(LONGEST):
        if case.nodes[there].named or len(case.uses[there]) != 1:
            break
        there = case.uses[there][0][0]
    return case.called(there if case.nodes[there].named else position)


def _forgotten_terms(claim: Claim) -> Iterator[Change]:
    """One term of a sum left out, or only one taken: a gradient overwritten where it should be added to."""
    case = claim.case
    for position, entries in case.sums.items():
        reached = [edge for edge in entries if claim.reached[case.operand(edge)]]
        if case.gradient[position] and len(reached) > 1:
            whole = f"{len(reached)} of {case.called(position)}"
            terms = [case.called(case.operand(edge)) for edge in reached]
            ways = [(f"term {i + 1} of {whole}, {term},", [reached[i]]) for i, term in enumerate(terms)]
            yield from _all_or_one(ways)


def _forgotten_uses(claim: Claim) -> Iterator[Change]:
    """One of several uses of each parameter left out, or only one taken: a sample of a batch."""
    uses = [claim.case.uses[each] for each in claim.where[claim.where >= 0].flat]
    if len({len(each) for each in uses}) == 1:
        n = len(uses[0])
        ways = [(f"use {i + 1} of {n} (a sample?)", [each[i] for each in uses]) for i in range(n)]
        yield from _all_or_one(ways) if n > 1 else ()


def _all_or_one(ways: Sequence[tuple[str, Sequence[Edge]]]) -> Iterator[Change]:
    for i, (text, edges) in enumerate(ways):
        yield Change(f"{text} is missing", dict.fromkeys(edges, 0.0))
        if 2 < len(ways) <= MANY // 10:
            others = chain.from_iterable(edges for _, edges in (*ways[:i], *ways[i + 1 :]))
            yield Change(f"only {text} is there: the others are missing", dict.fromkeys(others, 0.0))


def _no_upstream(claim: Claim) -> Iterator[Change]:
    """A pass that begins below the loss: only the lower part of the chain rule."""
    case = claim.case
    layers: dict[Any, list[int]] = {}
    inner = [node for node in case.nodes[:-1] if node.rule is not None and claim.reached[node.position]]
    inner = [node for node in inner if case.gradient[node.position] not in (0.0, 1.0)]
    for node in inner:
        layers.setdefault(case.roles[node.position], []).append(node.position)
        layers.setdefault((case.levels[node.position], node.rule), []).append(node.position)
        if len(inner) <= MANY:
            name, upstream = case.called(node.position), case.gradient[node.position]
            yield Change(
                f"the upstream gradient of {name}, {upstream:.6g}, is missing: it is "
                f"∂{bracketed(name)}/∂{claim.name} alone",
                starts={node.position: 1.0},
            )
    for positions in layers.values():
        if len(positions) > 1:
            text = f"the upstream gradients of {case.listed(positions)} are missing: 1 in place of each"
            yield Change(text, starts=dict.fromkeys(positions, 1.0))


def wrong_index(claim: Claim) -> Iterator[Candidate]:
    """A mistake with an index."""
    if len(claim.edges) <= MANY:
        yield from made(claim, _interchanged(claim))


#: The largest layer within which neighbours are tried for each other.
_NEIGHBOURS = 8


def _interchanged(claim: Claim) -> Iterator[Change]:
    """A neighbour's factor, σ′(net_o2) for σ′(net_o1), w6 for w7; or its upstream gradient."""
    case = claim.case
    alike: dict[Any, list[Edge]] = {}
    for edge in chain.from_iterable(case.uses):
        alike.setdefault((case.levels[edge[0]], case.argument(edge)), []).append(edge)
    layers: dict[Any, list[int]] = {}
    for node in case.nodes:
        layers.setdefault((case.levels[node.position], node.rule), []).append(node.position)
    for edge in claim.edges:
        neighbours = alike[case.levels[edge[0]], case.argument(edge)]
        for other in neighbours if len(neighbours) <= _NEIGHBOURS else ():
            told = f"{Factor((other,)).text(case)} stands in place of {Factor((edge,)).text(case)}"
            yield Change(told, {edge: case.local(other)})
        node = case.nodes[edge[0]]
        same = layers[case.levels[node.position], node.rule]
        for position in same if len(same) <= _NEIGHBOURS else ():
            name, upstream = case.called(position), float(case.gradient[position])
            if math.isclose(upstream, case.gradient[node.position]):
                continue
            own = f"that of {case.called(node.position)}, {case.gradient[node.position]:.6g}"
            text = f"the upstream gradient of {name}, {upstream:.6g}, stands in place of {own}"
            yield Change(text, starts={node.position: upstream})
