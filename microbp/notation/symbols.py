"""The sign of each operation."""

from __future__ import annotations

from microbp.rules import Rule

__all__ = ["symbol"]

_SYMBOLS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "pow": "^", "neg": "−", "abs": "|·|", "sqrt": "√",
    "sigmoid": "σ", "sum": "Σ", "dot": "Σ", "minimum": "min", "maximum": "max",
}  # fmt: skip


def symbol(rule: Rule | str) -> str:
    """The sign of an operation, its name where it has none.

    >>> symbol("mul"), symbol("sigmoid"), symbol("tanh"), symbol("dot")
    ('×', 'σ', 'tanh', 'Σ')
    """
    name = rule if isinstance(rule, str) else rule.name
    return _SYMBOLS.get(name, name)
