"""``Node``: what a Value is made of, its fields, the operators that record and the backward pass.

It is the class that is written here, or, where the extension is built, a type in C that does the same
(``native/value.c``). A node holds one or two operands in place, ``_a`` and ``_b``, beside their local
derivatives ``_da`` and ``_db``; more operands stand as tuples in ``_b`` and ``_db``. A literal operand has no
local derivative. A literal on the left changes places with the Value on the right, and the rule says so:
where ``_a`` is None there are many operands, or none. A frozen leaf has a mark in ``_b``, and one whose
number was changed the number before in ``_da``. This layout, rather than tuples throughout, keeps a recorded
binary operation to one object.

The backward pass, reverse mode over what a node remembers, knows no more of it than that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from microbp.compiled import operator, unary
from microbp.native import extension
from microbp.recording.groups import Group
from microbp.recording.updates import note_moved, steps_in, warn_of_steps
from microbp.text import shown

__all__ = [
    "FIELDS", "FROZEN", "Node", "Path", "PathName", "add_gradients", "are_leaves", "backward_order",
    "gradient_of", "is_name", "noted", "numbers_of", "passed_again", "refuse_others", "taking_gradients",
    "text_of", "upstream_gradients",
]  # fmt: skip

V = TypeVar("V")

#: The names of the fields.
FIELDS = ("_a", "_b", "_da", "_data", "_db", "_note", "_pending", "_rule", "_upstream", "grad")
#: Stands in ``_b`` of a leaf that takes no gradient.
FROZEN = False


#: Where a module holds a parameter: attributes, keys and indices, from the outside in.
Path = tuple[Any, ...]


class PathName(str):
    """A name that a module gave to its parameter: the text of its path, which stays data.

    >>> PathName(("w", 0)), PathName(("w", 0)).path
    ('w.0', ('w', 0))
    """

    __slots__ = ("path",)
    path: Path

    def __new__(cls, path: Path) -> PathName:  # noqa: PYI034, D102
        name = super().__new__(cls, text_of(path))
        name.path = path
        return name

    def __reduce__(self) -> tuple[Any, ...]:
        return PathName, (self.path,)


def text_of(path: Path) -> str:
    """A path as people read it: ``layers.0.neurons.1.b``."""
    return ".".join(map(str, path))


def is_name(note: Any) -> bool:
    """Whether there is nothing but a name in a note."""
    return len(note) == 2 if type(note) is tuple else isinstance(note, str)


def noted(note: Any) -> tuple[Any, ...]:
    """The name, the place and the group in a note, which holds what there is of them.

    Of a name that a module gave it holds the path of what has the parameter, and the place there.
    """
    if type(note) is tuple:
        return note[:3] if len(note) > 2 else (PathName((*note[0], note[1])), None, None)
    return (None, None, note) if type(note) is Group else (note, None, None)


_rule_of: Callable[[Any], Any] = attrgetter("_rule")


def are_leaves(values: Iterable[Any]) -> bool:
    """Whether none of several Values was computed."""
    return not any(map(_rule_of, values))


def taking_gradients(leaves: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Of several leaves, ``requires_grad``."""
    return _read(leaves, np.empty(len(leaves), bool), lambda leaf: leaf._b is None)


def numbers_of(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The numbers of several Values, which are not noted as taken out of a graph."""
    return _read(values, np.empty(len(values)), attrgetter("_data"))


def _read(values: Sequence[Any], into: V, of: Callable[[Any], Any]) -> V:
    if extension is None:
        into[:] = [*map(of, values)]  # type: ignore[index]
    else:
        extension.read(values, into)
    return into


# --------------------------------------------------------------------------------- the backward pass
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


def _order(root: Any, gradients: bool = False) -> list[Any]:
    """All that ``root`` was computed from, in the order of a backward pass: each node after its uses.

    Kahn's algorithm, breadth first, so that the order depends on the graph alone, never on addresses
    or hash seeds. With ``gradients`` those of a pass are in the ``_upstream`` of the nodes.
    """
    global _counted
    if extension is not None:
        order: list[Any] = extension.order(root, gradients)
        return order
    refuse_others([root])
    for node in _counted:
        node._pending = None
    # First count the uses of each node beyond one; None: not reached yet.
    reached = _counted = [root]
    for node in reached:
        for operand in _operands(node):
            if operand._pending is None:
                reached.append(operand)  # before it is marked: Ctrl-C may come between
                operand._pending = 0
            else:
                operand._pending += 1
    # A node is ready when the last of its uses has passed its gradient on. The last operand goes
    # first, so that the reverse of this order reads like the formula.
    ready = [root]
    for node in ready:
        for operand in reversed(_operands(node)):
            if operand._pending:
                operand._pending -= 1
            else:
                operand._pending = None
                ready.append(operand)
    _counted = []
    if gradients:
        _pass_on(ready, keep=False)
    return ready


def _operands(node: Any) -> Sequence[Any]:
    """Those that are no literals, in the order of the node's fields."""
    if node._a is not None:
        return (node._a,) if node._db is None else (node._a, node._b)
    if node._db is None or type(node._b) is not tuple:  # but a mark of a leaf
        return ()
    return [each for each, local in zip(node._b, node._db) if local is not None]  # noqa: B905 (hot loop)


def _pass_on(order: Sequence[Any], *, keep: bool) -> None:
    """The chain rule, node after node: ``_upstream`` is added to ``grad`` once it is complete."""
    for node in order:
        node._upstream = 0.0
        if keep and type(node.grad) is not float and node.grad is not None and node._b is not FROZEN:
            node.grad = gradient_of(node)  # before any of them has changed
    order[0]._upstream = 1.0
    for node in order:
        upstream = node._upstream
        if keep and node._b is FROZEN:
            node.grad = None
        elif keep:
            node.grad = upstream if node.grad is None else node.grad + upstream
        if node._a is not None:
            if node._db is not None:
                node._b._upstream += upstream * node._db
            node._a._upstream += upstream * node._da
        elif node._db is not None and type(node._b) is tuple:
            for operand, local in zip(reversed(node._b), reversed(node._db)):  # noqa: B905 (hot loop)
                if local is not None:
                    operand._upstream += upstream * local


def gradient_of(value: Any) -> float:
    """What is held in ``value.grad``, a plain attribute in which anybody may put anything, as a float.

    Raises TypeError where it is no real number.
    """
    grad: Any = value.grad
    if type(grad) is float or (isinstance(grad, Real) and not isinstance(grad, bool)):
        return float(grad)
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
        return {id(v): v._upstream for v in _order(root, gradients=True) if v._b is not FROZEN}


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
        order = _order(root)
        _pass_on(order, keep=True)
    last = order[-1]
    if root.grad == 1.0 and last.grad is not None and last.grad != last._upstream:
        passed_again(order)


def passed_again(order: list[Any]) -> None:
    """A new graph has passed gradients to a leaf that was in a pass before: a warning where it has grown."""
    warn_of_steps(steps_in(order))


# ---------------------------------------------------------------------------------------- the node
if not TYPE_CHECKING and extension is not None:
    Node = extension.Node
else:

    class Node:
        """The definition."""

        __slots__ = FIELDS

        #: What has been computed: the sum of this value's gradients, or None.
        grad: float | None
        _data: float
        #: A Rule, a Swapped one, or None for a leaf.
        _rule: Any
        _a: Any
        _b: Any
        _da: Any
        _db: Any
        #: The name, or (path, place) for one that a module gave, or the group, or (name, place, group), or
        #: these and a tuple of the comparisons it took part in; None where there is none of them.
        _note: Any
        #: The gradient of the running pass, or of the last one.
        _upstream: Any
        #: While a pass runs, how many uses of this node beyond one have still to pay in.
        _pending: Any

        # fmt: off
        __add__,     __radd__     = operator("add")
        __sub__,     __rsub__     = operator("sub")
        __mul__,     __rmul__     = operator("mul")
        __truediv__, __rtruediv__ = operator("div")
        __pow__,     __rpow__     = operator("pow")

        __neg__ = unary("neg");     __abs__ = unary("abs")
        exp = unary("exp");         expm1 = unary("expm1")
        log = unary("log");         log1p = unary("log1p");    sqrt = unary("sqrt")
        sin = unary("sin");         cos = unary("cos");        tan = unary("tan")
        asin = unary("asin");       acos = unary("acos");      atan = unary("atan")
        sinh = unary("sinh");       cosh = unary("cosh");      tanh = unary("tanh")
        sigmoid = unary("sigmoid"); relu = unary("relu");      erf = unary("erf");    erfc = unary("erfc")
        softplus = unary("softplus"); silu = unary("silu");    gelu = unary("gelu")
        # fmt: on

        def __iadd__(self, other: Any) -> Any:
            if self._rule is None and self.grad is not None and isinstance(other, float):
                note_moved(self, other)
            return NotImplemented

        __isub__ = __iadd__

        def _pass(self) -> bool:
            """A backward pass; False where there is nothing to differentiate."""
            if self._rule is None and self._b is FROZEN:
                return False
            add_gradients(self)
            return True
