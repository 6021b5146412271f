"""``diagnose``: why a gradient is zero, tiny, huge or not finite, where that began, and what to try.

A detector is a function of a ``Case``, a backward pass with its parameters, that yields findings, what it has
looked at, and remarks; :data:`DETECTORS` lists them, in the order in which findings are shown. Many samples,
errors of microbp and training runs are looked at here. ``sentences`` has what is said, in two languages.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from microbp.calls import user_scope, user_site
from microbp.debug.detectors import DETECTORS, OF_GRADIENTS, Case, parameters_of, rectified
from microbp.debug.findings import Diagnosis, Finding, LayerRow, NeuronRow, Remark, Told, Words
from microbp.errors import UndefinedOperation
from microbp.graph import Graph, given_to
from microbp.record import with_sites
from microbp.text import quoted
from microbp.training import History, NotFinite
from microbp.value import Value

__all__ = ["Diagnosis", "Finding", "LayerRow", "NeuronRow", "diagnose"]

#: The largest slope of each activation that can go flat.
SLOPES = {
    "relu": 1.0, "leaky_relu": 1.0, "elu": 1.0, "softplus": 1.0, "silu": 1.1, "gelu": 1.13,
    "sigmoid": 0.25, "tanh": 1.0, "erf": 1.13,
}  # fmt: skip
#: A neuron is saturated for a sample if its slope is below this part of the largest.
FLAT = 0.01


def diagnose(
    loss: Value | Graph | History | NotFinite | UndefinedOperation | None = None,
    parameters: Any = None,
    *,
    net: Any = None,
    data: Iterable[Any] | None = None,
    steps: Sequence[float] = (),
    names: Mapping[str, Any] | None = None,
    huge: float = 1e6,
    language: str = "en",
    show: bool = True,
) -> Diagnosis:
    """Say what is wrong with the gradients of ``loss``, where it began, and what to try.

    >>> from microbp import Value
    >>> w, x = Value(-0.5, name="w"), Value(3.0, name="x")
    >>> h = (w * x).relu()
    >>> found = diagnose((h - 1.0) ** 2, show=False)["w"]
    >>> found.kind, found.cause, found.node
    ('zero gradient', 'dead relu', 'h')
    >>> print(found.what)
    relu at h: relu is flat below 0, and its input is v2 = -1.5. Gradient 0: w, x.

    It looks for numbers that are not finite (who made the first, who swallowed one), wrong rules and
    changed numbers, parameters that no gradient reaches, gradients that are zero, tiny or huge, layers
    whose gradients vanish or explode, and a ``grad`` that holds more than this loss's gradient. Each
    :class:`Finding` names the node where it began, not those that pass it on. That parameters have moved
    since the loss was computed is a remark, no finding.

    ``loss`` is a recorded Value or a Graph; its ``grad`` is not touched, and need not be computed. What
    :func:`microbp.fit` raised (NotFinite) or returned (History), and an UndefinedOperation, are explained
    too. ``parameters`` are Values, modules, names in the graph, or containers of these: those that the
    loss should reach. Left out, they are all leaves that take a gradient, and the parameters of modules
    in ``names`` of which the loss uses some. ``names`` maps names to Values and modules in place of the
    variables of the caller. From ``huge`` on a gradient is huge. ``language`` is ``"en"`` or ``"zh"``.

    With ``net`` and ``data``, samples for which the net is called one by one, neurons that are dead for
    all of them, or saturated for most, are findings, and ``diagnosis.neurons`` has a row for each. With
    ``steps``, the losses of a loop's passes, it says which went wrong first.

    Raises TypeError for anything else, ValueError where data holds no sample or ``huge`` is not above 1,
    TooManyValues above 200,000.
    """
    words = Words(language)
    names = user_scope() if names is None else names
    if not huge > 1.0:
        raise ValueError(f"diagnose: a gradient is huge from a number above 1 on, not from {huge!r}")
    if (net is None) != (data is None):
        raise TypeError("diagnose: a net is looked at over samples: give both, net= and data=")
    rows = () if net is None or data is None else neuron_rows(net, data, names)
    title, told, root = f"diagnose({type(loss).__name__})", list[Any](), None
    if isinstance(loss, Value | Graph):
        graph = given_to("diagnose()", loss, names)
        root = graph.root
        title = f"diagnose({graph.title})"
        if not root.requires_grad or root.rule is None:  # a constant, or a leaf
            key = "not computed" if root.requires_grad else "constant"
            found = words.finding("unreached", key, root, name=root.name, x=root.data)
            told = [found._replace(unit=""), words("constant graph", n=len(graph))]
        else:
            case = Case(graph, parameters_of(parameters, graph, names), words, huge, alive(rows))
            detectors = DETECTORS + OF_GRADIENTS * math.isfinite(root.data)
            told = [each for detector in detectors for each in detector(case)]
    elif isinstance(loss, History):
        title, told = "diagnose(history)", [*of_history(loss, words)]
    elif isinstance(loss, NotFinite | UndefinedOperation):
        told += of_failure(loss, words)
    elif loss is None and net is not None:
        title = "diagnose(net)"
    else:
        raise TypeError(
            "diagnose takes a recorded Value, a Graph, what fit raised or returned, or net= and data=, "
            f"not {quoted(loss)}"
        )
    if len(steps) > 1:
        told += of_steps(steps, root and root.data, words)
    told += [] if net is None else neurons(rows, words)
    of: Any = {kind: tuple(each for each in told if type(each) is kind)
               for kind in (Finding, str, LayerRow, Remark)}  # fmt: skip
    diagnosis = Diagnosis(title, of[Finding], of[str], of[LayerRow], rows, of[Remark], words.language)
    return diagnosis._presented(show)


# ----------------------------------------------------------------------------------------- neurons
def neuron_rows(net: Any, data: Iterable[Any], names: Mapping[str, Any]) -> tuple[NeuronRow, ...]:
    """A row for each activation of ``net``, which is called like by ``fit`` with one sample after another."""
    if not callable(net) and not hasattr(net, "predict"):
        raise TypeError(f"diagnose: net is called sample by sample, but {quoted(net)} cannot be called")
    function, batched = (net if callable(net) else net.predict), not callable(net)
    batched = batched or getattr(net, "takes_batches", False)
    called = user_site()  # a module has no line of its own in the user's code
    seen: dict[tuple[str, str], list[tuple[str | None, float, float]]] = defaultdict(list)
    samples = 0
    with with_sites.on():
        for samples, sample in enumerate(data, start=1):  # noqa: B007 (how many there were)
            given = np.array([sample], dtype=float) if batched else sample
            given = given.tolist() if isinstance(given, np.ndarray) and not batched else given
            for neuron, site, x, slope in _activations(function(given), names):
                seen[neuron].append((site, x, abs(slope)))
    if not samples:
        raise ValueError("diagnose: data holds no sample")
    rows = []
    for (name, activation), several in seen.items():
        sites, inputs, slopes = zip(*several, strict=True)
        flat = sum(slope < FLAT * SLOPES[activation] for slope in slopes)
        ends = (math.nan, math.nan) if any(map(math.isnan, inputs)) else (min(inputs), max(inputs))
        told = slopes.count(0.0), flat, *ends, None if sites[0] == called else sites[0]
        rows.append(NeuronRow(name, activation, len(several), *told))
    return tuple(rows)


def _activations(
    output: Any, names: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, str], str | None, float, float]]:
    """Of each activation of one sample its name and kind, its line, its input, and its slope."""
    given = np.asarray(output, dtype=object).ravel().tolist()
    values = [each for each in given if isinstance(each, Value) and not each.is_leaf]
    if not values:
        raise TypeError(f"diagnose: the net has computed no Value for a sample, but gave {quoted(output)}")
    order: Counter[str] = Counter()
    for node in Graph.of_roots(values, names):
        place = max(0, rectified(node))
        activation = "relu" if rectified(node) >= 0 else node.operation
        if activation not in SLOPES or (operand := node.inputs[place].node) is None:
            continue
        unit, slope = node.unit, node.local_derivatives[place]
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
    counts = ("samples", "inactive", "saturated", "least input", "largest input")
    yield from words.collapsed(
        words.finding(
            "neuron", f"{row.verdict.removeprefix('mostly ')} neuron", row.name,
            (row.name,), zip(counts, map(float, row[2:7]), strict=True), row.site, rule=row.activation,
            low=row.least, high=row.most, n=row.samples, flat=row.saturated,
        ) for row in rows if row.verdict != "fine"
    )  # fmt: skip
    samples = max((row.samples for row in rows), default=0)
    yield words("neurons seen" if rows else "no neurons", n=len(rows), m=samples)


# ------------------------------------------------------------------------------- errors and runs
def of_failure(error: NotFinite | UndefinedOperation, words: Words) -> Told:
    """The findings of an error, and what was looked at."""
    if isinstance(error, UndefinedOperation):
        numbers = [(f"operand {i}", x) for i, x in enumerate(error.numbers)]
        about = "not finite", "undefined operation", error.rule
        yield words.finding(*about, (), numbers, error.site, text=str(error))
        yield words("raising operation")
        return
    sample = "" if error.sample is None else words("sample", n=error.sample)
    numbers = [("epoch", float(error.epoch)), ("steps before", float(len(error.history.step_cost)))]
    about = "training", "failed step", sample
    yield words.finding(*about, (), numbers, error.site, text=f"{error}.", sample=sample)
    yield words("error of fit")
    told = of_history(error.history, words)
    yield from (each for each in told if not isinstance(each, Finding) or each.cause != "not finite")


def of_history(history: History, words: Words) -> Told:
    """What the costs, gradient norms and learning rates of a run show."""
    steps, norms = list(history.step_cost), [each for each in history.gradient_norm if math.isfinite(each)]
    if history.stopped == "not finite":
        yield words.finding("training", "stopped", text=history.message)
    yield from _diverging(history.cost or steps, words, "epoch", history.learning_rate)
    middle, largest = (sorted(norms)[len(norms) // 2], max(norms)) if norms else (0.0, 0.0)
    if len(norms) > 3 and largest > 1e3 * max(middle, 1e-300):
        numbers = (("largest norm", largest), ("median norm", middle))
        step = list(history.gradient_norm).index(largest) + 1
        told = {"x": largest, "n": step, "middle": middle}
        yield words.finding("training", "spike", "", (), numbers, **told)
    yield words("costs seen", n=len(steps), m=len(history.cost))


def of_steps(losses: Sequence[float], data: float | None, words: Words) -> Told:
    """What the losses of a loop show, what was looked at, and which step a loss of that number is, if any."""
    yield from _diverging(losses, words, "one step")
    yield words("steps seen", n=len(losses))
    if data is None:
        return
    bad = next((place for place, each in enumerate(losses) if not math.isfinite(each)), None)
    remark = words("step", n=len(losses), m=len(losses))
    if bad is not None:
        at = bad if not math.isfinite(data) or bad == 0 else bad - 1
        before = words("before it") if at < bad else ""
        remark = words("first bad step", m=len(losses), n=bad + 1, k=at + 1, before=before)
    yield Remark(remark)


def _diverging(all_costs: Sequence[float], words: Words, unit: str, rates: Sequence[float] = ()) -> Told:
    """Whether a cost has risen far above its lowest, and above its first."""
    costs = [each for each in all_costs if math.isfinite(each)]
    if len(costs) < 2:
        return
    best = min(range(len(costs)), key=costs.__getitem__)
    # Steps may be of one sample each, and jump: then the last ones lie above all of the first; few rise.
    few = max(4, len(costs) // 10) if unit == "one step" else 1
    if len(costs) < 2 * few:
        few = 1 if len(costs) >= few and costs[best:] == sorted(costs[best:]) else len(costs)
    low, last, top = costs[best], costs[-1], max(costs[:few])
    if not (last > 2.0 * low + 1e-12 and min(costs[-few:]) > 1.5 * top):
        return
    left = max(place for place, each in enumerate(costs) if each <= costs[0]) + 1
    yield words.finding(
        "training", "diverging", "", (), (("lowest", low), ("last", last)), low=low,
        epoch=words(unit), best=best + 1, last=last, n=len(costs), first=costs[0],
        rate=rates[-1] if rates else "", left=left + 1 if unit == "one step" else "",
    )  # fmt: skip
