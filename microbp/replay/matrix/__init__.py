"""The matrix form of replay: the matrices found again in a graph of scalars, as NumPy source for a batch."""

from microbp.replay.matrix.source import MANY, generate, matrices
from microbp.replay.matrix.table import tabled

__all__ = ["MANY", "generate", "matrices", "tabled"]
