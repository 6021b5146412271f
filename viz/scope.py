"""The variables of whoever called: their names are the names of values that have none."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from microbp import Value

__all__ = ["caller_scope"]

_INSIDE = tuple(str(Path(file).parent / "_")[:-1] for file in (__file__, inspect.getfile(Value)))


def caller_scope() -> dict[str, Any]:
    """The variables that the nearest code outside viz and microbp sees, the local ones first."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return {}
    local = dict(frame.f_locals)
    return local | {name: held for name, held in frame.f_globals.items() if name not in local}
