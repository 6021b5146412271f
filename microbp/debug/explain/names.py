"""``shortened``: a graph as it is read in formulas, with short names for what modules hold and compute.

``layers.0.neurons.2.w.1`` becomes ``w1[2,1]``. The weighted input of that neuron, which nobody named,
becomes ``z1[2]`` and its output ``h1[2]``. A name that the user gave stays. A sigmoid that is written out
becomes one operation, and so does a chain of additions.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from microbp.debug.explain.explanation import agree, say
from microbp.debug.formulas import Math, argument, joined
from microbp.graph import Graph, Node
from microbp.labels import text_of
from microbp.notation import latex_name, plain_name
from microbp.rules import RULES

_LAYER, _NEURON = re.compile(r"(?:.*\.)?layers\.(\d+)"), re.compile(r"neurons\.(\d+)")


class Name(NamedTuple):
    """``w1[2,0]``: a kind (w, b, z, h, or an array), the number of a layer, 0 for none, and an index."""

    kind: str
    layer: int
    places: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.kind}{self.layer or ''}[{','.join(map(str, self.places))}]"


class Short(NamedTuple):
    """The graph with its short names, and what they stand for."""

    graph: Graph
    names: dict[int, Name]
    #: The path of each layer that has a number.
    layers: dict[int, str]
    #: Whether a sigmoid that is written out lies on the way.
    sigmoid: bool

    def key(self, used: Iterable[int], language: str) -> list[Math]:
        """What the short names of the nodes used mean, and what σ means where the code does not say it."""
        used = self.names.keys() & used
        told: list[Math] = []
        for number in sorted({self.names[each].layer for each in used} & self.layers.keys()):
            layer = Math(plain_name(self.layers[number]), latex_name(self.layers[number]))
            written = {kind: str(Name(kind, number, ("k", "i")[: 1 + (kind == "w")])) for kind in "wbzh"}
            filled = {kind: Math(name, latex_name(name)) for kind, name in written.items()}
            told.append(say(language, "key further" if told else "key", number=number, layer=layer, **filled))
        if not told and any(self.names[each].kind in "zh" for each in used):
            told.append(say(language, "key plain"))
        if told:
            called = any("#" in self.graph.names[each] for each in used if self.names[each].layer)
            told += [say(language, key) for key in ("key end", "key call")[: 1 + called]]
        signs = [say(language, "sigmoid")] if self.sigmoid else []
        return [joined(told, "", ""), *signs] if told else signs


def shortened(graph: Graph, between: Collection[int], target: int) -> Short:
    """Short names for a graph; ``between`` are the nodes between its root and ``target``, with both.

    An unnamed node between, whose derivative is written with its own value, counts as named by its
    index: ``1 − v17²`` is easier to read than with all of v17 written out twice.
    """
    nodes = [*graph.nodes]
    sigmoids = _joined(nodes, target)
    layers: dict[int, str] = {}
    wished = {node.position: name for node in nodes for name in _parameter(node, layers)}
    for name, position in _computed(nodes, wished):
        wished.setdefault(position, name)
    names: dict[int, Name] = {}
    taken, calls = {node.name for node in nodes}, Counter[Name]()
    for position, name in wished.items():
        calls[name] += 1  # also of one that the user named, so that z1[0]#2 and h1[0]#2 go together
        if nodes[position].named and nodes[position].rule is not None:
            continue
        call = calls[name]
        while (fresh := f"{name}#{call}" if call > 1 else str(name)) in taken:
            call += 1
        taken.add(fresh)
        names[position] = name
        nodes[position] = nodes[position]._replace(name=fresh, named=True)
    for position in between:
        if not nodes[position].named and _in_its_own_terms(nodes[position], nodes, between):
            nodes[position] = nodes[position]._replace(named=True)
    return Short(Graph._of(nodes), names, layers, bool(sigmoids & set(between)))


def _parameter(node: Node, layers: dict[int, str]) -> Iterator[Name]:
    """The name of what a module, or an array, holds; not where the user gave another one."""
    path = node.path
    if node.rule is not None or not node.named or not node.name.partition("#")[0].endswith(text_of(path)):
        return
    first = len(path) - 1 - path[::-1].index("layers") if "layers" in path else 0
    match path[first:]:
        case ("layers", int(layer), "neurons", int(neuron), "w" | "b" as kind, *index):
            holder = text_of(path[: first + 2])
            if layers.setdefault(layer + 1, holder) == holder:
                yield Name(kind, layer + 1, (neuron, *index))
        case (str(array), int(), *_) if all(isinstance(each, int) for each in path[1:]):
            yield Name(array, 0, path[1:])


def _computed(nodes: Iterable[Node], names: dict[int, Name]) -> Iterator[tuple[Name, int]]:
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
        unary = len(rules) == 1 and all(len(node.operands) == 1 for _, node in inside)
        if neuron is not None and layer is not None:
            sums = [node for rule, node in inside if rule in ("dot", "sum", "add")] or [inside[0][1]]
            yield Name("z", int(layer[1]) + 1, (int(neuron[1]),)), sums[0].position
            yield Name("h", int(layer[1]) + 1, (int(neuron[1]),)), inside[-1][1].position
        elif depths[inside[0][1].position] and (rules == {"dot"} or unary):
            for index, (_, node) in enumerate(inside):  # the neuron is the column of its weights
                known = [names[x].places for x in node.operands if isinstance(x, int) and x in names]
                columns = {each[-1] for each in known if unary or len(each) == 2}
                place = columns.pop() if len(columns) == 1 else index
                name = Name("h" if unary else "z", depths[node.position], (place,))
                names.setdefault(node.position, name)
                yield name, node.position


def _in_its_own_terms(node: Node, nodes: list[Node], between: Collection[int]) -> bool:
    """Whether the derivative of an unnamed node repeats what the node is computed from, at length."""
    if node.rule is None or node.rule.over:
        return False
    places = [place for place, x in enumerate(node.operands) if isinstance(x, int) and x in between]
    own = any("y" in node.rule.shown[argument(node, place)[0]].names for place in places)
    inner = [nodes[x] for x in node.operands if isinstance(x, int)]
    return own and any(not each.named and each.rule is not None for each in inner)


# ------------------------------------------------------------------- operations that are read as one
#: A sigmoid: the operations from the quotient down, each with the literals among its operands.
CHAIN: tuple[tuple[str, list[float]], ...] = (("div", [1.0]), ("add", [1.0]), ("exp", []), ("neg", []))


def _joined(nodes: list[Node], kept: int) -> set[int]:
    """Read 1/(1 + exp(−z)) as σ(z), and additions of additions as one sum; where the sigmoids are."""
    uses = Counter(x for node in nodes for x in node.operands if isinstance(x, int))
    inner = {node.position for node in nodes if uses[node.position] == 1 and not node.named} - {kept}
    sigmoids = set()

    def instead(position: int, rule: str, operands: list[Any], local: list[Any], passed: list[int]) -> None:
        made = nodes[position]._replace(rule=RULES[rule], operands=tuple(operands))
        nodes[position] = made._replace(local_derivatives=tuple(local))
        for each in passed:
            nodes[each] = nodes[each]._replace(rule=None, operands=(), local_derivatives=())

    for position, node in enumerate(nodes):
        chain = _logistic(nodes, node, inner)
        derivative = math.prod(local for _, local in chain)
        if chain and agree(node.data * (1.0 - node.data), derivative, abs(derivative)):
            below = [x for x, _ in chain]
            instead(position, "sigmoid", below[-1:], [derivative], below[:-1])
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
            local = [1.0 if isinstance(x, int) else None for x in operands]
            instead(position, "sum", operands, local, passed)
    return sigmoids


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
