"""``minimize``: the parameters at which a function costs least, by SciPy, and how sure they are.

The function is recorded for one sample and replayed for all. The Hessian is exact: of the slope of the cost
in a direction v, which is recorded as a graph itself, the gradient is H·v.

Source: B. A. Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6 (1994), pages
147-160.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from microbp.bridges import need
from microbp.differentiate import grad
from microbp.functions import dot
from microbp.nn import Module
from microbp.node import numbers_of
from microbp.optim import named_values, of_net
from microbp.replay import Program, compile  # noqa: A004 (microbp.compile is meant)
from microbp.replay.program import as_floats
from microbp.text import Shown, Table, did_you_mean, shown
from microbp.value import Value, set_numbers

__all__ = ["Minimum", "minimize"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

#: SciPy's methods that take a gradient, and what they take as well.
METHODS: dict[str, tuple[str, ...]] = {
    "CG": (), "BFGS": (), "L-BFGS-B": ("bounds",), "TNC": ("bounds",), "SLSQP": ("bounds", "constraints"),
    "Newton-CG": ("hess",), "trust-ncg": ("hess",), "trust-exact": ("hess",),
    "trust-constr": ("bounds", "constraints", "hess"),
}  # fmt: skip
#: What the notes of a report say.
NOTES = {
    "likelihood": "standard errors: √ of the diagonal of H⁻¹, as of a negative log-likelihood; of a sum of n "
        "squared residuals say squares=n",
    "squares": "standard errors: √ of the diagonal of 2σ²·H⁻¹, as of {squares} squared residuals with σ = "
        "{sigma:.3g}",
    "few": "no standard errors: {squares} squared residuals do not tell how large they are beside {free} "
        "parameters",
    "bent": "no standard errors: this is no minimum, or a flat one: the smallest eigenvalue of the Hessian "
        "is {least:.3g}",
    "constraints": "no standard errors: the Hessian does not tell what the constraints leave open",
    "bound": "at a bound, and left out of the Hessian: {names}",
    "failed": "NOT FOUND: {message}",
}  # fmt: skip
#: A sample takes the branch that was recorded if its slopes are those that were, but for rounding; they are
#: compared a little beside the minimum, where no residual is 0 that would hide a difference.
_ALIKE, _BESIDE = 1e-6, 2.0**-20


@dataclass(frozen=True, eq=False, repr=False)
class Minimum(Shown):
    """What :func:`minimize` has found, as plain data; ``str(minimum)`` is the report."""

    #: By the names of the parameters.
    parameters: dict[str, float]
    #: None where there is none: at a bound, or where the cost does not tell.
    standard_errors: dict[str, float | None]
    #: The sum over all samples, its derivatives, and theirs, in the order of the parameters.
    cost: float
    gradient: Floats
    hessian: Floats
    #: Of the parameters; nan where there is no standard error.
    covariance: Floats
    #: Whether SciPy says that it has found the minimum, and in which words.
    converged: bool
    message: str
    method: str
    #: How often the cost and its gradient were computed.
    calls: int
    samples: int
    notes: tuple[str, ...]

    def table(self) -> Table:
        """The report laid out, one line for each parameter."""
        told = f"{self.samples} sample{'s' * (self.samples != 1)}, {self.calls} calls"
        rows = tuple((name, each, self.standard_errors[name]) for name, each in self.parameters.items())
        title = f"minimize by {self.method}: cost {self.cost:.8g} ({told})"
        return Table(title, ("parameter", ">value", ">standard error"), rows, self.notes)

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"Minimum(cost={self.cost!r}, parameters={self.parameters!r})"


def minimize(
    loss: Callable[..., Any],
    params: Any,
    data: Any = None,
    *,
    method: str = "L-BFGS-B",
    bounds: Mapping[str, Any] | Sequence[Any] | None = None,
    squares: int | None = None,
    **options: Any,
) -> Minimum:
    """Set ``params`` to where the sum of ``loss`` over all samples is least; the :class:`Minimum`.

    ``loss`` is a function that returns a Value: it reads the parameters, Values outside of it, and takes one
    sample. ``data`` is a tuple with an array for each of its arguments, whose first axis are the samples; or
    a data frame, or a dict, which has them by the arguments' names; or a single array. Without data the
    function takes nothing.

    >>> from microbp import Value, exp
    >>> a, b = Value(1.0, name="a"), Value(1.0, name="b")
    >>> t = np.linspace(0.0, 3.0, 7)
    >>> y = 2.0 * np.exp(-0.5 * t) + [0.01, -0.02, 0.01, 0.0, -0.01, 0.02, -0.01]
    >>> found = minimize(lambda t, y: (a * exp(-b * t) - y) ** 2, [a, b], (t, y), squares=7)
    >>> round(found.cost, 6), {name: round(each, 2) for name, each in found.parameters.items()}
    (0.001198, {'a': 2.0, 'b': 0.5})
    >>> {name: round(each, 3) for name, each in found.standard_errors.items()}
    {'a': 0.013, 'b': 0.006}

    ``params`` are a Module, a dict, or a list of Values. It starts from their numbers, and an error leaves
    these as they were. ``method`` is one of SciPy's that use a gradient, ``bounds`` are pairs (low, high),
    None for none, by name or in order; ``options`` go to ``scipy.optimize.minimize`` as they are.

    **Standard errors** come from the Hessian H of the cost at the minimum, and from what the cost is: with
    ``squares=n`` a sum of n squared residuals, whose variance σ² = cost / (n - parameters) is estimated, and
    the covariance is 2σ²·H⁻¹; else a negative log-likelihood, and it is H⁻¹ (Efron and Hinkley 1978, the
    observed information). A parameter at a bound has none.

    Raises ImportError where SciPy is missing, ValueError and TypeError for what does not fit, BranchChanged
    where an ``if`` of ``loss`` goes another way than when it was recorded (``select(c, a, b)`` stays in the
    graph), and what the replay of ``loss`` raises where it has no value.
    """
    optimize = need("scipy.optimize", "scipy")
    named = of_net(params, "minimize") if isinstance(params, Module) else named_values(params, "minimize")
    names, values = [name for name, _ in named], [value for _, value in named]
    for place, (name, value) in enumerate(named):
        if name in names[:place]:
            told = f"two parameters are called {shown(repr(name))}; give a dict, with a name for each"
            raise ValueError(f"minimize: {told}")
        if not value.requires_grad:
            raise ValueError(f"minimize: {shown(name)} is frozen (requires_grad is False); leave it out")
    if method not in METHODS:
        hint = did_you_mean(method, METHODS) or f"there are {', '.join(METHODS)}"
        raise ValueError(f"minimize: no method with gradients is called {shown(repr(method))}; {hint}")
    ours = {"fun", "x0", "args", "jac", "hess", "hessp"}
    theirs = inspect.signature(optimize.minimize).parameters.keys() - ours
    for word, given in {"bounds": bounds, **options}.items():
        if word not in theirs:
            told = f"options={{{word!r}: {given!r}}} if the method knows it"
            raise TypeError(f"minimize: {word} is no argument of SciPy's that can be given here; {told}")
        if word in ("bounds", "constraints") and given is not None and word not in METHODS[method]:
            able = ", ".join(name for name, takes in METHODS.items() if word in takes)
            raise ValueError(f"minimize: the method {method} takes no {word}; those that do are {able}")
    whole = isinstance(squares, int | np.integer) and not isinstance(squares, bool)
    if squares is not None and (not whole or squares < 1):
        raise ValueError(f"minimize: squares is how many squared residuals there are, not {squares!r}")
    start = np.array([each.data for each in values])
    limits = _limits(bounds, names, start)
    problem = _Problem(loss, values, _arrays(loss, data))
    found = optimize.minimize(
        problem.cost, start, jac=True, method=method, **options,
        hess=problem.hessian if "hess" in METHODS[method] else None,
        bounds=list(limits) if bounds is not None else None,
    )  # fmt: skip
    theta = np.array(found.x, dtype=float)
    cost, gradient = problem.cost(theta)
    hessian = problem.hessian(theta, limits)
    # An interior point method ends beside a bound: it is the bound that stops Newton's step to the minimum.
    curved = np.where(np.diag(hessian) > 0.0, np.diag(hessian), np.inf)
    beyond = theta - gradient / curved
    free = (limits[:, 0] < np.minimum(theta, beyond)) & (np.maximum(theta, beyond) < limits[:, 1])
    covariance, notes = _covariance(hessian, free, cost, squares)
    if options.get("constraints"):
        covariance, notes = np.full_like(hessian, np.nan), [NOTES["constraints"]]
    if not free.all():
        held = ", ".join(name for name, inside in zip(names, free, strict=True) if not inside)
        notes.append(NOTES["bound"].format(names=held))
    if not found.success:
        notes.insert(0, NOTES["failed"].format(message=found.message))
    variances = np.diag(covariance).tolist()
    known = zip(names, variances, strict=True)
    errors = {name: None if math.isnan(variance) else math.sqrt(variance) for name, variance in known}
    set_numbers(values, theta)
    return Minimum(
        dict(zip(names, theta.tolist(), strict=True)), errors, cost, gradient, hessian, covariance,
        bool(found.success), str(found.message), method, int(found.nfev), len(problem.table), tuple(notes),
    )  # fmt: skip


class _Problem:
    """The cost of all samples as a function of a vector."""

    def __init__(self, loss: Callable[..., Any], params: Sequence[Value], arrays: Sequence[Floats]) -> None:
        self.loss, self.params, self.arrays = loss, params, arrays
        self.program: Program = compile(loss, params=params, checked=True).program(
            *(each[0] for each in arrays)
        )
        if shape := self.program.captured.output_shape:
            raise TypeError(f"minimize: loss returns one Value for a sample, not an array of shape {shape}")
        rows = [each.reshape(len(each), -1) for each in arrays]
        self.table = np.hstack(rows) if rows else np.empty((1, 0))

    def cost(self, theta: Floats) -> tuple[float, Floats]:
        found = self.program.value_and_grad(self.table, theta, reduce="sum")
        return found.cost, found.gradient

    def hessian(self, theta: Floats, limits: Floats | None = None) -> Floats:
        """[parameters, parameters]: recorded at a sample for all that take the same branches; and so on."""
        size, total, left = len(theta), np.zeros((len(theta), len(theta))), np.arange(len(self.table))
        beside = theta + _BESIDE * (1.0 + np.abs(theta))
        if limits is not None:
            beside = beside.clip(*limits.T)
        right = np.array([self.program.value_and_grad(row, beside).gradient for row in self.table])
        while len(left):
            slope = self._slope(left[0], theta)
            rows = [np.hstack([self.table[left], np.tile(v, (len(left), 1))]) for v in np.eye(size)]
            said = np.stack([slope(each, beside) for each in rows], axis=1)
            apart, bound = (np.linalg.norm(each, axis=1) for each in (said - right[left], right[left]))
            alike = apart <= _ALIKE * bound
            alike[0] = True
            total += [slope.value_and_grad(each[alike], theta, reduce="sum").gradient for each in rows]
            left = left[~alike]
        return (total + total.T) / 2.0

    def _slope(self, sample: int, theta: Floats) -> Program:
        """The slope of the loss in a direction that is given after the sample, as recorded there."""

        def slope(*given: Any) -> Value:
            slopes = grad(self.loss(*given[:-1]), list(self.params), create_graph=True)
            along: Value = dot(list(given[-1]), slopes)
            return along

        with _at(self.params, theta):
            given = (*(each[sample] for each in self.arrays), np.zeros(len(theta)))
            program: Program = compile(slope, params=self.params, checked=True).program(*given)
            return program


@contextmanager
def _at(params: Sequence[Value], theta: Floats) -> Iterator[None]:
    """With the parameters there; afterwards they are where they were."""
    before = numbers_of(params)
    try:
        set_numbers(params, theta)
        yield
    finally:
        set_numbers(params, before)


def _arrays(loss: Callable[..., Any], data: Any) -> list[Floats]:
    """The data of each argument of ``loss``: finite floats, with an entry for each sample."""
    if isinstance(loss, Value) or not callable(loss):
        raise TypeError(f"minimize: loss is a function that computes the loss of a sample, not {loss!r}")
    try:
        signature = inspect.signature(loss)
    except ValueError:
        raise TypeError(f"minimize: loss is a function that records a loss, not {loss!r}") from None
    if hasattr(data, "keys"):
        words = list(signature.parameters)
        missing = [word for word in words if word not in data]
        if missing:
            told = f"has {', '.join(map(str, data.keys()))}"
            raise ValueError(f"minimize: loss takes {missing[0]}, which is not in the data; it {told}")
        data = tuple(np.asarray(data[word]) for word in words)
    given = () if data is None else data if isinstance(data, tuple) else (data,)
    try:
        signature.bind(*given)
    except TypeError as error:
        count = f"{len(given)} array{'s' * (len(given) != 1)}"
        raise TypeError(f"minimize: data has {count}, one for each argument of loss, but: {error}") from None
    arrays = [as_floats(each) for each in given]
    lengths = [each.shape[:1] for each in arrays]
    if lengths and (lengths.count(lengths[0]) != len(lengths) or lengths[0] in ((), (0,))):
        told = ", ".join(str(each.shape) for each in arrays)
        raise ValueError(f"minimize: the arrays of data have an entry for each sample, but the shapes {told}")
    for place, each in enumerate(arrays):
        if not np.isfinite(each).all():
            at = np.argwhere(~np.isfinite(each))[0].tolist()
            raise ValueError(f"minimize: array {place} of data is {float(each[tuple(at)])!r} at {at}")
    return arrays


def _limits(bounds: Any, names: Sequence[str], start: Floats) -> Floats:
    """[parameters, 2]: from where to where each may go."""
    limits = np.tile([-np.inf, np.inf], (len(names), 1))
    if isinstance(bounds, Mapping):
        for name in bounds:
            if name not in names:
                hint = did_you_mean(name, names) or f"there are {', '.join(names)}"
                raise ValueError(f"minimize: bounds: no parameter is called {shown(repr(name))}; {hint}")
        pairs = [bounds.get(name) for name in names]
    else:
        pairs = [None] * len(names) if bounds is None else list(bounds)
    if len(pairs) != len(names):
        raise ValueError(f"minimize: there are {len(names)} parameters, but {len(pairs)} bounds")
    for place, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        if pair is not None:
            try:
                low, high = pair
                limits[place] = -np.inf if low is None else low, np.inf if high is None else high
                told = limits[place, 0] <= limits[place, 1]
            except (TypeError, ValueError):
                told = False
            if not told:
                raise ValueError(
                    f"minimize: the bounds of {shown(name)} are a pair, (low, high), not {pair!r}"
                )
        if math.isnan(start[place]):
            raise ValueError(f"minimize: {shown(name)} starts at nan")
        if not limits[place, 0] <= start[place] <= limits[place, 1]:
            told = f"starts at {start[place]:g}, outside of its bounds {pair!r}"
            raise ValueError(f"minimize: {shown(name)} {told}")
    return limits


def _covariance(
    hessian: Floats, free: Any, cost: float, squares: int | None
) -> tuple[Floats, list[str]]:
    """Of the parameters that are free, nan for others; and what is to be said of it."""
    covariance, count = np.full(hessian.shape, np.nan), int(free.sum())
    inner = hessian[np.ix_(free, free)]
    least = float(np.linalg.eigvalsh(inner).min()) if count else 1.0
    scale = 1e-14 * float(np.abs(inner).max(initial=0.0))
    if least <= scale:
        return covariance, [NOTES["bent"].format(least=least)]
    variance, note = 1.0, NOTES["likelihood"]
    if squares is not None:
        if squares <= count:
            return covariance, [NOTES["few"].format(squares=squares, free=count)]
        variance = 2.0 * cost / (squares - count)
        note = NOTES["squares"].format(squares=squares, sigma=(variance / 2.0) ** 0.5)
    covariance[np.ix_(free, free)] = variance * np.linalg.inv(inner)
    return covariance, [note]
