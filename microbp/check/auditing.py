"""``audit``: each recorded operation alone, the record, and the accumulation: the sums over all uses.

Of one operation the complex step decides where it is smooth, and the slopes on either side at a corner. What
may be rounding in the recorded derivative is not called an error: its formula is recorded itself, and what
the last digit of each number in it comes to is added up.

Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition (2002), chapter 3: running
error analysis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from microbp.calls import line_of, user_scope
from microbp.check.measure import EPS, SAFETY, TINY, Verdict, complex_step, judge
from microbp.compiled import compiled, compiled_complex, same, tried
from microbp.differentiate import ON_VALUES
from microbp.errors import NoGradientError
from microbp.graph import Graph, Node, given_to, operands_of, otherwise
from microbp.node import upstream_gradients
from microbp.rules import Rule
from microbp.sweeps import backward
from microbp.text import Report, Table, number
from microbp.value import Value, describe

#: How many operands times operands of one operation are gone through to measure it.
MEASURED = 4_000_000
#: The verdicts on a local derivative.
WORDS = {
    "right": "fine", "corner": "corner", "edge": "corner", "wrong": "WRONG RULE", "unknown": "undecided",
    "undefined": "undecided",
}  # fmt: skip


class AuditRow(NamedTuple):
    """One local derivative of one recorded operation, or a node that has changed."""

    node: str
    #: The name of the rule.
    rule: str
    #: Which operand: ``a = x``; empty where the row is about the node's number.
    operand: str
    #: The recorded local derivative; for a change the recorded number.
    recorded: float
    #: The derivative of this operation alone at its operands; for a change what these give now.
    measured: float
    #: ``fine``, ``corner``, ``WRONG RULE``, ``CHANGED`` or ``undecided``.
    verdict: str
    why: str
    site: str | None

    @property
    def ratio(self) -> str:
        """The recorded over the measured number, as a fraction if it is a simple one; else a dash.

        >>> AuditRow("y", "cube", "a = x", 18.0, 27.0, "WRONG RULE", "", None).ratio
        '2/3'
        """
        if not (self.operand and self.measured and math.isfinite(ratio := self.recorded / self.measured)):
            return "-"
        simple = Fraction(ratio).limit_denominator(12)
        near = abs(simple) <= 144 and abs(ratio - simple) <= 1e-6 * abs(ratio)
        return str(simple) if near else f"{ratio:.6g}"


class Accumulation(NamedTuple):
    """Whether the chain rule has been summed up rightly, apart from the rules."""

    ok: bool
    #: What a fresh pass shows.
    told: str
    #: What stands in ``grad``.
    grad: str


@dataclass(frozen=True, repr=False)
class AuditReport(Report):
    """What :func:`audit` found; ``str(report)`` is the table."""

    title: str
    #: A row for each local derivative, and one for each change.
    rows: tuple[AuditRow, ...]
    accumulation: Accumulation

    @property
    def ok(self) -> bool:
        """Whether no rule is wrong, nothing has changed, and the gradients are rightly summed up."""
        return not (self.counts["WRONG RULE"] or self.counts["CHANGED"]) and self.accumulation.ok

    @property
    def wrong_rules(self) -> list[str]:
        """The names of the rules that are wrong."""
        return list(dict.fromkeys(row.rule for row in self.rows if row.verdict == "WRONG RULE"))

    def table(self) -> Table:
        """The table of the rows that are not fine; of many alike, the first five."""
        alike: dict[str, list[AuditRow]] = {}
        for row in (row for row in self.rows if row.verdict != "fine"):
            argument = row.operand.replace("[", " ").partition(" ")[0]
            alike.setdefault(f"{row.rule} {argument}".rstrip() + f", {row.verdict}", []).append(row)
        shown = [row for rows in alike.values() for row in rows[:5]]
        wrong, summed, lost = ", ".join(self.wrong_rules), self.accumulation, self.counts["CHANGED"]
        more = ((kind, rows[5:]) for kind, rows in alike.items() if rows[5:])
        notes = [f"{len(rows)} more like it: {kind} (report.rows)" for kind, rows in more]
        notes.append(f"rules: WRONG: {wrong}" if wrong else "rules: none is wrong")
        notes += ["numbers: CHANGED since they were recorded; compute the graph again"] * bool(lost)
        notes += [f"accumulation: {'' if summed.ok else 'WRONG: '}{summed.told}", f"grad: {summed.grad}"]
        if any(row.site is None for row in shown):
            notes.append("lines: call microbp.record_sites() before computing to see them")
        lines = tuple(
            (
                row.node, row.rule, row.operand, row.recorded, row.measured, row.ratio,
                ": ".join(filter(None, (row.verdict, row.why)))
                + (f" [{line_of(row.site)}]" if row.site else ""),
            )
            for row in shown
        )  # fmt: skip
        columns = "node", "rule", "operand", ">recorded", ">measured", ">ratio", "verdict"
        return Table(f"{self.title}: {self._tally()}", columns, lines, tuple(notes))


def audit(loss: Value, *, show: bool = True, names: Mapping[str, Any] | None = None) -> AuditReport:
    """Check each recorded operation alone; print what is not fine and return the report.

    Three things can be wrong with a gradient, and each has its own verdict. A *rule*: the recorded
    local derivative is compared with the derivative of that operation alone, at its recorded
    operands, so that a wrong rule is named by operation, operand, node and line. The *record*: a
    number was changed after it was used. The *accumulation*: the gradients of a fresh pass are
    compared with the sums Σ upstream gradient · local derivative over all uses, taken apart from it,
    and ``grad`` with whole passes.

    >>> x = Value(-3.0, name="x")
    >>> y = abs(x) * x
    >>> y.backward()
    >>> report = audit(y)
    audit(y = -9): 3 fine
    <BLANKLINE>
    rules: none is wrong
    accumulation: right: 3 gradients are the sums over their uses
    grad: holds 1 backward pass

    At a corner the derivative follows a convention (``relu`` at 0): the verdict is ``corner`` if it
    lies between the slopes on either side, and ``WRONG RULE`` if it does not. Where an operation is
    undefined beside its operand, an operand is not finite, or a relative error of 1e-4 would not be seen,
    it is ``undecided``, with the reason. ``report.rows`` has all rows.

    ``names`` maps names to Values for the table, in place of the variables of the caller.

    Raises TypeError where ``loss`` is no Value, NoGradientError where it is a constant.
    """
    if not isinstance(loss, Value):
        raise TypeError(f"audit() looks at a recorded Value, not {loss!r}")
    if not loss.requires_grad:
        raise NoGradientError(f"{describe(loss)} is a constant: there is no operation to audit")
    graph = given_to("audit()", loss, user_scope() if names is None else names)
    numbers, rows = graph.data.tolist(), []
    known: dict[Any, dict[int, Verdict]] = {}  # a network has many operations alike
    changes = {change.node.position: change for change in changes_in(graph)}
    for node in (node for node in graph if node.rule is not None):
        name, rule, site = node.name, str(node.rule and node.rule.name), node.site
        if change := changes.get(node.position):
            rows.append(AuditRow(name, rule, "", node.data, change.now, "CHANGED", change.text, site))
            continue
        key = node.rule, *operands_of(node, numbers), node.local_derivatives
        if key not in known:
            known[key] = verdicts(node, numbers)
        words, found = node.operand_words, known[key]
        for at, _, stated in node.edges:
            rows.append(AuditRow(name, rule, words[at], stated, *found[at][:3], site))
    gradients = upstream_gradients(loss)
    accumulation = Accumulation(*sums(graph, gradients), grad_state(graph, gradients))
    return AuditReport(f"audit({graph.title})", tuple(rows), accumulation)._presented(show)


# ---------------------------------------------------------------------------------- one operation alone
def verdicts(node: Node, numbers: Sequence[float]) -> dict[int, Verdict]:
    """On the local derivative in each operand that is a node, by its place; ``numbers`` are of all nodes.

    Of thousands of operands so many are measured, at even distances, that the time does not grow any more.
    """
    count = len(node.operands)
    every = math.ceil(count**2 / MEASURED)
    rest = Verdict(math.nan, "unknown", f"not measured: of {count:,} operands one in {every:,} is")
    found = {at: rest if at % every else verdict(node, numbers, at) for at, *_ in node.edges}
    return {at: one._replace(word=WORDS[one.word]) for at, one in found.items()}


def verdict(node: Node, numbers: Sequence[float], place: int) -> Verdict:
    """On the local derivative of a node in one operand."""
    rule, stated, operands = node.rule, node.local_derivatives[place], operands_of(node, numbers)
    assert rule is not None
    assert stated is not None
    if not all(map(math.isfinite, operands)):
        return Verdict(math.nan, "unknown", "an operand is not finite")
    x, value, continued = operands[place], compiled(rule).value, compiled_complex(rule)

    def alone(at: complex) -> Any:
        moved = rule.split([*operands[:place], at, *operands[place + 1 :]])
        return (continued if type(at) is complex else value)(*moved)

    got = complex_step(alone, x)
    found = judge(stated, got)
    if found.word == "right" and not rule.corner:
        return found
    below, above = (not math.isnan(tried(alone, math.nextafter(x, end))) for end in (-math.inf, math.inf))
    if not (below or above):
        return Verdict(math.nan, "undefined", f"undefined beside {x!r}")
    if not (below and above):  # by the slope on the other side
        slope, side = (got.right, "below") if above else (got.left, "above")
        found = judge(stated, got._replace(value=slope, left=slope, right=slope))
        word = {"wrong": "wrong", "unknown": "undefined"}.get(found.word, "edge")
        told = f", where {found.why}" if found.why else ""
        return found._replace(word=word, why=f"undefined {side} {x!r}{told}")
    if not math.isfinite(stated) and not got.value:  # a power that has gone to 0 is flat
        return Verdict(got.value, "unknown", "the derivative is not finite")
    if found.word != "right":
        found = judge(stated, got, SAFETY * rounding_error(rule, rule.split(operands), place))
    if found.word == "wrong" and not got.kinked:  # sqrt(a * a) shows its corner only from beside it
        beside = 2.0**-45 * (abs(x) or max(map(abs, operands)) or 1.0)
        left, right = (complex_step(alone, x + d).value for d in (-beside, beside))
        if min(left, right) < stated < max(left, right):
            found = judge(stated, got._replace(left=left, right=right))
    if found.word == "corner":
        return found._replace(measured=stated, why=f"{found.why}; by convention {number(stated)}")
    return found


def rounding_error(rule: Rule, entries: list[Any], place: int | None) -> float:
    """That of the derivative in the operand at ``place``, of the value for None; 0 if it cannot be told."""

    def recorded() -> Any:
        values = [list(map(Value, each)) if type(each) is list else Value(each) for each in entries]
        scope, elements = dict(zip(rule.args, values, strict=True)), rule.elements(values)
        reading = ON_VALUES._replace(known={})
        y = rule.y.evaluate(scope, reading, elements)
        flat = [(d, each) for d, arg in zip(rule.d, rule.args, strict=True)
                for each in (elements if arg in rule.over else [{}])]  # fmt: skip
        d, element = (rule.y, {}) if place is None else flat[place]
        return d.evaluate({**scope, **element, "y": y}, reading, elements)

    formula = tried(Context().run, recorded)  # no ``no_grad()`` holds here
    if not isinstance(formula, Value) or formula.is_leaf:
        return 0.0
    graph = Graph(formula, {})
    with np.errstate(all="ignore"):
        last = (EPS * abs(graph.data) + EPS * TINY) * (graph.op >= 0)
        error = last * abs(backward(graph, {len(graph) - 1: 1.0}))
    return float(np.sum(error, where=np.isfinite(error)))


# -------------------------------------------------------------------------------------------- the record
class Change(NamedTuple):
    """A node that does not follow from its operands any more."""

    node: Node
    #: What the operands give now; nan where they give nothing.
    now: float
    text: str


def changes_in(graph: Graph) -> list[Change]:
    """The nodes whose number, or a local derivative, is not what their operands give now."""
    numbers, names, found = graph.data.tolist(), graph.names, []
    # What was there before: in a leaf what it remembers, in what was put in by hand what its operands give.
    before = {at: x for at, x in graph._before().items() if not same(x, numbers[at])}
    for node, now in ((each, now) for each in graph for now in otherwise(each, numbers)):
        near = [*dict.fromkeys(each for each in node.operands if type(each) is int)]
        moved = [each for each in near if each in before]
        by_hand = bool(graph._values) and not moved
        if by_hand:
            before[node.position] = now
        for cause in [[node.position]] if by_hand else [*([each] for each in moved), moved]:
            then = {each: before[each] if each in cause else numbers[each] for each in near}
            if by_hand or (cause and not [*otherwise(node, then)]):
                told = [f"{names[each]} was {before[each]!r} and is {numbers[each]!r} now" for each in cause]
                break
        else:
            told = [f"{names[each]} is {numbers[each]!r} now" for each in (*(moved or near), node.position)]
            told[0] = f"one of these was changed: {told[0]}"
        gives = "nothing" if math.isnan(now) else repr(now)
        held = "stands there" if by_hand else "was recorded"
        what = f"{graph.equation(node)} {held}, but its operands give {gives} now"
        if same(now, node.data):
            what = f"the local derivatives of {graph.equation(node)} are not what its operands give now"
        found.append(Change(node, now, f"{what}: {', '.join(told)}"))
    return found


# -------------------------------------------------------------------------------------- the accumulation
def sums(graph: Graph, gradients: Mapping[int, float]) -> tuple[bool, str]:
    """Whether the gradients of a pass are the chain-rule sums over the uses of each node."""
    held = {place: gradients[value] for value, place in graph._places.items() if value in gradients}
    summed = backward(graph, {len(graph) - 1: 1.0}).tolist()
    for place in sorted(held, reverse=True):  # the first that differs makes those below it differ
        if not same(held[place], summed[place]):
            return False, (
                f"{graph.names[place]} has the gradient {held[place]!r} in a fresh pass, but the sum over "
                f"its {len(graph.uses()[place])} uses is {summed[place]!r}"
            )
    return True, f"right: {len(held)} gradients are the sums over their uses"


def grad_state(graph: Graph, gradients: Mapping[int, float]) -> str:
    """What stands in ``grad``, in words: how many whole passes; each adds 1 to the gradient of the root."""
    given = [(graph.nodes[place], gradients.get(value, math.nan)) for value, place in graph._places.items()]
    held = [(node, node.grad, one) for node, one in given if node.grad is not None and math.isfinite(one)]
    passes = graph.root.grad
    if passes is None:
        ratios = (grad / one for _, grad, one in held if one)
        passes = next((float(round(ratio)) for ratio in ratios if math.isfinite(ratio)), 0.0)
    told = f"{passes:g} backward pass{'es' * (passes != 1.0)}"
    odd = [each for each in held if not abs(each[1] - passes * each[2]) <= 1e-9 * abs(each[1])]
    for node, grad, one in odd:
        more = f", and {len(odd) - 1} more like it" if len(odd) > 1 else ""
        why = "it was set, cleared or clipped, or another graph has added to it"
        return f"{node.name}.grad = {grad!r} is not {told} of {one!r} each{more}: {why}"
    added = ", which add up until it is cleared" if passes > 1.0 else ""
    return f"holds {told}{added}" if passes else "not computed"
