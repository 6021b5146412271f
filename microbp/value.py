"""``Value``: a number that remembers how it was computed, and the backward pass over what it remembers.

Recording: an operator writes its row's value and local derivatives straight into a new node, so that
local derivatives are fixed when the operation happens (:mod:`microbp.compiled` generates the code).

A node holds one or two operands in place, ``_a`` and ``_b``, beside their local derivatives ``_da``
and ``_db``; more operands stand as tuples in ``_b`` and ``_db``. A literal operand has no local
derivative. A literal on the left changes places with the Value on the right, and the rule says so:
where ``_a`` is None there are many operands, or none. A frozen leaf has a mark in ``_b``. This layout,
rather than tuples throughout, keeps a recorded binary operation to one object that Python's
collector has to know.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from numbers import Real
from types import FunctionType
from typing import Any, NamedTuple

from microbp import collector
from microbp.compiled import SCOPE, WITH_SITE, WITHOUT_SITE, compiled, operator, unary
from microbp.errors import BranchError, NoGradientError, UndefinedOperation
from microbp.rules import Rule
from microbp.sites import Place, site_of, user_place, user_site

__all__ = ["Value", "backward_order", "describe", "no_grad", "record", "record_sites", "upstream_gradients"]


#: Stands in ``_b`` of a leaf that takes no gradient.
_FROZEN = False


class Value:
    """A scalar that records the operations it takes part in.

    ``data`` is its number, a float. ``grad`` is ∂(the root of the last backward pass)/∂(this value)
    summed over all passes so far, or None where none has been computed. ``name`` is for people.

    >>> w, x = Value(0.4, name="w"), Value(3.0, name="x")
    >>> y = (w * x).tanh()
    >>> y.backward()
    >>> w.grad == x.data * (1 - y.data**2)
    True
    >>> y
    Value(data=0.8336546070121553, grad=1.0)

    The edge cases: ``bool(value)`` raises BranchError, since a branch on it would not be part of the
    graph, while ``<  <=  >  >=`` compare numbers and give a plain bool; ``==`` is identity.

    Raises TypeError for anything but a real number.
    """

    __slots__ = (
        "_a", "_b", "_da", "_data", "_db", "_note", "_pending", "_rule", "_upstream", "grad",
    )  # fmt: skip

    #: What has been computed: the sum of this value's gradients, or None.
    grad: float | None
    #: What NumPy does with a Value; see array.py.
    __array_ufunc__: Callable[..., Any]
    _data: float
    #: A Rule, a _Swapped one, or None for a leaf.
    _rule: Any
    _a: Any
    _b: Any
    _da: Any
    _db: Any
    #: The name, or (name, place); unset where there is neither.
    _note: str | tuple[str | None, Place | str | None] | None
    #: The gradient of the running pass, or of the last one.
    _upstream: Any
    #: While a pass runs, how many uses of this node beyond one have still to pay in.
    _pending: Any

    def __init__(self, data: float, name: str | None = None) -> None:
        self._data = data if type(data) is float else as_number(data, "Value()")
        self.grad = self._rule = self._a = self._b = self._da = self._db = self._pending = None
        if name is not None:
            self.name = name
        if not _collector_knows:
            _tell_collector()

    # ---------------------------------------------------------------------------------- what it is
    @property
    def data(self) -> float:
        """The number. Assigning a new one leaves gradients of graphs recorded before untouched."""
        return self._data

    @data.setter
    def data(self, data: float) -> None:
        self._data = as_number(data, "Value.data")

    @property
    def name(self) -> str | None:
        """The name that the user gave, or None."""
        note = getattr(self, "_note", None)
        return note[0] if type(note) is tuple else note

    @name.setter
    def name(self, name: str | None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a name is a str, not {name!r}")
        note = getattr(self, "_note", None)
        self._note = (name, note[1]) if type(note) is tuple else name

    @property
    def rule(self) -> Rule | None:
        """The row of the table by which it was computed; None for a leaf."""
        rule = self._rule
        return rule.rule if type(rule) is _Swapped else rule

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
        if type(self._rule) is _Swapped:
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
        self._b = None if flag else _FROZEN
        if not flag:
            self.grad = None

    @property
    def site(self) -> str | None:
        """``file:line`` where it was recorded, if :func:`record_sites` was on; else None."""
        note = getattr(self, "_note", None)
        if type(note) is not tuple:
            return None
        return note[1] if isinstance(note[1], str) else site_of(note[1])

    def detach(self) -> Value:
        """A new constant with the same number and name, outside the graph."""
        return _constant(self._data, self.name)

    def __repr__(self) -> str:
        name = "" if self.name is None else f", name={self.name!r}"
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
    sigmoid = unary("sigmoid"); relu = unary("relu");      erf = unary("erf")
    softplus = unary("softplus"); silu = unary("silu");    gelu = unary("gelu")
    # fmt: on

    def __lt__(self, other: Value | float) -> bool:
        return self._data < _compared(other, "<")

    def __le__(self, other: Value | float) -> bool:
        return self._data <= _compared(other, "<=")

    def __gt__(self, other: Value | float) -> bool:
        return self._data > _compared(other, ">")

    def __ge__(self, other: Value | float) -> bool:
        return self._data >= _compared(other, ">=")

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
        if not self.requires_grad:
            raise NoGradientError(
                f"{describe(self)} is a constant: it was recorded under no_grad(), detached or "
                "frozen, and nothing it depends on takes a gradient"
            )
        _one_pass.acquire()
        try:
            _sweep(self, True)
        finally:
            _one_pass.release()

    # -------------------------------------------------------------------------- copies and pickles
    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        """A copy of the whole graph behind it, without recursion; shared nodes stay shared."""
        for node in reversed(backward_order(self)):
            if id(node) not in memo:
                twin = memo[id(node)] = copy.copy(node)
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
        twin.__setstate__(self.__getstate__())
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = {slot: getattr(self, slot) for slot in Value.__slots__ if hasattr(self, slot)}
        state |= getattr(self, "__dict__", {})  # of a subclass
        if self.site:
            state["_note"] = self.name, self.site  # a code object cannot be pickled
        return state | {"_pending": None, "_upstream": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for slot, each in state.items():
            setattr(self, slot, each)

    def __reduce__(self) -> tuple[Any, ...]:
        """In a pickle a value comes after all that it was computed from, so that nothing recurses."""
        before = () if self.is_leaf or _inside_pickle.get() else (_Before(self),)
        return _blank, (type(self), *before), self.__getstate__()


# ---------------------------------------------------------------------------- the backward pass
#: One pass at a time: passes of two threads may share parameters.
_one_pass = threading.RLock()
#: The nodes that a running pass has counted; at the start of one, what an interrupted one left.
_counted: list[Value] = []


def _sweep(root: Value, keep: bool) -> list[Value]:
    """Reverse mode: the chain rule over all that ``root`` was computed from, each node after its uses.

    Kahn's algorithm, breadth first, so that the order depends on the graph alone, never on addresses
    or hash seeds. Returns the nodes in that order, the gradient of this pass in their ``_upstream``;
    where ``keep`` is true it is added to ``grad`` once it is complete.
    """
    global _counted
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
            node.grad = upstream if grad is None else grad + upstream
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
        elif node._b is _FROZEN:
            node.grad = None
    _counted = []
    return ready


def upstream_gradients(root: Value) -> dict[int, float]:
    """∂root/∂v by ``id(v)``, for all values v that take a gradient; no ``grad`` is touched.

    >>> x = Value(3.0)
    >>> upstream_gradients(x * x)[id(x)], x.grad
    (6.0, None)
    """
    with _one_pass:
        return {id(v): v._upstream for v in _sweep(root, False) if v.requires_grad}


def backward_order(root: Value) -> list[Value]:
    """``root`` and all that it was computed from, in the order in which a backward pass visits them.

    Each comes after everything that it was used in. Reversed, it is a topological order of the
    forward computation.

    >>> x = Value(2.0)
    >>> [v.data for v in backward_order(x * x + 1.0)]
    [5.0, 4.0, 2.0]
    """
    with _one_pass:
        return _sweep(root, False)


# ------------------------------------------------------------------------------------- recording
class _Swapped(NamedTuple):
    """The rule of a node whose literal stands on the left: ``2 * x``, ``1 / x``."""

    rule: Rule


def record(rule: Rule, arguments: Sequence[Any]) -> Any:
    """Apply a rule and record it: the complete path, of which the operators are short cuts.

    ``arguments`` holds a Value or a real number for each argument of the rule, a sequence of them
    for an argument in ``over``. Returns a Value; a float if there is no Value among the arguments.

    >>> from microbp.rules import RULES
    >>> record(RULES["dot"], ([Value(2.0), Value(3.0)], [5.0, 7.0], 1.0))
    Value(data=32.0, grad=None)

    Raises TypeError where an operand is no real number, ValueError where lists differ in length, and
    UndefinedOperation where there is no real result.
    """
    over = rule.over
    operands: list[Any] = []
    numbers: list[Any] = []
    takes: list[Any] = []  # for each argument whether it takes a gradient; for some of a list, a list
    lengths: list[int] = []
    data: Any
    for arg, argument in zip(rule.args, arguments, strict=True):
        if arg in over:
            several, data, take = _elements(rule, arg, argument)
            operands += several
            lengths.append(len(several))
        elif isinstance(argument, Value):
            data, take = argument._data, True
            operands.append(argument)
        else:
            data = argument if type(argument) is float else as_number(argument, str(rule))
            take = False
            operands.append(data)
        numbers.append(data)
        takes.append(take)
    if over and (not lengths[0] or lengths.count(lengths[0]) != len(over)):
        _check_lengths(rule, lengths)
    functions = compiled(rule)
    try:
        y = functions.value(*numbers)
        if not any(takes):
            return y
        if not _recording.get():
            return _constant(y)
        local: list[float | None] = []
        for arg, data, take, derivative in zip(
            rule.args, numbers, takes, functions.derivatives, strict=True
        ):
            d: Any = derivative(*numbers, y) if take else None
            if arg not in over:
                local.append(d)
            elif take is True:
                local += d
            elif take:
                local += [each if yes else None for each, yes in zip(d, take, strict=True)]
            else:
                local += [None] * len(data)
    except (ArithmeticError, ValueError) as error:
        raise _undefined(rule, operands, error) from None
    node: Value = _new_value()
    node._data, node._rule = y, rule
    node._a = node._b = node._da = node._db = node._pending = node.grad = None
    if over or len(operands) > 2:
        node._b, node._db = tuple(operands), tuple(local)
    elif local[0] is None:
        node._rule = _Swapped(rule)
        (node._b, node._a), node._da = operands, local[1]
    else:
        node._a, node._da = operands[0], local[0]
        if len(operands) == 2:
            node._b, node._db = operands[1], local[1]
    if _sites:
        node._note = None, user_place()
    return node


def _elements(rule: Rule, arg: str, argument: Any) -> tuple[Sequence[Any], Sequence[float], Any]:
    """The operands that an argument runs over, their numbers, and which of them take a gradient."""
    if type(argument) is not list:
        try:
            argument = list(argument)
        except TypeError:
            kind = type(argument).__name__
            raise TypeError(f"{rule}: {arg} is a list of Values or numbers, not {kind}") from None
    kinds = {*map(type, argument)}
    if kinds == {Value}:
        return argument, [each._data for each in argument], True
    if kinds == {float}:
        return argument, argument, False
    several = [each if isinstance(each, Value) else as_number(each, str(rule)) for each in argument]
    takes = [isinstance(each, Value) for each in several]
    return several, [_number(each) for each in several], takes if any(takes) else False


def _check_lengths(rule: Rule, lengths: list[int]) -> None:
    if len({*lengths}) > 1:
        told = ", ".join(f"{n} in {arg}" for n, arg in zip(lengths, rule.over, strict=True))
        raise ValueError(f"{rule}: the lists must be of one length, but there are {told}")
    if rule.name not in ("sum", "dot"):
        raise ValueError(f"{rule}: the list is empty")


def _number(each: Any) -> float:
    number: float = each._data if isinstance(each, Value) else each
    return number


def as_number(x: Any, where: str) -> float:
    """A real number as a float; TypeError, with what to do instead, for anything else.

    >>> as_number("3", "Value()")
    Traceback (most recent call last):
        ...
    TypeError: Value() takes a real number, not the str '3'; convert it first: float(...)
    """
    if isinstance(x, Real) and not isinstance(x, bool):
        return float(x)
    kind = type(x).__name__
    if isinstance(x, Value):
        cure = "it is a Value already; use it as it is, or take its number with .data"
    elif kind in ("bool", "bool_"):
        cure = "a truth value freezes a branch; use select(c, a, b), or float(...) for a number"
    elif isinstance(x, str | bytes):
        cure = "convert it first: float(...)"
    elif kind.startswith("complex"):
        cure = "microbp is real; record the real and the imaginary part as two Values"
    elif hasattr(x, "__len__"):
        cure = "microbp.array(...) makes an array of Values, one for each number"
    else:
        cure = "give an int, a float or a NumPy real scalar"
    what = f"the {kind} {x!r}" if kind in ("str", "bool", "complex") else f"an object of type {kind}"
    raise TypeError(f"{where} takes a real number, not {'None' if x is None else what}; {cure}")


def _foreign(rule: Rule, value: Value, other: Any, reflected: bool) -> Any:
    """An operator met an operand that is neither a plain Value nor a plain float or int."""
    known = (Value, Real, str, bytes, complex, list, tuple, dict, set, type(None))
    if not isinstance(other, known):
        return NotImplemented  # an array, or a class that may know what to do with a Value
    return record(rule, (other, value) if reflected else (value, other))


def _compared(other: Any, sign: str) -> float:
    return other._data if isinstance(other, Value) else as_number(other, f"Value {sign} …")


def _constant(data: float, name: str | None = None) -> Value:
    leaf = Value(data, name)
    leaf._b = _FROZEN
    return leaf


_collector_knows = False


def _tell_collector() -> None:
    global _collector_knows
    _collector_knows = True
    collector.start(Value)


# --------------------------------------------------------------------------------- what is recorded
_recording: ContextVar[bool] = ContextVar("recording", default=True)
_sites = False
_counting = threading.Lock()


def _special(change: int) -> None:
    """``no_grad()`` is entered or left in some thread: the operators ask ``record`` for as long."""
    with _counting:
        SCOPE["special"] += change


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside the ``with``, in this thread: results are constants. Also a decorator.

    >>> w = Value(2.0)
    >>> with no_grad():
    ...     y = w * w
    >>> y.data, y.is_leaf, y.requires_grad
    (4.0, True, False)
    """
    token = _recording.set(False)
    _special(+1)
    try:
        yield
    finally:
        _special(-1)
        _recording.reset(token)


def record_sites(on: bool = True) -> bool:
    """From now on keep with each recorded value the line of user code that made it (``Value.site``).

    Off at first, since recording then takes about three times as long (see ``bench/``); errors name the
    line in any case. Returns whether it was on before.
    """
    global _sites
    before, _sites = _sites, bool(on)
    others = WITH_SITE if _sites else WITHOUT_SITE
    for name, method in vars(Value).copy().items():
        if isinstance(method, FunctionType) and method in others:
            setattr(Value, name, others[method])
    return before


# --------------------------------------------------------------------------------------- messages
def describe(value: Any) -> str:
    """How a message speaks of an operand: ``w1 = 0.15``, ``Value(0.15)``, ``2.0``."""
    if not isinstance(value, Value):
        return repr(value)
    return f"Value({value._data!r})" if value.name is None else f"{value.name} = {value._data!r}"


def _undefined(rule: Rule, operands: Sequence[Any], error: Exception) -> Exception:
    """The error for an operation at ``operands``, whose evaluation raised ``error``."""
    if isinstance(error, UndefinedOperation):
        return error
    site, numbers = user_site(), tuple(float(_number(each)) for each in operands)
    names = [each.name if isinstance(each, Value) else None for each in operands]
    if rule.over:
        at = ", ".join(describe(each) for each in operands)
    else:
        at = ", ".join(
            f"{arg} = {number!r}" + (f" ({name})" if name else "")
            for arg, number, name in zip(rule.args, numbers, names, strict=True)
        )
    reason = rule.doc
    if isinstance(error, OverflowError):
        reason = "The result is beyond the largest float, 1.8e308."
    message = f"{rule} has no value at {at}. {reason} [{site}]"
    return UndefinedOperation(message, rule.name, numbers, site)


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


#: A Value without ``__init__``; a ``partial`` is the quickest way to call ``object.__new__``.
_new_value = partial(object.__new__, Value)
SCOPE.update(
    Value=Value,
    new_value=_new_value,
    record=record,
    foreign=_foreign,
    undefined=_undefined,
    user_place=user_place,
    special=0,
)
SCOPE.update({f"{k}_swapped": _Swapped(v) for k, v in SCOPE.items() if isinstance(v, Rule)})
