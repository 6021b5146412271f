"""The statements of one node: its value, and what it passes on to its operands.

Whether a graph is written out node by node or as loops, a node's statements are the same texts.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from microbp.graph import Node
from microbp.replay import writer
from microbp.replay.identifiers import Identifiers
from microbp.replay.identifiers import one_line

__all__ = ["WIDTH", "Statements", "broken", "calls", "wrapped"]

#: Columns of a line.
WIDTH = 100


class Statements:
    """Writes them; a subclass says where they go, and what they are called."""

    identifiers: Identifiers

    def line(self, text: str) -> None:
        """Add a statement."""
        raise NotImplementedError

    def name_of(self, node: Node) -> str:
        """The variable that holds a node's value."""
        raise NotImplementedError

    def goes_to(self, operand: int) -> bool:
        """Whether an operand takes a gradient."""
        raise NotImplementedError

    def give(self, operand: int, text: str) -> None:
        """Add to an operand's upstream gradient."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------ statements
    def assign(self, node: Node, texts: Sequence[str], name: str) -> None:
        """``name = ``the node's value; operands that are floats are decided on, the others are texts."""
        assert node.rule is not None
        template = writer.value(node.rule, _literals(node))
        scope, elements = _scopes(node, texts)
        scope = template.scope(scope, elements, lambda text: self._temporary(name, text), last=True)
        text = template.text.format_map(scope)
        if template.text == "{_0} + 0.0":
            text = text.removesuffix(" + 0.0")  # a sum that begins with 0.0 is not -0.0, and so the same
        self.line(f"{name} = {text}")

    def pass_on(self, node: Node, texts: Sequence[str], y: str, upstream: str) -> None:
        """Contributions to a node's operands, the last first, as the eager engine; ``y`` is its value."""
        assert node.rule is not None
        scope, elements = _scopes(node, texts)
        scope["y"] = y
        literals, name = _literals(node), self.name_of(node)
        known: dict[int, dict[str, str]] = {}
        for place, element, operand in reversed(_places(node)):
            if type(operand) is not int or not self.goes_to(operand):
                continue
            template = writer.derivative(node.rule, place, literals)
            if place not in known:
                known[place] = template.scope(scope, elements, lambda text: self._temporary(name, text))
            inner = elements[element] if element is not None else {}
            local = template.text.format_map({**known[place], **inner})
            self.give(operand, _product(upstream, local, template.factor))

    def _temporary(self, name: str, text: str) -> str:
        """A name for a part of an expression."""
        made = self.identifiers.new(f"{name}_sum")
        self.line(f"{made} = {text}")
        return made


# ------------------------------------------------------------------------------------------ of a node
def _scopes(node: Node, texts: Sequence[str]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The text of each argument, and of each that runs over elements, for each of these."""
    rule = node.rule
    assert rule is not None
    entries = dict(zip(rule.args, rule.split(texts), strict=True))
    columns = [entries.pop(arg) for arg in rule.over]
    return entries, [dict(zip(rule.over, each, strict=True)) for each in zip(*columns, strict=True)]


def _places(node: Node) -> list[tuple[int, int | None, int | float]]:
    """Of each operand: the place of its argument, the index of its element, and the operand."""
    rule = node.rule
    assert rule is not None
    entries = rule.split(node.operands)
    found: list[tuple[int, int | None, int | float]] = []
    for place, (arg, entry) in enumerate(zip(rule.args, entries, strict=True)):
        if arg in rule.over:
            found += [(place, index, each) for index, each in enumerate(entry)]
        else:
            found.append((place, None, entry))
    return found


def _literals(node: Node) -> writer.Literals:
    rule = node.rule
    assert rule is not None
    if all(type(each) is int for each in node.operands):
        return ()
    entries = zip(rule.args, rule.split(node.operands), strict=True)
    return tuple((arg, repr(entry)) for arg, entry in entries if type(entry) is float)


def _product(upstream: str, local: str, factor: bool) -> str:
    """Upstream gradient times local derivative; what is exact in floats is left out."""
    if local in ("1.0", "-1.0"):
        return local.replace("1.0", upstream)
    return f"{upstream} * {local}" if factor else f"{upstream} * ({local})"


def calls(node: Node) -> str:
    """The groups that a node is in, as a comment."""
    path = (f"{name}, call {number + 1}" if number else name for name, number in node.group)
    return f"    # {one_line(' / '.join(path))}."


# ---------------------------------------------------------------------------------------- long lines
def broken(text: str) -> list[str]:
    """A long statement over several lines."""
    head, sign, rest = text.rpartition(" = ") if text.endswith((" = inputs", " = parameters")) else ("",) * 3
    if sign:
        return ["    (", *wrapped(head), f"    ){sign}{rest}"]
    found = re.match(r"return |\w+ \+?= ", text)
    assert found is not None
    return [f"    {found[0]}(", *wrapped(text[found.end() :]), "    )"]


def wrapped(text: str) -> list[str]:
    """An expression over several lines, between parentheses."""
    indent = " " * 8
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
