"""The record itself: what is not finite, wrong, changed or not reached; and a stale ``grad``."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from microbp.check.auditing import verdicts
from microbp.check.words import operand_names, operand_words, where
from microbp.debug.diagnose.blame import CHOOSING
from microbp.debug.diagnose.case import Case, Parameter
from microbp.debug.diagnose.finding import Finding
from microbp.debug.diagnose.words import short
from microbp.debug.passes import Contribution
from microbp.graph import Node

__all__ = [
    "changed", "measured", "not_finite_data", "not_finite_gradients", "stale", "unreached", "wrong_rules",
]  # fmt: skip

#: So many producers of what is not finite have a finding of their own.
MOST = 3
#: So many operations of one rule are measured; a rule that is wrong is wrong almost everywhere.
MEASURED = 2000
#: Numbers that stand as literals in formulas; they are no trace of a parameter.
ORDINARY = frozenset({0.0, 0.5, 1.0, 2.0, -1.0, -0.5})


# --------------------------------------------------------------------------------------- not finite
def not_finite_data(case: Case) -> list[Finding]:
    """Who made the numbers that are not finite; and who swallowed one, so that nobody saw it."""
    producers: list[Node] = []
    swallowing: list[Node] = []
    passed: list[Node] = []
    for node in case.graph:
        bad = [x for x in case.numbers(node) if not math.isfinite(x)]
        if math.isfinite(node.data):
            swallowing += [node] if bad else []
        elif not bad or (math.isnan(node.data) and not any(map(math.isnan, bad))):
            producers.append(node)
        else:
            passed.append(node)
    given = [node for node in producers if node.rule is None]
    shown = sorted([*given[:1], *(node for node in producers if node.rule is not None)][:MOST])
    found = [_produced(case, node, producers, passed) for node in shown]
    for node in swallowing[:MOST]:
        what = "nan" if any(map(math.isnan, case.numbers(node))) else "infinity"
        found.append(case.found(
            "not finite", "swallowed", node, (), [(node.name, node.data)], what=what, x=node.data,
            at=_operands(case, node),
        ))  # fmt: skip
    return found


def _operands(case: Case, node: Node) -> str:
    """The operands with their numbers; first those that are not finite."""
    named = zip(operand_names(case.graph, node), node.operands, case.numbers(node), strict=True)
    told = {name if isinstance(each, float) else f"{name} = {short(x)}": x for name, each, x in named}
    return case.words.listed(sorted(told, key=lambda text: math.isfinite(told[text])))


def _produced(case: Case, node: Node, producers: Sequence[Node], passed: Sequence[Node]) -> Finding:
    say, what = case.words, "nan" if math.isnan(node.data) else "infinity"
    hit = [] if math.isfinite(case.graph.root.data) else case.hit
    more = say("more made", n=len(producers) - 1) if len(producers) > 1 else ""
    tail = say("passed by nobody", more=more)
    if passed:
        tail = say("passed on", n=len(passed), names=say.listed(each.name for each in passed), more=more)
    if hit and node is producers[0]:
        tail += say("bad gradients", names=say.in_parts(hit))
    facts = {"what": what, "first": say("the first" if node is producers[0] else "another"), "tail": tail}
    numbers = [(node.name, node.data)]
    if node.rule is None:
        given: dict[str, Any] = {"name": node.name, "x": repr(node.data)}
        return case.found("not finite", "given", node, hit, numbers, **facts, **given)
    numbers += zip(operand_names(case.graph, node), case.numbers(node), strict=True)
    mixed = not all(map(math.isfinite, case.numbers(node)))
    return case.found(
        "not finite", "nan from infinity" if mixed else "made", node, hit, numbers, **facts,
        made="overflow" if what == "infinity" else "nan made", at=_operands(case, node),
        how=say("of infinite" if mixed else "of finite"),
    )  # fmt: skip


def not_finite_gradients(case: Case) -> list[Finding]:
    """Who made the first gradient that is not finite in the backward pass.

    Where the loss itself is not finite, slopes of operations on such numbers only follow from them.
    """
    producers: list[Contribution | Node] = []
    passed = 0
    finite = math.isfinite(case.graph.root.data)
    for node in reversed(case.graph.nodes):
        step = case.step_of(node.position)
        if not math.isfinite(case.upstream[node.position]):
            made = _made_by_sum(case, node)
            producers += [node] if made else []
            passed += not made
        elif step is not None:
            bad = [got for got in reversed(step.contributions) if not math.isfinite(got.amount)]
            made = finite or all(map(math.isfinite, case.numbers(node)))
            producers += bad if made else []
            passed += 0 if made else len(bad)
    return [_made(case, each, passed, first=k == 0) for k, each in enumerate(producers[:MOST])]


def _made_by_sum(case: Case, node: Node) -> bool:
    """Whether finite contributions, or infinities of both signs, were summed up to it."""
    if math.isnan(case.size[node.position]):
        return False  # a contribution is nan already
    if math.isnan(case.upstream[node.position]):
        return True  # inf - inf
    return not any(math.isinf(got.amount) for got in case.received[node.position])


def _made(case: Case, made: Contribution | Node, passed: int, *, first: bool) -> Finding:
    say = case.words
    names = say.in_parts(case.hit) or say("none")
    facts: dict[str, Any] = {"first": say("the first" if first else "another")}
    facts["tail"] = say("come from there", n=passed, names=names)
    if isinstance(made, Node):
        above, count = case.upstream[made.position], len(case.received[made.position])
        facts |= {"n": count, "name": made.name, "x": above}
        return case.found("not finite", "sum of gradients", made, case.hit, [("gradient", above)], **facts)
    node, operand, local = case.graph.nodes[made.user], case.graph.nodes[made.operand], made.local
    above = case.upstream[made.user]
    what = "infinity" if math.isinf(local) else "nan"
    facts |= {
        "name": node.name, "at": f"{operand.name} = {short(operand.data)}", "local": local, "what": what,
        "sums": f"{short(above)} · {short(local)} = {short(made.amount)}",
        "slope": "infinite slope" if what == "infinity" else "slope nan",
    }  # fmt: skip
    key = "overflow" if math.isfinite(local) else "infinite slope"
    if above == 0.0:
        flat = _flat_above(case, node)
        key = "not used" if flat is None else "flat on steep"
        facts["user"] = "" if flat is None else say.spoken(flat)
    numbers = [("upstream", above), ("local", local), (operand.name, operand.data)]
    return case.found("not finite", key, node, case.hit, numbers, **facts)


def _flat_above(case: Case, node: Node) -> Node | None:
    """The use that has made a gradient 0 although it computes with the value; None if it chose another."""
    for got in case.path(node.position):
        user = case.graph.nodes[got.user]
        if got.local == 0.0:
            chosen = user.rule is not None and user.rule.name not in CHOOSING
            return user if chosen and case.graph.nodes[got.operand].data == 0.0 else None
    return None


# --------------------------------------------------------------------------------- changes and rules
def changed(case: Case) -> list[Finding]:
    """Numbers and local derivatives that were changed after use, but for parameters that have moved."""
    if not case.changes:
        return []
    first = case.changes[0]
    more = case.words("no longer hold", n=len(case.changes) - 1) if len(case.changes) > 1 else ""
    numbers = [("recorded", first.node.data), ("now", first.now)]
    return [case.found("changed", "changed after use", first.node, (), numbers, text=first.text, more=more)]


def measured(case: Case) -> tuple[dict[Any, list[Node]], int]:
    """The operations to be measured of each rule, some where there are very many; and how many there are."""
    touched = {each.node.position for each in case.changes}
    by_rule: dict[Any, list[Node]] = defaultdict(list)
    for node in case.graph:
        if node.rule is not None and node.position not in touched:
            by_rule[node.rule].append(node)
    total = sum(map(len, by_rule.values()))
    return {rule: each[:: max(1, math.ceil(len(each) / MEASURED))] for rule, each in by_rule.items()}, total


def wrong_rules(case: Case) -> list[Finding]:
    """A finding for each rule whose derivative is not what is measured."""
    found = []
    for rule, nodes in measured(case)[0].items():
        wrong = [
            (node, place, verdict.measured)
            for node in nodes
            for place, verdict in enumerate(verdicts(node, case.graph.data.tolist()))
            if verdict is not None and verdict.word == "WRONG RULE"
        ]
        if wrong:
            found.append(_wrong_rule(case, rule.name, wrong))
    return found


def _wrong_rule(case: Case, rule: str, wrong: Sequence[tuple[Node, int, float]]) -> Finding:
    say, (node, place, right) = case.words, wrong[0]
    stated = node.local_derivatives[place]
    assert stated is not None
    ratio = say("sign") if stated == -right else say("is 0")
    if right and stated != -right:
        ratio = say("ratio", x=stated / right)
    more = say.listed(dict.fromkeys(each.name for each, _, _ in wrong[1:] if each is not node))
    return case.found(
        "rule", "wrong rule", node, (), [("recorded", stated), ("measured", right)], rule=rule,
        operand=operand_words(case.graph, node)[place], stated=stated, measured=right, ratio=ratio,
        again=say("likewise at", names=more) if more else "",
    )  # fmt: skip


# --------------------------------------------------------------------------------------- unreached
def unreached(case: Case) -> list[Finding]:
    """One finding for all parameters that are missing for the same reason; or that there is none at all."""
    say, graph = case.words, case.graph
    constants: dict[tuple[str, float], Node] = {}
    literals: dict[float, Node] = {}
    for node in graph:
        if node.rule is None and not node.requires_grad:
            constants.setdefault((node.name.partition("#")[0], node.data), node)
        for each in node.operands:
            if isinstance(each, float) and each not in ORDINARY:
                literals.setdefault(each, node)
    missing: dict[tuple[str, str, str | None, str], list[Parameter]] = defaultdict(list)
    for parameter in case.parameters:
        copy = constants.get((parameter.name, parameter.data))
        literal = literals.get(parameter.data)
        if parameter.position is not None:
            if not parameter.requires_grad:
                missing["frozen", "", None, ""].append(parameter)
        elif copy is not None:
            told = say("same constant", at=where(copy))
            site = next((node.site for node in graph if copy.position in _nodes(node)), None)
            missing["detached", told, site, parameter.name].append(parameter)
        elif literal is not None:
            told = say("same literal", x=parameter.data, at=where(literal))
            missing["taken as .data", told, literal.site, parameter.name].append(parameter)
        else:
            missing["disconnected", "", None, ""].append(parameter)
    leaves = [node for node in graph if node.rule is None]
    free = [where(node) for node in leaves if not node.requires_grad]
    if not missing and len(free) == len(leaves):
        facts: dict[str, Any] = {"name": graph.root.name, "leaves": say.listed(free)}
        return [case.found("unreached", "constant leaves", graph.root, **facts)]
    listed = say("constants", n=len(free), names=say.listed(free)) if free else ""
    found = []
    for (key, told, site, _), held in missing.items():
        names = [each.name for each in held]
        made = case.found(
            "unreached", key, None, names, (), site, about=names[0], who=say.in_parts(names), told=told,
            root=graph.root.name, constants=listed,
        )  # fmt: skip
        found.append(made._replace(position=held[0].position))
    return found


def _nodes(node: Node) -> list[int]:
    """The operands that are nodes."""
    return [each for each in node.operands if isinstance(each, int)]


# --------------------------------------------------------------------------------------- stale grad
def stale(case: Case) -> list[Finding]:
    """Whether the parameters hold several passes of this loss, or other losses' gradients as well.

    Scaling of all gradients by one factor below 1, as ``clip_gradients`` does it, is no finding.
    """
    multiples: Counter[int] = Counter()
    doubled: list[tuple[int, float]] = []
    other: list[tuple[int, float]] = []
    ratios: list[float] = []
    for each, position in case.asked:
        one, held = case.upstream[position], each.grad
        if held is None or not (math.isfinite(one) and math.isfinite(held)) or one == held == 0.0:
            continue
        ratio = held / one if one else math.inf
        ratios.append(ratio)
        count = round(ratio) if math.isfinite(ratio) else 0
        if count >= 2 and abs(held - count * one) <= 1e-9 * abs(held):
            multiples[count] += 1
            doubled.append((position, held))
        elif not abs(held - one) <= 1e-9 * max(abs(held), case.size[position]):
            other.append((position, held))
    say = case.words
    if doubled and not other and len(doubled) == len(ratios):
        how = say("times gradient", n=multiples.most_common(1)[0][0])
        return [_held(case, doubled, "accumulated", how, say("added up"))]
    if not other or case.graph.root.grad is None:
        return []
    if all(0.0 < ratio < 1.0 and math.isclose(ratio, ratios[0], rel_tol=1e-9) for ratio in ratios):
        return []
    return [_held(case, other + doubled, "stale", say("other gradient"), say("other loss"))]


def _held(case: Case, several: Sequence[tuple[int, float]], cause: str, how: str, reason: str) -> Finding:
    say, (position, held), names = case.words, several[0], case.called(each for each, _ in several)
    one = case.upstream[position]
    return case.found(
        "stale gradient", cause, case.graph.nodes[position], names, [("grad", held), ("this loss", one)],
        name=names[0], held=held, how=how, one=one, reason=reason,
        more=say("so for", names=say.listed(names[1:])) if len(names) > 1 else "",
    )  # fmt: skip
