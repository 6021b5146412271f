"""``check_gradients`` and ``numerical_gradient``: gradients beside derivatives that owe nothing to them.

A recorded loss is computed once more in complex arithmetic, with each parameter moved by ih in a column of
its own: that gives the exact derivative of the *whole* graph, of which no cancellation takes digits. What
then looks wrong is looked at by itself, from either side. A function that records its loss has to give beside
the point what its record gives there. Of functions that are only called, differences decide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from microbp.backward import upstream_gradients
from microbp.bounds import bounded
from microbp.check.auditing import changes_in, grad_state, sums, verdict
from microbp.check.measure import (
    DECISIVE,
    DECISIVE_SINGLE,
    EPS,
    NOTHING,
    ROUNDING,
    STEP,
    WIDER,
    Derivative,
    Verdict,
    complex_step,
    differences,
    judge,
    same,
)
from microbp.check.report import GradientReport, GradientRow
from microbp.check.words import entries_of, line_of, named, operand_names, operand_words, where
from microbp.errors import NoGradientError, TooManyValues
from microbp.graph import Graph, Node
from microbp.labels import variable_names
from microbp.sites import user_scope
from microbp.sweeps import backward, dependents, forward
from microbp.tables import number
from microbp.value import Value, as_number, describe

#: So many values are computed anew in all, in some ten seconds.
WORK = 60_000_000
#: So many complex numbers are held at once.
_HELD = 2_000_000
#: The step of the plain central difference, which learners know: where its two errors balance.
_CENTRAL: float = EPS ** (1 / 3)
#: At these parts of a parameter on either side a function has to give what it has recorded.
_PROBES = [sign * h for h in (2.0**-13, 2.0**-26, 2.0**-40) for sign in (1.0, -1.0)]
#: The verdicts on a gradient. A corner is a matter of convention, and conventions may add up to no slope.
WORDS = {"right": "agree", "corner": "inconclusive", "wrong": "DISAGREE", "unknown": "inconclusive"}
WHY = {
    "not finite": "not finite: {what} is {x!r}",
    "independent": "the loss does not depend on it",
    "kink": "kink within the step: {corner}{more}",
    "kink or jump": "kink or jump within the step: {why}",
    "undefined": "undefined within the step: {why}",
    "branch": "another branch within the step: the function records other operations there",
    "unrecorded": "the function depends on it in a way that is not recorded (.data, float?)",
    "rule": "rule {rule} is wrong at {where}: its derivative in {operand} is {stated}, measured {measured}",
    "sums": "wrong accumulation: {told}",
    "fine": "no local derivative is wrong: the loss has finer structure than the steps can show",
}
SINGLE = "the function computes in single precision: what agrees is known to a percent"
WRONG_CALL = {
    "array function": "with gradient=, check_gradients() takes a function of an array, not {0!r}; "
    "other gradients than the recorded ones of a loss are given as claimed=",
    "array": "check_gradients(f, x, gradient=g) takes the array at which, in x, not {0!r}",
    "claim": "the gradient is an array of real numbers, not {0!r}",
    "number": "with gradient=, the function returns a real number, not {0!r}; of several, check a weighted "
        "sum",
    "arguments": "check_gradients() calls a function of Values without arguments: {0}. Of a function of "
        "plain arrays give the array and its gradient: check_gradients(f, x, gradient=g)",
    "shape": "the gradient has the shape {0}, the array {1}",
    "count": "the gradient is that of {0} arrays; the function takes {1}",
    "function": "check_gradients() takes a Value, or a function without arguments that returns one, "
        "not {0!r}",
    "result": "the function must return the loss as a Value, not {0!r}; of a function of plain arrays "
        "give the array and its gradient: check_gradients(f, x, gradient=g)",
    "restless": "two calls of the function gave {0!r} and {1!r}: what it gives must depend on the parameters "
        "alone. Fix its seed, and leave updates out of it",
    "no parameters": "claimed gradients are in the shape of parameters: give these too",
    "no leaf": "there is nothing to check: {0} depends on no leaf that takes a gradient{1}",
    "leaf": "there is nothing to check: {0} is not the result of a recorded operation but a leaf or a "
        "constant. Give a function that computes it",
    "changed": "{0}{1}. Compute the loss again, or give a function that computes it",
    "parameters": "{0} moves Values: give one, a list or array of them, or a dict of these, not {1!r}",
    "frozen": "{0} is frozen (requires_grad is False)",
    "computed": "{0} was computed, and each call of the function computes it anew: give leaves, or the "
        "recorded loss in place of the function",
    "size": "check_gradients() computes the graph again for each parameter, and {0:,} times {1:,} values is "
        "more than {2:,}: give fewer of them, check_gradients(loss, [w, b]), or the loss of one sample",
}  # fmt: skip


# ---------------------------------------------------------------------------------------- the functions
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

    ``loss`` is a recorded Value: its graph is computed again in complex numbers. Or it is a function without
    arguments that returns one: it is called beside the point too, with the leaves moved and put back, and has
    to give what its record gives there. ``parameters`` are Values, or lists, arrays or dicts of them; all
    leaves that take a gradient, if left out. ``claimed`` holds gradients in the shape of ``parameters``, to
    be checked in place of those of back-propagation; ``grad`` is neither used nor touched.

    >>> w, b, x = Value(0.4, name="w"), Value(0.0, name="b"), 3.0
    >>> report = check_gradients((w * x - 1.0).tanh() + b.relu())
    check_gradients(loss = 0.19737532): 1 agree, 1 inconclusive
    <BLANKLINE>
    name   back-propagated     numerical   central difference   relative   known to   verdict
    ...
    w           +2.8831289    +2.8831289 ...   agree
    b                    0   +0.50000000 ...   inconclusive: kink within the step: relu at v5, where b = 0.0
    >>> report.ok, report["w"].verdict
    (True, 'agree')

    Or, with ``gradient``, ``loss`` is any function of an array that returns a number, in NumPy or C:
    ``parameters`` is the array at which, and ``gradient`` the claimed gradient there, an array or the
    function that gives it.

    >>> check_gradients(lambda x: np.sum(x**3), [1.0, -2.0], gradient=lambda x: 3 * x**2, show=False).ok
    True

    Or ``loss`` is a function of PyTorch or of JAX, such as ``apply`` of a ``torch.autograd.Function``, a
    module (its parameters are checked as well), or a function with a rule of its own; ``parameters`` are the
    tensors at which, a tuple where it takes several, in JAX any tree. The gradient is the one that the
    library gives, unless ``gradient`` is given. All is computed in double precision where that is possible.

    A gradient agrees if it differs from the measured one by no more than rounding, or the estimated errors,
    and these are so small that a relative error of 1e-4 would have been seen. It disagrees if it differs
    by more, and names the local derivative that is wrong. Else the row is inconclusive and says why: a kink,
    a number that is not finite, an operation undefined beside the point, a function that hides the digits.
    A gradient that is 0 but for the rounding of terms that cancel is judged by the size of these. ``ok``
    means that none disagrees. The table shows the plain central difference beside it.

    ``names`` maps names to Values for the table, in place of the variables of the caller.

    Raises NoGradientError where nothing takes a gradient, where ``loss`` is a leaf or a constant, or where
    data of the graph was changed after it was recorded; ValueError where two calls of the function
    differ or a shape does not fit; TypeError for anything else than a Value or such a function.
    """
    scope = user_scope() if names is None else names
    library = next((each for each in FOREIGN if _is_of(each, loss) or _is_of(each, parameters)), "")
    if library:
        report = _of_arrays(FOREIGN[library](loss, parameters, gradient, partial(_called, scope)))
    elif gradient is not None:
        report = _of_arrays(_claimed(loss, parameters, gradient, scope))
    else:
        report = _of_values(loss, parameters, claimed, scope)
    if show:
        report.present()
    return report


def numerical_gradient(function: Callable[[], Any], parameters: Any, *, details: bool = False) -> Any:
    """∂function/∂p for each parameter p, measured by differences, in the shape of ``parameters``.

    ``function`` is called without arguments and returns a Value or a number, for which it reads the
    parameters: a Value, a list, tuple or array of them (nested if you like), or a dict that maps
    names to such. Each ``data`` is moved and put back in turn, also if the function raises; nothing
    is recorded meanwhile. Returns a float, lists, float arrays, a dict of them.

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

    Raises TypeError where the parameters are no Values or the function gives no number.
    """
    def measured(value: Value, _: Any) -> Any:
        got = differences(partial(_number_at, function, value), value.data)
        return got if details else got.value

    function()  # what is wrong with it anywhere is no step to be left out
    return mapped(parameters, None, measured, "numerical_gradient()")


class Claimed(NamedTuple):
    """A function of arrays that returns a number, and its gradient as somebody has it."""

    function: Callable[[list[Any]], float]
    #: At which arrays, by what they are called.
    arrays: Mapping[str, Any]
    #: For each of them, in its shape.
    gradients: Sequence[Any]
    source: str = "claimed"
    notes: tuple[str, ...] = ()
    #: The last digit of what the function gives.
    eps: float = EPS


#: What makes that of a function of another library, by the library's name: of the function, the arrays at
#: which, the gradient or None, and what an array is called, else as is given. Put here by the bridges.
FOREIGN: dict[str, Callable[[Any, Any, Any, Callable[[Any, str], str]], Claimed]] = {}


def _is_of(library: str, held: Any) -> bool:
    """Whether it is an object of this library, or there is one in it."""
    if isinstance(held, list | tuple | dict):
        return any(_is_of(library, each) for each in (held.values() if isinstance(held, dict) else held))
    return any(kind.__module__.partition(".")[0] == library for kind in type(held).__mro__)


def _called(scope: Mapping[str, Any], held: Any, otherwise: str) -> str:
    """The variable that holds it."""
    return next((name for name, each in scope.items() if each is held), otherwise)


def _real(x: Any, what: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Real numbers as floats; TypeError, which says what they should have been, for anything else."""
    with suppress(TypeError, ValueError):  # rows of unequal length, too
        if x is not None and not np.iscomplexobj(x):
            return np.asarray(x, dtype=float)
    raise TypeError(WRONG_CALL[what].format(x))


def _claimed(function: Any, x: Any, gradient: Any, scope: Mapping[str, Any]) -> Claimed:
    """The claimed gradient of a function of one array of NumPy's."""
    if isinstance(function, Value) or not callable(function):
        raise TypeError(WRONG_CALL["array function"].format(function))
    at = _real(x, "array").copy()
    claims = _real(gradient(at.copy()) if callable(gradient) else gradient, "claim")
    y = function(at.copy())
    if np.ndim(_real(y, "number")):
        raise TypeError(WRONG_CALL["number"].format(y))
    floats = isinstance(y, np.generic | np.ndarray) and y.dtype.kind == "f"
    eps = float(np.finfo(y.dtype).eps) if floats else EPS
    arrays = {_called(scope, x, "x"): at}
    return Claimed(lambda given: float(function(*given)), arrays, [claims], eps=max(eps, EPS))


def _of_arrays(claimed: Claimed) -> GradientReport:
    """The verdict on each element of a claimed gradient, as on that of a Value that the loss reads."""
    held = [*claimed.arrays.values()]
    if len(held) != len(claimed.gradients):
        raise ValueError(WRONG_CALL["count"].format(len(claimed.gradients), len(held)))
    for claim, at in zip(claimed.gradients, held, strict=True):
        if claim.shape != at.shape:
            raise ValueError(WRONG_CALL["shape"].format(claim.shape, at.shape))
    values = [
        Value(at[place], name=f"{name}[{','.join(map(str, place))}]" if place else name)
        for name, at in claimed.arrays.items()
        for place in np.ndindex(at.shape)
    ]
    ends = np.cumsum([at.size for at in held])[:-1].tolist()

    def loss() -> float:
        parts = np.split(np.array([value.data for value in values]), ends)
        return claimed.function([part.reshape(at.shape) for part, at in zip(parts, held, strict=True)])

    base, again = loss(), loss()
    if not same(base, again):
        raise ValueError(WRONG_CALL["restless"].format(base, again))
    rows = []
    claims = [claim for each in claimed.gradients for claim in np.ravel(each).tolist()]
    for value, claim in zip(values, claims, strict=True):
        along = partial(_number_at, loss, value)
        found = _by_differences(along, value.data, claim, eps=claimed.eps)
        rows.append(_row(str(value.name), claim, found, _central(along, value.data)))
    notes = claimed.notes + (SINGLE,) * (claimed.eps > EPS)
    return GradientReport(f"check_gradients(loss = {base:.8g})", tuple(rows), notes, claimed.source)


def _of_values(loss: Any, parameters: Any, claimed: Any, scope: Mapping[str, Any]) -> GradientReport:
    """The gradients of a recorded loss, or of a function that records one."""
    function, again = None, loss
    if not isinstance(loss, Value):
        if not callable(loss):
            raise TypeError(WRONG_CALL["function"].format(loss))
        try:
            signature(loss).bind()
        except TypeError as error:
            raise TypeError(WRONG_CALL["arguments"].format(error)) from None
        except ValueError:
            pass  # a function of C that does not tell
        function, loss, again = loss, loss(), loss()
        for y in (loss, again):
            if not isinstance(y, Value):
                raise TypeError(WRONG_CALL["result"].format(y))
        if not same(loss.data, again.data):
            raise ValueError(WRONG_CALL["restless"].format(loss.data, again.data))
    case = _Case(loss, function, {**(parameters if isinstance(parameters, Mapping) else {}), **scope})
    leaves = [value for value in case.graph._values if value.is_leaf and value.requires_grad]
    known = Graph(again)._places
    lasting = [value for value in leaves if id(value) in known]
    fresh = len(leaves) - len(lasting)
    if parameters is None and claimed is not None:
        raise ValueError(WRONG_CALL["no parameters"])
    if parameters is None and not lasting:
        lasts = " and lasts from call to call" if fresh else ""
        raise NoGradientError(WRONG_CALL["no leaf"].format(describe(loss), lasts))
    pairs: list[tuple[Value, float | None]] = []
    parameters = lasting if parameters is None else parameters
    mapped(parameters, claimed, lambda *pair: pairs.append(pair), "check_gradients()")
    for value, _ in pairs:
        if not value.requires_grad:
            raise NoGradientError(WRONG_CALL["frozen"].format(describe(value)))
        if function is not None and not value.is_leaf:
            raise NoGradientError(WRONG_CALL["computed"].format(describe(value)))
    rows = tuple(case.rows(pairs))
    notes = [f"leaves that each call makes anew are not checked: {fresh}"] if fresh else []
    held = grad_state(case.graph, case.gradients, {id(value) for value, _ in pairs})
    notes += [] if held in ("not computed", "holds 1 backward pass") else [f"grad: {held}"]
    source = "back-propagated" if claimed is None else "claimed"
    return GradientReport(f"check_gradients({named(case.graph)})", rows, tuple(notes), source)


# ------------------------------------------------------------------------------------- what is moved
def _moved(function: Callable[[], Any], value: Value, x: float) -> Any:
    """What a function gives, and records, where one of its leaves is moved; nan where it is undefined."""
    before = value.data
    try:
        value.data = x
        return function()
    except (ArithmeticError, ValueError):
        return math.nan
    finally:
        value.data = before


def _number_at(function: Callable[[], Any], value: Value, x: float) -> float:
    y = _moved(function, value, x)
    return as_number(y.data if isinstance(y, Value) else y, "a function to differentiate")


def _central(f: Callable[[float], float], x: float) -> float:
    """The plain central difference; nan where the function is undefined beside x."""
    h = _CENTRAL * max(1.0, abs(x))
    return (f(x + h) - f(x - h)) / (2.0 * h)


def _by_differences(
    f: Callable[[float], float], x: float, claim: float, rounding: float = 0.0, terms: float = 0.0,
    eps: float = EPS,
) -> Verdict:  # fmt: skip
    """What differences say of a claim; at a kink that is left to the conventions."""
    got = differences(f, x, patient=True, eps=eps)
    decisive = DECISIVE if eps == EPS else DECISIVE_SINGLE
    found = judge(claim, got, rounding, terms or got.steepest or math.inf, decisive)  # 0 if it never moves
    if got.kinked:
        found = found._replace(word="corner", why=WHY["kink or jump"].format(why=found.why))
    return found


def _row(name: str, claim: float, found: Verdict, central: float) -> GradientRow:
    return GradientRow(name, claim, found.measured, found.off, WORDS[found.word], found.why, central)


def mapped(
    parameters: Any, claimed: Any, each: Callable[[Value, Any], Any], caller: str, where: str = "parameters"
) -> Any:
    """What ``each`` gives for a Value and what is claimed of it, in the shape of a nest of containers."""
    if isinstance(parameters, Value):
        told = f"the claimed gradient of {where}"
        return each(parameters, None if claimed is None else as_number(claimed, told))
    keys: list[Any]
    if isinstance(parameters, Mapping):
        keys, fits = list(parameters), isinstance(claimed, Mapping) and claimed.keys() == parameters.keys()
        wrong = f"claimed must be a dict with the keys of parameters, {keys}"
    elif isinstance(parameters, np.ndarray):
        keys, fits = list(np.ndindex(parameters.shape)), np.shape(claimed) == parameters.shape
        shapes = f"{np.shape(claimed)}, the parameter {parameters.shape}"
        wrong = f"the claimed gradient of {where} has the shape {shapes}"
        claimed = np.asarray(claimed, dtype=object) if fits else claimed
    elif isinstance(parameters, list | tuple):
        keys = list(range(len(parameters)))
        fits = isinstance(claimed, list | tuple | np.ndarray) and len(claimed) == len(keys)
        wrong = f"{where} has {len(keys)} parameters; claimed must hold as many gradients"
    else:
        raise TypeError(WRONG_CALL["parameters"].format(caller, parameters))
    if claimed is not None and not fits:
        raise ValueError(wrong)
    made = []
    for key in keys:
        name = {str: key, int: f"{where}[{key}]"}.get(type(key), where)
        made.append(mapped(parameters[key], None if claimed is None else claimed[key], each, caller, name))
    if isinstance(parameters, np.ndarray):
        plain = all(isinstance(x, float) for x in made)
        return np.fromiter(made, float if plain else object, len(made)).reshape(parameters.shape)
    return dict(zip(keys, made, strict=True)) if isinstance(parameters, Mapping) else made


# -------------------------------------------------------------------------------------------- the case
class _Case:
    """One loss, its back-propagated gradients, and the verdict on each of them."""

    def __init__(self, root: Value, function: Callable[[], Any] | None, names: Mapping[str, Any]) -> None:
        self.function, self.graph = function, Graph(root, names)
        bounded("check_gradients()", self.graph)
        if function is None and self.graph.root.rule is None:
            raise NoGradientError(WRONG_CALL["leaf"].format(describe(root)))
        for change in changes_in(self.graph) if function is None else ():
            at = f" [{line_of(change.node.site)}]" if change.node.site else ""
            raise NoGradientError(WRONG_CALL["changed"].format(change.text, at))
        self.gradients = upstream_gradients(root)
        self.variables = variable_names(names)
        #: For each node the sum over all paths to the root of the product of |local derivatives|.
        sizes = backward(self.graph, {len(self.graph) - 1: 1.0}, np.abs(self.graph.local))
        self.sizes = np.where(np.isfinite(sizes), sizes, 0.0)
        #: How far rounding may move the gradient itself.
        self.rounding = 8.0 * EPS * len(self.graph) * self.sizes
        self.numbers: list[float] = self.graph.data.tolist()
        self.verdict = cache(lambda node, place: verdict(self.graph.nodes[node], self.numbers, place))
        #: What was undefined last.
        self.undefined = ""

    def rows(self, pairs: Sequence[tuple[Value, float | None]]) -> Iterator[GradientRow]:
        """The verdict on the gradient of each value, the claimed or the back-propagated one."""
        places = [self.graph._places.get(id(value)) for value, _ in pairs]
        exact = self._exact([place for place in places if place is not None])
        for (value, claim), place in zip(pairs, places, strict=True):
            own = self.gradients.get(id(value), 0.0)
            target = own if claim is None else claim
            if place is None:
                name = value.name or self.variables.get(id(value)) or f"Value({value.data!r})"
                got, central = Derivative(0.0, 0.0, 0.0, 0.0), 0.0
            else:
                name, (got, central) = self.graph.names[place], next(exact)
            if self.function is not None:
                central = _central(partial(_number_at, self.function, value), value.data)
            yield _row(name, target, self._judged(value, place, target, own, got), central)

    def _exact(self, at: Sequence[int]) -> Iterator[tuple[Derivative, float]]:
        """The complex-step derivative by each node, if it is sure; and the central difference."""
        if len(self.graph) * len(at) > WORK:
            raise TooManyValues(WRONG_CALL["size"].format(len(at), len(self.graph), WORK))
        together = max(1, min(_HELD // len(self.graph), 1000))
        for block in (np.array(at[start : start + together]) for start in range(0, len(at), together)):
            data = abs(self.graph.data[block])
            # A tiny number is moved by a part of itself.
            step = np.where((data > 1e-60) | (data == 0.0), STEP, np.maximum(2.0**-60 * data, 2.0**-960))
            # Wider on the other side: what both give is neither rounding nor one side of a corner.
            right, left = self._moved(block, 1j * step), self._moved(block, -1j * WIDER * step)
            with np.errstate(all="ignore"):
                slope = right.imag / step
                off = abs(slope + left.imag / (WIDER * step))
                sure = (off <= ROUNDING * abs(slope) + self.rounding[block]) & (right.real == left.real)
                zero = slope == 0.0  # which may also be too small to be seen
                sure[zero] &= self._moved(block[zero], np.full(zero.sum(), 1j)).imag == 0.0
            h = _CENTRAL * np.maximum(1.0, data)
            central = (self._moved(block, h) - self._moved(block, -h)) / (2.0 * h)
            for each, yes, plain in zip(slope.tolist(), sure, central.tolist(), strict=True):
                yield Derivative(each, 0.0, each, each) if yes else NOTHING, plain

    def _moved(self, at: Any, step: Any) -> Any:
        """The loss [k] where in each of k columns another node is moved by its step; nan where undefined."""
        given = dict(zip(at.tolist(), self.graph.data[at][:, None] + np.diag(step), strict=True))
        try:
            return forward(self.graph, given)[-1] if given else step
        except (ArithmeticError, ValueError):
            if len(at) == 1:
                return np.full(1, math.nan, dtype=step.dtype)
            return np.concatenate([self._moved(at[i : i + 1], step[i : i + 1]) for i in range(len(at))])

    def _judged(self, value: Value, place: int | None, target: float, own: float, got: Derivative) -> Verdict:
        """The verdict on one gradient."""
        for what, x in (("the parameter", value.data), ("the loss", self.graph.root.data)):
            if not math.isfinite(x):
                return judge(target, NOTHING)._replace(why=WHY["not finite"].format(what=what, x=x))
        rounding, size = (0.0, 0.0) if place is None else (self.rounding[place], self.sizes[place])
        if self.function is not None and (departs := self._departs(self.function, value, place)):
            calls = partial(_number_at, self.function, value)
            found = _by_differences(calls, value.data, target, rounding, size)
            if departs == "branch":
                found = found._replace(word="unknown", why=WHY[departs])
            return found._replace(why=WHY[departs]) if found.word == "wrong" else found
        found = judge(target, got, rounding, size)
        if place is None:
            return found._replace(why=found.why or WHY["independent"])
        if found.word != "right":
            found = self._suspected(place, value.data, target, rounding, size)
        if found.word == "wrong" and abs(target - own) <= ROUNDING * abs(own):
            found = self._blamed(place, found)
        return found

    def _departs(self, function: Callable[[], Any], value: Value, place: int | None) -> str:
        """How a function that is called beside the point departs from its record; empty if it does not."""
        branches = []
        for part in _PROBES:
            x = value.data + part * (abs(value.data) or 1.0)
            y = _moved(function, value, x)
            replayed = self.graph.root.data if place is None else self._at(place, x)
            branches.append(not same(y.data if isinstance(y, Value) else y, replayed))
            if branches[-1] and isinstance(y, Value):
                again = Graph(y, {})
                if again.rules == self.graph.rules and np.array_equal(again.op, self.graph.op):
                    return "unrecorded"
        return "branch" if any(branches[-2:]) else ""

    def _at(self, place: int, x: Any) -> Any:
        """The loss where a node has another number; nan where it is undefined."""
        try:
            return forward(self.graph, {place: x})[-1]
        except (ArithmeticError, ValueError) as error:
            self.undefined = str(error)
            return math.nan

    def _suspected(self, place: int, x: float, target: float, rounding: float, size: float) -> Verdict:
        """A gradient that is not simply right, by its slopes on either side and what lies between these."""
        if math.isfinite(target):
            found = judge(target, complex_step(partial(self._at, place), x), rounding, size)
        else:  # at a point where even the chain rule breaks down, complex numbers may take another branch
            found = _by_differences(partial(self._at, place), x, target, rounding, size)
        corners, jumps = self._corners(place, x)
        if found.word == "right" and not jumps:
            return found
        if any(math.isnan(self._at(place, math.nextafter(x, end))) for end in (-math.inf, math.inf)):
            return found._replace(word="unknown", why=WHY["undefined"].format(why=self.undefined))
        if corners:
            more = f", and {len(corners) - 1} more" if len(corners) > 1 else ""
            why = WHY["kink"].format(corner=self._corner(corners[0]), more=more)
            return found._replace(word="corner", why=why)
        return found

    def _corners(self, place: int, x: float) -> tuple[list[Node], bool]:
        """The operations that bend while their operands do not; and whether the loss itself jumps."""
        try:
            right, left = (forward(self.graph, {place: complex(x, h)}) for h in (STEP, -STEP))
        except (ArithmeticError, ValueError):
            return [], False
        odd = (right != left.conj()).tolist()
        bent = (node for node in self.graph.nodes if odd[node.position])
        found = [node for node in bent if not any(type(each) is int and odd[each] for each in node.operands)]
        return found, bool(right[-1].real != left[-1].real)

    def _corner(self, node: Node) -> str:
        """``relu at h1 (net.py:14), where net1 = 0.0``: what an operation's corner hangs on."""
        rule = node.rule
        assert rule is not None
        told = f"{rule.name} at {where(node)}"
        if not rule.kink or rule.over:
            return told
        names = dict(zip(rule.args, operand_names(self.graph, node), strict=True))
        scope = dict(zip(rule.args, entries_of(node, self.numbers), strict=True))
        value, kink = min(((each.evaluate(scope), each) for each in rule.kink), key=lambda each: abs(each[0]))
        text = re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), str(kink))
        return f"{told}, where {text} = {value!r}"

    def _blamed(self, place: int, found: Verdict) -> Verdict:
        """What is wrong with a back-propagated gradient: a local derivative on its way, or the sum."""
        on_the_way = dependents(self.graph, [place])
        for node in (self.graph.nodes[each] for each in np.flatnonzero(on_the_way).tolist()):
            for i, operand in enumerate(node.operands):
                one = self.verdict(node.position, i) if type(operand) is int and on_the_way[operand] else None
                if one is not None and one.word == "WRONG RULE":
                    told = WHY["rule"].format(
                        rule=node.rule and node.rule.name, where=where(node),
                        operand=operand_words(self.graph, node)[i],
                        stated=number(node.local_derivatives[i]), measured=number(one.measured),
                    )  # fmt: skip
                    return found._replace(why=told)
        summed, told = sums(self.graph, self.gradients)
        if not summed:
            return found._replace(why=WHY["sums"].format(told=told))
        return found._replace(word="unknown", why=WHY["fine"])
