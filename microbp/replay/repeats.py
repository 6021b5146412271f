"""Where a pattern of nodes repeats: stretches in which each node is like the one a period before it.

Like means: of the same kind, and with operands that have moved on by as much as they did the time before:
not at all (a weight that all repetitions share), by a period (the result of the repetition before), or by any
other stride (a weight of their own).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.function_graph import Captured
from microbp.sweeps import Integers

__all__ = ["FEWEST", "Records", "Stretch", "records", "repeats"]

#: A stretch with fewer repetitions is not worth a loop.
FEWEST = 4
#: How many nodes are compared at once to guess a period, the longest first: long ones see through patterns
#: that repeat inside of a pattern.
_WINDOWS = (512, 64, 8, 1)
#: How many periods are guessed from windows of one length.
_GUESSES = 5
#: A loop takes about as many lines besides its body.
_LINES = 8


class Stretch(NamedTuple):
    """``times`` repetitions of ``period`` nodes, from the node ``start`` on."""

    start: int
    period: int
    times: int

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.start + self.period * self.times


class Records(NamedTuple):
    """Each node is a kind and a few places: those of its operands, or where a leaf stands among its like."""

    #: Nodes of one kind have the same rule, literals in the same places, and pass gradients on alike.
    kinds: Integers
    #: The places of all nodes, one after the other; 0 for a literal.
    places: Integers
    #: Where those of each node begin, and where the last one's end.
    starts: Integers


def records(captured: Captured, flags: Integers) -> Records:
    """The records of a graph.

    >>> from microbp import Value
    >>> from microbp.replay.dependence import dependence
    >>> from microbp.replay.function_graph import capture
    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> captured = capture(w * x + 1.0, [x], [w])
    >>> found = records(captured, dependence(captured).flags)
    >>> found.places.tolist(), found.starts.tolist()
    ([0, 0, 0, 1, 2, 0], [0, 1, 2, 4, 6])
    """
    record = captured.graph
    size, leaf = len(record.op), record.op < 0
    family, index = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    for number, places in ((1, captured.inputs), (2, captured.params)):
        held = [(at, place) for at, place in enumerate(places) if place is not None]
        if held:
            at, where = np.array(held).T
            family[where], index[where] = number, at
    counts = np.diff(record.first) + leaf
    starts = np.concatenate([[0], np.cumsum(counts)])
    own = np.ones(starts[-1], dtype=bool)
    own[starts[:-1][leaf]] = False
    places_ = np.zeros(starts[-1], dtype=np.int64)
    places_[own], places_[~own] = np.maximum(record.args, 0), index[leaf]
    # A kind is told by a number that mixes the rule, or the family of a leaf, and a code for each operand.
    flag = flags
    code = np.where(record.args < 0, 9, flag[np.maximum(record.args, 0)] + 1).astype(np.uint64)
    within = np.arange(len(record.args)) - np.repeat(record.first[:-1], np.diff(record.first))
    weights = np.random.default_rng(0).integers(1 << 63, size=int(within.max(initial=0)) + 1, dtype=np.uint64)
    mixed = np.concatenate([[np.uint64(0)], np.cumsum(code * weights[within], dtype=np.uint64)])
    kinds = mixed[record.first[1:]] - mixed[record.first[:-1]]
    kinds = kinds * np.uint64(0x9E3779B97F4A7C15) + (record.op * 8 + family + 8).astype(np.uint64)
    kinds += flag.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
    return Records(np.unique(kinds, return_inverse=True)[1].astype(np.int64), places_, starts)


def repeats(records: Records) -> list[Stretch]:
    """Stretches without overlap, in order: of all periods that show, those that shorten the graph most.

    Takes time linear in the number of nodes, apart from a sort.
    """
    size = len(records.kinds)
    free = [(0, size)]
    chosen: list[Stretch] = []
    runs: dict[int, list[tuple[int, int]]] = {}
    for period in _periods(records.kinds):
        runs[period] = _runs(records, period)
        if sum(end - start for start, end in runs[period]) > 0.98 * size:
            break
    while runs:
        offers = {period: _fitting(found, free, period) for period, found in runs.items()}
        runs = {period: runs[period] for period, found in offers.items() if found}
        if not runs:
            break
        best = max(runs, key=lambda period: (sum(map(_gain, offers[period])), -period))
        del runs[best]
        chosen += offers[best]
        free = _without(free, offers[best])
    return sorted(chosen)


def _gain(stretch: Stretch) -> int:
    return stretch.period * (stretch.times - 1) - _LINES


def _periods(kinds: Integers) -> list[int]:
    """Periods that may be worth a look: how far equal windows of kinds lie apart."""
    size = len(kinds)
    hashes: dict[int, npt.NDArray[np.uint64]] = {}
    window, current = 1, kinds.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    factor = 0xD6E8FEB86659FD93
    while window <= max(_WINDOWS) and len(current):
        if window in _WINDOWS:
            hashes[window] = current
        current = current[:-window] * np.uint64(factor) + current[window:]
        factor = factor * factor % (1 << 64)
        current ^= current >> np.uint64(29)
        window *= 2
    found: dict[int, None] = {}
    for window in _WINDOWS:
        if window in hashes:
            order = np.argsort(hashes[window], kind="stable")
            same = hashes[window][order]
            gaps = np.diff(order)[same[1:] == same[:-1]]
            counts = np.bincount(gaps[gaps <= size // FEWEST]) if len(gaps) else np.zeros(1, dtype=int)
            for gap in np.argsort(-counts, kind="stable")[:_GUESSES].tolist():
                if gap and counts[gap] * 200 > size:
                    found[gap] = None
    return list(found)


def _runs(records: Records, period: int) -> list[tuple[int, int]]:
    """The longest ranges of nodes with this period."""
    kinds, places, starts = records.kinds, records.places, records.starts
    same = np.zeros(len(kinds), dtype=bool)
    same[period:] = kinds[period:] == kinds[:-period]
    # For each place the corresponding one a period before, and how far it has moved since.
    back = np.zeros(len(kinds), dtype=np.int64)
    back[period:] = starts[period:-1] - starts[: -period - 1]
    counts = np.diff(starts)
    comparable = np.repeat(same, counts)
    before = np.arange(len(places)) - np.repeat(np.where(same, back, 0), counts)
    moved = places - places[before]
    steady = comparable & comparable[before] & (moved == moved[before])
    off = np.concatenate([[0], np.cumsum(~steady)])
    alike = same & (off[starts[1:]] == off[starts[:-1]])
    alike[: 2 * period] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], alike, [False]]).astype(np.int8)))
    begin, end = edges[::2] - 2 * period, edges[1::2]
    long = end - begin >= FEWEST * period
    return list(zip(begin[long].tolist(), end[long].tolist(), strict=True))


def _fitting(runs: list[tuple[int, int]], free: list[tuple[int, int]], period: int) -> list[Stretch]:
    """What of the runs lies in free ranges and is long enough."""
    found: list[Stretch] = []
    spaces = iter(free)
    space = next(spaces, None)
    cursor = 0
    for start, end in runs:
        while space is not None and space[1] <= start:
            space = next(spaces, None)
        here = space
        while here is not None and here[0] < end:
            first, last = max(start, here[0], cursor), min(end, here[1])
            made = Stretch(first, period, (last - first) // period)
            if made.times >= FEWEST and _gain(made) > 0:
                found.append(made)
                cursor = made.end
            if here[1] >= end:
                break
            here = space = next(spaces, None)
    return found


def _without(free: list[tuple[int, int]], stretches: list[Stretch]) -> list[tuple[int, int]]:
    left: list[tuple[int, int]] = []
    taken = iter([*sorted(stretches), None])
    each = next(taken)
    for start, end in free:
        begin = start
        while each is not None and each.start < end:
            if each.start > begin:
                left.append((begin, each.start))
            begin = each.end
            each = next(taken)
        if begin < end:
            left.append((begin, end))
    return left
