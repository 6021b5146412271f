"""``check_answers``: grades gradients that a person worked out, and looks for the mistake in a wrong one.

A mistake is looked for by making it: the table of mistakes holds what a person does wrong as changes of some
local derivatives, all of them are made at once, and only what reproduces the claimed numbers, to their
precision, is ever reported.

The files, each of which imports only those before it: ``words`` (the sentences, in two languages),
``structure`` (the graph as a person sees it), ``claims`` (what was claimed), ``mistakes`` (the table),
``matrices`` (products turned the wrong way), ``search`` (which mistake it was), ``report`` (what comes out)
and ``grading`` (the verdict).
"""

from microbp.answers.grading import check_answers
from microbp.answers.report import AnswerReport, AnswerRow, Cause

__all__ = ["AnswerReport", "AnswerRow", "Cause", "check_answers"]
