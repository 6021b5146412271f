"""The tutorials that ``microbp demo`` reproduces, in order; each is one file, named by it."""

from __future__ import annotations

from microbp.demo import t1, t2, t3, t4
from microbp.demo.report import Tutorial

__all__ = ["TUTORIALS", "Tutorial"]

TUTORIALS = {each.TUTORIAL.name: each.TUTORIAL for each in (t1, t2, t3, t4)}
