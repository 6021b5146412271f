"""What is drawn, as plain records: boxes, clusters of boxes, and edges between them.

Folding makes a :class:`Picture` of a graph; DOT text, pages and animations are renderers of it. Nothing
here knows about fonts, colours or layout. All records are frozen, compare by value, and hold only plain
data, so they can be pickled and written as JSON.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)

STRIP = 40  #: The most squares in the strip of a folded box; an array has up to 8 × 8.


def reach(row: Mapping[Key, int], operands: Mapping[Key, Sequence[Key]]) -> int:
    """How many rows all edges cross together, where an edge from one row to the next crosses one.

    It decides how long an engine needs, which cuts an edge into a piece for each row. Boxes stand in the
    ``row`` below the lowest of their operands, but a leaf stands right above the highest that reads it.
    """
    edges = [(each, row[box]) for box, read in operands.items() for each in read]
    top: dict[Key, int] = {}
    for each, below in edges:
        top[each] = min(below, top.get(each, below))
    return sum(below - (row[each] if operands.get(each) else top[each] - 1) for each, below in edges)


class Kind(str, Enum):
    """What a box stands for."""

    PARAMETER = "parameter"  #: A leaf that is learned.
    INPUT = "input"  #: A leaf that is given: an input or a target.
    CONSTANT = "constant"  #: A leaf that takes no gradient.
    OPERATION = "operation"  #: A computed value.
    SUM = "sum"  #: A sum whose terms are its rows.
    FOLDED = "folded"  #: Several values in one box.


class Row(NamedTuple):
    """A term in the box of a sum, or several."""

    label: str  #: What is added: ``w1·i1``, ``b1``, ``−t``; "" for several of which the first has no name.
    data: float | None  #: The term's number; None where there is none to show.
    port: str  #: The name of the place in the box where the term's edges end; unique in its box.
    terms: int = 1  #: For how many terms it stands, of which the first is told.


class Progress(NamedTuple):
    """How far the gradient of a box has come after so many steps of a backward pass."""

    step: int
    passes: int  #: The step in which it passes its gradient on; 0 for a leaf.
    #: Each contribution: the step in which it comes, and the gradient after it. The seed comes in step 0.
    received: tuple[tuple[int, float], ...]

    @property
    def paid(self) -> int:
        """How many contributions are in."""
        return sum(step <= self.step for step, _ in self.received)

    @property
    def final(self) -> bool:
        """Whether its gradient is complete."""
        return self.paid == len(self.received)


class Flow(NamedTuple):
    """The contribution that an edge carries in a pass, seen after so many steps."""

    step: int
    #: The step in which it is paid.
    paid: int
    amount: float
    #: The operand's gradient before and after it.
    before: float | None
    after: float


class Box(NamedTuple):
    """One value, or several that are folded."""

    #: ``n`` and the position of the value, ``g`` and that of the last of several: stable, and unique.
    id: str
    kind: Kind
    name: str  #: The name of the value; what the values of a folded box have in common.
    named: bool = True  #: Whether the user gave the name.
    root: bool = False  #: Whether the root of the graph is in it.
    symbol: str = ""  #: The sign of the operation, with its literals: ``×``, ``^2``, ``σ``. Empty for a leaf.
    data: float | None = None  #: None for several values.
    grad: float | None = None  #: The gradient; None if it was not computed, and for several values.
    tooltip: str = ""  #: Numbers in full precision, the formula and the line of code.
    rows: tuple[Row, ...] = ()  #: The terms of a sum, else empty.
    #: Of several values the gradients of the parameters; where there are none, of the other leaves; where
    #: there are none, of the values that other boxes read. None for one not computed. Of more than
    #: ``STRIP`` each is the largest in magnitude of a run of them.
    strip: tuple[float | None, ...] = ()
    across: int = 0  #: Of an array of two axes how many squares of the strip stand side by side, else 0.
    #: Of the steps of a loop or of a sequence the largest |∇| of each; of more than ``STRIP`` steps, of
    #: each of so many runs of them. A box that has it has no strip.
    spark: tuple[float | None, ...] = ()
    values: int = 1  #: For how many values it stands.
    parameters: int = 0  #: How many of these are parameters.
    #: How many alike lie on top of each other: the samples of a batch, the steps of a sequence.
    times: int = 1
    #: max |∇θ| over the parameters of a folded box, or, where it has none, max |∇| over its values;
    #: None if no gradient was computed.
    largest: float | None = None
    #: Of what kind the leaves of a folded box are that holds nothing else; None for other boxes.
    leaves: Kind | None = None
    group: tuple[str, ...] = ()  #: The clusters that it stands in, by id, from the outermost.
    #: On an exercise sheet ``blank`` where the gradient is to be found, ``answer`` where it is in the key.
    blank: str = ""
    #: What was found to be wrong here, in a few words: ``first nan``, ``dead relu``.
    notes: tuple[str, ...] = ()
    progress: Progress | None = None  #: In the picture of a step of a pass, unless it is a constant.


class Cluster(NamedTuple):
    """A frame around boxes: a module, a layer, a neuron, a ``with group(...)``."""

    id: str
    label: str
    parent: str = ""  #: The id of the frame around it, or empty.


class Edge(NamedTuple):
    """From an operand to the value that uses it; data flows along it, the gradient against it."""

    id: str  #: ``e12_0``: the position of the user and the place among its operands; of several, the first.
    source: str  #: The box of the operand.
    target: str  #: The box of the user.
    port: str = ""  #: The row of the target where it ends, or empty.
    #: ∂user/∂operand; through a product that is a row of a sum, ∂sum/∂operand. None for several edges.
    local: float | None = None
    #: upstream × local, what the operand receives; of several edges the largest in magnitude. None if
    #: no gradient was computed or none flows here.
    contribution: float | None = None
    alarm: str = ""  #: Where a number first is not finite: how it comes about, ``0 × inf = nan``; else empty.
    #: For how many edges of the graph it stands.
    count: int = 1  # type: ignore[assignment]  # hides the method of tuples
    flow: Flow | None = None  #: In the picture of a step of a pass, where it carries something.


class Picture(NamedTuple):
    """Boxes in the order of their values (operands before users), and what connects them. No cycles."""

    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    clusters: tuple[Cluster, ...] = ()
    title: str = ""
    #: What was folded or left out, in a sentence; empty if every value of the graph has its own box.
    note: str = ""
    values: int = 0  #: How many values are in the boxes.
    total: int = 0  #: How many values the graph has.
    #: For each value of the graph the id of its box; empty for one that is left out.
    box_of: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()  #: In the picture of a step of a pass the titles of all of them.

    def operands(self) -> dict[str, list[str]]:
        """By the id of a box those that its edges come from, parallel ones each by itself."""
        found: dict[str, list[str]] = {box.id: [] for box in self.boxes}
        for edge in self.edges:
            found[edge.target].append(edge.source)
        return found

    def depths(self) -> dict[str, int]:
        """By the id of a box in which row it can stand at the earliest, below all of its operands."""
        depth: dict[str, int] = {}
        for box, below in self.operands().items():
            depth[box] = 1 + max((depth.get(each, 0) for each in below), default=-1)
        return depth

    def reach(self) -> int:
        """How many rows of boxes the edges cross together; see :func:`reach`."""
        return reach(self.depths(), self.operands())
