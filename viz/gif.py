"""A GIF of frames that differ little: only what differs from the frame before is drawn, and stored."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_COLOURS = 255  #: So many colours for all frames together; one more is left for "as before".
#: Points: around the whole, as an engine has it; around what has changed, for arrow heads and broad lines;
#: and around a window, near the border of which an engine leaves out what is seen in part.
_PAD, _BREADTH, _RIM = 10.8, 12.0, 24.0


#: A part of the plane, in points: its lower left corner, and its upper right one. y grows upwards.
Area = NDArray[Any]


class Part(NamedTuple):
    """What is seen of a frame from a pixel on, to the right and down: the colour of each pixel."""

    frame: int
    x: int
    y: int
    colours: NDArray[Any]


class Window(NamedTuple):
    """A part of a frame that is to be drawn: the ids of what is seen in it, and where it is for DOT."""

    frame: int
    ids: set[str]
    viewport: str


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
    looks: Sequence[Mapping[str, Any]],
    placed: Sequence[Mapping[str, Any]],
    rooms: Mapping[str, int],
    dpi: int,
    draw: Callable[[Sequence[Window]], Iterable[bytes]],
) -> list[Part]:
    """The whole first frame, and of each other its heading and what differs from the frame before.

    ``looks`` tells of each frame how each box and edge in it looks, by its id, and ``rooms`` how wide the
    labels of edges are; ``placed`` is what an engine tells of their places in JSON, the whole first. ``draw``
    makes a PNG file of each window.
    """
    unit = 72 / dpi  # of a pixel, in points
    laid_out = _corners(placed[0]["bb"])
    whole = laid_out + np.array([[-_PAD], [_PAD]])
    heading = whole.copy()
    heading[0, 1] = 2 * float(placed[0]["lp"].split(",")[1]) - laid_out[1, 1]
    areas = {each["id"]: _area(each, rooms.get(each["id"], 0)) for each in placed[1:] if "id" in each}
    seen = [(0, whole)]
    for frame, (before, now) in enumerate(pairwise(looks), 1):
        changed = [area for key, area in areas.items() if now.get(key) != before.get(key)]
        seen += [(frame, heading), *([(frame, _around(changed))] if changed else [])]
    rim, corners, windows = math.ceil(_RIM / unit), [], []
    (left, _), (_, top) = whole
    for frame, part in seen:
        area = part.clip(*whole)
        pixels = (area - (left, top)) * (1, -1) / unit
        x, y = int(pixels[0, 0]), int(pixels[1, 1])
        width, height = math.ceil(pixels[1, 0]) - x, math.ceil(pixels[0, 1]) - y
        size = (width + 2 * rim) * unit, (height + 2 * rim) * unit
        middle = left + (x + width / 2) * unit, top - (y + height / 2) * unit
        viewport = ",".join(f"{each:.6f}" for each in (*size, 1, *middle))
        corners.append((frame, x, y))
        ids = {key for key, (low, high) in areas.items() if (low < area[1]).all() and (area[0] < high).all()}
        windows.append(Window(frame, ids, viewport))
    drawn = (colours(each)[rim:-rim, rim:-rim] for each in draw(windows))
    return [Part(*corner, each) for corner, each in zip(corners, drawn, strict=True)]


def _area(told: Mapping[str, Any], room: int) -> Area:
    """Where a frame, a box or an edge is, with its label, which takes so much room."""
    if "bb" in told:
        return _corners(told["bb"])
    half = [36 * float(told.get(each, 0)) + _BREADTH for each in ("width", "height")]
    sides = [(half, spot) for spot in told["pos"].split()]
    sides += [([room + _BREADTH, 2 * _BREADTH], told[place]) for place in ("lp", "xlp") if place in told]
    return _around([np.array(spot.split(",")[-2:], float) + np.outer((-1, 1), half) for half, spot in sides])


def _corners(told: str) -> Area:
    return np.array(told.split(","), float).reshape(2, 2)


def _around(areas: Sequence[Area]) -> Area:
    return np.stack([np.min(areas, axis=0)[0], np.max(areas, axis=0)[1]])


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
