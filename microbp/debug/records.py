"""What a trace consists of: plain frozen records, one for each step of a backward pass."""

from __future__ import annotations

from typing import NamedTuple

from microbp.debug.formula import Formula

__all__ = ["Contribution", "Step"]


class Contribution(NamedTuple):
    """What one operand receives in one step: ``before += upstream × local → after``."""

    #: The position of the operand in the graph.
    operand: int
    #: Its place among the node's operands; ``x * x`` has two.
    place: int
    #: ∂node/∂operand.
    local: float
    #: upstream × local.
    amount: float
    #: The operand's gradient before; None where it has received nothing yet.
    before: float | None
    after: float
    #: How many contributions the operand still waits for; its gradient is final at 0.
    missing: int
    #: The local derivative in words.
    formula: Formula

    @property
    def symbols(self) -> str:
        """The local derivative with the names of this node: ``h1·(1 − h1)``."""
        return self.formula.symbols

    @property
    def numbers(self) -> str:
        """The local derivative with numbers: ``0.5933·(1 − 0.5933)``."""
        return self.formula.numbers


class Step(NamedTuple):
    """One computed node passes its gradient on."""

    #: 1, 2, …; step 0 is the seed, ∂root/∂root = 1, and has no record.
    index: int  # type: ignore[assignment]  # steps are counted; nobody searches in one
    #: The position of the node in the graph.
    node: int
    #: ∂root/∂node, complete.
    upstream: float
    #: In the order of the engine: the last operand first. Constants receive nothing.
    contributions: tuple[Contribution, ...]
