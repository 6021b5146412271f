"""``Finding``: what is wrong, where, by which numbers, and what to try."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from microbp.check.words import line_of
from microbp.graph import Node
from microbp.tables import number

__all__ = ["Finding", "collapsed", "finding", "in_parts", "listed", "part_of", "short", "spoken", "unit_of"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, about a loss, a net or a run."""

    #: What kind of thing: ``zero gradient``, ``huge gradient``, ``not finite``, ``neuron``, …
    kind: str
    #: Why, in a word or two: ``dead relu``, ``underflow``, ``division by a small number``, …
    cause: str
    #: The node where it began, by its name in the graph; a neuron's path; empty where there is none.
    node: str
    #: Its position in the graph, if it has one.
    position: int | None
    #: ``file:line`` of the user's code that made the node, if it was recorded.
    site: str | None
    #: What was seen, in sentences with the numbers.
    what: str
    #: What to try.
    advice: str
    #: The names of the parameters that it concerns.
    parameters: tuple[str, ...] = ()
    #: The numbers it rests on, by what they are.
    numbers: tuple[tuple[str, float], ...] = ()
    #: The module or group that the node belongs to, whichever call it was; empty for none.
    unit: str = ""

    @property
    def where(self) -> str:
        """The node, and its unit: ``v12 of net.layers.0.neurons.1``; a dash for no node."""
        return f"{self.node} of {self.unit}" if self.unit else self.node or "-"

    @property
    def line(self) -> str:
        """``file:line`` relative to the current directory; a dash where it is not known."""
        return "-" if self.site is None else line_of(self.site)

    def __str__(self) -> str:
        at = f" at {self.where}" if self.node else ""
        line = f" ({self.line})" if self.site else ""
        return f"{self.cause}{at}{line}: {self.what} Try: {self.advice}."


def finding(
    kind: str,
    cause: str,
    node: Node,
    what: str,
    advice: str,
    parameters: Iterable[str] = (),
    numbers: Iterable[tuple[str, float]] = (),
    site: str | None = None,
) -> Finding:
    """A finding about a node of a graph; ``site`` stands for that of a node without one, such as a leaf."""
    about = node.name, node.position, node.site or site
    return Finding(kind, cause, *about, what, advice, tuple(parameters), tuple(numbers), unit_of(node))


def collapsed(findings: Iterable[Finding], most: int = 3) -> list[Finding]:
    """The findings, where more than ``most`` of one cause in one layer become one."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for each in findings:
        layer = each.unit.rpartition(".neurons.")[0]
        alike.setdefault((each.kind, each.cause, layer or each.unit), []).append(each)
    found = []
    for several in alike.values():
        if len(several) <= most:
            found += several
            continue
        rest = several[1:]
        what = f"{several[0].what} Likewise {listed((each.where for each in rest), 3)}."
        names = dict.fromkeys(name for each in several for name in each.parameters)
        found.append(replace(several[0], what=what, parameters=tuple(names)))
    return found


def unit_of(node: Node) -> str:
    """The module or group that a node belongs to, whichever call it was; empty for none.

    >>> from microbp import Neuron, Graph
    >>> unit_of(Graph(Neuron(1)([2.0])).root)
    'Neuron'
    """
    return ".".join(name for name, _ in node.group)


def spoken(node: Node) -> str:
    """``relu at h1 of net.layers.0.neurons.2``: an operation, its node and its unit."""
    unit = unit_of(node)
    told = node.name if node.rule is None else f"{node.rule.name} at {node.name}"
    return f"{told} of {unit}" if unit else told


def short(x: float) -> str:
    """A number in a sentence: five digits, without a plus.

    >>> short(0.25), short(-1.5e-9), short(3.0)
    ('0.25', '-1.5e-09', '3')
    """
    return number(x) if math.isnan(x) else f"{x:.5g}"


def listed(names: Iterable[str], most: int = 4) -> str:
    """``a, b, c and 7 more``.

    >>> listed("abc"), listed(["w"]), listed(map(str, range(9)))
    ('a, b, c', 'w', '0, 1, 2, 3 and 5 more')
    """
    several = list(names)
    more = f" and {len(several) - most} more" if len(several) > most else ""
    return ", ".join(several[:most]) + more


def part_of(name: str) -> str:
    """The part of a module to which a parameter belongs: ``layers.0.neurons.2``; else the name."""
    path = name.split(".")
    while len(path) > 1 and path[-1].isdigit():
        path.pop()
    return ".".join(path[:-1]) or name


def in_parts(names: Iterable[str]) -> str:
    """Parameters; several of one part of a module as that part.

    >>> in_parts(["w", "layers.0.neurons.1.w.0", "layers.0.neurons.1.b", "layers.0.neurons.2.b"])
    'w, layers.0.neurons.1.*, layers.0.neurons.2.b'
    """
    parts: dict[str, list[str]] = {}
    for each in names:
        parts.setdefault(part_of(each), []).append(each)
    return listed(several[0] if len(several) == 1 else f"{part}.*" for part, several in parts.items())
