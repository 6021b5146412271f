"""One run of ``fit``: its parameters as one vector, its steps, and its state between two steps.

Recorded or replayed, a step is the same: a gradient comes in, the optimiser's one statement over the vector
is applied. Where batches are recorded, or code of the user's runs at each step (a schedule or an optimiser of
his own), the Values are read before it and written after it; else they are behind until the run settles.

The state is what a checkpoint holds, and what a run goes back to where replay is found to be wrong.
"""

from __future__ import annotations

import gc
import json
import math
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from microbp.calls import user_level
from microbp.errors import NotLoaded, NotSavedWarning, StaleProgram, UndefinedOperation
from microbp.files import refuse_unwritable, write_file
from microbp.graph import cached_property
from microbp.node import numbers_of, taking_gradients
from microbp.optim import SGD, Optimiser, WarmUp, clip
from microbp.outside import Outside, sealed
from microbp.text import shown
from microbp.training import given
from microbp.training.engines import Batch, EagerEngine, Floats, ReplayEngine, Rows, Unfit, Update, update_of
from microbp.training.outcome import ENDS, History, NotFinite, culprit
from microbp.value import set_numbers

__all__ = ["Interrupts", "Run"]

_FORMAT = "microbp training checkpoint 3"
#: The lists of a history that grow from step to step and from epoch to epoch.
_COURSE = ("cost", "validation_cost", "step_cost", "learning_rate", "gradient_norm")
#: Ctrl-C is heard after so many milliseconds of steps in C.
_AT_MOST = 50


class _Best(NamedTuple):
    """The lowest cost so far, and the parameters that are kept for it."""

    cost: float
    epoch: int
    parameters: Floats


class Interrupts:
    """Ctrl-C as ever, but not inside ``with interrupts``: there it waits for the end of the block.

    Once it has struck, or :meth:`hold` was called, the run is being wound up, and it comes too late.
    Only the main thread receives signals; in any other there is nothing to hold back.
    """

    def __init__(self) -> None:
        self._previous: Callable[[int, FrameType | None], Any] | None = None
        self._closed = self._waiting = self._over = False

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
        if self._closed or self._over:
            self._waiting = True
        elif self._previous is not None:
            self._closed = True
            self._previous(number, frame)
            self._closed = False  # a handler of the program's own, which did not raise

    def __enter__(self) -> None:
        """What happens inside happens whole."""
        self._closed = True

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:  # the run goes on: if one has struck before, the net has swallowed it
            self._closed = False
            if self._waiting:
                self._waiting = False
                self._strike(signal.SIGINT, None)

    def hold(self) -> None:
        """From here to the end of the run."""
        self._over = True


class Run:
    """One run: everything is checked when it is made, and :meth:`go` does the work."""

    def __init__(
        self, net: Any, X: Any, Y: Any, optimiser: Optimiser | None, settings: given.Settings
    ) -> None:
        self.settings, self.named = settings, given.parameters_of(net)
        self.optimiser = given.optimiser_for(optimiser, self.named)
        #: Those that the optimiser changes first, in its order; so many it changes.
        self.parameters = [*self.optimiser.leaves()]
        self.changed = len(self.parameters)
        if self.changed < len(self.named.values):
            known = {*map(id, self.parameters)}
            self.parameters += [each for each in self.named.values if id(each) not in known]
        self.generator = np.random.default_rng(settings.seed)
        self.samples = given.samples_of(X, Y, "")
        self.rows, self.validation = given.split(self.samples, settings.validation, self.generator)
        n, self.batch_size = len(self.rows), settings.batch_size or len(self.rows)
        told = f"batch_size is {self.batch_size}, but there are {n} samples to learn from"
        given.refuse(self.batch_size > n, f"{told}; None takes all of them")
        self.steps = math.ceil(n / self.batch_size)
        self.history = History()
        self.best: _Best | None = None
        if self.validation and self.validation[0] is self.samples:
            self.history.validation_rows.extend(self.validation[1].tolist())
        self._draw()
        self.eager = EagerEngine(net, settings.cost, self.parameters, settings.penalty)
        given.check_that_all_fits(self.eager, (self.samples, self.rows), self.validation)
        #: The engine that replays, if one does, and the optimiser's step for it in C; why not, or no longer;
        #: the state where it was right last; and when it is due to be compared next, in steps.
        self.replay: ReplayEngine | None = None
        self.update: Update | None = None
        self.aside, self.due = "", 0
        self.verified: dict[str, Any] = {}
        #: Whether code of the user's runs at each step; and whether it may see or change the Values there.
        self.own = self.open = True
        #: Why the last checkpoint was not written; None where it was.
        self.unwritten: str | None = None
        self.theta, self.gradient = np.zeros((2, len(self.parameters)))
        #: Of steps in C the parameters of the lowest cost, and the cost.
        self.lowest = np.empty(len(self.parameters) + 1)
        self._read()
        if settings.checkpoint is not None:
            try:
                refuse_unwritable(settings.checkpoint)
            except OSError as error:
                what = f"fit: checkpoint={str(settings.checkpoint)!r} cannot be written: {error.strerror}"
                raise type(error)(what) from None
        before = self._moment(beside=settings.resume is not None)
        try:
            if settings.resume is not None:
                self._load(Path(settings.resume))
            left = (settings.epochs - self.epoch) * self.steps - self.place
            given.check_schedule(self.optimiser, left, settings)
        except Exception:
            self._write(before["numbers"])
            self._restore(before)
            raise

    @cached_property
    def names(self) -> list[str]:
        """The names of the parameters."""
        names = {id(each): name for name, each in self.named}
        return [names[id(each)] for each in self.parameters]

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history.cost)

    @property
    def place(self) -> int:
        """How many steps of this epoch are done."""
        return len(self.history.step_cost) - len(self.history.cost) * self.steps

    # ------------------------------------------------------------------------ between two steps
    def go(self) -> History:
        """Run to the end, whichever it is, and leave Ctrl-C, the collector and the terminal as they were."""
        self.interrupts, collecting = Interrupts(), gc.isenabled()
        terminal, self.shown = getattr(sys.stdout, "isatty", bool)(), False
        wait = {None: 1.0, True: 0.0, False: math.inf}[self.settings.progress]
        #: When the line on the terminal is written again.
        self.next_line = time.monotonic() + wait if terminal else math.inf
        try:
            try:
                self.interrupts.start()
                return self._end(self._descend())
            finally:
                self.interrupts.hold()
                if self.shown:
                    sys.stdout.write("\n")
        finally:  # nothing strikes here any more, unless it has just struck in the lines above
            self._settle()
            if collecting:
                gc.enable()
            self.interrupts.stop()

    def _show(self, soon: float = math.inf) -> None:
        """How far it is, in a line on a terminal that is written over at most ten times a second."""
        now = time.monotonic()
        if now >= min(self.next_line, soon):
            self.next_line, self.shown = now + 0.1, True
            epochs, cost = self.settings.epochs, self.history.step_cost[-1]
            sys.stdout.write(f"\repoch {min(self.epoch + 1, epochs)} of {epochs}, cost {cost:.4g}\x1b[K")
            sys.stdout.flush()

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
        reason = "" if self.place else self._reason_to_stop()
        late = len(self.history.step_cost) >= self.due
        if reason or late or (self.replay and self.open and self.replay.outside.changed()):
            self._verify()
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
        """The order of an epoch; ``drawn_from`` is what the generator was before."""
        self.drawn_from, self.order = self.generator.bit_generator.state, self.rows
        if self.settings.shuffle and self.steps > 1:
            self.order = self.rows[self.generator.permutation(len(self.rows))]

    def _moment(self, *, beside: bool) -> dict[str, Any]:
        """All that a step changes; and what an optimiser or a schedule of the user's keeps ``beside`` it."""
        return {
            "numbers": self.theta.copy(),
            "takes": taking_gradients(self.parameters),
            "optimiser": (self.optimiser.steps, self.optimiser._memory.copy()),
            "beside": Outside(self.optimiser, apart=self.parameters) if beside else None,
            "generator": self.drawn_from,
            "best": self.best,
            "lengths": {name: len(getattr(self.history, name)) for name in _COURSE},
        }

    def _back_to(self, moment: dict[str, Any]) -> None:
        for name, length in moment["lengths"].items():
            del getattr(self.history, name)[length:]
        self._restore(moment)
        self.best, self.generator.bit_generator.state = moment["best"], moment["generator"]
        self._draw()
        for value, takes in zip(self.parameters, moment["takes"].tolist(), strict=True):
            value.requires_grad = takes
        self.theta[:], self.behind = moment["numbers"], True
        self._settle()

    def _restore(self, moment: dict[str, Any]) -> None:
        """The optimiser as it was."""
        if moment["beside"] is not None:
            moment["beside"].restore()
        self.optimiser.steps, self.optimiser._memory = moment["optimiser"]

    # ------------------------------------------------------------------------ the vector and the Values
    def _read(self) -> None:
        """Take the numbers from the Values, and which of them take a gradient."""
        self.theta[:] = numbers_of(self.parameters)
        self.takes = taking_gradients(self.parameters)
        #: Of what the optimiser changes: the places in its own list, and in the vector.
        self._places = np.flatnonzero(self.takes[: self.changed])
        self.behind = False

    def _write(self, numbers: Any) -> None:
        self.theta[:], self.behind = numbers, False
        set_numbers(self.parameters, self.theta)

    def _settle(self) -> None:
        """Bring the Values up to date."""
        if self.behind:
            set_numbers(self.parameters, self.theta, self.gradient)
            self.behind = False

    # ------------------------------------------------------------------------ a step
    def _rows_of(self, step: int) -> Rows:
        start = step % self.steps * self.batch_size
        return self.order[start : start + self.batch_size]

    def _steps_in_c(self) -> bool:
        """Steps up to where something else is to be done; False for none.

        One step alone, too: how many a call takes is a matter of time, and Python's differ in the last bits.
        What is unusual is left to a step in Python, which says so: a cost or a number that is not finite.
        """
        if self.replay is None or self.update is None:
            return False
        count = self.steps - self.place
        if self.steps == 1 and self.validation is None and self.settings.tolerance is None:
            count = self.settings.epochs - self.epoch
        if self.own:  # which is asked once for each step, and in its turn
            rates = [self.optimiser.rate]
        else:
            rates = self.optimiser.rates(min(count, self.due - len(self.history.step_cost)))
        start, size = self.place * self.batch_size, len(rates) * self.batch_size
        rows = (np.tile(self.order, len(rates)) if self.steps == 1 else self.order)[start : start + size]
        sizes = np.minimum(self.batch_size, len(rows) - self.batch_size * np.arange(len(rates)))
        costs, best = np.empty(len(rates)), self.lowest
        best[:-1], best[-1] = self.theta, self.best.cost if self.best else math.inf
        with self.interrupts:
            taken = 0
            if rates and self.replay.machine is not None:
                taken = self.replay.machine.train(
                    self.update.machine, self.replay.reduce == "mean", _AT_MOST, self.samples.table,
                    np.array(rates), rows, sizes, self.update.alike, self.theta, self.optimiser._memory,
                    costs, best, self.gradient,
                )  # fmt: skip
            if taken:
                self.optimiser.steps += taken
                self.behind = True
                self._book(costs[:taken].tolist(), rates[:taken], float(best[-1]), best[:-1])
        return taken > 0

    def _step(self) -> None:
        batch, begun = (self.samples, self._rows_of(self.place)), self.replay is not None
        cost = self._finite("cost", batch, lambda: self._gradients(batch))
        if self.update is not None and not begun:
            return  # which the next call takes in C: so would it after a checkpoint
        with self.interrupts:
            # With one step to an epoch its cost is that of the parameters before the update.
            before = self.theta.copy() if self.steps == 1 else self.theta
            try:
                rate = self._apply()
            except FloatingPointError as error:
                raise self._not_finite(str(error)) from error
            self._book([cost], [rate], cost, before)

    def _gradients(self, batch: Batch) -> float:
        if self.replay is None and not self.aside and self.settings.engine != "eager":
            self._try_to_replay(batch)
        if self.open:
            self._read()
        if self.replay and (self.takes & ~self.replay.trained).any():
            raise Unfit("parameters that were frozen when replay began are so no longer")
        cost = (self.replay or self.eager).gradients(batch, self.theta, self.gradient)
        self.gradient[~self.takes] = 0.0  # also of what was trained when replay began
        self.behind = self.replay is not None
        return cost

    def _apply(self) -> float:
        """The optimiser's step; its rate. What raises leaves all as it was before."""
        if self.open:
            self._settle()
        rate, norms = self.optimiser.rate, []
        if self.open:
            self._read()
        places = self._places
        if self.settings.clip is not None:
            clipped = clip(self.gradient[places], self.settings.clip)
            self.gradient[places], norms = clipped[0], [clipped[1].norm]
        self.behind = True
        if type(self.optimiser).step is Optimiser.step:
            self.theta[places] = self.optimiser.advance(
                places, self.theta[places], self.gradient[places], rate
            )
        else:  # which may do anything
            self._settle()
            before = self._moment(beside=False)
            try:
                self.optimiser.step()
            except BaseException:
                self._back_to(before)
                raise
            self._read()
        if self.open:
            self._settle()
        self.history.gradient_norm.extend(norms)
        return rate

    def _book(self, costs: list[float], rates: list[float], lowest: float, best: Floats) -> None:
        """Steps that were taken; and, of epochs of one step, the lowest cost so far and its parameters."""
        epoch, history = self.epoch, self.history
        history.step_cost.extend(costs)
        history.learning_rate.extend(rates)
        if self.validation is None and self.steps == 1:
            history.cost.extend(costs)
            if self.best is None or lowest < self.best.cost:
                self.best = _Best(lowest, epoch + costs.index(lowest) + 1, best.copy())
        elif self.validation is None and self.place == self.steps:
            self._end_epoch()
        self._show()

    def _validate(self) -> None:
        batch = self.validation
        assert batch is not None
        self._settle()
        engine = self.replay or self.eager
        cost = self._finite("validation cost", batch, lambda: engine.cost(batch, self.theta))
        with self.interrupts:
            self.history.validation_cost.append(cost)
            self._end_epoch()

    def _end_epoch(self) -> None:
        """The epoch's steps are done, and its cost stands for the parameters as they are."""
        costs = self.history.step_cost[-self.steps :]
        last = len(self.rows) - (self.steps - 1) * self.batch_size
        mean = (math.fsum(costs[:-1]) * self.batch_size + costs[-1] * last) / len(self.rows)
        self.history.cost.append(costs[0] if self.steps == 1 else mean)
        if self.settings.shuffle and self.steps > 1:
            self._draw()
        measured = (self.history.validation_cost or self.history.cost)[-1]
        if self.best is None or measured < self.best.cost:
            self.best = _Best(measured, self.epoch, self.theta.copy())

    # ------------------------------------------------------------------------ replay, and whether it is right
    def _try_to_replay(self, batch: Batch) -> None:
        """Replay from here on; Unfit, where that would not be the same. ``batch`` is the first."""
        sizes = (self.batch_size, len(self.rows) % self.batch_size)
        batches = [batch, *((self.samples, self.rows[:size]) for size in sizes if size)]
        batches += [self.validation] if self.validation else []
        rate: Any = self.optimiser.lr
        while type(rate) is WarmUp:
            rate = rate.then
        engine = ReplayEngine(self.eager, batches, self.settings.client, self.settings.threads)
        own, own_rate = (type(each).__module__ != SGD.__module__ for each in (self.optimiser, rate))
        own_rate = own_rate and callable(rate)
        sees = own_rate and (not sealed(rate) or Outside(rate, alone=False).meets(engine.outside))
        self.own, self.open = own or own_rate, own or sees
        whole = not self.open and len(self._places) == len(self.parameters)
        if whole and self.settings.clip is None and engine.machine is not None:
            self.update = update_of(self.optimiser, self.settings.penalty)
        self.replay = engine
        self._mark()

    def _rightly(self, act: Callable[[], Any]) -> Any:
        """What it returns; "" where replay is found to be wrong meanwhile, and the run has gone back."""
        try:
            return act()
        except (Unfit, StaleProgram) as error:
            with self.interrupts:
                self._leave_replay(str(error))
            return ""

    def _verify(self) -> None:
        """Compare replay with the eager engine on samples that are drawn anew; Unfit where it differs."""
        if self.replay is not None:
            draw = np.random.default_rng([self.settings.seed, len(self.history.step_cost)])
            self._settle()
            self.behind = True  # the gradients in the Values are those of the comparison
            self.replay.compare((self.samples, draw.permutation(self.rows)), self.theta)
            self._mark()

    def _mark(self) -> None:
        """Replay is right here."""
        assert self.replay is not None
        self.due = len(self.history.step_cost) + self.replay.every
        self.verified = self._moment(beside=self.own)

    def _leave_replay(self, why: str) -> None:
        """Go back to where the run was last right, and on from there by recording every sample."""
        self.aside, replay, self.open = why, self.replay, True
        self.replay = self.update = None
        if replay:
            self._back_to(self.verified)
            replay.outside.restore()
        if self.settings.engine == "replay" or self.settings.client is not None:
            wanted = "engine='replay'" if self.settings.client is None else "client=…"
            told = f"fit: {wanted}, but this run cannot be replayed: {why}"
            raise ValueError(f"{told}. engine='auto' records every sample where it has to")
        self._read()

    # ------------------------------------------------------------------------ what came of it
    def _end(self, stopped: str) -> History:
        """Write the checkpoint, set the parameters that are kept, and say so."""
        self._save()
        kept = self.settings.keep or ("best" if self.validation or stopped == "interrupted" else "last")
        if kept == "best" and self.best is not None:
            self._write(self.best.parameters)
        else:
            kept = "last"
        history = self._told(stopped, kept)
        if self.shown:
            self._show(soon=0.0)
        elif self.settings.progress and self.next_line == math.inf:
            sys.stdout.write(f"{history}\n")
        return history

    def _told(self, stopped: str, kept: str) -> History:
        cost, best, settings = self.history.cost, self.best and self.best.epoch, self.settings
        steps = f"{self.steps} step{'s' * (self.steps > 1)}"
        end = ENDS[stopped].format(
            change=self._change(), settings=settings, epoch=self.epoch + 1, place=self.place, steps=steps
        )
        course = f", cost {cost[0]:.3g} to {cost[-1]:.3g}" if cost else ""
        holds = f"the best parameters, of epoch {best}" if kept == "best" else "the last parameters"
        told = [f"{self.epoch} epoch{'s' * (self.epoch != 1)} of {steps}{course}: {end}"]
        told.append(f"The net holds {holds}")
        if self.unwritten is not None:
            told.append(f"The last checkpoint is not written: {self.unwritten}")
        engine: str = settings.engine
        why = f"engine={engine!r} was asked for"
        if self.aside:
            done, why = self.verified["lengths"]["step_cost"] if self.verified else 0, self.aside
            engine = f"replay for {done} steps, then " * (done > 0) + f"eager ({why})"
            told.append(f"{f'After {done} steps each' if done else 'Each'} sample was recorded anew: {why}")
        elif engine != "eager":
            compared = self.replay.compared if self.replay else 0
            engine, why = "replay", f"{compared} samples that were recorded as well agree with it"
        message = ". ".join([*told, ""]).rstrip()
        return replace(
            self.history, stopped=stopped, kept=kept, best_epoch=best, message=message, engine=engine, why=why
        )

    def _finite(self, what: str, batch: Batch, compute: Callable[[], float]) -> float:
        """The cost of a batch; NotFinite where that, or a derivative that comes with it, is not finite."""
        cost, told, cause = math.nan, "", None
        try:
            cost = compute()
            bad = self._places[~np.isfinite(self.gradient[self._places])].tolist()
            if not math.isfinite(cost):
                told = f"the {what} is {cost!r}"
            elif batch is not self.validation and bad:
                name, number = self.optimiser.parameters[bad[0]][0], float(self.gradient[bad[0]])
                told = f"the cost is {cost!r}, but the gradient of {shown(name)} is {number!r}"
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
        self._settle()
        step = None if batch and batch is self.validation else self.place + 1
        where = f"epoch {self.epoch + 1} of {self.settings.epochs}"
        where += f", step {step} of {self.steps}" if step else ""
        sample, site = None, None
        if batch:
            trained = [self.parameters[place] for place in self._places.tolist() if gradients]
            called = "validation " * (batch[0] is not self.samples) + "X"
            sample, why, site = culprit(self.eager, batch, trained, called)
            told += (
                f". {why}. The net holds the parameters that led there. Lower the learning rate, clip the "
                "gradients, or bring the data to a scale of about 1"
            )
        self._save()
        history = self._told("not finite", "last")
        return NotFinite(f"fit stopped in {where}: {told}", history, self.epoch + 1, step, sample, site)

    # ------------------------------------------------------------------------ checkpoints
    @cached_property
    def _same_settings(self) -> dict[str, Any]:
        """All that must be the same for a run to continue bit for bit."""
        parts = [(self.samples, self.rows), *([self.validation] if self.validation else [])]
        told = [(x.array.shape, _digest(x.array.tobytes()), x.y.tolist(), rows.tolist()) for x, rows in parts]
        return {
            "loss": getattr(self.eager.loss, "__qualname__", type(self.eager.loss).__qualname__),
            "samples": len(self.samples.y),
            "validation": len(self.validation[1]) if self.validation else 0,
            "batch_size": self.batch_size,
            "shuffle": bool(self.settings.shuffle) and self.steps > 1,
            **{name: getattr(self.settings, name) for name in ("seed", "penalty", "clip")},
            "data": _digest(repr(told).encode()),
        }

    def _save(self) -> None:
        """Write the checkpoint, if one is wanted: a new file takes the place of the old in one move."""
        self.written = time.monotonic()
        self._settle()
        if self.settings.checkpoint is None:
            return
        state = {
            "settings": self._same_settings,
            "parameters": {name: each.data for name, each in zip(self.names, self.parameters, strict=True)},
            "optimiser": self.optimiser.state(),
            "generator": self.drawn_from,
            "best": self.best,
            "aside": self.aside,
            **{name: getattr(self.history, name) for name in _COURSE},
        }
        text = json.dumps(state, default=np.ndarray.tolist)
        try:
            mark = json.dumps({"format": _FORMAT, "digest": _digest(text.encode())})
            write_file(self.settings.checkpoint, f"{mark[:-1]}, {text[1:]}")
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
        """Take over a checkpoint; NotLoaded, before a parameter is changed, where it is of another run."""

        def refuse(what: str) -> NotLoaded:
            return NotLoaded(f"fit: {path} {what}", path)

        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            state = None
        if (kind := state.pop("format", None) if isinstance(state, dict) else None) != _FORMAT:
            other = str(kind).startswith(_FORMAT[:-1])
            raise refuse("is of another version of microbp" if other else "is no checkpoint of fit")
        if state.pop("digest", None) != _digest(json.dumps(state).encode()):
            raise refuse("is damaged: it does not hold what fit wrote into it")
        for name, here in self._same_settings.items():
            if (there := state["settings"][name]) != here:
                raise refuse(f"was written with {name} = {shown(repr(there))}; here it is {here!r}")
        there, here = list(state["parameters"]), self.names
        if odd := sorted({*here} ^ {*there}):
            told = f"has {len(there)} parameters, the net {len(here)}; only one of the two has"
            raise refuse(f"{told} {shown(odd[0])}")
        try:
            self.optimiser.load_state(state["optimiser"])
        except (ValueError, TypeError, OverflowError) as error:
            raise refuse(f"does not fit, by its optimiser: {error}") from None
        if there != here:
            raise refuse("has the parameters of the optimiser, or the others, in another order")
        self.best = state["best"] and _Best(*state["best"])
        self.generator.bit_generator.state, self.aside = state["generator"], state["aside"]
        self._draw()
        for name in _COURSE:
            getattr(self.history, name).extend(state[name])
        self._write([*state["parameters"].values()])


def _digest(data: bytes) -> str:
    """A short text that is another one for other bytes."""
    return sha256(data).hexdigest()[:16]
