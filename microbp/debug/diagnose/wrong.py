"""Rules that are wrong, and numbers that were changed after they were used: what ``audit`` looks at."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from microbp.check.changes import changes_in
from microbp.check.operation import verdicts
from microbp.check.recorded import Recorded
from microbp.check.words import operand_words
from microbp.debug.diagnose.finding import Finding, finding, listed, short, spoken
from microbp.debug.words import counted
from microbp.graph import Graph, Node

__all__ = ["wrong"]

#: So many operations of one rule are measured; a rule that is wrong is wrong almost everywhere.
_MEASURED = 2000


def wrong(graph: Graph) -> tuple[list[Finding], str]:
    """A finding for each wrong rule and each kind of change; and how much was looked at, in words."""
    recorded = Recorded(graph)
    changes = {change.node.position: change for change in changes_in(recorded)}
    found = []
    if changes:
        first = next(iter(changes.values()))
        more = f" {len(changes) - 1} more operations no longer hold." if len(changes) > 1 else ""
        found.append(
            finding(
                "changed",
                "changed after use",
                first.node,
                f"{first.text}.{more}",
                "compute the loss again after every change of .data; never change local derivatives",
                (),
                [("recorded", first.node.data), ("now", first.now)],
            )
        )
    by_rule: dict[Any, list[Node]] = defaultdict(list)
    for node in graph:
        if node.rule is not None and node.position not in changes:
            by_rule[node.rule].append(node)
    measured = total = 0
    for nodes in by_rule.values():
        total += len(nodes)
        step = max(1, math.ceil(len(nodes) / _MEASURED))
        chosen = nodes[::step]
        measured += len(chosen)
        wrong_at = _first_wrong(graph, recorded, chosen)
        if wrong_at is not None:
            found.append(wrong_at)
    part = "" if measured == total else f", {measured} of them spread evenly, of each rule"
    return found, f"{counted(len(by_rule), 'rule')} at {counted(total, 'operation')}{part}"


def _first_wrong(graph: Graph, recorded: Recorded, nodes: list[Node]) -> Finding | None:
    found: list[tuple[Node, int, float]] = []
    for node in nodes:
        for place, verdict in enumerate(verdicts(node, recorded.numbers)):
            if verdict is not None and verdict.word == "WRONG RULE":
                found.append((node, place, verdict.measured))
    if not found:
        return None
    node, place, measured = found[0]
    assert node.rule is not None
    stated = node.local_derivatives[place]
    assert stated is not None
    more = listed(dict.fromkeys(each.name for each, _, _ in found[1:] if each is not node))
    again = f" Likewise at {more}." if more else ""
    return finding(
        "rule", "wrong rule", node,
        f"{spoken(node)}: the derivative in {operand_words(graph, node)[place]} is recorded as "
        f"{short(stated)}, but measured as {short(measured)}, {_ratio(stated, measured)}.{again}",
        f"microbp.check_rule({node.rule.name!r}), and mend the derivative in its row or its define()",
        (), [("recorded", stated), ("measured", measured)],
    )  # fmt: skip


def _ratio(stated: float, measured: float) -> str:
    if stated == -measured:
        return "the sign is wrong"
    return f"a ratio of {short(stated / measured)}" if measured else "which is 0"
