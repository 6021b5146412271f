"""Names: which Values a claim is about."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microbp.answers.case import Case, assembled, prefix
from microbp.labels import variable_names
from microbp.spelling import did_you_mean
from microbp.value import Value


def values_of(case: Case, key: Any) -> tuple[str, NDArray[np.object_]]:
    """The name and the Values that a claim is about."""
    if not isinstance(key, str):
        values = _as_values(key)
        if values is None:
            raise TypeError(f"a claim is about a name, a Value or an array of Values, not {key!r}")
        return _name_of(case, key, values), values
    bearers = [value for value in case.values if value.name == key]
    if len(bearers) == 1:
        return key, np.array(bearers[0], dtype=object)
    held = _as_values(case.scope.get(key))
    present = {id(value) for value in case.values}
    if held is not None and any(id(value) in present for value in held.flat):
        return key, held
    elements = None if bearers else assembled({v.name: v for v in case.values if v.name}, key)
    if elements is not None:
        return key, elements
    if held is not None:  # the loss does not depend on it
        return key, held
    if bearers:
        raise KeyError(
            f"{len(bearers)} values of the graph are named {key!r}: give the Value itself, in a list of "
            "pairs (value, claim)"
        )
    for node, value in zip(case.nodes, case.values, strict=True):
        if node.named and node.name == key:
            return key, np.array(value, dtype=object)
    raise KeyError(_unknown(case, key))


def _as_values(held: Any) -> NDArray[np.object_] | None:
    """An array of Values from a Value, an array or a nested list of Values; None for anything else."""
    if isinstance(held, Value | list | tuple | np.ndarray):
        with suppress(ValueError):  # rows of unequal length
            values = np.asarray(held, dtype=object).view(np.ndarray)
            if values.size and all(isinstance(each, Value) for each in values.flat):
                return values
    return None


def _name_of(case: Case, key: Any, values: NDArray[np.object_]) -> str:
    """What to call the object of a claim that was made by the Values themselves."""
    first: Any = values.flat[0]
    if not first.name:
        for name, held in case.scope.items():
            if held is key:
                return name
    name = first.name or variable_names(case.scope).get(id(first)) or "an unnamed value"
    return prefix(name) if values.shape else name


def _unknown(case: Case, key: str) -> str:
    names = [node.name for node in case.nodes if node.named]
    known = list(dict.fromkeys([*map(prefix, names), *names]))
    near = did_you_mean(key, known)
    meant = f"; {near}" if near else "."
    listed = ", ".join(known[:20] + ["…"] * (len(known) > 20)) or "none"
    return (
        f"nothing that the loss depends on is called {key!r}{meant} Names there are: {listed}; a claim may "
        "also be made by the Value itself, in a list of pairs (value, claim)"
    )
