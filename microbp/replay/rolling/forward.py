"""The forward pass of a rolled program: single nodes a line each, loops for the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from microbp.graph import Node
from microbp.replay.rolling.blocks import Block, Fixed, Lag, Literal, Operand, Run, Slot, Table
from microbp.replay.rolling.names import Names, series, shifted
from microbp.replay.rolling.plan import REGISTERS, Plan
from microbp.replay.statements import Statements, broken, calls, wrapped
from microbp.replay.identifiers import one_line

__all__ = ["Forward", "pattern"]


def pattern(slot: Slot) -> Node:
    """The node with its operands numbered; numbers that are the same in each repetition stay numbers."""
    operands = tuple(
        each.number if type(each) is Literal else index for index, each in enumerate(slot.operands)
    )
    return slot.node._replace(operands=operands)


class Lines:
    """Lines of code, indented."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.inside = False

    def line(self, text: str) -> None:
        """A statement, broken where it is long."""
        indent = "    " * self.inside
        lines = [f"    {text}"] if len(text) <= 96 or text[0] == "#" else _cut(text)
        self.lines += [indent + each for each in lines]

    def loop(self, variables: Sequence[str], iterables: Sequence[str], times: int) -> None:
        """The head of a loop over lists of equal length."""
        if not variables:
            self.lines.append(f"    for _ in range({times}):")
        elif len(variables) == 1:
            self.lines.append(f"    for {variables[0]} in {iterables[0]}:")
        else:
            text = f"    for {', '.join(variables)} in zip({', '.join(iterables)}):"
            if len(text) <= 100:
                self.lines.append(text)
            else:
                self.lines.append("    for (")
                self.lines += _several(variables)
                self.lines.append("    ) in zip(")
                self.lines += _several(iterables)
                self.lines.append("    ):")
        self.inside = True


def _cut(text: str) -> list[str]:
    """A long statement over several lines."""
    left, sign, right = re.fullmatch(r"(?:(.*?) (\+?=) )?(.*)", text).groups()  # type: ignore[union-attr]
    if left is None or left.isidentifier():
        return broken(text)
    if len(left) < len(right):
        return [f"    {left} {sign} (", *wrapped(right), "    )"]
    return ["    (", *wrapped(left), f"    ) {sign} {right}"]


def _several(words: Sequence[str]) -> list[str]:
    lines = ["       "]
    for each in words:
        if len(lines[-1]) + len(each) > 98 and lines[-1].strip():
            lines.append("       ")
        lines[-1] += f" {each},"
    return lines


class Forward(Lines, Statements):
    """Writes the values. ``listed`` are the slots whose values other code asks for, in a list."""

    def __init__(self, plan: Plan, names: Names, listed: set[tuple[int, int]]) -> None:
        super().__init__()
        self.plan, self.names, self.listed = plan, names, listed
        self.identifiers = names.identifiers
        self.nodes = plan.captured.graph.nodes

    # ------------------------------------------------------------------------------- texts of values
    def value(self, position: int) -> str:
        """A value outside of the loop that is being written."""
        home = self.plan.home(position)
        if home is None:
            return self.names.values[position]
        leaf = self.names.leaf(home)
        if leaf is not None:
            return leaf
        if home.k == home.block.times - 1:
            return self.names.register(home.block, home.slot, 0)
        self.listed.add((home.block.start, home.slot))
        return f"{self.names.list(home.block, home.slot)}[{self.longest(home.block, home.slot) + home.k}]"

    def longest(self, block: Block, slot: int) -> int:
        """How many values from before the loop the list of a slot begins with."""
        return self.plan.longest[block.start, slot]

    def history(self, block: Block, slot: int) -> list[int]:
        """The positions of the values before the loop that it uses in the place of the slot's, last first."""
        longest = self.longest(block, slot)
        return [block.start - back * block.period + slot for back in range(1, longest + 1)]

    def column(self, block: Block, index: int, first: int, step: int, times: int, reverse: bool) -> str:
        """The elements of a slot's list, or of what its leaves stand in."""
        slot = block.slots[index]
        if slot.leaf in ("inputs", "parameters"):
            captured = self.plan.captured
            length = len(captured.inputs if slot.leaf == "inputs" else captured.params)
            return series(
                slot.leaf, length, slot.first + slot.step * first, slot.step * step, times, reverse=reverse
            )
        if slot.leaf:
            (table,) = slot.operands
            assert type(table) is Table
            name, numbers = self.names.tables[id(table)]
            return series(name, len(numbers), first, step, times, reverse=reverse)
        return self.listing(block, index, first, step, times, reverse)

    def listing(self, block: Block, index: int, first: int, step: int, times: int, reverse: bool) -> str:
        """The same of a list that the loop makes; ``first`` may be one of those from before the loop."""
        self.listed.add((block.start, index))
        before = self.longest(block, index)
        name = self.names.list(block, index)
        return series(name, before + block.times, before + first, step, times, reverse=reverse)

    @staticmethod
    def number(block: Block, index: int) -> str | None:
        """The text of a leaf that is the same number in each repetition."""
        slot = block.slots[index]
        if slot.leaf == "constants" and type(slot.operands[0]) is Literal:
            return repr(slot.operands[0].number)
        return None

    def name_of_run(self, block: Block, user: int, place: int, other: Block, operand: Run) -> str:
        """The variable that runs over the values of another loop."""
        user_name = self.names.register(block, user, 0)
        return self.names.derived(f"{self.names.register(other, operand.slot, 0)}_for_{user_name}_{place}")

    # ---------------------------------------------------------------------------------- statements
    def name_of(self, node: Node) -> str:
        """The variable that holds the value of a node by itself."""
        return self.names.values[node.position]

    def single(self, node: Node) -> None:
        """A node by itself."""
        texts = [self.value(each) if type(each) is int else repr(each) for each in node.operands]
        self.assign(node, texts, self.names.values[node.position])

    def write(self) -> None:
        """All items."""
        leaves = {*self.plan.captured.inputs, *self.plan.captured.params}
        before: object = ()
        for item in self.plan.items():
            if not isinstance(item, int):
                self.block(item)
                before = ()
                continue
            node = self.nodes[item]
            if node.rule is None:
                if item not in leaves and node.named:
                    self.line(f"{self.names.values[item]} = {node.data!r}")
                continue
            if node.group != before:
                before = node.group
                if before:
                    self.lines.append(calls(node))
            self.single(node)

    # ----------------------------------------------------------------------------------------- loops
    def block(self, block: Block) -> None:
        """A loop, what it begins with, and the lists that it fills."""
        body = _Body(self, block)
        body.write()
        if not body.lines:
            return
        self.lines += comment(self.names, block, self.nodes)
        for index in range(block.period):
            before = self.history(block, index)
            for number, position in enumerate(before):
                if number <= body.deepest.get(index, -1):
                    self.line(f"{self.names.register(block, index, number)} = {self.value(position)}")
            if (block.start, index) in self.listed and (body.copied(index) or not block.slots[index].leaf):
                texts = [self.value(position) for position in reversed(before)]
                self.line(f"{self.names.list(block, index)} = [{', '.join(texts)}]")
        self.loop(body.variables, body.iterables, block.times)
        self.inside = False
        self.lines += body.lines


class _Body(Forward):
    """The lines of a loop, and what it runs over."""

    def __init__(self, outer: Forward, block: Block) -> None:
        super().__init__(outer.plan, outer.names, outer.listed)
        self.here = block
        self.inside = True
        self.over: dict[str, str] = {}
        #: For each slot the last of the variables that hold its values.
        self.deepest: dict[int, int] = {}
        self.uses = [(user, each) for user, slot in enumerate(block.slots) for each in slot.operands]
        for user, each in self.uses:
            if type(each) is Lag and self.register(user, each) <= REGISTERS:
                self.deepest[each.slot] = max(self.deepest.get(each.slot, 0), self.register(user, each))

    @property
    def variables(self) -> list[str]:
        """The variables of the loop."""
        return [*self.over]

    @property
    def iterables(self) -> list[str]:
        """What they run over."""
        return [*self.over.values()]

    @staticmethod
    def register(user: int, operand: Lag) -> int:
        """The number of the variable; 0 is the slot's own, assigned after the others have moved on."""
        slot, lag = operand
        return lag if user > slot or (user == slot and lag > 1) else lag - 1

    def copied(self, index: int) -> bool:
        """Whether a leaf goes through variables, since later repetitions use it as well."""
        slot = self.here.slots[index]
        return bool(slot.leaf) and self.longest(self.here, index) > 0

    def counted(self, index: str) -> str:
        """An index in which k counts the repetitions."""
        if "k" not in self.over:
            self.over["k"] = f"range({self.here.times})"
        return index

    def write(self) -> None:
        names, block = self.names, self.here
        for index, slot in enumerate(block.slots):
            name = names.register(block, index, 0)
            if slot.leaf and not self.copied(index):
                continue
            for number in range(self.deepest.get(index, 0), 0, -1):
                self.line(
                    f"{names.register(block, index, number)} = {names.register(block, index, number - 1)}"
                )
            same = self.number(block, index)
            if same is not None:
                self.line(f"{name} = {same}")
            elif slot.leaf:
                new = names.derived(f"{name}_now")
                self.over[new] = self.column(block, index, 0, 1, block.times, False)
                self.line(f"{name} = {new}")
            else:
                node = pattern(slot)
                texts = [self.text(index, place, each) for place, each in enumerate(slot.operands)]
                self.assign(node, texts, name)
            if (block.start, index) in self.listed:
                self.line(f"{names.list(block, index)}.append({name})")

    def text(self, user: int, place: int, operand: Operand) -> str:
        """An operand in the loop."""
        names, block = self.names, self.here
        match operand:
            case Literal(number):
                return repr(number)
            case Table():
                return self.running(names.tables[id(operand)][0])
            case Fixed(position):
                return self.value(position)
            case Lag(index, lag):
                if block.slots[index].leaf and not self.copied(index):
                    same = self.number(block, index)
                    if same is not None:
                        return same
                    name = names.register(block, index, 0)
                    self.over[name] = self.column(block, index, 0, 1, block.times, False)
                    return name
                number = self.register(user, operand)
                if number <= REGISTERS:
                    return names.register(block, index, number)
                self.listed.add((block.start, index))
                at = self.counted(shifted(self.longest(block, index) - lag))
                return f"{names.list(block, index)}[{at}]"
        assert type(operand) is Run
        other = self.plan.block(operand.block)
        same = self.number(other, operand.slot)
        if same is not None:
            return same
        if other is block and not block.slots[operand.slot].leaf:
            self.listed.add((block.start, operand.slot))
            at = self.counted(shifted(self.longest(block, operand.slot) + operand.first, operand.step))
            return f"{names.list(block, operand.slot)}[{at}]"
        name = self.name_of_run(block, user, place, other, operand)
        self.over[name] = self.column(other, operand.slot, operand.first, operand.step, block.times, False)
        return name

    def running(self, name: str) -> str:
        """The variable that runs over a table."""
        variable = self.names.derived(f"{name}_now")
        self.over[variable] = name
        return variable


def comment(names: Names, block: Block, nodes: Sequence[Node]) -> Iterable[str]:
    """The comment above a loop: which values it stands for."""
    first, last = nodes[block.start], nodes[block.end - 1]
    told = f"the values from {first.name} to {last.name}"
    yield f"    # {block.times:,} times {block.period}: {one_line(told)}."
    if block.period <= 12:
        for slot in block.slots:
            position = slot.node.position
            second, final = (nodes[position + block.period * k] for k in (1, block.times - 1))
            told = f"{slot.node.name}, {second.name}, …, {final.name}"
            yield f"    # {names.values[position]} stands for {one_line(told)}."
