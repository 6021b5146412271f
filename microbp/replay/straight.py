"""The straight-line form: one assignment per node and per contribution, with Python's own floats.

It computes what the eager engine computes, operation by operation in the same order, and so the same
bits: the values, and the gradients of a backward pass. Only the sign of a gradient that is 0 may differ.
"""

from __future__ import annotations

import ast
import copy
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS, Expression
from microbp.groups import GroupPath
from microbp.replay.function_graph import TRAINS, VARIES, Captured
from microbp.replay.identifiers import Identifiers, one_line
from microbp.rules import Rule
from microbp.sweeps import rows

__all__ = ["straight"]

#: Columns of a line; and how many terms a statement adds up, over which Python's compiler recurses.
_WIDTH, _TERMS = 100, 100
#: What the language has beyond Python's ``math``, and what of it that calls, in an order of definition.
_HELPERS = {
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


def straight(captured: Captured, *, wrt_inputs: bool = False) -> str:
    """The source: ``value(inputs, parameters)`` and ``value_and_grad(inputs, parameters)``, for one sample.

    Both take lists of floats. ``value`` returns the output, or the list of outputs. ``value_and_grad``
    returns that and the list of the output's derivatives in the parameters (of several outputs, of their
    sum); with ``wrt_inputs`` also the list of those in the inputs.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> print(straight(capture((w * x).sin() * w, inputs=[x], params=[w])), end="")
    from math import cos, sin
    <BLANKLINE>
    <BLANKLINE>
    def value(inputs, parameters):
        x, = inputs
        w, = parameters
        v2 = w * x
        v3 = sin(v2)
        v4 = v3 * w
        return v4
    <BLANKLINE>
    <BLANKLINE>
    def value_and_grad(inputs, parameters):
        x, = inputs
        w, = parameters
        v2 = w * x
        v3 = sin(v2)
        v4 = v3 * w
        # Backward, from the last value to the first: d_v is ∂v4/∂v.
        d_v4 = 1.0
        d_w = d_v4 * v3
        d_v3 = d_v4 * w
        d_v2 = d_v3 * cos(v2)
        d_w += d_v2 * x
        return v4, [d_w]
    """
    writer = _Writer(captured, wrt_inputs)
    writer.values()
    values, writer.lines = writer.lines, []
    gradients = writer.gradients()
    backward, writer.lines = writer.lines, []
    outputs = [writer.texts[each] for each in captured.outputs]
    result = f"[{', '.join(outputs)}]" if captured.output_shape else outputs[0]
    for name, body, results in (("value", values, ""), ("value_and_grad", values + backward, gradients)):
        writer.lines += ["", "", f"def {name}(inputs, parameters):"]
        writer.unpack("inputs", captured.inputs)
        writer.unpack("parameters", captured.params)
        writer.lines += body
        writer.statement("return", "", result + results)
    return _header(writer.words) + "\n".join(writer.lines) + "\n"


class _Writer:
    """Writes statements; a node is told by its position, a literal by its number below 0, as in a graph."""

    def __init__(self, captured: Captured, wrt_inputs: bool) -> None:
        self.captured, self.record = captured, captured.graph
        record, self.given = captured.graph, captured.graph.named
        self.leaves = {*captured.inputs, *captured.params}
        self.identifiers = Identifiers(["inputs", "parameters"])
        self.operands, self.op = rows(record), record.op.tolist()
        fixed = [op < 0 and at not in self.leaves for at, op in enumerate(self.op)]
        numbers = [*record.data[fixed].tolist(), *record.consts.tolist()]
        #: The functions and constants that the source calls.
        kinds = (("nan", math.isnan), ("inf", math.isinf))
        self.words = {word for word, is_it in kinds if any(map(is_it, numbers))}
        #: The name of each node, or the number that it is; then those of the literals.
        self.texts = [
            repr(number) if constant and not self.given[at] else self.identifiers.new(record.name(at))
            for at, (constant, number) in enumerate(zip(fixed, record.data.tolist(), strict=True))
        ]
        self.texts += map(repr, reversed(record.consts.tolist()))
        #: Whether a gradient that is asked for passes through the node.
        needed = (captured.flags & (TRAINS | VARIES if wrt_inputs else TRAINS)) > 0
        self.needed: list[bool] = needed.tolist()
        self.wrt_inputs = wrt_inputs
        #: The upstream gradients that have begun.
        self.upstream: dict[int, str] = {}
        self.lines: list[str] = []

    def statement(self, target: str, sign: str, text: str) -> None:
        """``target = text``, broken into lines where it is long; without a sign, ``return text``."""
        left = f"    {target} {sign}".rstrip()
        if len(left) + len(text) < _WIDTH:
            self.lines.append(f"{left} {text}")
        elif len(target) > len(text):
            self.lines += ["    (", *_wrapped(target), f"    ) {sign} {text}"]
        else:
            self.lines += [f"{left} (", *_wrapped(text), "    )"]

    def unpack(self, family: str, places: Sequence[int | None]) -> None:
        """The leaves as variables."""
        texts = ["_" if place is None else self.texts[place] for place in places]
        if {*texts} - {"_"}:
            self.statement(", ".join(texts) + "," * (len(texts) == 1), "=", family)

    def values(self) -> None:
        """The value of each node, with the groups in which it was recorded as comments."""
        before: GroupPath = ()
        for at, op in enumerate(self.op):
            if op < 0:
                if self.given[at] and at not in self.leaves:
                    self.statement(self.texts[at], "=", repr(float(self.record.data[at])))
                continue
            if self.record.group(at) != before:
                before = self.record.group(at)
                path = (f"{name}, call {number + 1}" if number else name for name, number in before)
                self.lines += [f"    # {one_line(' / '.join(path))}."] * bool(before)
            rule, row = self.record.rules[op], self.operands[at]
            found = template(rule, None, self.literals(rule, row))
            self.statement(self.texts[at], "=", self.filled(found, rule, at, last=True)[0])

    def gradients(self) -> str:
        """The chain rule, from the last node to the first; returns what is returned of it."""
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
        found = ""
        for leaves in (captured.params, *[captured.inputs] * self.wrt_inputs):
            slopes = (self.upstream.get(-1 if at is None else at, "0.0") for at in leaves)
            found += f", [{', '.join(slopes)}]"
        return found

    def pass_on(self, at: int) -> None:
        """Contributions to a node's operands, the last first, as the eager engine."""
        rule, row, upstream = self.record.rules[self.op[at]], self.operands[at], self.upstream[at]
        for place, arg in reversed([*enumerate(rule.args)]):
            entry: Any = rule.split(row)[place]
            several = [*enumerate(entry)] if arg in rule.over else [(0, entry)]
            if any(each >= 0 and self.needed[each] for _, each in several):
                found = template(rule, place, self.literals(rule, row))
                texts = self.filled(found, rule, at)
                for element, each in reversed(several):
                    if each >= 0 and self.needed[each]:
                        self.give(each, _product(upstream, texts[element], found.factor))

    def give(self, at: int, text: str) -> None:
        """Add to an upstream gradient."""
        begun = at in self.upstream
        if not begun:
            self.upstream[at] = self.identifiers.new(f"d_{self.texts[at]}")
        self.statement(self.upstream[at], "+=" if begun else "=", text)

    def literals(self, rule: Rule, row: Sequence[int]) -> Literals:
        """The arguments of a node that are literals; not elements of lists."""
        if min(row) >= 0:
            return ()
        entries = zip(rule.args, rule.split(row), strict=True)
        return tuple((arg, self.texts[each]) for arg, each in entries if type(each) is int and each < 0)

    def filled(self, found: Template, rule: Rule, at: int, *, last: bool = False) -> list[str]:
        """The text of a template for a node: one, or for a derivative in a list one for each element."""
        texts = rule.split([self.texts[each] for each in self.operands[at]])
        entries = dict(zip(rule.args, texts, strict=True))
        columns = [entries.pop(arg) for arg in rule.over]
        elements = [dict(zip(rule.over, each, strict=True)) for each in zip(*columns, strict=True)]
        self.words |= found.words

        def temporary(text: str) -> str:
            made = self.identifiers.new(f"{self.texts[at]}_sum")
            self.statement(made, "=", text)
            return made

        scope = found.scope({**entries, "y": self.texts[at]}, elements, temporary, last=last)
        return [found.text.format_map({**scope, **each}) for each in elements or [{}]]


def _wrapped(text: str) -> list[str]:
    indent = " " * 8
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _product(upstream: str, local: str, factor: bool) -> str:
    """Upstream gradient times local derivative; what is exact in floats is left out."""
    if local in ("1.0", "-1.0"):
        return local.replace("1.0", upstream)
    return f"{upstream} * {local}" if factor else f"{upstream} * ({local})"


def _header(words: set[str]) -> str:
    """The import of what a source calls, and what it needs beyond."""
    words = words.union(*(needs for word, (needs, _) in _HELPERS.items() if word in words))
    plain = [each for each in words if each == "abs" or hasattr(math, each)]
    known = sorted("fabs as abs" if each == "abs" else each for each in plain)
    lines = [f"from math import {', '.join(known)}\n"] if known else []
    others = sorted(words & FUNCTIONS.keys() - _HELPERS.keys() - {"abs"} - vars(math).keys())
    if others:
        lines.append("\nfrom microbp.expr import FUNCTIONS\n\n")
        lines += [f"{each} = FUNCTIONS[{each!r}].real\n" for each in others]
    return "\n".join(["".join(lines), *(text for word, (_, text) in _HELPERS.items() if word in words)])


# ---------------------------------------------------------------------------------------- templates
#: The arguments of a node that are literals: the name, and the number as text (0.0 is not -0.0).
Literals = tuple[tuple[str, str], ...]
_FACTORS = (ast.Name, ast.Constant, ast.Call, ast.UnaryOp)


class Sum(NamedTuple):
    """``total`` or ``largest`` over the elements, in a template."""

    #: What stands for it in the text.
    name: str
    function: str
    #: One term of it.
    term: str
    #: Whether the term can stand between two ``+`` without parentheses.
    tight: bool


class Template(NamedTuple):
    """The text of an expression with ``{a}`` for the argument a, and what it sums over the elements.

    Sums become sums of as many terms, from left to right and from 0.0 on as in the eager engine, so that
    the text computes the same bits.
    """

    text: str
    #: In an order in which they can be computed: a term may name an earlier one.
    sums: tuple[Sum, ...]
    #: Whether the text can be a factor without parentheses.
    factor: bool
    #: The functions and constants that it needs.
    words: frozenset[str]

    def scope(
        self,
        names: Mapping[str, str],
        elements: Sequence[Mapping[str, str]],
        temporary: Callable[[str], str],
        *,
        last: bool,
    ) -> dict[str, str]:
        """``names``, and a text for each of the sums.

        ``temporary(text)`` computes a text beforehand and gives back a name for it. With ``last``, a
        sum that the text begins with stays in the text.
        """
        scope = dict(names)
        for each in self.sums:
            terms = [each.term.format_map({**scope, **element}) for element in elements]
            if each.function != "total":
                scope[each.name] = temporary(f"{each.function}([{', '.join(terms)}])")
                continue
            terms = ["0.0", *(terms if each.tight else [f"({term})" for term in terms])]
            while len(terms) > _TERMS:
                terms[:_TERMS] = [temporary(" + ".join(terms[:_TERMS]))]
            total = " + ".join(terms)
            scope[each.name] = total if last and self._begins_with(each) else temporary(total)
        return scope

    def _begins_with(self, it: Sum) -> bool:
        hole = f"{{{it.name}}}"
        alone = sum(text.count(hole) for text in (self.text, *(each.term for each in self.sums))) == 1
        return alone and (self.text == hole or self.text.startswith((f"{hole} + ", f"{hole} - ")))


@lru_cache(maxsize=4096)
def template(rule: Rule, place: int | None = None, literals: Literals = ()) -> Template:
    """The value of a rule, or its derivative in the argument at ``place``, for one element of a list.

    With ``literals``, what they decide is decided here:

    >>> from microbp.rules import RULES
    >>> template(RULES["pow"], 0, (("b", "2.0"),)).text
    '2.0 * pow({a}, 1.0)'
    >>> template(RULES["dot"]).text, template(RULES["dot"]).sums
    ('{_0} + {b}', (Sum(name='_0', function='total', term='{w} * {x}', tight=True),))
    """
    holes = _Holes(dict(literals))
    tree = holes.visit(copy.deepcopy((rule.y if place is None else rule.d[place]).tree))
    match tree:  # a sum that begins with 0.0 is not -0.0, and so the same
        case ast.BinOp(left=ast.Name(id="{_0}"), op=ast.Add(), right=ast.Constant(value=0.0)):
            tree = tree.left
    words = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)} | holes.words
    words &= {*FUNCTIONS, *CONSTANTS, *AGGREGATES}
    sums, factor = tuple(holes.sums.values()), isinstance(tree, _FACTORS)
    return Template(ast.unparse(tree), sums, factor, frozenset(words))


class _Holes(ast.NodeTransformer):
    """Puts the literals in, and computes what depends on them alone, in floats as the eager engine does.

    Of each other argument it makes a hole, and of each sum.
    """

    def __init__(self, literals: dict[str, str]) -> None:
        self.literals = literals
        self.sums: dict[tuple[str, str], Sum] = {}
        #: What is called in terms of sums.
        self.words: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.literals:
            return _parsed(self.literals[node.id])
        return node if node.id in CONSTANTS else ast.Name(f"{{{node.id}}}")

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        deciding = isinstance(node.op, ast.Or)
        values = [self.visit(each) for each in node.values]
        if any(isinstance(each, ast.Constant) and each.value is deciding for each in values):
            return ast.Constant(deciding)
        values = [each for each in values if not isinstance(each, ast.Constant)]
        if len(values) > 1:
            return ast.BoolOp(node.op, values)
        return values[0] if values else ast.Constant(not deciding)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test = self.visit(node.test)
        if not isinstance(test, ast.Constant):
            return ast.IfExp(test, self.visit(node.body), self.visit(node.orelse))
        chosen: ast.expr = self.visit(node.body if test.value else node.orelse)
        return chosen

    def _computed(self, node: ast.expr) -> ast.expr:
        self.generic_visit(node)
        if not self.literals or any(isinstance(each, ast.Name | ast.Call) for each in ast.walk(node)):
            return node
        try:
            return _parsed(repr(Expression("", frozenset(), node).evaluate({})))  # inf becomes a name
        except ArithmeticError:
            return node

    visit_UnaryOp = visit_BinOp = visit_Compare = _computed  # noqa: N815 (names of ast)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.args = [self.visit(arg) for arg in node.args]
        assert isinstance(node.func, ast.Name)
        if node.func.id not in AGGREGATES:
            return node
        term = node.args[0]
        tight = isinstance(term, _FACTORS) or (
            isinstance(term, ast.BinOp) and isinstance(term.op, ast.Mult | ast.Div)
        )
        self.words |= {node.func.id, *(each.id for each in ast.walk(term) if isinstance(each, ast.Name))}
        key = node.func.id, ast.unparse(term)
        made = self.sums.setdefault(key, Sum(f"_{len(self.sums)}", *key, tight))
        return ast.Name(f"{{{made.name}}}")


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
