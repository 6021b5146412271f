"""Graphs, nodes, operands and lines: in words, for tables and error texts, and as their rules take them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from microbp.compiled import local_derivative
from microbp.graph import Graph, Node
from microbp.rules import Rule


def named(graph: Graph) -> str:
    """``loss = 0.5``: the root, by its name if it has one, and its number."""
    return f"{graph.root.name if graph.root.named else 'loss'} = {graph.root.data:.8g}"


def operand_words(graph: Graph, node: Node) -> list[str]:
    """``a = x``, ``w[1] = W[0,1]`` for each operand."""
    rule = node.rule
    assert rule is not None
    names = operand_names(graph, node)
    words: list[str] = [""] * len(names)
    for arg, places in zip(rule.args, rule.split(range(len(names))), strict=True):
        for element, place in enumerate(places if arg in rule.over else [places]):
            words[place] = f"{arg}{f'[{element}]' if arg in rule.over else ''} = {names[place]}"
    return words


def operand_names(graph: Graph, node: Node) -> list[str]:
    """The name of each operand; a literal as it is written."""
    return [graph.nodes[each].name if type(each) is int else repr(each) for each in node.operands]


def where(node: Node) -> str:
    """A node by its name and, if it is known, its line."""
    return node.name if node.site is None else f"{node.name} ({line_of(node.site)})"


def line_of(site: str) -> str:
    """``file:line``, the file relative to the current directory if it is inside."""
    return site.removeprefix(f"{Path.cwd()}{os.sep}")


def entries_of(node: Node, numbers: Sequence[float]) -> list[Any]:
    """The numbers of a node's operands as its rule takes them; ``numbers`` are those of all nodes."""
    assert node.rule is not None
    return node.rule.split([numbers[each] if type(each) is int else each for each in node.operands])


def local_derivatives(rule: Rule, entries: list[Any], y: float) -> list[float]:
    """What a rule's own text gives for the derivative in each operand."""
    found: list[float] = []
    for place in range(len(rule.args)):
        d = local_derivative(rule, place, entries, y)
        found.extend(d if type(d) is list else [d])
    return found
