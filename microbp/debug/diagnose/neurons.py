"""Dead and saturated neurons over a data set."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.debug.diagnose.causes import rectified
from microbp.debug.diagnose.finding import Finding, listed, short, unit_of
from microbp.debug.words import counted
from microbp.functions import sum as total
from microbp.graph import Graph
from microbp.record import with_sites
from microbp.sites import user_site
from microbp.value import Value

__all__ = ["NeuronRow", "alive", "neurons", "neurons_over"]

#: The largest slope of each activation that can go flat.
_SLOPES = {
    "relu": 1.0, "leaky_relu": 1.0, "elu": 1.0, "softplus": 1.0, "silu": 1.1, "gelu": 1.13,
    "sigmoid": 0.25, "tanh": 1.0, "erf": 1.13,
}  # fmt: skip
#: A neuron is saturated for a sample if its slope is below this part of the largest.
_FLAT = 0.01
#: ... and worth a finding if it is so for this part of the samples.
_MOSTLY = 0.9


class NeuronRow(NamedTuple):
    """One activation, over all samples."""

    #: Its module or group; else its name, or its number among those of the net.
    name: str
    activation: str
    samples: int
    #: For how many samples its slope is exactly 0.
    inactive: int
    #: For how many its slope is below a hundredth of the largest, inactive ones among them.
    saturated: int
    #: The range of its weighted input.
    least: float
    most: float
    site: str | None

    @property
    def verdict(self) -> str:
        """``dead``, ``saturated``, ``mostly saturated`` or ``fine``."""
        if self.inactive == self.samples:
            return "dead" if self.activation == "relu" else "saturated"
        if self.saturated == self.samples:
            return "saturated"
        rectifier = self.activation in ("relu", "leaky_relu", "elu")
        return "mostly saturated" if self.saturated >= _MOSTLY * self.samples and not rectifier else "fine"


class _Tally:
    """What is known of one activation so far."""

    def __init__(self, activation: str, site: str | None) -> None:
        self.activation, self.site = activation, site
        self.samples = self.inactive = self.saturated = 0
        self.least, self.most = math.inf, -math.inf

    def add(self, x: float, slope: float) -> None:
        self.samples += 1
        self.inactive += slope == 0.0
        self.saturated += abs(slope) < _FLAT * _SLOPES[self.activation]
        self.least, self.most = min(self.least, x), max(self.most, x)


def neurons_over(net: Any, data: Iterable[Any], names: Mapping[str, Any]) -> tuple[NeuronRow, ...]:
    """A row for each activation of ``net``, which is called with one sample of ``data`` after another.

    ``net`` is called as ``fit`` calls it: with a list of floats, or with a batch of one sample if its
    ``takes_batches`` is true. No ``grad`` is touched.
    """
    call = _caller(net)
    tallies: dict[str, _Tally] = {}
    seen = 0
    with with_sites.on():
        for sample in data:
            seen += 1
            root = _root(call(sample))
            if root is not None:
                _count(Graph(root, names), tallies)
    if not seen:
        raise ValueError("diagnose: data holds no sample")
    called = user_site()  # a module has no line of its own in the user's code
    return tuple(
        NeuronRow(
            name, t.activation, t.samples, t.inactive, t.saturated, t.least, t.most,
            None if t.site == called else t.site,
        )
        for name, t in tallies.items()
    )  # fmt: skip


def _caller(net: Any) -> Callable[[Any], Any]:
    if not callable(net) and not hasattr(net, "predict"):
        raise TypeError(f"diagnose: net is called with one sample at a time, but {net!r} cannot be called")
    function: Callable[[Any], Any] = net if callable(net) else net.predict
    if not callable(net) or getattr(net, "takes_batches", False):
        return lambda sample: function(np.array([sample], dtype=float))
    return lambda sample: function(sample.tolist() if isinstance(sample, np.ndarray) else sample)


def _root(output: Any) -> Value | None:
    """One Value that depends on all outputs."""
    if isinstance(output, Value):
        return output
    several = [each for each in np.asarray(output, dtype=object).ravel().tolist() if isinstance(each, Value)]
    return total(several) if several else None


def _count(graph: Graph, tallies: dict[str, _Tally]) -> None:
    """Add the activations of one sample."""
    order: Counter[str] = Counter()
    for node in graph:
        if node.rule is None:
            continue
        place = rectified(node)
        activation = "relu" if place >= 0 else node.rule.name
        operand = node.operands[max(0, place)]
        if activation not in _SLOPES or type(operand) is not int:
            continue
        unit = unit_of(node)
        kind = unit or activation
        order[kind] += 1
        name = kind if unit and order[kind] == 1 else f"{kind} #{order[kind]}"
        site = node.site or graph.nodes[operand].site
        tally = tallies.setdefault(name, _Tally(activation, site))
        slope = node.local_derivatives[max(0, place)]
        if slope is not None and tally.activation == activation:
            tally.add(graph.nodes[operand].data, slope)


def alive(rows: Iterable[NeuronRow]) -> set[str]:
    """The neurons that are fine, by the names that their parameters may begin with."""
    names = [row.name.split(".") for row in rows if row.verdict == "fine"]
    return {".".join(path[start:]) for path in names for start in range(len(path))}


def neurons(rows: Iterable[NeuronRow]) -> list[Finding]:
    """A finding for each neuron that is dead for all samples, or saturated for most.

    Of a layer with more than three, one for all of them.
    """
    alike: dict[tuple[str, str], list[NeuronRow]] = defaultdict(list)
    for row in rows:
        if row.verdict != "fine":
            kind = f"{'dead' if row.verdict == 'dead' else 'saturated'} {row.activation}"
            alike[kind, row.name.rpartition(".neurons.")[0] or row.name].append(row)
    found = []
    for (kind, layer), several in alike.items():
        if len(several) > 3:
            found.append(_told(kind, layer, several))
        else:
            found += [_told(kind, row.name, [row]) for row in several]
    return found


def _told(cause: str, name: str, several: Sequence[NeuronRow]) -> Finding:
    row = several[0]
    least, most = min(each.least for each in several), max(each.most for each in several)
    flat = sum(each.saturated for each in several)
    count = sum(each.samples for each in several)
    numbers = (
        ("samples", float(row.samples)), ("inactive", float(row.inactive)),
        ("saturated", float(row.saturated)), ("least input", least), ("largest input", most),
    )  # fmt: skip
    who = row.activation
    if len(several) > 1:
        who = f"{len(several)} neurons ({listed(each.name.rpartition('.')[2] for each in several)}): {who}"
    span = f"the weighted input lies between {short(least)} and {short(most)}"
    if cause.startswith("dead"):
        what = f"{who} gives 0 for all {row.samples} samples: {span}, and no gradient goes through."
        advice = (
            "a larger bias, a smaller learning rate, other initial weights (another seed, init='he'), "
            "or leaky_relu"
        )
    else:
        what = f"{who} is flat for {flat} of {counted(count, 'sample')}: {span}."
        advice = "inputs at the scale of 1, smaller initial weights (init='xavier')"
    parameters = tuple(each.name for each in several)
    return Finding("neuron", cause, name, None, row.site, what, advice, parameters, numbers)
