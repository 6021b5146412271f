"""Where a backward pass stands, as plain records: what a picture of one step has beside its boxes and edges.

What is the same in all pictures of a pass stands here too, so that the scale of colours does not change
from picture to picture, and room can be kept for the widest text that a place will ever hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

__all__ = ["Flow", "Moment", "Progress", "When"]


class When(str, Enum):
    """Whether a contribution was paid in an earlier step, is in this one, or will be."""

    PAST = "past"
    NOW = "now"
    AHEAD = "ahead"


class Progress(NamedTuple):
    """How far the gradient of a box has come: of how many contributions so many are in.

    >>> Progress(1, 2).reached, Progress(1, 2).final, Progress(0, 0).final
    (True, False, True)
    """

    paid: int
    #: The root expects none: it is the seed.
    expected: int
    #: Whether it passes its gradient on in this step.
    passing: bool = False
    #: Every gradient that it has in the course of the pass.
    gradients: tuple[float, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether it has a gradient yet."""
        return self.paid > 0 or self.final

    @property
    def final(self) -> bool:
        """Whether its gradient is complete."""
        return self.paid == self.expected


class Flow(NamedTuple):
    """The contribution that an edge carries in the pass, and the operand's gradient before and after it."""

    when: When
    amount: float
    before: float | None = None
    after: float = 0.0


class Moment(NamedTuple):
    """A backward pass after so many steps: boxes, but for constants, and edges that carry something."""

    step: int
    boxes: Mapping[str, Progress]
    edges: Mapping[str, Flow]
    #: Every gradient and every contribution of the whole pass, and the title of each of its pictures.
    amounts: tuple[float, ...]
    captions: tuple[str, ...]
