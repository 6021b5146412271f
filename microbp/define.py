"""``define``: an operation of the user's own, by a row like those of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from microbp.check.rules import RuleReport, check_rule, point
from microbp.errors import RuleError
from microbp.functions import Operation
from microbp.rules import RULES, TABLE, Interval, Rule, add, row
from microbp.value import as_number

__all__ = ["define"]

#: Where ``smooth`` is left out, each argument is drawn from here.
_EVERYWHERE: Interval = (-3.0, 3.0)


def define(
    name: str,
    args: str,
    y: str,
    d: str | Sequence[str],
    *,
    doc: str | None = None,
    smooth: Sequence[Sequence[Interval]] | None = None,
    corner: str = "",
    kink: str | Sequence[str] = (),
    defaults: Mapping[str, float] | None = None,
    over: str = "",
    check: bool = True,
) -> Operation:
    """Add an operation to the table and return it as a function of Values, numbers and arrays.

    ``args`` names the arguments, ``y`` is the value and ``d`` holds one local derivative ∂y/∂argument
    for each, all in the language of :mod:`microbp.expr`; a derivative may use ``y``. ``doc`` is its
    sentence and ``corner`` what holds where it is not smooth, ``kink`` what changes sign there,
    ``defaults`` has the arguments that may be left out, and ``over`` names those that run over lists.
    From then on the operation records, back-propagates and is checked like any other; where NumPy has
    a ufunc of that name, the ufunc works on arrays of Values.

    >>> from microbp.value import Value
    >>> softsign = define("softsign", "a", "a / (1.0 + abs(a))", "1.0 / pow(1.0 + abs(a), 2.0)")
    >>> x = Value(-3.0)
    >>> y = softsign(x)
    >>> y.backward()
    >>> y.data, x.grad, softsign(1.0)
    (-0.75, 0.0625, 0.5)
    >>> del RULES["softsign"]  # a name is given once; this frees it

    ``smooth`` lists boxes, each with an interval (low, high) for every argument. In each of them
    ``check_rule`` compares the derivatives with the complex-step derivative of ``y``:

    >>> define("cube", "a", "a * a * a", "2.0 * a * a", smooth=[[(1, 2)]])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    microbp.errors.RuleError: rule cube: the derivative in a is wrong: at a = ... gives ...

    Where ``smooth`` is left out there is one box, from -3 to 3 in every argument: both signs are
    covered, and a value that is undefined in it raises. With ``check=False`` nothing is compared, for
    a derivative that is different on purpose. A straight-through estimator passes the upstream
    gradient through a step:

    >>> step = define("step", "a", "1.0 if a > 0.0 else 0.0", "1.0", check=False)
    >>> step(x).local_derivatives
    (1.0,)
    >>> del RULES["step"]

    Raises RuleError, and adds nothing, where the row is malformed, the name is taken, the value or a
    derivative is undefined within ``smooth``, or a derivative is wrong; TypeError where a text is none.
    """
    for word, text in (("name", name), ("args", args), ("over", over)):
        if not isinstance(text, str):
            raise TypeError(f"define(): {word} is a text, not {text!r}")
    if not isinstance(d, Sequence):
        raise TypeError(f"define(): d holds the text of a derivative for each argument, not {d!r}")
    for arg, number in (defaults or {}).items():
        as_number(number, f"define(): the default of {arg}")
    if name in RULES:
        cure = "" if RULES[name] in TABLE else f", or free it first: del microbp.rules.RULES[{name!r}]"
        raise RuleError(f"rule {name}: there is an operation of that name; choose another{cure}")
    boxes = () if smooth is None else tuple(smooth)
    if smooth is None and check:
        boxes = (tuple(_EVERYWHERE for _ in args.split()),)
    rule = row(
        name, args, y, (d,) if isinstance(d, str) else tuple(d),
        f"Defined as {y}." if doc is None else doc, boxes, corner,
        (kink,) if isinstance(kink, str) else tuple(kink), defaults, over,
    )  # fmt: skip
    if check:
        try:
            report = check_rule(rule)
        except RuleError as error:
            if smooth is not None:
                raise
            low, high = _EVERYWHERE
            raise RuleError(
                f"{error}. It was left out, which stands for {low} to {high} in each argument"
            ) from None
        if not report.ok:
            raise RuleError(_fault(rule, report))
    return Operation(add(rule))


def _fault(rule: Rule, report: RuleReport) -> str:
    """What is wrong with a row, in a sentence, and what to do."""
    if not report.rows:
        return f"rule {rule.name}: smooth=() leaves nothing to check; give a box, or say check=False"
    worst = next(each for each in report.rows if not each.ok)
    at = point(worst.at)
    if worst.operand == "y":
        return (
            f"rule {rule.name}: at {at} the value {str(rule.y)!r} is {worst.stated!r}, but read in complex "
            f"arithmetic {worst.measured!r}, so its derivative cannot be measured there; let smooth= "
            "leave such points out, or say check=False"
        )
    arg, _, _ = worst.operand.partition("[")
    d = str(rule.d[rule.args.index(arg)])
    return (
        f"rule {rule.name}: the derivative in {worst.operand} is wrong: at {at} the text {d!r} gives "
        f"{worst.stated!r}, but the complex-step derivative of {str(rule.y)!r} is {worst.measured!r}; "
        "correct it, or say check=False if it differs on purpose (a straight-through estimator)"
    )
