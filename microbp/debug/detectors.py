"""The detectors: functions of a ``Case`` that yield findings, what they have looked at, and remarks.

A ``Case`` is what they look at: a backward pass, the parameters, the words. First come those of the record
itself; then which operation is to blame for gradients that are zero, tiny or huge. Nodes that only pass a
zero on are not named; and where no single operation is to blame, depth is: then the gradients vanish or
explode layer by layer, or call by call.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from microbp.check.auditing import changes_in, verdicts
from microbp.check.measure import EPS
from microbp.debug.findings import Finding, LayerRow, Remark, Told, Words, part_of
from microbp.debug.trace import Contribution, Trace
from microbp.graph import Graph, Node
from microbp.labels import layer_path, mapped, variable_names
from microbp.nn import Module
from microbp.node import text_of
from microbp.sweeps import dependents
from microbp.text import quoted
from microbp.value import Value

#: So many producers of what is not finite have a finding of their own.
MOST = 3
#: So many operations of one rule are measured; a rule that is wrong is wrong almost everywhere.
MEASURED = 2000
#: Numbers that stand as literals in formulas; they are no trace of a parameter.
ORDINARY = frozenset({0.0, 0.5, 1.0, 2.0, -1.0, -0.5})
#: Operations that flatten far from 0, those with a steep edge, those that choose, and those that add.
SQUASHING = frozenset({"sigmoid", "tanh", "erf", "erfc"})
FLAT = SQUASHING | {"softplus", "silu", "gelu", "elu", "exp", "atan"}
EDGED = frozenset({"log", "log1p", "sqrt"})
CHOOSING = frozenset({"maximum", "minimum", "max", "select"})
ADDING = frozenset({"add", "sub", "sum", "dot"})
#: A squashing unit with a smaller slope is saturated: 0.25 and 1 are the largest of sigmoid and tanh.
SLOPE = 1e-4
#: A gradient is shrunk by depth if it is smaller than this part of the largest one, or than that, which moves
#: no weight, through so many factors at least.
SHRUNK, NOTHING, DEEP = 1e-12, 1e-30, 10
#: So many origins of one zero are kept.
ORIGINS = 64
#: Gradients vanish, or explode, if they change by this factor from the last layer to the first.
FACTOR = 1e4


# ------------------------------------------------------------------------------- what is looked at
#: A parameter that is looked at, by its name: its node, or what is not in the graph.
Parameter = tuple[str, Node | Value]


class Way(NamedTuple):
    """The largest path from a node up to the root: by its largest contribution, from there likewise."""

    #: The contributions along it with the largest and with the smallest local derivative.
    most: Contribution
    least: Contribution
    #: How many there are, and how many local derivatives of them are below 1 / 1.2.
    steps: int
    shrinking: int
    #: log10 of what the additions along it have contributed.
    added: float


class Case:
    """A backward pass, the parameters that are asked for, and the words. No ``grad`` is touched."""

    def __init__(
        self, given: Graph, parameters: list[Parameter], words: Words, huge: float, alive: set[str]
    ) -> None:
        #: As it is, also where parameters have moved since it was recorded; and the graph as recorded.
        self.given, self.trace = given, Trace(given)
        self.graph, self.received = self.trace.graph, self.trace.received
        #: From ``huge`` on a gradient is huge; ``alive`` are neurons that work for other samples, by the
        #: names that their parameters may begin with.
        self.parameters, self.words, self.huge, self.alive = parameters, words, huge, alive
        #: The gradient of the root by each node, 0 for what receives none; the sum of the sizes in it.
        self.upstream = [each or 0.0 for each in self.trace.gradients()]
        self.size = [*(sum(abs(got.amount) for got in each) for each in self.received[:-1]), 1.0]
        inside = [(name, each) for name, each in parameters if isinstance(each, Node)]
        #: The names of the parameters in the graph that take a gradient, and their places.
        self.asked = [(name, each.position) for name, each in inside if each.requires_grad]
        #: Those whose gradient is not finite; the nodes that do not follow from their operands any more.
        self.hit = [name for name, position in self.asked if not math.isfinite(self.upstream[position])]
        self.changes = changes_in(self.graph)

    def ways(self) -> list[Way | None]:
        """The largest path from each node up; None from the root, and where none leads there."""
        ways: list[Way | None] = [None] * len(self.graph)
        for position in reversed(range(len(ways) - 1)):
            if got := self.trace.largest(position):
                above = ways[got.user] or Way(got, got, 0, 0, 0.0)
                total, largest, added = abs(self.upstream[position]), abs(got.amount), above.added
                if 0.0 < total < math.inf and 0.0 < largest < math.inf:
                    added += math.log10(total) - math.log10(largest)
                by_size = sorted((above.least, got, above.most), key=lambda each: abs(each.local))
                shrinking = above.shrinking + (abs(got.local) < 1.0 / 1.2)
                ways[position] = Way(by_size[-1], by_size[0], above.steps + 1, shrinking, added)
        return ways

    def path(self, position: int) -> Iterator[Contribution]:
        """The contributions of the largest path, from a node up to the root."""
        while got := self.trace.largest(position):
            yield got
            position = got.user

    def found(self, kind: str, key: str, about: Node | str, *more: Any, **facts: Any) -> Finding:
        """A finding as :meth:`Words.finding` makes it; a leaf has the line of its use."""
        made = self.words.finding(kind, key, about, *more, **facts)
        got = None if made.position is None else self.trace.largest(made.position)
        return made._replace(site=made.site or self.graph.nodes[got.user].site) if got else made


def parameters_of(given: Any, graph: Graph, names: Mapping[str, Any]) -> list[Parameter]:
    """The parameters given, or all leaves that take a gradient and what modules hold on which it depends."""
    variables = variable_names(names)

    def found(held: Any) -> list[Parameter]:
        each_once: dict[Any, Parameter] = {}

        def look(path: str, each: Any) -> None:
            if isinstance(each, Module):
                mapped(each.named_parameters(), look)
            elif isinstance(each, str) or id(each) in graph._places:
                node = graph[each]
                each_once[node.position] = node.name, node
            elif isinstance(each, Value):
                place = variables.get(id(each), f"parameters{path}" if path else "a parameter")
                name = each.name or (place if path[:1] in ("", "[") else path)
                each_once[id(each), name] = name, each
            else:
                raise TypeError(
                    "diagnose looks at parameters that are Values, names in the graph or modules, or lists, "
                    f"arrays and dicts of these, not {quoted(each)}"
                )

        mapped(held, look)
        return list(each_once.values())

    if given is not None:
        if not (parameters := found(given)):
            raise ValueError("diagnose: parameters is empty; leave it out to look at all leaves")
        return parameters
    parameters = [(node.name, node) for node in graph if node.rule is None and node.requires_grad]
    for module in {id(each): each for each in names.values() if isinstance(each, Module)}.values():
        own = found(module)
        outside = [(name, each) for name, each in own if isinstance(each, Value)]
        parameters += [pair for pair in outside if pair[1].requires_grad and len(outside) < len(own)]
    return parameters


# --------------------------------------------------------------------------------------- not finite
def not_finite_data(case: Case) -> Told:
    """Who made the numbers that are not finite; and who swallowed one, so that nobody saw it."""
    say = case.words
    given, made, passed, swallowing = list[Node](), list[Node](), list[Node](), list[Node]()
    for node in case.graph:
        read = zip(node.operands, node.numbers, strict=True)
        bad = [(each, x) for each, x in read if not math.isfinite(x)]
        if math.isfinite(node.data):
            swallowing += [node] if bad else []
        elif bad and (not math.isnan(node.data) or any(math.isnan(x) for _, x in bad)):
            (given if all(isinstance(each, float) for each, _ in bad) else passed).append(node)
        else:
            (given if node.rule is None else made).append(node)
    hit = [] if math.isfinite(case.graph.root.data) else case.hit
    others, names = len(given) + len(made) - 1, say.listed(each.name for each in passed)
    tail = "passed on" if passed else "passed by nobody"
    for k, node in enumerate(sorted([*given[:1], *made[:MOST]])):
        odd = [x for x in node.numbers if not math.isfinite(x)]
        facts = _numbered(case, node, node.data) | {
            "first": say("another" if k else "the first"), "x": repr((odd or [node.data])[0]),
            "tail": say(tail, n=len(passed), names=names, others=others, hit=say.in_parts([] if k else hit)),
        }  # fmt: skip
        entered, arose = "given", f"{facts['what']} made"
        if odd:
            entered, arose = "given to an operation", "nan from infinity"
        operands = zip(node.operand_names, node.numbers, strict=True)
        numbers, key = [(node.name, node.data), *operands], entered if node in given else arose
        yield case.found("not finite", key, node, hit, numbers, **facts)
    for node in swallowing[:MOST]:
        facts = _numbered(case, node, *node.numbers) | {"x": node.data}
        yield case.found("not finite", "swallowed", node, (), [(node.name, node.data)], **facts)


def _numbered(case: Case, node: Node, *numbers: float) -> dict[str, Any]:
    """What of the numbers is not finite; the operands with theirs, first those that are not finite."""
    named = zip(node.operand_names, node.operands, node.numbers, strict=True)
    told = {name if isinstance(each, float) else f"{name} = {x:.5g}": x for name, each, x in named}
    at = case.words.listed(sorted(told, key=lambda text: math.isfinite(told[text])))
    return {"what": "nan" if any(map(math.isnan, numbers)) else "infinity", "at": at, "name": node.name}


def not_finite_gradients(case: Case) -> Told:
    """Who made the first gradient that is not finite in the backward pass.

    Where the loss itself is not finite, slopes of operations on such numbers only follow from them.
    """
    producers: list[Contribution | Node] = []
    passed, finite = 0, math.isfinite(case.graph.root.data)
    for node in reversed(case.graph.nodes):
        step, above = case.trace.step_of(node.position), case.upstream[node.position]
        bad: list[Any] = [node]
        if math.isfinite(above):
            bad = [got for got in (step.contributions if step else ()) if not math.isfinite(got.amount)]
            made = finite or all(map(math.isfinite, node.numbers))
        else:  # finite contributions, or infinities of both signs, may have made it
            amounts = [got.amount for got in case.received[node.position]]
            infinite = any(map(math.isinf, amounts)) and not math.isnan(above)
            made = not infinite and not any(map(math.isnan, amounts))
        producers += bad[::-1] if made else []
        passed += 0 if made else len(bad)
    for each in producers[:MOST]:
        yield _made(case, each, passed, case.words("the first" if each is producers[0] else "another"))


def _made(case: Case, made: Contribution | Node, passed: int, first: str) -> Finding:
    say, nodes = case.words, case.graph.nodes
    names = say.in_parts(case.hit) or say("none")
    facts: dict[str, Any] = {"first": first, "tail": say("come from there", n=passed, names=names)}
    if isinstance(made, Node):
        above, count = case.upstream[made.position], len(case.received[made.position])
        facts |= {"n": count, "name": made.name, "x": above}
        return case.found("not finite", "sum of gradients", made, case.hit, [("gradient", above)], **facts)
    node, operand, local, above = nodes[made.user], nodes[made.operand], made.local, case.upstream[made.user]
    facts |= {
        "name": node.name, "at": f"{operand.name} = {operand.data:.5g}", "local": local,
        "what": "infinity" if math.isinf(local) else "nan",
        "slope": "infinite slope" if math.isinf(local) else "slope nan",
        "sums": f"{above:.5g} · {local:.5g} = {made.amount:.5g}",
    }  # fmt: skip
    key = "overflow" if math.isfinite(local) else "infinite slope"
    if above == 0.0:
        key = "not used"
        # What has made it 0, although it computes with the value, or chose another.
        for got in [got for got in case.path(node.position) if got.local == 0.0][:1]:
            flat, facts["user"] = nodes[got.user].rule, say.spoken(nodes[got.user])
            if flat and flat.name not in CHOOSING and nodes[got.operand].data == 0.0:
                key = "flat on steep"
    numbers = [("upstream", above), ("local", local), (operand.name, operand.data)]
    return case.found("not finite", key, node, case.hit, numbers, **facts)


# --------------------------------------------------------------------------------- changes and rules
def changed(case: Case) -> Told:
    """Numbers and local derivatives that were changed after use; parameters that have moved are a remark."""
    say, graph = case.words, case.graph
    broken, uses = {each.node.position for each in case.changes}, graph.uses()
    # Where no operation holds that reads a parameter, it was given other numbers more than once since, and
    # nobody knows what it was; where only some do not, it was changed between its uses.
    again = {at for at in graph._before() if uses[at] and all(user in broken for user, _ in uses[at])}
    changes = [each for each in case.changes if again.isdisjoint(each.node.operands)]
    for first in changes[:1]:
        numbers, facts = [("recorded", first.node.data), ("now", first.now)], {"n": len(changes) - 1}
        yield case.found("changed", "changed after use", first.node, (), numbers, text=first.text, **facts)
    moved = [(graph.nodes[each], case.given.nodes[each].data) for each in sorted(case.trace.moved)]
    if moved:
        told = (say("moved one", name=was.name, was=was.data, now=now) for was, now in moved)
        yield Remark(say("moved", told=say.listed(told)))
    if again:
        yield Remark(say("moved again", names=say.listed(graph.names[each] for each in sorted(again))))


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
    size = {"values": len(case.graph), "parameters": len(case.parameters), "m": len(chosen), "n": total}
    yield say("graph", some=some * (some < total), **size)
    for rule, nodes in chosen.items():
        found = ((node, place, each) for node in nodes for place, each in verdicts(node, numbers).items())
        wrong = [(node, place, each.measured) for node, place, each in found if "WRONG" in each.word]
        for node, place, right in wrong[:1]:
            stated = node.local_derivatives[place] or 0.0
            ratio = say("ratio", x=stated / right) if right else say("is 0")
            others = dict.fromkeys(each.name for each, _, _ in wrong if each is not node)
            yield case.found(
                "rule", "wrong rule", node, (), [("recorded", stated), ("measured", right)], rule=rule.name,
                operand=node.operand_words[place], stated=stated, measured=right,
                ratio=say("sign") if stated == -right else ratio,
                again=say.listed(others),
            )  # fmt: skip


# --------------------------------------------------------------------------------------- unreached
def unreached(case: Case) -> Told:
    """One finding for all parameters that are missing for the same reason; or that there is none at all."""
    say, graph = case.words, case.graph
    leaves = [node for node in graph if node.rule is None]
    free = [node for node in leaves if not node.requires_grad]
    missing = [(name, x) for name, x in case.parameters if not isinstance(x, Node) or not x.requires_grad]
    listed = say.listed(node.where for node in free)
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
            reason = "detached", name, copy.where, site
        elif position is None and literal is not None:
            reason = "taken as .data", name, literal.where, literal.site
        elif position is None:
            reason = "disconnected", "", "", None
        alike[reason, each.data if reason[1] else 0.0].append((name, position))
    for ((key, _, at, site), x), held in alike.items():
        names = [name for name, _ in held]
        facts = {"who": say.in_parts(names), "at": at, "root": graph.root.name, "leaves": listed}
        made = case.found("unreached", key, names[0], names, (), site, x=x, n=len(free), **facts)
        yield made._replace(position=held[0][1])


# --------------------------------------------------------------------------------------- stale grad
def stale(case: Case) -> Told:
    """Whether the parameters hold several passes of this loss, or other losses' gradients as well."""
    say, nodes = case.words, case.given.nodes
    yield say("grad" if any(each.grad is not None for _, each in case.parameters) else "no grad")
    #: Of each gradient that is held its ratio to that of this loss, an int where it is one but for rounding.
    ratios: dict[int, float] = {}
    for _, position in case.asked:
        one, held = case.upstream[position], nodes[position].grad
        if not held or not (math.isfinite(one) and math.isfinite(held)):  # 0: it was set back
            continue
        ratio = held / one if one else math.inf
        count = round(ratio) if 1.5 < ratio < math.inf else 1
        terms = case.size[position] * (count == 1)
        ratios[position] = count if abs(held - count * one) <= 1e-9 * max(abs(held), terms) else ratio
    odd, kinds = [each for each in ratios if ratios[each] != 1], sorted({*ratios.values()})
    if not odd:
        return
    whole = all(isinstance(each, int) for each in kinds)
    added, some = whole and len(kinds) == 1, whole and 1 in kinds
    clipped = kinds[0] > 0.0 and kinds[-1] < 1.0 and math.isclose(kinds[0], kinds[-1], rel_tol=1e-9)
    if added or not (some or clipped or case.graph.root.grad is None):
        names, one, held = [nodes[each].name for each in odd], case.upstream[odd[0]], nodes[odd[0]].grad
        yield case.found(
            "stale gradient", "accumulated" if added else "stale", case.graph.nodes[odd[0]], names,
            [("grad", held or 0.0), ("this loss", one)], name=names[0], held=held, one=one, n=kinds[0],
            others=say.listed(names[1:]),
        )  # fmt: skip


# ------------------------------------------------------------------------------------ one operation
def rectified(node: Node) -> int:
    """The place of the operand that a node rectifies, as relu or as ``maximum(0, x)``; else -1."""
    literals = [each for each in node.operands if isinstance(each, float)]
    alone = node.operation in ("relu", "maximum") and len(node.read) == 1 and literals in ([], [0.0])
    return node.edges[0][0] if alone else -1


def squares(node: Node) -> bool:
    """Whether it is a power of a value, or a value times itself."""
    itself = len(node.read) == 2 == 1 + len({*node.read})
    return node.operation == "pow" or (node.operation == "mul" and itself)


class Use:
    """A use of a value in an operation whose local derivative is to blame: what its causes ask, and say."""

    def __init__(self, case: Case, node: Node, place: int) -> None:
        self.case, self.node, self.place, self.rule = case, node, place, node.operation
        names, self.data = node.operand_names, node.numbers
        self.x, half = self.data[place], (len(names) - 1) // 2
        #: Where the factor stands that the operand is multiplied by.
        self.partner = 1 - place if self.rule == "mul" else None
        if self.rule == "dot" and place < 2 * half:
            self.partner = (place + half) % (2 * half)
        other = place if self.partner is None else self.partner
        self.dead = rectified(node) == place and self.x < 0.0
        literal = not isinstance(node.operands[other], int)
        say, rule, high = case.words, "relu" if self.dead else self.rule, (*self.data, 0.0, 0.0)
        self.steps, start = self._grown(node.operands[other])
        self.facts: dict[str, Any] = {
            "rule": rule, "what": say("maximum") if rule != self.rule else rule, "node": node.name,
            "name": names[place], "at": f"{names[place]} = {self.x:.5g}", "base": names[0], "a": high[0],
            "b": 2.0 if self.rule == "mul" else high[1], "high": high[2],
            "divisor": f"{(*names, '')[1]} = {high[1]:.5g}",
            "zero": say("number 0") if literal else f"{names[other]} = 0",
            "by": f"{self.data[other]:.5g}" if literal else f"{names[other]} = {self.data[other]:.5g}",
            "how": self._zero(node.operands[other]),
            "grown": say("grown", start=start, n=self.steps) if self.steps else "",
        }  # fmt: skip

    def _grown(self, operand: float) -> tuple[int, str]:
        """Over how many operations a number has grown, and from what: the largest operand each time."""
        if not isinstance(operand, int):
            return 0, ""
        steps, node = 0, self.case.graph.nodes[operand]
        while node.rule is not None:
            inner = map(self.case.graph.nodes.__getitem__, node.read)
            node, steps = max(inner, key=lambda each: abs(each.data)), steps + 1
        return steps, f"{node.name} = {node.data:.5g}"

    def _zero(self, operand: float) -> str:
        """How an operand came to be 0, to be added to a sentence; nothing where it is not, or a literal."""
        case, node = self.case, self.case.graph.nodes[operand] if isinstance(operand, int) else None
        if node is None or node.data != 0.0:
            return ""
        while node.rule is not None:
            data = terms = node.numbers
            if node.operation == "dot":
                weights, inputs, bias = node.rule.split(data)
                terms = [bias, *(w * x for w, x in zip(weights, inputs, strict=True))]
            pairs = [*zip(node.operand_names, node.operands, data, strict=True)]
            zero = [case.graph.nodes[each] for _, each, x in pairs if isinstance(each, int) and not x]
            if not zero or (node.operation in ADDING and any(terms)):
                at = dict.fromkeys(f"{name} = {x:.5g}" for name, each, x in pairs if isinstance(each, int))
                told = f"{node.name} = {case.graph.formula(node)}"
                return case.words("is 0 where", told=told, at=case.words.listed(at))
            node = next((each for each in zero if each.rule is not None), zero[0])
        return case.words("given as 0", name=node.name)

    def blamed(
        self, kind: str, causes: Causes, parameters: Sequence[str], numbers: Iterable[tuple[str, float]],
        cause: str = "", **facts: Any,
    ) -> Finding:  # fmt: skip
        """The finding that it is to blame for gradients of that kind."""
        case, operand = self.case, self.case.graph.nodes[int(self.node.operands[self.place])]
        key = cause or next(key for key, holds in causes if holds(self))
        numbers = [*numbers, (operand.name, operand.data)] if causes is ZERO else numbers
        facts |= {"op": case.words.spoken(self.node), "names": case.words.in_parts(parameters)}
        told = {**facts, **self.facts, "operand": operand.name}
        made = case.found(kind, key, self.node, parameters, numbers, operand.site, **told)
        return made._replace(what=case.words(kind, **facts, why=made.what))


#: Why a local derivative is 0, or all but 0, and why it is large: the first cause that holds of its use.
Causes = tuple[tuple[str, Callable[[Use], bool]], ...]
ZERO: Causes = (
    ("dead", lambda use: use.dead),
    ("not chosen", lambda use: use.rule in CHOOSING),
    ("corner", lambda use: use.x == 0.0 and bool(use.node.rule and use.node.rule.kink)),
    ("saturated", lambda use: use.rule in FLAT and not (use.rule in ("silu", "gelu") and abs(use.x) < 5.0)),
    ("flat power", lambda use: squares(use.node) and use.x == 0.0 and use.facts["b"] > 1.0),  # e**2, and e*e
    ("multiplied by 0", lambda use: use.partner is not None),
    ("clipped", lambda use: use.rule == "clip"),
    ("saturated softmax", lambda use: use.rule in ("logsumexp", "cross_entropy")),
    ("flat operation", lambda _: True),
)
HUGE: Causes = (
    ("division by a small number", lambda use: use.rule == "div" and abs(use.data[1]) < 1.0),
    ("near its edge", lambda use: use.rule in EDGED or (use.rule == "pow" and abs(use.x) < 1.0)),
    ("growth of exp", lambda use: use.rule in ("exp", "expm1", "sinh", "cosh")),
    ("power of a large number", lambda use: use.rule == "pow" and use.place == 0),
    ("grown factor", lambda use: use.partner is not None and use.steps >= DEEP),
    ("multiplied by a large number", lambda use: use.partner is not None),
    ("steep operation", lambda _: True),
)


# --------------------------------------------------------------------------------------------- zero
class Origin(NamedTuple):
    """Where a gradient became zero: in one operand of an operation, or in the sum at a node."""

    #: ``blocked`` by a derivative of 0, ``underflow``, or ``cancelled``.
    how: str
    rule: str
    #: The unit, alike in each of its calls; else the position of the node.
    where: str | int

#: Of each origin the (node, place) where it shows.
Places = dict[Origin, list[tuple[int, int]]]
#: What a relu does that is off.
_OFF = {("blocked", "relu"), ("blocked", "maximum")}


def zeros(case: Case) -> Told:
    """Why parameters have the gradient 0, or one of which cancellation has left no digit: by origin.

    Some weights of a healthy relu net see only 0. So of a module only parts without any gradient count, and
    of an array only what is 0 for one reason, unless but some of them are asked for.
    """
    origins, places = _origins(case)
    asked = {position for _, position in case.asked}
    leaves = (node for node in case.graph if node.rule is None and node.requires_grad)
    partly = {_family(node.name) for node in leaves if node.position not in asked}
    parts: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, position in case.asked:
        parts[name if _family(name) in partly else part_of(name)].append((name, position))
    affected: dict[Origin, list[str]] = defaultdict(list)
    together: dict[Origin, dict[Origin, None]] = defaultdict(dict)
    for part, held in parts.items():
        own = dict.fromkeys(origin for _, position in held for origin in origins.get(position, ()))
        reasons = {each[:2] for each in own}
        array = "[" in held[0][0] and _family(held[0][0]) not in partly
        off = (part in case.alive and reasons <= _OFF) or (array and len(reasons) > 1)
        if not own or off or any(position not in origins for _, position in held):
            continue
        key = max(own, key=lambda origin: len(places[origin]))
        if isinstance(key.where, int) and key.how != "cancelled":  # one sample after another is one finding
            key = key._replace(where="")
        affected[key] += [name for name, _ in held]
        together[key] |= own
    for origin in places:  # sums of which only rounding is left: the gradients below are not exactly 0
        name = case.graph.names[int(origin.where)] if origin.how == "cancelled" else ""
        if name and case.upstream[int(origin.where)] and (part_of(name) == name or name in parts):
            affected.setdefault(origin, [name])
            together.setdefault(origin, {origin: None})
    found = (_zero(case, key, together[key], places, names) for key, names in affected.items())
    yield from case.words.collapsed(found)


def _family(name: str) -> str:
    """The part of a module, or the array, to which a parameter belongs."""
    return part_of(name).partition("[")[0]


def _origins(case: Case) -> tuple[dict[int, dict[Origin, None]], Places]:
    """The origins of each node's zero; and for each origin where it shows."""
    origins: dict[int, dict[Origin, None]] = {}
    places: Places = {}
    between = dependents(case.graph, [position for _, position in case.asked]).tolist()
    for got in (got for step in case.trace.steps for got in step.contributions):
        total, size = case.upstream[got.operand], case.size[got.operand]
        lost = total == 0.0 or (size < math.inf and abs(total) <= EPS * size)
        own = origins.setdefault(got.operand, {}) if lost and between[got.operand] else None
        if own is None or len(own) >= ORIGINS:
            continue
        if size == 0.0 == case.upstream[got.user]:
            own |= origins[got.user]
            continue
        node, place, inner = case.graph.nodes[got.user], got.place, case.graph.nodes[got.operand]
        base = squares(node) and (place == 0 or len({*node.operands}) == 1)
        # The square of a relu that gives 0 is flat, but the relu lets nothing through either.
        if base and rectified(inner) >= 0 and inner.data == 0.0:
            node, place = inner, rectified(inner)
        origin = Origin("underflow" if got.local else "blocked", node.operation, node.unit or node.position)
        if size:  # there are contributions, and they cancel
            origin, places[origin] = Origin("cancelled", "", got.operand), []
            node, place = inner, -1
        places.setdefault(origin, []).append((node.position, place))
        own[origin] = None
    return origins, places


def _zero(
    case: Case, key: Origin, together: Iterable[Origin], places: Places, names: Sequence[str]
) -> Finding:
    """The finding on all parameters for which one origin stands first."""
    say, nodes = case.words, case.graph.nodes
    same = [each for each in together if each[:2] == key[:2]]
    first = max(same, key=lambda origin: len(places[origin]))
    position, place = places[first][0]
    above = case.upstream[position]
    if first.how == "cancelled":
        terms = sorted((got.amount for got in reversed(case.received[position])), key=abs, reverse=True)
        exact = math.fsum(terms)
        shown = " ".join(f"{'+' if each >= 0 else '-'} {abs(each):.5g}" for each in terms[:4])
        facts: dict[str, Any] = {"n": len(terms), "shown": shown.removeprefix("+ ") + " …" * (len(terms) > 4)}
        sums = [("gradient", above), ("size of the contributions", case.size[position]), ("exact sum", exact)]
        cause, facts = "rounding" if exact or above else "cancelled", facts | {"total": above, "exact": exact}
        return case.found("zero gradient", cause, nodes[position], names, sums, **facts)
    # The relu of a neuron and the relu of a loss are not alike.
    alike_ones = {each for each in same if isinstance(each.where, int) == isinstance(first.where, int)}
    alike = len({at for origin in alike_ones for at, _ in places[origin]}) - 1
    others = [say.spoken(nodes[places[each][0][0]]) for each in together if each not in alike_ones]
    local, cause = nodes[position].local_derivatives[place] or 0.0, "underflow" * (first.how == "underflow")
    numbers, facts = [("upstream", above), ("local", local)], {"above": above, "local": local}
    facts |= {"alike": alike, "elsewhere": say.listed(others, 2)}
    return Use(case, nodes[position], place).blamed("zero gradient", ZERO, names, numbers, cause, **facts)


# ------------------------------------------------------------------------------------ tiny and huge
def sizes(case: Case) -> Told:
    """Why gradients are tiny, or at least ``case.huge``: one finding for each origin on the largest paths.

    That is a saturated unit, or an operation that makes up more than half of the size, whichever call of a
    unit it is; else depth, or very many paths.
    """
    sized = [(position, abs(case.upstream[position])) for _, position in case.asked]
    largest, ways = max((size for _, size in sized if size < math.inf), default=0.0), case.ways()
    grouped: dict[tuple[str, str, str], list[tuple[int, Way]]] = defaultdict(list)
    for position, size in sized:
        way = ways[position]
        if way is None or not 0.0 < size < math.inf:
            continue
        kind, got, depth = "tiny gradient", way.least, ""
        squashed = abs(got.local) < SLOPE and case.graph.nodes[got.user].operation in SQUASHING
        if size >= case.huge:
            kind, got, half = "huge gradient", way.most, 0.5 * math.log10(size)
            if math.log10(abs(got.local)) < half:
                depth = "many paths" if way.added >= half else "growth by depth"
        elif not squashed and size < max(SHRUNK * largest, NOTHING) and way.shrinking >= DEEP:
            depth = "shrunk by depth"
        elif not squashed:
            continue
        node = case.graph.nodes[got.user]
        where = "" if depth else f"{node.operation} {node.unit or node.position}"
        grouped[kind, depth, where].append((position, way))
    found = (_sized(case, kind, depth, several) for (kind, depth, _), several in grouped.items())
    yield from case.words.collapsed(found)


def _sized(case: Case, kind: str, depth: str, several: Sequence[tuple[int, Way]]) -> Finding:
    say, names, is_huge = case.words, [case.graph.names[each] for each, _ in several], kind == "huge gradient"
    position, way = (max if is_huge else min)(several, key=lambda each: abs(case.upstream[each[0]]))
    gradient, node, path = case.upstream[position], case.graph.nodes[position], [*case.path(position)]
    factors = sorted(path, key=lambda got: -abs(got.local))[:3]
    got = factors[0] if is_huge else way.least
    told = ", ".join(say("factor", x=each.local, node=case.graph.names[each.user]) for each in factors)
    facts: dict[str, Any] = {"gradient": gradient, "local": got.local, "name": node.name}
    facts["tail"] = say("huge tail", **facts, largest=told, names=say.in_parts(names))
    numbers = [("gradient", gradient), ("largest factor" if is_huge else "local", got.local)]
    if not depth:
        use = Use(case, case.graph.nodes[got.user], got.place)
        return use.blamed(kind, HUGE if is_huge else ZERO, names, numbers, **facts)
    grows = [math.log(abs(each.local)) for each in path if abs(each.local) > 1.2]
    mean = math.exp(sum(grows) / max(1, len(grows))) if is_huge else abs(gradient) ** (1.0 / way.steps)
    numbers += [("steps", float(way.steps)), ("per step", mean)]
    facts |= {"n": len(grows) if is_huge else way.shrinking, "by": 10.0 ** min(way.added, 308.0)}
    return case.found(kind, depth, node, names, numbers, steps=way.steps, mean=mean, **facts)


# ----------------------------------------------------------------------------------- layer by layer
def _by_layer(case: Case) -> dict[str, list[int]]:
    """The parameters of each layer, the layer that is used first first; an array is a layer, too."""
    found: dict[str, list[int]] = defaultdict(list)
    for name, position in case.asked:
        array, bracket, _ = name.partition("[")
        path = case.graph.paths[position]
        if layer := text_of(layer_path(path)) if path else array if bracket else "":
            found[layer].append(position)
    uses = {name: [got.user for each in held for got in case.received[each]] for name, held in found.items()}
    return {name: found[name] for name in sorted(found, key=lambda name: min(uses[name]))}


def _row(name: str, gradients: Sequence[float]) -> LayerRow:
    root = math.sqrt(len(gradients))
    rms = math.hypot(*gradients) / root
    if math.isinf(rms):  # where they are huge; tiny ones must not be divided first
        rms = math.hypot(*(each / root for each in gradients))
    return LayerRow(name, len(gradients), rms)


def layers(case: Case) -> Told:
    """The gradients of each layer; what vanishes or explodes from layer to layer, or from call to call."""
    by_layer = _by_layer(case)
    own = [_row(name, [case.upstream[each] for each in held]) for name, held in by_layer.items()]
    yield from own
    if len(own) > 1:
        course = case.words.listed((f"{row.name} {row.rms:.5g}" for row in own), 6)
        yield case.words("layer gradients", course=course)
    calls = [(case.words("call of", unit=unit), rows) for unit, rows in _sequences(case).items()]
    for unit, rows in [(case.words("layer"), own), *calls]:
        shown = [row for row in rows if 0.0 < row.rms < math.inf]
        exponent = math.log10(shown[0].rms) - math.log10(shown[-1].rms) if shown else 0.0
        if abs(exponent) < math.log10(FACTOR):
            continue
        first, last = shown[0], shown[-1]
        per = 10.0 ** max(-307.0, min(307.0, exponent / (len(shown) - 1)))
        ends = shown if len(shown) <= 6 else [*shown[:3], *shown[-3:]]
        yield case.found(
            "layers", "vanishing" if exponent < 0.0 else "exploding", first.name,
            [case.graph.names[each] for each in by_layer.get(first.name, ())],
            (("first", first.rms), ("last", last.rms), ("per step", per)),
            next((node.site for node in case.graph if node.site and node.group), None),
            last=last.name, first=first.name, was=last.rms, now=first.rms, per=per, what=unit,
            course=" → ".join(f"{row.name} {row.rms:.5g}" for row in ends),
        )  # fmt: skip


def _sequences(case: Case) -> dict[str, list[LayerRow]]:
    """Modules and groups that are called again on what they gave before: a row for each call."""
    calls: dict[Any, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    linked: dict[Any, set[int]] = defaultdict(set)
    nodes = case.graph.nodes
    for node in nodes:
        for depth, (name, call) in enumerate(node.group):
            key, before = (node.group[:depth], name), (*node.group[:depth], (name, call - 1))
            calls[key][call].append(case.upstream[node.position])
            if any(nodes[each].group[: depth + 1] == before for each in node.read):
                linked[key].add(call)
    found: dict[str, list[LayerRow]] = {}
    for key, several in calls.items():
        if len(several) > 2 and 2 * len(linked[key]) >= len(several):
            unit = ".".join([*(name for name, _ in key[0]), key[1]])
            named = [(f"{unit} (call {k + 1})" if k else unit, several[k]) for k in sorted(several)]
            found.setdefault(unit, [_row(*each) for each in named])  # of many samples, the first
    return found

#: What is looked for in any graph, the worst first.
DETECTORS: tuple[Callable[[Case], Told], ...] = (
    not_finite_data, not_finite_gradients, changed, wrong_rules, unreached,
)  # fmt: skip
#: ... and where the loss is finite: else there is no gradient to speak of.
OF_GRADIENTS: tuple[Callable[[Case], Told], ...] = (zeros, sizes, layers, stale)
