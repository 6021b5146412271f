"""THE TABLE: every operation, its local derivatives and its conventions, each stated once, here.

A row is data in the language of :mod:`microbp.expr`. In scope are the row's own arguments and ``y``,
the output; ``d`` holds one local derivative per argument, ∂y/∂argument. ``smooth`` lists boxes (one
interval per argument) in which the operation is differentiable: there each row is checked. ``kink``
holds what changes sign where the derivative jumps. ``corner`` says what holds there, and is pinned by
a golden table in the tests. Conventions follow three reasons, in this order: a NaN that comes in goes
out; a subgradient, or the one-sided derivative where it is infinite; among these what users of PyTorch
expect.

The text of a derivative is what is computed. Where it has clauses that keep digits, stop an overflow or
let a NaN out, ``local`` says beside it what the formula is: ``shown`` to people, and ``again`` where it
is differentiated again, which has to keep its digits in every further derivative. ``corners`` lists
where the formula is not to be differentiated: there the next derivative is 0 (after a subgradient, or a
limit at infinity), or that of what ``then`` states. After an infinite derivative the formula says what
is next, in the arithmetic of IEEE 754, and after a nan it is nan.

A row of many arguments names in ``over`` those that run over lists of equal length; its derivative is
stated for one element. There ``largest(x)`` is the shift that prevents an overflow; it cancels. Where a
derivative is differentiated again it is one of the largest elements, and ``rest`` leaves that one out.

Formulas: Abramowitz and Stegun, Handbook of Mathematical Functions, chapters 4 and 7; softplus,
logsumexp and the softmax family by their definitions; gelu after Hendrycks and Gimpel (2016).
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from math import inf
from typing import Any, NamedTuple

from microbp.errors import RuleError
from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS, Expression, parse

__all__ = ["RULES", "TABLE", "Corner", "Interval", "Local", "Rule", "add", "local", "restored", "row"]

Interval = tuple[float, float]


class Local(NamedTuple):
    """The texts of one local derivative; made by :func:`local`."""

    computed: str
    shown: str
    again: str


def local(computed: str, shown: str | None = None, again: str | None = None) -> Local:
    """A local derivative as it is computed, as people write it, and as it is differentiated again.

    >>> local("y * (1.0 - y) if a < 5.0 else exp(-a) * y * y", shown="y * (1.0 - y)").again
    'y * (1.0 - y)'
    """
    shown = computed if shown is None else shown
    return Local(computed, shown, shown if again is None else again)


class Corner(NamedTuple):
    """Where the formula of a derivative is not to be differentiated again."""

    #: The condition under which an operation stands at this corner.
    where: Expression
    #: In a word: what the derivative is there.
    reason: str
    #: For each argument what the derivative is, as far as it is differentiated again; none: a number.
    then: tuple[Expression, ...] = ()


@dataclass(frozen=True, eq=False)
class Rule:
    """One operation; made and checked by :func:`row`."""

    name: str
    args: tuple[str, ...]
    #: The value.
    y: Expression
    #: The local derivatives, one per argument, as they are computed.
    d: tuple[Expression, ...]
    #: The same as people write them.
    shown: tuple[Expression, ...]
    #: The same as they are differentiated again.
    again: tuple[Expression, ...]
    #: One sentence.
    doc: str
    #: Boxes, one interval per argument, in which the operation is smooth.
    smooth: tuple[tuple[Interval, ...], ...]
    #: What holds where it is not; empty where it is smooth wherever it is defined.
    corner: str = ""
    #: What changes sign at a kink.
    kink: tuple[Expression, ...] = ()
    #: Arguments that may be left out.
    defaults: Mapping[str, float] = field(default_factory=dict)
    #: The arguments that run over lists of equal length.
    over: tuple[str, ...] = ()
    #: Where a derivative is not differentiated again by its formula.
    corners: tuple[Corner, ...] = ()

    def __str__(self) -> str:
        """``tanh(a)``, ``dot(w…, x…, b)``: the operation as it is called."""
        return f"{self.name}({', '.join(a + '…' * (a in self.over) for a in self.args)})"

    def split(self, operands: Sequence[Any]) -> list[Any]:
        """The flat operands of a node as one entry per argument, a list for one in ``over``.

        >>> RULES["dot"].split(["w0", "w1", "x0", "x1", "b"])
        [['w0', 'w1'], ['x0', 'x1'], 'b']
        """
        if not self.over:
            return list(operands)
        length = (len(operands) - (len(self.args) - len(self.over))) // len(self.over)
        entries: list[Any] = []
        start = 0
        for arg in self.args:
            width = length if arg in self.over else 1
            entries.append(list(operands[start : start + width]) if arg in self.over else operands[start])
            start += width
        return entries

    def takes(self, count: int) -> bool:
        """Whether a node of this rule may have so many operands."""
        listed = count - (len(self.args) - len(self.over))
        return listed >= 0 and listed % len(self.over) == 0 if self.over else listed == 0

    def elements(self, entries: Sequence[Any]) -> list[dict[str, Any]]:
        """The scopes over which ``total`` runs, for the entries that :meth:`split` gives.

        >>> RULES["dot"].elements([["w0", "w1"], ["x0", "x1"], "b"])
        [{'w': 'w0', 'x': 'x0'}, {'w': 'w1', 'x': 'x1'}]
        """
        held = dict(zip(self.args, entries, strict=False))  # y may stand behind them
        lists = zip(*(held[arg] for arg in self.over), strict=True)
        return [dict(zip(self.over, each, strict=True)) for each in lists]

    def __reduce__(self) -> tuple[object, ...]:
        """A rule is pickled as the texts of its row; where the table has the same row, it is that one."""
        d = tuple(tuple(map(str, each)) for each in zip(self.d, self.shown, self.again, strict=True))
        corners = tuple((str(at.where), at.reason, *map(str, at.then)) for at in self.corners)
        texts = (self.name, " ".join(self.args), str(self.y), d, self.doc, self.smooth, self.corner)
        kink = tuple(map(str, self.kink))
        return restored, (*texts, kink, dict(self.defaults), " ".join(self.over), corners)


def row(
    name: str,
    args: str,
    y: str,
    d: Sequence[str | tuple[str, ...]],
    doc: str,
    smooth: Sequence[Sequence[Interval]] = (),
    corner: str = "",
    kink: Sequence[str] = (),
    defaults: Mapping[str, float] | None = None,
    over: str = "",
    corners: Sequence[Sequence[str]] = (),
) -> Rule:
    """Make a :class:`Rule` from the texts of its row. RuleError names the row and what is wrong.

    A derivative is a text, or what :func:`local` makes of several; one of ``corners`` is its condition,
    its reason, and what its derivatives are as far as they are differentiated again, if they are.

    >>> print(row("cube", "a", "a * a * a", ("3.0 * a * a",), "Third power."))
    cube(a)
    >>> row("cube", "a", "a * a * a", (), "Third power.")
    Traceback (most recent call last):
        ...
    microbp.errors.RuleError: rule cube: 1 argument (a) but 0 local derivatives
    """
    arguments, elements = tuple(args.split()), tuple(over.split())
    if not name.isidentifier() or keyword.iskeyword(name):
        raise RuleError(f"rule {name!r}: the name must be a plain word")
    taken = {"y", "map", "mul", "zip", *FUNCTIONS, *CONSTANTS, *AGGREGATES}  # names of generated code
    for argument in arguments:
        plain = argument.isidentifier() and not keyword.iskeyword(argument) and argument[0] != "_"
        if not plain or argument in taken or arguments.count(argument) > 1:
            hint = "; blanks stand between arguments" * ("," in argument)
            raise RuleError(f"rule {name}: the argument name {argument!r} is taken or no plain word{hint}")
    if not arguments:
        raise RuleError(f"rule {name}: an operation needs at least one argument")
    if len(d) != len(arguments):
        plural = "" if len(arguments) == 1 else "s"
        raise RuleError(
            f"rule {name}: {len(arguments)} argument{plural} ({', '.join(arguments)}) "
            f"but {len(d)} local derivatives"
        )
    for stray in sorted({*elements, *(defaults or {})} - {*arguments}):
        raise RuleError(f"rule {name}: {stray!r} is not one of its arguments ({', '.join(arguments)})")
    many = bool(elements)
    value = parse(y, arguments, name, many=many)
    scope = (*arguments, "y")
    read = cache(partial(parse, names=scope, row=name, many=many))  # most derivatives are shown as computed
    texts = [Local(*each) if isinstance(each, tuple) else local(each) for each in d]
    computed, shown, again = (tuple(map(read, column)) for column in zip(*texts, strict=True))
    at = tuple(
        Corner(read(where, condition=True), reason, tuple(map(read, then))) for where, reason, *then in corners
    )
    single = [
        each
        for column in (computed, shown, again, *(corner.then for corner in at if corner.then))
        for arg, each in zip(arguments, column, strict=True)
        if arg not in elements
    ]
    for expression in (value, *single):
        for argument in expression.loose(elements):
            raise RuleError(
                f"rule {name}: {str(expression)!r} uses {argument!r}, which runs over a list, outside "
                "total(...) and largest(...)"
            )
    return Rule(
        name,
        arguments,
        value,
        computed,
        shown,
        again,
        doc,
        tuple(_box(name, arguments, each) for each in smooth),
        corner,
        tuple(parse(each, arguments, name, many=many) for each in kink),
        dict(defaults or {}),
        elements,
        at,
    )


def _box(name: str, arguments: tuple[str, ...], intervals: Any) -> tuple[Interval, ...]:
    try:
        box = tuple((float(low), float(high)) for low, high in intervals)
    except (TypeError, ValueError):
        box = ()
    if len(box) != len(arguments) or not all(-inf < low < high < inf for low, high in box):
        raise RuleError(
            f"rule {name}: in smooth, {intervals!r} is not a box, which has an interval (low, high) of "
            f"finite numbers for each of {', '.join(arguments)}"
        )
    return box


R, P, N, U = (-3.0, 3.0), (0.25, 4.0), (-4.0, -0.25), (-0.9, 0.9)
#: y·(1 - y) and 1 - y·y lose their digits where y is close to 1; the second forms keep them.
_LOGISTIC = "y * (1.0 - y) if a < 5.0 else exp(-a) * y * y"
_TANH = "1.0 - y * y if abs(a) < 2.0 else 4.0 * exp(-2.0 * abs(a)) / pow(1.0 + exp(-2.0 * abs(a)), 2.0)"
#: The derivative of the logistic function in a form that keeps its digits near 0, however often differentiated.
_BELL = "0.25 - 0.25 * tanh(0.5 * a) * tanh(0.5 * a)"
#: That of a·sigmoid(a); and what is left of it far below and far above 0.
_SWISH = "(1.0 + a * exp(-a) / (1.0 + exp(-a))) / (1.0 + exp(-a))"
_FALL, _RISE = "(1.0 + a) * exp(0.5 * a) * exp(0.5 * a)", "1.0 + (a - 1.0) * exp(-0.5 * a) * exp(-0.5 * a)"
#: The weight of a logit in the softmax; those that are infinite and the largest have 1, as the largest has.
_WEIGHT = "(1.0 if x == largest(x) and abs(x) == inf else exp(x - largest(x)))"
_EXP = "exp(x - largest(x))"
_SOFTMAX, _CHANGE = "{e} / (1.0 + rest({e}))", "(total(t) * {e} - t - t * rest({e})) / (1.0 + rest({e}))"

# fmt: off
TABLE: tuple[Rule, ...] = (
    #    name       args   value            local derivatives                          sentence                      smooth in
    row("add",     "a b", "a + b",         ("1.0", "1.0"),                            "Sum.",                       ((R, R),)),
    row("sub",     "a b", "a - b",         ("1.0", "-1.0"),                           "Difference.",                ((R, R),)),
    row("mul",     "a b", "a * b",         ("b", "a"),                                "Product.",                   ((R, R),)),
    row("div",     "a b", "a / b",         ("1.0 / b", "-y / b"),                     "Quotient; undefined at b = 0.", ((R, P), (R, N))),
    row("neg",     "a",   "-a",            ("-1.0",),                                 "Negative.",                  ((R,),)),
    row("exp",     "a",   "exp(a)",        ("y",),                                    "Exponential.",               ((R,),)),
    row("expm1",   "a",   "expm1(a)",      ("exp(a)",),                               "exp(a) - 1, exact near 0.",  ((R,),)),
    row("log",     "a",   "log(a)",        ("1.0 / a",),                              "Natural logarithm; undefined at a <= 0.", ((P,),)),
    row("log1p",   "a",   "log1p(a)",      ("1.0 / (1.0 + a)",),                      "log(1 + a), exact near 0; undefined at a <= -1.", ((U,), (P,))),
    row("sin",     "a",   "sin(a)",        ("cos(a)",),                               "Sine; a in radians.",        (((-1.4, 1.4),), ((1.7, 4.5),))),
    row("cos",     "a",   "cos(a)",        ("-sin(a)",),                              "Cosine; a in radians.",      (((0.2, 3.0),), ((-3.0, -0.2),))),
    row("tan",     "a",   "tan(a)",        ("1.0 + y * y",),                          "Tangent; a in radians.",     (((-1.4, 1.4),),)),
    row("atan",    "a",   "atan(a)",
        (local("1.0 / (1.0 + a * a)",
               again="1.0 / (1.0 + a * a) if abs(a) < 1e30 else pow(a, -2.0) / (1.0 + pow(a, -2.0))"),),
        "Arc tangent, in radians.", ((R,),)),
    row("sinh",    "a",   "sinh(a)",       ("cosh(a)",),                              "Hyperbolic sine.",           ((R,),)),
    row("cosh",    "a",   "cosh(a)",       ("sinh(a)",),                              "Hyperbolic cosine.",         ((P,), (N,))),
    row("erf",     "a",   "erf(a)",        ("2.0 / sqrt(pi) * exp(-a * a)",),         "Error function.",            ((R,),),
        corners=(("abs(a) == inf", "limit"),)),
    row("erfc",    "a",   "erfc(a)",       ("-2.0 / sqrt(pi) * exp(-a * a)",),        "1 - erf(a), exact where erf is close to 1.", ((R,),),
        corners=(("abs(a) == inf", "limit"),)),
    row("abs",     "a",   "abs(a)",        ("1.0 if a > 0.0 else -1.0 if a < 0.0 else 0.0 if a == 0.0 else nan",), "Absolute value.", ((P,), (N,)),
        "At 0 the derivative is 0.", ("a",), corners=(("a == 0.0", "subgradient"),)),
    row("relu",    "a",   "0.0 if a <= 0.0 else a", ("0.0 if a <= 0.0 else 1.0 if a > 0.0 else nan",), "Rectifier: the positive part.", ((P,), (N,)),
        "At 0 the derivative is 0.", ("a",), corners=(("a == 0.0", "subgradient"),)),
    row("sqrt",    "a",   "sqrt(a)",
        (local("inf if a == 0.0 else 0.5 / y", shown="0.5 / y"),), "Square root; undefined at a < 0.", ((P,),),
        "At 0 the derivative is inf.", corners=(("a == 0.0", "infinite", "0.5 / sqrt(a + 0.0)"),)),
    row("asin",    "a",   "asin(a)",
        (local("inf if abs(a) == 1.0 else 1.0 / sqrt((1.0 - a) * (1.0 + a))", shown="1.0 / sqrt(1.0 - a * a)",
               again="1.0 / sqrt(1.0 - a * a if abs(a) < 0.001 or abs(a) == 1.0 else (1.0 - a) * (1.0 + a))"),),
        "Arc sine, in radians; undefined beyond ±1.", ((U,),),
        "At ±1 the derivative is inf.", corners=(("abs(a) == 1.0", "infinite"),)),
    row("acos",    "a",   "acos(a)",
        (local("-inf if abs(a) == 1.0 else -1.0 / sqrt((1.0 - a) * (1.0 + a))", shown="-1.0 / sqrt(1.0 - a * a)",
               again="-1.0 / sqrt(1.0 - a * a if abs(a) < 0.001 or abs(a) == 1.0 else (1.0 - a) * (1.0 + a))"),),
        "Arc cosine, in radians; undefined beyond ±1.", ((U,),),
        "At ±1 the derivative is -inf.", corners=(("abs(a) == 1.0", "infinite"),)),
    # Beyond 2**53 a float b is even, and b - 1, which is odd, is none; y / a has the sign then.
    row("pow",     "a b", "pow(a, b)",
        (local("b * pow(a, b - 1.0) if b >= 1.0 and b < 9e15 or b != 0.0 and a > 0.0 or b != 0.0 and a < 0.0 and abs(b) < 9e15 else nan if a != a else "
               "0.0 if b == 0.0 or a == 0.0 and b > 1.0 else b * (y / a) if a < 0.0 else inf if b < 1.0 else nan",
               shown="b * pow(a, b - 1.0)"),
         local("y * log(a) if a > 0.0 else 0.0 if a == 0.0 and b == b else nan", shown="y * log(a)")),
        "a to the power b; undefined at a < 0 with a broken b, and at a = 0 with b < 0.", ((P, R),),
        "At b = 0 the derivative in a is 0, also at a = 0; at a = 0 with 0 < b < 1 it is inf. "
        "The derivative in b is 0 at a = 0 and nan at a < 0, where a neighbouring b gives no real power. "
        "As in IEEE 754, nan to the power 0 and 1 to the power nan are 1.",
        corners=(("abs(a) < 1e-100 or abs(a) > 1e100 or b == 0.0 or abs(b) > 9e15", "limit", "dpow(a, b, 1.0, 0.0)", "dpow(a, b, 0.0, 1.0)"),)),
    row("sigmoid", "a",   "1.0 / (1.0 + exp(-a)) if a > -700.0 else exp(a)",
        (local(_LOGISTIC, shown="y * (1.0 - y)", again=f"{_BELL} if abs(a) < 0.001 else {_LOGISTIC}"),),
        "Logistic function; never overflows.", (((-30.0, 30.0),),)),
    row("tanh",    "a",   "tanh(a)",
        (local(_TANH, shown="1.0 - y * y", again=_TANH),),
        "Hyperbolic tangent.", (((-30.0, 30.0),),)),
    row("softplus", "a",  "a + log1p(exp(-a)) if a > 0.0 else log1p(exp(a))",
        (local("1.0 / (1.0 + exp(-a)) if a > -700.0 else exp(a)", shown="1.0 / (1.0 + exp(-a))", again="sigmoid(a)"),),
        "log(1 + exp(a)), a smooth relu; never overflows.", (((-30.0, 30.0),),)),
    # Halves of an exponential, since exp(-745) has one digit left and a·exp(-745) would have no more.
    row("silu",    "a",   "a / (1.0 + exp(-a)) if a > -700.0 else 0.0 if a == -inf else a * exp(0.5 * a) * exp(0.5 * a)",
        (local(f"1.0 if a > 800.0 else {_SWISH} if a > -700.0 else 0.0 if a == -inf else {_FALL}",
               shown=_SWISH,
               again=f"sigmoid(a) + a * ({_BELL}) if abs(a) < 0.001 else {_SWISH} if abs(a) < 100.0 else {_FALL} if a < 0.0 else {_RISE}"),),
        "a·sigmoid(a), also called swish.", (((-20.0, -1.5),), ((-1.0, 20.0),)), corners=(("abs(a) == inf", "limit"),)),
    row("gelu",    "a",   "0.0 if a < -40.0 else 0.5 * a * erfc(-a / sqrt(2.0))",
        (local("0.0 if a < -40.0 else 1.0 if a > 40.0 else "
               "0.5 * erfc(-a / sqrt(2.0)) + a * exp(-0.5 * a * a) / sqrt(2.0 * pi)",
               shown="0.5 * erfc(-a / sqrt(2.0)) + a * exp(-0.5 * a * a) / sqrt(2.0 * pi)"),),
        "a·Φ(a) with the normal distribution Φ, exact (no tanh).", (((-5.0, -1.0),), ((-0.5, 5.0),)),
        corners=(("abs(a) == inf", "limit"),)),
    row("leaky_relu", "a s", "a if a > 0.0 else s * a",
        ("1.0 if a > 0.0 else s if a <= 0.0 else nan", "0.0 if a > 0.0 else a if a <= 0.0 else nan"),
        "Rectifier with slope s below 0.", ((P, U), (N, U)),
        "At 0 the derivative is s.", ("a",), corners=(("a == 0.0", "subgradient", "s", "a"),), defaults={"s": 0.01}),
    row("elu",     "a s", "a if a > 0.0 else s * expm1(a)",
        ("1.0 if a > 0.0 else s * exp(a)", "0.0 if a > 0.0 else expm1(a)"),
        "Exponential linear unit with scale s.", ((P, P), (N, P)),
        "At 0 the derivative is s.", ("a",), corners=(("a == 0.0", "subgradient", "s", "a"),), defaults={"s": 1.0}),
    row("minimum", "a b", "a if a < b else b if b <= a else nan",
        ("1.0 if a < b else 0.0 if a > b else 0.5 if a == b else nan",
         "1.0 if b < a else 0.0 if b > a else 0.5 if b == a else nan"),
        "The smaller of two.", ((N, P), (P, N)),
        "At a tie each side takes half.", ("a - b",), corners=(("a == b", "subgradient"),)),
    row("maximum", "a b", "a if a > b else b if b >= a else nan",
        ("1.0 if a > b else 0.0 if a < b else 0.5 if a == b else nan",
         "1.0 if b > a else 0.0 if b < a else 0.5 if b == a else nan"),
        "The larger of two.", ((N, P), (P, N)),
        "At a tie each side takes half.", ("a - b",), corners=(("a == b", "subgradient"),)),
    row("clip",    "a low high", "nan if a != a or low != low or high != high else high if a >= high or low > high else low if a <= low else a",
        ("nan if y != y else 1.0 if low < a and a < high else 0.0",
         "nan if y != y else 1.0 if a <= low and a < high and low <= high else 0.0", "nan if y != y else 1.0 if a >= high or low > high else 0.0"),
        "a held between low and high.", ((U, (-2.0, -1.0), (1.0, 2.0)), (N, (0.0, 0.5), (1.0, 2.0)), (P, (-2.0, -1.0), (-0.5, 0.0)), (U, (1.0, 2.0), (-2.0, -1.0))),
        "At a bound the bound has the derivative, and a has 0; where low > high the result is high.", ("a - low", "a - high"),
        corners=(("a == low or a == high", "subgradient"),)),
    row("select",  "c a b", "a if c > 0.0 else b if c <= 0.0 else nan",
        ("0.0 if c == c else nan", "1.0 if c > 0.0 else 0.0 if c <= 0.0 else nan", "0.0 if c > 0.0 else 1.0 if c <= 0.0 else nan"),
        "a where c > 0, else b: the branch that stays in the graph.", ((P, R, R), (N, R, R)),
        "At c = 0 it is b; the derivative in c is 0 everywhere, although y jumps there.", ("c",), corners=(("c == 0.0", "convention"),)),

    # ------------------------------------------------------------ many arguments: d is for one element
    row("sum",     "x",   "total(x)",      ("1.0",),                                  "Σ x, added from left to right.", ((R,),), over="x"),
    row("dot",     "w x b", "total(w * x) + b", ("x", "w", "1.0"),                    "Σ w·x + b: a neuron's weighted input as one node.", ((R, R, R),),
        defaults={"b": 0.0}, over="w x"),
    row("max",     "x",   "largest(x)",
        ("nan if y != y else (1.0 if x == y else 0.0) / total(1.0 if x == y else 0.0)",),
        "The largest.", ((R,),), "At a tie the largest share the derivative equally.",
        over="x", corners=(("total(1.0 if x == y else 0.0) > 1.0", "subgradient"),)),
    row("logsumexp", "x", f"largest(x) + log1p(rest{_WEIGHT})",
        (local(_SOFTMAX.format(e=_WEIGHT), shown="exp(x - y)", again=_SOFTMAX.format(e=_EXP)),),
        "log Σ exp(x); its derivative is the softmax. Never overflows.", ((R,),),
        "Elements that are infinite and equal share the derivative equally.",
        over="x", corners=(("abs(largest(x)) == inf", "limit"),)),
    # Not p - t: with p = e / Σ e and Σ e = 1 + rest it keeps its digits where p is close to 1.
    row("cross_entropy", "x t", f"total(t) * log1p(rest{_WEIGHT}) + total(0.0 if t == 0.0 and largest(x) - x == inf or x == largest(x) and abs(x) == inf else t * (largest(x) - x))",
        (local(_CHANGE.format(e=_WEIGHT), shown="total(t) * exp(x) / total(exp(x)) - t", again=_CHANGE.format(e=_EXP)),
         local(f"log1p(rest{_WEIGHT}) + (0.0 if x == largest(x) and abs(x) == inf else largest(x) - x)",
               shown="log(total(exp(x))) - x", again=f"log1p(rest({_EXP})) + (largest(x) - x)")),
        "-Σ t·log(softmax(x)): the logits x against the targets t, which sum to 1; the derivative in x is p - t.", ((R, (0.0, 1.0)),),
        "Logits that are infinite and equal share their probability equally.",
        over="x t", corners=(("abs(largest(x)) == inf", "limit"),)),
)
# fmt: on

#: All operations by name: the table, and what users have defined.
RULES: dict[str, Rule] = {}


def add(rule: Rule) -> Rule:
    """Put a rule into :data:`RULES` and return it. RuleError if the name is taken.

    >>> add(RULES["tanh"])
    Traceback (most recent call last):
        ...
    microbp.errors.RuleError: rule tanh: the table has an operation of that name already
    """
    if rule.name in RULES:
        raise RuleError(f"rule {rule.name}: the table has an operation of that name already")
    RULES[rule.name] = rule
    return rule


def restored(name: str, *texts: Any) -> Rule:
    """The row of these texts: the one of the table, if it has that, else a new one."""
    rule = row(name, *texts)
    known = RULES.get(name)
    return known if known and known.__reduce__() == rule.__reduce__() else rule


for each in TABLE:
    add(each)
