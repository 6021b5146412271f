"""Parameters: a Value, or lists, arrays and dicts of them, and results in the same shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from microbp.value import Value, as_number


def values_of(parameters: Any, where: str) -> list[Value]:
    """All Values of a nest of containers, in order."""
    if isinstance(parameters, Value):
        return [parameters]
    if isinstance(parameters, Mapping):
        parameters = list(parameters.values())
    if isinstance(parameters, np.ndarray):
        parameters = parameters.ravel().tolist()
    if isinstance(parameters, list | tuple):
        return [value for each in parameters for value in values_of(each, where)]
    raise TypeError(
        f"{where} moves Values: give one, a list or array of them, or a dict of these, not {parameters!r}"
    )


def shaped(parameters: Any, results: Iterator[Any], dtype: type) -> Any:
    """The results, one for each Value, in the shape of the parameters."""
    if isinstance(parameters, Value):
        return next(results)
    if isinstance(parameters, Mapping):
        return {name: shaped(each, results, dtype) for name, each in parameters.items()}
    if isinstance(parameters, np.ndarray):
        made: np.ndarray[Any, Any] = np.empty(parameters.shape, dtype=dtype)
        for place in np.ndindex(parameters.shape):
            made[place] = next(results)
        return made
    return [shaped(each, results, dtype) for each in parameters]


def claims_of(parameters: Any, claimed: Any, where: str) -> list[float]:
    """The claimed number for each Value of the parameters; their shapes must be the same."""
    if isinstance(parameters, Value):
        return [as_number(claimed, f"the claimed gradient of {where}")]
    if isinstance(parameters, Mapping):
        if not isinstance(claimed, Mapping) or claimed.keys() != parameters.keys():
            raise ValueError(f"claimed must be a dict with the keys of parameters, {list(parameters)}")
        return [x for name, each in parameters.items() for x in claims_of(each, claimed[name], str(name))]
    if isinstance(parameters, np.ndarray):
        if np.shape(claimed) != parameters.shape:
            raise ValueError(
                f"the claimed gradient of {where} has the shape {np.shape(claimed)}, the parameter "
                f"{parameters.shape}"
            )
        return [as_number(x, f"the claimed gradient of {where}") for x in np.ravel(claimed).tolist()]
    if not isinstance(claimed, list | tuple | np.ndarray) or len(claimed) != len(parameters):
        raise ValueError(f"{where} has {len(parameters)} parameters; claimed must hold as many gradients")
    pairs = enumerate(zip(parameters, claimed, strict=True))
    return [x for i, (each, claim) in pairs for x in claims_of(each, claim, f"{where}[{i}]")]


def elements(name: str, array: np.ndarray[Any, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What each element of an array is called, and where it stands."""
    for place in np.ndindex(array.shape):
        yield f"{name}[{','.join(map(str, place))}]" if place else name, place


@contextmanager
def restored(value: Value) -> Iterator[None]:
    """Give a value its number back after the ``with``."""
    before = value.data
    try:
        yield
    finally:
        value.data = before
