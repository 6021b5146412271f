"""One run of ``fit``, from step to step; and its state between two steps, as a checkpoint or to go back to."""

from __future__ import annotations

import gc
import json
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microbp.descent import Descent, Moment
from microbp.engines import Batch, EagerEngine, Floats, ReplayEngine, Rows, Unfit
from microbp.errors import NotLoaded, NotSavedWarning, StaleProgram, UndefinedOperation
from microbp.files import refuse_unwritable, write_file
from microbp.lazy import cached_property
from microbp.optim import SGD, Optimiser
from microbp.outside import Outside
from microbp.safe import shown
from microbp.sites import user_level
from microbp.training import given
from microbp.training.outcome import History, NotFinite, culprit
from microbp.training.terminal import Bar, Interrupts

__all__ = ["Run"]

_FORMAT = "microbp training checkpoint 2"
#: The lists of a history that grow from step to step and from epoch to epoch.
_COURSE = ("cost", "validation_cost", "step_cost", "learning_rate", "gradient_norm")
#: What the history's text says of the end of a run.
_ENDS = {
    "epochs": "all epochs are done",
    "tolerance": "the cost has changed by {change:.3g}, less than {settings.tolerance!r}",
    "patience": "the validation cost has not fallen for {settings.patience} epochs",
    "interrupted": "interrupted in epoch {epoch} after {place} of {steps}",
    "not finite": "a number is not finite",
}


class _Best(NamedTuple):
    """The lowest cost so far, and the parameters that are kept for it."""

    cost: float
    epoch: int
    parameters: Floats


class _Mark(NamedTuple):
    """The state of a run between two steps, to go back to."""

    moment: Moment
    #: What the generator was before the order of this epoch was drawn.
    drawn_from: Any
    best: _Best | None
    #: Of the lists of the history.
    lengths: dict[str, int]
    #: What the schedule can reach.
    schedule: Outside


class Run:
    """One run: everything is checked when it is made, and :meth:`go` does the work."""

    def __init__(
        self, net: Any, X: Any, Y: Any, optimiser: Optimiser | None, settings: given.Settings
    ) -> None:
        self.settings = settings
        named = given.parameters_of(net)
        self.names, self.parameters = list(named), list(named.values())
        self.optimiser = given.optimiser_for(optimiser, named)
        self.generator = np.random.default_rng(settings.seed)
        self.samples = given.samples_of(X, Y, "")
        self.rows, self.validation = given.split(self.samples, settings.validation, self.generator)
        self.batch_size = settings.batch_size or len(self.rows)
        if self.batch_size > len(self.rows):
            raise ValueError(
                f"fit: batch_size is {self.batch_size}, but there are {len(self.rows)} samples to learn "
                "from; None takes all of them"
            )
        self.steps = math.ceil(len(self.rows) / self.batch_size)
        self.history = History()
        if self.validation and self.validation[0] is self.samples:
            self.history.validation_rows.extend(self.validation[1].tolist())
        self.best: _Best | None = None
        self._draw()
        self.eager = EagerEngine(net, settings.cost, self.parameters, settings.penalty)
        given.check_that_all_fits(self.eager, (self.samples, self.rows), self.validation)
        #: The engine that replays, if one does; why not, or no longer; and what is known to be right.
        self.replay: ReplayEngine | None = None
        self.aside = ""
        self.verified: _Mark | None = None
        #: When replay is due to be compared next, in steps.
        self.due = 0
        #: Why the last checkpoint was not written; None where it was.
        self.unwritten: str | None = None
        self.descent = Descent(self.eager, self.optimiser, self.parameters)
        if settings.checkpoint is not None:
            try:
                refuse_unwritable(settings.checkpoint)
            except OSError as error:
                what = f"fit: checkpoint={str(settings.checkpoint)!r} cannot be written: {error.strerror}"
                raise type(error)(what) from None
        if settings.resume is not None:
            self._load(Path(settings.resume))
        left = (settings.epochs - self.epoch) * self.steps - self.place
        given.check_schedule(self.optimiser, left, settings)

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history.cost)

    @property
    def place(self) -> int:
        """How many steps of this epoch are done."""
        return len(self.history.step_cost) - len(self.history.cost) * self.steps

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
        self.written, reason = time.monotonic(), ""
        try:
            while not reason:
                reason = self._rightly(self._on)
            self.interrupts.hold()
        except KeyboardInterrupt:
            self.interrupts.hold()
            self._rightly(self._verify)
            return "interrupted"
        return reason

    def _on(self) -> str:
        """One step further, or the end of an epoch of a run with validation; the reason to stop instead."""
        reason = self._reason_to_stop()
        late = len(self.history.step_cost) >= self.due
        if reason or late or (self.replay and self.descent.open and self.replay.outside.changed()):
            self._verify(several=bool(reason))
        if reason:
            return reason
        if self.place == self.steps:
            self._validate()
        elif not self._steps_in_c():
            self._step()
        if time.monotonic() - self.written >= self.settings.checkpoint_every:
            self._verify()
            with self.interrupts:
                self._save()
        return ""

    def _reason_to_stop(self) -> str:
        if self.place:
            return ""
        tolerance, patience = self.settings.tolerance, self.settings.patience
        if tolerance is not None and self._change() < tolerance:
            return "tolerance"
        if patience is not None and self.best and self.epoch - self.best.epoch >= patience:
            return "patience"
        return "epochs" if self.epoch >= self.settings.epochs else ""

    def _change(self) -> float:
        """By how much the costs of the last two epochs differ."""
        cost = self.history.cost
        return abs(cost[-1] - cost[-2]) if len(cost) > 1 else math.inf

    def _draw(self) -> None:
        self.drawn_from, self.order = self.generator.bit_generator.state, self.rows
        if self.settings.shuffle and self.steps > 1:
            self.order = self.rows[self.generator.permutation(len(self.rows))]

    def _rows_of(self, step: int) -> Rows:
        """The samples of a step of this epoch."""
        size = self.batch_size
        return self.order if self.steps == 1 else self.order[step * size : (step + 1) * size]

    def _steps_in_c(self) -> bool:
        """Steps up to where something else is to be done; False for none."""
        count = self.steps - self.place
        if self.steps == 1 and self.validation is None and self.settings.tolerance is None:
            count = self.settings.epochs - self.epoch
        count = min(count, self.due - len(self.history.step_cost))
        if count < 2 or self.descent.update is None:
            return False
        orders = [self._rows_of(step) for step in range(self.place, self.place + count)]
        with self.interrupts:
            taken = self.descent.take(self.samples, orders, self.best.cost if self.best else math.inf)
            if taken.costs:
                self._book(*taken)
        return bool(taken.costs)

    def _step(self) -> None:
        batch = self.samples, self._rows_of(self.place)

        def gradients() -> float:
            if self.replay is None and not self.aside and self.settings.engine != "eager":
                self._try_to_replay(batch)
            return self.descent.gradients(batch)

        cost = self._finite("cost", batch, gradients)
        with self.interrupts:
            # With one step to an epoch its cost is that of the parameters before the update.
            before = self.descent.theta.copy() if self.steps == 1 else self.descent.theta
            try:
                rate, norm = self.descent.step(self.settings.clip)
            except FloatingPointError as error:
                raise self._not_finite(str(error)) from error
            if norm is not None:
                self.history.gradient_norm.append(norm)
            self._book([cost], [rate], cost, before)

    def _book(self, costs: list[float], rates: list[float], lowest: float, best: Floats) -> None:
        """Steps that were taken; and, of epochs of one step, the lowest cost so far and its parameters."""
        epoch, history = self.epoch, self.history
        history.step_cost.extend(costs)
        history.learning_rate.extend(rates)
        if self.validation is None and self.steps == 1:
            history.cost.extend(costs)
            if self.best is None or lowest < self.best.cost:
                self.best = _Best(lowest, epoch + costs.index(lowest) + 1, best)
        elif self.validation is None and self.place == self.steps:
            self._end_epoch()
        self.bar.show(len(history.step_cost), costs[-1])

    def _validate(self) -> None:
        """The end of an epoch in a run with validation."""
        batch, descent = self.validation, self.descent
        assert batch is not None
        descent.settle()
        cost = self._finite("validation cost", batch, lambda: descent.engine.cost(batch, descent.theta))
        with self.interrupts:
            self.history.validation_cost.append(cost)
            self._end_epoch()

    def _end_epoch(self) -> None:
        """The epoch's steps are done, and its cost stands for the parameters as they are."""
        costs = self.history.step_cost[-self.steps :]
        last = len(self.rows) - (self.steps - 1) * self.batch_size
        mean = (math.fsum(costs[:-1]) * self.batch_size + costs[-1] * last) / len(self.rows)
        self.history.cost.append(costs[0] if self.steps == 1 else mean)
        if self.steps > 1:
            self._draw()
        measured = (self.history.validation_cost or self.history.cost)[-1]
        if self.best is None or measured < self.best.cost:
            self.best = _Best(measured, self.epoch, self.descent.theta.copy())

    # --------------------------------------------------------------------- replay, and whether it is right
    def _try_to_replay(self, batch: Batch) -> None:
        """Replay from here on; Unfit, where that would not be the same. ``batch`` is the first."""
        sizes = (self.batch_size, len(self.rows) % self.batch_size)
        batches = [batch, *((self.samples, self.rows[:size]) for size in sizes if size)]
        batches += [self.validation] if self.validation else []
        engine = ReplayEngine(self.eager, batches, self.settings.client, self.settings.threads)
        theirs = type(self.optimiser).__module__ != SGD.__module__
        watched = theirs or engine.outside.shares(Outside(self.optimiser.lr))
        many = engine.machine is not None and not watched and self.settings.clip is None
        self.descent.use(engine, watched=watched, many=many)
        self.replay, self.verified = engine, None
        self.verified = self._mark()

    def _rightly(self, act: Callable[[], Any]) -> Any:
        """What it returns; "" where replay is found to be wrong meanwhile, and the run has gone back."""
        try:
            return act()
        except (Unfit, StaleProgram) as error:
            with self.interrupts:
                self._leave_replay(str(error))
            return ""

    def _verify(self, *, several: bool = True) -> None:
        """Compare replay with the eager engine on samples that are drawn anew; Unfit where it differs."""
        if self.replay is not None:
            draw = np.random.default_rng([self.settings.seed, len(self.history.step_cost)])
            self.descent.settle()
            self.descent.behind = True  # the gradients in the Values are those of the comparison
            rows = draw.permutation(self.rows)
            self.replay.compare((self.samples, rows), self.descent.theta, several=several)
            self.verified = self._mark()

    def _mark(self) -> _Mark:
        assert self.replay is not None
        self.due = len(self.history.step_cost) + self.replay.every
        lengths = {name: len(getattr(self.history, name)) for name in _COURSE}
        schedule = Outside(self.optimiser.lr, apart=self.parameters)
        return _Mark(self.descent.moment(), self.drawn_from, self.best, lengths, schedule)

    def _leave_replay(self, why: str) -> None:
        """Go back to where the run was last right, and on from there by recording every sample."""
        self.aside, mark, replay, self.replay = why, self.verified, self.replay, None
        if mark is not None and replay is not None:
            for name, length in mark.lengths.items():
                del getattr(self.history, name)[length:]
            self._back_to(mark.moment, mark.drawn_from, mark.best)
            replay.outside.restore()
            mark.schedule.restore()
        if self.settings.engine == "replay" or self.settings.client is not None:
            wanted = "engine='replay'" if self.settings.client is None else "client=…"
            raise ValueError(
                f"fit: {wanted}, but this run cannot be replayed: {why}. engine='auto' records "
                "every sample where it has to"
            )
        self.descent.use(self.eager)

    def _back_to(self, moment: Moment, drawn_from: Any, best: _Best | None) -> None:
        self.descent.back_to(moment)
        self.best, self.generator.bit_generator.state = best, drawn_from
        self._draw()

    # ------------------------------------------------------------------------------------ what came of it
    def _end(self, stopped: str) -> History:
        """Write the checkpoint, set the parameters that are kept, and say so."""
        self._save()
        kept = self.settings.keep or ("best" if self.validation or stopped == "interrupted" else "last")
        if kept == "best" and self.best is not None:
            for parameter, number in zip(self.parameters, self.best.parameters.tolist(), strict=True):
                parameter.data = number
        else:
            kept = "last"
        history = self._told(stopped, kept)
        self.bar.end(history)
        return history

    def _told(self, stopped: str, kept: str) -> History:
        """The history, complete."""
        cost, best = self.history.cost, self.best and self.best.epoch
        steps = f"{self.steps} step{'s' * (self.steps > 1)}"
        end = _ENDS[stopped].format(
            change=self._change(), settings=self.settings, epoch=self.epoch + 1, place=self.place, steps=steps
        )
        course = f", cost {cost[0]:.3g} to {cost[-1]:.3g}" if cost else ""
        holds = f"the best parameters, of epoch {best}" if kept == "best" else "the last parameters"
        if self.unwritten is not None:
            holds += f". The last checkpoint is not written: {self.unwritten}"
        compared = self.replay.compared if self.replay else 0
        engine, why, anew = "replay", f"{compared} samples that were recorded as well agree with it", ""
        if self.settings.engine == "eager":
            engine, why = "eager", "engine='eager' was asked for"
        elif self.aside:
            done, why = self.verified.lengths["step_cost"] if self.verified else 0, self.aside
            engine = f"replay for {done} steps, then " * (done > 0) + f"eager ({why})"
            anew = f" {f'After {done} steps each' if done else 'Each'} sample was recorded anew: {why}."
        epochs = f"{self.epoch} epoch{'s' * (self.epoch != 1)}"
        message = f"{epochs} of {steps}{course}: {end}. The net holds {holds}.{anew}"
        return replace(
            self.history, stopped=stopped, kept=kept, best_epoch=best, message=message, engine=engine, why=why
        )

    def _finite(self, what: str, batch: Batch, compute: Callable[[], float]) -> float:
        """The cost of a batch; NotFinite where that, or a derivative that comes with it, is not finite."""
        cost, cause = math.nan, None
        try:
            cost = compute()
            told = f"the {what} is {cost!r}" * (not math.isfinite(cost))
            if not told and batch is not self.validation and (fault := self.descent.fault()):
                told = f"the cost is {cost!r}, but {fault}"
        except UndefinedOperation as error:
            told, cause = f"the {what} has no value", error
        if told:
            raise self._not_finite(told, batch, gradients=math.isfinite(cost)) from cause
        return cost

    def _not_finite(self, told: str, batch: Batch | None = None, *, gradients: bool = False) -> NotFinite:
        """The error for a batch, whose samples are looked at one by one; for none, ``told`` is all.

        Unfit, if it was replay that was wrong.
        """
        self._verify()
        self.interrupts.hold()
        self.descent.settle()
        step = None if batch and batch is self.validation else self.place + 1
        where = f"epoch {self.epoch + 1} of {self.settings.epochs}"
        where += f", step {step} of {self.steps}" if step else ""
        sample, site = None, None
        if batch:
            trained = [each for _, each in self.optimiser.parameters if each.requires_grad and gradients]
            called = "validation " * (batch[0] is not self.samples) + "X"
            sample, why, site = culprit(self.eager, batch, trained, called)
            told += (
                f". {why}. The net holds the parameters that led there. Lower the learning rate, clip the "
                "gradients, or bring the data to a scale of about 1"
            )
        self._save()
        history = self._told("not finite", "last")
        return NotFinite(f"fit stopped in {where}: {told}", history, self.epoch + 1, step, sample, site)

    # ---------------------------------------------------------------------------------- checkpoints
    @cached_property
    def _same_settings(self) -> dict[str, Any]:
        """All that must be the same for a run to continue bit for bit."""
        settings, data = self.settings, [(self.samples, self.rows)] + [self.validation] * bool(self.validation)
        told = [(x.array.tobytes(), (x.array.shape, x.y.tolist(), rows.tolist())) for x, rows in data]
        return {
            "loss": getattr(self.eager.loss, "__qualname__", type(self.eager.loss).__qualname__),
            "batch_size": self.batch_size,
            "shuffle": bool(settings.shuffle) and self.steps > 1,
            **{name: getattr(settings, name) for name in ("seed", "penalty", "clip")},
            "validation": 0 if self.validation is None else len(self.validation[1]),
            "samples": len(self.samples.y),
            "data": _digest(*(part for parts in told for part in parts)),
        }

    def _save(self) -> None:
        """Write the checkpoint, if one is wanted: a new file takes the place of the old in one move."""
        self.written = time.monotonic()
        self.descent.settle()
        if self.settings.checkpoint is None:
            return
        state = {
            "settings": self._same_settings,
            "parameters": {name: each.data for name, each in zip(self.names, self.parameters, strict=True)},
            "optimiser": self.optimiser.state(),
            "generator": self.drawn_from,
            "aside": self.aside,
            "best": self.best and (*self.best[:2], self.best.parameters.tolist()),
            **{name: getattr(self.history, name) for name in _COURSE},
        }
        text = json.dumps({"format": _FORMAT, "digest": _digest(json.dumps(state)), **state})
        try:
            write_file(self.settings.checkpoint, text)
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
        """Take over a checkpoint; NotLoaded, before anything is changed, where it is damaged or of another run."""

        def refuse(what: str) -> NotLoaded:
            return NotLoaded(f"fit: {path} {what}", path)

        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            state = None
        if not isinstance(state, dict) or state.pop("format", None) != _FORMAT:
            raise refuse("is no checkpoint of fit")
        if state.pop("digest", None) != _digest(json.dumps(state)):
            raise refuse("is damaged: it does not hold what fit wrote into it")
        for name, here in self._same_settings.items():
            if (there := state["settings"][name]) != here:
                raise refuse(f"was written with {name} = {shown(repr(there))}; here it is {here!r}")
        numbers, names, best = state["parameters"], self.names, state["best"]
        if list(numbers) != names:
            odd = sorted({*names} ^ {*numbers})
            how = f"only one of the two has {shown(odd[0])}" if odd else "they stand in another order"
            raise refuse(f"has {len(numbers)} parameters, the net {len(names)}; {how}")
        moment = np.array([*numbers.values()]), state["optimiser"], self.descent.moment()[2]
        try:
            self._back_to(moment, state["generator"], best and _Best(*best[:2], np.array(best[2])))
        except (ValueError, TypeError, OverflowError) as error:
            raise refuse(f"does not fit, by its optimiser: {error}") from None
        self.aside = state["aside"]
        for name in _COURSE:
            getattr(self.history, name).extend(state[name])


def _digest(*parts: Any) -> str:
    """A short text that is another one for other bytes or other numbers."""
    return sha256(b"".join(x if type(x) is bytes else repr(x).encode() for x in parts)).hexdigest()[:16]
