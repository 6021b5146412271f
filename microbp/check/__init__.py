"""Checks of gradients: of whole graphs (``gradients``), each operation (``auditing``), a row (``rules``).

What is claimed stands beside a derivative that owes nothing to it (``measure``); a report has the verdicts.
"""

from microbp.check.auditing import audit
from microbp.check.gradients import check_gradients, numerical_gradient
from microbp.check.measure import Derivative
from microbp.check.report import Accumulation, AuditReport, AuditRow, GradientReport, GradientRow

__all__ = [
    "Accumulation", "AuditReport", "AuditRow", "Derivative", "GradientReport", "GradientRow", "audit",
    "check_gradients", "numerical_gradient",
]  # fmt: skip
