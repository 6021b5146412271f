"""Breakpoints and watches: where a run through a backward pass stops, and why.

A breakpoint stops at the step in which a value passes its gradient on; at a leaf, which passes nothing
on, at the steps in which it receives. A watch stops whenever a value receives. Either may have a
condition. All are plain records: a place is searched in either direction, at no cost but the walk.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePath
from typing import NamedTuple

from microbp.debug.cursor import Cursor
from microbp.debug.figures import figure
from microbp.debug.language import Query, QueryError, Scope, parse
from microbp.debug.passes import Contribution, Step
from microbp.errors import MicrobpError
from microbp.graph import Graph
from microbp.notation import symbol
from microbp.spelling import did_you_mean

__all__ = [
    "Breakpoint", "BreakpointError", "Stop", "breakpoint_at", "run", "sign_change", "watch_on",
    "words_at",
]  # fmt: skip


class BreakpointError(MicrobpError, ValueError):
    """There is nothing to stop at."""


class Breakpoint(NamedTuple):
    """Where to stop; made by :func:`breakpoint_at` or :func:`watch_on`."""

    #: ``name``, ``operation``, ``line``, ``condition`` or ``watch``.
    kind: str
    #: What it is set on, as it is shown.
    what: str
    #: The positions of the nodes that it is set on; None: any.
    nodes: frozenset[int] | None
    condition: Query | None = None

    def __str__(self) -> str:
        """``watch h1 if grad < 0``, ``break condition: not finite``."""
        on = {"watch": f"watch {self.what}", "condition": "break"}.get(
            self.kind, f"break {self.kind} {self.what}"
        )
        return f"{on.rstrip()} if {self.condition}" if self.condition else on.rstrip()

    def stops(self, cursor: Cursor) -> str | None:
        """Why the run stops after the step that the cursor has done last; None if it does not.

        >>> from microbp import Value
        >>> from microbp.debug.trace import trace
        >>> x = Value(3.0, name="x")
        >>> cursor = Cursor(trace(x * x, {}))
        >>> watch = watch_on(cursor.trace.graph, "x", "grad > 5")
        >>> watch.stops(cursor) is None
        True
        >>> cursor.forward()
        >>> watch.stops(cursor)
        'x.grad: +3 → +6'
        """
        step = cursor.current
        if step is None:
            return None
        graph = cursor.trace.graph
        if self.kind == "watch" or self.nodes is None:
            return self._receives(cursor, step, graph)
        if step.node in self.nodes:
            meets = [c for c in step.contributions if self._meets(cursor, step, c)]
            if not self.condition or meets:
                return f"{graph.nodes[step.node].name} passes its gradient on"
        leaves = [c for c in step.contributions if c.operand in self.nodes and _is_leaf(graph, c)]
        meets = [c for c in leaves if self._meets(cursor, step, c)]
        return _change(graph, meets) if meets else None

    def _receives(self, cursor: Cursor, step: Step, graph: Graph) -> str | None:
        on = [c for c in step.contributions if self.nodes is None or c.operand in self.nodes]
        meets = [c for c in on if self._meets(cursor, step, c)]
        return _change(graph, meets) if meets else None

    def _meets(self, cursor: Cursor, step: Step, contribution: Contribution) -> bool:
        if self.condition is None:
            return True
        return bool(self.condition(words_at(cursor, step, contribution)))


class Stop(NamedTuple):
    """Where a run has stopped."""

    #: How many steps are done there.
    step: int
    #: The number of the breakpoint among those given, from 0, and why: one for each that stops here.
    reasons: tuple[tuple[int, str], ...]


def run(cursor: Cursor, breakpoints: Sequence[Breakpoint], *, back: bool = False) -> Stop | None:
    """Move the cursor to the next step at which a breakpoint stops, or to the end; None at the end.

    ``back`` goes the other way, to the latest earlier step, or to the seed.

    >>> from microbp import Value
    >>> from microbp.debug.trace import trace
    >>> x = Value(0.5, name="x")
    >>> y = (x.tanh() - x) * x
    >>> cursor = Cursor(trace(y, {}))
    >>> stops = [breakpoint_at(cursor.trace.graph, "tanh"), watch_on(cursor.trace.graph, "x")]
    >>> run(cursor, stops)
    Stop(step=1, reasons=((1, 'x.grad: −0.037883'),))
    >>> run(cursor, stops).step, run(cursor, stops).reasons
    (2, ((0, 'v1 passes its gradient on'), (1, 'x.grad: −0.537883 → −0.144659')))
    >>> run(cursor, stops) is None
    True
    """
    end = 0 if back else len(cursor)
    while cursor.step != end:
        (cursor.back if back else cursor.forward)()
        reasons = [(number, each.stops(cursor)) for number, each in enumerate(breakpoints)]
        met = tuple((number, reason) for number, reason in reasons if reason is not None)
        if met:
            return Stop(cursor.step, met)
    return None


def breakpoint_at(graph: Graph, text: str, *, file: str | None = None) -> Breakpoint:
    """The breakpoint of ``text``: a place, a condition, or both.

    A place is the name of a value, an operation (``sigmoid``, ``×``), or a line, ``12`` or
    ``net.py:12``; a line by itself is one of ``file``, or else of the file that the root comes from.
    With a condition it reads ``h1 if grad < 0``, ``h1, grad < 0``, ``if abs(grad) > 10``, or just
    ``abs(grad) > 10``; it looks at every value that receives a contribution in that step.

    >>> from microbp import Value
    >>> graph = Graph(Value(0.5, name="x").tanh(), {})
    >>> print(breakpoint_at(graph, "tanh if not finite"))
    break operation tanh if not finite
    >>> breakpoint_at(graph, "tahn")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    microbp.debug.breakpoints.BreakpointError: there is no value, ... 'tahn'; did you mean 'tanh'?

    Raises BreakpointError, or QueryError for a condition.
    """
    text = text.strip()
    if not text:
        raise BreakpointError("break at what? a name, an operation, file:line, or: if CONDITION")
    names = {node.name: node.position for node in graph}
    place = _place(graph, names, text, file)
    if place is not None:
        return place
    for before, after in _splits(text):
        place = _place(graph, names, before, file) if before else Breakpoint("condition", "", None)
        if place is not None:
            return place._replace(condition=parse(after, names, condition=True))
    try:
        condition = parse(text, names, condition=True)
    except QueryError:
        before = next((before for before, _ in _splits(text)), text)
        if re.fullmatch(r"[\w.:#\[\]]+", before):
            raise _nothing(graph, names, before) from None
        raise
    return Breakpoint("condition", "", None, condition)


def watch_on(graph: Graph, text: str, condition: str | None = None) -> Breakpoint:
    """The watch on the gradient of a value, by its name: ``h1``, ``h1.grad`` or ``h1 if grad < 0``.

    Raises BreakpointError where there is no such value, QueryError for a condition.
    """
    text = text.strip()
    names = {node.name: node.position for node in graph}
    if condition is None and text not in names:
        splits: list[tuple[str, str | None]] = [*_splits(text)] or [(text, None)]
        text, condition = next((each for each in splits if each[0].removesuffix(".grad") in names), splits[0])
    name = text if text in names else text.removesuffix(".grad")
    if not name:
        raise BreakpointError("watch what? the name of a value")
    if name not in names:
        raise _nothing(graph, names, name, "value")
    position = names[name]
    if not graph.nodes[position].requires_grad:
        raise BreakpointError(f"{name} is a constant: it takes no gradient that could be watched")
    query = None if condition is None else parse(condition, names, condition=True)
    return Breakpoint("watch", name, frozenset([position]), query)


def _place(graph: Graph, names: dict[str, int], text: str, file: str | None) -> Breakpoint | None:
    """The breakpoint on a name, an operation or a line; None where the text is none of them."""
    if text in names:
        return Breakpoint("name", text, frozenset([names[text]]))
    on = {node.position for node in graph if node.rule and text in (node.rule.name, symbol(node.rule))}
    if on:
        return Breakpoint("operation", text, frozenset(on))
    line = re.fullmatch(r"(?:(.+):)?(\d+)", text)
    return _line(graph, line[1], int(line[2]), file) if line else None


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """Every way to take a text for a place and a condition."""
    for match in re.finditer(r"(?:^|\s+)if(?:\s+|$)|\s*,\s+", text):
        yield text[: match.start()], text[match.end() :]


def _line(graph: Graph, named: str | None, line: int, file: str | None) -> Breakpoint:
    sites: dict[tuple[str, int], set[int]] = {}
    for node in graph:
        if node.site is not None and node.rule is not None:
            where, _, number = node.site.rpartition(":")
            sites.setdefault((where, int(number)), set()).add(node.position)
    if not sites:
        raise BreakpointError(
            "no line is known: call microbp.record_sites() before computing, or use microbp step SCRIPT"
        )
    if named is None:
        root_site = graph.root.site or next(iter(sites))[0] + ":"
        named = file or root_site.rpartition(":")[0]
    wanted = PurePath(named).parts
    files = {where for where, _ in sites if PurePath(where).parts[-len(wanted) :] == wanted}
    if not files:
        there = ", ".join(sorted({PurePath(where).name for where, _ in sites}))
        raise BreakpointError(f"no value was recorded in a file {named!r}; there are: {there}")
    found = {position for where in files for position in sites.get((where, line), ())}
    if not found:
        lines = sorted({number for where, number in sites if where in files})
        near = ", ".join(map(str, sorted(lines, key=lambda each: abs(each - line))[:6]))
        raise BreakpointError(
            f"no value was recorded on line {line} of {PurePath(named).name}; nearest: {near}"
        )
    return Breakpoint("line", f"{PurePath(named).name}:{line}", frozenset(found))


def _nothing(
    graph: Graph, names: dict[str, int], text: str, kind: str = "value, operation or line"
) -> BreakpointError:
    operations = {node.rule.name for node in graph if node.rule} if kind != "value" else set()
    known = [*islice(names, 10_000), *operations]
    named = [node.name for node in graph if node.named]
    told = ", ".join([*named[:12], "…"] if len(named) > 12 else named) or "none has a name"
    cure = did_you_mean(text, known) or f"the named values are: {told}"
    return BreakpointError(f"there is no {kind} {text!r}; {cure}")


def words_at(cursor: Cursor, step: Step, c: Contribution) -> Scope:
    """What the words of an expression mean at one contribution, and the names here and now."""

    def meaning(name: str, word: str) -> float:
        if name:
            return cursor.number(name, word)
        data = cursor.trace.graph.nodes[c.operand].data
        if word == "finite":
            return all(map(math.isfinite, (data, c.after, c.local)))
        if word == "sign_change":
            return sign_change(c)
        numbers = {
            "data": data, "grad": c.after, "before": 0.0 if c.before is None else c.before,
            "contribution": c.amount, "local": c.local, "upstream": step.upstream,
            "missing": c.missing, "final": c.missing == 0,
        }  # fmt: skip
        return numbers[word]

    return meaning


def sign_change(c: Contribution) -> bool:
    """Whether a contribution gives the gradient the other sign."""
    return c.before is not None and (c.before < 0.0 < c.after or c.after < 0.0 < c.before)


def _is_leaf(graph: Graph, contribution: Contribution) -> bool:
    return graph.nodes[contribution.operand].rule is None


def _change(graph: Graph, received: Sequence[Contribution]) -> str:
    """What happened to the values that received: ``h1.grad: −0.019049 → +0.036350, sign change``."""
    told = []
    for c in received[:3]:
        name = graph.nodes[c.operand].name
        before = "" if c.before is None else f"{figure(c.before, sign=True)} → "
        flip = sign_change(c)
        told.append(f"{name}.grad: {before}{figure(c.after, sign=True)}{', sign change' if flip else ''}")
    more = f" and {len(received) - 3} more" if len(received) > 3 else ""
    return "; ".join(told) + more
