"""How large a graph each reader takes: what would take longer than some 20 s is refused in a sentence."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LARGEST"]

_PART = "read the loss of one sample, or a Value further inside"


class Bound(NamedTuple):
    """What a reader takes."""

    #: So many values.
    most: int
    #: What to do with a graph of more.
    instead: str


#: By how a reader is called. Graph, backward(), grad(), compile() and draw() take any number.
LARGEST = {
    "audit()": Bound(150_000, f"{_PART}; diagnose() measures some operations of each kind"),
    "check_answers()": Bound(20_000, f"{_PART}; check_gradients(loss, [w], claimed=[...]) only compares"),
    "check_gradients()": Bound(150_000, f"{_PART}; backward() and grad() take any number"),
    "diagnose()": Bound(200_000, _PART),
    "explain()": Bound(100_000, _PART),
    "paths()": Bound(250_000, f"{_PART}; backward() gives the sum over all paths of any graph"),
    "trace()": Bound(500_000, f"{_PART}; backward() and grad() take any number"),
}
