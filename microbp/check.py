"""Checks of gradients: numerically, over a whole graph, and operation by operation.

``numerical_gradient`` measures derivatives of any function. ``check_gradients`` compares them with
what back-propagation gives, and says ``agree``, ``DISAGREE`` or ``inconclusive`` with the reason.
``audit`` looks at each recorded operation alone, so that it can name the rule that is wrong.

How a derivative is measured: central differences (f(x + h) - f(x - h)) / 2h for a ladder of steps h,
extrapolated to h = 0, each extrapolation with an estimate of its error; the one with the smallest
counts. Large steps suffer from truncation, small ones from rounding; where the two balance depends
on the function and is found, not assumed.

Sources: C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Advances in Engineering
Software 4 (1982), pages 75-76: the tableau and its error estimate. N. J. Higham, Accuracy and
Stability of Numerical Algorithms, 2nd edition (2002), chapters 3 and 4: rounding errors of sums.
W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions, SIAM
Review 40 (1998), pages 110-112: the complex step, by which single operations are measured.
"""

from __future__ import annotations

import ast
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import Any, NamedTuple

import numpy as np

from microbp.compiled import compiled
from microbp.errors import NoGradientError
from microbp.expr import COMPLEX, CONSTANTS, FUNCTIONS, Reading
from microbp.graph import Graph, Node, variable_names
from microbp.rules import RULES, Rule
from microbp.sites import user_frame
from microbp.tables import Table, number
from microbp.value import (
    Value,
    as_number,
    backward_order,
    describe,
    no_grad,
    upstream_gradients,
)

__all__ = [
    "Accumulation", "AuditReport", "AuditRow", "Derivative", "GradientReport", "GradientRow", "audit",
    "check_gradients", "numerical_gradient",
]  # fmt: skip

EPS = sys.float_info.epsilon
#: Below this, numbers lose digits.
TINY = sys.float_info.min

#: How many times its estimated error a numerical derivative may be off before the gradient is wrong.
SAFETY = 16.0
#: A comparison counts if it would have seen a relative error of this size: a fifth of 0.05 %.
DECISIVE = 1e-4
#: A relative difference that rounding in the local derivatives may cause; never called an error.
ROUNDING = 1e-9


# ------------------------------------------------------------------------- one numerical derivative
class Derivative(NamedTuple):
    """A numerical derivative, and how far it is to be trusted."""

    #: The extrapolated central difference; nan where none could be formed.
    value: float
    #: The estimated error of ``value``; inf where nothing could be measured.
    error: float
    #: The slopes on either side; where they differ by more than errors, there is a kink.
    left: float
    right: float
    #: The largest step that went into ``value``.
    step: float
    #: The largest slope between the point and any other at which the function was evaluated.
    steepest: float
    #: Whether smaller steps speak against ``value``: the function has finer structure than the steps.
    contradicted: bool

    @property
    def kinked(self) -> bool:
        """Whether the slopes on either side differ by more than their errors."""
        return abs(self.right - self.left) > SAFETY * self.error

    @property
    def decisive(self) -> bool:
        """Whether a relative error of :data:`DECISIVE` would be seen by comparing with ``value``."""
        sharp = SAFETY * self.error <= DECISIVE * abs(self.value)
        return sharp and not self.kinked and not self.contradicted


#: What is known where nothing could be measured.
_NOTHING = Derivative(math.nan, math.inf, math.nan, math.nan, math.nan, 0.0, contradicted=False)
#: The ratio of neighbouring steps; no power of 2, so that no oscillation fits all of them.
_RATIO = 3.0
#: The first steps are below this part of x, where most functions have their best step.
_FIRST = 0.013
#: How many neighbouring steps are extrapolated together, at most.
_WINDOW = 4


class _Sample(NamedTuple):
    """What a step tells."""

    step: float
    central: float
    #: Slope on the right less slope on the left.
    jump: float
    #: An estimate of what rounding has done to ``central``.
    rounding: float
    steepest: float
    #: The smallest change of the function, other than 0.
    change: float


def _sweep(
    f: Callable[[float], float],
    x: float,
    noise: float | None = None,
    *,
    below: float = math.inf,
    patient: bool = False,
) -> list[Derivative]:
    """Derivatives of ``f`` at ``x`` from windows of a ladder of steps, the best one first.

    ``f`` returns nan where it is undefined. ``noise`` is the rounding error of one evaluation where it
    is known; it is taken to be that of the result alone otherwise. Steps not below ``below`` are left out; and
    where the first few steps do not give six digits, or ``patient`` is true, the ladder is climbed
    from a good part of x, or 1, down to where rounding leaves nothing.
    """
    y = f(x)
    size = abs(x) if abs(x) > 1e-20 else 1.0
    steps = [0.13 * max(size, 1.0)]
    while steps[-1] > 1e-12 * size:
        steps.append(steps[-1] / _RATIO)
    steps = [h for h in steps if h < below]
    near = [h for h in steps if h < _FIRST * size][:_WINDOW]
    samples = {h: _sample(f, x, y, h, noise) for h in near}
    found = _extrapolations(list(samples.values()), noise)
    if patient or not found or found[0].kinked or SAFETY * found[0].error > 1e-6 * abs(found[0].value):
        found = _extrapolations([samples.get(h) or _sample(f, x, y, h, noise) for h in steps], noise)
    return found or [_NOTHING]


def _sample(f: Callable[[float], float], x: float, y: float, h: float, noise: float | None) -> _Sample:
    right, left = x + h, x - h
    above, under = f(right), f(left)
    slope_right, slope_left = (above - y) / (right - x), (y - under) / (x - left)
    jump = slope_right - slope_left
    # One evaluation is off by this; and the two steps, as rounded, differ by up to EPS·x.
    off = (noise or 0.0) + EPS * max(abs(above), abs(under), abs(y)) + EPS * abs(x * jump) + TINY
    return _Sample(
        h,
        (above - under) / (right - left),
        jump,
        2.0 * off / h,
        max((abs(each) for each in (slope_left, slope_right) if math.isfinite(each)), default=0.0),
        min((each for each in (abs(above - y), abs(under - y)) if each > 0.0), default=0.0),
    )


def _extrapolations(samples: Sequence[_Sample], noise: float | None) -> list[Derivative]:
    """Ridders' tableau over all neighbouring samples, the most trustworthy extrapolation first.

    The central difference has an error series in h², h⁴, …; the jump between the one-sided slopes
    one in h, h³, …: with the same tableau it goes to 0 where the function is smooth.
    """
    steepest = max((sample.steepest for sample in samples), default=0.0)
    smallest = 0.0
    if noise is None:  # then no smaller change is known to be real
        smallest = min((sample.change for sample in samples if sample.change), default=0.0)
    ranked: list[tuple[bool, bool, float, Derivative]] = []
    before: list[tuple[float, float]] = []
    for i, sample in enumerate(samples):
        row = [(sample.central, sample.jump)]
        for k in range(1, min(len(before) + 1, _WINDOW)):
            (central, jump), (old_central, old_jump) = row[-1], before[k - 1]
            central += (central - old_central) / (_RATIO ** (2 * k) - 1.0)
            jump += (jump - old_jump) / (_RATIO ** (2 * k - 1) - 1.0)
            row.append((central, jump))
            off = max(abs(central - row[k - 1][0]), abs(central - old_central)) + sample.rounding
            # Two samples alone may be equal by chance.
            if k == 1 or not math.isfinite(off + jump):
                continue
            far = abs(sample.central - central)
            contradicted = any(
                abs(finer.central - central)
                > 2.0 * far + SAFETY * (off + finer.rounding + smallest / finer.step)
                for finer in samples[i + 1 :]
            )
            half, window = 0.5 * jump, samples[i - k : i + 1]
            sides = central - half, central + half
            one = Derivative(central, off, *sides, window[0].step, steepest, contradicted)
            # A function that does not move at all at small steps may just absorb them.
            trusted = one.decisive and any(each.change for each in window)
            ranked.append((contradicted, not trusted, off + abs(half), one))
        before = row
    ranked.sort(key=lambda each: each[:3])
    return [each[3] for each in ranked]


# -------------------------------------------------------------------------------- many of parameters
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
    values = _values(parameters, "numerical_gradient()")
    base = function()
    noise = _noise(Graph(base), base) if isinstance(base, Value) and not base.is_leaf else {}
    measured = []
    for value in values:
        called = _Called(function, value, {})
        with called.restored():
            measured.append(_sweep(called.loss, value.data, noise.get(id(value)))[0])
    results = iter(measured if details else [each.value for each in measured])
    return _shaped(parameters, results, object if details else float)


def _values(parameters: Any, where: str) -> list[Value]:
    """All Values of a nest of containers, in order."""
    if isinstance(parameters, Value):
        return [parameters]
    if isinstance(parameters, Mapping):
        parameters = list(parameters.values())
    if isinstance(parameters, np.ndarray):
        parameters = parameters.ravel().tolist()
    if isinstance(parameters, list | tuple):
        return [value for each in parameters for value in _values(each, where)]
    raise TypeError(
        f"{where} moves Values: give one, a list or array of them, or a dict of these, not {parameters!r}"
    )


def _shaped(parameters: Any, results: Iterator[Any], dtype: type) -> Any:
    """The results, one for each Value, in the shape of the parameters."""
    if isinstance(parameters, Value):
        return next(results)
    if isinstance(parameters, Mapping):
        return {name: _shaped(each, results, dtype) for name, each in parameters.items()}
    if isinstance(parameters, np.ndarray):
        made = np.empty(parameters.shape, dtype=dtype)
        for place in np.ndindex(parameters.shape):
            made[place] = next(results)
        return made
    return [_shaped(each, results, dtype) for each in parameters]


def _claims(parameters: Any, claimed: Any, where: str) -> list[float]:
    """The claimed number for each Value of the parameters; their shapes must be the same."""
    if isinstance(parameters, Value):
        return [as_number(claimed, f"the claimed gradient of {where}")]
    if isinstance(parameters, Mapping):
        if not isinstance(claimed, Mapping) or claimed.keys() != parameters.keys():
            raise ValueError(f"claimed must be a dict with the keys of parameters, {list(parameters)}")
        return [x for name, each in parameters.items() for x in _claims(each, claimed[name], str(name))]
    shape = np.shape(claimed)
    if isinstance(parameters, np.ndarray):
        if shape != parameters.shape:
            raise ValueError(
                f"the claimed gradient of {where} has the shape {shape}, the parameter {parameters.shape}"
            )
        return [as_number(x, f"the claimed gradient of {where}") for x in np.asarray(claimed).ravel().tolist()]
    if not shape or shape[0] != len(parameters):
        raise ValueError(f"{where} has {len(parameters)} parameters; claimed must hold as many gradients")
    pairs = enumerate(zip(parameters, claimed, strict=True))
    return [x for i, (each, claim) in pairs for x in _claims(each, claim, f"{where}[{i}]")]


def _noise(graph: Graph, root: Value) -> dict[int, float]:
    """For each leaf, by ``id``: the rounding error of the root that moving this leaf stirs up.

    The gradient at its output carries the rounding error of an operation to the root. The errors are
    as good as independent: their squares add up. What does not depend on the leaf is off by the same
    at every step, and cancels.
    """
    own = _own_noise(graph, root)
    uses = graph.uses()
    return {
        place: math.sqrt(sum(own[each] for each in _dependents(uses, position)))
        for place, position in graph._places.items()
        if graph[position].rule is None
    }


def _own_noise(graph: Graph, root: Value) -> list[float]:
    """For each node the square of the rounding error that it alone causes at the root."""
    gradients = upstream_gradients(root)
    upstream = {position: gradients.get(place, 0.0) for place, position in graph._places.items()}
    squares = []
    for node in graph:
        off = 0.0 if node.rule is None else _rounding(node.rule, _entries(graph, node))
        off *= upstream[node.position]
        squares.append(off * off if math.isfinite(off) else 0.0)
    return squares


@dataclass(frozen=True)
class _Rounded:
    """A number and the rounding error it has picked up: running error analysis, Higham section 3.3."""

    number: float
    error: float

    @classmethod
    def of(cls, x: Any) -> _Rounded:
        return x if isinstance(x, _Rounded) else cls(x, 0.0)

    def __neg__(self) -> _Rounded:
        return _Rounded(-self.number, self.error)

    def __add__(self, other: Any) -> _Rounded:
        y = self.number + _Rounded.of(other).number
        return _Rounded(y, self.error + _Rounded.of(other).error + EPS * abs(y))

    __radd__ = __add__

    def __sub__(self, other: Any) -> _Rounded:
        return self + -_Rounded.of(other)

    def __rsub__(self, other: Any) -> _Rounded:
        return -self + other

    def __mul__(self, other: Any) -> _Rounded:
        a, b = self, _Rounded.of(other)
        y = a.number * b.number
        return _Rounded(y, abs(a.number) * b.error + a.error * abs(b.number) + EPS * abs(y))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> _Rounded:
        a, b = self, _Rounded.of(other)
        y = a.number / b.number
        return _Rounded(y, (a.error + abs(y) * b.error) / abs(b.number) + EPS * abs(y))

    def __rtruediv__(self, other: Any) -> _Rounded:
        return _Rounded.of(other) / self


def _rounded(name: str) -> Callable[..., _Rounded]:
    """A function of the rule language on rounded numbers: its row tells how it passes errors on."""

    def function(*operands: Any) -> _Rounded:
        rounded = [_Rounded.of(each) for each in operands]
        numbers = [each.number for each in rounded]
        y = FUNCTIONS[name].real(*numbers)
        error = EPS * abs(y)
        for each, derivative in zip(rounded, compiled(RULES[name]).derivatives, strict=True):
            error += abs(derivative(*numbers, y)) * each.error if each.error else 0.0
        return _Rounded(y, error)

    return function


_ROUNDED = Reading(
    {name: _rounded(name) for name in FUNCTIONS}
    | {"total": sum, "largest": lambda xs: max(map(_Rounded.of, xs), key=lambda x: x.number)},
    lambda x: _Rounded.of(x).number,
)


def _rounding(rule: Rule, entries: list[Any]) -> float:
    """The rounding error of an operation at its operands; nan where it cannot be told."""
    exact = [list(map(_Rounded.of, each)) if type(each) is list else _Rounded.of(each) for each in entries]
    scope, elements = _scope(rule, exact)
    try:
        return _Rounded.of(rule.y.evaluate(scope, _ROUNDED, elements)).error
    except (ArithmeticError, ValueError):
        return math.nan


def _dependents(uses: list[list[tuple[int, int]]], position: int) -> list[int]:
    """The positions of all nodes that depend on a node, in the order in which they are computed."""
    reached = {position}
    pending = [position]
    for each in pending:
        for user, _ in uses[each]:
            if user not in reached:
                reached.add(user)
                pending.append(user)
    return sorted(pending[1:])


# ----------------------------------------------------------------- moving one value and looking on
class _Recorded:
    """A recorded graph, computed again with plain numbers after one of its values has been moved."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses = graph.uses()
        #: The number of each node, then the literals.
        self.numbers = [node.data for node in graph]
        self.calls: list[tuple[Callable[..., float], list[Any]] | None] = []
        for node in graph:
            if node.rule is None:
                self.calls.append(None)
                continue
            places = []
            for operand in node.operands:
                if type(operand) is int:
                    places.append(operand)
                else:
                    places.append(len(self.numbers))
                    self.numbers.append(operand)
            self.calls.append((compiled(node.rule).value, node.rule.split(places)))

    def entries(self, position: int) -> list[Any]:
        """The numbers of a node's operands as its rule takes them."""
        call = self.calls[position]
        assert call is not None
        numbers = self.numbers
        return [[numbers[i] for i in place] if type(place) is list else numbers[place] for place in call[1]]

    def compute(self, position: int) -> float:
        """The number of a node from those of its operands."""
        call = self.calls[position]
        assert call is not None
        return call[0](*self.entries(position))

    @contextmanager
    def moved(self, position: int, order: Sequence[int], x: float) -> Iterator[None]:
        """Inside, ``x`` is the number of a node and those of ``order`` have followed."""
        before = [(each, self.numbers[each]) for each in (position, *order)]
        try:
            self.numbers[position] = x
            for each in order:
                try:
                    self.numbers[each] = self.compute(each)
                except (ArithmeticError, ValueError):
                    raise _Undefined(self._undefined(each)) from None
            yield
        finally:
            for each, data in before:
                self.numbers[each] = data

    def _undefined(self, position: int) -> str:
        node = self.graph[position]
        assert node.rule is not None
        told = (f"{arg} = {each!r}" for arg, each in zip(node.rule.args, self.entries(position), strict=True))
        return f"{node.rule.name} is undefined at {', '.join(told)} ({_where(node)})"


class _Undefined(Exception):
    """A moved operand has left the domain of an operation."""


class _Corners(NamedTuple):
    """On which side of its corners each operation is."""

    #: The operations in order; another branch of a function has others.
    operations: tuple[Rule | None, ...]
    #: By position, for each operation that has corners.
    sides: dict[int, tuple[Any, ...]]


class _Probe:
    """The loss as a function of one parameter."""

    #: The last thing that was undefined.
    undefined = ""

    def loss(self, x: float) -> float:
        """The loss where the parameter is x; nan where it is undefined."""
        raise NotImplementedError

    def corners(self, x: float) -> _Corners | None:
        """On which side of its corners each operation is where the parameter is x; None: undefined."""
        raise NotImplementedError

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put everything back after the ``with``."""
        yield


class _Moved(_Probe):
    """A node of a recorded graph as the parameter; None for a value that is not in the graph."""

    def __init__(self, recorded: _Recorded, position: int | None) -> None:
        self.recorded = recorded
        self.position = position
        self.order = [] if position is None else _dependents(recorded.uses, position)

    def loss(self, x: float) -> float:
        last = len(self.recorded.graph) - 1
        if self.position is None:
            return self.recorded.numbers[last]
        try:
            with self.recorded.moved(self.position, self.order, x):
                return self.recorded.numbers[last]
        except _Undefined as error:
            self.undefined = str(error)
            return math.nan

    def corners(self, x: float) -> _Corners | None:
        if self.position is None:
            return None
        try:
            with self.recorded.moved(self.position, self.order, x):
                return _Corners((), dict(self._sides()))
        except _Undefined:
            return None

    def _sides(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        for position in self.order:
            rule = self.recorded.graph[position].rule
            assert rule is not None
            if rule.corner or rule.kink:
                yield position, _side(rule, self.recorded.entries(position), self.recorded.numbers[position])


class _Called(_Probe):
    """A function, with the data of a leaf as the parameter."""

    def __init__(self, function: Callable[[], Any], value: Value, names: Mapping[str, Any]) -> None:
        self.function = function
        self.value = value
        self.names = names

    def loss(self, x: float) -> float:
        self.value.data = x
        try:
            with no_grad():
                y = self.function()
        except (ArithmeticError, ValueError) as error:
            self.undefined = str(error)
            return math.nan
        return y.data if isinstance(y, Value) else as_number(y, "the result of a function to differentiate")

    def corners(self, x: float) -> _Corners | None:
        self.value.data = x
        try:
            y = self.function()
        except (ArithmeticError, ValueError):
            return None
        graph = Graph(y, self.names)
        sides = {}
        for node in graph:
            if node.rule is not None and (node.rule.corner or node.rule.kink):
                sides[node.position] = _side(node.rule, _entries(graph, node), node.data)
        return _Corners(tuple(node.rule for node in graph), sides)

    @contextmanager
    def restored(self) -> Iterator[None]:
        before = self.value.data
        try:
            yield
        finally:
            self.value.data = before


def _entries(graph: Graph, node: Node) -> list[Any]:
    """The numbers of a node's operands as its rule takes them."""
    assert node.rule is not None
    return node.rule.split([graph.nodes[each].data if type(each) is int else each for each in node.operands])


def _side(rule: Rule, entries: list[Any], y: float) -> tuple[Any, ...]:
    """On which side of its corners an operation is: the signs of its ``kink``, and where there is
    none which of its derivatives are 0 (those of all but the largest, for ``max``)."""  # fmt: skip
    if rule.kink:
        scope, elements = _scope(rule, entries)
        signs = [each.evaluate(scope, elements=elements) for each in rule.kink]
        return tuple((x > 0.0) - (x < 0.0) for x in signs)
    try:
        locals_ = [derivative(*entries, y) for derivative in compiled(rule).derivatives]
    except (ArithmeticError, ValueError):
        return ()
    return tuple(x == 0.0 for each in locals_ for x in (each if type(each) is list else [each]))


def _scope(rule: Rule, entries: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The names of a rule's expressions, and for each element of its lists."""
    scope = dict(zip(rule.args, entries, strict=True))
    lists = zip(*(scope[arg] for arg in rule.over), strict=True)
    return scope, [dict(zip(rule.over, each, strict=True)) for each in lists] if rule.over else []


# ------------------------------------------------------------------------- gradients of a whole graph
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
class GradientReport:
    """What :func:`check_gradients` found; ``str(report)`` is the table."""

    title: str
    rows: tuple[GradientRow, ...]
    notes: tuple[str, ...]
    #: What the second column is called.
    source: str = "back-propagated"

    @property
    def ok(self) -> bool:
        """Whether no gradient disagrees. An inconclusive one was not decided: see ``counts``."""
        return not self.counts["DISAGREE"]

    @property
    def counts(self) -> Counter[str]:
        """How many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    def __getitem__(self, name: str) -> GradientRow:
        """The row of a name. KeyError says which there are."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no gradient of {name!r} was checked; there are {', '.join(r.name for r in self.rows)}")

    def __repr__(self) -> str:
        return f"GradientReport({_tally(self.counts)})"

    def __str__(self) -> str:
        return str(self.table())

    def table(self) -> Table:
        """The table. Where there are more than 60 rows, those that agree are only counted."""
        shown = [row for row in self.rows if len(self.rows) <= 60 or row.verdict != "agree"]
        notes = self.notes
        if len(shown) < len(self.rows):
            notes = (f"{len(self.rows) - len(shown)} gradients that agree are not shown (report.rows)", *notes)
        return Table(
            f"{self.title}: {_tally(self.counts)}",
            ("name", f">{self.source}", ">numerical", ">difference", ">known to", ">relative error", "verdict"),
            tuple(
                (
                    row.name, row.claimed, row.numerical, f"{row.absolute_error:.1e}",
                    f"±{row.tolerance:.1e}", f"{row.relative_error:.1e}",
                    f"{row.verdict}: {row.why}" if row.why else row.verdict,
                )
                for row in shown
            ),
            notes,
        )  # fmt: skip


def _tally(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "nothing to check"


def check_gradients(
    loss: Value | Callable[[], Value],
    parameters: Any = None,
    *,
    claimed: Any = None,
    show: bool = True,
    names: Mapping[str, Any] | None = None,
) -> GradientReport:
    """Compare the gradients of ``loss`` with numerical ones; print the table and return it.

    ``loss`` is a recorded Value: its graph is computed again with plain numbers, while one leaf at a
    time is moved. Or it is a function without arguments that returns one: it is called anew, so that
    its branches on data are followed, with the leaves moved and put back in turn.

    ``parameters`` are Values, or lists, arrays or dicts of them; all leaves that take a gradient, if
    left out. ``claimed`` holds gradients in the shape of ``parameters`` to be checked in place of
    those of back-propagation. ``grad`` is neither read for the comparison nor touched.

    >>> w, b, x = Value(0.4, name="w"), Value(0.0, name="b"), 3.0
    >>> report = check_gradients((w * x - 1.0).tanh() + b.relu())
    check_gradients(add = 0.19737532): 1 agree, 1 inconclusive
    <BLANKLINE>
    name   back-propagated    numerical   difference   known to   relative error   verdict
    ...
    w           +2.8831293   +2.8831293 ...   agree
    b                    0  +0.50000000 ...   inconclusive: kink within the step: relu(b) at b = 0.0 ...
    >>> report.ok, report["w"].verdict
    (True, 'agree')

    A gradient agrees if it differs from the numerical one by no more than the estimated errors, and
    these would have let a relative error of 1e-4 be seen; it disagrees if it differs by more. Else
    the row is inconclusive and says why: a kink within the step, cancellation, a number that is not
    finite, an operation undefined within the step. A gradient that is a sum of much larger terms is
    judged by the size of these. ``ok`` means that none disagrees.

    ``names`` maps names to Values for the table, in place of the variables of the caller.

    Raises NoGradientError where nothing takes a gradient or where data of the graph was changed after
    it was recorded, ValueError where two calls of the function differ, TypeError for anything else
    than a Value or such a function.
    """
    given = parameters if isinstance(parameters, Mapping) else {}
    names = {**given, **(_scope_of_caller() if names is None else names)}
    if isinstance(loss, Value):
        root, fresh = loss, frozenset[int]()
    elif callable(loss):
        root, fresh = _called_twice(loss)
    else:
        raise TypeError(
            f"check_gradients() takes a Value, or a function without arguments that returns one, not {loss!r}"
        )
    graph = Graph(root, names)
    values = _leaves(root, graph, fresh) if parameters is None else _values(parameters, "check_gradients()")
    if parameters is not None:
        _check_can_be_moved(values, graph, called=loss is not root)
    gradients = upstream_gradients(root)
    claims = [gradients.get(id(value), 0.0) for value in values]
    if claimed is not None:
        if parameters is None:
            raise ValueError("claimed gradients are in the shape of parameters: give these too")
        claims = _claims(parameters, claimed, "parameters")
    recorded = _Recorded(graph)
    if loss is root:
        _check_unchanged(recorded)
    noise, sizes, found = _own_noise(graph, root), _path_sizes(graph), variable_names(names)
    rows = []
    for value, claim in zip(values, claims, strict=True):
        position = graph._places.get(id(value))
        moved = _Moved(recorded, position)
        probe = moved if loss is root else _Called(loss, value, names)
        setting = _Setting(
            value.data,
            root.data,
            math.sqrt(sum(noise[each] for each in moved.order)),
            0.0 if position is None else sizes[position],
            len(moved.order),
            position is not None,
        )
        with probe.restored():
            best, verdict, why = _judge(claim, setting, probe, graph)
        name = value.name or found.get(id(value)) or f"parameter {len(rows)}"
        name = name if position is None else graph[position].name
        tolerance = _tolerance(claim, best, setting)
        rows.append(GradientRow(name, claim, best.value, tolerance, verdict, why))
    title = f"check_gradients({graph.root.name if graph.root.named else 'loss'} = {number(root.data)})"
    notes = _grad_notes(graph, gradients, {graph._places.get(id(value)) for value in values})
    if fresh:
        notes = (f"{len(fresh)} values that the function makes anew at each call are not checked", *notes)
    source = "back-propagated" if claimed is None else "claimed"
    report = GradientReport(title, tuple(rows), notes, source)
    if show:
        report.table().show()
    return report


def _scope_of_caller() -> dict[str, Any]:
    """The variables that the user's code sees where it called, the local ones first."""
    frame = user_frame()
    if frame is None:
        return {}
    local = dict(frame.f_locals)
    return local | {name: held for name, held in frame.f_globals.items() if name not in local}


def _called_twice(function: Callable[[], Any]) -> tuple[Value, frozenset[int]]:
    """What the function returns, and the positions of leaves in it that another call makes anew."""
    one, other = function(), function()
    for y in (one, other):
        if not isinstance(y, Value):
            raise TypeError(f"the function must return the loss as a Value, not {y!r}")
    if one.data != other.data and not (math.isnan(one.data) and math.isnan(other.data)):
        raise ValueError(
            f"two calls of the function gave {one.data!r} and {other.data!r}: what it gives must depend "
            "on the parameters alone. Fix its seed, and leave updates out of it"
        )
    first, second = Graph(one), Graph(other)
    made = first._places.keys() - second._places.keys()
    places = frozenset(first._places[place] for place in made)
    return one, frozenset(i for i in places if first[i].rule is None and first[i].requires_grad)


def _leaves(root: Value, graph: Graph, fresh: frozenset[int]) -> list[Value]:
    """The leaves that take a gradient, in the order of the graph."""
    values = [
        value
        for value in reversed(backward_order(root))
        if value.is_leaf and value.requires_grad and graph._places[id(value)] not in fresh
    ]
    if not values:
        raise NoGradientError(
            f"there is nothing to check: {describe(root)} depends on no leaf that takes a gradient"
            + (" and is not made anew by the function" if fresh else "")
        )
    return values


def _check_can_be_moved(values: Sequence[Value], graph: Graph, *, called: bool) -> None:
    for value in values:
        if not value.requires_grad:
            raise NoGradientError(f"{describe(value)} is frozen (requires_grad is False): it has no gradient")
        if called and not value.is_leaf:
            raise NoGradientError(
                f"{describe(value)} was computed, and each call of the function computes it anew: give "
                "leaves, or the recorded loss in place of the function"
            )


class _Setting(NamedTuple):
    """What is known of a gradient before it is measured."""

    x: float
    loss: float
    #: The rounding error of one evaluation of the loss.
    noise: float
    #: The sum of the absolute contributions of all paths: what the gradient's own rounding goes by.
    size: float
    #: How many operations depend on the parameter.
    operations: int
    recorded: bool


def _path_sizes(graph: Graph) -> list[float]:
    """For each node Σ over all paths to the root of the product of |local derivatives|."""
    sizes = [0.0] * len(graph)
    sizes[-1] = 1.0
    for node in reversed(graph.nodes):
        for operand, local in zip(node.operands, node.local_derivatives, strict=True):
            if type(operand) is int and local is not None:
                sizes[operand] += sizes[node.position] * abs(local)
    return sizes


def _tolerance(claim: float, best: Derivative, setting: _Setting) -> float:
    """How far a right gradient may be from the numerical one: the errors of both."""
    rounding = 8.0 * EPS * (setting.operations + 1) * setting.size
    larger = max(abs(claim), abs(best.value))
    return (
        SAFETY * best.error
        + (rounding if math.isfinite(rounding) else 0.0)
        + (ROUNDING * larger if math.isfinite(larger) else 0.0)
    )


def _compare(claim: float, best: Derivative, setting: _Setting) -> tuple[str, str]:
    """The verdict on a claimed gradient by one numerical derivative, and why."""
    if best.kinked:
        told = f"{number(best.left)} on the left, {number(best.right)} on the right"
        return "inconclusive", f"kink or jump within the step: the slope is {told}"
    if not math.isfinite(best.value):
        return "inconclusive", "not finite: no numerical derivative could be formed"
    if best.contradicted:
        return "inconclusive", f"it depends on the step: below {best.step:.0e} the slopes are different"
    tolerance = _tolerance(claim, best, setting)
    if not math.isfinite(claim):
        if best.decisive:
            return "DISAGREE", "the gradient is not finite"
        return "inconclusive", "not finite: so is the gradient, and the numerical one is not known well"
    size = setting.size if math.isfinite(setting.size) else 0.0
    larger = max(abs(claim), abs(best.value))
    if abs(claim - best.value) > tolerance:
        if not best.decisive and setting.noise > 1e-3 * abs(setting.loss):
            return "inconclusive", f"rounding alone moves the loss by {setting.noise:.1e}"
        if setting.recorded or claim:
            return "DISAGREE", ""
        return "DISAGREE", "the loss moves with it, but no operation on it is recorded (was .data used?)"
    if claim == 0.0 and size == 0.0:
        if best.steepest == 0.0:
            return "agree", "" if setting.recorded else "the loss does not depend on it"
        if tolerance <= DECISIVE * best.steepest:
            return "agree", ""
    elif tolerance <= DECISIVE * max(larger, size):
        cancelled = tolerance > DECISIVE * larger
        return "agree", f"terms of size {size:.1e} cancel" if cancelled else ""
    return "inconclusive", f"too much cancellation: the numerical gradient is known to ±{tolerance:.1e} only"


def _judge(
    claim: float, setting: _Setting, probe: _Probe, graph: Graph
) -> tuple[Derivative, str, str]:
    """Measure until the verdict is sure; a suspicion is followed up with all steps and all corners."""
    x, noise = setting.x, setting.noise
    if not math.isfinite(x) or not math.isfinite(graph.root.data):
        what = "the parameter" if not math.isfinite(x) else "the loss"
        return _NOTHING, "inconclusive", f"not finite: {what} is {x if what == 'the parameter' else graph.root.data}"
    best = _sweep(probe.loss, x, noise)[0]
    verdict, why = _compare(claim, best, setting)
    if verdict == "agree":
        return best, verdict, why
    best, verdict, why = _patient(claim, setting, probe, math.inf)
    if verdict == "agree":
        return best, verdict, why
    near = best.step
    crossed = _crossed(probe, x, near, graph) if math.isfinite(near) else ""
    if crossed:
        while crossed and near > 1e-13 * abs(x) + 1e-300:
            at, near = crossed, near / _RATIO
            crossed = _crossed(probe, x, near, graph)
        if crossed:
            return best, "inconclusive", crossed
        best, verdict, why = _patient(claim, setting, probe, near * (1.0 + EPS))
        if verdict == "inconclusive":
            why = at
    elif probe.undefined and verdict == "inconclusive":
        why = f"undefined within the step: {probe.undefined}"
    return best, verdict, why


def _patient(
    claim: float, setting: _Setting, probe: _Probe, below: float
) -> tuple[Derivative, str, str]:
    """The verdict by the best of all steps; an error only if no other step speaks for the claim."""
    found = _sweep(probe.loss, setting.x, setting.noise, below=below, patient=True)
    best = found[0]
    verdict, why = _compare(claim, best, setting)
    if verdict == "DISAGREE":
        for other in found:
            if other.decisive and _compare(claim, other, setting)[0] == "agree":
                why = f"steps near {best.step:.0e} and near {other.step:.0e} give different slopes"
                return best, "inconclusive", why
    return best, verdict, why


def _crossed(probe: _Probe, x: float, h: float, graph: Graph) -> str:
    """The corners between x - h and x + h in words, or an empty text."""
    here = probe.corners(x)
    found: set[int] = set()
    for there in (probe.corners(x - h), probe.corners(x + h)):
        if here is None or there is None:
            continue
        if here.operations != there.operations:
            return "another branch within the step: the function records other operations there"
        found |= {i for i, side in here.sides.items() if side != there.sides[i]}
    if not found:
        return ""
    first, *others = sorted(found)
    more = f" and at {len(others)} more" if others else ""
    return f"kink within the step: {_corner(graph, graph[first])}{more}"


def _corner(graph: Graph, node: Node) -> str:
    """``relu at h1, where net1 = 0.0 (net.py:14)``: what an operation's corner hangs on, and its number."""
    rule = node.rule
    assert rule is not None
    told = ""
    if rule.kink and not rule.over:
        names = dict(zip(rule.args, _operand_names(graph, node), strict=True))
        scope = dict(zip(rule.args, _entries(graph, node), strict=True))
        values = [(each.evaluate(scope), each) for each in rule.kink]
        nearest, kink = min(values, key=lambda each: abs(each[0]))
        text = re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), str(kink))
        told = f", where {text} = {nearest!r}"
    return f"{rule.name} at {_where(node)}{told}"


def _operand_names(graph: Graph, node: Node) -> list[str]:
    return [graph.nodes[each].name if type(each) is int else repr(each) for each in node.operands]


def _where(node: Node) -> str:
    """A node by its name and, if it is known, its line."""
    return node.name if node.site is None else f"{node.name}, {_line(node.site)}"


def _line(site: str) -> str:
    """``file:line`` with the file relative to the current directory if it is inside."""
    here = os.getcwd() + os.sep
    return site.removeprefix(here)


# ------------------------------------------------------------------------- does the record still hold
class _Change(NamedTuple):
    """A node that does not follow from its operands any more."""

    node: Node
    #: What the operands give now; nan where they give nothing.
    now: float
    text: str


def _check_unchanged(recorded: _Recorded) -> None:
    changes = _changes(recorded)
    if changes:
        raise NoGradientError(
            f"{changes[0].text}. Compute the loss again, or check a function of no arguments that does"
        )


def _changes(recorded: _Recorded) -> list[_Change]:
    """The nodes whose number, or a local derivative, is not what their operands give now."""
    graph = recorded.graph
    nows: dict[int, float] = {}
    for node in graph:
        if node.rule is not None:
            try:
                now = recorded.compute(node.position)
                same = _same(now, node.data) and _same_locals(recorded, node)
            except (ArithmeticError, ValueError):
                now, same = math.nan, False
            if not same:
                nows[node.position] = now
    return [_change(recorded, graph[position], now, nows.keys()) for position, now in nows.items()]


def _same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def _locals(rule: Rule, entries: list[Any], y: float) -> list[float]:
    """What the rule's own text gives for the derivative in each operand."""
    found = [derivative(*entries, y) for derivative in compiled(rule).derivatives]
    return [x for each in found for x in (each if type(each) is list else [each])]


def _same_locals(recorded: _Recorded, node: Node) -> bool:
    assert node.rule is not None
    call = recorded.calls[node.position]
    assert call is not None
    entries = recorded.entries(node.position)
    for arg, derivative, now in zip(
        node.rule.args, compiled(node.rule).derivatives, node.rule.split(node.local_derivatives), strict=True
    ):
        recorded_here = now if arg in node.rule.over else [now]
        if all(each is None for each in recorded_here):
            continue
        gives = derivative(*entries, node.data)
        gives = gives if arg in node.rule.over else [gives]
        if not all(was is None or _same(is_now, was) for is_now, was in zip(gives, recorded_here, strict=True)):
            return False
    return True


def _change(recorded: _Recorded, node: Node, now: float, bad: Any) -> _Change:
    graph, rule = recorded.graph, node.rule
    assert rule is not None
    becomes = f"would be {now!r} now" if now == now else "is undefined now"
    text = f"{graph.equation(node)} was recorded, but it {becomes}"
    if _same(now, node.data):
        text = f"the local derivatives of {graph.equation(node)} are not what its operands give now"
    users = {user for user, _ in recorded.uses[node.position]}
    culprits = [
        f"{graph[i].name} is {graph[i].data!r} now and was {was!r}" for i, was in _earlier(graph, node).items()
    ]
    if not culprits and not (users and users <= set(bad)):
        culprits = [
            f"{graph[i].name} is {graph[i].data!r} now"
            for i in dict.fromkeys(each for each in node.operands if type(each) is int)
            if graph[i].rule is None and {user for user, _ in recorded.uses[i]} <= set(bad)
        ]
    if len(culprits) > 1:
        culprits = [f"one of these has been changed since: {', '.join(culprits)}"]
    cause = culprits[0] if culprits else f"the data of {node.name} itself has been changed"
    line = "" if node.site is None else f" [{_line(node.site)}]"
    return _Change(node, now, f"{text}{line}: {cause}")


def _earlier(graph: Graph, node: Node) -> dict[int, float]:
    """Operands that have changed, by position, with the number they had when the node was recorded.

    It is known where a local derivative is another operand's number: that of x in x·w is w.
    """
    rule = node.rule
    assert rule is not None
    places = dict(zip(rule.args, rule.split(range(len(node.operands))), strict=True))
    found: dict[int, float] = {}
    for arg, d in zip(rule.args, rule.d, strict=True):
        other = str(d)
        if other not in places or (arg in rule.over) != (other in rule.over):
            continue
        mine, others = places[arg], places[other]
        for i, j in zip(mine, others, strict=True) if arg in rule.over else [(mine, others)]:
            was, operand = node.local_derivatives[i], node.operands[j]
            if was is not None and type(operand) is int and not _same(was, graph[operand].data):
                found[operand] = was
    return found


# --------------------------------------------------------------------------- one operation by itself
class AuditRow(NamedTuple):
    """One local derivative of one recorded operation, or a node that has changed."""

    node: str
    #: The name of the rule.
    rule: str
    #: Which operand: ``a = x``; empty where the row is about the node's number.
    operand: str
    #: The recorded local derivative; for a change the recorded number.
    recorded: float
    #: The derivative of this operation alone at its operands; for a change what these give now.
    measured: float
    #: ``fine``, ``corner``, ``WRONG RULE``, ``CHANGED`` or ``undecided``.
    verdict: str
    why: str
    site: str | None

    @property
    def ratio(self) -> str:
        """recorded / measured, as a fraction where it is a simple one; a dash where there is none.

        >>> AuditRow("y", "cube", "a = x", 18.0, 27.0, "WRONG RULE", "", None).ratio
        '2/3'
        """
        if not self.measured or not math.isfinite(self.recorded / self.measured):
            return "-"
        ratio = self.recorded / self.measured
        simple = Fraction(ratio).limit_denominator(12)
        near = abs(simple) <= 144 and abs(ratio - simple) <= 1e-6 * abs(ratio)
        return str(simple) if near else f"{ratio:.6g}"


class Accumulation(NamedTuple):
    """Whether the chain rule has been summed up rightly, apart from the rules."""

    ok: bool
    #: What a fresh pass shows.
    told: str
    #: What stands in ``grad``.
    grad: str


@dataclass(frozen=True, repr=False)
class AuditReport:
    """What :func:`audit` found; ``str(report)`` is the table."""

    title: str
    #: A row for each local derivative, and one for each change.
    rows: tuple[AuditRow, ...]
    accumulation: Accumulation

    @property
    def ok(self) -> bool:
        """Whether no rule is wrong, nothing has changed, and the gradients are rightly summed up."""
        return not (self.counts["WRONG RULE"] or self.counts["CHANGED"]) and self.accumulation.ok

    @property
    def counts(self) -> Counter[str]:
        """How many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    @property
    def wrong_rules(self) -> list[str]:
        """The names of the rules that are wrong."""
        return list(dict.fromkeys(row.rule for row in self.rows if row.verdict == "WRONG RULE"))

    def __repr__(self) -> str:
        return f"AuditReport({_tally(self.counts)})"

    def __str__(self) -> str:
        return str(self.table())

    def table(self) -> Table:
        """The table of the rows that are not fine; of many alike, the first five."""
        shown: list[AuditRow] = []
        alike: Counter[tuple[str, str, str]] = Counter()
        for row in self.rows:
            kind = (row.rule, row.operand.partition(" ")[0].partition("[")[0], row.verdict)
            alike[kind] += 1
            if row.verdict != "fine" and alike[kind] <= 5:
                shown.append(row)
        notes = [
            f"{count - 5} more like it: {rule} {arg}, {verdict} (report.rows)".replace(" ,", ",")
            for (rule, arg, verdict), count in alike.items()
            if verdict != "fine" and count > 5
        ]
        wrong = self.wrong_rules
        notes.append(f"rules: {'WRONG: ' + ', '.join(wrong) if wrong else 'none is wrong'}")
        if self.counts["CHANGED"]:
            notes.append("numbers: CHANGED since they were recorded; compute the graph again")
        notes.append(f"accumulation: {'' if self.accumulation.ok else 'WRONG: '}{self.accumulation.told}")
        notes.append(f"grad: {self.accumulation.grad}")
        if any(row.site is None for row in shown):
            notes.append("lines: call microbp.record_sites() before computing to see them")
        return Table(
            f"{self.title}: {_tally(self.counts)}",
            ("node", "rule", "operand", ">recorded", ">measured", ">ratio", "verdict"),
            tuple(
                (
                    row.node, row.rule, row.operand, row.recorded, row.measured, row.ratio,
                    row.verdict + (f": {row.why}" if row.why else "")
                    + (f" [{_line(row.site)}]" if row.site else ""),
                )
                for row in shown
            ),
            tuple(notes),
        )  # fmt: skip


def audit(loss: Value, *, show: bool = True, names: Mapping[str, Any] | None = None) -> AuditReport:
    """Check each recorded operation alone; print what is not fine and return the report.

    Three things can be wrong with a gradient, and each has its own verdict. A *rule*: the recorded
    local derivative is compared with the derivative of that operation alone, at its recorded
    operands, so that a wrong rule is named by operation, operand, node and line. The *record*: a
    number was changed after it was used. The *accumulation*: the gradients of a fresh pass are
    compared with the sums Σ upstream gradient · local derivative over all uses, taken apart from it,
    and ``grad`` with whole passes.

    >>> x = Value(-3.0, name="x")
    >>> y = abs(x) * x
    >>> y.backward()
    >>> report = audit(y)
    audit(y = -9.0000000): 3 fine
    <BLANKLINE>
    rules: none is wrong
    accumulation: right: 3 gradients are the sums over their uses
    grad: holds 1 backward pass

    At a corner the derivative follows a convention (``relu`` at 0): the verdict is ``corner`` if it
    lies between the slopes on either side, and ``WRONG RULE`` if it does not. Where an operation is
    undefined beside its operand, or an operand is not finite, it is ``undecided``. ``report.rows``
    has all rows.

    ``names`` maps names to Values for the table, in place of the variables of the caller.

    Raises TypeError where ``loss`` is no Value, NoGradientError where it is a constant.
    """
    if not isinstance(loss, Value):
        raise TypeError(f"audit() looks at a recorded Value, not {loss!r}")
    if not loss.requires_grad:
        raise NoGradientError(f"{describe(loss)} is a constant: there is no operation to audit")
    graph = Graph(loss, _scope_of_caller() if names is None else names)
    recorded = _Recorded(graph)
    changes = {change.node.position: change for change in _changes(recorded)}
    rows: list[AuditRow] = []
    measured: dict[Any, list[_Local | None]] = {}
    for node in graph:
        if node.rule is None:
            continue
        if node.position in changes:
            change = changes[node.position]
            rows.append(
                AuditRow(node.name, node.rule.name, "", node.data, change.now, "CHANGED", change.text, node.site)
            )
            continue
        numbers = tuple(recorded.graph.nodes[i].data if type(i) is int else i for i in node.operands)
        asked = tuple(local is not None for local in node.local_derivatives)
        # -0.0 and 0.0 are equal as keys, and nan is not equal to itself: neither does harm here.
        key = (node.rule, numbers, asked)
        if key not in measured:
            measured[key] = _measure_node(node, numbers)
        operands = _operand_words(graph, node)
        for local, told, stated in zip(measured[key], operands, node.local_derivatives, strict=True):
            if local is not None and stated is not None:
                row = (node.name, node.rule.name, told, stated, local.measured, local.verdict, local.why)
                rows.append(AuditRow(*row, node.site))
    gradients = upstream_gradients(loss)
    title = f"audit({graph.root.name if graph.root.named else 'loss'} = {number(loss.data)})"
    ok, told = _sums(graph, gradients)
    report = AuditReport(title, tuple(rows), Accumulation(ok, told, _grad_state(graph, gradients)))
    if show:
        report.table().show()
    return report


def _operand_words(graph: Graph, node: Node) -> list[str]:
    """``a = x``, ``w[1] = W[0,1]`` for each operand."""
    rule = node.rule
    assert rule is not None
    names = _operand_names(graph, node)
    words: list[str] = [""] * len(names)
    for arg, places in zip(rule.args, rule.split(range(len(names))), strict=True):
        for element, place in enumerate(places if arg in rule.over else [places]):
            words[place] = f"{arg}{f'[{element}]' if arg in rule.over else ''} = {names[place]}"
    return words


class _Local(NamedTuple):
    """The verdict on one local derivative."""

    measured: float
    verdict: str
    why: str


def _measure_node(node: Node, numbers: tuple[float, ...]) -> list[_Local | None]:
    assert node.rule is not None
    return [
        None if stated is None else _measure(node.rule, numbers, place, stated, node)
        for place, stated in enumerate(node.local_derivatives)
    ]


def _measure(rule: Rule, numbers: tuple[float, ...], place: int, stated: float, node: Node) -> _Local:
    """Judge the derivative of one operation in one operand; ``numbers`` are all its operands.

    The complex step, exact to rounding, decides where the operation is smooth. What it does not
    confirm is looked at with differences of the real operation, on either side.
    """
    if not all(map(math.isfinite, numbers)):
        return _Local(math.nan, "undecided", "an operand is not finite")
    slope = _slope(rule, numbers, place, 0.0)
    confirmed = abs(slope - stated) <= ROUNDING * max(abs(slope), abs(stated))
    if confirmed and not rule.corner and not rule.kink:
        return _Local(slope, "fine", "")
    beside = 2.0**-45 * max(map(abs, numbers)) or 2.0**-100
    left, right = _slope(rule, numbers, place, -beside), _slope(rule, numbers, place, beside)
    if math.isnan(left) or math.isnan(right):
        return _at_the_edge(rule, numbers, place, stated, beside)
    if confirmed and abs(left - right) <= 1e-6 * max(abs(left), abs(right)):
        return _Local(slope, "fine", "")
    return _by_differences(rule, numbers, place, stated, node, slope if confirmed else None)


_complex_values: dict[Rule, Callable[..., Any]] = {}


def _complex_value(rule: Rule) -> Callable[..., Any]:
    """The value of a rule as a function of complex numbers; comparisons look at the real parts."""
    if rule not in _complex_values:
        done: dict[str, str] = {}
        result = rule.y.hoist(rule.over, done)
        lines = [f"    {temporary} = {text}\n" for text, temporary in done.items()]
        source = f"def value({', '.join(rule.args)}):\n{''.join(lines)}    return {result}\n"
        tree = ast.fix_missing_locations(_RealComparisons().visit(ast.parse(source)))
        scope: dict[str, Any] = {**CONSTANTS, **COMPLEX.functions, "mul": mul, "_real": COMPLEX.judged}
        exec(compile(tree, f"<microbp complex {rule.name}>", "exec"), scope)
        _complex_values[rule] = scope["value"]
    return _complex_values[rule]


class _RealComparisons(ast.NodeTransformer):
    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        sides = [self.visit(side) for side in (node.left, *node.comparators)]
        calls: list[ast.expr] = [ast.Call(ast.Name("_real", ast.Load()), [side], []) for side in sides]
        return ast.Compare(calls[0], node.ops, calls[1:])


#: The complex step; what it leaves out is of the order of its square.
_STEP = 2.0**-332


def _slope(rule: Rule, numbers: tuple[float, ...], place: int, shift: float) -> float:
    """The complex-step derivative in one operand, moved by ``shift``; nan where it is undefined."""
    moved: list[Any] = list(numbers)
    moved[place] += shift
    try:
        compiled(rule).value(*rule.split(moved))
        moved[place] += 1j * _STEP
        slope: float = _complex_value(rule)(*rule.split(moved)).imag / _STEP
    except (ArithmeticError, ValueError):
        return math.nan
    return slope


def _at_the_edge(
    rule: Rule, numbers: tuple[float, ...], place: int, stated: float, beside: float
) -> _Local:
    """Where an operation is undefined on one side: the slope on the other, and whether it is finite."""
    for side in (beside, -beside):
        far, near = _slope(rule, numbers, place, side), _slope(rule, numbers, place, side / 16.0)
        if math.isnan(far) or math.isnan(near):
            continue
        told = f"undefined {'below' if side > 0.0 else 'above'} {numbers[place]!r}"
        grows = abs(near) > 1.5 * abs(far) and near * far > 0.0
        if math.isinf(stated):
            if grows and near * stated > 0.0:
                return _Local(stated, "corner", f"{told}; the slope grows without bound")
            return _Local(near, "WRONG RULE", f"{told}; the slope is finite")
        settled = abs(near - stated) <= 1e-6 * max(abs(near), abs(stated)) or abs(near) < abs(far)
        if settled and abs(near - stated) <= abs(far - stated):
            return _Local(near, "corner", told)
        return _Local(near, "undecided", f"{told}. {rule.corner}".strip())
    return _Local(math.nan, "undecided", f"undefined beside {numbers[place]!r}. {rule.corner}".strip())


def _by_differences(
    rule: Rule, numbers: tuple[float, ...], place: int, stated: float, node: Node, slope: float | None
) -> _Local:
    value = compiled(rule).value

    def f(x: float) -> float:
        try:
            return value(*rule.split([*numbers[:place], x, *numbers[place + 1 :]]))
        except (ArithmeticError, ValueError):
            return math.nan

    locals_ = zip(numbers, node.local_derivatives, strict=True)
    size = abs(node.data) + sum(abs(x * d) for x, d in locals_ if d is not None and math.isfinite(d))
    found = _sweep(f, numbers[place], EPS * size, patient=True)
    best = found[0]
    off = SAFETY * best.error
    if best.kinked:
        low, high = sorted((best.left, best.right))
        told = f"the slope is {number(best.left)} on the left, {number(best.right)} on the right"
        if low - off <= stated <= high + off:
            return _Local(stated, "corner", f"{told}; by convention {number(stated)}")
        return _Local(best.value, "WRONG RULE", f"{told}")
    if slope is not None:
        return _Local(slope, "fine", "")
    if not math.isfinite(best.value):
        return _Local(math.nan, "undecided", "no derivative could be measured")
    off += ROUNDING * max(abs(stated), abs(best.value)) if math.isfinite(stated) else 0.0
    if abs(stated - best.value) <= off:
        fine = off <= DECISIVE * abs(best.value) or stated == best.value
        return _Local(best.value, "fine" if fine else "undecided", "" if fine else f"known to ±{off:.1e} only")
    if best.decisive or off <= DECISIVE * abs(stated):
        return _Local(best.value, "WRONG RULE", "")
    return _Local(best.value, "WRONG RULE", f"known to ±{off:.1e}")


# ------------------------------------------------------------------------------------- accumulation
def _sums(graph: Graph, gradients: Mapping[int, float]) -> tuple[bool, str]:
    """Whether the gradients of a pass are the chain-rule sums over the uses of each node."""
    upstream = {position: gradients.get(place) for place, position in graph._places.items()}
    uses = graph.uses()
    for node in reversed(graph.nodes):
        got = upstream[node.position]
        if got is None:
            continue
        terms = [1.0] if node is graph.root else []
        for user, place in uses[node.position]:
            local, above = graph[user].local_derivatives[place], upstream[user]
            if local is not None and above is not None:
                terms.append(above * local)
        total, size = sum(terms), sum(map(abs, terms))
        if math.isfinite(total) and not abs(got - total) <= 2.0 * EPS * len(terms) * size:
            return False, (
                f"{node.name} has the gradient {got!r} in a fresh pass, but the sum over its "
                f"{len(terms)} uses is {total!r}"
            )
    count = sum(each is not None for each in upstream.values())
    return True, f"right: {count} gradients are the sums over their uses"


def _passes(
    graph: Graph, gradients: Mapping[int, float]
) -> tuple[Counter[int], list[tuple[Node, float]]]:
    """How many nodes hold how many whole passes in ``grad``; and those that hold something else."""
    passes: Counter[int] = Counter()
    others: list[tuple[Node, float]] = []
    for place, position in graph._places.items():
        node, one = graph[position], gradients.get(place)
        if node.grad is None or one is None or not math.isfinite(one):
            continue
        count = round(node.grad / one) if one and math.isfinite(node.grad / one) else 0
        if abs(node.grad - count * one) > 1e-9 * abs(node.grad) or not math.isfinite(node.grad):
            others.append((node, one))
        elif one:
            passes[count] += 1
    return passes, others


def _grad_state(graph: Graph, gradients: Mapping[int, float]) -> str:
    passes, others = _passes(graph, gradients)
    if others:
        node, one = others[0]
        more = f", and {len(others) - 1} more do not" if len(others) > 1 else ""
        return (
            f"{node.name}.grad = {node.grad!r} does not hold whole passes of {one!r}{more}: it was set or "
            "clipped, or another graph has added to it"
        )
    if not passes:
        return "not computed"
    told = [f"{count} backward pass{'es' * (count != 1)}" for count in sorted(passes)]
    if len(told) == 1:
        return f"holds {told[0]}" + (" (it adds up until it is set to None)" if max(passes) > 1 else "")
    parts = (f"{told} at {passes[count]} values" for told, count in zip(told, sorted(passes), strict=True))
    return f"holds {', '.join(parts)}: a pass was interrupted, or only a part was cleared"


def _grad_notes(
    graph: Graph, gradients: Mapping[int, float], positions: set[int | None]
) -> tuple[str, ...]:
    """What to say where ``grad`` of a checked value is not the gradient of one pass."""
    held = {place: i for place, i in graph._places.items() if i in positions}
    passes, others = _passes(graph, {place: gradients[place] for place in held if place in gradients})
    return (f"grad: {_grad_state(graph, {place: gradients[place] for place in held if place in gradients})}",) if others or set(passes) - {1} else ()
