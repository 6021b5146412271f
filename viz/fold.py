"""``picture``: what is drawn of a graph, folded until a person can read it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import repeat

from microbp import Diagnosis, Finding, Graph, Value
from microbp.graph import as_recorded
from microbp.text import quoted
from viz.contents import Contents, clusters, edges
from viz.focus import View, focus
from viz.folding import FEWEST, LEVELS, Partition, Values, folded, ladder, named, unfolded
from viz.kinds import kinds
from viz.options import one_of, whole_number
from viz.picture import Picture, reach

FOLDS = ("auto", *LEVELS)  #: What ``fold`` may be.
LIMIT = 5000  #: More boxes than these are no picture.
MOST = 10_000  #: A layout of edges that cross more rows of boxes than these together takes minutes.

_CURES = (
    "Let fold='auto' choose, try fold='neuron' or fold='layer', or show a part: around=name, "
    "between=(name, name), share=0.9"
)


def picture(
    graph: Graph,
    fold: str = "auto",
    max_nodes: int = 120,
    *,
    parameters: Iterable[str | Value] | None = None,
    between: tuple[str | Value, str | Value] | None = None,
    around: str | Value | None = None,
    hops: int = 2,
    share: float | None = None,
    unfold: Iterable[str] = (),
    findings: Diagnosis | Iterable[Finding] = (),
) -> Picture:
    """The boxes and edges alone, by the options of :func:`viz.draw`; they may be too small to be read.

    >>> x = Value(3.0, name="x")
    >>> drawn = picture(Graph(x * x))
    >>> [(edge.source, edge.target, edge.local) for edge in drawn.edges]
    [('n0', 'n1', 3.0), ('n0', 'n1', 3.0)]
    """
    view = View(parameters, between, around, hops, share, unfold, findings)
    return next(pictures(graph, fold, max_nodes, view))


def pictures(
    graph: Graph, fold: str, max_nodes: int = 120, view: View = View(), alone: Collection[int] = ()  # noqa: B008
) -> Iterator[Picture]:
    """The pictures from which ``fold="auto"`` takes one, the finest first; of another ``fold`` the only one.

    Each is made when it is asked for. Values at the positions ``alone`` have boxes of their own. Raises as
    :func:`viz.draw` does.
    """
    one_of("fold", fold, FOLDS)
    max_nodes = whole_number("max_nodes", max_nodes, FEWEST)  # any graph folds to so few
    graph, moved = as_recorded(graph)
    kind = kinds(graph, view.parameters)
    shown, told = focus(graph, kind, view)
    values = Values(graph, kind, shown)
    found = _by_position(graph, view.findings)
    names = [view.unfold] if isinstance(view.unfold, str) else [*view.unfold]
    opened = {*alone, *(named(values, names) if names else ())}

    def small(partition: Partition) -> bool:
        """Few boxes, and no mesh of edges, as between two layers of sixteen, nor edges across all rows."""
        return len(partition) <= FEWEST or (
            len(partition) <= max_nodes
            and len(partition.arcs[0]) <= 6 * len(partition)
            and reach(partition.depths(lambda *_: 1), partition.operands) <= min(30 * max_nodes, MOST)
        )

    for partition, phrase in ladder(values) if fold == "auto" else [folded(values, fold)]:
        if fold != "auto" or small(partition):
            shut = unfolded(partition, opened) if opened else partition
            yield _picture(shut, _note(shut, told, phrase, len(moved)), fold, found)


def _by_position(graph: Graph, findings: Diagnosis | Iterable[Finding]) -> dict[int, list[str]]:
    """What was found, in a few words, at the value where it began, else at the parameters it concerns."""
    told: dict[int, list[str]] = {}
    for each in findings.findings if isinstance(findings, Diagnosis) else findings:
        if each.position is not None and each.position >= len(graph):
            raise ValueError(
                f"findings are those of another graph: {each.node} is its value number {each.position:,}, "
                f"and the graph of {graph.root.name} has {len(graph):,}"
            )
        there = [graph[name].position for name in each.parameters if name in graph]
        for position in there if each.position is None else [each.position]:
            told.setdefault(position, []).append(each.cause or each.kind)
    return told


def _picture(partition: Partition, note: str, fold: str, findings: dict[int, list[str]]) -> Picture:
    values = partition.values
    would_be = f"{len(values):,} values with fold={quoted(fold)} would be"
    if len(partition) > LIMIT:
        raise ValueError(
            f"{would_be} {len(partition):,} boxes, and no one can read more than {LIMIT:,}. {_CURES}"
        )
    contents = Contents(partition, findings)
    frames, within, before = clusters(contents)
    drawn = Picture(
        boxes=tuple(contents.boxes(within, before)),
        edges=tuple(edges(contents)),
        clusters=tuple(frames),
        title=values.graph.root.name,
        note=note,
        values=len(values),
        total=len(values.graph),
        box_of=tuple(map(contents.id.get, partition.label.tolist(), repeat(""))),
    )
    if (crossed := drawn.reach()) > MOST:
        raise ValueError(
            f"{would_be} {len(drawn.edges):,} edges between {len(partition):,} boxes, which cross "
            f"{crossed:,} rows together, and more than {MOST:,} take an engine minutes. {_CURES}"
        )
    return drawn


def _note(partition: Partition, told: str, phrase: str, moved: int) -> str:
    """What was left out, what was folded, and what has changed since, as parts of a sentence."""
    values, made, count = partition.values, partition.made.values(), len(partition.values)
    cut = f", {values.cut:,} edge{'s' * (values.cut != 1)} to the others left out" if values.cut else ""
    alike = max((each.times for each in made if not each.steps), default=1)
    steps = max((each.steps for each in made), default=1)
    few = f"{len(partition):,} box{'es' * (len(partition) != 1)}: {phrase}"
    few += (f", × {alike:,} alike" if alike > 1 else "") + (f", {steps:,} steps" if steps > 1 else "")
    parts = {
        f"{count:,} of {len(values.nodes):,} values shown: {told}{cut}": told,
        f"{count:,} values folded into {few}": len(partition) < count,
        f"as computed, leaves with other data now: {moved:,}": moved,
    }
    return "; ".join(part for part, said in parts.items() if said)
