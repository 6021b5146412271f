"""``explain``: a gradient derived by the chain rule, in symbols and numbers, as a tutorial would."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, overload

from microbp.backward import upstream_gradients
from microbp.debug.explain.derivation import Derivation
from microbp.debug.explain.matrices import MatrixExplanation, explain_program
from microbp.debug.explain.names import shortened
from microbp.debug.explain.records import Explanation, Part, Row
from microbp.debug.explain.sentences import Math, name_of, number, quotient, say
from microbp.debug.passes import target
from microbp.graph import Graph
from microbp.notation import latex_name, plain_name
from microbp.replay import Program
from microbp.spelling import language as language_of
from microbp.sweeps import dependents
from microbp.value import Value

__all__ = ["Explanation", "MatrixExplanation", "Row", "explain"]


@overload
def explain(
    loss: Value | Graph,
    value: Value | str,
    *,
    names: Mapping[str, Any] | None = None,
    language: str = "en",
    rate: float | None = None,
) -> Explanation: ...


@overload
def explain(loss: Program, *, language: str = "en") -> MatrixExplanation: ...


def explain(
    loss: Value | Graph | Program,
    value: Value | str | None = None,
    *,
    names: Mapping[str, Any] | None = None,
    language: str = "en",
    rate: float | None = None,
) -> Explanation | MatrixExplanation:
    """Why ∂loss/∂value is what it is: the chain rule in symbols, each factor's formula, the numbers.

    ``value`` is a Value or a name; ``names`` maps names to Values, the variables of the caller's code
    unless it is given. ``language`` is ``"en"`` or ``"zh"``. With ``rate``, the learning rate, the update
    step follows. ``str()`` of the result is plain text, ``markdown`` has LaTeX, ``rows`` the lines as
    records, and ``ok`` says whether every line, computed again by the rules from the recorded numbers, is
    what the engine has. After an update of the parameters it is about the numbers from before.

    >>> w, x = Value(0.5, name="w"), Value(3.0, name="x").detach()
    >>> net = w * x
    >>> o = net.sigmoid()
    >>> print(explain(o, w, names={"o": o, "net": net}))
    ∂o/∂w: how w acts on o
    <BLANKLINE>
    w acts on o along a single path, o → net → w. By the chain rule
        ∂o/∂w = ∂o/∂net · ∂net/∂w
    <BLANKLINE>
    (1) First ∂o/∂net. o = σ(net), so
        ∂o/∂net = o·(1 − o) = 0.817574476·(1 − 0.817574476) = 0.149146452
    <BLANKLINE>
    (2) Last ∂net/∂w. net = w·x, so
        ∂net/∂w = x = 3
    <BLANKLINE>
    Multiplied together:
        ∂o/∂w = ∂o/∂net · ∂net/∂w = 0.149146452·3 = 0.447439356
    <BLANKLINE>
    Every line was computed again from the recorded numbers, and agrees with the engine's.

    A value that nobody named becomes part of the factor around it; what modules hold and compute gets
    short names, which are said first: w1[0,2] for layers.0.neurons.0.w.2, z1[0] and h1[0] for the weighted
    input and the output of that neuron. Of a conditional only the branch taken
    is shown. Where many paths lead to the value they are collected at the nodes where they meet (δ), and
    a long sum shows its largest terms. The loss may not depend on the value: then that is said.

    Of a :class:`microbp.Program` in its matrix form, the only argument beside ``language``, it shows the
    matrices that were found in the graph and the derivation by them: ``str()`` has the program's own lines,
    ``markdown`` the formulas. Its derivatives are compared with the engine's at the recorded sample.

    Raises TypeError where ``loss`` or ``value`` is something else, NoGradientError where the loss is a
    constant, KeyError for an unknown name, ValueError for another language, and for a program in
    straight-line code or without matrices.
    """
    language = language_of(language)
    if isinstance(loss, Program):
        if value is not None:
            raise TypeError(
                "explain(program) takes no value: it shows the derivation as a whole. One gradient of the "
                "graph behind it is shown by explain(program.captured.graph, 'w')"
            )
        return explain_program(loss, language)
    if value is None:
        raise TypeError("explain() takes the value by which the gradient is: explain(loss, w)")
    asked = target(loss, value, names, "explain()")
    root = name_of(asked.graph.root)
    by = Math(plain_name(asked.name), latex_name(asked.name))
    gradient = quotient(root, by)
    title = say("title", language, gradient=gradient, value=by, loss=root)
    between = None if asked.node is None else dependents(asked.graph, [asked.node.position])
    if asked.node is None or between is None or not between[asked.graph.roots[-1]]:
        unrelated = say("independent", language, loss=root, value=by, gradient=gradient)
        return Explanation(title, language, (unrelated,))
    engine = None
    if isinstance(loss, Value) and isinstance(value, Value):
        engine = upstream_gradients(loss).get(id(value))
    short = shortened(asked.graph, set(between.nonzero()[0].tolist()), asked.node.position)
    derivation = Derivation(short.graph, asked.node.position, engine, language)
    parts = derivation.tell()
    if rate is not None and asked.node.requires_grad:
        parts += _update(derivation, float(rate), language)
    return Explanation(title, language, (*short.key(derivation.used, language), *parts))


def _update(found: Derivation, rate: float, language: str) -> tuple[Part, ...]:
    """The step of gradient descent."""
    w, by, data = found.value, found.label, found.graph.nodes[found.target].data
    step = ast.BinOp(ast.Constant(rate), ast.Mult(), ast.Constant(found.result))
    symbols = Math(f"{w.text} − η·{by.text}", rf"{w.latex}-\eta\,{by.latex}")
    numbers = found.formulas.numbers(ast.BinOp(ast.Constant(data), ast.Sub(), step))
    ours, engine = data - rate * found.result, data - rate * found.engine
    row = Row("update", w, (symbols,), numbers, ours, engine, abs(data) + abs(rate * found.result), sign="←")
    eta = number(rate)
    return say("update", language, rate=Math(f"η = {eta.text}", rf"\eta = {eta.latex}")), row


def _of_program(program: Program, language: str = "en") -> MatrixExplanation:
    """The derivation by the matrices that were found in the graph: ``explain(program)``.

    Raises ValueError for another language, and for a program in straight-line code or without matrices.
    """
    return explain_program(program, language_of(language))


Program.explain = _of_program
