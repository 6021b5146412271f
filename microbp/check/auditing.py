"""``audit``: each recorded operation alone, the record, and the accumulation: the sums over all uses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from microbp.backward import upstream_gradients
from microbp.bounds import bounded
from microbp.check.changes import changes_in
from microbp.check.measure import Verdict, same
from microbp.check.operation import verdicts
from microbp.check.report import Accumulation, AuditReport, AuditRow
from microbp.check.words import named, operand_words
from microbp.errors import NoGradientError
from microbp.graph import Graph
from microbp.sites import user_scope
from microbp.sweeps import backward
from microbp.value import Value, describe


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
