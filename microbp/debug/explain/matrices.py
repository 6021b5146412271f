"""``explain`` of a program: the matrix form that was found in a graph, as formulas and as its own lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from microbp.debug.explain.formulas import Math
from microbp.debug.explain.records import agree, sentence
from microbp.debug.explain.sentences import say
from microbp.notebook import Shown
from microbp.replay import Program
from microbp.replay.forms import Matrix
from microbp.replay.function_graph import Captured
from microbp.replay.latex import formulas, statements, whole_vector
from microbp.replay.matrix import Plan
from microbp.replay.passes import Generated, Writer, generated
from microbp.sweeps import backward

__all__ = ["MatrixExplanation", "explain_program"]

#: By how much more the matrix form, which adds in another order, may differ than a line of a derivation:
#: by 1e-9 of the largest gradient.
COARSER = 1e3


@dataclass(frozen=True, repr=False)
class MatrixExplanation(Shown):
    """The matrix form of a graph; ``str()`` has the program's lines, ``markdown`` has LaTeX."""

    title: Math
    language: str
    #: Sentences, and below each the program's lines and the formulas in LaTeX.
    parts: tuple[tuple[Math, tuple[str, ...], str], ...]
    #: Each parameter whose derivative is not the engine's at the recorded sample: its name and both numbers.
    rows: tuple[tuple[str, float, float], ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """What differs from the engine."""
        wrong = [row for row in self.rows if not _same(row, self.rows)]
        return tuple(
            say("differs", self.language, label=f"∂J/∂{name}", value=repr(ours), engine=repr(engine),
                where="").text
            for name, ours, engine in wrong
        )  # fmt: skip

    @property
    def ok(self) -> bool:
        """Whether the program's derivatives are the engine's at the sample that was recorded."""
        return not self.faults

    def verdict(self) -> list[Math]:
        """What the comparison with the engine gave."""
        if not self.rows:
            return []
        if self.ok:
            return [say("matrix agrees", self.language, count=len(self.rows))]
        told = [Math(f"  {each}", f"- `{each}`") for each in self.faults]
        return [say("wrong", self.language), *told]

    def __str__(self) -> str:
        lines = [*sentence(self.title.text)]
        for said, code, _ in self.parts:
            lines += ["", *sentence(said.text), *(f"    {each}" for each in code)]
        for each in self.verdict():
            fault = each.text.startswith(" ")
            lines += [each.text] if fault else ["", *sentence(each.text)]
        return "\n".join(lines)

    @property
    def markdown(self) -> str:
        """Markdown with LaTeX between ``$$``."""
        blocks = [f"**{self.title.latex}**"]
        for said, _, shown in self.parts:
            blocks += [said.latex, f"$$\n\\begin{{aligned}}\n{shown}\n\\end{{aligned}}\n$$"]
        return "\n\n".join([*blocks, *(each.latex for each in self.verdict())]) + "\n"

    def __repr__(self) -> str:
        return f"MatrixExplanation({self.title.text})"

    def _markdown(self) -> str:
        return self.markdown


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
    made = generated(plan, functions)
    found = _sections(plan, functions[1], made)
    parts = tuple(
        (say(f"matrix {kind}", language), tuple(code), " \\\\\n".join(shown))
        for kind, (code, shown) in found.items()
        if shown
    )
    operations = f"{len(plan.order):,}"
    title = say("matrix", language, scalars=f"{len(captured.graph):,}", operations=operations)
    return MatrixExplanation(title, language, parts, _compared(captured, made))


def _sections(plan: Plan, writer: Writer, made: Generated) -> dict[str, tuple[list[str], list[str]]]:
    """The forward pass to the cost, what is derived from it, and the gradients: lines, and formulas."""
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
    return found


def _compared(captured: Captured, made: Generated) -> tuple[tuple[str, float, float], ...]:
    """The derivative of each parameter by the matrix form and by the engine, at the recorded sample."""
    if len(captured.outputs) != 1:
        return ()
    form = Matrix(captured, made)
    nodes = captured.graph.nodes
    sample = np.array([[0.0 if each is None else nodes[each].data for each in captured.inputs]])
    gradient = np.zeros(len(captured.params))
    form.gradients(sample, np.array(captured.numbers, dtype=float), gradient, wrt_inputs=False)
    engine = backward(captured.graph, {captured.graph.roots[-1]: 1.0}).tolist()
    rows = []
    for name, position, trained, ours in zip(
        captured.param_names, captured.params, captured.trained, gradient.tolist(), strict=True
    ):
        if position is not None and trained:
            rows.append((name, float(ours), engine[position]))
    return tuple(rows)


def _same(row: tuple[str, float, float], rows: tuple[tuple[str, float, float], ...]) -> bool:
    _, ours, engine = row
    largest = max((abs(each) for _, _, each in rows if math.isfinite(each)), default=0.0)
    return agree(ours, engine, largest * COARSER)
