"""Whether a picture can be read: how high its text is when the picture is fitted into a place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from microbp import MicrobpError
from microbp.safe import quoted
from viz import dot
from viz.engines import render
from viz.picture import Picture
from viz.styles import Style

__all__ = ["LEGIBLE", "NOTEBOOK", "TARGET", "Levels", "text_size"]

#: Pixels of a screen, and of a notebook's cell, which is as high as it needs to be.
TARGET, NOTEBOOK = (1920.0, 1000.0), (920.0, 1400.0)
#: Pixels of the smallest text that is read without effort.
LEGIBLE = 7.0
#: The smallest type of a picture, in points, and how many pixels a point has.
_SMALLEST, _POINT = 8.0, 96 / 72
#: A box is no smaller than this, with the gap to the next, in points.
_WIDTH, _HEIGHT = 66.0, 46.0


def text_size(laid_out: bytes, target: tuple[float, float]) -> float:
    """How high the smallest text of an engine's SVG is, in pixels, fitted into ``target``; never enlarged.

    >>> text_size(b'<svg width="1440pt" height="75pt">', (1920, 1000))
    10.666666666666666
    >>> text_size(b'<svg width="1440pt" height="75pt">', (960, 1000))
    5.333333333333333
    """
    found = re.search(rb'<svg width="([\d.]+)pt" height="([\d.]+)pt"', laid_out)
    assert found, "an engine's SVG begins with its size"
    fits = (place / (_POINT * float(size)) for place, size in zip(target, found.groups(), strict=True))
    return _SMALLEST * _POINT * min(1.0, *fits)


class Levels:
    """The pictures of a graph from fine to coarse, each made when it is asked for and laid out once."""

    def __init__(self, pictures: Iterator[Picture], style: Style, engine: str) -> None:
        self._pictures, self._style, self._engine = pictures, style, engine
        self._seen: list[Picture] = []
        self._laid_out: dict[int, bytes] = {}

    def legible(self, target: tuple[float, float]) -> tuple[Picture, bytes]:
        """The finest picture that can be read in a place of that size, and the engine's SVG of it.

        Where none can, the coarsest. Without an engine, or where it fails, the first that has room for its
        boxes, and b"": what is wrong is said when the picture is asked for. ValueError where ``target`` is
        not the size of a place in pixels.
        """
        match target:
            case (int() | float() as width, int() | float() as height) if width >= 100 and height >= 100:
                pass
            case _:
                raise ValueError(
                    f"target is a width and a height in pixels, each 100 or more, not {quoted(target)}"
                )
        for at, level in enumerate(self._each()):
            if _has_room(level, target, self._style.rankdir):
                drawn = self._svg(at)
                if not drawn or text_size(drawn, target) >= LEGIBLE:
                    return level, drawn
        return self._seen[-1], self._svg(len(self._seen) - 1)

    def _each(self) -> Iterator[Picture]:
        yield from self._seen
        for level in self._pictures:
            self._seen.append(level)
            yield level

    def _svg(self, at: int) -> bytes:
        if at not in self._laid_out:
            try:
                self._laid_out[at] = render(dot.source(self._seen[at], self._style), "svg", self._engine)
            except (MicrobpError, OSError):
                return b""
        return self._laid_out[at]


def _has_room(picture: Picture, target: tuple[float, float], rankdir: str) -> bool:
    """Whether the boxes might be legible: what cannot is not laid out."""
    across, down = (each * _SMALLEST / LEGIBLE for each in target)
    rows = 1 + max(picture.depths().values(), default=0)
    fits = rows * _HEIGHT <= down if rankdir == "TB" else rows * _WIDTH <= across
    return fits and len(picture.boxes) * _WIDTH * _HEIGHT <= across * down
