"""Sums of products: chains of ``+``, ``-``, ``sum``, ``dot`` and ``w*x`` as one operation of many terms.

A sum that only another sum uses is part of it, and so is a product: ``w1*x1 + w2*x2 + b``, written out by
hand, and ``dot([w1, w2], [x1, x2], b)`` are the same three terms.
"""

from __future__ import annotations

from typing import NamedTuple

from microbp.replay.captured import Captured
from microbp.replay.matrix.roles import Reference, Role, Roles
from microbp.rules import RULES, Rule

__all__ = ["Operation", "SumOfProducts", "Term", "operations"]

_ADD, _SUB, _NEG, _SUM, _DOT, _MUL = (RULES[name] for name in ("add", "sub", "neg", "sum", "dot", "mul"))


class Term(NamedTuple):
    """``factor · left · right``; a single value has no right."""

    factor: float
    left: int
    right: int | None


class SumOfProducts(NamedTuple):
    """``Σ factor · left · right + constant``."""

    position: int
    terms: list[Term]
    constant: float


class Operation(NamedTuple):
    """Any other rule at its operands."""

    position: int
    rule: Rule
    operands: tuple[Reference, ...]


def operations(captured: Captured, roles: Roles) -> list[Operation | SumOfProducts]:
    """What has to be computed, operands first; constants are numbers, parts of sums have gone into them."""
    nodes, role, computed = captured.graph.nodes, roles.role, Role.COMPUTED
    constants = {each.position: each.data for each in nodes if role[each.position] is Role.CONSTANT}
    absorbed = bytearray(len(nodes))
    found: list[Operation | SumOfProducts] = []
    for node in reversed(nodes):
        position = node.position
        if node.rule is None or role[position] is not computed or absorbed[position]:
            continue
        if node.rule in (_ADD, _SUB, _NEG, _SUM, _DOT):
            terms, constant, parts = _terms(captured, roles, constants, position, absorbed)
            if parts > 1 or node.rule is _SUM or node.rule is _DOT:
                found.append(SumOfProducts(position, terms, constant))
                continue
        operands = node.operands
        if constants:
            operands = tuple([_reference(constants, each) for each in operands])
        found.append(Operation(position, node.rule, operands))
    return found[::-1]


def _reference(constants: dict[int, float], operand: Reference) -> Reference:
    return constants.get(operand, operand) if type(operand) is int else operand


def _terms(
    captured: Captured, roles: Roles, constants: dict[int, float], root: int, absorbed: bytearray
) -> tuple[list[Term], float, int]:
    """The terms of the sum at ``root``, its constant, and of how many values it is made."""
    nodes, varies = captured.graph.nodes, roles.varies[root]
    terms: list[Term] = []
    constant, parts = 0.0, 0
    stack: list[tuple[float, Reference]] = [(1.0, root)]
    while stack:
        factor, operand = stack.pop()
        operand = _reference(constants, operand)
        if type(operand) is float:
            constant += factor * operand
            continue
        assert type(operand) is int
        node = nodes[operand]
        rule = node.rule
        if operand != root and (
            roles.role[operand] is not Role.COMPUTED
            or roles.uses[operand] > 1
            or roles.varies[operand] != varies
            or rule not in (_ADD, _SUB, _NEG, _SUM, _DOT, _MUL)
        ):
            terms.append(Term(factor, operand, None))
            continue
        parts += 1
        absorbed[operand] = operand != root
        if rule is _ADD or rule is _SUM:
            stack.extend((factor, each) for each in reversed(node.operands))
        elif rule is _SUB:
            stack += [(-factor, node.operands[1]), (factor, node.operands[0])]
        elif rule is _NEG:
            stack.append((-factor, node.operands[0]))
        else:
            assert rule is not None
            w, x, b = _DOT.split((*node.operands, 0.0) if rule is _MUL else node.operands)
            for left, right in zip(w, x, strict=True):
                u, v = _reference(constants, left), _reference(constants, right)
                if type(u) is int and type(v) is int:
                    terms.append(Term(factor, u, v))
                elif type(u) is int:
                    terms.append(Term(factor * v, u, None))
                elif type(v) is int:
                    terms.append(Term(factor * u, v, None))
                else:
                    constant += factor * u * v
            stack.append((factor, b))
    return terms, constant, parts
