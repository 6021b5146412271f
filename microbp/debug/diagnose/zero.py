"""Zero gradients, traced to the node where they became zero; nodes that only pass a zero on are not named."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from microbp.check.measure import EPS
from microbp.debug.diagnose.causes import of_zero, rectified
from microbp.debug.diagnose.finding import Finding, finding, in_parts, listed, part_of, short, spoken, unit_of
from microbp.debug.diagnose.reading import Reading
from microbp.debug.diagnose.subjects import Subject
from microbp.debug.words import counted
from microbp.graph import Node

__all__ = ["zeros"]

#: So many origins of one zero are kept.
_MOST = 64


class _Origin(NamedTuple):
    """Where a gradient became zero: in one operand of an operation, or in the sum at a node."""

    #: ``blocked`` by a derivative of 0, ``underflow``, or ``cancelled``.
    how: str
    rule: str
    #: The unit, alike in each of its calls; else the position of the node.
    where: str | int


#: How a gradient became zero, by which operation, and where, if that tells it from others.
_Key = tuple[str, str, str]


def zeros(reading: Reading, subjects: Sequence[Subject], alive: Collection[str] = ()) -> list[Finding]:
    """Why parameters have the gradient 0: one finding for each origin.

    A gradient of which cancellation has left no digit counts as 0. Of a module only parts without any
    gradient count (a neuron all of whose weights and bias have none), and of an array only what is 0 for
    one reason: some weights of a healthy relu net always see 0 in every sample, for one reason in this
    sample and for another one in that. Where only some of a part, or of an array, are asked for, each counts.
    Neurons that are ``alive`` for other samples may be off in this one.
    """
    asked = [each for each in subjects if each.position is not None and each.requires_grad]
    depends = reading.dependents([each.position for each in asked if each.position is not None])
    origins, found = _traced(reading, depends)
    whole = _whole(reading, asked)
    parts: dict[str, list[Subject]] = defaultdict(list)
    for each in asked:
        parts[part_of(each.name) if _family(each.name) in whole else each.name].append(each)
    totals = _totals(reading) if origins else {}
    affected: dict[_Key, list[str]] = defaultdict(list)
    together: dict[_Key, dict[_Origin, None]] = defaultdict(dict)
    for name, part in parts.items():
        own = dict.fromkeys(origin for each in part for origin in origins.get(each.position or 0, ()))
        if not own or any(each.position not in origins for each in part):
            continue
        if name in alive and all(_is_off(each) for each in own):
            continue
        array = "[" in part[0].name and _family(part[0].name) in whole
        if array and len({(each.how, each.rule) for each in own}) > 1:
            continue
        first = max(own, key=lambda origin: len(found[origin]))
        single = isinstance(first.where, int) or totals.get((first.rule, first.where), 0) == 1
        # The same for one sample after another, or in many units once, is one finding.
        key = first.how, first.rule, "" if single and first.how != "cancelled" else str(first.where)
        affected[key] += [each.name for each in part]
        together[key].update(own)
    for origin in found:  # sums of which only rounding is left: the gradients below are not exactly 0
        if origin.how == "cancelled" and reading.upstream[int(origin.where)]:
            name = reading.graph.nodes[int(origin.where)].name
            key = origin.how, origin.rule, str(origin.where)
            if key not in affected and (part_of(name) == name or name in parts):
                affected[key], together[key] = [name], {origin: None}
    return [_told(reading, key, together[key], found, names, totals) for key, names in affected.items()]


def _is_off(origin: _Origin) -> bool:
    """Whether it is a rectifier below 0."""
    return origin.how == "blocked" and origin.rule in ("relu", "maximum")


def _family(name: str) -> str:
    """The part of a module, or the array, to which a parameter belongs."""
    return part_of(name).partition("[")[0]


def _whole(reading: Reading, asked: Sequence[Subject]) -> set[str]:
    """The parts and arrays of which all parameters in the graph are asked for."""
    there = Counter(_family(node.name) for node in reading.graph if node.rule is None and node.requires_grad)
    ours = Counter(_family(each.name) for each in asked)
    return {family for family, count in ours.items() if count == there[family]}


def _traced(
    reading: Reading, depends: list[bool]
) -> tuple[dict[int, tuple[_Origin, ...]], dict[_Origin, list[tuple[int, int]]]]:
    """The origins of each node's zero; and for each origin the (node, place) where it shows."""
    upstream, size, nodes = reading.upstream, reading.size, reading.graph.nodes
    origins: dict[int, dict[_Origin, None]] = {}
    found: dict[_Origin, list[tuple[int, int]]] = {}
    for node in reversed(reading.graph.nodes):
        position = node.position
        above = upstream[position]
        if node.rule is None or not depends[position]:
            continue
        for place, local in enumerate(node.local_derivatives):
            if local is None:
                continue
            operand = int(node.operands[place])
            if not depends[operand] or not _is_zero(upstream[operand], size[operand]):
                continue
            own = origins.setdefault(operand, {})
            if size[operand]:  # there are contributions, and they cancel
                origin = _Origin("cancelled", "", operand)
                found.setdefault(origin, [(operand, -1)])
            elif above == 0.0:
                if len(own) < _MOST:
                    own.update(dict.fromkeys(origins[position]))
                continue
            else:
                at, spot = position, place
                if _squares_a_dead_relu(nodes, node, operand):
                    at, spot = operand, rectified(nodes[operand])
                how, user = "blocked" if local == 0.0 else "underflow", nodes[at]
                assert user.rule is not None
                origin = _Origin(how, user.rule.name, unit_of(user) or at)
                found.setdefault(origin, []).append((at, spot))
            if len(own) < _MOST:
                own[origin] = None
    return {position: tuple(each) for position, each in origins.items()}, found


def _squares_a_dead_relu(nodes: Sequence[Node], node: Node, operand: int) -> bool:
    """Whether a power, or a product with itself, is flat because its operand is a relu that gives 0.

    The relu would let no gradient through either, and it is the one to mend.
    """
    assert node.rule is not None
    inner = nodes[operand]
    square = node.rule.name == "pow" or (node.rule.name == "mul" and node.operands == (operand, operand))
    return square and rectified(inner) >= 0 and inner.data == 0.0 and node.operands[0] == operand


def _is_zero(total: float, size: float) -> bool:
    return total == 0.0 or (size < math.inf and abs(total) <= EPS * size)


def _totals(reading: Reading) -> dict[tuple[str, str], int]:
    """How often each operation of each unit stands in the graph."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for node in reading.graph:
        if node.rule is not None and node.group:
            totals[node.rule.name, unit_of(node)] += 1
    return totals


def _told(
    reading: Reading,
    key: _Key,
    together: Iterable[_Origin],
    found: Mapping[_Origin, list[tuple[int, int]]],
    names: Sequence[str],
    totals: Mapping[tuple[str, str], int],
) -> Finding:
    """The finding on all parameters for which one origin stands first."""
    graph, upstream = reading.graph, reading.upstream
    how, rule, _ = key
    same = [each for each in together if (each.how, each.rule) == (how, rule)]
    first = max(same, key=lambda origin: len(found[origin]))
    # The relu of a neuron and the relu of a loss are not alike.
    same = [each for each in same if isinstance(each.where, int) == isinstance(first.where, int)]
    position, place = found[first][0]
    node = graph.nodes[position]
    if how == "cancelled":
        return _cancelled(reading, position, names)
    operand = graph.nodes[int(node.operands[place])]
    local = node.local_derivatives[place]
    assert local is not None
    total = totals.get((rule, first.where), 0) if isinstance(first.where, str) else 0
    alike = len({each for origin in same for each, _ in found[origin]})
    own = len({each for each, _ in found[first]})
    again = f", in {own} of {total} calls" if total > 1 else ""
    if alike > own:
        again += f", and likewise at {counted(alike - own, 'more node')}"
    others = [each for each in together if each not in same]
    if others:
        told = (spoken(graph.nodes[found[each][0][0]]) for each in others)
        again += f"; elsewhere it is lost at {listed(told, 2)}"
    numbers = [("upstream", upstream[position]), ("local", local), (operand.name, operand.data)]
    site = operand.site
    if how == "underflow":
        return finding(
            "zero gradient", "underflow", node,
            f"{spoken(node)}: {short(upstream[position])} · {short(local)} is below the smallest "
            f"float, so that 0 arrives at {operand.name}{again}. Gradient 0: {in_parts(names)}.",
            "fewer or less flat steps in between, a loss on the logarithm, inputs at the scale of 1",
            names, numbers, site,
        )  # fmt: skip
    cause = of_zero(graph, node, place)
    return finding(
        "zero gradient", cause.word, node,
        f"{spoken(node)}: {cause.what}{again}. Gradient 0: {in_parts(names)}.",
        cause.advice, names, numbers, site,
    )  # fmt: skip


def _cancelled(reading: Reading, position: int, names: Sequence[str]) -> Finding:
    graph, total, size = reading.graph, reading.upstream[position], reading.size[position]
    node, count = graph.nodes[position], reading.uses[position]
    terms = _terms(reading, position)
    exact = math.fsum(terms)
    shown = " ".join(f"{'+' if each >= 0 else '-'} {short(abs(each))}" for each in terms[:4])
    shown = f"{shown.removeprefix('+ ')}{' …' if count > 4 else ''}"
    if exact == 0.0 and total == 0.0:
        what, advice = (
            f"its {count} contributions {shown} sum to exactly 0",
            "nothing, at a minimum; else look whether the same term is added and subtracted",
        )
    else:
        what = (
            f"its {count} contributions {shown} cancel down to {short(total)}, which is rounding "
            f"(their exact sum is {short(exact)})"
        )
        advice = "a form of the loss without the difference of large terms; at a minimum, nothing"
    return finding(
        "zero gradient", "cancelled", node,
        f"{spoken(node)}: {what}. Gradient lost: {in_parts(names)}.", advice, names,
        [("gradient", total), ("size of the contributions", size), ("exact sum", exact)],
        graph.nodes[reading.user[position]].site,
    )  # fmt: skip


def _terms(reading: Reading, position: int) -> list[float]:
    """The contributions to one node, largest first."""
    terms = [1.0] if position == len(reading.graph) - 1 else []
    for user, place in reading.used[position]:
        local = reading.graph.nodes[user].local_derivatives[place]
        assert local is not None
        terms.append(reading.upstream[user] * local)
    return sorted(terms, key=abs, reverse=True)
