"""Gradients layer by layer, and call by call: those that vanish or explode on the way back."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from microbp.debug.diagnose.case import Case
from microbp.debug.diagnose.finding import Finding, LayerRow
from microbp.debug.diagnose.words import short
from microbp.groups import GroupPath
from microbp.labels import layer_path, text_of

__all__ = ["layer_rows", "layers"]

#: Gradients vanish, or explode, if they change by this factor from the last layer to the first.
FACTOR = 1e4


def _by_layer(case: Case) -> dict[str, list[int]]:
    """The parameters of each layer, the layer that is used first first; an array is a layer, too."""
    found: dict[str, list[int]] = defaultdict(list)
    for each, position in case.asked:
        array, bracket, _ = each.name.partition("[")
        path = case.graph.paths[position]
        if name := text_of(layer_path(path)) if path else array if bracket else "":
            found[name].append(position)
    uses = case.received
    first = {name: min(got.user for each in held for got in uses[each]) for name, held in found.items()}
    return {name: found[name] for name in sorted(found, key=first.__getitem__)}


def layer_rows(case: Case) -> tuple[LayerRow, ...]:
    """The gradients of each layer, in the order of the forward computation."""
    return tuple(_row(name, [case.upstream[each] for each in held]) for name, held in _by_layer(case).items())


def _row(name: str, gradients: Sequence[float]) -> LayerRow:
    """With their root mean square."""
    largest = rms = max(map(abs, gradients))
    if 0.0 < largest < math.inf:
        rms = largest * math.sqrt(sum((each / largest) ** 2 for each in gradients) / len(gradients))
    return LayerRow(name, len(gradients), rms)


def layers(case: Case) -> list[Finding]:
    """What vanishes or explodes from layer to layer, or from call to call."""
    found = _judged(case, layer_rows(case), case.words("layer"))
    for unit, calls in _sequences(case).items():
        found += _judged(case, calls, case.words("call of", unit=unit))
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
            before = (*key[0], (name, call - 1))
            inner = (nodes[each].group for each in node.operands if isinstance(each, int))
            if call not in linked[key] and any(each[: depth + 1] == before for each in inner):
                linked[key].add(call)
    found: dict[str, tuple[LayerRow, ...]] = {}
    for key, several in calls.items():
        if len(several) > 2 and 2 * len(linked[key]) >= len(several):
            unit = ".".join([*(name for name, _ in key[0]), key[1]])
            named = ((f"{unit} (call {k + 1})" if k else unit, several[k]) for k in sorted(several))
            found.setdefault(unit, tuple(_row(*each) for each in named))  # of many samples, the first
    return found


def _judged(case: Case, rows: Sequence[LayerRow], unit: str) -> list[Finding]:
    shown = [row for row in rows if 0.0 < row.rms < math.inf]
    if len(shown) < 2:
        return []
    first, last = shown[0], shown[-1]
    exponent = math.log10(first.rms) - math.log10(last.rms)
    if abs(exponent) < math.log10(FACTOR):
        return []
    per = 10.0 ** max(-307.0, min(307.0, exponent / (len(shown) - 1)))
    ends = shown if len(shown) <= 6 else [*shown[:3], *shown[-3:]]
    return [case.found(
        "layers", "vanishing" if exponent < 0.0 else "exploding", None,
        case.called(_by_layer(case).get(first.name, ())),
        (("first", first.rms), ("last", last.rms), ("per step", per)),
        next((node.site for node in case.graph if node.site and node.group), None),
        about=first.name, last=last.name, first=first.name, was=last.rms, now=first.rms, per=per, what=unit,
        course=" → ".join(f"{row.name} {short(row.rms)}" for row in ends),
    )]  # fmt: skip
