"""How a picture is to look: the options of :func:`viz.draw` that do not change what is drawn."""

from __future__ import annotations

from typing import NamedTuple

from microbp.safe import quoted
from viz.callers import whole_number
from viz.colours import DARK, LIGHT, Theme

__all__ = ["FONT", "Style"]

#: Verdana is as wide as DejaVu Sans, so that text laid out with the one fits when shown with the other.
FONT = "DejaVu Sans,Verdana,sans-serif"

_CHOICES = {"rankdir": ("TB", "LR"), "edges": ("local", "contribution", "none")}


class Style(NamedTuple):
    """Options, checked by :meth:`checked`."""

    rankdir: str = "TB"
    dark: bool = False
    edges: str = "local"
    digits: int = 4
    legend: bool = True

    @property
    def theme(self) -> Theme:
        """The colours."""
        return DARK if self.dark else LIGHT

    def checked(self) -> Style:
        """Itself. ValueError says which option is wrong, and what it may be."""
        for option, choices in _CHOICES.items():
            given = getattr(self, option)
            if given not in choices:
                raise ValueError(f"{option}={quoted(given)}: it is one of {', '.join(map(repr, choices))}")
        whole_number("digits", self.digits)
        if not 1 <= self.digits <= 17:
            raise ValueError(f"digits={self.digits!r}: from 1 to 17 significant digits are shown")
        return self
