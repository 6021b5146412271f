"""Rolled replay: the straight-line form of a long graph, with a loop for each pattern that repeats in it."""

from microbp.replay.rolling.depth import depth
from microbp.replay.rolling.plan import Plan, plan
from microbp.replay.rolling.source import rolled

__all__ = ["Plan", "depth", "plan", "rolled"]
