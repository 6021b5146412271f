"""One operation by itself: whether a recorded local derivative is right.

The complex step decides where the operation is smooth, and the slopes on either side at a corner. What may be
rounding in the recorded derivative is not called an error: its formula is recorded itself, and what the last
digit of each number in it comes to is added up.

Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition (2002), chapter 3: running
error analysis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextvars import Context
from typing import Any

import numpy as np

from microbp.check.measure import EPS, SAFETY, TINY, Derivative, Verdict, complex_step, judge
from microbp.compiled import compiled, compiled_complex
from microbp.differentiate import ON_VALUES
from microbp.graph import Graph, Node
from microbp.rules import Rule
from microbp.sweeps import backward
from microbp.tables import number
from microbp.value import Value

#: How many operands times operands of one operation are gone through to measure it.
MEASURED = 4_000_000
#: The verdicts on a local derivative.
WORDS = {"right": "fine", "corner": "corner", "wrong": "WRONG RULE", "unknown": "undecided"}


def verdicts(node: Node, numbers: Sequence[float]) -> list[Verdict | None]:
    """On each local derivative of a node; None for a literal. ``numbers`` are those of all nodes.

    To measure one takes time in proportion to the operands. Where there are thousands, so many of them are
    measured, at even distances, that it does not grow any more; the others are undecided, and say so.
    """
    count = len(node.operands)
    every = math.ceil(count**2 / MEASURED)
    rest = Verdict(math.nan, "undecided", f"not measured: of {count:,} operands one in {every:,} is")
    return [
        verdict(node, numbers, place) if place % every == 0
        else None if node.local_derivatives[place] is None else rest
        for place in range(count)
    ]  # fmt: skip


def verdict(node: Node, numbers: Sequence[float], place: int) -> Verdict | None:
    """On the local derivative of a node in one operand; None for a literal."""
    stated = node.local_derivatives[place]
    if stated is None:
        return None
    assert node.rule is not None
    operands = [numbers[each] if type(each) is int else each for each in node.operands]
    found = _judged(node.rule, operands, place, stated)
    return found._replace(word=WORDS[found.word])


def _judged(rule: Rule, operands: list[float], place: int, stated: float) -> Verdict:
    if not all(map(math.isfinite, operands)):
        return Verdict(math.nan, "unknown", "an operand is not finite")
    x, value, continued = operands[place], compiled(rule).value, compiled_complex(rule)

    def entries(at: Any) -> list[Any]:
        return rule.split([*operands[:place], at, *operands[place + 1 :]])

    def defined(at: float) -> bool:
        try:
            return not math.isnan(value(*entries(at)))
        except (ArithmeticError, ValueError):
            return False

    got = complex_step(lambda z: continued(*entries(z)), x)
    found = judge(stated, got)
    if found.word == "right" and not rule.corner:
        return found
    below, above = (defined(math.nextafter(x, end)) for end in (-math.inf, math.inf))
    if not (below and above):
        return _at_the_edge(stated, got, x, below, above)
    if found.word == "right":
        return found
    if not math.isfinite(stated) and not got.value:  # a power that has gone to 0 is flat
        return Verdict(got.value, "unknown", "the derivative is not finite")
    found = judge(stated, got, SAFETY * rounding_error(rule, entries(x), place))
    if found.word == "wrong" and not got.kinked:  # sqrt(a * a) shows its corner only from beside it
        beside = 2.0**-45 * (abs(x) or max(map(abs, operands)) or 1.0)
        left, right = (complex_step(lambda z: continued(*entries(z)), x + d).value for d in (-beside, beside))
        if min(left, right) < stated < max(left, right):
            found = judge(stated, got._replace(left=left, right=right))
    if found.word == "corner":
        return found._replace(measured=stated, why=f"{found.why}; by convention {number(stated)}")
    return found


def _at_the_edge(stated: float, got: Derivative, x: float, below: bool, above: bool) -> Verdict:
    """Where the operation is undefined on a side: by the slope on the other."""
    if not (below or above):
        return Verdict(math.nan, "unknown", f"undefined beside {x!r}")
    slope, told = (got.right, f"undefined below {x!r}") if above else (got.left, f"undefined above {x!r}")
    found = judge(stated, got._replace(value=slope, left=slope, right=slope))
    if math.isinf(stated):
        told += ", but the slope is finite" if found.word == "wrong" else f", where {found.why}"
    return found._replace(word="corner" if found.word == "right" else found.word, why=told)


def rounding_error(rule: Rule, entries: list[Any], place: int | None) -> float:
    """That of the derivative in the operand at ``place``, of the value for None; 0 if it cannot be told."""
    return Context().run(_rounding_error, rule, entries, place)  # no ``no_grad()`` holds here


def _rounding_error(rule: Rule, entries: list[Any], place: int | None) -> float:
    values = [list(map(Value, each)) if type(each) is list else Value(each) for each in entries]
    scope, elements = dict(zip(rule.args, values, strict=True)), rule.elements(values)
    flat = [(i, j) for i, each in enumerate(values) for j in range(len(each) if type(each) is list else 1)]
    reading = ON_VALUES._replace(known={})
    try:
        found = rule.y.evaluate(scope, reading, elements)
        if place is not None:
            argument, element = flat[place]
            here = elements[element] if elements else {}
            found = rule.d[argument].evaluate({**scope, **here, "y": found}, reading, elements)
        if not isinstance(found, Value) or found.is_leaf:
            return 0.0  # as it was given
        graph = Graph(found, {})
    except (ArithmeticError, ValueError):
        return 0.0
    with np.errstate(all="ignore"):
        last = (EPS * abs(graph.data) + EPS * TINY) * (graph.op >= 0)
        error = last * abs(backward(graph, {len(graph) - 1: 1.0}))
    return float(np.sum(error, where=np.isfinite(error)))
