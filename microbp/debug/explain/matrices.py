"""``explain`` of a program: the matrix form that was found in a graph, as formulas and as its own lines."""

from __future__ import annotations

import math

import numpy as np

from microbp.debug.explain.records import Code, Explanation, Part, Row
from microbp.debug.explain.sentences import Math, say
from microbp.replay import Program
from microbp.replay.forms import Matrix
from microbp.replay.function_graph import Captured
from microbp.replay.latex import formulas, statements, whole_vector
from microbp.replay.passes import Generated, generated
from microbp.sweeps import backward

__all__ = ["MatrixExplanation", "explain_program"]

#: By how much more the matrix form, which adds in another order, may differ than a line of a derivation:
#: by 1e-9 of the largest gradient.
COARSER = 1e3


class MatrixExplanation(Explanation):
    """The matrix form of a graph; ``str()`` has the program's lines, ``markdown`` has LaTeX.

    ``rows`` has the derivative of each parameter by the matrix form and by the engine at the recorded sample.
    """

    def _verdict(self) -> Math | None:
        if self.rows and self.ok:
            return say("matrix agrees", self.language, count=len(self.rows))
        return super()._verdict()


def explain_program(program: Program, language: str) -> MatrixExplanation:
    """The matrix form of a program, see :func:`microbp.explain`."""
    if program.form == "straight":
        raise ValueError(
            "explain(program) writes the matrix form, and this program is straight-line code, which is its "
            "own text (program.source): compile it with form='matrix', or explain one gradient, "
            "explain(loss, w)"
        )
    captured = program.captured
    plan, functions = statements(captured)
    made, writer = generated(plan, functions), functions[1]
    # The forward pass to the cost, what is derived from it, and the gradients: lines, and formulas.
    found: dict[str, tuple[list[str], list[str]]] = {
        kind: ([], []) for kind in ("forward", "deltas", "gradients")
    }
    lines = made.write(comments=True).splitlines()
    found["forward"][0].extend(each for each in lines if each.startswith("# "))
    found["forward"][1].extend(whole_vector(plan, writer))
    for statement, line in zip(writer.statements, writer.lines(), strict=True):
        if statement.target is not None and not statement.indent:
            code, shown = found[statement.section]
            code.append(line.removeprefix("    "))
            shown.extend(formulas(statement))
    parts: list[Part] = []
    for kind, (code, shown) in found.items():
        if shown:
            parts += [say(f"matrix {kind}", language), Code(tuple(code), tuple(shown))]
    operations = f"{len(plan.order):,}"
    title = say("matrix", language, scalars=f"{len(captured.graph):,}", operations=operations)
    return MatrixExplanation(title, language, tuple(parts), _compared(captured, made))


def _compared(captured: Captured, made: Generated) -> tuple[Row, ...]:
    """The derivative of each parameter by the matrix form and by the engine, at the recorded sample."""
    if len(captured.outputs) != 1:
        return ()
    form = Matrix(captured, made)
    nodes = captured.graph.nodes
    sample = np.array([[0.0 if each is None else nodes[each].data for each in captured.inputs]])
    gradient = np.zeros(len(captured.params))
    form.gradients(sample, np.array(captured.numbers, dtype=float), gradient, wrt_inputs=False)
    engine = backward(captured.graph, {captured.graph.roots[-1]: 1.0}).tolist()
    largest = max((abs(each) for each in engine if math.isfinite(each)), default=0.0)
    columns = captured.param_names, captured.params, captured.trained, gradient.tolist()
    return tuple(
        Row("matrix", Math(f"∂J/∂{name}", ""), value=ours, engine=engine[position], size=largest * COARSER)
        for name, position, trained, ours in zip(*columns, strict=True)
        if position is not None and trained
    )
