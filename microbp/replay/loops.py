"""A graph as loops and single nodes: for each node of a pattern that repeats, where its operands come from.

In repetition k an operand is the node ``first + step * k``, whatever that belongs to: the same one each time
where the step is 0, one of this loop where it is the period, else one of those before the loop.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.replay.dependence import TRAINS, VARIES, Dependence, dependence
from microbp.replay.function_graph import Captured
from microbp.replay.repeats import FEWEST, Records, Stretch, records, repeats
from microbp.rules import Rule
from microbp.sweeps import Integers

__all__ = ["Layout", "Loop", "Numbers", "Slot", "Stride", "layout"]

Mask = npt.NDArray[np.bool_]


class Numbers(NamedTuple):
    """A number for each repetition; a single one if it is the same in all."""

    numbers: tuple[float, ...]


class Stride(NamedTuple):
    """In repetition k the node ``first + step * k``."""

    first: int
    step: int

    def last(self, times: int) -> int:
        """The position in the last of so many repetitions."""
        return self.first + self.step * (times - 1)

    def places(self, times: int) -> slice:
        """All its positions, in any order."""
        low, high = sorted((self.first, self.last(times)))
        return slice(low, high + 1, abs(self.step) or 1)


class Slot(NamedTuple):
    """One node of the pattern."""

    #: Of the first repetition.
    position: int
    rule: Rule
    operands: tuple[Numbers | Stride, ...]
    #: For a leaf: ``inputs``, ``parameters`` or ``constants``, and where it stands in them.
    leaf: str = ""
    given: Stride = Stride(0, 0)


class Loop(NamedTuple):
    """A stretch that becomes a loop."""

    start: int
    period: int
    times: int
    slots: tuple[Slot, ...]
    #: For each use of each slot in the loop how many repetitions later it is; -1 for those that are far.
    uses: tuple[list[int], ...]

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.start + self.period * self.times

    def column(self, index: int) -> Stride:
        """The places of a slot."""
        return Stride(self.slots[index].position, self.period)

    def inner(self, operand: Numbers | Stride) -> tuple[int, int] | None:
        """The slot of an operand that is of this loop, and how many repetitions ago."""
        if isinstance(operand, Numbers) or operand.step != self.period:
            return None
        if operand.last(self.times) < self.start:
            return None
        back, slot = divmod(operand.first - self.start, self.period)
        return slot, -back

    def near(self, user: int, slot: int, lag: int) -> bool:
        """Whether the variable of the slot has the value when the user asks for it."""
        return lag == 0 or (lag == 1 and user <= slot)



class Layout:
    """The items of a graph in order: positions of single nodes, and loops."""

    def __init__(self, captured: Captured, flags: Integers, loops: Sequence[Loop]) -> None:
        self.record, self.loops, self.outputs = captured.graph, list(loops), captured.outputs
        self._starts = [each.start for each in loops]
        self._flags = flags
        self._inside = self.mask()
        for loop in loops:
            self._inside[loop.start : loop.end] = True
        #: For each node the last that uses it otherwise than loops do with variables; see :meth:`listed`.
        self.reached = np.full(len(self._inside), -1)

    def mask(self) -> Mask:
        """A flag for each position."""
        return np.zeros(len(self.record.op), dtype=bool)

    def items(self) -> Iterator[int | Loop]:
        """Single nodes and loops, in the order of the graph."""
        position = 0
        for loop in self.loops:
            yield from range(position, loop.start)
            yield loop
            position = loop.end
        yield from range(position, len(self.record.op))

    @property
    def length(self) -> int:
        """How many nodes the source names."""
        return len(self.record.op) - sum(each.period * (each.times - 1) for each in self.loops)

    def home(self, position: int) -> Loop | None:
        """The loop in which the node stands, if it is in one."""
        at = bisect_right(self._starts, position) - 1
        return self.loops[at] if at >= 0 and position < self.loops[at].end else None

    def needed(self, wrt_inputs: bool) -> Mask:
        """Whether a gradient that is asked for depends on the node."""
        found: Mask = (self._flags & (TRAINS | VARIES if wrt_inputs else TRAINS)) > 0
        return found

    def listed(self, needed: Mask) -> Mask:
        """The nodes whose upstream gradient is kept in the list of all, of loops by the first of each slot.

        It is in a variable where only the same and the next repetition pass to it, others only to the last.
        Those of single nodes are in the list where loops pass to them one after the other.
        """
        self.reached, found = self._reached(), self.mask()
        for loop in self.loops:
            for index, slot in enumerate(loop.slots):
                uses, before = loop.uses[index], slot.position - loop.period
                twice = 1 in uses and (self.reached[before] >= loop.start or uses.count(1) > 1)
                others = (self.reached[slot.position : loop.end - loop.period : loop.period] >= 0).any()
                found[slot.position] = others or not uses or -1 in uses or twice
        found &= needed
        shared = self.mask()
        for loop in self.loops:
            for slot in loop.slots:
                for each in slot.operands:
                    known = loop.inner(each)
                    in_list = not known or found[loop.slots[known[0]].position]
                    if isinstance(each, Stride) and each.step and in_list:
                        shared[each.places(loop.times)] = True
        return found | (shared & ~self._inside & needed)

    def _reached(self) -> Integers:
        """The last of what uses each node otherwise than the same and the next repetition of its loop do."""
        record, found = self.record, np.full(len(self.record.op), -1)
        user = np.repeat(np.arange(len(record.op)), np.diff(record.first))
        single = ~self._inside[user] & (record.args >= 0)
        found[record.args[single]] = user[single]  # of several, the last is written last
        for loop in self.loops:
            for index, slot in enumerate(loop.slots):
                for each in slot.operands:
                    known = loop.inner(each)
                    if isinstance(each, Stride) and not (known and loop.near(index, *known)):
                        places = each.places(loop.times)
                        found[places] = np.maximum(found[places], loop.start)
        found[list(self.outputs)] = len(found)
        return found


def layout(captured: Captured, known: Dependence | None = None, *, loops: bool = True) -> Layout:
    """The loops of a graph.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> w, v = Value(0.5, name="w"), Value(1.0, name="x")
    >>> for _ in range(1000):
    ...     v = v * w + 1.0
    >>> captured = capture(v, [])
    >>> found = layout(captured)
    >>> [(each.start, each.period, each.times) for each in found.loops], found.length
    ([(3, 2, 999)], 6)
    """
    flags = (known or dependence(captured)).flags
    found: list[Loop] = []
    if loops:
        like = records(captured, flags)
        leaves = {place: "parameters" for place in captured.params if place is not None}
        leaves |= {place: "inputs" for place in captured.inputs if place is not None}
        waiting = [_aligned(each, like) for each in reversed(repeats(like))]
        while waiting:
            stretch = waiting.pop()
            made = _loop(captured, like, leaves, stretch)
            if isinstance(made, Loop):
                found.append(made)
            elif made:  # so many repetitions, and then the rest by itself
                start, period, times = stretch
                rest = Stretch(start + period * made, period, times - made)
                pieces = (rest, Stretch(start, period, made))
                waiting += [each for each in pieces if each.times >= FEWEST]
    return Layout(captured, flags, found)


def _aligned(stretch: Stretch, records: Records) -> Stretch:
    """The same stretch, begun at the node of the pattern from which the fewest operands lie a loop back."""
    start, period, times = stretch
    crossings = np.zeros(2 * period + 1, dtype=np.int64)
    first, middle, end = records.starts[[start, start + period, start + 2 * period]]
    now, then = records.places[middle:end], records.places[first:middle]
    index = np.repeat(np.arange(period), np.diff(records.starts[start + period : start + 2 * period + 1]))
    back = start + period + index - now
    moving = (now - then == period) & (back > 0)
    # Begun at any of these nodes, the operand is of the repetition before.
    np.add.at(crossings, index[moving] + period - np.minimum(back[moving], period) + 1, 1)
    np.add.at(crossings, index[moving] + period + 1, -1)
    counts = np.cumsum(crossings[: 2 * period]).reshape(2, period).sum(axis=0)
    offset = int(np.argmin(counts))
    return Stretch(start + offset, period, (period * times - offset) // period)


def _loop(captured: Captured, known: Records, leaves: dict[int, str], stretch: Stretch) -> Loop | int:
    """The loop, read off its first two repetitions; or after how many repetitions it has to be cut first."""
    record, slots = captured.graph, []
    for position in range(stretch.start, stretch.start + stretch.period):
        first, second = (
            known.places[known.starts[at] : known.starts[at + 1]].tolist()
            for at in (position, position + stretch.period)
        )
        column = range(position, stretch.end, stretch.period)
        rule = record.rules[record.op[position]]
        if record.op[position] < 0:
            leaf = leaves.get(position, "constants")
            held = (_numbers(record.data[column]),) if leaf == "constants" else ()
            slots.append(Slot(position, rule, held, leaf, Stride(first[0], second[0] - first[0])))
            continue
        operands: list[Numbers | Stride] = []
        for index, (here, there) in enumerate(zip(first, second, strict=True)):
            args = record.args[record.first[column] + index]
            if args[0] < 0:
                operands.append(_numbers(record.consts[-1 - args]))
                continue
            cut = _cut(stretch, here, there - here)
            if cut:
                return cut
            operands.append(Stride(here, there - here))
        slots.append(Slot(position, rule, tuple(operands)))
    made = Loop(*stretch, tuple(slots), tuple([] for _ in slots))
    for user, each in enumerate(slots):
        for slot, lag in filter(None, map(made.inner, each.operands)):
            made.uses[slot].append(lag if made.near(user, slot, lag) else -1)
    return made


def _cut(stretch: Stretch, first: int, step: int) -> int:
    """After how many repetitions a stretch has to be cut for an operand; 0 where it need not be."""
    start, period, times = stretch
    last = first + step * (times - 1)
    if step == 0:
        return 0 if first < start else (first - start) // period + 1
    if max(first, last) < start or (step == period and last >= start):
        return 0
    return 1 if first >= start else -(-(start - first) // step)


def _numbers(numbers: npt.NDArray[np.float64]) -> Numbers:
    bits = np.ascontiguousarray(numbers).view(np.int64)  # 0.0 is not -0.0
    return Numbers(tuple(numbers[: 1 if (bits == bits[0]).all() else None].tolist()))
