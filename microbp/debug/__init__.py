"""The gradient debugger: a backward pass as data, and what shows, explains and judges it."""

from microbp.debug import breakpoints
from microbp.debug.diagnose import Diagnosis, Finding, diagnose
from microbp.debug.explain import Explanation, MatrixExplanation, explain
from microbp.debug.paths import Paths, paths
from microbp.debug.shell import step
from microbp.debug.trace import Contribution, Step, Trace, trace

__all__ = [
    "Contribution", "Diagnosis", "Explanation", "Finding", "MatrixExplanation", "Paths", "Step", "Trace",
    "breakpoints", "diagnose", "explain", "paths", "step", "trace",
]  # fmt: skip
