"""Whether a record still holds: which numbers were changed after they were used."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    numbers = graph.data.tolist()
    nows = {node.position: now for node in graph for now in otherwise(node, numbers)}
    read = dict(pair for node in graph for pair in _read(node)) if nows else {}
    was = {place: number for place, number in read.items() if not same(number, numbers[place])}
    users = [{user for user, _ in uses} for uses in graph.uses()] if nows else []
    found = []
    for position, now in nows.items():
        node = graph.nodes[position]
        near = [each for each in dict.fromkeys((*node.operands, position)) if type(each) is int]
        causes = [each for each in near[:-1] if each in was] or [
            # Whatever was changed no longer fits anywhere: neither to its operands, nor in its uses.
            each for each in near
            if (each in was or each not in read) and (graph.nodes[each].rule is None or each in nows)
            and users[each] and users[each] <= nows.keys()
        ]  # fmt: skip
        gives = "nothing" if math.isnan(now) else repr(now)
        what = f"{graph.equation(node)} was recorded, but its operands give {gives} now"
        if same(now, node.data):
            what = f"the local derivatives of {graph.equation(node)} are not what its operands give now"
        befores = [f"was {was[each]!r} and " if each in was else "" for each in causes]
        told = [
            f"{graph.names[each]} {before}is {numbers[each]!r} now"
            for each, before in zip(causes, befores, strict=True)
        ]
        several = "; one of these was changed" if len(told) > 1 and not any(befores) else ""
        found.append(Change(node, now, f"{what}{several}: {', '.join(told) or 'its data was changed'}"))
    return found


def otherwise(node: Node, numbers: list[float]) -> Iterator[float]:
    """What the operands of a node give now, if that is not what was recorded."""
    if node.rule is None:
        return
    entries = entries_of(node, numbers)
    try:
        now = compiled(node.rule).value(*entries)
    except (ArithmeticError, ValueError):
        now = math.nan
    pairs = zip(local_derivatives(node.rule, entries, node.data), node.local_derivatives, strict=True)
    if not same(now, node.data) or not all(was is None or same(d, was) for d, was in pairs):
        yield now


def _read(node: Node) -> Iterator[tuple[int, float]]:
    """The numbers that operands had, where a local derivative tells: that of x in w·x is w."""
    if node.rule is None:
        return
    places = dict(zip(node.rule.args, node.rule.split(range(len(node.operands))), strict=True))
    for mine, d in zip(places.values(), node.rule.d, strict=True):
        other = places.get(str(d))
        if other is not None and type(other) is type(mine):
            for i, j in zip(mine, other, strict=True) if type(mine) is list else [(mine, other)]:
                used, operand = node.local_derivatives[i], node.operands[j]
                if used is not None and type(operand) is int:
                    yield operand, used
