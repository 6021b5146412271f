"""``check_gradients`` and ``numerical_gradient``: gradients beside derivatives that owe nothing to them.

A recorded loss is computed once more in complex arithmetic, with each parameter moved by ih in a column of
its own: that gives the exact derivative of the *whole* graph, of which no cancellation takes digits. What
then looks wrong is looked at by itself, from either side, and explained by the local derivatives on its way.
A function that records its loss has to give beside the point what its record gives there. Of functions that
are only called, differences decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from microbp.array.loops import masked
from microbp.calls import line_of, user_scope
from microbp.check import measure
from microbp.check.auditing import changes_in, grad_state, sums, verdict
from microbp.check.measure import EPS, ROUNDING, Derivative, Verdict, differences, judge
from microbp.compiled import same, tried
from microbp.errors import NoGradientError, TooManyValues
from microbp.graph import Graph, given_to
from microbp.labels import mapped, variable_names
from microbp.node import upstream_gradients
from microbp.sweeps import backward, dependents, forward
from microbp.text import Report, Table, number, quoted
from microbp.value import Value, as_number, describe

#: So many values are computed anew in all, in some ten seconds; so many complex numbers are held at once, in
#: so many columns.
WORK, _HELD, _COLUMNS = 60_000_000, 2_000_000, 1000
#: The step of the plain central difference, which learners know: where its two errors balance.
_CENTRAL: float = EPS ** (1 / 3)
#: At these parts of a parameter on either side a function has to give what it has recorded.
_PROBES = [sign * h for h in (2.0**-13, 2.0**-40) for sign in (1.0, -1.0)]
#: The verdicts on a gradient. A corner is a matter of convention, and conventions may add up to no slope.
WORDS = {"right": "agree", "corner": "inconclusive", "wrong": "DISAGREE", "unknown": "inconclusive"}
WHY = {
    "not finite": "not finite: {what} is {x!r}",
    "independent": "the loss does not depend on it",
    "corner": "not smooth: {rule} at {where} in {operand}{more}: {why}",
    "kink or jump": "kink or jump within the step: {why}",
    "branch": "another branch within the step: the function records other operations there",
    "unrecorded": "the function depends on it in a way that is not recorded (.data, float?)",
    "wrong": "rule {rule} is wrong at {where}: its derivative in {operand} is {stated}, measured {measured}",
    "sums": "wrong accumulation: {told}",
    "fine": "no local derivative is wrong: the loss has finer structure than the steps can show",
    "single": "the function gives no more than single precision: what agrees is known to a percent",
    "fresh": "leaves that each call makes anew are not checked: {count}",
}
WRONG_CALL = {
    "Values": "{0}: check_gradients() takes a Value, or a function without arguments that returns one. Of "
        "several Values check a sum; of a function of plain arrays give the array and its gradient: "
        "check_gradients(f, x, gradient=g)",
    "array": "{0}: check_gradients(f, x, gradient=g) takes a function of one array that returns a real "
        "number, the array, and the gradient, an array of real numbers or the function that gives it. Of "
        "several arrays check one, lambda x: f(x, y); of a recorded loss give other gradients as claimed=",
    "both": "gradient= is claimed of a function of an array, claimed= of a recorded loss: give one of them",
    "shape": "the gradient has the shape {0}, the array {1}",
    "odd claim": "claimed gradients are in the shape of parameters, which are given too: {0} is in {1} only",
    "restless": "two calls of the function gave {0!r} and {1!r}: what it gives must depend on the parameters "
        "alone. Fix its seed, and leave updates out of it",
    "nothing": "there is nothing to check: no parameter was given",
    "no leaf": "there is nothing to check: {0} is no result of recorded operations on a leaf that takes a "
        "gradient{1}",
    "changed": "{0}{1}. Compute the loss again, or give a function that computes it",
    "parameters": "{0} moves Values: give one, a list or array of them, or a dict of these, not {1!r}",
    "frozen": "{0} is frozen (requires_grad is False)",
    "computed": "{0} was computed, and each call of the function computes it anew: give leaves, or the "
        "recorded loss in place of the function",
    "before": "{0} was computed from {1} before the function was called, which does not compute it anew: "
        "compute it within the function",
    "function": "{0}: numerical_gradient() takes a function without arguments that gives a Value or a number",
    "size": "check_gradients() computes the graph again for each parameter, and {0:,} times {1:,} values is "
        "more than {2:,}: give fewer of them, check_gradients(loss, [w, b]), or the loss of one sample",
}  # fmt: skip


class GradientRow(NamedTuple):
    """One gradient and what was measured."""

    name: str
    #: The back-propagated gradient, or the claimed one.
    claimed: float
    numerical: float
    #: How far the two may be apart by the errors of both.
    tolerance: float
    #: ``agree``, ``DISAGREE`` or ``inconclusive``.
    verdict: str
    #: The reason for a verdict that needs one.
    why: str
    #: The plain central difference, for comparison; nan where there is none.
    central: float = math.nan

    @property
    def absolute_error(self) -> float:
        """|claimed - numerical|."""
        return 0.0 if self.claimed == self.numerical else abs(self.claimed - self.numerical)

    @property
    def relative_error(self) -> float:
        """The absolute error relative to the larger of the two."""
        larger = max(abs(self.claimed), abs(self.numerical))
        return self.absolute_error / larger if larger and math.isfinite(larger) else self.absolute_error


@dataclass(frozen=True, repr=False)
class GradientReport(Report):
    """What :func:`check_gradients` found; ``str(report)`` is the table."""

    title: str
    rows: tuple[GradientRow, ...]
    notes: tuple[str, ...]
    #: What the second column is called.
    source: str = "back-propagated"

    @property
    def ok(self) -> bool:
        """Whether no gradient disagrees. What is inconclusive was not decided: see ``counts``."""
        return not self.counts["DISAGREE"]

    def table(self) -> Table:
        """The table. Where there are more than 60 rows, those that agree are only counted."""
        shown = [row for row in self.rows if len(self.rows) <= 60 or row.verdict != "agree"]
        hidden = len(self.rows) - len(shown)
        more = (f"{hidden} gradients that agree are not shown (report.rows)",) if hidden else ()
        columns = "name", f">{self.source}", ">numerical", ">central difference", ">relative", ">known to"
        lines = tuple(
            (
                row.name, row.claimed, row.numerical, row.central, f"{row.relative_error:.1e}",
                f"±{row.tolerance:.1e}", ": ".join(filter(None, (row.verdict, row.why))),
            )
            for row in shown
        )  # fmt: skip
        return Table(f"{self.title}: {self._tally()}", (*columns, "verdict"), lines, more + self.notes)


def check_gradients(
    loss: Value | Callable[..., Any],
    parameters: Any = None,
    *,
    gradient: Any = None,
    claimed: Any = None,
    show: bool = True,
    names: Mapping[str, Any] | None = None,
) -> GradientReport:
    """Compare the gradients of ``loss`` with measured ones; print the table and return it.

    ``loss`` is a recorded Value. Or it is a function without arguments that returns one: it is called beside
    the point too, with the leaves moved and put back, and has to give what its record gives there.
    ``parameters`` are Values, or lists, arrays, dicts of them; all leaves that take a gradient, if left out.
    ``claimed`` holds gradients in the shape of ``parameters``, to be checked in place of those of
    back-propagation; ``grad`` is neither used nor touched.

    >>> w, b, x = Value(0.4, name="w"), Value(0.0, name="b"), 3.0
    >>> report = check_gradients((w * x - 1.0).tanh() + b.relu())
    check_gradients(loss = 0.19737532): 1 agree, 1 inconclusive
    <BLANKLINE>
    name   back-propagated     numerical   central difference   relative   known to   verdict
    ...
    w           +2.8831289    +2.8831289 ...   agree
    b                    0   +0.50000000 ...   inconclusive: not smooth: relu at v5 in a = b: ...
    >>> report.ok, report["w"].verdict
    (True, 'agree')

    Or, with ``gradient``, ``loss`` is any function of an array that returns a number, in NumPy or C:
    ``parameters`` is the array at which, and ``gradient`` the claimed gradient there, an array or the
    function that gives it.

    >>> check_gradients(lambda x: np.sum(x**3), [1.0, -2.0], gradient=lambda x: 3 * x**2, show=False).ok
    True

    Or ``loss`` is a function of PyTorch or of JAX, such as a module (its parameters are checked as well) or
    one with a rule of its own; ``parameters`` are the tensors at which, several in a tuple, in JAX any tree.
    The gradient is the library's, unless ``gradient`` is given; in double precision where that is possible.

    A gradient agrees if it differs from the measured one by no more than rounding, or the estimated errors,
    and these are so small that a relative error of 1e-4 would have been seen. It disagrees if it differs
    by more, and names the local derivative that is wrong. Else the row is inconclusive and says why: a kink,
    a number that is not finite, an operation undefined beside the point, a function that hides the digits.
    A gradient that is 0 but for the rounding of terms that cancel is judged by the size of these. ``ok``
    means that none disagrees.

    ``names`` maps names to Values for the table, in place of the variables of the caller.

    Raises NoGradientError where nothing takes a gradient, where ``loss`` is a leaf or a constant, or where
    data of the graph was changed after it was recorded; ValueError where two calls of the function
    differ, a shape does not fit or no parameter is given; TypeError for anything else than a Value or such
    a function.
    """
    scope = user_scope() if names is None else names

    def called(held: Any, otherwise: str) -> str:
        return next((name for name, each in scope.items() if each is held), otherwise)

    if gradient is not None and claimed is not None:
        raise ValueError(WRONG_CALL["both"])
    foreign = next((FOREIGN[each] for each in FOREIGN if each in _libraries((loss, parameters))), None)
    if made := foreign or (_of_numpy if gradient is not None else None):
        report = _of_arrays(made(loss, parameters, gradient, called))
    else:
        report = _of_values(loss, parameters, claimed, scope)
    return report._presented(show)


def numerical_gradient(function: Callable[[], Any], parameters: Any, *, details: bool = False) -> Any:
    """∂function/∂p for each parameter p, measured by differences, in the shape of ``parameters``.

    ``function`` is called without arguments and returns a Value or a number, for which it reads the
    parameters: a Value, or a list, tuple, array or dict of them, nested if you like. Each ``data`` is moved
    and put back in turn, also if the function raises. Returns a float, lists, float arrays, a dict of them.

    >>> w = Value(3.0)
    >>> round(numerical_gradient(lambda: w * w * w, w), 9)
    27.0

    With ``details``, a :class:`Derivative` takes the place of each number: the value, its estimated
    error, and the slopes on either side, which differ at a kink:

    >>> b = Value(0.0)
    >>> slope = numerical_gradient(lambda: 2.0 * b.relu(), b, details=True)
    >>> slope.left, slope.right, slope.kinked
    (0.0, 2.0, True)

    A step at which the function is undefined is left out; if that leaves none, the result is nan.
    Expect ten digits or more of a smooth function, fewer where large numbers cancel in it.

    Raises TypeError where the parameters are no Values or the function gives no number; NoGradientError
    where a part of what it gives was computed from them before, so that it does not move with them.
    """
    @np.errstate(all="ignore")  # beside the point a function may be undefined, or overflow
    def measured(_: str, value: Any) -> Any:
        if not isinstance(value, Value):
            raise TypeError(WRONG_CALL["parameters"].format("numerical_gradient()", value))
        beside = value.data + _PROBES[0] * (abs(value.data) or 1.0)
        _anew(first, tried(_moved, function, value, beside), value)
        got = differences(partial(_number_at, function, value), value.data)
        return got if details else got.value

    if isinstance(function, Value) or not callable(function):
        raise TypeError(WRONG_CALL["function"].format(quoted(function)))
    _takes("function", function)
    first = function()  # what is wrong with it anywhere is no step to be left out
    return mapped(parameters, measured)


def _anew(first: Any, moved: Any, value: Value) -> None:
    """Refuse a function whose result, with a Value moved, holds what was computed from that before."""
    if isinstance(first, Value) and isinstance(moved, Value):
        graph, kept = Graph(first, {}), Graph(moved, {})._places
        way = dependents(graph, [graph._places[id(value)]] if id(value) in graph._places else [])
        for place, each in enumerate(graph._values):
            if way[place] and each is not value and id(each) in kept:
                raise NoGradientError(WRONG_CALL["before"].format(describe(each), describe(value)))


# ----------------------------------------------------------------------------- functions that are called
class Claimed(NamedTuple):
    """A function of arrays that returns a number, and its gradient as somebody has it."""

    function: Callable[[list[Any]], float]
    #: At which arrays, by what they are called.
    arrays: Mapping[str, Any]
    #: For each of them, in its shape.
    gradients: Sequence[Any]
    source: str = "claimed"
    notes: tuple[str, ...] = ()
    #: The last digit of what the function gives, by its type; None where it is to be seen in the numbers.
    eps: float | None = None


#: What makes that of a function of another library, by the library's name: of the function, the arrays at
#: which, the gradient or None, and what an array is called, else as is given. Put here by the bridges.
FOREIGN: dict[str, Callable[[Any, Any, Any, Callable[[Any, str], str]], Claimed]] = {}


def _libraries(held: Any) -> set[str]:
    """Those that an object is of, and what is in it."""
    inside = held.values() if isinstance(held, dict) else held if isinstance(held, list | tuple) else ()
    own = {kind.__module__.partition(".")[0] for kind in type(held).__mro__}
    return own.union(*map(_libraries, inside))


def _of_numpy(function: Any, x: Any, gradient: Any, called: Callable[[Any, str], str]) -> Claimed:
    """The claimed gradient of a function of one array of NumPy's."""

    def real(given: Any, what: str) -> Any:
        with suppress(TypeError, ValueError):  # rows of unequal length, too
            if given is not None and not masked(given) and np.asarray(given).dtype.kind in "biufO":
                return np.array(given, dtype=float)
        raise TypeError(WRONG_CALL["array"].format(f"{what} {quoted(given)}"))

    if isinstance(function, Value) or not callable(function):
        raise TypeError(WRONG_CALL["array"].format(f"the function is {quoted(function)}"))
    at = real(x, "the array is")
    _takes("array", function, at)
    if callable(gradient):
        _takes("array", gradient, at)
        gradient = gradient(at.copy())
    claims, y = real(gradient, "the gradient is"), function(at.copy())
    if np.ndim(real(y, "the function returned")):
        raise TypeError(WRONG_CALL["array"].format(f"the function returned {quoted(y)}"))
    kind = np.asarray(y).dtype  # a double may have been of single precision before
    eps = None if kind.char == "d" else measure.last_digit(np.finfo, kind)
    return Claimed(lambda given: float(function(*given)), {called(x, "x"): at}, [claims], eps=eps)


def _takes(form: str, function: Callable[..., Any], *given: Any) -> None:
    """TypeError where a function is not called with these arguments."""
    try:
        signature(function).bind(*given)
    except TypeError as error:
        raise TypeError(WRONG_CALL[form].format(error)) from None
    except ValueError:
        pass  # a function of C that does not tell


@np.errstate(all="ignore")  # beside the point a function may be undefined, or overflow
def _of_arrays(claimed: Claimed) -> GradientReport:
    """The verdict on each element of a claimed gradient."""
    held = [*claimed.arrays.values()]
    shapes = [" and ".join(str(each.shape) for each in arrays) for arrays in (claimed.gradients, held)]
    if shapes[0] != shapes[1]:
        raise ValueError(WRONG_CALL["shape"].format(*shapes))
    if not sum(each.size for each in held):
        raise ValueError(WRONG_CALL["nothing"])

    def at(array: int, place: tuple[int, ...], x: Any) -> float:
        moved = [each.copy() for each in held]
        moved[array][place] = x
        return claimed.function(moved)

    base, again = at(0, (), held[0]), at(0, (), held[0])
    if not same(base, again):
        raise ValueError(WRONG_CALL["restless"].format(base, again))
    # All arguments tell of its precision: one that it does not depend on leaves it at a whole number.
    places = [(array, *each) for array, numbers in enumerate(held) for each in np.ndenumerate(numbers)]
    parts = math.pi / 24.0, -math.pi / 37.0  # of no number with a few digits
    beside = [tried(at, array, place, x + h * max(1.0, abs(x))) for array, place, x in places for h in parts]
    rows, eps = [], claimed.eps or measure.precision([base, *beside])
    for array, (name, numbers) in enumerate(claimed.arrays.items()):
        for place in np.ndindex(numbers.shape):
            along, x = partial(at, array, place), float(numbers[place])
            claim = float(claimed.gradients[array][place])
            element = f"[{','.join(map(str, place))}]" if place else ""
            got = differences(along, x, patient=True, eps=eps)
            rows.append(_row(name + element, claim, _by_differences(claim, got), _central(along, x)))
    notes = claimed.notes + (WHY["single"],) * got.single
    return GradientReport(f"check_gradients(loss = {base:.8g})", tuple(rows), notes, claimed.source)


def _moved(function: Callable[[], Any], value: Value, x: float) -> Any:
    """What a function gives, and records, where one of its leaves is moved."""
    before, value._data = value._data, x
    try:
        y = function()
        return x if y is value else y  # which is about to be put back
    finally:
        value._data = before


def _number_at(function: Callable[[], Any], value: Value, x: float) -> float:
    y = _moved(function, value, x)
    return as_number(y.data if isinstance(y, Value) else y, "a function to differentiate")


def _central(f: Callable[[float], float], x: float) -> Any:
    """The plain central difference; nan where the function is undefined beside x."""
    h = _CENTRAL * max(1.0, abs(x))
    return (tried(f, x + h) - tried(f, x - h)) / (2.0 * h)


def _by_differences(claim: float, got: Derivative, rounding: float = 0.0, terms: float = 0.0) -> Verdict:
    """What differences say of a claim; at a kink that is left to the conventions."""
    found = judge(claim, got, rounding, terms or got.steepest or math.inf)  # 0 if it never moves
    if got.kinked:
        found = found._replace(word="corner", why=WHY["kink or jump"].format(why=found.why))
    return found


def _row(name: str, claim: float, found: Verdict, central: float) -> GradientRow:
    return GradientRow(name, claim, found.measured, found.off, WORDS[found.word], found.why, central)


# --------------------------------------------------------------------------------------- recorded losses
@np.errstate(all="ignore")
def _of_values(loss: Any, parameters: Any, claimed: Any, scope: Mapping[str, Any]) -> GradientReport:
    """The gradients of a recorded loss, or of a function that records one."""
    function, again, held = None, loss, "the loss is"
    if callable(loss) and not isinstance(loss, Value):
        _takes("Values", loss)
        function, loss, again, held = loss, loss(), loss(), "the function returned"
    for each in (loss, again):
        if not isinstance(each, Value):
            raise TypeError(WRONG_CALL["Values"].format(f"{held} {quoted(each)}"))
    if not same(loss.data, again.data):
        raise ValueError(WRONG_CALL["restless"].format(loss.data, again.data))
    case = _Recorded(loss, function, {**(parameters if isinstance(parameters, Mapping) else {}), **scope})
    leaves = [each for each in case.graph._values if each.is_leaf and each.requires_grad]
    called = Graph(again, {})
    lasting = [each for each in leaves if id(each) in called._places]
    fresh = len(leaves) - len(lasting)
    computed = function is not None or case.graph.root.rule is not None
    if parameters is None and claimed is None:
        parameters = lasting or None
    if not computed or parameters is claimed is None:
        lasts = " and lasts from call to call" * (fresh > 0)
        more = lasts if computed else ". Give a function that computes it"
        raise NoGradientError(WRONG_CALL["no leaf"].format(describe(loss), more))
    given: dict[str, Any] = {}
    claims: dict[str, Any] = {}
    for shape, found in (parameters, given), (claimed, claims):
        mapped([] if shape is None else shape, found.__setitem__)
    for path in {**given, **claims} if claimed is not None else ():
        if path not in given or path not in claims:
            there = "parameters" if path in given else "claimed"
            raise ValueError(WRONG_CALL["odd claim"].format(path or "one", there))
        claims[path] = as_number(claims[path], f"the claimed gradient of {path or 'parameters'}")
    if not given:
        raise ValueError(WRONG_CALL["nothing"])
    for value in given.values():
        if not isinstance(value, Value):
            raise TypeError(WRONG_CALL["parameters"].format("check_gradients()", value))
        for wrong, why in (not value.requires_grad, "frozen"), (function and not value.is_leaf, "computed"):
            if wrong:
                raise NoGradientError(WRONG_CALL[why].format(describe(value)))
    rows = tuple(case.rows(given, claims))
    notes = [WHY["fresh"].format(count=fresh)] if fresh else []
    state = grad_state(case.graph, case.gradients)
    notes += [] if state in ("not computed", "holds 1 backward pass") else [f"grad: {state}"]
    source = "back-propagated" if claimed is None else "claimed"
    return GradientReport(f"check_gradients({case.graph.title})", rows, tuple(notes), source)


class _Recorded:
    """A recorded loss, its back-propagated gradients, and the verdict on each of them."""

    def __init__(self, root: Value, function: Callable[[], Any] | None, names: Mapping[str, Any]) -> None:
        self.root, self.function, self.variables = root, function, variable_names(names)
        self.graph = given_to("check_gradients()", root, names)
        for change in changes_in(self.graph) if function is None else ():
            at = f" [{line_of(change.node.site)}]" if change.node.site else ""
            raise NoGradientError(WRONG_CALL["changed"].format(change.text, at))
        self.gradients, self.numbers = upstream_gradients(root), self.graph.data.tolist()
        #: For each node the sum over all paths to the root of the product of |local derivatives|.
        sizes = backward(self.graph, {len(self.graph) - 1: 1.0}, np.abs(self.graph.local))
        self.sizes = np.where(np.isfinite(sizes), sizes, 0.0)
        #: What part of that rounding may move the gradient by.
        self.rounding = 8.0 * EPS * len(self.graph)
        self.local = cache(lambda node, place: verdict(self.graph.nodes[node], self.numbers, place))

    def rows(self, given: Mapping[str, Value], claims: Mapping[str, float]) -> Iterator[GradientRow]:
        """The verdict on the gradient of each value, the claimed or the back-propagated one."""
        places = [self.graph._places.get(id(value)) for value in given.values()]
        exact = self._exact(np.array([place for place in places if place is not None], dtype=int))
        for (path, value), place in zip(given.items(), places, strict=True):
            own = self.gradients.get(id(value), 0.0)
            claim = claims.get(path, own)
            name, (slope, central) = value.name or self.variables.get(id(value)) or path, (0.0, 0.0)
            if place is not None:
                name, (slope, central) = self.graph.names[place], next(exact)
            if self.function is not None:
                central = _central(partial(_number_at, self.function, value), value.data)
            blame = abs(claim - own) <= ROUNDING * abs(own)
            yield _row(name, claim, self._judged(value, place, claim, slope, blame), central)

    def _exact(self, at: Any) -> Iterator[tuple[float, float]]:
        """The complex-step derivative by each node, nan if it is not sure; and the central difference."""
        if len(self.graph) * len(at) > WORK:
            raise TooManyValues(WRONG_CALL["size"].format(len(at), len(self.graph), WORK))
        # Wider on the other side: what both give is neither rounding nor one side of a corner.
        step, wider = measure.STEP, -measure.WIDER * measure.STEP
        right, left, unit = (self._moved(at, np.full(len(at), 1j * h)) for h in (step, wider, 1.0))
        slope, allowed = right.imag / step, self.rounding * self.sizes[at]
        sure = abs(slope - left.imag / wider) <= ROUNDING * abs(slope) + allowed
        sure &= (right.real == left.real) & ((slope != 0.0) | (unit.imag == 0.0))  # too small to be seen
        h = _CENTRAL * np.maximum(1.0, abs(self.graph.data[at]))
        central = (self._moved(at, h) - self._moved(at, -h)) / (2.0 * h)
        yield from zip(np.where(sure, slope, math.nan).tolist(), central.tolist(), strict=True)

    def _moved(self, at: Any, step: Any) -> Any:
        """The loss [k] where in each of k columns another node is moved by its step; nan where undefined."""
        if len(at) <= 1 or len(at) <= min(_COLUMNS, _HELD // len(self.graph)):
            given = dict(zip(at.tolist(), self.graph.data[at][:, None] + np.diag(step), strict=True))
            try:
                return np.broadcast_to(forward(self.graph, given)[-1], at.shape)
            except (ArithmeticError, ValueError):
                if len(at) == 1:
                    return np.full(1, math.nan, dtype=step.dtype)
        half = len(at) // 2
        return np.concatenate([self._moved(at[:half], step[:half]), self._moved(at[half:], step[half:])])

    def _at(self, place: int | None, x: Any) -> Any:
        """The loss where a node has another number."""
        return self.graph.root.data if place is None else forward(self.graph, {place: x})[-1]

    def _judged(self, value: Value, place: int | None, claim: float, slope: float, blame: bool) -> Verdict:
        """The verdict on one gradient."""
        for what, x in (("the parameter", value.data), ("the loss", self.graph.root.data)):
            if not math.isfinite(x):
                return Verdict(math.nan, "unknown", WHY["not finite"].format(what=what, x=x), math.inf)
        size = 0.0 if place is None else float(self.sizes[place])
        scale = self.rounding * size, size
        if self.function is not None and (departs := self._departs(self.function, value, place)):
            got = differences(partial(_number_at, self.function, value), value.data, patient=True)
            found = _by_differences(claim, got, *scale)
            if departs == "branch" or found.word == "wrong":
                word = "unknown" if departs == "branch" else "wrong"
                found = found._replace(word=word, why=WHY[departs])
            return found
        found, along = judge(claim, Derivative(slope, 0.0, slope, slope), *scale), partial(self._at, place)
        if place is None:
            return found._replace(why=found.why or WHY["independent"])
        if not math.isfinite(claim):  # where the chain rule breaks down, complex numbers may go another way
            found = _by_differences(claim, differences(along, value.data, patient=True), *scale)
            if found.word == "wrong":  # unless a rule has no derivative there, as (-2)**b has none in b
                none = np.isnan(self.graph.local[self.graph.args >= 0]).any()
                return found._replace(word="unknown" if none else "wrong")
        elif math.isnan(slope) or (found.word != "right" and abs(value.data) <= measure.SMALL):
            found = judge(claim, measure.complex_step(along, value.data), *scale)
        return found if found.word == "right" else self._explained(place, found, blame)

    def _departs(self, function: Callable[[], Any], value: Value, place: int | None) -> str:
        """How a function that is called beside the point departs from its record; empty if it does not."""
        def operations(graph: Graph) -> tuple[Any, ...]:
            return graph.rules, graph.op.tobytes(), graph.args.tobytes()

        departs = ""
        for part in _PROBES:
            x = value.data + part * (abs(value.data) or 1.0)
            y = tried(_moved, function, value, x)
            if same(y.data if isinstance(y, Value) else y, tried(self._at, place, x)):
                continue
            if isinstance(y, Value) and operations(Graph(y, {})) == operations(self.graph):
                _anew(self.root, y, value)
                return "unrecorded"
            departs = "branch" if part in _PROBES[-2:] else departs
        return departs

    def _explained(self, place: int, found: Verdict, blame: bool) -> Verdict:
        """A verdict that is not right, by the local derivatives on the way of a gradient and their sum."""
        way = dependents(self.graph, [place])
        met = [
            (node, i, self.local(node.position, i))
            for node in (self.graph.nodes[at] for at in np.flatnonzero(way).tolist())
            for i, operand, _ in node.edges
            if way[operand]
        ]
        decided = found.word == "wrong" and blame
        for word, kinds in (("wrong", {"wrong"}),) * decided + (("corner", {"undefined", "edge", "corner"}),):
            of = [each for each in met if each[2].word in kinds]
            others = len({node.position for node, *_ in of}) - 1
            for node, i, one in of[:1]:
                why = WHY[word].format(
                    rule=node.rule and node.rule.name, where=node.where, why=one.why,
                    operand=node.operand_words[i], stated=number(node.local_derivatives[i]),
                    measured=number(one.measured), more=f", and {others} more" if others else "",
                )  # fmt: skip
                return found._replace(word=word, why=why)
        if not decided:
            return found
        summed, told = sums(self.graph, self.gradients)
        if not summed:
            return found._replace(why=WHY["sums"].format(told=told))
        return found._replace(word="unknown", why=WHY["fine"])
