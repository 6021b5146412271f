"""Where in the user's code something happened: the nearest line that is not microbp's or NumPy's own."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import numpy as np

__all__ = ["user_frame", "user_site"]

_PACKAGE = str(Path(__file__).parent / "_")[:-1]
#: Code of the package that uses microbp as a user would.
_AS_USER = str(Path(__file__).parent / "demo" / "_")[:-1]
_NUMPY = str(Path(np.__file__).parent / "_")[:-1]


def user_frame() -> FrameType | None:
    """The innermost frame of the user's own code; None when there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        inside = file.startswith((_PACKAGE, _NUMPY, "<microbp ")) and not file.startswith(_AS_USER)
        if not inside:
            return frame
        frame = frame.f_back
    return None


def user_site() -> str:
    """``file:line`` of the innermost line of the user's own code, ``?`` when there is none.

    >>> user_site().startswith("<doctest microbp.sites.user_site")
    True
    """
    frame = user_frame()
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
