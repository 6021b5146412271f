"""What many samples, an error of microbp, or a training run show."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from microbp.debug.diagnose.detectors import rectified
from microbp.debug.diagnose.finding import Finding, NeuronRow, Remark, Told, collapsed, finding
from microbp.debug.diagnose.words import Words, unit_of
from microbp.errors import UndefinedOperation
from microbp.functions import sum as total
from microbp.graph import Graph
from microbp.record import with_sites
from microbp.sites import user_site
from microbp.training import History, NotFinite
from microbp.value import Value

#: The largest slope of each activation that can go flat.
SLOPES = {
    "relu": 1.0, "leaky_relu": 1.0, "elu": 1.0, "softplus": 1.0, "silu": 1.1, "gelu": 1.13,
    "sigmoid": 0.25, "tanh": 1.0, "erf": 1.13,
}  # fmt: skip
#: A neuron is saturated for a sample if its slope is below this part of the largest.
FLAT = 0.01


# ----------------------------------------------------------------------------------------- neurons
def neuron_rows(net: Any, data: Iterable[Any], names: Mapping[str, Any]) -> tuple[NeuronRow, ...]:
    """A row for each activation of ``net``, which is called with one sample of ``data`` after another.

    ``net`` is called as ``fit`` calls it: with a list of floats, or with a batch of one sample if its
    ``takes_batches`` is true. No ``grad`` is touched.
    """
    if not callable(net) and not hasattr(net, "predict"):
        raise TypeError(f"diagnose: net is called with one sample at a time, but {net!r} cannot be called")
    function, batched = (net if callable(net) else net.predict), not callable(net)
    batched = batched or getattr(net, "takes_batches", False)
    called = user_site()  # a module has no line of its own in the user's code
    seen: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    sites: dict[tuple[str, str], str | None] = {}
    samples = 0
    with with_sites.on():
        for samples, sample in enumerate(data, start=1):  # noqa: B007 (how many there were)
            given = np.array([sample], dtype=float) if batched else sample
            given = given.tolist() if isinstance(given, np.ndarray) and not batched else given
            for neuron, site, x, slope in _activations(function(given), names):
                seen[neuron].append((x, abs(slope)))
                sites.setdefault(neuron, None if site == called else site)
    if not samples:
        raise ValueError("diagnose: data holds no sample")
    rows = []
    for (name, activation), found in seen.items():
        inputs, slopes = [x for x, _ in found], [slope for _, slope in found]
        flat = sum(slope < FLAT * SLOPES[activation] for slope in slopes)
        ends = min(inputs), max(inputs), sites[name, activation]
        rows.append(NeuronRow(name, activation, len(found), slopes.count(0.0), flat, *ends))
    return tuple(rows)


def _activations(
    output: Any, names: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, str], str | None, float, float]]:
    """Of each activation of one sample its name and kind, its line, its input, and its slope."""
    values = [each for each in np.asarray(output, dtype=object).ravel().tolist() if isinstance(each, Value)]
    graph = Graph(total(values) if len(values) > 1 else values[0], names) if values else ()
    order: Counter[str] = Counter()
    for node in graph:
        place = max(0, rectified(node))
        activation = "relu" if rectified(node) >= 0 else node.rule.name if node.rule else ""
        if activation not in SLOPES or (operand := node.inputs[place].node) is None:
            continue
        unit, slope = unit_of(node), node.local_derivatives[place]
        kind = unit or activation
        order[kind] += 1
        name = kind if unit and order[kind] == 1 else f"{kind} #{order[kind]}"
        if slope is not None:
            yield (name, activation), node.site or operand.site, operand.data, slope


def alive(rows: Iterable[NeuronRow]) -> set[str]:
    """The neurons that are fine, by the names that their parameters may begin with."""
    names = [row.name.split(".") for row in rows if row.verdict == "fine"]
    return {".".join(path[start:]) for path in names for start in range(len(path))}


def neurons(rows: Sequence[NeuronRow], words: Words) -> Told:
    """A finding for each neuron that is dead for all samples, or saturated for most."""
    found = []
    for row in (each for each in rows if each.verdict != "fine"):
        numbers = {
            "samples": row.samples, "inactive": row.inactive, "saturated": row.saturated,
            "least input": row.least, "largest input": row.most,
        }  # fmt: skip
        found.append(finding(
            words, "neuron", "dead neuron" if row.verdict == "dead" else "saturated neuron", row.name,
            (row.name,), ((name, float(x)) for name, x in numbers.items()), row.site, rule=row.activation,
            low=row.least, high=row.most, n=row.samples, flat=row.saturated,
        ))  # fmt: skip
    yield from collapsed(found)
    if rows:
        yield words("neurons seen", n=len(rows), m=max(row.samples for row in rows))


# ------------------------------------------------------------------------------- errors and runs
def of_failure(error: NotFinite | UndefinedOperation, words: Words) -> Told:
    """The findings of an error, and what was looked at."""
    if isinstance(error, UndefinedOperation):
        numbers = [(f"operand {i}", x) for i, x in enumerate(error.numbers)]
        about = "not finite", "undefined operation", error.rule
        yield finding(words, *about, (), numbers, error.site, text=str(error))
        yield words("raising operation")
        return
    sample = "" if error.sample is None else words("sample", n=error.sample)
    then = words("then sample", n=error.sample) if sample else ""
    numbers = [("epoch", float(error.epoch)), ("steps before", float(len(error.history.step_cost)))]
    about = "training", "failed step", sample
    yield finding(words, *about, (), numbers, error.site, text=f"{error}.", then=then)
    yield words("error of fit")
    for each in of_history(error.history, words):
        if not isinstance(each, Finding) or each.cause != "not finite":
            yield each


def of_history(history: History, words: Words) -> Told:
    """What the costs, gradient norms and learning rates of a run show."""
    steps, norms = list(history.step_cost), [each for each in history.gradient_norm if math.isfinite(each)]
    if history.stopped == "not finite":
        yield finding(words, "training", "stopped", text=history.message)
    yield from _diverging(history.cost or steps, words, "epoch", history.learning_rate)
    middle, largest = (sorted(norms)[len(norms) // 2], max(norms)) if norms else (0.0, 0.0)
    if len(norms) > 3 and largest > 1e3 * max(middle, 1e-300):
        numbers = (("largest norm", largest), ("median norm", middle))
        step = list(history.gradient_norm).index(largest) + 1
        told = {"x": largest, "n": step, "middle": middle}
        yield finding(words, "training", "spike", "", (), numbers, **told)
    yield words("costs seen", n=len(steps), m=len(history.cost))


def of_steps(losses: Sequence[float], data: float, words: Words) -> Told:
    """What the losses of a loop show, what was looked at, and which step a loss of that number is."""
    bad = next((place for place, each in enumerate(losses) if not math.isfinite(each)), None)
    remark = words("step", n=len(losses), m=len(losses))
    if bad is not None:
        at = bad if not math.isfinite(data) or bad == 0 else bad - 1
        before = words("before it") if at < bad else ""
        remark = words("first bad step", m=len(losses), n=bad + 1, k=at + 1, before=before)
    yield from _diverging(losses, words, "one step")
    yield from (words("steps seen", n=len(losses)), Remark(remark))


def _diverging(all_costs: Sequence[float], words: Words, unit: str, rates: Sequence[float] = ()) -> Told:
    """Whether a cost has risen far above its lowest, and above its first."""
    costs = [each for each in all_costs if math.isfinite(each)]
    if len(costs) < 2:
        return
    best = min(range(len(costs)), key=costs.__getitem__)
    # Steps may be of one sample each, and jump: then the last ones lie above all of the first.
    few = max(1, len(costs) // 10) if unit == "one step" else 1
    low, last, top = costs[best], costs[-1], max(costs[:few])
    if not (last > 2.0 * low + 1e-12 and min(costs[-few:]) > 1.5 * top):
        return
    left = max(place for place, each in enumerate(costs) if each <= top) + 1
    yield finding(
        words, "training", "diverging", "", (), (("lowest", low), ("last", last)), low=low,
        epoch=words(unit), best=best + 1, last=last, n=len(costs), first=costs[0],
        rate=words("at rate", x=rates[-1]) if rates else "",
        left=words("left for good", n=left + 1) if unit == "one step" else "",
    )  # fmt: skip
