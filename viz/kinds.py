"""What a leaf is to its reader, and how an operation is signed in a drawing."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from microbp import Graph, Node, Value
from microbp.notation import plain_number, symbol
from microbp.text import did_you_mean, quoted
from viz.picture import Kind

#: The path of a module's parameter, as ``name_parameters()`` gives it.
_PATH = re.compile(r"[^\W\d]\w*(\.\w+)+")
#: w, w1, w_5, W[0,1], WQ, Whh, wx, bf, bias, theta, θ3; but a ``batch`` is none.
_LEARNED = re.compile(r"(W[A-Za-z]{0,3}|[wbB][a-z]?|weights?|bias(es)?|theta|Theta|θ|Θ)(?![^\W\d_])")
#: Beside these letters, those that follow them in the alphabet are no biases.
_LETTERS = {"a": "b", "A": "B"}
_KEY = re.compile(r".*\[['\"](?P<key>[^'\"]+)['\"]\]")  #: p['w1'] is what its key says.
#: Indices at the end of a name.
_INDICES = re.compile(r"([._#]?\d+|\[[^\]]*\])+$")


def kinds(graph: Graph, parameters: Iterable[str | Value] | None = None) -> list[Kind]:
    """The kind of each value of the graph, by position.

    A leaf without gradient is a constant. ``parameters``, names or Values, decides alone which of the
    others are parameters; without it a leaf is one if its name is the path of a module's parameter, or
    begins like a weight's or a bias's, but for a ``b`` beside an ``a`` where no other is one. What is left
    is an input.
    """
    leaves = [graph.nodes[place] for place in np.flatnonzero(graph.op < 0).tolist()]
    listed = None if parameters is None else _listed(graph, parameters, [leaf.name for leaf in leaves])
    if listed is None:
        listed = {leaf.name for leaf in leaves if _is_learned(leaf)}
        if any(listed == {_LETTERS.get(leaf.name)} for leaf in leaves):
            listed = set()
    found = [Kind.OPERATION] * len(graph)
    for leaf in leaves:
        given = Kind.PARAMETER if leaf.name in listed else Kind.INPUT
        found[leaf.position] = given if leaf.requires_grad else Kind.CONSTANT
    return found


def _listed(graph: Graph, parameters: Iterable[str | Value], leaves: list[str]) -> set[str]:
    """Names in the graph. A parameter that the graph does not use is none of them; one at least is used."""
    names = set()
    for each in [parameters] if isinstance(parameters, str | Value) else parameters:
        if not isinstance(each, str | Value):
            raise TypeError(f"parameters lists names or Values, not {quoted(each)}")
        if isinstance(each, str) or each in graph:
            names.add(each if isinstance(each, str) else graph[each].name)
    if names and names.isdisjoint(leaves):
        meant = did_you_mean(min(names), leaves) or f"its leaves are {', '.join(leaves[:12])}"
        told = " or ".join(map(quoted, sorted(names)[:3]))
        raise ValueError(f"parameters: no leaf of the graph is named {told}; {meant}")
    return names


def _is_learned(node: Node) -> bool:
    if node.path or not node.named:
        return bool(node.path)
    name = node.name.partition("#")[0]
    key = _KEY.fullmatch(name)
    return bool(_PATH.fullmatch(name) or _LEARNED.match(key["key"] if key else name))


def stem(node: Node) -> str:
    """A leaf's name without the indices at its end; empty where the name was made up."""
    return (_INDICES.sub("", node.name) or node.name) if node.named else ""


def short(name: str) -> str:
    """The last word of a parameter's path, with its indices; any other name as it is.

    >>> short("layers.0.neurons.1.w.0"), short("cell.b"), short("x[1.5]"), short("w1")
    ('w.0', 'b', 'x[1.5]', 'w1')
    """
    if not _PATH.fullmatch(name.partition("#")[0]):
        return name
    parts = name.split(".")
    last = max((index for index, part in enumerate(parts) if not part[0].isdigit()), default=0)
    return ".".join(parts[last:])


def literal(data: float) -> str:
    """A literal as people write it."""
    return "½" if data == 0.5 else plain_number(data, 6)


def sign(node: Node) -> str:
    """The operation's sign with the literal that belongs to it, ``^2``, ``1−``; of a leaf nothing."""
    if node.rule is None:
        return ""
    plain, literals = symbol(node.rule), [each for each in node.operands if type(each) is float]
    if len(node.operands) != 2 or node.rule.over or len(literals) != 1:
        return plain
    brief = literal(literals[0])
    if len(brief) > 9:  # a sign that is cut would lose the exponent
        brief = plain_number(literals[0], 3)
    leads = type(node.operands[0]) is float and node.rule.name not in {"add", "mul"}
    return f"{brief}{plain}" if leads else f"{plain}{brief}"


def tooltip(graph: Graph, node: Node, gradient: str) -> str:
    """A value with all its digits, what is known of its gradient, the formula, and the line of code."""
    told = f"{node.name} = {node.data!r}", f"∇ {gradient}", graph.formula(node), node.site or ""
    return "\n".join(filter(None, told))
