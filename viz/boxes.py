"""From a partition of values to the boxes of a picture: names, numbers, strips of gradients, tooltips."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from microbp.notation import symbol
from viz.folding.partition import Partition
from viz.folding.sums import Term, is_link, is_sum, terms
from viz.kinds import formula, sign
from viz.picture import STRIP, Box, Kind, Row

__all__ = ["ROWS", "Contents"]

#: The most rows of a sum; beyond them one row stands for all that are left out.
ROWS = 40
#: The most literals that have rows of their own.
_LITERALS = 3
#: From so many folded boxes on all their terms share a row.
_MIXED = 6
#: How many names a tooltip lists.
_NAMES = 8


class Contents:
    """What is in each box of a partition."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.values = partition.values
        self.nodes = partition.values.nodes
        #: The labels, operands before users.
        self.order = partition.order()
        assert len(self.order) == len(partition), "folding made a cycle"
        #: The positions of the values of each box, ascending.
        self.members: dict[int, list[int]] = {label: [] for label in partition.labels}
        for position, label in enumerate(partition.label.tolist()):
            if label >= 0:
                self.members[label].append(position)
        #: The rows of each sum, each as the terms that it stands for, mostly one.
        self.rows: dict[int, list[list[Term]]] = {}
        for label in self.order:
            if is_sum(partition, label, len(self.members[label])):
                self.rows[label] = self._rows(terms(partition, label))
        inside = partition.label[self.values.operand] == partition.label[self.values.user]
        #: The values that other boxes read, and the last of all.
        self.read = {*self.values.operand[~inside].tolist(), partition.labels[-1]}
        self.id = {label: f"{'g' if self.is_folded(label) else 'n'}{label}" for label in self.order}
        self._count = self._numbered()

    def is_folded(self, label: int) -> bool:
        """Whether it is drawn as several values, not as one, nor as the rows of a sum."""
        return label not in self.rows and len(self.members[label]) > 1

    def boxes(self, groups: dict[int, tuple[str, ...]]) -> list[Box]:
        """The boxes, operands before users; ``groups`` are the ids of the frames that each stands in."""
        root = int(self.partition.label[-1])
        return [
            (self._folded if self.is_folded(label) else self._single)(label)._replace(
                group=groups.get(label, ()), root=root == label
            )
            for label in self.order
        ]

    # ------------------------------------------------------------------------------- one value, or a sum
    def _single(self, label: int) -> Box:
        node, rows = self.nodes[label], self.rows.get(label)
        told = [
            f"{node.name} = {node.data!r}",
            f"∇ {'not computed' if node.grad is None else repr(node.grad)}",
            formula(self.values.graph, node),
            node.site or "",
        ]
        return Box(
            id=self.id[label],
            kind=self.values.kinds[label] if rows is None else Kind.SUM,
            name=node.name,
            named=node.named,
            symbol=sign(node) if rows is None else "Σ",
            data=node.data,
            grad=node.grad,
            tooltip="\n".join(filter(None, told)),
            rows=tuple(self._row(each, f"t{index}") for index, each in enumerate(rows or ())),
            values=len(self.members[label]),
        )

    def _rows(self, found: list[Term]) -> list[list[Term]]:
        """One row per term; but terms from one folded box share a row, and so do many literals.

        Where there would be more than ``ROWS``, the last row stands for all that are left.
        """
        where, made = self.partition.label, self.partition.made
        sources: list[tuple[int, ...]] = [
            tuple(int(where[self.nodes[user].operands[place]]) for user, place, _ in term.edges)  # type: ignore[index]
            for term in found
        ]
        folded = [any(each in made for each in boxes) for boxes in sources]
        mixed = len({boxes for boxes, several in zip(sources, folded, strict=True) if several}) > _MIXED
        crowd = sum(not term.edges for term in found) > _LITERALS
        rows: dict[object, list[Term]] = {}
        for index, term in enumerate(found):
            key: object = index
            if folded[index]:
                key = "folded" if mixed else sources[index]
            elif crowd and not term.edges:
                key = "literals"
            rows.setdefault(key, []).append(term)
        each = list(rows.values())
        if len(each) > ROWS:
            each = [*each[: ROWS - 1], [term for row in each[ROWS - 1 :] for term in row]]
        return each

    def _row(self, held: list[Term], port: str) -> Row:
        first = held[0]
        if len(held) == 1:
            return Row(first.label, first.data, port)
        return Row(f"{first.label} … ({len(held):,} terms)", sum(term.data for term in held), port)

    # ---------------------------------------------------------------------------------- several values
    def _folded(self, label: int) -> Box:
        made, members, kinds = self.partition[label], self.members[label], self.values.kinds
        learned = [each for each in members if kinds[each] is Kind.PARAMETER]
        told = learned or [each for each in members if self.values.is_leaf(each)]
        told = told or [each for each in members if each in self.read]
        name, named = self._name(label)
        return Box(
            id=self.id[label],
            kind=Kind.FOLDED,
            name=name,
            named=named,
            symbol=self._symbol(label),
            tooltip=self._tooltip(label),
            strip=_strip([self.nodes[each].grad for each in told]),
            values=len(members),
            parameters=len(learned),
            times=made.times,
            largest=_largest(self.nodes[each].grad for each in (learned or members)),
            leaves=kinds[label] if made.how == "leaves" else None,
        )

    def _name(self, label: int) -> tuple[str, bool]:
        """The name of a folded box, and whether it is one that the user gave."""
        made, node = self.partition[label], self.nodes[label]
        if label in self._count:
            return f"{made.name} ({self._count[label]})", True
        if made.name:
            return made.name, made.how in {"group", "leaves"}
        if node.named:
            return node.name.partition("#")[0], True
        rules = {rule.name for each in self.members[label] if (rule := self.nodes[each].rule)}
        if made.how == "tree" and len(rules) == 1:
            return f"{rules.pop()} chain", False
        return (self._formula(label) if made.how == "tree" else self._symbol(label)), False

    def _formula(self, label: int) -> str:
        """What a box with a formula does last: ``tanh(Σ)``."""
        node = self.nodes[label]
        inside = [each for each in node.operands if type(each) is int and self.partition.label[each] == label]
        if is_link(node):
            return "Σ(…)"
        return f"{sign(node)}({'Σ' if len(inside) == 1 and is_link(self.nodes[inside[0]]) else '…'})"

    def _symbol(self, label: int) -> str:
        """The sign of the operation, if the values of the box are samples of one."""
        made, node, members = self.partition[label], self.nodes[label], self.members[label]
        if made.how != "alike" or node.rule is None:
            return ""
        if len(members) > made.times:
            return "Σ"
        signs = {sign(self.nodes[each]) for each in members}
        return signs.pop() if len(signs) == 1 else symbol(node.rule)

    def _numbered(self) -> dict[int, int]:
        """Boxes of one group that was taken apart, as a sequence is, with a number from 1 up."""
        found: dict[tuple[str, ...], list[int]] = {}
        for label in self.order:
            if self.partition.is_group(label):
                found.setdefault(self.partition[label].path, []).append(label)
        return {
            label: index
            for labels in found.values()
            if len(labels) > 1
            for index, label in enumerate(labels, start=1)
        }

    def _tooltip(self, label: int) -> str:
        made, members = self.partition[label], self.members[label]
        names = [self.nodes[each].name for each in members[:_NAMES]]
        more = f" … {len(members) - _NAMES:,} more" if len(members) > _NAMES else ""
        largest = _largest(self.nodes[each].grad for each in members)
        told = [
            ".".join(made.path),
            f"{len(members):,} values" + (f", {made.times:,} alike" if made.times > 1 else ""),
            f"largest |∇| {'not computed' if largest is None else repr(largest)}",
            ", ".join(names) + more,
        ]
        return "\n".join(filter(None, told))


def _largest(gradients: Iterable[float | None]) -> float | None:
    """The largest in magnitude, as a positive number; nan if there is one among them."""
    found = [abs(each) for each in gradients if each is not None]
    if not found:
        return None
    return math.nan if any(map(math.isnan, found)) else max(found)


def _strip(gradients: Sequence[float | None]) -> tuple[float | None, ...]:
    """The gradients, or of more than ``STRIP`` the largest in magnitude of each of so many runs."""
    if len(gradients) <= STRIP:
        return tuple(gradients)
    bounds = [len(gradients) * each // STRIP for each in range(STRIP + 1)]
    strip: list[float | None] = []
    for start, stop in pairwise(bounds):
        run = [each for each in gradients[start:stop] if each is not None]
        strip.append(max(run, key=lambda each: math.inf if math.isnan(each) else abs(each), default=None))
    return tuple(strip)
