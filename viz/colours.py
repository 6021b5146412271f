"""The colour of a gradient: blue for plus, orange for minus, the stronger the larger on a log scale.

Blue and orange stay apart for colour-blind readers, and every band keeps its text readable: the
contrast is at least 4.5 : 1, as WCAG 2 asks. The sign is printed too, so that nothing hangs on hue.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

RGB = tuple[int, int, int]

#: Over so many powers of ten below the largest gradient the colour fades at least, and at most.
DECADES, MOST_DECADES = 4, 40
#: The least and the greatest share of the full colour; a gradient that is not 0 never looks like one.
_FAINTEST, _FULL = 0.08, 0.8


class Theme(NamedTuple):
    """The colours of a picture, each as ``#rrggbb``, but for the ends of the scale; here on white."""

    background: str = "#ffffff"
    text: str = "#1a1a1a"
    faint: str = "#666666"
    #: Fill and outline of boxes by kind.
    fill: str = "#ffffff"
    outline: str = "#4d4d4d"
    parameter_fill: str = "#fff7d6"
    parameter_outline: str = "#8a6d00"
    folded_fill: str = "#fffdf2"
    input_fill: str = "#ebebeb"
    root_outline: str = "#1a1a1a"
    frame: str = "#b3b3b3"
    #: Lines, and those that carry a contribution of either sign.
    edge: str = "#737373"
    edge_plus: str = "#2166ac"
    edge_minus: str = "#b35806"
    #: The gradient scale: where it is 0, the two ends, and the text on each band.
    zero: RGB = (255, 255, 255)
    plus: RGB = (33, 102, 172)
    minus: RGB = (179, 88, 6)
    nan: str = "#d9a6e8"
    band_text: str = "#111111"
    #: What is not finite, and what was found to be wrong.
    alarm: str = "#a3158c"


LIGHT = Theme()

#: For slides. The bands are those of the light picture turned round: faint is dark, strong is bright.
DARK = Theme(
    background="#14181f", text="#eef1f5", faint="#b0bac6",
    fill="#222933", outline="#8b96a5",
    parameter_fill="#363018", parameter_outline="#d9b53c", folded_fill="#2a281c",
    input_fill="#353d49", root_outline="#ffffff", frame="#566170",
    edge="#97a2b0", edge_plus="#5ea3e0", edge_minus="#e08a3c",
    zero=(41, 41, 41), plus=(48, 122, 196), minus=(188, 96, 18), nan="#8a3fa3", band_text="#ffffff",
    alarm="#ff8ae6",
)  # fmt: skip


class Scale(NamedTuple):
    """The colours of gradients up to ``largest`` in magnitude."""

    largest: float
    theme: Theme = LIGHT
    #: Over how many powers of ten the colour fades: a multiple of 4, so many that none is cut off.
    decades: int = DECADES

    @classmethod
    def over(cls, gradients: Iterable[float | None], theme: Theme = LIGHT) -> Scale:
        """From the largest finite magnitude, 0 if there is none, down to the smallest that is not 0."""
        sizes = [abs(each) for each in gradients if each and math.isfinite(each)]
        largest, smallest = max(sizes, default=0.0), min(sizes, default=1.0)
        span = math.log10(largest) - math.log10(smallest) if sizes else 0.0
        return cls(largest, theme, min(max(4 * math.ceil(span / 4 - 1e-9), DECADES), MOST_DECADES))

    def told(self) -> dict[str, Any]:
        """What :meth:`colour` goes by, as plain data for the page, which paints by itself."""
        theme = self.theme
        ends = {"zero": theme.zero, "plus": theme.plus, "minus": theme.minus, "nan": theme.nan}
        return {"largest": self.largest, "decades": self.decades, "shares": [_FAINTEST, _FULL], **ends}

    def colour(self, gradient: float | None) -> str:
        """``#rrggbb`` of a band; empty for a gradient that was not computed."""
        if gradient is None or math.isnan(gradient):
            return "" if gradient is None else self.theme.nan
        end, share = self.theme.plus if gradient > 0 else self.theme.minus, self.share(gradient)
        mixed = (round(a + (b - a) * share) for a, b in zip(self.theme.zero, end, strict=True))
        return f"#{bytes(mixed).hex()}"

    def strong(self, gradient: float) -> str:
        """``#rrggbb`` for a mark that stands on the background: dark even where the gradient is small."""
        if not gradient or math.isnan(gradient):
            return self.theme.nan if gradient else self.theme.faint
        return f"#{bytes(self.theme.minus if gradient < 0 else self.theme.plus).hex()}"

    def share(self, gradient: float) -> float:
        """How much of the full colour a gradient gets, from 0 to 0.8."""
        if gradient == 0.0:
            return 0.0
        if not math.isfinite(gradient) or self.largest == 0.0:
            return _FULL
        # a difference of logarithms: the quotient of two extreme numbers may underflow
        depth = (math.log10(abs(gradient)) - math.log10(self.largest)) / self.decades
        return _FAINTEST + (_FULL - _FAINTEST) * min(max(1.0 + depth, 0.0), 1.0)
