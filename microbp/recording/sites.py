"""Where in the user's code something happened: the nearest line that is not microbp's or NumPy's own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from opcode import opmap
from pathlib import Path
from traceback import walk_tb
from types import CodeType, FrameType
from typing import Any

import numpy as np

__all__ = [
    "Place", "of_users", "site_of", "sites_of", "user_frame", "user_level", "user_locals", "user_place",
    "user_scope", "user_site", "users",
]  # fmt: skip

_OURS = (str(Path(__file__).parents[1] / "_")[:-1], "<microbp ")
_VIZ = str(Path(__file__).parents[2] / "viz" / "_")[:-1]
_INSIDE = (*_OURS, _VIZ, str(Path(np.__file__).parent / "_")[:-1])
#: Code of the package that uses microbp as a user would.
_AS_USER = str(Path(__file__).parents[1] / "demo" / "_")[:-1]
#: Packages of others that are called by ours.
_BELOW = {*sys.stdlib_module_names, "numpy", "matplotlib", "rich", "graphviz", "pygraphviz", "PIL"}

#: How many calls outwards variables are sought.
_CALLS = 100

#: A place in code, cheap to take: the code object and the offset of the instruction in it.
Place = tuple[CodeType, int]


class _Users(dict[str, bool]):
    """Whether a file is the user's own, by its name."""

    def __missing__(self, file: str) -> bool:
        mine = self[file] = not file.startswith(_INSIDE) or file.startswith(_AS_USER)
        return mine


users = _Users()


def user_frame() -> FrameType | None:
    """The innermost frame of the user's own code; None when there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not users[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def of_users(error: BaseException, but: tuple[str, ...] = ()) -> bool:
    """Whether the user's own code took part in raising ``error``, from the frame that caught it on.

    Code of ours that uses microbp as a user would is his, ``but`` that of some folders. What Python's own
    library and others below us raise is not, and neither is an error that no statement of ours raised and
    that yet came up in code of ours, whoever called it.

    >>> try:
    ...     [user_site() for _ in 3]
    ... except TypeError as error:
    ...     of_users(error)
    True
    """
    trace, his, file = error.__traceback__, False, ""
    for frame, _ in walk_tb(trace):
        file, package = frame.f_code.co_filename, str(frame.f_globals.get("__name__")).partition(".")[0]
        made = file == "<string>" and package == "microbp"  # a method of a dataclass
        his = his or (users[file] and not made and not file.startswith(but) and package not in _BELOW)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised = trace is not None and trace.tb_frame.f_code.co_code[trace.tb_lasti] == opmap["RAISE_VARARGS"]
    return his and (raised or not file.startswith(_OURS))


def user_level() -> int:
    """How many frames above the caller the user's own code is."""
    user, level, frame = user_frame(), 1, sys._getframe(1)
    while frame is not user and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level


def user_scope() -> dict[str, Any]:
    """The variables that the user's own code sees where it called, the local ones first."""
    frame, local = user_frame(), user_locals()
    return {} if frame is None else {**local, **frame.f_globals, **local}


def user_locals() -> dict[str, Any]:
    """The local variables there, then those of the functions of the same module that called it."""
    inner = frame = user_frame()
    scope: dict[str, Any] = {}
    for _ in range(_CALLS):
        if inner is None or frame is None:
            break
        if frame.f_globals is inner.f_globals and frame.f_locals is not frame.f_globals:
            scope = {**scope, **frame.f_locals, **scope}
        frame = frame.f_back
    return scope


def user_place() -> Place | None:
    """The place that the innermost frame of the user's own code has reached."""
    frame = user_frame()
    return None if frame is None else (frame.f_code, frame.f_lasti)


def site_of(place: Place | str | None) -> str:
    """A place as ``file:line``; ``?`` for none; what is a text already stays."""
    return sites_of([place])[0]


def sites_of(places: Iterable[Place | str | None]) -> list[str]:
    """Several places; what is a text already stays."""
    lines: dict[int, dict[int, int | None]] = {}  # of each code object the line of each instruction
    found = []
    for place in places:
        if isinstance(place, str) or place is None:
            found.append(place or "?")
            continue
        code, offset = place
        if id(code) not in lines:
            lines[id(code)] = {at: line for begin, end, line in code.co_lines() for at in range(begin, end)}
        found.append(f"{code.co_filename}:{lines[id(code)].get(offset) or code.co_firstlineno}")
    return found


def user_site() -> str:
    """``file:line`` of the innermost line of the user's own code, ``?`` when there is none.

    >>> user_site().startswith("<doctest microbp.recording.sites.user_site")
    True
    """
    return site_of(user_place())
