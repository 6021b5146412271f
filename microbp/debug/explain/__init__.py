"""``explain``: a gradient derived by the chain rule, in symbols and numbers, as a tutorial would."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from microbp.backward import upstream_gradients
from microbp.debug.explain.derivation import Derivation
from microbp.debug.explain.names import shortened
from microbp.debug.explain.records import Code, Explanation, Part, Row
from microbp.debug.explain.sentences import say
from microbp.debug.trace import target
from microbp.debug.words import Math, name_of, quotient
from microbp.graph import Graph
from microbp.notation import latex_name, plain_name
from microbp.replay import Program
from microbp.replay.forms import Matrix
from microbp.replay.function_graph import Captured
from microbp.replay.latex import formulas, matrices, whole_vector
from microbp.spelling import language as language_of
from microbp.sweeps import backward, dependents
from microbp.value import Value

__all__ = ["Explanation", "MatrixExplanation", "Row", "explain"]


def explain(
    loss: Value | Graph | Program,
    value: Value | str | None = None,
    *,
    names: Mapping[str, Any] | None = None,
    language: str = "en",
    rate: float | None = None,
) -> Explanation:
    """Why ∂loss/∂value is what it is: the chain rule in symbols, each factor's formula, the numbers.

    ``value`` is a Value or a name; ``names`` maps names to Values, the variables of the caller's code
    unless it is given. ``language`` is ``"en"`` or ``"zh"``. With ``rate``, the learning rate, the update
    step follows. ``str()`` of the result is plain text, ``markdown`` has LaTeX, ``rows`` the lines as
    records, and ``ok`` says whether every line, computed again by the rules from the recorded numbers, is
    what the engine has. After an update of the parameters it is about the numbers from before.

    >>> w = Value(0.5, name="w")
    >>> o = (w * 3.0).sigmoid()
    >>> print(explain(o, w, names={"o": o}))
    ∂o/∂w: how w acts on o
    <BLANKLINE>
    w acts on o directly. o = σ(w·3), so
        ∂o/∂w = 3·o·(1 − o) = 3·0.817574476·(1 − 0.817574476) = 0.447439356
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
    constant, KeyError for an unknown name, ValueError for another language, for a rate not above 0, and for
    a program in straight-line code or without matrices.
    """
    language = language_of(language)
    if rate is not None and not 0.0 < rate < math.inf:
        raise ValueError(f"explain(): a learning rate is a number above 0, not {rate!r}")
    if isinstance(loss, Program):
        if value is not None:
            raise TypeError(
                "explain(program) takes no value: it shows the derivation as a whole. One gradient of the "
                "graph behind it is shown by explain(program.captured.graph, 'w')"
            )
        return _of_program(loss, language)
    if value is None:
        raise TypeError("explain() takes the value by which the gradient is: explain(loss, w)")
    graph, node, called = target(loss, value, names, "explain()")
    root, by = name_of(graph.root), Math(plain_name(called), latex_name(called))
    filled = {"gradient": quotient(root, by), "value": by, "loss": root}
    title = say(language, "title", **filled)
    between = dependents(graph, [] if node is None else [node.position])
    if node is None or not between[graph.roots[-1]]:
        return Explanation(title, language, (say(language, "independent", **filled),))
    engine = None
    if isinstance(loss, Value) and isinstance(value, Value):
        engine = upstream_gradients(loss).get(id(value))
    short = shortened(graph, set(between.nonzero()[0].tolist()), node.position)
    derivation = Derivation(short.graph, node.position, engine, language)
    parts = derivation.tell(rate)
    return Explanation(title, language, (*short.key(derivation.used, language), *parts))


# ------------------------------------------------------------------------------------ of a program
#: By how much more the matrix form, which adds in another order, may differ than a line of a derivation:
#: by 1e-9 of the largest gradient.
COARSER = 1e3


class MatrixExplanation(Explanation):
    """The matrix form of a graph; ``str()`` has the program's lines, ``markdown`` has LaTeX.

    ``rows`` has the derivative of each parameter by the matrix form and by the engine at the recorded sample.
    """


def _of_program(program: Program, language: str = "en") -> MatrixExplanation:
    """The derivation by the matrices that were found in the graph: ``explain(program)``."""
    language = language_of(language)
    if program.form == "straight":
        raise ValueError(
            "explain(program) writes the matrix form, and this program is straight-line code, which is its "
            "own text (program.source): compile it with form='matrix', or explain one gradient, "
            "explain(loss, w)"
        )
    captured = program.captured
    form = matrices(captured)
    plan, writer = form.plan, form.writer
    # The forward pass to the cost, what is derived from it, and the gradients: lines, and formulas.
    lines = [each for each in form.source.splitlines() if each.startswith("# ")]
    found = {"forward": (lines, whole_vector(form)), "deltas": ([], []), "gradients": ([], [])}
    for statement, line in zip(writer.statements, writer.lines(), strict=True):
        if statement.target is not None and not statement.indent:
            code, shown = found[statement.section]
            code.append(line.removeprefix("    "))
            shown.extend(formulas(statement))
    parts: list[Part] = []
    for kind, (code, shown) in found.items():
        if shown:
            parts += [say(language, f"matrix {kind}"), Code(tuple(code), tuple(shown))]
    operations = f"{plan.cost:,}"  # the cost, which is their sum, is the group after them
    title = say(language, "matrix", scalars=f"{len(captured.graph):,}", operations=operations)
    return MatrixExplanation(title, language, tuple(parts), _compared(captured, form))


def _compared(captured: Captured, form: Matrix) -> tuple[Row, ...]:
    """The derivative of each parameter by the matrix form and by the engine, at the recorded sample."""
    if len(captured.outputs) != 1:
        return ()
    nodes = captured.graph.nodes
    sample = np.array([[nodes[each].data for each in captured.inputs]])
    gradient = np.zeros(len(captured.params))
    form.gradients(sample, np.array(captured.numbers, dtype=float), gradient, None)
    engine = backward(captured.graph, {captured.outputs[0]: 1.0}).tolist()
    largest = max((abs(each) for each in engine if math.isfinite(each)), default=0.0)
    columns = captured.param_names, captured.params, captured.trained, gradient.tolist()
    return tuple(
        Row("matrix", Math(f"∂J/∂{name}", ""), value=ours, engine=engine[position], size=largest * COARSER)
        for name, position, trained, ours in zip(*columns, strict=True)
        if trained
    )


Program.explain = _of_program
