"""The straight-line form: one assignment per node and per contribution, with Python's own floats.

It computes what the eager engine computes, operation by operation in the same order, and so the same
bits: the values, and the gradients of a backward pass. Only the sign of a gradient that is 0 may differ.
"""

from __future__ import annotations

import ast
import math
import textwrap
from collections import defaultdict
from functools import lru_cache, partial, reduce
from typing import Any

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS, REAL
from microbp.labels import GroupPath
from microbp.replay.code import Identifiers, Tree, name, one_line, put_together, reading, tree_of
from microbp.replay.function_graph import TRAINS, Captured
from microbp.rules import Rule
from microbp.sweeps import rows

__all__ = ["straight"]

#: Columns of a line; and how many terms a statement adds up, over which Python's compiler recurses.
_WIDTH, _TERMS = 100, 100
_KNOWN = {*FUNCTIONS, *CONSTANTS, *AGGREGATES}
#: What the language has beyond Python's ``math``, and what of it that calls, in an order of definition.
_HELPERS = {
    "dpow": (set[str](), "from microbp.expr import FUNCTIONS\n\ndpow = FUNCTIONS['dpow'].real\n"),
    "largest": ({"isnan", "nan"}, '''
def largest(numbers):
    """The largest number; nan as soon as one is nan."""
    return nan if any(map(isnan, numbers)) else max(numbers)
'''),
    "rest": ({"largest", "isnan", "nan"}, '''
def rest(numbers):
    """The sum of all but one of the largest, from left to right."""
    top = largest(numbers)
    if isnan(top):
        return nan
    numbers.remove(top)
    total = 0.0
    for number in numbers:
        total += number
    return total
'''),
    "sigmoid": ({"exp"}, '''
def sigmoid(a):
    """The logistic function, which never overflows."""
    return 1.0 / (1.0 + exp(-a)) if a > -700.0 else exp(a)
'''),
}  # fmt: skip


def straight(captured: Captured) -> str:
    """The source: ``value(inputs, parameters)`` and ``value_and_grad(inputs, parameters)``, for one sample.

    Both take lists of floats. ``value`` returns the output, or the list of outputs; ``value_and_grad`` that
    and the list of the output's derivatives in the parameters (of several outputs, of their sum).
    """
    writer = _Writer(captured)
    writer.values()
    values, writer.lines = writer.lines, []
    slopes = writer.gradients()
    outputs = [writer.texts[each] for each in captured.outputs]
    result = f"[{', '.join(outputs)}]" if captured.output_shape else outputs[0]
    functions = ("value", values, result), ("value_and_grad", values + writer.lines, f"{result}, {slopes}")
    writer.lines = []
    for word, body, returned in functions:
        writer.lines += ["", "", f"def {word}(inputs, parameters):"]
        for family, places in (("inputs", captured.inputs), ("parameters", captured.params)):
            if texts := [writer.texts[place] for place in places]:
                writer.statement(", ".join(texts) + "," * (len(texts) == 1), "=", family)
        writer.lines += body
        writer.statement("return", "", returned)
    return _header(writer.words) + "\n".join(writer.lines) + "\n"


class _Writer:
    """Writes statements; a node is told by its position, a literal by its number below 0, as in a graph."""

    def __init__(self, captured: Captured) -> None:
        self.captured, self.record = captured, captured.graph
        record, self.given = captured.graph, captured.graph.named
        self.leaves = {*captured.inputs, *captured.params}
        self.identifiers = Identifiers(["inputs", "parameters"])
        self.operands, self.op = rows(record), record.op.tolist()
        fixed = [op < 0 and at not in self.leaves for at, op in enumerate(self.op)]
        numbers = [*record.data[fixed].tolist(), *record.consts.tolist()]
        #: The functions and constants that the source calls.
        self.words = {str(abs(number)) for number in numbers if not math.isfinite(number)}
        #: The name of each node, or the number that it is; then those of the literals.
        self.texts = [
            repr(number) if constant and not self.given[at] else self.identifiers.new(record.names[at])
            for at, (constant, number) in enumerate(zip(fixed, record.data.tolist(), strict=True))
        ]
        self.texts += map(repr, reversed(record.consts.tolist()))
        #: Whether a gradient that is asked for passes through the node; never through a literal.
        self.needed = [*(captured.flags & TRAINS > 0).tolist(), *[False] * len(record.consts)]
        #: The upstream gradients that have begun.
        self.upstream: dict[int, str] = {}
        #: Of each node with lists what its sums over these are called, by their texts in the table.
        self.sums: dict[int, dict[str, Any]] = defaultdict(dict)
        #: Rows without lists are read once for all nodes.
        self.single = lru_cache(maxsize=4096)(_single)
        self.lines: list[str] = []

    def statement(self, target: str, sign: str, text: str) -> None:
        """``target = text``, broken into lines where it is long; without a sign, ``return text``."""
        left = f"    {target} {sign}".rstrip()
        if len(left) + len(text) < _WIDTH:
            self.lines.append(f"{left} {text}")
            return
        indent, head, tail = " " * 8, f"{left} (", "    )"
        if len(target) > len(text):
            head, text, tail = "    (", target, f"    ) {sign} {text}"
        broken = textwrap.wrap(
            text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        self.lines += [head, *broken, tail]

    def values(self) -> None:
        """The value of each node, with the groups in which it was recorded as comments."""
        before: GroupPath = ()
        for at, op in enumerate(self.op):
            if op < 0:
                if self.given[at] and at not in self.leaves:
                    self.statement(self.texts[at], "=", repr(float(self.record.data[at])))
                continue
            if self.record.groups[at] != before:
                before = self.record.groups[at]
                path = (f"{word}, call {number + 1}" if number else word for word, number in before)
                self.lines += [f"    # {one_line(' / '.join(path))}."] * bool(before)
            self.statement(self.texts[at], "=", self.filled(at)[0])

    def gradients(self) -> str:
        """The chain rule, from the last node to the first; the list of the derivatives in parameters."""
        captured = self.captured
        outputs = [each for each in captured.outputs if self.needed[each]]
        if outputs:
            whole = self.texts[outputs[0]] if len(captured.outputs) == 1 else "(sum of the outputs)"
            self.lines.append(f"    # Backward, from the last value to the first: d_v is ∂{whole}/∂v.")
        for each in reversed(outputs):
            self.give(each, "1.0")
        for at in reversed(range(len(self.op))):
            if self.op[at] >= 0 and at in self.upstream:
                self.pass_on(at)
        return f"[{', '.join(self.upstream.get(at, '0.0') for at in captured.params)}]"

    def pass_on(self, at: int) -> None:
        """Contributions to a node's operands, the last first, as the eager engine."""
        rule = self.record.rules[self.op[at]]
        for place, entry in reversed([*enumerate(rule.split(self.operands[at]))]):
            operands = entry if isinstance(entry, list) else [entry]
            if any(self.needed[each] for each in operands):
                for each, text in reversed([*zip(operands, self.filled(at, place), strict=True)]):
                    if self.needed[each]:
                        self.give(each, text)

    def give(self, at: int, text: str) -> None:
        begun = at in self.upstream
        if not begun:
            self.upstream[at] = self.identifiers.new(f"d_{self.texts[at]}")
        self.statement(self.upstream[at], "+=" if begun else "=", text)

    def filled(self, at: int, place: int | None = None) -> list[str]:
        """The text of a node's value, or of what an argument receives: of a list each element."""
        rule, row = self.record.rules[self.op[at]], self.operands[at]
        if not rule.over:
            literals = tuple(self.texts[each] if each < 0 else "" for each in row)
            text, words = self.single(rule, place, literals)
            self.words |= words
            texts = [self.texts[each] for each in row]
            return [text.format(*texts, y=self.texts[at], upstream=self.upstream.get(at))]
        held = [float(self.texts[each]) if each < 0 else name(self.texts[each]) for each in row]
        scope: dict[str, Any] = dict(zip(rule.args, rule.split(held), strict=True))
        columns = [scope.pop(arg) for arg in rule.over]
        elements = [dict(zip(rule.over, each, strict=True)) for each in zip(*columns, strict=True)]
        sums = {word: partial(self.aggregate, at, word) for word in AGGREGATES}
        to, scope["y"] = reading(_made, sums)._replace(known=self.sums[at]), name(self.texts[at])
        listed = place is not None and rule.args[place] in rule.over
        read = rule.y if place is None else rule.d[place]
        found = [read.evaluate({**scope, **each}, to, elements) for each in (elements if listed else [{}])]
        if place is not None:
            found = [_product(name(self.upstream[at]), each) for each in found]
        return [self.said(tree_of(each)) for each in found]

    def aggregate(self, at: int, word: str, elements: list[Any]) -> Any:
        """``total``, ``largest`` or ``rest`` of the elements, under a name where it is used again.

        A total is a sum of as many terms, from left to right and from 0.0 on as in the eager engine.
        """
        if all(isinstance(each, float) for each in elements):
            return REAL.functions[word](elements)
        terms = [*map(tree_of, elements)]
        made: Any = ast.Call(name(word), [ast.List(terms)], [])
        if word == "total":
            made = ast.Constant(0.0)
            while len(terms) > _TERMS:
                made = self.temporary(at, reduce(_sum, terms[:_TERMS], made))
                terms = terms[_TERMS:]
            made = reduce(_sum, terms, made)
        return made if _is_sum(self.record.rules[self.op[at]]) else self.temporary(at, made)

    def temporary(self, at: int, tree: Tree) -> ast.Name:
        made = self.identifiers.new(f"{self.texts[at]}_sum")
        self.statement(made, "=", self.said(tree))
        return ast.Name(made)

    def said(self, tree: Tree) -> str:
        """The tree as Python; what it calls is noted."""
        self.words |= _words(tree)
        return ast.unparse(tree)


def _header(words: set[str]) -> str:
    """The import of what a source calls, and what it needs beyond."""
    words = words.union(*(needs for word, (needs, _) in _HELPERS.items() if word in words))
    known = {word: word for word in words if hasattr(math, word)}
    known |= {"abs": "fabs as abs"} if "abs" in words else {}
    lines = [f"from math import {', '.join(sorted(known.values()))}\n"] * bool(known)
    return "\n".join(["".join(lines), *(text for word, (_, text) in _HELPERS.items() if word in words)])


def _single(rule: Rule, place: int | None, literals: tuple[str, ...]) -> tuple[str, set[str]]:
    """As :meth:`_Writer.filled`, of a row without lists, with holes for operands; and what it calls.

    Of each operand that is a literal its text is given.
    """
    held = [float(text) if text else name(f"{{{number}}}") for number, text in enumerate(literals)]
    scope = {**dict(zip(rule.args, held, strict=True)), "y": name("{y}")}
    made = (rule.y if place is None else rule.d[place]).evaluate(scope, reading(_made, {}), [])
    tree: Tree = tree_of(made if place is None else _product(name("{upstream}"), made))
    return ast.unparse(tree), _words(tree)


def _words(tree: Tree) -> set[str]:
    return {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)} & _KNOWN


@lru_cache
def _is_sum(rule: Rule) -> bool:
    """Whether a total is all that the row knows of its lists as wholes: it is written where it stands."""
    parts = [each for expression in (rule.y, *rule.d) for each in ast.walk(expression.tree)]
    return [each.id for each in parts if isinstance(each, ast.Name) and each.id in AGGREGATES] == ["total"]


def _sum(left: Tree, right: Tree) -> Tree:
    return ast.BinOp(left, ast.Add(), right)


def _product(upstream: Tree, local: Any) -> Tree:
    """Upstream gradient times local derivative; what is exact in floats is left out."""
    if isinstance(local, float) and abs(local) == 1.0:
        return upstream if local > 0.0 else ast.UnaryOp(ast.USub(), upstream)
    return put_together(ast.Mult, (upstream, local))


def _made(word: Any, operands: tuple[Any, ...]) -> Tree:
    """A sum that begins with 0.0 is not -0.0, and so the same with another 0.0."""
    first = total = operands[0]
    while isinstance(first, ast.BinOp) and isinstance(first.op, ast.Add):
        first = first.left
    if word is ast.Add and first is not total and operands[1] == 0.0 == getattr(first, "value", None):
        return total  # type: ignore[no-any-return]
    return put_together(word, operands)
