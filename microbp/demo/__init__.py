"""The tutorials that ``microbp demo`` reproduces, in order; each is one file, named by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from microbp.demo import t1, t2, t3, t4
from microbp.demo.report import Report

__all__ = ["TUTORIALS", "Tutorial"]


class Tutorial(NamedTuple):
    """A tutorial: what it is about, and what reproduces it."""

    title: str
    reproduce: Callable[[], Report]


TUTORIALS = {
    "T1": Tutorial(t1.TITLE, t1.reproduce),
    "T2": Tutorial(t2.TITLE, t2.reproduce),
    "T3": Tutorial(t3.TITLE, t3.reproduce),
    "T4": Tutorial(t4.TITLE, t4.reproduce),
}
