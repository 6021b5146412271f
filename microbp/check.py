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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microbp.backward import backward_order, upstream_gradients
from microbp.compiled import compiled
from microbp.errors import NoGradientError
from microbp.expr import COMPLEX, CONSTANTS, FUNCTIONS, Expression, Reading
from microbp.graph import Graph, Node, variable_names
from microbp.record import no_grad
from microbp.rules import RULES, Rule
from microbp.sites import user_frame
from microbp.tables import Table, number
from microbp.value import Value, as_number, describe

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
#: The last step is this part of x.
_LAST = 1e-12
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
    is known; it is taken to be that of the result alone otherwise. Steps not below ``below`` are left
    out. Where the first few steps do not give six digits, or ``patient`` is true, the ladder goes from
    a good part of x, or of 1, down to where rounding leaves nothing.
    """
    y = f(x)
    size = abs(x) or 1.0
    steps = [0.13 * max(size, 1.0)]
    while steps[-1] > _LAST * size:
        steps.append(steps[-1] / _RATIO)
    # Steps from x down, and from 1 down: for a tiny x those in between would be hundreds.
    steps = [h for h in steps if h < 0.13 * size or h > _LAST]
    steps = [h for h in steps if h < below and x - h < x < x + h]
    near = [h for h in steps if h < _FIRST * size][:_WINDOW]
    samples = {h: _sample(f, x, y, h, noise) for h in near}
    found = _extrapolations(list(samples.values()), noise)
    good = found and not found[0].kinked and SAFETY * found[0].error <= 1e-6 * abs(found[0].value)
    if patient or not good:
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
    case = _Case(base, function, {}) if isinstance(base, Value) else None
    measured = []
    for value in values:
        probe = _Called(function, value, {})
        known = case is not None and id(value) in case.graph._places
        noise = case.setting(value).noise if case is not None and known else None
        with _restored(value):
            measured.append(_sweep(probe.loss, value.data, noise)[0])
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
        made: np.ndarray[Any, Any] = np.empty(parameters.shape, dtype=dtype)
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
    if isinstance(parameters, np.ndarray):
        if np.shape(claimed) != parameters.shape:
            raise ValueError(
                f"the claimed gradient of {where} has the shape {np.shape(claimed)}, the parameter "
                f"{parameters.shape}"
            )
        return [as_number(x, f"the claimed gradient of {where}") for x in np.ravel(claimed).tolist()]
    if not isinstance(claimed, list | tuple | np.ndarray) or len(claimed) != len(parameters):
        raise ValueError(f"{where} has {len(parameters)} parameters; claimed must hold as many gradients")
    pairs = enumerate(zip(parameters, claimed, strict=True))
    return [x for i, (each, claim) in pairs for x in _claims(each, claim, f"{where}[{i}]")]


@contextmanager
def _restored(value: Value) -> Iterator[None]:
    """Give a value its number back after the ``with``."""
    before = value.data
    try:
        yield
    finally:
        value.data = before


# ------------------------------------------------------------------------------- rounding, estimated
@dataclass(frozen=True)
class _Rounded:
    """A number and the rounding error it has picked up: running error analysis, Higham section 3.3."""

    number: float
    error: float

    @staticmethod
    def of(x: Any) -> _Rounded:
        return x if isinstance(x, _Rounded) else _Rounded(x, 0.0)

    def __neg__(self) -> _Rounded:
        return _Rounded(-self.number, self.error)

    def __add__(self, other: Any) -> _Rounded:
        y = self.number + _Rounded.of(other).number
        return _Rounded(y, self.error + _Rounded.of(other).error + EPS * abs(y))

    __radd__ = __add__

    def __sub__(self, other: Any) -> _Rounded:
        return self + -_Rounded.of(other)

    def __rsub__(self, other: Any) -> _Rounded:
        return _Rounded.of(other) - self

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


def _rounding(rule: Rule, entries: list[Any], d: Expression | None = None, element: int = 0) -> float:
    """The rounding error of an operation at its operands, or of its derivative ``d`` there.

    ``element`` is that of the lists for which a derivative holds. Returns nan where it is undefined.
    """
    exact = [list(map(_Rounded.of, each)) if type(each) is list else _Rounded.of(each) for each in entries]
    scope, elements = _scope(rule, exact)
    try:
        y = _Rounded.of(rule.y.evaluate(scope, _ROUNDED, elements))
        if d is None:
            return y.error
        here = elements[element] if elements else {}
        return _Rounded.of(d.evaluate({**scope, **here, "y": y}, _ROUNDED, elements)).error
    except (ArithmeticError, ValueError):
        return math.nan


# ----------------------------------------------------------------- moving one value and looking on
def _entries(node: Node, numbers: Sequence[float]) -> list[Any]:
    """The numbers of a node's operands as its rule takes them; ``numbers`` are those of all nodes."""
    assert node.rule is not None
    operands = [numbers[each] if type(each) is int else each for each in node.operands]
    return node.rule.split(operands) if node.rule.over else operands


def _scope(rule: Rule, entries: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The names of a rule's expressions, and those for each element of its lists."""
    scope = dict(zip(rule.args, entries, strict=True))
    lists = zip(*(scope[arg] for arg in rule.over), strict=True)
    return scope, [dict(zip(rule.over, each, strict=True)) for each in lists] if rule.over else []


class _Undefined(Exception):
    """A moved operand has left the domain of an operation."""


class _Recorded:
    """A recorded graph, computed again with plain numbers after one of its values has been moved."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses = graph.uses()
        self.numbers = [node.data for node in graph]

    def compute(self, node: Node) -> float:
        """The number of a node from those of its operands."""
        assert node.rule is not None
        return compiled(node.rule).value(*_entries(node, self.numbers))

    def dependents(self, position: int) -> list[int]:
        """The positions of all nodes that depend on a node, in the order in which they are computed."""
        reached = {position}
        pending = [position]
        for each in pending:
            for user, _ in self.uses[each]:
                if user not in reached:
                    reached.add(user)
                    pending.append(user)
        return sorted(pending[1:])

    @contextmanager
    def moved(self, position: int, order: Sequence[int], x: float) -> Iterator[None]:
        """Inside, ``x`` is the number of a node, and those of ``order`` have followed."""
        before = [(each, self.numbers[each]) for each in (position, *order)]
        try:
            self.numbers[position] = x
            for each in order:
                node = self.graph.nodes[each]
                try:
                    self.numbers[each] = self.compute(node)
                except (ArithmeticError, ValueError):
                    assert node.rule is not None
                    pairs = zip(node.rule.args, _entries(node, self.numbers), strict=True)
                    at = ", ".join(f"{arg} = {entry!r}" for arg, entry in pairs)
                    raise _Undefined(f"{node.rule.name} at {_where(node)}, where {at}") from None
            yield
        finally:
            for each, data in before:
                self.numbers[each] = data


class _Corners(NamedTuple):
    """On which side of its corners each operation is."""

    #: The operations in order; another branch of a function has others.
    operations: tuple[Rule | None, ...]
    #: By position, for each operation that has corners.
    sides: dict[int, tuple[Any, ...]]


class _Moved:
    """The loss as a function of one value of a recorded graph."""

    def __init__(self, recorded: _Recorded, position: int | None) -> None:
        self.recorded = recorded
        #: None for a value that is not in the graph.
        self.position = position
        self.order = [] if position is None else recorded.dependents(position)
        #: What was undefined last.
        self.undefined = ""

    def loss(self, x: float) -> float:
        """The loss where the value is x; nan where it is undefined."""
        numbers = self.recorded.numbers
        if self.position is None:
            return numbers[-1]
        try:
            with self.recorded.moved(self.position, self.order, x):
                return numbers[-1]
        except _Undefined as error:
            self.undefined = str(error)
            return math.nan

    def corners(self, x: float) -> _Corners | None:
        """On which side of its corners each operation is where the value is x; None if undefined."""
        if self.position is None:
            return None
        nodes = [self.recorded.graph.nodes[each] for each in self.order]
        try:
            with self.recorded.moved(self.position, self.order, x):
                return _Corners((), _sides(nodes, self.recorded.numbers))
        except _Undefined:
            return None


class _Called:
    """A function of no arguments as a function of one leaf."""

    def __init__(self, function: Callable[[], Any], value: Value, names: Mapping[str, Any]) -> None:
        self.function = function
        self.value = value
        self.names = names
        self.undefined = ""

    def loss(self, x: float) -> float:
        """The result where the leaf is x; nan where it is undefined."""
        self.value.data = x
        try:
            with no_grad():
                y = self.function()
        except (ArithmeticError, ValueError) as error:
            self.undefined = str(error)
            return math.nan
        return y.data if isinstance(y, Value) else as_number(y, "a function to differentiate")

    def corners(self, x: float) -> _Corners | None:
        """On which side of its corners each operation is where the leaf is x; None if undefined."""
        self.value.data = x
        try:
            graph = Graph(self.function(), self.names)
        except (ArithmeticError, ValueError):
            return None
        sides = _sides(graph.nodes, [node.data for node in graph])
        return _Corners(tuple(node.rule for node in graph), sides)


def _sides(nodes: Sequence[Node], numbers: Sequence[float]) -> dict[int, tuple[Any, ...]]:
    """For each operation that has corners, on which side of them it is.

    That is told by the signs of its ``kink``; for an operation over lists without one, by which of its
    derivatives are 0 (for ``max``, those of all but the largest).
    """
    found: dict[int, tuple[Any, ...]] = {}
    for node in nodes:
        rule = node.rule
        if rule is None or not (rule.kink or (rule.corner and rule.over)):
            continue
        entries = _entries(node, numbers)
        if rule.kink:
            scope, elements = _scope(rule, entries)
            values = [each.evaluate(scope, elements=elements) for each in rule.kink]
            found[node.position] = tuple((x > 0.0) - (x < 0.0) for x in values)
        else:
            locals_ = _locals(rule, entries, numbers[node.position])
            found[node.position] = tuple(x == 0.0 for x in locals_)
    return found


def _locals(rule: Rule, entries: list[Any], y: float) -> list[float]:
    """What a rule's own text gives for the derivative in each operand."""
    found: list[float] = []
    for derivative in compiled(rule).derivatives:
        try:
            d = derivative(*entries, y)
        except (ArithmeticError, ValueError):
            d = math.nan
        found.extend(d if type(d) is list else [d])
    return found


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


def _operand_names(graph: Graph, node: Node) -> list[str]:
    return [graph.nodes[each].name if type(each) is int else repr(each) for each in node.operands]


def _where(node: Node) -> str:
    """A node by its name and, if it is known, its line."""
    return node.name if node.site is None else f"{node.name} ({_line(node.site)})"


def _line(site: str) -> str:
    """``file:line``, the file relative to the current directory if it is inside."""
    return site.removeprefix(f"{Path.cwd()}{os.sep}")


def _scope_of_caller() -> dict[str, Any]:
    """The variables that the user's code sees where it called, the local ones first."""
    frame = user_frame()
    if frame is None:
        return {}
    local = dict(frame.f_locals)
    return local | {name: held for name, held in frame.f_globals.items() if name not in local}


# ------------------------------------------------------------------------ does the record still hold
class _Change(NamedTuple):
    """A node that does not follow from its operands any more."""

    node: Node
    #: What the operands give now; nan where they give nothing.
    now: float
    text: str


def _changes(recorded: _Recorded) -> list[_Change]:
    """The nodes whose number, or a local derivative, is not what their operands give now."""
    nows: dict[int, float] = {}
    for node in recorded.graph:
        if node.rule is None:
            continue
        try:
            now = recorded.compute(node)
        except (ArithmeticError, ValueError):
            now = math.nan
        gives = _locals(node.rule, _entries(node, recorded.numbers), node.data)
        pairs = zip(gives, node.local_derivatives, strict=True)
        if not (_same(now, node.data) and all(was is None or _same(d, was) for d, was in pairs)):
            nows[node.position] = now
    was, unchanged = _earlier(recorded.graph)
    nodes, changed = recorded.graph.nodes, set(nows)
    users = [{user for user, _ in uses} for uses in recorded.uses] if nows else []
    found = []
    for position, now in nows.items():
        node = nodes[position]
        operands = dict.fromkeys(each for each in node.operands if type(each) is int)
        causes = [each for each in operands if each in was]
        if not causes:
            # Whatever was changed no longer fits anywhere: neither to its operands, nor in its uses.
            causes = [
                each
                for each in (*operands, position)
                if each not in unchanged
                and (nodes[each].rule is None or each in changed)
                and users[each]
                and users[each] <= changed
            ]
        found.append(_Change(node, now, _told(recorded.graph, node, now, causes, was)))
    return found


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _told(graph: Graph, node: Node, now: float, causes: Sequence[int], was: Mapping[int, float]) -> str:
    """What no longer holds, with both numbers, and which data must have been changed."""
    if _same(now, node.data):
        what = f"the local derivatives of {graph.equation(node)} are not what its operands give now"
    else:
        gives = "nothing" if math.isnan(now) else repr(now)
        what = f"{graph.equation(node)} was recorded, but its operands give {gives} now"
    told = []
    for cause in map(graph.nodes.__getitem__, causes):
        before = f"was {was[cause.position]!r} and " if cause.position in was else ""
        told.append(f"{cause.name} {before}is {cause.data!r} now")
    if len(told) > 1 and not was.keys() & set(causes):
        return f"{what}; one of these was changed: {', '.join(told)}"
    return f"{what}: {', '.join(told) or 'its data was changed'}"


def _earlier(graph: Graph) -> tuple[dict[int, float], set[int]]:
    """The numbers that values had when they were used: of those that have changed, and who has not.

    They are known where a local derivative is another operand's number: that of x in w·x is w.
    """
    was: dict[int, float] = {}
    unchanged: set[int] = set()
    for node in graph:
        rule = node.rule
        if rule is None:
            continue
        places = dict(zip(rule.args, rule.split(range(len(node.operands))), strict=True))
        for arg, d in zip(rule.args, rule.d, strict=True):
            other = str(d)
            if other not in places or (arg in rule.over) != (other in rule.over):
                continue
            mine, others = places[arg], places[other]
            for i, j in zip(mine, others, strict=True) if arg in rule.over else [(mine, others)]:
                used, operand = node.local_derivatives[i], node.operands[j]
                if used is None or type(operand) is not int:
                    continue
                if _same(used, graph.nodes[operand].data):
                    unchanged.add(operand)
                else:
                    was[operand] = used
    return was, unchanged


# -------------------------------------------------------------------------- one operation by itself
class _Verdict(NamedTuple):
    """On one local derivative."""

    measured: float
    #: ``fine``, ``corner``, ``WRONG RULE`` or ``undecided``.
    word: str
    why: str


def _verdicts(node: Node, numbers: Sequence[float]) -> list[_Verdict | None]:
    """On each local derivative of a node; None for a literal. ``numbers`` are those of all nodes."""
    assert node.rule is not None
    operands = [numbers[each] if type(each) is int else each for each in node.operands]
    return [
        None if stated is None else _Local(node.rule, operands, place, stated).verdict()
        for place, stated in enumerate(node.local_derivatives)
    ]


class _Local:
    """The derivative of one operation in one of its operands."""

    def __init__(self, rule: Rule, operands: list[float], place: int, stated: float) -> None:
        self.rule = rule
        self.operands = operands
        self.place = place
        #: The recorded derivative.
        self.stated = stated
        self.x = operands[place]
        #: The complex step: what it leaves out is of the order of (h/x)².
        self.h = 2.0**-332 if self.x == 0.0 or abs(self.x) > 1e-60 else 2.0**-40 * abs(self.x)

    def verdict(self) -> _Verdict:
        """Whether the recorded derivative is right.

        The complex step, exact to rounding, decides where the operation is smooth. At a corner, and
        where the complex step fails, differences of the real operation decide.
        """
        if not all(map(math.isfinite, self.operands)):
            return _Verdict(math.nan, "undecided", "an operand is not finite")
        if 0.0 < abs(self.x) < 1e-250:
            return _Verdict(math.nan, "undecided", "the operand is too small to take a step from")
        slope, rule = self.slope(0.0), self.rule
        confirmed = self.near(slope)
        if confirmed and not rule.corner and not rule.kink:
            return _Verdict(slope, "fine", "")
        beside = 2.0**-45 * max(map(abs, self.operands)) or 2.0**-100
        left, right = self.slope(-beside), self.slope(beside)
        if math.isnan(left) or math.isnan(right):
            return self.at_the_edge(beside)
        if not math.isfinite(self.stated):
            if math.isfinite(slope):
                return _Verdict(slope, "WRONG RULE", "not finite, but the slope is")
            return _Verdict(slope, "undecided", "the derivative is not finite")
        # The power of a negative number goes through its angle in cmath, and 1/h shows the rounding.
        holds = abs(slope - self.slope(0.0, 4096.0)) <= ROUNDING * abs(slope)
        smooth = abs(left - right) <= 1e-6 * max(abs(left), abs(right))
        if smooth and (confirmed or holds):
            return self.by_slope(slope)
        return self.by_differences(slope if confirmed or holds else None)

    def near(self, measured: float, off: float = 0.0) -> bool:
        """Whether the recorded derivative is the measured one but for rounding, and ``off``."""
        off += TINY / (EPS * self.h)  # below this, the complex step loses digits
        return abs(self.stated - measured) <= off + ROUNDING * max(abs(self.stated), abs(measured))

    def value(self, x: float) -> float:
        """The operation with x in place of the operand; nan where it is undefined."""
        try:
            return compiled(self.rule).value(*self.entries(x))
        except (ArithmeticError, ValueError):
            return math.nan

    def entries(self, x: Any) -> list[Any]:
        """The operands as the rule takes them, with x in its place."""
        return self.rule.split([*self.operands[: self.place], x, *self.operands[self.place + 1 :]])

    def slope(self, shift: float, wider: float = 1.0) -> float:
        """The complex-step derivative beside the operand; nan where the operation is undefined."""
        x, h = self.x + shift, wider * self.h
        if math.isnan(self.value(x)):
            return math.nan
        try:
            slope: float = _complex_value(self.rule)(*self.entries(x + 1j * h)).imag / h
        except (ArithmeticError, ValueError):
            return math.nan
        return slope

    def at_the_edge(self, beside: float) -> _Verdict:
        """Where the operation is undefined on a side: by the slope on the other, and whether it grows."""
        # As close as it gets: the slope of pow(a, 0.99) at 0 grows slowly.
        closer = max(2.0**-200 * beside, 2.0**-50 * abs(self.x))
        for side in (beside, -beside):
            far, near = self.slope(side), self.slope(math.copysign(closer, side))
            if math.isnan(far) or math.isnan(near):
                continue
            told = f"undefined {'below' if side > 0.0 else 'above'} {self.x!r}"
            grows = abs(near) > 1.01 * abs(far) and near * far > 0.0
            if math.isinf(self.stated):
                if grows and near * self.stated > 0.0:
                    return _Verdict(self.stated, "corner", f"{told}, where the slope grows without bound")
                return _Verdict(near, "WRONG RULE", f"{told}, but the slope is finite")
            settled = abs(near - self.stated) <= max(1e-6 * abs(near), 0.5 * abs(far - self.stated))
            return _Verdict(near, "corner" if settled else "undecided", told)
        return _Verdict(math.nan, "undecided", f"undefined beside {self.x!r}")

    def by_slope(self, slope: float) -> _Verdict:
        """By the complex step."""
        right = self.near(slope) or self.near(slope, SAFETY * self.rounding())
        return _Verdict(slope, "fine" if right else "WRONG RULE", "")

    def by_differences(self, slope: float | None) -> _Verdict:
        """By the real operation on either side; ``slope`` is the complex step, if it holds."""
        best = _sweep(self.value, self.x, _rounding(self.rule, self.entries(self.x)), patient=True)[0]
        off = SAFETY * (best.error + self.rounding())
        if best.kinked:
            low, high = sorted((best.left, best.right))
            told = f"the slope is {number(best.left)} below, {number(best.right)} above"
            if low - off <= self.stated <= high + off:
                return _Verdict(self.stated, "corner", f"{told}; by convention {number(self.stated)}")
            return _Verdict(best.value, "WRONG RULE", told)
        if slope is not None:
            return self.by_slope(slope)
        if off <= DECISIVE * max(abs(self.stated), abs(best.value)):
            return _Verdict(best.value, "fine" if self.near(best.value, off) else "WRONG RULE", "")
        return _Verdict(best.value, "undecided", f"the derivative is measured to ±{off:.1e} only")

    def rounding(self) -> float:
        """The rounding error of the recorded derivative; 0 where it cannot be told."""
        for d, places in zip(self.rule.d, self.rule.split(range(len(self.operands))), strict=True):
            several = places if type(places) is list else [places]
            if self.place in several:
                error = _rounding(self.rule, self.entries(self.x), d, several.index(self.place))
                return error if math.isfinite(error) else 0.0
        raise AssertionError(self.place)


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


# ------------------------------------------------------------------------ gradients of a whole graph
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


class _Report:
    """What both reports have; ``str(report)`` is the table."""

    rows: tuple[Any, ...]

    @property
    def counts(self) -> Counter[str]:
        """How many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    def table(self) -> Table:
        """The report as a table."""
        raise NotImplementedError

    def _tally(self) -> str:
        return ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items()) or "nothing to check"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._tally()})"

    def __str__(self) -> str:
        return str(self.table())


@dataclass(frozen=True, repr=False)
class GradientReport(_Report):
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

    def __getitem__(self, name: str) -> GradientRow:
        """The row of a name. KeyError says which there are."""
        for row in self.rows:
            if row.name == name:
                return row
        there = ", ".join(row.name for row in self.rows)
        raise KeyError(f"no gradient of {name!r} was checked; there are {there}")

    def table(self) -> Table:
        """The table. Where there are more than 60 rows, those that agree are only counted."""
        shown = [row for row in self.rows if len(self.rows) <= 60 or row.verdict != "agree"]
        hidden = len(self.rows) - len(shown)
        more = (f"{hidden} gradients that agree are not shown (report.rows)",) if hidden else ()
        return Table(
            f"{self.title}: {self._tally()}",
            ("name", f">{self.source}", ">numerical", ">difference", ">known to", ">relative", "verdict"),
            tuple(
                (
                    row.name, row.claimed, row.numerical, f"{row.absolute_error:.1e}",
                    f"±{row.tolerance:.1e}", f"{row.relative_error:.1e}", _verdict(row.verdict, row.why),
                )
                for row in shown
            ),
            more + self.notes,
        )  # fmt: skip


def _verdict(verdict: str, why: str) -> str:
    return f"{verdict}: {why}" if why else verdict


def check_gradients(
    loss: Value | Callable[[], Value],
    parameters: Any = None,
    *,
    claimed: Any = None,
    show: bool = True,
    names: Mapping[str, Any] | None = None,
) -> GradientReport:
    """Compare the gradients of ``loss`` with numerical ones; print the table and return it.

    ``loss`` is a recorded Value: its graph is computed again with plain numbers, while one value at a
    time is moved. Or it is a function without arguments that returns one: it is called anew, so that
    its branches on data are followed, with the leaves moved and put back in turn.

    ``parameters`` are Values, or lists, arrays or dicts of them; all leaves that take a gradient, if
    left out. ``claimed`` holds gradients in the shape of ``parameters``, to be checked in place of
    those of back-propagation. ``grad`` is not touched, and what it has added up does not count.

    >>> w, b, x = Value(0.4, name="w"), Value(0.0, name="b"), 3.0
    >>> report = check_gradients((w * x - 1.0).tanh() + b.relu())
    check_gradients(loss = 0.19737532): 1 agree, 1 inconclusive
    <BLANKLINE>
    name   back-propagated     numerical   difference   known to   relative   verdict
    ...
    w           +2.8831289    +2.8831289 ...   agree
    b                    0   +0.50000000 ...   inconclusive: kink within the step: relu at v5, where b = 0.0
    >>> report.ok, report["w"].verdict
    (True, 'agree')

    A gradient agrees if it differs from the numerical one by no more than the estimated errors, and
    these are so small that a relative error of 1e-4 would have been seen. It disagrees if it differs
    by more, and names the local derivative that is wrong. Else the row is inconclusive and says why:
    a kink within the step, cancellation, a number that is not finite, an operation undefined within
    the step. A gradient that is 0 but for the rounding of terms that cancel is judged by the size of
    these. ``ok`` means that none disagrees.

    ``names`` maps names to Values for the table, in place of the variables of the caller.

    Raises NoGradientError where nothing takes a gradient, or where data of the graph was changed after
    it was recorded; ValueError where two calls of the function differ; TypeError for anything else
    than a Value or such a function.
    """
    given = parameters if isinstance(parameters, Mapping) else {}
    names = {**given, **(_scope_of_caller() if names is None else names)}
    case = _case(loss, names)
    if parameters is None:
        if claimed is not None:
            raise ValueError("claimed gradients are in the shape of parameters: give these too")
        values = case.leaves()
    else:
        values = _values(parameters, "check_gradients()")
        case.check_can_be_moved(values)
    claims: list[float | None] = [None] * len(values)
    if claimed is not None:
        claims = list(_claims(parameters, claimed, "parameters"))
    rows = tuple(case.judge(value, claim) for value, claim in zip(values, claims, strict=True))
    held = {id(value): case.gradients[id(value)] for value in values if id(value) in case.gradients}
    passes, others = _passes(case.graph, held)
    accumulated = others or set(passes) - {1}
    notes = (f"grad: {_grad_state(passes, others)}",) if accumulated else ()
    if case.fresh:
        notes = (f"leaves that each call makes anew are not checked: {len(case.fresh)}", *notes)
    source = "back-propagated" if claimed is None else "claimed"
    report = GradientReport(f"check_gradients({_named(case.graph)})", rows, notes, source)
    if show:
        report.table().show()
    return report


def _named(graph: Graph) -> str:
    return f"{graph.root.name if graph.root.named else 'loss'} = {graph.root.data:.8g}"


def _case(loss: Any, names: Mapping[str, Any]) -> _Case:
    if isinstance(loss, Value):
        case = _Case(loss, None, names)
        changes = _changes(case.recorded)
        if changes:
            site = changes[0].node.site
            at = "" if site is None else f" [{_line(site)}]"
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
            raise TypeError(f"the function must return the loss as a Value, not {y!r}")
    if not _same(one.data, other.data):
        raise ValueError(
            f"two calls of the function gave {one.data!r} and {other.data!r}: what it gives must depend "
            "on the parameters alone. Fix its seed, and leave updates out of it"
        )
    return _Case(one, loss, names, other)


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


class _Case:
    """A loss, recorded or called, and its back-propagated gradients."""

    def __init__(
        self,
        root: Value,
        function: Callable[[], Any] | None,
        names: Mapping[str, Any],
        again: Value | None = None,
    ) -> None:
        self.root = root
        self.function = function
        self.names = names
        self.graph = Graph(root, names)
        self.recorded = _Recorded(self.graph)
        self.gradients = upstream_gradients(root)
        self.variables = variable_names(names)
        #: Leaves that another call has made anew.
        self.fresh: set[int] = set()
        if again is not None:
            lasting = Graph(again)._places
            self.fresh = {id(value) for value in self._all_leaves() if id(value) not in lasting}
        self._noise, self._sizes = self._estimates()

    def _all_leaves(self) -> list[Value]:
        order = reversed(backward_order(self.root))
        return [value for value in order if value.is_leaf and value.requires_grad]

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

    def _estimates(self) -> tuple[list[float], list[float]]:
        """For each node, two sizes.

        The square of the rounding error that it causes at the root; and the sum over all paths to the
        root of the product of |local derivatives|.
        """
        sizes = [0.0] * len(self.graph)
        sizes[-1] = 1.0
        noise = [0.0] * len(self.graph)
        upstream = {i: self.gradients.get(place, 0.0) for place, i in self.graph._places.items()}
        for node in reversed(self.graph.nodes):
            if node.rule is None:
                continue
            off = upstream[node.position] * _rounding(node.rule, _entries(node, self.recorded.numbers))
            noise[node.position] = off * off if math.isfinite(off) else 0.0
            for operand, local in zip(node.operands, node.local_derivatives, strict=True):
                if type(operand) is int and local is not None:
                    sizes[operand] += sizes[node.position] * abs(local)
        return noise, sizes

    def setting(self, value: Value) -> _Setting:
        """What is known of the gradient of a value.

        The rounding errors of the operations are as good as independent: their squares add up. What
        does not depend on the value is off by the same at every step, and cancels.
        """
        position = self.graph._places.get(id(value))
        if position is None:
            return _Setting(0.0, 0.0, 0)
        order = self.recorded.dependents(position)
        size = self._sizes[position]
        noise = math.sqrt(sum(self._noise[each] for each in order))
        return _Setting(noise, size if math.isfinite(size) else 0.0, len(order))

    def judge(self, value: Value, claim: float | None) -> GradientRow:
        """Measure the gradient of a value, and compare it with the claimed or back-propagated one."""
        position = self.graph._places.get(id(value))
        name = value.name or self.variables.get(id(value)) or f"Value({value.data!r})"
        name = name if position is None else self.graph.nodes[position].name
        setting = self.setting(value)
        own = self.gradients.get(id(value), 0.0)
        moved = _Moved(self.recorded, position)
        probe = moved if self.function is None else _Called(self.function, value, self.names)
        target = own if claim is None else claim
        with _restored(value):
            best, verdict, why = self._measured(value.data, target, setting, probe)
            if verdict == "DISAGREE" and abs(target - own) <= ROUNDING * abs(own):
                verdict, why = self._followed_up(value.data, best, moved, probe)
        return GradientRow(name, target, best.value, _tolerance(target, best, setting), verdict, why)

    def _measured(
        self, x: float, claim: float, setting: _Setting, probe: _Moved | _Called
    ) -> tuple[Derivative, str, str]:
        """Measure until the verdict is sure: a suspicion is followed up with all steps and all corners."""
        for what, data in (("the parameter", x), ("the loss", self.root.data)):
            if not math.isfinite(data):
                return _NOTHING, "inconclusive", f"not finite: {what} is {data!r}"
        best = _sweep(probe.loss, x, setting.noise)[0]
        verdict, why = _compare(claim, best, setting)
        if verdict == "agree":
            return best, verdict, why
        best = _sweep(probe.loss, x, setting.noise, patient=True)[0]
        verdict, why = _compare(claim, best, setting)
        if verdict == "agree":
            return best, verdict, why
        near = best.step
        crossed = self._crossed(probe, x, near) if math.isfinite(near) else ""
        if not crossed:
            if verdict == "inconclusive":
                beside = self._crossed(probe, x, _FIRST * (abs(x) or 1.0))
                undefined = f"undefined within the step: {probe.undefined}" if probe.undefined else ""
                why = undefined or beside or why
            return best, verdict, why
        while crossed and near > _LAST * (abs(x) or 1.0):
            reason, near = crossed, near / _RATIO
            crossed = self._crossed(probe, x, near)
        if crossed:
            return best, "inconclusive", crossed
        best = _sweep(probe.loss, x, setting.noise, below=near * (1.0 + EPS), patient=True)[0]
        verdict, why = _compare(claim, best, setting)
        return best, verdict, reason if verdict == "inconclusive" else why

    def _crossed(self, probe: _Moved | _Called, x: float, h: float) -> str:
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
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return f"kink within the step: {self._corner(self.graph.nodes[min(found)])}{more}"

    def _corner(self, node: Node) -> str:
        """``relu at h1 (net.py:14), where net1 = 0.0``: what an operation's corner hangs on."""
        rule = node.rule
        assert rule is not None
        told = f"{rule.name} at {_where(node)}"
        if not rule.kink or rule.over:
            return told
        names = dict(zip(rule.args, _operand_names(self.graph, node), strict=True))
        scope = dict(zip(rule.args, _entries(node, self.recorded.numbers), strict=True))
        value, kink = min(((each.evaluate(scope), each) for each in rule.kink), key=lambda each: abs(each[0]))
        text = re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), str(kink))
        return f"{told}, where {text} = {value!r}"

    def _followed_up(
        self, x: float, best: Derivative, moved: _Moved, probe: _Moved | _Called
    ) -> tuple[str, str]:
        """The verdict on a back-propagated gradient that seems wrong.

        If it is, some local derivative on its way is, or the sum, or the function does what was not
        recorded.
        """
        on_the_way = {moved.position, *moved.order}
        for node in map(self.graph.nodes.__getitem__, moved.order):
            for place, verdict in enumerate(_verdicts(node, self.recorded.numbers)):
                wrong = verdict is not None and verdict.word == "WRONG RULE"
                if verdict is not None and wrong and node.operands[place] in on_the_way:
                    assert node.rule is not None
                    stated = number(node.local_derivatives[place])
                    return "DISAGREE", (
                        f"rule {node.rule.name} is wrong at {_where(node)}: its derivative in "
                        f"{_operand_words(self.graph, node)[place]} is {stated}, measured "
                        f"{number(verdict.measured)}"
                    )
        summed, told = _sums(self.graph, self.gradients)
        if not summed:
            return "DISAGREE", f"wrong accumulation: {told}"
        if all(_same(moved.loss(at), probe.loss(at)) for at in (x - best.step, x + best.step)):
            return "inconclusive", (
                "no local derivative is wrong: the loss has finer structure than the steps can show"
            )
        return "DISAGREE", "the function depends on it in a way that is not recorded (.data, float?)"


def _tolerance(claim: float, best: Derivative, setting: _Setting) -> float:
    """How far a right gradient may be from the numerical one, by the errors of both."""
    larger = max(abs(claim), abs(best.value))
    return SAFETY * best.error + setting.rounding + (ROUNDING * larger if math.isfinite(larger) else 0.0)


def _compare(claim: float, best: Derivative, setting: _Setting) -> tuple[str, str]:
    """The verdict on a gradient by one numerical derivative, and why."""
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


# ------------------------------------------------------------------- all operations of a graph, alone
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
        """The recorded over the measured number, as a fraction if it is a simple one; else a dash.

        >>> AuditRow("y", "cube", "a = x", 18.0, 27.0, "WRONG RULE", "", None).ratio
        '2/3'
        """
        judged = self.operand and self.measured and math.isfinite(self.recorded / self.measured)
        if not judged:
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
class AuditReport(_Report):
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
    def wrong_rules(self) -> list[str]:
        """The names of the rules that are wrong."""
        return list(dict.fromkeys(row.rule for row in self.rows if row.verdict == "WRONG RULE"))

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
            f"{self.title}: {self._tally()}",
            ("node", "rule", "operand", ">recorded", ">measured", ">ratio", "verdict"),
            tuple(
                (
                    row.node, row.rule, row.operand, row.recorded, row.measured, row.ratio,
                    _verdict(row.verdict, row.why) + (f" [{_line(row.site)}]" if row.site else ""),
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
    audit(y = -9): 3 fine
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
    measured: dict[Any, list[_Verdict | None]] = {}
    for node in graph:
        if node.rule is None:
            continue
        if node.position in changes:
            change = changes[node.position]
            about = (node.name, node.rule.name, "", node.data, change.now)
            rows.append(AuditRow(*about, "CHANGED", change.text, node.site))
            continue
        # A network has many operations alike: what is known of the same numbers holds again.
        numbers = tuple(recorded.numbers[each] if type(each) is int else each for each in node.operands)
        key = (node.rule, numbers, node.local_derivatives)
        if key not in measured:
            measured[key] = _verdicts(node, recorded.numbers)
        operands = _operand_words(graph, node)
        for verdict, told, stated in zip(measured[key], operands, node.local_derivatives, strict=True):
            if verdict is not None and stated is not None:
                rows.append(AuditRow(node.name, node.rule.name, told, stated, *verdict, node.site))
    gradients = upstream_gradients(loss)
    ok, told = _sums(graph, gradients)
    accumulation = Accumulation(ok, told, _grad_state(*_passes(graph, gradients)))
    report = AuditReport(f"audit({_named(graph)})", tuple(rows), accumulation)
    if show:
        report.table().show()
    return report


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
    # Each pass adds 1 to the gradient of the root, and no node can hold more passes.
    most = math.inf if graph.root.grad is None else graph.root.grad
    for place, position in graph._places.items():
        node, one = graph[position], gradients.get(place)
        if node.grad is None or one is None or not math.isfinite(one):
            continue
        count = round(node.grad / one) if one and math.isfinite(node.grad / one) else 0
        whole = 0 <= count <= most and abs(node.grad - count * one) <= 1e-9 * abs(node.grad)
        if not whole:
            others.append((node, one))
        elif one:
            passes[count] += 1
    return passes, others


def _grad_state(passes: Counter[int], others: Sequence[tuple[Node, float]]) -> str:
    """What stands in ``grad``, in words."""
    if others:
        node, one = others[0]
        more = f", and {len(others) - 1} more like it" if len(others) > 1 else ""
        return (
            f"{node.name}.grad = {node.grad!r} is not a number of passes of {one!r} each{more}: it was set "
            "or clipped, or another graph has added to it"
        )
    if not passes:
        return "not computed"
    told = {count: f"{count} backward pass{'es' * (count != 1)}" for count in sorted(passes)}
    if len(told) > 1:
        parts = ", ".join(f"{words} at {passes[count]} values" for count, words in told.items())
        return f"holds {parts}: a pass was interrupted, or only a part was cleared"
    added = ", which add up until it is cleared" if max(told) > 1 else ""
    return f"holds {next(iter(told.values()))}{added}"
