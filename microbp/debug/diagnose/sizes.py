"""Gradients that are tiny or huge, by the factors along the largest path; and layer by layer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from microbp.debug.diagnose.case import Case
from microbp.debug.diagnose.causes import SQUASHING, of_huge, of_zero
from microbp.debug.diagnose.finding import Finding, LayerRow, collapsed
from microbp.debug.diagnose.words import short, unit_of
from microbp.graph import Node
from microbp.groups import GroupPath
from microbp.labels import Path, layer_path, text_of

__all__ = ["huge", "layer_of", "layer_rows", "layers", "tiny"]

#: A squashing unit with a smaller slope is saturated: 0.25 and 1 are the largest of sigmoid and tanh.
SLOPE = 1e-4
#: A gradient is shrunk by depth if it is smaller than this part of the largest one.
SHRUNK = 1e-12
#: ... or than this, which moves no weight.
NOTHING = 1e-30
#: ... through so many factors at least.
DEEP = 10
#: Gradients vanish, or explode, if they change by this factor from the last layer to the first.
_FACTOR = 1e4


def _where(node: Node) -> tuple[str, str | int]:
    """An operation of a unit, whichever call it is; else of this node."""
    assert node.rule is not None
    return node.rule.name, unit_of(node) or node.position


def tiny(case: Case) -> list[Finding]:
    """Parameters whose largest path leads through a saturated unit, or through very many small factors."""
    sizes = {position: abs(case.upstream[position]) for _, position in case.asked}
    largest = max((each for each in sizes.values() if math.isfinite(each)), default=0.0)
    saturated: dict[tuple[str, str | int], list[int]] = defaultdict(list)
    deep: list[int] = []
    for position, size in sizes.items():
        least = case.least[position]
        if not 0.0 < size < math.inf or least < 0:
            continue
        where = _where(case.user(least))
        if abs(case.factor(least)) < SLOPE and where[0] in SQUASHING:
            saturated[where].append(position)
        elif size < max(SHRUNK * largest, NOTHING) and case.shrinking[position] >= DEEP:
            deep.append(position)
    found = [_saturated(case, several) for several in saturated.values()]
    return collapsed([*found, *([_shrunk(case, deep)] if deep else [])])


def _saturated(case: Case, several: Sequence[int]) -> Finding:
    say, first = case.words, several[0]
    least, names = case.least[first], [case.graph.nodes[each].name for each in several]
    user, place, local = case.user(least), case.place(least), case.factor(least)
    cause, why = of_zero(case, user, place)
    operand = case.graph.nodes[int(user.operands[place])]
    what = say(
        "tiny", op=say.spoken(user), why=why, local=short(local), gradient=short(case.upstream[first]),
        name=names[0], names=say.in_parts(names),
    )  # fmt: skip
    numbers = [("gradient", case.upstream[first]), ("local", local), (operand.name, operand.data)]
    return case.finding("tiny gradient", cause, user, what, names, numbers, operand.site)


def _shrunk(case: Case, deep: Sequence[int]) -> Finding:
    say, position = case.words, min(deep, key=lambda each: abs(case.upstream[each]))
    node, gradient, steps = case.graph.nodes[position], case.upstream[position], len(case.path(position))
    mean, names = abs(gradient) ** (1.0 / steps), [case.graph.nodes[each].name for each in deep]
    what = say(
        "shrunk", gradient=short(gradient), name=node.name, steps=steps, n=case.shrinking[position],
        mean=mean, names=say.in_parts(names),
    )  # fmt: skip
    numbers = [("gradient", gradient), ("steps", float(steps)), ("per step", mean)]
    cause, site = say.cause("shrunk by depth"), case.site_of_use(position)
    return case.finding("tiny gradient", cause, node, what, names, numbers, site)


def huge(case: Case) -> list[Finding]:
    """Why gradients of at least ``case.huge`` are so large: one finding for each origin."""
    grouped: dict[tuple[str, str | int], list[int]] = defaultdict(list)
    for _, position in case.asked:
        size, most = abs(case.upstream[position]), case.most[position]
        if most < 0 or not case.huge <= size < math.inf:
            continue
        if math.log10(abs(case.factor(most))) >= 0.5 * math.log10(size):
            grouped[_where(case.user(most))].append(position)
        else:
            many = case.added[position] >= 0.5 * math.log10(size)
            grouped["", "many paths" if many else "growth by depth"].append(position)
    return collapsed(
        _huge(case, "" if rule else str(where), several) for (rule, where), several in grouped.items()
    )


def _huge(case: Case, how: str, several: Sequence[int]) -> Finding:
    say, nodes = case.words, case.graph.nodes
    position = max(several, key=lambda each: (abs(case.upstream[each]), each))
    gradient, node, path = case.upstream[position], nodes[position], case.path(position)
    names = [nodes[each].name for each in several]
    factors = sorted(path, key=lambda each: -abs(case.factor(each)))[:3]
    told = (say("factor", x=short(case.factor(each)), node=case.user(each).name) for each in factors)
    tail = say(
        "huge tail", name=node.name, gradient=short(gradient), largest=", ".join(told),
        names=say.in_parts(names),
    )  # fmt: skip
    site, numbers = (
        case.site_of_use(position),
        [("gradient", gradient), ("largest factor", case.factor(factors[0]))],
    )
    if not how:
        user = case.user(factors[0])
        cause, why = of_huge(case, user, case.place(factors[0]))
        what = say("huge", op=say.spoken(user), why=why, tail=tail)
        return case.finding("huge gradient", cause, user, what, names, numbers)
    if how == "many paths":
        by = 10.0 ** min(case.added[position], 308.0)
        what = say("many paths", name=node.name, by=by, tail=tail)
    else:
        grows = [abs(case.factor(each)) for each in path if abs(case.factor(each)) > 1.2]
        mean = math.exp(sum(map(math.log, grows)) / len(grows)) if grows else 1.0
        numbers += [("steps", float(len(path))), ("per step", mean)]
        what = say("grows", steps=len(path), name=node.name, n=len(grows), mean=mean, tail=tail)
    return case.finding("huge gradient", say.cause(how), node, what, names, numbers, site)


# ----------------------------------------------------------------------------------- layer by layer
def layer_of(name: str, path: Path) -> str:
    """The layer of a parameter: that of its path, of an array its name, else nothing.

    >>> layer_of("w.3", ("encoder", "w", 3)), layer_of("W1[0,2]", ()), layer_of("w5", ())
    ('encoder', 'W1', '')
    """
    array, bracket, _ = name.partition("[")
    return text_of(layer_path(path)) if path else array if bracket else ""


def layer_rows(case: Case) -> tuple[LayerRow, ...]:
    """The gradients of each layer, in the order of the forward computation."""
    gradients: dict[str, list[float]] = defaultdict(list)
    first_use: dict[str, int] = {}
    for each, position in case.asked:
        name = layer_of(each.name, case.graph.paths[position])
        if name:
            gradients[name].append(case.upstream[position])
            used = min((user for user, _ in case.used[position]), default=0)
            first_use[name] = min(first_use.get(name, used), used)
    order = sorted(gradients, key=first_use.__getitem__)
    return tuple(LayerRow(name, len(gradients[name]), _rms(gradients[name])) for name in order)


def layers(case: Case) -> list[Finding]:
    """What vanishes or explodes from layer to layer, or from call to call."""
    found = []
    rows = layer_rows(case)
    if len(rows) > 1:
        of_first = [
            each.name for each, position in case.asked
            if layer_of(each.name, case.graph.paths[position]) == _shown(rows)[0].name
        ] if _shown(rows) else []  # fmt: skip
        found += _judged(case, rows, case.words("layer"), of_first)
    for unit, calls in _sequences(case).items():
        found += _judged(case, calls, case.words("call of", unit=unit), [])
    return found


def _sequences(case: Case) -> dict[str, tuple[LayerRow, ...]]:
    """Modules and groups that are called again on what they gave before: a row for each call."""
    calls: dict[tuple[GroupPath, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    linked: dict[tuple[GroupPath, str], set[int]] = defaultdict(set)
    nodes = case.graph.nodes
    for node in nodes:
        for depth, (name, call) in enumerate(node.group):
            key = node.group[:depth], name
            calls[key][call].append(case.upstream[node.position])
            if call and call not in linked[key]:
                for operand in node.operands:
                    group = nodes[operand].group if type(operand) is int else ()
                    if len(group) > depth and group[: depth + 1] == (*node.group[:depth], (name, call - 1)):
                        linked[key].add(call)
    found: dict[str, tuple[LayerRow, ...]] = {}
    for key, several in calls.items():
        if len(several) > 2 and 2 * len(linked[key]) >= len(several):
            unit = ".".join([*(name for name, _ in key[0]), key[1]])
            rows = (LayerRow(f"{unit} (call {call + 1})" if call else unit, len(g), _rms(g))
                    for call, g in sorted(several.items()))  # fmt: skip
            found.setdefault(unit, tuple(rows))  # of many samples, the first stands for all
    return found


def _rms(gradients: Sequence[float]) -> float:
    largest = max(map(abs, gradients))
    if not 0.0 < largest < math.inf:
        return largest
    return largest * math.sqrt(sum((each / largest) ** 2 for each in gradients) / len(gradients))


def _shown(rows: Sequence[LayerRow]) -> list[LayerRow]:
    return [row for row in rows if 0.0 < row.rms < math.inf]


def _power(exponent: float) -> float:
    """10 to the power ``exponent``, within what a float holds."""
    return float(10.0 ** max(-307.0, min(307.0, exponent)))


def _judged(case: Case, rows: Sequence[LayerRow], unit: str, names: Sequence[str]) -> list[Finding]:
    say, shown = case.words, _shown(rows)
    if len(shown) < 2:
        return []
    first, last = shown[0], shown[-1]
    exponent = math.log10(first.rms) - math.log10(last.rms)
    if abs(exponent) < math.log10(_FACTOR):
        return []
    per, vanishing = _power(exponent / (len(shown) - 1)), exponent < 0.0
    # Where it happens: the step between neighbours that changes most.
    steps = [(math.log10(a.rms) - math.log10(b.rms), a, b) for a, b in pairwise(shown)]
    worst = (min if vanishing else max)(steps, key=lambda each: each[0])
    ends = shown if len(shown) <= 6 else [*shown[:3], *shown[-3:]]
    what = say(
        "by layer", last=last.name, first=first.name, was=short(last.rms), now=short(first.rms), per=per,
        what=unit, a=worst[2].name, b=worst[1].name, most=_power(worst[0]),
        course=" → ".join(f"{row.name} {short(row.rms)}" for row in ends),
    )  # fmt: skip
    site = next((node.site for node in case.graph if node.site and node.group), None)
    cause, word, advice = say.cause("vanishing" if vanishing else "exploding")
    numbers = (("first", first.rms), ("last", last.rms), ("per step", per))
    return [Finding("layers", cause, first.name, None, site, what, advice, tuple(names), numbers, "", word,
                    say.language)]  # fmt: skip
