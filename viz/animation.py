"""``animate``: a backward pass as a moving picture, one frame for each step."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from microbp import Graph, Trace, Value
from viz import dot, svg
from viz.engines import render
from viz.moments.film import MOST, Film, film
from viz.moments.gif import gif, pillow
from viz.moments.moving import moving
from viz.page import TooManyValues
from viz.rendered import Rendered
from viz.styles import Style
from viz.text import plain

__all__ = ["Animation", "animate"]

#: The last frame, which shows the result, stays so many times as long as another.
_HELD = 4


def animate(
    root: Value | Graph | Trace,
    *,
    seconds_per_step: float = 0.8,
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
    dpi: int = 96,
    engine: str = "auto",
    format: str = "svg",  # noqa: A002
) -> Animation:
    """The backward pass from ``root`` as an animation: the seed, then one frame for each step.

    A frame is what :func:`viz.draw_step` draws, with the same options; nothing moves from its place. Where
    values are left out by ``between`` or ``around``, so are the steps in which nothing is seen. The last
    frame stays four times as long. ``dpi`` is the resolution of a GIF, in dots per inch; a notebook is
    shown the ``format`` ``"svg"`` or ``"gif"``.

    >>> from microbp import Value
    >>> w, x = Value(0.5), Value(3.0)
    >>> animation = animate((w * x).tanh())
    >>> animation.frames, animation.captions[1]
    (3, 'step 1 of 2: v3 = tanh(v2) passes on +1 to v2')

    Frames are drawn when they are asked for. Raises ValueError for an option that is wrong, TooManyValues
    also for more than 301 frames, and as :func:`viz.draw_step` does.
    """
    style = Style(rankdir, dark, edges, digits, legend).checked()
    shown = film(
        root, names=names, parameters=parameters, between=between, around=around, hops=hops,
        title=title, digits=digits, caller="animate",
    )  # fmt: skip
    if len(shown.steps) > MOST + 1:
        raise TooManyValues(
            f"animate() would show {len(shown.steps):,} frames, in each of which a value that is drawn "
            "gets or passes on a gradient, and no one looks at more than "
            f"{MOST + 1:,}. Leave out the values that so many others use, by between=(name, name); "
            "step through the pass on a page, viz.page(loss); or draw single steps, viz.draw_step(loss, step)"
        )
    return Animation(shown, style, seconds_per_step=seconds_per_step, dpi=dpi, engine=engine, format=format)


class Animation(Rendered):
    """A backward pass that moves. In a notebook it shows itself; :meth:`save` writes a GIF or an SVG.

    The SVG holds no script, stops while the mouse is over it, and where its reader's system asks for
    reduced motion it shows the last frame. A GIF can do none of this, but is shown everywhere.
    """

    formats: ClassVar[Mapping[str, str]] = {"gif": "image/gif", "svg": "image/svg+xml"}
    suffixes = (".gif", ".svg")
    instead = "; a single step is drawn by draw_step"

    def __init__(
        self,
        film: Film,
        style: Style | None = None,
        *,
        seconds_per_step: float = 0.8,
        dpi: int = 96,
        engine: str = "auto",
        format: str = "svg",  # noqa: A002
    ) -> None:
        if not 0.02 <= seconds_per_step <= 600:
            raise ValueError(f"seconds_per_step={seconds_per_step!r}: from 0.02 to 600 seconds")
        if not 10 <= dpi <= 600:
            raise ValueError(f"dpi={dpi!r}: from 10 to 600 dots per inch")
        super().__init__(style, engine, format)
        self.film = film
        self._milliseconds = round(100 * seconds_per_step) * 10  # a GIF counts in hundredths of a second
        self._dpi = dpi

    @property
    def frames(self) -> int:
        """How many frames there are: one more than steps, unless values are left out."""
        return len(self.film.steps)

    @property
    def captions(self) -> list[str]:
        """The title of each frame."""
        return [self.film.picture(step).title for step in self.film.steps]

    @property
    def durations(self) -> list[int]:
        """For how many milliseconds each frame is shown."""
        return [self._milliseconds] * (self.frames - 1) + [_HELD * self._milliseconds]

    @property
    def gif(self) -> bytes:
        """The animation as a GIF file.

        Raises NoEngine without a layout engine, and ModuleNotFoundError without Pillow.
        """
        return bytes(self._once("gif", self._gif))

    @property
    def svg(self) -> str:
        """The animation as an ``<svg>`` element. Raises NoEngine without a layout engine."""
        return str(self._once("svg", self._svg))

    def _gif(self) -> bytes:
        pillow()  # before the frames are drawn, which takes time
        return gif(self._drawn("png", self._dpi), self.durations)

    def _svg(self) -> str:
        made_by, root, steps = self._made_by, self.film.trace.graph.root, len(self.film.trace)
        title = f"The backward pass from {plain(root.name)}, {steps} step{'s' * (steps != 1)}"
        frames = [svg.finished(each, title, made_by) for each in self._drawn("svg")]
        return moving(frames, self.durations, title)

    def _drawn(self, format: str, dpi: int | None = None) -> list[bytes]:  # noqa: A002
        """Each frame as the engine draws it, several at a time where it is a program of its own."""
        texts = [dot.source(self.film.picture(step), self.style, dpi) for step in self.film.steps]
        workers = (os.cpu_count() or 1) if self.engine.startswith("dot") else 1
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda text: render(text, format, self._engine), texts))

    def __repr__(self) -> str:
        seconds = sum(self.durations) / 1000
        return f"Animation: {self.frames} frames, {seconds:g} s, engine {self._engine_told()}"

