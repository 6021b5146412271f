"""Checks of gradients: numerically, over a whole graph, and operation by operation.

``numerical_gradient`` measures derivatives of any function. ``check_gradients`` compares them with
what back-propagation gives, and says ``agree``, ``DISAGREE`` or ``inconclusive`` with the reason.
``audit`` looks at each recorded operation alone, so that it can name the rule that is wrong.

The files, each of which imports only those before it: ``measure`` (one derivative, with its error),
``parameters`` (what is moved, and the shape of what comes back), ``operands`` (an operation's, as its
rule takes them), ``words``, ``rounding`` (the rounding error of one operation), ``recorded`` (a graph,
computed again), ``moved`` (the loss as a function of one value), ``changes`` (does the record still
hold), ``operation`` (one by itself), ``accumulation`` (the sums over all uses), ``report`` (what comes
out), ``comparison`` (one gradient with one measured derivative) and ``case`` (all gradients of a loss).
Then the three functions: ``numerical``, ``gradients`` and ``auditing``.
"""

from microbp.check.auditing import audit
from microbp.check.gradients import check_gradients
from microbp.check.measure import Derivative
from microbp.check.numerical import numerical_gradient
from microbp.check.report import Accumulation, AuditReport, AuditRow, GradientReport, GradientRow

__all__ = [
    "Accumulation", "AuditReport", "AuditRow", "Derivative", "GradientReport", "GradientRow", "audit",
    "check_gradients", "numerical_gradient",
]  # fmt: skip
