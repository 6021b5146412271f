"""Stretches as loops: for each node of the pattern, where its operands come from in each repetition."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from microbp.graph import Node
from microbp.replay.function_graph import Captured
from microbp.replay.rolling.records import Records
from microbp.replay.rolling.repeats import FEWEST, Stretch

__all__ = ["Block", "Fixed", "Lag", "Literal", "Operand", "Run", "Slot", "Table", "blocks"]

#: How many repetitions back a value may be used, at most: the first ones need those before the loop.
_FARTHEST = 32


class Literal(NamedTuple):
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


class Run(NamedTuple):
    """In repetition k the node ``first + step * k`` of the slot of a block."""

    #: Where that block starts.
    block: int
    slot: int
    first: int
    step: int


Operand = Literal | Table | Fixed | Lag | Run


class Slot(NamedTuple):
    """One node of the pattern; its operands are those of the node in the first repetition."""

    node: Node
    operands: tuple[Operand, ...]
    #: For a leaf: ``inputs``, ``parameters`` or ``constants``, and where it stands in them.
    leaf: str | None
    first: int
    step: int


class Block(NamedTuple):
    """A stretch that becomes a loop."""

    start: int
    period: int
    times: int
    slots: tuple[Slot, ...]

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.start + self.period * self.times

    def longest(self, slot: int) -> int:
        """How many repetitions back the slot is used in this loop."""
        lags = (each for user in self.slots for each in user.operands if type(each) is Lag)
        return max((each.lag for each in lags if each.slot == slot), default=0)


class _Cut(Exception):
    """A stretch has to be cut after so many repetitions."""

    def __init__(self, times: int) -> None:
        self.times = times


def blocks(captured: Captured, records: Records, stretches: Sequence[Stretch]) -> list[Block]:
    """The loops. A stretch whose operands change over from one place to another is cut there."""
    nodes = captured.graph.nodes
    leaves = {place: "parameters" for place in captured.params if place is not None}
    leaves.update((place, "inputs") for place in captured.inputs if place is not None)
    found = [_aligned(each, records) for each in stretches]
    for _ in range(8 * len(found) + 8):
        made: dict[int, Block] = {}
        again: list[Stretch] = []
        cut = False
        reader = _Reader(nodes, records, found, leaves)
        for each in found:
            try:
                made[each.start] = reader.block(each)
                again.append(each)
            except _Cut as here:  # noqa: PERF203 (there are few stretches)
                cut = True
                again += _pieces(each, here.times)
        if not cut:
            return list(made.values())
        found = again
    return []


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
                first = index + period - min(back, period) + 1
                crossings[first] += 1
                crossings[index + period + 1] -= 1
    total, counts = 0, [0] * period
    for index, change in enumerate(crossings[: 2 * period]):
        total += change
        counts[index % period] += total
    offset = min(range(period), key=lambda each: (counts[each], each))
    return Stretch(start + offset, period, (period * times - offset) // period)


def _pieces(stretch: Stretch, times: int) -> list[Stretch]:
    start, period, whole = stretch
    pieces = [Stretch(start, period, times), Stretch(start + period * times, period, whole - times)]
    return [each for each in pieces if each.times >= FEWEST]


class _Reader:
    """Reads the pattern of a stretch off its first two repetitions."""

    def __init__(
        self, nodes: Sequence[Node], records: Records, stretches: list[Stretch], leaves: dict[int, str]
    ) -> None:
        self.nodes, self.places, self.begin = nodes, records.places, records.starts
        self.stretches = stretches
        self.starts = [each.start for each in stretches]
        self.leaves = leaves

    def block(self, stretch: Stretch) -> Block:
        """The loop; _Cut says where it has to be cut first."""
        slots = []
        #: The nodes outside that it uses: where the first one stands, and the stride.
        used: set[tuple[int, int]] = set()
        for position in range(stretch.start, stretch.start + stretch.period):
            node = self.nodes[position]
            first, second = (self._places(position + offset) for offset in (0, stretch.period))
            if node.rule is None:
                slots.append(self._leaf(stretch, node, first[0], second[0] - first[0]))
                continue
            operands: list[Operand] = []
            for index, (each, here, there) in enumerate(zip(node.operands, first, second, strict=True)):
                if type(each) is float:
                    operands.append(_numbers([n.operands[index] for n in self._column(stretch, position)]))
                    continue
                operands.append(self._operand(stretch, here, there - here))
                if type(operands[-1]) is not Lag:
                    used.add((here, there - here))
            slots.append(Slot(node, tuple(operands), None, 0, 0))
        made = Block(*stretch, tuple(slots))
        _check_history(made, used)
        return made

    def _places(self, position: int) -> list[int]:
        places: list[int] = self.places[self.begin[position] : self.begin[position + 1]].tolist()
        return places

    def _column(self, stretch: Stretch, position: int) -> Sequence[Node]:
        return self.nodes[position : stretch.end : stretch.period]

    def _leaf(self, stretch: Stretch, node: Node, first: int, step: int) -> Slot:
        leaf = self.leaves.get(node.position, "constants")
        operands: tuple[Operand, ...] = ()
        if leaf == "constants":
            operands = (_numbers([each.data for each in self._column(stretch, node.position)]),)
        return Slot(node, operands, leaf, first, step)

    def _operand(self, stretch: Stretch, first: int, step: int) -> Operand:
        start, period, times = stretch
        last = first + step * (times - 1)
        if step == 0:
            if first >= start:
                raise _Cut((first - start) // period + 1)
            return Fixed(first)
        if step == period and last >= start:
            lag, slot = -((first - start) // period), (first - start) % period
            if lag > _FARTHEST:
                raise _Cut(min(lag, times))
            return Lag(slot, lag)
        at = bisect_right(self.starts, first) - 1
        other = self.stretches[at] if at >= 0 else None
        if other is None or first >= other.end or step % other.period:
            raise _Cut(1)
        k, slot = divmod(first - other.start, other.period)
        stride = step // other.period
        inside = (other.times - 1 - k) // stride if stride > 0 else k // -stride
        if inside + 1 < times:
            raise _Cut(inside + 1)
        return Run(other.start, slot, k, stride)


def _numbers(numbers: Sequence[Any]) -> Operand:
    same = len({each.hex() for each in numbers}) == 1  # 0.0 is not -0.0
    return Literal(numbers[0]) if same else Table(tuple(numbers))


def _check_history(block: Block, used: set[tuple[int, int]]) -> None:
    """What stands before the loop in the place of a repetition must not be used in another way as well."""
    for slot in range(block.period):
        for back in range(1, block.longest(slot) + 1):
            position = block.start - back * block.period + slot
            for first, step in used:
                after = position - first
                if after == 0 or (step and after % step == 0 and 0 < after // step < block.times):
                    raise _Cut(1)
