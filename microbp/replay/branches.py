"""What left a graph while it was recorded, and what its replay would keep to in silence.

That is a branch that a comparison chose, and a number that was taken out of the graph and used as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.comparisons import SIGNS, TAKEN, Compared, Comparison, comparisons_of
from microbp.errors import BranchWarning
from microbp.replay.function_graph import Captured, capture
from microbp.sites import user_level
from microbp.sweeps import Floats
from microbp.value import Value, describe

__all__ = ["Branch", "Guards", "compared_in", "guards", "warn"]

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    **SIGNS, TAKEN: lambda now, then: np.isclose(now, then, rtol=1e-9, atol=0.0, equal_nan=True),
}  # fmt: skip


class Branch(NamedTuple):
    """A comparison that chose a branch, or a number that was taken out of the graph, in plain data."""

    #: The operands as messages speak of them: ``h = 0.3``.
    left: str
    sign: str
    right: str
    outcome: bool
    #: ``file:line``.
    site: str

    def __str__(self) -> str:
        if self.sign == TAKEN:
            return f"{self.left} [{self.site}]"
        return f"{self.left} {self.sign} {self.right} is {self.outcome} [{self.site}]"

    @property
    def what(self) -> str:
        """What a function did there."""
        return "takes a number out of the graph" if self.sign == TAKEN else "chooses a branch"

    def other(self, left: float, right: float) -> str:
        """How a sample differs from the recorded one."""
        if self.sign == TAKEN:
            told = "gives another number than the recorded one, which was used as such"
            return f"{told}: {self}, here it is {left!r}"
        return (
            f"goes another way than the recorded one: there {self}, here it is {left!r} {self.sign} {right!r}"
        )


class Guards(NamedTuple):
    """What a checked program computes beside its outputs: the operands of each comparison."""

    #: Its outputs are the left and the right operand of each branch, in turn.
    captured: Captured
    branches: tuple[Branch, ...]

    def changed(self, operands: Floats) -> tuple[int, int] | None:
        """The first sample that goes another way, and the branch; None where none does.

        ``operands`` has the shape (batch, 2 × branches). A nan compares as False, as ever.
        """
        first: tuple[int, int] | None = None
        for index, branch in enumerate(self.branches):
            outcomes = _SIGNS[branch.sign](operands[:, 2 * index], operands[:, 2 * index + 1])
            others = np.flatnonzero(outcomes != branch.outcome)
            if len(others) and (first is None or others[0] < first[0]):
                first = int(others[0]), index
        return first


def compared_in(values: Iterable[Value], inputs: Sequence[Value], results: Sequence[Value]) -> list[Compared]:
    """The comparisons that the values of a recorded graph remember, and those of what its inputs went into.

    Those of its ``results`` alone are left out: nothing was computed from these, so that no branch here
    depended on them. An operand that is not in the graph stands as its number.
    """
    sides: dict[int, tuple[Comparison, list[Any]]] = {}
    given = {id(each) for each in inputs}
    noted = [each for each in (*values, *inputs) if type(getattr(each, "_note", None)) is tuple]
    for value in noted:
        for comparison, side in comparisons_of(value):
            if side == 2 and id(value) not in given:
                continue
            _, operands = sides.setdefault(id(comparison), (comparison, [comparison.left, comparison.right]))
            if side < 2:
                operands[side] = value
    last = {id(each) for each in results}
    return [
        Compared(comparison, *operands)
        for comparison, operands in sides.values()
        if not any(id(each) in last for each in operands)
        or any(isinstance(each, Value) and id(each) not in last for each in operands)
    ]


def guards(compared: Sequence[Compared], inputs: Any, params: Any) -> tuple[Guards | None, list[Branch]]:
    """What a checked program has to compute; and the branches that it cannot check.

    Comparisons of constants are left out: they go the same way for every sample.
    """
    pairs = [(each, (each.left, each.right)) for each in compared]
    if not pairs:
        return None, []
    captured = capture([operand for _, pair in pairs for operand in pair], inputs, params)
    moves = captured.flags
    kept: list[Branch] = []
    unknown: list[Branch] = []
    outputs: list[int] = []
    for index, (each, _) in enumerate(pairs):
        here = captured.outputs[2 * index : 2 * index + 2]
        freed = not isinstance(each.left, Value) or (
            not each.comparison.number and not isinstance(each.right, Value)
        )
        if not any(moves[place] for place in here) and (isinstance(each.left, Value) or not freed):
            continue
        branch = _branch(each)
        if freed:
            unknown.append(branch)
        else:
            kept.append(branch)
            outputs += here
    if not kept:
        return None, unknown
    narrowed = captured._replace(outputs=tuple(outputs), output_shape=(len(outputs),))
    return Guards(narrowed, tuple(kept)), unknown


def _branch(compared: Compared) -> Branch:
    left, right = (describe(each) for each in (compared.left, compared.right))
    comparison = compared.comparison
    return Branch(left, comparison.sign, right, comparison.outcome, comparison.site)


def warn(branches: Sequence[Branch], checkable: bool) -> None:
    """BranchWarning for each line with a branch, or with a number that was taken out of the graph."""
    lines: dict[tuple[str, bool], list[Branch]] = {}
    for each in branches:
        lines.setdefault((each.site, each.sign == TAKEN), []).append(each)
    for (_, number), several in lines.items():
        more = f" (and {len(several) - 1} more at this line)" if len(several) > 1 else ""
        what, how = _WORDS[number]
        offer = (
            f"or compile with checked=True, which raises where a sample would have {how}"
            if checkable
            else "it cannot be checked either, since an operand is no longer there: compile the function"
        )
        warnings.warn(
            f"compile: {what.format(f'{several[0]}{more}')}; {offer}", BranchWarning, stacklevel=user_level()
        )


#: What is said of a branch, and of a number.
_BRANCH = (
    "a branch was chosen while the graph was recorded, and the program will always keep to it: {}. Keep it "
    "in the graph with relu, maximum, minimum, clip or select(c, a, b)"
)
_NUMBER = (
    "a number was taken out of the graph while it was recorded, and the program will always use that one: "
    "{}. Compute with the Value itself"
)
_WORDS = ((_BRANCH, "gone the other way"), (_NUMBER, "given another number"))
