"""How a step is shown: ``upstream × local = contribution``, and ``before += contribution → after``."""

from __future__ import annotations

from collections.abc import Iterator

from microbp.check.words import line_of
from microbp.debug.breakpoints import sign_change
from microbp.debug.cursor import Cursor
from microbp.debug.figures import figure
from microbp.debug.passes import Contribution, Step
from microbp.debug.shell.screen import Line, Span
from microbp.debug.words import equation, group_words
from microbp.notation import plain_name
from microbp.notation.names import NUMBER

__all__ = ["MOST", "amount", "seed", "shown"]

#: A step with more contributions than this is shortened.
MOST = 6


def seed(cursor: Cursor) -> Iterator[Line]:
    """What there is before the first step."""
    root = cursor.trace.graph.root
    name = plain_name(root.name)
    yield ("step 0", "head"), f" of {len(cursor)}   the seed"
    yield (f"  ∂{name}/∂{name} = 1; no other value has a gradient yet",)


def shown(cursor: Cursor, step: Step, *, every: bool = False) -> Iterator[Line]:
    """One step, as it stands when the cursor has just done it."""
    graph = cursor.trace.graph
    node, root = graph.nodes[step.node], plain_name(graph.root.name)
    name = plain_name(node.name)
    site: list[Span] = [(f"   {line_of(node.site)}", "dim")] if node.site else []
    yield (
        (f"step {step.index}", "head"),
        f" of {len(cursor)}   {equation(graph, node)} = {figure(node.data)}",
        *site,
    )
    if node.group:
        yield ((f"  in {group_words(node)}", "dim"),)
    yield f"  upstream ∂{root}/∂{name} = ", amount(step.upstream)
    contributions = step.contributions
    few = contributions if every or len(contributions) <= MOST else contributions[: MOST - 1]
    for each in few:
        yield from _contribution(cursor, step, each)
    if len(few) < len(contributions):
        yield ((f"  … and {len(contributions) - len(few)} more contributions: show all", "note"),)
    if not contributions:
        yield (("  its operands are constants, which take no gradient", "dim"),)


def _contribution(cursor: Cursor, step: Step, c: Contribution) -> Iterator[Line]:
    graph = cursor.trace.graph
    operand = plain_name(graph.nodes[c.operand].name)
    node = graph.nodes[step.node]
    again = node.operands.count(c.operand) > 1
    place: list[Span] = [(f"   operand {c.place + 1}", "dim")] if again else []
    yield f"  {operand}: local ∂{plain_name(node.name)}/∂{operand} = {_local(c)}", *place
    local, style = amount(c.local, sign=False)
    factor = (f"({local})" if c.local < 0.0 else local), style
    yield "    ", amount(step.upstream), " × ", factor, " = ", amount(c.amount)
    if c.before is None:
        sum_: list[Span] = ["none → ", amount(c.after)]
    else:
        sum_ = [amount(c.before), " += ", amount(c.amount), " → ", amount(c.after)]
    yield f"    {operand}.grad: ", *sum_, "   ", *_state(cursor, c)


def _local(c: Contribution) -> str:
    """The local derivative in symbols, in numbers and as value, without saying anything twice."""
    symbols, numbers = c.symbols, c.numbers
    if NUMBER.fullmatch(symbols):
        return symbols
    parts = [symbols] if NUMBER.fullmatch(numbers) else [symbols, numbers]
    return " = ".join([*parts, figure(c.local)])


def _state(cursor: Cursor, c: Contribution) -> Iterator[Span]:
    """How much of the operand's gradient has arrived, and whether its sign has changed."""
    total = cursor.expected[c.operand]
    count = f" ({total - c.missing} of {total})" if total > 1 else ""
    if c.missing:
        yield f"{c.missing} missing{count}", "note"
    else:
        yield f"✓ final{count}", "good"
    if sign_change(c):
        yield ", sign change", "note"


def amount(x: float | None, *, sign: bool = True) -> tuple[str, str]:
    """A number, in the colour of its sign."""
    style = "" if x is None or x == 0.0 else "plus" if x > 0.0 else "minus" if x < 0.0 else "bad"
    return figure(x, sign=sign), style
