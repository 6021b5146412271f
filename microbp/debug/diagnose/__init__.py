"""``diagnose``: why a gradient is zero, tiny, huge or not finite, where that began, and what to try.

One file for each kind of finding. ``reading`` makes a backward pass over a Graph that keeps the factors
of each node's largest path; ``subjects`` are the parameters; ``causes`` says in words why a local
derivative is what it is; ``finding`` and ``report`` are what comes out. Then the kinds: ``nonfinite``,
``wrong`` (rules), ``unreached``, ``zero``, ``tiny``, ``huge``, ``layers``, ``neurons``, ``stale``,
``failure`` (errors and histories of training); and ``diagnosing``, which asks them all.
"""

from microbp.debug.diagnose.diagnosing import diagnose
from microbp.debug.diagnose.finding import Finding
from microbp.debug.diagnose.layers import LayerRow
from microbp.debug.diagnose.neurons import NeuronRow
from microbp.debug.diagnose.report import Diagnosis

__all__ = ["Diagnosis", "Finding", "LayerRow", "NeuronRow", "diagnose"]
