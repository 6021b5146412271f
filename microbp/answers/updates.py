"""The hypothesis that weights were updated too early."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from itertools import chain, product

import numpy as np

from microbp.answers.arrays import fits_onto
from microbp.answers.candidates import Candidate, Change, gradients, made
from microbp.answers.case import MANY, Edge
from microbp.answers.claims import Claim


def updated_first(claim: Claim) -> Iterator[Candidate]:
    """Parameters already updated when this gradient was taken, in the backward pass or in a new one."""
    case = claim.case
    if not case.fresh or (len(claim.edges) > MANY and case.learning_rate is None):
        return
    changes = []
    known: set[frozenset[tuple[Edge, float]]] = set()
    for moved, again in product(_updated_sets(claim), (False, True)):
        probe = _updated(claim, moved, 1e-3, again)
        if probe is None or frozenset(probe.locals.items()) in known:
            continue
        known.add(frozenset(probe.locals.items()))
        for rate in (*case.rates, *_solved(claim, moved, again)):
            change = _updated(claim, moved, rate, again)
            changes += [] if change is None else [change]
    yield from made(claim, changes)


def _updated_sets(claim: Claim) -> Iterator[frozenset[int]]:
    """Parameters that may have been updated before: each other, those claimed before, all others, all."""
    case = claim.case
    places = [frozenset(map(int, each.where.flat)) for each in claim.together]
    own = frozenset(map(int, claim.where.flat))
    before = frozenset(chain.from_iterable(places[: claim.together.index(claim)]))
    leaves = frozenset(case.leaves)
    claimed = frozenset(chain.from_iterable(places))
    others = [each & leaves - own for each in (*places, before, claimed, leaves)]
    yield from filter(None, dict.fromkeys([*others, claimed & leaves, leaves]))


def _updated(claim: Claim, moved: Collection[int], rate: float, again: bool) -> Change | None:
    """The pass with some parameters updated: with the activations of before, or with those of a new one."""
    case = claim.case
    new = {each: case.nodes[each].data - rate * float(case.gradient[each]) for each in moved}
    try:
        data = case.forward(new) if again else [new.get(node.position, node.data) for node in case.nodes]
        changed = {edge: d for edge, d in case.locals_at(data).items() if edge in claim.edge_set}
    except (ArithmeticError, ValueError):
        return None
    told = sorted(new if again else new.keys() & set(chain.from_iterable(map(case.behind, changed))))
    numbers = ", ".join(
        f"{case.called(each)} = {new[each]:.6g} in place of {case.nodes[each].data:.6g}" for each in told[:3]
    )
    when = "a new forward and backward pass" if again else "being used in the backward pass"
    text = f"{case.listed(told)} had been updated with η = {rate:.6g} before {when}: {numbers}"
    return Change(text + ", …" * (len(told) > 3), changed)


def _solved(claim: Claim, moved: Collection[int], again: bool) -> list[float]:
    """The learning rate at which the number that is furthest off comes out as claimed, by secants.

    None for a single number: it would always come out.
    """
    fits = fits_onto(claim.claimed.shape, claim.true.shape)
    if claim.case.learning_rate is not None or not fits or np.unique(claim.true).size < 2:
        return []
    off = abs(claim.claimed - claim.true)
    at = np.unravel_index(int(np.argmax(off)), off.shape)
    target = float(np.broadcast_to(claim.claimed, off.shape)[at])

    def error(rate: float) -> float:
        change = _updated(claim, moved, rate, again)
        if change is None:
            return math.nan
        return float(next(gradients(claim.case, [change], claim.where))[at]) - target

    low, high, below, above = 0.0, 0.1, float(claim.true[at]) - target, error(0.1)
    for _ in range(12):
        if above == below or not math.isfinite(above):
            return []
        low, high, below = high, high - above * (high - low) / (above - below), above
        if abs(high - low) <= 1e-14 * abs(high):
            break
        above = error(high)
    return [high] if 0.0 < high < 100.0 else []
