"""What ``fit`` is given, checked: the settings, one frozen record; the net, its optimiser and its samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microbp.engines import Batch, EagerEngine, Rows, Samples
from microbp.losses import LOSSES, Loss
from microbp.nn import Module
from microbp.optim import Optimiser
from microbp.replay.program import masked
from microbp.safe import shown
from microbp.spelling import did_you_mean
from microbp.stored import Stored, is_lazy, is_stored
from microbp.value import Value, as_number

__all__ = [
    "Settings", "check_schedule", "check_that_all_fits", "optimiser_for", "parameters_of", "samples_of",
    "split",
]  # fmt: skip

#: So many targets are looked at at once.
_AT_ONCE = 1 << 16
#: "auto" is replay where that is sure to be right, else eager; "replay" is an error where it is not.
ENGINES = ("auto", "replay", "eager")


@dataclass(frozen=True)
class Settings:
    """How a net is to be trained; see :func:`fit`.

    >>> Settings("hinge", batch_size=8)
    Settings(loss='hinge', batch_size=8)

    Raises ValueError or TypeError for what is out of range.
    """

    #: A name in :data:`microbp.losses.LOSSES`, or a function of predictions and targets.
    loss: str | Loss
    epochs: int = 100
    #: None: all samples.
    batch_size: int | None = None
    shuffle: bool = True
    seed: int = 0
    #: Times Σ w² over the parameters, added to the loss.
    penalty: float = 0.0
    #: The largest norm of the gradients.
    clip: float | None = None
    #: A fraction of the samples, or a pair (X, Y).
    validation: float | tuple[Any, Any] | None = None
    tolerance: float | None = None
    patience: int | None = None
    keep: Literal["best", "last"] | None = None
    checkpoint: str | Path | None = None
    #: In seconds.
    checkpoint_every: float = 30.0
    resume: str | Path | None = None
    progress: bool | None = None
    engine: str = "auto"
    #: A Client of Dask, whose workers compute the gradients.
    client: Any = None
    #: Over how many threads the machine in C spreads a batch.
    threads: int = 1

    def __post_init__(self) -> None:
        _ = self.cost
        for what, least in (("epochs", 1), ("seed", 0), ("threads", 1), ("batch_size", 1), ("patience", 1)):
            held = getattr(self, what)
            whole = isinstance(held, Integral) and not isinstance(held, bool) and int(held) >= least
            if not whole and (held is not None or what in ("epochs", "seed", "threads")):
                raise ValueError(f"fit: {what} is a whole number from {least} up, not {held!r}")
            object.__setattr__(self, what, None if held is None else int(held))
        for what in ("penalty", "checkpoint_every", "clip", "tolerance"):
            if getattr(self, what) is not None:
                zero = what in ("penalty", "checkpoint_every")
                number = as_number(getattr(self, what), f"fit: {what}")
                if not (0.0 < number < math.inf or (zero and number == 0.0)):
                    bound = "finite and at least 0" if zero else "positive and finite"
                    raise ValueError(f"fit: {what} is {bound}, not {number!r}")
                object.__setattr__(self, what, number)
        if self.keep not in (None, "best", "last"):
            raise ValueError(f"fit: keep is 'best', 'last' or None, not {self.keep!r}")
        if self.patience is not None and self.validation is None:
            raise ValueError("fit: patience watches the validation cost; give validation as well")
        if self.engine not in ENGINES:
            told = f"there are {', '.join(ENGINES)}"
            raise ValueError(f"fit: no engine is called {shown(repr(self.engine))}; {told}")
        if self.client is not None and not callable(getattr(self.client, "submit", None)):
            raise TypeError(f"fit: client is a dask.distributed.Client, not {self.client!r}")
        if self.client is not None and self.engine == "eager":
            raise ValueError("fit: engine='eager' records samples here, and leaves a client nothing to do")
        for what in ("checkpoint", "resume"):
            path = getattr(self, what)
            object.__setattr__(self, what, None if path is None else Path(path))

    @property
    def cost(self) -> Loss:
        """The loss as a function."""
        if callable(self.loss):
            return self.loss
        if isinstance(self.loss, str) and self.loss in LOSSES:
            return LOSSES[self.loss]
        hint = did_you_mean(self.loss, LOSSES) or f"there are {', '.join(LOSSES)}"
        raise ValueError(f"fit: no loss is called {shown(repr(self.loss))}; {hint}")

    def __repr__(self) -> str:
        changed = (
            f"{name}={held!r}"
            for name, held in vars(self).items()
            if name == "loss" or held != getattr(type(self), name)
        )
        return f"Settings({', '.join(changed)})"


def parameters_of(net: Any) -> tuple[list[str], list[Value]]:
    """The net's parameters with their names: their paths in a Module, else as they are called."""
    kind = type(net).__name__
    if isinstance(net, type):
        raise TypeError(f"fit: a net is an object, such as MLP(2, [1]); {net.__name__} is a class")
    if not callable(getattr(net, "parameters", None)):
        raise TypeError(f"fit: a net has parameters(), as a Module does; an object of type {kind} has none")
    predict = getattr(net, "predict", None)
    if not callable(net) and (not callable(predict) or getattr(predict, "__func__", 0) is Module.predict):
        raise TypeError(f"fit: a net can be called, or has predict(batch); an object of type {kind} neither")
    if callable(getattr(net, "named_parameters", None)):
        named = dict(net.named_parameters())
    else:
        values = list(net.parameters())
        given = [each.name if isinstance(each, Value) and each.name else "" for each in values]
        unique = len({*given}) == len(given) and "" not in given
        named = {
            name if unique else f"parameters[{place}]": value
            for place, (name, value) in enumerate(zip(given, values, strict=True))
        }
    if not named:
        raise ValueError(f"fit: the net, of type {kind}, has no parameters")
    for name, parameter in named.items():
        if not isinstance(parameter, Value):
            kind = type(parameter).__name__
            raise TypeError(f"fit: the parameter {shown(name)} is an object of type {kind}, not a Value")
        if not math.isfinite(parameter.data):
            raise ValueError(f"fit: the parameter {shown(name)} is {parameter.data!r} to begin with")
    return list(named), list(named.values())


def optimiser_for(optimiser: Any, parameters: Sequence[Value]) -> Optimiser:
    """The optimiser, which changes parameters of this net only."""
    if not isinstance(optimiser, Optimiser):
        kind = type(optimiser).__name__
        raise TypeError(
            f"fit: the optimiser is one such as SGD(net.parameters(), lr=0.1), not an object of type {kind}"
        )
    known = {id(each) for each in parameters}
    for name, parameter in optimiser.parameters:
        if id(parameter) not in known:
            raise ValueError(f"fit: the optimiser changes {shown(name)}, which is no parameter of this net")
    if not any(each.requires_grad for _, each in optimiser.parameters):
        raise ValueError(
            f"fit: all {len(optimiser.parameters)} parameters of the optimiser are frozen "
            "(requires_grad is False), so that nothing can be learned"
        )
    _ = optimiser.rate  # refused here if it is not positive and finite
    return optimiser


def check_schedule(optimiser: Optimiser, left: int, settings: Settings) -> None:
    """A schedule that runs out in the steps that are ``left`` is an error now, not after hours."""
    last = optimiser.steps + left - 1
    if callable(optimiser.lr) and left > 0:
        rate = optimiser.lr(last)
        if not 0.0 < rate < math.inf:
            raise ValueError(
                f"fit: {settings.epochs} epochs end with step {last + 1} of the optimiser, for "
                f"which its schedule gives the learning rate {rate!r}; it must be positive and finite"
            )


def check_that_all_fits(eager: EagerEngine, batch: Batch, validation: Batch | None) -> None:
    """The net takes a sample, and the loss what it returns, with every target there is."""
    samples, rows = batch
    try:
        first = eager.predictions((samples, rows[:1]))[0]
    except ArithmeticError:
        return  # undefined for this sample: the first step says so, and where
    except (TypeError, ValueError, IndexError) as error:
        shape = samples.array.shape
        hint = "; a net of one input takes [[x] for x in X]" if len(shape) == 1 else ""
        raise ValueError(
            f"fit: the net does not take the samples of X, whose shape is {shape}: {error}{hint}"
        ) from error
    for each in [samples] + ([validation[0]] if validation and validation[0] is not samples else []):
        try:
            for start in range(0, len(each.y), _AT_ONCE):
                part = each.y[start : start + _AT_ONCE]
                cost = eager.loss([first] * len(part), part)
        except ArithmeticError:
            continue
        except ValueError:
            eager.loss([first] * len(each.y), each.y)  # which names the place among all
            raise
        if not isinstance(cost, Value):
            raise TypeError(f"fit: the loss returns one Value, not an object of type {type(cost).__name__}")


def samples_of(X: Any, Y: Any, which: str) -> Samples:
    """Samples with a target each; ``which`` stands before X and Y in an error: "validation "."""
    x, y = _array(X, f"{which}X"), _array(np.asarray(Y) if is_stored(Y) else Y, f"{which}Y")
    if len(x) != len(y):
        raise ValueError(f"fit: {which}X has {len(x)} samples, but {which}Y has {len(y)} targets")
    if not x.size:
        raise ValueError(f"fit: {which}X is empty; its shape is {x.shape}")
    if isinstance(x, Stored):
        return Samples(x, x, y.tolist())
    return Samples(x.astype(float), x.astype(float).tolist(), y.tolist())


def split(samples: Samples, validation: Any, draw: np.random.Generator) -> tuple[Rows, Batch | None]:
    """The rows to learn from; and the samples for validation, given as a pair or as a fraction of these."""
    n = len(samples.x)
    if validation is None:
        return np.arange(n), None
    if isinstance(validation, tuple | list):
        if len(validation) != 2:
            raise ValueError(f"fit: validation is a pair (X, Y), not {len(validation)} items")
        apart = samples_of(validation[0], validation[1], "validation ")
        here, there = samples.array.shape, apart.array.shape
        if here[1:] != there[1:]:
            raise ValueError(f"fit: X has the shape {here}, but the validation X {there}")
        return np.arange(n), (apart, np.arange(len(apart.x)))
    fraction = as_number(validation, "fit: validation")
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fit: validation={validation!r} is no fraction between 0 and 1")
    count = round(fraction * n)
    if not 0 < count < n:
        raise ValueError(
            f"fit: validation={validation!r} of {n} samples sets {count} apart and leaves {n - count}"
        )
    order = draw.permutation(n)
    return np.sort(order[count:]), (samples, np.sort(order[:count]))


def _array(data: Any, name: str) -> Any:
    """Real and finite numbers as an array, whole numbers as such; what is stored stays where it is."""
    if is_stored(data):
        _refuse_other(data, name)
        stored = Stored(data)
        if not is_lazy(data):  # of a Dask array the workers tell what is not finite, when they come to it
            _refuse_not_finite(stored.blocks(), name)
        return stored
    if masked(data):
        raise ValueError(f"fit: {name} has masked entries; fill them in, or leave their samples out")
    try:
        array = np.asarray(data)
    except ValueError:
        raise ValueError(f"fit: the rows of {name} are of unequal length") from None
    if array.dtype == object:
        for place in np.ndindex(array.shape):
            as_number(array[place], f"fit: {name}{list(place)}")
        array = array.astype(float)
    if array.dtype.kind == "b":
        array = array.astype(int)
    _refuse_other(array, name)
    _refuse_not_finite([(0, array)], name)
    return array


def _refuse_other(array: Any, name: str) -> None:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"fit: {name} holds real numbers, not {array.dtype}")
    if not array.ndim:
        raise TypeError(f"fit: {name} is a list or an array with an entry for each sample, not one number")


def _refuse_not_finite(blocks: Iterable[tuple[int, np.ndarray[Any, Any]]], name: str) -> None:
    """ValueError for the first number that is not finite; each block comes with its place in the whole."""
    first, count = "", 0
    for start, block in blocks:
        bad = np.argwhere(~np.isfinite(block))
        count += len(bad)
        if len(bad) and not first:
            row, *place = bad[0].tolist()
            first = f"{name}{[start + row, *place]} is {float(block[(row, *place)])!r}"
    if first:
        raise ValueError(
            f"fit: {first}, the first of {count} that are not finite; fill them in, or leave their samples "
            "out"
        )
