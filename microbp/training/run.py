"""One run of ``fit``, from step to step."""

from __future__ import annotations

import gc
import hashlib
import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microbp.descent import Descent, Numbers, ValueDescent, vectorised
from microbp.engines import EagerEngine, Samples
from microbp.errors import NotLoaded, NotSavedWarning, UndefinedOperation
from microbp.files import refuse_unwritable
from microbp.lazy import cached_property
from microbp.losses import Loss
from microbp.optim import SGD, Optimiser
from microbp.safe import shown
from microbp.sites import user_level
from microbp.training.checkpoint import read_checkpoint, write_checkpoint
from microbp.training.culprit import culprit
from microbp.training.given import (
    engine_called,
    loss_called,
    number_of,
    optimiser_for,
    parameters_of,
    samples_of,
    whole,
)
from microbp.training.history import History, NotFinite
from microbp.training.interrupts import Interrupts
from microbp.training.progress import Bar
from microbp.value import Value, as_number

__all__ = ["Run"]


class _Best(NamedTuple):
    """The lowest cost so far, and the parameters that are kept for it."""

    cost: float
    epoch: int
    parameters: Numbers


class Run:
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
        self.names, self.parameters = parameters_of(net)
        if optimiser is None:
            optimiser = SGD(dict(zip(self.names, self.parameters, strict=True)), lr=0.1)
        self.optimiser = optimiser_for(optimiser, self.parameters)
        self.trained = [each for _, each in self.optimiser.parameters if each.requires_grad]
        if not self.trained:
            raise ValueError(
                f"fit: all {len(self.optimiser.parameters)} parameters of the optimiser are frozen "
                "(requires_grad is False), so that nothing can be learned"
            )
        self.loss = loss_called(loss)
        self.epochs = whole(epochs, "epochs")
        self.seed = whole(seed, "seed", least=0)
        self.penalty = number_of(penalty, "penalty", least=0.0)
        self.clip = None if clip is None else number_of(clip, "clip")
        self.tolerance = None if tolerance is None else number_of(tolerance, "tolerance")
        self.patience = None if patience is None else whole(patience, "patience")
        self.checkpoint_every = number_of(checkpoint_every, "checkpoint_every", least=0.0)
        if keep not in (None, "best", "last"):
            raise ValueError(f"fit: keep is 'best', 'last' or None, not {keep!r}")
        self.keep = keep

        self.generator = np.random.default_rng(self.seed)
        self.samples = samples_of(X, Y, "")
        self.rows = list(range(len(self.samples.x)))
        self.validation_rows: list[int] = []
        self.validation = self._validation(validation)
        if patience is not None and self.validation is None:
            raise ValueError("fit: patience watches the validation cost; give validation as well")
        self.batch_size = len(self.rows) if batch_size is None else whole(batch_size, "batch_size")
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

        self.engine = engine_called(engine)(net, self.loss, self.parameters, self.penalty)
        self.eager = EagerEngine(net, self.loss, self.parameters, self.penalty)  # to look at single samples
        self.by_value = ValueDescent(self.engine, self.optimiser, self.parameters)
        self.descent: Descent = self.by_value
        self._check_that_all_fits()
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        #: Why the last checkpoint was not written; None where it was.
        self.unwritten: str | None = None
        if self.checkpoint is not None:
            try:
                refuse_unwritable(self.checkpoint)
            except OSError as error:
                what = f"fit: checkpoint={str(checkpoint)!r} cannot be written: {error.strerror}"
                raise type(error)(what) from None
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
            apart = samples_of(validation[0], validation[1], "validation ")
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
        self.interrupts, collecting = Interrupts(), gc.isenabled()
        try:
            try:
                self.interrupts.start()
                with Bar(progress, self.epochs, self.steps) as self.bar:
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
                return f"the gradient of {shown(name)} is {parameter.grad!r}"
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
        if self.unwritten is not None:
            holds += f". The last checkpoint is not written: {self.unwritten}"
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
            found = culprit(
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
            "settings": self._settings,
            "parameters": dict(zip(self.names, numbers, strict=True)),
            "optimiser": self.optimiser.state(),
            "generator": self.drawn_from,
            "epoch": self.epoch,
            "place": self.place,
            "best": self.best and (*self.best[:2], self.descent.listed(self.best.parameters)),
            **{name: getattr(self, name) for name in _COURSE},
        }
        try:
            write_checkpoint(self.checkpoint, state)
            self.unwritten = None
        except OSError as error:  # a run of hours does not end by it
            told, self.unwritten = self.unwritten is not None, error.strerror
            if not told:
                warnings.warn(
                    f"fit: the checkpoint {self.checkpoint} is not written: {error.strerror}. The run goes "
                    "on, and tries again at the next one and at its end",
                    NotSavedWarning,
                    stacklevel=user_level(),
                )

    def _load(self, path: Path) -> None:
        """Take over a checkpoint; NotLoaded, before anything is changed, where it does not fit."""
        state = read_checkpoint(path, self._settings, self.names, self.steps)
        try:
            self.optimiser.load_state(state["optimiser"])
        except (ValueError, TypeError, OverflowError) as error:
            raise NotLoaded(f"fit: {path} does not fit, by its optimiser: {error}", path) from None
        self._set(list(state["parameters"].values()))
        self.generator.bit_generator.state = state["generator"]
        self.order = self._draw()
        self.epoch, self.place = state["epoch"], state["place"]
        self.best = None if state["best"] is None else _Best(*state["best"])
        for name in _COURSE:
            setattr(self, name, state[name])


#: The lists that grow from step to step and from epoch to epoch.
_COURSE = ("cost", "validation_cost", "step_cost", "learning_rate", "gradient_norm")
