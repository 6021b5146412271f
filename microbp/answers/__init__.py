"""``check_answers``: grades gradients that a person worked out, and looks for the mistake in a wrong one.

A mistake is looked for by making it: what a person does wrong is a change of some local derivatives, or of
the gradient as a whole; all are made at once, and only what reproduces the claimed numbers is reported.
"""

from microbp.answers.grading import AnswerReport, AnswerRow, Cause, check_answers

__all__ = ["AnswerReport", "AnswerRow", "Cause", "check_answers"]
