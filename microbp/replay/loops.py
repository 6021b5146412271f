"""A graph as loops and single nodes: for each node of a pattern that repeats, where its operands come from.

Values in loops stand in one list, at their positions in the graph. So an operand that moves on from one
repetition to the next is a part of that list, whatever it belongs to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microbp.graph import Graph
from microbp.replay.dependence import TRAINS, VARIES, Dependence, dependence
from microbp.replay.function_graph import Captured
from microbp.replay.repeats import FEWEST, Records, Stretch, records, repeats
from microbp.rules import Rule

__all__ = ["Fixed", "Lag", "Layout", "Loop", "Number", "Operand", "Slot", "Stride", "Table", "layout"]

Mask = npt.NDArray[np.bool_]


class Number(NamedTuple):
    """The same number in each repetition."""

    number: float


class Table(NamedTuple):
    """A number for each repetition."""

    numbers: tuple[float, ...]


class Fixed(NamedTuple):
    """A node outside of the loop, the same in each repetition."""

    position: int


class Lag(NamedTuple):
    """A node of this loop, ``lag`` repetitions ago; in the first ones, what stands there before the loop."""

    slot: int
    lag: int
    #: Its position in the first repetition.
    first: int


class Stride(NamedTuple):
    """In repetition k the node ``first + step * k``, before the loop."""

    first: int
    step: int

    def last(self, times: int) -> int:
        """The position in the last of so many repetitions."""
        return self.first + self.step * (times - 1)

    def places(self, times: int) -> slice:
        """All its positions, in any order."""
        low, high = sorted((self.first, self.last(times)))
        return slice(low, high + 1, abs(self.step))


Operand = Number | Table | Fixed | Lag | Stride


class Slot(NamedTuple):
    """One node of the pattern."""

    #: Of the first repetition.
    position: int
    rule: Rule
    operands: tuple[Operand, ...]
    #: For a leaf: ``inputs``, ``parameters`` or ``constants``, and where it stands in them.
    leaf: str = ""
    first: int = 0
    step: int = 0
    #: The position of the value that the first repetition uses in place of the one before.
    near: int | None = None
    #: Whether later repetitions ask for it at other places than in its variable.
    direct: bool = False


class Loop(NamedTuple):
    """A stretch that becomes a loop."""

    start: int
    period: int
    times: int
    slots: tuple[Slot, ...]

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.start + self.period * self.times

    def is_near(self, user: int, lag: Lag) -> bool:
        """Whether the variable of the slot has the value when the user asks for it."""
        return lag.lag == 0 or (lag.lag == 1 and user <= lag.slot)

    def nexts(self, slot: int) -> bool:
        """Whether the next repetition uses the slot's variable."""
        return self.slots[slot].near is not None


class Layout:
    """The items of a graph in order: positions of single nodes, and loops."""

    def __init__(self, captured: Captured, flags: Sequence[int], loops: Sequence[Loop]) -> None:
        self.record, self.loops, self.outputs = captured.graph, list(loops), captured.outputs
        self._starts = [each.start for each in loops]
        self._flags = np.array(flags, dtype=np.int64)
        #: The single nodes to which loops pass gradients one after the other: theirs stand in the list, too.
        self.shared = self.mask()
        #: What has received a gradient, in a backward pass, when its turn comes; see :meth:`listed`.
        self.reached = self.mask()

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
        """By the first position of each slot whether its upstream gradient is kept in the list.

        It is in a variable where only the same and the next repetition pass to it, others only to the last.
        """
        reached, found = self.mask(), self.mask()
        for place in self.outputs:
            reached[place] = True
        for item in reversed(list(self.items())):
            if not isinstance(item, Loop):
                args = self.record.args[self.record.first[item] : self.record.first[item + 1]]
                reached[args[args >= 0]] = True
                continue
            #: For each slot its users: how many repetitions later they are, -1 for those that are far.
            users: dict[int, list[int]] = {index: [] for index in range(item.period)}
            for user, slot in enumerate(item.slots):
                for each in slot.operands:
                    if isinstance(each, Lag):
                        users[each.slot].append(each.lag if item.is_near(user, each) else -1)
            for index, slot in enumerate(item.slots):
                here = reached[slot.position : item.end : item.period]
                before = slot.near is not None and (reached[slot.near] or users[index].count(1) > 1)
                found[slot.position] = here[:-1].any() or not users[index] or -1 in users[index] or before
            for slot in item.slots:
                for each in slot.operands:
                    match each:
                        case Fixed(position):
                            reached[position] = True
                        case Stride():
                            reached[each.places(item.times)] = True
                        case Lag(lag=lag, first=first) if lag:
                            reached[first : item.start : item.period] = True
        self.reached = reached
        self.shared = self._shared(found & needed) & needed
        return found & needed

    def _shared(self, listed: Mask) -> Mask:
        found, inside = self.mask(), self.mask()
        for loop in self.loops:
            inside[loop.start : loop.end] = True
            for slot in loop.slots:
                for each in slot.operands:
                    if isinstance(each, Stride):
                        found[each.places(loop.times)] = True
                    elif isinstance(each, Lag) and each.lag and listed[loop.slots[each.slot].position]:
                        found[each.first : loop.start : loop.period] = True
        return found & ~inside


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
    record, flags = captured.graph, (known or dependence(captured)).flags.tolist()
    found: list[Loop] = []
    if loops:
        like = records(captured, flags)
        reader = _Reader(captured, record, like)
        waiting = [_aligned(each, like) for each in reversed(repeats(like))]
        while waiting:
            stretch = waiting.pop()
            made = reader.loop(stretch)
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
    crossings = [0] * (2 * period + 1)
    places = records.places
    for index in range(period):
        position = start + period + index
        here, there = records.starts[position], records.starts[position + 1]
        before = records.starts[position - period]
        for now, then in zip(
            places[here:there].tolist(), places[before : before + there - here].tolist(), strict=True
        ):
            back = position - now
            if now - then == period and back > 0:
                # Begun at any of these nodes, the operand is of the repetition before.
                crossings[index + period - min(back, period) + 1] += 1
                crossings[index + period + 1] -= 1
    total, counts = 0, [0] * period
    for index, change in enumerate(crossings[: 2 * period]):
        total += change
        counts[index % period] += total
    offset = min(range(period), key=lambda each: (counts[each], each))
    return Stretch(start + offset, period, (period * times - offset) // period)


class _Reader:
    """Reads the pattern of a stretch off its first two repetitions."""

    def __init__(self, captured: Captured, record: Graph, known: Records) -> None:
        self.record, self.known = record, known
        self.leaves = {place: "parameters" for place in captured.params if place is not None}
        self.leaves.update((place, "inputs") for place in captured.inputs if place is not None)

    def loop(self, stretch: Stretch) -> Loop | int:
        """The loop, or after how many repetitions it has to be cut first."""
        record = self.record
        slots: list[Slot] = []
        for position in range(stretch.start, stretch.start + stretch.period):
            first, second = (self._places(position + offset) for offset in (0, stretch.period))
            column = range(position, stretch.end, stretch.period)
            rule = record.rules[record.op[position]]
            if record.op[position] < 0:
                leaf = self.leaves.get(position, "constants")
                held: tuple[Operand, ...] = ()
                if leaf == "constants":
                    held = (_numbers(record.data[column].tolist()),)
                slots.append(Slot(position, rule, held, leaf, first[0], second[0] - first[0]))
                continue
            operands: list[Operand] = []
            for index, (here, there) in enumerate(zip(first, second, strict=True)):
                args = record.args[record.first[column] + index]
                if args[0] < 0:
                    operands.append(_numbers(record.consts[-1 - args].tolist()))
                    continue
                found = _operand(stretch, here, there - here)
                if isinstance(found, int):
                    return found
                operands.append(found)
            slots.append(Slot(position, rule, tuple(operands)))
        made = Loop(*stretch, tuple(slots))
        return made._replace(slots=tuple(_settled(made, index) for index in range(stretch.period)))

    def _places(self, position: int) -> list[int]:
        known = self.known
        places: list[int] = known.places[known.starts[position] : known.starts[position + 1]].tolist()
        return places


def _operand(stretch: Stretch, first: int, step: int) -> Operand | int:
    """Where it comes from; or after how many repetitions the stretch has to be cut."""
    start, period, times = stretch
    last = first + step * (times - 1)
    if step == 0:
        return Fixed(first) if first < start else (first - start) // period + 1
    if step == period and last >= start:
        return Lag((first - start) % period, -((first - start) // period), first)
    if max(first, last) < start:
        return Stride(first, step)
    if first >= start:
        return 1
    return -(-(start - first) // step)


def _settled(loop: Loop, index: int) -> Slot:
    """With what is known of a slot when its users are."""
    uses = [
        (loop.is_near(user, each), each)
        for user, slot in enumerate(loop.slots)
        for each in slot.operands
        if isinstance(each, Lag) and each.slot == index
    ]
    near = next((each.first for near, each in uses if near and each.lag), None)
    return loop.slots[index]._replace(near=near, direct=any(not near for near, _ in uses))


def _numbers(numbers: Sequence[float]) -> Operand:
    bits = np.array(numbers).view(np.int64)  # 0.0 is not -0.0
    return Number(numbers[0]) if (bits == bits[0]).all() else Table(tuple(numbers))
