"""Candidates: a mistake in words, and the gradient that comes out when it is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np

from microbp.answers.arrays import Floats, Places, digest
from microbp.answers.case import Case, Edge
from microbp.answers.claims import Claim
from microbp.sweeps import backward


class Candidate(NamedTuple):
    """A mistake, and the gradient that it gives."""

    text: str
    gives: Floats


@dataclass(frozen=True)
class Change:
    """A backward pass with a mistake in it."""

    text: str
    #: Local derivatives in place of the recorded ones.
    locals: Mapping[Edge, float] = field(default_factory=dict)
    #: Where the pass begins, with which upstream gradients; nothing for the loss with 1.
    starts: Mapping[int, float] = field(default_factory=dict)


#: So many nodes times changes are computed, at most, in one search.
_WORK = 100_000_000


def made(claim: Claim, changes: Iterable[Change]) -> Iterator[Candidate]:
    """What changed passes give where it is not the true gradient; of those that give the same, the first."""
    tried = list(islice(changes, max(1, _WORK // len(claim.case.nodes))))
    passes = zip(tried, gradients(claim.case, tried, claim.where), strict=True)
    yield from distinct(claim, (Candidate(c.text, gives) for c, gives in passes if np.isfinite(gives).all()))


def distinct(claim: Claim, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Those that do not give the true gradient; of those that give the same, the first."""
    known = {digest(claim.true)}
    for candidate in candidates:
        if digest(candidate.gives) not in known:
            known.add(digest(candidate.gives))
            yield candidate


def gradients(case: Case, changes: Sequence[Change], where: Places) -> Iterator[Floats]:
    """What each changed backward pass gives at ``where``."""
    together = max(1, 5_000_000 // len(case.graph.args))
    for start in range(0, len(changes), together):
        upstream = _passes(case, changes[start : start + together])
        yield from np.moveaxis(np.where(where[..., None] < 0, 0.0, upstream[where]), -1, 0)


def _passes(case: Case, changes: Sequence[Change]) -> Floats:
    """Reverse mode with a column for each change."""
    graph, many = case.graph, len(changes)
    local = np.repeat(graph.local[:, None], many, axis=1)
    seeds: dict[int, Floats] = {}
    for column, change in enumerate(changes):
        for (position, place), number in change.locals.items():
            local[graph.first[position] + place, column] = number
        for position, start in (change.starts or {len(graph) - 1: 1.0}).items():
            seeds.setdefault(position, np.zeros(many))[column] = start
    return backward(graph, seeds, local)
