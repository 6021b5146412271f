"""How a place in a pass is shown: how a value came about, and ``before += upstream × local → after``."""

from __future__ import annotations

from collections.abc import Iterator

from microbp.check.words import line_of
from microbp.debug.breakpoints import Place, figure
from microbp.debug.passes import Contribution
from microbp.debug.shell.screen import Line, Span
from microbp.debug.words import equation, group_words, repeated
from microbp.graph import Node
from microbp.notation import plain_name
from microbp.notation.names import NUMBER

__all__ = ["MOST", "shown"]

#: A step with more contributions than this is shortened.
MOST = 6


def shown(place: Place, *, every: bool = False) -> Iterator[Line]:
    """The step done last; on the way forward the value computed last."""
    node, root = place.node, plain_name(place.graph.root.name)
    site: list[Span] = [(f"   {line_of(node.site)}", "dim")] if node.site and place.at else []
    computed = f"{equation(place.graph, node)} = {figure(node.data)}"
    if place.at < 0:
        count = len(place.computed)
        yield (f"forward {count + 1 + place.at}", "head"), f" of {count}   {computed}", *site
    elif not place.at:
        yield ("step 0", "head"), f" of {len(place.pass_)}   the seed"
        yield (f"  ∂{root}/∂{root} = 1; no other value has a gradient yet",)
        return
    else:
        yield (f"step {place.at}", "head"), f" of {len(place.pass_)}   {computed}", *site
    if node.group:
        yield ((f"  in {group_words(node)}", "dim"),)
    if place.at < 0:
        yield from _forward(place, node)
        return
    step = place.step
    assert step is not None
    yield f"  upstream ∂{root}/∂{plain_name(node.name)} = ", _amount(step.upstream)
    given = step.contributions
    few = given if every or len(given) <= MOST else given[: MOST - 1]
    for each in few:
        yield from _contribution(place, step.upstream, each)
    if len(few) < len(given):
        yield ((f"  … and {len(given) - len(few)} more contributions: show all", "note"),)
    if not given:
        yield (("  its operands are constants, which take no gradient", "dim"),)


def _forward(place: Place, node: Node) -> Iterator[Line]:
    """What it was computed from, and the local derivatives that were kept."""
    for each in dict.fromkeys(x for x in node.operands[: 2 * MOST] if isinstance(x, int)):
        operand = place.graph.nodes[each]
        yield (f"  {plain_name(operand.name)} = {figure(operand.data)}",)
    paid = place.pass_.step_of(node.position)
    for got in reversed(paid.contributions[-MOST:] if paid else ()):
        label = f"∂{plain_name(node.name)}/∂{plain_name(place.graph.names[got.operand])}"
        yield ((f"  {label} = {_local(got)}, kept for the way back", "dim"),)


def _contribution(place: Place, upstream: float, c: Contribution) -> Iterator[Line]:
    graph = place.graph
    node, operand = graph.nodes[c.user], plain_name(graph.names[c.operand])
    again = repeated(node, c.operand)
    where: list[Span] = [(f"   operand {c.place + 1}", "dim")] if again else []
    yield f"  {operand}: local ∂{plain_name(node.name)}/∂{operand} = {_local(c)}", *where
    local, style = _amount(c.local, sign=False)
    factor = (f"({local})" if c.local < 0.0 else local), style
    yield "    ", _amount(upstream), " × ", factor, " = ", _amount(c.amount)
    sum_ = ["none → "] if c.before is None else [_amount(c.before), " += ", _amount(c.amount), " → "]
    total = len(place.pass_.received[c.operand])
    count = f" ({total - c.missing} of {total})" if total > 1 else ""
    state = (f"{c.missing} missing{count}", "note") if c.missing else (f"✓ final{count}", "good")
    turned: list[Span] = [(", sign change", "note")] if c.turns else []
    yield f"    {operand}.grad: ", *sum_, _amount(c.after), " ", state, *turned


def _local(c: Contribution) -> str:
    """The local derivative in symbols, in numbers and as value, without saying anything twice."""
    symbols, numbers = c.symbols, c.numbers
    if NUMBER.fullmatch(symbols):
        return symbols
    parts = [symbols] if NUMBER.fullmatch(numbers) else [symbols, numbers]
    return " = ".join([*parts, figure(c.local)])


def _amount(x: float, *, sign: bool = True) -> tuple[str, str]:
    """A number, in the colour of its sign."""
    style = "" if x == 0.0 else "plus" if x > 0.0 else "minus" if x < 0.0 else "bad"
    return figure(x, sign=sign), style
