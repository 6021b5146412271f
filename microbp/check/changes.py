"""Whether a record still holds: which numbers were changed after they were used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from microbp.check.measure import same
from microbp.check.words import entries_of, local_derivatives
from microbp.compiled import compiled
from microbp.graph import Graph, Node


class Change(NamedTuple):
    """A node that does not follow from its operands any more."""

    node: Node
    #: What the operands give now; nan where they give nothing.
    now: float
    text: str


def changes_in(graph: Graph) -> list[Change]:
    """The nodes whose number, or a local derivative, is not what their operands give now."""
    nows: dict[int, float] = {}
    numbers = graph.data.tolist()
    for node in graph:
        if node.rule is None:
            continue
        entries = entries_of(node, numbers)
        try:
            now = compiled(node.rule).value(*entries)
        except (ArithmeticError, ValueError):
            now = math.nan
        gives = local_derivatives(node.rule, entries, node.data)
        pairs = zip(gives, node.local_derivatives, strict=True)
        if not (same(now, node.data) and all(was is None or same(d, was) for d, was in pairs)):
            nows[node.position] = now
    was, unchanged = _earlier(graph)
    nodes, changed = graph.nodes, set(nows)
    users = [{user for user, _ in uses} for uses in graph.uses()] if nows else []
    found = []
    for position, now in nows.items():
        node = nodes[position]
        operands = dict.fromkeys(each for each in node.operands if type(each) is int)
        causes = [each for each in operands if each in was]
        if not causes:
            # Whatever was changed no longer fits anywhere: neither to its operands, nor in its uses.
            causes = [
                each
                for each in (*operands, position)
                if each not in unchanged
                and (nodes[each].rule is None or each in changed)
                and users[each]
                and users[each] <= changed
            ]
        found.append(Change(node, now, _told(graph, node, now, causes, was)))
    return found


def _told(graph: Graph, node: Node, now: float, causes: Sequence[int], was: Mapping[int, float]) -> str:
    """What no longer holds, with both numbers, and which data must have been changed."""
    if same(now, node.data):
        what = f"the local derivatives of {graph.equation(node)} are not what its operands give now"
    else:
        gives = "nothing" if math.isnan(now) else repr(now)
        what = f"{graph.equation(node)} was recorded, but its operands give {gives} now"
    told = []
    for cause in map(graph.nodes.__getitem__, causes):
        before = f"was {was[cause.position]!r} and " if cause.position in was else ""
        told.append(f"{cause.name} {before}is {cause.data!r} now")
    if len(told) > 1 and not was.keys() & set(causes):
        return f"{what}; one of these was changed: {', '.join(told)}"
    return f"{what}: {', '.join(told) or 'its data was changed'}"


def _earlier(graph: Graph) -> tuple[dict[int, float], set[int]]:
    """The numbers that values had when they were used: of those that have changed, and who has not.

    They are known where a local derivative is another operand's number: that of x in w·x is w.
    """
    was: dict[int, float] = {}
    unchanged: set[int] = set()
    for node in graph:
        rule = node.rule
        if rule is None:
            continue
        places = dict(zip(rule.args, rule.split(range(len(node.operands))), strict=True))
        for arg, d in zip(rule.args, rule.d, strict=True):
            other = str(d)
            if other not in places or (arg in rule.over) != (other in rule.over):
                continue
            mine, others = places[arg], places[other]
            for i, j in zip(mine, others, strict=True) if arg in rule.over else [(mine, others)]:
                used, operand = node.local_derivatives[i], node.operands[j]
                if used is None or type(operand) is not int:
                    continue
                if same(used, graph.nodes[operand].data):
                    unchanged.add(operand)
                else:
                    was[operand] = used
    return was, unchanged
