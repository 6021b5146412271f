"""Why a local derivative is zero, tiny or huge: the cause, and a sentence."""

from __future__ import annotations

from typing import NamedTuple

from microbp.check.words import operand_names
from microbp.debug.diagnose.case import Case
from microbp.debug.diagnose.words import short
from microbp.graph import Node

__all__ = ["CHOOSING", "SQUASHING", "Why", "of_huge", "of_zero", "rectified", "squared"]

#: Operations that flatten far from 0.
SQUASHING = frozenset({"sigmoid", "tanh", "erf", "erfc"})
_FLAT = SQUASHING | {"softplus", "silu", "gelu", "elu", "exp", "atan"}
CHOOSING = frozenset({"maximum", "minimum", "max", "select"})


class Why(NamedTuple):
    """The reason for one local derivative: the cause, as :meth:`Words.cause` gives it, and a sentence."""

    cause: tuple[str, str, str]
    what: str


def partner_of(node: Node, place: int) -> int | None:
    """The place of the factor that an operand of ``mul`` or ``dot`` is multiplied by."""
    assert node.rule is not None
    if node.rule.name == "mul":
        return 1 - place
    if node.rule.name == "dot" and place < len(node.operands) - 1:
        half = (len(node.operands) - 1) // 2
        return place + half if place < half else place - half
    return None


def rectified(node: Node) -> int:
    """The place of the operand that a node rectifies, as relu or as ``maximum(0, x)``; else -1."""
    if node.rule is not None and node.rule.name == "relu":
        return 0
    if node.rule is not None and node.rule.name == "maximum" and 0.0 in node.operands:
        for place, operand in enumerate(node.operands):
            if type(operand) is int and type(node.operands[1 - place]) is float:
                return place
    return -1


def squared(node: Node) -> bool:
    """Whether a value is multiplied by itself. A node 0 is not the literal 0.0, though they are equal."""
    multiplied = node.rule is not None and node.rule.name == "mul"
    return multiplied and all(type(each) is int and each == node.operands[0] for each in node.operands)


def of_zero(case: Case, node: Node, place: int) -> Why:
    """Why the local derivative of an operation in one operand is 0, or all but 0."""
    assert node.rule is not None
    say, rule, names = case.words, node.rule.name, operand_names(case.graph, node)
    name, x, operand = names[place], case.number(node, place), node.operands[place]
    at = f"{name} = {short(x)}"
    partner = partner_of(node, place)
    if rectified(node) == place and x < 0.0:
        what = rule if rule == "relu" else say("maximum")
        return Why(say.cause("dead", rule="relu"), say("dead", what=what, at=at))
    if x == 0.0 and node.rule.kink and rule not in CHOOSING:
        how = _origin_of_zero(case, operand)
        return Why(say.cause("corner"), say("corner", rule=rule, name=name, how=how))
    if rule in _FLAT and not (rule in ("silu", "gelu") and abs(x) < 5.0):
        return Why(say.cause("saturated", rule=rule), say("saturated", rule=rule, at=at))
    if rule == "pow" or squared(node):  # e**2, and e*e
        a, b = case.number(node, 0), case.number(node, 1) if rule == "pow" else 2.0
        how = _origin_of_zero(case, node.operands[0]) if a == 0.0 else ""
        return Why(say.cause("flat power"), say("flat power", name=names[0], a=short(a), b=short(b), how=how))
    if partner is not None:
        other = node.operands[partner]
        zero = say("number 0") if type(other) is float else f"{names[partner]} = 0"
        how = _origin_of_zero(case, other)
        return Why(say.cause("multiplied by 0"), say("multiplied by", name=name, zero=zero, how=how))
    if rule in CHOOSING:
        return Why(say.cause("not chosen"), say("not chosen", rule=rule, at=at))
    if rule == "clip":
        low, high = short(case.number(node, 1)), short(case.number(node, 2))
        return Why(say.cause("clipped"), say("clipped", at=at, low=low, high=high))
    if rule in ("logsumexp", "cross_entropy"):
        return Why(say.cause("saturated softmax"), say("saturated softmax", at=at))
    return Why(say.cause("flat operation"), say("flat operation", rule=rule, at=at))


def _origin_of_zero(case: Case, operand: float) -> str:
    """How an operand came to be 0, to be added to a sentence; nothing for a literal."""
    if type(operand) is not int:
        return ""
    say, node = case.words, case.graph.nodes[operand]
    while True:
        if node.rule is None:
            return say("given as 0", name=node.name)
        inner = _zero_because_of(case, node)
        if inner is None:
            break
        node = inner
    told = f"{node.name} = {node.rule.name}({', '.join(operand_names(case.graph, node)[:4])})"
    first = short(case.number(node, max(0, rectified(node))))
    if rectified(node) >= 0:
        return say("0 by input", told=told, x=first)
    if node.rule.name in ("mul", "div", "exp", "pow", "sigmoid"):
        return say("0 by underflow", told=told)
    if node.rule.name in ("sub", "add", "sum", "dot"):
        return say("0 by sum", told=told)
    return say("0 at", told=told, x=first)


def _zero_because_of(case: Case, node: Node) -> Node | None:
    """An operand whose 0 makes a product, or each of whose terms makes a sum, 0; None for no such one."""
    assert node.rule is not None
    rule, data = node.rule.name, case.numbers(node)
    if rule == "dot":
        half = (len(data) - 1) // 2
        products = zip(data[:half], data[half:-1], strict=True)
        nothing = data[-1] == 0.0 and all(0.0 in pair for pair in products)
    else:
        nothing = (rule in ("mul", "neg") and 0.0 in data) or (
            rule in ("add", "sub", "sum") and not any(data)
        )
    if not nothing:
        return None
    operands = zip(node.operands, data, strict=True)
    zeros = [case.graph.nodes[x] for x, y in operands if type(x) is int and y == 0.0]
    return next(iter([each for each in zeros if each.rule is not None] or zeros), None)


def of_huge(case: Case, node: Node, place: int) -> Why:
    """Why the local derivative of an operation in one operand is large."""
    assert node.rule is not None
    say, rule, names = case.words, node.rule.name, operand_names(case.graph, node)
    x, operand = case.number(node, place), node.operands[place]
    at = f"{names[place]} = {short(x)}"
    if rule == "div" and abs(case.number(node, 1)) < 1.0:
        below = f"{names[1]} = {short(case.number(node, 1))}"
        return Why(say.cause("division by a small number"), say("divides", node=node.name, at=below))
    if rule in ("log", "log1p", "sqrt") or (rule == "pow" and abs(x) < 1.0):
        near = "log near its edge" if rule.startswith("log") else "root near its edge"
        return Why(say.cause(near, rule=rule), say("edge", node=node.name, rule=rule, at=at))
    if rule in ("exp", "expm1", "sinh", "cosh"):
        return Why(say.cause("growth of exp"), say("exp of", node=node.name, rule=rule, at=at))
    if rule == "pow" and place == 0 and type(operand) is int:
        _, grown = _growth(case, operand)
        power = short(case.number(node, 1))
        return Why(say.cause("power of a large number"), say("to the power", at=at, grown=grown, b=power))
    partner = partner_of(node, place)
    if partner is not None:
        other, factor = node.operands[partner], short(case.number(node, partner))
        steps, grown = _growth(case, other)
        by = f"{names[partner]} = {factor}" if type(other) is int else factor
        cause = "grown factor" if steps >= 10 else "multiplied by a large number"
        return Why(say.cause(cause), say("times", name=names[place], by=by, grown=grown))
    return Why(say.cause("steep operation"), say("steep", rule=rule, at=at))


def _growth(case: Case, operand: float) -> tuple[int, str]:
    """Over how many operations a number has grown, and from what: the largest operand each time."""
    if type(operand) is not int:
        return 0, ""
    steps, node = 0, case.graph.nodes[operand]
    while node.rule is not None:
        inner = [case.graph.nodes[each] for each in node.operands if type(each) is int]
        node = max(inner, key=lambda each: abs(each.data))
        steps += 1
    start = f"{node.name} = {short(node.data)}"
    return steps, case.words("grown", start=start, n=steps) if steps else ""
