"""The search: the simplest mistakes that reproduce a claim.

A mistake with one local derivative is linear in it: two sweeps, the gradients at the uses and how fast the
operands move with the parameters, score all of these at once, as one number that a weighted sum of the claim
must be. Those with several are columns of one backward pass. What has the right score is computed in full,
and only what reproduces all of the claim is put into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, combinations, compress
from typing import Any

import numpy as np

from microbp.answers import mistakes as table
from microbp.answers.claims import Claim, fits_onto
from microbp.answers.mistakes import ALONE, ITSELF, SIMPLE, Mistake
from microbp.answers.words import Told, places_of
from microbp.sweeps import Flags, Floats, backward, tangent

#: How many explanations of one claim are given, at most.
_TOLD = 3
#: What part of the numbers as short as the claim the mistakes tried may give: from the one on, what is found
#: may be an accident; from the other on, it means nothing. Of mistakes so many times as common, so much more.
_DOUBTFUL, _IDLE, _COMMON = 0.005, 0.03, 5.0
#: So many local derivatives are held at once, and so many are used in the passes of one kind of mistake; so
#: many of those that score like the claim are computed in full; so many pairs of mistakes are tried.
_AT_ONCE, _PASSED, _COMPUTED, _PAIRS = 2_500_000, 10_000_000, 100, 1500

#: Nothing is done to a gradient besides.
_NONE = Mistake(str)

#: Mistakes in words, each with the gradient that it gives.
Causes = list[tuple[Told, Floats]]


@np.errstate(all="ignore")  # a mistake may overflow: then it does not reproduce the claim
def explained(claim: Claim, together: Sequence[Claim]) -> tuple[Causes, str, dict[str, Any]]:
    """The simplest mistakes that reproduce one of the claims made together; the sentence, and its fields."""
    if claim.agrees is not None and not (claim.where[claim.wrong] >= 0).any():
        return [], "independent", {}
    if not (np.isfinite(claim.claimed[claim.answered]).all() and np.isfinite(claim.true).all()):
        return [], "not finite", {}
    if not claim.claimed[claim.wrong].any():  # which any small number would be rounded to
        return [], "zero", {}
    search, given = _Search(claim), table.rated(claim) if claim.rate else ()
    # A factor that is the given rate is that, whatever else has this number; and these mistakes are common.
    whole = search.met(chain(given, table.whole(claim)), expected=False)[:_TOLD]
    met = search.accidents(search.known) if claim.read["rounded"][claim.wrong].any() else 0.0
    further = ((found[:1], search.accidents(search.scored), 1.0) for found in search.further(together))
    for found, accidents, common in chain([(whole, met, _COMMON)] if whole else [], further):
        if accidents > common * _IDLE:  # then nothing found would mean anything
            return [], "idle", {}
        if found and accidents >= common * _DOUBTFUL:
            return found, "doubtful", {"one": 1.0 / accidents}
        if found:
            return found, "found", {}
    found = search.met(table.proportional(claim), expected=False)
    return found, "found" if found else "none", {"n": len(search.scored)}


class _Search:
    """A claim as a score, what was tried for it, and how many numbers as short as it that gives."""

    def __init__(self, claim: Claim) -> None:
        self.claim, self.net, self.near = claim, claim.net, claim.near(1e-9)
        shape, true = claim.true.shape, claim.true
        wrong, near, claimed = (
            np.broadcast_to(each, shape) if claim.fits else np.zeros(shape)
            for each in (claim.wrong, self.near, claim.claimed)
        )
        #: Numbers without any pattern where it is wrong, so that no two arrays have one score by symmetry.
        self.weights = np.where(wrong, 1.0 + np.sin(1.0 + np.arange(true.size)).reshape(shape) / 3.0, 0.0)
        self.score, self.true = (float(np.nansum(self.weights * each)) for each in (claimed, true))
        self.width = float((self.weights * near).sum())
        rounding = float((self.weights * 10.0 * claim.rounding).sum()) + 1e-12 * abs(self.score)
        self.reach = self.width + rounding
        #: The parameters themselves, scored.
        self.own = float((self.weights * np.where(claim.where < 0, 0.0, self.net.data[claim.where])).sum())
        #: How many units of its last digit, or of what cannot be told apart, a score of 1 is.
        unit = np.maximum(claim.read["half"] / abs(claim.scale), self.near)[claim.wrong]
        self.scale = np.max(abs(claim.claimed[claim.wrong]) / (2.0 * unit), initial=0.0) / abs(self.score)
        #: What was tried alone, with its scores; the scores of all that might fit by accident.
        self.mistakes, self.known, self.scored = list[Mistake](), np.zeros(0), np.zeros(0)
        moving = np.zeros(self.net.count)
        np.add.at(moving, claim.where[claim.where >= 0], self.weights[claim.where >= 0])
        #: How fast each node moves if the parameters move by their weights.
        self.speed = tangent(self.net.graph, {n: float(moving[n]) for n in np.flatnonzero(moving).tolist()})

    def further(self, together: Sequence[Claim]) -> Iterator[Causes]:
        """What reproduces the claim among mistakes of the pass, from the simplest on."""
        claim = self.claim
        made = [*table.instead(claim, together), *table.chain_rule(claim), *table.neighbours(claim)]
        yield self.met(each for each in made if each.rank == SIMPLE)
        yield self.met(() if claim.rate else table.rated(claim))
        yield self.met(each for each in made if each.rank > SIMPLE)
        yield self.met(table.orientation(claim))
        yield self.besides(table.scaled(claim))
        yield self.met(table.early(claim, together))
        # A rate that nobody gave, besides another mistake, would be invented; and the simplest that is said
        # of a multiple of the truth is that it is one.
        multiple = claim.true.size > 1 >= claim.ratios
        yield self.besides(table.rated(claim) if claim.rate and not multiple else (), constants=True)
        yield self.met(self.pairs())

    # -------------------------------------------------------------------------------------- scores
    def scores(self, mistakes: Sequence[Mistake]) -> Floats:
        """The weighted sum of what each mistake gives; nan where that has another shape."""
        net, scores, passes = self.net, np.full(len(mistakes), np.inf), []
        for i, (_, edits, seeds, gives, *_) in enumerate(mistakes):
            if gives is not None:
                same = self.claim.fits and gives.shape == self.weights.shape
                scores[i] = (self.weights * gives).sum() if same else np.nan
            elif seeds:
                scores[i] = sum(seed * self.speed[node] for node, seed in seeds.items())
            elif len(edits) == 1:
                [(edge, number)] = edits.items()
                upstream, moves = net.gradient[net.owner[edge]], self.speed[net.args[edge]]
                scores[i] = self.true + upstream * (number - net.local[edge]) * moves
            else:
                passes.append(i)
        # Passes take their time: in a large graph those with the most changes, of whole layers and all steps.
        passes = sorted(passes, key=lambda i: -len(mistakes[i].edits))[: _PASSED // max(1, len(net.args))]
        together = max(1, _AT_ONCE // max(1, len(net.args)))
        for some in (passes[i : i + together] for i in range(0, len(passes), together)):
            gradients = self.gradients([mistakes[i] for i in some]).reshape(len(some), -1)
            scores[some] = np.nan_to_num(gradients @ self.weights.ravel(), nan=np.inf)
        changes = np.array([(each.own, each.factor) for each in mistakes]).reshape(-1, 2)
        return np.asarray(changes[:, 0] * self.own + changes[:, 1] * scores)

    def gradients(self, mistakes: Sequence[Mistake]) -> Floats:
        """The gradients at the parameters, [k, ...], by a backward pass with each of these k mistakes."""
        net, where = self.net, self.claim.where
        local = np.repeat(net.local[:, None], len(mistakes), axis=1)
        seeds: dict[int, Floats] = {}
        for column, mistake in enumerate(mistakes):
            local[list(mistake.edits), column] = list(mistake.edits.values())
            for node, seed in (mistake.seeds or {net.count - 1: 1.0}).items():
                seeds.setdefault(node, np.zeros(len(mistakes)))[column] = seed
        found = backward(net.graph, seeds, local)[where] if mistakes else np.zeros((*where.shape, 0))
        return np.moveaxis(np.where(where[..., None] < 0, 0.0, found), -1, 0)

    @property
    def constant(self) -> Flags:
        """Which of those made alone only give a simple fraction of the truth, 1 or another one."""
        parts = (self.known / (self.true or 1.0))[:, None] * np.arange(1, 13)
        return np.asarray((abs(parts - np.round(parts)) < 1e-9).any(axis=1))

    def accidents(self, scores: Floats) -> float:
        """What part of the numbers as short as the claim these meet, or of those as close to the truth.

        An array whose elements are not in one ratio to the truth would have to be met in each of these.
        """
        numbers = scores * self.scale
        near = np.maximum(1e-6 * abs(numbers), self.width * self.scale)
        whole = np.round(numbers[abs(numbers - np.round(numbers)) <= near])
        part, each = 0.0, min(3, max(1, self.claim.ratios))
        for start in (0.0, np.round(self.true * self.scale)):
            far = abs(np.round(self.score * self.scale) - start)
            size = 10.0 ** np.floor(np.log10(max(1.0, far)) + 1e-9)
            met = np.unique(abs(whole - start))
            part = max(part, np.count_nonzero((size <= met) & (met < 10.0 * size)) / (9.0 * size) ** each)
        return float(part)

    # ------------------------------------------------------------------------------------- matches
    def met(self, mistakes: Iterable[Mistake], *, expected: bool = True) -> Causes:
        """The mistakes that reproduce the claim, with what they give."""
        made = [each for each in mistakes if self.claim.fits or each.gives is not None]
        scores = self.scores(made)
        self.mistakes += made
        self.known = np.append(self.known, scores)
        if expected:
            self.scored = np.append(self.scored, scores)
        return self.reproduced(made, scores)

    def besides(self, changes: Iterable[Mistake], *, constants: bool = False) -> Causes:
        """Each of what was tried with a wrong sign, a factor, in an updated parameter."""
        which = np.array([each.rank < ALONE for each in self.mistakes])
        # Two constants are a constant.
        which &= ~self.constant | [constants and each.gives is not None for each in self.mistakes]
        mistakes, known, found = [*compress(self.mistakes, which)], self.known[which], Causes()
        for change in (each for each in changes if each.besides):
            scores = change.own * self.own + change.factor * known
            self.scored = np.append(self.scored, scores)
            found += self.reproduced(mistakes, scores, change)
        return found

    def reproduced(self, mistakes: Sequence[Mistake], scores: Floats, change: Mistake = _NONE) -> Causes:
        """What gives the claim, changed like this; then what does so only where it is wrong."""
        claim, everywhere, partly = self.claim, Causes(), Causes()
        near = np.flatnonzero(~(abs(scores - self.score) > self.reach))[:_COMPUTED]
        hits = [mistakes[i] for i in near] if len(near) and self.accidents(self.scored) <= _IDLE else []
        gradients = iter(self.gradients([each for each in hits if each.gives is None]))
        for each in hits:
            made = next(gradients) if each.gives is None else each.gives
            if (each.gives is None and not made.any()) or not fits_onto(claim.claimed.shape, made.shape):
                continue  # what drops every path is no mistake that anybody makes
            for factor, own in ((each.factor, each.own), (change.factor, change.own)):
                made = factor * made + (own * self.net.data[claim.where] if own else 0.0)
            told = partial(change.besides, mistake=each.told) if change.besides else each.told
            match = (abs(made - claim.claimed) <= self.near) | ~claim.answered
            if match.all():
                everywhere.append((told, made))
            elif claim.source.shape == made.shape == claim.true.shape and match[claim.wrong].all():
                only = self.net.say("only at", places=places_of(claim.wrong), mistake=told)
                partly.append((only, np.where(claim.wrong, made, claim.true)))
        return everywhere + partly

    def pairs(self) -> Iterator[Mistake]:
        """Two mistakes at once, of those that change this gradient; in large graphs those of whole layers."""
        ratios = np.round(self.known / (self.true or 1.0), 9)
        paired = [each.rank < ITSELF for each in self.mistakes]
        several = np.isfinite(ratios) & ~self.constant & paired
        _, first = np.unique(ratios[several], return_index=True)
        chosen = sorted(np.flatnonzero(several)[first], key=lambda i: -len(self.mistakes[i].edits))
        most = min(_PAIRS, _AT_ONCE // max(1, len(self.net.args)))
        for one, other in combinations(sorted(chosen[: int((2 * most) ** 0.5) + 1]), 2):
            a, b = self.mistakes[one], self.mistakes[other]
            if not a.edits.keys() & b.edits.keys():
                told = self.net.say("both", first=a.told, second=b.told)
                yield Mistake(told, {**a.edits, **b.edits})
