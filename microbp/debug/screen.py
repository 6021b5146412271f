"""``Screen``: where the shell writes, in colour or without, and how a place in a pass is shown there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from microbp.check.words import line_of
from microbp.debug.breakpoints import Place
from microbp.debug.passes import Contribution
from microbp.debug.words import equation, figure, group_words, repeated
from microbp.graph import Node
from microbp.notation import plain_name
from microbp.notation.names import NUMBER
from microbp.safe import readable
from microbp.tables import has_colour

__all__ = ["Screen", "shown"]

#: A text, or a text and its style.
Span = str | tuple[str, str]
Line = tuple[Span, ...]

#: A step with more contributions than this is shortened.
MOST = 6
#: Our styles, as rich names them; blue for +, orange for -, as in the drawings.
_STYLES = {
    "plus": "bright_blue", "minus": "dark_orange", "dim": "dim", "head": "bold", "good": "green",
    "bad": "bold red", "note": "cyan",
}  # fmt: skip


class Screen:
    """Writes lines of spans to a file; a style shows on a terminal that has colour.

    >>> import sys
    >>> Screen(sys.stdout).line("grad ", ("+0.5", "plus"))
    grad +0.5
    """

    def __init__(self, out: IO[str]) -> None:
        self.out, self._colour = out, has_colour(out)
        self._encoding = getattr(out, "encoding", None) or "utf-8"

    def line(self, *spans: Span) -> None:
        """Write one line."""
        told = [(self._written(x), "") if isinstance(x, str) else (self._written(x[0]), x[1]) for x in spans]
        if not self._colour:
            self.out.write("".join(words for words, _ in told).rstrip() + "\n")
            return
        from rich.console import Console
        from rich.text import Text

        text = Text()
        for words, style in told:
            text.append(words, style=_STYLES.get(style, ""))
        console = Console(file=self.out, force_terminal=True, force_jupyter=False)
        console.print(text, soft_wrap=True, highlight=False, emoji=False)

    def text(self, text: object) -> None:
        """Write what has several lines, as it is."""
        for each in str(text).splitlines():
            self.line(each)

    def _written(self, text: str) -> str:
        """A text in the characters that the file has; none of them moves the cursor."""
        text = readable(text)
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:  # a minus sign must not be lost
            text = text.translate(str.maketrans("−·×", "-*x"))
        return text.encode(self._encoding, "replace").decode(self._encoding)


# --------------------------------------------------------------------------------- a place in a pass
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
    step = place.step
    if step is None:
        yield from _forward(place, node)
        return
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
    node, operand = place.graph.nodes[c.user], plain_name(place.graph.names[c.operand])
    where: list[Span] = [(f"   operand {c.place + 1}", "dim")] if repeated(node, c.operand) else []
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
