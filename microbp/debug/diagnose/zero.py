"""Zero gradients, traced to the node where they became zero; nodes that only pass a zero on are not named."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from microbp.check.measure import EPS
from microbp.debug.diagnose.case import Case, Parameter
from microbp.debug.diagnose.causes import of_zero, rectified, squared
from microbp.debug.diagnose.finding import Finding, collapsed
from microbp.debug.diagnose.words import part_of, short, unit_of
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


def zeros(case: Case) -> list[Finding]:
    """Why parameters have the gradient 0: one finding for each origin.

    A gradient of which cancellation has left no digit counts as 0. Of a module only parts without any
    gradient count (a neuron all of whose weights and bias have none), and of an array only what is 0 for
    one reason: some weights of a healthy relu net always see 0 in every sample, for one reason in this
    sample and for another one in that. Where only some of a part, or of an array, are asked for, each counts.
    Neurons that are ``alive`` for other samples may be off in this one.
    """
    asked = [each for each, _ in case.asked]
    origins, found = _traced(case, case.dependents([position for _, position in case.asked]))
    whole = _whole(case, asked)
    parts: dict[str, list[Parameter]] = defaultdict(list)
    for each in asked:
        parts[part_of(each.name) if _family(each.name) in whole else each.name].append(each)
    totals = _totals(case) if origins else {}
    affected: dict[_Key, list[str]] = defaultdict(list)
    together: dict[_Key, dict[_Origin, None]] = defaultdict(dict)
    for name, part in parts.items():
        own = dict.fromkeys(origin for each in part for origin in origins.get(each.position or 0, ()))
        if not own or any(each.position not in origins for each in part):
            continue
        if name in case.alive and all(_is_off(each) for each in own):
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
        if origin.how == "cancelled" and case.upstream[int(origin.where)]:
            name = case.graph.nodes[int(origin.where)].name
            key = origin.how, origin.rule, str(origin.where)
            if key not in affected and (part_of(name) == name or name in parts):
                affected[key], together[key] = [name], {origin: None}
    told = (_told(case, key, together[key], found, names, totals) for key, names in affected.items())
    return collapsed(told)


def _is_off(origin: _Origin) -> bool:
    """Whether it is a rectifier below 0."""
    return origin.how == "blocked" and origin.rule in ("relu", "maximum")


def _family(name: str) -> str:
    """The part of a module, or the array, to which a parameter belongs."""
    return part_of(name).partition("[")[0]


def _whole(case: Case, asked: Sequence[Parameter]) -> set[str]:
    """The parts and arrays of which all parameters in the graph are asked for."""
    there = Counter(_family(node.name) for node in case.graph if node.rule is None and node.requires_grad)
    ours = Counter(_family(each.name) for each in asked)
    return {family for family, count in ours.items() if count == there[family]}


def _traced(
    case: Case, depends: list[bool]
) -> tuple[dict[int, tuple[_Origin, ...]], dict[_Origin, list[tuple[int, int]]]]:
    """The origins of each node's zero; and for each origin the (node, place) where it shows."""
    upstream, size, nodes = case.upstream, case.size, case.graph.nodes
    origins: dict[int, dict[_Origin, None]] = {}
    found: dict[_Origin, list[tuple[int, int]]] = {}
    for node in reversed(nodes):
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
    square = node.rule.name == "pow" or squared(node)
    return square and rectified(inner) >= 0 and inner.data == 0.0 and node.operands[0] == operand


def _is_zero(total: float, size: float) -> bool:
    return total == 0.0 or (size < math.inf and abs(total) <= EPS * size)


def _totals(case: Case) -> dict[tuple[str, str], int]:
    """How often each operation of each unit stands in the graph."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for node in case.graph:
        if node.rule is not None and node.group:
            totals[node.rule.name, unit_of(node)] += 1
    return totals


def _told(
    case: Case,
    key: _Key,
    together: Iterable[_Origin],
    found: Mapping[_Origin, list[tuple[int, int]]],
    names: Sequence[str],
    totals: Mapping[tuple[str, str], int],
) -> Finding:
    """The finding on all parameters for which one origin stands first."""
    say, nodes = case.words, case.graph.nodes
    how, rule, _ = key
    same = [each for each in together if (each.how, each.rule) == (how, rule)]
    first = max(same, key=lambda origin: len(found[origin]))
    # The relu of a neuron and the relu of a loss are not alike.
    same = [each for each in same if isinstance(each.where, int) == isinstance(first.where, int)]
    position, place = found[first][0]
    node = nodes[position]
    if how == "cancelled":
        return _cancelled(case, node, names)
    operand, local = nodes[int(node.operands[place])], node.local_derivatives[place]
    assert local is not None
    total = totals.get((rule, first.where), 0) if isinstance(first.where, str) else 0
    alike = len({each for origin in same for each, _ in found[origin]})
    own = len({each for each, _ in found[first]})
    again = say("calls", own=own, total=total) if total > 1 else ""
    if alike > own:
        again += say("alike", n=alike - own)
    others = [nodes[found[each][0][0]] for each in together if each not in same]
    if others:
        again += say("elsewhere", told=say.listed(map(say.spoken, others), 2))
    facts = {"op": say.spoken(node), "again": again, "names": say.in_parts(names)}
    above = case.upstream[position]
    if how == "underflow":
        cause = say.cause("underflow")
        what = say("underflow", **facts, above=short(above), local=short(local), operand=operand.name)
    else:
        cause, why = of_zero(case, node, place)
        what = say("zero", **facts, why=why)
    numbers = [("upstream", above), ("local", local), (operand.name, operand.data)]
    return case.finding("zero gradient", cause, node, what, names, numbers, operand.site)


def _cancelled(case: Case, node: Node, names: Sequence[str]) -> Finding:
    say, total = case.words, case.upstream[node.position]
    terms = sorted((got.amount for got in reversed(case.received[node.position])), key=abs, reverse=True)
    exact = math.fsum(terms)
    shown = " ".join(f"{'+' if each >= 0 else '-'} {short(abs(each))}" for each in terms[:4])
    facts = {
        "op": say.spoken(node), "n": len(case.received[node.position]), "names": say.in_parts(names),
        "shown": f"{shown.removeprefix('+ ')}{' …' if len(terms) > 4 else ''}",
    }  # fmt: skip
    if exact == 0.0 and total == 0.0:
        cause, what = say.cause("cancelled"), say("sum to 0", **facts)
    else:
        cause, what = say.cause("rounding"), say("cancel", **facts, total=short(total), exact=short(exact))
    numbers = [
        ("gradient", total),
        ("size of the contributions", case.size[node.position]),
        ("exact sum", exact),
    ]
    site = case.site_of_use(node.position)
    return case.finding("zero gradient", cause, node, what, names, numbers, site)
