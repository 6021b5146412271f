"""Replay: a recorded graph as straight-line code for one sample, or as matrix code for a batch."""

from microbp.replay.build import Traced
from microbp.replay.build import compile as compile  # noqa: A004 (microbp.compile is meant)
from microbp.replay.function_graph import Captured, capture
from microbp.replay.program import Gradients, Program

__all__ = ["Captured", "Gradients", "Program", "Traced", "capture"]
