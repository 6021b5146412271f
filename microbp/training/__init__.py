"""``fit``: descend the cost of a net over samples; full batch, mini-batches or one sample at a time.

A step happens whole or not at all. It first computes the cost and all gradients of its batch, in which
nothing of the net changes and Ctrl-C may strike; then the update is applied with Ctrl-C held back. What
a run is made of (parameters, optimiser, generator, place in the epoch, history) is plain data between
two steps, so that a checkpoint taken there continues bit for bit.

The cost and the gradients of a batch come from an engine, the one place that knows how they are
computed: :mod:`microbp.engines`.
"""

from __future__ import annotations

from microbp.training.fitting import fit
from microbp.training.given import Settings
from microbp.training.outcome import History, NotFinite

__all__ = ["History", "NotFinite", "Settings", "fit"]
