"""Expressions of the rule language, names and numbers as people write them: as plain text, and as LaTeX.

The text reads back: with ``·`` for ``*``, ``−`` for ``-`` and so on turned again into Python, it gives
the same number to the last bit. Parentheses stand where that, or a reader, needs them.
"""

from microbp.notation.branches import at
from microbp.notation.names import latex_name, latex_number, plain_name, plain_number
from microbp.notation.writing import ATOM, SUM, Term, formula, latex, symbol, text

__all__ = [
    "ATOM", "SUM", "Term", "at", "formula", "latex", "latex_name", "latex_number", "plain_name",
    "plain_number", "symbol", "text",
]  # fmt: skip
