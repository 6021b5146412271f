"""Numbers as a picture shows them: few digits, a true minus sign, no e where it can be helped."""

from __future__ import annotations

import math

__all__ = ["DASH", "MINUS", "number", "signed"]

MINUS = "−"
#: What stands for a number that was not computed.
DASH = "—"


def number(x: float | None, digits: int = 4) -> str:
    """``x`` to so many significant digits, without trailing zeros; a dash for None.

    Below 1e-3 and from 1e4 on it has an exponent.

    >>> number(0.59326999), number(-0.00043856773), number(12345.0), number(0.0)
    ('0.5933', '−4.386e−4', '1.234e4', '0')
    >>> number(None), number(float("nan")), number(-float("inf"))
    ('—', 'nan', '−inf')
    """
    if x is None:
        return DASH
    if not math.isfinite(x) or x == 0.0:
        return {math.inf: "inf", -math.inf: f"{MINUS}inf", 0.0: "0"}.get(x, "nan")
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -3 <= power < 4:
        text = _trimmed(f"{float(f'{mantissa}e{exponent}'):.{max(digits - 1 - power, 0)}f}")
    else:
        text = f"{_trimmed(mantissa)}e{power}"
    return text.replace("-", MINUS)


def signed(x: float | None, digits: int = 4) -> str:
    """``x`` with its sign, as gradients are printed; 0 has none.

    >>> signed(0.08216704), signed(-0.02260254), signed(0.0), signed(None)
    ('+0.08217', '−0.0226', '0', '—')
    """
    return ("+" if x is not None and x > 0 else "") + number(x, digits)


def _trimmed(decimal: str) -> str:
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal
