"""``draw``: a graph of values as a picture to look at, to save and to show in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from microbp import Diagnosis, Finding, Graph, Value
from microbp.collector import collector_at_rest
from viz import dot, svg
from viz.callers import caller_scope, not_drawn
from viz.engines import render
from viz.exercise import sheet
from viz.focus import View
from viz.fold import pictures
from viz.legible import LEGIBLE, NOTEBOOK, TARGET, Levels, text_size
from viz.picture import Picture
from viz.rendered import Rendered
from viz.styles import Style

__all__ = ["Drawing", "draw"]

#: Dots per inch of a PNG: text of 10 points is 17 pixels high.
_DPI = 120


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
    every variable that the caller sees. ``parameters``, ``fold``, ``max_nodes``, ``unfold``,
    ``findings``, and ``between``, ``around``, ``hops`` and ``share``, which leave values out, are those of
    :func:`viz.fold.picture`. A :class:`~viz.picture.Picture` is drawn as it is.

    ``fold="auto"`` takes the finest level that can be read: fitted to ``target``, a width and a height in
    pixels, its smallest text is 7 pixels high or more. A notebook's cell has its own width.

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
    picture of more than 5,000 boxes, and for one whose edges would take an engine minutes. No layout
    engine is needed until ``.svg``, ``.png`` or ``.pdf``.
    """
    style = Style(rankdir, dark, edges, digits, legend).checked()
    if isinstance(root, Picture):
        shown = root if title is None else root._replace(title=title)
        return Drawing(shown, style, engine=engine, format=format)
    if not isinstance(root, Value | Graph):
        raise not_drawn("draw", "a Value or a Graph", root)
    graph = Graph(root, caller_scope() if names is None else names) if isinstance(root, Value) else root
    blanks = sheet(graph, hide, answers=answers, digits=digits)
    view = View(parameters, between, around, hops, share, unfold, findings)
    found = pictures(graph, fold, max_nodes, view, blanks.hidden if blanks else ())
    if blanks:
        found = map(blanks.of, found)
    if title is not None:
        found = (each._replace(title=title) for each in found)
    with collector_at_rest():
        if fold != "auto":
            return Drawing(next(found), style, engine=engine, format=format)
        levels = Levels(found, style, engine)
        drawn, laid_out = levels.legible(target)
    return Drawing(drawn, style, engine=engine, format=format, laid_out=laid_out, levels=levels)


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
        laid_out: bytes = b"",
        levels: Levels | None = None,
    ) -> None:
        """``laid_out`` is the engine's SVG if there is one; ``levels`` is where the picture was chosen."""
        super().__init__(style, engine, format)
        self.picture = picture
        self._laid_out = laid_out
        self._levels = levels

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_levels": None}  # what is still to be made of them is not copied

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str | bytes]:
        """What notebooks show: one picture and a line of text. It never raises: trouble is the text."""
        shown = self
        if self._levels is not None and self._laid_out and text_size(self._laid_out, NOTEBOOK) < LEGIBLE:
            picture, laid_out = self._levels.legible(NOTEBOOK)
            shown = Drawing(picture, self.style, engine=self._engine, format=self._format, laid_out=laid_out)
        return Rendered._repr_mimebundle_(shown, include, exclude)

    @property
    def dot(self) -> str:
        """The DOT text: the same bytes in every process, and without any layout engine."""
        return str(self._once("dot", lambda: dot.source(self.picture, self.style)))

    @property
    def svg(self) -> str:
        """The picture as an ``<svg>`` element. Each box and edge has a stable id and a tooltip.

        Raises NoEngine if no layout engine is installed.
        """
        return str(self._once("svg", self._svg))

    @property
    def png(self) -> bytes:
        """The picture as a PNG file; see :func:`viz.engines.render`. Raises as :attr:`svg` does."""
        text = dot.source(self.picture, self.style, dpi=_DPI)
        return bytes(self._once("png", lambda: render(text, "png", self._engine)))

    @property
    def pdf(self) -> bytes:
        """The picture as a PDF file. Raises as :attr:`svg` does."""
        return bytes(self._once("pdf", lambda: render(self.dot, "pdf", self._engine)))

    def inline(self) -> str:
        """HTML with the SVG inside, for a page or a notebook where the tooltips are wanted.

        Raises as :attr:`svg` does.
        """
        return f'<div class="microbp-drawing">{self.svg}</div>'

    def _svg(self) -> str:
        laid_out = self._laid_out or render(self.dot, "svg", self._engine)
        return svg.finished(laid_out, self.picture.title or repr(self), self._made_by)

    def __repr__(self) -> str:
        picture = self.picture
        return (
            f"Drawing: {picture.values:,} values in {len(picture.boxes):,} boxes, "
            f"{len(picture.edges):,} edges, engine {self._engine_told()}"
        )
