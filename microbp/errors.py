"""Every exception class of microbp. It imports nothing, so that each part can raise what it needs."""

from __future__ import annotations

__all__ = [
    "BranchChanged", "BranchError", "BranchWarning", "GrowingGraphWarning", "MicrobpError",
    "NoGradientError", "NotFiniteResult", "NotLoaded", "NotSavedWarning", "RuleError",
    "StaleProgram", "TooManyValues", "UndefinedOperation",
]  # fmt: skip


class MicrobpError(Exception):
    """The base of all errors that are microbp's own."""


class RuleError(MicrobpError, ValueError):
    """A row of the table of rules is malformed, is a duplicate, or states a wrong derivative."""


class UndefinedOperation(MicrobpError, ArithmeticError, ValueError):
    """An operation has no real result at its operands: log(-1), (-8) ** (1/3), 0 ** -1."""

    def __init__(self, message: str, rule: str, numbers: tuple[float, ...], site: str) -> None:
        super().__init__(message)
        #: The name of the operation in the table of rules.
        self.rule = rule
        #: The operands' numbers, in the order of the rule's arguments.
        self.numbers = numbers
        #: ``file:line`` of the user's code that asked for the operation.
        self.site = site

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[float, ...], str]]:
        return type(self), (str(self), self.rule, self.numbers, self.site)


class BranchError(MicrobpError, TypeError):
    """A ``Value`` was used as a truth value; a branch on it would not be part of the graph."""


class TooManyValues(MicrobpError, ValueError):
    """A graph is larger than what was asked for can be done with in reasonable time."""


class NotLoaded(MicrobpError, ValueError):
    """A file is damaged, or is of something else than what it was loaded for; nothing was touched."""

    def __init__(self, message: str, path: object) -> None:
        super().__init__(message)
        #: The file.
        self.path = str(path)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (str(self), self.path)


class NotSavedWarning(UserWarning):
    """A checkpoint could not be written; the run goes on."""


class NoGradientError(MicrobpError, RuntimeError):
    """A gradient was asked of, or for, a value that takes none."""


class BranchWarning(UserWarning):
    """A comparison of Values has chosen a branch while the graph was recorded; replay keeps to it."""


class GrowingGraphWarning(UserWarning):
    """Parameters are updated by operations that are recorded; the graph grows with each step."""


class BranchChanged(MicrobpError, RuntimeError):
    """A sample would have gone the other way at a comparison than the one that was recorded."""


class StaleProgram(MicrobpError, ValueError):
    """A constant of a compiled program has changed, or a parameter that was frozen takes a gradient now."""


class NotFiniteResult(MicrobpError, FloatingPointError):
    """A replayed result or gradient is nan or infinite."""

    def __init__(self, message: str, sample: int) -> None:
        super().__init__(message)
        #: The first sample that shows it, by its index in the batch, flattened.
        self.sample = sample

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (str(self), self.sample)
