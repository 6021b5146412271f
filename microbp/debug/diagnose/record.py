"""The record itself: wrong rules, changed numbers, parameters that are not reached, and stale ``grad``."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from microbp.check.operation import verdicts
from microbp.check.words import operand_words, where
from microbp.debug.diagnose.case import Case, Parameter
from microbp.debug.diagnose.finding import Finding
from microbp.debug.diagnose.words import Words, short
from microbp.graph import Graph, Node

__all__ = ["changed", "constant_loss", "stale", "unreached", "wrong_rules"]

#: So many operations of one rule are measured; a rule that is wrong is wrong almost everywhere.
_MEASURED = 2000
#: Numbers that stand as literals in formulas; they are no trace of a parameter.
_ORDINARY = frozenset({0.0, 0.5, 1.0, 2.0, -1.0, -0.5})


def changed(case: Case) -> list[Finding]:
    """Numbers and local derivatives that were changed after use, but for parameters that have moved."""
    if not case.changes:
        return []
    say, first = case.words, case.changes[0]
    more = say("no longer hold", n=len(case.changes) - 1) if len(case.changes) > 1 else ""
    numbers = [("recorded", first.node.data), ("now", first.now)]
    what, cause = say("changed", text=first.text, more=more), say.cause("changed after use")
    return [case.finding("changed", cause, first.node, what, (), numbers)]


def measured_operations(case: Case) -> tuple[dict[Any, list[Node]], int]:
    """The operations to be measured of each rule, some where there are very many; and how many there are."""
    touched = {each.node.position for each in case.changes}
    by_rule: dict[Any, list[Node]] = defaultdict(list)
    for node in case.graph:
        if node.rule is not None and node.position not in touched:
            by_rule[node.rule].append(node)
    total = sum(map(len, by_rule.values()))
    return {rule: each[:: max(1, math.ceil(len(each) / _MEASURED))] for rule, each in by_rule.items()}, total


def wrong_rules(case: Case) -> list[Finding]:
    """A finding for each rule whose derivative is not what is measured."""
    found = []
    for nodes in measured_operations(case)[0].values():
        wrong = [
            (node, place, verdict.measured)
            for node in nodes
            for place, verdict in enumerate(verdicts(node, case.graph.data.tolist()))
            if verdict is not None and verdict.word == "WRONG RULE"
        ]
        if wrong:
            found.append(_wrong_rule(case, wrong))
    return found


def _wrong_rule(case: Case, wrong: Sequence[tuple[Node, int, float]]) -> Finding:
    say, (node, place, measured) = case.words, wrong[0]
    stated = node.local_derivatives[place]
    assert stated is not None
    assert node.rule is not None
    ratio = say("sign") if stated == -measured else say("is 0")
    if measured and stated != -measured:
        ratio = say("ratio", x=short(stated / measured))
    more = say.listed(dict.fromkeys(each.name for each, _, _ in wrong[1:] if each is not node))
    what = say(
        "wrong rule", op=say.spoken(node), operand=operand_words(case.graph, node)[place],
        stated=short(stated), measured=short(measured), ratio=ratio,
        again=say("likewise at", names=more) if more else "",
    )  # fmt: skip
    cause = say.cause("wrong rule", rule=node.rule.name)
    return case.finding("rule", cause, node, what, (), [("recorded", stated), ("measured", measured)])


# --------------------------------------------------------------------------------------- unreached
def constant_loss(graph: Graph, words: Words) -> Finding | None:
    """What is wrong with a loss that takes no gradient, or was not computed at all."""
    if not graph.root.requires_grad:
        key, told = "constant", words("constant", name=graph.root.name, x=graph.root.data)
    elif graph.root.rule is None:
        key, told = "not computed", words("leaf", name=graph.root.name, x=graph.root.data)
    else:
        return None
    return _about_root(graph, words, key, told)


def _about_root(graph: Graph, words: Words, key: str, told: str) -> Finding:
    root = graph.root
    cause, word, advice = words.cause(key)
    return Finding("unreached", cause, root.name, root.position, root.site, told, advice, word=word,
                   language=words.language)  # fmt: skip


def unreached(case: Case) -> list[Finding]:
    """One finding for all parameters that are missing for the same reason; or that there is none at all."""
    say, graph = case.words, case.graph
    constants: dict[tuple[str, float], Node] = {}
    literals: dict[float, Node] = {}
    for node in graph:
        if node.rule is None and not node.requires_grad:
            constants.setdefault((node.name.partition("#")[0], node.data), node)
        for each in node.operands:
            if type(each) is float and each not in _ORDINARY:
                literals.setdefault(each, node)
    missing: dict[tuple[str, str, str | None, str], list[Parameter]] = defaultdict(list)
    for parameter in case.parameters:
        if parameter.position is not None:
            if not parameter.requires_grad:
                missing["frozen", "", None, ""].append(parameter)
            continue
        copy = constants.get((parameter.name, parameter.data))
        literal = literals.get(parameter.data)
        if copy is not None:
            told = say("same constant", at=where(copy))
            site = next((graph.nodes[user].site for user, _ in case.used[copy.position]), None)
            missing["detached", told, site, parameter.name].append(parameter)
        elif literal is not None:
            told = say("same literal", x=parameter.data, at=where(literal))
            missing["taken as .data", told, literal.site, parameter.name].append(parameter)
        else:
            missing["disconnected", "", None, ""].append(parameter)
    found = [_missing(case, key, told, site, held) for (key, told, site, _), held in missing.items()]
    return found or _nothing_learns(case)


def _nothing_learns(case: Case) -> list[Finding]:
    """A finding where no leaf takes a gradient."""
    say, graph = case.words, case.graph
    leaves = [node for node in graph if node.rule is None]
    if any(node.requires_grad for node in leaves):
        return []
    told = say("nothing learns", name=graph.root.name, leaves=say.listed(map(where, leaves)))
    return [_about_root(graph, say, "constant leaves", told)]


def _missing(case: Case, key: str, told: str, site: str | None, several: Sequence[Parameter]) -> Finding:
    say, names, root = case.words, [each.name for each in several], case.graph.root.name
    who = say.in_parts(names)
    if key == "frozen":
        what = say("frozen", who=who, are="are" if len(names) > 1 else "is")
    elif key == "disconnected":
        free = [each for each in case.graph if each.rule is None and not each.requires_grad]
        listed = say("constants", n=len(free), names=say.listed(map(where, free))) if free else ""
        what = say("disconnected", root=root, who=who, constants=listed)
    else:
        what = say("copied", root=root, who=who, told=told)
    cause, word, advice = say.cause(key)
    return Finding("unreached", cause, names[0], several[0].position, site, what, advice, tuple(names),
                   word=word, language=say.language)  # fmt: skip


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
    say, (position, held) = case.words, several[0]
    names = [case.graph.nodes[each].name for each, _ in several]
    one = case.upstream[position]
    what = say(
        "stale", name=names[0], held=short(held), how=how, one=short(one), reason=reason,
        more=say("so for", names=say.listed(names[1:])) if len(names) > 1 else "",
    )  # fmt: skip
    numbers, site = [("grad", held), ("this loss", one)], case.site_of_use(position)
    return case.finding(
        "stale gradient", say.cause(cause), case.graph.nodes[position], what, names, numbers, site
    )
