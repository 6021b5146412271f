"""``program.to_torch()``: a program as a function of tensors, to be differentiated and trained by PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np

from microbp.bridges import need
from microbp.bridges.functional import Functional
from microbp.replay.program import Program

__all__ = ["to_torch"]


def to_torch(self: Program, *, gradient: Literal["ours", "theirs"] = "ours") -> Callable[..., Any]:
    """The program as a function of tensors: ``f(inputs, theta)`` gives the outputs, as a call of the program.

    ``inputs`` are one sample or a batch; ``theta`` is the vector of all parameters, in the order of
    ``program.parameters``, whose numbers of now are taken where it is left out. It runs in the precision and
    on the device of the inputs; lists and arrays are taken in double.

    With ``gradient="ours"`` the derivative is that of the table, with its conventions at corners and its
    care for overflow, as a ``torch.autograd.Function``; with ``"theirs"`` PyTorch differentiates what it is
    given. Nothing raises: what is undefined is nan there.

    Raises ValueError for another ``gradient``, and for a graph of too many array operations; ImportError
    where PyTorch is missing.
    """
    torch: Any = need("torch", "torch")
    made, numbers = Functional(self.captured, "to_torch()", gradient), self.parameters
    count = len(self.captured.inputs)

    @cache
    def functions(dtype: Any, device: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
        np_of = _Namespace(torch, dtype, device)
        value = made.value(np_of)
        return value, made.slopes(np_of) if gradient == "ours" else value

    class Ours(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, theta: Any, n: int) -> Any:
            ctx.save_for_backward(x, theta)
            return functions(x.dtype, x.device)[0](x, theta, n)

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> tuple[Any, Any, None]:
            x, theta = ctx.saved_tensors
            return *functions(x.dtype, x.device)[1](x, theta, upstream, len(x)), None

    def function(inputs: Any, theta: Any = None) -> Any:
        x = inputs if isinstance(inputs, torch.Tensor) else torch.as_tensor(np.asarray(inputs, dtype=float))
        x = x if x.is_floating_point() else x.double()
        vector = torch.as_tensor(numbers if theta is None else theta, dtype=x.dtype, device=x.device)
        batch = made.batch(tuple(x.shape), tuple(vector.shape))
        x = x.reshape(math.prod(batch), count)
        run = Ours.apply if gradient == "ours" else functions(x.dtype, x.device)[0]
        y = run(x, vector, len(x))
        return y.reshape(batch + self.captured.output_shape)

    return function


class _Namespace:
    """PyTorch's functions under NumPy's names, for tensors of one precision on one device."""

    s_, inf, nan = np.s_, math.inf, math.nan

    def __init__(self, torch: Any, dtype: Any, device: Any) -> None:
        self._torch, self._kind = torch, {"dtype": dtype, "device": device}
        self.power, self.erf, self.erfc = torch.pow, torch.special.erf, torch.special.erfc
        for word in ("maximum", "minimum", "logaddexp"):
            setattr(self, word, self._of_tensors(getattr(torch, word)))

    def __getattr__(self, word: str) -> Any:
        return getattr(self._torch, word)

    def _tensor(self, x: Any) -> Any:
        return x if isinstance(x, self._torch.Tensor) else self._torch.tensor(x, **self._kind)

    def _of_tensors(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *several: function(*map(self._tensor, several))

    def constant(self, numbers: Any) -> Any:
        if numbers.dtype.kind == "f":
            return self._torch.tensor(numbers, **self._kind)
        return self._torch.tensor(numbers, device=self._kind["device"])

    def sign(self, a: Any) -> Any:
        return self._torch.where(a.isnan(), a, a.sign())  # where PyTorch has 0

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self._torch.where(condition, self._tensor(a), self._tensor(b))

    def sum(self, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return a.sum() if axis is None else a.sum(dim=axis, keepdim=keepdims)

    def max(self, a: Any, axis: int, keepdims: bool = False) -> Any:
        return a.amax(dim=axis, keepdim=keepdims)

    def vdot(self, a: Any, b: Any) -> Any:
        return (a * b).sum()

    def einsum(self, axes: str, a: Any, b: Any, **_: Any) -> Any:
        return self._torch.einsum(axes, a, b)

    def leads(self, weights: Any) -> Any:
        places = self._torch.arange(weights.shape[-1], device=weights.device)
        return places == weights.argmax(dim=-1, keepdim=True)

    def transpose(self, a: Any, axes: Any = None) -> Any:
        return a.permute(*(reversed(range(a.ndim)) if axes is None else axes))

    def broadcast_to(self, a: Any, shape: Any) -> Any:
        return self._tensor(a).expand(shape)

    def concatenate(self, several: Any, axis: int) -> Any:
        return self._torch.cat([self._tensor(each) for each in several], dim=axis)

    def zeros(self, shape: Any) -> Any:
        return self._torch.zeros(shape, **self._kind)

    def part(self, array: Any, items: Any) -> Any:
        """``array[items]``, also where a step is below 0, which a tensor does not take."""
        items = items if isinstance(items, tuple) else (items,)
        taken, turned, axis, result = [], [], 0, 0
        for each in items:
            found = each
            if isinstance(each, slice) and (each.step or 1) < 0:
                places = range(array.shape[axis])[each]
                found = slice(places[-1], places[0] + 1, -places.step)
                turned.append(result)
            taken.append(found)
            axis += each is not None
            result += not isinstance(each, int)
        made = array[tuple(taken)]
        return made.flip(turned) if turned else made

    def added(self, array: Any, places: Any, piece: Any) -> Any:
        lead = array.shape[:-1]
        wide = self._tensor(piece).expand((*lead, *places.shape)).reshape(*lead, -1)
        return array.index_add(array.ndim - 1, places.reshape(-1), wide.to(array.dtype))


Program.to_torch = to_torch
