"""``check_gradients`` and ``numerical_gradient``: gradients beside derivatives that owe nothing to them.

A recorded loss is computed once more in complex arithmetic, with each parameter moved by ih in a column of
its own: the imaginary part of the loss is h times the exact derivative of the *whole* graph, of which no
cancellation takes digits. Where that says nothing, at a corner above all, and of functions that are only
called, differences decide, by Ridders' extrapolation.

Source: W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions, SIAM
Review 40 (1998), pages 110-112.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp.backward import upstream_gradients
from microbp.bounds import bounded
from microbp.check.auditing import grad_state, passes_held, sums
from microbp.check.changes import changes_in
from microbp.check.measure import (
    DECISIVE,
    EPS,
    FIRST,
    LAST,
    NOTHING,
    RATIO,
    ROUNDING,
    SAFETY,
    Derivative,
    same,
    sweep,
)
from microbp.check.operation import Verdict, rounding_error, verdict
from microbp.check.parameters import claims_of, elements, restored, shaped, values_of
from microbp.check.report import GradientReport, GradientRow
from microbp.check.words import (
    entries_of,
    line_of,
    local_derivatives,
    named,
    operand_names,
    operand_words,
    scope_of,
    where,
)
from microbp.errors import NoGradientError, TooManyValues
from microbp.graph import Graph, Node
from microbp.labels import variable_names
from microbp.lazy import cached_property
from microbp.rules import Rule
from microbp.sites import user_scope
from microbp.sweeps import backward, dependencies, dependents, forward
from microbp.tables import number
from microbp.value import Value, as_number, describe

#: The complex step, about 1e-100, or this part of a value that is tiny itself: powers of 2 round nothing.
_STEP, _PART, _TINY, _LEAST = 2.0**-332, 2.0**-60, 1e-60, 2.0**-960
#: Another step, so many times as wide: what both give is no rounding.
_WIDER = 4096.0
#: So many values are computed anew in all, in some ten seconds.
WORK = 60_000_000
#: So many complex numbers are held at once.
_HELD = 2_000_000
#: The step of the plain central difference, which learners know: where its two errors balance.
_CENTRAL: float = EPS ** (1 / 3)


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
    arguments that returns one: it is called anew, so that its branches on data are followed, with the
    leaves moved and put back in turn. ``parameters`` are Values, or lists, arrays or dicts of them; all
    leaves that take a gradient, if left out. ``claimed`` holds gradients in the shape of ``parameters``, to
    be checked in place of those of back-propagation. ``grad`` is not touched, and what it has added up does
    not count.

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

    Or, with ``gradient``, ``loss`` is any function of an array that returns a number, in NumPy, PyTorch or C:
    ``parameters`` is the array at which, and ``gradient`` the claimed gradient there, an array or the
    function that gives it.

    >>> check_gradients(lambda x: np.sum(x**3), [1.0, -2.0], gradient=lambda x: 3 * x**2, show=False).ok
    True

    A gradient agrees if it differs from the measured one by no more than rounding, or the estimated errors,
    and these are so small that a relative error of 1e-4 would have been seen. It disagrees if it differs
    by more, and names the local derivative that is wrong. Else the row is inconclusive and says why:
    a kink within the step, cancellation, a number that is not finite, an operation undefined within
    the step. A gradient that is 0 but for the rounding of terms that cancel is judged by the size of
    these; one that is 0 because no path to the loss has a derivative, by whether each 0 on the way is
    right. ``ok`` means that none disagrees. The table shows the plain central difference beside it.

    ``names`` maps names to Values for the table, in place of the variables of the caller.

    Raises NoGradientError where nothing takes a gradient, where ``loss`` is a leaf or a constant, or where
    data of the graph was changed after it was recorded; ValueError where two calls of the function
    differ or a shape does not fit; TypeError for anything else than a Value or such a function.
    """
    scope = user_scope() if names is None else names
    if gradient is not None:
        report = _of_arrays(loss, parameters, gradient, scope)
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
    values = values_of(parameters, "numerical_gradient()")
    base = function()
    case = _Case(base, function, {}) if isinstance(base, Value) else None
    measured = []
    for value in values:
        known = case is not None and id(value) in case.graph._places
        noise = case.setting(value).noise if case is not None and known else None
        with restored(value):
            measured.append(sweep(_of_function(function, value, {}).loss, value.data, noise)[0])
    results = iter(measured if details else [each.value for each in measured])
    return shaped(parameters, results, object if details else float)


def _of_arrays(function: Any, x: Any, gradient: Any, scope: Mapping[str, Any]) -> GradientReport:
    """The claimed gradient of any function of an array."""
    if isinstance(function, Value) or not callable(function):
        raise TypeError(f"with gradient=, check_gradients() takes a function of an array, not {function!r}")
    try:
        at = np.array(x, dtype=float)
    except (TypeError, ValueError):
        told = "check_gradients(f, x, gradient=g) takes the array at which, in x"
        raise TypeError(f"{told}, not {x!r}") from None
    claims = np.asarray(gradient(at.copy()) if callable(gradient) else gradient, dtype=float)
    if claims.shape != at.shape:
        raise ValueError(f"the gradient has the shape {claims.shape}, the array {at.shape}")

    def loss(moved: np.ndarray[Any, Any]) -> float:
        try:
            y: Any = function(moved)
            return float(y)
        except (ArithmeticError, ValueError):
            return math.nan

    base = loss(at.copy())
    if not same(base, loss(at.copy())):
        raise ValueError(f"two calls of the function at one point differ, the first gave {base!r}: {_SEED}")
    name = next((name for name, held in scope.items() if held is x), "x")
    rows = []
    for label, place in elements(name, at):
        claim = float(claims[place])

        def along(number: float, place: tuple[int, ...] = place) -> float:
            moved = at.copy()
            moved[place] = number
            return loss(moved)

        best = sweep(along, float(at[place]), patient=True)[0]
        setting = _Setting(0.0, abs(claim), 1)
        word, why = _compare(claim, best, setting)
        central = _central(along, float(at[place]))
        known = _tolerance(claim, best, setting)
        rows.append(GradientRow(label, claim, best.value, known, word, why, central))
    return GradientReport(f"check_gradients(loss = {base:.8g})", tuple(rows), (), "claimed")


_SEED = "what it gives must depend on the parameters alone. Fix its seed, and leave updates out of it"


def _of_values(loss: Any, parameters: Any, claimed: Any, scope: Mapping[str, Any]) -> GradientReport:
    """The gradients of a recorded loss, or of a function that records one."""
    given = parameters if isinstance(parameters, Mapping) else {}
    case = _case(loss, {**given, **scope})
    if parameters is None:
        if claimed is not None:
            raise ValueError("claimed gradients are in the shape of parameters: give these too")
        values = case.leaves()
    else:
        values = values_of(parameters, "check_gradients()")
        case.check_can_be_moved(values)
    claims: list[float | None] = [None] * len(values)
    if claimed is not None:
        claims = list(claims_of(parameters, claimed, "parameters"))
    exact = case.exact(values)
    rows = tuple(case.judge(*each) for each in zip(values, claims, exact, strict=True))
    held = {id(value): case.gradients[id(value)] for value in values if id(value) in case.gradients}
    passes, others = passes_held(case.graph, held)
    notes = (f"grad: {grad_state(passes, others)}",) if others or set(passes) - {1} else ()
    if case.fresh:
        notes = (f"leaves that each call makes anew are not checked: {len(case.fresh)}", *notes)
    source = "back-propagated" if claimed is None else "claimed"
    return GradientReport(f"check_gradients({named(case.graph)})", rows, notes, source)


def _case(loss: Any, names: Mapping[str, Any]) -> _Case:
    if isinstance(loss, Value):
        case = _Case(loss, None, names)
        if case.graph.root.rule is None:
            raise NoGradientError(
                f"there is nothing to check: {describe(loss)} is not the result of a recorded operation but "
                "a leaf or a constant. Give a function that computes it"
            )
        changes = changes_in(case.graph)
        if changes:
            site = changes[0].node.site
            at = "" if site is None else f" [{line_of(site)}]"
            raise NoGradientError(
                f"{changes[0].text}{at}. Compute the loss again, or give a function that computes it"
            )
        return case
    if not callable(loss):
        raise TypeError(
            f"check_gradients() takes a Value, or a function without arguments that returns one, not {loss!r}"
        )
    one, other = loss(), loss()
    for y in (one, other):
        if not isinstance(y, Value):
            raise TypeError(
                f"the function must return the loss as a Value, not {y!r}; of a function of plain arrays "
                "give the array and its gradient: check_gradients(f, x, gradient=g)"
            )
    if not same(one.data, other.data):
        raise ValueError(f"two calls of the function gave {one.data!r} and {other.data!r}: {_SEED}")
    return _Case(one, loss, names, other)


def _central(f: Callable[[float], float], x: float) -> float:
    """The plain central difference; nan where the function is undefined beside x."""
    h = _CENTRAL * max(1.0, abs(x))
    return (f(x + h) - f(x - h)) / (2.0 * h)


# ------------------------------------------------------------------------------------------ the verdict
class _Setting(NamedTuple):
    """What is known of a gradient before it is measured."""

    #: The rounding error of one evaluation of the loss.
    noise: float
    #: Σ|contribution| over all paths: what the rounding of the gradient itself goes by.
    size: float
    #: How many operations depend on the value.
    operations: int

    @property
    def rounding(self) -> float:
        """How far rounding may move the gradient itself."""
        return 8.0 * EPS * (self.operations + 1) * self.size


def _tolerance(claim: float, best: Derivative, setting: _Setting) -> float:
    """How far a right gradient may be from the measured one, by the errors of both."""
    larger = max(abs(claim), abs(best.value))
    return SAFETY * best.error + setting.rounding + (ROUNDING * larger if math.isfinite(larger) else 0.0)


def _compare(claim: float, best: Derivative, setting: _Setting) -> tuple[str, str]:
    """The verdict on a gradient by one measured derivative, and why."""
    if not math.isfinite(best.value):
        return "inconclusive", "no numerical derivative could be formed"
    if best.kinked:
        left, right = number(best.left), number(best.right)
        return "inconclusive", f"kink or jump within the step: the slope is {left} below, {right} above"
    if best.contradicted:
        return "inconclusive", f"the slope depends on the step, and is another one below {best.step:.0e}"
    if not math.isfinite(claim):
        clear = not best.steepest or SAFETY * best.error <= DECISIVE * max(abs(best.value), best.steepest)
        return ("DISAGREE" if clear else "inconclusive"), "the gradient is not finite"
    tolerance = _tolerance(claim, best, setting)
    if abs(claim - best.value) > tolerance:
        return "DISAGREE", ""
    larger = max(abs(claim), abs(best.value))
    if tolerance <= DECISIVE * larger:
        return "agree", ""
    if abs(claim) <= setting.rounding and tolerance <= DECISIVE * setting.size:
        return "agree", f"0 but for rounding: terms of size {setting.size:.1e} cancel"
    # A gradient without any contribution, of a loss that does move further away, or not at all.
    if claim == 0.0 and setting.size == 0.0:
        if best.steepest == 0.0:
            return "agree", "" if setting.operations else "the loss does not depend on it"
        if tolerance <= DECISIVE * best.steepest:
            return "agree", ""
    return "inconclusive", f"too much cancellation: the numerical gradient is known to ±{tolerance:.1e} only"


# --------------------------------------------------------------------------------- the loss, moved
#: By position, for each operation that has corners, on which side of each it is.
_Sides = dict[int, tuple[Any, ...]]


class _Probe:
    """The loss as a function of one value: of a recorded graph, or of a leaf of a function."""

    def __init__(self, at: Callable[[float], Any], names: Mapping[str, Any]) -> None:
        self.at, self.names = at, names
        #: What was undefined last.
        self.undefined = ""

    def result(self, x: float) -> Any:
        """What comes out where the value is x: a number, or that of all nodes; nan where it is undefined."""
        try:
            return self.at(x)
        except (ArithmeticError, ValueError) as error:
            self.undefined = str(error)
            return math.nan

    def loss(self, x: float) -> float:
        """The loss where the value is x; nan where it is undefined."""
        y = self.result(x)
        if isinstance(y, np.ndarray):
            return float(y[-1])
        return as_number(y.data if isinstance(y, Value) else y, "a function to differentiate")

    def corners(self, x: float, graph: Graph) -> tuple[list[Rule | None], _Sides] | None:
        """The operations, and on which side of its corners each of them is; None where it is undefined.

        Those of a function may be others for another x; ``graph`` is that of what was recorded.
        """
        y = self.result(x)
        if isinstance(y, Value):
            graph = Graph(y, self.names)
            y = graph.data
        elif not isinstance(y, np.ndarray):
            return None
        return [node.rule for node in graph], _sides(graph.nodes, y.tolist())


def _of_graph(graph: Graph, position: int | None) -> _Probe:
    """The probe of a value of a recorded graph, or of one on which the loss does not depend."""
    return _Probe(lambda x: graph.data if position is None else forward(graph, {position: x}), {})


def _of_function(function: Callable[[], Any], value: Value, names: Mapping[str, Any]) -> _Probe:
    """The probe of a leaf of a function; each call is recorded, since it may differentiate on the way."""

    def at(x: float) -> Any:
        value.data = x
        return function()

    return _Probe(at, names)


def _sides(nodes: Sequence[Node], numbers: Sequence[float]) -> _Sides:
    """For each operation that has corners, on which side of them it is.

    That is told by the signs of its ``kink``; for an operation over lists without one, by which of its
    derivatives are 0 (for ``max``, those of all but the largest).
    """
    found: _Sides = {}
    for node in nodes:
        rule = node.rule
        if rule is None or not (rule.kink or (rule.corner and rule.over)):
            continue
        entries = entries_of(node, numbers)
        if rule.kink:
            scope, elements = scope_of(rule, entries)
            values = [each.evaluate(scope, elements=elements) for each in rule.kink]
            found[node.position] = tuple((x > 0.0) - (x < 0.0) for x in values)
        else:
            locals_ = local_derivatives(rule, entries, numbers[node.position])
            found[node.position] = tuple(x == 0.0 for x in locals_)
    return found


# -------------------------------------------------------------------------------------------- the case
class _Case:
    """One loss, recorded or called, its back-propagated gradients, and the verdict on each of them."""

    def __init__(
        self,
        root: Value,
        function: Callable[[], Any] | None,
        names: Mapping[str, Any],
        again: Value | None = None,
    ) -> None:
        self.root, self.function, self.names = root, function, names
        self.graph = Graph(root, names)
        bounded("check_gradients()", self.graph)
        self.numbers: list[float] = self.graph.data.tolist()
        self.gradients = upstream_gradients(root)
        self.variables = variable_names(names)
        #: Leaves that another call has made anew.
        self.fresh: set[int] = set()
        if again is not None:
            lasting = Graph(again)._places
            self.fresh = {id(value) for value in self._all_leaves() if id(value) not in lasting}

    def _all_leaves(self) -> list[Value]:
        return [value for value in self.graph._values if value.is_leaf and value.requires_grad]

    def leaves(self) -> list[Value]:
        """The leaves that take a gradient and last, in the order of the graph."""
        values = [value for value in self._all_leaves() if id(value) not in self.fresh]
        if not values:
            lasts = " and lasts from call to call" if self.fresh else ""
            raise NoGradientError(
                f"there is nothing to check: {describe(self.root)} depends on no leaf that takes a "
                f"gradient{lasts}"
            )
        return values

    def check_can_be_moved(self, values: Sequence[Value]) -> None:
        """Raise NoGradientError for a value that cannot be."""
        for value in values:
            if not value.requires_grad:
                raise NoGradientError(f"{describe(value)} is frozen (requires_grad is False)")
            if self.function is not None and not value.is_leaf:
                raise NoGradientError(
                    f"{describe(value)} was computed, and each call of the function computes it anew: give "
                    "leaves, or the recorded loss in place of the function"
                )

    # --------------------------------------------------------------- what is known before measuring
    @cached_property
    def _sizes(self) -> list[float]:
        """For each node the sum over all paths to the root of the product of |local derivatives|."""
        sizes = backward(self.graph, {len(self.graph) - 1: 1.0}, np.abs(self.graph.local))
        return np.where(np.isfinite(sizes), sizes, 0.0).tolist()  # type: ignore[no-any-return]

    @cached_property
    def _noise(self) -> list[float]:
        """For each node the square of the rounding error that it causes at the root."""
        upstream = {i: self.gradients.get(place, 0.0) for place, i in self.graph._places.items()}
        noise = [0.0] * len(self.graph)
        for node in self.graph.nodes:
            if node.rule is not None:
                off = rounding_error(node.rule, entries_of(node, self.numbers))
                off *= upstream[node.position]
                noise[node.position] = off * off if math.isfinite(off) else 0.0
        return noise

    @cached_property
    def _cornered(self) -> Any:
        """Which nodes lead to an operation that stands exactly at a corner, or where two are the largest."""
        at = [
            position
            for position, sides in _sides(self.graph.nodes, self.numbers).items()
            if (self._tied(position) if self.graph.rules[self.graph.op[position]].over else 0 in sides)
        ]
        return dependencies(self.graph, at)

    def _tied(self, position: int) -> bool:
        operands = sorted(entries_of(self.graph.nodes[position], self.numbers)[0])
        return len(operands) > 1 and operands[-1] == operands[-2]

    def setting(self, value: Value) -> _Setting:
        """What is known of the gradient of a value.

        The rounding errors of the operations are as good as independent: their squares add up. What
        does not depend on the value is off by the same at every step, and cancels.
        """
        position = self.graph._places.get(id(value))
        if position is None:
            return _Setting(0.0, 0.0, 0)
        order = np.flatnonzero(dependents(self.graph, [position])).tolist()[1:]
        noise = math.sqrt(sum(self._noise[each] for each in order))
        return _Setting(noise, self._sizes[position], len(order))

    # ------------------------------------------------------------------------------ the measurement
    def exact(self, values: Sequence[Value]) -> list[tuple[float, float]]:
        """By each value the complex-step derivative, nan where it is not sure; and the central difference."""
        found = [(math.nan, math.nan)] * len(values)
        if self.function is not None:
            return found
        held = self.graph._places
        places = [(i, held[id(value)]) for i, value in enumerate(values) if id(value) in held]
        if len(self.graph) * len(places) > WORK:
            raise TooManyValues(
                f"check_gradients() computes the graph again for each parameter, and {len(places):,} times "
                f"{len(self.graph):,} values is more than {WORK:,}: give fewer of them, "
                "check_gradients(loss, [w, b]), or the loss of one sample"
            )
        together = max(1, min(_HELD // len(self.graph), 1000))
        for start in range(0, len(places), together):
            block = places[start : start + together]
            at = [position for _, position in block]
            data = abs(self.graph.data[at])
            own = np.maximum(np.ldexp(_PART, np.frexp(data)[1]), _LEAST)
            step = np.where((data > _TINY) | (data == 0.0), _STEP, own)
            one, other = (self._slopes(at, 1j * h).imag / h for h in (step, _WIDER * step))
            # What rounding leaves of terms that cancel is another number at another step.
            off = ROUNDING * abs(one) + 8.0 * EPS * len(self.graph) * np.array(self._sizes)[at]
            sure = (abs(one - other) <= off) & ~self._cornered[at]
            h = _CENTRAL * np.maximum(1.0, data)
            central = (self._slopes(at, h) - self._slopes(at, -h)) / (2.0 * h)
            for (i, _), slope, yes, plain in zip(block, one.tolist(), sure, central.tolist(), strict=True):
                found[i] = slope if yes else math.nan, plain
        return found

    def _slopes(self, at: Sequence[int], step: Any) -> Any:
        """The loss [k] where in each of k columns another value is moved by its step; nan where undefined."""
        moved = self.graph.data[at][:, None] + np.diag(step)
        given = dict(zip(at, moved, strict=True))
        try:
            return forward(self.graph, given)[-1]
        except (ArithmeticError, ValueError):
            if len(at) == 1:
                return np.full(1, math.nan + 0j)
            each = zip(at, step, strict=True)
            return np.concatenate([self._slopes([position], np.array([own])) for position, own in each])

    def judge(self, value: Value, claim: float | None, exact: tuple[float, float]) -> GradientRow:
        """Measure the gradient of a value, and compare it with the claimed or back-propagated one."""
        position = self.graph._places.get(id(value))
        name = value.name or self.variables.get(id(value)) or f"Value({value.data!r})"
        name = name if position is None else self.graph.nodes[position].name
        own = self.gradients.get(id(value), 0.0)
        target = own if claim is None else claim
        slope, central = exact
        size = 0.0 if position is None else self._sizes[position]
        setting = _Setting(0.0, size, len(self.graph))
        probe = _of_graph(self.graph, position)
        if self.function is not None:
            probe = _of_function(self.function, value, self.names)
        with restored(value):
            if math.isfinite(slope) and math.isfinite(target):
                best = Derivative(slope, 0.0, slope, slope, 0.0, abs(slope), contradicted=False)
                word, why = _compare(target, best, setting)
            else:
                setting = self.setting(value)
                best, word, why = self._measured(value.data, target, setting, probe)
            if word == "DISAGREE" and abs(target - own) <= ROUNDING * abs(own):
                word, why = self._followed_up(value.data, best, position, probe)
            if self.function is not None:
                central = _central(probe.loss, value.data)
        if word == "agree" and target == size == 0.0 and position is not None:
            word, why = self._without_contribution(position, why, moves=best.steepest > 0.0)
        return GradientRow(name, target, best.value, _tolerance(target, best, setting), word, why, central)

    def _measured(
        self, x: float, claim: float, setting: _Setting, probe: _Probe
    ) -> tuple[Derivative, str, str]:
        """Measure until the verdict is sure: a suspicion is followed up with all steps and all corners."""
        for what, data in (("the parameter", x), ("the loss", self.root.data)):
            if not math.isfinite(data):
                return NOTHING, "inconclusive", f"not finite: {what} is {data!r}"
        for patient in (False, True):
            best = sweep(probe.loss, x, setting.noise, patient=patient)[0]
            word, why = _compare(claim, best, setting)
            if word == "agree":
                return best, word, why
        near = best.step
        crossed = self._crossed(probe, x, near) if math.isfinite(near) else ""
        if not crossed:
            if word == "inconclusive":
                beside = self._crossed(probe, x, FIRST * (abs(x) or 1.0))
                undefined = f"undefined within the step: {probe.undefined}" if probe.undefined else ""
                why = undefined or beside or why
            return best, word, why
        while crossed and near > LAST * (abs(x) or 1.0):
            reason, near = crossed, near / RATIO
            crossed = self._crossed(probe, x, near)
        if crossed:
            return best, "inconclusive", crossed
        best = sweep(probe.loss, x, setting.noise, below=near * (1.0 + EPS), patient=True)[0]
        word, why = _compare(claim, best, setting)
        return best, word, reason if word == "inconclusive" else why

    def _crossed(self, probe: _Probe, x: float, h: float) -> str:
        """The corners between x - h and x + h in words, or an empty text."""
        here = probe.corners(x, self.graph)
        found: set[int] = set()
        for there in (probe.corners(x - h, self.graph), probe.corners(x + h, self.graph)):
            if here is None or there is None:
                continue
            if here[0] != there[0]:
                return "another branch within the step: the function records other operations there"
            found |= {i for i, side in here[1].items() if side != there[1][i]}
        if not found:
            return ""
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return f"kink within the step: {self._corner(self.graph.nodes[min(found)])}{more}"

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

    # ------------------------------------------------------------------------------------ the blame
    def _followed_up(
        self, x: float, best: Derivative, position: int | None, probe: _Probe
    ) -> tuple[str, str]:
        """The verdict on a back-propagated gradient that seems wrong.

        If it is, some local derivative on its way is, or the sum, or the function does what was not
        recorded.
        """
        on_the_way = dependents(self.graph, [] if position is None else [position])
        moved = _of_graph(self.graph, position)
        for node in (self.graph.nodes[each] for each in np.flatnonzero(on_the_way).tolist()):
            for place, operand in enumerate(node.operands):
                led = type(operand) is int and on_the_way[operand]
                found = verdict(node, self.numbers, place) if led else None
                if found is not None and found.word == "WRONG RULE":
                    return "DISAGREE", self._blamed(node, place, found)
        summed, told = sums(self.graph, self.gradients)
        if not summed:
            return "DISAGREE", f"wrong accumulation: {told}"
        if all(same(moved.loss(at), probe.loss(at)) for at in (x - best.step, x + best.step)):
            return "inconclusive", (
                "no local derivative is wrong: the loss has finer structure than the steps can show"
            )
        return "DISAGREE", "the function depends on it in a way that is not recorded (.data, float?)"

    def _without_contribution(self, position: int, why: str, *, moves: bool) -> tuple[str, str]:
        """The verdict on a gradient of 0 because each path to the root has a derivative of 0.

        The loss need not show that one of these is wrong: what is small may be lost beside other terms. A
        corner it does show, if it moves at all.
        """
        pending, reached, uses = [position], {position}, self.graph.uses()
        for each in pending:
            for user, place in uses[each]:
                node = self.graph.nodes[user]
                if node.local_derivatives[place]:
                    if user not in reached:
                        reached.add(user)
                        pending.append(user)
                    continue
                found = verdict(node, self.numbers, place)
                if found is not None and found.word == "WRONG RULE":
                    return "DISAGREE", self._blamed(node, place, found)
                if found is not None and found.word not in ("fine", "corner" if moves else "fine"):
                    told = f"the derivative 0 of {where(node)} in {operand_words(self.graph, node)[place]}"
                    return "inconclusive", f"{told} is {found.word}: {found.why}"
        if len(self.graph) - 1 in reached:
            return "inconclusive", "underflow: a product of local derivatives is below the smallest float"
        return "agree", why

    def _blamed(self, node: Node, place: int, found: Verdict) -> str:
        assert node.rule is not None
        return (
            f"rule {node.rule.name} is wrong at {where(node)}: its derivative in "
            f"{operand_words(self.graph, node)[place]} is {number(node.local_derivatives[place])}, measured "
            f"{number(found.measured)}"
        )
