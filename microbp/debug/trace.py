"""``trace``: the steps of a backward pass as a public record, which is compared, kept as JSON, and read back.

The JSON is one object with a node, or a step, to a line, so that line tools can compare two files. Strict
JSON: nan and infinities stand as the texts ``"nan"``, ``"inf"``, ``"-inf"``; a literal operand stands as the
text of its number, a position as a number. The rows of the rules in use come along, and a trace can be
read where an operation is not defined.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from microbp.bounds import bounded
from microbp.debug.difference import Difference, difference
from microbp.debug.passes import Contribution, Pass, Step
from microbp.debug.words import counted
from microbp.errors import MicrobpError
from microbp.graph import Graph, Node
from microbp.notation import latex_name, latex_number
from microbp.notebook import Shown
from microbp.rules import Rule, restored
from microbp.sites import user_scope
from microbp.value import Value

__all__ = ["NotATrace", "Trace", "trace"]

#: The version of the format; a reader refuses what is newer.
VERSION = 1
FORMAT = "microbp trace"
_CONTRIBUTION = ("operand", "place", "local", "amount", "before", "after", "missing")
_STEP = ("node", "upstream", "contributions")
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
        """The trace as JSON text; :meth:`from_json` gives an equal trace.

        Strict JSON, a node or a step to a line, with the rules that it uses and the version of the
        format.
        """
        return written(self.graph.nodes, self.steps)

    @staticmethod
    def from_json(text: str) -> Trace:
        """The trace of a text that :meth:`to_json` wrote, here or elsewhere, today or earlier.

        >>> pass_ = trace(Value(3.0, name="x").sigmoid(), {})
        >>> Trace.from_json(pass_.to_json()) == pass_
        True
        >>> Trace.from_json("[1, 2]")
        Traceback (most recent call last):
            ...
        microbp.debug.trace.NotATrace: this JSON is not a trace: it has no "format": "microbp trace"

        Raises NotATrace, a ValueError, for anything else, with what is wrong and where.
        """
        return Trace._of(*read(text))

    def diff(self, other: Trace, *, tolerance: float = 0.0) -> Difference:
        """Where the two passes begin to differ; see :func:`microbp.debug.difference.difference`."""
        return difference(self, other, tolerance)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return self is other or self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((len(self.graph), self.graph.root.name, repr(self.graph.root.data)))

    def _compared(self) -> str:
        return written(tuple(node._replace(grad=None) for node in self.graph), self.steps)

    def __repr__(self) -> str:
        root = self.graph.root
        steps, values = counted(len(self), "step"), counted(len(self.graph), "value")
        return f"Trace({steps}, {values}, root {root.name} = {root.data!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Trace._of, (self.graph, self.steps)

    # ---------------------------------------------------------------------------------- in a notebook
    def _markdown(self) -> str:
        """The first steps with a row for each contribution, and what is left out said below."""
        graph, root = self.graph, self.graph.root
        title = f"**${latex_name(root.name)} = {latex_number(root.data, DIGITS)}$**"
        lines = [
            f"{title}: {counted(len(graph), 'value')}, {counted(len(self), 'step')}", "",
            "| step | node | operation | upstream | local derivative | contribution | gradient |",
            "| ---: | --- | --- | ---: | --- | --- | --- |",
        ]  # fmt: skip
        for step in self.steps[:STEPS]:
            node = graph.nodes[step.node]
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
        local = latex_number(each.local, DIGITS)
        symbols = [each.formula.latex, local] if each.formula.latex != local else [local]
        derivative = rf"\frac{{\partial {node}}}{{\partial {operand}}} = {' = '.join(symbols)}"
        factor = f"({local})" if local.startswith("-") else local
        upstream, amount = latex_number(step.upstream, DIGITS), latex_number(each.amount, DIGITS)
        product = rf"{upstream}\cdot {factor} = {amount}"
        gradient = _math(rf"\frac{{\partial {root}}}{{\partial {operand}}}")
        was = "none" if each.before is None else _latex(each.before)
        rest = f"({each.missing} missing)" if each.missing else "✓"
        return _math(derivative), _math(product), f"{gradient}: {was} → {_latex(each.after)} {rest}"


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


# ------------------------------------------------------------------------------------------ writing
def written(nodes: Sequence[Node], steps: Sequence[Step]) -> str:
    """The JSON text of a trace."""
    labels: dict[Rule, str] = {}
    for node in nodes:
        if node.rule is not None and node.rule not in labels:
            name = node.rule.name  # two rules may bear one name: one was defined anew
            taken = sum(each.name == name for each in labels)
            labels[node.rule] = f"{name}#{taken + 1}" if taken else name
    parts = [
        f'{{"format": {_text(FORMAT)},\n"version": {VERSION}',
        _lines("rules", (f"{_text(label)}: {_rule_text(rule)}" for rule, label in labels.items()), "{}"),
        f'"node": {_text(Node._fields)}',
        _lines("nodes", (_node_text(node, labels) for node in nodes)),
        f'"step": {_text(_STEP)},\n"contribution": {_text(_CONTRIBUTION)}',
        _lines("steps", map(_step_text, steps)),
    ]
    return ",\n".join(parts) + "}\n"


def _text(plain: Any) -> str:
    return json.dumps(plain, allow_nan=False)


def _lines(name: str, rows: Iterator[str], brackets: str = "[]") -> str:
    return f'"{name}": {brackets[0]}\n' + ",\n".join(rows) + brackets[1]


def _rule_text(rule: Rule) -> str:
    *texts, defaults, over, corners = _row(rule)
    return _text([*texts, {arg: _plain(x) for arg, x in defaults.items()}, over, corners])


def _row(rule: Rule) -> Any:
    """The texts of a rule's row, as it is pickled."""
    return rule.__reduce__()[1]


def _node_text(node: Node, labels: dict[Rule, str]) -> str:
    fields = {each: _NODE[each][0](held) for each, held in zip(Node._fields, node, strict=True)}
    if node.rule is not None:
        fields["rule"] = labels[node.rule]
    return _text([*fields.values()])


def _step_text(step: Step) -> str:
    contributions = [
        [c.operand, c.place, _plain(c.local), _plain(c.amount), _plain(c.before), _plain(c.after), c.missing]
        for c in step.contributions
    ]
    return _text([step.node, _plain(step.upstream), contributions])


def _plain(x: float | None) -> float | str | None:
    """A number as strict JSON has it."""
    return x if x is None or math.isfinite(x) else repr(x)


# ------------------------------------------------------------------------------------------ reading
def read(text: str) -> tuple[Graph, tuple[Step, ...]]:
    """The graph and the steps of a JSON text; NotATrace says what is wrong, and where."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotATrace(f"this text is not a trace: it is not JSON ({error})") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise NotATrace(f'this JSON is not a trace: it has no "format": "{FORMAT}"')
    version = document.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise NotATrace(f"this trace has the version {version!r}; this microbp reads versions 1 to {VERSION}")
    where = "the trace"
    try:
        for where, fields in (("step", _STEP), ("contribution", _CONTRIBUTION)):
            _require(document[where] == [*fields], f"its fields are {', '.join(fields)}")
        where = "rules"
        table = {name: _rule(name, texts) for name, texts in document["rules"].items()}
        nodes: list[Node] = []
        for row in document["nodes"]:
            where = f"node {len(nodes)}"
            nodes.append(_node(dict(zip(document["node"], row, strict=True)), len(nodes), table))
        where = "nodes"
        _require(nodes, "there are none")
        graph = Graph.of(tuple(nodes))
        steps: list[Step] = []
        for row in document["steps"]:
            where = f"step {len(steps) + 1}"
            steps.append(_step(row, len(steps) + 1, graph))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        told = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise NotATrace(f"this trace is damaged at {where}: {told}") from None
    return graph, tuple(steps)


def _require(holds: object, told: str) -> None:
    if not holds:
        raise ValueError(told)


def _rule(name: str, texts: Any) -> Rule:
    word, args, y, d, doc, smooth, corner, kink, defaults, over, *corners = texts
    _require(name.partition("#")[0] == word, f"the row of {name!r} is named {word!r}")
    boxes = tuple(tuple(tuple(interval) for interval in box) for box in smooth)
    given = {arg: _number(x) for arg, x in defaults.items()}
    slopes = tuple(tuple(each) if isinstance(each, list) else each for each in d)
    return restored(word, args, y, slopes, doc, boxes, corner, tuple(kink), given, over, *corners)


def _node(fields: dict[str, Any], position: int, table: dict[str, Rule]) -> Node:
    fields["rule"] = None if fields["rule"] is None else table[fields["rule"]]
    node = Node(**{each: _NODE[each][1](fields[each]) for each in Node._fields if each in fields})
    _require(node.position == position, f"it says that it is node {node.position}")
    count = len(node.operands)
    _require(count == len(node.local_derivatives), "operands and local derivatives differ in number")
    rule = node.rule
    if rule is None:
        _require(not count, "a leaf has no operands")
    else:
        single, lists = len(rule.args) - len(rule.over), len(rule.over)
        fits = count == single or (lists and count > single and (count - single) % lists == 0)
        _require(fits, f"{count} operands do not fit {rule}")
    for operand, local in zip(node.operands, node.local_derivatives, strict=True):
        if type(operand) is int:
            _require(0 <= operand < position, f"operand {operand} does not stand before it")
        else:
            _require(local is None, "a literal has no local derivative")
    return node


def _step(row: Any, index: int, graph: Graph) -> Step:
    position, upstream, received = row
    node = graph.nodes[_position(position, len(graph))]
    contributions = []
    for operand, place, local, amount, before, after, missing in received:
        _require(0 <= _whole(place) < len(node.operands), f"{node.name} has no operand {place}")
        _require(
            type(node.operands[place]) is int and node.operands[place] == operand,
            f"operand {place} of {node.name} is not node {operand}",
        )
        numbers = _number(local), _number(amount), _maybe(before), _number(after), _whole(missing)
        contributions.append(Contribution(index, position, place, operand, *numbers, graph))
    return Step(index, node.position, _number(upstream), tuple(contributions))


def _number(x: Any) -> float:
    if x in ("nan", "inf", "-inf") or type(x) in (int, float):
        return float(x)
    raise ValueError(f"{x!r} is not a number")


def _maybe(x: Any) -> float | None:
    return None if x is None else _number(x)


def _whole(x: Any) -> int:
    _require(type(x) is int and x >= 0, f"{x!r} is not a count")
    return int(x)


def _position(x: Any, count: int) -> int:
    _require(_whole(x) < count, f"there is no node {x}")
    return int(x)


def _word(x: Any) -> str:
    _require(isinstance(x, str), f"{x!r} is not a text")
    return str(x)


def _flag(x: Any) -> bool:
    _require(type(x) is bool, f"{x!r} is neither true nor false")
    return bool(x)


#: How each field of a node is written, and how it is read.
_NODE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "position": (int, _whole),
    "name": (str, _word),
    "rule": (lambda _: None, lambda rule: rule),
    "operands": (
        lambda operands: [x if type(x) is int else repr(x) for x in operands],
        lambda operands: tuple(float(x) if isinstance(x, str) else _whole(x) for x in operands),
    ),
    "data": (_plain, _number),
    "grad": (_plain, _maybe),
    "local_derivatives": (lambda local: [*map(_plain, local)], lambda local: tuple(map(_maybe, local))),
    "requires_grad": (bool, _flag),
    "site": (lambda site: site, lambda site: None if site is None else _word(site)),
    "named": (bool, _flag),
    "group": (lambda group: group, lambda group: tuple((_word(name), _whole(call)) for name, call in group)),
    "path": (
        lambda path: [x if isinstance(x, str | int) else str(x) for x in path],
        lambda path: tuple(x if isinstance(x, str) else _whole(x) for x in path),
    ),
}
