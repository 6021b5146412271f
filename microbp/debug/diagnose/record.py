"""The record itself: what is not finite, wrong, changed or not reached; and a stale ``grad``."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from microbp.check.auditing import verdicts
from microbp.check.words import operand_names, operand_words, where
from microbp.debug.diagnose.blame import CHOOSING
from microbp.debug.diagnose.case import Case
from microbp.debug.diagnose.finding import Finding, Remark, Told
from microbp.debug.diagnose.words import short
from microbp.debug.trace import Contribution
from microbp.graph import Node

#: So many producers of what is not finite have a finding of their own.
MOST = 3
#: So many operations of one rule are measured; a rule that is wrong is wrong almost everywhere.
MEASURED = 2000
#: Numbers that stand as literals in formulas; they are no trace of a parameter.
ORDINARY = frozenset({0.0, 0.5, 1.0, 2.0, -1.0, -0.5})


# --------------------------------------------------------------------------------------- not finite
def not_finite_data(case: Case) -> Told:
    """Who made the numbers that are not finite; and who swallowed one, so that nobody saw it."""
    say, first = case.words, True
    given, made, passed, swallowing = list[Node](), list[Node](), list[Node](), list[Node]()
    for node in case.graph:
        bad = [x for x in case.numbers(node) if not math.isfinite(x)]
        if math.isfinite(node.data):
            swallowing += [node] if bad else []
        elif not bad or (math.isnan(node.data) and not any(map(math.isnan, bad))):
            (given if node.rule is None else made).append(node)
        else:
            passed.append(node)
    hit = [] if math.isfinite(case.graph.root.data) else case.hit
    others, names = len(given) + len(made) - 1, say.listed(each.name for each in passed)
    tail = say("more made", n=others) if others > 0 else ""
    tail = say("passed on" if passed else "passed by nobody", n=len(passed), names=names, more=tail)
    for node in sorted([*given[:1], *made[:MOST]]):
        mixed = not all(map(math.isfinite, case.numbers(node)))
        facts = _numbered(case, node, node.data) | {
            "first": say("the first" if first else "another"), "x": repr(node.data),
            "tail": tail + (say("bad gradients", names=say.in_parts(hit)) if hit and first else ""),
            "made": "nan made" if math.isnan(node.data) else "overflow",
        }  # fmt: skip
        key = "given" if node.rule is None else "nan from infinity" if mixed else "made"
        numbers = zip(operand_names(case.graph, node), case.numbers(node), strict=True)
        yield case.found("not finite", key, node, hit, [(node.name, node.data), *numbers], **facts)
        first = False
    for node in swallowing[:MOST]:
        facts = _numbered(case, node, *case.numbers(node)) | {"x": node.data}
        yield case.found("not finite", "swallowed", node, (), [(node.name, node.data)], **facts)


def _numbered(case: Case, node: Node, *numbers: float) -> dict[str, Any]:
    """What of the numbers is not finite; the operands with theirs, first those that are not finite."""
    named = zip(operand_names(case.graph, node), node.operands, case.numbers(node), strict=True)
    told = {name if isinstance(each, float) else f"{name} = {short(x)}": x for name, each, x in named}
    at = case.words.listed(sorted(told, key=lambda text: math.isfinite(told[text])))
    return {"what": "nan" if any(map(math.isnan, numbers)) else "infinity", "at": at, "name": node.name}


def not_finite_gradients(case: Case) -> Told:
    """Who made the first gradient that is not finite in the backward pass.

    Where the loss itself is not finite, slopes of operations on such numbers only follow from them.
    """
    producers: list[Contribution | Node] = []
    passed, finite = 0, math.isfinite(case.graph.root.data)
    for node in reversed(case.graph.nodes):
        step, above = case.step_of(node.position), case.upstream[node.position]
        if not math.isfinite(above):  # finite contributions, or infinities of both signs, may have made it
            amounts = [got.amount for got in case.received[node.position]]
            infinite = any(map(math.isinf, amounts)) and not math.isnan(above)
            made = not infinite and not any(map(math.isnan, amounts))
            producers += [node] if made else []
            passed += not made
        elif step is not None:
            bad = [got for got in reversed(step.contributions) if not math.isfinite(got.amount)]
            made = finite or all(map(math.isfinite, case.numbers(node)))
            producers += bad if made else []
            passed += 0 if made else len(bad)
    for each in producers[:MOST]:
        yield _made(case, each, passed, first=each is producers[0])


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
    above, what = case.upstream[made.user], "infinity" if math.isinf(local) else "nan"
    facts |= {
        "name": node.name, "at": f"{operand.name} = {short(operand.data)}", "local": local, "what": what,
        "sums": f"{short(above)} · {short(local)} = {short(made.amount)}",
        "slope": "infinite slope" if what == "infinity" else "slope nan",
    }  # fmt: skip
    key = "overflow" if math.isfinite(local) else "infinite slope"
    if above == 0.0:  # what has made it 0, although it computes with the value, or chose another
        got = next((got for got in case.path(node.position) if got.local == 0.0), None)
        flat = None if got is None else case.graph.nodes[got.user]
        used = flat is not None and flat.rule is not None and flat.rule.name not in CHOOSING
        key = "flat on steep" if used and got and case.graph.nodes[got.operand].data == 0.0 else "not used"
        facts["user"] = "" if flat is None else say.spoken(flat)
    numbers = [("upstream", above), ("local", local), (operand.name, operand.data)]
    return case.found("not finite", key, node, case.hit, numbers, **facts)


# --------------------------------------------------------------------------------- changes and rules
def changed(case: Case) -> Told:
    """Numbers and local derivatives that were changed after use; parameters that have moved are a remark."""
    for first in case.changes[:1]:
        others = len(case.changes) - 1
        more = case.words("no longer hold", n=others) if others else ""
        numbers = [("recorded", first.node.data), ("now", first.now)]
        yield case.found("changed", "changed after use", first.node, (), numbers, text=first.text, more=more)
    moved = [(case.graph.nodes[each], case.given.nodes[each].data) for each in sorted(case.moved)]
    told = [case.words("moved one", name=was.name, was=was.data, now=now) for was, now in moved]
    if told:
        yield Remark(case.words("moved", told=case.words.listed(told)))


def wrong_rules(case: Case) -> Told:
    """A finding for each rule whose derivative is not what is measured; of very many operations at some."""
    touched = {each.node.position for each in case.changes}
    by_rule: dict[Any, list[Node]] = defaultdict(list)
    for node in case.graph:
        if node.rule is not None and node.position not in touched:
            by_rule[node.rule].append(node)
    chosen = {rule: each[:: max(1, math.ceil(len(each) / MEASURED))] for rule, each in by_rule.items()}
    say, numbers = case.words, case.graph.data.tolist()
    total, some = (sum(map(len, nodes.values())) for nodes in (by_rule, chosen))
    part = say("evenly", n=some) if some < total else ""
    size = {"values": len(case.graph), "parameters": len(case.parameters), "m": len(chosen), "n": total}
    yield say("graph", part=part, **size)
    for rule, nodes in chosen.items():
        wrong = [
            (node, place, verdict.measured)
            for node in nodes
            for place, verdict in enumerate(verdicts(node, numbers))
            if verdict is not None and verdict.word == "WRONG RULE"
        ]
        if not wrong:
            continue
        node, place, right = wrong[0]
        stated = node.local_derivatives[place] or 0.0
        ratio = say("sign") if stated == -right else say("ratio", x=stated / right) if right else say("is 0")
        more = say.listed(dict.fromkeys(each.name for each, _, _ in wrong if each is not node))
        yield case.found(
            "rule", "wrong rule", node, (), [("recorded", stated), ("measured", right)], rule=rule.name,
            operand=operand_words(case.graph, node)[place], stated=stated, measured=right, ratio=ratio,
            again=say("likewise at", names=more) if more else "",
        )  # fmt: skip


# --------------------------------------------------------------------------------------- unreached
def unreached(case: Case) -> Told:
    """One finding for all parameters that are missing for the same reason; or that there is none at all."""
    say, graph = case.words, case.graph
    leaves = [node for node in graph if node.rule is None]
    free = [node for node in leaves if not node.requires_grad]
    missing = [(name, x) for name, x in case.parameters if not isinstance(x, Node) or not x.requires_grad]
    listed = say.listed(map(where, free))
    if not missing and len(free) == len(leaves):
        facts = {"name": graph.root.name, "leaves": listed}
        yield case.found("unreached", "constant leaves", graph.root, **facts)
    #: What a parameter may have been copied to: a constant of its name and number, a literal of its number.
    copies: dict[Any, Node] = {(node.name.partition("#")[0], node.data): node for node in reversed(free)}
    literals = {x: node for node in reversed(graph.nodes) for x in node.operands if isinstance(x, float)}
    users = graph.uses()
    alike: dict[tuple[Any, ...], list[tuple[str, int | None]]] = defaultdict(list)
    for name, each in missing:
        copy, position = copies.get((name, each.data)), getattr(each, "position", None)
        literal = None if each.data in ORDINARY else literals.get(each.data)
        reason: tuple[Any, ...] = "frozen", "", "", None
        if position is None and copy is not None:
            site = next((graph.nodes[user].site for user, _ in users[copy.position]), None)
            reason = "detached", name, where(copy), site
        elif position is None and literal is not None:
            reason = "taken as .data", name, where(literal), literal.site
        elif position is None:
            reason = "disconnected", "", "", None
        alike[reason, each.data if reason[1] else 0.0].append((name, position))
    constants = say("constants", n=len(free), names=listed) if free else ""
    for ((key, _, at, site), x), held in alike.items():
        names = [name for name, _ in held]
        facts = {"who": say.in_parts(names), "at": at, "x": x, "root": graph.root.name}
        made = case.found("unreached", key, names[0], names, (), site, constants=constants, **facts)
        yield made._replace(position=held[0][1])


# --------------------------------------------------------------------------------------- stale grad
def stale(case: Case) -> Told:
    """Whether the parameters hold several passes of this loss, or other losses' gradients as well.

    Scaling of all gradients by one factor below 1, as ``clip_gradients`` does it, is no finding.
    """
    say = case.words
    yield say("grad" if any(each.grad is not None for _, each in case.parameters) else "no grad")
    ratios, counts, odd = list[float](), list[int](), list[tuple[int, float]]()
    for _, position in case.asked:
        one, held = case.upstream[position], case.given.nodes[position].grad
        if held is None or not (math.isfinite(one) and math.isfinite(held)) or one == held == 0.0:
            continue
        ratios.append(held / one if one else math.inf)
        count = round(ratios[-1]) if math.isfinite(ratios[-1]) else 0
        if count >= 2 and abs(held - count * one) <= 1e-9 * abs(held):
            counts.append(count)
        elif abs(held - one) <= 1e-9 * max(abs(held), case.size[position]):
            continue
        odd.append((position, held))
    clipped = all(0.0 < ratio < 1.0 and math.isclose(ratio, ratios[0], rel_tol=1e-9) for ratio in ratios)
    added = bool(counts) and len(counts) == len(ratios)
    if not added and (len(odd) == len(counts) or case.graph.root.grad is None or clipped):
        return
    position, held = odd[0]
    names, one = [case.graph.names[each] for each, _ in odd], case.upstream[position]
    yield case.found(
        "stale gradient", "accumulated" if added else "stale", case.graph.nodes[position], names,
        [("grad", held), ("this loss", one)], name=names[0], held=held, one=one,
        n=max(counts, key=counts.count, default=0),
        more=say("so for", names=say.listed(names[1:])) if len(names) > 1 else "",
    )  # fmt: skip
