"""``Session``: what a debugging session knows and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microbp.debug.breakpoints import Breakpoint, Stop
from microbp.debug.cursor import Cursor
from microbp.debug.shell.refusal import Refusal
from microbp.debug.shell.screen import Screen
from microbp.debug.shell.view import seed, shown
from microbp.debug.shell.worked import worked_out
from microbp.debug.trace import Trace
from microbp.graph import Node
from microbp.lazy import cached_property
from microbp.spelling import did_you_mean
from microbp.value import Value

__all__ = ["Session"]


class Session:
    """A pass, a place in it, and what the user has set."""

    def __init__(
        self, trace: Trace, screen: Screen, loss: Value | None = None, names: Mapping[str, Any] | None = None
    ) -> None:
        self.trace = trace
        self.cursor = Cursor(trace)
        self.screen = screen
        #: The value itself, where the session began with one.
        self.loss = loss
        #: What named its values.
        self.names = names or {}
        #: Breakpoints and watches by their numbers, which are never given twice.
        self.breakpoints: dict[int, Breakpoint] = {}
        self._given = 0
        self.displays: list[str] = []
        #: Where ``list`` goes on: file and line; None: around the current line.
        self.listed: tuple[str, int] | None = None
        self.ended = False

    def add(self, point: Breakpoint) -> int:
        """Set a breakpoint; its number."""
        self._given += 1
        self.breakpoints[self._given] = point
        return self._given

    def node(self, name: str) -> Node:
        """The value of that name; Refusal says which is near."""
        if not name:
            raise Refusal("the name of a value is missing")
        position = self.cursor.positions.get(name)
        if position is None:
            named = [node.name for node in self.trace.graph if node.named]
            there = f"the named values are: {', '.join(named[:12])}" + ", …" * (len(named) > 12)
            near = did_you_mean(name, list(self.cursor.positions)[:10_000])
            raise Refusal(f"there is no value {name!r}; {near or there}")
        return self.trace.graph.nodes[position]

    @property
    def here(self) -> Node:
        """The node of the current step; at the seed the root."""
        step = self.cursor.current
        return self.trace.graph.root if step is None else self.trace.graph.nodes[step.node]

    def show(self, stop: Stop | None = None, *, every: bool = False) -> None:
        """Show the current step, why it stopped here, and what is displayed at every stop."""
        self.listed = None
        step = self.cursor.current
        if stop is not None:
            numbers = [*self.breakpoints]
            for number, reason in stop.reasons:
                kind = "watch" if self.breakpoints[numbers[number]].kind == "watch" else "breakpoint"
                self.screen.line((f"{kind} {numbers[number]}: {reason}", "note"))
        self.screen.lines(seed(self.cursor) if step is None else shown(self.cursor, step, every=every))
        if self.cursor.step == len(self.cursor):
            self.screen.line(("  the pass is complete: every gradient is final", "good"))
        for text in self.displays:
            self.screen.line(f"  {text} = {self.displayed(text)}")

    def displayed(self, text: str) -> str:
        """The value of an expression; a dash where it speaks of a step and none is done."""
        try:
            return worked_out(self.cursor, text)
        except Refusal:
            return "-"

    @cached_property
    def users(self) -> list[int | None]:
        """For each value the one that passes a gradient to it first; None for the root."""
        first: list[int | None] = [None] * len(self.trace.graph)
        for step in reversed(self.trace.steps):
            for contribution in step.contributions:
                first[contribution.operand] = step.node
        return first
