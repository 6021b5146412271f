"""What generated code says in comments."""

from __future__ import annotations

__all__ = ["counted", "one_line"]


def counted(count: int, word: str) -> str:
    """A number of things.

    >>> counted(1, "value"), counted(2000, "value")
    ('1 value', '2,000 values')
    """
    return f"{count:,} {word}{'s' * (count != 1)}"


def one_line(told: str) -> str:
    r"""A text that goes into a comment: the names in it are the user's, and may hold anything.

    >>> one_line("w\nimport os")
    'w import os'
    """
    return "".join(each if each.isprintable() else " " for each in told)
