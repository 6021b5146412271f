"""What the gradients of PyTorch and of JAX have in common, where ``check_gradients`` looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["WORDS", "notes", "weights"]

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
