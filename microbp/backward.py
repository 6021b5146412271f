"""The backward pass: reverse mode over what a value remembers.

It knows of a node no more than its operands, ``_a`` and ``_b``, and the local derivatives beside them,
``_da`` and ``_db``, in the layout that :mod:`microbp.value` explains.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Iterable
from numbers import Real
from typing import Any, NamedTuple, TypeVar

import numpy as np

from microbp.native import extension
from microbp.safe import shown
from microbp.updates import steps_in, warn_of_steps

__all__ = [
    "FROZEN", "Reached", "add_gradients", "backward_order", "gradient_of", "passed_again", "reached_from",
    "refuse_others", "upstream_gradients",
]  # fmt: skip

V = TypeVar("V")

#: Stands in ``_b`` of a leaf that takes no gradient.
FROZEN = False

#: One pass at a time: passes of two threads may share parameters.
_one_pass = threading.RLock()
# In a new process nobody's pass is running; what one has left behind, the next one clears away.
os.register_at_fork(after_in_child=lambda: globals().update(_one_pass=threading.RLock()))
#: The nodes that a running pass has counted; at the start of one, what an interrupted one left.
_counted: list[Any] = []


def refuse_others(roots: list[Any]) -> None:
    """TypeError for what is no Value, before it stands among the nodes that are to be cleared."""
    for each in roots:
        if not hasattr(each, "_rule"):
            kind = type(each).__name__
            raise TypeError(f"a graph is what a Value was computed from, not an object of type {kind}")


def _sweep(root: Any, keep: bool) -> list[Any]:
    """Reverse mode: the chain rule over all that ``root`` was computed from, each node after its uses.

    Kahn's algorithm, breadth first, so that the order depends on the graph alone, never on addresses
    or hash seeds. Returns the nodes in that order, the gradient of this pass in their ``_upstream``;
    where ``keep`` is true it is added to ``grad`` once it is complete.
    """
    global _counted
    refuse_others([root])
    for node in _counted:
        node._pending = None
    # First count the uses of each node beyond one; None: not reached yet.
    reached = _counted = [root]
    for node in reached:
        operand = node._a
        if operand is not None:
            if operand._pending is None:
                reached.append(operand)
                operand._pending = 0
                operand._upstream = 0.0
            else:
                operand._pending += 1
            if node._db is not None:
                operand = node._b
                if operand._pending is None:
                    reached.append(operand)
                    operand._pending = 0
                    operand._upstream = 0.0
                else:
                    operand._pending += 1
        elif node._db is not None:
            for operand, local in zip(node._b, node._db):  # noqa: B905 (hot loop)
                if local is not None:
                    if operand._pending is None:
                        reached.append(operand)
                        operand._pending = 0
                        operand._upstream = 0.0
                    else:
                        operand._pending += 1
    # A node is ready when the last of its uses has passed its gradient on. The last operand goes
    # first, so that the reverse of this order reads like the formula.
    root._upstream = 1.0
    ready = [root]
    for node in ready:
        upstream = node._upstream
        if keep:
            grad = node.grad
            if grad is None:
                node.grad = upstream
            else:
                node.grad = (grad if type(grad) is float else gradient_of(node)) + upstream
        operand = node._a
        if operand is not None:
            if node._db is not None:
                second = node._b
                second._upstream += upstream * node._db
                if second._pending:
                    second._pending -= 1
                else:
                    second._pending = None
                    ready.append(second)
            operand._upstream += upstream * node._da
            if operand._pending:
                operand._pending -= 1
            else:
                operand._pending = None
                ready.append(operand)
        elif node._db is not None:
            for operand, local in zip(reversed(node._b), reversed(node._db)):  # noqa: B905
                if local is not None:
                    operand._upstream += upstream * local
                    if operand._pending:
                        operand._pending -= 1
                    else:
                        operand._pending = None
                        ready.append(operand)
        elif node._b is FROZEN:
            node.grad = None
    _counted = []
    return ready


def _order(root: Any) -> list[Any]:
    """The order of a backward pass, and the gradients of one in the values."""
    return _sweep(root, False) if extension is None else extension.order(root)


def gradient_of(value: Any) -> float:
    """What is held in ``value.grad``, a plain attribute in which anybody may put anything, as a float.

    Raises TypeError where it is no real number.
    """
    if isinstance(value.grad, Real) and not isinstance(value.grad, bool):
        return float(value.grad)
    name = "a value" if value.name is None else shown(value.name)
    raise TypeError(
        f"the grad of {name} is {shown(repr(value.grad))}, which is no real number; "
        "set it to a float, or to None"
    )


def upstream_gradients(root: Any) -> dict[int, float]:
    """∂root/∂v by ``id(v)``, for all values v that take a gradient; no ``grad`` is touched.

    >>> from microbp import Value
    >>> x = Value(3.0)
    >>> upstream_gradients(x * x)[id(x)], x.grad
    (6.0, None)
    """
    with _one_pass:
        return {id(v): v._upstream for v in _order(root) if v.requires_grad}


def backward_order(root: V) -> list[V]:
    """``root`` and all that it was computed from, in the order in which a backward pass visits them.

    Each comes after everything that it was used in. Reversed, it is a topological order of the
    forward computation.

    >>> from microbp import Value
    >>> x = Value(2.0)
    >>> [v.data for v in backward_order(x * x + 1.0)]
    [5.0, 4.0, 2.0]
    """
    with _one_pass:
        return _order(root)


def add_gradients(root: Any) -> None:
    """Add ∂root/∂v to ``v.grad`` for all values v that root was computed from, and for root."""
    with _one_pass:
        order = _sweep(root, True)
    last = order[-1]
    if root.grad == 1.0 and last.grad is not None and last.grad != last._upstream:
        passed_again(order)


def passed_again(order: list[Any]) -> None:
    """A new graph has passed gradients to a leaf that was in a pass before: a warning where it has grown."""
    warn_of_steps(steps_in(order))


class Reached(NamedTuple):
    """What some values were computed from, breadth first from them; of each value the last operand first."""

    values: list[Any]
    #: For each operand its index in ``values``, or -1 for a literal.
    args: Any
    #: The local derivatives in those operands that are no literals.
    local: Any
    consts: Any
    #: The number of operands, of those values that keep them as a tuple.
    widths: Any


def reached_from(roots: Iterable[Any]) -> Reached:
    """All that ``roots`` were computed from, in one pass; :class:`microbp.Graph` makes its columns of it.

    A literal on the left counts as the second operand, as it stands in the value.
    """
    global _counted
    roots = [*roots]
    refuse_others(roots)
    if extension is not None:
        values, *columns = extension.reached(roots)
        kinds = np.int64, np.float64, np.float64, np.int64
        return Reached(values, *map(np.frombuffer, columns, kinds))
    with _one_pass:
        for node in _counted:
            node._pending = None
        reached = _counted = [*dict.fromkeys(roots)]
        for count, node in enumerate(reached):  # here the index of a value that is reached
            node._pending = count
        count = len(reached)
        args, local, consts, widths = array("q"), array("d"), array("d"), array("q")
        reach, arg, derivative, const = reached.append, args.append, local.append, consts.append
        for node in reached:
            operand = node._a
            if operand is not None:
                second, d = node._b, node._db
                if d is not None:
                    place = second._pending
                    if place is None:
                        reach(second)  # before it is marked: Ctrl-C may come between
                        place = second._pending = count
                        count += 1
                    arg(place)
                    derivative(d)
                elif second is not None:
                    arg(-1)
                    const(second)
                place = operand._pending
                if place is None:
                    reach(operand)  # before it is marked: Ctrl-C may come between
                    place = operand._pending = count
                    count += 1
                arg(place)
                derivative(node._da)
            elif node._db is not None:
                widths.append(len(node._b))
                for operand, d in zip(reversed(node._b), reversed(node._db)):  # noqa: B905 (hot loop)
                    if d is None:
                        arg(-1)
                        const(operand)
                    else:
                        place = operand._pending
                        if place is None:
                            reach(operand)  # before it is marked: Ctrl-C may come between
                            place = operand._pending = count
                            count += 1
                        arg(place)
                        derivative(d)
        for node in reached:
            node._pending = None
        _counted = []
        return Reached(reached, args, local, consts, widths)
