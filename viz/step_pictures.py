"""Pictures of a backward pass, one for each step: they differ in how far the gradient has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from microbp import Graph, Step, TooManyValues, Trace, Value, trace
from viz.drawing import Drawing
from viz.focus import View, focus
from viz.fold import pictures
from viz.kinds import tooltip
from viz.options import Style, graph_of, whole_number
from viz.picture import Box, Edge, Flow, Picture, Progress
from viz.text import plain, shortened, signed

_NAME, _LISTED = 18, 3  #: Columns of a name, and how many names are listed.


def _told(trace: Trace, step: Step, digits: int) -> str:
    node = trace.graph.nodes[step.node]
    name = _name(node.name)
    if not node.named:
        name = f"{name} = {shortened(plain(trace.graph.formula(node)), _NAME)}"
    given = Counter(trace.graph.nodes[each.operand].name for each in step.contributions)
    often = {1: "", 2: ", twice"}
    names = [_name(each) + often.get(count, f", {count} times") for each, count in given.items()]
    if len(names) > _LISTED:
        names = [*names[: _LISTED - 1], f"{len(names) - _LISTED + 1} more"]
    receivers = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    return f"{name} passes on {signed(step.upstream, digits)} to {receivers or 'nothing'}"


def _name(name: str) -> str:
    return shortened(plain(name), _NAME)


MOST = 300  #: More boxes than these are not followed by eye, and take minutes to draw once for every step.
FAR = 3_000  #: Nor are edges that cross more rows of boxes than these together.
_CURES = (
    "Show a part: around=name, between=(name, name); step through all of them on a page, viz.page(loss); or "
    "see them folded in one picture, viz.draw(loss)"
)


class Film:
    """A pass and the boxes and edges that are seen of it; made by :func:`film`."""

    def __init__(self, trace: Trace, drawn: Picture, title: str = "", digits: int = 4) -> None:
        self.trace, seed = trace, f"the pass begins with ∇{_name(trace.graph.root.name)} = 1"
        lines = [seed, *(_told(trace, step, digits) for step in trace.steps)]
        #: A line for each step, the first for the seed.
        self.captions = tuple(f"step {at} of {len(trace)}: {each}" for at, each in enumerate(lines))
        self._paid = {f"e{step.node}_{x.place}": x for step in trace.steps for x in step.contributions}
        seen = {int(box.id[1:]) for box in drawn.boxes}
        #: The steps in which something is to be seen; all, unless values are left out.
        self.steps = [0]
        for step in trace.steps:
            if not seen.isdisjoint([step.node, *(each.operand for each in step.contributions)]):
                self.steps.append(step.index)
        many = f"{len(drawn.boxes):,} value{'s' * (len(drawn.boxes) != 1)}"
        note = ", ".join(filter(None, (title, drawn.note or many)))
        self._drawn = drawn._replace(note=note, captions=self.captions)

    def picture(self, step: int) -> Picture:
        """What is seen after so many steps. IndexError where there are not so many."""
        step = whole_number("step", step)
        gradients, drawn = self.trace.gradients(step), self._drawn
        return drawn._replace(
            boxes=tuple(self._box(box, step, gradients) for box in drawn.boxes),
            edges=tuple(self._edge(edge, step) for edge in drawn.edges),
            title=self.captions[step],
        )

    def _box(self, box: Box, step: int, gradients: list[float | None]) -> Box:
        graph, at = self.trace.graph, int(box.id[1:])
        grad, progress, told = gradients[at], None, "none: it takes no gradient"
        if graph.needs[at]:
            passes, seed = self.trace.step_of(at), [(0, 1.0)] if at == graph.root.position else []
            received = *seed, *((each.step, each.after) for each in self.trace.received[at])
            progress = Progress(step, passes.index if passes else 0, received)
            told = "not reached yet" if grad is None else repr(grad)
            if not progress.final:
                told += f", {progress.paid} of {len(received)} contributions"
        shown = tooltip(graph, graph.nodes[at], told)
        return box._replace(grad=grad, progress=progress, tooltip=shown, notes=())

    def _edge(self, edge: Edge, step: int) -> Edge:
        if (paid := self._paid.get(edge.id)) is None:
            return edge._replace(contribution=None)
        flow = Flow(step, paid.step, paid.amount, paid.before, paid.after)
        return edge._replace(contribution=paid.amount if paid.step <= step else None, flow=flow)


def film(
    root: Value | Graph | Trace,
    names: Mapping[str, Any] | None,
    view: View,
    title: str | None,
    digits: int,
    caller: str,
) -> Film:
    """The pass from ``root``, with the options of :func:`viz.draw`; ``caller`` is named in errors."""
    graph = graph_of(caller, root, names)
    shown, _ = focus(graph, (), view)  # which asks for kinds only to find a share
    count = len(graph) if shown is None else len(shown)
    if count > MOST:
        raise TooManyValues(
            f"{caller}() draws each of {count:,} values in a box of its own, and no one can follow more than "
            f"{MOST:,}. {_CURES}"
        )
    pass_ = root if isinstance(root, Trace) else trace(graph)  # with the numbers that were recorded
    drawn = next(pictures(pass_.graph, "none", view=view))
    if (crossed := drawn.reach()) > FAR:
        raise TooManyValues(
            f"{caller}() would draw {len(drawn.edges):,} edges, which cross {crossed:,} rows of boxes "
            f"together, and no one can follow more than {FAR:,}. {_CURES}"
        )
    return Film(pass_, drawn, title or "", digits)


def draw_step(
    root: Value | Graph | Trace,
    step: int,
    *,
    names: Mapping[str, Any] | None = None,
    parameters: Iterable[str | Value] | None = None,
    between: tuple[str | Value, str | Value] | None = None,
    around: str | Value | None = None,
    hops: int = 2,
    title: str | None = None,
    rankdir: str = "TB",
    edges: str = "local",
    digits: int = 4,
    dark: bool = False,
    legend: bool = True,
    engine: str = "auto",
    format: str = "svg",  # noqa: A002
) -> Drawing:
    """The backward pass from ``root`` as it stands after so many steps. Step 0 is the seed, ∇root = 1.

    In each step one value, with a thick outline, passes its gradient on to its operands: along the thick
    edges, each with the local derivative and the contribution, which is upstream gradient × local
    derivative. On the band of each value stands its gradient so far; ``1/2`` beside it says that it
    waits for the second of two contributions. Where a contribution is
    added to what came before, the sum is written out: ``−0.019 +0.055 → +0.036``.

    Every value has its box in the same place in all steps. ``backward()`` need not have run. The options
    are those of :func:`viz.draw`; ``edges`` says what stands on the other edges: the ``"local"``
    derivative, the ``"contribution"`` where it has been paid, or ``"none"``.

    >>> from microbp import Value
    >>> w, x = Value(0.5), Value(3.0)
    >>> loss = (w * x) ** 2
    >>> drawing = draw_step(loss, 2)
    >>> drawing.picture.title
    'step 2 of 2: v2 = w·x passes on +3 to x and w'
    >>> {box.name: box.grad for box in drawing.picture.boxes}
    {'w': 9.0, 'x': 1.5, 'w·x': 3.0, 'loss': 1.0}

    Raises IndexError where the pass has no such step, TooManyValues for more than 300 boxes or
    for edges that cross more than 3,000 rows of them, TypeError for what is no Value, Graph or Trace,
    NoGradientError for a constant, and as :func:`viz.draw` does.
    """
    style = Style(rankdir, dark, edges, digits, legend).checked()
    shown = film(root, names, View(parameters, between, around, hops), title, digits, "draw_step")
    return Drawing(shown.picture(step), style, engine=engine, format=format)
