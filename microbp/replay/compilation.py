"""``compile``: recorded Values, or a function of Values, as a program that runs on numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from microbp.replay.build import FormName, compiled_program
from microbp.replay.program import MEMORY
from microbp.replay.traced import Traced
from microbp.value import Value

__all__ = ["compile"]


def compile(  # noqa: A001 (microbp.compile is meant)
    what: Any = None,
    inputs: Any = None,
    params: Any = None,
    *,
    form: FormName = "auto",
    checked: bool = False,
    finite: bool = True,
    memory: float = MEMORY,
    names: Mapping[str, Any] | None = None,
) -> Any:
    """A :class:`Program` that computes the Values ``what`` from other numbers for ``inputs`` and ``params``.

    >>> from microbp import Value
    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> program = compile((w * x).tanh(), inputs=[x], params=[w])
    >>> program([[0.0], [3.0]]).round(6)
    array([0.      , 0.999988])

    ``what``, ``inputs`` and ``params`` are each a Value, an array of Values, or a (nested) list of them. The
    parameters are all other leaves that take a gradient, unless they are given. What is neither is a
    constant: when its ``data`` changes later, the program says so rather than going on with the old number.

    Of a function of Values, a function of numbers is made, traced once for each shape of its arguments:

    >>> @compile
    ... def cost(x):
    ...     return (w * x[0] - x[1]) ** 2
    >>> float(cost([1.0, 0.5]))
    2.25
    >>> cost.batched.value_and_grad([[1.0, 0.5], [1.0, 1.0]]).gradient
    array([2.5])

    ``form``: ``"straight"`` replays sample after sample on Python's floats, with the eager engine's bits;
    ``"matrix"`` finds the matrices in the graph and runs a batch at once with NumPy, equal to 1e-12;
    ``"auto"`` takes for each batch the one that an estimate of their cost finds quicker: straight-line code
    for a few small samples, matrices for more. In a long graph what repeats becomes loops of straight-line
    code. ``names``, such as ``locals()``, names values in the source.

    **Branches and numbers.** A comparison of Values while recording chooses a branch that the program keeps
    to, and a number that a function takes out of the graph (``.data``, ``detach()``, ``data_of``) is the same
    for all samples: BranchWarning says which, and with ``checked`` a sample that would have gone the other
    way, or given another number, raises BranchChanged instead.

    **Numbers that are not finite** raise NotFiniteResult, with the sample and the first value that shows it;
    with ``finite=False`` they are returned. An operation without a result raises UndefinedOperation as in the
    eager engine, also where its result would not matter. ``memory`` is how many bytes the values of a batch
    may take.

    Raises TypeError and ValueError where what is given does not fit.
    """
    options = {
        "params": params, "form": form, "checked": checked, "finite": finite, "memory": memory,
        "names": names,
    }  # fmt: skip
    if what is None:
        return lambda function: _traced(function, inputs, options)
    if callable(what) and not isinstance(what, Value | np.ndarray):
        return _traced(what, inputs, options)
    if inputs is None:
        raise TypeError("compile: inputs=[…] says which Values stand for the numbers of a sample")
    return compiled_program(what, inputs, **options)


def _traced(function: Callable[..., Any], inputs: Any, options: dict[str, Any]) -> Traced:
    if not callable(function):
        raise TypeError(f"compile: a function or Values, not an object of type {type(function).__name__}")
    if inputs is not None:
        raise TypeError("compile: the inputs of a function are its arguments; leave inputs= out")
    return Traced(function, options)
