"""Parameters: a Value, or lists, arrays and dicts of them, and results in the same shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from microbp.value import Value, as_number


def mapped(
    parameters: Any, claimed: Any, each: Callable[[Value, Any], Any], caller: str, where: str = "parameters"
) -> Any:
    """What ``each`` gives for a Value and what is claimed of it, in the shape of a nest of containers."""
    if isinstance(parameters, Value):
        told = f"the claimed gradient of {where}"
        return each(parameters, None if claimed is None else as_number(claimed, told))
    keys: list[Any]
    if isinstance(parameters, Mapping):
        keys, fits = list(parameters), isinstance(claimed, Mapping) and claimed.keys() == parameters.keys()
        wrong = f"claimed must be a dict with the keys of parameters, {keys}"
    elif isinstance(parameters, np.ndarray):
        keys, fits = list(np.ndindex(parameters.shape)), np.shape(claimed) == parameters.shape
        shapes = f"{np.shape(claimed)}, the parameter {parameters.shape}"
        wrong = f"the claimed gradient of {where} has the shape {shapes}"
        claimed = np.asarray(claimed, dtype=object) if fits else claimed
    elif isinstance(parameters, list | tuple):
        keys = list(range(len(parameters)))
        fits = isinstance(claimed, list | tuple | np.ndarray) and len(claimed) == len(keys)
        wrong = f"{where} has {len(keys)} parameters; claimed must hold as many gradients"
    else:
        raise TypeError(
            f"{caller} moves Values: give one, a list or array of them, or a dict of these, not "
            f"{parameters!r}"
        )
    if claimed is not None and not fits:
        raise ValueError(wrong)
    made = []
    for key in keys:
        name = {str: key, int: f"{where}[{key}]"}.get(type(key), where)
        made.append(mapped(parameters[key], None if claimed is None else claimed[key], each, caller, name))
    if isinstance(parameters, Mapping):
        return dict(zip(keys, made, strict=True))
    if isinstance(parameters, np.ndarray):
        plain = all(isinstance(x, float) for x in made)
        return np.fromiter(made, float if plain else object, len(made)).reshape(parameters.shape)
    return made


def elements(name: str, array: np.ndarray[Any, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What each element of an array is called, and where it stands."""
    for place in np.ndindex(array.shape):
        yield f"{name}[{','.join(map(str, place))}]" if place else name, place
