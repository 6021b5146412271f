"""The names and habits of micrograd and its lecture, which a ``Value`` shares; none costs a slot.

What cannot be shared is refused with what to use instead: operands and derivatives that are given by
hand. docs/from-micrograd.md has both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from microbp.errors import NoGradientError

__all__ = ["Lecture", "leaf_name"]

#: micrograd's signs of operations; the others go by their names in the table.
_SIGNS = {"add": "+", "sub": "-", "neg": "-", "mul": "*", "div": "/", "pow": "**", "relu": "ReLU"}

_INSTEAD = (
    "apply the operation (a * b, a.tanh()); one of your own is stated by its value and its derivative, "
    "as in microbp.define('cube', 'a', y='a * a * a', d='3.0 * a * a')"
)


class _ReadOnly(property):
    """What micrograd's code reads, and would set for an operation of its own."""

    def __set__(self, value: Any, new: Any) -> NoReturn:
        assert self.fget is not None
        raise AttributeError(
            f"{self.fget.__name__} of {value!r} cannot be set: it follows from the operation that made "
            f"the Value; {_INSTEAD}"
        )


class Lecture:
    """Of a ``Value``: its label, its number where a text or a float is wanted, and what it came from.

    >>> from microbp import Value
    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> d = a * b
    >>> d.label = "d"
    >>> d._prev == {a, b}, d._op, f"{d.label} = {d:.2f}", d.item()
    (True, '*', 'd = -6.00', -6.0)
    """

    __slots__ = ()

    grad: float | None

    @property
    def label(self: Any) -> str:
        """Another word for ``name``, but "" where there is none."""
        return self.name or ""

    @label.setter
    def label(self: Any, label: str) -> None:
        self.name = None if label == "" else label

    @_ReadOnly
    def _prev(self: Any) -> set[Any]:
        """The Values it was computed from; ``operands`` has them in order, with repeats and literals."""
        return {each for each in self.operands if not isinstance(each, float)}

    @_ReadOnly
    def _op(self: Any) -> str:
        """The sign of the operation, with an exponent that is a literal, or its name; "" for a leaf.

        >>> from microbp import Value
        >>> x = Value(2.0)
        >>> [v._op for v in (x, x + 1, 1 - x, x**2, x**x, x.relu(), x.exp())]
        ['', '+', '-', '**2', '**', 'ReLU', 'exp']
        """
        if self.rule is None:
            return ""
        sign = _SIGNS.get(self.rule.name, self.rule.name)
        literal = sign == "**" and isinstance(self.operands[1], float)
        return f"**{self._b}" if literal else sign  # _b has the exponent as it was written

    @_ReadOnly
    def _backward(self: Any) -> Callable[[], None]:
        """The chain rule at this one operation: called, it adds to the ``grad`` of its operands.

        >>> from microbp import Value
        >>> x = Value(3.0)
        >>> y = x * x
        >>> y.grad = 10.0
        >>> y._backward()
        >>> x.grad
        60.0

        Called before there is a ``grad``, it raises NoGradientError.
        """

        def pass_on() -> None:
            if self.rule is not None and self.grad is None:
                raise NoGradientError(
                    f"{self!r} has no gradient to pass on: set the grad of the root to 1.0, and call "
                    "_backward() of a value before that of its operands; backward() does all of it"
                )
            for operand, local in zip(self.operands, self.local_derivatives, strict=True):
                if local is not None and operand.requires_grad:
                    operand.grad = (operand.grad or 0.0) + local * self.grad

        return pass_on

    def item(self: Any) -> float:
        """``data``, as NumPy and PyTorch call it."""
        number: float = self.data
        return number

    def zero_grad(self: Any) -> None:
        """Forget the gradient: ``grad`` is None again."""
        self.grad = None

    def __format__(self: Any, spec: str) -> str:
        return format(self.data, spec) if spec else str(self)


#: What micrograd gives a leaf where a computed value has its operands, and their operation.
_EMPTY = (str, tuple, list, set, frozenset)


def leaf_name(name: Any, label: Any = None, op: Any = None, children: Any = None) -> Any:
    """The name that the arguments of ``Value(...)`` give a leaf, also those of micrograd's.

    There the second argument holds the operands and the third their operation: of a leaf (), and "".

    >>> leaf_name((), "a", "")
    'a'

    Raises TypeError where they are those of a computed value, or give two names.
    """
    if isinstance(name, tuple | list | set):
        name, children = None, name or children
    if any(each is not None and not (isinstance(each, _EMPTY) and not each) for each in (children, op)):
        raise TypeError(f"Value(data, children, op) cannot be recorded by hand: {_INSTEAD}")
    label = None if isinstance(label, str) and not label else label
    if name is not None and label is not None:
        raise TypeError(f"Value() takes a name or a label, which are one thing, not {name!r} and {label!r}")
    return label if name is None else name
