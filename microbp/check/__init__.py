"""Checks of gradients: of whole graphs (``gradients``), each operation (``auditing``), a row (``rules``).

What is claimed stands beside a derivative that owes nothing to it (``measure``).
"""

from microbp.check.auditing import Accumulation, AuditReport, AuditRow, audit
from microbp.check.gradients import GradientReport, GradientRow, check_gradients, numerical_gradient
from microbp.check.measure import Derivative

__all__ = [
    "Accumulation", "AuditReport", "AuditRow", "Derivative", "GradientReport", "GradientRow", "audit",
    "check_gradients", "numerical_gradient",
]  # fmt: skip
