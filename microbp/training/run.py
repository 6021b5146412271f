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

from microbp.descent import Descent, Moment
from microbp.engines import Batch, EagerEngine, Floats, ReplayEngine, Unfit
from microbp.errors import NotLoaded, NotSavedWarning, StaleProgram, UndefinedOperation
from microbp.files import refuse_unwritable
from microbp.lazy import cached_property
from microbp.optim import SGD, Optimiser
from microbp.outside import Outside
from microbp.safe import shown
from microbp.sites import user_level
from microbp.training.checkpoint import read_checkpoint, write_checkpoint
from microbp.training.given import Settings, optimiser_for, parameters_of, samples_of
from microbp.training.outcome import History, NotFinite, culprit
from microbp.training.terminal import Bar, Interrupts
from microbp.value import Value, as_number

__all__ = ["Run"]

class _Best(NamedTuple):
    """The lowest cost so far, and the parameters that are kept for it."""

    cost: float
    epoch: int
    parameters: Floats


class _Mark(NamedTuple):
    """The state of a run between two steps, to go back to."""

    moment: Moment
    state: dict[str, Any]
    lengths: dict[str, int]
    generator: Any
    #: What the schedule can reach, if it is a function.
    schedule: Outside | None

    @property
    def steps(self) -> int:
        """How many steps had been taken."""
        return self.lengths["step_cost"]


class Run:
    """One run: everything is checked when it is made, and :meth:`go` does the work."""

    def __init__(self, net: Any, X: Any, Y: Any, optimiser: Optimiser | None, settings: Settings) -> None:
        self.settings = settings
        self.names, self.parameters = parameters_of(net)
        if optimiser is None:
            optimiser = SGD(dict(zip(self.names, self.parameters, strict=True)), lr=0.1)
        self.optimiser = optimiser_for(optimiser, self.parameters)
        if not any(each.requires_grad for _, each in self.optimiser.parameters):
            raise ValueError(
                f"fit: all {len(self.optimiser.parameters)} parameters of the optimiser are frozen "
                "(requires_grad is False), so that nothing can be learned"
            )
        self.generator = np.random.default_rng(settings.seed)
        self.samples = samples_of(X, Y, "")
        self.rows = list(range(len(self.samples.x)))
        self.validation_rows: list[int] = []
        self.validation = self._validation(settings.validation)
        self.batch_size = settings.batch_size or len(self.rows)
        if self.batch_size > len(self.rows):
            raise ValueError(
                f"fit: batch_size is {self.batch_size}, but there are {len(self.rows)} samples to learn "
                "from; None takes all of them"
            )
        self.steps = math.ceil(len(self.rows) / self.batch_size)
        self.shuffle = bool(settings.shuffle) and self.steps > 1

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

        self.eager = EagerEngine(net, settings.cost, self.parameters, settings.penalty)
        self._check_that_all_fits()
        #: The engine that replays, if one does or did; why not, or no longer; and what is known to be right.
        self.replay: ReplayEngine | None = None
        self.aside = ""
        #: Why the last checkpoint was not written; None where it was.
        self.unwritten: str | None = None
        if settings.checkpoint is not None:
            try:
                refuse_unwritable(Path(settings.checkpoint))
            except OSError as error:
                what = f"fit: checkpoint={str(settings.checkpoint)!r} cannot be written: {error.strerror}"
                raise type(error)(what) from None
        if settings.resume is not None:
            self._load(Path(settings.resume))
        self._check_schedule()
        self.descent = Descent(self.eager, self.optimiser, self.parameters)
        self.verified: _Mark | None = None

    # ---------------------------------------------------------------------------- what is checked
    def _validation(self, validation: Any) -> Batch | None:
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
            first = self.eager.predictions((self.samples, self.rows[:1]))[0]
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
                cost = self.eager.loss([first] * len(samples.y), samples.y)
            except ArithmeticError:
                continue
            if not isinstance(cost, Value):
                kind = type(cost).__name__
                raise TypeError(f"fit: the loss returns one Value, not an object of type {kind}")

    def _check_schedule(self) -> None:
        """A schedule that has run out is an error now, not after hours."""
        left = (self.settings.epochs - self.epoch) * self.steps - self.place
        last = self.optimiser.steps + left - 1
        if callable(self.optimiser.lr) and left > 0:
            rate = self.optimiser.lr(last)
            if not 0.0 < rate < math.inf:
                raise ValueError(
                    f"fit: {self.settings.epochs} epochs end with step {last + 1} of the optimiser, for "
                    f"which its schedule gives the learning rate {rate!r}; it must be positive and finite"
                )

    # ------------------------------------------------------------------------------ from step to step
    def go(self) -> History:
        """Run to the end, whichever it is, and leave Ctrl-C and the collector as they were."""
        self.interrupts, collecting = Interrupts(), gc.isenabled()
        try:
            try:
                self.interrupts.start()
                with Bar(self.settings.progress, self.settings.epochs, self.steps) as self.bar:
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
            while True:
                reason = self._reason_to_stop()
                due = 0 if reason else self._due()
                if (reason or due) and not self._is_right(due):
                    continue
                if reason:
                    break
                if self.place < self.steps:
                    self._step()
                else:
                    self._validate()
                if time.monotonic() - self.written >= self.settings.checkpoint_every and self._is_right():
                    with self.interrupts.held():
                        self._save()
            self.interrupts.hold()
        except KeyboardInterrupt:
            self.interrupts.hold()
            self._is_right()
            return "interrupted"
        return reason

    def _end(self, stopped: str) -> History:
        """Write the checkpoint, set the parameters that are kept, and say so."""
        self._save()
        kept = self.settings.keep or ("best" if self.validation or stopped == "interrupted" else "last")
        if kept == "best" and self.best is not None:
            self._set(self.best.parameters.tolist())
        else:
            kept = "last"
        history = self._history(stopped, kept)
        self.bar.end(history)
        return history

    def _reason_to_stop(self) -> str:
        tolerance, patience = self.settings.tolerance, self.settings.patience
        if self.place == 0 and self.epoch > 0:
            if tolerance is not None and self._change() < tolerance:
                return "tolerance"
            if patience is not None and self.best and self.epoch - self.best.epoch >= patience:
                return "patience"
        return "epochs" if self.epoch >= self.settings.epochs else ""

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
        batch = self.samples, rows
        cost, told, cause = math.nan, "", None
        try:
            if self.settings.engine != "eager" and not self.replay and not self.aside:
                self._try_to_replay(batch)
            cost = self.descent.gradients(batch)
            if not math.isfinite(cost):
                told = f"the cost is {cost!r}"
            elif not self.descent.finite():
                told = f"the cost is {cost!r}, but {self._bad_gradient()}"
        except UndefinedOperation as error:
            told, cause = "the cost has no value", error
        except StaleProgram as error:
            self._leave_replay(str(error))
            return
        if told:
            if self._is_right():
                raise self._not_finite(told, batch, gradients=math.isfinite(cost)) from cause
            return
        with self.interrupts.held():
            before = self.descent.numbers() if self.steps == 1 else None
            try:
                rate = self.descent.rate()
                norm = self.descent.step(rate, self.settings.clip)
            except FloatingPointError as error:
                if self._is_right():
                    raise self._not_finite(str(error)) from error
                return
            self.step_cost.append(cost)
            self.learning_rate.append(rate)
            if norm is not None:
                self.gradient_norm.append(norm)
            self.place += 1
            if self.place == self.steps and self.validation is None:
                # With one step to an epoch they are those before the update.
                self._end_epoch(self.descent.numbers() if before is None else before)
        self.bar.show(self.epoch, self.place, cost)

    def _validate(self) -> None:
        """The end of an epoch in a run with validation."""
        assert self.validation is not None
        self.descent.settle()
        told, cause = "", None
        try:
            cost = self.descent.engine.cost(self.validation, self.descent.theta)
            told = "" if math.isfinite(cost) else f"the validation cost is {cost!r}"
        except UndefinedOperation as error:
            told, cause = "the validation cost has no value", error
        except StaleProgram as error:
            self._leave_replay(str(error))
            return
        if told:
            if self._is_right():
                raise self._not_finite(told, self.validation, validating=True) from cause
            return
        with self.interrupts.held():
            self.validation_cost.append(cost)
            self._end_epoch(self.descent.numbers())

    def _end_epoch(self, parameters: Floats) -> None:
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

    # --------------------------------------------------------------------- replay, and whether it is right
    def _try_to_replay(self, batch: Batch) -> None:
        """Replay from here on, if that is the same; ``batch`` is the first."""
        size, rest = self.batch_size, len(self.rows) % self.batch_size
        batches: list[Batch] = [batch, *((self.samples, self.rows[:each]) for each in (size, rest) if each)]
        if self.validation:
            batches.append(self.validation)
        try:
            engine = ReplayEngine(self.eager, batches)
        except Unfit as reason:
            self.aside = str(reason)
            self._insist()
            return
        self.replay = self.descent.engine = engine
        self.descent.read()
        schedule = Outside(self.optimiser.lr, apart=self.parameters)
        theirs = type(self.optimiser).__module__ != SGD.__module__
        self.descent.open = theirs or schedule.meets or schedule.shares(engine.outside)
        self.verified = self._mark()

    def _insist(self) -> None:
        if self.settings.engine == "replay":
            raise ValueError(
                f"fit: engine='replay', but this run cannot be replayed: {self.aside}. engine='auto' records "
                "every sample where it has to"
            )

    def _due(self) -> int:
        """How many samples are to be recorded as well."""
        if self.descent.eager or self.replay is None or self.verified is None:
            return 0
        return 1 if self.descent.open and self.replay.outside.changed() else self.replay.due

    def _is_right(self, several: int = 0) -> bool:
        """Whether an eager spot check finds nothing; else the run is back where the last one found nothing.

        It looks at samples that are drawn anew, as many as a comparison of a batch takes unless it is told.
        """
        if self.descent.eager or self.replay is None:
            return True
        self.descent.settle()
        draw = np.random.default_rng([self.settings.seed, len(self.step_cost)])
        rows = draw.permutation(self.rows)[: min(several or self.replay.several, self.batch_size)].tolist()
        self.descent.behind = True  # the gradients in the Values are those of the check
        difference = self.replay.difference((self.samples, rows), self.descent.theta)
        self.descent.settle()
        if not difference:
            self.verified = self._mark()
            return True
        self._leave_replay(difference)
        return False

    def _leave_replay(self, why: str) -> None:
        """Go back to where the run was last right, and on from there by recording every sample."""
        assert self.replay is not None
        assert self.verified is not None
        mark, self.aside = self.verified, why
        for name, held in mark.state.items():
            setattr(self, name, held)
        for name, length in mark.lengths.items():
            del getattr(self, name)[length:]
        self.generator.bit_generator.state = mark.generator
        self.descent.back_to(mark.moment)
        self.replay.outside.restore()
        if mark.schedule is not None:
            mark.schedule.restore()
        self._insist()
        self.descent.engine = self.eager

    def _mark(self) -> _Mark:
        return _Mark(
            self.descent.moment(),
            {name: getattr(self, name) for name in ("epoch", "place", "drawn_from", "order", "best")},
            {name: len(getattr(self, name)) for name in _COURSE},
            self.generator.bit_generator.state,
            Outside(self.optimiser.lr, apart=self.parameters) if callable(self.optimiser.lr) else None,
        )

    # ------------------------------------------------------------------------------------ what came of it
    def _history(self, stopped: str, kept: str) -> History:
        steps = f"{self.steps} step{'s' * (self.steps > 1)}"
        tolerance = self.settings.tolerance
        why = {
            "epochs": "all epochs are done",
            "tolerance": f"the cost has changed by {self._change():.3g}, less than {tolerance!r}",
            "patience": f"the validation cost has not fallen for {self.settings.patience} epochs",
            "interrupted": f"interrupted in epoch {self.epoch + 1} after {self.place} of {steps}",
            "not finite": "a number is not finite",
        }[stopped]
        course = f", cost {self.cost[0]:.3g} to {self.cost[-1]:.3g}" if self.cost else ""
        best = None if self.best is None else self.best.epoch
        holds = f"the best parameters, of epoch {best}" if kept == "best" else "the last parameters"
        epochs = f"{self.epoch} epoch{'s' * (self.epoch != 1)}"
        if self.unwritten is not None:
            holds += f". The last checkpoint is not written: {self.unwritten}"
        engine, reason, aside = self._engine()
        return History(
            [*self.cost], [*self.validation_cost], [*self.step_cost], [*self.learning_rate],
            [*self.gradient_norm], [*self.validation_rows], stopped, kept, best,
            f"{epochs} of {steps}{course}: {why}. The net holds {holds}.{aside}", engine, reason,
        )  # fmt: skip

    def _engine(self) -> tuple[str, str, str]:
        """The engine, why it was that one, and what the history's text says of it."""
        if self.settings.engine == "eager":
            return "eager", "engine='eager' was asked for", ""
        if not self.aside:
            compared = self.replay.compared if self.replay else 0
            return "replay", f"{compared} samples that were recorded as well agree with it", ""
        steps = self.verified.steps if self.verified else 0
        if not steps:
            return f"eager ({self.aside})", self.aside, f" Each sample was recorded anew: {self.aside}."
        return (
            f"replay for {steps} steps, then eager ({self.aside})", self.aside,
            f" After {steps} steps each sample was recorded anew: {self.aside}.",
        )  # fmt: skip

    # --------------------------------------------------------------------------- numbers not finite
    def _not_finite(
        self, told: str, batch: Batch | None = None, *, gradients: bool = False, validating: bool = False
    ) -> NotFinite:
        """The error for a batch, whose samples are looked at one by one; for none, ``told`` is all."""
        self.interrupts.hold()
        self.descent.settle()
        where = f"epoch {self.epoch + 1} of {self.settings.epochs}"
        step = None if validating else self.place + 1
        where += f", step {step} of {self.steps}" if step else ""
        found = None
        if batch:
            trained = [each for _, each in self.optimiser.parameters if each.requires_grad]
            found = culprit(self.eager, batch, trained if gradients else [])
            if found:
                apart = "validation " * (batch[0] is not self.samples)
                told += f". Sample {apart}X[{found[0]}] shows it by itself: {found[1]}"
            else:
                told += ". No sample shows it by itself: it is in their sum, or in the penalty"
            told += (
                ". The net holds the parameters that led there. Lower the learning rate, clip the gradients, "
                "or bring the data to a scale of about 1"
            )
        self._save()
        history = self._history("not finite", "last")
        sample, site = (found[0], found[2]) if found else (None, None)
        return NotFinite(f"fit stopped in {where}: {told}", history, self.epoch + 1, step, sample, site)

    # ---------------------------------------------------------------------------------- checkpoints
    @cached_property
    def _same_settings(self) -> dict[str, Any]:
        """All that must be the same for a run to continue bit for bit."""
        digest = hashlib.sha256()
        for samples, rows in [(self.samples, self.rows)] + ([self.validation] if self.validation else []):
            digest.update(samples.array.tobytes() + repr((samples.array.shape, samples.y, rows)).encode())
        return {
            "loss": getattr(self.eager.loss, "__qualname__", type(self.eager.loss).__qualname__),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "seed": self.settings.seed,
            "penalty": self.settings.penalty,
            "clip": self.settings.clip,
            "validation": 0 if self.validation is None else len(self.validation[1]),
            "samples": len(self.samples.x),
            "data": digest.hexdigest()[:16],
        }

    def _save(self) -> None:
        """Write the checkpoint, if one is wanted: a new file takes the place of the old in one move."""
        self.written = time.monotonic()
        self.descent.settle()
        if self.settings.checkpoint is None:
            return
        numbers = [each.data for each in self.parameters]
        state = {
            "settings": self._same_settings,
            "parameters": dict(zip(self.names, numbers, strict=True)),
            "optimiser": self.optimiser.state(),
            "generator": self.drawn_from,
            "epoch": self.epoch,
            "place": self.place,
            "aside": self.aside,
            "best": self.best and (*self.best[:2], self.best.parameters.tolist()),
            **{name: getattr(self, name) for name in _COURSE},
        }
        try:
            write_checkpoint(Path(self.settings.checkpoint), state)
            self.unwritten = None
        except OSError as error:  # a run of hours does not end by it
            told, self.unwritten = self.unwritten is not None, error.strerror
            if not told:
                warnings.warn(
                    f"fit: the checkpoint {self.settings.checkpoint} is not written: {error.strerror}. The "
                    "run goes on, and tries again at the next one and at its end",
                    NotSavedWarning,
                    stacklevel=user_level(),
                )

    def _load(self, path: Path) -> None:
        """Take over a checkpoint; NotLoaded, before anything is changed, where it does not fit."""
        state = read_checkpoint(path, self._same_settings, self.names, self.steps)
        try:
            self.optimiser.load_state(state["optimiser"])
        except (ValueError, TypeError, OverflowError) as error:
            raise NotLoaded(f"fit: {path} does not fit, by its optimiser: {error}", path) from None
        self._set(list(state["parameters"].values()))
        self.generator.bit_generator.state = state["generator"]
        self.order = self._draw()
        self.epoch, self.place, self.aside = state["epoch"], state["place"], state["aside"]
        if state["best"] is not None:
            cost, epoch, numbers = state["best"]
            self.best = _Best(cost, epoch, np.array(numbers))
        for name in _COURSE:
            setattr(self, name, state[name])


#: The lists that grow from step to step and from epoch to epoch.
_COURSE = ("cost", "validation_cost", "step_cost", "learning_rate", "gradient_norm")
