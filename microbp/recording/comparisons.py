"""What comparisons of Values remember: a branch chosen by them is not part of the graph.

These are ``<  <=  >  >=``; in arrays ``==`` and ``!=`` too, by number; and what is a plain number with
steps, as ``floor``: it is remembered as the comparisons with the ends of the step.

Compiling such a graph would freeze the branch, so that the compiler has to know of it. A comparison is
kept at its operands, a few to each and one to a line of code: it lives as long as they do, keeps nothing
alive, and costs nothing to those who never compare. While a function is traced, a list gets all of them,
and with them the numbers that are taken out of the graph in other ways: ``.data``, ``detach()``, ``data_of``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from microbp.calls import Place, site_of, user_place
from microbp.recording.groups import Held, Switch

__all__ = [
    "HASHED", "SIGNS", "TAKEN", "Compared", "Comparison", "compare", "comparisons_of", "noticing", "remember",
    "stepped", "taken", "tracing", "watched", "watching",
]  # fmt: skip

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}

#: How many are kept at one operand; and to how many values behind it, in search of the leaves that it was
#: computed from: these outlive it.
_MOST, _BEHIND = 32, 64


#: The sign of a comparison that stands for a number that was taken out of the graph: it is that number.
TAKEN = "taken"
#: That of one that a set or a dict asked for, which would have found a plain number by its number.
HASHED = "hashed"


class Comparison(NamedTuple):
    """One comparison; the same object is kept at both of its operands."""

    left: float
    sign: str
    right: float
    outcome: bool
    place: Place | None
    #: Whether a plain number stood on the right.
    number: bool

    @property
    def site(self) -> str:
        """``file:line`` of the user's code."""
        return site_of(self.place)


class Compared(NamedTuple):
    """A comparison with its operands: Values, or the numbers that they were compared with."""

    comparison: Comparison
    left: Any
    right: Any


class watched(Held):  # noqa: N801 (used like a function)
    """All comparisons of Values inside the ``with``, in this thread, go into the list ``found``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Compared] = []


def watching() -> list[Compared] | None:
    """The list of the innermost ``watched()`` that this code is in; None where there is none."""
    entered = watched.innermost()
    return entered and getattr(entered[1](), "found", None)


#: Called with True when the first function is traced, and with False when the last one has been: then Values
#: note also what is read of them, which costs those nothing who do not trace.
noticing: list[Callable[[bool], None]] = []
tracing = Switch(lambda on: [notice(on) for notice in noticing])


def taken(value: Any, place: Place | None = None, sign: str = TAKEN) -> None:
    """Note that the number of ``value`` leaves the graph, if a function is being traced."""
    found = watching()
    if found is not None and hasattr(value, "_data"):
        number = value._data
        where = user_place() if place is None else place
        found.append(Compared(Comparison(number, sign, number, True, where, True), value, number))


def remember(left: Any, sign: str, right: Any, number: float, outcome: bool) -> bool:
    """Note that ``left sign right`` was asked, where ``number`` is that of right; the outcome."""
    plain = right is number or not hasattr(right, "_data")
    comparison = _new(Comparison, (left._data, sign, number, outcome, user_place(), plain))
    found = watching()
    if found is not None:
        found.append(Compared(comparison, left, number if plain else right))
    else:
        _keep(left, comparison, 0)
        _keep_behind(left, comparison)
        if not plain:
            _keep(right, comparison, 1)
            _keep_behind(right, comparison)
    return outcome


def compare(left: Any, sign: str, right: Any) -> bool:
    """Whether ``left sign right`` holds of the numbers; remembered, if one of the two is a Value."""
    x, y = getattr(left, "_data", left), getattr(right, "_data", right)
    outcome = bool(SIGNS[sign](x, y))
    if left is not x:
        remember(left, sign, right, y, outcome)
    elif right is not y:
        remember(right, _TURNED[sign], left, x, outcome)
    return outcome


def stepped(value: Any, *ends: tuple[str, float]) -> None:
    """Remember on which side of the ``ends`` a value is: what has steps is the same as long as it stays."""
    for sign, end in ends:
        compare(value, sign, float(end))


_new = tuple.__new__  # half the time of Comparison(...)


def _keep(value: Any, comparison: Comparison, side: int) -> None:
    """Put it into the value's note, in the fourth place (see value.py)."""
    try:
        note = value._note
    except AttributeError:
        note = None
    if type(note) is tuple and len(note) == 2:
        note = value.name
    if type(note) is not tuple:
        bare = note is None or isinstance(note, str)
        note = (note, None, None) if bare else (None, None, note)
    if len(note) == 3:
        value._note = (*note, ((comparison, side),))
    else:
        same = comparison[1:5]  # sign, right, outcome and place
        others = [each for each in note[3] if each[0][1:5] != same or each[0] is comparison]
        value._note = (*note[:3], (*others[1 - _MOST :], (comparison, side)))


def _keep_behind(value: Any, comparison: Comparison) -> None:
    """Keep it at the leaves that a computed value depends on as well, if these are near."""
    waiting, seen = [value], 0
    while waiting and seen < _BEHIND:
        each, seen = waiting.pop(), seen + 1
        if each._rule is not None:
            operands = each._b if type(each._b) is tuple else (each._a, each._b)
            waiting += [operand for operand in operands if hasattr(operand, "_data")]
        elif each is not value and each._b is None:  # not frozen
            _keep(each, comparison, 2)


def comparisons_of(value: Any) -> tuple[tuple[Comparison, int], ...]:
    """Those that are kept at a value, the oldest first; and its part in them.

    It stood left (0) or right (1), or is a leaf from which a side was computed (2).
    """
    note = getattr(value, "_note", None)
    return note[3] if type(note) is tuple and len(note) > 3 else ()
