"""A checkpoint: the state of a run between two steps, as a JSON file that is always whole.

It may be damaged, or written by hand, or of another run: all of it is looked at before anything is touched.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from microbp.errors import NotLoaded
from microbp.files import write_file
from microbp.safe import shown
from microbp.training.outcome import COURSE

__all__ = ["read_checkpoint", "write_checkpoint"]

FORMAT = "microbp training checkpoint 1"


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state``; the new file takes the place of the old in one move."""
    write_file(path, json.dumps({"format": FORMAT, **state}))


def read_checkpoint(
    path: Path, settings: Mapping[str, Any], names: Sequence[str], steps: int
) -> dict[str, Any]:
    """The state in a file, for a run of these settings and parameters, and so many steps in an epoch.

    Raises NotLoaded where it is damaged or of another run. What an optimiser remembers, it looks at itself.
    """

    def refuse(what: str) -> NotLoaded:
        return NotLoaded(f"fit: {path} {what}", path)

    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        state = {}
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise refuse("is no checkpoint of fit")
    for name, fits in _FIELDS.items():
        if name not in state or not fits(state[name]):
            told = shown(repr(state[name])) if name in state else "missing"
            raise refuse(f"is damaged: {name} is {told}")
    for name, here in settings.items():
        if name not in state["settings"]:
            raise refuse(f"is damaged: settings has no {name}")
        there = state["settings"][name]
        if there != here:
            raise refuse(f"was written with {name} = {shown(repr(there))}; here it is {here!r}")
    if list(state["parameters"]) != list(names):
        odd = sorted({*names} ^ {*state["parameters"]})
        raise refuse(
            f"has {len(state['parameters'])} parameters, the net {len(names)}; "
            + (f"only one of the two has {shown(odd[0])}" if odd else "they stand in another order")
        )
    epochs, done, validated = len(state["cost"]), len(state["step_cost"]), settings["validation"] > 0
    if not 0 <= done - epochs * steps <= steps - (not validated):
        raise refuse(
            f"is damaged: step_cost holds {done} numbers and cost {epochs}, but an epoch has {steps} steps"
        )
    lengths = {
        "validation_cost": epochs * validated, "learning_rate": done,
        "gradient_norm": done * (settings["clip"] is not None),
    }  # fmt: skip
    for name, length in lengths.items():
        if len(state[name]) != length:
            raise refuse(
                f"is damaged: {name} holds {len(state[name])} numbers, but {length} belong to "
                f"{epochs} epochs and {done} steps"
            )
    best = state["best"]
    whole = best is None if epochs == 0 else best and 0 < best[1] <= epochs and len(best[2]) == len(names)
    if not whole:
        told = f"{len(names)} parameters and {epochs} epochs"
        raise refuse(f"is damaged: best is {shown(repr(best))}, but there are {told}")
    return state


# ------------------------------------------------------------------------------- what each field holds
def _number(x: Any) -> bool:
    return type(x) in (int, float) and -sys.float_info.max <= x <= sys.float_info.max


def _numbers(x: Any) -> bool:
    return isinstance(x, list) and all(map(_number, x))


def _generator(x: Any) -> bool:
    """What NumPy's generator takes for its state."""
    try:
        np.random.default_rng(0).bit_generator.state = x
    except (ValueError, TypeError, KeyError, OverflowError):
        return False
    return True


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "settings": lambda x: isinstance(x, dict),
    "parameters": lambda x: isinstance(x, dict) and all(map(_number, x.values())),
    "optimiser": lambda x: isinstance(x, dict),
    "generator": _generator,
    "aside": lambda x: isinstance(x, str),
    "best": lambda x: x is None
    or (isinstance(x, list) and len(x) == 3 and _number(x[0]) and type(x[1]) is int and _numbers(x[2])),
    **dict.fromkeys(COURSE, _numbers),
}
