"""``figure``: a number as the debugger shows it, in a line and in a table."""

from __future__ import annotations

import math

__all__ = ["figure"]


def figure(x: float | None, *, sign: bool = False) -> str:
    """``x`` with six decimals, or six significant digits where decimals would not do.

    ``sign`` shows a plus, too. The minus is a real one.

    >>> figure(0.0821670406), figure(-0.0190491183, sign=True), figure(0.03635030639, sign=True)
    ('0.082167', '−0.019049', '+0.036350')
    >>> figure(0.000438567734), figure(-4.3e-9), figure(12345.678), figure(2.0), figure(1e300)
    ('0.000438568', '−4.3e-09', '12345.7', '2', '1e+300')
    >>> figure(0.0, sign=True), figure(float("-inf")), figure(float("nan")), figure(None)
    ('0', '−inf', 'nan', '-')
    """
    if x is None:
        return "-"
    if math.isnan(x):
        return "nan"
    size = abs(x)
    if size == int(size) if size < 1e6 else math.isinf(size):
        text = f"{size:.0f}"
    elif 1e-3 <= size < 1e3:
        text = f"{size:.6f}"
    else:
        text = f"{size:.6g}"
    if x < 0.0:
        return f"−{text}"
    return f"+{text}" if sign and x > 0.0 else text
