"""Huge gradients, and which local derivatives along the largest path have made them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from microbp.debug.diagnose.causes import of_huge
from microbp.debug.diagnose.finding import Finding, finding, in_parts, short, spoken, unit_of
from microbp.debug.diagnose.reading import Reading
from microbp.debug.diagnose.subjects import Subject

__all__ = ["huge"]


def huge(reading: Reading, subjects: Sequence[Subject], limit: float) -> list[Finding]:
    """Why gradients of at least ``limit`` are so large: one finding for each origin."""
    nodes, upstream = reading.graph.nodes, reading.upstream
    grouped: dict[tuple[str, str | int], list[tuple[float, int]]] = defaultdict(list)
    for each in subjects:
        position = each.position
        if position is None or not each.requires_grad or reading.most[position] < 0:
            continue
        size = abs(upstream[position])
        if not limit <= size < math.inf:
            continue
        most, whole = reading.most[position], math.log10(size)
        if math.log10(abs(reading.factor(most))) >= 0.5 * whole:
            user = nodes[reading.user[most]]
            assert user.rule is not None
            grouped[user.rule.name, unit_of(user) or user.position].append((size, position))
        elif reading.added[position] >= 0.5 * whole:
            grouped["", "added"].append((size, position))
        else:
            grouped["", "depth"].append((size, position))
    return [
        _told(reading, str(where) if not rule else "", several) for (rule, where), several in grouped.items()
    ]


def _told(reading: Reading, how: str, several: list[tuple[float, int]]) -> Finding:
    graph, nodes = reading.graph, reading.graph.nodes
    _, position = max(several, key=lambda each: each[0])
    gradient, parameter = reading.upstream[position], nodes[position]
    names = [nodes[each].name for _, each in several]
    path = reading.path(position)
    factors = sorted(path, key=lambda each: -abs(reading.factor(each)))[:3]
    largest = ", ".join(
        f"{short(reading.factor(each))} at {nodes[reading.user[each]].name}" for each in factors
    )
    tail = (
        f"The gradient of {parameter.name} is {short(gradient)}; the largest factors on its largest path are "
        f"{largest}. Concerned: {in_parts(names)}."
    )
    site = nodes[reading.user[position]].site
    numbers = [("gradient", gradient), ("largest factor", reading.factor(factors[0]))]
    if how == "added":
        return finding(
            "huge gradient", "many paths", parameter,
            f"the contributions of very many paths add up at {parameter.name} and on the way to it: by the "
            f"factor {10.0 ** min(reading.added[position], 308.0):.3g}. {tail}",
            "a mean in place of a sum, or fewer uses of the same value", names, numbers, site,
        )  # fmt: skip
    if how == "depth":
        grows = [abs(reading.factor(each)) for each in path if abs(reading.factor(each)) > 1.2]
        mean = math.exp(sum(map(math.log, grows)) / len(grows)) if grows else 1.0
        return finding(
            "huge gradient", "growth by depth", parameter,
            f"of the {len(path)} steps from the loss to {parameter.name}, {len(grows)} make it larger, "
            f"each {mean:.3g} times on average. {tail}",
            "clip the gradients, fewer steps, smaller weights (init='xavier'), squashing units (tanh)",
            names, [*numbers, ("steps", float(len(path))), ("per step", mean)], site,
        )  # fmt: skip
    user = nodes[reading.user[factors[0]]]
    cause = of_huge(graph, user, reading.place[factors[0]])
    return finding(
        "huge gradient", cause.word, user,
        f"{spoken(user)}: {cause.what}. {tail}", cause.advice, names, numbers,
    )  # fmt: skip
