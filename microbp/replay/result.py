"""What a program's ``value_and_grad`` gives back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from microbp.errors import NoGradientError
from microbp.replay.identifiers import counted
from microbp.replay.parameter_arrays import Floats, ParameterArray
from microbp.value import Value

__all__ = ["Gradients", "views_of"]


def views_of(arrays: Sequence[ParameterArray], vector: Floats) -> dict[str, Floats]:
    """The arrays of a vector of parameters: views where they can be, else copies that are read-only."""
    found = {}
    for array in arrays:
        view = array.view(vector)
        if view is None:
            view = vector[array.members]
            view.flags.writeable = False
        found[array.name] = view
    return found


class Gradients:
    """A cost and its derivatives; ``cost, gradient = …`` takes the two.

    >>> cost, gradient = Gradients(2.0, np.array([2.0]), np.array([1.0, 0.5]), None, (), ())
    >>> cost, gradient.tolist()
    (2.0, [1.0, 0.5])
    """

    __slots__ = ("_arrays", "_params", "cost", "costs", "gradient", "inputs")

    #: The mean or the sum over the batch; of one sample, its cost.
    cost: float
    #: The cost of each sample; its shape is that of the batch.
    costs: Floats
    #: ∂cost/∂parameter for all parameters, as one vector in the order of ``program.parameters``.
    gradient: Floats
    #: ∂cost/∂input, in the shape of the inputs; None unless it was asked for.
    inputs: Any

    def __init__(
        self,
        cost: float,
        costs: Floats,
        gradient: Floats,
        inputs: Any,
        arrays: Sequence[ParameterArray],
        params: Sequence[Value],
    ) -> None:
        self.cost, self.costs, self.gradient, self.inputs = cost, costs, gradient, inputs
        self._arrays, self._params = arrays, params

    def __iter__(self) -> Iterator[Any]:
        yield self.cost
        yield self.gradient

    @property
    def arrays(self) -> dict[str, Floats]:
        """The gradient as views, by the names that the parameters' arrays have in the source."""
        return views_of(self._arrays, self.gradient)

    def add_to_grad(self) -> None:
        """Add each derivative to ``grad`` of its parameter, as ``backward()`` of the cost would.

        A frozen parameter is left alone. Raises NoGradientError for a program from a pickle, which has no
        Values until it is bound to some.
        """
        if len(self._params) != self.gradient.size:
            raise NoGradientError(
                "this program is bound to no Values, as after unpickling; program.bind(net.parameters())"
            )
        for value, derivative in zip(self._params, self.gradient.tolist(), strict=True):
            if value.requires_grad:
                value.grad = derivative if value.grad is None else value.grad + derivative

    def __repr__(self) -> str:
        size, samples = counted(self.gradient.size, "derivative"), counted(np.size(self.costs), "sample")
        return f"Gradients(cost={self.cost!r}, {size}, {samples})"
