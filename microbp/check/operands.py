"""The operands of a recorded operation as its rule takes them, and what the rule gives there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from microbp.compiled import local_derivative
from microbp.graph import Node
from microbp.rules import Rule


def entries_of(node: Node, numbers: Sequence[float]) -> list[Any]:
    """The numbers of a node's operands as its rule takes them; ``numbers`` are those of all nodes."""
    assert node.rule is not None
    operands = [numbers[each] if type(each) is int else each for each in node.operands]
    return node.rule.split(operands) if node.rule.over else operands


def scope_of(rule: Rule, entries: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The names of a rule's expressions, and those for each element of its lists."""
    return dict(zip(rule.args, entries, strict=True)), rule.elements(entries)


def local_derivatives(rule: Rule, entries: list[Any], y: float) -> list[float]:
    """What a rule's own text gives for the derivative in each operand."""
    found: list[float] = []
    for place in range(len(rule.args)):
        d = local_derivative(rule, place, entries, y)
        found.extend(d if type(d) is list else [d])
    return found
