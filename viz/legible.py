"""Whether a picture can be read: how high its text is when the picture is fitted into a place."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager

from microbp import MicrobpError
from microbp.safe import quoted
from viz import dot
from viz.engines import render
from viz.picture import Picture
from viz.styles import Style

__all__ = ["LEGIBLE", "NOTEBOOK", "TARGET", "Levels", "checked_target", "text_size", "without_collector"]

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
    return (
        _SMALLEST
        * _POINT
        * min(1.0, *(fit / (_POINT * float(x)) for fit, x in zip(target, found.groups(), strict=True)))
    )


def checked_target(target: object) -> tuple[float, float]:
    """``target`` itself. ValueError if it is not the size of a place in pixels."""
    match target:
        case (int() | float() as width, int() | float() as height) if width >= 100 and height >= 100:
            return float(width), float(height)
    raise ValueError(f"target is a width and a height in pixels, each 100 or more, not {quoted(target)}")


class Levels:
    """The pictures of a graph from fine to coarse, each made when it is asked for and laid out once."""

    def __init__(self, pictures: Iterator[Picture], style: Style, engine: str) -> None:
        self._pictures = pictures
        self._style = style
        self._engine = engine
        self._seen: list[Picture] = []
        self._laid_out: dict[int, bytes] = {}

    def legible(self, target: tuple[float, float]) -> tuple[Picture, bytes]:
        """The finest picture that can be read in a place of that size, and the engine's SVG of it.

        Where none can, the coarsest. Without an engine, or where it fails, the first that has room for its
        boxes, and b"": what is wrong is said when the picture is asked for.
        """
        target = checked_target(target)
        at = 0
        while at < len(self._seen) or self._more():
            if _has_room(self._seen[at], target, self._style.rankdir):
                drawn = self._svg(at)
                if not drawn or text_size(drawn, target) >= LEGIBLE:
                    return self._seen[at], drawn
            at += 1
        return self._seen[-1], self._svg(at - 1)

    def _more(self) -> bool:
        level = next(self._pictures, None)
        if level is not None:
            self._seen.append(level)
        return level is not None

    def _svg(self, at: int) -> bytes:
        if at not in self._laid_out:
            try:
                self._laid_out[at] = render(dot.source(self._seen[at], self._style), "svg", self._engine)
            except (MicrobpError, OSError):
                return b""
        return self._laid_out[at]


def _has_room(picture: Picture, target: tuple[float, float], rankdir: str) -> bool:
    """Whether the boxes might be legible: what cannot is not laid out."""
    largest = _SMALLEST / LEGIBLE
    across, down = (each * largest for each in target)
    row: dict[str, int] = {box.id: 0 for box in picture.boxes}
    for edge in picture.edges:  # in the order of their targets, operands first
        row[edge.target] = max(row[edge.target], row[edge.source] + 1)
    rows = 1 + max(row.values(), default=0)
    along = rows * (_HEIGHT if rankdir == "TB" else _WIDTH)
    return along <= (down if rankdir == "TB" else across) and len(row) * _WIDTH * _HEIGHT <= across * down


@contextmanager
def without_collector() -> Iterator[None]:
    """Python's collector of circular garbage does not run meanwhile: millions of records make it slow."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
