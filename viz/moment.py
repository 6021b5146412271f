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
    """How far the gradient of a box has come.

    >>> Progress(1, 2).reached, Progress(1, 2).final
    (True, False)
    """

    #: Of how many contributions so many are in. The root expects none: it is the seed.
    paid: int
    expected: int
    #: Whether it passes its gradient on in this step.
    passing: bool = False
    #: Every gradient that it has in the course of the pass.
    gradients: tuple[float, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether it has a gradient yet."""
        return self.paid > 0 or self.expected == 0

    @property
    def final(self) -> bool:
        """Whether its gradient is complete."""
        return self.paid == self.expected


class Flow(NamedTuple):
    """The contribution that an edge carries in the pass: upstream × local."""

    when: When
    amount: float
    #: The operand's gradient before it, if there is one, and after it.
    before: float | None = None
    after: float = 0.0


class Moment(NamedTuple):
    """A backward pass after so many steps."""

    step: int
    #: How many steps the pass has.
    steps: int
    #: By the id of the box, of all but constants.
    boxes: Mapping[str, Progress]
    #: By the id of the edge, of all that carry a contribution in this pass.
    edges: Mapping[str, Flow]
    #: Every gradient and every contribution of the whole pass.
    amounts: tuple[float, ...]
    #: The title of each picture of the pass.
    captions: tuple[str, ...]
