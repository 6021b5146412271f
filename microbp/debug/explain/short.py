"""``shortened``: a graph with short names for what modules hold and compute, to be read in formulas.

``layers.0.neurons.2.w.1`` becomes ``w1[2,1]``. The weighted input of that neuron, which nobody named,
becomes ``z1[2]`` and its output ``h1[2]``. A name that the user gave stays. A sigmoid that is written out
becomes one operation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from microbp.debug.explain.formulas import Math
from microbp.debug.explain.records import agree
from microbp.debug.explain.sentences import say
from microbp.debug.formulas import argument
from microbp.graph import Graph, Node
from microbp.labels import text_of
from microbp.notation import latex_name, plain_name
from microbp.rules import RULES

__all__ = ["Short", "shortened"]

_PARAMETER = re.compile(r"((?:.*\.)?layers\.(\d+))\.neurons\.(\d+)\.(?:(w)\.(\d+)|(b))(#\d+)?")
_ELEMENT = re.compile(r"([^\W\d]\w*)\.(\d+(?:\.\d+)*)(#\d+)?")
_LAYER, _NEURON = re.compile(r"(?:.*\.)?layers\.(\d+)"), re.compile(r"neurons\.(\d+)")
_WEIGHTED = ("dot", "sum", "add")


class Short:
    """The graph with its short names, and what they stand for."""

    def __init__(self, graph: Graph, layers: dict[int, str], sigmoids: Collection[int]) -> None:
        self.graph, self._layers, self._sigmoids = graph, layers, sigmoids

    def signs(self, language: str) -> list[Math]:
        """What σ means, where the code does not say it."""
        return [say("sigmoid", language)] if self._sigmoids else []

    def key(self, used: Iterable[str], language: str) -> list[Math]:
        """What the short names that stand in the texts ``used`` mean."""
        found = re.findall(r"(?<![\w.])([wbzh])(\d+)\[[\d,]+\](#\d+)?", "\n".join(used))
        first, *more = sorted({int(number) for _, number, _ in found} & self._layers.keys()) or [0]
        closed = [say("key call", language)] if any(call for _, _, call in found) else []
        if not first:
            plain = [say("key plain", language)] if any(kind in "zh" for kind, _, _ in found) else []
            return _sentence([*plain, say("key end", language), *closed]) if plain else []
        filled = {kind: _pattern(kind, first) for kind in "wbzh"}
        told = say("key", language, layer=self._path(first), **filled)
        for layer in more:
            further = say("key further", language, number=layer, layer=self._path(layer))
            told = Math(*(f"{before}{after}" for before, after in zip(told, further, strict=True)))
        return _sentence([told, say("key end", language), *closed])

    def _path(self, layer: int) -> Math:
        return Math(plain_name(self._layers[layer]), latex_name(self._layers[layer]))


def _sentence(parts: list[Math]) -> list[Math]:
    return [Math("".join(each.text for each in parts), "".join(each.latex for each in parts))]


def _pattern(kind: str, layer: int) -> Math:
    index = "k,i" if kind == "w" else "k"
    return Math(f"{kind}{layer}[{index}]", latex_name(f"{kind}{layer}[{index}]"))


def shortened(graph: Graph, between: Collection[int], target: int) -> Short:
    """Short names for a graph; ``between`` are the nodes between its root and ``target``, with both.

    A sigmoid that is written out becomes one operation.

    An unnamed node between, whose derivative is written with its own value, counts as named by its
    index: ``1 − v17²`` is easier to read than with all of v17 written out twice.
    """
    written_out = _logistic(graph.nodes, target)
    graph = Graph.of(tuple(written_out.get(node.position, node) for node in graph))
    names: dict[int, str] = {}
    layers: dict[int, str] = {}
    for node in graph:
        if node.rule is None and node.named:
            _parameter(node, names, layers)
    _computed(graph, names)
    taken = {node.name for node in graph}
    counts: Counter[str] = Counter()
    nodes = list(graph.nodes)
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
    return Short(Graph.of(tuple(nodes)), layers, written_out.keys() & set(between))


def _parameter(node: Node, names: dict[int, str], layers: dict[int, str]) -> None:
    text = text_of(node.path) or node.name
    if not node.name.partition("#")[0].endswith(text.partition("#")[0]):  # the user gave another name
        return
    if found := _PARAMETER.fullmatch(text):
        path, layer, neuron, w, index, _, again = found.groups()
        number = int(layer) + 1
        if layers.setdefault(number, path) == path:
            short = f"w{number}[{neuron},{index}]" if w else f"b{number}[{neuron}]"
            names[node.position] = short + (again or "")
    elif (found := _ELEMENT.fullmatch(text)) and found[1] != "layers":
        names[node.position] = f"{found[1]}[{found[2].replace('.', ',')}]"


def _computed(graph: Graph, names: dict[int, str]) -> None:
    """Weighted inputs and outputs: z and h, with the number of the layer and that of the neuron."""
    depths: list[int] = []
    layers_of: dict[tuple[tuple[str, int], ...], list[Node]] = {}
    for node in graph:
        below = max((depths[x] for x in node.operands if isinstance(x, int)), default=0)
        weighted = node.rule is not None and node.rule.name == "dot"
        depths.append(below + weighted)
        if node.rule is not None and node.group:
            layers_of.setdefault(node.group, []).append(node)
    for group in sorted(layers_of, key=lambda path: [number for _, number in path]):
        inside = layers_of[group]
        layer = next((found for name, _ in reversed(group) if (found := _LAYER.fullmatch(name))), None)
        neuron = _NEURON.fullmatch(group[-1][0])
        if neuron is not None and layer is not None:
            number = int(layer[1]) + 1
            sums = [node for node in inside if node.rule is not None and node.rule.name in _WEIGHTED]
            for kind, each in (("z", (sums or inside)[0]), ("h", inside[-1])):
                if not each.named and each.position not in names:
                    names[each.position] = f"{kind}{number}[{neuron[1]}]"
            continue
        rules = {node.rule.name for node in inside if node.rule is not None}
        if len(rules) != 1 or depths[inside[0].position] == 0:
            continue
        unary = all(len(node.operands) == 1 for node in inside)
        kind = "z" if rules == {"dot"} else "h" if unary else ""
        for index, each in enumerate(inside if kind else ()):
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


# --------------------------------------------------------------------- a sigmoid written out by hand
#: The operations from the quotient down, each with the number beside its operand.
CHAIN: tuple[tuple[str, list[float]], ...] = (("div", [1.0]), ("add", [1.0]), ("exp", []), ("neg", []))


def _logistic(nodes: Sequence[Node], kept: int) -> dict[int, Node]:
    """Each 1/(1 + exp(−z)) as σ(z), and what it no longer needs as leaves, by position; ``kept`` stays.

    >>> from microbp import Graph, Value, exp
    >>> z = Value(0.0, name="z")
    >>> graph = Graph(1.0 / (1.0 + exp(-z)), {})
    >>> [graph.equation(node) for node in _logistic(graph.nodes, 0).values()]
    ['v4 = sigmoid(z) = 0.5', 'v3 = 2.0', 'v2 = 1.0', 'v1 = -0.0']
    """
    uses = Counter(x for node in nodes for x in node.operands if isinstance(x, int))
    made = {}
    for node in nodes:
        position, derivative, passed = node.position, 1.0, []
        for rule, literals in CHAIN:
            here = nodes[position]
            lone = here is node or (uses[position] == 1 and not here.named and position != kept)
            below = _below(here, rule, literals) if lone else None
            if below is None:
                break
            passed.append(here)
            position, derivative = below[0], derivative * below[1]
        else:
            if agree(node.data * (1.0 - node.data), derivative, abs(derivative)):
                made[node.position] = node._replace(
                    rule=RULES["sigmoid"], operands=(position,), local_derivatives=(derivative,)
                )
                for each in passed[1:]:
                    made[each.position] = each._replace(rule=None, operands=(), local_derivatives=())
    return made


def _below(node: Node, rule: str, literals: list[float]) -> tuple[int, float] | None:
    """The operand of a node of that rule with those literals, and the derivative in it."""
    operands = list(zip(node.operands, node.local_derivatives, strict=True))
    if node.rule is None or node.rule.name != rule:
        return None
    if [x for x, _ in operands if isinstance(x, float)] != literals:
        return None
    if rule == "div" and not isinstance(node.operands[0], float):
        return None
    [(operand, local)] = [each for each in operands if isinstance(each[0], int)]
    return None if local is None else (int(operand), local)
