"""``shortened``: a graph as it is read in formulas, with short names for what modules hold and compute.

``layers.0.neurons.2.w.1`` becomes ``w1[2,1]``. The weighted input of that neuron, which nobody named,
becomes ``z1[2]`` and its output ``h1[2]``. A name that the user gave stays. A sigmoid that is written out
becomes one operation, and so does a chain of additions.
"""

from __future__ import annotations

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

__all__ = ["Short", "shortened"]

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
        first, *more = sorted({int(number) for _, number, _ in found} & self.layers.keys()) or [0]
        told = []
        if first:
            filled = {kind: _pattern(kind, first) for kind in "wbzh"}
            told = [say("key", language, layer=self._path(first), **filled)]
            told += [say("key further", language, number=each, layer=self._path(each)) for each in more]
        elif any(kind in "zh" for kind, _, _ in found):
            told = [say("key plain", language)]
        if not told:
            return signs
        told += [say("key end", language)]
        told += [say("key call", language)] if any(call for _, _, call in found) else []
        return [Math(*map("".join, zip(*told, strict=True))), *signs]

    def _path(self, layer: int) -> Math:
        return Math(plain_name(self.layers[layer]), latex_name(self.layers[layer]))


def _pattern(kind: str, layer: int) -> Math:
    name = f"{kind}{layer}[{'k,i' if kind == 'w' else 'k'}]"
    return Math(name, latex_name(name))


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
    groups: dict[tuple[tuple[str, int], ...], list[Node]] = {}
    for node in nodes:
        below = max((depths[x] for x in node.operands if isinstance(x, int)), default=0)
        depths.append(below + (node.rule is not None and node.rule.name == "dot"))
        if node.rule is not None and node.group:
            groups.setdefault(node.group, []).append(node)
    for group in sorted(groups, key=lambda path: [number for _, number in path]):
        inside = groups[group]
        rules = [node.rule.name for node in inside if node.rule is not None]
        layer = next((found for name, _ in reversed(group) if (found := _LAYER.fullmatch(name))), None)
        neuron = _NEURON.fullmatch(group[-1][0])
        if neuron is not None and layer is not None:
            sums = [node for node, rule in zip(inside, rules, strict=True) if rule in ("dot", "sum", "add")]
            for kind, each in (("z", (sums or inside)[0]), ("h", inside[-1])):
                if not each.named and each.position not in names:
                    names[each.position] = f"{kind}{int(layer[1]) + 1}[{neuron[1]}]"
            continue
        unary = all(len(node.operands) == 1 for node in inside)
        kind = "z" if {*rules} == {"dot"} else "h" if unary and len({*rules}) == 1 else ""
        for index, each in enumerate(inside if kind and depths[inside[0].position] else ()):
            if not each.named:
                place = _place(each, kind, names) or str(index)
                names[each.position] = f"{kind}{depths[each.position]}[{place}]"


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
    return own and any(
        isinstance(x, int) and not nodes[x].named and nodes[x].rule is not None for x in node.operands
    )


# ------------------------------------------------------------------- operations that are read as one
#: A sigmoid: the operations from the quotient down, each with the number beside its operand.
CHAIN: tuple[tuple[str, list[float]], ...] = (("div", [1.0]), ("add", [1.0]), ("exp", []), ("neg", []))


def _joined(nodes: list[Node], kept: int) -> set[int]:
    """Read each 1/(1 + exp(−z)) as σ(z), and additions of additions as one sum; ``kept`` stays.

    What is no longer needed becomes a leaf. Returns where the sigmoids are.

    >>> from microbp import Graph, Value, exp
    >>> z = Value(0.0, name="z")
    >>> nodes = [*Graph(1.0 / (1.0 + exp(-z)) + z + z, {}).nodes]
    >>> _joined(nodes, 0), nodes[4].rule.name, nodes[-1].rule.name, nodes[-1].operands
    ({4}, 'sigmoid', 'sum', (4, 0, 0))
    """
    uses = Counter(x for node in nodes for x in node.operands if isinstance(x, int))
    inner = {node.position for node in nodes if uses[node.position] == 1 and not node.named} - {kept}
    sigmoids = set()
    for position, node in enumerate(nodes):
        if (found := _logistic(nodes, node, inner)) is not None:
            below, passed, derivative = found
            made = node._replace(rule=RULES["sigmoid"], operands=(below,), local_derivatives=(derivative,))
            _instead(nodes, made, passed)
            sigmoids.add(position)
    for node in reversed(nodes):
        operands: list[int | float] = []
        passed, pending = [], [*reversed(node.operands)] if _adds(nodes[node.position]) else []
        while pending:
            x = pending.pop()
            if isinstance(x, int) and x in inner and _adds(nodes[x]):
                passed.append(x)
                pending += reversed(nodes[x].operands)
            elif isinstance(x, int) or x != 0.0:
                operands.append(x)
        if passed:
            local = tuple(1.0 if isinstance(x, int) else None for x in operands)
            total = node._replace(rule=RULES["sum"], operands=tuple(operands), local_derivatives=local)
            _instead(nodes, total, passed)
    return sigmoids


def _instead(nodes: list[Node], made: Node, passed: Iterable[int]) -> None:
    """One operation in place of several."""
    nodes[made.position] = made
    for each in passed:
        nodes[each] = nodes[each]._replace(rule=None, operands=(), local_derivatives=())


def _adds(node: Node) -> bool:
    """Whether a node is a sum, and passes on what it receives."""
    named = node.rule is not None and node.rule.name in ("add", "sum")
    return named and {*node.local_derivatives} <= {1.0, None}


def _logistic(nodes: list[Node], node: Node, inner: set[int]) -> tuple[int, list[int], float] | None:
    """Of a sigmoid that is written out its operand, the nodes inside, and the derivative; None of others."""
    derivative, passed, here = 1.0, list[int](), node
    for rule, literals in CHAIN:
        if here.rule is None or here.rule.name != rule or (here is not node and here.position not in inner):
            return None
        if [x for x in here.operands if isinstance(x, float)] != literals:
            return None
        if rule == "div" and isinstance(here.operands[0], int):
            return None
        pairs = zip(here.operands, here.local_derivatives, strict=True)
        [(below, local)] = [(x, local) for x, local in pairs if isinstance(x, int)]
        if local is None:
            return None
        passed += [here.position]
        here, derivative = nodes[below], derivative * local
    agrees = agree(node.data * (1.0 - node.data), derivative, abs(derivative))
    return (here.position, passed[1:], derivative) if agrees else None
