"""Which operation is to blame for gradients that are zero, tiny or huge, and why: one finding for each.

Nodes that only pass a zero on are not named; and where no single operation is to blame, depth is: then the
gradients vanish or explode layer by layer, or call by call.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from microbp.check.measure import EPS
from microbp.check.words import operand_names
from microbp.debug.diagnose.case import Case, Parameter
from microbp.debug.diagnose.finding import Finding, LayerRow, collapsed
from microbp.debug.diagnose.words import part_of, short, unit_of
from microbp.graph import Node
from microbp.groups import GroupPath
from microbp.labels import layer_path, text_of

__all__ = ["CHOOSING", "layer_rows", "layers", "rectified", "sizes", "zeros"]

#: Operations that flatten far from 0, and those that choose.
SQUASHING = frozenset({"sigmoid", "tanh", "erf", "erfc"})
FLAT = SQUASHING | {"softplus", "silu", "gelu", "elu", "exp", "atan"}
CHOOSING = frozenset({"maximum", "minimum", "max", "select"})
#: A squashing unit with a smaller slope is saturated: 0.25 and 1 are the largest of sigmoid and tanh.
SLOPE = 1e-4
#: A gradient is shrunk by depth if it is smaller than this part of the largest one, or than that, which moves
#: no weight, through so many factors at least.
SHRUNK, NOTHING, DEEP = 1e-12, 1e-30, 10
#: So many origins of one zero are kept.
MOST = 64
#: Gradients vanish, or explode, if they change by this factor from the last layer to the first.
FACTOR = 1e4

#: A cause, and the facts of its sentence.
Why = tuple[str, dict[str, Any]]


# ------------------------------------------------------------------------------------ one operation
def rectified(node: Node) -> int:
    """The place of the operand that a node rectifies, as relu or as ``maximum(0, x)``; else -1."""
    if node.rule is not None and node.rule.name == "relu":
        return 0
    if node.rule is not None and node.rule.name == "maximum" and 0.0 in node.operands:
        kinds = [isinstance(each, int) for each in node.operands]
        return kinds.index(True) if sum(kinds) == 1 else -1
    return -1


def squares(node: Node) -> bool:
    """Whether it is a power of a value, or a value times itself. A node 0 is not the literal 0.0."""
    assert node.rule is not None
    itself = all(isinstance(each, int) and each == node.operands[0] for each in node.operands)
    return node.rule.name == "pow" or (node.rule.name == "mul" and itself)


def _partner(node: Node, place: int) -> int | None:
    """The place of the factor that an operand of ``mul`` or ``dot`` is multiplied by."""
    assert node.rule is not None
    half = (len(node.operands) - 1) // 2
    if node.rule.name == "mul":
        return 1 - place
    return (place + half) % (2 * half) if node.rule.name == "dot" and place < 2 * half else None


def why_zero(case: Case, position: int, place: int) -> Why:
    """Why the local derivative of an operation in one operand is 0, or all but 0."""
    node = case.graph.nodes[position]
    assert node.rule is not None
    say, rule, names, data = case.words, node.rule.name, operand_names(case.graph, node), case.numbers(node)
    x, partner = data[place], _partner(node, place)
    facts: dict[str, Any] = {"rule": rule, "name": names[place], "at": f"{names[place]} = {short(x)}"}
    if rectified(node) == place and x < 0.0:
        return "dead", facts | {"rule": "relu", "what": rule if rule == "relu" else say("maximum")}
    if x == 0.0 and node.rule.kink and rule not in CHOOSING:
        return "corner", facts | {"how": _how(case, node.operands[place])}
    if rule in FLAT and not (rule in ("silu", "gelu") and abs(x) < 5.0):
        return "saturated", facts
    if squares(node):  # e**2, and e*e
        how = _how(case, node.operands[0]) if data[0] == 0.0 else ""
        power = data[1] if rule == "pow" else 2.0
        return "flat power", facts | {"name": names[0], "a": data[0], "b": power, "how": how}
    if partner is not None:
        other = node.operands[partner]
        zero = f"{names[partner]} = 0" if isinstance(other, int) else say("number 0")
        return "multiplied by 0", facts | {"zero": zero, "how": _how(case, other)}
    if rule == "clip":
        return "clipped", facts | {"low": data[1], "high": data[2]}
    if rule in ("logsumexp", "cross_entropy"):
        return "saturated softmax", facts
    return "not chosen" if rule in CHOOSING else "flat operation", facts


def _how(case: Case, operand: float) -> str:
    """How an operand came to be 0, to be added to a sentence; nothing for a literal."""
    if not isinstance(operand, int):
        return ""
    say, node = case.words, case.graph.nodes[operand]
    while node.rule is not None and (zero := _zero_in(case, node)) is not None:
        node = zero
    if node.rule is None:
        return say("given as 0", name=node.name)
    names = operand_names(case.graph, node)
    pairs = zip(names, node.operands, case.numbers(node), strict=True)
    at = dict.fromkeys(f"{name} = {short(x)}" for name, each, x in pairs if isinstance(each, int))
    return say("is 0 where", told=f"{node.name} = {case.graph.formula(node)}", at=say.listed(at))


def _zero_in(case: Case, node: Node) -> Node | None:
    """An operand whose 0 makes a product, or each of whose terms makes a sum, 0; None for no such one."""
    assert node.rule is not None
    rule, data = node.rule.name, case.numbers(node)
    nothing = rule in ("mul", "neg") and 0.0 in data
    if rule in ("add", "sub", "sum"):
        nothing = not any(data)
    elif rule == "dot":
        half = (len(data) - 1) // 2
        nothing = data[-1] == 0.0 and all(0.0 in pair for pair in zip(data, data[half:-1], strict=False))
    operands = zip(node.operands, data, strict=True)
    zeros = [case.graph.nodes[x] for x, y in operands if isinstance(x, int) and y == 0.0 and nothing]
    return next(iter([each for each in zeros if each.rule is not None] or zeros), None)


def why_huge(case: Case, position: int, place: int) -> Why:
    """Why the local derivative of an operation in one operand is large."""
    node = case.graph.nodes[position]
    assert node.rule is not None
    rule, names, data = node.rule.name, operand_names(case.graph, node), case.numbers(node)
    x, partner = data[place], _partner(node, place)
    facts = {"rule": rule, "node": node.name, "name": names[place], "at": f"{names[place]} = {short(x)}"}
    if rule == "div" and abs(data[1]) < 1.0:
        return "division by a small number", facts | {"at": f"{names[1]} = {short(data[1])}"}
    if rule in ("log", "log1p"):
        return "log near its edge", facts
    if rule == "sqrt" or (rule == "pow" and abs(x) < 1.0):
        return "root near its edge", facts
    if rule in ("exp", "expm1", "sinh", "cosh"):
        return "growth of exp", facts
    if rule == "pow" and place == 0:
        return "power of a large number", facts | {"grown": _grown(case, node.operands[0])[1], "b": data[1]}
    if partner is None:
        return "steep operation", facts
    other = node.operands[partner]
    steps, grown = _grown(case, other)
    by = f"{names[partner]} = " * isinstance(other, int) + short(data[partner])
    cause = "grown factor" if steps >= DEEP else "multiplied by a large number"
    return cause, facts | {"by": by, "grown": grown}


def _grown(case: Case, operand: float) -> tuple[int, str]:
    """Over how many operations a number has grown, and from what: the largest operand each time."""
    if not isinstance(operand, int):
        return 0, ""
    steps, node = 0, case.graph.nodes[operand]
    while node.rule is not None:
        inner = [case.graph.nodes[each] for each in node.operands if isinstance(each, int)]
        node = max(inner, key=lambda each: abs(each.data))
        steps += 1
    start = f"{node.name} = {short(node.data)}"
    return steps, case.words("grown", start=start, n=steps) if steps else ""


# --------------------------------------------------------------------------------------------- zero
class _Origin(NamedTuple):
    """Where a gradient became zero: in one operand of an operation, or in the sum at a node."""

    #: ``blocked`` by a derivative of 0, ``underflow``, or ``cancelled``.
    how: str
    rule: str
    #: The unit, alike in each of its calls; else the position of the node.
    where: str | int


#: Of each origin the (node, place) where it shows.
_Places = dict[_Origin, list[tuple[int, int]]]


def zeros(case: Case) -> list[Finding]:
    """Why parameters have the gradient 0: one finding for each origin.

    A gradient of which cancellation has left no digit counts as 0. Of a module only parts without any
    gradient count (a neuron all of whose weights and bias have none), and of an array only what is 0 for
    one reason: some weights of a healthy relu net always see 0 in every sample, for one reason in this
    sample and for another one in that. Where only some of a part, or of an array, are asked for, each counts.
    Neurons that are ``alive`` for other samples may be off in this one.
    """
    origins, places = _traced(case)
    whole = _whole(case)
    parts: dict[str, list[Parameter]] = defaultdict(list)
    for each, _ in case.asked:
        parts[part_of(each.name) if _family(each.name) in whole else each.name].append(each)
    affected: dict[tuple[str, ...], list[str]] = defaultdict(list)
    together: dict[tuple[str, ...], dict[_Origin, None]] = defaultdict(dict)
    for name, part in parts.items():
        own = dict.fromkeys(origin for each in part for origin in origins.get(each.position or 0, ()))
        if not own or any(each.position not in origins for each in part):
            continue
        if name in case.alive and all(each.how == "blocked" and each.rule in _RECTIFIERS for each in own):
            continue
        array = "[" in part[0].name and _family(part[0].name) in whole
        if array and len({(each.how, each.rule) for each in own}) > 1:
            continue
        first = max(own, key=lambda origin: len(places[origin]))
        # The same for one sample after another is one finding.
        where = first.where if first.how == "cancelled" or isinstance(first.where, str) else ""
        key = first.how, first.rule, str(where)
        affected[key] += [each.name for each in part]
        together[key].update(own)
    for origin in places:  # sums of which only rounding is left: the gradients below are not exactly 0
        if origin.how == "cancelled" and case.upstream[int(origin.where)]:
            name = case.graph.names[int(origin.where)]
            key = origin.how, origin.rule, str(origin.where)
            if key not in affected and (part_of(name) == name or name in parts):
                affected[key], together[key] = [name], {origin: None}
    return collapsed(_zero(case, key, together[key], places, names) for key, names in affected.items())


_RECTIFIERS = ("relu", "maximum")


def _family(name: str) -> str:
    """The part of a module, or the array, to which a parameter belongs."""
    return part_of(name).partition("[")[0]


def _whole(case: Case) -> set[str]:
    """The parts and arrays of which all parameters in the graph are asked for."""
    there = Counter(_family(node.name) for node in case.graph if node.rule is None and node.requires_grad)
    ours = Counter(_family(each.name) for each, _ in case.asked)
    return {family for family, count in ours.items() if count == there[family]}


def _traced(case: Case) -> tuple[dict[int, dict[_Origin, None]], _Places]:
    """The origins of each node's zero; and for each origin where it shows."""
    upstream, size, nodes = case.upstream, case.size, case.graph.nodes
    origins: dict[int, dict[_Origin, None]] = {}
    places: _Places = {}
    for step in case.steps:
        for got in step.contributions:
            total = upstream[got.operand]
            lost = total == 0.0 or (size[got.operand] < math.inf and abs(total) <= EPS * size[got.operand])
            if not case.between[got.operand] or not lost:
                continue
            own = origins.setdefault(got.operand, {})
            if size[got.operand]:  # there are contributions, and they cancel
                found = _Origin("cancelled", "", got.operand)
                places.setdefault(found, [(got.operand, -1)])
            elif step.upstream == 0.0:
                if len(own) < MOST:
                    own.update(origins[step.node])
                continue
            else:
                at, place, node = got.user, got.place, nodes[got.user]
                inner = nodes[got.operand]
                base = squares(node) and (got.place == 0 or len({*node.operands}) == 1)
                # The square of a relu that gives 0 is flat, but the relu lets nothing through either.
                if base and rectified(inner) >= 0 and inner.data == 0.0:
                    at, place, node = got.operand, rectified(inner), inner
                rule = "" if node.rule is None else node.rule.name
                found = _Origin("underflow" if got.local else "blocked", rule, unit_of(node) or at)
                places.setdefault(found, []).append((at, place))
            if len(own) < MOST:
                own[found] = None
    return origins, places


def _zero(
    case: Case, key: tuple[str, ...], together: Iterable[_Origin], places: _Places, names: Sequence[str]
) -> Finding:
    """The finding on all parameters for which one origin stands first."""
    say, nodes = case.words, case.graph.nodes
    same = [each for each in together if (each.how, each.rule) == key[:2]]
    first = max(same, key=lambda origin: len(places[origin]))
    # The relu of a neuron and the relu of a loss are not alike.
    same = [each for each in same if isinstance(each.where, int) == isinstance(first.where, int)]
    position, place = places[first][0]
    if first.how == "cancelled":
        return _cancelled(case, position, names)
    alike = len({each for origin in same for each, _ in places[origin]}) - 1
    others = [nodes[places[each][0][0]] for each in together if each not in same]
    again = say("alike", n=alike) if alike else ""
    again += say("elsewhere", told=say.listed(map(say.spoken, others), 2)) if others else ""
    above, local = case.upstream[position], nodes[position].local_derivatives[place] or 0.0
    operand = nodes[int(nodes[position].operands[place])]
    why: Why = "underflow", {"above": above, "local": local, "operand": operand.name}
    if first.how == "blocked":
        why = why_zero(case, position, place)
    numbers = [("upstream", above), ("local", local), (operand.name, operand.data)]
    return case.blamed("zero gradient", why, (position, place), names, numbers, again=again)


def _cancelled(case: Case, position: int, names: Sequence[str]) -> Finding:
    total, received = case.upstream[position], case.received[position]
    terms = sorted((got.amount for got in reversed(received)), key=abs, reverse=True)
    exact = math.fsum(terms)
    shown = " ".join(f"{'+' if each >= 0 else '-'} {short(abs(each))}" for each in terms[:4])
    shown = f"{shown.removeprefix('+ ')}{' …' * (len(terms) > 4)}"
    numbers = [("gradient", total), ("size of the contributions", case.size[position]), ("exact sum", exact)]
    return case.found(
        "zero gradient", "rounding" if exact or total else "cancelled", case.graph.nodes[position], names,
        numbers, n=len(terms), shown=shown, total=total, exact=exact,
    )  # fmt: skip


# ------------------------------------------------------------------------------------ tiny and huge
def sizes(case: Case) -> list[Finding]:
    """Why gradients are tiny, or at least ``case.huge``: one finding for each origin on the largest paths.

    That is a saturated unit, or an operation that makes up more than half of the size, whichever call of a
    unit it is; else depth, or very many paths.
    """
    sized = [(each, abs(case.upstream[each])) for _, each in case.asked if case.ways[each] is not None]
    sized = [(position, size) for position, size in sized if 0.0 < size < math.inf]
    largest = max((size for _, size in sized), default=0.0)
    grouped: dict[tuple[str, str, str | int], list[int]] = defaultdict(list)
    for position, size in sized:
        way = case.ways[position]
        assert way is not None
        small, large = (case.graph.nodes[got.user] for got in (way.least, way.most))
        if size >= case.huge:
            kind, node, depth = "huge gradient", large, ""
            if math.log10(abs(way.most.local)) < 0.5 * math.log10(size):
                depth = "many paths" if way.added >= 0.5 * math.log10(size) else "growth by depth"
        elif abs(way.least.local) < SLOPE and small.rule is not None and small.rule.name in SQUASHING:
            kind, node, depth = "tiny gradient", small, ""
        elif size < max(SHRUNK * largest, NOTHING) and way.shrinking >= DEEP:
            kind, node, depth = "tiny gradient", small, "shrunk by depth"
        else:
            continue
        rule = node.rule.name if node.rule else ""
        where = "" if depth else f"{rule} {unit_of(node) or node.position}"
        grouped[kind, depth, where].append(position)
    return collapsed(_sized(case, kind, depth, several) for (kind, depth, _), several in grouped.items())


def _sized(case: Case, kind: str, by_depth: str, several: Sequence[int]) -> Finding:
    say, names, is_huge = case.words, case.called(several), kind == "huge gradient"
    position = (max if is_huge else min)(several, key=lambda each: abs(case.upstream[each]))
    way, gradient, node = case.ways[position], case.upstream[position], case.graph.nodes[position]
    assert way is not None
    path = [*case.path(position)]
    factors = sorted(path, key=lambda got: -abs(got.local))[:3]
    got = factors[0] if is_huge else way.least
    facts: dict[str, Any] = {"name": node.name, "gradient": gradient, "local": got.local}
    told = (say("factor", x=each.local, node=case.graph.names[each.user]) for each in factors)
    facts["tail"] = say("huge tail", **facts, largest=", ".join(told), names=say.in_parts(names))
    numbers = [("gradient", gradient)] + [("largest factor", got.local)] * is_huge
    if not by_depth:
        why = (why_huge if is_huge else why_zero)(case, got.user, got.place)
        operand = case.graph.nodes[got.operand]
        numbers += [] if is_huge else [("local", got.local), (operand.name, operand.data)]
        return case.blamed(kind, why, (got.user, got.place), names, numbers, **facts)
    grows = [abs(each.local) for each in path if abs(each.local) > 1.2]
    mean = math.exp(sum(map(math.log, grows)) / len(grows)) if grows else 1.0
    if not is_huge:
        mean = abs(gradient) ** (1.0 / way.steps)
    numbers += [("steps", float(way.steps)), ("per step", mean)]
    facts |= {"n": len(grows) if is_huge else way.shrinking, "by": 10.0 ** min(way.added, 308.0)}
    return case.found(kind, by_depth, node, names, numbers, **facts, steps=way.steps, mean=mean)


# ----------------------------------------------------------------------------------- layer by layer
def _by_layer(case: Case) -> dict[str, list[int]]:
    """The parameters of each layer, the layer that is used first first; an array is a layer, too."""
    found: dict[str, list[int]] = defaultdict(list)
    for each, position in case.asked:
        array, bracket, _ = each.name.partition("[")
        path = case.graph.paths[position]
        if name := text_of(layer_path(path)) if path else array if bracket else "":
            found[name].append(position)
    uses = case.received
    first = {name: min(got.user for each in held for got in uses[each]) for name, held in found.items()}
    return {name: found[name] for name in sorted(found, key=first.__getitem__)}


def layer_rows(case: Case) -> tuple[LayerRow, ...]:
    """The gradients of each layer, in the order of the forward computation."""
    return tuple(_row(name, [case.upstream[each] for each in held]) for name, held in _by_layer(case).items())


def _row(name: str, gradients: Sequence[float]) -> LayerRow:
    """With their root mean square."""
    largest = rms = max(map(abs, gradients))
    if 0.0 < largest < math.inf:
        rms = largest * math.sqrt(sum((each / largest) ** 2 for each in gradients) / len(gradients))
    return LayerRow(name, len(gradients), rms)


def layers(case: Case) -> list[Finding]:
    """What vanishes or explodes from layer to layer, or from call to call."""
    found = _judged(case, layer_rows(case), case.words("layer"))
    for unit, calls in _sequences(case).items():
        found += _judged(case, calls, case.words("call of", unit=unit))
    return found


def _sequences(case: Case) -> dict[str, tuple[LayerRow, ...]]:
    """Modules and groups that are called again on what they gave before: a row for each call."""
    calls: dict[tuple[GroupPath, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    linked: dict[tuple[GroupPath, str], set[int]] = defaultdict(set)
    nodes = case.graph.nodes
    for node in nodes:
        for depth, (name, call) in enumerate(node.group):
            key = node.group[:depth], name
            calls[key][call].append(case.upstream[node.position])
            before = (*key[0], (name, call - 1))
            inner = (nodes[each].group for each in node.operands if isinstance(each, int))
            if call not in linked[key] and any(each[: depth + 1] == before for each in inner):
                linked[key].add(call)
    found: dict[str, tuple[LayerRow, ...]] = {}
    for key, several in calls.items():
        if len(several) > 2 and 2 * len(linked[key]) >= len(several):
            unit = ".".join([*(name for name, _ in key[0]), key[1]])
            named = ((f"{unit} (call {k + 1})" if k else unit, several[k]) for k in sorted(several))
            found.setdefault(unit, tuple(_row(*each) for each in named))  # of many samples, the first
    return found


def _judged(case: Case, rows: Sequence[LayerRow], unit: str) -> list[Finding]:
    shown = [row for row in rows if 0.0 < row.rms < math.inf]
    if len(shown) < 2:
        return []
    first, last = shown[0], shown[-1]
    exponent = math.log10(first.rms) - math.log10(last.rms)
    if abs(exponent) < math.log10(FACTOR):
        return []
    per = 10.0 ** max(-307.0, min(307.0, exponent / (len(shown) - 1)))
    ends = shown if len(shown) <= 6 else [*shown[:3], *shown[-3:]]
    return [case.found(
        "layers", "vanishing" if exponent < 0.0 else "exploding", None,
        case.called(_by_layer(case).get(first.name, ())),
        (("first", first.rms), ("last", last.rms), ("per step", per)),
        next((node.site for node in case.graph if node.site and node.group), None),
        about=first.name, last=last.name, first=first.name, was=last.rms, now=first.rms, per=per, what=unit,
        course=" → ".join(f"{row.name} {short(row.rms)}" for row in ends),
    )]  # fmt: skip
