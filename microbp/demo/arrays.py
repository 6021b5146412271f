"""Arrays of gradients beside the same computed in another way: one row for each array."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from microbp.check import GradientReport
from microbp.demo.report import Comparison, Report

__all__ = ["beside", "measured", "relative_difference"]

#: What sums in another order, and the last bits of exp(), may change.
ROUNDING = 1e-12


def relative_difference(known: Any, ours: Any) -> float:
    """The largest difference of two arrays, relative to the largest number in either.

    >>> relative_difference([1.0, 4.0], [1.0, 4.5])
    0.1111111111111111
    >>> relative_difference([0.0], [0.0]), relative_difference([1.0], [1.0, 1.0])
    (0.0, inf)
    """
    known, ours = np.asarray(known, dtype=float), np.asarray(ours, dtype=float)
    if known.shape != ours.shape:
        return math.inf
    apart = float(np.max(np.abs(ours - known)))
    if not apart:
        return 0.0
    return apart / max(float(np.max(np.abs(known))), float(np.max(np.abs(ours))))


def beside(
    report: Report,
    title: str,
    source: str,
    rows: Iterable[tuple[str, Any, Any]],
    *,
    mistakes: Collection[str] = (),
    tolerance: float = ROUNDING,
) -> None:
    """Compare arrays (name, known, ours), keep the outcome and show it; ``mistakes`` must disagree.

    >>> report = Report("T0", "Arrays")
    >>> beside(report, "Gradients", "by hand", [("dW", [[1.0, 2.0]], [[1.0, 2.0]])])
    >>> print(report.blocks[-1])
    Gradients
    <BLANKLINE>
         shape   relative difference from by hand   verdict
    ───────────────────────────────────────────────────────
    dW   1 × 2                                  0   agree
    """
    shown = []
    for name, known, ours in rows:
        apart = relative_difference(known, ours)
        told = f"{apart:.1e}" if apart else "0"
        # A nan is no agreement: it is not less than anything.
        made = Comparison(name, source, "", f"off by {told}", apart <= tolerance, name not in mistakes)
        shape = " × ".join(map(str, np.shape(ours))) or "1"
        shown.append((name, shape, told, report.hold(made).verdict))
    report.table(title, ("", "shape", f">relative difference from {source}", "verdict"), shown)


def measured(
    report: Report,
    title: str,
    gradient: Mapping[str, Any],
    numerical: Mapping[str, Any],
    checked: GradientReport,
) -> None:
    """Gradients and numerical ones, array by array; ``checked`` has a row for each number, in order.

    An array agrees if each number in it does, by the errors that were estimated for it.
    """
    verdicts = iter(checked.rows)
    shown = []
    for name, analytic in gradient.items():
        known, ours = np.ravel(numerical[name]), np.ravel(analytic)
        apart = np.abs(ours - known)
        larger = np.maximum(np.abs(ours), np.abs(known))
        worst = float(np.max(np.divide(apart, larger, out=np.zeros_like(apart), where=apart > 0.0)))
        outcome = [next(verdicts).verdict for _ in range(ours.size)]
        average = f"{float(np.mean(apart)):.1e}"
        agree = all(each == "agree" for each in outcome)
        made = report.hold(Comparison(f"∂/∂{name}", "numerical", "", f"off by {average}", agree))
        shown.append((name, str(ours.size), average, f"{worst:.1e}", made.verdict))
    columns = ("", ">numbers", ">average difference", ">worst relative error", "verdict")
    report.table(title, columns, shown)
