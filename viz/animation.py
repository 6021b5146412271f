"""``animate``: a backward pass as a moving picture, a GIF or one SVG that plays by itself.

In the SVG what the frames share stands once, and what differs takes turns. Style sheets switch, no script
does, so that it moves wherever a picture is shown. Where motion is not wanted, the last frame stands.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import repeat
from typing import Any, ClassVar
from xml.etree import ElementTree as ET

from microbp import Graph, TooManyValues, Trace, Value
from microbp.text import quoted
from viz import dot, svg
from viz.engines import Rendered, by_dot, render
from viz.focus import View
from viz.gif import Window, gif, parts, pillow
from viz.labels import edge_room
from viz.options import Style, not_drawn
from viz.picture import Picture
from viz.step_pictures import MOST, Film, film
from viz.text import plain

_HELD = 4  #: The last frame, which shows the result, stays so many times as long as another.


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
    dpi: int = 72,
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
    shown = film(root, names, View(parameters, between, around, hops), title, digits, "animate")
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
        dpi: int = 72,
        engine: str = "auto",
        format: str = "svg",  # noqa: A002
    ) -> None:
        if not 0.02 <= seconds_per_step <= 600:
            raise ValueError(f"seconds_per_step={quoted(seconds_per_step)}: from 0.02 to 600 seconds")
        if not 10 <= dpi <= 600:
            raise ValueError(f"dpi={quoted(dpi)}: from 10 to 600 dots per inch")
        super().__init__(style, engine, format)
        if not isinstance(film, Film):
            raise not_drawn("Animation", "the film of a pass, as animate(loss).film is one", film)
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
        return [self.film.captions[step] for step in self.film.steps]

    @property
    def durations(self) -> list[int]:
        """For how many milliseconds each frame is shown."""
        return [self._milliseconds] * (self.frames - 1) + [_HELD * self._milliseconds]

    @cached_property
    def gif(self) -> bytes:
        """The animation as a GIF file.

        Raises NoEngine without a layout engine, and ModuleNotFoundError without Pillow.
        """
        pillow()  # before the frames are drawn, which takes time
        pictures, places, placed = self._frames()
        looks = [dot.looks(*frame) for frame in zip(pictures, repeat(self.style), places)]
        rooms = {edge.id: edge_room(edge, self.style) for edge in pictures[0].edges if edge.flow}

        def draw(windows: Sequence[Window]) -> list[bytes]:
            texts = []
            for frame, ids, viewport in windows:
                picture = pictures[frame]
                ends = {end for edge in picture.edges if edge.id in ids for end in (edge.source, edge.target)}
                shown = {key: look for key, look in looks[frame].items() if not key or key in ids | ends}
                graph = dot.digraph(picture, self.style, self._dpi, places[frame], shown)
                graph.attr(viewport=viewport, notranslate="true")
                texts.append(graph.source)
            return self._drawn(texts, "png")

        return gif(parts(looks, placed, rooms, self._dpi, draw), self.durations)

    @cached_property
    def svg(self) -> str:
        """The animation as an ``<svg>`` element. Raises NoEngine without a layout engine."""
        root, steps = self.film.trace.graph.root, len(self.film.trace)
        title = f"The backward pass from {plain(root.name)}, {steps} step{'s' * (steps != 1)}"
        pictures, places, _ = self._frames()
        texts = [dot.source(each, self.style, None, places[at]) for at, each in enumerate(pictures)]
        frames = [svg.finished(each, title, self._made_by) for each in self._drawn(texts, "svg")]
        return moving(frames, self.durations, title)

    def _frames(self) -> tuple[list[Picture], list[dot.Places], list[dict[str, Any]]]:
        """The picture of each frame, the places in it from one layout, and what the engine tells of these."""
        # an arrow that points back has its own place; all edges are laid out both ways
        pictures = [self.film.picture(step) for step in self.film.steps]
        first, (placed, ahead) = pictures[0], self._placed(pictures[0])
        now = (x._replace(flow=x.flow and x.flow._replace(step=x.flow.paid)) for x in first.edges)
        _, back = self._placed(first._replace(edges=tuple(now)))
        places: list[dot.Places] = []
        for each in pictures:
            paying = {edge.id for edge in each.edges if edge.flow and edge.flow.paid == edge.flow.step}
            places.append(ahead | {id_: back[id_] for id_ in paying})
        return pictures, places, placed

    def _placed(self, picture: Picture) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
        """The whole, frames, boxes and edges as the engine tells of them, and by id what puts them there."""
        told = json.loads(render(dot.source(picture, self.style), "json0", self._engine))
        placed = [told | {"id": ""}, *told.get("objects", ()), *told.get("edges", ())]
        known, again = [each for each in placed if "id" in each], ("pos", "lp", "xlp", "bb")
        return placed, {each["id"]: {key: each[key] for key in again if key in each} for each in known}

    def _drawn(self, texts: Sequence[str], format: str) -> list[bytes]:  # noqa: A002
        """Each DOT text as the engine draws it; the program ``dot`` is given many of them at a time."""
        if not self.engine.startswith("dot"):
            return [render(each, format, self._engine) for each in texts]
        runs = min(os.cpu_count() or 1, len(texts))
        with ThreadPoolExecutor(runs) as pool:
            made = pool.map(lambda at: by_dot("\n".join(texts[at::runs]), format), range(runs))
        drawn, begins = [b""] * len(texts), _BEGINS[format]
        for at, each in enumerate(made):
            drawn[at::runs] = [begins + one for one in each.split(begins)[1:]]
        return drawn

    def __repr__(self) -> str:
        seconds = sum(self.durations) / 1000
        return f"Animation: {self.frames} frames, {seconds:g} s, engine {self._engine_told()}"


#: How a file begins: where several stand in a row, each begins there.
_BEGINS = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml"}


def moving(frames: Sequence[str], durations: Sequence[int], title: str) -> str:
    """One ``<svg>`` that shows each frame for so many milliseconds, again and again.

    The frames are SVG texts of one size and with the same boxes and edges, of which each has several looks.
    """
    trees = [ET.fromstring(each) for each in frames]  # noqa: S314  an engine of ours wrote them
    sizes = {(each.get("width"), each.get("height"), each.get("viewBox")) for each in trees}
    assert len(sizes) == 1, f"frames of different sizes: {sizes}"
    graphs = [svg.compact(each) for each in trees]
    #: Of each element its looks, by what they are as text, with the frames in which each is seen.
    looks: dict[str, dict[str, tuple[ET.Element, list[int]]]] = {}
    titles: dict[str, ET.Element] = {}  # those of the last frame tell the final gradients
    for frame, graph in enumerate(graphs):
        for place, child in enumerate(graph):
            key = child.get("id") or str(place)
            for told in child.findall(f"{svg.SVG}title"):
                child.remove(told)
                titles[key] = told
            look = ET.tostring(child, encoding="unicode")
            looks.setdefault(key, {}).setdefault(look, (child, []))[1].append(frame)
    whole, turns = graphs[-1], dict[tuple[int, ...], str]()
    whole[:] = []
    for key, each in looks.items():
        *_, (holder, _) = each.values()
        if len(each) > 1:
            like = dict(holder.attrib)
            holder = ET.Element(f"{svg.SVG}g", like if "id" in like else {})
            for part, seen in each.values():
                if "id" in like:  # a group stays one, and what is in it takes turns
                    part.attrib.clear()
                part.set("class", turns.setdefault(tuple(seen), f"r{len(turns)}"))
                holder.append(part)
        if key in titles:
            holder.insert(0, titles[key])
        whole.append(holder)
    name = f"m{zlib.crc32(ET.tostring(whole)):08x}"  # two of them on one page must not share a rule
    style = ET.Element(f"{svg.SVG}style")
    style.text = _rules(name, list(turns), durations)
    moved = trees[-1]
    moved.insert(0, style)
    moved.attrib.update({"id": name, "aria-label": title})
    return ET.tostring(moved, encoding="unicode") + "\n"


def _rules(name: str, seen: Sequence[tuple[int, ...]], durations: Sequence[int]) -> str:
    """The style sheet: an animation for each set of frames, all of the same length."""
    whole, last = sum(durations), len(durations) - 1
    starts = [f"{100 * sum(durations[:frame]) / whole:.3f}%" for frame in range(len(durations))]
    hidden = ",".join(f"#{name} .r{place}" for place, frames in enumerate(seen) if last not in frames)
    rules = [
        f"{hidden}{{visibility:hidden}}" if hidden else "",
        "@media screen and (prefers-reduced-motion:no-preference){",
        f"#{name} [class^=r]{{animation:{whole}ms step-end infinite}}",
        f"#{name}:hover [class^=r]{{animation-play-state:paused}}",
    ]
    for place, frames in enumerate(seen):
        turns = "".join(
            f"{start}{{visibility:{'visible' if frame in frames else 'hidden'}}}"
            for frame, start in enumerate(starts)
            if frame == 0 or (frame in frames) != (frame - 1 in frames)
        )
        own = f"{name}-{place}"
        rules.append(f"#{name} .r{place}{{animation-name:{own}}}@keyframes {own}{{{turns}}}")
    return "".join([*rules, "}"])
