"""Weighted sums: a chain of + and the products that only it reads are one box with a row per term."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microbp import Node
from viz.folding.partition import Partition
from viz.folding.values import Ints, Values
from viz.kinds import literal, short

__all__ = ["Term", "is_link", "is_sum", "sums", "terms"]

_LINKS = frozenset({"add", "sub", "sum", "dot"})


class Term(NamedTuple):
    """One term of a sum."""

    #: ``w1·i1``, ``b1``, ``−t``.
    label: str
    #: What it adds.
    data: float
    #: The edges that end at it: (position of the user, place among its operands, ∂sum/∂operand).
    edges: tuple[tuple[int, int, float | None], ...]


def sums(values: Values) -> Partition:
    """Each sum in one box, every other value in its own.

    Folded are links (``a + b``, ``a − b``, ``sum``, ``dot``) and products that are read once, by a link of
    the same group, and bear no name: what the user named stays visible, and so does what is shared,
    since there gradients add up.

    >>> from microbp import Graph, Value
    >>> from viz.kinds import kinds
    >>> w, x, b = Value(2.0), Value(3.0), Value(1.0)
    >>> graph = Graph(w * x + b)
    >>> sums(Values(graph, kinds(graph))).label.tolist()
    [0, 1, 4, 3, 4]
    """
    nodes = values.nodes
    classes: Ints = np.where(values.shown, np.arange(len(nodes)), -1)
    single = np.flatnonzero((values.reads == 1) & values.shown)
    for position in single[::-1].tolist():
        node, reader = nodes[position], nodes[values.reader[position]]
        if (
            not node.named
            and node.rule is not None
            and (is_link(node) or node.rule.name == "mul")
            and _adds(reader, position)
            and classes[reader.position] >= 0
            and node.group == reader.group
        ):
            classes[position] = classes[reader.position]
    return Partition(values, classes)


def _adds(reader: Node, position: int) -> bool:
    """Whether the reader adds this operand as it is; a dot does so with its last, the bias, alone."""
    if reader.rule is None or not is_link(reader):
        return False
    return reader.rule.name != "dot" or reader.operands[-1] == position


def is_link(node: Node) -> bool:
    """Whether an operation adds its operands, or products of them."""
    return node.rule is not None and node.rule.name in _LINKS


def is_sum(partition: Partition, label: int, size: int) -> bool:
    """Whether a box of ``size`` values is drawn with a row per term.

    It is a ``sum``, a ``dot``, or, where sums are folded, an addition of two values or of folded terms.
    """
    node = partition.values.nodes[label]
    if label in partition.made or node.rule is None or not is_link(node):
        return False
    plain = node.rule.name == "sub" or any(type(each) is float for each in node.operands)
    return size > 1 or node.rule.name in {"sum", "dot"} or (partition.rows and not plain)


def terms(partition: Partition, label: int) -> list[Term]:
    """The terms of a sum, from left to right; a literal 0, as Python's ``sum`` begins with, is none."""
    nodes, inside = partition.values.nodes, partition.label
    found: list[Term] = []
    # What is still to do, the next at the end: (node, place, factor), ∂sum/∂node being the factor.
    pending = [(nodes[label], place, 1.0) for place in _places(nodes[label])]
    while pending:
        node, place, factor = pending.pop()
        assert node.rule is not None
        if node.rule.name == "dot" and place < len(node.operands) // 2:
            found.append(_product(partition, node, (place, place + len(node.operands) // 2), factor))
            continue
        operand, local = node.operands[place], node.local_derivatives[place]
        passed = -factor if node.rule.name == "sub" and place == 1 else factor
        sign = "−" if passed < 0 else ""
        if type(operand) is float:
            if operand:
                found.append(Term(f"{sign}{literal(operand)}", passed * operand, ()))
            continue
        assert type(operand) is int
        below = nodes[operand]
        if inside[operand] != label:
            edge = node.position, place, None if local is None else factor * local
            found.append(Term(f"{sign}{short(below.name)}", passed * below.data, (edge,)))
        elif below.rule is not None and below.rule.name == "mul":
            found.append(_product(partition, below, (0, 1), passed))
        else:
            pending += [(below, each, passed) for each in _places(below)]
    return found


def _places(node: Node) -> list[int]:
    """Where a link's terms stand, the last first; for a dot the bias, and one place for each product."""
    assert node.rule is not None
    last = len(node.operands) - 1
    return [last, *reversed(range(last // 2))] if node.rule.name == "dot" else [*reversed(range(last + 1))]


def _product(partition: Partition, node: Node, places: tuple[int, int], factor: float) -> Term:
    """The term of the two operands of a product, or of a dot, at these places."""
    nodes = partition.values.nodes
    data, labels, edges = factor, [], []
    for place in places:
        operand, local = node.operands[place], node.local_derivatives[place]
        if type(operand) is int:
            data *= nodes[operand].data
            labels.append(short(nodes[operand].name))
            edges.append((node.position, place, None if local is None else factor * local))
        else:
            data *= operand
            labels.append(literal(operand))
    return Term(("−" if factor < 0 else "") + "·".join(labels), data, tuple(edges))
