"""``fit``: descend the cost of a net over samples; full batch, mini-batches or one sample at a time.

A step happens whole or not at all. It first computes the cost and all gradients of its batch, in which
nothing of the net changes and Ctrl-C may strike; then the update is applied with Ctrl-C held back. What
a run is made of (parameters, optimiser, generator, place in the epoch, history) is plain data between
two steps, so that a checkpoint taken there continues bit for bit.

The cost and the gradients of a batch come from an engine, the one place that knows how they are
computed: :mod:`microbp.engines`.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple

import numpy as np

from microbp.descent import Descent, Numbers, ValueDescent, vectorised
from microbp.differentiate import grad
from microbp.engines import ENGINES, EagerEngine, Engine, Samples
from microbp.errors import MicrobpError, UndefinedOperation
from microbp.graph import Graph, Node
from microbp.losses import LOSSES, Loss
from microbp.optim import SGD, Optimiser
from microbp.record import record_sites
from microbp.spelling import did_you_mean
from microbp.value import Value, as_number, describe

__all__ = ["Engine", "History", "NotFinite", "Samples", "fit"]


# ------------------------------------------------------------------------------ what comes of a run
@dataclass(frozen=True)
class History:
    """What happened in a run, as plain data: ``dataclasses.asdict(history)`` goes through JSON.

    Epochs and steps are counted from 1 in texts and in ``best_epoch``; ``cost[0]`` is that of epoch 1.
    """

    #: Of each finished epoch: the mean over its samples of the costs of its steps. Each of these is the
    #: cost, penalty included, before its update; with one step to an epoch it is the cost itself.
    cost: list[float] = field(default_factory=list)
    #: Of each finished epoch: the loss over the validation samples at its end, without the penalty.
    validation_cost: list[float] = field(default_factory=list)
    #: Of each step.
    step_cost: list[float] = field(default_factory=list)
    #: Of each step.
    learning_rate: list[float] = field(default_factory=list)
    #: Of each step, before clipping; empty without ``clip``.
    gradient_norm: list[float] = field(default_factory=list)
    #: The samples that ``validation=fraction`` has set apart, by their index in X.
    validation_rows: list[int] = field(default_factory=list)
    #: Why it ended: "epochs", "tolerance", "patience", "interrupted" or "not finite".
    stopped: str = ""
    #: Which parameters are in the net: "last", those after the last whole step, or "best".
    kept: str = ""
    #: The epoch of the lowest cost (validation cost, if there is one); None before the first ended.
    best_epoch: int | None = None
    #: All of that in a sentence.
    message: str = ""
    #: How gradients were computed: "replay", "eager", or "eager" and why replay stepped aside.
    engine: str = ""

    def __str__(self) -> str:
        return self.message


class NotFinite(MicrobpError, FloatingPointError):
    """A cost, a gradient or an update is nan or infinite, or cannot be computed at all.

    The net holds the parameters that led there, so that the sample shows it again.
    """

    def __init__(
        self, message: str, history: History, epoch: int, step: int | None, sample: int | None
    ) -> None:
        super().__init__(message)
        self.history = history
        #: Counted from 1.
        self.epoch = epoch
        #: Counted from 1 in each epoch; None where a validation cost is not finite.
        self.step = step
        #: The first sample that shows it by itself, by its index in X; None if there is none.
        self.sample = sample

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.history, self.epoch, self.step, self.sample)


# ------------------------------------------------------------------------------------------ the call
def fit(
    net: Any,
    X: Any,
    Y: Any,
    *,
    loss: str | Loss,
    optimiser: Optimiser | None = None,
    epochs: int = 100,
    batch_size: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    penalty: float = 0.0,
    clip: float | None = None,
    validation: float | tuple[Any, Any] | None = None,
    tolerance: float | None = None,
    patience: int | None = None,
    keep: Literal["best", "last"] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 30.0,
    resume: str | Path | None = None,
    progress: bool | None = None,
    engine: str = "auto",
) -> History:
    """Train ``net`` on the samples X and their targets Y in place; the :class:`History` of it.

    >>> from microbp.nn import MLP
    >>> net = MLP(2, [4, 1], activation="tanh", seed=1)
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [-1, 1, 1, -1]
    >>> history = fit(net, X, Y, loss="hinge", optimiser=SGD(net.parameters(), lr=0.5), epochs=60)
    >>> [net(x) > 0 for x in X]
    [False, True, True, False]
    >>> print(history)
    60 epochs of 1 step, cost 0.985 to 0: all epochs are done. The net holds the last parameters.

    **The net** is a Module, or anything else with ``parameters()``. It is called with one sample, a list
    of floats (a float where X has one dimension), and returns a Value or a list of Values. A net whose
    attribute ``takes_batches`` is true is called with a whole batch instead, a float array of the shape
    ``(batch, …)``, and returns Values of the shape ``(batch, outputs)``; so is the ``predict`` of a net
    that cannot be called, such as :class:`microbp.layers.TwoLayerNet`. Before the run the net is given
    the first sample once, to see that all fits together.

    **The cost** is ``loss`` (a name in :data:`microbp.losses.LOSSES`, or a function of predictions of
    the shape ``(batch, outputs)`` and a list of targets that returns one Value, a mean over the batch)
    plus ``penalty`` times Σ w² over the parameters. ``clip`` bounds the norm of the gradients.

    **The steps.** ``batch_size`` samples make a step: None takes all of them, 1 is stochastic descent in
    its strict sense; the last batch of an epoch holds what is left. With ``shuffle``, the order of each
    epoch with more than one step is drawn from a generator with ``seed``. The optimiser is plain SGD
    with a learning rate of 0.1 unless given.

    **The end** comes after ``epochs``; or as soon as the costs of two neighbouring epochs differ by less
    than ``tolerance``; or when the validation cost has not fallen below its minimum for ``patience`` epochs.
    ``validation`` is a pair (X, Y), or the fraction of the samples to set apart, drawn by ``seed``.
    Ctrl-C ends the run too, and the history comes back as ever, ``stopped == "interrupted"``.

    **What the net holds then**: after a run with validation, or one that Ctrl-C has ended, the *best*
    parameters, else the *last*, those after the last whole step; ``keep`` says otherwise. The best are
    those at the end of the epoch with the lowest validation cost. Without validation they are those of
    the lowest ``cost``: with one step to an epoch the very parameters that it was computed for, else those
    at the end of its epoch; if no epoch was finished, the last.

    **Checkpoints** are JSON, written in one move to the file ``checkpoint`` between two steps, every
    ``checkpoint_every`` seconds and at the end. ``resume`` continues from one as if nothing had been in
    between, bit for bit, given the same net, data and settings; those that end the run may differ.

    **The engine**: ``"auto"`` records the cost of one sample and replays it for all (``microbp.compile``),
    which is equal to recording every sample but for rounding; it records every sample where a net cannot be
    replayed, such as one that compares Values or does not treat each sample by itself, and
    ``history.engine`` and the history's text say why. ``"eager"`` records in any case. In a replayed run the
    parameters are one vector from step to step; the net's Values follow at each validation and checkpoint,
    and whenever the run ends, be it by an error.

    **Progress**: None shows a bar for work of more than a second on a terminal and nothing elsewhere;
    True shows it at once, or one line at the end where there is no terminal; False nothing.

    Raises ValueError or TypeError, before any parameter is touched, where anything given does not fit;
    :class:`NotFinite` where a cost or a gradient is nan or infinite, before the parameters are touched
    by that step, with the first sample and the first operation that show it.
    """
    run = _Run(
        net, X, Y, loss, optimiser, epochs, batch_size, shuffle, seed, penalty, clip, validation,
        tolerance, patience, keep, checkpoint, checkpoint_every, resume, engine,
    )  # fmt: skip
    return run.go(progress)


# ------------------------------------------------------------------------------------------ the run
def _engine(name: str) -> type[Engine]:
    """The engine of that name."""
    if name not in ENGINES:
        raise ValueError(f"fit: no engine is called {name!r}; there are {', '.join(ENGINES)}")
    return ENGINES[name]


class _Best(NamedTuple):
    """The lowest cost so far, and the parameters that are kept for it."""

    cost: float
    epoch: int
    parameters: Numbers


class _Run:
    """One run: everything is checked when it is made, and :meth:`go` does the work."""

    def __init__(
        self,
        net: Any,
        X: Any,
        Y: Any,
        loss: str | Loss,
        optimiser: Optimiser | None,
        epochs: int,
        batch_size: int | None,
        shuffle: bool,
        seed: int,
        penalty: float,
        clip: float | None,
        validation: Any,
        tolerance: float | None,
        patience: int | None,
        keep: str | None,
        checkpoint: str | Path | None,
        checkpoint_every: float,
        resume: str | Path | None,
        engine: str,
    ) -> None:
        self.names, self.parameters = _parameters(net)
        if optimiser is None:
            optimiser = SGD(dict(zip(self.names, self.parameters, strict=True)), lr=0.1)
        self.optimiser = _optimiser(optimiser, self.parameters)
        self.trained = [each for _, each in self.optimiser.parameters if each.requires_grad]
        if not self.trained:
            raise ValueError(
                f"fit: all {len(self.optimiser.parameters)} parameters of the optimiser are frozen "
                "(requires_grad is False), so that nothing can be learned"
            )
        self.loss = _loss(loss)
        self.epochs = _whole(epochs, "epochs")
        self.seed = _whole(seed, "seed", least=0)
        self.penalty = _number(penalty, "penalty", least=0.0)
        self.clip = None if clip is None else _number(clip, "clip")
        self.tolerance = None if tolerance is None else _number(tolerance, "tolerance")
        self.patience = None if patience is None else _whole(patience, "patience")
        self.checkpoint_every = _number(checkpoint_every, "checkpoint_every", least=0.0)
        if keep not in (None, "best", "last"):
            raise ValueError(f"fit: keep is 'best', 'last' or None, not {keep!r}")
        self.keep = keep

        self.generator = np.random.default_rng(self.seed)
        self.samples = _samples(X, Y, "")
        self.rows = list(range(len(self.samples.x)))
        self.validation_rows: list[int] = []
        self.validation = self._validation(validation)
        if patience is not None and self.validation is None:
            raise ValueError("fit: patience watches the validation cost; give validation as well")
        self.batch_size = len(self.rows) if batch_size is None else _whole(batch_size, "batch_size")
        if self.batch_size > len(self.rows):
            raise ValueError(
                f"fit: batch_size is {self.batch_size}, but there are {len(self.rows)} samples to learn "
                "from; None takes all of them"
            )
        self.steps = math.ceil(len(self.rows) / self.batch_size)
        self.shuffle = bool(shuffle) and self.steps > 1

        # The state between two steps.
        self.epoch = self.place = 0
        self.drawn_from = self.generator.bit_generator.state
        self.order = self._draw()
        self.best: _Best | None = None
        self.cost: list[float] = []
        self.validation_cost: list[float] = []
        self.step_cost: list[float] = []
        self.learning_rate: list[float] = []
        self.gradient_norm: list[float] = []

        self.engine = _engine(engine)(net, self.loss, self.parameters, self.penalty)
        self.eager = EagerEngine(net, self.loss, self.parameters, self.penalty)  # to look at single samples
        self.by_value = ValueDescent(self.engine, self.optimiser, self.parameters)
        self.descent: Descent = self.by_value
        self._check_that_all_fits()
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        if self.checkpoint is not None and not self.checkpoint.parent.is_dir():
            raise FileNotFoundError(f"fit: the directory of checkpoint={str(checkpoint)!r} does not exist")
        if resume is not None:
            self._load(Path(resume))
        self._check_schedule()

    # ---------------------------------------------------------------------------- what is checked
    def _validation(self, validation: Any) -> tuple[Samples, list[int]] | None:
        if validation is None:
            return None
        if isinstance(validation, tuple | list):
            if len(validation) != 2:
                raise ValueError(f"fit: validation is a pair (X, Y), not {len(validation)} items")
            apart = _samples(validation[0], validation[1], "validation ")
            here, there = self.samples.array.shape, apart.array.shape
            if here[1:] != there[1:]:
                raise ValueError(f"fit: X has the shape {here}, but the validation X {there}")
            return apart, list(range(len(apart.x)))
        fraction, n = as_number(validation, "fit: validation"), len(self.rows)
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"fit: validation={validation!r} is no fraction between 0 and 1")
        count = round(fraction * n)
        if not 0 < count < n:
            raise ValueError(
                f"fit: validation={validation!r} of {n} samples sets {count} apart and leaves {n - count}"
            )
        order = self.generator.permutation(n).tolist()
        self.validation_rows = sorted(order[:count])
        self.rows = sorted(order[count:])
        return self.samples, self.validation_rows

    def _check_that_all_fits(self) -> None:
        """The net takes a sample, and the loss what it returns, with every target there is."""
        try:
            first = self.eager.predictions(self.samples, self.rows[:1])[0]
        except ArithmeticError:
            return  # undefined for this sample: the first step says so, and where
        except (TypeError, ValueError, IndexError) as error:
            shape = self.samples.array.shape
            hint = "; a net of one input takes [[x] for x in X]" if len(shape) == 1 else ""
            raise ValueError(
                f"fit: the net does not take the samples of X, whose shape is {shape}: {error}{hint}"
            ) from error
        for samples in {id(each): each for each in (self.samples, *(self.validation or ())[:1])}.values():
            try:
                cost = self.loss([first] * len(samples.y), samples.y)
            except ArithmeticError:
                continue
            if not isinstance(cost, Value):
                kind = type(cost).__name__
                raise TypeError(f"fit: the loss returns one Value, not an object of type {kind}")

    def _check_schedule(self) -> None:
        """A schedule that has run out is an error now, not after hours."""
        left = (self.epochs - self.epoch) * self.steps - self.place
        last = self.optimiser.steps + left - 1
        if callable(self.optimiser.lr) and left > 0:
            rate = self.optimiser.lr(last)
            if not 0.0 < rate < math.inf:
                raise ValueError(
                    f"fit: {self.epochs} epochs end with step {last + 1} of the optimiser, for which its "
                    f"schedule gives the learning rate {rate!r}; it must be positive and finite"
                )

    # ------------------------------------------------------------------------------ from step to step
    def go(self, progress: bool | None) -> History:
        """Run to the end, whichever it is, and leave Ctrl-C and the collector as they were."""
        self.interrupts, collecting = _Interrupts(), gc.isenabled()
        try:
            try:
                self.interrupts.start()
                with _Bar(progress, self.epochs, self.steps) as self.bar:
                    return self._end(self._descend())
            finally:
                self.interrupts.hold()
        finally:  # nothing strikes here any more, unless it has just struck in the line above
            self.descent.settle()
            if collecting:
                gc.enable()
            self.interrupts.stop()

    def _descend(self) -> str:
        """Step by step, until there is a reason to stop; what follows is whole again."""
        self.written = time.monotonic()
        try:
            while not (reason := self._reason_to_stop()):
                if self.place < self.steps:
                    self._step()
                else:
                    self._validate()
                if time.monotonic() - self.written >= self.checkpoint_every:
                    with self.interrupts.held():
                        self._save()
            self.interrupts.hold()
        except KeyboardInterrupt:
            self.interrupts.hold()
            return "interrupted"
        return reason

    def _end(self, stopped: str) -> History:
        """Write the checkpoint, set the parameters that are kept, and say so."""
        self._save()
        kept = self.keep or ("best" if self.validation or stopped == "interrupted" else "last")
        if kept == "best" and self.best is not None:
            self._set(self.descent.listed(self.best.parameters))
        else:
            kept = "last"
        history = self._history(stopped, kept)
        self.bar.end(history)
        return history

    def _reason_to_stop(self) -> str:
        if self.place == 0 and self.epoch > 0:
            if self.tolerance is not None and self._change() < self.tolerance:
                return "tolerance"
            if self.patience is not None and self.best and self.epoch - self.best.epoch >= self.patience:
                return "patience"
        return "epochs" if self.epoch >= self.epochs else ""

    def _change(self) -> float:
        """By how much the costs of the last two epochs differ."""
        return abs(self.cost[-1] - self.cost[-2]) if len(self.cost) > 1 else math.inf

    def _draw(self) -> list[int]:
        """The order of an epoch; ``drawn_from`` is what the generator was before."""
        self.drawn_from = self.generator.bit_generator.state
        if not self.shuffle:
            return self.rows
        return [self.rows[each] for each in self.generator.permutation(len(self.rows))]

    def _step(self) -> None:
        rows = self.order[self.place * self.batch_size : (self.place + 1) * self.batch_size]
        try:
            cost = self.descent.gradients(self.samples, rows)
        except UndefinedOperation as error:
            raise self._not_finite("the cost has no value", rows) from error
        if not math.isfinite(cost):
            raise self._not_finite(f"the cost is {cost!r}", rows)
        if not self.descent.finite():
            raise self._not_finite(f"the cost is {cost!r}, but {self._bad_gradient()}", rows, gradients=True)
        with self.interrupts.held():
            numbers = self.descent.numbers()
            try:
                rate = self.optimiser.rate
                norm = self.descent.step(rate, self.clip)
            except FloatingPointError as error:
                raise self._not_finite(str(error), []) from error
            self.step_cost.append(cost)
            self.learning_rate.append(rate)
            if norm is not None:
                self.gradient_norm.append(norm)
            self.place += 1
            if self.place == self.steps and self.validation is None:
                costs_these = self.steps == 1  # the parameters before the update
                self._end_epoch(numbers if costs_these else self.descent.numbers())
            if self.descent is self.by_value:
                self.descent = vectorised(self.by_value)
        self.bar.show(self.epoch, self.place, cost)

    def _validate(self) -> None:
        """The end of an epoch in a run with validation."""
        assert self.validation is not None
        samples, rows = self.validation
        self.descent.settle()
        try:
            cost = self.engine.cost(samples, rows)
        except UndefinedOperation as error:
            raise self._not_finite("the validation cost has no value", rows, samples) from error
        if not math.isfinite(cost):
            raise self._not_finite(f"the validation cost is {cost!r}", rows, samples)
        with self.interrupts.held():
            self.validation_cost.append(cost)
            self._end_epoch(self.descent.numbers())

    def _end_epoch(self, parameters: Numbers) -> None:
        """The epoch's cost is known, and ``parameters`` are those that it stands for."""
        self.cost.append(self._epoch_cost())
        self.epoch, self.place, self.order = self.epoch + 1, 0, self._draw()
        measured = self.cost[-1] if self.validation is None else self.validation_cost[-1]
        if self.best is None or measured < self.best.cost:
            self.best = _Best(measured, self.epoch, parameters)

    def _bad_gradient(self) -> str:
        self.descent.settle()
        for name, parameter in self.optimiser.parameters:
            if parameter.requires_grad and not math.isfinite(parameter.grad or 0.0):
                return f"the gradient of {name} is {parameter.grad!r}"
        raise AssertionError

    def _epoch_cost(self) -> float:
        costs = self.step_cost[-self.steps :]
        if self.steps == 1:
            return costs[0]
        last = len(self.rows) - (self.steps - 1) * self.batch_size
        return (math.fsum(costs[:-1]) * self.batch_size + costs[-1] * last) / len(self.rows)

    def _set(self, numbers: Sequence[float]) -> None:
        for parameter, number in zip(self.parameters, numbers, strict=True):
            parameter.data = number

    def _history(self, stopped: str, kept: str) -> History:
        steps = f"{self.steps} step{'s' * (self.steps > 1)}"
        why = {
            "epochs": "all epochs are done",
            "tolerance": f"the cost has changed by {self._change():.3g}, less than {self.tolerance!r}",
            "patience": f"the validation cost has not fallen for {self.patience} epochs",
            "interrupted": f"interrupted in epoch {self.epoch + 1} after {self.place} of {steps}",
            "not finite": "a number is not finite",
        }[stopped]
        course = f", cost {self.cost[0]:.3g} to {self.cost[-1]:.3g}" if self.cost else ""
        best = None if self.best is None else self.best.epoch
        holds = f"the best parameters, of epoch {best}" if kept == "best" else "the last parameters"
        epochs = f"{self.epoch} epoch{'s' * (self.epoch != 1)}"
        engine = self.engine.name
        aside = f" Each sample was recorded anew: {engine[7:-1]}." if engine.startswith("eager (") else ""
        return History(
            [*self.cost], [*self.validation_cost], [*self.step_cost], [*self.learning_rate],
            [*self.gradient_norm], [*self.validation_rows], stopped, kept, best,
            f"{epochs} of {steps}{course}: {why}. The net holds {holds}.{aside}", engine,
        )  # fmt: skip

    # --------------------------------------------------------------------------- numbers not finite
    def _not_finite(
        self, told: str, rows: Sequence[int], samples: Samples | None = None, *, gradients: bool = False
    ) -> NotFinite:
        """The error for a batch, whose samples are looked at one by one; for none, ``told`` is all."""
        self.interrupts.hold()
        self.descent.settle()
        where = f"epoch {self.epoch + 1} of {self.epochs}"
        step = None if samples else self.place + 1
        where += f", step {step} of {self.steps}" if step else ""
        found = None
        if rows:
            apart = samples is not None and samples is not self.samples
            found = _culprit(
                self.eager, samples or self.samples, rows, self.trained if gradients else []
            )
            if found:
                told += f". Sample {'validation ' * apart}X[{found[0]}] shows it by itself: {found[1]}"
            else:
                told += ". No sample shows it by itself: it is in their sum, or in the penalty"
            told += (
                ". The net holds the parameters that led there. Lower the learning rate, clip the gradients, "
                "or bring the data to a scale of about 1"
            )
        self._save()
        history = self._history("not finite", "last")
        return NotFinite(f"fit stopped in {where}: {told}", history, self.epoch + 1, step, found and found[0])

    # ---------------------------------------------------------------------------------- checkpoints
    @cached_property
    def _settings(self) -> dict[str, Any]:
        """All that must be the same for a run to continue bit for bit."""
        digest = hashlib.sha256()
        for samples, rows in [(self.samples, self.rows)] + ([self.validation] if self.validation else []):
            digest.update(samples.array.tobytes() + repr((samples.array.shape, samples.y, rows)).encode())
        return {
            "loss": getattr(self.loss, "__qualname__", type(self.loss).__qualname__),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "penalty": self.penalty,
            "clip": self.clip,
            "validation": 0 if self.validation is None else len(self.validation[1]),
            "samples": len(self.samples.x),
            "data": digest.hexdigest()[:16],
        }

    def _save(self) -> None:
        """Write the checkpoint, if one is wanted: a new file takes the place of the old in one move."""
        self.written = time.monotonic()
        self.descent.settle()
        if self.checkpoint is None:
            return
        numbers = [each.data for each in self.parameters]
        state = {
            "format": _FORMAT,
            "settings": self._settings,
            "parameters": dict(zip(self.names, numbers, strict=True)),
            "optimiser": self.optimiser.state(),
            "generator": self.drawn_from,
            "epoch": self.epoch,
            "place": self.place,
            "best": self.best and (*self.best[:2], self.descent.listed(self.best.parameters)),
            **{name: getattr(self, name) for name in _COURSE},
        }
        text = json.dumps(state)
        handle, new = tempfile.mkstemp(dir=self.checkpoint.parent, prefix=self.checkpoint.name, suffix=".new")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(new).replace(self.checkpoint)
        except BaseException:
            Path(new).unlink(missing_ok=True)
            raise

    def _load(self, path: Path) -> None:
        """Take over a checkpoint; ValueError, before anything is changed, where it does not fit."""
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            state = {}
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise ValueError(f"fit: {path} is no checkpoint of fit")
        for name, here in self._settings.items():
            there = state["settings"][name]
            if there != here:
                raise ValueError(f"fit: {path} was written with {name} = {there!r}; here it is {here!r}")
        if list(state["parameters"]) != self.names:
            odd = sorted({*self.names} ^ {*state["parameters"]})
            raise ValueError(
                f"fit: {path} has {len(state['parameters'])} parameters, the net {len(self.names)}; "
                + (f"only one of the two has {odd[0]}" if odd else "they stand in another order")
            )
        self.optimiser.load_state(state["optimiser"])
        self._set(list(state["parameters"].values()))
        self.generator.bit_generator.state = state["generator"]
        self.order = self._draw()
        self.epoch, self.place = state["epoch"], state["place"]
        self.best = None if state["best"] is None else _Best(*state["best"])
        for name in _COURSE:
            setattr(self, name, state[name])


_FORMAT = "microbp training checkpoint 1"
#: The lists that grow from step to step and from epoch to epoch.
_COURSE = ("cost", "validation_cost", "step_cost", "learning_rate", "gradient_norm")


# ------------------------------------------------------------------------- the first bad number
def _culprit(
    eager: EagerEngine, samples: Samples, rows: Sequence[int], trained: Sequence[Value]
) -> tuple[int, str] | None:
    """The first sample whose own cost, or gradient of a ``trained`` parameter, is not finite, and why."""
    were = record_sites(True)
    try:
        for row in rows:
            why = _fault(eager, samples, row, trained)
            if why:
                return row, why
    finally:
        record_sites(were)
    return None


def _fault(eager: EagerEngine, samples: Samples, row: int, trained: Sequence[Value]) -> str:
    try:
        cost = eager.record(samples, [row])
    except UndefinedOperation as error:
        return str(error)
    graph = Graph(cost)
    for node in graph:
        if not math.isfinite(node.data):
            return f"the first number that is not finite is {_told(graph, node)}"
    for parameter, gradient in zip(trained, grad(cost, trained) if trained else [], strict=True):
        if not math.isfinite(gradient):
            for node in reversed(graph.nodes):
                for operand, local in zip(node.operands, node.local_derivatives, strict=True):
                    if local is not None and not math.isfinite(local):
                        name = graph[int(operand)].name
                        return f"the local derivative in {name} is {local!r} at {_told(graph, node)}"
            return (
                f"the gradient of {describe(parameter)} is {gradient!r}, though every local derivative is "
                "finite: their product is beyond the largest float"
            )
    return ""


def _told(graph: Graph, node: Node) -> str:
    """``v5 = exp(v4) = inf, where v4 = 800.0 [train.py:12]``; the operands only where they are few."""
    text = graph.equation(node)
    if len(node.operands) > 4:
        text = f"{node.name} = {node.rule} = {node.data!r}"
    elif node.operands:
        operands = [graph[each] for each in node.operands if type(each) is int]
        text += ", where " + ", ".join(f"{each.name} = {each.data!r}" for each in operands)
    return text if node.site is None else f"{text} [{node.site}]"


# ----------------------------------------------------------------------------- Ctrl-C and progress
class _Interrupts:
    """Ctrl-C as ever, but not inside a ``with held()``: there it waits for the end of the block.

    Once it has struck, or :meth:`hold` was called, the run is being wound up, and it comes too late.
    Only the main thread receives signals; in any other there is nothing to hold back.
    """

    def __init__(self) -> None:
        self._previous: Callable[[int, FrameType | None], Any] | None = None
        self._holding = self._waiting = self._ending = False

    def start(self) -> None:
        """Take the place of the program's own handler; a ``finally`` has to :meth:`stop` that."""
        previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(previous):
            self._previous = previous
            signal.signal(signal.SIGINT, self._strike)

    def stop(self) -> None:
        """Give the place back, once nothing can strike any more."""
        if self._previous is not None and signal.getsignal(signal.SIGINT) == self._strike:
            signal.signal(signal.SIGINT, self._previous)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        if self._holding or self._ending:
            self._waiting = True
        elif self._previous is not None:
            self._ending = True
            self._previous(number, frame)
            self._ending = False  # a handler of the program's own, which did not raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """What happens inside happens whole."""
        before = self._holding
        self._holding = True
        try:
            yield
        finally:
            self._holding = before
        if self._waiting and not before:
            self._waiting = False
            self._strike(signal.SIGINT, None)

    def hold(self) -> None:
        """From here to the end of the run."""
        self._ending = True


class _Bar:
    """A progress bar on a terminal, through rich; elsewhere nothing, or one line at the end."""

    def __init__(self, progress: bool | None, epochs: int, steps: int) -> None:
        self._epochs, self._steps = epochs, steps
        terminal = bool(getattr(sys.stdout, "isatty", bool)())
        self._line = progress is True and not terminal
        self._due = math.inf
        if terminal and progress is not False:
            self._due = time.monotonic() + (0.0 if progress else 1.0)
        self._bar: Any = None

    def __enter__(self) -> _Bar:  # noqa: PYI034 (Self is newer than Python 3.10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, epoch: int, place: int, cost: float) -> None:
        """After each step; drawn at most ten times a second."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + 0.1
            self._draw(epoch * self._steps + place, f"{cost:.4g}")

    def end(self, history: History) -> None:
        """The bar as it ends, or the line."""
        if self._bar is not None:
            self._draw(len(history.step_cost), f"{history.step_cost[-1]:.4g}")
        elif self._line:
            sys.stdout.write(f"{history}\n")

    def _draw(self, steps: int, cost: str) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]} of {task.fields[epochs]}"), BarColumn(),
                TextColumn("cost {task.fields[cost]}"), TimeRemainingColumn(), auto_refresh=False,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task("", total=self._epochs * self._steps, epochs=self._epochs, epoch=1, cost=cost)
        epoch = min(self._epochs, steps // self._steps + 1)
        self._bar.update(self._bar.task_ids[0], completed=steps, epoch=epoch, cost=cost, refresh=True)


# ------------------------------------------------------------------------------------ what is given
def _parameters(net: Any) -> tuple[list[str], list[Value]]:
    """The net's parameters with their names: their paths in a Module, else as they are called."""
    kind = type(net).__name__
    if not callable(getattr(net, "parameters", None)):
        raise TypeError(f"fit: a net has parameters(), as a Module does; an object of type {kind} has none")
    if not callable(net) and not callable(getattr(net, "predict", None)):
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
            raise TypeError(f"fit: the parameter {name} is an object of type {kind}, not a Value")
        if not math.isfinite(parameter.data):
            raise ValueError(f"fit: the parameter {name} is {parameter.data!r} to begin with")
    return list(named), list(named.values())


def _optimiser(optimiser: Any, parameters: Sequence[Value]) -> Optimiser:
    if not isinstance(optimiser, Optimiser):
        kind = type(optimiser).__name__
        raise TypeError(
            f"fit: the optimiser is one such as SGD(net.parameters(), lr=0.1), not an object of type {kind}"
        )
    known = {id(each) for each in parameters}
    for name, parameter in optimiser.parameters:
        if id(parameter) not in known:
            raise ValueError(f"fit: the optimiser changes {name}, which is no parameter of this net")
    _ = optimiser.rate  # refused here if it is not positive and finite
    return optimiser


def _loss(loss: Any) -> Loss:
    if callable(loss):
        function: Loss = loss
        return function
    if loss in LOSSES:
        return LOSSES[loss]
    hint = did_you_mean(loss, LOSSES) or f"there are {', '.join(LOSSES)}"
    raise ValueError(f"fit: no loss is called {loss!r}; {hint}")


def _samples(X: Any, Y: Any, which: str) -> Samples:
    x, y = _array(X, f"{which}X"), _array(Y, f"{which}Y")
    if len(x) != len(y):
        raise ValueError(f"fit: {which}X has {len(x)} samples, but {which}Y has {len(y)} targets")
    if not x.size:
        raise ValueError(f"fit: {which}X is empty; its shape is {x.shape}")
    return Samples(x.astype(float), x.astype(float).tolist(), y.tolist())


def _array(data: Any, name: str) -> np.ndarray[Any, Any]:
    """Real and finite numbers as an array, whole numbers as such."""
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
    if array.dtype.kind not in "iuf":
        raise TypeError(f"fit: {name} holds real numbers, not {array.dtype}")
    if not array.ndim:
        raise TypeError(f"fit: {name} is a list or an array with an entry for each sample, not one number")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = bad[0].tolist()
        number = float(array[tuple(place)])
        raise ValueError(
            f"fit: {name}{place} is {number!r}, the first of {len(bad)} that are not finite; fill them in, "
            "or leave their samples out"
        )
    return array


def _whole(x: Any, what: str, least: int = 1) -> int:
    if not isinstance(x, int) or isinstance(x, bool) or x < least:
        raise ValueError(f"fit: {what} is a whole number from {least} up, not {x!r}")
    return x


def _number(x: Any, what: str, least: float | None = None) -> float:
    """A finite number: positive, or from ``least`` up."""
    number = as_number(x, f"fit: {what}")
    if not (0.0 < number < math.inf if least is None else least <= number < math.inf):
        bound = "positive and finite" if least is None else f"finite and at least {least:g}"
        raise ValueError(f"fit: {what} is {bound}, not {number!r}")
    return number
