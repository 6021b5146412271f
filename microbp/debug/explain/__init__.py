"""``explain``: a gradient derived by the chain rule, in symbols and numbers, as a tutorial would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from microbp.backward import upstream_gradients
from microbp.debug.explain.digits import shown
from microbp.debug.explain.factor import name_of, number, quotient
from microbp.debug.explain.matrices import MatrixExplanation, explain_program
from microbp.debug.explain.records import Explanation, Row
from microbp.debug.explain.short import shortened
from microbp.debug.explain.story import Story
from microbp.debug.explain.trees import Math
from microbp.debug.explain.words import LANGUAGES, say
from microbp.debug.passes import Target, target
from microbp.graph import Graph
from microbp.notation import latex_name, plain_name
from microbp.notation.names import latex_digits
from microbp.replay import Program
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
    records, and ``ok`` says whether every line, computed again from what is printed, is what the engine
    has.

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
    Every number was computed again from what is printed, and agrees with the engine's.

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
    if language not in LANGUAGES:
        raise ValueError(f"explain() speaks {' and '.join(LANGUAGES)}, not {language!r}")
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
    above = _above(asked)
    if asked.node is None or asked.graph.root.position not in above:
        unrelated = say("independent", language, loss=root, value=by, gradient=gradient)
        return Explanation(title, language, (unrelated,))
    engine = None
    if isinstance(loss, Value) and isinstance(value, Value):
        engine = upstream_gradients(loss).get(id(value))
    short = shortened(asked.graph, above, asked.node.position)
    story = Story(short.graph, asked.node.position, engine, language)
    parts = story.tell()
    if rate is not None and asked.node.requires_grad:
        parts += _update(story, float(rate), language)
    told = Explanation(title, language, parts)
    return Explanation(title, language, (*short.key([str(told)], language), *short.signs(language), *parts))


def _above(asked: Target) -> set[int]:
    """The node and all from which a chain of local derivatives leads down to it."""
    if asked.node is None:
        return set()
    known = {asked.node.position}
    for node in asked.graph.nodes[asked.node.position + 1 :]:
        for operand, local in zip(node.operands, node.local_derivatives, strict=True):
            if local is not None and type(operand) is int and operand in known:
                known.add(node.position)
    return known


def _update(story: Story, rate: float, language: str) -> tuple[Math | Row, ...]:
    """The step of gradient descent."""
    w, step = story.value, story.label
    data = story.graph.nodes[story.target].data
    numbers = [shown(x) for x in (data, rate, story.result)]
    told = [each if not each.startswith("−") else f"({each})" for each in numbers]
    tex = [latex_digits(each) for each in numbers]
    tex = [tex[0], *(f"({each})" if each.startswith("-") else each for each in tex[1:])]
    row = Row(
        "update",
        w,
        (Math(f"{w.text} − η·{step.text}", rf"{w.latex}-\eta\,{step.latex}"),),
        Math(f"{numbers[0]} − {told[1]}·{told[2]}", rf"{tex[0]}-{tex[1]}\cdot {tex[2]}"),
        number(data - rate * story.result),
        (data - rate * story.result,),
        data - rate * story.engine,
        abs(data) + abs(rate * story.result),
        sign="←",
    )
    eta = Math(f"η = {shown(rate)}", rf"\eta = {latex_digits(shown(rate))}")
    return say("update", language, rate=eta), row
