"""Optimisers and learning-rate schedules: how parameters follow their gradients.

An optimiser's ``step()`` changes the parameters that it was given by their ``grad``, and asks its
learning rate, a number or a schedule, for each step anew. What it remembers of a parameter (a velocity,
moments) is a few floats. ``step()`` is all or nothing: with a gradient that is missing or not finite no
parameter changes.

A schedule is a callable from the number of steps taken so far, 0 before the first, to the learning rate
of the next step. Those here are frozen dataclasses; any function will do.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from microbp.errors import NoGradientError
from microbp.graph import cached_property
from microbp.labels import Named
from microbp.nn import Module, named_leaves, told_by_paths
from microbp.node import are_leaves, gradient_of
from microbp.recording.updates import warn_of_left
from microbp.text import shown
from microbp.value import Value, as_number, describe, names_noted, set_numbers

__all__ = [
    "SGD", "Adam", "AdamW", "Clipping", "Constant", "Cosine", "Exponential", "Linear", "Optimiser",
    "Parameters", "Schedule", "StepDecay", "WarmUp", "clip_gradients",
]  # fmt: skip

Parameters = Iterable[Value] | Mapping[str, Value] | Named
Schedule = Callable[[int], float]
#: What an optimiser remembers of one parameter.
Memory = tuple[float, ...]
Numbers = np.ndarray[Any, np.dtype[np.float64]]


# --------------------------------------------------------------------------------------- optimisers
class Optimiser(ABC):
    """What all optimisers share: checks, steps, and a state to resume from.

    ``parameters`` is a list of Values or a dict of them by name; the names are for messages. ``lr`` is
    a number or a schedule. A frozen parameter (``requires_grad`` is False) is left alone, with all that
    is remembered of it.

    An optimiser of one's own states what it remembers at first, and one update of one number:

    >>> class SignDescent(Optimiser):
    ...     def update(self, p, g, memory, lr):
    ...         return p - math.copysign(lr, g), memory
    >>> w = Value(1.0, name="w")
    >>> (w * w).backward()
    >>> SignDescent([w], lr=0.25).step()
    >>> w.data
    0.75

    Raises TypeError for a parameter that is no Value, ValueError for one that is computed rather than a
    leaf or that stands in the list twice, for an empty list, and for a learning rate that is not
    positive and finite.
    """

    #: What is remembered of a parameter that has not been updated yet.
    blank: Memory = ()
    #: Whether :meth:`update` takes arrays as well, leaves them as they are, and returns for each of their
    #: numbers what it returns for one: a step is one call then. It counts for the class that defines it.
    elementwise: bool = False
    _at_once: bool

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        owner = next(each for each in cls.__mro__ if "update" in vars(each))
        cls._at_once = bool(vars(owner).get("elementwise"))

    def __init__(self, parameters: Parameters, lr: float | Schedule) -> None:
        self._named = named_values(parameters, type(self).__name__)
        self.lr = lr
        #: How many steps have been taken.
        self.steps = 0
        self._memory = np.repeat(self._remembered([self.blank]), len(self._named.values), axis=1)
        _ = self.rate  # a bad one is refused here, before any work is done

    @cached_property
    def parameters(self) -> list[tuple[str, Value]]:
        """Name and Value of each."""
        return [*self._named]

    def leaves(self) -> Sequence[Value]:
        """The Values of the parameters, for which no name is put into words."""
        named = vars(self).get("parameters")
        return self._named.values if named is None else [value for _, value in named]

    @property
    def rate(self) -> float:
        """The learning rate of the next step.

        >>> SGD([Value(1.0)], lr=Linear(0.5, final=0.0, steps=100)).rate
        0.5
        """
        what = f"{type(self).__name__}: the learning rate"
        if not callable(self.lr):
            return checked(self.lr, what, POSITIVE)
        schedule = getattr(self.lr, "__qualname__", self.lr)
        try:
            rate = self.lr(self.steps)
        except TypeError as error:
            raise TypeError(f"{what}: {schedule} does not take the number of a step: {error}") from error
        return checked(rate, f"{what} that {schedule} gives after {self.steps} steps", POSITIVE)

    def rates(self, count: int) -> list[float]:
        """The learning rates of the next ``count`` steps, up to the first that is not positive and finite.

        >>> SGD([Value(1.0)], lr=Linear(0.5, final=0.0, steps=2)).rates(5)
        [0.5, 0.25]
        """
        steps = range(self.steps, self.steps + count)
        rates = map(self.lr, steps) if callable(self.lr) else (self.lr for _ in steps)
        return [float(rate) for rate in takewhile(lambda rate: 0.0 < rate < math.inf, rates)]

    def step(self) -> None:
        """Change each parameter by its gradient.

        Raises NoGradientError for a parameter whose ``grad`` is None; FloatingPointError where a
        gradient, or what it would make of a parameter, is not finite. Both name the parameter, and no
        parameter has changed then.
        """
        warn_of_left(f"{type(self).__name__}.step()", self.parameters)
        found = _gradients(self.parameters, f"{type(self).__name__}.step()")
        rate = self.rate
        if not found:
            self.steps += 1
            return
        places, _, values, gradients = zip(*found, strict=True)
        numbers = np.array([each.data for each in values])
        set_numbers(values, self.advance(np.array(places), numbers, np.array(gradients), rate))

    def advance(self, places: Any, p: Numbers, g: Numbers, lr: float) -> Numbers:
        """One step on a vector: the new numbers of the parameters at ``places``, whose gradient is ``g``.

        It is what :meth:`step` does with all that are not frozen; ``places`` is an array or a slice of
        positions in :attr:`parameters`. What is remembered of them follows, and no Value is touched.
        """
        memory = tuple(self._memory[:, places])
        with np.errstate(all="ignore"):
            made = self._updated(p, g, memory, lr)
        if not np.isfinite(made).all():
            self._refuse(np.arange(len(self.parameters))[places], p, g, memory, made, lr)
        self._memory[:, places] = made[1:]
        self.steps += 1
        data: Numbers = made[0]
        return data

    def _updated(self, p: Numbers, g: Numbers, memory: Any, lr: float) -> Numbers:
        """:meth:`update` of a vector, a row for p and each of what is remembered: at once, or one by one."""
        update, size = self.update, 1 + len(self.blank)
        said: Any
        if self._at_once:
            said = [update(p, g, memory, lr)]  # type: ignore[arg-type]
        else:
            each = zip(*(row.tolist() for row in (p, g, *memory)), strict=True)
            said = [update(x, y, tuple(m), lr) for x, y, *m in each]
        with suppress(TypeError, ValueError):  # of what is of another form
            rows = np.array([(data, *later) for data, later in said])
            made = rows[0] if self._at_once else rows.reshape(len(p), size).T
            real = made.dtype.kind in "fiu" or all(isinstance(x, Real) for x in made.flat)
            if real and made.shape == (size, len(p)):
                return made.astype(float, copy=False)
        told = f"the new number of a parameter and a tuple of the {len(self.blank)} numbers to remember of it"
        raise TypeError(f"{type(self).__name__}.update() returns {told}, not {shown(repr(said[0]))}")

    def _remembered(self, memories: Sequence[Memory]) -> Numbers:
        """What is remembered of each parameter, one column for each."""
        return np.array(memories, dtype=float).reshape(len(memories), len(self.blank)).T.copy()

    def _refuse(
        self, positions: Any, p: Numbers, g: Numbers, memory: Any, made: Numbers, lr: float
    ) -> None:
        """FloatingPointError for the first parameter of which something becomes nan or infinite."""
        column = int(np.flatnonzero(~np.isfinite(made).all(axis=0))[0])
        name, _ = self.parameters[positions[column]]
        before, after = (tuple(float(each[column]) for each in part) for part in (memory, made[1:]))
        raise FloatingPointError(
            f"{type(self).__name__}.step(): {shown(name)} = {float(p[column])!r} with gradient "
            f"{float(g[column])!r}{f' and {before} remembered' if before else ''} would become "
            f"{float(made[0][column])!r}{f' and {after}' if after else ''}; no parameter has been "
            f"changed. Lower the learning rate ({lr!r}) or clip the gradients"
        )

    @abstractmethod
    def update(self, p: float, g: float, memory: Memory, lr: float) -> tuple[float, Memory]:
        """The new number of a parameter p with gradient g, and what to remember of it."""

    def zero_grad(self) -> None:
        """Set the gradient of each parameter to None: not computed."""
        for _, parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """All that :meth:`step` has changed beside the parameters, as plain numbers, lists and dicts.

        With the parameters' numbers restored and this state loaded, training goes on bit for bit, also
        through JSON. The settings (learning rate, momentum, …) are the constructor's.

        >>> w = Value(1.0, name="w")
        >>> (w * w).backward()
        >>> optimiser = SGD([w], lr=0.1, momentum=0.9)
        >>> optimiser.step()
        >>> optimiser.state()
        {'optimiser': 'SGD', 'steps': 1, 'names': ['w'], 'memory': [[2.0]]}
        """
        return {
            "optimiser": type(self).__name__,
            "steps": self.steps,
            "names": [name for name, _ in self.parameters],
            "memory": self._memory.T.tolist(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state` returned.

        Raises ValueError, and loads nothing, where the state is of another optimiser, of parameters of
        other names, or was kept with other settings.
        """
        where, names = f"{type(self).__name__}.load_state()", [name for name, _ in self.parameters]

        def refuse(wrong: object, told: str) -> None:
            if wrong:
                raise ValueError(f"{where}: {told}")

        several = (list, tuple)
        for key, kind in (("optimiser", str), ("steps", object), ("names", several), ("memory", several)):
            held = state.get(key) if isinstance(state, Mapping) else None
            refuse(held is None, f"the state has no {key!r}; give what state() returned")
            told = f"{key!r} of the state is of type {type(held).__name__}; give what state() returned"
            refuse(not isinstance(held, kind), told)
        refuse(state["optimiser"] != type(self).__name__, f"the state is of {state['optimiser']}")
        there, memories = state["names"], state["memory"]
        told = f"the state is of {len(there)} parameters, the optimiser of {len(names)}"
        refuse(len(there) != len(names), told)
        for place, (other, name) in enumerate(zip(there, names, strict=True)):
            told = f"parameters[{place}] is {other!r} in the state, {name!r} in the optimiser"
            refuse(other != name, told)
        steps, size = whole(state["steps"], f"{where}: steps", 0), len(self.blank)
        told = f"the optimiser remembers {size} numbers of each of {len(names)} parameters, and the state "
        odd = any(not isinstance(each, several) or len(each) != size for each in memories)
        refuse(odd or len(memories) != len(names), f"{told}does not: it was kept with other settings")
        loaded = [tuple(as_number(x, f"{where}: a remembered number") for x in each) for each in memories]
        refuse(not np.isfinite(np.array(loaded)).all(), "the state holds a number that is not finite")
        self.steps, self._memory = steps, self._remembered(loaded)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.parameters)} parameters, lr={self.lr}, steps={self.steps})"


class SGD(Optimiser):
    """Gradient descent, with momentum if asked for.

    ====================  ========================================
    plain                 ``p ← p - lr·g``
    momentum μ            ``v ← μ·v + g``, ``p ← p - lr·v``
    Nesterov, momentum μ  ``v ← μ·v + g``, ``p ← p - lr·(g + μ·v)``
    ====================  ========================================

    The velocity v begins at 0 and does not contain the learning rate, so that a schedule acts at once.
    Momentum: Polyak (1964), the heavy ball. Nesterov: his accelerated gradient (1983) in the form of
    Sutskever, Martens, Dahl and Hinton (2013), equations 3 and 4, whose gradient is taken where the
    velocity leads; p is that point. At a constant learning rate both equal the papers' forms, in which
    the velocity is ``-lr·v``. The formulas are those of ``torch.optim.SGD``.

    >>> w = Value(3.0, name="w")
    >>> optimiser = SGD([w], lr=0.25)
    >>> (w * w).backward()
    >>> optimiser.step()
    >>> w.data
    1.5

    Raises ValueError for a momentum outside 0 ≤ μ < 1, and for Nesterov without momentum.
    """

    elementwise = True

    def __init__(
        self, parameters: Parameters, lr: float | Schedule, *, momentum: float = 0.0, nesterov: bool = False
    ) -> None:
        self.momentum = checked(momentum, "SGD: momentum", BELOW_ONE)
        self.nesterov = nesterov
        if nesterov and not self.momentum:
            raise ValueError("SGD: Nesterov's method needs a momentum, such as momentum=0.9")
        self.blank = (0.0,) if self.momentum else ()
        super().__init__(parameters, lr)

    def update(self, p: float, g: float, memory: Memory, lr: float) -> tuple[float, Memory]:
        """See the class."""
        if not memory:
            return p - lr * g, ()
        v = self.momentum * memory[0] + g
        return p - lr * (g + self.momentum * v if self.nesterov else v), (v,)


class Adam(Optimiser):
    """Adam: each parameter's step is scaled by the recent size of its gradient.

    ::

        m ← β₁·m + (1 - β₁)·g        v ← β₂·v + (1 - β₂)·g·g
        m̂ = m / (1 - β₁ᵗ)            v̂ = v / (1 - β₂ᵗ)            p ← p - lr·m̂ / (√v̂ + ε)

    Kingma and Ba (2015), algorithm 1, with its default settings; m and v begin at 0, and t counts the
    updates of this parameter, from 1. The formulas are those of ``torch.optim.Adam``. Whatever the size
    of the gradient, the first step is close to ``lr``:

    >>> w = Value(3.0, name="w")
    >>> optimiser = Adam([w], lr=0.25)
    >>> (w * w).backward()
    >>> optimiser.step()
    >>> round(w.data, 6)
    2.75

    Raises ValueError for betas outside 0 ≤ β < 1, and for an ε that is not positive and finite.
    """

    elementwise = True
    blank = (0.0, 0.0, 0.0)

    def __init__(
        self, parameters: Parameters, lr: float | Schedule = 1e-3, *,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    ) -> None:  # fmt: skip
        where = type(self).__name__
        if not isinstance(betas, list | tuple) or len(betas) != 2:
            raise TypeError(f"{where}: betas are two numbers, not {shown(repr(betas))}")
        first, second = (checked(b, f"{where}: betas[{i}]", BELOW_ONE) for i, b in enumerate(betas))
        self.betas = first, second
        self.eps = checked(eps, f"{where}: eps", POSITIVE)
        super().__init__(parameters, lr)

    def update(self, p: float, g: float, memory: Memory, lr: float) -> tuple[float, Memory]:
        """See the class."""
        (m, v, t), (first, second) = memory, self.betas
        t = t + 1.0  # not in place: memory may be an array
        m = first * m + (1.0 - first) * g
        v = second * v + (1.0 - second) * g * g
        mean, square = m / (1.0 - _power(first, t)), v / (1.0 - _power(second, t))
        return p - lr * mean / (np.sqrt(square) + self.eps), (m, v, t)


class AdamW(Adam):
    """Adam with decoupled weight decay λ: ``p ← p - lr·λ·p``, then Adam's step.

    Loshchilov and Hutter (2019), algorithm 2: the decay does not pass through the moments, as that of
    an L2 penalty would. It is scaled by the learning rate, as in ``torch.optim.AdamW``; in the paper
    it is scaled by the schedule alone, so that its λ is ``lr·λ`` here.

    >>> w = Value(3.0, name="w")
    >>> (w * 0.0).backward()
    >>> AdamW([w], lr=0.5, weight_decay=0.5).step()
    >>> w.data
    2.25

    Raises ValueError for a decay that is negative or not finite.
    """

    elementwise = True

    def __init__(
        self, parameters: Parameters, lr: float | Schedule = 1e-3, *,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01,
    ) -> None:  # fmt: skip
        self.weight_decay = checked(weight_decay, "AdamW: weight_decay", NOT_NEGATIVE)
        super().__init__(parameters, lr, betas=betas, eps=eps)

    def update(self, p: float, g: float, memory: Memory, lr: float) -> tuple[float, Memory]:
        """See the class."""
        return super().update(p - lr * self.weight_decay * p, g, memory, lr)


def _power(base: float, exponents: Any) -> Any:
    """``base ** exponents``, in an array by Python's own power: NumPy's may differ in the last bit."""
    if not isinstance(exponents, np.ndarray):
        return base**exponents
    if exponents.size and (exponents == exponents[0]).all():
        return base ** float(exponents[0])
    return np.array([base**each for each in exponents.tolist()])


# ----------------------------------------------------------------------------------------- clipping
class Clipping(NamedTuple):
    """What :func:`clip_gradients` did."""

    #: The norm of the gradients before.
    norm: float
    #: What each gradient was multiplied by; 1.0 where the norm was within bounds.
    factor: float


def clip_gradients(parameters: Parameters, max_norm: float) -> Clipping:
    """Scale the gradients of all parameters together, so that their norm is at most ``max_norm``.

    The norm is ``√Σ g²`` over all that are not frozen, the factor ``max_norm / norm`` where the norm is
    larger, else 1 (Pascanu, Mikolov and Bengio 2013). A ``max_norm`` of ``math.inf`` only measures.

    >>> w = [Value(3.0), Value(4.0)]
    >>> (w[0] * w[0] + w[1] * w[1]).backward()
    >>> clip_gradients(w, max_norm=1.0)
    Clipping(norm=10.0, factor=0.1)
    >>> [round(each.grad, 6) for each in w]
    [0.6, 0.8]

    Raises NoGradientError for a parameter whose ``grad`` is None, FloatingPointError for a gradient or a
    norm that is not finite, and ValueError for a ``max_norm`` that is not positive. No gradient has
    changed then.
    """
    where = "clip_gradients()"
    bound = as_number(max_norm, f"{where}: max_norm")
    if not bound > 0.0:
        raise ValueError(f"{where}: max_norm must be positive, not {bound!r}")
    found = _gradients([*named_values(parameters, where)], where)
    clipped, clipping = clip(np.array([gradient for *_, gradient in found]), bound)
    if clipping.factor != 1.0:
        for (_, _, parameter, _), gradient in zip(found, clipped.tolist(), strict=True):
            parameter.grad = gradient
    return clipping


def clip(gradient: Numbers, bound: float) -> tuple[Numbers, Clipping]:
    """The same for a vector; FloatingPointError where its norm is beyond the largest float."""
    norm = math.hypot(*gradient.tolist())
    if math.isinf(norm):
        raise FloatingPointError(
            "clip_gradients(): the norm of the gradients is beyond the largest float, 1.8e308"
        )
    factor = bound / norm if norm > bound else 1.0
    return (gradient if factor == 1.0 else gradient * factor), Clipping(norm, factor)


# ---------------------------------------------------------------------------------------- schedules
@dataclass(frozen=True)
class _Schedule:
    """What all have in common: a setting is checked by its name, if it has one of ours."""

    def __post_init__(self) -> None:
        bounds = {"rate": POSITIVE, "then": POSITIVE, "final": NOT_NEGATIVE, "factor": FRACTION}
        for name, held in vars(self).items():
            what = f"{type(self).__name__}: {name}"
            if name in ("every", "steps"):
                whole(held, what)
            elif name in bounds and not (name == "then" and callable(held)):
                checked(held, what, bounds[name])


@dataclass(frozen=True)
class Constant(_Schedule):
    """The same learning rate at each step, as a number would be.

    >>> Constant(0.1)(1000)
    0.1
    """

    rate: float

    def __call__(self, step: int) -> float:  # noqa: ARG002 (what every schedule is given)
        """``rate``."""
        return self.rate


@dataclass(frozen=True)
class StepDecay(_Schedule):
    """``rate · factor^⌊step / every⌋``: a stair.

    >>> [StepDecay(0.5, factor=0.5, every=100)(step) for step in (0, 99, 100, 200)]
    [0.5, 0.5, 0.25, 0.125]
    """

    rate: float
    factor: float
    every: int

    def __call__(self, step: int) -> float:
        """The rate after ``step`` steps."""
        return self.rate * float(self.factor) ** (step // self.every)


@dataclass(frozen=True)
class Exponential(_Schedule):
    """``rate · factor^step``.

    >>> [Exponential(0.5, factor=0.5)(step) for step in (0, 1, 2)]
    [0.5, 0.25, 0.125]
    """

    rate: float
    factor: float

    def __call__(self, step: int) -> float:
        """The rate after ``step`` steps."""
        return self.rate * float(self.factor) ** step


@dataclass(frozen=True)
class Linear(_Schedule):
    """``rate - (rate - final) · step / steps``, a straight line to ``final``, which then holds.

    The first of ``steps`` steps has the rate ``rate``; the step after the last has ``final``, so that
    it may be 0. micrograd's demo, with its ``1.0 - 0.9*k/100``, is

    >>> schedule = Linear(1.0, final=0.1, steps=100)
    >>> all(schedule(k) == 1.0 - 0.9 * k / 100 for k in range(100))
    True
    >>> schedule(100), schedule(1000)
    (0.1, 0.1)
    """

    rate: float
    final: float
    steps: int

    def __call__(self, step: int) -> float:
        """The rate after ``step`` steps."""
        if step >= self.steps:
            return self.final
        return self.rate - (self.rate - self.final) * step / self.steps


@dataclass(frozen=True)
class Cosine(_Schedule):
    """``final + (rate - final) · (1 + cos(π · step / steps)) / 2``; then ``final`` holds.

    Loshchilov and Hutter (2017), equation 5, without restarts.

    >>> schedule = Cosine(0.5, steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100)
    (0.5, 0.25, 0.0)
    """

    rate: float
    steps: int
    final: float = 0.0

    def __call__(self, step: int) -> float:
        """The rate after ``step`` steps."""
        if step >= self.steps:
            return self.final
        return self.final + (self.rate - self.final) * (1.0 + math.cos(math.pi * step / self.steps)) / 2.0


@dataclass(frozen=True)
class WarmUp(_Schedule):
    """``(step + 1) / steps`` of the rate ``then`` in the first ``steps`` steps; after them, ``then``.

    ``then`` is a number or a schedule, which counts from the first step as well. Goyal and others (2017),
    section 2.2.

    >>> schedule = WarmUp(4, then=0.5)
    >>> [schedule(step) for step in (0, 1, 2, 3, 4)]
    [0.125, 0.25, 0.375, 0.5, 0.5]
    """

    steps: int
    then: float | Schedule

    def __call__(self, step: int) -> float:
        """The rate after ``step`` steps."""
        rate = self.then(step) if callable(self.then) else self.then
        return rate * (step + 1) / self.steps if step < self.steps else rate


# ------------------------------------------------------------------------------------------- checks
def listed(parameters: Parameters, where: str) -> list[Value]:
    """The Values of a list or a dict; an error for anything else."""
    if isinstance(parameters, Value) or not isinstance(parameters, Iterable):
        kind = type(parameters).__name__
        more = "; write its .parameters()" if hasattr(parameters, "parameters") else ""
        raise TypeError(f"{where}: parameters are a list of Values or a dict of them, not a {kind}{more}")
    found: list[Value] = [*(parameters.values() if isinstance(parameters, Mapping) else parameters)]
    if not found:
        raise ValueError(f"{where}: there are no parameters")
    for place, value in enumerate(found if [*map(type, found)].count(Value) < len(found) else ()):
        if not isinstance(value, Value):
            kind = type(value).__name__
            cure = "; [*W.flat, *b.flat] lists the Values of arrays" if hasattr(value, "flat") else ""
            told = f"is an object of type {kind}, not a Value{cure}"
            raise TypeError(f"{where}: {_called(parameters, place)} {told}")
    return found


def _called(parameters: Parameters, place: int) -> str:
    """How a message calls one of them: by its name in the dict, or by its place in the list."""
    return str([*parameters][place]) if isinstance(parameters, Mapping) else f"parameters[{place}]"


def named_values(parameters: Parameters, where: str) -> Named:
    """Leaves, each once; in a list by the names that they bear, if they bear one."""
    if isinstance(parameters, Named) and parameters.values:
        return parameters
    found = listed(parameters, where)
    if not are_leaves(found) or len({*map(id, found)}) < len(found):
        _refuse_all_but_leaves(parameters, found, where)
    if isinstance(parameters, Mapping):
        return Named(found, [*map(str, parameters)])
    return Named(found, [name or None for name in names_noted(found)])


def of_net(net: Any, where: str) -> Named:
    """What ``net.parameters()`` gives, each by its path where the net holds it as an attribute.

    Named parameters of a module are these, unless it says itself what ``parameters()`` are.
    """
    if told_by_paths(net):
        return named_values(named_leaves(net), where)
    paths = dict(net.named_parameters()) if callable(getattr(net, "named_parameters", None)) else {}
    if getattr(net.parameters, "__func__", None) is Module.parameters:
        return named_values(paths, where)
    told, path_of = net.parameters(), {id(value): path for path, value in paths.items()}
    if paths and isinstance(told, Iterable) and not isinstance(told, Mapping):  # a tied one may come twice
        told = [*{id(each): each for each in told}.values()]
    found = named_values(told, where)
    notes = zip(found.values, found.notes, strict=True)
    return Named(found.values, [path_of.get(id(value), note) for value, note in notes])


def _refuse_all_but_leaves(parameters: Parameters, found: list[Value], where: str) -> None:
    """ValueError for the first that is computed, or that stands twice."""
    seen = dict[int, str]()
    for index, value in enumerate(found):
        place = _called(parameters, index)
        if not value.is_leaf:
            raise ValueError(
                f"{where}: {place} is {describe(value)}, computed by {value.rule}, not a leaf: to change "
                "its number would not change the net"
            )
        if id(value) in seen:
            raise ValueError(f"{where}: {place} is the same Value as {seen[id(value)]}: list it once")
        seen[id(value)] = place


def _gradients(parameters: list[tuple[str, Value]], where: str) -> list[tuple[int, str, Value, float]]:
    """Position, name, Value and gradient of each parameter that is not frozen."""
    found: list[tuple[int, str, Value, float]] = []
    for position, (name, parameter) in enumerate(parameters):
        if parameter.requires_grad:
            if parameter.grad is None:
                raise _no_gradient(name, parameters, where)
            gradient = gradient_of(parameter)
            if not math.isfinite(gradient):
                raise FloatingPointError(
                    f"{where}: the gradient of {shown(name)} is {gradient!r} at {shown(name)} = "
                    f"{parameter.data!r}; nothing has been changed"
                )
            found.append((position, name, parameter, gradient))
    return found


def _no_gradient(name: str, parameters: list[tuple[str, Value]], where: str) -> NoGradientError:
    if all(each.grad is None for _, each in parameters if each.requires_grad):
        return NoGradientError(f"{where}: no parameter has a gradient; call backward() on the cost first")
    return NoGradientError(
        f"{where}: {shown(name)} has no gradient, but others have: the cost does not depend on it. Leave "
        "it out, or freeze it (requires_grad = False); nothing has been changed"
    )


#: What a setting has to be, in the words of the error, and whether a number is.
POSITIVE, NOT_NEGATIVE = "positive and finite", "0 or positive, and finite"
BELOW_ONE, FRACTION = "at least 0 and below 1", "above 0 and at most 1"
_IS: dict[str, Callable[[float], bool]] = {
    POSITIVE: lambda x: 0.0 < x < math.inf,
    NOT_NEGATIVE: lambda x: 0.0 <= x < math.inf,
    BELOW_ONE: lambda x: 0.0 <= x < 1.0,
    FRACTION: lambda x: 0.0 < x <= 1.0,
}


def checked(x: Any, what: str, bound: str) -> float:
    """A setting as a float; ValueError where it is out of its range."""
    number = as_number(x, what)
    if not _IS[bound](number):
        raise ValueError(f"{what} must be {bound}, not {number!r}")
    return number


def whole(x: Any, what: str, least: int = 1) -> int:
    """A setting that counts something, as an int."""
    if not isinstance(x, Integral) or isinstance(x, bool) or int(x) < least:
        raise ValueError(f"{what} is a whole number from {least} up, not {x!r}")
    return int(x)
