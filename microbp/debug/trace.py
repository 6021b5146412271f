"""``trace``: the steps of a backward pass as a public record, which is compared, kept as JSON, and read back.

The pass follows from its graph, so the JSON is that of the graph. It is strict JSON: nan and infinities
stand as the texts ``"nan"``, ``"inf"``, ``"-inf"``. The rows of the rules in use come along, and a trace can
be read where an operation is not defined.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from microbp.bounds import bounded
from microbp.debug.difference import Difference, difference
from microbp.debug.passes import Pass
from microbp.debug.words import counted, equation, figure
from microbp.errors import MicrobpError
from microbp.graph import Graph
from microbp.notebook import Shown
from microbp.sites import user_scope
from microbp.tables import Table
from microbp.value import Value

__all__ = ["NotATrace", "Trace", "trace"]

#: What the JSON says that it is. A reader refuses other versions.
FORMAT, VERSION = "microbp trace", 3
#: A table shows no more steps.
STEPS = 50


class Trace(Pass, Shown):
    """A backward pass as data; made by :func:`trace`, and never changed.

    Two traces are equal if their graphs are, with all their numbers, to the last bit, nan to nan. What
    ``grad`` held when the graph was frozen is no part of the pass and does not count.
    """

    def __setattr__(self, name: str, held: object) -> None:
        raise AttributeError(f"a Trace is a record: its {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Trace is a record: its {name} cannot be deleted")

    def to_json(self) -> str:
        """The trace as JSON text; :meth:`from_json` gives an equal trace."""
        return f'{{"format": "{FORMAT}", "version": {VERSION},\n"graph": {self.graph.to_json()}}}\n'

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
        try:
            graph = Graph.from_json(json.dumps(document.get("graph")))
            if graph.roots != (len(graph) - 1,):
                raise NotATrace(f"its root is {graph.roots}, not the last of its nodes")
            return Trace(graph)
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, MicrobpError) as error:
            raise NotATrace(f"this trace is damaged at its graph: {error}") from None

    def diff(self, other: Trace, *, tolerance: float = 0.0) -> Difference:
        """Where the two passes begin to differ: in structure, data, a local derivative or a gradient.

        The nodes are paired from the root down, operand by operand; names do not matter. Numbers are
        compared to the last bit, nan equal to nan; ``tolerance`` lets two numbers differ by so much of the
        larger.

        >>> def run(w):
        ...     w = Value(w, name="w")
        ...     return trace((w * 3.0).tanh(), {})
        >>> print(run(0.4).diff(run(0.4)))
        the passes agree: 3 values, 2 steps
        >>> print(run(0.4).diff(run(0.5)))
        the passes differ first at w, in data: 0.4 here, 0.5 there
        <BLANKLINE>
        node   differs in   here                 there                line
        ──────────────────────────────────────────────────────────────────
        w      data         0.4                  0.5                  -
        v1     data         1.2000000000000002   1.5                  -
        v2     data         0.8336546070121553   0.9051482536448664   -

        Raises TypeError where ``other`` is no Trace, ValueError for a negative tolerance.
        """
        return difference(self, other, tolerance)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return self is other or self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((len(self.graph), self.graph.root.name, repr(self.graph.root.data)))

    def _compared(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.graph.to_json(), parse_float=str)
        return {**document, "grad": None, "known": None}

    def __repr__(self) -> str:
        root = self.graph.root
        steps, values = counted(len(self), "step"), counted(len(self.graph), "value")
        return f"Trace({steps}, {values}, root {root.name} = {root.data!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Trace, (self.graph,)

    def table(self) -> Table:
        """The first steps, with a row for each contribution; a notebook shows it, too."""
        root, names, rows = self.graph.root, self.graph.names, []
        for step in self.steps[:STEPS]:
            first = str(step.index), equation(self.graph, self.graph.nodes[step.node]), figure(step.upstream)
            for each in step.contributions:
                missing = f"({each.missing} missing)" if each.missing else "✓"
                gradient = f"{figure(each.before)} → {figure(each.after)} {missing}"
                amount = f"{each.symbols} = {figure(each.local)}", figure(each.amount)
                rows.append((*first, names[each.operand], *amount, gradient))
                first = "", "", ""  # of one step only the first row says which it is
        more = len(self) - STEPS
        columns = ("step", "node", ">upstream", "operand", "local derivative", ">contribution", "gradient")
        title = f"{root.name} = {figure(root.data)}: {counted(len(self.graph), 'value')}"
        notes = (f"… and {counted(more, 'more step')}.",) if more > 0 else ()
        return Table(f"{title}, {counted(len(self), 'step')}", columns, tuple(rows), notes)


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
