"""What the detectors look at, a ``Case``: a backward pass, the parameters, the words; and what they find.

A ``Finding`` is a plain record; a ``Diagnosis`` has them all, or says that nothing was found, and what was
looked at.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from microbp.check.auditing import changes_in
from microbp.check.gradients import mapped
from microbp.check.words import line_of
from microbp.debug.diagnose.words import KINDS, Words, unit_of
from microbp.debug.formulas import numbers_of, sentence
from microbp.debug.trace import Contribution, Trace
from microbp.graph import Graph, Node
from microbp.labels import variable_names
from microbp.nn import Module
from microbp.text.notebook import Shown
from microbp.text.safe import quoted
from microbp.text.tables import Table
from microbp.value import Value

#: So many findings are shown; ``findings`` has all. The longest line of the sentences.
SHOWN, WIDTH = 20, 100
#: A neuron is mostly saturated, which is worth a finding, if it is so for this part of the samples.
MOSTLY = 0.9


class Finding(NamedTuple):
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
    #: The cause in the language of the sentences; kind and cause are English in any.
    word: str = ""
    language: str = "en"

    @property
    def where(self) -> str:
        """The node, and its unit: ``v12 of net.layers.0.neurons.1``; a dash for no node."""
        words = Words(self.language)
        return words("of", node=self.node, unit=self.unit) if self.unit else self.node or "-"

    @property
    def line(self) -> str:
        """``file:line`` relative to the current directory; a dash where it is not known."""
        return "-" if self.site is None else line_of(self.site)

    def __str__(self) -> str:
        words = Words(self.language)
        at = words("at", where=self.where) if self.node else ""
        line = f" ({self.line})" if self.site else ""
        return f"{self.word or self.cause}{at}{line}: {self.what} {words('try', advice=self.advice)}"


class Remark(str):
    """What is worth knowing and no fault; another text says what was looked at."""

    __slots__ = ()


class LayerRow(NamedTuple):
    """The gradients of one layer, or of one call of a repeated module."""

    name: str
    #: How many gradients.
    gradients: int
    #: The root of their mean square.
    rms: float


class NeuronRow(NamedTuple):
    """One activation, over all samples."""

    #: Its module or group; else its name, or its number among those of the net.
    name: str
    activation: str
    samples: int
    #: For how many samples its slope is exactly 0.
    inactive: int
    #: For how many its slope is below a hundredth of the largest, inactive ones among them.
    saturated: int
    #: The range of its weighted input.
    least: float
    most: float
    site: str | None

    @property
    def verdict(self) -> str:
        """``not finite``, ``dead``, ``saturated``, ``mostly saturated`` or ``fine``."""
        if not math.isfinite(self.most - self.least):
            return "not finite"
        if self.inactive == self.samples:
            return "dead" if self.activation == "relu" else "saturated"
        if self.saturated == self.samples:
            return "saturated"
        rectifier = self.activation in ("relu", "leaky_relu", "elu")
        return "mostly saturated" if self.saturated >= MOSTLY * self.samples and not rectifier else "fine"


def finding(
    words: Words, kind: str, key: str, about: Node | str = "", parameters: Iterable[str] = (),
    numbers: Iterable[tuple[str, float]] = (), site: str | None = None, /, **facts: Any,
) -> Finding:  # fmt: skip
    """The finding about a node, or what is called so, with the sentences of a cause of the table."""
    names, node, position, unit = tuple(parameters), about if isinstance(about, str) else about.name, None, ""
    if isinstance(about, Node):
        facts, site = {"op": words.spoken(about), **facts}, about.site or site
        position, unit = about.position, unit_of(about)
    cause, (word, what, advice) = words.cause(key, **{"names": words.in_parts(names), **facts})
    about_it = names, tuple(numbers), unit, word, words.language
    return Finding(kind, cause, node, position, site, what, advice, *about_it)


def collapsed(findings: Iterable[Finding], most: int = 3) -> Iterator[Finding]:
    """The findings, where more than ``most`` of one cause in one layer become one."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for each in findings:
        layer = (each.unit or each.node).rpartition(".neurons.")[0]
        alike.setdefault((each.kind, each.cause, layer or each.unit), []).append(each)
    for first, *others in alike.values():
        words = Words(first.language)
        more = words("likewise", more=words.listed((each.where for each in others), 3))
        names = dict.fromkeys(name for each in (first, *others) for name in each.parameters)
        together = first._replace(what=first.what + more, parameters=tuple(names))
        yield from [together] if len(others) >= most else [first, *others]


#: What a detector yields.
Told = Iterator[Finding | LayerRow | Remark | str]


@dataclass(frozen=True, repr=False)
class Diagnosis(Shown):
    """What :func:`diagnose` found; ``str(diagnosis)`` is the report, a notebook shows it as Markdown."""

    title: str
    #: The worst first: numbers that are not finite, wrong rules, then gradients.
    findings: tuple[Finding, ...]
    #: What was looked at, in words.
    looked_at: tuple[str, ...]
    #: Each layer's gradients, in the order of the forward computation.
    layers: tuple[LayerRow, ...] = ()
    #: Each activation over the samples, if data was given.
    neurons: tuple[NeuronRow, ...] = ()
    #: What is worth knowing and no fault: that the parameters have moved since, which step it is.
    remarks: tuple[str, ...] = ()
    language: str = "en"

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def rows(self) -> tuple[Finding, ...]:
        """The findings, under the name that every report has."""
        return self.findings

    def __getitem__(self, which: str) -> Finding:
        """The first finding of a kind, a cause, or about a node, a unit or a parameter of that name.

        KeyError says what was found.
        """
        about = [each for each in self.findings if which in (each.kind, each.cause, each.node, each.unit)]
        about += [each for each in self.findings if which in each.parameters]
        if about:
            return about[0]
        there = ", ".join(f"{each.cause} at {each.where}" for each in self.findings) or "nothing"
        raise KeyError(f"no finding is about {which!r}; found: {there}")

    def __repr__(self) -> str:
        causes = Counter(each.cause for each in self.findings)
        told = ", ".join(f"{count} {cause}" for cause, count in causes.items())
        return f"Diagnosis({told or 'nothing found'})"

    def table(self, width: int = WIDTH) -> Table:
        """The findings as a table, with the sentences and what was looked at below it, in so many columns."""
        words, shown = Words(self.language), self.findings[:SHOWN]
        notes: list[str] = []
        for i, each in enumerate(shown, 1):
            for told in (f"{i}. {each.what}", f"   {words('try', advice=each.advice)}"):
                notes += sentence(told, width, "   ")
        looked = words("looked", what=words("between").join(self.looked_at))
        for told in (*self._more(words), *self.remarks, looked):
            notes += sentence(told, width)
        # The line is left out where none is known.
        last = 4 if any(each.site is not None for each in shown) else 3
        kinds = KINDS if self.language == "zh" else {}
        cells = ((kinds.get(x.kind, x.kind), x.word or x.cause, x.where, x.line)[:last] for x in shown)
        rows = tuple((str(i), *row) for i, row in enumerate(cells, 1))
        found = words("findings" if self.findings else "nothing found", n=len(self.findings))
        columns = (">", *words("columns").split(","))[: last + 1]
        return Table(f"{self.title}: {found}", columns, rows, tuple(notes))

    def _more(self, words: Words) -> list[str]:
        """What stands below the findings."""
        shown, told = self.findings[:SHOWN], []
        if len(self.findings) > SHOWN:
            told.append(words("not shown", n=len(self.findings) - SHOWN))
        if shown and all(each.site is None for each in shown) and shown[0].position is not None:
            told.append(words("lines"))
        fine = [row for row in self.neurons if row.verdict == "fine"]
        off, some = [row for row in fine if row.inactive], ""
        if off:
            worst = max(off, key=lambda row: row.inactive / row.samples)
            some = words("neurons off", n=len(off), name=worst.name, k=worst.inactive, m=worst.samples)
        if self.neurons:
            told.append(words("neurons fine", n=len(fine), m=len(self.neurons), some=some))
        return told

    def markdown(self) -> str:
        """The report as Markdown."""
        return self.table(10**9).markdown()

    _markdown = markdown


# ------------------------------------------------------------------------------- what is looked at
#: A parameter that is looked at, by its name: its node, or what is not in the graph.
Parameter = tuple[str, Node | Value]


class Way(NamedTuple):
    """The largest path from a node up to the root: by its largest contribution, from there likewise."""

    #: The contributions along it with the largest and with the smallest local derivative.
    most: Contribution
    least: Contribution
    #: How many there are, and how many local derivatives of them are below 1 / 1.2.
    steps: int
    shrinking: int
    #: log10 of what the additions along it have contributed.
    added: float


class Case:
    """A backward pass, the parameters that are asked for, and the words. No ``grad`` is touched."""

    def __init__(
        self, given: Graph, parameters: list[Parameter], words: Words, huge: float, alive: Iterable[str]
    ) -> None:
        #: As it is, also where parameters have moved since it was recorded; and the graph as recorded.
        self.given, self.trace = given, Trace(given)
        self.graph, self.received = self.trace.graph, self.trace.received
        #: From ``huge`` on a gradient is huge.
        self.parameters, self.words, self.huge = parameters, words, huge
        #: Neurons that work for other samples, by the names that their parameters may begin with.
        self.alive = frozenset(alive)
        #: The gradient of the root by each node, 0 for what receives none; the sum of the sizes in it.
        self.upstream = [each or 0.0 for each in self.trace.gradients()]
        self.size = [*(sum(abs(got.amount) for got in each) for each in self.received[:-1]), 1.0]
        inside = [(name, each) for name, each in parameters if isinstance(each, Node)]
        #: The names of the parameters in the graph that take a gradient, and their places.
        self.asked = [(name, each.position) for name, each in inside if each.requires_grad]
        #: Those whose gradient is not finite; the nodes that do not follow from their operands any more.
        self.hit = [name for name, position in self.asked if not math.isfinite(self.upstream[position])]
        self.changes = changes_in(self.graph)

    def ways(self) -> list[Way | None]:
        """The largest path from each node up; None from the root, and where none leads there."""
        ways: list[Way | None] = [None] * len(self.graph)
        for position in reversed(range(len(ways) - 1)):
            if got := self.trace.largest(position):
                above = ways[got.user] or Way(got, got, 0, 0, 0.0)
                total, largest, added = abs(self.upstream[position]), abs(got.amount), above.added
                if 0.0 < total < math.inf and 0.0 < largest < math.inf:
                    added += math.log10(total) - math.log10(largest)
                by_size = sorted((above.least, got, above.most), key=lambda each: abs(each.local))
                shrinking = above.shrinking + (abs(got.local) < 1.0 / 1.2)
                ways[position] = Way(by_size[-1], by_size[0], above.steps + 1, shrinking, added)
        return ways

    def path(self, position: int) -> Iterator[Contribution]:
        """The contributions of the largest path, from a node up to the root."""
        while got := self.trace.largest(position):
            yield got
            position = got.user

    def numbers(self, node: Node) -> list[float]:
        """The numbers of all operands."""
        return numbers_of(self.graph, node)

    def found(
        self, kind: str, key: str, about: Node | str, parameters: Iterable[str] = (),
        numbers: Iterable[tuple[str, float]] = (), site: str | None = None, /, **facts: Any,
    ) -> Finding:  # fmt: skip
        """A finding about a node, or about what is called so; a leaf has the line of its use."""
        if isinstance(about, Node) and (got := self.trace.largest(about.position)):
            site = site or self.graph.nodes[got.user].site
        return finding(self.words, kind, key, about, parameters, numbers, site, **facts)


def parameters_of(given: Any, graph: Graph, names: Mapping[str, Any]) -> list[Parameter]:
    """The parameters given, or all leaves that take a gradient and what modules hold on which it depends."""
    variables = variable_names(names)

    def found(held: Any) -> list[Parameter]:
        each_once: dict[Any, Parameter] = {}

        def look(path: str, each: Any) -> None:
            if isinstance(each, Module):
                mapped(each.named_parameters(), look)
            elif isinstance(each, str) or id(each) in graph._places:
                node = graph[each]
                each_once[node.position] = node.name, node
            elif isinstance(each, Value):
                place = variables.get(id(each), f"parameters{path}" if path else "a parameter")
                name = each.name or (place if path[:1] in ("", "[") else path)
                each_once[id(each), name] = name, each
            else:
                raise TypeError(
                    "diagnose looks at parameters that are Values, names in the graph or modules, or lists, "
                    f"arrays and dicts of these, not {quoted(each)}"
                )

        mapped(held, look)
        return list(each_once.values())

    if given is not None:
        if not (parameters := found(given)):
            raise ValueError("diagnose: parameters is empty; leave it out to look at all leaves")
        return parameters
    parameters = [(node.name, node) for node in graph if node.rule is None and node.requires_grad]
    for module in {id(each): each for each in names.values() if isinstance(each, Module)}.values():
        own = found(module)
        outside = [(name, each) for name, each in own if isinstance(each, Value)]
        parameters += [pair for pair in outside if pair[1].requires_grad and len(outside) < len(own)]
    return parameters
