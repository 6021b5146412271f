"""What is found, and how it is said: findings with their causes and advice, the report.

A ``Finding`` is a plain record; a ``Diagnosis`` has them all, or says that nothing was found, and what was
looked at.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from microbp.calls import line_of
from microbp.debug.sentences import CAUSES, DIAGNOSIS, KINDS
from microbp.graph import Node
from microbp.text import Shown, Table, language, sentence


class _Filled(string.Formatter):
    """Floats have five digits; ``{n} value{n:s}`` is in the plural where it must be, ``come{n:v}`` a verb.

    What stands in brackets is left out where a fact in it is empty, or 0 things; a rate of 0.0 is told.
    """

    def vformat(self, template: str, args: Sequence[Any], facts: Mapping[str, Any]) -> str:
        def kept(part: re.Match[str]) -> str:
            needed = (name.partition(".")[0] for _, name, *_ in self.parse(part[1]) if name)
            return part[1] * all(facts[each] or isinstance(facts[each], float) for each in needed)

        return super().vformat(re.sub(r"\[(.*?)\]", kept, template), args, facts)

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec in ("s", "v") and isinstance(value, int):
            return "s" * ((value != 1) == (format_spec == "s"))
        return format(value, ".5g" if isinstance(value, float) and not format_spec else format_spec)

_FILLED = _Filled()


class Words:
    """A language, and what is said in it."""

    def __init__(self, word: str) -> None:
        self.language = language(word)
        self._column = ("en", "zh").index(self.language)

    def __call__(self, key: str, **facts: object) -> str:
        """A sentence with its facts."""
        return _FILLED.format(DIAGNOSIS[key][self._column], **facts)

    def finding(
        self, kind: str, key: str, about: Node | str = "", parameters: Iterable[str] = (),
        numbers: Iterable[tuple[str, float]] = (), site: str | None = None, /, **facts: Any,
    ) -> Finding:  # fmt: skip
        """The finding about a node, or what is called so, with the sentences of a cause of the table."""
        names, node, position, unit = tuple(parameters), str(about), None, ""
        if isinstance(about, Node):
            facts, site = {"op": self.spoken(about), **facts}, about.site or site
            node, position, unit = about.name, about.position, about.unit
        facts = {"names": self.in_parts(names), **facts}
        row = (_FILLED.format(x, **facts) for x in (CAUSES[key][0][0], *CAUSES[key][self._column]))
        cause, word, what, advice = row
        about_it = names, tuple(numbers), unit, word, self.language
        return Finding(kind, cause, node, position, site, what, advice, *about_it)

    def collapsed(self, findings: Iterable[Finding], most: int = 3) -> Iterator[Finding]:
        """The findings, where more than ``most`` of one cause in one layer become one."""
        alike: dict[tuple[str, str, str], list[Finding]] = {}
        for each in findings:
            layer = (each.unit or each.node).rpartition(".neurons.")[0]
            alike.setdefault((each.kind, each.cause, layer or each.unit), []).append(each)
        for first, *others in alike.values():
            more = self("likewise", more=self.listed((each.where for each in others), 3))
            names = dict.fromkeys(name for each in (first, *others) for name in each.parameters)
            together = first._replace(what=first.what + more, parameters=tuple(names))
            yield from [together] if len(others) >= most else [first, *others]

    def listed(self, names: Iterable[str], most: int = 4) -> str:
        """``a, b, c, d and 7 more``."""
        several = list(names)
        return self("list", names=", ".join(several[:most]), n=max(0, len(several) - most))

    def in_parts(self, names: Iterable[str]) -> str:
        """Parameters; several of one part of a module as that part: ``w, layers.0.neurons.1.*``."""
        parts: dict[str, list[str]] = {}
        for each in names:
            parts.setdefault(part_of(each), []).append(each)
        return self.listed(held[0] if len(held) == 1 else f"{part}.*" for part, held in parts.items())

    def spoken(self, node: Node) -> str:
        """``relu at h1 of net.layers.0.neurons.2``: an operation, its node and its unit."""
        return self("of", rule=node.operation, node=node.name, unit=node.unit)


def part_of(name: str) -> str:
    """The part of a module to which a parameter belongs: ``layers.0.neurons.2``; else the name."""
    path = name.split(".")
    while len(path) > 1 and path[-1].isdigit():
        path.pop()
    return ".".join(path[:-1]) or name


# -------------------------------------------------------------------------------------- what is found
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
        return Words(self.language)("of", rule="", node=self.node or "-", unit=self.unit)

    @property
    def line(self) -> str:
        """``file:line`` relative to the current directory; a dash where it is not known."""
        return "-" if self.site is None else line_of(self.site)

    def __str__(self) -> str:
        words = Words(self.language)
        at = words("at", where=self.where if self.node else "", line=self.line if self.site else "")
        return f"{self.word or self.cause}{at}: {self.what} {words('try', advice=self.advice)}"


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

    def _more(self, words: Words) -> Iterator[str]:
        """What stands below the findings."""
        shown = self.findings[:SHOWN]
        if len(self.findings) > SHOWN:
            yield words("not shown", n=len(self.findings) - SHOWN)
        if shown and all(each.site is None for each in shown) and shown[0].position is not None:
            yield words("lines")
        fine = [row for row in self.neurons if row.verdict == "fine"]
        off = [row for row in fine if row.inactive]
        most = max(off, key=lambda row: row.inactive / row.samples, default=None)
        if self.neurons:
            yield words("neurons fine", n=len(fine), m=len(self.neurons), off=len(off), most=most)

    def markdown(self) -> str:
        """The report as Markdown."""
        return self.table(10**9).markdown()
