"""``Stations``: the nodes at which an explanation stops on its way from the loss down to a value.

What nobody named and only one node uses is passed over: its derivative becomes part of the factor
between the stations above and below. So is a named term of a sum, whose derivative is exactly 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from microbp.graph import Graph, Node

__all__ = ["Chain", "Stations"]

#: How many derivatives one factor may hold that are no mere constants, and how many beside those of sums.
LONGEST, LINKS = 4, 50
#: An unnamed node with more operands than these is a station: it would be too long, written out.
OPERANDS = 8


class Chain(NamedTuple):
    """One way from a station down to the next."""

    #: Where each node between is used, by their positions.
    uses: Mapping[int, Sequence[tuple[int, int]]]
    above: int
    #: The last node passed, and the place of the station below among its operands.
    last: tuple[int, int]
    #: The product of the local derivatives that were recorded along it.
    recorded: float

    @property
    def links(self) -> tuple[tuple[int, int], ...]:
        """Each node passed, and the place of the operand below."""
        links = [self.last]
        while links[-1][0] != self.above:
            links += self.uses[links[-1][0]]
        return tuple(reversed(links))


class Stations:
    """The stations between the root of a graph and the node at position ``target``."""

    def __init__(self, graph: Graph, target: int) -> None:
        self.graph, self.target = graph, target
        self.root = graph.root.position
        #: For each node between: where it is used on a way up to the root, as (user, place).
        self.uses: dict[int, list[tuple[int, int]]] = {target: []}
        for node in graph.nodes[target + 1 :]:
            below = [
                (x, place)
                for place, (x, local) in enumerate(zip(node.operands, node.local_derivatives, strict=True))
                if local is not None and isinstance(x, int) and x in self.uses
            ]
            if below:
                self.uses[node.position] = []
            for operand, place in below:
                self.uses[operand].append((node.position, place))
        self.top: dict[int, int] = {}
        self._held: dict[int, int] = {}
        forced: set[int] = set()
        while more := self._tops(forced):
            forced |= more
        #: The nodes that are passed over.
        self.passed = {position for position, top in self.top.items() if top != position}
        unnamed = {node.position for node in graph if node.rule is not None and not node.named}
        #: The nodes that are no stations, and that stand in formulas by what they are computed from.
        self.inside = unnamed - self.uses.keys() | self.passed
        #: For each station how many ways lead up from it, counting stations only.
        self.ways = self._ways()

    def _tops(self, forced: set[int]) -> set[int]:
        """Find for each node the station that it belongs to: itself, or the next one above.

        Returns the nodes that must be stations, too: where several ways lead from one station down to
        the next, each with more than one derivative that depends on the numbers.
        """
        tops, held, links = self.top, self._held, dict.fromkeys(self.uses, 0)
        tops.clear()
        for position in sorted(self.uses, reverse=True):
            node, uses = self.graph.nodes[position], self.uses[position]
            tops[position], held[position] = position, 0
            if position in (self.root, self.target) or position in forced or len(uses) != 1:
                continue
            user = self.graph.nodes[uses[0][0]]
            term = user.rule is not None and user.rule.name in ("add", "sum")
            held_now = held[user.position] + (not _constant(user))
            links_now = links[user.position] + (not term)
            plain = (not node.named and len(node.operands) <= OPERANDS) or term
            if plain and held_now < LONGEST and links_now < LINKS:
                tops[position] = tops[user.position]
                held[position], links[position] = held_now, links_now
        return self._tangled(tops, held)

    def _tangled(self, tops: dict[int, int], held: dict[int, int]) -> set[int]:
        found: set[int] = set()
        seen: set[int] = set()
        for station in self.uses:
            if tops[station] != station:
                continue
            ways: dict[int, list[int]] = {}
            for user, _ in self.uses[station]:
                ways.setdefault(tops[user], []).append(user)
            for top, users in ways.items():
                heavy = [u for u in users if held[u] + (not _constant(self.graph.nodes[u])) > 1]
                for bottom in heavy if len(users) > 1 else ():
                    passed = bottom
                    while passed != top and passed not in seen:
                        seen.add(passed)
                        if not _constant(self.graph.nodes[passed]):
                            found.add(passed)
                        [(passed, _)] = self.uses[passed]
        return found

    def _ways(self) -> dict[int, int]:
        ways = {self.root: 1}
        for position in sorted(self.uses, reverse=True):
            if position != self.root and position not in self.passed:
                ways[position] = min(sum(ways[above] for above in self.above(position)), 10**9)
        return ways

    def above(self, station: int) -> list[int]:
        """The next stations above, each once, the first used first."""
        return list(dict.fromkeys(self.top[user] for user, _ in self.uses[station]))

    def chains(self, above: int, below: int) -> list[Chain]:
        """Every way from a station down to the next one, ``below``."""
        products = {above: 1.0}  # of the local derivatives down to a node passed; the ways share nodes
        chains = []
        for last in self.uses[below]:
            if self.top[last[0]] != above:
                continue
            passed = [last[0]]
            while passed[-1] not in products:
                passed.append(self.uses[passed[-1]][0][0])
            for position in reversed(passed[:-1]):
                products[position] = self._times(self.uses[position][0], products)
            chains.append(Chain(self.uses, above, last, self._times(last, products)))
        return chains

    def _times(self, use: tuple[int, int], products: Mapping[int, float]) -> float:
        user, place = use
        local = self.graph.nodes[user].local_derivatives[place]
        assert local is not None
        return products[user] * local

    def paths(self) -> list[tuple[int, ...]]:
        """Every way from the root down to the target, as stations; for few ways only."""
        complete: list[tuple[int, ...]] = []
        pending: list[tuple[int, ...]] = [(self.target,)]
        while pending:
            path = pending.pop()
            if path[0] == self.root:
                complete.append(path)
            else:
                pending += [(above, *path) for above in reversed(self.above(path[0]))]
        return complete


def _constant(node: Node) -> bool:
    """Whether the local derivatives of a node are constants, whatever the numbers."""
    assert node.rule is not None
    name = node.rule.name
    return name in ("add", "sub", "neg", "sum") or (
        name in ("mul", "div") and any(isinstance(x, float) for x in node.operands)
    )
