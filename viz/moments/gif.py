"""Pictures of one size as a GIF, through Pillow."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["gif", "pillow", "with_one_palette"]

#: So many colours for all frames together; one more is left for "as before".
_COLOURS = 255


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


def gif(frames: Sequence[bytes], durations: Sequence[int]) -> bytes:
    """PNG files of one size as an endless GIF, each frame for so many milliseconds.

    All frames share one palette, so that what does not change neither flickers nor is stored again.
    """
    image = pillow()
    pictures = [image.open(io.BytesIO(each)).convert("RGB") for each in frames]
    sizes = {each.size for each in pictures}
    assert len(sizes) == 1, f"frames of different sizes: {sizes}"
    first, *others = with_one_palette(pictures)
    file = io.BytesIO()
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=list(durations), loop=0, optimize=True
    )
    return file.getvalue()


def with_one_palette(pictures: Sequence[Any]) -> list[Any]:
    """The pictures in the colours that cover most of them, or in the nearest of these.

    Every fill is among them, even the palest; what is left out are shades at the rims of letters.
    Pillow's own reduction takes a nearby colour for white.
    """
    counts: Counter[tuple[int, int, int]] = Counter()
    for picture in pictures:
        found = picture.getcolors(picture.width * picture.height)
        counts.update({colour: count for count, colour in found})
    colours = np.array(sorted(counts, key=lambda colour: (-counts[colour], colour)))
    palette = colours[:_COLOURS]
    nearest = [((palette - colour) ** 2).sum(axis=1).argmin() for colour in colours]
    places = np.zeros(1 << 24, np.uint8)
    places[_code(colours)] = nearest
    reduced = []
    for picture in pictures:
        one = pillow().fromarray(places[_code(np.asarray(picture, np.int32))])
        one.putpalette(palette.astype(np.uint8).tobytes())
        reduced.append(one)
    return reduced


def _code(colours: Any) -> Any:
    return colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
