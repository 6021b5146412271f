"""Graphs, nodes, operands and lines: in words, for tables and error texts."""

from __future__ import annotations

import os
from pathlib import Path

from microbp.graph import Graph, Node


def named(graph: Graph) -> str:
    """``loss = 0.5``: the root, by its name if it has one, and its number."""
    return f"{graph.root.name if graph.root.named else 'loss'} = {graph.root.data:.8g}"


def operand_words(graph: Graph, node: Node) -> list[str]:
    """``a = x``, ``w[1] = W[0,1]`` for each operand."""
    words: list[str] = []
    entries = node.rule.split(operand_names(graph, node)) if node.rule else []
    for arg, entry in zip(node.rule.args if node.rule else (), entries, strict=True):
        many = type(entry) is list
        words += [f"{arg}[{i}] = {name}" for i, name in enumerate(entry)] if many else [f"{arg} = {entry}"]
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
