"""``trace``: the steps of a backward pass as a public record, which is compared, kept as JSON, and read back.

The JSON holds the graph, and the numbers of the pass in columns; which nodes they are about follows from the
graph. It is strict JSON: nan and infinities stand as the texts ``"nan"``, ``"inf"``, ``"-inf"``. The rows of
the rules in use come along, and a trace can be read where an operation is not defined.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from microbp.bounds import bounded
from microbp.debug.difference import Difference, difference
from microbp.debug.passes import Contribution, Pass, Step, steps_of
from microbp.debug.words import counted
from microbp.errors import MicrobpError
from microbp.graph import Graph
from microbp.notation import latex_name, latex_number
from microbp.notebook import Shown
from microbp.sites import user_scope
from microbp.value import Value

__all__ = ["NotATrace", "Trace", "trace"]

#: What the JSON says that it is. A reader refuses other versions.
FORMAT, VERSION = "microbp trace", 2
#: The columns: one of the steps, and those of the contributions.
COLUMNS = ("upstream", "local", "amount", "before", "after")
#: A notebook shows no more steps, and numbers with so many digits.
STEPS, DIGITS = 50, 6


class Trace(Pass, Shown):
    """A backward pass as data; made by :func:`trace`, and never changed.

    Two traces are equal if their graphs and all their numbers are, to the last bit, nan to nan. What
    ``grad`` held when the graph was frozen is no part of the pass and does not count.
    """

    @staticmethod
    def _of(graph: Graph, steps: tuple[Step, ...]) -> Trace:
        made = object.__new__(Trace)
        made._keep(graph, frozenset(), steps)
        return made

    def __setattr__(self, name: str, held: object) -> None:
        raise AttributeError(f"a Trace is a record: its {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Trace is a record: its {name} cannot be deleted")

    def to_json(self) -> str:
        """The trace as JSON text; :meth:`from_json` gives an equal trace."""
        paid = [each for step in self.steps for each in step.contributions]
        columns = {name: [getattr(each, name) for each in paid] for name in COLUMNS[1:]}
        columns["upstream"] = [step.upstream for step in self.steps]
        told = (f'"{name}": {json.dumps([*map(_plain, columns[name])], allow_nan=False)}' for name in COLUMNS)
        head = f'{{"format": "{FORMAT}", "version": {VERSION},\n"graph": {self.graph.to_json()}'
        return ",\n".join([head, *told]) + "}\n"

    @staticmethod
    def from_json(text: str) -> Trace:
        """The trace of a text that :meth:`to_json` wrote, here or elsewhere.

        >>> pass_ = trace(Value(3.0, name="x").sigmoid(), {})
        >>> Trace.from_json(pass_.to_json()) == pass_
        True
        >>> Trace.from_json("[1, 2]")
        Traceback (most recent call last):
            ...
        microbp.debug.trace.NotATrace: this JSON is not a trace: it has no "format": "microbp trace"

        Raises NotATrace, a ValueError, for anything else, with what is wrong and where.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NotATrace(f"this text is not a trace: it is not JSON ({error})") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise NotATrace(f'this JSON is not a trace: it has no "format": "{FORMAT}"')
        if document.get("version") != VERSION:
            told = f"this trace has the version {document.get('version')!r}"
            raise NotATrace(f"{told}; this microbp reads version {VERSION}")
        where = "its graph"
        try:
            graph = Graph.from_json(json.dumps(document["graph"]))
            last = (len(graph) - 1,)
            _require(graph.roots == last, f"its root is {graph.roots}, not the last of its nodes")
            planned = [*steps_of(graph)]
            count = sum(len(step.contributions) for step in planned)
            columns = []
            for where in COLUMNS:
                columns.append([_number(x, none=where == "before") for x in document[where]])
                wanted = len(planned) if where == "upstream" else count
                _require(len(columns[-1]) == wanted, f"it has {len(columns[-1])} numbers, not {wanted}")
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, MicrobpError) as error:
            told = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise NotATrace(f"this trace is damaged at {where}: {told}") from None
        paid = (dict(zip(COLUMNS[1:], each, strict=True)) for each in zip(*columns[1:], strict=True))
        steps = []
        for step, upstream in zip(planned, columns[0], strict=True):
            given = tuple(each._replace(**next(paid)) for each in step.contributions)
            steps.append(step._replace(contributions=given, upstream=upstream))
        return Trace._of(graph, tuple(steps))

    def diff(self, other: Trace, *, tolerance: float = 0.0) -> Difference:
        """Where the two passes begin to differ; see :func:`microbp.debug.difference.difference`."""
        return difference(self, other, tolerance)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return self is other or self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((len(self.graph), self.graph.root.name, repr(self.graph.root.data)))

    def _compared(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.to_json(), parse_float=str)
        return {**document, "graph": {**document["graph"], "grad": None, "known": None}}

    def __repr__(self) -> str:
        root = self.graph.root
        steps, values = counted(len(self), "step"), counted(len(self.graph), "value")
        return f"Trace({steps}, {values}, root {root.name} = {root.data!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Trace._of, (self.graph, self.steps)

    # ---------------------------------------------------------------------------------- in a notebook
    def _markdown(self) -> str:
        """The first steps with a row for each contribution, and what is left out said below."""
        root = self.graph.root
        title = f"**${latex_name(root.name)} = {latex_number(root.data, DIGITS)}$**"
        lines = [
            f"{title}: {counted(len(self.graph), 'value')}, {counted(len(self), 'step')}", "",
            "| step | node | operation | upstream | local derivative | contribution | gradient |",
            "| ---: | --- | --- | ---: | --- | --- | --- |",
        ]  # fmt: skip
        for step in self.steps[:STEPS]:
            node = self.graph.nodes[step.node]
            assert node.rule is not None
            before = [str(step.index), _math(latex_name(node.name)), node.rule.name, _latex(step.upstream)]
            for each in step.contributions:
                lines.append(f"| {' | '.join([*before, *self._cells(step, each)])} |")
                before = [""] * 4  # of one step only the first row says which it is
        if len(self) > STEPS:
            lines += ["", f"… and {counted(len(self) - STEPS, 'more step')}."]
        return "\n".join(lines)

    def _cells(self, step: Step, each: Contribution) -> tuple[str, str, str]:
        """The local derivative, the contribution, and what becomes of the operand's gradient."""
        names = self.graph.names
        root, node, operand = (latex_name(names[position]) for position in (-1, step.node, each.operand))
        local, formula = latex_number(each.local, DIGITS), each.formula.latex
        derivative = rf"\frac{{\partial {node}}}{{\partial {operand}}} = {formula}"
        derivative += f" = {local}" if formula != local else ""
        factor = f"({local})" if local.startswith("-") else local
        upstream, amount = latex_number(step.upstream, DIGITS), latex_number(each.amount, DIGITS)
        gradient = _math(rf"\frac{{\partial {root}}}{{\partial {operand}}}")
        was = "none" if each.before is None else _latex(each.before)
        rest = f"({each.missing} missing)" if each.missing else "✓"
        told = f"{gradient}: {was} → {_latex(each.after)} {rest}"
        return _math(derivative), _math(rf"{upstream}\cdot {factor} = {amount}"), told


def _latex(x: float) -> str:
    return _math(latex_number(x, DIGITS))


def _math(latex: str) -> str:
    """A formula in a table, where a bar would end the cell."""
    return "$" + latex.replace("|", r"\vert ") + "$"


def trace(loss: Value | Graph, names: Mapping[str, Any] | None = None) -> Trace:
    """The backward pass from ``loss``, step by step, as :class:`Trace`.

    It is worked out from the recorded local derivatives, with the engine's order and roundings: its
    final gradients are those of ``backward()`` to the last bit. ``backward()`` need not have run, and
    no ``grad`` is read or changed. Its graph has the numbers that were recorded, also where the
    parameters have been given others since. ``names`` maps names to Values, as ``locals()`` does; the
    variables of the caller name them unless it is given. Where ``loss`` is a Graph it has its names already.

    >>> w, x = Value(0.5, name="w"), Value(3.0, name="x")
    >>> y = (w * x).sigmoid()
    >>> for step in trace(y).steps:
    ...     for c in step.contributions:
    ...         print(f"{step.upstream:.6f} × ({c.numbers}) = {c.amount:.6f}, missing {c.missing}")
    1.000000 × (0.8176·(1 − 0.8176)) = 0.149146, missing 0
    0.149146 × (0.5) = 0.074573, missing 0
    0.149146 × (3) = 0.447439, missing 0

    A leaf has a pass without steps. Raises TypeError where ``loss`` is neither a Value nor a Graph,
    NoGradientError where it is a constant.
    """
    if isinstance(loss, Value):
        loss = Graph(loss, user_scope() if names is None else names)
    elif not isinstance(loss, Graph):
        raise TypeError(f"trace() takes the Value from which the pass starts, or a Graph, not {loss!r}")
    bounded("trace()", loss)
    return Trace(loss)


class NotATrace(MicrobpError, ValueError):
    """A text is no trace, or a damaged one."""


# ---------------------------------------------------------------------------------- numbers in JSON
def _plain(x: float | None) -> float | str | None:
    return x if x is None or math.isfinite(x) else repr(x)


def _number(x: Any, *, none: bool = False) -> Any:
    if none and x is None:
        return None
    _require(x in ("nan", "inf", "-inf") or type(x) in (int, float), f"{x!r} is not a number")
    return float(x)


def _require(holds: object, told: str) -> None:
    if not holds:
        raise ValueError(told)
