"""``diagnose``: why a gradient is zero, tiny, huge or not finite, where that began, and what to try.

A detector is a function of a ``Case``, a backward pass with its parameters, that yields findings, what it has
looked at, and remarks; :data:`DETECTORS` lists them, in the order in which findings are shown. ``words`` says
all of it in two languages. ``runs`` looks at many samples, at errors and at training runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from microbp.bounds import bounded
from microbp.check.words import named
from microbp.debug.diagnose import runs
from microbp.debug.diagnose.case import Case, parameters_of
from microbp.debug.diagnose.detectors import DETECTORS, OF_GRADIENTS
from microbp.debug.diagnose.finding import Diagnosis, Finding, LayerRow, NeuronRow, Remark, Told, finding
from microbp.debug.diagnose.words import Words
from microbp.errors import UndefinedOperation
from microbp.graph import Graph, Node
from microbp.nn import Module
from microbp.sites import user_scope
from microbp.training import History, NotFinite
from microbp.value import Value

__all__ = ["Diagnosis", "Finding", "LayerRow", "NeuronRow", "diagnose"]


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

    Raises TypeError for anything else, ValueError where data holds no sample, TooManyValues above 200,000.
    """
    words = Words(language)
    names = user_scope() if names is None else names
    if not isinstance(names, Mapping):
        raise TypeError(f"diagnose: names maps names to Values, not an object of type {type(names).__name__}")
    if data is not None and net is None and isinstance(parameters, Module):
        net = parameters
    if data is not None and net is None:
        raise TypeError("diagnose: data are samples for a net: give net= as well")
    if net is not None and data is None:
        raise TypeError("diagnose: net is looked at over samples: give data= as well")
    rows = () if net is None or data is None else runs.neuron_rows(net, data, names)
    title, told = f"diagnose({type(loss).__name__})", list[Any]()
    if isinstance(loss, Value | Graph):
        graph = loss if isinstance(loss, Graph) else Graph(loss, names)
        bounded("diagnose()", graph)
        title = f"diagnose({named(graph)})"
        told += _of_graph(graph, parameters, names, words, huge, runs.alive(rows))
    elif isinstance(loss, History):
        title, told = "diagnose(history)", [*runs.of_history(loss, words)]
    elif isinstance(loss, NotFinite | UndefinedOperation):
        told += runs.of_failure(loss, words)
    elif loss is None and rows:
        title = "diagnose(net)"
    else:
        raise TypeError(
            "diagnose takes a recorded Value, a Graph, what fit raised or returned, or net= and data=, "
            f"not {loss!r}"
        )
    if len(steps) > 1:
        root = loss.root if isinstance(loss, Graph) else loss
        number = root.data if isinstance(root, Node | Value) else math.nan
        told += runs.of_steps(steps, number, words)
    told += runs.neurons(rows, words)
    kinds = Finding, str, LayerRow, Remark
    of: Any = {kind: tuple(each for each in told if type(each) is kind) for kind in kinds}
    diagnosis = Diagnosis(title, of[Finding], of[str], of[LayerRow], rows, of[Remark], words.language)
    if show:
        diagnosis.present()
    return diagnosis


def _of_graph(
    graph: Graph, parameters: Any, names: Mapping[str, Any], words: Words, huge: float, working: Iterable[str]
) -> Told:
    """What all detectors have to tell."""
    root = graph.root
    if not root.requires_grad or root.rule is None:  # a constant, or a leaf
        key = "not computed" if root.requires_grad else "constant"
        yield finding(words, "unreached", key, root, name=root.name, x=root.data)._replace(unit="")
        yield words("constant graph", n=len(graph))
        return
    case = Case(graph, parameters_of(parameters, graph, names), words, huge, working)
    for detector in DETECTORS + OF_GRADIENTS * math.isfinite(root.data):
        yield from detector(case)
