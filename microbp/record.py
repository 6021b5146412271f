"""Recording: an operation's value and local derivatives go into a new Value; also what is not recorded.

The operators of ``Value`` are short cuts through :func:`record` that :mod:`microbp.compiled`
generates from the same rows; what these short cuts leave out comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import Any
from weakref import ref

from microbp.calls import user_place, user_site, users
from microbp.compiled import CODES, SCOPE, compiled, compiled_ieee
from microbp.errors import UndefinedOperation
from microbp.native import extension
from microbp.node import gradient_of, passed_again, refuse_others
from microbp.recording.comparisons import taken
from microbp.recording.groups import Around, Group, Held, Switch, asked_for, current, current_group, serials
from microbp.recording.updates import note_moved
from microbp.rules import RULES, TABLE, Rule
from microbp.text import shown
from microbp.value import Swapped, Value, as_number, constant, describe

__all__ = ["no_grad", "record", "record_sites", "recording", "with_sites"]

#: A Value without ``__init__``; a ``partial`` is the quickest way to call ``object.__new__``.
_new_value = partial(object.__new__, Value)


def record(rule: Rule, arguments: Sequence[Any], *, ieee: bool = False) -> Any:
    """Apply a rule and record it: the complete path, of which the operators are short cuts.

    ``arguments`` holds a Value or a real number for each argument of the rule, a sequence of them
    for an argument in ``over``. Returns a Value; a float if there is no Value among the arguments.

    >>> from microbp.rules import RULES
    >>> record(RULES["dot"], ([Value(2.0), Value(3.0)], [5.0, 7.0], 1.0))
    Value(data=32.0, grad=None)

    A local derivative that ``math`` refuses is what IEEE 754 has there, an infinity or nan; with ``ieee``
    the value is, too, as the derivatives of derivatives want it.

    Raises TypeError where an operand is no real number, ValueError where lists differ in length, and
    UndefinedOperation where there is no real result.
    """
    if extension is not None and (made := extension.record(rule, arguments)) is not None:
        return made
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
    except (ArithmeticError, ValueError) as error:
        if not ieee:
            raise _undefined(rule, operands, error) from None
        y = compiled_ieee(rule).value(*numbers)
    if not any(takes):
        return y
    if not recording():
        for each in operands:
            taken(each)
        return constant(y)
    local: list[float | None] = []
    for arg, data, take, derivative in zip(rule.args, numbers, takes, functions.derivatives, strict=True):
        d: Any = None
        if take:
            try:
                d = derivative(*numbers, y)
            except (ArithmeticError, ValueError):
                d = compiled_ieee(rule).derivatives[rule.args.index(arg)](*numbers, y)
        if arg not in over:
            local.append(d)
        elif take is True:
            local += d
        elif take:
            local += [each if yes else None for each, yes in zip(d, take, strict=True)]
        else:
            local += [None] * len(data)
    node: Value = _new_value()
    node._data, node._rule = y, rule
    node._a = node._b = node._da = node._db = node._note = node._pending = node.grad = None
    if over or len(operands) > 2:
        node._b, node._db = tuple(operands), tuple(local)
    elif local[0] is None:
        node._rule = Swapped(rule)
        (node._b, node._a), node._da = operands, local[1]
    else:
        node._a, node._da = operands[0], local[0]
        if len(operands) == 2:
            node._b, node._db = operands[1], local[1]
    if with_sites.inside:
        node._note = None, user_place() or "?", current_group()
    elif SCOPE["grouped"]:
        node._note = current_group()
    return node


def _elements(rule: Rule, arg: str, argument: Any) -> tuple[Sequence[Any], Sequence[float], Any]:
    """The operands that an argument runs over, their numbers, and which of them take a gradient."""
    if type(argument) is not list:
        try:
            elements = iter(argument)
        except TypeError:
            kind = type(argument).__name__
            raise TypeError(f"{rule}: {arg} is a list of Values or numbers, not {kind}") from None
        argument = list(elements)  # what a generator raises is the user's
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


def _foreign(rule: Rule, value: Value, other: Any, reflected: bool) -> Any:
    """An operator met an operand that is neither a plain Value nor a plain float or int."""
    known = (Value, Real, str, bytes, complex, list, tuple, dict, set, type(None))
    if not isinstance(other, known):
        return NotImplemented  # an array, or a class that may know what to do with a Value
    return record(rule, (other, value) if reflected else (value, other))


def _number(each: Any) -> float:
    number: float = each._data if isinstance(each, Value) else each
    return number


def _undefined(rule: Rule, operands: Sequence[Any], error: Exception) -> Exception:
    """The error for an operation at ``operands``, whose evaluation raised ``error``."""
    if isinstance(error, UndefinedOperation):
        return error
    site, numbers = user_site(), tuple(as_number(_number(each), str(rule)) for each in operands)
    names = [each.name if isinstance(each, Value) else None for each in operands]
    if rule.over:
        at = ", ".join(describe(each) for each in operands)
    else:
        at = ", ".join(
            f"{arg} = {number!r}" + (f" ({shown(name)})" if name else "")
            for arg, number, name in zip(rule.args, numbers, names, strict=True)
        )
    too_large = isinstance(error, OverflowError)
    reason = "The result is beyond the largest float, 1.8e308." if too_large else rule.doc
    message = f"{rule} has no value at {at}. {reason} [{site}]"
    return UndefinedOperation(message, rule.name, numbers, site)


# --------------------------------------------------------------------------------- what is recorded
#: A reference to the lock of each ``no_grad()`` in any thread: the operators ask ``record`` meanwhile.
_special: set[Any] = set()


def recording() -> bool:
    """Whether operations are recorded here: false inside ``no_grad()``."""
    return no_grad.innermost() is None


class no_grad(Held, Around):  # noqa: N801 (used like a function)
    """Record nothing inside the ``with``, in this thread: results are constants. Also a decorator.

    >>> w = Value(2.0)
    >>> with no_grad():
    ...     y = w * w
    >>> y.data, y.is_leaf, y.requires_grad
    (4.0, True, False)

    A generator that is suspended inside shares it with its caller, as a context manager written as a
    generator wants it; any other enters it between two ``yield``, or around the loop that runs it. Raises
    RuntimeError where one is entered that has not been left.
    """

    def _recreate_cm(self) -> no_grad:
        return no_grad()

    @asked_for
    def __enter__(self) -> Callable[[], object]:
        """Asked for by ``with``, which calls it."""
        enter = super().__enter__
        _special.add(ref(self._lock, _special.discard))
        return enter


def record_sites(on: bool = True) -> bool:
    """From now on keep with each recorded value the line of user code that made it (``Value.site``).

    Off at first, since recording then takes up to 1.4 times as long (see ``bench/``); errors name the line
    in any case. Returns whether it was on before.
    """
    before = _Always in with_sites.inside
    (with_sites.inside.add if on else with_sites.inside.discard)(_Always)
    with_sites.settle()
    return before


class _Always:
    """Stands among those inside for the user who wants sites."""


def _turn_sites(on: bool) -> None:
    """Methods in Python record by other code, wherever somebody holds them; those in C ask who is inside."""
    for method, codes in CODES.items():
        method.__code__ = codes[on]


#: Sites are kept inside ``with with_sites.on()`` whatever the user wants outside.
with_sites = Switch(_turn_sites)


SCOPE.update(
    Value=Value,
    new_value=_new_value,
    record=record,
    foreign=_foreign,
    user_place=user_place,
    special=_special,
    sited=with_sites.inside,
)
SCOPE.update({f"{k}_swapped": Swapped(v) for k, v in SCOPE.items() if isinstance(v, Rule)})

if extension is not None:
    _rules = [RULES[rule.name] for rule in TABLE]
    extension.know(
        value=Value, record=record, foreign=_foreign, begin="_begin", gradient_of=gradient_of,
        moved=note_moved, passed=passed_again, refuse=lambda other: refuse_others([other]), special=_special,
        sited=with_sites.inside, grouped=SCOPE["grouped"], current=current, group=Group, serial=serials,
        users=users, rules=_rules, swapped=[*map(Swapped, _rules)],
    )  # fmt: skip
