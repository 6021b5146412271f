"""What the values, lists and upstream gradients of a rolled program are called."""

from __future__ import annotations

import re

from microbp.graph import Node
from microbp.replay.identifiers import Identifiers
from microbp.replay.rolling.blocks import Block, Literal, Table
from microbp.replay.rolling.plan import Home, Plan

__all__ = ["Names", "series", "shifted"]


class Names:
    """Identifiers: the same for each function of a program."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.identifiers = Identifiers(["inputs", "parameters", "d_inputs", "d_parameters", "upstream", "k"])
        captured = plan.captured
        nodes = captured.graph.nodes
        leaves = {*captured.inputs, *captured.params}
        #: Of each single node, and of each slot, under the position of its first node.
        self.values: dict[int, str] = {}
        self._lists: dict[tuple[int, int], str] = {}
        self._made: dict[str, str] = {}
        #: The numbers that differ from one repetition to the next: module-level tuples, by their source.
        self.tables: dict[int, tuple[str, tuple[float, ...]]] = {}
        for item in plan.items():
            if isinstance(item, int):
                node = nodes[item]
                constant = node.rule is None and item not in leaves
                self.values[item] = (
                    repr(node.data) if constant and not node.named else self.identifiers.new(node.name)
                )
            else:
                for index, slot in enumerate(item.slots):
                    first, last = slot.node, nodes[slot.node.position + item.period * (item.times - 1)]
                    name = self.values[first.position] = self.identifiers.new(_stem(first, last))
                    self._lists[item.start, index] = self.identifiers.new(f"{name}s")
                    for each in slot.operands:
                        if type(each) is Table:
                            self.tables[id(each)] = self.identifiers.new(f"{name}_numbers"), each.numbers

    def derived(self, name: str) -> str:
        """An identifier for a text that is one word but for its meaning, the same each time."""
        if name not in self._made:
            self._made[name] = self.identifiers.new(name)
        return self._made[name]

    def register(self, block: Block, slot: int, number: int, prefix: str = "") -> str:
        """The variable of a slot, or the one of ``number`` repetitions before."""
        name = self.values[block.slots[slot].node.position]
        if number:
            return self.derived(f"{prefix}{name}_before{number if number > 1 else ''}")
        return self.derived(f"{prefix}{name}") if prefix else name

    def list(self, block: Block, slot: int, prefix: str = "") -> str:
        """The list of a slot's values, or of its upstream gradients."""
        name = self._lists[block.start, slot]
        return self.derived(f"{prefix}{name}") if prefix else name

    def gradient(self, position: int) -> str:
        """The upstream gradient of a single node."""
        return self.derived(f"d_{self.values[position]}")

    def leaf(self, home: Home) -> str | None:
        """The text of a leaf in a loop, anywhere; None for what is computed."""
        slot = home.block.slots[home.slot]
        if slot.leaf is None:
            return None
        if slot.leaf != "constants":
            return f"{slot.leaf}[{slot.first + slot.step * home.k}]"
        (number,) = slot.operands
        if type(number) is Literal:
            return repr(number.number)
        assert type(number) is Table
        return repr(number.numbers[home.k])


def _stem(first: Node, last: Node) -> str:
    """The name of a value in all repetitions: of ``h[1]`` and ``h[9]`` it is ``h``."""
    if not (first.named and last.named):
        return first.name
    ours, theirs = (re.split(r"(\d+)", each.name) for each in (first, last))
    if ours[::2] != theirs[::2]:
        return first.name
    return "".join(a for a, b in zip(ours, theirs, strict=True) if a == b) or first.name


def series(name: str, length: int, first: int, step: int, times: int, *, reverse: bool = False) -> str:
    """``times`` elements of a list, from one on, in steps.

    >>> series("xs", 10, 0, 1, 10), series("xs", 10, 2, 1, 8), series("xs", 10, 0, 2, 5, reverse=True)
    ('xs', 'xs[2:10]', 'xs[8::-2]')
    >>> series("xs", 10, 0, 1, 10, reverse=True)
    'reversed(xs)'
    """
    if reverse:
        first, step = first + step * (times - 1), -step
    stop = first + step * times
    if (first, step, times) == (0, 1, length):
        return name
    if (first, step, times) == (length - 1, -1, length):
        return f"reversed({name})"
    end = "" if stop < 0 else f"{stop}"
    return f"{name}[{first}:{end}{'' if step == 1 else f':{step}'}]"


def shifted(offset: int, step: int = 1) -> str:
    """``step * k + offset`` as text.

    >>> shifted(0), shifted(3), shifted(-1), shifted(5, -2)
    ('k', 'k + 3', 'k - 1', '-2 * k + 5')
    """
    text = "k" if step == 1 else f"{step} * k"
    return text if not offset else f"{text} {'+' if offset > 0 else '-'} {abs(offset)}"
