"""``Cursor``: a place in a backward pass, and what every gradient is there."""

from __future__ import annotations

from functools import cached_property

from microbp.debug.passes import Step
from microbp.debug.trace import Trace

__all__ = ["Cursor"]


class Cursor:
    """A place in a trace: so many steps are done. It moves either way, one contribution at a time.

    >>> from microbp import Value
    >>> from microbp.debug.trace import trace
    >>> x = Value(3.0, name="x")
    >>> cursor = Cursor(trace(x * x * 2.0, {}))
    >>> cursor.goto(2)
    >>> cursor.gradients, cursor.missing
    ([12.0, 2.0, 1.0], [0, 0, 0])
    >>> cursor.back()
    >>> cursor.gradients, cursor.missing
    ([None, 2.0, 1.0], [2, 0, 0])
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        #: How many steps are done.
        self.step = 0
        #: What every value has received so far; None: nothing yet.
        self.gradients: list[float | None] = []
        #: How many contributions every value still waits for.
        self.missing: list[int] = []
        self.restart()

    def __len__(self) -> int:
        """The number of steps of the pass."""
        return len(self.trace)

    @property
    def current(self) -> Step | None:
        """The step done last; None at the seed."""
        return self.trace.steps[self.step - 1] if self.step else None

    def restart(self) -> None:
        """Go back to the seed, whatever state the cursor is in."""
        self.step = 0
        self.gradients = self.trace.gradients(0)
        self.missing = [*self.expected]

    def forward(self) -> None:
        """Do one step; IndexError at the end."""
        if self.step == len(self):
            raise IndexError(f"the pass ends at step {self.step}")
        for contribution in self.trace.steps[self.step].contributions:
            self.gradients[contribution.operand] = contribution.after
            self.missing[contribution.operand] = contribution.missing
        self.step += 1

    def back(self) -> None:
        """Undo one step; IndexError at the seed."""
        if self.step == 0:
            raise IndexError("the pass begins at step 0")
        for contribution in reversed(self.trace.steps[self.step - 1].contributions):
            self.gradients[contribution.operand] = contribution.before
            self.missing[contribution.operand] = contribution.missing + 1
        self.step -= 1

    def goto(self, step: int) -> None:
        """Go to where ``step`` steps are done; IndexError where there are not so many."""
        if not 0 <= step <= len(self):
            raise IndexError(f"there is no step {step}: this pass has the steps 0 to {len(self)}")
        while self.step < step:
            self.forward()
        while self.step > step:
            self.back()

    def number(self, name: str, aspect: str) -> float:
        """``data``, ``grad`` (0 where there is none), ``missing`` or ``final`` of a value, here and now.

        ``final`` is its gradient at the end of the pass.
        """
        position = self.positions[name]
        if aspect == "data":
            return self.trace.graph.nodes[position].data
        if aspect == "missing":
            return self.missing[position]
        gradient = self.finals[position] if aspect == "final" else self.gradients[position]
        return 0.0 if gradient is None else gradient

    @cached_property
    def expected(self) -> list[int]:
        """How many contributions every value receives in the whole pass."""
        counts = [0] * len(self.trace.graph)
        for step in self.trace.steps:
            for contribution in step.contributions:
                counts[contribution.operand] += 1
        return counts

    @cached_property
    def positions(self) -> dict[str, int]:
        """Where each value stands, by its name."""
        return {node.name: node.position for node in self.trace.graph}

    @cached_property
    def finals(self) -> list[float | None]:
        """Every gradient at the end of the pass."""
        return self.trace.gradients()
