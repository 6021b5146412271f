"""Values, groups and numbers in words and as formulas, and sentences in lines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from microbp.graph import Graph, Node
from microbp.notation import latex_name, latex_number, plain_name, plain_number
from microbp.safe import readable

#: How many significant digits a rounded number in a formula has; one with fewer is exact.
DIGITS = 9


class Math(NamedTuple):
    """A formula, or a sentence, as plain text and as LaTeX or Markdown."""

    text: str
    latex: str


ELLIPSIS = Math("…", r"\dots")


def joined(parts: Iterable[Math], plain: str, tex: str) -> Math:
    """Formulas in a row, with a sign between them."""
    texts, latex = zip(*parts, strict=True)
    return Math(plain.join(texts), tex.join(latex))


def name_of(node: Node) -> Math:
    """A node's name."""
    return Math(plain_name(node.name), latex_name(node.name))


def quotient(above: Math, below: Math) -> Math:
    """∂above/∂below."""
    return Math(f"∂{above.text}/∂{below.text}", rf"\frac{{\partial {above.latex}}}{{\partial {below.latex}}}")


def number(x: float) -> Math:
    """A number as it is printed."""
    return Math(plain_number(x, DIGITS, padded=True), latex_number(x, DIGITS, padded=True))


def counted(count: int, word: str) -> str:
    """A number of things: ``1 rule``, ``2 rules``."""
    return f"{count} {word}{'s' * (count != 1)}"


def figure(x: float | None, *, sign: bool = False) -> str:
    """A number with six significant digits, all of them where it was rounded; a dash for None."""
    return "-" if x is None else plain_number(x, 6, padded=True, sign=sign)


def equation(graph: Graph, node: Node) -> str:
    """``v21 = w5·h1``; of a leaf its name."""
    name = plain_name(node.name)
    return name if node.rule is None else f"{name} = {graph.formula(node)}"


def group_words(node: Node) -> str:
    """The groups of a node: ``net / layers.0 / neurons.2``; a later call says which: ``net (call 2)``."""
    return " / ".join(plain_name(name) + (f" (call {call + 1})" if call else "") for name, call in node.group)


def repeated(node: Node, position: int) -> bool:
    """Whether a value stands more than once among the operands of a node. A literal 2.0 is no node 2."""
    return sum(isinstance(each, int) and each == position for each in node.operands) > 1


# ------------------------------------------------------------------------------------ lines that fit
#: A word; of Chinese one sign, with the punctuation that must not begin a line.
_WORD = re.compile(
    r"\s*(?:[\u2e80-\u9fff（“][，。：；）、”]*|[^\s\u2e80-\u9fff\uff00-\uffef]+(?:[，。：；）、]+得?)?|\S)"
)


def columns(text: str) -> int:
    """How many columns a text takes: a Chinese sign takes two."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide


def sentence(text: str, width: int, indent: str = "") -> list[str]:
    """A sentence as lines no wider than that, unless a word is; ``indent`` stands before all but the first.

    >>> sentence("one path, a → b → c", 12)
    ['one path, a', '→ b → c']
    """
    lines = [""]
    for word in _WORD.findall(readable(text)):
        if lines[-1].strip() and columns(lines[-1] + word) > width:
            lines.append(indent + word.lstrip())
        else:
            lines[-1] += word
    return lines
