"""Numbers that NumPy computes in silence and the eager engine refuses: 1/0, log(-1), exp(800).

NumPy notes in flags of the processor that an operation has no result, and calls back if asked to. Most
such calls are legitimate: the branch that a condition does not take is computed too, and so is what the
backward pass multiplies by 0. A suspicion is one that comes from a line of the forward pass whose rule may
be undefined; then the caller asks the eager engine. Nothing is paid for where no flag is raised.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from microbp.expr import CONSTANTS, FUNCTIONS
from microbp.rules import TABLE, Rule

__all__ = ["Suspicion", "may_be_undefined", "trusting", "unsuspecting", "watch"]

_EVERYWHERE = {"abs", "atan", "tanh", "erf", "erfc"}
_RESTRICTED = FUNCTIONS.keys() - _EVERYWHERE
_trusting: ContextVar[bool] = ContextVar("trusting", default=False)


class Suspicion(Exception):
    """A line of generated code computed what the eager engine might refuse."""


def may_be_undefined(rule: Rule) -> bool:
    """Whether the value of a rule is undefined somewhere.

    The conditions in the table's own rows are there so that it is not.

    >>> from microbp.rules import RULES
    >>> [may_be_undefined(RULES[name]) for name in ("div", "log", "mul", "sigmoid")]
    [True, True, False, False]
    """
    parts = list(ast.walk(rule.y.tree))
    if rule in TABLE and any(isinstance(each, ast.IfExp) for each in parts):
        return False
    return any(map(_may_fail, parts))


def _may_fail(node: ast.AST) -> bool:
    """Whether it is a quotient or a function that is undefined somewhere, and of more than constants."""
    match node:
        case ast.BinOp(op=ast.Div(), right=depends):
            pass
        case ast.Call(func=ast.Name(id=name)) if name in _RESTRICTED:
            depends = node
        case _:
            return False
    words = {each.id for each in ast.walk(depends) if isinstance(each, ast.Name)}
    return bool(words - CONSTANTS.keys() - FUNCTIONS.keys())


def trusting() -> bool:
    """Whether the eager engine has been asked."""
    return _trusting.get()


def watch(file: str, lines: frozenset[int]) -> Callable[[str, int], None]:
    """What NumPy is to call: it raises Suspicion for one of these lines of generated code."""

    def called(_kind: str, _flag: int) -> None:
        frame = sys._getframe(1)
        if frame.f_lineno in lines and frame.f_code.co_filename == file and not _trusting.get():
            raise Suspicion

    return called


@contextmanager
def unsuspecting() -> Iterator[None]:
    """No suspicion inside: the eager engine has been asked."""
    token = _trusting.set(True)
    try:
        yield
    finally:
        _trusting.reset(token)
