"""Pictures of a backward pass, one for each step: they differ in how far the gradient has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from microbp import Contribution, Graph, Step, TooManyValues, Trace, Value, trace
from viz.callers import caller_scope, not_drawn, whole_number
from viz.drawing import Drawing
from viz.focus import focus
from viz.fold import picture
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
        self._captions = tuple(captions(trace, digits))
        #: How many contributions each value receives, and each gradient that it has on the way.
        self._expected = Counter(each.operand for step in trace.steps for each in step.contributions)
        self._gradients: list[list[float]] = [[] for _ in trace.graph]
        self._gradients[-1].append(1.0)
        #: The step in which each edge carries its contribution, and that.
        self._flows: dict[str, tuple[int, Contribution]] = {}
        for step in trace.steps:
            for each in step.contributions:
                self._gradients[each.operand].append(each.after)
                self._flows[f"e{step.node}_{each.place}"] = step.index, each
        self._positions = {box.id: int(box.id[1:]) for box in drawn.boxes}
        seen = {self._positions[box.id] for box in drawn.boxes}
        own = (x for position in sorted(seen) for x in self._gradients[position])
        self._amounts = (*own, *(self._flows[edge.id][1].amount for edge in drawn.edges if edge.id in self._flows))
        #: The steps in which something is to be seen; all, unless values are left out.
        self.steps = [0] + [
            step.index
            for step in trace.steps
            if step.node in seen or any(each.operand in seen for each in step.contributions)
        ]

    def picture(self, step: int) -> Picture:
        """What is seen after so many steps. IndexError where there are not so many."""
        whole_number("step", step)
        gradients = self.trace.gradients(step)
        current = self.trace.steps[step - 1].node if step else None
        paid = Counter(each.operand for done in self.trace.steps[:step] for each in done.contributions)
        progress = {
            id_: Progress(paid[at], self._expected[at], at == current, tuple(self._gradients[at]))
            for id_, at in self._positions.items()
            if self.trace.graph.nodes[at].requires_grad
        }
        flows = {
            edge.id: Flow(_when(paid_in, step), each.amount, each.before, each.after)
            for edge in self._drawn.edges
            if edge.id in self._flows
            for paid_in, each in [self._flows[edge.id]]
        }
        boxes = tuple(
            box._replace(
                notes=(),
                grad=gradients[self._positions[box.id]],
                tooltip=self._tooltip(box.id, gradients, progress.get(box.id)),
            )
            for box in self._drawn.boxes
        )
        edges = tuple(
            edge._replace(
                contribution=flows[edge.id].amount
                if edge.id in flows and flows[edge.id].when is not When.AHEAD
                else None
            )
            for edge in self._drawn.edges
        )
        moment = Moment(step, len(self.trace), progress, flows, self._amounts, self._captions)
        return self._drawn._replace(
            boxes=boxes, edges=edges, title=self._captions[step], note=self._note(), moment=moment
        )

    def _note(self) -> str:
        count = len(self._drawn.boxes)
        told = self._drawn.note or f"{count:,} value{'s' * (count != 1)}"
        return ", ".join(filter(None, (self._title, told)))

    def _tooltip(self, id_: str, gradients: list[float | None], progress: Progress | None) -> str:
        node = self.trace.graph.nodes[self._positions[id_]]
        gradient = gradients[node.position]
        told = "not reached yet" if gradient is None else repr(gradient)
        if progress is None:
            told = "none: it takes no gradient"
        elif progress.expected and not progress.final:
            told += f", {progress.paid} of {progress.expected} contributions"
        made = formula(self.trace.graph, node)
        return "\n".join(filter(None, (f"{node.name} = {node.data!r}", f"∇ {told}", made, node.site or "")))


def _when(paid: int, step: int) -> When:
    if paid == step:
        return When.NOW
    return When.PAST if paid < step else When.AHEAD


def film(
    root: Value | Graph | Trace,
    *,
    names: Mapping[str, Any] | None,
    parameters: Iterable[str | Value] | None,
    between: tuple[str | Value, str | Value] | None,
    around: str | Value | None,
    hops: int,
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
    listed = None
    if parameters is not None:
        listed = [parameters] if isinstance(parameters, str | Value) else [*parameters]
    shown, _ = focus(graph, kinds(graph, listed), between=between, around=around, hops=hops)
    count = len(graph) if shown is None else len(shown)
    if count > MOST:
        raise TooManyValues(
            f"{caller}() draws each of {count:,} values in a box of its own, and no one can follow more than "
            f"{MOST:,}. {_CURES}"
        )
    pass_ = root if isinstance(root, Trace) else trace(graph)  # with the numbers that were recorded
    drawn = picture(pass_.graph, "none", parameters=listed, between=between, around=around, hops=hops)
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
    shown = film(
        root, names=names, parameters=parameters, between=between, around=around, hops=hops,
        title=title, digits=digits, caller="draw_step",
    )  # fmt: skip
    return Drawing(shown.picture(step), style, engine=engine, format=format)
