"""``draw``: a graph of values as a picture to look at, to save and to show in a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import tee
from typing import Any, ClassVar

from microbp import Diagnosis, Finding, Graph, MicrobpError, Value, trace
from microbp.text import quoted
from viz import dot, svg
from viz.engines import Rendered, render
from viz.focus import View, node_of
from viz.fold import pictures
from viz.options import Style, flag, graph_of, not_drawn
from viz.picture import Box, Picture
from viz.text import signed

_DPI = 120  #: Dots per inch of a PNG: text of 10 points is 17 pixels high.
#: Pixels of a screen, and of a notebook's cell, which is as high as it needs to be.
TARGET, NOTEBOOK = (1920.0, 1000.0), (920.0, 1400.0)
LEGIBLE = 7.0  #: Pixels of the smallest text that is read without effort.
#: The smallest type of a picture, in points, and how many pixels a point has.
_SMALLEST, _POINT = 8.0, 96 / 72
_WIDTH, _HEIGHT = 66.0, 46.0  #: A box is no smaller than this, with the gap to the next, in points.


def draw(
    root: Value | Graph | Picture,
    *,
    names: Mapping[str, Any] | None = None,
    parameters: Iterable[str | Value] | None = None,
    fold: str = "auto",
    max_nodes: int = 120,
    between: tuple[str | Value, str | Value] | None = None,
    around: str | Value | None = None,
    hops: int = 2,
    share: float | None = None,
    unfold: Iterable[str] = (),
    findings: Diagnosis | Iterable[Finding] = (),
    target: tuple[float, float] = TARGET,
    hide: Iterable[str | Value] = (),
    answers: bool = False,
    title: str | None = None,
    rankdir: str = "TB",
    edges: str = "local",
    digits: int = 4,
    dark: bool = False,
    legend: bool = True,
    engine: str = "auto",
    format: str = "svg",  # noqa: A002
) -> Drawing:
    """A drawing of all that ``root`` was computed from, with the gradients as they are now.

    What is drawn: values that have no name bear that of a variable in ``names``, which is by default
    every variable that the caller sees, or a function of its module that called it. ``parameters``, names
    or Values, says which leaves are learned, if their names do not. ``between``, ``around`` with ``hops``,
    and ``share`` leave values out: see :func:`viz.focus.focus`. ``findings``, of :func:`microbp.diagnose`,
    are written into the boxes that they are about. A :class:`~viz.picture.Picture` is drawn as it is.

    ``fold`` is ``"none"`` (every value), ``"sigma"`` (a sum and its products in one box, with a row per
    term), ``"neuron"`` (the innermost module or group), ``"layer"`` (what holds such side by side) or
    ``"auto"``: the finest of these, or of coarser ones, that can be read. It has at most ``max_nodes`` boxes,
    is not a mesh of more than six edges for each, and fitted to ``target``, a width and a height in pixels,
    its smallest text is 7 pixels high or more; a notebook's cell has its own width. Samples that go through
    the same code are one box, × n; the steps of a loop are one box with the gradients along it. ``unfold``
    names groups, modules and arrays whose values are boxes by themselves all the same: ``["layers.1"]``.

    ``hide`` names values, or gives them, whose gradients are left blank: an exercise sheet. With
    ``answers=True`` it is the key. ``backward()`` need not have run for it.

    How it looks: ``rankdir`` is ``"TB"``, from top to bottom, or ``"LR"``; on ``edges`` stands the
    ``"local"`` derivative, the ``"contribution"`` (upstream gradient × local derivative), or ``"none"``;
    numbers have so many significant ``digits``; ``dark`` is for slides.

    By what: ``engine`` is ``"dot"``, ``"pygraphviz"``, or ``"auto"``, which takes the first of them that
    is installed; a notebook is shown a picture in the ``format`` ``"svg"`` or ``"png"``.

    >>> w, x = Value(0.5), Value(3.0)
    >>> loss = (w * x - 1.0) ** 2
    >>> loss.backward()
    >>> drawing = draw(loss)
    >>> drawing.picture.title, [box.name for box in drawing.picture.boxes if box.named]
    ('loss', ['w', 'x', 'loss'])
    >>> drawing.dot.splitlines()[0]
    'digraph drawing {'

    Where no gradient has been computed a dash stands in its place.

    Raises TypeError for what is neither a Value nor a graph, ValueError for an option that is wrong, for a
    picture of more than 5,000 boxes, and for one whose edges cross more than 10,000 rows of boxes together,
    which would take an engine minutes. No layout engine is needed until ``.svg``, ``.png`` or ``.pdf``.
    """
    style = Style(rankdir, dark, edges, digits, legend).checked()
    if isinstance(root, Picture):
        shown = root if title is None else root._replace(title=title)
        return Drawing(shown, style, engine=engine, format=format)
    graph = graph_of("draw", root, names, traces=False)
    flag("answers", answers)
    listed = [hide] if isinstance(hide, str | Value) else hide
    blank = sorted({node_of(graph, each).position for each in listed})
    for each in blank:
        if not graph.needs[each]:
            raise ValueError(f"hide: {graph.names[each]} takes no gradient, so that there is none to find")
    if blank:
        graph = graph.with_grad(trace(graph).gradients())
    view = View(parameters, between, around, hops, share, unfold, findings)
    found = pictures(graph, fold, max_nodes, view, blank)
    if blank:
        found = (_sheet(each, graph, blank, answers=answers, digits=digits) for each in found)
    if title is not None:
        found = (each._replace(title=title) for each in found)
    if fold != "auto":
        return Drawing(next(found), style, engine=engine, format=format)
    levels = Levels(found, style, engine)
    return Drawing(levels.legible(target), style, engine=engine, format=format, levels=levels)


# --------------------------------------------------------------------------------------- exercise sheets
def _sheet(picture: Picture, graph: Graph, blank: list[int], *, answers: bool, digits: int) -> Picture:
    """The picture with blanks for the gradients at these positions, or as the key to them."""
    ids, shown = {f"n{each}" for each in blank}, []
    for each in blank:
        if not picture.box_of[each]:
            raise ValueError(f"hide: {graph.names[each]} is among the values that are left out")
        answer = f" = {signed(graph.nodes[each].grad, digits)}" if answers else ""
        shown.append(f"∇{graph.names[each]}{answer}")

    def asked(box: Box) -> Box:
        if box.id not in ids or answers:
            return box._replace(blank="answer" if box.id in ids else "")
        return box._replace(blank="blank", grad=None, tooltip=box.name, notes=())

    edges = (  # what an edge pays to a blank would give it away
        edge._replace(contribution=None, alarm="") if edge.source in ids and not answers else edge
        for edge in picture.edges
    )
    told = ("key: " if answers else "find ") + ", ".join(shown)
    note = "; ".join(filter(None, (picture.note, told)))
    return picture._replace(boxes=tuple(map(asked, picture.boxes)), edges=tuple(edges), note=note)


# --------------------------------------------------------------------------------- the level that can be read
class Levels:
    """The pictures of a graph from fine to coarse, each made when it is asked for."""

    def __init__(self, pictures: Iterator[Picture], style: Style, engine: str) -> None:
        self._pictures, self._style, self._engine = pictures, style, engine

    def legible(self, target: tuple[float, float]) -> Picture:
        """The finest picture that can be read in a place of that size.

        Where none can, the coarsest. Without an engine, or where it fails, the first that has room for its
        boxes: what is wrong is said when the picture is asked for. ValueError where ``target`` is not the
        size of a place in pixels.
        """
        if len(target) != 2 or not all(each >= 100 for each in target):
            told = "a width and a height, each of 100 pixels or more"
            raise ValueError(f"target is {told}, not {quoted(target)}")
        self._pictures, found = tee(self._pictures)  # which keeps what was made
        for level in found:
            if _has_room(level, target, self._style.rankdir) and self.can_be_read(level, target):
                break
        return level

    def can_be_read(self, level: Picture, target: tuple[float, float]) -> bool:
        """Whether its smallest text, fitted into ``target``, is high enough; True where none can tell."""
        try:
            laid_out = render(dot.source(level, self._style), "svg", self._engine)
        except (MicrobpError, OSError):
            return True
        size = re.search(rb'<svg width="([\d.]+)pt" height="([\d.]+)pt"', laid_out)
        assert size, "an engine's SVG begins with its size"
        fits = (place / (_POINT * float(each)) for place, each in zip(target, size.groups(), strict=True))
        return _SMALLEST * _POINT * min(1.0, *fits) >= LEGIBLE


def _has_room(picture: Picture, target: tuple[float, float], rankdir: str) -> bool:
    """Whether the boxes might be legible: what cannot is not laid out."""
    across, down = (each * _SMALLEST / LEGIBLE for each in target)
    rows = 1 + max(picture.depths().values(), default=0)
    fits = rows * _HEIGHT <= down if rankdir == "TB" else rows * _WIDTH <= across
    return fits and len(picture.boxes) * _WIDTH * _HEIGHT <= across * down


# ------------------------------------------------------------------------------------------- what is drawn
class Drawing(Rendered):
    """A picture of a graph. ``.dot`` needs no layout engine; pictures are laid out when asked for.

    In a notebook it shows itself, as fine as can be read in a cell. ``picture`` is what is drawn as plain
    records, ``style`` how.
    """

    formats: ClassVar[Mapping[str, str]] = {"svg": "image/svg+xml", "png": "image/png"}
    suffixes = (".svg", ".png", ".pdf", ".dot")

    def __init__(
        self,
        picture: Picture,
        style: Style | None = None,
        *,
        engine: str = "auto",
        format: str = "svg",  # noqa: A002
        levels: Levels | None = None,
    ) -> None:
        """``levels`` is where the picture was chosen."""
        super().__init__(style, engine, format)
        if not isinstance(picture, Picture):
            raise not_drawn("Drawing", "a Picture, as draw(loss).picture is one", picture)
        self.picture = picture
        self._levels = levels

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_levels": None}  # what is still to be made of them is not copied

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str | bytes]:
        """What notebooks show: one picture and a line of text. It never raises: trouble is the text."""
        shown = self
        if self._levels is not None and not self._levels.can_be_read(self.picture, NOTEBOOK):
            picture = self._levels.legible(NOTEBOOK)
            shown = Drawing(picture, self.style, engine=self._engine, format=self._format)
        return Rendered._repr_mimebundle_(shown)

    @cached_property
    def dot(self) -> str:
        """The DOT text: the same bytes in every process, and without any layout engine."""
        return dot.source(self.picture, self.style)

    @cached_property
    def svg(self) -> str:
        """The picture as an ``<svg>`` element. Each box and edge has a stable id and a tooltip.

        Raises NoEngine if no layout engine is installed.
        """
        laid_out = render(self.dot, "svg", self._engine)
        return svg.finished(laid_out, self.picture.title or repr(self), self._made_by)

    @cached_property
    def png(self) -> bytes:
        """The picture as a PNG file; see :func:`viz.engines.render`. Raises as :attr:`svg` does."""
        return render(dot.source(self.picture, self.style, dpi=_DPI), "png", self._engine)

    @cached_property
    def pdf(self) -> bytes:
        """The picture as a PDF file. Raises as :attr:`svg` does."""
        return render(self.dot, "pdf", self._engine)

    def inline(self) -> str:
        """HTML with the SVG inside, for a page or a notebook where the tooltips are wanted.

        Raises as :attr:`svg` does.
        """
        return f'<div class="microbp-drawing">{self.svg}</div>'

    def __repr__(self) -> str:
        picture = self.picture
        return (
            f"Drawing: {picture.values:,} values in {len(picture.boxes):,} boxes, "
            f"{len(picture.edges):,} edges, engine {self._engine_told()}"
        )
