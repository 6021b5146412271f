"""The straight-line form: one assignment per node and per contribution, with Python's own floats.

It computes what the eager engine computes, operation by operation in the same order, and so the same
bits: the values, and the gradients of a backward pass. Only the sign of a gradient that is 0 may differ.
In a long graph what repeats becomes loops (see :mod:`loops`); the values in these stand in one list, at their
positions in the graph, and so do their upstream gradients.
"""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from microbp.groups import GroupPath
from microbp.replay.function_graph import Captured
from microbp.replay.identifiers import Identifiers, one_line
from microbp.replay.loops import Layout, Loop, Numbers, Stride, layout
from microbp.replay.statements import WIDTH, Statements, calls, header

__all__ = ["MOST", "straight"]

#: The largest graph that is written out: Python's compiler takes about 7 µs and 3.3 kB for a line.
MOST = 50_000


def straight(
    captured: Captured, *, wrt_inputs: bool = False, plan: Layout | None = None
) -> str:
    """The source: ``value(inputs, parameters)`` and ``value_and_grad(inputs, parameters)``, for one sample.

    Both take lists of floats. ``value`` returns the output, or the list of outputs. ``value_and_grad``
    returns that and the list of the output's derivatives in the parameters (of several outputs, of their
    sum); with ``wrt_inputs`` also the list of those in the inputs. ``plan`` has the loops.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> print(straight(capture((w * x).sin() * w, inputs=[x], params=[w])), end="")
    from math import cos, sin
    <BLANKLINE>
    <BLANKLINE>
    def value(inputs, parameters):
        x, = inputs
        w, = parameters
        v2 = w * x
        v3 = sin(v2)
        v4 = v3 * w
        return v4
    <BLANKLINE>
    <BLANKLINE>
    def value_and_grad(inputs, parameters):
        x, = inputs
        w, = parameters
        v2 = w * x
        v3 = sin(v2)
        v4 = v3 * w
        # Backward, from the last value to the first: d_v is ∂v4/∂v.
        d_v4 = 1.0
        d_w = d_v4 * v3
        d_v3 = d_v4 * w
        d_v2 = d_v3 * cos(v2)
        d_w += d_v2 * x
        return v4, [d_w]

    Raises ValueError for more than :data:`MOST` nodes to be written out.
    """
    record = captured.graph
    plan = layout(captured, loops=False) if plan is None else plan
    if plan.length > MOST:
        told = f"with loops for what repeats it has {plan.length:,}, and {MOST:,} are the most"
        raise ValueError(
            f"compile: the straight-line form of {len(record.op):,} values would be too long for Python's "
            f"compiler: {told}; use form='matrix'"
        )
    value = _Writer(captured, plan)
    both = copy.deepcopy(value, {id(each): each for each in (captured, plan, captured.graph)})
    both.words = value.words
    functions = [value.value(), both.value_and_grad(wrt_inputs)]
    tables = "".join(_table(*each) for each in value.tables.values())
    text = "\n\n\n".join("\n".join(each) for each in functions)
    return f"{header(value.words)}{tables and chr(10)}{tables}\n\n{text}\n"


def _table(name: str, numbers: Sequence[float]) -> str:
    text = ", ".join(map(repr, numbers))
    lines = textwrap.wrap(text, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"{name} = (", *(f"    {each}" for each in lines), ")\n"])


class _Writer(Statements):
    """Writes a function, what comes last first: what is asked of a loop is known when its turn comes."""

    def __init__(self, captured: Captured, plan: Layout) -> None:
        super().__init__(Identifiers(["inputs", "parameters", "upstream", "v", "d", "range"]), set())
        self.captured, self.plan, self.record = captured, plan, captured.graph
        record, given = self.record, captured.graph._naming.given
        self.leaves = {*captured.inputs, *captured.params}
        #: What each single node is called, and each slot of a loop, by the position of its first node.
        self.names: dict[int, str] = {}
        self.tables: dict[int, tuple[str, tuple[float, ...]]] = {}
        self.made: dict[str, str] = {}
        for item in plan.items():
            if isinstance(item, int):
                number = record.op[item] < 0 and item not in self.leaves and item not in given
                name = repr(float(record.data[item])) if number else self.identifiers.new(record.name(item))
                self.names[item] = name
                continue
            for slot in item.slots:
                name = self.names[slot.position] = self.identifiers.new(self._stem(slot.position, item))
                for each in slot.operands:
                    if isinstance(each, Numbers) and len(each.numbers) > 1:
                        self.tables[id(each)] = self.identifiers.new(f"{name}_numbers"), each.numbers
        constants = record.data[[*({*np.flatnonzero(record.op < 0).tolist()} - self.leaves)]]
        numbers = np.concatenate([record.consts, constants])
        self.words |= {word for word, found in (("nan", np.isnan), ("inf", np.isinf)) if found(numbers).any()}
        #: The values that somebody asks for in the list of all; the slots of loops of which somebody asks for
        #: a list of their own; and the loops' last values that somebody asks for.
        self.asked = plan.mask()
        self.kept: set[int] = set()
        self.ends: set[int] = set()
        #: In a loop: which, its slot at hand, whether it is the backward pass, and what runs over which list.
        self.loop: Loop | None = None
        self.user, self.back = 0, False
        self.over: dict[str, str] = {}
        #: Which nodes have an upstream gradient that is asked for, and which of these are in the list; the
        #: single ones that have one so far, and the slots whose variable begins anew.
        self.needed = self.listed = plan.mask()
        self.begun: set[int] = set()
        self.fresh: set[int] = set()
        self.in_list = False

    def _stem(self, first: int, loop: Loop) -> str:
        """The name of a value in all repetitions: of ``h[1]`` and ``h[9]`` it is ``h``."""
        record, last = self.record, Stride(first, loop.period).last(loop.times)
        name = record.name(first)
        if not record._naming.given.issuperset((first, last)):
            return name
        pairs = zip(name, record.name(last), strict=False)
        same = "".join(a for a, b in pairs if a == b and not a.isdigit())
        return same if same.strip("[]., _") else name

    def derived(self, name: str) -> str:
        """An identifier for a text that is one word but for its meaning, the same each time."""
        if name not in self.made:
            self.made[name] = self.identifiers.new(name)
        return self.made[name]

    def name(self, slot: int) -> str:
        """The variable of a slot of the loop."""
        assert self.loop is not None
        return self.names[self.loop.slots[slot].position]

    def block(self) -> list[str]:
        """The lines since the last block."""
        lines, self.lines = self.lines, []
        return lines

    # ------------------------------------------------------------------------------------ functions
    def value(self) -> list[str]:
        """``value``: the values, from the first to the last."""
        self._return("")
        return self._function("value", self.block())

    def value_and_grad(self, wrt_inputs: bool) -> list[str]:
        """``value_and_grad``: the values, and then the chain rule from the last to the first."""
        captured, plan = self.captured, self.plan
        self.needed = plan.needed(wrt_inputs)
        self.listed = plan.listed(self.needed)
        outputs = [place for place in captured.outputs if self.needed[place]]
        if outputs:
            whole = self.value_of(outputs[0]) if len(captured.outputs) == 1 else "(sum of the outputs)"
            self.line(f"# Backward, from the last value to the first: d_v is ∂{whole}/∂v.")
        head = self.block()
        for place in reversed(outputs):
            self.give(place, "1.0")
        for item in reversed(list(plan.items())) if outputs else []:
            if isinstance(item, Loop):
                self._backward(item)
            elif self.record.op[item] >= 0 and self.needed[item]:
                rule, name = self.record.rules[self.record.op[item]], self.names[item]
                self.pass_on(rule, self.operands(item), item, self.gradient(item), name)
        results = f", {self._all(captured.params)}"
        if wrt_inputs:
            results += f", {self._all(captured.inputs)}"
        self._return(results)
        if self.in_list:
            head.append(f"    d = [0.0] * {len(self.record.op)}")
        return self._function("value_and_grad", head + self.block())

    def _return(self, gradients: str) -> None:
        outputs = [self.value_of(each) for each in self.captured.outputs]
        results = f"[{', '.join(outputs)}]" if self.captured.output_shape else outputs[0]
        self.statement("return", "", results + gradients)

    def _function(self, name: str, rest: list[str]) -> list[str]:
        """All of it: before the rest, the head and the values."""
        blocks, items = [rest], list(self.plan.items())
        told = dict[int, str]()
        before: GroupPath = ()
        for item in items:
            if isinstance(item, Loop):
                before = ()
            elif self.record.op[item] >= 0 and self.record.group(item) != before:
                before = self.record.group(item)
                told[item] = calls(before) if before else ""
        for at in range(len(items) - 1, -1, -1):
            item = items[at]
            if isinstance(item, Loop):
                self._forward(item)
            else:
                self._single(item, told.get(item, ""))
            blocks.append(self.block())
        self.line(f"def {name}(inputs, parameters):")
        self.lines = [line.strip() for line in self.lines]
        self._unpack("inputs", self.captured.inputs)
        self._unpack("parameters", self.captured.params)
        if self.asked.any():
            self.line(f"v = [0.0] * {len(self.record.op)}")
        blocks.append(self.block())
        return [line for block in reversed(blocks) for line in block]

    def _unpack(self, family: str, places: Sequence[int | None]) -> None:
        """The leaves outside of loops as variables."""
        inside = [place is not None and self.plan.home(place) is not None for place in places]
        texts = ["_" if place is None else self.names.get(place, "_") for place in places]
        if all(place is None for place in places):
            return
        if not any(inside):
            self.statement(f"{', '.join(texts)}{',' * (len(texts) == 1)}", "=", family)
            return
        self.line(f"if len({family}) != {len(places)}:")
        self.line(f'    raise ValueError(f"{len(places)} {family}, not {{len({family})}}")')
        at = 0
        pairs = zip(inside, places, strict=True)
        for known, run in groupby(pairs, lambda each: each[1] is not None and not each[0]):
            first, at = at, at + len([*run])
            if known:
                part = f"{family}[{first}:{at}]" if at > first + 1 else f"{family}[{first}]"
                self.statement(", ".join(texts[first:at]), "=", part)

    # --------------------------------------------------------------------------------------- values
    def operands(self, position: int) -> list[int | float]:
        """The operands of a single node: positions, and floats for literals."""
        record = self.record
        args = record.args[record.first[position] : record.first[position + 1]].tolist()
        return [each if each >= 0 else float(record.consts[-1 - each]) for each in args]

    def _single(self, item: int, comment: str) -> None:
        record, name = self.record, self.names[item]
        if comment:
            self.line(comment)
        if record.op[item] >= 0:
            self.compute(record.rules[record.op[item]], self.operands(item), name, name)
        elif item not in self.leaves and item in record._naming.given:
            self.line(f"{name} = {float(record.data[item])!r}")
        if self.asked[item]:
            self.line(f"v[{item}] = {name}")

    def value_of(self, operand: int) -> str:
        """An operand by its position; in a loop by its number among the slot's, -1 for the slot itself."""
        loop = self.loop
        if loop is None:
            return self._outside(operand)
        each = loop.slots[self.user].operands[operand] if operand >= 0 else loop.column(self.user)
        if isinstance(each, Numbers):
            table = self.tables[id(each)][0]
            return self._running(f"{table}_now", f"reversed({table})" if self.back else table)
        if not each.step:
            return self._outside(each.first)
        known = (self.user, 0) if operand < 0 else loop.inner(each)
        if known is None:
            return self._running(f"{self.name(self.user)}_from_{operand}", self._column(each))
        slot, lag = known
        if not self.back and not loop.slots[slot].leaf:
            if loop.near(self.user, slot, lag):
                return self.name(slot)
            self.asked[each.first : loop.end : loop.period] = True
            return f"v[{self._at(each)}]"
        if lag:
            return self._running(f"{self.name(slot)}_before{lag if lag > 1 else ''}", self._column(each))
        self.over[self.name(slot)] = self._column(each)
        return self.name(slot)

    def _outside(self, position: int) -> str:
        """A value outside of the loop that is being written."""
        loop = self.plan.home(position)
        if loop is None:
            return self.names[position]
        index = (position - loop.start) % loop.period
        if not loop.slots[index].leaf and position == loop.column(index).last(loop.times):
            self.ends.add(position)
            return self.derived(f"{self.names[loop.start + index]}_last")
        self.asked[position] = True
        return f"v[{position}]"

    def _running(self, wanted: str, text: str) -> str:
        """The variable that runs over a list."""
        name = self.derived(wanted)
        self.over[name] = text
        return name

    def _at(self, stride: Stride) -> str:
        """The variable that runs over the places of a stride."""
        assert self.loop is not None
        first, step, times = *stride, self.loop.times
        if self.back:
            first, step = stride.last(times), -step
        text = f"range({first}, {first + step * times}, {step})"
        return self._running(f"at {stride.first} {stride.step}", text)

    def _column(self, stride: Stride) -> str:
        """The values at the places of a stride, from the last to the first in a backward pass.

        They are a part of the list of a slot, of that in which leaves are given, or of that of all values.
        """
        assert self.loop is not None
        times = self.loop.times
        loop = self.plan.home(stride.last(times)) or self.plan.home(stride.first)
        if loop is not None and stride.step % loop.period == 0:
            k, at = divmod(stride.first - loop.start, loop.period)
            slot, step = loop.slots[at], stride.step // loop.period
            low, high = sorted((k, k + step * (times - 1)))
            if slot.leaf in ("inputs", "parameters") and low >= 0 and high < loop.times and slot.given.step:
                first, by = slot.given
                return _slice(slot.leaf, Stride(first + by * k, by * step), times, back=self.back)
            before = int(1 in loop.uses[at])
            if not slot.leaf and low + before >= 0 and high < loop.times:
                self.kept.add(slot.position)
                name, length = self.derived(f"{self.names[slot.position]}s"), loop.times + before
                if (k + before, step, times) == (0, 1, length):
                    return f"reversed({name})" if self.back else name
                return _slice(name, Stride(k + before, step), times, back=self.back)
        self.asked[stride.places(times)] = True
        return _slice("v", stride, times, back=self.back)

    # ---------------------------------------------------------------------------------------- loops
    def _enter(self, loop: Loop, *, back: bool) -> list[str]:
        """Write the body of a loop from now on; returns the lines before it."""
        self.loop, self.back, self.over, self.indent = loop, back, {}, "        "
        return self.block()

    def _leave(self, before: list[str], begin: list[str], variables: dict[str, str]) -> None:
        """The loop with its body: the comments and lines that begin it, and then its head."""
        loop, body, name = self.loop, self.block(), self.record.name
        assert loop is not None
        self.loop, self.indent, self.lines = None, "    ", before
        if not body:
            return
        told = f"the values from {name(loop.start)} to {name(loop.end - 1)}"
        self.line(f"# {loop.times:,} times {loop.period}: {one_line(told)}.")
        for variable, stands in variables.items():
            self.line(f"# {variable} stands for {one_line(stands)}.")
        for line in begin:
            self.line(line)
        lists = [*self.over.values()]
        running = f"{', '.join(self.over)} in zip({', '.join(lists)})"
        if len(lists) < 2:
            running = f"{next(iter(self.over))} in {lists[0]}" if lists else f"_ in range({loop.times})"
        if len(f"    for {running}:") <= WIDTH:
            self.line(f"for {running}:")
        else:
            self.line(f"for {', '.join(self.over)} in zip(")
            self.lines += [*(f"        {each}," for each in lists), "    ):"]
        self.lines += body

    def _slot_operands(self, index: int) -> list[int | float]:
        """By their numbers; what is one number in each repetition stays that."""
        assert self.loop is not None
        return [
            each.numbers[0] if isinstance(each, Numbers) and len(each.numbers) == 1 else at
            for at, each in enumerate(self.loop.slots[index].operands)
        ]

    def _forward(self, loop: Loop) -> None:
        """The values of a loop."""
        before, times, lists = self._enter(loop, back=False), loop.times, list[int]()
        computed = [index for index, slot in enumerate(loop.slots) if not slot.leaf]
        direct = {index for index in computed if -1 in loop.uses[index]}
        columns = {index: loop.column(index) for index in range(loop.period)}
        for index in computed:
            self.user, slot, name = index, loop.slots[index], self.name(index)
            target = f"v[{self._at(columns[index])}] = {name}" if index in direct else name
            self.compute(slot.rule, self._slot_operands(index), target, name)
            asked = index not in direct and self.asked[columns[index].places(times)].any()
            if slot.position in self.kept or asked:
                lists.append(index)
                self.line(f"{self.derived(f'{name}s')}.append({name})")
        names = {index: self.name(index) for index in columns}
        nexts = [index for index in computed if 1 in loop.uses[index]]
        self.loop = None
        before_first = [self._outside(loop.slots[each].position - loop.period) for each in nexts]
        begin = [f"{names[each]} = {text}" for each, text in zip(nexts, before_first, strict=True)]
        begin += [f"{self.derived(f'{names[each]}s')} = [{names[each] * (each in nexts)}]" for each in lists]
        self.loop = loop
        told = {}
        if loop.period <= 12:
            for index, stride in columns.items():
                shown = [self.record.name(stride.first + loop.period * k) for k in (0, 1, times - 1)]
                told[names[index]] = f"{shown[0]}, {shown[1]}, …, {shown[2]}"
        leaves = []
        for index, slot in enumerate(loop.slots):
            if slot.leaf and self.asked[columns[index].places(times)].any():
                leaves.append((_slice("v", columns[index], times), self._leaf(index)))
        self._leave(before, begin, told)
        body = self.block()
        for target, text in leaves:
            self.statement(target, "=", text)
        self.lines += body
        for index in computed:
            if columns[index].last(times) in self.ends:
                self.line(f"{self.derived(f'{names[index]}_last')} = {names[index]}")
            if index in lists and index not in direct and self.asked[columns[index].places(times)].any():
                part = self.derived(f"{names[index]}s") + "[1:]" * (index in nexts)
                self.line(f"{_slice('v', columns[index], times)} = {part}")

    def _leaf(self, index: int) -> str:
        """What a leaf is in all repetitions."""
        assert self.loop is not None
        slot, times = self.loop.slots[index], self.loop.times
        if slot.leaf == "constants":
            (numbers,) = slot.operands
            assert isinstance(numbers, Numbers)
            same = f"[{numbers.numbers[0]!r}] * {times}"
            return same if len(numbers.numbers) == 1 else self.tables[id(numbers)][0]
        first, step = slot.given
        return _slice(slot.leaf, slot.given, times) if step else f"[{slot.leaf}[{first}]] * {times}"

    # ------------------------------------------------------------------------------------ gradients
    def gradient(self, position: int) -> str:
        """The upstream gradient of a value outside of the loop that is being written."""
        if self._in_list(position):
            self.in_list = True
            return f"d[{position}]"
        loop = self.plan.home(position)
        if loop is not None:
            position = loop.start + (position - loop.start) % loop.period
        return self.derived(f"d_{self.names[position]}")

    def _in_list(self, position: int) -> bool:
        loop = self.plan.home(position)
        if loop is None:
            return bool(self.listed[position])
        first = loop.start + (position - loop.start) % loop.period
        return bool(self.listed[first]) or position + loop.period < loop.end

    def goes_to(self, operand: int) -> bool:
        if self.loop is None:
            return bool(self.needed[operand])
        each = self.loop.slots[self.user].operands[operand]
        return isinstance(each, Stride) and bool(self.needed[each.first])

    def give(self, operand: int, text: str) -> None:
        loop = self.loop
        if loop is None:
            begun = operand in self.begun or self._in_list(operand)
            self.begun.add(operand)
            self.statement(self.gradient(operand), "+=" if begun else "=", text)
            return
        each = loop.slots[self.user].operands[operand]
        assert isinstance(each, Stride)
        known = loop.inner(each)
        if not each.step:
            self.statement(self.gradient(each.first), "+=", text)
        elif known and not self.listed[loop.slots[known[0]].position]:
            sign = "=" if known[0] in self.fresh else "+="
            self.fresh.discard(known[0])
            self.statement(self._upstream(known[0]), sign, text)
        else:
            self.in_list = True
            self.statement(f"d[{self._at(each)}]", "+=", text)

    def _upstream(self, slot: int) -> str:
        """The variable of the upstream gradient of a slot."""
        return self.derived(f"d_{self.name(slot)}")

    def _backward(self, loop: Loop) -> None:
        """What a loop passes on, from the last repetition to the first."""
        slots = [index for index, slot in enumerate(loop.slots) if self.needed[slot.position]]
        before, lists, end = self._enter(loop, back=True), list[int](), list[tuple[int, str]]()
        variables = [index for index in slots if not self.listed[loop.slots[index].position]]
        lasts = {index: loop.column(index).last(loop.times) for index in variables}
        nexts = {index for index in variables if 1 in loop.uses[index]}
        opened = {index for index in variables if index not in nexts and self.plan.reached[lasts[index]] < 0}
        self.fresh = set(opened)
        for index in reversed(slots):
            self._slot(index, index in nexts | opened, lists)
        begin = [
            f"{self._upstream(index)} = 0.0"
            for index in variables
            if index not in opened and lasts[index] not in self.begun
        ]
        for index in variables:
            near = loop.slots[index].position - loop.period
            if index in nexts and self.needed[near]:
                end.append((near, self._upstream(index)))
        for slot in loop.slots:
            for each in slot.operands:
                if isinstance(each, Stride) and not each.step and self.needed[each.first]:
                    if each.first not in self.begun and not self._in_list(each.first):
                        begin.append(f"{self.gradient(each.first)} = 0.0")
                    self.begun.add(each.first)
        kept = {index: self.derived(f"{self._upstream(index)}s") for index in lists}
        self._leave(before, [*begin, *(f"{each} = []" for each in kept.values())], {})
        for index, name in kept.items():
            self.line(f"{_slice('d', loop.column(index), loop.times, back=True)} = {name}")
        for position, text in end:
            self.give(position, text)

    def _slot(self, index: int, renewed: bool, lists: list[int]) -> None:
        """The statements of one slot, and then its variable is that of the repetition before."""
        assert self.loop is not None
        slot, name = self.loop.slots[index], self._upstream(index)
        listed = bool(self.listed[slot.position])
        several, upstream, self.user = len(slot.operands) > 1, name, index
        itself = not listed and any((self.loop.inner(each) or (-1,))[0] == index for each in slot.operands)
        if slot.leaf and not listed:
            lists.append(index)
            self.in_list = True
            self.line(f"{self.derived(f'{name}s')}.append({name})")
        elif listed and not slot.leaf:
            self.in_list = True
            upstream = f"d[{self._at(self.loop.column(index))}]"
            if several:
                self.line(f"{name} = {upstream}")
                upstream = name
        elif itself and several:
            self.line(f"upstream = {name}")
            upstream = "upstream"
        if not slot.leaf and not itself:
            self.pass_on(slot.rule, self._slot_operands(index), -1, upstream, self.name(index))
        if renewed:
            self.fresh.add(index)
        elif not listed:
            self.line(f"{name} = 0.0")
        if not slot.leaf and itself:
            self.pass_on(slot.rule, self._slot_operands(index), -1, upstream, self.name(index))

    def _all(self, places: Sequence[int | None]) -> str:
        """The list of derivatives in some leaves; neighbours in the list of all as a part of it."""
        texts: list[str] = []
        at = 0
        while at < len(places):
            place, end, step = places[at], at + 1, 0
            if place is None or not self.needed[place]:
                texts.append("0.0")
            elif not self._listed_leaf(place):
                texts.append(self.gradient(place) if place in self.begun else "0.0")
            else:
                while end < len(places) and (there := places[end]) is not None and self._listed_leaf(there):
                    here = there - (places[end - 1] or 0)
                    if (step and here != step) or not self.needed[there]:
                        break
                    step, end = here, end + 1
                self.in_list = True
                end = end if end - at > 3 else at + 1
                part = f"*{_slice('d', Stride(place, step), end - at)}"
                texts.append(part if end > at + 1 else f"d[{place}]")
            at = end
        return f"[{', '.join(texts)}]"

    def _listed_leaf(self, leaf: int) -> bool:
        """Whether the gradient of a leaf is in the list in the end."""
        return bool(self.listed[leaf]) or self.plan.home(leaf) is not None


def _slice(name: str, stride: Stride, times: int, *, back: bool = False) -> str:
    """The part of a list; of more than one element.

    >>> _slice("v", Stride(3, 2), 4), _slice("v", Stride(3, 2), 4, back=True)
    ('v[3:10:2]', 'v[9:2:-2]')
    """
    first, step = stride
    if back:
        first, step = first + step * (times - 1), -step
    stop = first + step * (times - 1) + (1 if step > 0 else -1)
    return f"{name}[{first}:{'' if stop < 0 else stop}{'' if step == 1 else f':{step}'}]"
