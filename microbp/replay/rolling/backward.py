"""The backward pass of a rolled program: the contributions in the order of the eager engine."""

from __future__ import annotations

import re

from microbp.replay.rolling.blocks import Block, Fixed, Lag, Run, Table
from microbp.replay.rolling.forward import Forward, comment, pattern
from microbp.replay.rolling.names import Names, series, shifted
from microbp.replay.rolling.plan import Mode, Plan, modes, register

__all__ = ["Backward"]

_MARKED = re.compile("§([0-9.]+)§")


class Backward(Forward):
    """Writes the upstream gradients, from the last value to the first."""

    def __init__(self, plan: Plan, names: Names, listed: set[tuple[int, int]], wrt_inputs: bool) -> None:
        super().__init__(plan, names, listed)
        self.wrt_inputs = wrt_inputs
        self.modes = modes(plan, wrt_inputs)
        #: The values that have an upstream gradient so far, of those that have a variable.
        self.contributed: set[int] = set()
        captured = plan.captured
        #: The lists of inputs and parameters whose gradients loops compute.
        self.families: dict[str, int] = {}
        for block in plan.loops:
            for slot in block.slots:
                if slot.leaf and plan.needs(slot.node.position, wrt_inputs):
                    size = len(captured.inputs if slot.leaf == "inputs" else captured.params)
                    self.families[slot.leaf] = size

    def needs(self, position: int) -> bool:
        """Whether a gradient goes there."""
        return self.plan.needs(position, self.wrt_inputs)

    # --------------------------------------------------------------------- texts of upstream gradients
    def upstream(self, position: int) -> str:
        """The upstream gradient of a value outside of the loop that is being written."""
        home = self.plan.home(position)
        if home is None:
            return self.names.gradient(position)
        block, slot, k = home
        if self.modes[block.start, slot].listed:
            before = self.longest(block, slot)
            return f"{self.names.list(block, slot, 'd_')}[{before + k}]"
        return self.names.register(block, slot, block.times - 1 - k, "d_")

    def in_list(self, position: int) -> bool:
        """Whether it is an element of a list, which has been 0 from the beginning."""
        home = self.plan.home(position)
        return home is not None and self.modes[home.block.start, home.slot].listed

    def contribute(self, position: int, text: str) -> None:
        """Add to the upstream gradient of such a value."""
        known = position in self.contributed or self.in_list(position)
        self.contributed.add(position)
        self.line(f"{self.upstream(position)} {'+=' if known else '='} {text}")

    # ------------------------------------------------------------------------------------- statements
    def line(self, text: str) -> None:
        """A statement; a value between two marks is only asked for if it stands in one."""
        super().line(_MARKED.sub(lambda found: self.asked(found[1]), text))

    def asked(self, mark: str) -> str:
        """The text of a value of which a local derivative speaks."""
        return self.value(int(mark))

    def write(self) -> None:
        """All items, from the last to the first."""
        outputs = [place for place in self.plan.captured.outputs if self.needs(place)]
        if not outputs:
            return
        whole = self.value(outputs[0]) if len(self.plan.captured.outputs) == 1 else "(sum of the outputs)"
        self.line(f"# Backward, from the last value to the first: d_v is ∂{whole}/∂v.")
        for family, size in self.families.items():
            self.line(f"d_{family} = [0.0] * {size}")
        for (start, slot), mode in self.modes.items():
            if mode.listed:
                block = self.plan.block(start)
                name = self.names.list(block, slot, "d_")
                self.line(f"{name} = [0.0] * {self.longest(block, slot) + block.times}")
        for place in reversed(outputs):
            self.contribute(place, "1.0")
        for item in reversed(list(self.plan.items())):
            if not isinstance(item, int):
                self.block(item)
            elif self.nodes[item].rule is not None and self.needs(item):
                node = self.nodes[item]
                texts = [f"§{each}§" if type(each) is int else repr(each) for each in node.operands]
                self.pass_on(node, texts, f"§{item}§", self.upstream(item))

    def goes_to(self, operand: int) -> bool:
        """Whether an operand takes a gradient."""
        return self.needs(operand)

    def give(self, operand: int, text: str) -> None:
        """Add to an operand's upstream gradient."""
        self.contribute(operand, text)

    # ----------------------------------------------------------------------------------------- loops
    def block(self, block: Block) -> None:
        """A loop from the last repetition to the first."""
        if not any(self.needs(slot.node.position) for slot in block.slots):
            return
        body = _Body(self, block)
        body.write()
        if body.lines:
            self.lines += list(comment(self.names, block, self.nodes))[:1]
            self._begin(block, body)
            self.loop([*body.over], [*body.over.values()], block.times)
            self.inside = False
            self.lines += body.lines
        self._end(block)

    def _begin(self, block: Block, body: _Body) -> None:
        for slot in block.slots:
            for each in slot.operands:
                if type(each) is Fixed and self.needs(each.position):
                    if each.position not in self.contributed and not self.in_list(each.position):
                        self.line(f"{self.upstream(each.position)} = 0.0")
                    self.contributed.add(each.position)
        for index in range(block.period):
            mode = self.modes.get((block.start, index))
            if mode is None:
                continue
            if mode.listed:
                for back, position in self._history(block, index):
                    if position in self.contributed or self.in_list(position):
                        at = self.longest(block, index) - back
                        self.line(f"{self.names.list(block, index, 'd_')}[{at}] = {self.upstream(position)}")
                continue
            if block.slots[index].leaf:
                self.line(f"{self.names.list(block, index, 'd_')} = []")
            for number in range(mode.deepest + 1):
                position = block.start + block.period * (block.times - 1 - number) + index
                opened = number == mode.deepest and body.opens_early(index)
                if position not in self.contributed and not opened:
                    self.line(f"{self.names.register(block, index, number, 'd_')} = 0.0")

    def _history(self, block: Block, index: int) -> list[tuple[int, int]]:
        """The values before the loop to which it passes gradients: how far back, and the position."""
        found = self.history(block, index)
        return [(back, position) for back, position in enumerate(found, 1) if self.needs(position)]

    def _end(self, block: Block) -> None:
        for index, slot in enumerate(block.slots):
            mode = self.modes.get((block.start, index))
            if mode is None:
                continue
            name = self.names.list(block, index, "d_")
            for back, position in self._history(block, index):
                at = self.longest(block, index) - back
                kept = f"{name}[{at}]" if mode.listed else self.names.register(block, index, back - 1, "d_")
                self.line(f"{self.upstream(position)} = {kept}")
                self.contributed.add(position)
            if slot.leaf:
                size = self.families[slot.leaf]
                part = name
                if mode.listed and self.longest(block, index):
                    part = f"{name}[{self.longest(block, index)}:]"
                place = series(
                    f"d_{slot.leaf}", size, slot.first, slot.step, block.times, reverse=not mode.listed
                )
                if "[" not in place:  # the whole list
                    place = f"d_{slot.leaf}[{'::-1' if 'reversed' in place else ':'}]"
                self.line(f"{place} = {part}")

    # ------------------------------------------------------------------------------------- the result
    def gradients(self, family: str) -> str:
        """The text of the list of derivatives in all inputs, or parameters."""
        captured = self.plan.captured
        places = captured.inputs if family == "inputs" else captured.params
        if family not in self.families:
            found = [
                self.upstream(each) if each is not None and self._has(each) else "0.0" for each in places
            ]
            return f"[{', '.join(found)}]"
        index = 0
        while index < len(places):
            first = index
            texts = []
            while index < len(places):
                here = places[index]
                if here is None or self.plan.home(here) is not None:
                    break
                texts.append(self.upstream(here) if self._has(here) else "0.0")
                index += 1
            if len(texts) == 1:
                self.line(f"d_{family}[{first}] = {texts[0]}")
            elif texts:
                self.line(f"d_{family}[{first}:{index}] = {', '.join(texts)}")
            else:
                index += 1
        return f"d_{family}"

    def _has(self, position: int) -> bool:
        return position in self.contributed and self.needs(position)


class _Body(Backward):
    """The lines of a loop; operands are numbered as in the pattern."""

    def __init__(self, outer: Backward, block: Block) -> None:
        Forward.__init__(self, outer.plan, outer.names, outer.listed)
        self.wrt_inputs, self.modes, self.contributed = outer.wrt_inputs, outer.modes, outer.contributed
        self.here = block
        self.inside = True
        self.over: dict[str, str] = {}
        self.user = 0
        #: The slots whose last variable begins anew with the next contribution.
        self.fresh: set[int] = set()
        self.landings = self._landings()

    def _landings(self) -> dict[int, list[int]]:
        """For each slot that is kept in variables, the users that pass to its last one, in order."""
        found: dict[int, list[int]] = {}
        for user in range(self.here.period - 1, -1, -1):
            for operand in self.here.slots[user].operands:
                if type(operand) is Lag:
                    mode = self.modes.get((self.here.start, operand.slot))
                    if mode and not mode.listed and register(user, *operand) == mode.deepest:
                        found.setdefault(operand.slot, []).append(user)
        return found

    def opens_early(self, slot: int) -> bool:
        """Whether the last variable gets its first contribution before the slot's turn, by assignment."""
        return self.modes[self.here.start, slot].fresh and not self._opens_late(slot)

    def _opens_late(self, slot: int) -> bool:
        return any(user <= slot for user in self.landings[slot])

    def write(self) -> None:
        block, names = self.here, self.names
        self.fresh = {
            index
            for index in range(block.period)
            if index in self.landings and self.opens_early(index)
        }
        for index in range(block.period - 1, -1, -1):
            mode = self.modes.get((block.start, index))
            if mode is None:
                continue
            slot = block.slots[index]
            name = names.register(block, index, 0, "d_")
            kept = names.list(block, index, "d_")
            if mode.listed and not slot.leaf:
                self.line(f"{name} = {kept}[{self.counted(shifted(self.longest(block, index)))}]")
            if slot.leaf:
                if not mode.listed:
                    self.line(f"{kept}.append({name})")
                    self._move_on(index, mode)
                continue
            node = pattern(slot)
            self.user = index
            texts = [
                repr(each) if type(each) is float else f"§{index}.{place}§"
                for place, each in enumerate(node.operands)
            ]
            own = [each for each in slot.operands if type(each) is Lag and each.slot == index]
            if not mode.listed and own:
                if mode.deepest or len(slot.operands) > 1:
                    self.line(f"upstream = {name}")
                    name = "upstream"
                self._move_on(index, mode)
                self.pass_on(node, texts, f"§{index}§", name)
            else:
                self.pass_on(node, texts, f"§{index}§", name)
                if not mode.listed:
                    self._move_on(index, mode)

    def _move_on(self, index: int, mode: Mode) -> None:
        """To the repetition before: its upstream gradient is the slot's from now on."""
        names, block = self.names, self.here
        for number in range(mode.deepest):
            self.line(
                f"{names.register(block, index, number, 'd_')} = "
                f"{names.register(block, index, number + 1, 'd_')}"
            )
        if self._opens_late(index):
            self.fresh.add(index)
        elif not mode.fresh:
            self.line(f"{names.register(block, index, mode.deepest, 'd_')} = 0.0")

    # --------------------------------------------------------------------------------- contributions
    def goes_to(self, operand: int) -> bool:
        target = self.plan.target(self.here, self.here.slots[self.user].operands[operand])
        return target is not None and self.needs(target)

    def give(self, operand: int, text: str) -> None:
        names, block = self.names, self.here
        match self.here.slots[self.user].operands[operand]:
            case Fixed(position):
                self.line(f"{self.upstream(position)} += {text}")
            case Lag(slot, lag):
                mode = self.modes[block.start, slot]
                if mode.listed:
                    at = self.counted(shifted(self.longest(block, slot) - lag))
                    self.line(f"{names.list(block, slot, 'd_')}[{at}] += {text}")
                    return
                number = register(self.user, slot, lag)
                first = number == mode.deepest and slot in self.fresh
                if first:
                    self.fresh.discard(slot)
                self.line(f"{names.register(block, slot, number, 'd_')} {'=' if first else '+='} {text}")
            case Run(start, slot, first_, step):
                other = self.plan.block(start)
                at = self.counted(shifted(self.longest(other, slot) + first_, step))
                self.line(f"{names.list(other, slot, 'd_')}[{at}] += {text}")

    # --------------------------------------------------------------------------------- texts of values
    def counted(self, index: str) -> str:
        """An index in which k counts the repetitions."""
        if "k" not in self.over:
            self.over["k"] = f"range({self.here.times - 1}, -1, -1)"
        return index

    def asked(self, mark: str) -> str:
        """The variable of a value that the loop uses; from now on it runs over what that value was."""
        if "." not in mark:
            return self.running_back(int(mark), 0)
        user, place = map(int, mark.split("."))
        operand = self.here.slots[user].operands[place]
        match operand:
            case Fixed(position):
                return self.value(position)
            case Lag(index, lag):
                return self.running_back(index, lag)
            case Table():
                name, _ = self.names.tables[id(operand)]
                variable = self.names.derived(f"{name}_now")
                self.over[variable] = f"reversed({name})"
                return variable
        assert type(operand) is Run
        other = self.plan.block(operand.block)
        same = self.number(other, operand.slot)
        if same is not None:
            return same
        variable = self.name_of_run(self.here, user, place, other, operand)
        self.over[variable] = self.column(
            other, operand.slot, operand.first, operand.step, self.here.times, True
        )
        return variable

    def running_back(self, index: int, lag: int) -> str:
        """The variable of a slot ``lag`` repetitions before the one at hand."""
        block = self.here
        name = self.names.register(block, index, lag)
        if block.slots[index].leaf and not self.longest(block, index):
            same = self.number(block, index)
            if same is not None:
                return same
            self.over[name] = self.column(block, index, 0, 1, block.times, True)
        else:
            self.over[name] = self.listing(block, index, -lag, 1, block.times, True)
        return name
