"""The straight-line form: one assignment per node and per contribution, with Python's own floats.

It computes what the eager engine computes, operation by operation in the same order, and so the same
bits: the values, and the gradients of a backward pass. Only the sign of a gradient that is 0 may differ.
In a long graph what repeats becomes loops (see :mod:`loops`); the values in these stand in one list, at their
positions in the graph, and so do their upstream gradients.
"""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from microbp.graph import Graph
from microbp.replay.function_graph import Captured
from microbp.replay.identifiers import Identifiers, one_line
from microbp.replay.loops import Fixed, Lag, Layout, Loop, Number, Slot, Stride, Table, layout
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
    names = Names(captured, record, plan)
    constants = record.data[[*({*np.flatnonzero(record.op < 0).tolist()} - names.leaves)]]
    numbers = np.concatenate([record.consts, constants])
    words = {word for word, found in (("nan", np.isnan), ("inf", np.isinf)) if found(numbers).any()}
    value = _Value(names.copy(), words)
    value.write()
    both = _Both(names.copy(), words, wrt_inputs)
    both.write()
    tables = "".join(_table(*each) for each in names.tables.values())
    text = "\n\n\n".join("\n".join(each) for each in (value.result, both.result))
    return f"{header(words)}{tables and chr(10)}{tables}\n\n{text}\n"


def _table(name: str, numbers: Sequence[float]) -> str:
    text = ", ".join(map(repr, numbers))
    lines = textwrap.wrap(text, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"{name} = (", *(f"    {each}" for each in lines), ")\n"])


def operands_of(record: Graph, position: int) -> list[int | float]:
    """The operands of a node: positions, and floats for literals."""
    args = record.args[record.first[position] : record.first[position + 1]].tolist()
    return [each if each >= 0 else float(record.consts[-1 - each]) for each in args]


class Names:
    """What values, upstream gradients and tables are called: the same in each function of a source."""

    def __init__(self, captured: Captured, record: Graph, plan: Layout) -> None:
        self.captured, self.record, self.plan = captured, record, plan
        self.identifiers = Identifiers(["inputs", "parameters", "upstream", "v", "d", "i", "range"])
        self.leaves = {*captured.inputs, *captured.params}
        #: Of each single node, and of each slot of a loop under the position of its first node.
        self.values: dict[int, str] = {}
        self.tables: dict[int, tuple[str, tuple[float, ...]]] = {}
        self._made: dict[str, str] = {}
        named = record._naming.given
        for item in plan.items():
            if isinstance(item, int):
                if record.op[item] < 0 and item not in self.leaves and item not in named:
                    self.values[item] = repr(float(record.data[item]))
                else:
                    self.values[item] = self.identifiers.new(record.name(item))
                continue
            for slot in item.slots:
                name = self.values[slot.position] = self.identifiers.new(self._stem(slot.position, item))
                for each in slot.operands:
                    if isinstance(each, Table):
                        self.tables[id(each)] = self.identifiers.new(f"{name}_numbers"), each.numbers

    def copy(self) -> Names:
        """For another function, in which the same words are free."""
        twin = copy.copy(self)
        twin.identifiers, twin._made = copy.deepcopy(self.identifiers), {}
        return twin

    def derived(self, name: str) -> str:
        """An identifier for a text that is one word but for its meaning, the same each time."""
        if name not in self._made:
            self._made[name] = self.identifiers.new(name)
        return self._made[name]

    def _stem(self, first: int, loop: Loop) -> str:
        """The name of a value in all repetitions: of ``h[1]`` and ``h[9]`` it is ``h``."""
        record, last = self.record, first + loop.period * (loop.times - 1)
        name, named = record.name(first), record._naming.given
        if not (first in named and last in named):
            return name
        pairs = zip(name, record.name(last), strict=False)
        same = "".join(a for a, b in pairs if a == b and not a.isdigit())
        return same if same.strip("[]., _") else name


class _Value(Statements):
    """``value``: the values, from the first to the last."""

    def __init__(self, names: Names, words: set[str]) -> None:
        super().__init__(names.identifiers, words)
        self.names, self.plan, self.record = names, names.plan, names.record
        #: The values that somebody asks for in the list of all; the slots of loops of which somebody asks for
        #: a list of their own; and the loops' last values that somebody asks for.
        self.asked = self.plan.mask()
        self.kept: set[int] = set()
        self.ends: set[int] = set()
        self.result: list[str] = []
        self.loop: _Forward | None = None

    def write(self) -> None:
        """All of it."""
        self.write_values("value")
        self.finish("value", "")

    def write_values(self, function: str) -> None:
        """The head, and all values, into what is the result so far."""
        later, self.lines = self.lines, [f"def {function}(inputs, parameters):"]
        self._unpack("inputs", self.names.captured.inputs)
        self._unpack("parameters", self.names.captured.params)
        if self.asked.any():
            self.line(f"v = [0.0] * {len(self.record.op)}")
        self._values()
        self.result, self.lines = self.lines, later

    def finish(self, function: str, gradients: str) -> None:
        """What has been written since, and what is returned."""
        outputs = [self.value_of(each) for each in self.names.captured.outputs]
        results = f"[{', '.join(outputs)}]" if self.names.captured.output_shape else outputs[0]
        self.statement("return", "", results + gradients)
        before = None
        while self.plan.loops and before != self._wishes():  # what comes later may ask loops for values
            before = self._wishes()
            self.write_values(function)
        self.result += self.lines

    def _wishes(self) -> tuple[int, int, int]:
        return int(self.asked.sum()), len(self.kept), len(self.ends)

    def _unpack(self, family: str, places: Sequence[int | None]) -> None:
        """The leaves outside of loops as variables."""
        inside = [place is not None and self.plan.home(place) is not None for place in places]
        texts = ["_" if place is None else self.names.values.get(place, "_") for place in places]
        if not any(place is not None for place in places):
            return
        if not any(inside):
            self.statement(f"{', '.join(texts)}{',' * (len(texts) == 1)}", "=", family)
            return
        self.line(f"if len({family}) != {len(places)}:")
        self.line(f'    raise ValueError(f"{len(places)} {family}, not {{len({family})}}")')
        single = [place is not None and not each for each, place in zip(inside, places, strict=True)]
        for first, last in _runs(single):
            part = f"{family}[{first}:{last}]" if last > first + 1 else f"{family}[{first}]"
            self.statement(", ".join(texts[first:last]), "=", part)

    def _values(self) -> None:
        before: object = ()
        for item in self.plan.items():
            if isinstance(item, Loop):
                _Forward(self, item).write()
                before = ()
                continue
            name, record = self.names.values[item], self.record
            if record.op[item] < 0:
                if item not in self.names.leaves and item in record._naming.given:
                    self.line(f"{name} = {float(record.data[item])!r}")
            else:
                if record.groups[item] != before:
                    before = record.groups[item]
                    if before:
                        self.line(calls(before))
                self.compute(record.rules[record.op[item]], operands_of(record, item), name, name)
            if self.asked[item]:
                self.line(f"v[{item}] = {self.names.values[item]}")

    def value_of(self, operand: int) -> str:
        """A value outside of the loop that is being written."""
        loop = self.plan.home(operand)
        if loop is None:
            return self.names.values[operand]
        slot = loop.slots[(operand - loop.start) % loop.period]
        if not slot.leaf and operand == Stride(slot.position, loop.period).last(loop.times):
            self.ends.add(operand)
            return self.names.derived(f"{self.names.values[slot.position]}_last")
        self.asked[operand] = True
        return f"v[{operand}]"

    def column(self, stride: Stride, times: int, *, back: bool = False) -> str:
        """The values at the places of a stride, from the last to the first if ``back``.

        They are a part of the list of a slot, of that in which leaves are given, or of that of all values.
        """
        loop = self.plan.home(stride.last(times)) or self.plan.home(stride.first)
        if loop is not None and stride.step % loop.period == 0:
            k, at = divmod(stride.first - loop.start, loop.period)
            slot, step = loop.slots[at], stride.step // loop.period
            low, high = sorted((k, k + step * (times - 1)))
            if slot.leaf in ("inputs", "parameters") and low >= 0 and high < loop.times and slot.step:
                given = Stride(slot.first + slot.step * k, slot.step * step)
                return _slice(slot.leaf, given, times, back=back)
            before = int(slot.near is not None)
            if not slot.leaf and low + before >= 0 and high < loop.times:
                self.kept.add(slot.position)
                name = self.names.derived(f"{self.names.values[slot.position]}s")
                length = loop.times + before
                if (k + before, step, times) == (0, 1, length):
                    return f"reversed({name})" if back else name
                return _slice(name, Stride(k + before, step), times, back=back)
        self.asked[stride.places(times)] = True
        return _slice("v", stride, times, back=back)


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


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Where runs of true begin and end."""
    start = None
    for at, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = at
        elif not flag and start is not None:
            yield start, at
            start = None


class _Over(Statements):
    """The body of a loop: variables that run over lists."""

    def __init__(self, outer: _Value, loop: Loop) -> None:
        super().__init__(outer.identifiers, outer.words)
        self.outer, self.here, self.names = outer, loop, outer.names
        self.over: dict[str, str] = {}
        self.indent = "        "
        self.user = 0

    def head(self) -> list[str]:
        """The first line, over lists of equal length."""
        variables, lists = [*self.over], [*self.over.values()]
        if not variables:
            return [f"    for _ in range({self.here.times}):"]
        if len(variables) == 1:
            return [f"    for {variables[0]} in {lists[0]}:"]
        whole = f"    for {', '.join(variables)} in zip({', '.join(lists)}):"
        if len(whole) <= WIDTH:
            return [whole]
        pairs = [f"        {each}," for each in lists]
        return [f"    for {', '.join(variables)} in zip(", *pairs, "    ):"]

    def name(self, slot: int) -> str:
        """The variable of a slot."""
        return self.names.values[self.here.slots[slot].position]

    def operands(self, slot: Slot) -> list[int | float]:
        """Its operands by their numbers; numbers that are the same in each repetition stay numbers."""
        return [each.number if isinstance(each, Number) else at for at, each in enumerate(slot.operands)]

    def running(self, wanted: str, text: str) -> str:
        """The variable that runs over a list."""
        name = self.names.derived(wanted)
        self.over[name] = text
        return name

    def told(self) -> str:
        """The comment above the loop: which values it stands for."""
        name, loop = self.names.record.name, self.here
        first, last = name(loop.start), name(loop.end - 1)
        return f"# {loop.times:,} times {loop.period}: {one_line(f'the values from {first} to {last}')}."


class _Forward(_Over):
    """The values of a loop."""

    def write(self) -> None:
        outer, loop = self.outer, self.here
        lists: list[int] = []
        for index, slot in enumerate(loop.slots):
            if slot.leaf:
                continue
            self.user = index
            name = self.name(index)
            target = f"v[{self.at(index)}] = {name}" if slot.direct else name
            self.compute(slot.rule, self.operands(slot), target, name)
            asked = outer.asked[slot.position : loop.end : loop.period].any() and not slot.direct
            if slot.position in outer.kept or asked:
                lists.append(index)
                self.line(f"{self.names.derived(f'{name}s')}.append({name})")
        for slot in loop.slots:
            if slot.leaf and outer.asked[slot.position : loop.end : loop.period].any():
                place = _slice("v", Stride(slot.position, loop.period), loop.times)
                outer.statement(place, "=", self.leaf(slot))
        if not self.lines:
            return
        outer.line(self.told())
        if loop.period <= 12:
            for index, slot in enumerate(loop.slots):
                repetitions = (0, 1, loop.times - 1)
                names = [self.names.record.name(slot.position + loop.period * k) for k in repetitions]
                told = one_line(f"{names[0]}, {names[1]}, …, {names[2]}")
                outer.line(f"# {self.name(index)} stands for {told}.")
        for index, slot in enumerate(loop.slots):
            if slot.near is not None:
                outer.line(f"{self.name(index)} = {outer.value_of(slot.near)}")
        for index in lists:
            near = loop.slots[index].near
            begin = "" if near is None else self.name(index)
            outer.line(f"{self.names.derived(f'{self.name(index)}s')} = [{begin}]")
        outer.lines += self.head() + self.lines
        for index, slot in enumerate(loop.slots):
            here, name = Stride(slot.position, loop.period), self.name(index)
            if here.last(loop.times) in outer.ends:
                outer.line(f"{self.names.derived(f'{name}_last')} = {name}")
            if index in lists and not slot.direct and outer.asked[here.places(loop.times)].any():
                part = self.names.derived(f"{name}s") + "[1:]" * (slot.near is not None)
                outer.line(f"{_slice('v', here, loop.times)} = {part}")

    def at(self, index: int, back: int = 0) -> str:
        """The position of a slot in the repetition at hand, or of a value so many positions before it."""
        if "i" not in self.over:
            self.over = {"i": f"range({self.here.start}, {self.here.end}, {self.here.period})", **self.over}
        offset = self.here.slots[index].position - self.here.start - back
        return f"i {'+' if offset > 0 else '-'} {abs(offset)}" if offset else "i"

    def leaf(self, slot: Slot) -> str:
        """What a leaf is in all repetitions."""
        times = self.here.times
        if slot.leaf == "constants":
            (number,) = slot.operands
            if isinstance(number, Table):
                return self.names.tables[id(number)][0]
            assert isinstance(number, Number)
            return f"[{number.number!r}] * {times}"
        stride = Stride(slot.first, slot.step)
        return _slice(slot.leaf, stride, times) if slot.step else f"[{slot.leaf}[{slot.first}]] * {times}"

    def value_of(self, operand: int) -> str:
        """An operand in the loop."""
        loop, user = self.here, self.user
        each = loop.slots[user].operands[operand]
        match each:
            case Table():
                return self.running(f"{self.names.tables[id(each)][0]}_now", self.names.tables[id(each)][0])
            case Fixed(position):
                return self.outer.value_of(position)
            case Lag(slot, lag, first) if not loop.slots[slot].leaf:
                if loop.is_near(user, each):
                    return self.name(slot)
                self.outer.asked[first : loop.end : loop.period] = True
                return f"v[{self.at(user, loop.slots[user].position - first)}]"
            case Lag(slot, lag, first):
                column = self.outer.column(Stride(first, loop.period), loop.times)
                return self.running(f"{self.name(slot)}{'_before' * lag}", column)
        assert isinstance(each, Stride)
        wanted = f"{self.name(user)}_from_{operand}"
        return self.running(wanted, self.outer.column(each, loop.times))


class _Both(_Value):
    """``value_and_grad``: the values, and then the chain rule from the last to the first."""

    def __init__(self, names: Names, words: set[str], wrt_inputs: bool) -> None:
        super().__init__(names, words)
        self.wrt_inputs = wrt_inputs
        self.needed = self.plan.needed(wrt_inputs)
        self.listed = self.plan.listed(self.needed)
        #: The single values that have an upstream gradient so far.
        self.begun: set[int] = set()
        #: Whether there is a list of upstream gradients.
        self.in_list = False

    def write(self) -> None:
        self.write_values("value_and_grad")
        captured = self.names.captured
        outputs = [place for place in captured.outputs if self.needed[place]]
        if outputs:
            whole = self.value_of(outputs[0]) if len(captured.outputs) == 1 else "(sum of the outputs)"
            self.line(f"# Backward, from the last value to the first: d_v is ∂{whole}/∂v.")
            self.mark = len(self.lines)
        for place in reversed(outputs):
            self.give(place, "1.0")
        for item in reversed(list(self.plan.items())) if outputs else []:
            if isinstance(item, Loop):
                _Backward(self, item).write()
            elif self.record.op[item] >= 0 and self.needed[item]:
                rule, name = self.record.rules[self.record.op[item]], self.names.values[item]
                self.pass_on(rule, operands_of(self.record, item), item, self.gradient(item), name)
        results = f", {self._all(captured.params)}"
        if self.wrt_inputs:
            results += f", {self._all(captured.inputs)}"
        if self.in_list:
            self.lines.insert(self.mark, f"    d = [0.0] * {len(self.record.op)}")
        self.finish("value_and_grad", results)

    def gradient(self, position: int) -> str:
        """The upstream gradient of a value outside of the loop that is being written."""
        if self._in_list(position):
            self.in_list = True
            return f"d[{position}]"
        loop = self.plan.home(position)
        if loop is not None:
            position = loop.start + (position - loop.start) % loop.period
        return self.names.derived(f"d_{self.names.values[position]}")

    def _in_list(self, position: int) -> bool:
        loop = self.plan.home(position)
        if loop is None:
            return bool(self.plan.shared[position])
        first = loop.start + (position - loop.start) % loop.period
        return bool(self.listed[first]) or position + loop.period < loop.end

    def goes_to(self, operand: int) -> bool:
        return bool(self.needed[operand])

    def give(self, operand: int, text: str) -> None:
        gradient = self.gradient(operand)
        begun = operand in self.begun or self._in_list(operand)
        self.begun.add(operand)
        self.statement(gradient, "+=" if begun else "=", text)

    def _kept(self, leaf: int) -> bool:
        """Whether the gradient of a leaf is in the list in the end."""
        return bool(self.plan.shared[leaf]) or self.plan.home(leaf) is not None

    def _all(self, places: Sequence[int | None]) -> str:
        """The list of derivatives in some leaves."""
        texts: list[str] = []
        at = 0
        while at < len(places):
            place = places[at]
            if place is None or not self.needed[place]:
                texts.append("0.0")
            elif self.plan.home(place) is None and not self._in_list(place):
                texts.append(self.gradient(place) if place in self.begun else "0.0")
            else:
                end, step = at + 1, 0
                while end < len(places) and (there := places[end]) is not None and self._kept(there):
                    here = there - (places[end - 1] or 0)
                    if (step and here != step) or not self.needed[there]:
                        break
                    step, end = here, end + 1
                if end - at > 3:
                    self.in_list = True
                    texts.append(f"*{_slice('d', Stride(place, step), end - at)}")
                    at = end
                    continue
                self.in_list = True
                texts.append(f"d[{place}]")
            at += 1
        return f"[{', '.join(texts)}]"


class _Backward(_Over):
    """What a loop passes on, from the last repetition to the first.

    The upstream gradient of a slot is kept in a variable where only the same and the next repetition pass to
    it, as code written by hand would do; else in the list.
    """

    def __init__(self, outer: _Both, loop: Loop) -> None:
        super().__init__(outer, loop)
        self.both = outer
        self.listed = {index for index, slot in enumerate(loop.slots) if outer.listed[slot.position]}
        #: The slots whose variable begins anew with the next contribution.
        self.fresh: set[int] = set()

    def needs(self, slot: int) -> bool:
        return bool(self.both.needed[self.here.slots[slot].position])

    def upstream(self, slot: int) -> str:
        """The variable of its upstream gradient."""
        return self.names.derived(f"d_{self.name(slot)}")

    def kept(self, slot: int) -> str:
        """The list of these, from the last repetition to the first."""
        return self.names.derived(f"{self.upstream(slot)}s")

    def write(self) -> None:
        loop, both = self.here, self.both
        slots = [index for index in range(loop.period) if self.needs(index)]
        if not slots:
            return
        variables = [index for index in slots if index not in self.listed]
        last = loop.end - loop.period - loop.start
        opened = {
            index
            for index in variables
            if not loop.nexts(index) and not both.plan.reached[loop.slots[index].position + last]
        }
        self.fresh = set(opened)
        lists: list[int] = []
        for index in reversed(slots):
            self._slot(index, index in opened, lists)
        begin, end = [], []
        for index in variables:
            here = Stride(loop.slots[index].position, loop.period)
            if index not in opened and here.last(loop.times) not in both.begun:
                begin.append(f"{self.upstream(index)} = 0.0")
            near = loop.slots[index].near
            if near is not None and loop.nexts(index) and both.needed[near]:
                end.append((near, self.upstream(index)))
        for slot in loop.slots:
            for each in slot.operands:
                if isinstance(each, Fixed) and both.needed[each.position] and each.position not in both.begun:
                    gradient = both.gradient(each.position)
                    both.begun.add(each.position)
                    if not both._in_list(each.position):
                        begin.append(f"{gradient} = 0.0")
        if self.lines:
            both.line(self.told())
            for text in [*begin, *(f"{self.kept(index)} = []" for index in lists)]:
                both.line(text)
            both.lines += self.head() + self.lines
        for index in lists:
            here = Stride(loop.slots[index].position, loop.period)
            both.line(f"{_slice('d', here, loop.times, back=True)} = {self.kept(index)}")
        for position, text in end:
            both.give(position, text)

    def _slot(self, index: int, opened: bool, lists: list[int]) -> None:
        """The statements of one slot, and then its variable is that of the repetition before."""
        slot, name = self.here.slots[index], self.upstream(index)
        self.user = index
        if slot.leaf:
            if index not in self.listed:
                lists.append(index)
                self.both.in_list = True
                self.line(f"{self.kept(index)}.append({name})")
        else:
            upstream = name
            if index in self.listed:
                self.both.in_list = True
                upstream = f"d[{self.at(index)}]"
                if len(slot.operands) > 1:
                    self.line(f"{name} = {upstream}")
                    upstream = name
            elif any(isinstance(each, Lag) and each.slot == index for each in slot.operands):
                if len(slot.operands) > 1:
                    self.line(f"upstream = {name}")
                    upstream = "upstream"
                self._move_on(index, opened)
                self.pass_on(slot.rule, self.operands(slot), -1, upstream, self.name(index))
                return
            self.pass_on(slot.rule, self.operands(slot), -1, upstream, self.name(index))
        if index not in self.listed:
            self._move_on(index, opened)

    def _move_on(self, index: int, opened: bool) -> None:
        if self.here.nexts(index) or opened:
            self.fresh.add(index)
        else:
            self.line(f"{self.upstream(index)} = 0.0")

    def at(self, index: int, back: int = 0) -> str:
        """As in the forward pass, from the last repetition to the first."""
        loop = self.here
        if "i" not in self.over:
            last = loop.end - loop.period
            stop = loop.start - loop.period
            self.over = {"i": f"range({last}, {stop}, -{loop.period})", **self.over}
        offset = loop.slots[index].position - loop.start - back
        return f"i {'+' if offset > 0 else '-'} {abs(offset)}" if offset else "i"

    def goes_to(self, operand: int) -> bool:
        each = self.here.slots[self.user].operands[operand]
        match each:
            case Fixed(position) | Lag(first=position) | Stride(first=position):
                return bool(self.both.needed[position])
        return False

    def give(self, operand: int, text: str) -> None:
        loop, user = self.here, self.user
        each = loop.slots[user].operands[operand]
        match each:
            case Fixed(position):
                self.statement(self.both.gradient(position), "+=", text)
            case Lag(slot, _, first):
                if slot not in self.listed:
                    sign = "=" if slot in self.fresh else "+="
                    self.fresh.discard(slot)
                    self.statement(self.upstream(slot), sign, text)
                else:
                    self.both.in_list = True
                    at = self.at(user, loop.slots[user].position - first)
                    self.statement(f"d[{at}]", "+=", text)
            case Stride(first, step):
                self.both.in_list = True
                if "k" not in self.over and step != loop.period:
                    self.over["k"] = f"range({loop.times - 1}, -1, -1)"
                if step == loop.period:
                    at = self.at(user, loop.slots[user].position - first)
                else:
                    at = f"{first} + {step} * k" if step > 0 else f"{first} - {-step} * k"
                self.statement(f"d[{at}]", "+=", text)

    def value_of(self, operand: int) -> str:
        """The variable of a value that the loop uses, which runs over what that value was."""
        loop, user = self.here, self.user
        if operand < 0:
            stride = Stride(loop.slots[user].position, loop.period)
            return self._past(user, 0, stride)
        each = loop.slots[user].operands[operand]
        match each:
            case Table():
                name = self.names.tables[id(each)][0]
                return self.running(f"{name}_now", f"reversed({name})")
            case Fixed(position):
                return self.both.value_of(position)
            case Lag(slot, lag, first):
                return self._past(slot, lag, Stride(first, loop.period))
        assert isinstance(each, Stride)
        wanted = f"{self.name(user)}_from_{operand}"
        return self.running(wanted, self.both.column(each, loop.times, back=True))

    def _past(self, slot: int, lag: int, stride: Stride) -> str:
        """The variable of a slot so many repetitions before the one at hand."""
        column, name = self.both.column(stride, self.here.times, back=True), self.name(slot)
        if lag:
            return self.running(f"{name}_before{lag if lag > 1 else ''}", column)
        self.over[name] = column
        return name
