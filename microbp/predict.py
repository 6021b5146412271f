"""``net.predict(X)``: what a net says to many samples, as numbers.

The net is recorded for the first sample and replayed for all. Where that would not be the same, it is called
for each: where it compares Values, takes a number out of the graph, changes what it can reach, or says
something else to one of a few samples.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from microbp.array import array, data_of
from microbp.nn import Module
from microbp.outside import Outside
from microbp.recording.comparisons import tracing, watched
from microbp.replay import Program
from microbp.replay.branches import branches
from microbp.replay.build import compiled_program
from microbp.replay.program import as_floats
from microbp.value import Value

__all__ = ["predict"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

#: So many samples are read and replayed at once: X may be larger than memory.
_AT_ONCE = 1 << 14
#: So many samples at most are said by the net itself as well, at even distances up to the last.
_LOOK = 8
_CLOSE = 1e-9


def predict(self: Module, X: Any) -> Floats:
    """What the net says to each sample of X: floats of the shape ``(samples, outputs)``, or ``(samples,)``.

    X is an array, a memory-mapped one, a data frame or a list, with a row for each sample; or one number for
    each. A net with one output says one number to each. Nothing is recorded, and no ``grad`` is touched.

    >>> from microbp import MLP
    >>> net = MLP(2, [3, 1], seed=1)
    >>> net.predict([[1.0, 2.0], [0.5, -1.0]]).tolist() == [net([1.0, 2.0]).data, net([0.5, -1.0]).data]
    True

    Raises TypeError for a module that cannot be called, ValueError where there is no sample or what the net
    says to two samples differs in shape, and what the net raises of a sample.
    """
    if not callable(self):
        hint = "; call its forward __call__" * hasattr(self, "forward")
        raise TypeError(f"predict: a net can be called; {type(self).__name__} has no __call__{hint}")
    if not isinstance(X, np.ndarray) or X.dtype == object:
        X = as_floats(X, "X")
    if not X.ndim or not len(X):
        raise ValueError(f"predict: X has a row for each sample, and at least one, not the shape {X.shape}")
    net = self if getattr(self, "takes_batches", False) else _Each(self)
    program = _replayed(self, net, as_floats(X[:1]), as_floats(X[:: -(len(X) // _LOOK or 1)]))
    parts = (as_floats(X[start : start + _AT_ONCE]) for start in range(0, len(X), _AT_ONCE))
    if program is not None:
        return np.concatenate([program(part.reshape(len(part), -1)) for part in parts])
    try:
        said = [data_of(net(part[place : place + 1])) for part in parts for place in range(len(part))]
    except ValueError as error:
        if X.ndim > 1 or type(error) is not ValueError:
            raise
        shown = f"[[{', '.join(map(str, X[:4].tolist()))}{', …' * (len(X) > 4)}]]"
        told = f"{error}. X has a number for each sample; as one sample of {len(X)} inputs it is {shown}"
        raise ValueError(told) from error
    for row, each in enumerate(said):
        if each.shape[1:] != said[0].shape[1:]:
            shapes = f"{said[0].shape[1:]} to X[0] and {each.shape[1:]} to X[{row}]"
            raise ValueError(f"predict: the net says the same number of outputs to each sample, not {shapes}")
    return np.concatenate(said)


class _Each:
    """A net that takes one sample, for a batch."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def __call__(self, batch: Any) -> Any:
        said = np.array([self.net(row) for row in batch.tolist()], dtype=object)
        for each in said.ravel().tolist():
            if not isinstance(each, Value | Real):
                told = f"alone, in a list or in an array, not an object of type {type(each).__name__}"
                raise TypeError(f"predict: a net says Values, {told}")
        return said


def _replayed(module: Module, net: Any, first: Floats, looked: Floats) -> Program | None:
    """The net as a program; None where it has to be called for each sample."""
    leaves, seen, outside = array(first), watched(), Outside(module, apart=None)
    try:
        with tracing.on(), seen:
            outputs = net(leaves)
        inputs = leaves.ravel().tolist()
        kept, unknown, _ = branches(seen.found, inputs, [])
        if kept or unknown or outside.drawn or outside.settles(lambda: net(first)):
            return None
        program = compiled_program(outputs[0], inputs, finite=False, compared=[])
        said = program(looked.reshape(len(looked), -1))
        right = np.concatenate([data_of(net(looked[place : place + 1])) for place in range(len(looked))])
    except Exception:  # noqa: BLE001 (what is wrong with the net is told where it is called by itself)
        return None
    finally:
        outside.restore()
    return program if np.allclose(said, right, rtol=_CLOSE, atol=0.0, equal_nan=True) else None


Module.predict = predict
