"""``Value``: a number that remembers how it was computed.

Recording: an operator writes its row's value and local derivatives straight into a new node, so that
local derivatives are fixed when the operation happens. What it is made of stands in
:mod:`microbp.node`; here is what a person sees of it.
"""

from __future__ import annotations

import copyreg
import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dis import opname
from inspect import signature
from numbers import Real
from operator import attrgetter
from types import FrameType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from microbp.calls import site_of, told, user_site
from microbp.compiled import CODES
from microbp.errors import BranchError, NoGradientError, UndefinedOperation
from microbp.lecture import Lecture, leaf_name
from microbp.native import extension
from microbp.node import FIELDS, FROZEN, Node, backward_order, is_name, noted
from microbp.recording.comparisons import HASHED, SIGNS, noticing, remember, stepped, taken, watching
from microbp.recording.groups import Group
from microbp.rules import Rule
from microbp.text import shown

__all__ = [
    "TRACED_AS", "Swapped", "Value", "as_number", "constant", "describe", "names_noted", "set_names",
    "set_numbers",
]  # fmt: skip


def _comparison(sign: str) -> Callable[[Any, Any], bool]:
    holds = SIGNS[sign]

    def compared(self: Value, other: Any) -> Any:
        number = other if type(other) is float else _plain(other, f"Value {sign} …")
        if number is NotImplemented:
            return number
        data = self._data
        if number != number or data != data:  # noqa: PLR0124
            _nan_in(self, sign, other, number, sys._getframe(1))
            return remember(self, sign, other, number, False)
        return remember(self, sign, other, number, holds(data, number))

    return compared


class Value(Lecture, Node):
    """A scalar that records the operations it takes part in.

    ``data`` is its number, a float. ``grad`` is ∂(the root of the last backward pass)/∂(this value)
    summed over all passes so far, or None where none has been computed. ``name`` is for people, and
    ``label`` another word for it; the other arguments are those of a leaf in micrograd.

    >>> w, x = Value(0.4, name="w"), Value(3.0, name="x")
    >>> y = (w * x).tanh()
    >>> y.backward()
    >>> w.grad == x.data * (1 - y.data**2)
    True
    >>> y
    Value(data=0.8336546070121553, grad=1.0)

    The edge cases: ``bool(value)`` raises BranchError, since a branch on it would not be part of the
    graph, while ``<  <=  >  >=`` compare numbers and give a plain bool; ``==`` is identity. ``+x`` is x
    itself; ``round``, ``math.floor``, ``math.ceil``, ``math.trunc`` and ``x // 2`` give plain numbers, whose
    derivative is 0 wherever there is one, and ``x % 2`` is recorded with derivative 1.

    Raises TypeError for anything but a real number.
    """

    __slots__ = ()

    #: What NumPy does with a Value; see microbp/array.
    __array_ufunc__: Callable[..., Any]
    __array_function__: Callable[..., Any]

    def __init__(
        self,
        data: float,
        name: str | None = None,
        _op: str | None = None,
        label: str | None = None,
        _children: Collection[Value] | None = None,
    ) -> None:
        self._data = data if type(data) is float else as_number(data, "Value()")
        self.grad = self._rule = self._a = self._b = self._da = self._db = self._note = self._pending = None
        if label is not None or _op is not None or _children is not None:
            name = leaf_name(name, label, _op, _children)
        if name is not None:
            self.name = name if type(name) is str else leaf_name(name)

    # ---------------------------------------------------------------------------------- what it is
    @property
    def data(self) -> float:
        """The number. Assigning a new one leaves gradients of graphs recorded before untouched."""
        return self._data

    @data.setter
    def data(self, data: float) -> None:
        number = data if type(data) is float else as_number(data, "Value.data")
        if self._rule is None and number != self._data:
            self._da = self._data  # what graphs recorded before have read; the debugger shows that
        self._data = number

    @property
    def name(self) -> str | None:
        """The name that the user gave, or None."""
        note = getattr(self, "_note", None)
        name: str | None = note if note is None or isinstance(note, str) else noted(note)[0]
        return name

    @name.setter
    def name(self, name: str | None) -> None:
        if name is not None and type(name) is not str:
            if not isinstance(name, str):
                raise TypeError(f"a name is a str, not {shown(repr(name))}")
            if not type(name).__module__.startswith("microbp."):
                name = str.__str__(name)  # whatever the user's own kind of str does
        note = getattr(self, "_note", None)
        if type(note) is tuple and len(note) > 2:
            self._note = (name, *note[1:])
        else:
            self._note = (name, None, note) if type(note) is Group else name

    @property
    def rule(self) -> Rule | None:
        """The row of the table by which it was computed; None for a leaf."""
        rule = self._rule
        return rule.rule if type(rule) is Swapped else rule

    @property
    def operands(self) -> tuple[Value | float, ...]:
        """What it was computed from, in order and with repeats; literals are floats."""
        operands = self._in_order(self._a, self._b)
        return tuple(each if isinstance(each, Value) else float(each) for each in operands)

    @property
    def local_derivatives(self) -> tuple[float | None, ...]:
        """∂self/∂operand for each operand, as recorded; None for a literal.

        >>> x = Value(3.0)
        >>> (2 * x).operands[0], (2 * x).local_derivatives
        (2.0, (None, 2.0))
        """
        local = self._in_order(self._da, self._db)
        return tuple(None if each is None else float(each) for each in local)

    def _in_order(self, first: Any, second: Any) -> tuple[Any, ...]:
        if self._a is None:
            return () if self._rule is None else tuple(second)
        if type(self._rule) is Swapped:
            return second, first
        return (first, second) if len(self._rule.args) == 2 else (first,)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by ``Value(...)`` rather than computed."""
        return self._rule is None

    @property
    def requires_grad(self) -> bool:
        """Whether a backward pass keeps a gradient here. Set it to False to freeze a parameter.

        Only a leaf can be frozen; a computed value raises NoGradientError (``detach()`` it instead).
        """
        return self._rule is not None or self._b is None

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if self._rule is not None:
            raise NoGradientError(
                f"requires_grad is for leaves; {describe(self)} was computed. "
                "detach() gives a constant with the same number"
            )
        self._b = None if flag else FROZEN
        if not flag:
            self.grad = None

    @property
    def site(self) -> str | None:
        """``file:line`` where it was recorded, if :func:`record_sites` was on; else None."""
        place = noted(getattr(self, "_note", None))[1]
        return None if place is None else site_of(place)

    @property
    def _group(self) -> Group | None:
        group: Group | None = noted(getattr(self, "_note", None))[2]
        return group

    def detach(self) -> Value:
        """A new constant with the same number and name, outside the graph."""
        return constant(self._data, self.name)

    def __repr__(self) -> str:
        name = "" if self.name is None else f", name={shown(repr(self.name))}"
        return f"Value(data={self._data!r}, grad={self.grad!r}{name})"

    def __bool__(self) -> bool:
        raise BranchError(
            f"the truth of {describe(self)} is not defined: a branch on a Value is not part of the "
            "graph. Compare numbers (v.data > 0), or keep the branch in the graph with relu, "
            "maximum, clip or select(c, a, b)"
        )

    def __float__(self) -> float:
        raise TypeError(
            f"float() of {describe(self)} would leave the graph without a trace: take v.data for the "
            "number, or microbp's own function (microbp.exp, v.exp()) to stay in the graph"
        )

    def __int__(self) -> int:
        raise TypeError(f"int() of {describe(self)} is not clear: take math.trunc(v), or int(v.data)")

    __lt__, __le__, __gt__, __ge__ = map(_comparison, ("<", "<=", ">", ">="))

    # What has steps is a plain number: its derivative is 0 wherever it has one. On which step it stands is
    # remembered as comparisons are. A remainder is recorded; how often the divisor fits in is remembered.
    def __pos__(self) -> Value:
        return self

    def __floor__(self) -> int:
        y = math.floor(self._data)
        stepped(self, ("<", y), ("<", y + 1))
        return y

    def __ceil__(self) -> int:
        y = math.ceil(self._data)
        stepped(self, ("<=", y), ("<=", y - 1))
        return y

    def __trunc__(self) -> int:
        if abs(self._data) >= 1.0:
            return math.floor(self) if self._data > 0.0 else math.ceil(self)
        stepped(self, ("<=", -1), ("<", 1))
        return math.trunc(self._data)

    @told
    def __round__(self, digits: int | None = None) -> float:
        y, half = round(self._data, digits), 0.5 * 10.0 ** -(digits or 0)
        stepped(self, ("<", y - half), ("<=", y + half))
        return y

    def __floordiv__(self, other: Any) -> Any:
        by = _divisor(self, other, "//")
        if by is NotImplemented:
            return by
        y = self._data // by
        stepped(self, ("<", by * y), ("<", by * (y + 1.0)))
        return y

    def __mod__(self, other: Any) -> Any:
        by = _divisor(self, other, "%")
        if by is NotImplemented:
            return by
        if self // by == 0.0:
            return self
        return self - (self._data - self._data % by)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rfloordiv__(self, other: Any) -> Any:
        return _divisor(other, self, "//")

    def __rmod__(self, other: Any) -> Any:
        return _divisor(other, self, "%")

    def __rdivmod__(self, other: Any) -> Any:
        return _divisor(other, self, "//")

    # ------------------------------------------------------------------------------- backward pass
    def backward(self) -> None:
        """Add ∂self/∂v to ``v.grad`` for every value v that self was computed from, and for self.

        The gradients of one pass live apart from ``grad`` until they are complete, so that two
        passes add up exactly:

        >>> x = Value(3.0)
        >>> y = x * x * x
        >>> y.backward()
        >>> y.backward()
        >>> x.grad
        54.0

        Raises NoGradientError on a constant.
        """
        taken(self)
        if not self._pass():
            raise NoGradientError(
                f"{describe(self)} is a constant: it was recorded under no_grad(), detached or "
                "frozen, and nothing it depends on takes a gradient"
            )

    # -------------------------------------------------------------------------- copies and pickles
    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        """A copy of the whole graph behind it, without recursion; shared nodes stay shared."""
        for node in reversed(backward_order(self)):
            if id(node) not in memo:
                twin = memo[id(node)] = node.__copy__()
                if type(node._b) is tuple:
                    twin._b = tuple(memo.get(id(each), each) for each in node._b)
                else:
                    twin._a = memo.get(id(node._a), node._a)
                    twin._b = memo.get(id(node._b), node._b)
        twin = memo[id(self)]
        assert isinstance(twin, Value)
        return twin

    def __copy__(self) -> Value:
        twin: Value = object.__new__(type(self))
        if type(self) is not Value:  # but a subclass, which may have a state of its own
            twin.__setstate__(self.__getstate__())
            return twin
        for slot in FIELDS:
            setattr(twin, slot, getattr(self, slot, None))
        if type(twin._note) is tuple:  # comparisons were made of this one
            twin._note = twin._note[:3]
        twin._pending = twin._upstream = None
        return twin

    def __getstate__(self) -> dict[str, Any]:
        slots = {*FIELDS, *copyreg._slotnames(type(self))}  # type: ignore[attr-defined]
        state = {slot: getattr(self, slot) for slot in sorted(slots) if hasattr(self, slot)}
        state |= getattr(self, "__dict__", {})  # of a subclass
        note = state.get("_note")
        if type(note) is tuple and len(note) > 2:  # the code objects in it cannot be pickled
            state["_note"] = self.name, self.site, self._group
        return state | {"_pending": None, "_upstream": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for slot, each in state.items():
            setattr(self, slot, each)

    def __reduce__(self) -> tuple[Any, ...]:
        """In a pickle a value comes after all that it was computed from, so that nothing recurses."""
        before = () if self.is_leaf or _inside_pickle.get() else (_Before(self),)
        return _blank, (type(self), *before), self.__getstate__()


class Swapped(NamedTuple):
    """The rule of a node whose literal stands on the left: ``2 * x``, ``1 / x``."""

    rule: Rule


# ------------------------------------------------------------------------------- what helps it
_note_of: Callable[[Value], Any] = attrgetter("_note")


def set_numbers(leaves: Sequence[Value], numbers: Any, gradients: Any = None) -> None:
    """Assign to ``data`` of several leaves, and to ``grad`` of those that take one; of arrays of floats."""
    arrays = [np.ascontiguousarray(each, float) for each in (numbers, gradients) if each is not None]
    if extension is not None and extension.write(leaves, *arrays):
        return
    for value, number, *derivative in zip(leaves, *(each.tolist() for each in arrays), strict=True):
        value.data = number
        for each in derivative:
            value.grad = each if value._b is None else None


def names_noted(values: Sequence[Value]) -> list[Any]:
    """The ``name`` of several Values, or (path, place) for one that is not in words yet."""
    pairs = zip(values, map(_note_of, values), strict=True)
    return [note if type(note) is tuple and len(note) == 2 else each.name for each, note in pairs]


def set_names(values: Sequence[Value], names: Iterable[Any]) -> None:
    """Assign to ``name`` of several Values names of a kind of our own, each as (path, place) or in words."""
    for value, note, name in zip(values, map(_note_of, values), names, strict=True):
        if type(value) is Value and (note is None or is_name(note)):
            value._note = name
        else:  # what a subclass makes of it is its own
            value.name = noted(name)[0]


def as_number(x: Any, where: str) -> float:
    """A real number as a float; TypeError, with what to do instead, for anything else.

    >>> as_number("3", "Value()")
    Traceback (most recent call last):
        ...
    TypeError: Value() takes a real number, not the str '3'; convert it first: float(...)
    """
    if isinstance(x, Real) and not isinstance(x, bool):
        try:
            return float(x)
        except OverflowError:
            raise OverflowError(f"{where} takes a float; this number is beyond 1.8e308") from None
    kind = type(x).__name__
    if isinstance(x, Value):
        cure = "it is a Value already; use it as it is, or take its number with .data"
    elif kind in ("bool", "bool_"):
        cure = "a truth value freezes a branch; use select(c, a, b), or float(...) for a number"
    elif isinstance(x, str | bytes):
        cure = "convert it first: float(...)"
    elif kind.startswith("complex"):
        cure = "microbp is real; record the real and the imaginary part as two Values"
    elif kind == "Array":
        cure = "whole arrays are for NumPy's functions (np.sum, np.exp), and a.ravel() has the elements"
    elif hasattr(type(x), "__iter__"):
        whole = "x" if isinstance(x, list | tuple) or hasattr(x, "__array__") else "[*x]"
        cure = f"microbp.array({whole}) makes an array of Values, one for each number"
    else:
        cure = "give an int, a float or a NumPy real scalar"
    plain = kind in ("str", "bool", "complex")
    what = f"the {kind} {shown(repr(x))}" if plain else f"an object of type {kind}"
    raise TypeError(f"{where} takes a real number, not {'None' if x is None else what}; {cure}")


def _plain(other: Any, where: str) -> Any:
    """The number of an operand; NotImplemented for an array, which knows what to do with a Value."""
    if isinstance(other, Value):
        return other._data
    return NotImplemented if hasattr(other, "__array_function__") else as_number(other, where)


def _divisor(x: Any, y: Any, sign: str) -> Any:
    number = _plain(y if isinstance(x, Value) else x, f"Value {sign} …")
    if number is NotImplemented:
        return number
    if isinstance(y, Value):
        raise TypeError(
            f"{describe(x)} {sign} {describe(y)}: the divisor is a plain number. Write x - y * k for the "
            "remainder, with the plain number k = x.data // y.data, which has no derivative"
        )
    if not number:
        site = user_site()
        message = f"{describe(x)} {sign} {y!r}: there is no division by 0 [{site}]"
        raise UndefinedOperation(message, sign, (x._data, number), site)
    return number


def _nan_in(left: Value, sign: str, right: Any, number: float, frame: FrameType) -> None:
    """Refuse to compare a nan for code that is not Python's own ``<``: it would take it for a number."""
    if opname[frame.f_code.co_code[frame.f_lasti]] != "COMPARE_OP":
        site = user_site()
        raise UndefinedOperation(
            f"{describe(left)} {sign} {describe(right)}: one is nan, and what compares them (max(), "
            "sorted(), a function of NumPy on a plain object array) would go on as if it were not there. "
            f"With microbp.array(a) in the place of a, NumPy's functions propagate it [{site}]",
            sign,
            (left._data, number),
            site,
        )


def constant(data: float, name: str | None = None) -> Value:
    """A leaf that takes no gradient."""
    leaf = Value(data, name)
    leaf._b = FROZEN
    return leaf


def describe(value: Any) -> str:
    """How a message speaks of an operand: ``w1 = 0.15``, ``Value(0.15)``, ``2.0``."""
    if not isinstance(value, Value):
        return repr(value)
    return f"Value({value._data!r})" if value.name is None else f"{shown(value.name)} = {value._data!r}"


# ------------------------------------------------------------------- numbers that leave the graph
def _read(value: Value) -> float:
    """``data`` while a function is traced: to read it is to take a number out of the graph."""
    if not _ours(2):
        taken(value)
    return value._data


def _detached(value: Value) -> Value:
    """``detach()`` while a function is traced."""
    taken(value)
    return constant(value._data, value.name)


def _equals(value: Value, other: object) -> Any:
    """``==`` while a function is traced: by identity, where the same code compares numbers by number."""
    if value is other:
        return True
    number = other._data if isinstance(other, Value) else other
    if isinstance(number, Real) and watching() is not None and not _ours(2):
        remember(value, "==", other, float(number), False)
    return NotImplemented


def _hashed(value: Value) -> int:
    """``hash()`` while a function is traced: by identity, where a set and a dict find numbers by number."""
    if not _ours(2):
        taken(value, sign=HASHED)
    return object.__hash__(value)


def _ours(depth: int) -> bool:
    """Whether the library itself asks."""
    return str(sys._getframe(depth).f_globals.get("__name__")).startswith("microbp.")


#: What a Value has two forms of, for all threads at once, and which stand there while nothing is traced.
TRACED_AS = ("data", "detach", "__eq__", "__hash__")
_PLAIN = Value.data, Value.detach, object.__eq__, object.__hash__
_NOTICING = property(_read, Value.data.fset, doc=Value.data.__doc__), _detached, _equals, _hashed  # type: ignore[attr-defined]


def _notice(on: bool) -> None:
    """While functions are traced, Values note what is read of them."""
    for word, each in zip(TRACED_AS, _NOTICING if on else _PLAIN, strict=True):
        setattr(Value, word, each)


noticing.append(_notice)

if extension is not None:  # Value(1.0) and Value(1.0, "w") begin in C, which comes back for the rest
    Value.__signature__ = signature(Value)  # type: ignore[attr-defined]
    Value._begin = Value.__init__  # type: ignore[attr-defined]
    del Value.__init__

for _word, _method in vars(Node).items():
    # Python's own TypeError speaks of a method by the name that it is called by.
    if type(_method) is FunctionType and _method in CODES:
        _method.__name__, _method.__qualname__ = _word, f"Value.{_word}"


# --------------------------------------------------------------------------------------- pickling
_inside_pickle: ContextVar[bool] = ContextVar("inside_pickle", default=False)


class _Before:
    """All that a value was computed from, operands first; in a pickle, a list of Values."""

    def __init__(self, root: Value) -> None:
        self.root = root

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (), None, self._nodes()

    def _nodes(self) -> Iterator[Value]:
        token = _inside_pickle.set(True)
        try:
            yield from reversed(backward_order(self.root)[1:])
        finally:
            _inside_pickle.reset(token)


def _blank(cls: type[Value], *_before: object) -> Value:
    return object.__new__(cls)
