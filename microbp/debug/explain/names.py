"""``shortened``: a graph as it is read in formulas, with short names for what modules hold and compute.

``layers.0.neurons.2.w.1`` becomes ``w1[2,1]``. The weighted input of that neuron, which nobody named,
becomes ``z1[2]`` and its output ``h1[2]``. A name that the user gave stays. A sigmoid that is written out
becomes one operation, and so does a chain of additions.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from microbp.debug.explain.records import agree
from microbp.debug.explain.sentences import say
from microbp.debug.formulas import argument
from microbp.debug.words import Math
from microbp.graph import Graph, Node
from microbp.labels import text_of
from microbp.notation import latex_name, plain_name
from microbp.rules import RULES

_SHORT = re.compile(r"([wbzh])(\d+)\[[\d,]+\](#\d+)?")
_LAYER, _NEURON = re.compile(r"(?:.*\.)?layers\.(\d+)"), re.compile(r"neurons\.(\d+)")


class Short(NamedTuple):
    """The graph with its short names, and what they stand for."""

    graph: Graph
    #: The nodes that have one.
    made: Collection[int]
    #: The path of each layer that has a number.
    layers: dict[int, str]
    #: Whether a sigmoid that is written out lies on the way.
    sigmoid: bool

    def key(self, used: Iterable[int], language: str) -> list[Math]:
        """What the short names of the nodes used mean, and what σ means where the code does not say it."""
        signs = [say("sigmoid", language)] if self.sigmoid else []
        names = [self.graph.names[position] for position in used if position in self.made]
        found = [match.groups() for name in names if (match := _SHORT.fullmatch(name))]
        told: list[Math] = []
        for number in sorted({int(number) for _, number, _ in found} & self.layers.keys()):
            layer = Math(plain_name(self.layers[number]), latex_name(self.layers[number]))
            if told:
                told.append(say("key further", language, number=number, layer=layer))
                continue
            written = {kind: f"{kind}{number}[{'k,i' if kind == 'w' else 'k'}]" for kind in "wbzh"}
            filled = {kind: Math(name, latex_name(name)) for kind, name in written.items()}
            told.append(say("key", language, layer=layer, **filled))
        if not told and any(kind in "zh" for kind, _, _ in found):
            told.append(say("key plain", language))
        if told:
            told.append(say("key end", language))
            told += [say("key call", language)] if any(call for _, _, call in found) else []
            return [Math(*map("".join, zip(*told, strict=True))), *signs]
        return signs


def shortened(graph: Graph, between: Collection[int], target: int) -> Short:
    """Short names for a graph; ``between`` are the nodes between its root and ``target``, with both.

    An unnamed node between, whose derivative is written with its own value, counts as named by its
    index: ``1 − v17²`` is easier to read than with all of v17 written out twice.
    """
    nodes = [*graph.nodes]
    sigmoids = _joined(nodes, target)
    names: dict[int, str] = {}
    layers: dict[int, str] = {}
    for node in nodes:
        if node.rule is None and node.named:
            _parameter(node, names, layers)
    _computed(nodes, names)
    taken = {node.name for node in nodes}
    counts: Counter[str] = Counter()
    for position, name in names.items():
        below = nodes[position].operands[:1]
        fresh = name
        if name.startswith("h") and below and isinstance(below[0], int):
            alike = "h" + nodes[below[0]].name[1:]  # the output of z1[0]#2 is h1[0]#2
            fresh = alike if alike.partition("#")[0] == name else name
        while fresh in taken:
            counts[name] += 1
            fresh = f"{name}#{counts[name] + 1}"
        taken.add(fresh)
        nodes[position] = nodes[position]._replace(name=fresh, named=True)
    for position in between:
        if not nodes[position].named and _in_its_own_terms(nodes[position], nodes, between):
            nodes[position] = nodes[position]._replace(named=True)
    return Short(Graph.of(nodes), names.keys(), layers, bool(sigmoids & set(between)))


def _parameter(node: Node, names: dict[int, str], layers: dict[int, str]) -> None:
    if not node.name.partition("#")[0].endswith(text_of(node.path)):  # the user gave another name
        return
    first = len(node.path) - 1 - node.path[::-1].index("layers") if "layers" in node.path else 0
    match node.path[first:]:
        case ("layers", int(layer), "neurons", int(neuron), "w" | "b" as kind, *index):
            path = text_of(node.path[: first + 2])
            if layers.setdefault(layer + 1, path) == path:
                names[node.position] = _indexed(f"{kind}{layer + 1}", [neuron, *index])
        case (str(array), int(), *_) if all(isinstance(each, int) for each in node.path[1:]):
            names[node.position] = _indexed(array, node.path[1:])


def _indexed(name: str, index: Iterable[Any]) -> str:
    return f"{name}[{','.join(map(str, index))}]"


def _computed(nodes: Iterable[Node], names: dict[int, str]) -> None:
    """Weighted inputs and outputs: z and h, with the number of the layer and that of the neuron."""
    depths: list[int] = []
    groups: dict[tuple[tuple[str, int], ...], list[tuple[str, Node]]] = {}
    for node in nodes:
        below = max((depths[x] for x in node.operands if isinstance(x, int)), default=0)
        depths.append(below + (node.rule is not None and node.rule.name == "dot"))
        if node.rule is not None and node.group:
            groups.setdefault(node.group, []).append((node.rule.name, node))
    for group in sorted(groups, key=lambda path: [number for _, number in path]):
        inside, rules = groups[group], {rule for rule, _ in groups[group]}
        layer = next((found for name, _ in reversed(group) if (found := _LAYER.fullmatch(name))), None)
        neuron = _NEURON.fullmatch(group[-1][0])
        wished: list[tuple[str, Node]] = []
        if neuron is not None and layer is not None:
            sums = [node for rule, node in inside if rule in ("dot", "sum", "add")] or [inside[0][1]]
            at = f"{int(layer[1]) + 1}[{neuron[1]}]"
            wished = [(f"z{at}", sums[0]), (f"h{at}", inside[-1][1])]
        elif depths[inside[0][1].position] and (rules == {"dot"} or (len(rules) == 1 and _unary(inside))):
            kind = "z" if rules == {"dot"} else "h"
            places = [_place(node, kind, names) or str(index) for index, (_, node) in enumerate(inside)]
            pairs = zip(places, (node for _, node in inside), strict=True)
            wished = [(f"{kind}{depths[node.position]}[{place}]", node) for place, node in pairs]
        for name, node in wished:
            if not node.named and node.position not in names:
                names[node.position] = name


def _unary(inside: Iterable[tuple[str, Node]]) -> bool:
    return all(len(node.operands) == 1 for _, node in inside)


def _place(node: Node, kind: str, names: dict[int, str]) -> str | None:
    """The number of the neuron: the column of its weights, or that of its weighted input."""
    known = [names[x] for x in node.operands if isinstance(x, int) and x in names]
    if kind == "h":
        return known[0].partition("[")[2].partition("]")[0] if known else None
    columns = {found[1] for each in known if (found := re.search(r"\[\d+,(\d+)\]", each))}
    return columns.pop() if len(columns) == 1 else None


def _in_its_own_terms(node: Node, nodes: list[Node], between: Collection[int]) -> bool:
    """Whether the derivative of an unnamed node repeats what the node is computed from, at length."""
    rule = node.rule
    if rule is None or rule.over:
        return False
    places = [place for place, x in enumerate(node.operands) if isinstance(x, int) and x in between]
    own = any("y" in rule.shown[argument(node, place)[0]].names for place in places)
    inner = [nodes[x] for x in node.operands if isinstance(x, int)]
    return own and any(not each.named and each.rule is not None for each in inner)


# ------------------------------------------------------------------- operations that are read as one
#: A sigmoid: the operations from the quotient down, each with the literals among its operands.
CHAIN: tuple[tuple[str, list[float]], ...] = (("div", [1.0]), ("add", [1.0]), ("exp", []), ("neg", []))


def _joined(nodes: list[Node], kept: int) -> set[int]:
    """Read each 1/(1 + exp(−z)) as σ(z), and additions of additions as one sum; ``kept`` stays.

    What is no longer needed becomes a leaf. Returns where the sigmoids are.
    """
    uses = Counter(x for node in nodes for x in node.operands if isinstance(x, int))
    inner = {node.position for node in nodes if uses[node.position] == 1 and not node.named} - {kept}
    sigmoids = set()
    for position, node in enumerate(nodes):
        chain = _logistic(nodes, node, inner)
        derivative = math.prod(local for _, local in chain)
        if chain and agree(node.data * (1.0 - node.data), derivative, abs(derivative)):
            below = chain[-1][0]
            changes = {"rule": RULES["sigmoid"], "operands": (below,), "local_derivatives": (derivative,)}
            _instead(nodes, position, changes, [at for at, _ in chain[:-1]])
            sigmoids.add(position)
    for position in reversed(range(len(nodes))):
        operands: list[int | float] = []
        passed, pending = [], [*reversed(nodes[position].operands)] if _adds(nodes[position]) else []
        while pending:
            x = pending.pop()
            if isinstance(x, int) and x in inner and _adds(nodes[x]):
                passed.append(x)
                pending += reversed(nodes[x].operands)
            elif isinstance(x, int) or x != 0.0:
                operands.append(x)
        if passed:
            local = tuple(1.0 if isinstance(x, int) else None for x in operands)
            changes = {"rule": RULES["sum"], "operands": tuple(operands), "local_derivatives": local}
            _instead(nodes, position, changes, passed)
    return sigmoids


def _instead(nodes: list[Node], position: int, changes: dict[str, Any], passed: Iterable[int]) -> None:
    """One operation in place of several."""
    nodes[position] = nodes[position]._replace(**changes)
    for each in passed:
        nodes[each] = nodes[each]._replace(rule=None, operands=(), local_derivatives=())


def _adds(node: Node) -> bool:
    """Whether a node is a sum, and passes on what it receives."""
    named = node.rule is not None and node.rule.name in ("add", "sum")
    return named and {*node.local_derivatives} <= {1.0, None}


def _logistic(nodes: list[Node], node: Node, inner: set[int]) -> list[tuple[int, float]]:
    """What stands below each node of a sigmoid that is written out, with the derivative by it."""
    chain: list[tuple[int, float]] = []
    for rule, literals in CHAIN:
        here = nodes[chain[-1][0]] if chain else node
        below = [*zip(here.operands, here.local_derivatives, strict=True)]
        found = [(x, local) for x, local in below if isinstance(x, int) and local is not None]
        known = [x for x, _ in below if isinstance(x, float)] == literals and len(found) == 1
        wrong = here.rule is None or here.rule.name != rule or (rule == "div" and found == below[:1])
        if wrong or not known or (chain and here.position not in inner):
            return []
        chain += found
    return chain
