"""``numerical_gradient``: derivatives of any function, measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from microbp.check.case import Case
from microbp.check.measure import sweep
from microbp.check.moved import Called
from microbp.check.parameters import restored, shaped, values_of
from microbp.value import Value


def numerical_gradient(function: Callable[[], Any], parameters: Any, *, details: bool = False) -> Any:
    """∂function/∂p for each parameter p, measured by differences, in the shape of ``parameters``.

    ``function`` is called without arguments and returns a Value or a number, for which it reads the
    parameters: a Value, a list, tuple or array of them (nested if you like), or a dict that maps
    names to such. Each ``data`` is moved and put back in turn, also if the function raises; nothing
    is recorded meanwhile. Returns a float, lists, float arrays, a dict of them.

    >>> w = Value(3.0)
    >>> round(numerical_gradient(lambda: w * w * w, w), 9)
    27.0

    With ``details``, a :class:`Derivative` takes the place of each number: the value, its estimated
    error, and the slopes on either side, which differ at a kink:

    >>> b = Value(0.0)
    >>> slope = numerical_gradient(lambda: 2.0 * b.relu(), b, details=True)
    >>> slope.left, slope.right, slope.kinked
    (0.0, 2.0, True)

    A step at which the function is undefined is left out; if that leaves none, the result is nan.
    Expect ten digits or more of a smooth function, fewer where large numbers cancel in it.

    Raises TypeError where the parameters are no Values or the function gives no number.
    """
    values = values_of(parameters, "numerical_gradient()")
    base = function()
    case = Case(base, function, {}) if isinstance(base, Value) else None
    measured = []
    for value in values:
        probe = Called(function, value, {})
        known = case is not None and id(value) in case.graph._places
        noise = case.setting(value).noise if case is not None and known else None
        with restored(value):
            measured.append(sweep(probe.loss, value.data, noise)[0])
    results = iter(measured if details else [each.value for each in measured])
    return shaped(parameters, results, object if details else float)
