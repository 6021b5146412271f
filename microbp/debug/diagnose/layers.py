"""Vanishing and exploding gradients, layer by layer and call by call."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from microbp.debug.diagnose.finding import Finding, listed, short
from microbp.debug.diagnose.reading import Reading
from microbp.debug.diagnose.subjects import Subject
from microbp.groups import GroupPath
from microbp.labels import Path, layer_path, text_of

__all__ = ["LayerRow", "layer_of", "layers"]

#: Gradients vanish, or explode, if they change by this factor from the last layer to the first.
_FACTOR = 1e4


class LayerRow(NamedTuple):
    """The gradients of one layer, or of one call of a repeated module."""

    name: str
    #: How many gradients.
    gradients: int
    #: The root of their mean square.
    rms: float


def layer_of(name: str, path: Path) -> str:
    """The layer of a parameter: that of its path, of an array its name, else nothing.

    >>> layer_of("w.3", ("encoder", "w", 3)), layer_of("W1[0,2]", ()), layer_of("w5", ())
    ('encoder', 'W1', '')
    """
    array, bracket, _ = name.partition("[")
    return text_of(layer_path(path)) if path else array if bracket else ""


def layers(reading: Reading, subjects: Sequence[Subject]) -> tuple[list[Finding], tuple[LayerRow, ...]]:
    """What vanishes or explodes from layer to layer, or from call to call; and the layers' rows.

    Layers stand in the order of the forward computation.
    """
    found = []
    rows = _by_parameters(reading, subjects)
    if len(rows) > 1:
        names = [(each.name, _layer(each, reading)) for each in subjects if each.position is not None]
        found += _judged(rows, "layer", names, reading)
    for unit, calls in _sequences(reading).items():
        found += _judged(calls, f"call of {unit}", [], reading)
    return found, rows


def _layer(subject: Subject, reading: Reading) -> str:
    position = subject.position
    return "" if position is None else layer_of(subject.name, reading.graph.paths[position])


def _by_parameters(reading: Reading, subjects: Sequence[Subject]) -> tuple[LayerRow, ...]:
    gradients: dict[str, list[float]] = defaultdict(list)
    first_use: dict[str, int] = {}
    for each in subjects:
        name = _layer(each, reading)
        if each.position is not None and each.requires_grad and name:
            gradients[name].append(reading.upstream[each.position])
            used = min(user for user, _ in reading.used[each.position]) if reading.used[each.position] else 0
            first_use[name] = min(first_use.get(name, used), used)
    order = sorted(gradients, key=first_use.__getitem__)
    return tuple(LayerRow(name, len(gradients[name]), _rms(gradients[name])) for name in order)


def _sequences(reading: Reading) -> dict[str, tuple[LayerRow, ...]]:
    """Modules and groups that are called again on what they gave before: a row for each call."""
    calls: dict[tuple[GroupPath, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    linked: dict[tuple[GroupPath, str], set[int]] = defaultdict(set)
    nodes = reading.graph.nodes
    for node in nodes:
        for depth, (name, call) in enumerate(node.group):
            key = node.group[:depth], name
            calls[key][call].append(reading.upstream[node.position])
            if call and call not in linked[key]:
                for operand in node.operands:
                    group = nodes[operand].group if type(operand) is int else ()
                    if len(group) > depth and group[: depth + 1] == (*node.group[:depth], (name, call - 1)):
                        linked[key].add(call)
    found: dict[str, tuple[LayerRow, ...]] = {}
    for key, several in calls.items():
        if len(several) > 2 and 2 * len(linked[key]) >= len(several):
            unit = ".".join([*(name for name, _ in key[0]), key[1]])
            rows = (LayerRow(f"{unit} #{call}", len(g), _rms(g)) for call, g in sorted(several.items()))
            found.setdefault(unit, tuple(rows))  # of many samples, the first stands for all
    return found


def _rms(gradients: Sequence[float]) -> float:
    largest = max(map(abs, gradients))
    if not 0.0 < largest < math.inf:
        return largest
    return largest * math.sqrt(sum((each / largest) ** 2 for each in gradients) / len(gradients))


def _power(exponent: float) -> float:
    """10 to the power ``exponent``, within what a float holds."""
    return float(10.0 ** max(-307.0, min(307.0, exponent)))


def _judged(
    rows: Sequence[LayerRow], what: str, names: list[tuple[str, str]], reading: Reading
) -> list[Finding]:
    shown = [row for row in rows if 0.0 < row.rms < math.inf]
    if len(shown) < 2:
        return []
    first, last = shown[0], shown[-1]
    exponent = math.log10(first.rms) - math.log10(last.rms)
    if abs(exponent) < math.log10(_FACTOR):
        return []
    per = _power(exponent / (len(shown) - 1))
    vanishing = exponent < 0.0
    # Where it happens: the step between neighbours that changes most.
    steps = [(math.log10(a.rms) - math.log10(b.rms), a, b) for a, b in pairwise(shown)]
    worst = (min if vanishing else max)(steps, key=lambda each: each[0])
    course = " → ".join(
        f"{row.name} {short(row.rms)}" for row in ([*shown] if len(shown) <= 6 else [*shown[:3], *shown[-3:]])
    )
    site = next((node.site for node in reading.graph if node.site and node.group), None)
    kind = "vanishing" if vanishing else "exploding"
    return [
        Finding(
            "layers", kind, first.name, None, site,
            f"from {last.name} back to {first.name} the gradient changes from {short(last.rms)} to "
            f"{short(first.rms)}, {per:.3g} times per {what}; most from {worst[2].name} to {worst[1].name}, "
            f"{_power(worst[0]):.3g} times. Root mean squares: {course}.",
            "relu or another unit that does not flatten, init='xavier' or 'he', shortcuts that add"
            if vanishing
            else "clip the gradients, smaller initial weights (init='xavier'), inputs at the scale of 1",
            tuple(name for name, layer in names if layer == first.name),
            (("first", first.rms), ("last", last.rms), ("per step", per)),
        )
    ]  # fmt: skip


def course(rows: Sequence[LayerRow]) -> str:
    """The layers in a line, for what was looked at."""
    return listed((f"{row.name} {short(row.rms)}" for row in rows), 6)
