"""``markdown``: a backward pass as a table with LaTeX, a row for each contribution, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from microbp.debug.records import Contribution, Step
from microbp.debug.words import counted
from microbp.graph import Graph
from microbp.notation import latex_name, latex_number

__all__ = ["markdown"]

#: No more steps are shown.
STEPS = 50
#: How many digits a number has.
DIGITS = 6
_HEAD = (
    "| step | node | operation | upstream | local derivative | contribution | gradient |\n"
    "| ---: | --- | --- | ---: | --- | --- | --- |"
)


def markdown(graph: Graph, steps: Sequence[Step]) -> str:
    r"""The first steps of a pass as Markdown, with what is left out said below.

    >>> from microbp import Value
    >>> from microbp.debug.trace import trace
    >>> x = Value(3.0, name="x")
    >>> pass_ = trace(x * x, {})
    >>> print(markdown(pass_.graph, pass_.steps).splitlines()[-2].partition(" | $\\frac")[0])
    | 1 | $v_1$ | mul | $1$
    """
    root = graph.root
    title = f"**${latex_name(root.name)} = {latex_number(root.data, DIGITS)}$**"
    lines = [f"{title}: {counted(len(graph), 'value')}, {counted(len(steps), 'step')}", "", _HEAD]
    for step in steps[:STEPS]:
        node = graph.nodes[step.node]
        assert node.rule is not None
        before = [str(step.index), _math(latex_name(node.name)), node.rule.name, _number(step.upstream)]
        for each in step.contributions:
            lines.append(f"| {' | '.join([*before, *_contribution(graph, step, each)])} |")
            before = [""] * 4  # of one step only the first row says which it is
    if len(steps) > STEPS:
        lines += ["", f"… and {counted(len(steps) - STEPS, 'more step')}."]
    return "\n".join(lines)


def _contribution(graph: Graph, step: Step, each: Contribution) -> tuple[str, str, str]:
    """The local derivative, the contribution, and what becomes of the operand's gradient."""
    root, node, operand = (
        latex_name(graph.nodes[position].name) for position in (-1, step.node, each.operand)
    )
    local = latex_number(each.local, DIGITS)
    symbols = [each.formula.latex, local] if each.formula.latex != local else [local]
    derivative = rf"\frac{{\partial {node}}}{{\partial {operand}}} = {' = '.join(symbols)}"
    factor = f"({local})" if local.startswith("-") else local
    product = rf"{latex_number(step.upstream, DIGITS)}\cdot {factor} = {latex_number(each.amount, DIGITS)}"
    gradient = _math(rf"\frac{{\partial {root}}}{{\partial {operand}}}")
    was = "none" if each.before is None else _number(each.before)
    rest = f"({each.missing} missing)" if each.missing else "✓"
    return _math(derivative), _math(product), f"{gradient}: {was} → {_number(each.after)} {rest}"


def _number(x: float) -> str:
    return _math(latex_number(x, DIGITS))


def _math(latex: str) -> str:
    """A formula in a table, where a bar would end the cell."""
    return "$" + latex.replace("|", r"\vert ") + "$"
