"""``Diagnosis``: what was found, or that nothing was, and what was looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from textwrap import wrap

from microbp.debug.diagnose.finding import Finding
from microbp.debug.diagnose.layers import LayerRow
from microbp.debug.diagnose.neurons import NeuronRow
from microbp.debug.notebook import Shown
from microbp.debug.words import counted
from microbp.tables import Table

__all__ = ["Diagnosis"]

#: So many findings are shown; ``findings`` has all.
_SHOWN = 20
#: The longest line of the sentences.
WIDTH = 100


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
        for each in self.findings:
            if which in (each.kind, each.cause, each.node, each.unit):
                return each
        for each in self.findings:
            if which in each.parameters:
                return each
        there = ", ".join(f"{each.cause} at {each.where}" for each in self.findings) or "nothing"
        raise KeyError(f"no finding is about {which!r}; found: {there}")

    def __repr__(self) -> str:
        told = ", ".join(f"{count} {cause}" for cause, count in self.causes.items())
        return f"Diagnosis({told or 'nothing found'})"

    def __str__(self) -> str:
        return str(self.table())

    def table(self) -> Table:
        """The findings as a table, with the sentences and what was looked at below it."""
        shown = self.findings[:_SHOWN]
        rows = [(each.kind, each.cause, each.where, each.line) for each in shown]
        notes: list[str] = []
        for i, each in enumerate(shown, 1):
            notes += wrap(f"{i}. {each.what}", WIDTH, subsequent_indent="   ")
            notes += wrap(f"   Try: {each.advice}.", WIDTH, subsequent_indent="   ")
        if len(self.findings) > _SHOWN:
            notes.append(f"{len(self.findings) - _SHOWN} more findings are not shown (diagnosis.findings)")
        if shown and all(each.site is None for each in shown) and shown[0].position is not None:
            notes.append("Lines: call microbp.record_sites() before computing to see them.")
        notes += wrap(self._inactive(), WIDTH) if self.neurons else []
        notes += wrap(f"Looked at: {'; '.join(self.looked_at)}.", WIDTH)
        # The line is left out where none is known.
        last = 4 if any(each.site is not None for each in shown) else 3
        numbered = tuple((str(i), *row[:last]) for i, row in enumerate(rows, 1))
        columns = (">", "kind", "cause", "node", "line")[: last + 1]
        return Table(self._headline(), columns, numbered, tuple(notes))

    def _headline(self) -> str:
        count = len(self.findings)
        told = counted(count, "finding") if count else "nothing found"
        return f"{self.title}: {told}"

    def _inactive(self) -> str:
        fine = [row for row in self.neurons if row.verdict == "fine"]
        some = [row for row in fine if row.inactive]
        told = f"Neurons: {len(fine)} of {len(self.neurons)} are fine"
        if some:
            worst = max(some, key=lambda row: row.inactive / row.samples)
            told += (
                f"; inactive for some samples, as it should be: {len(some)}, {worst.name} for most, "
                f"{worst.inactive} of {worst.samples}"
            )
        return f"{told}."

    def markdown(self) -> str:
        """The report as Markdown."""
        lines = [f"**{_escaped(self._headline())}**", ""]
        if self.findings:
            lines += ["| # | finding | node | line |", "| --- | --- | --- | --- |"]
            for i, each in enumerate(self.findings[:_SHOWN], 1):
                cells = (str(i), f"{each.kind}: {each.cause}", each.where, each.line)
                lines.append(f"| {' | '.join(map(_escaped, cells))} |")
            lines.append("")
            for i, each in enumerate(self.findings[:_SHOWN], 1):
                lines.append(f"{i}. {_escaped(each.what)} *Try:* {_escaped(each.advice)}.")
            lines.append("")
        if self.neurons:
            lines += [_escaped(self._inactive()), ""]
        lines.append(f"Looked at: {_escaped('; '.join(self.looked_at))}.")
        return "\n".join(lines)

    def _markdown(self) -> str:
        return self.markdown()


def _escaped(text: str) -> str:
    """A text in which nothing is markup."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    for sign in "\\`*_[]|#$~":
        text = text.replace(sign, f"\\{sign}")
    return text
