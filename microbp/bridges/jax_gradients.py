"""The gradients of JAX, for ``check_gradients``: of any function, with rules of its own or without.

All is computed in double precision, whatever the process has switched on: in single precision differences
know three digits of a derivative, and a wrong one would hide among the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microbp.bridges.missing import need
from microbp.bridges.tensors import WORDS, notes, weights
from microbp.check.gradients import FOREIGN, Claimed
from microbp.check.measure import EPS

__all__ = ["claimed"]


def claimed(function: Any, x: Any, gradient: Any, called: Callable[[Any, str], str]) -> Claimed:
    """What JAX, or somebody, claims to be the gradient of a function at arrays, or trees of them."""
    jax: Any = need("jax", "jax")
    if not callable(function):
        raise TypeError(WORDS["function"].format(function))
    inputs = x if isinstance(x, tuple) else (x,)
    words = [called(each, "x" if len(inputs) == 1 else f"x{at}") for at, each in enumerate(inputs)]
    paths, tree = jax.tree_util.tree_flatten_with_path(inputs)
    names = [f"{words[path[0].idx]}{jax.tree_util.keystr(path[1:])}" for path, _ in paths]
    leaves = [each for _, each in paths]
    real = [at for at, each in enumerate(leaves) if np.issubdtype(np.result_type(each), np.inexact)]
    if not real:
        raise ValueError(WORDS["arrays"])
    shapes: list[Any] = []

    def number(moved: list[Any]) -> Any:
        every = [*leaves]
        for at, each in zip(real, moved, strict=True):
            every[at] = each
        parts = jax.tree_util.tree_leaves(function(*jax.tree_util.tree_unflatten(tree, every)))
        if not parts:
            raise TypeError(WORDS["result"].format(None))
        shapes[:] = [np.shape(each) for each in parts]
        if len(parts) == 1 and np.size(parts[0]) == 1:
            return parts[0].reshape(())
        sums = [(each * weights(np.shape(each)).astype(each.dtype)).sum() for each in parts]
        return sum(sums[1:], sums[0])

    at = [np.array(leaves[place], dtype=float) for place in real]
    with jax.enable_x64(True):
        y = number([*map(jax.numpy.asarray, at)])
        if gradient is None:
            slopes = jax.grad(number)([*map(jax.numpy.asarray, at)])
        else:
            slopes = gradient(*inputs) if callable(gradient) else gradient
            slopes = jax.tree_util.tree_leaves(slopes)
    claims = [np.asarray(each, dtype=float) for each in slopes]
    eps = max(float(jax.numpy.finfo(y.dtype).eps), EPS)

    def run(arrays: list[Any]) -> float:
        with jax.enable_x64(True):
            return float(number([*map(jax.numpy.asarray, arrays)]))

    source = "JAX" if gradient is None else "claimed"
    arrays = dict(zip([names[each] for each in real], at, strict=True))
    return Claimed(run, arrays, claims, source, notes(shapes), eps)


for library in ("jax", "jaxlib"):
    FOREIGN[library] = claimed
