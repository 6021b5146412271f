"""What ``fit`` is given, checked: the settings, one frozen record; the net, its optimiser and its samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from inspect import unwrap
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microbp.array.loops import masked, unequal
from microbp.labels import Named
from microbp.losses import LOSSES, Loss
from microbp.nn import Module, told_by_paths
from microbp.node import numbers_of
from microbp.optim import NOT_NEGATIVE, POSITIVE, SGD, Optimiser, checked, of_net, whole
from microbp.text import did_you_mean, shown
from microbp.training.engines import Batch, EagerEngine, Rows, Samples
from microbp.training.stored import Stored, is_lazy, is_stored
from microbp.value import Value, as_number

__all__ = [
    "Settings", "check_schedule", "check_that_all_fits", "optimiser_for", "parameters_of", "refuse",
    "samples_of", "split",
]  # fmt: skip

#: So many targets are looked at at once.
_AT_ONCE = 1 << 16
#: The settings that are one of a few words.
_WORDS = {
    "shuffle": (True, False), "progress": (True, False, None), "keep": ("best", "last", None),
    "engine": ("auto", "replay", "eager"),
}  # fmt: skip
#: The settings that are whole numbers, and the least that each may be; and those that are real ones.
_NUMBERS: dict[str, Any] = {
    "epochs": 1, "seed": 0, "threads": 1, "batch_size": 1, "patience": 1,
    "penalty": NOT_NEGATIVE, "checkpoint_every": NOT_NEGATIVE, "clip": POSITIVE, "tolerance": POSITIVE,
}  # fmt: skip


def refuse(wrong: object, told: str, kind: type[Exception] = ValueError) -> None:
    """An error, where something is wrong."""
    if wrong:
        raise kind(f"fit: {told}")


@dataclass(frozen=True)
class Settings:
    """How a net is to be trained; see :func:`fit`.

    >>> Settings("hinge", batch_size=8).epochs
    100

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
    #: "auto" is replay where that is sure to be right, else eager; "replay" is an error where it is not.
    engine: Literal["auto", "replay", "eager"] = "auto"
    #: A Client of Dask, whose workers compute the gradients.
    client: Any = None
    #: Over how many threads the machine in C spreads a batch.
    threads: int = 1

    def __post_init__(self) -> None:
        kept: dict[str, Any] = {}
        for what, bound in _NUMBERS.items():
            held = getattr(self, what)
            if held is not None or getattr(Settings, what) is not None:
                kept[what] = (whole if isinstance(bound, int) else checked)(held, f"fit: {what}", bound)
        paths = ((what, getattr(self, what)) for what in ("checkpoint", "resume"))
        vars(self).update(kept, **{what: Path(path) for what, path in paths if path is not None})
        _ = self.cost
        for what, words in _WORDS.items():
            held = getattr(self, what)
            *others, last = map(repr, words)
            refuse(held not in words, f"{what} is {', '.join(others)} or {last}, not {held!r}")
        alone = self.patience is not None and self.validation is None
        refuse(alone, "patience watches the validation cost; give validation as well")
        idle = self.client is not None and not callable(getattr(self.client, "submit", None))
        refuse(idle, f"client is a dask.distributed.Client, not {self.client!r}", TypeError)
        idle = self.client is not None and self.engine == "eager"
        refuse(idle, "engine='eager' records samples here, and leaves a client nothing to do")

    @property
    def cost(self) -> Loss:
        """The loss as a function."""
        if callable(self.loss):
            return self.loss
        if isinstance(self.loss, str) and self.loss in LOSSES:
            return LOSSES[self.loss]
        hint = did_you_mean(self.loss, LOSSES) or f"there are {', '.join(LOSSES)}"
        raise ValueError(f"fit: no loss is called {shown(repr(self.loss))}; {hint}")


def parameters_of(net: Any) -> Named:
    """The net's parameters by name: their paths in a Module, else as they are called."""
    kind, predict = type(net).__name__, getattr(net, "predict", None)
    told = f"a net is an object, such as MLP(2, [1]); {getattr(net, '__name__', kind)} is a class"
    refuse(isinstance(net, type), told, TypeError)
    told = f"a net has parameters(), as a Module does; an object of type {kind} has none"
    refuse(not callable(getattr(net, "parameters", None)), told, TypeError)
    predicts = callable(predict) and getattr(predict, "__func__", 0) is not Module.predict
    told = f"a net can be called, or has predict(batch); an object of type {kind} neither"
    told += "; call its forward __call__" * hasattr(net, "forward")
    refuse(not callable(net) and not predicts, told, TypeError)
    named = of_net(net, f"fit: {kind}.parameters()")
    if not told_by_paths(net) and len({*named.names}) < len(named.values):
        named = Named(named.values, [None] * len(named.values))
    numbers = numbers_of(named.values)
    for at in np.flatnonzero(~np.isfinite(numbers))[:1]:
        refuse(True, f"the parameter {shown(named.names[at])} is {float(numbers[at])!r} to begin with")
    return named


def optimiser_for(optimiser: Any, named: Named) -> Optimiser:
    """The optimiser, which changes parameters of this net only; plain SGD for None."""
    made: Optimiser = SGD(named, lr=0.1) if optimiser is None else optimiser
    kind = f"an object of type {type(made).__name__}"
    kind = f"the class {made.__name__}" if isinstance(made, type) else kind
    told = f"the optimiser is one such as SGD(net.parameters(), lr=0.1), not {kind}"
    refuse(not isinstance(made, Optimiser), told, TypeError)
    known, leaves = {*map(id, named.values)}, made.leaves()
    if not known.issuperset(map(id, leaves)):
        other = next(name for name, each in made.parameters if id(each) not in known)
        told = f"{shown(other)}, which it changes, is no parameter of this one"
        raise ValueError(f"fit: the optimiser was made for another net: {told}")
    told = f"all {len(leaves)} parameters of the optimiser are frozen (requires_grad is False)"
    idle = not any(each.requires_grad for each in leaves)
    refuse(idle, f"{told}, so that nothing can be learned")
    _ = made.rate  # refused here if it is not positive and finite
    return made


def check_schedule(optimiser: Optimiser, left: int, settings: Settings) -> None:
    """A schedule that runs out in the steps that are ``left`` is an error now, not after hours."""
    last = optimiser.steps + left - 1
    if callable(optimiser.lr) and left > 0:
        rate = as_number(optimiser.lr(last), f"fit: the learning rate after {last} steps")
        told = f"{settings.epochs} epochs end with step {last + 1} of the optimiser, for which its schedule"
        told += f" gives the learning rate {rate!r}; it must be positive and finite"
        refuse(not 0.0 < rate < math.inf, told)


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
    apart = [(validation[0], "fit: validation Y: ")] if validation and validation[0] is not samples else []
    for each, where in [(samples, ""), *apart]:
        different: Any = slice(None)
        if unwrap(eager.loss) in LOSSES.values():  # which look at each target by itself
            whole_rows = np.ascontiguousarray(each.y.reshape(len(each.y), -1)).view(f"V{each.y[:1].nbytes}")
            different = [*{row: at for at, row in enumerate(whole_rows.ravel().tolist())}.values()]
        different = each.y[different].tolist()
        try:
            for start in range(0, len(different), _AT_ONCE):
                part = different[start : start + _AT_ONCE]
                cost = eager.loss([first] * len(part), part)
        except ArithmeticError:
            continue
        except ValueError:
            try:
                eager.loss([first] * len(each.y), each.y.tolist())  # which names the place among all
            except ValueError as error:
                raise ValueError(f"{where}{error}") from error
            raise
        told = f"the loss returns one Value, not an object of type {type(cost).__name__}"
        refuse(not isinstance(cost, Value), told, TypeError)


def samples_of(X: Any, Y: Any, which: str) -> Samples:
    """Samples with a target each; ``which`` stands before X and Y in an error: "validation "."""
    x, y = _array(X, f"{which}X"), _array(np.asarray(Y) if is_stored(Y) else Y, f"{which}Y")
    refuse(len(x) != len(y), f"{which}X has {len(x)} samples, but {which}Y has {len(y)} targets")
    refuse(not x.size, f"{which}X is empty; its shape is {x.shape}")
    return Samples(x if isinstance(x, Stored) else x.astype(float), y.copy())  # which may change there


def split(samples: Samples, validation: Any, draw: np.random.Generator) -> tuple[Rows, Batch | None]:
    """The rows to learn from; and the samples for validation, given as a pair or as a fraction of these."""
    n = len(samples.y)
    if validation is None:
        return np.arange(n), None
    if isinstance(validation, tuple | list):
        refuse(len(validation) != 2, f"validation is a pair (X, Y), not {len(validation)} items")
        apart = samples_of(validation[0], validation[1], "validation ")
        here, there = samples.array.shape, apart.array.shape
        refuse(here[1:] != there[1:], f"X has the shape {here}, but the validation X {there}")
        return np.arange(n), (apart, np.arange(len(apart.y)))
    within = isinstance(validation, Real) and 0.0 < float(validation) < 1.0
    told = "is no fraction between 0 and 1, nor a pair (X, Y)"
    refuse(not within, f"validation={shown(repr(validation))} {told}")
    count = round(validation * n)
    told = f"validation={validation!r} of {n} samples sets {count} apart and leaves {n - count}"
    refuse(not 0 < count < n, told)
    order = draw.permutation(n)
    return np.sort(order[count:]), (samples, np.sort(order[:count]))


def _array(data: Any, name: str) -> Any:
    """Real and finite numbers as an array, whole numbers as such; what is stored stays where it is."""
    if is_stored(data):
        array: Any = Stored(data)
    else:
        refuse(masked(data), f"{name} has masked entries; fill them in, or leave their samples out")
        try:
            array = np.asarray(data)
        except ValueError:
            told = f"fit: the rows of {name} are of unequal length{unequal(data, name)}"
            raise ValueError(told) from None
        told = f"{name} is a list or an array with an entry for each sample, not an object of type "
        refuse(not array.ndim, told + type(data).__name__, TypeError)
        if array.dtype == object:
            for place in np.ndindex(array.shape):
                as_number(array[place], f"fit: {name}{list(place)}")
            array = array.astype(float)
        array = array.astype(int) if array.dtype.kind == "b" else array
    refuse(array.dtype.kind not in "biuf", f"{name} holds real numbers, not {array.dtype}", TypeError)
    first, count = "", 0
    # of a Dask array the workers tell what is not finite, when they come to it
    for start, block in [] if is_lazy(data) else array.blocks() if is_stored(data) else [(0, array)]:
        bad = np.argwhere(~np.isfinite(block))
        if len(bad) and not count:
            row, *place = bad[0].tolist()
            first = f"{name}{[start + row, *place]} is {float(block[(row, *place)])!r}"
        count += len(bad)
    told = f"{first}, the first of {count} that are not finite; fill them in, or leave their samples out"
    refuse(count, told)
    return array
