"""``program.to_jax()``: a program as a function of JAX, to be compiled, mapped and differentiated there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from microbp.bridges import need
from microbp.bridges.functional import Functional
from microbp.replay.program import Program

__all__ = ["to_jax"]


def to_jax(self: Program, *, gradient: Literal["ours", "theirs"] = "ours") -> Callable[..., Any]:
    """The program as a function of JAX: ``f(inputs, theta)`` gives the outputs, as a call of the program.

    ``inputs`` are one sample or a batch; ``theta`` is the vector of all parameters, in the order of
    ``program.parameters``, whose numbers of now are taken where it is left out. It can go through
    ``jax.jit``, ``jax.vmap``, ``jax.grad`` and their like, and runs in the precision that JAX has: double
    with ``jax.config.update("jax_enable_x64", True)``.

    With ``gradient="ours"`` the derivative is that of the table, with its conventions at corners and its
    care for overflow, as a custom rule, which has reverse mode only; with ``"theirs"`` JAX differentiates
    what it is given. Nothing raises: what is undefined is nan there.

    Raises ValueError for another ``gradient``, and for a graph of too many array operations; ImportError
    where JAX is missing.
    """
    jax, np_of = need("jax", "jax"), _Namespace()
    made, numbers = Functional(self.captured, "to_jax()", gradient), self.parameters
    value, count = made.value(np_of), len(self.captured.inputs)

    def run(x: Any, theta: Any) -> Any:
        return value(x, theta, len(x))

    if gradient == "ours":
        plain, slopes = run, made.slopes(np_of)

        def backward(kept: tuple[Any, Any], upstream: Any) -> tuple[Any, Any]:
            x, theta = kept
            dx, dtheta = slopes(x, theta, upstream, len(x))
            return dx.astype(x.dtype), dtheta.astype(theta.dtype)

        run = jax.custom_vjp(plain)
        run.defvjp(lambda x, theta: (plain(x, theta), (x, theta)), backward)  # type: ignore[attr-defined]

    def function(inputs: Any, theta: Any = None) -> Any:
        given = inputs, numbers if theta is None else theta
        x, vector = (np_of.asarray(each, dtype=_kind(each)) for each in given)
        batch = made.batch(x.shape, vector.shape)
        return run(x.reshape(-1, count), vector).reshape(batch + self.captured.output_shape)

    return function


def _kind(x: Any) -> Any:
    """The kind of floats that it has; of whole numbers and lists that which JAX takes."""
    kind = getattr(x, "dtype", None)
    return None if kind is not None and np.issubdtype(kind, np.inexact) else float


class _Namespace:
    """JAX's NumPy, and what NumPy has not."""

    s_ = np.s_

    def __init__(self) -> None:
        self._jnp, special = need("jax.numpy", "jax"), need("jax.scipy.special", "jax")
        self.erf, self.erfc = special.erf, special.erfc

    def __getattr__(self, word: str) -> Any:
        return getattr(self._jnp, word)

    @staticmethod
    def constant(numbers: Any) -> Any:
        """As it is: JAX gives it the precision of now when it meets it."""
        return numbers

    @staticmethod
    def part(array: Any, items: Any) -> Any:
        return array[items]

    @staticmethod
    def added(array: Any, places: Any, piece: Any) -> Any:
        return array.at[..., places].add(piece)

    def leads(self, weights: Any) -> Any:
        return self._jnp.arange(weights.shape[-1]) == self._jnp.argmax(weights, axis=-1, keepdims=True)


Program.to_jax = to_jax
