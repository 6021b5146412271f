"""The search: the simplest mistakes that reproduce a claim.

Each is a change of some local derivatives, and linear as far as none of the changes lies above another: then
two sweeps, the gradients at the uses and how fast the operands move with the parameters, score all of them
at once, as one number that a weighted sum of the claim must be. The others are columns of one backward pass.
What has the right score is computed in full, and only what reproduces all of the claim is put into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, combinations, compress, product
from typing import Any, NamedTuple

import numpy as np

from microbp.answers.claims import Claim, fits_onto
from microbp.answers.matrices import digest, orientation
from microbp.answers.mistakes import CUSTOMARY, Mistake, chain_rule, early, wrong_index
from microbp.answers.structure import Flags, Floats, Places, Structure
from microbp.answers.words import Said, places_of, said, shape_of, shown
from microbp.sweeps import backward, tangent

#: How many explanations of one claim are given, at most.
_TOLD = 3
#: From so many accidental matches expected in a search on, what is found may be one; from so many, it
#: is not begun.
_DOUBTFUL, _IDLE = 0.005, 0.1
#: So many local derivatives, and so many gradients, are held at once.
_LOCALS, _GRADIENTS = 2_500_000, 6_000_000
#: So many pairs of mistakes are tried, at most.
_PAIRS = 1500
#: The largest graph that is computed anew for each learning rate that people use.
_SMALL = 60
#: With so many uses learning rates are looked for, where none was given.
_RATED = 3000
#: Denominators of simple fractions.
_WHOLE = np.arange(1, 13)


class Candidate(NamedTuple):
    """A mistake, and the gradient that it gives."""

    told: Said
    gives: Floats


class Found(NamedTuple):
    """What came of a search."""

    causes: list[Candidate]
    #: How many mistakes were tried.
    tried: int
    #: ``found``, ``doubtful``, ``none``, ``idle`` or ``not finite``.
    how: str
    #: How many accidental matches were to be expected.
    accidents: float = 0.0


class Bank:
    """Mistakes of a graph, to be scored all at once."""

    def __init__(self, net: Structure, mistakes: Iterable[Mistake]) -> None:
        self.net = net
        every = [*mistakes]
        which, edge, new = _columns([each.edits for each in every])
        count = np.bincount(which, minlength=len(every))
        depth = np.array(net.depth)[np.array(net.owner)[edge]]
        above = depth != depth[np.repeat(np.cumsum(count) - count, count)]
        linear = np.bincount(which, above, len(every)) == 0
        # Passes take their time: in a large graph those with the most changes, of whole layers and all steps.
        room = min(_GRADIENTS // net.count, 2 * _LOCALS // len(net.args))
        sizes = np.sort(count[~linear])[::-1]
        kept = linear | (count > (sizes[room] if len(sizes) > room else 0))
        self.mistakes = [*compress(every, kept)]
        self.linear = linear[kept]
        self.seeded = np.array([bool(each.seeds) for each in self.mistakes], dtype=bool)
        here = linear[which]
        self.which, self.edge = (np.cumsum(kept) - 1)[which[here]], edge[here]
        self.change = (new[here] - net.local[self.edge]) * net.gradient[np.array(net.owner)[self.edge]]
        self.beginning, self.begin, self.seed = _columns([each.seeds for each in self.mistakes])
        self.others = self.passes(np.flatnonzero(~self.linear).tolist())

    def passes(self, which: Sequence[int]) -> Floats:
        """The gradients [N, k] of all nodes, by a backward pass with each of these mistakes."""
        net, together = self.net, max(1, _LOCALS // max(1, len(self.net.args)))
        blocks = [np.zeros((net.count, 0))]
        for start in range(0, len(which), together):
            block = [self.mistakes[i] for i in which[start : start + together]]
            local = np.repeat(net.local[:, None], len(block), axis=1)
            seeds: dict[int, Floats] = {}
            for column, mistake in enumerate(block):
                local[list(mistake.edits), column] = list(mistake.edits.values())
                for node, seed in (mistake.seeds or {net.count - 1: 1.0}).items():
                    seeds.setdefault(node, np.zeros(len(block)))[column] = seed
            blocks.append(backward(net.graph, seeds, local))
        return np.concatenate(blocks, axis=1)

    def scores(self, one: _Claimed) -> Floats:
        """The weighted sum of the gradients at the claim's parameters that each mistake gives."""
        scores = np.where(self.seeded, 0.0, one.true)
        np.add.at(scores, self.which, self.change * one.speed[self.net.graph.args[self.edge]])
        np.add.at(scores, self.beginning, self.seed * one.speed[self.begin])
        scores[~self.linear] = one.moving @ self.others
        return scores

    def candidates(self, which: Sequence[int], claim: Claim) -> Iterator[Candidate]:
        """What these mistakes give; of those that give the same the first; none that gives the truth or 0."""
        known = {digest(claim.true), digest(np.zeros(claim.true.shape))}
        gradients = self.passes(which)
        for column, i in enumerate(which):
            gives = np.where(claim.where < 0, 0.0, gradients[claim.where, column])
            if np.isfinite(gives).all() and digest(gives) not in known:
                known.add(digest(gives))
                yield Candidate(self.mistakes[i].told, gives)


def _columns(tables: Sequence[Mapping[int, float]]) -> tuple[Places, Places, Floats]:
    """Of several tables in a row: which table each entry is of, its key and its number."""
    which = np.repeat(np.arange(len(tables)), [*map(len, tables)])
    keys = np.fromiter(chain.from_iterable(tables), int, len(which))
    return which, keys, np.fromiter(chain.from_iterable(each.values() for each in tables), float, len(which))


class Change(NamedTuple):
    """What was done to a gradient besides: offset + factor · gradient."""

    told: Said
    factor: float
    offset: Floats | float = 0.0

    def of(self, candidate: Candidate) -> Candidate:
        """Of a wrong gradient."""
        fields = (("mistake", candidate.told), *self.told.fields)
        return Candidate(Said(self.told.sentence, fields), self.offset + self.factor * candidate.gives)


_NOTHING = Change(said("nothing"), 1.0)


class Search:
    """The tables of one graph, and the search for the mistake in each claim about it."""

    def __init__(self, net: Structure) -> None:
        self.net = net
        self._banks: dict[str, Bank] = {}

    def bank(self, name: str) -> Bank:
        """The mistakes of a kind; made when they are asked for."""
        if name not in self._banks:
            made = {"chain": chain_rule, "index": wrong_index}[name]
            self._banks[name] = Bank(self.net, made(self.net))
        return self._banks[name]

    @np.errstate(all="ignore")  # a mistake may overflow: then it does not reproduce the claim
    def __call__(self, claim: Claim) -> Found:
        """The simplest mistakes that reproduce a claim."""
        if not (np.isfinite(claim.claimed[claim.answered]).all() and np.isfinite(claim.true).all()):
            return Found([], 0, "not finite")
        one = _Claimed(claim)
        whole = [*_whole(claim)]
        for tier in (self._simple, self._further, self._combined):
            found = one.reproduced(whole) if not one.tried else []
            found = found or tier(one, whole)
            if one.idle:
                return Found([], one.tried, "idle")
            if found:
                doubtful = one.accidents >= _DOUBTFUL and not one.simplest
                return Found(found[:_TOLD], one.tried, "doubtful" if doubtful else "found", one.accidents)
        return Found(one.reproduced([*_one_factor(claim)]) or self._solved(one), one.tried, "none")

    def _simple(self, one: _Claimed, whole: list[Candidate]) -> list[Candidate]:
        """A rate, another's gradient, a line that stands in place of all, one mistake with the chain rule."""
        one.simplest = False
        more = [*_with_a_rate(one.claim), *_of_another(one.claim), *_lines(one.claim)]
        one.expect(np.array([one.scored(each.gives) for each in more]))
        whole += more
        return one.reproduced(more) + one.met(self.bank("chain"))

    def _further(self, one: _Claimed, whole: list[Candidate]) -> list[Candidate]:
        """A wrong index, weights that were updated too early, matrices the wrong way round."""
        matrices = [*_distinct(one.claim, (Candidate(*each) for each in orientation(one.claim)))]
        one.expect(np.array([one.scored(each.gives) for each in matrices]))
        whole += matrices
        found = one.met(self.bank("index"))
        if (self.net.learning_rate is not None or len(self.net.args) <= _RATED) and self.net.fresh:
            found = found or one.met(Bank(self.net, _updated(one.claim)))
        return found + one.reproduced(matrices)[:1]

    def _combined(self, one: _Claimed, whole: list[Candidate]) -> list[Candidate]:
        """Each of these with a wrong sign, a factor, in an updated parameter; or two mistakes at once."""
        changes = [*_changes(one.claim)]
        scores = [one.scored(each.gives) for each in whole]
        combined = [
            (change, each, one.changed(score, change))
            for change in changes
            for each, score in zip(whole, scores, strict=True)
            if each.told.sentence not in (_RATES if np.ndim(change.offset) else _OWN)
            and np.shape(change.offset) in ((), each.gives.shape)
        ]
        one.expect(np.array([score for _, _, score in combined]))
        found = one.reproduced(change.of(each) for change, each, score in combined if not one.far(score))
        for name in ("chain", "index"):
            found = found or one.met(self.bank(name), changes)
        return found or (one.met(self._pairs(one)) if one.fits else [])

    def _pairs(self, one: _Claimed) -> Bank:
        """Two mistakes at once, of those that change this gradient; in large graphs those of whole layers."""
        bank = self.bank("chain")
        scores, true = bank.scores(one), one.true
        known: dict[float, int] = {}
        constant = one.constant(scores)
        for i, score in enumerate(np.round(scores / (abs(true) or 1.0), 9).tolist()):
            if np.isfinite(score) and bank.mistakes[i].pairs and not constant[i]:
                known.setdefault(score, i)
        chosen = sorted(known.values(), key=lambda i: -len(bank.mistakes[i].edits))
        most = min(_PAIRS, _LOCALS // len(self.net.args))
        chosen = sorted(chosen[: int((2 * most) ** 0.5) + 1])
        pairs = combinations(map(bank.mistakes.__getitem__, chosen), 2)
        both = (
            Mistake(said("both", first=a.told, second=b.told), {**a.edits, **b.edits})
            for a, b in pairs
            if not a.edits.keys() & b.edits.keys()
        )
        return Bank(self.net, both)

    def _solved(self, one: _Claimed) -> list[Candidate]:
        """Weights updated too early at a rate that nobody uses, as the claim's numbers themselves tell it.

        One number tells the rate, so that a claim of one number, or one that is a multiple of the truth,
        would always have one: there must be others for it to be tested by.
        """
        net = self.net
        if net.learning_rate is not None or len(net.args) > _RATED or not net.fresh or one.claim.ratios < 3:
            return []
        found = []
        for moved in early(one.claim):
            if moved.again:
                continue
            rates, scores = [0.0, 0.1], [one.true]
            for _ in range(10 if net.count <= 5 * _SMALL else 3):  # 3 do where it is linear in the rate
                mistake = moved.at(one.claim, rates[-1])
                if mistake is None or not mistake.edits:
                    break
                scores.append(float(Bank(self.net, [mistake]).scores(one)[0]))
                if scores[-1] == scores[-2] or not np.isfinite(scores[-1]):
                    break
                step = (one.score - scores[-1]) * (rates[-1] - rates[-2]) / (scores[-1] - scores[-2])
                rates.append(rates[-1] + step)
                if abs(step) <= 1e-14 * abs(rates[-1]):
                    break
            mistake = moved.at(one.claim, rates[-1]) if 0.0 < rates[-1] < 100.0 else None
            if mistake is not None:
                found += one.reproduced([*Bank(self.net, [mistake]).candidates([0], one.claim)])
        return found[:1]


class _Claimed:
    """A claim as a score, what was tried for it, and how many accidental matches that may have given."""

    def __init__(self, claim: Claim) -> None:
        self.claim, self.near = claim, claim.near(1e-9)
        self.tried, self.accidents, self.simplest = 0, 0.0, True
        self.fits = fits_onto(claim.claimed.shape, claim.true.shape)
        self.weights, self.score, self.width, self.slack = np.array(np.nan), np.nan, np.nan, np.nan
        if self.fits:
            shape = claim.true.shape
            self.wrong = np.broadcast_to(claim.wrong, shape)
            # Numbers without any pattern, so that no two arrays have one score by their symmetry.
            weights = 1.0 + np.sin(1.0 + np.arange(max(1, claim.true.size))).reshape(shape) / 3.0
            self.weights = np.where(self.wrong, weights, 0.0)
            self.score = float(np.nansum(self.weights * np.broadcast_to(claim.claimed, shape)))
            self.true = float((self.weights * claim.true).sum())
            there = claim.where >= 0
            #: The weights at the nodes of the graph, and how fast those move if the parameters move so.
            self.moving = np.zeros(claim.net.count)
            np.add.at(self.moving, claim.where[there], self.weights[there])
            moved = np.flatnonzero(self.moving).tolist()
            self.speed = tangent(claim.net.graph, {n: float(self.moving[n]) for n in moved})
            self.width = float((self.weights * np.broadcast_to(self.near, shape))[self.wrong].sum())
            self.slack = float((self.weights * 10.0 * claim.rounding).sum()) + 1e-12 * abs(self.score)

    @property
    def idle(self) -> bool:
        """Whether so many accidents are to be expected that nothing found would mean anything."""
        return self.accidents > _IDLE

    def reproduced(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """The candidates that give what is claimed; before those that do so only where it is wrong."""
        claim = self.claim
        everywhere: list[Candidate] = []
        partly: list[Candidate] = []
        for each in candidates:
            if not fits_onto(claim.claimed.shape, each.gives.shape):
                continue
            match = (abs(each.gives - claim.claimed) <= self.near) | ~claim.answered
            if match.all():
                everywhere.append(each)
            elif claim.written.shape == each.gives.shape == claim.true.shape and match[claim.wrong].all():
                told = said("only at", places=partial(places_of, claim.wrong), mistake=each.told)
                partly.append(Candidate(told, np.where(claim.wrong, each.gives, claim.true)))
        return everywhere + partly

    def met(self, bank: Bank, changes: Sequence[Change] = (_NOTHING,)) -> list[Candidate]:
        """The first of the mistakes of a bank, each with each of these changes, that reproduces the claim."""
        if not self.fits or not bank.mistakes or self.idle:
            return []
        scores = bank.scores(self)
        constant = self.constant(scores)
        hits: list[tuple[int, Change]] = []
        for change in changes:
            moved = self.changed(scores, change)
            self.expect(moved)
            close = ~(self.far(moved) | np.isnan(moved))
            if change is not _NOTHING:  # two constants are a constant
                close &= ~constant
            hits += [(int(i), change) for i in np.flatnonzero(close & (scores != self.true))]
        if self.idle:
            return []
        for start in range(0, min(len(hits), 400), 50):
            made = ((change, bank.candidates([i], self.claim)) for i, change in hits[start : start + 50])
            each = (x if change is _NOTHING else change.of(x) for change, several in made for x in several)
            found = self.reproduced(each)
            if found:
                return found[:1]
        return []

    def constant(self, scores: Floats) -> Flags:
        """Which mistakes only make a simple fraction of the truth, 1 or another one."""
        ratio = np.nan_to_num(scores / (self.true or 1.0))
        parts = ratio[:, None] * _WHOLE
        return np.asarray((abs(parts - np.round(parts)) < 1e-9).any(axis=1))

    def scored(self, gives: Floats) -> float:
        """The weighted sum of a gradient; nan of one in another shape."""
        return float((self.weights * gives).sum()) if gives.shape == self.claim.true.shape else np.nan

    def changed(self, scores: Any, change: Change) -> Any:
        """The scores of what has these, changed."""
        return float(np.sum(self.weights * change.offset)) + change.factor * scores

    def far(self, scores: Any) -> Any:
        """Which scores are not that of the claim."""
        return abs(scores - self.score) > self.width + self.slack

    def expect(self, scores: Floats) -> None:
        """Count on accidental matches, from how densely the other scores lie about the claim's.

        An array whose elements are not in one ratio to the truth would have to be met in each of these.
        """
        scores = scores[~np.isnan(scores)]
        self.tried += len(scores)
        if not self.score or not len(scores):
            return
        width = self.width / abs(self.score)
        away = abs(np.log(scores / self.score))  # nan for another sign
        others = [((width < away) & (away < reach)).sum() / reach for reach in (0.5, 0.05, 0.005)]
        self.accidents += float(max(others) * width ** min(3, max(1, self.claim.ratios)))


def _distinct(claim: Claim, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    known = {digest(claim.true)}
    for each in candidates:
        if digest(each.gives) not in known:
            known.add(digest(each.gives))
            yield each


# ------------------------------------------------------------------------------ the gradient as a whole
#: What is said of the gradient itself, and not of a mistake with which it was made.
_RATES = ("rounded", "update", "update unsaid", "rate", "itself", "updated")
_OWN = (*_RATES, "sign", "sign or update", "times")


def _whole(claim: Claim) -> Iterator[Candidate]:
    """A rounding, a sign, a factor, a shape, an order."""
    true = claim.true
    if claim.written.shape == true.shape:
        unit = np.where(claim.rounded, 0.0, 2.0 * claim.half)
        steps = np.round(np.divide(true * claim.scale, unit, out=np.zeros_like(true), where=unit > 0.0))
        if (abs(steps) >= 10).any():
            gives = np.where(abs(steps) >= 10, steps * unit, true * claim.scale) / claim.scale
            yield Candidate(said("rounded", true=partial(shown, true)), gives)
    yield Candidate(said("sign or update" if claim.net.learning_rate is None else "sign"), -true)
    for factor, reason in _factors(claim):
        yield Candidate(said("times", factor=f"{factor:g}", reason=reason), factor * true)
    if true.ndim > 1:
        yield Candidate(said("transposed"), true.T)
    yield from _reshaped(claim)
    yield from _permuted(claim)


def _factors(claim: Claim) -> Iterator[tuple[float, Said]]:
    """Constant factors that a person forgets, and what they may come from."""
    yield 2.0, said("half")
    yield 0.5, said("double")
    net = claim.net
    counts: dict[int, Said] = {}
    for position, terms in net.sums.items():
        if net.scales_loss(position):
            counts.setdefault(len(terms), said("terms", n=len(terms), sum=partial(net.called, position)))
    for place in claim.where[claim.where >= 0].flat:
        n = len(net.uses[int(place)])
        counts.setdefault(n, said("samples", n=n))
    for length in claim.true.shape:
        counts.setdefault(length, said("axis", n=length))
    for n, what in counts.items():
        if n > 1:
            yield 1.0 / n, said("averaged", what=what)
            yield float(n), said("summed", what=what)


def _reshaped(claim: Claim) -> Iterator[Candidate]:
    """The right numbers in another shape, or not yet summed over the samples."""
    claimed, true = claim.claimed, claim.true
    if claimed.shape == true.shape:
        return
    if fits_onto(claimed.shape, true.shape) and claimed.size < true.size:
        yield Candidate(said("broadcast"), true)
    if claimed.size == true.size:
        yield Candidate(said("shape"), true.reshape(claimed.shape))
        if min(true.shape, default=1) > 1:
            yield Candidate(said("shape transposed"), np.asarray(true.T).reshape(claimed.shape))
    for axis, keep, how in product(range(claimed.ndim), (False, True), ("sum", "mean")):
        line = getattr(claimed, how)(axis=axis, keepdims=keep)
        if line.shape == true.shape and (abs(line - true) <= 1e-9 * abs(true) + claim.rounding).all():
            yield Candidate(said("unreduced", axis=axis, how=said(how), n=claimed.shape[axis]), claimed)


def _permuted(claim: Claim) -> Iterator[Candidate]:
    """The lines of the true gradient in another order."""
    claimed, true = claim.claimed, claim.true
    if claimed.shape != true.shape:
        return
    near = claim.near(1e-9)
    for axis, length in enumerate(true.shape):
        lines, own, close = (np.moveaxis(each, axis, 0).reshape(length, -1) for each in (true, claimed, near))
        order: list[int] = []
        for line, off in zip(own, close, strict=True):
            fitting = [i for i in range(length) if i not in order and (abs(lines[i] - line) <= off).all()]
            stays = len(order) if len(order) in fitting else None
            order += [stays] if stays is not None else fitting[:1]
        moved = [i for i, each in enumerate(order) if i != each]
        if len(order) == length > 1 and moved:
            kind = _kind(true, axis)
            fields = {"lines": said(f"{kind}s", axis=axis), "name": claim.name}
            told = said("permuted", order=", ".join(map(str, order)), **fields)
            if len(moved) == 2:
                one, other = (said(kind, i=i, axis=axis) for i in moved)
                told = said("swapped", one=one, other=other, name=claim.name)
            elif order == [*range(length)][::-1]:
                told = said("reversed", **fields)
            yield Candidate(told, np.take(true, order, axis))


def _rates(claim: Claim) -> tuple[float, ...]:
    rate = claim.net.learning_rate
    return CUSTOMARY if rate is None else (rate,)


def _with_a_rate(claim: Claim) -> Iterator[Candidate]:
    """The update, or the updated parameter, in place of the gradient."""
    unsaid = " unsaid" if claim.net.learning_rate is None else ""
    for rate in _rates(claim):
        yield Candidate(said(f"update{unsaid}", rate=rate), -rate * claim.true)
        yield Candidate(said("rate", rate=rate), rate * claim.true)
    if claim.parameter is not None:
        yield Candidate(said("itself"), claim.parameter)
        for rate in _rates(claim):
            yield Candidate(said("updated", rate=rate), claim.parameter - rate * claim.true)


def _of_another(claim: Claim) -> Iterator[Candidate]:
    """The gradient of another parameter."""
    others = {each.name: each for each in claim.together if each.name != claim.name}
    for name, other in others.items():
        if other.true.shape == claim.true.shape:
            fits = fits_onto(other.claimed.shape, claim.true.shape)
            both = fits and bool((abs(other.claimed - claim.true) <= other.near(1e-6)).all())
            fields = {"name": name, "numbers": partial(shown, other.true)}
            told = said("interchanged", this=claim.name, **fields) if both else said("of another", **fields)
            yield Candidate(told, other.true)
    for name, where in claim.net.parameters.items():
        known = name in others or np.array_equal(where, claim.where)
        if where.shape == claim.where.shape and not known:
            gradient = claim.net.gradient[where]
            yield Candidate(said("of another", name=name, numbers=partial(shown, gradient)), gradient)


def _kind(array: Floats, axis: int) -> str:
    """What is counted along an axis."""
    return {1: "element", 2: ("row", "column")[axis % 2]}.get(array.ndim, "slice")


def _lines(claim: Claim) -> Iterator[Candidate]:
    """One line of the true array, or the sum or mean of all, in place of each."""
    true = claim.true
    for axis, length in enumerate(true.shape):
        kind = _kind(true, axis)
        article = said(f"a{'n' * (kind == 'element')} {kind}", axis=axis)
        for i in range(length if length > 1 else 0):
            line = np.take(true, [i], axis)
            told = said("line", line=said(kind, i=i, axis=axis), kind=article, shape=shape_of(line))
            yield Candidate(told, np.broadcast_to(line, true.shape))
        for how in ("sum", "mean") if length > 1 else ():
            line = getattr(true, how)(axis=axis, keepdims=True)
            told = said("lines", how=said(how), kind=article, shape=shape_of(line))
            # Where the lines cancel, as those of softmax do, their sum is nothing that anybody took.
            if (abs(line) > 1e-9 * abs(true).max()).any():
                yield Candidate(told, np.broadcast_to(line, true.shape))


def _changes(claim: Claim) -> Iterator[Change]:
    """What is done to a wrong gradient besides: a sign, a factor, an update by it."""
    yield Change(said("opposite"), -1.0)
    for factor, reason in _factors(claim):
        yield Change(said("and times", factor=f"{factor:g}", reason=reason), factor)
    # Of a multiple of the truth the simplest is that it is one.
    if claim.parameter is not None and (claim.true.size == 1 or claim.ratios > 1):
        for rate in _rates(claim):
            yield Change(said("wrongly updated", rate=rate), -rate, claim.parameter)


def _updated(claim: Claim) -> Iterator[Mistake]:
    """Parameters that were updated too early at a rate that people use."""
    known: set[frozenset[tuple[int, float]]] = set()
    for moved in early(claim):
        if moved.again and claim.net.learning_rate is None and claim.net.count > _SMALL:
            continue
        probe = moved.at(claim, 1e-3)
        if probe is not None and probe.edits and frozenset(probe.edits.items()) not in known:
            known.add(frozenset(probe.edits.items()))
            yield from filter(None, (moved.at(claim, rate) for rate in _rates(claim)))


def _one_factor(claim: Claim) -> Iterator[Candidate]:
    """Some constant factor, which an array shows and a number does not."""
    if claim.claimed.shape == claim.true.shape and np.count_nonzero(claim.true[claim.answered]) > 1:
        size = np.where(claim.answered, abs(claim.true), 0.0)
        at = np.unravel_index(int(np.argmax(size)), size.shape)
        factor = float(claim.claimed[at] / claim.true[at])
        told = said("every", factor=f"{factor:.9g}")
        if factor < 0:
            told = said("every update", factor=f"{factor:.9g}", rate=f"{-factor:.9g}")
        yield Candidate(told, factor * claim.true)
