"""``grad`` that is not the gradient of this loss: passes that have added up, since nobody cleared it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from microbp.debug.diagnose.finding import Finding, finding, listed, short
from microbp.debug.diagnose.reading import Reading
from microbp.debug.diagnose.subjects import Subject

__all__ = ["stale"]


def stale(reading: Reading, subjects: Sequence[Subject]) -> list[Finding]:
    """Whether the parameters hold several passes of this loss, or other losses' gradients as well.

    Scaling of all gradients by one factor below 1, as ``clip_gradients`` does it, is no finding.
    """
    graph, upstream = reading.graph, reading.upstream
    multiples: Counter[int] = Counter()
    doubled: list[tuple[int, float, float]] = []
    other: list[tuple[int, float, float]] = []
    ratios: list[float] = []
    for each in subjects:
        if each.position is None or each.grad is None or not each.requires_grad:
            continue
        one, held = upstream[each.position], each.grad
        if not (math.isfinite(one) and math.isfinite(held)) or (one == 0.0 and held == 0.0):
            continue
        ratio = held / one if one else math.inf
        ratios.append(ratio)
        count = round(ratio) if math.isfinite(ratio) else 0
        if count >= 2 and abs(held - count * one) <= 1e-9 * abs(held):
            multiples[count] += 1
            doubled.append((each.position, held, one))
        elif not abs(held - one) <= 1e-9 * max(abs(held), reading.size[each.position]):
            other.append((each.position, held, one))
    if doubled and not other and len(doubled) == len(ratios):
        count = multiples.most_common(1)[0][0]
        return [_told(reading, doubled, "accumulated", f"{count} times the gradient of this loss")]
    if not other or graph.root.grad is None:
        return []
    if all(0.0 < ratio < 1.0 and math.isclose(ratio, ratios[0], rel_tol=1e-9) for ratio in ratios):
        return []
    return [_told(reading, other + doubled, "stale", "not what this loss gives")]


def _told(reading: Reading, several: Sequence[tuple[int, float, float]], cause: str, how: str) -> Finding:
    nodes = reading.graph.nodes
    position, held, one = several[0]
    names = [nodes[each].name for each, _, _ in several]
    more = f", and so for {listed(names[1:])}" if len(names) > 1 else ""
    reason = (
        "backward() has added up, since grad was not cleared in between"
        if cause == "accumulated"
        else "grad holds another loss's gradient as well, or it was changed"
    )
    return finding(
        "stale gradient", cause, nodes[position],
        f"{names[0]}.grad = {short(held)} is {how}, {short(one)}{more}: {reason}.",
        "net.zero_grad() before backward(); if you add up over several losses, this is meant",
        names, [("grad", held), ("this loss", one)],
        None if reading.user[position] < 0 else nodes[reading.user[position]].site,
    )  # fmt: skip
