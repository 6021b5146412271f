"""The first NaN and the first infinity, in data and in gradients: who made them, and who passed them on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from microbp.check.words import operand_names
from microbp.debug.diagnose.case import Case
from microbp.debug.diagnose.causes import CHOOSING
from microbp.debug.diagnose.finding import Finding
from microbp.debug.diagnose.words import short
from microbp.graph import Node

__all__ = ["not_finite_data", "not_finite_gradients"]

#: So many producers have a finding of their own.
_MOST = 3


def not_finite_data(case: Case) -> list[Finding]:
    """Who made the numbers that are not finite; and who swallowed one, so that nobody saw it."""
    producers: list[Node] = []
    swallowing: list[Node] = []
    passed: list[Node] = []
    for node in case.graph:
        bad = [x for x in case.numbers(node) if not math.isfinite(x)]
        if math.isfinite(node.data):
            if bad:
                swallowing.append(node)
        elif not bad or (math.isnan(node.data) and not any(map(math.isnan, bad))):
            producers.append(node)
        else:
            passed.append(node)
    given = [node for node in producers if node.rule is None]
    shown = [*given[:1], *(node for node in producers if node.rule is not None)][:_MOST]
    found = [_produced(case, node, producers, passed) for node in sorted(shown)]
    return found + [_swallowed(case, node, swallowing) for node in swallowing[:_MOST]]


def _operands(case: Case, node: Node) -> str:
    """The operands with their numbers; first those that are not finite."""
    told = [
        name if type(each) is float else f"{name} = {short(x)}"
        for name, each, x in zip(
            operand_names(case.graph, node), node.operands, case.numbers(node), strict=True
        )
    ]
    odd = [text for text, x in zip(told, case.numbers(node), strict=True) if not math.isfinite(x)]
    return case.words.listed(dict.fromkeys([*odd, *told]))


def _produced(case: Case, node: Node, producers: Sequence[Node], passed: Sequence[Node]) -> Finding:
    say, what = case.words, "nan" if math.isnan(node.data) else "infinity"
    hit = [] if math.isfinite(case.graph.root.data) else case.hit
    more = say("more made", n=len(producers) - 1) if len(producers) > 1 else ""
    tail = say("passed by nobody", more=more)
    if passed:
        tail = say("passed on", n=len(passed), names=say.listed(each.name for each in passed), more=more)
    if hit and node is producers[0]:
        tail += say("bad gradients", names=say.in_parts(hit))
    first = say("the first" if node is producers[0] else "another")
    numbers = [(node.name, node.data)]
    if node.rule is None:
        told = say("was given", name=node.name, x=repr(node.data), first=first, tail=tail)
        site = case.site_of_use(node.position)
        return case.finding("not finite", say.cause("given", what=what), node, told, hit, numbers, site)
    mixed = any(not math.isfinite(x) for x in case.numbers(node))
    made = "overflow" if what == "infinity" else "nan made"
    cause = say.cause("nan from infinity") if mixed else say.cause("made", made=made)
    told = say(
        "made", op=say.spoken(node), first=first, what=what, at=_operands(case, node), tail=tail,
        how=say("of infinite" if mixed else "of finite"),
    )  # fmt: skip
    numbers += zip(operand_names(case.graph, node), case.numbers(node), strict=True)
    return case.finding("not finite", cause, node, told, hit, numbers)


def _swallowed(case: Case, node: Node, swallowing: Sequence[Node]) -> Finding:
    say = case.words
    what = "nan" if any(map(math.isnan, case.numbers(node))) else "infinity"
    told = say(
        "swallowed", op=say.spoken(node), x=short(node.data), at=_operands(case, node),
        more=say("did likewise", n=len(swallowing) - 1) if len(swallowing) > 1 else "",
    )  # fmt: skip
    cause = say.cause("swallowed", what=what)
    return case.finding("not finite", cause, node, told, (), [(node.name, node.data)])


def not_finite_gradients(case: Case) -> list[Finding]:
    """Who made the first gradient that is not finite in the backward pass.

    Where the loss itself is not finite, slopes of operations on such numbers only follow from them.
    """
    producers: list[tuple[Node, int]] = []
    passed = 0
    for node in reversed(case.graph.nodes):
        above = case.upstream[node.position]
        if not math.isfinite(above):
            if _made_by_sum(case, node):
                producers.append((node, -1))
            else:
                passed += 1
            continue
        for place, local in enumerate(node.local_derivatives):
            if local is not None and not math.isfinite(above * local):
                if math.isfinite(case.graph.root.data) or all(map(math.isfinite, case.numbers(node))):
                    producers.append((node, place))
                else:
                    passed += 1
    return [_made(case, *each, producers, passed) for each in producers[:_MOST]]


def _made_by_sum(case: Case, node: Node) -> bool:
    """Whether finite contributions, or infinities of both signs, were summed up to it."""
    size, total = case.size[node.position], case.upstream[node.position]
    if math.isnan(size):
        return False  # a contribution is nan already
    if math.isnan(total):
        return True  # inf - inf
    return not any(math.isinf(got.amount) for got in case.received[node.position])


def _made(case: Case, node: Node, place: int, producers: Sequence[tuple[Node, int]], passed: int) -> Finding:
    say, above = case.words, case.upstream[node.position]
    first = say("the first" if (node, place) == producers[0] else "another")
    more = say("more contributions", n=len(producers) - 1) if len(producers) > 1 else ""
    names = say.in_parts(case.hit) or say("none")
    tail = say("come from there", n=passed, come="s" * (passed == 1), more=more, names=names)
    if place < 0:
        told = say(
            "bad sum",
            n=len(case.received[node.position]),
            name=node.name,
            x=short(above),
            first=first,
            tail=tail,
        )
        cause, site = say.cause("sum of gradients"), case.site_of_use(node.position)
        return case.finding("not finite", cause, node, told, case.hit, [("gradient", above)], site)
    local = node.local_derivatives[place]
    assert local is not None
    operand = case.graph.nodes[int(node.operands[place])]
    facts = {
        "op": say.spoken(node), "name": node.name, "at": f"{operand.name} = {short(operand.data)}",
        "local": short(local), "sums": f"{short(above)} · {short(local)} = {short(above * local)}",
        "first": first, "tail": tail,
    }  # fmt: skip
    what = "infinity" if math.isinf(local) else "nan"
    if above == 0.0:
        flat = _flat_above(case, node)
        key = "not used" if flat is None else "flat on steep"
        cause, told = (
            say.cause(key, what=what),
            say(key, **facts, user="" if flat is None else say.spoken(flat)),
        )
    elif not math.isfinite(local):
        slope = "infinite slope" if what == "infinity" else "slope nan"
        cause, told = say.cause("infinite slope", slope=slope), say("infinite slope", **facts)
    else:
        cause, told = say.cause("overflow"), say("overflow", **facts)
    numbers = [("upstream", above), ("local", local), (operand.name, operand.data)]
    return case.finding("not finite", cause, node, told, case.hit, numbers)


def _flat_above(case: Case, node: Node) -> Node | None:
    """The use that has made a gradient 0 although it computes with the value; None if it chose another."""
    while (got := case.largest(node.position)) is not None:
        user = case.graph.nodes[got.user]
        if got.local == 0.0:
            chosen = user.rule is not None and user.rule.name not in CHOOSING
            return user if chosen and node.data == 0.0 else None
        node = user
    return None
