"""What a command of the shell is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from microbp.debug.shell.session import Session

__all__ = ["Command"]


class Command(NamedTuple):
    """A command of the shell."""

    name: str
    #: Other names, the usual short form first.
    short: tuple[str, ...]
    #: What may follow the name.
    usage: str
    #: One line for the list of commands, then what else there is to know.
    help: str
    run: Callable[[Session, str], None]
    #: What its argument is completed with: ``value``, ``place``, ``expression``, ``breakpoint``,
    #: ``command`` or nothing.
    completes: str = ""
    #: Whether an empty line does it again.
    repeats: bool = False
