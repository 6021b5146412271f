"""With how many digits the numbers of an explanation are printed."""

from __future__ import annotations

import math

__all__ = ["DIGITS", "shown"]

#: How many significant digits a rounded number is printed with; one with fewer is exact.
DIGITS = 9


def shown(x: float) -> str:
    """A number with nine significant digits, with fewer only where they are the number exactly.

    >>> shown(0.5), shown(1 / 3), shown(-0.1 * 3), shown(-0.0)
    ('0.5', '0.333333333', '−0.300000000', '0')
    """
    if x == 0.0:
        return "0"
    if not math.isfinite(x):
        return "nan" if math.isnan(x) else "∞" if x > 0 else "−∞"
    short = f"{x:.{DIGITS}g}"
    written = short if float(short) == x else f"{x:#.{DIGITS}g}"
    mantissa, e, exponent = written.partition("e")
    mantissa = mantissa.removesuffix(".") + (e and "e") + exponent
    return ("−" if mantissa[0] == "-" else "") + mantissa.lstrip("-")
