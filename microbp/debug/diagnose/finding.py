"""``Finding`` and ``Diagnosis``: what was found, or that nothing was, and what was looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from microbp.check.words import line_of
from microbp.debug.diagnose.words import Words, unit_of
from microbp.debug.words import sentence
from microbp.graph import Node
from microbp.notebook import Shown
from microbp.tables import Table

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
        """``dead``, ``saturated``, ``mostly saturated`` or ``fine``."""
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

    @property
    def causes(self) -> Counter[str]:
        """How many findings have each cause."""
        return Counter(each.cause for each in self.findings)

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
        told = ", ".join(f"{count} {cause}" for cause, count in self.causes.items())
        return f"Diagnosis({told or 'nothing found'})"

    def __str__(self) -> str:
        return str(self.table())

    def table(self, width: int = WIDTH) -> Table:
        """The findings as a table, with the sentences and what was looked at below it, in so many columns."""
        words, shown = Words(self.language), self.findings[:SHOWN]
        notes: list[str] = []
        for i, each in enumerate(shown, 1):
            for told in (f"{i}. {each.what}", f"   {words('try', advice=each.advice)}"):
                notes += sentence(told, width, "   ")
        for told in (*self._more(words), *self.remarks, words("looked", what="; ".join(self.looked_at))):
            notes += sentence(told, width)
        # The line is left out where none is known.
        last = 4 if any(each.site is not None for each in shown) else 3
        cells = ((words.kind(x.kind), x.word or x.cause, x.where, x.line)[:last] for x in shown)
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

    def _markdown(self) -> str:
        return self.markdown()
