"""What left a graph while it was recorded, and what its replay would keep to in silence.

That is a branch that a comparison chose, and a number that was taken out of the graph and used as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.calls import user_level
from microbp.errors import BranchChanged, BranchWarning
from microbp.graph import Graph
from microbp.recording.comparisons import HASHED, SIGNS, TAKEN, Compared, comparisons_of
from microbp.replay.forms import Form
from microbp.replay.function_graph import TRAINS, VARIES, Captured, capture
from microbp.sweeps import Floats
from microbp.value import Value, describe

__all__ = ["Branch", "Guards", "branches", "compared_in", "warn"]

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    **SIGNS, TAKEN: lambda now, then: np.isclose(now, then, rtol=1e-9, atol=0.0, equal_nan=True),
}  # fmt: skip
#: What is said of a branch, and of a number that was taken out.
_BRANCH = (
    "a branch was chosen while the graph was recorded, and the program will always keep to it: {}. Keep it "
    "in the graph with relu, maximum, minimum, clip or select(c, a, b)"
)
_NUMBER = (
    "a number was taken out of the graph while it was recorded, and the program will always use that one: "
    "{}. Compute with the Value itself"
)
_WORDS = (
    ("chooses a branch", "gone the other way", _BRANCH),
    ("takes a number out of the graph", "given another number", _NUMBER),
)


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
        asked = f" {self.sign} {self.right} is {self.outcome}" * (self.sign != TAKEN)
        return f"{self.left}{asked} [{self.site}]"

    @property
    def what(self) -> str:
        """What a function did there."""
        return _WORDS[self.sign == TAKEN][0]

    def other(self, left: float, right: float) -> str:
        """How a sample differs from the recorded one."""
        if self.sign == TAKEN:
            told = "gives another number than the recorded one, which was used as such:"
            return f"{told} {self}, here it is {left!r}"
        told = f"goes another way than the recorded one: there {self}"
        return f"{told}, here it is {left!r} {self.sign} {right!r}"


class Guards(NamedTuple):
    """What a checked program computes beside its outputs: the left and the right operand of each branch."""

    form: Form
    branches: list[Branch]

    def check(self, x: Floats, theta: Floats) -> None:
        """BranchChanged for the first sample that goes another way. A nan compares as False, as ever."""
        operands, changed = self.form.run("values", x, theta)[0], []
        for index, branch in enumerate(self.branches):
            outcomes = _SIGNS[branch.sign](operands[:, 2 * index], operands[:, 2 * index + 1])
            changed += [(sample, index) for sample in np.flatnonzero(outcomes != branch.outcome)[:1].tolist()]
        if changed:
            sample, index = min(changed)
            sides = operands[sample, 2 * index : 2 * index + 2].tolist()
            raise BranchChanged(f"sample {sample} {self.branches[index].other(*sides)}")


def compared_in(graph: Graph, inputs: Sequence[int], results: Sequence[int]) -> list[Compared]:
    """The comparisons that the values of a recorded graph remember, and those of what its inputs went into.

    Those of its ``results`` alone are left out, and an operand that is not in the graph stands as its number.
    """
    sides: dict[int, list[Any]] = {}
    noted = [at for at, note in graph._notes.items() if type(note) is tuple and len(note) > 3]
    given = {*inputs} if noted else set()
    for at in noted:
        value = graph._values[at]
        for comparison, side in comparisons_of(value):
            if side < 2 or at in given:
                found = sides.setdefault(id(comparison), [comparison, comparison.left, comparison.right])
                found[1 + side : 2 + side] = [value] * (side < 2)
    last = {id(graph._values[at]) for at in results}
    pairs = [(found, {id(each) for each in found[1:] if isinstance(each, Value)}) for found in sides.values()]
    return [Compared(*found) for found, ids in pairs if not ids or ids - last]


def branches(
    compared: Sequence[Compared], inputs: Any, params: Any, *, every: bool = False, hashes: bool = False
) -> tuple[list[Branch], list[Branch], Captured | None]:
    """The branches that a checked program can check, those that it cannot, and what it has to compute.

    Comparisons of constants are left out: they go the same way for every sample. Of ``every`` leaf that takes
    a gradient and is no parameter, since no output was computed from it, they are not. With ``hashes`` a set
    or a dict that was asked for what depends on inputs alone has taken its number; without, they are Values.
    """
    compared = [each for each in compared if hashes or each.comparison.sign != HASHED]
    if not compared:
        return [], [], None
    captured = capture([side for each in compared for side in (each.left, each.right)], inputs, params)
    moves, outputs = captured.flags, list[int]()
    free = captured.graph.needs & every
    kept, unknown = list[Branch](), list[Branch]()
    for each, *here in zip(compared, captured.outputs[::2], captured.outputs[1::2], strict=True):
        sides = [each.left, *[each.right] * (not each.comparison.number)]
        hashed = each.comparison.sign == HASHED
        if hashed and moves[here[0]] & (VARIES | TRAINS) != VARIES:
            continue
        freed = not (moves[here].any() and all(isinstance(side, Value) for side in sides))
        if not isinstance(each.left, Value) or moves[here].any() or free[here].any():
            _, sign, _, outcome, *_ = each.comparison
            left, right = describe(each.left), describe(each.right)
            branch = Branch(left, TAKEN if hashed else sign, right, outcome, each.comparison.site)
            (unknown if freed else kept).append(branch)
            outputs += [] if freed else here
    return kept, unknown, captured._replace(outputs=tuple(outputs), output_shape=(len(outputs),))


def warn(branches: Sequence[Branch], checkable: bool) -> None:
    """BranchWarning for each line with a branch, or with a number that was taken out of the graph."""
    lines: dict[tuple[str, bool], list[Branch]] = {}
    for each in branches:
        lines.setdefault((each.site, each.sign == TAKEN), []).append(each)
    for (_, number), several in lines.items():
        more = f" (and {len(several) - 1} more at this line)" if len(several) > 1 else ""
        _, how, what = _WORDS[number]
        offer = (
            f"or compile with checked=True, which raises where a sample would have {how}"
            if checkable
            else "it cannot be checked either, since an operand is not in the graph, or no longer: compile "
            "the function, with what it depends on in params="
        )
        warnings.warn(
            f"compile: {what.format(f'{several[0]}{more}')}; {offer}", BranchWarning, stacklevel=user_level()
        )
