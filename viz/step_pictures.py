"""Pictures of a backward pass, one for each step: they differ in how far the gradient has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from microbp import Contribution, Graph, Step, TooManyValues, Trace, Value, trace
from viz.callers import caller_scope, not_drawn, whole_number
from viz.drawing import Drawing
from viz.focus import View, focus
from viz.fold import pictures
from viz.kinds import formula, kinds
from viz.moment import Flow, Moment, Progress, When
from viz.picture import Picture
from viz.styles import Style
from viz.text import plain, shortened, signed

__all__ = ["MOST", "Film", "captions", "draw_step", "film"]


#: Columns of a name, and how many names are listed.
_NAME, _LISTED = 18, 3


def captions(trace: Trace, digits: int = 4) -> list[str]:
    """A line for each step, the first for the seed.

    >>> from microbp import Value, trace
    >>> w, x = Value(0.5, name="w"), Value(3.0, name="x")
    >>> for each in captions(trace((w * x).tanh() * x, {})):
    ...     print(each)
    step 0 of 3: the pass begins with ∇v4 = 1
    step 1 of 3: v4 = v3·x passes on +1 to x and v3
    step 2 of 3: v3 = tanh(v2) passes on +3 to v2
    step 3 of 3: v2 = w·x passes on +0.5421 to x and w
    """
    graph, count = trace.graph, len(trace)
    first = f"step 0 of {count}: the pass begins with ∇{_name(graph.root.name)} = 1"
    return [first, *(f"step {step.index} of {count}: {_told(trace, step, digits)}" for step in trace.steps)]


def _told(trace: Trace, step: Step, digits: int) -> str:
    node = trace.graph.nodes[step.node]
    name = _name(node.name)
    if not node.named:
        name = f"{name} = {shortened(plain(trace.graph.formula(node)), _NAME)}"
    given = Counter(trace.graph.nodes[each.operand].name for each in step.contributions)
    names = [f"{_name(each)}{', twice' if count == 2 else f', {count} times' if count > 2 else ''}"
             for each, count in given.items()]  # fmt: skip
    if len(names) > _LISTED:
        names = [*names[: _LISTED - 1], f"{len(names) - _LISTED + 1} more"]
    receivers = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    return f"{name} passes on {signed(step.upstream, digits)} to {receivers or 'nothing'}"


def _name(name: str) -> str:
    return shortened(plain(name), _NAME)


#: More boxes than these are not followed by eye, and take minutes to draw once for every step.
MOST = 300
#: Nor are edges that cross more rows of boxes than these together.
FAR = 3_000
_CURES = (
    "Show a part: around=name, between=(name, name); step through all of them on a page, viz.page(loss); or "
    "see them folded in one picture, viz.draw(loss)"
)


class Film:
    """A pass and the boxes and edges that are seen of it; made by :func:`film`."""

    def __init__(self, trace: Trace, drawn: Picture, title: str = "", digits: int = 4) -> None:
        self.trace = trace
        self._drawn = drawn
        self._title = title
        self._digits = digits
        self._at = {box.id: int(box.id[1:]) for box in drawn.boxes}
        #: Of each value the step in which each contribution comes, and the gradient after it.
        self._received: list[list[tuple[int, float]]] = [[] for _ in trace.graph]
        #: Of each edge the step in which it carries its contribution, and that.
        self._flows: dict[str, tuple[int, Contribution]] = {}
        for step in trace.steps:
            for each in step.contributions:
                self._received[each.operand].append((step.index, each.after))
                self._flows[f"e{step.node}_{each.place}"] = step.index, each
        own = [after for at in self._at.values() for _, after in self._received[at]]
        paid = (self._flows[edge.id][1].amount for edge in drawn.edges if edge.id in self._flows)
        self._amounts = (1.0, *own, *paid)  # that of the seed first
        seen = {*self._at.values()}
        #: The steps in which something is to be seen; all, unless values are left out.
        self.steps = [0] + [
            step.index
            for step in trace.steps
            if step.node in seen or any(each.operand in seen for each in step.contributions)
        ]

    @cached_property
    def captions(self) -> tuple[str, ...]:
        """The title of each picture."""
        return tuple(captions(self.trace, self._digits))

    def picture(self, step: int) -> Picture:
        """What is seen after so many steps. IndexError where there are not so many."""
        whole_number("step", step)
        gradients = self.trace.gradients(step)
        current = self.trace.steps[step - 1].node if step else None
        progress = {
            id_: self._progress(at, step, passing=at == current)
            for id_, at in self._at.items()
            if self.trace.graph.nodes[at].requires_grad
        }
        flows = {
            edge.id: Flow(_when(paid, step), each.amount, each.before, each.after)
            for edge in self._drawn.edges
            if edge.id in self._flows
            for paid, each in [self._flows[edge.id]]
        }
        boxes = tuple(
            box._replace(
                notes=(),
                grad=gradients[self._at[box.id]],
                tooltip=self._tooltip(self._at[box.id], gradients, progress.get(box.id)),
            )
            for box in self._drawn.boxes
        )
        paid = {id_: flow.amount for id_, flow in flows.items() if flow.when is not When.AHEAD}
        edges = tuple(edge._replace(contribution=paid.get(edge.id)) for edge in self._drawn.edges)
        moment = Moment(step, progress, flows, self._amounts, self.captions)
        told = self._drawn.note or f"{len(boxes):,} value{'s' * (len(boxes) != 1)}"
        note = ", ".join(filter(None, (self._title, told)))
        return self._drawn._replace(
            boxes=boxes, edges=edges, title=self.captions[step], note=note, moment=moment
        )

    def _progress(self, at: int, step: int, *, passing: bool) -> Progress:
        received = self._received[at]
        gradients = (1.0,) * (at == self.trace.graph.root.position) + tuple(after for _, after in received)
        return Progress(sum(paid <= step for paid, _ in received), len(received), passing, gradients)

    def _tooltip(self, at: int, gradients: list[float | None], progress: Progress | None) -> str:
        node = self.trace.graph.nodes[at]
        told = "not reached yet" if gradients[at] is None else repr(gradients[at])
        if progress is None:
            told = "none: it takes no gradient"
        elif not progress.final:
            told += f", {progress.paid} of {progress.expected} contributions"
        made = formula(self.trace.graph, node)
        return "\n".join(filter(None, (f"{node.name} = {node.data!r}", f"∇ {told}", made, node.site or "")))


def _when(paid: int, step: int) -> When:
    return When.NOW if paid == step else When.PAST if paid < step else When.AHEAD


def film(
    root: Value | Graph | Trace,
    names: Mapping[str, Any] | None,
    view: View,
    title: str | None,
    digits: int,
    caller: str,
) -> Film:
    """The pass from ``root``, with the options of :func:`viz.draw`; ``caller`` is named in errors.

    Raises TypeError for what is not a Value, Graph or Trace, TooManyValues for more than 300 boxes or
    edges that cross more than 3,000 rows of them, NoGradientError for a constant, and as
    :func:`viz.focus.focus` does.
    """
    if isinstance(root, Value):
        root = Graph(root, caller_scope() if names is None else names)
    elif not isinstance(root, Graph | Trace):
        raise not_drawn(caller, "a Value, a Graph or a Trace", root)
    graph = root if isinstance(root, Graph) else root.graph
    if view.parameters is not None and not isinstance(view.parameters, str | Value):
        view = view._replace(parameters=[*view.parameters])  # it is read twice
    shown, _ = focus(graph, kinds(graph, view.parameters), view)
    count = len(graph) if shown is None else len(shown)
    if count > MOST:
        raise TooManyValues(
            f"{caller}() draws each of {count:,} values in a box of its own, and no one can follow more than "
            f"{MOST:,}. {_CURES}"
        )
    pass_ = root if isinstance(root, Trace) else trace(graph)  # with the numbers that were recorded
    drawn = next(pictures(pass_.graph, "none", MOST, view))
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
