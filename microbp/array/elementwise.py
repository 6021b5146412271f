"""NumPy's functions of single elements, by NumPy's names: for each, what it does with Values.

A function is *recorded*, by the row of the table that it is, or composed of such; or its outcome is a
*plain number* by meaning (a truth value, a whole number), whose derivative is 0 wherever it has one, and
what it depends on is remembered as comparisons are; or it stands in ``REFUSED`` with the way out.
Whatever stands nowhere is refused as well. ``docs/numpy.md`` shows the outcome of them all.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import numpy as np

from microbp.calls import told, user_site
from microbp.errors import UndefinedOperation
from microbp.record import record
from microbp.recording.comparisons import compare
from microbp.rules import RULES
from microbp.value import Value, as_number

__all__ = ["COMPOSED", "PLAIN", "REFUSED", "RULE_OF", "function_of", "refusal"]

#: NumPy's names for rows of the table that are called otherwise.
RULE_OF = {
    "subtract": "sub", "multiply": "mul", "divide": "div", "power": "pow", "float_power": "pow",
    "negative": "neg", "absolute": "abs", "fabs": "abs", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan",
}  # fmt: skip


def _number(x: Any) -> float:
    return x._data if isinstance(x, Value) else as_number(x, "a function of NumPy")


def _rule(name: str) -> Callable[..., Any]:
    return lambda *operands: record(RULES[name], operands)


_exp, _log, _log1p, _sqrt, _atan, _abs = map(_rule, ("exp", "log", "log1p", "sqrt", "atan", "abs"))
_pow, _maximum, _minimum = map(_rule, ("pow", "maximum", "minimum"))


# ------------------------------------------------------------------- composed of rows of the table
# Where a formula has pieces, the piece is chosen by comparing Values, which remember it.
def _cbrt(x: Any) -> Any:
    return _pow(x, 1 / 3) if compare(x, ">=", 0.0) else -_pow(-x, 1 / 3)


def _hypot(x: Any, y: Any) -> Any:
    """√(x² + y²), scaled by a power of two, which is exact: x² neither overflows nor vanishes."""
    largest = max(abs(_number(x)), abs(_number(y)))
    if not 0.0 < largest < math.inf:  # the corner at 0, infinities, nan
        return _maximum(_abs(x), _abs(y))
    scale = 2.0 ** (math.frexp(largest)[1] - 1)
    x, y = x / scale, y / scale
    return _sqrt(x * x + y * y) * scale


def _arctan2(y: Any, x: Any) -> Any:
    """By y/x or x/y, whichever is smaller: which is no choice that counts, as the quadrant is."""
    down, along = _number(y), _number(x)
    if math.isnan(down + along) and not (math.isinf(down) and math.isinf(along)):
        return _atan(y / x if along else x / y)
    if abs(down) == abs(along) and (not along or math.isinf(along)):
        raise UndefinedOperation(
            f"np.arctan2 of Values has no derivative at y = {down!r}, x = {along!r}, where the direction "
            f"depends on the way there [{user_site()}]",
            "arctan2",
            (down, along),
            user_site(),
        )
    if abs(down) > abs(along):
        return (math.pi / 2 if compare(y, ">", 0.0) else -math.pi / 2) - _atan(x / y)
    if compare(x, ">", 0.0):
        return _atan(y / x)
    return _atan(y / x) + math.copysign(math.pi, 1.0 if compare(y, ">", 0.0) else down)


def _arcsinh(x: Any) -> Any:
    """Odd; for small x without cancellation, for large x without overflow."""
    if compare(x, "<", 0.0):
        return -_arcsinh(-x)
    if compare(x, ">", 1.0):
        inverse = 1.0 / x
        return _log(x) + _log1p(_sqrt(1.0 + inverse * inverse))
    return _log1p(x + x * x / (1.0 + _sqrt(1.0 + x * x)))


def _arccosh(x: Any) -> Any:
    if compare(x, ">", 2.0):
        inverse = 1.0 / x
        return _log(x) + _log1p(_sqrt(1.0 - inverse * inverse))
    beyond = x - 1.0
    return _log1p(beyond + _sqrt(beyond) * _sqrt(beyond + 2.0))


def _without_nan(choose: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def chosen(x: Any, y: Any) -> Any:
        without_x, without_y = compare(x, "!=", x), compare(y, "!=", y)
        return choose(x, y) if without_x == without_y else y if without_x else x

    return chosen


def _heaviside(x: Any, at_zero: Any) -> Any:
    if compare(x, "==", 0.0):
        return at_zero
    return math.nan if compare(x, "!=", x) else float(compare(x, ">", 0.0))


def _fmod(x: Any, y: Any) -> Any:
    """``x - y·trunc(x / y)``: the remainder with the sign of x; y is a plain number."""
    if isinstance(y, Value):
        raise TypeError(refusal("fmod", "by a Value"))
    return abs(x) % abs(y) if compare(x, ">=", 0.0) else -(abs(x) % abs(y))


def _copysign(x: Any, y: Any) -> Any:
    minus = compare(y, "<", 0.0) or math.copysign(1.0, _number(y)) < 0.0
    return -_abs(x) if minus else _abs(x)


def _modf(x: Any) -> tuple[Any, Any]:
    whole = plain("trunc", x)
    return x - whole, whole


COMPOSED: dict[str, Callable[..., Any]] = {
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1.0 / x,
    "positive": lambda x: +x,
    "conjugate": lambda x: +x,
    "deg2rad": lambda x: x * (math.pi / 180.0),
    "radians": lambda x: x * (math.pi / 180.0),
    "rad2deg": lambda x: x * (180.0 / math.pi),
    "degrees": lambda x: x * (180.0 / math.pi),
    "exp2": lambda x: _pow(2.0, x),
    "log2": lambda x: _log(x) / math.log(2.0),
    "log10": lambda x: _log(x) / math.log(10.0),
    "logaddexp": lambda x, y: record(RULES["logsumexp"], ([x, y],)),
    "logaddexp2": lambda x, y: (
        record(RULES["logsumexp"], ([x * math.log(2.0), y * math.log(2.0)],)) / math.log(2.0)
    ),
    "cbrt": _cbrt,
    "hypot": _hypot,
    "arctan2": _arctan2,
    "arcsinh": _arcsinh,
    "arccosh": _arccosh,
    "arctanh": lambda x: (_log1p(x) - _log1p(-x)) * 0.5,
    "fmax": _without_nan(_maximum),
    "fmin": _without_nan(_minimum),
    "heaviside": _heaviside,
    "copysign": _copysign,
    "ldexp": lambda x, n: x * 2.0**n,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "fmod": _fmod,
    "divmod": divmod,
    "modf": _modf,
}

# ------------------------------------------------------------------------ plain numbers by meaning
_inf = math.inf
#: The comparisons by which an outcome y is known: with these outcomes it is always the same y.
PLAIN: dict[str, Callable[..., Iterable[tuple[Any, str, Any]]]] = {
    "less": lambda _, a, b: [(a, "<", b)],
    "less_equal": lambda _, a, b: [(a, "<=", b)],
    "greater": lambda _, a, b: [(a, ">", b)],
    "greater_equal": lambda _, a, b: [(a, ">=", b)],
    "equal": lambda _, a, b: [(a, "==", b)],
    "not_equal": lambda _, a, b: [(a, "!=", b)],
    "logical_and": lambda _, a, b: [(a, "!=", 0.0), (b, "!=", 0.0)],
    "logical_or": lambda _, a, b: [(a, "!=", 0.0), (b, "!=", 0.0)],
    "logical_xor": lambda _, a, b: [(a, "!=", 0.0), (b, "!=", 0.0)],
    "logical_not": lambda _, a: [(a, "!=", 0.0)],
    "isnan": lambda _, a: [(a, "!=", a)],
    "isinf": lambda _, a: [(a, "==", _inf), (a, "==", -_inf)],
    "isfinite": lambda _, a: [(a, "<", _inf), (a, ">", -_inf)],
    "signbit": lambda _, a: [(a, "<", 0.0)],
    "sign": lambda _, a: [(a, "<", 0.0), (a, ">", 0.0)],
    "floor": lambda y, a: [(a, "<", y), (a, "<", y + 1.0)],
    "ceil": lambda y, a: [(a, "<=", y), (a, "<=", y - 1.0)],
    "trunc": lambda y, a: PLAIN["floor"](y, a) if y > 0.0 else PLAIN["ceil"](y, a) if y < 0.0
    else [(a, "<=", -1.0), (a, "<", 1.0)],
    "rint": lambda y, a: [(a, "<", y - 0.5), (a, "<=", y + 0.5)],  # at the ends it takes the even one
}


def plain(name: str, *operands: Any) -> Any:
    """NumPy's function ``name`` of the operands' numbers; how it depends on Values is remembered."""
    if name in ("equal", "not_equal") and not all(isinstance(x, Value | Real | np.bool_) for x in operands):
        return np.bool_(name == "not_equal")  # as NumPy has it of None and texts
    operands = tuple(float(x) if isinstance(x, bool | np.bool_) else x for x in operands)
    with np.errstate(all="ignore"):
        y = getattr(np, name)(*map(_number, operands))
    for left, sign, right in PLAIN[name](y, *operands):
        compare(left, sign, right if isinstance(right, Value) else float(right))
    return y


def function_of(name: str) -> Callable[..., Any] | None:
    """What NumPy's elementwise function does with Values and numbers; None where it is refused.

    >>> function_of("arctan")(Value(0.0)), function_of("floor")(Value(1.5)), function_of("gcd")
    (Value(data=0.0, grad=None), np.float64(1.0), None)
    """
    rule = RULE_OF.get(name, name)
    if rule in RULES:  # also one that a user has defined
        return _rule(rule)
    if name in PLAIN:
        return lambda *operands: plain(name, *operands)
    return COMPOSED.get(name)


# --------------------------------------------------------------------------------------- refused
_BITS = "Values are real numbers and have no bits; for truth values compare first, (a > 0) & (b > 0)"
#: What is told of a function that is not recorded; of all others, how to get plain numbers.
REFUSED: dict[str, str] = {
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "invert", "bitwise_count"), _BITS),
    **dict.fromkeys(("left_shift", "right_shift", "packbits", "unpackbits"), _BITS),
    "sinc": "away from 0 write np.sin(np.pi * x) / (np.pi * x)",
    **dict.fromkeys(("gcd", "lcm"), "Values are real numbers, not whole ones"),
    "fmod": "write x - y * k with the plain number k = math.trunc(x.data / y.data)",
    "isnat": "Values are numbers, not times",
}


def refusal(name: str, what: str = "") -> str:
    """The message of a TypeError: which function it is, and the way out.

    >>> refusal("spacing")
    'np.spacing of Values is not recorded; np.spacing(microbp.data_of(a)) gives plain numbers'
    """
    cure = REFUSED.get(name, f"np.{name}(microbp.data_of(a)) gives plain numbers")
    return f"np.{name} of Values is not recorded{what and ' ' + what}; {cure}"


def _named_by_numpy(name: str) -> Callable[..., Any]:
    def method(self: Value, *others: Value | float) -> Any:
        function, takes = function_of(name), getattr(np, name).nin - 1
        if function is None:
            raise TypeError(refusal(name))
        if len(others) != takes:
            raise TypeError(f"Value.{name}() takes {takes} other numbers, not {len(others)}")
        return function(self, *others)

    method.__name__, method.__qualname__ = name, f"Value.{name}"
    method.__doc__ = f"``np.{name}`` of this Value; NumPy's loops over plain object arrays ask for it."
    return told(method)


#: The methods that NumPy's loops over plain object arrays ask an element for, but those of a Value's own.
_ASKED_FOR = """
arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt conjugate deg2rad degrees exp2 fabs fmod hypot log10
log2 logical_xor rad2deg radians rint
"""
for _name in _ASKED_FOR.split():
    setattr(Value, _name, _named_by_numpy(_name))
