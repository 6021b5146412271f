"""Updates of parameters: the step that a training loop takes outside the graph.

``W -= rate * grad_of(W)`` on an array of leaves that have been in a backward pass is such a step, since
numbers alone change them: it puts new leaves there, with the new numbers. ``w = w - rate * w.grad`` cannot be
told from a computation, so that w remembers all steps and the graph grows with each: this is warned of once
it has been done twice.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from microbp.calls import user_level
from microbp.errors import GrowingGraphWarning

__all__ = [
    "SEEN", "note_computed", "note_moved", "renewed", "steps_in", "warn_of_growing", "warn_of_left",
    "warn_of_lost", "warn_of_replaced", "warn_of_steps", "was_used",
]  # fmt: skip


def was_used(value: Any) -> bool:
    """Whether it is a leaf that has been in a backward pass, or came of an update of such a leaf."""
    seen = getattr(value, "grad", None) is not None or getattr(value, "_upstream", None) is not None
    return seen and value._rule is None


#: Stands in ``_db`` of a leaf in whose place an update in place has put another.
_REPLACED = 1.0


def renewed(before: Any, after: Any) -> Any:
    """The elements of ``after``, with leaves in the place of numbers that became of a leaf.

    A leaf keeps its name and whether it takes a gradient; one that stood in two places and has one number
    in both is one leaf still.
    """
    made: dict[tuple[int, float], Any] = {}

    def leaf(old: Any, new: Any) -> Any:
        if hasattr(new, "_data") or not hasattr(old, "_data"):
            return new
        fresh = made.get((id(old), new))
        if fresh is None:
            fresh = made[id(old), new] = type(old)(new, old.name)
            fresh.requires_grad = old._rule is None and old.requires_grad
            if old._rule is None:
                old._db = _REPLACED
            if was_used(old):
                fresh._upstream = 0.0
        return fresh

    return np.frompyfunc(leaf, 2, 1)(np.asarray(before), np.asarray(after, dtype=object))


# --------------------------------------------------------------- steps that were taken in the graph
def _step(value: Any) -> tuple[Any, float] | None:
    """The Value and the number of ``value - number`` or ``value + number``."""
    rule = getattr(value, "_rule", None)
    if rule is None or value._a is None or value._db is not None or getattr(rule, "args", None) is None:
        return None
    if rule.name not in ("sub", "add") or not value._b:
        return None
    return value._a, float(value._b) if rule.name == "sub" else -float(value._b)


#: Steps, each with the gradient by which it may have been taken.
_Steps = Sequence[tuple[float, float | None]]


def _two_steps(value: Any) -> tuple[_Steps, float | None] | None:
    """The steps c1 and c2 of ``(w - c1) - c2``, and the gradient of the last pass before c2 was taken.

    Each derivative along the chain is 1: what has come to an earlier value beyond a later one had come before
    that was made.
    """
    last = _step(value)
    first = last and _step(last[0])
    if not last or not first:
        return None
    grads = [0.0 if each.grad is None else each.grad for each in (first[0], last[0], value)]
    steps = (first[1], grads[0] - grads[1]), (last[1], grads[1] - grads[2])
    return steps, getattr(last[0], "_upstream", None)


def _by_gradient(steps: _Steps) -> bool:
    """Whether they differ, and are the same multiple of the gradients: nothing but a descent does that."""
    if len({step for step, _ in steps}) < 2 or not all(gradient for _, gradient in steps):
        return False
    rates = [step / gradient for step, gradient in steps if gradient]
    return all(math.isclose(each, rates[0], rel_tol=1e-6) for each in rates)


def warn_of_steps(values: Sequence[Any]) -> None:
    """GrowingGraphWarning where ``values`` are parameters after two gradient steps that were recorded.

    A step is known by its number, for several elements at once, or for one element both times.
    """
    found = [each for each in map(_two_steps, values[:SEEN]) if each]
    if not found:
        return
    (both, _), *_ = found
    together = [steps[0] for steps, _ in found], [(steps[1][0], of_pass) for steps, of_pass in found]
    if not any(map(_by_gradient, (*together, both))):
        return
    name = next(filter(None, (_origin(value).name for value in values)), "w").partition("[")[0]
    _warn(
        f"{name} = {name} - rate * gradient is recorded like any other computation: {name} has become a "
        "computed value that remembers every step, and the graph grows with each. For an array write "
        f"{name} -= rate * microbp.grad_of({name}), for one Value {name}.data -= rate * {name}.grad"
    )


def steps_in(order: Sequence[Any]) -> list[Any]:
    """The value that the last leaf of a pass became by two steps, or nothing."""
    value, near = order[-1], order[:-_NEAR:-1]
    for _ in range(2):
        value = next((each for each in near if each._a is value and _step(each)), None)
        if value is None:
            return []
    return [value]


#: Stands in ``_db`` of a leaf that a step in place has been taken from; and the last such step, with what
#: multiple of the gradient it was.
_STEPPED, _last = 2.0, [0.0, 0.0]


def note_moved(leaf: Any, step: float) -> None:
    """``leaf -= step``, or +=, of a leaf that has a gradient: GrowingGraphWarning for a descent that is lost.

    It is, where a leaf stays from one step to the next, and two steps differ and are the same multiple of the
    gradients.
    """
    gradient = leaf.grad if isinstance(leaf.grad, float) else 0.0
    before, _last[:] = _last[:], (step, step / gradient if gradient else 0.0)
    descent = _last[1] and step != before[0] and math.isclose(_last[1], before[1], rel_tol=1e-9)
    if descent and leaf._db == _STEPPED:
        _warn(  # in the same words for each leaf, so that a line is told of once
            "p -= rate * p.grad makes another Value, and leaves the leaf as it is, in a net or wherever else "
            "it stands: change its number, p.data -= rate * p.grad"
        )
    leaf._db = leaf._db or _STEPPED


#: How many elements of an array are looked at.
SEEN = 8
#: How far from the end of a pass the steps are looked for, which come there last, one of each parameter.
_NEAR = 400


def _origin(value: Any) -> Any:
    """What a value became of, step by step."""
    while step := _step(value):
        value = step[0]
    return value


def note_computed(array: Any) -> None:
    """``array`` had leaves in it, which a computation in place has replaced; also what it is a view of."""
    while type(array) is not np.ndarray and array is not None:
        array.computed_in_place = True
        array = array.base


def warn_of_growing(array: Any, others: Sequence[Any]) -> None:
    """GrowingGraphWarning where ``array`` is updated by Values, not for the first time, after a pass."""
    first = next(iter(array.flat), None)
    if getattr(array, "computed_in_place", False) and getattr(first, "grad", None) is not None:
        if not any(hasattr(each, "_data") for other in others for each in np.ravel(other)[:SEEN]):
            return
        name = (_origin(first).name or "W").partition("[")[0]
        _warn(
            f"{name} -= … with Values on the right, such as a decay of {name} itself, is recorded like any "
            f"other computation, and the graph grows with each. Take numbers: {name} -= rate * "
            f"(microbp.grad_of({name}) + decay * microbp.data_of({name}))"
        )


def warn_of_left(where: str, parameters: Sequence[tuple[str, Any]]) -> None:
    """GrowingGraphWarning for an optimiser that holds a leaf which an update in place has replaced."""
    for name, value in parameters:
        if value.is_leaf and value._db == _REPLACED:
            _warn(
                f"{where} changes {name} = {value._data!r}, in whose place an update such as W -= … has put "
                "a new leaf since: the net does not follow. Make the optimiser anew after such an update, or "
                "leave the updates to it"
            )
            return


def warn_of_replaced(path: str, value: Any, kept: Container[int]) -> None:
    """GrowingGraphWarning where ``value``, held by a module, was computed from a parameter it has lost."""
    origin = value
    while origin._rule is not None and origin._rule.name in ("sub", "add") and hasattr(origin._a, "_data"):
        origin = origin._a
    if origin is not value and was_used(origin) and id(origin) not in kept:
        _warn(
            f"{path} is no parameter any more: it has been computed from {_told(origin)}, so that "
            f"parameters(), state() and save() leave it out. For one Value write {path}.data -= rate * "
            f"{path}.grad"
        )


def warn_of_lost(path: str, held: Any) -> None:
    """GrowingGraphWarning where the parameters that ``held`` had, an array of a module, became computed."""
    values = held.flat[:SEEN].tolist()
    if not values or not all(getattr(each, "_rule", None) for each in values):
        return
    if not getattr(held, "computed_in_place", False):
        steps = [(step, each) for each in values if (step := _step(each)) and step[0]._rule is None]
        if not _by_gradient([(by, (leaf.grad or 0.0) - (each.grad or 0.0)) for (leaf, by), each in steps]):
            return
    leaf = values[0]
    while leaf._rule is not None:
        leaf = next(each for each in leaf.operands if hasattr(each, "_data"))
    _warn(
        f"{path} is no parameter any more: it has been computed from {_told(leaf)}, so that parameters(), "
        "state() and save() leave it out. Scale numbers before they become Values, and update with "
        f"{path} -= rate * microbp.grad_of({path}) after a backward pass; "
        f"{path} = microbp.array(microbp.data_of({path})) makes leaves of what it is now"
    )


def _told(leaf: Any) -> str:
    """``the leaf W[0] = 2.0``."""
    return f"the leaf {leaf.name} = {leaf._data!r}" if leaf.name else f"a leaf of {leaf._data!r}"


def _warn(message: str) -> None:
    """GrowingGraphWarning at the user's line."""
    warnings.warn(message, GrowingGraphWarning, stacklevel=user_level())
