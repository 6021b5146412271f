"""The gradients of PyTorch and of JAX, for ``check_gradients``: of functions, modules and rules of one's own.

Whatever can be, is computed in double precision, on copies: in single precision differences know three digits
of a derivative, and a wrong one would hide among the others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microbp.bridges import need
from microbp.check.gradients import FOREIGN, Claimed
from microbp.check.measure import last_digit

__all__ = ["WORDS", "notes", "of_jax", "of_torch", "weights"]

WORDS = {
    "weights": "the function gives {0}: checked is the sum of its elements, each times a fixed weight",
    "function": "with tensors, check_gradients() takes a function of tensors or a module, not {0!r}",
    "result": "the function must return a tensor, or several, not {0!r}",
    "arrays": "there is nothing to check: no tensor of floats is given; in PyTorch, several go in a tuple",
}


def weights(shape: tuple[int, ...]) -> Any:
    """A number for each element of a result, no two of them alike, none close to 0.

    >>> weights((2,)).round(2)
    array([-1.14, -0.77])
    """
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def notes(shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """What is to be said of the results of a function, by their shapes.

    >>> notes([(), (2, 1)])
    ('the function gives () and (2, 1): checked is the sum of its elements, each times a fixed weight',)
    """
    if len(shapes) == 1 and np.prod(shapes[0]) == 1:
        return ()
    return (WORDS["weights"].format(" and ".join(map(str, shapes))),)


# ------------------------------------------------------------------------------------------ PyTorch
def of_torch(function: Any, x: Any, gradient: Any, called: Callable[[Any, str], str]) -> Claimed:
    """What PyTorch, or somebody, claims to be the gradient of a function at tensors."""
    torch: Any = need("torch", "torch")
    if not callable(function):
        raise TypeError(WORDS["function"].format(function))
    run = _Run(torch, function, x if isinstance(x, tuple) else (x,), called, own=gradient is None)
    if not run.tensors:
        raise ValueError(WORDS["arrays"])
    at = {name: each.detach().double().cpu().numpy() for name, each in run.tensors.items()}
    y = run.settled()
    if gradient is None:
        moved = run.moved([*at.values()], requires_grad=True)
        y = run(moved)
        slopes: Any = [None] * len(moved)
        if y.requires_grad:
            slopes = torch.autograd.grad(y, moved, allow_unused=True)
    else:
        slopes = gradient(*run.inputs) if callable(gradient) else gradient
        slopes = slopes if isinstance(slopes, tuple | list) else (slopes,)
    claims = [
        np.zeros(held.shape) if each is None else np.asarray(torch.as_tensor(each).detach().double().cpu())
        for each, held in zip(slopes, at.values(), strict=False)
    ]
    return Claimed(
        lambda arrays: float(run(run.moved(arrays)).detach()), at, claims,
        "PyTorch" if gradient is None else "claimed", notes(run.shapes),
        last_digit(torch.finfo, y.dtype),
    )  # fmt: skip


class _Run:
    """A function of tensors, or a module with its parameters, as one of a list of tensors."""

    def __init__(
        self, torch: Any, function: Any, inputs: tuple[Any, ...], called: Callable[[Any, str], str], own: bool
    ) -> None:
        self.torch, self.function, self.inputs = torch, function, inputs
        is_module = isinstance(function, torch.nn.Module)
        held = dict(function.named_parameters()) if is_module and own else {}
        self._parameters = [*held]
        self.words: list[str] = []
        for at, each in enumerate(inputs):
            word = called(each, "x" if len(inputs) == 1 else f"x{at}")
            while word in held or word in self.words:
                word += "'"
            self.words.append(word)
        given = zip(self.words, inputs, strict=True)
        #: Those that are moved, by what they are called.
        self.tensors: dict[str, Any] = {
            name: each for name, each in given if isinstance(each, torch.Tensor) and each.is_floating_point()
        } | held
        #: The shapes of the results.
        self.shapes: list[tuple[int, ...]] = []
        self._double = True
        self._module = copy.deepcopy(function).double() if is_module else None

    def settled(self) -> Any:
        """The result, after it was seen whether the function can do with double precision."""
        at = [*self.tensors.values()]
        try:
            return self(self.moved(at))
        except RuntimeError:  # another tensor in it has single precision
            self._double = False
            self._module = copy.deepcopy(self.function) if self._module is not None else None
            return self(self.moved(at))

    def moved(self, arrays: list[Any], *, requires_grad: bool = False) -> list[Any]:
        """The tensors with these numbers."""
        made = []
        for each, number in zip(self.tensors.values(), arrays, strict=True):
            kind = self.torch.double if self._double else each.dtype
            moved = self.torch.as_tensor(number).detach().to(dtype=kind, device=each.device, copy=True)
            made.append(moved.requires_grad_(requires_grad))
        return made

    def __call__(self, tensors: list[Any]) -> Any:
        """The number that is differentiated, as a tensor."""
        named = dict(zip(self.tensors, tensors, strict=True))
        inputs = [named.get(word, each) for word, each in zip(self.words, self.inputs, strict=True)]
        if self._module is None:
            y = self.function(*inputs)
        else:
            own = {name: named[name] for name in self._parameters}
            y = self.torch.func.functional_call(self._module, own, tuple(inputs))
        parts = [*y] if isinstance(y, tuple | list) else [y]
        if not parts or not all(isinstance(each, self.torch.Tensor) for each in parts):
            raise TypeError(WORDS["result"].format(y))
        self.shapes = [tuple(each.shape) for each in parts]
        if len(parts) == 1 and parts[0].numel() == 1:
            return parts[0].reshape(())
        sums = []
        for part in parts:
            by = self.torch.tensor(weights(tuple(part.shape)), dtype=part.dtype, device=part.device)
            sums.append((part * by).sum())
        return sum(sums[1:], sums[0])


# ---------------------------------------------------------------------------------------------- JAX
def of_jax(function: Any, x: Any, gradient: Any, called: Callable[[Any, str], str]) -> Claimed:
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

    def run(arrays: list[Any]) -> float:
        with jax.enable_x64(True):
            return float(number([*map(jax.numpy.asarray, arrays)]))

    source = "JAX" if gradient is None else "claimed"
    arrays = dict(zip([names[each] for each in real], at, strict=True))
    eps = last_digit(jax.numpy.finfo, y.dtype)
    return Claimed(run, arrays, claims, source, notes(shapes), eps)


FOREIGN |= {"torch": of_torch, "jax": of_jax, "jaxlib": of_jax}
