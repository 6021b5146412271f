"""``audit``: each recorded operation alone, the record, and the accumulation: the sums over all uses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from microbp.backward import upstream_gradients
from microbp.bounds import bounded
from microbp.check.changes import changes_in
from microbp.check.measure import EPS
from microbp.check.operation import Verdict, verdicts
from microbp.check.report import Accumulation, AuditReport, AuditRow
from microbp.check.words import named, operand_words
from microbp.errors import NoGradientError
from microbp.graph import Graph, Node
from microbp.sites import user_scope
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
        if node.position in changes:
            change = changes[node.position]
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
                rows.append(AuditRow(node.name, node.rule.name, told, stated, *verdict, node.site))
    gradients = upstream_gradients(loss)
    ok, told = sums(graph, gradients)
    accumulation = Accumulation(ok, told, grad_state(*passes_held(graph, gradients)))
    report = AuditReport(f"audit({named(graph)})", tuple(rows), accumulation)
    if show:
        report.present()
    return report


def sums(graph: Graph, gradients: Mapping[int, float]) -> tuple[bool, str]:
    """Whether the gradients of a pass are the chain-rule sums over the uses of each node."""
    upstream = {position: gradients.get(place) for place, position in graph._places.items()}
    uses = graph.uses()
    for node in reversed(graph.nodes):
        got = upstream[node.position]
        if got is None:
            continue
        terms = [1.0] if node is graph.root else []
        for user, place in uses[node.position]:
            local, above = graph[user].local_derivatives[place], upstream[user]
            if local is not None and above is not None:
                terms.append(above * local)
        total, size = sum(terms), sum(map(abs, terms))
        if math.isfinite(total) and not abs(got - total) <= 2.0 * EPS * len(terms) * size:
            return False, (
                f"{node.name} has the gradient {got!r} in a fresh pass, but the sum over its "
                f"{len(terms)} uses is {total!r}"
            )
    count = sum(each is not None for each in upstream.values())
    return True, f"right: {count} gradients are the sums over their uses"


def passes_held(
    graph: Graph, gradients: Mapping[int, float]
) -> tuple[Counter[int], list[tuple[Node, float]]]:
    """How many nodes hold how many whole passes in ``grad``; and those that hold something else."""
    passes: Counter[int] = Counter()
    others: list[tuple[Node, float]] = []
    # Each pass adds 1 to the gradient of the root, and no node can hold more passes.
    most = math.inf if graph.root.grad is None else graph.root.grad
    for place, position in graph._places.items():
        node, one = graph[position], gradients.get(place)
        if node.grad is None or one is None or not math.isfinite(one):
            continue
        count = round(node.grad / one) if one and math.isfinite(node.grad / one) else 0
        whole = 0 <= count <= most and abs(node.grad - count * one) <= 1e-9 * abs(node.grad)
        if not whole:
            others.append((node, one))
        elif one:
            passes[count] += 1
    return passes, others


def grad_state(passes: Counter[int], others: Sequence[tuple[Node, float]]) -> str:
    """What stands in ``grad``, in words."""
    if others:
        node, one = others[0]
        more = f", and {len(others) - 1} more like it" if len(others) > 1 else ""
        return (
            f"{node.name}.grad = {node.grad!r} is not a number of passes of {one!r} each{more}: it was set "
            "or clipped, or another graph has added to it"
        )
    if not passes:
        return "not computed"
    told = {count: f"{count} backward pass{'es' * (count != 1)}" for count in sorted(passes)}
    if len(told) > 1:
        parts = ", ".join(f"{words} at {passes[count]} values" for count, words in told.items())
        return f"holds {parts}: a pass was interrupted, or only a part was cleared"
    added = ", which add up until it is cleared" if max(told) > 1 else ""
    return f"holds {next(iter(told.values()))}{added}"
