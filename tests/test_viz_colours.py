"""Colours of gradients: which hue, how strong, and whether the text on them can be read."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from viz_support import contrast

from viz.colours import DARK, LIGHT, Scale

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
NUMBERS = st.floats(allow_nan=False)


def channels(colour):
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


@THEMES
@given(gradient=NUMBERS, largest=st.floats(0, allow_nan=False, allow_infinity=False))
def test_text_on_every_band_has_contrast(theme, gradient, largest):
    assert contrast(Scale(largest, theme).colour(gradient), theme.band_text) >= 4.5
    assert contrast(theme.nan, theme.band_text) >= 4.5


@THEMES
def test_names_and_numbers_have_contrast_on_every_fill(theme):
    for fill in theme.background, theme.fill, theme.parameter_fill, theme.folded_fill, theme.input_fill:
        assert contrast(fill, theme.text) >= 7
        assert contrast(fill, theme.faint) >= 4.5


@THEMES
@given(gradient=NUMBERS.filter(bool))
def test_plus_is_blue_and_minus_is_orange(theme, gradient):
    red, _, blue = channels(Scale(1.0, theme).colour(gradient))
    assert (blue > red) if gradient > 0 else (red > blue)


@THEMES
def test_only_zero_has_the_colour_of_zero(theme):
    scale = Scale(1.0, theme)
    zero = "#{:02x}{:02x}{:02x}".format(*theme.zero)
    assert scale.colour(0.0) == scale.colour(-0.0) == zero
    for tiny in 5e-324, -5e-324, 1e-9:
        assert scale.colour(tiny) != zero


def test_the_share_of_colour_is_logarithmic_over_four_decades():
    scale = Scale(20.0)
    shares = [scale.share(20.0 * 10.0**-power) for power in range(7)]
    steps = [a - b for a, b in pairwise(shares)]
    assert shares[0] == pytest.approx(0.8)
    assert steps[:4] == pytest.approx([0.18] * 4)
    assert steps[4:] == pytest.approx([0.0, 0.0])


def test_what_is_not_a_number_or_was_not_computed_is_told_apart():
    scale = Scale(1.0)
    assert scale.colour(None) == ""
    assert scale.colour(math.nan) == LIGHT.nan
    assert scale.colour(math.inf) == scale.colour(1.0)
    assert scale.colour(-math.inf) == scale.colour(-1.0)


def test_the_scale_ends_at_the_largest_finite_magnitude():
    assert Scale.over([0.1, -3.0, None, math.nan, -math.inf]).largest == 3.0
    assert Scale.over([None, math.nan]).largest == 0.0


def test_extreme_gradients_have_colours():
    scale = Scale.over([1.7e308, 5e-324])
    assert scale.share(1.7e308) == pytest.approx(0.8)
    assert scale.share(5e-324) == pytest.approx(0.08)


def test_blue_and_orange_stay_apart_without_green_cones():
    """Both ends as someone with deuteranopia sees them (Viénot, Brettel and Mollon 1999)."""
    scale = Scale(1.0)
    plus, minus = (_deuteranopic(channels(scale.colour(each))) for each in (1.0, -1.0))
    assert max(abs(a - b) for a, b in zip(plus, minus, strict=True)) > 0.25
    red, green = (_deuteranopic(each) for each in ((200, 80, 80), (80, 160, 80)))
    assert max(abs(a - b) for a, b in zip(red, green, strict=True)) < 0.1


def _deuteranopic(colour):
    red, green, blue = ((channel / 255) ** 2.2 for channel in colour)
    yellow = 0.29275 * red + 0.70725 * green
    return yellow, yellow, -0.02234 * red + 0.02234 * green + blue
