"""The first NaN and the first infinity, in data and in gradients: who made them, and who passed them on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from microbp.check.words import operand_names
from microbp.debug.diagnose.causes import operand_data
from microbp.debug.diagnose.finding import Finding, finding, in_parts, listed, short, spoken
from microbp.debug.diagnose.reading import Reading
from microbp.debug.diagnose.subjects import Subject
from microbp.debug.words import counted
from microbp.graph import Graph, Node

__all__ = ["not_finite_data", "not_finite_gradients"]

#: So many producers have a finding of their own.
_MOST = 3


def not_finite_data(reading: Reading, subjects: Sequence[Subject]) -> list[Finding]:
    """Who made the numbers that are not finite; and who swallowed one, so that nobody saw it."""
    graph = reading.graph
    producers: list[Node] = []
    swallowing: list[Node] = []
    passed: list[Node] = []
    for node in graph:
        operands = [operand_data(graph, node, i) for i in range(len(node.operands))]
        bad = [x for x in operands if not math.isfinite(x)]
        if math.isfinite(node.data):
            if bad:
                swallowing.append(node)
        elif not bad or (math.isnan(node.data) and not any(map(math.isnan, bad))):
            producers.append(node)
        else:
            passed.append(node)
    given = [node for node in producers if node.rule is None]
    shown = [*given[:1], *(node for node in producers if node.rule is not None)][:_MOST]
    hit = [] if math.isfinite(graph.root.data) else _hit(reading, subjects)
    found = [_produced(reading, node, producers, passed, hit) for node in sorted(shown)]
    return found + [_swallowed(graph, node, swallowing) for node in swallowing[:_MOST]]


def _operands(graph: Graph, node: Node) -> str:
    names = operand_names(graph, node)
    told = [
        name if type(each) is float else f"{name} = {short(operand_data(graph, node, i))}"
        for i, (name, each) in enumerate(zip(names, node.operands, strict=True))
    ]
    odd = [t for i, t in enumerate(told) if not math.isfinite(operand_data(graph, node, i))]
    return listed(dict.fromkeys([*odd, *told]))


def _produced(
    reading: Reading, node: Node, producers: Sequence[Node], passed: Sequence[Node], hit: list[str]
) -> Finding:
    graph, what = reading.graph, "nan" if math.isnan(node.data) else "infinity"
    more = f"; {counted(len(producers) - 1, 'more node')} made one" if len(producers) > 1 else ""
    tail = (
        f" {counted(len(passed), 'later value')} only passed it on "
        f"({listed(each.name for each in passed)}){more}."
        if passed else f" Nobody passed it on{more}."
    )  # fmt: skip
    if hit and node is producers[0]:
        tail += f" Gradients that are not finite: {in_parts(hit)}."
    first = "the first" if node is producers[0] else "another"
    numbers = [(node.name, node.data)]
    if node.rule is None:
        return finding(
            "not finite", f"{what} given", node,
            f"{node.name} was given as {node.data!r}, {first} number that is not finite.{tail}",
            "clean data (numpy.isfinite), or look at the step before, which made this parameter", hit,
            numbers, _site_of_use(reading, node),
        )  # fmt: skip
    at, names = _operands(graph, node), operand_names(graph, node)
    mixed = any(not math.isfinite(operand_data(graph, node, i)) for i in range(len(names)))
    cause = "nan from infinity" if mixed else "overflow" if what == "infinity" else "nan made"
    how = "from operands that are infinite" if mixed else "from operands that are finite"
    return finding(
        "not finite", cause, node,
        f"{spoken(node)} made {first} {what} {how}: {at}.{tail}",
        "an end to the infinity it comes from" if mixed
        else "inputs at the scale of 1, a smaller learning rate, or the logarithm (logsumexp, cross_entropy)",
        hit, [*numbers, *((name, operand_data(graph, node, i)) for i, name in enumerate(names))],
    )  # fmt: skip


def _swallowed(graph: Graph, node: Node, swallowing: Sequence[Node]) -> Finding:
    more = f" {counted(len(swallowing) - 1, 'more node')} did likewise." if len(swallowing) > 1 else ""
    data = [operand_data(graph, node, i) for i in range(len(node.operands))]
    what = "nan" if any(map(math.isnan, data)) else "infinity"
    return finding(
        "not finite", f"swallowed {what}", node,
        f"{spoken(node)} = {short(node.data)} is finite although an operand is not: "
        f"{_operands(graph, node)}. The loss does not show it.{more}",
        "operands made safe before the operation: select the argument first, then compute on it",
        (), [(node.name, node.data)],
    )  # fmt: skip


def not_finite_gradients(reading: Reading, subjects: Sequence[Subject]) -> list[Finding]:
    """Who made the first gradient that is not finite in the backward pass.

    Where the loss itself is not finite, slopes of operations on such numbers only follow from them.
    """
    graph, upstream = reading.graph, reading.upstream
    producers: list[tuple[Node, int]] = []
    passed = 0
    for node in reversed(graph.nodes):
        above = upstream[node.position]
        bad = not math.isfinite(above)
        if bad:
            if _made_by_sum(reading, node):
                producers.append((node, -1))
            else:
                passed += 1
            continue
        for place, local in enumerate(node.local_derivatives):
            if local is not None and not math.isfinite(above * local):
                if math.isfinite(graph.root.data) or _on_finite(graph, node):
                    producers.append((node, place))
                else:
                    passed += 1
    hit = _hit(reading, subjects)
    return [_made(reading, *each, producers, passed, hit) for each in producers[:_MOST]]


def _hit(reading: Reading, subjects: Sequence[Subject]) -> list[str]:
    """The parameters whose gradient is not finite."""
    asked = [each for each in subjects if each.position is not None and each.requires_grad]
    return [each.name for each in asked if not math.isfinite(reading.upstream[each.position or 0])]


def _on_finite(graph: Graph, node: Node) -> bool:
    """Whether an operation has finite operands."""
    return all(math.isfinite(operand_data(graph, node, i)) for i in range(len(node.operands)))


def _site_of_use(reading: Reading, node: Node) -> str | None:
    user = reading.user[node.position]
    return reading.graph.nodes[user].site if user >= 0 else None


def _made_by_sum(reading: Reading, node: Node) -> bool:
    size, total = reading.size[node.position], reading.upstream[node.position]
    if math.isnan(size):
        return False  # a contribution is nan already
    if math.isnan(total):
        return True  # inf - inf
    for user, place in reading.used[node.position]:
        local = reading.graph.nodes[user].local_derivatives[place]
        if local is not None and math.isinf(reading.upstream[user] * local):
            return False
    return True


def _made(
    reading: Reading,
    node: Node,
    place: int,
    producers: Sequence[tuple[Node, int]],
    passed: int,
    hit: list[str],
) -> Finding:
    graph, above = reading.graph, reading.upstream[node.position]
    first = "the first" if (node, place) == producers[0] else "another"
    more = f", and {len(producers) - 1} more contributions are not finite" if len(producers) > 1 else ""
    tail = (
        f" {counted(passed, 'gradient')} of others come{'s' * (passed == 1)} from there{more}. "
        f"Parameters with it: {in_parts(hit) or 'none'}."
    )
    if place < 0:
        return finding(
            "not finite", "sum of gradients", node,
            f"the {reading.uses[node.position]} contributions to the gradient of {node.name} sum to "
            f"{short(above)}, {first} gradient that is not finite.{tail}",
            "smaller factors on the way (see the values after it), or clip the gradients", hit,
            [("gradient", above)], _site_of_use(reading, node),
        )  # fmt: skip
    local = node.local_derivatives[place]
    assert local is not None
    operand, amount = graph.nodes[int(node.operands[place])], above * local
    at = f"{operand.name} = {short(operand.data)}"
    sums = f"{short(above)} · {short(local)} = {short(amount)}"
    numbers = [("upstream", above), ("local", local), (operand.name, operand.data)]
    if above == 0.0:
        cause = "0 · infinity" if math.isinf(local) else "0 · nan"
        what = (
            f"its slope at {at} is {short(local)}, and 0 arrives there: {sums}, {first} gradient that is not "
            "finite. The value was not used, but its derivative is not finite"
        )
        advice = "operands made safe before the operation: select the argument first, then compute on it"
    elif not math.isfinite(local):
        cause = "infinite slope" if math.isinf(local) else "slope nan"
        what = f"its slope at {at} is {short(local)}: {sums}, {first} gradient that is not finite"
        advice = "a number kept away from the edge, such as sqrt(a + 1e-12)"
    else:
        cause = "overflow"
        what = f"{sums}, beyond the largest float, at {at}: {first} gradient that is not finite"
        advice = "clip does not help here: smaller weights or fewer steps, inputs at the scale of 1"
    return finding(
        "not finite", cause, node, f"{spoken(node)}: {what}.{tail}", advice, hit, numbers
    )  # fmt: skip
