"""A net, its optimiser and its samples, as ``fit`` is given them: checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from microbp.engines import Samples
from microbp.optim import Optimiser
from microbp.safe import shown
from microbp.value import Value, as_number

__all__ = ["optimiser_for", "parameters_of", "samples_of"]


def parameters_of(net: Any) -> tuple[list[str], list[Value]]:
    """The net's parameters with their names: their paths in a Module, else as they are called."""
    kind = type(net).__name__
    if isinstance(net, type):
        raise TypeError(f"fit: a net is an object, such as MLP(2, [1]); {net.__name__} is a class")
    if not callable(getattr(net, "parameters", None)):
        raise TypeError(f"fit: a net has parameters(), as a Module does; an object of type {kind} has none")
    if not callable(net) and not callable(getattr(net, "predict", None)):
        raise TypeError(f"fit: a net can be called, or has predict(batch); an object of type {kind} neither")
    if callable(getattr(net, "named_parameters", None)):
        named = dict(net.named_parameters())
    else:
        values = list(net.parameters())
        given = [each.name if isinstance(each, Value) and each.name else "" for each in values]
        unique = len({*given}) == len(given) and "" not in given
        named = {
            name if unique else f"parameters[{place}]": value
            for place, (name, value) in enumerate(zip(given, values, strict=True))
        }
    if not named:
        raise ValueError(f"fit: the net, of type {kind}, has no parameters")
    for name, parameter in named.items():
        if not isinstance(parameter, Value):
            kind = type(parameter).__name__
            raise TypeError(f"fit: the parameter {shown(name)} is an object of type {kind}, not a Value")
        if not math.isfinite(parameter.data):
            raise ValueError(f"fit: the parameter {shown(name)} is {parameter.data!r} to begin with")
    return list(named), list(named.values())


def optimiser_for(optimiser: Any, parameters: Sequence[Value]) -> Optimiser:
    """The optimiser, which changes parameters of this net only."""
    if not isinstance(optimiser, Optimiser):
        kind = type(optimiser).__name__
        raise TypeError(
            f"fit: the optimiser is one such as SGD(net.parameters(), lr=0.1), not an object of type {kind}"
        )
    known = {id(each) for each in parameters}
    for name, parameter in optimiser.parameters:
        if id(parameter) not in known:
            raise ValueError(f"fit: the optimiser changes {shown(name)}, which is no parameter of this net")
    _ = optimiser.rate  # refused here if it is not positive and finite
    return optimiser


def samples_of(X: Any, Y: Any, which: str) -> Samples:
    """Samples with a target each; ``which`` stands before X and Y in an error: "validation "."""
    x, y = _array(X, f"{which}X"), _array(Y, f"{which}Y")
    if len(x) != len(y):
        raise ValueError(f"fit: {which}X has {len(x)} samples, but {which}Y has {len(y)} targets")
    if not x.size:
        raise ValueError(f"fit: {which}X is empty; its shape is {x.shape}")
    return Samples(x.astype(float), x.astype(float).tolist(), y.tolist())


def _array(data: Any, name: str) -> np.ndarray[Any, Any]:
    """Real and finite numbers as an array, whole numbers as such."""
    try:
        array = np.asarray(data)
    except ValueError:
        raise ValueError(f"fit: the rows of {name} are of unequal length") from None
    if array.dtype == object:
        for place in np.ndindex(array.shape):
            as_number(array[place], f"fit: {name}{list(place)}")
        array = array.astype(float)
    if array.dtype.kind == "b":
        array = array.astype(int)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"fit: {name} holds real numbers, not {array.dtype}")
    if not array.ndim:
        raise TypeError(f"fit: {name} is a list or an array with an entry for each sample, not one number")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = bad[0].tolist()
        number = float(array[tuple(place)])
        raise ValueError(
            f"fit: {name}{place} is {number!r}, the first of {len(bad)} that are not finite; fill them in, "
            "or leave their samples out"
        )
    return array
