"""The statements of one node: its value, and what it passes on to its operands.

Whether a graph is written out node by node or as loops, a node's statements are the same texts.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from microbp.expr import FUNCTIONS
from microbp.groups import GroupPath
from microbp.replay.identifiers import Identifiers, one_line
from microbp.replay.templates import Literals, template
from microbp.rules import Rule

__all__ = ["Statements", "calls", "header"]

#: Columns of a line.
WIDTH = 100
#: An operand: what identifies it, or a number.
Operand = int | float
#: What the language has beyond Python's ``math``, in the order in which one needs another.
_HELPERS = {
    "largest": '''
def largest(numbers):
    """The largest number; nan as soon as one is nan."""
    return nan if any(map(isnan, numbers)) else max(numbers)
''',
    "rest": '''
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
''',
    "sigmoid": '''
def sigmoid(a):
    """The logistic function, which never overflows."""
    return 1.0 / (1.0 + exp(-a)) if a > -700.0 else exp(a)
''',
}
#: What these call.
_NEEDS = {"largest": {"isnan", "nan"}, "rest": {"largest", "isnan", "nan"}, "sigmoid": {"exp"}}


class Statements:
    """Writes them; a subclass says what operands are called, and where gradients go."""

    def __init__(self, identifiers: Identifiers, words: set[str]) -> None:
        self.identifiers = identifiers
        #: The functions and constants that are called, of all functions of a source.
        self.words = words
        self.lines: list[str] = []
        self.indent = "    "

    def value_of(self, operand: int) -> str:
        """The text of an operand's value."""
        raise NotImplementedError

    def goes_to(self, operand: int) -> bool:
        """Whether an operand takes a gradient."""
        raise NotImplementedError

    def give(self, operand: int, text: str) -> None:
        """Add to an operand's upstream gradient."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------ statements
    def line(self, text: str) -> None:
        """A line that is short."""
        self.lines.append(self.indent + text)

    def statement(self, target: str, sign: str, text: str) -> None:
        """``target = text``, broken into lines where it is long; without a sign, ``return text``."""
        whole = f"{target} {sign} {text}" if sign else f"{target} {text}"
        if len(self.indent) + len(whole) <= WIDTH:
            self.line(whole)
        elif len(target) > len(text):
            self.line("(")
            self._wrapped(target)
            self.line(f") {sign} {text}")
        else:
            self.line(f"{target} {sign} (" if sign else f"{target} (")
            self._wrapped(text)
            self.line(")")

    def _wrapped(self, text: str) -> None:
        indent = self.indent + "    "
        self.lines += textwrap.wrap(
            text, WIDTH, initial_indent=indent, subsequent_indent=indent,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip

    def compute(self, rule: Rule, operands: Sequence[Operand], target: str, name: str) -> None:
        """``target = `` the value of a rule; parts of it get ``name``. Floats among the operands decide."""
        literals = _literals(rule, operands)
        found = template(rule, None, literals)
        self.words |= found.words
        scope, elements = _scopes(rule, [self._text(each) for each in operands])
        scope = found.scope(scope, elements, lambda text: self._temporary(name, text), last=True)
        self.statement(target, "=", found.text.format_map(scope))

    def pass_on(
        self, rule: Rule, operands: Sequence[Operand], y: int, upstream: str, name: str
    ) -> None:
        """Contributions to a node's operands, the last first, as the eager engine; ``y`` is the node."""
        literals = _literals(rule, operands)
        known: dict[int, tuple[dict[str, str], list[dict[str, str]]]] = {}
        for place, element, operand in reversed(_places(rule, operands)):
            if type(operand) is not int or not self.goes_to(operand):
                continue
            found = template(rule, place, literals)
            if place not in known:
                self.words |= found.words
                pairs = zip(operands, _args(rule, operands), strict=True)
                scope, elements = _scopes(rule, [self._text(each, found.args, arg) for each, arg in pairs])
                scope["y"] = self.value_of(y) if "y" in found.args else ""
                scope = found.scope(scope, elements, lambda text: self._temporary(name, text))
                known[place] = scope, elements
            scope, elements = known[place]
            local = found.text.format_map({**scope, **(elements[element] if element is not None else {})})
            self.give(operand, _product(upstream, local, found.factor))

    def _text(self, operand: Operand, used: frozenset[str] | None = None, arg: str = "") -> str:
        """The text of an operand; nothing of one that is not used."""
        if type(operand) is not int:
            return repr(operand)
        return self.value_of(operand) if used is None or arg in used else ""

    def _temporary(self, name: str, text: str) -> str:
        """A name for a part of an expression."""
        made = self.identifiers.new(f"{name}_sum")
        self.statement(made, "=", text)
        return made


# ------------------------------------------------------------------------------------------ of a node
def _args(rule: Rule, operands: Sequence[object]) -> list[str]:
    """The argument of each operand."""
    found: list[str] = []
    for arg, entry in zip(rule.args, rule.split(operands), strict=True):
        found += [arg] * len(entry) if arg in rule.over else [arg]
    return found


def _scopes(rule: Rule, texts: Sequence[str]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The text of each argument, and of each that runs over elements, for each of these."""
    entries = dict(zip(rule.args, rule.split(texts), strict=True))
    columns = [entries.pop(arg) for arg in rule.over]
    return entries, [dict(zip(rule.over, each, strict=True)) for each in zip(*columns, strict=True)]


def _places(rule: Rule, operands: Sequence[Operand]) -> list[tuple[int, int | None, Operand]]:
    """Of each operand: the place of its argument, the index of its element, and the operand."""
    found: list[tuple[int, int | None, Operand]] = []
    for place, (arg, entry) in enumerate(zip(rule.args, rule.split(operands), strict=True)):
        if arg in rule.over:
            found += [(place, index, each) for index, each in enumerate(entry)]
        else:
            found.append((place, None, entry))
    return found


def _literals(rule: Rule, operands: Sequence[Operand]) -> Literals:
    if all(type(each) is int for each in operands):
        return ()
    entries = zip(rule.args, rule.split(operands), strict=True)
    return tuple((arg, repr(entry)) for arg, entry in entries if type(entry) is float)


def _product(upstream: str, local: str, factor: bool) -> str:
    """Upstream gradient times local derivative; what is exact in floats is left out."""
    if local in ("1.0", "-1.0"):
        return local.replace("1.0", upstream)
    return f"{upstream} * {local}" if factor else f"{upstream} * ({local})"


def calls(group: GroupPath) -> str:
    """The groups that a node is in, as a comment."""
    path = (f"{name}, call {number + 1}" if number else name for name, number in group)
    return f"# {one_line(' / '.join(path))}."


def header(words: set[str]) -> str:
    """The import of what a source calls, and what it needs beyond."""
    words = words.union(*(_NEEDS.get(each, set()) for each in words))
    words = words.union(*(_NEEDS.get(each, set()) for each in words))
    plain = [each for each in words if each == "abs" or hasattr(math, each)]
    known = sorted("fabs as abs" if each == "abs" else each for each in plain)
    lines = [f"from math import {', '.join(known)}\n"] if known else []
    others = sorted(words & FUNCTIONS.keys() - _HELPERS.keys() - {"abs"} - vars(math).keys())
    if others:
        lines.append("\nfrom microbp.expr import FUNCTIONS\n\n")
        lines += [f"{each} = FUNCTIONS[{each!r}].real\n" for each in others]
    helpers = [text for word, text in _HELPERS.items() if word in words]
    return "\n".join(["".join(lines), *helpers]) if helpers else "".join(lines)
