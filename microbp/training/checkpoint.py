"""A checkpoint: the state of a run between two steps, as a JSON file that is always whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["read_checkpoint", "write_checkpoint"]

FORMAT = "microbp training checkpoint 1"


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state``; the new file takes the place of the old in one move."""
    text = json.dumps({"format": FORMAT, **state})
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def read_checkpoint(path: Path, settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The state in a file, for a run of these settings and parameters; ValueError if it is of another."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        state = {}
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"fit: {path} is no checkpoint of fit")
    for name, here in settings.items():
        there = state["settings"][name]
        if there != here:
            raise ValueError(f"fit: {path} was written with {name} = {there!r}; here it is {here!r}")
    if list(state["parameters"]) != list(names):
        odd = sorted({*names} ^ {*state["parameters"]})
        raise ValueError(
            f"fit: {path} has {len(state['parameters'])} parameters, the net {len(names)}; "
            + (f"only one of the two has {odd[0]}" if odd else "they stand in another order")
        )
    return state
