"""``diagnose``: what is wrong with the gradients of a loss, and where it began."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from microbp.check.words import named
from microbp.debug.diagnose.failure import of_failure, of_history
from microbp.debug.diagnose.finding import Finding, collapsed
from microbp.debug.diagnose.huge import huge as huge_gradients
from microbp.debug.diagnose.layers import LayerRow, course, layers
from microbp.debug.diagnose.neurons import NeuronRow, alive, neurons, neurons_over
from microbp.debug.diagnose.nonfinite import not_finite_data, not_finite_gradients
from microbp.debug.diagnose.reading import Reading
from microbp.debug.diagnose.report import Diagnosis
from microbp.debug.diagnose.stale import stale
from microbp.debug.diagnose.subjects import subjects_of
from microbp.debug.diagnose.tiny import tiny
from microbp.debug.diagnose.unreached import constant_loss, unreached
from microbp.debug.diagnose.wrong import wrong
from microbp.debug.diagnose.zero import zeros
from microbp.debug.words import counted
from microbp.errors import UndefinedOperation
from microbp.graph import Graph
from microbp.nn import Module
from microbp.sites import user_scope
from microbp.training import History, NotFinite
from microbp.value import Value

__all__ = ["diagnose"]


def diagnose(
    loss: Value | Graph | History | NotFinite | UndefinedOperation | None = None,
    parameters: Any = None,
    *,
    net: Any = None,
    data: Iterable[Any] | None = None,
    names: Mapping[str, Any] | None = None,
    huge: float = 1e6,
    show: bool = True,
) -> Diagnosis:
    """Say what is wrong with the gradients of ``loss``, where it began, and what to try.

    >>> from microbp import Value
    >>> w, x = Value(-0.5, name="w"), Value(3.0, name="x")
    >>> h = (w * x).relu()
    >>> diagnosis = diagnose((h - 1.0) ** 2)
    diagnose(loss = 1): 1 finding
    <BLANKLINE>
        kind            cause       node
    ────────────────────────────────────
    1   zero gradient   dead relu   h
    <BLANKLINE>
    1. relu at h: relu is flat below 0, and its input is v2 = -1.5. Gradient 0: w, x.
       Try: for a few samples nothing; for all a smaller learning rate, ...
    Lines: call microbp.record_sites() before computing to see them.
    Looked at: 6 values; 2 parameters; 4 rules at 4 operations; grad, which is not computed.
    >>> diagnosis["w"].cause, diagnosis.ok
    ('dead relu', False)

    It looks for numbers that are not finite (who made the first, who swallowed one), wrong rules and
    changed numbers, parameters that no gradient reaches, gradients that are zero, tiny or huge, layers
    whose gradients vanish or explode, and a ``grad`` that holds more than this loss's gradient. Each
    :class:`Finding` names the node where it began, not those that pass it on.

    ``loss`` is a recorded Value or a Graph; its ``grad`` is not touched, and need not be computed. What
    :func:`microbp.fit` raised (NotFinite) or returned (History), and an UndefinedOperation, are explained
    too. ``parameters`` are Values, modules, names in the graph, or containers of these: those that the
    loss should reach. Left out, they are all leaves that take a gradient, and the parameters of modules
    in ``names`` of which the loss uses some. ``names`` maps names to Values and modules in place of the
    variables of the caller. From ``huge`` on a gradient is huge.

    With ``net`` and ``data``, samples for which the net is called one by one, neurons that are dead for
    all of them, or saturated for most, are findings, and ``diagnosis.neurons`` has a row for each.

    Raises TypeError for anything else, ValueError where data holds no sample.
    """
    names = user_scope() if names is None else names
    if not isinstance(names, Mapping):
        raise TypeError(f"diagnose: names maps names to Values, not an object of type {type(names).__name__}")
    if data is not None and net is None and isinstance(parameters, Module):
        net = parameters
    if data is not None and net is None:
        raise TypeError("diagnose: data are samples for a net: give net= as well")
    if net is not None and data is None:
        raise TypeError("diagnose: net is looked at over samples: give data= as well")
    rows: tuple[NeuronRow, ...] = ()
    if net is not None and data is not None:
        rows = neurons_over(net, data, names)
    if isinstance(loss, Value):
        graph = Graph(loss, names)
        diagnosis = _of_graph(graph, parameters, names, huge, rows)
    elif isinstance(loss, Graph):
        diagnosis = _of_graph(loss, parameters, names, huge, rows)
    elif isinstance(loss, History):
        diagnosis = _put_together("diagnose(history)", *of_history(loss), rows)
    elif isinstance(loss, NotFinite | UndefinedOperation):
        diagnosis = _put_together(f"diagnose({type(loss).__name__})", *of_failure(loss), rows)
    elif loss is None and rows:
        diagnosis = _put_together("diagnose(net)", [], (), rows)
    else:
        raise TypeError(
            "diagnose takes a recorded Value, a Graph, what fit raised or returned, or net= and data=, "
            f"not {loss!r}"
        )
    if show:
        diagnosis.table().show()
    return diagnosis


def _put_together(
    title: str, findings: Iterable[Finding], looked: Iterable[str], rows: tuple[NeuronRow, ...]
) -> Diagnosis:
    found, seen = [*findings, *neurons(rows)], [*looked]
    if rows:
        most = max(row.samples for row in rows)
        seen.append(f"{counted(len(rows), 'neuron')} over {counted(most, 'sample')}")
    return Diagnosis(title, tuple(found), tuple(seen), (), rows)


def _of_graph(
    graph: Graph, parameters: Any, names: Mapping[str, Any], limit: float, rows: tuple[NeuronRow, ...]
) -> Diagnosis:
    title = f"diagnose({named(graph)})"
    constant = constant_loss(graph)
    if constant is not None:
        return _put_together(title, [constant], [counted(len(graph), "value")], rows)
    subjects = subjects_of(parameters, graph, names)
    reading = Reading(graph)
    found = not_finite_data(reading, subjects)
    found += not_finite_gradients(reading, subjects)
    mistakes, audited = wrong(graph)
    found += mistakes
    found += unreached(graph, subjects)
    layer_rows: tuple[LayerRow, ...] = ()
    if math.isfinite(graph.root.data):  # else there is no gradient to speak of
        found += collapsed(zeros(reading, subjects, alive(rows)))
        found += collapsed(tiny(reading, subjects))
        found += collapsed(huge_gradients(reading, subjects, limit))
        by_layer, layer_rows = layers(reading, subjects)
        found += by_layer
        found += stale(reading, subjects)
    looked = [counted(len(graph), "value"), counted(len(subjects), "parameter"), audited]
    if len(layer_rows) > 1:
        looked.append(f"the layers' gradients ({course(layer_rows)})")
    computed = any(each.grad is not None for each in subjects)
    looked.append("grad" if computed else "grad, which is not computed")
    whole = _put_together(title, found, looked, rows)
    return Diagnosis(whole.title, whole.findings, whole.looked_at, layer_rows, rows)
