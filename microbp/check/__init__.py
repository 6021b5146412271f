"""Checks of gradients: numerically, over a whole graph, and operation by operation.

``check_gradients`` compares what back-propagation gives, or anybody claims, with derivatives that owe nothing
to it, and says ``agree``, ``DISAGREE`` or ``inconclusive`` with the reason. ``numerical_gradient`` measures
derivatives of any function. ``audit`` looks at each recorded operation alone, so that it can name the rule
that is wrong.

The files, each of which imports only those before it: ``measure`` (one derivative, and the verdict on a
claim), ``parameters``, ``words``, ``report`` (what comes out), ``auditing`` and ``gradients``.
"""

from microbp.check.auditing import audit
from microbp.check.gradients import check_gradients, numerical_gradient
from microbp.check.measure import Derivative
from microbp.check.report import Accumulation, AuditReport, AuditRow, GradientReport, GradientRow

__all__ = [
    "Accumulation", "AuditReport", "AuditRow", "Derivative", "GradientReport", "GradientRow", "audit",
    "check_gradients", "numerical_gradient",
]  # fmt: skip
