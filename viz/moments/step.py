"""``draw_step``: one step of a backward pass as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from microbp import Graph, Trace, Value
from viz.drawing import Drawing
from viz.moments.film import film
from viz.styles import Style

__all__ = ["draw_step"]


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
    waits for the second of two contributions. What the gradient has not reached is pale.

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
