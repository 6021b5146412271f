"""A graph as loops and single nodes, and how the upstream gradient of each value in a loop is kept.

Either in variables: of the repetition at hand and of a few before it, as code written by hand would do. Or in
a list with an element for each repetition, where other code passes gradients to some in the middle.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from microbp.replay.function_graph import Captured
from microbp.replay.rolling.blocks import Block, Fixed, Lag, Operand, Run, blocks
from microbp.replay.rolling.records import Records, records
from microbp.replay.rolling.repeats import repeats

__all__ = ["REGISTERS", "Home", "Mode", "Plan", "modes", "plan", "register"]

#: In the variables of a loop are the values of so many repetitions before.
REGISTERS = 3


class Home(NamedTuple):
    """Where a node of a loop stands: in repetition ``k`` of the slot."""

    block: Block
    slot: int
    k: int


class Plan:
    """The items of a graph in order: positions of single nodes, and blocks."""

    def __init__(self, captured: Captured, found: Records, loops: Sequence[Block]) -> None:
        self.captured, self.records, self.loops = captured, found, list(loops)
        self._starts = [each.start for each in loops]
        self._blocks = {each.start: each for each in loops}
        #: For each block and slot, how many repetitions back it is used in the loop.
        self.longest = {
            (block.start, slot): longest for block in loops for slot, longest in enumerate(_longest(block))
        }

    def items(self) -> Iterator[int | Block]:
        """Single nodes and blocks, in the order of the graph."""
        position = 0
        for block in self.loops:
            yield from range(position, block.start)
            yield block
            position = block.end
        yield from range(position, len(self.captured.graph))

    @property
    def length(self) -> int:
        """How many nodes the source names."""
        return len(self.captured.graph) - sum(each.period * (each.times - 1) for each in self.loops)

    def block(self, start: int) -> Block:
        """The one that starts there."""
        return self._blocks[start]

    def home(self, position: int) -> Home | None:
        """Where in a loop the node stands, if it is in one."""
        at = bisect_right(self._starts, position) - 1
        if at < 0 or position >= self.loops[at].end:
            return None
        block = self.loops[at]
        k, slot = divmod(position - block.start, block.period)
        return Home(block, slot, k)

    def needs(self, position: int, wrt_inputs: bool) -> bool:
        """Whether a gradient that is asked for depends on the node."""
        return bool(self.records.needed[position] & (3 if wrt_inputs else 1))

    def target(self, block: Block, operand: Operand) -> int | None:
        """The position of the operand in a repetition in which it is like in all; None for a number."""
        match operand:
            case Fixed(position):
                return position
            case Lag(slot, _):
                return block.start + slot
            case Run(start, slot, first, _):
                other = self.block(start)
                return start + first * other.period + slot
        return None


def plan(captured: Captured) -> Plan:
    """The loops of a graph.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> w, v = Value(0.5, name="w"), Value(1.0, name="x")
    >>> for _ in range(1000):
    ...     v = v * w + 1.0
    >>> found = plan(capture(v, []))
    >>> [(each.start, each.period, each.times) for each in found.loops], found.length
    ([(3, 2, 999)], 6)
    """
    found = records(captured)
    return Plan(captured, found, blocks(captured, found, repeats(found)))


def _longest(block: Block) -> list[int]:
    longest = [0] * block.period
    for each in block.slots:
        for operand in each.operands:
            if type(operand) is Lag:
                longest[operand.slot] = max(longest[operand.slot], operand.lag)
    return longest


def register(user: int, slot: int, lag: int) -> int:
    """Which of a slot's variables the user passes its gradient to.

    Number 0 is the one of the repetition at hand until the slot's own turn, and then of the one before.
    """
    return lag if user > slot else lag - 1


class Mode(NamedTuple):
    """How the upstream gradient of a slot is kept."""

    #: In a list; else in variables.
    listed: bool
    #: The number of the last of these variables.
    deepest: int = 0
    #: Whether the first contribution to the last variable is one of the loop: it need not be 0 before.
    fresh: bool = True


def modes(plan: Plan, wrt_inputs: bool) -> dict[tuple[int, int], Mode]:
    """For each block and slot that takes a gradient. The items are gone through as in a backward pass."""
    nodes = plan.captured.graph.nodes
    #: The nodes that single contributions have reached, for those in blocks also by slot.
    touched: set[int] = set()
    inside: dict[tuple[int, int], set[int]] = {}
    #: The slots that a loop passes gradients to, in many repetitions.
    swept: set[tuple[int, int]] = set()
    found: dict[tuple[int, int], Mode] = {}

    def touch(position: int) -> None:
        touched.add(position)
        home = plan.home(position)
        if home is not None:
            inside.setdefault((home.block.start, home.slot), set()).add(home.k)

    def reached(position: int) -> bool:
        home = plan.home(position)
        return position in touched or (home is not None and (home.block.start, home.slot) in swept)

    for position in plan.captured.outputs:
        if plan.needs(position, wrt_inputs):
            touch(position)
    for item in reversed(list(plan.items())):
        if isinstance(item, int):
            for each in nodes[item].operands:
                if type(each) is int and plan.needs(each, wrt_inputs):
                    touch(each)
            continue
        deepest: dict[int, int] = {}
        for user, slot in enumerate(item.slots):
            for operand in slot.operands:
                target = plan.target(item, operand)
                if target is None or not plan.needs(target, wrt_inputs):
                    continue
                match operand:
                    case Lag(other, lag):
                        number = register(user, other, lag)
                        deepest[other] = max(deepest.get(other, 0), number)
                    case Run(start, other, _, _):
                        swept.add((start, other))
        for index, slot in enumerate(item.slots):
            if not plan.needs(slot.node.position, wrt_inputs):
                continue
            key = item.start, index
            last = deepest.get(index, -1)
            history = [item.start - back * item.period + index for back in range(1, plan.longest[key] + 1)]
            listed = (
                key in swept
                or not 0 <= last <= REGISTERS
                or last + 2 > item.times
                or any(k < item.times - 1 - last for k in inside.get(key, ()))
                or any(map(reached, history))
            )
            early = item.times - 1 - last in inside.get(key, ())
            found[key] = Mode(listed, max(last, 0), not early)
            for each in history:
                if plan.needs(each, wrt_inputs):
                    touch(each)
        for slot in item.slots:
            for operand in slot.operands:
                if type(operand) is Fixed and plan.needs(operand.position, wrt_inputs):
                    touch(operand.position)
    return found
