"""The factors of the chain rule, and how one of them goes wrong."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from microbp.answers.candidates import Change
from microbp.answers.case import LONGEST, MANY, Case, Edge, bracketed, prime_of
from microbp.answers.claims import Claim
from microbp.compiled import Compiled, compiled
from microbp.expr import parse
from microbp.rules import RULES, Rule


class Factor(NamedTuple):
    """One factor of the chain rule: a local derivative, or that of several operations in a row."""

    edges: tuple[Edge, ...]

    def number(self, case: Case) -> float:
        """The product of its local derivatives as recorded."""
        return math.prod(map(case.local, self.edges))

    def text(self, case: Case) -> str:
        """``σ′(net) = 0.2``, ``∂net/∂h1 = w5 = 0.4``."""
        first, last = self.edges[0], self.edges[-1][0]
        into, partner = bracketed(case.called(case.operand(first))), case.partner(first)
        rule = case.nodes[last].rule
        assert rule is not None
        if first[0] == last and case.is_function(last):
            symbol = f"{prime_of(rule)}({case.called(case.operand(first))})"
        elif first[0] == last and isinstance(partner, int):
            symbol = f"∂{bracketed(case.called(last))}/∂{into} = {case.called(partner)}"
        else:
            symbol = f"∂{bracketed(case.called(last))}/∂{into}"
        return f"{symbol} = {self.number(case):.6g}"


def rows_of(case: Case, edge: Edge) -> Iterator[Factor]:
    """The operations in a row from a named value or a junction to another: ∂l1/∂z of a sigmoid by hand."""
    start = case.operand(edge)
    if not case.nodes[start].named and len(case.uses[start]) == 1 and case.only_operand(start):
        return  # within a row
    edges = [edge]
    while case.only_operand(edges[-1][0]) and len(edges) < LONGEST:
        position = edges[-1][0]
        following = case.uses[position]
        junction = len(following) != 1 or not case.only_operand(following[0][0])
        if len(edges) > 1 and (junction or case.nodes[position].named):
            yield Factor(tuple(edges))
        if junction:
            return
        edges.append(following[0])


def changed_factors(claim: Claim, factors: Sequence[Factor]) -> Iterator[Change]:
    """A factor that is missing, used twice, or taken of the wrong thing."""
    case = claim.case
    instead = {each: _instead(case, each) for each in factors}
    for group in _groups(case, factors):
        numbers = [each.number(case) for each in group]
        told = _together(case, group)
        subject = f"the factor {told} is" if len(group) == 1 else f"the factors {told} are"
        yield Change(f"{subject} missing", _becoming(group, [1.0] * len(group)))
        yield Change(f"{subject} used twice", _becoming(group, [each * each for each in numbers]))
        others = [instead[each] for each in group]
        for kind in others[0]:
            if all(kind in each for each in others):
                stand = [each[kind] for each in others]
                these = ", ".join(f"{each:.6g}" for each in stand[:3]) + ", …" * (len(stand) > 3)
                yield Change(f"in place of {told} stands {kind}: {these}", _becoming(group, stand))


def _groups(case: Case, factors: Sequence[Factor]) -> list[list[Factor]]:
    """Factors that a person gets wrong together: one, a neuron's in all samples, a layer's, all alike."""
    kinds: list[Callable[[Factor], Any]] = [
        lambda f: tuple((case.roles[edge[0]], edge[1]) for edge in f.edges),
        lambda f: (case.levels[f.edges[-1][0]], *map(case.argument, f.edges)),
        lambda f: tuple(map(case.argument, f.edges)),
    ]
    if len(factors) <= MANY:
        kinds.insert(0, lambda f: f)
    groups: dict[tuple[Factor, ...], list[Factor]] = {}
    for kind in kinds:
        members: dict[Any, list[Factor]] = {}
        for each in factors:
            members.setdefault(kind(each), []).append(each)
        groups |= {tuple(group): group for group in members.values() if tuple(group) not in groups}
    return list(groups.values())


def _together(case: Case, group: Sequence[Factor]) -> str:
    """How a sentence speaks of some factors: ``σ′(net_o1) = 0.19, σ′(net_o2) = 0.18``, or ``12 × tanh′``."""
    if len(group) <= 3:
        return ", ".join(each.text(case) for each in group)
    first, last = group[0].edges[0], group[0].edges[-1][0]
    rule, arg = case.argument(first)
    assert rule is not None
    symbol = prime_of(rule) if first[0] == last and case.is_function(last) else f"∂{rule.name}/∂{arg}"
    numbers = ", ".join(f"{each.number(case):.6g}" for each in group[:3])
    where = case.common(case.operand(each.edges[0]) for each in group)
    of = f" of {where}" if where else ""
    return f"{symbol}{of} ({len(group)} of them: {numbers}, …)"


def _becoming(group: Sequence[Factor], numbers: Sequence[float]) -> dict[Edge, float]:
    """The local derivatives with which factors have other numbers."""
    return {
        edge: 1.0 if i else number
        for each, number in zip(group, numbers, strict=True)
        for i, edge in enumerate(each.edges)
    }


def _instead(case: Case, factor: Factor) -> dict[str, float]:
    """What may by mistake stand in place of the derivative of a function, by what it is."""
    (position, place), last = factor.edges[0], factor.edges[-1][0]
    kinds: dict[str, Callable[[], float]] = {}
    if len(factor.edges) > 1 or case.is_function(position):
        kinds["the function's value, not its derivative"] = lambda: case.nodes[last].data
    if len(factor.edges) == 1 and case.is_function(position) and case.fresh:
        node = case.nodes[position]
        assert node.rule is not None
        operands = [case.nodes[each].data if type(each) is int else each for each in node.operands]
        kinds |= _other_derivatives(node.rule, place, operands, node.data)
    numbers: dict[str, float] = {}
    for kind, compute in kinds.items():
        with suppress(ArithmeticError, ValueError):
            number = compute()
            if number not in (0.0, 1.0, *numbers.values()):
                numbers[kind] = number
    return numbers


def _other_derivatives(
    rule: Rule, place: int, operands: Sequence[float], y: float
) -> dict[str, Callable[[], float]]:
    """A derivative taken at the wrong number, of the wrong function, or half of its formula."""
    argument, derivative = operands[place], compiled(rule).derivatives[place]
    at_output = [*operands[:place], y, *operands[place + 1 :]]

    def part(text: str) -> float:
        scope = {**dict(zip(rule.args, operands, strict=True)), "y": y}
        d: float = parse(text, scope, rule.name).evaluate(scope)
        return d

    kinds: dict[str, Callable[[], float]] = {
        "the derivative at the output in place of the argument": lambda: derivative(
            *at_output, compiled(rule).value(*at_output)
        ),
        "its formula with the argument in place of the output": lambda: derivative(*operands, argument),
    }
    for text in _parts(str(rule.shown[place])):
        kinds[f"only the factor {text} of its formula"] = partial(part, text)
    for other in ("sigmoid", "tanh"):
        if other != rule.name:
            made = compiled(RULES[other])
            kinds[f"{other}′"] = partial(_derivative, made, argument)
            kinds[f"{other}′ as computed from the output"] = partial(made.derivatives[0], argument, y)
    return kinds


def _derivative(function: Compiled, argument: float) -> float:
    d: float = function.derivatives[0](argument, function.value(argument))
    return d


def _parts(text: str) -> list[str]:
    """The factors of a product; of the first branch, where there are several."""
    tree = ast.parse(text, mode="eval").body
    while isinstance(tree, ast.IfExp):
        tree = tree.body
    parts: list[ast.expr] = []
    while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        parts.append(tree.right)
        tree = tree.left
    return [ast.unparse(each) for each in [*parts, tree]] if parts else []
