"""``audit``: each recorded operation alone, the record, and the accumulation: the sums over all uses.

Of one operation the complex step decides where it is smooth, and the slopes on either side at a corner. What
may be rounding in the recorded derivative is not called an error: its formula is recorded itself, and what
the last digit of each number in it comes to is added up.

Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition (2002), chapter 3: running
error analysis.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, NamedTuple

import numpy as np

from microbp.backward import upstream_gradients
from microbp.bounds import bounded
from microbp.check.measure import EPS, SAFETY, TINY, Derivative, Verdict, complex_step, judge, same
from microbp.check.report import Accumulation, AuditReport, AuditRow
from microbp.check.words import entries_of, local_derivatives, named, operand_words
from microbp.compiled import compiled, compiled_complex
from microbp.differentiate import ON_VALUES
from microbp.errors import NoGradientError
from microbp.graph import Graph, Node
from microbp.rules import Rule
from microbp.sites import user_scope
from microbp.sweeps import backward
from microbp.tables import number
from microbp.value import Value, describe

#: How many operands times operands of one operation are gone through to measure it.
MEASURED = 4_000_000
#: The verdicts on a local derivative.
WORDS = {"right": "fine", "corner": "corner", "wrong": "WRONG RULE", "unknown": "undecided"}


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
    graph = Graph(loss, user_scope() if names is None else names)
    bounded("audit()", graph)
    data = graph.data.tolist()
    changes = {change.node.position: change for change in changes_in(graph)}
    rows: list[AuditRow] = []
    measured: dict[Any, list[Verdict | None]] = {}
    for node in graph:
        if node.rule is None:
            continue
        if change := changes.get(node.position):
            about = (node.name, node.rule.name, "", node.data, change.now)
            rows.append(AuditRow(*about, "CHANGED", change.text, node.site))
            continue
        # A network has many operations alike: what is known of the same numbers holds again.
        numbers = tuple(data[each] if type(each) is int else each for each in node.operands)
        key = (node.rule, numbers, node.local_derivatives)
        if key not in measured:
            measured[key] = verdicts(node, data)
        operands = operand_words(graph, node)
        for verdict, told, stated in zip(measured[key], operands, node.local_derivatives, strict=True):
            if verdict is not None and stated is not None:
                rows.append(AuditRow(node.name, node.rule.name, told, stated, *verdict[:3], node.site))
    gradients = upstream_gradients(loss)
    accumulation = Accumulation(*sums(graph, gradients), grad_state(graph, gradients))
    report = AuditReport(f"audit({named(graph)})", tuple(rows), accumulation)
    if show:
        report.present()
    return report


# ---------------------------------------------------------------------------------- one operation alone
def verdicts(node: Node, numbers: Sequence[float]) -> list[Verdict | None]:
    """On each local derivative of a node; None for a literal. ``numbers`` are those of all nodes.

    To measure one takes time in proportion to the operands. Where there are thousands, so many of them are
    measured, at even distances, that it does not grow any more; the others are undecided, and say so.
    """
    count = len(node.operands)
    every = math.ceil(count**2 / MEASURED)
    rest = Verdict(math.nan, "undecided", f"not measured: of {count:,} operands one in {every:,} is")
    return [
        verdict(node, numbers, place) if place % every == 0
        else None if node.local_derivatives[place] is None else rest
        for place in range(count)
    ]  # fmt: skip


def verdict(node: Node, numbers: Sequence[float], place: int) -> Verdict | None:
    """On the local derivative of a node in one operand; None for a literal."""
    if node.rule is None or (stated := node.local_derivatives[place]) is None:
        return None
    operands = [numbers[each] if type(each) is int else each for each in node.operands]
    found = _judged(node.rule, operands, place, stated)
    return found._replace(word=WORDS[found.word])


def _judged(rule: Rule, operands: list[float], place: int, stated: float) -> Verdict:
    if not all(map(math.isfinite, operands)):
        return Verdict(math.nan, "unknown", "an operand is not finite")
    x, value, continued = operands[place], compiled(rule).value, compiled_complex(rule)

    def entries(at: Any) -> list[Any]:
        return rule.split([*operands[:place], at, *operands[place + 1 :]])

    def defined(at: float) -> bool:
        try:
            return not math.isnan(value(*entries(at)))
        except (ArithmeticError, ValueError):
            return False

    got = complex_step(lambda z: continued(*entries(z)), x)
    found = judge(stated, got)
    if found.word == "right" and not rule.corner:
        return found
    below, above = (defined(math.nextafter(x, end)) for end in (-math.inf, math.inf))
    if not (below and above):
        return _at_the_edge(stated, got, x, below, above)
    if found.word == "right":
        return found
    if not math.isfinite(stated) and not got.value:  # a power that has gone to 0 is flat
        return Verdict(got.value, "unknown", "the derivative is not finite")
    found = judge(stated, got, SAFETY * rounding_error(rule, entries(x), place))
    if found.word == "wrong" and not got.kinked:  # sqrt(a * a) shows its corner only from beside it
        beside = 2.0**-45 * (abs(x) or max(map(abs, operands)) or 1.0)
        left, right = (complex_step(lambda z: continued(*entries(z)), x + d).value for d in (-beside, beside))
        if min(left, right) < stated < max(left, right):
            found = judge(stated, got._replace(left=left, right=right))
    if found.word == "corner":
        return found._replace(measured=stated, why=f"{found.why}; by convention {number(stated)}")
    return found


def _at_the_edge(stated: float, got: Derivative, x: float, below: bool, above: bool) -> Verdict:
    """Where the operation is undefined on a side: by the slope on the other."""
    if not (below or above):
        return Verdict(math.nan, "unknown", f"undefined beside {x!r}")
    slope, told = (got.right, f"undefined below {x!r}") if above else (got.left, f"undefined above {x!r}")
    found = judge(stated, got._replace(value=slope, left=slope, right=slope))
    if math.isinf(stated):
        told += ", but the slope is finite" if found.word == "wrong" else f", where {found.why}"
    return found._replace(word="corner" if found.word == "right" else found.word, why=told)


def rounding_error(rule: Rule, entries: list[Any], place: int | None) -> float:
    """That of the derivative in the operand at ``place``, of the value for None; 0 if it cannot be told."""
    graph = Context().run(_formula, rule, entries, place)  # no ``no_grad()`` holds here
    if graph is None:
        return 0.0
    with np.errstate(all="ignore"):
        last = (EPS * abs(graph.data) + EPS * TINY) * (graph.op >= 0)
        error = last * abs(backward(graph, {len(graph) - 1: 1.0}))
    return float(np.sum(error, where=np.isfinite(error)))


def _formula(rule: Rule, entries: list[Any], place: int | None) -> Graph | None:
    """The record of the formula itself; None where it is a number as it was given, or undefined."""
    values = [list(map(Value, each)) if type(each) is list else Value(each) for each in entries]
    scope, elements = dict(zip(rule.args, values, strict=True)), rule.elements(values)
    flat = [(i, j) for i, each in enumerate(values) for j in range(len(each) if type(each) is list else 1)]
    reading = ON_VALUES._replace(known={})
    with suppress(ArithmeticError, ValueError):
        found = rule.y.evaluate(scope, reading, elements)
        if place is not None:
            argument, element = flat[place]
            here = elements[element] if elements else {}
            found = rule.d[argument].evaluate({**scope, **here, "y": found}, reading, elements)
        if isinstance(found, Value) and not found.is_leaf:
            return Graph(found, {})
    return None


# -------------------------------------------------------------------------------------------- the record
class Change(NamedTuple):
    """A node that does not follow from its operands any more."""

    node: Node
    #: What the operands give now; nan where they give nothing.
    now: float
    text: str


def changes_in(graph: Graph) -> list[Change]:
    """The nodes whose number, or a local derivative, is not what their operands give now."""
    numbers = graph.data.tolist()
    nows = {node.position: now for node in graph for now in otherwise(node, numbers)}
    read = dict(pair for node in graph for pair in _read(node)) if nows else {}
    was = {place: number for place, number in read.items() if not same(number, numbers[place])}
    users = [{user for user, _ in uses} for uses in graph.uses()] if nows else []
    found = []
    for position, now in nows.items():
        node = graph.nodes[position]
        near = [*dict.fromkeys(each for each in (*node.operands, position) if type(each) is int)]
        causes = [each for each in near[:-1] if each in was] or [
            # Whatever was changed no longer fits anywhere: neither to its operands, nor in its uses.
            each for each in near
            if (each in was or each not in read) and (graph.nodes[each].rule is None or each in nows)
            and users[each] and users[each] <= nows.keys()
        ]  # fmt: skip
        # A leaf that other operations read after it had changed: it, or the node, no telling which.
        leaves = [each for each in near[:-1] if graph.nodes[each].rule is None]
        causes = causes or (leaves and [*leaves, position])
        gives = "nothing" if math.isnan(now) else repr(now)
        what = f"{graph.equation(node)} was recorded, but its operands give {gives} now"
        if same(now, node.data):
            what = f"the local derivatives of {graph.equation(node)} are not what its operands give now"
        befores = [f"was {was[each]!r} and " if each in was else "" for each in causes]
        told = [
            f"{graph.names[each]} {before}is {numbers[each]!r} now"
            for each, before in zip(causes, befores, strict=True)
        ]
        several = "; one of these was changed" if len(told) > 1 and not any(befores) else ""
        found.append(Change(node, now, f"{what}{several}: {', '.join(told) or 'its data was changed'}"))
    return found


def otherwise(node: Node, numbers: list[float]) -> Iterator[float]:
    """What the operands of a node give now, if that is not what was recorded."""
    if node.rule is None:
        return
    entries = entries_of(node, numbers)
    try:
        now = compiled(node.rule).value(*entries)
    except (ArithmeticError, ValueError):
        now = math.nan
    pairs = zip(local_derivatives(node.rule, entries, node.data), node.local_derivatives, strict=True)
    if not same(now, node.data) or not all(was is None or same(d, was) for d, was in pairs):
        yield now


def _read(node: Node) -> Iterator[tuple[int, float]]:
    """The numbers that operands had, where a local derivative tells: that of x in w·x is w."""
    if node.rule is None:
        return
    places = dict(zip(node.rule.args, node.rule.split(range(len(node.operands))), strict=True))
    for mine, d in zip(places.values(), node.rule.d, strict=True):
        other = places.get(str(d))
        if other is not None and type(other) is type(mine):
            for i, j in zip(mine, other, strict=True) if type(mine) is list else [(mine, other)]:
                used, operand = node.local_derivatives[i], node.operands[j]
                if used is not None and type(operand) is int:
                    yield operand, used


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


def grad_state(graph: Graph, gradients: Mapping[int, float], of: Collection[int] | None = None) -> str:
    """What stands in ``grad``, in words: how many whole passes, at all values or at those ``of`` an id."""
    passes: Counter[int] = Counter()
    others = []
    # Each pass adds 1 to the gradient of the root, and no node can hold more passes.
    most = math.inf if graph.root.grad is None else graph.root.grad
    for value, place in graph._places.items():
        held, one = graph.nodes[place].grad, gradients.get(value)
        if held is None or one is None or not math.isfinite(one) or not (of is None or value in of):
            continue
        count = round(held / one) if one and math.isfinite(held / one) else 0
        if not 0 <= count <= most or abs(held - count * one) > 1e-9 * abs(held):
            others.append(f"{graph.names[place]}.grad = {held!r} is not a number of passes of {one!r} each")
        elif one:
            passes[count] += 1
    if others:
        more = f", and {len(others) - 1} more like it" if len(others) > 1 else ""
        return f"{others[0]}{more}: it was set or clipped, or another graph has added to it"
    if not passes:
        return "not computed"
    told = {count: f"{count} backward pass{'es' * (count != 1)}" for count in sorted(passes)}
    if len(told) > 1:
        parts = ", ".join(f"{words} at {passes[count]} values" for count, words in told.items())
        return f"holds {parts}: a pass was interrupted, or only a part was cleared"
    added = ", which add up until it is cleared" if max(told) > 1 else ""
    return f"holds {next(iter(told.values()))}{added}"
