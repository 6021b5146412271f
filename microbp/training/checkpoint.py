"""A checkpoint: the state of a run between two steps, as a JSON file that is always whole.

It may be damaged, or changed by hand, or of another run: that is found out before anything is touched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from microbp.errors import NotLoaded
from microbp.files import write_file
from microbp.safe import shown

__all__ = ["digest", "read_checkpoint", "write_checkpoint"]

FORMAT = "microbp training checkpoint 2"


def digest(*parts: Any) -> str:
    """A short text that is another one for other bytes or other numbers."""
    return sha256(b"".join(x if type(x) is bytes else repr(x).encode() for x in parts)).hexdigest()[:16]


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state``; the new file takes the place of the old in one move."""
    write_file(path, json.dumps({"format": FORMAT, "digest": digest(json.dumps(state)), **state}))


def read_checkpoint(path: Path, settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The state in a file, for a run of these settings and parameters.

    Raises NotLoaded where it is damaged or of another run. What an optimiser remembers, it looks at itself.
    """

    def refuse(what: str) -> NotLoaded:
        return NotLoaded(f"fit: {path} {what}", path)

    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
        raise refuse("is no checkpoint of fit")
    if state.pop("digest", None) != digest(json.dumps(state)):
        raise refuse("is damaged: it does not hold what fit wrote into it")
    for name, here in settings.items():
        there = state["settings"][name]
        if there != here:
            raise refuse(f"was written with {name} = {shown(repr(there))}; here it is {here!r}")
    if list(state["parameters"]) != list(names):
        odd = sorted({*names} ^ {*state["parameters"]})
        raise refuse(
            f"has {len(state['parameters'])} parameters, the net {len(names)}; "
            + (f"only one of the two has {shown(odd[0])}" if odd else "they stand in another order")
        )
    return state
