"""Numbers and names as they are printed into pictures."""

import math
from html import unescape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from viz_support import HOSTILE, parsed

from microbp.text import columns
from viz.text import escaped, narrowed, number, shortened, signed


@pytest.mark.parametrize(
    ("x", "shown"),
    [
        (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-1.0, "−1"), (0.15, "0.15"), (2.5e-3, "0.0025"),
        (0.5932699921, "0.5933"), (-0.0226025404, "−0.0226"), (1234.56, "1235"), (9999.4, "9999"),
        (9999.6, "1e4"), (12345.0, "1.234e4"), (1e-3, "0.001"), (9.9999e-4, "0.001"),
        (4.385677e-4, "4.386e−4"), (-1e300, "−1e300"), (5e-324, "4.941e−324"), (math.inf, "inf"),
        (-math.inf, "−inf"), (math.nan, "nan"), (None, "—"),
    ],
)  # fmt: skip
def test_four_significant_digits(x, shown):
    assert number(x) == shown
    assert signed(x) == ("+" if x is not None and x > 0 else "") + shown


@example(3.3557854243043435e-108, 17)
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 17))
def test_the_printed_number_is_the_number_to_so_many_digits(x, digits):
    assert float(number(x, digits).replace("−", "-")) == float(f"{x:.{digits - 1}e}")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_an_exponent_stands_only_outside_a_thousandth_to_ten_thousand(x):
    rounded = abs(float(f"{x:.3e}"))
    assert ("e" in number(x)) == (rounded != 0 and not 1e-3 <= rounded < 1e4)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_escaped(name):
    shown = escaped(name)
    assert not set(shown) & set('<>"\n\x00\x07\x1b\ud800\u202e')
    assert shown.strip()
    assert parsed(f"<a>{shown}</a>").text == unescape(shown)


@given(st.text())
def test_any_text_becomes_xml_and_dot(text):
    shown = escaped(text)
    parsed(f"<a>{shown}</a>")
    assert '"' not in shown
    assert "\\" not in shown.replace(r"\\", "")


def test_what_can_be_seen_is_kept():
    assert unescape(escaped('a<b>{|"\\&amp;权重')) == 'a<b>{|"\\\\&amp;权重'
    assert escaped("one\ntwo", tooltip=True) == "one&#10;two"
    assert escaped("one\ntwo") == "one␊two"


@given(st.text("ab权重…é", max_size=40), st.integers(2, 30))
def test_a_shortened_name_fits_and_says_so(name, width):
    columns = sum(2 if character in "权重" else 1 for character in shortened(name, width))
    assert columns <= width
    if shortened(name, width) != name:
        assert shortened(name, width).endswith("…")
        assert name.startswith(shortened(name, width)[:-1])


@given(st.text("ab权重…é", max_size=40), st.integers(4, 30))
def test_a_narrowed_name_fits_and_keeps_both_ends(name, width):
    shown = narrowed(name, width)
    assert columns(shown) <= width
    if shown != name:
        ends = [(shown[:at], shown[at + 1 :]) for at, each in enumerate(shown) if each == "…"]
        assert any(name.startswith(begin) and name.endswith(end) for begin, end in ends)


def test_long_names_that_differ_at_the_end_are_told_apart():
    long = "the_weight_of_the_hidden_layer_number_"
    assert len({narrowed(f"{long}{at}", 18) for at in range(12)}) == 12
