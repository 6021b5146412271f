"""Gradients that are not 0 but all but 0: through saturated units, or shrunk by the depth of the graph."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from microbp.debug.diagnose.causes import SQUASHING, of_zero
from microbp.debug.diagnose.finding import Finding, finding, in_parts, short, spoken, unit_of
from microbp.debug.diagnose.reading import Reading
from microbp.debug.diagnose.subjects import Subject

__all__ = ["tiny"]

#: A squashing unit with a smaller slope is saturated: 0.25 and 1 are the largest of sigmoid and tanh.
SLOPE = 1e-4
#: A gradient is shrunk by depth if it is smaller than this part of the largest one.
SHRUNK = 1e-12
#: ... or than this, which moves no weight.
NOTHING = 1e-30
#: ... through so many factors at least.
DEEP = 10


def tiny(reading: Reading, subjects: Sequence[Subject]) -> list[Finding]:
    """Parameters whose largest path leads through a saturated unit, or through very many small factors."""
    nodes, upstream = reading.graph.nodes, reading.upstream
    asked = [each for each in subjects if each.position is not None and each.requires_grad]
    sizes = [abs(upstream[each.position]) for each in asked if each.position is not None]
    largest = max((each for each in sizes if math.isfinite(each)), default=0.0)
    saturated: dict[tuple[str, str | int], list[Subject]] = defaultdict(list)
    deep: list[tuple[float, Subject]] = []
    for subject, size in zip(asked, sizes, strict=True):
        position = subject.position
        assert position is not None
        if not 0.0 < size < math.inf or reading.least[position] < 0:
            continue
        least = reading.least[position]
        user = nodes[reading.user[least]]
        assert user.rule is not None
        if abs(reading.factor(least)) < SLOPE and user.rule.name in SQUASHING:
            saturated[user.rule.name, unit_of(user) or user.position].append(subject)
        elif size < max(SHRUNK * largest, NOTHING) and reading.shrinking[position] >= DEEP:
            deep.append((size, subject))
    found = []
    for several in saturated.values():
        first = several[0].position
        assert first is not None
        least, names = reading.least[first], [each.name for each in several]
        user, place, local = nodes[reading.user[least]], reading.place[least], reading.factor(least)
        cause = of_zero(reading.graph, user, place)
        operand = nodes[int(user.operands[place])]
        found.append(
            finding(
                "tiny gradient",
                cause.word,
                user,
                f"{spoken(user)}: {cause.what}; its slope there is {short(local)}, and no "
                f"larger path avoids it. Gradient {short(upstream[first])} for {several[0].name}; concerned: "
                f"{in_parts(names)}.",
                cause.advice,
                names,
                [("gradient", upstream[first]), ("local", local), (operand.name, operand.data)],
                operand.site,
            )
        )
    if deep:
        size, subject = min(deep, key=lambda each: each[0])
        assert subject.position is not None
        steps = len(reading.path(subject.position))
        mean = size ** (1.0 / steps)
        found.append(
            finding(
                "tiny gradient",
                "shrunk by depth",
                nodes[subject.position],
                f"{short(upstream[subject.position])} arrives at {subject.name} after {steps} steps, of which"
                f" {reading.shrinking[subject.position]} make it smaller: {mean:.3g} per step on average. "
                f"Concerned: {in_parts(each.name for _, each in deep)}.",
                "fewer steps, weights whose products stay near 1 (init='xavier', 'he'), shortcuts that add",
                [each.name for _, each in deep],
                [("gradient", upstream[subject.position]), ("steps", float(steps)), ("per step", mean)],
                nodes[reading.user[subject.position]].site,
            )
        )
    return found
