"""A GIF of frames that differ little: only what differs from the frame before is drawn, and stored."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: So many colours for all frames together; one more is left for "as before".
_COLOURS = 255
#: Points: around the whole, as an engine has it; around what has changed, for arrow heads and broad lines;
#: and around a window, near the border of which an engine leaves out what is seen in part.
_PAD, _BREADTH, _RIM = 10.8, 12.0, 24.0


class Area(NamedTuple):
    """A part of the plane, in points; y grows upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Area) -> bool:
        """Whether they have a point in common."""
        across = self.left <= other.right and other.left <= self.right
        return across and self.bottom <= other.top and other.bottom <= self.top


class Part(NamedTuple):
    """What is seen of a frame from a pixel on, to the right and down: the colour of each pixel."""

    frame: int
    x: int
    y: int
    colours: NDArray[Any]


def pillow() -> Any:
    """Pillow's ``Image`` module. ModuleNotFoundError with the way out where it is not installed."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a GIF needs the Python package pillow: `pip install 'microbp[viz]'` brings it. "
            "An SVG animation needs none: save it as a .svg file"
        ) from error
    return Image


# --------------------------------------------------------------------------------------- what is drawn
def parts(
    graphs: Sequence[Any],
    placed: Sequence[Mapping[str, Any]],
    dpi: int,
    render: Callable[[list[str]], Iterable[bytes]],
) -> list[Part]:
    """The whole first frame, and of each other its heading and what differs from the frame before.

    ``graphs`` are the frames in DOT, with places, each with the same lines but for looks; ``placed`` is what
    an engine tells of the places in JSON, the whole first. ``render`` makes PNG files of DOT texts.
    """
    unit = 72 / dpi  # of a pixel, in points
    left, bottom, right, top = map(float, placed[0]["bb"].split(","))
    whole = Area(left - _PAD, bottom - _PAD, right + _PAD, top + _PAD)
    heading = whole._replace(bottom=2 * float(placed[0]["lp"].split(",")[1]) - top)
    areas: dict[str, Area] = {}
    for each in placed[1:]:  # parallel edges are told apart by nothing
        areas[each["name"]] = _around([_area(each), *filter(None, [areas.get(each["name"])])])
    seen = [(0, whole)]
    for frame, (before, graph) in enumerate(pairwise(graphs), 1):
        changed = [
            areas[_name(line)] for line, old in zip(graph.body, before.body, strict=True) if line != old
        ]
        seen += [(frame, heading), *([(frame, _around(changed))] if changed else [])]
    rim, windows, texts = math.ceil(_RIM / unit), [], []
    for frame, (left, bottom, right, top) in seen:
        area = Area(
            max(left, whole.left), max(bottom, whole.bottom), min(right, whole.right), min(top, whole.top)
        )
        x, y = int((area.left - whole.left) / unit), int((whole.top - area.top) / unit)
        width = math.ceil((area.right - whole.left) / unit) - x
        height = math.ceil((whole.top - area.bottom) / unit) - y
        windows.append((frame, x, y))
        size = (width + 2 * rim) * unit, (height + 2 * rim) * unit
        middle = whole.left + (x + width / 2) * unit, whole.top - (y + height / 2) * unit
        near = {end for key, each in areas.items() if each.meets(area) for end in (key, *key.split(" -> "))}
        shown = graphs[frame].copy()
        shown.body = [line for line in shown.body if (key := _name(line)) in near or key not in areas]
        shown.attr(viewport=",".join(f"{each:.6f}" for each in (*size, 1, *middle)), notranslate="true")
        texts.append(shown.source)
    drawn = (colours(each)[rim:-rim, rim:-rim] for each in render(texts))
    return [Part(*window, each) for window, each in zip(windows, drawn, strict=True)]


def _name(line: str) -> str:
    """What a line of DOT tells of: ``n5``, or ``n3 -> n5``."""
    return " -> ".join(re.findall(r"(?:^|->)\s*(\w+)", line.partition("[")[0]))


def _area(told: Mapping[str, Any]) -> Area:
    """Where a frame, a box or an edge is, with its label."""
    if "bb" in told:
        return Area(*map(float, told["bb"].split(",")))
    across, up = (36 * float(told.get(each, 0)) + _BREADTH for each in ("width", "height"))
    sides = [(across, up, spot) for spot in told["pos"].split()]
    for place, label in (("lp", "label"), ("xlp", "xlabel")):
        if place in told:
            widths = map(float, re.findall(r'WIDTH="(\d+)"', told[label]))
            sides.append((max(widths, default=0.0) + _BREADTH, 2 * _BREADTH, told[place]))
    areas = []
    for across, up, spot in sides:
        x, y = map(float, spot.split(",")[-2:])
        areas.append(Area(x - across, y - up, x + across, y + up))
    return _around(areas)


def _around(areas: Sequence[Area]) -> Area:
    lefts, bottoms, rights, tops = zip(*areas, strict=True)
    return Area(min(lefts), min(bottoms), max(rights), max(tops))


def colours(png: bytes) -> NDArray[Any]:
    """The pixels of a PNG file, each colour as a number: red, and 256 times green, and 65,536 times blue."""
    return np.asarray(pillow().open(io.BytesIO(png)).convert("RGBA")).view("<u4")[..., 0] & 0xFFFFFF


# -------------------------------------------------------------------------------------- what is stored
def gif(parts: Sequence[Part], durations: Sequence[int]) -> bytes:
    """The frames as an endless GIF, each for so many milliseconds. The first part is the whole first frame.

    All frames share one palette, so that what does not change neither flickers nor is stored again.
    """
    palette, reduced = with_one_palette([each.colours for each in parts])
    canvas, images = reduced[0].copy(), []
    for _, together in groupby(zip(parts, reduced, strict=True), lambda each: each[0].frame):
        for (_, x, y, _), pixels in together:
            high, wide = pixels.shape
            place = canvas[y : y + high, x : x + wide]
            assert place.shape == pixels.shape, f"{wide} × {high} pixels at {x}, {y} do not fit"
            place[:] = pixels
        images.append(pillow().fromarray(canvas.copy()))
        images[-1].putpalette(palette)
    first, *others = images
    file = io.BytesIO()
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=list(durations), loop=0, optimize=True
    )
    return file.getvalue()


def with_one_palette(drawn: Sequence[NDArray[Any]]) -> tuple[bytes, list[NDArray[Any]]]:
    """The 255 colours that cover most of what is drawn, and for each pixel the place of the nearest of these.

    Every fill is among them, even the palest; what is left out are shades at the rims of letters.
    Pillow's own reduction takes a nearby colour for white.
    """
    found, counts = np.unique(np.concatenate([each.ravel() for each in drawn]), return_counts=True)
    ranked = found[np.lexsort((found, -counts))]
    shades = np.stack([ranked >> shift & 0xFF for shift in (0, 8, 16)], axis=1).astype(int)
    palette = shades[:_COLOURS]
    places = np.zeros(1 << 24, np.uint8)
    places[ranked] = [((palette - each) ** 2).sum(axis=1).argmin() for each in shades]
    return palette.astype(np.uint8).tobytes(), [places[each] for each in drawn]
