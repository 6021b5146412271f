"""What a program's ``value_and_grad`` gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microbp.errors import NoGradientError
from microbp.replay.forms import Floats
from microbp.replay.layout import Layout
from microbp.replay.words import counted
from microbp.value import Value

__all__ = ["Gradients"]


class Gradients:
    """A cost and its derivatives."""

    __slots__ = ("_layout", "_params", "cost", "costs", "gradient", "inputs")

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
        layout: Layout,
        params: Sequence[Value],
    ) -> None:
        self.cost, self.costs, self.gradient, self.inputs = cost, costs, gradient, inputs
        self._layout, self._params = layout, params

    @property
    def arrays(self) -> dict[str, Floats]:
        """The gradient as views, by the names that the parameters' arrays have in the source."""
        return self._layout.views(self.gradient)

    def add_to_grad(self) -> None:
        """Add each derivative to ``grad`` of its parameter, as ``backward()`` of the cost would.

        A frozen parameter is left alone. Raises NoGradientError for a program from a pickle, which has no
        Values until it is bound to some.
        """
        if len(self._params) != self._layout.size:
            raise NoGradientError(
                "this program is bound to no Values, as after unpickling; program.bind(net.parameters())"
            )
        for value, derivative in zip(self._params, self.gradient.tolist(), strict=True):
            if value.requires_grad:
                value.grad = derivative if value.grad is None else value.grad + derivative

    def __repr__(self) -> str:
        size, samples = counted(self.gradient.size, "derivative"), counted(np.size(self.costs), "sample")
        return f"Gradients(cost={self.cost!r}, {size}, {samples})"
