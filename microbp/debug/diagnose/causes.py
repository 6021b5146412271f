"""Why a local derivative is zero, tiny or huge: in a word, in a sentence, and what to try."""

from __future__ import annotations

from typing import NamedTuple

from microbp.check.words import operand_names
from microbp.debug.diagnose.finding import short
from microbp.debug.words import counted
from microbp.graph import Graph, Node

__all__ = ["SQUASHING", "Cause", "of_huge", "of_zero", "origin_of_zero", "rectified"]

#: Operations that flatten far from 0.
SQUASHING = frozenset({"sigmoid", "tanh", "erf", "erfc"})
_FLAT = SQUASHING | {"softplus", "silu", "gelu", "elu", "exp", "atan"}
_CHOOSING = frozenset({"maximum", "minimum", "max", "select"})


class Cause(NamedTuple):
    """The reason for one local derivative."""

    word: str
    what: str
    advice: str


def operand_data(graph: Graph, node: Node, place: int) -> float:
    """The number of an operand, be it a node's or a literal."""
    operand = node.operands[place]
    return graph.nodes[operand].data if type(operand) is int else float(operand)


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


def of_zero(graph: Graph, node: Node, place: int) -> Cause:
    """Why the local derivative of an operation in one operand is 0, or all but 0."""
    assert node.rule is not None
    rule, names = node.rule.name, operand_names(graph, node)
    name, x = names[place], operand_data(graph, node, place)
    at = f"{name} = {short(x)}"
    if rectified(node) == place and x < 0.0:
        return Cause(
            "dead relu",
            f"{'relu' if rule == 'relu' else 'maximum with 0'} is flat below 0, and its input is {at}",
            "for a few samples nothing; for all a smaller learning rate, a larger bias, other initial "
            "weights (init='he') or leaky_relu. In a hinge loss it means that the sample is right",
        )  # fmt: skip
    if x == 0.0 and node.rule.kink and rule not in _CHOOSING:
        return Cause(
            "corner", f"{rule} has its corner at 0, and {name} is exactly 0, where the derivative is 0 by "
            f"convention{_how(graph, node.operands[place])}",
            "inputs and weights that are not exactly 0; weights that start at 0 give this",
        )  # fmt: skip
    if rule in _FLAT and not (rule in ("silu", "gelu") and abs(x) < 5.0):
        return Cause(
            f"saturated {rule}", f"{rule} is flat at {at}",
            "smaller weights or inputs at the scale of 1, or another activation (relu); for a probability, "
            "the loss that takes logits (binary_cross_entropy, softmax_cross_entropy)",
        )  # fmt: skip
    partner = partner_of(node, place)
    if partner is not None:
        zero = names[partner]
        other = node.operands[partner]
        if type(other) is float:
            zero, how = "the number 0", ""
        else:
            zero, how = f"{zero} = 0", _how(graph, other)
        return Cause(
            "multiplied by 0", f"{name} is multiplied by {zero}{how}",
            "inputs that are not 0 for every sample, and weights that do not start at 0",
        )  # fmt: skip
    if rule in _CHOOSING:
        return Cause(
            "not chosen", f"{rule} took another operand than {at}",
            "a smooth form (softplus, logsumexp), or another sample, if it should ever be chosen",
        )  # fmt: skip
    if rule == "clip":
        low, high = operand_data(graph, node, 1), operand_data(graph, node, 2)
        return Cause(
            "clipped", f"{at} is outside of {short(low)} … {short(high)}", "wider bounds, or no clip at all"
        )
    if rule == "pow":
        a, b = operand_data(graph, node, 0), operand_data(graph, node, 1)
        base = node.operands[0]
        how = _how(graph, base) if a == 0.0 else ""
        return Cause(
            "flat power", f"{names[0]} = {short(a)} to the power {short(b)} has the slope 0 there{how}",
            "nothing, if it is an error term that is 0: then this is the minimum",
        )  # fmt: skip
    if rule in ("logsumexp", "cross_entropy"):
        return Cause(
            "saturated softmax", f"the softmax of {at} leaves the derivative 0", "logits at the scale of 1"
        )
    return Cause(
        "flat operation", f"{rule} has the derivative 0 at {at}", "another point, or another operation"
    )


def _how(graph: Graph, operand: float) -> str:
    """How an operand came to be 0, to be added to a sentence."""
    return f"; {origin_of_zero(graph, operand)}" if type(operand) is int else ""


def origin_of_zero(graph: Graph, position: int) -> str:
    """How a node came to have the number 0, in words."""
    node = graph.nodes[position]
    while True:
        if node.rule is None:
            return f"{node.name} was given as 0"
        inner = _zero_because_of(graph, node)
        if inner is None:
            break
        node = inner
    assert node.rule is not None
    told = f"{node.name} = {node.rule.name}({', '.join(operand_names(graph, node)[:4])})"
    first = operand_data(graph, node, max(0, rectified(node)))
    if rectified(node) >= 0:
        return f"{told} is 0 because its input is {short(first)}"
    if node.rule.name in ("mul", "div", "exp", "pow", "sigmoid"):
        return f"{told} is 0 by underflow: the result is below the smallest float"
    if node.rule.name in ("sub", "add", "sum", "dot"):
        return f"{told} adds up to 0"
    return f"{told} is 0 at {short(first)}"


def _growth(graph: Graph, position: int) -> tuple[int, str]:
    """Over how many operations a number has grown, and from what: the largest operand each time."""
    steps, node = 0, graph.nodes[position]
    while node.rule is not None:
        inner = [graph.nodes[each] for each in node.operands if type(each) is int]
        node = max(inner, key=lambda each: abs(each.data))
        steps += 1
    return steps, f"{node.name} = {short(node.data)}"


def _zero_because_of(graph: Graph, node: Node) -> Node | None:
    """An operand whose 0 makes a product, or each of whose terms makes a sum, 0; None for no such one."""
    assert node.rule is not None
    rule, data = node.rule.name, [operand_data(graph, node, i) for i in range(len(node.operands))]
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
    zeros = [graph.nodes[x] for x, y in zip(node.operands, data, strict=True) if type(x) is int and y == 0.0]
    computed = [each for each in zeros if each.rule is not None]
    return next(iter(computed or zeros), None)


def of_huge(graph: Graph, node: Node, place: int) -> Cause:
    """Why the local derivative of an operation in one operand is large."""
    assert node.rule is not None
    rule, names = node.rule.name, operand_names(graph, node)
    x = operand_data(graph, node, place)
    at = f"{names[place]} = {short(x)}"
    if rule == "div":
        b = operand_data(graph, node, 1)
        if abs(b) < 1.0:
            return Cause(
                "division by a small number", f"{node.name} divides by {names[1]} = {short(b)}",
                "a denominator that is kept away from 0 (b + 1e-6), or another form of the quotient",
            )  # fmt: skip
    if rule in ("log", "log1p") or (rule == "sqrt" or (rule == "pow" and abs(x) < 1.0)):
        return Cause(
            f"{rule} near its edge", f"{node.name} is the {rule} of {at}, where its slope is steep",
            "a fused loss (cross_entropy, softplus, logsumexp) in place of log of a probability"
            if rule.startswith("log") else "a number kept away from 0, such as sqrt(a + 1e-12)",
        )  # fmt: skip
    if rule in ("exp", "expm1", "sinh", "cosh"):
        return Cause(
            "growth of exp", f"{node.name} is the {rule} of {at}",
            "smaller arguments, or the logarithm of it all (logsumexp)",
        )  # fmt: skip
    operand = node.operands[place]
    if rule == "pow" and place == 0 and type(operand) is int:
        steps, start = _growth(graph, operand)
        grown = f", which has grown from {start} over {counted(steps, 'operation')}" if steps else ""
        return Cause(
            "power of a large number", f"{at}{grown}, is raised to the power "
            f"{short(operand_data(graph, node, 1))}",
            "inputs and targets at the scale of 1, smaller weights",
        )  # fmt: skip
    partner = partner_of(node, place)
    if partner is not None:
        other = node.operands[partner]
        steps, start = _growth(graph, other) if type(other) is int else (0, "")
        grown = f", which has grown from {start} over {counted(steps, 'operation')}" if steps else ""
        factor = operand_data(graph, node, partner)
        by = f"{names[partner]} = {short(factor)}" if type(other) is int else short(factor)
        return Cause(
            "growth by depth" if steps >= 10 else "multiplied by a large number",
            f"{names[place]} is multiplied by {by}{grown}",
            "inputs and targets at the scale of 1, smaller weights, squashing units (tanh)",
        )  # fmt: skip
    return Cause("steep operation", f"{rule} is steep at {at}", "inputs at the scale of 1")
